"""How rows of ``case`` become columns: from Python rows, and millions at once by binary COPY. Knows nothing of masks.

Every column has one meaning, given by :func:`encode`; :func:`load` makes the same columns without an object a row.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import numpy as np
from psycopg import sql
from sqlalchemy import ColumnElement, SmallInteger, cast, func, literal, select, text
from sqlalchemy import case as when
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import DateTime, Integer, Text, Uuid

from gis.db import Connection, raw
from gis.geometry import WORLD_BITS
from gis.points_table import NEVER, Array, Columns, Dictionary
from gis.search import CaseFilter
from gis.tables import case

CODED: Final = (
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
    "involved",
    "reporter",
    "assignee",
    "awaits",
    "tag",
    "look",
)
"""Columns kept as small numbers: ``category`` is (kind, code), ``involved`` all departments of a case, sorted;
``awaits`` and ``tag`` are all a case has of them; ``look`` is all a map tells of a lone case, a :class:`Look`."""
STAGED: Final = 1
SUPERVISED: Final = 2
URGED: Final = 4
NO_LIMIT: Final = np.iinfo(np.int64).max
"""The ``next_due`` of a case without a running limit."""
CLOCKS: Final = ("late_from", "yellow_from", "next_late_from", "next_yellow_from")
"""Columns of moments: for most cases they are past for good or never come."""


class Look(NamedTuple):
    """What a map tells of a lone case besides its id and its light; ``clocked``: it has a light."""

    kind: str
    category: tuple[str, str]
    stage: str
    status: str
    severity: int
    clocked: bool

    @classmethod
    def of(cls, kind: str, category: tuple[str, str], stage: str, status: str, severity: int, limited: bool) -> "Look":
        """Of a case that has a limit, of its own or of its stage, when ``limited``: it runs as long as it is open."""
        return cls(kind, category, stage, status, severity, limited and status == "open")


def pack_ids(ids: Iterable[UUID]) -> Array:
    """UUIDs as (n, 2) uint64: upper and lower half."""
    return np.frombuffer(b"".join(i.bytes for i in ids), ">u8").astype(np.uint64).reshape(-1, 2)


def seconds(moment: datetime) -> int:
    """Whole seconds since 1970, rounded down."""
    return int(moment.timestamp() // 1)


def micros(moment: datetime) -> int:
    """Microseconds since 1970, exactly."""
    spent = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (spent.days * 86_400 + spent.seconds) * 1_000_000 + spent.microseconds


# --- A few rows -------------------------------------------------------------------------------------------------


def encode(rows: Sequence[Any], dictionaries: Mapping[str, Dictionary]) -> Columns:
    """Rows of ``case`` (attributes named as its columns) as columns.

    ``late_from`` and ``yellow_from`` are the first whole seconds since 1970 at which gis.search finds the case late or
    yellow: 0 always, NEVER never. A handled or closed case's clock has stopped, so it is one of the two for good.
    ``timed``: the case has a due time. ``next_late_from`` and ``next_yellow_from`` say the same of the
    limit of the stage, where it has one. ``reported`` and ``next_due`` count microseconds since 1970. ``marks``
    adds up :data:`STAGED` (the stage has a limit), :data:`SUPERVISED` and :data:`URGED`.
    """
    n = len(rows)
    late, yellow, next_late, next_yellow = (np.full(n, NEVER) for _ in range(4))
    for i, row in enumerate(rows):
        late[i], yellow[i] = _clock(row.due_at, row.yellow_at, row.handled_at or row.closed_at)
        staged = row.stage_due_at is not None
        next_late[i], next_yellow[i] = (
            _clock(row.stage_due_at, row.stage_yellow_at, None) if staged else (late[i], yellow[i])
        )
    coded: dict[str, list[Any]] = {
        "kind": [r.kind for r in rows],
        "channel": [r.channel for r in rows],
        "category": [(r.category_kind, r.category_code) for r in rows],
        "state": [r.state for r in rows],
        "stage": [r.stage for r in rows],
        "status": [r.status for r in rows],
        "village": [r.village_code for r in rows],
        "grid": [r.unit_grid_code for r in rows],
        "duty_grid": [r.duty_grid_code for r in rows],
        "department": [r.department_code for r in rows],
        "involved": [_involved(r.department_code, r.co_departments) for r in rows],
        "reporter": [r.reporter_id for r in rows],
        "assignee": [r.assignee_id for r in rows],
        "awaits": [tuple(r.awaits) for r in rows],
        "tag": [tuple(r.tags) for r in rows],
        "look": [
            Look.of(r.kind, (r.category_kind, r.category_code), r.stage, r.status, r.severity, _limited(r))
            for r in rows
        ],
    }
    return {
        "mk": np.array([r.mk for r in rows], np.int64),
        "id": pack_ids(r.id for r in rows),
        "h3": np.array([r.h3 for r in rows], np.int64),
        "seq": _small(np.array([r.seq for r in rows], np.uint32)),
        "severity": np.array([r.severity for r in rows], np.uint8),
        "reported": np.array([micros(r.reported_at) for r in rows], np.int64),
        "timed": np.array([r.due_at is not None for r in rows], np.uint8),
        "late_from": late,
        "yellow_from": yellow,
        "next_late_from": next_late,
        "next_yellow_from": next_yellow,
        "next_due": np.array([micros(r.next_due_at) if r.next_due_at else NO_LIMIT for r in rows], np.int64),
        "marks": np.array([_marks(r) for r in rows], np.uint8),
        **{name: dictionaries[name].encode(values) for name, values in coded.items()},
    }


def _involved(department: str | None, co_departments: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({*co_departments} | ({department} if department else set())))


def _marks(row: Any) -> int:
    staged = STAGED if row.stage_due_at is not None else 0
    return staged + (SUPERVISED if row.supervised_at is not None else 0) + (URGED if row.urge_count else 0)


def _limited(row: Any) -> bool:
    return row.due_at is not None or row.stage_due_at is not None


def _clock(due: datetime | None, yellow: datetime | None, stopped: datetime | None) -> tuple[int, int]:
    """(late_from, yellow_from)."""
    if due is None:
        return int(NEVER), int(NEVER)
    if stopped is not None:
        return 0 if due < stopped else int(NEVER), 0 if yellow is not None and yellow <= stopped else int(NEVER)
    return seconds(due) + 1, -int(-yellow.timestamp() // 1) if yellow is not None else int(NEVER)


_READ: Final = (
    *("id", "mk", "h3", "seq", "kind", "channel", "category_kind", "category_code", "severity", "state", "stage"),
    *("status", "village_code", "unit_grid_code", "duty_grid_code", "department_code", "co_departments"),
    *("reporter_id", "assignee_id", "reported_at", "due_at", "yellow_at", "handled_at", "closed_at", "stage_due_at"),
    *("stage_yellow_at", "next_due_at", "supervised_at", "urge_count", "awaits", "tags"),
)


def fetch(tx: Connection, ids: Sequence[UUID]) -> Sequence[Any]:
    """The rows of these cases with the columns :func:`encode` reads; missing ones are left out."""
    return tx.execute(
        select(*(case.c[name] for name in _READ)).where(case.c.id == func.any(literal(list(ids), ARRAY(Uuid))))
    ).all()


def named_ids(tx: Connection, wanted: CaseFilter) -> list[UUID] | None:
    """The cases that the part of a filter keeps that is not in memory; None where it has no such part."""
    part = wanted.named()
    if part is None:
        return None
    return list(tx.execute(select(case.c.id).where(*part.clauses(datetime.now(UTC)))).scalars())


BLOCK_ZOOM: Final = 13
"""Blocks of the check are tiles of this zoom."""


def blocks(tx: Connection) -> dict[int, tuple[int, int]]:
    """By block (Morton code of its tile): how many cases and the sum of their ``seq``, which every event raises."""
    block = case.c.mk.op(">>")(literal(2 * (WORLD_BITS - BLOCK_ZOOM), Integer)).label("block")
    rows = tx.execute(select(block, func.count(), func.sum(case.c.seq)).group_by(block))
    return {row[0]: (row[1], row[2]) for row in rows}


def in_block(tx: Connection, block: int) -> list[UUID]:
    """The cases in one block."""
    width = 2 * (WORLD_BITS - BLOCK_ZOOM)
    return list(
        tx.execute(select(case.c.id).where(case.c.mk >= block << width, case.c.mk < block + 1 << width)).scalars()
    )


# --- All rows ---------------------------------------------------------------------------------------------------
# A binary row is read as one numpy record, so every field must have a fixed width. Words therefore travel as 64-bit
# hashes; what they say is asked once for each hash, from a row that has it.

_EMPTY: Final = UUID(int=0)
_BATCH: Final = 100_000
_EPOCH_2000: Final = 946_684_800_000_000
_INFINITY: Final = np.iinfo(np.int64).max


@dataclass(frozen=True)
class _Word:
    """A coded column: what is hashed, and the value of a row's columns."""

    hashed: ColumnElement[Any]
    value: Any


