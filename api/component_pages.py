"""Routes of a component's page: versions and photos; and components counted across catalogues."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from api.access import Tx, allow
from gis import component_history, components, errors, files, people
from gis.catalogue_mappings import counterparts, regroup
from gis.people import Caller
from gis.rulebook import Rulebook, rulebook
from gis.settings import settings

router = APIRouter(tags=["census"])
Viewer = Annotated[Caller, allow("map.view")]
Clerk = Annotated[Caller, allow("census.manage")]


class Photos(BaseModel):
    """Photos that were stored before (PUT /api/media), by their SHA-256."""

    photos: list[Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = Field(min_length=1, max_length=9)


@router.get("/api/components/{code}/history")
def history(code: str, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """Every version of a component with what changed, and its photos with those of its cases the caller may see."""
    book = rulebook(tx)
    versions = component_history.versions(tx, caller, code)
    for one in versions:
        there = book.catalogues.get(one["catalogue"])
        one["catalogue_name"] = there.name if there else None
        one["category_name"] = _name(book, one["catalogue"], one["category_code"])
    return {
        "versions": versions,
        "photos": component_history.photos(tx, caller, code),
    }


@router.post("/api/components/{code}/photos", status_code=201)
def add_photos(code: str, body: Photos, caller: Clerk, tx: Tx) -> dict[str, Any]:
    """Add stored photos to a component."""
    kept = []
    for digest in body.photos:
        content = files.read(settings().home / "files", digest)
        kept.append((bytes.fromhex(digest), files.media_type(content), len(content)))
    added = component_history.add_photos(tx, code, kept, caller.name)
    people.record(tx, caller.id, caller.name, "census.photo", "ok", {"code": code, "photos": body.photos})
    return {"added": added}


@router.get("/api/components/{code}/photos/{sha256}")
def photo(code: str, sha256: str, caller: Viewer, tx: Tx) -> Response:
    """A component's own photo."""
    mime = component_history.photo_of(tx, code, sha256)
    headers = {"cache-control": "private, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
    return Response(files.read(settings().home / "files", sha256), media_type=mime, headers=headers)


@router.get("/api/component-statistics")
def statistics(
    caller: Viewer,
    tx: Tx,
    catalogue: Annotated[str, Query(max_length=80)] = "",
    village: Annotated[str, Query(max_length=12)] = "",
) -> dict[str, Any]:
    """Components counted in the classes of one catalogue, whatever catalogue they were surveyed in.

    ``items`` by category; ``apart`` what has no one counterpart there, under its own catalogue; ``catalogues`` those
    there are. Raises ``DefinitionUnknown``.
    """
    book = rulebook(tx)
    target = catalogue or book.town_catalogue
    if target not in book.catalogues:
        raise errors.DefinitionUnknown(kind="catalogue", code=target)
    told, apart = regroup(list(book.catalogue_mappings.values()), components.counts(tx, village or None), target)
    return {
        "catalogue": target,
        "catalogues": [{"code": one.code, "name": one.name} for one in book.catalogues.values()],
        "items": [{"code": code, "name": _name(book, target, code), "n": n} for code, n in sorted(told.items())],
        "apart": [
            one
            | {
                "name": _name(book, one["catalogue"], one["code"]),
                "candidates": [{"code": code, "name": _name(book, target, code)} for code in one["candidates"]],
            }
            for one in apart
        ],
    }


@router.get("/api/catalogue-mapping")
def mapping(
    caller: Viewer, tx: Tx, source: Annotated[str, Query(max_length=80)], target: Annotated[str, Query(max_length=80)]
) -> dict[str, Any]:
    """Two catalogues side by side: every class of components of ``source`` with its counterparts in ``target``."""
    book = rulebook(tx)
    for one in (source, target):
        if one not in book.catalogues:
            raise errors.DefinitionUnknown(kind="catalogue", code=one)
    mappings = list(book.catalogue_mappings.values())
    return {
        "items": [
            {
                "code": c.code,
                "name": c.name,
                "counterparts": [
                    {"code": code, "name": _name(book, target, code)}
                    for code in counterparts(mappings, source, c.code, target) or ()
                ],
            }
            for c in book.catalogues[source]
            if c.kind == "component"
        ]
    }


def _name(book: Rulebook, catalogue: str, code: str) -> str:
    found = book.catalogues[catalogue].find("component", code) if catalogue in book.catalogues else None
    return found.name if found else code
