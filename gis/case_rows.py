"""How a case and its events become rows: each with its event, its place in the chain and what consumers must take.

Knows statements, made once; what a step means is known by gis.cases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Text, bindparam, cast, func, insert, literal, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from gis import events
from gis.case_clock import Moments
from gis.db import Connection
from gis.people import Caller
from gis.tables import attachment, case, case_event, delivery, department
from gis.workflow import Step


@dataclass(frozen=True)
class Photo:
    """A stored photo that comes with an event."""

    sha256: bytes
    mime: str
    bytes: int


def make_event(
    case_id: UUID,
    seq: int,
    previous: bytes,
    step: Step,
    from_state: str | None,
    caller: Caller,
    happened_at: datetime,
    payload: Mapping[str, Any],
    place: tuple[float, float] | None,
) -> dict[str, Any]:
    event: dict[str, Any] = {
        "case_id": case_id,
        "seq": seq,
        "action": step.action.code,
        "from_state": from_state,
        "to_state": step.state.code,
        "actor_id": caller.id,
        "actor": caller.name,
        "role": step.role,
        "happened_at": happened_at,
        "lon": place[0] if place else None,
        "lat": place[1] if place else None,
        "payload": dict(payload),
        "prev_hash": bytes(previous),
    }
    return event | {"hash": events.chain(event, bytes(previous))}


def kept(row: Mapping[str, Any], step: Step, moments: Moments, photos: Sequence[Photo]) -> dict[str, Any]:
    """The payload of a step's event: the fields given, and what the engine adds (``gis.workflow.RESERVED``)."""
    payload = dict(step.payload)
    if photos:
        payload["photos"] = [p.sha256.hex() for p in photos]
    if moments.judged != moments.told:
        payload["judged_at"] = moments.judged.isoformat()
    if "overdue_at" in step.action.marks and row["due_at"] is not None:
        payload["due_at"] = row["due_at"].isoformat()
        payload["late_department"] = row["clock"].get("department", row["department_code"])
    return payload


def left_scope(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any] | None:
    """Whom a case was visible to before a step that gave it to others; None where it stays with the same.

    Read again by :func:`had`, with the columns a scope goes by.
    """
    if all(before[name] == after[name] for name in ("department_code", "co_departments", "assignee_id")):
        return None
    return {name: str(before[name]) if isinstance(before[name], UUID) else before[name] for name in _SCOPED}


def had(caller: Caller, left: Mapping[str, Any]) -> bool:
    """Whether a case was visible to the caller when it was as :func:`left_scope` says."""
    row = {name: UUID(value) if value and name.endswith("_id") else value for name, value in left.items()}
    return bool(caller.roles_on({**row, "id": None}))


_SCOPED = ("village_code", "duty_grid_code", "department_code", "co_departments", "reporter_id", "assignee_id")


def purposes(step: Step, photos: Sequence[Photo]) -> dict[str, list[Photo]]:
    """The photos of a step by purpose, as the fields they came in say."""
    of: dict[str, str] = {}
    for field in step.action.fields:
        if field.type == "photo":
            of |= dict.fromkeys(step.payload.get(field.name) or [], purpose_of(field.name))
    found: dict[str, list[Photo]] = {}
    for photo in photos:
        found.setdefault(of.get(photo.sha256.hex(), "check"), []).append(photo)
    return found


def purpose_of(field: str) -> str:
    """What photos of a field show: before, after, check or other."""
    return _PURPOSES.get(field, "check")


_PURPOSES = {"photos_before": "before", "photos_after": "after", "material": "other"}


def open_case(tx: Connection, row: Mapping[str, Any], event: Mapping[str, Any]) -> Any:
    """Write a case and its first event; the row (number, department_name), or None where the id is taken."""
    return tx.execute(_OPEN, {**row, **{f"event_{name}": value for name, value in event.items()}}).first()


