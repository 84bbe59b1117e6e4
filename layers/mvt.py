"""Mapbox Vector Tile bytes for points, written by columns with numpy. Knows the format, not what is drawn.

Format: Mapbox Vector Tile specification 2.1. All features of a block have the same properties, so each is a row of
bytes of the same length: numbers are written as varints of two or three bytes, which protobuf allows even where one
would do.
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
_POINT: Final = b"\x18\x01\x22\x05\x09"  # type: point; geometry of five bytes: move to, once


@dataclass(frozen=True)
class Property:
    """One property of every feature of a block: numbers into ``values``, or the values when those are None."""

    name: str
    codes: Array
    values: Sequence[str] | Array | None = None


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
    width = 2 if table.count < 1 << 14 else 3
    features = b"".join(_features(block, columns, width) for block, columns in zip(blocks, coded, strict=True))
    body = b"".join(
        (
            b"\x0a",
            _varint(len(name.encode())),
            name.encode(),
            features,
            *(b"\x1a" + _varint(len(key.encode())) + key.encode() for key in keys),
            *table.parts,
            b"\x28",
            _varint(EXTENT),
            b"\x78\x02",
        )
    )
    return b"\x1a" + _varint(len(body)) + body


def _features(block: Block, columns: Sequence[tuple[int, Array]], width: int) -> bytes:
    tags = (1 + width) * len(columns)
    length = 2 + tags + len(_POINT) + 4
    rows = np.empty((len(block.x), 2 + length), np.uint8)
    rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3] = 0x12, length, 0x12, tags
    at = 4
    for key, codes in columns:
        rows[:, at] = key
        _put(rows, at + 1, codes, width)
        at += 1 + width
    rows[:, at : at + len(_POINT)] = np.frombuffer(_POINT, np.uint8)
    at += len(_POINT)
    for values in (block.x, block.y):
        placed = np.clip(values, -_FAR, _FAR)
        _put(rows, at, (placed << 1) ^ (placed >> 63), 2)
        at += 2
    return rows.tobytes()


def _put(rows: NDArray[np.uint8], at: int, values: Array, width: int) -> None:
    """Write numbers below 128**width as varints of exactly ``width`` bytes."""
    for byte in range(width):
        part = (values >> 7 * byte) & 0x7F
        rows[:, at + byte] = part | 0x80 if byte < width - 1 else part


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


@lru_cache(maxsize=4096)
def _number(value: int) -> bytes:
    inner = b"\x28" + _varint(value)
    return b"\x22" + _varint(len(inner)) + inner


@lru_cache(maxsize=4096)
def _word(value: str) -> bytes:
    inner = b"\x0a" + _varint(len(value.encode())) + value.encode()
    return b"\x22" + _varint(len(inner)) + inner


class _Values:
    """The layer's table of values, each once a column."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.count = 0
        self._numbers: dict[int, int] = {}

    def add(self, codes: Array, values: Sequence[str] | Array | None) -> Array:
        """Numbers in the table of a column's values."""
        if values is None:
            used, where = distinct(codes)
            numbers = np.array([self._number(v) for v in used.tolist()], np.int64)
            return numbers[where]
        if isinstance(values, np.ndarray):
            start = self._extend([_uuids(values)], len(values))
            return codes.astype(np.int64) + start
        used, where = distinct(codes)
        return where + self._extend([_word(values[code]) for code in used.tolist()], len(used))

    def _number(self, value: int) -> int:
        if value not in self._numbers:
            self._numbers[value] = self._extend([_number(value)], 1)
        return self._numbers[value]

    def _extend(self, parts: list[bytes], count: int) -> int:
        start = self.count
        self.parts += parts
        self.count += count
        return start


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


_HEX: Final = np.frombuffer(b"0123456789abcdef", np.uint8)
_DASHES: Final = (8, 13, 18, 23)
_DIGITS: Final = np.array([i for i in range(36) if i not in _DASHES])


def _uuids(ids: Array) -> bytes:
    """(n, 16) uint8 as n string values of 36 letters."""
    rows = np.empty((len(ids), 40), np.uint8)
    rows[:, :4] = (0x22, 38, 0x0A, 36)
    rows[:, 4:] = ord("-")
    digits = np.empty((len(ids), 32), np.uint8)
    digits[:, ::2], digits[:, 1::2] = _HEX[ids >> 4], _HEX[ids & 15]
    rows[:, 4 + _DIGITS] = digits
    return rows.tobytes()
