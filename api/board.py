"""The leader's board: what is late, where and whose; what waits longest; what the centre leaves open. Scans nothing.

Every figure is counted from the point store or the roll-up, and names the filter of the list behind it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter

from api import case_views, live
from api.access import Tx, allow
from api.centre import handover_of
from api.shifts import gap_of
from gis import board as leaders
from gis import handovers, register, shifts, statistics
from gis.people import Caller
from gis.rulebook import rulebook
from gis.search import ZONE, CaseFilter

router = APIRouter(tags=["board"])
LONGEST = 12
RANKED_DAYS = 30
#: The lists of the board: each a filter, divided where the board says by whom and where.
LISTS: Mapping[str, Mapping[str, str]] = {
    "open": {"status": "open"},
    "late": {"status": "open", "handling_light": "red"},
    "stage_late": {"status": "open", "stage_light": "red"},
    "soon": {"status": "open", "light": "yellow"},
    "urged": {"status": "open", "urged": "true"},
    "supervised": {"status": "open", "supervised": "true"},
    "whistles": {"status": "open", "kind": "whistle"},
}
FACETS = ("department", "village", "stage")


@router.get("/api/board")
def board(caller: Annotated[Caller, allow("statistics.view")], tx: Tx) -> dict[str, Any]:
    """Open, late and soon late by department, village and stage; longest waiting; ranking; the centre's gaps."""
    now = datetime.now(UTC)
    lists = {}
    for code, query in LISTS.items():
        told = live.count(caller, CaseFilter.parse(query), FACETS)
        lists[code] = {"filter": dict(query), "n": told["total"], "by": told["facets"]}
    late = leaders.latest(tx, caller, now, LONGEST)
    book = rulebook(tx)
    found = {
        "at": now,
        "lists": lists,
        "longest": [case_views.item(tx, book, row, now) for row in late],
        "unanswered": {
            "counts": leaders.unanswered(tx, caller, now),
            "oldest": [dict(row._mapping) for row in leaders.oldest_unanswered(tx, caller, LONGEST)],
        },
        "ranking": _ranking(tx, caller, now),
        "names": {
            "department": {d["code"]: d["name"] for d in register.departments(tx)},
            "village": {v.code: v.short_name for v in register.villages(tx)},
        },
    }
    if "shift.work" in caller.permissions and caller.scope.everything:
        found["centre"] = _centre(tx, now)
    return found


def _ranking(tx: Tx, caller: Caller, now: datetime) -> dict[str, Any]:
    """Departments by share handled on time over the last days, the worst first; who handled nothing has no share."""
    until = now.astimezone(ZONE).date()
    since = until - timedelta(days=RANKED_DAYS - 1)
    figures = statistics.statistics(
        tx, caller, measures=("handled", "on_time", "overdue"), by="department", since=since, until=until
    )
    rows = [
        {"code": row.key, "name": row.name, **row.values}
        | {"rate": statistics.rate(row.values["on_time"], row.values["handled"])}
        for row in figures.rows
        if row.key
    ]
    rows.sort(key=lambda row: (row["rate"] is None, row["rate"], -row["overdue"], row["code"]))
    return {"since": since, "until": until, "rows": rows}


def _centre(tx: Tx, now: datetime) -> dict[str, Any]:
    """Hand-overs nobody has signed, posts unmanned at this moment, how many stand on each post."""
    standing: dict[str, int] = {}
    for row in shifts.on_duty(tx, now):
        standing[row.role] = standing.get(row.role, 0) + 1
    return {
        "unsigned": [handover_of(one) | {"content": None} for one in handovers.unsigned(tx)],
        "gaps": unmanned(tx, now),
        "on_duty": standing,
    }


def unmanned(tx: Tx, now: datetime) -> list[dict[str, Any]]:
    """The posts that nobody stands on at this moment."""
    today = now.astimezone(ZONE).date()
    names = shifts.grid_names(tx)
    return [gap_of(gap, names) for gap in shifts.stretch(tx, today, today, now).gaps if gap.starts_at <= now]
