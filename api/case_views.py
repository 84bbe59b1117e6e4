"""How cases look from outside: the JSON of an item, of a whole case, of a receipt. Decides nothing."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from gis import case_changes, case_clock, case_tasks, definitions, errors, register, worktime
from gis.case_report import Receipt
from gis.db import Connection
from gis.people import Caller
from gis.rulebook import Rulebook, flow_of, pinned
from gis.workflow import MIGRATE, Action, Field, Label, Workflow, available, blocked

_WORSE = ("none", "green", "yellow", "red")


def light_of(row: Mapping[str, Any], now: datetime) -> str:
    """green, yellow, red or none: the same rule as ``gis.search.light``, the worse of the two clocks."""
    return max(handling_light_of(row, now), stage_light_of(row, now), key=_WORSE.index)


def handling_light_of(row: Mapping[str, Any], now: datetime) -> str:
    """green, yellow, red or none: the same rule as ``gis.search.handling_light``."""
    if row["status"] != "open" or row["due_at"] is None:
        return "none"
    return _lit(row["due_at"], row["yellow_at"], row["handled_at"] or now)


def stage_light_of(row: Mapping[str, Any], now: datetime) -> str:
    """green, yellow, red or none: the same rule as ``gis.search.stage_light``."""
    if row["status"] != "open" or row["stage_due_at"] is None:
        return "none"
    return _lit(row["stage_due_at"], row["stage_yellow_at"], now)


def _lit(due: datetime, yellow: datetime | None, moment: datetime) -> str:
    if due < moment:
        return "red"
    return "yellow" if yellow is not None and yellow <= moment else "green"


def item(tx: Connection, book: Rulebook, row: Any, now: datetime) -> dict[str, Any]:
    """A case in a list. ``row`` comes from ``gis.search.named``."""
    of = row._mapping
    state = flow_of(tx, book, of).states[of["state"]]
    return {
        "id": str(of["id"]),
        "number": of["number"],
        "kind": of["kind"],
        "channel": of["channel"],
        "category": category_of(book, of),
        "description": of["description"],
        "address": of["address"],
        "lon": of["lon"],
        "lat": of["lat"],
        "village": {"code": of["village_code"], "name": of["village_name"] or of["village_code"]},
        "unit_grid_code": of["unit_grid_code"],
        "duty_grid_code": of["duty_grid_code"],
        "area_class": of["area_class"],
        "department": _department(of),
        "state": of["state"],
        "state_name": dict(state.name),
        "stage": of["stage"],
        "status": of["status"],
        "severity": of["severity"],
        "light": light_of(of, now),
        "component_code": of["component_code"],
        "reported_at": _iso(of["reported_at"]),
        "due_at": _iso(of["due_at"]),
        "closed_at": _iso(of["closed_at"]),
        "remaining": _remaining(tx, book, of, now),
        "stage_due_at": _iso(of["stage_due_at"]),
        "stage_remaining": _stage_remaining(of, now),
        "stage_light": stage_light_of(of, now),
        "handling_light": handling_light_of(of, now),
        "next_due_at": _iso(of["next_due_at"]),
        "awaits": of["awaits"],
        "tags": of["tags"],
        "tag_names": [_tag_name(book, tag) for tag in of["tags"]],
        "assignee": _person(of["assignee_id"], of["assignee_name"]),
        "rework_count": of["rework_count"],
        "urge_count": of["urge_count"],
        "supervised": of["supervised_at"] is not None,
        "exempted": of["exempted_at"] is not None,
        "merged_into": str(of["merged_into"]) if of["merged_into"] else None,
        "seq": of["seq"],
    }


def detail(
    tx: Connection,
    book: Rulebook,
    row: Any,
    events: Sequence[Any],
    attachments: Sequence[Any],
    caller: Caller,
    now: datetime,
) -> dict[str, Any]:
    """A whole case: its item, its story, its clock, and what the caller can do with it now."""
    of = row._mapping
    flow = flow_of(tx, book, of)
    names = {code: dict(action.name) for code, action in flow.actions.items()}
    names[flow.start.code] = dict(flow.start.name)
    names |= _earlier_names(tx, events) | names
    doable = available(flow, of, caller.roles_on(of)) if "case.act" in caller.permissions else []
    guarded = {name for action in doable for name in action.guard_names}
    known = case_changes.facts(tx, of, guarded, now)
    hindrances = {a.code: _hindrance(a, known) for a in doable}
    now_doable = [a for a in doable if hindrances[a.code] is None]
    return item(tx, book, row, now) | {
        "query_code": of["query_code"] if _hands_out(of, caller) else None,
        "co_departments": of["co_departments"],
        "routing": of["routing"],
        "clock": dict(of["clock"])
        | {
            "due_at": _iso(of["due_at"]),
            "yellow_at": _iso(of["yellow_at"]),
            "used_share": _used_share(tx, book, of, now),
        },
        "workflow": {"code": of["workflow"], "version": of["workflow_version"]},
        "versions": of["versions"],
        "reporter": of["reporter_name"] or ("市民" if of["reporter_id"] is None else ""),
        "simulated": of["simulated"],
        "return_count": of["return_count"],
        "extension_count": of["extension_count"],
        "appeal_count": of["appeal_count"],
        "extra": of["extra"],
        "facts": of["facts"],
        "timer": _timer(flow, of),
        "tasks": [_task(task, caller, now_doable) for task in case_tasks.of_case(tx, of["id"])],
        "links": [_link(tx, book, link) for link in register.links(tx, caller, of)],
        "codes": [{"channel": r.channel, "code": r.code} for r in register.codes(tx, of["id"])],
        "closing_conditions": _closing_conditions(tx, book, of),
        "events": [_event(e, names) for e in events],
        "actions": [action(a, hindrances[a.code]) for a in doable],
        "attachments": [
            {
                "sha256": a.sha256.hex(),
                "purpose": a.purpose,
                "mime": a.mime,
                "seq": a.seq,
                "url": f"/api/media/{a.sha256.hex()}?case={of['id']}",
            }
            for a in attachments
        ],
    }


def _hands_out(of: Mapping[str, Any], caller: Caller) -> bool:
    """Whether the caller may read out the query code: with it anybody answers and rates in the reporter's place."""
    mine = caller.id is not None and caller.id == of["reporter_id"]
    return mine or "personal.unmask" in caller.permissions


