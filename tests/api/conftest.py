"""The service in this process over a database of the test's own."""

from collections.abc import Callable, Iterator

import pytest
from redis import Redis
from rq import SimpleWorker
from starlette.testclient import TestClient

from api import access, places
from api.access import Throttle
from api.background import QUEUE
from api.main import create_app
from gis.settings import settings

PASSWORD = "wangge-demo-2026"


@pytest.fixture
def client(database, tmp_path, monkeypatch) -> Iterator[TestClient]:
    """The running application; errors come back as answers, as they do from a server."""
    monkeypatch.setenv("WANGGE_HOME", str(tmp_path))
    settings.cache_clear()
    access.forget_callers()
    monkeypatch.setattr(places, "anonymous", Throttle(per_minute=300))  # each test has its own minute
    with TestClient(create_app(), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def login(client) -> Callable[[str], dict[str, str]]:
    """Headers of a signed-in person."""

    def headers(username: str) -> dict[str, str]:
        answer = client.post("/api/login", json={"username": username, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        client.cookies.clear()
        return {"Authorization": f"Bearer {answer.json()['token']}"}

    return headers


@pytest.fixture
def spot(client):
    """A point in the town with its facts."""
    west, south, east, north = client.get("/api/town").json()["bbox"]
    for i in range(1, 40):
        lon, lat = west + (east - west) * (i / 40), (south + north) / 2
        answer = client.get("/api/locate", params={"lon": lon, "lat": lat})
        if answer.status_code == 200:
            return {"lon": lon, "lat": lat, "facts": answer.json()}
    raise AssertionError("no point of the middle line lies in the town")


@pytest.fixture
def worker(redis_url, monkeypatch, client):
    """What a worker process does, on demand."""
    monkeypatch.setenv("WANGGE_REDIS_URL", redis_url)
    settings.cache_clear()
    with Redis.from_url(redis_url) as connection:
        connection.flushall()
        yield lambda: SimpleWorker([QUEUE], connection=connection).work(burst=True)
