"""A component census from a file into the register: every row checked, then landed or refused. Knows no file format."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import shapely

from gis import components, errors, geometry
from gis.areas import areas
from gis.db import Connection
from gis.import_checks import (
    Flags,
    Places,
    Problems,
    Texts,
    apply_rule,
    column,
    dates,
    declared_crs,
    in_order,
    pair_texts,
    places,
    raw_xy,
    require_columns,
    texts,
    used_columns,
)
from gis.import_ground import Ground, Located, ground, locate
from gis.import_mapping import Mapping
from gis.import_readers import Source
from gis.tables import SRID

_SHIFT_SAMPLE, _SHIFT_LEAST = 5000, 20
_GRID = "unit_grid_code"
UNITS = ("competent_unit", "owner_unit", "maintenance_unit")


@dataclass(frozen=True)
class Checked:
    """A census after its checks: one entry per row of the file, good or refused."""

    source: Source
    mapping: Mapping
    problems: Problems
    identifiers: Texts
    codes: Texts
    catalogues: Texts
    categories: Texts
    fields: dict[str, Texts]
    places: Places
    located: Located


def check(tx: Connection, source: Source, mapping: Mapping, today: date, *, renumber: Flags | None = None) -> Checked:
    """Check every row against the mapping, the town, the catalogues and the register; writes nothing.

    ``renumber`` is given for a draft, which is compared with all of the register later: the rows whose codes count for
    nothing, since they get new ones. Raises ``ImportRefused`` when the whole file lies elsewhere, ``MappingBad`` when
    columns are missing.
    """
    require_columns(source, mapping)
    town = ground(tx)
    assert mapping.identifier is not None
    assert mapping.category is not None
    identifiers = column(source, mapping.identifier.columns, mapping.na)
    problems = Problems(source, identifiers)
    spots = places(source, mapping, town.bounds, problems)
    kept = np.ones(len(source), dtype=bool) if renumber is None else ~renumber
    _check_identifiers(source, identifiers, kept, problems)
    catalogues, categories, titles = _categories(source, mapping, town, identifiers, problems)
    if mapping.coded:
        _check_codes(np.where(kept, identifiers, ""), town.district, categories, problems)
    fields = _fields(source, mapping, town, titles, problems, today)
    located = locate(tx, spots.lon, spots.lat, problems)
    _check_declared_grid(fields["unit_grid_code"], located, problems)
    _refuse_shifted(tx, source, mapping, spots, fields["unit_grid_code"], located)
    if mapping.declared_point:
        _check_declared_point(source, mapping, spots, problems)
    if renumber is None:
        codes = _match_register(tx, mapping, identifiers, categories, problems)
    else:
        codes = np.where(kept & ~problems.bad & mapping.coded, identifiers, "").astype(object)
    return Checked(source, mapping, problems, identifiers, codes, catalogues, categories, fields, spots, located)


def land(
    tx: Connection, checked: Checked, survey_id: UUID, watched: Callable[[Iterable[Any]], Iterable[Any]]
) -> components.Landed:
    """Write the good rows of a checked census; ``watched`` sees each row go by.

    Everything is prepared before the first write: from then on the feeds of all cases wait for this transaction.
    """
    good = np.flatnonzero(~checked.problems.bad)
    codes = checked.codes.copy()
    fresh = good[codes[good] == ""]
    codes[fresh] = components.assign_codes(tx, ground(tx).district, checked.categories[fresh])
    used = np.unique(checked.catalogues[good].astype(str))
    crs = declared_crs(checked.source, checked.mapping)
    rows = _rows(checked, codes, good, survey_id)
    components.record_survey(tx, survey_id, checked.mapping.source, checked.source.file, crs, ", ".join(used.tolist()))
    return components.register(tx, watched(rows))


def _check_identifiers(source: Source, identifiers: Texts, kept: Flags, problems: Problems) -> None:
    problems.add((identifiers == "") & kept, errors.FieldMissing, "", "标识", "identifier", "identifier")
    at_kept = np.flatnonzero(kept)
    _, first, at = np.unique(identifiers[at_kept].astype(str), return_index=True, return_inverse=True)
    original = np.arange(len(identifiers))
    original[at_kept] = at_kept[first[at]]
    twin = (original != np.arange(len(identifiers))) & (identifiers != "")
    if twin.any():
        rows = source.rows[original].astype(str)
        zh = np.char.add(np.char.add("与文件第 ", rows), " 行相同")
        problems.add(twin, errors.ComponentDuplicate, identifiers, zh, np.char.add("same as row ", rows))


def _categories(
    source: Source, mapping: Mapping, town: Ground, identifiers: Texts, problems: Problems
) -> tuple[Texts, Texts, Texts]:
    rule = mapping.category
    assert rule is not None
    if rule.code.constant is None and not rule.code.columns:
        raw = components.category_digits(identifiers)
    else:
        raw = apply_rule(source, rule.code, mapping.na, problems, errors.CategoryUnknown)
        problems.add(raw == "", errors.FieldMissing, "", "类别", "category", "category")
    raw = np.where(raw == None, "", raw)  # noqa: E711 — element-wise
    names = column(source, rule.name.columns, mapping.na) if rule.name else None
    return town.of_category("component", rule.catalogue, raw, names, problems)


def _check_codes(identifiers: Texts, district: str, categories: Texts, problems: Problems) -> None:
    broken = components.code_problems(identifiers, district, categories)
    there = identifiers != ""
    problems.add(
        broken["digits"] & there, errors.ComponentCodeBad, identifiers, "应为 16 位数字", "16 digits are needed"
    )
    problems.add(
        broken["district"] & there,
        errors.ComponentCodeBad,
        identifiers,
        f"前六位应为 {district}",
        f"must begin {district}",
    )
    problems.add(
        broken["category"] & there,
        errors.CategoryMismatch,
        identifiers,
        "第 7–10 位与类别不符",
        "digits 7–10 are not it",
    )


def _fields(
    source: Source, mapping: Mapping, town: Ground, titles: Texts, problems: Problems, today: date
) -> dict[str, Texts]:
    answer: dict[str, Any] = {
        "name": texts(source, mapping, "name", problems),
        "state": texts(source, mapping, "state", problems, "intact"),
        "accuracy_class": texts(source, mapping, "accuracy_class", problems, "A"),
        "unit_grid_code": texts(source, mapping, "unit_grid_code", problems),
        "surveyed_on": dates(source, mapping, "surveyed_on", problems, today),
        "changed_on": dates(source, mapping, "changed_on", problems, today),
    }
    answer["name"] = np.where((answer["name"] == "") | (answer["name"] == None), titles, answer["name"])  # noqa: E711
    for key, allowed in (
        ("state", ("intact", "damaged", "lost", "abandoned", "removed")),
        ("accuracy_class", ("A", "B", "C")),
    ):
        given = answer[key] != None  # noqa: E711 — element-wise; None was refused as unmapped
        odd = given & ~np.isin(answer[key].astype(str), allowed)
        problems.add(odd, errors.ValueUnknown, answer[key], key, key, key)
    for key in UNITS:
        rule = mapping.fields.get(key)
        units = (
            apply_rule(source, rule, mapping.na, problems, errors.DepartmentUnknown)
            if rule
            else np.full(len(source), "", dtype=object)
        )
        named = (units != "") & (units != None)  # noqa: E711 — element-wise
        columns = rule.columns if rule and rule.columns else (key,)
        nobody = named & ~np.isin(units.astype(str), list(town.departments))
        problems.add(nobody, errors.DepartmentUnknown, units, "、".join(columns), ", ".join(columns), key)
        answer[key] = units
    late = ~in_order(answer["surveyed_on"], answer["changed_on"])
    if late.any():
        both = np.array(
            [
                f"{a} > {b}"
                for a, b in zip(
                    *(answer[k].astype("datetime64[D]") for k in ("surveyed_on", "changed_on")), strict=True
                )
            ]
        )
        note = "变更日期早于初始日期", "changed before it was first surveyed"
        problems.add(late, errors.DateOrder, both, *note, "changed_on")
    return answer


def _check_declared_grid(declared: Texts, located: Located, problems: Problems) -> None:
    given = (declared != "") & (declared != None) & (located.unit_grid != "")  # noqa: E711 — element-wise
    if not given.any():
        return
    shaped = np.char.isdigit(declared.astype(str)) & (np.char.str_len(declared.astype(str)) == 15)
    problems.add(
        given & ~shaped, errors.GridUnknown, declared, "应为 15 位网格编码", "a grid code has 15 digits", _GRID
    )
    differs = given & shaped & (declared != located.unit_grid)
    zh = np.char.add("实际位于 ", located.unit_grid.astype(str))
    en = np.char.add("it lies in ", located.unit_grid.astype(str))
    problems.add(differs, errors.GridMismatch, declared, zh, en, _GRID)


def _refuse_shifted(
    tx: Connection, source: Source, mapping: Mapping, spots: Places, declared: Texts, located: Located
) -> None:
    """Refuse a whole file whose grids only fit in another coordinate system: GCJ-02 and BD-09 are off by 500–1,200 m,
    which no check against the town's border sees. Raises ``ImportRefused``."""
    given = np.flatnonzero((declared != "") & (located.unit_grid != ""))[:_SHIFT_SAMPLE]
    if len(given) < _SHIFT_LEAST or np.mean(declared[given] == located.unit_grid[given]) > 0.5:
        return
    crs, index = declared_crs(source, mapping), areas(tx)
    for other in geometry.SUPPORTED:
        lon, lat = geometry.to_4490(spots.x[given], spots.y[given], other)
        at = index.locate(lon, lat)
        share = float(np.mean((at >= 0) & (index.codes[at] == declared[given])))
        if other != crs and share > 0.8:
            raise errors.ImportRefused(
                zh=f"导入被整体拒绝：声明坐标系 {crs}，但 {share:.0%} 的记录按 {other} 才落在所填网格内",
                en=f"The import was refused as a whole: declared {crs}, but {share:.0%} of the rows lie in the grid"
                f" they name only as {other}",
                reason="wrong_crs",
                file=source.file,
                declared=crs,
                fits=[other],
            )


