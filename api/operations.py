"""Routes of operations: what waits in the background, what was given up, and trying that again."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.access import Tx, allow
from gis import backlog, events, import_runs, people, stuck_timers
from gis.people import Caller

router = APIRouter(tags=["operations"])


@router.get("/api/jobs")
def jobs(caller: Annotated[Caller, allow("job.view")], tx: Tx) -> dict[str, Any]:
    """Deliveries by consumer, the dead with their errors; deadlines that could not act, with why; the last imports."""
    return {
        "consumers": events.backlog(tx),
        "dead": backlog.dead(tx),
        "stuck": stuck_timers.listed(tx),
        "imports": import_runs.recent(tx),
    }


@router.post("/api/jobs/replay")
def replay(
    caller: Annotated[Caller, allow("job.run")],
    tx: Tx,
    consumer: Annotated[str | None, Query(max_length=50)] = None,
) -> dict[str, Any]:
    """Set dead deliveries and stuck deadlines, or one consumer's deliveries, waiting again: they are tried at once."""
    revived = backlog.replay(tx, consumer)
    timers = 0 if consumer else stuck_timers.retry(tx, datetime.now(UTC))
    people.record(
        tx, caller.id, caller.name, "job.replay", "ok", {"consumer": consumer, "deliveries": revived, "timers": timers}
    )
    return {"revived": revived, "timers": timers}
