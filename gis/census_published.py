"""The published census as a survey is compared with it, and what tells a wrong coordinate system by it. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from sqlalchemy import func, or_, select, tuple_

from gis import geometry
from gis.areas import areas
from gis.census_diff import Floats, Ints, Side, Texts, common_shift, places_of
from gis.db import Connection
from gis.tables import component, survey

FIELDS = (
    *("catalogue", "category_code", "name", "state", "competent_unit", "owner_unit", "maintenance_unit"),
    *("accuracy_class", "surveyed_on", "changed_on"),
)
_SAMPLE, _LEAST, _NEAR_M = 2000, 20, 2.0
_READ = (
    *("code", "lon", "lat", "accuracy_class", "state", "catalogue", "category_code", "name", "competent_unit"),
    *("owner_unit", "maintenance_unit", "surveyed_on", "changed_on", "properties", "version", "village_code"),
    "source_code",
)


@dataclass(frozen=True)
class Published:
    """The part of the census a survey is about, as one side of a comparison, with what else is asked of it by row."""

    side: Side
    versions: Texts
    villages: Texts
    source_codes: Texts
    east: Floats
    north: Floats

    @property
    def classes(self) -> Texts:
        """Catalogue and category of each in one text."""
        return classes(self.side.fields["catalogue"], self.side.fields["category_code"])


def classes(catalogues: Texts, categories: Texts) -> Texts:
    """Catalogue and category in one text."""
    return np.char.add(np.char.add(catalogues.astype(str), " "), categories.astype(str)).astype(object)


def published(tx: Connection, kinds: Sequence[tuple[str, str]], codes: Sequence[str]) -> Published:
    """The components of these (catalogue, category) and with these codes, removed ones too."""
    wanted = or_(
        tuple_(component.c.catalogue, component.c.category_code).in_(list(kinds)) if kinds else False,
        component.c.code == func.any(list(codes)),
    )
    shape = func.ST_AsBinary(component.c.geom).label("shape")
    rows = tx.execute(
        select(*(component.c[name] for name in _READ), shape).where(wanted).order_by(component.c.code)
    ).all()
    column = dict(zip((*_READ, "shape"), zip(*rows, strict=True), strict=False)) if rows else {}

    def texts(name: str) -> Texts:
        found = np.empty(len(rows), dtype=object)
        found[:] = [("" if v is None else v if isinstance(v, (str, int)) else str(v)) for v in column.get(name, ())]
        return found

    lon, lat = (np.array(column.get(name, ()), dtype=np.float64) for name in ("lon", "lat"))
    side = Side(
        codes=texts("code"),
        lon=lon,
        lat=lat,
        accuracy=texts("accuracy_class"),
        fields={name: texts(name) for name in FIELDS},
        properties=list(column.get("properties", ())),
        shapes=shapely.from_wkb([bytes(one) for one in column.get("shape", ())]),
        gone=texts("state") == "removed",
    )
    east, north = geometry.to_4548(lon, lat) if len(rows) else (lon, lat)
    return Published(side, texts("version"), texts("village_code"), texts("source_code"), east, north)


def register_of(tx: Connection, source: str, identifiers: Sequence[str]) -> dict[str, str]:
    """{identifier: code} of what surveys of this source brought before."""
    rows = tx.execute(
        select(component.c.source_code, component.c.code)
        .join(survey, survey.c.id == component.c.survey_id)
        .where(survey.c.name == source, component.c.source_code == func.any(list(identifiers)))
    )
    return {row.source_code: row.code for row in rows}


def other_systems(
    tx: Connection, x: Floats, y: Floats, crs: str, kinds: Texts, census: Published
) -> list[tuple[str, bool, float]]:
    """Systems in which the survey lies on the published census, though as declared it does not: (system, axes swapped,
    share of rows within two metres of a published component of their kind). Needs neither codes nor grids.
    """
    usable = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & np.isin(kinds.astype(str), census.classes.astype(str)))
    if len(usable) < _LEAST:
        return []
    rng = np.random.default_rng(4490)
    chosen = np.sort(rng.choice(usable, min(len(usable), _SAMPLE), replace=False))
    x, y, kinds = x[chosen], y[chosen], kinds[chosen]
    bounds = areas(tx).bounds
    share = {}
    for name in geometry.SUPPORTED:
        for swapped in (False, True):
            lon, lat = geometry.to_4490(*((y, x) if swapped else (x, y)), name)
            inside = np.isfinite(lon) & np.isfinite(lat)
            inside[inside] = geometry.inside(lon[inside], lat[inside], bounds)
            if inside.mean() > 0.5:
                share[name, swapped] = _near_share(lon, lat, inside, kinds, census)
    as_declared = share.get((crs, False), 0.0)
    return sorted(
        ((name, swapped, found) for (name, swapped), found in share.items() if found > 0.5 and as_declared < 0.1),
        key=lambda one: -one[2],
    )


def _near_share(lon: Floats, lat: Floats, inside: Any, kinds: Texts, census: Published) -> float:
    east, north = geometry.to_4548(np.where(inside, lon, 0.0), np.where(inside, lat, 0.0))
    near = 0
    for one in np.unique(kinds[inside].astype(str)).tolist():
        there = census.classes == one
        tree = shapely.STRtree(shapely.points(census.east[there], census.north[there]))
        mine = inside & (kinds == one)
        hits, _ = tree.query(shapely.points(east[mine], north[mine]), predicate="dwithin", distance=_NEAR_M)
        near += len(np.unique(hits))
    return near / len(kinds)


def shift(codes: Texts, lon: Floats, lat: Floats, census: Published) -> tuple[float, float] | None:
    """(east, north) metres by which the rows with known codes are shifted alike against the census."""
    at: Ints = places_of(codes, census.side.codes)
    here = np.flatnonzero((at >= 0) & np.isfinite(lon) & np.isfinite(lat))
    if not here.size:
        return None
    east, north = geometry.to_4548(lon[here], lat[here])
    return common_shift(east - census.east[at[here]], north - census.north[at[here]])
