"""Checks over a whole file at once: columns, dates, places, and which rows are refused why. Pure: knows no table."""

import csv
from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import shapely

from gis import errors, geometry
from gis.import_mapping import ANY_OTHER, FieldRule, GeometryRule, Mapping
from gis.import_readers import Source
from gis.measuring import ELLIPSOID

Texts = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Bounds = geometry.Bounds

ISO = ("%Y-%m-%d", "%Y/%m/%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y%m%d")
_EARLIEST = np.datetime64("1850-01-01", "s")
_CENTURY_IN_MONTHS = 1200


@dataclass(frozen=True)
class RowError:
    """One thing wrong with one row, in the words of the problem it would be on its own."""

    row: int
    identifier: str
    code: str
    zh: str
    en: str
    value: str
    field: str = ""


class Problems:
    """What is wrong with which rows of a file. A row counts once, under the first problem found in it."""

    def __init__(self, source: Source, identifiers: Texts) -> None:
        self._source = source
        self._identifiers = identifiers
        self._first: npt.NDArray[Any] = np.full(len(source), None, dtype=object)
        self._found: list[tuple[int, type[errors.Problem], str, str, str, str]] = []
        self.bad: Flags = np.zeros(len(source), dtype=bool)

    def add(
        self,
        where: Flags,
        problem: type[errors.Problem],
        values: Texts | Sequence[object] | str = "",
        zh: Texts | str = "",
        en: Texts | str = "",
        field: str = "",
    ) -> None:
        """Refuse the rows ``where`` holds. ``values``, ``zh`` and ``en`` are one text or one per row of the file;
        ``field`` is the field of the mapping that is wrong, where it is one."""
        at = np.flatnonzero(where)
        for row in at.tolist():
            value, note_zh, note_en = (t if isinstance(t, str) else str(t[row]) for t in (values, zh, en))
            self._found.append((row, problem, value, note_zh, note_en, field))
        self._first[at[self._first[at] == None]] = problem.code  # noqa: E711 — element-wise
        self.bad[at] = True

    def add_row(self, row: int, problem: type[errors.Problem], value: str, zh: str, en: str) -> None:
        """Refuse one row of the file, by its position."""
        self._found.append((row, problem, value, zh, en, ""))
        if not self.bad[row]:
            self._first[row] = problem.code
            self.bad[row] = True

    def name_rows(self, identifiers: Texts) -> None:
        """Say what the rows are called in the error file."""
        self._identifiers = identifiers

    def counts(self) -> dict[str, int]:
        """How many rows were refused under which first problem."""
        codes, numbers = np.unique(self._first[self.bad].astype(str), return_counts=True)
        return {str(code): int(number) for code, number in zip(codes, numbers, strict=True)}

    def errors(self) -> list[RowError]:
        """Every problem of every refused row, in the order of the file."""
        found = sorted(self._found, key=lambda item: item[0])
        return [
            RowError(
                row=int(self._source.rows[row]),
                identifier=str(self._identifiers[row]),
                code=problem.code,
                zh=f"{problem.zh}：{zh}" if zh else problem.zh,
                en=f"{problem.en}: {en}" if en else problem.en,
                value=value[:500],
                field=field,
            )
            for row, problem, value, zh, en, field in found
        ]


def write_errors(path: Path, found: Sequence[RowError]) -> None:
    """The error file: CSV that Excel opens as UTF-8, one line per problem."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "identifier", "code", "zh", "en", "value"])
        for item in found:
            texts = (item.identifier, item.code, item.zh, item.en, item.value)
            writer.writerow([item.row, *map(no_formula, texts)])


def no_formula(text: str) -> str:
    """A spreadsheet must not run what a stranger's file says."""
    formula = text[:1] in ("=", "+", "@", "\t", "\r") or (text[:1] == "-" and not text[1:2].isdigit())
    return f"'{text}" if formula else text


