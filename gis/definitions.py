"""Definitions: whatever a town may change, as immutable versions with validity dates.

Knows how versions are stored, validated and found; what a body means is known by the module that registered its kind.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import Any

import yaml
from sqlalchemy import Select, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from gis import errors
from gis.db import Connection
from gis.digest import sm3_hex
from gis.tables import definition

Body = dict[str, Any]
Validator = Callable[[Body], object]

# All but the body, which may be large.
_COLUMNS = [column for column in definition.c if column.name != "body"]

_validators: dict[str, Validator] = {}
_cache: dict[tuple[str, str, int], "Definition"] = {}
_cache_lock = Lock()


@dataclass(frozen=True)
class Definition:
    """One immutable version. ``parsed`` is what the kind's validator made of the body."""

    kind: str
    code: str
    version: int
    body: Body
    parsed: Any


def register(kind: str, validator: Validator) -> None:
    """Say how bodies of ``kind`` are checked; the validator returns the parsed form or raises ``DefinitionBad``."""
    _validators[kind] = validator


def canonical(body: Body) -> str:
    """The one text form of a body: sorted keys, no spaces, UTF-8."""
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)


def kinds() -> list[str]:
    """Every kind there is."""
    return sorted(_validators)


def check(kind: str, body: Body, where: str = "") -> Any:
    """Parse a body completely. Raises ``DefinitionBad`` with ``where`` and why."""
    validator = _validators.get(kind)
    if validator is None:
        raise errors.DefinitionBad(where=where, why=f"unknown kind of definition: {kind}")
    try:
        return validator(body)
    except errors.DefinitionBad as problem:
        problem.detail.setdefault("file", where)
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise errors.DefinitionBad(file=where, why=f"{type(error).__name__}: {error}") from error


def publish(
    tx: Connection,
    kind: str,
    code: str,
    body: Body,
    valid_from: datetime,
    by: str = "system",
    *,
    base: int | None = None,
    note: str = "",
) -> int:
    """Store ``body`` as the next version; returns the version. The first is valid from ``valid_from``.

    A further one is valid from now at the earliest: what was in force in the past stays what was in force. The same
    body as the newest version is not stored again. ``base`` is the newest version the publisher knew (0: none), not
    looked at when None. Raises ``DefinitionBad`` and ``StaleDefinition`` when somebody published since.
    """
    check(kind, body, where=f"{kind}/{code}")
    digest = sm3_hex(canonical(body).encode())
    newest = tx.execute(_of(kind, code).order_by(definition.c.version.desc()).limit(1)).first()
    if base is not None and base != (newest.version if newest else 0):
        raise _stale(newest)
    if newest and newest.digest == digest:
        return int(newest.version)
    version = int(newest.version) + 1 if newest else 1
    if newest:
        # The transaction's now: this very transaction, too, finds the new version in force.
        valid_from = max(valid_from, tx.execute(select(func.now())).scalar_one())
    try:
        with tx.begin_nested():
            tx.execute(
                update(definition)
                .where(definition.c.kind == kind, definition.c.code == code, definition.c.valid_to.is_(None))
                .values(valid_to=valid_from)
            )
            tx.execute(
                insert(definition).values(
                    kind=kind,
                    code=code,
                    version=version,
                    body=json.loads(canonical(body)),
                    digest=digest,
                    valid_from=valid_from,
                    published_by=by,
                    note=note,
                )
            )
    except IntegrityError as error:
        raise _stale(tx.execute(_of(kind, code).order_by(definition.c.version.desc()).limit(1)).first()) from error
    return version


def _of(kind: str, code: str) -> Select[Any]:
    return select(*_COLUMNS).where(definition.c.kind == kind, definition.c.code == code)


def _stale(newest: Any) -> errors.Problem:
    if newest is None:
        return errors.StaleDefinition(version=0)
    return errors.StaleDefinition(
        version=newest.version, by=newest.published_by, at=newest.published_at.isoformat(), note=newest.note
    )


def versions(tx: Connection, kind: str, code: str) -> list[dict[str, Any]]:
    """Every version of one definition, the newest first: who published it when and why, its digest and validity.

    ``state`` is in_force, announced, past or withdrawn (another took its place before it began). Raises
    ``DefinitionUnknown``.
    """
    found = _told(tx, _of(kind, code))
    if not found:
        raise errors.DefinitionUnknown(kind=kind, code=code)
    return found


