"""A draft of a workflow run on past cases: what would have gone the same way, what not, and who would have been late.

``replay`` is pure and knows one case's story; ``trial`` reads the stories. A replay follows the draft only: where the
past went another way than the draft would have, it stops and says why.
"""

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from typing import Any
from uuid import UUID

from sqlalchemy import select

from gis import errors, worktime
from gis.db import Connection
from gis.people import Caller
from gis.rulebook import rulebook
from gis.search import some, within
from gis.tables import attachment, case, case_event, case_task
from gis.workflow import COUNTERS, FACTS, MARKS, MIGRATE, TASKS, Action, Step, Workflow, begin, step
from gis.worktime import Calendar, Limit

# A trial reads at most so many cases, the newest: the question is whether a draft works, not how many there were.
MOST = 20_000
_AT_ONCE = 1000
# Facts of what there is of a case beside its row.
_OPEN = tuple(f"open_{kind}" for kind in sorted(TASKS))
_PHOTOS = {f"{purpose}_photos": purpose for purpose in ("before", "after", "check")}
DAYS = 366


@dataclass(frozen=True)
class Told:
    """One event of the past, as far as a workflow is concerned."""

    seq: int
    action: str
    from_state: str | None
    to_state: str
    role: str
    at: datetime
    payload: Mapping[str, Any]
    # Facts as they were when it was told that a replay does not follow itself: open tasks, photos.
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Deviation:
    """Where a past leaves the draft. ``kind`` is a refusal's code, ``leads_elsewhere`` or ``state_gone``.

    ``state`` is where the case stood in the past, ``detail`` the refusal's facts.
    """

    seq: int
    action: str
    state: str
    kind: str
    detail: Mapping[str, Any]


def replay(flow: Workflow, facts: Mapping[str, Any], story: Sequence[Told]) -> Deviation | None:
    """Take every step of a past in ``flow``; the first that goes otherwise, or None.

    ``facts`` are those that do not change while a case runs. What the past wrote and the draft no longer asks for is
    no deviation: nobody would have had to write it. A move to another version of the flow is taken as it was told.
    """
    known = dict.fromkeys(FACTS) | dict.fromkeys([*COUNTERS, *_OPEN, *_PHOTOS], 0) | dict(facts)
    known |= {"status": "open", "overdue": False, "dispatched": False, "facts": {}}
    for told in story:
        first = told.seq == 1
        known |= told.facts
        if not first and told.action == MIGRATE:
            if told.to_state not in flow.states:
                return Deviation(told.seq, told.action, told.to_state, "state_gone", {"state": told.to_state})
            known |= {"state": told.to_state}
            continue
        action = flow.start if first else flow.actions.get(told.action)
        payload = {} if action is None else _given(action, told)
        try:
            if first:
                taken = begin(flow, known, {told.role}, payload)
            else:
                taken = step(flow, known, told.action, {told.role}, payload)
        except errors.Problem as problem:
            return Deviation(told.seq, told.action, told.from_state or "", problem.code, problem.detail)
        if taken.state.code != told.to_state:
            detail = {"past": told.to_state, "draft": taken.state.code}
            return Deviation(told.seq, told.action, told.from_state or "", "leads_elsewhere", detail)
        known |= _after(known, taken, told)
    return None


def _given(action: Action, told: Told) -> dict[str, Any]:
    """What the draft asks for of what was given then."""
    asked = {f.name for f in action.fields}
    return {name: value for name, value in told.payload.items() if name in asked}


def _after(known: Mapping[str, Any], taken: Step, told: Told) -> dict[str, Any]:
    action = taken.action
    changed: dict[str, Any] = {"state": taken.state.code, "stage": taken.state.stage, "status": taken.state.status}
    changed |= dict.fromkeys(action.clears)
    changed |= dict.fromkeys(action.marks, told.at)
    changed |= {name: (known.get(name) or 0) + 1 for name in action.counts}
    changed["facts"] = {**known["facts"], **taken.kept}
    chosen = action.field("department")
    moved = taken.payload.get(chosen.name) if chosen else None
    changed["department_code"] = moved or known["department_code"]
    if "dispatched_at" in action.marks:
        changed["dispatched"] = True
    if "overdue_at" in action.marks:
        changed["overdue"] = True
    elif action.clock == "start" and changed["department_code"] != known.get("clocked"):
        # A clock begun anew is not overdue yet; one that goes on for the same department may be.
        changed |= {"overdue": False, "clocked": changed["department_code"]}
    return changed


