"""Lengths and areas against formulas that share nothing with the library: Vincenty's, and an equal-area projection."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer
from shapely import Polygon

from gis import errors, measuring

A, F = 6378137.0, 1 / 298.257222101
town = st.tuples(st.floats(116.55, 116.75), st.floats(40.03, 40.17))


def vincenty(one, other):
    """The inverse formula of 1975, to convergence."""
    b = A * (1 - F)
    u1, u2 = (math.atan((1 - F) * math.tan(math.radians(p[1]))) for p in (one, other))
    span = lam = math.radians(other[0] - one[0])
    for _ in range(200):
        sin_sigma = math.hypot(
            math.cos(u2) * math.sin(lam), math.cos(u1) * math.sin(u2) - math.sin(u1) * math.cos(u2) * math.cos(lam)
        )
        if sin_sigma == 0:
            return 0.0
        cos_sigma = math.sin(u1) * math.sin(u2) + math.cos(u1) * math.cos(u2) * math.cos(lam)
        sigma = math.atan2(sin_sigma, cos_sigma)
        alpha = math.cos(u1) * math.cos(u2) * math.sin(lam) / sin_sigma
        cos2 = 1 - alpha**2
        middle = cos_sigma - 2 * math.sin(u1) * math.sin(u2) / cos2
        c = F / 16 * cos2 * (4 + F * (4 - 3 * cos2))
        turn = middle + c * cos_sigma * (-1 + 2 * middle**2)
        before, lam = lam, span + (1 - c) * F * alpha * (sigma + c * sin_sigma * turn)
        if abs(lam - before) < 1e-13:
            break
    k = cos2 * (A**2 - b**2) / b**2
    big_a = 1 + k / 16384 * (4096 + k * (-768 + k * (320 - 175 * k)))
    big_b = k / 1024 * (256 + k * (-128 + k * (74 - 47 * k)))
    fine = cos_sigma * (-1 + 2 * middle**2) - big_b / 6 * middle * (-3 + 4 * sin_sigma**2) * (-3 + 4 * middle**2)
    return b * big_a * (sigma - big_b * sin_sigma * (middle + big_b / 4 * fine))


@given(st.lists(town, min_size=2, max_size=8))
def test_a_line_is_as_long_as_vincenty_says(points):
    found = measuring.measure(points)
    legs = [vincenty(a, b) for a, b in pairwise(points)]
    assert found.legs == pytest.approx(legs, abs=1e-3)
    assert found.length_m == pytest.approx(sum(legs), abs=1e-2)
    # Within the zone of EPSG:4548 the plane stretches by less than two in ten thousand here.
    assert found.plane_length_m == pytest.approx(found.length_m, rel=2e-4, abs=1e-3)
    assert found.area_m2 is None


@given(st.integers(3, 12), st.floats(50, 4000), st.floats(0, 360), town)
def test_an_area_is_what_an_equal_area_projection_says(corners, radius, turned, middle):
    ring = []
    for i in range(corners):
        angle = math.radians(turned + 360 / corners * i)
        reach = radius * (0.5 if i % 2 else 1) / 100_000
        ring.append((middle[0] + reach * math.sin(angle), middle[1] + reach * math.cos(angle)))
    lon, lat = middle
    to_equal = Transformer.from_crs(
        "EPSG:4490", f"+proj=laea +lat_0={lat} +lon_0={lon} +ellps=GRS80", always_xy=True
    ).transform
    flat = Polygon([to_equal(*p) for p in ring]).area
    found = measuring.measure(ring, closed=True)
    assert found.area_m2 == pytest.approx(flat, rel=1e-4, abs=1)
    assert found.plane_area_m2 == pytest.approx(flat, rel=4e-4, abs=1)
    assert len(found.legs) == corners


def test_a_ring_that_crosses_itself_has_no_area():
    found = measuring.measure([(116.6, 40.1), (116.61, 40.11), (116.61, 40.1), (116.6, 40.11)], closed=True)
    assert found.crossing
    assert found.area_m2 is None
    assert found.length_m > 4000


def test_less_than_a_line_measures_nothing_and_nonsense_is_refused():
    assert measuring.measure([(116.6, 40.1)]).length_m == 0
    assert measuring.measure([], closed=True).area_m2 is None
    assert measuring.measure([(116.6, 40.1), (116.6, 40.1)]).bearing is None
    with pytest.raises(errors.Malformed):
        measuring.measure([(116.6, 40.1), (216.6, 40.1)])
    with pytest.raises(errors.Malformed):
        measuring.measure([(116.6, 40.1)] * (measuring.MOST + 1))


@given(town, st.floats(1, 50_000))
def test_a_circle_is_everywhere_as_far_from_its_middle(middle, radius):
    ring = measuring.circle(*middle, radius)
    assert ring[0] == ring[-1]
    assert all(vincenty(middle, p) == pytest.approx(radius, abs=1e-3) for p in ring[::9])
    assert Polygon(ring).exterior.is_ccw
