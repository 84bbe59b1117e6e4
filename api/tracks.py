"""Routes of positions: batches in, live positions out."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict
from datetime import UTC, datetime
from operator import itemgetter
from threading import Lock
from typing import Annotated, Any
from uuid import UUID

import numpy as np
import orjson
from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import AwareDatetime, BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from api.access import Gate, Tx, allow
from gis import db, errors, geometry, track_intake, tracks
from gis.people import Caller
from gis.track_intake import Ack, Batch, Fix, Judged, Sent

router = APIRouter(tags=["tracks"])
MOST = 500


class SentFix(BaseModel):
    """One position: longitude and latitude, or east and north, of the batch's system."""

    seq: int = Field(ge=0, lt=2**63)
    at: AwareDatetime
    # NaN and absurd values are taken in: they go to quarantine with their reason, not back to the street.
    lon: float
    lat: float
    accuracy_m: float | None = None


class SentBatch(BaseModel):
    """Positions of one device in the order they were taken."""

    device: str = Field(min_length=1, max_length=100)
    crs: str = Field(geometry.STORED, max_length=30)
    # What the clock that dated the fixes says now, as the batch is sent.
    sent_at: AwareDatetime | None = None
    fixes: list[SentFix] = Field(min_length=1, max_length=MOST)


class _NotPlain(Exception):
    """A body that the quick reader leaves to the thorough one."""


_SENT = {"requestBody": {"required": True, "content": {"application/json": {"schema": SentBatch.model_json_schema()}}}}


@router.post("/api/positions", openapi_extra=_SENT)
async def record(request: Request, caller: Annotated[Caller, allow("position.send")], gate: Gate) -> dict[str, Any]:
    """Take in a batch; answered after the commit. Everything up to ``acked_seq`` may be forgotten by the device."""
    assert caller.id is not None  # whoever holds a permission by login has an id
    came = datetime.now(UTC)  # before the body: a slow way must not pass for a clock that is behind
    return await run_in_threadpool(_take, await request.body(), caller.id, came)


def _take(body: bytes, inspector_id: UUID, came: datetime) -> dict[str, Any]:
    try:
        device, crs, batch, sent_at = _quickly(body)
    except _NotPlain:
        device, crs, batch, sent_at = _thoroughly(body)
    found = track_intake.judge(Sent(inspector_id, device, crs, batch, came, sent_at))
    ack = None if found.sent.doubtful else _turns.take(found)
    if ack is None:
        try:
            with db.transaction() as tx:
                ack = track_intake.take(tx, found.sent)
        except errors.StaleCase as lost:  # a lock, a race: no case was in it, and the phone only has to send again
            raise errors.Unavailable(zh="服务繁忙，请稍后再试", en="The service is busy; try again") from lost
    return ack._asdict()


class _Turns:
    """Batches that come while another is written are written together, in one transaction: half the work for each.

    One thread writes for all that wait. What goes wrong with it is nobody's in particular, so each then writes alone.
    """

    #: A turn takes so many batches: what came last must not wait for ever.
    MOST = 8

    def __init__(self) -> None:
        self._turn, self._lock = Lock(), Lock()
        self._waiting: list[tuple[Judged, Future[Ack | None]]] = []

    def take(self, found: Judged) -> Ack | None:
        """The receipt of a batch after the commit, or None where it has to be taken in alone."""
        mine: Future[Ack | None] = Future()
        with self._lock:
            self._waiting.append((found, mine))
        while not mine.done():
            with self._turn:
                if not mine.done():
                    self._write()
        return mine.result()

    def _write(self) -> None:
        with self._lock:
            now, self._waiting = self._waiting[: self.MOST], self._waiting[self.MOST :]
        for (_, waits), ack in zip(now, _together([found for found, _ in now]), strict=True):
            waits.set_result(ack)


def _together(found: Sequence[Judged]) -> Sequence[Ack | None]:
    try:
        with db.transaction() as tx:
            return track_intake.take_new(tx, found)
    except Exception:  # of any kind: whose it is shows when each goes alone
        return [None] * len(found)


_turns = _Turns()


def _quickly(body: bytes) -> tuple[str, str, Batch, datetime | None]:
    """A batch in the form phones send it: the same as ``_thoroughly`` in a tenth of the time, or ``_NotPlain``."""
    try:
        sent = orjson.loads(body)
        device, crs, fixes = sent["device"], sent.get("crs", geometry.STORED), sent["fixes"]
        seqs, ats, *places = zip(*map(_OF_A_FIX, fixes), strict=True)
        accuracies = [fix.get("accuracy_m") for fix in fixes]
        times, sent_at = _times(ats), sent.get("sent_at")
        spoke = None if sent_at is None else track_intake.moment(int(_times([sent_at])[0]))
        plain = (
            (type(device), type(crs)) == (str, str)
            and 0 < len(device) <= 100
            and len(crs) <= 30
            and 0 < len(fixes) <= MOST
            and set(map(type, seqs)) == {int}
            and 0 <= min(seqs) <= max(seqs) < 1 << 63
            and times.min() >= _YEAR_1
            and {kind for place in places for kind in map(type, place)} <= {int, float}
            and set(map(type, accuracies)) <= {int, float, type(None)}
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _NotPlain from error
    if not plain:
        raise _NotPlain
    numbers = [np.array(column, np.float64) for column in (*places, accuracies)]  # None becomes NaN
    return device, crs, Batch(np.array(seqs, np.int64), times, *numbers), spoke


_OF_A_FIX = itemgetter("seq", "at", "lon", "lat")
#: Earlier there is no calendar here, though there is in numpy.
_YEAR_1 = track_intake.micros(datetime.min.replace(tzinfo=UTC))
#: A phone's moments, such as 2026-11-20T04:00:05.250Z: where they have no digit, and what stands there.
_FORM = "dddd-dd-ddTdd:dd:dd.dddZ"
_DIGITS = [place for place, letter in enumerate(_FORM) if letter == "d"]
_MARKS = [place for place, letter in enumerate(_FORM) if letter != "d"]
_MARK = np.frombuffer(_FORM.encode(), np.uint8)[_MARKS]


def _times(ats: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Microseconds since 1970 of moments in a phone's own form; ``_NotPlain`` for any other."""
    letters = np.frombuffer("".join(ats).encode(), np.uint8)
    if set(map(len, ats)) != {len(_FORM)} or letters.size != len(_FORM) * len(ats):
        raise _NotPlain
    table = letters.reshape(len(ats), -1)
    # Below "0" the difference is a large number again.
    if (table[:, _MARKS] != _MARK).any() or (table[:, _DIGITS] - ord("0") > 9).any():
        raise _NotPlain
    told = table[:, :-1].copy().view(f"S{len(_FORM) - 1}").ravel()
    return told.astype("datetime64[us]").astype(np.int64)  # a month 13 is a ValueError


def _thoroughly(body: bytes) -> tuple[str, str, Batch, datetime | None]:
    """Any batch that fits the model. Raises ``RequestValidationError`` naming what does not."""
    try:
        sent = SentBatch.model_validate_json(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False)
        raise RequestValidationError([fault | {"loc": ("body", *fault["loc"])} for fault in faults]) from error
    fixes = [Fix(f.seq, f.at, f.lon, f.lat, f.accuracy_m) for f in sent.fixes]
    return sent.device, sent.crs, Batch.of(fixes), sent.sent_at


@router.get("/api/positions/live")
def live(caller: Annotated[Caller, allow("position.view")], tx: Tx) -> dict[str, Any]:
    """The last position of every inspector in the caller's scope."""
    return {"items": [asdict(position) for position in tracks.live(tx, caller.scope)]}
