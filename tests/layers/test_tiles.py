"""Point tiles are read back by an independent decoder; shape tiles come from PostGIS."""

import itertools
import random
from collections import Counter
from uuid import UUID

import mapbox_vector_tile
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from gis import geometry, map_shapes
from gis.points import CaseStore
from gis.points_components import ComponentStore
from gis.points_components import state as components_state
from gis.search import CaseFilter
from gis.tables import basemap_feature, component, division, survey, unit_grid
from layers import style, tiles
from layers.mvt import Block, Property, Rows, Table, distinct, layer
from tests.gis.test_points import EVERYTHING, NOW, filters, in_scope, kept, light_of, make_row, scopes
from tests.gis.test_points import tiles as tiles_of


def read(body: bytes) -> dict:
    """Features by layer, y downwards as written."""
    return {
        name: [(tuple(f["geometry"]["coordinates"]), f["properties"]) for f in found["features"]]
        for name, found in mapbox_vector_tile.decode(body, default_options={"y_coord_down": True}).items()
    }


@given(
    st.lists(
        st.tuples(st.integers(-5000, 8191), st.integers(-5000, 8191), st.integers(0, 2**40), st.integers(0, 2)),
        max_size=30,
    ),
    st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 4095), st.uuids()), max_size=5),
)
def test_what_is_written_is_read_back(words, ids):
    names = ("甲", "b", "")
    x, y, n, word = (np.array(column, np.int64) for column in (zip(*words, strict=True) if words else ([], [], [], [])))
    first = Block(x, y, [Property("n", n), Property("词", word, names)])
    bytes_of = np.array([list(i.bytes) for _, _, i in ids], np.uint8).reshape(-1, 16)
    second = Block(
        np.array([i[0] for i in ids], np.int64),
        np.array([i[1] for i in ids], np.int64),
        [Property("n", np.ones(len(ids), np.int64)), Property("id", np.arange(len(ids)), bytes_of)],
    )
    got = read(layer("things", [first, second]))
    told = [((a, b), {"n": c, "词": names[d]}) for a, b, c, d in words]
    told += [((a, b), {"n": 1, "id": str(i)}) for a, b, i in ids]
    assert got == ({"things": told} if told else {})


@given(
    st.lists(st.tuples(st.sampled_from("ab丙"), st.integers(0, 3), st.just("x")), min_size=1, max_size=8),
    st.sampled_from((1, 3, 60)),
    st.data(),
)
def test_properties_that_come_together_are_read_back_row_by_row(rows, count, data):
    """For few features and for many, before other values and after them."""
    codes = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=count, max_size=count))
    assert_together(rows, codes)


def test_numbers_of_values_may_take_three_bytes():
    assert_together([("a", 1), ("b", 2), ("c", 2)], [i % 3 for i in range(17_000)])


def assert_together(rows, codes):
    count = len(codes)
    at, words = np.zeros(count, np.int64), tuple(f"no {i}" for i in range(count))
    names, other = ("kind", "n", "word")[: len(rows[0])], Property("i", np.arange(count), words)
    told = [dict(zip(names, rows[code], strict=True)) for code in codes]
    whole, grown = Table(names, rows), Table(names, rows[:1]).followed_by(rows[1:])
    for properties in itertools.chain.from_iterable(
        ([together, other], [other, together]) for together in (Rows(one, np.array(codes)) for one in (whole, grown))
    ):
        got = [features for _, features in read(layer("things", [Block(at, at, properties)]))["things"]]
        assert got == [row | {"i": word} for row, word in zip(told, words, strict=True)]


@given(st.lists(st.integers(0, 200_000), max_size=50))
def test_distinct_is_what_unique_says(values):
    array = np.array(values, np.int64)
    used, where = distinct(array)
    assert used.tolist() == sorted(set(values))
    assert used[where].tolist() == values


