"""Imports over HTTP: the file is kept, a worker lands it, the run tells what became of every row; Redis may be lost."""

from datetime import timedelta
from pathlib import Path

from redis import Redis
from sqlalchemy import func, select, update

from api import background
from gis import db
from gis.settings import settings
from gis.tables import audit, import_run

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


def send(client, headers) -> str:
    """Five good places of a census and one that is nowhere; the address of the run."""
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
    return f"/api/imports/{sent.json()['id']}"


def kept() -> list[Path]:
    return list((settings().home / "uploads").iterdir())


def test_an_uploaded_census_is_landed_by_the_worker_and_refused_rows_are_named(client, login, worker):
    headers = login("admin")
    url = send(client, headers)
    assert client.get(url, headers=headers).json()["state"] == "queued"
    worker()
    run = client.get(url, headers=headers).json()
    assert run["state"] == "done", run
    assert (run["counts"]["new"], run["counts"]["refused"]) == (5, 1)
    assert run["counts"]["refused_by_code"] == {"null_island": 1}
    landed = client.get("/api/components/1101130102900003", headers=headers)
    assert landed.json()["name"] == "污水井盖"


def test_what_is_taken_while_redis_is_away_is_landed_when_it_is_back(client, login, worker, redis_url, monkeypatch):
    headers = login("admin")
    monkeypatch.setenv("WANGGE_REDIS_URL", "redis://127.0.0.1:1/0")
    settings.cache_clear()
    url = send(client, headers)
    assert background.requeue() == 0
    monkeypatch.setenv("WANGGE_REDIS_URL", redis_url)
    settings.cache_clear()
    assert len(kept()) == 1
    assert background.requeue() == 1
    assert background.requeue() == 0, "it is in Redis now"
    with Redis.from_url(redis_url) as connection:
        connection.flushall()
    assert background.requeue() == 1, "Redis lost it"
    worker()
    assert client.get(url, headers=headers).json()["state"] == "done"
    assert kept() == []
    assert background.requeue() == 0
    with db.transaction() as tx:
        assert tx.execute(select(func.count()).where(audit.c.act == "import.start")).scalar_one() == 1


def test_a_run_whose_worker_was_killed_is_queued_again(client, login, worker):
    headers = login("admin")
    url = send(client, headers)
    with db.transaction() as tx:  # as it stands when the worker took it from the queue, claimed it, and was killed
        tx.execute(update(import_run).values(state="running", attempts=1, heartbeat=func.now()))
    worker()
    assert client.get(url, headers=headers).json()["state"] == "running"
    assert background.requeue() == 0
    with db.transaction() as tx:
        tx.execute(update(import_run).values(heartbeat=func.now() - timedelta(minutes=3)))
    assert background.requeue() == 1
    worker()
    assert client.get(url, headers=headers).json()["counts"]["new"] == 5
