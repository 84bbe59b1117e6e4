"""Routes of the command centre's papers: hand-overs of a post and the duty log. For those who see the whole town."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from api import case_views, live
from api.access import Day, Tx, allow, aware, prove
from api.shifts import excel
from gis import db, duty_log, errors, files, handovers, shifts
from gis.duty_log import Entry
from gis.handovers import Handover
from gis.people import Caller
from gis.rulebook import rulebook
from gis.search import ZONE, CaseFilter
from gis.settings import settings
from layers.sheets import Sheet

router = APIRouter(tags=["centre"])
Worker = Annotated[Caller, allow("shift.work")]
_KINDS = {
    "phone": "电话",
    "transfer": "协调转派",
    "visit": "来访接待",
    "meeting": "视频会议",
    "incident": "突发情况",
    "instruction": "领导指示",
    "other": "其他",
}


class Checked(BaseModel):
    """One thing handed over, and whether it is in order."""

    name: str = Field(max_length=100)
    sound: bool
    note: str = Field("", max_length=500)


class Giving(BaseModel):
    """What the one who goes says; figures and cases are gathered by the server. ``notes`` are by case id."""

    id: UUID
    role: Literal["shift_leader", "acceptor", "dispatcher"]
    notes: dict[UUID, Annotated[str, Field(max_length=500)]] = Field(default_factory=dict, max_length=200)
    equipment: list[Checked] = Field(default_factory=list, max_length=50)
    remarks: str = Field("", max_length=5000)


class Signing(BaseModel):
    """The next one's own password, again, and what they remark."""

    password: str = Field(max_length=200)
    remark: str = Field("", max_length=2000)


class Writing(BaseModel):
    """An entry of the log."""

    id: UUID
    kind: Literal["phone", "transfer", "visit", "meeting", "incident", "instruction", "other"]
    text: str = Field(min_length=1, max_length=duty_log.LONGEST)
    happened_at: datetime | None = None
    case_id: UUID | None = None
    photo: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    follows: UUID | None = None


def whole_town(caller: Caller) -> None:
    """Raises ``Forbidden`` for who sees only a part of the town: these papers tell of all of it."""
    if not caller.scope.everything:
        raise errors.Forbidden(scope="town")


# --- Hand-over --------------------------------------------------------------------------------------------------


@router.get("/api/handovers/draft")
def draft(caller: Worker, tx: Tx) -> dict[str, Any]:
    """What there is to hand over now: figures with their lists' filters, cases to name, equipment, my shift."""
    whole_town(caller)
    return _gathered(tx, caller, datetime.now(UTC)) | {
        "roles": [role for role in handovers.ROLES if role in {grant.role for grant in caller.grants}],
        "equipment": handovers.equipment(tx),
    }


@router.post("/api/handovers", status_code=201)
def give(body: Giving, caller: Worker, tx: Tx) -> dict[str, Any]:
    """Hand a post over: what is open is gathered at this moment, with the notes, and kept unchangeably."""
    whole_town(caller)
    now = datetime.now(UTC)
    gathered = _gathered(tx, caller, now)
    for item in gathered["items"]:
        item["note"] = body.notes.get(UUID(item["id"]), "")
    content = gathered | {
        "equipment": [checked.model_dump() for checked in body.equipment],
        "remarks": body.remarks,
    }
    return handover_of(handovers.give(tx, caller, body.id, body.role, content, now))


@router.post("/api/handovers/{handover_id}/sign")
def sign(handover_id: UUID, body: Signing, caller: Worker) -> dict[str, Any]:
    """Take a post over. The password is asked again: a desk left open signs nothing."""
    whole_town(caller)
    prove(caller, body.password)
    with db.transaction() as tx:
        return handover_of(handovers.sign(tx, caller, handover_id, body.remark, datetime.now(UTC)))


