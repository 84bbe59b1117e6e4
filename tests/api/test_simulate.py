"""The simulator against a running service: people come to work, cases flow, and it is patient with what goes wrong."""

import io
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import httpx
import pytest
import uvicorn
from PIL import Image
from rich.console import Console
from sqlalchemy import func, select

from api import access, simulate_people
from api.main import create_app
from api.simulate import Agenda, Plan, run
from api.simulate_client import Later, Refused, Service, SignedOut, quantile
from gis import db, events, pretend
from gis.settings import settings
from gis.tables import case, case_event, position
from tests.conftest import Database


@pytest.fixture
def running(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The service on a port of its own; yields its address."""
    monkeypatch.setenv("WANGGE_HOME", str(tmp_path))
    settings.cache_clear()
    access.forget_callers()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(), log_level="error", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def stop_when_handled(database: Database) -> None:
    """Presses Ctrl-C as soon as cases are far enough; the plan's duration is the limit on a slow machine."""
    give_up = time.monotonic() + 110
    while time.monotonic() < give_up:
        with db.transaction(database.engine) as tx:
            acts = Counter(tx.scalars(select(case_event.c.action)))
            channels = set(tx.scalars(select(case.c.channel)))
        if acts["handle"] >= 2 and acts["report"] >= 15 and len(channels) == 2:
            break
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGINT)


def test_a_town_comes_to_life(running: str, database: Database) -> None:
    told = io.StringIO()
    plan = Plan(running, speed=1e6, inspectors=4, citizens=4, rate=6.0, duration=120.0, fix_every=0.5, threads=4)
    stopper = threading.Thread(target=stop_when_handled, args=(database,))
    stopper.start()
    run(plan, Console(file=told, width=160))
    stopper.join()
    with db.transaction(database.engine) as tx:
        cases = tx.execute(select(case)).all()
        acts = Counter(tx.scalars(select(case_event.c.action)))
        fixes, people = tx.execute(select(func.count(), func.count(position.c.inspector_id.distinct()))).one()
        assert all(events.broken(tx, row.id) is None for row in cases)
    assert len(cases) >= 10
    assert all(row.simulated for row in cases)
    assert {row.channel for row in cases} == {"patrol", "public"}
    assert {row.category_kind for row in cases} == {"component", "event"}
    assert acts.keys() >= {"accept", "file", "dispatch", "handle"}
    assert fixes > 10
    assert people > 1
    assert "act accept" in told.getvalue()
    assert "p95 ms" in told.getvalue()


def answering(*answers: httpx.Response | Exception) -> Service:
    """A service that gives these answers in turn."""
    waiting = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        given = waiting.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    return Service("http://nowhere", 1, httpx.MockTransport(answer))


def problem(status: int, code: str, **detail: object) -> httpx.Response:
    return httpx.Response(status, json={"status": status, "code": code, "detail": detail})


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (httpx.ConnectError("no"), Later),
        (httpx.ReadTimeout("slow"), Later),
        (problem(503, "unavailable"), Later),
        (httpx.Response(502, text="<html>"), Later),
        (problem(401, "not_authenticated"), SignedOut),
        (problem(409, "stale_case"), Refused),
        (problem(422, "outside_town"), Refused),
    ],
)
def test_what_goes_wrong_is_told_apart_and_counted(answer: httpx.Response | Exception, raised: type[Exception]) -> None:
    service = answering(answer, httpx.Response(200, json={"fine": True}))
    with pytest.raises(raised):
        service.call("thing", "GET", "/thing")
    assert service.call("thing", "GET", "/thing") == {"fine": True}
    assert (service.done("thing"), service.refused()) == (1, 1)
    service.close()


def test_a_full_service_says_when_to_come_back() -> None:
    service = answering(problem(429, "too_many_requests", retry_after_s=30))
    with pytest.raises(Later) as later:
        service.call("login", "POST", "/api/login", body={})
    assert 30 <= later.value.seconds <= 32
    service.close()


def test_the_agenda_keeps_time_and_outlives_trouble() -> None:
    agenda, done = Agenda(Console(file=io.StringIO())), []

    def step(name: str, again: Callable[[], float | None]) -> Callable[[], float | None]:
        def act() -> float | None:
            done.append(name)
            return again()

        return act

    def trouble() -> float | None:
        if done.count("troubled") == 1:
            raise Later(0.05)
        return None

    def end() -> None:
        agenda.end()

    agenda.add(step("second", lambda: None), 0.1)
    agenda.add(step("first", lambda: None))
    agenda.add(step("troubled", trouble), 0.15)
    agenda.add(step("last", end), 0.4)
    began = time.monotonic()
    agenda.work()
    assert done == ["first", "second", "troubled", "troubled", "last"]
    assert 0.4 <= time.monotonic() - began < 5


def test_ids_are_uuid7_in_order_and_pictures_are_photos() -> None:
    ids = []
    for _ in range(3):
        ids.append(simulate_people.new_id())
        time.sleep(0.002)
    assert ids == sorted(ids)
    assert {(i.version, i.variant) for i in ids} == {(7, "specified in RFC 4122")}
    with Image.open(io.BytesIO(pretend.picture(Random(1)))) as image:
        assert image.format == "JPEG"


def test_quantiles() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [quantile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50.0, 95.0, 99.0, 100.0]
    assert quantile([], 0.5) == 0.0
    assert quantile([7.0], 0.99) == 7.0
