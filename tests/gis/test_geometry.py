"""Coordinates: the offset systems, swapped and wrongly declared values, distances, Morton ranges."""

import json
import math

import numpy as np
import pytest
from coord_convert import transform as package
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import Geod

from gis import geometry
from gis.errors import NullIsland, OutsideTown, Problem, SwappedAxes, UnknownCrs, WrongCrs
from gis.geometry import Verdict

TOWN = (116.60, 40.07, 116.71, 40.15)
town_points = st.tuples(st.floats(TOWN[0], TOWN[2]), st.floats(TOWN[1], TOWN[3]))


def points(
    n: int, bounds: tuple[float, float, float, float] = (73.0, 17.0, 134.0, 53.0)
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(20261120)
    return rng.uniform(bounds[0], bounds[2], n), rng.uniform(bounds[1], bounds[3], n)


# The positions were worked out once by hand on the same published ellipsoid (domain study §4): 117°E is 4548.
def test_metric_system_has_east_first() -> None:
    east, north = geometry.to_4548(116.66, 40.11)
    assert east == pytest.approx(471012.70, abs=0.01)
    assert north == pytest.approx(4441798.37, abs=0.01)
    assert geometry.to_4490(39471012.70, 4441798.37, "EPSG:4527") == pytest.approx((116.66, 40.11), abs=1e-7)
    assert geometry.to_4490(471012.70, 4441798.37, "EPSG:4509") == pytest.approx((116.66, 40.11), abs=1e-7)


@pytest.mark.parametrize(("crs", "forward"), [("GCJ-02", package.wgs2gcj), ("BD-09", package.wgs2bd)])
def test_array_formulas_equal_the_package(crs: str, forward) -> None:  # type: ignore[no-untyped-def]
    lon, lat = points(3000)
    lon, lat = np.append(lon, [0.0, -70.0, 71.9, 140.0]), np.append(lat, [51.0, -30.0, 40.0, 35.0])
    moved = np.stack(geometry.from_4490(lon, lat, crs))
    expected = np.array([forward(a, b) for a, b in zip(lon.tolist(), lat.tolist(), strict=True)]).T
    assert np.abs(moved - expected).max() < 1e-12


@pytest.mark.parametrize("crs", ["GCJ-02", "BD-09", "EPSG:4548", "EPSG:4527", "EPSG:4509", "EPSG:4326"])
def test_round_trip_within_a_millimetre(crs: str) -> None:
    lon, lat = points(3000, TOWN if crs.startswith("EPSG") else (73.0, 17.0, 134.0, 53.0))
    back_lon, back_lat = geometry.to_4490(*geometry.from_4490(lon, lat, crs), crs)
    assert geometry.distance_m(lon, lat, back_lon, back_lat).max() < 0.001
    for i in range(200):
        one = geometry.to_4490(*geometry.from_4490(float(lon[i]), float(lat[i]), crs), crs)
        assert geometry.distance_m(lon[i], lat[i], *one) < 0.001


def test_offset_is_worth_the_trouble() -> None:
    """A point taken as GCJ-02 without conversion would lie in another street."""
    lon, lat = geometry.to_4490(116.65, 40.11, "GCJ-02")
    assert 300 < geometry.distance_m(116.65, 40.11, lon, lat) < 800


@pytest.mark.parametrize(
    ("x", "y", "crs", "problem"),
    [
        (0.0, 0.0, "EPSG:4490", NullIsland),
        (math.nan, 40.1, "EPSG:4490", NullIsland),
        (math.inf, 40.1, "GCJ-02", NullIsland),
        (40.11, 116.65, "GCJ-02", SwappedAxes),
        (4441798.0, 471012.0, "EPSG:4548", SwappedAxes),
        (471012.0, 4441798.0, "EPSG:4490", WrongCrs),
        (39471012.0, 4441798.0, "EPSG:4548", WrongCrs),
        (116.65, 40.11, "EPSG:4548", WrongCrs),
        (116.65, 40.11, "EPSG:999999", UnknownCrs),
        (116.65, 40.11, "百度", UnknownCrs),
    ],
)
def test_impossible_values_are_refused(x: float, y: float, crs: str, problem: type[Problem]) -> None:
    with pytest.raises(problem) as refused:
        geometry.to_4490(x, y, crs)
    json.dumps(refused.value.body(), allow_nan=False)
    if problem is not UnknownCrs:
        lon, lat = geometry.to_4490(np.array([x]), np.array([y]), crs)
        assert bool(np.isnan(lon[0]) or np.isnan(lat[0])) is (x != 0.0)


@pytest.mark.parametrize(
    "crs",
    [
        *(
            "+proj=longlat +nadgrids=/etc/hostname",
            "+proj=utm +zone=50",
            "https://example.org/crs",
            "urn:ogc:def:crs:OGC::CRS84",
        ),
        *("epsg:4548", "EPSG:4548\n", " EPSG:4548", "EPSG:4548+5773", "EPSG:４５４８", "EPSG:1234567", "", "WGS 84"),
        *("EPSG:4979", "EPSG:4978", "EPSG:9705", "EPSG:5773"),  # three axes, geocentric, compound, heights
    ],
)
def test_only_registry_codes_of_flat_systems_are_taken(crs: str) -> None:
    with pytest.raises(UnknownCrs):
        geometry.to_4490(116.65, 40.11, crs)


def test_other_registered_systems_are_taken() -> None:
    # 500 km east is the central meridian of UTM zone 50; Beijing 1954 differs from CGCS2000 by its datum only.
    assert geometry.to_4490(500_000.0, 4441798.0, "EPSG:32650")[0] == pytest.approx(117.0, abs=1e-9)
    assert geometry.to_4490(116.65, 40.11, "EPSG:4214") == pytest.approx((116.65, 40.11), abs=0.01)


@pytest.mark.parametrize(
    ("lon", "lat", "problem"),
    [
        (0.0, 0.0, NullIsland),
        (math.nan, math.nan, NullIsland),
        (40.11, 116.65, SwappedAxes),
        (471012.7, 4441798.4, WrongCrs),
        (-0.1276, 51.5072, OutsideTown),
        (116.30, 39.99, OutsideTown),
    ],
)
def test_check_point_names_the_mistake(lon: float, lat: float, problem: type[Problem]) -> None:
    with pytest.raises(problem) as refused:
        geometry.check_point(lon, lat, TOWN)
    json.dumps(refused.value.body(), allow_nan=False)


def test_check_point_names_the_system_that_fits() -> None:
    with pytest.raises(WrongCrs) as refused:
        geometry.check_point(471012.7, 4441798.4, TOWN)
    assert refused.value.detail["fits"] == ["EPSG:4548", "EPSG:4509"]
    with pytest.raises(WrongCrs) as refused:
        geometry.check_point(4441798.4, 471012.7, TOWN)
    assert refused.value.detail["fits_swapped"] == ["EPSG:4548", "EPSG:4509"]
    geometry.check_point(116.65, 40.11, TOWN)
    geometry.check_point(TOWN[0], TOWN[3], TOWN)


def test_judge_says_what_is_wrong_row_by_row() -> None:
    x = np.array([116.65, 0.0, np.nan, 40.11, 471012.7, 4441798.4, 121.47, 116.60])
    y = np.array([40.11, 0.0, 40.11, 116.65, 4441798.4, 471012.7, 31.23, 40.07])
    lon, lat, verdict = geometry.judge(x, y, "EPSG:4490", TOWN)
    fine, missing, swapped, wrong, outside = Verdict
    assert verdict.tolist() == [fine, missing, missing, swapped, wrong, wrong, outside, fine]
    assert (lon[0], lat[0]) == (116.65, 40.11)
    _, _, verdict = geometry.judge(x, y, "EPSG:4548", TOWN)
    assert verdict.tolist() == [wrong, missing, missing, wrong, fine, swapped, wrong, wrong]


def test_a_file_is_judged_by_its_middle() -> None:
    lon, lat = points(50, TOWN)
    geometry.check_file(lon, lat, "EPSG:4490", TOWN)
    geometry.check_file(np.append(lon, [0.0, 9.0]), np.append(lat, [0.0, 9.0]), "EPSG:4490", TOWN)
    east, north = geometry.to_4548(lon, lat)
    geometry.check_file(east, north, "EPSG:4548", TOWN)
    with pytest.raises(SwappedAxes):
        geometry.check_file(lat, lon, "EPSG:4490", TOWN)
    with pytest.raises(SwappedAxes):
        geometry.check_file(north, east, "EPSG:4548", TOWN)
    with pytest.raises(WrongCrs) as refused:
        geometry.check_file(east, north, "EPSG:4490", TOWN)
    assert "EPSG:4548" in refused.value.detail["fits"]
    with pytest.raises(WrongCrs):
        geometry.check_file(lon, lat, "EPSG:4548", TOWN)
    with pytest.raises(OutsideTown):
        geometry.check_file(lon - 188.0, lat + 2.0, "EPSG:4490", TOWN)
    with pytest.raises(NullIsland):
        geometry.check_file(np.zeros(5), np.zeros(5), "EPSG:4490", TOWN)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(town_points, town_points)
def test_distance_equals_the_geodesic(a: tuple[float, float], b: tuple[float, float]) -> None:
    exact = Geod(ellps="GRS80").inv(*a, *b)[2]
    assert geometry.distance_m(*a, *b) == pytest.approx(exact, rel=2e-6, abs=1e-6)


# Slow and obvious: the slippy-map formulas, and one bit at a time.
def slow_pixel(lon: float, lat: float) -> tuple[int, int]:
    n = 2**28
    y = (1 - math.log(math.tan(math.radians(lat)) + 1 / math.cos(math.radians(lat))) / math.pi) / 2 * n
    return int((lon + 180) / 360 * n), int(y)


def slow_morton(px: int, py: int) -> int:
    return sum(((px >> i & 1) << 2 * i) | ((py >> i & 1) << 2 * i + 1) for i in range(28))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.floats(-179.9, 179.9), st.floats(-85, 85))
