"""Routes of cases: report, list, count, look at, act on; photos; the public's way in."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, FiniteFloat
from starlette.concurrency import run_in_threadpool

from api import case_views, live, quarantine
from api.access import Day, Filtered, Gate, Throttle, Tx, allow, anyone
from gis import cases, db, errors, files, geometry, intake_form, register, search
from gis.case_report import Report
from gis.case_rows import Photo
from gis.intake_form import Promise
from gis.people import PUBLIC, Caller
from gis.rulebook import rulebook
from gis.settings import settings

router = APIRouter(tags=["cases"])
_public = Throttle(per_minute=600)
_public_photos = Throttle(per_minute=120)
_SHA256 = re.compile(r"^[0-9a-f]{64}$")


class PublicReport(BaseModel):
    """What anybody may report. ``lon`` and ``lat`` are east and north of ``crs``."""

    id: UUID | None = None
    catalogue: str = Field("", max_length=50)
    category_kind: Literal["", "component", "event"] = ""
    category_code: str = Field(max_length=10)
    category_name: str = Field("", max_length=100)
    component_code: str = Field("", max_length=16)
    lon: FiniteFloat
    lat: FiniteFloat
    crs: str = Field(geometry.STORED, max_length=30)
    description: str = Field("", max_length=5000)
    address: str = Field("", max_length=1000)
    occurred_at: datetime | None = None
    photos: list[str] = Field(default_factory=list, max_length=9)
    form: dict[str, Any] | None = None
    simulated: bool = False


class Commitment(BaseModel):
    """What of the form is handed in later, and until when."""

    fields: list[str] = Field(max_length=20)
    until: Day


class StaffReport(PublicReport):
    """What staff and platforms report. ``tags`` are codes of campaigns."""

    kind: str = Field("case", max_length=30)
    channel: str = Field("patrol", max_length=30)
    condition_code: str = Field("", max_length=30)
    severity: int | None = Field(None, ge=1, le=3)
    extra: dict[str, Any] = Field(default_factory=dict)
    commitment: Commitment | None = None
    self_handled: bool = False
    payload: dict[str, Any] = Field(default_factory=dict)
    external_code: str = Field("", max_length=64)
    tags: list[Annotated[str, Field(max_length=50)]] = Field(default_factory=list, max_length=20)
    parent_id: UUID | None = None


class Act(BaseModel):
    """One step. ``seq`` is the sequence the sender saw: if the case has moved on, the step is refused."""

    action: str = Field(max_length=50)
    seq: int | None = Field(None, ge=1, lt=2**31)
    payload: dict[str, Any] = Field(default_factory=dict)
    happened_at: datetime | None = None
    lon: FiniteFloat | None = None
    lat: FiniteFloat | None = None


Viewer = Annotated[Caller, allow("case.view")]


@router.post("/api/cases", status_code=201)
def report(body: StaffReport, response: Response, caller: Annotated[Caller, allow("case.report")]) -> dict[str, Any]:
    """Report a case. The same id with the same content answers 200 and the first receipt."""
    return _report(caller, body, response, kind=body.kind, channel=body.channel)


@router.post("/api/public/cases", status_code=201, dependencies=[anyone("the public may report")])
def report_publicly(body: PublicReport, request: Request, response: Response) -> dict[str, Any]:
    """Report a case without an account; the query code follows it."""
    _public.take(request.client.host if request.client else "")
    return _report(PUBLIC, body, response, kind="case", channel="public")


@router.get("/api/cases", response_model=dict[str, Any])
def find(
    caller: Viewer,
    gate: Gate,
    wanted: Filtered,
    order: Literal["newest", "due"] = "newest",
    cursor: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> Response:
    """One page of the cases the caller may see, filtered; ``next`` is the cursor of the next page."""
    # Lists are most of what the desk asks: one thread for all of it, and no second look at an answer made here.
    now = datetime.now(UTC)
    with db.reading() as tx:
        rows, following = live.page(tx, caller, wanted, order, cursor, limit, now)
        book = rulebook(tx)
        items = [case_views.item(tx, book, row, now) for row in rows]
    return Response(orjson.dumps({"items": items, "next": following}), media_type="application/json")


@router.get("/api/cases/count")
def count(caller: Viewer, wanted: Filtered, facets: Annotated[str, Query(max_length=200)] = "") -> dict[str, Any]:
    """How many cases the list holds, and how they divide; from the point store, so it costs no scan."""
    names = [name.strip() for name in facets.split(",") if name.strip()]
    return live.count(caller, wanted, names)


@router.get("/api/cases/{case_id}")
def look(case_id: UUID, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """A case with its whole story and what the caller can do with it now."""
    return _detail(tx, caller, case_id)


@router.post("/api/cases/{case_id}/actions")
def act(case_id: UUID, body: Act, caller: Annotated[Caller, allow("case.act")], tx: Tx) -> dict[str, Any]:
    """Take one step with a case."""
    take_step(tx, caller, case_id, body)
    return _detail(tx, caller, case_id)


@router.put("/api/media/{sha256}", dependencies=[allow("media.write")])
async def keep_photo(sha256: str, request: Request) -> dict[str, Any]:
    """Store a photo under its SHA-256. Sending it again is harmless."""
    content = await request.body()
    # Hashing, decoding and syncing a photo take long: not on the loop that serves everybody.
    mime = await run_in_threadpool(files.keep, settings().home / "files", sha256, content)
    return {"sha256": sha256, "bytes": len(content), "mime": mime}


@router.put("/api/public/media/{sha256}", dependencies=[anyone("a public report may have photos")])
async def keep_public_photo(sha256: str, request: Request) -> dict[str, Any]:
    """Store a photo for a public report, few a minute from one address."""
    _public_photos.take(request.client.host if request.client else "")
    return await keep_photo(sha256, request)


@router.get("/api/media/{sha256}")
def photo(sha256: str, case: UUID, caller: Viewer, tx: Tx) -> Response:
    """A photo of a case the caller may see."""
    kept = register.attachment_of(tx, caller, case, sha256)
    content = files.read(settings().home / "files", sha256)
    headers = {"cache-control": "private, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
    return Response(content, media_type=kept.mime, headers=headers)


def _report(caller: Caller, body: PublicReport, response: Response, *, kind: str, channel: str) -> dict[str, Any]:
    values = body.model_dump(exclude={"id", "photos", "occurred_at", "kind", "channel", "commitment", "tags"})
    values["simulated"] &= settings().demo  # outside the demo nobody marks a real report as simulated
    if values["form"] is None and not (caller.machine or values["simulated"]):
        values["form"] = {}  # platforms and simulated people know no forms; whoever else leaves it out left it empty
    promise = body.commitment if isinstance(body, StaffReport) else None
    sent = Report(
        **values,
        id=body.id or uuid4(),
        kind=kind,
        channel=channel,
        occurred_at=_aware(body.occurred_at),
        photos=tuple(_photos(_every_photo(body))),
        photos_after=tuple(_photos_in(values.get("payload", {}))),
        promise=Promise(tuple(promise.fields), promise.until) if promise else None,
        tags=tuple(body.tags) if isinstance(body, StaffReport) else (),
    )
    # Its own transaction, ended before the answer as every other: here it costs one change of thread instead of three,
    # and holds no connection while photos are read.
    try:
        with db.transaction() as tx:
            made = cases.report(tx, caller, sent)
    except errors.IdConflict as conflict:
        received = body.model_dump(mode="json")
        with db.transaction() as tx:
            received["form"] = received["form"] and intake_form.masked(rulebook(tx), kind, channel, received["form"])
        quarantine.set_aside("case", channel, conflict, {"by": caller.name, "report": received})
        raise
    if made.duplicate:
        response.status_code = 200
    return case_views.receipt(made)


def take_step(tx: db.Connection, caller: Caller, case_id: UUID, body: Act) -> int:
    """The step a body asks for; the case's new sequence number. Raises as ``gis.cases.act``, and for photos unknown."""
    return cases.act(
        tx,
        case_id,
        body.action,
        caller,
        body.payload,
        expected_seq=body.seq,
        photos=_photos_in(body.payload),
        at=_aware(body.happened_at),
        place=(body.lon, body.lat) if body.lon is not None and body.lat is not None else None,
    )


