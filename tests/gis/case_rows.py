"""Rows of ``case`` as tests write them directly, past the engine."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

GRIDS = {"990113003001001": "990113003201", "990113003001002": "990113003201", "990113003002001": "990113003202"}
# 15:59 and 16:01 UTC are either side of midnight in Shanghai.
MOMENTS = [datetime(2026, 11, 1, 15, 59, tzinfo=UTC) + timedelta(minutes=m) for m in (0, 2, 700, 1440, 1442, 4000)]


def row(number: int, **changes: Any) -> dict[str, Any]:
    """A case row as filed nowhere yet, with changes."""
    grid = list(GRIDS)[number % len(GRIDS)]
    return {
        "id": UUID(int=number),
        "number": f"RH-{number}",
        "query_code": f"q{number}",
        "kind": "case",
        "channel": "patrol",
        "catalogue": "cjt214-2007",
        "category_kind": "event",
        "category_code": "0101",
        "lon": 116.65,
        "lat": 40.11,
        "mk": 1,
        "h3": 1,
        "village_code": GRIDS[grid],
        "unit_grid_code": grid,
        "duty_grid_code": "D1",
        "area_class": "A",
        "department_code": None,
        "routing": {},
        "workflow": "standard",
        "workflow_version": 1,
        "versions": {},
        "state": "reported",
        "stage": "report",
        "status": "open",
        "occurred_at": MOMENTS[0],
        "reported_at": MOMENTS[0],
        "rework_count": 0,
        "content_digest": b"",
        "seq": 1,
        "last_hash": b"",
    } | changes
