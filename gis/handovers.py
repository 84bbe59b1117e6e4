"""Handing over a post at the end of a shift: given by one, signed by the next, kept for ever in one chain.

A hand-over is two rows of an append-only table, ``given`` and ``signed``; each carries the SM3 of the row before it and
of its own content. Knows no passwords: who signs was made sure of before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, insert, select, text

from gis import definitions, errors, people, search
from gis.db import Connection
from gis.digest import sm3
from gis.people import Caller
from gis.search import CaseFilter
from gis.tables import handover

GENESIS = b"\0" * 32
ROLES = ("shift_leader", "acceptor", "dispatcher")
#: What a post hands over: figures with the filter of the list behind each. Those in ``NAMED`` are also told one by one.
FIGURES: Mapping[str, Mapping[str, str]] = {
    "open": {"status": "open"},
    "late": {"status": "open", "handling_light": "red"},
    "stage_late": {"status": "open", "stage_light": "red"},
    "soon": {"status": "open", "light": "yellow"},
    "suspended": {"status": "open", "state": "suspended"},
    "urged": {"status": "open", "urged": "true"},
    "supervised": {"status": "open", "supervised": "true"},
    "material": {"status": "open", "state": "supplementing"},
}
NAMED = ("supervised", "urged", "late", "suspended", "material")
#: So many cases of each figure are told one by one; the figure opens the rest.
MOST_NAMED = 30
_LOCK = 0x77616E69


@dataclass(frozen=True)
class Handover:
    """One hand-over. ``signed_by`` and ``signed_at`` are None until the next one signs."""

    id: UUID
    role: str
    given_id: UUID
    given_by: str
    given_at: datetime
    content: dict[str, Any]
    digest: str
    signed_by: str | None
    signed_at: datetime | None
    remark: str
    seal: str | None


def named(tx: Connection, caller: Caller, now: datetime) -> list[tuple[Any, list[str]]]:
    """The cases to tell one by one: rows as ``search.named`` gives them, most urgent first, with why each is told."""
    why: dict[UUID, list[str]] = {}
    rows: dict[UUID, Any] = {}
    for code in NAMED:
        wanted = CaseFilter.parse(FIGURES[code])
        for row in search.find(tx, caller, wanted, order="due", limit=MOST_NAMED, now=now)[0]:
            rows.setdefault(row.id, row)
            why.setdefault(row.id, []).append(code)
    return [(row, why[case_id]) for case_id, row in rows.items()]


def give(
    tx: Connection, caller: Caller, handover_id: UUID, role: str, content: dict[str, Any], now: datetime
) -> Handover:
    """Hand a post over; sending it again is harmless. Raises ``NotOnPost``, ``IdConflict`` for another's id."""
    if role not in ROLES or role not in {grant.role for grant in caller.grants}:
        raise errors.NotOnPost(role=role)
    _lock(tx)
    known = _rows(tx, handover.c.id == handover_id)
    if known:
        if known[0].actor_id != caller.id:
            raise errors.IdConflict(id=str(handover_id))
        return _whole(known)
    _append(tx, handover_id, "given", role, caller, content, now)
    people.record(tx, caller.id, caller.name, "handover.give", "ok", {"id": str(handover_id), "role": role})
    return get(tx, handover_id)


def sign(tx: Connection, caller: Caller, handover_id: UUID, remark: str, now: datetime) -> Handover:
    """Take a post over. Raises ``NotFound``, ``AlreadySigned``, or ``SignerForbidden`` for the giver and other posts.

    A shift leader may sign for any post: whoever should take it may not have come.
    """
    _lock(tx)
    rows = _rows(tx, handover.c.id == handover_id)
    if not rows:
        raise errors.NotFound(id=str(handover_id))
    given = rows[0]
    if len(rows) > 1:
        raise errors.AlreadySigned(by=rows[1].actor, at=rows[1].at.isoformat())
    if caller.id == given.actor_id or not {given.role, "shift_leader"} & {grant.role for grant in caller.grants}:
        raise errors.SignerForbidden(role=given.role, given_by=given.actor)
    content = {"remark": remark, "of": bytes(given.hash).hex()}
    _append(tx, handover_id, "signed", given.role, caller, content, now)
    people.record(tx, caller.id, caller.name, "handover.sign", "ok", {"id": str(handover_id), "role": given.role})
    return get(tx, handover_id)


