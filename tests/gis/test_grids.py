"""Unit grids: the code rule, topology as a set, and landing whole or not at all."""

from datetime import datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod
from sqlalchemy import delete, func, select

from gis import areas, errors, grids, imports
from gis.db import Connection
from gis.search import ZONE
from gis.tables import component, division, duty_grid, duty_grid_member, shift, town, unit_grid
from gis.town_plain import plain_town

TOWN, VILLAGE = "990000001", "990000001001"
TODAY = datetime.now(ZONE).date()
WEST, SOUTH = 116.60, 40.10
STEP = 0.001


def cell(column: int, row: int, width: float = 1.0, height: float = 1.0) -> Any:
    west, south = WEST + column * STEP, SOUTH + row * STEP
    return shapely.box(west, south, west + width * STEP, south + height * STEP)


def block(columns: int, rows: int) -> Any:
    return np.array([cell(c, r) for r in range(rows) for c in range(columns)], dtype=object)


# --- Pure -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "village", "fault"),
    [
        ("990000001001001", "990000001001", None),
        ("99000000100100", "990000001001", "15 digits"),
        ("99000000100100A", "990000001001", "15 digits"),
        ("110113003001001", "110113003001", "town's"),
        ("990000001002001", "990000001001", "village"),
        ("990000001001000", "990000001001", "001"),
    ],
)
def test_the_grid_code_rule(code: str, village: str, fault: str | None) -> None:
    found = grids.code_fault(code, village, TOWN)
    assert (found is None) if fault is None else (found is not None and fault in found[1])


@given(st.floats(100, 130), st.floats(5, 55), st.floats(0.0005, 0.01), st.floats(0.0005, 0.01))
@settings(max_examples=50)
def test_areas_equal_the_geodesic_ones(lon: float, lat: float, width: float, height: float) -> None:
    polygon = shapely.box(lon, lat, lon + width, lat + height)
    expected, _ = Geod(ellps="GRS80").geometry_area_perimeter(shapely.segmentize(polygon, width / 20))
    assert grids.area_m2(np.array([polygon]))[0] == pytest.approx(abs(expected), rel=1e-5)


def test_a_tiling_has_no_overlap_and_no_gap() -> None:
    polygons = block(6, 5)
    villages = np.full(30, VILLAGE, dtype=object)
    assert grids.overlaps(polygons) == []
    assert grids.gaps(polygons, villages, {VILLAGE: cell(0, 0, 6, 5)}) == []
    assert grids.gaps(polygons, villages, {}) == []
    assert not grids.outside(polygons, villages, {VILLAGE: cell(0, 0, 6, 5)}).any()


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(1, 3), st.integers(1, 3)), max_size=12))
@settings(max_examples=60)
def test_overlaps_equal_counting_unit_squares(rectangles: list[tuple[int, int, int, int]]) -> None:
    polygons = np.array([cell(*rectangle) for rectangle in rectangles], dtype=object)
    squares = [{(c + i, r + j) for i in range(w) for j in range(h)} for c, r, w, h in rectangles]
    expected = {(a, b) for a in range(len(squares)) for b in range(a + 1, len(squares)) if squares[a] & squares[b]}
    assert {(pair.first, pair.second) for pair in grids.overlaps(polygons)} == expected


def test_gaps_are_found_with_their_size_and_place() -> None:
    polygons = np.delete(block(5, 5), 12)
    villages = np.full(24, VILLAGE, dtype=object)
    one = grids.area_m2(np.array([cell(2, 2)]))[0]
    for lands in ({}, {VILLAGE: cell(0, 0, 5, 5)}):
        (gap,) = grids.gaps(polygons, villages, lands)
        assert gap.m2 == pytest.approx(one, rel=1e-6)
        assert cell(2, 2).contains(shapely.Point(gap.lon, gap.lat))
    (gap,) = grids.gaps(block(5, 5), np.full(25, VILLAGE, dtype=object), {VILLAGE: cell(0, 0, 6, 5)})
    assert gap.m2 == pytest.approx(5 * one, rel=1e-4)


def test_land_of_others_is_noticed() -> None:
    beyond = grids.outside(block(3, 1), np.full(3, VILLAGE, dtype=object), {VILLAGE: cell(0, 0, 2.5, 1)})
    assert beyond[:2].tolist() == [0.0, 0.0]
    assert beyond[2] == pytest.approx(grids.area_m2(np.array([cell(2, 0)]))[0] / 2, rel=1e-4)


def test_neighbours_share_a_line_not_a_corner() -> None:
    assert grids.adjacent(block(2, 2)) == [[1, 2], [0, 3], [0, 3], [1, 2]]


