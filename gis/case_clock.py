"""The handling clock of a case: how a step starts, stops and resumes it, and the due times it gives.

Knows how a clock is kept on the case; what time counts is known by gis.worktime.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from gis import worktime
from gis.db import Connection
from gis.rulebook import Rulebook, pinned
from gis.worktime import Calendar, Limit


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
    """The handling clock after ``effect``: {limit, started_at, department, pauses} and the due times it gives.

    ``start`` begins anew for another department and goes on for the same one; ``stop`` opens a pause; ``resume``
    ends it. A case handled in time keeps its due time; one sent back to the dispatcher has none until it goes on.
    """
    clock = dict(row["clock"])
    pauses = [list(p) for p in clock.get("pauses", [])]
    if effect == "start" and clock.get("department") != target:
        standard = pinned(tx, book, row, "filing_standard")
        limit = standard.limit(row["category_kind"], row["category_code"], row["condition_code"], row["area_class"])
        clock = {
            "limit": {"amount": str(limit.amount), "kind": limit.kind.value},
            "started_at": at.isoformat(),
            "department": target,
        }
        pauses = []
    elif effect == "stop":
        pauses.append([at.isoformat(), None])
    elif pauses and pauses[-1][1] is None:
        pauses[-1][1] = at.isoformat()
    clock["pauses"] = pauses
    if effect == "stop":
        return {"clock": clock} if stopped else {"clock": clock, "due_at": None, "yellow_at": None}
    limit, started, spans, calendar = read(tx, book, {**row, "clock": clock})
    return {
        "clock": clock,
        "due_at": worktime.due(started, limit, calendar, spans),
        "yellow_at": worktime.yellow_at(started, limit, calendar, spans),
    }


def read(
    tx: Connection, book: Rulebook, row: Mapping[str, Any]
) -> tuple[Limit, datetime, list[tuple[datetime, datetime | None]], Calendar]:
    """A case's handling clock in the terms of ``gis.worktime``: limit, start, pauses, the calendar it began with."""
    clock = row["clock"]
    limit = Limit(Decimal(clock["limit"]["amount"]), worktime.ClockKind(clock["limit"]["kind"]))
    spans = [(datetime.fromisoformat(a), datetime.fromisoformat(b) if b else None) for a, b in clock.get("pauses", [])]
    return limit, datetime.fromisoformat(clock["started_at"]), spans, pinned(tx, book, row, "calendar")
