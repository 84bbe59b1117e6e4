"""Repairs of a draft: what somebody decided about rows of a survey, applied to the file and its mapping. Pure.

A repair changes nothing in the file: it is kept beside it, and every check reads the file, then the repairs in their
order. Taking one back is leaving it out. Rows are called as a reader of the file calls them.
"""

from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import shapely

from gis import components, errors, geometry, import_mapping
from gis.import_checks import declared_crs, raw_xy, used_columns
from gis.import_mapping import CategoryRule, FieldRule, GeometryRule, Mapping
from gis.import_readers import Source
from gis.local_systems import PREFIX, LocalSystem

if TYPE_CHECKING:
    import pandas as pd

Flags = npt.NDArray[np.bool_]

WHOLE_FILE: Final = "0"
"""The row of a repair that is about the whole file."""
KINDS: Final = ("set", "map", "exclude", "new_code", "match", "catalogue", "crs", "swap", "valid")
FIELDS: Final = (
    *("name", "state", "accuracy_class", "unit_grid_code", "competent_unit", "owner_unit", "maintenance_unit"),
    *("surveyed_on", "changed_on", "identifier", "category"),
)
_GEOMETRIC: Final = {"crs", "swap", "valid"}


@dataclass(frozen=True)
class Repair:
    """One decision. ``items`` is {row: value}, of ``map`` {raw value: value meant}.

    ``set`` gives ``field`` the value; ``map`` reads one raw value of it as another everywhere; ``exclude`` leaves rows
    out; ``new_code`` has a code assigned (value: the category, or None for the one it has); ``match`` says which
    published component a row is; ``catalogue`` names the catalogue of all codes; ``crs`` the coordinate system, of one
    row or of all; ``swap`` exchanges axes, ``valid`` repairs a shape.
    """

    kind: str
    items: MappingOf[str, Any]
    field: str = ""

    def check(self) -> None:
        """Raises ``Malformed`` for what no repair can say."""
        if self.kind not in KINDS or not self.items:
            raise errors.Malformed(field="kind", value=self.kind, known=list(KINDS))
        if self.kind in ("set", "map") and self.field not in FIELDS:
            raise errors.Malformed(field="field", value=self.field, known=list(FIELDS))
        if self.kind != "map" and not all(row.isascii() and row.isdigit() and len(row) < 10 for row in self.items):
            raise errors.Malformed(field="items", why="a repair names rows by their numbers")
        if self.kind not in ("exclude", "swap", "valid", "new_code") and not all(
            isinstance(value, str) and len(value) <= 500 for value in self.items.values()
        ):
            raise errors.Malformed(field="items", why="values are texts")
        if self.kind == "catalogue" and set(self.items) != {WHOLE_FILE}:
            raise errors.Malformed(field="items", why="a catalogue is of the whole file")


@dataclass(frozen=True)
class Prepared:
    """A file as its repairs want it read. ``excluded`` are rows, ``matches`` {position: code} of what is left."""

    source: Source
    mapping: Mapping
    renumber: Flags
    matches: dict[int, str]
    excluded: list[int]
    crs: str
    """The system the file is in, as declared or repaired."""


def prepare(
    source: Source, mapping: Mapping, repairs: Sequence[Repair], systems: MappingOf[str, LocalSystem]
) -> Prepared:
    """Apply repairs to a survey, and bring it out of a local system. Raises ``UnknownCrs`` for an unknown local one."""
    if mapping.properties is None and repairs:
        # Columns made for repairs are no properties.
        used = used_columns(mapping)
        mapping = replace(mapping, properties=tuple(name for name in source.frame if name not in used))
    declared = next((r.items[WHOLE_FILE] for r in reversed(repairs) if r.kind == "crs" and WHOLE_FILE in r.items), None)
    if declared is not None:
        mapping = replace(mapping, crs=str(declared))
    if mapping.crs.startswith(PREFIX) or any(r.kind in _GEOMETRIC for r in repairs):
        source, mapping = _with_shapes(source, mapping)
    work = _Work(source, mapping)
    for repair in repairs:
        work.take(repair)
    source, mapping = work.done()
    crs = declared_crs(source, mapping)
    if mapping.crs.startswith(PREFIX):
        source, mapping = localised(source, mapping, systems)
    keep = ~work.excluded
    left = Source(
        source.file,
        source.frame[keep].reset_index(drop=True),
        None if source.geometry is None else source.geometry[keep],
        source.crs,
        source.rows[keep],
    )
    position = np.cumsum(keep) - 1
    matches = {int(position[at]): code for at, code in work.matches.items() if keep[at]}
    return Prepared(left, mapping, work.renumber[keep], matches, source.rows[~keep].tolist(), crs)


def localised(source: Source, mapping: Mapping, systems: MappingOf[str, LocalSystem]) -> tuple[Source, Mapping]:
    """A survey in a local system as one in EPSG:4548. Its second pair of coordinates, if it has one, is not compared.

    Raises ``UnknownCrs``.
    """
    system = systems.get(mapping.crs.removeprefix(PREFIX))
    if system is None:
        raise errors.UnknownCrs(crs=mapping.crs, supported=[f"{PREFIX}{code}" for code in systems])
    source, mapping = _with_shapes(source, mapping)
    if source.geometry is None:
        return source, replace(mapping, crs=geometry.METRIC)  # the checks will say what is missing
    moved = shapely.transform(
        source.geometry, lambda pairs: np.column_stack(system.fit.apply(pairs[:, 0], pairs[:, 1]))
    )
    return replace(source, geometry=moved), replace(mapping, crs=geometry.METRIC, declared_point=None)


