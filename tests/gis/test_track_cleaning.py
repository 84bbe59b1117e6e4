"""Cleaning marks what was put in and nothing else, whatever order the fixes come in; paths keep a gap a gap."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gis import geometry, track_cleaning, track_paths
from gis.track_cleaning import REASONS, Track
from gis.track_rules import Cleaning, Path

RULE = Cleaning(ahead_s=60, accuracy_m=60, speed_ms=12, spike_fixes=3, offset_m=80, frozen_fixes=10)
PATH = Path(gap_s=60, stop_m=35, stop_s=240, stop_misses=3)
LON, LAT = 116.65, 40.11
START = 1_795_000_000.0


def walk(n: int, seed: int = 0, every: float = 10.0) -> dict[str, np.ndarray]:
    """Somebody strolling at about 1 m/s, one fix every ten seconds, as columns."""
    rng = np.random.default_rng(seed)
    heading = np.cumsum(rng.normal(0, 0.3, n))
    east, north = geometry.metres_per_degree(LAT)
    lon = LON + np.cumsum(np.cos(heading) * every) / east + rng.normal(0, 2, n) / east
    lat = LAT + np.cumsum(np.sin(heading) * every) / north + rng.normal(0, 2, n) / north
    at = START + np.arange(n) * every
    return {
        "device": np.zeros(n, int),
        "seq": np.arange(1, n + 1),
        "at": at,
        "received": at + 5,
        "lon": lon,
        "lat": lat,
        "accuracy": rng.uniform(3, 20, n),
    }


def marked(columns: dict[str, np.ndarray], rule: Cleaning = RULE) -> dict[int, str]:
    """The marks by sequence number."""
    track = Track.of(**columns)
    reason = track_cleaning.mark(track, rule)
    assert reason.size == len(columns["seq"]), "a fix was discarded"
    return {int(track.seq[i]): REASONS[reason[i]] for i in np.flatnonzero(reason)}


def test_the_steps_are_these_in_this_order():
    assert REASONS[1:] == (
        *("future", "clock_back", "duplicate", "inaccurate"),
        *("offset", "spike", "speed", "frozen"),
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sets(st.integers(2, 27), max_size=6), st.floats(300, 30_000), st.floats(0, 6.28))
def test_jumps_away_and_back_are_spikes_and_nothing_else_is(seed, places, metres, direction):
    columns = walk(30, seed)
    jumps = [n for n in sorted(places) if n - 1 not in places]  # one at a time
    east, north = geometry.metres_per_degree(LAT)
    for n in jumps:
        columns["lon"][n] += metres * np.cos(direction) / east
        columns["lat"][n] += metres * np.sin(direction) / north
    track = Track.of(**columns)
    if track_cleaning.offset(track, np.arange(30), RULE).size:
        return  # just the jump GCJ-02 would make: told apart below
    assert marked(columns) == {n + 1: "spike" for n in jumps}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(1, 59), min_size=1, max_size=4, unique=True), st.booleans())
def test_gcj_02_within_a_track_is_found_whichever_side_begins(seed, turns, shifted_first):
    columns = walk(60, seed)
    shifted = np.zeros(60, bool)
    state, begin = shifted_first, 0
    for turn in [*sorted(turns), 60]:
        shifted[begin:turn] = state
        state, begin = not state, turn
    moved = geometry.from_4490(columns["lon"], columns["lat"], "GCJ-02")
    columns["lon"], columns["lat"] = (
        np.where(shifted, there, here) for there, here in zip(moved, (columns["lon"], columns["lat"]), strict=True)
    )
    assert marked(columns) == {int(n) + 1: "offset" for n in np.flatnonzero(shifted)}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=9))
def test_a_clock_set_back_costs_as_few_fixes_as_possible(minutes):
    """Oracle: the longest of all subsets of fixes whose times never go back."""
    n = len(minutes)
    columns = walk(n)
    columns["at"] = START + np.array(minutes) * 60.0 + 0.001 * np.arange(n)
    columns["received"] = np.full(n, START + 3600.0)
    track = Track.of(**columns)
    gone = {int(track.seq[i]) for i in track_cleaning.clock_back(track, np.arange(n), RULE)}
    times = columns["at"]
    longest = next(
        size
        for size in range(n, 0, -1)
        if any(all(times[a] <= times[b] for a, b in pairwise(chosen)) for chosen in combinations(range(n), size))
    )
    kept = [times[seq - 1] for seq in range(1, n + 1) if seq not in gone]
    assert len(kept) == longest
    assert kept == sorted(kept)


def test_a_counter_that_began_anew_is_no_clock_set_back():
    columns = walk(40)
    columns["seq"] = np.concatenate([np.arange(501, 521), np.arange(1, 21)])
    assert marked(columns) == {}


def test_a_batch_that_came_late_is_no_counter_that_began_anew():
    columns = walk(40)
    columns["received"][:20] = START + 86_400
    assert marked(columns) == {}


def test_what_each_other_step_marks():
    columns = walk(30)
    columns["accuracy"][3] = 61.0
    columns["received"][5] = columns["at"][5] - 61
    for name in ("at", "received", "lon", "lat"):
        columns[name][8] = columns[name][7]
    columns["accuracy"][10] = np.nan  # a device that does not say: believed
    assert marked(columns) == {4: "inaccurate", 6: "future", 9: "duplicate"}


def test_a_jump_that_does_not_return_is_doubted_until_one_could_have_come_there():
    columns = walk(40)
    columns["lat"][20:] += 0.02  # 2,220 m in ten seconds
    marks = marked(columns)
    assert set(marks.values()) == {"speed"}
    assert min(marks) == 21
    assert max(marks) == pytest.approx(21 + 2220 / 12 / 10, abs=3)


def test_a_place_that_never_wavers_is_marked_frozen_but_for_its_first_fix():
    columns = walk(40)
    for name in ("lon", "lat"):
        columns[name][25:] -= columns[name][25] - columns[name][10]
    for name in ("lon", "lat", "accuracy"):
        columns[name][10:25] = columns[name][10]
        columns[name][30:35] = columns[name][30]  # too short to be doubted
    assert marked(columns) == {n + 1: "frozen" for n in range(11, 25)}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.data())
def test_marks_do_not_depend_on_the_order_of_rows_and_what_is_left_can_be_walked(seed, data):
    columns = walk(30, seed)
    for n in data.draw(st.lists(st.integers(0, 29), max_size=10)):
        columns["lon"][n] += data.draw(st.floats(-0.3, 0.3))
        columns["at"][n] += data.draw(st.sampled_from([0.0, 0.0, -25.0, 40.0]))
        columns["accuracy"][n] = data.draw(st.sampled_from([5.0, 80.0, np.nan]))
    before = marked(columns)
    order = data.draw(st.permutations(range(30)))
    assert marked({name: values[list(order)] for name, values in columns.items()}) == before
    track = Track.of(**columns)
    kept = [i for i in range(30) if int(track.seq[i]) not in before]
    assert all(track.speed(a, b) <= RULE.speed_ms for a, b in pairwise(kept))


# --- Paths ------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(1, 200), min_size=1, max_size=40), st.data())
def test_every_second_between_the_first_and_last_fix_is_either_recorded_or_a_gap(waits, data):
    columns = walk(len(waits) + 1)
    columns["at"] = START + np.concatenate([[0], np.cumsum(waits)])
    track = Track.of(**columns)
    reason = np.array(
        data.draw(st.lists(st.sampled_from([0, 0, 0, 4]), min_size=len(track), max_size=len(track))), np.int8
    )
    path = track_paths.walked(track, reason, PATH)
    kept = np.flatnonzero(reason == 0)
    assert np.concatenate([np.empty(0, int), *path.segments]).tolist() == kept.tolist()
    if not kept.size:
        assert (path.gaps, path.stops, path.distance_m) == ((), (), 0.0)
        return
    a, b = path.steps
    recorded, gaps = (track.at[b] - track.at[a]).sum(), sum(track.at[g.after] - track.at[g.before] for g in path.gaps)
    assert recorded + gaps == pytest.approx(track.at[kept[-1]] - track.at[kept[0]])
    assert all(track.at[y] - track.at[x] <= PATH.gap_s for x, y in zip(a, b, strict=True))
    assert all(track.at[g.after] - track.at[g.before] > PATH.gap_s for g in path.gaps)
    assert {g.why for g in path.gaps} <= {"silent", "inaccurate"}
    assert path.distance_m <= sum(track.metres(x, y) for x, y in zip(a, b, strict=True)) + 1e-9
    spans = [(track.at[s.first], track.at[s.last]) for s in path.stops]
    assert all(end - begin >= PATH.stop_s for begin, end in spans)
    assert all(one[1] < other[0] for one, other in pairwise(spans))


def test_a_stay_is_one_stop_with_a_wandering_receiver_and_is_no_way():
    columns = walk(90)
    rng = np.random.default_rng(1)
    east, north = geometry.metres_per_degree(LAT)
    columns["lon"][30:60] = columns["lon"][30] + rng.normal(0, 6, 30) / east
    columns["lat"][30:60] = columns["lat"][30] + rng.normal(0, 6, 30) / north
    columns["lat"][44] += 60 / north  # one fix off it
    columns["lon"][60:] += columns["lon"][59] - columns["lon"][60]
    columns["lat"][60:] += columns["lat"][59] - columns["lat"][60]
    track = Track.of(**columns)
    path = track_paths.walked(track, track_cleaning.mark(track, RULE), PATH)
    (stop,) = path.stops
    # Who comes and goes at a stroll is within the radius some fixes before and after.
    assert stop.first == pytest.approx(30, abs=8)
    assert stop.last == pytest.approx(59, abs=8)
    assert 440 < path.distance_m < 620  # sixty steps of ten metres, but for those of the stop's edges


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 20)), max_size=8),
    st.lists(st.tuples(st.integers(0, 100), st.integers(1, 20)), max_size=4),
)
def test_seconds_within_spans_are_counted_one_by_one(steps, spans):
    begin, cut = 0, []
    for start, length in sorted(spans):
        start = max(start, begin)
        cut.append((float(start), float(start + length)))
        begin = start + length
    told = track_paths.within(np.array([a for a, _ in steps], float), np.array([a + n for a, n in steps], float), cut)
    slow = sum(
        any(a <= second < b for a, b in cut) for start, length in steps for second in range(start, start + length)
    )
    assert told == slow
