"""Codes from outside, filing standards, and that the demo's definitions agree with each other."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gis import errors
from gis.catalogue import AREA_CLASSES, KINDS, Catalogue, FilingStandard, resolve
from gis.routing import DutyList, RoutingFacts
from gis.settings import settings
from gis.worktime import ClockKind, Limit

CODES = ("cjt214-2007", "gbt30428-2013", "bj-chaoyang-2013")


def body(kind: str, code: str) -> dict[str, Any]:
    return yaml.safe_load((settings().data_dir / kind / f"{code}.yaml").read_text(encoding="utf-8"))


BOOKS = [Catalogue.from_body(body("catalogues", code)) for code in CODES]
TOWN = BOOKS[0]
STANDARD = FilingStandard.from_body(body("filing_standards", "renhe-demo"))
DEPARTMENTS = body("departments", "renhe")
DUTIES = DutyList.from_body(body("duty_lists", "renhe"))


# --- Catalogues -------------------------------------------------------------------------------------------------


def test_the_editions_are_complete() -> None:
    counts = [{kind: sum(c.kind == kind for c in book) for kind in KINDS} for book in BOOKS]
    assert counts == [{"component": 85, "event": 54}, {"component": 98, "event": 98}, {"component": 100, "event": 97}]


def test_events_04_and_05_swap_between_editions() -> None:
    names = [{g.code: g.name for g in book.groups if g.kind == "event"} for book in BOOKS[:2]]
    assert (names[0]["04"], names[0]["05"]) == (names[1]["05"], names[1]["04"]) == ("突发事件", "街面秩序")
    with pytest.raises(errors.CategoryAmbiguous) as refused:
        resolve(BOOKS, "event", "0501")
    assert {(c["catalogue"], c["name"]) for c in refused.value.detail["candidates"]} == {
        ("cjt214-2007", "无照经营游商"),
        ("gbt30428-2013", "供水管道破裂"),
        ("bj-chaoyang-2013", "无照经营游商"),
    }
    assert resolve(BOOKS, "event", "0501", catalogue="cjt214-2007")[1].name == "无照经营游商"
    assert resolve(BOOKS, "event", "0501", catalogue="gbt30428-2013")[1].name == "供水管道破裂"
    assert resolve(BOOKS, "event", "0501", name="供水管道破裂")[0] == "gbt30428-2013"
    # The same hawker stands under 0401 in the other edition.
    assert resolve(BOOKS, "event", "0401", name="无照经营游商")[0] == "gbt30428-2013"


def test_components_change_their_meaning_too() -> None:
    with pytest.raises(errors.CategoryAmbiguous):
        resolve(BOOKS, "component", "0114")
    assert resolve(BOOKS, "component", "0114", "cjt214-2007")[1].name == "无主井盖"
    assert resolve(BOOKS, "component", "0114", "gbt30428-2013")[1].name == "园林井盖"


def test_one_meaning_in_every_edition_resolves_to_the_first() -> None:
    for order in (BOOKS, BOOKS[::-1]):
        catalogue, category = resolve(order, "component", "0101")
        assert (catalogue, category.name) == (order[0].code, "上水井盖")


def test_a_code_of_both_kinds_needs_its_kind() -> None:
    with pytest.raises(errors.CategoryAmbiguous) as refused:
        resolve([TOWN], None, "0101")
    assert {c["kind"] for c in refused.value.detail["candidates"]} == {"component", "event"}
    assert resolve([TOWN], None, "0101", name="私搭乱建")[1].kind == "event"
    assert resolve([TOWN], None, "0118", name="路灯")[1].kind == "component"
    assert resolve([TOWN], None, "0606")[1].name == "防汛墙"  # no event has this code


@pytest.mark.parametrize(
    ("kind", "code", "catalogue"),
    [
        ("event", "0999", None),
        ("event", "0113", "no-such-catalogue"),
        ("component", "101", None),
        ("component", "", None),
        ("person", "0101", None),
        ("event", "0607", "cjt214-2007"),
    ],
)
def test_unknown_codes_are_refused(kind: str, code: str, catalogue: str | None) -> None:
    with pytest.raises(errors.CategoryUnknown):
        resolve(BOOKS, kind, code, catalogue)


def test_a_name_that_does_not_fit_the_code_is_refused_with_what_the_code_means() -> None:
    with pytest.raises(errors.CategoryMismatch) as refused:
        resolve(BOOKS, "component", "0101", "cjt214-2007", "安全岛")
    assert [c["name"] for c in refused.value.detail["candidates"]] == ["上水井盖"]


@pytest.mark.parametrize("name", ["垃圾间(楼)", "垃圾间（楼）", " 垃圾间 (楼)\n"])
def test_names_compare_without_width_and_spaces(name: str) -> None:
    assert resolve([TOWN], "component", "0304", name=name)[1].geometry == "polygon"


@given(
    st.sampled_from([*KINDS, None]),
    st.sampled_from(sorted({c.code for book in BOOKS for c in book})),
    st.sampled_from([*CODES, None]),
    st.sampled_from(sorted({c.name for book in BOOKS for c in book})) | st.none(),
)
def test_what_resolves_is_the_only_meaning(
    kind: str | None, code: str, catalogue: str | None, name: str | None
) -> None:
    rows = [(book.code, c) for book in BOOKS for c in book if c.code == code]
    known = [(b, c) for b, c in rows if catalogue in (None, b) and kind in (None, c.kind)]
    meant = [(b, c) for b, c in known if name in (None, c.name)]
    meanings = {(c.kind, c.name) for _, c in meant}
    expected = (
        None
        if len(meanings) == 1
        else errors.CategoryAmbiguous
        if meanings
        else errors.CategoryMismatch
        if known
        else errors.CategoryUnknown
    )
    if expected is None:
        assert resolve(BOOKS, kind, code, catalogue, name) == meant[0]
    else:
        with pytest.raises(expected):
            resolve(BOOKS, kind, code, catalogue, name)


def test_groups_hold_every_category_once_in_order() -> None:
    for book in BOOKS:
        listed = [c for group in book.groups for c in group.categories]
        assert listed == sorted(book, key=lambda c: (KINDS.index(c.kind), c.code))
        assert len(book) == len(listed)
        assert all(book.category(c.kind, c.code) is c for c in listed)
    with pytest.raises(errors.CategoryUnknown):
        TOWN.category("event", "9999")


ROW = {"code": "0101", "name": "上水井盖", "geometry": "point"}
GROUP = {"kind": "component", "code": "01", "name": "公用设施", "categories": [ROW]}
SMALL = {"code": "small", "name": {"zh": "小", "en": "small"}, "groups": [GROUP]}


@pytest.mark.parametrize(
    "groups",
    [
        None,
        [],
        ["01"],
        [GROUP | {"kind": "person"}],
        [GROUP | {"code": "1"}],
        [GROUP, GROUP],
        [GROUP | {"categories": []}],
        [GROUP | {"categories": [ROW, ROW]}],
        [GROUP | {"categories": [ROW | {"code": "0201"}]}],
        [GROUP | {"categories": [ROW | {"code": 101}]}],
        [GROUP | {"categories": [ROW | {"code": "01011"}]}],
        [GROUP | {"categories": [ROW | {"name": " "}]}],
        [GROUP | {"categories": [ROW | {"geometry": "circle"}]}],
    ],
)
def test_bad_catalogues_are_refused_with_the_place(groups: Any) -> None:
    assert len(Catalogue.from_body(SMALL)) == 1
    with pytest.raises(errors.DefinitionBad) as refused:
        Catalogue.from_body(SMALL | {"groups": groups})
    assert refused.value.detail["where"]
    assert refused.value.detail["why"]


# --- Filing standards -------------------------------------------------------------------------------------------


def test_every_category_of_the_town_has_one_to_three_conditions() -> None:
    assert STANDARD.catalogue == TOWN.code
    assert STANDARD.categories() == sorted((c.kind, c.code) for c in TOWN)
    for kind, code in STANDARD.categories():
        assert 1 <= len(STANDARD.conditions(kind, code)) <= 3


def test_limits_do_not_shrink_from_core_to_outskirts_and_dangers_run_by_the_hour() -> None:
    kinds = set()
    for kind, code in STANDARD.categories():
        for condition in STANDARD.conditions(kind, code):
            limits = [condition.limits[area] for area in AREA_CLASSES]
            assert len({limit.kind for limit in limits}) == 1
            assert limits[0].amount <= limits[1].amount <= limits[2].amount
            if condition.severity == 3:
                assert limits[0].kind is ClockKind.urgent_hours
                assert limits[2].amount <= 8
            kinds.add(limits[0].kind)
    assert kinds == {ClockKind.urgent_hours, ClockKind.work_hours, ClockKind.work_days, ClockKind.natural_days}


def test_the_default_condition_is_the_first() -> None:
    rows = STANDARD.conditions("component", "0101")
    assert STANDARD.condition("component", "0101") is rows[0]
    assert STANDARD.limit("component", "0101", "", "C") == rows[0].limits["C"] == Limit.parse("4紧急工作时")
    assert STANDARD.limit("component", "0101", "02", "A") == Limit.parse("2工作日")
    with pytest.raises(errors.ConditionUnknown) as refused:
        STANDARD.limit("component", "0101", "09", "A")
    assert refused.value.detail["known"] == ["01", "02", "03"]
    with pytest.raises(errors.CategoryUnknown):
        STANDARD.conditions("event", "0906")


CONDITION = ["01", "丢失", "补装", "2紧急工作时", "2紧急工作时", "4紧急工作时", 3]
STANDARD_BODY = {"code": "s", "catalogue": "small", "conditions": {"component": {"0101": [CONDITION]}}}


@pytest.mark.parametrize(
    "conditions",
    [
        None,
        {"person": {"0101": [CONDITION]}},
        {"component": {"101": [CONDITION]}},
        {"component": {101: [CONDITION]}},
        {"component": {"0101": []}},
        {"component": {"0101": [CONDITION, CONDITION]}},
        {"component": {"0101": [CONDITION[:6]]}},
        {"component": {"0101": [[*CONDITION[:3], "尽快", *CONDITION[4:]]]}},
        {"component": {"0101": [[*CONDITION[:6], 4]]}},
        {"component": {"0101": [["01", " ", *CONDITION[2:]]]}},
        {"component": {"0101": [[1, *CONDITION[1:]]]}},
    ],
)
def test_bad_standards_are_refused_with_the_place(conditions: Any) -> None:
    assert FilingStandard.from_body(STANDARD_BODY).categories() == [("component", "0101")]
    with pytest.raises(errors.DefinitionBad) as refused:
        FilingStandard.from_body(STANDARD_BODY | {"conditions": conditions})
    assert refused.value.detail["where"]
    assert refused.value.detail["why"]


# --- The demo's definitions together ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    village_code: str
    unit_grid_code: str
    duty_grid_code: str
    area_class: str


def places() -> list[Place]:
    villages = [d["village"] for d in DEPARTMENTS["departments"] if d["kind"] == "village"]
    return [Place(v, f"{v}001", f"{v[-3:]}-01", area) for v, area in product(villages, AREA_CLASSES)]


def test_the_duty_list_names_only_what_exists() -> None:
    codes = [d["code"] for d in DEPARTMENTS["departments"]]
    assert len(codes) == len(set(codes))
    channels = ["patrol", "public", "hotline", "video", "superior", "sensor", "leader"]
    DUTIES.check_names([(c.kind, c.code) for c in TOWN], codes, channels, ["standard"], places())


def test_every_category_everywhere_has_a_department_even_without_a_known_component() -> None:
    codes = {d["code"] for d in DEPARTMENTS["departments"]}
    for category, place, channel in product(TOWN, places(), ("patrol", "hotline")):
        facts = RoutingFacts(category.kind, category.code, **vars(place), channel=channel)
        rule = DUTIES.find(facts)
        assert rule is not None, facts
        assert rule.category != "*", facts
    for category in TOWN:
        facts = RoutingFacts(category.kind, category.code, **vars(places()[0]), channel="public")
        assert DUTIES.route(facts).department_code in codes


def units(code: str) -> tuple[str, str, str]:
    """The units of the demo's components of a class, in the first village; as data/departments says."""
    row = max(
        (row for row in DEPARTMENTS["component_units"] if code.startswith(row["category"])),
        key=lambda row: len(row["category"]),
    )
    found = [row[role].replace("@village", "V003") for role in ("competent", "owner", "maintenance")]
    return found[0], found[1], found[2]


