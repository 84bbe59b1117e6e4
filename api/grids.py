"""Routes of the grids' editor: draft plans and their steps, what it asks of inspectors, publishing, withdrawing."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
import shapely
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from api.access import Day, Tx, allow
from gis import grid_drafts, people, register
from gis.balance import spread
from gis.db import Connection
from gis.grid_drafts import Opened
from gis.grid_figures import Line, Weighed, affected
from gis.grid_plan import Plan, drafted
from gis.grid_shapes import metres2
from gis.people import Caller

router = APIRouter(tags=["grids"])
Viewer = Annotated[Caller, allow("definition.view")]
Manager = Annotated[Caller, allow("grid.manage")]
Reckoner = Annotated[Caller, allow("statistics.view")]
MOST_STEPS = 500
#: What is compared between duty grids before and after.
COMPARED = ("area_km2", "components", "month", "walk_km", "burden")

Place = tuple[Annotated[float, Field(ge=-180, le=180)], Annotated[float, Field(ge=-90, le=90)]]
Path = Annotated[list[Place], Field(min_length=2, max_length=500)]
Key = Annotated[str, Field(min_length=1, max_length=40)]
Keys = Annotated[list[Key], Field(min_length=1, max_length=999)]
AreaClass = Literal["A", "B", "C"]
DraftKey = Annotated[str, Field(pattern="^[0-9a-z-]{0,36}$")]
Words = Annotated[str, Field(max_length=60)]
Name = Annotated[str, Field(min_length=1, max_length=60)]


class Split(BaseModel):
    """A grid cut by a line."""

    step: Literal["split"]
    grid: Key
    line: Path


class Merge(BaseModel):
    """Neighbouring grids made one."""

    step: Literal["merge"]
    grids: Keys


class Retire(BaseModel):
    """A grid given to a neighbour."""

    step: Literal["retire"]
    grid: Key
    into: Key


class Redraw(BaseModel):
    """The border between two grids along another line."""

    step: Literal["redraw"]
    grids: tuple[Key, Key]
    line: Path


class Move(BaseModel):
    """A node of a border, or a new one on it, moved with all grids that meet there."""

    step: Literal["move"]
    at: Place
    to: Place


class Draw(BaseModel):
    """A new grid, its land taken from those that are there."""

    step: Literal["draw"]
    ring: Annotated[list[Place], Field(min_length=3, max_length=500)]
    area_class: AreaClass
    land_use: Words = ""


class Describe(BaseModel):
    """Class and use of a grid."""

    step: Literal["describe"]
    grid: Key
    area_class: AreaClass
    land_use: Words


class Assign(BaseModel):
    """Unit grids put into a duty grid."""

    step: Literal["assign"]
    grids: Keys
    duty: Key


class Group(BaseModel):
    """A new duty grid of unit grids."""

    step: Literal["group"]
    grids: Keys
    name: Name


class Rename(BaseModel):
    """Another name for a duty grid."""

    step: Literal["rename"]
    duty: Key
    name: Name


class Regroup(BaseModel):
    """Many unit grids put into duty grids at once, as suggested."""

    step: Literal["regroup"]
    members: Annotated[dict[Key, Key], Field(min_length=1, max_length=5000)]


Step = Annotated[
    Split | Merge | Retire | Redraw | Move | Draw | Describe | Assign | Group | Rename | Regroup,
    Field(discriminator="step"),
]
Steps = Annotated[list[Step], Field(max_length=MOST_STEPS)]


class Draft(BaseModel):
    """The whole draft: from which day on, its steps, and those taken back (the last of them is the next to redo).

    ``revision`` is of the draft that the sender saw, 0 for none. ``key`` tells drafts apart; who begins one
    makes it.
    """

    key: DraftKey = ""
    name: Words = ""
    day: Day
    steps: Steps
    undone: Steps = Field(default_factory=list)
    revision: int = Field(0, ge=0)


class Publication(BaseModel):
    """Which revision of which draft to publish, from which day on, and why.

    ``base`` as it was told with the draft: whoever changed the grids under it since is not overlooked.
    """

    draft: DraftKey = ""
    base: int | None = None
    revision: int = Field(ge=1)
    day: Day
    note: str = Field("", max_length=500)


@router.get("/api/grid-plan")
def plan(caller: Viewer, tx: Tx, day: Day | None = None, draft: DraftKey = "") -> dict[str, Any]:
    """A draft, or without it the grids in force on ``day``: grids, duty grids, faults, the plan that waits.

    Shapes are told of grids that the plan changes; those of the others are at ``/api/grid-plan/shapes``.
    """
    return _told(tx, caller, grid_drafts.opened(tx, draft, day=day))


@router.get("/api/grid-plan/shapes", dependencies=[allow("definition.view")])
def shapes(tx: Tx, day: Day) -> Response:
    """The unit grids in force on a day as GeoJSON, EPSG:4490."""
    start = grid_drafts.start_on(tx, day)
    found = {"type": "FeatureCollection", "features": [_feature(start, key) for key in start.cells]}
    return Response(orjson.dumps(found), media_type="application/geo+json")


@router.put("/api/grid-plan/draft")
def save(sent: Draft, caller: Manager, tx: Tx) -> dict[str, Any]:
    """Save a draft; a last step that does not fit is refused, and so is a draft somebody else saved meanwhile."""
    body = sent.model_dump(mode="json", exclude={"revision", "key"})
    return _told(tx, caller, grid_drafts.save(tx, body, sent.revision, caller, sent.key))


@router.delete("/api/grid-plan/draft", status_code=204)
def discard(revision: Annotated[int, Query(ge=1)], caller: Manager, tx: Tx, draft: DraftKey = "") -> None:
    """Throw a draft away."""
    grid_drafts.discard(tx, revision, draft)
    people.record(tx, caller.id, caller.name, "grids.discard", "ok", {"draft": draft, "revision": revision})


@router.post("/api/grid-plan/publish", status_code=201)
def publish(sent: Publication, caller: Manager, tx: Tx) -> dict[str, Any]:
    """Publish a draft for a day, whole or not at all."""
    made = grid_drafts.publish(tx, sent.revision, sent.day, sent.note, caller, sent.draft, sent.base)
    what = {"plan": str(made), "day": sent.day.isoformat(), "note": sent.note}
    people.record(tx, caller.id, caller.name, "grids.publish", "ok", what)
    return {"id": made, "day": sent.day, "taken": grid_drafts.waiting(tx) is None}


@router.post("/api/grid-plan/{plan_id}/withdraw")
def withdraw(plan_id: UUID, caller: Manager, tx: Tx) -> dict[str, Any]:
    """Take back a published plan whose day has not come; its steps are a draft again, whose key is told."""
    draft = grid_drafts.withdraw(tx, plan_id, caller)
    people.record(tx, caller.id, caller.name, "grids.withdraw", "ok", {"plan": str(plan_id)})
    return {"draft": draft}


@router.get("/api/grid-plans", dependencies=[allow("definition.view")])
def plans(tx: Tx) -> dict[str, Any]:
    """Published plans, the newest first."""
    return {"items": [_published(row) for row in grid_drafts.history(tx)]}


@router.get("/api/grid-plan/balance")
def balance(caller: Reckoner, tx: Tx, draft: DraftKey = "") -> dict[str, Any]:
    """What every duty grid asks of those who patrol it, before and after a draft, and whom publishing concerns."""
    found = grid_drafts.opened(tx, draft)
    weighed = Weighed(tx, caller, found)
    out = grid_drafts.result(tx, found)
    return {
        **_compared(weighed, found.plan),
        "affected": affected(tx, caller, out.ended, out.ended_duties),
    }


@router.get("/api/grid-plan/suggestion")
def suggestion(
    caller: Reckoner,
    tx: Tx,
    village: Annotated[list[str] | None, Query(max_length=99)] = None,
    draft: DraftKey = "",
) -> dict[str, Any]:
    """A fairer grouping of the villages named, or of all: ``members`` for a ``regroup`` step, and its effect."""
    opened = grid_drafts.opened(tx, draft)
    weighed = Weighed(tx, caller, opened)
    found = weighed.suggestion(village or [])
    steps = [{"step": "regroup", "members": dict(found.members)}] if found.members else []
    return {
        "members": found.members,
        "unevenness": {code: {"before": a, "after": b} for code, (a, b) in found.unevenness.items()},
        "skipped": found.skipped,
        **_compared(weighed, drafted(opened.plan, steps).plan),
    }


def _compared(weighed: Weighed, after: Plan) -> dict[str, Any]:
    lines = {
        "before": weighed.lines(weighed.draft.start, weighed.before),
        "after": weighed.lines(after, weighed.after),
    }
    return {side: [asdict(line) for line in some] for side, some in lines.items()} | {
        "spreads": {
            name: {side: asdict(spread([_value(line, name) for line in some])) for side, some in lines.items()}
            for name in COMPARED
        }
    }


def _value(line: Line, name: str) -> float:
    return float(getattr(line, name))


def _feature(found: Plan, key: str) -> dict[str, Any]:
    shape = shapely.to_geojson(found.cells[key].polygon)
    return {"type": "Feature", "id": key, "geometry": orjson.Fragment(shape), "properties": {"key": key}}


def _told(tx: Connection, caller: Caller, draft: Opened) -> dict[str, Any]:
    out = grid_drafts.result(tx, draft)
    found = draft.plan
    came_of: dict[str, list[str]] = {}
    for one in out.descents:
        came_of.setdefault(one.new, []).append(one.old)
    changed = {*out.opened, *out.noded}
    villages = {row.code: row.short_name for row in register.villages(tx)}
    waiting = grid_drafts.waiting(tx)
    return {
        "draft": {
            "key": draft.key,
            "name": draft.name,
            "revision": draft.revision,
            "base": draft.base,
            "by": draft.by,
            "updated_at": draft.updated_at,
            "steps": draft.steps,
            "undone": draft.undone,
        },
        "drafts": grid_drafts.every(tx),
        "day": draft.day,
        "may_write": "grid.manage" in caller.permissions,
        "grids": [
            {
                "key": key,
                "code": out.codes[key],
                "village": cell.village,
                "area_class": cell.area_class,
                "land_use": cell.land_use,
                "duty": cell.duty,
                "m2": round(metres2(cell.polygon)),
                "fresh": key in out.opened,
                "described": out.codes[key] in out.described,
                "of": came_of.get(out.codes[key], []),
            }
            for key, cell in found.cells.items()
        ],
        "shapes": [orjson.loads(orjson.dumps(_feature(found, key))) for key in sorted(changed)],
        "ended": out.ended,
        "duty_grids": [
            {
                "key": key,
                "code": out.duty_codes.get(key, ""),
                "name": duty.name,
                "village": duty.village,
                "fresh": duty.fresh,
                "ended": key in out.ended_duties,
            }
            for key, duty in found.duties.items()
        ],
        "villages": [{"code": code, "name": name} for code, name in sorted(villages.items())],
        "regrouped": len(set(out.members) - {out.codes[key] for key in out.opened}),
        "faults": [asdict(fault) for fault in grid_drafts.problems(tx, draft)],
        "broken": [{"step": number, "problem": problem.body()} for number, problem in draft.found.broken],
        "waiting": _published(waiting) if waiting is not None else None,
    }


def _published(row: Any) -> dict[str, Any]:
    state = "withdrawn" if row.withdrawn_at else "taken" if row.taken_at else "waiting"
    opened, members = set(row.changes["opened"]), set(row.changes["members"])
    counts = {"opened": len(opened), "ended": len(row.changes["ended"]), "regrouped": len(members - opened)}
    counts["described"] = len(row.changes.get("described", {}))
    at: datetime = row.published_at
    return {
        "id": row.id,
        "day": row.valid_from,
        "by": row.published_by,
        "at": at,
        "note": row.note,
        "state": state,
        **counts,
    }
