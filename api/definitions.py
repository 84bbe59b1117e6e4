"""Routes of definitions: what is in force, what changed, drafts, checking, publishing, taking back."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from api.access import Tx, allow
from gis import category_status, definitions, drafts, duty_lists, errors, people, rulebook, search
from gis.db import Connection
from gis.definition_diff import difference
from gis.people import Caller

router = APIRouter(tags=["definitions"])
Viewer = Annotated[Caller, allow("definition.view")]
Kind = Annotated[str, Path(max_length=40)]
Code = Annotated[str, Path(max_length=80)]

# What a township's own people change in their daily work, without being administrators of the system.
BUSINESS = frozenset({"duty_list", "filing_standard", category_status.KIND})
DRAFT, IN_FORCE = "draft", "in_force"


class Body(BaseModel):
    """The body of a definition, as in ``data/``."""

    body: dict[str, Any]


class Draft(Body):
    """What an editor saves: the body, and the revision of the draft they saw (0: there was none).

    ``base_version`` says which version the body now rests on, after a newer one was worked in.
    """

    revision: int = Field(0, ge=0)
    base_version: int | None = Field(None, ge=0)


class Publication(BaseModel):
    """What to publish: a ``body`` made from version ``base``, or the draft at ``revision``.

    ``valid_from`` without a zone is town time; left out or past: from now on.
    """

    body: dict[str, Any] | None = None
    base: int | None = Field(None, ge=0)
    revision: int | None = Field(None, ge=1)
    valid_from: datetime | None = None
    note: str = Field("", max_length=500)


class Return(BaseModel):
    """An older version to be published anew; ``base`` is the newest the caller saw."""

    version: int = Field(ge=1)
    base: int = Field(ge=1)
    note: str = Field("", max_length=500)


class Switch(BaseModel):
    """A category taken or not, and why not; ``base`` is the newest version of the list the caller saw, 0 for none."""

    off: bool
    reason: str = Field("", max_length=200)
    base: int | None = Field(None, ge=0)


def may_write(caller: Caller, kind: str) -> None:
    """Raises ``Forbidden`` unless the caller may draft and publish definitions of this kind."""
    if kind == "role":
        # Who configures the system must not give themselves other rights: it takes both administrators' rights.
        caller.may("account.manage")
    if kind not in BUSINESS or "duty.manage" not in caller.permissions:
        caller.may("definition.publish")


def body_of(tx: Connection, kind: str, code: str, which: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the body, what it is) for ``which``: draft, in_force or a version's number. Raises ``DefinitionUnknown``."""
    if which == DRAFT:
        draft = drafts.need(tx, kind, code)
        return draft["body"], {"draft": draft["revision"], "base_version": draft["base_version"]}
    if which == IN_FORCE:
        found = definitions.current(tx, kind, code)
    elif which.isascii() and which.isdigit() and len(which) < 10:
        found = definitions.version(tx, kind, code, int(which))
    else:
        raise errors.DefinitionUnknown(kind=kind, code=code, version=which[:40])
    return dict(found.body), {"version": found.version}


@router.get("/api/definitions")
def overview(caller: Viewer, tx: Tx) -> dict[str, Any]:
    """Every definition: the version in force, the newest, the announced one, and who has a draft open."""
    opened = drafts.every(tx)
    items = []
    for one in definitions.overview(tx):
        versions = one.pop("versions")
        items.append(
            one
            | {
                "newest": _told(versions[0]),
                "in_force": next((_told(v) for v in versions if v["state"] == "in_force"), None),
                "announced": next((_told(v) for v in versions if v["state"] == "announced"), None),
                "draft": _draft(opened.pop((one["kind"], one["code"]), None)),
                "may_write": _writes(caller, one["kind"]),
            }
        )
    return {"items": items, "kinds": definitions.kinds()}


