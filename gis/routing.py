"""Whose duty a case is: the duty list compiled, asked for one case or millions, explained, audited.

Pure: facts come in, a department comes out. Knows nothing of where facts, departments or definitions are stored.

The most specific rule holds, compared in this order: category (class, group, kind, all), area (unit grid, duty grid,
village, area class, all), component unit, channel. Two rules with the same key are refused, so there are no ties. A
rule whose department stands for a unit of the component does not apply where that unit is unknown.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from gis.errors import DefinitionBad

Indices = NDArray[np.int32]
Profile = TypeVar("Profile")
Units = tuple[str, str, str]  # competent, owner, maintenance unit of the component; '' where unknown

ANY: Final = "*"
_TARGETS: Final = {"@competent": 0, "@owner": 1, "@maintenance": 2}
_TARGET_NAMES: Final = {
    "@competent": "主管单位",
    "@owner": "权属单位",
    "@maintenance": "养护单位",
    "@village": "属地村居",
}
_AREA_LEVELS: Final = (ANY, "class", "village", "duty", "grid")
_AREA_NAMES: Final = {"class": "区域类别", "village": "村居", "duty": "责任网格", "grid": "单元网格"}
_FIELDS: Final = {
    *("id", "category", "area", "component_unit", "channel", "department", "co_departments", "workflow"),
    "note",  # for people
}
_CHUNK: Final = 1 << 16
_TOLD: Final = 5  # more specific rules a trace names; the rest are counted


class Place(Protocol):
    """What a place says: ``gis.areas.PlaceFacts`` has this form."""

    @property
    def village_code(self) -> str: ...
    @property
    def unit_grid_code(self) -> str: ...
    @property
    def duty_grid_code(self) -> str: ...
    @property
    def area_class(self) -> str: ...


@dataclass(frozen=True, slots=True)
class RoutingFacts:
    """What is known of a case when its department is sought. ``component_units`` is None without a component."""

    category_kind: str
    category_code: str
    village_code: str
    unit_grid_code: str
    duty_grid_code: str
    area_class: str
    channel: str
    severity: int = 1
    component_units: Units | None = None


@dataclass(frozen=True, slots=True)
class Routing:
    """Whose it is and why. No rule: ``department_code`` None, ``rule_id`` and ``workflow`` ''."""

    department_code: str | None
    co_departments: tuple[str, ...]
    workflow: str
    rule_id: str
    trace: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One row. ``category`` is '*', kind or kind:prefix; ``area`` is '*' or level:code; position counts from 0."""

    id: str
    category: str
    area: str
    component_unit: str
    channel: str
    department: str
    co_departments: tuple[str, ...]
    workflow: str
    position: int

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What the rule is about; unique in a list."""
        return self.category, self.area, self.component_unit, self.channel

    @property
    def specificity(self) -> tuple[int, int, int, int]:
        """The larger the more specific; see the module's order."""
        return (
            0 if self.category == ANY else len(self.category.partition(":")[2]) + 1,
            _AREA_LEVELS.index(self.area.partition(":")[0]),
            int(self.component_unit != ANY),
            int(self.channel != ANY),
        )


def village_department(village_code: str) -> str:
    """The department of a village: V and the last three digits of its 12-digit code."""
    return f"V{village_code[-3:]}"


# --- Reading a duty list ----------------------------------------------------------------------------------------


