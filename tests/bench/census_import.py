"""A component census of 100,000 rows from a GeoPackage into the demo town: read, checked, landed, committed.

The file is in EPSG:4548 under the attribute names of the national exchange form; one row in a hundred is spoilt, and
every spoilt row must be refused under the code it was spoilt for. Then the same file as a draft, as a second survey of
a running town comes: every check, suggestions, the comparison with all that is published, everything written down.
"""

import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import geopandas as gpd
import numpy as np
import shapely

from gis import census_check, census_drafts, db, geometry, imports
from gis.areas import Areas, areas
from gis.people import SYSTEM
from tests.bench.harness import Bench, Figure, roads, scatter

NAME = "census_import"
ROWS = 100_000
GOAL_S = 60.0
_STATES = ("完好", "破损", "丢失", "废弃")
_CATEGORIES = ("0101", "0103", "0104", "0105", "0118", "0211", "0303", "0401")


def run(bench: Bench) -> list[Figure]:
    """The import, then the check of the draft. Raises ``RuntimeError`` where one is not what the file was made for."""
    rows = bench.scaled(ROWS)
    with bench.database() as engine, tempfile.TemporaryDirectory() as folder:
        with db.transaction(engine) as tx:
            path, spoilt = _write(Path(folder), rows, areas(tx), roads(tx))
        mapping = imports.mapping_named("census-cjt214")
        begin = time.perf_counter()
        with db.transaction(engine) as tx:
            outcome = imports.import_file(tx, "components", path, mapping, errors_to=Path(folder) / "errors.csv")
        seconds = time.perf_counter() - begin
        if outcome.refused_by_code != spoilt or outcome.new != rows - sum(spoilt.values()):
            raise RuntimeError(f"expected {spoilt} refused of {rows}, found {outcome.counts()}")
        begin = time.perf_counter()
        with db.transaction(engine) as tx:
            again = imports.import_file(tx, "components", path, mapping)
        if again.unchanged != outcome.new or again.new or again.updated:
            raise RuntimeError(f"the same file again: {again.counts()}")
        bench.say(
            f"{outcome.new:,} components in {seconds:.1f} s, {outcome.refused:,} refused;"
            f" the same file again {time.perf_counter() - begin:.1f} s"
        )
        begin = time.perf_counter()
        steps: list[tuple[str, float]] = []
        with db.transaction(engine) as tx:
            counts = _draft(tx, path, lambda stage, done, _: steps.append((f"{stage} {done}", time.perf_counter())))
        drafted = time.perf_counter() - begin
        if counts["bad"] != sum(spoilt.values()) or counts["differences"]["unchanged"] != outcome.new:
            raise RuntimeError(f"the draft of the same file: {counts}")
        took = [f"{name} {at - before:.1f} s" for (name, before), (_, at) in pairwise(steps)]
        bench.say(f"{rows:,} rows checked as a draft in {drafted:.1f} s: {', '.join(took)}")
    limit = GOAL_S * rows / ROWS
    return [
        Figure(name, found, limit, "s", found / limit, f"<= {limit:g} s", found <= limit)
        for name, found in ((NAME, seconds), ("census_draft", drafted))
    ]


def _draft(tx: db.Connection, path: Path, progress: Callable[[str, int, int], None]) -> dict[str, Any]:
    draft_id = uuid4()
    census_drafts.begin(tx, SYSTEM, draft_id, "bench", path.name, str(path), "census-cjt214")
    return census_check.check(tx, draft_id, imports.mapping_named("census-cjt214"), progress)


def _write(folder: Path, rows: int, town: Areas, lines: Any) -> tuple[Path, dict[str, int]]:
    """(the file, how many rows must be refused under which code)."""
    rng = np.random.default_rng(41)
    lon, lat = scatter(rows * 2, town.bounds, lines, seed=3)
    grid = town.locate(lon, lat)
    inside = np.flatnonzero(grid >= 0)[:rows]
    lon, lat, grid = lon[inside], lat[inside], grid[inside]
    category = rng.choice(_CATEGORIES, rows)
    district = str(town.codes[0])[:6]
    # From half-way up the sequence: the demo town's own census holds the numbers from 1.
    ids = np.array([f"{district}{c}{500_001 + at:06d}" for at, c in enumerate(category)], dtype=object)
    units = np.array([f"D{k:02d}" for k in rng.integers(1, 20, rows)], dtype=object)
    named, dates = town.codes[grid].astype(object), np.full(rows, "2024-05-01", dtype=object)
    x, y = geometry.to_4548(lon, lat)
    spoilt = np.sort(rng.choice(np.arange(1, rows), rows // 100, replace=False))
    parts = np.array_split(spoilt, 6)
    x[parts[0]], y[parts[0]] = 0.0, 0.0
    x[parts[1]] += 60_000.0
    ids[parts[2]] = ids[0]
    units[parts[3]] = "没有的单位"
    named[parts[4]] = [code[:12] + "999" for code in named[parts[4]]]
    dates[parts[5]] = "1 May"
    frame = gpd.GeoDataFrame(
        {
            "ObjID": ids,
            "ObjState": rng.choice(_STATES, rows),
            "DeptCode1": units,
            "DeptCode2": units,
            "BGID": named,
            "ORDate": dates,
            "CHDate": np.full(rows, "2025-01-31", dtype=object),
            "Material": rng.choice(("铸铁", "复合", "水泥"), rows),
            "Note": [f"第{at}个" for at in range(rows)],
        },
        geometry=shapely.points(x, y),
        crs=4548,
    )
    path = folder / "census.gpkg"
    frame.to_file(path, driver="GPKG")
    codes = ("null_island", "outside_town", "component_duplicate", "department_unknown", "grid_mismatch", "date_bad")
    return path, {code: len(part) for code, part in zip(codes, parts, strict=True)}
