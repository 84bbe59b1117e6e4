"""The duty calendar: who stands when on which post, planned by whole changes. What is wanting, gis.duty decides.

A shift is named by its person and its start. Every change takes away and adds in one step, so that a plan made on an
old view is refused instead of doubling people.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, exists, false, func, insert, or_, select, text, true, update

from gis import definitions, duty, errors, people
from gis.db import Connection
from gis.people import ADMIN_ROLES, Caller, Scope
from gis.search import ZONE
from gis.tables import department, duty_grid, position_live, shift, special_period, staff, staff_role
from gis.tracks import SILENT_AFTER
from gis.validity import in_force
from gis.workflow import ROLES
from gis.worktime import Calendar

LONGEST = timedelta(hours=24)
_DAY = timedelta(days=1)
#: Serialises planning: two plans that each look free must not put one person into two places.
_LOCK = 0x77616E68


@dataclass(frozen=True, slots=True)
class NewShift:
    """A shift to plan. Moments are aware; ``duty_grid`` empty means the person's own."""

    staff_id: UUID
    role: str
    starts_at: datetime
    ends_at: datetime
    duty_grid: str = ""
    note: str = ""


Key = tuple[UUID, datetime]


def plan_in_force(tx: Connection) -> duty.Plan:
    """The town's duty plan. Raises ``DefinitionUnknown``."""
    found: duty.Plan = definitions.current(tx, "duty_plan").parsed
    return found


def listed(tx: Connection, since: datetime, until: datetime, staff_id: UUID | None = None) -> Sequence[Any]:
    """The shifts that touch ``since`` to ``until``, by start: the table's columns, name, username, duty grid's name."""
    statement = _named().where(shift.c.starts_at < until, shift.c.ends_at > since)
    statement = statement.where(shift.c.starts_at >= since - LONGEST)  # none is longer: the index bounds both sides
    if staff_id is not None:
        statement = statement.where(shift.c.staff_id == staff_id)
    return tx.execute(statement.order_by(shift.c.starts_at, staff.c.name, shift.c.staff_id)).all()


def _named() -> Select[Any]:
    return (
        select(
            shift,
            staff.c.name,
            staff.c.username,
            staff.c.active,
            department.c.name.label("department_name"),
            duty_grid.c.name.label("duty_grid_name"),
        )
        .join(staff, staff.c.id == shift.c.staff_id)
        .join(department, department.c.code == staff.c.department_code)
        .join(duty_grid, duty_grid.c.code == shift.c.duty_grid_code, isouter=True)
    )


def change(tx: Connection, caller: Caller, remove: Sequence[Key], add: Sequence[NewShift]) -> list[duty.Warned]:
    """Take shifts away and add others, all or nothing; returns what is unwise about the people's turns around them.

    Raises ``ShiftUnknown`` for one that is not there (any more), ``ShiftSpan``, ``StaffUnknown``, ``NotOnPost``,
    ``GridUnknown`` or ``ShiftOverlap``.
    """
    lock(tx)
    for staff_id, starts_at in remove:
        gone = tx.execute(
            delete(shift).where(shift.c.staff_id == staff_id, shift.c.starts_at == starts_at).returning(shift.c.role)
        ).first()
        if gone is None:
            raise errors.ShiftUnknown(staff=str(staff_id), starts_at=starts_at.isoformat())
    for one in add:
        place(tx, one)
    if remove or add:
        people.record(tx, caller.id, caller.name, "shift.plan", "ok", {"removed": len(remove), "added": len(add)})
    return _warned(tx, [(one.staff_id, one.starts_at) for one in add])


