"""What coordinates mean: systems, conversions, plausibility, distances, keys along a curve. Knows no table, no town.

Stored coordinates are EPSG:4490 (CGCS2000), always longitude first. Projected values are always (x = east, y = north),
although EPSG and Chinese survey sheets name the north axis first. WGS 84 is taken as CGCS2000 (they differ by
centimetres). Functions take floats or numpy arrays and answer in kind.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final, overload

import h3.api.basic_int as h3
import numpy as np
from coord_convert import transform as coord_convert
from numpy.typing import ArrayLike, NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from gis.errors import NullIsland, OutsideTown, Problem, SwappedAxes, UnknownCrs, WrongCrs

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bounds = tuple[float, float, float, float]  # west, south, east, north in degrees

STORED: Final = "EPSG:4490"
METRIC: Final = "EPSG:4548"
OFFSET: Final = ("GCJ-02", "BD-09")
SUPPORTED: Final = (STORED, "EPSG:4326", METRIC, "EPSG:4527", "EPSG:4509", *OFFSET)

WORLD_BITS: Final = 28
"""A world pixel is 1/4096 of a Web Mercator tile of zoom 16: 2**28 pixels around the world, 11 cm wide at 40° N."""

_EPSG: Final = re.compile(r"EPSG:[0-9]{4,6}")
_WORLD: Final = 1 << WORLD_BITS
_NULL_DEGREES: Final = 1e-6
_MARGIN_DEGREES: Final = 3.0


# --- Systems ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _System:
    """One coordinate system: the values it can hold (x0, y0, x1, y1), and the way to EPSG:4490 and back."""

    name: str
    extent: Bounds
    forward: Transformer | None
    back: Transformer | None

    def holds(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.bool_]:
        west, south, east, north = self.extent
        x, y = np.asarray(x), np.asarray(y)
        return (x >= west) & (x <= east) & (y >= south) & (y <= north)


@lru_cache(maxsize=256)
def _system(name: str) -> _System:
    """The system of that name; :class:`UnknownCrs` when there is none. A projected one holds its area of use ± 3°.

    Names come from outside: only registry codes reach pyproj, whose other forms may name files and addresses.
    """
    globe = (-180.0, -90.0, 180.0, 90.0)
    if name in (STORED, "EPSG:4326", *OFFSET):
        return _System(name, globe, None, None)
    unknown = UnknownCrs(crs=name[:100], supported=list(SUPPORTED))
    if not _EPSG.fullmatch(name):
        raise unknown
    try:
        crs = CRS.from_user_input(name)
    except CRSError as error:
        raise unknown from error
    if crs.is_compound or len(crs.axis_info) != 2 or not (crs.is_geographic or crs.is_projected):
        raise unknown
    back = Transformer.from_crs(STORED, crs, always_xy=True)
    forward = Transformer.from_crs(crs, STORED, always_xy=True)
    if crs.is_geographic:
        return _System(name, globe, forward, back)
    use = crs.area_of_use
    if use is None:
        return _System(name, (-np.inf, -np.inf, np.inf, np.inf), forward, back)
    west, south = max(-180.0, use.west - _MARGIN_DEGREES), max(-89.0, use.south - _MARGIN_DEGREES)
    east, north = min(180.0, use.east + _MARGIN_DEGREES), min(89.0, use.north + _MARGIN_DEGREES)
    return _System(name, back.transform_bounds(west, south, east, north), forward, back)


@overload
def to_4490(x: float, y: float, crs: str) -> tuple[float, float]: ...
@overload
def to_4490(x: Floats, y: Floats, crs: str) -> tuple[Floats, Floats]: ...
def to_4490(x: Any, y: Any, crs: str) -> tuple[Any, Any]:
    """(longitude or east, latitude or north) of any system as EPSG:4490 (longitude, latitude) in degrees.

    ``crs`` is one of :data:`SUPPORTED` or the EPSG code of any flat system; GCJ-02 and BD-09 are inverted by
    iteration (round trip within 1 mm). Floats the system cannot hold raise :class:`NullIsland`, :class:`SwappedAxes`
    or :class:`WrongCrs`; in arrays they become NaN (:func:`judge` says why). Raises :class:`UnknownCrs`.
    """
    system = _system(crs)
    if np.ndim(x) == 0:
        x, y = float(x), float(y)
        _refuse_impossible(x, y, system)
        if system.forward is not None:
            return _pair(system.forward.transform(x, y))
        return _invert(_SCALAR_OFFSET[crs], x, y) if crs in OFFSET else (x, y)
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    possible = system.holds(x, y)
    x, y = np.where(possible, x, np.nan), np.where(possible, y, np.nan)
    if system.forward is not None:
        lon, lat = system.forward.transform(x, y)
        found = np.isfinite(lon) & np.isfinite(lat)  # pyproj answers infinity where it has no answer
        return np.where(found, lon, np.nan), np.where(found, lat, np.nan)
    return _invert(_BULK_OFFSET[crs], x, y) if crs in OFFSET else (x, y)


@overload
def from_4490(lon: float, lat: float, crs: str) -> tuple[float, float]: ...
@overload
def from_4490(lon: Floats, lat: Floats, crs: str) -> tuple[Floats, Floats]: ...
def from_4490(lon: Any, lat: Any, crs: str) -> tuple[Any, Any]:
    """EPSG:4490 degrees as (longitude or east, latitude or north) of ``crs``. Raises :class:`UnknownCrs`."""
    system = _system(crs)
    if system.back is not None:
        return _pair(system.back.transform(lon, lat))
    if crs not in OFFSET:
        return lon, lat
    if np.ndim(lon) == 0:
        return _SCALAR_OFFSET[crs](lon, lat)
    return _BULK_OFFSET[crs](np.asarray(lon, np.float64), np.asarray(lat, np.float64))


@overload
def to_4548(lon: float, lat: float) -> tuple[float, float]: ...
@overload
def to_4548(lon: Floats, lat: Floats) -> tuple[Floats, Floats]: ...
def to_4548(lon: Any, lat: Any) -> tuple[Any, Any]:
    """EPSG:4490 degrees as metres (east, north) of EPSG:4548, the system areas and lengths are measured in."""
    return from_4490(lon, lat, METRIC)


def _pair(answer: Any) -> tuple[Any, Any]:
    return answer[0], answer[1]


# --- GCJ-02 and BD-09 -------------------------------------------------------------------------------------------
# The package coord-convert is the reference, one point at a time; the same published formulas over arrays follow.
# The tests hold both to 1e-12 degrees of each other.

_AXIS: Final = coord_convert.a
_ECCENTRICITY: Final = coord_convert.ee
_BD_WAVE: Final = np.pi * 3000.0 / 180.0


def _wgs_to_gcj(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    x, y = lon - 105.0, lat - 35.0
    root = np.sqrt(np.abs(x))
    ripple = (20.0 * np.sin(6.0 * x * np.pi) + 20.0 * np.sin(2.0 * x * np.pi)) * 2.0 / 3.0
    north = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * root + ripple
    north += (20.0 * np.sin(y * np.pi) + 40.0 * np.sin(y / 3.0 * np.pi)) * 2.0 / 3.0
    north += (160.0 * np.sin(y / 12.0 * np.pi) + 320.0 * np.sin(y * np.pi / 30.0)) * 2.0 / 3.0
    east = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * root + ripple
    east += (20.0 * np.sin(x * np.pi) + 40.0 * np.sin(x / 3.0 * np.pi)) * 2.0 / 3.0
    east += (150.0 * np.sin(x / 12.0 * np.pi) + 300.0 * np.sin(x * np.pi / 30.0)) * 2.0 / 3.0
    phi = np.radians(lat)
    magic = 1.0 - _ECCENTRICITY * np.sin(phi) ** 2
    north = np.degrees(north * magic * np.sqrt(magic) / (_AXIS * (1.0 - _ECCENTRICITY)))
    east = np.degrees(east * np.sqrt(magic) / (_AXIS * np.cos(phi)))
    china = (lon >= 72.004) & (lon <= 137.8347) & (lat >= 0.8293) & (lat <= 55.8271)
    return np.where(china, lon + east, lon), np.where(china, lat + north, lat)


def _wgs_to_bd(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    lon, lat = _wgs_to_gcj(lon, lat)
    reach = np.hypot(lon, lat) + 0.00002 * np.sin(lat * _BD_WAVE)
    theta = np.arctan2(lat, lon) + 0.000003 * np.cos(lon * _BD_WAVE)
    return reach * np.cos(theta) + 0.0065, reach * np.sin(theta) + 0.006


_Offset = Callable[[Any, Any], tuple[Any, Any]]
_SCALAR_OFFSET: Final[dict[str, _Offset]] = {"GCJ-02": coord_convert.wgs2gcj, "BD-09": coord_convert.wgs2bd}
_BULK_OFFSET: Final[dict[str, _Offset]] = {"GCJ-02": _wgs_to_gcj, "BD-09": _wgs_to_bd}


def _invert(offset: _Offset, x: Any, y: Any) -> tuple[Any, Any]:
    """The (lon, lat) that ``offset`` moves to (x, y), by fixed point: each round leaves under a fifth of the error.

    One-step inverses err by 1–2 m. The rounds end below 1e-10 degrees (0.01 mm); the cap only matters on the edge
    of the offset's rectangle far outside China, where the offset jumps.
    """
    lon, lat = x, y
    for _ in range(30):
        moved_x, moved_y = offset(lon, lat)
        step_x, step_y = x - moved_x, y - moved_y
        lon, lat = lon + step_x, lat + step_y
        worst = np.fmax(np.abs(step_x), np.abs(step_y))
        if np.ndim(worst) == 0:
            if worst < 1e-10:
                break
        elif not (worst >= 1e-10).any():
            break
    return lon, lat


# --- Is this a place in the town? -------------------------------------------------------------------------------


class Verdict(IntEnum):
    """What is wrong with one coordinate pair."""

    FINE = 0
    MISSING = 1
    SWAPPED = 2
    WRONG_CRS = 3
    OUTSIDE = 4


PROBLEM: Final[dict[Verdict, type[Problem]]] = {
    Verdict.MISSING: NullIsland,
    Verdict.SWAPPED: SwappedAxes,
    Verdict.WRONG_CRS: WrongCrs,
    Verdict.OUTSIDE: OutsideTown,
}


def _missing(x: ArrayLike, y: ArrayLike) -> NDArray[np.bool_]:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    found: NDArray[np.bool_] = (
        np.isfinite(x) & np.isfinite(y) & ((np.abs(x) >= _NULL_DEGREES) | (np.abs(y) >= _NULL_DEGREES))
    )
    return ~found


def _refuse_impossible(x: float, y: float, system: _System) -> None:
    if _missing(x, y):
        raise NullIsland(x=_finite(x), y=_finite(y))
    if not system.holds(x, y):
        problem = SwappedAxes if system.holds(y, x) else WrongCrs
        raise problem(x=x, y=y, crs=system.name)


def _finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if np.isfinite(value) else None


def inside(lon: ArrayLike, lat: ArrayLike, bounds: Bounds) -> NDArray[np.bool_]:
    """Which points lie in the rectangle ``bounds`` = (west, south, east, north), edges included."""
    lon, lat = np.asarray(lon), np.asarray(lat)
    west, south, east, north = bounds
    return (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)


def fitting_systems(x: float, y: float, bounds: Bounds) -> list[tuple[str, bool]]:
    """The supported systems in which (x, y) lies in ``bounds``, each with whether the axes must be swapped first."""
    fits = []
    for name in SUPPORTED:
        for swapped in (False, True):
            a, b = (y, x) if swapped else (x, y)
            if _system(name).holds(a, b):
                lon, lat = to_4490(np.array([a]), np.array([b]), name)
                if inside(lon, lat, bounds)[0]:
                    fits.append((name, swapped))
    return fits


def check_point(lon: float, lat: float, bounds: Bounds) -> None:
    """Refuse a point that cannot be a place in the town, saying what most likely went wrong.

    ``lon, lat`` in EPSG:4490 degrees, ``bounds`` the town's rectangle. Raises :class:`NullIsland` (missing or (0,0)),
    :class:`SwappedAxes` (fits with the axes exchanged), :class:`WrongCrs` (fits only as another system, named in
    ``fits``, or is no longitude and latitude at all), :class:`OutsideTown`.
    """
    if _missing(lon, lat):
        raise NullIsland(lon=_finite(lon), lat=_finite(lat))
    if inside(lon, lat, bounds):
        return
    if inside(lat, lon, bounds):
        raise SwappedAxes(lon=lon, lat=lat)
    globe = _system(STORED)
    if not globe.holds(lon, lat):
        if globe.holds(lat, lon):
            raise SwappedAxes(lon=lon, lat=lat)
        ways = fitting_systems(lon, lat, bounds)
        fits, swapped = [name for name, swap in ways if not swap], [name for name, swap in ways if swap]
        raise WrongCrs(lon=lon, lat=lat, declared=STORED, fits=fits, fits_swapped=swapped)
    raise OutsideTown(lon=lon, lat=lat, bounds=list(bounds))


def judge(x: ArrayLike, y: ArrayLike, crs: str, bounds: Bounds) -> tuple[Floats, Floats, NDArray[np.int8]]:
    """Convert n points to EPSG:4490 and say of each what is wrong: (lon, lat, :class:`Verdict` as int8).

    Rows that cannot be converted have NaN. Raises :class:`UnknownCrs` only; the caller turns verdicts into refusals
    of rows (:data:`PROBLEM`) or of the whole file (:func:`check_file`).
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    system = _system(crs)
    lon, lat = to_4490(x, y, crs)
    swapped_lon, swapped_lat = to_4490(y, x, crs)
    fine = inside(lon, lat, bounds)
    verdict = np.full(x.shape, Verdict.OUTSIDE, np.int8)
    verdict[~system.holds(x, y)] = Verdict.WRONG_CRS
    verdict[inside(swapped_lon, swapped_lat, bounds) | (~system.holds(x, y) & system.holds(y, x))] = Verdict.SWAPPED
    verdict[fine] = Verdict.FINE
    verdict[_missing(x, y)] = Verdict.MISSING
    return lon, lat, verdict


