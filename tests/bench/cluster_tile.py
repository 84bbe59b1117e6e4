"""Tiles of two million cases over HTTP, against tipg over the same cases in PostGIS.

tipg is asked as it comes (its raw table: 10,000 points a tile at most) and over tables that were clustered beforehand
for one zoom. Ours is asked without keeping any tile, then with, then by version only; then with filters that are each
asked once. The counts of tiles are held against SQL.
"""

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

import httpx
import mapbox_vector_tile
import psutil
from sqlalchemy import Engine, text

from gis import db, geometry, people, search
from gis.search import CaseFilter
from gis.settings import settings
from tests.bench import points_data, service
from tests.bench.harness import Bench, Figure, at_least, settle
from tests.bench.tiles_client import Rate, ask

NAME = "cluster_tile"
SHARES = {10: 2, 11: 3, 12: 5, 13: 8, 14: 15, 15: 22, 16: 45}
"""How often each zoom is asked for, in a hundred tiles: as people look at a wall."""
WORKERS = 2
POPULAR = 300  # different tiles when a cache may help

_PEERS = """
create table peer_raw as select row_number() over (order by reported_at)::int as id, category_code, stage, status,
  severity, st_setsrid(st_makepoint(lon, lat), 4326)::geometry(point, 4326) as geom from "case";
create table peer_14 as select row_number() over ()::int as id, count(*)::int as n,
  count(*) filter (where status = 'open' and due_at < now())::int as red,
  st_setsrid(st_makepoint(avg(lon), avg(lat)), 4326)::geometry(point, 4326) as geom from "case" group by mk >> 16;
create table peer_16 as select row_number() over ()::int as id, count(*)::int as n,
  count(*) filter (where status = 'open' and due_at < now())::int as red,
  st_setsrid(st_makepoint(avg(lon), avg(lat)), 4326)::geometry(point, 4326) as geom from "case" group by mk >> 12
"""


def run(bench: Bench) -> Iterator[Figure]:
    """The figures of tiles."""
    with bench.database() as engine:
        count = bench.scaled(2_000_000)
        bench.say(f"writing {count:,} cases …")
        with db.transaction(engine) as tx:
            points_data.fill(tx, count)
            for statement in _PEERS.split(";"):
                tx.execute(text(statement))
            # tipg gets the settings our own connections have: both matter under load.
            for setting in ("jit = off", "max_parallel_workers_per_gather = 0"):
                tx.execute(text(f'alter database "{engine.url.database}" set {setting}'))
            for table in ("peer_raw", "peer_14", "peer_16"):
                tx.execute(text(f"alter table {table} add primary key (id)"))
                tx.execute(text(f"create index on {table} using gist (geom)"))
        settle(engine)
        url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        chance = random.Random(16)
        mixed = [_tile(z, chance) for z in chance.choices(list(SHARES), list(SHARES.values()), k=3000)]

        bench.say("tipg …")
        with _tipg(engine) as peer:
            base = "/collections/public.{}/tiles/WebMercatorQuad/{}"
            raw, raw_cpu = _with_cpu(bench, peer, [base.format("peer_raw", t) for t in mixed], {})
            ready = [f"peer_{z}/{_tile(z, chance)}" for z in chance.choices((14, 16), k=1000)]
            prepared, prepared_cpu = _with_cpu(bench, peer, [base.format(*p.split("/", 1)) for p in ready], {})
        bench.say(f"tipg: {raw.rate:.1f} raw tiles/s, {prepared.rate:.1f} tiles/s over clustered tables")

        with _ours(url, cache_mb=0) as (address, headers):
            bench.say("ours, nothing kept …")
            _check_counts(engine, address, headers)
            asked = [f"/tiles/cases/{t}.mvt" for t in mixed]
            ask(address, asked, headers, seconds=3)
            drawn, drawn_cpu = _with_cpu(bench, address, asked, headers)
            asked = [f"/tiles/cases/{p.split('/', 1)[1]}.mvt" for p in ready]
            same, same_cpu = _with_cpu(bench, address, asked, headers)
            filtered = _filtered(address, headers, chance)
            seen = _freshness(engine, address, headers)
        # 200,000 cases due within ten hours change eleven lights a second, many hundred times what such a town sees:
        # what is asked for again is asked of a town whose lights rest.
        with db.transaction(engine) as tx:
            tx.execute(text("update \"case\" set due_at = reported_at, yellow_at = reported_at where status = 'open'"))
        settle(engine)
        with _ours(url, cache_mb=64) as (address, headers):
            bench.say("ours, with its cache …")
            asked = [f"/tiles/cases/{t}.mvt" for t in mixed[:POPULAR]]
            headers = headers | {"Accept-Encoding": "gzip"}
            ask(address, asked, headers, seconds=3)
            cached = ask(address, asked, headers)
            with httpx.Client(base_url=address, headers=headers, trust_env=False) as client:
                tags = [client.get(path).headers["etag"] for path in asked]
                pairs = zip(asked, tags, strict=True)
                again = [client.get(path, headers={"If-None-Match": tag}).status_code for path, tag in pairs]
            if again.count(304) < len(again):
                raise RuntimeError(f"what is known is sent again: {again}")
            known = ask(address, asked, headers, tags=tags)
            memory = _memory(address)

    yield at_least(NAME, drawn.rate, raw.rate, "tiles/s", 100)
    yield at_least(f"{NAME}_prepared", same.rate, prepared.rate, "tiles/s", 15)
    # Where other work shares the cores, rates say who was given more of them; processor time does not.
    yield at_least(f"{NAME}_cpu", 1 / drawn_cpu, 1 / raw_cpu, "tiles a CPU second", 100)
    yield at_least(f"{NAME}_prepared_cpu", 1 / same_cpu, 1 / prepared_cpu, "tiles a CPU second", 15)
    yield _within(f"{NAME}_filtered_p95", filtered.p95, 10, "ms")
    yield _within(f"{NAME}_fresh_p99", seen, 1000, "ms")
    yield at_least(f"{NAME}_cached", cached.rate, 10_000, "tiles/s", 1)
    yield at_least(f"{NAME}_304", known.rate, 20_000, "tiles/s", 1)
    yield _within(f"{NAME}_memory", memory, 300, "MB")


