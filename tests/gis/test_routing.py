"""The duty list: which rule holds, said why, the same in bulk, refused when wrong, audited as a whole."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gis.areas import PlaceFacts
from gis.errors import DefinitionBad
from gis.routing import DutyList, RoutingFacts, Rule, Units, village_department
from gis.routing_audit import Gap, audit

DATA = Path(__file__).resolve().parents[2] / "data"
VILLAGE, OTHER = "110113003201", "110113003212"
HERE = PlaceFacts(VILLAGE, "110113003001001", f"{VILLAGE}D01", "A")
THERE = PlaceFacts(OTHER, "110113003002001", "", "C")


def duty_list(*rules: dict[str, Any]) -> DutyList:
    return DutyList.from_body({"rules": list(rules)})


def rule(id: str, category: str = "*", department: str = "D01", **more: Any) -> dict[str, Any]:
    return {"id": id, "category": category, "department": department, **more}


def facts(
    category: str = "component:0101", place: PlaceFacts = HERE, channel: str = "patrol", units: Units | None = None
):
    kind, _, code = category.partition(":")
    return RoutingFacts(
        kind, code, place.village_code, place.unit_grid_code, place.duty_grid_code, place.area_class, channel, 1, units
    )


# --- Which rule holds -------------------------------------------------------------------------------------------

LADDER = [
    rule("all"),
    rule("kind", "component"),
    rule("group", "component:01"),
    rule("class", "component:0101"),
    rule("class-A", "component:0101", area="class:A"),
    rule("village", "component:0101", area=VILLAGE),
    rule("duty", "component:0101", area=f"{VILLAGE}D01"),
    rule("grid", "component:0101", area="110113003001001"),
    rule("channel", "component:0101", area="110113003001001", channel="patrol"),
    rule("unit", "component:0101", area="110113003001001", component_unit="D19"),
    rule("unit-channel", "component:0101", area="110113003001001", component_unit="D19", channel="patrol"),
]


@pytest.mark.parametrize("order", [1, -1])
def test_each_step_is_more_specific_than_the_one_before(order: int) -> None:
    case = facts(units=("D19", "D19", "D19"))
    for top in range(len(LADDER), 0, -1):
        assert duty_list(*LADDER[:top][::order]).route(case).rule_id == LADDER[top - 1]["id"]


@pytest.mark.parametrize(
    ("category", "place", "channel", "expected"),
    [
        ("component:0101", HERE, "hotline", "grid"),
        ("component:0101", THERE, "patrol", "class"),
        ("component:0102", HERE, "patrol", "group"),
        ("component:0201", HERE, "patrol", "kind"),
        ("event:0101", HERE, "patrol", "all"),
    ],
)
def test_the_wider_rule_holds_where_the_narrower_does_not(
    category: str, place: PlaceFacts, channel: str, expected: str
) -> None:
    assert duty_list(*LADDER).route(facts(category, place, channel)).rule_id == expected


def test_targets_stand_for_units_and_villages() -> None:
    units = ("D19", "D20", "D21")
    for target, department in (("@competent", "D19"), ("@owner", "D20"), ("@maintenance", "D21"), ("@village", "V201")):
        listed = duty_list(rule("one", "component", target, co_departments=["@owner", department, "D05", "D05"]))
        routing = listed.route(facts(units=units))
        assert routing.department_code == department
        assert routing.co_departments == tuple(dict.fromkeys(c for c in ("D20", "D05") if c != department))
    assert village_department("110113003201") == "V201"


def test_a_rule_whose_unit_is_unknown_gives_way_and_says_so() -> None:
    listed = duty_list(rule("wide", "component", "D03"), rule("keeper", "component:01", "@maintenance"))
    for units in (None, ("D19", "D20", "")):
        routing = listed.route(facts(units=units))
        assert (routing.rule_id, routing.department_code) == ("wide", "D03")
        assert any("keeper" in line and "养护单位未知" in line for line in routing.trace)
    assert listed.route(facts(units=("", "", "D21"))).department_code == "D21"
    assert listed.route(facts(units=("D19", "", ""))).department_code == "D03"


def test_a_case_nobody_owns_is_kept_for_the_dispatcher() -> None:
    routing = duty_list(rule("one", "event")).route(facts())
    assert (routing.department_code, routing.rule_id, routing.workflow) == (None, "", "")
    assert any("派遣员" in line for line in routing.trace)


def test_the_trace_says_which_rule_which_facts_and_what_was_passed_over() -> None:
    listed = duty_list(
        rule("C01", "component:01", "@maintenance"),
        rule("near", "component:0101", area="class:C"),
        rule("phone", "component:0101", channel="hotline"),
        rule("gas", "component:0101", component_unit="D21"),
    )
    trace = listed.route(facts(units=("D19", "D20", "D27"))).trace
    assert trace[0].startswith(
        "事实：部件 0101，单元网格 110113003001001，责任网格 110113003201D01，村居 110113003201，A 类"
    )
    assert "养护 D27" in trace[0]
    assert trace[1] == "依据规则 C01（部件大类 01、全镇）：由养护单位 D27 处置"
    assert trace[2] == "未用更具体的规则 near：只管区域类别 C"
    assert {"gas：只管主管单位为 D21 的部件", "phone：只管来源 hotline"} == {t.split("规则 ")[1] for t in trace[3:5]}
    assert trace[-1] == (
        "rule=C01 department=D27 key=component:01/*/*/* target=@maintenance"
        " skipped=3:near(area),gas(component_unit),phone(channel)"
        " facts=component:0101/110113003001001/110113003201D01/110113003201/A/patrol/1 units=D19/D20/D27"
    )


def test_a_long_list_of_passed_rules_is_counted() -> None:
    villages = [rule(f"S{i:03d}", "event:0506", area=f"110113003{i:03d}") for i in range(100, 140)]
    trace = duty_list(rule("E", "event:05"), *villages).route(facts("event:0506")).trace
    assert "另有 35 条更具体的规则不适用" in trace
    assert len(trace) == 2 + 5 + 1 + 1


# --- Against the slow obvious answer ----------------------------------------------------------------------------

CATEGORIES = [
    (kind, group + code) for kind in ("component", "event") for group in ("01", "02") for code in ("01", "02")
]
PLACES = [
    PlaceFacts(village, f"110113003{v:03d}{n:03d}", duty, area_class)
    for v, village in enumerate((VILLAGE, OTHER))
    for n, (duty, area_class) in enumerate([(f"{village}D01", "A"), (f"{village}D02", "B"), ("", "A")])
]
CHANNELS = ["patrol", "hotline", "video"]
UNITS: list[Units | None] = [None, ("D1", "", ""), ("", "D2", "D3"), ("D1", "D2", "D3"), ("D9", "", "D3")]
AREAS = ["*", "class:A", "class:B", "class:C", VILLAGE, OTHER, f"{VILLAGE}D01", f"{OTHER}D02", PLACES[0].unit_grid_code]

rules = st.lists(
    st.builds(
        rule,
        id=st.just(""),
        category=st.sampled_from(
            ["*", "component", "event", "component:01", "event:02", "component:0102", "event:0201"]
        ),
        department=st.sampled_from(["D1", "@maintenance", "@owner", "@competent", "@village"]),
        area=st.sampled_from(AREAS),
        component_unit=st.sampled_from(["*", "*", "D1", "D2"]),
        channel=st.sampled_from(["*", "*", "hotline"]),
    ),
    min_size=1,
    max_size=25,
    unique_by=lambda r: (r["category"], r["area"], r["component_unit"], r["channel"]),
).map(lambda listed: [one | {"id": f"R{n}"} for n, one in enumerate(listed)])
cases = st.builds(
    facts,
    st.sampled_from([f"{k}:{c}" for k, c in CATEGORIES]),
    st.sampled_from(PLACES),
    st.sampled_from(CHANNELS),
    st.sampled_from(UNITS),
)


def applies(one: Rule, case: RoutingFacts) -> bool:
    kind, _, prefix = one.category.partition(":")
    competent, owner, maintenance = case.component_units or ("", "", "")
    needed = {"@competent": competent, "@owner": owner, "@maintenance": maintenance}.get(one.department, "known")
    areas = ("*", f"class:{case.area_class}", f"village:{case.village_code}", f"duty:{case.duty_grid_code}")
    return (
        kind in ("*", case.category_kind)
        and case.category_code.startswith(prefix)
        and one.area in (*areas, f"grid:{case.unit_grid_code}")
        and (one.component_unit in ("*", competent))
        and one.channel in ("*", case.channel)
        and needed != ""
    )


def rank(one: Rule) -> tuple[int, int, bool, bool]:
    levels = ["*", "class", "village", "duty", "grid"]
    category = ["*", "component", "event"].index(one.category.split(":")[0]) > 0
    return (
        category + len(one.category.partition(":")[2]),
        levels.index(one.area.split(":")[0]),
        one.component_unit != "*",
        one.channel != "*",
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rules, cases)
def test_the_index_finds_what_a_scan_of_all_rules_finds(listed: list[dict[str, Any]], case: RoutingFacts) -> None:
    compiled = duty_list(*listed)
    fitting = [one for one in compiled.rules if applies(one, case)]
    expected = max(fitting, key=rank).id if fitting else ""
    assert compiled.route(case).rule_id == expected
    assert duty_list(*listed[::-1]).route(case).rule_id == expected


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rules, st.integers(0, 2**32 - 1))
def test_bulk_equals_one_by_one(listed: list[dict[str, Any]], seed: int) -> None:
    compiled, rng, n = duty_list(*listed), np.random.default_rng(seed), 40
    category, place = rng.integers(0, len(CATEGORIES), n), rng.integers(-1, len(PLACES), n)
    channel, unit = rng.integers(0, len(CHANNELS), n), rng.integers(0, len(UNITS), n)
    found = compiled.route_bulk(CATEGORIES, category, PLACES, place, CHANNELS, channel, UNITS, unit)
    for i in range(n):
        kind, code = CATEGORIES[category[i]]
        if place[i] < 0:
            assert found[i] == -1
            continue
        one = compiled.route(facts(f"{kind}:{code}", PLACES[place[i]], CHANNELS[channel[i]], UNITS[unit[i]]))
        assert (compiled.rules[found[i]].id if found[i] >= 0 else "") == one.rule_id


def test_bulk_without_channels_and_units_and_without_cases() -> None:
    compiled = duty_list(*LADDER)
    everything = np.arange(len(CATEGORIES)), np.zeros(len(CATEGORIES), np.int32)
    found = compiled.route_bulk(CATEGORIES, everything[0], [HERE], everything[1], ["video"])
    ids = [compiled.rules[i].id for i in found]
    assert ids[:5] == ["grid", "group", "kind", "kind", "all"]
    many = 70_000  # more than one chunk
    place = np.where(np.arange(many) % 3, 0, -1)
    found = compiled.route_bulk(CATEGORIES, np.zeros(many, np.int32), [HERE], place, ["video"])
    assert [compiled.rules[i].id for i in np.unique(found[place == 0])] == ["grid"]
    assert np.unique(found[place == -1]).tolist() == [-1]
    nobody = np.empty(0, np.int32)
    assert compiled.route_bulk(CATEGORIES, nobody, [], nobody, ["video"]).tolist() == []


# --- Refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "where", "why"),
    [
        ([], "rules", "needs a list"),
        (["C01"], "rules[0]", "a rule is a mapping"),
        ([rule("a"), rule("a", "event")], "rules[1] (id a)", "already that of rules[0]"),
        ([rule("a"), rule("b", "event"), rule("c")], "rules[2] (id c)", "rule a (rules[0]) is already about * * * *"),
        ([rule("a", area=VILLAGE), rule("b", area=f"village:{VILLAGE}")], "rules[1] (id b)", "already about"),
        ([rule("a", "component:1")], "rules[0] (id a).category", "2 or 4 digits"),
        ([rule("a", "thing:01")], "rules[0] (id a).category", "component, event"),
        ([rule("a", "component:0１")], "rules[0] (id a).category", "2 or 4 digits"),
        ([rule("a", area="class:D")], "rules[0] (id a).area", "class:A|B|C"),
        ([rule("a", area="town:1")], "rules[0] (id a).area", "grid or village code"),
        ([rule("a", department="@nobody")], "rules[0] (id a)", "unknown target @nobody"),
        ([rule("a", co_departments=["@all"])], "rules[0] (id a)", "unknown target @all"),
        ([rule("a", co_departments="D01")], "rules[0] (id a).co_departments", "list of department codes"),
        ([rule("a", department="")], "rules[0] (id a).department", "must be a text"),
        ([rule("a", departmant="D02")], "rules[0] (id a)", "unknown field departmant"),
        ([{"id": "a", "category": "*"}], "rules[0] (id a).department", "must be a text"),
    ],
)
def test_a_wrong_list_is_refused_with_its_place(rows: list[Any], where: str, why: str) -> None:
    with pytest.raises(DefinitionBad) as refused:
        DutyList.from_body({"rules": rows})
    assert refused.value.detail["where"] == where
    assert why in refused.value.detail["why"]


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        (rule("x", "component:0909"), "rules[1] (id x).category: component:0909"),
        (rule("x", "event:07"), "rules[1] (id x).category: event:07"),
        (rule("x", "event", "D77"), "rules[1] (id x).department: D77"),
        (rule("x", "event", co_departments=["D77"]), "rules[1] (id x).department: D77"),
        (rule("x", "event", component_unit="D77"), "rules[1] (id x).component_unit: D77"),
        (rule("x", "event", channel="pigeon"), "rules[1] (id x).channel: pigeon"),
        (rule("x", "event", workflow="none"), "rules[1] (id x).workflow: none"),
        (rule("x", "event", area="110113003999"), "rules[1] (id x).area: village:110113003999"),
    ],
)
def test_unknown_names_are_refused_with_their_place(wrong: dict[str, Any], where: str) -> None:
    listed = duty_list(rule("ok", "event:01", "@village", area=VILLAGE), wrong)
    with pytest.raises(DefinitionBad) as refused:
        listed.check_names(CATEGORIES, ["D01"], CHANNELS, ["standard"], PLACES)
    assert refused.value.detail["all"] == [{"where": where.split(": ")[0], "why": f"unknown: {where.split(': ')[1]}"}]


# --- Audit ------------------------------------------------------------------------------------------------------


def test_audit_finds_gaps_overlaps_and_idle_rules() -> None:
    listed = duty_list(
        rule("group", "component:01", "D02", area=VILLAGE),
        rule("class", "component:0101", "D03"),
        rule("owner", "component:02", "@owner"),
        rule("events", "event", "D04"),
        rule("shadow", "*", "D05", area=PLACES[0].unit_grid_code, channel="hotline"),
        rule("nowhere", "event:01", "D06", area="110113003999"),
    )
    found = audit(listed, CATEGORIES, PLACES)
    assert found.gaps == (
        Gap(("component", "0102"), 3, PLACES[3].unit_grid_code, False),
        Gap(("component", "0201"), 6, PLACES[0].unit_grid_code, True),
        Gap(("component", "0202"), 6, PLACES[0].unit_grid_code, True),
    )
    assert {(o.winner, o.loser) for o in found.overlaps} >= {("class", "group"), ("events", "shadow")}
    assert ("class", "events") not in {(o.winner, o.loser) for o in found.overlaps}
    assert found.idle == ("nowhere",)


def test_audit_of_a_complete_list_is_silent() -> None:
    listed = duty_list(
        rule("all"), rule("class", "component:0101", "D02"), rule("narrow", "component:0101", "D03", area=OTHER)
    )
    assert audit(listed, CATEGORIES, PLACES) == replace(
        audit(listed, CATEGORIES, PLACES), gaps=(), overlaps=(), idle=()
    )


def test_the_demo_list_names_only_what_exists_and_leaves_no_gap() -> None:
    def read(path: str) -> dict[str, Any]:
        return yaml.safe_load((DATA / path).read_text(encoding="utf-8"))

    listed = DutyList.from_body(read("duty_lists/renhe.yaml"))
    groups = read("catalogues/cjt214-2007.yaml")["groups"]
    categories = [(group["kind"], one["code"]) for group in groups for one in group["categories"]]
    departments = read("departments/renhe.yaml")["departments"]
    villages = [one["village"] for one in departments if one.get("village")]
    places = [
        PlaceFacts(village, f"110113003{n:03d}{k:03d}", "", "ABC"[k])
        for n, village in enumerate(villages)
        for k in range(3)
    ]
    channels = ["patrol", "public", "hotline", "video", "superior", "sensor", "leader"]
    listed.check_names(categories, [one["code"] for one in departments], channels, ["standard"], places)
    assert audit(listed, categories, places).gaps == ()
