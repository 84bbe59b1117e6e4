"""The demo town: the same from its seed, tiled exactly, coded by the rules, furnished as streets are."""

import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import shapely
import yaml
from sqlalchemy import func, select, text

from gis import duty, tables, worktime
from gis.db import Connection
from gis.errors import DefinitionBad, GridGap, GridOverlap, NotFound, TownDiffers, TownExists
from gis.geometry import morton
from gis.settings import settings
from gis.town import Town, build, demo_town
from gis.town_check import check_tiling, verify
from gis.town_cut import neighbours, pieces, shared_edges
from gis.town_frame import Frame
from gis.town_grids import BAND
from gis.town_load import is_loaded, load
from gis.town_people import roster
from gis.town_spec import read_spec


@pytest.fixture(scope="module")
def small() -> Town:
    """The town of three villages."""
    return demo_town(small=True)


@pytest.fixture(scope="module")
def full() -> Town:
    """The whole town."""
    return demo_town()


@pytest.fixture(scope="module", params=["small", "full"])
def any_town(request: pytest.FixtureRequest) -> Town:
    """Both towns."""
    found: Town = request.getfixturevalue(request.param)
    return found


def test_two_builds_are_the_same_town(small: Town) -> None:
    again = build(read_spec(small=True))
    assert again.digest == small.digest
    assert again.unit_grids.geometry.to_wkb().tolist() == small.unit_grids.geometry.to_wkb().tolist()


def test_another_seed_is_another_town(small: Town) -> None:
    spec = read_spec(small=True)
    spec.body["seed"] += 1
    assert build(spec).digest != small.digest


def test_the_town_says_it_is_synthetic(any_town: Town) -> None:
    assert any_town.synthetic
    assert "seed" in any_town.source


def test_size_and_place_of_the_full_town(full: Town) -> None:
    grids = full.unit_grids
    assert grids["area_m2"].sum() / 1e6 == pytest.approx(42.0, abs=0.05)
    assert 3500 <= len(grids) <= 4500
    assert len(full.divisions[full.divisions["level"] == "village"]) == 19
    west, south, east, north = grids.total_bounds
    assert west < 116.65 < east
    assert south < 40.11 < north
    assert 95_000 <= len(full.components) <= 110_000
    assert 2500 <= len(full.places) <= 3500


def test_grids_tile_divisions_and_divisions_tile_the_town(any_town: Town) -> None:
    check_tiling(any_town)
    # Said once more without coverage functions: no two grids share land, and together they are the whole.
    cells = any_town.unit_grids.geometry.to_numpy()
    whole = any_town.divisions.set_index("level").loc["township"].geometry
    assert shapely.area(cells).sum() == pytest.approx(whole.area, rel=1e-12)
    left, right = shapely.STRtree(cells).query(cells, predicate="intersects")
    some = left < right
    shared = shapely.area(shapely.intersection(cells[left[some]], cells[right[some]]))
    assert shared.max() < 1e-16  # square degrees; a square millimetre is 1e-16
    assert all(len(cell.interiors) == 0 and cell.is_valid for cell in cells)


def test_a_moved_corner_is_found(small: Town) -> None:
    cells = small.unit_grids.geometry.to_numpy().copy()
    nodes, times = np.unique(shapely.get_coordinates(cells), axis=0, return_counts=True)
    shared = nodes[times >= 4][0]  # where at least three grids meet, inside the town
    k = next(i for i, cell in enumerate(cells) if (shapely.get_coordinates(cell)[1:-1] == shared).all(axis=1).any())
    corners = shapely.get_coordinates(cells[k])
    corners[(corners == shared).all(axis=1)] += 1e-6
    cells[k] = shapely.Polygon(corners)
    with pytest.raises(GridOverlap):
        check_tiling(_with_cells(small, cells))


def test_a_missing_grid_is_found(small: Town) -> None:
    cells = small.unit_grids.geometry.to_numpy().copy()
    first, second = small.unit_grids["village_code"].iloc[[0, -1]]
    assert first != second
    shifted = small.unit_grids.copy()
    shifted.loc[0, "village_code"] = second
    with pytest.raises(GridGap):
        check_tiling(_with_cells(small, cells, shifted))


def _with_cells(town: Town, cells: np.ndarray, grids: object = None) -> Town:
    table = (town.unit_grids if grids is None else grids).copy()  # type: ignore[attr-defined]
    table["geometry"] = cells
    fields = {k: getattr(town, k) for k in Town.__dataclass_fields__ if k not in ("digest", "unit_grids")}
    return Town(**fields, unit_grids=table)


