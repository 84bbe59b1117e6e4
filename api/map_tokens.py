"""Routes of one's own tokens for map programs: made, shown once, revoked."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints

from api.access import Tx, allow, forget_callers
from gis import map_tokens
from gis.people import Caller

router = APIRouter(tags=["access"])
Owner = Annotated[Caller, allow("map.view")]


class Wish(BaseModel):
    """What the token is for, and for how many days."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)]
    days: int = Field(90, ge=1, le=map_tokens.LONGEST_DAYS)


class Told(BaseModel):
    """A token as its owner sees it; ``id`` is no secret."""

    id: str
    name: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None
    state: Literal["living", "over", "revoked"]


class Made(BaseModel):
    """A new token; ``token`` is told this once."""

    token: str
    about: Told


@router.get("/api/map-tokens")
def mine(caller: Owner, tx: Tx) -> dict[str, list[Told]]:
    """My tokens for map programs, the newest first."""
    return {"items": [Told(**one) for one in map_tokens.every(tx, caller)]}


@router.post("/api/map-tokens", status_code=201)
def make(wish: Wish, caller: Owner, tx: Tx) -> Made:
    """A new token with which a map program reads what I may see at /ogc and /tiles, and can do nothing else."""
    opaque, about = map_tokens.make(tx, caller, wish.name, wish.days)
    return Made(token=opaque, about=Told(**about))


@router.delete("/api/map-tokens/{token_id}", status_code=204)
def revoke(token_id: str, caller: Owner, tx: Tx) -> None:
    """End one of my tokens."""
    map_tokens.revoke(tx, caller, token_id)
    forget_callers()
