"""Drafts of definitions: one for each definition, shared by its editors, who never overwrite each other unawares."""

from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from gis import errors
from gis.db import Connection
from gis.definitions import Body
from gis.people import Caller
from gis.tables import definition, definition_draft


def get(tx: Connection, kind: str, code: str) -> dict[str, Any] | None:
    """The draft with ``revision``, ``base_version``, ``body``, ``by`` and ``updated_at``, or None."""
    row = tx.execute(_one(kind, code)).first()
    return dict(row._mapping) if row else None


def need(tx: Connection, kind: str, code: str) -> dict[str, Any]:
    """The draft. Raises ``DefinitionUnknown`` when there is none."""
    found = get(tx, kind, code)
    if found is None:
        raise errors.DefinitionUnknown("没有草稿", "There is no draft", kind=kind, code=code)
    return found


def every(tx: Connection) -> dict[tuple[str, str], dict[str, Any]]:
    """Who saved which draft when, by kind and code; without the bodies."""
    columns = (c for c in definition_draft.c if c.name != "body")
    return {(row.kind, row.code): dict(row._mapping) for row in tx.execute(select(*columns))}


def named(tx: Connection, kind: str) -> list[tuple[str, Any, str, datetime]]:
    """(code, the name its body gives, by, updated_at) of every draft of a kind, in order of code."""
    columns = (
        definition_draft.c.code,
        definition_draft.c.body["name"],
        definition_draft.c.by,
        definition_draft.c.updated_at,
    )
    rows = tx.execute(select(*columns).where(definition_draft.c.kind == kind).order_by(definition_draft.c.code))
    return [tuple(row) for row in rows]


def save(
    tx: Connection, kind: str, code: str, body: Body, seen: int, caller: Caller, base: int | None = None
) -> dict[str, Any]:
    """Store the draft; returns it without its body.

    ``seen`` is the revision the editor saw, 0 for none. ``base`` says which version the body was made from; without
    it a further saving keeps the draft's, and a first one takes the newest version. Raises ``StaleDraft`` with who
    saved meanwhile.
    """
    values: dict[str, Any] = {"body": body, "by_id": caller.id, "by": caller.name, "updated_at": func.clock_timestamp()}
    columns = [c for c in definition_draft.c if c.name != "body"]
    if seen:
        if base is not None:
            values["base_version"] = base
        row = tx.execute(
            update(definition_draft)
            .where(*_is(kind, code), definition_draft.c.revision == seen)
            .values(values | {"revision": definition_draft.c.revision + 1})
            .returning(*columns)
        ).first()
    else:
        newest = select(func.coalesce(func.max(definition.c.version), 0)).where(
            definition.c.kind == kind, definition.c.code == code
        )
        values |= {"kind": kind, "code": code, "revision": 1}
        values["base_version"] = newest.scalar_subquery() if base is None else base
        try:
            with tx.begin_nested():
                row = tx.execute(insert(definition_draft).values(values).returning(*columns)).first()
        except IntegrityError:
            row = None
    if row is None:
        raise _stale(tx, kind, code)
    return dict(row._mapping)


def drop(tx: Connection, kind: str, code: str, seen: int) -> None:
    """Throw the draft away. Raises ``StaleDraft`` when it is no longer the one the editor saw."""
    gone = tx.execute(delete(definition_draft).where(*_is(kind, code), definition_draft.c.revision == seen))
    if not gone.rowcount:
        raise _stale(tx, kind, code)


def _is(kind: str, code: str) -> tuple[Any, Any]:
    return definition_draft.c.kind == kind, definition_draft.c.code == code


def _one(kind: str, code: str) -> Any:
    return select(definition_draft).where(*_is(kind, code))


def _stale(tx: Connection, kind: str, code: str) -> errors.Problem:
    row = tx.execute(_one(kind, code)).first()
    if row is None:
        return errors.StaleDraft("草稿已被发布或放弃", "The draft was published or thrown away meanwhile", revision=0)
    at: datetime = row.updated_at
    return errors.StaleDraft(revision=row.revision, by=row.by, at=at.isoformat())
