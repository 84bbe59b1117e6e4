"""Routes of the duty calendar: shifts, gaps, planning, copying, swapping, Excel in and out, important times."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api.access import Day, Tx, allow, aware, signed_in
from gis import db, duty, errors, shift_sheet, shifts
from gis.people import Caller
from gis.search import ZONE
from layers import sheets
from layers.sheets import Sheet

router = APIRouter(tags=["shifts"])
Worker = Annotated[Caller, allow("shift.work")]
Planner = Annotated[Caller, allow("shift.manage")]
_LONGEST_VIEW = timedelta(days=62)


class ShiftKey(BaseModel):
    """A shift by its person and its start."""

    staff: UUID
    starts_at: datetime

    def key(self) -> shifts.Key:
        """As gis names it."""
        return self.staff, aware(self.starts_at)


class NewShift(ShiftKey):
    """A shift to plan."""

    role: str = Field(max_length=50)
    ends_at: datetime
    duty_grid: str = Field("", max_length=50)
    note: str = Field("", max_length=200)

    def shift(self) -> shifts.NewShift:
        """As gis plans it."""
        return shifts.NewShift(
            self.staff, self.role, aware(self.starts_at), aware(self.ends_at), self.duty_grid, self.note
        )


class Change(BaseModel):
    """Shifts to take away and to add, all or nothing."""

    remove: list[ShiftKey] = Field(default_factory=list, max_length=500)
    add: list[NewShift] = Field(default_factory=list, max_length=500)


class Copy(BaseModel):
    """Any day of the week to copy and of the week to fill; no roles means all."""

    week: Day
    target: Day
    roles: list[str] = Field(default_factory=list, max_length=20)


class Swap(BaseModel):
    """Two shifts whose people change places."""

    one: ShiftKey
    other: ShiftKey


class SpecialPeriod(BaseModel):
    """An important time and the posts it asks for: ``role, count, from, hours, days, per, spell`` of a duty plan."""

    name: str = Field(min_length=1, max_length=100)
    starts_on: Day
    ends_on: Day
    posts: list[dict[str, Any]] = Field(max_length=50)
    note: str = Field("", max_length=1000)


@router.get("/api/shifts")
def calendar(caller: Worker, tx: Tx, since: Day, until: Day) -> dict[str, Any]:
    """The days ``since`` to ``until``, both included: shifts, kinds of days, gaps, warnings, important times."""
    if not timedelta() <= until - since <= _LONGEST_VIEW:
        raise errors.BadFilter(parameter="until", value=until.isoformat(), why="before since, or over two months later")
    found = shifts.stretch(tx, since, until, datetime.now(UTC))
    return {
        "shifts": [shift_of(row) | {"grids": grids} for row, grids in found.shifts],
        "days": found.days,
        "gaps": [gap_of(gap, shifts.grid_names(tx)) for gap in found.gaps],
        "warnings": [_warning(w) for w in found.warnings],
        "periods": [_period(row) for row in shifts.periods(tx, since, until)],
    }


@router.get("/api/shifts/mine")
def mine(caller: Annotated[Caller, signed_in()], tx: Tx, since: Day, until: Day) -> dict[str, Any]:
    """My own shifts on the days ``since`` to ``until``, both included."""
    begin, end = shifts.midnight(since), shifts.midnight(until + timedelta(days=1))
    return {"shifts": [shift_of(row) for row in shifts.listed(tx, begin, end, caller.id)]}


@router.get("/api/shifts/crew")
def crew(caller: Planner, tx: Tx) -> dict[str, Any]:
    """What a plan is made of: people with roles and grids, usual turns, duty grids."""
    plan = shifts.plan_in_force(tx)
    return {
        "staff": shifts.crew(tx),
        "turns": [
            {
                "code": t.code,
                "name": dict(t.name),
                "from": f"{t.begins:%H:%M}",
                "hours": t.lasts / timedelta(hours=1),
            }
            for t in plan.templates
        ],
        "roles": list(dict.fromkeys(post.role for post in plan.posts)),
        "duty_grids": [{"code": code, "name": name} for code, name in sorted(shifts.grid_names(tx).items())],
    }


@router.get("/api/shifts/now")
def on_duty(caller: Worker, tx: Tx) -> dict[str, Any]:
    """Who stands on duty now, and where those who send positions were last seen, for who may see positions."""
    sees = "position.view" in caller.permissions
    now = datetime.now(UTC)
    found = []
    for row in shifts.on_duty(tx, now):
        seen = {"seen_at": row.seen_at, "lon": row.lon, "lat": row.lat, "online": row.online} if sees else {}
        found.append(shift_of(row) | seen)
    return {"at": now, "items": found}


@router.post("/api/shifts/plan")
def plan(body: Change, caller: Planner, tx: Tx) -> dict[str, Any]:
    """Take shifts away and add others in one step; answers what is unwise about the new ones."""
    warned = shifts.change(tx, caller, [k.key() for k in body.remove], [s.shift() for s in body.add])
    return {"warnings": [_warning(w) for w in warned]}


@router.post("/api/shifts/copy")
def copy(body: Copy, caller: Planner, tx: Tx) -> dict[str, Any]:
    """A week's shifts again in another week; those that do not fit are named."""
    done = shifts.copy_week(tx, caller, body.week, body.target, body.roles)
    return {
        "added": done.added,
        "skipped": [shift_of(row) | {"problem": problem.body()} for row, problem in done.skipped],
        "warnings": [_warning(w) for w in done.warnings],
    }


