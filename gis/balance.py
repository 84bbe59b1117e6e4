"""Whether duty grids ask the same of those who patrol them: ground, components, cases, way to walk, and their spread.

Spreads are pure; what a grid holds is read here, how many open cases it has is counted by the point store.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Select, func, select

from gis import statistics
from gis.db import Connection
from gis.people import Caller
from gis.tables import (
    basemap_feature,
    component,
    division,
    duty_grid,
    duty_grid_member,
    staff,
    staff_role,
    survey,
    town,
    unit_grid,
)

MEASURING = 4548
#: What is compared between grids.
COMPARED = ("area_km2", "components", "open_per_inspector", "month_per_inspector", "walk_km")


@dataclass(frozen=True)
class Load:
    """A duty grid's load. ``walk_km`` is the length of the roads in it: what a patrol that sees all of it walks once.

    Per inspector figures are None where nobody is assigned.
    """

    code: str
    name: str
    village: str
    inspectors: list[str]
    unit_grids: int
    area_km2: float
    components: int
    open: int
    month: int
    open_per_inspector: float | None
    month_per_inspector: float | None
    walk_km: float


@dataclass(frozen=True)
class Spread:
    """How unequal a column is: Gini (0 equal, towards 1 all in one), the largest over the mean, least and most."""

    gini: float | None
    max_over_mean: float | None
    least: float
    most: float
    mean: float


def spread(values: Sequence[float]) -> Spread:
    """Of no values, or of values that sum to nothing, ratios are None. Values are not negative."""
    n, total = len(values), sum(values)
    if not n:
        return Spread(None, None, 0.0, 0.0, 0.0)
    mean = total / n
    if not total:
        return Spread(None, None, 0.0, 0.0, 0.0)
    ranked = sum((i + 1) * value for i, value in enumerate(sorted(values)))
    gini = max(0.0, 2 * ranked / (n * total) - (n + 1) / n)
    return Spread(gini, max(values) / mean, min(values), max(values), mean)


def loads(tx: Connection, caller: Caller, today: date, open_cases: Mapping[str, int]) -> list[Load]:
    """Every duty grid's load, by code. ``open_cases`` by duty grid, and the month's, are of what the caller may see."""
    month = _month(tx, caller, today)
    who, hands = _assigned(tx)
    found = []
    for row in _ground(tx):
        opened, recent, strength = open_cases.get(row.code, 0), month.get(row.code, 0), hands.get(row.code, 0.0)
        found.append(
            Load(
                row.code,
                row.name,
                row.village or "",
                who.get(row.code, []),
                row.unit_grids,
                round(row.area_m2 / 1e6, 3),
                row.components,
                opened,
                recent,
                round(opened / strength, 2) if strength else None,
                round(recent / strength, 2) if strength else None,
                round(row.walk_m / 1000, 2),
            )
        )
    return found


def spreads(found: Sequence[Load]) -> dict[str, Spread]:
    """The spread of each compared column; grids without a figure are left out of it."""
    columns = {name: [getattr(load, name) for load in found] for name in COMPARED}
    return {name: spread([value for value in values if value is not None]) for name, values in columns.items()}


def _month(tx: Connection, caller: Caller, today: date) -> dict[str, int]:
    """Cases reported in the last thirty days, by duty grid."""
    counted = statistics.statistics(
        tx, caller, measures=("reported",), by="unit_grid", since=today - timedelta(days=29), until=today
    )
    of = {unit: code for unit, code in tx.execute(select(duty_grid_member))}
    found: dict[str, int] = {}
    for line in counted.rows:
        code = of.get(line.key, "")
        found[code] = found.get(code, 0) + line.values["reported"]
    return found


def _assigned(tx: Connection) -> tuple[dict[str, list[str]], dict[str, float]]:
    """By duty grid the inspectors' names, and how many there are: one of several grids counts a share in each."""
    rows = tx.execute(
        select(staff_role.c.staff_id, staff_role.c.scope_code, staff.c.name)
        .join(staff, staff.c.id == staff_role.c.staff_id)
        .where(staff_role.c.role == "inspector", staff_role.c.scope == "duty_grid", staff.c.active)
        .order_by(staff.c.username)
    ).all()
    grids = Counter(row.staff_id for row in rows)
    names: dict[str, list[str]] = {}
    hands: dict[str, float] = {}
    for row in rows:
        names.setdefault(row.scope_code, []).append(row.name)
        hands[row.scope_code] = hands.get(row.scope_code, 0.0) + 1 / grids[row.staff_id]
    return names, hands


_kept: dict[tuple[Any, ...], Sequence[Any]] = {}


def _ground(tx: Connection) -> Sequence[Any]:
    """Per duty grid what changes only with areas, roads or the census, measured once for each state of them."""
    state = tx.execute(
        select(
            town.c.digest,
            town.c.areas_version,
            *(select(func.count()).select_from(one).scalar_subquery() for one in (component, duty_grid_member, survey)),
        )
    ).one()
    mark = tuple(state)
    if mark not in _kept:
        rows = tx.execute(_measured()).all()
        _kept.clear()
        _kept[mark] = rows
    return _kept[mark]


def _measured() -> Select[Any]:
    member, grid = duty_grid_member.c, unit_grid.c
    ground = (
        select(member.duty_grid_code, func.count().label("unit_grids"), func.sum(grid.area_m2).label("area_m2"))
        .join(unit_grid, grid.code == member.unit_grid_code)
        .group_by(member.duty_grid_code)
        .subquery()
    )
    counted = (
        select(member.duty_grid_code, func.count().label("components"))
        .join(component, component.c.unit_grid_code == member.unit_grid_code)
        .where(component.c.state != "removed")
        .group_by(member.duty_grid_code)
        .subquery()
    )
    road, beat = basemap_feature.c, duty_grid.c
    inside = func.st_length(func.st_transform(func.st_intersection(road.geom, beat.geom), MEASURING))
    walked = (
        select(beat.code, func.sum(inside).label("walk_m"))
        .join(basemap_feature, func.st_intersects(road.geom, beat.geom))
        .where(road.layer == "road", func.st_dimension(road.geom) == 1)
        .group_by(beat.code)
        .subquery()
    )
    return (
        select(
            beat.code,
            beat.name,
            division.c.short_name.label("village"),
            func.coalesce(ground.c.unit_grids, 0).label("unit_grids"),
            func.coalesce(ground.c.area_m2, 0.0).label("area_m2"),
            func.coalesce(counted.c.components, 0).label("components"),
            func.coalesce(walked.c.walk_m, 0.0).label("walk_m"),
        )
        .join(ground, ground.c.duty_grid_code == beat.code, isouter=True)
        .join(counted, counted.c.duty_grid_code == beat.code, isouter=True)
        .join(walked, walked.c.code == beat.code, isouter=True)
        .join(division, division.c.code == beat.village_code, isouter=True)
        .where(beat.valid_to.is_(None))
        .order_by(beat.code)
    )
