"""A draft of the duty list against cases that were: who would have had each. Pure; knows no case but its facts."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from gis.routing import DutyList, Indices, RoutingFacts, Rule, assigned

_T = TypeVar("_T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Answer:
    """Whose a case is by one list; ``department`` and ``rule_id`` are '' where no rule holds."""

    department: str
    co_departments: tuple[str, ...]
    workflow: str
    rule_id: str


NOBODY = Answer("", (), "", "")


def answers(duty_list: DutyList, facts: Sequence[RoutingFacts]) -> list[Answer]:
    """What :meth:`DutyList.route` says of each case, found in bulk."""
    categories, category = _numbered((one.category_kind, one.category_code) for one in facts)
    places, place = _numbered(
        _Place(one.village_code, one.unit_grid_code, one.duty_grid_code, one.area_class) for one in facts
    )
    channels, channel = _numbered(one.channel for one in facts)
    units, unit = _numbered(one.component_units for one in facts)
    if not facts:
        return []
    rules = duty_list.route_bulk(categories, category, places, place, channels, channel, units, unit)
    told: dict[tuple[int, str, object], Answer] = {}
    found = []
    for position, one in zip(rules.tolist(), facts, strict=True):
        key = (position, one.village_code, one.component_units)
        answer = told.get(key)
        if answer is None:
            answer = told[key] = _answer(duty_list.rules[position], one) if position >= 0 else NOBODY
        found.append(answer)
    return found


def _answer(rule: Rule, facts: RoutingFacts) -> Answer:
    department, helpers = assigned(rule, facts)
    return Answer(department, helpers, rule.workflow, rule.id)


@dataclass(frozen=True, slots=True)
class _Place:
    village_code: str
    unit_grid_code: str
    duty_grid_code: str
    area_class: str


def _numbered(values: Iterable[_T]) -> tuple[list[_T], Indices]:
    """(the distinct values, the number of each)."""
    numbers: dict[_T, int] = {}
    of = [numbers.setdefault(value, len(numbers)) for value in values]
    return list(numbers), np.array(of, np.int32)