def _check_declared_point(source: Source, mapping: Mapping, spots: Places, problems: Problems) -> None:
    assert mapping.declared_point is not None
    x, y = raw_xy(source, mapping.declared_point)
    given = np.isfinite(x) & np.isfinite(y) & np.isfinite(spots.lon) & np.isfinite(spots.lat)
    lon, lat = geometry.to_4490(x, y, declared_crs(source, mapping))
    apart = np.where(given, geometry.distance_m(lon, lat, spots.lon, spots.lat), 0.0)
    far = given & ~(apart <= mapping.declared_tolerance_m)
    if far.any():
        metres = np.array([f"{d:.1f} m" for d in apart.tolist()], dtype=object)
        problems.add(far, errors.PointMismatch, pair_texts(x, y), metres, metres)


def _match_register(
    tx: Connection, mapping: Mapping, identifiers: Texts, categories: Texts, problems: Problems
) -> Texts:
    """The register's code of every row, '' for components it does not hold yet."""
    if mapping.coded:
        owners = components.known(tx, identifiers[~problems.bad].tolist())
        foreign = np.array([owners.get(code, mapping.source) != mapping.source for code in identifiers], dtype=bool)
        whose = np.array([owners.get(code, "") for code in identifiers], dtype=object)
        problems.add(
            foreign,
            errors.ComponentDuplicate,
            identifiers,
            np.char.add("已由 ", np.char.add(whose.astype(str), " 登记")),
            np.char.add("already registered by ", whose.astype(str)),
        )
        return identifiers
    have = components.of_source(tx, mapping.source)
    codes = np.array([have.get(identifier, "") for identifier in identifiers], dtype=object)
    moved = (codes != "") & (components.category_digits(codes) != categories) & ~problems.bad
    problems.add(moved, errors.CategoryMismatch, codes, "已登记为另一类别", "it is registered under another category")
    return codes


