"""Grid plans: whatever the steps, the land stays covered once; codes, descent and duty grids of what comes out."""

from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from gis import errors, grid_groups, grid_outcome, grid_plan, lineage, town_cut
from gis.grid_plan import Cell, Duty, Plan
from gis.lineage import Descent
from tests.gis.tilings import BOUNDS, voronoi

VILLAGES = ("990000001001", "990000001002")
MIDDLE = (BOUNDS[0] + BOUNDS[2]) / 2


def tiling(n: int = 40, seed: int = 1) -> Plan:
    """Two villages with two duty grids each, cut along a straight line into Voronoi cells that share their nodes."""
    west, south, east, north = BOUNDS
    cells, duties = {}, {}
    noded = shapely.coverage_clean(
        np.concatenate(
            [voronoi(n, seed, (west, south, MIDDLE, north)), voronoi(n, seed + 1, (MIDDLE, south, east, north))]
        )
    )
    for k, polygon in enumerate(sorted(shapely.get_parts(noded), key=lambda p: p.bounds)):
        village = VILLAGES[int(polygon.centroid.x > MIDDLE)]
        half = 1 + int(polygon.centroid.y > (south + north) / 2)
        cells[f"{village}{k + 1:03d}"] = Cell(village, "B", "", f"{village}D{half:02d}", polygon)
        duties[f"{village}D{half:02d}"] = Duty(f"网格{half}", village)
    return grid_plan.base(cells, duties)


START = tiling()
BOX = shapely.box(*BOUNDS)


def covers_once(plan: Plan) -> None:
    """No gap, no overlap, by two witnesses that know nothing of how plans work: areas, and points counted."""
    polygons = [cell.polygon for cell in plan.cells.values()]
    assert shapely.coverage_is_valid(np.array(polygons, dtype=object))
    assert sum(p.area for p in polygons) == pytest.approx(BOX.area, rel=1e-8)
    assert shapely.union_all(polygons).symmetric_difference(BOX).area < BOX.area * 1e-8
    for village, half in zip(VILLAGES, (BOUNDS[0], MIDDLE), strict=True):
        land = [cell.polygon for cell in plan.cells.values() if cell.village == village]
        whole = shapely.box(half, BOUNDS[1], half + (BOUNDS[2] - BOUNDS[0]) / 2, BOUNDS[3])
        assert shapely.union_all(land).symmetric_difference(whole).area < BOX.area * 1e-8
    rng = np.random.default_rng(7)
    spots = shapely.points(rng.uniform(BOUNDS[0], BOUNDS[2], 500), rng.uniform(BOUNDS[1], BOUNDS[3], 500))
    found = shapely.STRtree(polygons).query(spots, predicate="within")[0]
    assert Counter(Counter(found.tolist()).values()) == {1: 500}


def across(polygon: Any, angle: float = 0.3, bend: float = 0.0) -> list[list[float]]:
    """A line over the polygon through its middle."""
    at = np.array(polygon.representative_point().coords[0])
    size = max(polygon.bounds[2] - polygon.bounds[0], polygon.bounds[3] - polygon.bounds[1])
    way = np.array([np.cos(angle), np.sin(angle)]) * size
    return [(at - way).tolist(), (at + bend * way[::-1]).tolist(), (at + way).tolist()]


def some_step(plan: Plan, pick: int, kind: str, angle: float) -> dict[str, Any]:
    keys = sorted(plan.cells)
    key = keys[pick % len(keys)]
    polygon = plan.cells[key].polygon
    rim = list(polygon.exterior.coords)
    others = [k for k in keys if k != key and polygon.touches(plan.cells[k].polygon)]
    other = others[pick % len(others)]
    match kind:
        case "split":
            return {"step": "split", "grid": key, "line": across(polygon, angle, 0.1)}
        case "merge":
            return {"step": "merge", "grids": [key, other]}
        case "retire":
            return {"step": "retire", "grid": key, "into": other}
        case "redraw":
            both = shapely.union(polygon, plan.cells[other].polygon)
            return {"step": "redraw", "grids": [key, other], "line": across(both, angle)}
        case "move":
            at = np.array(rim[pick % len(rim)])
            return {
                "step": "move",
                "at": at.tolist(),
                "to": (at + np.array([np.cos(angle), np.sin(angle)]) * 2e-4).tolist(),
            }
        case _:
            at = polygon.representative_point()
            ring = list(at.buffer(0.0012 + 0.0001 * (pick % 9), quad_segs=2).exterior.coords)
            return {"step": "draw", "ring": [list(p) for p in ring[:-1]], "area_class": "A", "land_use": "新"}


