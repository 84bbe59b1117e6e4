"""What a map tile shows of selected points: cells with counts and centroids, and heat by h3 cell.

Knows tiles and the Morton curve. Knows no case and no encoding. Every selected point is in exactly one cell of exactly
one tile of a zoom, so counts over tiles add up to the count of the selection.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import h3.api.basic_int as h3
import numpy as np
from numpy.typing import NDArray

from gis import geometry
from gis.points_bits import Ranked, Rows, among
from gis.points_table import Array, Segment, pixel_sums, run_starts

EXTENT: Final = 4096
"""Units along the edge of a tile."""
SINGLES_FROM: Final = 17
"""From this zoom on every point stands alone."""

CELL_BITS: Final = 6
"""64 × 64 cells a tile, where nobody asks for fewer."""
_GRAIN_BITS: Final = 7
"""Tiles with more points than grains, 128 × 128, sum over these, each at its middle: a centroid is then within half a
grain (16 units, two screen pixels) of the true one."""
_GRAINS_FROM: Final = 1 << 2 * _GRAIN_BITS
_GRAINS_TO: Final = 15  # where each has few points or none, they take more room than they save time
_RESOLUTION: Final = (3, 3, 3, 3, 4, 5, 6, 6, 7, 7, 8, 9, 9, 10, 11, 11, 12)
"""h3 resolution by zoom: cells 10 to 30 screen pixels across."""


@dataclass(frozen=True)
class Selected:
    """The chosen rows of one segment, those of them that are red and yellow; rows count from ``offset``."""

    segment: Segment
    offset: int
    all: Ranked
    red: Ranked
    yellow: Ranked


@dataclass(frozen=True)
class Clusters:
    """Cells of one tile, in no order: counts, centroid in tile units (0 … 4095, y down), and the row of a lone point.

    ``row`` counts over the whole snapshot and is -1 where ``n`` > 1.
    """

    n: Rows
    red: Rows
    yellow: Rows
    x: Rows
    y: Rows
    row: Rows


@dataclass(frozen=True)
class Heat:
    """Weights of one tile: the h3 cells its points lie in, how many in each, the cell's centre in tile units.

    A cell that reaches over the tile's edge has its points in each tile counted there; its centre may lie outside.
    """

    cell: Rows
    n: Rows
    x: Rows
    y: Rows


@dataclass(frozen=True)
class _Sums:
    cell: Rows
    n: Rows
    red: Rows
    yellow: Rows
    sx: Rows
    sy: Rows
    row: Rows


def clusters(parts: Sequence[Selected], z: int, x: int, y: int, bits: int = CELL_BITS) -> Clusters:
    """The cells of tile z/x/y: 2^``bits`` along its edge, at most 64; single points from zoom 17 on."""
    sums = [s for s in (_sums(part, z, x, y, bits) for part in parts) if s is not None]
    if not sums:
        none = np.zeros(0, np.int64)
        return Clusters(none, none, none, none, none, none)
    total = sums[0] if len(sums) == 1 else _together(sums, z)
    unit = 2.0 ** (geometry.WORLD_BITS - z) / EXTENT
    return Clusters(
        total.n,
        total.red,
        total.yellow,
        _placed(total.sx / total.n, unit),
        _placed(total.sy / total.n, unit),
        total.row,
    )


def _placed(pixel: NDArray[np.float64], unit: float) -> Rows:
    """Tile units of the middle of pixels counted from the tile's corner. Writes over ``pixel``."""
    pixel += 0.5
    pixel *= 1 / unit  # a power of two: as exact as to divide
    units: Rows = np.floor(pixel, out=pixel).astype(np.int64)
    return units


def _sums(part: Selected, z: int, x: int, y: int, bits_a_tile: int) -> _Sums | None:
    segment = part.segment
    low, high = segment.span(z, x, y)
    members = part.all.within(low, high)
    if not members:
        return None
    whole = members == high - low
    if members <= _GRAINS_FROM or z > _GRAINS_TO:
        rows = None if whole else part.all.rows(low, high)
        mk = _inner(segment["mk"][low:high] if rows is None else segment["mk"][rows], z)
        cell = mk >> 2 * max(0, geometry.WORLD_BITS - z - bits_a_tile)
        first = np.arange(members) if z >= SINGLES_FROM else run_starts(cell)
        edges = _edges(first + low if rows is None else rows[first], high)
        n = _apart(edges if whole else _edges(first, members))
        sx, sy = pixel_sums(mk, first)
        alone = edges[:-1]
    else:
        starts, grain, held = _grains(part, z, low, high, whole)
        cell = grain >> 2 * (_GRAIN_BITS - bits_a_tile)
        first = run_starts(cell)
        edges = _edges(starts[first], high)
        n = _apart(edges) if whole else np.add.reduceat(held, first)
        sums = np.add.reduceat(held.astype(np.uint64) * _GRAINS.take(grain, mode="clip"), first)
        width = geometry.WORLD_BITS - z - _GRAIN_BITS
        sx, sy = (
            (along.astype(np.int64) << width) + n * ((1 << width) >> 1)
            for along in (sums & np.uint64(0xFFFFFFFF), sums >> np.uint64(32))
        )
        # A grain's first row need not be selected: the one that is comes after it.
        alone = edges[:-1] if whole else part.all.select(part.all.before(edges[:-1]))
    lone = np.where(n == 1, alone + part.offset, -1)
    red, yellow = among((part.red, part.yellow), edges)
    return _Sums(cell[first].astype(np.int64), n, red, yellow, sx, sy, lone)


