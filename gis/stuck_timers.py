"""What time alone should have done with a case and was refused: why, since when, and when it is tried again.

Knows what waits for whom; what is tried is known by gis.deadlines.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Column, ColumnElement, and_, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from gis.db import Connection
from gis.events import RETRY_AFTER
from gis.tables import case, stuck_timer

log = structlog.get_logger("deadlines")
_WORDS_MAX = 500


@dataclass(frozen=True)
class Kind:
    """A sort of deadline: the column of the case it stands in, and which cases have one that still counts."""

    code: str
    column: Column[Any]
    standing: ColumnElement[bool]


OVERDUE = Kind(
    "overdue",
    case.c.due_at,
    and_(case.c.status == "open", case.c.overdue_at.is_(None), case.c.handled_at.is_(None)),
)
TIMER = Kind("timer", case.c.wake_at, case.c.wake_at.is_not(None))
_KINDS = (OVERDUE, TIMER)


def _of_case(kind: Kind) -> ColumnElement[bool]:
    return and_(
        stuck_timer.c.case_id == case.c.id,
        stuck_timer.c.kind == kind.code,
        stuck_timer.c.due_at == kind.column,
        kind.standing,
    )


def to_try(kind: Kind, moment: datetime) -> ColumnElement[bool]:
    """The cases not waiting for another attempt."""
    return ~exists(select(1).where(_of_case(kind), stuck_timer.c.next_at > moment))


def note(tx: Connection, kind: Kind, case_id: UUID, due_at: datetime, moment: datetime, error: Exception) -> None:
    """Write down that a case's deadline could not act at ``moment``; each time the next attempt is put off longer."""
    key = (stuck_timer.c.case_id == case_id, stuck_timer.c.kind == kind.code, stuck_timer.c.due_at == due_at)
    known = tx.scalar(select(stuck_timer.c.attempts).where(*key)) or 0
    words = (str(error) or type(error).__name__).replace("\x00", "")[:_WORDS_MAX]
    found = {
        "due_at": due_at,
        "attempts": known + 1,
        "next_at": moment + RETRY_AFTER[min(known, len(RETRY_AFTER) - 1)],
        "error": words,
    }
    fresh = {"case_id": case_id, "kind": kind.code, "since": moment, **found}
    told = found if known else found | {"since": moment}
    tx.execute(upsert(stuck_timer).values(fresh).on_conflict_do_update(index_elements=["case_id", "kind"], set_=told))
    log.warning("a deadline could not act", case=str(case_id), kind=kind.code, attempts=known + 1, error=words)


def forget(tx: Connection, kind: Kind) -> None:
    """Drop what was done meanwhile, or is no longer due."""
    due = exists(select(1).where(_of_case(kind)))
    tx.execute(delete(stuck_timer).where(stuck_timer.c.kind == kind.code, ~due))


def retry(tx: Connection, moment: datetime, case_id: UUID | None = None) -> int:
    """Let the next round try all of them, or those of one case; returns how many."""
    due = update(stuck_timer).values(next_at=moment)
    if case_id is not None:
        due = due.where(stuck_timer.c.case_id == case_id)
    return len(tx.execute(due.returning(stuck_timer.c.case_id)).all())


def count(tx: Connection) -> int:
    """How many wait for another attempt."""
    return tx.execute(
        select(func.count()).select_from(stuck_timer).join(case, or_(*map(_of_case, _KINDS)))
    ).scalar_one()


def listed(tx: Connection, limit: int = 100) -> list[dict[str, Any]]:
    """Those that wait, longest first: ``{case_id, number, state, kind, due_at, attempts, since, next_at, error,
    workflow, workflow_version}``."""
    columns = (stuck_timer.c[name] for name in ("case_id", "kind", "due_at", "attempts", "since", "next_at", "error"))
    rows = (
        select(*columns, *(case.c[name] for name in ("number", "state", "workflow", "workflow_version")))
        .join_from(stuck_timer, case, or_(*map(_of_case, _KINDS)))
        .order_by(stuck_timer.c.since, stuck_timer.c.case_id)
        .limit(limit)
    )
    return [dict(row) for row in tx.execute(rows).mappings()]
