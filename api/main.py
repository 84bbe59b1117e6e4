"""The application: a table of contents of what the outside can reach."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import (
    access,
    basemaps,
    board,
    case_page,
    cases,
    census,
    centre,
    component_pages,
    definitions,
    desk,
    devices,
    duty_lists,
    filing_standards,
    grids,
    imports,
    intake,
    live,
    logs,
    map_tokens,
    map_tools,
    maps,
    ogc,
    operations,
    panoramas,
    phone,
    places,
    public,
    quarantine,
    reports,
    selection,
    shifts,
    sketches,
    statistics,
    tiles,
    track_views,
    tracks,
    wall,
    walls,
    workflows,
)
from api.access import Tx, anyone
from gis import errors, schema
from gis.settings import ROOT, settings

log = structlog.get_logger("api")
# They are tried one after the other: what is asked most stands first. The fixed paths of `desk` below /api/cases come
# before the one with an id.
_ROUTES = (
    *(tracks, desk, cases, access, case_page, places, statistics, imports, operations, quarantine, live, maps, tiles),
    *(selection, ogc),
    *(definitions, duty_lists, filing_standards, shifts, centre, reports, board, devices, intake, workflows, public),
    *(basemaps, map_tokens, map_tools, sketches, panoramas),
    *(wall, walls, grids),
    *(census, component_pages),
    track_views,
)
WEB = ROOT / "layers" / "web" / "dist"
PAGES = ("wall", "desk", "login", "report")
JSON_LIMIT = 2 * 2**20
PHOTO_LIMIT = 20 * 2**20
_PAGE_HEADERS = {
    "cache-control": "no-cache",
    # Everything a page needs is its own: nothing is fetched, framed or run from elsewhere.
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'self'",
}
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"same-origin"),
)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    with live.running(app):
        yield


class _Service(FastAPI):
    """The framework with tiles in front of it: they are many, and it costs more than a tile that is kept."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._front = tiles.Tiles(super().__call__, access.reader_of, live.store)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._front(scope, receive, send)


def create_app() -> FastAPI:
    """The whole service as one ASGI application."""
    logs.configure()
    app = _Service(
        title="Wangge 网格",
        version="0.1.0",
        lifespan=_lifespan,
        docs_url="/docs",
        redoc_url=None,
    )
    for module in _ROUTES:
        app.include_router(module.router)
    _health(app)
    _pages(app)
    if not phone.mount(app):
        log.warning("the phone app is not built; run `make setup`", looked_in="field_app/dist")
    app.add_exception_handler(errors.Problem, _problem)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _internal)
    app.add_middleware(_Guard)
    return app


