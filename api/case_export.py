"""Cases and other rows as a table for a spreadsheet, made while it is sent. Knows files and words, not their source.

What people wrote must stay text: in CSV a cell that a spreadsheet would run as a formula gets an apostrophe before it,
in XLSX every text is typed as text.
"""

import csv
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from xml.sax.saxutils import escape

from gis.filter_words import CHANNELS, HANDLING_LIGHTS, LIGHTS, SEVERITIES, STAGE_LIGHTS, STATUSES, Words
from gis.import_checks import no_formula
from gis.search import ZONE

Item = Mapping[str, Any]
Cell = str | int | float | None


@dataclass(frozen=True)
class Column:
    """A column of the table: its heading, and its cell of a case as ``case_views.item`` shows it, in a language."""

    name: Words
    value: Callable[[Item, str], Cell]


def _plain(key: str) -> Callable[[Item, str], Cell]:
    return lambda item, _: item[key]


def _named(key: str) -> Callable[[Item, str], Cell]:
    return lambda item, _: item[key]["name"] if item[key] else ""


def _told(key: str) -> Callable[[Item, str], Cell]:
    """A pair of words in both languages that the case brings along."""
    return lambda item, language: item[key][language] if item[key] else ""


def _left(item: Item, language: str) -> Cell:
    """Of the limit that runs now, as the list shows it: of the stage where it has one, else of handling."""
    staged = item["stage_due_at"] and item["stage_due_at"] == item["next_due_at"]
    return _told("stage_remaining" if staged else "remaining")(item, language)


def _tags(item: Item, language: str) -> Cell:
    return ("、" if language == "zh" else ", ").join(name[language] for name in item["tag_names"])


def _yes(key: str) -> Callable[[Item, str], Cell]:
    return lambda item, language: _in(("是", "yes"), language) if item[key] else ""


def worded(key: str, words: Mapping[Any, Words]) -> Callable[[Item, str], Cell]:
    """The words of a code; the code itself where it has none."""

    def value(item: Item, language: str) -> Cell:
        return _in(words[item[key]], language) if item[key] in words else item[key]

    return value


def _time(key: str) -> Callable[[Item, str], Cell]:
    """Town time, to the second."""

    def value(item: Item, _: str) -> Cell:
        moment = item[key]
        return datetime.fromisoformat(moment).astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S") if moment else ""

    return value


COLUMNS: Final[Mapping[str, Column]] = {
    "number": Column(("案号", "Number"), _plain("number")),
    "kind": Column(("种类", "Kind"), _plain("kind")),
    "channel": Column(("来源", "Channel"), worded("channel", CHANNELS)),
    "group": Column(("大类", "Group"), lambda item, _: item["category"]["group_name"]),
    "category": Column(("小类", "Category"), lambda item, _: item["category"]["name"]),
    "description": Column(("描述", "Description"), _plain("description")),
    "address": Column(("地址", "Address"), _plain("address")),
    "village": Column(("村居", "Village"), _named("village")),
    "grid": Column(("单元网格", "Unit grid"), _plain("unit_grid_code")),
    "duty_grid": Column(("责任网格", "Duty grid"), _plain("duty_grid_code")),
    "department": Column(("责任部门", "Department"), _named("department")),
    "status": Column(("状态", "Status"), worded("status", STATUSES)),
    "state": Column(("环节", "State"), _told("state_name")),
    "severity": Column(("紧急程度", "Severity"), worded("severity", SEVERITIES)),
    "light": Column(("时限灯", "Light"), worded("light", LIGHTS)),
    "handling_light": Column(("处置灯", "Handling light"), worded("handling_light", HANDLING_LIGHTS)),
    "stage_light": Column(("环节灯", "Stage light"), worded("stage_light", STAGE_LIGHTS)),
    "remaining": Column(("剩余", "Time left"), _left),
    "reported": Column(("上报时间", "Reported"), _time("reported_at")),
    "due": Column(("处置时限", "Due"), _time("due_at")),
    "stage_due": Column(("环节时限", "Stage due"), _time("stage_due_at")),
    "closed": Column(("结案时间", "Closed"), _time("closed_at")),
    "assignee": Column(("经办人", "Assignee"), _named("assignee")),
    "tags": Column(("专项", "Special actions"), _tags),
    "supervised": Column(("督办", "Supervised"), _yes("supervised")),
    "urged": Column(("催办次数", "Urged"), _plain("urge_count")),
    "rework": Column(("返工次数", "Reworks"), _plain("rework_count")),
    "component": Column(("部件编码", "Component"), _plain("component_code")),
    "lon": Column(("经度", "Longitude"), _plain("lon")),
    "lat": Column(("纬度", "Latitude"), _plain("lat")),
}


