"""Routes of basemaps: which there are, and their tiles."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from api import map_sources
from api.access import Tx, allow
from gis import basemaps, db, errors
from gis.basemaps import DEEPEST, Basemap
from gis.people import Caller

router = APIRouter(tags=["map"])
LOOK_S = 5.0
_known: tuple[float, dict[str, tuple[Basemap, int]]] = (0.0, {})

Zoom = Annotated[int, Path(ge=0, le=DEEPEST)]
Place = Annotated[int, Path(ge=0, lt=1 << DEEPEST)]


@router.get("/api/basemaps")
def offered(caller: Annotated[Caller, allow("map.view")], tx: Tx) -> dict[str, Any]:
    """The basemaps that work; who may publish definitions also gets those that lack a host or a key (``lacks``)."""
    see_off = "definition.publish" in caller.permissions
    told = (map_sources.told(one, version, see_off) for one, version in basemaps.basemaps(tx).values())
    return {"items": [one for one in told if one]}


def _looked_up(code: str) -> tuple[Basemap, int]:
    """The basemap of a code, looked up every few seconds: no tile of a source holds a connection while it waits."""
    global _known
    until, found = _known
    if until < time.monotonic() or code not in found:
        with db.transaction() as tx:
            found = basemaps.basemaps(tx)
        _known = (time.monotonic() + LOOK_S, found)
    if code not in found:
        raise errors.NotFound(basemap=code[:100])
    return found[code]


@router.get("/api/basemaps/{code}/{z}/{x}/{y}", dependencies=[allow("map.view")])
def tile(code: str, z: Zoom, x: Place, y: Place) -> Response:
    """A picture of a basemap in Web Mercator, whatever system its source is in."""
    if x >> z or y >> z:
        raise errors.NotFound(tile=[z, x, y])
    content = map_sources.picture(*_looked_up(code), (z, x, y))
    kind = "image/png" if content[:4] == b"\x89PNG" else "image/webp" if content[:4] == b"RIFF" else "image/jpeg"
    return Response(content, media_type=kind, headers={"cache-control": "private, max-age=86400"})
