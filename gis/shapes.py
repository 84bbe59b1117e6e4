"""Shapes and points to draw a town from: ground, unit grids, cases. Knows geometry and scope; knows no style."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import h3.api.basic_int as h3
import numpy as np
from sqlalchemy import func, select

from gis.db import Connection
from gis.people import Caller
from gis.points_cells import parent
from gis.search import CaseFilter, light, named, visible_cases
from gis.tables import basemap_feature, case, unit_grid
from gis.validity import in_force

#: Decimals of a degree: 1e-6 is a decimetre, finer than a map shows and short enough to ship.
DECIMALS = 6

Feature = dict[str, Any]


def ground(tx: Connection, layers: Sequence[str]) -> list[Feature]:
    """The basemap of these layers, one feature for each (layer, kind), in the order of ``layers``; EPSG:4490."""
    geometry = func.ST_AsGeoJSON(func.ST_Collect(basemap_feature.c.geom), DECIMALS, 0)
    rows = tx.execute(
        select(basemap_feature.c.layer, basemap_feature.c.kind, geometry)
        .where(basemap_feature.c.layer.in_(layers))
        .group_by(basemap_feature.c.layer, basemap_feature.c.kind)
        .order_by(basemap_feature.c.layer, basemap_feature.c.kind)
    ).all()
    found = [_feature(shape, layer=layer, kind=kind) for layer, kind, shape in rows]
    return sorted(found, key=lambda feature: layers.index(feature["properties"]["layer"]))


def unit_grids(tx: Connection) -> list[Feature]:
    """The unit grids in force, with code, village and area class, by code; EPSG:4490."""
    rows = tx.execute(
        select(
            unit_grid.c.code,
            unit_grid.c.village_code,
            unit_grid.c.area_class,
            func.ST_AsGeoJSON(unit_grid.c.geom, DECIMALS, 0),
        )
        .where(in_force(unit_grid))
        .order_by(unit_grid.c.code)
    )
    return [_feature(shape, code=code, village=village, area_class=kind) for code, village, kind, shape in rows]


def case_points(tx: Connection, caller: Caller, wanted: CaseFilter, now: datetime, limit: int) -> Sequence[Any]:
    """The newest ``limit`` cases of the filter that the caller may see: rows of ``search.named`` with ``light``."""
    newest = (
        visible_cases(caller)
        .add_columns(light(now).label("light"))
        .where(*wanted.clauses(now))
        .order_by(case.c.reported_at.desc(), case.c.id.desc())
        .limit(limit)
    )
    return tx.execute(named(newest)).all()


def case_cells(tx: Connection, caller: Caller, wanted: CaseFilter, now: datetime, resolution: int) -> list[Feature]:
    """All cases of the filter that the caller may see as h3 cells of a resolution, each with ``value``, how many."""
    chosen = visible_cases(caller).where(*wanted.clauses(now)).with_only_columns(case.c.h3, func.count().label("n"))
    rows = tx.execute(chosen.group_by(case.c.h3)).all()
    cells, where = np.unique(parent(np.array([row.h3 for row in rows], np.int64), resolution), return_inverse=True)
    counts = np.bincount(where, [row.n for row in rows], len(cells)).astype(int).tolist()
    return [
        {
            "type": "Feature",
            "properties": {"code": f"{cell:x}", "value": n},
            "geometry": {"type": "Polygon", "coordinates": [_ring(cell)]},
        }
        for cell, n in zip(cells.tolist(), counts, strict=True)
    ]


def _ring(cell: int) -> list[list[float]]:
    corners = [[round(lon, DECIMALS), round(lat, DECIMALS)] for lat, lon in h3.cell_to_boundary(cell)]
    return [*corners, corners[0]]


def _feature(shape: str, **properties: str) -> Feature:
    return {"type": "Feature", "properties": properties, "geometry": json.loads(shape)}