def _with_cpu(
    bench: Bench, address: str, paths: Sequence[str], headers: dict[str, str], seconds: float = 12
) -> tuple[Rate, float]:
    """The rate, and the processor seconds an answer took the server of that address and PostgreSQL together."""
    before = _cpu_seconds(bench, address)
    rate = ask(address, paths, headers, seconds=seconds)
    return rate, (_cpu_seconds(bench, address) - before) / (rate.rate * seconds)


def _cpu_seconds(bench: Bench, address: str) -> float:
    roots = _serving(address)
    roots += [psutil.Process(bench.server.process.pid)] if bench.server.process else []
    family = {p for root in roots for p in (root, *root.children(recursive=True))}
    return sum(sum(p.cpu_times()[:2]) for p in family)


def _serving(address: str) -> list[psutil.Process]:
    """The processes that listen there."""
    port = int(address.rsplit(":", 1)[1])
    found = {one.pid for one in psutil.net_connections("tcp") if one.status == "LISTEN" and one.laddr.port == port}
    return [psutil.Process(pid) for pid in found if pid]


def _memory(address: str) -> float:
    """MB that the largest of the workers holds for itself, after everything it was asked."""
    roots = _serving(address)
    return max(p.memory_full_info().uss for root in roots for p in (root, *root.children(recursive=True))) / 1e6


def _within(name: str, ours: float, limit: float, unit: str) -> Figure:
    return Figure(name, ours, limit, unit, ours / limit, "ratio <= 1", ours <= limit)


def _tile(z: int, chance: random.Random) -> str:
    """A tile of the town, any of them alike."""
    lon = chance.uniform(points_data.WEST, points_data.EAST)
    lat = chance.uniform(points_data.SOUTH, points_data.NORTH)
    x, y = (axis >> geometry.WORLD_BITS - z for axis in geometry.world_pixel(lon, lat))
    return f"{z}/{x}/{y}"


