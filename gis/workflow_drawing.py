"""A drawn workflow made safe to walk, and what is found wrong with it. Knows no rules."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["error", "warning"]
Part = Literal["flow", "state", "start", "action"]
# Where no person acts.
NOBODY = frozenset({"system"})


@dataclass(frozen=True)
class Fault:
    """One thing wrong. ``part`` and ``code`` say where, ``index`` which action of that code, ``key`` which entry."""

    rule: str
    level: Level
    part: Part
    code: str
    key: str
    zh: str
    en: str
    index: int | None = None


@dataclass
class Drawing:
    """A body made safe to walk: what is of the wrong form is left out here and told as a fault."""

    states: dict[str, Mapping[str, Any]]
    actions: list[tuple[int, Mapping[str, Any]]]
    start: Mapping[str, Any]
    found: list[Fault] = field(default_factory=list)

    def say(self, rule: str, level: Level, place: tuple[Part, str, int | None], key: str, zh: str, en: str) -> None:
        """Tell a fault."""
        part, code, index = place
        self.found.append(Fault(rule, level, part, code, key, zh, en, index))


def texts(value: Any) -> list[str]:
    """The texts of a list, whatever else it holds; a text alone is a list of one."""
    if isinstance(value, str):
        return [value]
    return [v for v in value if isinstance(v, str)] if isinstance(value, list | tuple) else []


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The mappings of a list, whatever else it holds."""
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list | tuple) else []


def is_open(raw: Mapping[str, Any]) -> bool:
    """Whether a case goes on from this state."""
    return bool(raw.get("status", "open") == "open")


def name_of(raw: Mapping[str, Any], language: str = "zh") -> str:
    """What people call a state or an action; its code where it has no name."""
    label = raw.get("name")
    given = label.get(language) if isinstance(label, Mapping) else None
    return str(given or raw.get("code") or "?")


def arrows(drawing: Drawing) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Every way from a state to a state with its action; one that stays leads back to where it begins."""
    for _, raw in drawing.actions:
        for source in texts(raw.get("from", [])):
            target = source if raw.get("to") == "=" else str(raw.get("to", ""))
            if source in drawing.states and target in drawing.states:
                yield source, target, raw
