"""How a workflow definition becomes a checked workflow. Pure; whatever is wrong is named with its place."""

import ast
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from gis import errors
from gis.workflow import (
    ASSIGNMENTS,
    CLOCK_EFFECTS,
    COUNTERS,
    FACTS,
    FIELD_TYPES,
    MARKS,
    RESERVED,
    ROLES,
    STAGES,
    STATUSES,
    STAY,
    TASK_HOLDERS,
    TASKS,
    Action,
    Closes,
    Field,
    Label,
    Opens,
    State,
    Timer,
    Workflow,
)
from gis.worktime import Limit

_STATE_KEYS: Final = {"name", "stage", "status", "limit", "limit_minutes", "owners", "timer"}
_ACTION_KEYS: Final = {
    *("code", "name", "effect", "from", "to", "roles", "fields", "guard", "guard_words", "clock", "marks", "clears"),
    *("counts", "assign", "opens", "closes", "primary", "hidden", "bulk"),
}
_FIELD_KEYS: Final = {"name", "type", "required", "label", "choices", "keep", "within_days"}
# Fields whose values need an engine to give them a meaning: one such an action at most.
_SINGLE: Final = ("department", "staff", "case", "closing_condition", "tags", "scores")


def parse(body: Mapping[str, Any]) -> Workflow:
    """Check a workflow body completely and return it. Raises ``DefinitionBad`` naming the place and the fault."""
    raw_states = body["states"]
    states = {code: _state(code, raw) for code, raw in raw_states.items()}
    actions: dict[str, Action] = {}
    kept = _kept_names(body)
    for index, raw in enumerate(body["actions"]):
        action = _action(raw, f"actions[{index}]", states, kept)
        if action.code in actions:
            raise errors.DefinitionBad(where=f"actions[{index}]", why=f"action {action.code} is defined twice")
        actions[action.code] = action
    start = _action({**body["start"], "from": []}, "start", states, kept)
    if start.target == STAY:
        raise errors.DefinitionBad(where="start", why="reporting needs a state to lead to")
    states = {
        code: replace(state, owners=_owners(code, raw_states[code], actions.values())) for code, state in states.items()
    }
    workflow = Workflow(body["code"], body["name"], states, start, actions, _allowance(body))
    _check_graph(workflow)
    _check_timers(workflow)
    _check_clock(workflow)
    return workflow


def _state(code: str, raw: Mapping[str, Any]) -> State:
    where = f"states.{code}"
    _known(raw, _STATE_KEYS, where, "key")
    if raw.get("stage") not in STAGES:
        raise errors.DefinitionBad(where=where, why=f"stage must be one of {', '.join(STAGES)}")
    if raw.get("status", "open") not in STATUSES:
        raise errors.DefinitionBad(where=where, why=f"status must be one of {', '.join(STATUSES)}")
    minutes = raw.get("limit_minutes")
    if minutes is not None and not (isinstance(minutes, int | float) and minutes > 0):
        raise errors.DefinitionBad(where=where, why="limit_minutes must be a positive number")
    if minutes is not None and "limit" in raw:
        raise errors.DefinitionBad(where=where, why="either limit or limit_minutes")
    limit = Limit.parse(f"{minutes} minutes") if minutes is not None else _limit(raw, where)
    return State(
        code, _label(raw, where), raw["stage"], raw.get("status", "open"), limit, timer=_timer(raw.get("timer"), where)
    )


def _limit(raw: Mapping[str, Any], where: str) -> Limit | None:
    if raw.get("limit") is None:
        return None
    try:
        return Limit.parse(raw["limit"])
    except errors.DefinitionBad as problem:
        raise errors.DefinitionBad(**{**problem.detail, "where": f"{where}.limit"}) from problem


def _timer(raw: Any, where: str) -> Timer | None:
    if raw is None:
        return None
    _known(raw, {"limit", "field", "action"}, f"{where}.timer", "key")
    limit = _limit(raw, f"{where}.timer")
    if (limit is None) == (not raw.get("field")):
        raise errors.DefinitionBad(where=f"{where}.timer", why="a timer has either a limit or the field of a date")
    return Timer(str(raw["action"]), limit, str(raw.get("field", "")))


def _owners(code: str, raw: Mapping[str, Any], actions: Collection[Action]) -> tuple[str, ...]:
    """Whose to-do a state is: as said, else the roles of its primary actions, else of all people's actions."""
    if "owners" in raw:
        _known(raw["owners"], ROLES, f"states.{code}.owners", "role")
        return tuple(sorted(raw["owners"]))
    if raw.get("status", "open") != "open":
        return ()
    leaving = [a for a in actions if code in a.sources and not a.hidden and a.target != STAY]
    chosen = [a for a in leaving if a.primary] or leaving
    return tuple(sorted({role for a in chosen for role in a.roles} - {"system"}))


