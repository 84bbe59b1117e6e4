"""Tokens for map programs: one's own, read layers and nothing else, end when they are to; each in the audit."""

from base64 import b64encode

import pytest
from sqlalchemy import select, text

from gis import map_tokens
from gis.tables import audit


@pytest.fixture
def made(client, login):
    """A token of the leader's, and what is told of it."""
    answer = client.post("/api/map-tokens", json={"name": " 规划科 QGIS ", "days": 30}, headers=login("leader"))
    assert answer.status_code == 201, answer.text
    return answer.json()


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def test_it_reads_the_layers_and_opens_nothing_else(client, login, made):
    token = made["token"]
    basic = {"Authorization": f"Basic {b64encode(f'leader:{token}'.encode()).decode()}"}
    for headers in (bearer(token), basic):
        assert client.get("/ogc/collections", headers=headers).status_code == 200
    assert client.get("/tiles/unit_grids/13/6748/3098.mvt", headers=bearer(token)).status_code == 200
    for method, path in (
        ("GET", "/api/me"),
        ("GET", "/api/cases"),
        ("GET", "/api/map-tokens"),
        ("POST", "/api/map-tokens"),
        ("GET", "/api/selection/layers"),
        ("POST", "/api/logout"),
    ):
        answer = client.request(method, path, headers=bearer(token), json={"name": "x"} if method == "POST" else None)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
    # It was used, which its owner sees.
    (told,) = client.get("/api/map-tokens", headers=login("leader")).json()["items"]
    assert (told["name"], told["state"]) == ("规划科 QGIS", "living")
    assert told["last_used_at"] is not None
    assert token not in str(told)


def test_it_ends_when_revoked_or_over_and_only_by_its_owner(client, login, made, database):
    token, key = made["token"], made["about"]["id"]
    assert client.get("/ogc", headers=bearer(token)).status_code == 200
    other = login("shiftleader1")
    assert client.delete(f"/api/map-tokens/{key}", headers=other).status_code == 404
    assert client.get("/api/map-tokens", headers=other).json() == {"items": []}
    assert client.get("/ogc", headers=bearer(token)).status_code == 200
    assert client.delete(f"/api/map-tokens/{key}", headers=login("leader")).status_code == 204
    assert client.get("/ogc", headers=bearer(token)).status_code == 401
    assert client.delete(f"/api/map-tokens/{key}", headers=login("leader")).status_code == 404
    second = client.post("/api/map-tokens", json={"name": "二", "days": 1}, headers=login("leader")).json()["token"]
    with database.engine.begin() as tx:
        tx.execute(text("update token set expires_at = now() - interval '1 second' where label = '二'"))
        acts = tx.execute(select(audit.c.act, audit.c.detail).where(audit.c.act.like("token.%")).order_by(audit.c.id))
        lines = [(act, detail["name"], "until" in detail) for act, detail in acts]
    assert lines == [
        ("token.make", "规划科 QGIS", True),
        ("token.revoke", "规划科 QGIS", False),
        ("token.make", "二", True),
    ]
    assert client.get("/ogc", headers=bearer(second)).status_code == 401
    states = [one["state"] for one in client.get("/api/map-tokens", headers=login("leader")).json()["items"]]
    assert states == ["over", "revoked"]


def test_what_is_asked_for_wrongly_or_too_often_is_refused(client, login, monkeypatch):
    headers = login("leader")
    for wish in ({"name": "  "}, {"name": "a", "days": 0}, {"name": "a", "days": 367}, {"name": "a" * 61}, {}):
        assert client.post("/api/map-tokens", json=wish, headers=headers).status_code == 422, wish
    monkeypatch.setattr(map_tokens, "MOST", 2)
    for status in (201, 201, 422):
        answer = client.post("/api/map-tokens", json={"name": "a"}, headers=headers)
        assert answer.status_code == status
    assert answer.json()["code"] == "too_many_tokens"
