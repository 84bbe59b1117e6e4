"""Routes of workflows as an administrator draws them: check, simulate, read and write as text, move running cases."""

from collections import OrderedDict
from dataclasses import asdict
from threading import Lock
from typing import Annotated, Any
from uuid import UUID

import yaml
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.access import Tx, allow
from gis import (
    binding_audit,
    definitions,
    drafts,
    errors,
    events,
    people,
    rulebook,
    workflow,
    workflow_faults,
    workflow_moves,
    workflow_trials,
)
from gis.people import Caller
from gis.workflow_moves import Version
from gis.workflow_trials import Trial

router = APIRouter(tags=["workflows"])
Viewer = Annotated[Caller, allow("definition.view")]
Drawer = Annotated[Caller, allow("definition.publish")]
Offset = Annotated[int, Query(ge=0, le=100_000)]
Limit = Annotated[int, Query(ge=1, le=200)]
TEXT_MAX = 500_000

# A trial reads thousands of cases and its list has pages: the last few are kept, each for as long as nothing happens.
_trials: "OrderedDict[tuple[Any, ...], Trial]" = OrderedDict()
_lock = Lock()
_KEPT = 4


class Body(BaseModel):
    """A workflow's body as it is drawn; whatever is wrong with it is told, not refused."""

    body: dict[str, Any]


class Simulation(Body):
    """Run ``body`` on the cases of the last ``days`` days that began in workflow ``like`` (default: its own code)."""

    days: int = Field(30, ge=1, le=workflow_trials.DAYS)
    like: str = Field("", max_length=50)
    kind: str = Field("", max_length=120)
    offset: int = Field(0, ge=0, le=100_000)
    limit: int = Field(50, ge=1, le=200)


class Written(BaseModel):
    """A workflow as YAML."""

    text: str = Field(max_length=TEXT_MAX)


class Named(BaseModel):
    """A version of a workflow."""

    workflow: str = Field(max_length=50)
    version: int = Field(ge=1, lt=2**31)

    def version_of(self) -> Version:
        """As the town names it."""
        return Version(self.workflow, self.version)


class MovePlan(BaseModel):
    """From which version to which. ``states`` says where a case stands afterwards; None: where the code is the same."""

    source: Named
    target: Named
    states: dict[str, str] | None = Field(None, max_length=200)


class MoveOrder(MovePlan):
    """A plan to be done, and why."""

    reason: str = Field(max_length=500)


@router.get("/api/workflow-grammar")
def grammar(caller: Viewer, tx: Tx) -> dict[str, Any]:
    """Every name a workflow may use, and the roles somebody holds."""
    words = {name: sorted(getattr(workflow, name.upper())) for name in _SETS}
    return words | {"stages": workflow.STAGES, "statuses": workflow.STATUSES, "staffed": sorted(people.staffed(tx))}


_SETS = ("roles", "marks", "counters", "clock_effects", "field_types", "facts", "tasks", "assignments")


@router.get("/api/workflow-running")
def running(caller: Viewer, tx: Tx) -> dict[str, Any]:
    """How many open cases run on each version, and who draws at a workflow that was never published."""
    published = {one["code"] for one in definitions.overview(tx) if one["kind"] == "workflow"}
    return {
        "running": [
            {"workflow": code, "version": version, "cases": n}
            for (code, version), n in sorted(workflow_moves.running(tx).items())
        ],
        "drafts": [
            {"code": code, "name": name, "by": by, "updated_at": at}
            for code, name, by, at in drafts.named(tx, "workflow")
            if code not in published
        ],
    }


