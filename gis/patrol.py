"""What was patrolled: a day of every person worked out from their fixes, and from all of them the ground that was seen.

A day is worked out again whenever fixes of it came since, late ones too. Everything here can be rebuilt from positions,
up to the day on which they were made coarse: then the persons are forgotten and the ground they saw together is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import delete, func, insert, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from gis import geometry, track_days, track_ground, track_rules
from gis.db import Connection
from gis.people import Scope
from gis.tables import duty_grid, patrol_day, patrol_grid, patrol_ground, position, shift
from gis.track_days import bounds
from gis.track_intake import ZONE

_BITS = np.array([bin(n).count("1") for n in range(256)], np.uint8)


def popcount(bits: bytes) -> int:
    """How many bits are set."""
    return int(_BITS[np.frombuffer(bits, np.uint8)].sum())


# --- Working out ------------------------------------------------------------------------------------------------


def stale(tx: Connection, limit: int = 20) -> list[tuple[UUID, date]]:
    """Days of persons that have to be worked out anew: the newest days first, of them those that waited longest."""
    rows = tx.execute(
        select(patrol_day.c.inspector_id, patrol_day.c.day)
        .where(patrol_day.c.stale)
        .order_by(patrol_day.c.day.desc(), patrol_day.c.worked_out_at.nulls_first())
        .limit(limit)
    )
    return [(row.inspector_id, row.day) for row in rows]


def work_out(tx: Connection, inspector_id: UUID, day: date, now: datetime | None = None) -> None:
    """Work out one day of one person from the fixes as they are.

    The row is locked first: fixes that come meanwhile wait, and mark the day stale again when they are in.
    """
    this = (patrol_day.c.inspector_id == inspector_id, patrol_day.c.day == day)
    locked = tx.execute(select(patrol_day.c.coarse_at).where(*this).with_for_update()).first()
    if locked is None or locked.coarse_at is not None:
        return
    rule, moment = track_rules.in_force(tx), now or datetime.now(UTC)
    found = track_days.read(tx, inspector_id, rule, *bounds(day))
    stood = track_days.duty(tx, inspector_id, day, moment)
    ground = track_ground.ground(tx, track_days.areas_on(tx, day))
    seen, times = track_ground.seen(ground, found.track, found.path, rule.coverage.sight_m)
    on_duty = stood.seconds if stood.spans else None
    tx.execute(
        update(patrol_day)
        .where(*this)
        .values(
            stale=False,
            worked_out_at=moment,
            fixes=len(found.track),
            marks=found.marks,
            own_grids=sorted(stood.grids),
            distance_m=found.path.distance_m,
            recorded_s=found.recorded_s,
            outside_s=sum(s for code, s in times.items() if code not in stood.grids) if stood.grids else 0.0,
            on_duty_s=on_duty,
            unknown_s=None if on_duty is None else max(0.0, on_duty - found.recorded_within(stood.spans)),
        )
    )
    of_grid = (patrol_grid.c.inspector_id == inspector_id, patrol_grid.c.day == day)
    tx.execute(delete(patrol_grid).where(*of_grid))
    if seen:
        tx.execute(
            insert(patrol_grid),
            [
                {
                    "inspector_id": inspector_id,
                    "day": day,
                    "unit_grid_code": code,
                    "seen": one.cells,
                    "dwell_s": one.dwell_s,
                    "last_at": None if one.last_at is None else datetime.fromtimestamp(one.last_at, UTC),
                }
                for code, one in seen.items()
            ],
        )


def recompute(tx: Connection, now: datetime | None = None) -> int:
    """Forget what was worked out and work out every day anew that still has its exact fixes; returns how many."""
    tx.execute(delete(patrol_grid))
    tx.execute(delete(patrol_day).where(patrol_day.c.coarse_at.is_(None)))
    local = func.cast(func.timezone(ZONE.key, position.c["at"]), patrol_day.c.day.type)
    days = select(position.c.inspector_id, local, literal(True)).distinct()
    fresh = upsert(patrol_day).from_select(["inspector_id", "day", "stale"], days)
    tx.execute(fresh.on_conflict_do_nothing())
    todo = stale(tx, 1 << 30)
    for inspector_id, day in todo:
        work_out(tx, inspector_id, day, now)
    return len(todo)


# --- Forgetting -------------------------------------------------------------------------------------------------


def coarsen(tx: Connection, now: datetime | None = None, limit: int = 20) -> int:
    """Make the next days coarse whose exact time is over; returns how many persons' days, 0 when there is none left.

    Of a day's fixes the first and last in each cell of the rule's size stay, at the cell's middle. What the person saw
    goes into what everybody saw.
    """
    rule, moment = track_rules.in_force(tx), now or datetime.now(UTC)
    before = moment.astimezone(ZONE).date() - timedelta(days=rule.keeping.coarse_after)
    due = select(patrol_day.c.inspector_id, patrol_day.c.day).where(patrol_day.c.day < before)
    # A day made coarse and then marked by a straggler has its few exact fixes made coarse too.
    due = due.where(or_(patrol_day.c.coarse_at.is_(None), patrol_day.c.late > 0))
    todo = tx.execute(due.order_by(patrol_day.c.day).limit(limit)).all()
    for inspector_id, day in todo:
        work_out(tx, inspector_id, day, moment)
        _coarsen(tx, inspector_id, day, rule.keeping.coarse_m)
        _fold(tx, inspector_id, day)
        tx.execute(
            update(patrol_day)
            .where(patrol_day.c.inspector_id == inspector_id, patrol_day.c.day == day)
            .values(coarse_at=moment, stale=False, late=0)
        )
    return len(todo)


def _coarsen(tx: Connection, inspector_id: UUID, day: date, cell_m: float) -> None:
    begin, end = bounds(day)
    exact = (
        position.c.inspector_id == inspector_id,
        position.c["at"] >= begin,
        position.c["at"] < end,
        ~position.c.crs.startswith(track_days.COARSE, autoescape=True),
    )
    rows = tx.execute(
        select(position).where(*exact).order_by(position.c["at"], position.c.device, position.c.seq)
    ).all()
    if not rows:
        return
    lon, lat = (np.array([getattr(row, name) for row in rows]) for name in ("lon", "lat"))
    key, middle_lon, middle_lat = coarse_cells(lon, lat, cell_m)
    edge = np.concatenate([[True], (key[1:] != key[:-1]).any(axis=1), [True]])
    kept = np.flatnonzero(edge[:-1] | edge[1:]).tolist()
    tx.execute(delete(position).where(*exact))
    tx.execute(
        insert(position),
        [
            {
                "inspector_id": inspector_id,
                "device": rows[i].device,
                "seq": rows[i].seq,
                "at": rows[i].at,
                "lon": float(middle_lon[i]),
                "lat": float(middle_lat[i]),
                "accuracy_m": None,
                "crs": f"{track_days.COARSE}{cell_m:g}",
                "received_at": rows[i].received_at,
            }
            for i in kept
        ],
    )


def coarse_cells(lon: Any, lat: Any, cell_m: float) -> tuple[Any, Any, Any]:
    """(keys n × 2, longitude, latitude of the middles) of the square cells of EPSG:4548 that places lie in."""
    east, north = geometry.to_4548(np.asarray(lon), np.asarray(lat))
    key = np.column_stack([np.floor(east / cell_m), np.floor(north / cell_m)]).astype(np.int64).reshape(-1, 2)
    middle = np.asarray((key + 0.5) * cell_m, np.float64)
    return key, *geometry.to_4490(middle[:, 0], middle[:, 1], geometry.METRIC)


def _fold(tx: Connection, inspector_id: UUID, day: date) -> None:
    """What a person saw of a day, added to what everybody saw; the person's part is gone."""
    of_person = (patrol_grid.c.inspector_id == inspector_id, patrol_grid.c.day == day)
    mine = tx.execute(delete(patrol_grid).where(*of_person).returning(patrol_grid)).all()
    if not mine:
        return
    others = {
        row.unit_grid_code: row
        for row in tx.execute(select(patrol_ground).where(patrol_ground.c.day == day).with_for_update())
    }
    rows = []
    for one in mine:
        known = others.get(one.unit_grid_code)
        last = [at for at in (one.last_at, known and known.last_at) if at]
        rows.append(
            {
                "day": day,
                "unit_grid_code": one.unit_grid_code,
                "seen": one.seen if known is None else _union([one.seen, known.seen]),
                "dwell_s": one.dwell_s + (known.dwell_s if known else 0.0),
                "people": (one.last_at is not None) + (known.people if known else 0),
                "last_at": max(last) if last else None,
            }
        )
    new = upsert(patrol_ground)
    changed = {name: new.excluded[name] for name in ("seen", "dwell_s", "people", "last_at")}
    tx.execute(new.on_conflict_do_update(index_elements=["day", "unit_grid_code"], set_=changed), rows)


