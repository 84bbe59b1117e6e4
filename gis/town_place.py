"""How things are placed on a plan: along ways, at junctions, on land, beside buildings. Knows no categories."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely

from gis.town_buildings import Buildings, Plots
from gis.town_cut import Floats, Shapes
from gis.town_grids import Grids
from gis.town_ground import DRAWN, HECTARE, Ground, Plan
from gis.town_spec import TownSpec
from gis.town_ways import Spots, Ways, along_lines, join_spots

Rule = Mapping[str, Any]
WATER_LINES = ("canal", "bank")
STEPS = np.array([-0.5, -0.25, 0.0, 0.25, 0.5])


@dataclass(frozen=True)
class Land:
    """Everything things are placed on. All geometry in plan metres; ``taken`` grows with every rectangle placed."""

    spec: TownSpec
    ground: Ground
    grids: Grids
    ways: Ways
    plots: Plots
    buildings: Buildings
    cells: "shapely.STRtree"
    built: "shapely.STRtree"
    taken: list[object] = field(default_factory=list)

    def uses_at(self, points: Shapes) -> "np.ndarray[tuple[int], np.dtype[np.str_]]":
        """The use of the unit grid at each point, "" outside the town."""
        found = np.full(len(points), "", dtype="<U16")
        hit, cell = self.cells.query(points, predicate="intersects")
        found[hit[::-1]] = np.array(self.grids.use)[cell[::-1]]
        return found


def place(land: Land, code: str, rules: Rule) -> tuple[Shapes, list[str]]:
    """Geometry of all things of one category in plan metres, and the method that placed each."""
    rng = land.spec.rng(f"component {code}")
    shapes: list[Shapes] = []
    methods: list[str] = []
    for method, rule in rules.items():
        found = METHODS[method](land, rule, rng)
        shapes.append(found)
        methods += [method] * len(found)
    return np.concatenate(shapes), methods


def along(land: Land, rule: Rule, rng: np.random.Generator) -> Shapes:
    """Points beside or on ways (or banks)."""
    parts = []
    for kind, every in rule["every"].items():
        sides = rule["sides"] if isinstance(rule["sides"], str) else rule["sides"][kind]
        for half, spots in _middles(land, kind, float(every), float(rule.get("phase", 0.5))):
            lateral = _lateral(rule, half)
            for side in _sides(sides, len(spots)):
                jitter = rng.normal(0.0, float(rule.get("jitter", 0.5)), len(spots))
                moved = spots.shift(jitter, side * lateral)
                parts.append(_by_use(land, moved, rule, kind))
    spots = join_spots(parts)
    if "share" in rule:
        spots = spots.pick(rng.random(len(spots)) < float(rule["share"]))
    return spots.points


def _middles(land: Land, kind: str, every: float, phase: float) -> list[tuple[float, Spots]]:
    """Spots on the middle of ways or water lines of a kind with their half width."""
    if kind == "bank":
        return [(0.0, along_lines(np.array([land.ground.bank], dtype=object), every, phase=phase))]
    if kind == "canal":
        return [
            (width / 2, along_lines(np.array([line], dtype=object), every, phase=phase))
            for _, width, line in land.ground.canals
        ]
    return [(land.ways.width[kind] / 2, land.ways.along(kind, every, phase=phase))]


def _lateral(rule: Rule, half: float) -> float:
    return half + float(rule["edge"]) if "edge" in rule else half * float(rule["inside"])


def _sides(sides: str, count: int) -> list[Floats]:
    left, right = np.ones(count), -np.ones(count)
    alternate = np.where(np.arange(count) % 2 == 0, 1.0, -1.0)
    return {"both": [left, right], "left": [left], "right": [right], "alternate": [alternate]}[sides]


def _by_use(land: Land, spots: Spots, rule: Rule, kind: str) -> Spots:
    """Only spots on land of the uses wanted; named ways outside the fields keep theirs (``rural_ways``)."""
    if not len(spots):
        return spots
    uses = land.uses_at(spots.points)
    keep = uses != ""
    if "use" in rule:
        keep &= np.isin(uses, rule["use"])
    if "not_use" in rule and kind not in rule.get("rural_ways", ()):
        keep &= ~np.isin(uses, rule["not_use"])
    return spots.pick(keep)


def crossing(land: Land, rule: Rule, rng: np.random.Generator) -> Shapes:
    """Points (or boxes) at junctions. Rules of one ``group`` with one ``share`` pick the same junctions."""
    nodes = land.ways.junctions
    dice = land.spec.rng(f"junctions {rule['group']}").random(len(nodes.x))
    of, other = DRAWN.index(rule["of"]), DRAWN.index(rule["with"])
    chosen = (nodes.rank <= of) & (nodes.second <= other) & (dice < float(rule["share"]))
    arm = np.flatnonzero(chosen[nodes.arm_of])
    if rule["per"] == "node":
        arm = arm[np.unique(nodes.arm_of[arm], return_index=True)[1]]
    else:
        arm = arm[nodes.arm_rank[arm] <= other]
    half = np.array([land.ways.width[k] / 2 for k in DRAWN])
    node = nodes.arm_of[arm]
    spots = Spots(nodes.x[node], nodes.y[node], nodes.arm_turn[arm])
    if "box" in rule:
        length, depth = rule["box"]
        return _boxes(spots, np.full(len(spots), float(length)), float(depth))
    # Stand back by half the crossing way, on the side on which traffic comes towards the junction.
    moved = spots.shift(half[nodes.rank[node]] + float(rule["ahead"]), half[nodes.arm_rank[arm]] + float(rule["edge"]))
    return moved.pick(land.uses_at(moved.points) != "").points


def on_land(land: Land, rule: Rule, rng: np.random.Generator) -> Shapes:
    """Points spread over land, apart from each other and clear of buildings."""
    spots, _ = _spread(land, rule, rng, clear=1.5)
    return spots.points


def _spread(land: Land, rule: Rule, rng: np.random.Generator, clear: float) -> tuple[Spots, Floats]:
    """Spots on plots in proportion to their size, at least ``least`` in all; with their parcel number."""
    chosen: list[Floats] = []
    area = shapely.area(land.plots.parcel) / HECTARE
    wish = np.array([float(rule["per_ha"].get(u, 0.0)) for u in land.grids.parcel_use]) * area
    count = np.floor(wish + rng.random(len(wish))).astype(int)
    most = int(rule.get("most", 10**6))
    if count.sum() < int(rule.get("least", 0)):
        count[np.argsort(-wish, kind="stable")[: int(rule["least"])]] += 1
    for number in np.flatnonzero(count).tolist():
        plot = shapely.buffer(land.plots.parcel[number], -clear - 1.0)
        if shapely.is_empty(plot):
            continue
        x0, y0, x1, y1 = shapely.bounds(plot)
        tries = rng.random((count[number] * 14 + 10, 2)) * [x1 - x0, y1 - y0] + [x0, y0]
        points = shapely.points(tries)
        shapely.prepare(plot)
        good = shapely.contains(plot, points)
        hit, _ = land.built.query(points, predicate="dwithin", distance=clear)
        good[hit] = False
        took = tries[good][: count[number]]
        chosen.append(np.column_stack([took, np.full(len(took), float(number))]))
    table = np.vstack(chosen) if chosen else np.empty((0, 3))
    if len(table) > most:
        table = table[np.sort(rng.permutation(len(table))[:most])]
    turn = land.plots.turn[table[:, 2].astype(int)]
    return Spots(table[:, 0], table[:, 1], turn), table[:, 2]


def rim(land: Land, rule: Rule, rng: np.random.Generator) -> Shapes:
    """Points along the edge of plots."""
    spots = along_lines(_rims(land, rule), float(rule["every"]))
    spots = spots.pick(rng.random(len(spots)) < float(rule["share"]))
    return spots.pick(land.uses_at(spots.points) != "").points


def _rims(land: Land, rule: Rule) -> Shapes:
    wanted = np.isin(np.array(land.grids.parcel_use), rule["use"])
    inner = shapely.get_parts(shapely.buffer(land.plots.parcel[wanted], -float(rule["inset"]), join_style="mitre"))
    return np.asarray(shapely.get_exterior_ring(inner[shapely.area(inner) > 200]), dtype=object)


def strip_rim(land: Land, rule: Rule, rng: np.random.Generator) -> Shapes:
    """Lines along the edge of plots."""
    rings = _rims(land, rule)
    length = float(rule["length"])
    return _lines(rings, length * 1.15, length, np.zeros(len(rings)), lambda n: rng.random(n) < float(rule["share"]))


def strip(land: Land, rule: Rule, rng: np.random.Generator) -> Shapes:
    """Lines along ways or water, clear of junctions."""
    found = []
    for kind, every in rule["every"].items():
        if kind == "bank":
            pairs = [(0.0, [land.ground.bank])]
        elif kind == "canal":
            pairs = [(width / 2, [line]) for _, width, line in land.ground.canals]
        else:
            pairs = [(land.ways.width[kind] / 2, [c.line for c in land.ways.lines[kind]])]
        for half, lines in pairs:
            aside = np.full(len(lines), _lateral(rule, half))
            found.append(
                _lines(
                    np.array(lines, dtype=object),
                    float(every),
                    float(rule["length"]),
                    aside,
                    lambda n: np.ones(n, bool),
                )
            )
    shapes = np.concatenate(found)
    middle = shapely.line_interpolate_point(shapes, 0.5, normalized=True)
    uses = land.uses_at(middle)
    keep = uses != ""
    if "use" in rule:
        keep &= np.isin(uses, rule["use"])
    keep &= shapely.covers(land.ground.outline, shapes)
    if not set(rule["every"]) & set(WATER_LINES):
        # A rail or a screen never closes a junction.
        hit, _ = shapely.STRtree(shapes).query(
            shapely.points(land.ways.junctions.x, land.ways.junctions.y), predicate="dwithin", distance=7.0
        )[::-1]
        keep[hit] = False
    return np.asarray(shapes[keep], dtype=object)


def _lines(
    lines: Shapes, every: float, length: float, aside: Floats, wanted: Callable[[int], "np.ndarray[Any, Any]"]
) -> Shapes:
    """Pieces of lines, ``length`` long, every so often, moved ``aside`` to the left."""
    count = np.floor(shapely.length(lines) / every).astype(np.int64)
    line = np.repeat(np.arange(len(lines)), count)
    k = np.arange(len(line)) - np.repeat(np.cumsum(count) - count, count)
    keep = wanted(len(line))
    line, at = line[keep], ((k + 0.5) * every)[keep]
    along_at = at[:, None] + STEPS[None, :] * length
    who = np.repeat(lines[line], len(STEPS))
    here = shapely.get_coordinates(shapely.line_interpolate_point(who, along_at.reshape(-1)))
    next_ = shapely.get_coordinates(shapely.line_interpolate_point(who, along_at.reshape(-1) + 0.5))
    back = shapely.get_coordinates(shapely.line_interpolate_point(who, np.maximum(along_at.reshape(-1) - 0.5, 0.0)))
    step = next_ - back
    normal = np.column_stack([-step[:, 1], step[:, 0]]) / np.maximum(np.hypot(*step.T), 1e-9)[:, None]
    moved = here + normal * np.repeat(aside[line], len(STEPS))[:, None]
    return np.asarray(shapely.linestrings(moved.reshape(-1, len(STEPS), 2)), dtype=object)


def beside(land: Land, rule: Rule, rng: np.random.Generator) -> Shapes:
    """Points in front of the south wall of buildings, a gap away, somewhere along it."""
    share = np.array([float(rule["share"].get(u, 0.0)) for u in land.buildings.use])
    chosen = np.flatnonzero(rng.random(len(share)) < share)
    corners = shapely.get_coordinates(land.buildings.shape[chosen]).reshape(-1, 5, 2)
    middle, half = corners[:, :4].mean(axis=1), np.hypot(*(corners[:, 1] - corners[:, 0]).T) / 2
    depth = np.hypot(*(corners[:, 2] - corners[:, 1]).T) / 2
    wall = Spots(middle[:, 0], middle[:, 1], land.buildings.turn[chosen])
    return wall.shift(rng.uniform(-0.8, 0.8, len(wall)) * half, -depth - float(rule["gap"])).points


def rectangles(land: Land, rule: Rule, rng: np.random.Generator) -> Shapes:
    """Rectangles on land, turned like its buildings and clear of them."""
    width, depth = (float(v) for v in rule["size"])
    spots, number = _spread(land, rule, rng, clear=depth / 2 + 1.0)
    size = width * rng.uniform(0.75, 1.2, len(spots))
    shapes = _boxes(spots, size, depth)
    hit, _ = land.built.query(shapes, predicate="intersects")
    keep = shapely.covers(land.plots.parcel[number.astype(int)], shapes)
    keep[hit] = False
    if land.taken:
        hit, _ = shapely.STRtree(land.taken).query(shapes, predicate="intersects")
        keep[hit] = False
    if keep.sum() < int(rule.get("least", 0)):
        keep[:] = True
    land.taken.extend(shapes[keep])
    return np.asarray(shapes[keep], dtype=object)


def whole(land: Land, rule: Rule, rng: np.random.Generator) -> Shapes:
    """The plots of a use themselves."""
    wanted = np.isin(np.array(land.grids.parcel_use), rule["use"])
    parts = shapely.get_parts(shapely.buffer(land.plots.parcel[wanted], -float(rule["inset"]), join_style="mitre"))
    return np.asarray(parts[shapely.area(parts) > 400], dtype=object)


def span(land: Land, rule: Rule, rng: np.random.Generator) -> Shapes:
    """Rectangles across ways or canals."""
    found = []
    for kind, every in rule["every"].items():
        for half, spots in _middles(land, kind, float(every), float(rule.get("phase", 0.5))):
            across = Spots(spots.x, spots.y, spots.turn + np.pi / 2)
            found.append(_boxes(across, np.full(len(across), 2 * (half + float(rule["beyond"]))), float(rule["depth"])))
    return np.concatenate(found)


def bridges(land: Land, rule: Rule, rng: np.random.Generator) -> Shapes:
    """Rectangles where ways cross canals or the river."""
    found = []
    waters = [(width / 2, line) for _, width, line in land.ground.canals]
    for kind in ("trunk", "main", "secondary"):
        for cut in land.ways.lines[kind]:
            for half, line in waters:
                for point in shapely.get_parts(shapely.intersection(cut.line, line)):
                    if point.geom_type != "Point":
                        continue
                    at = cut.line.project(point)
                    a, b = cut.line.interpolate(max(0.0, at - 2.0)), cut.line.interpolate(at + 2.0)
                    turn = float(np.arctan2(b.y - a.y, b.x - a.x))
                    spot = Spots(np.array([point.x]), np.array([point.y]), np.array([turn]))
                    length = 2 * (half * 1.25 + float(rule["beyond"]))
                    found.append(_boxes(spot, np.array([length]), land.ways.width[kind] + 2.0))
        if kind == "trunk":
            decks = [shapely.intersection(c.line, land.ground.river) for c in land.ways.lines[kind]]
            found.append(
                np.asarray(
                    shapely.buffer(
                        [d for d in decks if d.length > 20], land.ways.width[kind] / 2 + 1, cap_style="flat"
                    ),
                    dtype=object,
                )
            )
    return np.concatenate(found) if found else np.empty(0, dtype=object)


def corridor(land: Land, rule: Rule, rng: np.random.Generator) -> Shapes:
    """Points at even distances on straight lines across the town."""
    plan = Plan(land.spec)
    ends = [shapely.LineString(plan.bend(np.array(path, dtype=float))) for path in rule["paths"]]
    spots = along_lines(np.array(ends, dtype=object), float(rule["every"]))
    return spots.pick(land.uses_at(spots.points) != "").points


def _boxes(spots: Spots, length: Floats, depth: float) -> Shapes:
    """Rectangles centred on spots, ``length`` along their heading."""
    corner = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2
    local = corner[None, :, :] * np.stack([length, np.full(len(length), depth)], axis=-1)[:, None, :]
    c, s = np.cos(spots.turn)[:, None], np.sin(spots.turn)[:, None]
    x = spots.x[:, None] + local[:, :, 0] * c - local[:, :, 1] * s
    y = spots.y[:, None] + local[:, :, 0] * s + local[:, :, 1] * c
    return np.asarray(shapely.polygons(np.stack([x, y], axis=-1)), dtype=object).reshape(-1)


METHODS: dict[str, Callable[[Land, Rule, np.random.Generator], Shapes]] = {
    "along": along,
    "crossing": crossing,
    "land": on_land,
    "rim": rim,
    "strip_rim": strip_rim,
    "beside": beside,
    "plots": rectangles,
    "whole": whole,
    "strip": strip,
    "span": span,
    "bridges": bridges,
    "corridor": corridor,
}