def _rule(position: int, raw: Any) -> Rule:
    where = f"rules[{position}]"
    if not isinstance(raw, Mapping):
        raise DefinitionBad(where=where, why="a rule is a mapping")
    where = f"{where} (id {raw.get('id', '?')})"
    if extra := set(raw) - _FIELDS:
        raise DefinitionBad(where=where, why=f"unknown field {', '.join(sorted(map(str, extra)))}")

    def text(name: str, default: str | None = None) -> str:
        value = raw.get(name, default)
        if not isinstance(value, str) or not value.strip() or value != value.strip():
            raise DefinitionBad(where=f"{where}.{name}", why=f"{name} must be a text, not {value!r}")
        return value

    helpers = raw.get("co_departments", [])
    if not isinstance(helpers, list) or not all(isinstance(code, str) and code for code in helpers):
        raise DefinitionBad(where=f"{where}.co_departments", why="co_departments must be a list of department codes")
    if not isinstance(raw.get("note", ""), str):
        raise DefinitionBad(where=f"{where}.note", why="note must be a text")
    rule = Rule(
        id=text("id"),
        category=_category(text("category"), where),
        area=_area(text("area", ANY), where),
        component_unit=text("component_unit", ANY),
        channel=text("channel", ANY),
        department=text("department"),
        co_departments=tuple(helpers),
        workflow=text("workflow") if "workflow" in raw else "",
        position=position,
    )
    for target in (rule.department, *rule.co_departments):
        if target.startswith("@") and target not in _TARGET_NAMES:
            raise DefinitionBad(where=where, why=f"unknown target {target}; known: {', '.join(sorted(_TARGET_NAMES))}")
    return rule


def _category(text: str, where: str) -> str:
    if not re.fullmatch(r"\*|(component|event)(:(\d{2}|\d{4}))?", text, re.ASCII):
        why = f"category must be *, component, event, or one of these with 2 or 4 digits, not {text}"
        raise DefinitionBad(where=f"{where}.category", why=why)
    return text


def _area(text: str, where: str) -> str:
    """The area with its level: a bare code of 15 digits is a unit grid, of 12 a village, any other a duty grid."""
    if text == ANY:
        return text
    level, _, code = text.rpartition(":")
    if not level:
        level = "grid" if re.fullmatch(r"\d{15}", code) else "village" if re.fullmatch(r"\d{12}", code) else "duty"
    form = {"class": r"[ABC]", "village": r"\d{12}", "grid": r"\d{15}", "duty": r"[0-9A-Za-z-]{3,30}"}
    if level not in form or not re.fullmatch(form[level], code, re.ASCII):
        raise DefinitionBad(
            where=f"{where}.area", why=f"area must be *, class:A|B|C, or a grid or village code: {text}"
        )
    return f"{level}:{code}"


