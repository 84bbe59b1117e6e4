"""Workflows as data: which action leads where, who may do it, and what it needs. Pure; knows no database."""

import ast
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from simpleeval import EvalWithCompoundTypes, InvalidExpression

from gis import errors

STAGES = ("report", "acceptance", "filing", "dispatch", "handling", "feedback", "check", "closing")
STATUSES = ("open", "closed", "void")
ROLES = frozenset(
    [
        "inspector",
        "acceptor",
        "shift_leader",
        "dispatcher",
        "handler",
        "department_manager",
        "leader",
        "evaluator",
        "public",
        "platform",
        "system",
    ]
)
# What an action may stamp with the time it happened: the columns of the same name on the case.
MARKS = frozenset(
    ["accepted_at", "filed_at", "dispatched_at", "handled_at", "checked_at", "closed_at", "voided_at", "overdue_at"]
)
COUNTERS = frozenset({"rework_count", "return_count"})
CLOCK_EFFECTS = frozenset({"start", "stop", "resume", "none"})
FIELD_TYPES = frozenset({"text", "photo", "department", "choice", "number"})
# How long a value may be: characters of a text or a code, photos of one step.
TEXT_MAX, CODE_MAX, PHOTOS_MAX = 2000, 50, 20
# What the engine itself writes into an event's payload, so no field may be called that.
RESERVED = frozenset({"judged_at", "due_at", "late_department"})
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SHA256 = re.compile("[0-9a-f]{64}")
# Facts of the case that a guard may name, beside the action's own fields.
FACTS = frozenset(
    [
        "kind",
        "channel",
        "category_kind",
        "category_code",
        "severity",
        "area_class",
        "department_code",
        "rework_count",
        "return_count",
        "status",
        "simulated",
    ]
)

Label = Mapping[str, str]


@dataclass(frozen=True)
class State:
    """A state: the stage it stands for, whose work it is, and how long that stage may take."""

    code: str
    name: Label
    stage: str
    status: str
    limit: timedelta | None


@dataclass(frozen=True)
class Field:
    """Something an action asks for. ``choices`` only for type ``choice``."""

    name: str
    type: str
    required: bool
    label: Label
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Action:
    """One arrow of the workflow."""

    code: str
    name: Label
    effect: Label
    sources: frozenset[str]
    target: str
    roles: frozenset[str]
    fields: tuple[Field, ...] = ()
    guard: str = ""
    guard_words: Label | None = None
    clock: str = "none"
    marks: tuple[str, ...] = ()
    clears: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()
    primary: bool = False
    hidden: bool = False


@dataclass(frozen=True)
class Workflow:
    """A checked workflow. ``start`` is the action that reports a case.

    A step that arrives late, from a phone that was offline, counts from when it happened up to ``allowance`` ago.
    """

    code: str
    name: Label
    states: Mapping[str, State]
    start: Action
    actions: Mapping[str, Action]
    allowance: timedelta


@dataclass(frozen=True)
class Step:
    """What an allowed action does to the case. ``payload`` holds the fields given, checked and in their one form."""

    action: Action
    role: str
    state: State
    payload: Mapping[str, Any]


def parse(body: Mapping[str, Any]) -> Workflow:
    """Check a workflow body completely and return it. Raises ``DefinitionBad`` naming the place and the fault."""
    states = {code: _state(code, raw) for code, raw in body["states"].items()}
    actions: dict[str, Action] = {}
    for index, raw in enumerate(body["actions"]):
        action = _action(raw, f"actions[{index}]", states)
        if action.code in actions:
            raise errors.DefinitionBad(where=f"actions[{index}]", why=f"action {action.code} is defined twice")
        actions[action.code] = action
    start = _action({**body["start"], "from": []}, "start", states)
    workflow = Workflow(body["code"], body["name"], states, start, actions, _allowance(body))
    _check_graph(workflow)
    return workflow


def step(
    workflow: Workflow, facts: Mapping[str, Any], code: str, roles: Collection[str], payload: Mapping[str, Any]
) -> Step:
    """The step that ``code`` takes from ``facts["state"]`` for somebody with ``roles``.

    Raises ``ActionUnknown``, ``StateForbids``, ``RoleForbids``, ``Malformed``, ``FieldMissing`` or ``GuardRefuses``.
    """
    action = workflow.actions.get(code)
    if action is None:
        raise errors.ActionUnknown(action=code, known=sorted(workflow.actions))
    state = workflow.states[facts["state"]]
    if state.code not in action.sources:
        raise errors.StateForbids(
            action=code, state=state.code, state_name=dict(state.name), allowed_from=sorted(action.sources)
        )
    return _take(workflow, action, facts, roles, payload)