KINDS = st.sampled_from(["split", "merge", "retire", "redraw", "move", "draw"])
STEPS = st.lists(st.tuples(st.integers(0, 10_000), KINDS, st.floats(0, 3.1)), min_size=1, max_size=8)


@given(STEPS)
@settings(max_examples=40, deadline=None)
def test_whatever_the_steps_the_land_stays_covered_once(chosen: list[tuple[int, str, float]]) -> None:
    plan, steps = START, []
    for pick, kind, angle in chosen:
        step = some_step(plan, pick, kind, angle)
        try:
            plan = grid_plan.apply(plan, step, len(steps) + 1)
        except (errors.BorderRefused, errors.NotAdjacent):
            continue
        steps.append(step)
        covers_once(plan)
    again = grid_plan.drafted(START, steps)
    assert not again.broken
    assert again.plan == plan
    check_outcome(plan)


def check_outcome(plan: Plan) -> None:
    used = {village: 900 for village in VILLAGES}
    out = grid_outcome.outcome(START, plan, used, {village: 2 for village in VILLAGES})
    new = [out.codes[key] for key in out.opened]
    assert len(set(out.codes.values())) == len(plan.cells)
    assert not set(new) & set(START.cells)
    for village in VILLAGES:
        mine = sorted(code for code in new if code.startswith(village))
        assert mine == [f"{village}{n:03d}" for n in range(901, 901 + len(mine))]
    assert set(out.ended) == set(START.cells) - set(out.codes.values())
    given: Counter[str] = Counter()
    for one in out.descents:
        given[one.old] += one.share
    assert set(given) == set(out.ended)
    assert all(share == pytest.approx(1.0) for share in given.values())
    assert set(out.members) >= set(new)
    topology = [f for f in grid_outcome.faults(START, plan, {}) if f.code in ("overlap", "gap", "outside")]
    assert topology == []


def test_most_steps_are_taken() -> None:
    """The property above is no empty promise: of plain steps on plain grids nearly all succeed."""
    done: Counter[str] = Counter()
    for pick in range(0, 400, 10):
        for kind in ("split", "merge", "retire", "redraw", "move", "draw"):
            try:
                covers_once(grid_plan.apply(START, some_step(START, pick, kind, 0.7), 1))
                done[kind] += 1
            except (errors.BorderRefused, errors.NotAdjacent):
                pass
    assert done["split"] == 40
    assert min(done.values()) >= 20, done


def test_a_border_moves_for_all_grids_that_meet_there() -> None:
    inner = next(
        (x, y)
        for cell in START.cells.values()
        for x, y in cell.polygon.exterior.coords
        if sum(shapely.Point(x, y).intersects(c.polygon) for c in START.cells.values()) == 3
        and abs(x - MIDDLE) > 0.02
        and BOX.buffer(-0.01).contains(shapely.Point(x, y))
    )
    to = (round(inner[0] + 1e-4, 8), round(inner[1] + 1e-4, 8))
    after = grid_plan.apply(START, {"step": "move", "at": inner, "to": to}, 1)
    fresh = [cell for cell in after.cells.values() if cell.fresh]
    assert len(fresh) == 3
    assert all(to in list(cell.polygon.exterior.coords) for cell in fresh)
    covers_once(after)


def test_outlines_of_villages_and_town_are_not_moved() -> None:
    for x in (BOUNDS[0], MIDDLE):
        corner = next(
            (a, b) for cell in START.cells.values() for a, b in cell.polygon.exterior.coords if abs(a - x) < 1e-12
        )
        with pytest.raises(errors.BorderRefused):
            grid_plan.apply(START, {"step": "move", "at": corner, "to": (corner[0] + 2e-4, corner[1])}, 1)