@router.post("/api/workflow-check")
def check(asked: Body, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """All faults of a drawn workflow at once."""
    return _judged(tx, asked.body)


def _judged(tx: Tx, body: Any) -> dict[str, Any]:
    found = workflow_faults.faults(body, people.staffed(tx))
    return {
        "faults": [
            {
                "rule": f.rule,
                "level": f.level,
                "part": f.part,
                "code": f.code,
                "index": f.index,
                "key": f.key,
                "words": {"zh": f.zh, "en": f.en},
            }
            for f in found
        ]
    }


@router.post("/api/workflow-read")
def read(asked: Written, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """A workflow out of its YAML, with its faults."""
    body = definitions.read_yaml(asked.text)
    if not isinstance(body, dict):
        raise errors.DefinitionBad(why="a workflow is a mapping")
    return {"body": body} | _judged(tx, body)


@router.post("/api/workflow-write")
def write(asked: Body, caller: Viewer) -> dict[str, Any]:
    """A workflow as YAML, in the order people write it."""
    return {"text": yaml.dump(_in_order(asked.body), allow_unicode=True, sort_keys=False, width=110)}


_FIRST = ("kind", "code", "name", "valid_from", "offline_minutes", "states", "start", "actions", "effect", "from", "to")


def _in_order(value: Any) -> Any:
    """The same, keys in the order of a file: what a thing is called comes before what it does."""
    if isinstance(value, list):
        return [_in_order(v) for v in value]
    if not isinstance(value, dict):
        return value
    ranks = {name: n for n, name in enumerate(_FIRST)}
    return {k: _in_order(value[k]) for k in sorted(value, key=lambda k: ranks.get(k, len(ranks)))}


@router.post("/api/workflow-simulate")
def simulate(asked: Simulation, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """A draft on past cases: how many go the same way, where the others leave it; those the caller may see, by page."""
    flow = definitions.check("workflow", asked.body)
    # Until something happens anywhere, the same question has the same answer.
    key = (definitions.canonical(asked.body), asked.days, asked.like, caller.scope, str(events.latest(tx)))
    with _lock:
        found = _trials.get(key)
    if found is None:
        found = workflow_trials.trial(tx, caller, flow, asked.days, asked.like)
        with _lock:
            _trials[key] = found
            while len(_trials) > _KEPT:
                _trials.popitem(last=False)
    return {"summary": found.summary()} | found.page(tx, caller, asked.kind, asked.offset, asked.limit)


@router.post("/api/workflow-bindings/audit")
def audit_bindings(asked: Body, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """What is wrong with a table of bindings, which row holds where two fit, and which kinds fall back."""
    found = rulebook.faults(tx, "binding", str(asked.body.get("code", "")), asked.body)
    if found:
        return {"faults": found, "overlaps": [], "unbound": []}
    kinds = {code: kind.workflow for code, kind in rulebook.rulebook(tx).case_kinds.items()}
    return {
        "faults": [],
        "overlaps": [asdict(overlap) for overlap in binding_audit.overlaps(asked.body)],
        "unbound": [{"kind": k, "workflow": w} for k, w in binding_audit.unbound(asked.body, kinds).items()],
    }


@router.post("/api/workflow-moves/plan")
def plan_move(asked: MovePlan, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """What a move would do, per state; nothing is changed."""
    return workflow_moves.plan(tx, asked.source.version_of(), asked.target.version_of(), asked.states)


@router.post("/api/workflow-moves", status_code=202)
def start_move(asked: MoveOrder, caller: Drawer, tx: Tx) -> dict[str, Any]:
    """Move the cases running on a version to another; done in the background, case by case."""
    source, target = asked.source.version_of(), asked.target.version_of()
    states = asked.states
    if states is None:
        states = workflow_moves.suggest(source.flow(tx), target.flow(tx))
    return {"id": workflow_moves.start(tx, caller, source, target, states, asked.reason)}


@router.get("/api/workflow-moves")
def moves(caller: Viewer, tx: Tx) -> dict[str, Any]:
    """The last moves with their counts."""
    return {"items": workflow_moves.recent(tx)}


@router.get("/api/workflow-moves/{move_id}")
def look_at_move(move_id: UUID, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """How far a move is."""
    return workflow_moves.look(tx, move_id)


@router.get("/api/workflow-moves/{move_id}/cases")
def moved_cases(
    move_id: UUID,
    caller: Viewer,
    tx: Tx,
    outcome: Annotated[str, Query(pattern="^(waiting|moved|refused)?$")] = "",
    offset: Offset = 0,
    limit: Limit = 50,
) -> dict[str, Any]:
    """What became of each case the caller may see."""
    return workflow_moves.outcomes(tx, caller, move_id, outcome, offset, limit)


class Halt(BaseModel):
    """Whether the move stands still."""

    stopped: bool


@router.post("/api/workflow-moves/{move_id}/halt")
def halt_move(move_id: UUID, asked: Halt, caller: Drawer, tx: Tx) -> dict[str, Any]:
    """Halt a move, or let it go on; what is moved stays moved."""
    workflow_moves.stop(tx, caller, move_id, asked.stopped)
    return workflow_moves.look(tx, move_id)
