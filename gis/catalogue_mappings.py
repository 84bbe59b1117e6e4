"""Which class of one catalogue is which of another: 2007, 2013 and local lists side by side. Pure.

A mapping links codes of components both ways and names those without a counterpart, so that none is forgotten. A code
with two counterparts is ambiguous in that direction: it is refused, never guessed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gis import errors
from gis.catalogue import Catalogue

KIND: Final = "catalogue_mapping"
_CODE: Final = re.compile(r"[0-9]{4}")


@dataclass(frozen=True)
class CatalogueMapping:
    """Counterparts between two catalogues: ``links[from_]`` and, turned round, ``back[to]``; sorted codes."""

    code: str
    source: str
    target: str
    links: Mapping[str, tuple[str, ...]]
    back: Mapping[str, tuple[str, ...]]
    without: tuple[frozenset[str], frozenset[str]]

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "CatalogueMapping":
        """The checked mapping of a definition body. Raises ``DefinitionBad`` naming the entry."""
        back: dict[str, list[str]] = {}
        links = {}
        for code, counterparts in body["links"].items():
            for one in (code, *counterparts):
                if not isinstance(one, str) or not _CODE.fullmatch(one):
                    raise errors.DefinitionBad(where=f"links.{code}", why=f"a code is four digits, as text: {one!r}")
            if not counterparts or len(set(counterparts)) < len(counterparts):
                raise errors.DefinitionBad(where=f"links.{code}", why="needs counterparts, each once")
            links[code] = tuple(sorted(counterparts))
            for one in counterparts:
                back.setdefault(one, []).append(code)
        lone = (frozenset(body["without"]["from"]), frozenset(body["without"]["to"]))
        for side, linked, codes in (("from", links, lone[0]), ("to", back, lone[1])):
            if both := sorted(codes & linked.keys()):
                raise errors.DefinitionBad(where=f"without.{side}", why=f"linked as well: {', '.join(both)}")
        if body["from"] == body["to"]:
            raise errors.DefinitionBad(where="to", why="a catalogue needs no mapping to itself")
        turned = {code: tuple(sorted(sources)) for code, sources in back.items()}
        return cls(body["code"], body["from"], body["to"], links, turned, lone)

    def faults(self, catalogues: Mapping[str, Catalogue]) -> list[dict[str, str]]:
        """What does not fit the catalogues: codes they do not have, and codes of theirs that stand nowhere here."""
        found = []
        for side, name, linked, lone in (
            ("from", self.source, self.links, self.without[0]),
            ("to", self.target, self.back, self.without[1]),
        ):
            where = f"catalogue_mapping {self.code}.{side}"
            book = catalogues.get(name)
            if book is None:
                found.append({"where": where, "why": f"unknown catalogue: {name}"})
                continue
            there, told = {c.code for c in book if c.kind == "component"}, lone | linked.keys()
            if strange := sorted(told - there):
                found.append({"where": where, "why": f"{name} has no {', '.join(strange)}"})
            if forgotten := sorted(there - told):
                found.append({"where": where, "why": f"neither linked nor without: {', '.join(forgotten)}"})
        return found


def counterparts(mappings: Iterable[CatalogueMapping], source: str, code: str, target: str) -> tuple[str, ...] | None:
    """The codes of ``target`` that ``code`` of ``source`` may be; None where no mapping joins the two."""
    if source == target:
        return (code,)
    for mapping in mappings:
        if (mapping.source, mapping.target) == (source, target):
            return mapping.links.get(code, ())
        if (mapping.source, mapping.target) == (target, source):
            return mapping.back.get(code, ())
    return None


def translate(
    mappings: Iterable[CatalogueMapping], source: str, code: str, target: str, catalogues: Mapping[str, Catalogue]
) -> str:
    """The one code of ``target`` that means what ``code`` of ``source`` means.

    Raises ``CategoryUnknown`` where there is none or no mapping, ``CategoryAmbiguous`` with the candidates' names.
    """
    found = counterparts(mappings, source, code, target)
    asked = {"catalogue": source, "code": code, "into": target}
    named = f"{source} {code} {name}" if (name := _name(catalogues, source, code)) else f"{source} {code}"
    if found is None:
        raise errors.CategoryUnknown(
            f"没有 {source} 与 {target} 的对照表", f"There is no mapping between {source} and {target}", **asked
        )
    if not found:
        raise errors.CategoryUnknown(
            f"{named} 在 {target} 中没有对应类别", f"{named} has no counterpart in {target}", **asked
        )
    if len(found) > 1:
        names = {one: _name(catalogues, target, one) for one in found}
        words = [f"{one} {name}" for one, name in names.items()]
        raise errors.CategoryAmbiguous(
            f"{named} 在 {target} 中对应多个类别：{'、'.join(words)}，请指明",
            f"{named} is several classes of {target}: {', '.join(words)}; say which",
            **asked,
            candidates=[
                {"catalogue": target, "kind": "component", "code": one, "name": name} for one, name in names.items()
            ],
        )
    return found[0]


def _name(catalogues: Mapping[str, Catalogue], catalogue: str, code: str) -> str:
    found = catalogues[catalogue].find("component", code) if catalogue in catalogues else None
    return found.name if found else ""


def equivalents(
    mappings: Sequence[CatalogueMapping], catalogue: str, code: str, catalogues: Iterable[str]
) -> list[tuple[str, str]]:
    """(catalogue, code) of everything that may be this class in any of the catalogues, itself first."""
    found = [(catalogue, code)]
    for other in catalogues:
        if other != catalogue:
            found += [(other, one) for one in counterparts(mappings, catalogue, code, other) or ()]
    return found


def regroup(
    mappings: Sequence[CatalogueMapping], counts: Mapping[tuple[str, str], int], target: str
) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Counts by (catalogue, code) told in the classes of ``target``: (counts by code, what could not be told).

    What has no one counterpart stays apart: ``{catalogue, code, n, candidates}``; nothing is counted twice or lost.
    """
    told: dict[str, int] = {}
    apart: list[dict[str, Any]] = []
    for (catalogue, code), n in sorted(counts.items()):
        found = counterparts(mappings, catalogue, code, target) or ()
        if len(found) == 1:
            told[found[0]] = told.get(found[0], 0) + n
        else:
            apart.append({"catalogue": catalogue, "code": code, "n": n, "candidates": list(found)})
    return told, apart
