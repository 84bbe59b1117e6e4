"""The areas in force: facts of a place, what is outside, validity, and the process's cache."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import shapely
from sqlalchemy import Connection, delete, insert, text, update

from gis import areas as module
from gis.areas import Areas, Grid, PlaceFacts, areas
from gis.errors import NotCovered, NullIsland, OutsideTown, SwappedAxes, Unavailable, WrongCrs
from gis.tables import division, duty_grid, duty_grid_member, town, unit_grid

WEST, SOUTH, STEP = 116.60, 40.08, 0.01
OLD = date(2024, 1, 1)


def beijing_today() -> date:
    return datetime.now(ZoneInfo("Asia/Shanghai")).date()


def square(column: int, row: int, width: int = 1) -> shapely.Polygon:
    west, south = round(WEST + column * STEP, 6), round(SOUTH + row * STEP, 6)
    return shapely.box(west, south, round(west + width * STEP, 6), round(south + STEP, 6))


def code(column: int, row: int) -> str:
    return f"110113003{column:03d}{row:03d}"


@pytest.fixture
def small_town(tx: Connection) -> Connection:
    """Four columns of three squares in two villages; the last square of the outline has no grid."""
    for table in (duty_grid_member, duty_grid, unit_grid, division, town):
        tx.execute(delete(table))
    tx.execute(
        insert(town).values(
            code="110113003", name="小镇（合成）", number_prefix="XZ", synthetic=True, catalogue="cjt214-2007"
        )
    )

    def wkt(shape: shapely.Geometry) -> str:
        return f"SRID=4490;{shapely.to_wkt(shape, rounding_precision=-1)}"

    outline = shapely.MultiPolygon([shapely.union_all([square(c, r) for c in range(4) for r in range(3)])])
    tx.execute(
        insert(division).values(
            code="110113003000",
            level="township",
            name="小镇",
            short_name="小镇",
            synthetic=True,
            valid_from=OLD,
            geom=wkt(outline),
        )
    )
    cells = [(c, r) for c in range(4) for r in range(3) if (c, r) != (3, 2)]
    tx.execute(
        insert(unit_grid),
        [
            {
                "code": code(c, r),
                "village_code": f"11011300320{c // 2}",
                "area_class": "ABC"[r],
                "area_m2": 1.0,
                "valid_from": OLD,
                "valid_to": None,
                "geom": wkt(square(c, r)),
            }
            for c, r in cells
        ],
    )
    tx.execute(
        insert(duty_grid).values(
            code="110113003200D01",
            name="一号责任网格",
            village_code="110113003200",
            valid_from=OLD,
            geom=wkt(shapely.MultiPolygon([square(0, 0, 2)])),
        )
    )
    tx.execute(
        insert(duty_grid_member),
        [{"unit_grid_code": code(c, 0), "duty_grid_code": "110113003200D01"} for c in (0, 1)],
    )
    return tx


def test_facts_of_a_place(small_town: Connection) -> None:
    here = areas(small_town)
    assert here.at(116.615, 40.085) == PlaceFacts("110113003200", code(1, 0), "110113003200D01", "A")
    assert here.at(116.635, 40.095) == PlaceFacts("110113003201", code(3, 1), "", "B")
    assert here.at(116.61, 40.09) == PlaceFacts("110113003200", code(0, 0), "110113003200D01", "A")  # four meet here
    found = here.locate(np.array([116.615, 116.635, 0.0]), np.array([40.085, 40.095, 0.0]))
    assert here.codes[found[:2]].tolist() == [code(1, 0), code(3, 1)]
    assert here.villages[found[:2]].tolist() == ["110113003200", "110113003201"]
    assert here.duty_grids[found[:2]].tolist() == ["110113003200D01", ""]
    assert here.area_classes[found[:2]].tolist() == ["A", "B"]
    assert found[2] == -1
    assert here.facts(int(found[0])).unit_grid_code == code(1, 0)
    assert here.bounds == pytest.approx((116.60, 40.08, 116.64, 40.11))


def test_every_corner_and_middle_of_the_demo_town_is_where_postgis_says(tx: Connection) -> None:
    """Three and more grids meet at a corner: the lowest code has it."""
    rows = tx.execute(
        text(
            """with place as (
                 select (ST_DumpPoints(geom)).geom from unit_grid
                 union all select ST_PointOnSurface(geom) from unit_grid)
               select ST_X(p.geom), ST_Y(p.geom), min(g.code), count(*)
               from (select distinct geom from place) p join unit_grid g on ST_Covers(g.geom, p.geom)
               group by p.geom"""
        )
    ).all()
    lon, lat, codes, meeting = map(np.array, zip(*rows, strict=True))
    here = areas(tx)
    assert here.codes[here.locate(lon, lat)].tolist() == codes.tolist()
    assert (meeting >= 3).sum() > 50
    for x, y, code, *_ in rows[::7]:
        assert here.at(x, y).unit_grid_code == code


@pytest.mark.parametrize(
    ("lon", "lat", "problem"),
    [
        (116.635, 40.105, NotCovered),
        (116.65, 40.09, OutsideTown),
        (0.0, 0.0, NullIsland),
        (40.09, 116.61, SwappedAxes),
        (471012.7, 4441798.4, WrongCrs),
    ],
)
def test_no_place_of_the_town(small_town: Connection, lon: float, lat: float, problem: type[Exception]) -> None:
    with pytest.raises(problem):
        areas(small_town).at(lon, lat)


def test_a_point_in_the_bounds_but_not_in_the_outline_is_outside() -> None:
    corner = shapely.Polygon([(0, 0), (4, 0), (0, 4)])
    grid = Grid("110113003200001", "110113003200", "A", "", OLD, None, corner)
    with pytest.raises(OutsideTown):
        Areas([grid], OLD).at(3.5, 3.5)
    assert Areas([grid], OLD).at(1.0, 1.0).unit_grid_code == "110113003200001"


def test_only_grids_in_force_count_and_the_span_is_known() -> None:
    day = date(2026, 11, 20)
    split = date(2026, 12, 1)
    grids = [
        Grid("110113003200001", "110113003200", "A", "", OLD, split, square(0, 0, 2)),
        Grid("110113003200002", "110113003200", "A", "", split, None, square(0, 0)),
        Grid("110113003200003", "110113003200", "A", "", split, None, square(1, 0)),
    ]
    today = Areas(grids, day)
    assert today.codes.tolist() == ["110113003200001"]
    assert (today.valid_from, today.valid_to) == (OLD, split)
    later = Areas(grids, split)
    assert later.codes.tolist() == ["110113003200002", "110113003200003"]
    assert (later.valid_from, later.valid_to) == (split, None)
    assert later.at(116.605, 40.085).unit_grid_code == "110113003200002"
    assert today.at(116.605, 40.085).unit_grid_code == "110113003200001"


def test_the_cache_follows_the_version_of_the_areas(small_town: Connection) -> None:
    first = areas(small_town)
    assert areas(small_town) is first
    small_town.execute(update(unit_grid).where(unit_grid.c.code == code(0, 0)).values(area_class="C"))
    small_town.execute(update(town).values(areas_version=town.c.areas_version + 1))
    second = areas(small_town)
    assert second is not first
    assert (first.at(116.605, 40.085).area_class, second.at(116.605, 40.085).area_class) == ("A", "C")


def test_the_cache_ends_when_a_grid_ends(small_town: Connection) -> None:
    tomorrow = beijing_today() + timedelta(days=1)
    small_town.execute(update(unit_grid).where(unit_grid.c.code == code(0, 0)).values(valid_to=tomorrow))
    today = areas(small_town)
    assert today.valid_to == tomorrow
    later = Areas.load(small_town, tomorrow)
    assert code(0, 0) not in later.codes.tolist()
    with pytest.raises(NotCovered):
        later.at(116.605, 40.085)


def test_an_expired_set_is_loaded_again(small_town: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = areas(small_town)
    monkeypatch.setattr(stale, "valid_to", beijing_today() - timedelta(days=1))
    assert areas(small_town) is not stale


def test_a_rolled_back_change_leaves_no_trace(small_town: Connection) -> None:
    kept = small_town.begin_nested()
    small_town.execute(update(unit_grid).values(area_class="C"))
    small_town.execute(update(town).values(areas_version=2))
    assert areas(small_town).at(116.605, 40.085).area_class == "C"
    kept.rollback()
    again = small_town.begin_nested()
    small_town.execute(update(town).values(areas_version=2))
    assert areas(small_town).at(116.605, 40.085).area_class == "A"
    again.rollback()


def test_threads_load_once(small_town: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_cached", {})
    ready = Areas.load(small_town)
    loads: list[int] = []
    monkeypatch.setattr(module.Areas, "load", lambda tx: loads.append(1) or ready)

    version = small_town.execute(text("select areas_version, 1 from town")).first()

    class Answering:  # a connection is not for several threads
        engine = small_town.engine

        def execute(self, _: object) -> "Answering":
            return self

        def first(self) -> object:
            return version

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: areas(Answering()), range(32)))  # type: ignore[arg-type]
    assert all(one is ready for one in found)
    assert loads == [1]


def test_without_a_town(tx: Connection) -> None:
    tx.execute(delete(town))
    with pytest.raises(Unavailable):
        areas(tx)
