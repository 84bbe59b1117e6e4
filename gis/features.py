"""Features of the layers, for whoever takes data out: which are asked for, page by page, counted, measured.

One meaning for the selection on the map, OGC API – Features and files. Cases compose on ``search.visible_cases`` and
the list's own filter. Knows no file and no web.
"""

import base64
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import shapely
from geoalchemy2 import Geography
from geoalchemy2.shape import from_shape
from sqlalchemy import Select, cast, func, literal, select, tuple_

from gis import errors, map_layers, todo
from gis.db import Connection
from gis.feature_sources import TYPES, Source, source
from gis.geometry import pixel_bounds
from gis.map_layers import ANYONE, Layer
from gis.people import Caller
from gis.rulebook import Rulebook, flow_of, rulebook
from gis.search import CaseFilter
from gis.selection_area import Area, within
from gis.tables import SRID, case, department, division

MOST_GROUPS: Final = 50
CASE_FILTERS: Final = tuple(f.name for f in fields(CaseFilter))
_NAMED: Final = ("category_name", "group_name", "state_name")
_EXACT: Final = ("text", "integer", "boolean", "date")


@dataclass(frozen=True)
class Crs:
    """How coordinates are written: in which system, with which axis first, with how many decimals."""

    srid: int
    north_first: bool
    decimals: int


#: The systems features are told in. EPSG gives 4490 latitude first and 4548 northing first; CRS84 is longitude first.
SYSTEMS: Final[Mapping[str, Crs]] = {
    "CRS84": Crs(SRID, False, 8),
    "EPSG:4490": Crs(SRID, True, 8),
    "EPSG:4548": Crs(4548, True, 3),
}


@dataclass(frozen=True)
class Asked:
    """Which features: of a layer, in an area, that a filter keeps, in an interval of time (both ends included).

    ``wanted`` is for cases, ``equals`` (any of the values, by property) for the other layers.
    """

    layer: Layer
    area: Area | None = None
    wanted: CaseFilter = field(default_factory=CaseFilter)
    equals: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    during: tuple[datetime | None, datetime | None] | None = None


@dataclass(frozen=True)
class Feature:
    """A feature; ``geometry`` is GeoJSON text, or WKB in EPSG:4490 where that was asked for."""

    id: str
    properties: dict[str, Any]
    geometry: Any


def visible(tx: Connection, caller: Caller) -> dict[str, Layer]:
    """The layers whose features the caller may have, by code."""
    return {code: layer for code, layer in map_layers.layers(tx).items() if layer.features and may_have(caller, layer)}


def may_have(caller: Caller, layer: Layer) -> bool:
    """Whether the caller may have a layer's features: those of cases are more than the marks on the map."""
    needed = {layer.see} | ({"case.view"} if layer.query == "cases" else set())
    return needed - {ANYONE} <= caller.permissions


def layer(tx: Connection, caller: Caller, code: str) -> Layer:
    """A layer with features. Raises ``NotFound`` for one that is not there, ``Forbidden``."""
    found = map_layers.layers(tx).get(code)
    if found is None or not found.features:
        raise errors.NotFound(layer=code[:100])
    if not may_have(caller, found):
        raise errors.Forbidden(layer=code)
    return found


def filters(of: Layer) -> tuple[str, ...]:
    """The names a layer can be filtered by."""
    if of.query == "cases":
        return CASE_FILTERS
    types = TYPES[of.query]
    return tuple(name for name in of.features if types[name] in _EXACT and name not in _NAMED)


def groups(of: Layer, src: Source) -> tuple[str, ...]:
    """The properties a layer is counted by."""
    return tuple(name for name in src.groups if name in of.features)