def lock(tx: Connection) -> None:
    """Nobody else plans until this transaction ends."""
    tx.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def place(tx: Connection, one: NewShift) -> None:
    """Put one shift into the calendar, which is locked. A refusal (see ``change``) leaves nothing behind."""
    if not timedelta() < one.ends_at - one.starts_at <= LONGEST:
        raise errors.ShiftSpan(starts_at=one.starts_at.isoformat(), ends_at=one.ends_at.isoformat())
    if tx.scalar(select(staff.c.id).where(staff.c.id == one.staff_id, staff.c.active, ~staff.c.machine)) is None:
        raise errors.StaffUnknown(staff=str(one.staff_id))
    held = select(staff_role.c.role).where(staff_role.c.staff_id == one.staff_id, staff_role.c.role == one.role)
    if one.role not in ROLES or not tx.scalar(select(exists(held))):
        raise errors.NotOnPost(staff=str(one.staff_id), role=one.role)
    if one.duty_grid and tx.scalar(select(duty_grid.c.code).where(duty_grid.c.code == one.duty_grid)) is None:
        raise errors.GridUnknown(duty_grid=one.duty_grid)
    other = tx.execute(
        select(shift.c.starts_at, shift.c.ends_at).where(
            shift.c.staff_id == one.staff_id, shift.c.starts_at < one.ends_at, shift.c.ends_at > one.starts_at
        )
    ).first()
    if other is not None:
        raise errors.ShiftOverlap(
            staff=str(one.staff_id), starts_at=other.starts_at.isoformat(), ends_at=other.ends_at.isoformat()
        )
    tx.execute(
        insert(shift).values(
            staff_id=one.staff_id,
            role=one.role,
            starts_at=one.starts_at,
            ends_at=one.ends_at,
            duty_grid_code=one.duty_grid or None,
            note=one.note,
        )
    )


def _warned(tx: Connection, keys: Sequence[Key]) -> list[duty.Warned]:
    """What is unwise about these turns and their neighbours."""
    if not keys:
        return []
    first, last = min(at for _, at in keys), max(at for _, at in keys)
    rows = tx.execute(
        select(shift).where(
            shift.c.staff_id.in_({person for person, _ in keys}),
            shift.c.starts_at.between(first - 2 * LONGEST, last + 2 * LONGEST),
        )
    ).all()
    wanted = set(keys)
    return [
        w
        for w in duty.warnings((_turn(row) for row in rows), plan_in_force(tx).rest)
        if wanted & {(t.staff_id, t.starts_at) for t in (w.first, w.second)}
    ]


def _turn(row: Any, own: Collection[str] = ()) -> duty.Turn:
    grids = frozenset(own) | ({row.duty_grid_code} if row.duty_grid_code else frozenset())
    return duty.Turn(row.staff_id, row.role, row.starts_at, row.ends_at, grids)


@dataclass(frozen=True)
class Copied:
    """What became of a week copied: how many landed, and the ones that did not with the problem."""

    added: int
    skipped: list[tuple[Any, errors.Problem]]
    warnings: list[duty.Warned]


def copy_week(tx: Connection, caller: Caller, week: date, target: date, roles: Collection[str] = ()) -> Copied:
    """The shifts that begin in the week of ``week`` again in the week of ``target``; ``roles`` empty means all.

    One that does not fit (somebody left, is busy then, lost the role) is skipped and told, the others land.
    """
    monday, other = (d - timedelta(days=d.weekday()) for d in (week, target))
    since = midnight(monday)
    lock(tx)
    rows = [
        row
        for row in listed(tx, since, since + 7 * _DAY)
        if row.starts_at >= since and (not roles or row.role in roles)
    ]
    moved = other - monday
    skipped: list[tuple[Any, errors.Problem]] = []
    added: list[Key] = []
    for row in rows:
        one = NewShift(
            row.staff_id, row.role, row.starts_at + moved, row.ends_at + moved, row.duty_grid_code or "", row.note
        )
        try:
            place(tx, one)
            added.append((one.staff_id, one.starts_at))
        except errors.Problem as problem:
            skipped.append((row, problem))
    told = {"from": monday.isoformat(), "to": other.isoformat(), "added": len(added), "skipped": len(skipped)}
    people.record(tx, caller.id, caller.name, "shift.copy", "ok", told)
    return Copied(len(added), skipped, _warned(tx, added))


def swap(tx: Connection, caller: Caller, one: Key, other: Key) -> list[duty.Warned]:
    """Two people take each other's turn: times, post, duty grid. Raises as ``change``."""
    lock(tx)
    rows = [
        tx.execute(select(shift).where(shift.c.staff_id == person, shift.c.starts_at == at)).first()
        for person, at in (one, other)
    ]
    if rows[0] is None or rows[1] is None:
        missing = one if rows[0] is None else other
        raise errors.ShiftUnknown(staff=str(missing[0]), starts_at=missing[1].isoformat())
    given = [
        NewShift(person, row.role, row.starts_at, row.ends_at, row.duty_grid_code or "", row.note)
        for person, row in ((one[0], rows[1]), (other[0], rows[0]))
    ]
    return change(tx, caller, [one, other], given)