def test_grid_codes_follow_the_rule(any_town: Town) -> None:
    grids = any_town.unit_grids
    assert grids["code"].is_unique
    assert grids["code"].str.fullmatch(r"110113003\d{6}").all()
    assert (grids["code"].str[:12] == grids["village_code"]).all()
    for code, table in grids.groupby("village_code"):
        numbers = table["code"].str[12:].astype(int).tolist()
        assert numbers == list(range(1, len(table) + 1)), code


def test_grids_are_numbered_west_to_east_then_north_to_south(any_town: Town) -> None:
    for _, table in any_town.unit_grids.groupby("village_code"):
        middle = shapely.centroid(_metres(any_town, table.geometry))
        x, y = shapely.get_x(middle), shapely.get_y(middle)
        earlier, later = np.triu_indices(len(table), 1)
        assert (y[later] - y[earlier] < BAND + 0.01).all()
        west = x[later] < x[earlier] - 0.01
        assert (y[later[west]] < y[earlier[west]] + 0.01).all()


def test_duty_grids_are_connected_groups_of_one_village(any_town: Town) -> None:
    cells = any_town.unit_grids.geometry.to_numpy()
    left, right, _ = shared_edges(cells)
    near = neighbours(len(cells), left, right)
    members = any_town.members["duty_grid_code"].to_numpy()
    village = any_town.unit_grids["village_code"].to_numpy()
    assert any_town.members["unit_grid_code"].tolist() == any_town.unit_grids["code"].tolist()
    sizes = []
    for code in any_town.duty_grids["code"]:
        inside = np.flatnonzero(members == code).tolist()
        assert len(pieces(inside, near)) == 1, code
        assert set(village[inside]) == {code[:12]}
        sizes.append(len(inside))
    assert max(sizes) <= 45
    assert np.mean([s >= 25 for s in sizes]) >= (0.9 if len(sizes) > 20 else 0.5)


def test_every_category_is_present_and_drawn_as_its_class(full: Town) -> None:
    drawn = {code: kind for code, _, kind in read_spec().categories}
    assert len(drawn) == 85
    assert set(full.components["category_code"]) == set(drawn)
    expected = full.components["category_code"].map(drawn)
    actual = full.components.geometry.geom_type.map({"Point": "point", "LineString": "line", "Polygon": "polygon"})
    wrong = full.components[actual != expected]
    assert wrong.empty, wrong["name"].unique()


def test_component_codes_and_units(any_town: Town) -> None:
    table = any_town.components
    assert table["code"].is_unique
    assert table["code"].str.fullmatch(r"110113\d{10}").all()
    assert (table["code"].str[6:10] == table["category_code"]).all()
    departments = set(any_town.departments["code"])
    for column in ("competent_unit", "owner_unit", "maintenance_unit"):
        assert set(table[column]) <= departments
    assert set(table["accuracy_class"]) <= {"A", "B", "C"}
    changed = table["changed_on"].notna()
    assert (table["changed_on"][changed] > table["surveyed_on"][changed]).all()


def test_every_component_lies_in_its_grid(any_town: Town) -> None:
    cells = any_town.unit_grids.set_index("code").geometry
    mine = cells.loc[any_town.components["unit_grid_code"]].to_numpy()
    points = shapely.points(any_town.components["lon"], any_town.components["lat"])
    assert shapely.covers(mine, points).all()
    assert (any_town.components["unit_grid_code"].str[:12] == any_town.components["village_code"]).all()


def _metres(town: Town, geometry: object) -> np.ndarray:
    return Frame.at(116.65, 40.11).to_plan(np.asarray(geometry, dtype=object))


def _roads(town: Town, *kinds: str) -> shapely.STRtree:
    wanted = town.basemap[(town.basemap["layer"] == "road") & town.basemap["kind"].isin(kinds)]
    return shapely.STRtree(_metres(town, wanted.geometry))


ALL_WAYS = ("trunk", "main", "secondary", "lane", "track")


@pytest.mark.parametrize(
    ("category", "kinds", "within"),
    [
        ("0118", ALL_WAYS, 12.5),  # street lamps
        ("0104", ("trunk", "main", "secondary"), 11.5),  # rain grates at the kerb
        ("0102", ALL_WAYS, 3.0),  # sewer covers in the carriageway
        ("0402", ALL_WAYS, 14.0),  # trees in rows
        ("0210", ("trunk", "main", "secondary"), 14.0),  # signals
        ("0203", ("trunk", "main"), 15.0),  # bus stops
    ],
)
def test_street_furniture_stands_at_streets(full: Town, category: str, kinds: tuple[str, ...], within: float) -> None:
    table = full.components[full.components["category_code"] == category]
    shapes = _metres(full, table.geometry)
    near, distance = _roads(full, *kinds).query_nearest(shapes, return_distance=True, all_matches=False)
    assert len(near[0]) == len(table)
    assert np.mean(distance <= within) >= 0.95


