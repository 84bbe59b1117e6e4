"""The map's tools over HTTP: basemaps that ask nobody but whom they may, sketches, panoramas, preferences, identify."""

import hashlib
import io
import json
import math
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4
from xml.etree import ElementTree

import geopandas
import numpy as np
import pytest
import yaml
from coord_convert import transform
from PIL import Image
from sqlalchemy import text

from api import basemaps as routes
from api import map_sources
from gis import definitions, gazetteer, identify, panoramas, people, track_replay
from gis.geometry import world_pixel
from gis.search import CaseFilter
from gis.settings import settings

TILE = (16, 53999, 24726)


class Source:
    """A tile server of somebody else; ``asked`` are the paths it was asked for, ``says`` how it answers."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.says = lambda path: (200, png((0, 128, 255, 255)), {})
        source = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                source.asked.append(self.path)
                status, content, headers = source.says(self.path)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def png(colour: tuple[int, int, int, int]) -> bytes:
    kept = io.BytesIO()
    Image.new("RGBA", (256, 256), colour).save(kept, "PNG")
    return kept.getvalue()


@pytest.fixture
def source(monkeypatch):
    made = Source()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def published(database, source, client, monkeypatch):
    """Publishes basemap ``theirs`` from the source; with ``allowed`` its host and key are in the settings."""

    def publish(*, allowed: bool = True, **changed: object) -> None:
        plain = yaml.safe_load((settings().data_dir / "basemaps" / "tianditu-vec-w.yaml").read_text("utf-8"))
        url = f"http://{source.host}/tiles/{{z}}/{{x}}/{{y}}?tk={{token}}"
        body = plain | {"code": "theirs", "urls": [url], "valid_from": "2024-01-01"} | changed
        with database.engine.begin() as tx:
            definitions.publish(tx, "basemap", "theirs", body, datetime(2024, 1, 1, tzinfo=UTC))
        if allowed:
            monkeypatch.setenv("WANGGE_MAP_HOSTS", source.host)
            monkeypatch.setenv("WANGGE_MAP_TOKENS", "other=1,tianditu=the-key")
            settings.cache_clear()

    monkeypatch.setattr(routes, "_known", (0.0, {}))
    monkeypatch.setattr(map_sources, "_resting", {})
    yield publish
    settings.cache_clear()


def tile(client, headers, code="theirs", at=TILE):
    return client.get(f"/api/basemaps/{code}/{at[0]}/{at[1]}/{at[2]}", headers=headers)


def test_a_basemap_without_its_host_or_key_is_off_and_nobody_is_asked(client, login, published, source):
    published(allowed=False)
    plain, admin = login("inspector001"), login("admin")
    assert [one["code"] for one in client.get("/api/basemaps", headers=plain).json()["items"]] == ["town", "imagery"]
    told = {one["code"]: one["lacks"] for one in client.get("/api/basemaps", headers=admin).json()["items"]}
    assert told["theirs"] == "host"
    assert told["tianditu-vec-c"] == "host"
    answer = tile(client, plain)
    assert (answer.status_code, answer.json()["detail"]["lacks"]) == (503, "host")
    assert source.asked == []


def test_a_tile_is_fetched_once_with_the_key_that_no_page_sees(client, login, published, source):
    published()
    headers = login("inspector001")
    listed = client.get("/api/basemaps", headers=headers)
    assert "theirs" in listed.text
    assert "the-key" not in listed.text
    assert source.host not in listed.text
    first, second = tile(client, headers), tile(client, headers)
    assert first.status_code == second.status_code == 200
    assert source.asked == ["/tiles/16/53999/24726?tk=the-key"]
    # What was kept still serves when the source is gone; what was not is said to be missing.
    source.says = lambda path: (500, b"", {})
    assert tile(client, headers).content == first.content
    missing = tile(client, headers, at=(16, 53999, 24727))
    assert (missing.status_code, missing.json()["code"]) == (503, "unavailable")


@pytest.mark.parametrize(
    "says",
    [
        (302, b"", {"Location": "http://127.0.0.1:1/metadata"}),
        (200, b"root:x:0:0:root", {}),
        (200, b"\x89PNG\r\n\x1a\n" + b"0" * 3_000_000, {}),
        (403, b"wrong key", {}),
    ],
)
def test_only_pictures_come_through(client, login, published, source, says):
    published()
    source.says = lambda path: says
    answer = tile(client, login("inspector001"))
    assert answer.status_code in (422, 503)
    assert "root" not in answer.text
    assert len(source.asked) == 1


def test_a_source_in_gcj_02_comes_out_at_its_place(client, login, published, source):
    published(crs="gcj02", urls=[f"http://{source.host}/{{z}}/{{x}}/{{y}}"], token="")
    # The source's tiles are red and blue by turns: our picture has an edge where theirs meet.
    source.says = lambda path: (200, png((255, 0, 0, 255) if int(path.split("/")[2]) % 2 else (0, 0, 255, 255)), {})
    answer = tile(client, login("inspector001"))
    assert answer.status_code == 200, answer.text
    picture = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))
    red = (picture[128, :, 0] > 128).astype(int)
    edge = int(np.flatnonzero(np.diff(red))[0]) + 1

    # Where that edge should be, by the point-wise library from the place under our pixel.
    def source_x(column: float) -> float:
        lon = (TILE[1] + column / 256) / 2 ** TILE[0] * 360 - 180
        lat = math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * (TILE[2] + 128.5 / 256) / 2 ** TILE[0]))))
        return (transform.wgs2gcj(lon, lat)[0] + 180) / 360 * 2 ** TILE[0] * 256

    assert int(source_x(edge - 1) // 256) != int(source_x(edge + 1) // 256)
    assert len(source.asked) in (2, 4)


def test_synthetic_imagery_is_drawn_and_says_what_it_is(client, login, spot):
    headers = login("inspector001")
    told = {one["code"]: one for one in client.get("/api/basemaps", headers=headers).json()["items"]}["imagery"]
    assert "合成" in told["name"]["zh"]
    assert "非实拍" in told["attribution"]["zh"]
    px, py = world_pixel(spot["lon"], spot["lat"])
    at = (15, px >> 13, py >> 13)
    answer = tile(client, headers, "imagery", at)
    assert answer.status_code == 200
    assert np.asarray(Image.open(io.BytesIO(answer.content))).std() > 5, "a flat colour is no picture of the ground"
    assert tile(client, headers, "imagery", at).content == answer.content
    assert tile(client, headers, "imagery", (5, 26, 12)).status_code == 404
    assert tile(client, headers, "town", at).status_code == 404
    assert tile(client, headers, "nothing", at).status_code == 404
    assert tile(client, headers, "imagery", (15, 1 << 15, 3)).status_code == 404


def test_the_cache_keeps_within_its_size(tmp_path: Path):
    for i in range(40):
        (tmp_path / str(i)).write_bytes(b"x" * 1000)
    assert map_sources.prune(tmp_path, 50_000) == 0
    assert map_sources.prune(tmp_path, 20_000) == 22
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) == 18_000


def feature(shape: str, kind: str, coordinates: object, **told: object) -> dict[str, object]:
    return {
        "type": "Feature",
        "properties": {"shape": shape, "label": f"{shape}标", "colour": "#ff5d55", "width": 3, **told},
        "geometry": {"type": kind, "coordinates": coordinates},
    }


DRAWN = [
    feature("point", "Point", [116.65, 40.11]),
    feature("text", "Point", [116.651, 40.11], label="积水点"),
    feature("circle", "Point", [116.652, 40.11], radius_m=120.0),
    feature("line", "LineString", [[116.65, 40.11], [116.66, 40.12]]),
    feature("arrow", "LineString", [[116.65, 40.11], [116.66, 40.11]]),
    feature("polygon", "Polygon", [[[116.65, 40.11], [116.66, 40.11], [116.66, 40.12], [116.65, 40.11]]]),
]


def test_a_sketch_is_kept_changed_shared_deleted_and_brought_back(client, login):
    mine, other, which = login("leader"), login("acceptor1"), uuid4()
    path, body = f"/api/sketches/{which}", {"name": "防汛部署", "features": DRAWN}
    assert client.put(path, json=body, headers=mine).status_code == 201
    assert client.put(path, json=body, headers=mine).status_code == 201, "sending it again is harmless"
    assert client.put(path, json=body | {"name": "别的"}, headers=mine).json()["code"] == "id_conflict"
    assert client.get(path, headers=other).status_code == 404, "private"
    changed = body | {"name": "防汛部署二", "shared": True, "features": DRAWN[:2], "base": 1}
    assert client.post(f"{path}/versions", json=changed, headers=mine).json()["version"] == 2
    stale = client.post(f"{path}/versions", json=changed, headers=mine)
    assert (stale.status_code, stale.json()["code"]) == (409, "stale_sketch")
    seen = client.get(path, headers=other).json()
    assert (seen["name"], seen["own"], len(seen["features"]["features"])) == ("防汛部署二", False, 2)
    assert client.post(f"{path}/versions", json=changed | {"base": 2}, headers=other).status_code == 404
    assert client.delete(path, headers=other).status_code == 404
    assert len(client.get(f"{path}?version=1", headers=other).json()["features"]["features"]) == len(DRAWN)
    assert [v["version"] for v in client.get(f"{path}/versions", headers=mine).json()["items"]] == [2, 1]
    assert client.delete(path, headers=mine).status_code == 204
    assert client.get("/api/sketches", headers=other).json()["items"] == []
    assert client.post(f"{path}/restore", content=b"", headers=mine).status_code == 204
    assert [one["name"] for one in client.get("/api/sketches", headers=other).json()["items"]] == ["防汛部署二"]
    assert client.put(f"/api/sketches/{uuid4()}", json=body, headers=login("inspector001")).status_code == 403


def test_a_sketch_goes_into_other_programs(client, login, tmp_path):
    headers, which = login("leader"), uuid4()
    client.put(f"/api/sketches/{which}", json={"name": "部署 图", "features": DRAWN}, headers=headers)

    def file(form: str) -> bytes:
        answer = client.get(f"/api/sketches/{which}/file?form={form}", headers=headers)
        assert answer.status_code == 200
        assert "%E9%83%A8" in answer.headers["content-disposition"]
        return answer.content

    plain = json.loads(file("geojson"))["features"]
    assert len(plain) == len(DRAWN)
    ring = next(f for f in plain if f["properties"]["shape"] == "circle")["geometry"]
    assert (ring["type"], len(ring["coordinates"][0])) == ("Polygon", 73)
    (tmp_path / "s.gpkg").write_bytes(file("gpkg"))
    tables = {layer: geopandas.read_file(tmp_path / "s.gpkg", layer=layer) for layer in ("points", "lines", "areas")}
    assert {name: len(frame) for name, frame in tables.items()} == {"points": 2, "lines": 2, "areas": 2}
    assert tables["points"].crs.to_epsg() == 4490
    assert "积水点" in set(tables["points"]["label"])
    marks = ElementTree.fromstring(file("kml")).findall(".//{http://www.opengis.net/kml/2.2}Placemark")
    assert len(marks) == len(DRAWN)


@pytest.mark.parametrize(
    "bad",
    [
        feature("point", "LineString", [[1, 2], [3, 4]]),
        feature("star", "Point", [116, 40]),
        feature("circle", "Point", [116, 40]),
        feature("circle", "Point", [116, 40], radius_m=-1),
        feature("line", "LineString", [[116, 40]]),
        feature("polygon", "Polygon", [[[1, 2], [3, 4], [5, 6], [7, 8]]]),
        feature("point", "Point", [116, 95]),
        feature("text", "Point", [116, 40], label=" "),
        feature("point", "Point", [116, 40], colour="red"),
        feature("point", "Point", [116, 10**400]),
        "nothing",
    ],
)
def test_a_bad_feature_is_named(client, login, bad):
    answer = client.put(
        f"/api/sketches/{uuid4()}", json={"name": "x", "features": [DRAWN[0], bad]}, headers=login("leader")
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed")
    assert answer.json()["detail"]["field"] == "features.1"


def photo(client, headers, size):
    kept = io.BytesIO()
    Image.new("RGB", size, (90, 120, 150)).save(kept, "JPEG")
    content = kept.getvalue()
    name = hashlib.sha256(content).hexdigest()
    assert client.put(f"/api/media/{name}", content=content, headers=headers).status_code == 200
    return name, content


def test_a_panorama_is_put_on_the_map_seen_moved_and_taken_away(client, login, spot):
    keeper, viewer, which = login("shiftleader1"), login("inspector001"), uuid4()
    name, content = photo(client, keeper, (512, 256))
    path = f"/api/panoramas/{which}"
    body = {"name": "村口", "lon": spot["lon"], "lat": spot["lat"], "heading": 90, "sha256": name}
    assert client.put(path, json=body, headers=viewer).status_code == 403
    assert client.put(path, json=body, headers=keeper).status_code == 201
    assert client.put(path, json=body, headers=keeper).status_code == 201
    listed = {one["id"]: one for one in client.get("/api/panoramas", headers=viewer).json()["items"]}
    assert listed[str(which)]["lon"] == pytest.approx(spot["lon"])
    assert client.get(listed[str(which)]["picture"], headers=viewer).content == content
    moved = {key: body[key] for key in ("name", "lon", "lat")} | {"heading": 200.5}
    assert client.patch(path, json=moved, headers=keeper).json()["heading"] == 200.5
    assert client.delete(path, headers=keeper).status_code == 204
    assert client.get(f"{path}/picture", headers=viewer).status_code == 404
    assert client.post(f"{path}/restore", content=b"", headers=keeper).status_code == 204
    assert client.get(f"{path}/picture", headers=viewer).status_code == 200
    flat, _ = photo(client, keeper, (512, 300))
    refused = client.put(f"/api/panoramas/{uuid4()}", json=body | {"sha256": flat}, headers=keeper)
    assert refused.json()["code"] == "not_a_panorama"
    outside = client.put(f"/api/panoramas/{uuid4()}", json=body | {"lon": 10, "lat": 50}, headers=keeper)
    assert outside.json()["code"] == "outside_town"


def test_a_synthetic_panorama_is_drawn_from_the_ground(client, login, spot, database):
    with database.engine.begin() as tx:
        panoramas.demo(tx, [("示例路口", spot["lon"], spot["lat"])])
        panoramas.demo(tx, [("示例路口", spot["lon"], spot["lat"])])
    headers = login("inspector001")
    one = next(p for p in client.get("/api/panoramas", headers=headers).json()["items"] if "示例路口" in p["name"])
    assert one["synthetic"]
    assert "合成" in one["name"]
    picture = Image.open(io.BytesIO(client.get(one["picture"], headers=headers).content))
    assert picture.size == (2048, 1024)
    pixels = np.asarray(picture).astype(int)
    assert pixels[:300, :, 2].mean() > pixels[700:, :, 2].mean(), "the sky is above"


def test_what_one_sets_up_stays_ones_own(client, login):
    mine, other, path = login("leader"), login("acceptor1"), "/api/preferences/wall.layers"
    assert client.get(path, headers=mine).json() == {"value": None}
    assert client.put(path, json={"value": {"heat": 0.5}}, headers=mine).status_code == 204
    assert client.put(path, json={"value": {"heat": 0.4}}, headers=mine).status_code == 204
    assert client.get(path, headers=mine).json() == {"value": {"heat": 0.4}}
    assert client.get(path, headers=other).json() == {"value": None}
    assert client.put(path, json={"value": "x" * 20_000}, headers=mine).json()["code"] == "malformed"
    client.put(path, json={"value": None}, headers=mine)
    assert client.get(path, headers=mine).json() == {"value": None}
    assert client.get("/api/preferences/../x", headers=mine).status_code == 404


def test_measuring_says_both_figures(client, login):
    points = [[116.65, 40.11], [116.66, 40.11], [116.66, 40.12]]
    found = client.post("/api/measure", json={"points": points, "closed": True}, headers=login("inspector001")).json()
    assert found["area_m2"] == pytest.approx(found["plane_area_m2"], rel=1e-3)
    assert 400_000 < found["area_m2"] < 500_000
    assert len(found["legs"]) == 3


def test_who_sees_no_cases_finds_none_by_place_search_or_replay(client, login, spot, database):
    report = {"catalogue": "cjt214-2007", "category_kind": "event", "category_code": "0102", "description": "路面破损"}
    there = {"lon": spot["lon"], "lat": spot["lat"]}
    made = client.post("/api/cases", json=report | there, headers=login("inspector001")).json()
    since, until = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(seconds=5)

    def found(tx, caller):
        by_place = identify.at(tx, caller, **there, radius_m=20, wanted=CaseFilter(), now=until)["cases"]
        by_number = [one["code"] for one in gazetteer.lookup(tx, caller, made["number"]) if one["kind"] == "case"]
        replayed = track_replay.cases(tx, caller, since, until)["cases"]
        return [str(one.id) for one in by_place], by_number, [str(one["id"]) for one in replayed]

    with database.engine.begin() as tx:
        leader = people.by_username(tx, "leader")
        assert found(tx, leader) == ([made["id"]], [made["id"]], [made["id"]])
        assert found(tx, replace(leader, permissions=leader.permissions - {"case.view"})) == ([], [], [])


def test_a_place_tells_everything_there(client, login, database, spot):
    headers = login("leader")
    one = client.get("/api/components?limit=1", headers=headers).json()["items"][0]
    with database.engine.begin() as tx:
        panoramas.demo(tx, [("这里", one["lon"], one["lat"])])
        near = tx.execute(text("select name, st_x(geom), st_y(geom) from place limit 1")).one()
    found = client.get(f"/api/identify?lon={one['lon']}&lat={one['lat']}&radius=15", headers=headers).json()
    assert found["components"][0]["code"] == one["code"]
    assert found["components"][0]["distance_m"] == 0
    assert [g["code"] for g in found["unit_grids"]] == [one["unit_grid_code"]]
    assert one["village_code"] in [d["code"] for d in found["divisions"]]
    assert [p["name"] for p in found["panoramas"]] == ["这里（合成全景）"]
    there = client.get(f"/api/identify?lon={near[1]}&lat={near[2]}", headers=headers).json()
    assert near[0] in [p["name"] for p in there["places"]]
