"""Tiles over HTTP, in front of the framework: who asks, which version, from memory if it can be. Draws nothing itself.

A cached tile or a 304 costs tens of microseconds this way; through the framework's routes it costs three times that.
"""

import asyncio
import gzip
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

import orjson
import structlog
from fastapi import APIRouter, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access import COOKIE, Tx, anyone, signed_in
from gis import db, errors, map_layers, map_shapes, points_components, points_rows
from gis.map_layers import ANYONE, Layer
from gis.people import PUBLIC, Caller
from gis.points import CaseStore
from gis.points_components import ComponentStore
from gis.search import CaseFilter
from layers import style, tiles

log = structlog.get_logger("tiles")
router = APIRouter(tags=["map"])

CACHE_BYTES: Final = 64 * 2**20
CALLER_SECONDS: Final = 2.0
STATE_SECONDS: Final = 5.0
_SMALL: Final = 400
"""Bodies below this many bytes are sent as they are."""
_PREFIX: Final = "/tiles/"
_CELLS: Final = {str(2**bits): bits for bits in range(7)}


@dataclass(frozen=True)
class Wanted:
    """A tile as asked for; ``query`` is its canonical filter."""

    layer: str
    z: int
    x: int
    y: int
    filter: CaseFilter
    query: str
    bits: int


@dataclass(frozen=True)
class Known:
    """A caller and a short name of the rows they may see."""

    caller: Caller
    scope: str
    until: float


@dataclass(frozen=True)
class State:
    """What tiles are made of besides cases, looked up every few seconds."""

    layers: Mapping[str, Layer]
    shapes: str
    components: ComponentStore
    until: float