def check_file(x: ArrayLike, y: ArrayLike, crs: str, bounds: Bounds) -> None:
    """Refuse a whole file whose declared system cannot be right: fewer than half of its located rows are in the town.

    Raises :class:`SwappedAxes` or :class:`WrongCrs` when the middle of the data fits in another way (the ways are in
    ``fits``), else :class:`OutsideTown`; :class:`NullIsland` when no row has coordinates; :class:`UnknownCrs`.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    _, _, verdict = judge(x, y, crs, bounds)
    located = verdict != Verdict.MISSING
    if not located.any():
        raise NullIsland(rows=int(x.size))
    counts = {word.name.lower(): int((verdict == word).sum()) for word in Verdict}
    if counts["fine"] * 2 >= int(located.sum()):
        return
    middle_x, middle_y = float(np.median(x[located])), float(np.median(y[located]))
    fits = fitting_systems(middle_x, middle_y, bounds)
    told: dict[str, Any] = {"crs": crs, "middle": [middle_x, middle_y], "rows": counts, "bounds": list(bounds)}
    if (crs, True) in fits or counts["swapped"] * 2 > int(located.sum()):
        raise SwappedAxes(**told)
    others = [name for name, swapped in fits if not swapped and name != crs]
    if others or counts["wrong_crs"] * 2 > int(located.sum()):
        raise WrongCrs(**told, fits=others)
    raise OutsideTown(**told)


# --- Distances --------------------------------------------------------------------------------------------------

_CGCS2000_A: Final = 6378137.0
_CGCS2000_E2: Final = 2 / 298.257222101 - 1 / 298.257222101**2


def metres_per_degree(lat: Any) -> tuple[Any, Any]:
    """Length in metres of one degree of longitude and of latitude at ``lat``, from the ellipsoid's two radii."""
    phi = np.radians(lat)
    w = 1.0 - _CGCS2000_E2 * np.sin(phi) ** 2
    east = _CGCS2000_A / np.sqrt(w) * np.cos(phi)
    north = _CGCS2000_A * (1.0 - _CGCS2000_E2) / (w * np.sqrt(w))
    return np.radians(east), np.radians(north)


