"""The register of components: their code rule, how they get in, and how they are found. Knows no file format."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
from geoalchemy2 import Geography
from sqlalchemy import ColumnElement, Select, cast, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert

from gis import errors
from gis.db import Connection, copy_in
from gis.geometry import metres_per_degree
from gis.tables import SRID, component, survey

Texts = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]

CODE_DIGITS = 16
ACCURACY_M = {"A": 0.5, "B": 1.0, "C": 10.0}
"""How far a surveyed place may be off, in metres, by accuracy class."""
_SEQUENCE_LIMIT = 999_999

COLUMNS = [
    "code",
    "catalogue",
    "category_code",
    "name",
    "state",
    "unit_grid_code",
    "village_code",
    "competent_unit",
    "owner_unit",
    "maintenance_unit",
    "accuracy_class",
    "survey_id",
    "surveyed_on",
    "changed_on",
    "source_code",
    "lon",
    "lat",
    "mk",
    "properties",
    "geom",
]
"""The order in which :func:`register` takes a component's values; ``geom`` as hex EWKB, ``properties`` as JSON."""
_COMPARED = [name for name in COLUMNS if name not in ("code", "survey_id")]


@dataclass(frozen=True)
class Component:
    """A component as read from the register; ``distance_m`` only where it was asked for by distance."""

    code: str
    catalogue: str
    category_code: str
    name: str
    state: str
    unit_grid_code: str
    village_code: str
    competent_unit: str
    owner_unit: str
    maintenance_unit: str
    accuracy_class: str
    surveyed_on: date | None
    changed_on: date | None
    source_code: str
    lon: float
    lat: float
    properties: dict[str, Any]
    version: int
    valid_from: datetime
    distance_m: float | None = None


@dataclass(frozen=True)
class Landed:
    """How many components a call of :func:`register` made, changed and found as they were."""

    new: int
    updated: int
    unchanged: int


def code_problems(codes: Texts, district: str, categories: Texts) -> dict[str, Flags]:
    """Where codes break the rule 6 district + 4 category + 6 sequence (all three catalogues we hold use it).

    ``codes`` and ``categories`` are texts per component; the answer flags ``digits``, ``district`` and ``category``,
    each only where the one before is in order; an empty category is not compared.
    """
    written = codes.astype(str)
    # Only 0 to 9: to Unicode full-width and raised digits are digits, too.
    plain = np.array([one.isascii() and one.isdigit() for one in written.tolist()], dtype=bool)
    digits = plain & (np.char.str_len(written) == CODE_DIGITS) & (_part(written, 10, 16) != "000000")
    right_district = _part(written, 0, 6) == district
    same = (categories == "") | (_part(written, 6, 10) == categories.astype(str))
    return {"digits": ~digits, "district": digits & ~right_district, "category": digits & right_district & ~same}


def category_digits(codes: Texts) -> Texts:
    """Digits 7 to 10: the category, ambiguous without its catalogue; '' for what has not 16 characters."""
    written = codes.astype(str)
    return np.where(np.char.str_len(written) == CODE_DIGITS, _part(written, 6, 10), "").astype(object)


def _part(written: npt.NDArray[np.str_], start: int, end: int) -> npt.NDArray[np.str_]:
    padded = written.astype("U16") if len(written) else np.empty(0, "U16")
    letters = padded.view("U1").reshape(len(padded), 16) if len(padded) else np.empty((0, 16), "U1")
    return np.ascontiguousarray(letters[:, start:end]).view(f"U{end - start}").reshape(len(padded))


def hold_codes(tx: Connection) -> None:
    """Let nobody else publish or number components until the transaction ends."""
    tx.execute(text("select pg_advisory_xact_lock(hashtext('component.code'))"))


def assign_codes(tx: Connection, district: str, categories: Texts) -> Texts:
    """New 16-digit codes, one per category code given, after the highest sequence of each category in the register.

    Holds the register's code lock until the transaction ends, so two surveys never get the same codes. Raises
    ``ComponentCodeBad`` when a category has no sequence left.
    """
    hold_codes(tx)
    prefix = func.left(component.c.code, 10)
    highest = {
        row.prefix: int(row.highest)
        for row in tx.execute(
            select(prefix.label("prefix"), func.max(func.right(component.c.code, 6)).label("highest"))
            .where(component.c.code.like(f"{district}%"))
            .group_by(prefix)
        )
    }
    codes = np.empty(len(categories), dtype=object)
    for category in np.unique(categories.astype(str)).tolist():
        at = np.flatnonzero(categories == category)
        start = highest.get(district + category, 0) + 1
        if start + len(at) - 1 > _SEQUENCE_LIMIT:
            raise errors.ComponentCodeBad(zh="该类部件的顺序号已用完", en="No sequence numbers left", category=category)
        codes[at] = [f"{district}{category}{number:06d}" for number in range(start, start + len(at))]
    return codes


def known(tx: Connection, codes: Sequence[str]) -> dict[str, str]:
    """Which of these codes the register holds: {code: name of the source they came from}."""
    rows = tx.execute(
        select(component.c.code, survey.c.name)
        .join(survey, survey.c.id == component.c.survey_id)
        .where(component.c.code == func.any(list(codes)))
    )
    return {row.code: row.name for row in rows}


def of_source(tx: Connection, source: str) -> dict[str, str]:
    """{identifier in the source: component code} of everything one source brought."""
    rows = tx.execute(
        select(component.c.source_code, component.c.code)
        .join(survey, survey.c.id == component.c.survey_id)
        .where(survey.c.name == source, component.c.source_code != "")
    )
    return {row.source_code: row.code for row in rows}


