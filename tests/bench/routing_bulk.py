"""Bulk routing: point → unit grid, village, duty rule, against PostGIS finding the unit grid alone.

One core each. The reference is the faster of two ways to write the join, over the same points in a table of the same
database; its answer for every point is compared with ours. Ours counts everything but loading the areas, once a change.
"""

import time
from typing import Any

import numpy as np
from sqlalchemy import Connection, text

from gis import db
from gis.areas import Areas
from gis.routing import DutyList, RoutingFacts, Units
from gis.rulebook import rulebook
from tests.bench.harness import Bench, Figure, at_least, best, roads, scatter

NAME = "routing_bulk"
POINTS = 2_000_000
REFERENCE_POINTS = 200_000
_JOINS = (
    "select count(g.code) from bench_point p join unit_grid g on ST_Covers(g.geom, p.geom) where p.id < :n",
    """select count(g.code) from bench_point p cross join lateral
       (select code from unit_grid g where ST_Covers(g.geom, p.geom) limit 1) g where p.id < :n""",
)


def run(bench: Bench) -> Figure:
    """Raises ``RuntimeError`` when a single point differs."""
    with bench.database() as engine, db.transaction(engine) as tx:
        begin = time.perf_counter()
        areas = Areas.load(tx)
        loaded = time.perf_counter() - begin
        n = bench.scaled(POINTS)
        lon, lat = scatter(n, areas.bounds, roads(tx))
        ours, grid = _ours(tx, areas, lon, lat, bench)
        bench.say(f"{len(areas.codes)} grids indexed in {loaded:.2f} s, {areas.index.nbytes / 1e6:.1f} MB")
        _fill(tx, lon, lat)
        sample = min(n, bench.scaled(REFERENCE_POINTS, 20_000))
        reference = max(
            sample / best(2, lambda join=join: tx.execute(text(join), {"n": sample}).scalar())[0] for join in _JOINS
        )
        bench.say(f"comparing {n} answers with ST_Covers …")
        _compare(tx, areas.codes, grid)
    return at_least(NAME, ours, reference, "points/s", 40)


def _ours(tx: Connection, areas: Areas, lon: Any, lat: Any, bench: Bench) -> tuple[float, Any]:
    book = rulebook(tx)
    rng = np.random.default_rng(7)
    categories = [(one.kind, one.code) for one in book.catalogues[book.town_catalogue]]
    channels = ["patrol", "public", "hotline", "video"]
    units = [None, ("D04", "D04", "D24"), ("D19", "", "D19"), ("", "", "")]
    category = rng.integers(0, len(categories), lon.size)
    channel, unit = rng.integers(0, len(channels), lon.size), rng.integers(0, len(units), lon.size)
    places = [areas.facts(i) for i in range(len(areas.codes))]
    village_of = np.append(np.unique(areas.villages.astype(str), return_inverse=True)[1], -1).astype(np.int16)

    def work() -> tuple[Any, Any, Any]:
        grid = areas.locate(lon, lat)
        village = village_of[grid]
        rule = book.duty_list.route_bulk(categories, category, places, grid, channels, channel, units, unit)
        return grid, village, rule

    seconds, (grid, _, rule) = best(3, work)
    for i in rng.choice(lon.size, min(lon.size, 20_000)).tolist():
        _same_alone(
            book.duty_list, categories[category[i]], places, int(grid[i]), channels[channel[i]], units[unit[i]], rule[i]
        )
    locate, _ = best(2, lambda: areas.locate(lon, lat))
    bench.say(
        f"point to grid alone {lon.size / locate / 1e6:.1f} M points/s; {int((grid < 0).sum())} points in no grid"
    )
    return lon.size / seconds, grid


def _same_alone(
    duty: DutyList,
    category: tuple[str, str],
    places: list[Any],
    grid: int,
    channel: str,
    units: Units | None,
    rule: int,
) -> None:
    found = -1
    if grid >= 0:
        at = places[grid]
        case = RoutingFacts(
            *category,
            at.village_code,
            at.unit_grid_code,
            at.duty_grid_code,
            at.area_class,
            channel,
            component_units=units,
        )
        one = duty.find(case)
        found = -1 if one is None else one.position
    if found != rule:
        raise RuntimeError(f"in bulk rule {rule}, alone rule {found} for {category} at grid {grid}")


def _fill(tx: Connection, lon: Any, lat: Any) -> None:
    tx.execute(text("create temporary table bench_raw (id int, lon float8, lat float8) on commit drop"))
    db.copy_in(tx, "bench_raw", ("id", "lon", "lat"), zip(range(lon.size), lon.tolist(), lat.tolist(), strict=True))
    tx.execute(
        text(
            "create temporary table bench_point on commit drop as"
            " select id, ST_SetSRID(ST_MakePoint(lon, lat), 4490) as geom from bench_raw"
        )
    )
    tx.execute(text("create unique index on bench_point (id)"))
    tx.execute(text("analyze bench_point"))


def _compare(tx: Connection, codes: Any, grid: Any) -> None:
    """Every point: the lowest code PostGIS finds must be ours."""
    statement = (
        "copy (select p.id, min(g.code) from bench_point p join unit_grid g on ST_Covers(g.geom, p.geom)"
        " group by p.id) to stdout"
    )
    position = {code: i for i, code in enumerate(codes)}
    theirs = np.full(grid.size, -1, np.int32)
    with db.raw(tx).cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(["int4", "text"])
        for point, code in copy.rows():
            theirs[point] = position[code]
    different = np.flatnonzero(theirs != grid)
    if different.size:
        raise RuntimeError(f"{different.size} of {grid.size} points differ from ST_Covers, the first is {different[0]}")
