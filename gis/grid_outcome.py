"""What a plan comes to: new codes, codes that end, descent, duty grids; and what is wrong with it. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from gis import grids, lineage
from gis.errors import GridCodesUsedUp
from gis.geometry import metres_per_degree
from gis.grid_plan import Cell, Plan, pieces
from gis.town_grids import reading_order

MOST_CODES = 999
_SAME = 1e-6


@dataclass(frozen=True)
class Outcome:
    """What publishing would write.

    ``codes``: every grid of the plan by key. ``opened``: keys of new grids. ``ended``: codes that go. ``noded``: keys
    of grids that got nodes in their borders and keep their land. ``duty_codes``: every duty grid by key;
    ``ended_duties`` have no member left. ``members``: unit grid code → duty grid code where that is new. ``described``:
    class and use of grids that stay and get others.
    """

    codes: Mapping[str, str]
    opened: Sequence[str]
    ended: Sequence[str]
    noded: Sequence[str]
    descents: Sequence[lineage.Descent]
    duty_codes: Mapping[str, str]
    ended_duties: Sequence[str]
    renamed: Mapping[str, str]
    members: Mapping[str, str]
    described: Mapping[str, Mapping[str, str]]


def outcome(start: Plan, plan: Plan, used: Mapping[str, int], duties_used: Mapping[str, int]) -> Outcome:
    """``used`` and ``duties_used``: the highest sequence ever given in each village, which codes go on from.

    A grid that was changed and changed back is the old one. Raises ``GridCodesUsedUp``.
    """
    back = _restored(start, plan)
    opened = [key for key, cell in plan.cells.items() if cell.fresh and key not in back]
    kept = {key: key for key, cell in plan.cells.items() if not cell.fresh} | back
    codes = kept | unit_codes(plan, opened, used)
    ended = sorted(set(start.cells) - set(kept.values()))
    noded = [
        key
        for key, code in kept.items()
        if not shapely.equals_identical(plan.cells[key].polygon, start.cells[code].polygon)
    ]
    populated = {cell.duty for cell in plan.cells.values()}
    duty_codes = {key: key for key, duty in plan.duties.items() if not duty.fresh}
    duty_codes |= _duty_codes(plan, [key for key in plan.duties if key in populated], duties_used)
    members = {
        code: duty_codes[cell.duty]
        for key, code in codes.items()
        if (cell := plan.cells[key]).duty
        and (code not in start.cells or start.cells[code].duty != duty_codes[cell.duty])
    }
    return Outcome(
        codes=codes,
        opened=opened,
        ended=ended,
        noded=noded,
        descents=lineage.descents(
            {code: start.cells[code].polygon for code in ended},
            {codes[key]: plan.cells[key].polygon for key in opened},
        ),
        duty_codes=duty_codes,
        ended_duties=sorted(key for key, duty in plan.duties.items() if not duty.fresh and key not in populated),
        renamed={
            key: duty.name
            for key, duty in plan.duties.items()
            if not duty.fresh and key in populated and duty.name != start.duties[key].name
        },
        members=members,
        described={
            code: {"area_class": cell.area_class, "land_use": cell.land_use}
            for key, code in kept.items()
            if _told(cell := plan.cells[key]) != _told(start.cells[code])
        },
    )


def _restored(start: Plan, plan: Plan) -> dict[str, str]:
    """New grids that are an old one over again: the same land of the same village."""
    fresh = [key for key, cell in plan.cells.items() if cell.fresh]
    gone = [key for key in start.cells if key not in plan.cells]
    if not fresh or not gone:
        return {}
    new, old = (
        np.array([of.cells[key].polygon for key in keys], dtype=object) for of, keys in ((plan, fresh), (start, gone))
    )
    a, b = shapely.STRtree(old).query(new, predicate="intersects")
    off = shapely.area(shapely.symmetric_difference(new[a], old[b])) / shapely.area(old[b])
    return {
        fresh[i]: gone[j]
        for i, j, differs in zip(a.tolist(), b.tolist(), off.tolist(), strict=True)
        if differs < _SAME and plan.cells[fresh[i]].village == start.cells[gone[j]].village
    }


def _told(cell: Cell) -> tuple[str, str]:
    return cell.area_class, cell.land_use


def unit_codes(plan: Plan, opened: Sequence[str], used: Mapping[str, int]) -> dict[str, str]:
    """Codes of new grids: the village's 12 digits and the sequences after the highest ever given there.

    Several new grids of a village are numbered from west to east in bands from north to south. Raises
    ``GridCodesUsedUp``.
    """
    if not opened:
        return {}
    villages = np.array([plan.cells[key].village for key in opened])
    points = shapely.get_coordinates(shapely.centroid(np.array([plan.cells[k].polygon for k in opened], dtype=object)))
    points = points * np.array(metres_per_degree(float(points[:, 1].mean())))
    last = dict(used)
    codes = {}
    for at in reading_order(villages, points).tolist():
        village = str(villages[at])
        last[village] = last.get(village, 0) + 1
        if last[village] > MOST_CODES:
            raise GridCodesUsedUp(village=village, most=MOST_CODES)
        codes[opened[at]] = f"{village}{last[village]:03d}"
    return codes


def _duty_codes(plan: Plan, keys: Sequence[str], used: Mapping[str, int]) -> dict[str, str]:
    last, codes = dict(used), {}
    for key in keys:
        duty = plan.duties[key]
        if duty.fresh:
            last[duty.village] = last.get(duty.village, 0) + 1
            codes[key] = f"{duty.village}D{last[duty.village]:02d}"
    return codes


@dataclass(frozen=True)
class Fault:
    """What keeps a plan from being published (or, where ``hint``, only ought to be seen): a stable code and where."""

    code: str
    grids: Sequence[str] = ()
    duty: str = ""
    village: str = ""
    m2: float = 0.0
    hint: bool = False


def faults(start: Plan, plan: Plan, lands: Mapping[str, Any]) -> list[Fault]:
    """Duty grids in pieces, grids without a duty grid, overlaps, gaps and grids beyond their village's outline.

    Topology is looked at in the villages the plan changes; ``lands`` are their outlines where known. Grids that had no
    duty grid before the plan are a hint.
    """
    found = []
    by_duty: dict[str, list[str]] = defaultdict(list)
    for key, cell in plan.cells.items():
        by_duty[cell.duty].append(key)
    for duty, keys in sorted(by_duty.items()):
        if not duty:
            before = [key for key, cell in start.cells.items() if not cell.duty]
            found.append(Fault("grid_loose", tuple(keys), hint=len(keys) <= len(before)))
            continue
        if _same_members(start, plan, duty, keys):
            continue
        apart = pieces(plan, keys)
        if len(apart) > 1:
            found.append(Fault("duty_apart", tuple(key for piece in apart[1:] for key in piece), duty))
    return found + _topology(start, plan, lands)


def _same_members(start: Plan, plan: Plan, duty: str, keys: Sequence[str]) -> bool:
    return not any(plan.cells[key].fresh for key in keys) and set(keys) == set(start.members(duty))


def _topology(start: Plan, plan: Plan, lands: Mapping[str, Any]) -> list[Fault]:
    changed = {cell.village for cell in plan.cells.values() if cell.fresh}
    if not changed:
        return []
    keys = [key for key, cell in plan.cells.items() if cell.village in changed]
    polygons = np.array([plan.cells[key].polygon for key in keys], dtype=object)
    villages = np.array([plan.cells[key].village for key in keys], dtype=object)
    known = {village: lands[village] for village in changed if lands.get(village) is not None}
    found = [Fault("overlap", (keys[pair.first], keys[pair.second]), m2=pair.m2) for pair in grids.overlaps(polygons)]
    found += [Fault("gap", village=gap.village, m2=gap.m2) for gap in grids.gaps(polygons, villages, known)]
    beyond = grids.outside(polygons, villages, known)
    found += [Fault("outside", (keys[i],), m2=float(beyond[i])) for i in np.flatnonzero(beyond > 0).tolist()]
    return found
