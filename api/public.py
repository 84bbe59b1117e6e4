"""Routes of who holds the query code of a report: what became of it, material that was asked for, a rating."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from api import case_views
from api.access import Throttle, Tx, anyone
from api.cases import Act, take_step
from gis import people, register
from gis.rulebook import flow_of, rulebook
from gis.workflow import MIGRATE, Workflow

router = APIRouter(tags=["public"])
_looks, _steps = Throttle(per_minute=600), Throttle(per_minute=30)
"""Of looking and of taking steps, by address."""


def _looking(request: Request) -> None:
    _looks.take(request.client.host if request.client else "")


def _stepping(request: Request) -> None:
    _steps.take(request.client.host if request.client else "")


_HOLDER = anyone("whoever holds the code may follow the case")
_ANSWERS = anyone("whoever holds the code may answer what is asked of the reporter")


@router.get("/api/public/cases/{query_code}", dependencies=[_HOLDER, Depends(_looking)])
def follow(query_code: str, tx: Tx) -> dict[str, Any]:
    """What became of a report: its state and how it got there, what is asked of the reporter; no names."""
    return _told(tx, register.by_query_code(tx, query_code)._mapping)


class Supplement(BaseModel):
    """What the reporter adds. ``photos`` are digests of photos sent before."""

    note: str = Field(min_length=1, max_length=2000)
    photos: list[str] = Field(default_factory=list, max_length=9)


@router.post("/api/public/cases/{query_code}/supplement", dependencies=[_ANSWERS, Depends(_stepping)])
def supplement(query_code: str, body: Supplement, tx: Tx) -> dict[str, Any]:
    """Hand in what was asked for: the case goes on."""
    payload = {"note": body.note} | ({"photos_before": body.photos} if body.photos else {})
    return _step(tx, query_code, "supplement", payload)


class Rating(BaseModel):
    """How satisfied the reporter is: 5 very, 1 not at all."""

    score: Annotated[int, Field(ge=1, le=5)]
    note: str = Field("", max_length=500)


@router.post("/api/public/cases/{query_code}/rate", dependencies=[_ANSWERS, Depends(_stepping)])
def rate(query_code: str, body: Rating, tx: Tx) -> dict[str, Any]:
    """Say how satisfied one is with a closed case; said again, the last word counts."""
    payload = {"satisfaction": str(body.score)} | ({"note": body.note} if body.note.strip() else {})
    return _step(tx, query_code, "rate", payload)


def _step(tx: Tx, query_code: str, action: str, payload: dict[str, Any]) -> dict[str, Any]:
    case_id: UUID = register.by_query_code(tx, query_code).id
    take_step(tx, people.reporter_of(case_id), case_id, Act(action=action, payload=payload))
    return _told(tx, register.by_query_code(tx, query_code)._mapping)


def _told(tx: Tx, row: Mapping[str, Any]) -> dict[str, Any]:
    book = rulebook(tx)
    flow = flow_of(tx, book, row)
    events = register.story(tx, row["id"])
    asked = _may(flow, row, "supplement")
    stays = [events[0], *(event for event in events[1:] if event.to_state != event.from_state)]
    return {
        "number": row["number"],
        "category": case_views.category_of(book, row)["name"],
        "state_name": dict(flow.states[row["state"]].name),
        "stage": row["stage"],
        "status": row["status"],
        "reported_at": row["reported_at"],
        "closed_at": row["closed_at"],
        "timeline": [
            {
                "stage": flow.states[event.to_state].stage,
                "name": dict(flow.states[event.to_state].name),
                "at": event.happened_at,
            }
            for event in stays
            if event.to_state in flow.states
        ],
        # What the desk wrote when it asked is meant for the reporter; why its flow was changed since is not.
        "asks": next((e.payload.get("reason") for e in reversed(stays) if e.action != MIGRATE), None)
        if asked
        else None,
        "may_supplement": asked,
        "may_rate": _may(flow, row, "rate"),
        "rated": row["facts"].get("satisfaction"),
    }


def _may(flow: Workflow, row: Mapping[str, Any], action: str) -> bool:
    """Whether the reporter may take this step now."""
    step = flow.actions.get(action)
    return step is not None and row["state"] in step.sources and "public" in step.roles