def require_columns(source: Source, mapping: Mapping, extra: Sequence[str] = ()) -> None:
    """Every column the mapping names must be in the file. Raises ``MappingBad`` naming the key and the column."""
    have = set(source.frame.columns)
    rules: list[tuple[str, tuple[str, ...]]] = [(f"fields.{key}", rule.columns) for key, rule in mapping.fields.items()]
    if mapping.identifier:
        rules.append(("identifier.column", mapping.identifier.columns))
    if mapping.category:
        rules.append(("category.column", mapping.category.code.columns))
        rules.append(("category.name_column", mapping.category.name.columns if mapping.category.name else ()))
    for key, place in (("geometry", mapping.geometry), ("declared_point", mapping.declared_point)):
        rules += [(f"{key}.{part}", getattr(place, part)) for part in ("x", "y", "wkt") if place]
    rules += [("properties", (column,)) for column in mapping.properties or ()]
    rules += [("description", (column,)) for column in extra]
    for key, columns in rules:
        # A field with several candidate columns is how one mapping serves several spellings; an optional one may miss.
        if columns and not have & set(columns) and not (len(columns) > 1 and not _needed(mapping, key)):
            raise errors.MappingBad(
                zh=f"映射文件有误：{key}：文件没有列 {'、'.join(columns)}",
                en=f"The mapping file is not valid: {key}: the file has no column {' or '.join(columns)}",
                key=key,
                columns=list(columns),
                file=source.file,
                has=sorted(have),
            )
    if mapping.geometry.own and source.geometry is None:
        raise errors.MappingBad(
            zh="映射文件有误：geometry：文件没有图形",
            en="The mapping file is not valid: geometry: the file holds no shapes",
            key="geometry",
            file=source.file,
        )


def _needed(mapping: Mapping, key: str) -> bool:
    if not key.startswith("fields."):
        return key != "category.name_column"
    rule = mapping.fields[key.removeprefix("fields.")]
    return rule.required and rule.default is None


def column(source: Source, columns: tuple[str, ...], na: frozenset[str]) -> Texts:
    """The first of ``columns`` the file has, '' where missing; all '' when it has none."""
    for name in columns:
        if name in source.frame:
            values: Texts = source.frame[name].to_numpy(dtype=object)
            if na > {""}:
                values = np.where(np.isin(values.astype(str), list(na)), "", values)
            return values
    return np.full(len(source), "", dtype=object)


def used_columns(mapping: Mapping, extra: Sequence[str] = ()) -> set[str]:
    """Columns that already have a use."""
    used = {name for rule in mapping.fields.values() for name in rule.columns} | set(extra)
    if mapping.identifier:
        used |= set(mapping.identifier.columns)
    for place in (mapping.geometry, mapping.declared_point):
        if place:
            used |= {*place.x, *place.y, *place.wkt}
    return used


def texts(source: Source, mapping: Mapping, key: str, problems: Problems, otherwise: str = "") -> Texts:
    """A text field through its value map. Values the map does not name are refused (``value_unknown``)."""
    rule = mapping.fields.get(key)
    if rule is None:
        return np.full(len(source), otherwise, dtype=object)
    return apply_rule(source, rule, mapping.na, problems, errors.ValueUnknown, otherwise)


def apply_rule(
    source: Source,
    rule: FieldRule,
    na: frozenset[str],
    problems: Problems,
    unknown: type[errors.Problem],
    otherwise: str = "",
) -> Texts:
    """One rule over the file: constant, or column → value map → default. Work is per distinct value."""
    if rule.constant is not None:
        return np.full(len(source), rule.constant, dtype=object)
    raw = column(source, rule.columns, na)
    default = rule.default if rule.default is not None else otherwise
    distinct, at = np.unique(raw.astype(str), return_inverse=True)
    meant = np.empty(len(distinct), dtype=object)
    odd = np.zeros(len(distinct), dtype=bool)
    for i, value in enumerate(distinct.tolist()):
        if value == "":
            meant[i] = default
        elif not rule.values:
            meant[i] = value
        else:
            meant[i] = rule.values.get(value, rule.values.get(ANY_OTHER))
            odd[i] = meant[i] is None
    if odd.any():
        label = "、".join(rule.columns)
        problems.add(
            odd[at], unknown, raw, f"{label} 的取值没有映射", f"the mapping has no value for this {label}", rule.key
        )
    if rule.required:
        problems.add(raw == "", errors.FieldMissing, "", "、".join(rule.columns), " / ".join(rule.columns), rule.key)
    return meant[at]