def get(tx: Connection, handover_id: UUID) -> Handover:
    """Raises ``NotFound``."""
    rows = _rows(tx, handover.c.id == handover_id)
    if not rows:
        raise errors.NotFound(id=str(handover_id))
    return _whole(rows)


def page(tx: Connection, before: int | None = None, limit: int = 20) -> tuple[list[Handover], int | None]:
    """Hand-overs, newest first, and what to ask the next page ``before``; None at the end."""
    given = select(handover.c.seq, handover.c.id).where(handover.c.kind == "given")
    if before is not None:
        given = given.where(handover.c.seq < before)
    keys = tx.execute(given.order_by(handover.c.seq.desc()).limit(limit + 1)).all()
    found = _many(tx, [key.id for key in keys[:limit]])
    return found, keys[limit - 1].seq if len(keys) > limit else None


def unsigned(tx: Connection) -> list[Handover]:
    """Those nobody has signed, oldest first."""
    signed = select(handover.c.id).where(handover.c.kind == "signed")
    waiting = select(handover.c.id).where(handover.c.id.not_in(signed)).order_by(handover.c.seq)
    return _many(tx, tx.execute(waiting).scalars().all())


def broken(tx: Connection) -> list[int]:
    """The places in the chain whose row is not what its hash says, or does not follow the row before."""
    found, previous, expected = [], GENESIS, 1
    for row in tx.execute(select(handover).order_by(handover.c.seq)):
        whole = dict(row._mapping)
        sound = row.seq == expected and bytes(row.prev_hash) == previous and _hash(whole, previous) == bytes(row.hash)
        if not sound:
            found.append(int(row.seq))
        previous, expected = bytes(row.hash), row.seq + 1
    return found


def equipment(tx: Connection) -> list[dict[str, str]]:
    """What a desk hands over beside its cases, by name, as the duty plan lists it."""
    return [dict(name) for name in definitions.current(tx, "duty_plan").parsed.equipment]


def _lock(tx: Connection) -> None:
    tx.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _rows(tx: Connection, *clauses: ColumnElement[bool]) -> Sequence[Any]:
    return tx.execute(select(handover).where(*clauses).order_by(handover.c.seq)).all()


def _many(tx: Connection, ids: Sequence[UUID]) -> list[Handover]:
    by_id: dict[UUID, list[Any]] = {}
    for row in _rows(tx, handover.c.id.in_(ids)):
        by_id.setdefault(row.id, []).append(row)
    return [_whole(by_id[one]) for one in ids]


def _whole(rows: Sequence[Any]) -> Handover:
    given, signed = rows[0], rows[1] if len(rows) > 1 else None
    return Handover(
        given.id,
        given.role,
        given.actor_id,
        given.actor,
        given.at,
        given.content,
        bytes(given.hash).hex(),
        signed.actor if signed else None,
        signed.at if signed else None,
        signed.content["remark"] if signed else "",
        bytes(signed.hash).hex() if signed else None,
    )


def _append(
    tx: Connection, handover_id: UUID, kind: str, role: str, caller: Caller, content: dict[str, Any], now: datetime
) -> None:
    last = tx.execute(select(handover.c.seq, handover.c.hash).order_by(handover.c.seq.desc()).limit(1)).first()
    previous = bytes(last.hash) if last else GENESIS
    row: dict[str, Any] = {
        "seq": last.seq + 1 if last else 1,
        "id": handover_id,
        "kind": kind,
        "role": role,
        "actor_id": caller.id,
        "actor": caller.name,
        "at": now,
        "content": content,
    }
    tx.execute(insert(handover).values(**row, prev_hash=previous, hash=_hash(row, previous)))


def _hash(row: Mapping[str, Any], previous: bytes) -> bytes:
    told = {name: str(row[name]) for name in ("seq", "id", "kind", "role", "actor_id", "actor")}
    at = row["at"].astimezone(UTC).isoformat()
    return sm3(previous, definitions.canonical(told | {"at": at, "content": row["content"]}).encode())