class DutyList:
    """A checked duty list. Immutable; safe to share between threads."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        """``rules`` with unique ids and keys; :meth:`from_body` checks that."""
        self.rules = tuple(rules)
        self._ranked = sorted(self.rules, key=lambda rule: (*(-n for n in rule.specificity), rule.position))
        self._by_category: dict[str, list[Rule]] = {}
        self._index: dict[tuple[str, str], list[Rule]] = {}
        self._areas = {rule.area for rule in self.rules}
        self._channels = {rule.channel for rule in self.rules}
        self._competent = {rule.component_unit for rule in self.rules}
        for rule in self._ranked:
            self._by_category.setdefault(rule.category, []).append(rule)
            self._index.setdefault((rule.category, rule.area), []).append(rule)
        self._rank = {rule.id: rank for rules in self._by_category.values() for rank, rule in enumerate(rules)}

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "DutyList":
        """The checked form of a definition body.

        Raises ``DefinitionBad`` naming the first wrong rule and what is wrong with it; every one is in ``all``.
        """
        raw = body.get("rules")
        if not isinstance(raw, list) or not raw:
            raise DefinitionBad(where="rules", why="a duty list needs a list of rules")
        rules: list[Rule] = []
        wrong: list[dict[str, str]] = []
        ids: dict[str, Rule] = {}
        keys: dict[tuple[str, str, str, str], Rule] = {}
        for position, row in enumerate(raw):
            try:
                rule = _rule(position, row)
            except DefinitionBad as problem:
                wrong.append(problem.detail)
                continue
            rules.append(rule)
            where = f"rules[{rule.position}] (id {rule.id})"
            if (other := ids.setdefault(rule.id, rule)) is not rule:
                wrong.append({"where": where, "why": f"the id is already that of rules[{other.position}]"})
            elif (other := keys.setdefault(rule.key, rule)) is not rule:
                why = f"rule {other.id} (rules[{other.position}]) is already about {' '.join(rule.key)}"
                wrong.append({"where": where, "why": why})
        if wrong:
            raise DefinitionBad(**wrong[0], all=wrong)
        return cls(rules)

    def check_names(
        self,
        categories: Iterable[tuple[str, str]],
        departments: Iterable[str],
        channels: Iterable[str],
        workflows: Iterable[str] | None = None,
        areas: Iterable[Place] | None = None,
    ) -> None:
        """Refuse names that do not exist. ``categories`` are (kind, code); None for what is not to be checked.

        Raises ``DefinitionBad`` with the rule, the field and the unknown name; every unknown name is in ``all``.
        """
        wrong = self.unknown_names(categories, departments, channels, workflows, areas)
        if wrong:
            raise DefinitionBad(**wrong[0], all=wrong)

    def unknown_names(
        self,
        categories: Iterable[tuple[str, str]],
        departments: Iterable[str],
        channels: Iterable[str],
        workflows: Iterable[str] | None = None,
        areas: Iterable[Place] | None = None,
    ) -> list[dict[str, str]]:
        """What :meth:`check_names` refuses: {"where", "why"} of every name that does not exist."""
        prefixes = {ANY}
        for kind, code in categories:
            prefixes |= {kind, f"{kind}:{code[:2]}", f"{kind}:{code}"}
        known = {*departments, *_TARGETS, "@village"}
        told, flows = {ANY, *channels}, None if workflows is None else set(workflows)
        places = None if areas is None else {key for place in areas for key in area_keys(place)}
        wrong = []
        for rule in self.rules:
            found = [("category", rule.category)] if rule.category not in prefixes else []
            found += [("department", code) for code in (rule.department, *rule.co_departments) if code not in known]
            found += [("component_unit", rule.component_unit)] if rule.component_unit not in {ANY, *known} else []
            found += [("channel", rule.channel)] if rule.channel not in told else []
            found += [("workflow", rule.workflow)] if flows is not None and rule.workflow not in {"", *flows} else []
            found += [("area", rule.area)] if places is not None and rule.area not in places else []
            at = f"rules[{rule.position}] (id {rule.id})"
            wrong += [{"where": f"{at}.{field}", "why": f"unknown: {name}"} for field, name in found]
        return wrong

    # --- One case -----------------------------------------------------------------------------------------------

    def route(self, facts: RoutingFacts) -> Routing:
        """The department of one case with the reasons. Never refuses: a case nobody owns still has to be kept."""
        rule = self.find(facts)
        if rule is None:
            return Routing(None, (), "", "", tuple(self._trace(facts, None, None)))
        department, co_departments = assigned(rule, facts)
        trace = tuple(self._trace(facts, rule, department))
        return Routing(department, co_departments, rule.workflow, rule.id, trace)

    def find(self, facts: RoutingFacts) -> Rule | None:
        """The rule that holds, or None: :meth:`route` without the words."""
        units, index = facts.component_units, self._index
        competent = units[0] if units else ""
        areas = area_keys(facts)
        for category in _prefixes(facts.category_kind, facts.category_code):
            if category in self._by_category:
                for area in areas:
                    for rule in index.get((category, area), ()):
                        if (
                            rule.channel in (ANY, facts.channel)
                            and (rule.component_unit == ANY or rule.component_unit == competent)
                            and _department(rule.department, facts)
                        ):
                            return rule
        return None

    def _passed_over(self, facts: RoutingFacts, winner: Rule | None) -> tuple[list[tuple[Rule, str, str]], int]:
        """The more specific rules of the case's class: the first few with what keeps each from it, and all's count."""
        passed: list[tuple[Rule, str, str]] = []
        count = 0
        for category in _prefixes(facts.category_kind, facts.category_code):
            rules = self._by_category.get(category, [])
            ends = winner is not None and winner.category == category
            before = self._rank[winner.id] if winner and ends else len(rules)
            passed += [(rule, *_obstacle(rule, facts)) for rule in rules[: min(before, _TOLD - len(passed))]]
            count += before
            if ends:
                break
        return passed, count

    def _trace(self, facts: RoutingFacts, rule: Rule | None, department: str | None) -> Iterator[str]:
        """Sentences for people, then one line for machines."""
        units = facts.component_units
        owners = f"；主管 {units[0] or '未知'}，权属 {units[1] or '未知'}，养护 {units[2] or '未知'}" if units else ""
        yield (
            f"事实：{_category_text(f'{facts.category_kind}:{facts.category_code}')}，单元网格 {facts.unit_grid_code}，"
            f"责任网格 {facts.duty_grid_code or '无'}，村居 {facts.village_code}，{facts.area_class} 类区域，"
            f"来源 {facts.channel}，等级 {facts.severity}{owners}"
        )
        if rule is None:
            yield "没有适用的规则，由派遣员确定部门"
        else:
            channel = "" if rule.channel == ANY else f"、来源 {rule.channel}"
            unit = "" if rule.component_unit == ANY else f"、主管单位 {rule.component_unit}"
            target = _TARGET_NAMES.get(rule.department)
            about = f"{_category_text(rule.category)}、{_area_text(rule.area)}{unit}{channel}"
            yield f"依据规则 {rule.id}（{about}）：由{target + ' ' if target else ' '}{department} 处置"
        passed, count = self._passed_over(facts, rule)
        for other, _, reason in passed:
            yield f"未用更具体的规则 {other.id}：{reason}"
        if count > len(passed):
            yield f"另有 {count - len(passed)} 条更具体的规则不适用"
        skipped = ",".join(f"{other.id}({field})" for other, field, _ in passed) or "-"
        key = "" if rule is None else f" key={'/'.join(rule.key)} target={rule.department}"
        place = (facts.unit_grid_code, facts.duty_grid_code, facts.village_code, facts.area_class)
        known = (f"{facts.category_kind}:{facts.category_code}", *place, facts.channel, str(facts.severity))
        owned = f" units={'/'.join(units)}" if units else ""
        yield (
            f"rule={rule.id if rule else '-'} department={department or '-'}{key} skipped={count}:{skipped}"
            f" facts={'/'.join(known)}{owned}"
        )

    # --- Millions of cases --------------------------------------------------------------------------------------

    def route_bulk(
        self,
        categories: Sequence[tuple[str, str]],
        category: NDArray[Any],
        places: Sequence[Place],
        place: NDArray[Any],
        channels: Sequence[str],
        channel: NDArray[Any] | None = None,
        units: Sequence[Units | None] = (None,),
        unit: NDArray[Any] | None = None,
    ) -> Indices:
        """Positions in ``rules`` (int32, -1 for none) of n cases, the same rules :meth:`route` finds one by one.

        Each array holds n positions in the sequence before it: ``category`` in ``categories`` ((kind, code)),
        ``place`` in ``places`` (-1: nowhere, answers -1), ``channel`` and ``unit`` likewise (left out: all the first).
        Cases differ for the rules only by class and by the areas, channels and units the rules name: a table over
        these is painted with the rules from the widest to the most specific, and each case looks up its cell.
        """
        area_of, areas = _profiles([tuple(key for key in area_keys(one) if key in self._areas) for one in places])
        channel_of, tellings = _profiles([(one,) if one in self._channels else () for one in channels])
        unit_of, owners = _profiles([self._unit_profile(one) for one in units])
        table = np.full((len(categories), len(areas), len(tellings), len(owners)), -1, np.int32)
        prefixes = [_prefixes(*one) for one in categories]
        for rule in reversed(self._ranked):
            fits = np.ix_(
                [rule.category in one for one in prefixes],
                [rule.area == ANY or rule.area in one for one in areas],
                [rule.channel == ANY or rule.channel in one for one in tellings],
                [
                    rule.component_unit in (ANY, competent) and known[_TARGETS.get(rule.department, -1)]
                    for competent, known in owners
                ],
            )
            table[fits] = rule.position
        flat = np.append(table.ravel(), np.int32(-1))  # the last cell answers for nowhere
        answer = np.empty(len(place), np.int32)
        for begin in range(0, len(place), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            cell = category[part].astype(np.int64) * table.shape[1] + area_of[place[part]]
            cell = cell * table.shape[2] + (0 if channel is None else channel_of[channel[part]])
            cell = cell * table.shape[3] + (0 if unit is None else unit_of[unit[part]])
            cell[place[part] < 0] = -1
            answer[part] = flat[cell]
        return answer

    def _unit_profile(self, units: Units | None) -> tuple[str, tuple[bool, bool, bool, bool]]:
        """What rules see of a component's units: the competent one if named, which are known; at -1 what always is."""
        competent, owner, maintenance = units or ("", "", "")
        known = (bool(competent), bool(owner), bool(maintenance), True)
        return competent if competent in self._competent else "", known


