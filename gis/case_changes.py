"""What a step changes on a case: state, clocks, people, links; and the facts its guard asks for.

Reads what only the town knows (departments, people, calendars); writes nothing.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from gis import assignment, case_clock, case_tasks, errors, people, worktime
from gis.assignment import Choice
from gis.case_rows import purpose_of
from gis.db import Connection
from gis.people import Caller
from gis.rulebook import Rulebook, calendar_of, pinned
from gis.search import ZONE
from gis.tables import attachment, case, case_event, department, staff
from gis.workflow import Action, Step
from gis.worktime import Calendar


def facts(
    tx: Connection, row: Mapping[str, Any], names: Collection[str], at: datetime, given: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """The case's row with those facts of ``names`` beside it that it does not hold: lateness, dispatch, photos, tasks.

    ``given`` counts the photos that a step brings itself, by purpose.
    """
    late = row["overdue_at"] is not None or case_clock.ran_out(row, at)
    found: dict[str, Any] = {**row, "overdue": late, "dispatched": row["dispatched_at"] is not None}
    if any(name.startswith("open_") for name in names):
        found |= case_tasks.open_counts(tx, row["id"])
    if any(name.endswith("_photos") for name in names):
        counts = tx.execute(
            select(attachment.c.purpose, func.count())
            .where(attachment.c.case_id == row["id"])
            .group_by(attachment.c.purpose)
        )
        kept = {purpose: int(n) for purpose, n in counts}
        for purpose in ("before", "after", "check"):
            found[f"{purpose}_photos"] = kept.get(purpose, 0) + (given or {}).get(purpose, 0)
    return found


def photos_asked(action: Action) -> set[str]:
    """The purposes of the photos that an action has fields for."""
    return {purpose_of(each.name) for each in action.fields if each.type == "photo"}


def photos_given(action: Action, payload: Mapping[str, Any]) -> dict[str, int]:
    """How many photos a payload brings, by purpose; it may still be wrong otherwise."""
    found: dict[str, int] = {}
    for each in action.fields:
        value = payload.get(each.name)
        if each.type == "photo" and isinstance(value, list):
            found[purpose_of(each.name)] = found.get(purpose_of(each.name), 0) + len(value)
    return found


def changes(
    tx: Connection, book: Rulebook, row: Mapping[str, Any], step: Step, caller: Caller, at: datetime
) -> dict[str, Any]:
    """What a step changes on the case, and ``assigned``: the inspector chosen, if one was.

    Raises what the values can be refused for: ``DepartmentUnknown``, ``NoDutyDepartment``, ``StaffUnknown``,
    ``DateRefused``, ``ConditionUnknown``, ``CaseNotFound``, ``MergeRefused``, ``BeyondCalendar``.
    """
    action, state = step.action, step.state
    found: dict[str, Any] = {}
    if not step.stays:
        calendar = calendar_of(tx, book, row)
        found = {"state": state.code, "stage": state.stage, "status": state.status, "awaits": list(state.owners)}
        found |= case_clock.stage_times(state.limit, at, calendar)
    found |= dict.fromkeys(action.clears)
    found |= dict.fromkeys(action.marks, at)
    if "overdue_at" in action.marks:
        found["clock"] = case_clock.late(row, at)
    target = row["department_code"]
    chosen = action.field("department")
    if chosen is not None:
        target = _department(tx, str(step.payload.get(chosen.name) or row["department_code"] or ""))
        found["department_code"] = target
    if action.clock != "none":
        found |= case_clock.turn(tx, book, row, action.clock, target, at, stopped="handled_at" in action.marks)
    found |= {name: row[name] + 1 for name in action.counts}
    found |= {"facts": {**row["facts"], **step.kept}} if step.kept else {}
    tags = action.field("tags")
    if tags is not None and tags.name in step.payload:
        found["tags"] = sorted(set(step.payload[tags.name]))
    check_values(tx, book, row, step, at)
    found |= _assign(tx, {**row, **found}, step, caller, at)
    helpers = case_tasks.holders(step, {**row, **found})
    check_departments(tx, helpers)
    joined = [*row["co_departments"], *(h for h in helpers if h != target)]
    if joined != row["co_departments"]:
        found["co_departments"] = list(dict.fromkeys(joined))
    if not step.stays:
        found["wake_at"] = wake_at(step, {**row, **found}, at, calendar)
    merged = action.field("case")
    if merged is not None and merged.name in step.payload:
        found["merged_into"] = _merged(tx, row, UUID(step.payload[merged.name]), caller)
    found["next_due_at"] = case_clock.next_due({**row, **found})
    return found


def moved(tx: Connection, book: Rulebook, row: Mapping[str, Any], step: Step) -> dict[str, Any]:
    """What coming to another version of a workflow changes: the state, and its times from when the case came there."""
    state, calendar = step.state, calendar_of(tx, book, row)
    entered = _entered(tx, row)
    found: dict[str, Any] = {"state": state.code, "stage": state.stage, "awaits": list(state.owners)}
    found |= case_clock.stage_times(state.limit, entered, calendar)
    found["wake_at"] = wake_at(step, row, entered, calendar)
    return found | {"next_due_at": case_clock.next_due({**row, **found})}


def _entered(tx: Connection, row: Mapping[str, Any]) -> datetime:
    """When the case came into its state."""
    came = case_event.c.from_state.is_distinct_from(case_event.c.to_state)
    last = (
        select(case_event.c.happened_at, case_event.c.payload["judged_at"].astext.label("judged_at"))
        .where(case_event.c.case_id == row["id"], came)
        .order_by(case_event.c.seq.desc())
        .limit(1)
    )
    event = tx.execute(last).one()
    judged: datetime = datetime.fromisoformat(event.judged_at) if event.judged_at else event.happened_at
    reported: datetime = row["reported_at"]
    return max(judged, reported)


def _assign(tx: Connection, row: Mapping[str, Any], step: Step, caller: Caller, at: datetime) -> dict[str, Any]:
    """Who is expected to act now: the one named, the best inspector, the caller, or nobody in particular."""
    named = step.action.field("staff")
    if named is not None and named.name in step.payload:
        wanted = UUID(step.payload[named.name])
        person = tx.execute(select(staff.c.name).where(staff.c.id == wanted, staff.c.active, ~staff.c.machine)).first()
        if person is None:
            raise errors.StaffUnknown(staff=str(wanted))
        roles = people.by_id(tx, wanted).roles_on({**row, "assignee_id": wanted})
        if roles.isdisjoint(step.state.owners or roles):
            zh, en = "此人不能办理这个案件", "This person cannot act on the case"
            raise errors.StaffUnknown(zh, en, staff=str(wanted), needs=list(step.state.owners))
        reasons = ({"zh": f"由{caller.name}指定", "en": f"Named by {caller.name}"},)
        return {"assignee_id": wanted, "assigned": Choice(wanted, person.name, reasons)}
    match step.action.assign:
        case "inspector":
            choice = assignment.choose(tx, row, at)
            return {"assignee_id": choice.id if choice else None} | ({"assigned": choice} if choice else {})
        case "caller":
            return {"assignee_id": caller.id}
        case "clear":
            return {"assignee_id": None}
    return {}


def wake_at(step: Step, row: Mapping[str, Any], at: datetime, calendar: Calendar) -> datetime | None:
    """When the timer of the state a step leads to runs out. Raises ``BeyondCalendar``."""
    timer = step.state.timer
    if timer is None:
        return None
    if timer.limit is not None:
        return worktime.due(at, timer.limit, calendar)
    told = step.payload.get(timer.field, row["facts"].get(timer.field))
    return _moment(str(told)) if told else None


def check_values(tx: Connection, book: Rulebook, row: Mapping[str, Any], step: Step, at: datetime) -> None:
    """What only the town knows of a step's values: how far a date may lie ahead, which conditions a category has.

    Raises ``DateRefused``, ``ConditionUnknown``.
    """
    for each in step.action.fields:
        value = step.payload.get(each.name)
        if value is None:
            continue
        if each.type == "date" and each.within is not None:
            moment = _moment(value)
            if not at < moment <= at + each.within:
                raise errors.DateRefused(field=each.name, value=value, days=each.within.days)
        if each.type == "closing_condition":
            standard = pinned(tx, book, row, "filing_standard")
            standard.condition(row["category_kind"], row["category_code"], value)


def _moment(text: str) -> datetime:
    """An ISO date (its last moment in the town) or time (the town's where it names no zone)."""
    moment = datetime.fromisoformat(text)
    if len(text) == 10:
        moment += timedelta(days=1)
    return moment if moment.tzinfo else moment.replace(tzinfo=ZONE)


def _merged(tx: Connection, row: Mapping[str, Any], into: UUID, caller: Caller) -> UUID:
    """The case to go on in this one's place, which must be another that is open and the caller's to see."""
    main = tx.execute(select(case).where(case.c.id == into)).first()
    if main is None or not caller.roles_on(dict(main._mapping)):
        raise errors.CaseNotFound(id=str(into))
    if main.id == row["id"] or main.status != "open":
        raise errors.MergeRefused(into=main.number, status=main.status)
    return into


def check_departments(tx: Connection, codes: Collection[str]) -> None:
    """Raises ``DepartmentUnknown`` for one that does not exist or is closed."""
    for code in codes:
        _department(tx, code)


def _department(tx: Connection, code: str) -> str:
    if not code:
        raise errors.NoDutyDepartment()
    if tx.execute(select(department.c.active).where(department.c.code == code)).scalar() is not True:
        raise errors.DepartmentUnknown(department=code)
    return code
