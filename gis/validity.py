"""Which rows hold on a day: ``valid_from`` is the first day, ``valid_to`` the first day after, or null."""

from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Date, and_, cast, func, or_

ZONE: Final = ZoneInfo("Asia/Shanghai")


def today() -> date:
    """The day it is in Beijing."""
    return datetime.now(ZONE).date()


def in_force(table: Any, day: date | None = None) -> ColumnElement[bool]:
    """Whether a row of a division, unit grid or duty grid holds on the day; by default on the statement's own."""
    on: Any = day or cast(func.timezone(ZONE.key, func.now()), Date)
    return and_(table.c.valid_from <= on, or_(table.c.valid_to.is_(None), table.c.valid_to > on))
