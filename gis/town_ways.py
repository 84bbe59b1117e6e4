"""The way network of a plan: junctions, points along ways, road surface. Knows only planar metres."""

from dataclasses import dataclass, replace

import numpy as np
import shapely
from shapely import Polygon

from gis.town_cut import SNAP, Cut, Floats, Ints, Shapes
from gis.town_ground import DRAWN, Ground
from gis.town_spec import TownSpec


@dataclass(frozen=True)
class Spots:
    """Points with a heading: x, y metres and ``turn`` radians, the direction of the way or wall they belong to."""

    x: Floats
    y: Floats
    turn: Floats

    def __len__(self) -> int:
        return len(self.x)

    def pick(self, mask: "np.ndarray[tuple[int], np.dtype[np.bool_]] | Ints") -> "Spots":
        """The spots of a mask or an index array."""
        return Spots(self.x[mask], self.y[mask], self.turn[mask])

    def shift(self, ahead: Floats | float, left: Floats | float) -> "Spots":
        """Moved along their heading and to the left of it, in metres."""
        c, s = np.cos(self.turn), np.sin(self.turn)
        return Spots(self.x + ahead * c - left * s, self.y + ahead * s + left * c, self.turn)

    @property
    def points(self) -> Shapes:
        """As shapely points."""
        return np.asarray(shapely.points(self.x, self.y), dtype=object)


def join_spots(parts: list[Spots]) -> Spots:
    """All spots in one."""
    if not parts:
        return Spots(np.empty(0), np.empty(0), np.empty(0))
    return Spots(*(np.concatenate([getattr(p, field) for p in parts]) for field in ("x", "y", "turn")))


@dataclass(frozen=True)
class Junctions:
    """Where ways meet. Arms point away from the node; ``arm_of`` numbers nodes; ranks are indices into DRAWN."""

    x: Floats
    y: Floats
    rank: Ints
    second: Ints
    arm_of: Ints
    arm_turn: Floats
    arm_rank: Ints


