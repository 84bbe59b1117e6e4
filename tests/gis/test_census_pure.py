"""What decides about a survey, without a database: sampling, catalogue mappings. Tested against slow oracles."""

import hashlib
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import shapely
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gis import errors, geometry
from gis.catalogue import Catalogue
from gis.catalogue_mappings import CatalogueMapping, counterparts, equivalents, regroup, translate
from gis.census_diff import Side, common_shift, compare, match_near, near_pairs
from gis.census_sampling import SamplingPlan, draw, verdict
from gis.settings import ROOT


def stored(folder: str) -> dict[str, dict]:
    return {
        p.stem: yaml.safe_load(p.read_text(encoding="utf-8")) for p in sorted((ROOT / "data" / folder).glob("*.yaml"))
    }


PLANS = [SamplingPlan.from_body(body) for body in stored("sampling_plans").values()]
CATALOGUES = {code: Catalogue.from_body(body) for code, body in stored("catalogues").items()}
MAPPINGS = [CatalogueMapping.from_body(body) for body in stored("catalogue_mappings").values()]

# --- Sampling ---------------------------------------------------------------------------------------------------


def test_the_plans_are_what_the_standard_prints() -> None:
    """Code letters of general level II with the columns AQL 4.0 and 1.0, as printed in ISO 2859-1."""
    aql4 = next(p for p in PLANS if p.code == "aql4")
    assert [aql4.of_lot(n) for n in (1, 2, 25, 26, 91, 500, 3201, 100_000)] == [
        *((1, 0), (2, 0), (3, 0), (13, 1), (20, 2), (50, 5), (200, 14), (315, 21))
    ]
    aql1 = next(p for p in PLANS if p.code == "aql1")
    assert [aql1.of_lot(n) for n in (10, 100, 400, 1000, 10_000, 100_000, 2_000_000)] == [
        *((10, 0), (13, 0), (50, 1), (80, 2), (200, 5), (500, 10), (1250, 21))
    ]


@pytest.mark.parametrize("plan", PLANS, ids=lambda p: p.code)
@given(lot=st.integers(1, 3_000_000))
def test_a_larger_lot_is_never_sampled_less(plan, lot) -> None:
    size, accept = plan.of_lot(lot)
    assert 0 < size <= lot
    assert accept < max(size, 1) or size == lot
    bigger, more = plan.of_lot(lot + 1)
    assert (bigger, more) >= (size, accept)


@given(
    rows=st.lists(st.integers(1, 10**6), min_size=1, max_size=200, unique=True),
    seed=st.text(max_size=20),
    data=st.data(),
)
def test_a_sample_can_be_drawn_again_by_anybody(rows, seed, data) -> None:
    size = data.draw(st.integers(1, len(rows)))
    drawn = draw(rows, size, seed)
    assert len(drawn) == len(set(drawn)) == size
    assert set(drawn) <= set(rows)
    assert drawn == draw(list(reversed(rows)), size, seed)
    # The oracle takes the smallest digest left, one after the other.
    left, slow = set(rows), []
    while len(slow) < size:
        first = min(left, key=lambda row: (hashlib.sha256(f"{seed}:{row}".encode()).hexdigest(), row))
        left.remove(first)
        slow.append(first)
    assert drawn == slow


def test_seeds_draw_every_row_alike() -> None:
    """No row is favoured: over 2,000 seeds each of 20 rows is drawn about as often (six standard deviations)."""
    hits = Counter(row for seed in range(2000) for row in draw(range(1, 21), 5, str(seed)))
    assert all(abs(hits[row] - 500) < 6 * (2000 * 0.25 * 0.75) ** 0.5 for row in range(1, 21))


@given(results=st.lists(st.sampled_from(["good", "bad", None]), min_size=1, max_size=40), accept=st.integers(0, 10))
def test_the_verdict_is_what_counting_says(results, accept) -> None:
    answer = verdict(len(results), accept, results)
    if results.count("bad") > accept:
        assert answer == "rejected"
    elif None in results:
        assert answer == "open"
    else:
        assert answer == "accepted"


@pytest.mark.parametrize(
    "table",
    [[], [[10, 3, 0]], [[None, 3, 0], [None, 4, 0]], [[10, 3, 3], [None, 5, 1]], [[10, 3, 0], [5, 5, 0], [None, 9, 1]]],
)
def test_a_wrong_plan_is_refused(table) -> None:
    with pytest.raises(errors.DefinitionBad):
        SamplingPlan.from_body({"code": "x", "name": {}, "source": "s", "table": table})


