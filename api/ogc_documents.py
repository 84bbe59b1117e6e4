"""What OGC API – Features says of itself: landing page, conformance, collections, schemas, OpenAPI. Knows no row."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from gis.feature_sources import TYPES, source
from gis.features import SYSTEMS, filters
from gis.map_layers import Layer

JSON: Final = "application/json"
GEOJSON: Final = "application/geo+json"
SCHEMA: Final = "application/schema+json"
OPENAPI: Final = "application/vnd.oai.openapi+json;version=3.0"
LIMIT, LIMIT_MOST = 100, 5000

#: Systems by their address, as clients name them.
CRS: Final[Mapping[str, str]] = {
    "http://www.opengis.net/def/crs/OGC/1.3/CRS84": "CRS84",
    "http://www.opengis.net/def/crs/EPSG/0/4490": "EPSG:4490",
    "http://www.opengis.net/def/crs/EPSG/0/4548": "EPSG:4548",
}
CRS_ADDRESS: Final = {name: address for address, name in CRS.items()}
assert CRS_ADDRESS.keys() == SYSTEMS.keys()

_FEATURES: Final = "http://www.opengis.net/spec/ogcapi-features"
CONFORMANCE: Final = (
    f"{_FEATURES}-1/1.0/conf/core",
    f"{_FEATURES}-1/1.0/conf/oas30",
    f"{_FEATURES}-1/1.0/conf/geojson",
    f"{_FEATURES}-1/1.0/conf/html",
    f"{_FEATURES}-2/1.0/conf/crs",
    f"{_FEATURES}-3/1.0/conf/queryables",
    f"{_FEATURES}-3/1.0/conf/queryables-query-parameters",
)
_REL: Final = "http://www.opengis.net/def/rel/ogc/1.0"
_TYPES: Final[Mapping[str, Mapping[str, str]]] = {
    "text": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "date-time"},
}
_SHAPES: Final = {"point": "geometry-point", "polygon": "geometry-polygon-or-multipolygon", "mixed": "geometry-any"}


def link(href: str, rel: str, kind: str = JSON, title: str = "") -> dict[str, str]:
    """A link of a document."""
    return {"href": href, "rel": rel, "type": kind} | ({"title": title} if title else {})


def landing(base: str, town: str) -> dict[str, Any]:
    """The landing page; ``base`` is the address of it."""
    return {
        "title": f"{town} · 网格图层 · grid layers",
        "description": "网格、部件、案件图层（OGC API – Features） · layers of grids, components and cases",
        "links": [
            link(base, "self"),
            link(f"{base}/api", "service-desc", OPENAPI, "OpenAPI"),
            link(f"{base}/conformance", "conformance", title="符合性声明 · conformance"),
            link(f"{base}/collections", "data", title="图层 · collections"),
        ],
    }


def collection(base: str, of: Layer, extent: Sequence[float]) -> dict[str, Any]:
    """A layer as a collection; ``extent`` is the town's west, south, east, north."""
    here = f"{base}/collections/{of.code}"
    told: dict[str, Any] = {
        "id": of.code,
        "title": of.name["zh"],
        "description": of.name["en"],
        "itemType": "feature",
        "crs": list(CRS),
        "storageCrs": CRS_ADDRESS["EPSG:4490"],
        "links": [
            link(here, "self"),
            link(f"{here}/items", "items", GEOJSON, of.name["zh"]),
            link(f"{here}/queryables", f"{_REL}/queryables", SCHEMA),
            link(f"{here}/schema", f"{_REL}/schema", SCHEMA),
            link(f"{here}/schema", "describedby", SCHEMA),
        ],
    }
    if of.query != "basemap":  # the ground around the town is drawn, too
        told["extent"] = {"spatial": {"bbox": [list(extent)], "crs": CRS_ADDRESS["CRS84"]}}
    return told


def _schema(address: str, title: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": address,
        "type": "object",
        "title": title,
        "properties": dict(properties),
        "additionalProperties": False,
    }


def schema(base: str, of: Layer, now: datetime) -> dict[str, Any]:
    """What the features of a layer tell."""
    types = TYPES[of.query]
    told: dict[str, Any] = {name: {"title": words["zh"], **_TYPES[types[name]]} for name, words in of.features.items()}
    shape = {"format": _SHAPES[source(of.query, now).geometry], "x-ogc-role": "primary-geometry"}
    return _schema(f"{base}/collections/{of.code}/schema", of.name["zh"], {"geometry": shape} | told)


