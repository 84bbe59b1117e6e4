"""Where inspectors are and were: taking in fixes, the last position of each. Knows no coverage and draws no lines.

Fixes are kept as they came, keyed by (inspector, device, sequence, time); what cannot be a fix goes to quarantine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    DateTime,
    Double,
    Uuid,
    and_,
    bindparam,
    exists,
    false,
    func,
    insert,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from gis.areas import areas
from gis.db import Connection
from gis.errors import FixTime, Malformed, NotCovered, NullIsland, WrongCrs
from gis.geometry import PROBLEM, distance_m, to_4490
from gis.people import Scope
from gis.tables import position, position_live, quarantine, staff

ZONE = ZoneInfo("Asia/Shanghai")

#: A clock may run ahead of ours by this much; and a fix older than this cannot come from a phone in use.
AHEAD, OLDEST = timedelta(seconds=60), timedelta(days=400)
#: Days this young get a partition of their own when the first fix arrives; older stragglers share the default one.
OWN_PARTITION = timedelta(days=14)

SILENT_AFTER = timedelta(minutes=10)
#: Who has not been heard of for this long is not on duty and not shown.
GONE_AFTER = timedelta(hours=12)
#: Moving: some fix of the last two minutes is at least this far from the last one (a phone at rest wanders 5-15 m).
MOVING_OVER, MOVING_M = timedelta(minutes=2), 20.0


class Fix(NamedTuple):
    """One position as a device sent it; x, y are longitude, latitude or east, north of the batch's system."""

    seq: int
    at: datetime
    x: float
    y: float
    accuracy_m: float | None = None


class Ack(NamedTuple):
    """What a device may forget: everything up to ``acked_seq`` of this batch is kept, in the track or in quarantine."""

    acked_seq: int
    accepted: int
    duplicates: int
    quarantined: int


@dataclass(frozen=True)
class Live:
    """An inspector's last position, EPSG:4490; ``state`` is moving, still or silent."""

    inspector_id: UUID
    name: str
    lon: float
    lat: float
    at: datetime
    accuracy_m: float | None
    unit_grid_code: str | None
    duty_grid_code: str | None
    village_code: str | None
    state: str


def record(
    tx: Connection, inspector_id: UUID, device: str, crs: str, fixes: Sequence[Fix], now: datetime | None = None
) -> Ack:
    """Takes in a batch of fixes in the system ``crs``, stores them in EPSG:4490. Sending a batch again changes nothing.

    Raises ``UnknownCrs`` and ``Malformed`` (no fixes, no device, a sequence or time out of range); everything else
    wrong with a fix puts that fix into quarantine with its reason.
    """
    if not fixes or not device or any(not 0 <= fix.seq < 1 << 63 or fix.at.tzinfo is None for fix in fixes):
        raise Malformed(field="fixes")
    moment = now or datetime.now(UTC)
    lon, lat = to_4490(np.array([f.x for f in fixes], np.float64), np.array([f.y for f in fixes], np.float64), crs)
    reasons = [_fault(fix, place, moment) for fix, place in zip(fixes, zip(lon, lat, strict=True), strict=True)]
    good = [i for i, reason in enumerate(reasons) if reason is None]
    accepted = 0
    if good:
        _ensure_days(tx, {fixes[i].at.astimezone(ZONE).date() for i in good}, moment)
        accepted = tx.execute(
            _INSERT,
            {
                "inspector_id": inspector_id,
                "device": device,
                "crs": crs,
                "seqs": [fixes[i].seq for i in good],
                "times": [fixes[i].at for i in good],
                "lons": lon[good].tolist(),
                "lats": lat[good].tolist(),
                "accuracies": [fixes[i].accuracy_m for i in good],
            },
        ).rowcount
        newest = max(good, key=lambda i: fixes[i].at)
        _move(tx, inspector_id, fixes[newest], float(lon[newest]), float(lat[newest]))
    bad = [(fix, reason) for fix, reason in zip(fixes, reasons, strict=True) if reason is not None]
    if bad:
        _keep_aside(tx, f"position/{inspector_id}/{device}", crs, bad)
    return Ack(max(fix.seq for fix in fixes), accepted, len(good) - accepted, len(bad))


def live(tx: Connection, scope: Scope, now: datetime | None = None) -> list[Live]:
    """The last position of every inspector the scope covers and who was heard of in the last 12 hours, by name.

    An area scope covers who is in the area now, a department scope its staff, the own scope oneself.
    """
    moment = now or datetime.now(UTC)
    rows = tx.execute(
        select(position_live, staff.c.name)
        .join(staff, staff.c.id == position_live.c.inspector_id)
        .where(shown(scope, moment))
        .order_by(staff.c.name, position_live.c.inspector_id)
    ).all()
    moving = _moving(tx, moment)
    return [
        Live(
            row.inspector_id,
            row.name,
            row.lon,
            row.lat,
            row.at,
            row.accuracy_m,
            row.unit_grid_code,
            row.duty_grid_code,
            row.village_code,
            "silent" if moment - row.at > SILENT_AFTER else "moving" if row.inspector_id in moving else "still",
        )
        for row in rows
    ]


def shown(scope: Scope, now: datetime) -> ColumnElement[bool]:
    """The rows of ``position_live``, joined with ``staff``, that :func:`live` shows."""
    return and_(position_live.c["at"] > now - GONE_AFTER, _covered(scope))


def online(tx: Connection, scope: Scope, at: datetime, among: Scope | None = None) -> int:
    """How many inspectors the scope (and ``among`` too) covers sent a fix in the ten minutes before ``at``.

    An area scope covers who is in the area now, also for an ``at`` in the past.
    """
    heard = exists().where(
        position.c.inspector_id == position_live.c.inspector_id,
        position.c["at"] > at - SILENT_AFTER,
        position.c["at"] <= at,
    )
    statement = (
        select(func.count())
        .select_from(position_live.join(staff, staff.c.id == position_live.c.inspector_id))
        .where(heard, _covered(scope), _covered(among or scope))
    )
    return tx.scalar(statement) or 0


