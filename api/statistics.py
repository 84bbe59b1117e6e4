"""Routes of figures: key figures, statistics by grid, village, department and day, and the list behind each number."""

import time
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from api import case_views
from api.access import Filtered, Narrowed, Tx, allow
from gis import errors, lineage, measures, search, statistics, validity
from gis.people import Caller, Scope
from gis.rulebook import rulebook
from gis.search import CaseFilter

router = APIRouter(tags=["statistics"])
Viewer = Annotated[Caller, allow("statistics.view")]
FIGURES_SECONDS = 1.0
_figures: dict[tuple[Scope, CaseFilter], tuple[float, dict[str, Any]]] = {}
By = Literal["unit_grid", "village", "department", "day", "channel", "category"]


@router.get("/api/figures")
def figures(
    caller: Annotated[Caller, allow("case.view")],
    tx: Tx,
    wanted: Narrowed,
) -> dict[str, Any]:
    """The wall's key figures with yesterday's at the same hour; each names the list behind it."""
    # Many walls of one scope look at the same figures every few seconds: they are counted once for all.
    known = _figures.get((caller.scope, wanted))
    if known is None or known[0] < time.monotonic():
        now = datetime.now(UTC)
        found = {"at": now, "figures": [asdict(f) for f in statistics.figures(tx, caller, now, wanted)]}
        if len(_figures) > 1000:
            _figures.clear()
        known = _figures[caller.scope, wanted] = (time.monotonic() + FIGURES_SECONDS, found)
    return known[1]


@router.get("/api/statistics")
def table(
    caller: Viewer,
    tx: Tx,
    measures_: Annotated[str, Query(alias="measures", max_length=300)] = ",".join(measures.MEASURES),
    by: By = "village",
    since: date | None = None,
    until: date | None = None,
    village: Annotated[str, Query(max_length=300)] = "",
    department: Annotated[str, Query(max_length=300)] = "",
    grid: Annotated[str, Query(max_length=300)] = "",
    fold: bool = False,
) -> dict[str, Any]:
    """Measures by one of ``By`` on the days ``since`` to ``until``, both included.

    ``fold`` tells unit grids' figures in the grids of today: those of grids that were split, merged or moved go to
    their successors by land. Each row then says what is its ``own``, which shares ``of`` which older grids it has, and
    whether it is ``exact`` (nothing was divided); divided figures are fractions, sums stay what they were.
    """
    wanted = CaseFilter.parse({"village": village, "department": department, "grid": grid})
    codes = [code.strip() for code in measures_.split(",") if code.strip()]
    found = statistics.statistics(tx, caller, measures=codes, by=by, since=since, until=until, wanted=wanted)
    return {
        "by": by,
        "since": since,
        "until": until,
        "folded": fold and by == "unit_grid",
        "rows": _folded(tx, found)
        if fold and by == "unit_grid"
        else [{"key": row.key, "name": row.name, "values": row.values} for row in found.rows],
        "totals": found.totals,
    }


def _folded(tx: Tx, found: statistics.Statistics) -> list[dict[str, Any]]:
    own = {row.key: {code: float(n) for code, n in row.values.items()} for row in found.rows}
    told = lineage.fold(own, lineage.family(tx, validity.today()))
    return [{"key": code, "name": code, **asdict(one)} for code, one in told.items()]


@router.get("/api/statistics/{measure}/cases")
def behind(
    measure: str,
    caller: Viewer,
    tx: Tx,
    wanted: Filtered,
    day_since: date | None = None,
    day_until: date | None = None,
    owner: Annotated[str | None, Query(max_length=50)] = None,
    cursor: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> dict[str, Any]:
    """The cases a figure counts: the case filter narrows them, ``day_since``/``day_until`` bound the figure's day.

    ``owner`` is the department whose figure it is, which for a lateness is not always the one that has the case now.
    """
    if measure not in measures.MEASURES:
        raise errors.NotFound(measure=measure, known=list(measures.MEASURES))
    now = datetime.now(UTC)
    among = measures.measured(measure, since=day_since, until=day_until, owner=owner)
    rows, following = search.find(tx, caller, wanted, cursor=cursor, limit=limit, now=now, among=among)
    book = rulebook(tx)
    return {"items": [case_views.item(tx, book, row, now) for row in rows], "next": following}
