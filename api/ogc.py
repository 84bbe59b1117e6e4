"""OGC API – Features at /ogc: the layers for GDAL, QGIS and every other client of the standard, within the scope.

Parts 1 (core, GeoJSON, HTML, OpenAPI), 2 (systems by reference) and of 3 the queryables.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Request, Response

from api import live, tiles
from api import ogc_documents as documents
from api.access import Tx, map_client
from api.ogc_documents import CRS, CRS_ADDRESS, GEOJSON, LIMIT, LIMIT_MOST, OPENAPI, SCHEMA, link
from api.selection import as_geojson
from gis import db, errors, features, points_components, register
from gis.features import SYSTEMS, Asked
from gis.map_layers import Layer
from gis.people import Caller
from gis.search import CaseFilter, parse_time
from gis.selection_area import Area, box, projected_box
from layers import ogc_pages

router = APIRouter(tags=["ogc"], prefix="/ogc")
Reader = Annotated[Caller, map_client()]

_FORMATS: Final = ("json", "geojson", "html")
#: What a client may name as what it takes; the first of these decides between a page and JSON.
_TAKEN: Final = (ogc_pages.MEDIA_TYPE, documents.JSON, GEOJSON, SCHEMA, OPENAPI.partition(";")[0], "*/*")
#: Layers that may be large: how many features they hold is told only where the points in memory know it.
_LARGE: Final = ("cases", "components", "basemap")
_COMPONENT_FILTERS: Final = {"state": "state", "village_code": "village", "unit_grid_code": "grid"}


@router.get("")
def landing(request: Request, caller: Reader, tx: Tx) -> Response:
    """Where to begin."""
    _known(request)
    return _answer(request, documents.landing(_base(request), register.the_town(tx)["name"]))


@router.get("/conformance")
def conformance(request: Request, caller: Reader) -> Response:
    """What this service conforms to."""
    _known(request)
    return _answer(request, {"conformsTo": list(documents.CONFORMANCE)})


@router.get("/api")
def description(request: Request, caller: Reader, tx: Tx) -> Response:
    """The layers the caller may have as OpenAPI 3.0."""
    _known(request)
    layers = list(features.visible(tx, caller).values())
    return _answer(request, documents.openapi(_base(request), request.app.version, layers), OPENAPI)


@router.get("/collections")
def collections(request: Request, caller: Reader, tx: Tx) -> Response:
    """The layers the caller may have."""
    _known(request)
    base, extent = _base(request), register.the_town(tx)["bbox"]
    found = [documents.collection(base, one, extent) for one in features.visible(tx, caller).values()]
    answer = {"links": [link(f"{base}/collections", "self")], "crs": list(CRS), "collections": found}
    return _answer(request, answer)


@router.get("/collections/{collection}")
def collection(request: Request, collection: str, caller: Reader, tx: Tx) -> Response:
    """One layer."""
    _known(request)
    of, extent = features.layer(tx, caller, collection), register.the_town(tx)["bbox"]
    return _answer(request, documents.collection(_base(request), of, extent))


@router.get("/collections/{collection}/queryables")
def queryables(request: Request, collection: str, caller: Reader, tx: Tx) -> Response:
    """What a layer can be filtered by, as a JSON schema."""
    _known(request)
    return _answer(request, documents.queryables(_base(request), features.layer(tx, caller, collection)), SCHEMA)


@router.get("/collections/{collection}/schema")
def schema(request: Request, collection: str, caller: Reader, tx: Tx) -> Response:
    """What the features of a layer tell, as a JSON schema."""
    _known(request)
    of = features.layer(tx, caller, collection)
    return _answer(request, documents.schema(_base(request), of, datetime.now(UTC)), SCHEMA)


@router.get("/collections/{collection}/items")
def items(request: Request, collection: str, caller: Reader, tx: Tx) -> Response:
    """A page of features, in the order of their ids; ``next`` goes on after the last, whatever came meanwhile."""
    now, given = datetime.now(UTC), dict(request.query_params)
    of = features.layer(tx, caller, collection)
    _known(request, {"limit", "cursor", "bbox", "bbox-crs", "datetime", "crs"} | documents.query_names(of))
    crs, limit = _crs(given.get("crs"), "crs"), _limit(given.get("limit"))
    asked = _asked(of, given)
    found, following = features.page(tx, caller, asked, now, cursor=given.get("cursor", ""), limit=limit, crs=crs)
    here = f"{_base(request)}/collections/{of.code}"
    links = [link(_with(request, {}), "self", GEOJSON), link(here, "collection")]
    if following is not None:
        links.append(link(_with(request, {"cursor": following}), "next", GEOJSON))
    answer: dict[str, Any] = {"type": "FeatureCollection", "links": links, "numberReturned": len(found)}
    matched = _matched(tx, caller, asked, now)
    if matched is not None:
        answer["numberMatched"] = matched
    answer["features"] = [as_geojson(one) for one in found]
    return _answer(request, answer, GEOJSON, crs)


@router.get("/collections/{collection}/items/{feature}")
def item(request: Request, collection: str, feature: str, caller: Reader, tx: Tx) -> Response:
    """One feature."""
    of = features.layer(tx, caller, collection)
    _known(request, {"crs"})
    crs = _crs(request.query_params.get("crs"), "crs")
    found = features.one(tx, caller, of, feature, datetime.now(UTC), crs)
    here = f"{_base(request)}/collections/{of.code}"
    links = [link(f"{here}/items/{found.id}", "self", GEOJSON), link(here, "collection")]
    return _answer(request, as_geojson(found) | {"links": links}, GEOJSON, crs)


# --- What is asked ----------------------------------------------------------------------------------------------


def _known(request: Request, names: set[str] | frozenset[str] = frozenset()) -> None:
    """Refuse parameters this place does not have, each given once. Raises ``BadFilter``."""
    seen: set[str] = set()
    for name, value in request.query_params.multi_items():
        if name not in names | {"f"} or name in seen:
            raise errors.BadFilter(parameter=name[:100], known=sorted(names))
        if name == "f" and value not in _FORMATS:
            raise errors.BadFilter(parameter="f", value=value[:100], known=list(_FORMATS))
        seen.add(name)


def _asked(of: Layer, given: Mapping[str, str]) -> Asked:
    filters = {name: value for name, value in given.items() if name in documents.query_names(of)}
    asked = features.asked(of, filters)
    if "bbox" in given:
        asked = _in_box(asked, given["bbox"], _crs(given.get("bbox-crs"), "bbox-crs"))
    if "datetime" not in given:
        return asked
    since, until = _interval(given["datetime"])
    if of.query != "cases":
        return replace(asked, during=(since, until))
    if {"since", "until"} & given.keys():
        raise errors.BadFilter(parameter="datetime", why="together with since or until")
    after = until + timedelta(microseconds=1) if until else None  # the filter's own end is not in it
    return replace(asked, wanted=replace(asked.wanted, since=since, until=after))


def _in_box(asked: Asked, text: str, crs: str) -> Asked:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise errors.BadFilter(parameter="bbox", value=text[:200], why="numbers joined by commas") from error
    if len(numbers) == 6:  # heights do not matter: nothing here has one
        numbers = [*numbers[:2], *numbers[3:5]]
    if len(numbers) != 4:
        raise errors.BadFilter(parameter="bbox", value=text[:200], why="4 or 6 numbers")
    if SYSTEMS[crs].north_first:
        numbers = [numbers[1], numbers[0], numbers[3], numbers[2]]
    try:
        shape = projected_box(numbers, crs) if crs == "EPSG:4548" else box(numbers)
    except errors.BadGeometry as problem:
        raise errors.BadFilter(parameter="bbox", value=text[:200], **problem.detail) from problem
    west, south, east, north = numbers
    if asked.layer.query == "cases" and crs != "EPSG:4548" and west <= east:
        # The list's own box: the points in memory know how many it holds.
        return replace(asked, wanted=replace(asked.wanted, bbox=(west, south, east, north)))
    return replace(asked, area=Area(shape))


def _interval(text: str) -> tuple[datetime | None, datetime | None]:
    """Both ends included; a day is the town's. Raises ``BadFilter``."""
    begin, slash, end = text.partition("/")
    try:
        since = None if begin in ("", "..") and slash else parse_time(begin)
        last = end if slash else begin
        until = None if last in ("", "..") and slash else parse_time(last)
    except ValueError as error:
        raise errors.BadFilter(parameter="datetime", value=text[:200], why=str(error)) from error
    if until is not None and len(last) == 10:
        until += timedelta(days=1, microseconds=-1)
    if since is not None and until is not None and since > until:
        raise errors.BadFilter(parameter="datetime", value=text[:200], why="ends before it begins")
    return since, until


