"""Imports over HTTP: the file is taken, a worker lands it, the run tells what became of every row."""

import pytest
from redis import Redis
from rq import SimpleWorker

from api.background import QUEUE
from gis.settings import settings


@pytest.fixture
def worker(redis_url, monkeypatch, client):
    """What a worker process does, on demand."""
    monkeypatch.setenv("WANGGE_REDIS_URL", redis_url)
    settings.cache_clear()
    with Redis.from_url(redis_url) as connection:
        yield lambda: SimpleWorker([QUEUE], connection=connection).work(burst=True)


MAPPING = """
kind: components
source: test
name: {zh: 试验, en: Trial}
crs: EPSG:4490
geometry: {x: X, y: Y}
identifier: {column: 标识码, kind: component_code}
category: {catalogue: cjt214-2007}
fields:
  name: {column: 名称}
"""


def test_an_uploaded_census_is_landed_by_the_worker_and_refused_rows_are_named(client, login, worker):
    headers = login("admin")
    west, south, east, north = client.get("/api/town").json()["bbox"]
    places = [((west + east) / 2 + i * 1e-5, (south + north) / 2) for i in range(5)] + [(0.0, 0.0)]
    rows = [f"11011301029000{i:02d},污水井盖,{x},{y}" for i, (x, y) in enumerate(places)]
    sent = client.post(
        "/api/imports/components",
        headers=headers,
        files={"file": ("census.csv", "\n".join(["标识码,名称,X,Y", *rows]).encode(), "text/csv")},
        data={"mapping": MAPPING},
    )
    assert sent.status_code == 202, sent.text
    url = f"/api/imports/{sent.json()['id']}"
    assert client.get(url, headers=headers).json()["state"] == "queued"
    worker()
    run = client.get(url, headers=headers).json()
    assert run["state"] == "done", run
    assert (run["counts"]["new"], run["counts"]["refused"]) == (5, 1)
    assert run["counts"]["refused_by_code"] == {"null_island": 1}
    landed = client.get("/api/components/1101130102900003", headers=headers)
    assert landed.json()["name"] == "污水井盖"


def test_nothing_is_taken_that_cannot_be_queued(client, login, monkeypatch):
    monkeypatch.setenv("WANGGE_REDIS_URL", "redis://127.0.0.1:1/0")
    settings.cache_clear()
    answer = client.post("/api/imports/components", headers=login("admin"), files={"file": ("x.csv", b"a\n1\n")})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
