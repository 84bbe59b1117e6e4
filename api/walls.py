"""Driving a wall from another device: a wall shows a short code, a device that gives it may then send it addresses.

All of it lives in Redis and may be lost: a wall then asks for another code. A wall shows what its own login may see,
whatever it is sent; a device learns nothing from it but the address it shows.
"""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import parse_qsl
from uuid import UUID

import orjson
import redis.asyncio
from fastapi import APIRouter, Depends, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field
from redis import Redis
from redis.exceptions import RedisError

from api.access import Throttle, allow, caller_of, token_of
from gis import errors
from gis.people import Caller
from gis.search import CaseFilter
from gis.settings import settings

router = APIRouter(tags=["wall"])
Owner = Annotated[Caller, allow("case.view")]
Driver = Annotated[Caller, allow("wall.drive")]
CODE_SECONDS = 300
WALL_SECONDS = 86_400
"""A wall that has not been heard of for this long forgets its devices."""
BEAT_SECONDS = 10.0
RECHECK_SECONDS = 30.0
_FLIGHT = re.compile(r"map=\d{1,2}(\.\d+)?(/-?\d{1,3}(\.\d+)?){2}")
_guesses = Throttle(per_minute=10)
"""Of codes, by person: a million codes that live five minutes are not found by trying."""


class Code(BaseModel):
    """The code a wall shows."""

    code: str = Field(pattern=r"^\d{6}$")


class Address(BaseModel):
    """What a wall shows: the query of its page and, after a #, the map's place as ``map=zoom/lat/lon``."""

    address: str = Field(max_length=2000, pattern=r"^\?[^\x00-\x20#]*(#[^\x00-\x20#]*)?$")

    def check(self) -> str:
        """Raises ``BadFilter`` for a filter or a place of the map that no wall could show."""
        query, _, place = self.address[1:].partition("#")
        CaseFilter.parse(dict(parse_qsl(query)))
        if place and not _FLIGHT.fullmatch(place):
            raise errors.BadFilter(parameter="map", value=place[:200])
        return self.address


def _redis() -> "Redis[bytes]":
    url = settings().redis_url
    if not url:
        raise errors.Unavailable("未配置 Redis，不能遥控", "No Redis is configured: walls cannot be driven")
    return Redis.from_url(url, socket_timeout=5)


def _key(wall: UUID, part: str = "") -> str:
    return f"wangge:wall:{wall}{part}"


def _code(code: str) -> str:
    return f"wangge:wall-code:{code}"


class _Desk:
    """Redis as these routes use it; whatever it has not is a wall nobody knows."""

    def __init__(self) -> None:
        self.redis = _redis()

    def __enter__(self) -> "_Desk":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.redis.close()
        if isinstance(error, RedisError):
            raise errors.Unavailable(
                "Redis 没有应答，不能遥控", "Redis does not answer: walls cannot be driven"
            ) from error

    def claim(self, wall: UUID, caller: Caller) -> None:
        """The wall is the caller's, from now on if it was nobody's. Raises ``NotFound`` when it is another's."""
        self.redis.hsetnx(_key(wall), "owner", str(caller.id))
        self.own(wall, caller)
        self.redis.hset(_key(wall), "name", caller.name)
        self.keep(wall)

    def own(self, wall: UUID, caller: Caller) -> None:
        """Raises ``NotFound`` unless the wall is the caller's."""
        if self.redis.hget(_key(wall), "owner") != str(caller.id).encode():
            raise errors.NotFound(wall=str(wall))

    def driven(self, wall: UUID, caller: Caller) -> None:
        """Raises ``NotFound`` unless the caller's device was let in by the wall."""
        if not self.redis.hexists(_key(wall, ":drivers"), str(caller.id)):
            raise errors.NotFound(wall=str(wall))

    def drivers(self, wall: UUID) -> list[str]:
        """The names of who may drive the wall."""
        return sorted(name.decode() for name in self.redis.hvals(_key(wall, ":drivers")))

    def keep(self, wall: UUID) -> None:
        """The wall lives."""
        for part in ("", ":drivers"):
            self.redis.expire(_key(wall, part), WALL_SECONDS)

    def tell(self, wall: UUID, event: str, **data: Any) -> int:
        """Tell the wall's page; how many pages heard it."""
        return int(self.redis.publish(_key(wall), orjson.dumps({"event": event} | data)))