def test_world_pixel_equals_the_slippy_map(lon: float, lat: float) -> None:
    slow, fast = slow_pixel(lon, lat), geometry.world_pixel(lon, lat)
    assert max(abs(slow[0] - fast[0]), abs(slow[1] - fast[1])) <= 1  # the last bit of tan and log
    west, north = geometry.pixel_lonlat(*fast)
    east, south = geometry.pixel_lonlat(fast[0] + 1, fast[1] + 1)
    assert west - 1e-9 <= lon <= east + 1e-9
    assert south - 1e-9 <= lat <= north + 1e-9


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**28 - 1), st.integers(0, 2**28 - 1))
def test_interleaving_bit_by_bit(px: int, py: int) -> None:
    mk = geometry.interleave(px, py)
    assert mk == slow_morton(px, py) < 1 << 56
    assert geometry.deinterleave(mk) == (px, py)
    array = geometry.interleave(np.array([px]), np.array([py]))
    assert array.tolist() == [mk]
    assert [int(part[0]) for part in geometry.deinterleave(array)] == [px, py]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(town_points, st.integers(0, 28))
def test_a_tile_is_one_range(point: tuple[float, float], z: int) -> None:
    px, py = geometry.world_pixel(*point)
    x, y = px >> 28 - z, py >> 28 - z
    low, high = geometry.tile_range(z, x, y)
    assert low <= geometry.morton(*point) < high
    assert high - low == 4 ** (28 - z)
    for dx, dy in ((1, 0), (0, 1), (-1, 0), (0, -1)):
        if 0 <= x + dx < 2**z and 0 <= y + dy < 2**z:
            low, high = geometry.tile_range(z, x + dx, y + dy)
            assert not low <= geometry.morton(*point) < high


def test_keys_of_arrays_equal_keys_of_points() -> None:
    lon, lat = points(500, TOWN)
    one_by_one = [geometry.morton(a, b) for a, b in zip(lon.tolist(), lat.tolist(), strict=True)]
    assert geometry.morton(lon, lat).tolist() == one_by_one
    cells = [geometry.h3_12(a, b) for a, b in zip(lon.tolist(), lat.tolist(), strict=True)]
    assert geometry.h3_12(lon, lat).tolist() == cells
    assert max(cells) < 2**63
    assert geometry.world_pixel(0.0, 90.0)[1] == 0
    assert geometry.world_pixel(180.0, -90.0) == (2**28 - 1, 2**28 - 1)


@pytest.mark.parametrize("tile", [(0, 1, 0), (3, 8, 0), (-1, 0, 0), (29, 0, 0), (5, 0, -1)])
def test_no_such_tile(tile: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no tile"):
        geometry.tile_range(*tile)
