"""OGC API – Features: what the standard asks for, and what GDAL, OWSLib and the list read of the same layers."""

import json
import socket
import subprocess
import sys
import threading
import time
from base64 import b64encode
from uuid import UUID

import httpx
import pytest
import uvicorn
from owslib.ogcapi.features import Features
from sqlalchemy import insert, text

from api import live
from api.main import create_app
from gis import geometry, people
from gis.tables import case, position_live
from tests.gis.case_rows import MOMENTS, row

N = 60
LAYERS = {"cases", "components", "unit_grids", "duty_grids", "divisions", "basemap", "inspectors"}
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
EPSG = "http://www.opengis.net/def/crs/EPSG/0/"


@pytest.fixture
def cases(database):
    """Cases in a row from west to east, reported in turn at the six moments; (id, lon, lat, moment)."""
    with database.engine.begin() as tx:
        middle = text("select st_x(c), st_y(c) from (select st_centroid(st_extent(geom)) c from unit_grid) g")
        lon, lat = tx.execute(middle).one()
        found = []
        for n in range(N):
            at, moment = (lon + n * 1e-4, lat), MOMENTS[n % len(MOMENTS)]
            changes = {"id": UUID(int=(n * 7919 % N) + 1), "lon": at[0], "lat": at[1], "mk": geometry.morton(*at)}
            tx.execute(insert(case).values(row(n, **changes, reported_at=moment, channel=("patrol", "hotline")[n % 2])))
            found.append((str(changes["id"]), *at, moment))
        someone = people.by_username(tx, "inspector001")
        tx.execute(
            insert(position_live).values(inspector_id=someone.id, at=text("now()"), lon=lon, lat=lat, accuracy_m=8.0)
        )
    return found


@pytest.fixture
def get(client, login):
    """An answer to the leader, by path below /ogc."""
    headers = login("leader")

    def ask(path="", status=200, more=None, **query):
        answer = client.get(f"/ogc{path}", params=query or None, headers=headers | (more or {}))
        assert answer.status_code == status, answer.text
        return answer

    return ask


def every(get, path, **query):
    """All features by the links to the next page, and how many the first page said there are."""
    page = get(path, **query).json()
    found, matched = page["features"], page.get("numberMatched")
    while following := [one["href"] for one in page["links"] if one["rel"] == "next"]:
        page = get(following[0].partition("/ogc")[2]).json()
        assert page["numberReturned"] == len(page["features"]) > 0
        found += page["features"]
    return found, matched


def test_the_landing_page_leads_to_everything(get, cases):
    links = {one["rel"]: one for one in get().json()["links"]}
    assert links.keys() == {"self", "service-desc", "conformance", "data", "alternate"}
    for one in links.values():
        answer = get(one["href"].partition("/ogc")[2])
        assert answer.headers["content-type"].partition("; charset")[0] == one["type"]
    told = get("/collections").json()["collections"]
    assert {one["id"] for one in told} == LAYERS
    for one in told:
        alone = get(f"/collections/{one['id']}").json()
        alone["links"] = [to for to in alone["links"] if to["rel"] != "alternate"]
        assert alone == one
        for to in one["links"]:
            assert get(to["href"].partition("/ogc")[2]).headers["content-type"] == to["type"], to
        properties = get(f"/collections/{one['id']}/schema").json()["properties"]
        for feature in get(f"/collections/{one['id']}/items", limit=3).json()["features"]:
            assert feature["properties"].keys() | {"geometry"} == properties.keys()
            alone = get(f"/collections/{one['id']}/items/{feature['id']}").json()
            assert {name: alone[name] for name in feature} == feature
    paths = get("/api").json()["paths"]
    assert {path.split("/")[2] for path in paths if path.startswith("/collections/")} == LAYERS
    for name in ("bbox", "bbox-crs", "datetime", "crs", "limit", "cursor"):
        assert {"$ref": f"#/components/parameters/{name}"} in paths["/collections/cases/items"]["get"]["parameters"]


