"""Whether duty grids ask the same of those who patrol them: ground, components, cases, way to walk, and their spread.

Spreads are pure; what a grid holds is read here, how many open cases it has is counted by the point store. The way to
walk is estimated as gis.walking says.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import shapely
from sqlalchemy import Select, func, select

from gis import lineage, statistics, walking
from gis.db import Connection
from gis.people import Caller
from gis.tables import (
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
from gis.validity import in_force

#: What is compared between grids.
COMPARED = ("area_km2", "components", "open_per_inspector", "month_per_inspector", "walk_km")


@dataclass(frozen=True)
class Load:
    """A duty grid's load. ``walk_km`` is what a patrol that sees all of it walks, by ``gis.walking``.

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
    who, hands = assigned(tx)
    found = []
    ground, ways = _ground(tx)
    for row in ground:
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
                round(ways.get(row.code, 0.0) / 1000, 2),
            )
        )
    return found


def spreads(found: Sequence[Load]) -> dict[str, Spread]:
    """The spread of each compared column; grids without a figure are left out of it."""
    columns = {name: [getattr(load, name) for load in found] for name in COMPARED}
    return {name: spread([value for value in values if value is not None]) for name, values in columns.items()}


def _month(tx: Connection, caller: Caller, today: date) -> dict[str, int]:
    """Cases reported in the last thirty days, by duty grid."""
    of = {unit: code for unit, code in tx.execute(select(duty_grid_member))}
    found: dict[str, float] = {}
    for unit, n in month_by_grid(tx, caller, today).items():
        code = of.get(unit, "")
        found[code] = found.get(code, 0.0) + n
    return {code: round(n) for code, n in found.items()}


def month_by_grid(tx: Connection, caller: Caller, today: date, by: date | None = None) -> dict[str, float]:
    """Cases reported in the last thirty days by unit grid; those of grids that ended are told in their successors.

    ``by`` is the day whose grids they are told in, today by default.
    """
    counted = statistics.statistics(
        tx, caller, measures=("reported",), by="unit_grid", since=today - timedelta(days=29), until=today
    )
    figures = {line.key: {"n": float(line.values["reported"])} for line in counted.rows}
    return {code: one.values["n"] for code, one in lineage.fold(figures, lineage.family(tx, by or today)).items()}


def assigned(tx: Connection) -> tuple[dict[str, list[str]], dict[str, float]]:
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


_kept: dict[tuple[Any, ...], tuple[Sequence[Any], dict[str, float]]] = {}


def _ground(tx: Connection) -> tuple[Sequence[Any], dict[str, float]]:
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
        _kept.clear()
        _kept[mark] = (tx.execute(_measured()).all(), _walks(tx))
    return _kept[mark]


def _walks(tx: Connection) -> dict[str, float]:
    """Metres to walk in every duty grid in force."""
    rows = tx.execute(
        select(duty_grid_member.c.duty_grid_code, func.st_asbinary(unit_grid.c.geom))
        .join(unit_grid, unit_grid.c.code == duty_grid_member.c.unit_grid_code)
        .where(in_force(unit_grid))
    ).all()
    ways = walking.walks(walking.streets(tx), shapely.from_wkb([bytes(row[1]) for row in rows]))
    found: dict[str, float] = {}
    for (code, _), metres in zip(rows, ways.tolist(), strict=True):
        found[code] = found.get(code, 0.0) + metres
    return found


def _measured() -> Select[Any]:
    member, grid = duty_grid_member.c, unit_grid.c
    ground = (
        select(member.duty_grid_code, func.count().label("unit_grids"), func.sum(grid.area_m2).label("area_m2"))
        .join(unit_grid, grid.code == member.unit_grid_code)
        .where(in_force(unit_grid))
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
    beat = duty_grid.c
    return (
        select(
            beat.code,
            beat.name,
            division.c.short_name.label("village"),
            func.coalesce(ground.c.unit_grids, 0).label("unit_grids"),
            func.coalesce(ground.c.area_m2, 0.0).label("area_m2"),
            func.coalesce(counted.c.components, 0).label("components"),
        )
        .join(ground, ground.c.duty_grid_code == beat.code, isouter=True)
        .join(counted, counted.c.duty_grid_code == beat.code, isouter=True)
        .join(division, division.c.code == beat.village_code, isouter=True)
        .where(in_force(duty_grid))
        .order_by(beat.code)
    )