@router.get("/api/handovers")
def given(
    caller: Worker, tx: Tx, before: int | None = None, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> dict[str, Any]:
    """Hand-overs, newest first; ``next`` is what the next page asks ``before``."""
    whole_town(caller)
    found, following = handovers.page(tx, before, limit)
    return {"items": [handover_of(one) for one in found], "next": following}


@router.get("/api/handovers/{handover_id}")
def one(handover_id: UUID, caller: Worker, tx: Tx) -> dict[str, Any]:
    """A hand-over, whole; ``intact`` says whether the chain of all of them still holds."""
    whole_town(caller)
    return handover_of(handovers.get(tx, handover_id)) | {"intact": not handovers.broken(tx)}


def _gathered(tx: Tx, caller: Caller, now: datetime) -> dict[str, Any]:
    book = rulebook(tx)
    items = []
    for row, why in handovers.named(tx, caller, now):
        told = case_views.item(tx, book, row, now)
        kept = ("id", "number", "address", "state_name", "light", "due_at", "remaining", "village", "department")
        items.append({name: told[name] for name in kept} | {"category": told["category"]["name"], "why": why})
    running = shifts.running(tx, caller.id, now) if caller.id else None
    return {
        "shift": running
        and {
            "role": running.role,
            "starts_at": running.starts_at.astimezone(ZONE).isoformat(),
            "ends_at": running.ends_at.astimezone(ZONE).isoformat(),
        },
        "figures": [
            {"code": code, "n": live.count(caller, CaseFilter.parse(query), [])["total"], "filter": dict(query)}
            for code, query in handovers.FIGURES.items()
        ],
        "items": items,
    }


def handover_of(found: Handover) -> dict[str, Any]:
    """A hand-over as the pages read it."""
    return {
        "id": found.id,
        "role": found.role,
        "given_by": found.given_by,
        "given_id": found.given_id,
        "given_at": found.given_at,
        "content": found.content,
        "digest": found.digest,
        "signed_by": found.signed_by,
        "signed_at": found.signed_at,
        "remark": found.remark,
        "seal": found.seal,
    }


# --- The log ----------------------------------------------------------------------------------------------------


@router.get("/api/duty-log")
def entries(
    caller: Worker,
    tx: Tx,
    day: Day | None = None,
    until: Day | None = None,
    kind: Annotated[str, Query(max_length=20)] = "",
    q: Annotated[str, Query(max_length=100)] = "",
    cursor: Annotated[str, Query(max_length=100)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> dict[str, Any]:
    """Entries, newest first, of one day or of the days to ``until``, of a kind, with all words of ``q``."""
    whole_town(caller)
    rows, edge = duty_log.page(
        tx, day=day, until=until, kind=kind, q=q.replace("\x00", ""), after=_edge(cursor), limit=limit
    )
    return {
        "items": [_entry(row) for row in rows],
        "next": f"{edge[0].isoformat()}/{edge[1]}" if edge else None,
    }


@router.post("/api/duty-log", status_code=201)
def write(body: Writing, caller: Worker, tx: Tx) -> dict[str, Any]:
    """Write into the log. What is written stays; a correction is an entry that follows another."""
    whole_town(caller)
    now = datetime.now(UTC)
    if body.photo:
        files.media_type(files.read(settings().home / "files", body.photo))
    entry = Entry(
        body.id,
        body.kind,
        body.text.strip(),
        aware(body.happened_at) if body.happened_at else now,
        body.case_id,
        bytes.fromhex(body.photo) if body.photo else None,
        body.follows,
    )
    if not entry.text:
        raise errors.FieldMissing(field="text")
    return _entry(duty_log.write(tx, caller, entry, now))


@router.get("/api/duty-log/export")
def export(
    caller: Worker,
    tx: Tx,
    day: Day,
    until: Day | None = None,
    kind: Annotated[str, Query(max_length=20)] = "",
    q: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """The log of one day, or of the days to ``until``, as a workbook."""
    whole_town(caller)
    rows, _ = duty_log.page(tx, day=day, until=until, kind=kind, q=q.replace("\x00", ""), limit=20_000)
    table = [
        [
            f"{row.happened_at.astimezone(ZONE):%Y-%m-%d %H:%M}",
            _KINDS[row.kind],
            row.text,
            row.case_number or "",
            row.actor,
            f"{row.recorded_at.astimezone(ZONE):%Y-%m-%d %H:%M}",
            "更正/续记" if row.follows else "",
        ]
        for row in reversed(rows)
    ]
    head = ("时间", "类别", "内容", "案号", "记录人", "记录时间", "备注")
    return excel([Sheet("值班日志", head, table)], f"duty-log-{day}-{until or day}")


@router.get("/api/duty-log/{entry_id}/photo")
def photo(entry_id: UUID, caller: Worker, tx: Tx) -> Response:
    """The photo of an entry."""
    whole_town(caller)
    content = files.read(settings().home / "files", duty_log.photo_of(tx, entry_id).hex())
    headers = {"cache-control": "private, max-age=31536000, immutable"}
    return Response(content, media_type=files.media_type(content), headers=headers)


def _edge(cursor: str) -> tuple[datetime, UUID] | None:
    if not cursor:
        return None
    at, _, last = cursor.partition("/")
    try:
        return datetime.fromisoformat(at), UUID(last)
    except ValueError as error:
        raise errors.BadCursor(cursor=cursor) from error


def _entry(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "text": row.text,
        "happened_at": row.happened_at,
        "recorded_at": row.recorded_at,
        "actor": row.actor,
        "case": {"id": row.case_id, "number": row.case_number} if row.case_id else None,
        "photo": f"/api/duty-log/{row.id}/photo" if row.photo else None,
        "follows": row.follows,
    }
