"""Routes of what one case's page shows beside the case: its clock on a line, the proof of its history, previews."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Response

from api.access import Tx, allow
from gis import assignment, clock_line, files, register, worktime
from gis.clock_line import Line
from gis.people import Caller
from gis.rulebook import calendar_of, flow_of, rulebook
from gis.settings import settings
from gis.workflow import Field, Workflow

router = APIRouter(tags=["cases"])
Viewer = Annotated[Caller, allow("case.view")]


@router.get("/api/cases/{case_id}/course")
def course(case_id: UUID, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """The course of a case: its handling clock on a line (null before it starts), every stage with its limit, and the
    names its story is told in: of the flow it runs on, of the people and cases its events name."""
    row, events, _ = register.whole_case(tx, caller, case_id)
    of, now, book = row._mapping, datetime.now(UTC), rulebook(tx)
    flow = flow_of(tx, book, of)
    line = clock_line.line(tx, book, of, now)
    return {
        "seq": of["seq"],
        "now": now,
        "line": _line(line) if line else None,
        "clocked": any(action.clock == "start" for action in (flow.start, *flow.actions.values())),
        "stages": [
            {
                "state": stay.state,
                "from": stay.begin,
                "to": stay.end,
                "due_at": stay.due_at,
                "late": stay.due_at is not None and (stay.end or now) > stay.due_at,
            }
            for stay in clock_line.stays(flow, events, of["stage_due_at"], calendar_of(tx, book, of))
        ],
        "states": {code: dict(state.name) for code, state in flow.states.items()},
        "fields": {
            action.code: {f.name: _field(f) for f in action.fields} for action in (flow.start, *flow.actions.values())
        },
        "names": register.names_in(tx, caller, _named(flow, events)),
    }


@router.get("/api/cases/{case_id}/candidates")
def candidates(case_id: UUID, caller: Annotated[Caller, allow("position.view")], tx: Tx) -> dict[str, Any]:
    """The inspectors who could go to a case, the best first, each with the reasons that the choice would give."""
    row, _, _ = register.whole_case(tx, caller, case_id)
    found = assignment.rank(assignment.candidates(tx, row._mapping, datetime.now(UTC)))
    return {
        "items": [
            {"id": str(one.id), "name": one.name, "reasons": [dict(r) for r in assignment.explain(one, len(found))]}
            for one in found
        ]
    }


@router.get("/api/cases/{case_id}/verify")
def verify(case_id: UUID, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """Whether the chain of the case's events holds, computed anew from what is stored."""
    proof = register.proof(tx, caller, case_id)
    return {
        "events": proof.events,
        "intact": proof.broken_at is None,
        "broken_at": proof.broken_at,
        "head": proof.head.hex(),
        "sealed_until": proof.sealed_until,
    }


@router.get("/api/media/{sha256}/preview")
def preview(sha256: str, case: UUID, caller: Viewer, tx: Tx, size: Literal["small", "large"] = "small") -> Response:
    """A smaller picture of a photo of a case the caller may see."""
    register.attachment_of(tx, caller, case, sha256)
    home = settings().home
    content = files.preview(home / "files", home / "previews", sha256, size)
    headers = {"cache-control": "private, max-age=31536000, immutable"}
    return Response(content, media_type="image/jpeg", headers=headers)


def _field(field: Field) -> dict[str, Any]:
    names = {code: dict(name) for code, name in (field.choice_names or {}).items()}
    return {"type": field.type, "label": dict(field.label)} | ({"choices": names} if names else {})


def _named(flow: Workflow, events: Sequence[Any]) -> dict[str, set[str]]:
    """The ids that fields of type ``staff`` and ``case`` hold in a case's events."""
    types = {(action.code, f.name): f.type for action in flow.actions.values() for f in action.fields}
    found: dict[str, set[str]] = {"staff": set(), "case": set()}
    for event in events:
        for name, value in event.payload.items():
            kind = types.get((event.action, name), "")
            if kind in found:
                found[kind].add(str(value))
    return found


def _line(line: Line) -> dict[str, Any]:
    return {
        "limit": worktime.in_words(line.limit),
        "kind": line.limit.kind.value,
        "started_at": line.started_at,
        "yellow_at": line.yellow_at,
        "due_at": line.due_at,
        "goes_on_due_at": line.goes_on_due_at,
        "extensions": line.extensions,
        "first_due_at": line.first_due_at,
        "stopped_at": line.stopped_at,
        "until": line.until,
        "cut": line.cut,
        "spans": [{"from": span.begin, "to": span.end, "how": span.how.value} for span in line.spans],
    }
