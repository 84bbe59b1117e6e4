"""Accounts: who is taken on, with which roles and tokens, and who no longer. How one signs in, gis.people knows."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from argon2 import PasswordHasher
from sqlalchemy import func, insert, select, update

from gis import errors, people
from gis.db import Connection
from gis.people import ADMIN_ROLES, MAP_TOKEN, Grant
from gis.tables import department, staff, staff_role, token
from gis.workflow import ROLES

SHORTEST_PASSWORD = 10
_SCOPES = ("town", "village", "duty_grid", "department", "own")


def parse_grant(text: str) -> Grant:
    """``role``, ``role:scope`` or ``role:scope:code`` as a grant; without a scope it holds for the whole town.

    Raises ``RowInvalid``.
    """
    role, _, rest = text.partition(":")
    scope, _, code = rest.partition(":")
    scope = scope or "town"
    if role not in ROLES | ADMIN_ROLES or scope not in _SCOPES or bool(code) != (scope not in ("town", "own")):
        raise errors.RowInvalid(grant=text, roles=sorted(ROLES | ADMIN_ROLES), scopes=_SCOPES)
    return Grant(role, scope, code)


def add(tx: Connection, username: str, name: str, department_code: str, password: str, grants: Sequence[Grant]) -> UUID:
    """Take a person on; returns their id. Raises ``UsernameTaken``, ``PasswordShort`` or ``DepartmentUnknown``."""
    _check_length(password)
    if tx.scalar(select(department.c.code).where(department.c.code == department_code)) is None:
        raise errors.DepartmentUnknown(department=department_code)
    if tx.scalar(select(staff.c.id).where(staff.c.username == username)) is not None:
        raise errors.UsernameTaken(username=username)
    person = uuid4()
    tx.execute(
        insert(staff).values(
            id=person,
            username=username,
            name=name,
            department_code=department_code,
            password_hash=PasswordHasher().hash(password),
        )
    )
    tx.execute(
        insert(staff_role),
        [{"staff_id": person, "role": g.role, "scope": g.scope, "scope_code": g.scope_code} for g in grants],
    )
    return person


def give_token(tx: Connection, username: str, label: str, life: timedelta) -> str:
    """A token with which a machine acts as this account; told once, only its digest is kept. Raises ``NotFound``."""
    return people.issue_token(tx, _id(tx, username), "machine", label, datetime.now(UTC) + life)


def revoke_tokens(tx: Connection, username: str, label: str | None = None) -> int:
    """End an account's tokens of machines and map programs, or those of one label; returns how many lived.

    Raises ``NotFound``.
    """
    ended = update(token).where(
        token.c.staff_id == _id(tx, username), token.c.kind.in_(("machine", MAP_TOKEN)), token.c.revoked_at.is_(None)
    )
    if label is not None:
        ended = ended.where(token.c.label == label)
    return len(tx.execute(ended.values(revoked_at=func.now()).returning(token.c.digest)).all())


def set_password(tx: Connection, username: str, password: str) -> None:
    """A new password; ends the account's sessions, its map programs' tokens and its lock.

    Raises ``NotFound`` or ``PasswordShort``.
    """
    _check_length(password)
    person = _id(tx, username)
    fresh = {"password_hash": PasswordHasher().hash(password), "failed_logins": 0, "locked_until": None}
    tx.execute(update(staff).where(staff.c.id == person).values(fresh))
    _end_tokens(tx, person, "session", "device", MAP_TOKEN)


def switch_off(tx: Connection, username: str) -> None:
    """Nobody acts as this account any more; what it did stays under its name. Raises ``NotFound``."""
    person = _id(tx, username)
    tx.execute(update(staff).where(staff.c.id == person).values(active=False))
    _end_tokens(tx, person, "session", "device", "machine", MAP_TOKEN)


def _id(tx: Connection, username: str) -> UUID:
    person: UUID | None = tx.scalar(select(staff.c.id).where(staff.c.username == username, staff.c.active))
    if person is None:
        raise errors.NotFound(username=username)
    return person


def _end_tokens(tx: Connection, person: UUID, *kinds: str) -> None:
    living = update(token).where(token.c.staff_id == person, token.c.kind.in_(kinds), token.c.revoked_at.is_(None))
    tx.execute(living.values(revoked_at=func.now()))


def _check_length(password: str) -> None:
    if len(password) < SHORTEST_PASSWORD:
        raise errors.PasswordShort(shortest=SHORTEST_PASSWORD)
