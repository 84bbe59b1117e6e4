"""A plain town around given data: a rectangle of square unit grids with numbered villages. Knows no roads, no names.

It stands in for a survey of the land where real data has to go somewhere: boundaries are invented, so it says that it
is synthetic.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
import yaml
from geoalchemy2.shape import from_shape
from sqlalchemy import insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from gis import errors, grids, rulebook
from gis.db import Connection
from gis.geometry import Bounds, metres_per_degree
from gis.settings import settings
from gis.tables import SRID, department, division, town

CODE, NAME = "990000001", "导入数据镇"
"""Not a real division: 99 is no province of GB/T 2260."""
_MOST_GRIDS = 4000
_SIDE_M = 100.0
_VILLAGE_SIDE = 30
_SINCE = date(2020, 1, 1)


@dataclass(frozen=True)
class PlainTown:
    """What was drawn."""

    code: str
    name: str
    bounds: Bounds
    villages: int
    unit_grids: int
    side_m: float


def plain_town(
    tx: Connection,
    bounds: Bounds,
    *,
    code: str = CODE,
    name: str = NAME,
    side_m: float | None = None,
    margin_m: float = 200.0,
    data_dir: Path | None = None,
) -> PlainTown:
    """Draw a town over ``bounds`` (west, south, east, north in EPSG:4490) and publish the definitions of ``data_dir``.

    Unit grids are squares of ``side_m`` (default 100 m, more where that would be over 4,000 of them), villages blocks
    of at most 30 × 30. Raises ``ImportRefused`` when the database already has a town.
    """
    if tx.execute(select(town.c.code)).first() is not None:
        raise errors.ImportRefused(
            zh="数据库中已有镇，请用新的 WANGGE_HOME", en="There is a town already; use another WANGGE_HOME"
        )
    root = data_dir or settings().data_dir
    rulebook.load_files(tx, root)
    xs, ys, side = _lines(bounds, side_m, margin_m)
    cells, villages, sequence = _cells(xs, ys, code)
    lands = {v: shapely.union_all(cells[villages == v]) for v in np.unique(villages.astype(str)).tolist()}
    whole = shapely.box(xs[0], ys[0], xs[-1], ys[-1])
    tx.execute(
        insert(town).values(code=code, name=name, number_prefix="PT", synthetic=True, catalogue=_catalogue(root))
    )
    rows = [_division(f"{code}000", "township", name, None, whole)]
    rows += [_division(v, "village", f"{name}第{int(v[9:])}片", f"{code}000", land) for v, land in lands.items()]
    tx.execute(insert(division).values(rows))
    _departments(tx, root, list(lands))
    blank = np.full(len(cells), "", dtype=object)
    drawn = grids.GridSet(
        codes=np.array([f"{v}{k:03d}" for v, k in zip(villages, sequence, strict=True)], dtype=object),
        villages=villages,
        area_classes=np.full(len(cells), "B", dtype=object),
        land_uses=blank,
        duty_codes=blank,
        polygons=cells,
    )
    grids.land(tx, drawn, _SINCE)
    rulebook.check_names(tx)
    west, south, east, north = whole.bounds
    return PlainTown(code, name, (west, south, east, north), len(lands), len(cells), side)


def _lines(bounds: Bounds, side_m: float | None, margin_m: float) -> tuple[Any, Any, float]:
    """The meridians and parallels that part the grids, and the grids' side in metres."""
    west, south, east, north = bounds
    per_lon, per_lat = metres_per_degree((south + north) / 2)
    width, height = (east - west) * per_lon + 2 * margin_m, (north - south) * per_lat + 2 * margin_m
    side = side_m or max(_SIDE_M, float(np.sqrt(width * height / _MOST_GRIDS)))
    columns, rows = max(1, int(np.ceil(width / side))), max(1, int(np.ceil(height / side)))
    middle_x, middle_y = (west + east) / 2, (south + north) / 2
    xs = middle_x + (np.arange(columns + 1) - columns / 2) * side / per_lon
    ys = middle_y + (np.arange(rows + 1) - rows / 2) * side / per_lat
    return xs, ys, side


def _cells(xs: Any, ys: Any, code: str) -> tuple[Any, Any, npt.NDArray[np.int64]]:
    """(squares, village codes, sequence numbers): villages and squares each north to south, west to east."""
    columns, rows = len(xs) - 1, len(ys) - 1
    row, column = (part.ravel() for part in np.meshgrid(np.arange(rows)[::-1], np.arange(columns), indexing="ij"))
    cells = shapely.box(xs[column], ys[row], xs[column + 1], ys[row + 1])
    across, down = -(-columns // _VILLAGE_SIDE), -(-rows // _VILLAGE_SIDE)
    if across * down > 999:
        raise errors.ImportRefused(zh="范围过大", en="The town would have over 999 villages", villages=across * down)
    block = (rows - 1 - row) * down // rows * across + column * across // columns
    villages = np.array([f"{code}{number + 1:03d}" for number in block.tolist()], dtype=object)
    order = np.argsort(block, kind="stable")
    sequence = np.empty(len(cells), dtype=np.int64)
    starts = np.searchsorted(block[order], block[order])
    sequence[order] = np.arange(len(cells)) - starts + 1
    return cells, villages, sequence


def _division(code: str, level: str, name: str, parent: str | None, land: Any) -> dict[str, Any]:
    shape = shapely.multipolygons([land]) if land.geom_type == "Polygon" else land
    return {
        "code": code,
        "level": level,
        "name": name,
        "short_name": name,
        "parent": parent,
        "synthetic": True,
        "valid_from": _SINCE,
        "geom": from_shape(shape, srid=SRID),
    }


def _catalogue(root: Path) -> str:
    """The catalogue of the filing standard: cases in another could not be timed."""
    path = next(iter(sorted((root / "filing_standards").glob("*.yaml"))))
    return str(yaml.safe_load(path.read_text(encoding="utf-8"))["catalogue"])


def _departments(tx: Connection, root: Path, villages: list[str]) -> None:
    """The departments of ``data/departments``, and one per village (V and the last three digits of its code).

    Other towns' villages are inactive: the duty list may name them, nobody sends them anything.
    """
    rows: dict[str, dict[str, Any]] = {}
    for path in sorted((root / "departments").glob("*.yaml")):
        for row in yaml.safe_load(path.read_text(encoding="utf-8"))["departments"]:
            rows[row["code"]] = {key: row.get(key) for key in ("code", "name", "kind", "parent")}
            rows[row["code"]]["active"] = row["kind"] != "village"
    for village in villages:
        code = f"V{village[9:]}"
        rows[code] = {
            "code": code,
            "name": f"第{int(village[9:])}片",
            "kind": "village",
            "parent": None,
            "active": True,
        }
    tx.execute(upsert(department).values(list(rows.values())).on_conflict_do_nothing())