def _health(app: FastAPI) -> None:
    @app.get("/healthz", tags=["health"], dependencies=[anyone("load balancers ask")])
    def healthz() -> dict[str, Any]:
        """The process lives."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"], dependencies=[anyone("load balancers ask")])
    def readyz(tx: Tx) -> dict[str, Any]:
        """The database answers at the right revision, the town is loaded, the point store is filled."""
        state = schema.readiness(tx) | {"points": live.state()}
        if not all(state.values()):
            raise errors.Unavailable("服务尚未就绪", "The service is not ready yet", **state)
        return {"status": "ready"} | state


def _pages(app: FastAPI) -> None:
    if not WEB.is_dir():
        log.warning("the front-end is not built; run `make setup`", looked_in="layers/web/dist")
        return
    app.mount("/static", StaticFiles(directory=WEB), name="static")

    @app.get("/", include_in_schema=False, dependencies=[anyone("a redirect")])
    def home() -> RedirectResponse:
        return RedirectResponse("/wall")

    def page(name: str) -> Callable[[], FileResponse]:
        def show() -> FileResponse:
            return FileResponse(WEB / f"{name}.html", headers=_PAGE_HEADERS)

        return show

    for name in PAGES:
        app.get(f"/{name}", include_in_schema=False, dependencies=[anyone("a page without data")])(page(name))

    remote = page("remote")
    app.get("/wall/remote", include_in_schema=False, dependencies=[anyone("a page without data")])(remote)

    @app.get("/desk/intake", include_in_schema=False, dependencies=[anyone("a page without data")])
    def intake_page(embed: str = "") -> FileResponse:
        headers, origin = dict(_PAGE_HEADERS), settings().embed_origin
        if embed == "1" and origin:
            policy = headers["content-security-policy"]
            headers["content-security-policy"] = policy.replace(
                "frame-ancestors 'self'", f"frame-ancestors 'self' {origin}"
            )
        return FileResponse(WEB / "desk.html", headers=headers)

    # The desk reads the rest of its address itself: any of its places can be sent on and reloaded.
    app.get("/desk/{place:path}", include_in_schema=False, dependencies=[anyone("a page without data")])(page("desk"))


class _Guard:
    """Refuses early what is too large or comes from another site; adds the headers every answer carries."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refused = _too_large(request) or _cross_site(request) or await _stranger(request)
        if refused:
            await _render(refused)(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _too_large(request: Request) -> errors.Problem | None:
    length = request.headers.get("content-length", "")
    limit = JSON_LIMIT
    if _right_to_send(request):
        limit = settings().upload_limit_mb * 2**20
    elif request.url.path.startswith(("/api/media/", "/api/public/media/", "/api/tracks/")):
        limit = PHOTO_LIMIT
    if request.method in ("POST", "PUT", "PATCH") and not length.isdigit():
        return errors.Malformed("缺少 Content-Length", "A Content-Length is needed", limit_bytes=limit)
    if length.isdigit() and int(length) > limit:
        return errors.UploadTooLarge(limit_bytes=limit, sent_bytes=int(length))
    return None


def _right_to_send(request: Request) -> str | None:
    """The permission it takes to send a whole file there; None where no such files are taken."""
    if request.method != "POST":
        return None
    if request.url.path.startswith("/api/imports/"):
        return "import.run"
    return "census.manage" if request.url.path == "/api/census/drafts" else None


async def _stranger(request: Request) -> errors.Problem | None:
    """An upload is refused before its body is read: the framework would keep it on disk before it asks who sends."""
    right = _right_to_send(request)
    if right is None:
        return None
    try:
        token = access.token_of(request.headers, request.cookies)
        (await run_in_threadpool(access.caller_of, token)).may(right)
    except errors.Problem as problem:
        return problem
    return None


def _cross_site(request: Request) -> errors.Problem | None:
    """A cookie must not act for another site's page: an unsafe request that names its origin must be our own."""
    origin = request.headers.get("origin")
    if request.method in ("GET", "HEAD", "OPTIONS") or origin is None or access.COOKIE not in request.cookies:
        return None
    return None if urlsplit(origin).netloc == request.headers.get("host") else errors.CrossSite(origin=origin)


def _render(problem: errors.Problem, headers: Mapping[str, str] | None = None) -> Response:
    body = orjson.dumps(problem.body(), default=str)
    return Response(body, problem.status, headers, media_type="application/problem+json")


async def _problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, errors.Problem)
    # Only there: anywhere else a browser would ask for a password in a window of its own.
    asks = isinstance(problem, errors.NotAuthenticated) and request.url.path.startswith("/ogc")
    return _render(problem, {"www-authenticate": 'Basic realm="Wangge", charset="UTF-8"'} if asks else None)


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [
        {"at": ".".join(str(part) for part in fault["loc"]), "why": fault["msg"]} for fault in error.errors()[:20]
    ]
    return _render(errors.Malformed(fields=faults))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = {404: errors.NotFound, 405: errors.MethodNotAllowed}.get(error.status_code, errors.Malformed)
    return _render(known(), error.headers)


async def _internal(request: Request, error: Exception) -> Response:
    log.exception("unexpected error", path=request.url.path)
    return _render(errors.Internal())


app = create_app()
