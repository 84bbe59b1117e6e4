"""The first of the selected cases in the order of a list, from memory: which ids a page can hold. Knows no SQL.

Says the same order as ``gis.search.find``: newest report first, or least time left first, ties by id.
"""

from uuid import UUID

import numpy as np

from gis.points import Mask
from gis.points_bits import Ranked, Words, pack
from gis.points_rows import NO_LIMIT
from gis.points_table import Array, Segment
from gis.search import Order

Edge = tuple[int, UUID]
"""Microseconds since 1970 (``NO_LIMIT``: no running limit) and id of the case after which a page begins."""
_SAMPLE = 16


def first(mask: Mask, order: Order, edge: Edge | None, count: int) -> list[UUID]:
    """The first ``count`` cases of ``mask`` after ``edge``, in order; all that are left when there are fewer."""
    if order == "due" and (edge is None or edge[0] != NO_LIMIT):
        # Most cases of a town are closed. Those with a running limit come first and are few.
        found = _first(mask, order, edge, count, running=True)
        if len(found) >= count:
            return found
    return _first(mask, order, edge, count, running=False)


def _first(mask: Mask, order: Order, edge: Edge | None, count: int, running: bool) -> list[UUID]:
    pieces = []
    for part in mask.parts:
        words = part.all.words & _running(part.segment) if running else part.all.words
        rows = Ranked(words).rows(0, part.segment.n)
        keys = _keys(part.segment, rows, order)
        rows, keys = _after(part.segment, rows, keys, order, edge)
        near = _near(keys, count)
        rows, keys = rows[near], keys[near]
        pieces.append((keys, _ids(part.segment, rows, order)))
    keys, ids = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
    chosen = np.lexsort((ids[:, 1], ids[:, 0], keys))[:count]
    ids = ids[chosen]
    named = (~ids if order == "newest" else ids).astype(">u8")
    return [UUID(bytes=bytes(one)) for one in named.view(np.uint8).reshape(-1, 16)]


def _running(segment: Segment) -> Words:
    return segment.words("running", lambda: pack(segment["next_due"] != NO_LIMIT))


def _keys(segment: Segment, rows: Array, order: Order) -> Array:
    """What rises along the list."""
    keys: Array = -segment["reported"][rows] if order == "newest" else segment["next_due"][rows]
    return keys


def _ids(segment: Segment, rows: Array, order: Order) -> Array:
    ids = segment["id"][rows]
    return ~ids if order == "newest" else ids


def _after(segment: Segment, rows: Array, keys: Array, order: Order, edge: Edge | None) -> tuple[Array, Array]:
    if edge is None:
        return rows, keys
    at = -edge[0] if order == "newest" else edge[0]
    keep = keys >= at
    rows, keys = rows[keep], keys[keep]
    same = np.flatnonzero(keys == at)
    ids = _ids(segment, rows[same], order)
    high, low = (np.uint64(half) for half in divmod(edge[1].int, 2**64))
    if order == "newest":
        high, low = ~high, ~low
    before = (ids[:, 0] < high) | ((ids[:, 0] == high) & (ids[:, 1] <= low))
    keep = np.ones(len(rows), np.bool_)
    keep[same[before]] = False
    return rows[keep], keys[keep]


def _near(keys: Array, count: int) -> Array:
    """Where the ``count`` smallest keys are, with everything that ties with the last of them."""
    if len(keys) <= count:
        return np.arange(len(keys))
    if len(keys) > 100 * _SAMPLE * count:
        # A bound from a sample leaves little to look at; where it leaves too little, all is looked at.
        bound = np.partition(keys[::_SAMPLE], count)[count]
        few = np.flatnonzero(keys <= bound)
        if len(few) >= count:
            return few[_smallest(keys[few], count)]
    return _smallest(keys, count)


def _smallest(keys: Array, count: int) -> Array:
    smallest: Array = np.flatnonzero(keys <= np.partition(keys, count - 1)[count - 1])
    return smallest
