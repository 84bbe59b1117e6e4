"""Which inspector goes: duty grid, shift, distance and load decide, and the reasons are told.

``rank`` is pure; ``candidates`` reads who could go. Knows no workflow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, or_, select

from gis.db import Connection
from gis.geometry import metres_per_degree
from gis.tables import case, duty_grid, position_live, shift, staff, staff_role

# An open piece of work weighs as much as so much way; a position older than FRESH says nothing of where somebody is.
METRES_PER_CASE = 400.0
FRESH = timedelta(minutes=15)


@dataclass(frozen=True)
class Candidate:
    """An inspector who could go. ``distance_m`` is None where nobody knows where they are."""

    id: UUID
    name: str
    own_grid: bool
    on_shift: bool
    distance_m: float | None
    load: int


@dataclass(frozen=True)
class Choice:
    """The inspector who goes and why, in words for people."""

    id: UUID
    name: str
    reasons: tuple[Mapping[str, str], ...]


def rank(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates, the best first.

    Who is on shift goes before who is not; then who has the duty grid; then the shorter of distance plus load (each
    open case counts as 400 m), those whose place is unknown after the others. Ties go by load, then by id.
    """
    return sorted(
        candidates,
        key=lambda c: (
            not c.on_shift,
            not c.own_grid,
            c.distance_m is None,
            (c.distance_m or 0.0) + METRES_PER_CASE * c.load,
            c.load,
            str(c.id),
        ),
    )


def explain(chosen: Candidate, among: int) -> tuple[Mapping[str, str], ...]:
    """Why this one, in words."""
    grid = ("责任网格网格员", "Has the duty grid") if chosen.own_grid else ("临近网格", "From another duty grid")
    turn = ("当班", "On shift") if chosen.on_shift else ("不在班", "Off shift")
    metres = chosen.distance_m
    way = (
        ("位置未知", "Place unknown")
        if metres is None
        else (f"距现场 {metres:.0f} 米", f"{metres:.0f} m from the place")
    )
    load = (f"在手 {chosen.load} 件", f"{chosen.load} cases in hand")
    rest = (f"候选 {among} 人", f"Best of {among}")
    return tuple({"zh": zh, "en": en} for zh, en in (grid, turn, way, load, rest))


def choose(tx: Connection, row: Mapping[str, Any], at: datetime) -> Choice | None:
    """The best inspector for a case at ``at``; None where no inspector has its place."""
    found = candidates(tx, row, at)
    if not found:
        return None
    best = rank(found)[0]
    return Choice(best.id, best.name, explain(best, len(found)))


def candidates(tx: Connection, row: Mapping[str, Any], at: datetime) -> list[Candidate]:
    """Active inspectors whose duty grid, village or town holds the case, and those of its village's other grids.

    The latter only where they hold what is assigned to them: others could not even see it.
    """
    own = staff_role.alias()
    holds = select(own.c.staff_id).where(
        own.c.staff_id == staff_role.c.staff_id, own.c.role == "inspector", own.c.scope == "own"
    )
    nearby = select(duty_grid.c.code).where(duty_grid.c.village_code == row["village_code"])
    grants = (
        select(
            staff_role.c.staff_id,
            func.bool_or(
                and_(staff_role.c.scope == "duty_grid", staff_role.c.scope_code == row["duty_grid_code"])
            ).label("own_grid"),
        )
        .where(
            staff_role.c.role == "inspector",
            or_(
                staff_role.c.scope == "town",
                and_(staff_role.c.scope == "village", staff_role.c.scope_code == row["village_code"]),
                and_(staff_role.c.scope == "duty_grid", staff_role.c.scope_code == row["duty_grid_code"]),
                and_(staff_role.c.scope == "duty_grid", staff_role.c.scope_code.in_(nearby), holds.exists()),
            ),
        )
        .group_by(staff_role.c.staff_id)
        .subquery()
    )
    on_shift = select(shift.c.staff_id).where(
        shift.c.staff_id == staff.c.id, shift.c.starts_at <= at, shift.c.ends_at > at
    )
    load = select(func.count()).where(case.c.assignee_id == staff.c.id, case.c.status == "open").scalar_subquery()
    east, north = map(float, metres_per_degree(row["lat"]))
    dx = (position_live.c.lon - row["lon"]) * east
    dy = (position_live.c.lat - row["lat"]) * north
    rows = tx.execute(
        select(
            staff.c.id,
            staff.c.name,
            grants.c.own_grid,
            on_shift.exists().label("on_shift"),
            func.sqrt(dx * dx + dy * dy).label("distance_m"),
            load.label("load"),
        )
        .join(grants, grants.c.staff_id == staff.c.id)
        .join(
            position_live,
            and_(position_live.c.inspector_id == staff.c.id, position_live.c.at > at - FRESH),
            isouter=True,
        )
        .where(staff.c.active, ~staff.c.machine)
    )
    return [Candidate(r.id, r.name, r.own_grid, r.on_shift, r.distance_m, r.load) for r in rows]
