"""Routes of sketches (标绘): kept, changed, shared, deleted and brought back, as files for other programs."""

import re
from typing import Annotated, Any, Literal
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from api.access import Tx, allow
from gis import sketches
from gis.people import Caller
from layers import sketch_files

router = APIRouter(tags=["sketches"])
Viewer = Annotated[Caller, allow("map.view")]
Drawer = Annotated[Caller, allow("map.draw")]


class Sketch(BaseModel):
    """A sketch to keep: GeoJSON features with ``shape``, ``label``, ``colour``, ``width``, ``radius_m``."""

    name: str = Field(min_length=1, max_length=80, pattern=r"\S")
    features: list[Any] = Field(max_length=sketches.MOST_FEATURES)
    shared: bool = False

    def drawn(self) -> sketches.Drawn:
        """As gis keeps it."""
        return sketches.Drawn(self.name.strip(), sketches.checked(self.features), self.shared)


class Changed(Sketch):
    """A sketch in the place of version ``base``."""

    base: int = Field(ge=1)


def _told(row: Any) -> dict[str, Any]:
    of = dict(row if isinstance(row, dict) else row._mapping)
    keys = ("id", "name", "shared", "own", "owner", "version", "changed_at", "size", "features")
    return {key: of[key] for key in keys if key in of}


@router.get("/api/sketches")
def kept(caller: Viewer, tx: Tx) -> dict[str, Any]:
    """The caller's sketches and those others share, the newest change first."""
    return {"items": [_told(row) for row in sketches.of(tx, caller)]}


@router.get("/api/sketches/{sketch_id}")
def one(sketch_id: UUID, caller: Viewer, tx: Tx, version: Annotated[int | None, Query(ge=1)] = None) -> dict[str, Any]:
    """A sketch with its features, as it is or as it was in a version."""
    return _told(sketches.get(tx, caller, sketch_id, version))


@router.get("/api/sketches/{sketch_id}/versions")
def versions(sketch_id: UUID, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """The versions of a sketch, the newest first."""
    return {"items": [dict(row._mapping) for row in sketches.versions(tx, caller, sketch_id)]}


@router.get("/api/sketches/{sketch_id}/file")
def file(
    sketch_id: UUID, caller: Viewer, tx: Tx, form: Annotated[Literal["geojson", "kml", "gpkg"], Query()] = "geojson"
) -> Response:
    """A sketch for another program."""
    found = sketches.get(tx, caller, sketch_id)
    content = sketch_files.written(found["name"], found["features"], form)
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", found["name"]).strip("-") or "sketch"
    named = f"attachment; filename=\"{plain}.{form}\"; filename*=UTF-8''{quote(found['name'], safe='')}.{form}"
    return Response(content, media_type=sketch_files.MEDIA[form], headers={"content-disposition": named})


@router.put("/api/sketches/{sketch_id}", status_code=201)
def keep(sketch_id: UUID, body: Sketch, caller: Drawer, tx: Tx) -> dict[str, Any]:
    """Keep a new sketch under an id made by the page; sending it again is harmless."""
    sketches.keep(tx, caller, sketch_id, body.drawn())
    return {"id": str(sketch_id), "version": 1}


@router.post("/api/sketches/{sketch_id}/versions", status_code=201)
def change(sketch_id: UUID, body: Changed, caller: Drawer, tx: Tx) -> dict[str, Any]:
    """Another version of one's own, made from version ``base``."""
    return {"id": str(sketch_id), "version": sketches.change(tx, caller, sketch_id, body.drawn(), body.base)}


@router.delete("/api/sketches/{sketch_id}", status_code=204)
def forget(sketch_id: UUID, caller: Drawer, tx: Tx) -> None:
    """Delete one's own; it can be brought back."""
    sketches.forget(tx, caller, sketch_id)


@router.post("/api/sketches/{sketch_id}/restore", status_code=204)
def restore(sketch_id: UUID, caller: Drawer, tx: Tx) -> None:
    """Take one's deletion back."""
    sketches.restore(tx, caller, sketch_id)
