"""Filters that people keep under a name: their own, and those others share. Knows no cases."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID, uuid4

from sqlalchemy import delete, func, insert, or_, select, update

from gis import errors
from gis.db import Connection
from gis.people import Caller
from gis.search import CaseFilter
from gis.tables import saved_filter, staff

# How many one person may keep.
MOST = 100


@dataclass(frozen=True)
class Kept:
    """What is kept: a name, the case filter as a query, the columns shown; ``shared``: everybody may use it."""

    name: str
    query: str
    columns: tuple[str, ...] = ()
    shared: bool = False


def canonical(query: str) -> str:
    """A query reduced to the case filter it holds, in one form. Raises ``BadFilter``."""
    return urlencode(CaseFilter.parse(dict(parse_qsl(query))).query(), safe=",:")


def of(tx: Connection, caller: Caller) -> Sequence[Any]:
    """The caller's own filters in their order, then what others share, by name; ``owner`` names whose it is."""
    own = saved_filter.c.staff_id == caller.id
    return tx.execute(
        select(saved_filter, staff.c.name.label("owner"), own.label("own"))
        .join(staff, staff.c.id == saved_filter.c.staff_id)
        .where(or_(own, saved_filter.c.shared))
        .order_by(own.desc(), saved_filter.c.position, saved_filter.c.name, saved_filter.c.id)
    ).all()


def keep(tx: Connection, caller: Caller, kept: Kept) -> UUID:
    """Keep one more, last in the caller's order. Raises ``BadFilter``, ``TooManyKept``."""
    query = canonical(kept.query)
    held, last = tx.execute(
        select(func.count(), func.coalesce(func.max(saved_filter.c.position), 0)).where(
            saved_filter.c.staff_id == caller.id
        )
    ).one()
    if held >= MOST:
        raise errors.TooManyKept(most=MOST)
    made = uuid4()
    tx.execute(
        insert(saved_filter).values(
            id=made,
            staff_id=caller.id,
            name=kept.name,
            query=query,
            columns=list(kept.columns),
            shared=kept.shared,
            position=last + 1,
        )
    )
    return made


def change(tx: Connection, caller: Caller, which: UUID, kept: Kept) -> None:
    """Replace what the caller kept. Raises ``BadFilter``, ``NotFound`` for another's or none."""
    values = {"name": kept.name, "query": canonical(kept.query), "columns": list(kept.columns), "shared": kept.shared}
    _one(tx.execute(update(saved_filter).where(*_own(caller, which)).values(values)).rowcount, which)


def place(tx: Connection, caller: Caller, order: Sequence[UUID]) -> None:
    """Put the caller's filters in this order; those not named keep theirs behind. Others' are left alone."""
    rest = [row.id for row in of(tx, caller) if row.own and row.id not in set(order)]
    for position, which in enumerate([*order, *rest], start=1):
        tx.execute(update(saved_filter).where(*_own(caller, which)).values(position=position))


def forget(tx: Connection, caller: Caller, which: UUID) -> None:
    """Drop one of the caller's own. Raises ``NotFound`` for another's or none."""
    _one(tx.execute(delete(saved_filter).where(*_own(caller, which))).rowcount, which)


def _own(caller: Caller, which: UUID) -> tuple[Any, ...]:
    return saved_filter.c.id == which, saved_filter.c.staff_id == caller.id


def _one(changed: int, which: UUID) -> None:
    if changed != 1:
        raise errors.NotFound(saved_filter=str(which))
