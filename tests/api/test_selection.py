"""Selections by place: the page, the count and the files hold the same features, those a slow look finds."""

import io
import json
import random
import sqlite3
import tempfile
from uuid import UUID, uuid4
from xml.etree import ElementTree

import openpyxl
import pyogrio
import pytest
import shapely
from pyproj import Geod
from sqlalchemy import insert, select, text

from api import selection
from gis import geometry
from gis.tables import audit, case, component, unit_grid
from tests.gis.case_rows import row

GLOBE = Geod(ellps="GRS80")
N = 80


@pytest.fixture
def cases(database):
    """Cases around the town's middle, half of them closed, as (id, lon, lat, status)."""
    chance = random.Random(4)
    with database.engine.begin() as tx:
        middle = text("select st_x(c), st_y(c) from (select st_centroid(st_extent(geom)) c from unit_grid) g")
        lon, lat = tx.execute(middle).one()
        found = []
        for n in range(N):
            at = lon + chance.uniform(-0.01, 0.01), lat + chance.uniform(-0.01, 0.01)
            status, key = ("open", "closed")[n % 2], UUID(int=chance.getrandbits(128))
            changes = {"id": key, "lon": at[0], "lat": at[1], "mk": geometry.morton(*at), "status": status}
            tx.execute(insert(case).values(row(n, **changes, category_code=("0101", "0102", "0201")[n % 3])))
            found.append((str(key), *at, status))
    return (lon, lat), found


