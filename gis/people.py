"""Who asks: people and machines, their roles, their scopes, their logins. Knows nothing of how a request arrives."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import BoundedSemaphore
from typing import Any
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error
from sqlalchemy import case as when
from sqlalchemy import func, insert, or_, select, update

from gis import definitions, errors
from gis.db import Connection
from gis.tables import audit, department, staff, staff_role, token
from gis.workflow import ROLES

ADMIN_ROLES = frozenset({"sys_admin", "security_admin", "audit_admin"})
PERMISSIONS = frozenset(
    {
        "case.view",
        "case.report",
        "case.act",
        "map.view",
        "map.draw",
        "panorama.manage",
        "position.send",
        "position.view",
        "track.view",
        "track.exact",
        "track.import",
        "statistics.view",
        "export.make",
        "media.write",
        "import.run",
        "definition.view",
        "definition.publish",
        "duty.manage",
        "job.view",
        "job.run",
        "account.manage",
        "audit.view",
        "shift.work",
        "shift.manage",
        "device.manage",
        "personal.unmask",
        "exception.manage",
        "wall.drive",
        "census.view",
        "census.manage",
        "grid.manage",
    }
)
LOCK_AFTER, LOCK_FOR = 5, timedelta(minutes=30)
#: The kind of token with which somebody's map programs read the layers and do nothing else.
MAP_TOKEN = "map"
#: A token's last use is noted as often, not at every request.
_NOTED = timedelta(minutes=1)

_hasher = PasswordHasher()
# A hash takes 64 MB for its time: two at once, whoever knocks.
_hashing = BoundedSemaphore(2)
# Verified against when the user is unknown, so that an answer's time does not tell whether a name exists.
_NOBODY = _hasher.hash(secrets.token_hex(8))


@dataclass(frozen=True)
class Grant:
    """A role and the rows it holds for. ``scope`` is town, village, duty_grid, department, own or (one) case."""

    role: str
    scope: str
    scope_code: str = ""


@dataclass(frozen=True)
class Scope:
    """The rows a caller may see: the union of these sets, or everything."""

    everything: bool = False
    villages: frozenset[str] = frozenset()
    duty_grids: frozenset[str] = frozenset()
    departments: frozenset[str] = frozenset()
    own: UUID | None = None


@dataclass(frozen=True)
class Caller:
    """Somebody known, with what they may do. ``department`` is (code, name).

    ``map_only`` is one who came with a token for map programs: nothing but layers is open to it.
    """

    id: UUID | None
    username: str
    name: str
    department: tuple[str, str]
    grants: tuple[Grant, ...]
    permissions: frozenset[str]
    machine: bool = False
    map_only: bool = False
    scope: Scope = field(init=False)

    def __post_init__(self) -> None:
        sees = [g for g in self.grants if g.role not in ADMIN_ROLES]
        object.__setattr__(
            self,
            "scope",
            Scope(
                everything=any(g.scope == "town" for g in sees),
                villages=frozenset(g.scope_code for g in sees if g.scope == "village"),
                duty_grids=frozenset(g.scope_code for g in sees if g.scope == "duty_grid"),
                departments=frozenset(g.scope_code for g in sees if g.scope == "department"),
                own=self.id if any(g.scope == "own" for g in sees) else None,
            ),
        )

    def roles_on(self, row: Mapping[str, Any]) -> frozenset[str]:
        """The roles whose scope covers this case row. Administrators' are none: they see no case by them."""
        return frozenset(
            _role_on(g, row) for g in self.grants if g.role not in ADMIN_ROLES and _covers(g, self.id, row)
        )

    def may(self, permission: str) -> None:
        """Raises ``Forbidden`` unless the caller has ``permission``."""
        if permission not in self.permissions:
            raise errors.Forbidden(permission=permission)


PUBLIC = Caller(None, "", "市民", ("", ""), (Grant("public", "none"),), frozenset({"case.report", "media.write"}))
SYSTEM = Caller(None, "system", "系统", ("", ""), (Grant("system", "town"),), frozenset({"case.view", "case.act"}))


