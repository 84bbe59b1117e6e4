"""What a case's page shows beside the case: the clock on a line, the proof of its history, the rule of its light."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update

from api import case_views
from gis import assignment, cases, clock_line, db, register, search
from gis.case_report import Report
from gis.people import SYSTEM, by_username
from gis.rulebook import flow_of, rulebook
from gis.tables import case, case_event, unit_grid

HOUR = timedelta(hours=1)
THURSDAY = datetime(2026, 11, 12, 2, tzinfo=UTC)  # ten in the morning in the town
WORKING = {"limit": {"amount": "8", "kind": "work_hours"}, "started_at": THURSDAY.isoformat(), "pauses": []}


def reported(tx, at: datetime | None = None) -> UUID:
    inside = func.st_pointonsurface(unit_grid.c.geom)
    lon, lat = tx.execute(select(func.st_x(inside), func.st_y(inside)).limit(1)).one()
    sent = Report(
        catalogue="cjt214-2007", category_kind="event", category_code="0102", lon=lon, lat=lat, reported_at=at
    )
    return cases.report(tx, by_username(tx, "acceptor1"), sent).id


def drawn(tx, case_id: UUID, now: datetime) -> clock_line.Line | None:
    row, _, _ = register.whole_case(tx, SYSTEM, case_id)
    return clock_line.line(tx, rulebook(tx), row._mapping, now)


def set_clock(tx, case_id: UUID, **values) -> None:
    tx.execute(update(case).where(case.c.id == case_id).values(**values))


def test_no_clock_is_drawn_before_one_starts(tx):
    assert drawn(tx, reported(tx), datetime.now(UTC)) is None


def test_the_line_goes_to_the_due_time_and_greys_the_night(tx):
    case_id = reported(tx)
    due = THURSDAY + 24 * HOUR  # two hours in the morning, four after noon, two on Friday
    set_clock(tx, case_id, clock=WORKING, due_at=due, yellow_at=THURSDAY + 22.4 * HOUR)
    line = drawn(tx, case_id, THURSDAY + HOUR)
    assert line is not None
    hours = [((s.begin - THURSDAY) / HOUR, (s.end - THURSDAY) / HOUR, s.how.value) for s in line.spans]
    assert hours == [
        (0, 2, "counting"),
        (2, 4, "resting"),
        (4, 8, "counting"),
        (8, 22, "resting"),
        (22, 24, "counting"),
    ]
    assert (line.until, line.cut, line.stopped_at) == (due, False, None)


def test_a_paused_clock_says_when_it_would_be_due(tx):
    case_id = reported(tx)
    pauses = [[(THURSDAY + HOUR).isoformat(), None]]
    set_clock(tx, case_id, clock=WORKING | {"pauses": pauses}, due_at=None, yellow_at=None)
    line = drawn(tx, case_id, THURSDAY + 6 * HOUR)
    assert line is not None
    # Gone on at four in the afternoon: two hours are left of Thursday, five of the eight remain for Friday.
    assert line.goes_on_due_at == THURSDAY + 29 * HOUR
    hours = [((s.begin - THURSDAY) / HOUR, (s.end - THURSDAY) / HOUR, s.how.value) for s in line.spans]
    assert hours == [
        (0, 1, "counting"),
        (1, 6, "paused"),
        (6, 8, "counting"),
        (8, 22, "resting"),
        (22, 26, "counting"),
        (26, 28, "resting"),
        (28, 29, "counting"),
    ]


def test_an_extended_clock_says_when_it_was_due_before(tx):
    case_id = reported(tx)
    set_clock(
        tx, case_id, clock=WORKING | {"extensions": 1}, due_at=THURSDAY + 96 * HOUR, yellow_at=THURSDAY + 94 * HOUR
    )
    line = drawn(tx, case_id, THURSDAY + HOUR)
    assert line is not None
    assert (line.extensions, line.first_due_at, line.limit.amount) == (1, THURSDAY + 24 * HOUR, 16)


def test_a_stopped_clock_shows_what_was_left(tx):
    case_id = reported(tx)
    handled = THURSDAY + HOUR
    clock = WORKING | {"pauses": [[handled.isoformat(), None]]}
    due = THURSDAY + 24 * HOUR
    set_clock(tx, case_id, clock=clock, due_at=due, yellow_at=due - HOUR, handled_at=handled)
    line = drawn(tx, case_id, THURSDAY + 900 * HOUR)
    assert line is not None
    assert (line.stopped_at, line.until, line.cut, line.goes_on_due_at) == (handled, due, False, None)
    assert {s.how.value for s in line.spans} == {"counting", "resting"}


def test_a_case_late_for_years_is_cut_and_still_drawn(tx):
    case_id = reported(tx)
    set_clock(tx, case_id, clock=WORKING, due_at=THURSDAY + 24 * HOUR, yellow_at=THURSDAY + 22.4 * HOUR)
    line = drawn(tx, case_id, THURSDAY + 900 * HOUR)
    assert line is not None
    assert line.cut
    assert line.until == THURSDAY + 48 * HOUR
    assert len(line.spans) <= clock_line.SPANS_MAX


def test_where_the_calendar_ends_nothing_is_guessed(tx):
    case_id = reported(tx)
    far = WORKING | {"started_at": "2090-01-02T02:00:00+00:00"}
    set_clock(tx, case_id, clock=far, due_at=None, yellow_at=None)
    line = drawn(tx, case_id, datetime(2090, 1, 3, tzinfo=UTC))
    assert line is not None
    assert line.spans == ()


def test_stays_follow_the_steps(tx):
    case_id = reported(tx)
    cases.act(tx, case_id, "accept", by_username(tx, "acceptor1"), {})
    cases.act(tx, case_id, "file", by_username(tx, "shiftleader1"), {})
    row, events, _ = register.whole_case(tx, SYSTEM, case_id)
    stays = clock_line.stays(flow_of(tx, rulebook(tx), row._mapping), events, row.stage_due_at, rulebook(tx).calendar)
    assert [stay.state for stay in stays] == ["reported", "accepted", "filed"]
    assert [stay.end for stay in stays[:-1]] == [stay.begin for stay in stays[1:]]
    assert stays[-1].end is None
    assert stays[-1].due_at == row.stage_due_at


def test_the_page_gets_its_clock_and_stages(client, database, login):
    with db.transaction() as tx:
        case_id = reported(tx)
    told = client.get(f"/api/cases/{case_id}/course", headers=login("acceptor1")).json()
    assert told["line"] is None
    assert [told["states"][stage["state"]]["zh"] for stage in told["stages"]] == ["待受理"]
    assert told["fields"]["dispatch"]["department"]["label"]["zh"] == "处置部门"
    for who, action in (("acceptor1", "accept"), ("shiftleader1", "file"), ("dispatcher1", "dispatch")):
        body = {"action": action}
        answer = client.post(f"/api/cases/{case_id}/actions", json=body, headers=login(who))
        assert answer.status_code == 200, answer.text
    told = client.get(f"/api/cases/{case_id}/course", headers=login("acceptor1")).json()
    line = told["line"]
    assert line["limit"]["zh"].split(" ")[1] in ("紧急工作时", "工作时", "工作日")
    begin, end = (datetime.fromisoformat(line["spans"][i][side]) for i, side in ((0, "from"), (-1, "to")))
    assert begin == datetime.fromisoformat(line["started_at"])
    assert end == datetime.fromisoformat(line["due_at"]) == datetime.fromisoformat(line["until"])
    assert told["stages"][-1]["state"] == "handling"


def test_candidates_are_told_with_reasons_and_the_best_is_the_one_chosen(client, database, login):
    with db.transaction() as tx:
        case_id = reported(tx)
    told = client.get(f"/api/cases/{case_id}/candidates", headers=login("acceptor1")).json()["items"]
    assert told
    assert all(reason["zh"] and reason["en"] for one in told for reason in one["reasons"])
    with db.transaction() as tx:
        row, _, _ = register.whole_case(tx, SYSTEM, case_id)
        best = assignment.choose(tx, row._mapping, datetime.now(UTC))
    assert best is not None
    assert told[0]["id"] == str(best.id)
    assert client.get(f"/api/cases/{case_id}/candidates", headers=login("evaluator1")).status_code == 403


def test_a_changed_history_is_seen_and_a_missing_end_too(client, database, login):
    with db.transaction() as tx:
        case_id = reported(tx)
        cases.act(tx, case_id, "accept", by_username(tx, "acceptor1"), {})
    url, headers = f"/api/cases/{case_id}/verify", login("leader")
    sound = client.get(url, headers=headers).json()
    assert (sound["intact"], sound["broken_at"], sound["events"]) == (True, None, 2)
    owner = db.make_engine(database.owner_url)
    with owner.begin() as tx:  # somebody with the keys to the cellar
        tx.execute(text("alter table case_event disable trigger user"))
        tx.execute(update(case_event).where(case_event.c.case_id == case_id, case_event.c.seq == 1).values(actor="乙"))
    assert client.get(url, headers=headers).json()["broken_at"] == 1
    with owner.begin() as tx:
        tx.execute(
            update(case_event).where(case_event.c.case_id == case_id, case_event.c.seq == 1).values(actor="受理员1")
        )
        tx.execute(text("delete from case_event where case_id = :id and seq = 2"), {"id": case_id})
    owner.dispose()
    told = client.get(url, headers=headers).json()
    assert (told["intact"], told["events"]) == (False, 2)


@pytest.mark.parametrize("after", [0, 1, 5, 9, 40])
def test_the_light_of_a_page_is_the_light_of_the_filter(tx, after):
    """Said twice, in Python for what is shown and in SQL for what is found: they must be one rule."""
    start = datetime(2026, 11, 12, tzinfo=UTC)
    now = start + after * HOUR
    shapes = [
        {"status": status, "due_at": due, "yellow_at": yellow, "handled_at": handled}
        for status in ("open", "closed", "void")
        for due, yellow in ((None, None), (start + 5 * HOUR, start + HOUR), (start + 9 * HOUR, start + 9 * HOUR))
        for handled in (None, start, start + HOUR, start + 5 * HOUR, start + 40 * HOUR)
    ]
    ids = [reported(tx) for _ in shapes]
    for case_id, shape in zip(ids, shapes, strict=True):
        set_clock(tx, case_id, **shape)
    lit = select(case.c.id, search.handling_light(now).label("light"), search.overdue(now).label("overdue"))
    by_sql = {row.id: row for row in tx.execute(lit.where(case.c.id.in_(ids)))}
    rows = {row.id: row._mapping for row in tx.execute(select(case).where(case.c.id.in_(ids)))}
    assert {i: case_views.handling_light_of(rows[i], now) for i in ids} == {i: by_sql[i].light for i in ids}
    seen = Counter(row.light for row in by_sql.values())
    assert seen["none"] > 30
    if after == 5:
        assert seen["green"]
        assert seen["yellow"]
    if after == 40:
        assert seen["red"]


@pytest.mark.parametrize("after", [0, 1, 5, 9])
def test_the_stage_light_of_a_page_is_that_of_the_filter(tx, after):
    start = datetime(2026, 11, 12, tzinfo=UTC)
    now = start + after * HOUR
    shapes = [
        {"status": status, "stage_due_at": due, "stage_yellow_at": yellow} | handling
        for status in ("open", "closed")
        for handling in ({}, {"due_at": start + HOUR, "yellow_at": start}, {"due_at": start + 9 * HOUR})
        for due, yellow in ((None, None), (start + 5 * HOUR, start + HOUR), (start + 5 * HOUR, None))
    ]
    ids = [reported(tx) for _ in shapes]
    for case_id, shape in zip(ids, shapes, strict=True):
        set_clock(tx, case_id, **shape)
    lights = {"stage": search.stage_light(now), "shown": search.light(now)}
    lit = select(case.c.id, *(light.label(name) for name, light in lights.items())).where(case.c.id.in_(ids))
    told = tx.execute(lit).all()
    by_sql = {row.id: row.stage for row in told}
    rows = {row.id: row._mapping for row in tx.execute(select(case).where(case.c.id.in_(ids)))}
    assert {i: case_views.stage_light_of(rows[i], now) for i in ids} == by_sql
    assert {i: case_views.light_of(rows[i], now) for i in ids} == {row.id: row.shown for row in told}
    assert len(set(by_sql.values())) >= 2
