"""The measures: what each counts, which moment dates it, and the roll-up kept from that. Knows no callers and no rates.

A measure is declared once, in ``MEASURES``. The incremental roll-up (``apply``), the full recomputation
(``recompute``) and the list behind every number (``measured``) are all built from that one declaration.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Date,
    DateTime,
    Delete,
    Executable,
    Integer,
    Row,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    cast,
    column,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    true,
    tuple_,
    values,
)
from sqlalchemy import case as case_when
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert

from gis.db import Connection
from gis.errors import BadFilter
from gis.tables import case, measure_case, measure_day

ZONE = "Asia/Shanghai"
C = case.c

#: Serialises roll-ups: two of them reading the same case's memory at once would both add the same difference.
_LOCK = 0x77616E67


_ONE = literal(1, Integer)
_OWN_DEPARTMENT = func.coalesce(C.department_code, literal("", Text))
# The last lateness of a case, which outlives the clock it happened on (gis.case_clock.late).
_LATE_AT = cast(C.clock["late", "-1", "at"].astext, DateTime(timezone=True))
_LATE_DEPARTMENT = func.coalesce(C.clock["late", "-1", "department"].astext, _OWN_DEPARTMENT)


@dataclass(frozen=True)
class Measure:
    """One figure's declaration, as expressions over ``gis.tables.case``.

    ``cases`` says which cases count, ``at`` the moment that dates them (a null moment does not count), ``n`` how much
    a case adds, ``department`` whose figure it is. Village and unit grid are always those of the case's place.
    """

    code: str
    zh: str
    en: str
    at: ColumnElement[Any]
    cases: ColumnElement[bool]
    n: ColumnElement[Any] = _ONE
    department: ColumnElement[Any] = _OWN_DEPARTMENT


_NOT_VOID = C.status != "void"
# What a department is measured by. An accepted appeal takes the case out of it; the lateness itself stays on the case.
_COUNTED = _NOT_VOID & C.exempted_at.is_(None)

MEASURES: dict[str, Measure] = {
    m.code: m
    for m in (
        Measure("reported", "上报数", "Reported", at=C.reported_at, cases=_NOT_VOID),
        Measure("filed", "立案数", "Filed", at=C.filed_at, cases=_NOT_VOID),
        Measure("dispatched", "派遣数", "Dispatched", at=C.dispatched_at, cases=_COUNTED),
        Measure("handled", "处置数", "Handled", at=C.handled_at, cases=_COUNTED),
        # The clock measures handling and stops at the feedback: what the check and the closing take is not the
        # department's. A case without a limit is neither on time nor late.
        Measure(
            "on_time", "按期处置数", "Handled on time", at=C.handled_at, cases=_COUNTED & (C.handled_at <= C.due_at)
        ),
        Measure("closed", "结案数", "Closed", at=C.closed_at, cases=_COUNTED & (C.status == "closed")),
        Measure(
            "closed_on_time",
            "按期结案数",
            "Closed on time",
            at=C.closed_at,
            cases=_COUNTED & (C.status == "closed") & (C.handled_at <= C.due_at),
        ),
        # Dated by dispatch, not by the failed check: each day's reworks then stay a share of that day's dispatched
        # work, and a second rework of the same case does not move the first to another day.
        Measure("rework", "返工数", "Reworks", at=C.dispatched_at, cases=_COUNTED, n=C.rework_count),
        # A case counts once, for the department that was late last: handing it on takes the lateness from nobody,
        # until the next department is late in turn.
        Measure(
            "overdue",
            "处置超期数",
            "Handling overdue",
            at=func.coalesce(C.overdue_at, _LATE_AT),
            cases=_COUNTED,
            department=_LATE_DEPARTMENT,
        ),
    )
}


def measure(code: str) -> Measure:
    """The declaration of a measure. Raises ``BadFilter`` for an unknown code."""
    try:
        return MEASURES[code]
    except KeyError:
        raise BadFilter(parameter="measures", value=code, known=list(MEASURES)) from None


def local_day(moment: ColumnElement[Any]) -> ColumnElement[date]:
    """The calendar day of a moment in the town's zone."""
    return func.timezone(literal(ZONE, Text), moment).cast(Date)


def contributions(codes: Collection[str] = tuple(MEASURES)) -> Select[Any]:
    """What every case adds to the measures named, straight from the declarations.

    Columns ``case_id, measure, day, unit_grid_code, village_code, department_code, n``; narrow it with ``where`` over
    ``gis.tables.case``. One pass over the cases, whatever the number of measures.
    """
    declared = [MEASURES[code] for code in codes]
    entry = (
        values(
            column("measure", Text),
            column("at", DateTime(timezone=True)),
            column("n", Integer),
            column("department_code", Text),
            name="entry",
        )
        .data([(literal(m.code, Text), case_when((m.cases, m.at)), m.n, m.department) for m in declared])
        .lateral()
    )
    return (
        select(
            C.id.label("case_id"),
            entry.c.measure,
            local_day(entry.c["at"]).label("day"),
            C.unit_grid_code,
            C.village_code,
            entry.c.department_code,
            entry.c.n,
        )
        .select_from(case.join(entry, true()))
        .where(entry.c["at"].is_not(None), entry.c.n > 0)
    )


def measured(
    code: str, *, since: date | None = None, until: date | None = None, owner: str | None = None
) -> Select[Any]:
    """Ids of the cases behind a measure on the days ``since`` to ``until`` (both included), by the same declaration.

    ``owner`` is the department whose figure it is (empty: nobody's); None means any.
    Reads the roll-up's memory, so it agrees with ``measure_day`` in every snapshot. Raises ``BadFilter``.
    """
    statement = select(measure_case.c.case_id).where(measure_case.c.measure == measure(code).code)
    if since is not None:
        statement = statement.where(measure_case.c.day >= since)
    if until is not None:
        statement = statement.where(measure_case.c.day <= until)
    if owner is not None:
        statement = statement.where(measure_case.c.department_code == owner)
    return statement


