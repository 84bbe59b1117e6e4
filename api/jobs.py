"""Every background job, each a few lines that call the town. `python -m api.jobs` runs the worker."""

from uuid import UUID

from redis import Redis
from rq import Worker

from api.background import QUEUE
from gis import db, imports
from gis.settings import settings


def run_import(run_id: str) -> None:
    """Do a noted import and keep its outcome with the run."""
    patient = db.make_engine(settings().database_url or "", pool_size=1, statement_timeout_s=0)
    try:
        imports.run(patient, UUID(run_id))
    finally:
        patient.dispose()


def main() -> None:
    """Work until stopped."""
    Worker([QUEUE], connection=Redis.from_url(settings().redis_url or "")).work()


if __name__ == "__main__":
    main()