def ask(client, headers, path="", **body):
    answer = client.post(f"/api/selection{path}", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def every(client, headers, **body):
    found, cursor = [], ""
    while cursor is not None:
        page = ask(client, headers, limit=7, cursor=cursor, **body)
        found, cursor = found + page["items"], page["next"]
    return found


def test_page_count_and_a_slow_look_agree_whatever_the_area(client, login, cases):
    headers = login("leader")
    (lon, lat), rows = cases
    ring = [[lon - 0.006, lat - 0.004], [lon + 0.007, lat - 0.002], [lon, lat + 0.008], [lon - 0.006, lat - 0.004]]
    line = [[lon - 0.01, lat], [lon + 0.01, lat + 0.001]]
    flat = shapely.LineString([geometry.to_4548(*place) for place in line])
    areas = {
        "bbox": (
            {"type": "bbox", "bbox": [lon - 0.005, lat - 0.003, lon + 0.004, lat + 0.002]},
            lambda x, y: -0.005 <= x - lon <= 0.004 and -0.003 <= y - lat <= 0.002,
        ),
        "polygon": (
            {"type": "polygon", "polygon": {"type": "Polygon", "coordinates": [ring]}},
            lambda x, y: shapely.Polygon(ring).intersects(shapely.Point(x, y)),
        ),
        "circle": (
            {"type": "circle", "centre": [lon, lat], "radius_m": 500},
            lambda x, y: GLOBE.inv(lon, lat, x, y)[2] <= 500,
        ),
        "buffer": (
            {"type": "buffer", "metres": 150, "of": {"type": "LineString", "coordinates": line}},
            lambda x, y: flat.distance(shapely.Point(geometry.to_4548(x, y))) <= 150,
        ),
    }
    for name, (area, holds) in areas.items():
        for wanted in ({}, {"status": "closed"}, {"category": ["event:01"], "status": "open"}):
            expected = {
                key
                for n, (key, x, y, status) in enumerate(rows)
                if holds(x, y) and wanted.get("status", status) == status and ("category" not in wanted or n % 3 < 2)
            }
            found = every(client, headers, layer="cases", geometry=area, filter=wanted)
            assert [one["id"] for one in found] == sorted(expected), (name, wanted)
            assert 0 < len(expected) < N
            told = ask(client, headers, "/statistics", layer="cases", geometry=area, filter=wanted)
            assert told["total"] == len(expected), (name, wanted)
            for group in told["groups"].values():
                assert sum(one["count"] for one in group) == len(expected)
            assert told["area"]["type"] == "Polygon"
    circle = ask(client, headers, "/statistics", layer="cases", geometry=areas["circle"][0])
    assert circle["selection"]["area_m2"] == pytest.approx(3.14159 * 500**2, rel=1e-3)
    assert circle["groups"]["category"][0]["name"]["zh"]
    assert len(every(client, headers, layer="cases", filter={"status": "closed"})) == N // 2


def test_pages_neither_skip_nor_repeat_while_cases_come(client, login, database, cases):
    headers = login("leader")
    _, rows = cases
    found, cursor = [], ""
    while cursor is not None:
        page = ask(client, headers, layer="cases", limit=9, cursor=cursor)
        found, cursor = found + [one["id"] for one in page["items"]], page["next"]
        with database.engine.begin() as tx:
            tx.execute(insert(case).values(row(1000 + len(found), id=uuid4())))
    assert len(found) == len(set(found))
    assert {key for key, *_ in rows} <= set(found)


def test_grids_are_measured_whole_and_inside(client, login, database):
    headers = login("leader")
    with database.engine.begin() as tx:
        code, village, m2, x, y = tx.execute(
            select(
                unit_grid.c.code,
                unit_grid.c.village_code,
                unit_grid.c.area_m2,
                text("st_x(st_pointonsurface(geom)), st_y(st_pointonsurface(geom))"),
            ).limit(1)
        ).one()
        number = tx.execute(
            text("select count(*) from unit_grid where valid_to is null and village_code = :v"), {"v": village}
        ).scalar_one()
    near = {"type": "circle", "centre": [x, y], "radius_m": 1}
    told = ask(client, headers, "/statistics", layer="unit_grids", geometry=near)
    assert told["total"] == 1
    assert told["measures"]["area_m2"] == pytest.approx(m2, rel=1e-3)
    assert told["measures"]["area_inside_m2"] == pytest.approx(3.14159, rel=1e-2)
    (item,) = ask(client, headers, layer="unit_grids", geometry=near)["items"]
    assert (item["id"], item["properties"]["village_code"]) == (code, village)
    itself = {"type": "buffer", "metres": 0, "layer": "unit_grids", "feature": code}
    assert code in {one["id"] for one in ask(client, headers, layer="unit_grids", geometry=itself)["items"]}
    village_of = ask(client, headers, "/statistics", layer="unit_grids", filter={"village_code": [village]})
    assert village_of["total"] == number
    assert village_of["groups"]["village_code"][0]["name"]["zh"]


def test_each_file_holds_the_selection(client, login, database, cases, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    headers = login("leader")
    (lon, lat), rows = cases
    area = {"type": "bbox", "bbox": [lon - 0.01, lat - 0.01, lon, lat + 0.01]}
    expected = {key: (x, y) for key, x, y, _ in rows if x <= lon}

    def take(form, **body):
        answer = client.post(f"/api/selection/download?format={form}", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        file = tmp_path / f"file.{form}"
        file.write_bytes(answer.content)
        return file

    collection = json.loads(take("geojson", layer="cases", geometry=area).read_text("utf-8"))
    found = {f["id"]: f["geometry"]["coordinates"] for f in collection["features"]}
    assert found == {key: pytest.approx(place, abs=1e-8) for key, place in expected.items()}
    package = pyogrio.read_dataframe(take("gpkg", layer="cases", geometry=area), layer="cases")
    assert package.crs == "EPSG:4490"
    read = {r.feature_id: (r.geometry.x, r.geometry.y) for r in package.itertuples()}
    assert read == expected
    assert package["reported_at"].dt.tz is not None
    assert package["closed_at"].isna().all()
    book = openpyxl.load_workbook(io.BytesIO(take("xlsx", layer="cases", geometry=area).read_bytes()))
    assert book.sheetnames == ["案件", "说明"]
    head, *lines = book["案件"].iter_rows(values_only=True)
    assert head[:5] == ("案号", "案件类型", "来源", "类别代码", "小类")
    assert {line[head.index("环节")] for line in lines} == {"上报"}
    places = sorted((line[head.index("经度")], line[head.index("纬度")]) for line in lines)
    assert places == [pytest.approx(place) for place in sorted(expected.values())]
    assert str(len(expected)) in {str(cell) for line in book["说明"].iter_rows(values_only=True) for cell in line}
    with database.engine.begin() as tx:
        noted = tx.execute(select(audit.c.detail).where(audit.c.act == "export.features")).scalars().all()
    assert [one["counts"] for one in noted] == [{"cases": len(expected)}] * 3
    assert not list(tmp_path.glob("wangge-gpkg-*"))  # nothing stays behind


def test_layers_in_one_geopackage_with_chinese_titles_and_styles(client, login, database, cases, tmp_path):
    answer = client.get(
        "/api/maps/geopackage?layers=cases,components,unit_grids,divisions,basemap&status=open",
        headers=login("leader"),
    )
    assert answer.status_code == 200, answer.text
    file = tmp_path / "layers.gpkg"
    file.write_bytes(answer.content)
    with database.engine.begin() as tx:
        held = {
            "cases": N // 2,
            "components": tx.execute(select(text("count(*)")).select_from(component)).scalar_one(),
            "unit_grids": tx.execute(text("select count(*) from unit_grid where valid_to is null")).scalar_one(),
            "divisions": tx.execute(text("select count(*) from division where valid_to is null")).scalar_one(),
            "basemap": tx.execute(text("select count(*) from basemap_feature")).scalar_one(),
        }
    assert {name: pyogrio.read_info(file, layer=name)["features"] for name in held} == held
    assert all(pyogrio.read_info(file, layer=name)["crs"] == "EPSG:4490" for name in held)
    with sqlite3.connect(file) as book:
        titles = dict(book.execute("select table_name, identifier from gpkg_contents"))
        assert titles["unit_grids"] == "单元网格"
        described = dict(book.execute("select table_name, description from gpkg_contents"))
        assert described["cases"].endswith("状态：在办")
        assert "状态" not in described["components"]
        fields = dict(book.execute("select column_name, title from gpkg_data_columns where table_name = 'cases'"))
        assert fields["category_name"] == "小类"
        found = book.execute("select f_table_name, styleQML, styleSLD from layer_styles").fetchall()
        styles = {name: [ElementTree.fromstring(sheet) for sheet in sheets] for name, *sheets in found}
        assert styles.keys() == {"cases", "unit_grids", "divisions"}
        qml, sld = styles["cases"]
        assert {one.get("value"): one.get("label") for one in qml.iter("category")}["red"] == "超时"
        assert len(list(qml.iter("symbol"))) == len(list(qml.iter("category"))) == 4
        assert "超时" in [one.text for one in sld.iter("{http://www.opengis.net/sld}Title")]
        assert book.execute("pragma integrity_check").fetchone() == ("ok",)


def test_who_may_have_what(client, login, cases):
    leader = client.get("/api/selection/layers", headers=login("leader")).json()["items"]
    assert {one["code"] for one in leader} == {
        *("cases", "components", "unit_grids", "duty_grids", "divisions", "basemap", "inspectors")
    }
    assert all(one["download"] for one in leader)
    inspector = login("inspector001")
    seen = client.get("/api/selection/layers", headers=inspector).json()["items"]
    assert {one["code"] for one in leader} - {one["code"] for one in seen} == {"inspectors"}
    assert not any(one["download"] for one in seen)
    nobodys = {"type": "buffer", "metres": 1, "layer": "cases", "feature": "x"}
    for path, body, status, code in (
        ("", {"layer": "inspectors"}, 403, "forbidden"),
        ("/download", {"layer": "divisions"}, 403, "forbidden"),
        ("", {"layer": "heat"}, 404, "not_found"),
        ("", {"layer": "nothing"}, 404, "not_found"),
        ("", {"layer": "cases", "filter": {"colour": "red"}}, 400, "bad_filter"),
        ("", {"layer": "cases", "filter": {"severity": "9"}}, 400, "bad_filter"),
        ("", {"layer": "components", "filter": {"surveyed_on": "yesterday"}}, 400, "bad_filter"),
        ("", {"layer": "divisions", "filter": {"synthetic": "perhaps"}}, 400, "bad_filter"),
        ("", {"layer": "cases", "cursor": "eA"}, 400, "bad_cursor"),
        ("", {"layer": "cases", "geometry": {"type": "bbox", "bbox": [1, 2, 3]}}, 422, "bad_geometry"),
        ("", {"layer": "cases", "geometry": nobodys}, 404, "not_found"),
    ):
        answer = client.post(f"/api/selection{path}", json=body, headers=inspector)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (path, body, answer.text)
    admin = client.post("/api/selection", json={"layer": "cases"}, headers=login("admin"))
    assert (admin.status_code, admin.json()["code"]) == (403, "forbidden")


def test_too_much_is_refused_before_anything_is_sent(client, login, monkeypatch, cases):
    monkeypatch.setattr(selection, "DOWNLOAD_MOST", N - 1)
    answer = client.post("/api/selection/download", json={"layer": "cases"}, headers=login("leader"))
    assert (answer.status_code, answer.json()["code"]) == (422, "export_too_large")
    assert answer.json()["detail"]["counts"] == {"cases": N}
