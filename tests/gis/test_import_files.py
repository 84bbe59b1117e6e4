"""Imports into a town: what lands, what is refused and kept, and that nothing is half-written."""

import csv
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import geopandas as gpd
import numpy as np
import pytest
import shapely
from sqlalchemy import delete, func, insert, select, text, update

from gis import cases, components, db, errors, geometry, import_cases, import_runs, imports
from gis.db import Connection
from gis.import_mapping import Mapping, parse
from gis.tables import (
    case,
    case_event,
    component,
    department,
    division,
    duty_grid,
    duty_grid_member,
    import_run,
    quarantine,
    shift,
    town,
    unit_grid,
)
from gis.town_plain import plain_town

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "samples"
SOURCED = """
kind: components
source: trial-census
crs: {crs}
geometry: {{x: x, y: y}}
identifier: {{column: id}}
category: {{catalogue: cjt214-2007, column: art, values: {{a: 0104, b: 0101, c: 9999}}}}
fields:
  competent_unit: {{column: unit, values: {{one: DX1, none: D99}}}}
  unit_grid_code: {{column: grid}}
properties: [note]
"""


def sourced(crs: str = "EPSG:4490") -> Mapping:
    return parse(SOURCED.format(crs=crs))


def sample(name: str) -> Path:
    path = SAMPLES / name
    if not path.exists():
        pytest.skip(f"the sample {name} is not here (../shared/samples)")
    return path


@pytest.fixture
def here(tx: Connection) -> Connection:
    """The small town with an empty register and one department of our own."""
    tx.execute(delete(component))
    tx.execute(insert(department).values(code="DX1", name="试验部门", kind="town_office"))
    return tx


@pytest.fixture
def nowhere(tx: Connection) -> Connection:
    """The definitions without a town."""
    for table in (component, duty_grid_member, duty_grid, unit_grid, division, shift, town):
        tx.execute(delete(table))
    return tx


def cells(tx: Connection, number: int) -> list[tuple[str, float, float]]:
    """(code, lon, lat) of a point inside each of some grids."""
    point = func.ST_PointOnSurface(unit_grid.c.geom)
    rows = tx.execute(
        select(unit_grid.c.code, func.ST_X(point), func.ST_Y(point)).order_by(unit_grid.c.code).limit(number)
    )
    return [(code, lon, lat) for code, lon, lat in rows]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def good_rows(tx: Connection, number: int) -> list[dict[str, Any]]:
    found = cells(tx, number)
    return [
        {"id": f"n{at}", "x": lon, "y": lat, "art": "ab"[at % 2], "unit": "one", "grid": code, "note": f"第{at}个"}
        for at, (code, lon, lat) in enumerate(found)
    ]


def registered(tx: Connection) -> int:
    return int(tx.execute(select(func.count()).select_from(component)).scalar_one())


# --- Components -------------------------------------------------------------------------------------------------


def test_a_census_lands_with_codes_grids_and_properties(here: Connection, tmp_path: Path) -> None:
    rows = good_rows(here, 40)
    path = write(tmp_path / "census.csv", rows)
    errors_to = tmp_path / "errors.csv"
    outcome = imports.import_file(here, "components", path, sourced(), errors_to=errors_to)
    assert (outcome.read, outcome.new, outcome.refused) == (40, 40, 0)
    assert not errors_to.exists()
    codes = components.of_source(here, "trial-census")
    assert sorted(codes) == sorted(row["id"] for row in rows)
    assert codes["n0"] == "1101130104000001"
    assert codes["n1"] == "1101130101000001"
    found = components.get(here, codes["n2"])
    assert (found.unit_grid_code, found.competent_unit, found.properties) == (rows[2]["grid"], "DX1", {"note": "第2个"})
    assert (found.lon, found.lat) == pytest.approx((rows[2]["x"], rows[2]["y"]))
    assert found.name == "雨水箅子"


