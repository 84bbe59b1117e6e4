"""Panoramas: equirectangular pictures of all that is seen from a place. Knows where they are; knows no pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

from sqlalchemy import func, insert, select, update

from gis import errors
from gis.db import Connection
from gis.tables import SRID, panorama

MOST: Final = 5000
_COLUMNS = [c for c in panorama.c if c.name not in ("geom", "deleted_at")]
_PLACE = [func.ST_X(panorama.c.geom).label("lon"), func.ST_Y(panorama.c.geom).label("lat")]


@dataclass(frozen=True)
class Made:
    """A panorama to keep: EPSG:4490 degrees; ``heading`` is where the picture's middle looks, degrees from north."""

    name: str
    lon: float
    lat: float
    heading: float = 0.0
    note: str = ""
    sha256: str | None = None
    taken_at: datetime | None = None
    synthetic: bool = False


def of(tx: Connection) -> Sequence[Any]:
    """Every panorama by name."""
    there = select(*_COLUMNS, *_PLACE).where(panorama.c.deleted_at.is_(None))
    return tx.execute(there.order_by(panorama.c.name, panorama.c.id).limit(MOST)).all()


def get(tx: Connection, which: UUID) -> Any:
    """One panorama. Raises ``NotFound``."""
    row = tx.execute(select(*_COLUMNS, *_PLACE).where(panorama.c.id == which, panorama.c.deleted_at.is_(None))).first()
    if row is None:
        raise errors.NotFound(panorama=str(which))
    return row


def _values(made: Made) -> dict[str, Any]:
    return {
        "name": made.name,
        "note": made.note,
        "heading": made.heading % 360.0,
        "taken_at": made.taken_at,
        "geom": func.ST_SetSRID(func.ST_MakePoint(made.lon, made.lat), SRID),
    }


def keep(tx: Connection, which: UUID, made: Made, by: str) -> None:
    """Keep a new one under the id its maker gave it; the same id again with the same picture is harmless.

    Raises ``IdConflict``.
    """
    picture = bytes.fromhex(made.sha256) if made.sha256 else None
    there = tx.execute(select(panorama.c.sha256).where(panorama.c.id == which)).first()
    if there is not None:
        if there.sha256 != picture:
            raise errors.IdConflict(id=str(which))
        return
    values = _values(made) | {"id": which, "sha256": picture, "synthetic": made.synthetic, "made_by": by}
    tx.execute(insert(panorama).values(values))


def change(tx: Connection, which: UUID, made: Made) -> None:
    """Another name, note, place or heading; the picture stays. Raises ``NotFound``."""
    get(tx, which)
    tx.execute(update(panorama).where(panorama.c.id == which).values(_values(made)))


def forget(tx: Connection, which: UUID) -> None:
    """Take one off the map; ``restore`` brings it back. Raises ``NotFound``."""
    get(tx, which)
    tx.execute(update(panorama).where(panorama.c.id == which).values(deleted_at=func.now()))


def restore(tx: Connection, which: UUID) -> None:
    """Bring one back. Raises ``NotFound``."""
    gone = update(panorama).where(panorama.c.id == which, panorama.c.deleted_at.is_not(None))
    if tx.execute(gone.values(deleted_at=None)).rowcount != 1:
        raise errors.NotFound(panorama=str(which))


_DEMO: Final = UUID("6c1f9a52-6e1d-4c0e-9a43-0d3a2f7b5e10")


def demo(tx: Connection, places: Sequence[tuple[str, float, float]]) -> None:
    """Synthetic panoramas at (name, lon, lat), without pictures: those are drawn from the ground when first seen."""
    for name, lon, lat in places:
        made = Made(f"{name}（合成全景）", lon, lat, note="由城镇数据绘制，非实拍", synthetic=True)
        keep(tx, uuid5(_DEMO, name), made, "system")
