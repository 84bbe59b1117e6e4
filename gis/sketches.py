"""Sketches (标绘): what people draw on the map, kept under a name, private or shared, every version. Knows no cases."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, func, insert, or_, select, update

from gis import errors
from gis.db import Connection
from gis.people import Caller
from gis.tables import sketch, sketch_version, staff

MOST: Final = 200
"""Sketches one person may keep, deleted ones not counted."""
MOST_FEATURES: Final = 500
MOST_CORNERS: Final = 10_000
MOST_RADIUS_M: Final = 100_000.0
SHAPES: Final[Mapping[str, str]] = {
    "point": "Point",
    "text": "Point",
    "circle": "Point",
    "line": "LineString",
    "arrow": "LineString",
    "polygon": "Polygon",
}
"""The geometry each shape is kept as; a circle is its middle and ``radius_m``."""
COLOURS: Final = ("#ffffff", "#ff5d55", "#f4c534", "#3fc380", "#4aa8ff", "#b38cff")
WIDTHS: Final = (2, 3, 5)


@dataclass(frozen=True)
class Drawn:
    """A sketch to keep: its name, its features as :func:`checked` returns them, whether everybody may see it."""

    name: str
    features: dict[str, Any]
    shared: bool = False


def checked(features: Sequence[Any]) -> dict[str, Any]:
    """Features as they are kept: GeoJSON with known properties only. Raises ``Malformed`` naming the first bad one.

    Properties: ``shape`` (:data:`SHAPES`), ``label``, ``colour``, ``width``, and ``radius_m`` of a circle.
    """
    if len(features) > MOST_FEATURES:
        raise errors.Malformed(field="features", most=MOST_FEATURES)
    kept, corners = [], 0
    for at, feature in enumerate(features):
        try:
            one, n = _feature(feature)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise errors.Malformed(field=f"features.{at}", why=str(error) or type(error).__name__) from error
        kept.append(one)
        corners += n
    if corners > MOST_CORNERS:
        raise errors.Malformed(field="features", most_corners=MOST_CORNERS)
    return {"type": "FeatureCollection", "features": kept}


def _feature(feature: Any) -> tuple[dict[str, Any], int]:
    told, geometry = feature["properties"], feature["geometry"]
    shape = told["shape"]
    if SHAPES[shape] != geometry["type"]:
        raise ValueError(f"a {shape} is a {SHAPES[shape]}")
    raw = geometry["coordinates"]
    if shape == "polygon":
        if len(raw) != 1 or len(raw[0]) < 4 or raw[0][0] != raw[0][-1]:
            raise ValueError("a polygon is one closed ring")
        coordinates: Any = [[_place(p) for p in raw[0]]]
    elif SHAPES[shape] == "LineString":
        if len(raw) < 2:
            raise ValueError("a line has two ends")
        coordinates = [_place(p) for p in raw]
    else:
        coordinates = _place(raw)
    properties = {"shape": shape, "label": str(told.get("label", ""))[:200]}
    properties["colour"] = told.get("colour", COLOURS[0])
    properties["width"] = told.get("width", WIDTHS[1])
    if properties["colour"] not in COLOURS or properties["width"] not in WIDTHS:
        raise ValueError(f"a colour of {', '.join(COLOURS)} and a width of {', '.join(map(str, WIDTHS))}")
    if shape == "text" and not properties["label"].strip():
        raise ValueError("a text has words")
    if shape == "circle":
        properties["radius_m"] = float(told["radius_m"])
        if not 0 < properties["radius_m"] <= MOST_RADIUS_M:
            raise ValueError(f"a radius of up to {MOST_RADIUS_M:.0f} m")
    corners = 1 if SHAPES[shape] == "Point" else len(raw[0] if shape == "polygon" else raw)
    return {
        "type": "Feature",
        "properties": properties,
        "geometry": {"type": SHAPES[shape], "coordinates": coordinates},
    }, corners


def _place(raw: Any) -> list[float]:
    lon, lat = float(raw[0]), float(raw[1])
    if not (math.isfinite(lon) and math.isfinite(lat) and abs(lon) <= 180 and abs(lat) <= 90):
        raise ValueError("a place is longitude and latitude")
    return [round(lon, 8), round(lat, 8)]


def _seen(caller: Caller) -> ColumnElement[bool]:
    return or_(sketch.c.owner_id == caller.id, sketch.c.shared)


def of(tx: Connection, caller: Caller) -> Sequence[Any]:
    """The caller's own sketches and those others share, the newest change first, without features.

    ``owner`` names whose it is, ``own`` says whether it is the caller's, ``size`` how many features it has.
    """
    columns = [c for c in sketch.c if c.name != "features"]
    size = func.jsonb_array_length(sketch.c.features["features"]).label("size")
    return tx.execute(
        select(*columns, size, staff.c.name.label("owner"), (sketch.c.owner_id == caller.id).label("own"))
        .join(staff, staff.c.id == sketch.c.owner_id)
        .where(_seen(caller), sketch.c.deleted_at.is_(None))
        .order_by(sketch.c.changed_at.desc(), sketch.c.id)
    ).all()


def get(tx: Connection, caller: Caller, which: UUID, version: int | None = None) -> Any:
    """One sketch with its features, as ``of`` tells it; as it was in ``version``. Raises ``NotFound``."""
    row = tx.execute(
        select(sketch, staff.c.name.label("owner"), (sketch.c.owner_id == caller.id).label("own"))
        .join(staff, staff.c.id == sketch.c.owner_id)
        .where(sketch.c.id == which, _seen(caller), sketch.c.deleted_at.is_(None))
    ).first()
    if row is None:
        raise errors.NotFound(sketch=str(which))
    found = dict(row._mapping)
    if version is not None and version != found["version"]:
        past = sketch_version.c
        old = tx.execute(
            select(past.name, past.features, past.version).where(past.sketch_id == which, past.version == version)
        ).first()
        if old is None:
            raise errors.NotFound(sketch=str(which), version=version)
        found |= dict(old._mapping)
    return found


def versions(tx: Connection, caller: Caller, which: UUID) -> Sequence[Any]:
    """The versions of a sketch, the newest first: version, name, changed_at, size. Raises ``NotFound``."""
    get(tx, caller, which)
    c = sketch_version.c
    size = func.jsonb_array_length(c.features["features"]).label("size")
    return tx.execute(
        select(c.version, c.name, c.changed_at, size).where(c.sketch_id == which).order_by(c.version.desc())
    ).all()


def keep(tx: Connection, caller: Caller, which: UUID, drawn: Drawn) -> None:
    """Keep a new sketch under the id its maker gave it; the same again is harmless.

    Raises ``IdConflict``, ``TooManyKept``.
    """
    there = tx.execute(select(sketch).where(sketch.c.id == which)).first()
    if there is not None:
        same = (there.name, there.features, there.shared, there.version)
        if there.owner_id == caller.id and same == (drawn.name, drawn.features, drawn.shared, 1):
            return
        raise errors.IdConflict(id=str(which))
    held = tx.execute(
        select(func.count()).where(sketch.c.owner_id == caller.id, sketch.c.deleted_at.is_(None))
    ).scalar_one()
    if held >= MOST:
        raise errors.TooManyKept(most=MOST)
    values = {"id": which, "owner_id": caller.id, "name": drawn.name, "features": drawn.features}
    tx.execute(insert(sketch).values(values | {"shared": drawn.shared}))
    _remember(tx, which, 1, drawn)


def change(tx: Connection, caller: Caller, which: UUID, drawn: Drawn, base: int) -> int:
    """Put ``drawn`` in the place of version ``base`` of the caller's own; returns the new version.

    Raises ``NotFound`` for another's or none, ``StaleSketch`` when it was changed since.
    """
    now = _own(tx, caller, which)
    if now.version != base:
        raise errors.StaleSketch(version=now.version, at=now.changed_at.isoformat())
    tx.execute(
        update(sketch)
        .where(sketch.c.id == which)
        .values(
            name=drawn.name,
            features=drawn.features,
            shared=drawn.shared,
            version=base + 1,
            changed_at=func.now(),
        )
    )
    _remember(tx, which, base + 1, drawn)
    return base + 1


def forget(tx: Connection, caller: Caller, which: UUID) -> None:
    """Delete one of the caller's own; ``restore`` takes it back. Raises ``NotFound``."""
    _own(tx, caller, which)
    tx.execute(update(sketch).where(sketch.c.id == which).values(deleted_at=func.now()))


def restore(tx: Connection, caller: Caller, which: UUID) -> None:
    """Take a deletion back. Raises ``NotFound``."""
    _own(tx, caller, which, deleted=True)
    tx.execute(update(sketch).where(sketch.c.id == which).values(deleted_at=None))


def _own(tx: Connection, caller: Caller, which: UUID, *, deleted: bool = False) -> Any:
    mine = select(sketch).where(sketch.c.id == which, sketch.c.owner_id == caller.id).with_for_update()
    row = tx.execute(mine.where(sketch.c.deleted_at.is_not(None) if deleted else sketch.c.deleted_at.is_(None))).first()
    if row is None:
        raise errors.NotFound(sketch=str(which))
    return row


def _remember(tx: Connection, which: UUID, version: int, drawn: Drawn) -> None:
    values = {"sketch_id": which, "version": version, "name": drawn.name, "features": drawn.features}
    tx.execute(insert(sketch_version).values(values))
