"""Where inspectors are now: the last position of each. Fixes are taken in by gis.track_intake."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import ColumnElement, and_, exists, false, func, or_, select

from gis.db import Connection
from gis.geometry import distance_m
from gis.people import Scope
from gis.tables import position, position_live, staff

SILENT_AFTER = timedelta(minutes=10)
#: Who has not been heard of for this long is not on duty and not shown.
GONE_AFTER = timedelta(hours=12)
#: Moving: some fix of the last two minutes is at least this far from the last one (a phone at rest wanders 5-15 m).
MOVING_OVER, MOVING_M = timedelta(minutes=2), 20.0


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


def online(tx: Connection, scope: Scope, at: datetime, among: Scope) -> int:
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
        .where(heard, _covered(scope), _covered(among))
    )
    return tx.scalar(statement) or 0


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
