"""The duty list as a workbook: every row becomes a rule or is named with why not. Pure; knows no stored list."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gis import workbooks
from gis.definitions import Body
from gis.routing import ANY, DutyList, Rule
from gis.sheet_names import CHANNEL_WORDS, KIND_WORDS, Names, NotKnown, digits, plain
from gis.workbooks import Line, Refusal

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("规则编号", "编号", "规则代码", "规则号"),
    "kind": ("类型", "部件事件", "部件或事件"),
    "group_code": ("大类代码", "大类编码", "大类"),
    "category_code": ("小类代码", "小类编码", "小类"),
    "category": ("类别", "类别代码", "案件类别"),
    "category_name": ("类别名称", "小类名称"),
    "area": ("区域", "区域范围", "适用区域", "责任区域"),
    "component_unit": ("部件主管单位", "主管单位"),
    "channel": ("来源", "案件来源", "问题来源"),
    "department": ("主责部门", "责任部门", "处置部门", "主责单位", "责任单位", "处置单位"),
    "co_departments": ("协同部门", "协办部门", "配合部门", "协同单位"),
    "workflow": ("流程", "办理流程", "工作流"),
    "note": ("备注", "说明"),
}
_SHOWN = ("id", "category", "category_name", "area", "component_unit", "channel", "department", "co_departments")
_SHOWN_TOO = ("workflow", "note")
_WIDTHS = (14, 14, 20, 22, 18, 12, 26, 30, 12, 30)


@dataclass(frozen=True)
class DutySheet:
    """What a workbook gave: the rules in its order, the row of each rule's id, and the rows that are none."""

    rules: list[dict[str, Any]]
    landed: Mapping[str, Line]
    refused: list[Refusal]

    def body(self, base: Body) -> Body:
        """A draft: the list ``base`` with these rules instead of its own."""
        return {**base, "rules": self.rules}


def read(content: bytes, names: Names) -> DutySheet:
    """The rules of a workbook. Raises ``SheetBad`` when it is none, or has no column of departments."""
    rules: list[dict[str, Any]] = []
    landed: dict[str, Line] = {}
    about: dict[tuple[str, ...], Line] = {}
    refused: list[Refusal] = []
    for line in workbooks.read(content, COLUMNS, ("department",)):
        try:
            rule, key = _rule(line, names)
            if rule["id"] in landed:
                first = landed[rule["id"]].row
                raise _Wrong("id", line["id"], "id_conflict", f"规则编号与第 {first} 行相同", f"the id of row {first}")
            if key in about:
                first = about[key].row
                zh, en = f"与第 {first} 行的类别、区域、单位、来源都相同", f"about the same as row {first}"
                raise _Wrong("category", line["category"] or line["category_code"], "rule_duplicate", zh, en)
        except _Wrong as wrong:
            title = COLUMNS[wrong.column][0]
            refused.append(Refusal(line.sheet, line.row, title, wrong.value, wrong.code, wrong.zh, wrong.en))
            continue
        landed[rule["id"]] = about[key] = line
        rules.append(rule)
    return DutySheet(rules, landed, refused)


class _Wrong(Exception):
    def __init__(self, column: str, value: str, code: str, zh: str, en: str) -> None:
        super().__init__(en)
        self.column, self.value, self.code, self.zh, self.en = column, value, code, zh, en


def _rule(line: Line, names: Names) -> tuple[dict[str, Any], tuple[str, ...]]:
    """(a rule as definitions have it, what it is about)."""

    def told(column: str, read: Any) -> Any:
        try:
            return read(line[column])
        except NotKnown as wrong:
            raise _Wrong(column, line[column], wrong.code, wrong.zh, wrong.en) from wrong

    kind = told("kind", names.kind)
    category = _category(line, names, kind)
    unit = told(
        "component_unit",
        lambda text: ANY if plain(text) in ("", ANY, "不限") else names.department(text, targets=False),
    )
    rule: dict[str, Any] = {
        "id": plain(line["id"]) or f"R{line.row:04d}",
        "category": category,
        "area": told("area", names.area),
        "component_unit": unit,
        "channel": told("channel", names.channel),
    }
    key = tuple(str(rule[name]) for name in ("category", "area", "component_unit", "channel"))
    if not line["department"]:
        raise _Wrong("department", "", "field_missing", "没有填主责部门", "no department is given")
    rule["department"] = told("department", names.department)
    rule["co_departments"] = told("co_departments", names.departments_of)
    workflow = told("workflow", names.workflow)
    return rule | ({"workflow": workflow} if workflow else {}) | ({"note": line["note"]} if line["note"] else {}), key


def _category(line: Line, names: Names, kind: str) -> str:
    column = "category" if line["category"] else "category_code" if line["category_code"] else "group_code"
    text = line[column]
    try:
        if column == "category":
            found = names.category_prefix(text, kind)
        elif column == "category_code":
            short = plain(text)
            group = digits(line["group_code"], 2)
            whole = group + digits(text, 2) if len(short) <= 2 and group.isdigit() else digits(text, 4)
            found = names.category_prefix(whole, kind)
        elif text:
            found = names.category_prefix(digits(text, 2), kind)
        elif line["category_name"]:
            column, text = "category_name", line["category_name"]
            found = names.category_prefix(text, kind)
        elif kind:
            return kind
        else:
            raise NotKnown("field_missing", "没有填类别，全部类别请写 *", "no category is given; write * for all")
        name = names.category_name(found)
        if line["category_name"] and name and plain(name) != plain(line["category_name"]):
            column, text = "category_name", line["category_name"]
            raise NotKnown("category_mismatch", f"代码 {found} 是“{name}”", f"{found} is {name}")
    except NotKnown as wrong:
        raise _Wrong(column, text, wrong.code, wrong.zh, wrong.en) from wrong
    return found


def write(body: Body, names: Names) -> bytes:
    """A list as a workbook that ``read`` reads back to the same rules."""
    rows = []
    for raw, rule in zip(body["rules"], DutyList.from_body(body).rules, strict=True):
        words = _words(rule, names) | {"note": raw.get("note", ""), "workflow": raw.get("workflow", "")}
        rows.append([words[column] for column in (*_SHOWN, *_SHOWN_TOO)])
    headers = [COLUMNS[column][0] for column in (*_SHOWN, *_SHOWN_TOO)]
    return workbooks.write({"权责清单": (headers, rows)}, _WIDTHS)


def _words(rule: Rule, names: Names) -> dict[str, str]:
    kind, _, code = rule.category.partition(":")
    return {
        "id": rule.id,
        "category": ANY if rule.category == ANY else f"{KIND_WORDS[kind]}{code}",
        "category_name": names.category_name(rule.category),
        "area": _area_words(rule.area, names),
        "component_unit": "" if rule.component_unit == ANY else names.word_of(rule.component_unit),
        "channel": "" if rule.channel == ANY else CHANNEL_WORDS.get(rule.channel, rule.channel),
        "department": names.word_of(rule.department),
        "co_departments": names.words_of(rule.co_departments),
    }


def _area_words(area: str, names: Names) -> str:
    level, _, code = area.partition(":")
    if area == ANY:
        return "全镇"
    if level == "class":
        return f"{code}类"
    short = names.villages.get(code, "")
    return short if short and names.areas.get(plain(short)) == area else code
