"""Who is asking, in which transaction, and with what right: the dependencies every route is made of."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import date, datetime, timedelta
from threading import Lock
from typing import Annotated, Any
from weakref import WeakKeyDictionary

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from gis import db, errors, people
from gis.people import Caller
from gis.search import ZONE, CaseFilter
from gis.settings import settings

COOKIE = "wangge_session"
# A revoked token may live on in another process for this long; a logout is known to its own process at once.
CACHE_SECONDS = 3.0

_callers: dict[str, tuple[float, Caller]] = {}
_lock = Lock()


# A transaction holds a connection and gives its thread back between its steps. Without a gate, requests waiting for a
# connection would take every thread, and those that hold one would find none to go on: measured, a deadlock.
AT_ONCE = 16
_gates: "WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]" = WeakKeyDictionary()


async def _gate() -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    gate = _gates.setdefault(loop, asyncio.Semaphore(AT_ONCE))
    async with gate:
        yield


# For a route that opens its transactions itself, in one thread each.
Gate = Annotated[None, Depends(_gate, scope="function")]


def _transaction(gate: Gate) -> Iterator[db.Connection]:
    with db.transaction() as tx:
        yield tx


# scope="function": the transaction ends before the answer is sent. Otherwise a failed commit would still answer 200.
Tx = Annotated[db.Connection, Depends(_transaction, scope="function")]
#: A day that has a day before and a day after, and lies where a town has business.
Day = Annotated[date, Field(ge=date(1949, 10, 1), le=date(2999, 12, 31))]


def token_of(headers: Any, cookies: Any) -> str | None:
    """The bearer token or session cookie of a request."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and given:
        return str(given.strip())
    cookie = cookies.get(COOKIE)
    return str(cookie) if cookie else None


def _known(token: str) -> Caller | None:
    known = _callers.get(token)
    return known[1] if known and known[0] > time.monotonic() else None


def forget_callers() -> None:
    """Forget the cached callers: after the database behind the process was changed."""
    with _lock:
        _callers.clear()


async def _reader(request: Request) -> Caller:
    token = token_of(request.headers, request.cookies)
    # A known token costs no thread: that is most requests.
    return (token and _known(token)) or await run_in_threadpool(reader_of, token)


async def _caller(request: Request) -> Caller:
    return _more_than_maps(await _reader(request))


def _more_than_maps(caller: Caller) -> Caller:
    if caller.map_only:
        raise errors.Forbidden("这个令牌只能读取地图图层", "This token reads map layers and opens nothing else")
    return caller


def caller_of(token: str | None) -> Caller:
    """Who holds the token. Raises ``NotAuthenticated``, ``Forbidden`` for one of a map program."""
    return _more_than_maps(reader_of(token))


def reader_of(token: str | None) -> Caller:
    """Who holds the token, a map program too. Raises ``NotAuthenticated``."""
    if not token:
        raise errors.NotAuthenticated()
    known = _known(token)
    if known is not None:
        return known
    with db.transaction() as tx:
        caller = people.by_token(tx, token)
    with _lock:
        if len(_callers) > 10_000:
            _callers.clear()
        _callers[token] = (time.monotonic() + CACHE_SECONDS, caller)
    return caller


def allow(permission: str) -> Any:
    """A dependency that lets in callers with ``permission`` and yields the caller."""

    async def check(request: Request) -> Caller:
        caller = await _caller(request)
        caller.may(permission)
        return caller

    return _declared(check, permission)


def anyone(why: str) -> Any:
    """A dependency that says: this route is open to all, and why. Yields None."""

    async def check() -> None:
        return None

    return _declared(check, f"anyone: {why}")


def signed_in() -> Any:
    """A dependency that lets in everybody who is known, and yields the caller."""

    async def check(request: Request) -> Caller:
        return await _caller(request)

    return _declared(check, "signed in")


def map_client() -> Any:
    """A dependency that lets in everybody who is known, also by HTTP Basic, and yields the caller.

    Of map programs many know only Basic: the password is then a token, never the account's own, and the name must be
    its holder's. Only for routes that change nothing: a browser sends Basic by itself, for any page that asks it to.
    """

    async def check(request: Request) -> Caller:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return await _reader(request)
        try:
            name, _, token = base64.b64decode(given, validate=True).decode().partition(":")
        except ValueError as error:
            raise errors.NotAuthenticated() from error
        caller = _known(token) or await run_in_threadpool(reader_of, token)
        if caller.username != name:
            raise errors.NotAuthenticated()
        return caller

    return _declared(check, "signed in")


def _declared(check: Callable[..., Any], permission: str) -> Any:
    check.permission = permission  # type: ignore[attr-defined]  # a test walks every route for it
    return Depends(check)


async def case_filter(request: Request) -> CaseFilter:
    """The case filter of a request's query."""  # no thread: it costs less than going to one
    return CaseFilter.parse(request.query_params)


