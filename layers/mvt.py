"""Mapbox Vector Tile bytes for points, written by columns with numpy. Knows the format, not what is drawn.

Format: Mapbox Vector Tile specification 2.1. All features of a block have the same properties, so each is a record of
the same length: a template is repeated and its changing fields are filled column by column. Numbers are written as
varints of two or three bytes, which protobuf allows even where one would do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gis.points_cells import EXTENT

Array = NDArray[Any]
_FAR: Final = 8191
_TWO: Final = np.array([v & 0x7F | 0x80 | v >> 7 << 8 for v in range(1 << 14)], "<u2")
"""Numbers below 16,384 as varints of two bytes."""


@dataclass(frozen=True)
class Property:
    """One property of every feature of a block: numbers into ``values``, or the values when those are None.

    ``codes`` is one number a feature, or one for all of them.
    """

    name: str
    codes: Array | int
    values: tuple[str, ...] | Array | None = None


@dataclass(frozen=True)
class Block:
    """Points with the same properties: x to the right and y down in tile units."""

    x: Array
    y: Array
    properties: Sequence[Property]


def layer(name: str, blocks: Sequence[Block]) -> bytes:
    """A tile with one layer of points; no bytes at all when there are none.

    Values are whole numbers ≥ 0 (``Property.values`` None), words, or an (n, 16) uint8 array of UUIDs written as text.
    """
    blocks = [block for block in blocks if len(block.x)]
    if not blocks:
        return b""
    keys: dict[str, int] = {}
    table = _Values()
    coded = [
        [(keys.setdefault(p.name, len(keys)), table.add(p.codes, p.values)) for p in block.properties]
        for block in blocks
    ]
    wide = table.count > len(_TWO)
    features = b"".join(_features(block, columns, wide) for block, columns in zip(blocks, coded, strict=True))
    body = b"".join(
        (
            _field(0x0A, name.encode()),
            features,
            *(_field(0x1A, key.encode()) for key in keys),
            *table.parts,
            b"\x28" + _varint(EXTENT) + b"\x78\x02",
        )
    )
    return _field(0x1A, body)


def _features(block: Block, columns: Sequence[tuple[int, Array]], wide: bool) -> bytes:
    template = _template(tuple(key for key, _ in columns), wide)
    rows = np.frombuffer(bytearray(template.tobytes() * len(block.x)), template.dtype)
    for at, (_, codes) in enumerate(columns):
        if wide:
            rows[f"value {at}"] = codes & 0x7F | 0x80 | (codes >> 7 & 0x7F | 0x80) << 8
            rows[f"rest {at}"] = codes >> 14
        else:
            rows[f"value {at}"] = _TWO.take(codes, mode="clip")  # quicker than to refuse: none is beyond
    for axis, values in (("x", block.x), ("y", block.y)):
        placed = np.minimum(np.maximum(values, -_FAR), _FAR)
        rows[axis] = _TWO.take((placed << 1) ^ (placed >> 63), mode="clip")
    return rows.tobytes()


@lru_cache(maxsize=64)
def _template(keys: tuple[int, ...], wide: bool) -> Array:
    """The record of a feature with these properties, with what never changes filled in."""
    fields: list[tuple[str, str, int]] = [("feature", "u1", 0x12), ("length", "u1", 0), ("tags", "u1", 0x12)]
    fields.append(("tags length", "u1", (4 if wide else 3) * len(keys)))
    for at, key in enumerate(keys):
        fields += [(f"key {at}", "u1", key), (f"value {at}", "<u2", 0)] + ([(f"rest {at}", "u1", 0)] if wide else [])
    # Type: point. Geometry: five bytes, move to once.
    fields += [(f"geometry {i}", "u1", byte) for i, byte in enumerate(b"\x18\x01\x22\x05\x09")]
    fields += [("x", "<u2", 0), ("y", "<u2", 0)]
    record = np.dtype([(name, kind) for name, kind, _ in fields])
    template = np.zeros((), record)
    for name, _, value in fields:
        template[name] = value
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
        self.parts: list[bytes] = []
        self.count = 0
        self._lows = -1

    def add(self, codes: Array | int, values: tuple[str, ...] | Array | None) -> Array:
        """Numbers in the table of a column's values."""
        codes = np.asarray(codes)
        if values is None:
            if codes.max(initial=0) < _LOW:
                if self._lows < 0:
                    self._lows = self._extend(_lows(), _LOW)
                return np.add(codes, self._lows, dtype=np.int64)
            used, where = distinct(codes)
            return where + self._extend(_numbers(used), len(used))
        if isinstance(values, np.ndarray):
            return codes + self._extend(_uuids(values), len(values))
        if len(values) < max(32, codes.size):  # all of them, used or not
            return np.add(codes, self._extend(_words(values), len(values)), dtype=np.int64)
        used, where = distinct(codes)
        return where + self._extend(_words(tuple(values[code] for code in used.tolist())), len(used))

    def _extend(self, encoded: bytes, count: int) -> int:
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
    return b"".join(_field(0x22, b"\x28" + _varint(value)) for value in range(_LOW))


@lru_cache(maxsize=256)
def _words(values: tuple[str, ...]) -> bytes:
    return b"".join(_field(0x22, _field(0x0A, value.encode())) for value in values)


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


_TEXT: Final = ((4, 0, 8), (13, 8, 12), (18, 12, 16), (23, 16, 20), (28, 20, 32))
"""Where the hexadecimal digits of a UUID go in its value: at which byte, which digits."""


def _uuids(ids: Array) -> bytes:
    """(n, 16) uint8 as n string values of 36 letters."""
    digits = np.frombuffer(ids.tobytes().hex().encode(), np.uint8).reshape(-1, 32)
    rows = np.full((len(ids), 40), ord("-"), np.uint8)
    rows[:, :4] = (0x22, 38, 0x0A, 36)
    for at, first, last in _TEXT:
        rows[:, at : at + last - first] = digits[:, first:last]
    return rows.tobytes()