def asked(of: Layer, given: Mapping[str, Any], area: Area | None = None) -> Asked:
    """What a filter asks for: the list's own names for cases, ``property: value(s)`` for others.

    Raises ``BadFilter`` naming the parameter.
    """
    known = filters(of)
    for name in given:
        if name not in known:
            raise errors.BadFilter(parameter=name[:100], known=list(known))
    if of.query == "cases":
        return Asked(of, area, CaseFilter.parse({name: _text(value) for name, value in given.items()}))
    equals = {}
    for name, value in given.items():
        several = value if isinstance(value, list) else [value]
        try:
            equals[name] = tuple(_PARSE[TYPES[of.query][name]](one) for one in several)
        except (ValueError, TypeError) as error:
            raise errors.BadFilter(parameter=name, value=str(value)[:200], why=str(error)) from error
    return Asked(of, area, equals=equals)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(_text(one) for one in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _word(value: Any) -> str:
    if not isinstance(value, str) or "\x00" in value or len(value) > 500:
        raise ValueError("a text of at most 500 characters")
    return value


def _truth(value: Any) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise ValueError("true or false")
    return str(value).lower() == "true"


_PARSE: Final[Mapping[str, Any]] = {"text": _word, "integer": int, "boolean": _truth, "date": date.fromisoformat}


# --- Pages ------------------------------------------------------------------------------------------------------


def page(
    tx: Connection,
    caller: Caller,
    of: Asked,
    now: datetime,
    *,
    cursor: str = "",
    limit: int = 100,
    crs: str = "CRS84",
    wkb: bool = False,
) -> tuple[list[Feature], str | None]:
    """One page of features by their key, and the cursor of the next or None. Raises ``BadCursor``.

    Keys never change, so what comes or changes meanwhile makes no page repeat or skip another feature.
    """
    src = source(of.layer.query, now)
    chosen = _chosen(caller, of, src, now)
    if cursor:
        chosen = chosen.where(src.key > literal(_decode(cursor, of.layer, src), src.key_type))
    found = _read(tx, of.layer, src, chosen.order_by(src.key).limit(limit + 1), crs, wkb)
    more = len(found) > limit
    return found[:limit], _encode(of.layer, found[limit - 1].id) if more else None


def pages(caller: Caller, of: Asked, now: datetime, begin: Any, *, wkb: bool, size: int = 2000) -> Iterator[Any]:
    """All features page by page, each in a transaction of its own (``begin()``): a slow reader holds no connection."""
    cursor: str | None = ""
    while cursor is not None:
        with begin() as tx:
            found, cursor = page(tx, caller, of, now, cursor=cursor, limit=size, wkb=wkb)
        yield found


def one(tx: Connection, caller: Caller, of: Layer, key: str, now: datetime, crs: str = "CRS84") -> Feature:
    """A feature by its id. Raises ``NotFound`` where there is none the caller may see."""
    src = source(of.query, now)
    try:
        wanted = src.key == literal(_key(src, key), src.key_type)
    except ValueError as error:
        raise errors.NotFound(layer=of.code, id=key[:100]) from error
    found = _read(tx, of, src, src.rows(caller).where(wanted), crs, wkb=False)
    if not found:
        raise errors.NotFound(layer=of.code, id=key[:100])
    return found[0]


def shape(tx: Connection, caller: Caller, of: Layer, key: str, now: datetime) -> Any:
    """The geometry of a feature as a shape in EPSG:4490. Raises ``NotFound``, also where it has none."""
    text = one(tx, caller, of, key, now).geometry
    if text is None:
        raise errors.NotFound(layer=of.code, id=key[:100], why="no geometry")
    return shapely.from_geojson(text)


def _chosen(caller: Caller, of: Asked, src: Source, now: datetime) -> Select[Any]:
    chosen = src.rows(caller)
    if of.layer.query == "cases":
        chosen = chosen.where(*of.wanted.clauses(now))
        if of.wanted.bbox:  # the same ground once more, in the words of an index
            chosen = chosen.where(within(shapely.box(*pixel_bounds(of.wanted.bbox)), case.c.mk))
    for name, values in of.equals.items():
        chosen = chosen.where(src.columns[name].in_(values))
    if of.area is not None:
        chosen = chosen.where(src.touches(of.area))
    if of.during is not None and src.during is not None:
        return chosen.where(src.during(*of.during))
    return chosen if src.in_force is None else chosen.where(src.in_force)


def _read(tx: Connection, of: Layer, src: Source, chosen: Select[Any], crs: str, wkb: bool) -> list[Feature]:
    columns = [c.label(name) for name, c in src.columns.items() if name in of.features or name.startswith("_")]
    geometry = func.ST_AsBinary(src.geom) if wkb else _written(src.geom, SYSTEMS[crs])
    read = chosen.with_only_columns(src.key.label("$key"), geometry.label("$geometry"), *columns)
    rows = [dict(row._mapping) for row in tx.execute(read)]
    named = set(_NAMED) & set(of.features)
    book = rulebook(tx) if named else None
    return [
        Feature(
            str(row["$key"]),
            {name: told[name] for name in of.features},
            bytes(row["$geometry"]) if wkb and row["$geometry"] is not None else row["$geometry"],
        )
        for row in rows
        for told in [row | (_names(tx, book, row, named) if book else {})]
    ]


def _written(geom: Any, crs: Crs) -> Any:
    moved = geom if crs.srid == SRID else func.ST_Transform(geom, crs.srid)
    return func.ST_AsGeoJSON(func.ST_FlipCoordinates(moved) if crs.north_first else moved, crs.decimals, 0)


def _names(tx: Connection, book: Rulebook, row: Mapping[str, Any], wanted: Collection[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    if "category_name" in wanted or "group_name" in wanted:
        name, _, group = book.category_names(row["_catalogue"], row["_category_kind"], row["_category_code"])
        found |= {"category_name": name, "group_name": group}
    if "state_name" in wanted:
        flow = {"workflow": row["_workflow"], "workflow_version": row["_workflow_version"]}
        found["state_name"] = flow_of(tx, book, flow).states[row["_state"]].name["zh"]
    return found


def _key(src: Source, key: str) -> Any:
    if "\x00" in key:
        raise ValueError("a null character")
    kind = src.key_type.python_type
    value = UUID(key) if kind is UUID else kind(key)
    if isinstance(value, int) and not 0 <= value < 1 << 63:
        raise ValueError("no such number")
    return value


def _encode(of: Layer, key: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([of.code, key]).encode()).decode().rstrip("=")


def _decode(cursor: str, of: Layer, src: Source) -> Any:
    try:
        made_for, key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if made_for != of.code:
            raise ValueError("the cursor belongs to another layer")
        return _key(src, key)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise errors.BadCursor(cursor=cursor[:100]) from error


# --- Counted and measured ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """How many features have a value; ``name`` in zh and en where the value does not say it itself."""

    value: Any
    name: Mapping[str, str] | None
    count: int


@dataclass(frozen=True)
class Statistics:
    """How many features there are, how they divide by property, and what they measure in metres."""

    total: int
    groups: Mapping[str, Sequence[Group]]
    measures: Mapping[str, float]


def count(tx: Connection, caller: Caller, of: Asked, now: datetime) -> int:
    """How many features :func:`page` gives in all."""
    src = source(of.layer.query, now)
    rows = _chosen(caller, of, src, now).with_only_columns(src.key).subquery()
    return int(tx.execute(select(func.count()).select_from(rows)).scalar_one())


def statistics(tx: Connection, caller: Caller, of: Asked, now: datetime) -> Statistics:
    """The features counted by property (at most 50 values each, the largest) and measured on the ellipsoid."""
    src = source(of.layer.query, now)
    chosen = _chosen(caller, of, src, now)
    names = groups(of.layer, src)
    rows = chosen.with_only_columns(*(src.columns[name].label(name) for name in names)).subquery()
    columns = list(rows.c)
    by = func.grouping(*columns).label("by")
    sets = func.grouping_sets(*(tuple_(column) for column in columns))
    counted: dict[str, list[tuple[Any, int]]] = {name: [] for name in names}
    for row in tx.execute(select(*columns, by, func.count().label("n")).group_by(sets)):
        at = next(i for i in range(len(names)) if not row.by >> (len(names) - 1 - i) & 1)
        counted[names[at]].append((row[at], row.n))
    words = _Words(tx)
    return Statistics(
        sum(n for _, n in next(iter(counted.values()))),
        {
            name: [
                Group(value, words.name(name, value), n)
                for value, n in sorted(found, key=lambda pair: (-pair[1], str(pair[0])))[:MOST_GROUPS]
            ]
            for name, found in counted.items()
        },
        _measures(tx, src, chosen, of.area) if src.geometry != "point" else {},
    )


def _measures(tx: Connection, src: Source, chosen: Select[Any], area: Area | None) -> dict[str, float]:
    shapes = {"": src.geom}
    if area is not None:
        shapes["_inside"] = func.ST_Intersection(src.geom, from_shape(area.shape, SRID))
    sums = [
        func.sum(measure(cast(geom, Geography(srid=SRID)))).label(f"{what}{where}_{unit}")
        for where, geom in shapes.items()
        for what, measure, unit in (("area", func.ST_Area, "m2"), ("length", func.ST_Length, "m"))
    ]
    row = tx.execute(chosen.with_only_columns(*sums)).mappings().one()
    return {name: round(value, 2) for name, value in row.items() if value}


def _pairs(tx: Connection, of: Select[Any]) -> dict[str, str]:
    return {code: name for code, name in tx.execute(of)}


class _Words:
    """What codes are called."""

    def __init__(self, tx: Connection) -> None:
        self._book = rulebook(tx)
        self._states = todo.state_names(list(self._book.workflows.values()))
        self._units = _pairs(tx, select(department.c.code, department.c.name))
        self._places = _pairs(tx, select(division.c.code, division.c.short_name))

    def name(self, of: str, value: Any) -> Mapping[str, str] | None:
        """In zh and en; None where it is not known or the value says it itself."""
        if of == "state":
            return self._states.get(value) or None
        text = self._plain(of, str(value or ""))
        return {"zh": text, "en": text} if text else None

    def _plain(self, of: str, value: str) -> str | None:
        if of in ("village", "village_code", "parent"):
            return self._places.get(value)
        if of in ("department", "competent_unit"):
            return self._units.get(value)
        catalogue = self._book.catalogues[self._book.town_catalogue]
        kind, _, code = value.rpartition(":")
        if of in ("category", "category_code"):
            found = catalogue.find(kind or "component", code)
            return found.name if found else None
        if of == "group_code":
            return next((c.group_name for c in catalogue if (c.kind, c.group_code) == ("component", code)), None)
        return None