def _hindrance(doable: Action, known: Mapping[str, Any]) -> Label | None:
    """Why an action can not be done now whatever is entered: photos that it asks for itself may be what is missing."""
    brings = {f"{purpose}_photos" for purpose in case_changes.photos_asked(doable)}
    return blocked(doable, known) if brings.isdisjoint(doable.guard_names) else None


def receipt(made: Receipt) -> dict[str, Any]:
    """What the sender of a report gets."""
    owner = {"code": made.department_code, "name": made.department_name or made.department_code}
    return {
        "id": str(made.id),
        "number": made.number,
        "query_code": made.query_code,
        "seq": made.seq,
        "hash": made.hash.hex(),
        "department": owner if made.department_code else None,
        "unit_grid_code": made.unit_grid_code,
        "duplicate": made.duplicate,
    }


def _earlier_names(tx: Connection, events: Sequence[Any]) -> dict[str, dict[str, str]]:
    """What actions were called in the versions a case ran by before it was moved, and the move itself."""
    found = {}
    for event in events:
        if event.action == MIGRATE:
            source = event.payload["source"]
            flow = definitions.version(tx, "workflow", source["workflow"], source["version"]).parsed
            found |= {code: dict(action.name) for code, action in flow.actions.items()}
            found[MIGRATE] = {"zh": "迁移到新流程", "en": "Moved to another workflow version"}
    return found


def category_of(book: Rulebook, of: Mapping[str, Any]) -> dict[str, str]:
    """A case's category with its names; its code where its catalogue is in force no more."""
    kind, code = of["category_kind"], of["category_code"]
    name, group_code, group_name = book.category_names(of["catalogue"], kind, code)
    names = {"name": name, "group_code": group_code, "group_name": group_name}
    return {"catalogue": of["catalogue"], "kind": kind, "code": code} | names


def _tag_name(book: Rulebook, tag: str) -> dict[str, str]:
    known = book.campaigns.get(tag)
    return dict(known.name) if known else {"zh": tag, "en": tag}


def _department(of: Mapping[str, Any]) -> dict[str, str] | None:
    code = of["department_code"]
    return {"code": code, "name": of["department_name"] or code} if code else None


def _remaining(tx: Connection, book: Rulebook, of: Mapping[str, Any], now: datetime) -> dict[str, str] | None:
    if of["status"] != "open" or of["due_at"] is None:
        return None
    limit, started, pauses, calendar = case_clock.read(tx, book, of)
    try:
        left = worktime.remaining(started, of["handled_at"] or now, limit, calendar, pauses)
    except errors.BeyondCalendar:
        return None
    return worktime.describe(left, limit.kind, calendar.day_length)


