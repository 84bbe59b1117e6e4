"""The duty log: what happened at the centre, told once and never changed; a correction is an entry that follows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, insert, select, tuple_
from sqlalchemy.exc import IntegrityError

from gis import errors, search, shifts
from gis.db import Connection
from gis.people import Caller
from gis.tables import case, duty_log

KINDS = ("phone", "transfer", "visit", "meeting", "incident", "instruction", "other")
LONGEST = 2000
_AHEAD = timedelta(minutes=5)


@dataclass(frozen=True)
class Entry:
    """What somebody writes. ``photo`` is the SHA-256 of a kept photo; ``follows`` the entry it corrects."""

    id: UUID
    kind: str
    text: str
    happened_at: datetime
    case_id: UUID | None = None
    photo: bytes | None = None
    follows: UUID | None = None


def write(tx: Connection, caller: Caller, entry: Entry, now: datetime) -> Any:
    """Add an entry; sending it again is harmless. Returns its row as ``page`` does.

    Raises ``EntryUnknown``, ``CaseNotFound``, ``FixTime`` for a time to come, ``IdConflict`` for other content.
    """
    if entry.happened_at > now + _AHEAD:
        raise errors.DateBad(happened_at=entry.happened_at.isoformat(), why="in the future")
    if entry.case_id is not None and not search.some(tx, caller, [entry.case_id]):
        raise errors.CaseNotFound(id=str(entry.case_id))
    values = {
        "id": entry.id,
        "kind": entry.kind,
        "text": entry.text,
        "happened_at": entry.happened_at,
        "case_id": entry.case_id,
        "photo": entry.photo,
        "follows": entry.follows,
        "actor_id": caller.id,
        "actor": caller.name,
    }
    if entry.follows is not None and tx.scalar(select(duty_log.c.id).where(duty_log.c.id == entry.follows)) is None:
        raise errors.EntryUnknown(follows=str(entry.follows))
    try:
        with tx.begin_nested():
            tx.execute(insert(duty_log).values(**values))
    except IntegrityError as error:
        known = dict(tx.execute(select(duty_log).where(duty_log.c.id == entry.id)).one()._mapping)
        if {name: known[name] for name in values} != values:
            raise errors.IdConflict(id=str(entry.id)) from error
    return tx.execute(_told().where(duty_log.c.id == entry.id)).one()


def _told() -> Any:
    return select(duty_log, case.c.number.label("case_number")).join(
        case, case.c.id == duty_log.c.case_id, isouter=True
    )


def page(
    tx: Connection,
    *,
    day: date | None = None,
    until: date | None = None,
    kind: str = "",
    q: str = "",
    after: tuple[datetime, UUID] | None = None,
    limit: int = 100,
) -> tuple[Sequence[Any], tuple[datetime, UUID] | None]:
    """Entries, newest first, with ``case_number``, and the edge of the next page; None at the end.

    ``day`` to ``until`` (both included; without ``until`` that one day) is when it happened.
    """
    wanted = []
    if day is not None:
        last = until or day
        wanted.append(duty_log.c.happened_at >= shifts.midnight(day))
        wanted.append(duty_log.c.happened_at < shifts.midnight(last + timedelta(days=1)))
    if kind:
        wanted.append(duty_log.c.kind == kind)
    for one in q.split():
        wanted.append(duty_log.c.text.icontains(one, autoescape=True) | duty_log.c.actor.contains(one, autoescape=True))
    if after is not None:
        wanted.append(tuple_(duty_log.c.happened_at, duty_log.c.id) < tuple_(*after))
    rows = tx.execute(
        _told()
        .where(and_(True, *wanted))
        .order_by(duty_log.c.happened_at.desc(), duty_log.c.id.desc())
        .limit(limit + 1)
    ).all()
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], (rows[limit - 1].happened_at, rows[limit - 1].id)


def photo_of(tx: Connection, entry_id: UUID) -> bytes:
    """The SHA-256 of an entry's photo. Raises ``NotFound``."""
    found: bytes | None = tx.scalar(select(duty_log.c.photo).where(duty_log.c.id == entry_id))
    if found is None:
        raise errors.NotFound(id=str(entry_id))
    return bytes(found)
