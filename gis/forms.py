"""Forms as data: which fields a report has, which depend on which, and whether given values fit. Pure.

A field named by ``show`` in some rule is hidden until one such rule holds; the value of a hidden field is dropped. A
rule holds while every field of its ``when`` is shown and has one of the values named (``*``: any). ``require`` makes
fields required, ``fill`` gives a field that nobody filled its value, ``restrict`` leaves only some of its choices. What
depends on what is no circle, so fields are judged one after the other, each once. The pages judge by the same rules
(layers/web/src/shared/forms.ts); a test compares the two.
"""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from gis import bodies, errors, personal
from gis.bodies import Label
from gis.errors import DefinitionBad

TYPES: Final = ("text", "number", "choice", "code", "date", "phone", "photo", "boolean")
# What of the place or the moment a page fills in by itself.
SOURCES: Final = ("address", "village", "unit_grid", "duty_grid", "department", "today")
ANY: Final = "*"
TEXT_MAX, PHOTOS_MAX = 2000, 9
_BLANKS: Final = " \t\r\n\u00a0\u3000"
_SHA256 = re.compile("[0-9a-f]{64}")
_PHONE = re.compile("[0-9０-９ +()（）－\u3000-]+")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_FAULTS: Final = {
    "required": ("必填", "is required"),
    "unknown": ("表单中没有这一项", "is no field of the form"),
    "type": ("格式不对", "has the wrong type"),
    "length": ("太长", "is too long"),
    "choice": ("不在可选项内", "is none of the choices"),
    "range": ("超出范围", "is out of range"),
    "date": ("日期无效", "is no date"),
    "phone": ("电话号码无效", "is no telephone number"),
    "photo": ("照片无效或过多", "is no list of photos, or too many"),
}


@dataclass(frozen=True)
class Choice:
    """One value of a field. ``parent`` is the value of the field above it in a cascade, '' without one."""

    value: str
    label: Label
    parent: str = ""


@dataclass(frozen=True)
class Field:
    """One field. ``within`` names the field whose value the parent of a choice must be."""

    name: str
    type: str
    label: Label
    required: bool = False
    length: int = 200
    low: float | None = None
    high: float | None = None
    choices: tuple[Choice, ...] = ()
    within: str = ""
    source: str = ""
    hint: Label | None = None
    personal: bool = False
    external: bool = False
    deferrable: bool = False


@dataclass(frozen=True)
class Rule:
    """What holds ``when`` every named field has one of the values."""

    when: Mapping[str, tuple[Any, ...]]
    show: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    fill: Mapping[str, Any] = field(default_factory=dict)
    restrict: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def changes(self) -> set[str]:
        """The fields it says something about."""
        return {*self.show, *self.require, *self.fill, *self.restrict}


@dataclass(frozen=True)
class Form:
    """A checked form. ``order`` is the order in which its fields are judged."""

    code: str
    name: Label
    kinds: tuple[str, ...]
    channels: tuple[str, ...]
    fields: Mapping[str, Field]
    rules: tuple[Rule, ...]
    order: tuple[str, ...]
    schema: Mapping[str, Any]

    @property
    def external(self) -> str:
        """The field that holds the channel's own number of the case; '' where there is none."""
        return next((f.name for f in self.fields.values() if f.external), "")


@dataclass(frozen=True)
class Fault:
    """What is wrong with one field: a stable code and words."""

    field: str
    code: str
    zh: str
    en: str


@dataclass(frozen=True)
class Checked:
    """Values in their one form, what is wrong, and which missing material was promised."""

    values: Mapping[str, Any]
    faults: tuple[Fault, ...]
    promised: tuple[str, ...]


def parse(body: Mapping[str, Any]) -> Form:
    """Check a form's body completely. Raises ``DefinitionBad`` naming the place and the fault."""
    lists = {
        name: _choices(bodies.entry(body["lists"], name, list, "lists"), f"lists.{name}")
        for name in bodies.entry(body, "lists", dict, "lists", {})
    }
    fields: dict[str, Field] = {}
    for index, raw in enumerate(bodies.entry(body, "fields", list, "fields")):
        found = _field(raw, f"fields[{index}]", lists)
        if found.name in fields:
            raise DefinitionBad(where=f"fields[{index}]", why=f"field {found.name} is defined twice")
        fields[found.name] = found
    if sum(f.external for f in fields.values()) > 1:
        raise DefinitionBad(where="fields", why="only one field is the channel's own number")
    for one in fields.values():
        if one.within:
            bodies.known([one.within], fields, f"fields.{one.name}.within", "field")
    rules = tuple(
        _rule(raw, f"rules[{index}]", fields) for index, raw in enumerate(bodies.entry(body, "rules", list, "", []))
    )
    after: dict[str, list[str]] = {name: [one.within] if one.within else [] for name, one in fields.items()}
    for rule in rules:
        for name in rule.changes:
            after[name] += rule.when
    return Form(
        code=bodies.entry(body, "code", str, ""),
        name=bodies.label(body, "name", "name"),
        kinds=bodies.texts(body, "kinds", "kinds"),
        channels=bodies.texts(body, "channels", "channels"),
        fields=fields,
        rules=rules,
        order=tuple(bodies.ordered(after, "rules", "fields depend on each other")),
        schema=body,
    )


