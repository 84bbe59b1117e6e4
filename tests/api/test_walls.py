"""Driving a wall from another device: by a code once, only the wall that showed it, only by who may."""

from uuid import uuid4

import pytest
import redis

from api import walls
from api.access import Throttle
from gis.settings import settings

NOWHERE = {"address": "?status=open&stage=nowhere#map=12/40.1/116.6"}


@pytest.fixture
def service(client, redis_url, monkeypatch):
    """The service with a Redis that holds nothing yet."""
    monkeypatch.setenv("WANGGE_REDIS_URL", redis_url)
    monkeypatch.setattr(walls, "_guesses", Throttle(per_minute=10))
    settings.cache_clear()
    redis.Redis.from_url(redis_url).flushall()
    return client


def refused(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_a_device_drives_the_wall_whose_code_it_gives(service, login):
    wall, other, leader, phone = uuid4(), uuid4(), login("leader"), login("shiftleader1")
    code = service.post(f"/api/walls/{wall}/code", headers=leader, content=b"").json()["code"]
    assert refused(service.put(f"/api/walls/{wall}/show", json=NOWHERE, headers=phone)) == (404, "not_found")
    assert service.post("/api/walls/pair", json={"code": code}, headers=phone).json() == {"wall": str(wall)}
    assert refused(service.post("/api/walls/pair", json={"code": code}, headers=login("dispatcher1"))) == (
        404,
        "not_found",
    )
    assert service.put(f"/api/walls/{wall}/show", json=NOWHERE, headers=phone).json() == {"reached": False}
    assert service.put(f"/api/walls/{wall}/shown", json=NOWHERE, headers=leader).status_code == 204
    assert service.get(f"/api/walls/{wall}", headers=phone).json() == {
        "of": service.get("/api/me", headers=leader).json()["name"],
        "shown": NOWHERE["address"],
        "listening": False,
    }
    service.post(f"/api/walls/{other}/code", headers=leader, content=b"")
    assert refused(service.put(f"/api/walls/{other}/show", json=NOWHERE, headers=phone)) == (404, "not_found")
    assert service.delete(f"/api/walls/{wall}/drivers", headers=leader).status_code == 204
    assert refused(service.get(f"/api/walls/{wall}", headers=phone)) == (404, "not_found")


def test_a_wall_is_its_owners(service, login):
    wall, leader, other = uuid4(), login("leader"), login("evaluator1")
    service.post(f"/api/walls/{wall}/code", headers=leader, content=b"")
    for method, path in (("POST", "code"), ("GET", "stream"), ("DELETE", "drivers")):
        answer = service.request(method, f"/api/walls/{wall}/{path}", headers=other, content=b"")
        assert refused(answer) == (404, "not_found"), path
    assert refused(service.put(f"/api/walls/{wall}/shown", json=NOWHERE, headers=other)) == (404, "not_found")


def test_a_code_ends_with_the_next_one_and_is_not_found_by_trying(service, login):
    wall, leader, phone = uuid4(), login("leader"), login("dispatcher1")
    first, second = (
        service.post(f"/api/walls/{wall}/code", headers=leader, content=b"").json()["code"] for _ in range(2)
    )
    if first != second:
        assert refused(service.post("/api/walls/pair", json={"code": first}, headers=phone))[0] == 404
    assert service.post("/api/walls/pair", json={"code": second}, headers=phone).status_code == 200
    tried = [service.post("/api/walls/pair", json={"code": second}, headers=phone).status_code for _ in range(10)]
    assert tried[-1] == 429
    assert refused(service.post("/api/walls/pair", json={"code": second}, headers=login("handler_D02_1"))) == (
        403,
        "forbidden",
    )


@pytest.mark.parametrize(
    "address",
    ["wall", "?a=1 b=2", "?light=blue", "?bbox=1,2", "?status=open#map=https://elsewhere", "?" + "a" * 2000, "//x"],
)
def test_an_address_no_wall_could_show_is_refused(service, login, address):
    wall, leader = uuid4(), login("leader")
    service.post(f"/api/walls/{wall}/code", headers=leader, content=b"")
    answer = service.put(f"/api/walls/{wall}/shown", json={"address": address}, headers=leader)
    assert answer.status_code in (400, 422), answer.text


def test_without_redis_it_says_so(client, login):
    answer = client.post(f"/api/walls/{uuid4()}/code", headers=login("leader"), content=b"")
    assert refused(answer) == (503, "unavailable")