@dataclass(frozen=True)
class Note:
    """What the file says of itself: who made it, when, of which filter, the address that opens the list, and what the
    rows are."""

    person: str
    at: datetime
    query: str
    address: str
    language: str
    what: Words = ("案件", "Cases")

    def lines(self, count: int) -> list[tuple[str, str]]:
        """As pairs of heading and text, once it is known how many cases there were."""
        chinese = self.language == "zh"
        made = self.at.astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S")
        heads = (
            ("导出人", "导出时间", "筛选条件", "打开清单", "件数")
            if chinese
            else ("Exported by", "Exported at", "Filter", "Open the list", self.what[1])
        )
        every = "全部" if chinese else "all"
        told = zip(heads, (self.person, made, self.query or every, self.address, str(count)), strict=True)
        return [(head, text) for head, text in told if text]


def _in(words: Words, language: str) -> str:
    return words[0] if language == "zh" else words[1]


def as_csv(columns: Sequence[Column], pages: Iterable[Sequence[Item]], note: Note) -> Iterator[bytes]:
    """CSV that a spreadsheet opens as UTF-8. What it is stands below the cases: the headings are its first row."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)

    def drained() -> bytes:
        text = buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        return text.encode()

    buffer.write("\ufeff")
    writer.writerow([_in(column.name, note.language) for column in columns])
    count = 0
    for page in pages:
        for item in page:
            cells = (column.value(item, note.language) for column in columns)
            writer.writerow([no_formula(cell) if isinstance(cell, str) else cell for cell in cells])
        count += len(page)
        yield drained()
    writer.writerow([])
    writer.writerows((head, no_formula(text)) for head, text in note.lines(count))
    yield drained()


_HEAD: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"
# What the name of a sheet cannot hold.
_SHEET: Final = re.compile(r"[\[\]:*?/\\<>&\"']")
# What XML cannot hold at all.
_ILLEGAL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class _Sink(io.RawIOBase):
    """Takes what the archive writes; :meth:`drained` hands it on."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        return len(data)

    def drained(self) -> bytes:
        held = bytes(self._held)
        self._held.clear()
        return held


def as_xlsx(columns: Sequence[Column], pages: Iterable[Sequence[Item]], note: Note) -> Iterator[bytes]:
    """An Excel workbook: the cases under a fixed row of headings, and what it is on a second sheet."""
    sink = _Sink()
    chinese = note.language == "zh"
    count = 0
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:  # type: ignore[arg-type]
        for name, text in _frame(_SHEET.sub("_", _in(note.what, note.language))[:31], "说明" if chinese else "About"):
            archive.writestr(name, text)
        with archive.open("xl/worksheets/sheet1.xml", "w") as sheet:
            fixed = '<sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" state="frozen"/>'
            sheet.write(f'{_HEAD}<worksheet xmlns="{_MAIN}">{fixed}</sheetView></sheetViews><sheetData>'.encode())
            sheet.write(_row(_in(column.name, note.language) for column in columns))
            for page in pages:
                sheet.write(b"".join(_row(c.value(item, note.language) for c in columns) for item in page))
                count += len(page)
                yield sink.drained()
            sheet.write(b"</sheetData></worksheet>")
        about = b"".join(_row(pair) for pair in note.lines(count))
        archive.writestr(
            "xl/worksheets/sheet2.xml",
            f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetData>'.encode() + about + b"</sheetData></worksheet>",
        )
    yield sink.drained()


def _frame(first: str, second: str) -> Iterator[tuple[str, str]]:
    """The fixed parts of a workbook with two sheets of these names."""
    parts = "".join(
        f'<Override PartName="/xl/{part}.xml" ContentType="{_TYPE}.{kind}+xml"/>'
        for part, kind in (
            ("workbook", "sheet.main"),
            ("worksheets/sheet1", "worksheet"),
            ("worksheets/sheet2", "worksheet"),
        )
    )
    yield (
        "[Content_Types].xml",
        f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels"'
        f' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>{parts}</Types>',
    )
    yield (
        "_rels/.rels",
        f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1"'
        f' Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    )
    yield (
        "xl/workbook.xml",
        f'{_HEAD}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>'
        f'<sheet name="{first}" sheetId="1" r:id="rId1"/><sheet name="{second}" sheetId="2" r:id="rId2"/>'
        "</sheets></workbook>",
    )
    sheets = "".join(
        f'<Relationship Id="rId{i}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{i}.xml"/>' for i in (1, 2)
    )
    yield (
        "xl/_rels/workbook.xml.rels",
        f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">{sheets}</Relationships>',
    )


def _row(cells: Iterable[Cell]) -> bytes:
    return f"<row>{''.join(map(_cell, cells))}</row>".encode()


def _cell(cell: Cell) -> str:
    if cell is None or cell == "":
        return "<c/>"
    if isinstance(cell, str):
        return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(_ILLEGAL.sub("", cell))}</t></is></c>'
    return f"<c><v>{cell!r}</v></c>"
