"""What a leader looks at first: the cases late the longest, urgings and supervisions nobody has answered."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from gis.db import Connection
from gis.people import Caller
from gis.search import CaseFilter, named, visible_cases, within
from gis.tables import case, case_task, department

KINDS = ("urge", "supervise")
EVERYTHING = CaseFilter()


def latest(tx: Connection, caller: Caller, now: datetime, limit: int, among: CaseFilter = EVERYTHING) -> Sequence[Any]:
    """The visible cases ``among`` these whose handling is overdue, the longest first, with names beside them."""
    late = replace(among, status=("open",), handling_light=("red",)).clauses(now)
    cases = visible_cases(caller).where(*late).order_by(case.c.due_at, case.c.id).limit(limit)
    page = named(cases)
    return tx.execute(page.order_by(page.selected_columns.due_at, page.selected_columns.id)).all()


def unanswered(tx: Connection, caller: Caller, now: datetime, among: CaseFilter = EVERYTHING) -> dict[str, int]:
    """How many of each kind wait, on the cases the caller may see ``among`` these."""
    rows = tx.execute(
        select(case_task.c.kind, func.count())
        .join(case, case.c.id == case_task.c.case_id)
        .where(case_task.c.state == "open", case_task.c.kind.in_(KINDS), within(caller.scope), *among.clauses(now))
        .group_by(case_task.c.kind)
    ).all()
    return {kind: 0 for kind in KINDS} | {kind: n for kind, n in rows}


def oldest_unanswered(tx: Connection, caller: Caller, limit: int) -> Sequence[Any]:
    """Those waiting longest: ``kind, note, opened_at, due_at, case_id, number, department_name``."""
    return tx.execute(
        select(
            case_task.c.kind,
            case_task.c.note,
            case_task.c.opened_at,
            case_task.c.due_at,
            case_task.c.case_id,
            case.c.number,
            department.c.name.label("department_name"),
        )
        .join(case, case.c.id == case_task.c.case_id)
        .join(department, department.c.code == case_task.c.department_code, isouter=True)
        .where(case_task.c.state == "open", case_task.c.kind.in_(KINDS), within(caller.scope))
        .order_by(case_task.c.opened_at, case_task.c.id)
        .limit(limit)
    ).all()