Filtered = Annotated[CaseFilter, Depends(case_filter)]


async def _narrowed(
    village: Annotated[str, Query(max_length=300)] = "", department: Annotated[str, Query(max_length=300)] = ""
) -> CaseFilter:
    return CaseFilter.parse({"village": village, "department": department})


# Villages and departments alone: what a scene of the wall narrows its figures by.
Narrowed = Annotated[CaseFilter, Depends(_narrowed)]


def aware(moment: datetime) -> datetime:
    """A moment that names no zone is the town's."""
    return moment if moment.tzinfo else moment.replace(tzinfo=ZONE)


def prove(caller: Caller, password: str) -> None:
    """Who sits there is who signed in: the password again, before something is signed. Takes tens of milliseconds.

    A wrong one counts as a failed login. Raises ``WrongPassword`` or ``LoginLocked``.
    """
    with db.transaction() as tx:
        who = people.credentials(tx, caller.username)
    if who.fit(password):
        return
    with db.transaction() as tx:
        people.turn_away(tx, who)
    raise errors.WrongPassword()


class Throttle:
    """So many calls a minute for each key, counted in this process."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._seen: dict[str, tuple[float, int]] = {}
        self._lock = Lock()

    def take(self, key: str) -> None:
        """Raises ``TooManyRequests`` when the key has used up this minute's calls."""
        now = time.monotonic()
        with self._lock:
            if len(self._seen) > 50_000:
                self._seen = {k: v for k, v in self._seen.items() if v[0] > now}
            until, used = self._seen.get(key, (now + 60, 0))
            if until <= now:
                until, used = now + 60, 0
            self._seen[key] = (until, used + 1)
        if used >= self._per_minute:
            raise errors.TooManyRequests(retry_after_s=round(until - now))


router = APIRouter(tags=["access"])
# An office may share one address; each name locks by itself after a few failures.
_logins = Throttle(per_minute=300)


class Login(BaseModel):
    """A name and its password."""

    username: str = Field(max_length=100)
    password: str = Field(max_length=200)
    # What the device calls itself: with its registration, a lost one's tokens are known.
    device: str = Field("", max_length=100)


class Me(BaseModel):
    """The caller as the pages need them."""

    id: str
    username: str
    name: str
    department: dict[str, str]
    roles: list[dict[str, str]]
    permissions: list[str]


def me_of(caller: Caller) -> Me:
    """The caller's public face."""
    return Me(
        id=str(caller.id),
        username=caller.username,
        name=caller.name,
        department={"code": caller.department[0], "name": caller.department[1]},
        roles=[{"role": g.role, "scope": g.scope, "scope_code": g.scope_code} for g in caller.grants],
        permissions=sorted(caller.permissions),
    )


@router.post("/api/login", dependencies=[anyone("signing in")])
def log_in(body: Login, request: Request, response: Response) -> dict[str, Any]:
    """Sign in: an opaque token, also set as a cookie that scripts cannot read."""
    _logins.take(request.client.host if request.client else "")
    hours = settings().session_hours
    with db.transaction() as tx:
        who = people.credentials(tx, body.username)
    fits = who.fit(body.password)
    with db.transaction() as tx:
        token = people.let_in(tx, who, timedelta(hours=hours), body.device) if fits else people.turn_away(tx, who)
    if token is None:
        raise errors.BadLogin()
    _keep(request, response, token)
    return {"token": token, "me": me_of(caller_of(token))}


def _keep(request: Request, response: Response, token: str) -> None:
    seconds, secure = settings().session_hours * 3600, request.url.scheme == "https"
    response.set_cookie(COOKIE, token, max_age=seconds, httponly=True, samesite="strict", secure=secure)


@router.post("/api/logout", status_code=204)
def log_out(request: Request, response: Response, caller: Annotated[Caller, signed_in()], tx: Tx) -> None:
    """End this session. Nothing stored on the device is cleared: unsent reports belong to the person."""
    token = token_of(request.headers, request.cookies) or ""
    people.revoke(tx, token)
    with _lock:
        _callers.pop(token, None)
    response.delete_cookie(COOKIE)


@router.post("/api/session", status_code=204)
def stay(request: Request, response: Response, caller: Annotated[Caller, allow("wall.drive")], tx: Tx) -> None:
    """A wall that hangs open keeps its login: for the life of one from now, at most ``wall_days`` after signing in."""
    token, hours = token_of(request.headers, request.cookies) or "", settings().session_hours
    people.prolong(tx, token, timedelta(hours=hours), timedelta(days=settings().wall_days))
    if COOKIE in request.cookies:
        _keep(request, response, token)


@router.get("/api/me")
def me(caller: Annotated[Caller, signed_in()]) -> Me:
    """Who I am and what I may do."""
    return me_of(caller)