def distance_m(lon1: Any, lat1: Any, lon2: Any, lat2: Any) -> Any:
    """Metres between points in EPSG:4490, on the plane that touches the ellipsoid half-way: 1e-6 within a town."""
    east, north = metres_per_degree((np.asarray(lat1) + np.asarray(lat2)) / 2)
    metres = np.hypot((np.asarray(lon2) - lon1) * east, (np.asarray(lat2) - lat1) * north)
    return float(metres) if np.ndim(metres) == 0 else metres


# --- Keys along a curve -----------------------------------------------------------------------------------------


@overload
def world_pixel(lon: float, lat: float) -> tuple[int, int]: ...
@overload
def world_pixel(lon: Floats, lat: Floats) -> tuple[Ints, Ints]: ...
def world_pixel(lon: Any, lat: Any) -> tuple[Any, Any]:
    """Web Mercator world pixel (px eastward, py southward) of finite degrees, 0 … 2**28 - 1; poles are clamped."""
    phi = np.radians(np.asarray(lat, np.float64))
    x = (np.asarray(lon, np.float64) + 180.0) * (_WORLD / 360.0)
    y = (1.0 - np.arcsinh(np.tan(phi)) / np.pi) * (_WORLD / 2)
    px, py = np.clip(x, 0, _WORLD - 1).astype(np.int64), np.clip(y, 0, _WORLD - 1).astype(np.int64)
    return (int(px), int(py)) if np.ndim(px) == 0 else (px, py)


