"""Columns of points in memory, sorted along the Morton curve, and how they take new rows. Knows no case, no SQL.

A snapshot is an immutable ``base`` (millions of rows), the set of base rows still ``alive``, and a small immutable
``tail`` of rows written since. A changed row leaves the base by losing its bit and comes back in the tail, so readers
never see half a change and everything derived from the base stays valid until the tail is merged into a new base.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from threading import Lock
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from gis import geometry
from gis.points_bits import Ranked, Rows, Words, either, everything, has, nothing, only, pack

Array = NDArray[Any]
Columns = dict[str, Array]
NEVER: Final = np.uint32(0xFFFFFFFF)
"""The second that never comes, in columns of seconds since 1970."""
_BITMAPS: Final = 64
_RUNS: Final = 2  # of neighbouring codes: so many are sooner compared than looked up row by row
_PASSING: Final = 8
_TAIL_MIN, _TAIL_MAX = 2_000, 30_000

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """The last ``size`` values used, by key. Safe for threads; two may make the same value at once."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of ``key``, made when it is not held."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        value = make()
        with self._lock:
            self._held[key] = value
            while len(self._held) > self._size:
                self._held.popitem(last=False)
        return value


class Dictionary:
    """The distinct values of a column, each with a small number. Only grows. Numbers stay."""

    def __init__(self, values: Iterable[Any] = ()) -> None:
        self.values: list[Any] = list(values)
        self._texts: tuple[str, ...] = ()
        self._codes = {value: code for code, value in enumerate(self.values)}

    def __len__(self) -> int:
        return len(self.values)

    @property
    def texts(self) -> tuple[str, ...]:
        """The values as text: parts joined by a colon, nothing as an empty one."""
        if len(self._texts) != len(self.values):
            self._texts = tuple(":".join(v) if isinstance(v, tuple) else str(v or "") for v in self.values)
        return self._texts

    def encode(self, values: Iterable[Any]) -> Array:
        """The numbers of these values, new ones added, in the smallest type that fits."""
        codes = []
        for value in values:
            code = self._codes.get(value)
            if code is None:
                code = self._codes[value] = len(self.values)
                self.values.append(value)
            codes.append(code)
        return np.array(codes, self.dtype)

    def matching(self, wanted: Callable[[Any], bool]) -> list[int]:
        """The numbers of the values ``wanted`` accepts, ascending."""
        return [code for code, value in enumerate(self.values) if wanted(value)]

    def codes(self, values: Iterable[Any]) -> list[int]:
        """The numbers of these values as far as they are known, ascending."""
        return sorted({self._codes[value] for value in values if value in self._codes})

    @property
    def dtype(self) -> type[np.unsignedinteger[Any]]:
        """The smallest unsigned type that holds every number."""
        return np.uint8 if len(self) <= 0x100 else np.uint16 if len(self) <= 0x10000 else np.uint32


class Sparse:
    """A column of numbers ≥ 0 of which most rows hold 0 or the greatest of its type: only the others take room."""

    def __init__(self, column: Array) -> None:
        self.n, self.dtype, self.most = len(column), column.dtype, np.iinfo(column.dtype).max
        self.none = pack(column == 0)
        self.rows = np.flatnonzero((column != 0) & (column != self.most)).astype(np.uint32)
        self.values = column[self.rows]

    def full(self) -> Array:
        """The column itself."""
        column = np.full(self.n, self.most, self.dtype)
        column[Ranked(self.none).rows(0, self.n)] = 0
        column[self.rows] = self.values
        return column

    def at(self, rows: Rows) -> Array:
        """Its values at some rows."""
        values = np.where(has(self.none, rows), 0, self.most).astype(self.dtype)
        place = np.searchsorted(self.rows, rows.astype(self.rows.dtype))
        told = place < len(self.rows)
        told[told] = self.rows[place[told]] == rows[told]
        values[told] = self.values[place[told]]
        return values

    def within(self, low: int, high: int) -> Words:
        """The rows whose value lies in [low, high]."""
        words = only(self.n, self.rows[(self.values >= low) & (self.values <= high)])
        if low <= 0 <= high:
            words |= self.none
        if low <= self.most <= high:
            words |= everything(self.n) & ~(self.none | only(self.n, self.rows))
        return words


class Near:
    """A column of whole numbers that have all but 32 bits in common, such as the h3 cells of a town."""

    def __init__(self, least: np.int64, shift: np.int64, low: NDArray[np.uint32]) -> None:
        self._least, self._shift, self._low = least, shift, low

    @classmethod
    def of(cls, column: Array) -> "Array | Near":
        """As one, or the column itself when they differ in more."""
        if not len(column):
            return column
        apart = column - column.min()
        bits = int(np.bitwise_or.reduce(apart))
        shift = np.int64((bits & -bits).bit_length() - 1 if bits else 0)
        if bits >> shift > np.iinfo(np.uint32).max:
            return column
        return cls(column.min(), shift, (apart >> shift).astype(np.uint32))

    def full(self) -> Array:
        """The column itself."""
        return self.at(slice(None))

    def at(self, rows: Rows | slice) -> Array:
        """Its values at some rows."""
        found: Array = (self._low[rows].astype(np.int64) << self._shift) + self._least
        return found


