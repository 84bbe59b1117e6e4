"""The style of the basemap, dark and light, as MapLibre reads it. Knows colours and zooms, not where data come from."""

from collections.abc import Mapping
from typing import Any, Final

_FONT: Final = ["Noto Sans SC", "Noto Sans CJK SC", "Microsoft YaHei", "PingFang SC", "sans-serif"]

_THEMES: Final[Mapping[str, Mapping[str, str]]] = {
    "dark": {
        "ground": "#12181e",
        "parcel": "#171e25",
        "built": "#1a222a",
        "green": "#16231f",
        "water": "#15293a",
        "shore": "#1d3850",
        "building": "#222c35",
        "edge": "#2b3742",
        "lane": "#26313b",
        "minor": "#303d49",
        "major": "#3d4c5a",
        "label": "#a9b6c2",
        "faint": "#78889a",
        "halo": "#12181e",
    },
    "light": {
        "ground": "#f4f5f3",
        "parcel": "#eeefeb",
        "built": "#e9eae6",
        "green": "#dfeadb",
        "water": "#c4dcec",
        "shore": "#a9c9df",
        "building": "#dcdeda",
        "edge": "#c6cac4",
        "lane": "#ffffff",
        "minor": "#ffffff",
        "major": "#ffe9bd",
        "label": "#3c4650",
        "faint": "#6b7681",
        "halo": "#f4f5f3",
    },
}
THEMES: Final = tuple(_THEMES)
_FIELD_KINDS: Final = ["farmland", "orchard", "greenhouse"]
# Width in pixels at zooms 10, 14 and 18 of each kind of road; other kinds are drawn as lanes.
_ROADS: Final = {
    "track": (0, 0.4, 4),
    "lane": (0.2, 0.8, 9),
    "secondary": (0.5, 2, 16),
    "main": (0.8, 3, 22),
    "trunk": (1.2, 4.5, 30),
}


def basemap(theme: str, base_url: str) -> dict[str, Any]:
    """The MapLibre style of the basemap in :data:`THEMES`, from tiles at ``base_url``.

    It names no glyphs: labels are drawn from the fonts of the device, so nothing is fetched from elsewhere.
    """
    c = _THEMES[theme]
    return {
        "version": 8,
        "name": f"wangge-{theme}",
        "sources": {
            "basemap": {
                "type": "vector",
                "tiles": [f"{base_url.rstrip('/')}/tiles/basemap/{{z}}/{{x}}/{{y}}.mvt"],
                "minzoom": 8,
                "maxzoom": 16,
                "attribution": "合成演示底图 · synthetic basemap",
            }
        },
        "layers": [
            {"id": "ground", "type": "background", "paint": {"background-color": c["ground"]}},
            _fill("parcel", c["built"], ["!", ["in", ["get", "kind"], ["literal", _FIELD_KINDS]]]),
            _fill("field", c["parcel"], ["in", ["get", "kind"], ["literal", _FIELD_KINDS]], of="parcel"),
            _fill("green", c["green"]),
            _fill("water", c["water"], edge=c["shore"]),
            *(_road(kind, c) for kind in _ROADS),
            _fill("building", c["building"], edge=c["edge"], first=14),
            _label("road-name", "road", c["faint"], c["halo"], 13, 11, line=True),
            _label("water-name", "water", c["faint"], c["halo"], 12, 12),
            _label("poi-name", "place", c["faint"], c["halo"], 15.5, 11, ["!=", ["get", "kind"], "village"]),
            _label("village-name", "place", c["label"], c["halo"], 11, 14, ["==", ["get", "kind"], "village"]),
        ],
    }


def _fill(
    name: str, colour: str, only: list[Any] | None = None, *, of: str = "", edge: str = "", first: float = 0
) -> dict[str, Any]:
    paint: dict[str, Any] = {"fill-color": colour}
    if edge:
        paint["fill-outline-color"] = edge
    drawn = {"id": name, "type": "fill", "source": "basemap", "source-layer": of or name, "minzoom": first}
    return drawn | {"paint": paint} | ({"filter": only} if only else {})


def _road(kind: str, c: Mapping[str, str]) -> dict[str, Any]:
    colour = c["major"] if kind in ("trunk", "main") else c["minor"] if kind == "secondary" else c["lane"]
    others = ["!", ["in", ["get", "kind"], ["literal", [k for k in _ROADS if k != "lane"]]]]
    far, middle, near = _ROADS[kind]
    return {
        "id": f"road-{kind}",
        "type": "line",
        "source": "basemap",
        "source-layer": "road",
        "filter": others if kind == "lane" else ["==", ["get", "kind"], kind],
        "layout": {"line-cap": "round", "line-join": "round"},
        "paint": {
            "line-color": colour,
            "line-width": ["interpolate", ["exponential", 1.6], ["zoom"], 10, far, 14, middle, 18, near],
        },
    }


def _label(
    name: str,
    of: str,
    colour: str,
    halo: str,
    first: float,
    size: int,
    only: list[Any] | None = None,
    *,
    line: bool = False,
) -> dict[str, Any]:
    named: list[Any] = ["!=", ["get", "name"], ""]
    layout: dict[str, Any] = {"text-field": ["get", "name"], "text-font": _FONT, "text-size": size}
    if line:
        layout |= {"symbol-placement": "line", "symbol-spacing": 400}
    return {
        "id": name,
        "type": "symbol",
        "source": "basemap",
        "source-layer": of,
        "minzoom": first,
        "filter": ["all", named, only] if only else named,
        "layout": layout,
        "paint": {"text-color": colour, "text-halo-color": halo, "text-halo-width": 1.4},
    }