# --- Landing ----------------------------------------------------------------------------------------------------


@pytest.fixture
def plain(tx: Connection) -> Connection:
    """A plain town of 12 × 8 squares in one village."""
    for table in (component, duty_grid_member, duty_grid, unit_grid, division, shift, town):
        tx.execute(delete(table))
    bounds = (116.600, 40.100, 116.612, 40.106)
    drawn = plain_town(tx, bounds, side_m=100.0, margin_m=50.0)
    assert drawn.villages == 1
    return tx


def current(tx: Connection) -> gpd.GeoDataFrame:
    """The village's grids as a survey would deliver them."""
    codes, polygons = grids.in_force(tx, [VILLAGE], TODAY, inside=True)
    return gpd.GeoDataFrame({"code": codes, "area_class": ["B"] * len(codes)}, geometry=polygons, crs=4490)


def save(frame: gpd.GeoDataFrame, path: Path, crs: int = 4490) -> Path:
    frame.to_crs(crs).to_file(path, driver="GPKG")
    return path


def test_a_plain_town_tiles_its_rectangle_and_every_grid_has_a_duty_grid(plain: Connection) -> None:
    frame = current(plain)
    assert grids.overlaps(frame.geometry.to_numpy()) == []
    lands = grids.village_lands(plain, TOWN, TODAY)
    assert grids.gaps(frame.geometry.to_numpy(), np.full(len(frame), VILLAGE, dtype=object), lands) == []
    assert frame["code"].tolist() == [f"{VILLAGE}{k:03d}" for k in range(1, len(frame) + 1)]
    first, second = frame.geometry.iloc[0].centroid, frame.geometry.iloc[1].centroid
    assert first.x < second.x
    assert first.y > frame.geometry.iloc[-1].centroid.y
    loaded = areas.areas(plain)
    assert all(loaded.duty_grids)
    counted = select(func.count()).select_from(duty_grid_member).group_by(duty_grid_member.c.duty_grid_code)
    members = plain.execute(counted).scalars().all()
    assert max(members) <= 45
    shapes = plain.execute(select(func.ST_NumGeometries(duty_grid.c.geom))).scalars().all()
    assert set(shapes) == {1}


def test_a_second_plain_town_is_refused(plain: Connection) -> None:
    with pytest.raises(errors.ImportRefused):
        plain_town(plain, (116.6, 40.1, 116.61, 40.11))


def test_the_same_grids_again_change_nothing(plain: Connection, tmp_path: Path) -> None:
    path = save(current(plain), tmp_path / "g.gpkg")
    before = plain.execute(select(town.c.areas_version)).scalar()
    outcome = imports.import_file(plain, "grids", path, imports.mapping_named("grids"))
    assert (outcome.new, outcome.updated, outcome.unchanged) == (0, 0, outcome.read)
    assert plain.execute(select(town.c.areas_version)).scalar() == before


def test_a_split_retires_the_code_and_opens_two(plain: Connection, tmp_path: Path) -> None:
    frame = current(plain)
    number = len(frame)
    west, south, east, north = frame.geometry.iloc[5].bounds
    halves = [shapely.box(west, south, (west + east) / 2, north), shapely.box((west + east) / 2, south, east, north)]
    codes = [f"{VILLAGE}{number + 1:03d}", f"{VILLAGE}{number + 2:03d}"]
    fresh = gpd.GeoDataFrame({"code": codes, "area_class": "A"}, geometry=halves, crs=4490)
    frame = gpd.GeoDataFrame(gpd.pd.concat([frame.drop(index=5), fresh], ignore_index=True), crs=4490)
    before = areas.areas(plain)
    outcome = imports.import_file(plain, "grids", save(frame, tmp_path / "g.gpkg"), imports.mapping_named("grids"))
    assert (outcome.new, outcome.unchanged, outcome.extra["retired"]) == (2, number - 1, 1)
    after = areas.areas(plain)
    assert after is not before
    place = after.at((west * 3 + east) / 4, (south + north) / 2)
    assert (place.unit_grid_code, place.area_class) == (codes[0], "A")
    assert place.duty_grid_code
    back = current(plain)
    back.loc[len(back) - 1, "code"] = f"{VILLAGE}006"
    with pytest.raises(errors.ImportRefused) as refused:
        imports.import_file(plain, "grids", save(back, tmp_path / "h.gpkg"), imports.mapping_named("grids"))
    assert refused.value.detail["refused_by_code"] == {"grid_code_bad": 1}


def bowtie(frame: gpd.GeoDataFrame) -> None:
    west, south, east, north = frame.geometry.iloc[3].bounds
    ring = [(west, south), (east, north), (east, south), (west, north), (west, south)]
    frame.loc[3, "geometry"] = shapely.Polygon(ring)