@router.post("/api/shifts/swap")
def swap(body: Swap, caller: Planner, tx: Tx) -> dict[str, Any]:
    """Two people take each other's shift."""
    return {"warnings": [_warning(w) for w in shifts.swap(tx, caller, body.one.key(), body.other.key())]}


@router.get("/api/shifts/export")
def export(caller: Worker, tx: Tx, since: Day, until: Day) -> Response:
    """The shifts that touch the days ``since`` to ``until`` as a workbook that the import takes."""
    begin, end = shifts.midnight(since), shifts.midnight(until + timedelta(days=1))
    rows = shift_sheet.rows_of(shifts.listed(tx, begin, end), shift_sheet.role_names(tx))
    return excel([Sheet("值班表", shift_sheet.COLUMNS, rows)], f"shifts-{since}-{until}")


@router.post("/api/shifts/import")
async def take(request: Request, caller: Planner) -> dict[str, Any]:
    """Plan from a workbook (the body): rows that fit land, the others are named."""
    return await run_in_threadpool(_take, caller, await request.body())


def _take(caller: Caller, content: bytes) -> dict[str, Any]:
    with db.transaction() as tx:
        done = shift_sheet.take(tx, caller, content)
    return {
        "added": done.added,
        "unchanged": done.unchanged,
        "refused": [{"row": r.row, "cells": r.cells, "problem": r.problem.body()} for r in done.refused],
    }


@router.get("/api/periods")
def periods(caller: Worker, tx: Tx) -> dict[str, Any]:
    """Every important time, by its first day."""
    return {"items": [_period(row) for row in shifts.periods(tx)]}


@router.put("/api/periods/{period_id}")
def save_period(period_id: UUID, body: SpecialPeriod, caller: Planner, tx: Tx) -> dict[str, Any]:
    """Make or change an important time."""
    shifts.save_period(tx, caller, period_id, body.name, body.starts_on, body.ends_on, body.posts, body.note)
    return {"id": period_id}


@router.delete("/api/periods/{period_id}", status_code=204)
def drop_period(period_id: UUID, caller: Planner, tx: Tx) -> None:
    """Take an important time back."""
    shifts.drop_period(tx, caller, period_id)


def excel(pages: Sequence[Sheet], name: str) -> Response:
    """A workbook as a download."""
    headers = {"content-disposition": f'attachment; filename="{name}.xlsx"', "cache-control": "no-store"}
    return Response(sheets.workbook(pages), media_type=sheets.MEDIA_TYPE, headers=headers)


def shift_of(row: Any) -> dict[str, Any]:
    """A shift as the pages read it. ``row`` comes from ``shifts.listed``."""
    code = row.duty_grid_code
    return {
        "staff": row.staff_id,
        "name": row.name,
        "username": row.username,
        "department": row.department_name,
        "active": row.active,
        "role": row.role,
        "starts_at": row.starts_at.astimezone(ZONE),
        "ends_at": row.ends_at.astimezone(ZONE),
        "duty_grid": {"code": code, "name": row.duty_grid_name or code} if code else None,
        "note": row.note,
    }


def gap_of(gap: duty.Gap, names: Mapping[str, str]) -> dict[str, Any]:
    """A gap as the pages read it; ``names`` are the duty grids'."""
    code = gap.demand.duty_grid
    return {
        "role": gap.demand.post.role,
        "name": dict(gap.demand.post.name),
        "period": gap.demand.period,
        "duty_grid": {"code": code, "name": names.get(code, code)} if code else None,
        "once": gap.demand.post.once,
        "starts_at": gap.starts_at.astimezone(ZONE),
        "ends_at": gap.ends_at.astimezone(ZONE),
        "missing": gap.missing,
    }


def _warning(warned: duty.Warned) -> dict[str, Any]:
    return {
        "kind": warned.kind,
        "staff": warned.first.staff_id,
        "first": _span(warned.first),
        "second": _span(warned.second),
        "rest_minutes": int(warned.rest / timedelta(minutes=1)),
    }


def _span(turn: duty.Turn) -> dict[str, Any]:
    return {
        "role": turn.role,
        "starts_at": turn.starts_at.astimezone(ZONE),
        "ends_at": turn.ends_at.astimezone(ZONE),
    }


def _period(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "starts_on": row.starts_on,
        "ends_on": row.ends_on,
        "posts": row.posts,
        "note": row.note,
        "made_by": row.made_by,
    }