def _stage_remaining(of: Mapping[str, Any], now: datetime) -> dict[str, str] | None:
    """What is left of the stage's limit, or how long it has passed: natural time, two units at most, rounded down."""
    if of["status"] != "open" or of["stage_due_at"] is None:
        return None
    left = of["stage_due_at"] - now
    minutes = int(abs(left).total_seconds() // 60)
    days, hours, rest = minutes // 1440, minutes % 1440 // 60, minutes % 60
    units = [(days, "天", "d"), (hours, "小时", "h"), (0 if days else rest, "分钟", "min")]
    told = [one for one in units if one[0]] or [(0, "分钟", "min")]
    zh = " ".join(f"{n} {unit}" for n, unit, _ in told)
    en = " ".join(f"{n} {unit}" for n, _, unit in told)
    late = left < timedelta(0)
    return {"zh": f"{'超' if late else '剩'} {zh}", "en": f"{en} {'over' if late else 'left'}"}


def _used_share(tx: Connection, book: Rulebook, of: Mapping[str, Any], now: datetime) -> float | None:
    """The counted time used, as a share of the limit: 1 when it is due, more when late; None where no clock runs."""
    if not of["clock"].get("started_at"):
        return None
    limit, started, pauses, calendar = case_clock.read(tx, book, of)
    end = of["handled_at"] or of["closed_at"] or of["voided_at"] or now
    try:
        used = worktime.elapsed(started, end, limit.kind, calendar, pauses)
    except errors.BeyondCalendar:
        return None
    return round(used / worktime.total(limit, calendar), 4)


def _event(event: Any, names: Mapping[str, dict[str, str]]) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "action": event.action,
        "action_name": names.get(event.action, {"zh": event.action, "en": event.action}),
        "from_state": event.from_state,
        "to_state": event.to_state,
        "actor": event.actor,
        "role": event.role,
        "happened_at": _iso(event.happened_at),
        "recorded_at": _iso(event.recorded_at),
        "payload": event.payload,
        "hash": event.hash.hex(),
    }


def action(of: Action, block: Label | None = None) -> dict[str, Any]:
    """Something that can be done with a case, what it asks for, and why its guard refuses it, if it does."""
    return {
        "action": of.code,
        "name": dict(of.name),
        "primary": of.primary,
        "bulk": of.bulk,
        "to_state": of.target,
        "effect": dict(of.effect),
        "answers": sorted({ended.kind for ended in of.closes}) if of.target == "=" else [],
        "blocked": dict(block) if block else None,
        "fields": [_field(f) for f in of.fields],
    }


def _field(field: Field) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": field.name,
        "type": field.type,
        "required": field.required,
        "label": dict(field.label),
    }
    if field.choices:
        found["choices"] = list(field.choices)
    if field.choice_names:
        found["choice_names"] = {code: dict(name) for code, name in field.choice_names.items()}
    if field.within is not None:
        found["within_days"] = field.within.days
    return found


def _timer(flow: Workflow, of: Mapping[str, Any]) -> dict[str, Any] | None:
    timer = flow.states[of["state"]].timer
    if timer is None or of["wake_at"] is None:
        return None
    action = flow.actions[timer.action]
    return {"at": _iso(of["wake_at"]), "action": action.code, "name": dict(action.name)}


def _task(task: Mapping[str, Any], caller: Caller, doable: Sequence[Action]) -> dict[str, Any]:
    return {
        "id": str(task["id"]),
        "kind": task["kind"],
        "kind_name": dict(case_tasks.NAMES[task["kind"]]),
        "state": task["state"],
        "department": _department(task),
        "assignee": _person(task["assignee_id"], task["assignee_name"]),
        "note": task["note"],
        "opened_at": _iso(task["opened_at"]),
        "due_at": _iso(task["due_at"]),
        "closed_at": _iso(task["closed_at"]),
        "result": task["result"],
        "mine": case_tasks.is_mine(task, caller),
        "actions": [a.code for a in doable if case_tasks.ends(a, task, caller)],
    }


def _link(tx: Connection, book: Rulebook, link: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kind": link["link"],
        "id": str(link["id"]),
        "number": link["number"],
        "case_kind": link["kind"],
        "state_name": dict(flow_of(tx, book, link).states[link["state"]].name),
        "department": _department(link),
    }


def _closing_conditions(tx: Connection, book: Rulebook, of: Mapping[str, Any]) -> list[dict[str, str]]:
    try:
        rows = pinned(tx, book, of, "filing_standard").conditions(of["category_kind"], of["category_code"])
    except errors.CategoryUnknown:
        return []
    return [{"code": row.code, "text": row.text, "closing": row.closing} for row in rows]


def _person(staff_id: Any, name: str | None) -> dict[str, str] | None:
    return {"id": str(staff_id), "name": name or ""} if staff_id else None


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
