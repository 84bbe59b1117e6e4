"""Puts a built town into the database by COPY. Knows the tables; draws nothing."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from typing import Any
from uuid import uuid5

import numpy as np
import shapely
from argon2 import PasswordHasher
from sqlalchemy import insert, select, text

from gis import panoramas, tables
from gis.db import Connection, copy_in
from gis.errors import TownExists
from gis.geometry import metres_per_degree, morton
from gis.town import Town
from gis.town_cut import Shapes
from gis.town_people import NAMESPACE, ZONE, Person, roster
from gis.town_spec import TownSpec

DEMO_PASSWORD = "wangge-demo-2026"
"""Of every account of a synthetic town, printed at its start. Real people never get it."""
Progress = Callable[[str, int, int], None]
"""Called with (table, rows done, rows in all) before and after each table."""
_SQUARE = shapely.multipolygons


def _quiet(step: str, done: int, total: int) -> None:
    """Reports to nobody."""


def is_loaded(tx: Connection, spec: TownSpec) -> bool:
    """Whether the town of this seed is there, without drawing it anew (gis.town_check.verify compares every digit).

    Raises TownExists when another town is there.
    """
    there = tx.execute(select(tables.town.c.code, tables.town.c.name, tables.town.c.seed)).first()
    if there is not None and (there.code, there.seed) != (spec.code, spec.seed):
        raise TownExists(there=there.code, name=there.name, seed=there.seed, wanted=spec.code, wanted_seed=spec.seed)
    return there is not None


def load(tx: Connection, town: Town, progress: Progress = _quiet, *, today: date | None = None) -> bool:
    """Load a town with its people and their shifts from ``today`` on; False when this very town is there already.

    Definitions are loaded by gis.definitions. Raises TownExists over any other town.
    """
    there = tx.execute(select(tables.town.c.code, tables.town.c.name, tables.town.c.digest)).first()
    if there is not None:
        if there.code == town.code and there.digest == town.digest:
            return False
        raise TownExists(
            there=there.code, name=there.name, digest=there.digest, wanted=town.code, new_digest=town.digest
        )
    since = town.valid_from.isoformat()
    survey = uuid5(NAMESPACE, town.digest)
    steps: list[tuple[str, Sequence[str], int, Iterable[Sequence[Any]]]] = [
        _divisions(town, since),
        _table(town.unit_grids, "unit_grid", _GRID, since),
        _duty_grids(town, since),
        _table(
            town.members, "duty_grid_member", {"unit_grid_code": "unit_grid_code", "duty_grid_code": "duty_grid_code"}
        ),
        _table(town.basemap, "basemap_feature", {k: k for k in ("layer", "kind", "name")}),
        _table(town.places, "place", {k: k for k in ("kind", "name", "address", "search")}),
        _departments(town),
        *people_rows(town.staff, today or datetime.now(ZONE).date()),
    ]
    counts = town.components.groupby("category_code").size().to_dict()
    tx.execute(
        insert(tables.survey).values(
            id=survey,
            name=f"{town.name}部件普查（合成演示数据）" if town.synthetic else f"{town.name}部件普查",
            source=town.source,
            crs="EPSG:4548",
            catalogue=town.catalogue,
            counts={"components": len(town.components), "by_category": counts},
        )
    )
    steps.append(_components(town, str(survey)))
    for table, columns, total, rows in steps:
        progress(table, 0, total)
        copy_in(tx, table, columns, rows)
        progress(table, total, total)
    tx.execute(
        insert(tables.town).values(
            code=town.code,
            name=town.name,
            number_prefix=town.number_prefix,
            synthetic=town.synthetic,
            catalogue=town.catalogue,
            seed=town.seed,
            digest=town.digest,
        )
    )
    if town.synthetic:
        panoramas.demo(tx, _views(town))
    for table in ("unit_grid", "component", "place", "basemap_feature"):
        tx.execute(text(f"analyze {table}"))
    return True


def _views(town: Town) -> list[tuple[str, float, float]]:
    """Three bus stops to look around at: those with the most names around them, each far from the others."""
    places = town.places
    at = np.column_stack([places.geometry.x, places.geometry.y]) * metres_per_degree(float(places.geometry.y.mean()))
    stop = ((places["kind"] == "poi") & places["name"].str.endswith("路口站")).to_numpy()
    near = {i: int((np.hypot(*(at - at[i]).T) < 250).sum()) for i in np.flatnonzero(stop).tolist()}
    chosen: list[int] = []
    for i in sorted(near, key=lambda i: (-near[i], i)):
        if len(chosen) < 3 and all(np.hypot(*(at[i] - at[j])) > 600 for j in chosen):
            chosen.append(i)
    return [(str(places["name"].iloc[i]), places.geometry.iloc[i].x, places.geometry.iloc[i].y) for i in chosen]


_Step = tuple[str, Sequence[str], int, Iterable[Sequence[Any]]]
_GRID = {k: k for k in ("code", "village_code", "area_class", "land_use", "area_m2")}


def _table(table: Any, name: str, columns: dict[str, str], since: str | None = None) -> _Step:
    """A step that copies columns of a data frame, with ``valid_from`` and the geometry where there is one."""
    names, values = list(columns.values()), [table[c].tolist() for c in columns]
    if since is not None:
        names.append("valid_from")
        values.append([since] * len(table))
    if "geometry" in table.columns:
        names.append("geom")
        values.append(hex_ewkb(table["geometry"].to_numpy()))
    return name, names, len(table), zip(*values, strict=True)


def hex_ewkb(shapes: Shapes, *, multi: bool = False) -> list[str | None]:
    """Shapes as hex EWKB in the tables' SRID; with ``multi`` polygons become multipolygons."""
    if multi:
        shapes = np.array(
            [_SQUARE([s]) if s is not None and s.geom_type == "Polygon" else s for s in shapes], dtype=object
        )
    tagged = shapely.set_srid(shapes, tables.SRID)
    found: list[str | None] = shapely.to_wkb(tagged, hex=True, include_srid=True).tolist()
    return found


