"""Lookups of single things for those who show them: a whole case, its photos, divisions, departments, the town.

Knows only reads; what may be seen of cases comes from gis.search.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from gis import errors, events, lineage
from gis.db import Connection
from gis.people import Caller
from gis.search import named, visible_cases
from gis.tables import (
    attachment,
    case,
    case_code,
    case_digest,
    case_event,
    department,
    division,
    duty_grid,
    duty_grid_member,
    staff,
    town,
    unit_grid,
)
from gis.validity import in_force


def whole_case(tx: Connection, caller: Caller, case_id: UUID) -> tuple[Any, Sequence[Any], Sequence[Any]]:
    """A visible case with names, its events newest first, and its attachments. Raises ``CaseNotFound``."""
    row = tx.execute(named(visible_cases(caller).where(case.c.id == case_id))).first()
    if row is None:
        raise errors.CaseNotFound(id=str(case_id))
    story = select(case_event).where(case_event.c.case_id == case_id).order_by(case_event.c.seq.desc())
    photos = select(attachment).where(attachment.c.case_id == case_id).order_by(attachment.c.seq, attachment.c.sha256)
    return row, tx.execute(story).all(), tx.execute(photos).all()


@dataclass(frozen=True)
class Proof:
    """What the chain of a case's events says: how many there are, the last one's hash, where it breaks (None: nowhere).

    Days up to ``sealed_until`` are also under the digest of the day.
    """

    events: int
    head: bytes
    broken_at: int | None
    sealed_until: date | None


def proof(tx: Connection, caller: Caller, case_id: UUID) -> Proof:
    """The chain of a visible case, hashed anew; an event that is missing at its end breaks it too.

    Raises ``CaseNotFound``.
    """
    row = tx.execute(visible_cases(caller).where(case.c.id == case_id)).first()
    if row is None:
        raise errors.CaseNotFound(id=str(case_id))
    last = tx.execute(
        select(case_event.c.seq, case_event.c.hash)
        .where(case_event.c.case_id == case_id)
        .order_by(case_event.c.seq.desc())
        .limit(1)
    ).first()
    kept = last is not None and (last.seq, last.hash) == (row.seq, row.last_hash)
    broken_at = events.broken(tx, case_id)
    if broken_at is None and not kept:
        broken_at = last.seq + 1 if last else 1
    sealed = tx.execute(select(func.max(case_digest.c.day))).scalar()
    return Proof(row.seq, bytes(row.last_hash), broken_at, sealed)


def links(tx: Connection, caller: Caller, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The visible cases that belong to one: {link, and the columns of ``case``}.

    ``link`` is merged_into, merged_from, parent or child.
    """
    found: list[dict[str, Any]] = []
    clauses = {"merged_from": case.c.merged_into == row["id"], "child": case.c.parent_id == row["id"]}
    for link, column in (("merged_into", "merged_into"), ("parent", "parent_id")):
        if row[column] is not None:
            clauses[link] = case.c.id == row[column]
    for link, clause in clauses.items():
        page = named(visible_cases(caller).where(clause).order_by(case.c.reported_at).limit(50))
        found += [{**one._mapping, "link": link} for one in tx.execute(page)]
    return found


def codes(tx: Connection, case_id: UUID) -> Sequence[Any]:
    """What other channels call a case: rows (channel, code)."""
    return tx.execute(
        select(case_code.c.channel, case_code.c.code).where(case_code.c.case_id == case_id).order_by(*case_code.c)
    ).all()


def attachment_of(tx: Connection, caller: Caller, case_id: UUID, sha256_hex: str) -> Any:
    """A photo's record on a visible case. Raises ``NotFound``."""
    visible = visible_cases(caller).where(case.c.id == case_id).with_only_columns(case.c.id)
    try:
        digest = bytes.fromhex(sha256_hex)
    except ValueError as error:
        raise errors.NotFound(sha256=sha256_hex) from error
    row = tx.execute(
        select(attachment).where(attachment.c.case_id.in_(visible), attachment.c.sha256 == digest).limit(1)
    ).first()
    if row is None:
        raise errors.NotFound(sha256=sha256_hex)
    return row


def names_in(tx: Connection, caller: Caller, ids: Mapping[str, Collection[str]]) -> dict[str, str]:
    """The names of people (``staff``) and the numbers of the visible cases (``case``) among these ids, by id."""
    people = select(staff.c.id, staff.c.name).where(staff.c.id.in_([UUID(i) for i in ids["staff"]]))
    seen = visible_cases(caller).where(case.c.id.in_([UUID(i) for i in ids["case"]]))
    cases = seen.with_only_columns(case.c.id, case.c.number)
    return {str(row[0]): row[1] for query in (people, cases) for row in tx.execute(query)}


def by_query_code(tx: Connection, query_code: str) -> Any:
    """The case a reporter follows by its code. Raises ``CaseNotFound``."""
    row = tx.execute(select(case).where(case.c.query_code == query_code.strip().upper()[:20])).first()
    if row is None:
        raise errors.CaseNotFound()
    return row


def story(tx: Connection, case_id: UUID) -> Sequence[Any]:
    """The events of a case, the first one first: action, from_state, to_state, happened_at, payload; no actors."""
    return tx.execute(
        select(
            case_event.c.action,
            case_event.c.from_state,
            case_event.c.to_state,
            case_event.c.happened_at,
            case_event.c.payload,
        )
        .where(case_event.c.case_id == case_id)
        .order_by(case_event.c.seq)
    ).all()


