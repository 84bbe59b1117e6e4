"""Which workflow a case runs by: kind, category, channel, area and whether it was handled on the spot decide. Pure.

The most specific row holds, compared in this order: self-handled, kind, category, area, channel. Two rows about the
same are refused, so there are no ties.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gis.errors import DefinitionBad
from gis.routing import ANY, Place, area_keys

_FIELDS: Final = {"kind", "category", "area", "channel", "self_handled", "workflow"}
_AREAS: Final = (ANY, "class", "village", "duty", "grid")


@dataclass(frozen=True)
class Binding:
    """One row. ``category`` and ``area`` are written as in a duty list; ``*`` is anything."""

    kind: str
    category: str
    area: str
    channel: str
    self_handled: bool
    workflow: str

    @property
    def key(self) -> tuple[bool, str, str, str, str]:
        """What the row is about; unique in a table."""
        return self.self_handled, self.kind, self.category, self.area, self.channel

    @property
    def specificity(self) -> tuple[int, int, int, int, int]:
        """The larger the more specific; see the module's order."""
        return (
            int(self.self_handled),
            int(self.kind != ANY),
            0 if self.category == ANY else len(self.category.partition(":")[2]) + 1,
            _AREAS.index(self.area.partition(":")[0]),
            int(self.channel != ANY),
        )


@dataclass(frozen=True)
class Bindings:
    """A checked table of bindings, the most specific first."""

    rows: tuple[Binding, ...] = ()

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "Bindings":
        """The checked form of a definition body. Raises ``DefinitionBad`` naming the row."""
        raw = body.get("bindings")
        if not isinstance(raw, list):
            raise DefinitionBad(where="bindings", why="a list of bindings is needed")
        rows = [_binding(row, f"bindings[{index}]") for index, row in enumerate(raw)]
        seen: dict[tuple[Any, ...], int] = {}
        for index, row in enumerate(rows):
            other = seen.setdefault(row.key, index)
            if other != index:
                raise DefinitionBad(where=f"bindings[{index}]", why=f"bindings[{other}] is already about the same")
        return cls(tuple(sorted(rows, key=lambda row: row.specificity, reverse=True)))

    def workflow(
        self, kind: str, category_kind: str, category_code: str, place: Place, channel: str, self_handled: bool
    ) -> str:
        """The workflow of the most specific row that fits; empty where none does."""
        categories = {ANY, category_kind, f"{category_kind}:{category_code[:2]}", f"{category_kind}:{category_code}"}
        areas = set(area_keys(place))
        for row in self.rows:
            if (
                row.self_handled <= self_handled
                and row.kind in (ANY, kind)
                and row.category in categories
                and row.area in areas
                and row.channel in (ANY, channel)
            ):
                return row.workflow
        return ""

    def check_names(self, kinds: Collection[str], workflows: Collection[str], channels: Collection[str]) -> None:
        """Refuse names that do not exist. Raises ``DefinitionBad``."""
        for row in self.rows:
            for name, known in ((row.kind, {ANY, *kinds}), (row.workflow, workflows), (row.channel, {ANY, *channels})):
                if name not in known:
                    raise DefinitionBad(where="bindings", why=f"unknown: {name}", known=sorted(known))


def _binding(raw: Any, where: str) -> Binding:
    if not isinstance(raw, Mapping) or not raw.get("workflow"):
        raise DefinitionBad(where=where, why="a binding is a mapping with a workflow")
    if extra := set(raw) - _FIELDS:
        raise DefinitionBad(where=where, why=f"unknown field {', '.join(sorted(map(str, extra)))}")
    category, area = str(raw.get("category", ANY)), str(raw.get("area", ANY))
    if not re.fullmatch(r"\*|(component|event)(:(\d{2}|\d{4}))?", category, re.ASCII):
        raise DefinitionBad(where=where, why=f"category must be *, a kind, or a kind with 2 or 4 digits: {category}")
    if area.partition(":")[0] not in _AREAS or (area != ANY and ":" not in area):
        raise DefinitionBad(where=where, why=f"area must be * or class:, village:, duty: or grid: and a code: {area}")
    return Binding(
        str(raw.get("kind", ANY)),
        category,
        area,
        str(raw.get("channel", ANY)),
        bool(raw.get("self_handled", False)),
        str(raw["workflow"]),
    )