def test_a_browser_is_shown_pages_of_the_same_documents(get, database, cases):
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Language": "en-GB,zh;q=0.5"}
    with database.engine.begin() as tx:
        tx.execute(case.update().values(description="<script>1</script>"))
    first = get("/collections/cases/items", limit=2).json()["features"][0]["id"]
    for path, words in (
        ("", "Make a map token"),
        ("/conformance", "ogcapi-features-1/1.0/conf/html"),
        ("/api", "openapi"),
        ("/collections", "Unit grids"),
        ("/collections/unit_grids", "Queryables"),
        ("/collections/cases/queryables", "properties"),
        ("/collections/cases/schema", "properties"),
        ("/collections/cases/items", "60 on this page"),
        (f"/collections/cases/items/{first}", "&lt;script&gt;1"),
    ):
        answer = get(path, 200, browser)
        assert answer.headers["content-type"] == "text/html; charset=utf-8", path
        assert words in answer.text, path
        assert "<script" not in answer.text, path
        assert "script" not in answer.headers["content-security-policy"]
        again = get(path, 304, browser | {"If-None-Match": answer.headers["etag"]})
        assert "accept," in again.headers["vary"]
        assert get(path, 200, browser, f="json").json(), path
    assert "制作地图令牌" in get("", 200, {"Accept": "text/html", "Accept-Language": "zh-CN"}).text
    for accept in ("*/*", "application/geo+json, text/html", ""):
        assert get("/collections/cases/items", 200, {"Accept": accept}, limit=1).json()["numberReturned"] == 1
    told = get("/collections/cases/items", limit=1, f="html").text
    assert 'rel="next"' in told
    get("/collections/cases/items", 400, f="kml")


def test_pages_hold_every_feature_once(get, cases):
    with live.db.transaction() as tx:
        live.store().refresh(tx, [UUID(key) for key, *_ in cases])
    found, matched = every(get, "/collections/cases/items", limit=7)
    assert sorted(one["id"] for one in found) == sorted(key for key, *_ in cases)
    assert matched == N
    assert get("/collections/cases/items", limit=10**9).json()["numberReturned"] == N
    grids, matched = every(get, "/collections/unit_grids/items", limit=500)
    assert len({one["id"] for one in grids}) == len(grids) == matched


def test_filters_are_those_of_the_list_and_the_standard(get, client, login, cases):
    with live.db.transaction() as tx:
        live.store().refresh(tx, [UUID(key) for key, *_ in cases])

    def chosen(keep):
        return sorted(one[0] for n, one in enumerate(cases) if keep(n, *one[1:]))

    west, lat = cases[10][1] - 1e-5, cases[0][2]
    east = cases[20][1] + 1e-5
    in_box = chosen(lambda n, x, y, at: west <= x <= east)
    south, north = lat - 0.001, lat + 0.001
    (e0, n0), (e1, n1) = geometry.to_4548(west, south), geometry.to_4548(east, north)
    second = MOMENTS[1].isoformat().replace("+00:00", "Z")
    third = MOMENTS[2].isoformat().replace("+00:00", "Z")
    for query, expected in (
        ({"bbox": f"{west},{south},{east},{north}"}, in_box),
        ({"bbox": f"{west},{south},-5,{east},{north},90"}, in_box),
        ({"bbox": f"{south},{west},{north},{east}", "bbox-crs": f"{EPSG}4490"}, in_box),
        ({"bbox": f"{n0},{e0},{n1},{e1}", "bbox-crs": f"{EPSG}4548"}, in_box),
        ({"bbox": "170,-10,-170,10"}, []),
        ({"datetime": second}, chosen(lambda n, x, y, at: at == MOMENTS[1])),
        ({"datetime": f"{second}/{third}"}, chosen(lambda n, x, y, at: MOMENTS[1] <= at <= MOMENTS[2])),
        ({"datetime": f"{third}/.."}, chosen(lambda n, x, y, at: at >= MOMENTS[2])),
        ({"datetime": f"/{second}"}, chosen(lambda n, x, y, at: at <= MOMENTS[1])),
        ({"datetime": "2026-11-01"}, chosen(lambda n, x, y, at: at == MOMENTS[0])),  # the town's day
        ({"channel": "hotline"}, chosen(lambda n, x, y, at: n % 2 == 1)),
        (
            {"channel": "hotline", "bbox": f"{west},{south},{east},{north}"},
            [k for k in in_box if k in chosen(lambda n, *_: n % 2)],
        ),
    ):
        found, matched = every(get, "/collections/cases/items", limit=9, **query)
        assert sorted(one["id"] for one in found) == expected, query
        assert matched in (None, len(expected)), query
    village = get("/collections/unit_grids/items", limit=1).json()["features"][0]["properties"]["village_code"]
    found, matched = every(get, "/collections/unit_grids/items", village_code=village, limit=1000)
    assert {one["properties"]["village_code"] for one in found} == {village}
    assert matched == len(found)
    assert get("/collections/unit_grids/items", datetime="1990-01-01").json()["numberMatched"] == 0
    for query in (
        {"colour": "red"},
        {"bbox": "1,2,3"},
        {"bbox": "1,2,x,4"},
        {"bbox": "nan,nan,nan,nan"},
        *({"bbox": box, "bbox-crs": f"{EPSG}4548"} for box in ("nan,nan,nan,nan", "-inf,0,1,2", "-1e9,-1e9,1e9,1e9")),
        {"bbox": "1,5,2,4"},
        {"bbox": "1,2,3,4", "bbox-crs": f"{EPSG}4326"},
        {"crs": "EPSG:4490"},
        {"datetime": "yesterday"},
        {"datetime": "2026-11-02/2026-11-01"},
        {"datetime": "2026-11-02", "since": "2026-11-01"},
        {"limit": "0"},
        {"limit": "-1"},
        {"limit": "many"},
        {"cursor": "x"},
        {"f": "kml"},
        {"severity": "9"},
    ):
        answer = get("/collections/cases/items", 400, **query)
        assert answer.headers["content-type"] == "application/problem+json", query


