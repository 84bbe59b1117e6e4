"""What every figure of `make bench` needs: the town in a private database, points to throw at it, a stop-watch."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import shapely
from sqlalchemy import Engine, text

from api import servers
from gis import db, rulebook, schema, town, town_load
from gis.settings import settings

Answer = TypeVar("Answer")
_TEMPLATE = "bench_town"


@dataclass(frozen=True)
class Figure:
    """One line of the result. ``goal`` is said in words; ``met`` whether it was reached in this run."""

    name: str
    ours: float
    reference: float
    unit: str
    ratio: float
    goal: str
    met: bool

    def record(self) -> dict[str, str | float]:
        """The entry of bench.json."""
        return {key: getattr(self, key) for key in ("name", "ours", "reference", "unit", "ratio", "goal")}


def at_least(name: str, ours: float, reference: float, unit: str, goal: float) -> Figure:
    """A rate that shall be ``goal`` times the reference."""
    return Figure(name, ours, reference, unit, ours / reference, f"ratio >= {goal:g}", ours / reference >= goal)


def best(times: int, work: Callable[[], Answer]) -> tuple[float, Answer]:
    """(seconds of the fastest run, the last run's answer): the machine's other work disturbed that one least."""
    fastest, answer = float("inf"), None
    for _ in range(times):
        begin = time.perf_counter()
        answer = work()
        fastest = min(fastest, time.perf_counter() - begin)
    return fastest, answer  # type: ignore[return-value]


def settle(engine: Engine) -> None:
    """Do what the server's own housekeeping would begin in the middle of a measurement."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze"))


class Bench:
    """One run. ``say`` prints progress; ``scaled(n)`` makes n as large as SCALE allows."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.scale = float(os.environ.get("SCALE") or 1)
        self._open = ExitStack()

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def scaled(self, n: int, least: int = 1000) -> int:
        """n × SCALE, but not below ``least``."""
        return max(least, round(n * self.scale))

    @cached_property
    def server(self) -> servers.Postgres:
        """A private PostgreSQL with the settings a service gets, holding the full demo town as a template database."""
        folder = Path(tempfile.mkdtemp(prefix="wangge-bench-", dir="/tmp"))
        self._open.callback(shutil.rmtree, folder)
        folder.chmod(0o755)
        server = servers.Postgres(folder / "postgres")
        server.start()
        self._open.callback(server.stop)
        schema.prepare(server.url(servers.OWNER, "postgres"), _TEMPLATE, servers.SERVICE)
        owner = server.url(servers.OWNER, _TEMPLATE)
        schema.migrate(owner)
        schema.grant_service_role(owner, servers.SERVICE)
        self.say("building the town …")
        engine = db.make_engine(server.url(servers.OWNER, _TEMPLATE), statement_timeout_s=0)
        with db.transaction(engine) as tx:
            town_load.load(tx, town.demo_town())
            rulebook.load_files(tx, settings().data_dir)
            rulebook.rulebook(tx)
        engine.dispose()
        return server

    @contextmanager
    def database(self) -> Iterator[Engine]:
        """The town in a database of the figure's own, as its owner, without time limit; dropped afterwards."""
        name = f"bench_{time.monotonic_ns()}"
        admin = db.make_engine(self.server.url(servers.OWNER, "postgres"), statement_timeout_s=0)
        with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"create database {name} template {_TEMPLATE}"))
            engine = db.make_engine(self.server.url(servers.OWNER, name), statement_timeout_s=0)
            try:
                yield engine
            finally:
                engine.dispose()
                connection.execute(text(f"drop database {name} with (force)"))
        admin.dispose()


def roads(tx: db.Connection) -> np.ndarray[Any, Any]:
    """The town's roads as shapely lines in degrees."""
    rows = tx.execute(text("select ST_AsBinary((ST_Dump(geom)).geom) from basemap_feature where layer = 'road'"))
    lines = shapely.from_wkb([bytes(row[0]) for row in rows])
    return lines[shapely.get_type_id(lines) == 1]


def scatter(
    n: int, bounds: Sequence[float], lines: np.ndarray[Any, Any], seed: int = 20261120
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """n points (lon, lat) as cases lie: 60 % around 200 hot spots on ``lines``, 25 % by lines, 15 % anywhere."""
    rng = np.random.default_rng(seed)
    weight = shapely.length(lines) / shapely.length(lines).sum()

    def along(count: int) -> np.ndarray[Any, Any]:
        chosen = lines[rng.choice(len(lines), count, p=weight)]
        return shapely.get_coordinates(shapely.line_interpolate_point(chosen, rng.random(count), normalized=True))

    hot, near = int(n * 0.60), int(n * 0.25)
    spots = along(200)[rng.integers(0, 200, hot)] + rng.normal(0, 0.0008, (hot, 2))
    streets = along(near) + rng.normal(0, 0.00003, (near, 2))
    anywhere = rng.uniform(np.array(bounds[:2]), np.array(bounds[2:]), (n - hot - near, 2))
    points = np.concatenate([spots, streets, anywhere])
    rng.shuffle(points)
    return np.ascontiguousarray(points[:, 0]), np.ascontiguousarray(points[:, 1])