# --- Catalogues side by side -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mapping", MAPPINGS, ids=lambda m: m.code)
def test_every_class_is_linked_or_named_as_without(mapping) -> None:
    assert mapping.faults(CATALOGUES) == []


def test_renamed_moved_and_swapped_classes_are_found_both_ways() -> None:
    for old, new in (("0114", "0123"), ("0501", "0308"), ("0302", "0303"), ("0303", "0302"), ("0404", "0405")):
        assert translate(MAPPINGS, "cjt214-2007", old, "gbt30428-2013", CATALOGUES) == new
        assert translate(MAPPINGS, "gbt30428-2013", new, "cjt214-2007", CATALOGUES) == old


def test_a_class_that_was_split_is_refused_with_words() -> None:
    with pytest.raises(errors.CategoryAmbiguous) as refused:
        translate(MAPPINGS, "cjt214-2007", "0117", "gbt30428-2013", CATALOGUES)
    assert "0130 电力立杆、0131 通信立杆" in refused.value.title_zh
    assert translate(MAPPINGS, "gbt30428-2013", "0131", "cjt214-2007", CATALOGUES) == "0117"
    with pytest.raises(errors.CategoryUnknown):
        translate(MAPPINGS, "gbt30428-2013", "0114", "cjt214-2007", CATALOGUES)
    with pytest.raises(errors.CategoryUnknown, match="no mapping"):
        translate(MAPPINGS[:1], "gbt30428-2013", "0101", "nowhere", CATALOGUES)


ALL = [(book, c.code) for book, catalogue in CATALOGUES.items() for c in catalogue if c.kind == "component"]


@given(one=st.sampled_from(ALL), other=st.sampled_from(ALL))
def test_being_a_counterpart_is_mutual(one, other) -> None:
    there = counterparts(MAPPINGS, *one, other[0]) or ()
    back = counterparts(MAPPINGS, *other, one[0]) or ()
    assert (other[1] in there) == (one[1] in back)
    assert (other in equivalents(MAPPINGS, *one, CATALOGUES)) == (one in equivalents(MAPPINGS, *other, CATALOGUES))


@given(counts=st.dictionaries(st.sampled_from(ALL), st.integers(1, 1000)), target=st.sampled_from(sorted(CATALOGUES)))
def test_counting_in_another_catalogue_loses_nothing(counts, target) -> None:
    told, apart = regroup(MAPPINGS, counts, target)
    assert sum(told.values()) + sum(one["n"] for one in apart) == sum(counts.values())
    slow: Counter[str] = Counter()
    for (catalogue, code), n in counts.items():
        try:
            slow[translate(MAPPINGS, catalogue, code, target, CATALOGUES)] += n
        except (errors.CategoryUnknown, errors.CategoryAmbiguous):
            continue
    assert told == dict(slow)


# --- Comparison ---------------------------------------------------------------------------------------------------


def side(rows: list[tuple]) -> Side:
    """From (code, east m, north m, class, name, owner, properties, removed) near a corner of the town."""
    lon, lat = geometry.to_4490(
        np.array([471_000.0 + r[1] for r in rows]), np.array([4_441_000.0 + r[2] for r in rows]), geometry.METRIC
    )
    texts = lambda at: np.array([r[at] for r in rows], dtype=object)  # noqa: E731
    return Side(
        texts(0), lon, lat, texts(3),
        {"name": texts(4), "owner_unit": texts(5), "state": np.where(texts(7).astype(bool), "removed", "intact")},
        [r[6] for r in rows], shapely.points(lon, lat), np.array([r[7] for r in rows], dtype=bool),
    )  # fmt: skip


spots = st.tuples(
    st.integers(0, 40).map(lambda n: n / 4), st.integers(0, 40).map(lambda n: n / 4), st.sampled_from("ABC"),
    st.sampled_from(["", "井盖", "路灯"]), st.sampled_from(["", "D02", "D03"]),
    st.dictionaries(st.sampled_from("xy"), st.integers(0, 2), max_size=2),
)  # fmt: skip
censuses = st.dictionaries(st.sampled_from([f"C{n}" for n in range(8)]), st.tuples(spots, st.booleans()), max_size=8)


