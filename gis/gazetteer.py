"""Finding a place by what people type: names, addresses, pinyin, component codes, grid codes, case numbers."""

from typing import Any

from sqlalchemy import Text, cast, func, literal, select, union_all

from gis.db import Connection
from gis.people import Caller
from gis.search import visible_cases
from gis.tables import case, component, division, place, unit_grid


def lookup(tx: Connection, caller: Caller, q: str, limit: int = 10) -> list[dict[str, Any]]:
    """What ``q`` may mean, best first: {kind, name, address, lon, lat, code}; EPSG:4490 degrees.

    Digits are read as codes of grids and components or as a case number; words as names, addresses or pinyin.
    """
    words = q.strip().lower()
    if not words:
        return []
    compact = words.replace(" ", "").replace("-", "")
    if compact[-4:].isdigit() and len(compact) >= 4:
        found = _by_code(tx, caller, q.strip().upper(), limit)
        if found:
            return found
    return _by_name(tx, words, limit)


def _by_code(tx: Connection, caller: Caller, code: str, limit: int) -> list[dict[str, Any]]:
    centre = func.st_pointonsurface(unit_grid.c.geom)
    grids = select(
        literal("grid").label("kind"),
        unit_grid.c.code.label("name"),
        unit_grid.c.land_use.label("address"),
        func.st_x(centre).label("lon"),
        func.st_y(centre).label("lat"),
        unit_grid.c.code.label("code"),
    ).where(unit_grid.c.code.startswith(code, autoescape=True))
    components = select(
        literal("component"), component.c.name, literal(""), component.c.lon, component.c.lat, component.c.code
    ).where(component.c.code.startswith(code, autoescape=True))
    numbers = (
        visible_cases(caller)
        .where(case.c.number.startswith(code, autoescape=True))
        .with_only_columns(
            literal("case"), case.c.number, case.c.address, case.c.lon, case.c.lat, cast(case.c.id, Text)
        )
    )
    parts = [part.limit(limit).subquery() for part in (numbers, components, grids)]
    rows = tx.execute(union_all(*(select(*p.c) for p in parts)).limit(limit)).all()
    return [dict(zip(("kind", "name", "address", "lon", "lat", "code"), row, strict=True)) for row in rows]


def _by_name(tx: Connection, words: str, limit: int) -> list[dict[str, Any]]:
    starts = place.c.name.startswith(words, autoescape=True)
    centre = func.st_pointonsurface(division.c.geom)
    villages = tx.execute(
        select(division.c.short_name, division.c.name, func.st_x(centre), func.st_y(centre), division.c.code)
        .where(
            division.c.level == "village",
            division.c.geom.is_not(None),
            division.c.short_name.contains(words, autoescape=True),
        )
        .order_by(division.c.code)
        .limit(limit)
    ).all()
    found = [
        {"kind": "division", "name": n, "address": full, "lon": lon, "lat": lat, "code": code}
        for n, full, lon, lat, code in villages
    ]
    places = tx.execute(
        select(place.c.kind, place.c.name, place.c.address, func.st_x(place.c.geom), func.st_y(place.c.geom))
        .where(place.c.search.contains(words, autoescape=True))
        .order_by(~starts, func.length(place.c.name), place.c.name, place.c.id)
        .limit(limit - len(found))
    ).all()
    return found + [
        {"kind": k, "name": n, "address": a, "lon": lon, "lat": lat, "code": ""} for k, n, a, lon, lat in places
    ]
