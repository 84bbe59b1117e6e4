"""Unit grids: their code rule, what a set of them must be together, and how they get in. Knows no file format."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from geoalchemy2.shape import from_shape
from sqlalchemy import delete, func, literal_column, select, text, update
from sqlalchemy.dialects.postgresql import insert

from gis import errors, lineage, validity
from gis.db import Connection, copy_in
from gis.geometry import metres_per_degree
from gis.tables import SRID, component, division, duty_grid, duty_grid_member, grid_plan, town, unit_grid
from gis.town_grids import group_cells

Shapes = npt.NDArray[Any]
Texts = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

TOLERANCE_M2 = 1.0
"""Overlaps and gaps smaller than this are rounding of coordinates, not faults of the survey."""
_CODE = re.compile(r"^[0-9]{15}$")


def code_fault(code: str, village: str, town_code: str) -> tuple[str, str] | None:
    """Why a unit grid code breaks the rule 6 district + 3 town + 3 village + 3 sequence (zh, en), or None."""
    if not _CODE.match(code):
        return "应为 15 位数字", "15 digits are needed"
    if not code.startswith(town_code):
        return f"前九位应为本镇 {town_code}", f"must begin with the town's {town_code}"
    if village and not code.startswith(village):
        return f"前十二位应为所属村居 {village}", f"must begin with its village {village}"
    if code.endswith("000"):
        return "顺序号从 001 起", "sequences start at 001"
    return None


def area_m2(polygons: Shapes) -> Floats:
    """Areas in m² of polygons in EPSG:4490, each on the plane that touches the ellipsoid at its middle (1e-6)."""
    east, north = metres_per_degree(shapely.get_y(shapely.centroid(polygons)))
    answer: Floats = shapely.area(polygons) * east * north
    return answer


@dataclass(frozen=True)
class Overlap:
    """Two grids (positions) that share land."""

    first: int
    second: int
    m2: float


@dataclass(frozen=True)
class Gap:
    """Land of a village, or inside its grids, that no grid covers."""

    village: str
    m2: float
    lon: float
    lat: float


def overlaps(polygons: Shapes, tolerance_m2: float = TOLERANCE_M2) -> list[Overlap]:
    """Pairs of valid polygons that share more than ``tolerance_m2``, lowest positions first."""
    first, second = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    once = first < second
    first, second = first[once], second[once]
    shared = area_m2_or_zero(shapely.intersection(polygons[first], polygons[second]))
    found = [
        Overlap(int(a), int(b), float(m2)) for a, b, m2 in zip(first, second, shared, strict=True) if m2 > tolerance_m2
    ]
    return sorted(found, key=lambda pair: (pair.first, pair.second))


def area_m2_or_zero(shapes: Shapes) -> Floats:
    """As :func:`area_m2`, with 0 for empty shapes, lines and points."""
    flat: Floats = shapely.area(shapes)
    answer = np.zeros(len(flat))
    if (flat > 0).any():
        answer[flat > 0] = area_m2(shapes[flat > 0])
    return answer


def gaps(polygons: Shapes, villages: Texts, lands: dict[str, Any], tolerance_m2: float = TOLERANCE_M2) -> list[Gap]:
    """Parts of each village's land its grids leave open; without known land, holes inside the grids."""
    found: list[Gap] = []
    for village in np.unique(villages.astype(str)).tolist():
        # Snapped to 0.1 mm: neighbours whose last digits differ must not open a crack from a hole to the outside.
        covered = shapely.union_all(polygons[villages == village], grid_size=1e-9)
        land = lands.get(village)
        if land is not None:
            missing = shapely.difference(land, covered)
        else:
            rings = [shapely.polygons(ring) for part in shapely.get_parts(covered) for ring in part.interiors]
            missing = shapely.difference(shapely.union_all(rings), covered)
        parts = shapely.get_parts(missing)
        parts = parts[shapely.get_dimensions(parts) == 2]
        for part, m2 in zip(parts, area_m2_or_zero(parts).tolist(), strict=True):
            if m2 > tolerance_m2:
                point = shapely.point_on_surface(part)
                found.append(Gap(village, m2, shapely.get_x(point), shapely.get_y(point)))
    return found