@given(old=censuses, new=censuses, unnamed=st.lists(spots, max_size=3))
@hypothesis_settings(deadline=None)
def test_a_comparison_is_what_going_through_row_by_row_finds(old, new, unnamed) -> None:
    before = [(code, *spot, gone) for code, (spot, gone) in old.items()]
    after = [(code, *spot, gone) for code, (spot, gone) in new.items()] + [("", *spot, False) for spot in unnamed]
    found = compare(side(after), side(before), ["name", "owner_unit"])
    limit = {"A": 0.5, "B": 1.0, "C": 10.0}
    known = {row[0]: row for row in before}
    for n, row in enumerate(after):
        was = known.get(row[0])
        if was is None:
            assert (found.kinds[n], found.at[n], found.changes[n]) == ("added", -1, {})
            continue
        changed = {
            name: (was[at], row[at])
            for name, at in (("name", 4), ("owner_unit", 5))
            if row[at] != "" and row[at] != was[at]
        }
        changed |= {
            f"properties.{key}": (was[6][key], value)
            for key, value in row[6].items()
            if key in was[6] and was[6][key] != value
        }
        again = was[7] and not row[7]
        changed |= {"state": ("removed", "intact")} if again else {}
        apart = math.hypot(row[1] - was[1], row[2] - was[2])
        tolerance = limit[row[3]] + limit[was[3]]
        assert found.changes[n] == changed
        assert found.metres[n] == pytest.approx(apart, abs=0.002)
        if again:
            assert found.kinds[n] == "added"
        elif abs(apart - tolerance) > 0.002:  # coordinates are quarters of a metre: only ties are that close
            assert found.kinds[n] == ("moved" if apart > tolerance else "changed" if changed else "unchanged")
    missing = [row[0] for row in before if row[0] not in new and not row[7]]
    assert sorted(before[at][0] for at in found.missing) == sorted(missing)


def test_an_area_whose_outline_differs_has_moved_though_its_middle_has_not() -> None:
    near, far = (side([("C1", 0, 0, "C", "绿地", "", {}, False)]).shapes[0].buffer(size / 100_000) for size in (20, 60))
    old = side([("C1", 0, 0, "C", "绿地", "", {}, False)])
    outlined = lambda shape: replace(old, shapes=np.array([shape], dtype=object))  # noqa: E731
    assert compare(outlined(near), outlined(near), ["name"]).kinds.tolist() == ["unchanged"]
    assert compare(outlined(far), outlined(near), ["name"]).kinds.tolist() == ["moved"]


points = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300), st.sampled_from("ab")), max_size=25, unique=True)


@given(mine=points, theirs=points, reach=st.integers(1, 60))
@hypothesis_settings(deadline=None)
def test_what_is_each_others_nearest_is_matched_and_near_twins_are_found(mine, theirs, reach) -> None:
    # An irrational slope keeps distances apart: no two are alike.
    spread = lambda some, off: (  # noqa: E731
        np.array([p[0] + 0.001 * (n + 1) ** 1.5 * off for n, p in enumerate(some)]),
        np.array([p[1] + 0.0007 * (n + 1) ** 1.7 * off for n, p in enumerate(some)]),
        np.array([p[2] for p in some], dtype=object),
    )
    a, b = spread(mine, 1.0), spread(theirs, -1.3)
    found = match_near(*a, *b, float(reach))
    apart = lambda i, j: math.hypot(a[0][i] - b[0][j], a[1][i] - b[1][j])  # noqa: E731
    slow = []
    for i in range(len(mine)):
        for j in range(len(theirs)):
            if mine[i][2] != theirs[j][2] or apart(i, j) > reach:
                continue
            rivals = [apart(k, j) for k in range(len(mine)) if k != i and mine[k][2] == mine[i][2]]
            others = [apart(i, k) for k in range(len(theirs)) if k != j and theirs[k][2] == theirs[j][2]]
            if all(apart(i, j) < other for other in rivals + others):
                slow.append((i, j))
    assert [(i, j) for i, j, _ in found] == slow
    reaches = np.full(len(mine), float(reach))
    twins = near_pairs(*a, reaches)
    assert twins == [
        (i, j)
        for i in range(len(mine))
        for j in range(i + 1, len(mine))
        if mine[i][2] == mine[j][2] and math.hypot(a[0][i] - a[0][j], a[1][i] - a[1][j]) < reach
    ]


def test_a_common_shift_is_told_from_single_moves() -> None:
    rng = np.random.default_rng(7)
    noise = rng.normal(0, 0.3, (2, 60))
    assert common_shift(noise[0], noise[1]) is None
    east, north = common_shift(noise[0] + 8, noise[1] - 6)
    assert abs(east - 8) < 0.3
    assert abs(north + 6) < 0.3
    single = noise.copy()
    single[0, :10] += 100
    assert common_shift(single[0], single[1]) is None
    assert common_shift(noise[0, :5] + 50, noise[1, :5]) is None
