"""Areas somebody selects by: a box, a polygon, a circle or a buffer as a shape and as conditions. Knows no layer.

Shapes are EPSG:4490 degrees, longitude first. Buffers are made in EPSG:4548 metres, circles on the ellipsoid.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import cos, pi
from typing import Any, Final

import numpy as np
import shapely
from geoalchemy2 import Geography
from geoalchemy2.shape import from_shape
from pyproj import Geod
from sqlalchemy import ColumnElement, and_, cast, func, or_
from sqlalchemy import false as never

from gis.errors import BadGeometry
from gis.geometry import METRIC, WORLD_BITS, deinterleave, pixel_lonlat, to_4490, to_4548
from gis.tables import SRID

Shape = Any
MOST_VERTICES: Final = 10_000
FARTHEST_M: Final = 50_000.0
RANGES: Final = 64
_WIDEST_M: Final = 1e8
_CIRCLE: Final = 256
_STEP_DEGREES: Final = 0.005
"""Longer edges are divided before they are moved to another system, in which they would not be straight."""
_MOST_STEPS: Final = 1_000_000
_PAD_DEGREES: Final = 1e-9
_ELLIPSOID: Final = Geod(a=6378137.0, rf=298.257222101)
_KINDS: Final = ("bbox", "polygon", "circle", "buffer")


@dataclass(frozen=True)
class Area:
    """What is selected by. ``shape`` is what is drawn and measured; a circle (lon, lat, metres) decides by distance."""

    shape: Shape
    circle: tuple[float, float, float] | None = None

    @cached_property
    def _reach(self) -> Shape:
        """A shape that holds the whole area: the polygon drawn for a circle lies inside it."""
        if self.circle is None:
            return self.shape
        lon, lat, radius = self.circle
        return _round(lon, lat, radius / cos(pi / _CIRCLE) * 1.0001 + 0.01)

    def touches(self, geom: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether a geometry in EPSG:4490 touches the area, edge included."""
        near: ColumnElement[bool] = func.ST_Intersects(geom, from_shape(self._reach, SRID))
        if self.circle is None:
            return near
        lon, lat, radius = self.circle
        centre = func.ST_SetSRID(func.ST_MakePoint(lon, lat), SRID)
        on_globe = Geography(srid=SRID)
        return and_(near, func.ST_DWithin(cast(geom, on_globe), cast(centre, on_globe), radius))

    def touches_point(
        self, lon: ColumnElement[Any], lat: ColumnElement[Any], mk: ColumnElement[Any]
    ) -> ColumnElement[bool]:
        """The same of a point, whose Morton code ``mk`` has an index. Only near the edge is the point itself looked at:
        that is quick, and the database can tell how many there will be."""
        ranges = cover(self._reach, self.shape)
        whole, edge = (_among(mk, [one for one in ranges if one.whole is kind]) for kind in (True, False))
        return or_(whole, and_(edge, self.touches(func.ST_SetSRID(func.ST_MakePoint(lon, lat), SRID))))

    def geojson(self) -> dict[str, Any]:
        """The shape as GeoJSON, to a centimetre."""
        found: dict[str, Any] = json.loads(shapely.to_geojson(_snapped(self.shape)))
        return found

    def measured(self) -> dict[str, float]:
        """``area_m2`` and ``perimeter_m`` on the ellipsoid."""
        area, around = _ELLIPSOID.geometry_area_perimeter(self.shape)
        return {"area_m2": round(abs(area), 2), "perimeter_m": round(around, 2)}


def _snapped(shape: Shape) -> Shape:
    """To a decimal a centimetre fine. Rounding may cut a sliver: then the shape as it is."""
    rounded = shapely.transform(shape, lambda xy: np.round(xy, 7))
    return rounded if shapely.is_valid(rounded) else shape


