"""Routes of operations: what waits in the background, what was given up, and trying that again."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from api.access import Tx, allow
from gis import backlog, errors, events, import_runs, people, stuck_timers
from gis.people import Caller
from gis.rulebook import Rulebook, flow_of, rulebook

router = APIRouter(tags=["operations"])


@router.get("/api/jobs")
def jobs(caller: Annotated[Caller, allow("job.view")], tx: Tx) -> dict[str, Any]:
    """Deliveries by consumer, the dead with their errors; deadlines that could not act, with why; the last imports.

    ``stuck_count`` counts all deadlines, ``stuck`` tells the oldest; ``why`` is its refusal in words, null for a fault.
    """
    book = rulebook(tx)
    return {
        "consumers": events.backlog(tx),
        "dead": backlog.dead(tx),
        "stuck": [_stuck(tx, book, one) for one in stuck_timers.listed(tx)],
        "stuck_count": stuck_timers.count(tx),
        "imports": import_runs.recent(tx),
    }


@router.get("/api/jobs/health")
def health(caller: Annotated[Caller, allow("job.view")], tx: Tx) -> dict[str, int]:
    """How many deadlines could not act, how many deliveries were given up, how many wait: a light's worth of it."""
    consumers = events.backlog(tx).values()
    return {
        "stuck": stuck_timers.count(tx),
        "dead": sum(one["dead"] for one in consumers),
        "waiting": sum(one["waiting"] for one in consumers),
    }


def _stuck(tx: Tx, book: Rulebook, one: Mapping[str, Any]) -> dict[str, Any]:
    try:
        name = dict(flow_of(tx, book, one).states[one["state"]].name)
    except (errors.Problem, KeyError):  # its workflow may be the very reason
        name = {"zh": one["state"], "en": one["state"]}
    refusal = _REFUSALS.get(one["error"].partition(":")[0])
    why = {"zh": refusal.zh, "en": refusal.en} if refusal else None
    return {**one, "state_name": name, "why": why}


_REFUSALS = {
    one.code: one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.Problem)
}


@router.post("/api/jobs/replay")
def replay(
    caller: Annotated[Caller, allow("job.run")],
    tx: Tx,
    consumer: Annotated[str | None, Query(max_length=50)] = None,
    case: UUID | None = None,
) -> dict[str, Any]:
    """Set dead deliveries and stuck deadlines waiting again: they are tried at once.

    All of them, or one ``consumer``'s deliveries, or the deadlines of one ``case``.
    """
    revived = 0 if case else backlog.replay(tx, consumer)
    timers = 0 if consumer else stuck_timers.retry(tx, datetime.now(UTC), case)
    told = {"consumer": consumer, "case": str(case) if case else None, "deliveries": revived, "timers": timers}
    people.record(tx, caller.id, caller.name, "job.replay", "ok", told)
    return {"revived": revived, "timers": timers}
