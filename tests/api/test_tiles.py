"""Tiles over HTTP: rights, versions, scope, compression, and the same cases as the list."""

import asyncio
import gzip
import time
from itertools import count

import mapbox_vector_tile
import pytest

from api.tiles import LOOK_SECONDS, Cache, Kept
from gis import geometry

MVT = "application/vnd.mapbox-vector-tile"


@pytest.fixture
def town(client):
    """The town's bounds as tiles of a zoom."""
    west, south, east, north = client.get("/api/town").json()["bbox"]
    (x0, y0), (x1, y1) = geometry.world_pixel(west, north), geometry.world_pixel(east, south)

    def tiles(z: int) -> list[str]:
        s = geometry.WORLD_BITS - z
        return [f"{z}/{x}/{y}.mvt" for x in range(x0 >> s, (x1 >> s) + 1) for y in range(y0 >> s, (y1 >> s) + 1)]

    return tiles


@pytest.fixture
def spot(client):
    """A point in the town."""
    west, south, east, north = client.get("/api/town").json()["bbox"]
    for i in range(1, 40):
        place = {"lon": west + (east - west) * i / 40, "lat": (south + north) / 2}
        if client.get("/api/locate", params=place).status_code == 200:
            return place
    raise AssertionError("no point of the middle line lies in the town")


