"""What is found about the rows of a draft, each with words and, where there is one, a repair to accept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from sqlalchemy import select

from gis import census_diff, census_published, errors, geometry
from gis.areas import areas
from gis.census_suggest import Suggester, Suggestion, suggestion
from gis.db import Connection
from gis.import_checks import Flags, RowError
from gis.import_components import UNITS, Checked
from gis.import_ground import Ground
from gis.tables import department

_CLASS_OF = {0: "A", 1: "B", 2: "C"}
"""Accuracy class a survey of points, lines, areas reaches at least."""
_DRAWN = {"point": 0, "line": 1, "polygon": 2}


@dataclass(frozen=True)
class Finding:
    """One thing found about one row (0: the whole file)."""

    error: RowError
    severity: str
    suggestion: Suggestion | None


def by_code(findings: Sequence[Finding]) -> dict[str, dict[str, Any]]:
    """{code: {severity, rows, suggested}}."""
    answer: dict[str, dict[str, Any]] = {}
    for one in findings:
        entry = answer.setdefault(one.error.code, {"severity": one.severity, "rows": 0, "suggested": 0})
        entry["rows"] += 1
        entry["suggested"] += one.suggestion is not None
    return answer


def untold(checked: Checked, field: str) -> Flags:
    """The rows in which the survey leaves a field empty that it has a column for."""
    rule = checked.mapping.fields.get(field)
    column = next((name for name in rule.columns if name in checked.source.frame), None) if rule else None
    if column is None:
        return np.full(len(checked.source), rule is None or rule.constant is None)
    answer: Flags = checked.source.frame[column].to_numpy() == ""
    return answer


def warning(
    problem: type[errors.Problem],
    row: int,
    identifier: str,
    value: str,
    zh: str,
    en: str,
    suggested: Suggestion | None = None,
    field: str = "",
) -> Finding:
    error = RowError(row, identifier, problem.code, f"{problem.zh}：{zh}", f"{problem.en}: {en}", value, field)
    return Finding(error, "warning", suggested)


def of_rows(tx: Connection, checked: Checked, town: Ground, *, local: bool) -> Iterator[Finding]:
    """What the checks of every import found, with suggestions; then what only a draft asks."""
    departments = {
        row.code: row.name
        for row in tx.execute(select(department.c.code, department.c.name).where(department.c.active))
    }
    index = areas(tx)

    def grid_at(lon: float, lat: float) -> str:
        (at,) = index.locate(np.array([lon]), np.array([lat]))
        return str(index.codes[at]) if at >= 0 else ""

    suggester = Suggester(checked, town.bounds, town.catalogues, departments, town.catalogue, local, grid_at)
    found = checked.problems.errors()
    for error, suggested in zip(found, suggester.every(found), strict=True):
        yield Finding(error, "error", suggested)
    yield from _twins(checked)
    yield from _accuracy(checked, town)
    yield from _no_unit(checked)


def _twins(checked: Checked) -> Iterator[Finding]:
    """Two of a kind nearer than either may be off: the later is probably the earlier."""
    # Lines and areas touch by nature.
    good = np.flatnonzero(~checked.problems.bad & (shapely.get_dimensions(checked.places.shapes) == 0))
    east, north = geometry.to_4548(checked.places.lon[good], checked.places.lat[good])
    kinds = census_published.classes(checked.catalogues[good], checked.categories[good])
    reach = census_diff.reach_m(checked.fields["accuracy_class"][good])
    told: set[int] = set()
    for i, j in census_diff.near_pairs(east, north, kinds, reach):
        first, second = good[i], good[j]
        if int(second) in told:
            continue
        told.add(int(second))
        metres = float(np.hypot(east[i] - east[j], north[i] - north[j]))
        other = int(checked.source.rows[first])
        yield warning(
            errors.ComponentNear,
            int(checked.source.rows[second]),
            str(checked.identifiers[second]),
            f"{metres:.2f}",
            f"距文件第 {other} 行 {metres:.2f} 米",
            f"{metres:.2f} m from row {other}",
            suggestion("exclude"),
        )


def _accuracy(checked: Checked, town: Ground) -> Iterator[Finding]:
    """No accuracy class told, though the survey tells one of others and its mapping does not say what is meant then;
    and shapes that their category is not drawn as."""
    good = ~checked.problems.bad
    dimension = shapely.get_dimensions(checked.places.shapes)
    rule = checked.mapping.fields.get("accuracy_class")
    if rule is not None and rule.default is None:
        for row in np.flatnonzero(good & untold(checked, "accuracy_class")).tolist():
            fits = _CLASS_OF.get(int(dimension[row]), "C")
            yield warning(
                errors.AccuracyMissing,
                int(checked.source.rows[row]),
                str(checked.identifiers[row]),
                "",
                "按 A 级处理",
                "taken as class A",
                suggestion("set", fits, "accuracy_class", f"填 {fits} 级", f"Set class {fits}"),
                "accuracy_class",
            )
    books = {book.code: book for book in town.catalogues}
    kinds = census_published.classes(checked.catalogues, checked.categories)
    for kind in np.unique(kinds[good].astype(str)).tolist():
        catalogue, code = kind.split(" ")
        drawn = _DRAWN[books[catalogue].category("component", code).geometry]
        for row in np.flatnonzero(good & (kinds == kind) & (dimension != drawn)).tolist():
            is_, should = _SHAPES[int(dimension[row])], _SHAPES[drawn]
            yield warning(
                errors.GeometryKind,
                int(checked.source.rows[row]),
                str(checked.identifiers[row]),
                is_[1],
                f"是{is_[0]}，应为{should[0]}",
                f"a {is_[1]}, not a {should[1]}",
            )


_SHAPES = {0: ("点", "point"), 1: ("线", "line"), 2: ("面", "area"), -1: ("空", "nothing")}


def _no_unit(checked: Checked) -> Iterator[Finding]:
    """Rows that name none of the units the survey tells of: nobody would answer for them."""
    told = [name for name in UNITS if name in checked.mapping.fields]
    if not told:
        return
    empty = ~checked.problems.bad
    for name in told:
        empty = empty & (checked.fields[name] == "")
    for row in np.flatnonzero(empty).tolist():
        number, identifier = int(checked.source.rows[row]), str(checked.identifiers[row])
        yield warning(errors.UnitMissing, number, identifier, "", "三个单位都空", "all of its units are empty")
