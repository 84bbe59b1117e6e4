"""What the duty grids of a plan ask of those who patrol them, before and after, and a regrouping that is fairer.

Knows what lies in a grid: ground, components, cases, streets. The comparison itself is in gis.grid_groups.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from sqlalchemy import func, select

from gis import balance, grid_groups, grids, lineage, town_cut, walking
from gis.db import Connection
from gis.grid_drafts import Opened
from gis.grid_plan import Plan, pieces
from gis.people import Caller
from gis.search import visible_cases
from gis.tables import case, component
from gis.validity import ZONE

Floats = NDArray[np.float64]
#: What is in a unit grid: m², components, open cases, cases of the last 30 days, metres to walk.
COLUMNS = ("area_m2", "components", "open", "month", "walk_m")
#: What burdens are made of. Not of open cases: those of today may be gone tomorrow, the month's are what lasts.
WEIGHED = [COLUMNS.index(name) for name in ("area_m2", "components", "month", "walk_m")]


@dataclass(frozen=True)
class Line:
    """A duty grid's load. Per inspector figures are None where nobody is assigned; ``burden`` 1 is the fair share.

    Counts of grids divided by land are estimates and may be fractions.
    """

    key: str
    name: str
    village: str
    inspectors: Sequence[str]
    unit_grids: int
    area_km2: float
    components: float
    open: float
    month: float
    walk_km: float
    month_per_inspector: float | None
    walk_per_inspector: float | None
    burden: float


@dataclass(frozen=True)
class Suggestion:
    """Duty grids by unit grid where they change, and how uneven each village is before and after.

    ``skipped``: villages that cannot be weighed as they stand, since a duty grid is in pieces or a grid has none.
    """

    members: Mapping[str, str]
    unevenness: Mapping[str, tuple[float, float]]
    skipped: Sequence[str]


class Weighed:
    """The figures of every unit grid of a draft, before and after, as a caller may see them."""

    def __init__(self, tx: Connection, caller: Caller, draft: Opened) -> None:
        self.names, self.hands = balance.assigned(tx)
        self.draft = draft
        start, plan = draft.start, draft.plan
        family = lineage.family(tx, draft.day)
        counts = _counts(tx, caller, family, draft.day)
        streets = walking.streets(tx)
        self.before = _figures(start, counts, streets)
        gone = [code for code in start.cells if code not in plan.cells]
        inside = _inside(tx, caller, plan, _with_ancestors(gone, family))
        self.after = _figures(plan, counts | inside, streets) if inside or gone else self.before

    def lines(self, plan: Plan, figures: Mapping[str, Floats]) -> list[Line]:
        """The load of every duty grid that has grids, by key."""
        members: dict[str, list[str]] = defaultdict(list)
        for key, cell in plan.cells.items():
            if cell.duty:
                members[cell.duty].append(key)
        duties = sorted(members)
        if not duties:
            return []
        at = {duty: i for i, duty in enumerate(duties)}
        keys = [key for duty in duties for key in members[duty]]
        weights = np.array([figures[key] for key in keys])
        groups = np.array([at[plan.cells[key].duty] for key in keys])
        burden = grid_groups.burdens(weights[:, WEIGHED], groups, self._strength(duties))
        return [
            self._line(duty, plan, len(members[duty]), weights[groups == i].sum(axis=0), float(burden[i]))
            for i, duty in enumerate(duties)
        ]

    def _strength(self, duties: Sequence[str]) -> Floats:
        """Inspectors of each duty grid; one where nobody is assigned yet, since somebody will have to be."""
        return np.array([self.hands.get(duty, 0.0) or 1.0 for duty in duties])

    def _line(self, duty: str, plan: Plan, unit_grids: int, sums: Floats, burden: float) -> Line:
        area, components, opened, month, walk = sums.tolist()
        hands = self.hands.get(duty, 0.0)
        return Line(
            key=duty,
            name=plan.duties[duty].name,
            village=plan.duties[duty].village,
            inspectors=self.names.get(duty, []),
            unit_grids=unit_grids,
            area_km2=round(area / 1e6, 3),
            components=round(components, 1),
            open=round(opened, 1),
            month=round(month, 1),
            walk_km=round(walk / 1000, 2),
            month_per_inspector=round(month / hands, 2) if hands else None,
            walk_per_inspector=round(walk / 1000 / hands, 2) if hands else None,
            burden=round(burden, 3),
        )

    def suggestion(self, villages: Sequence[str]) -> Suggestion:
        """A fairer grouping of each of these villages (all, if none is named), by its own fair share."""
        plan = self.draft.plan
        by_village: dict[str, list[str]] = defaultdict(list)
        for key, cell in plan.cells.items():
            by_village[cell.village].append(key)
        members: dict[str, str] = {}
        uneven: dict[str, tuple[float, float]] = {}
        skipped = []
        for village in sorted(set(villages) or by_village):
            keys = by_village.get(village, [])
            duties = sorted({plan.cells[key].duty for key in keys})
            apart = any(len(pieces(plan, [k for k in keys if plan.cells[k].duty == duty])) > 1 for duty in duties)
            if not keys or "" in duties or apart:
                skipped.append(village)
                continue
            weights = np.array([self.after[key] for key in keys])[:, WEIGHED]
            left, right, _ = town_cut.shared_edges(np.array([plan.cells[key].polygon for key in keys], dtype=object))
            near = town_cut.neighbours(len(keys), left, right)
            groups = np.array([duties.index(plan.cells[key].duty) for key in keys])
            strength = self._strength(duties)
            found = grid_groups.regrouped(weights, near, groups, strength)
            uneven[village] = (grid_groups.unevenness(weights, groups, strength), found.unevenness)
            moved = np.flatnonzero(found.groups != groups).tolist()
            members |= {keys[i]: duties[int(found.groups[i])] for i in moved}
        return Suggestion(members, uneven, skipped)


def _figures(
    plan: Plan, counts: Mapping[str, tuple[float, float, float]], streets: walking.Strides
) -> dict[str, Floats]:
    if not plan.cells:
        return {}
    polygons = np.array([cell.polygon for cell in plan.cells.values()], dtype=object)
    area, walk = grids.area_m2(polygons), walking.walks(streets, polygons)
    return {key: np.array([area[i], *counts.get(key, (0.0, 0.0, 0.0)), walk[i]]) for i, key in enumerate(plan.cells)}


def _counts(
    tx: Connection, caller: Caller, family: Sequence[lineage.Descent], day: date
) -> dict[str, tuple[float, float, float]]:
    """(components, open cases, cases of 30 days) by unit grid; those of ended grids in their successors."""
    there: dict[str, dict[str, float]] = defaultdict(dict)
    grid = component.c.unit_grid_code
    for code, n in tx.execute(select(grid, func.count()).where(component.c.state != "removed").group_by(grid)):
        there[code]["components"] = float(n)
    seen = visible_cases(caller).where(case.c.status == "open").subquery()
    for code, n in tx.execute(select(seen.c.unit_grid_code, func.count()).group_by(seen.c.unit_grid_code)):
        there[code]["open"] = float(n)
    folded = lineage.fold(there, family)
    month = balance.month_by_grid(tx, caller, min(day, datetime.now(ZONE).date()), day)
    return {
        code: (
            folded[code].values.get("components", 0.0) if code in folded else 0.0,
            folded[code].values.get("open", 0.0) if code in folded else 0.0,
            month.get(code, 0.0),
        )
        for code in {*folded, *month}
    }


def _with_ancestors(codes: Sequence[str], family: Sequence[lineage.Descent]) -> list[str]:
    found, edge = set(codes), list(codes)
    parents: dict[str, list[str]] = defaultdict(list)
    for one in family:
        parents[one.new].append(one.old)
    while edge:
        for old in parents[edge.pop()]:
            if old not in found:
                found.add(old)
                edge.append(old)
    return sorted(found)


def _inside(
    tx: Connection, caller: Caller, plan: Plan, land_of: Sequence[str]
) -> dict[str, tuple[float, float, float]]:
    """The same for grids the plan makes: counted by place, from what lies in the grids whose land they take."""
    fresh = [key for key, cell in plan.cells.items() if cell.fresh]
    if not fresh:
        return {}
    tree = shapely.STRtree(np.array([plan.cells[key].polygon for key in fresh], dtype=object))

    def counted(rows: Sequence[Any]) -> NDArray[np.int64]:
        spots = shapely.points(np.array([(row.lon, row.lat) for row in rows]).reshape(-1, 2))
        spot, area = tree.query(spots, predicate="intersects")
        # On a border the first grid has it, once.
        _, first = np.unique(spot, return_index=True)
        return np.bincount(area[first], minlength=len(fresh))

    here = component.c
    parts = tx.execute(
        select(here.lon, here.lat).where(here.unit_grid_code.in_(land_of), here.state != "removed")
    ).all()
    seen = visible_cases(caller).where(case.c.unit_grid_code.in_(land_of)).subquery().c
    since = datetime.combine(datetime.now(ZONE).date() - timedelta(days=29), time(), ZONE)
    opened = tx.execute(select(seen.lon, seen.lat).where(seen.status == "open")).all()
    recent = tx.execute(select(seen.lon, seen.lat).where(seen.status != "void", seen.reported_at >= since)).all()
    columns = [counted(rows) for rows in (parts, opened, recent)]
    return {key: (float(columns[0][i]), float(columns[1][i]), float(columns[2][i])) for i, key in enumerate(fresh)}


def affected(tx: Connection, caller: Caller, ended: Sequence[str], ended_duties: Sequence[str]) -> dict[str, Any]:
    """What publishing touches without moving it: open cases (the caller's) and components in grids that end.

    ``inspectors`` are those whose duty grid ends.
    """
    seen = visible_cases(caller).where(case.c.status == "open", case.c.unit_grid_code.in_(ended)).subquery()
    parts = select(func.count()).where(component.c.unit_grid_code.in_(ended))
    names, _ = balance.assigned(tx)
    return {
        "open_cases": tx.execute(select(func.count()).select_from(seen)).scalar_one(),
        "components": tx.execute(parts).scalar_one(),
        "inspectors": sorted({name for code in ended_duties for name in names.get(code, [])}),
    }