def begin(workflow: Workflow, facts: Mapping[str, Any], roles: Collection[str], payload: Mapping[str, Any]) -> Step:
    """The step that reports a case. Raises as ``step`` does."""
    return _take(workflow, workflow.start, facts, roles, payload)


def available(workflow: Workflow, facts: Mapping[str, Any], roles: Collection[str]) -> list[Action]:
    """The actions somebody with ``roles`` may take now, the primary one first; fields and guards not yet asked."""
    state = facts["state"]
    found = [
        a for a in workflow.actions.values() if state in a.sources and not a.hidden and not a.roles.isdisjoint(roles)
    ]
    return sorted(found, key=lambda a: not a.primary)


def _take(
    workflow: Workflow, action: Action, facts: Mapping[str, Any], roles: Collection[str], payload: Mapping[str, Any]
) -> Step:
    allowed = sorted(action.roles.intersection(roles))
    if not allowed:
        raise errors.RoleForbids(action=action.code, needs=sorted(action.roles))
    payload = _checked(action, payload)
    missing = [f.name for f in action.fields if f.required and _empty(payload.get(f.name))]
    if missing:
        raise errors.FieldMissing(action=action.code, fields=missing)
    for field in action.fields:
        value = payload.get(field.name)
        if field.type == "choice" and not _empty(value) and value not in field.choices:
            raise errors.FieldMissing(action=action.code, fields=[field.name], choices=list(field.choices))
    if action.guard and not _holds(action, facts, payload):
        words = action.guard_words or {}
        raise errors.GuardRefuses(words.get("zh"), words.get("en"), action=action.code, guard=action.guard)
    return Step(action, allowed[0], workflow.states[action.target], payload)


def storable(words: str) -> bool:
    """Whether the database keeps these characters: no null character, no half of a surrogate pair."""
    return _UNSTORABLE.search(words) is None


def _checked(action: Action, payload: Mapping[str, Any]) -> dict[str, Any]:
    """The fields given, each of its type; fields of value None are left out. Raises ``Malformed`` naming the fault."""
    fields = {f.name: f for f in action.fields}
    unknown = sorted(str(name) for name in payload if name not in fields)
    if unknown:
        raise errors.Malformed(action=action.code, fields=unknown, known=sorted(fields))
    found = {}
    for name, value in payload.items():
        if value is None:
            continue
        fault = _fault(fields[name].type, value)
        if fault:
            raise errors.Malformed(action=action.code, field=name, why=fault)
        found[name] = _one_form(value)
    return found


def _fault(kind: str, value: Any) -> str:
    """Why ``value`` is none of the field type ``kind``; empty where it is."""
    match kind:
        case "number":
            return "" if _finite(value) else "a finite number"
        case "photo":
            sound = isinstance(value, list) and len(value) <= PHOTOS_MAX
            sound = sound and all(isinstance(v, str) and _SHA256.fullmatch(v) for v in value)
            return "" if sound else f"at most {PHOTOS_MAX} SHA-256 digests in lower-case hexadecimal"
        case _:
            longest = TEXT_MAX if kind == "text" else CODE_MAX
            sound = isinstance(value, str) and len(value) <= longest and storable(value)
            return "" if sound else f"a text of at most {longest} characters, none of them null"


