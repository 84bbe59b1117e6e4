"""Finding a place by what people type: names, addresses, pinyin, component codes, grid codes, case numbers."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, Final

from sqlalchemy import ColumnElement, Text, cast, func, literal, select, union_all
from sqlalchemy import case as when

from gis import map_shapes
from gis.db import Connection
from gis.people import Caller
from gis.place_index import Entry, PlaceIndex
from gis.rulebook import rulebook
from gis.search import ZONE, visible_cases
from gis.tables import case, component, division, place, unit_grid
from gis.validity import in_force

RECENT_DAYS: Final = 60
"""So many days back a case is looked for by its running number alone."""
_COMPONENT: Final = re.compile(r"\d{14,18}")
_NUMBER: Final = re.compile(r"([A-Z]{1,4})?(\d{8}|\d{4})?-?(\d{1,6})")
_kept: tuple[str, PlaceIndex] = ("", PlaceIndex(()))
_lock = Lock()


def lookup(tx: Connection, caller: Caller, q: str, limit: int = 10) -> list[dict[str, Any]]:
    """What ``q`` may mean, best first: {kind, name, address, lon, lat, code, bbox}; EPSG:4490 degrees.

    ``bbox`` (west, south, east, north) only of the town and its villages.

    Digits are read as codes of grids and components or as a case number, whole, by their beginning, shortened
    (``1120-123``, ``123``) or with a slip; words as names, addresses, pinyin or initials, with slips.
    """
    words = q.strip()
    if not words:
        return []
    code = re.sub(r"[\s_—–]+", "", words).upper()
    found: list[dict[str, Any]] = []
    if code.isascii() and any(c.isdigit() for c in code):
        found = _by_code(tx, caller, code, limit) or _meant(tx, caller, code, limit)
    if len(found) < limit and not (found and len(code) >= 8):
        found += [_told(entry) for entry in _index(tx).find(words, limit - len(found))]
    return found


def _told(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "name": entry.name,
        "address": entry.address,
        "lon": entry.lon,
        "lat": entry.lat,
        "code": entry.code,
        "bbox": entry.bbox,
    }


def _index(tx: Connection) -> PlaceIndex:
    """The town's names, read again when the town changes."""
    global _kept
    size = tx.execute(select(func.count(), func.max(place.c.id)).select_from(place)).one()
    mark = f"{tx.engine.url.database}-{map_shapes.version(tx)}-{size[0]}-{size[1]}"
    with _lock:
        if _kept[0] != mark:
            _kept = (mark, PlaceIndex([*_divisions(tx), *_places(tx)]))
        return _kept[1]


def _divisions(tx: Connection) -> Iterator[Entry]:
    """The town and its villages."""
    centre = func.st_pointonsurface(division.c.geom)
    sides = [getattr(func, f"st_{side}")(division.c.geom) for side in ("xmin", "ymin", "xmax", "ymax")]
    kind = when((division.c.level == "township", "town"), else_="division")
    rows = tx.execute(
        select(
            *(kind, division.c.short_name, division.c.name, func.st_x(centre), func.st_y(centre), division.c.code),
            *sides,
        )
        .where(division.c.level.in_(("township", "village")))
        .where(division.c.geom.is_not(None), division.c.valid_to.is_(None))
        .order_by(division.c.code)
    )
    return (Entry(at, name, full, lon, lat, code, tuple(box)) for at, name, full, lon, lat, code, *box in rows)


def _places(tx: Connection) -> Iterator[Entry]:
    rows = tx.execute(
        select(place.c.kind, place.c.name, place.c.address, func.st_x(place.c.geom), func.st_y(place.c.geom)).order_by(
            place.c.id
        )
    )
    return (Entry(kind, name, address, lon, lat) for kind, name, address, lon, lat in rows)