def record_survey(tx: Connection, survey_id: UUID, name: str, source: str, crs: str, catalogue: str) -> None:
    """Note a survey; the same survey again is not a second one. ``source`` is the file or generator."""
    tx.execute(
        insert(survey)
        .values(id=survey_id, name=name, source=source, crs=crs, catalogue=catalogue)
        .on_conflict_do_nothing(index_elements=["id"])
    )


def register(tx: Connection, rows: Iterable[Sequence[Any]]) -> Landed:
    """Land components given in the order of :data:`COLUMNS`: new codes are inserted, known ones updated if they differ.

    One COPY into a temporary table and one statement; 100,000 components take a few seconds. The surveys of what landed
    are recorded anew: by that alone the map sees that the register changed.
    """
    tx.execute(text("drop table if exists component_in"))
    tx.execute(text("create temporary table component_in (like component including defaults) on commit drop"))
    read = copy_in(tx, "component_in", COLUMNS, rows)
    names = ", ".join(COLUMNS)
    changes = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "code")
    old, new = (", ".join(f"{table}.{name}" for name in _COMPARED) for table in ("component", "excluded"))
    landed = tx.execute(
        text(
            f"with landed as (insert into component ({names}) select {names} from component_in order by mk"
            f" on conflict (code) do update set {changes}, case_id = null where ({old}) is distinct from ({new})"
            " returning xmax = 0 as fresh)"
            " select count(*) filter (where fresh) as new, count(*) filter (where not fresh) as updated from landed"
        )
    ).one()
    if landed.new or landed.updated:
        tx.execute(
            text("update survey set recorded_at = now() where id in (select distinct survey_id from component_in)")
        )
    tx.execute(text("drop table component_in"))
    return Landed(new=landed.new, updated=landed.updated, unchanged=read - landed.new - landed.updated)


_READ = [component.c[field.name] for field in fields(Component) if field.name != "distance_m"]


def get(tx: Connection, code: str) -> Component:
    """One component. Raises ``ComponentUnknown``."""
    row = tx.execute(select(*_READ).where(component.c.code == code)).mappings().first()
    if row is None:
        raise errors.ComponentUnknown(code=code)
    return Component(**row)


def find(
    tx: Connection,
    *,
    category: str | None = None,
    bbox: tuple[float, float, float, float] | None = None,
    kinds: Sequence[tuple[str, str]] | None = None,
    unit_grid_code: str | None = None,
    village_code: str | None = None,
    query: str | None = None,
    after: str | None = None,
    limit: int = 100,
) -> list[Component]:
    """Components by code order: ``category`` is a prefix of digits, ``kinds`` pairs (catalogue, category), ``bbox``
    (west, south, east, north) in EPSG:4490, ``query`` a beginning of the code or of the name, ``after`` the last code
    of the page before."""
    statement: Select[Any] = select(*_READ).order_by(component.c.code).limit(limit)
    if category:
        statement = statement.where(component.c.category_code.startswith(category, autoescape=True))
    if kinds is not None:
        statement = statement.where(tuple_(component.c.catalogue, component.c.category_code).in_(kinds))
    if bbox:
        statement = statement.where(component.c.geom.op("&&")(func.ST_MakeEnvelope(*bbox, SRID)))
    if unit_grid_code:
        statement = statement.where(component.c.unit_grid_code == unit_grid_code)
    if village_code:
        statement = statement.where(component.c.village_code == village_code)
    if query:
        begins = component.c.name.startswith(query, autoescape=True)
        statement = statement.where(component.c.code.startswith(query, autoescape=True) | begins)
    if after:
        statement = statement.where(component.c.code > after)
    return [Component(**row) for row in tx.execute(statement).mappings()]


def counts(tx: Connection, village_code: str | None = None) -> dict[tuple[str, str], int]:
    """How many components there are by (catalogue, category), without removed ones."""
    statement = (
        select(component.c.catalogue, component.c.category_code, func.count().label("n"))
        .where(component.c.state != "removed")
        .group_by(component.c.catalogue, component.c.category_code)
    )
    if village_code:
        statement = statement.where(component.c.village_code == village_code)
    return {(row.catalogue, row.category_code): row.n for row in tx.execute(statement)}


def nearest(
    tx: Connection,
    lon: float,
    lat: float,
    *,
    radius_m: float = 50.0,
    limit: int = 10,
    category: str | None = None,
) -> list[Component]:
    """Components within ``radius_m`` of an EPSG:4490 point, nearest first, each with ``distance_m`` on the ellipsoid.

    ``category`` is a prefix of digits; removed components are left out; ties go by code.
    """
    statement = near_statement(lon, lat, radius_m).limit(limit)
    if category:
        statement = statement.where(component.c.category_code.startswith(category, autoescape=True))
    return [Component(**row) for row in tx.execute(statement).mappings()]


def near_statement(lon: float, lat: float, radius_m: float) -> Select[Any]:
    """The components within ``radius_m`` metres of an EPSG:4490 point, with ``distance_m``, in its order."""
    point = func.ST_SetSRID(func.ST_MakePoint(lon, lat), SRID)
    here = cast(point, Geography(srid=SRID))
    there = cast(component.c.geom, Geography(srid=SRID))
    distance: ColumnElement[float] = func.ST_Distance(there, here).label("distance_m")
    # The index is over degrees: a slightly too large circle in degrees first, metres on what it leaves.
    degrees = float(1.01 * radius_m / min(metres_per_degree(min(abs(lat) + radius_m / 100_000, 89.0))))
    return (
        select(*_READ, distance)
        .where(
            func.ST_DWithin(component.c.geom, point, degrees),
            func.ST_DWithin(there, here, radius_m),
            component.c.state != "removed",
        )
        .order_by(distance, component.c.code)
    )