def test_lamps_keep_their_distance(full: Town) -> None:
    table = full.components[full.components["category_code"] == "0118"]
    shapes = _metres(full, table.geometry)
    _, distance = shapely.STRtree(shapes).query_nearest(shapes, exclusive=True, return_distance=True)
    assert 12 < np.median(distance) < 40


def test_covers_and_trees_do_not_stand_in_houses(full: Town) -> None:
    houses = shapely.STRtree(_metres(full, full.basemap[full.basemap["layer"] == "building"].geometry))
    for category in ("0402", "0118", "0102"):
        table = full.components[full.components["category_code"] == category]
        hit, _ = houses.query(_metres(full, table.geometry), predicate="within")
        assert len(set(hit.tolist())) <= 0.01 * len(table), category


def test_flood_walls_stand_at_the_river(full: Town) -> None:
    river = shapely.union_all(_metres(full, full.basemap[full.basemap["kind"] == "river"].geometry))
    walls = _metres(full, full.components[full.components["category_code"] == "0606"].geometry)
    assert shapely.distance(walls, river).max() < 15


def test_staff_have_scopes_that_exist(any_town: Town) -> None:
    names = [p.username for p in any_town.staff]
    assert len(names) == len(set(names))
    departments, duty = set(any_town.departments["code"]), set(any_town.duty_grids["code"])
    villages = set(any_town.divisions.loc[any_town.divisions["level"] == "village", "code"])
    for person in any_town.staff:
        assert person.department in departments
        for _, scope, code in person.grants:
            known = {"department": code in departments, "duty_grid": code in duty, "village": code in villages}
            assert known.get(scope, code == "")
    led = [code for p in any_town.staff for role, scope, code in p.grants if (role, scope) == ("leader", "village")]
    assert sorted(led) == sorted(villages)
    watched = [code for p in any_town.staff for role, _, code in p.grants if role == "inspector" and code]
    assert sorted(watched) == sorted(duty)
    assert {"admin", "leader", "acceptor6", "shiftleader2", "dispatcher4", "evaluator1", "inspector001"} <= set(names)


@pytest.fixture
def bare(tx: Connection) -> Connection:
    """The migrated database without its town."""
    for name in (
        *("town", "shift", "staff_role", "token", "staff", "department", "component", "survey", "place"),
        *("basemap_feature", "duty_grid_member", "duty_grid", "unit_grid", "division"),
    ):
        tx.execute(tables.metadata.tables[name].delete())
    return tx


def test_load_fills_every_table_and_once_only(bare: Connection, small: Town) -> None:
    tx, day = bare, date(2026, 11, 20)
    assert load(tx, small, today=day)
    for table, rows in (
        (tables.unit_grid, len(small.unit_grids)),
        (tables.duty_grid_member, len(small.members)),
        (tables.component, len(small.components)),
        (tables.place, len(small.places)),
        (tables.basemap_feature, len(small.basemap)),
        (tables.staff, len(small.staff)),
        (tables.division, len(small.divisions)),
    ):
        assert tx.scalar(select(func.count()).select_from(table)) == rows, table.name
    row = tx.execute(select(tables.town)).one()
    assert (row.code, row.synthetic, row.digest) == (small.code, True, small.digest)
    assert tx.scalar(select(func.bool_and(tables.division.c.synthetic)))
    key = tx.execute(select(tables.component.c.mk, tables.component.c.lon, tables.component.c.lat).limit(1)).one()
    assert key.mk == morton(key.lon, key.lat)
    outside = text(
        "select count(*) from component c join unit_grid g on g.code = c.unit_grid_code"
        " where not st_covers(g.geom, st_setsrid(st_point(c.lon, c.lat), 4490))"
    )
    assert tx.scalar(outside) == 0
    assert tx.scalar(select(func.min(tables.shift.c.starts_at))).date() == date(
        2026, 11, 19
    )  # 07:00 in Beijing, in UTC
    assert not load(tx, small, today=day)
    assert is_loaded(tx, read_spec(small=True))
    with pytest.raises(TownExists):
        is_loaded(tx, read_spec())


