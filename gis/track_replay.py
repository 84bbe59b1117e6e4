"""The clock turned back: where several people were, and how the cases stood then, in one compact answer.

Cases are those the caller may see; their state is what their events had made of it by then, their light what today's
clock says of that moment.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, or_, select

from gis import definitions, patrol, track_days, track_looks, track_rules
from gis.db import Connection
from gis.errors import Malformed, SpanRefused
from gis.people import Caller
from gis.search import visible_cases
from gis.tables import case_event
from gis.track_days import Day, bounds
from gis.track_intake import ZONE
from gis.track_looks import Look

LONGEST = timedelta(hours=24)
MOST_PEOPLE, MOST_CASES = 40, 3000

State = Mapping[str, str]


def replay(
    tx: Connection,
    caller: Caller,
    inspectors: Sequence[UUID],
    since: datetime,
    until: datetime,
    why: str = "",
    note: str = "",
) -> dict[str, Any]:
    """People and cases from ``since`` to ``until``; every look at a person's day is recorded. Moments count from since.

    Raises ``SpanRefused`` for more than a day, ``Malformed`` for too many people, and what a look raises.
    """
    if not timedelta(0) < until - since <= LONGEST:
        raise SpanRefused(since=since.isoformat(), until=until.isoformat(), longest_h=24)
    if len(inspectors) > MOST_PEOPLE:
        raise Malformed(field="people", most=MOST_PEOPLE)
    rule = track_rules.in_force(tx)
    first, last = since.astimezone(ZONE).date(), (until - timedelta(microseconds=1)).astimezone(ZONE).date()
    people = []
    for inspector_id in dict.fromkeys(inspectors):
        seen = [track_looks.look(tx, caller, inspector_id, day, "replay", why, note) for day in sorted({first, last})]
        # Cleaned as whole days, so that a fix is judged here as it is in the history.
        found = track_days.read(tx, inspector_id, rule, bounds(first)[0], bounds(last)[1])
        people.append(_person(seen[0], found, since.timestamp(), until.timestamp(), rule.keeping.coarse_m))
    return {"since": since, "until": until, "people": people} | cases(tx, caller, since, until)


def _person(seen: Look, found: Day, since: float, until: float, coarse_m: float) -> dict[str, Any]:
    """Places in order: seconds, and millionths of a degree, each as the difference to the one before (``packed``).

    ``breaks`` are the places after which nothing is known until the next.
    """
    track = found.track
    inside = [s[(track.at[s] >= since) & (track.at[s] < until)] for s in found.path.segments]
    inside = [segment for segment in inside if segment.size]
    chosen = np.concatenate([np.empty(0, np.intp), *inside])
    exact = seen.exact and not found.coarse
    lon, lat = track.lon[chosen], track.lat[chosen]
    if not exact and chosen.size:
        _, lon, lat = patrol.coarse_cells(lon, lat, coarse_m)
    return {
        "id": seen.id,
        "name": seen.name,
        "exact": exact,
        "at": packed(track.at[chosen] - since),
        "lon": packed(lon * 1e6),
        "lat": packed(lat * 1e6),
        "breaks": (np.cumsum([segment.size for segment in inside]) - 1).tolist(),
    }


def packed(values: Any) -> list[int]:
    """Whole numbers, each as what it is more than the one before."""
    whole: NDArray[np.int64] = np.round(np.asarray(values, np.float64)).astype(np.int64)
    found: list[int] = np.diff(whole, prepend=0).tolist()
    return found


def cases(tx: Connection, caller: Caller, since: datetime, until: datetime) -> dict[str, Any]:
    """The visible cases that were open at some time of the span, the newest ``MOST_CASES``; ``more`` were left out.

    ``marks`` are [second, mark, place in ``states``] from the first moment of the span (0) or the report on. Without
    the right to see cases there are none.
    """
    if "case.view" not in caller.permissions:
        return {"cases": [], "states": [], "more": 0}
    own = visible_cases(caller).subquery()
    then = select(own).where(
        own.c.reported_at < until,
        or_(own.c.closed_at.is_(None), own.c.closed_at >= since),
        or_(own.c.voided_at.is_(None), own.c.voided_at >= since),
    )
    total = tx.execute(select(func.count()).select_from(then.subquery())).scalar_one()
    rows = tx.execute(then.order_by(own.c.reported_at.desc(), own.c.id).limit(MOST_CASES)).all()
    events: dict[UUID, list[tuple[datetime, str]]] = {}
    for case_id, at, state in tx.execute(
        select(case_event.c.case_id, case_event.c.happened_at, case_event.c.to_state)
        .where(case_event.c.case_id.in_([row.id for row in rows]), case_event.c.happened_at < until)
        .order_by(case_event.c.case_id, case_event.c.seq)
    ):
        events.setdefault(case_id, []).append((at, state))
    states: list[State] = []
    number: dict[tuple[str, int, str], int] = {}
    told = []
    for row in rows:
        flow = definitions.version(tx, "workflow", row.workflow, row.workflow_version).parsed
        steps = []
        for at, state in events.get(row.id, ()):
            key = (row.workflow, row.workflow_version, state)
            if key not in number:
                number[key] = len(states)
                states.append(_state(flow.states.get(state), state))
            steps.append((at, number[key]))
        told.append(
            {
                "id": row.id,
                "number": row.number,
                "category": f"{row.category_kind}:{row.category_code}",
                "lon": round(row.lon, 6),
                "lat": round(row.lat, 6),
                "marks": marks(row, steps, states, since, until),
            }
        )
    return {"cases": told, "states": [dict(one) for one in states], "more": total - len(rows)}


def _state(state: Any, code: str) -> State:
    if state is None:  # the case was moved to a workflow that has it no more
        return {"code": code, "zh": code, "en": code, "stage": "", "status": "open"}
    return {"code": code, "zh": state.name["zh"], "en": state.name["en"], "stage": state.stage, "status": state.status}


def marks(
    row: Any, steps: Sequence[tuple[datetime, int]], states: Sequence[State], since: datetime, until: datetime
) -> list[tuple[int, str, int]]:
    """When a case's mark or state changed within the span, as (second, mark, state), the first at its beginning.

    An event told later than the one after it counts from that one on: the order of events is the case's own.
    """
    turns = [at for at, _ in steps] + [at for at in (row.yellow_at, row.handled_at) if at is not None]
    if row.due_at is not None:
        turns.append(row.due_at + timedelta(microseconds=1))  # at its last moment a case is not late yet
    moments = sorted({min(max(at, since), until) for at in turns} | {since})
    found: list[tuple[int, str, int]] = []
    for moment in moments:
        state = -1
        for at, one in steps:
            if at > moment:
                break
            state = one
        if state < 0 or moment >= until:
            continue
        now = (mark(row, states[state], moment), state)
        if not found or found[-1][1:] != now:
            found.append((round((moment - since).total_seconds()), *now))
    return found


def mark(row: Any, state: State, moment: datetime) -> str:
    """The mark of a case in that state at that moment, as the pages draw it (layers/web/src/shared/lights.ts)."""
    if state["status"] != "open":
        return "done"
    if row.kind == "whistle":
        return "whistle"
    stopped = row.handled_at if row.handled_at is not None and row.handled_at <= moment else moment
    if row.due_at is not None and row.due_at < stopped:
        return "late"
    if row.due_at is not None and row.yellow_at is not None and row.yellow_at <= stopped:
        return "soon"
    if row.due_at is None or state["stage"] in ("report", "acceptance"):
        return "new"
    return "onTime"
