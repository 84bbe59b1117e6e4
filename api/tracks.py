"""Routes of positions: batches in, live positions out."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, Field

from api.access import Tx, allow
from gis import geometry, tracks
from gis.people import Caller
from gis.tracks import Fix

router = APIRouter(tags=["tracks"])


class SentFix(BaseModel):
    """One position: longitude and latitude, or east and north, of the batch's system."""

    seq: int = Field(ge=0, lt=2**63)
    at: AwareDatetime
    # NaN and absurd values are taken in: they go to quarantine with their reason, not back to the street.
    lon: float
    lat: float
    accuracy_m: float | None = None


class Batch(BaseModel):
    """Positions of one device in the order they were taken."""

    device: str = Field(min_length=1, max_length=100)
    crs: str = Field(geometry.STORED, max_length=30)
    fixes: list[SentFix] = Field(min_length=1, max_length=500)


@router.post("/api/positions")
def record(body: Batch, caller: Annotated[Caller, allow("position.send")], tx: Tx) -> dict[str, Any]:
    """Take in a batch; answered after the commit. Everything up to ``acked_seq`` may be forgotten by the device."""
    fixes = [Fix(f.seq, f.at, f.lon, f.lat, f.accuracy_m) for f in body.fixes]
    assert caller.id is not None  # whoever holds a permission by login has an id
    return tracks.record(tx, caller.id, body.device, body.crs, fixes)._asdict()


@router.get("/api/positions/live")
def live(caller: Annotated[Caller, allow("position.view")], tx: Tx) -> dict[str, Any]:
    """The last position of every inspector in the caller's scope."""
    return {"items": [asdict(position) for position in tracks.live(tx, caller.scope)]}