_Column = Array | Sparse | Near


def _plain(column: _Column) -> Array:
    return column if isinstance(column, np.ndarray) else column.full()


@dataclass(frozen=True)
class Layout:
    """The columns that are kept in less room than they are given in."""

    sparse: frozenset[str] = frozenset()
    near: frozenset[str] = frozenset()

    def packed(self, name: str, column: Array) -> _Column:
        """A column as it is kept."""
        return Sparse(column) if name in self.sparse else Near.of(column) if name in self.near else column


_AS_GIVEN: Final = Layout()


class Segment:
    """Columns of equal length in Morton order: ``mk`` (int64), ``id`` (n, 2) uint64, and whatever the store adds."""

    def __init__(self, columns: Columns, layout: Layout = _AS_GIVEN) -> None:
        self.n = len(columns["mk"])
        # One after the other is let go: there is never a second copy of all.
        self.columns = {name: layout.packed(name, columns.pop(name)) for name in list(columns)}
        self._bitmaps: Recent[Words] = Recent(_BITMAPS)
        self._passing: Recent[Words] = Recent(_PASSING)
        self._derived: dict[Hashable, Array] = {}

    @classmethod
    def sorted(cls, columns: Columns, layout: Layout) -> "Segment":
        """From columns in any order; ``columns`` is emptied on the way so that no second copy is held."""
        order = np.argsort(columns["mk"], kind="stable")
        return cls({name: columns.pop(name)[order] for name in list(columns)}, layout)

    def __getitem__(self, name: str) -> Array:
        """A whole column; one that is kept in less room is made anew."""
        return _plain(self.columns[name])

    def at(self, name: str, rows: Rows) -> Array:
        """A column's values at some rows."""
        column = self.columns[name]
        return column[rows] if isinstance(column, np.ndarray) else column.at(rows)

    def within(self, name: str, low: int, high: int) -> Words:
        """The rows whose value in a column lies in [low, high]."""
        column = self.columns[name]
        if isinstance(column, Sparse):
            return column.within(low, high)
        values = _plain(column)
        return pack((values >= low) & (values <= high))

    def told(self, name: str) -> tuple[Rows, Array]:
        """Where a column is neither 0 nor the greatest of its type, and what it holds there."""
        column = self.columns[name]
        if not isinstance(column, Sparse):
            column = Sparse(_plain(column))
        return column.rows.astype(np.int64), column.values

    @cached_property
    def by_id(self) -> NDArray[np.uint32]:
        """The rows in the order of their ids."""
        high, low = self["id"][:, 0], self["id"][:, 1]
        order = np.argsort(high)
        ordered = high[order]
        if (ordered[1:] == ordered[:-1]).any():
            order = np.lexsort((low, high))
        return order.astype(np.uint32)

    def rank(self, ids: Array) -> Rows:
        """How many ids are smaller than each of the (m, 2) ids."""
        left, right = np.zeros(len(ids), np.int64), np.full(len(ids), self.n, np.int64)
        if not self.n:
            return left
        high, low = self["id"][:, 0], self["id"][:, 1]
        for _ in range(self.n.bit_length()):
            middle = (left + right) >> 1
            at = self.by_id[np.minimum(middle, self.n - 1)]
            smaller = (left < right) & ((high[at] < ids[:, 0]) | ((high[at] == ids[:, 0]) & (low[at] < ids[:, 1])))
            left, right = np.where(smaller, middle + 1, left), np.where(smaller, right, middle)
        return left

    def find(self, ids: Array) -> Rows:
        """The row of each of the (m, 2) ids, -1 where there is none."""
        if not self.n:
            return np.full(len(ids), -1, np.int64)
        rank = self.rank(ids)
        at = self.by_id[np.minimum(rank, self.n - 1)].astype(np.int64)
        same = (rank < self.n) & (self["id"][at] == ids).all(axis=1)
        return np.where(same, at, -1)

    def among(self, name: str, codes: Sequence[int]) -> Words:
        """The rows whose ``name`` has one of these (ascending) codes."""
        runs = list(_runs(codes))
        if len(runs) <= _RUNS:
            return either(self.n, (self._between(name, low, high) for low, high in runs))
        return self._bitmaps.get((name, *codes), partial(self._one_of, name, codes))

    def _one_of(self, name: str, codes: Sequence[int]) -> Words:
        column = self[name]
        wanted = np.zeros(int(np.iinfo(column.dtype).max) + 1, np.bool_)
        wanted[[code for code in codes if code < len(wanted)]] = True
        return pack(wanted.take(column, mode="clip"))

    def _between(self, name: str, low: int, high: int) -> Words:
        column = self[name]
        top = int(np.iinfo(column.dtype).max)
        if low > top:
            return nothing(self.n)
        kind = column.dtype.type

        def make() -> Words:
            if low == high:
                return pack(column == kind(low))
            return pack(column - kind(low) <= kind(min(high, top) - low))  # unsigned: below low wraps to large

        return self._bitmaps.get((name, low, high), make)

    def words(self, key: Hashable, make: Callable[[], Words]) -> Words:
        """A set of this segment's rows, remembered for a while under ``key``."""
        return self._bitmaps.get(key, make)

    def passing(self, key: Hashable, make: Callable[[], Words]) -> Words:
        """What nobody asks for again soon after, such as the rows late at a second: it takes no room from others."""
        return self._passing.get(key, make)

    def derived(self, key: Hashable, make: Callable[[], Array]) -> Array:
        """An array that follows from the columns, kept as long as the segment lives."""
        if key not in self._derived:
            self._derived[key] = make()
        return self._derived[key]

    def runs(self, key: Hashable, values: Callable[[], Array], low: int, high: int) -> Rows:
        """Edges of the runs of rows in [low, high) with equal ``values``: where each begins, and ``high`` at the end.

        ``values`` has one entry a row and follows from the columns; the edges of the whole segment are kept by ``key``.
        """
        edges = self.derived(("runs", key), lambda: run_starts(values()).astype(np.int32))
        a, b = edges.dtype.type(low), edges.dtype.type(high)  # bounds of another type would copy all edges
        inner = edges[np.searchsorted(edges, a, "right") : np.searchsorted(edges, b, "left")]
        found: Rows = np.concatenate(([low], inner, [high]))
        return found

    def span(self, z: int, x: int, y: int) -> tuple[int, int]:
        """The rows [low, high) that lie in a tile."""
        return self.block(z, geometry.interleave(x, y))

    def block(self, z: int, code: int) -> tuple[int, int]:
        """The rows [low, high) that lie in a tile of zoom z, given by its Morton code."""
        width = 2 * (geometry.WORLD_BITS - z)
        mk = self["mk"]
        return int(mk.searchsorted(np.int64(code << width))), int(mk.searchsorted(np.int64(code + 1 << width)))