def queryables(base: str, of: Layer) -> dict[str, Any]:
    """What the features of a layer can be filtered by."""
    found = {name: {"title": title, **kind} for name, title, kind in _queryable(of)}
    return _schema(f"{base}/collections/{of.code}/queryables", of.name["zh"], found)


def query_names(of: Layer) -> frozenset[str]:
    """The parameters that filter a layer; ``bbox`` is the standard's own."""
    return frozenset(filters(of)) - {"bbox"}


def _queryable(of: Layer) -> list[tuple[str, str, Mapping[str, str]]]:
    types = TYPES[of.query]
    titles = {name: words["zh"] for name, words in of.features.items()}
    several = of.query == "cases"  # the list's own filter: several values, joined by commas
    return [
        (name, titles.get(name, name), _TYPES["text" if several else types[name]]) for name in sorted(query_names(of))
    ]


# --- OpenAPI ----------------------------------------------------------------------------------------------------


def openapi(base: str, version: str, layers: Sequence[Layer]) -> dict[str, Any]:
    """The routes of these layers as OpenAPI 3.0."""
    paths: dict[str, Any] = {
        "/": _path("landing", "the landing page"),
        "/conformance": _path("conformance", "what this service conforms to"),
        "/collections": _path("collections", "the layers the caller may have"),
    }
    for one in layers:
        here = f"/collections/{one.code}"
        own = [_query(name, kind, title) for name, title, kind in _queryable(one)]
        common = [{"$ref": f"#/components/parameters/{name}"} for name in _PARAMETERS]
        paths |= {
            here: _path(f"{one.code}", one.name["en"]),
            f"{here}/queryables": _path(f"{one.code}.queryables", "what it can be filtered by", SCHEMA),
            f"{here}/schema": _path(f"{one.code}.schema", "what its features tell", SCHEMA),
            f"{here}/items": _path(f"{one.code}.items", one.name["en"], GEOJSON, [*common, *own]),
            f"{here}/items/{{featureId}}": _path(f"{one.code}.item", one.name["en"], GEOJSON, [_FEATURE, common[-1]]),
        }
    return {
        "openapi": "3.0.3",
        "info": {"title": "Wangge OGC API – Features", "version": version},
        "servers": [{"url": base}],
        "security": [{"bearer": []}, {"basic": []}],
        "paths": paths,
        "components": {
            "parameters": _PARAMETERS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic", "description": "the user's name, and a token as password"},
            },
        },
    }


def _path(name: str, summary: str, kind: str = JSON, parameters: Sequence[Any] = ()) -> dict[str, Any]:
    content = {kind: {"schema": {"type": "object"}}}
    problem = {"application/problem+json": {"schema": {"type": "object"}}}
    answers = {"200": {"description": summary, "content": content}}
    refused = {"400": "a parameter is wrong", "401": "sign in first", "403": "not allowed", "404": "not found"}
    answers |= {code: {"description": why, "content": problem} for code, why in refused.items()}
    return {"get": {"operationId": name, "summary": summary, "parameters": list(parameters), "responses": answers}}


def _query(name: str, kind: Mapping[str, Any], why: str) -> dict[str, Any]:
    schema = dict(kind)
    return {"name": name, "in": "query", "required": False, "description": why, "schema": schema}


def _numbers(name: str, why: str) -> dict[str, Any]:
    box = {"type": "array", "minItems": 4, "maxItems": 6, "items": {"type": "number"}}
    return _query(name, box, why) | {"style": "form", "explode": False}


_NAMED: Final = {"type": "string", "format": "uri", "enum": list(CRS)}
_FEATURE: Final = {"name": "featureId", "in": "path", "required": True, "schema": {"type": "string"}}
_PARAMETERS: Final[Mapping[str, Any]] = {
    "limit": _query(
        "limit", {"type": "integer", "minimum": 1, "maximum": LIMIT_MOST, "default": LIMIT}, "features a page"
    ),
    "cursor": _query("cursor", {"type": "string"}, "where a page begins: from the link to the next"),
    "bbox": _numbers("bbox", "in the order of the axes of bbox-crs"),
    "bbox-crs": _query("bbox-crs", _NAMED, "system of bbox"),
    "datetime": _query("datetime", {"type": "string"}, "a moment or an interval, RFC 3339"),
    "crs": _query("crs", _NAMED, "system of the coordinates"),
}