def area(asked: Mapping[str, Any], feature: Shape | None = None) -> Area:
    """The area of a request, in one of the forms of docs/exports.md; ``feature`` is the one a buffer names.

    Raises ``BadGeometry`` with ``why``.
    """
    kind = asked.get("type")
    if kind not in _KINDS:
        raise BadGeometry(why=f"type is one of {', '.join(_KINDS)}")
    if kind == "bbox":
        return Area(box(_numbers(asked.get("bbox"), 4, "bbox")))
    if kind == "circle":
        lon, lat = _numbers(asked.get("centre"), 2, "centre")
        radius = _metres(asked.get("radius_m"), "radius_m")
        if radius <= 0:
            raise BadGeometry(why="radius_m is more than 0")
        _on_earth(np.array([[lon, lat]]))
        return Area(_round(lon, lat, radius), (lon, lat, radius))
    if kind == "polygon":
        shape = geometry(asked.get("polygon"))
        if shapely.get_type_id(shape) not in (3, 6):
            raise BadGeometry(why="polygon is a GeoJSON Polygon or MultiPolygon")
        return Area(shape)
    metres = _metres(asked.get("metres"), "metres")
    return Area(buffer(feature if feature is not None else geometry(asked.get("of")), metres))


def box(bounds: Sequence[float]) -> Shape:
    """The rectangle west, south, east, north; one whose west lies east of its east crosses the 180th meridian."""
    west, south, east, north = bounds
    _on_earth(np.array([[west, south], [east, north]]))
    if south > north:
        raise BadGeometry(why="bbox is west, south, east, north: south lies north of north")
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.union_all([shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)])


def projected_box(bounds: Sequence[float], crs: str) -> Shape:
    """The rectangle x0, y0, x1, y1 (x east) of another system in EPSG:4490: its edges are not straight there."""
    x0, y0, x1, y1 = bounds
    if not (np.abs(bounds) <= _WIDEST_M).all():  # the geometry library does not survive not-a-numbers
        raise BadGeometry(why=f"bbox is 4 numbers of at most {_WIDEST_M:.0f}")
    if x0 > x1 or y0 > y1:
        raise BadGeometry(why="bbox: its corners are reversed")
    dense = shapely.segmentize(shapely.box(x0, y0, x1, y1), max(x1 - x0, y1 - y0, 1.0) / 50)
    return _moved(dense, lambda x, y: to_4490(x, y, crs))


def geometry(given: Any) -> Shape:
    """A GeoJSON geometry as a plain, valid shape. Raises ``BadGeometry``."""
    if not isinstance(given, Mapping):
        raise BadGeometry(why="a GeoJSON geometry is needed")
    try:
        shape = shapely.force_2d(shapely.from_geojson(json.dumps(given)))
    except (shapely.errors.GEOSException, ValueError, TypeError) as error:
        raise BadGeometry(why=f"not a GeoJSON geometry: {str(error)[:200]}") from error
    if shapely.is_empty(shape):
        raise BadGeometry(why="the geometry is empty")
    if shapely.get_num_coordinates(shape) > MOST_VERTICES:
        raise BadGeometry(why=f"more than {MOST_VERTICES} vertices", most=MOST_VERTICES)
    _on_earth(shapely.get_coordinates(shape))
    if not shapely.is_valid(shape):
        raise BadGeometry(why=shapely.is_valid_reason(shape))
    return shape


def buffer(shape: Shape, metres: float) -> Shape:
    """Everything within ``metres`` of a shape, measured in EPSG:4548. Raises ``BadGeometry`` when that is nothing."""
    if shapely.length(shape) > _MOST_STEPS * _STEP_DEGREES:  # ten thousand edges around the world fill the memory
        raise BadGeometry(why=f"its edges are together longer than {_MOST_STEPS * _STEP_DEGREES:.0f} degrees")
    flat = _moved(shapely.segmentize(shape, _STEP_DEGREES), to_4548)
    round_corners = 32 if shapely.get_num_coordinates(flat) < 500 else 8
    grown = shapely.buffer(flat, metres, quad_segs=round_corners)
    if shapely.is_empty(grown):
        raise BadGeometry(why="points and lines need a buffer of more than 0 metres")
    return _moved(grown, lambda x, y: to_4490(x, y, METRIC))