# --- Many cases ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What became of one case in a trial. ``seen``: whether the caller may see it."""

    id: UUID
    seen: bool
    deviation: Deviation | None
    late: tuple[str, ...]


@dataclass
class _Stays:
    """How long cases stayed in one state."""

    hours: list[float] = field(default_factory=list)
    late: int = 0


@dataclass(frozen=True)
class Trial:
    """A draft's run on the cases reported since ``since``, newest first. ``cut``: there were more than ``MOST``."""

    since: datetime
    outcomes: tuple[Outcome, ...]
    cut: bool
    stays: Mapping[str, Mapping[str, Any]]

    def summary(self) -> dict[str, Any]:
        """Counts over all cases: ``{since, cases, same, deviating, unseen, late, cut, deviations[], states[]}``."""
        kinds = Counter((o.deviation.kind, o.deviation.action, o.deviation.state) for o in self.outcomes if o.deviation)
        return {
            "since": self.since.isoformat(),
            "cases": len(self.outcomes),
            "same": sum(o.deviation is None for o in self.outcomes),
            "deviating": sum(o.deviation is not None for o in self.outcomes),
            "unseen": sum(not o.seen for o in self.outcomes),
            "late": sum(bool(o.late) for o in self.outcomes),
            "cut": self.cut,
            "deviations": [
                {"kind": kind, "action": action, "state": state, "cases": n}
                for (kind, action, state), n in kinds.most_common(100)
            ],
            "states": [{"state": code} | dict(stay) for code, stay in self.stays.items()],
        }

    def page(self, tx: Connection, caller: Caller, kind: str, offset: int, limit: int) -> dict[str, Any]:
        """The visible cases that deviate (as ``kind`` with its action, ``kind:action``, if given): ``items, total``."""
        wanted = [o for o in self.outcomes if o.seen and o.deviation and _is(o.deviation, kind)]
        shown = wanted[offset : offset + limit]
        rows = {row.id: row for row in some(tx, caller, [o.id for o in shown])}
        return {
            "total": len(wanted),
            "items": [_line(rows[o.id], o) for o in shown if o.id in rows],
        }


def _is(deviation: Deviation, kind: str) -> bool:
    return not kind or kind in (deviation.kind, f"{deviation.kind}:{deviation.action}")


def _line(row: Any, outcome: Outcome) -> dict[str, Any]:
    deviation = outcome.deviation
    assert deviation is not None
    return {
        "id": str(row.id),
        "number": row.number,
        "description": row.description,
        "reported_at": row.reported_at.isoformat(),
        "seq": deviation.seq,
        "action": deviation.action,
        "state": deviation.state,
        "kind": deviation.kind,
        "detail": dict(deviation.detail),
    }


def trial(
    tx: Connection, caller: Caller, flow: Workflow, days: int, like: str = "", now: datetime | None = None
) -> Trial:
    """Run ``flow`` on the cases of the last ``days`` days that began in workflow ``like`` (default: its own code).

    All of them count, whoever may see them: the numbers name nobody; ``Outcome.seen`` says which may be shown.
    """
    since = (now or datetime.now(UTC)) - timedelta(days=days)
    calendar = rulebook(tx).calendar
    chosen = (
        select(case, within(caller.scope).label("seen"))
        .where(case.c.workflow == (like or flow.code), case.c.reported_at >= since)
        .order_by(case.c.reported_at.desc(), case.c.id.desc())
        .limit(MOST + 1)
    )
    rows = tx.execute(chosen).all()
    stays: dict[str, _Stays] = {}
    outcomes = []
    for row, story in _stories(tx, rows[:MOST]):
        late = tuple(dict.fromkeys(_stay(flow, story, calendar, stays)))
        outcomes.append(Outcome(row.id, bool(row.seen), replay(flow, _facts(row, story), story), late))
    return Trial(since, tuple(outcomes), len(rows) > MOST, _figures(flow, stays))