def pixel_lonlat(px: Any, py: Any) -> tuple[Any, Any]:
    """Longitude and latitude of the north-west corner of a world pixel (add 0.5 for its middle)."""
    lon = np.asarray(px) * (360.0 / _WORLD) - 180.0
    lat = np.degrees(np.arctan(np.sinh(np.pi * (1.0 - np.asarray(py) * (2.0 / _WORLD)))))
    return lon, lat


def pixel_bounds(bounds: Bounds) -> Bounds:
    """``bounds`` grown to whole world pixels: (west, south, east, north), west and north inclusive, the others not.

    A point is within these degrees if and only if its world pixel is within the pixels of the corners of ``bounds``.
    """
    west, south, east, north = bounds
    (x0, y1), (x1, y0) = world_pixel(west, south), world_pixel(east, north)
    (w, n), (e, s) = pixel_lonlat(x0, y0), pixel_lonlat(x1 + 1, y1 + 1)
    return float(w), float(s), float(e), float(n)


_SPREAD: Final = (
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)


def _spread(value: Any) -> Any:
    """Put a zero bit before each of the lower 32 bits."""
    for shift, mask in _SPREAD:
        value = (value | (value << shift)) & mask
    return value


def _gather(value: Any) -> Any:
    """Undo :func:`_spread`."""
    value = value & 0x5555555555555555
    for shift, mask in ((1, 0x3333333333333333), (2, 0x0F0F0F0F0F0F0F0F), (4, 0x00FF00FF00FF00FF)):
        value = (value | (value >> shift)) & mask
    value = (value | (value >> 8)) & 0x0000FFFF0000FFFF
    return (value | (value >> 16)) & 0x00000000FFFFFFFF