def _divisions(town: Town, since: str) -> _Step:
    table = town.divisions
    names = ("code", "level", "name", "short_name", "parent", "synthetic", "valid_from", "geom")
    rows = zip(
        *(table[c].tolist() for c in names[:5]),
        [town.synthetic] * len(table),
        [since] * len(table),
        hex_ewkb(table.geometry.to_numpy(), multi=True),
        strict=True,
    )
    return "division", names, len(table), rows


def _duty_grids(town: Town, since: str) -> _Step:
    table = town.duty_grids
    names = ("code", "name", "village_code", "valid_from", "geom")
    shapes = hex_ewkb(table.geometry.to_numpy(), multi=True)
    rows = zip(*(table[c].tolist() for c in names[:3]), [since] * len(table), shapes, strict=True)
    return "duty_grid", names, len(table), rows


def _departments(town: Town) -> _Step:
    columns = ("code", "name", "kind", "parent")
    rows = [tuple(row[c] or None for c in columns) for row in town.departments.to_dict("records")]
    return "department", columns, len(rows), rows


def people_rows(staff: Sequence[Person], today: date, password: str | None = DEMO_PASSWORD) -> list[_Step]:
    """Steps for tables staff, staff_role and shift. The password is hashed once: a demo needs no salt per account."""
    hashed = PasswordHasher().hash(password) if password else None
    people = [
        (str(p.id), p.username, p.name, p.department, None if p.machine else hashed, p.machine, True) for p in staff
    ]
    roles = [(str(p.id), *grant) for p in staff for grant in p.grants]
    turns = [
        (str(t.staff_id), t.starts_at.isoformat(), t.ends_at.isoformat(), t.duty_grid, t.role)
        for t in roster(staff, today)
    ]
    return [
        (
            "staff",
            ("id", "username", "name", "department_code", "password_hash", "machine", "active"),
            len(people),
            people,
        ),
        ("staff_role", ("staff_id", "role", "scope", "scope_code"), len(roles), roles),
        ("shift", ("staff_id", "starts_at", "ends_at", "duty_grid_code", "role"), len(turns), turns),
    ]


_COMPONENT = (
    "code",
    "category_code",
    "name",
    "state",
    "unit_grid_code",
    "village_code",
    "competent_unit",
    "owner_unit",
    "maintenance_unit",
    "accuracy_class",
    "surveyed_on",
    "changed_on",
    "lon",
    "lat",
)


def _components(town: Town, survey: str) -> _Step:
    table = town.components
    keys = morton(table["lon"].to_numpy(), table["lat"].to_numpy())
    # Rows lie on disk as they lie on the ground: a tile or a grid reads few pages.
    table = table.iloc[np.argsort(keys, kind="stable")]
    label = json.dumps({"synthetic": town.synthetic})
    values = [table[c].astype(object).where(table[c].notna(), None).tolist() for c in _COMPONENT]
    changed = _COMPONENT.index("changed_on")
    values[changed] = [day if isinstance(day, str) else None for day in values[changed]]
    n = len(table)
    names = (*_COMPONENT, "catalogue", "survey_id", "mk", "properties", "geom")
    shapes = hex_ewkb(table.geometry.to_numpy())
    rows = zip(*values, [town.catalogue] * n, [survey] * n, np.sort(keys).tolist(), [label] * n, shapes, strict=True)
    return "component", names, n, rows