def dates(source: Source, mapping: Mapping, key: str, problems: Problems, today: date) -> npt.NDArray[np.datetime64]:
    """A date or local time field as datetime64[s], NaT where missing. Unreadable and future ones are refused.

    Two-digit years are read as the past century when they would lie ahead of ``today``.
    """
    import pandas as pd  # needed by imports alone, which a worker does

    rule = mapping.fields.get(key)
    if rule is None:
        return np.full(len(source), np.datetime64("NaT", "s"))
    raw = (
        np.full(len(source), rule.constant, dtype=object) if rule.constant else column(source, rule.columns, mapping.na)
    )
    distinct, at = np.unique(raw.astype(str), return_inverse=True)
    parsed = np.full(len(distinct), np.datetime64("NaT", "s"))
    ahead = np.datetime64(today, "s") + np.timedelta64(2, "D")  # a day for time zones, a day for midnight
    for form in rule.formats or ISO:
        todo = np.isnat(parsed) & (distinct != "")
        if not todo.any():
            break
        moment = pd.to_datetime(pd.Series(distinct[todo]), format=form, errors="coerce").to_numpy(dtype="datetime64[s]")
        if "%y" in form:
            moment = np.where(moment > ahead, _century_earlier(moment), moment)
        parsed[todo] = moment
    dummy = np.isin(parsed.astype("datetime64[D]"), [np.datetime64(day, "D") for day in rule.missing])
    odd = np.isnat(parsed) & (distinct != "")
    early, late = ~dummy & (parsed < _EARLIEST), ~dummy & (parsed > ahead)
    parsed[dummy | early | late] = np.datetime64("NaT", "s")  # a refused date is in no order with others
    label = "、".join(rule.columns)
    problems.add(odd[at], errors.DateBad, raw, f"{label} 无法识别", f"{label} is in none of the formats", key)
    problems.add(early[at], errors.DateBad, raw, f"{label} 早于 1850 年", f"{label} is before 1850", key)
    problems.add(late[at], errors.DateBad, raw, f"{label} 在未来", f"{label} lies in the future", key)
    if rule.required:
        problems.add(raw == "", errors.FieldMissing, "", label, label, key)
    return parsed[at]


def _century_earlier(moments: npt.NDArray[np.datetime64]) -> npt.NDArray[np.datetime64]:
    months = moments.astype("datetime64[M]")
    moved: npt.NDArray[np.datetime64] = (months - _CENTURY_IN_MONTHS).astype("datetime64[s]")
    moved += moments - months.astype("datetime64[s]")
    return moved


def local_to_utc(moments: npt.NDArray[np.datetime64], zone: str) -> list[datetime | None]:
    """Naive local times as aware ones: the first of an hour that comes twice, None for NaT and hours that were not."""
    import pandas as pd  # needed by imports alone, which a worker does

    series = pd.Series(moments).dt.tz_localize(ZoneInfo(zone), ambiguous=np.ones(len(moments), bool), nonexistent="NaT")
    return [None if pd.isna(moment) else moment.to_pydatetime() for moment in series]


def in_order(earlier: npt.NDArray[np.datetime64], later: npt.NDArray[np.datetime64]) -> Flags:
    """Where ``later`` is not before ``earlier`` or one of them is missing."""
    answer: Flags = np.isnat(earlier) | np.isnat(later) | (later >= earlier)
    return answer


@dataclass(frozen=True)
class Places:
    """The place of every row: representative point and shape in EPSG:4490, and the point as written (x, y)."""

    x: Floats
    y: Floats
    lon: Floats
    lat: Floats
    shapes: npt.NDArray[Any]