def _finite(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False


def _one_form(value: Any) -> Any:
    """A whole number as an integer: JSONB turns -0.0 and 1e16 into others than were hashed."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _empty(value: Any) -> bool:
    return (
        value is None or (isinstance(value, str | list) and not value) or (isinstance(value, str) and not value.strip())
    )


def _holds(action: Action, facts: Mapping[str, Any], payload: Mapping[str, Any]) -> bool:
    names = {name: facts.get(name) for name in FACTS} | {f.name: payload.get(f.name) for f in action.fields}
    try:
        return bool(EvalWithCompoundTypes(names=names).eval(action.guard))
    except (InvalidExpression, TypeError) as error:
        raise errors.GuardRefuses(action=action.code, guard=action.guard, why=str(error)) from error


def _state(code: str, raw: Mapping[str, Any]) -> State:
    where = f"states.{code}"
    if raw.get("stage") not in STAGES:
        raise errors.DefinitionBad(where=where, why=f"stage must be one of {', '.join(STAGES)}")
    if raw.get("status", "open") not in STATUSES:
        raise errors.DefinitionBad(where=where, why=f"status must be one of {', '.join(STATUSES)}")
    minutes = raw.get("limit_minutes")
    if minutes is not None and not (isinstance(minutes, int | float) and minutes > 0):
        raise errors.DefinitionBad(where=where, why="limit_minutes must be a positive number")
    limit = None if minutes is None else timedelta(minutes=minutes)
    return State(code, _label(raw, where), raw["stage"], raw.get("status", "open"), limit)


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


_ACTION_KEYS = frozenset(
    [
        "code",
        "name",
        "effect",
        "from",
        "to",
        "roles",
        "fields",
        "guard",
        "guard_words",
        "clock",
        "marks",
        "clears",
        "counts",
        "primary",
        "hidden",
    ]
)


def _action(raw: Mapping[str, Any], where: str, states: Mapping[str, State]) -> Action:
    _known(raw, _ACTION_KEYS, where, "key")
    sources, target = frozenset(raw["from"]), raw["to"]
    _known([*sources, target], states, where, "state")
    roles = frozenset(raw["roles"])
    _known(roles, ROLES, where, "role")
    if not roles:
        raise errors.DefinitionBad(where=where, why="an action needs at least one role")
    marks, clears, counts = (tuple(raw.get(key, ())) for key in ("marks", "clears", "counts"))
    _known([*marks, *clears], MARKS, where, "mark")
    _known(counts, COUNTERS, where, "counter")
    _known([raw.get("clock", "none")], CLOCK_EFFECTS, where, "clock effect")
    fields = tuple(_field(f, f"{where}.fields[{i}]") for i, f in enumerate(raw.get("fields", ())))
    guard = str(raw.get("guard", ""))
    _check_guard(guard, {f.name for f in fields}, where)
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
        clock=raw.get("clock", "none"),
        marks=marks,
        clears=clears,
        counts=counts,
        primary=bool(raw.get("primary", False)),
        hidden=bool(raw.get("hidden", False)),
    )


def _field(raw: Mapping[str, Any], where: str) -> Field:
    _known(raw, {"name", "type", "required", "label", "choices"}, where, "key")
    _known([raw["type"]], FIELD_TYPES, where, "field type")
    if raw["name"] in RESERVED:
        raise errors.DefinitionBad(where=where, why=f"the engine writes {raw['name']} itself")
    choices = tuple(raw.get("choices", ()))
    if (raw["type"] == "choice") != bool(choices):
        raise errors.DefinitionBad(where=where, why="choices go with type choice")
    return Field(raw["name"], raw["type"], bool(raw.get("required", False)), _label(raw, where, "label"), choices)


def _known(names: Collection[str], known: Collection[str], where: str, what: str) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise errors.DefinitionBad(where=where, why=f"unknown {what}: {', '.join(unknown)}", known=sorted(known))


def _check_guard(guard: str, fields: set[str], where: str) -> None:
    if not guard:
        return
    try:
        tree = ast.parse(guard, mode="eval")
    except SyntaxError as error:
        raise errors.DefinitionBad(where=where, why=f"guard does not parse: {error.msg}", guard=guard) from error
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    _known(names, FACTS | fields, where, "name in the guard")


def _check_graph(workflow: Workflow) -> None:
    arrows: dict[str, set[str]] = {code: set() for code in workflow.states}
    for action in workflow.actions.values():
        for source in action.sources:
            arrows[source].add(action.target)
    reached = _reach(arrows, [workflow.start.target])
    unreached = sorted(set(workflow.states) - reached)
    if unreached:
        raise errors.DefinitionBad(where="states", why=f"unreachable state: {', '.join(unreached)}")
    ends = [code for code, state in workflow.states.items() if state.status != "open"]
    backwards: dict[str, set[str]] = {code: set() for code in workflow.states}
    for source, targets in arrows.items():
        for target in targets:
            backwards[target].add(source)
    stuck = sorted(set(workflow.states) - _reach(backwards, ends))
    if stuck:
        raise errors.DefinitionBad(where="states", why=f"dead end, no way to an ending: {', '.join(stuck)}")


def _reach(arrows: Mapping[str, set[str]], start: Collection[str]) -> set[str]:
    seen, waiting = set(start), list(start)
    while waiting:
        for target in arrows[waiting.pop()] - seen:
            seen.add(target)
            waiting.append(target)
    return seen