# --- The calendar -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Month:
    """A stretch of the calendar: the shifts that touch it, its days, what is wanting, what is unwise.

    With each shift the duty grids that have somebody while it lasts.
    """

    shifts: list[tuple[Any, list[str]]]
    days: list[dict[str, Any]]
    gaps: list[duty.Gap]
    warnings: list[duty.Warned]


def stretch(tx: Connection, first: date, last: date, now: datetime) -> Month:
    """The days ``first`` to ``last``, both included. Gaps are told of what is not over at ``now``."""
    plan = plan_in_force(tx)
    calendar = definitions.current(tx, "calendar")
    known: Calendar = calendar.parsed
    since, until = midnight(first), midnight(last + _DAY)
    # A turn of the evening before may man a post; a rest may be broken across the edge.
    rows = listed(tx, since - LONGEST, until + LONGEST)
    own = _own_grids(tx)
    turns = [_turn(row, own.get(row.staff_id, ()) if row.role == "inspector" else ()) for row in rows]
    important = [
        duty.Period(row.name, row.starts_on, row.ends_on, tuple(duty.Post.from_body(raw) for raw in row.posts))
        for row in periods(tx, first, last)
    ]
    wanted = duty.demands(plan, known, first, last, sorted(grid_names(tx)), important)
    return Month(
        [
            (row, sorted(turn.grids))
            for row, turn in zip(rows, turns, strict=True)
            if row.starts_at < until and row.ends_at > since
        ],
        _days(calendar.body, known, first, last),
        [gap for gap in duty.gaps(wanted, turns) if gap.ends_at > now],
        [w for w in duty.warnings(turns, plan.rest) if w.second.starts_at < until and w.second.ends_at > since],
    )


def _days(body: dict[str, Any], calendar: Calendar, first: date, last: date) -> list[dict[str, Any]]:
    """Each day with its kind (workday, weekend, holiday, makeup) and its name where it has one."""
    free = {
        date.fromisoformat(row["from"]) + _DAY * i: row["name"]
        for row in body["holidays"]
        for i in range((date.fromisoformat(row["to"]) - date.fromisoformat(row["from"])).days + 1)
    }
    made_up = {date.fromisoformat(row["date"]): row["name"] for row in body["workdays"]}
    found = []
    for day in (first + _DAY * i for i in range((last - first).days + 1)):
        kind = "workday" if calendar.is_workday(day) else "weekend"
        if day in free:
            kind = "holiday"
        elif day in made_up:
            kind = "makeup"
        name = free.get(day) or made_up.get(day) or ""
        known = calendar.known_from <= day <= calendar.known_to
        found.append({"day": day.isoformat(), "kind": kind, "name": name, "known": known})
    return found


def grid_names(tx: Connection, villages: Collection[str] = ()) -> dict[str, str]:
    """The duty grids in force, where ``villages`` are named those that lie in them: name by code."""
    lies = duty_grid.c.village_code.in_(sorted(villages)) if villages else true()
    rows = tx.execute(select(duty_grid.c.code, duty_grid.c.name).where(in_force(duty_grid), lies))
    return {code: name for code, name in rows}


def _own_grids(tx: Connection) -> dict[UUID, set[str]]:
    found: dict[UUID, set[str]] = {}
    rows = tx.execute(
        select(staff_role.c.staff_id, staff_role.c.scope_code).where(
            staff_role.c.role == "inspector", staff_role.c.scope == "duty_grid"
        )
    )
    for person, code in rows:
        found.setdefault(person, set()).add(code)
    return found


def crew(tx: Connection) -> list[dict[str, Any]]:
    """Everybody who can be planned: id, name, username, department, their roles and own duty grids."""
    rows = tx.execute(
        select(
            staff.c.id,
            staff.c.name,
            staff.c.username,
            department.c.name.label("department"),
            func.array_agg(staff_role.c.role.distinct()).label("roles"),
        )
        .join(staff_role, staff_role.c.staff_id == staff.c.id)
        .join(department, department.c.code == staff.c.department_code)
        .where(staff.c.active, ~staff.c.machine, staff_role.c.role.not_in(ADMIN_ROLES))
        .group_by(staff.c.id, department.c.name)
        .order_by(staff.c.username)
    ).all()
    own = _own_grids(tx)
    return [dict(row._mapping) | {"duty_grids": sorted(own.get(row.id, ()))} for row in rows]


