"""Legal cells of a plan: unit grids, their codes, duty grids. Knows only planar metres and the coding rules."""

from dataclasses import dataclass

import numpy as np
import shapely

from gis.errors import DefinitionBad
from gis.town_cut import Floats, Ints, Shapes, dissolve, neighbours, pieces, shared_edges
from gis.town_ground import Ground, clean_faces
from gis.town_spec import TownSpec

BAND = 170.0
"""Height in metres of the west-to-east bands in which unit grids are numbered."""
DUTY_MOST, DUTY_WISH = 45, 36
"""Unit grids in one duty grid: at most, and aimed at."""


@dataclass(frozen=True)
class Grids:
    """Unit grids in code order. ``cell`` polygons in plan metres form one coverage; ``parcel`` numbers ``parcels``."""

    cell: Shapes
    code: list[str]
    village: list[str]
    parcel: Ints
    use: list[str]
    area_class: list[str]
    duty: list[str]
    parcels: Shapes
    parcel_use: list[str]
    parcel_village: list[str]


def make_grids(spec: TownSpec, ground: Ground) -> Grids:
    """Node the plan into unit grids, number them and group them into duty grids.

    Raises DefinitionBad when a division would need more than 999 unit grids.
    """
    cells, owner = clean_faces(ground.lines, ground.outline, ground.parcels)
    village = np.array([ground.blocks[ground.parcels[p].block].village for p in owner])
    point = shapely.get_coordinates(shapely.centroid(cells))
    order = reading_order(village, point)
    cells, owner, village, point = cells[order], owner[order], village[order], point[order]
    codes = _codes(spec, village)
    left, right, _ = shared_edges(cells)
    duty = _duty(village, point, neighbours(len(cells), left, right))
    uses = spec.body["ground"]["uses"]
    use = [ground.parcels[p].use for p in owner]
    kept, number = np.unique(owner, return_inverse=True)
    number = number.reshape(-1)
    return Grids(
        cell=cells,
        code=codes,
        village=village.tolist(),
        parcel=number,
        use=use,
        area_class=[str(uses[u]["area_class"]) for u in use],
        duty=duty,
        parcels=dissolve(cells, number, len(kept)),
        parcel_use=[ground.parcels[p].use for p in kept],
        parcel_village=[ground.blocks[ground.parcels[p].block].village for p in kept],
    )


def reading_order(village: "np.ndarray[tuple[int], np.dtype[np.str_]]", point: Floats) -> Ints:
    """By division; within it by bands from north to south, each from west to east."""
    band = np.zeros(len(point), dtype=np.int64)
    for code in np.unique(village):
        mine = village == code
        band[mine] = ((point[mine, 1].max() - point[mine, 1]) // BAND).astype(np.int64)
    return np.lexsort((point[:, 0], band, village))


def _codes(spec: TownSpec, village: "np.ndarray[tuple[int], np.dtype[np.str_]]") -> list[str]:
    """15 digits: the division's 12 and a sequence of 3 that starts at 001 in each division."""
    codes: list[str] = []
    for code, count in zip(*np.unique(village, return_counts=True), strict=True):
        if count > 999:
            raise DefinitionBad(file=f"towns/{spec.name}.yaml", where=str(code), why=f"{count} unit grids, 999 codes")
        codes += [f"{code}{k:03d}" for k in range(1, count + 1)]
    return codes


def _duty(village: "np.ndarray[tuple[int], np.dtype[np.str_]]", point: Floats, near: list[list[int]]) -> list[str]:
    """Duty grid code of every unit grid: the division's code, D and two digits, numbered in reading order."""
    duty = [""] * len(point)
    for code in np.unique(village):
        groups = group_cells(np.flatnonzero(village == code).tolist(), point, near)
        for k, members in enumerate(sorted(groups, key=min), start=1):
            for i in members:
                duty[i] = f"{code}D{k:02d}"
    return duty


def group_cells(members: list[int], point: Floats, near: list[list[int]]) -> list[list[int]]:
    """Split connected cells into connected, compact groups of at most DUTY_MOST, aiming at DUTY_WISH.

    Bisection: cells nearest to one end of the long axis are taken, one neighbour after another, until the share is
    full; what this would cut off from the rest goes with them.
    """
    parts = max(1, round(len(members) / DUTY_WISH), -(-len(members) // DUTY_MOST))
    if parts == 1:
        return [members]
    xy = point[members]
    axis = np.linalg.eigh(np.cov((xy - xy.mean(axis=0)).T))[1][:, -1]
    along = dict(zip(members, (xy @ (axis if axis[np.argmax(np.abs(axis))] > 0 else -axis)).tolist(), strict=True))
    want = len(members) * (parts // 2) // parts
    inside = set(members)
    first = min(members, key=lambda i: (along[i], i))
    taken, edge = {first}, {j for j in near[first] if j in inside}
    while len(taken) < want and edge:
        pick = min(edge, key=lambda i: (along[i], i))
        taken.add(pick)
        edge |= {j for j in near[pick] if j in inside}
        edge -= taken
    rest = pieces([i for i in members if i not in taken], near)
    taken.update(i for piece in rest[1:] for i in piece)
    return group_cells(sorted(taken), point, near) + group_cells(rest[0], point, near)
