"""Local coordinate systems: the fit against its own definition, residuals, outliers; property-tested."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gis import errors, geometry
from gis.local_systems import ControlPoint, LocalSystem, fit, outliers, residuals, rms

EAST, NORTH = 471_000.0, 4_441_800.0
LAYOUT = [(0, 0), (4000, 300), (3800, 4100), (150, 3900), (2000, 2100), (900, 3100)]


def turned(turn: float, ppm: float, dx: float, dy: float, layout=LAYOUT) -> list[ControlPoint]:
    """Points whose local coordinates come from the grid ones by a known turn, scale and shift: the oracle."""
    k, c, s = 1 + ppm * 1e-6, math.cos(turn), math.sin(turn)
    points = []
    for n, (e, h) in enumerate(layout):
        # grid = k · R(turn) · local + shift, solved for local by hand
        de, dn = e - dx, h - dy
        points.append(ControlPoint(f"K{n}", (c * de + s * dn) / k, (-s * de + c * dn) / k, EAST + e, NORTH + h))
    return points


@given(
    turn=st.floats(-math.pi, math.pi),
    ppm=st.floats(-200, 200),
    dx=st.floats(-5e4, 5e4),
    dy=st.floats(-5e4, 5e4),
    method=st.sampled_from(["helmert", "affine"]),
)
@settings(max_examples=60, deadline=None)
def test_a_known_transformation_is_found_again(turn, ppm, dx, dy, method) -> None:
    points = turned(turn, ppm, dx, dy)
    found = fit(points, method)
    assert rms(residuals(found, points, [True] * len(points))) < 1e-5
    assert abs(found.scale_ppm - ppm) < 1e-2
    apart = (found.turn_seconds / 3600 - math.degrees(turn) + 180) % 360 - 180
    assert abs(apart) < 1e-7
    # A point that took no part goes where the same formula puts it.
    extra = turned(turn, ppm, dx, dy, [(1234.5, 987.6)])[0]
    east, north = found.apply([extra.x], [extra.y])
    assert math.hypot(east[0] - extra.east, north[0] - extra.north) < 1e-4


@given(noise=st.lists(st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)), min_size=6, max_size=6))
@settings(max_examples=40, deadline=None)
def test_no_small_change_of_the_parameters_leaves_less(noise) -> None:
    points = [
        ControlPoint(p.name, p.x + dx, p.y + dy, p.east, p.north)
        for p, (dx, dy) in zip(turned(0.3, 20, 0, 0), noise, strict=True)
    ]
    for method in ("helmert", "affine"):
        found = fit(points, method)
        best = sum(r.metres**2 for r in residuals(found, points, [True] * 6))
        for step in (1e-6, -1e-6):
            a, b = found.matrix[0, 0], found.matrix[1, 0]
            other = np.array([[a + step, -b], [b, a + step]]) if method == "helmert" else found.matrix + step
            changed = type(found)(method, other, found.middle, found.shift, found.redundancy)
            assert sum(r.metres**2 for r in residuals(changed, points, [True] * 6)) >= best - 1e-9
        # An affine fit has more freedom: it never leaves more.
    affine, helmert = (rms(residuals(fit(points, method), points, [True] * 6)) for method in ("affine", "helmert"))
    assert affine <= helmert + 1e-9


@given(wrong=st.integers(0, 5), by=st.floats(1, 500), way=st.floats(0, 6.28))
@settings(max_examples=40, deadline=None)
def test_the_point_that_is_wrong_is_named(wrong, by, way) -> None:
    points = turned(0.1, 10, 300, 200)
    p = points[wrong]
    points[wrong] = ControlPoint(p.name, p.x + by * math.cos(way), p.y + by * math.sin(way), p.east, p.north)
    assert outliers(points, "helmert", 0.1) == [p.name]
    assert outliers(turned(0.1, 10, 300, 200), "helmert", 0.1) == []


def body(points: list[ControlPoint], **more) -> dict:
    return {
        "code": "renhe-1980",
        "name": {"zh": "仁和独立坐标系", "en": "Renhe local grid"},
        "points": [{"name": p.name, "x": p.x, "y": p.y, "east": p.east, "north": p.north} for p in points],
        **more,
    }


def test_a_system_tells_its_residuals_and_leads_to_the_stored_system() -> None:
    points = turned(0.02, 15, 100, -50)
    system = LocalSystem.from_body(body(points))
    told = system.report()
    assert (told["redundancy"], told["within"], told["outliers"], told["swapped"]) == (8, True, [], False)
    lon, lat = system.to_4490([points[2].x], [points[2].y])
    assert np.allclose((lon[0], lat[0]), geometry.to_4490(points[2].east, points[2].north, geometry.METRIC), atol=1e-9)
    out = body(points)
    out["points"][4]["x"] += 3.0
    out["points"][4]["use"] = False
    told = LocalSystem.from_body(out).report()
    assert [p["used"] for p in told["points"]] == [True, True, True, True, False, True]
    assert told["points"][4]["metres"] == pytest.approx(3.0, rel=1e-3)
    assert told["rms_m"] < 1e-5


def test_exchanged_axes_are_seen() -> None:
    points = [ControlPoint(p.name, p.y, p.x, p.east, p.north) for p in turned(0.02, 15, 100, -50)]
    told = LocalSystem.from_body(body(points)).report()
    assert told["swapped"]
    assert not told["within"]


@pytest.mark.parametrize(
    ("points", "method"),
    [
        (turned(0, 0, 0, 0)[:1], "helmert"),
        (turned(0, 0, 0, 0)[:2], "affine"),
        (turned(0, 0, 0, 0, [(0, 0), (100, 100), (300, 300)]), "affine"),
        (turned(0, 0, 0, 0, [(5, 5), (5, 5)]), "helmert"),
        (turned(0, 0, 0, 0), "magic"),
    ],
)
def test_what_cannot_be_fitted_is_refused(points, method) -> None:
    with pytest.raises(errors.DefinitionBad):
        LocalSystem.from_body(
            {**body([]), "points": [vars(p) | {"name": f"P{n}"} for n, p in enumerate(points)], "method": method}
        )