def _allowance(body: Mapping[str, Any]) -> timedelta:
    minutes = body.get("offline_minutes", 30)
    if not (isinstance(minutes, int | float) and 0 <= minutes <= 7 * 24 * 60):
        raise errors.DefinitionBad(where="offline_minutes", why="offline_minutes must be from 0 to 10080, a week")
    return timedelta(minutes=minutes)


def _label(raw: Mapping[str, Any], where: str, key: str = "name") -> Label:
    label = raw.get(key)
    if not isinstance(label, Mapping) or not label.get("zh") or not label.get("en"):
        raise errors.DefinitionBad(where=where, why=f"{key} needs zh and en")
    return dict(label)


def _kept_names(body: Mapping[str, Any]) -> frozenset[str]:
    every = [body["start"], *body["actions"]]
    return frozenset(str(f["name"]) for raw in every for f in raw.get("fields", ()) if f.get("keep"))


def _action(raw: Mapping[str, Any], where: str, states: Mapping[str, State], kept: frozenset[str]) -> Action:
    _known(raw, _ACTION_KEYS, where, "key")
    sources, target = frozenset(raw["from"]), raw["to"]
    _known([*sources, *([] if target == STAY else [target])], states, where, "state")
    roles = frozenset(raw["roles"])
    _known(roles, ROLES, where, "role")
    if not roles:
        raise errors.DefinitionBad(where=where, why="an action needs at least one role")
    marks, clears, counts = (tuple(raw.get(key, ())) for key in ("marks", "clears", "counts"))
    _known([*marks, *clears], MARKS, where, "mark")
    _known(counts, COUNTERS, where, "counter")
    _known([raw.get("clock", "none")], CLOCK_EFFECTS, where, "clock effect")
    _known([raw.get("assign", "")], ASSIGNMENTS, where, "assignment")
    fields = tuple(_field(f, f"{where}.fields[{i}]") for i, f in enumerate(raw.get("fields", ())))
    _check_fields(fields, where)
    guard = str(raw.get("guard", ""))
    names = _guard_names(guard, {f.name for f in fields} | kept, where)
    return Action(
        code=raw["code"],
        name=_label(raw, where),
        effect=_label(raw, where, "effect"),
        sources=sources,
        target=target,
        roles=roles,
        fields=fields,
        guard=guard,
        guard_words=_label(raw, where, "guard_words") if "guard_words" in raw else None,
        guard_names=names,
        clock=raw.get("clock", "none"),
        marks=marks,
        clears=clears,
        counts=counts,
        assign=raw.get("assign", ""),
        opens=tuple(_opens(o, fields, f"{where}.opens[{i}]") for i, o in enumerate(raw.get("opens", ()))),
        closes=tuple(_closes(c, f"{where}.closes[{i}]") for i, c in enumerate(raw.get("closes", ()))),
        primary=bool(raw.get("primary", False)),
        hidden=bool(raw.get("hidden", False)),
        bulk=bool(raw.get("bulk", False)),
    )


def _field(raw: Mapping[str, Any], where: str) -> Field:
    _known(raw, _FIELD_KEYS, where, "key")
    _known([raw["type"]], FIELD_TYPES, where, "field type")
    if raw["name"] in RESERVED | FACTS:
        raise errors.DefinitionBad(where=where, why=f"{raw['name']} is a name of the engine's own")
    choices = raw.get("choices", ())
    if (raw["type"] == "choice") != bool(choices):
        raise errors.DefinitionBad(where=where, why="choices go with type choice")
    names = None
    if isinstance(choices, Mapping):
        names = {str(code): _label(choices, f"{where}.choices", code) for code in choices}
    days = raw.get("within_days")
    if days is not None and (raw["type"] != "date" or not isinstance(days, int) or days < 1):
        raise errors.DefinitionBad(where=where, why="within_days is a whole number of days and goes with type date")
    return Field(
        raw["name"],
        raw["type"],
        bool(raw.get("required", False)),
        _label(raw, where, "label"),
        tuple(map(str, choices)),
        names,
        bool(raw.get("keep", False)),
        None if days is None else timedelta(days=days),
    )


def _check_fields(fields: tuple[Field, ...], where: str) -> None:
    names = [f.name for f in fields]
    if len(set(names)) < len(names):
        raise errors.DefinitionBad(where=where, why="two fields have the same name")
    for kind in _SINGLE:
        if sum(f.type == kind for f in fields) > 1:
            raise errors.DefinitionBad(where=where, why=f"at most one field of type {kind}")


