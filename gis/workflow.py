"""Workflows as data: which action leads where, who may do it, and what it needs. Pure; knows no database.

Says what a workflow is and what a step of it does; how a definition becomes one is in gis.workflow_parse.
"""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from simpleeval import EvalWithCompoundTypes, InvalidExpression

from gis import errors
from gis.worktime import Limit

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
        "assistant",  # handler or manager of a co-department
        "leader",
        "evaluator",
        "census_clerk",
        "public",
        "platform",
        "system",
    ]
)
# What an action may stamp with the time it happened: the columns of the same name on the case.
MARKS = frozenset(
    [
        *("accepted_at", "filed_at", "dispatched_at", "handled_at", "checked_at", "closed_at", "voided_at"),
        *("overdue_at", "supervised_at", "exempted_at"),
    ]
)
COUNTERS = frozenset({"rework_count", "return_count", "extension_count", "urge_count", "appeal_count"})
CLOCK_EFFECTS = frozenset({"start", "stop", "resume", "extend", "none"})
FIELD_TYPES = frozenset(
    [
        *("text", "photo", "department", "departments", "choice", "number", "date", "staff", "case"),
        *("closing_condition", "tags", "scores"),
    ]
)
TASKS = frozenset({"pre_filing_check", "result_check", "assist", "summon", "urge", "supervise", "commitment"})
# For whom an action opens a task: the case's department, its assignee, or the departments of a field.
TASK_HOLDERS = ("department", "assignee")
ASSIGNMENTS = frozenset({"", "inspector", "caller", "clear"})
STAY: Final = "="
# The action, in no workflow, by which a case comes to another version of one.
MIGRATE: Final = "migrate"
# How long a value may be: characters of a text or a code, photos of one step, parts of a list.
TEXT_MAX, CODE_MAX, PHOTOS_MAX, LIST_MAX = 2000, 50, 20, 50
# Under this an event keeps who had the case before, where the step gave it to others.
LEFT: Final = "left_scope"
# What the engine itself writes into an event's payload, so no field may be called that.
RESERVED = frozenset({"judged_at", "due_at", "late_department", "assigned", "wake_at", LEFT})
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SHA256 = re.compile("[0-9a-f]{64}")
# Facts of the case that a guard may name, beside the action's own fields and what fields marked `keep` have left.
FACTS = frozenset(
    [
        *("kind", "channel", "category_kind", "category_code", "severity", "area_class", "department_code", "status"),
        *("rework_count", "return_count", "extension_count", "urge_count", "appeal_count", "simulated", "overdue"),
        "dispatched",
        *("before_photos", "after_photos", "check_photos"),
        *(f"open_{kind}" for kind in sorted(TASKS)),
    ]
)

Label = Mapping[str, str]


@dataclass(frozen=True)
class Timer:
    """When the system takes ``action`` by itself: ``limit`` after the state was entered, or at the date ``field``."""

    action: str
    limit: Limit | None
    field: str


@dataclass(frozen=True)
class State:
    """A state: the stage it stands for, whose work it is, and how long that stage may take."""

    code: str
    name: Label
    stage: str
    status: str
    limit: Limit | None
    owners: tuple[str, ...] = ()
    timer: Timer | None = None


@dataclass(frozen=True)
class Field:
    """Something an action asks for. ``choices`` only for type ``choice``, ``within`` only for ``date``: how far ahead.

    ``keep``: the value stays with the case as a fact of this name.
    """

    name: str
    type: str
    required: bool
    label: Label
    choices: tuple[str, ...] = ()
    choice_names: Mapping[str, Label] | None = None
    keep: bool = False
    within: timedelta | None = None


@dataclass(frozen=True)
class Opens:
    """A task an action opens for ``holder``: department, assignee, or each department of the field so named."""

    kind: str
    holder: str
    note: str = ""
    limit: Limit | None = None


@dataclass(frozen=True)
class Closes:
    """Tasks an action ends: all open ones of a kind, or only the caller's own; ``mine`` refuses where there is none."""

    kind: str
    mine: bool
    state: str = "done"