def drop(tx: Connection, now: datetime | None = None) -> int:
    """Drop the days whose time is over, with what was worked out of them; returns the day tables dropped."""
    rule, moment = track_rules.in_force(tx), now or datetime.now(UTC)
    before = moment.astimezone(ZONE).date() - timedelta(days=rule.keeping.days)
    tx.execute(delete(patrol_day).where(patrol_day.c.day < before, patrol_day.c.coarse_at.is_not(None)))
    left = tx.execute(select(func.min(patrol_day.c.day)).where(patrol_day.c.day < before)).scalar()
    return int(tx.execute(select(func.drop_position_days(left or before))).scalar_one())


# --- What was seen ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GridCoverage:
    """One grid, or several as one: walkable cells ``seen`` of ``cells``, seconds somebody was there, by how many.

    ``last_at`` is the last time anybody walked in it, in the span or before; None: never, as far as is kept. ``state``
    is visited (walked in), seen (from over the border only), unvisited, or unknown: nobody was there, but of the time
    its people stood on duty (``on_duty_s``) too little is ``recorded_s`` to say that it was not visited.
    """

    code: str
    village_code: str
    duty_grid_code: str
    cells: int
    seen: int
    dwell_s: float
    people: int
    last_at: datetime | None
    state: str
    on_duty_s: float
    recorded_s: float


