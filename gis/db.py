"""Connections and transactions. Knows how the database is reached and how its refusals read; knows no tables."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import orjson
import psycopg
from psycopg import sql
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DataError, DBAPIError, TimeoutError

from gis import errors
from gis.settings import settings

__all__ = ["Connection", "Engine", "copy_in", "engine", "make_engine", "raw", "reading", "transaction"]

# A generic plan turns a spatial LIMIT query from 26 ms into seconds, and parallel plans hurt under load
# (both measured: research on tiles). JIT costs more than any query of ours.
_OPTIONS = (
    "-c plan_cache_mode=force_custom_plan -c max_parallel_workers_per_gather=0 -c jit=off"
    " -c lock_timeout=5s -c idle_in_transaction_session_timeout=60s -c timezone=UTC"
)


def make_engine(url: str, *, pool_size: int = 8, statement_timeout_s: int = 30) -> Engine:
    """An engine for a ``postgresql://`` URL. ``statement_timeout_s`` 0 means no limit (imports, recomputation)."""
    return create_engine(
        url.replace("postgresql://", "postgresql+psycopg://", 1),
        pool_size=pool_size,
        max_overflow=pool_size * 2,
        pool_recycle=1800,
        pool_timeout=10,
        hide_parameters=True,  # what people wrote, and their hashes, stay out of logs
        json_deserializer=orjson.loads,
        connect_args={"options": f"{_OPTIONS} -c statement_timeout={statement_timeout_s}s", "connect_timeout": 10},
    )


@lru_cache
def engine() -> Engine:
    """The process's engine, from the settings. Raises ``Unavailable`` when no database is named."""
    url = settings().database_url
    if not url:
        raise errors.Unavailable(zh="未配置数据库", en="No database is configured (WANGGE_DATABASE_URL)")
    return make_engine(url)


@contextmanager
def transaction(of: Engine | None = None) -> Iterator[Connection]:
    """One transaction: committed when the block ends, rolled back when it raises. Database refusals become problems."""
    with _told(), (of or engine()).begin() as tx:
        yield tx


@contextmanager
def reading() -> Iterator[Connection]:
    """A connection that only reads: each statement sees what is committed then, as in a :func:`transaction` too, but
    without the two round trips that begin and end one."""
    with _told(), engine().connect() as tx:
        yield tx.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise _translate(error, error.orig, lost=error.connection_invalidated) from error
    except psycopg.Error as error:  # of a COPY, which goes past SQLAlchemy
        raise _translate(error, error, lost=isinstance(error, psycopg.OperationalError)) from error
    except TimeoutError as error:
        raise errors.Unavailable("服务繁忙，请稍后再试", "The service is busy; try again") from error


def _translate(error: Exception, said: BaseException | None, *, lost: bool) -> Exception:
    """The problem that a refusal of the database means; what is no problem of ours stays what it is."""
    state = getattr(said, "sqlstate", None) or ""
    if state in ("55P03", "40P01", "40001"):  # a lock held too long, a deadlock, a lost race
        return errors.StaleCase()
    if state == "57014":  # query_canceled by the statement timeout
        return errors.Unavailable(zh="查询超时，请缩小范围", en="The query took too long; narrow it down")
    if state[:2] == "22" or isinstance(error, DataError):  # a value no column of that type can hold
        return errors.Malformed(why=str(said)[:200])
    if state == "53100":
        return errors.Unavailable(
            zh="服务器磁盘已满，请联系管理员", en="The server's disk is full; tell the administrator"
        )
    if lost or not state or state[:2] in ("08", "53", "57"):
        return errors.Unavailable()
    return error


def raw(tx: Connection) -> "psycopg.Connection[Any]":
    """The psycopg connection under ``tx``, for COPY."""
    connection: psycopg.Connection[Any] = tx.connection.driver_connection  # type: ignore[assignment]
    return connection


def copy_in(tx: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """COPY rows into ``table`` in this transaction; returns how many. Geometry goes in as hex EWKB text."""
    count = 0
    statement = sql.SQL("copy {} ({}) from stdin").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with raw(tx).cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
            count += 1
    return count