def test_the_same_file_again_changes_nothing_and_a_changed_row_is_updated(here: Connection, tmp_path: Path) -> None:
    rows = good_rows(here, 10)
    path = write(tmp_path / "census.csv", rows)
    imports.import_file(here, "components", path, sourced())
    again = imports.import_file(here, "components", path, sourced())
    assert (again.new, again.updated, again.unchanged) == (0, 0, 10)
    rows[3]["note"] = "改"
    changed = imports.import_file(here, "components", write(path, rows), sourced())
    assert (changed.new, changed.updated, changed.unchanged) == (0, 1, 9)
    assert registered(here) == 10


def test_every_bad_row_is_named_kept_and_the_rest_lands(here: Connection, tmp_path: Path) -> None:
    rows = good_rows(here, 60)
    rows[1] |= {"x": "", "y": ""}
    rows[2] |= {"x": 0, "y": 0}
    rows[3] |= {"x": rows[3]["y"], "y": rows[3]["x"]}
    rows[4] |= {"x": 100.0}
    rows[5] |= {"art": "z"}
    rows[6] |= {"art": "c"}
    rows[7] |= {"unit": "stranger"}
    rows[8] |= {"unit": "none"}
    rows[9] |= {"grid": rows[0]["grid"]}
    rows[10] |= {"grid": "3333"}
    rows[11] |= {"id": "n0"}
    path, errors_to = write(tmp_path / "census.csv", rows), tmp_path / "errors.csv"
    outcome = imports.import_file(here, "components", path, sourced(), errors_to=errors_to)
    expected = {
        3: "null_island",
        4: "null_island",
        5: "swapped_axes",
        6: "outside_town",
        7: "category_unknown",
        8: "category_unknown",
        9: "department_unknown",
        10: "department_unknown",
        11: "grid_mismatch",
        12: "grid_unknown",
        13: "component_duplicate",
    }
    assert (outcome.read, outcome.new, outcome.refused) == (60, 49, 11)
    assert sum(outcome.refused_by_code.values()) == 11
    with errors_to.open(encoding="utf-8-sig", newline="") as file:
        named = list(csv.DictReader(file))
    assert {int(line["row"]): line["code"] for line in named} == expected
    assert all(line["zh"] and line["en"] for line in named)
    kept = here.execute(
        select(quarantine.c.code, quarantine.c.payload).where(quarantine.c.source == "trial-census")
    ).all()
    assert {row.payload["row"]: row.code for row in kept} == expected
    assert next(row.payload["values"] for row in kept if row.payload["row"] == 12)["grid"] == "3333"
    imports.import_file(here, "components", path, sourced())
    waiting = here.execute(select(func.count()).where(quarantine.c.source == "trial-census")).scalar()
    assert waiting == 11


def test_too_many_bad_rows_refuse_the_file(here: Connection, tmp_path: Path) -> None:
    rows = good_rows(here, 20)
    for row in rows[:5]:
        row["art"] = "z"
    path, errors_to = write(tmp_path / "census.csv", rows), tmp_path / "errors.csv"
    with pytest.raises(errors.ImportRefused) as refused:
        imports.import_file(here, "components", path, sourced(), errors_to=errors_to)
    assert refused.value.detail["refused"] == 5
    assert refused.value.detail["refused_by_code"] == {"category_unknown": 5}
    assert len(errors_to.read_text(encoding="utf-8-sig").splitlines()) == 6
    assert registered(here) == 0
    assert imports.import_file(here, "components", path, sourced(), max_refused=0.25).new == 15


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:4548", "EPSG:4527", "EPSG:4509", "GCJ-02", "BD-09"])
def test_every_declared_system_lands_in_the_grids_it_names(here: Connection, tmp_path: Path, crs: str) -> None:
    rows = good_rows(here, 30)
    x, y = geometry.from_4490(*(np.array([row[key] for row in rows]) for key in ("x", "y")), crs)
    for row, east, north in zip(rows, x.tolist(), y.tolist(), strict=True):
        row |= {"x": repr(east), "y": repr(north)}
    outcome = imports.import_file(here, "components", write(tmp_path / "c.csv", rows), sourced(crs))
    assert (outcome.new, outcome.refused) == (30, 0)


