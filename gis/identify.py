"""What is at a place, of all layers at once: areas, components, cases, places, panoramas. Knows no map."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, or_, select

from gis.components import nearest
from gis.db import Connection
from gis.geometry import WORLD_BITS, distance_m, metres_per_degree, tile_range, world_pixel
from gis.people import Caller
from gis.search import CaseFilter, named, visible_cases
from gis.tables import SRID, case, division, duty_grid, panorama, place, unit_grid
from gis.validity import in_force

MOST: Final = 20
"""Of each layer."""
MOST_M: Final = 500.0


def around(lon: float, lat: float, radius_m: float) -> ColumnElement[bool]:
    """Cases whose Morton code may lie within ``radius_m``: up to four ranges of the index, and a few more."""
    east, north = (float(m) for m in metres_per_degree(lat))
    dx, dy = radius_m / east, radius_m / north
    (x0, y1), (x1, y0) = world_pixel(lon - dx, lat - dy), world_pixel(lon + dx, lat + dy)
    shift = max(1, (max(x1 - x0, y1 - y0)).bit_length())
    z = max(0, WORLD_BITS - shift)
    tiles = {(x >> shift, y >> shift) for x in (x0, x1) for y in (y0, y1)}
    ranges = [tile_range(z, x, y) for x, y in sorted(tiles)]
    return or_(*(case.c.mk.between(low, high - 1) for low, high in ranges))


def at(
    tx: Connection, caller: Caller, lon: float, lat: float, radius_m: float, wanted: CaseFilter, now: datetime
) -> dict[str, Any]:
    """Everything at (lon, lat), EPSG:4490: areas that hold the place, points within ``radius_m``, the nearest first.

    Cases are those the caller may see and ``wanted`` keeps: none for who may see but their marks on the map. At most
    :data:`MOST` of each.
    """
    point = func.ST_SetSRID(func.ST_MakePoint(lon, lat), SRID)

    def holds(table: Any) -> ColumnElement[bool]:
        return and_(func.ST_Covers(table.c.geom, point), in_force(table))

    villages = select(division.c.code, division.c.name, division.c.level).where(
        holds(division), division.c.geom.is_not(None)
    )
    grids = select(unit_grid.c.code, unit_grid.c.area_class, unit_grid.c.land_use).where(holds(unit_grid))
    duties = select(duty_grid.c.code, duty_grid.c.name).where(holds(duty_grid))
    near = nearest(tx, lon, lat, radius_m=radius_m, limit=MOST)
    return {
        "divisions": [dict(row._mapping) for row in tx.execute(villages.order_by(division.c.level, division.c.code))],
        "unit_grids": [dict(row._mapping) for row in tx.execute(grids)],
        "duty_grids": [dict(row._mapping) for row in tx.execute(duties)],
        "components": near,
        "cases": _cases(tx, caller, lon, lat, radius_m, wanted, now),
        "places": _points(tx, place, [place.c.kind, place.c.name, place.c.address], lon, lat, radius_m),
        "panoramas": _points(tx, panorama, [panorama.c.id, panorama.c.name], lon, lat, radius_m),
    }


def _cases(
    tx: Connection, caller: Caller, lon: float, lat: float, radius_m: float, wanted: CaseFilter, now: datetime
) -> list[Any]:
    if "case.view" not in caller.permissions:
        return []
    seen = visible_cases(caller).where(around(lon, lat, radius_m), *wanted.clauses(now))
    # Places first, whole rows of the few after: in the middle of a town tens of thousands may lie within reach.
    places = tx.execute(seen.with_only_columns(case.c.id, case.c.number, case.c.lon, case.c.lat)).all()
    far = {row.id: distance_m(lon, lat, row.lon, row.lat) for row in places}
    near = sorted((row for row in places if far[row.id] <= radius_m), key=lambda row: (far[row.id], row.number))[:MOST]
    whole = {row.id: row for row in tx.execute(named(seen.where(case.c.id.in_([row.id for row in near]))))}
    return [whole[row.id] for row in near if row.id in whole]


def _points(
    tx: Connection, table: Any, columns: list[Any], lon: float, lat: float, radius_m: float
) -> list[dict[str, Any]]:
    east, north = (float(m) for m in metres_per_degree(lat))
    dx, dy = radius_m / east, radius_m / north
    box = func.ST_MakeEnvelope(lon - dx, lat - dy, lon + dx, lat + dy, SRID)
    asked = select(*columns, func.ST_X(table.c.geom).label("lon"), func.ST_Y(table.c.geom).label("lat"))
    if "deleted_at" in table.c:
        asked = asked.where(table.c.deleted_at.is_(None))
    found = [dict(row._mapping) for row in tx.execute(asked.where(table.c.geom.op("&&")(box)))]
    for one in found:
        one["distance_m"] = round(distance_m(lon, lat, one["lon"], one["lat"]), 1)
    near = sorted((one for one in found if one["distance_m"] <= radius_m), key=lambda one: one["distance_m"])
    return near[:MOST]
