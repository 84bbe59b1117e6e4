"""Every background job, each a few lines that call the town. `python -m api.jobs` runs the worker.

Redis only executes: what must not be lost is in the database before a job is queued, and can be queued again.
"""

from pathlib import Path
from typing import Any
from uuid import UUID

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker

from gis import db, errors, imports, measures
from gis.settings import settings

QUEUE = "wangge"


def redis() -> "Redis[bytes]":
    """The Redis of the settings. Raises ``Unavailable`` when none is named."""
    if not settings().redis_url:
        raise errors.Unavailable("未配置 Redis", "No Redis is configured (WANGGE_REDIS_URL)")
    return Redis.from_url(settings().redis_url, socket_timeout=5)


def queue() -> Queue:
    """The queue of background jobs."""
    return Queue(QUEUE, connection=redis())


def enqueue(job: Any, *arguments: Any) -> str:
    """Queue one of this module's jobs; returns its id. Raises ``Unavailable``."""
    try:
        return str(queue().enqueue(job, *arguments, job_timeout=3600, result_ttl=86400, failure_ttl=7 * 86400).id)
    except RedisError as error:
        raise errors.Unavailable("后台任务暂不可用", "Background jobs are not available now") from error


def run_import(run_id: str, kind: str, path: str, mapping: str) -> None:
    """Import an uploaded file and keep its outcome with the run."""
    patient = db.make_engine(settings().database_url or "", pool_size=1, statement_timeout_s=0)
    try:
        imports.run(patient, UUID(run_id), kind, Path(path), mapping)
    finally:
        patient.dispose()
        Path(path).unlink(missing_ok=True)


def recompute_statistics() -> int:
    """Rebuild every figure from the cases; returns how many changed."""
    patient = db.make_engine(settings().database_url or "", pool_size=1, statement_timeout_s=0)
    with db.transaction(patient) as tx:
        return measures.recompute(tx)


def main() -> None:
    """Work until stopped."""
    Worker([QUEUE], connection=Redis.from_url(settings().redis_url or "")).work()


if __name__ == "__main__":
    main()
