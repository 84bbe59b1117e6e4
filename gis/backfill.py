"""A made-up past for a demo: weeks of cases through the one write path, at simulated times. Knows who acts when.

What people choose and how long they take is gis.pretend's. Every case is marked as simulated; ``recorded_at`` of its
events stays the true time of writing.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import numpy as np
import shapely
from sqlalchemy import func, select

from gis import case_changes, cases, errors, files, pretend
from gis.areas import areas
from gis.case_report import Receipt, Report
from gis.case_rows import Photo
from gis.catalogue import Category
from gis.db import Connection
from gis.people import PUBLIC, SYSTEM, Caller, by_id
from gis.rulebook import Rulebook, flow_of, rulebook
from gis.tables import case, case_task, component, place, staff, staff_role
from gis.workflow import available, blocked

ZONE = ZoneInfo("Asia/Shanghai")
#: Relative number of reports in each hour of the day.
HOURS = (1, 1, 1, 1, 1, 2, 5, 10, 16, 18, 16, 12, 8, 9, 14, 16, 15, 13, 9, 7, 6, 4, 3, 2)
CHANNELS = {"patrol": 66, "public": 16, "hotline": 10, "video": 5, "superior": 2, "leader": 1}
#: Share of places that are hot spots.
HOT = 0.05
DAY = timedelta(days=1)
#: Share of the patrols' events that were mended on the spot.
SELF_HANDLED = 0.2
#: Departments a made-up whistle summons.
SUMMONED = 3
#: Pictures a past is told with.
PICTURES = 12


@dataclass(frozen=True)
class Cast:
    """Who plays: desk roles by name, inspectors by duty grid, managers by department; and the photos they take."""

    desk: Mapping[str, Sequence[Caller]]
    inspectors: Mapping[str, Caller]
    managers: Mapping[str, Caller]
    photos: Sequence[Photo] = ()

    def around(self, chance: Random, duty_grid: str, department: str | None) -> dict[str, Caller]:
        """Who could act on a case there: one person of each role."""
        found = {role: chance.choice(some) for role, some in self.desk.items()}
        if duty_grid in self.inspectors:
            found["inspector"] = self.inspectors[duty_grid]
        if department and department in self.managers:
            found["department_manager"] = self.managers[department]
        return found


@dataclass(frozen=True)
class Opening:
    """A report to be made: when, by which channel, of what, where (EPSG:4490)."""

    at: datetime
    channel: str
    category: Category
    lon: float
    lat: float
    component_code: str
    name: str
    address: str
    kind: str = "case"
    self_handled: bool = False


def exists(tx: Connection) -> bool:
    """Whether there is any case yet: a past is made only once."""
    return tx.scalar(select(select(case.c.id).exists())) or False


def gather(tx: Connection, folder: Path) -> Cast:
    """The staff who can play, with a few pictures kept in ``folder`` that say they are simulated.

    Raises ``Unavailable`` when the town has nobody for the desk.
    """
    roles = tx.execute(
        select(staff_role.c.staff_id, staff_role.c.role, staff_role.c.scope, staff_role.c.scope_code)
        .join(staff, staff.c.id == staff_role.c.staff_id)
        .where(staff.c.active, ~staff.c.machine)
        .order_by(staff.c.username)
    ).all()
    wanted = ("inspector", "department_manager", "acceptor", "shift_leader", "dispatcher", "leader")
    known: dict[UUID, Caller] = {
        staff_id: by_id(tx, staff_id) for staff_id in dict.fromkeys(r.staff_id for r in roles if r.role in wanted)
    }
    desk: dict[str, list[Caller]] = {}
    for row in roles:
        if row.scope == "town" and row.staff_id in known:
            desk.setdefault(row.role, []).append(known[row.staff_id])
    if not desk.keys() >= {"acceptor", "shift_leader", "dispatcher"}:
        raise errors.Unavailable("演示人员不全", "The town has no staff to play the past", found=sorted(desk))
    by_scope = {
        scope: {r.scope_code: known[r.staff_id] for r in roles if r.role == role and r.scope == scope}
        for role, scope in (("inspector", "duty_grid"), ("department_manager", "department"))
    }
    return Cast(desk, by_scope["duty_grid"], by_scope["department"], _pictures(folder))


def _pictures(folder: Path) -> list[Photo]:
    found = []
    for number in range(PICTURES):
        content = pretend.picture(Random(number))
        sha256 = hashlib.sha256(content)
        mime = files.keep(folder, sha256.hexdigest(), content)
        found.append(Photo(sha256.digest(), mime, len(content)))
    return found


def plan(tx: Connection, seed: int, days: int, number: int, now: datetime | None = None) -> list[Opening]:
    """About ``number`` reports of the last ``days`` days in order of time; fewer by those that fall after now."""
    chance, end = Random(seed), now or datetime.now(UTC)
    book = rulebook(tx)
    catalogue = book.catalogues[book.town_catalogue]
    categories = {(c.kind, c.code): c for group in catalogue.groups for c in group.categories}
    events = [c for c in categories.values() if c.kind == "event"]
    things = tx.execute(
        select(component.c.code, component.c.category_code, component.c.name, component.c.lon, component.c.lat)
        .where(component.c.state != "removed", component.c.catalogue == book.town_catalogue)
        .order_by(func.md5(component.c.code + str(seed)))
        .limit(4 * number)
    ).all()
    if not things:
        raise errors.Unavailable("没有部件数据", "There are no components to report on")
    named = _Addresses(tx)
    weights = [pretend.weight(categories["component", t.category_code].name) for t in things]
    hot = [things[k] for k in chance.sample(range(len(things)), max(1, int(len(things) * HOT / 4)))]
    first = end.astimezone(ZONE).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days)
    found = []
    for _ in range(number):
        at = _moment(chance, first, days)
        channel = chance.choices(list(CHANNELS), list(CHANNELS.values()))[0]
        if chance.random() < 0.45:
            thing = chance.choices(things, weights)[0]
            category, code, name, spread = categories["component", thing.category_code], thing.code, thing.name, 0.0
        else:
            thing = chance.choice(hot) if chance.random() < 0.5 else chance.choice(things)
            category, code, spread = events[pretend.pick(chance, [e.name for e in events])], "", 4e-4
            name = category.name
        lon, lat = chance.gauss(thing.lon, spread), chance.gauss(thing.lat, spread * 0.8)
        if at < end:
            kind = "hotline" if channel == "hotline" else "whistle" if channel == "leader" else "case"
            own = channel == "patrol" and category.kind == "event" and chance.random() < SELF_HANDLED
            found.append(Opening(at, channel, category, lon, lat, code, name, named.near(lon, lat), kind, own))
    return sorted(found, key=lambda opening: opening.at)


def write(tx: Connection, cast: Cast, opening: Opening, chance: Random, now: datetime) -> int:
    """Lives one case from its report to ``now`` or its end; returns how many events that took (0: place refused)."""
    book = rulebook(tx)
    try:
        made = cases.report(
            tx,
            _reporter(tx, cast, opening, chance),
            Report(
                id=uuid4(),
                catalogue=book.town_catalogue,
                category_kind=opening.category.kind,
                category_code=opening.category.code,
                component_code=opening.component_code,
                channel=opening.channel,
                lon=opening.lon,
                lat=opening.lat,
                description=pretend.description(chance, opening.name, opening.category.kind),
                address=opening.address,
                severity=pretend.severity(chance),
                photos=(chance.choice(cast.photos),) if chance.random() < 0.6 else (),
                kind=opening.kind,
                **_told(cast, opening, chance),
                occurred_at=opening.at,
                reported_at=opening.at,
                simulated=True,
            ),
        )
    except (errors.OutsideTown, errors.NotCovered, KeyError):
        return 0  # a hot spot at the boundary scatters over it, or nobody patrols there
    return 1 + _live(tx, book, cast, made, opening, chance, now)


def _told(cast: Cast, opening: Opening, chance: Random) -> dict[str, Any]:
    """What a report of its kind holds beside what all hold."""
    if opening.self_handled:
        photo = chance.choice(cast.photos)
        done = {"result": "（模拟）已现场处理", "photos_after": [photo.sha256.hex()]}
        return {"self_handled": True, "payload": done, "photos_after": (photo,)}
    if opening.kind == "hotline":
        return {"external_code": f"BJ{opening.at:%Y%m%d}{chance.randrange(10**6):06d}"}
    if opening.kind == "whistle":
        summoned = chance.sample(sorted(cast.managers), SUMMONED)
        return {"payload": {"summoned": summoned, "task": f"（模拟）{opening.name}反复出现，请到场共同处理"}}
    return {}


def _live(
    tx: Connection, book: Rulebook, cast: Cast, made: Receipt, opening: Opening, chance: Random, now: datetime
) -> int:
    case_id, forgotten = made.id, pretend.forgotten(made.number)
    row = _look(tx, case_id)
    flow = flow_of(tx, book, row)
    kind, code = opening.category.kind, opening.category.code
    conditions = [c.code for c in book.filing_standard.conditions(kind, code)]
    moment, taken = opening.at, 0
    while row["status"] == "open":
        timer = flow.states[row["state"]].timer
        if timer is not None and row["wake_at"] is not None:
            if row["wake_at"] > now:
                break
            moment = row["wake_at"]
            cases.act(tx, case_id, timer.action, SYSTEM, {}, at=moment, trusted=True)
            taken, row = taken + 1, _look(tx, case_id)
            continue
        handling, due = row["state"] == "handling", row["due_at"]
        moment = now + DAY if handling and forgotten else moment + pretend.wait(chance, row["state"])
        late = "timeout" in flow.actions and row["state"] in flow.actions["timeout"].sources
        if late and due and due < min(moment, now) and row["overdue_at"] is None:
            cases.act(tx, case_id, "timeout", SYSTEM, {}, at=due, trusted=True)
            taken, row = taken + 1, _look(tx, case_id)
        actors = _actors(tx, cast, row, chance)
        offered = [a for a in available(flow, row, list(actors)) if pretend.HABITS.get(a.code, 1.0) > 0]
        known = case_changes.facts(tx, row, {name for a in offered for name in a.guard_names}, moment)
        doable = [
            {
                "action": a.code,
                "fields": [
                    {"name": f.name, "type": f.type, "required": f.required, "choices": f.choices} for f in a.fields
                ],
            }
            for a in offered
            if blocked(a, known) is None
        ]
        photo = chance.choice(cast.photos)
        step = pretend.decide(chance, doable, _summoned(tx, row), [photo.sha256.hex()], conditions, moment)
        if step is None or moment > now:
            break
        # Who owes something goes first: the owner has no part in what the others are asked for.
        role = next(role for role in reversed(actors) if role in flow.actions[step.action].roles)
        place = (opening.lon, opening.lat) if role in ("inspector", "assistant") else None
        shown = [photo] if any(isinstance(v, list) for v in step.payload.values()) else []
        cases.act(
            tx,
            case_id,
            step.action,
            actors[role],
            step.payload,
            at=moment,
            trusted=True,
            place=place,
            photos=shown,
        )
        taken += 1
        row = _look(tx, case_id)
    return taken


def _actors(tx: Connection, cast: Cast, row: Mapping[str, Any], chance: Random) -> dict[str, Caller]:
    """One person of each role who could act; of the co-departments one that still owes something."""
    actors = cast.around(chance, row["duty_grid_code"], row["department_code"])
    if row["co_departments"]:
        owed = tx.execute(
            select(case_task.c.department_code)
            .where(case_task.c.case_id == row["id"], case_task.c.state == "open")
            .order_by(case_task.c.department_code)
        ).scalars()
        helping = [code for code in owed if code in cast.managers and code != row["department_code"]]
        if helping:
            actors["assistant"] = cast.managers[chance.choice(helping)]
    return actors


def _summoned(tx: Connection, row: Mapping[str, Any]) -> list[str]:
    if row["kind"] != "whistle":
        return []
    called = select(case_task.c.department_code).where(case_task.c.case_id == row["id"], case_task.c.kind == "summon")
    return sorted(set(tx.execute(called).scalars()))


def _look(tx: Connection, case_id: UUID) -> dict[str, Any]:
    return dict(tx.execute(select(case).where(case.c.id == case_id)).one()._mapping)


def _reporter(tx: Connection, cast: Cast, opening: Opening, chance: Random) -> Caller:
    if opening.channel == "public":
        return PUBLIC
    if opening.kind == "whistle":
        return chance.choice(cast.desk["shift_leader"])
    if opening.channel != "patrol":
        return chance.choice(cast.desk["acceptor"])
    return cast.inspectors[areas(tx).at(opening.lon, opening.lat).duty_grid_code]


def _moment(chance: Random, first: datetime, days: int) -> datetime:
    """A time in the days from ``first`` on, today included: busier by day, on weekdays, and of late."""
    while True:
        day = first + timedelta(days=int((days + 1) * chance.random() ** 0.85))
        if day.weekday() < 5 or chance.random() < 0.7:
            return day + timedelta(hours=chance.choices(range(24), HOURS)[0], seconds=chance.randrange(3600))


class _Addresses:
    """The nearest named place of a point."""

    def __init__(self, tx: Connection) -> None:
        rows = tx.execute(select(place.c.name, func.st_x(place.c.geom), func.st_y(place.c.geom))).all()
        self._names = [row[0] for row in rows]
        self._tree = shapely.STRtree(shapely.points(np.array([[row[1], row[2]] for row in rows]).reshape(-1, 2)))

    def near(self, lon: float, lat: float) -> str:
        """Its name and "nearby"; empty when there are no places."""
        if not self._names:
            return ""
        return f"{self._names[int(self._tree.nearest(shapely.Point(lon, lat)))]}附近"