def _profiles(profiles: Sequence[Profile]) -> tuple[Indices, list[Profile]]:
    """(number of each profile, the distinct ones by number)."""
    numbers: dict[Profile, int] = {}
    of = [numbers.setdefault(profile, len(numbers)) for profile in profiles]
    return np.array(of or [0], np.int32), list(numbers)


def _prefixes(kind: str, code: str) -> tuple[str, str, str, str]:
    """The categories of rules that hold the class, the narrowest first."""
    return f"{kind}:{code}", f"{kind}:{code[:2]}", kind, ANY


def area_keys(place: Place) -> tuple[str, ...]:
    """The areas of rules that hold the place, the smallest first."""
    return (
        f"grid:{place.unit_grid_code}",
        f"duty:{place.duty_grid_code}",
        f"village:{place.village_code}",
        f"class:{place.area_class}",
        ANY,
    )


def _department(target: str, facts: RoutingFacts) -> str:
    """The department a target stands for, '' where it is unknown."""
    if not target.startswith("@"):
        return target
    if target == "@village":
        return village_department(facts.village_code)
    return facts.component_units[_TARGETS[target]] if facts.component_units else ""


def assigned(rule: Rule, facts: RoutingFacts) -> tuple[str, tuple[str, ...]]:
    """(department, co-departments) that a rule which holds gives a case."""
    department = _department(rule.department, facts)
    helpers = dict.fromkeys(_department(code, facts) for code in rule.co_departments)
    return department, tuple(code for code in helpers if code and code != department)


def _obstacle(rule: Rule, facts: RoutingFacts) -> tuple[str, str]:
    """Which field keeps a rule of the case's class from applying, and why."""
    if rule.area not in area_keys(facts):
        return "area", f"只管{_area_text(rule.area)}"
    if rule.component_unit not in (ANY, (facts.component_units or ("",))[0]):
        return "component_unit", f"只管主管单位为 {rule.component_unit} 的部件"
    if rule.channel not in (ANY, facts.channel):
        return "channel", f"只管来源 {rule.channel}"
    return "department", f"部件的{_TARGET_NAMES[rule.department]}未知"


def _category_text(category: str) -> str:
    kind, _, code = category.partition(":")
    name = {"component": "部件", "event": "事件", ANY: "类别"}[kind]
    return f"全部{name}" if not code else f"{name}{'大类' if len(code) == 2 else ''} {code}"


def _area_text(area: str) -> str:
    level, _, code = area.partition(":")
    return "全镇" if area == ANY else f"{_AREA_NAMES[level]} {code}"
