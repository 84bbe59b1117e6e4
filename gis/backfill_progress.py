"""How far the made-up past of a demo is, so that one that was broken off is completed. Knows nothing of its content.

Kept in the audit: who looks there for a demo's cases finds where they come from.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select

from gis.db import Connection
from gis.tables import audit

_ACT = "simulate.past"


@dataclass(frozen=True)
class Past:
    """A past that was begun: what it is made from, and which of its chunks are there."""

    seed: int
    days: int
    number: int
    now: datetime
    chunks: frozenset[int] = frozenset()
    complete: bool = False


def begin(tx: Connection, past: Past) -> None:
    """Note what is going to be made, before any of it is."""
    made_from = {"seed": past.seed, "days": past.days, "number": past.number, "now": past.now.isoformat()}
    _note(tx, {"begun": made_from})


def note_chunk(tx: Connection, chunk: int) -> None:
    """Note a chunk, in the transaction that writes it."""
    _note(tx, {"chunk": chunk})


def note_end(tx: Connection) -> None:
    """Note that everything is there."""
    _note(tx, {"complete": True})


def begun(tx: Connection) -> Past | None:
    """The past that was begun, with what there is of it; None when none was."""
    lines = tx.execute(select(audit.c.detail).where(audit.c.act == _ACT).order_by(audit.c.id)).scalars().all()
    first = next((line["begun"] for line in lines if "begun" in line), None)
    if first is None:
        return None
    return Past(
        seed=first["seed"],
        days=first["days"],
        number=first["number"],
        now=datetime.fromisoformat(first["now"]),
        chunks=frozenset(line["chunk"] for line in lines if "chunk" in line),
        complete=any("complete" in line for line in lines),
    )


def _note(tx: Connection, detail: dict[str, Any]) -> None:
    tx.execute(insert(audit).values(actor="system", act=_ACT, result="ok", detail=detail))
