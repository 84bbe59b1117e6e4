"""The handling clock of a case: how a step starts, stops and resumes it, and the due times it gives.

Knows how a clock is kept on the case and which moment counts for it; what time counts is known by gis.worktime.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import select

from gis import errors, worktime
from gis.db import Connection
from gis.rulebook import Rulebook, calendar_of, pinned
from gis.tables import case_event
from gis.worktime import Calendar, Limit

# Nothing may have happened later than this after now: phones' clocks are not exact.
AHEAD = timedelta(minutes=5)
# The action by which the system records that a handling limit has passed.
TIMEOUT = "timeout"


class Moments(NamedTuple):
    """When a step happened as it was ``told``, and the moment it is ``judged`` by: marks and clock take that one."""

    told: datetime
    judged: datetime


def judge(told: datetime, now: datetime, last: Moments, allowance: timedelta | None) -> Moments:
    """The moments of a step told to have happened at ``told``, after a step with the moments ``last``.

    Nothing has happened later than it is told: the clock of a phone may be fast, and who acts next acts from now. A
    phone may have been offline: within ``allowance`` before ``now`` it is believed; what is told later than that
    counts from now, or a department could make itself punctual. None: the teller is trusted with any past.
    """
    told = max(min(told, now), last.told)
    believed = allowance is None or told >= now - allowance
    return Moments(told, max(told if believed else now, last.judged))


def moments(tx: Connection, row: Mapping[str, Any], at: datetime | None, allowance: timedelta | None) -> Moments:
    """The moments of the next step of a case, told to happen at ``at`` (None: now); see ``judge``."""
    now = datetime.now(UTC)
    if at is None:
        return Moments(now, now)
    # Nothing happens before what happened before it. What the system noted meanwhile, a phone could not know.
    last = tx.execute(
        select(case_event.c.happened_at, case_event.c.payload["judged_at"].astext.label("judged_at"))
        .where(case_event.c.case_id == row["id"], case_event.c.action != TIMEOUT)
        .order_by(case_event.c.seq.desc())
        .limit(1)
    ).one()
    judged = datetime.fromisoformat(last.judged_at) if last.judged_at else last.happened_at
    return judge(at, now, Moments(last.happened_at, max(judged, row["reported_at"])), allowance)


def ran_out(row: Mapping[str, Any], at: datetime) -> bool:
    """Whether the handling limit had passed at ``at`` and nobody has recorded it."""
    running = row["due_at"] is not None and row["handled_at"] is None and row["status"] == "open"
    return running and row["overdue_at"] is None and at > row["due_at"]


def late(row: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """The clock with its lateness noted: ``late`` lists {at, department}, one for every department that was late."""
    clock = dict(row["clock"])
    entry = {"at": at.isoformat(), "department": clock.get("department", row["department_code"])}
    return clock | {"late": [*clock.get("late", []), entry]}


def turn(
    tx: Connection,
    book: Rulebook,
    row: Mapping[str, Any],
    effect: str,
    target: str,
    at: datetime,
    *,
    stopped: bool,
) -> dict[str, Any]:
    """The handling clock after ``effect`` and the due times it gives.

    The clock is {limit, started_at, department, pauses, extensions, late}.

    ``start`` begins anew for another department, which is not overdue yet, and goes on for the same one; ``stop``
    opens a pause; ``resume`` ends it, or starts a clock that never ran; ``extend`` adds the original limit once more.
    A case handled in time keeps its due time; one sent back to the dispatcher has none until it goes on. A lateness is
    withdrawn when it turns out that the step had come in time.
    """
    clock, changes = dict(row["clock"]), dict[str, Any]()
    if row["overdue_at"] is not None and row["due_at"] is not None and at <= row["due_at"]:
        changes["overdue_at"] = None
        clock["late"] = clock.get("late", [])[:-1]
    pauses = [list(p) for p in clock.get("pauses", [])]
    begins = effect == "start" and clock.get("department") != target
    if begins or (effect == "resume" and "limit" not in clock):
        standard = pinned(tx, book, row, "filing_standard")
        limit = standard.limit(row["category_kind"], row["category_code"], row["condition_code"], row["area_class"])
        clock = {
            "limit": {"amount": str(limit.amount), "kind": limit.kind.value},
            "started_at": at.isoformat(),
            "department": target,
            "late": clock.get("late", []),
        }
        changes["overdue_at"] = None
        pauses = []
    elif effect == "stop":
        if not pauses or pauses[-1][1] is not None:
            pauses.append([at.isoformat(), None])
    elif effect == "extend":
        clock["extensions"] = clock.get("extensions", 0) + 1
    elif pauses and pauses[-1][1] is None:
        pauses[-1][1] = at.isoformat()
    clock["pauses"] = pauses
    if effect == "stop":
        return changes | ({"clock": clock} if stopped else {"clock": clock, "due_at": None, "yellow_at": None})
    limit, started, spans, calendar = read(tx, book, {**row, "clock": clock})
    return changes | {
        "clock": clock,
        "due_at": worktime.due(started, limit, calendar, spans),
        "yellow_at": worktime.yellow_at(started, limit, calendar, spans),
    }


def stage_times(limit: Limit | None, at: datetime, calendar: Calendar) -> dict[str, datetime | None]:
    """When a stage entered at ``at`` is due and turns yellow; unknown where the calendar does not reach that far.

    A stage limit only reminds: no case is refused for it.
    """
    if limit is None:
        return {"stage_due_at": None, "stage_yellow_at": None}
    try:
        due, yellow = worktime.due(at, limit, calendar), worktime.yellow_at(at, limit, calendar)
    except errors.BeyondCalendar:
        return {"stage_due_at": None, "stage_yellow_at": None}
    return {"stage_due_at": due, "stage_yellow_at": yellow}


def next_due(row: Mapping[str, Any]) -> datetime | None:
    """What a desk sorts by: the stage's due time, else that of the handling clock while it runs."""
    if row["status"] != "open":
        return None
    due: datetime | None = row["stage_due_at"] or (row["due_at"] if row["handled_at"] is None else None)
    return due


def read(
    tx: Connection, book: Rulebook, row: Mapping[str, Any]
) -> tuple[Limit, datetime, list[tuple[datetime, datetime | None]], Calendar]:
    """A case's handling clock in the terms of ``gis.worktime``: limit, start, pauses, the calendar it goes by."""
    clock = row["clock"]
    times = 1 + clock.get("extensions", 0)
    limit = Limit(Decimal(clock["limit"]["amount"]) * times, worktime.ClockKind(clock["limit"]["kind"]))
    spans = [(datetime.fromisoformat(a), datetime.fromisoformat(b) if b else None) for a, b in clock.get("pauses", [])]
    return limit, datetime.fromisoformat(clock["started_at"]), spans, calendar_of(tx, book, row)