def test_a_wrongly_declared_offset_is_found_by_the_grids(here: Connection, tmp_path: Path) -> None:
    """GCJ-02 is about 500 m off: the points stay in the town, but in no grid they name."""
    rows = good_rows(here, 400)
    west, south, east, north = here.execute(
        select(*(f(func.ST_Extent(unit_grid.c.geom)) for f in (func.ST_XMin, func.ST_YMin, func.ST_XMax, func.ST_YMax)))
    ).one()
    x, y = geometry.from_4490(*(np.array([row[key] for row in rows]) for key in ("x", "y")), "GCJ-02")
    moved = [
        row | {"x": a, "y": b}
        for row, a, b in zip(rows, x.tolist(), y.tolist(), strict=True)
        if west < a < east and south < b < north
    ]
    assert len(moved) >= 40
    with pytest.raises(errors.ImportRefused) as refused:
        imports.import_file(here, "components", write(tmp_path / "c.csv", moved), sourced(), max_refused=1.0)
    assert refused.value.detail["fits"] == ["GCJ-02"]


def exchange_file(tx: Connection, path: Path, number: int = 30, **changes: list[Any]) -> Path:
    """A census in the national exchange form, EPSG:4548, as a GeoPackage."""
    found = cells(tx, number)
    lon, lat = (np.array([cell[at] for cell in found]) for at in (1, 2))
    columns: dict[str, list[Any]] = {
        "ObjID": [f"110113010100{at:04d}" for at in range(1, number + 1)],
        "ObjName": ["上水井盖"] * number,
        "SmallClass": ["上水井盖"] * number,
        "ObjState": ["完好", "破损", ""] * (number // 3),
        "DeptCode1": ["DX1"] * number,
        "BGID": [code for code, _, _ in found],
        "ORDate": ["2024-05-01"] * number,
        "CHDate": [""] * number,
    }
    shapes = shapely.points(*geometry.to_4548(lon, lat))
    gpd.GeoDataFrame(columns | changes, geometry=shapes, crs=4548).to_file(path, driver="GPKG")
    return path


def test_the_exchange_form_with_component_codes(here: Connection, tmp_path: Path) -> None:
    mapping = imports.mapping_named("census-cjt214")
    outcome = imports.import_file(here, "components", exchange_file(here, tmp_path / "c.gpkg"), mapping)
    assert (outcome.new, outcome.refused) == (30, 0)
    assert components.get(here, "1101130101000002").state == "damaged"


def test_component_codes_are_held_to_their_rule(here: Connection, tmp_path: Path) -> None:
    mapping = imports.mapping_named("census-cjt214")
    codes = [f"110113010100{at:04d}" for at in range(1, 31)]
    codes[0], codes[1], codes[2], codes[3] = "11011301010001", "1101080101000002", "1101139901000003", codes[4]
    names, dates = ["上水井盖"] * 30, ["2024-05-01"] * 30
    names[5], dates[6], dates[7] = "安全岛", "2024-07-01", "2027-01-01"
    path = exchange_file(
        here, tmp_path / "c.gpkg", ObjID=codes, SmallClass=names, ORDate=dates, CHDate=["2024-06-01"] * 30
    )
    outcome = imports.import_file(here, "components", path, mapping, max_refused=0.5)
    assert {error.row: error.code for error in outcome.errors} == {
        1: "component_code_bad",
        2: "component_code_bad",
        3: "category_unknown",
        5: "component_duplicate",
        6: "category_mismatch",
        7: "date_order",
        8: "date_bad",
    }
    assert outcome.new == 30 - outcome.refused


def test_a_code_of_another_source_is_not_taken_over(here: Connection, tmp_path: Path) -> None:
    mapping = imports.mapping_named("census-cjt214")
    imports.import_file(here, "components", exchange_file(here, tmp_path / "c.gpkg"), mapping)
    other = parse(Path("data/mappings/census-cjt214.yaml").read_text().replace("source: census", "source: rival"))
    outcome = imports.import_file(here, "components", tmp_path / "c.gpkg", other, max_refused=1.0)
    assert outcome.refused_by_code == {"component_duplicate": 30}
    assert registered(here) == 30


def test_an_ambiguous_code_needs_its_catalogue(here: Connection, tmp_path: Path) -> None:
    """0114 is 无主井盖 in the list of 2007 and 园林井盖 in the framework of 2013."""
    rows = good_rows(here, 5)
    for row in rows:
        row["art"] = "0114"
    text = (
        SOURCED.format(crs="EPSG:4490")
        .replace("catalogue: cjt214-2007, ", "")
        .replace(", values: {a: 0104, b: 0101, c: 9999}", "")
    )
    path = write(tmp_path / "c.csv", rows)
    outcome = imports.import_file(here, "components", path, parse(text), max_refused=1.0)
    assert outcome.refused_by_code == {"category_ambiguous": 5}


# --- Real files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "kind", "mapping"),
    [
        ("catch_basins_cambridge.csv", "components", "cambridge-catch-basins"),
        ("catch_basins_winchester.csv", "components", "winchester-catch-basins"),
        ("service_requests_nyc.csv", "cases", "nyc-service-requests"),
    ],
)
def test_real_files_are_refused_whole_by_renhe(here: Connection, file: str, kind: str, mapping: str) -> None:
    with pytest.raises(errors.ImportRefused) as refused:
        imports.import_file(here, kind, sample(file), imports.mapping_named(mapping))
    detail = refused.value.detail
    assert detail["reason"] == "outside_town"
    assert detail["outside"] == detail["located"] > 3000
    assert f"outside the town: {detail['located']:,} of {detail['located']:,}" in refused.value.title_en
    assert registered(here) == 0