class Ways:
    """Ways of a plan by kind, with widths and junctions."""

    def __init__(self, spec: TownSpec, ground: Ground) -> None:
        self.width: dict[str, float] = {k: float(w) for k, w in spec.body["ground"]["road_width"].items()}
        beds = shapely.buffer([line for _, _, line in ground.canals], [w / 2 for _, w, _ in ground.canals], quad_segs=4)
        self.lines: dict[str, list[Cut]] = {
            k: [c for cut in ground.lines if cut.kind == k for c in _ashore(cut, shapely.union_all(beds))]
            for k in DRAWN
        }
        self.junctions = self._junctions()
        self._near = shapely.STRtree(shapely.points(self.junctions.x, self.junctions.y))
        self._surface = {
            k: shapely.buffer([c.line for c in cuts], self.width[k] / 2, cap_style="flat", quad_segs=2)
            for k, cuts in self.lines.items()
        }
        self._ground_tree = shapely.STRtree(
            np.concatenate([*(np.asarray(self._surface[k], dtype=object) for k in DRAWN), np.atleast_1d(beds)])
        )

    def _junctions(self) -> Junctions:
        all_lines = np.array([c.line for k in DRAWN for c in self.lines[k]], dtype=object)
        rank_of = np.array([r for r, k in enumerate(DRAWN) for _ in self.lines[k]], dtype=np.int64)
        edges = shapely.get_parts(shapely.union_all(all_lines, grid_size=SNAP))
        middle = shapely.line_interpolate_point(edges, 0.5, normalized=True)
        (edge, line), _ = shapely.STRtree(all_lines).query_nearest(middle, return_distance=True, all_matches=True)
        rank = np.full(len(edges), len(DRAWN), dtype=np.int64)
        np.minimum.at(rank, edge, rank_of[line])
        heads = [(shapely.get_point(edges, 0), shapely.get_point(edges, 1))]
        heads.append((shapely.get_point(edges, -1), shapely.get_point(edges, -2)))
        start = np.vstack([shapely.get_coordinates(a) for a, _ in heads])
        toward = np.vstack([shapely.get_coordinates(b) for _, b in heads]) - start
        node_xy, node = np.unique(start, axis=0, return_inverse=True)
        node = node.reshape(-1)
        arm_rank = np.concatenate([rank, rank])
        real = np.flatnonzero(np.bincount(node, minlength=len(node_xy)) >= 3)
        number = np.full(len(node_xy), -1, dtype=np.int64)
        number[real] = np.arange(len(real))
        arms = np.flatnonzero(number[node] >= 0)
        arms = arms[np.lexsort((arm_rank[arms], number[node[arms]]))]
        arm_of = number[node[arms]]
        first = np.searchsorted(arm_of, np.arange(len(real)))
        best = arm_rank[arms][first]
        # The crossing way is the best arm that does not belong to the through way, which has two arms of its rank.
        third = arm_rank[arms][np.minimum(first + 2, len(arms) - 1)]
        turn = np.arctan2(toward[arms, 1], toward[arms, 0])
        return Junctions(
            node_xy[real, 0], node_xy[real, 1], best, np.maximum(best, third), arm_of, turn, arm_rank[arms]
        )

    def along(self, kind: str, every: float, *, phase: float = 0.5) -> Spots:
        """Spots on the middle line of all ways of a kind, ``every`` metres, clear of junctions."""
        lines = np.array([c.line for c in self.lines[kind]], dtype=object)
        spots = along_lines(lines, every, phase=phase)
        return self.clear(spots, self.width[kind] / 2 + 3.0)

    def clear(self, spots: Spots, reach: float) -> Spots:
        """Spots farther than ``reach`` metres, and the width of the ways that meet, from every junction."""
        if not len(spots) or not len(self.junctions.x):
            return spots
        hit, node = self._near.query(spots.points, predicate="dwithin", distance=reach + 12.0)
        half = np.array([self.width[k] / 2 for k in DRAWN])[self.junctions.rank[node]]
        gap = np.hypot(spots.x[hit] - self.junctions.x[node], spots.y[hit] - self.junctions.y[node])
        keep = np.ones(len(spots), dtype=bool)
        keep[hit[gap < np.maximum(half + 2.0, np.minimum(reach, half + 3.0))]] = False
        return spots.pick(keep)

    def off_road(self, lands: Shapes) -> Shapes:
        """Each land without the surface of the ways and canals on it: polygons, multipolygons or empty."""
        surface = self._ground_tree.geometries
        land, road = self._ground_tree.query(lands, predicate="intersects")
        out = lands.copy()
        start = np.searchsorted(land, np.arange(len(lands) + 1))
        for i in range(len(lands)):
            if start[i + 1] > start[i]:
                out[i] = shapely.difference(lands[i], shapely.union_all(surface[road[start[i] : start[i + 1]]]))
        return out


def _ashore(cut: Cut, beds: Polygon) -> list[Cut]:
    """The cut without what lies in a canal: only a road that goes on beyond the water has a bridge."""
    if cut.kind in ("trunk", "main") or not cut.line.intersects(beds):
        return [cut]
    parts = [part for part in shapely.get_parts(shapely.difference(cut.line, beds)) if part.length > 8]
    if cut.kind == "secondary" and sum(part.length > 40 for part in parts) > 1:
        return [cut]
    return [replace(cut, line=part) for part in parts]


def along_lines(lines: Shapes, every: float, *, phase: float = 0.5) -> Spots:
    """Spots along lines at ``(k + phase) * every`` metres, each line on its own."""
    if len(lines) == 0:
        return join_spots([])
    length = shapely.length(lines)
    count = np.maximum(0, np.floor(length / every - phase + 1.0)).astype(np.int64)
    line = np.repeat(np.arange(len(lines)), count)
    k = np.arange(len(line)) - np.repeat(np.cumsum(count) - count, count)
    at = np.minimum((k + phase) * every, length[line])
    here = shapely.get_coordinates(shapely.line_interpolate_point(lines[line], at))
    low = shapely.get_coordinates(shapely.line_interpolate_point(lines[line], np.maximum(at - 1.0, 0.0)))
    high = shapely.get_coordinates(shapely.line_interpolate_point(lines[line], np.minimum(at + 1.0, length[line])))
    return Spots(here[:, 0], here[:, 1], np.arctan2(high[:, 1] - low[:, 1], high[:, 0] - low[:, 0]))
