"""Imports without a database: mapping files, readers, whole-file checks."""

import zipfile
from datetime import date, datetime
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from gis import errors, import_checks, import_mapping, import_readers
from gis.import_checks import Problems
from gis.settings import ROOT

BOX = (116.60, 40.08, 116.70, 40.14)
TODAY = date(2026, 11, 20)
MAPPING = """
kind: components
source: trial
crs: EPSG:4490
geometry: {x: lon, y: lat}
identifier: {column: id}
category: {catalogue: cjt214-2007, constant: 0104}
"""


def mapped(more: str = "", base: str = MAPPING) -> import_mapping.Mapping:
    return import_mapping.parse(base + more)


def source_of(**columns: list[str]) -> import_readers.Source:
    frame = pd.DataFrame({name: np.array(values, dtype=object) for name, values in columns.items()}, dtype=object)
    return import_readers.Source("trial.csv", frame, None, None, np.arange(2, len(frame) + 2))


def problems_of(source: import_readers.Source) -> Problems:
    return Problems(source, np.array([""] * len(source), dtype=object))


# --- Mapping files ----------------------------------------------------------------------------------------------


def test_every_mapping_in_data_is_valid() -> None:
    files = sorted((ROOT / "data" / "mappings").glob("*.yaml"))
    assert len(files) >= 5
    for path in files:
        mapping = import_mapping.load(path.stem, path.parent)
        assert mapping.kind in import_mapping.KINDS


def test_a_code_with_leading_zero_stays_a_code() -> None:
    """YAML would read an unquoted 0104 as the octal number 68."""
    assert mapped().category.code.constant == "0104"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (MAPPING.replace("kind: components", "kind: things"), "kind"),
        (MAPPING.replace("source: trial", "source: 'a b'"), "source"),
        (MAPPING.replace("geometry: {x: lon, y: lat}", "geometry: {x: lon}"), "geometry.y"),
        (MAPPING.replace("geometry: {x: lon, y: lat}", "geometry: {middle: lon}"), "geometry.middle"),
        (MAPPING.replace("constant: 0104", "constant: 104"), "category.constant"),
        (MAPPING.replace("constant: 0104", "column: art, values: {a: '1'}"), "category.values.a"),
        (MAPPING.replace("constant: 0104", "kind: event, constant: 0104"), "category.kind"),
        (MAPPING + "colour: red", "colour"),
        (MAPPING + "fields: {colour: c}", "fields.colour"),
        (MAPPING + "fields: {state: {column: s, values: {gut: perfect}}}", "fields.state"),
        (MAPPING + "fields: {state: {column: s, constant: intact}}", "fields.state"),
        (MAPPING + "fields: {name: {column: s, formats: ['%Y']}}", "fields.name"),
        (MAPPING + "fields: {surveyed_on: {column: s, missing: ['1/1/1753']}}", "fields.surveyed_on.missing"),
        (MAPPING + "time_zone: Mars/Olympus", "time_zone"),
        (MAPPING + "description: '{a'", "description"),
        (MAPPING.replace("kind: components", "kind: cases"), "fields.reported_at"),
        ("kind: grids\nsource: g\ncrs: file\ngeometry: file", "fields.code"),
        ("- a\n- b", ""),
        ("a: [", ""),
    ],
)
def test_a_wrong_mapping_is_refused_by_key(text: str, key: str) -> None:
    with pytest.raises(errors.MappingBad) as refused:
        import_mapping.parse(text)
    assert refused.value.detail["key"] == key
    assert refused.value.title_zh.startswith("映射文件有误")


