"""Cutting land: splits polygons by roughly straight lines and nodes lines into faces. Knows only planar metres."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import LineString, Polygon

SNAP = 0.01
"""Every node of the town lies on this grid, in metres: shared borders get identical vertices."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Shapes = NDArray[np.object_]


@dataclass(frozen=True)
class Cut:
    """A line drawn while cutting, with the kind of thing that runs along it; ``kind`` "" is a mere border."""

    kind: str
    name: str
    line: LineString


def faces(lines: list[LineString]) -> Shapes:
    """All areas enclosed by the lines, noded on the SNAP grid, in a fixed order. Loose ends are ignored."""
    noded = shapely.union_all(np.array(lines, dtype=object), grid_size=SNAP)
    found = shapely.get_parts(shapely.polygonize([noded]))
    points = shapely.point_on_surface(found)
    order = np.lexsort((shapely.get_x(points), shapely.get_y(points)))
    return np.asarray(found[order], dtype=object)


def split(polygon: Polygon, line: LineString) -> tuple[list[Polygon], list[LineString]]:
    """The parts a line cuts a polygon into, and the pieces of the line inside it, a little longer at both ends."""
    noded = shapely.union_all([polygon.boundary, line])
    parts = [p for p in shapely.get_parts(shapely.polygonize([noded])) if polygon.contains(p.representative_point())]
    inside = [_longer(g) for g in shapely.get_parts(shapely.intersection(line, polygon)) if g.geom_type == "LineString"]
    return parts, inside


def _longer(line: LineString, by: float = 5 * SNAP) -> LineString:
    """The line a little longer at both ends: snapped to the grid, a line that only just reached a border may not.

    What sticks out beyond the border is a loose end, which makes no face.
    """
    xy = shapely.get_coordinates(line)
    for end, inner in ((0, 1), (-1, -2)):
        step = xy[end] - xy[inner]
        xy[end] = xy[end] + step / max(float(np.hypot(*step)), 1e-9) * by
    return LineString(xy)


def halve(
    polygon: Polygon, rng: np.random.Generator, tilt: float, bend: float
) -> tuple[list[Polygon], list[LineString]]:
    """Cut a polygon across its long axis near the middle, ``tilt`` radians askew and bent by a share of its length.

    Tries again a few times when a part would be a sliver; then takes the best try.
    """
    box = np.asarray(shapely.get_coordinates(shapely.oriented_envelope(polygon)))
    first, second = box[1] - box[0], box[2] - box[1]
    long, short = (first, second) if np.hypot(*first) >= np.hypot(*second) else (second, first)
    origin = box[:4].mean(axis=0)
    best: tuple[float, list[Polygon], list[LineString]] = (-1.0, [polygon], [])
    for _ in range(4):
        middle = origin + long * rng.uniform(-0.09, 0.09)
        angle = rng.normal(0.0, tilt)
        across = np.array(
            [short[0] * np.cos(angle) - short[1] * np.sin(angle), short[0] * np.sin(angle) + short[1] * np.cos(angle)]
        )
        sag = long / np.hypot(*long) * np.hypot(*short) * rng.normal(0.0, bend)
        steps = np.array([-0.75, -0.25, 0.0, 0.25, 0.75])
        line = LineString(middle + steps[:, None] * across + np.array([-1.25, 0.75, 1.0, 0.75, -1.25])[:, None] * sag)
        parts, inside = split(polygon, line)
        share = min(p.area for p in parts) / polygon.area if len(parts) > 1 else 0.0
        if share > best[0]:
            best = (share, parts, inside)
        if share > 0.3:
            break
    return best[1], best[2]


def subdivide(
    polygon: Polygon, target: Callable[[Polygon], float], rng: np.random.Generator, tilt: float, bend: float
) -> tuple[list[Polygon], list[LineString]]:
    """Halve again and again until every part is smaller than its target area in square metres."""
    done: list[Polygon] = []
    lines: list[LineString] = []
    todo = [polygon]
    while todo:
        part = todo.pop()
        # Between 0.72 and 1.4 times the target: halves of equal land would otherwise all be the same size.
        if part.area <= target(part) * rng.uniform(0.95, 1.5):
            done.append(part)
            continue
        parts, cuts = halve(part, rng, tilt, bend)
        if len(parts) < 2:
            done.append(part)
            continue
        lines.extend(cuts)
        todo.extend(parts)
    return done, lines


def shared_edges(polygons: Shapes) -> tuple[Ints, Ints, Floats]:
    """Pairs (i < j) of polygons of one coverage that share edges, with the shared length in its units."""
    rings, owner = shapely.get_rings(polygons, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    _, node = np.unique(xy, axis=0, return_inverse=True)
    node = node.reshape(-1)
    same = ring[1:] == ring[:-1]
    a, b = node[:-1][same], node[1:][same]
    who = owner[ring[:-1][same]]
    length = np.hypot(*(xy[1:][same] - xy[:-1][same]).T)
    key = np.minimum(a, b) * (node.max() + 1) + np.maximum(a, b)
    order = np.lexsort((who, key))
    key, who, length = key[order], who[order], length[order]
    twin = np.flatnonzero(key[1:] == key[:-1])
    left, right, length = who[twin], who[twin + 1], length[twin]
    pair, back = np.unique(left * len(polygons) + right, return_inverse=True)
    total = np.bincount(back.reshape(-1), weights=length, minlength=len(pair))
    return (pair // len(polygons)).astype(np.int64), (pair % len(polygons)).astype(np.int64), total.astype(np.float64)


def neighbours(n: int, left: Ints, right: Ints) -> list[list[int]]:
    """Adjacency lists, each sorted, of the pairs."""
    lists: list[list[int]] = [[] for _ in range(n)]
    for i, j in zip(left.tolist(), right.tolist(), strict=True):
        lists[i].append(j)
        lists[j].append(i)
    return [sorted(x) for x in lists]


def pieces(members: list[int], near: list[list[int]]) -> list[list[int]]:
    """Connected pieces of a set of polygons, largest first."""
    rest = set(members)
    found: list[list[int]] = []
    for start in sorted(members):
        if start not in rest:
            continue
        rest.discard(start)
        stack, piece = [start], []
        while stack:
            here = stack.pop()
            piece.append(here)
            for other in near[here]:
                if other in rest:
                    rest.discard(other)
                    stack.append(other)
        found.append(sorted(piece))
    return sorted(found, key=lambda p: (-len(p), p[0]))


def dissolve(polygons: Shapes, group: Ints, n: int) -> Shapes:
    """Union of each group of a coverage; a group without members is an empty polygon."""
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(n + 1))
    return np.array(
        [shapely.coverage_union_all(polygons[order[starts[k] : starts[k + 1]]]) for k in range(n)], dtype=object
    )
