"""Routes of operations: what waits in the background, what was given up, and trying that again."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.access import Tx, allow
from gis import backlog, events, import_runs, people
from gis.people import Caller

router = APIRouter(tags=["operations"])


@router.get("/api/jobs")
def jobs(caller: Annotated[Caller, allow("job.view")], tx: Tx) -> dict[str, Any]:
    """Waiting and dead deliveries by consumer, the dead ones with their errors, and the last imports."""
    return {"consumers": events.backlog(tx), "dead": backlog.dead(tx), "imports": import_runs.recent(tx)}


@router.post("/api/jobs/replay")
def replay(
    caller: Annotated[Caller, allow("job.run")],
    tx: Tx,
    consumer: Annotated[str | None, Query(max_length=50)] = None,
) -> dict[str, Any]:
    """Set dead deliveries, or those of one consumer, waiting again; the relay takes them up at once."""
    revived = backlog.replay(tx, consumer)
    people.record(tx, caller.id, caller.name, "job.replay", "ok", {"consumer": consumer, "deliveries": revived})
    return {"revived": revived}
