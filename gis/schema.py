"""The database's schema: bringing it up to date, comparing it with the models, and what each role may do.

Knows Alembic and privileges; knows nothing of what the tables mean. Alembic is loaded where it works: the service's
processes only ask for the revision.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from gis.db import Engine, make_engine
from gis.errors import Unavailable
from gis.tables import Xid8, metadata

if TYPE_CHECKING:
    from alembic.config import Config

_MIGRATIONS = Path(__file__).parent / "migrations"
APPEND_ONLY = (
    *("case_event", "case_digest", "audit", "handover", "duty_log", "running_report", "component_version"),
    "track_look",
)

ischema_names["xid8"] = Xid8  # so that reading the database's own description knows the type


def _of_models(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """Partitions and PostGIS' own tables are in the database but in no model."""
    return not (kind == "table" and reflected and name not in metadata.tables)


def _config(connection: Connection | None = None) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    config.attributes["include_object"] = _of_models
    return config


@contextmanager
def _connection(url: str) -> Iterator[Connection]:
    """One committed connection on an engine of its own. Raises Unavailable when the server does not answer."""
    with _engine(url) as engine, engine.begin() as connection:
        yield connection


@contextmanager
def _engine(url: str) -> Iterator[Engine]:
    engine = make_engine(url, pool_size=1, statement_timeout_s=0)
    try:
        yield engine
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None):
            raise  # the server answers; what it says is no matter of reaching it
        first = str(error.orig).strip().splitlines()[0]
        raise Unavailable(zh="连不上数据库", en="The database does not answer", why=first) from error
    finally:
        engine.dispose()


def prepare(admin_url: str, database: str, service_role: str) -> None:
    """Create `database` and the login `service_role` on the server behind `admin_url`, where they are missing."""
    with (
        _engine(admin_url) as engine,
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        quote = engine.dialect.identifier_preparer.quote
        if not connection.scalar(text("select 1 from pg_roles where rolname = :name"), {"name": service_role}):
            connection.execute(text(f"CREATE ROLE {quote(service_role)} LOGIN"))
        if not connection.scalar(text("select 1 from pg_database where datname = :name"), {"name": database}):
            connection.execute(text(f"CREATE DATABASE {quote(database)}"))


def exercise(url: str) -> str:
    """Run PL/pgSQL and PostGIS once and return their versions: answering a ping is not yet working.

    Needs the extension in the database at `url`. Raises SQLAlchemy's error when any of it fails.
    """
    with _connection(url) as connection:
        connection.execute(text("DO $$ BEGIN PERFORM 1; END $$"))
        postgis = connection.scalar(
            text(
                "select postgis_lib_version() where ST_Covers("
                "ST_MakeEnvelope(116, 40, 117, 41, 4490), ST_SetSRID(ST_MakePoint(116.65, 40.11), 4490))"
            )
        )
        return f"PostgreSQL {connection.scalar(text('show server_version'))}, PostGIS {postgis}"


def answers(url: str) -> bool:
    """Whether the server behind `url` takes connections now."""
    try:
        with _connection(url) as connection:
            return bool(connection.scalar(text("select true")))
    except (Unavailable, OperationalError):
        return False


def migrate(url: str, revision: str = "head") -> None:
    """Bring the database at `url` (its owner's login) up to `revision`, in one transaction."""
    from alembic import command

    with _connection(url) as connection:
        # Two services started at once must not both create the tables.
        connection.execute(text("select pg_advisory_xact_lock(7266726)"))
        command.upgrade(_config(connection), revision)


def downgrade(url: str, revision: str) -> None:
    """Take migrations back to `revision` ("base": everything)."""
    from alembic import command

    with _connection(url) as connection:
        command.downgrade(_config(connection), revision)


def new_revision(url: str, message: str, number: str) -> None:
    """Write the next migration from the difference between the models and the database at `url`."""
    from alembic import command

    with _connection(url) as connection:
        command.revision(_config(connection), message=message, autogenerate=True, rev_id=number)


@lru_cache
def head_revision() -> str:
    """The newest revision the code knows: they are one chain, and each file begins with its number."""
    return max(path.name.partition("_")[0] for path in _MIGRATIONS.glob("versions/[0-9]*.py"))


def current_revision(url: str) -> str | None:
    """The revision the database at `url` is at; None when it is empty."""
    from alembic.runtime.migration import MigrationContext

    with _connection(url) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def readiness(tx: Connection) -> dict[str, bool]:
    """Whether the database is at the code's revision and holds a town."""
    at = tx.execute(text("select version_num from alembic_version")).scalar()
    loaded = tx.execute(text("select exists (select from town)")).scalar_one()
    return {"schema": at == head_revision(), "town": bool(loaded)}


def differences(url: str) -> list[Any]:
    """What Alembic would still change to make the database equal the models; empty when they agree."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    with _connection(url) as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": _of_models, "compare_server_default": True}
        )
        return list(compare_metadata(context, metadata))


def grant_service_role(owner_url: str, role: str) -> None:
    """Give `role`, which must exist, the rows of every table, and of the append-only ones no more than insert.

    Later tables and sequences of the same owner are covered by default privileges.
    """
    with _connection(owner_url) as connection:
        name = connection.dialect.identifier_preparer.quote(role)
        schema = "public"
        statements = [
            f"GRANT USAGE ON SCHEMA {schema} TO {name}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {name}",
            f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {name}",
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {name}",
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT USAGE, SELECT ON SEQUENCES TO {name}",
            *(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM {name}" for table in APPEND_ONLY),
            f"REVOKE INSERT, UPDATE, DELETE ON alembic_version, spatial_ref_sys FROM {name}",
            f"GRANT EXECUTE ON FUNCTION ensure_position_partition(date), drop_position_days(date) TO {name}",
        ]
        for statement in statements:
            connection.execute(text(statement))


def role_of(url: str) -> str | None:
    """The role a database URL logs in as, if it names one."""
    return make_url(url).username