def places(source: Source, mapping: Mapping, bounds: Bounds, problems: Problems) -> Places:
    """Every row's place, converted to EPSG:4490. Refuses rows by place; raises ``ImportRefused`` for a whole file
    that lies elsewhere (other town, other coordinate system, swapped axes), naming the suspicion."""
    crs = declared_crs(source, mapping)
    x, y, shapes = _raw_points(source, mapping.geometry, problems)
    refuse_elsewhere(x, y, crs, bounds, source.file)
    lon, lat, verdict = geometry.judge(x, y, crs, bounds)
    shown = pair_texts(x, y)
    for word, problem in geometry.PROBLEM.items():
        problems.add(verdict == word, problem, shown)
    if shapes is None:
        return Places(x, y, lon, lat, shapely.points(lon, lat))
    moved = shapely.transform(shapes, lambda pairs: np.column_stack(geometry.to_4490(pairs[:, 0], pairs[:, 1], crs)))
    coordinates, owner = shapely.get_coordinates(moved, return_index=True)
    torn = np.zeros(len(moved), dtype=bool)
    torn[owner[~np.isfinite(coordinates).all(axis=1)]] = True
    note = f"部分顶点不在 {crs} 的范围内", f"some vertices are beyond what {crs} can hold"
    problems.add(torn & (verdict == geometry.Verdict.FINE), errors.BadGeometry, shown, *note)
    return Places(x, y, lon, lat, moved)


def declared_crs(source: Source, mapping: Mapping) -> str:
    """The coordinate system the mapping declares, or the file's own for ``crs: file``."""
    if mapping.crs != "file":
        return mapping.crs
    if not source.crs:
        raise errors.MappingBad(
            zh="映射文件有误：crs：文件未声明坐标系，请在映射中写明",
            en="The mapping file is not valid: crs: the file declares no coordinate system; name it in the mapping",
            key="crs",
            file=source.file,
        )
    return source.crs


def pair_texts(x: Floats, y: Floats) -> Texts:
    """Coordinate pairs as text, for people."""
    pairs = zip(x.tolist(), y.tolist(), strict=True)
    return np.array(["" if a != a and b != b else f"{a:.8g}, {b:.8g}" for a, b in pairs], dtype=object)


def numbers(values: Texts) -> Floats:
    """Texts as numbers, NaN where they are none."""
    import pandas as pd  # needed by imports alone, which a worker does

    answer: Floats = pd.to_numeric(pd.Series(values, dtype=object), errors="coerce").to_numpy(dtype=np.float64)
    return answer


def raw_xy(source: Source, rule: GeometryRule) -> tuple[Floats, Floats]:
    """Two coordinate columns as numbers."""
    nothing: frozenset[str] = frozenset({""})
    return numbers(column(source, rule.x, nothing)), numbers(column(source, rule.y, nothing))


def _raw_points(
    source: Source, rule: GeometryRule, problems: Problems | None
) -> tuple[Floats, Floats, npt.NDArray[Any] | None]:
    """(x, y, shapes) in the source's system; shapes None when the file has plain coordinate columns."""
    if rule.x:
        return *raw_xy(source, rule), None
    if rule.own:
        shapes = source.geometry
        assert shapes is not None
    else:
        written = column(source, rule.wkt, frozenset({""}))
        shapes = shapely.from_wkt([text or None for text in written.tolist()], on_invalid="ignore")
        if problems:
            problems.add(
                (written != "") & shapely.is_missing(shapes), errors.BadGeometry, written, "不是有效的 WKT", "not WKT"
            )
    shapes = shapely.force_2d(shapes)
    empty = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    broken = ~empty & ~shapely.is_valid(shapes)
    if problems and broken.any():
        reasons = np.full(len(shapes), "", dtype=object)
        reasons[broken] = shapely.is_valid_reason(shapes[broken])
        crossing = np.array(["图形自相交" if "ntersection" in str(reason) else str(reason) for reason in reasons])
        problems.add(broken, errors.BadGeometry, reasons, crossing, reasons)
    usable = ~empty & ~broken
    points = np.full(len(shapes), None, dtype=object)
    points[usable] = shapely.point_on_surface(shapes[usable])
    points[broken] = shapely.centroid(shapely.envelope(shapes[broken]))
    return shapely.get_x(points), shapely.get_y(points), shapes


