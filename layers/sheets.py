"""Excel workbooks of plain tables. Knows cells and widths; knows nothing of what they mean."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_WIDEST = 60


@dataclass(frozen=True)
class Sheet:
    """One table: its title (at most 31 characters count), the head and the rows."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]


def workbook(sheets: Sequence[Sheet]) -> bytes:
    """The tables as an ``.xlsx``, one sheet each, heads bold and frozen, columns as wide as what they hold."""
    from openpyxl import Workbook  # few processes write one
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter

    book = Workbook()
    book.remove(book.active)
    for one in sheets:
        page = book.create_sheet(one.title[:31])
        page.append(list(one.head))
        for row in one.rows:
            page.append([ILLEGAL_CHARACTERS_RE.sub("", cell) if isinstance(cell, str) else cell for cell in row])
            for cell in page[page.max_row]:
                if cell.data_type == "f":
                    cell.data_type = "s"  # nothing somebody wrote into a description becomes a formula
        for cell in page[1]:
            cell.font = Font(bold=True)
        page.freeze_panes = "A2"
        for column, cells in enumerate(zip(one.head, *one.rows, strict=True), start=1):
            widest = max(map(_width, cells))
            page.column_dimensions[get_column_letter(column)].width = min(_WIDEST, widest + 2)
            if widest > _WIDEST:
                for (cell,) in page.iter_rows(min_row=2, min_col=column, max_col=column):
                    cell.alignment = Alignment(wrap_text=True, vertical="top")
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _width(cell: Any) -> int:
    return sum(2 if ord(letter) > 255 else 1 for letter in str(cell if cell is not None else ""))