@pytest.mark.parametrize(
    ("category", "village", "area", "channel", "department", "helper"),
    [
        ("component:0118", "003", "A", "patrol", "路灯管理公司", None),
        ("component:0101", "003", "A", "patrol", "自来水公司", "D03"),
        ("component:0105", "003", "A", "patrol", "供电公司", "D03"),
        ("component:0107", "003", "A", "patrol", "通信运营维护公司", "D03"),
        ("component:0110", "003", "A", "patrol", "热力公司", "D03"),
        ("component:0111", "003", "A", "patrol", "燃气公司", "D06"),
        ("component:0402", "003", "A", "patrol", "园林养护公司", "D10"),
        ("component:0210", "003", "A", "patrol", "交通支队仁和大队", "D19"),
        ("event:0102", "003", "A", "patrol", "环卫服务公司", "D04"),
        ("event:0102", "204", "C", "patrol", "太平村委会", "D24"),
        ("event:0102", "201", "A", "patrol", "石各庄村委会", "D24"),
        ("event:0501", "003", "A", "patrol", "仁和镇综合行政执法队", None),
        ("event:0501", "003", "A", "hotline", "仁和镇综合行政执法队", "D07"),
        ("event:0403", "003", "A", "patrol", "燃气公司", "D06"),
        ("event:0499", "003", "A", "patrol", "仁和镇应急管理办公室", "D12"),
        ("event:0505", "003", "A", "patrol", "交通支队仁和大队", "D02"),
    ],
)
def test_who_comes(category: str, village: str, area: str, channel: str, department: str, helper: str | None) -> None:
    kind, code = category.split(":")
    village_code = f"110113003{village}"
    facts = RoutingFacts(
        kind,
        code,
        village_code,
        f"{village_code}001",
        f"{village}-01",
        area,
        channel,
        component_units=units(code) if kind == "component" else None,
    )
    routing = DUTIES.route(facts)
    names = {d["code"]: d["name"] for d in DEPARTMENTS["departments"]}
    assert routing.department_code is not None
    assert names[routing.department_code] == department
    assert helper is None or helper in routing.co_departments


def test_component_units_cover_every_component_class() -> None:
    codes = {d["code"] for d in DEPARTMENTS["departments"]}
    for category in (c for c in TOWN if c.kind == "component"):
        assert set(units(category.code)) <= codes


def test_demo_data_says_that_it_is_synthetic() -> None:
    for kind, code in (("filing_standards", "renhe-demo"), ("departments", "renhe"), ("duty_lists", "renhe")):
        raw = body(kind, code)
        assert raw["synthetic"] is True
        assert "合成演示数据" in raw["name"]["zh"]
