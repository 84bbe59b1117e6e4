"""The quarantine: what was refused, kept as it came, until somebody has looked at it. Knows no reasons of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, bindparam, cast, func, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from gis import errors
from gis.db import Connection
from gis.tables import quarantine

SETTLED = ("repaired", "rejected")


@dataclass(frozen=True)
class Refused:
    """One thing that was not let in. ``source`` is a channel, a platform or a mapping; ``payload`` JSON as received."""

    source: str
    kind: str
    code: str
    reason: str
    payload: str


def keep(tx: Connection, refused: Sequence[Refused]) -> int:
    """Put these into the quarantine; the same thing refused again is not kept twice. Returns how many were new."""
    if not refused:
        return 0
    names = ("source", "kind", "code", "reason", "payload")
    arrays = [bindparam(name, type_=ARRAY(Text)) for name in names]
    given = func.unnest(*arrays).table_valued(*names, name="given").render_derived()
    payload = cast(given.c.payload, JSONB)
    there = select(quarantine.c.id).where(
        quarantine.c.source == given.c.source,
        quarantine.c.kind == given.c.kind,
        quarantine.c.code == given.c.code,
        quarantine.c.payload == payload,
    )
    fresh = select(*(given.c[name] for name in names[:4]), payload).where(~there.exists())
    kept = insert(quarantine).from_select(list(names), fresh).returning(quarantine.c.id)
    return len(tx.execute(kept, {name: [getattr(each, name) for each in refused] for name in names}).all())


def page(tx: Connection, state: str = "", after: int = 0, limit: int = 50) -> list[dict[str, Any]]:
    """Rows with ids above ``after``: ``{id, source, kind, code, reason, payload, state, received_at}`` by id."""
    rows = select(quarantine).where(quarantine.c.id > after).order_by(quarantine.c.id).limit(limit)
    if state:
        rows = rows.where(quarantine.c.state == state)
    return [dict(row) for row in tx.execute(rows).mappings()]


def settle(tx: Connection, row_id: int, state: str) -> dict[str, Any]:
    """Say what became of a row: ``repaired`` or ``rejected``; the row as it is now. Raises ``NotFound``."""
    settled = update(quarantine).where(quarantine.c.id == row_id).values(state=state).returning(quarantine)
    row = tx.execute(settled).mappings().first()
    if row is None:
        raise errors.NotFound(id=row_id)
    return dict(row)
