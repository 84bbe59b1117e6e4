"""A filing standard as the workbooks that cities keep it in. Pure; every row lands or is named with why not.

An empty cell says the same as the one above it, as long as the class is the same: of the class itself always, of units,
closing condition and limit within the large class, of the filing condition within the small class only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gis import errors, workbooks
from gis.catalogue import AREA_CLASSES, Category
from gis.definitions import Body
from gis.sheet_names import KIND_WORDS, KINDS, Names, NotKnown, digits, plain
from gis.workbooks import Line, Refusal
from gis.worktime import Limit

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "kind": ("类型", "部件事件", "部件或事件", "案件类型"),
    "group_code": ("大类代码", "大类编码", "大类编号"),
    "group_name": ("大类名称", "大类", "问题大类"),
    "category_code": ("小类代码", "小类编码", "小类编号"),
    "category_name": ("小类名称", "小类", "问题小类"),
    "handling_unit": ("处置单位", "处置部门", "责任单位"),
    "competent_unit": ("主管部门", "主管单位"),
    "condition_code": ("条件编码", "条件代码", "立案明细编码", "立案条件编码"),
    "text": ("立案条件", "立案标准", "立案明细"),
    "closing": ("结案条件", "结案标准"),
    "limit": ("处置时限", "处理时限", "办理时限", "时限", "结案时限"),
    **{
        f"limit_{letter}": tuple(
            form.format(letter)
            for form in (
                *(
                    "处置时限{}",
                    "处置时限{}类",
                    "处置时限{}类区",
                    "处置时限{}类区域",
                    "{}类处置时限",
                    "{}类区域处置时限",
                ),
                *("{}类区处置时限", "{}类", "{}类区", "{}类区域", "{}类时限", "时限{}", "{}", name),
                *(f"处置时限{{}}{name}", f"处置时限{{}}类{name}", f"处置时限{name}", f"{{}}{name}", f"{{}}类{name}"),
            )
        )
        for letter, name in zip(AREA_CLASSES, ("核心区", "一般区", "其他区"), strict=True)
    },
    "severity": ("等级", "严重程度", "问题等级"),
}
_SEVERITIES = {"": 0, "1": 1, "2": 2, "3": 3, "一般": 1, "较重": 2, "严重": 2, "紧急": 3}
_SEVERITY_WORDS = {1: "一般", 2: "较重", 3: "紧急"}
_LIMITS = tuple(f"limit_{letter}" for letter in AREA_CLASSES)
_UNITS = ("handling_unit", "competent_unit")
_WRITTEN = (
    *("kind", "group_code", "group_name", "category_code", "category_name", *_UNITS),
    *("condition_code", "text", "closing", *_LIMITS, "severity"),
)
_WIDTHS = (8, 10, 16, 10, 20, 18, 18, 10, 44, 44, 14, 14, 14, 8)


@dataclass(frozen=True, slots=True)
class Landed:
    """A row that became a condition: of which category, under which code, and the columns it has from above."""

    sheet: str
    row: int
    category: str
    condition: str
    inherited: tuple[str, ...]


@dataclass
class StandardSheet:
    """What a workbook gave: conditions by kind and code as definitions have them, units, rows landed and refused."""

    conditions: dict[str, dict[str, list[list[Any]]]] = field(default_factory=dict)
    units: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    landed: list[Landed] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def body(self, base: Body) -> tuple[Body, list[str]]:
        """(a draft: the standard ``base`` with these categories' conditions, the categories only ``base`` has)."""
        kept = []
        conditions: dict[str, dict[str, Any]] = {}
        units: dict[str, dict[str, Any]] = {}
        for kind in sorted({*base["conditions"], *self.conditions}):
            old, new = base["conditions"].get(kind, {}), self.conditions.get(kind, {})
            conditions[kind] = dict(sorted((old | new).items()))
            kept += [f"{kind}:{code}" for code in sorted(old.keys() - new.keys())]
            known = base.get("units", {}).get(kind, {}) | self.units.get(kind, {})
            if known:
                units[kind] = dict(sorted(known.items()))
        return {**base, "conditions": conditions} | ({"units": units} if units else {}), kept


class _Wrong(Exception):
    def __init__(self, column: str, value: str, code: str, zh: str, en: str) -> None:
        super().__init__(en)
        self.column, self.value, self.code, self.zh, self.en = column, value, code, zh, en


def read(content: bytes, names: Names, base: Body) -> StandardSheet:
    """The conditions of a workbook; those that ``base`` has word for word keep their code and severity.

    Raises ``SheetBad`` when it is no workbook or has no columns of filing and closing conditions.
    """
    found = StandardSheet()
    texts: dict[tuple[str, str, str], int] = {}
    above, sheet = _Above(), ""
    for line in workbooks.read(content, COLUMNS, ("text", "closing")):
        if line.sheet != sheet:
            above, sheet = _Above(), line.sheet
        try:
            category, cells, inherited = above.fill(line, names)
            limits = _limits(cells)
            severity = _severity(cells)
            first = texts.setdefault((category.kind, category.code, plain(cells["text"])), line.row)
            if first != line.row:
                raise _Wrong(
                    "text", cells["text"], "rule_duplicate", f"与第 {first} 行重复", f"the same as row {first}"
                )
        except _Wrong as wrong:
            title = COLUMNS[wrong.column][0]
            found.refused.append(Refusal(line.sheet, line.row, title, wrong.value, wrong.code, wrong.zh, wrong.en))
            continue
        rows = found.conditions.setdefault(category.kind, {}).setdefault(category.code, [])
        known = {plain(row[1]): row for row in base["conditions"].get(category.kind, {}).get(category.code, [])}
        old = known.get(plain(cells["text"]))
        code = _code(cells["condition_code"], old, rows, [str(row[0]) for row in known.values()])
        rows.append([code, cells["text"], cells["closing"], *limits, severity or (old[6] if old else 1)])
        units = {name: cells[name] for name in _UNITS if cells[name]}
        if units:
            found.units.setdefault(category.kind, {})[category.code] = units
        titles = tuple(COLUMNS[column][0] for column in inherited)
        found.landed.append(Landed(line.sheet, line.row, f"{category.kind}:{category.code}", code, titles))
    return found


class _Above:
    """What the rows above say, for the empty cells below."""

    def __init__(self) -> None:
        self._group: tuple[str, str] = ("", "")
        self._small: tuple[str, str] = ("", "")
        self._cells: dict[str, str] = {}

    def fill(self, line: Line, names: Names) -> tuple[Category, dict[str, str], list[str]]:
        """(the row's category, its cells with what they inherit, the columns inherited)."""
        inherited: list[str] = []
        group = _pair(self._group, digits(line["group_code"], 2), plain(line["group_name"]))
        if group != self._group:
            self._group, self._small, self._cells = group, ("", ""), {}
        small = _pair(self._small, _small_code(line, group[0]), plain(line["category_name"]))
        if small != self._small:
            self._small = small
            self._cells.pop("text", None)
        elif not line["category_code"] and not line["category_name"]:
            inherited.append("category_code")
        cells = {column: line[column] for column in COLUMNS}
        # One limit for all classes is the row's own word on each of them.
        limits = () if cells["limit"] else ("limit", *_LIMITS) if not any(cells[c] for c in _LIMITS) else _LIMITS
        for column in (*limits, *_UNITS, "closing", "text"):
            if not cells[column] and self._cells.get(column):
                cells[column] = self._cells[column]
                inherited.append(column)
        # Kept even when this row is refused: the row below may rest on it.
        self._cells = {column: cells[column] for column in ("limit", *_LIMITS, *_UNITS, "closing", "text")}
        category = self._category(line, names)
        for column in ("text", "closing"):
            if not cells[column]:
                title = COLUMNS[column][0]
                raise _Wrong(column, "", "field_missing", f"没有填{title}", f"no {column} condition is given")
        return category, cells, inherited

    def _category(self, line: Line, names: Names) -> Category:
        code, name = self._small
        if not code and not name:
            raise _Wrong("category_code", "", "field_missing", "没有填小类", "no category is given")
        try:
            kind = names.kind(line["kind"]) or _kind_of(line.sheet)
            category = names.category(kind, code, name)
        except NotKnown as wrong:
            column = "category_code" if code else "category_name"
            raise _Wrong(column, f"{code} {name}".strip(), wrong.code, wrong.zh, wrong.en) from wrong
        group = self._group[0]
        if group and group != category.group_code:
            zh = f"小类 {category.code} 属于大类 {category.group_code}，不是 {group}"
            en = f"category {category.code} is of group {category.group_code}, not {group}"
            raise _Wrong("group_code", group, "category_mismatch", zh, en)
        return category


def _pair(above: tuple[str, str], code: str, name: str) -> tuple[str, str]:
    """Code and name of a class: the ones above where the row says none or only repeats half of them."""
    if (not code or code == above[0]) and (not name or name == above[1]):
        return above
    return code, name


def _small_code(line: Line, group: str) -> str:
    short = plain(line["category_code"])
    if short.isdigit() and len(short) <= 2 and group.isdigit():
        return group + digits(short, 2)
    return digits(short, 4) if short else ""


def _kind_of(sheet: str) -> str:
    return next((kind for word, kind in KINDS.items() if word in sheet), "")


def _limits(cells: Mapping[str, str]) -> list[str]:
    found = []
    for column in _LIMITS:
        text = plain(cells[column] or cells["limit"])
        shown = column if cells[column] or not cells["limit"] else "limit"
        if not text:
            title = COLUMNS[column][0]
            raise _Wrong(shown, "", "field_missing", f"没有填{title}", f"no limit for area class {column[-1]}")
        try:
            Limit.parse(text)
        except errors.DefinitionBad as problem:
            value = cells[column] or cells["limit"]
            raise _Wrong(shown, value, "limit_bad", f"看不懂的时限“{text}”", f"not a time limit: {text}") from problem
        found.append(text)
    return found


def _severity(cells: Mapping[str, str]) -> int:
    word = plain(cells["severity"])
    if word not in _SEVERITIES:
        raise _Wrong("severity", word, "malformed", f"等级“{word}”应为一般、较重或紧急", f"unknown severity: {word}")
    return _SEVERITIES[word]


def _code(given: str, old: list[Any] | None, rows: list[list[Any]], taken: list[str]) -> str:
    """A condition's code: the given one, else that of the same words before, else the next free number."""
    used = {str(row[0]) for row in rows}
    wanted = plain(given).zfill(2) if re.fullmatch(r"[0-9A-Za-z-]{1,10}", plain(given)) else ""
    for code in (wanted, str(old[0]) if old else ""):
        if code and code not in used:
            return code
    number = 1
    while f"{number:02d}" in used | set(taken):
        number += 1
    return f"{number:02d}"


def write(body: Body, names: Names) -> bytes:
    """A standard as a workbook, one row a condition, that ``read`` reads back to the same conditions."""
    sheets = {}
    headers = [COLUMNS[column][0] for column in _WRITTEN]
    for kind, word in KIND_WORDS.items():
        rows = []
        for code, conditions in sorted(body["conditions"].get(kind, {}).items()):
            category = names.catalogue.find(kind, code)
            units = body.get("units", {}).get(kind, {}).get(code, {})
            for condition, text, closing, *limits, severity in conditions:
                rows.append(
                    [
                        *(word, code[:2], category.group_name if category else "", code),
                        *(category.name if category else "", *(units.get(name, "") for name in _UNITS)),
                        *(condition, text, closing, *limits, _SEVERITY_WORDS[severity]),
                    ]
                )
        sheets[word] = (headers, rows)
    return workbooks.write(sheets, _WIDTHS)