def test_a_case_tile_tells_every_case_once():
    chance = random.Random(5)
    rows = {row.id: row for row in (make_row(chance, i) for i in range(500))}
    store = CaseStore.of(list(rows.values()))
    mask = store.mask(EVERYTHING, CaseFilter(), NOW)
    shift = geometry.WORLD_BITS - 12
    for z in (10, 15, 18):
        total, alone = Counter(), []
        for tile in tiles_of(z, list(rows.values())):
            for (x, y), told in read(tiles.cases(store, mask, *tile)).get("cases", []):
                light = {told["light"]: 1} if "light" in told else {}
                total.update({"n": told["n"]} | {w: told.get(w, light.get(w, 0)) for w in ("red", "yellow")})
                assert ("id" in told) == (told["n"] == 1)
                if told["n"] == 1:
                    row = rows[UUID(told["id"])]
                    alone.append(row.id)
                    assert told["light"] == light_of(row, NOW)
                    assert (told["stage"], told["severity"]) == (row.stage, row.severity)
                    assert (told["status"], told["kind"]) == (row.status, row.kind)
                    assert told["category"] == f"{row.category_kind}:{row.category_code}"
                    px, py = geometry.world_pixel(row.lon, row.lat)
                    unit = 2 ** (shift - z) if z <= 16 else 2.0 ** (shift - z)
                    assert abs((tile[1] * 4096 + x) * unit - px) <= max(unit, 1)
                    assert abs((tile[2] * 4096 + y) * unit - py) <= max(unit, 1)
        lights = Counter(light_of(row, NOW) for row in rows.values())
        assert total == {"n": 500, "red": lights["red"], "yellow": lights["yellow"]}
        assert len(alone) == len(set(alone))
        assert z < 17 or len(alone) == 500


def test_fewer_cells_hold_the_same_cases():
    chance = random.Random(6)
    rows = [make_row(chance, i) for i in range(300)]
    store = CaseStore.of(rows)
    mask = store.mask(EVERYTHING, CaseFilter(), NOW)
    counts = []
    for bits in (6, 3):
        found = [f for t in tiles_of(12, rows) for f in read(tiles.cases(store, mask, *t, bits)).get("cases", [])]
        assert sum(told["n"] for _, told in found) == 300
        counts.append(len(found))
    assert counts[0] > counts[1] > 0