def outside(polygons: Shapes, villages: Texts, lands: dict[str, Any], tolerance_m2: float = TOLERANCE_M2) -> Floats:
    """How many m² of every grid lie outside its village's known land, 0 where that is within the tolerance."""
    answer = np.zeros(len(polygons))
    for village, land in lands.items():
        mine = np.flatnonzero(villages == village)
        shapely.prepare(land)
        crossing = mine[~shapely.covers(land, polygons[mine])]
        answer[crossing] = area_m2_or_zero(shapely.difference(polygons[crossing], land))
    answer[answer <= tolerance_m2] = 0.0
    return answer


def adjacent(polygons: Shapes) -> list[list[int]]:
    """For each polygon the positions of those it shares a border line with, ascending."""
    first, second = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    other = first != second
    first, second = first[other], second[other]
    line = shapely.get_dimensions(shapely.intersection(polygons[first], polygons[second])) >= 1
    near: list[list[int]] = [[] for _ in range(len(polygons))]
    for a, b in sorted(zip(first[line].tolist(), second[line].tolist(), strict=True)):
        near[a].append(b)
    return near


@dataclass(frozen=True)
class GridSet:
    """Unit grids as the database takes them: one entry per grid, polygons in EPSG:4490; '' = no duty grid given."""

    codes: Texts
    villages: Texts
    area_classes: Texts
    land_uses: Texts
    duty_codes: Texts
    polygons: Shapes


@dataclass(frozen=True)
class Landed:
    """What :func:`land` did."""

    new: int
    updated: int
    unchanged: int
    retired: int
    relocated: int


def in_force(tx: Connection, villages: Sequence[str], today: date, *, inside: bool) -> tuple[Texts, Shapes]:
    """(codes, polygons) of the valid grids of these villages, or with ``inside=False`` of all others."""
    member = unit_grid.c.village_code == func.any(list(villages))
    rows = tx.execute(
        select(unit_grid.c.code, func.ST_AsBinary(unit_grid.c.geom))
        .where(validity.in_force(unit_grid, today), member if inside else ~member)
        .order_by(unit_grid.c.code)
    ).all()
    return np.array([row[0] for row in rows], dtype=object), shapely.from_wkb([bytes(row[1]) for row in rows])


def retired_codes(tx: Connection, today: date) -> set[str]:
    """Codes that were ended; none of them may come back."""
    return set(tx.execute(select(unit_grid.c.code).where(~validity.in_force(unit_grid, today))).scalars())


def village_lands(tx: Connection, town_code: str, today: date) -> dict[str, Any]:
    """{village code: its polygon in EPSG:4490, None where no boundary is known} of a town's valid villages."""
    rows = tx.execute(
        select(division.c.code, func.ST_AsBinary(division.c.geom))
        .where(division.c.level == "village", division.c.code.startswith(town_code), validity.in_force(division, today))
        .order_by(division.c.code)
    )
    return {code: None if land is None else shapely.from_wkb(bytes(land)) for code, land in rows}


def hold(tx: Connection) -> None:
    """Let nobody else change or publish grids until the transaction ends."""
    tx.execute(select(town.c.code).with_for_update())


