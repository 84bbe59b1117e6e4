"""How far one walks to see all of an area. Knows the streets of the basemap; an estimate, and simple on purpose.

Every street is walked once, and what lies on both sides of it is seen: of each piece of street half its length is given
to the area on its left and half to the one on its right. So a street between two areas is half of each, and the ways of
unit grids add up to the way of their duty grid: ``walk(area) = ½ Σ length · ([left side in area] + [right side in
area])`` over pieces of at most 20 m. Ways between streets that do not meet and ways there and back are not in it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from sqlalchemy import func, select

from gis.db import Connection
from gis.geometry import metres_per_degree
from gis.tables import basemap_feature, town

STEP_M = 20.0
SIDE_M = 3.0
"""How far beside the street one looks for the area on that side."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Strides:
    """Pieces of street: a place beside each, twice (left, right), in degrees; and half its length in metres."""

    lon: Floats
    lat: Floats
    metres: Floats


def strides(lines: NDArray[Any]) -> Strides:
    """Lines in EPSG:4490 degrees in pieces of at most 20 m."""
    if not len(lines):
        return Strides(*(np.zeros(0) for _ in range(3)))
    xy, line = shapely.get_coordinates(shapely.get_parts(lines), return_index=True)
    scale = np.array(metres_per_degree(float(xy[:, 1].mean())))
    at = xy * scale
    same = line[1:] == line[:-1]
    start, way = at[:-1][same], (at[1:] - at[:-1])[same]
    length = np.hypot(*way.T)
    start, way, length = start[length > 0], way[length > 0], length[length > 0]
    steps = np.ceil(length / STEP_M).astype(np.int64)
    segment = np.repeat(np.arange(len(steps)), steps)
    number = np.arange(len(segment)) - np.repeat(np.cumsum(steps) - steps, steps)
    middle = start[segment] + way[segment] * ((number + 0.5) / steps[segment])[:, None]
    aside = (way / length[:, None])[segment] @ np.array([[0.0, 1.0], [-1.0, 0.0]]) * SIDE_M
    beside = np.concatenate([middle + aside, middle - aside]) / scale
    return Strides(beside[:, 0], beside[:, 1], np.tile(length[segment] / steps[segment] / 2, 2))


def walks(streets: Strides, polygons: NDArray[Any]) -> Floats:
    """The way in metres in each of several polygons that share no land."""
    spots = shapely.points(streets.lon, streets.lat)
    spot, area = shapely.STRtree(polygons).query(spots, predicate="within")
    return np.bincount(area, weights=streets.metres[spot], minlength=len(polygons)).astype(np.float64)


_kept: dict[tuple[Any, ...], Strides] = {}


def streets(tx: Connection) -> Strides:
    """The town's streets, read once for each state of its basemap."""
    road = basemap_feature.c
    known = select(func.count(), func.max(road.id)).where(road.layer == "road")
    mark = (str(tx.engine.url), tx.execute(select(town.c.digest, town.c.loaded_at)).first(), *tx.execute(known).one())
    if mark not in _kept:
        rows = tx.execute(
            select(func.st_asbinary(road.geom)).where(road.layer == "road", func.st_dimension(road.geom) == 1)
        ).scalars()
        _kept.clear()
        _kept[mark] = strides(np.array(shapely.from_wkb([bytes(row) for row in rows]), dtype=object))
    return _kept[mark]