def test_heat_weighs_every_case():
    chance = random.Random(7)
    rows = [make_row(chance, i) for i in range(300)]
    store = CaseStore.of(rows)
    mask = store.mask(EVERYTHING, CaseFilter(status=("open",)), NOW)
    for z in (8, 13, 16):
        found = [f for t in tiles_of(z, rows) for f in read(tiles.heat(store, mask, *t)).get("heat", [])]
        assert sum(told["n"] for _, told in found) == sum(r.status == "open" for r in rows) > 0


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6), scope=scopes, wanted=filters, z=st.sampled_from((9, 12, 15, 18)), bits=st.integers(2, 6)
)
def test_clusters_heat_hexagons_and_days_all_add_up_to_the_count_under_any_filter(seed, scope, wanted, z, bits):
    chance = random.Random(seed)
    rows = [make_row(chance, i) for i in range(150)]
    store = CaseStore.of(rows)
    mask = store.mask(scope, wanted, NOW)
    kept_rows = [row for row in rows if in_scope(row, scope) and kept(row, wanted, NOW)]
    drawn = Counter()
    for tile in tiles_of(z, rows):
        for name, body in (
            ("clusters", tiles.cases(store, mask, *tile, bits)),
            ("heat", tiles.heat(store, mask, *tile)),
        ):
            drawn[name] += sum(told["n"] for features in read(body).values() for _, told in features)
    cells = sum(store.hexagons(mask, z // 2)[1].tolist())
    days = sum(store.facets(mask, ["day"])["day"].values())
    assert (drawn["clusters"], drawn["heat"], cells, days, mask.count) == (len(kept_rows),) * 5


def test_components_from_the_database(tx):
    chance = random.Random(8)
    run = UUID(int=1)
    tx.execute(survey.insert().values(id=run, name="t", source="t", crs="EPSG:4490", catalogue="cjt214-2007"))
    rows = []
    for i in range(200):
        lon, lat = chance.uniform(116.61, 116.69), chance.uniform(40.07, 40.13)
        category = chance.choice(("0101", "0104", "0201"))
        rows.append(
            {
                "code": f"999999{category}{i:06d}",
                "catalogue": "cjt214-2007",
                "category_code": category,
                "name": "x",
                "state": "removed" if i % 10 == 0 else "intact",
                "unit_grid_code": "110113003001001",
                "village_code": "110113003201",
                "survey_id": run,
                "lon": lon,
                "lat": lat,
                "mk": geometry.morton(lon, lat),
                "geom": f"SRID=4490;POINT({lon} {lat})",
            }
        )
    tx.execute(component.insert(), rows)
    store = ComponentStore.load(tx)
    kept = [r for r in rows if r["state"] != "removed" and r["category_code"].startswith("01")]
    mask = store.mask(CaseFilter(category=("component:01", "event:02")))
    found = {}
    px = [geometry.world_pixel(r["lon"], r["lat"]) for r in kept]
    for x, y in {(a >> 10, b >> 10) for a, b in px}:
        for _, told in read(tiles.components(store, mask, 18, x, y)).get("components", []):
            if told["code"].startswith("999999"):  # the test town has components of its own
                found[told["code"]] = told["category"]
    assert found == {r["code"]: f"component:{r['category_code']}" for r in kept}
    box = (116.62, 40.08, rows[1]["lon"], rows[1]["lat"] + 0.02)
    west, south, east, north = geometry.pixel_bounds(box)
    lon, lat = component.c.lon, component.c.lat
    inside = select(func.count()).where(
        component.c.state != "removed", lon >= west, lon < east, lat > south, lat <= north
    )
    assert store.mask(CaseFilter(bbox=box)).count == tx.execute(inside).scalar_one() > 0
    assert components_state(tx) == store.mark


SQUARE = "SRID=4490;MULTIPOLYGON(((117.64 40.1,117.66 40.1,117.66 40.12,117.64 40.12,117.64 40.1)))"


def test_shapes_come_from_postgis(tx):
    # A degree east of the test town, which has shapes of its own.
    tx.execute(
        division.insert().values(
            code="999999003201",
            level="village",
            name="甲村村委会",
            short_name="甲村",
            valid_from="2026-01-01",
            geom=SQUARE,
        )
    )
    tx.execute(
        unit_grid.insert(),
        [
            {
                "code": f"99999900300100{i}",
                "village_code": "999999003201",
                "area_class": "B",
                "area_m2": 1.0,
                "valid_from": "2026-01-01",
                "valid_to": "2026-02-01" if i else None,
                "geom": "SRID=4490;POLYGON((117.64 40.1,117.65 40.1,117.65 40.11,117.64 40.11,117.64 40.1))",
            }
            for i in range(2)
        ],
    )
    tx.execute(
        basemap_feature.insert(),
        [
            {"layer": layer, "kind": kind, "name": name, "geom": f"SRID=4490;{geom}"}
            for layer, kind, name, geom in (
                ("water", "river", "潮白河", "POLYGON((117.64 40.1,117.65 40.1,117.65 40.11,117.64 40.1))"),
                ("road", "trunk", "顺平路", "LINESTRING(117.64 40.1,117.66 40.12)"),
                ("road", "lane", "", "LINESTRING(117.64 40.11,117.66 40.12)"),
                ("building", "school", "", "POLYGON((117.65 40.11,117.651 40.11,117.651 40.111,117.65 40.11))"),
            )
        ],
    )
    px, py = geometry.world_pixel(117.65, 40.11)

    def at(layer: str, z: int) -> dict:
        shift = geometry.WORLD_BITS - z
        return read(map_shapes.tile(tx, layer, z, px >> shift, py >> shift))

    (_, told), *rest = at("unit_grids", 13)["unit_grids"]
    assert told == {"code": "999999003001000", "village_code": "999999003201", "area_class": "B"}
    assert not rest, "a retired grid is not drawn"
    assert [told for _, told in at("divisions", 12)["divisions"]] == [
        {"code": "999999003201", "name": "甲村", "level": "village"}
    ]
    far, near = at("basemap", 12), at("basemap", 14)
    assert [told for _, told in far["road"]] == [{"kind": "trunk", "name": "顺平路"}]
    assert {told["kind"] for _, told in near["road"]} == {"trunk", "lane"}
    assert "building" not in far
    assert near["building"]
    assert [told for _, told in far["place"]] == [{"kind": "village", "name": "甲村"}]
    assert map_shapes.tile(tx, "unit_grids", 13, 0, 0) == b""


def test_the_style_draws_only_layers_its_tiles_have():
    held = {"water", "green", "parcel", "building", "road", "place"}
    for theme in style.THEMES:
        whole = style.basemap(theme, "http://127.0.0.1:8000/")
        assert whole["sources"]["basemap"]["tiles"] == ["http://127.0.0.1:8000/tiles/basemap/{z}/{x}/{y}.mvt"]
        assert "glyphs" not in whole
        drawn = [la for la in whole["layers"] if la["type"] != "background"]
        assert {la["source-layer"] for la in drawn} == held
        assert len({la["id"] for la in whole["layers"]}) == len(whole["layers"])