def interleave(px: Any, py: Any) -> Any:
    """56-bit Morton code of a world pixel: bits of px in the even places, of py in the odd ones."""
    return _spread(px) | (_spread(py) << 1)


def deinterleave(mk: Any) -> tuple[Any, Any]:
    """The world pixel (px, py) of a Morton code."""
    return _gather(mk), _gather(mk >> 1)


@overload
def morton(lon: float, lat: float) -> int: ...
@overload
def morton(lon: Floats, lat: Floats) -> Ints: ...
def morton(lon: Any, lat: Any) -> Any:
    """Morton code of the world pixel of EPSG:4490 degrees: points of one tile have one range (:func:`tile_range`)."""
    px, py = world_pixel(lon, lat)
    return interleave(px, py)


def tile_range(z: int, x: int, y: int) -> tuple[int, int]:
    """The half-open range [low, high) of Morton codes that lie in the Web Mercator tile z/x/y, 0 ≤ z ≤ 28."""
    if not (0 <= z <= WORLD_BITS and 0 <= x < 1 << z and 0 <= y < 1 << z):
        raise ValueError(f"there is no tile {z}/{x}/{y}")
    shift = 2 * (WORLD_BITS - z)
    cell = interleave(x, y)
    return cell << shift, (cell + 1) << shift


@overload
def h3_12(lon: float, lat: float) -> int: ...
@overload
def h3_12(lon: Floats, lat: Floats) -> Ints: ...
def h3_12(lon: Any, lat: Any) -> Any:
    """The h3 cell of resolution 12 (about 300 m²) of finite degrees, as the integer the database stores."""
    if np.ndim(lon) == 0:
        return int(h3.latlng_to_cell(float(lat), float(lon), 12))
    cell = h3.latlng_to_cell
    return np.fromiter((cell(b, a, 12) for a, b in zip(lon.tolist(), lat.tolist(), strict=True)), np.int64, len(lon))
