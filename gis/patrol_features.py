"""What was patrolled as features with their ground, for files. Knows grids and words; knows no files and no callers."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import shapely
from sqlalchemy import func, select

from gis.db import Connection
from gis.features import Feature
from gis.patrol import Covered, GridCoverage
from gis.tables import division, unit_grid
from gis.validity import in_force

#: What the states of a grid are called, in Chinese and English.
STATES: Final[Mapping[str, tuple[str, str]]] = {
    "visited": ("到过", "Visited"),
    "seen": ("仅邻区看到", "Seen from outside"),
    "unvisited": ("未到", "Not visited"),
    "unknown": ("不明", "Unknown"),
}
#: Properties of a feature: kind of gis.feature_sources, and title in Chinese and English.
FIELDS: Final[Mapping[str, tuple[str, tuple[str, str]]]] = {
    "code": ("text", ("编码", "Code")),
    "name": ("text", ("名称", "Name")),
    "village": ("text", ("村居", "Village")),
    "duty_grid": ("text", ("责任网格", "Duty grid")),
    "state": ("text", ("状态", "State")),
    "seen_share": ("number", ("看到的可走区（%）", "Walkable ground seen (%)")),
    "walkable_m2": ("integer", ("可走面积（㎡）", "Walkable (m²)")),
    "seen_m2": ("integer", ("看到面积（㎡）", "Seen (m²)")),
    "dwell_min": ("number", ("停留（分钟）", "Time in it (min)")),
    "person_days": ("integer", ("到访人日", "Person-days")),
    "last_at": (
        "time",
        ("上次到访（责任网格：最久未到的单元网格）", "Last visit (duty grid: its longest unvisited unit grid)"),
    ),
    "on_duty_h": ("number", ("在岗（小时）", "On duty (h)")),
    "recorded_h": ("number", ("有记录（小时）", "Recorded (h)")),
}
_CELL_M2: Final = 100


def features(
    tx: Connection, covered: Covered, by: str, until: date, state: str, language: str, *, wkb: bool
) -> list[Feature]:
    """The unit grids (``by`` "grid") or duty grids ("duty") of a coverage, in its order; of a ``state`` or "".

    Properties are those of ``FIELDS``, texts in ``language`` (zh, en). Geometry is the ground in force on ``until``,
    EPSG:4490, GeoJSON text or ``wkb``; a duty grid's is that of its unit grids together.
    """
    rows = [one for one in (covered.grids if by == "grid" else covered.duty_grids) if state in ("", one.state)]
    ground = _ground(tx, covered, by, until)
    villages = {row.code: row.short_name for row in tx.execute(select(division.c.code, division.c.short_name))}
    written = shapely.to_wkb if wkb else shapely.to_geojson
    return [
        Feature(
            one.code,
            _told(one, by, villages, covered.names, language),
            written(ground[one.code]) if one.code in ground else None,
        )
        for one in rows
    ]


def _told(
    one: GridCoverage, by: str, villages: Mapping[str, str], names: Mapping[str, str], language: str
) -> dict[str, Any]:
    return {
        "code": one.code,
        "name": names.get(one.code, one.code) if by == "duty" else one.code,
        "village": villages.get(one.village_code, one.village_code),
        "duty_grid": names.get(one.duty_grid_code, one.duty_grid_code),
        "state": STATES[one.state][language != "zh"],
        "seen_share": round(100 * one.seen / one.cells, 1) if one.cells else None,
        "walkable_m2": one.cells * _CELL_M2,
        "seen_m2": one.seen * _CELL_M2,
        "dwell_min": round(one.dwell_s / 60, 1),
        "person_days": one.people,
        "last_at": one.last_at,
        "on_duty_h": round(one.on_duty_s / 3600, 2),
        "recorded_h": round(one.recorded_s / 3600, 2),
    }


def _ground(tx: Connection, covered: Covered, by: str, until: date) -> dict[str, Any]:
    """Polygons by code."""
    rows = tx.execute(
        select(unit_grid.c.code, func.ST_AsBinary(unit_grid.c.geom)).where(in_force(unit_grid, until))
    ).all()
    polygons = dict(zip((row[0] for row in rows), shapely.from_wkb([bytes(row[1]) for row in rows]), strict=True))
    if by == "grid":
        return polygons
    parts: dict[str, list[Any]] = {}
    for one in covered.grids:
        if one.duty_grid_code and one.code in polygons:
            parts.setdefault(one.duty_grid_code, []).append(polygons[one.code])
    return {code: shapely.union_all(every) for code, every in parts.items()}
