"""Areas somebody selects by: what they hold, against slow and obvious arithmetic; what is wrong with them is said."""

from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod, Transformer

from gis.errors import BadGeometry
from gis.geometry import morton, to_4548
from gis.selection_area import RANGES, area, box, buffer, cover, projected_box

GLOBE = Geod(ellps="GRS80")
LINE = {"type": "LineString", "coordinates": [[116.65, 40.10], [116.66, 40.105], [116.67, 40.10]]}
near = st.tuples(st.floats(116.6, 116.7), st.floats(40.05, 40.15))


@given(st.lists(near, min_size=3, max_size=12, unique=True), st.lists(near, max_size=40))
def test_the_ranges_hold_every_point_of_a_shape_and_are_few(corners, points):
    hull = shapely.convex_hull(shapely.multipoints(corners))
    ranges = cover(hull, hull)
    assert 0 < len(ranges) <= RANGES
    assert all(one.low < one.high for one in ranges)
    assert all(before.high <= after.low for before, after in pairwise(ranges))
    inside = [p for p in points if shapely.intersects(hull, shapely.Point(p))] + list(corners)
    codes = morton(*np.array(inside).T)
    assert all(any(one.low <= code < one.high for one in ranges) for code in codes.tolist())
    for place in points:
        if any(one.whole and one.low <= morton(*place) < one.high for one in ranges):
            assert place in inside


def test_the_ranges_of_a_small_shape_leave_most_of_its_surroundings_out():
    around = shapely.Point(116.65, 40.1).buffer(0.001)
    ranges = cover(around, around)
    held = sum(one.high - one.low for one in ranges)
    assert any(one.whole for one in ranges)
    west, south, east, north = around.bounds
    pixels = np.ptp([morton(x, y) for x in (west, east) for y in (south, north)])
    assert held < pixels


@given(near, st.floats(0.5, 5000), st.floats(0, 360))
def test_a_circle_is_drawn_at_its_radius_on_the_ellipsoid(centre, radius, bearing):
    drawn = area({"type": "circle", "centre": list(centre), "radius_m": radius}).shape
    inside = GLOBE.fwd(*centre, bearing, radius * 0.999)[:2]
    outside = GLOBE.fwd(*centre, bearing, radius * 1.001)[:2]
    assert shapely.intersects(drawn, shapely.Point(inside))
    assert not shapely.intersects(drawn, shapely.Point(outside))


@given(near, st.floats(1, 2000))
def test_a_buffer_is_metres_of_the_projected_plane(place, metres):
    line = shapely.from_geojson('{"type":"LineString","coordinates":[[116.65,40.10],[116.67,40.10]]}')
    flat = shapely.transform(shapely.segmentize(line, 0.001), lambda xy: np.column_stack(to_4548(*xy.T)))
    away = shapely.Point(to_4548(*place)).distance(flat)
    held = shapely.intersects(buffer(line, metres), shapely.Point(place))
    if abs(away - metres) > 0.001 * metres + 0.05:  # a round end is drawn with corners
        assert held == (away < metres)


def test_a_box_of_metres_is_the_same_ground_in_degrees():
    x, y = to_4548(116.65, 40.10)
    shape = projected_box([x, y, x + 2000, y + 1000], "EPSG:4548")
    for dx, dy, held in ((1, 1, True), (1999, 999, True), (1000, 999, True), (1000, 1001, False), (-1, 500, False)):
        lon, lat = _back(x + dx, y + dy)
        assert shapely.intersects(shape, shapely.Point(lon, lat)) == held, (dx, dy)


def _back(x: float, y: float) -> tuple[float, float]:
    return Transformer.from_crs("EPSG:4548", "EPSG:4490", always_xy=True).transform(x, y)


@pytest.mark.parametrize(
    "bounds",
    [
        [float("nan")] * 4,
        [float("-inf"), 0, 1, 2],
        [-1e9, -1e9, 1e9, 1e9],
        [-9e7, -9e7, 9e7, 9e7],
        [1e300] * 4,
        [2, 0, 1, 1],
    ],
)
def test_a_box_no_system_holds_is_refused_before_the_geometry_library_sees_it(bounds):
    """Rings of not-a-numbers have ended the process."""
    with pytest.raises(BadGeometry):
        projected_box(bounds, "EPSG:4548")


def test_a_box_over_the_180th_meridian_is_two():
    both = box([170, -10, -170, 10])
    assert shapely.intersects(both, shapely.Point(175, 0))
    assert shapely.intersects(both, shapely.Point(-175, 0))
    assert not shapely.intersects(both, shapely.Point(0, 0))


BOWTIE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}
FAR = {"type": "LineString", "coordinates": [[-170 + 340 * (i % 2), 0] for i in range(9_000)]}
LONG_NUMBER = 10**400  # JSON has whole numbers of any length
MANY = {"type": "LineString", "coordinates": [[i / 1e3, 0] for i in range(10_001)]}


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({}, "type is one of"),
        ({"type": "star"}, "type is one of"),
        ({"type": "bbox", "bbox": [1, 2, 3]}, "4 numbers"),
        ({"type": "bbox", "bbox": [1, "2", 3, True]}, "4 numbers"),
        ({"type": "bbox", "bbox": [1, 3, 2, 2]}, "south lies north"),
        ({"type": "bbox", "bbox": [40, 116, 41, 117]}, "longitude first"),
        ({"type": "circle", "centre": [116, 40], "radius_m": 0}, "more than 0"),
        ({"type": "circle", "centre": [116, 40], "radius_m": 1e9}, "from 0 to 50000"),
        ({"type": "circle", "centre": [116, 99], "radius_m": 5}, "within 180"),
        ({"type": "circle", "radius_m": 5}, "2 numbers"),
        ({"type": "polygon", "polygon": BOWTIE}, "Self-intersection"),
        ({"type": "polygon", "polygon": LINE}, "Polygon or MultiPolygon"),
        ({"type": "polygon", "polygon": {"type": "Polygon", "coordinates": []}}, "empty"),
        ({"type": "polygon", "polygon": {"type": "Polygon", "coordinates": [[[1, 2]]]}}, "not a GeoJSON"),
        ({"type": "polygon", "polygon": "POLYGON EMPTY"}, "GeoJSON geometry is needed"),
        ({"type": "buffer", "metres": 0, "of": LINE}, "more than 0 metres"),
        ({"type": "buffer", "metres": -5, "of": LINE}, "from 0 to"),
        ({"type": "buffer", "metres": 5, "of": MANY}, "10000 vertices"),
        ({"type": "buffer", "metres": 5, "of": FAR}, "together longer"),
        ({"type": "buffer", "metres": 5}, "GeoJSON geometry is needed"),
        ({"type": "bbox", "bbox": [1, 2, 3, LONG_NUMBER]}, "4 numbers"),
    ],
)
def test_what_is_wrong_is_said(asked, why):
    with pytest.raises(BadGeometry) as refused:
        area(asked)
    assert why in refused.value.detail["why"]