_KEY = ("measure", "day", "unit_grid_code", "department_code")
_VALUE = ("case_id", "measure", "day", "unit_grid_code", "village_code", "department_code", "n")


def apply(tx: Connection, case_ids: Sequence[UUID]) -> int:
    """Brings the roll-up up to date with these cases as they are now; returns how many contributions changed.

    Safe to repeat and to call in any order: it compares with what each case added before and applies the difference.
    """
    if not case_ids:
        return 0
    _serialise(tx)
    changes = tx.execute(_CHANGES, {"ids": sorted(set(case_ids))}).all()
    gone = [row for row in changes if row.n is None]
    if gone:
        tx.execute(_FORGET, {name: [getattr(row, name) for row in gone] for name in ("case_id", "measure")})
    now = [row for row in changes if row.n is not None]
    if now:
        tx.execute(_REMEMBER, {name: [getattr(row, name) for row in now] for name in _VALUE})
    sums, village = _differences(changes)
    keys = sorted(key for key, n in sums.items() if n)
    if keys:
        columns = dict(zip(_KEY, map(list, zip(*keys, strict=True)), strict=True))
        tx.execute(_ADD, {**columns, "village_code": [village[k[2]] for k in keys], "n": [sums[k] for k in keys]})
        tx.execute(_SWEEP, columns)
    return len(changes)


def recompute(tx: Connection) -> int:
    """Rebuilds the roll-up and its memory from the cases; returns how many contributions there are."""
    _serialise(tx)
    tx.execute(delete(measure_case))
    tx.execute(delete(measure_day))
    remembered = insert(measure_case).from_select(list(_VALUE), contributions())
    counted = tx.execute(remembered.execution_options(preserve_rowcount=True)).rowcount
    sums = select(
        *(measure_case.c[name] for name in _KEY), func.min(measure_case.c.village_code), func.sum(measure_case.c.n)
    ).group_by(*(measure_case.c[name] for name in _KEY))
    tx.execute(insert(measure_day).from_select([*_KEY, "village_code", "n"], sums))
    return counted


def _serialise(tx: Connection) -> None:
    tx.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _changes() -> Select[Any]:
    """Contributions of the cases ``:ids`` that differ from the memory; ``n`` null: gone; ``old_n`` null: new."""
    ids = any_(bindparam("ids", type_=ARRAY(Uuid)))
    now = contributions().where(C.id == ids).cte("now")
    old = select(measure_case).where(measure_case.c.case_id == ids).cte("old")
    same = and_(now.c.case_id == old.c.case_id, now.c.measure == old.c.measure)
    current: list[ColumnElement[Any]] = [now.c[name] for name in _VALUE[2:]]
    before: list[ColumnElement[Any]] = [old.c[name].label(f"old_{name}") for name in _VALUE[2:]]
    return (
        select(
            func.coalesce(now.c.case_id, old.c.case_id).label("case_id"),
            func.coalesce(now.c.measure, old.c.measure).label("measure"),
            *current,
            *before,
        )
        .select_from(now.outerjoin(old, same, full=True))
        .where(or_(*(now.c[name].is_distinct_from(old.c[name]) for name in _VALUE[2:])))
    )


_CHANGES = _changes()


def _differences(changes: Sequence[Row[Any]]) -> tuple[dict[tuple[Any, ...], int], dict[str, str]]:
    """What the changes add to each key of ``measure_day``, and the village of each unit grid among them."""
    sums: dict[tuple[Any, ...], int] = {}
    village: dict[str, str] = {}
    for row in changes:
        if row.n is not None:
            key = (row.measure, row.day, row.unit_grid_code, row.department_code)
            sums[key] = sums.get(key, 0) + row.n
            village[row.unit_grid_code] = row.village_code
        if row.old_n is not None:
            key = (row.measure, row.old_day, row.old_unit_grid_code, row.old_department_code)
            sums[key] = sums.get(key, 0) - row.old_n
            village.setdefault(row.old_unit_grid_code, row.old_village_code)
    return sums, village


def _given(table: Table, names: Sequence[str]) -> Select[Any]:
    """Rows handed over as one array per column: a thousand rows in one statement that is always the same."""
    arrays = [bindparam(name, type_=ARRAY(table.c[name].type)) for name in names]
    given = func.unnest(*arrays).table_valued(*names, name="given").render_derived()
    return select(*(given.c[name] for name in names))


def _remember() -> Executable:
    statement = upsert(measure_case).from_select(list(_VALUE), _given(measure_case, _VALUE))
    changed = {name: statement.excluded[name] for name in _VALUE[2:]}
    return statement.on_conflict_do_update(index_elements=["case_id", "measure"], set_=changed)


def _add() -> Executable:
    names = [*_KEY, "village_code", "n"]
    statement = upsert(measure_day).from_select(names, _given(measure_day, names))
    total = {"n": measure_day.c.n + statement.excluded.n}
    return statement.on_conflict_do_update(index_elements=list(_KEY), set_=total)


def _delete(table: Table, names: Sequence[str]) -> Delete:
    return delete(table).where(tuple_(*(table.c[name] for name in names)).in_(_given(table, names)))


_REMEMBER = _remember()
_FORGET = _delete(measure_case, ("case_id", "measure"))
_ADD = _add()
_SWEEP = _delete(measure_day, _KEY).where(measure_day.c.n == 0)