def departments(tx: Connection) -> list[dict[str, Any]]:
    """Every active department by code."""
    rows = tx.execute(select(department).where(department.c.active).order_by(department.c.code)).all()
    return [{"code": r.code, "name": r.name, "kind": r.kind, "parent": r.parent} for r in rows]


def department_names(tx: Connection) -> dict[str, str]:
    """Names of all departments by code, those that are no more too: past cases were theirs."""
    return {row.code: row.name for row in tx.execute(select(department.c.code, department.c.name))}


def areas(tx: Connection) -> dict[str, Any]:
    """The villages and duty grids in force, by code: what an area may be called."""
    small = (
        select(duty_grid.c.code, duty_grid.c.name, duty_grid.c.village_code)
        .where(in_force(duty_grid))
        .order_by(duty_grid.c.code)
    )
    return {
        "villages": [{"code": row.code, "name": row.short_name} for row in villages(tx)],
        "duty_grids": [{"code": row.code, "name": row.name, "village": row.village_code} for row in tx.execute(small)],
    }


def area(tx: Connection, text_form: str) -> dict[str, Any]:
    """Where an area of a duty rule (``village:…``, ``duty:…``, ``grid:…``) lies: name, bbox in degrees.

    Raises ``NotFound``.
    """
    level, _, code = text_form.partition(":")
    table, name = {
        "village": (division, division.c.short_name),
        "duty": (duty_grid, duty_grid.c.name),
        "grid": (unit_grid, unit_grid.c.code),
    }.get(level, (None, None))
    if table is None or name is None:
        raise errors.NotFound(area=text_form[:60])
    sides = (getattr(func, f"st_{side}")(table.c.geom) for side in ("xmin", "ymin", "xmax", "ymax"))
    row = tx.execute(select(name, *sides).where(table.c.code == code, table.c.geom.is_not(None))).first()
    if row is None:
        raise errors.NotFound(area=text_form[:60])
    return {"area": text_form, "name": row[0], "bbox": [float(side) for side in row[1:]]}


def the_town(tx: Connection) -> dict[str, Any]:
    """The loaded town: code, name, whether it is synthetic, bbox (west, south, east, north) and centre in degrees.

    Raises ``Unavailable`` when none is loaded.
    """
    row = tx.execute(select(town)).first()
    if row is None:
        raise errors.Unavailable("尚未载入镇街数据", "No town is loaded yet")
    box = tx.execute(
        select(
            *(
                getattr(func, f"st_{side}")(func.st_extent(unit_grid.c.geom))
                for side in ("xmin", "ymin", "xmax", "ymax")
            )
        )
    ).one()
    west, south, east, north = (float(v) if v is not None else 0.0 for v in box)
    return {
        "code": row.code,
        "name": row.name,
        "synthetic": row.synthetic,
        "catalogue": row.catalogue,
        "bbox": [west, south, east, north],
        "center": [(west + east) / 2, (south + north) / 2],
    }


def division_name(tx: Connection, code: str) -> str:
    """A division's short name; the code itself where it is unknown."""
    return tx.execute(select(division.c.short_name).where(division.c.code == code)).scalar() or code


def villages(tx: Connection) -> Sequence[Any]:
    """The villages in force: code, short_name, synthetic, geom as GeoJSON text (EPSG:4490), a label point."""
    return tx.execute(
        select(
            division.c.code,
            division.c.short_name,
            division.c.synthetic,
            func.st_asgeojson(division.c.geom, 6).label("geom"),
            func.st_x(func.st_pointonsurface(division.c.geom)).label("lon"),
            func.st_y(func.st_pointonsurface(division.c.geom)).label("lat"),
        )
        .where(division.c.level == "village", division.c.geom.is_not(None), division.c.valid_to.is_(None))
        .order_by(division.c.code)
    ).all()


def grid(tx: Connection, code: str) -> dict[str, Any]:
    """A unit grid: its village, duty grid, class, use, area in square metres, validity, GeoJSON geometry, descent,
    and when it got another class or use.

    Raises ``NotFound``.
    """
    row = tx.execute(
        select(
            unit_grid.c.code,
            unit_grid.c.village_code,
            unit_grid.c.area_class,
            unit_grid.c.land_use,
            unit_grid.c.area_m2,
            unit_grid.c.valid_from,
            unit_grid.c.valid_to,
            division.c.short_name.label("village_name"),
            duty_grid.c.code.label("duty_grid_code"),
            duty_grid.c.name.label("duty_grid_name"),
            func.st_asgeojson(unit_grid.c.geom, 8).label("geom"),
        )
        .join(division, division.c.code == unit_grid.c.village_code, isouter=True)
        .join(duty_grid_member, duty_grid_member.c.unit_grid_code == unit_grid.c.code, isouter=True)
        .join(duty_grid, duty_grid.c.code == duty_grid_member.c.duty_grid_code, isouter=True)
        .where(unit_grid.c.code == code)
    ).first()
    if row is None:
        raise errors.NotFound(grid=code)
    return dict(row._mapping) | lineage.relatives(tx, code) | {"described": lineage.described(tx, code)}
