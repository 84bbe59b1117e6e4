"""Which of many polygons covers a point, exactly and fast. Knows polygons and codes; knows no grids, no database.

A point belongs to the polygon with the lowest code that *covers* it (borders and vertices included), which is what
PostGIS answers with ``ST_Covers`` and ``order by code``; the two agree on every point because the border test below
evaluates the same expression in the same order of vertices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int32]
Mask = NDArray[np.bool_]

_NONE: Final = -1
_TEST: Final = -2
_CHUNK: Final = 1 << 15  # points at a time: what one pass touches stays in the second-level cache


# --- The border test --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Edges:
    """Edges of the polygons with a like number of them, one polygon a row, padded with NaN (NaN crosses nothing)."""

    x1: Floats
    y1: Floats
    x2: Floats
    y2: Floats

    def covers(self, row: NDArray[np.intp], lon: Floats, lat: Floats) -> Mask:
        """Whether polygon ``row[i]`` covers point i: odd number of crossings to the right, or on an edge.

        The side of an edge is (x2-x1)(y-y1) - (x-x1)(y2-y1) in plain double arithmetic and the vertices are taken
        in stored order, as PostGIS does; another order or a more exact predicate would disagree on border points.
        """
        x1, y1, x2, y2 = self.x1[row], self.y1[row], self.x2[row], self.y2[row]
        x, y = lon[:, None], lat[:, None]
        side = (x2 - x1) * (y - y1) - (x - x1) * (y2 - y1)
        from_below, to_above = y1 <= y, y2 > y  # half-open: a vertex level with the point counts for one edge
        crossings = (from_below & to_above & (side > 0)) | ((y1 > y) & (y2 <= y) & (side < 0))
        covered: Mask = crossings.view(np.uint8).sum(axis=1, dtype=np.uint8) & 1 == 1
        level = side == 0
        point, edge = np.nonzero(level) if level.any() else (np.empty(0, np.intp),) * 2
        if point.size:
            x1, y1, x2, y2 = x1[point, edge], y1[point, edge], x2[point, edge], y2[point, edge]
            x, y = lon[point], lat[point]
            on = (np.minimum(x1, x2) <= x) & (x <= np.maximum(x1, x2))
            on &= (np.minimum(y1, y2) <= y) & (y <= np.maximum(y1, y2))
            covered[point[on]] = True
        return covered


class _Polygons:
    """The edges of n polygons, ready for testing many (point, polygon) pairs or one."""

    def __init__(self, polygons: Sequence[Any] | NDArray[Any]) -> None:
        parts, polygon_of_part = shapely.get_parts(np.asarray(polygons, object), return_index=True)
        rings, part_of_ring = shapely.get_rings(parts, return_index=True)
        xy, ring = shapely.get_coordinates(rings, return_index=True)
        inner = ring[1:] == ring[:-1]  # two coordinates of one ring in a row make an edge
        self.start, self.end = xy[:-1][inner], xy[1:][inner]
        self.polygon = polygon_of_part[part_of_ring[ring[:-1][inner]]]
        self.counts = np.bincount(self.polygon, minlength=len(polygons))
        self.first = np.concatenate([[0], np.cumsum(self.counts)])
        self.bucket = np.maximum(np.ceil(np.log2(np.maximum(self.counts, 1))), 2).astype(np.int8)
        self.row = np.zeros(len(polygons), np.intp)
        self.edges: dict[int, _Edges] = {}
        for bucket in np.unique(self.bucket).tolist():
            members = np.flatnonzero(self.bucket == bucket)
            self.row[members] = np.arange(members.size)
            self.edges[bucket] = self._pad(members, 1 << bucket)
        self._lists: dict[int, list[tuple[float, float, float, float]]] = {}

    def _pad(self, members: NDArray[np.intp], width: int) -> _Edges:
        columns = np.arange(width)
        source = self.first[members][:, None] + columns
        absent = columns >= self.counts[members][:, None]
        source[absent] = 0
        padded = []
        for values in (self.start[:, 0], self.start[:, 1], self.end[:, 0], self.end[:, 1]):
            table = values[source]
            table[absent] = np.nan
            padded.append(table)
        return _Edges(*padded)

    def covers(self, polygon: NDArray[Any], lon: Floats, lat: Floats) -> Mask:
        """Pairs: whether polygon[i] covers (lon[i], lat[i])."""
        covered = np.zeros(len(polygon), np.bool_)
        bucket = self.bucket[polygon]
        for width, edges in self.edges.items():
            pairs = np.flatnonzero(bucket == width)
            pairs = pairs[np.argsort(polygon[pairs], kind="stable")]
            step = max(1, (1 << 17) >> width)
            for begin in range(0, pairs.size, step):
                part = pairs[begin : begin + step]
                covered[part] = edges.covers(self.row[polygon[part]], lon[part], lat[part])
        return covered

    def covers_one(self, polygon: int, x: float, y: float) -> bool:
        """The same for one pair, without arrays."""
        edges = self._lists.get(polygon)
        if edges is None:
            span = slice(self.first[polygon], self.first[polygon + 1])
            edges = list(map(tuple, np.hstack([self.start[span], self.end[span]]).tolist()))
            self._lists[polygon] = edges
        inside = False
        for x1, y1, x2, y2 in edges:
            side = (x2 - x1) * (y - y1) - (x - x1) * (y2 - y1)
            if side == 0 and min(x1, x2) <= x <= max(x1, x2) and min(y1, y2) <= y <= max(y1, y2):
                return True
            if y1 <= y:
                inside ^= y < y2 and side > 0
            else:
                inside ^= y2 <= y and side < 0
        return inside


# --- The raster index -------------------------------------------------------------------------------------------


class AreaIndex:
    """Point → position of the covering polygon in ``codes``, exact, by a raster of two levels.

    A cell no edge comes near lies wholly in one polygon or in none and decides at once. A cell some edge passes is
    divided into 8 × 8; of these, the ones an edge passes send the point to the border test against the polygons
    that touch the cell. "Near" includes a slack far above the rounding of the arithmetic, so rounding cannot lie.
    """

    SPLIT_BITS: Final = 3
    SLACK: Final = 1e-6  # of a fine cell; doubles err by about 1e-11 of one

    def __init__(self, codes: Sequence[str], polygons: Sequence[Any] | NDArray[Any], size: int = 4096) -> None:
        """``polygons`` are valid shapely (multi)polygons in degrees, one a code; ``size`` fine cells on the long side.

        Codes must ascend, so that the lowest position is the lowest code (ties on shared borders).
        """
        if list(codes) != sorted(set(codes)):
            raise ValueError("codes must ascend without repetition")
        self.codes = list(codes)
        self._polygons = _Polygons(polygons)
        split = 1 << self.SPLIT_BITS
        west, south, east, north = shapely.total_bounds(np.asarray(polygons, object)) if len(codes) else (0, 0, 1, 1)
        stretch = float(np.cos(np.radians((south + north) / 2)))  # a degree of longitude is that much shorter
        cell = max((east - west) * stretch, north - south, 1e-9) / size
        self._scale_x, self._scale_y = stretch / cell, 1 / cell
        self._west, self._south = west - 1 / self._scale_x, south - 1 / self._scale_y
        self._columns = int((east - self._west) * self._scale_x + 2) // split + 1
        self._rows = int((north - self._south) * self._scale_y + 2) // split + 1
        self._build(np.asarray(polygons, object), split)

    def _build(self, polygons: NDArray[Any], split: int) -> None:
        row, column, polygon = self._touched()
        block = (row // split) * self._columns + column // split
        blocks = np.unique(block)
        number = np.full(self._rows * self._columns, -1, np.int32)
        number[blocks] = np.arange(blocks.size, dtype=np.int32)
        edge = np.zeros((blocks.size, split, split), np.bool_)
        edge[number[block], row % split, column % split] = True

        tree = shapely.STRtree(polygons)
        middle_x, middle_y = self._middle(blocks % self._columns * split, blocks // self._columns * split, split)
        around = tree.query(shapely.points(middle_x, middle_y), predicate="intersects")
        # A polygon without an edge in the block contains all of it or nothing of it: its middle tells.
        pairs = np.concatenate(
            [number[block] * np.int64(len(polygons)) + polygon, around[0] * len(polygons) + around[1]]
        )
        pairs = np.unique(pairs)
        self._candidates: Indices = (pairs % max(len(polygons), 1)).astype(np.int32)
        self._first = np.searchsorted(pairs, np.arange(blocks.size + 1, dtype=np.int64) * len(polygons))

        coarse = (-2 - number).reshape(self._rows, self._columns)  # below -1: the number of a divided cell
        starts, source = _runs(number.reshape(coarse.shape) >= 0)
        middle_x, middle_y = self._middle(starts % self._columns * split, starts // self._columns * split, split)
        owner = self._lowest(tree.query(shapely.points(middle_x, middle_y), predicate="intersects"), starts.size)
        undivided = number.reshape(coarse.shape) < 0
        coarse[undivided] = owner[source[undivided]]
        self._coarse: Indices = coarse.ravel().astype(np.int32)

        starts, source = _runs(edge.reshape(-1, split))
        home, inner = starts // (split * split), starts % (split * split)
        base_x, base_y = blocks[home] % self._columns * split, blocks[home] // self._columns * split
        middle_x, middle_y = self._middle(base_x + inner % split, base_y + inner // split, 1)
        owner = self._decide(home, middle_x, middle_y)
        fine = np.where(edge.reshape(-1, split), _TEST, owner[source] if owner.size else _TEST)
        self._fine = fine.ravel().astype(np.int16 if len(polygons) < 1 << 15 else np.int32)

    def _touched(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """(row, column, polygon) of every fine cell an edge passes or nearly passes; may repeat."""
        slack, shape = self.SLACK, self._polygons
        x1, y1 = self._cells(shape.start[:, 0], shape.start[:, 1])
        x2, y2 = self._cells(shape.end[:, 0], shape.end[:, 1])
        bottom = np.floor(np.minimum(y1, y2) - slack).astype(np.int64)
        top = np.floor(np.maximum(y1, y2) + slack).astype(np.int64)
        edge, row = _expand(bottom, top)
        x1, y1, x2, y2 = x1[edge], y1[edge], x2[edge], y2[edge]
        rise = np.where(y1 == y2, 1e-300, y2 - y1)  # a level edge takes its whole length
        with np.errstate(over="ignore"):
            enter, leave = (row - slack - y1) / rise, (row + 1 + slack - y1) / rise
        enter, leave = np.clip(enter, 0, 1), np.clip(leave, 0, 1)
        at, to = x1 + (x2 - x1) * enter, x1 + (x2 - x1) * leave
        left = np.floor(np.minimum(at, to) - slack).astype(np.int64)
        right = np.floor(np.maximum(at, to) + slack).astype(np.int64)
        span, column = _expand(left, right)
        return row[span], column, shape.polygon[edge[span]]

    def _cells(self, lon: Any, lat: Any) -> tuple[Any, Any]:
        return (lon - self._west) * self._scale_x, (lat - self._south) * self._scale_y

    def _middle(self, column: Any, row: Any, width: int) -> tuple[Floats, Floats]:
        return self._west + (column + width / 2) / self._scale_x, self._south + (row + width / 2) / self._scale_y

    @staticmethod
    def _lowest(found: NDArray[np.intp], points: int) -> Indices:
        lowest = np.full(points, np.iinfo(np.int32).max, np.int32)
        np.minimum.at(lowest, found[0], found[1].astype(np.int32))
        return np.where(lowest == np.iinfo(np.int32).max, _NONE, lowest).astype(np.int32)

    def _decide(self, block: NDArray[Any], lon: Floats, lat: Floats) -> Indices:
        """The border test: the lowest candidate of each point's block that covers it."""
        answer = np.full(block.size, _NONE, np.int32)
        left = np.arange(block.size)
        candidate, end = self._first[block], self._first[block + 1]
        while (left := left[candidate[left] < end[left]]).size:
            polygon = self._candidates[candidate[left]]
            hit = self._polygons.covers(polygon, lon[left], lat[left])
            answer[left[hit]] = polygon[hit]
            left = left[~hit]
            candidate[left] += 1
        return answer

    @property
    def nbytes(self) -> int:
        """Bytes held, without the lists scalar lookups warm up."""
        arrays = [self._coarse, self._fine, self._candidates, self._first]
        arrays += [self._polygons.start, self._polygons.end, self._polygons.polygon, self._polygons.first]
        arrays += [
            table for edges in self._polygons.edges.values() for table in (edges.x1, edges.y1, edges.x2, edges.y2)
        ]
        return sum(array.nbytes for array in arrays)

    def locate(self, lon: Floats, lat: Floats) -> Indices:
        """Positions in ``codes`` (int32, -1 where nothing covers the point) of n points in degrees; NaN is nowhere."""
        lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
        answer = np.empty(lon.shape, np.int32)
        points, blocks = [], []
        for begin in range(0, lon.size, _CHUNK):
            part = slice(begin, begin + _CHUNK)
            answer[part], at, block = self._look_up(lon[part], lat[part])
            points.append(at + begin)
            blocks.append(block)
        if points and (border := np.concatenate(points)).size:
            answer[border] = self._decide(np.concatenate(blocks), lon[border], lat[border])
        return answer

    def _look_up(self, lon: Floats, lat: Floats) -> tuple[Indices, NDArray[np.intp], Indices]:
        """(answer, positions still to be tested, their blocks) of one chunk."""
        x, y = self._cells(lon, lat)
        split, mask, shift = 1 << self.SPLIT_BITS, (1 << self.SPLIT_BITS) - 1, self.SPLIT_BITS
        inside = (x >= 0) & (x < self._columns * split) & (y >= 0) & (y < self._rows * split)
        everywhere = bool(inside.all())
        if not everywhere:
            x, y = np.where(inside, x, 0.0), np.where(inside, y, 0.0)
        column, row = x.astype(np.int32), y.astype(np.int32)
        answer = self._coarse[(row >> shift) * np.int32(self._columns) + (column >> shift)]
        if not everywhere:
            answer[~inside] = _NONE
        divided = np.flatnonzero(answer < _NONE)
        block = -2 - answer[divided]
        row, column = row[divided] & mask, column[divided] & mask
        fine = self._fine[block.astype(np.int64) * (split * split) + row * split + column]
        answer[divided] = fine
        test = np.flatnonzero(fine == _TEST)
        return answer, divided[test], block[test]

    def locate_one(self, lon: float, lat: float) -> int:
        """The same for one point, in a few microseconds."""
        x, y = (lon - self._west) * self._scale_x, (lat - self._south) * self._scale_y
        split, shift = 1 << self.SPLIT_BITS, self.SPLIT_BITS
        if not (0 <= x < self._columns * split and 0 <= y < self._rows * split):
            return _NONE
        column, row = int(x), int(y)
        answer: int = self._coarse.item((row >> shift) * self._columns + (column >> shift))
        if answer >= _NONE:
            return answer
        block = -2 - answer
        answer = self._fine.item(block * split * split + (row & split - 1) * split + (column & split - 1))
        if answer != _TEST:
            return answer
        candidates: list[int] = self._candidates[self._first[block] : self._first[block + 1]].tolist()
        for polygon in candidates:
            if self._polygons.covers_one(polygon, lon, lat):
                return polygon
        return _NONE


def _expand(low: NDArray[np.int64], high: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For ranges low[i] … high[i], both ends included: (i, value) of all their members."""
    count = high - low + 1
    owner = np.repeat(np.arange(low.size), count)
    within = np.arange(owner.size) - np.repeat(np.cumsum(count) - count, count)
    return owner, low[owner] + within


def _runs(border: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Runs of open cells along rows: (flat position of each run's first cell, for every cell the run last begun).

    No edge passes the cells of a run, so one point answers for all of them.
    """
    begins = ~border
    begins[:, 1:] &= border[:, :-1]
    number = np.cumsum(begins.ravel()) - 1
    return np.flatnonzero(begins.ravel()), np.maximum(number, 0).reshape(border.shape)