@contextmanager
def _ours(url: str, cache_mb: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Our service over that database; its address and the headers of somebody who may see everything."""
    os.environ["WANGGE_TILE_CACHE_MB"] = str(cache_mb)
    try:
        with service.running(url, WORKERS) as address:
            headers = {"Authorization": f"Bearer {service.token(address, 'leader')}"}
            end, good = time.monotonic() + 180, 0
            while good < 20 and time.monotonic() < end:  # each worker loads its own points; any may answer
                with httpx.Client(base_url=address, headers=headers, timeout=60, trust_env=False) as client:
                    good = good + 1 if client.get("/tiles/cases/8/211/96.mvt").status_code == 200 else 0
                time.sleep(0.02)
            yield address, headers
    finally:
        del os.environ["WANGGE_TILE_CACHE_MB"]


@contextmanager
def _tipg(engine: Engine) -> Iterator[str]:
    """tipg from the package index, in an environment of its own, over the same database."""
    home = settings().home / "bench-venv"
    program = home / "bin" / "uvicorn"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        install = [str(home / "bin" / "pip"), "install", "--quiet", "tipg>=1.6", "uvicorn[standard]"]
        subprocess.run(install, check=True, capture_output=True)
    url = engine.url
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "POSTGRES_USER": url.username or "",
        "POSTGRES_PASS": "none",
        "POSTGRES_HOST": quote(str(url.query.get("host", url.host)), safe=""),
        "POSTGRES_PORT": str(url.port or 5432),
        "POSTGRES_DBNAME": url.database or "",
        "TIPG_DB_SCHEMAS": '["public"]',
    }
    command = [str(program), "tipg.main:app", "--port", str(port), "--workers", str(WORKERS), "--no-access-log"]
    log = home / "tipg.log"
    with log.open("wb") as told:
        process = subprocess.Popen([*command, "--log-level", "warning"], env=environment, stdout=told, stderr=told)
        address = f"http://127.0.0.1:{port}"
        try:
            end = time.monotonic() + 60
            while not _answers(f"{address}/collections/public.peer_raw"):
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"tipg does not start: {log.read_text()[-2000:]}")
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=20)


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=10, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _filters(chance: random.Random) -> Iterator[dict[str, str]]:
    """Filters as people put them together, none twice."""
    choices: dict[str, Sequence[str]] = {
        "status": ("open", "closed"),
        "channel": ("patrol", "public", "hotline", "video"),
        "village": tuple(f"110113003{n}" for n in range(200, 219)),
        "department": tuple(f"D{n:02d}" for n in range(1, 23)),
        "stage": ("report", "handling", "closing"),
        "light": ("red", "yellow", "green"),
        "category": ("event:01", "event:02,component:03", "component:0301", "event:05"),
    }
    while True:
        wanted = {name: chance.choice(values) for name, values in choices.items() if chance.random() < 0.35}
        wanted["since"] = (datetime.now(UTC) - timedelta(seconds=chance.uniform(0, 3e7))).strftime("%Y-%m-%dT%H:%M:%SZ")
        yield wanted


def _filtered(address: str, headers: dict[str, str], chance: random.Random) -> Rate:
    """Tiles of all zooms alike, each with a filter nobody asked for before; one at a time, so that none waits."""
    filters = _filters(chance)
    tiles = [_tile(chance.choice(list(SHARES)), chance) for _ in range(9000)]
    asked = [f"/tiles/cases/{tile}.mvt?{urlencode(next(filters))}" for tile in tiles]
    return ask(address, asked, headers, connections=1)


def _check_counts(engine: Engine, address: str, headers: dict[str, str]) -> None:
    """Every zoom's tiles add up to the number SQL counts, with filters and without. Raises ``AssertionError``."""
    (x0, y0) = geometry.world_pixel(points_data.WEST, points_data.NORTH)
    (x1, y1) = geometry.world_pixel(points_data.EAST, points_data.SOUTH)
    with httpx.Client(base_url=address, headers=headers, timeout=60, trust_env=False) as client:
        for query in ("", "status=open&category=event:02", "village=110113003203&since=2026-03-01"):
            wanted = CaseFilter.parse(dict(httpx.QueryParams(query)))
            with db.transaction(engine) as tx:
                caller = people.by_username(tx, "leader")
                told = search.count(tx, caller, wanted, datetime.now(UTC).replace(microsecond=0))
            for z in (10, 12, 14):
                s, found = geometry.WORLD_BITS - z, 0
                for x in range(x0 >> s, (x1 >> s) + 1):
                    for y in range(y0 >> s, (y1 >> s) + 1):
                        body = client.get(f"/tiles/cases/{z}/{x}/{y}.mvt?{query}").content
                        cells = mapbox_vector_tile.decode(body).get("cases", {"features": []})["features"]
                        found += sum(cell["properties"]["n"] for cell in cells)
                assert found == told, f"{found} cases in the tiles of zoom {z} and {told} in the list: {query}"


def _freshness(engine: Engine, address: str, headers: dict[str, str], seconds: float = 12) -> float:
    """Milliseconds from commit to tile that 99 % of probes stay below, while 500 cases change a second."""
    event = text(
        "insert into case_event (case_id, seq, action, to_state, actor, role, happened_at, payload, prev_hash, hash)"
        " values (:id, 100, 'bench', 'filed', 'bench', 'system', now(), '{}', '', '')"
    )
    change = text('update "case" set seq = 100, channel = :channel where id = :id')
    at_once, pause = 10, 10 / 500
    with db.transaction(engine) as tx:
        ids = tx.execute(text('select id from "case" limit :n'), {"n": int(seconds * 500)}).scalars().all()
    x, y = (axis >> geometry.WORLD_BITS - 8 for axis in geometry.world_pixel(116.65, 40.1))
    took: list[float] = []
    probe, sent = "", 0.0
    begin = time.perf_counter()
    with httpx.Client(base_url=address, headers=headers, timeout=10, trust_env=False) as client:
        for done in range(0, len(ids), at_once):
            fresh = not probe
            channel = f"probe-{done}" if fresh else "patrol"
            with db.transaction(engine) as tx:
                tx.execute(change, [{"id": one, "channel": channel} for one in ids[done : done + at_once]])
                tx.execute(event, [{"id": one} for one in ids[done : done + at_once]])
            if fresh:
                probe, sent = channel, time.perf_counter()
            if client.get(f"/tiles/cases/8/{x}/{y}.mvt?channel={probe}").content:
                took.append((time.perf_counter() - sent) * 1e3)
                probe = ""
            time.sleep(max(0.0, begin + (done / at_once + 1) * pause - time.perf_counter()))
    return sorted(took)[int(len(took) * 0.99)] if took else float("inf")
