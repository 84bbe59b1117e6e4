"""Routes of panoramas: where they are, their pictures, adding and taking away."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.access import Tx, allow, aware
from gis import db, errors, files, ground, panoramas, register
from gis.geometry import check_point, metres_per_degree
from gis.people import Caller
from gis.settings import settings
from layers import panorama

router = APIRouter(tags=["panoramas"])
Keeper = Annotated[Caller, allow("panorama.manage")]


class Panorama(BaseModel):
    """A panorama's place (EPSG:4490 degrees), name and direction; ``heading`` is where the picture's middle looks."""

    name: str = Field(min_length=1, max_length=80, pattern=r"\S")
    lon: float = Field(ge=-180, le=180)
    lat: float = Field(ge=-90, le=90)
    heading: float = Field(0.0, ge=0, le=360)
    note: str = Field("", max_length=500)
    taken_at: datetime | None = None

    def made(self, sha256: str | None = None) -> panoramas.Made:
        """As gis keeps it."""
        taken = aware(self.taken_at) if self.taken_at else None
        return panoramas.Made(self.name.strip(), self.lon, self.lat, self.heading, self.note, sha256, taken)


class NewPanorama(Panorama):
    """A new one, with the SHA-256 of its picture, sent before to ``/api/media``."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")


@router.get("/api/panoramas", dependencies=[allow("map.view")])
def there(tx: Tx) -> dict[str, Any]:
    """Every panorama, with the address of its picture."""
    return {"items": [_told(row) for row in panoramas.of(tx)]}


def _told(row: Any) -> dict[str, Any]:
    of = row._mapping
    told = {key: of[key] for key in ("id", "name", "note", "lon", "lat", "heading", "synthetic", "taken_at")}
    return told | {"picture": f"/api/panoramas/{of['id']}/picture"}


@router.get("/api/panoramas/{panorama_id}/picture", dependencies=[allow("map.view")])
def picture(panorama_id: UUID) -> Response:
    """The equirectangular picture; a synthetic one is drawn from the town's ground when it is first asked for."""
    with db.transaction() as tx:
        row = panoramas.get(tx, panorama_id)
    home = settings().home
    if row.sha256 is not None:
        content = files.read(home / "files", row.sha256.hex())
    else:
        # Its place is in the name: where that is put right, the picture is drawn anew.
        kept = home / "cache" / "panoramas" / f"{panorama_id}-{row.lon:.7f}-{row.lat:.7f}.jpg"
        content = _drawn(kept, row.lon, row.lat)
    kind = "image/jpeg" if row.sha256 is None else files.media_type(content)
    return Response(content, media_type=kind, headers={"cache-control": "private, max-age=86400"})


def _drawn(path: Path, lon: float, lat: float) -> bytes:
    if path.exists():
        return path.read_bytes()
    east, north = (float(m) for m in metres_per_degree(lat))
    dx, dy = panorama.REACH_M / east, panorama.REACH_M / north
    with db.transaction() as tx:
        seen = ground.within(tx, (lon - dx, lat - dy, lon + dx, lat + dy))
    content = panorama.picture(seen, lon, lat)
    files.write(path, content)
    return content


@router.put("/api/panoramas/{panorama_id}", status_code=201)
def keep(panorama_id: UUID, body: NewPanorama, caller: Keeper, tx: Tx) -> dict[str, Any]:
    """Put a picture on the map under an id made by the page; sending it again is harmless."""
    check_point(body.lon, body.lat, tuple(register.the_town(tx)["bbox"]))
    width, height = files.size(files.read(settings().home / "files", body.sha256))
    if width != 2 * height:
        raise errors.NotAPanorama(width=width, height=height)
    panoramas.keep(tx, panorama_id, body.made(body.sha256), caller.name)
    return _told(panoramas.get(tx, panorama_id))


@router.patch("/api/panoramas/{panorama_id}")
def change(panorama_id: UUID, body: Panorama, caller: Keeper, tx: Tx) -> dict[str, Any]:
    """Another name, note, place or direction."""
    check_point(body.lon, body.lat, tuple(register.the_town(tx)["bbox"]))
    panoramas.change(tx, panorama_id, body.made())
    return _told(panoramas.get(tx, panorama_id))


@router.delete("/api/panoramas/{panorama_id}", status_code=204)
def forget(panorama_id: UUID, caller: Keeper, tx: Tx) -> None:
    """Take one off the map; it can be brought back."""
    panoramas.forget(tx, panorama_id)


@router.post("/api/panoramas/{panorama_id}/restore", status_code=204)
def restore(panorama_id: UUID, caller: Keeper, tx: Tx) -> None:
    """Bring one back."""
    panoramas.restore(tx, panorama_id)
