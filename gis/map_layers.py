"""Map layers as definitions: which query fills each, what its features tell, who may see it. Knows no style."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gis import definitions, errors, feature_sources, map_shapes
from gis.db import Connection
from gis.people import PERMISSIONS

POINTS: Final = ("cases", "heat", "components")
DRAWN: Final = (*POINTS, *map_shapes.LAYERS)
"""Queries that give tiles; the others have features only."""
QUERIES: Final = tuple(dict.fromkeys((*DRAWN, *feature_sources.TYPES)))
DEEPEST: Final = 22
ANYONE: Final = "anyone"


@dataclass(frozen=True)
class Layer:
    """A layer of the map: which query fills it, at which zooms, what its features tell, who may see it.

    ``see`` is a permission or ``anyone``. ``fields`` are those of its tiles; ``features`` the properties of what
    may be taken out of it (gis.features), none where nothing may. ``legend`` entries have ``value``, ``label`` (zh,
    en), ``colour``, ``shape``.
    """

    code: str
    name: Mapping[str, str]
    query: str
    zooms: tuple[int, int]
    see: str
    fields: Mapping[str, Mapping[str, str]]
    legend: tuple[Mapping[str, Any], ...]
    features: Mapping[str, Mapping[str, str]]

    def body(self) -> dict[str, Any]:
        """As the API tells it."""
        return {
            "code": self.code,
            "name": dict(self.name),
            "tiles": f"/tiles/{self.code}/{{z}}/{{x}}/{{y}}.mvt" if self.query in DRAWN else None,
            "zooms": list(self.zooms),
            "fields": {name: dict(words) for name, words in self.fields.items()},
            "legend": [dict(entry) for entry in self.legend],
        }


def parse_layer(body: Mapping[str, Any]) -> Layer:
    """A layer definition, checked. Raises ``DefinitionBad`` with where and why."""
    code, query, see = body["code"], body["query"], body["see"]
    if query not in QUERIES:
        raise errors.DefinitionBad(where=f"{code}.query", why=f"unknown query {query}; there are {', '.join(QUERIES)}")
    if see != ANYONE and see not in PERMISSIONS:
        raise errors.DefinitionBad(where=f"{code}.see", why=f"unknown permission {see}")
    low, high = body["zooms"]
    if not (isinstance(low, int) and isinstance(high, int) and 0 <= low <= high <= DEEPEST):
        raise errors.DefinitionBad(where=f"{code}.zooms", why=f"two whole numbers from 0 to {DEEPEST}, ascending")
    fields = body.get("fields", {})
    legend = body.get("legend", [])
    features = body.get("features", {})
    if unknown := sorted(features.keys() - feature_sources.TYPES.get(query, {}).keys()):
        raise errors.DefinitionBad(where=f"{code}.features", why=f"{query} has no {', '.join(unknown)}")
    # What is stored has lost the order it was written in.
    features = {name: features[name] for name in feature_sources.TYPES.get(query, ()) if name in features}
    told = [("name", body["name"]), *fields.items(), *features.items()]
    for where, words in [*told, *((e.get("value"), e.get("label")) for e in legend)]:
        if not isinstance(words, Mapping) or not {"zh", "en"} <= words.keys():
            raise errors.DefinitionBad(where=f"{code}.{where}", why="needs words in zh and en")
    return Layer(code, body["name"], query, (low, high), see, fields, tuple(legend), features)


def layers(tx: Connection) -> dict[str, Layer]:
    """Every layer now, by code."""
    return {found.code: found.parsed for found in definitions.currents(tx, "layer")}