def land(tx: Connection, grids: GridSet, today: date) -> Landed:
    """Make ``grids`` the grids of every village they name: new codes open, changed ones move, absent ones end today.

    Grids without a duty grid are grouped into new ones of neighbours; what became of ended grids is put on record by
    their land; components are located anew where the change reaches them; ``town.areas_version`` rises when anything
    changed. Raises ``GridsScheduled`` while a published plan waits for its day: it rests on the grids as they are.
    """
    hold(tx)
    waiting = grid_plan.c.taken_at.is_(None) & grid_plan.c.withdrawn_at.is_(None)
    if day := tx.scalar(select(grid_plan.c.valid_from).where(waiting)):
        raise errors.GridsScheduled(valid_from=day.isoformat())
    villages = np.unique(grids.villages.astype(str)).tolist()
    tx.execute(text("drop table if exists unit_grid_in"))
    tx.execute(text("create temporary table unit_grid_in (like unit_grid including defaults) on commit drop"))
    columns = ("code", "village_code", "area_class", "land_use", "area_m2", "valid_from", "geom")
    shapes = shapely.to_wkb(shapely.set_srid(grids.polygons, SRID), hex=True, include_srid=True)
    copy_in(
        tx,
        "unit_grid_in",
        columns,
        zip(
            grids.codes.tolist(),
            grids.villages.tolist(),
            grids.area_classes.tolist(),
            grids.land_uses.tolist(),
            area_m2(grids.polygons).tolist(),
            [today] * len(grids.codes),
            shapes.tolist(),
            strict=True,
        ),
    )
    ended = _end(tx, grids, villages, today)
    names = ", ".join(columns)
    compared = "village_code, area_class, land_use, geom"
    old, new = (", ".join(f"{t}.{c}" for c in compared.split(", ")) for t in ("unit_grid", "excluded"))
    written = tx.execute(
        text(
            f"with landed as (insert into unit_grid ({names}) select {names} from unit_grid_in"
            f" on conflict (code) do update set ({compared}, area_m2) = ({new}, excluded.area_m2)"
            f" where ({old}) is distinct from ({new}) returning xmax = 0 as fresh)"
            " select count(*) filter (where fresh) as new, count(*) filter (where not fresh) as updated from landed"
        )
    ).one()
    tx.execute(text("drop table unit_grid_in"))
    regrouped = _group(tx, grids, today)
    changed = bool(written.new or written.updated or ended or regrouped)
    if changed:
        redraw_duty_grids(tx, villages, today)
        tx.execute(update(town).values(areas_version=town.c.areas_version + 1))
    relocated = relocate_components(tx, today) if changed else 0
    unchanged = len(grids.codes) - written.new - written.updated
    return Landed(written.new, written.updated, unchanged, len(ended), relocated)


def _end(tx: Connection, grids: GridSet, villages: list[str], today: date) -> list[str]:
    """End the villages' grids that are not in the temporary table; what became of them goes on record."""
    rows = tx.execute(
        update(unit_grid)
        .where(
            unit_grid.c.village_code == func.any(villages),
            validity.in_force(unit_grid, today),
            unit_grid.c.code.notin_(select(literal_column("code")).select_from(text("unit_grid_in"))),
        )
        .values(valid_to=today)
        .returning(unit_grid.c.code, func.ST_AsBinary(unit_grid.c.geom))
    ).all()
    ended = {code: shapely.from_wkb(bytes(shape)) for code, shape in rows}
    if ended:
        # A grid that kept its code may have taken an ended one's land too.
        now = dict(zip(grids.codes.tolist(), grids.polygons, strict=True))
        lineage.record(tx, lineage.descents(ended, now), today)
        tx.execute(delete(duty_grid_member).where(duty_grid_member.c.unit_grid_code == func.any(list(ended))))
    return list(ended)


def duty_sequences(tx: Connection) -> dict[str, int]:
    """The highest number of a duty grid ever given in each village: codes go on after it."""
    highest: dict[str, int] = {}
    for code in tx.execute(select(duty_grid.c.code)).scalars():
        village, _, number = code.partition("D")
        highest[village] = max(highest.get(village, 0), int(number) if number.isdigit() else 0)
    return highest


