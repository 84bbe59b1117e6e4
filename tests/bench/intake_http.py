"""intake_http: reports over HTTP, routed and durable with event and outbox, against the same rows by plain SQL."""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import text

from gis import areas, db
from tests.bench import service
from tests.bench.harness import Bench, Figure, at_least, roads, scatter

NAME = "intake_http"
REPORTS, CONNECTIONS = 4000, 16
# Signalen's own intake on the kind of machine this runs on, web part only: measured once, see the design's sources.
SIGNALEN = 30.6
CATEGORIES = ("0102", "0104", "0110", "0112", "0201", "0204", "0302", "0304", "0505", "0506", "0507")


def run(bench: Bench) -> Iterable[Figure]:
    """Both figures: against plain SQL of this run, and against Signalen's measured rate."""
    with bench.database() as engine:
        url = engine.url.render_as_string(hide_password=False).replace("+psycopg", "")
        with db.transaction(engine) as tx:
            bounds, lines = areas.areas(tx).bounds, roads(tx)
            inside = areas.areas(tx)
            lon, lat = scatter(bench.scaled(REPORTS * 2), bounds, lines)
            kept = inside.locate(lon, lat) >= 0
        points = list(zip(lon[kept].tolist(), lat[kept].tolist(), strict=True))[: bench.scaled(REPORTS)]
        with service.running(url) as address:
            token = service.token(address, "acceptor1")
            warm, rest = points[: len(points) // 10], points[len(points) // 10 :]
            service.send(address, _requests(warm, token), CONNECTIONS)
            with engine.connect() as tx:
                before = tx.execute(text("select max(id) from case_event")).scalar_one()
            load = service.send(address, _requests(rest, token), CONNECTIONS)
        if set(load.statuses) != {201}:
            raise RuntimeError(f"not every report was taken: {load.statuses}")
        bench.say(f"intake: p50 {load.percentile(0.5):.1f} ms, p95 {load.percentile(0.95):.1f} ms")
        plain = _plain_sql(url, before)
    yield at_least(NAME, load.rate, plain, "reports/s", 0.5)
    yield at_least("intake_signalen", load.rate, SIGNALEN, "reports/s (reference measured once)", 10)


def _requests(points: list[tuple[float, float]], token: str) -> list[bytes]:
    return [
        service.request(
            "POST",
            "/api/cases",
            token,
            {
                "id": str(uuid4()),
                "catalogue": "cjt214-2007",
                "category_kind": "event",
                "category_code": CATEGORIES[i % len(CATEGORIES)],
                "lon": lon,
                "lat": lat,
                "description": "巡查发现的问题，请尽快处置",
            },
        )
        for i, (lon, lat) in enumerate(points)
    ]


def _plain_sql(url: str, after: int) -> float:
    """Transactions a second that write the very rows the API wrote, over as many connections, as durably."""
    with psycopg.connect(url) as reader:
        events = _rows(reader, "case_event", f"where id > {after}")
        ids = [event["case_id"] for event in events]
        cases = {row["id"]: row for row in _rows(reader, '"case"', "where id = any(%s)", [ids])}
        waiting = {row["case_id"]: row for row in _rows(reader, "delivery", "where case_id = any(%s)", [ids])}
        reader.execute("alter table case_event disable trigger user")
        reader.execute("delete from delivery")
        reader.execute("delete from case_event")
        reader.execute('delete from "case"')
        reader.execute("alter table case_event enable trigger user")
    written = [(cases[e["case_id"]], e, waiting.get(e["case_id"])) for e in events]
    chunks = [written[i::CONNECTIONS] for i in range(CONNECTIONS)]

    def write(chunk: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]]) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            for case, event, delivery in chunk:
                with connection.transaction():
                    _insert(connection, '"case"', case)
                    _insert(connection, "case_event", event)
                    if delivery:
                        _insert(connection, "delivery", delivery)

    begin = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(write, chunks))
    return len(written) / (time.perf_counter() - begin)


def _rows(connection: "psycopg.Connection[Any]", table: str, where: str, given: Any = ()) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        rows = cursor.execute(f"select * from {table} {where}", given).fetchall()
    generated = {"case_event": ("id", "xid"), "delivery": ("id",)}.get(table, ())
    return [{k: Jsonb(v) if isinstance(v, dict) else v for k, v in row.items() if k not in generated} for row in rows]


def _insert(connection: "psycopg.Connection[Any]", table: str, row: dict[str, Any]) -> None:
    names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
    connection.execute(f"insert into {table} ({names}) values ({marks})", list(row.values()), prepare=True)
