"""Tiles over HTTP, in front of the framework: who asks, which version, from memory if it can be. Draws nothing itself.

A cached tile or a 304 costs tens of microseconds this way; through the framework's routes it costs three times that.
"""

import asyncio
import gzip
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Generic, TypeVar
from urllib.parse import parse_qsl

import orjson
import structlog
from fastapi import APIRouter, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access import COOKIE, Tx, anyone, signed_in
from gis import db, errors, map_layers, map_shapes, points_cells, points_components, points_rows
from gis.map_layers import ANYONE, Layer
from gis.people import PUBLIC, Caller
from gis.points import CaseStore
from gis.points_components import ComponentStore
from gis.search import CaseFilter
from gis.settings import settings
from layers import mvt, style, tiles

Found = TypeVar("Found")
log = structlog.get_logger("tiles")
router = APIRouter(tags=["map"])

CALLER_SECONDS: Final = 2.0
LOOK_SECONDS: Final = 5.0
_SMALL: Final = 400
"""Bodies below this many bytes are sent as they are."""
_PREFIX: Final = "/tiles/"
_HOST: Final = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
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
    named: bool

    @property
    def where(self) -> tuple[int, int, int]:
        """Its zoom, column and row."""
        return self.z, self.x, self.y


@dataclass(frozen=True)
class Known:
    """A caller and a short name of the rows they may see."""

    caller: Caller
    scope: str
    until: float


