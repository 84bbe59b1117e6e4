"""What lies on the ground within a rectangle, as shapes: for pictures of it. Knows the basemap's table, no colours."""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from sqlalchemy import func, select

from gis.db import Connection
from gis.geometry import Bounds
from gis.tables import SRID, basemap_feature


@dataclass(frozen=True)
class Ground:
    """Features of the basemap as columns: layer, kind, a number that stays the same, geometry in EPSG:4490 degrees."""

    layer: list[str]
    kind: list[str]
    number: list[int]
    shape: NDArray[np.object_]


def within(tx: Connection, bounds: Bounds, *, least_m2: float = 0.0) -> Ground:
    """The features that touch ``bounds``; areas below ``least_m2`` are left out as too small to be seen."""
    c = basemap_feature.c
    box = func.ST_MakeEnvelope(*bounds, SRID)
    wanted = select(c.layer, c.kind, c.id, func.ST_AsBinary(c.geom)).where(c.geom.op("&&")(box)).order_by(c.id)
    if least_m2:
        # A square degree is some 9.5e9 m² here: near enough for what is too small to be seen.
        wanted = wanted.where((c.layer == "road") | (func.ST_Area(c.geom) * 9.5e9 >= least_m2))
    rows = tx.execute(wanted).all()
    shapes = shapely.from_wkb([bytes(row[3]) for row in rows])
    return Ground([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows], np.asarray(shapes, dtype=object))
