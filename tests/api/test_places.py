"""Places over HTTP: how often the public may ask."""

from api import places
from api.access import Throttle


def test_only_the_public_is_limited_in_looking_places_up(client, login, monkeypatch):
    monkeypatch.setattr(places, "anonymous", Throttle(per_minute=3))
    at, headers = {"lon": 116.65, "lat": 40.11}, login("acceptor1")
    assert [client.get("/api/locate", params=at).status_code == 429 for _ in range(5)] == [False] * 3 + [True] * 2
    refused = client.get("/api/locate", params=at, headers={"Authorization": "Bearer nobody"})
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert 0 < refused.json()["detail"]["retry_after_s"] <= 60
    for _ in range(5):
        assert client.get("/api/locate", params=at, headers=headers).status_code != 429
    client.cookies.set("wangge_session", headers["Authorization"].removeprefix("Bearer "))
    assert client.get("/api/locate", params=at).status_code != 429
