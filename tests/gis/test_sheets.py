"""Workbooks as cities make them: every row lands or is named, and what is written reads back the same."""

import io
from typing import Any

import pytest
from openpyxl import Workbook, load_workbook

from gis import definitions, duty_sheet, errors, standard_sheet, workbooks
from gis.catalogue import FilingStandard
from gis.routing import DutyList
from gis.rulebook import rulebook
from gis.sheet_names import Names
from gis.worktime import Limit

HEADERS = [
    *("大类代码", "大类名称", "小类代码", "小类名称", "处置单位", "主管部门", "立案条件", "结案条件", "处置时限"),
]


def workbook(*rows: list[Any], title: str = "部件", merge: tuple[str, ...] = ()) -> bytes:
    book = Workbook()
    sheet = book.active
    sheet.title = title
    for row in rows:
        sheet.append(row)
    for span in merge:
        sheet.merge_cells(span)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


@pytest.fixture
def names(tx) -> Names:
    return Names.load(tx, rulebook(tx))


@pytest.fixture
def standard(tx) -> dict[str, Any]:
    return dict(definitions.current(tx, "filing_standard").body)


def read(content: bytes, names: Names, base: dict[str, Any]) -> standard_sheet.StandardSheet:
    return standard_sheet.read(content, names, base)


def limits(rows: list[list[Any]]) -> list[list[str]]:
    return [row[3:6] for row in rows]


# --- Filing standards -------------------------------------------------------------------------------------------


def test_dirty_rows_land_or_are_named(names, standard):
    content = workbook(
        ["某市立结案标准"],
        HEADERS,
        [1, "公用设施类", 101, "上水井盖", "自来水公司", "规划办", "井盖丢失", "补装\n平稳", "2紧急工作时"],
        ["", "", "", "", "", "", "井盖松动", "", "4小时\n"],
        ["", "", "", "", "", "", "周边沉陷", "修补平顺", ""],
        ["01", "", "0102", "污水井盖", "", "", "井盖破损", "更换", "15天"],
        ["", "", "", "", "", "", "满溢", "疏通", "看情况"],
        ["", "", "", "", "", "", "异味", "清掏", "1紧急工作时制止"],
        ["02", "道路交通类", "0201", "停车场", "", "", "设施缺失", "补齐", "2工作日"],
        ["", "", "0202", "上水井盖", "", "", "破损", "修复", "2工作日"],
        ["", "", "0299", "", "", "", "破损", "修复", "2工作日"],
        ["01", "", "0203", "", "", "", "破损", "修复", "2工作日"],
        ["02", "", "0203", "", "", "", "", "修复", "2工作日"],
        ["", "", "0204", "", "", "", "破损", "修复", "0天"],
    )
    found = read(content, names, standard)
    landed = {(one.row, one.category): one.inherited for one in found.landed}
    assert landed == {
        (3, "component:0101"): (),
        (4, "component:0101"): ("小类代码", "处置单位", "主管部门", "结案条件"),
        (5, "component:0101"): ("小类代码", "处置时限", "处置单位", "主管部门"),
        (6, "component:0102"): ("处置单位", "主管部门"),
        (8, "component:0102"): ("小类代码", "处置单位", "主管部门"),
        (9, "component:0201"): (),
    }
    refused = {one.row: (one.column, one.code) for one in found.refused}
    assert refused == {
        7: ("处置时限", "limit_bad"),
        10: ("小类代码", "category_mismatch"),
        11: ("小类代码", "category_unknown"),
        12: ("大类代码", "category_mismatch"),
        13: ("立案条件", "field_missing"),
        14: ("处置时限", "limit_bad"),
    }
    assert all(one.zh and one.en and one.sheet == "部件" for one in found.refused)
    assert "上水井盖" in next(one.zh for one in found.refused if one.row == 10)
    assert len(found.landed) + len(found.refused) == 12

    body, kept = found.body(standard)
    parsed = FilingStandard.from_body(body)
    wells = parsed.conditions("component", "0101")
    assert [(one.text, one.closing) for one in wells] == [
        ("井盖丢失", "补装\n平稳"),
        ("井盖松动", "补装\n平稳"),
        ("周边沉陷", "修补平顺"),
    ]
    expected = [Limit.parse(text) for text in ("2紧急工作时", "4工作时", "4工作时")]
    assert [one.limits["A"] for one in wells] == expected
    assert [one.limits["C"] for one in parsed.conditions("component", "0102")] == [
        Limit.parse("15工作日"),
        Limit.parse("1紧急工作时"),
    ]
    assert body["units"]["component"]["0102"] == {"handling_unit": "自来水公司", "competent_unit": "规划办"}
    # Every category the workbook does not have is as it was.
    assert "component:0103" in kept
    assert "component:0101" not in kept
    assert body["conditions"]["event"] == standard["conditions"]["event"]