def reporter_of(case_id: UUID) -> Caller:
    """Whoever holds a case's query code: the public, on this one case."""
    return Caller(
        None, "", "市民", ("", ""), (Grant("public", "case", str(case_id)),), frozenset({"case.act", "media.write"})
    )


def _role_on(grant: Grant, row: Mapping[str, Any]) -> str:
    """A department that only helps with a case acts as its assistant, not as the one that owns it."""
    helps = grant.scope == "department" and grant.scope_code != row["department_code"]
    return "assistant" if helps and grant.role in ("handler", "department_manager") else grant.role


def _covers(grant: Grant, caller_id: UUID | None, row: Mapping[str, Any]) -> bool:
    match grant.scope:
        case "town":
            return True
        case "village":
            return bool(row["village_code"] == grant.scope_code)
        case "duty_grid":
            return bool(row["duty_grid_code"] == grant.scope_code)
        case "department":
            return row["department_code"] == grant.scope_code or grant.scope_code in row["co_departments"]
        case "own":
            return caller_id is not None and caller_id in (row["reporter_id"], row["assignee_id"])
        case "case":
            return str(row["id"]) == grant.scope_code
    return False


def parse_roles(body: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Permissions by role, checked. Raises ``DefinitionBad`` for an unknown role or permission."""
    found: dict[str, frozenset[str]] = {}
    for role, raw in body["roles"].items():
        if role not in ROLES | ADMIN_ROLES:
            raise errors.DefinitionBad(where=f"roles.{role}", why="unknown role")
        unknown = sorted(set(raw["permissions"]) - PERMISSIONS)
        if unknown:
            raise errors.DefinitionBad(where=f"roles.{role}", why=f"unknown permission: {', '.join(unknown)}")
        found[role] = frozenset(raw["permissions"])
    return found


@dataclass(frozen=True)
class Credentials:
    """What is known of a name that somebody signs in with; ``id`` is None for a name nobody has."""

    id: UUID | None
    name: str
    hash: str

    def fit(self, password: str) -> bool:
        """Whether the password is theirs. Takes tens of milliseconds on purpose: call it outside any transaction."""
        try:
            with _hashing:
                _hasher.verify(self.hash, password)
        except Argon2Error:
            return False
        return self.id is not None


def credentials(tx: Connection, username: str, now: datetime | None = None) -> Credentials:
    """What ``username`` has to show. An unknown name gets a hash too, so that time does not tell it apart.

    Raises ``LoginLocked`` after ``LOCK_AFTER`` failures.
    """
    row = tx.execute(select(staff).where(staff.c.username == username, staff.c.active, ~staff.c.machine)).first()
    if row is None or not row.password_hash:
        return Credentials(None, "", _NOBODY)
    if row.locked_until is not None and row.locked_until > (now or datetime.now(UTC)):
        raise errors.LoginLocked(until=row.locked_until.isoformat())
    return Credentials(row.id, row.name, row.password_hash)


def let_in(tx: Connection, who: Credentials, life: timedelta, label: str = "", now: datetime | None = None) -> str:
    """A new session token for somebody whose password was right; their failures are forgotten.

    ``label`` is what the device they sit at calls itself.
    """
    assert who.id is not None
    tx.execute(update(staff).where(staff.c.id == who.id).values(failed_logins=0, locked_until=None))
    record(tx, who.id, who.name, "login", "ok", {})
    return issue_token(tx, who.id, "session", label, expires_at=(now or datetime.now(UTC)) + life)


def turn_away(tx: Connection, who: Credentials, now: datetime | None = None) -> None:
    """Count a wrong password; the last one allowed locks the name for ``LOCK_FOR``."""
    if who.id is None:
        return
    until = (now or datetime.now(UTC)) + LOCK_FOR
    last = staff.c.failed_logins + 1 >= LOCK_AFTER
    locked = tx.execute(
        update(staff)
        .where(staff.c.id == who.id)
        .values(
            failed_logins=when((last, 0), else_=staff.c.failed_logins + 1),
            locked_until=when((last, until), else_=staff.c.locked_until),
        )
        .returning(staff.c.locked_until)
    ).scalar()
    record(tx, who.id, who.name, "login", "refused", {"locked": locked == until})


def issue_token(tx: Connection, staff_id: UUID, kind: str, label: str = "", expires_at: datetime | None = None) -> str:
    """A new opaque token; only its digest is kept."""
    opaque = secrets.token_urlsafe(32)
    tx.execute(
        insert(token).values(
            digest=_token_digest(opaque), staff_id=staff_id, kind=kind, label=label, expires_at=expires_at
        )
    )
    return opaque


def prolong(tx: Connection, opaque: str, life: timedelta, most: timedelta) -> None:
    """A session in use lives on for ``life`` from now, at most for ``most`` since its login; it never gets shorter."""
    until = func.least(func.now() + life, token.c.created_at + most)
    tx.execute(
        update(token)
        .where(token.c.digest == _token_digest(opaque), token.c.kind == "session", token.c.revoked_at.is_(None))
        .values(expires_at=func.greatest(token.c.expires_at, until))
    )


def revoke(tx: Connection, opaque: str) -> None:
    """End a token's life. An unknown token is no error."""
    tx.execute(update(token).where(token.c.digest == _token_digest(opaque)).values(revoked_at=func.now()))


def by_token(tx: Connection, opaque: str) -> Caller:
    """Who holds this token. Raises ``NotAuthenticated``."""
    row = tx.execute(
        select(staff.c.id, token.c.kind)
        .join(token, token.c.staff_id == staff.c.id)
        .where(
            token.c.digest == _token_digest(opaque),
            token.c.revoked_at.is_(None),
            or_(token.c.expires_at.is_(None), token.c.expires_at > func.now()),
            staff.c.active,
        )
    ).first()
    if row is None:
        raise errors.NotAuthenticated()
    if row.kind in ("machine", MAP_TOKEN):
        before = func.coalesce(token.c.last_used_at, datetime.min.replace(tzinfo=UTC)) < func.now() - _NOTED
        tx.execute(update(token).where(token.c.digest == _token_digest(opaque), before).values(last_used_at=func.now()))
    return replace(by_id(tx, row.id), map_only=row.kind == MAP_TOKEN)


def staffed(tx: Connection) -> frozenset[str]:
    """The roles that somebody active holds."""
    held = select(staff_role.c.role).join(staff, staff.c.id == staff_role.c.staff_id).where(staff.c.active).distinct()
    return frozenset(tx.execute(held).scalars())


def by_username(tx: Connection, username: str) -> Caller:
    """The caller of this name, for trusted code in this process. Raises ``NotFound``."""
    found = tx.execute(select(staff.c.id).where(staff.c.username == username)).scalar()
    if found is None:
        raise errors.NotFound(username=username)
    return by_id(tx, found)


def by_id(tx: Connection, staff_id: UUID) -> Caller:
    """The caller with this id. Raises ``NotFound``."""
    row = tx.execute(
        select(staff, department.c.name.label("department_name"))
        .join(department, department.c.code == staff.c.department_code)
        .where(staff.c.id == staff_id)
    ).first()
    if row is None:
        raise errors.NotFound(staff=str(staff_id))
    roles = tx.execute(select(staff_role).where(staff_role.c.staff_id == staff_id)).all()
    grants = tuple(sorted((Grant(r.role, r.scope, r.scope_code) for r in roles), key=repr))
    allowed: Mapping[str, frozenset[str]] = definitions.current(tx, "role").parsed
    permissions = frozenset().union(*(allowed.get(g.role, frozenset()) for g in grants))
    return Caller(
        row.id,
        row.username,
        row.name,
        (row.department_code, row.department_name),
        grants,
        permissions,
        machine=row.machine,
    )


def record(tx: Connection, actor_id: UUID | None, actor: str, act: str, result: str, detail: dict[str, Any]) -> None:
    """Append one line to the audit."""
    tx.execute(insert(audit).values(actor_id=actor_id, actor=actor, act=act, result=result, detail=detail))


def token_id(opaque: str) -> str:
    """What a token is called by in lists and in the audit: its digest in hexadecimal digits, no secret."""
    return _token_digest(opaque).hex()


def _token_digest(opaque: str) -> bytes:
    return hashlib.sha256(opaque.encode()).digest()
