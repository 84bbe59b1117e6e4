"""Which unit grid, village and duty grid a place lies in today. Knows the areas in force; knows no rules, no cases."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from threading import Lock
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from sqlalchemy import BigInteger, ColumnElement, func, literal_column, select

from gis import geometry
from gis.db import Connection
from gis.errors import NotCovered, OutsideTown, Unavailable
from gis.raster import AreaIndex, Floats, Indices
from gis.tables import division, duty_grid_member, town, unit_grid
from gis.validity import today

__all__ = ["AreaIndex", "Areas", "Grid", "PlaceFacts", "areas"]


@dataclass(frozen=True)
class PlaceFacts:
    """What a place says about a case. ``duty_grid_code`` is '' where the unit grid belongs to none."""

    village_code: str
    unit_grid_code: str
    duty_grid_code: str
    area_class: str


@dataclass(frozen=True)
class Grid:
    """A unit grid as the index needs it; ``valid_to`` is the first day it is no longer in force."""

    code: str
    village_code: str
    area_class: str
    duty_grid_code: str
    valid_from: date
    valid_to: date | None
    polygon: Any


class Areas:
    """The unit grids in force on one day with what each implies, and the outline of the town.

    ``codes``, ``villages``, ``duty_grids``, ``area_classes``: object arrays of str, one entry a grid, in order of
    code, so that ``areas.villages[areas.locate(lon, lat)]`` answers for many points (mind the -1). ``valid_from`` and
    ``valid_to`` (first day after, or None) are the span of days for which this set of grids is right.
    """

    def __init__(self, grids: Sequence[Grid], day: date, outline: Any = None, size: int = 4096) -> None:
        """``grids`` in any order; those not in force on ``day`` only bound the span. ``outline`` in degrees or None."""
        changes = {d for grid in grids for d in (grid.valid_from, grid.valid_to) if d is not None}
        self.valid_from = max((d for d in changes if d <= day), default=date.min)
        self.valid_to = min((d for d in changes if d > day), default=None)
        valid = [g for g in grids if g.valid_from <= day and (g.valid_to is None or g.valid_to > day)]
        valid.sort(key=lambda grid: grid.code)
        self.codes = _words(grid.code for grid in valid)
        self.villages = _words(grid.village_code for grid in valid)
        self.duty_grids = _words(grid.duty_grid_code for grid in valid)
        self.area_classes = _words(grid.area_class for grid in valid)
        polygons = np.array([grid.polygon for grid in valid], object)
        self.index = AreaIndex(self.codes.tolist(), polygons, size)
        self.outline = shapely.union_all(polygons) if outline is None else outline
        shapely.prepare(self.outline)
        west, south, east, north = shapely.total_bounds(np.append(polygons, self.outline)).tolist()
        self.bounds: geometry.Bounds = (west, south, east, north)
        self._facts = [PlaceFacts(grid.village_code, grid.code, grid.duty_grid_code, grid.area_class) for grid in valid]

    @classmethod
    def load(cls, tx: Connection, day: date | None = None) -> "Areas":
        """The grids in force on ``day`` (default today in Beijing), read and indexed: about a second for a town."""
        on = day or today()
        rows = tx.execute(
            select(
                unit_grid.c.code,
                unit_grid.c.village_code,
                unit_grid.c.area_class,
                func.coalesce(duty_grid_member.c.duty_grid_code, ""),
                unit_grid.c.valid_from,
                unit_grid.c.valid_to,
                func.ST_AsBinary(unit_grid.c.geom).label("polygon"),
            ).outerjoin(duty_grid_member, duty_grid_member.c.unit_grid_code == unit_grid.c.code)
        ).all()
        polygons = shapely.from_wkb([bytes(row.polygon) for row in rows])
        outlines = tx.execute(
            select(func.ST_AsBinary(division.c.geom)).where(
                division.c.level == "township",
                division.c.geom.is_not(None),
                division.c.code.in_(select(func.rpad(town.c.code, 12, "0"))),
            )
        ).scalars()
        parts = shapely.from_wkb([bytes(outline) for outline in outlines])
        grids = [Grid(*row[:-1], polygon) for row, polygon in zip(rows, polygons, strict=True)]
        return cls(grids, on, shapely.union_all(parts) if len(parts) else None)

    def locate(self, lon: Floats, lat: Floats) -> Indices:
        """Positions of the covering unit grids (int32, -1 for none) of n points in EPSG:4490 degrees."""
        return self.index.locate(lon, lat)

    def facts(self, position: int) -> PlaceFacts:
        """What grid ``position`` implies."""
        return self._facts[position]

    def at(self, lon: float, lat: float) -> PlaceFacts:
        """The facts of one place in EPSG:4490 degrees.

        Raises ``NotCovered`` in the town but in no grid, else what ``geometry.check_point`` finds, or ``OutsideTown``.
        """
        position = self.index.locate_one(lon, lat)
        if position >= 0:
            return self._facts[position]
        geometry.check_point(lon, lat, self.bounds)
        if shapely.intersects_xy(self.outline, lon, lat):
            raise NotCovered(lon=lon, lat=lat)
        raise OutsideTown(lon=lon, lat=lat, bounds=list(self.bounds))


def _words(values: Any) -> NDArray[np.object_]:
    return np.array(list(values), dtype=object)


_cached: dict[str, tuple[tuple[int, int], Areas]] = {}
_loading = Lock()


#: What tells one state of the areas from another: ``town.areas_version`` is raised with every change, and the row's
#: ``xmin`` tells apart versions of the same number when a transaction was rolled back.
VERSION: tuple[ColumnElement[int], ColumnElement[int]] = (
    town.c.areas_version,
    literal_column("town.xmin::text::bigint", BigInteger),
)
_VERSION = select(*VERSION)


def areas(tx: Connection, version: tuple[int, int] | None = None) -> Areas:
    """The areas in force today, from the process's cache; raises ``Unavailable`` when no town is loaded.

    One small query asks whether the areas changed. ``version`` spares it to who has asked ``VERSION`` already.
    """
    if version is None:
        version = version_of(tx.execute(_VERSION).first())
    key, database = version, str(tx.engine.url)
    found = _current(database, key)
    if found is None:
        with _loading:
            found = _current(database, key)
            if found is None:
                found = Areas.load(tx)
                _cached[database] = (key, found)
    return found


def version_of(asked: Sequence[Any] | None) -> tuple[int, int]:
    """The version in a row that begins with ``VERSION``; raises ``Unavailable`` where no town is loaded."""
    if asked is None:
        raise Unavailable(zh="尚未载入镇街数据", en="No town is loaded yet")
    return int(asked[0]), int(asked[1])


def _current(database: str, key: tuple[int, int]) -> Areas | None:
    cached = _cached.get(database)
    if cached is None or cached[0] != key:
        return None
    now, areas = today(), cached[1]
    return areas if areas.valid_from <= now and (areas.valid_to is None or now < areas.valid_to) else None
