"""The town's points in memory: any filter and scope as a mask, and counts, clusters, facets and heat from it.

Says the same as the SQL of gis.search about every case: what is kept here is exactly what its clauses read. Knows no
tile encoding; how rows come from the database is in gis.points_rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from gis import geometry, points_rows
from gis.db import Connection
from gis.errors import BadFilter
from gis.people import Scope
from gis.points_bits import Ranked, Rows, Words, either, everything, only, pack
from gis.points_cells import CELL_BITS, Clusters, Heat, Selected, clusters, heat, hexagons
from gis.points_rows import BLOCK_ZOOM, CLOCKS, CODED, blocks, encode, fetch, in_block, micros, pack_ids, seconds
from gis.points_table import Array, Columns, Dictionary, Layout, Recent, Segment, Snapshot, Table, pixels
from gis.points_versions import Stamps, Versions
from gis.search import LIGHTS, CaseFilter

FACETS: Final = (
    "kind",
    "channel",
    "category",
    "state",
    "stage",
    "status",
    "village",
    "grid",
    "duty_grid",
    "department",
    "severity",
    "light",
    "handling_light",
    "stage_light",
    "overdue",
    "supervised",
    "urged",
    "day",
)
_EQUAL: Final = ("kind", "channel", "state", "stage", "status", "village", "grid", "duty_grid", "department")
_LAYOUT: Final = Layout(sparse=frozenset({*CLOCKS, "next_due"}), near=frozenset({"h3"}))
_MASKS: Final = 12
_FEW: Final = 32  # values: so many are counted by their bitmaps
_DAY: Final = 86_400_000_000  # microseconds
_OFFSET: Final = _DAY // 3  # the town's clock is eight hours ahead and knows no summer time
_SEVERITIES: Final = tuple(str(i) for i in range(_FEW))


@dataclass(frozen=True)
class Mask:
    """Which rows of a snapshot a filter within a scope keeps, and the lights they show at ``second`` (since 1970)."""

    snapshot: Snapshot
    second: int
    parts: tuple[Selected, ...]

    @property
    def count(self) -> int:
        """How many points are kept."""
        return sum(part.all.count for part in self.parts)


@dataclass(frozen=True)
class Singles:
    """What is told of lone points: ``id`` (n, 16) bytes, and how they look, as numbers into ``looks``.

    ``looks`` has values of :class:`gis.points_rows.Look` and only grows.
    """

    id: NDArray[np.uint8]
    look: Array
    looks: Dictionary


class CaseStore:
    """All cases of the town, for maps and counts. One writer (:meth:`apply`), any number of readers.

    A mask never changes, so everything computed from one mask agrees.
    """

    def __init__(self, columns: Columns, dictionaries: Mapping[str, Dictionary], mark: str = "") -> None:
        self.dictionaries = dictionaries
        self._table = Table(columns, mark, _LAYOUT)
        self._masks: tuple[tuple[int, int], Recent[Mask]] = ((0, 0), Recent(_MASKS))
        self._versions = Versions.of(self.snapshot)
        self._stamps = (self._versions, 0, self._versions.at(0))

    @classmethod
    def of(cls, rows: Sequence[Any], mark: str = "") -> "CaseStore":
        """From rows with the columns of ``case`` as attributes."""
        dictionaries = {name: Dictionary() for name in CODED}
        return cls(encode(rows, dictionaries), dictionaries, mark)

    @classmethod
    def load(cls, tx: Connection, mark: str = "") -> "CaseStore":
        """All cases. Take the place in the feed to follow from before."""
        dictionaries = {name: Dictionary() for name in CODED}
        return cls(points_rows.load(tx, dictionaries), dictionaries, mark)

    @property
    def snapshot(self) -> Snapshot:
        """The newest state."""
        return self._table.snapshot

    def apply(self, rows: Sequence[Any], mark: str = "", gone: Sequence[UUID] = ()) -> int:
        """Take in rows of ``case`` as they are now, one a case, and forget the cases ``gone``.

        The same rows twice change nothing. Returns how many were new or newer.
        """
        taken = self._table.apply(encode(rows, self.dictionaries), mark, pack_ids(gone) if gone else None)
        self._versions = Versions.of(self.snapshot)  # by the writer: whoever asks for a tile should not wait for it
        # What is held of an old base keeps all of it in memory until somebody asks again: let go of it now.
        second = self._stamps[1]
        self._stamps = (self._versions, second, self._versions.at(second))
        self._masks = ((0, 0), Recent(_MASKS))
        return taken

    def refresh(self, tx: Connection, ids: Sequence[UUID], mark: str = "") -> int:
        """Read these cases again, and forget those that are gone. Returns how many were new or newer."""
        rows = fetch(tx, ids)
        return self.apply(rows, mark, gone=sorted(set(ids) - {row.id for row in rows}))

    def verify(self, tx: Connection) -> list[int]:
        """The blocks (Morton codes of tiles of zoom 13) where this store and the database differ, by count and ``seq``.

        A case on its way through the feed shows as a difference too.
        """
        shift = 2 * (geometry.WORLD_BITS - BLOCK_ZOOM)
        alive = [(part.segment, Ranked(part.alive).rows(0, part.segment.n)) for part in self.snapshot.parts]
        mk, seq = (np.concatenate([segment[name][rows] for segment, rows in alive]) for name in ("mk", "seq"))
        block, where, counts = np.unique(mk >> shift, return_inverse=True, return_counts=True)
        sums = np.bincount(where, seq, len(block)).astype(np.int64)
        held = dict(zip(block.tolist(), zip(counts.tolist(), sums.tolist(), strict=True), strict=True))
        told = blocks(tx)
        return sorted(name for name in held.keys() | told.keys() if held.get(name) != told.get(name))

    def repair(self, tx: Connection) -> list[int]:
        """Read again every block that differs (:meth:`verify`); returns which did. Harmless while changes come in."""
        differing = self.verify(tx)
        snapshot = self.snapshot
        for block in differing:
            ids = set(in_block(tx, block))
            for part in snapshot.parts:
                low, high = part.segment.block(BLOCK_ZOOM, block)
                rows = Ranked(part.alive).rows(low, high)
                ids |= {
                    UUID(bytes=bytes(i)) for i in part.segment["id"][rows].astype(">u8").view(np.uint8).reshape(-1, 16)
                }
            self.refresh(tx, list(ids), f"{snapshot.mark}+")  # a new mark: tiles change
        return differing

    def stamp(self, now: datetime, tile: tuple[int, int, int] | None = None) -> str:
        """What the ETag of a tile (z, x, y) starts with: it changes when a case or a light in it did.

        Without a tile it changes with any case or light of the town.
        """
        stamps = self._at(seconds(now))
        return stamps.tile(*tile) if tile else f"{stamps.snapshot.mark}.{stamps.last:x}"

    def _at(self, second: int) -> Stamps:
        held = self._stamps
        if held[0] is not self._versions or held[1] != second:
            versions = self._versions
            held = self._stamps = (versions, second, versions.at(second))
        return held[2]

    def mask(self, scope: Scope, wanted: CaseFilter, now: datetime, ids: Iterable[UUID] | None = None) -> Mask:
        """The cases ``scope`` covers and ``wanted`` keeps at ``now`` (whole seconds), the same as gis.search finds.

        Parts of the filter are not kept in memory (``CaseFilter.named``): give the ids the database found for them
        (``points_rows.named_ids``). Raises ``ValueError`` when they are wanted and not given.
        """
        if ids is None and wanted.named() is not None:
            raise ValueError("this filter needs the ids the database found")
        stamps = self._at(seconds(now))
        snapshot, second = stamps.snapshot, stamps.last
        named = None if ids is None else pack_ids(ids)
        state, held = self._masks
        if state != (snapshot.version, second):
            _, held = self._masks = ((snapshot.version, second), Recent(_MASKS))  # nobody asks for older ones again
        key = (snapshot.version, second, scope, wanted, None if named is None else named.tobytes())
        return held.get(key, lambda: self._make_mask(snapshot, scope, wanted, second, named))

    def _make_mask(self, snapshot: Snapshot, scope: Scope, wanted: CaseFilter, second: int, ids: Array | None) -> Mask:
        parts = []
        for part in snapshot.parts:
            segment = part.segment
            words = part.alive
            if not scope.everything:
                words = words & segment.words(scope, partial(self._within, segment, scope))
            for one in self._clauses(segment, wanted, second):
                words = words & one
            if ids is not None:
                found = segment.find(ids)
                words = words & only(segment.n, found[found >= 0])
            red, yellow = (
                words & _light(segment, one, second, self.dictionaries["status"]) for one in ("red", "yellow")
            )
            parts.append(Selected(segment, part.offset, Ranked(words), Ranked(red), Ranked(yellow)))
        return Mask(snapshot, second, tuple(parts))

    def _within(self, segment: Segment, scope: Scope) -> Words:
        known = self.dictionaries
        sets = [
            segment.among("village", known["village"].codes(scope.villages)),
            segment.among("duty_grid", known["duty_grid"].codes(scope.duty_grids)),
            segment.among("involved", known["involved"].matching(lambda all: not scope.departments.isdisjoint(all))),
        ]
        if scope.own is not None:
            sets += [segment.among(name, known[name].codes([scope.own])) for name in ("reporter", "assignee")]
        return either(segment.n, sets)

    def _clauses(self, segment: Segment, wanted: CaseFilter, second: int) -> Iterable[Words]:
        known = self.dictionaries
        for name in _EQUAL:
            values = getattr(wanted, name)
            if values:
                yield segment.among(name, known[name].codes(values))
        if wanted.category:
            prefixes = [tuple(c.partition(":")[::2]) for c in wanted.category]
            yield segment.among("category", known["category"].matching(lambda c: _starts(c, prefixes)))
        if wanted.severity:
            yield segment.among("severity", sorted({s for s in wanted.severity if 0 <= s < _FEW}))
        for name, lit in _LIT.items():
            lights = set(getattr(wanted, name))
            if lights:
                yield either(segment.n, (lit(segment, light, second, known["status"]) for light in lights))
        if wanted.assignee:
            yield segment.among("assignee", known["assignee"].codes(wanted.assignee))
        for name in ("awaits", "tag"):
            values = frozenset(getattr(wanted, name))
            if values:
                yield segment.among(name, known[name].matching(partial(_shares, values)))
        for name in _FLAGS:
            asked = getattr(wanted, name)
            if asked is not None:
                has = self._flag(segment, name, second)
                yield has if asked else everything(segment.n) & ~has
        if wanted.since:
            since = micros(wanted.since)
            yield segment.words(("since", since), lambda: pack(segment["reported"] >= since))
        if wanted.until:
            until = micros(wanted.until)
            yield segment.words(("until", until), lambda: pack(segment["reported"] < until))
        if wanted.bbox:
            yield segment.words(("bbox", wanted.bbox), partial(in_box, segment, wanted.bbox))

    def _flag(self, segment: Segment, name: str, second: int) -> Words:
        if name == "overdue":
            return _past(segment, second, "late_from") & ~segment.among(
                "status", self.dictionaries["status"].codes(["void"])
            )
        return _marked(segment, points_rows.SUPERVISED if name == "supervised" else points_rows.URGED)

    def cluster(self, mask: Mask, z: int, x: int, y: int, bits: int = CELL_BITS) -> Clusters:
        """The cells of a tile, see :func:`gis.points_cells.clusters`."""
        return clusters(mask.parts, z, x, y, bits)

    def heat(self, mask: Mask, z: int, x: int, y: int) -> Heat:
        """The h3 cells of a tile, see :func:`gis.points_cells.heat`."""
        return heat(mask.parts, z, x, y)

    def hexagons(self, mask: Mask, res: int) -> tuple[Rows, Rows]:
        """Whole h3 cells and how many each holds, see :func:`gis.points_cells.hexagons`."""
        return hexagons(mask.parts, res)

    def singles(self, mask: Mask, rows: Rows) -> Singles:
        """What lone points are."""
        ids = mask.snapshot.take("id", rows).astype(">u8").view(np.uint8).reshape(-1, 16)
        return Singles(ids, mask.snapshot.take("look", rows), self.dictionaries["look"])

    def facets(self, mask: Mask, names: Iterable[str]) -> dict[str, dict[str, int]]:
        """How many of the kept cases have each value, values without cases left out; a missing department is "".

        ``day`` is the town's calendar day of the report, as 2026-11-20.

        ``names`` are of :data:`FACETS`; raises ``BadFilter`` for another.
        """
        found: dict[str, dict[str, int]] = {}
        rows: dict[int, Rows] = {}
        for name in names:
            if name in _LIT:
                found[name] = self._lights(mask, name)
                continue
            if name in _FLAGS:
                found[name] = self._flagged(mask, name)
                continue
            if name == "day":
                found[name] = _days(mask)
                continue
            if name not in FACETS:
                raise BadFilter(parameter="facets", value=name[:200], known=list(FACETS))
            values = _SEVERITIES if name == "severity" else self.dictionaries[name].texts
            counts = np.zeros(len(values), np.int64)
            for part in mask.parts:
                if len(values) <= _FEW:
                    sets = (part.all.words & part.segment.among(name, [code]) for code in range(len(values)))
                    counts += np.array([np.bitwise_count(words).sum(dtype=np.int64) for words in sets], np.int64)
                    continue
                if part.offset not in rows:
                    rows[part.offset] = part.all.rows(0, part.segment.n)
                counts += np.bincount(part.segment[name][rows[part.offset]], minlength=len(values))
            found[name] = {values[code]: int(counts[code]) for code in np.flatnonzero(counts)}
        return found

    def lights(self, mask: Mask, name: str, now: datetime) -> dict[str, dict[str, int]]:
        """For each value of a facet with kept cases: how many of them show which light at ``now``.

        ``name`` is a facet that is kept as numbers.
        """
        texts = self.dictionaries[name].texts
        found: dict[str, dict[str, int]] = {}
        for light in LIGHTS:
            counts = np.zeros(len(texts), np.int64)
            for part in mask.parts:
                shown = part.all.words & _light(part.segment, light, seconds(now), self.dictionaries["status"])
                codes = part.segment[name][Ranked(shown).rows(0, part.segment.n)]
                counts += np.bincount(codes, minlength=len(texts))
            for code in np.flatnonzero(counts):
                found.setdefault(texts[code], {})[light] = int(counts[code])
        return found

    def _lights(self, mask: Mask, name: str) -> dict[str, int]:
        status, lit = self.dictionaries["status"], _LIT[name]
        counts = {
            light: sum(
                Ranked(part.all.words & lit(part.segment, light, mask.second, status)).count for part in mask.parts
            )
            for light in LIGHTS
        }
        return {light: n for light, n in counts.items() if n}

    def _flagged(self, mask: Mask, name: str) -> dict[str, int]:
        has = sum(Ranked(part.all.words & self._flag(part.segment, name, mask.second)).count for part in mask.parts)
        return {word: n for word, n in (("true", has), ("false", mask.count - has)) if n}


def _shares(values: frozenset[str], all: Iterable[str]) -> bool:
    return not values.isdisjoint(all)


def _days(mask: Mask) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in mask.parts:
        reported = part.segment["reported"][part.all.rows(0, part.segment.n)]
        days, counts = np.unique((reported + _OFFSET) // _DAY, return_counts=True)
        for day, n in zip(days.astype("datetime64[D]").astype(str).tolist(), counts.tolist(), strict=True):
            found[day] = found.get(day, 0) + n
    return dict(sorted(found.items()))


def _starts(category: tuple[str, str], prefixes: Iterable[tuple[str, ...]]) -> bool:
    return any(category[0] == kind and category[1].startswith(prefix) for kind, prefix in prefixes)


def in_box(segment: Segment, box: tuple[float, float, float, float]) -> Words:
    """The rows in a box (EPSG:4490 degrees), corners included with their world pixel.

    Whole cells of it are taken at once, its edge row by row.
    """
    west, south, east, north = box
    (x0, y1), (x1, y0) = geometry.world_pixel(west, south), geometry.world_pixel(east, north)
    width = max(0, max(x1 - x0, y1 - y0).bit_length() - 5)  # up to 33 cells along each side
    cx, cy = (
        c.reshape(-1) for c in np.meshgrid(*(np.arange(a >> width, (b >> width) + 1) for a, b in ((x0, x1), (y0, y1))))
    )
    cells = np.sort(geometry.interleave(cx, cy))
    low, high = (np.searchsorted(segment["mk"], edge << 2 * width) for edge in (cells, cells + 1))
    cx, cy = (axis.astype(np.int64) for axis in pixels(cells))
    inner = (cx << width >= x0) & ((cx + 1 << width) <= x1 + 1) & (cy << width >= y0) & ((cy + 1 << width) <= y1 + 1)
    keep = np.zeros(segment.n, np.bool_)
    for a, b, whole in zip(low.tolist(), high.tolist(), inner.tolist(), strict=True):
        if whole:
            keep[a:b] = True
        elif a < b:
            px, py = pixels(segment["mk"][a:b])
            keep[a:b] = (px >= x0) & (px <= x1) & (py >= y0) & (py <= y1)
    return pack(keep)


# --- Lights -----------------------------------------------------------------------------------------------------


def _past(segment: Segment, second: int, *columns: str) -> Words:
    """The rows where one of these moments has come."""
    return either(
        segment.n,
        (segment.passing((one, second), partial(_reached, segment, one, second)) for one in columns),
    )


def _reached(segment: Segment, column: str, second: int) -> Words:
    return segment.within(column, 0, second)


def _light(segment: Segment, light: str, second: int, status: Dictionary) -> Words:
    """The rows whose mark shows ``light``: the worse of the handling clock's and the stage's."""

    def make() -> Words:
        timed = segment.among("timed", [1]) | _marked(segment, points_rows.STAGED)
        return _lit(segment, light, second, timed & _opened(segment, status), "", "next_")

    return segment.passing(("light", light, second), make)


def _handling_light(segment: Segment, light: str, second: int, status: Dictionary) -> Words:
    """The rows that show ``light`` by the handling clock: open ones with a due time (``timed``) have one."""
    return _lit(segment, light, second, segment.among("timed", [1]) & _opened(segment, status), "")


def _stage_light(segment: Segment, light: str, second: int, status: Dictionary) -> Words:
    """The rows whose own stage's limit shows ``light``."""
    timed = _marked(segment, points_rows.STAGED) & _opened(segment, status)
    return _lit(segment, light, second, timed, "next_")


def _lit(segment: Segment, light: str, second: int, timed: Words, *clocks: str) -> Words:
    """The rows among ``timed`` that show ``light`` by the worst of the clocks whose columns begin so."""
    if light == "none":
        return everything(segment.n) & ~timed
    late = _past(segment, second, *(f"{clock}late_from" for clock in clocks))
    if light == "red":
        return timed & late
    soon = _past(segment, second, *(f"{clock}yellow_from" for clock in clocks)) & ~late
    return timed & (soon if light == "yellow" else ~(soon | late))


_LIT: Final = {"light": _light, "handling_light": _handling_light, "stage_light": _stage_light}
_FLAGS: Final = ("overdue", "supervised", "urged")


def _opened(segment: Segment, status: Dictionary) -> Words:
    return segment.among("status", status.codes(["open"]))


def _marked(segment: Segment, flag: int) -> Words:
    return segment.words(("marks", flag), lambda: pack(segment["marks"] & np.uint8(flag) != 0))