def refuse_elsewhere(x: Floats, y: Floats, crs: str, bounds: Bounds, file: str) -> None:
    """Refuse a whole file most of which lies outside the town. Raises ``ImportRefused`` with the suspicion."""
    try:
        geometry.check_file(x, y, crs, bounds)
    except (errors.SwappedAxes, errors.WrongCrs, errors.OutsideTown) as problem:
        rows = problem.detail["rows"]
        located = sum(count for word, count in rows.items() if word != "missing")
        outside = located - rows["fine"]
        fits = problem.detail.get("fits", [])
        hint_zh = (
            f"，疑为 {'、'.join(fits)} 坐标" if fits else "，经纬度疑似颠倒" if problem.code == "swapped_axes" else ""
        )
        hint_en = f"; it looks like {' or '.join(fits)}" if fits else "; the axes look swapped" if hint_zh else ""
        told = _away(problem.detail["middle"], crs, bounds)
        if told and not hint_zh:
            place = f"{told['lon']:.5f}, {told['lat']:.5f}"
            hint_zh = f"，数据中部在 {place}，距本镇中心 {told['away_km']:,.0f} 公里"
            hint_en = f"; its middle is at {place}, {told['away_km']:,.0f} km from the middle of the town"
        raise errors.ImportRefused(
            zh=f"导入被整体拒绝：{located:,} 条中有 {outside:,} 条不在本镇范围内（声明坐标系 {crs}）{hint_zh}",
            en=f"The import was refused as a whole: outside the town: {outside:,} of {located:,}"
            f" (declared {crs}){hint_en}",
            reason=problem.code,
            file=file,
            declared=crs,
            outside=outside,
            located=located,
            fits=fits,
            middle=problem.detail["middle"],
            bounds=list(bounds),
            **told,
        ) from problem
    except errors.NullIsland as problem:
        raise errors.ImportRefused(
            zh=f"导入被整体拒绝：{len(x)} 条都没有坐标",
            en=f"The import was refused as a whole: none of {len(x)} rows has coordinates",
            reason=problem.code,
            file=file,
        ) from problem


def _away(middle: Sequence[float], crs: str, bounds: Bounds) -> dict[str, float]:
    """Where the middle of the data lies and how many kilometres from the town's; nothing where it lies nowhere."""
    (lon,), (lat,) = geometry.to_4490(np.array(middle[:1]), np.array(middle[1:]), crs)
    if not np.isfinite([lon, lat]).all():
        return {}
    west, south, east, north = bounds
    _, _, metres = ELLIPSOID.inv(lon, lat, (west + east) / 2, (south + north) / 2)
    return {"lon": float(lon), "lat": float(lat), "away_km": float(metres) / 1000}


def extent(source: Source, mapping: Mapping) -> tuple[Bounds, Floats, Floats]:
    """Where a file's data lies, in EPSG:4490: (bounds, lon, lat) without missing and far-off points.

    Raises ``ImportRefused`` when no row has coordinates.
    """
    require_columns(source, mapping)
    x, y, _ = _raw_points(source, mapping.geometry, None)
    there = np.isfinite(x) & np.isfinite(y) & ((np.abs(x) > 1e-6) | (np.abs(y) > 1e-6))
    lon, lat = geometry.to_4490(x[there], y[there], declared_crs(source, mapping))
    fine = np.isfinite(lon) & np.isfinite(lat)
    lon, lat = lon[fine], lat[fine]
    if not lon.size:
        raise errors.ImportRefused(zh="文件中没有坐标", en="No row of the file has coordinates", file=source.file)
    keep = np.ones(lon.size, dtype=bool)
    for values in (lon, lat):  # one stray row must not stretch the town over half the world
        low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
        reach = 3 * max(high - low, 1e-3)
        keep &= np.abs(values - middle) <= reach
    lon, lat = lon[keep], lat[keep]
    return (float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())), lon, lat


def records(source: Source, rows: npt.NDArray[np.intp]) -> list[dict[str, str]]:
    """The rows as received, for the quarantine: values that are not empty, and the shape as WKT."""
    kept = [
        {str(key): value for key, value in record.items() if value}
        for record in source.frame.iloc[rows].to_dict("records")
    ]
    if source.geometry is not None:
        for record, written in zip(kept, shapely.to_wkt(source.geometry[rows], rounding_precision=9), strict=True):
            record["geometry"] = written or ""
    return kept


def summary(counts: MappingOf[str, int]) -> str:
    """Refusals by code in one line."""
    return ", ".join(f"{code} {number}" for code, number in sorted(counts.items(), key=lambda item: -item[1]))
