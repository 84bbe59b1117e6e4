"""Routes that select features by place and filter: a page, figures, a file; and layers as a GeoPackage."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from api import case_export, downloads
from api.access import Filtered, Throttle, Tx, allow
from gis import db, errors, features, filter_words, people, register
from gis.feature_sources import TYPES, source
from gis.features import Asked, Feature
from gis.map_layers import Layer
from gis.people import Caller
from gis.rulebook import rulebook
from gis.search import ZONE
from gis.selection_area import Area, area
from layers import geopackage

router = APIRouter(tags=["selection"])

DOWNLOAD_MOST, PAGE_MOST = 100_000, 1000
_downloads = Throttle(per_minute=12)

_POINTS = ("cases", "components", "inspectors")
"""Layers whose rows may lie at a point."""

Viewer = Annotated[Caller, allow("map.view")]
Taker = Annotated[Caller, allow("export.make")]
Form = Literal["geojson", "gpkg", "xlsx"]
Language = Annotated[Literal["zh", "en"], Query()]


class Selection(BaseModel):
    """Features of a layer in an area that a filter keeps; see docs/exports.md."""

    layer: str = Field(max_length=50)
    geometry: dict[str, Any] | None = None
    filter: dict[str, Any] = Field(default_factory=dict, max_length=40)
    cursor: str = Field("", max_length=300)
    limit: int = Field(100, ge=1, le=PAGE_MOST)

    def asked(self, tx: db.Connection, caller: Caller, now: datetime) -> Asked:
        """What it asks for, of layers the caller may have."""
        return features.asked(features.layer(tx, caller, self.layer), self.filter, self.area(tx, caller, now))

    def area(self, tx: db.Connection, caller: Caller, now: datetime) -> Area | None:
        """Where it looks; a buffer may be around a feature the caller may see."""
        if self.geometry is None:
            return None
        around, key = self.geometry.get("layer"), self.geometry.get("feature")
        if self.geometry.get("type") != "buffer" or around is None:
            return area(self.geometry)
        of = features.layer(tx, caller, str(around))
        return area(self.geometry, features.shape(tx, caller, of, str(key), now))


@router.get("/api/selection/layers")
def selectable(caller: Viewer, tx: Tx) -> dict[str, Any]:
    """The layers the caller may select from: what their features tell, are filtered and counted by."""
    now, may = datetime.now(UTC), "export.make" in caller.permissions
    return {"items": [_about(one, now) | {"download": may} for one in features.visible(tx, caller).values()]}


def _about(of: Layer, now: datetime) -> dict[str, Any]:
    src, types = source(of.query, now), TYPES[of.query]
    return {
        "code": of.code,
        "name": dict(of.name),
        "geometry": src.geometry,
        "properties": [{"name": n, "type": types[n], "label": dict(words)} for n, words in of.features.items()],
        "filters": list(features.filters(of)),
        "groups": list(features.groups(of, src)),
    }


@router.post("/api/selection")
def select(body: Selection, caller: Viewer, tx: Tx) -> Response:
    """One page of the selected features, by their id."""
    now = datetime.now(UTC)
    of = body.asked(tx, caller, now)
    found, following = features.page(tx, caller, of, now, cursor=body.cursor, limit=body.limit)
    answer = {
        "layer": of.layer.code,
        "items": [as_geojson(one) for one in found],
        "next": following,
        "area": _drawn(of),
    }
    return Response(orjson.dumps(answer), media_type="application/json")


@router.post("/api/selection/statistics")
def figures(body: Selection, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """How many features are selected, how they divide, what they measure."""
    now = datetime.now(UTC)
    of = body.asked(tx, caller, now)
    found = features.statistics(tx, caller, of, now)
    return {
        "layer": of.layer.code,
        "total": found.total,
        "groups": {
            name: [{"value": one.value, "name": one.name, "count": one.count} for one in every]
            for name, every in found.groups.items()
        },
        "measures": found.measures,
        "area": _drawn(of),
        "selection": of.area.measured() if of.area else None,
    }


@router.post("/api/selection/download", response_class=StreamingResponse)
def download(
    body: Selection,
    caller: Taker,
    form: Annotated[Form, Query(alias="format")] = "geojson",
    language: Language = "zh",
) -> StreamingResponse:
    """The selected features as a file, at most 100,000."""
    now = datetime.now(UTC)
    with db.transaction() as tx:
        of = body.asked(tx, caller, now)
        words = _words(tx, of, language)
    _admit(caller, [of], now, {"format": form, "geometry": body.geometry, "filter": body.filter})
    stem = f"wangge-{of.layer.code}-{now.astimezone(ZONE):%Y%m%d-%H%M}"
    if form == "gpkg":
        return downloads.file(_geopackage(caller, [(of, words)], now, language), geopackage.MEDIA_TYPE, f"{stem}.gpkg")
    if form == "geojson":
        return downloads.file(_geojson(_pages(caller, of, now)), "application/geo+json", f"{stem}.geojson")
    made_by = f"{caller.name}（{caller.username}）"
    name = (of.layer.name["zh"], of.layer.name["en"])
    note = case_export.Note(made_by, now, words, "", language, name)
    return downloads.table(_columns(of.layer), _items(caller, of, now), note, form, stem)


@router.get("/api/maps/geopackage", response_class=StreamingResponse)
def layers_as_geopackage(
    caller: Taker,
    wanted: Filtered,
    layers: Annotated[str, Query(max_length=300)],
    language: Language = "zh",
) -> StreamingResponse:
    """Chosen layers (codes joined by commas) in one GeoPackage; the case filter of the query keeps cases only."""
    now = datetime.now(UTC)
    with db.transaction() as tx:
        every = [features.layer(tx, caller, code) for code in dict.fromkeys(layers.split(","))]
        town = register.the_town(tx)
        asked = [Asked(one, wanted=wanted) if one.query == "cases" else Asked(one) for one in every]
        told = [(of, _words(tx, of, language)) for of in asked]
    _admit(caller, asked, now, {"format": "gpkg", "filter": wanted.query()})
    name = f"wangge-{town['code']}-{now.astimezone(ZONE):%Y%m%d-%H%M}.gpkg"
    return downloads.file(_geopackage(caller, told, now, language), geopackage.MEDIA_TYPE, name)


def as_geojson(one: Feature) -> dict[str, Any]:
    """A feature for ``orjson``; its geometry is GeoJSON text already."""
    shape = orjson.Fragment(one.geometry) if one.geometry is not None else None
    return {"type": "Feature", "id": one.id, "properties": one.properties, "geometry": shape}


def _drawn(of: Asked) -> dict[str, Any] | None:
    return of.area.geojson() if of.area else None


def _admit(caller: Caller, every: Sequence[Asked], now: datetime, told: Mapping[str, Any]) -> None:
    """Let a download begin, and put it in the audit. Raises ``TooManyRequests``, ``ExportTooLarge``."""
    _downloads.take(caller.username)
    with db.transaction() as tx:
        counts = {of.layer.code: features.count(tx, caller, of, now) for of in every}
        fits = max(counts.values(), default=0) <= DOWNLOAD_MOST
        people.record(
            tx, caller.id, caller.name, "export.features", "ok" if fits else "refused", {**told, "counts": counts}
        )
    if not fits:
        raise errors.ExportTooLarge(counts=counts, most=DOWNLOAD_MOST)


def _pages(caller: Caller, of: Asked, now: datetime, *, wkb: bool = False) -> Iterator[Sequence[Feature]]:
    return features.pages(caller, of, now, db.transaction, wkb=wkb)


def _geojson(pages: Iterator[Sequence[Feature]]) -> Iterator[bytes]:
    comma = b""
    yield b'{"type":"FeatureCollection","features":['
    for page in pages:
        if page:
            yield comma + b",".join(orjson.dumps(as_geojson(one)) for one in page)
            comma = b","
    yield b"]}"


def _items(caller: Caller, of: Asked, now: datetime) -> Iterator[Sequence[dict[str, Any]]]:
    """Features as flat rows: properties, and where points lie."""
    for page in _pages(caller, of, now):
        yield [{**one.properties, "$": json.loads(one.geometry) if one.geometry else {}} for one in page]


_WORDS: Mapping[str, Mapping[Any, filter_words.Words]] = {
    "channel": filter_words.CHANNELS,
    "handling_light": filter_words.HANDLING_LIGHTS,
    "light": filter_words.LIGHTS,
    "severity": filter_words.SEVERITIES,
    "stage": filter_words.STAGES,
    "stage_light": filter_words.STAGE_LIGHTS,
    "status": filter_words.STATUSES,
}
"""Of the codes of cases: a table is read by people."""


def _columns(of: Layer) -> list[case_export.Column]:
    def told(name: str) -> Any:
        if of.query == "cases" and name in _WORDS:
            return case_export.worded(name, _WORDS[name])
        return lambda item, language: cell(item[name], language)

    def ordinate(i: int) -> Any:
        return lambda item, _: item["$"]["coordinates"][i] if item["$"].get("type") == "Point" else ""

    found = [case_export.Column((words["zh"], words["en"]), told(name)) for name, words in of.features.items()]
    return [
        *found,
        *(case_export.Column(w, ordinate(i)) for i, w in enumerate((("经度", "Longitude"), ("纬度", "Latitude")))),
    ]


def cell(value: Any, language: str) -> case_export.Cell:
    """A property as a cell of a table: moments in the town's time, to the second."""
    if isinstance(value, bool):
        return ("是" if value else "否") if language == "zh" else ("yes" if value else "no")
    if isinstance(value, datetime):
        return value.astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S")
    return value if value is None or isinstance(value, int | float) else str(value)