def test_another_town_is_not_loaded_over(tx: Connection, small: Town) -> None:
    tx.execute(tables.town.update().values(digest="another"))
    with pytest.raises(TownExists):
        load(tx, small)


def test_a_loaded_town_is_what_its_seed_gives(tx: Connection, small: Town) -> None:
    verdict = verify(tx)
    assert verdict.digest == small.digest
    assert (verdict.unit_grids, verdict.components) == (len(small.unit_grids), len(small.components))


@pytest.mark.parametrize(
    ("change", "table"),
    [
        ("update component set lon = lon + 0.0001 where code = (select min(code) from component)", "component"),
        ("delete from component where code = (select max(code) from component)", "component"),
        ("update unit_grid set area_class = 'C' where code = (select min(code) from unit_grid)", "unit_grid"),
        ("update unit_grid set geom = st_translate(geom, 1e-7, 0) where code = (select min(code) from unit_grid)", ""),
        ("update town set digest = 'x'", "town"),
    ],
)
def test_a_changed_town_is_found(tx: Connection, change: str, table: str) -> None:
    tx.execute(text(change))
    with pytest.raises((TownDiffers, GridOverlap)) as refusal:
        verify(tx)
    assert refusal.value.detail.get("table", "") == table


def test_no_town_to_verify(bare: Connection) -> None:
    with pytest.raises(NotFound):
        verify(bare)


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("synthetic",), False, "synthetic"),
        (("ground", "zone_use", "farm", "use", "moon"), 5, "zone_use.farm"),
        (("ground", "hearts", "110113003999"), [0, 0, 1], "hearts"),
        (("components", "0118"), None, "components.0118"),
        (("components", "0118", "along", "every", "motorway"), 5, "components.0118"),
        (("components", "0126", "land", "per_ha", "moon"), 5, "components.0126"),
    ],
)
def test_parameters_that_name_nothing_are_refused(
    tmp_path: Path, path: tuple[str, ...], value: object, where: str
) -> None:
    for kind in ("towns", "departments", "catalogues"):
        shutil.copytree(settings().data_dir / kind, tmp_path / kind)
    file = tmp_path / "towns" / "renhe.yaml"
    body = yaml.safe_load(file.read_text(encoding="utf-8"))
    inner = body
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    file.write_text(yaml.safe_dump(body, allow_unicode=True), encoding="utf-8")
    with pytest.raises(DefinitionBad) as refusal:
        read_spec(data_dir=tmp_path)
    assert refusal.value.detail["where"] == where


def test_the_roster_leaves_no_gap_in_the_duty_plan(small: Town) -> None:
    """Weekends and a long holiday, by the plan and the calendar the town comes with; no weekend to be made up."""
    root = settings().data_dir
    plan = duty.Plan.from_body(yaml.safe_load((root / "duty_plans" / "renhe.yaml").read_text(encoding="utf-8")))
    calendar = worktime.Calendar.from_body(
        yaml.safe_load(next((root / "calendars").glob("*.yaml")).read_text(encoding="utf-8"))
    )
    first, last = date(2026, 9, 21), date(2026, 10, 9)
    own = {p.id: frozenset(p.duty_grids) for p in small.staff}
    turns = [
        duty.Turn(t.staff_id, t.role, t.starts_at, t.ends_at, own[t.staff_id] | ({t.duty_grid} - {None}))
        for t in roster(small.staff, first, days=(last - first).days + 1)
    ]
    grids = sorted(set().union(*own.values()))
    wanted = list(duty.demands(plan, calendar, first, last, grids))
    assert {demand.duty_grid for demand in wanted} == {None, *grids}
    assert any(demand.post.role == "leader" for demand in wanted)
    assert list(duty.gaps(wanted, turns)) == []


def test_an_inspector_is_on_one_shift_a_day_and_off_one_day_a_week(small: Town) -> None:
    turns = roster(small.staff, date(2026, 11, 20), days=14)
    for person in small.staff:
        mine = [t for t in turns if t.staff_id == person.id]
        days = [t.starts_at.date() for t in mine]
        assert len(days) == len(set(days))
        if person.grants[0][0] == "inspector":
            assert len(days) == 12
            assert {t.duty_grid for t in mine} <= set(person.duty_grids)
    hours = {t.starts_at.hour for t in turns}
    assert hours == {7, 8, 14}
    for day in {t.starts_at.date() for t in turns}:
        leaders = [p.id for p in small.staff if p.grants[0][0] == "shift_leader"]
        assert {t.starts_at.hour for t in turns if t.starts_at.date() == day and t.staff_id in leaders} == {7, 14}
