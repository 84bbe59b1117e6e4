"""A case's handling clock as it is drawn on a line, and how long each of its stages took.

Knows which part of a clock is worth drawing; how time counts is known by gis.worktime, how a clock is kept by
gis.case_clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any

from gis import case_clock, errors, worktime
from gis.db import Connection
from gis.rulebook import Rulebook
from gis.workflow import Workflow
from gis.worktime import Calendar, Limit, Span

# More cannot be told apart on any screen: two months of office hours. What comes after them is not drawn.
SPANS_MAX = 260


@dataclass(frozen=True)
class Line:
    """The clock from its start to where it matters no more.

    A stopped clock is drawn on to its due time, as if it had run on; a paused one as if it went on at once, to
    ``goes_on_due_at``. ``first_due_at`` is when an extended clock would have been due without its extensions.
    ``until`` is the end of the line; ``cut`` says that it ends before the clock stopped or now: twice the way to the
    due time shows how late a case is, years of it would hide the rest. ``spans`` is empty where the working calendar
    does not reach.
    """

    limit: Limit
    started_at: datetime
    yellow_at: datetime | None
    due_at: datetime | None
    goes_on_due_at: datetime | None
    extensions: int
    first_due_at: datetime | None
    stopped_at: datetime | None
    until: datetime
    cut: bool
    spans: tuple[Span, ...]
    calendar: Calendar


@dataclass(frozen=True)
class Stay:
    """A case in one state: from ``begin`` to ``end`` (None: still there). ``due_at`` is when its stage limit ends."""

    state: str
    begin: datetime
    end: datetime | None
    due_at: datetime | None


def line(tx: Connection, book: Rulebook, row: Mapping[str, Any], now: datetime) -> Line | None:
    """The handling clock of a case, None where none was started."""
    if not row["clock"].get("started_at"):
        return None
    limit, started, pauses, calendar = case_clock.read(tx, book, row)
    stopped = row["handled_at"] or row["closed_at"] or row["voided_at"]
    ran = max(stopped or now, started)
    if pauses and pauses[-1][1] is None:
        held = pauses.pop()[0]
        if stopped is None or row["due_at"] is None:
            pauses.append((held, max(ran, held)))
    due, goes_on, first = row["due_at"], None, None
    extensions = int(row["clock"].get("extensions", 0))
    try:
        if extensions:
            once = replace(limit, amount=Decimal(row["clock"]["limit"]["amount"]))
            first = worktime.due(started, once, calendar, pauses)
        if due is None and stopped is None:
            goes_on = worktime.due(started, limit, calendar, pauses)
        end = max(ran, due or goes_on or ran)
        most = (due or end) + max((due or end) - started, worktime.total(limit, calendar))
        every = worktime.spans(started, min(end, most), limit.kind, calendar, pauses)
        drawn = tuple(islice(every, SPANS_MAX))
    except errors.BeyondCalendar:
        end, goes_on, first, drawn = max(ran, due or ran), None, None, ()
    until = drawn[-1].end if drawn else end
    return Line(
        limit=limit,
        started_at=started,
        yellow_at=row["yellow_at"],
        due_at=due,
        goes_on_due_at=goes_on,
        extensions=extensions,
        first_due_at=first,
        stopped_at=stopped,
        until=until,
        cut=until < end,
        spans=drawn,
        calendar=calendar,
    )


def stays(flow: Workflow, events: Sequence[Any], stage_due_at: datetime | None, calendar: Calendar) -> list[Stay]:
    """The states a case was in, oldest first, by the moments its steps are judged by.

    ``events`` in any order; a step that stays in its state ends nothing. ``stage_due_at`` is the running stage's.
    """
    found: list[Stay] = []
    for event in sorted(events, key=lambda e: e.seq):
        at = moment_of(event)
        if found and found[-1].state == event.to_state:
            continue
        if found:
            found[-1] = Stay(found[-1].state, found[-1].begin, at, found[-1].due_at)
        limit = flow.states[event.to_state].limit if event.to_state in flow.states else None
        found.append(Stay(event.to_state, at, None, case_clock.stage_times(limit, at, calendar)["stage_due_at"]))
    if found:
        last = found[-1]
        found[-1] = Stay(last.state, last.begin, None, stage_due_at)
    return found


def moment_of(event: Any) -> datetime:
    """The moment a step is judged by: when it happened or, told too late for that, when it arrived."""
    judged = event.payload.get("judged_at")
    moment: datetime = datetime.fromisoformat(judged) if judged else event.happened_at
    return moment