def _text_hash(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.hashtextextended(func.coalesce(column, ""), 0)


def _words() -> dict[str, _Word]:
    plain = {
        "kind": "kind",
        "channel": "channel",
        "state": "state",
        "stage": "stage",
        "status": "status",
        "village": "village_code",
        "grid": "unit_grid_code",
        "duty_grid": "duty_grid_code",
        "department": "department_code",
    }
    words = {name: _Word(_text_hash(case.c[column]), case.c[column]) for name, column in plain.items()}
    # Hashes of two columns are chained: the first is the seed of the second.
    words["category"] = _Word(
        func.hashtextextended(case.c.category_code, func.hashtextextended(case.c.category_kind, 0)),
        postgresql.array([case.c.category_kind, case.c.category_code]),
    )
    words["involved"] = _Word(
        func.hashtextextended(
            func.coalesce(case.c.department_code, ""), func.hash_array_extended(case.c.co_departments, 0)
        ),
        func.array_append(case.c.co_departments, case.c.department_code, type_=ARRAY(Text)),
    )
    for name, column in (("awaits", case.c.awaits), ("tag", case.c.tags)):
        words[name] = _Word(func.hash_array_extended(column, 0), column)
    for name in ("reporter", "assignee"):
        column = case.c[f"{name}_id"]
        words[name] = _Word(func.uuid_hash_extended(func.coalesce(column, literal(_EMPTY, Uuid)), 0), column)
    return words


def _value(name: str, told: Any) -> Any:
    if name in ("category", "awaits", "tag"):
        return tuple(told)
    return _involved(None, filter(None, told)) if name == "involved" else told


_MARKS: Final = cast(
    when((case.c.supervised_at.is_not(None), SUPERVISED), else_=0) + when((case.c.urge_count > 0, URGED), else_=0),
    SmallInteger,
)


def load(tx: Connection, dictionaries: Mapping[str, Dictionary]) -> Columns:
    """Every case as columns, in any order. Reads about half a million rows a second.

    A case that changes while it is read is left out when nothing in the database still says what its old words were;
    whoever loads starts to follow the feed from before.
    """
    tx.execute(text("set local statement_timeout = 0"))  # millions of rows may take longer than any request
    words = _words()
    never = literal("infinity", Text)
    fields: dict[str, tuple[ColumnElement[Any], str]] = {
        "id": (case.c.id, "V16"),
        "mk": (case.c.mk, ">i8"),
        "h3": (case.c.h3, ">i8"),
        "seq": (case.c.seq, ">i4"),
        "severity": (case.c.severity, ">i2"),
        "reported": (case.c.reported_at, ">i8"),
        **{
            name: (func.coalesce(moment, cast(never, DateTime(timezone=True))), ">i8")
            for name, moment in {
                "stopped": func.coalesce(case.c.handled_at, case.c.closed_at),
                **{one: case.c[f"{one}_at"] for one in ("due", "yellow", "stage_due", "stage_yellow", "next_due")},
            }.items()
        },
        "marks": (_MARKS, ">i2"),
        **{name: (word.hashed, ">i8") for name, word in words.items()},
    }
    record = np.dtype(
        [("", ">i2")]
        + [part for name, (_, kind) in fields.items() for part in ((f"{name} length", ">i4"), (name, kind))]
    )
    seen = {name: _Hashes() for name in words}
    pieces: list[Columns] = []
    statement = select(*(column.label(name) for name, (column, _) in fields.items()))
    for batch in _copied(tx, statement, record):
        pieces.append(_piece(batch, seen))
    columns = (
        {name: np.concatenate([piece.pop(name) for piece in pieces]) for name in list(pieces[0])} if pieces else {}
    )
    if not columns:
        return encode([], dictionaries)
    told = _told(tx, words, seen)
    known = np.ones(len(columns["mk"]), np.bool_)
    for name, hashes in seen.items():
        values = [told[name].get(h) for h in hashes.order]
        codes = dictionaries[name].encode(_value(name, v[0]) if v else None for v in values)
        lost = np.array([v is None for v in values])
        if lost.any():
            known &= ~lost[columns[name]]
        columns[name] = codes[columns[name]]
    if not known.all():
        columns = {name: column[known] for name, column in columns.items()}
    columns["look"] = _looks(columns, dictionaries)
    return columns


def _looks(columns: Columns, dictionaries: Mapping[str, Dictionary]) -> Array:
    """Column ``look`` from those it is made of."""
    words = ("kind", "category", "stage", "status")
    pieces = [np.zeros(0, np.uint8)]
    for start in range(0, len(columns["mk"]), _BATCH):
        rows = slice(start, start + _BATCH)
        limited = (columns["timed"][rows] > 0) | (columns["marks"][rows] & STAGED > 0)
        codes = [*(columns[name][rows] for name in (*words, "severity")), limited]
        sizes = [int(column.max()) + 1 for column in codes]
        used, where = np.unique(np.ravel_multi_index(codes, sizes), return_inverse=True)
        looks = []
        for *told, severity, has in zip(*(axis.tolist() for axis in np.unravel_index(used, sizes)), strict=True):
            kind, category, stage, status = (
                dictionaries[name].values[code] for name, code in zip(words, told, strict=True)
            )
            looks.append(Look.of(kind, category, stage, status, severity, bool(has)))
        pieces.append(dictionaries["look"].encode(looks)[where])
    return np.concatenate(pieces)


class _Hashes:
    """The distinct hashes of a column in order of appearance, and the id of one row with each."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self.row: list[UUID] = []
        self._sorted = np.zeros(0, np.int64)
        self._code = np.zeros(0, np.uint16)

    def encode(self, hashes: Array, ids: Array) -> Array:
        """Numbers of the hashes, as small as they can be so far."""
        at = np.searchsorted(self._sorted, hashes)
        new = at == len(self._sorted)
        new[~new] = self._sorted[at[~new]] != hashes[~new]
        if new.any():
            rows = np.flatnonzero(new)
            found, first = np.unique(hashes[rows], return_index=True)
            self.order += found.tolist()
            self.row += [UUID(bytes=bytes(i)) for i in ids[rows[first]]]
            order = np.argsort(np.array(self.order, np.int64))
            self._sorted = np.array(self.order, np.int64)[order]
            self._code = order.astype(np.min_scalar_type(max(len(order) - 1, 0)))
            at = np.searchsorted(self._sorted, hashes)
        return self._code[at]


def _piece(batch: Array, seen: Mapping[str, _Hashes]) -> Columns:
    due, yellow, stop = (batch[name].astype(np.int64) for name in ("due", "yellow", "stopped"))
    timed, stopped = due != _INFINITY, stop != _INFINITY
    late = np.where(stopped, np.where(due < stop, 0, NEVER), _second(due, 1))
    soon = np.where(stopped, np.where(yellow <= stop, 0, NEVER), _second(yellow - 1, 1))
    soon[(yellow == _INFINITY) | ~timed] = NEVER
    late[~timed] = NEVER
    stage_due, stage_yellow = (batch[name].astype(np.int64) for name in ("stage_due", "stage_yellow"))
    staged = stage_due != _INFINITY
    next_due = batch["next_due"].astype(np.int64)
    stage_soon = np.where(stage_yellow == _INFINITY, NEVER, _second(stage_yellow - 1, 1))
    return {
        "mk": batch["mk"].astype(np.int64),
        "id": np.ascontiguousarray(batch["id"]).view(">u8").astype(np.uint64).reshape(-1, 2),
        "h3": batch["h3"].astype(np.int64),
        "seq": _small(batch["seq"].astype(np.uint32)),
        "severity": batch["severity"].astype(np.uint8),
        "reported": batch["reported"].astype(np.int64) + _EPOCH_2000,
        "timed": timed.astype(np.uint8),
        "late_from": late.astype(np.uint32),
        "yellow_from": soon.astype(np.uint32),
        "next_late_from": np.where(staged, _second(stage_due, 1), late).astype(np.uint32),
        "next_yellow_from": np.where(staged, stage_soon, soon).astype(np.uint32),
        "next_due": np.where(next_due == _INFINITY, NO_LIMIT, next_due + _EPOCH_2000),
        "marks": (batch["marks"].astype(np.uint8) + np.where(staged, STAGED, 0)).astype(np.uint8),
        **{name: hashes.encode(batch[name].astype(np.int64), batch["id"]) for name, hashes in seen.items()},
    }


def _small(numbers: Array) -> Array:
    """Numbers >= 0 in the smallest type that holds them all."""
    return numbers.astype(np.min_scalar_type(int(numbers.max(initial=0))))


def _second(micros_2000: Array, more: int) -> Array:
    """Whole seconds since 1970, rounded down, of microseconds since 2000, and ``more``."""
    return (micros_2000 + _EPOCH_2000) // 1_000_000 + more


def _copied(tx: Connection, statement: Any, record: Any) -> Iterator[Array]:
    """A statement's rows by binary COPY, in arrays of at most :data:`_BATCH` records."""
    compiled = statement.compile(dialect=tx.dialect, compile_kwargs={"literal_binds": True})
    command = sql.SQL("copy ({}) to stdout (format binary)").format(sql.SQL(str(compiled)))
    with raw(tx).cursor() as cursor, cursor.copy(command) as copy:
        head = 19  # signature, flags, length of an extension that is not there
        held: list[bytes | memoryview] = []
        size = 0
        for chunk in copy:
            held.append(bytes(chunk))
            size += len(chunk)
            if size >= _BATCH * record.itemsize:
                block = b"".join(held)[head:]
                head = 0
                whole = len(block) // record.itemsize
                yield np.frombuffer(block, record, whole)
                held = [block[whole * record.itemsize :]]
                size = len(held[0])
        block = b"".join(held)[head:]
        if len(block) > 2:  # the end is marked by two bytes
            yield np.frombuffer(block, record, len(block) // record.itemsize)


def _told(tx: Connection, words: Mapping[str, _Word], seen: Mapping[str, _Hashes]) -> dict[str, dict[int, tuple[Any]]]:
    """By column and hash: what the word is, as far as the database still says so."""
    ids = list({row for hashes in seen.values() for row in hashes.row})
    columns = [c for name, word in words.items() for c in (word.hashed.label(f"{name} hash"), word.value.label(name))]
    told: dict[str, dict[int, tuple[Any]]] = {name: {} for name in words}
    for row in tx.execute(select(*columns).where(case.c.id == func.any(literal(ids, ARRAY(Uuid))))).mappings():
        for name in words:
            told[name][row[f"{name} hash"]] = (row[name],)
    return told