def _fault(fix: Fix, place: tuple[float, float], now: datetime) -> str | None:
    """The problem code of what is wrong with a fix, None when it can stand."""
    if not np.isfinite(fix.x) or not np.isfinite(fix.y) or (fix.x == 0 and fix.y == 0):
        return NullIsland.code
    if not np.isfinite(place).all():
        return WrongCrs.code
    if not now - OLDEST <= fix.at <= now + AHEAD:
        return FixTime.code
    if fix.accuracy_m is not None and not 0 <= fix.accuracy_m < 1e6:
        return Malformed.code
    return None


_batch = (
    func.unnest(
        bindparam("seqs", type_=ARRAY(BigInteger)),
        bindparam("times", type_=ARRAY(DateTime(timezone=True))),
        bindparam("lons", type_=ARRAY(Double)),
        bindparam("lats", type_=ARRAY(Double)),
        bindparam("accuracies", type_=ARRAY(Double)),
    )
    .table_valued("seq", "at", "lon", "lat", "accuracy_m", name="batch")
    .render_derived()
)

_INSERT = (
    upsert(position)
    .from_select(
        ["inspector_id", "device", "crs", "seq", "at", "lon", "lat", "accuracy_m"],
        select(
            bindparam("inspector_id", type_=Uuid),
            bindparam("device", type_=position.c.device.type),
            bindparam("crs", type_=position.c.crs.type),
            *(_batch.c[name] for name in ("seq", "at", "lon", "lat", "accuracy_m")),
        ),
    )
    .on_conflict_do_nothing()
    .execution_options(preserve_rowcount=True)
)


def _ensure_days(tx: Connection, days: set[date], now: datetime) -> None:
    young = sorted(day for day in days if day >= (now - OWN_PARTITION).astimezone(ZONE).date())
    for day in young:
        tx.execute(select(func.ensure_position_partition(day)))


def _move(tx: Connection, inspector_id: UUID, fix: Fix, lon: float, lat: float) -> None:
    """Moves the live position, unless a newer fix already did."""
    codes: tuple[str | None, ...] = (None, None, None)
    try:
        place = areas(tx).at(lon, lat)
        codes = (place.unit_grid_code, place.duty_grid_code, place.village_code)
    except (NotCovered, *PROBLEM.values()):  # on the way to work, or just over the boundary
        pass
    values: dict[str, Any] = {
        "at": fix.at,
        "lon": lon,
        "lat": lat,
        "accuracy_m": fix.accuracy_m,
        **dict(zip(("unit_grid_code", "duty_grid_code", "village_code"), codes, strict=True)),
    }
    statement = upsert(position_live).values(inspector_id=inspector_id, **values)
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=["inspector_id"], set_=values, where=position_live.c["at"] < statement.excluded["at"]
        )
    )


def _keep_aside(tx: Connection, source: str, crs: str, bad: Sequence[tuple[Fix, str]]) -> None:
    """Puts fixes into quarantine, each once however often the device sends it."""
    known = {
        (seq, code)
        for seq, code in tx.execute(
            select(quarantine.c.payload["seq"].as_integer(), quarantine.c.code).where(
                quarantine.c.kind == "position",
                quarantine.c.source == source,
                quarantine.c.payload["seq"].as_integer().in_([fix.seq for fix, _ in bad]),
            )
        )
    }
    rows = [
        {
            "source": source,
            "kind": "position",
            "code": code,
            "reason": code,
            "payload": {
                "seq": fix.seq,
                "at": fix.at.isoformat(),
                "x": _json(fix.x),
                "y": _json(fix.y),
                "accuracy_m": _json(fix.accuracy_m),
                "crs": crs,
            },
        }
        for fix, code in bad
        if (fix.seq, code) not in known
    ]
    if rows:
        tx.execute(insert(quarantine), rows)


def _json(value: float | None) -> float | str | None:
    """JSON has no NaN and no infinity: those are kept as words."""
    return value if value is None or np.isfinite(value) else str(value)


def _covered(scope: Scope) -> Any:
    if scope.everything:
        return position_live.c.inspector_id.is_not(None)
    return or_(
        false(),
        position_live.c.village_code.in_(sorted(scope.villages)),
        position_live.c.duty_grid_code.in_(sorted(scope.duty_grids)),
        staff.c.department_code.in_(sorted(scope.departments)),
        position_live.c.inspector_id == scope.own,
    )


def _moving(tx: Connection, now: datetime) -> set[UUID]:
    """Inspectors whose fixes of the two minutes before their last one are spread by more than a phone's wandering."""
    rows = tx.execute(
        select(position.c.inspector_id, position.c.lon, position.c.lat, position_live.c.lon, position_live.c.lat)
        .select_from(
            position_live.join(
                position,
                and_(
                    position.c.inspector_id == position_live.c.inspector_id,
                    position.c["at"] >= position_live.c["at"] - MOVING_OVER,
                    position.c["at"] < position_live.c["at"],
                    # A constant bound lets the planner leave out other days' partitions.
                    position.c["at"] > now - SILENT_AFTER - MOVING_OVER,
                ),
            )
        )
        .where(position_live.c["at"] >= now - SILENT_AFTER)
    ).all()
    if not rows:
        return set()
    ids, *ends = zip(*rows, strict=True)
    far = distance_m(*(np.array(values) for values in ends)) >= MOVING_M
    return {inspector for inspector, moved in zip(ids, far, strict=True) if moved}