def _limit(text: str | None) -> int:
    """The number of features of a page; more than there may be is no error, says the standard."""
    if text is None:
        return LIMIT
    if not (text.isascii() and text.isdigit()) or len(text) > 18 or int(text) < 1:
        raise errors.BadFilter(parameter="limit", value=text[:100], why="a whole number from 1")
    return min(int(text), LIMIT_MOST)


def _crs(address: str | None, parameter: str) -> str:
    found = CRS.get(address or CRS_ADDRESS["CRS84"])
    if found is None:
        raise errors.BadFilter(parameter=parameter, value=str(address)[:200], known=list(CRS))
    return found


def _matched(tx: db.Connection, caller: Caller, asked: Asked, now: datetime) -> int | None:
    """How many features all pages hold, where it is known without looking at each."""
    query = asked.layer.query
    if query not in _LARGE:
        return features.count(tx, caller, asked, now)
    if asked.area is not None or query == "basemap":
        return None
    if query == "cases":
        known = live.state() and asked.wanted.named() is None
        return live.store().mask(caller.scope, asked.wanted, now).count if known else None
    held, names = tiles.components_held, asked.equals.keys()
    if held is None or not names <= _COMPONENT_FILTERS.keys() or held.mark != points_components.state(tx):
        return None
    return held.mask(CaseFilter(**{_COMPONENT_FILTERS[name]: tuple(asked.equals[name]) for name in names})).count


