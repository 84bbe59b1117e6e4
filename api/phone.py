"""The phone app's built files under /m. Knows how browsers keep them; knows nothing of what is in them."""

import mimetypes
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.datastructures import Headers
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from api.access import anyone
from gis.settings import ROOT

BUILT = ROOT / "field_app" / "dist"
_FOR_EVER = "public, max-age=31536000, immutable"
# The app holds the person's token: no script, frame or connection but our own.
_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'"
)


class _Files(StaticFiles):
    """Files as built: packed where the browser reads it, names with a digest for ever, all others asked for anew."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        packed = "gzip" in Headers(scope=scope).get("accept-encoding", "") and self.lookup_path(f"{path}.gz")[1]
        response = await super().get_response(f"{path}.gz" if packed else path, scope)
        if packed:
            response.headers["content-encoding"] = "gzip"
            response.headers["content-type"] = mimetypes.guess_type(path)[0] or "application/octet-stream"
        response.headers["vary"] = "accept-encoding"
        response.headers["cache-control"] = _FOR_EVER if path.startswith("assets/") else "no-cache"
        if path == "sw.js":
            response.headers["service-worker-allowed"] = "/m"
        return response


def mount(app: FastAPI, built: Path = BUILT) -> bool:
    """Serve the phone app; False when it is not built."""
    if not built.is_dir():
        return False
    mimetypes.add_type("text/javascript", ".mjs")
    mimetypes.add_type("application/manifest+json", ".webmanifest")
    files = _Files(directory=built)

    @app.get("/m", include_in_schema=False, dependencies=[anyone("a page without data")])
    async def page(request: Request) -> Any:
        response = await files.get_response("index.html", request.scope)
        response.headers["content-security-policy"] = _POLICY
        return response

    app.mount("/m", files, name="phone")
    return True