def test_coordinates_come_in_the_system_asked_for_with_its_axes(get, cases):
    key, lon, lat, _ = cases[0]
    east, north = geometry.to_4548(lon, lat)
    for path, crs, expected in (
        ("", None, [lon, lat]),
        ("", CRS84, [lon, lat]),
        ("", f"{EPSG}4490", [lat, lon]),
        ("", f"{EPSG}4548", [north, east]),
        (f"/{key}", f"{EPSG}4548", [north, east]),
    ):
        answer = get(f"/collections/cases/items{path}", **({"crs": crs} if crs else {}))
        assert answer.headers["content-crs"] == f"<{crs or CRS84}>"
        found = answer.json() if path else next(one for one in answer.json()["features"] if one["id"] == key)
        assert found["geometry"]["coordinates"] == pytest.approx(expected, abs=1e-3 if "4548" in str(crs) else 1e-8)


def test_an_unchanged_page_is_not_sent_again(get, database, cases):
    first = get("/collections/cases/items", limit=5)
    mark = {"If-None-Match": first.headers["etag"]}
    assert get("/collections/cases/items", 304, mark, limit=5).content == b""
    with database.engine.begin() as tx:
        key = UUID(first.json()["features"][0]["id"])
        tx.execute(case.update().where(case.c.id == key).values(description="改了"))
    assert (
        get("/collections/cases/items", 200, mark, limit=5).json()["features"][0]["properties"]["description"] == "改了"
    )


def test_a_name_and_a_token_open_it_as_a_password_does_not(client, login, cases):
    token = login("inspector001")["Authorization"].removeprefix("Bearer ")

    def ask(name, secret, path="/ogc/collections"):
        basic = b64encode(f"{name}:{secret}".encode()).decode()
        return client.get(path, headers={"Authorization": f"Basic {basic}"})

    seen = {one["id"] for one in ask("inspector001", token).json()["collections"]}
    assert seen == LAYERS - {"inspectors"}
    for name, secret in (("leader", token), ("inspector001", "wangge-demo-2026"), ("inspector001", ""), ("", token)):
        answer = ask(name, secret)
        assert answer.status_code == 401, (name, secret)
        assert answer.headers["www-authenticate"].startswith("Basic ")
    assert ask("inspector001", token, "/ogc/collections/inspectors/items").status_code == 403
    assert ask("inspector001", token, "/ogc/collections/heat").status_code == 404
    assert ask("inspector001", token, "/api/me").status_code == 401
    assert client.get("/ogc", headers={"Authorization": "Basic %%%"}).status_code == 401
    assert "www-authenticate" not in client.get("/api/me").headers


# --- Clients nobody here wrote ----------------------------------------------------------------------------------