def test_merged_cells_and_limits_by_area_class(names, standard):
    content = workbook(
        ["立结案标准"] + [""] * 10,
        ["大类代码", "大类名称", "小类代码", "小类名称", "立案条件", "处置时限", "", "", "结案条件", "备注"],
        ["", "", "", "", "", "A类", "B类", "C类", "", ""],
        ["01", "公用设施", "0101", "上水井盖", "丢失", "2紧急工作时", "3紧急工作时", "4紧急工作时", "补装", ""],
        ["", "", "", "", "松动", "1工作日", "2工作日", "3工作日", "", ""],
        ["", "", "0102", "污水井盖", "丢失", "5小时", "", "", "更换", ""],
        merge=("A1:J1", *(f"{c}2:{c}3" for c in "ABCDEIJ"), "F2:H2", "A4:A6", "F6:H6", *(f"{c}4:{c}5" for c in "BCDI")),
    )
    found = read(content, names, standard)
    assert not found.refused
    rows = found.conditions["component"]
    assert limits(rows["0101"]) == [["2紧急工作时", "3紧急工作时", "4紧急工作时"], ["1工作日", "2工作日", "3工作日"]]
    assert [row[2] for row in rows["0101"]] == ["补装", "补装"]
    assert limits(rows["0102"]) == [["5小时"] * 3]


def test_limits_by_class_inherit_each_for_itself_and_a_missing_one_is_named(names, standard):
    headers = [*HEADERS[:-1], "处置时限（A类）", "B类区域处置时限", "处置时限 C"]
    content = workbook(
        headers,
        ["01", "", "0101", "上水井盖", "", "", "丢失", "补装", "1天", "2天", "3天"],
        ["", "", "", "", "", "", "松动", "加固", "4天", "", "5天"],
        ["", "", "", "", "", "", "沉陷", "修补", "", "", ""],
        ["02", "", "0201", "", "", "", "破损", "修补", "1天", "", "3天"],
    )
    found = read(content, names, standard)
    assert limits(found.conditions["component"]["0101"]) == [
        ["1天", "2天", "3天"],
        ["4天", "2天", "5天"],
        ["4天", "2天", "5天"],
    ]
    # Another large class begins anew.
    assert [(one.row, one.column, one.code) for one in found.refused] == [(5, "处置时限B", "field_missing")]


def test_the_same_words_keep_code_and_severity(names, standard):
    old = standard["conditions"]["component"]["0101"]
    content = workbook(
        [*HEADERS, "等级"],
        ["01", "", "0101", "", "", "", "全新的条件", "改好", "1天", ""],
        ["", "", "", "", "", "", old[2][1], old[2][2], "9工作日", ""],
        ["", "", "", "", "", "", "另一个", "改好", "1天", "紧急"],
        ["", "", "", "", "", "", "再一个", "改好", "1天", "特急"],
    )
    found = read(content, names, standard)
    rows = found.conditions["component"]["0101"]
    assert [row[0] for row in rows] == [f"{len(old) + 1:02d}", old[2][0], f"{len(old) + 2:02d}"]
    assert rows[1][6] == old[2][6]
    assert rows[2][6] == 3
    assert [(one.row, one.column) for one in found.refused] == [(5, "等级")]


def test_components_and_events_are_told_apart_by_sheet_kind_or_name(names, standard):
    row = ["01", "", "0101", "", "", "", "脏", "净", "1天"]
    assert read(workbook(HEADERS, row, title="事件"), names, standard).landed[0].category == "event:0101"
    ambiguous = read(workbook(HEADERS, row, title="Sheet1"), names, standard)
    assert [one.code for one in ambiguous.refused] == ["category_ambiguous"]
    named = ["01", "", "0101", "上水井盖", "", "", "脏", "净", "1天"]
    assert read(workbook(HEADERS, named, title="Sheet1"), names, standard).landed[0].category == "component:0101"
    told = workbook([*HEADERS, "类型"], [*row, "事件"], title="Sheet1")
    assert read(told, names, standard).landed[0].category == "event:0101"
    by_name = ["", "", "", "污水井盖", "", "", "脏", "净", "1天"]
    assert read(workbook(HEADERS, by_name), names, standard).landed[0].category == "component:0102"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"no workbook", "cannot be read"),
        (workbook(["某表"], ["甲", "乙"], ["1", "2"]), "No sheet has a header"),
    ],
)
def test_what_is_no_such_workbook_is_refused_as_a_whole(names, standard, content, why):
    with pytest.raises(errors.SheetBad) as refused:
        read(content, names, standard)
    assert why in refused.value.title_en


def test_the_standard_in_force_goes_out_and_comes_back(names, standard):
    found = read(standard_sheet.write(standard, names), names, standard)
    assert not found.refused
    body, kept = found.body(standard)
    assert kept == []
    assert body["conditions"] == standard["conditions"]
    assert found.landed
    assert not any(one.inherited for one in found.landed)


# --- Duty lists -------------------------------------------------------------------------------------------------