def test_only_neighbours_of_one_village_are_merged() -> None:
    keys = sorted(START.cells)
    west = [key for key in keys if key.startswith(VILLAGES[0])]
    far = next(k for k in west if START.cells[k].polygon.disjoint(START.cells[west[0]].polygon))
    for pair in ([west[0], far], [west[0]], [west[0], west[0]]):
        with pytest.raises(errors.NotAdjacent):
            grid_plan.apply(START, {"step": "merge", "grids": pair}, 1)
    over = next(
        (a, b)
        for a in west
        for b in keys
        if b.startswith(VILLAGES[1]) and START.cells[a].polygon.intersection(START.cells[b].polygon).length > 0
    )
    with pytest.raises(errors.NotAdjacent):
        grid_plan.apply(START, {"step": "merge", "grids": list(over)}, 1)


def test_a_split_taken_back_by_a_merge_is_the_old_grid() -> None:
    key = sorted(START.cells)[5]
    steps = [
        {"step": "split", "grid": key, "line": across(START.cells[key].polygon)},
        {"step": "merge", "grids": ["n1.1", "n1.2"]},
    ]
    plan = grid_plan.drafted(START, steps).plan
    out = grid_outcome.outcome(START, plan, {}, {})
    assert (list(out.opened), list(out.ended), out.codes["n2.1"]) == ([], [], key)


def test_a_step_whose_grid_is_gone_is_left_out_and_named() -> None:
    key = sorted(START.cells)[5]
    steps = [{"step": "merge", "grids": ["x", key]}, {"step": "rename", "duty": f"{VILLAGES[0]}D01", "name": "东片"}]
    found = grid_plan.drafted(START, steps)
    assert [(number, problem.code) for number, problem in found.broken] == [(0, "grid_unknown")]
    assert found.plan.duties[f"{VILLAGES[0]}D01"].name == "东片"


def test_the_sequence_runs_out() -> None:
    key = sorted(START.cells)[5]
    plan = grid_plan.apply(START, {"step": "split", "grid": key, "line": across(START.cells[key].polygon)}, 1)
    with pytest.raises(errors.GridCodesUsedUp):
        grid_outcome.outcome(START, plan, {key[:12]: 998}, {})


# --- Duty grids -------------------------------------------------------------------------------------------------


def test_a_duty_grid_grows_by_neighbours_only() -> None:
    upper, lower = f"{VILLAGES[0]}D02", f"{VILLAGES[0]}D01"
    lowest = min(START.members(lower), key=lambda k: START.cells[k].polygon.bounds[1])
    with pytest.raises(errors.NotAdjacent):
        grid_plan.apply(START, {"step": "assign", "grids": [lowest], "duty": upper}, 1)
    with pytest.raises(errors.NotAdjacent):
        grid_plan.apply(START, {"step": "assign", "grids": [lowest], "duty": f"{VILLAGES[1]}D01"}, 1)
    near = next(
        k
        for k in START.members(lower)
        if any(START.cells[k].polygon.intersection(START.cells[j].polygon).length > 0 for j in START.members(upper))
    )
    after = grid_plan.apply(START, {"step": "assign", "grids": [near], "duty": upper}, 1)
    assert near in after.members(upper)
    out = grid_outcome.outcome(START, after, {}, {})
    assert (dict(out.members), list(out.opened), list(out.ended)) == ({near: upper}, [], [])