@pytest.fixture
def served(database, cases, tmp_path, monkeypatch):
    """The service on a port, over the test's database; its address."""
    monkeypatch.setenv("WANGGE_HOME", str(tmp_path))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(create_app(), port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    url, end = f"http://127.0.0.1:{port}", time.monotonic() + 60
    try:
        while True:
            try:
                if httpx.get(f"{url}/readyz", trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert time.monotonic() < end, "it does not start"
            time.sleep(0.05)
        login = {"username": "leader", "password": "wangge-demo-2026"}
        token = httpx.post(f"{url}/api/login", json=login, trust_env=False).json()["token"]
        yield url, token
    finally:
        server.should_exit = True
        thread.join(timeout=30)


READ = """
import json, sys
import pyogrio
url, out = sys.argv[1], {}
for name, _ in pyogrio.list_layers(f"OAPIF:{url}/ogc"):
    frame = pyogrio.read_dataframe(f"OAPIF:{url}/ogc", layer=name, PAGE_SIZE="500")
    flat = pyogrio.read_dataframe(f"OAPIF:{url}/ogc", layer=name, max_features=5, CRS="EPSG:4548")
    out[name] = {
        "n": len(frame),
        "crs": frame.crs.to_string(),
        "columns": list(frame.columns),
        "bounds": frame.total_bounds.tolist(),
        "flat": flat.crs.to_string(),
        "flat_bounds": flat.total_bounds.tolist(),
        "flat_again": flat.to_crs("EPSG:4490").total_bounds.tolist(),
        "first": frame.iloc[:5].total_bounds.tolist(),
    }
box = pyogrio.read_dataframe(f"OAPIF:{url}/ogc", layer="cases", bbox=tuple(map(float, sys.argv[2].split(","))))
hotline = pyogrio.read_dataframe(f"OAPIF:{url}/ogc", layer="cases", where="channel = 'hotline'")
tile = pyogrio.read_dataframe(f"MVT:/vsicurl/{url}/tiles/{sys.argv[3]}", layer="unit_grids")
print(json.dumps({"layers": out, "box": len(box), "hotline": len(hotline), "tile": len(tile),
    "tile_bounds": tile.to_crs("EPSG:4326").total_bounds.tolist()}))
"""

LIST = """
import json, sys
import pyogrio
print(json.dumps([name for name, _ in pyogrio.list_layers(f"OAPIF:{sys.argv[1]}/ogc")]))
"""


def test_gdal_reads_every_layer_and_tiles(served, cases, database, tmp_path):
    url, token = served
    with database.engine.begin() as tx:
        held = {
            "cases": N,
            "inspectors": 1,
            **{
                name: tx.execute(text(f"select count(*) from {table}")).scalar_one()
                for name, table in (
                    ("components", "component where state <> 'removed'"),
                    ("unit_grids", "unit_grid where valid_to is null"),
                    ("duty_grids", "duty_grid where valid_to is null"),
                    ("divisions", "division where valid_to is null"),
                    ("basemap", "basemap_feature"),
                )
            },
        }
    lon, lat = cases[0][1:3]
    px, py = geometry.world_pixel(lon, lat)
    shift = geometry.WORLD_BITS - 14
    tile = f"unit_grids/14/{px >> shift}/{py >> shift}.mvt"
    box = f"{lon - 1e-5},{lat - 0.001},{cases[9][1] + 1e-5},{lat + 0.001}"
    headers = tmp_path / "headers"
    headers.write_text(f"Authorization: Bearer {token}\n")
    read = json.loads(gdal({"GDAL_HTTP_HEADER_FILE": str(headers)}, READ, url, box, tile))
    assert {name: told["n"] for name, told in read["layers"].items()} == held
    for name, told in read["layers"].items():
        assert (told["crs"], told["flat"]) == ("EPSG:4490", "EPSG:4548"), name
        assert told["flat_again"] == pytest.approx(told["first"], abs=1e-6), name
    assert "description" in read["layers"]["cases"]["columns"]
    west, south, east, north = read["layers"]["unit_grids"]["bounds"]
    assert west < lon < east
    assert south < lat < north
    x, y = geometry.to_4548(lon, lat)
    assert read["layers"]["inspectors"]["flat_bounds"] == pytest.approx([x, y, x, y], abs=0.01)
    assert (read["box"], read["hotline"]) == (10, N // 2)
    assert read["tile"] > 0
    west, south, east, north = read["tile_bounds"]
    assert west < lon < east
    assert south < lat < north
    listed = gdal({"GDAL_HTTP_USERPWD": f"leader:{token}"}, LIST, url)
    assert set(json.loads(listed)) == LAYERS


def gdal(credentials, program, *arguments):
    """What a program says in a process of its own, which GDAL blocks while it reads."""
    own = {"PATH": "/usr/bin:/bin", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=own | credentials, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_owslib_reads_it(served, cases):
    url, token = served
    service = Features(f"{url}/ogc", headers={"Authorization": f"Bearer {token}"})
    assert set(service.feature_collections()) == LAYERS
    assert service.api()["openapi"].startswith("3.0")
    assert service.collection_queryables("cases")["properties"]
    assert service.collection_schema("cases")["properties"]
    page = service.collection_items("cases", limit=7, channel="hotline")
    assert (page["numberReturned"], page["numberMatched"]) == (7, N // 2)
    assert service.collection_item("cases", cases[0][0])["id"] == cases[0][0]
