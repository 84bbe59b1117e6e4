"""The lie of the synthetic land: outline, river, roads, blocks, villages, land use. Knows only planar metres."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import shapely
from shapely import LineString, Polygon
from shapely.ops import substring

from gis.town_cut import (
    Cut,
    Floats,
    Ints,
    Shapes,
    dissolve,
    faces,
    neighbours,
    pieces,
    shared_edges,
    split,
    subdivide,
)
from gis.town_spec import TownSpec

HECTARE = 10_000.0
DRAWN = ("trunk", "main", "secondary", "lane", "track")
"""Kinds of ways, widest first; "canal" and "" are borders without a way."""


@dataclass(frozen=True)
class Block:
    """A piece of land between roads: its division and its zone (urban, industrial, village, farm, green, water)."""

    land: Polygon
    village: str
    zone: str


@dataclass(frozen=True)
class Parcel:
    """Land of one use inside block number ``block``."""

    land: Polygon
    block: int
    use: str


@dataclass(frozen=True)
class Ground:
    """The plan in metres around the centre. ``lines`` part all land down to unit grids; canals: name, width, line.

    ``river`` is the half within the town; ``bank`` is its west side, ``far_bank`` the other side, beyond the border.
    """

    outline: Polygon
    river: Polygon
    river_name: str
    far_bank: LineString
    bank: LineString
    canals: tuple[tuple[str, float, LineString], ...]
    blocks: tuple[Block, ...]
    parcels: tuple[Parcel, ...]
    lines: tuple[Cut, ...]


class Plan:
    """Bends plan coordinates into metres: three smooth waves, a turn, and the scale that gives the wanted area."""

    def __init__(self, spec: TownSpec) -> None:
        ground = spec.body["ground"]
        rng = spec.rng("plan")
        self._waves = [(float(a), float(w), *rng.uniform(0, 2 * np.pi, 2)) for a, w in ground["waves"]]
        self._turn = np.radians(ground["turn"])
        self._river = ground["river"]
        self._meander = [(float(a), float(w), rng.uniform(0, 2 * np.pi)) for a, w in self._river["waves"]]
        self.scale = 1.0
        self.scale = float(np.sqrt(spec.body["area_km2"] * 1e6 / self.outline(ground["outline"]).area))

    def bend(self, plan: Floats) -> Floats:
        """Metres for (n, 2) plan coordinates."""
        u, v = plan[:, 0], plan[:, 1]
        x, y = u.copy(), v.copy()
        for amplitude, wave, one, two in self._waves:
            x += amplitude * np.sin(2 * np.pi * (v + 0.35 * u) / wave + one)
            y += amplitude * np.sin(2 * np.pi * (u - 0.35 * v) / wave + two)
        c, s = np.cos(self._turn), np.sin(self._turn)
        return np.column_stack([x * c - y * s, x * s + y * c]) * self.scale

    def line(self, path: list[list[float]]) -> LineString:
        """A plan path as a bent line."""
        return shapely.simplify(LineString(self.bend(_dense(_rounded(np.asarray(path, dtype=float)), 40.0))), 0.25)

    def river_line(self, inland: float, reach: float = 4600.0) -> LineString:
        """The river's middle line, or a line that many metres west of it, from south to north."""
        v = np.arange(-reach, reach + 1, 40.0)
        return shapely.simplify(LineString(self.bend(np.column_stack([self._river_u(v) - inland, v]))), 0.25)

    def outline(self, corners: list[list[float | str]]) -> Polygon:
        """The town's border; between two corners at "river" it follows the river's middle."""
        ring: list[Floats] = []
        n = len(corners)
        for k in range(n):
            (u0, v0), (u1, v1) = corners[k], corners[(k + 1) % n]
            v = np.array([float(v0), float(v1)])
            if u0 == "river" and u1 == "river":
                steps = np.linspace(v[0], v[1], int(abs(v[1] - v[0]) // 40) + 2)
                ring.append(np.column_stack([self._river_u(steps), steps])[:-1])
                continue
            river = self._river_u(v)
            ends = np.array([river[i] if u == "river" else float(u) for i, u in enumerate((u0, u1))])
            ring.append(_dense(np.column_stack([ends, v]), 40.0)[:-1])
        return shapely.simplify(Polygon(self.bend(np.vstack(ring))), 0.25)

    def _river_u(self, v: Floats) -> Floats:
        u = np.full_like(v, float(self._river["x"]), dtype=float)
        for amplitude, wave, phase in self._meander:
            u += amplitude * np.sin(2 * np.pi * v / wave + phase)
        return u


def lay_ground(spec: TownSpec) -> Ground:
    """Draw the whole plan of a town from its parameters."""
    plan = Plan(spec)
    ground = spec.body["ground"]
    outline = plan.outline(ground["outline"])
    river_spec = ground["river"]
    bank, levee = plan.river_line(river_spec["bank"]), plan.river_line(river_spec["levee"])
    river = max((p for p in split(outline, bank)[0]), key=lambda p: p.centroid.x)
    shore = min((p for p in split(outline, levee)[0]), key=lambda p: p.centroid.x)
    frame = _frame(spec, plan, outline, bank, levee, shore, river)
    canals = tuple(
        (c["name"], float(c["width"]), piece)
        for c in ground["canals"]
        for piece in _inside(plan.line(c["path"]), outline.difference(river))
    )
    lines = [*frame, *(Cut("canal", name, piece) for name, _, piece in canals)]
    zoned = _Zones(spec, plan, river, shore)
    lines += _cut_blocks(spec, lines, outline, zoned)
    blocks = _settle(spec, plan, faces([outline.exterior, *(c.line for c in lines)]), zoned)
    parcels, cuts = _cut_parcels(spec, blocks)
    far_bank = plan.river_line(-river_spec["bank"])
    return Ground(outline, river, river_spec["name"], far_bank, bank, canals, blocks, parcels, (*lines, *cuts))


def _frame(
    spec: TownSpec, plan: Plan, outline: Polygon, bank: LineString, levee: LineString, shore: Polygon, river: Polygon
) -> list[Cut]:
    """The named roads, the bank and the road on the levee."""
    ground = spec.body["ground"]
    edge = outline.exterior.difference(river.buffer(1.0))
    sides = ground["edge_road"]
    found = [
        Cut(sides["kind"], sides["names"][_side(outline, piece)], piece)
        for line in _parts(shapely.line_merge(edge))
        for piece in _at_corners(line)
    ]
    found += [Cut("", "", g) for g in _inside(bank, outline)]
    found += [Cut("secondary", ground["river"]["levee_road"], g) for g in _inside(levee, outline)]
    roads = [
        Cut(kind, name, g)
        for kind, name, path in ground["roads"]
        for g in _inside(plan.line(path), outline if kind == "trunk" else shore)
    ]
    return found + _trim(roads, [*(c.line for c in found), outline.exterior])


def _trim(roads: list[Cut], others: list[LineString], reach: float = 260.0) -> list[Cut]:
    """Cut off loose ends: an end piece shorter than ``reach`` metres beyond the last crossing."""
    trimmed = []
    for k, road in enumerate(roads):
        rest = shapely.union_all([*others, *(r.line for n, r in enumerate(roads) if n != k)])
        meet = shapely.get_coordinates(shapely.extract_unique_points(shapely.intersection(road.line, rest)))
        near = [road.line.project(shapely.Point(p)) for p in meet]
        near += [s for s in (0.0, road.line.length) if road.line.interpolate(s).distance(rest) < 0.5]
        if not near:
            trimmed.append(road)
            continue
        low, high = min(near), max(near)
        start = low if low < reach else 0.0
        end = high if road.line.length - high < reach else road.line.length
        trimmed.append(replace(road, line=substring(road.line, start, end)))
    return trimmed


class _Zones:
    """Which zone a point of the plan lies in, before villages take their cores."""

    def __init__(self, spec: TownSpec, plan: Plan, river: Polygon, shore: Polygon) -> None:
        self._river, self._shore = river, shore
        zones = spec.body["ground"]["zones"]
        self._discs = [
            (zone, plan.bend(np.array([[x, y]], dtype=float))[0], float(r) * plan.scale)
            for zone in ("urban", "industrial")
            for x, y, r in zones[zone]
        ]
        cores = np.array([[x, y] for x, y, w in spec.hearts.values() if w > 0.8])
        self._cores = plan.bend(cores) if len(cores) else np.empty((0, 2))
        self._core_radius = float(np.sqrt(max(spec.body["ground"]["village_core_ha"]) * HECTARE / np.pi)) * 1.1

    def at(self, land: Polygon) -> str:
        """Zone of a piece of land by its representative point."""
        point = land.representative_point()
        if self._river.contains(point):
            return "water"
        if not self._shore.contains(point):
            return "green"
        xy = np.array([point.x, point.y])
        for zone, centre, radius in self._discs:
            if np.hypot(*(xy - centre)) < radius:
                return zone
        return "farm"

    def near_core(self, land: Polygon) -> bool:
        """True where a village may stand, so that blocks are cut small enough for its fabric."""
        point = land.representative_point()
        return bool(np.any(np.hypot(*(self._cores - [point.x, point.y]).T) < self._core_radius))


def _cut_blocks(spec: TownSpec, lines: list[Cut], outline: Polygon, zones: _Zones) -> list[Cut]:
    """Cut the land between the main lines into blocks by secondary roads and, in the fields, lanes."""
    rng = spec.rng("blocks")
    sizes = spec.body["ground"]["blocks_ha"]
    names = iter(spec.body["ground"]["road_names"])

    def target(land: Polygon) -> float:
        zone = "village" if zones.near_core(land) else zones.at(land)
        return float(sizes[zone]) * HECTARE

    found: list[Cut] = []
    for land in faces([outline.exterior, *(c.line for c in lines)]):
        zone = zones.at(land)
        _, cuts = subdivide(land, target, rng, tilt=0.07, bend=0.02)
        for line in cuts:
            if zone == "water":
                found.append(Cut("", "", line))
            elif zone in ("urban", "industrial") or (zone == "farm" and line.length > 520):
                found.append(Cut("secondary", next(names, "") if line.length > 250 else "", line))
            else:
                found.append(Cut("track" if zone == "green" else "lane", "", line))
    return found


def _settle(spec: TownSpec, plan: Plan, lands: Shapes, zones: _Zones) -> tuple[Block, ...]:
    """Give every block to the division whose heart attracts it most, each division in one piece; then lay out cores."""
    rng = spec.rng("settle")
    codes = sorted(spec.hearts)
    heart = plan.bend(np.array([spec.hearts[c][:2] for c in codes]))
    pull = np.array([spec.hearts[c][2] for c in codes])
    middle_points = shapely.point_on_surface(lands)
    middle = shapely.get_coordinates(middle_points)
    far = np.hypot(*(middle[:, None, :] - heart[None, :, :]).transpose(2, 0, 1)) / pull[None, :]
    village = np.argmin(far, axis=1)
    zone = [zones.at(land) for land in lands]
    # The river and its bank go with the land behind them.
    strip = np.array([z in ("water", "green") for z in zone])
    behind = np.flatnonzero(~strip)
    village[strip] = village[behind[shapely.STRtree(middle_points[~strip]).nearest(middle_points[strip])]]
    left, right, _ = shared_edges(lands)
    village = one_piece(village, far, neighbours(len(lands), left, right))
    low, high = spec.body["ground"]["village_core_ha"]
    for k, code in enumerate(codes):
        mine = [i for i in np.argsort(far[:, k], kind="stable").tolist() if village[i] == k]
        if spec.division(code)["kind"] == "社区":
            for i in mine:
                zone[i] = "urban" if zone[i] == "farm" else zone[i]
            continue
        core = rng.uniform(low, high) * HECTARE
        for i in mine:
            if core <= 0:
                break
            if zone[i] in ("farm", "urban", "industrial"):
                zone[i] = "village"
                core -= lands[i].area
    return tuple(Block(land, codes[village[i]], zone[i]) for i, land in enumerate(lands))


def one_piece(owner: Ints, far: Floats, near: list[list[int]]) -> Ints:
    """Hand stray pieces of an owner's land to the nearest owner next to them until everyone's land is connected.

    ``far[i, k]`` is how unwillingly piece ``i`` goes to owner ``k``; ``near`` lists the neighbours of each piece.
    """
    owner = owner.copy()
    for _ in range(20):
        moved = False
        for k in range(far.shape[1]):
            for piece in pieces(np.flatnonzero(owner == k).tolist(), near)[1:]:
                beside = {int(owner[j]) for i in piece for j in near[i]} - {k}
                owner[piece] = min(beside, key=lambda o: (far[piece, o].sum(), o))
                moved = True
        if not moved:
            break
    return owner


def _cut_parcels(spec: TownSpec, blocks: tuple[Block, ...]) -> tuple[tuple[Parcel, ...], list[Cut]]:
    """Cut blocks into parcels, give each a use, and cut the parcels into cells of the size wanted for that use."""
    rng = spec.rng("parcels")
    zone_use, uses = spec.body["ground"]["zone_use"], spec.body["ground"]["uses"]
    parcels: list[Parcel] = []
    cuts: list[Cut] = []
    for number, block in enumerate(blocks):
        rule = zone_use[block.zone]
        wanted, odds = list(rule["use"]), np.array(list(rule["use"].values()), dtype=float)
        askew = 0.09 if block.zone == "village" else 0.04
        parts, lines = subdivide(block.land, _always(rule["parcel_ha"]), rng, askew, 0.012)
        cuts += [Cut(rule["cut"], "", line) for line in lines]
        for land in parts:
            use = str(rng.choice(wanted, p=odds / odds.sum()))
            parcels.append(Parcel(land, number, use))
            _, lines = subdivide(land, _always(uses[use]["grid_ha"]), rng, askew, 0.0)
            cuts += [Cut(uses[use]["cut"], "", line) for line in lines]
    return tuple(parcels), cuts


def clean_faces(lines: tuple[Cut, ...], outline: Polygon, parcels: tuple[Parcel, ...]) -> tuple[Shapes, Ints]:
    """The final cells: one coverage noded from all lines, with parcel numbers; slivers joined to neighbours."""
    cells = faces([outline.exterior, *(c.line for c in lines)])
    tree = shapely.STRtree([p.land for p in parcels])
    point, parcel = tree.query(shapely.point_on_surface(cells), predicate="within")
    owner = np.full(len(cells), -1, dtype=np.int64)
    owner[point[::-1]] = parcel[::-1]
    left, right, length = shared_edges(cells)
    block = np.array([p.block for p in parcels], dtype=np.int64)
    group = np.arange(len(cells))
    area = shapely.area(cells)
    for i in np.flatnonzero((area < 1200.0) | (owner < 0))[
        np.argsort(area[(area < 1200.0) | (owner < 0)], kind="stable")
    ]:
        mine = np.flatnonzero((left == i) | (right == i))
        other = np.where(left[mine] == i, right[mine], left[mine])
        same = (owner[other] >= 0) & ((owner[i] < 0) | (block[owner[other]] == block[owner[i]]))
        score = length[mine] * np.where(same, 1.0, 1e-6) * np.where(group[other] == i, 0.0, 1.0)
        target = group[other[np.argmax(score)]]
        if target == i:
            continue
        group[group == i] = target
    kept, index = np.unique(group, return_inverse=True)
    return dissolve(cells, index.reshape(-1), len(kept)), owner[kept]


def _at_corners(line: LineString) -> list[LineString]:
    """The line broken where it turns by more than 50 degrees."""
    xy = shapely.get_coordinates(line)
    step = np.diff(xy, axis=0)
    turn = np.diff(np.arctan2(step[:, 1], step[:, 0]))
    sharp = np.flatnonzero(np.abs((turn + np.pi) % (2 * np.pi) - np.pi) > np.radians(50)) + 1
    ends = [0, *sharp.tolist(), len(xy) - 1]
    return [LineString(xy[a : b + 1]) for a, b in pairwise(ends)]


def _side(outline: Polygon, piece: LineString) -> str:
    """Which way the outline's piece faces: west, north, south or east."""
    (x0, y0), (x1, y1) = piece.coords[0], piece.coords[-1]
    middle = piece.interpolate(0.5, normalized=True)
    if abs(x1 - x0) >= abs(y1 - y0):
        return "south" if outline.contains(shapely.Point(middle.x, middle.y + 30)) else "north"
    return "west" if outline.contains(shapely.Point(middle.x + 30, middle.y)) else "east"


def _rounded(path: Floats) -> Floats:
    """The path with its corners cut three times (Chaikin), ends kept."""
    for _ in range(3):
        a, b = path[:-1], path[1:]
        cut = np.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b], axis=1).reshape(-1, 2)
        path = np.vstack([path[:1], cut[1:-1], path[-1:]]) if len(path) > 2 else path
    return path


def _always(hectares: float) -> Callable[[Polygon], float]:
    area = float(hectares) * HECTARE
    return lambda _: area


def _dense(path: Floats, step: float) -> Floats:
    """Points along a path at most ``step`` apart, corners kept."""
    out = [path[:1]]
    for a, b in pairwise(path):
        n = max(1, int(np.hypot(*(b - a)) // step))
        out.append(a + (b - a) * (np.arange(1, n + 1) / n)[:, None])
    return np.vstack(out)


def _parts(shape: object) -> list[LineString]:
    return [g for g in shapely.get_parts(shape) if g.geom_type == "LineString"]


def _inside(line: LineString, land: Polygon) -> list[LineString]:
    return [g for g in _parts(shapely.intersection(line, land)) if g.length > 5]
