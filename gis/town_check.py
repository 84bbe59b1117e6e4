"""Whether a town is what it should be: tiled exactly, and, once loaded, what its seed gives. Changes nothing."""

from dataclasses import dataclass

import numpy as np
import shapely
from sqlalchemy import func, select

from gis import tables
from gis.db import Connection
from gis.errors import GridGap, GridOverlap, NotFound, TownDiffers
from gis.town import Town, demo_town
from gis.town_cut import Shapes
from gis.town_spec import read_spec


@dataclass(frozen=True)
class Verdict:
    """A town found in order. ``rebuilt`` is False for towns that no seed describes: only their tiling was checked."""

    code: str
    digest: str
    rebuilt: bool
    divisions: int
    unit_grids: int
    components: int


def check_tiling(town: Town) -> None:
    """Raises GridOverlap or GridGap unless unit grids tile their divisions and divisions tile the town exactly."""
    divisions = town.divisions
    villages = divisions[divisions["level"] == "village"]
    whole = divisions[divisions["level"] == "township"].geometry.iloc[0]
    tiles(
        town.unit_grids.geometry.to_numpy(),
        town.unit_grids["village_code"].tolist(),
        dict(zip(villages["code"], villages.geometry, strict=True)),
        whole,
    )


def tiles(cells: Shapes, village_of: list[str], villages: dict[str, object], whole: object) -> None:
    """Raises GridOverlap or GridGap unless ``cells`` tile ``villages`` and these tile ``whole``, exactly.

    Exactly means: shared borders have identical vertices (a valid coverage), the union of a village's cells is the
    village, the union of the villages is the whole, and the whole has no holes. Any one coordinate system.
    """
    if not shapely.coverage_is_valid(cells):
        bad = ~shapely.is_empty(shapely.coverage_invalid_edges(cells))
        raise GridOverlap(grids=int(bad.sum()))
    owner = np.array(village_of)
    for code, land in villages.items():
        if not shapely.equals(shapely.coverage_union_all(cells[owner == code]), land):
            raise GridGap(village=code)
    lands = np.array(list(villages.values()), dtype=object)
    if not shapely.coverage_is_valid(shapely.get_parts(lands)):
        raise GridOverlap(level="village")
    if not shapely.equals(shapely.coverage_union_all(lands), whole):
        raise GridGap(level="township")
    if any(shapely.get_num_interior_rings(part) for part in shapely.get_parts(whole)):
        raise GridGap(level="township", holes=True)


def verify(tx: Connection) -> Verdict:
    """Check the loaded town's tiling and compare it with a town built anew from its seed.

    Raises GridOverlap, GridGap, TownDiffers with the table that differs, or NotFound when no town is loaded.
    """
    row = tx.execute(select(tables.town)).first()
    if row is None:
        raise NotFound(zh="还没有载入镇", en="No town is loaded")
    grid, division = tables.unit_grid, tables.division
    grids = tx.execute(
        select(
            grid.c.code, grid.c.village_code, grid.c.area_class, grid.c.land_use, func.st_asbinary(grid.c.geom, "NDR")
        )
        .where(grid.c.valid_to.is_(None))
        .order_by(grid.c.code)
    ).all()
    cells = _shapes([g[4] for g in grids])
    lands = tx.execute(
        select(division.c.code, division.c.level, func.st_asbinary(division.c.geom, "NDR"))
        .where(division.c.geom.is_not(None), division.c.valid_to.is_(None))
        .order_by(division.c.code)
    ).all()
    shapes = dict(zip([d.code for d in lands], _shapes([d[2] for d in lands]), strict=True))
    villages = {d.code: shapes[d.code] for d in lands if d.level == "village"}
    tiles(cells, [g.village_code for g in grids], villages, shapes[f"{row.code}000"])
    component = tables.component
    census = tx.execute(
        select(component.c.code, component.c.unit_grid_code, component.c.lon, component.c.lat).order_by(
            component.c.code
        )
    ).all()
    town = _by_seed(row.seed)
    if town is not None:
        _same("town", row.digest, town.digest)
        wanted = town.unit_grids.sort_values("code")
        _same("unit_grid", [g[:4] for g in grids], _rows(wanted, "code", "village_code", "area_class", "land_use"))
        _same(
            "unit_grid", [bytes(g[4]) for g in grids], shapely.to_wkb(wanted.geometry.to_numpy(), byte_order=1).tolist()
        )
        found = [tuple(c) for c in census]
        _same("component", found, _rows(town.components.sort_values("code"), "code", "unit_grid_code", "lon", "lat"))
    return Verdict(row.code, row.digest, town is not None, len(villages), len(grids), len(census))


def _by_seed(seed: int | None) -> Town | None:
    """The demo town with this seed, or None."""
    for small in (True, False):
        if seed is not None and read_spec(small=small).seed == seed:
            return demo_town(small=small)
    return None


def _rows(table: object, *columns: str) -> list[tuple[object, ...]]:
    return list(zip(*(table[c].tolist() for c in columns), strict=True))  # type: ignore[index]


def _same(table: str, found: object, wanted: object) -> None:
    if isinstance(found, list) and isinstance(wanted, list):
        if len(found) != len(wanted):
            raise TownDiffers(table=table, found=len(found), wanted=len(wanted))
        for k, (one, other) in enumerate(zip(found, wanted, strict=True)):
            if (tuple(one) if not isinstance(one, bytes) else one) != other:
                raise TownDiffers(table=table, row=k)
    elif found != wanted:
        raise TownDiffers(table=table, found=found, wanted=wanted)


def _shapes(binaries: list[bytes | memoryview]) -> Shapes:
    return np.asarray(shapely.from_wkb([bytes(b) for b in binaries]), dtype=object)
