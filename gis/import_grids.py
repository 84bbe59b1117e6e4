"""Unit grids from a file: codes and topology checked as one set, landed whole or not at all. Knows no file format."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import shapely

from gis import errors, grids
from gis.db import Connection
from gis.import_checks import Places, Problems, Texts, places, require_columns, texts
from gis.import_ground import ground
from gis.import_mapping import Mapping
from gis.import_readers import Source


@dataclass(frozen=True)
class Checked:
    """A file of grids after its checks."""

    source: Source
    mapping: Mapping
    problems: Problems
    grids: grids.GridSet


def check(tx: Connection, source: Source, mapping: Mapping, today: date) -> Checked:
    """Check codes, shapes and topology of the set; writes nothing.

    A grid set is checked against the village boundaries that are known, and against the grids of other villages.
    Raises ``ImportRefused`` when the whole file lies elsewhere, ``MappingBad`` when columns are missing.
    """
    grids.hold(tx)  # what is checked against must still be so when it lands
    require_columns(source, mapping)
    town = ground(tx)
    problems = Problems(source, np.full(len(source), "", dtype=object))
    codes = texts(source, mapping, "code", problems)
    problems.name_rows(codes)
    spots = places(source, mapping, town.bounds, problems)
    villages = texts(source, mapping, "village_code", problems)
    villages = np.where(villages == "", [str(code)[:12] for code in codes], villages)
    shapes = _polygons(spots, problems)
    _check_codes(tx, town.code, codes, villages, problems, today, source.rows)
    classes = texts(source, mapping, "area_class", problems, "B")
    odd = ~np.isin(classes.astype(str), ("A", "B", "C")) & ~problems.bad
    problems.add(odd, errors.ValueUnknown, classes, "区域类别应为 A、B 或 C", "area class must be A, B or C")
    found = grids.GridSet(
        codes=codes,
        villages=villages,
        area_classes=classes,
        land_uses=texts(source, mapping, "land_use", problems),
        duty_codes=texts(source, mapping, "duty_grid_code", problems),
        polygons=shapes,
    )
    _check_topology(tx, town.code, found, problems, today)
    return Checked(source, mapping, problems, found)


def _polygons(spots: Places, problems: Problems) -> Texts:
    """One polygon per row; a multipolygon of one part is that part."""
    shapes = spots.shapes.copy()
    single = (shapely.get_type_id(shapes) == 6) & (shapely.get_num_geometries(shapes) == 1)
    shapes[single] = shapely.get_geometry(shapes[single], 0)
    other = (shapely.get_type_id(shapes) != 3) & ~problems.bad
    problems.add(other, errors.BadGeometry, "", "网格应为一个闭合多边形", "a grid is one closed polygon")
    return shapes


def _check_codes(
    tx: Connection, town_code: str, codes: Texts, villages: Texts, problems: Problems, today: date, numbers: Texts
) -> None:
    known = grids.village_lands(tx, town_code, today)
    retired = grids.retired_codes(tx, today)
    zh, en = np.full(len(codes), "", dtype=object), np.full(len(codes), "", dtype=object)
    for row, (code, village) in enumerate(zip(codes.tolist(), villages.tolist(), strict=True)):
        fault = grids.code_fault(code, village, town_code)
        if fault is None and village not in known:
            fault = f"没有村居 {village}", f"there is no village {village}"
        if fault is None and code in retired:
            fault = "已停用的编码不得再用", "the code was retired and is never used again"
        zh[row], en[row] = fault or ("", "")
    problems.add(zh != "", errors.GridCodeBad, codes, zh, en)
    _, first, at = np.unique(codes.astype(str), return_index=True, return_inverse=True)
    twin = (first[at] != np.arange(len(codes))) & (codes != "")
    rows = numbers[first[at]].astype(str)
    same_zh, same_en = np.char.add("与文件第 ", np.char.add(rows, " 行相同")), np.char.add("same as row ", rows)
    problems.add(twin, errors.GridDuplicate, codes, same_zh, same_en)


def _check_topology(tx: Connection, town_code: str, found: grids.GridSet, problems: Problems, today: date) -> None:
    """Overlaps inside the set and with the other villages' grids, land left open, land of other villages taken."""
    sound = np.flatnonzero(~problems.bad)
    if not sound.size:
        return
    polygons, codes, villages = found.polygons[sound], found.codes[sound], found.villages[sound]
    named = np.unique(villages.astype(str)).tolist()
    other_codes, others = grids.in_force(tx, named, today, inside=False)
    both, all_codes = np.concatenate([polygons, others]), np.concatenate([codes, other_codes])
    for pair in grids.overlaps(both):
        for mine, other in ((pair.first, pair.second), (pair.second, pair.first)):
            if mine < len(sound):
                facts = f"{all_codes[other]}，{pair.m2:.1f} m²", f"{all_codes[other]}, {pair.m2:.1f} m²"
                problems.add_row(int(sound[mine]), errors.GridOverlap, str(codes[mine]), *facts)
    lands = {code: land for code, land in grids.village_lands(tx, town_code, today).items() if code in named}
    beyond = grids.outside(polygons, villages, {code: land for code, land in lands.items() if land is not None})
    for at in np.flatnonzero(beyond > 0).tolist():
        facts = f"越界 {beyond[at]:.1f} m²", f"{beyond[at]:.1f} m² outside"
        problems.add_row(int(sound[at]), errors.GridOutside, str(codes[at]), *facts)
    if problems.bad.any():  # a refused grid is a gap of its own; naming it again would hide the cause
        return
    for gap in grids.gaps(polygons, villages, lands):
        nearest = int(np.argmin(shapely.distance(polygons, shapely.points(gap.lon, gap.lat))))
        place = f"{gap.lon:.6f}, {gap.lat:.6f}"
        facts = f"{gap.village} 有 {gap.m2:.1f} m² 未覆盖", f"{gap.m2:.1f} m² of {gap.village} are not covered"
        problems.add_row(int(sound[nearest]), errors.GridGap, place, *facts)


def land(tx: Connection, checked: Checked, today: date) -> grids.Landed:
    """Write the whole set; it must be without refused rows."""
    return grids.land(tx, checked.grids, today)