def _edges(starts: Array, end: int) -> Rows:
    edges = np.empty(len(starts) + 1, np.int64)
    edges[:-1], edges[-1] = starts, end
    return edges


def _apart(edges: Rows) -> Rows:
    return edges[1:] - edges[:-1]


def _inner(mk: Rows, z: int) -> Array:
    """Morton codes counted from the corner of their tile of zoom z; from zoom 12 on they fit half the width."""
    inner = mk & (1 << 2 * (geometry.WORLD_BITS - z)) - 1
    return inner.astype(np.uint32) if z >= geometry.WORLD_BITS - 16 else inner


def _grains(part: Selected, z: int, low: int, high: int, whole: bool) -> tuple[Array, Array, Array]:
    """The grains of a tile (its rows [low, high), all selected when ``whole``) that hold selected points.

    Each with its first row, its number in the tile, and how many it holds.
    """
    segment = part.segment
    finer = 2 * (geometry.WORLD_BITS - z - _GRAIN_BITS)
    starts = segment.derived(("grains", z), lambda: _edges(run_starts(segment["mk"] >> finer), segment.n).astype("i4"))
    numbers = segment.derived(
        ("grain numbers", z),
        lambda: (segment["mk"][starts[:-1]] >> finer & len(_GRAINS) - 1).astype(np.uint16),
    )
    # Grains lie within tiles: one begins where the tile does. Edges of another type would copy all.
    first, last = np.searchsorted(starts, np.array([low, high], starts.dtype))
    rows, grain = starts[first : last + 1], numbers[first:last]
    held = rows[1:] - rows[:-1] if whole else part.all.among(rows)
    if whole or held.all():
        return rows[:-1], grain, held
    some = held > 0
    return rows[:-1][some], grain[some], held[some]


_GRAINS: Final = np.bitwise_or(
    *(
        axis.astype(np.uint64) << np.uint64(bit)
        for axis, bit in zip(geometry.deinterleave(np.arange(1 << 14)), (0, 32), strict=True)
    )
)
"""Where the grains of a tile lie, x in the lower half of the word and y in the upper: both are summed at once."""


def _together(sums: Sequence[_Sums], z: int) -> _Sums:
    """Cells that several segments fill, summed; from zoom 17 on there is nothing to sum."""
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(s, name) for s in sums]) for name in _Sums.__dataclass_fields__
    }
    if z >= SINGLES_FROM:
        return _Sums(**joined)
    order = np.argsort(joined["cell"], kind="stable")
    joined = {name: values[order] for name, values in joined.items()}
    first = run_starts(joined["cell"])
    summed = {name: np.add.reduceat(joined[name], first) for name in ("n", "red", "yellow", "sx", "sy")}
    row = np.where(summed["n"] == 1, joined["row"][first], -1)
    return _Sums(cell=joined["cell"][first], row=row, **summed)


def resolution(z: int) -> int:
    """The h3 resolution heat is shown in at zoom z."""
    return _RESOLUTION[min(z, len(_RESOLUTION) - 1)]


def parent(cells: Any, res: int) -> Any:
    """The ancestors of h3 cells at a coarser resolution, by their bits; ``res`` is written in, finer digits all set."""
    return (cells & ~(15 << 52)) | (res << 52) | ((1 << 3 * (15 - res)) - 1)


def _parents(segment: Segment, res: int) -> Array:
    found: Array = parent(segment["h3"], res)
    return found


def hexagons(parts: Sequence[Selected], res: int) -> tuple[Rows, Rows]:
    """The h3 cells of a resolution up to 12 that hold selected points, ascending, and how many each holds.

    Cells are whole, whatever tiles they lie in: their counts add up to the count of the selection.
    """
    cells, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for part in parts:
        segment = part.segment
        edges = segment.runs(("h3", res), partial(_parents, segment, res), 0, segment.n)
        held = part.all.among(edges)
        cells.append(parent(segment.at("h3", edges[:-1][held > 0]), res))
        counts.append(held[held > 0])
    cell, where = np.unique(np.concatenate(cells), return_inverse=True)
    return cell, np.bincount(where, np.concatenate(counts), len(cell)).astype(np.int64)


def heat(parts: Sequence[Selected], z: int, x: int, y: int) -> Heat:
    """The selected points of tile z/x/y by h3 cell. Each segment has its cells of resolution 12 in column ``h3``."""
    res = resolution(z)
    cells, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for part in parts:
        segment = part.segment
        low, high = segment.span(z, x, y)
        if low == high:
            continue
        edges = segment.runs(("h3", res), partial(_parents, segment, res), low, high)
        held = part.all.among(edges)
        cells.append(parent(segment.at("h3", edges[:-1][held > 0]), res))
        counts.append(held[held > 0])
    cell, where = np.unique(np.concatenate(cells), return_inverse=True)
    n = np.bincount(where, np.concatenate(counts), len(cell)).astype(np.int64)
    unit = 2.0 ** (geometry.WORLD_BITS - z) / EXTENT
    centres = np.array([h3.cell_to_latlng(c) for c in cell.tolist()], np.float64).reshape(-1, 2)
    px, py = geometry.world_pixel(centres[:, 1], centres[:, 0])
    width = geometry.WORLD_BITS - z
    tx, ty = (_placed((axis - (at << width)).astype(np.float64), unit) for axis, at in ((px, x), (py, y)))
    return Heat(cell, n, tx, ty)