@dataclass(frozen=True)
class Covered:
    """Coverage of a span of days; ``waiting`` days of persons are still to be worked out."""

    grids: list[GridCoverage]
    duty_grids: list[GridCoverage]
    names: dict[str, str]
    waiting: int


def coverage(tx: Connection, scope: Scope, since: date, until: date, now: datetime | None = None) -> Covered:
    """What was seen of every grid in the scope's areas from ``since`` to ``until``, both included.

    Judged on the grids in force on ``until``; the longest unvisited comes first. A scope of departments or own cases
    covers no ground.
    """
    moment, rule = now or datetime.now(UTC), track_rules.in_force(tx)
    ground = track_ground.ground(tx, track_days.areas_on(tx, until))
    areas = ground.areas
    places = {str(code): i for i, code in enumerate(areas.codes)}
    bits: dict[str, list[bytes]] = {}
    dwell: dict[str, float] = {}
    people: dict[str, int] = {}
    for code, cells, seconds, walkers in tx.execute(_seen_in(since, until)):
        bits.setdefault(code, []).append(cells)
        dwell[code] = dwell.get(code, 0.0) + seconds
        people[code] = people.get(code, 0) + walkers
    last = _last(tx, until)
    known = _known(tx, since, until, moment)
    grids = []
    for code, i in places.items():
        village, beat = str(areas.villages[i]), str(areas.duty_grids[i])
        if not (scope.everything or village in scope.villages or beat in scope.duty_grids):
            continue
        union = _union(bits.get(code, []))
        # A grid redrawn under its code has another rectangle: bits of the old one say nothing about it.
        cells = popcount(union) if len(union) == (ground.bits(i) + 7) // 8 else 0
        on_duty, recorded = known.get(beat, (0.0, 0.0))
        walked = people.get(code, 0)
        grids.append(
            GridCoverage(
                code,
                village,
                beat,
                int(ground.totals[i]),
                cells,
                dwell.get(code, 0.0),
                walked,
                last.get(code),
                _state(walked, cells, on_duty, recorded, rule.coverage.known_share),
                on_duty,
                recorded,
            )
        )
    grids.sort(key=_longest_first)
    waiting = tx.execute(
        select(func.count()).where(patrol_day.c.stale, patrol_day.c.day.between(since, until))
    ).scalar_one()
    beats = _beats(grids, rule.coverage.known_share)
    names = {row.code: row.name for row in tx.execute(select(duty_grid.c.code, duty_grid.c.name))}
    return Covered(grids, beats, {one.code: names.get(one.code, one.code) for one in beats}, waiting)


