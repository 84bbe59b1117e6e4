"""Tokens that somebody makes for their own map programs: QGIS, GDAL. With one the layers are read, and nothing else."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, or_, select, update

from gis import errors, people
from gis.db import Connection
from gis.people import MAP_TOKEN, Caller
from gis.tables import staff, token

MOST: Final = 20
LONGEST_DAYS: Final = 366


def make(tx: Connection, caller: Caller, name: str, days: int) -> tuple[str, dict[str, Any]]:
    """A new token that lives for some days, and what is told of it; the token itself is told this once.

    Raises ``TooManyTokens``.
    """
    # One after the other, so that two at once do not both find room for the last.
    tx.execute(select(staff.c.id).where(staff.c.id == caller.id).with_for_update())
    if sum(one["state"] == "living" for one in every(tx, caller)) >= MOST:
        raise errors.TooManyTokens(most=MOST)
    assert caller.id is not None
    opaque = people.issue_token(tx, caller.id, MAP_TOKEN, name, datetime.now(UTC) + timedelta(days=days))
    made = next(one for one in every(tx, caller) if one["id"] == people.token_id(opaque))
    _record(tx, caller, "token.make", made)
    return opaque, made


def every(tx: Connection, caller: Caller) -> Sequence[dict[str, Any]]:
    """The caller's map tokens of the last year: id, name, when made, until when, last used; the newest first."""
    c = token.c
    rows = tx.execute(
        select(
            func.encode(c.digest, "hex").label("id"),
            c.label.label("name"),
            *(c.created_at, c.expires_at, c.revoked_at, c.last_used_at),
            (c.expires_at <= func.now()).label("over"),
        )
        .where(c.staff_id == caller.id, c.kind == MAP_TOKEN)
        .where(or_(c.revoked_at.is_(None), c.revoked_at > func.now() - timedelta(days=366)))
        .order_by(c.created_at.desc(), c.digest)
    )
    return [_told(row._mapping) for row in rows]


def _told(row: Any) -> dict[str, Any]:
    state = "revoked" if row["revoked_at"] else "over" if row["over"] else "living"
    return {name: row[name] for name in row if name != "over"} | {"state": state}


def revoke(tx: Connection, caller: Caller, token_id: str) -> None:
    """End one of the caller's own tokens. Raises ``NotFound``."""
    ended = (
        update(token)
        .where(token.c.staff_id == caller.id, token.c.kind == MAP_TOKEN, token.c.revoked_at.is_(None))
        .where(func.encode(token.c.digest, "hex") == token_id)
        .values(revoked_at=func.now())
        .returning(token.c.label)
    )
    row = tx.execute(ended).first()
    if row is None:
        raise errors.NotFound(token=token_id)
    _record(tx, caller, "token.revoke", {"id": token_id, "name": row.label, "expires_at": None})


def _record(tx: Connection, caller: Caller, act: str, told: dict[str, Any]) -> None:
    until = told["expires_at"]
    detail = {"token": told["id"], "name": told["name"]} | ({"until": until.isoformat()} if until else {})
    people.record(tx, caller.id, caller.name, act, "ok", detail)
