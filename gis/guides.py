"""Guided intake (情形引导): a tree of small questions whose answers are situations with a category. Pure.

Several situations may be chosen. Situations that ``merge`` become one report: the one that merges the others leads,
and what they need is asked for once. Situations that ``exclude`` each other cannot both be. Others are reports of
their own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gis import bodies, errors
from gis.bodies import Label
from gis.catalogue import KINDS, Catalogue, FilingStandard
from gis.errors import DefinitionBad

CHOSEN_MAX: Final = 20
_MATERIAL_TYPES: Final = ("photo", "text", "file")


@dataclass(frozen=True)
class Material:
    """Something a report needs: a photo of the scene, a paper."""

    code: str
    name: Label
    type: str
    required: bool


@dataclass(frozen=True)
class Option:
    """One answer: either the way to the next question or a situation with its category."""

    code: str
    name: Label
    picture: str
    next: str = ""
    kind: str = ""
    category: str = ""
    condition: str = ""
    fill: Mapping[str, Any] = field(default_factory=dict)
    material: tuple[str, ...] = ()
    merges: frozenset[str] = frozenset()
    excludes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Question:
    """One question; ``many``: more than one answer may be chosen."""

    code: str
    text: Label
    many: bool
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Guide:
    """A checked guide; the first question begins it. ``situations`` are the options that name a category."""

    code: str
    name: Label
    channels: tuple[str, ...]
    questions: Mapping[str, Question]
    situations: Mapping[str, Option]
    material: Mapping[str, Material]
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class Situation:
    """One report that the chosen options come to. ``because`` are the options, the leading one first."""

    kind: str
    category: str
    condition: str
    fill: Mapping[str, Any]
    material: tuple[Material, ...]
    because: tuple[Option, ...]


def parse(body: Mapping[str, Any]) -> Guide:
    """Check a guide's body completely. Raises ``DefinitionBad`` naming the place and the fault."""
    material = {
        code: _material(code, raw) for code, raw in bodies.entry(body, "materials", dict, "materials", {}).items()
    }
    questions: dict[str, Question] = {}
    options: dict[str, Option] = {}
    for index, raw in enumerate(bodies.entry(body, "questions", list, "questions")):
        question = _question(raw, f"questions[{index}]", material)
        if question.code in questions:
            raise DefinitionBad(where=f"questions[{index}]", why=f"question {question.code} is asked twice")
        questions[question.code] = question
        for option in question.options:
            if option.code in options:
                raise DefinitionBad(where=f"questions[{index}]", why=f"option {option.code} is offered twice")
            options[option.code] = option
    if not questions:
        raise DefinitionBad(where="questions", why="a guide needs questions")
    situations = {code: option for code, option in options.items() if option.category}
    for option in options.values():
        where = f"option {option.code}"
        bodies.known([option.next] if option.next else [], questions, where, "question")
        bodies.known(option.merges | option.excludes, situations, where, "situation")
        others = option.merges | {o.code for o in options.values() if option.code in o.merges}
        forbidden = option.excludes | {o.code for o in options.values() if option.code in o.excludes}
        if option.code in others | forbidden or others & forbidden:
            raise DefinitionBad(where=where, why="merges or excludes itself, or both merges and excludes one")
    _check_tree(questions)
    return Guide(
        code=bodies.entry(body, "code", str, ""),
        name=bodies.label(body, "name", "name"),
        channels=bodies.texts(body, "channels", "channels"),
        questions=questions,
        situations=situations,
        material=material,
        schema=body,
    )


def check_names(
    guides: Iterable[Guide], catalogue: Catalogue, standard: FilingStandard, channels: Iterable[str]
) -> None:
    """Refuse a guide that names a category, condition or channel that does not exist. Raises ``DefinitionBad``."""
    for guide in guides:
        bodies.known(guide.channels, list(channels), f"guide/{guide.code}.channels", "channel")
        for option in guide.situations.values():
            try:
                catalogue.category(option.kind, option.category)
                standard.condition(option.kind, option.category, option.condition)
            except (errors.CategoryUnknown, errors.ConditionUnknown) as problem:
                where = f"guide/{guide.code} option {option.code}"
                raise DefinitionBad(where=where, why=problem.title_en, **problem.detail) from problem