class Kept(Generic[Found]):
    """Something looked up in a thread and again every few seconds; the old one serves until the new one is there.

    ``look`` gets what it found before, or None. For one event loop.
    """

    def __init__(self, look: Callable[[Found | None], Found]) -> None:
        self._look = look
        self._found: Found | None = None
        self._until = 0.0
        self._running: asyncio.Task[Found] | None = None

    async def get(self) -> Found:
        """The newest that is there. Who asks after a quiet spell waits: then the old one may be of any age."""
        now = time.monotonic()
        if self._found is not None and now < self._until:
            return self._found
        if self._running is None:
            self._running = asyncio.create_task(asyncio.to_thread(self._look, self._found))
            self._running.add_done_callback(self._take)
        running = self._running
        if self._found is None or now > self._until + LOOK_SECONDS:
            await asyncio.wait([running])
        return running.result() if self._found is None else self._found

    def _take(self, task: "asyncio.Task[Found]") -> None:
        self._running = None
        self._until = time.monotonic() + LOOK_SECONDS
        if task.cancelled():
            return
        if task.exception() is None:
            self._found = task.result()
        else:
            log.warning("the map could not look again", why=str(task.exception()))


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
        self._about = Kept(_look_around)
        self._components = Kept(_look_at_components)
        self._cache = Cache(settings().tile_cache_mb * 2**20)
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
        if status != 304:
            headers.append((b"content-length", str(len(body)).encode()))
        headers.append((b"x-content-type-options", b"nosniff"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, scope: Scope) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        if scope["method"] not in ("GET", "HEAD"):
            return 405, [(b"allow", b"GET, HEAD")], b""
        wanted = _parse(scope["path"], scope["query_string"])
        given = {name: value for name, value in scope["headers"] if name in _READ}
        layers, shapes = await self._about.get()
        layer = layers.get(wanted.layer)
        if layer is None:
            raise errors.NotFound(layer=wanted.layer)
        if layer.query not in map_layers.DRAWN:
            zh, en = "这个图层没有瓦片，请从 /ogc 读取", "This layer has no tiles: read it at /ogc"
            raise errors.NotFound(zh, en, layer=wanted.layer)
        if layer.query in map_shapes.LAYERS:
            wanted = _parse(scope["path"], b"")  # the same under every filter: made and kept once
        known = await self._caller(given, layer)
        if layer.query in ("cases", "heat"):
            # What only the database knows of a case follows no tile: then any change makes all of them anew.
            stamp = self._cases().stamp(datetime.now(UTC), None if wanted.named else wanted.where)
        else:
            stamp = (await self._components.get()).mark if layer.query == "components" else shapes
        etag = f'"{stamp}-{known.scope}-{wanted.query}"'.encode()
        headers = [(b"etag", etag), (b"cache-control", b"private, no-cache"), (b"vary", b"accept-encoding, cookie")]
        if etag in given.get(b"if-none-match", b""):
            return 304, headers, b""
        packed = b"gzip" in given.get(b"accept-encoding", b"")
        key = (stamp, known.scope, wanted, packed)
        body = self._cache.get(key)
        if body is None:
            body = await self._make(key, wanted, layer, known.caller)
        headers.append((b"content-type", tiles.CONTENT_TYPE.encode()))
        if packed and body[:2] == b"\x1f\x8b":
            headers.append((b"content-encoding", b"gzip"))
        return 200, headers, body

    async def _make(self, key: Any, wanted: Wanted, layer: Layer, caller: Caller) -> bytes:
        if not layer.zooms[0] <= wanted.z <= layer.zooms[1]:
            return b""
        if layer.query == "components":
            store = await self._components.get()
            return self._keep(key, tiles.components(store, store.mask(wanted.filter), *wanted.where))
        if layer.query in ("cases", "heat") and not wanted.named:
            # A millisecond or so of arithmetic: handing it to a thread would cost as much as it saves.
            return self._keep(key, self._draw(wanted, layer, caller))
        body = await self._once(key, lambda: self._draw(wanted, layer, caller))
        return self._cache.get(key) or self._keep(key, body)

    def _keep(self, key: Any, body: bytes) -> bytes:
        if key[-1] and len(body) > _SMALL:
            body = gzip.compress(body, compresslevel=1, mtime=0)
        self._cache.put(key, body)
        return body

    def _draw(self, wanted: Wanted, layer: Layer, caller: Caller) -> bytes:
        where = wanted.where
        if layer.query in map_shapes.LAYERS:
            with db.transaction() as tx:
                return map_shapes.tile(tx, layer.query, *where)
        ids = None
        if wanted.named:
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

    async def _once(self, key: Any, work: Callable[[], Any]) -> Any:
        """``work`` in a thread; those who ask for the same meanwhile wait for it."""
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = asyncio.ensure_future(asyncio.to_thread(work))
            running.add_done_callback(lambda _: self._running.pop(key, None))
        return await asyncio.shield(running)


def _look_around(_: object) -> tuple[dict[str, Layer], str]:
    """The layers, and the version of shapes."""
    with db.transaction() as tx:
        return map_layers.layers(tx), map_shapes.version(tx)


components_held: ComponentStore | None = None
"""The newest store of components, once a map asked for one."""


def _look_at_components(held: ComponentStore | None) -> ComponentStore:
    global components_held
    with db.transaction() as tx:
        fresh = held if held and held.mark == points_components.state(tx) else ComponentStore.load(tx)
    components_held = fresh
    return fresh


_READ: Final = frozenset((b"authorization", b"cookie", b"if-none-match", b"accept-encoding"))
_ANYONE: Final = Known(PUBLIC, "-", float("inf"))


def _ordered(caller: Caller) -> tuple[Any, ...]:
    scope = caller.scope
    return (scope.everything, *(sorted(s) for s in (scope.villages, scope.duty_grids, scope.departments)), scope.own)


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


# The version of a tile tells its cases; drawn otherwise by a newer release, the same cases are another tile.
_DRAWN_BY: Final = _short("".join(Path(str(m.__file__)).read_text("utf-8") for m in (tiles, mvt, points_cells)))


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
    return Wanted(
        layer,
        z,
        x,
        y,
        wanted,
        _short(repr(sorted(wanted.query().items())) + cells + _DRAWN_BY),
        _CELLS[cells],
        wanted.named() is not None,
    )


@router.get("/api/layers")
def layers(caller: Annotated[Caller, signed_in()], tx: Tx) -> dict[str, Any]:
    """The layers the caller may see, with their fields and legends."""
    seen = [la for la in map_layers.layers(tx).values() if la.see == ANYONE or la.see in caller.permissions]
    return {"items": [layer.body() for layer in seen]}


@router.get("/style.json", dependencies=[anyone("the ground, without any case")])
def base_style(request: Request, response: Response, theme: str = "dark") -> dict[str, Any]:
    """The MapLibre style of the basemap, ``theme`` dark or light."""
    if theme not in style.THEMES:
        raise errors.BadFilter(parameter="theme", value=theme[:200], known=list(style.THEMES))
    # It names the address it was asked at: nobody in between may keep it for others.
    response.headers["cache-control"] = "private, no-cache"
    return style.basemap(theme, address(request))


def address(request: Request) -> str:
    """The service's address as the client knows it, also behind a TLS proxy that says so.

    Whoever forges these headers deceives only themselves.
    """
    told = {name: request.headers.get(f"x-forwarded-{name}", "").split(",")[0].strip() for name in ("proto", "host")}
    scheme = told["proto"] if told["proto"] in ("http", "https") else request.url.scheme
    host = told["host"] if _HOST.fullmatch(told["host"]) else request.url.netloc
    return f"{scheme}://{host}"
