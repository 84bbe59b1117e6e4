"""Which inspector goes, against the rule said again the slow way."""

from itertools import pairwise, permutations
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from gis.assignment import METRES_PER_CASE, Candidate, explain, rank

CANDIDATES = st.builds(
    Candidate,
    id=st.uuids(),
    name=st.just("某人"),
    own_grid=st.booleans(),
    on_shift=st.booleans(),
    distance_m=st.none() | st.integers(0, 5000).map(float),
    load=st.integers(0, 6),
)


def better(a: Candidate, b: Candidate) -> bool:
    """Whether a goes rather than b: one rule after the other, the first that tells them apart decides."""
    if a.on_shift != b.on_shift:
        return a.on_shift
    if a.own_grid != b.own_grid:
        return a.own_grid
    if (a.distance_m is None) != (b.distance_m is None):
        return a.distance_m is not None
    ways = [(c.distance_m or 0.0) + METRES_PER_CASE * c.load for c in (a, b)]
    if ways[0] != ways[1]:
        return ways[0] < ways[1]
    if a.load != b.load:
        return a.load < b.load
    return str(a.id) < str(b.id)


@given(st.lists(CANDIDATES, min_size=1, max_size=8, unique_by=lambda c: c.id))
def test_nobody_goes_while_somebody_better_is_there(candidates: list[Candidate]) -> None:
    ranked = rank(candidates)
    assert sorted(ranked, key=lambda c: str(c.id)) == sorted(candidates, key=lambda c: str(c.id))
    assert all(better(a, b) for a, b in pairwise(ranked))
    assert all(not better(other, ranked[0]) for other in candidates if other is not ranked[0])


def test_the_order_they_are_read_in_does_not_matter() -> None:
    some = [Candidate(UUID(int=i), str(i), i % 2 == 0, i != 3, 100.0 * (5 - i), i) for i in range(4)]
    assert len({tuple(c.id for c in rank(order)) for order in permutations(some)}) == 1


def test_the_reasons_say_what_decided() -> None:
    near = Candidate(UUID(int=1), "甲", True, True, 120.4, 2)
    assert [words["zh"] for words in explain(near, 3)] == [
        "责任网格网格员",
        "当班",
        "距现场 120 米",
        "在手 2 件",
        "候选 3 人",
    ]
    lost = Candidate(UUID(int=2), "乙", False, False, None, 0)
    assert [words["en"] for words in explain(lost, 1)][:3] == ["From another duty grid", "Off shift", "Place unknown"]