@dataclass(frozen=True)
class Action:
    """One arrow of the workflow. ``target`` is ``=`` where the case stays in its state."""

    code: str
    name: Label
    effect: Label
    sources: frozenset[str]
    target: str
    roles: frozenset[str]
    fields: tuple[Field, ...] = ()
    guard: str = ""
    guard_words: Label | None = None
    guard_names: frozenset[str] = frozenset()
    clock: str = "none"
    marks: tuple[str, ...] = ()
    clears: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()
    assign: str = ""
    opens: tuple[Opens, ...] = ()
    closes: tuple[Closes, ...] = ()
    primary: bool = False
    hidden: bool = False
    bulk: bool = False

    def field(self, kind: str) -> Field | None:
        """The first field of this type, or None."""
        return next((f for f in self.fields if f.type == kind), None)


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

    @property
    def stays(self) -> bool:
        """Whether the case stays in its state, its stage's clock and timer going on."""
        return self.action.target == STAY

    @property
    def kept(self) -> dict[str, Any]:
        """The values that stay with the case as facts."""
        return {f.name: self.payload[f.name] for f in self.action.fields if f.keep and f.name in self.payload}


def step(
    workflow: Workflow, facts: Mapping[str, Any], code: str, roles: Collection[str], payload: Mapping[str, Any]
) -> Step:
    """The step that ``code`` takes from ``facts["state"]`` for somebody with ``roles``.

    ``facts`` holds what guards may name (``FACTS``; those it lacks are None) and ``facts["facts"]`` what was kept.
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


def blocked(action: Action, facts: Mapping[str, Any]) -> Label | None:
    """Why an action's guard refuses whatever its fields say; None where it depends on them or holds."""
    if not action.guard or not action.guard_names.isdisjoint(f.name for f in action.fields):
        return None
    return None if _holds(action, facts, {}) else refusal_words(action)


def refusal_words(action: Action) -> Label:
    """What a person is told when the guard refuses."""
    return action.guard_words or {"zh": errors.GuardRefuses.zh, "en": errors.GuardRefuses.en}


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
    state = workflow.states[facts["state"] if action.target == STAY else action.target]
    return Step(action, allowed[0], state, payload)


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
        if value is None or (value == "" and fields[name].type in _FORMS):
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
        case "departments" | "tags":
            sound = isinstance(value, list) and len(value) <= LIST_MAX and all(_code(v) for v in value)
            return "" if sound else f"at most {LIST_MAX} codes of at most {CODE_MAX} characters"
        case "scores":
            sound = isinstance(value, dict) and len(value) <= LIST_MAX
            sound = sound and all(_code(k) and type(v) is int and 1 <= v <= 5 for k, v in value.items())
            return "" if sound else "a whole number from 1 to 5 for each department code"
        case "date" | "staff" | "case":
            return "" if isinstance(value, str) and _reads(_FORMS[kind], value) else _FORM_WORDS[kind]
        case _:
            longest = TEXT_MAX if kind == "text" else CODE_MAX
            sound = isinstance(value, str) and len(value) <= longest and storable(value)
            return "" if sound else f"a text of at most {longest} characters, none of them null"


def _date(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if not 1970 <= moment.year <= 2200:  # beyond that some arithmetic on it leaves the calendar
        raise ValueError("a year from 1970 to 2200")
    return moment


_FORMS: Final[Mapping[str, Any]] = {"date": _date, "staff": UUID, "case": UUID}
_FORM_WORDS: Final = {"date": "an ISO date or time", "staff": "a UUID", "case": "a UUID"}


def _reads(form: Any, value: str) -> bool:
    try:
        form(value)
    except ValueError:
        return False
    return len(value) <= CODE_MAX


def _code(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= CODE_MAX and storable(value)


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
        value is None
        or (isinstance(value, str | list | dict) and not value)
        or (isinstance(value, str) and not value.strip())
    )


def _holds(action: Action, facts: Mapping[str, Any], payload: Mapping[str, Any]) -> bool:
    names = dict.fromkeys(action.guard_names) | dict(facts.get("facts") or {})
    names |= {name: facts.get(name) for name in FACTS} | {f.name: payload.get(f.name) for f in action.fields}
    try:
        return bool(EvalWithCompoundTypes(names=names).eval(action.guard))
    except (InvalidExpression, TypeError) as error:
        raise errors.GuardRefuses(action=action.code, guard=action.guard, why=str(error)) from error