def grown(frame: gpd.GeoDataFrame) -> None:
    west, south, east, north = frame.geometry.iloc[3].bounds
    frame.loc[3, "geometry"] = shapely.box(west, south, east + (east - west) / 10, north)


def shrunk(frame: gpd.GeoDataFrame) -> None:
    west, south, east, north = frame.geometry.iloc[3].bounds
    frame.loc[3, "geometry"] = shapely.box(west, south, east - (east - west) / 10, north)


def leaving(frame: gpd.GeoDataFrame) -> None:
    west, south, east, north = frame.geometry.iloc[3].bounds
    frame.loc[3, "geometry"] = shapely.box(west, south, east, north + (north - south) / 10)


def recoded(code: str) -> Any:
    def change(frame: gpd.GeoDataFrame) -> None:
        frame.loc[3, "code"] = code

    return change


@pytest.mark.parametrize(
    ("spoil", "counts"),
    [
        (bowtie, {"bad_geometry": 1}),
        (grown, {"grid_overlap": 2}),
        (shrunk, {"grid_gap": 1}),
        (leaving, {"grid_outside": 1}),
        (recoded("99000000100100"), {"grid_code_bad": 1}),
        (recoded("110113003001004"), {"grid_code_bad": 1}),
        (recoded("990000001002004"), {"grid_code_bad": 1}),
        (recoded("990000001001003"), {"grid_duplicate": 1}),
    ],
)
def test_one_fault_refuses_the_whole_set_by_name(
    plain: Connection, tmp_path: Path, spoil: Any, counts: dict[str, int]
) -> None:
    frame = current(plain)
    spoil(frame)
    path, errors_to = tmp_path / "g.gpkg", tmp_path / "errors.csv"
    frame.to_file(path, driver="GPKG")
    with pytest.raises(errors.ImportRefused) as refused:
        imports.import_file(plain, "grids", path, imports.mapping_named("grids"), errors_to=errors_to)
    assert refused.value.detail["refused_by_code"] == counts
    assert refused.value.detail["errors"][0]["row"] == 4
    assert errors_to.exists()
    ended = plain.execute(select(func.count()).where(unit_grid.c.valid_to.is_not(None))).scalar()
    assert ended == 0


def test_grids_in_a_projected_system_keep_tiling(plain: Connection, tmp_path: Path) -> None:
    """Coordinates that went to EPSG:4548 and back differ in the last digits: less than the tolerance."""
    path = save(current(plain), tmp_path / "g.gpkg", crs=4548)
    outcome = imports.import_file(plain, "grids", path, imports.mapping_named("grids"))
    assert outcome.refused == 0
    assert outcome.new == 0


def test_components_follow_the_grids(plain: Connection, tmp_path: Path) -> None:
    frame = current(plain)
    number = len(frame)
    spot = frame.geometry.iloc[7].centroid
    source = tmp_path / "c.csv"
    source.write_text(f"id,lon,lat\n1,{spot.x},{spot.y}\n")
    mapping = imports.import_mapping.parse(
        "kind: components\nsource: t\ncrs: EPSG:4490\ngeometry: {lon: lon, lat: lat}\nidentifier: {column: id}\n"
        "category: {catalogue: cjt214-2007, constant: 0104}"
    )
    imports.import_file(plain, "components", source, mapping)
    frame.loc[7, "code"] = f"{VILLAGE}{number + 1:03d}"
    outcome = imports.import_file(plain, "grids", save(frame, tmp_path / "g.gpkg"), imports.mapping_named("grids"))
    assert outcome.extra == {"retired": 1, "relocated": 1}
    assert plain.execute(select(component.c.unit_grid_code)).scalar() == f"{VILLAGE}{number + 1:03d}"


def test_the_demo_towns_own_grids_pass_as_a_survey(tx: Connection, tmp_path: Path) -> None:
    rows = tx.execute(
        select(
            unit_grid.c.code,
            unit_grid.c.area_class,
            unit_grid.c.land_use,
            func.ST_AsBinary(unit_grid.c.geom).label("shape"),
        )
    ).all()
    frame = gpd.GeoDataFrame(
        {name: [getattr(row, name) for row in rows] for name in ("code", "area_class", "land_use")},
        geometry=shapely.from_wkb([bytes(row.shape) for row in rows]),
        crs=4490,
    )
    outcome = imports.import_file(tx, "grids", save(frame, tmp_path / "g.gpkg"), imports.mapping_named("grids"))
    assert (outcome.new, outcome.updated, outcome.unchanged) == (0, 0, len(rows))
