"""Where a basemap's source has our pixels: against the textbook's formulas, one point at a time."""

import math

import numpy as np
import pytest
import yaml
from coord_convert import transform
from hypothesis import given
from hypothesis import strategies as st

from gis import basemaps, errors
from gis.basemaps import SIDE
from gis.settings import settings
from layers import raster

TOWN = (116.55, 40.03, 116.75, 40.17)
SYSTEMS = {"wgs84": lambda lon, lat: (lon, lat), "gcj02": transform.wgs2gcj, "bd09": transform.wgs2bd}


def mercator(lon: float, lat: float, z: int) -> tuple[float, float]:
    around = 256 * 2**z
    y = math.log(math.tan(math.pi / 4 + math.radians(lat) / 2))
    return (lon + 180) / 360 * around, (0.5 - y / (2 * math.pi)) * around


def geographic(lon: float, lat: float, z: int) -> tuple[float, float]:
    degree = 256 * 2**z / 360
    return (lon + 180) * degree, (90 - lat) * degree


MATRICES = {"mercator": mercator, "geographic": geographic}
places = st.tuples(st.floats(TOWN[0], TOWN[2]), st.floats(TOWN[1], TOWN[3]))


@given(places, st.sampled_from(sorted(SYSTEMS)), st.sampled_from(sorted(MATRICES)), st.integers(10, 18), st.data())
def test_every_pixel_is_looked_up_where_the_source_has_its_place(at, crs, matrix, z, data):
    x, y = (int(p // SIDE) for p in mercator(*at, z))
    column, row = data.draw(st.integers(0, 255)), data.draw(st.integers(0, 255))
    px, py = basemaps.where_in_source((z, x, y), crs, matrix)
    # The middle of that pixel by hand, through the point-wise library.
    lon = (x + (column + 0.5) / SIDE) / 2**z * 360 - 180
    lat = math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * (y + (row + 0.5) / SIDE) / 2**z))))
    there = MATRICES[matrix](*SYSTEMS[crs](lon, lat), z)
    assert math.hypot(px[row, column] - there[0], py[row, column] - there[1]) < 1e-3
    back = basemaps.lonlat_of_source(px[row : row + 1, column], py[row : row + 1, column], z, crs, matrix)
    assert (
        math.hypot(*(a - b for a, b in zip(mercator(back[0][0], back[1][0], z), mercator(lon, lat, z), strict=True)))
        < 0.01
    )


@given(places, st.sampled_from(["gcj02", "bd09"]), st.sampled_from(sorted(MATRICES)))
def test_a_mark_in_a_shifted_source_lies_within_a_pixel_of_its_place_at_zoom_18(at, crs, matrix):
    z = 18
    there = MATRICES[matrix](*SYSTEMS[crs](*at), z)

    def tile(column: int, row: int) -> raster.Pixels:
        """A source with one round spot, bright in its middle, at the mark's place in the source's own system."""
        x = (np.arange(SIDE) + 0.5 + column * SIDE - there[0])[None, :]
        y = (np.arange(SIDE) + 0.5 + row * SIDE - there[1])[:, None]
        spot = np.clip(255 * np.exp(-(x**2 + y**2) / 18), 0, 255).astype(np.uint8)
        return np.dstack([spot, spot, spot, np.full_like(spot, 255)])

    ours = mercator(*at, z)
    x, y = (int(p // SIDE) for p in ours)
    found = raster.resampled(*basemaps.where_in_source((z, x, y), crs, matrix), tile)[..., 0].astype(float)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    inside = min(ours[0] % SIDE, SIDE - ours[0] % SIDE, ours[1] % SIDE, SIDE - ours[1] % SIDE)
    if inside > 20:  # the whole spot lies in this tile
        middle = (found * columns).sum() / found.sum(), (found * rows).sum() / found.sum()
        assert math.hypot(middle[0] - ours[0] % SIDE, middle[1] - ours[1] % SIDE) < 0.25
    # Uncorrected it would be hundreds of pixels away: the test would see it.
    if matrix == "mercator":
        assert math.hypot(there[0] - ours[0], there[1] - ours[1]) > 300


def test_a_missing_tile_leaves_a_hole_that_darkens_nothing_beside_it():
    px, py = np.meshgrid(np.arange(SIDE) + 128.25, np.arange(SIDE) + 0.5)
    white = np.full((SIDE, SIDE, 4), 255, np.uint8)
    found = raster.resampled(px, py, lambda column, row: white if column == 0 else None)
    assert (found[..., 3][:, :127] == 255).all()
    assert (found[..., 3][:, 129:] == 0).all()
    assert (found[..., :3][found[..., 3] > 0] == 255).all()


def body(**changed):
    told = yaml.safe_load((settings().data_dir / "basemaps" / "tianditu-vec-c.yaml").read_text("utf-8"))
    return told | changed


def test_addresses_are_filled_in():
    one = basemaps.parse(body())
    assert one.hosts == {"t0.tianditu.gov.cn"}
    assert one.moved
    url = one.address(0, (12, 3375, 1135), "secret")
    assert "TILEMATRIX=12&TILEROW=1135&TILECOL=3375&tk=secret" in url
    flipped = basemaps.parse(
        body(urls=["https://a.example/{z}/{x}/{-y}.png"], token="", matrix="mercator", crs="gcj02")
    )
    assert flipped.address(0, (3, 1, 2), "") == "https://a.example/3/1/5.png"


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"crs": "gcj-02"}, "crs"),
        ({"matrix": "w"}, "matrix"),
        ({"picture": "photo"}, "picture"),
        ({"zooms": [5, 3]}, "zooms"),
        ({"urls": []}, "urls"),
        ({"urls": ["file:///etc/passwd?{z}{x}{y}"], "token": ""}, "urls"),
        ({"urls": ["https://{x}.example/{z}/{y}"], "token": ""}, "urls"),
        ({"urls": ["https://user:pw@a.example/{z}/{x}/{y}"], "token": ""}, "urls"),
        ({"urls": ["https://a.example/{z}/{x}/{y}?{secret}"], "token": ""}, "urls"),
        ({"urls": ["https://a.example/{z}/{x}/{y}"]}, "token"),
        ({"token": ""}, "token"),
        ({"attribution": "天地图"}, "attribution"),
    ],
)
def test_a_bad_definition_is_refused_with_its_place(changed, where):
    with pytest.raises(errors.DefinitionBad) as refused:
        basemaps.parse(body(**changed))
    assert refused.value.detail["where"] == f"tianditu-vec-c.{where}"