def _rows(checked: Checked, codes: Texts, good: npt.NDArray[np.intp], survey_id: UUID) -> Iterator[tuple[Any, ...]]:
    """The good rows in the order of ``components.COLUMNS``."""
    lon, lat = checked.places.lon[good], checked.places.lat[good]
    shapes = shapely.to_wkb(shapely.set_srid(checked.places.shapes[good], SRID), hex=True, include_srid=True)
    fields = checked.fields
    days = [fields[key][good].astype("datetime64[D]").astype(object).tolist() for key in ("surveyed_on", "changed_on")]
    lists = [
        codes[good].tolist(),
        checked.catalogues[good].tolist(),
        checked.categories[good].tolist(),
        fields["name"][good].tolist(),
        fields["state"][good].tolist(),
        checked.located.unit_grid[good].tolist(),
        checked.located.village[good].tolist(),
        *(fields[key][good].tolist() for key in UNITS),
        fields["accuracy_class"][good].tolist(),
        [survey_id] * len(good),
        *days,
        checked.identifiers[good].tolist(),
        lon.tolist(),
        lat.tolist(),
        geometry.morton(lon, lat).tolist(),
        property_texts(checked, good),
        shapes.tolist(),
    ]
    return zip(*lists, strict=True)


def property_texts(checked: Checked, good: npt.NDArray[np.intp]) -> list[str]:
    """The columns that are kept as they were, as JSON; empty values are left out."""
    mapping, frame = checked.mapping, checked.source.frame
    used = used_columns(mapping)
    kept = [name for name in frame if name not in used] if mapping.properties is None else list(mapping.properties)
    if not kept:
        return ["{}"] * len(good)
    values = [column(checked.source, (name,), mapping.na)[good].tolist() for name in kept]
    encode = json.JSONEncoder(ensure_ascii=False).encode
    return [
        encode({name: value for name, value in zip(kept, row, strict=True) if value})
        for row in zip(*values, strict=True)
    ]
