"""Bindings looked through: which row holds where two fit one case, which kinds no general row catches. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from gis.bindings import Binding, Bindings
from gis.routing import ANY

# The order in which rows are compared, as ``Binding.specificity`` counts it.
_ORDER = ("self_handled", "kind", "category", "area", "channel")


@dataclass(frozen=True)
class Overlap:
    """Two rows, by their place in the table, that can fit the same case and name other workflows; ``by`` decides."""

    winner: int
    loser: int
    by: str


def overlaps(body: Mapping[str, Any]) -> list[Overlap]:
    """Every pair of rows of a sound body that can meet. Raises ``DefinitionBad`` for one that is not."""
    Bindings.from_body(body)
    rows = [Bindings.from_body({"bindings": [raw]}).rows[0] for raw in body["bindings"]]
    found = []
    for (i, one), (j, other) in combinations(enumerate(rows), 2):
        if one.workflow == other.workflow or not _meet(one, other):
            continue
        by = next(n for n, a, b in zip(_ORDER, one.specificity, other.specificity, strict=True) if a != b)
        first = one.specificity > other.specificity
        found.append(Overlap(i if first else j, j if first else i, by))
    return found


def unbound(body: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, str]:
    """The kinds, with their own workflow, for which no row holds everywhere: some of their cases fall back on that."""
    rows = Bindings.from_body(body).rows
    general = {row.kind for row in rows if row.key == (False, row.kind, ANY, ANY, ANY)}
    return {} if ANY in general else {kind: flow for kind, flow in kinds.items() if kind not in general}


def _meet(one: Binding, other: Binding) -> bool:
    """Whether some case fits both. Areas of different sorts may lie in one another: that counts as meeting."""
    areas = one.area, other.area
    apart = ANY not in areas and areas[0] != areas[1] and areas[0].partition(":")[0] == areas[1].partition(":")[0]
    categories = sorted((one.category, other.category), key=len)
    nested = ANY in categories or categories[1].startswith(categories[0])
    same = all(ANY in pair or pair[0] == pair[1] for pair in ((one.kind, other.kind), (one.channel, other.channel)))
    return same and nested and not apart