def _moved(shape: Shape, move: Any) -> Shape:
    def there(xy: Any) -> Any:
        moved = np.column_stack(move(xy[:, 0], xy[:, 1]))
        if not np.isfinite(moved).all():
            raise BadGeometry(why=f"outside what {METRIC} can hold")
        return moved

    return shapely.transform(shape, there)


def _round(lon: float, lat: float, radius: float) -> Shape:
    bearings = np.linspace(0.0, 360.0, _CIRCLE, endpoint=False)
    many = np.ones(_CIRCLE)
    x, y, _ = _ELLIPSOID.fwd(lon * many, lat * many, bearings, radius * many)
    return shapely.Polygon(np.column_stack([x, y]))


def _numbers(given: Any, count: int, name: str) -> list[float]:
    right = isinstance(given, list) and len(given) == count
    if not right or not all(isinstance(n, int | float) and not isinstance(n, bool) for n in given):
        raise BadGeometry(why=f"{name} is {count} numbers")
    try:
        return [float(n) for n in given]
    except OverflowError as error:  # JSON has whole numbers of any length
        raise BadGeometry(why=f"{name} is {count} numbers") from error


def _metres(given: Any, name: str) -> float:
    (metres,) = _numbers([given], 1, name)
    if not 0 <= metres <= FARTHEST_M:
        raise BadGeometry(why=f"{name} is from 0 to {FARTHEST_M:.0f}")
    return metres


def _on_earth(places: Any) -> None:
    if not (np.isfinite(places).all() and (np.abs(places) <= (180.0, 90.0)).all()):
        raise BadGeometry(why="longitudes are within 180 and latitudes within 90 degrees, longitude first")


def within(shape: Shape, mk: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a point may lie in a shape, by its indexed Morton code: never false for one that does."""
    return _among(mk, cover(shape, shape))


def _among(mk: ColumnElement[Any], ranges: "Sequence[Range]") -> ColumnElement[bool]:
    return or_(never(), *(and_(mk >= one.low, mk < one.high) for one in ranges))


@dataclass(frozen=True)
class Range:
    """Morton codes [low, high); ``whole``: every point that has one lies in the shape."""

    low: int
    high: int
    whole: bool


def cover(reach: Shape, inner: Shape, most: int = RANGES) -> list[Range]:
    """At most ``most`` ascending ranges of Morton codes (``gis.geometry.morton``) that hold every point of ``reach``:
    cells of the world, divided for as long as they are few and not wholly in ``inner``."""
    shapely.prepare(reach)
    shapely.prepare(inner)
    whole: list[tuple[int, int]] = []
    cells, z = np.zeros(1, np.int64), 0
    while z < WORLD_BITS and len(cells):
        parts = (cells[:, None] * 4 + np.arange(4)).reshape(-1)
        size = 1 << (WORLD_BITS - z - 1)
        px, py = (axis << (WORLD_BITS - z - 1) for axis in deinterleave(parts))
        (left, top), (right, bottom) = pixel_lonlat(px, py), pixel_lonlat(px + size, py + size)
        pad = _PAD_DEGREES
        boxes = shapely.box(left - pad, bottom - pad, right + pad, top + pad)
        touched, held = shapely.intersects(reach, boxes), shapely.covers(inner, boxes)
        if touched.sum() + len(whole) > most:
            break
        cells, z = parts[touched & ~held], z + 1
        whole += [(code, z) for code in parts[held].tolist()]
    found = [(*_codes(code, level), True) for code, level in whole]
    found += [(*_codes(code, z), False) for code in cells.tolist()]
    ranges: list[Range] = []
    for low, high, kind in sorted(found):
        if ranges and (ranges[-1].high, ranges[-1].whole) == (low, kind):
            low = ranges.pop().low
        ranges.append(Range(low, high, kind))
    return ranges


def _codes(cell: int, z: int) -> tuple[int, int]:
    width = 2 * (WORLD_BITS - z)
    return cell << width, cell + 1 << width