def test_a_stranger_cannot_name_a_file_as_mapping(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(MAPPING)
    assert import_mapping.load(str(path), tmp_path / "none", paths=True).source == "trial"
    with pytest.raises(errors.MappingBad):
        import_mapping.load(str(path), tmp_path / "none")


# --- Readers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_csv_encodings_are_told_apart(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "普查.csv"
    path.write_bytes("id,名称\n1, 雨水箅子 \n2,㐂井盖\n".encode(encoding))
    source = import_readers.read(path, mapped())
    assert source.frame["名称"].tolist() == ["雨水箅子", "㐂井盖"]
    assert list(source.frame) == ["id", "名称"]


def test_empty_rows_are_passed_over_and_numbers_stay_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,x\n1,a\n\n,\n4,d\n\n")
    source = import_readers.read(path, mapped())
    assert source.frame["id"].tolist() == ["1", "4"]
    assert source.rows.tolist() == [2, 5]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.csv", b"id,x\n1,2,3\n", "CSV"),
        ("a.csv", b"", "CSV"),
        ("a.csv", b"id,id\n1,2\n", "same name"),
        ("a.csv", b"\x81\x00\xff\xff", "encoding"),
        ("a.xlsx", b"not a workbook", "workbook"),
        ("a.geojson", b'{"type": "FeatureCollection", "features": [', "spatial"),
        ("a.geojson", b'<OGRVRTDataSource><OGRVRTLayer name="x"/></OGRVRTDataSource>', "content"),
        ("a.gpkg", b"PK\x03\x04", "content"),
        ("a.zip", b"PK\x03\x04", "archive"),
        ("a.exe", b"MZ", "use .csv"),
    ],
)
def test_an_unreadable_file_says_why(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(errors.FileUnreadable) as refused:
        import_readers.read(path, mapped())
    assert why in refused.value.title_en


@pytest.mark.parametrize("suffix", ["shp", "gpkg", "geojson", "zip"])
def test_spatial_files_give_shapes_texts_and_system(tmp_path: Path, suffix: str) -> None:
    points = shapely.points([[116.65, 40.11], [116.66, 40.12]])
    frame = gpd.GeoDataFrame({"id": ["a", "b"], "名称": ["井", "箅"], "n": [1.0, np.nan]}, geometry=points, crs=4490)
    path = tmp_path / f"layer.{'shp' if suffix == 'zip' else suffix}"
    frame.to_file(path, engine="pyogrio", encoding="utf-8" if path.suffix == ".shp" else None)
    if suffix == "zip":
        packed = tmp_path / "layer.zip"
        with import_readers.zipfile.ZipFile(packed, "w") as archive:
            for part in sorted(tmp_path.glob("layer.*")):
                if part.suffix != ".zip":
                    archive.write(part, f"folder/{part.name}")
        path = packed
    source = import_readers.read(path, mapped())
    assert source.frame["名称"].tolist() == ["井", "箅"]
    assert source.frame["n"].tolist() == ["1", ""]
    assert source.crs == "EPSG:4490"
    np.testing.assert_allclose(shapely.get_coordinates(source.geometry), shapely.get_coordinates(points))


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8"])
def test_a_shapefile_that_states_no_encoding_is_read_as_chinese(tmp_path: Path, encoding: str) -> None:
    points = shapely.points([[116.65, 40.11]])
    path = tmp_path / "普查.shp"
    names = {"id": ["a"], "name": ["雨水箅子"], "note": ["井" * 70]}  # the last field is wider than 127 bytes
    gpd.GeoDataFrame(names, geometry=points, crs=4490).to_file(path, encoding=encoding)
    path.with_suffix(".cpg").unlink()
    table = path.with_suffix(".dbf")
    table.write_bytes(table.read_bytes()[:29] + b"\x00" + table.read_bytes()[30:])
    assert import_readers.read(path, mapped()).frame["name"].tolist() == ["雨水箅子"]


def test_excel_dates_and_whole_numbers_are_texts_a_person_would_write(tmp_path: Path) -> None:
    path = tmp_path / "普查.xlsx"
    pd.DataFrame({"id": [7.0, 8.5], "day": [datetime(2024, 5, 1), None], "名": ["箅", None]}).to_excel(
        path, index=False
    )
    frame = import_readers.read(path, mapped()).frame
    assert frame["id"].tolist() == ["7", "8.5"]
    assert frame["day"].tolist()[0].startswith("2024-05-01")
    assert frame["名"].tolist() == ["箅", ""]


def test_no_layer_or_sheet_with_rows_is_passed_over_unsaid(tmp_path: Path) -> None:
    path = tmp_path / "two.gpkg"
    points = gpd.GeoDataFrame({"id": ["a"]}, geometry=shapely.points([[116.65, 40.11]]), crs=4490)
    pyogrio.write_dataframe(pd.DataFrame({"style": ["red"]}), path, layer="layer_styles")
    points.to_file(path, layer="wells", mode="a")
    assert import_readers.read(path, mapped()).frame["id"].tolist() == ["a"]
    points.to_file(path, layer="lamps", mode="a")
    with pytest.raises(errors.FileUnreadable, match="wells, lamps"):
        import_readers.read(path, mapped())
    assert len(import_readers.read(path, mapped("layer: lamps"))) == 1

    path, rows = tmp_path / "two.xlsx", pd.DataFrame({"id": ["a"], "lon": [116.65]})
    with pd.ExcelWriter(path) as book:
        rows.to_excel(book, sheet_name="井", index=False)
        pd.DataFrame({"说明": ["见附件"]}).to_excel(book, sheet_name="说明", index=False)
    assert import_readers.read(path, mapped()).frame["id"].tolist() == ["a"]
    with pd.ExcelWriter(path) as book:
        for sheet in ("井", "灯"):
            rows.to_excel(book, sheet_name=sheet, index=False)
    with pytest.raises(errors.FileUnreadable, match="井, 灯"):
        import_readers.read(path, mapped())
    assert len(import_readers.read(path, mapped("sheet: 灯"))) == 1


def test_a_swollen_or_damaged_workbook_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, damaged = tmp_path / "a.xlsx", tmp_path / "b.xlsx"
    pd.DataFrame({"id": ["a" * 5000] * 50}).to_excel(path, index=False)
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(damaged, "w") as broken:
        for item in whole.infolist():
            content = whole.read(item)
            broken.writestr(item, content[: len(content) // 2] if "sheet" in item.filename else content)
    with pytest.raises(errors.FileUnreadable, match="workbook"):
        import_readers.read(damaged, mapped())
    monkeypatch.setattr(import_readers, "_WORKBOOK_LIMIT", 1000)
    with pytest.raises(errors.FileUnreadable, match="too large when unpacked"):
        import_readers.read(path, mapped())


# --- Columns ----------------------------------------------------------------------------------------------------


def test_a_column_the_file_lacks_is_named() -> None:
    with pytest.raises(errors.MappingBad) as refused:
        import_checks.require_columns(source_of(id=["1"], lon=["1"]), mapped())
    assert refused.value.detail["key"] == "geometry.y"
    assert refused.value.detail["columns"] == ["lat"]


def test_several_candidate_columns_may_all_be_absent_unless_required() -> None:
    source = source_of(id=["1"], lon=["1"], lat=["1"])
    import_checks.require_columns(source, mapped("fields: {name: {column: [a, b]}}"))
    with pytest.raises(errors.MappingBad):
        import_checks.require_columns(source, mapped("fields: {name: {column: [a, b], required: true}}"))


def test_value_maps_defaults_and_refusals() -> None:
    mapping = mapped('na: [NULL]\nfields: {state: {column: s, values: {ok: intact, "*": damaged}, default: lost}}')
    source = source_of(s=["ok", "", "NULL", "broken"])
    problems = problems_of(source)
    assert import_checks.texts(source, mapping, "state", problems).tolist() == ["intact", "lost", "lost", "damaged"]
    assert not problems.bad.any()
    mapping = mapped("fields: {state: {column: s, values: {ok: intact}}}")
    import_checks.texts(source, mapping, "state", problems)
    assert problems.bad.tolist() == [False, False, True, True]
    assert [(e.row, e.code, e.value) for e in problems.errors()] == [
        (4, "value_unknown", "NULL"),
        (5, "value_unknown", "broken"),
    ]


def test_a_row_counts_once_and_every_problem_is_listed() -> None:
    source = source_of(s=["a", "b", "c"])
    problems = problems_of(source)
    problems.add(np.array([True, True, False]), errors.DateBad, "x")
    problems.add(np.array([True, False, False]), errors.OutsideTown, "y")
    assert problems.counts() == {"date_bad": 2}
    assert [(e.row, e.code) for e in problems.errors()] == [(2, "date_bad"), (2, "outside_town"), (3, "date_bad")]


# --- Dates ------------------------------------------------------------------------------------------------------


def read_dates(values: list[str], rule: str) -> tuple[list[object], Problems]:
    source = source_of(d=values)
    problems = problems_of(source)
    found = import_checks.dates(source, mapped(f"fields: {{surveyed_on: {rule}}}"), "surveyed_on", problems, TODAY)
    return found.astype("datetime64[D]").astype(object).tolist(), problems


def test_dates_by_format_with_dummies_centuries_and_refusals() -> None:
    values = ["7/25/80 0:00", "3/1/30 0:00", "1/1/1753 12:00:00 AM", "", "soon", "1/1/1700 12:00:00 AM"]
    rule = '{column: d, formats: ["%m/%d/%Y %I:%M:%S %p", "%m/%d/%y %H:%M"], missing: ["1753-01-01"]}'
    found, problems = read_dates(values, rule)
    assert found[:4] == [date(1980, 7, 25), date(1930, 3, 1), None, None]
    assert [(e.row, e.code) for e in problems.errors()] == [(6, "date_bad"), (7, "date_bad")]


def test_a_date_in_the_future_is_refused() -> None:
    found, problems = read_dates(["2026-11-20", "2027-01-01", "20240229"], "d")
    assert found[0] == date(2026, 11, 20)
    assert found[2] == date(2024, 2, 29)
    assert [e.row for e in problems.errors()] == [3]


@given(st.dates(date(1850, 1, 1), TODAY))
def test_any_iso_date_is_read_as_itself(day: date) -> None:
    found, problems = read_dates([day.isoformat()], "d")
    assert found == [day]
    assert not problems.bad.any()


def test_local_times_with_summer_time() -> None:
    moments = np.array(["2025-03-14T01:20", "2025-03-09T02:30", "2025-11-02T01:30", "NaT"], dtype="datetime64[s]")
    found = import_checks.local_to_utc(moments, "America/New_York")
    assert found[0].utctimetuple()[:5] == (2025, 3, 14, 5, 20)
    assert found[1] is None
    assert found[2].utctimetuple()[:5] == (2025, 11, 2, 5, 30)
    assert found[3] is None


# --- Places -----------------------------------------------------------------------------------------------------


def placed(lons: list[str], lats: list[str], crs: str = "EPSG:4490") -> tuple[import_checks.Places, Problems]:
    source = source_of(lon=lons, lat=lats)
    problems = problems_of(source)
    return import_checks.places(source, mapped(base=MAPPING.replace("EPSG:4490", crs)), BOX, problems), problems


def test_each_bad_place_has_its_own_code() -> None:
    lons = ["116.65"] * 8 + ["", "0", "40.11", "117.9", "471012.7", "x"]
    lats = ["40.11"] * 8 + ["40.11", "0", "116.65", "40.11", "4441798.4", "40.11"]
    found, problems = placed(lons, lats)
    assert [(e.row, e.code) for e in problems.errors()] == [
        (10, "null_island"),
        (11, "null_island"),
        (12, "swapped_axes"),
        (13, "outside_town"),
        (14, "wrong_crs"),
        (15, "null_island"),
    ]
    assert found.lon[:8] == pytest.approx([116.65] * 8)


@pytest.mark.parametrize(
    ("crs", "x", "y", "reason", "hint"),
    [
        ("EPSG:4490", "-71.14", "42.37", "outside_town", "3 of 3"),
        ("EPSG:4490", "40.11", "116.65", "swapped_axes", "swapped"),
        ("EPSG:4490", "471012.7", "4441798.4", "wrong_crs", "EPSG:4548"),
        ("EPSG:4548", "116.65", "40.11", "wrong_crs", "EPSG:4490"),
        ("EPSG:4527", "471012.7", "4441798.4", "wrong_crs", "EPSG:4548"),
    ],
)
def test_a_whole_file_elsewhere_is_refused_with_the_suspicion(crs: str, x: str, y: str, reason: str, hint: str) -> None:
    with pytest.raises(errors.ImportRefused) as refused:
        placed([x] * 3, [y] * 3, crs)
    assert refused.value.detail["reason"] == reason
    assert hint in refused.value.title_en
    assert "outside the town: 3 of 3" in refused.value.title_en


@pytest.mark.parametrize(
    ("crs", "x", "y"),
    [
        ("EPSG:4548", "471012.70", "4441798.37"),
        ("EPSG:4527", "39471012.70", "4441798.37"),
        ("EPSG:4326", "116.66", "40.11"),
    ],
)
def test_declared_systems_arrive_where_they_should(crs: str, x: str, y: str) -> None:
    """The pair (116.66 E, 40.11 N) = (E 471 012.70, N 4 441 798.37) was computed with pyproj for the domain study."""
    found, problems = placed([x], [y], crs)
    assert not problems.bad.any()
    assert found.lon[0] == pytest.approx(116.66, abs=1e-6)
    assert found.lat[0] == pytest.approx(40.11, abs=1e-6)


def test_shapes_from_wkt_are_checked_and_converted() -> None:
    square = "POLYGON((471000 4441800, 471050 4441800, 471050 4441850, 471000 4441850, 471000 4441800))"
    bow = "POLYGON((471000 4441800, 471050 4441850, 471050 4441800, 471000 4441850, 471000 4441800))"
    source = source_of(shape=[square, bow, "", "POLYGON((", "LINESTRING(471000 4441800, 471100 4441800)"])
    problems = problems_of(source)
    base = MAPPING.replace("EPSG:4490", "EPSG:4548").replace("{x: lon, y: lat}", "{wkt: shape}")
    found = import_checks.places(source, mapped(base=base), BOX, problems)
    codes = [(e.row, e.code) for e in problems.errors()]
    assert (3, "bad_geometry") in codes
    assert (4, "null_island") in codes
    assert (5, "bad_geometry") in codes
    assert problems.bad.tolist() == [False, True, True, True, False]
    assert found.shapes[0].contains(shapely.Point(found.lon[0], found.lat[0]))
    assert found.shapes[4].bounds[0] == pytest.approx(116.66, abs=1e-3)


def test_a_shape_with_a_vertex_beyond_its_system_is_refused() -> None:
    line = "LINESTRING(471000 4441800, 471100 4441800, 471200 4441800, 1e30 4441800)"
    points = "MULTIPOINT(471000 4441800, 471010 4441800, 1e30 4441800)"
    source = source_of(shape=[line, points, "POINT(471000 4441800)"])
    problems = problems_of(source)
    base = MAPPING.replace("EPSG:4490", "EPSG:4548").replace("{x: lon, y: lat}", "{wkt: shape}")
    import_checks.places(source, mapped(base=base), BOX, problems)
    assert [(error.row, error.code) for error in problems.errors()] == [(2, "bad_geometry"), (3, "bad_geometry")]


def test_the_extent_of_a_file_leaves_strays_out() -> None:
    rng = np.random.default_rng(7)
    lons = [*rng.uniform(-71.16, -71.07, 200).astype(str), "0", "12.5", ""]
    lats = [*rng.uniform(42.35, 42.40, 200).astype(str), "0", "55.1", ""]
    bounds, lon, _ = import_checks.extent(source_of(id=[""] * 203, lon=lons, lat=lats), mapped())
    assert len(lon) == 200
    assert bounds == pytest.approx((-71.16, 42.35, -71.07, 42.40), abs=2e-3)


def test_the_error_file_runs_nothing_in_a_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "errors.csv"
    error = import_checks.RowError(7, "=1+1", "date_bad", "日期无效", "bad date", "-71.1, 42.3")
    import_checks.write_errors(path, [error])
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    read = pd.read_csv(path, dtype=str)
    assert read.loc[0].tolist() == ["7", "'=1+1", "date_bad", "日期无效", "bad date", "-71.1, 42.3"]