_X_OF, _Y_OF = (axis.astype(np.uint8) for axis in geometry.deinterleave(np.arange(1 << 16)))


def pixels(mk: Array) -> tuple[Array, Array]:
    """Pixels (px, py) of Morton codes of 64 or 32 bits: sixteen at a time by table, quick enough to keep none."""
    words = np.ascontiguousarray(mk).view("<u2").reshape(-1, mk.dtype.itemsize // 2)
    px, py = (table[words].view(f"<u{words.shape[1]}").reshape(-1) for table in (_X_OF, _Y_OF))
    return px, py


_LOW_PAIRS = _X_OF.astype(np.uint64) | _Y_OF.astype(np.uint64) << np.uint64(32)
_HIGH_PAIRS = _LOW_PAIRS << np.uint64(8)
_PAIR_MOST: Final = 1 << 16


def pixel_sums(mk: Array, first: Rows) -> tuple[Rows, Rows]:
    """The sums of px and of py over each run of Morton codes that begins at ``first`` (the first at 0)."""
    if mk.dtype.itemsize > 4 or len(mk) > _PAIR_MOST:
        sx, sy = (np.add.reduceat(axis, first, dtype=np.int64) for axis in pixels(mk))
        return sx, sy
    # Both axes in one word of 64 bits, x below y: so few numbers of 16 bits do not carry from one into the other.
    words = np.ascontiguousarray(mk).view("<u2").reshape(-1, 2)
    pairs = _LOW_PAIRS.take(words[:, 0], mode="clip")
    pairs += _HIGH_PAIRS.take(words[:, 1], mode="clip")
    sums = np.add.reduceat(pairs, first)
    return (sums & np.uint64(0xFFFFFFFF)).astype(np.int64), (sums >> np.uint64(32)).astype(np.int64)


def run_starts(values: Array) -> Rows:
    """Where each run of equal neighbours begins."""
    begins = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=begins[1:])
    return np.flatnonzero(begins)