class Cache:
    """Bodies by key, the longest unused thrown out above ``limit`` bytes. For one thread."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[Any, bytes] = OrderedDict()
        self.bytes = 0

    def get(self, key: Any) -> bytes | None:
        """The body held under ``key``."""
        body = self._held.get(key)
        if body is not None:
            self._held.move_to_end(key)
        return body

    def put(self, key: Any, body: bytes) -> None:
        """Hold a body; each is charged for its key too, so that empty tiles do not pile up."""
        if key not in self._held:
            self.bytes += len(body) + 500
        self._held[key] = body
        while self.bytes > self._limit:
            _, old = self._held.popitem(last=False)
            self.bytes -= len(old) + 500


class Tiles:
    """Answers ``/tiles/…`` and hands everything else on.

    ``resolve`` says who holds a token (raises ``NotAuthenticated``); ``cases`` gives the point store (raises
    ``Unavailable``). Both may be asked from any thread.
    """

    def __init__(self, app: ASGIApp, resolve: Callable[[str], Caller], cases: Callable[[], CaseStore]) -> None:
        self._app = app
        self._resolve = resolve
        self._cases = cases
        self._known: dict[str, Known] = {}
        self._state: State | None = None
        self._cache = Cache(CACHE_BYTES)
        self._running: dict[Any, asyncio.Future[Any]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(_PREFIX):
            await self._app(scope, receive, send)
            return
        try:
            status, headers, body = await self._answer(scope)
        except errors.Problem as problem:
            status, body = problem.status, orjson.dumps(problem.body())
            headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
        except Exception:
            log.exception("unexpected error", path=scope["path"])
            status, body = 500, orjson.dumps(errors.Internal().body())
            headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
        headers.append((b"content-length", str(len(body)).encode()))
        headers.append((b"x-content-type-options", b"nosniff"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, scope: Scope) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        if scope["method"] not in ("GET", "HEAD"):
            return 405, [(b"allow", b"GET, HEAD")], b""
        wanted = _parse(scope["path"], scope["query_string"])
        given = {name: value for name, value in scope["headers"] if name in _READ}
        state = await self._current()
        layer = state.layers.get(wanted.layer)
        if layer is None:
            raise errors.NotFound(layer=wanted.layer)
        known = await self._caller(given, layer)
        stamp = self._stamp(layer, state)
        etag = f'"{stamp}-{known.scope}-{wanted.query}"'.encode()
        headers = [(b"etag", etag), (b"cache-control", b"private, no-cache"), (b"vary", b"accept-encoding, cookie")]
        if etag in given.get(b"if-none-match", b""):
            return 304, headers, b""
        packed = b"gzip" in given.get(b"accept-encoding", b"")
        key = (stamp, known.scope, wanted, packed)
        body = self._cache.get(key)
        if body is None:
            body = await self._make(key, wanted, layer, known.caller, state)
        headers.append((b"content-type", tiles.CONTENT_TYPE.encode()))
        if packed and body[:2] == b"\x1f\x8b":
            headers.append((b"content-encoding", b"gzip"))
        return 200, headers, body

    def _stamp(self, layer: Layer, state: State) -> str:
        if layer.query in ("cases", "heat"):
            return self._cases().stamp(datetime.now(UTC))
        return state.components.mark if layer.query == "components" else state.shapes

    async def _make(self, key: Any, wanted: Wanted, layer: Layer, caller: Caller, state: State) -> bytes:
        if not layer.zooms[0] <= wanted.z <= layer.zooms[1]:
            return b""
        if layer.query in map_layers.POINTS and not (wanted.filter.q or wanted.filter.component):
            # A millisecond or so of arithmetic: handing it to a thread would cost as much as it saves.
            body = self._draw(wanted, layer, caller, state)
            return self._keep(key, body)
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = asyncio.ensure_future(
                asyncio.to_thread(self._draw, wanted, layer, caller, state)
            )
            running.add_done_callback(lambda _: self._running.pop(key, None))
        body = await asyncio.shield(running)
        return self._cache.get(key) or self._keep(key, body)

    def _keep(self, key: Any, body: bytes) -> bytes:
        if key[-1] and len(body) > _SMALL:
            body = gzip.compress(body, compresslevel=1, mtime=0)
        self._cache.put(key, body)
        return body

    def _draw(self, wanted: Wanted, layer: Layer, caller: Caller, state: State) -> bytes:
        where = wanted.z, wanted.x, wanted.y
        if layer.query in map_shapes.LAYERS:
            with db.transaction() as tx:
                return map_shapes.tile(tx, layer.query, *where)
        if layer.query == "components":
            found = state.components.mask(wanted.filter)
            return tiles.components(state.components, found, *where)
        ids = None
        if wanted.filter.q or wanted.filter.component:
            with db.transaction() as tx:
                ids = points_rows.named_ids(tx, wanted.filter)
        store = self._cases()
        mask = store.mask(caller.scope, wanted.filter, datetime.now(UTC), ids)
        if layer.query == "heat":
            return tiles.heat(store, mask, *where)
        return tiles.cases(store, mask, *where, wanted.bits)

    async def _caller(self, given: Mapping[bytes, bytes], layer: Layer) -> Known:
        if layer.see == ANYONE:
            return _ANYONE
        token = _token(given)
        if token is None:
            raise errors.NotAuthenticated()
        known = self._known.get(token)
        if known is None or known.until < time.monotonic():
            known = await self._once(("caller", token), lambda: self._look_up(token))
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[token] = known
        known.caller.may(layer.see)
        return known

    def _look_up(self, token: str) -> Known:
        caller = self._resolve(token)
        return Known(caller, _short(repr(_ordered(caller))), time.monotonic() + CALLER_SECONDS)

    async def _current(self) -> State:
        """The state, looked up again when it is old; meanwhile the old one serves."""
        state = self._state
        if state is not None and state.until > time.monotonic():
            return state
        fresh = self._once("state", self._look_around)
        if state is None:
            self._state = await fresh
            return self._state
        self._state = replace(state, until=time.monotonic() + STATE_SECONDS)
        task = asyncio.ensure_future(fresh)
        task.add_done_callback(self._renewed)
        return state

    def _renewed(self, task: "asyncio.Task[State]") -> None:
        if task.cancelled():
            return
        if task.exception() is None:
            self._state = task.result()
        else:
            log.warning("the map's state could not be read", why=str(task.exception()))

    def _look_around(self) -> State:
        held = self._state
        with db.transaction() as tx:
            components = held.components if held else None
            if components is None or components.mark != points_components.state(tx):
                components = ComponentStore.load(tx)
            until = time.monotonic() + STATE_SECONDS
            return State(map_layers.layers(tx), map_shapes.version(tx), components, until)

    async def _once(self, key: Any, work: Callable[[], Any]) -> Any:
        """``work`` in a thread; those who ask for the same meanwhile wait for it."""
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = asyncio.ensure_future(asyncio.to_thread(work))
            running.add_done_callback(lambda _: self._running.pop(key, None))
        return await asyncio.shield(running)


_READ: Final = frozenset((b"authorization", b"cookie", b"if-none-match", b"accept-encoding"))
_ANYONE: Final = Known(PUBLIC, "-", float("inf"))


def _ordered(caller: Caller) -> tuple[Any, ...]:
    scope = caller.scope
    return (scope.everything, *(sorted(s) for s in (scope.villages, scope.duty_grids, scope.departments)), scope.own)


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _token(given: Mapping[bytes, bytes]) -> str | None:
    scheme, _, bearer = given.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() == "bearer" and bearer:
        return bearer.strip()
    for pair in given.get(b"cookie", b"").decode("latin-1").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE and value:
            return value
    return None


@lru_cache(maxsize=20_000)
def _parse(path: str, query: bytes) -> Wanted:
    """The tile of an address. Raises ``NotFound`` for one that cannot be, ``BadFilter``."""
    parts = path.removeprefix(_PREFIX).split("/")
    if len(parts) != 4 or not parts[3].endswith(".mvt"):
        raise errors.NotFound(path=path[:200])
    layer, *numbers = *parts[:3], parts[3].removesuffix(".mvt")
    if not all(n.isascii() and n.isdigit() and len(n) < 9 for n in numbers):
        raise errors.NotFound(path=path[:200])
    z, x, y = map(int, numbers)
    if z > map_layers.DEEPEST or x >> z or y >> z:
        raise errors.NotFound(tile=[z, x, y])
    asked = dict(parse_qsl(query.decode("latin-1")))
    cells = asked.get("cells", "64")
    if cells not in _CELLS:
        raise errors.BadFilter(parameter="cells", value=cells[:200], known=list(_CELLS))
    wanted = CaseFilter.parse(asked)
    return Wanted(layer, z, x, y, wanted, _short(repr(sorted(wanted.query().items())) + cells), _CELLS[cells])


@router.get("/api/layers")
def layers(tx: Tx, caller: Annotated[Caller, signed_in()]) -> dict[str, Any]:
    """The layers the caller may see, with their fields and legends."""
    seen = [la for la in map_layers.layers(tx).values() if la.see == ANYONE or la.see in caller.permissions]
    return {"items": [layer.body() for layer in seen]}


@router.get("/style.json", dependencies=[anyone("the ground, without any case")])
def base_style(request: Request, theme: str = "dark") -> dict[str, Any]:
    """The MapLibre style of the basemap, ``theme`` dark or light."""
    if theme not in style.THEMES:
        raise errors.BadFilter(parameter="theme", value=theme[:200], known=list(style.THEMES))
    return style.basemap(theme, str(request.base_url))
