"""What could be done about a finding: a repair to accept, in words of both languages. Suggests; decides nothing."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from gis import geometry
from gis.catalogue import Catalogue, resolve
from gis.errors import Problem
from gis.import_checks import RowError
from gis.import_components import UNITS, Checked

Suggestion = dict[str, Any]
_FIT_ROWS: Final = 500
_DATUM_M: Final = 3000.0
"""Farther apart than this are no two readings of a place that differ only in their datum (GCJ-02, BD-09)."""
_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "exclude": ("不导入该行", "Leave the row out"),
    "swap": ("交换该行的两个坐标", "Exchange the row's coordinates"),
    "valid": ("修复图形", "Repair the shape"),
    "new_code": ("重新编码", "Assign a new code"),
}


def suggestion(kind: str, value: Any = None, field: str = "", zh: str = "", en: str = "") -> Suggestion:
    """One repair as it is stored with a finding."""
    words = _WORDS.get(kind, ("", ""))
    return {"kind": kind, "field": field, "value": value, "zh": zh or words[0], "en": en or words[1]}


@dataclass(frozen=True)
class Suggester:
    """What is known for suggesting: the checked survey, its town, departments by code."""

    checked: Checked
    bounds: geometry.Bounds
    catalogues: Sequence[Catalogue]
    departments: Mapping[str, str]
    town_catalogue: str
    local: bool
    """The file is in a local system: its rows are judged in another, in which nothing can be said of their axes."""
    grid_at: Callable[[float, float], str]
    """The unit grid at a longitude and latitude (EPSG:4490), '' where there is none."""

    def every(self, found: Sequence[RowError]) -> list[Suggestion | None]:
        """One suggestion per finding, None where only somebody who was there can know."""
        at = {int(row): n for n, row in enumerate(self.checked.source.rows.tolist())}
        budget = _FIT_ROWS
        answers: list[Suggestion | None] = []
        for one in found:
            if self.local and one.code in ("wrong_crs", "outside_town", "swapped_axes"):
                answers.append(suggestion("exclude"))
                continue
            if one.code in ("wrong_crs", "outside_town"):
                budget -= 1
                answers.append(self._elsewhere(at[one.row]) if budget >= 0 else suggestion("exclude"))
                continue
            way: Callable[[Suggester, RowError, int], Suggestion | None] | None = _WAYS.get(one.code)
            answers.append(way(self, one, at[one.row]) if way else None)
        return answers

    def _elsewhere(self, at: int) -> Suggestion:
        places = self.checked.places
        x, y = float(places.x[at]), float(places.y[at])
        for system, swapped in geometry.fitting_systems(x, y, self.bounds) if np.isfinite([x, y]).all() else []:
            if swapped:
                return suggestion("swap")
            if self._meant(at, *(float(one) for one in geometry.to_4490(x, y, system))):
                return suggestion("crs", system, zh=f"该行按 {system} 读取", en=f"Read the row as {system}")
        return suggestion("exclude")

    def _meant(self, at: int, lon: float, lat: float) -> bool:
        """Whether a row may lie there. A shift of some hundred metres brings anything just beyond the border into the
        town: it is believed only where the row names the grid it then lies in."""
        places, declared = self.checked.places, self.checked.fields["unit_grid_code"][at]
        if not geometry.distance_m(places.lon[at], places.lat[at], lon, lat) < _DATUM_M:
            return True
        return bool(declared) and declared == self.grid_at(lon, lat)

    def _grid(self, one: RowError, at: int) -> Suggestion | None:
        grid = str(self.checked.located.unit_grid[at])
        if not grid:
            return None
        return suggestion("set", grid, "unit_grid_code", f"改为实际所在网格 {grid}", f"Set the grid it lies in, {grid}")

    def _department(self, one: RowError, at: int) -> Suggestion:
        field = one.field if one.field in UNITS else UNITS[0]
        codes = {name: code for code, name in self.departments.items()}
        close = difflib.get_close_matches(one.value, [*codes, *self.departments], 1, 0.5)
        if not close:
            return suggestion("map", "", field, f"“{one.value}”一律留空", f"Leave empty wherever it says {one.value!r}")
        code = codes.get(close[0], close[0])
        name = self.departments[code]
        return suggestion(
            "map", code, field, f"“{one.value}”一律改为 {code} {name}", f"Read {one.value!r} as {code} {name}"
        )

    def _renamed(self, one: RowError, at: int) -> Suggestion | None:
        """A category that code and name disagree on, or no code of the catalogue: by the name, if that says one."""
        mapping = self.checked.mapping
        named = mapping.category.name if mapping.category else None
        columns = named.columns if named else mapping.fields["name"].columns if "name" in mapping.fields else ()
        frame = self.checked.source.frame
        name = next((str(frame[c].iat[at]) for c in columns if c in frame), "")
        declared = (mapping.category.catalogue if mapping.category else None) or self.town_catalogue
        book = next((b for b in self.catalogues if b.code == declared), None)
        if not name or book is None:
            return None
        fits = []
        for category in book:
            if category.kind == "component":
                try:
                    resolve([book], "component", category.code, declared, name)
                except Problem:
                    continue
                fits.append(category)
        if len(fits) != 1:
            return None
        code = fits[0].code
        kind, field = ("new_code", "") if mapping.coded else ("set", "category")
        extra = ("并重新编码", " and assign a new code") if mapping.coded else ("", "")
        return suggestion(
            kind, code, field, f"按名称改为 {code} {name}{extra[0]}", f"By its name: {code} {name}{extra[1]}"
        )

    def _catalogue(self, one: RowError, at: int) -> Suggestion:
        words = f"全部按 {self.town_catalogue} 解释", f"Read all codes by {self.town_catalogue}"
        return suggestion("catalogue", self.town_catalogue, "", *words)

    def _cleared(self, one: RowError, at: int) -> Suggestion | None:
        field = one.field or "changed_on"
        return suggestion("set", "", field, "清空该日期", "Leave the date empty")

    def _code(self, one: RowError, at: int) -> Suggestion:
        return suggestion("new_code")

    def _missing(self, one: RowError, at: int) -> Suggestion | None:
        return suggestion("new_code") if one.field == "identifier" and self.checked.mapping.coded else None

    def _out(self, one: RowError, at: int) -> Suggestion:
        return suggestion("exclude")

    def _swap(self, one: RowError, at: int) -> Suggestion:
        return suggestion("swap")

    def _valid(self, one: RowError, at: int) -> Suggestion:
        return suggestion("valid")


_WAYS: Final[Mapping[str, Callable[[Suggester, RowError, int], Suggestion | None]]] = {
    "grid_mismatch": Suggester._grid,
    "grid_unknown": Suggester._grid,
    "department_unknown": Suggester._department,
    "category_mismatch": Suggester._renamed,
    "category_unknown": Suggester._renamed,
    "category_ambiguous": Suggester._catalogue,
    "date_bad": Suggester._cleared,
    "date_order": Suggester._cleared,
    "component_code_bad": Suggester._code,
    "field_missing": Suggester._missing,
    "component_duplicate": Suggester._out,
    "null_island": Suggester._out,
    "not_covered": Suggester._out,
    "point_mismatch": Suggester._out,
    "swapped_axes": Suggester._swap,
    "bad_geometry": Suggester._valid,
}