def test_a_duty_grid_torn_apart_is_a_fault_and_an_emptied_one_ends() -> None:
    village, duty = VILLAGES[0], f"{VILLAGES[0]}D01"
    row = {f"{village}{k:03d}": shapely.box(116.6 + k / 1000, 40.1, 116.601 + k / 1000, 40.101) for k in range(1, 4)}
    cells = {code: Cell(village, "B", "", duty, square) for code, square in row.items()}
    start = grid_plan.base(cells, {duty: Duty("东片", village)})
    first, middle, last = row
    torn = grid_plan.apply(start, {"step": "group", "grids": [middle], "name": "单独"}, 1)
    (fault,) = grid_outcome.faults(start, torn, {})
    assert (fault.code, fault.duty, fault.grids) == ("duty_apart", duty, (last,))
    mended = grid_plan.apply(torn, {"step": "assign", "grids": [last], "duty": "d1"}, 2)
    assert grid_outcome.faults(start, mended, {}) == []
    gone = grid_plan.apply(mended, {"step": "assign", "grids": [first], "duty": "d1"}, 3)
    out = grid_outcome.outcome(start, gone, {}, {village: 7})
    assert list(out.ended_duties) == [duty]
    assert set(out.members.values()) == {f"{village}D08"}


@st.composite
def groupings(draw: st.DrawFn) -> tuple[np.ndarray, list[list[int]], np.ndarray, np.ndarray]:
    """A grid of squares with figures, cut into connected groups."""
    width, height = draw(st.integers(2, 7)), draw(st.integers(2, 7))
    n = width * height
    near = [
        [j for j in (i - width, i - 1, i + 1, i + width) if 0 <= j < n and abs(j % width - i % width) <= 1]
        for i in range(n)
    ]
    parts = draw(st.integers(1, min(5, n)))
    seeds = draw(st.lists(st.integers(0, n - 1), min_size=parts, max_size=parts, unique=True))
    groups = np.full(n, -1)
    groups[seeds] = np.arange(parts)
    edge = list(seeds)
    while edge:
        i = edge.pop(draw(st.integers(0, len(edge) - 1)))
        for j in near[i]:
            if groups[j] < 0:
                groups[j] = groups[i]
                edge.append(j)
    weights = np.array(draw(st.lists(st.tuples(*[st.integers(0, 50)] * 3), min_size=n, max_size=n)), dtype=float)
    strength = np.array(draw(st.lists(st.sampled_from([1.0, 0.5, 2.0]), min_size=parts, max_size=parts)))
    return weights, near, groups.astype(np.int64), strength


def slow_unevenness(weights: np.ndarray, groups: np.ndarray, strength: np.ndarray) -> float:
    """By the words of the definition, group by group and column by column."""
    total = 0.0
    for g, hands in enumerate(strength):
        ratios = [
            (sum(w[c] for w, at in zip(weights, groups, strict=True) if at == g) / sum(w[c] for w in weights))
            / (hands / sum(strength))
            for c in range(weights.shape[1])
            if any(w[c] for w in weights)
        ]
        burden = sum(ratios) / len(ratios) if ratios else 1.0
        total += hands / sum(strength) * (burden - 1) ** 2
    return total


@given(groupings())
@settings(max_examples=80, deadline=None)
def test_a_suggested_regrouping_is_a_partition_connected_and_never_worse(some: Any) -> None:
    weights, near, groups, strength = some
    kept = groups.copy()
    found = grid_groups.regrouped(weights, near, groups, strength)
    assert (groups == kept).all()
    assert set(found.groups.tolist()) == set(range(len(strength)))
    for g in range(len(strength)):
        assert len(town_cut.pieces(np.flatnonzero(found.groups == g).tolist(), near)) == 1
    before, after = (slow_unevenness(weights, g, strength) for g in (groups, found.groups))
    assert after <= before + 1e-12
    assert found.unevenness == pytest.approx(after, abs=1e-9)
    assert found.moved == (found.groups != groups).sum()
    assert (grid_groups.regrouped(weights, near, groups, strength).groups == found.groups).all()


def test_a_plain_imbalance_is_evened_out() -> None:
    n = 20
    near = [[j for j in (i - 1, i + 1) if 0 <= j < n] for i in range(n)]
    groups = np.array([0] * 18 + [1] * 2)
    found = grid_groups.regrouped(np.ones((n, 1)), near, groups, np.ones(2))
    assert Counter(found.groups.tolist()) == {0: 10, 1: 10}
    assert found.unevenness == pytest.approx(0.0)


