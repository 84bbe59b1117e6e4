"""What is stuck: deliveries that were given up, and events that feeds may not show yet. Knows no consumers' work."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, text, update

from gis.db import Connection
from gis.tables import case_event, delivery


def dead(tx: Connection, limit: int = 100) -> list[dict[str, Any]]:
    """Deliveries given up, oldest first: ``{id, consumer, case_id, seq, attempts, next_at, error}``."""
    columns = (delivery.c[name] for name in ("id", "consumer", "case_id", "seq", "attempts", "next_at", "error"))
    rows = tx.execute(select(*columns).where(delivery.c.dead).order_by(delivery.c.id).limit(limit)).mappings()
    return [dict(row) for row in rows]


def replay(tx: Connection, consumer: str | None = None) -> int:
    """Set dead deliveries, or those of one consumer, waiting again with all their attempts; returns how many."""
    revived = update(delivery).where(delivery.c.dead).values(dead=False, attempts=0, next_at=func.now(), error=None)
    if consumer is not None:
        revived = revived.where(delivery.c.consumer == consumer)
    return len(tx.execute(revived.returning(delivery.c.id)).all())


def held_back(tx: Connection) -> tuple[int, timedelta]:
    """How many committed events feeds may not show yet, and since when: a writing transaction older than they is open.

    Such a transaction anywhere on the server holds back the feeds of all its databases.
    """
    waiting = text("case_event.xid >= pg_snapshot_xmin(pg_current_snapshot())")
    events, first, now = tx.execute(
        select(func.count(), func.min(case_event.c.recorded_at), func.clock_timestamp()).where(waiting)
    ).one()
    since: datetime | None = first
    return events, timedelta() if since is None else now - since
