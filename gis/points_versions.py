"""The version of each tile: a digest of the cases in it, and when time last changed a light there. Draws nothing.

The digest follows from the cases alone, not from how they came into memory: processes that hold the same cases say the
same, and what happens in one street leaves the tiles of all others as they are. It never comes back to what it was
while a case is there, for every event raises ``seq``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gis import geometry
from gis.points_bits import Ranked, Rows, everything
from gis.points_rows import CLOCKS
from gis.points_table import Array, Segment, Snapshot, run_starts

BLOCK_ZOOM: Final = 16
"""Tiles of this zoom have a digest each; smaller tiles have that of the one they lie in."""
_SHIFT: Final = 2 * (geometry.WORLD_BITS - BLOCK_ZOOM)
_CHUNK: Final = 1 << 17  # rows: what is needed in between stays small beside the columns
_LOWER: Final = np.uint64(0xFFFFFFFF)
_ODD: Final = tuple(np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xC2B2AE3D27D4EB4F))


@dataclass(frozen=True)
class Versions:
    """The digests of a snapshot: ``sums`` over the cases of each of ``blocks`` (Morton codes, ascending)."""

    snapshot: Snapshot
    blocks: Rows
    sums: NDArray[np.uint64]

    @classmethod
    def of(cls, snapshot: Snapshot) -> "Versions":
        """From all its rows the first time; then from those that changed since its base was made."""
        blocks, sums = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
        for part in snapshot.parts:
            segment = part.segment
            whole = segment.derived("digests", partial(_digests, segment))
            left = Ranked(everything(segment.n) & ~part.alive).rows(0, segment.n)
            gone, lost = _summed(segment, left)
            blocks += [whole[0], gone]
            sums += [whole[1], np.uint64(0) - lost]
        found, total = _together(blocks, sums)
        return cls(snapshot, found.astype(np.int64), total)

    def at(self, second: int) -> "Stamps":
        """The versions of tiles at a second since 1970."""
        latest = np.zeros(len(self.blocks), np.uint64)
        for part in self.snapshot.parts:
            segment = part.segment
            block, last = segment.passing(("last changes", second), partial(_last_changes, segment, second))
            at = np.searchsorted(self.blocks, block.astype(np.int64))
            latest[at] = np.maximum(latest[at], last)
        return Stamps(self.snapshot, self.blocks, self.sums, latest)


@dataclass(frozen=True)
class Stamps:
    """By block: the digest of its cases, and the last moment up to now at which time alone changed a light there.

    Also of a case that changed since its segment was made: that costs a tile more, never one too few.
    """

    snapshot: Snapshot
    blocks: Rows
    sums: NDArray[np.uint64]
    latest: NDArray[np.uint64]

    @cached_property
    def last(self) -> int:
        """The last moment up to now at which time alone changed a light anywhere; 0 for none."""
        return int(self.latest.max(initial=0))

    def tile(self, z: int, x: int, y: int) -> str:
        """The version of tile z/x/y: another when a case or a light in it is another."""
        if z > BLOCK_ZOOM:
            x, y, z = x >> z - BLOCK_ZOOM, y >> z - BLOCK_ZOOM, BLOCK_ZOOM
        code = int(geometry.interleave(x, y))
        width = 2 * (BLOCK_ZOOM - z)
        low, high = (self.blocks.searchsorted(np.int64(edge << width)) for edge in (code, code + 1))
        return f"{self.sums[low:high].sum(dtype=np.uint64):x}.{self.latest[low:high].max(initial=0):x}"


def _digests(segment: Segment) -> Array:
    """(2, blocks): the blocks of a whole segment and the sums over them."""
    pieces = [_summed(segment, slice(start, start + _CHUNK)) for start in range(0, segment.n, _CHUNK)]
    return np.stack(_together([block for block, _ in pieces], [total for _, total in pieces]))


def _summed(segment: Segment, rows: Rows | slice) -> tuple[Array, Array]:
    """Of some ascending rows: the blocks they lie in, and the sum of what is mixed of ``id`` and ``seq`` in each."""
    block = (segment["mk"][rows] >> _SHIFT).astype(np.uint64)
    first = run_starts(block)
    ids = segment["id"][rows]
    mixed = (ids[:, 0] * _ODD[0] ^ ids[:, 1]) + segment["seq"][rows].astype(np.uint64) * _ODD[1]
    mixed = (mixed ^ mixed >> np.uint64(32)) * _ODD[2]
    mixed = (mixed ^ mixed >> np.uint64(29)) * _ODD[0]
    return block[first], np.add.reduceat(mixed, first) if len(first) else mixed


def _together(blocks: Sequence[Array], sums: Sequence[Array]) -> tuple[Array, Array]:
    if not blocks:
        return np.zeros(0, np.uint64), np.zeros(0, np.uint64)
    found, where = np.unique(np.concatenate(blocks), return_inverse=True)
    total = np.zeros(len(found), np.uint64)
    np.add.at(total, where, np.concatenate(sums))
    return found, total


def light_moments(segment: Segment) -> Array:
    """Ascending: a block in the upper half, a moment at which one of its lights changes in the lower."""
    return segment.derived("light moments", partial(_light_moments, segment))


def _last_changes(segment: Segment, second: int) -> Array:
    """(2, blocks): the blocks where lights change, and when one last did up to ``second``; 0 for never."""
    there = light_moments(segment)
    block, moment = there >> np.uint64(32), there & _LOWER
    moment *= moment <= np.uint64(second)
    first = run_starts(block)
    return np.stack((block[first], np.maximum.reduceat(moment, first) if len(first) else moment))


def _light_moments(segment: Segment) -> Array:
    pieces = []
    for name in CLOCKS:
        rows, moments_ = segment.told(name)
        pieces.append((segment["mk"][rows] >> _SHIFT).astype(np.uint64) << np.uint64(32) | moments_)
    return np.unique(np.concatenate(pieces))
