"""Shapes as vector tiles: grids, divisions and the basemap, encoded by PostGIS. Knows what each layer tells, no style.

CGCS2000 is taken as WGS 84, as everywhere; tiles are in Web Mercator.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, FromClause, LargeBinary, Select, func, literal, select, type_coerce

from gis.db import Connection
from gis.points_cells import EXTENT
from gis.tables import SRID, basemap_feature, division, duty_grid, place, town, unit_grid
from gis.validity import in_force, today

_BUFFER: Final = 64
_WGS84: Final = 4326
_WORLD_M: Final = 40_075_016.685578488

# The zoom from which on a feature of the basemap is worth its bytes; by layer, and for roads by kind.
_FROM: Final = {"water": 0, "green": 10, "parcel": 11, "building": 14}
_ROAD_FROM: Final = {"trunk": 0, "main": 10, "secondary": 11, "lane": 13, "track": 14}
_NAME_FROM: Final = {"village": 11, "poi": 15}

Tile = tuple[int, int, int]


def drawn(source: FromClause, tile: Tile, **told: ColumnElement[Any]) -> Select[Any]:
    """The rows of ``source`` that touch the tile, with their geometry in tile units and the columns told."""
    envelope = func.ST_TileEnvelope(*tile)
    window = func.ST_Expand(envelope, _WORLD_M / 2 ** tile[0] * _BUFFER / EXTENT)
    mercator = func.ST_Transform(func.ST_SetSRID(source.c.geom, _WGS84), 3857)
    shape = func.ST_AsMVTGeom(mercator, envelope, EXTENT, _BUFFER, True).label("geom")
    touches = source.c.geom.op("&&")(func.ST_SetSRID(func.ST_Transform(window, _WGS84), SRID))
    return select(shape, *(column.label(name) for name, column in told.items())).where(touches)


def _unit_grids(tile: Tile) -> dict[str, Select[Any]]:
    c = unit_grid.c
    told = {"code": c.code, "village_code": c.village_code, "area_class": c.area_class}
    return {"unit_grids": drawn(unit_grid, tile, **told).where(in_force(unit_grid))}


def _duty_grids(tile: Tile) -> dict[str, Select[Any]]:
    c = duty_grid.c
    told = {"code": c.code, "name": c.name, "village_code": c.village_code}
    return {"duty_grids": drawn(duty_grid, tile, **told).where(in_force(duty_grid))}


def _divisions(tile: Tile) -> dict[str, Select[Any]]:
    c = division.c
    told = {"code": c.code, "name": c.short_name, "level": c.level}
    return {"divisions": drawn(division, tile, **told).where(c.valid_to.is_(None))}


def _basemap(tile: Tile) -> dict[str, Select[Any]]:
    zoom, c = tile[0], basemap_feature.c
    told = {"kind": c.kind, "name": c.name}
    layers = {
        name: drawn(basemap_feature, tile, **told).where(c.layer == name)
        for name, first in _FROM.items()
        if zoom >= first
    }
    roads = [kind for kind, first in _ROAD_FROM.items() if zoom >= first]
    # Where the kinds are not ours (a town drawn around a file) every road is shown from the zoom of lanes on.
    kept = c.kind.in_(roads) | (literal(zoom >= _ROAD_FROM["lane"]) & c.kind.not_in(list(_ROAD_FROM)))
    layers["road"] = drawn(basemap_feature, tile, **told).where(c.layer == "road", kept)
    named = []
    if zoom >= _NAME_FROM["village"]:
        middle = (
            select(func.ST_PointOnSurface(division.c.geom).label("geom"), division.c.short_name.label("name"))
            .where(division.c.level == "village", division.c.valid_to.is_(None), division.c.geom.is_not(None))
            .subquery("middle")
        )
        named.append(drawn(middle, tile, kind=literal("village"), name=middle.c.name))
    if zoom >= _NAME_FROM["poi"]:
        named.append(drawn(place, tile, kind=place.c.kind, name=place.c.name).where(place.c.kind == "poi"))
    if named:
        layers["place"] = named[0].union_all(*named[1:]) if named[1:] else named[0]  # type: ignore[assignment]
    return layers


_LAYERS: Final[Mapping[str, Callable[[Tile], dict[str, Select[Any]]]]] = {
    "unit_grids": _unit_grids,
    "duty_grids": _duty_grids,
    "divisions": _divisions,
    "basemap": _basemap,
}
LAYERS: Final[Sequence[str]] = tuple(_LAYERS)


def tile(tx: Connection, layer: str, z: int, x: int, y: int) -> bytes:
    """The vector tile of a shape layer (:data:`LAYERS`); no bytes where there is nothing. Raises ``KeyError``."""
    parts: list[ColumnElement[Any]] = []
    for name, features in _LAYERS[layer]((z, x, y)).items():
        parts.append(encoded(features, name))
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.concat(part)
    return bytes(tx.execute(select(whole)).scalar_one())


def encoded(features: Select[Any], name: str) -> ColumnElement[Any]:
    """What :func:`drawn` selects as one layer of a tile; no bytes where there is nothing."""
    rows = features.subquery("features")
    layer = func.ST_AsMVT(rows.table_valued(), name, EXTENT, "geom", type_=LargeBinary)
    return func.coalesce(select(layer).select_from(rows).scalar_subquery(), type_coerce(b"", LargeBinary))


def version(tx: Connection) -> str:
    """What the shapes are now: changes when a town is loaded or its areas change, and with the day grids go by."""
    rows = tx.execute(select(town.c.digest, town.c.areas_version, town.c.loaded_at).order_by(town.c.code)).all()
    loaded = "-".join(f"{row.digest[:8]}.{row.areas_version}.{int(row.loaded_at.timestamp()):x}" for row in rows)
    changed = select(func.max(unit_grid.c.valid_from)).where(unit_grid.c.valid_from <= today())
    return f"{loaded}.{tx.execute(changed).scalar()}" if loaded else loaded
