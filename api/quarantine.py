"""Routes of the quarantine: what was refused but kept, and what became of it; and the way in for other routes."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel

from api.access import Tx, allow
from gis import db, errors, people, quarantine
from gis.people import Caller

router = APIRouter(tags=["quarantine"])
Keeper = Annotated[Caller, allow("import.run")]
LARGEST_ID = 2**63 - 1


class Settled(BaseModel):
    """What became of a row."""

    state: Literal["repaired", "rejected"]


def set_aside(kind: str, source: str, problem: errors.Problem, received: Mapping[str, Any]) -> None:
    """Keep what was refused, in a transaction of its own: the refused one is rolled back. ``received``: JSON values."""
    facts = ", ".join(f"{key}={value}" for key, value in problem.detail.items())
    reason = f"{problem.title_zh} / {problem.title_en} ({facts})"
    row = quarantine.Refused(source, kind, problem.code, reason, json.dumps(received, ensure_ascii=False))
    with db.transaction() as tx:
        quarantine.keep(tx, [row])


@router.get("/api/quarantine")
def look(
    caller: Keeper,
    tx: Tx,
    state: Literal["", "waiting", "repaired", "rejected"] = "",
    after: Annotated[int, Query(ge=0, le=LARGEST_ID)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """One page of what was refused, by id; ``next`` is the ``after`` of the next page, null at the end."""
    rows = quarantine.page(tx, state, after, limit)
    return {"items": rows, "next": rows[-1]["id"] if len(rows) == limit else None}


@router.post("/api/quarantine/{row_id}")
def settle(row_id: Annotated[int, Path(ge=1, le=LARGEST_ID)], body: Settled, caller: Keeper, tx: Tx) -> dict[str, Any]:
    """Say what became of a row."""
    row = quarantine.settle(tx, row_id, body.state)
    people.record(tx, caller.id, caller.name, "quarantine.settle", "ok", {"row": row_id, "state": body.state})
    return row
