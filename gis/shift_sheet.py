"""The duty calendar as a worksheet: what its columns are, and rows of one taken in, each landing or named.

Knows cells and words; what may be planned is known by gis.shifts. The workbook itself is drawn by layers.sheets.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select

from gis import definitions, errors, people, shifts, workbooks
from gis.db import Connection
from gis.people import Caller
from gis.search import ZONE
from gis.tables import shift, staff

COLUMNS = ("用户名", "姓名", "岗位", "日期", "起", "止", "责任网格", "备注")
_NEEDED = ("用户名", "岗位", "日期", "起", "止")
_MOST = 5000
_LONGEST_NOTE = 200


@dataclass(frozen=True)
class Refused:
    """A row that did not land: its number in the sheet, what it held, why."""

    row: int
    cells: dict[str, str]
    problem: errors.Problem


@dataclass(frozen=True)
class Taken:
    """What became of a sheet: rows that landed, rows that were there already, rows refused."""

    added: int
    unchanged: int
    refused: list[Refused]


def role_names(tx: Connection) -> dict[str, str]:
    """The roles' Chinese names by code."""
    body = definitions.current(tx, "role").body
    return {code: raw["name"]["zh"] for code, raw in body["roles"].items()}


def rows_of(found: Iterable[Any], names: Mapping[str, str]) -> list[list[str]]:
    """Shifts (from ``shifts.listed``) as the sheet's rows."""
    rows = []
    for one in found:
        begins, ends = one.starts_at.astimezone(ZONE), one.ends_at.astimezone(ZONE)
        rows.append(
            [
                one.username,
                one.name,
                names.get(one.role, one.role),
                begins.date().isoformat(),
                f"{begins:%H:%M}",
                f"{ends:%H:%M}",
                one.duty_grid_code or "",
                one.note,
            ]
        )
    return rows


def take(tx: Connection, caller: Caller, content: bytes) -> Taken:
    """Plan the shifts of a workbook's first sheet; the same row again changes nothing. An end before the start is the
    next day's.

    Raises ``FileUnreadable`` for what is no such workbook.
    """
    rows = _read(content)
    codes = {name: code for code, name in role_names(tx).items()}
    shifts.lock(tx)
    added, unchanged, refused = 0, 0, []
    for number, cells in rows:
        try:
            one = _shift(tx, cells, codes)
            if _there(tx, one):
                unchanged += 1
                continue
            shifts.place(tx, one)
            added += 1
        except errors.Problem as problem:
            refused.append(Refused(number, cells, problem))
    told = {"added": added, "unchanged": unchanged, "refused": len(refused)}
    people.record(tx, caller.id, caller.name, "shift.import", "ok", told)
    return Taken(added, unchanged, refused)


def _read(content: bytes) -> list[tuple[int, dict[str, str]]]:
    """(row number, cells by column) of the rows that hold something."""
    from openpyxl import load_workbook  # few processes read a workbook

    try:
        workbooks.check_size(content)
        sheet = load_workbook(io.BytesIO(content), read_only=True, data_only=True).worksheets[0]
        rows = sheet.iter_rows(max_row=_MOST + 2, max_col=50, values_only=True)
        found = [[_text(cell) for cell in row] for row in rows]
    except errors.Problem:
        raise
    except Exception as error:  # whatever a damaged workbook makes the reader stumble over
        raise errors.FileUnreadable("不是有效的 Excel 工作簿", "Not a valid Excel workbook", why=str(error)) from error
    header = found[0] if found else []
    missing = [name for name in _NEEDED if name not in header]
    if missing:
        raise errors.FileUnreadable("第一行缺少列", "The first row lacks columns", missing=missing, columns=COLUMNS)
    if len(found) > _MOST + 1:
        raise errors.FileUnreadable("行数过多", "Too many rows", most=_MOST)
    return [
        (number, {name: cell for name, cell in zip(header, row, strict=False) if name in COLUMNS})
        for number, row in enumerate(found[1:], start=2)
        if any(row)
    ]


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime) and cell.time() == time():
        return cell.date().isoformat()
    if isinstance(cell, time):
        return f"{cell:%H:%M}"
    return str(cell).strip()


def _shift(tx: Connection, cells: Mapping[str, str], codes: Mapping[str, str]) -> shifts.NewShift:
    username = cells["用户名"]
    person: UUID | None = tx.scalar(select(staff.c.id).where(staff.c.username == username, staff.c.active))
    if person is None:
        raise errors.StaffUnknown(username=username)
    role = codes.get(cells["岗位"], cells["岗位"])
    try:
        day = date.fromisoformat(cells["日期"].replace("/", "-"))
        if not 1970 <= day.year <= 2200:  # at its ends the calendar has no next day
            raise ValueError("a year from 1970 to 2200")
        begins, ends = (time.fromisoformat(cells[name].zfill(5)) for name in ("起", "止"))
    except ValueError as error:
        raise errors.DateBad(why=str(error)) from error
    note = cells.get("备注", "")
    if len(note) > _LONGEST_NOTE:
        raise errors.RowInvalid(column="备注", longest=_LONGEST_NOTE)
    starts = datetime.combine(day, begins, ZONE)
    until = datetime.combine(day if ends > begins else day + timedelta(days=1), ends, ZONE)
    return shifts.NewShift(person, role, starts, until, cells.get("责任网格", ""), note)


def _there(tx: Connection, one: shifts.NewShift) -> bool:
    same: Sequence[Any] = tx.execute(
        select(shift.c.role).where(
            shift.c.staff_id == one.staff_id,
            shift.c.starts_at == one.starts_at,
            shift.c.ends_at == one.ends_at,
            shift.c.role == one.role,
        )
    ).all()
    return bool(same)