def _group(tx: Connection, grids: GridSet, today: date) -> int:
    """Duty grids of the grids: those given, and new ones of neighbours for grids that have none. How many moved."""
    rows = tx.execute(select(duty_grid_member.c.unit_grid_code, duty_grid_member.c.duty_grid_code))
    have = {row.unit_grid_code: row.duty_grid_code for row in rows}
    wanted = np.where(grids.duty_codes == "", [have.get(code, "") for code in grids.codes], grids.duty_codes)
    highest = duty_sequences(tx)
    points = shapely.get_coordinates(shapely.point_on_surface(grids.polygons))
    near = adjacent(grids.polygons)
    for village in np.unique(grids.villages[wanted == ""].astype(str)).tolist():
        loose = np.flatnonzero((grids.villages == village) & (wanted == "")).tolist()
        inside = set(loose)
        linked = [[j for j in near[i] if j in inside] if i in inside else [] for i in range(len(near))]
        for part in _pieces(loose, linked):
            for members in sorted(group_cells(part, points, linked), key=min):
                highest[village] = highest.get(village, 0) + 1
                wanted[members] = f"{village}D{highest[village]:02d}"
    moved = [(unit, duty) for unit, duty in zip(grids.codes, wanted, strict=True) if have.get(unit) != duty]
    if not moved:
        return 0
    fresh = dict(zip(wanted.tolist(), grids.villages.tolist(), strict=True))
    empty = from_shape(shapely.MultiPolygon(), srid=SRID)
    tx.execute(
        insert(duty_grid)
        .values(
            [
                {"code": code, "name": code, "village_code": village, "valid_from": today, "geom": empty}
                for code, village in sorted(fresh.items())
            ]
        )
        .on_conflict_do_nothing()
    )
    member = insert(duty_grid_member).values([{"unit_grid_code": unit, "duty_grid_code": duty} for unit, duty in moved])
    tx.execute(
        member.on_conflict_do_update(
            index_elements=["unit_grid_code"], set_={"duty_grid_code": member.excluded.duty_grid_code}
        )
    )
    return len(moved)


def _pieces(members: list[int], near: list[list[int]]) -> list[list[int]]:
    """Connected pieces, so that a duty grid is one area."""
    left, found = set(members), []
    while left:
        piece, edge = [], [min(left)]
        left.discard(edge[0])
        while edge:
            here = edge.pop()
            piece.append(here)
            fresh = [j for j in near[here] if j in left]
            left.difference_update(fresh)
            edge.extend(fresh)
        found.append(sorted(piece))
    return found


def redraw_duty_grids(tx: Connection, villages: Sequence[str], today: date) -> None:
    """Duty grids follow their members in force on the day; one without members ends."""
    union = (
        select(func.ST_Multi(func.ST_Union(unit_grid.c.geom)))
        .join(duty_grid_member, duty_grid_member.c.unit_grid_code == unit_grid.c.code)
        .where(duty_grid_member.c.duty_grid_code == duty_grid.c.code, validity.in_force(unit_grid, today))
        .correlate(duty_grid)
        .scalar_subquery()
    )
    populated = (
        select(duty_grid_member.c.duty_grid_code)
        .join(unit_grid, unit_grid.c.code == duty_grid_member.c.unit_grid_code)
        .where(validity.in_force(unit_grid, today))
    )
    here = duty_grid.c.village_code == func.any(list(villages))
    tx.execute(update(duty_grid).where(here, duty_grid.c.code.in_(populated)).values(geom=union))
    tx.execute(
        update(duty_grid)
        .where(here, duty_grid.c.code.notin_(populated), validity.in_force(duty_grid, today))
        .values(valid_to=today)
    )


def relocate_components(tx: Connection, today: date, among: Sequence[str] | None = None) -> int:
    """Give components whose grid ended or moved the valid grid that covers them now; the lowest code on a border.

    ``among``: only those of these grids; all by default.
    """
    covering = (
        select(unit_grid.c.code)
        .where(
            validity.in_force(unit_grid, today),
            func.ST_Covers(
                unit_grid.c.geom, func.ST_SetSRID(func.ST_MakePoint(component.c.lon, component.c.lat), SRID)
            ),
        )
        .order_by(unit_grid.c.code)
        .limit(1)
        .correlate(component)
        .scalar_subquery()
    )
    looked_at = select(component.c.code, covering.label("now"))
    if among is not None:
        looked_at = looked_at.where(component.c.unit_grid_code.in_(among))
    located = looked_at.subquery()
    moved = (
        update(component)
        .where(component.c.code == located.c.code, located.c.now != component.c.unit_grid_code)
        .values(unit_grid_code=located.c.now, village_code=func.left(located.c.now, 12))
    )
    return int(tx.execute(moved).rowcount)