def _stories(tx: Connection, rows: Sequence[Any]) -> Iterator[tuple[Any, list[Told]]]:
    columns = (case_event.c[n] for n in ("case_id", "seq", "action", "from_state", "to_state", "role", "happened_at"))
    story = select(*columns, case_event.c.payload).order_by(case_event.c.case_id, case_event.c.seq)
    for begins in range(0, len(rows), _AT_ONCE):
        some_rows = rows[begins : begins + _AT_ONCE]
        ids = [row.id for row in some_rows]
        known = _known(tx, ids)
        events = tx.execute(story.where(case_event.c.case_id.in_(ids)))
        told = {
            case_id: [
                Told(e.seq, e.action, e.from_state, e.to_state, e.role, e.happened_at, e.payload, known(case_id, e.seq))
                for e in group
            ]
            for case_id, group in groupby(events, key=lambda e: e.case_id)
        }
        for row in some_rows:
            yield row, told.get(row.id, [])


def _known(tx: Connection, ids: Sequence[UUID]) -> Callable[[UUID, int], dict[str, int]]:
    """How many tasks were open before an event of a case, and how many photos there were with it."""
    tasks: dict[UUID, list[Any]] = {}
    span = (case_task.c[n] for n in ("case_id", "kind", "opened_seq", "closed_seq"))
    for row in tx.execute(select(*span).where(case_task.c.case_id.in_(ids))):
        tasks.setdefault(row.case_id, []).append(row)
    photos: dict[UUID, list[Any]] = {}
    shown = select(attachment.c.case_id, attachment.c.purpose, attachment.c.seq)
    for row in tx.execute(shown.where(attachment.c.case_id.in_(ids))):
        photos.setdefault(row.case_id, []).append(row)

    def at(case_id: UUID, seq: int) -> dict[str, int]:
        found = dict.fromkeys(_OPEN, 0)
        for task in tasks.get(case_id, ()):
            found[f"open_{task.kind}"] += task.opened_seq < seq and (task.closed_seq or seq) >= seq
        for name, purpose in _PHOTOS.items():
            found[name] = sum(p.purpose == purpose and p.seq <= seq for p in photos.get(case_id, ()))
        return found

    return at


def _facts(row: Any, story: Sequence[Told]) -> dict[str, Any]:
    """What a guard may name and a replay does not follow itself: as the case is now; its department as it began."""
    of = row._mapping
    facts = {name: of[name] for name in FACTS - COUNTERS - MARKS if name in of}
    return facts | {"department_code": story[0].payload.get("department") if story else None}


def _stay(flow: Workflow, story: Sequence[Told], calendar: Calendar, stays: dict[str, _Stays]) -> Iterator[str]:
    """Note how long the case stayed in each state; the states in which the draft's limit would have passed."""
    begun = story[0].at if story else None
    for told, following in pairwise(story):
        if following.to_state == told.to_state:
            continue  # a step that stays: the stay goes on
        assert begun is not None
        stay = stays.setdefault(told.to_state, _Stays())
        stay.hours.append((following.at - begun) / timedelta(hours=1))
        state = flow.states.get(told.to_state)
        if state is not None and state.limit is not None and following.at > _due(begun, state.limit, calendar):
            stay.late += 1
            yield state.code
        begun = following.at


def _due(begun: datetime, limit: Limit, calendar: Calendar) -> datetime:
    try:
        due = worktime.due(begun, limit, calendar)
    except errors.BeyondCalendar:  # a past the calendar does not know is late by no rule
        due = None
    return due or datetime.max.replace(tzinfo=UTC)


def _figures(flow: Workflow, stays: Mapping[str, _Stays]) -> dict[str, dict[str, Any]]:
    """Per state of the past: ``{stays, median_hours, p90_hours, late, limit (words or null), in_draft}``."""
    found = {}
    for code, stay in sorted(stays.items(), key=lambda s: -len(s[1].hours)):
        hours = sorted(stay.hours)
        state = flow.states.get(code)
        found[code] = {
            "stays": len(hours),
            "median_hours": round(statistics.median(hours), 2),
            "p90_hours": round(hours[min(len(hours) - 1, int(len(hours) * 0.9))], 2),
            "late": stay.late,
            "limited": state is not None and state.limit is not None,
            "in_draft": state is not None,
        }
    return found