def _runs(codes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ascending numbers as runs (first, last)."""
    first = last = -2
    for code in codes:
        if code != last + 1:
            if last >= 0:
                yield first, last
            first = code
        last = code
    if last >= 0:
        yield first, last


@dataclass(frozen=True)
class Part:
    """A segment within a snapshot: which of its rows count, and the number its rows start at over the whole."""

    segment: Segment
    alive: Words
    offset: int


@dataclass(frozen=True)
class Snapshot:
    """What a reader holds: never changes.

    ``version`` rises with every change of the rows in this process. ``mark`` names the state of the database the rows
    show, equal in every process that has come as far.
    """

    version: int
    mark: str
    parts: tuple[Part, ...]

    def find(self, ids: Array) -> Rows:
        """The row over the whole snapshot of each of the (m, 2) ids, -1 where there is none."""
        found = np.full(len(ids), -1, np.int64)
        for part in self.parts:
            rows = part.segment.find(ids)
            held = rows >= 0
            held[held] = has(part.alive, rows[held])
            found[held] = rows[held] + part.offset
        return found

    def take(self, name: str, rows: Rows) -> Array:
        """A column at rows over the whole snapshot."""
        if len(self.parts) == 1:
            return self.parts[0].segment.at(name, rows)
        base, tail = self.parts
        late = rows >= tail.offset
        if not late.any():
            return base.segment.at(name, rows)
        older, newer = base.segment.at(name, rows[~late]), tail.segment.at(name, rows[late] - tail.offset)
        found = np.empty((len(rows), *older.shape[1:]), np.result_type(older, newer))
        found[~late], found[late] = older, newer
        return found


class Table:
    """The one writer of a store: takes rows, hands out snapshots."""

    def __init__(self, columns: Columns, mark: str, layout: Layout = _AS_GIVEN, version: int = 1) -> None:
        self._lock = Lock()
        self._layout = layout
        self.snapshot = _snapshot(version, mark, Segment.sorted(columns, layout))
        self.snapshot.find(np.zeros((0, 2), np.uint64))  # orders the ids now: the first change should not wait for it

    def apply(self, rows: Columns, mark: str, gone: Array | None = None) -> int:
        """Put rows in, replacing those with the same id unless they are newer (``seq``), and take ``gone`` ids out.

        Within ``rows`` ids are distinct. Applying twice changes nothing but the mark. Returns how many rows came in.
        """
        with self._lock:
            held = self.snapshot
            where = held.find(rows["id"])
            fresh = np.ones(len(where), np.bool_)
            known = where >= 0
            fresh[known] = held.take("seq", where[known]) < rows["seq"][known]
            leave = where[fresh & known]
            if gone is not None and len(gone):
                taken = held.find(gone)
                leave = np.concatenate([leave, taken[taken >= 0]])
            if fresh.any() or len(leave):
                new = {name: column[fresh] for name, column in rows.items()}
                self.snapshot = _with(held, new, leave, mark, self._layout)
            else:
                self.snapshot = replace(held, mark=mark)
            return int(fresh.sum())


def _snapshot(version: int, mark: str, base: Segment) -> Snapshot:
    return Snapshot(version, mark, (Part(base, everything(base.n), 0),))


def _with(held: Snapshot, rows: Columns, leave: Rows, mark: str, layout: Layout) -> Snapshot:
    base = held.parts[0]
    alive = base.alive
    old = leave[leave < base.segment.n]
    if len(old):
        alive = alive.copy()
        np.bitwise_and.at(alive, old >> 6, ~(np.uint64(1) << (old & 63).astype(np.uint64)))
    pieces: list[_Piece] = [(rows, slice(None))]
    size = len(rows["mk"])
    if len(held.parts) == 2:
        tail = held.parts[1]
        stay = np.ones(tail.segment.n, np.bool_)
        stay[leave[leave >= tail.offset] - tail.offset] = False
        pieces.append((tail.segment.columns, np.flatnonzero(stay)))
        size += int(stay.sum())
    if size > max(_TAIL_MIN, min(_TAIL_MAX, base.segment.n // 8)):
        pieces.append((base.segment.columns, Ranked(alive).rows(0, base.segment.n)))
        return _snapshot(held.version + 1, mark, _merged(pieces, layout))
    merged = _merged(pieces)
    parts = (Part(base.segment, alive, 0), Part(merged, everything(merged.n), base.segment.n))
    return Snapshot(held.version + 1, mark, parts)


_Piece = tuple[Mapping[str, _Column], Rows | slice]


def _merged(pieces: Sequence[_Piece], layout: Layout = _AS_GIVEN) -> Segment:
    """Some rows of several tables as one segment; column by column, so that no second copy is ever held."""

    def column(name: str) -> Array:
        return np.concatenate([_plain(columns[name])[kept] for columns, kept in pieces])

    order = np.argsort(column("mk"), kind="stable")
    return Segment({name: column(name)[order] for name in pieces[0][0]}, layout)


def joined(pieces: Sequence[Mapping[str, Array]]) -> Columns:
    """Columns one after the other."""
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
