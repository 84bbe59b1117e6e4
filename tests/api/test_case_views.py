"""How a case looks from outside: the share of its limit that is used, by the clock that counts."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from api import case_views
from gis import cases, register
from gis.case_report import Report
from gis.people import SYSTEM, by_username
from gis.rulebook import rulebook
from gis.tables import case, unit_grid

FRIDAY = datetime(2026, 11, 13, 16, tzinfo=UTC) - timedelta(hours=8)  # four in the afternoon in the town
HOUR = timedelta(hours=1)
WORKING = {"limit": {"amount": "8", "kind": "work_hours"}, "started_at": FRIDAY.isoformat(), "pauses": []}
URGENT = WORKING | {"limit": {"amount": "2", "kind": "urgent_hours"}}
ON_MONDAY = [[(FRIDAY + 65 * HOUR).isoformat(), None]]


@pytest.mark.parametrize(
    ("clock", "changes", "after", "share"),
    [
        ({}, {}, HOUR, None),
        (WORKING, {}, timedelta(0), 0.0),
        (WORKING, {}, HOUR, 0.125),
        (WORKING, {}, 3 * HOUR, 0.25),  # the office closes at six
        (WORKING, {}, 64 * HOUR, 0.25),  # the weekend does not count
        (WORKING, {}, 66 * HOUR, 0.5),  # ten on Monday
        (WORKING | {"pauses": ON_MONDAY}, {}, 90 * HOUR, 0.375),
        (WORKING, {"handled_at": FRIDAY + HOUR}, 66 * HOUR, 0.125),
        (WORKING, {"voided_at": FRIDAY + HOUR}, 66 * HOUR, 0.125),
        (URGENT, {}, 3 * HOUR, 1.5),
        (WORKING, {}, timedelta(days=7300), None),  # beyond the known calendar nobody guesses
    ],
)
def test_the_used_share_follows_the_counted_time(tx, clock, changes, after, share):
    inside = func.st_pointonsurface(unit_grid.c.geom)
    lon, lat = tx.execute(select(func.st_x(inside), func.st_y(inside)).limit(1)).one()
    sent = Report(catalogue="cjt214-2007", category_kind="event", category_code="0102", lon=lon, lat=lat)
    made = cases.report(tx, by_username(tx, "acceptor1"), sent)
    tx.execute(case.update().where(case.c.id == made.id).values(clock=clock, **changes))
    row, events, photos = register.whole_case(tx, SYSTEM, made.id)
    told = case_views.detail(tx, rulebook(tx), row, events, photos, SYSTEM, FRIDAY + after)
    assert told["clock"]["used_share"] == share
