"""Looking at somebody's track: whose one may see and how exactly, the record of every look, the day as it is told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import ColumnElement, Select, exists, false, func, insert, or_, select, true

from gis import geometry, patrol, track_days, track_ground, track_rules
from gis.db import Connection
from gis.errors import NotFound, ReasonUnknown
from gis.people import Caller, Scope
from gis.tables import duty_grid, patrol_day, shift, staff, staff_role, track_look
from gis.track_cleaning import REASONS
from gis.track_days import Day, Duty, bounds
from gis.track_rules import TrackRule

#: What somebody gives as the reason who looks at their own track.
OWN = "own"


def covered(scope: Scope) -> ColumnElement[bool]:
    """Whose tracks a scope covers: the staff of its departments, and who is assigned to its villages and duty grids."""
    if scope.everything:
        return true()
    held = exists().where(staff_role.c.staff_id == staff.c.id)
    beats = select(duty_grid.c.code).where(duty_grid.c.village_code.in_(sorted(scope.villages)))
    on_beat, in_village = staff_role.c.scope == "duty_grid", staff_role.c.scope == "village"
    return or_(
        staff.c.department_code.in_(sorted(scope.departments)),
        held.where(on_beat, staff_role.c.scope_code.in_(sorted(scope.duty_grids))),
        held.where(on_beat, staff_role.c.scope_code.in_(beats)),
        held.where(in_village, staff_role.c.scope_code.in_(sorted(scope.villages))),
        staff.c.id == scope.own if scope.own is not None else false(),
    )


def people(tx: Connection, caller: Caller, day: date) -> Sequence[Any]:
    """Whom the caller may look at: inspectors, and who sent fixes that day, by name; with ``fixes`` of that day.

    Says no more of the day than that: which way somebody went is told by looks, and recorded.
    """
    begin, end = bounds(day)
    walks = exists().where(staff_role.c.staff_id == staff.c.id, staff_role.c.role == "inspector")
    on_duty = exists().where(
        shift.c.staff_id == staff.c.id, shift.c.starts_at < end, shift.c.ends_at > begin, shift.c.role == "inspector"
    )
    return tx.execute(
        select(
            staff.c.id,
            staff.c.name,
            staff.c.username,
            func.coalesce(patrol_day.c.fixes, 0).label("fixes"),
            patrol_day.c.inspector_id.is_not(None).label("sent"),
            on_duty.label("on_duty"),
        )
        .outerjoin(patrol_day, (patrol_day.c.inspector_id == staff.c.id) & (patrol_day.c.day == day))
        .where(or_(walks & staff.c.active, patrol_day.c.inspector_id.is_not(None)), covered(caller.scope))
        .order_by(staff.c.name, staff.c.id)
    ).all()


@dataclass(frozen=True)
class Look:
    """A look that was recorded: at whom, and whether the exact fixes may be shown."""

    id: UUID
    name: str
    exact: bool


def look(tx: Connection, caller: Caller, inspector_id: UUID, day: date, what: str, why: str, note: str = "") -> Look:
    """Record that the caller looks at a person's day. One's own needs no reason.

    Raises ``NotFound`` for anybody the caller's scope does not cover, ``ReasonUnknown``.
    """
    own = inspector_id == caller.id
    whose = select(staff.c.name).where(staff.c.id == inspector_id)
    name = tx.execute(whose if own else whose.where(covered(caller.scope))).scalar()
    if name is None:
        raise NotFound(staff=str(inspector_id))
    reasons = track_rules.in_force(tx).reasons
    if not own and why not in reasons:
        raise ReasonUnknown(why=why, known=list(reasons))
    exact = own or "track.exact" in caller.permissions
    tx.execute(
        insert(track_look).values(
            actor_id=caller.id,
            actor=caller.name,
            inspector_id=inspector_id,
            day=day,
            what=what,
            why=OWN if own else why,
            note=note,
            exact=exact,
        )
    )
    return Look(inspector_id, name, exact)


@dataclass(frozen=True)
class Asked:
    """Which looks: at a person, where either name holds ``text``, taken on days ``since`` to ``until``."""

    person: UUID | None = None
    text: str = ""
    why: str = ""
    since: date | None = None
    until: date | None = None


def looks(tx: Connection, asked: Asked, before: int | None = None, limit: int = 200) -> Sequence[Any]:
    """The looks that were recorded, the newest first, from before the one of number ``before``; with ``name``."""
    statement: Select[Any] = select(track_look, staff.c.name).join(staff, staff.c.id == track_look.c.inspector_id)
    if asked.person is not None:
        statement = statement.where(track_look.c.inspector_id == asked.person)
    if asked.text:
        held = (name.icontains(asked.text, autoescape=True) for name in (track_look.c.actor, staff.c.name))
        statement = statement.where(or_(*held))
    if asked.why:
        statement = statement.where(track_look.c.why == asked.why)
    if asked.since is not None:
        statement = statement.where(track_look.c["at"] >= bounds(asked.since)[0])
    if asked.until is not None:
        statement = statement.where(track_look.c["at"] < bounds(asked.until)[1])
    if before is not None:
        statement = statement.where(track_look.c.id < before)
    return tx.execute(statement.order_by(track_look.c.id.desc()).limit(limit)).all()


# --- A day as it is told ----------------------------------------------------------------------------------------


def history(tx: Connection, seen: Look, day: date, now: datetime | None = None) -> dict[str, Any]:
    """A person's day: path, gaps, stops, marks, grids and sums. Moments are seconds since ``begin``, local midnight.

    Without the right to exact tracks, and of days made coarse: cells and the times in them, no fix, no stop.
    """
    rule, moment = track_rules.in_force(tx), now or datetime.now(UTC)
    found, stood = track_days.read(tx, seen.id, rule, *bounds(day)), track_days.duty(tx, seen.id, day, moment)
    begin = bounds(day)[0].timestamp()
    told = _told(found, stood, begin)
    told |= {"person": {"id": seen.id, "name": seen.name}, "day": day, "begin": bounds(day)[0]}
    told |= _grids(tx, found, stood, rule, day, begin)
    exact = seen.exact and not found.coarse
    told |= {"exact": exact, "coarse": found.coarse, "coarse_m": rule.keeping.coarse_m}
    if exact:
        holes = [{"device": h.device, "first": h.first, "last": h.last} for h in track_days.holes(tx, seen.id, day)]
        return told | _exactly(found, begin) | {"holes": holes}
    return told | {"cells": cells(found, rule.keeping.coarse_m, begin)}


def _told(found: Day, stood: Duty, begin: float) -> dict[str, Any]:
    at = found.track.at
    on_duty = stood.seconds if stood.spans else None
    return {
        "fixes": len(found.track),
        "marked": found.marks,
        "clocks": [{"device": device, "clock_s": by, "fixes": n} for (device, by), n in sorted(found.clocks.items())],
        "imported": int(sum((found.track.device == i).sum() for i in _imports(found))),
        "first": at[0] - begin if at.size else None,
        "last": at[-1] - begin if at.size else None,
        "distance_m": round(found.path.distance_m, 1),
        "recorded_s": round(found.recorded_s, 1),
        "on_duty": [[round(a - begin), round(b - begin)] for a, b in stood.spans],
        "on_duty_s": on_duty,
        "unknown_s": None if on_duty is None else round(max(0.0, on_duty - found.recorded_within(stood.spans)), 1),
        "own_grids": sorted(stood.grids),
        "gaps": [
            {"from": at[gap.before] - begin, "to": at[gap.after] - begin, "why": gap.why} for gap in found.path.gaps
        ],
    }


def _imports(found: Day) -> list[int]:
    return [i for i, device in enumerate(found.devices) if device.startswith(track_days.IMPORTED)]


def _grids(tx: Connection, found: Day, stood: Duty, rule: TrackRule, day: date, begin: float) -> dict[str, Any]:
    """What was seen of each unit grid walked in, and the time outside the person's own duty grids."""
    ground = track_ground.ground(tx, track_days.areas_on(tx, day))
    saw, times = track_ground.seen(ground, found.track, found.path, rule.coverage.sight_m)
    places = {str(code): i for i, code in enumerate(ground.areas.codes)}
    grids = [
        {
            "code": code,
            "duty_grid_code": str(ground.areas.duty_grids[places[code]]),
            "cells": int(ground.totals[places[code]]),
            "seen": patrol.popcount(one.cells),
            "dwell_s": round(one.dwell_s, 1),
            "last": round(one.last_at - begin, 1),
        }
        for code, one in saw.items()
        if one.last_at is not None
    ]
    grids.sort(key=lambda one: -float(str(one["dwell_s"])))
    outside = sum(s for code, s in times.items() if code not in stood.grids) if stood.grids else None
    return {"grids": grids, "outside_s": None if outside is None else round(outside, 1)}


