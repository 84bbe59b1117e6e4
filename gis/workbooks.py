"""Excel workbooks as people make them: merged cells, headers in two rows, titles above. Knows cells, no meaning.

Also writes tables as workbooks in which nothing a person typed becomes a formula.
"""

import io
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from gis import errors

_UNPACKED_LIMIT = 200 * 2**20
_ROWS, _COLUMNS, _HEAD = 20_000, 60, 20
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table: where it stands (rows count from 1 as in Excel) and its texts by column, '' for none."""

    sheet: str
    row: int
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that does not land, and why; ``column`` as the file's people call it."""

    sheet: str
    row: int
    column: str
    value: str
    code: str
    zh: str
    en: str


def read(content: bytes, columns: Mapping[str, Sequence[str]], needed: Sequence[str]) -> list[Line]:
    """The rows of every sheet that has a header with the ``needed`` columns.

    ``columns`` gives each column's headers as people write them, compared without spaces, brackets and full-width
    forms. Every cell of a merged range has the range's text. Raises ``SheetBad`` when the content is no workbook, is
    too large, or no sheet has such a header.
    """
    from openpyxl import load_workbook  # few processes read or write a workbook

    try:
        check_size(content)
        book = load_workbook(io.BytesIO(content), data_only=True, keep_links=False)
    except errors.Problem:
        raise
    except Exception as error:  # whatever a damaged workbook makes the reader stumble over
        raise errors.SheetBad(why=f"{type(error).__name__}: {error}"[:300]) from error
    known = {_plain(name): key for key, names in columns.items() for name in names}
    found: list[Line] = []
    seen: list[str] = []
    headed = False
    for sheet in book.worksheets:
        grid = _grid(sheet)
        header = _header(grid, known, needed)
        seen += [text for row in grid[:_HEAD] for text in row if text][:30]
        if header is None:
            continue
        headed = True
        below, at = header
        for number, row in enumerate(grid[below:], start=below + 1):
            cells = {key: row[column] for key, column in at.items()}
            if any(cells.values()):
                found.append(Line(sheet.title, number, cells))
    if not headed:
        wanted = [columns[key][0] for key in needed]
        raise errors.SheetBad(
            f"没有找到表头：需要列 {'、'.join(wanted)}",
            f"No sheet has a header with {', '.join(wanted)}",
            needed=wanted,
            seen=seen[:40],
        )
    return found


def check_size(content: bytes) -> None:
    """A workbook of few bytes may unpack to more than the memory holds. Raises ``SheetBad``, ``BadZipFile``."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(item.file_size for item in archive.infolist()) > _UNPACKED_LIMIT:
            raise errors.SheetBad("工作簿解压后过大", "The workbook is too large when unpacked")


def _grid(sheet: Any) -> list[list[str]]:
    """The sheet's texts, merged ranges filled. Raises ``SheetBad`` for more rows than any such table has."""
    width, height = min(sheet.max_column, _COLUMNS), min(sheet.max_row, _ROWS)
    if sheet.max_row > _ROWS:
        further = sheet.iter_rows(min_row=_ROWS + 1, max_row=_ROWS + 200, max_col=width, values_only=True)
        if any(value is not None for row in further for value in row):
            raise errors.SheetBad(f"超过 {_ROWS} 行", f"More than {_ROWS} rows", sheet=sheet.title)
    rows = sheet.iter_rows(max_row=height, max_col=width, values_only=True)
    grid = [[_text(value) for value in row] for row in rows]
    for merged in sheet.merged_cells.ranges:
        if merged.min_row > height or merged.min_col > width:
            continue
        text = grid[merged.min_row - 1][merged.min_col - 1]
        for row in range(merged.min_row - 1, min(merged.max_row, height)):
            for column in range(merged.min_col - 1, min(merged.max_col, width)):
                grid[row][column] = text
    return grid


def _header(
    grid: Sequence[Sequence[str]], known: Mapping[str, str], needed: Sequence[str]
) -> tuple[int, dict[str, int]] | None:
    """(index of the first row below the header, column of each key); a header may take two rows."""
    for top, upper in enumerate(grid[:_HEAD]):
        keys = [_key([text], known) for text in upper]
        if not all(key in keys for key in needed):
            continue
        below = top + 1
        lower = grid[below] if below < len(grid) else []
        parts = [column for column, text in enumerate(lower) if text and text != upper[column]]
        named = {column: _key([upper[column] + lower[column], lower[column]], known) for column in parts}
        # A second row belongs to the header when all it adds are names of columns the first row does not tell apart.
        if parts and all(key is not None and key != keys[column] for column, key in named.items()):
            keys = [named.get(column, key) for column, key in enumerate(keys)]
            below += 1
        at: dict[str, int] = {}
        for column, key in enumerate(keys):
            if key is not None:
                at.setdefault(key, column)
        return below, at
    return None


def _key(texts: Sequence[str], known: Mapping[str, str]) -> str | None:
    """The column that the first known of these headers names, with or without what stands in brackets."""
    forms = (form for text in texts for form in (_plain(text), _plain(_unbracketed(text))))
    return next((known[form] for form in forms if form in known), None)


def _unbracketed(text: str) -> str:
    return re.sub(r"\([^)]*\)|（[^）]*）|\[[^\]]*\]|【[^】]*】", "", text)


def _plain(text: str) -> str:
    return re.sub(r"[\s()（）\[\]【】:：*/、_-]", "", unicodedata.normalize("NFKC", text)).lower()


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value).strip().replace("\x00", "")


def write(sheets: Mapping[str, tuple[Sequence[str], Iterable[Sequence[Any]]]], widths: Sequence[int] = ()) -> bytes:
    """A workbook of tables: {sheet: (headers, rows)}. ``widths`` are of columns, in characters."""
    from openpyxl import Workbook
    from openpyxl.styles import Alignment, Font, PatternFill
    from openpyxl.utils import get_column_letter

    book = Workbook()
    book.remove(book.active)
    for title, (headers, rows) in sheets.items():
        sheet = book.create_sheet(title)
        sheet.append(list(headers))
        for cell in sheet[1]:
            cell.font = Font(bold=True)
            cell.fill = PatternFill("solid", fgColor="E8ECEF")
        for row in rows:
            sheet.append(list(row))
            for cell in sheet[sheet.max_row]:
                cell.alignment = Alignment(vertical="top", wrap_text=True)
                if isinstance(cell.value, str):
                    cell.data_type = "s"  # a text that begins with = stays a text
        for number, width in enumerate(widths, start=1):
            sheet.column_dimensions[get_column_letter(number)].width = width
        sheet.freeze_panes = "A2"
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()
