"""What the wall asks beside lists and figures: heat by whole cells, what wants attention now, who is out patrolling."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import h3.api.basic_int as h3
from fastapi import APIRouter, Query

from api import case_views, live
from api.access import Filtered, Narrowed, Tx, allow
from api.board import unmanned
from api.shifts import shift_of
from gis import board as leaders
from gis import shifts
from gis.people import Caller
from gis.rulebook import rulebook
from gis.search import CaseFilter

router = APIRouter(tags=["wall"])
CELLS = 4000
"""No answer draws more hexagons than this: larger ones are taken instead."""
COARSEST, FINEST = 5, 12
NAMED = 3
ALERTS: Mapping[str, Mapping[str, str]] = {
    "late": {"status": "open", "handling_light": "red"},
    "stage_late": {"status": "open", "stage_light": "red"},
    "soon": {"status": "open", "light": "yellow"},
    "urged": {"status": "open", "urged": "true"},
    "supervised": {"status": "open", "supervised": "true"},
}


@router.get("/api/heat")
def heat(
    caller: Annotated[Caller, allow("map.view")],
    wanted: Filtered,
    res: Annotated[int, Query(ge=COARSEST, le=FINEST)] = 9,
) -> dict[str, Any]:
    """The filter's cases by h3 cell: ``n`` and the cell's corners (lon, lat, EPSG:4490).

    ``res`` is the resolution wanted, ``total`` the sum over all cells: the number the list holds.
    """
    cells, counts, res = live.hexagons(caller, wanted, res, CELLS)
    return {
        "res": res,
        "total": int(counts.sum()),
        "items": [
            {
                "cell": h3.int_to_str(cell),
                "n": n,
                "ring": [[round(lon, 6), round(lat, 6)] for lat, lon in h3.cell_to_boundary(cell)],
            }
            for cell, n in zip(cells.tolist(), counts.tolist(), strict=True)
        ],
    }


@router.get("/api/wall/alerts")
def alerts(
    caller: Annotated[Caller, allow("case.view")],
    tx: Tx,
    among: Narrowed,
) -> dict[str, Any]:
    """What wants attention now: late and nearly late cases, urgings and supervisions, inspectors on shift unheard of.

    Villages and departments narrow all of it, as they narrow the key figures. Each names the filter of its list;
    ``silent`` and ``gaps`` are null for who may not see people or posts.
    """
    now = datetime.now(UTC)
    book = rulebook(tx)
    found: dict[str, Any] = {}
    for code, query in ALERTS.items():
        listed = {**among.query(), **query}
        found[code] = {"n": live.count(caller, CaseFilter.parse(listed), ())["total"], "filter": listed}
    worst = leaders.latest(tx, caller, now, NAMED, among)
    found["late"]["worst"] = [case_views.item(tx, book, row, now) for row in worst]
    found["unanswered"] = leaders.unanswered(tx, caller, now, among)
    found["silent"] = found["gaps"] = None
    if "position.view" in caller.permissions:
        there = shifts.patrolling(tx, caller.scope, now, among.people())
        silent = [row for row in there if not row.online]
        found["silent"] = {
            "n": len(silent),
            "of": len(there),
            "who": [_silence(row) for row in silent[:NAMED]],
        }
    gaps = _gaps(tx, caller, now, among)
    if gaps is not None:
        found["gaps"] = {"n": sum(gap["missing"] for gap in gaps)}
    return {"at": now} | found


@router.get("/api/wall/patrol")
def patrol(
    caller: Annotated[Caller, allow("position.view")],
    tx: Tx,
    among: Narrowed,
) -> dict[str, Any]:
    """Inspectors on shift now, those unheard of the longest first, and the posts that nobody stands on.

    Villages and departments narrow both; ``gaps`` is null for who may not see posts.
    """
    now = datetime.now(UTC)
    there = shifts.patrolling(tx, caller.scope, now, among.people())
    return {
        "at": now,
        "on_shift": [
            shift_of(row) | {"seen_at": row.seen_at, "lon": row.lon, "lat": row.lat, "online": row.online}
            for row in there
        ],
        "gaps": _gaps(tx, caller, now, among),
    }


def _silence(row: Any) -> dict[str, Any]:
    return {"id": row.staff_id, "name": row.name, "seen_at": row.seen_at, "duty_grid": row.duty_grid_name}


def _gaps(tx: Tx, caller: Caller, now: datetime, among: CaseFilter) -> list[dict[str, Any]] | None:
    """Posts are the centre's: a department has none, a village those of its duty grids. None: not to be seen."""
    if "shift.work" not in caller.permissions or not caller.scope.everything or among.department:
        return None
    gaps = unmanned(tx, now)
    if not among.village:
        return gaps
    there = shifts.grid_names(tx, among.village)
    return [gap for gap in gaps if gap["duty_grid"] and gap["duty_grid"]["code"] in there]