def _exactly(found: Day, begin: float) -> dict[str, Any]:
    track = found.track

    def place(i: int) -> list[float]:
        return [round(float(track.lon[i]), 6), round(float(track.lat[i]), 6)]

    middles = geometry.to_4490(
        np.array([stop.east for stop in found.path.stops]),
        np.array([stop.north for stop in found.path.stops]),
        geometry.METRIC,
    )
    return {
        "segments": [
            {
                "at": np.round(track.at[segment] - begin, 1).tolist(),
                "places": np.column_stack([track.lon[segment], track.lat[segment]]).round(6).tolist(),
            }
            for segment in found.path.segments
        ],
        "gap_places": [[place(gap.before), place(gap.after)] for gap in found.path.gaps],
        "stops": [
            {
                "from": track.at[stop.first] - begin,
                "to": track.at[stop.last] - begin,
                "place": [round(x, 6), round(y, 6)],
            }
            for stop, x, y in zip(found.path.stops, middles[0].tolist(), middles[1].tolist(), strict=True)
        ],
        "marks": [
            {
                "at": round(float(track.at[i]) - begin, 1),
                "place": place(i),
                "reason": REASONS[found.reason[i]],
                "accuracy_m": None if np.isnan(track.accuracy[i]) else float(track.accuracy[i]),
                "device": found.devices[track.device[i]],
                "seq": int(track.seq[i]),
            }
            for i in np.flatnonzero(found.reason).tolist()
        ],
    }


def cells(found: Day, cell_m: float, begin: float) -> list[dict[str, Any]]:
    """The square cells a path went through, in order, with the times in them; a gap ends the time in a cell."""
    told = []
    for segment in found.path.segments:
        key, lon, lat = patrol.coarse_cells(found.track.lon[segment], found.track.lat[segment], cell_m)
        edges = np.flatnonzero(np.concatenate([[True], (key[1:] != key[:-1]).any(axis=1), [True]]))
        at = found.track.at[segment] - begin
        for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            last = min(b, at.size - 1)
            told.append(
                {
                    "from": round(float(at[a])),
                    "to": round(float(at[last])),
                    "place": [round(float(lon[a]), 5), round(float(lat[a]), 5)],
                }
            )
    return told
