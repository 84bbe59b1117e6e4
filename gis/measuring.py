"""Distances and areas: along the ellipsoid, and on the plane of EPSG:4548. Pure; points are EPSG:4490 degrees.

Geodesic figures are GeographicLib's (C. F. F. Karney, Algorithms for geodesics, 2013) as pyproj carries it, on the
ellipsoid of CGCS2000: lengths within 15 nm, areas within 0.1 m². The plane's are those of the projected corners.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import shapely
from pyproj import Geod

from gis import errors
from gis.geometry import to_4548

ELLIPSOID: Final = Geod(a=6378137.0, rf=298.257222101)
MOST: Final = 2000
"""Corners one measured shape may have."""
Point = tuple[float, float]


@dataclass(frozen=True)
class Measured:
    """Metres and square metres of a line or, closed, of an area; ``legs`` are its parts in order.

    ``bearing`` is the last leg's first direction, degrees from north; None where there is none. ``area_m2`` and
    ``plane_area_m2`` are None for a line and for a ring that crosses itself (``crossing``).
    """

    legs: tuple[float, ...]
    length_m: float
    plane_length_m: float
    bearing: float | None
    area_m2: float | None = None
    plane_area_m2: float | None = None
    crossing: bool = False


def measure(points: Sequence[Point], *, closed: bool = False) -> Measured:
    """What a line through these points measures; ``closed`` also back to the first, and what it encloses.

    Raises ``Malformed`` for too many corners or places that are none.
    """
    corners = [*points, points[0]] if closed and len(points) > 2 else list(points)
    if len(corners) > MOST:
        raise errors.Malformed(field="points", most=MOST)
    lon, lat = (np.array([p[i] for p in corners], np.float64) for i in (0, 1))
    if not (np.isfinite(lon).all() and np.isfinite(lat).all() and (abs(lon) <= 180).all() and (abs(lat) < 90).all()):
        raise errors.Malformed(field="points", why="longitude and latitude in degrees")
    if len(corners) < 2:
        return Measured((), 0.0, 0.0, None)
    bearing, _, legs = ELLIPSOID.inv(lon[:-1], lat[:-1], lon[1:], lat[1:])
    east, north = to_4548(lon, lat)
    found = Measured(
        legs=tuple(float(leg) for leg in legs),
        length_m=float(np.sum(legs)),
        plane_length_m=float(np.hypot(np.diff(east), np.diff(north)).sum()),
        bearing=float(bearing[-1]) % 360.0 if legs[-1] > 0 else None,
    )
    if not closed or len(points) < 3:
        return found
    flat = shapely.Polygon(np.column_stack([east, north]))
    if not flat.is_valid:
        return replace(found, crossing=True)
    area, _ = ELLIPSOID.polygon_area_perimeter(lon[:-1], lat[:-1])
    return replace(found, area_m2=abs(float(area)), plane_area_m2=float(flat.area))


def circle(lon: float, lat: float, radius_m: float, corners: int = 72) -> list[Point]:
    """The ring of all places ``radius_m`` away along the ellipsoid, closed, counter-clockwise from the north."""
    bearings = -np.linspace(0.0, 360.0, corners + 1)
    around = np.full(corners + 1, 1.0)
    x, y, _ = ELLIPSOID.fwd(lon * around, lat * around, bearings, radius_m * around)
    ring = [(float(a), float(b)) for a, b in zip(x, y, strict=True)]
    return [*ring[:-1], ring[0]]
