"""The append-only event log: chaining, the feed by snapshot horizon, and what consumers still have to take.

Knows how events are stored and handed on; what an event means is known by gis.cases and the consumers.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import bindparam, cast, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.types import BigInteger, Text

from gis.db import Connection
from gis.digest import sm3
from gis.tables import Xid8, case_digest, case_event, delivery
from gis.workflow import LEFT

GENESIS = bytes(32)
ZONE = "Asia/Shanghai"
# Who takes events from the delivery table. The live stream and the point store follow the feed by cursor instead:
# every process has its own.
CONSUMERS = ("statistics",)
RETRY_AFTER = tuple(timedelta(seconds=s) for s in (1, 5, 30, 120, 600, 3600))


@dataclass(frozen=True, order=True)
class Cursor:
    """A place in the feed: everything committed at or before it has been seen."""

    xid: int = 0
    id: int = 0

    def __str__(self) -> str:
        return f"{self.xid}-{self.id}"

    @classmethod
    def parse(cls, text_form: str) -> "Cursor":
        """From ``xid-id``. Raises ``ValueError``."""
        xid, _, position = text_form.partition("-")
        return cls(int(xid), int(position))


def canonical(event: Mapping[str, Any]) -> bytes:
    """The bytes that are chained: what happened, to what, by whom, when, where, with what."""
    return json.dumps(
        {
            "case_id": str(event["case_id"]),
            "seq": event["seq"],
            "action": event["action"],
            "from_state": event["from_state"],
            "to_state": event["to_state"],
            "actor_id": str(event["actor_id"]) if event["actor_id"] else None,
            "actor": event["actor"],
            "role": event["role"],
            "happened_at": event["happened_at"].astimezone(UTC).isoformat(timespec="microseconds"),
            "lon": event["lon"],
            "lat": event["lat"],
            "payload": event["payload"],
        },
        ensure_ascii=False,
        sort_keys=True,
        separators=(",", ":"),
    ).encode()


def chain(event: Mapping[str, Any], previous: bytes) -> bytes:
    """The event's hash: SM3 of the hash before it and its canonical bytes."""
    return sm3(previous, canonical(event))


def broken(tx: Connection, case_id: UUID) -> int | None:
    """The first sequence number at which a case's chain does not hold, or None when it holds."""
    previous, expected = GENESIS, 1
    for row in tx.execute(select(case_event).where(case_event.c.case_id == case_id).order_by(case_event.c.seq)):
        event = dict(row._mapping)
        if event["seq"] != expected or event["prev_hash"] != previous or chain(event, previous) != event["hash"]:
            return expected
        previous, expected = event["hash"], expected + 1
    return None


# Whatever may still commit comes later.
_SETTLED = text("case_event.xid < pg_snapshot_xmin(pg_current_snapshot())")


_AFTER = func.row(case_event.c.xid, case_event.c.id) > func.row(
    cast(bindparam("xid", type_=Text), Xid8), bindparam("after", type_=BigInteger)
)
_SINCE = (
    select(
        cast(cast(case_event.c.xid, Text), BigInteger).label("xid"),
        *(c for c in case_event.c if c.name not in ("xid", "payload", "prev_hash", "hash", "lon", "lat")),
        case_event.c.payload[LEFT].label("left_scope"),
    )
    .where(_SETTLED, _AFTER)
    .order_by(case_event.c.xid, case_event.c.id)
    .limit(bindparam("limit"))
)
_CHANGED = select(case_event.c.case_id).where(_AFTER).limit(bindparam("limit"))


def _told(cursor: Cursor, limit: int) -> dict[str, Any]:
    return {"xid": str(cursor.xid), "after": cursor.id, "limit": limit}


def since(tx: Connection, cursor: Cursor, limit: int = 1000) -> tuple[Sequence[Any], Cursor]:
    """Events after the cursor whose neighbours have all been committed, in feed order, and the next cursor.

    Columns: case_id, seq, id, action, from_state, to_state, actor, role, happened_at, recorded_at, left_scope (who had
    the case before, ``gis.case_rows.had``, where the step gave it to others).
    """
    rows = tx.execute(_SINCE, _told(cursor, limit)).all()
    return rows, Cursor(rows[-1].xid, rows[-1].id) if rows else cursor