def find(forms: Iterable[Form], kind: str, channel: str) -> Form | None:
    """The form of reports of a kind from a channel."""
    return next((form for form in forms if kind in form.kinds and channel in form.channels), None)


def check_names(forms: Iterable[Form], kinds: Collection[str], channels: Collection[str]) -> None:
    """Refuse unknown kinds and channels, and two forms for the same reports. Raises ``DefinitionBad``."""
    taken: dict[tuple[str, str], str] = {}
    for form in forms:
        bodies.known(form.kinds, kinds, f"form/{form.code}.kinds", "case kind")
        bodies.known(form.channels, channels, f"form/{form.code}.channels", "channel")
        for pair in ((kind, channel) for kind in form.kinds for channel in form.channels):
            other = taken.setdefault(pair, form.code)
            if other != form.code:
                raise DefinitionBad(
                    where=f"form/{form.code}", why=f"{other} is already the form of {' from '.join(pair)}"
                )


def check(form: Form, values: Mapping[str, Any], promised: Collection[str] = ()) -> Checked:
    """Judge values: the fields that show, filled and in their one form, and every fault.

    A field that may be handed in later (``deferrable``) may be missing when it is named in ``promised``.
    """
    held: dict[str, Any] = {}
    faults = [_fault(name, "unknown") for name in values if name not in form.fields]
    later: list[str] = []
    for name in form.order:
        one = form.fields[name]
        rules = [rule for rule in form.rules if _holds(rule, held)]
        if any(name in rule.show for rule in form.rules) and not any(name in rule.show for rule in rules):
            continue
        value = _trimmed(values.get(name))
        if _empty(value):
            value = next((rule.fill[name] for rule in rules if name in rule.fill), None)
        if _empty(value):
            if not (one.required or any(name in rule.require for rule in rules)):
                continue
            if one.deferrable and name in promised:
                later.append(name)
            else:
                faults.append(_fault(name, "required"))
            continue
        clean, fault = _judge(one, value, _allowed(one, rules, held))
        if fault:
            faults.append(_fault(name, fault))
        else:
            held[name] = clean
    return Checked({name: held[name] for name in form.fields if name in held}, tuple(faults), tuple(sorted(later)))


def accept(form: Form, values: Mapping[str, Any], promised: Collection[str] = ()) -> Checked:
    """``check``, but any fault is a refusal. Raises ``FormInvalid`` naming every field and what is wrong with it."""
    checked = check(form, values, promised)
    if checked.faults:
        labels = {name: dict(one.label) for name, one in form.fields.items()}
        raise errors.FormInvalid(
            form=form.code,
            fields=[
                {"field": f.field, "label": labels.get(f.field), "code": f.code, "zh": f.zh, "en": f.en}
                for f in checked.faults
            ],
        )
    return checked


def _holds(rule: Rule, held: Mapping[str, Any]) -> bool:
    return all(name in held and (ANY in values or held[name] in values) for name, values in rule.when.items())


def _allowed(one: Field, rules: Iterable[Rule], held: Mapping[str, Any]) -> set[str]:
    allowed = {c.value for c in one.choices if not one.within or c.parent == held.get(one.within, "")}
    for rule in rules:
        allowed &= set(rule.restrict.get(one.name, allowed))
    return allowed


def _judge(one: Field, value: Any, allowed: Collection[str]) -> tuple[Any, str]:
    """(the value in its one form, '') or (None, the fault)."""
    match one.type:
        case "boolean":
            return (value, "") if isinstance(value, bool) else (None, "type")
        case "number":
            return _number(one, value)
        case "photo":
            sound = isinstance(value, list) and len(value) <= PHOTOS_MAX
            sound = sound and all(isinstance(v, str) and _SHA256.fullmatch(v) for v in value)
            return (list(dict.fromkeys(value)), "") if sound else (None, "photo")
    if not isinstance(value, str) or _UNSTORABLE.search(value):
        return None, "type"
    if len(value) > one.length:
        return None, "length"
    match one.type:
        case "choice" | "code":
            return (value, "") if value in allowed else (None, "choice")
        case "date":
            return (value, "") if _is_date(value) else (None, "date")
        case "phone":
            digits = personal.plain_phone(value)
            return (digits, "") if _PHONE.fullmatch(value) and 5 <= len(digits) <= 15 else (None, "phone")
    return value, ""


def _number(one: Field, value: Any) -> tuple[Any, str]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None, "type"
    try:
        number = float(value)
    except OverflowError:  # an integer beyond every float
        return None, "range"
    if not math.isfinite(number):
        return None, "type"
    if (one.low is not None and number < one.low) or (one.high is not None and number > one.high):
        return None, "range"
    return (int(number) if number.is_integer() else number), ""


def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _trimmed(value: Any) -> Any:
    return value.strip(_BLANKS) if isinstance(value, str) else value


def _empty(value: Any) -> bool:
    return value is None or value == "" or value == []