def overview(tx: Connection) -> list[dict[str, Any]]:
    """Every definition there is, by kind and code: its name and all versions as ``versions`` tells them."""
    told = _told(tx, select(definition.c.body["name"].label("name"), *_COLUMNS))
    found = []
    for (kind, code), group in groupby(told, key=lambda row: (row["kind"], row["code"])):
        rows = list(group)
        found.append({"kind": kind, "code": code, "name": rows[0]["name"] or code, "versions": rows})
    return found


def _told(tx: Connection, statement: Select[Any]) -> list[dict[str, Any]]:
    """Rows of versions with their ``state``, by kind and code, the newest first."""
    now = tx.execute(select(func.now())).scalar_one()
    ordered = statement.order_by(definition.c.kind, definition.c.code, definition.c.version.desc())
    found: list[dict[str, Any]] = []
    holding: set[tuple[str, str]] = set()
    for row in tx.execute(ordered):
        one = dict(row._mapping)
        state, of = _state(row.valid_from, row.valid_to, now), (row.kind, row.code)
        # Where two versions' times overlap the newer one holds: only one is in force.
        one["state"] = "past" if state == "in_force" and of in holding else state
        if state == "in_force":
            holding.add(of)
        found.append(one)
    return found


def _state(valid_from: datetime, valid_to: datetime | None, now: datetime) -> str:
    if valid_to is not None and valid_to <= valid_from:
        return "withdrawn"
    if valid_from > now:
        return "announced"
    return "past" if valid_to is not None and valid_to <= now else "in_force"


def version(tx: Connection, kind: str, code: str, number: int) -> Definition:
    """Exactly this version. Raises ``DefinitionUnknown``."""
    which = (definition.c.kind == kind, definition.c.code == code, definition.c.version == number)
    digest = tx.execute(select(definition.c.digest).where(*which)).scalar()
    if digest is None:
        raise errors.DefinitionUnknown(kind=kind, code=code, version=number)
    key = (kind, digest, number)
    found = _cache.get(key)
    if found is None:
        body = tx.execute(select(definition.c.body).where(*which)).scalar_one()
        found = Definition(kind, code, number, body, check(kind, body, where=f"{kind}/{code}"))
        with _cache_lock:
            _cache[key] = found
    return found


def current(tx: Connection, kind: str, code: str | None = None, at: datetime | None = None) -> Definition:
    """The version valid at ``at`` (default now). Without ``code`` the kind must have exactly one code then.

    Raises ``DefinitionUnknown``.
    """
    found = currents(tx, kind, at, code)
    if len(found) != 1:
        raise errors.DefinitionUnknown(kind=kind, code=code or "", candidates=[d.code for d in found])
    return found[0]


def currents(tx: Connection, kind: str, at: datetime | None = None, code: str | None = None) -> list[Definition]:
    """Every code's version valid at ``at`` (default now), in order of code."""
    moment = at or datetime.now(UTC)
    statement = select(definition.c.code, func.max(definition.c.version).label("version")).where(
        definition.c.kind == kind,
        definition.c.valid_from <= moment,
        or_(definition.c.valid_to.is_(None), definition.c.valid_to > moment),
    )
    if code is not None:
        statement = statement.where(definition.c.code == code)
    rows = tx.execute(statement.group_by(definition.c.code).order_by(definition.c.code)).all()
    return [version(tx, kind, row.code, row.version) for row in rows]


def load_files(tx: Connection, data_dir: Path) -> dict[str, int]:
    """Publish every definition file under ``data_dir`` whose content is new; returns {"kind/code": version}.

    A file is ``<kind>s/<code>.yaml`` with ``kind``, ``code``, ``valid_from`` and the body. Raises ``DefinitionBad``.
    """
    loaded: dict[str, int] = {}
    for kind in sorted(_validators):
        for path in sorted((data_dir / f"{kind}s").glob("*.yaml")):
            body = read_yaml(path.read_text(encoding="utf-8"), path.name)
            if not isinstance(body, dict) or body.get("kind") != kind or body.get("code") != path.stem:
                raise errors.DefinitionBad(file=path.name, why="kind and code must say what folder and file name say")
            valid_from = datetime.fromisoformat(str(body.get("valid_from", "2020-01-01"))).replace(tzinfo=UTC)
            loaded[f"{kind}/{path.stem}"] = publish(tx, kind, path.stem, body, valid_from, by="file")
    return loaded


def read_yaml(text: str, name: str = "") -> Any:
    """What a YAML text says, dates left as text. Raises ``DefinitionBad`` with ``name`` and the line."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise errors.DefinitionBad("YAML 写法有误", "The YAML cannot be read", file=name, why=str(error)) from error


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Safe YAML that keeps dates as text: bodies are JSON."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
