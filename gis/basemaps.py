"""Basemaps as definitions, and where a source in another system has the pixels of our tile. Fetches and draws nothing.

Our tiles are Web Mercator over EPSG:4490 taken as WGS 84. A source may lie in GCJ-02 or BD-09, and in the tile matrix
of longitude and latitude (Tianditu's ``c``): each pixel of ours is then looked up where the source has that place.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np

from gis import definitions, errors
from gis.db import Connection
from gis.geometry import STORED, Floats, from_4490, to_4490

KIND: Final = "basemap"
SIDE: Final = 256
"""Pixels along the edge of a tile."""
DEEPEST: Final = 20
SOURCES: Final = ("own", "drawn", "tiles")
PICTURES: Final = ("map", "imagery")
SYSTEMS: Final = {"wgs84": STORED, "cgcs2000": STORED, "gcj02": "GCJ-02", "bd09": "BD-09"}
MATRICES: Final = ("mercator", "geographic")
_PLACES: Final = frozenset(("z", "x", "y", "-y", "token"))

Tile = tuple[int, int, int]


@dataclass(frozen=True)
class Basemap:
    """A basemap: ``own`` vector tiles, ``drawn`` from the town's ground, or ``tiles`` of somebody else.

    ``urls`` are templates with ``{z} {x} {y} {-y} {token}``, the lowest picture first; ``crs`` is in :data:`SYSTEMS`,
    ``matrix`` in :data:`MATRICES`; ``token`` names a key of the settings, empty where none is needed.
    """

    code: str
    name: Mapping[str, str]
    picture: str
    source: str
    attribution: Mapping[str, str]
    order: int
    zooms: tuple[int, int] = (0, 18)
    urls: tuple[str, ...] = ()
    crs: str = "wgs84"
    matrix: str = "mercator"
    token: str = ""

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts its tiles come from, in lower case, with the port where one is named."""
        return frozenset(urlsplit(url).netloc.lower() for url in self.urls)

    @property
    def moved(self) -> bool:
        """Whether its pixels lie elsewhere than ours."""
        return SYSTEMS[self.crs] != STORED or self.matrix != "mercator"

    def address(self, level: int, tile: Tile, token: str) -> str:
        """Where picture ``level`` of one of the source's own tiles is."""
        z, x, y = tile
        rows = 1 << z if self.matrix == "mercator" else max(1, 1 << z >> 1)
        told = {"{z}": z, "{x}": x, "{y}": y, "{-y}": rows - 1 - y, "{token}": token}
        url = self.urls[level]
        for place, value in told.items():
            url = url.replace(place, str(value))
        return url


def parse(body: Mapping[str, Any]) -> Basemap:
    """A basemap definition, checked. Raises ``DefinitionBad`` with where and why."""
    code = str(body["code"])

    def bad(field: str, why: str) -> errors.Problem:
        return errors.DefinitionBad(where=f"{code}.{field}", why=why)

    for field in ("name", "attribution"):
        if not isinstance(body[field], Mapping) or not {"zh", "en"} <= body[field].keys():
            raise bad(field, "needs words in zh and en")
    for field, known in (("picture", PICTURES), ("source", SOURCES)):
        if body[field] not in known:
            raise bad(field, f"one of {', '.join(known)}")
    crs, matrix = body.get("crs", "wgs84"), body.get("matrix", "mercator")
    if crs not in SYSTEMS:
        raise bad("crs", f"one of {', '.join(SYSTEMS)}")
    if matrix not in MATRICES:
        raise bad("matrix", f"one of {', '.join(MATRICES)}")
    low, high = body.get("zooms", (0, 18))
    if not (isinstance(low, int) and isinstance(high, int) and 0 <= low <= high <= DEEPEST):
        raise bad("zooms", f"two whole numbers from 0 to {DEEPEST}, ascending")
    urls, token = tuple(body.get("urls", ())), str(body.get("token", ""))
    if bool(urls) != (body["source"] == "tiles"):
        raise bad("urls", "a source of tiles has addresses, no other has")
    for url in urls:
        parts, places = urlsplit(str(url)), set(re.findall(r"\{([^}]*)\}", str(url)))
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or "{" in parts.netloc:
            raise bad("urls", "http(s)://host/… with a fixed host and no login")
        if places - _PLACES or not {"z", "x"} <= places or not places & {"y", "-y"}:
            raise bad("urls", "needs {z}, {x} and {y} or {-y}, and knows besides only {token}")
        if ("token" in places) != bool(token):
            raise bad("token", "named where the addresses have {token}, and only there")
    return Basemap(
        code,
        dict(body["name"]),
        body["picture"],
        body["source"],
        dict(body["attribution"]),
        int(body.get("order", 100)),
        (low, high),
        urls,
        crs,
        matrix,
        token,
    )


def basemaps(tx: Connection) -> dict[str, tuple[Basemap, int]]:
    """Every basemap now with its version, by code in the order they are offered."""
    found = [(one.parsed, one.version) for one in definitions.currents(tx, KIND)]
    return {one.code: (one, version) for one, version in sorted(found, key=lambda pair: (pair[0].order, pair[0].code))}


def lonlat_of_pixels(tile: Tile) -> tuple[Floats, Floats]:
    """EPSG:4490 degrees of the middles of a Web Mercator tile's pixels: longitude (256,) and latitude (256,)."""
    z, x, y = tile
    around = SIDE << z
    middle = np.arange(SIDE) + 0.5
    lon = (x * SIDE + middle) * (360.0 / around) - 180.0
    lat = np.degrees(np.arctan(np.sinh(np.pi * (1.0 - (y * SIDE + middle) * (2.0 / around)))))
    return np.asarray(lon, np.float64), np.asarray(lat, np.float64)


def pixels_of_lonlat(lon: Floats, lat: Floats, z: int, crs: str, matrix: str) -> tuple[Floats, Floats]:
    """Where a source has these places: world pixels (eastward, southward) at its zoom ``z``, as fractions.

    ``lon, lat`` in EPSG:4490. Mercator: 256·2^z pixels around the world. Geographic (WMTS matrix of EPSG:4490, Tianditu
    ``c``): 256·2^z pixels of longitude and half as many of latitude, from 180° W 90° N.
    """
    east, north = from_4490(lon, lat, SYSTEMS[crs]) if SYSTEMS[crs] != STORED else (lon, lat)
    around = float(SIDE << z)
    px = (east + 180.0) * (around / 360.0)
    if matrix == "geographic":
        return px, (90.0 - north) * (around / 360.0)
    return px, (1.0 - np.arcsinh(np.tan(np.radians(north))) / np.pi) * (around / 2.0)


def lonlat_of_source(px: Floats, py: Floats, z: int, crs: str, matrix: str) -> tuple[Floats, Floats]:
    """The inverse of :func:`pixels_of_lonlat`: EPSG:4490 degrees of a source's world pixels."""
    around = float(SIDE << z)
    east = px * (360.0 / around) - 180.0
    if matrix == "geographic":
        north = 90.0 - py * (360.0 / around)
    else:
        north = np.degrees(np.arctan(np.sinh(np.pi * (1.0 - py * (2.0 / around)))))
    return to_4490(east, north, SYSTEMS[crs])


def where_in_source(tile: Tile, crs: str, matrix: str) -> tuple[Floats, Floats]:
    """For every pixel of our tile the source's world pixel (eastward, southward), each (256, 256), rows southward.

    Exact at each pixel: what remains is the formula's own inverse (under 1 mm) and the resampling.
    """
    lon, lat = np.meshgrid(*lonlat_of_pixels(tile))
    return pixels_of_lonlat(lon, lat, tile[0], crs, matrix)
