"""Overlaps of bindings: where both rows fit a case, the one called winner is the one that runs it."""

from itertools import product
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gis import errors
from gis.binding_audit import overlaps, unbound
from gis.bindings import Bindings

ROW = st.fixed_dictionaries(
    {"workflow": st.sampled_from(["standard", "fast"])},
    optional={
        "kind": st.sampled_from(["case", "hotline"]),
        "category": st.sampled_from(["event", "event:05", "event:0506", "component:01"]),
        "area": st.sampled_from(["class:A", "class:B", "village:110113003201"]),
        "channel": st.sampled_from(["patrol", "public"]),
        "self_handled": st.booleans(),
    },
)


class Spot(NamedTuple):
    """A place as routing knows it."""

    area_class: str
    village_code: str
    duty_grid_code: str
    unit_grid_code: str


PLACES = [
    Spot(area_class=area, village_code=village, duty_grid_code="D1", unit_grid_code="G1")
    for area, village in product("AB", ["110113003201", "110113003202"])
]
CASES = list(
    product(
        ["case", "hotline"],
        [("event", "0506"), ("event", "0501"), ("component", "0101")],
        PLACES,
        ["patrol", "public"],
        [False, True],
    )
)


def fits(row, kind, category, place, channel, self_handled):
    alone = Bindings.from_body({"bindings": [row]})
    return alone.workflow(kind, *category, place, channel, self_handled) != ""


@settings(deadline=None, max_examples=60)
@given(st.lists(ROW, min_size=2, max_size=4))
def test_an_overlap_is_told_exactly_where_a_case_fits_both_and_the_winner_runs_it(rows):
    body = {"bindings": rows}
    try:
        told = {(o.winner, o.loser): o for o in overlaps(body)}
    except errors.DefinitionBad:
        return  # two rows about the same
    for i, j in product(range(len(rows)), repeat=2):
        if i == j or rows[i]["workflow"] == rows[j]["workflow"]:
            continue
        both = [c for c in CASES if fits(rows[i], *c) and fits(rows[j], *c)]
        assert bool(both) == ((i, j) in told or (j, i) in told)
        pair = Bindings.from_body({"bindings": [rows[i], rows[j]]})
        for case in both:
            kind, category, place, channel, self_handled = case
            held = pair.workflow(kind, *category, place, channel, self_handled)
            winner = i if (i, j) in told else j
            assert held == rows[winner]["workflow"]


def test_a_kind_without_a_general_row_falls_back_on_its_own_workflow():
    kinds = {"case": "standard", "hotline": "hotline"}
    rows = [{"kind": "case", "workflow": "standard"}, {"kind": "hotline", "channel": "hotline", "workflow": "fast"}]
    assert unbound({"bindings": rows}, kinds) == {"hotline": "hotline"}
    assert unbound({"bindings": [{"workflow": "standard"}]}, kinds) == {}


def test_a_table_that_is_not_sound_has_no_overlaps_to_tell():
    with pytest.raises(errors.DefinitionBad):
        overlaps({"bindings": [{"kind": "case"}]})
