"""track_intake: positions over HTTP, acknowledged after the commit, against COPY of the same batches in the same run.

Both sides write the same rows in batches of the same size over as many connections into a table with the same keys,
committing each batch durably. What the service does beside (reading JSON, checking, the live position, the note that
the day has to be worked out anew) is its own cost.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import numpy as np
import psycopg
from sqlalchemy import text

from gis import areas, db, people
from tests.bench import service
from tests.bench.harness import Bench, Figure, at_least, roads, scatter

NAME = "track_intake"
PEOPLE, BATCHES, BATCH, CONNECTIONS = 40, 1200, 500, 8

Track = tuple[UUID, str, list[tuple[int, datetime, float, float, float]]]


def run(bench: Bench) -> Figure:
    """Fixes a second over HTTP against raw batched COPY, in turns so that both meet the machine in the same moods."""
    with bench.database() as engine:
        url = engine.url.render_as_string(hide_password=False).replace("+psycopg", "")
        with db.transaction(engine) as tx:
            bounds, lines = areas.areas(tx).bounds, roads(tx)
            who = list(tx.execute(text("select id from staff where username like 'inspector%' order by 1")).scalars())
            who = who[:PEOPLE]
            tokens = {one: people.issue_token(tx, one, "session") for one in who}
        lon, lat = scatter(bench.scaled(BATCHES, 40) * BATCH, bounds, lines)
        batches = list(_batches(who, lon, lat))
        warm, rest = batches[: len(batches) // 10], batches[len(batches) // 10 :]
        rounds = 3
        ours, reference = [], []
        with service.running(url) as address:
            _check(service.send(address, _requests(warm, tokens), CONNECTIONS))
            for n in range(rounds):
                part = rest[n::rounds]
                load = service.send(address, _requests(part, tokens), CONNECTIONS)
                _check(load)
                ours.append(load.rate * BATCH)
                bench.say(
                    f"track intake: p50 {load.percentile(0.5):.1f} ms, p95 {load.percentile(0.95):.1f} ms a batch"
                )
                reference.append(_copy(url, part))
            _check_resend(address, rest[0], tokens)
        with engine.connect() as tx:
            stored = tx.execute(text("select count(*) from position")).scalar_one()
            if stored != len(batches) * BATCH:
                raise RuntimeError(f"{stored} fixes stored of {len(batches) * BATCH}")
    return at_least(NAME, float(np.median(ours)), float(np.median(reference)), "fixes/s", 0.6)


def _batches(who: Sequence[UUID], lon: np.ndarray[Any, Any], lat: np.ndarray[Any, Any]) -> Iterator[Track]:
    """Batches as a day of phones sends them: each person's in order, a fix every five seconds."""
    begin = datetime.now(UTC) - timedelta(seconds=5 * BATCH * (lon.size // BATCH // len(who) + 1))
    sent = dict.fromkeys(who, 0)
    for n in range(lon.size // BATCH):
        person = who[n % len(who)]
        first = sent[person]
        sent[person] += BATCH
        places = zip(lon[n * BATCH :].tolist(), lat[n * BATCH :].tolist(), range(first, first + BATCH), strict=False)
        yield (
            person,
            f"phone-{person}",
            [(seq, begin + timedelta(seconds=5 * seq), x, y, 4.0 + seq % 9) for x, y, seq in places],
        )


def _requests(batches: Sequence[Track], tokens: dict[UUID, str]) -> list[bytes]:
    return [
        service.request("POST", "/api/positions", tokens[person], _body(device, fixes))
        for person, device, fixes in batches
    ]


def _body(device: str, fixes: Sequence[tuple[int, datetime, float, float, float]]) -> dict[str, Any]:
    keys = ("seq", "at", "lon", "lat", "accuracy_m")
    told = [dict(zip(keys, (s, _iso(at), x, y, a), strict=True)) for s, at, x, y, a in fixes]
    return {"device": device, "crs": "EPSG:4326", "fixes": told}


def _iso(at: datetime) -> str:
    """As a browser's toISOString writes it."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def _check(load: service.Load) -> None:
    if set(load.statuses) != {200}:
        raise RuntimeError(f"not every batch was taken: {load.statuses}")


def _check_resend(address: str, batch: Track, tokens: dict[UUID, str]) -> None:
    """A batch sent again is known, not stored again."""
    person, device, fixes = batch
    headers = {"Authorization": f"Bearer {tokens[person]}"}
    sent = {"url": f"{address}/api/positions", "json": _body(device, fixes), "headers": headers, "trust_env": False}
    answer = httpx.post(**sent, timeout=30).json()
    if (answer["accepted"], answer["duplicates"]) != (0, BATCH):
        raise RuntimeError(f"a resend was not recognised: {answer}")


def _copy(url: str, batches: Sequence[Track]) -> float:
    """Fixes a second by COPY into a table made like ``position``, a transaction a batch."""
    name = f"raw_{uuid4().hex[:8]}"
    day = "for values from ('2000-01-01') to ('2100-01-01')"
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(f"create table {name} (like position including all) partition by range (at)")
        owner.execute(f"create table {name}_all partition of {name} {day}")
    rows = [
        "".join(
            f"{person}\t{device}\t{s}\t{at.isoformat()}\t{x!r}\t{y!r}\t{a!r}\tEPSG:4326\n" for s, at, x, y, a in fixes
        )
        for person, device, fixes in batches
    ]
    chunks = [[row.encode() for row in rows[i::CONNECTIONS]] for i in range(CONNECTIONS)]
    columns = "inspector_id, device, seq, at, lon, lat, accuracy_m, crs"

    def write(chunk: list[bytes]) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            for one in chunk:
                with connection.transaction(), connection.cursor().copy(f"copy {name} ({columns}) from stdin") as copy:
                    copy.write(one)

    begin = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(write, chunks))
    rate = len(batches) * BATCH / (time.perf_counter() - begin)
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(f"drop table {name}")
    return rate
