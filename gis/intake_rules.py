"""How intake helps, as data: what is the same problem, and which category words and surroundings suggest. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

from gis import bodies
from gis.bodies import Label
from gis.catalogue import Catalogue, Category, FilingStandard
from gis.errors import CategoryUnknown, DefinitionBad

WORDS_MAX: Final = 200
# More kinds of components than this stand around every corner.
_NEAR_MOST: Final = 3
# How much a hint weighs: what somebody says, then what stands there, then what is usual there.
_NAMED, _SAID, _CONDITION, _COMPONENT, _OFTEN = 10.0, 8.0, 3.0, 6.0, 1.0


@dataclass(frozen=True)
class IntakeRules:
    """The checked rules. ``words`` is what people say, by (kind, code)."""

    similar_m: float
    similar_within: timedelta
    similar_most: int
    components_m: float
    places_m: float
    often_within: timedelta
    often_most: int
    words: Mapping[tuple[str, str], tuple[str, ...]]


@dataclass
class Suggestion:
    """A category that may be meant, with the reasons, the weightiest first."""

    category: Category
    score: float = 0.0
    why: list[Label] = field(default_factory=list)

    def add(self, score: float, zh: str, en: str) -> None:
        """One more reason."""
        self.score += score
        self.why.append({"zh": zh, "en": en})


def parse(body: Mapping[str, Any]) -> IntakeRules:
    """Check the rules' body. Raises ``DefinitionBad``."""

    def number(part: str, key: str, most: float) -> float:
        value = bodies.entry(bodies.entry(body, part, dict, part), key, object, part)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
            raise DefinitionBad(where=f"{part}.{key}", why=f"must be above 0 and at most {most}")
        return float(value)

    words = {}
    for name in bodies.entry(body, "words", dict, "words", {}):
        kind, _, code = str(name).partition(":")
        if kind not in ("component", "event") or len(code) != 4:
            raise DefinitionBad(where=f"words.{name}", why="a category is component or event, a colon and 4 digits")
        words[kind, code] = bodies.texts(body["words"], name, "words")
    return IntakeRules(
        similar_m=number("similar", "radius_m", 1000),
        similar_within=timedelta(hours=number("similar", "hours", 24 * 90)),
        similar_most=int(number("similar", "most", 100)),
        components_m=number("near", "components_m", 1000),
        places_m=number("near", "places_m", 5000),
        often_within=timedelta(days=number("often", "days", 3660)),
        often_most=int(number("often", "most", 20)),
        words=words,
    )


def check_names(rules: IntakeRules, catalogue: Catalogue) -> None:
    """Refuse words for a category that does not exist. Raises ``DefinitionBad``."""
    wrong = sorted(f"{kind}:{code}" for kind, code in rules.words if catalogue.find(kind, code) is None)
    if wrong:
        raise DefinitionBad(where="words", why=f"unknown category: {', '.join(wrong)}")


@lru_cache(maxsize=4096)
def search_text(name: str) -> str:
    """What a category is found by: its name, pinyin and initials, lower case."""
    from pypinyin import lazy_pinyin  # not before it is needed: its dictionary takes 50 MB

    syllables = lazy_pinyin(name)
    return " ".join([name, "".join(syllables), "".join(s[:1] for s in syllables)]).lower()


def suggest(
    rules: IntakeRules,
    catalogue: Catalogue,
    standard: FilingStandard,
    words: str,
    components: Sequence[tuple[str, str, float]],
    often: Iterable[tuple[str, str, int]],
    most: int = 8,
) -> list[Suggestion]:
    """Categories that may be meant, the likeliest first; ties in the order of the catalogue.

    ``components`` are (category code, name, metres), the nearest first; ``often`` are (kind, code, cases) of the grid.
    """
    found: dict[tuple[str, str], Suggestion] = {}

    def of(category: Category) -> Suggestion:
        return found.setdefault((category.kind, category.code), Suggestion(category))

    said = words.strip().lower()[:WORDS_MAX]
    if said:
        for category in catalogue:
            _by_words(rules, standard, of, category, said)
    nearest = {code: (name, metres) for code, name, metres in reversed(components)}
    for code, (name, metres) in sorted(nearest.items(), key=lambda one: one[1][1])[:_NEAR_MOST]:
        there = catalogue.find("component", code)
        if there is not None:
            of(there).add(_COMPONENT / (1 + metres / 10), f"{metres:.0f} 米处有{name}", f"{name} {metres:.0f} m away")
    for kind, code, cases in often:
        usual = catalogue.find(kind, code)
        if usual is not None:
            days = rules.often_within.days
            of(usual).add(
                min(_OFTEN + cases / 50, 2 * _OFTEN),
                f"本网格近 {days} 日上报过 {cases} 件",
                f"{cases} reported in this grid in {days} days",
            )
    place = {(c.kind, c.code): index for index, c in enumerate(catalogue)}
    ranked = sorted(found.values(), key=lambda s: (-s.score, place[s.category.kind, s.category.code]))
    return ranked[:most]


def _by_words(rules: IntakeRules, standard: FilingStandard, of: Any, category: Category, said: str) -> None:
    name = category.name.lower()
    if name in said or (len(said) >= 2 and said in search_text(category.name)):
        of(category).add(_NAMED, f"所述文字与“{category.name}”相符", f"the words name {category.name}")
    hits = [word for word in rules.words.get((category.kind, category.code), ()) if word.lower() in said]
    if hits:
        told = "、".join(hits[:3])
        of(category).add(_SAID + len(hits), f"提到“{told}”", f"it says “{told}”")
    try:
        conditions = standard.conditions(category.kind, category.code)
    except CategoryUnknown:
        return
    pairs = {said[i : i + 2] for i in range(len(said) - 1) if not said[i : i + 2].isascii()}
    shared = max((sum(pair in row.text for pair in pairs) for row in conditions), default=0)
    if shared >= 2:
        of(category).add(
            _CONDITION + 0.3 * shared, "与其立案条件的文字相近", "close to the words of its filing condition"
        )