# --- What is answered -------------------------------------------------------------------------------------------


def _base(request: Request) -> str:
    return f"{tiles.address(request)}/ogc"


def _with(request: Request, changes: Mapping[str, str]) -> str:
    """The address that was asked for, some of its parameters changed."""
    query = urlencode(dict(request.query_params) | changes, safe=",:/")
    return f"{tiles.address(request)}{request.url.path}" + (f"?{query}" if query else "")


def _as_page(request: Request) -> bool:
    """Whether a person reads it: asked for as HTML, or by a browser, which would rather have that than JSON."""
    asked = request.query_params.get("f")
    if asked is not None:
        return asked == "html"
    accepted = [part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")]
    return next((one for one in accepted if one in _TAKEN), "") == ogc_pages.MEDIA_TYPE


def _language(request: Request) -> str:
    tongues = request.headers.get("accept-language", "").lower().split(",")
    return next((one for part in tongues if (one := part.strip()[:2]) in ("zh", "en")), "zh")


def _answer(request: Request, told: Mapping[str, Any], kind: str = documents.JSON, crs: str = "") -> Response:
    """The document with its mark, or only word that it is still the same."""
    pages = _as_page(request)
    if "links" in told:
        other, name = (kind, "json") if pages else (ogc_pages.MEDIA_TYPE, "html")
        links = [
            one | {"type": ogc_pages.MEDIA_TYPE} if pages and one["rel"] == "self" else one for one in told["links"]
        ]
        told = told | {"links": [*links, link(_with(request, {"f": name}), "alternate", other)]}
    if pages:
        kind = f"{ogc_pages.MEDIA_TYPE}; charset=utf-8"
        # What stands as ready JSON in a document is read first.
        body = ogc_pages.page(orjson.loads(orjson.dumps(told)), _base(request), _language(request)).encode()
    else:
        body = orjson.dumps(told)
    etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {
        "etag": etag,
        "cache-control": "private, no-cache",
        "vary": "accept, accept-language, authorization, cookie",
    }
    if pages:
        headers["content-security-policy"] = ogc_pages.POLICY
    if crs:
        headers["content-crs"] = f"<{CRS_ADDRESS[crs]}>"
    given = request.headers.get("if-none-match", "")
    if etag in given or given.strip() == "*":
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=kind, headers=headers)
