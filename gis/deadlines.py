"""What time alone does to cases: a limit that passes is recorded, a timer that runs out acts.

Knows who is late and whose time has come, not what a step is.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, select, tuple_

from gis import cases, errors
from gis.case_clock import TIMEOUT
from gis.db import Connection
from gis.people import SYSTEM
from gis.rulebook import Rulebook, flow_of, rulebook
from gis.tables import case


def mark_overdue(tx: Connection, limit: int = 200, now: datetime | None = None) -> int:
    """Record up to ``limit`` open cases whose handling limit has passed; returns how many.

    A case that refuses, whatever for, is left out and holds up no other.
    """
    late = _late(now or datetime.now(UTC))
    marked, following = 0, late & _can_time_out(tx, late)
    while marked < limit:
        page = tx.execute(
            select(case.c.id, case.c.due_at).where(following).order_by(case.c.due_at, case.c.id).limit(limit)
        ).all()
        marked += sum([_mark(tx, row) for row in page[: limit - marked]])
        if len(page) < limit:
            break
        following &= tuple_(case.c.due_at, case.c.id) > tuple_(page[-1].due_at, page[-1].id)
    return marked


def wake(tx: Connection, limit: int = 200, now: datetime | None = None) -> int:
    """Take the step of up to ``limit`` state timers that have run out (a suspension ends, a wait lapses).

    Returns how many. A case that refuses, whatever for, is left out and holds up no other.
    """
    moment = now or datetime.now(UTC)
    book, woken, seen = rulebook(tx), 0, case.c.wake_at <= moment
    while woken < limit:
        page = tx.execute(select(case).where(seen).order_by(case.c.wake_at, case.c.id).limit(limit)).all()
        woken += sum([_wake(tx, book, dict(row._mapping)) for row in page[: limit - woken]])
        if len(page) < limit:
            break
        seen &= tuple_(case.c.wake_at, case.c.id) > tuple_(page[-1].wake_at, page[-1].id)
    return woken


def _wake(tx: Connection, book: Rulebook, row: dict[str, Any]) -> bool:
    try:
        timer = flow_of(tx, book, row).states[row["state"]].timer
        if timer is None:
            return False
        with tx.begin_nested():
            cases.act(tx, row["id"], timer.action, SYSTEM, {}, at=row["wake_at"], trusted=True)
    except (errors.Problem, KeyError):
        return False  # somebody moved it meanwhile, or holds it, or its workflow is gone
    return True


def _late(moment: datetime) -> ColumnElement[bool]:
    return and_(
        case.c.status == "open", case.c.due_at < moment, case.c.overdue_at.is_(None), case.c.handled_at.is_(None)
    )


def _can_time_out(tx: Connection, late: ColumnElement[bool]) -> ColumnElement[bool]:
    """In a state from which its workflow has the record: the others would fill the batch for ever."""
    book = rulebook(tx)
    columns = (case.c.workflow, case.c.workflow_version, case.c.state)
    found = []
    for row in tx.execute(select(*columns).where(late).distinct()):
        try:
            action = flow_of(tx, book, dict(row._mapping)).actions.get(TIMEOUT)
        except errors.Problem:
            continue  # its workflow is gone or no longer valid: people will notice when they act
        if action is not None and row.state in action.sources:
            found.append(tuple(row))
    return tuple_(*columns).in_(found)


def _mark(tx: Connection, row: Any) -> bool:
    try:
        with tx.begin_nested():
            cases.act(tx, row.id, TIMEOUT, SYSTEM, {}, at=row.due_at, trusted=True)
    except errors.Problem:
        return False  # somebody moved it meanwhile, or holds it
    return True
