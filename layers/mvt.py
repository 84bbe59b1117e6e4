"""Mapbox Vector Tile bytes for points, written by columns with numpy. Knows the format, not what is drawn.

Format: Mapbox Vector Tile specification 2.1. All features of a block have the same properties, so each is a record of
the same length: a template is repeated and its changing fields are filled column by column. Numbers are written as
varints of two or three bytes, which protobuf allows even where one would do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gis.points_cells import EXTENT

Array = NDArray[Any]
_FAR: Final = 8191
_TWO: Final = np.array([v & 0x7F | 0x80 | v >> 7 << 8 for v in range(1 << 14)], "<u2")
"""Numbers below 16,384 as varints of two bytes."""
_PLACED: Final = _TWO[[v << 1 ^ v >> 63 for v in range(-_FAR, _FAR + 1)]]
"""Moves from -8,191 to 8,191 likewise; what lies further is drawn there."""


@dataclass(frozen=True)
class Property:
    """One property of every feature of a block: numbers into ``values``, or the values when those are None.

    ``codes`` is one number a feature, or one for all of them.
    """

    name: str
    codes: Array | int
    values: tuple[str, ...] | Array | None = None


class Table:
    """Properties that come together: ``rows`` of words and of numbers ≥ 0, one of each of ``names``.

    Made once and kept, it writes features quicker than a :class:`Property` each. Holds what it has written.
    """

    def __init__(self, names: Sequence[str], rows: Sequence[Sequence[str | int]]) -> None:
        self.names, self.rows = tuple(names), tuple(rows)
        self.values: tuple[str | int, ...] = ()
        self.numbers = self._numbered(self.rows)
        self._records: dict[Any, Array] = {}

    def _numbered(self, rows: Sequence[Sequence[str | int]]) -> Array:
        values = {value: number for number, value in enumerate(self.values)}
        numbers = [[values.setdefault(value, len(values)) for value in row] for row in rows]
        self.values = tuple(values)
        return np.array(numbers, np.int64).reshape(-1, len(self.names))

    def followed_by(self, rows: Sequence[Sequence[str | int]]) -> "Table":
        """A table of these rows after its own, which keep their numbers and are not looked at again."""
        longer = Table(self.names, ())
        longer.rows, longer.values = (*self.rows, *rows), self.values
        longer.numbers = np.concatenate([self.numbers, longer._numbered(rows)])
        return longer

    def only(self, codes: Array) -> "tuple[Table, Array]":
        """The rows of these numbers as a table of their own, and the numbers there."""
        used, where = distinct(codes)
        return Table(self.names, [self.rows[code] for code in used.tolist()]), where

    @cached_property
    def encoded(self) -> bytes:
        """Its values as a tile holds them."""
        return b"".join(map(_value, self.values))

    def records(self, keys: tuple[int, ...], start: int, wide: bool) -> Array:
        """The tags of each row when its values begin at ``start``."""
        key = (keys, start, wide)
        if key not in self._records:
            tags = np.empty(self.numbers.shape, _tag(wide))
            tags["key"] = keys
            _fill(tags, self.numbers + start)
            self._records[key] = tags.view(f"V{tags.dtype.itemsize * len(keys)}").reshape(-1)
        return self._records[key]


@dataclass(frozen=True)
class Rows:
    """Several properties of every feature of a block: the number of a row of ``table`` each."""

    table: Table
    codes: Array


@dataclass(frozen=True)
class Block:
    """Points with the same properties: x to the right and y down in tile units."""

    x: Array
    y: Array
    properties: Sequence[Property | Rows]


def layer(name: str, blocks: Sequence[Block]) -> bytes:
    """A tile with one layer of points; no bytes at all when there are none.

    Values are whole numbers ≥ 0 (``Property.values`` None), words, or an (n, 16) uint8 array of UUIDs written as text.
    """
    blocks = [block for block in blocks if len(block.x)]
    if not blocks:
        return b""
    keys: dict[str, int] = {}
    table = _Values()
    coded = [[_coded(keys, table, one) for one in block.properties] for block in blocks]
    wide = table.count > len(_TWO)
    content = (
        _field(0x0A, name.encode()),
        *(_features(block, columns, wide) for block, columns in zip(blocks, coded, strict=True)),
        _names(tuple(keys)),
        *table.parts,
        b"\x28" + _varint(EXTENT) + b"\x78\x02",
    )
    return b"".join((b"\x1a", _varint(sum(map(len, content))), *content))


@lru_cache(maxsize=64)
def _names(keys: tuple[str, ...]) -> bytes:
    return b"".join(_field(0x1A, key.encode()) for key in keys)


@dataclass(frozen=True)
class _Coded:
    """Properties as a feature holds them: numbers of keys, and of values from ``start`` on or rows of ``table``."""

    keys: tuple[int, ...]
    codes: Array
    start: int = 0
    table: Table | None = None


def _coded(keys: dict[str, int], values: "_Values", given: Property | Rows) -> _Coded:
    if isinstance(given, Property):
        return _Coded((keys.setdefault(given.name, len(keys)),), values.add(given.codes, given.values))
    table, codes = given.table, given.codes
    if len(codes) < len(table.values):
        table, codes = table.only(codes)
    numbers = tuple(keys.setdefault(name, len(keys)) for name in table.names)
    return _Coded(numbers, codes, values.extend(table.encoded, len(table.values)), table)


def _features(block: Block, columns: Sequence[_Coded], wide: bool) -> bytearray:
    template = _template(tuple((column.keys, column.table is not None) for column in columns), wide)
    written = bytearray(template.tobytes()) * len(block.x)
    rows = np.frombuffer(written, template.dtype)
    for at, column in enumerate(columns):
        if column.table is not None:
            rows[f"tags {at}"] = column.table.records(column.keys, column.start, wide).take(column.codes, mode="clip")
        else:
            _fill(rows[f"tags {at}"], column.codes)
    for axis, values in (("x", block.x), ("y", block.y)):
        rows[axis] = _PLACED.take(values + _FAR, mode="clip")
    return written


def _fill(tags: Array, codes: Array) -> None:
    """Write numbers of values into tags."""
    if "rest" in (tags.dtype.names or ()):
        tags["value"] = codes & 0x7F | 0x80 | (codes >> 7 & 0x7F | 0x80) << 8
        tags["rest"] = codes >> 14
    else:
        tags["value"] = _TWO.take(codes, mode="clip")  # quicker than to refuse: none is beyond


@lru_cache(maxsize=2)
def _tag(wide: bool) -> Any:
    return np.dtype([("key", "u1"), ("value", "<u2"), *([("rest", "u1")] if wide else [])])


@lru_cache(maxsize=64)
def _template(columns: tuple[tuple[tuple[int, ...], bool], ...], wide: bool) -> Array:
    """The record of a feature with these keys, single ones or of a table, with what never changes filled in."""
    tag = _tag(wide)
    size = tag.itemsize * sum(len(keys) for keys, _ in columns)
    fields: list[tuple[str, Any, int]] = [("feature", "u1", 0x12), ("length", "u1", 0), ("tags", "u1", 0x12)]
    fields.append(("tags length", "u1", size))
    fields += [
        (f"tags {at}", f"V{tag.itemsize * len(keys)}" if together else tag, 0)
        for at, (keys, together) in enumerate(columns)
    ]
    # Type: point. Geometry: five bytes, move to once.
    fields += [(f"geometry {i}", "u1", byte) for i, byte in enumerate(b"\x18\x01\x22\x05\x09")]
    fields += [("x", "<u2", 0), ("y", "<u2", 0)]
    record = np.dtype([(name, kind) for name, kind, _ in fields])
    template = np.zeros((), record)
    for name, _, value in fields:
        if not name.startswith("tags ") or name == "tags length":
            template[name] = value
    for at, (keys, together) in enumerate(columns):
        if not together:
            template[f"tags {at}"]["key"] = keys[0]
    template["length"] = record.itemsize - 2
    return template


def _field(tag: int, content: bytes) -> bytes:
    return bytes((tag,)) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


_LOW: Final = 256
"""Numbers below this are all in the table where one of them is: quicker than to look which are used."""


class _Values:
    """The layer's table of values."""

    def __init__(self) -> None:
        self.parts: list[bytes | bytearray] = []
        self.count = 0
        self._lows = -1

    def add(self, codes: Array | int, values: tuple[str, ...] | Array | None) -> Array:
        """Numbers in the table of a column's values."""
        codes = np.asarray(codes)
        if values is None:
            if codes.max(initial=0) < _LOW:
                if self._lows < 0:
                    self._lows = self.extend(_lows(), _LOW)
                return np.add(codes, self._lows, dtype=np.int64)
            used, where = distinct(codes)
            return where + self.extend(_numbers(used), len(used))
        if isinstance(values, np.ndarray):
            return codes + self.extend(_uuids(values), len(values))
        if len(values) < max(32, codes.size):  # all of them, used or not
            return np.add(codes, self.extend(_words(values), len(values)), dtype=np.int64)
        used, where = distinct(codes)
        return where + self.extend(_words(tuple(values[code] for code in used.tolist())), len(used))

    def extend(self, encoded: bytes | bytearray, count: int) -> int:
        """Take in values as a tile holds them; the number of the first."""
        start = self.count
        self.parts.append(encoded)
        self.count += count
        return start


