"""What an import is checked against: the town's codes, extent, areas, departments and catalogues. Writes nothing."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import shapely
from sqlalchemy import select

from gis import definitions, errors
from gis.areas import areas
from gis.catalogue import Catalogue, resolve
from gis.db import Connection
from gis.geometry import Bounds
from gis.import_checks import Problems, pair_texts
from gis.tables import department, town

Texts = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ground:
    """The town as an import sees it."""

    code: str
    catalogue: str
    bounds: Bounds
    departments: frozenset[str]
    catalogues: tuple[Catalogue, ...]

    @property
    def district(self) -> str:
        """The six digits every code of the town begins with."""
        return self.code[:6]

    def of_category(
        self, kind: str, catalogue: str | None, codes: Texts, names: Texts | None, problems: Problems
    ) -> tuple[Texts, Texts, Texts]:
        """(catalogue, code, name) of every row; unknown, ambiguous and misnamed categories are refused.

        Rows with an empty code are passed over: they were refused before.
        """
        given = np.full(len(codes), "", dtype=object) if names is None else names
        pairs, at = np.unique(np.char.add(np.char.add(codes.astype(str), "\t"), given.astype(str)), return_inverse=True)
        answers = np.full((3, len(pairs)), "", dtype=object)
        for i, pair in enumerate(pairs.tolist()):
            code, name = pair.split("\t", 1)
            if not code:
                continue
            try:
                found, category = resolve(self.catalogues, kind, code, catalogue, name or None)
                answers[:, i] = found, category.code, category.name
            except (errors.CategoryUnknown, errors.CategoryAmbiguous, errors.CategoryMismatch) as problem:
                facts = ", ".join(f"{key}={value}" for key, value in problem.detail.items() if value)
                may = [
                    f"{one['code']} {one['name']}（{one['catalogue']}）" for one in problem.detail.get("candidates", [])
                ]
                zh = f"可能是 {'、'.join(may)}" if may else ""
                problems.add(at == i, type(problem), f"{code} {name}".strip(), zh, facts, "category")
        catalogues, categories, titles = answers[:, at]
        return catalogues, categories, titles


def ground(tx: Connection) -> Ground:
    """The town an import goes into. Raises ``ImportRefused`` when there is none."""
    place = tx.execute(select(town.c.code, town.c.catalogue)).first()
    index = areas(tx) if place else None
    if place is None or index is None or not len(index.codes):
        raise errors.ImportRefused(
            zh="还没有镇和网格，请先建镇", en="There is no town with grids yet: run `wangge town init`"
        )
    return Ground(
        code=place.code,
        catalogue=place.catalogue,
        bounds=index.bounds,
        departments=frozenset(tx.execute(select(department.c.code).where(department.c.active)).scalars()),
        catalogues=tuple(found.parsed for found in definitions.currents(tx, "catalogue")),
    )


def today() -> date:
    """The day it is in the town."""
    return datetime.now(ZoneInfo("Asia/Shanghai")).date()


@dataclass(frozen=True)
class Located:
    """Unit grid and village of every row, '' where the row lies in none."""

    unit_grid: Texts
    village: Texts


def locate(tx: Connection, lon: Floats, lat: Floats, problems: Problems) -> Located:
    """Find every row's grid through the raster index; rows in none are refused: outside the town or in a hole."""
    index = areas(tx)
    fine = ~problems.bad & np.isfinite(lon) & np.isfinite(lat)
    found = np.full(len(lon), -1, dtype=np.int32)
    found[fine] = index.locate(lon[fine], lat[fine])
    inside = found >= 0
    lost = fine & ~inside
    if lost.any():
        hole = lost & shapely.intersects_xy(index.outline, lon, lat)
        where = pair_texts(lon, lat)
        problems.add(hole, errors.NotCovered, where)
        problems.add(lost & ~hole, errors.OutsideTown, where)
    grids, villages = np.full(len(lon), "", dtype=object), np.full(len(lon), "", dtype=object)
    grids[inside] = index.codes[found[inside]]
    villages[inside] = index.villages[found[inside]]
    return Located(grids, villages)