def _opens(raw: Mapping[str, Any], fields: tuple[Field, ...], where: str) -> Opens:
    _known(raw, {"kind", "for", "note", "limit"}, where, "key")
    _known([raw["kind"]], TASKS, where, "task")
    lists = {f.name for f in fields if f.type == "departments"}
    _known([raw["for"]], {*TASK_HOLDERS, *lists}, where, "holder of a task")
    _known([raw["note"]] if raw.get("note") else [], {f.name for f in fields}, where, "field")
    return Opens(raw["kind"], raw["for"], str(raw.get("note", "")), _limit(raw, where))


def _closes(raw: Mapping[str, Any], where: str) -> Closes:
    _known(raw, {"kind", "of", "state"}, where, "key")
    _known([raw["kind"]], TASKS, where, "task")
    _known([raw.get("of", "all")], {"all", "mine"}, where, "choice of tasks")
    _known([raw.get("state", "done")], {"done", "cancelled"}, where, "state of a task")
    return Closes(raw["kind"], raw.get("of", "all") == "mine", raw.get("state", "done"))


def _known(names: Collection[str], known: Collection[str], where: str, what: str) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise errors.DefinitionBad(where=where, why=f"unknown {what}: {', '.join(unknown)}", known=sorted(known))


def _guard_names(guard: str, fields: set[str], where: str) -> frozenset[str]:
    """The names a guard uses, all of them known."""
    if not guard:
        return frozenset()
    try:
        tree = ast.parse(guard, mode="eval")
    except SyntaxError as error:
        raise errors.DefinitionBad(where=where, why=f"guard does not parse: {error.msg}", guard=guard) from error
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    _known(names, FACTS | fields, where, "name in the guard")
    return frozenset(names)


def _check_graph(workflow: Workflow) -> None:
    arrows: dict[str, set[str]] = {code: set() for code in workflow.states}
    for action in workflow.actions.values():
        for source in action.sources:
            arrows[source].add(source if action.target == STAY else action.target)
    reached = reach(arrows, [workflow.start.target])
    unreached = sorted(set(workflow.states) - reached)
    if unreached:
        raise errors.DefinitionBad(where="states", why=f"unreachable state: {', '.join(unreached)}")
    ends = [code for code, state in workflow.states.items() if state.status != "open"]
    backwards: dict[str, set[str]] = {code: set() for code in workflow.states}
    for source, targets in arrows.items():
        for target in targets:
            backwards[target].add(source)
    stuck = sorted(set(workflow.states) - reach(backwards, ends))
    if stuck:
        raise errors.DefinitionBad(where="states", why=f"dead end, no way to an ending: {', '.join(stuck)}")


def reach(arrows: Mapping[str, set[str]], start: Collection[str]) -> set[str]:
    """Every node that can be reached from ``start`` along ``arrows``, ``start`` included."""
    seen, waiting = set(start), list(start)
    while waiting:
        for target in arrows[waiting.pop()] - seen:
            seen.add(target)
            waiting.append(target)
    return seen


def _check_timers(workflow: Workflow) -> None:
    """A timer's action is the system's to take, from that state, and asks for nothing the system does not have."""
    for code, state in workflow.states.items():
        if state.timer is None:
            continue
        where = f"states.{code}.timer"
        action = workflow.actions.get(state.timer.action)
        if action is None or code not in action.sources or "system" not in action.roles:
            raise errors.DefinitionBad(where=where, why=f"the system cannot take {state.timer.action} from {code}")
        if any(f.required for f in action.fields):
            raise errors.DefinitionBad(where=where, why=f"{action.code} asks for what no timer can give")
        if state.timer.field:
            entering = [a for a in [workflow.start, *workflow.actions.values()] if a.target == code]
            told = {a.code for a in entering for f in a.fields if f.name == state.timer.field and f.type == "date"}
            kept = any(
                f.name == state.timer.field and f.type == "date" and f.keep
                for a in workflow.actions.values()
                for f in a.fields
            )
            if not kept and len(told) < len(entering):
                why = f"not every way into {code} has the date {state.timer.field}, and none keeps it"
                raise errors.DefinitionBad(where=where, why=why)


def _check_clock(workflow: Workflow) -> None:
    """A clock that is stopped, resumed, extended or timed out must have been started by some action."""
    every = [workflow.start, *workflow.actions.values()]
    if any(a.clock == "start" for a in every):
        return
    for action in every:
        if action.clock != "none" or "overdue_at" in action.marks:
            why = "a limit without a clock: no action starts the handling clock"
            raise errors.DefinitionBad(where=f"actions.{action.code}", why=why)