def append(tx: Connection, event: Mapping[str, Any], photos: Mapping[str, Sequence[Photo]]) -> None:
    """Write an event and its photos, by purpose."""
    tx.execute(_APPEND, {f"event_{name}": value for name, value in event.items()})
    for purpose, some in photos.items():
        attach(tx, event, some, purpose)


def attach(tx: Connection, event: Mapping[str, Any], photos: Sequence[Photo], purpose: str) -> None:
    tx.execute(
        upsert(attachment).on_conflict_do_nothing(),
        [
            {
                "case_id": event["case_id"],
                "sha256": p.sha256,
                "purpose": purpose,
                "mime": p.mime,
                "bytes": p.bytes,
                "seq": event["seq"],
                "taken_at": event["happened_at"],
            }
            for p in photos
        ],
    )


# --- The statements, made once: building them anew for every report costs more than running them ----------------

_GIVEN_EVENT = [
    case_event.c[name]
    for name in (
        *("case_id", "seq", "action", "from_state", "to_state", "actor_id", "actor", "role", "happened_at"),
        *("lon", "lat", "payload", "prev_hash", "hash"),
    )
]
_EVENT_VALUES = [bindparam(f"event_{c.name}", type_=c.type) for c in _GIVEN_EVENT]
_SHARED = {
    "case_id": "id",
    "seq": "seq",
    "to_state": "state",
    "actor_id": "reporter_id",
    "happened_at": "occurred_at",
    "lon": "lon",
    "lat": "lat",
    "hash": "last_hash",
}
# What the database fills in, and what a case gets only later.
_NOT_OPENED = {"number", "assignee_id", "clock", "next_due_at", "tags", "parent_id", "merged_into", "facts"}
_NOT_OPENED |= {c.name for c in case.c if c.name.endswith("_count")}
_LATER = {c.name for c in case.c if c.name.endswith("_at")}
_LATER -= {"occurred_at", "reported_at", "stage_due_at", "stage_yellow_at"}
_OPENED = [c for c in case.c if c.name not in _NOT_OPENED | _LATER]


def _deliveries(written: Any) -> Any:
    waiting = [select(literal(consumer), written.c.case_id, written.c.seq) for consumer in events.CONSUMERS]
    every = waiting[0].union_all(*waiting[1:]) if waiting[1:] else waiting[0]
    return insert(delivery).from_select(["consumer", "case_id", "seq"], every)


def _open_statement() -> Any:
    serial = cast(func.nextval(text("'case_number'::regclass")), Text)
    digits = func.lpad(serial, func.greatest(text("6"), func.length(serial)), text("'0'"))
    values: dict[str, Any] = {c.name: bindparam(c.name, type_=c.type) for c in _OPENED}
    # psycopg keeps no statement of more than 50 parameters: what the event shares with the case is given once.
    event = [values.get(_SHARED.get(c.name, ""), given) for c, given in zip(_GIVEN_EVENT, _EVENT_VALUES, strict=True)]
    values["number"] = bindparam("number_head", type_=Text).concat(digits)
    values["next_due_at"] = values["stage_due_at"]  # no handling clock runs yet
    opened = (
        upsert(case)
        .values(values)
        .on_conflict_do_nothing(index_elements=["id"])
        .returning(case.c.id, case.c.number, case.c.department_code)
        .cte("opened")
    )
    written = (
        insert(case_event)
        .from_select([c.name for c in _GIVEN_EVENT], select(*event).select_from(opened))
        .returning(case_event.c.case_id, case_event.c.seq)
        .cte("written")
    )
    waiting = _deliveries(written)
    name = select(department.c.name).where(department.c.code == opened.c.department_code).scalar_subquery()
    return select(opened.c.number, name.label("department_name")).add_cte(waiting.cte("waiting"))


def _append_statement() -> Any:
    written = (
        insert(case_event)
        .values({c.name: value for c, value in zip(_GIVEN_EVENT, _EVENT_VALUES, strict=True)})
        .returning(case_event.c.case_id, case_event.c.seq)
        .cte("written")
    )
    return _deliveries(written)


_OPEN, _APPEND = _open_statement(), _append_statement()
