"""A draft plan of grids: the grids in force on its day and the steps that change them. Pure.

A plan is its base and its steps, applied in order; whatever is shown or published is computed from them, so that a step
taken back leaves nothing behind. A grid whose border changes is a new grid: a code means one piece of land for ever.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import shapely
from shapely import Polygon

from gis import errors, town_cut
from gis.errors import BorderRefused, GridUnknown, NotAdjacent
from gis.grid_shapes import (
    SLIVER_M2,
    Nodes,
    clean,
    cut,
    has_node,
    hold,
    join,
    lattice,
    metres2,
    moved,
    same_land,
    sound,
    with_nodes,
)

Step = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cell:
    """A unit grid of a plan. ``duty`` is the key of its duty grid, '' for none; ``fresh`` is one the plan makes."""

    village: str
    area_class: str
    land_use: str
    duty: str
    polygon: Polygon
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Duty:
    """A duty grid of a plan."""

    name: str
    village: str
    fresh: bool = False


@dataclass(frozen=True)
class Plan:
    """Unit grids by key and duty grids by key: the code of what is in force, ``n3.1`` or ``d3`` of what step 3 made."""

    cells: Mapping[str, Cell]
    duties: Mapping[str, Duty]

    def cell(self, key: str) -> Cell:
        """Raises ``GridUnknown``."""
        found = self.cells.get(key)
        if found is None:
            raise GridUnknown("方案里没有这个网格", "The plan has no such grid", grid=key)
        return found

    def members(self, duty: str) -> list[str]:
        """The unit grids of a duty grid."""
        return [key for key, cell in self.cells.items() if cell.duty == duty]


def base(cells: Mapping[str, Cell], duties: Mapping[str, Duty]) -> Plan:
    """The grids in force as a plan begins with them: a coverage that shares its nodes, as far as it can be mended."""
    polygons = clean(np.array([cell.polygon for cell in cells.values()], dtype=object))
    mended = {
        key: cell if polygon is cell.polygon else replace(cell, polygon=polygon)
        for (key, cell), polygon in zip(cells.items(), polygons, strict=True)
    }
    return Plan(mended, dict(duties))


@dataclass(frozen=True)
class Drafted:
    """A plan with all its steps; ``broken`` are those that no longer fit (position, why) and were left out."""

    plan: Plan
    broken: Sequence[tuple[int, errors.Problem]] = field(default=())


def drafted(start: Plan, steps: Sequence[Step]) -> Drafted:
    """All steps in order. One that does not fit (the grids changed under the draft) is left out and named."""
    plan, broken = start, []
    for number, step in enumerate(steps):
        try:
            plan = apply(plan, step, number + 1)
        except errors.Problem as problem:
            broken.append((number, problem))
    return Drafted(plan, broken)


def apply(plan: Plan, step: Step, number: int) -> Plan:
    """One step, the ``number``-th. Raises ``BorderRefused``, ``NotAdjacent``, ``GridUnknown``."""
    return _STEPS[step["step"]](plan, step, number)


def _split(plan: Plan, step: Step, number: int) -> Plan:
    key, cell = step["grid"], plan.cell(step["grid"])
    (parts,), nodes = cut([cell.polygon], step["line"])
    if len(parts) < 2:
        raise BorderRefused("线没有从边到边穿过网格", "The line does not run from border to border")
    made = {f"n{number}.{i}": _fresh(cell, part) for i, part in enumerate(parts, 1)}
    return _replaced(plan, [key], made, nodes)


def _merge(plan: Plan, step: Step, number: int) -> Plan:
    keys = list(dict.fromkeys(step["grids"]))
    cells = [plan.cell(key) for key in keys]
    largest = max(cells, key=lambda cell: metres2(cell.polygon))
    return _replaced(plan, keys, {f"n{number}.1": _fresh(largest, _joined(keys, cells))})


def _retire(plan: Plan, step: Step, number: int) -> Plan:
    keys = [step["grid"], step["into"]]
    cells = [plan.cell(key) for key in keys]
    return _replaced(plan, keys, {f"n{number}.1": _fresh(cells[1], _joined(keys, cells))})


def _redraw(plan: Plan, step: Step, number: int) -> Plan:
    """The border between two grids along another line: the parts go to whose land they mostly were."""
    keys = [step["grids"][0], step["grids"][1]]
    cells = [plan.cell(key) for key in keys]
    (parts,), nodes = cut([_joined(keys, cells)], step["line"])
    if len(parts) != 2:
        raise BorderRefused("新边界须把两个网格分成两块", "The new border has to leave two parts")
    kept = [shapely.intersection(cells[0].polygon, part).area for part in parts]
    if kept[1] > kept[0]:
        parts = [parts[1], parts[0]]
    made = dict(_reshaped(keys, cells, parts, number))
    return _replaced(plan, keys, made, nodes)


def _move(plan: Plan, step: Step, number: int) -> Plan:
    """A node of a border, or a new one on it, to another place: with it all the grids that meet there."""
    at, to = lattice(step["at"]), lattice(step["to"])
    spot = shapely.Point(at)
    near = _around(plan, [spot.buffer(1e-4)])
    if not near:
        raise BorderRefused("那里没有网格边界", "There is no border there")
    node, nodes = hold([plan.cells[key].polygon for key in near], at)
    shapes = {key: with_nodes(plan.cells[key].polygon, nodes) for key in near}
    keys = [key for key in near if has_node(shapes[key], node)]
    cells = [plan.cells[key] for key in keys]
    land = shapely.union_all(np.array([shapes[key] for key in keys], dtype=object))
    inner = len({cell.village for cell in cells}) == 1 and land.contains_properly(shapely.Point(node))
    if not inner:
        raise BorderRefused("村居的外边界不能在这里移动", "The outline of a village is not moved here")
    parts = [moved(shapes[key], node, to) for key in keys]
    return _replaced(plan, keys, dict(_reshaped(keys, cells, parts, number)), nodes)


def _draw(plan: Plan, step: Step, number: int) -> Plan:
    """A new grid: it takes its land from the grids that are there, in the village that most of it lies in."""
    corners = [lattice(point) for point in step["ring"]]
    ring = [*corners, corners[0]] if corners[0] != corners[-1] else corners
    drawn = Polygon(ring) if len(ring) > 3 else Polygon()
    if not drawn.is_valid or drawn.is_empty:
        raise BorderRefused("画的范围自己相交", "The drawn area crosses itself")
    shares = {key: metres2(drawn.intersection(plan.cells[key].polygon)) for key in _around(plan, [drawn])}
    shares = {key: share for key, share in shares.items() if share > 0}
    if not shares:
        raise BorderRefused("画的范围不在任何网格里", "The drawn area lies in no grid")
    most = plan.cells[max(shares, key=lambda key: shares[key])]
    keys = [key for key in shares if plan.cells[key].village == most.village]
    found, nodes = cut([plan.cells[key].polygon for key in keys], ring)
    taken: list[Polygon] = []
    made: dict[str, Cell] = {}
    gone = []
    for key, parts in zip(keys, found, strict=True):
        inside = [part for part in parts if drawn.covers(part.representative_point())]
        rest = [part for part in parts if not drawn.covers(part.representative_point())]
        if not inside or (rest and sum(map(metres2, inside)) < SLIVER_M2):
            continue
        gone.append(key)
        taken += inside + [part for part in rest if metres2(part) < SLIVER_M2]
        for part in rest:
            if metres2(part) >= SLIVER_M2:
                made[f"n{number}.{len(made) + 2}"] = _fresh(plan.cells[key], part)
    land = join(taken) if taken else None
    if land is None:
        raise BorderRefused("新网格不成一块", "The new grid is not one piece")
    new = replace(most, area_class=step["area_class"], land_use=step["land_use"])
    made = {f"n{number}.1": _fresh(new, land)} | made
    return _replaced(plan, gone, made, nodes)


def _describe(plan: Plan, step: Step, number: int) -> Plan:
    key, cell = step["grid"], plan.cell(step["grid"])
    told = replace(cell, area_class=step["area_class"], land_use=step["land_use"])
    return replace(plan, cells={**plan.cells, key: told})


def _assign(plan: Plan, step: Step, number: int) -> Plan:
    return grouped(plan, {key: step["duty"] for key in step["grids"]})


def _group(plan: Plan, step: Step, number: int) -> Plan:
    """A new duty grid of these unit grids."""
    if not step["grids"]:
        raise GridUnknown("没有选网格", "No grids were chosen")
    new = Duty(step["name"], plan.cell(step["grids"][0]).village, fresh=True)
    opened = replace(plan, duties={**plan.duties, f"d{number}": new})
    return grouped(opened, {key: f"d{number}" for key in step["grids"]})


def _rename(plan: Plan, step: Step, number: int) -> Plan:
    if step["duty"] not in plan.duties:
        raise GridUnknown("没有这个责任网格", "No such duty grid", duty=step["duty"])
    named = replace(plan.duties[step["duty"]], name=step["name"])
    return replace(plan, duties={**plan.duties, step["duty"]: named})


def _regroup(plan: Plan, step: Step, number: int) -> Plan:
    return grouped(plan, step["members"])


def grouped(plan: Plan, members: Mapping[str, str]) -> Plan:
    """The plan with these unit grids in these duty grids, which stay in one village and in one piece where they grow.

    Raises ``NotAdjacent`` or ``GridUnknown``.
    """
    cells = dict(plan.cells)
    for key, duty in members.items():
        cell = plan.cell(key)
        if duty not in plan.duties:
            raise GridUnknown("没有这个责任网格", "No such duty grid", duty=duty)
        if plan.duties[duty].village != cell.village:
            raise NotAdjacent("责任网格不能跨村居", "A duty grid stays within its village", grid=key, duty=duty)
        cells[key] = replace(cell, duty=duty)
    after = replace(plan, cells=cells)
    for duty in dict.fromkeys(members.values()):
        before, now = plan.members(duty), after.members(duty)
        if len(pieces(after, now)) > max(1, len(pieces(plan, before))):
            raise NotAdjacent("单元网格不相邻，不能并入这个责任网格", "The unit grids are not adjacent", duty=duty)
    return after


def pieces(plan: Plan, keys: Sequence[str]) -> list[list[str]]:
    """The pieces these grids hang together in by borders, the largest first."""
    if not keys:
        return []
    left, right, _ = town_cut.shared_edges(np.array([plan.cells[key].polygon for key in keys], dtype=object))
    found = town_cut.pieces(list(range(len(keys))), town_cut.neighbours(len(keys), left, right))
    return [[keys[i] for i in piece] for piece in found]


def _fresh(cell: Cell, polygon: Polygon) -> Cell:
    return replace(cell, polygon=polygon, fresh=True)


def _joined(keys: Sequence[str], cells: Sequence[Cell]) -> Polygon:
    if len(keys) < 2 or len(set(keys)) < len(keys):
        raise NotAdjacent("要选两个以上网格", "Two or more grids are needed")
    if len({cell.village for cell in cells}) > 1:
        raise NotAdjacent("网格不能跨村居合并", "Grids of different villages are not merged", grids=list(keys))
    land = join([cell.polygon for cell in cells])
    if land is None:
        raise NotAdjacent(grids=list(keys))
    return land


def _reshaped(keys: Sequence[str], cells: Sequence[Cell], parts: Sequence[Polygon], number: int) -> Any:
    """(key, cell) of grids in their new shape: one in force becomes a new one, a fresh one stays itself."""
    for i, (key, cell, part) in enumerate(zip(keys, cells, parts, strict=True), 1):
        yield (key if cell.fresh else f"n{number}.{i}"), _fresh(cell, part)


def _around(plan: Plan, shapes: Sequence[Any]) -> list[str]:
    """Keys of the grids whose boxes touch the box of the shapes."""
    west, south, east, north = shapely.total_bounds(np.array(shapes, dtype=object)).tolist()
    box = shapely.bounds(np.array([cell.polygon for cell in plan.cells.values()], dtype=object))
    touch = (box[:, 0] <= east) & (box[:, 2] >= west) & (box[:, 1] <= north) & (box[:, 3] >= south)
    return [key for key, there in zip(plan.cells, touch.tolist(), strict=True) if there]


def _replaced(plan: Plan, gone: Sequence[str], made: Mapping[str, Cell], nodes: Nodes | None = None) -> Plan:
    """Grids instead of others on the same land, their neighbours given the new nodes. Raises ``BorderRefused``."""
    before = [plan.cells[key].polygon for key in gone]
    after = [cell.polygon for cell in made.values()]
    if any(metres2(polygon) < SLIVER_M2 for polygon in after):
        raise BorderRefused("会留下过小的碎块", "A sliver would be left", least_m2=SLIVER_M2)
    rest = [key for key in _around(plan, before) if key not in gone]
    near = {key: with_nodes(plan.cells[key].polygon, nodes or {}) for key in rest}
    was_sound = sound([*before, *(plan.cells[key].polygon for key in rest)])
    # Of shapes that cross themselves nobody can say what land they cover.
    whole = bool(shapely.is_valid(np.array(after, dtype=object)).all())
    if not whole or not same_land(before, after) or (was_sound and not sound([*after, *near.values()])):
        raise BorderRefused("新边界离已有边界太近或越过了它", "The new border comes too near to another or crosses it")
    cells = {key: cell for key, cell in plan.cells.items() if key not in gone}
    for key, polygon in near.items():
        if polygon is not cells[key].polygon:
            cells[key] = replace(cells[key], polygon=polygon)
    return replace(plan, cells=cells | dict(made))


_STEPS: Final[Mapping[str, Callable[[Plan, Step, int], Plan]]] = {
    "split": _split,
    "merge": _merge,
    "retire": _retire,
    "redraw": _redraw,
    "move": _move,
    "draw": _draw,
    "describe": _describe,
    "assign": _assign,
    "group": _group,
    "rename": _rename,
    "regroup": _regroup,
}
