"""Category catalogues and filing standards: what a code means, and when a case of it is filed, due and closed.

Pure; does not know where definitions are stored, how time is counted (``gis.worktime``) or who handles a category.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gis import errors
from gis.worktime import Limit

KINDS = ("component", "event")
GEOMETRIES = ("point", "line", "polygon")
AREA_CLASSES = ("A", "B", "C")

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Category:
    """A class of component or event. ``code`` is 4 digits and says nothing without its catalogue."""

    kind: str
    code: str
    name: str
    group_code: str
    group_name: str
    geometry: str


@dataclass(frozen=True, slots=True)
class Group:
    """A large class (大类) with its categories in order of code."""

    kind: str
    code: str
    name: str
    categories: tuple[Category, ...]


@dataclass(frozen=True)
class Catalogue:
    """One version of one class list."""

    code: str
    name: Mapping[str, str]
    groups: tuple[Group, ...]
    _by_key: Mapping[_Key, Category] = field(repr=False, compare=False)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "Catalogue":
        """The checked catalogue of a definition body. Raises ``DefinitionBad`` naming the entry."""
        groups: list[Group] = []
        by_key: dict[_Key, Category] = {}
        seen: set[_Key] = set()
        for position, raw in enumerate(_entry(body, "groups", list, "")):
            where = f"groups[{position}]"
            kind, code, name = (_entry(raw, key, str, where) for key in ("kind", "code", "name"))
            if kind not in KINDS:
                raise errors.DefinitionBad(where=where, why=f"kind must be one of {', '.join(KINDS)}, not {kind}")
            if not re.fullmatch(r"\d{2}", code) or (kind, code) in seen:
                raise errors.DefinitionBad(where=where, why=f"group code must be two digits and used once: {code}")
            seen.add((kind, code))
            for index, row in enumerate(_entry(raw, "categories", list, where)):
                category = _category(kind, code, name, row, f"{where}.categories[{index}]")
                if (kind, category.code) in by_key:
                    raise errors.DefinitionBad(where=where, why=f"category code used twice: {kind} {category.code}")
                by_key[kind, category.code] = category
            members = tuple(c for (k, _), c in sorted(by_key.items()) if k == kind and c.group_code == code)
            groups.append(Group(kind, code, name, members))
        if not by_key:
            raise errors.DefinitionBad(where="groups", why="the catalogue has no categories")
        return cls(_entry(body, "code", str, ""), _entry(body, "name", dict, ""), tuple(groups), by_key)

    def __iter__(self) -> Iterator[Category]:
        """Every category: components first, then events, each in order of code."""
        return (self._by_key[key] for key in sorted(self._by_key))

    def __len__(self) -> int:
        return len(self._by_key)

    def find(self, kind: str, code: str) -> Category | None:
        """The category, or None."""
        return self._by_key.get((kind, code))

    def category(self, kind: str, code: str) -> Category:
        """The category. Raises ``CategoryUnknown``."""
        found = self.find(kind, code)
        if found is None:
            raise errors.CategoryUnknown(catalogue=self.code, kind=kind, code=code)
        return found


def _category(kind: str, group_code: str, group_name: str, row: Any, where: str) -> Category:
    code, name, geometry = (_entry(row, key, str, where) for key in ("code", "name", "geometry"))
    if not re.fullmatch(r"\d{4}", code) or not code.startswith(group_code):
        raise errors.DefinitionBad(where=where, why=f"category code must be four digits in group {group_code}: {code}")
    if geometry not in GEOMETRIES:
        raise errors.DefinitionBad(where=where, why=f"geometry must be one of {', '.join(GEOMETRIES)}, not {geometry}")
    if not name.strip():
        raise errors.DefinitionBad(where=where, why=f"category {code} has no name")
    return Category(kind, code, name, group_code, group_name, geometry)


def resolve(
    catalogues: Sequence[Catalogue],
    kind: str | None,
    code: str,
    catalogue: str | None = None,
    name: str | None = None,
) -> tuple[str, Category]:
    """What a category code from outside means: (catalogue code, category).

    What is left out (``kind``, ``catalogue``, ``name``) may be left out only while one meaning remains: several
    catalogues that give the code the same kind and name agree, and the first of them in ``catalogues`` is returned.
    Names compare without regard to spaces and full-width forms. Raises ``CategoryUnknown`` (no such code),
    ``CategoryMismatch`` (the code exists, but never under this name) or ``CategoryAmbiguous`` (with the candidates).
    """
    asked = {"catalogue": catalogue, "kind": kind, "code": code, "name": name}
    known = [
        (book.code, found)
        for book in catalogues
        if catalogue is None or book.code == catalogue
        for each in (KINDS if kind is None else (kind,))
        if (found := book.find(each, code)) is not None
    ]
    if not known:
        raise errors.CategoryUnknown(**asked)
    meant = [pair for pair in known if name is None or _plain(pair[1].name) == _plain(name)]
    if not meant:
        raise errors.CategoryMismatch(**asked, candidates=_candidates(known))
    if len({(found.kind, _plain(found.name)) for _, found in meant}) > 1:
        raise errors.CategoryAmbiguous(**asked, candidates=_candidates(meant))
    return meant[0]


def _plain(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).split())


def _candidates(pairs: Sequence[tuple[str, Category]]) -> list[dict[str, str]]:
    return [{"catalogue": book, "kind": c.kind, "code": c.code, "name": c.name} for book, c in pairs]


@dataclass(frozen=True, slots=True)
class Condition:
    """One row of a filing standard: when to file, when to close, how long it may take in each area class.

    ``severity`` is the default of a case of this condition: 1 normal, 2 serious, 3 urgent.
    """

    code: str
    text: str
    closing: str
    limits: Mapping[str, Limit]
    severity: int


@dataclass(frozen=True)
class FilingStandard:
    """The filing and closing conditions (立结案标准) of one catalogue's categories."""

    code: str
    catalogue: str
    _conditions: Mapping[_Key, tuple[Condition, ...]] = field(repr=False, compare=False)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "FilingStandard":
        """The checked standard of a definition body.

        ``conditions`` is {kind: {category code: [[code, text, closing, limit A, limit B, limit C, severity]]}} with
        limits as ``Limit.parse`` reads them. Raises ``DefinitionBad`` naming the row.
        """
        table: dict[_Key, tuple[Condition, ...]] = {}
        for kind, categories in _entry(body, "conditions", dict, "").items():
            if kind not in KINDS:
                raise errors.DefinitionBad(where="conditions", why=f"kind must be one of {', '.join(KINDS)}: {kind}")
            for code in categories:
                where = f"conditions.{kind}.{code}"
                if not isinstance(code, str) or not re.fullmatch(r"\d{4}", code):
                    raise errors.DefinitionBad(where=where, why="a category code is four digits, as text")
                rows = tuple(_condition(row, where) for row in _entry(categories, code, list, f"conditions.{kind}"))
                if not rows or len({row.code for row in rows}) < len(rows):
                    raise errors.DefinitionBad(where=where, why="needs conditions, each with its own code")
                table[kind, code] = rows
        return cls(_entry(body, "code", str, ""), _entry(body, "catalogue", str, ""), table)

    def categories(self) -> list[_Key]:
        """(kind, code) of every category that has conditions, sorted."""
        return sorted(self._conditions)

    def conditions(self, kind: str, code: str) -> tuple[Condition, ...]:
        """The conditions of a category, the default first. Raises ``CategoryUnknown`` when there are none."""
        found = self._conditions.get((kind, code))
        if found is None:
            raise errors.CategoryUnknown(filing_standard=self.code, kind=kind, code=code)
        return found

    def condition(self, kind: str, code: str, condition_code: str = "") -> Condition:
        """One condition; the first for ``''``. Raises ``CategoryUnknown``, ``ConditionUnknown``."""
        rows = self.conditions(kind, code)
        if not condition_code:
            return rows[0]
        for row in rows:
            if row.code == condition_code:
                return row
        raise errors.ConditionUnknown(kind=kind, code=code, condition=condition_code, known=[row.code for row in rows])

    def limit(self, kind: str, code: str, condition_code: str, area_class: str) -> Limit:
        """The handling limit in an area of class A, B or C.

        Raises ``CategoryUnknown``, ``ConditionUnknown``; ``KeyError`` for another area class.
        """
        return self.condition(kind, code, condition_code).limits[area_class]


def _condition(row: Any, where: str) -> Condition:
    if not isinstance(row, list) or len(row) != 7:
        raise errors.DefinitionBad(where=where, why=f"a condition has 7 entries: {row!r}")
    code, text, closing, *limits, severity = row
    if not all(isinstance(part, str) and part.strip() for part in (code, text, closing)):
        raise errors.DefinitionBad(where=where, why=f"code, text and closing must be text: {row!r}")
    if severity not in (1, 2, 3):
        raise errors.DefinitionBad(where=where, why=f"severity must be 1, 2 or 3: {severity!r}")
    try:
        parsed = {area: Limit.parse(words) for area, words in zip(AREA_CLASSES, limits, strict=True)}
    except errors.DefinitionBad as problem:
        raise errors.DefinitionBad(**{**problem.detail, "where": f"{where}.{code}"}) from problem
    return Condition(code, text, closing, parsed, severity)


def _entry(holder: Any, key: str, kind: type, where: str) -> Any:
    if not isinstance(holder, Mapping) or not isinstance(holder.get(key), kind):
        raise errors.DefinitionBad(where=where or key, why=f"{key} is missing or is not a {kind.__name__}")
    return holder[key]
