"""Which rows hold on a day: ``valid_from`` is the first day, ``valid_to`` the first day after, or null."""

from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, or_

ZONE: Final = ZoneInfo("Asia/Shanghai")


def today() -> date:
    """The day it is in Beijing."""
    return datetime.now(ZONE).date()


def in_force(table: Any, day: date | None = None) -> ColumnElement[bool]:
    """Whether a row of a division, unit grid or duty grid holds on the day, today by default."""
    on = day or today()
    return and_(table.c.valid_from <= on, or_(table.c.valid_to.is_(None), table.c.valid_to > on))