# --- Lineage ----------------------------------------------------------------------------------------------------


@st.composite
def families(draw: st.DrawFn) -> tuple[dict[str, int], list[Descent]]:
    """Generations of grids, each old one's land given in eighths to one to three of the next."""
    found, parents = [], [f"a{k}" for k in range(draw(st.integers(1, 4)))]
    figures = {code: draw(st.integers(0, 100)) for code in parents}
    for generation in "bcd":
        next_ones = [f"{generation}{k}" for k in range(draw(st.integers(1, 4)))]
        for old in parents:
            heirs = draw(st.lists(st.sampled_from(next_ones), min_size=1, max_size=3, unique=True))
            cuts = [1] * (len(heirs) - 1)
            found += [Descent(old, new, (8 - sum(cuts) if i == 0 else 1) / 8) for i, new in enumerate(heirs)]
        parents = next_ones
        figures |= {code: draw(st.integers(0, 100)) for code in draw(st.sets(st.sampled_from(next_ones)))}
    return figures, found


def slowly(figures: dict[str, int], family: list[Descent]) -> dict[str, Fraction]:
    """Pushes every code's count down one generation at a time until nothing moves."""
    held = {code: Fraction(n) for code, n in figures.items()}
    while any(one.old in held for one in family):
        code = next(one.old for one in family if one.old in held)
        amount = held.pop(code)
        for one in family:
            if one.old == code:
                held[one.new] = held.get(one.new, Fraction(0)) + amount * Fraction(one.share)
    return held


@given(families())
@settings(max_examples=80)
def test_figures_fold_along_lineage_and_keep_their_sum(some: tuple[dict[str, int], list[Descent]]) -> None:
    figures, family = some
    found = lineage.fold({code: {"n": float(n)} for code, n in figures.items()}, family)
    assert {code: one.values["n"] for code, one in found.items()} == pytest.approx(
        {code: float(n) for code, n in slowly(figures, family).items()}
    )
    assert sum(one.values["n"] for one in found.values()) == pytest.approx(sum(figures.values()))


def test_merged_figures_are_exact_and_divided_ones_say_that_they_are_not() -> None:
    family = [Descent("1", "3", 1.0), Descent("2", "3", 1.0), Descent("4", "5", 0.25), Descent("4", "6", 0.75)]
    found = lineage.fold({c: {"n": 4.0} for c in "12346"}, family)
    assert (found["3"].values, found["3"].own, found["3"].exact, found["3"].of) == (
        {"n": 12.0},
        {"n": 4.0},
        True,
        {"1": 1.0, "2": 1.0},
    )
    assert (found["5"].values, found["5"].exact) == ({"n": 1.0}, False)
    assert (found["6"].values, found["6"].own) == ({"n": 7.0}, {"n": 4.0})
    with pytest.raises(ValueError, match="descends from itself"):
        lineage.fold({"1": {"n": 1.0}}, [Descent("1", "2", 1.0), Descent("2", "1", 1.0)])


def test_descent_is_by_land() -> None:
    left, right = shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1)
    found = lineage.descents(
        {"a": left, "b": right}, {"c": shapely.box(0, 0, 1.25, 1), "d": shapely.box(1.25, 0, 2, 1)}
    )
    assert [(d.old, d.new, round(d.share, 6)) for d in found] == [("a", "c", 1.0), ("b", "c", 0.25), ("b", "d", 0.75)]


def test_a_node_dragged_over_other_borders_is_refused() -> None:
    """Not with an error of geometry: the land of a border that crosses itself cannot even be told."""
    refused = 0
    for key in sorted(START.cells):
        polygon = START.cells[key].polygon
        far = START.cells[max(START.cells, key=lambda k: START.cells[k].polygon.distance(polygon))].polygon
        at = list(polygon.exterior.coords[0])
        with pytest.raises(errors.BorderRefused):
            grid_plan.apply(START, {"step": "move", "at": at, "to": list(far.centroid.coords[0])}, 1)
        refused += 1
    assert refused == len(START.cells)
