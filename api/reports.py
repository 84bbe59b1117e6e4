"""Routes of running reports and of the balance of duty grids: figures put together, kept, and taken away as a workbook.

What is kept tells of the whole town and is shown to who sees all of it; a fresh one tells what its reader may see.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel

from api import case_views, live
from api.access import Day, Tx, allow
from api.centre import whole_town
from api.shifts import excel
from gis import balance, running_report, search
from gis.measures import MEASURES
from gis.people import Caller
from gis.rulebook import CHANNELS, rulebook
from gis.running_report import Kind
from gis.search import ZONE, CaseFilter
from layers.sheets import Sheet

router = APIRouter(tags=["reports"])
Viewer = Annotated[Caller, allow("statistics.view")]
Worker = Annotated[Caller, allow("shift.work")]
_BY = {"channel": "来源", "village": "村居", "department": "部门", "category": "类别前十"}
_CHANNELS = dict(
    zip(CHANNELS, ("巡查上报", "公众举报", "12345 热线", "视频", "上级平台", "传感器", "领导交办"), strict=True)
)
_BALANCE = {
    "code": "编码",
    "name": "责任网格",
    "village": "村居",
    "inspectors": "网格员",
    "unit_grids": "单元网格数",
    "area_km2": "面积 km²",
    "components": "部件数",
    "open": "在办",
    "month": "近30日上报",
    "open_per_inspector": "人均在办",
    "month_per_inspector": "人均近30日",
    "walk_km": "道路长 km",
}


class Keeping(BaseModel):
    """Which report to keep: any day of its period, and the id it gets."""

    id: UUID
    period: Kind
    day: Day


@router.get("/api/reports/preview")
def preview(caller: Viewer, tx: Tx, period: Kind, day: Day) -> dict[str, Any]:
    """The report of the period of ``day``, over the cases the caller may see."""
    now = datetime.now(UTC)
    return _told(tx, caller, running_report.make(tx, caller, period, day, now), now)


@router.post("/api/reports", status_code=201)
def keep(body: Keeping, caller: Worker, tx: Tx) -> dict[str, Any]:
    """Make a report of the whole town and keep it as it is now, for ever."""
    whole_town(caller)
    made = running_report.make(tx, caller, body.period, body.day, datetime.now(UTC))
    return {"id": body.id, "digest": running_report.keep(tx, caller, body.id, made)}


@router.get("/api/reports")
def kept(caller: Worker, tx: Tx) -> dict[str, Any]:
    """The reports kept, newest first."""
    whole_town(caller)
    return {"items": [_head(row) for row in running_report.kept(tx)]}


@router.get("/api/reports/{report_id}")
def one(report_id: UUID, caller: Worker, tx: Tx) -> dict[str, Any]:
    """A report kept: its figures as they were, its notable cases as they are now."""
    whole_town(caller)
    row = running_report.one(tx, report_id)
    return _told(tx, caller, row.body, datetime.now(UTC)) | {"kept": _head(row)}


@router.get("/api/reports/{report_id}/export")
def export(report_id: UUID, caller: Worker, tx: Tx) -> Response:
    """A report kept as a workbook: figures, then a sheet for each way they divide."""
    whole_town(caller)
    body = running_report.one(tx, report_id).body
    names = {code: MEASURES[code].zh for code in running_report.MEASURES}
    totals = [[names[code], body["totals"][code], body["before"][code]] for code in names]
    pages = [Sheet("概况", ("指标", f"{body['since']} 至 {body['until']}", "上期"), totals)]
    for by, title in _BY.items():
        rows = [
            [_CHANNELS.get(line["key"], line["name"] or "（未定）")]
            + [line[when].get(code, 0) for code in names for when in ("values", "before")]
            for line in body["by"][by]
        ]
        head = [title, *(f"{name}{tail}" for name in names.values() for tail in ("", "（上期）"))]
        pages.append(Sheet(title, head, rows))
    pages.append(
        Sheet("逐日", ("日期", "上报数", "结案数"), [[d["day"], d["reported"], d["closed"]] for d in body["days"]])
    )
    return excel(pages, f"report-{body['period']}-{body['since']}")


def _told(tx: Tx, caller: Caller, body: dict[str, Any], now: datetime) -> dict[str, Any]:
    book = rulebook(tx)
    notable = {}
    for reason, ids in body["notable"].items():
        rows = {str(row.id): row for row in search.some(tx, caller, [UUID(one) for one in ids])}
        notable[reason] = [case_views.item(tx, book, rows[one], now) for one in ids if one in rows]
    return body | {"notable": notable}


def _head(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "period": row.period,
        "since": row.since,
        "until": row.until,
        "digest": row.digest,
        "made_by": row.made_by,
        "made_at": row.made_at,
    }


@router.get("/api/balance")
def balanced(caller: Viewer, tx: Tx) -> dict[str, Any]:
    """Every duty grid's load, and how unequal the loads are."""
    found = _loads(tx, caller)
    spreads = {name: asdict(one) for name, one in balance.spreads(found).items()}
    return {"items": [asdict(load) for load in found], "spreads": spreads}


@router.get("/api/balance/export")
def export_balance(caller: Viewer, tx: Tx) -> Response:
    """The balance as a workbook."""
    found = _loads(tx, caller)
    rows = [[_cell(asdict(load), name) for name in _BALANCE] for load in found]
    spreads = [
        [_BALANCE[name], one.gini, one.max_over_mean, one.least, one.most, one.mean]
        for name, one in balance.spreads(found).items()
    ]
    head = ("项目", "基尼系数", "最大/平均", "最小", "最大", "平均")
    return excel([Sheet("均衡", list(_BALANCE.values()), rows), Sheet("差异", head, spreads)], "balance")


def _loads(tx: Tx, caller: Caller) -> list[balance.Load]:
    opened = live.count(caller, CaseFilter.parse({"status": "open"}), ["duty_grid"])["facets"]["duty_grid"]
    return balance.loads(tx, caller, datetime.now(ZONE).date(), opened)


def _cell(load: Mapping[str, Any], name: str) -> Any:
    return "、".join(load[name]) if name == "inspectors" else load[name]
