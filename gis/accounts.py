"""Accounts: who is taken on, with which roles. Knows no sessions; those are gis.people's."""

from collections.abc import Sequence
from uuid import UUID, uuid4

from argon2 import PasswordHasher
from sqlalchemy import insert, select

from gis import errors
from gis.db import Connection
from gis.people import ADMIN_ROLES, Grant
from gis.tables import department, staff, staff_role
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
    if len(password) < SHORTEST_PASSWORD:
        raise errors.PasswordShort(shortest=SHORTEST_PASSWORD)
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
