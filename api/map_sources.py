"""Basemap tiles as pictures: drawn from the ground or fetched from a configured source, moved to where our tiles lie.

The only addresses ever asked are those of basemap definitions on hosts that the operator named (``WANGGE_MAP_HOSTS``):
no page and no administrator can make the service ask another. Redirects are not followed, what comes back is decoded.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING

import numpy as np
import structlog

from gis import basemaps, db, errors, files, geometry, ground, map_shapes
from gis.basemaps import SIDE, Basemap, Tile
from gis.digest import sm3_hex
from gis.settings import settings
from layers import imagery, raster

if TYPE_CHECKING:  # loaded by the first fetch: most processes make none
    import httpx

log = structlog.get_logger("basemaps")

FRESH_DAYS = 30
TIMEOUT_S = 5.0
REST_S = 30.0
"""A host that did not answer is left alone for so long."""
_MOST_BYTES = 2 * 2**20
_AT_ONCE = BoundedSemaphore(8)
_DRAWING = BoundedSemaphore(2)
_resting: dict[str, float] = {}
_lock = Lock()
_written = 0


def tokens() -> dict[str, str]:
    """The keys of the settings by name."""
    pairs = (part.partition("=") for part in settings().map_tokens.split(","))
    return {name.strip(): key.strip() for name, _, key in pairs if name.strip() and key.strip()}


def missing(basemap: Basemap) -> str:
    """Why a basemap is switched off: ``host`` not allowed or ``token`` not set; empty when it works."""
    allowed = {host.strip().lower() for host in settings().map_hosts.split(",")}
    if not basemap.hosts <= allowed:
        return "host"
    return "token" if basemap.token and basemap.token not in tokens() else ""


def picture(basemap: Basemap, version: int, tile: Tile) -> bytes:
    """The picture of one of our tiles, PNG, JPEG or WebP. Raises ``NotFound`` outside its zooms, ``Unavailable``."""
    if not basemap.zooms[0] <= tile[0] <= basemap.zooms[1] or basemap.source == "own":
        raise errors.NotFound(tile=list(tile))
    folder = settings().home / "basemaps" / f"{basemap.code}-{_mark(basemap, version)}"
    path = folder / str(tile[0]) / str(tile[1]) / str(tile[2])
    kept = _kept(path)
    if kept and (basemap.source == "drawn" or kept[1] < FRESH_DAYS * 86400):
        return kept[0]
    try:
        made = _drawn(tile) if basemap.source == "drawn" else _fetched(basemap, tile)
    except errors.Unavailable:
        if kept:  # an old picture of the ground is better than none
            return kept[0]
        raise
    _keep(path, made)
    return made


def _mark(basemap: Basemap, version: int) -> str:
    if basemap.source == "tiles":
        return str(version)
    with db.transaction() as tx:
        return sm3_hex(map_shapes.version(tx).encode())[:12]


def _drawn(tile: Tile) -> bytes:
    z, x, y = tile
    lon, lat = basemaps.lonlat_of_pixels(tile)
    metres = float(geometry.metres_per_degree(lat[SIDE // 2])[0] * (lon[1] - lon[0]))
    # Shadows and wide roads reach in from beyond the edge.
    margin = max((lon[1] - lon[0]) * 4, 40 / 85_000)
    with db.transaction() as tx:
        seen = ground.within(
            tx, (lon[0] - margin, lat[-1] - margin, lon[-1] + margin, lat[0] + margin), least_m2=metres**2
        )

    def project(points: geometry.Floats) -> geometry.Floats:
        px, py = basemaps.pixels_of_lonlat(points[:, 0], points[:, 1], z, "wgs84", "mercator")
        return np.column_stack([px - x * SIDE, py - y * SIDE])

    with _DRAWING:
        return raster.written(imagery.picture(seen, project, metres, (x * SIDE, y * SIDE)))


def _fetched(basemap: Basemap, tile: Tile) -> bytes:
    with _client() as client:
        if not basemap.moved and len(basemap.urls) == 1:
            found = _fetch(client, basemap, 0, tile)
            if found is None:
                raise errors.NotFound(tile=list(tile))
            raster.read(found)
            return found
        whole = None
        for level in range(len(basemap.urls)):
            part = _level(client, basemap, level, tile)
            whole = part if whole is None else raster.over(whole, part)
    assert whole is not None
    return raster.written(whole)


def _level(client: "httpx.Client", basemap: Basemap, level: int, tile: Tile) -> raster.Pixels:
    def fetch(column: int, row: int) -> raster.Pixels | None:
        z = tile[0]
        if not (0 <= column < 1 << z and 0 <= row < max(1, 1 << z >> (basemap.matrix == "geographic"))):
            return None
        found = _fetch(client, basemap, level, (z, column, row))
        return None if found is None else raster.read(found)

    if not basemap.moved:
        plain = fetch(tile[1], tile[2])
        return np.zeros((SIDE, SIDE, 4), np.uint8) if plain is None else plain
    return raster.resampled(*basemaps.where_in_source(tile, basemap.crs, basemap.matrix), fetch)


@contextlib.contextmanager
def _client() -> "Iterator[httpx.Client]":
    import httpx

    if not _AT_ONCE.acquire(timeout=TIMEOUT_S):
        raise errors.Unavailable("底图请求过多，请稍后再试", "Too many basemap requests at once; try again")
    try:
        with httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, headers={"user-agent": "wangge"}) as client:
            yield client
    finally:
        _AT_ONCE.release()


def _fetch(client: "httpx.Client", basemap: Basemap, level: int, tile: Tile) -> bytes | None:
    """One tile of the source as it sends it; None where it says it has none. Raises ``Unavailable``."""
    import httpx

    lacking = missing(basemap)
    if lacking:
        raise errors.Unavailable("此底图未启用", "This basemap is switched off", basemap=basemap.code, lacks=lacking)
    url = httpx.URL(basemap.address(level, tile, tokens().get(basemap.token, "")))
    with _lock:
        if _resting.get(url.host, 0.0) > time.monotonic():
            raise _silent(basemap)
    try:
        with client.stream("GET", url) as answer:
            if answer.status_code in (204, 404):
                return None
            if answer.status_code != 200:
                # A wrong or used-up key answers so, too; the key is in the address, so that is not logged.
                log.warning("a basemap source refuses", basemap=basemap.code, status=answer.status_code)
                raise _silent(basemap, status=answer.status_code)
            return _body(answer, basemap)
    except httpx.HTTPError as error:
        with _lock:
            _resting[url.host] = time.monotonic() + REST_S
        log.warning("a basemap source does not answer", basemap=basemap.code, why=type(error).__name__)
        raise _silent(basemap) from error


def _body(answer: "httpx.Response", basemap: Basemap) -> bytes:
    content = b""
    for chunk in answer.iter_bytes():
        content += chunk
        if len(content) > _MOST_BYTES:
            raise _silent(basemap, why="too large")
    return content


def _silent(basemap: Basemap, **told: object) -> errors.Problem:
    return errors.Unavailable("底图服务没有应答", "The basemap's source does not answer", basemap=basemap.code, **told)


def _kept(path: Path) -> tuple[bytes, float] | None:
    try:
        return path.read_bytes(), time.time() - path.stat().st_mtime
    except OSError:
        return None


def _keep(path: Path, content: bytes) -> None:
    global _written
    if not settings().map_cache_mb:
        return
    files.write(path, content)
    with _lock:
        _written += 1
        due = _written % 500 == 0
    if due:
        prune(settings().home / "basemaps", settings().map_cache_mb * 2**20)


def prune(folder: Path, limit: int) -> int:
    """Remove the oldest tiles until ``folder`` holds at most nine tenths of ``limit`` bytes; returns how many went."""
    held: list[tuple[float, int, Path]] = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file():
                about = path.stat()
                held.append((about.st_mtime, about.st_size, path))
    size, gone = sum(one[1] for one in held), 0
    if size <= limit:
        return 0
    for _, bytes_, path in sorted(held, key=lambda one: one[:2]):
        if size <= limit * 9 // 10:
            break
        with contextlib.suppress(OSError):
            path.unlink()
            size, gone = size - bytes_, gone + 1
    return gone


def told(basemap: Basemap, version: int, see_off: bool) -> Mapping[str, object] | None:
    """A basemap as a page gets it, without addresses and keys; None for one that is off, unless ``see_off``."""
    lacks = missing(basemap)
    if lacks and not see_off:
        return None
    drawn = basemap.source != "own"
    return {
        "code": basemap.code,
        "name": dict(basemap.name),
        "picture": basemap.picture,
        "attribution": dict(basemap.attribution),
        "zooms": list(basemap.zooms),
        "tiles": f"/api/basemaps/{basemap.code}/{{z}}/{{x}}/{{y}}?v={version}" if drawn else None,
        "lacks": lacks or None,
    }