def _state(people: int, seen: int, on_duty: float, recorded: float, share: float) -> str:
    if people:
        return "visited"
    if seen:
        return "seen"
    return "unvisited" if recorded > 0 and recorded >= share * on_duty else "unknown"


def _beats(grids: Sequence[GridCoverage], share: float) -> list[GridCoverage]:
    """The same by duty grid, its unit grids together: in order of the last time anybody was in one of them."""
    found: dict[str, list[GridCoverage]] = {}
    for one in grids:
        if one.duty_grid_code:
            found.setdefault(one.duty_grid_code, []).append(one)
    beats = [
        GridCoverage(
            code,
            parts[0].village_code,
            code,
            sum(one.cells for one in parts),
            sum(one.seen for one in parts),
            sum(one.dwell_s for one in parts),
            max(one.people for one in parts),
            parts[-1].last_at,  # they are in order of it
            _state(
                max(one.people for one in parts),
                sum(one.seen for one in parts),
                parts[0].on_duty_s,
                parts[0].recorded_s,
                share,
            ),
            parts[0].on_duty_s,
            parts[0].recorded_s,
        )
        for code, parts in found.items()
    ]
    return sorted(beats, key=_longest_first)


def _longest_first(one: GridCoverage) -> tuple[datetime, str]:
    return one.last_at or datetime.min.replace(tzinfo=UTC), one.code


def _seen_in(since: date, until: date) -> Any:
    persons = select(
        patrol_grid.c.unit_grid_code,
        patrol_grid.c.seen,
        patrol_grid.c.dwell_s,
        func.cast(patrol_grid.c.last_at.is_not(None), patrol_ground.c.people.type).label("people"),
    ).where(patrol_grid.c.day.between(since, until))
    everybody = select(
        patrol_ground.c.unit_grid_code, patrol_ground.c.seen, patrol_ground.c.dwell_s, patrol_ground.c.people
    ).where(patrol_ground.c.day.between(since, until))
    return persons.union_all(everybody)


def _last(tx: Connection, until: date) -> dict[str, datetime]:
    """When each grid was last walked in, up to the end of ``until``, as far as is kept."""
    found: dict[str, datetime] = {}
    for table in (patrol_ground, patrol_grid):
        rows = tx.execute(
            select(table.c.unit_grid_code, func.max(table.c.last_at))
            .where(table.c.day <= until, table.c.last_at.is_not(None))
            .group_by(table.c.unit_grid_code)
        )
        for code, at in rows:
            found[code] = max(at, found[code]) if code in found else at
    return found


def _known(tx: Connection, since: date, until: date, now: datetime) -> dict[str, tuple[float, float]]:
    """Seconds of duty, and seconds recorded, of the people of each duty grid."""
    begin, end = bounds(since)[0], min(bounds(until)[1], now)
    seconds = func.extract("epoch", func.least(shift.c.ends_at, end) - func.greatest(shift.c.starts_at, begin))
    on_duty = {
        code: float(total)
        for code, total in tx.execute(
            select(shift.c.duty_grid_code, func.sum(seconds))
            .where(shift.c.duty_grid_code.is_not(None), shift.c.starts_at < end, shift.c.ends_at > begin)
            .where(shift.c.starts_at >= begin - timedelta(hours=24))
            .group_by(shift.c.duty_grid_code)
        )
    }
    each = select(func.unnest(patrol_day.c.own_grids).label("beat"), patrol_day.c.recorded_s)
    walked = each.where(patrol_day.c.day.between(since, until)).subquery()
    recorded = {
        code: float(total)
        for code, total in tx.execute(select(walked.c.beat, func.sum(walked.c.recorded_s)).group_by(walked.c.beat))
    }
    return {code: (on_duty.get(code, 0.0), recorded.get(code, 0.0)) for code in on_duty.keys() | recorded.keys()}


def _union(parts: Sequence[bytes]) -> bytes:
    """The bits set in any of these; of other lengths than the newest, which is the last, none count."""
    if not parts:
        return b""
    same = [np.frombuffer(part, np.uint8) for part in parts if len(part) == len(parts[-1])]
    return bytes(np.bitwise_or.reduce(same).tobytes())