def _with_shapes(source: Source, mapping: Mapping) -> tuple[Source, Mapping]:
    """The same with its places as shapes of the file."""
    rule = mapping.geometry
    if rule.own:
        return source, mapping
    if rule.x:
        x, y = raw_xy(source, rule)
        shapes = shapely.points(x, y)
        shapes[~(np.isfinite(x) & np.isfinite(y))] = None
    else:
        column = next((name for name in rule.wkt if name in source.frame), None)
        if column is None:
            return source, mapping  # the checks will say that it is missing
        written = source.frame[column]
        shapes = shapely.from_wkt([text or None for text in written.tolist()], on_invalid="ignore")
    return replace(source, geometry=shapes), replace(mapping, geometry=GeometryRule(own=True))


class _Work:
    """A file and its mapping while repairs are taken."""

    def __init__(self, source: Source, mapping: Mapping) -> None:
        self._source, self._mapping = source, mapping
        self._frame: pd.DataFrame = source.frame.copy()
        self._shapes = None if source.geometry is None else source.geometry.copy()
        self._at = {int(row): at for at, row in enumerate(source.rows.tolist())}
        self.excluded: Flags = np.zeros(len(source), dtype=bool)
        self.renumber: Flags = np.zeros(len(source), dtype=bool)
        self.matches: dict[int, str] = {}

    def take(self, repair: Repair) -> None:
        """Apply one. Rows the file does not have are passed over."""
        if repair.kind == "map":
            return self._map(repair.field, repair.items)
        rows = {self._at[int(row)]: value for row, value in repair.items.items() if int(row) in self._at}
        if WHOLE_FILE in repair.items and repair.kind in ("swap", "valid"):
            rows = dict.fromkeys(range(len(self._source)))
        at = np.array(sorted(rows), dtype=np.intp)
        match repair.kind:
            case "set":
                self._set(repair.field, rows)
            case "exclude":
                self.excluded[at] = True
            case "new_code":
                self.renumber[at] = True
                if named := {row: str(value) for row, value in rows.items() if value}:
                    self._set("category", named)
            case "match":
                self.matches |= {row: str(value) for row, value in rows.items()}
                self.renumber[at] = False
            case "catalogue":
                rule = self._mapping.category or CategoryRule("component", None, FieldRule("category"))
                self._mapping = replace(
                    self._mapping, category=replace(rule, catalogue=str(repair.items[WHOLE_FILE]) or None)
                )
            case "crs":
                for row, system in rows.items():
                    self._reproject(row, str(system))
            case "swap":
                if self._shapes is not None:
                    self._shapes[at] = shapely.transform(self._shapes[at], lambda pairs: pairs[:, ::-1])
            case "valid":
                if self._shapes is not None:
                    self._shapes[at] = shapely.make_valid(self._shapes[at])

    def done(self) -> tuple[Source, Mapping]:
        """The file and the mapping after all."""
        return replace(self._source, frame=self._frame, geometry=self._shapes), self._mapping

    def _reproject(self, row: int, system: str) -> None:
        """Read one row in another system: its shape in the declared one."""
        if self._shapes is None:
            return
        declared = self._mapping.crs if self._mapping.crs != "file" else (self._source.crs or geometry.STORED)

        def moved(pairs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            lon, lat = geometry.to_4490(pairs[:, 0], pairs[:, 1], system)
            return np.column_stack(geometry.from_4490(lon, lat, declared))

        self._shapes[row] = shapely.transform(self._shapes[row], moved)

    def _rule(self, field: str) -> FieldRule | None:
        if field == "identifier":
            return self._mapping.identifier
        if field == "category":
            return self._mapping.category.code if self._mapping.category else None
        return self._mapping.fields.get(field)

    def _keep(self, field: str, rule: FieldRule) -> None:
        if field == "identifier":
            self._mapping = replace(self._mapping, identifier=rule)
        elif field == "category":
            of = self._mapping.category or CategoryRule("component", None, rule)
            self._mapping = replace(self._mapping, category=replace(of, code=rule))
        else:
            self._mapping = replace(self._mapping, fields={**self._mapping.fields, field: rule})

    def _column(self, field: str) -> tuple[str, FieldRule]:
        """The column a field is read from, made where there is none."""
        rule = self._rule(field) or FieldRule(field)
        column = next((name for name in rule.columns if name in self._frame), None)
        if column is None:
            column = f"#{field}"
            filled: Any = rule.constant if rule.constant is not None else (rule.default or "")
            if field == "category" and rule.constant is None:
                identifier = self._mapping.identifier
                assert identifier is not None
                names = next((name for name in identifier.columns if name in self._frame), None)
                filled = components.category_digits(self._frame[names].to_numpy(dtype=object)) if names else ""
            self._frame[column] = filled
            rule = replace(rule, columns=(column,), constant=None)
            self._keep(field, rule)
        return column, rule

    def _set(self, field: str, rows: MappingOf[int, str]) -> None:
        column, rule = self._column(field)
        self._frame.loc[list(rows), column] = list(rows.values())
        if rule.values:
            said = {value: value for value in rows.values() if value and value not in rule.values}
            rule = replace(rule, values={**rule.values, **said})
        if field in import_mapping.DATES and rule.formats and "%Y-%m-%d" not in rule.formats:
            rule = replace(rule, formats=(*rule.formats, "%Y-%m-%d"))
        self._keep(field, rule)

    def _map(self, field: str, meanings: MappingOf[str, str]) -> None:
        column, rule = self._column(field)
        values = dict(rule.values) or {value: value for value in self._frame[column].unique() if value}
        self._keep(field, replace(rule, values={**values, **meanings}))
