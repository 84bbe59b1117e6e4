"""The first of the selected cases in the order of a list, from memory: which ids a page can hold. Knows no SQL.

Says the same order as ``gis.search.find``: newest report first, or least time left first, ties by id.
"""

from collections.abc import Sequence
from uuid import UUID

import numpy as np

from gis.points import Mask
from gis.points_bits import Ranked, Rows, Words, has
from gis.points_cells import Selected
from gis.points_rows import NO_LIMIT, pack_ids
from gis.points_table import Array, Segment
from gis.search import Order

Edge = tuple[int, UUID]
"""Microseconds since 1970 (``NO_LIMIT``: no running limit) and id of the case after which a page begins."""
_MANY = 20_000
_SAMPLE = 64
_COLUMN: dict[Order, str] = {"newest": "reported", "due": "next_due"}


def first(mask: Mask, order: Order, edge: Edge | None, count: int) -> Rows:
    """The rows over the whole snapshot of the first ``count`` cases of ``mask`` after ``edge``, in order.

    All that are left when there are fewer.
    """
    if order == "newest":
        return _first([(part, part.all) for part in mask.parts], order, edge, count)
    # Most cases of a town are closed. Those with a running limit come first and are few.
    found = np.zeros(0, np.int64)
    if edge is None or edge[0] != NO_LIMIT:
        running = [(part, Ranked(part.all.words & _running(part.segment))) for part in mask.parts]
        found, edge = _first(running, order, edge, count), None
    if len(found) == count:
        return found
    resting = [(part, Ranked(part.all.words & ~_running(part.segment))) for part in mask.parts]
    return np.concatenate([found, _by_id(resting, edge[1] if edge else None, count - len(found))])


def ids(mask: Mask, rows: Rows) -> list[UUID]:
    """The ids of rows over the whole snapshot."""
    return [
        UUID(bytes=bytes(one)) for one in mask.snapshot.take("id", rows).astype(">u8").view(np.uint8).reshape(-1, 16)
    ]


_Kept = Sequence[tuple[Selected, Ranked]]


def _first(kept: _Kept, order: Order, edge: Edge | None, count: int) -> Rows:
    pieces = []
    for part, chosen in kept:
        segment = part.segment
        rows, keys = _after(segment, _early(segment, chosen, order, edge, count), order, edge)
        if len(rows) < count:
            rows, keys = _after(segment, chosen.rows(0, segment.n), order, edge)
        if len(rows) > count:
            near = np.flatnonzero(keys <= np.partition(keys, count - 1)[count - 1])
            rows, keys = rows[near], keys[near]
        pieces.append((keys, _ids(segment, rows, order), rows + part.offset))
    keys, ties, rows = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
    return rows[np.lexsort((ties[:, 1], ties[:, 0], keys))[:count]]


def _by_id(kept: _Kept, after: UUID | None, count: int) -> Rows:
    """The first in the order of ids: of few all are looked at, of many as many rows in that order as it takes."""
    pieces = []
    for part, chosen in kept:
        segment = part.segment
        at = _up_to(segment, after) if after else 0
        if chosen.count < _MANY:
            rows = chosen.rows(0, segment.n)
            rows = rows[segment.rank(segment["id"][rows]) >= at] if after else rows
        else:
            rows, size = np.zeros(0, np.int64), 2 * count
            while len(rows) < count and at < segment.n:
                some = segment.by_id[at : at + size].astype(np.int64)
                rows = np.concatenate([rows, some[has(chosen.words, some)]])
                at, size = at + size, 4 * size
        pieces.append((segment["id"][rows], rows + part.offset))
    ids, rows = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
    return rows[np.lexsort((ids[:, 1], ids[:, 0]))[:count]]


def _up_to(segment: Segment, last: UUID) -> int:
    """How many ids are not greater than ``last``."""
    packed = pack_ids([last])
    return int(segment.rank(packed)[0] + (segment.find(packed)[0] >= 0))


def _early(segment: Segment, kept: Ranked, order: Order, edge: Edge | None, count: int) -> Array:
    """Rows up to a bound that likely holds the first ``count`` after ``edge``: none where few are kept anyway."""
    some = np.arange(0, segment.n, _SAMPLE)
    sample = segment.derived(("sample", order), lambda: np.sort(_keys(segment.at(_COLUMN[order], some), order)))
    low = _key(edge, order) if edge else -NO_LIMIT  # the first of all need not be in the sample
    end = np.searchsorted(sample, low) + 2 + int(4 * count * segment.n / max(kept.count, 1) / _SAMPLE)
    if kept.count < _MANY or end >= len(sample):
        return np.zeros(0, np.int64)
    high = int(sample[end])
    if order == "newest":
        low, high = -high, -low
    return Ranked(kept.words & segment.within(_COLUMN[order], low, high)).rows(0, segment.n)


def _running(segment: Segment) -> Words:
    return segment.words("running", lambda: segment.within("next_due", 0, NO_LIMIT - 1))


def _keys(values: Array, order: Order) -> Array:
    """What rises along the list, from the column the order goes by."""
    return -values if order == "newest" else values


def _key(edge: Edge, order: Order) -> int:
    return -edge[0] if order == "newest" else edge[0]


def _ids(segment: Segment, rows: Array, order: Order) -> Array:
    ids = segment["id"][rows]
    return ~ids if order == "newest" else ids


def _after(segment: Segment, rows: Array, order: Order, edge: Edge | None) -> tuple[Array, Array]:
    """Those of the rows that come after the edge, and their keys."""
    keys = _keys(segment.at(_COLUMN[order], rows), order)
    if edge is None:
        return rows, keys
    keep = keys >= _key(edge, order)
    rows, keys = rows[keep], keys[keep]
    same = np.flatnonzero(keys == _key(edge, order))
    ids = _ids(segment, rows[same], order)
    high, low = (np.uint64(half) for half in divmod(edge[1].int, 2**64))
    if order == "newest":
        high, low = ~high, ~low
    before = (ids[:, 0] < high) | ((ids[:, 0] == high) & (ids[:, 1] <= low))
    keep = np.ones(len(rows), np.bool_)
    keep[same[before]] = False
    return rows[keep], keys[keep]