@router.get("/api/definitions/{kind}/{code}/versions")
def versions(kind: Kind, code: Code, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """All versions of one definition, the newest first."""
    return {"items": [_told(version) for version in definitions.versions(tx, kind, code)]}


@router.get("/api/definitions/{kind}/{code}/versions/{which}")
def version(
    kind: Kind, code: Code, which: Annotated[str, Path(max_length=20)], caller: Viewer, tx: Tx
) -> dict[str, Any]:
    """One body: of a version's number, of the version ``in_force``, or of the ``draft``."""
    body, told = body_of(tx, kind, code, which)
    return told | {"kind": kind, "code": code, "body": body}


@router.get("/api/definitions/{kind}/{code}/diff")
def diff(
    kind: Kind,
    code: Code,
    caller: Viewer,
    tx: Tx,
    before: Annotated[str, Query(max_length=20)] = IN_FORCE,
    after: Annotated[str, Query(max_length=20)] = DRAFT,
) -> dict[str, Any]:
    """What differs between two of: a version's number, ``in_force``, ``draft``; field by field."""
    old, new = (body_of(tx, kind, code, which)[0] for which in (before, after))
    return {"before": before, "after": after, "changes": [_change(change) for change in difference(old, new)]}


@router.post("/api/definitions/{kind}/{code}/check")
def check(kind: Kind, code: Code, sent: Body, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """What is wrong with a body, each fault with its place; nothing is stored."""
    return _checked(tx, kind, code, sent.body)


@router.get("/api/definitions/{kind}/{code}/draft")
def draft(kind: Kind, code: Code, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """The draft with its faults."""
    found = drafts.need(tx, kind, code)
    return found | _checked(tx, kind, code, found["body"])


@router.put("/api/definitions/{kind}/{code}/draft")
def save(kind: Kind, code: Code, sent: Draft, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """Save the draft, faults and all; refused when somebody else saved since."""
    may_write(caller, kind)
    if kind not in definitions.kinds():
        raise errors.DefinitionUnknown(kind=kind, code=code)
    kept = drafts.save(tx, kind, code, sent.body, sent.revision, caller, sent.base_version)
    return kept | _checked(tx, kind, code, sent.body)


@router.delete("/api/definitions/{kind}/{code}/draft", status_code=204)
def discard(kind: Kind, code: Code, revision: Annotated[int, Query(ge=1)], caller: Viewer, tx: Tx) -> None:
    """Throw the draft away."""
    may_write(caller, kind)
    drafts.drop(tx, kind, code, revision)
    people.record(tx, caller.id, caller.name, "definition.discard", "ok", {"kind": kind, "code": code})


@router.post("/api/definitions/{kind}/{code}/versions", status_code=201)
def publish(kind: Kind, code: Code, sent: Publication, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """Publish a body, or the draft, which is gone then. Refused with every fault, or when another was published."""
    may_write(caller, kind)
    body, base = sent.body, sent.base
    if body is None:
        draft = drafts.need(tx, kind, code)
        body, base = draft["body"], draft["base_version"]
        drafts.drop(tx, kind, code, sent.revision or 0)
    elif base is None:
        raise errors.Malformed(field="base", why="the newest version this body was made from, 0 for none")
    return _publish(tx, caller, kind, code, body, base, sent.valid_from, sent.note)


@router.post("/api/definitions/{kind}/{code}/rollback", status_code=201)
def roll_back(kind: Kind, code: Code, sent: Return, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """Publish an older body anew, from now on: history stays as it was."""
    may_write(caller, kind)
    older = definitions.version(tx, kind, code, sent.version)
    note = sent.note or f"恢复第 {sent.version} 版"
    return _publish(tx, caller, kind, code, dict(older.body), sent.base, None, note, restored=sent.version)


@router.put("/api/categories/{category}/status")
def switch(category: Annotated[str, Path(max_length=20)], sent: Switch, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """Switch a category (``event:0506``) or group (``event:05``) off, with a reason, or on again."""
    kind = category_status.KIND
    may_write(caller, kind)
    code = rulebook.rulebook(tx).town_catalogue
    try:
        newest = definitions.versions(tx, kind, code)[0]["version"]
        body = dict(definitions.current(tx, kind, code).body)
    except errors.DefinitionUnknown:
        newest, body = 0, {"kind": kind, "code": code, "name": {"zh": "类别启停", "en": "Categories switched off"}}
    off = {name: why for name, why in body.get("off", {}).items() if name != category}
    body["off"] = off | {category: sent.reason.strip()} if sent.off else off
    base = newest if sent.base is None else sent.base
    return _publish(tx, caller, kind, code, body, base, None, sent.reason, category=category, off=sent.off)


def _publish(
    tx: Connection,
    caller: Caller,
    kind: str,
    code: str,
    body: dict[str, Any],
    base: int,
    valid_from: datetime | None,
    note: str,
    **detail: Any,
) -> dict[str, Any]:
    starts = valid_from if valid_from is None or valid_from.tzinfo else valid_from.replace(tzinfo=search.ZONE)
    if starts is not None and starts <= datetime.now(UTC):
        starts = None
    number = rulebook.publish(tx, kind, code, body, caller.name, base=base, valid_from=starts, note=note)
    what = {"kind": kind, "code": code, "version": number, "valid_from": starts and starts.isoformat(), "note": note}
    people.record(tx, caller.id, caller.name, "definition.publish", "ok", what | detail)
    told = next(each for each in definitions.versions(tx, kind, code) if each["version"] == number)
    return _told(told) | {"kind": kind, "code": code, "stored": number != base}


def _checked(tx: Connection, kind: str, code: str, body: dict[str, Any]) -> dict[str, Any]:
    found = rulebook.faults(tx, kind, code, body)
    warnings = duty_lists.warnings(tx, body) if kind == "duty_list" and not found else []
    return {"faults": found, "warnings": warnings}


def _told(version: dict[str, Any]) -> dict[str, Any]:
    return {name: version[name] for name in version if name not in ("kind", "code", "name")}


def _draft(row: dict[str, Any] | None) -> dict[str, Any] | None:
    return row and {name: row[name] for name in ("revision", "base_version", "by", "updated_at")}


def _change(change: Any) -> dict[str, Any]:
    return {"path": change.path, "kind": change.kind, "before": change.before, "after": change.after}


def _writes(caller: Caller, kind: str) -> bool:
    try:
        may_write(caller, kind)
    except errors.Forbidden:
        return False
    return True
