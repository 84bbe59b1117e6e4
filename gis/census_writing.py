"""Writing down what a check found: rows, findings, differences, each by one COPY."""

import json
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import numpy as np
import shapely

from gis import geometry
from gis.census_diff import Compared, Texts
from gis.census_findings import Finding
from gis.census_published import Published
from gis.census_repairs import Prepared
from gis.db import Connection, copy_in
from gis.import_checks import records
from gis.import_components import UNITS, Checked, property_texts
from gis.import_readers import Source
from gis.tables import SRID, census_difference, census_finding, census_row

_ROW_COLUMNS = [c.name for c in census_row.c]
_FINDING_COLUMNS = [c.name for c in census_finding.c]
_DIFFERENCE_COLUMNS = [c.name for c in census_difference.c]


def day_texts(days: Any) -> Texts:
    """Dates as YYYY-MM-DD, '' for none."""
    texts = np.datetime_as_string(days, unit="D").astype(object)
    texts[np.isnat(days)] = ""
    found: Texts = texts
    return found


def _hex(shapes: Any) -> list[str | None]:
    found: list[str | None] = shapely.to_wkb(shapely.set_srid(shapes, SRID), hex=True, include_srid=True).tolist()
    return found


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def rows(
    tx: Connection,
    draft_id: UUID,
    source: Source,
    prepared: Prepared,
    checked: Checked,
    codes: Texts,
    found: Sequence[Finding],
) -> None:
    """Every row: the good ones as they would be published, the others with what was received."""
    bad, numbers = checked.problems.bad, checked.source.rows
    where = np.isfinite(checked.places.lon) & np.isfinite(checked.places.lat)
    mk = np.zeros(len(numbers), dtype=np.int64)
    mk[where] = geometry.morton(checked.places.lon[where], checked.places.lat[where])
    place = {int(row): at for at, row in enumerate(source.rows.tolist())}
    named = sorted({one.error.row for one in found if one.error.row} | set(prepared.excluded))
    at = np.array([place[row] for row in named], dtype=np.intp)
    received = {row: json.dumps(one, ensure_ascii=False) for row, one in zip(named, records(source, at), strict=True)}
    properties = property_texts(checked, np.arange(len(numbers)))
    drawn = checked.places.shapes.copy()
    drawn[~where] = None
    shapes = _hex(drawn)
    days = {name: day_texts(checked.fields[name]) for name in ("surveyed_on", "changed_on")}

    def each() -> Iterator[tuple[Any, ...]]:
        for n, row in enumerate(numbers.tolist()):
            told = [_text(checked.fields[name][n]) for name in ("name", "state")]
            yield (
                draft_id,
                row,
                _text(checked.identifiers[n]),
                codes[n],
                checked.catalogues[n],
                checked.categories[n],
                *told,
                checked.located.unit_grid[n],
                checked.located.village[n],
                *(_text(checked.fields[name][n]) for name in UNITS),
                _text(checked.fields["accuracy_class"][n]),
                days["surveyed_on"][n] or None,
                days["changed_on"][n] or None,
                _number(float(checked.places.lon[n])),
                _number(float(checked.places.lat[n])),
                int(mk[n]) if where[n] else None,
                properties[n],
                shapes[n],
                "bad" if bad[n] else "good",
                received.get(row),
            )
        for row in prepared.excluded:
            yield (draft_id, row, *[""] * 12, *[None] * 5, "{}", None, "excluded", received[row])

    copy_in(tx, "census_row", _ROW_COLUMNS, each())


def findings(tx: Connection, draft_id: UUID, found: Sequence[Finding]) -> None:
    """Every finding, in the order of the file."""
    ordered = sorted(found, key=lambda one: (one.error.row, one.error.code))
    copy_in(
        tx,
        "census_finding",
        _FINDING_COLUMNS,
        (
            (
                draft_id,
                number,
                one.error.row,
                one.error.identifier,
                one.error.code,
                one.severity,
                one.error.field,
                one.error.zh,
                one.error.en,
                one.error.value,
                json.dumps(one.suggestion, ensure_ascii=False) if one.suggestion else None,
            )
            for number, one in enumerate(ordered, start=1)
        ),
    )


def differences(
    tx: Connection,
    draft_id: UUID,
    checked: Checked,
    codes: Texts,
    good: Any,
    compared: Compared,
    census: Published,
    gone: Any,
) -> None:
    """What is not unchanged: of the survey in the order of its rows, then what is removed."""
    numbers, side = checked.source.rows[good], census.side
    lon, lat, at = checked.places.lon[good], checked.places.lat[good], compared.at
    listed = np.flatnonzero(compared.kinds != "unchanged")
    shapes = shapely.points(lon[listed], lat[listed])
    moved = compared.kinds[listed] == "moved"
    ends = np.stack(
        [np.column_stack([side.lon[at[listed[moved]]], side.lat[at[listed[moved]]]]),
         np.column_stack([lon[listed[moved]], lat[listed[moved]]])], axis=1,
    )  # fmt: skip
    shapes[moved] = shapely.linestrings(ends)
    drawn, gone_drawn = _hex(shapes), _hex(shapely.points(side.lon[gone], side.lat[gone]))

    def each() -> Iterator[tuple[Any, ...]]:
        for number, n in enumerate(listed.tolist(), start=1):
            row, before = int(good[n]), int(at[n])
            yield (
                draft_id,
                number,
                compared.kinds[n],
                int(numbers[n]),
                codes[row],
                int(census.versions[before]) if before >= 0 else None,
                checked.catalogues[row],
                checked.categories[row],
                checked.fields["name"][row],
                checked.located.village[row],
                _number(float(compared.metres[n])),
                json.dumps(compared.changes[n], ensure_ascii=False),
                drawn[number - 1],
            )
        for number, before in enumerate(gone.tolist()):
            yield (
                draft_id,
                len(listed) + number + 1,
                "removed",
                None,
                side.codes[before],
                int(census.versions[before]),
                side.fields["catalogue"][before],
                side.fields["category_code"][before],
                side.fields["name"][before],
                census.villages[before],
                None,
                "{}",
                gone_drawn[number],
            )

    copy_in(tx, "census_difference", _DIFFERENCE_COLUMNS, each())
