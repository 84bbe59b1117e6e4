"""A private PostgreSQL and Redis for the tests, and databases cloned from one migrated template."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import make_url

from api import servers
from gis import db, rulebook, schema, town, town_load
from gis.settings import settings


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL server for the tests and the name of its template database."""

    admin: str
    template: str

    def run(self, statement: str) -> None:
        """One statement outside a transaction, such as CREATE DATABASE."""
        engine = create_engine(make_url(self.admin).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()

    def url(self, database: str, role: str) -> str:
        """`database` as `role`; on a server of yours (WANGGE_TEST_DATABASE_URL) always as the login you gave."""
        url = make_url(self.admin).set(database=database)
        if "WANGGE_TEST_DATABASE_URL" not in os.environ:
            url = url.set(username=role)
        return url.render_as_string(hide_password=False)

    @contextmanager
    def clone(self) -> Iterator[str]:
        """A fresh copy of the template; yields its name and drops it afterwards."""
        name = f"wangge_test_{uuid4().hex[:12]}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {self.template}")
        try:
            yield name
        finally:
            self.run(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def started_cluster() -> Iterator[Cluster]:
    """A server for this run, with the migrated template, all gone afterwards."""
    given = os.environ.get("WANGGE_TEST_DATABASE_URL")
    if given:
        cluster = Cluster(given, f"wangge_template_{uuid4().hex[:8]}")
        _fill_template(cluster)
        try:
            yield cluster
        finally:
            cluster.run(f"DROP DATABASE {cluster.template} WITH (FORCE)")
        return
    with scratch_folder() as folder:
        settings = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_buffers": "64MB"}
        server = servers.Postgres(folder / "postgres", settings=settings)
        server.start()
        try:
            cluster = Cluster(server.url(servers.OWNER, "postgres"), "wangge_template")
            _fill_template(cluster)
            yield cluster
        finally:
            server.stop()


def _fill_template(cluster: Cluster) -> None:
    schema.prepare(cluster.admin, cluster.template, servers.SERVICE)
    owner = cluster.url(cluster.template, servers.OWNER)
    schema.migrate(owner)
    schema.grant_service_role(owner, servers.SERVICE)
    engine = db.make_engine(owner, pool_size=1, statement_timeout_s=0)
    with db.transaction(engine) as tx:
        rulebook.load_files(tx, settings().data_dir)
        town_load.load(tx, town.demo_town(small=True))
    engine.dispose()


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder the servers' account can reach; pytest's own are closed to it when the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="wangge-test-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """This worker's PostgreSQL server.

    Not shared between workers: an open transaction in any database holds back the event feed of all of a server's.
    """
    with started_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def _worker_engine(cluster: Cluster) -> Iterator[Engine]:
    with cluster.clone() as name:
        # A machine that does much else must not make a slow query a failed test.
        engine = db.make_engine(cluster.url(name, servers.SERVICE), pool_size=2, statement_timeout_s=300)
        yield engine
        engine.dispose()


@pytest.fixture
def tx(_worker_engine: Engine) -> Iterator[Connection]:
    """A transaction as the service's role on the migrated template, rolled back at the end."""
    with _worker_engine.connect() as connection:
        transaction = connection.begin()
        yield connection
        if transaction.is_active:
            transaction.rollback()


@dataclass(frozen=True)
class Database:
    """A database of one test's own."""

    url: str
    owner_url: str
    engine: Engine


@pytest.fixture
def empty_database(cluster: Cluster) -> Iterator[str]:
    """The owner's URL of a database with nothing in it."""
    name = f"wangge_test_{uuid4().hex[:12]}"
    cluster.run(f"CREATE DATABASE {name}")
    yield cluster.url(name, servers.OWNER)
    cluster.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A fresh clone with committed data; the process's settings and engine point at it while the test runs."""
    with cluster.clone() as name:
        url = cluster.url(name, servers.SERVICE)
        owner_url = cluster.url(name, servers.OWNER)
        monkeypatch.setenv("WANGGE_DATABASE_URL", url)
        monkeypatch.setenv("WANGGE_OWNER_DATABASE_URL", owner_url)
        monkeypatch.setenv("WANGGE_DEMO", "1")
        settings.cache_clear()
        db.engine.cache_clear()
        yield Database(url, owner_url, db.engine())
        db.engine().dispose()
        db.engine.cache_clear()
        settings.cache_clear()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A private Redis of this worker."""
    with scratch_folder() as folder:
        server = servers.Redis(folder / "redis")
        server.start()
        yield server.url()
        server.stop()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The system's Chromium for the browser tests, which are skipped where there is none (Ubuntu's is a snap)."""
    path = "/usr/bin/chromium"
    if not Path(path).exists():
        pytest.skip(f"no {path}")
    return path
