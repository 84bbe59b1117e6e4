"""Putting work into the background. Knows jobs by name only: what they need stays out of the web processes.

Redis only executes: what must not be lost is in the database before a job is queued, and can be queued again.
"""

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue

from gis import errors
from gis.settings import settings

QUEUE = "wangge"


def enqueue(job: str, *arguments: str) -> str:
    """Queue a function of ``api.jobs`` by its name; returns the job's id. Raises ``Unavailable``."""
    url = settings().redis_url
    if not url:
        raise errors.Unavailable("未配置 Redis", "No Redis is configured (WANGGE_REDIS_URL)")
    queue = Queue(QUEUE, connection=Redis.from_url(url, socket_timeout=5))
    try:
        return str(queue.enqueue(f"api.jobs.{job}", *arguments, job_timeout=3600, failure_ttl=7 * 86400).id)
    except RedisError as error:
        raise errors.Unavailable("后台任务暂不可用", "Background jobs are not available now") from error