def until(check, seconds=30.0):
    """Wait for what the follower of the feed brings; answers what ``check`` found."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
    return found


def report(client, headers, spot, n=1, **changes):
    told = {"catalogue": "cjt214-2007", "category_kind": "event", "category_code": "0102", "description": "暴露垃圾"}
    for _ in range(n):
        assert client.post("/api/cases", json=told | spot | changes, headers=headers).status_code == 201


def features(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == MVT
    return [f["properties"] for la in mapbox_vector_tile.decode(answer.content).values() for f in la["features"]]


def total(client, headers, tiles, query=""):
    found = [features(client.get(f"/tiles/cases/{tile}{query}", headers=headers)) for tile in tiles]
    return sum(told["n"] for tile in found for told in tile)


def test_tiles_hold_the_cases_of_the_list_at_every_zoom(client, login, spot, town):
    headers = login("acceptor1")
    report(client, headers, spot, 3)
    report(client, headers, spot, 2, category_code="0201", channel="hotline", simulated=True)

    def count(query=""):
        return client.get(f"/api/cases/count{query}", headers=headers).json()["total"]

    until(lambda: count() >= 5)
    for z in (8, 11, 14, 17):
        for query in ("", "?category=event:02", "?channel=hotline,video", "?light=none", "?status=closed", "?q=暴露"):
            assert total(client, headers, town(z), query) == count(query), (z, query)
    assert count("?category=event:02") == 2


def test_a_change_gives_a_new_version_and_no_change_costs_nothing(client, login, spot, town):
    headers = login("acceptor1")
    until(lambda: client.get("/readyz").status_code == 200)
    address = f"/tiles/cases/{town(10)[0]}"
    first = client.get(address, headers=headers)
    again = client.get(address, headers=headers | {"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    px, py = (axis >> geometry.WORLD_BITS - 16 for axis in geometry.world_pixel(spot["lon"], spot["lat"]))
    near, far = (f"/tiles/heat/16/{px + step}/{py}.mvt" for step in (0, 9))
    tags = {one: client.get(one, headers=headers).headers["etag"] for one in (near, far)}
    before = total(client, headers, town(10))
    report(client, headers, spot)
    until(lambda: total(client, headers, town(10)) == before + 1)
    found = [client.get(one, headers=headers | {"If-None-Match": tags[one]}).status_code for one in (near, far)]
    assert found == [200, 304], "only where something happened"
    later = client.get(address, headers=headers | {"If-None-Match": first.headers["etag"]})
    assert later.status_code == 200
    assert later.headers["etag"] != first.headers["etag"]


def test_nobody_sees_cases_outside_the_scope(client, login, spot, town):
    report(client, login("acceptor1"), spot, 2)
    everything, own = login("acceptor1"), login("inspector001")
    until(lambda: total(client, everything, town(10)) == 2)
    assert total(client, own, town(10)) == client.get("/api/cases/count", headers=own).json()["total"]
    address = f"/tiles/cases/{town(10)[0]}"
    etag = client.get(address, headers=everything).headers["etag"]
    assert client.get(address, headers=own | {"If-None-Match": etag}).status_code == 200
    client.cookies.clear()
    for layer in ("cases", "heat", "components", "unit_grids", "duty_grids"):
        answer = client.get(f"/tiles/{layer}/{town(12)[0]}")
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    wrong = client.get(address, headers={"Authorization": "Bearer nobody"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "not_authenticated")


def test_the_ground_is_open_and_drawn(client, login, town):
    shown = {
        name for tile in town(14) for name in mapbox_vector_tile.decode(client.get(f"/tiles/basemap/{tile}").content)
    }
    assert {"road", "parcel", "place"} <= shown
    names = [told["name"] for tile in town(12) for told in features(client.get(f"/tiles/divisions/{tile}"))]
    assert names
    headers = login("acceptor1")
    for layer in ("unit_grids", "duty_grids", "components"):
        assert any(features(client.get(f"/tiles/{layer}/{tile}", headers=headers)) for tile in town(13)), layer
    assert client.get(f"/tiles/unit_grids/{town(8)[0]}", headers=headers).content == b""
    style = client.get("/style.json?theme=light").json()
    assert style["sources"]["basemap"]["tiles"][0].startswith("http://testserver/tiles/basemap/")
    layers = {la["code"]: la for la in client.get("/api/layers", headers=headers).json()["items"]}
    drawn = {"cases", "heat", "components", "unit_grids", "duty_grids", "divisions", "basemap"}
    assert set(layers) == drawn | {"inspectors"}
    assert {code for code, one in layers.items() if one["tiles"] is None} == {"inspectors"}  # drawn from the stream
    assert layers["cases"]["legend"][2]["label"]["zh"] == "超时"


def test_shapes_are_the_same_under_every_filter_and_kept_once(client, login, town):
    headers = login("acceptor1")
    for layer in ("basemap", "divisions", "unit_grids", "duty_grids"):
        address = f"/tiles/{layer}/{town(13)[0]}"
        plain = client.get(address, headers=headers)
        for query in ("?light=red", "?since=2026-01-01&q=x", "?cells=8", "?nonsense=1"):
            other = client.get(address + query, headers=headers | {"If-None-Match": plain.headers["etag"]})
            assert other.status_code == 304, (layer, query)
    tile = town(13)[0]
    etags = {
        client.get(f"/tiles/cases/{tile}{q}", headers=headers).headers["etag"] for q in ("", "?light=red", "?cells=8")
    }
    assert len(etags) == 3


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, "http://testserver/"),
        ({"X-Forwarded-Proto": "https"}, "https://testserver/"),
        (
            {"X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "wangge.example:8443"},
            "https://wangge.example:8443/",
        ),
        ({"X-Forwarded-Proto": "javascript", "X-Forwarded-Host": "evil/?"}, "http://testserver/"),
    ],
)
def test_the_style_names_the_address_the_browser_knows(client, told, expected):
    answer = client.get("/style.json", headers=told)
    assert answer.json()["sources"]["basemap"]["tiles"] == [f"{expected}tiles/basemap/{{z}}/{{x}}/{{y}}.mvt"]
    assert "private" in answer.headers["cache-control"]


def test_bodies_are_packed_for_those_who_can_unpack(client, town):
    address = f"/tiles/basemap/{town(13)[0]}"
    plain = client.get(address, headers={"Accept-Encoding": "identity"})
    packed = client.get(address, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < len(plain.content) == int(plain.headers["content-length"])
    head = client.head(address, headers={"Accept-Encoding": "identity"})
    assert (head.content, head.headers["content-length"]) == (b"", plain.headers["content-length"])


IMPOSSIBLE = {
    "/tiles/nothing/10/1/1.mvt": "not_found",
    "/tiles/cases/10/1024/1.mvt": "not_found",
    "/tiles/cases/23/1/1.mvt": "not_found",
    "/tiles/cases/-1/1/1.mvt": "not_found",
    "/tiles/cases/1/1.mvt": "not_found",
    "/tiles/cases/10/1/1.png": "not_found",
    "/tiles/cases/٣/1/1.mvt": "not_found",
    "/tiles/cases/10/1/1.mvt?light=blue": "bad_filter",
    "/tiles/cases/10/1/1.mvt?bbox=1,2,3": "bad_filter",
    "/tiles/cases/10/1/1.mvt?cells=63": "bad_filter",
    "/style.json?theme=pink": "bad_filter",
}


def test_what_cannot_be_is_refused_in_words(client, login):
    headers = login("acceptor1")
    for address, code in IMPOSSIBLE.items():
        answer = client.get(address, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (404 if code == "not_found" else 400, code), address
    assert client.post("/tiles/cases/10/1/1.mvt", content=b"").status_code == 405


def test_the_cache_forgets_what_was_not_used_for_longest():
    cache = Cache(3000)
    for key in "abc":
        cache.put(key, bytes(400))
    assert cache.get("a")
    cache.put("d", bytes(400))
    assert [key for key in "abcd" if cache.get(key)] == ["a", "c", "d"]
    assert cache.bytes == 2700
    cache.put("e", gzip.compress(bytes(10)))
    assert cache.bytes <= 3000


def test_who_asks_after_a_quiet_spell_gets_nothing_old():
    numbers = count()
    kept = Kept(lambda before: next(numbers))

    async def ask() -> list[int]:
        told = [await kept.get()]
        for late in (0, LOOK_SECONDS / 2, 2 * LOOK_SECONDS):
            kept._until = time.monotonic() - late if late else kept._until
            told.append(await kept.get())
            if kept._running is not None:
                await kept._running
        return told

    # Within its time and a little after it the first is good enough: it is the third that looked again.
    assert asyncio.run(ask()) == [0, 0, 0, 2]