def _every_photo(body: PublicReport) -> list[str]:
    """The report's photos and those its form holds, each once."""
    told = [digest for value in (body.form or {}).values() if isinstance(value, list) for digest in value]
    return list(dict.fromkeys(str(digest) for digest in [*body.photos, *told]))


def _detail(tx: Tx, caller: Caller, case_id: UUID) -> dict[str, Any]:
    row, events, attachments = register.whole_case(tx, caller, case_id)
    return case_views.detail(tx, rulebook(tx), row, events, attachments, caller, datetime.now(UTC))


def _photos_in(payload: dict[str, Any]) -> list[Photo]:
    """The photos that a step's values name, in whichever fields; what is none is left to the workflow to refuse."""
    lists = [v for v in payload.values() if isinstance(v, list) and v and all(_is_digest(d) for d in v)]
    return _photos([digest for digests in lists for digest in digests])


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _SHA256.match(value) is not None


def _photos(digests: Any) -> list[Photo]:
    if not isinstance(digests, list) or not all(_is_digest(d) for d in digests):
        raise errors.Malformed(field="photos", why="a list of SHA-256 digests in lower-case hexadecimal")
    found = []
    for digest in digests:
        content = files.read(settings().home / "files", digest)
        found.append(Photo(bytes.fromhex(digest), files.media_type(content), len(content)))
    return found


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=search.ZONE) if moment is not None and moment.tzinfo is None else moment
