"""What time alone does to cases: a limit that passes is recorded, a timer that runs out acts.

Knows who is late and whose time has come, not what a step is. What is refused is written down (``gis.stuck_timers``)
and tried again later and later: it neither fills a batch nor goes unseen.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select, tuple_

from gis import cases, errors, stuck_timers
from gis.case_clock import TIMEOUT
from gis.db import Connection
from gis.people import SYSTEM
from gis.rulebook import Rulebook, flow_of, rulebook
from gis.stuck_timers import OVERDUE, TIMER
from gis.tables import case


def mark_overdue(tx: Connection, limit: int = 200, now: datetime | None = None) -> int:
    """Record up to ``limit`` open cases whose handling limit has passed; returns how many.

    A case that fails, whatever for, is left out and holds up no other.
    """
    moment = now or datetime.now(UTC)
    late = OVERDUE.standing & (case.c.due_at < moment)
    stuck_timers.forget(tx, OVERDUE)
    marked, following = 0, late & _can_time_out(tx, late) & stuck_timers.to_try(OVERDUE, moment)
    while marked < limit:
        page = tx.execute(
            select(case.c.id, case.c.due_at).where(following).order_by(case.c.due_at, case.c.id).limit(limit)
        ).all()
        marked += sum([_mark(tx, row, moment) for row in page[: limit - marked]])
        if len(page) < limit:
            break
        following &= tuple_(case.c.due_at, case.c.id) > tuple_(page[-1].due_at, page[-1].id)
    return marked


def wake(tx: Connection, limit: int = 200, now: datetime | None = None) -> int:
    """Take the step of up to ``limit`` state timers that have run out (a suspension ends, a wait lapses).

    Returns how many. A case that fails, whatever for, is left out and holds up no other.
    """
    moment = now or datetime.now(UTC)
    stuck_timers.forget(tx, TIMER)
    book, woken = rulebook(tx), 0
    seen = TIMER.standing & (case.c.wake_at <= moment) & stuck_timers.to_try(TIMER, moment)
    while woken < limit:
        page = tx.execute(select(case).where(seen).order_by(case.c.wake_at, case.c.id).limit(limit)).all()
        woken += sum([_wake(tx, book, dict(row._mapping), moment) for row in page[: limit - woken]])
        if len(page) < limit:
            break
        seen &= tuple_(case.c.wake_at, case.c.id) > tuple_(page[-1].wake_at, page[-1].id)
    return woken


def _wake(tx: Connection, book: Rulebook, row: dict[str, Any], moment: datetime) -> bool:
    def step() -> None:
        timer = flow_of(tx, book, row).states[row["state"]].timer
        if timer is None:
            raise errors.StateForbids(state=row["state"])
        cases.act(tx, row["id"], timer.action, SYSTEM, {}, at=row["wake_at"], trusted=True)

    return _tried(tx, TIMER, row["id"], row["wake_at"], moment, step)


def _mark(tx: Connection, row: Any, moment: datetime) -> bool:
    def step() -> None:
        cases.act(tx, row.id, TIMEOUT, SYSTEM, {}, at=row.due_at, trusted=True)

    return _tried(tx, OVERDUE, row.id, row.due_at, moment, step)


def _tried(
    tx: Connection,
    kind: stuck_timers.Kind,
    case_id: UUID,
    due_at: datetime,
    moment: datetime,
    step: Callable[[], None],
) -> bool:
    """Take a step in a savepoint of its own; what it fails of is written down. Raises where the connection is lost."""
    try:
        with tx.begin_nested():
            step()
    except Exception as error:  # somebody moved it meanwhile, or a rule or a fault stands in its way
        if tx.closed or tx.invalidated:
            raise
        stuck_timers.note(tx, kind, case_id, due_at, moment, error)
        return False
    return True


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
