"""Cutting, joining and moving the borders of a coverage of unit grids, so that no gap and no overlap ever comes of it.

Pure. Polygons are in EPSG:4490 degrees and share their nodes exactly; new nodes lie on a lattice of 1e-8 degrees (about
a millimetre) and are put into every polygon that has the border. Distances are metres on the plane that touches the
ellipsoid there. Every operation looks at what it made and refuses what would not be a coverage any more.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import LinearRing, LineString, MultiPolygon, Polygon

from gis.errors import BorderRefused
from gis.geometry import metres_per_degree

Floats = NDArray[np.float64]
Point = tuple[float, float]
Edge = tuple[Point, Point]
#: Nodes to be put into borders, by border: its two ends in order.
Nodes = dict[Edge, list[Point]]

DECIMALS: Final = 8
SNAP_M: Final = 0.3
"""What comes nearer than this to a node or border is meant to lie on it."""
REACH_M: Final = 25.0
"""A drawn line that ends so near to the border it runs towards is drawn on to it."""
SLIVER_M2: Final = 20.0
"""Smaller parts are slips of the hand, not grids."""
FIND_M: Final = 2.0
"""How near to a node or border one has to point to take hold of it."""


def lattice(point: Sequence[float]) -> Point:
    """The place on the lattice that new nodes lie on."""
    return round(float(point[0]), DECIMALS), round(float(point[1]), DECIMALS)


def metres2(polygon: Any) -> float:
    """The area of one shape in m²."""
    if polygon.is_empty:
        return 0.0
    east, north = metres_per_degree(polygon.centroid.y)
    return float(polygon.area * east * north)


def sound(polygons: Sequence[Any]) -> bool:
    """Whether these polygons are valid, share no land and share their nodes along common borders."""
    shapes = np.array(polygons, dtype=object)
    return bool(shapely.is_valid(shapes).all()) and bool(shapely.coverage_is_valid(shapes))


def clean(polygons: NDArray[Any]) -> NDArray[Any]:
    """The polygons as a coverage that shares its nodes: as they are where they do, else mended within 5 cm.

    A survey tiles within a tolerance and often lacks the nodes where three grids meet. Cracks and overlaps wider than
    that stay and are faults.
    """
    if not len(polygons) or shapely.coverage_is_valid(polygons):
        return polygons
    degree = 0.05 / metres_per_degree(float(shapely.total_bounds(polygons)[1]))[1]
    mended = shapely.coverage_clean(polygons, snapping_distance=degree)
    single = np.array([whole(shape) for shape in mended], dtype=object)
    kept = np.array([one is not None for one in single])
    return np.where(kept, single, polygons)


def whole(shape: Any) -> Polygon | None:
    """The shape as one polygon, or None where it is not one."""
    if isinstance(shape, MultiPolygon) and len(shape.geoms) == 1:
        shape = shape.geoms[0]
    return shape if isinstance(shape, Polygon) and not shape.is_empty else None


def join(polygons: Sequence[Polygon]) -> Polygon | None:
    """Several polygons of a coverage as one; None where they do not hang together by borders."""
    return whole(shapely.coverage_union_all(np.array(polygons, dtype=object)))


def edges(polygon: Polygon) -> list[Edge]:
    """The borders between consecutive nodes, each with its ends in order."""
    found: list[Edge] = []
    for ring in (polygon.exterior, *polygon.interiors):
        nodes = [(x, y) for x, y in ring.coords]
        found += [(a, b) if a < b else (b, a) for a, b in pairwise(nodes)]
    return found


def with_nodes(polygon: Polygon, nodes: Nodes) -> Polygon:
    """The polygon with the nodes put into its borders; itself where it has none of them."""
    if not any(edge in nodes for edge in edges(polygon)):
        return polygon

    def ring(of: LinearRing) -> list[Point]:
        old = [(x, y) for x, y in of.coords]
        new: list[Point] = []
        for a, b in pairwise(old):
            new.append(a)
            between = nodes.get((a, b) if a < b else (b, a), [])
            new += sorted(between, key=lambda p: (p[0] - a[0]) ** 2 + (p[1] - a[1]) ** 2)
        return [*new, new[0]]

    return Polygon(ring(polygon.exterior), [ring(hole) for hole in polygon.interiors])


def cut(targets: Sequence[Polygon], path: Sequence[Sequence[float]]) -> tuple[list[list[Polygon]], Nodes]:
    """The parts a line (or, closed, the rim of an area) cuts each polygon into, and the nodes this puts in borders.

    A polygon that the line does not cut is its own only part. Raises ``BorderRefused``.
    """
    plane = _Plane(targets)
    corners = [lattice(point) for point in path]
    if len(set(corners)) < 2 or not LineString(corners).is_simple:
        raise BorderRefused("线自己相交或太短", "The line crosses itself or is too short")
    if corners[0] != corners[-1]:
        corners = _reaching(targets, corners)
    steps, nodes = plane.noded(corners)
    parts = [_faces(with_nodes(polygon, nodes), steps) for polygon in targets]
    used = {node for found in parts if len(found) > 1 for part in found for edge in edges(part) for node in edge}
    return parts, {edge: kept for edge, some in nodes.items() if (kept := [node for node in some if node in used])}


def _reaching(targets: Sequence[Polygon], corners: list[Point]) -> list[Point]:
    """The line drawn on at ends that lie inside, in the direction they have."""
    east, north = metres_per_degree(corners[0][1])
    land = shapely.union_all(np.array(targets, dtype=object))
    corners = list(corners)
    for end, inner in ((0, 1), (-1, -2)):
        if land.covers(shapely.Point(corners[end])):
            step = np.array(corners[end]) - np.array(corners[inner])
            length = float(np.hypot(*(step * (east, north))))
            corners[end] = lattice(np.array(corners[end]) + step / max(length, 1e-9) * REACH_M)
    return corners


def _faces(polygon: Polygon, steps: Sequence[Edge]) -> list[Polygon]:
    """What the steps of a noded line divide a polygon into; loose ends divide nothing."""
    rim = set(edges(polygon))
    inside = [step for step in steps if step not in rim]
    if inside:
        middles = shapely.points(np.array([((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in inside]))
        within = shapely.contains_properly(polygon, middles)
        inside = [step for step, there in zip(inside, within.tolist(), strict=True) if there]
    if not inside:
        return [polygon]
    lines = shapely.linestrings(np.array([*rim, *inside]))
    faces = shapely.get_parts(shapely.polygonize(lines))
    faces = [face for face in faces if polygon.covers(face.representative_point())]
    return sorted(faces, key=lambda face: face.bounds) if len(faces) > 1 else [polygon]


class _Plane:
    """The nodes and borders of some polygons, measured in metres."""

    def __init__(self, polygons: Sequence[Polygon]) -> None:
        self.edges: list[Edge] = sorted({edge for polygon in polygons for edge in edges(polygon)})
        self.vertices: list[Point] = sorted({point for edge in self.edges for point in edge})
        self.scale = np.array(metres_per_degree(self.vertices[0][1]))
        self.origin = np.array(self.vertices[0])
        self.at = self._metres(self.vertices)
        place = {point: i for i, point in enumerate(self.vertices)}
        self.ends = np.array([(place[a], place[b]) for a, b in self.edges])

    def _metres(self, points: Sequence[Point]) -> Floats:
        metres: Floats = (np.array(points) - self.origin) * self.scale
        return metres

    def _degrees(self, metres: Floats) -> Point:
        return lattice(metres / self.scale + self.origin)

    def nearest_edge(self, point: Point) -> tuple[Edge, Point, float]:
        """The nearest border, the nearest place on it (on the lattice), and how far it is in metres."""
        here = self._metres([point])[0]
        a, b = self.at[self.ends[:, 0]], self.at[self.ends[:, 1]]
        share = _along(a, b, here)
        foot = a + (b - a) * share[:, None]
        away = np.hypot(*(foot - here).T)
        best = int(np.argmin(away))
        return self.edges[best], self._degrees(foot[best]), float(away[best])

    def nearest_vertex(self, point: Point) -> tuple[Point, float]:
        """The nearest node and how far it is in metres."""
        away = np.hypot(*(self.at - self._metres([point])[0]).T)
        best = int(np.argmin(away))
        return self.vertices[best], float(away[best])

    def noded(self, corners: Sequence[Point]) -> tuple[list[Edge], Nodes]:
        """The line in steps from node to node, and the nodes it puts into borders."""
        nodes: Nodes = {}

        def add(edge: Edge, node: Point) -> None:
            if node not in edge and node not in nodes.setdefault(edge, []):
                nodes[edge].append(node)

        snapped: list[Point] = []
        for corner in corners:
            vertex, away = self.nearest_vertex(corner)
            if away > SNAP_M:
                edge, foot, away = self.nearest_edge(corner)
                vertex = foot if away <= SNAP_M else corner
                if away <= SNAP_M:
                    add(edge, foot)
            if not snapped or snapped[-1] != vertex:
                snapped.append(vertex)
        steps: list[Edge] = []
        for p, q in pairwise(snapped):
            chain = [p, *self._between(p, q, add), q]
            steps += [(a, b) if a < b else (b, a) for a, b in pairwise(chain) if a != b]
        return list(dict.fromkeys(steps)), nodes

    def _between(self, p: Point, q: Point, add: Any) -> list[Point]:
        """Where the step p to q passes nodes or crosses borders, in its order."""
        start, end = self._metres([p, q])
        found: dict[Point, float] = {}
        share = _along(np.broadcast_to(start, self.at.shape), np.broadcast_to(end, self.at.shape), self.at)
        away = np.hypot(*(start + (end - start) * share[:, None] - self.at).T)
        for i in np.flatnonzero(away <= SNAP_M).tolist():
            found[self.vertices[i]] = float(share[i])
        a, b = self.at[self.ends[:, 0]], self.at[self.ends[:, 1]]
        way, side = end - start, b - a
        turn = way[0] * side[:, 1] - way[1] * side[:, 0]
        crossing = np.abs(turn) > 1e-9
        turn = np.where(crossing, turn, 1.0)
        t = ((a[:, 0] - start[0]) * side[:, 1] - (a[:, 1] - start[1]) * side[:, 0]) / turn
        u = ((a[:, 0] - start[0]) * way[1] - (a[:, 1] - start[1]) * way[0]) / turn
        for i in np.flatnonzero(crossing & (t >= 0) & (t <= 1) & (u >= 0) & (u <= 1)).tolist():
            spot = start + way * t[i]
            if min(float(np.hypot(*(spot - self.at[j]))) for j in self.ends[i]) <= SNAP_M:
                continue  # it passes the node at the border's end
            if min(float(np.hypot(*(spot - end))), float(np.hypot(*(spot - start)))) <= SNAP_M:
                continue  # a corner of the line lies on the border, snapped already
            node = self._degrees(spot)
            add(self.edges[i], node)
            found[node] = float(t[i])
        ordered = sorted(found, key=lambda node: found[node])
        return [node for node in ordered if node not in (p, q)]


def _along(a: Floats, b: Floats, point: Floats) -> Floats:
    """Which share of the way from a[i] to b[i] is nearest to the point (or point[i]), 0 to 1."""
    way = b - a
    length = (way**2).sum(axis=1)
    share: Floats = np.clip(((point - a) * way).sum(axis=1) / np.where(length > 0, length, 1.0), 0.0, 1.0)
    return share


def hold(polygons: Sequence[Polygon], point: Sequence[float]) -> tuple[Point, Nodes]:
    """The node one points at, within 2 m, or a new one on the border there. Raises ``BorderRefused``."""
    plane, at = _Plane(polygons), lattice(point)
    vertex, away = plane.nearest_vertex(at)
    if away <= FIND_M:
        return vertex, {}
    edge, foot, away = plane.nearest_edge(at)
    if away > FIND_M:
        raise BorderRefused("那里没有网格边界", "There is no border there")
    return foot, {edge: [foot]}


def moved(polygon: Polygon, node: Point, to: Point) -> Polygon:
    """The polygon with one of its nodes elsewhere."""

    def ring(of: LinearRing) -> list[Point]:
        return [to if (x, y) == node else (x, y) for x, y in of.coords]

    return Polygon(ring(polygon.exterior), [ring(hole) for hole in polygon.interiors])


def has_node(polygon: Polygon, node: Point) -> bool:
    """Whether the polygon has this very node."""
    return any(node in edge for edge in edges(polygon))


def same_land(before: Sequence[Polygon], after: Sequence[Polygon], tolerance_m2: float = 0.5) -> bool:
    """Whether both cover the same land, and ``after`` covers it once: the proof that nothing was lost or doubled."""
    old, new = (shapely.union_all(np.array(some, dtype=object)) for some in (before, after))
    once = sum(polygon.area for polygon in after)
    east, north = metres_per_degree(old.centroid.y)
    off = max(shapely.symmetric_difference(old, new).area, abs(once - new.area))
    return bool(off * east * north <= tolerance_m2)