def _words(tx: db.Connection, of: Asked, language: str) -> str:
    """What was asked for, for whoever reads the file; nothing for a whole layer."""
    chinese = language == "zh"
    told = filter_words.words(tx, rulebook(tx), of.wanted, language)
    for name, values in of.equals.items():
        told[of.layer.features[name][language]] = ("、" if chinese else ", ").join(
            str(cell(value, language)) for value in values
        )
    if of.area:
        hectares = f"{of.area.measured()['area_m2'] / 10_000:,.2f}"
        told["所选范围" if chinese else "Selected area"] = f"{hectares} 公顷" if chinese else f"{hectares} ha"
    colon, stop = ("：", "；") if chinese else (": ", "; ")
    return stop.join(f"{head}{colon}{names}" for head, names in told.items())


def _geopackage(caller: Caller, every: Sequence[tuple[Asked, str]], now: datetime, language: str) -> Iterator[bytes]:
    made = f"{caller.name}（{caller.username}） {now.astimezone(ZONE):%Y-%m-%d %H:%M:%S}"
    return downloads.package([_table(caller, of, now, language, f"{made} {words}".strip()) for of, words in every])


def _table(caller: Caller, of: Asked, now: datetime, language: str, about: str) -> geopackage.Table:
    layer, types = of.layer, TYPES[of.layer.query]
    legend = [(entry["value"], entry["label"][language], entry["colour"]) for entry in layer.legend]
    by = {"cases": "light", "unit_grids": "area_class", "divisions": "level"}.get(layer.query, "")
    return geopackage.Table(
        layer.code,
        layer.name[language],
        about,
        source(layer.query, now).geometry,
        [(name, types[name], words[language]) for name, words in layer.features.items()],
        legend or [("", layer.name[language], "#8fa3b5")],
        by if by in layer.features else "",
        _pages(caller, of, now, wkb=True),
    )
