"""Layers as one GeoPackage: features page by page, titles in the reader's language, a style QGIS opens them with.

Knows files; knows nothing of callers and of where features come from.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from gis.features import Feature
from gis.geometry import STORED
from layers import legend_styles

MEDIA_TYPE: Final = "application/geopackage+sqlite3"
_UTC_OFFSET: Final = 100
"""How GDAL notes that a time is UTC."""
_TYPES: Final[Mapping[str, Any]] = {
    "text": object,
    "integer": np.int64,
    "number": np.float64,
    "boolean": np.bool_,
    "date": "datetime64[D]",
    "time": "datetime64[ms]",
}
_SHAPES: Final = {"point": "Point", "polygon": "MultiPolygon", "mixed": "Unknown"}


@dataclass(frozen=True)
class Table:
    """One layer of the file: its name, title and words; fields as (name, kind of gis.feature_sources, title).

    ``shape`` is point, polygon or mixed. ``colours`` are (value, label, colour) by ``coloured``, a field or "" for one
    colour; mixed shapes have no style, since a style is of one kind of shape. ``pages`` give the features with WKB in
    EPSG:4490.
    """

    name: str
    title: str
    description: str
    shape: str
    fields: Sequence[tuple[str, str, str]]
    colours: Sequence[tuple[str, str, str]]
    coloured: str
    pages: Iterable[Sequence[Feature]]


def save(path: Path, tables: Sequence[Table]) -> int:
    """Write the layers to a new file; returns how many features there are."""
    count = 0
    for table in tables:
        written = 0
        for page in table.pages:
            if page or not written:
                _append(path, table, page, first=written == 0)
                written += max(len(page), 1)
            count += len(page)
    with closing(sqlite3.connect(path)) as book, book:
        _describe(book, tables)
    return count


def _append(path: Path, table: Table, page: Sequence[Feature], *, first: bool) -> None:
    from pyogrio.raw import write  # with pandas 40 MB that a process drawing tiles has no use for

    columns, masks = [np.array([feature.id for feature in page], object)], [np.zeros(len(page), np.bool_)]
    for name, kind, _ in table.fields:
        column, missing = _column([feature.properties[name] for feature in page], kind)
        columns.append(column)
        masks.append(missing)
    options: dict[str, Any] = {}
    if first:
        options = {"layer_options": {"IDENTIFIER": table.title, "DESCRIPTION": table.description, "FID": "fid"}}
    times = {name: np.full(len(page), _UTC_OFFSET) for name, kind, _ in table.fields if kind == "time"}
    write(
        str(path),
        geometry=np.array([feature.geometry for feature in page], object),
        field_data=columns,
        field_mask=masks,
        fields=np.array(["feature_id", *(name for name, _, _ in table.fields)], object),
        layer=table.name,
        driver="GPKG",
        geometry_type=_SHAPES[table.shape],
        crs=STORED,
        append=path.exists() and not first,
        promote_to_multi=table.shape == "polygon",
        nan_as_null=True,
        gdal_tz_offsets=times,
        **options,
    )


def _column(values: Sequence[Any], kind: str) -> tuple[Any, Any]:
    """Values as an array of their kind, and where there is none."""
    missing = np.array([value is None for value in values], np.bool_)
    if kind == "time":
        values = [v.astimezone(UTC).replace(tzinfo=None) if isinstance(v, datetime) else None for v in values]
    if kind in ("date", "time"):
        return np.array(values, _TYPES[kind]), missing
    if kind == "text":
        return np.array([None if value is None else str(value) for value in values], object), missing
    return np.array([0 if value is None else value for value in values], _TYPES[kind]), missing


# --- Titles and styles ------------------------------------------------------------------------------------------


def _describe(book: sqlite3.Connection, tables: Sequence[Table]) -> None:
    """Titles of fields (the schema extension of GeoPackage) and styles (the table in which QGIS looks for them)."""
    book.execute(
        "CREATE TABLE IF NOT EXISTS gpkg_data_columns (table_name TEXT NOT NULL, column_name TEXT NOT NULL, name TEXT,"
        " title TEXT, description TEXT, mime_type TEXT, constraint_name TEXT,"
        " CONSTRAINT pk_gdc PRIMARY KEY (table_name, column_name), CONSTRAINT gdc_tn UNIQUE (table_name, name))"
    )
    book.execute(
        "CREATE TABLE IF NOT EXISTS gpkg_data_column_constraints (constraint_name TEXT NOT NULL, constraint_type TEXT"
        " NOT NULL, value TEXT, min NUMERIC, min_is_inclusive BOOLEAN, max NUMERIC, max_is_inclusive BOOLEAN,"
        " description TEXT, CONSTRAINT gdcc_ntv UNIQUE (constraint_name, constraint_type, value))"
    )
    extension = "INSERT INTO gpkg_extensions VALUES (?, NULL, 'gpkg_schema', ?, 'read-write')"
    specification = "http://www.geopackage.org/spec/#extension_schema"
    book.executemany(
        extension, [(name, specification) for name in ("gpkg_data_columns", "gpkg_data_column_constraints")]
    )
    book.execute(
        "CREATE TABLE layer_styles (id INTEGER PRIMARY KEY AUTOINCREMENT, f_table_catalog TEXT(256), f_table_schema"
        " TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD"
        " TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), update_time DATETIME)"
    )
    book.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, description)"
        " VALUES ('layer_styles', 'attributes', 'layer_styles', '')"
    )
    for table in tables:
        rows = [(table.name, name, title, title) for name, _, title in table.fields]
        book.executemany("INSERT INTO gpkg_data_columns VALUES (?, ?, ?, ?, NULL, NULL, NULL)", rows)
        if table.shape == "mixed":
            continue
        told = (table.title, table.shape, table.coloured, table.colours)
        book.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName,"
            " styleQML, styleSLD, useAsDefault, description, owner, update_time)"
            " VALUES ('', '', ?, 'geom', ?, ?, ?, 1, ?, '', strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))",
            (table.name, table.title[:30], legend_styles.qml(*told), legend_styles.sld(*told), table.title),
        )