def resolve(guide: Guide, chosen: Sequence[str]) -> list[Situation]:
    """The reports that the chosen situations come to, in the guide's order, each piece of material once in a report.

    Raises ``SituationUnknown`` for a code that is no situation and ``SituationsExclude`` in words for those that
    cannot both be.
    """
    unknown = sorted({str(code) for code in chosen} - set(guide.situations))
    if unknown or len(chosen) > CHOSEN_MAX:
        raise errors.SituationUnknown(unknown=unknown[:CHOSEN_MAX], most=CHOSEN_MAX)
    options = [option for code, option in guide.situations.items() if code in chosen]
    for index, one in enumerate(options):
        for other in options[index + 1 :]:
            if other.code in one.excludes or one.code in other.excludes:
                raise errors.SituationsExclude(
                    f"“{one.name['zh']}”与“{other.name['zh']}”不能同时选择，请分开上报或只选一项",
                    f"“{one.name['en']}” and “{other.name['en']}” cannot both be chosen",
                    situations=[one.code, other.code],
                )
    return [_together(guide, group) for group in _groups(options)]


def _groups(options: Sequence[Option]) -> list[list[Option]]:
    """Options joined by merging, directly or through others; in each the one leads that no other of it merges."""
    group_of = {option.code: [option] for option in options}
    for one in options:
        for other in options:
            mine, theirs = group_of[one.code], group_of[other.code]
            if other.code in one.merges and mine is not theirs:
                mine += theirs
                group_of |= dict.fromkeys((o.code for o in theirs), mine)
    place = {option.code: index for index, option in enumerate(options)}
    found = []
    for group in {id(group): group for group in group_of.values()}.values():
        merged = {code for option in group for code in option.merges}
        found.append(sorted(group, key=lambda option: (option.code in merged, place[option.code])))
    return found


def _together(guide: Guide, group: Sequence[Option]) -> Situation:
    lead = group[0]
    fill: dict[str, Any] = {}
    for option in reversed(group):  # the leading one has the last word
        fill |= option.fill
    needed = dict.fromkeys(code for option in group for code in option.material)
    material = tuple(guide.material[code] for code in needed)
    return Situation(lead.kind, lead.category, lead.condition, fill, material, tuple(group))


def _check_tree(questions: Mapping[str, Question]) -> None:
    ways = {code: [option.next for option in q.options if option.next] for code, q in questions.items()}
    bodies.ordered(ways, "questions", "questions lead")
    first = next(iter(questions))
    reached = {first, *(code for targets in ways.values() for code in targets)}
    unreached = sorted(set(questions) - reached)
    if unreached:
        raise DefinitionBad(where="questions", why=f"never asked: {', '.join(unreached)}")


def _material(code: str, raw: Any) -> Material:
    where = f"materials.{code}"
    kind = bodies.entry(raw, "type", str, where)
    bodies.known([kind], _MATERIAL_TYPES, where, "type of material")
    return Material(code, bodies.label(raw, "name", where), kind, bodies.entry(raw, "required", bool, where, False))


def _question(raw: Any, where: str, material: Mapping[str, Material]) -> Question:
    code = bodies.entry(raw, "code", str, where)
    options = tuple(
        _option(one, f"{where}.options[{index}]", material)
        for index, one in enumerate(bodies.entry(raw, "options", list, where))
    )
    if not options:
        raise DefinitionBad(where=where, why=f"question {code} has no options")
    return Question(code, bodies.label(raw, "text", where), bodies.entry(raw, "many", bool, where, False), options)


_OPTION_KEYS = {"code", "name", "picture", "next", "category", "condition", "fill", "material", "merges", "excludes"}


def _option(raw: Any, where: str, material: Mapping[str, Material]) -> Option:
    code = bodies.entry(raw, "code", str, where)
    where = f"{where} ({code})"
    bodies.known(raw, _OPTION_KEYS, where, "key")
    following, category = bodies.entry(raw, "next", str, where, ""), bodies.entry(raw, "category", str, where, "")
    if bool(following) == bool(category):
        raise DefinitionBad(where=where, why="an option leads to a next question or names a category: one of them")
    kind, _, digits = category.partition(":")
    if category and (kind not in KINDS or len(digits) != 4):
        raise DefinitionBad(where=where, why=f"category is component or event, a colon and 4 digits, not {category}")
    fill = bodies.entry(raw, "fill", dict, where, {})
    bodies.known(fill, {"severity", "description"}, where, "field to fill")
    if fill.get("severity", 1) not in (1, 2, 3) or not isinstance(fill.get("description", ""), str):
        raise DefinitionBad(where=where, why="severity is 1, 2 or 3 and description a text")
    needed = bodies.texts(raw, "material", where, [])
    bodies.known(needed, material, where, "material")
    return Option(
        code,
        bodies.label(raw, "name", where),
        bodies.entry(raw, "picture", str, where, ""),
        following,
        kind if category else "",
        digits,
        bodies.entry(raw, "condition", str, where, ""),
        fill,
        needed,
        frozenset(bodies.texts(raw, "merges", where, [])),
        frozenset(bodies.texts(raw, "excludes", where, [])),
    )