def on_duty(tx: Connection, now: datetime) -> Sequence[Any]:
    """The shifts that run at ``now`` with where their people were last seen: ``seen_at``, ``lon``, ``lat``, ``online``.

    Positions are null for who sends none; ``online`` says the last one is no older than gis.tracks allows.
    """
    return tx.execute(_present(now).order_by(shift.c.role, staff.c.username)).all()


def patrolling(tx: Connection, scope: Scope, now: datetime, among: Scope) -> Sequence[Any]:
    """The same of inspectors that the scope (and ``among`` too) covers.

    They are covered by their duty grid of today, its village, department, or as oneself.

    A shift without a duty grid belongs to whoever sees the whole town, the department, or oneself.
    """
    rows = _present(now).where(shift.c.role == "inspector", _covered(scope), _covered(among))
    return tx.execute(rows.order_by(position_live.c["at"].nulls_first(), staff.c.username)).all()


def _covered(scope: Scope) -> ColumnElement[bool]:
    if scope.everything:
        return true()
    return or_(
        false(),
        shift.c.duty_grid_code.in_(sorted(scope.duty_grids)),
        duty_grid.c.village_code.in_(sorted(scope.villages)),
        staff.c.department_code.in_(sorted(scope.departments)),
        shift.c.staff_id == scope.own,
    )


def _present(now: datetime) -> Select[Any]:
    return (
        _named()
        .add_columns(
            position_live.c["at"].label("seen_at"),
            position_live.c.lon,
            position_live.c.lat,
            func.coalesce(position_live.c["at"] >= now - SILENT_AFTER, False).label("online"),
        )
        .join(position_live, position_live.c.inspector_id == shift.c.staff_id, isouter=True)
        .where(shift.c.starts_at <= now, shift.c.ends_at > now, shift.c.starts_at > now - LONGEST)
    )


def running(tx: Connection, staff_id: UUID, now: datetime, grace: timedelta = timedelta(hours=2)) -> Any:
    """The person's shift that runs at ``now`` or ended within ``grace``; None without one."""
    return tx.execute(
        select(shift)
        .where(shift.c.staff_id == staff_id, shift.c.starts_at <= now, shift.c.ends_at > now - grace)
        .order_by(shift.c.starts_at.desc())
        .limit(1)
    ).first()


def midnight(day: date) -> datetime:
    """When a day of the town begins."""
    return datetime(day.year, day.month, day.day, tzinfo=ZONE)


# --- Important times --------------------------------------------------------------------------------------------


def periods(tx: Connection, first: date | None = None, last: date | None = None) -> Sequence[Any]:
    """The important times that touch the days ``first`` to ``last``, or all, by first day."""
    statement = select(special_period).order_by(special_period.c.starts_on, special_period.c.id)
    if last is not None:
        statement = statement.where(special_period.c.starts_on <= last)
    if first is not None:
        statement = statement.where(special_period.c.ends_on >= first)
    return tx.execute(statement).all()


def save_period(
    tx: Connection, caller: Caller, period_id: UUID, name: str, first: date, last: date, posts: list[Any], note: str
) -> None:
    """Make or change an important time. Raises ``DateOrder`` or ``RowInvalid`` naming the post."""
    if not first <= last <= first + timedelta(days=366):
        raise errors.DateOrder(starts_on=first.isoformat(), ends_on=last.isoformat())
    for i, raw in enumerate(posts):
        try:
            duty.Post.from_body(raw)
        except (KeyError, TypeError, ValueError) as error:
            raise errors.RowInvalid(post=i + 1, why=str(error)) from error
    values = {"name": name, "starts_on": first, "ends_on": last, "posts": posts, "note": note, "made_by": caller.name}
    changed = tx.execute(
        update(special_period)
        .where(special_period.c.id == period_id)
        .values(**values, made_at=func.now())
        .returning(special_period.c.id)
    ).first()
    if changed is None:
        tx.execute(insert(special_period).values(id=period_id, **values))
    told = {"id": str(period_id), "name": name, "from": first.isoformat(), "to": last.isoformat()}
    people.record(tx, caller.id, caller.name, "period.save", "ok", told)


def drop_period(tx: Connection, caller: Caller, period_id: UUID) -> None:
    """Take an important time back. Raises ``NotFound``."""
    gone = tx.execute(
        delete(special_period).where(special_period.c.id == period_id).returning(special_period.c.name)
    ).scalar()
    if gone is None:
        raise errors.NotFound(id=str(period_id))
    people.record(tx, caller.id, caller.name, "period.drop", "ok", {"id": str(period_id), "name": gone})
