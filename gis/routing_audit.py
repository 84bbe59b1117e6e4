"""What is wrong with a duty list as a whole: duties nobody has, rules that meet by precedence only, idle rules.

Pure. Works on the classes and places that exist; knows nothing of past cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from gis.routing import ANY, DutyList, Place, RoutingFacts, Rule, Units, area_keys

_UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class Gap:
    """Cases of a class at ``grids`` unit grids that no rule takes when the component's units are unknown.

    ``example`` is one of these grids; ``with_component`` says whether a known component would find a department.
    """

    category: tuple[str, str]
    grids: int
    example: str
    with_component: bool


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two rules that meet on some cases, name different departments, and neither narrows the other.

    Only the order of comparison decides for ``winner``; ``example`` is a unit grid where they meet.
    """

    winner: str
    loser: str
    example: str


@dataclass(frozen=True, slots=True)
class Audit:
    """``idle`` are ids of rules that decide no case, since more specific ones take all of theirs or they fit none."""

    gaps: tuple[Gap, ...]
    overlaps: tuple[Overlap, ...]
    idle: tuple[str, ...]


def audit(duty_list: DutyList, categories: Sequence[tuple[str, str]], places: Sequence[Place]) -> Audit:
    """Audit against the classes (kind, code) and the places (unit grids) that exist."""
    return Audit(
        _gaps(duty_list, categories, places), _overlaps(duty_list, places), _idle(duty_list, categories, places)
    )


def _facts(category: tuple[str, str], place: Place, channel: str, units: Units | None) -> RoutingFacts:
    return RoutingFacts(
        *category, place.village_code, place.unit_grid_code, place.duty_grid_code, place.area_class, channel, 1, units
    )


def _alike(duty_list: DutyList, places: Sequence[Place]) -> list[list[Place]]:
    """Places in groups that no rule tells apart."""
    named = {rule.area for rule in duty_list.rules}
    groups: dict[tuple[str, ...], list[Place]] = {}
    for place in places:
        groups.setdefault(tuple(key for key in area_keys(place) if key in named), []).append(place)
    return list(groups.values())


def _gaps(duty_list: DutyList, categories: Sequence[tuple[str, str]], places: Sequence[Place]) -> tuple[Gap, ...]:
    found = []
    known = (_UNKNOWN, _UNKNOWN, _UNKNOWN)
    for category in categories:
        open_groups = [
            group
            for group in _alike(duty_list, places)
            if duty_list.find(_facts(category, group[0], _UNKNOWN, None)) is None
        ]
        if open_groups:
            saved = all(duty_list.find(_facts(category, group[0], _UNKNOWN, known)) for group in open_groups)
            example = min(place.unit_grid_code for place in open_groups[0])
            found.append(Gap(category, sum(map(len, open_groups)), example, saved))
    return tuple(found)


def _overlaps(duty_list: DutyList, places: Sequence[Place]) -> tuple[Overlap, ...]:
    where: dict[str, set[str]] = {}
    for place in places:
        for key in area_keys(place):
            where.setdefault(key, set()).add(place.unit_grid_code)
    ranked = sorted(duty_list.rules, key=lambda rule: rule.specificity, reverse=True)
    found = []
    for at, winner in enumerate(ranked):
        for loser in ranked[at + 1 :]:
            if winner.department == loser.department or _narrows(winner, loser) or not _meet(winner, loser):
                continue
            shared = where.get(winner.area, set()) & where.get(loser.area, set())
            if shared:
                found.append(Overlap(winner.id, loser.id, min(shared)))
    return tuple(found)


def _narrows(narrow: Rule, wide: Rule) -> bool:
    """Whether no field of ``narrow`` is wider than that of ``wide``; areas go by level, in the order of comparison."""
    return (
        narrow.specificity[1] >= wide.specificity[1]
        and wide.component_unit in (ANY, narrow.component_unit)
        and wide.channel in (ANY, narrow.channel)
    )


def _meet(one: Rule, other: Rule) -> bool:
    """Whether some case fits both, areas aside."""
    longer, shorter = (one, other) if one.specificity[0] >= other.specificity[0] else (other, one)
    return (
        (shorter.category == ANY or longer.category.startswith(shorter.category))
        and (ANY in (one.component_unit, other.component_unit) or one.component_unit == other.component_unit)
        and (ANY in (one.channel, other.channel) or one.channel == other.channel)
    )


def _idle(duty_list: DutyList, categories: Sequence[tuple[str, str]], places: Sequence[Place]) -> tuple[str, ...]:
    rules = duty_list.rules
    channels = [*sorted({rule.channel for rule in rules} - {ANY}), _UNKNOWN]
    competent = [*sorted({rule.component_unit for rule in rules} - {ANY}), _UNKNOWN, ""]
    units: list[Units | None] = [None, *product(competent, (_UNKNOWN, ""), (_UNKNOWN, ""))]
    groups = _alike(duty_list, places)
    used: set[str] = set()
    for category, group, channel, unit in product(categories, groups, channels, units):
        rule = duty_list.find(_facts(category, group[0], channel, unit))
        if rule is not None:
            used.add(rule.id)
    return tuple(rule.id for rule in rules if rule.id not in used)
