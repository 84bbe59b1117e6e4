"""Putting work into the background. Knows jobs by name only: what they need stays out of the web processes.

Redis only executes: what must not be lost is in the database before a job is queued, and is queued again from there.
"""

import time
from math import inf
from pathlib import Path
from uuid import UUID

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.registry import StartedJobRegistry

from gis import census_drafts, db, errors, import_runs
from gis.settings import settings

QUEUE = "wangge"
UNNOTED = 3600
"""Seconds after which a file of an upload that no draft and no import names is one that was broken off."""


def _queue() -> Queue:
    url = settings().redis_url
    if not url:
        raise errors.Unavailable("未配置 Redis", "No Redis is configured (WANGGE_REDIS_URL)")
    return Queue(QUEUE, connection=Redis.from_url(url, socket_timeout=5))


def _put(queue: Queue, run_id: UUID) -> None:
    # The job is called like its run: queued twice it is one job, and run twice the second finds the run taken.
    options = {"job_timeout": 3600, "failure_ttl": 7 * 86400}
    queue.enqueue("api.jobs.run_import", str(run_id), job_id=str(run_id), **options)


def start_import(run_id: UUID) -> bool:
    """Queue a noted import now; False when Redis does not answer: then ``requeue`` does it as soon as it does."""
    try:
        _put(_queue(), run_id)
    except (errors.Unavailable, RedisError):
        return False
    return True


def requeue() -> int:
    """Queue the imports that are noted but not in Redis, and those whose worker is gone; returns how many.

    Without Redis it does nothing: the next call will. Also ends imports that were tried too often.
    """
    with db.transaction() as tx:
        for path in import_runs.give_up(tx):
            Path(path).unlink(missing_ok=True)
        due = import_runs.due(tx)
    if not due:
        return 0
    try:
        queue = _queue()
        waiting = set(queue.job_ids)
        begun = set(StartedJobRegistry(queue=queue).get_job_ids(cleanup=False))
        lost = [run for run, state in due if str(run) not in (waiting | begun if state == "queued" else waiting)]
        for run_id in lost:
            _put(queue, run_id)
    except (errors.Unavailable, RedisError):
        return 0
    return len(lost)


def sweep() -> int:
    """Delete the uploads of a process that was killed between its file and its transaction; returns how many."""
    home = settings().home
    late = time.time() - UNNOTED
    files = [one for name in ("surveys", "uploads") for one in (home / name).glob("*") if _changed(one) < late]
    if not files:
        return 0
    with db.transaction() as tx:
        wanted = {Path(path).name for path in (*census_drafts.paths(tx), *import_runs.paths(tx))}
    lost = [one for one in files if one.name not in wanted]
    for one in lost:
        one.unlink(missing_ok=True)
    return len(lost)


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # whoever had it deleted it meanwhile
        return inf