def changed(tx: Connection, cursor: Cursor, limit: int) -> list[UUID] | None:
    """The cases with an event after the cursor, whatever else is still on its way; None where that is over ``limit``.

    Unlike :func:`since` nothing is held back, so a reader who knows a state up to the cursor misses nothing committed.
    """
    told = tx.execute(_CHANGED, _told(cursor, limit + 1)).scalars().all()
    return list(set(told)) if len(told) <= limit else None


def horizon(tx: Connection) -> Cursor:
    """The place after everything that is visible to every later reader: where a new follower starts."""
    xmin = tx.execute(text("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint")).scalar_one()
    return Cursor(xmin - 1, 2**62)


def latest(tx: Connection) -> Cursor:
    """The last event before the horizon: the same for everybody until another is committed, unlike the horizon."""
    row = tx.execute(
        select(cast(cast(case_event.c.xid, Text), BigInteger), case_event.c.id)
        .where(_SETTLED)
        .order_by(case_event.c.xid.desc(), case_event.c.id.desc())
        .limit(1)
    ).first()
    return Cursor(*row) if row else Cursor()


def take(tx: Connection, consumer: str, work: Callable[[Sequence[UUID]], None], limit: int = 500) -> int:
    """Hand up to ``limit`` waiting deliveries to ``work`` (distinct case ids) and remove them; returns how many.

    Runs in ``tx``: the row locks are the lease. When ``work`` raises, its writes are undone and the deliveries wait
    longer each time, until they are dead and shown to operators. Order is kept per case: a delivery waits while an
    earlier one of its case does, be it postponed or in another relay's hands.
    """
    locked = tx.execute(
        select(delivery.c.id, delivery.c.case_id, delivery.c.attempts)
        .where(delivery.c.consumer == consumer, ~delivery.c.dead, delivery.c.next_at <= func.now())
        .order_by(delivery.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    rows = _first_of_their_cases(tx, consumer, locked)
    if not rows:
        return 0
    try:
        with tx.begin_nested():
            work(list(dict.fromkeys(row.case_id for row in rows)))
    except Exception as error:
        # One bad case must not hold up the others: a failed batch is tried again one by one.
        if len(rows) > 1:
            return _one_by_one(tx, rows, work)
        _postpone(tx, rows[0], error)
        return 0
    tx.execute(delete(delivery).where(delivery.c.id.in_([row.id for row in rows])))
    return len(rows)


def _first_of_their_cases(tx: Connection, consumer: str, locked: Sequence[Any]) -> list[Any]:
    """The deliveries among ``locked`` that have no earlier one of their case outside it, dead ones not counted."""
    if not locked:
        return []
    others = tx.execute(
        select(delivery.c.case_id, func.min(delivery.c.id))
        .where(
            delivery.c.consumer == consumer,
            ~delivery.c.dead,
            delivery.c.case_id.in_({row.case_id for row in locked}),
            delivery.c.id.not_in([row.id for row in locked]),
        )
        .group_by(delivery.c.case_id)
    ).all()
    earliest = {case_id: first for case_id, first in others}
    return [row for row in locked if row.id < earliest.get(row.case_id, row.id + 1)]


def _one_by_one(tx: Connection, rows: Sequence[Any], work: Callable[[Sequence[UUID]], None]) -> int:
    done, failed = 0, set()
    for row in rows:
        if row.case_id in failed:
            continue
        if _alone(tx, row, work):
            done += 1
        else:
            failed.add(row.case_id)
    return done


def _alone(tx: Connection, row: Any, work: Callable[[Sequence[UUID]], None]) -> bool:
    try:
        with tx.begin_nested():
            work([row.case_id])
    except Exception as error:
        _postpone(tx, row, error)
        return False
    tx.execute(delete(delivery).where(delivery.c.id == row.id))
    return True


def _postpone(tx: Connection, row: Any, error: Exception) -> None:
    wait = RETRY_AFTER[min(row.attempts, len(RETRY_AFTER) - 1)]
    tx.execute(
        update(delivery)
        .where(delivery.c.id == row.id)
        .values(
            attempts=row.attempts + 1,
            next_at=func.now() + wait,
            dead=row.attempts + 1 > len(RETRY_AFTER),
            error=f"{type(error).__name__}: {error}"[:500],
        )
    )


def backlog(tx: Connection) -> dict[str, dict[str, int]]:
    """Per consumer: how many deliveries wait and how many are dead."""
    rows = tx.execute(
        select(
            delivery.c.consumer,
            func.count().filter(~delivery.c.dead).label("waiting"),
            func.count().filter(delivery.c.dead).label("dead"),
        ).group_by(delivery.c.consumer)
    )
    found = {consumer: {"waiting": 0, "dead": 0} for consumer in CONSUMERS}
    return found | {row.consumer: {"waiting": row.waiting, "dead": row.dead} for row in rows}


@dataclass(frozen=True)
class Midnight:
    """A mark set on the local day ``day``: whatever was written on the days before has a transaction below ``xid``.

    ``passed``: all of those had ended, and the days before are closed.
    """

    day: date
    xid: int
    passed: bool = False


def close_days(tx: Connection, mark: Midnight | None, now: datetime | None = None, zone: str = ZONE) -> Midnight:
    """Close every day that has ended, from the last closed one (or the first event's) on; returns the next mark.

    To be called again and again with the mark it returned: a day is closed only once no transaction is left that may
    still commit events of it. Without a mark, or on a new day, one is set. ``now`` is the database's clock if None.
    """
    moment = now or tx.execute(select(func.clock_timestamp())).scalar_one()
    today = moment.astimezone(ZoneInfo(zone)).date()
    if mark is not None and mark.day == today and mark.passed:
        return mark
    if mark is None or mark.day != today:
        # A number of our own: a snapshot's xmax may stand below transactions that are still running.
        mark = Midnight(today, int(tx.execute(text("select pg_current_xact_id()::text::bigint")).scalar_one()))
    xmin = tx.execute(text("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint")).scalar_one()
    if xmin < mark.xid:
        return mark
    day = _first_open_day(tx, zone)
    while day is not None and day < today:
        close_day(tx, day, zone)
        day += timedelta(days=1)
    return replace(mark, passed=True)


def _first_open_day(tx: Connection, zone: str) -> date | None:
    last = tx.execute(select(func.max(case_digest.c.day))).scalar()
    if last is None:
        first: datetime | None = tx.execute(select(func.min(case_event.c.recorded_at))).scalar()
        return first.astimezone(ZoneInfo(zone)).date() if first else None
    following: date = last + timedelta(days=1)
    return following


def close_day(tx: Connection, day: date, zone: str = ZONE) -> bytes:
    """Digest all events recorded on ``day`` (local time), chained to the day before; returns it. Done once a day."""
    done = select(case_digest.c.digest).where(case_digest.c.day == day)
    found = tx.execute(done).scalar()
    if found is not None:
        return bytes(found)
    before = tx.execute(
        select(case_digest.c.digest).where(case_digest.c.day < day).order_by(case_digest.c.day.desc()).limit(1)
    ).scalar()
    start, end = (datetime.combine(d, time(), ZoneInfo(zone)) for d in (day, day + timedelta(days=1)))
    hashes = tx.execute(
        select(case_event.c.hash)
        .where(case_event.c.recorded_at >= start, case_event.c.recorded_at < end)
        .order_by(case_event.c.case_id, case_event.c.seq)
    ).scalars()
    parts = [bytes(h) for h in hashes]
    digest = sm3(before or GENESIS, *parts)
    row = {"day": day, "events": len(parts), "digest": digest, "made_at": datetime.now(UTC)}
    tx.execute(upsert(case_digest).values(row).on_conflict_do_nothing())
    return bytes(tx.execute(done).scalar_one())  # another relay's where it was first: the same