def test_cambridge_lands_in_a_town_drawn_around_it(nowhere: Connection, tmp_path: Path) -> None:
    """5,457 rows; 23 repeat a facility id and 5 say they were changed before they were installed (counted by hand)."""
    path, mapping = sample("catch_basins_cambridge.csv"), imports.mapping_named("cambridge-catch-basins")
    bounds, rows = imports.data_extent(path, mapping)
    assert rows == 5457
    plain_town(nowhere, bounds, side_m=400.0)
    outcome = imports.import_file(nowhere, "components", path, mapping, errors_to=tmp_path / "e.csv")
    assert outcome.counts() == {
        "read": 5457,
        "new": 5429,
        "updated": 0,
        "unchanged": 0,
        "refused": 28,
        "refused_by_code": {"component_duplicate": 23, "date_order": 5},
    }
    assert imports.import_file(nowhere, "components", path, mapping).unchanged == 5429


def test_winchester_lands_through_another_mapping_file(nowhere: Connection) -> None:
    path, mapping = sample("catch_basins_winchester.csv"), imports.mapping_named("winchester-catch-basins")
    bounds, _ = imports.data_extent(path, mapping)
    plain_town(nowhere, bounds, side_m=400.0)
    outcome = imports.import_file(nowhere, "components", path, mapping)
    assert (outcome.read, outcome.new, outcome.refused) == (3006, 3006, 0)
    abandoned = nowhere.execute(select(func.count()).where(component.c.state == "abandoned")).scalar()
    assert abandoned == 44


