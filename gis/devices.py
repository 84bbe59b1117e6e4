"""The devices of a town: what there is, who has it, when it was last heard of. Lost, it can act for nobody.

A device calls itself by its ``key``: positions carry it, and a login on it labels its token with it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Text, and_, cast, false, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from gis import errors, people
from gis.db import Connection
from gis.people import Caller
from gis.tables import device, position, staff, token

KINDS = ("phone", "printer", "camera", "recorder")
#: From which states an action leads where.
STEPS = {
    "hand_out": (("stored",), "handed_out"),
    "take_back": (("handed_out",), "stored"),
    "lose": (("stored", "handed_out"), "lost"),
    "find": (("lost",), "stored"),
    "retire": (("stored", "lost"), "retired"),
}
#: How far back a device's last position is looked for: every partition of days beyond it is left alone.
SEEN_WITHIN = timedelta(days=30)


def listed(tx: Connection, now: datetime) -> Sequence[Any]:
    """Every device with its holder's name and ``seen_at``, its last position or login within ``SEEN_WITHIN``."""
    since = now - SEEN_WITHIN
    sent = select(func.max(position.c.received_at)).where(position.c.device == device.c.key, position.c["at"] > since)
    sent = sent.where(position.c.inspector_id == device.c.holder_id)  # the index begins with the person
    signed_in = select(func.max(token.c.created_at)).where(token.c.label == device.c.key, token.c.created_at > since)
    return tx.execute(
        select(
            device,
            staff.c.name.label("holder_name"),
            staff.c.username.label("holder_username"),
            func.greatest(sent.scalar_subquery(), signed_in.scalar_subquery()).label("seen_at"),
        )
        .join(staff, staff.c.id == device.c.holder_id, isouter=True)
        .order_by(device.c.kind, device.c.label)
    ).all()


def register(tx: Connection, caller: Caller, device_id: UUID, kind: str, label: str, key: str, note: str) -> None:
    """Take a device into the register, stored. Raises ``DeviceKnown`` for a label or key that another one has."""
    try:
        with tx.begin_nested():
            tx.execute(insert(device).values(id=device_id, kind=kind, label=label, key=key or None, note=note))
    except IntegrityError as error:
        same = select(cast(device.c.id, Text)).where(or_(device.c.label == label, device.c.key == (key or None)))
        raise errors.DeviceKnown(label=label, key=key, known=tx.scalar(same)) from error
    people.record(tx, caller.id, caller.name, "device.register", "ok", {"id": str(device_id), "label": label})


def change(tx: Connection, caller: Caller, device_id: UUID, step: str, holder: UUID | None, note: str | None) -> int:
    """Hand a device out to ``holder``, take it back, report it lost or found, retire it; returns the tokens ended.

    A lost one's tokens end: those it signed in with, and the holder's that name no device, for one of them may be its.
    Raises ``NotFound``, ``DeviceState``, ``StaffUnknown``.
    """
    row = tx.execute(select(device).where(device.c.id == device_id).with_for_update()).first()
    if row is None:
        raise errors.NotFound(id=str(device_id))
    froms, to = STEPS[step]
    if row.state not in froms:
        raise errors.DeviceState(label=row.label, state=row.state, step=step)
    if step == "hand_out" and tx.scalar(select(staff.c.id).where(staff.c.id == holder, staff.c.active)) is None:
        raise errors.StaffUnknown(staff=str(holder))
    keeps = {"hand_out": holder, "lose": row.holder_id}.get(step)
    values = {"state": to, "holder_id": keeps, "changed_at": func.now()}
    if note is not None:
        values["note"] = note
    tx.execute(update(device).where(device.c.id == device_id).values(**values))
    ended = _end_tokens(tx, row.key, row.holder_id) if step == "lose" else 0
    told = {"id": str(device_id), "label": row.label, "holder": str(keeps) if keeps else None, "tokens_ended": ended}
    people.record(tx, caller.id, caller.name, f"device.{step}", "ok", told)
    return ended


def _end_tokens(tx: Connection, key: str | None, holder: UUID | None) -> int:
    of_device = token.c.label == key if key else false()
    nameless = and_(token.c.staff_id == holder, token.c.label == "", token.c.kind.in_(("session", "device")))
    ended = update(token).where(token.c.revoked_at.is_(None), or_(of_device, nameless))
    return len(tx.execute(ended.values(revoked_at=func.now()).returning(token.c.digest)).all())
