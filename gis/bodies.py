"""Reading the body of a definition: entries of the right type and names that exist, or a refusal that says where."""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from gis.errors import DefinitionBad

T = TypeVar("T")
Label = Mapping[str, str]


def entry(holder: Any, key: str, kind: type[T], where: str, default: T | None = None) -> T:
    """``holder[key]``, which must be a ``kind``; ``default`` where it is left out. Raises ``DefinitionBad``."""
    if not isinstance(holder, Mapping):
        raise DefinitionBad(where=where, why="must be a mapping")
    value = holder.get(key, default)
    # A truth value is an int to Python, but to nobody else.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise DefinitionBad(where=where, why=f"{key} is missing or is not a {kind.__name__}")
    return value


def label(holder: Any, key: str, where: str) -> Label:
    """``holder[key]`` in Chinese and English. Raises ``DefinitionBad``."""
    found = entry(holder, key, dict, where)
    if set(found) != {"zh", "en"} or not all(isinstance(words, str) and words.strip() for words in found.values()):
        raise DefinitionBad(where=where, why=f"{key} needs zh and en, and nothing else")
    return found


def texts(holder: Any, key: str, where: str, default: list[str] | None = None) -> tuple[str, ...]:
    """``holder[key]`` as a list of texts, each named once. Raises ``DefinitionBad``."""
    found = entry(holder, key, list, where, default)
    if not all(isinstance(text, str) and text for text in found) or len(set(found)) < len(found):
        raise DefinitionBad(where=where, why=f"{key} must be a list of texts, each once")
    return tuple(found)


def known(names: Collection[str], those: Collection[str], where: str, what: str) -> None:
    """Raises ``DefinitionBad`` with every one of ``names`` that is none of ``those``."""
    unknown = sorted(set(names) - set(those))
    if unknown:
        raise DefinitionBad(where=where, why=f"unknown {what}: {', '.join(unknown)}", known=sorted(those))


def ordered(arrows: Mapping[str, Collection[str]], where: str, what: str) -> list[str]:
    """The names so that each comes after those its arrows lead to. Raises ``DefinitionBad`` naming a circle."""
    done: dict[str, None] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " → ".join((*path[path.index(name) :], name))
            raise DefinitionBad(where=where, why=f"{what} in a circle: {circle}")
        if name not in done:
            for other in arrows[name]:
                visit(other, (*path, name))
            done[name] = None

    for name in arrows:
        visit(name, ())
    return list(done)