@router.post("/api/walls/{wall}/code")
def show_code(wall: UUID, caller: Owner) -> dict[str, Any]:
    """A code for one device, good for five minutes. The wall's page made its id; it is the caller's from now on."""
    with _Desk() as desk:
        desk.claim(wall, caller)
        code = f"{secrets.randbelow(10**6):06d}"
        while not desk.redis.set(_code(code), str(wall), ex=CODE_SECONDS, nx=True):
            code = f"{secrets.randbelow(10**6):06d}"
        old = desk.redis.hget(_key(wall), "code")
        if old:
            desk.redis.delete(_code(old.decode()))
        desk.redis.hset(_key(wall), "code", code)
    return {"code": code, "until": datetime.now(UTC) + timedelta(seconds=CODE_SECONDS)}


@router.post("/api/walls/pair")
def pair(body: Code, caller: Driver) -> dict[str, Any]:
    """Let the caller drive the wall that shows this code; a code lets in one device."""
    _guesses.take(str(caller.id))
    with _Desk() as desk:
        found = desk.redis.getdel(_code(body.code))
        if not found:
            raise errors.NotFound("没有大屏显示这个配对码", "No wall shows this code", code=body.code)
        wall = UUID(found.decode())
        desk.redis.hset(_key(wall, ":drivers"), str(caller.id), caller.name)
        desk.keep(wall)
        desk.tell(wall, "drivers", names=desk.drivers(wall))
    return {"wall": wall}


@router.get("/api/walls/{wall}")
def one(wall: UUID, caller: Driver) -> dict[str, Any]:
    """What the wall shows, for who drives it: its address, whose login it runs under, whether it listens."""
    with _Desk() as desk:
        desk.driven(wall, caller)
        desk.keep(wall)
        name, shown = desk.redis.hmget(_key(wall), "name", "shown")
        listening = desk.redis.pubsub_numsub(_key(wall))[0][1]
    return {"of": (name or b"").decode(), "shown": (shown or b"").decode(), "listening": listening > 0}


@router.put("/api/walls/{wall}/show")
def drive(wall: UUID, body: Address, caller: Driver) -> dict[str, Any]:
    """Send the wall to an address. ``reached`` says whether it listens."""
    address = body.check()
    with _Desk() as desk:
        desk.driven(wall, caller)
        reached = desk.tell(wall, "show", address=address, name=caller.name)
    return {"reached": reached > 0}


@router.put("/api/walls/{wall}/shown", status_code=204)
def note(wall: UUID, body: Address, caller: Owner) -> None:
    """The wall says what it shows."""
    with _Desk() as desk:
        desk.own(wall, caller)
        desk.redis.hset(_key(wall), "shown", body.check())


@router.delete("/api/walls/{wall}/drivers", status_code=204)
def release(wall: UUID, caller: Owner) -> None:
    """The wall lets go of every device."""
    with _Desk() as desk:
        desk.own(wall, caller)
        desk.redis.delete(_key(wall, ":drivers"))
        desk.tell(wall, "drivers", names=[])


@router.delete("/api/walls/{wall}/drivers/me", status_code=204)
def leave(wall: UUID, caller: Driver) -> None:
    """A device lets go of the wall."""
    with _Desk() as desk:
        desk.driven(wall, caller)
        desk.redis.hdel(_key(wall, ":drivers"), str(caller.id))
        desk.tell(wall, "drivers", names=desk.drivers(wall))


def _listen(wall: UUID, caller: Owner) -> tuple[Caller, list[str]]:
    with _Desk() as desk:
        desk.own(wall, caller)
        desk.keep(wall)
        return caller, desk.drivers(wall)


@router.get("/api/walls/{wall}/stream", response_class=EventSourceResponse)
async def stream(
    wall: UUID, request: Request, begun: Annotated[tuple[Caller, list[str]], Depends(_listen)]
) -> AsyncIterator[ServerSentEvent]:
    """What devices send the caller's own wall: ``show`` an address; ``drivers``, who may, as they come and go."""
    caller, drivers = begun
    token = token_of(request.headers, request.cookies)
    client = redis.asyncio.Redis.from_url(settings().redis_url or "")
    try:
        async with client.pubsub() as told:
            await told.subscribe(_key(wall))
            yield ServerSentEvent(event="drivers", data={"names": drivers}, retry=3000)
            checked = time.monotonic()
            while True:
                message = await told.get_message(ignore_subscribe_messages=True, timeout=BEAT_SECONDS)
                if message is not None:
                    data = orjson.loads(message["data"])
                    yield ServerSentEvent(event=data.pop("event"), data=data)
                if time.monotonic() - checked > RECHECK_SECONDS:
                    await asyncio.to_thread(caller_of, token)
                    await asyncio.to_thread(_listen, wall, caller)
                    checked = time.monotonic()
    except (errors.Problem, RedisError):
        return  # the page opens the stream anew, and is told why it may not
    finally:
        await client.aclose()