def _numbers(values: Array) -> bytes:
    """Numbers below 2**42 as values, six bytes of varint each."""
    rows = np.empty((len(values), 9), np.uint8)
    rows[:, :3] = (0x22, 7, 0x28)
    for byte in range(6):
        rows[:, 3 + byte] = values >> 7 * byte & 0x7F | (0x80 if byte < 5 else 0)
    return rows.tobytes()


@lru_cache(maxsize=1)
def _lows() -> bytes:
    return b"".join(map(_value, range(_LOW)))


@lru_cache(maxsize=256)
def _words(values: tuple[str, ...]) -> bytes:
    return b"".join(map(_value, values))


def _value(value: str | int) -> bytes:
    return _field(0x22, b"\x28" + _varint(value) if isinstance(value, int) else _field(0x0A, value.encode()))


def distinct(values: Array) -> tuple[Array, Array]:
    """The distinct numbers ≥ 0, ascending, and where each value is among them; quick when they are small."""
    top = int(values.max(initial=0))
    if top > 100_000:
        return np.unique(values, return_inverse=True)
    seen = np.zeros(top + 1, np.bool_)
    seen[values] = True
    used = np.flatnonzero(seen)
    place = np.zeros(top + 1, np.int64)
    place[used] = np.arange(len(used))
    return used, place[values]


_TEXT: Final = np.array(
    (*(0x22, 38, 0x0A, 36), *bytes(8), 45, *bytes(4), 45, *bytes(4), 45, *bytes(4), 45, *bytes(12)), np.uint8
)
"""A UUID as a value, its digits still to be written between the dashes."""
_PARTS: Final = {"a": "V8", "b": "V4", "c": "V4", "d": "V4", "e": "V12"}
_WRITTEN: Final = np.dtype(
    {"names": list(_PARTS), "formats": list(_PARTS.values()), "offsets": [4, 13, 18, 23, 28], "itemsize": len(_TEXT)}
)


def _uuids(ids: Array) -> bytearray:
    """(n, 16) uint8 as n string values of 36 letters."""
    digits = np.frombuffer(ids.tobytes().hex().encode(), list(_PARTS.items()))
    written = bytearray(_TEXT.tobytes()) * len(ids)
    rows = np.frombuffer(written, _WRITTEN)
    for part in _PARTS:
        rows[part] = digits[part]
    return written