DUTY = ["规则编号", "类别", "类别名称", "区域", "部件主管单位", "来源", "主责部门", "协同部门", "流程", "备注"]


def duties(content: bytes, names: Names) -> duty_sheet.DutySheet:
    return duty_sheet.read(content, names)


def test_rules_by_code_and_by_name(names):
    village = next(iter(names.villages))
    grid = min(names.grids)
    content = workbook(
        DUTY,
        ["A1", "部件0101", "上水井盖", "全镇", "", "", "D17", "规划办?", "", ""],
        ["A2", "部件0101", "上水井盖", names.villages[village], "自来水公司", "热线", "养护单位", "D03、D06", "", "备"],
        ["", "污水井盖", "", "A类", "", "", "属地村居", "", "standard", ""],
        ["A4", "事件", "", f"grid:{grid}", "", "patrol", "D02", "", "", ""],
        ["A5", "*", "", "", "", "", "D01", "", "", ""],
        ["A5", "部件", "", "", "", "", "D01", "", "", ""],
        ["A7", "全部", "", "全镇", "", "不限", "D02", "", "", ""],
        ["A8", "部件0101", "下水井盖", "", "", "", "D02", "", "", ""],
        ["A9", "部件0199", "", "", "", "", "D02", "", "", ""],
        ["A10", "部件0102", "", "月亮村", "", "", "D02", "", "", ""],
        ["A11", "部件0102", "", "", "", "鸽子", "D02", "", "", ""],
        ["A12", "部件0102", "", "", "", "", "", "", "", ""],
        ["A13", "部件0102", "", "", "", "", "D99", "", "", ""],
        ["A14", "部件0102", "", "", "", "", "D02", "", "不存在", ""],
        ["A15", "0102", "", "", "", "", "D02", "", "", ""],
    )
    found = duties(content, names)
    assert [
        (rule["id"], rule["category"], rule["area"], rule["channel"], rule["department"]) for rule in found.rules
    ] == [
        ("A2", "component:0101", f"village:{village}", "hotline", "@maintenance"),
        ("R0004", "component:0102", "class:A", "*", "@village"),
        ("A4", "event", f"grid:{grid}", "patrol", "D02"),
        ("A5", "*", "*", "*", "D01"),
    ]
    assert found.rules[0]["component_unit"] == "D17"
    assert found.rules[0]["co_departments"] == ["D03", "D06"]
    assert found.rules[0]["note"] == "备"
    assert {one.row: (one.column, one.code) for one in found.refused} == {
        2: ("协同部门", "department_unknown"),
        7: ("规则编号", "id_conflict"),
        8: ("类别", "rule_duplicate"),
        9: ("类别名称", "category_mismatch"),
        10: ("类别", "category_unknown"),
        11: ("区域", "area_unknown"),
        12: ("来源", "malformed"),
        13: ("主责部门", "field_missing"),
        14: ("主责部门", "department_unknown"),
        15: ("流程", "definition_unknown"),
        16: ("类别", "category_ambiguous"),
    }


def test_classes_by_the_columns_of_large_and_small_class(names):
    content = workbook(
        ["规则编号", "类型", "大类代码", "小类代码", "主责部门"],
        ["1", "部件", 1, 101, "D01"],
        ["2", "部件", "01", 2, "D01"],
        ["3", "事件", 1, "", "D01"],
        ["4", "事件", "", "", "D01"],
        ["5", "", "", "", "D01"],
    )
    found = duties(content, names)
    assert [rule["category"] for rule in found.rules] == ["component:0101", "component:0102", "event:01", "event"]
    assert [(one.row, one.code) for one in found.refused] == [(6, "field_missing")]


def test_the_list_in_force_goes_out_and_comes_back(tx, names):
    body = dict(definitions.current(tx, "duty_list").body)
    content = duty_sheet.write(body, names)
    found = duties(content, names)
    here = {rule.id for rule in DutyList.from_body(body).rules if rule.area.startswith("village:")}
    elsewhere = {
        rule.id
        for rule in DutyList.from_body(body).rules
        if rule.area.startswith("village:") and rule.area[8:] not in names.villages
    }
    # Rules for villages that the small town does not have are named; the others are the same rules.
    assert {one.column for one in found.refused} == {"区域"}
    assert len(found.refused) == len(elsewhere) < len(here)
    back = DutyList.from_body(found.body(body))
    kept = [rule for rule in DutyList.from_body(body).rules if rule.id not in elsewhere]
    assert [(r.id, r.key, r.department, r.co_departments, r.workflow) for r in back.rules] == [
        (r.id, r.key, r.department, r.co_departments, r.workflow) for r in kept
    ]


def test_no_text_becomes_a_formula():
    content = workbooks.write({"一": (["甲"], [["=1+1"], ["@SUM(A1)"]])})
    sheet = load_workbook(io.BytesIO(content)).active
    assert [cell.data_type for cell in sheet["A"][1:]] == ["s", "s"]
