"""What a component was and is: its versions with what changed in each, and its photos."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import null, select, union_all
from sqlalchemy.dialects.postgresql import insert

from gis import errors
from gis.db import Connection
from gis.geometry import distance_m
from gis.people import Caller
from gis.search import visible_cases
from gis.tables import attachment, case, component, component_photo, component_version, survey

_TOLD = (
    *("catalogue", "category_code", "name", "state", "unit_grid_code", "competent_unit", "owner_unit"),
    *("maintenance_unit", "accuracy_class", "surveyed_on", "changed_on", "lon", "lat", "properties"),
)


def versions(tx: Connection, caller: Caller, code: str) -> list[dict[str, Any]]:
    """Every version of a component, the newest first: what was known, from when to when (``valid_to`` None: now), which
    survey or change case (``corrected``) brought it, and ``changes`` {field: [before, after]} with ``moved_m``.
    ``case_id`` and ``number`` only of a case the caller may see.

    Raises ``ComponentUnknown``.
    """
    told = [*_TOLD, "version", "valid_from", "survey_id"]
    shared = [*told, "case_id"]
    now = select(*(component.c[name] for name in shared), null().label("valid_to")).where(component.c.code == code)
    past = select(*(component_version.c[name] for name in shared), component_version.c.valid_to).where(
        component_version.c.code == code
    )
    each = union_all(now, past).subquery()
    seen = visible_cases(caller).where(case.c.component_code == code).subquery()
    rows = tx.execute(
        select(
            *(each.c[name] for name in (*told, "valid_to")),
            *(survey.c.name.label("survey"), survey.c.note, survey.c.made_by, survey.c.reverts),
            *(each.c.case_id.is_not(None).label("corrected"), seen.c.id.label("case_id"), seen.c.number),
        )
        .join(survey, survey.c.id == each.c.survey_id, isouter=True)
        .join(seen, seen.c.id == each.c.case_id, isouter=True)
        .order_by(each.c.version.desc())
    ).mappings()
    found = [dict(row) for row in rows]
    if not found:
        raise errors.ComponentUnknown(code=code)
    for row, before in zip(found, [*found[1:], None], strict=True):
        row |= _changed(before, row)
    return found


def _changed(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> dict[str, Any]:
    if before is None:
        return {"changes": {}, "moved_m": None}
    changes = {name: [before[name], after[name]] for name in _TOLD if before[name] != after[name]}
    place = [changes.pop(name, None) for name in ("lon", "lat")]
    moved = distance_m(before["lon"], before["lat"], after["lon"], after["lat"]) if any(place) else None
    return {"changes": changes, "moved_m": moved}


def photos(tx: Connection, caller: Caller, code: str) -> list[dict[str, Any]]:
    """A component's photos, the newest first: its own, and those of its cases the caller may see.

    ``{sha256, case, by, at, own}``; ``case`` is the case a photo is read through, None for the component's own.
    """
    own = tx.execute(
        select(component_photo).where(component_photo.c.code == code).order_by(component_photo.c.added_at.desc())
    )
    mine = visible_cases(caller).where(case.c.component_code == code).with_only_columns(case.c.id, case.c.reported_at)
    seen = mine.subquery()
    theirs = tx.execute(
        select(attachment.c.sha256, attachment.c.case_id, attachment.c.purpose, seen.c.reported_at)
        .join(seen, seen.c.id == attachment.c.case_id)
        .order_by(seen.c.reported_at.desc())
        .limit(50)
    )
    found = [
        {"sha256": row.sha256.hex(), "case": None, "by": row.by, "at": row.added_at, "purpose": "component"}
        for row in own
    ]
    known = {one["sha256"] for one in found}
    return found + [
        {"sha256": row.sha256.hex(), "case": row.case_id, "by": "", "at": row.reported_at, "purpose": row.purpose}
        for row in theirs
        if row.sha256.hex() not in known
    ]


def add_photos(tx: Connection, code: str, kept: Sequence[tuple[bytes, str, int]], by: str, case_id: Any = None) -> int:
    """Add stored photos, as (SHA-256, media type, bytes), to a component; returns how many were new.

    Raises ``ComponentUnknown``.
    """
    if tx.execute(select(component.c.code).where(component.c.code == code)).first() is None:
        raise errors.ComponentUnknown(code=code)
    if not kept:
        return 0
    rows = [
        {"code": code, "sha256": digest, "mime": mime, "bytes": size, "by": by, "case_id": case_id}
        for digest, mime, size in kept
    ]
    added = insert(component_photo).values(rows).on_conflict_do_nothing().returning(component_photo.c.sha256)
    return len(tx.execute(added).all())


def photo_of(tx: Connection, code: str, sha256: str) -> str:
    """The media type of a component's own photo. Raises ``NotFound``."""
    try:
        digest = bytes.fromhex(sha256)
    except ValueError as error:
        raise errors.NotFound(sha256=sha256[:64]) from error
    found = tx.execute(
        select(component_photo.c.mime).where(component_photo.c.code == code, component_photo.c.sha256 == digest)
    ).scalar()
    if found is None:
        raise errors.NotFound(sha256=sha256)
    return str(found)
