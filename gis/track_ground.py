"""The ground in cells of 10 m: to which unit grid each belongs, whether it can be walked, which a path saw.

A cell is named by arithmetic on metres of EPSG:4548 alone; it belongs to the grid that covers its middle, and can be
walked when no building and no water covers it. Knows grids as areas give them; the tables of coverage are gis.patrol's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import shapely
from numpy.typing import NDArray
from sqlalchemy import func, select

from gis import geometry
from gis.areas import Areas
from gis.db import Connection
from gis.geometry import Floats
from gis.tables import basemap_feature
from gis.track_cleaning import Track
from gis.track_paths import Walked

CELL_M: Final = 10
#: Along a step a place is looked at twice a cell, so that no cell between two fixes is missed by much.
_SAMPLE_M: Final = 5.0
_UNWALKABLE: Final = ("building", "water")


@dataclass(frozen=True)
class Seen:
    """What a path saw of one grid: a bit for each cell of the grid's rectangle, row by row from the south-west."""

    cells: bytes
    dwell_s: float
    last_at: float | None


class Ground:
    """The cells of the grids in ``areas``; ``obstacles`` are shapely polygons in degrees that cannot be walked."""

    def __init__(self, areas: Areas, obstacles: NDArray[Any]) -> None:
        self.areas = areas
        west, south, east, north = areas.bounds
        corners = geometry.to_4548(np.array([west, east, west, east]), np.array([south, south, north, north]))
        self._left, self._bottom = (int(np.floor(axis.min() / CELL_M)) for axis in corners)
        self._columns = int(np.floor(corners[0].max() / CELL_M)) - self._left + 1
        self._rows = int(np.floor(corners[1].max() / CELL_M)) - self._bottom + 1
        row, column = np.divmod(np.arange(self._rows * self._columns), self._columns)
        middle_x = (self._left + column + 0.5) * CELL_M
        middle_y = (self._bottom + row + 0.5) * CELL_M
        lon, lat = geometry.to_4490(middle_x, middle_y, geometry.METRIC)
        self.grid = areas.locate(lon, lat)
        inside = np.flatnonzero(self.grid >= 0)
        self.walkable = np.zeros(self.grid.size, np.bool_)
        self.walkable[inside] = True
        tree = shapely.STRtree(obstacles)
        blocked = tree.query(shapely.points(lon[inside], lat[inside]), predicate="intersects")[0]
        self.walkable[inside[blocked]] = False
        self._frame(row[inside], column[inside], self.grid[inside])

    def _frame(self, row: NDArray[Any], column: NDArray[Any], grid: NDArray[Any]) -> None:
        """The rectangle of cells of every grid, and how many of its cells can be walked."""
        n, far = len(self.areas.codes), 1 << 30
        low, high = np.full((2, n), far), np.full((2, n), -1)
        for axis, values in enumerate((row, column)):
            np.minimum.at(low[axis], grid, values)
            np.maximum.at(high[axis], grid, values)
        self._low = np.where(high >= 0, low, 0)
        self._size = np.where(high >= 0, high - low + 1, 0)
        self.totals = np.bincount(self.grid[self.walkable], minlength=n)

    def bits(self, grid: int) -> int:
        """How many cells the rectangle of a grid has."""
        return int(self._size[0, grid] * self._size[1, grid])

    def cell(self, east: Floats, north: Floats) -> NDArray[np.int64]:
        """The cells of places in metres; -1 beyond the town's rectangle."""
        column = np.floor(east / CELL_M).astype(np.int64) - self._left
        row = np.floor(north / CELL_M).astype(np.int64) - self._bottom
        inside = (column >= 0) & (column < self._columns) & (row >= 0) & (row < self._rows)
        return np.where(inside, row * self._columns + column, -1)

    def around(self, cells: NDArray[np.int64], sight_m: float) -> NDArray[np.int64]:
        """The walkable cells whose middle is within ``sight_m`` of the middle of one of these, each once."""
        reach = int(sight_m // CELL_M)
        row, column = np.divmod(np.unique(cells[cells >= 0]), self._columns)
        near = []
        for up in range(-reach, reach + 1):
            for right in range(-reach, reach + 1):
                if np.hypot(up, right) * CELL_M > sight_m:
                    continue
                r, c = row + up, column + right
                inside = (r >= 0) & (r < self._rows) & (c >= 0) & (c < self._columns)
                near.append((r * self._columns + c)[inside])
        found = np.unique(np.concatenate(near))
        walkable: NDArray[np.int64] = found[self.walkable[found]]
        return walkable

    def pack(self, cells: NDArray[np.int64]) -> dict[int, bytes]:
        """Cells of grids as the bits of each grid's rectangle."""
        row, column = np.divmod(cells, self._columns)
        grid = self.grid[cells]
        place = (row - self._low[0, grid]) * self._size[1, grid] + column - self._low[1, grid]
        found = {}
        for one in np.unique(grid).tolist():
            bits = np.zeros(self.bits(one), np.bool_)
            bits[place[grid == one]] = True
            found[one] = np.packbits(bits).tobytes()
        return found

    def unpack(self, grid: int, bits: bytes) -> tuple[Floats, Floats]:
        """The middles (lon, lat) of the cells of a grid that these bits name."""
        places = np.flatnonzero(np.unpackbits(np.frombuffer(bits, np.uint8), count=self.bits(grid)))
        row, column = np.divmod(places, max(int(self._size[1, grid]), 1))
        x = (self._left + self._low[1, grid] + column + 0.5) * CELL_M
        y = (self._bottom + self._low[0, grid] + row + 0.5) * CELL_M
        return geometry.to_4490(x, y, geometry.METRIC)


def samples(track: Track, path: Walked) -> tuple[Floats, Floats, Floats, Floats]:
    """(east, north, seconds, moment) of places along a path: the time of a step spread evenly over its length.

    The first fix of every segment counts without time of its own, so that a lone fix saw its place too.
    """
    a, b = path.steps
    count = np.maximum(1, np.ceil(track.metres(a, b) / _SAMPLE_M)).astype(np.int64) if a.size else a
    step = np.repeat(np.arange(a.size), count)
    within = np.arange(step.size) - np.repeat(np.cumsum(count) - count, count)
    share = (within + 0.5) / count[step]
    start, end = a[step], b[step]
    seconds = (track.at[end] - track.at[start]) / count[step]

    def between(values: Floats) -> Floats:
        return np.asarray(values[start] + (values[end] - values[start]) * share)

    first = np.array([segment[0] for segment in path.segments], np.intp)
    return (
        np.concatenate([between(track.east), track.east[first]]),
        np.concatenate([between(track.north), track.north[first]]),
        np.concatenate([seconds, np.zeros(first.size)]),
        np.concatenate([between(track.at), track.at[first]]),
    )


def seen(ground: Ground, track: Track, path: Walked, sight_m: float) -> tuple[dict[str, Seen], Mapping[str, float]]:
    """(what the path saw of each unit grid by code, seconds in each duty grid by code; "" outside them all)."""
    east, north, seconds, moment = samples(track, path)
    cells = ground.cell(east, north)
    grid = np.where(cells >= 0, ground.grid[cells], -1)
    n = len(ground.areas.codes)
    dwell = np.bincount(grid + 1, weights=seconds, minlength=n + 1)[1:]
    last = np.full(n, -np.inf)
    np.maximum.at(last, grid[grid >= 0], moment[grid >= 0])
    bits = ground.pack(ground.around(cells, sight_m)) if cells.size else {}
    empty = {one: bytes((ground.bits(one) + 7) // 8) for one in np.flatnonzero(np.isfinite(last)).tolist()}
    found = {
        str(ground.areas.codes[one]): Seen(
            packed, float(dwell[one]), float(last[one]) if np.isfinite(last[one]) else None
        )
        for one, packed in sorted((empty | bits).items())
    }
    beats = np.append(ground.areas.duty_grids, "")[grid]  # -1: the last
    times: dict[str, float] = {}
    for code in np.unique(beats.astype(str)).tolist():
        times[code] = float(seconds[beats == code].sum())
    return found, times


_grounds: "WeakKeyDictionary[Areas, Ground]" = WeakKeyDictionary()
_making = Lock()


def ground(tx: Connection, areas: Areas) -> Ground:
    """The ground of these areas, made once a process: about two seconds for a town."""
    with _making:
        found = _grounds.get(areas)
        if found is None:
            rows = tx.execute(
                select(func.ST_AsBinary(basemap_feature.c.geom)).where(
                    basemap_feature.c.layer.in_(_UNWALKABLE), func.ST_Dimension(basemap_feature.c.geom) == 2
                )
            ).scalars()
            found = _grounds[areas] = Ground(areas, shapely.from_wkb([bytes(row) for row in rows]))
        return found