def _fault(name: str, code: str) -> Fault:
    zh, en = _FAULTS[code]
    return Fault(str(name)[:100], code, zh, en)


# --- Reading a definition ---------------------------------------------------------------------------------------

_FIELD_KEYS = {
    *("name", "type", "label", "required", "length", "min", "max", "choices", "list", "within", "source", "hint"),
    *("personal", "external", "deferrable"),
}


def _field(raw: Any, where: str, lists: Mapping[str, tuple[Choice, ...]]) -> Field:
    name, kind = bodies.entry(raw, "name", str, where), bodies.entry(raw, "type", str, where)
    where = f"{where} ({name})"
    bodies.known(raw, _FIELD_KEYS, where, "key")
    bodies.known([kind], TYPES, where, "field type")
    if not re.fullmatch("[a-z][a-z0-9_]{0,39}", name):
        raise DefinitionBad(where=where, why="a field's name is lower-case letters, digits and underlines")
    choices: tuple[Choice, ...] = ()
    if kind == "choice":
        choices = _choices(bodies.entry(raw, "choices", list, where), f"{where}.choices")
    elif kind == "code":
        bodies.known([bodies.entry(raw, "list", str, where)], lists, where, "list")
        choices = lists[raw["list"]]
    within, source = bodies.entry(raw, "within", str, where, ""), bodies.entry(raw, "source", str, where, "")
    if within and kind != "code":
        raise DefinitionBad(where=where, why="within goes with type code")
    bodies.known([source] if source else [], SOURCES, where, "source")
    flags = {
        key: bodies.entry(raw, key, bool, where, False) for key in ("required", "personal", "external", "deferrable")
    }
    if flags["personal"] and kind not in ("text", "phone"):
        raise DefinitionBad(where=where, why="personal goes with type text or phone")
    if flags["external"] and kind != "text":
        raise DefinitionBad(where=where, why="external goes with type text")
    length = bodies.entry(raw, "length", int, where, 200)
    if not 1 <= length <= TEXT_MAX:
        raise DefinitionBad(where=where, why=f"length must be from 1 to {TEXT_MAX}")
    low, high = _bound(raw, "min", kind, where), _bound(raw, "max", kind, where)
    if low is not None and high is not None and low > high:
        raise DefinitionBad(where=where, why="min is above max")
    hint = bodies.label(raw, "hint", where) if "hint" in raw else None
    return Field(
        name, kind, bodies.label(raw, "label", where), length=length, low=low, high=high, choices=choices,
        within=within, source=source, hint=hint, **flags,
    )  # fmt: skip


def _bound(raw: Mapping[str, Any], key: str, kind: str, where: str) -> float | None:
    if key not in raw:
        return None
    value = raw[key]
    if kind != "number" or isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DefinitionBad(where=where, why=f"{key} is a number and goes with type number")
    return float(value)


def _choices(raw: list[Any], where: str) -> tuple[Choice, ...]:
    found = [
        Choice(
            bodies.entry(one, "value", str, f"{where}[{index}]"),
            bodies.label(one, "label", f"{where}[{index}]"),
            bodies.entry(one, "parent", str, f"{where}[{index}]", ""),
        )
        for index, one in enumerate(raw)
    ]
    if not found or len({c.value for c in found}) < len(found) or any(not c.value or c.value == ANY for c in found):
        raise DefinitionBad(where=where, why="needs choices, each with its own value, none of them empty or *")
    return tuple(found)


def _rule(raw: Any, where: str, fields: Mapping[str, Field]) -> Rule:
    bodies.known(raw, {"when", "show", "require", "fill", "restrict"}, where, "key")
    conditions = bodies.entry(raw, "when", dict, where)
    if not conditions or len(raw) < 2:
        raise DefinitionBad(where=where, why="a rule needs when, and what then")
    show, require = (bodies.texts(raw, key, where, []) for key in ("show", "require"))
    fill, restrict = (bodies.entry(raw, key, dict, where, {}) for key in ("fill", "restrict"))
    bodies.known([*conditions, *show, *require, *fill, *restrict], fields, where, "field")
    when = {}
    for name, given in conditions.items():
        values = given if isinstance(given, list) else [given]
        _check_values(fields[name], [v for v in values if v != ANY], f"{where}.when.{name}")
        when[name] = tuple(values)
    for name, value in fill.items():
        _check_values(fields[name], [value], f"{where}.fill.{name}")
    for name in restrict:
        _check_values(fields[name], bodies.texts(restrict, name, f"{where}.restrict"), f"{where}.restrict.{name}")
        if not fields[name].choices:
            raise DefinitionBad(where=f"{where}.restrict", why=f"{name} has no choices to restrict")
    return Rule(when, show, require, dict(fill), {name: tuple(values) for name, values in restrict.items()})


def _check_values(one: Field, values: Iterable[Any], where: str) -> None:
    for value in values:
        clean, fault = _judge(one, value, {c.value for c in one.choices})
        if fault or clean != value:
            raise DefinitionBad(where=where, why=f"{value!r} is no value of {one.name}")
