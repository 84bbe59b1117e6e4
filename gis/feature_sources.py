"""Where the features of each layer are read from: rows, key, geometry, properties. Knows columns, not who asks how.

Cases start from ``search.visible_cases``, inspectors from the rows ``tracks`` shows; the rest is the same for all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Select, and_, func, literal, or_, select
from sqlalchemy.types import BigInteger, Text, TypeEngine, Uuid

from gis import search, tracks
from gis.people import Caller
from gis.selection_area import Area
from gis.tables import (
    SRID,
    basemap_feature,
    case,
    component,
    department,
    division,
    duty_grid,
    duty_grid_member,
    position_live,
    staff,
    unit_grid,
)
from gis.validity import in_force

Kind = Literal["text", "integer", "number", "boolean", "date", "time"]
Column = ColumnElement[Any]

#: Every property a layer can tell, by the layer's query, with its type. ``*_name`` of codes kept in definitions are
#: filled in from them (gis.features), so they have no column.
TYPES: Final[Mapping[str, Mapping[str, Kind]]] = {
    "cases": {
        **dict.fromkeys(("number", "kind", "channel", "category", "category_name", "group_name"), "text"),
        **dict.fromkeys(("description", "address", "village", "village_name", "grid", "duty_grid"), "text"),
        **dict.fromkeys(("area_class", "department", "department_name", "state", "state_name", "stage"), "text"),
        **dict.fromkeys(("status", "light", "handling_light", "stage_light", "component"), "text"),
        **dict.fromkeys(("severity", "rework_count", "urge_count"), "integer"),
        "supervised": "boolean",
        **dict.fromkeys(("reported_at", "due_at", "handled_at", "closed_at"), "time"),
    },
    "components": {
        **dict.fromkeys(("code", "name", "catalogue", "group_code", "group_name", "category_code"), "text"),
        **dict.fromkeys(("category_name", "state", "unit_grid_code", "village_code", "village_name"), "text"),
        **dict.fromkeys(("competent_unit", "owner_unit", "maintenance_unit", "accuracy_class"), "text"),
        **dict.fromkeys(("surveyed_on", "changed_on"), "date"),
        "source_code": "text",
    },
    "unit_grids": {
        **dict.fromkeys(("code", "village_code", "village_name", "duty_grid_code", "area_class", "land_use"), "text"),
        "area_m2": "number",
        **dict.fromkeys(("valid_from", "valid_to"), "date"),
    },
    "duty_grids": {
        **dict.fromkeys(("code", "name", "village_code", "village_name"), "text"),
        **dict.fromkeys(("valid_from", "valid_to"), "date"),
    },
    "divisions": {
        **dict.fromkeys(("code", "level", "name", "short_name", "parent"), "text"),
        "synthetic": "boolean",
        **dict.fromkeys(("valid_from", "valid_to"), "date"),
    },
    "basemap": dict.fromkeys(("layer", "kind", "name"), "text"),
    "inspectors": {
        **dict.fromkeys(("name", "department_name", "unit_grid_code", "duty_grid_code", "village_code"), "text"),
        "at": "time",
        "accuracy_m": "number",
    },
}


@dataclass(frozen=True)
class Source:
    """Rows to read features from.

    ``key`` is unique and never changes; ``columns`` are properties and, with an underscore before them, what is needed
    to name codes; ``rows`` gives the caller's rows without columns; ``in_force`` keeps those of now; ``during`` those
    of an interval (either end may be None).
    """

    geometry: Literal["point", "polygon", "mixed"]
    key: Column
    key_type: TypeEngine[Any]
    geom: Column
    columns: Mapping[str, Column]
    groups: tuple[str, ...]
    rows: Callable[[Caller], Select[Any]]
    touches: Callable[[Area], ColumnElement[bool]]
    in_force: ColumnElement[bool] | None = None
    during: Callable[[datetime | None, datetime | None], ColumnElement[bool]] | None = None


def source(query: str, now: datetime) -> Source:
    """Where the layers with this query read from; lights are those of ``now``. Raises ``KeyError`` for another."""
    return _SOURCES[query](now)


def _cases(now: datetime) -> Source:
    c = case.c
    columns: dict[str, Column] = {
        **{name: c[name] for name in ("number", "kind", "channel", "severity", "description", "address", "area_class")},
        **{name: c[name] for name in ("state", "stage", "status", "rework_count", "urge_count")},
        **{name: c[name] for name in ("reported_at", "due_at", "handled_at", "closed_at")},
        "category": func.concat(c.category_kind, ":", c.category_code),
        "village": c.village_code,
        "village_name": division.c.short_name,
        "grid": c.unit_grid_code,
        "duty_grid": c.duty_grid_code,
        "department": c.department_code,
        "department_name": department.c.name,
        "component": c.component_code,
        "light": search.light(now),
        "handling_light": search.handling_light(now),
        "stage_light": search.stage_light(now),
        "supervised": c.supervised_at.is_not(None),
        **{f"_{name}": c[name] for name in ("catalogue", "category_kind", "category_code")},
        **{f"_{name}": c[name] for name in ("workflow", "workflow_version", "state")},
    }

    def rows(caller: Caller) -> Select[Any]:
        villages, departments = division.c.code == c.village_code, department.c.code == c.department_code
        named = search.visible_cases(caller).join(division, villages, isouter=True)
        return named.join(department, departments, isouter=True)

    return Source(
        "point",
        c.id,
        Uuid(),
        func.ST_SetSRID(func.ST_MakePoint(c.lon, c.lat), SRID),
        columns,
        ("category", "kind", "channel", "stage", "state", "status", "light", "severity", "village", "department"),
        rows,
        lambda area: area.touches_point(c.lon, c.lat, c.mk),
    )


def _components(_: datetime) -> Source:
    c = component.c
    plain = ("code", "name", "catalogue", "category_code", "state", "unit_grid_code", "village_code", "competent_unit")
    more = ("owner_unit", "maintenance_unit", "accuracy_class", "surveyed_on", "changed_on", "source_code")
    columns: dict[str, Column] = {
        **{name: c[name] for name in (*plain, *more)},
        "group_code": func.left(c.category_code, 2),
        "village_name": division.c.short_name,
        "_catalogue": c.catalogue,
        "_category_kind": literal("component"),
        "_category_code": c.category_code,
    }
    rows = select(component).join(division, division.c.code == c.village_code, isouter=True)
    return Source(
        "mixed",
        c.code,
        Text(),
        c.geom,
        columns,
        ("group_code", "category_code", "state", "village_code", "accuracy_class", "competent_unit"),
        lambda _: rows.where(c.state != "removed"),
        lambda area: area.touches(c.geom),
    )


def _unit_grids(_: datetime) -> Source:
    c = unit_grid.c
    plain = ("code", "village_code", "area_class", "land_use", "area_m2", "valid_from", "valid_to")
    columns: dict[str, Column] = {
        **{name: c[name] for name in plain},
        "village_name": division.c.short_name,
        "duty_grid_code": duty_grid_member.c.duty_grid_code,
    }
    rows = select(unit_grid).join(division, division.c.code == c.village_code, isouter=True)
    rows = rows.join(duty_grid_member, duty_grid_member.c.unit_grid_code == c.code, isouter=True)
    groups = ("area_class", "village_code", "land_use", "duty_grid_code")
    return _valid(unit_grid, columns, rows, groups)


def _duty_grids(_: datetime) -> Source:
    c = duty_grid.c
    columns: dict[str, Column] = {
        **{name: c[name] for name in ("code", "name", "village_code", "valid_from", "valid_to")},
        "village_name": division.c.short_name,
    }
    rows = select(duty_grid).join(division, division.c.code == c.village_code, isouter=True)
    return _valid(duty_grid, columns, rows, ("village_code",))


def _divisions(_: datetime) -> Source:
    columns: dict[str, Column] = {name: division.c[name] for name in TYPES["divisions"]}
    return _valid(division, columns, select(division), ("level", "parent"))


def _valid(table: Any, columns: Mapping[str, Column], rows: Select[Any], groups: tuple[str, ...]) -> Source:
    """Areas by code that hold from a day to a day."""
    c = table.c

    def during(since: datetime | None, until: datetime | None) -> ColumnElement[bool]:
        begun = [c.valid_from <= until.astimezone(search.ZONE).date()] if until else []
        if since:
            begun.append(or_(c.valid_to.is_(None), c.valid_to > since.astimezone(search.ZONE).date()))
        return and_(*begun)

    def touches(area: Area) -> ColumnElement[bool]:
        return area.touches(c.geom)

    return Source("polygon", c.code, Text(), c.geom, columns, groups, lambda _: rows, touches, in_force(table), during)


def _basemap(_: datetime) -> Source:
    c = basemap_feature.c
    columns: dict[str, Column] = {name: c[name] for name in TYPES["basemap"]}
    groups = ("layer", "kind")
    return Source(
        "mixed",
        c.id,
        BigInteger(),
        c.geom,
        columns,
        groups,
        lambda _: select(basemap_feature),
        lambda a: a.touches(c.geom),
    )


def _inspectors(now: datetime) -> Source:
    c = position_live.c
    geom = func.ST_SetSRID(func.ST_MakePoint(c.lon, c.lat), SRID)
    columns: dict[str, Column] = {
        **{name: c[name] for name in ("at", "accuracy_m", "unit_grid_code", "duty_grid_code", "village_code")},
        "name": staff.c.name,
        "department_name": department.c.name,
    }

    def rows(caller: Caller) -> Select[Any]:
        named = select(position_live).join(staff, staff.c.id == c.inspector_id)
        named = named.join(department, department.c.code == staff.c.department_code)
        return named.where(tracks.shown(caller.scope, now))

    return Source(
        "point",
        c.inspector_id,
        Uuid(),
        geom,
        columns,
        ("village_code", "department_name"),
        rows,
        lambda area: area.touches(geom),
        None,
        lambda since, until: and_(*[c["at"] >= since] if since else [], *[c["at"] <= until] if until else []),
    )


_SOURCES: Final[Mapping[str, Callable[[datetime], Source]]] = {
    "cases": _cases,
    "components": _components,
    "unit_grids": _unit_grids,
    "duty_grids": _duty_grids,
    "divisions": _divisions,
    "basemap": _basemap,
    "inspectors": _inspectors,
}