# --- Cases ------------------------------------------------------------------------------------------------------


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    """The first 60 of New York's requests."""
    lines = sample("service_requests_nyc.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    path = tmp_path / "requests.csv"
    path.write_text("".join(lines[:61]), encoding="utf-8")
    return path


def test_requests_become_cases_once(nowhere: Connection, requests: Path, tmp_path: Path) -> None:
    mapping = imports.mapping_named("nyc-service-requests")
    bounds, _ = imports.data_extent(requests, mapping)
    plain_town(nowhere, bounds, side_m=3000.0)
    outcome = imports.import_file(nowhere, "cases", requests, mapping, errors_to=tmp_path / "e.csv")
    with requests.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    unplaced = {row["Unique Key"] for row in rows if not row["Latitude"]}
    unmapped = {
        row["Unique Key"] for row in rows if row["Complaint Type"] in ("Pet Shop", "Animal Facility - No Permit")
    }
    assert {error.identifier for error in outcome.errors} == unplaced | unmapped
    landed = [row for row in rows if row["Unique Key"] not in unplaced | unmapped]
    assert (outcome.read, outcome.new) == (60, len(landed))
    first = next(row for row in landed if row["Status"] == "Closed")
    stored = nowhere.execute(
        select(case).where(case.c.id == import_cases.case_id("nyc-311", first["Unique Key"]))
    ).one()
    assert (stored.status, stored.channel, stored.category_kind) == ("closed", "hotline", "event")
    assert stored.extra["source_id"] == first["Unique Key"]
    assert stored.description.startswith(first["Complaint Type"])
    assert (stored.closed_at - stored.reported_at).total_seconds() > 0
    closed = nowhere.execute(select(func.count()).where(case.c.status == "closed")).scalar()
    assert closed == sum(row["Status"] == "Closed" for row in landed)
    events = nowhere.execute(select(func.count()).select_from(case_event)).scalar()
    again = imports.import_file(nowhere, "cases", requests, mapping)
    assert (again.new, again.updated, again.unchanged) == (0, 0, len(landed))
    assert nowhere.execute(select(func.count()).select_from(case_event)).scalar() == events


CASES = """
kind: cases
source: other-platform
crs: EPSG:4490
geometry: {x: x, y: y}
identifier: {column: id}
category: {catalogue: cjt214-2007, kind: event, column: art, values: {rubbish: 0102}}
fields:
  reported_at: at
  closed_at: done
  status: {column: state, values: {C: closed, O: open}}
description: "{note}"
"""


def case_rows(tx: Connection) -> list[dict[str, Any]]:
    return [
        {
            "id": f"c{at}",
            "x": lon,
            "y": lat,
            "art": "rubbish",
            "at": "2026-03-02 09:00:00",
            "done": "",
            "state": "O",
            "note": f"第{at}件",
        }
        for at, (_, lon, lat) in enumerate(cells(tx, 10))
    ]


def test_local_times_are_beijing_times_by_default(here: Connection, tmp_path: Path) -> None:
    imports.import_file(here, "cases", write(tmp_path / "c.csv", case_rows(here)), parse(CASES))
    stored = here.execute(select(case).where(case.c.id == import_cases.case_id("other-platform", "c0"))).one()
    assert stored.reported_at.isoformat() == "2026-03-02T01:00:00+00:00"
    assert stored.state == "reported"
    assert stored.department_code


def test_a_case_closed_later_at_its_source_is_closed_here(here: Connection, tmp_path: Path) -> None:
    rows = case_rows(here)
    path = write(tmp_path / "c.csv", rows)
    imports.import_file(here, "cases", path, parse(CASES))
    rows[4] |= {"state": "C", "done": "2026-03-03 10:00:00"}
    again = imports.import_file(here, "cases", write(path, rows), parse(CASES))
    assert (again.new, again.updated, again.unchanged) == (0, 1, 9)
    stored = here.execute(select(case).where(case.c.id == import_cases.case_id("other-platform", "c4"))).one()
    assert (stored.status, stored.seq) == ("closed", 2)


def test_the_same_id_with_other_content_is_a_conflict(here: Connection, tmp_path: Path) -> None:
    rows = case_rows(here)
    path = write(tmp_path / "c.csv", rows)
    imports.import_file(here, "cases", path, parse(CASES))
    rows[2]["note"] = "别的事"
    again = imports.import_file(here, "cases", write(path, rows), parse(CASES))
    assert (again.unchanged, again.refused_by_code) == (9, {"id_conflict": 1})
    assert again.errors[0].identifier == "c2"


def test_dates_of_cases_are_checked(here: Connection, tmp_path: Path) -> None:
    rows = case_rows(here)
    rows[0] |= {"state": "C", "done": "2026-03-01 10:00:00"}
    rows[1] |= {"state": "C"}
    rows[2] |= {"at": "someday"}
    rows[3] |= {"at": ""}
    outcome = imports.import_file(here, "cases", write(tmp_path / "c.csv", rows), parse(CASES), max_refused=0.5)
    assert [(error.row, error.code) for error in outcome.errors] == [
        (2, "date_order"),
        (3, "field_missing"),
        (4, "date_bad"),
        (5, "field_missing"),
    ]
    assert outcome.new == 6


def test_a_case_whose_closing_is_refused_is_not_left_open(
    here: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = case_rows(here)
    rows[0] |= {"state": "C", "done": "2026-03-03 10:00:00"}

    def refuse(*_: Any, **__: Any) -> int:
        raise errors.StaleCase()

    monkeypatch.setattr(cases, "act", refuse)
    outcome = imports.import_file(here, "cases", write(tmp_path / "c.csv", rows), parse(CASES), max_refused=0.5)
    assert (outcome.new, outcome.refused_by_code) == (9, {"stale_case": 1})
    left = here.execute(select(case.c.id).where(case.c.id == import_cases.case_id("other-platform", "c0"))).first()
    assert left is None


def test_an_importer_may_report_and_close_but_nothing_else(here: Connection, tmp_path: Path) -> None:
    imports.import_file(here, "cases", write(tmp_path / "c.csv", case_rows(here)), parse(CASES))
    opened = import_cases.case_id("other-platform", "c1")
    with pytest.raises(errors.RoleForbids):
        cases.act(here, opened, "accept", import_cases.IMPORTER, {})


# --- As a job ---------------------------------------------------------------------------------------------------


def noted(database: Any, path: Path, mapping: str, kind: str = "components") -> UUID:
    run_id = uuid4()
    with db.transaction(database.engine) as tx:
        import_runs.open_run(tx, run_id, kind, "普查.csv", "admin", str(path), mapping)
    return run_id


def told(database: Any, run_id: UUID) -> dict[str, Any]:
    with db.transaction(database.engine) as tx:
        return import_runs.get_run(tx, run_id)


@pytest.fixture
def twenty(database: Any) -> list[dict[str, Any]]:
    with db.transaction(database.engine) as tx:
        rows = good_rows(tx, 20)
    for row in rows:
        row["unit"] = ""
    return rows


def test_a_run_notes_its_end_and_leaves_nothing_of_a_refused_file(database: Any, tmp_path: Path, twenty: Any) -> None:
    with db.transaction(database.engine) as tx:
        before = registered(tx)
    text = SOURCED.format(crs="EPSG:4490")
    path = write(tmp_path / "a.csv", twenty)
    run_id = noted(database, path, text)
    assert imports.run(database.engine, run_id)
    assert not path.exists()
    for row in twenty[:10]:
        row |= {"id": f"{row['id']}-new"}
    for row in twenty[10:]:
        row |= {"id": f"{row['id']}-new", "x": 0, "y": 0}
    path = write(tmp_path / "b.csv", twenty)
    refused_id = noted(database, path, text)
    assert not imports.run(database.engine, refused_id)
    assert not path.exists()
    with db.transaction(database.engine) as tx:
        assert registered(tx) == before + 20
    done, refused = told(database, run_id), told(database, refused_id)
    assert (done["state"], refused["state"]) == ("done", "refused")
    assert (done["file"], done["started_by"], done["counts"]["new"]) == ("普查.csv", "admin", 20)
    assert refused["counts"]["problem"]["code"] == "import_refused"
    assert len(refused["errors"]) == 10
    assert refused["ended_at"] is not None


def test_a_run_with_a_bad_mapping_is_refused(database: Any, tmp_path: Path) -> None:
    run_id = noted(database, tmp_path / "none.csv", "no-such-mapping")
    assert not imports.run(database.engine, run_id)
    assert told(database, run_id)["counts"]["problem"]["code"] == "mapping_bad"
    with pytest.raises(errors.NotFound):
        told(database, uuid4())


def test_a_run_is_done_once_and_taken_up_again_when_its_worker_died(database: Any, tmp_path: Path, twenty: Any) -> None:
    path = write(tmp_path / "a.csv", twenty)
    run_id = noted(database, path, SOURCED.format(crs="EPSG:4490"))
    with db.transaction(database.engine) as tx:
        killed = import_runs.claim(tx, run_id)
    assert killed is not None
    assert not imports.run(database.engine, run_id), "somebody is at it"
    with db.transaction(database.engine) as tx:
        assert import_runs.due(tx) == []
        tx.execute(update(import_run).values(heartbeat=func.now() - import_runs.STALE * 1.1))
        assert import_runs.due(tx) == [(run_id, "running")]
    assert imports.run(database.engine, run_id)
    with db.transaction(database.engine) as tx:
        assert not import_runs.end(tx, killed, "refused", {}, []), "the first attempt has lost its right"
        assert import_runs.due(tx) == []
    assert told(database, run_id)["state"] == "done"
    assert not imports.run(database.engine, run_id), "it has ended"


def test_an_attempt_that_was_overtaken_lands_nothing(
    database: Any, tmp_path: Path, twenty: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.csv", twenty)
    run_id = noted(database, path, SOURCED.format(crs="EPSG:4490"))
    really = imports.import_file

    def held_up(*arguments: Any, **options: Any) -> Any:
        outcome = really(*arguments, **options)
        with db.transaction(database.engine) as tx:
            tx.execute(update(import_run).values(heartbeat=func.now() - import_runs.STALE * 1.1))
            assert import_runs.claim(tx, run_id) is not None
        return outcome

    with db.transaction(database.engine) as tx:
        before = registered(tx)
    monkeypatch.setattr(imports, "import_file", held_up)
    assert not imports.run(database.engine, run_id)
    with db.transaction(database.engine) as tx:
        assert registered(tx) == before
    assert told(database, run_id)["state"] == "running"
    assert path.exists()


def test_a_database_that_is_away_is_no_end(
    database: Any, tmp_path: Path, twenty: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.csv", twenty)
    run_id = noted(database, path, SOURCED.format(crs="EPSG:4490"))

    def away(*_: Any, **__: Any) -> Any:
        raise errors.Unavailable

    for _ in range(import_runs.ATTEMPTS):
        with monkeypatch.context() as patch:
            patch.setattr(imports, "import_file", away)
            with pytest.raises(errors.Unavailable):
                imports.run(database.engine, run_id)
        with db.transaction(database.engine) as tx:
            assert told(database, run_id)["state"] == "running"
            assert path.exists()
            tx.execute(update(import_run).values(heartbeat=func.now() - import_runs.STALE * 1.1))
    with db.transaction(database.engine) as tx:
        assert import_runs.due(tx) == []
        assert import_runs.give_up(tx) == [str(path)]
    assert told(database, run_id)["state"] == "refused"


def test_a_worker_at_a_long_file_shows_signs_of_life(
    database: Any, tmp_path: Path, twenty: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = noted(database, write(tmp_path / "a.csv", twenty), SOURCED.format(crs="EPSG:4490"))
    really = imports.import_file

    def slow(*arguments: Any, **options: Any) -> Any:
        first, end = told(database, run_id)["heartbeat"], time.monotonic() + 10
        while told(database, run_id)["heartbeat"] == first:
            assert time.monotonic() < end, "no sign of life"
        return really(*arguments, **options)

    monkeypatch.setattr(imports, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(imports, "import_file", slow)
    assert imports.run(database.engine, run_id)


@pytest.mark.parametrize("kind", ["components", "cases"])
def test_feeds_wait_only_while_rows_are_landed(database: Any, tmp_path: Path, twenty: Any, kind: str) -> None:
    """A transaction that has written holds back the feed of all cases: reading and checking must not have."""
    written: dict[str, bool] = {}
    with db.transaction(database.engine) as tx:
        rows, mapping = (twenty, sourced()) if kind == "components" else (case_rows(tx), parse(CASES))
    path = write(tmp_path / "a.csv", rows)
    with db.transaction(database.engine) as tx:

        def watch(stage: str, done: int, total: int) -> None:
            so_far = tx.execute(text("select pg_current_xact_id_if_assigned() is not null")).scalar_one()
            written[f"{stage} {'begun' if done < total else 'done'}"] = so_far

        imports.import_file(tx, kind, path, mapping, progress=watch)
    assert (written["read done"], written["check done"], written["land done"]) == (False, False, True)
