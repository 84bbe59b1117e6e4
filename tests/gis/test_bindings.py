"""Which workflow a case runs by: the most specific row, whatever the order they are written in."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gis.bindings import Bindings
from gis.errors import DefinitionBad

PLACE: Any = SimpleNamespace(
    unit_grid_code="110113003201001", duty_grid_code="110113003201D01", village_code="110113003201", area_class="B"
)
ROWS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["*", "case", "hotline"]),
        "category": st.sampled_from(["*", "event", "event:01", "event:0102", "component"]),
        "area": st.sampled_from(["*", "class:B", "class:A", "village:110113003201", "grid:110113003201001"]),
        "channel": st.sampled_from(["*", "patrol", "hotline"]),
        "self_handled": st.booleans(),
    }
)


def oracle(rows: list[dict[str, Any]], kind: str, channel: str, self_handled: bool) -> str:
    """Every row that fits, weighed one property after the other."""
    fitting = []
    for row in rows:
        fits = (
            row["kind"] in ("*", kind)
            and row["channel"] in ("*", channel)
            and row["category"] in ("*", "event", "event:01", "event:0102")
            and row["area"] != "class:A"
            and (self_handled or not row["self_handled"])
        )
        if fits:
            weight = (
                row["self_handled"],
                row["kind"] != "*",
                len(row["category"]) if row["category"] != "*" else 0,
                ["*", "class:B", "village:110113003201", "grid:110113003201001"].index(row["area"]),
                row["channel"] != "*",
            )
            fitting.append((weight, row["workflow"]))
    return max(fitting)[1] if fitting else ""


@given(
    st.lists(ROWS, max_size=8, unique_by=lambda row: tuple(sorted(row.items(), key=str))),
    st.sampled_from(["case", "hotline"]),
    st.sampled_from(["patrol", "hotline", "video"]),
    st.booleans(),
)
def test_the_most_specific_row_holds(rows: list[dict[str, Any]], kind: str, channel: str, self_handled: bool) -> None:
    named = [{**row, "workflow": f"flow{i}"} for i, row in enumerate(rows)]
    found = Bindings.from_body({"bindings": named}).workflow(kind, "event", "0102", PLACE, channel, self_handled)
    assert found == oracle(named, kind, channel, self_handled)


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ({}, "a mapping with a workflow"),
        ({"workflow": "standard", "colour": "red"}, "unknown field colour"),
        ({"workflow": "standard", "category": "event:1"}, "category must be"),
        ({"workflow": "standard", "area": "moon:1"}, "area must be"),
    ],
)
def test_a_wrong_row_is_refused(row: dict[str, Any], word: str) -> None:
    with pytest.raises(DefinitionBad) as caught:
        Bindings.from_body({"bindings": [row]})
    assert word in caught.value.detail["why"]


def test_two_rows_about_the_same_and_unknown_names_are_refused() -> None:
    same = {"kind": "case", "workflow": "standard"}
    with pytest.raises(DefinitionBad):
        Bindings.from_body({"bindings": [same, {**same, "workflow": "fast"}]})
    table = Bindings.from_body({"bindings": [same]})
    table.check_names(["case"], ["standard"], ["patrol"])
    with pytest.raises(DefinitionBad):
        table.check_names(["hotline"], ["standard"], ["patrol"])