def _by_code(tx: Connection, caller: Caller, code: str, limit: int) -> list[dict[str, Any]]:
    """What begins with the code."""
    if len(code) < 4:
        return []
    return _rows(
        tx,
        caller,
        case.c.number.startswith(code, autoescape=True),
        component.c.code.startswith(code, autoescape=True),
        unit_grid.c.code.startswith(code, autoescape=True),
        limit,
    )


def _meant(tx: Connection, caller: Caller, code: str, limit: int) -> list[dict[str, Any]]:
    """What a shortened case number or a component code with one slip may mean."""
    if _COMPONENT.fullmatch(code):
        near = sorted(neighbours(code, 16))
        return _rows(tx, caller, None, component.c.code.in_(near), None, limit)
    parts = _NUMBER.fullmatch(code)
    if parts is None:
        return []
    book = rulebook(tx)
    heads = {book.number_prefix, *(kind.number_prefix for kind in book.case_kinds.values())} - {""}
    today = datetime.now(UTC).astimezone(ZONE).date()
    days = [f"{today - timedelta(days=n):%Y%m%d}" for n in range(RECENT_DAYS)]
    numbers = full_numbers(parts[1] or "", parts[2] or "", parts[3], sorted(heads), days)
    return _rows(tx, caller, case.c.number.in_(numbers), None, None, limit)


def full_numbers(head: str, day: str, sequence: str, heads: Sequence[str], days: Sequence[str]) -> list[str]:
    """The whole case numbers a shortened one may stand for; ``days`` (YYYYMMDD) are those looked at, newest first."""
    meant = [one for one in days if one.endswith(day)] if len(day) != 8 else [day]
    return [f"{h}{d}-{int(sequence):06d}" for d in meant for h in heads if h.startswith(head)]


def neighbours(code: str, length: int) -> set[str]:
    """The codes of ``length`` digits one slip from ``code``: a digit changed, left out or too many, or two swapped."""
    digits = "0123456789"
    found: set[str] = set()
    for i in range(len(code) + 1):
        found |= {code[:i] + d + code[i:] for d in digits}
        found.add(code[:i] + code[i + 1 :])
        if i < len(code):
            found |= {code[:i] + d + code[i + 1 :] for d in digits}
        if i + 1 < len(code):
            found.add(code[:i] + code[i + 1] + code[i] + code[i + 2 :])
    return {one for one in found if len(one) == length}


def _rows(
    tx: Connection,
    caller: Caller,
    numbers: ColumnElement[bool] | None,
    codes: ColumnElement[bool] | None,
    grids: ColumnElement[bool] | None,
    limit: int,
) -> list[dict[str, Any]]:
    centre = func.st_pointonsurface(unit_grid.c.geom)
    columns = ("kind", "name", "address", "lon", "lat", "code")
    parts: list[Any] = []
    told: tuple[Any, ...]
    if numbers is not None and "case.view" in caller.permissions:
        seen = visible_cases(caller).where(numbers).order_by(case.c.reported_at.desc())
        told = (literal("case"), case.c.number, case.c.address, case.c.lon, case.c.lat, cast(case.c.id, Text))
        parts.append(seen.with_only_columns(*(c.label(n) for n, c in zip(columns, told, strict=True))))
    if codes is not None:
        told = (literal("component"), component.c.name, literal(""), component.c.lon, component.c.lat, component.c.code)
        parts.append(select(*(c.label(n) for n, c in zip(columns, told, strict=True))).where(codes))
    if grids is not None:
        told = (
            literal("grid"),
            unit_grid.c.code,
            unit_grid.c.land_use,
            func.st_x(centre),
            func.st_y(centre),
            unit_grid.c.code,
        )
        within = select(*(c.label(n) for n, c in zip(columns, told, strict=True)))
        parts.append(within.where(grids, in_force(unit_grid)))
    if not parts:
        return []
    limited = [part.limit(limit).subquery() for part in parts]
    rows = tx.execute(union_all(*(select(*p.c) for p in limited)).limit(limit)).all()
    return [dict(zip(columns, row, strict=True)) for row in rows]
