"""Rules that only show when cases live on: past the calendar's end, with fast clocks, after a forced closing."""

import copy
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from gis import cases, definitions, errors, search
from gis.points import CaseStore
from gis.rulebook import rulebook
from gis.search import CaseFilter
from gis.tables import case
from tests.gis.test_cases import a_report, department_man, row_of, someone
from tests.gis.test_flows import act, handling

LONG_AGO = datetime(2024, 1, 1, tzinfo=UTC)


def known_to(tx, last):
    """Publish the town's calendar as it is known to a day."""
    body = dict(definitions.current(tx, "calendar").body) | {"known_to": last.isoformat()}
    for name, key in (("holidays", "to"), ("workdays", "date")):
        body[name] = [row for row in body[name] if row[key] <= last.isoformat()]
    definitions.publish(tx, "calendar", body["code"], body, LONG_AGO, "test")


def test_a_case_goes_on_when_the_next_year_of_the_calendar_is_published(tx, acceptor, leader, dispatcher):
    today = datetime.now(search.ZONE).date()
    whole = definitions.current(tx, "calendar").body
    known_to(tx, today - timedelta(days=1))
    made = cases.report(tx, acceptor, a_report(tx))
    act(tx, made.id, "accept", acceptor)
    act(tx, made.id, "file", leader)
    tx.execute(update(case).where(case.c.id == made.id).values(condition_code=_days(tx, row_of(tx, made.id))))
    with pytest.raises(errors.BeyondCalendar):
        act(tx, made.id, "dispatch", dispatcher)
    definitions.publish(tx, "calendar", whole["code"], whole, LONG_AGO, "test")
    act(tx, made.id, "dispatch", dispatcher)
    assert row_of(tx, made.id).due_at.astimezone(search.ZONE).date() >= today


def _days(tx, row):
    """A condition of the case's category whose limit counts by the calendar."""
    rows = rulebook(tx).filing_standard.conditions(row.category_kind, row.category_code)
    return next(one.code for one in rows if one.limits[row.area_class].kind.follows_calendar)


def test_a_phone_whose_clock_is_fast_holds_up_nobody(tx, acceptor, leader, dispatcher):
    row = handling(tx, acceptor, leader, dispatcher)
    soon = datetime.now(UTC) + timedelta(minutes=4)
    cases.act(tx, row.id, "decline", department_man(tx, row.department_code), {"reason": "不属我部门"}, at=soon)
    act(tx, row.id, "dispatch", dispatcher)
    assert row_of(tx, row.id).state == "handling"


def test_what_was_closed_by_force_in_time_never_becomes_late(tx, acceptor, leader, dispatcher):
    row = handling(tx, acceptor, leader, dispatcher)
    act(tx, row.id, "force_close", someone(tx, "leader"), reason="现场已消除")
    later = row.due_at + timedelta(days=1)
    wanted = CaseFilter(overdue=True)
    found, _ = search.find(tx, acceptor, wanted, now=later, among=[row.id])
    assert not found
    points = CaseStore.load(tx, mark="")
    assert points.mask(acceptor.scope, wanted, later).count == search.count(tx, acceptor, wanted, later)


def test_a_date_no_calendar_holds_is_refused(tx, acceptor, leader, dispatcher):
    row = handling(tx, acceptor, leader, dispatcher)
    with pytest.raises(errors.Problem):
        act(
            tx,
            row.id,
            "ask_suspension",
            department_man(tx, row.department_code),
            suspend_until="9999-12-31",
            reason="等",
        )


def test_a_whistle_ends_only_when_every_department_is_scored(tx, leader):
    sent = a_report(tx, kind="whistle", channel="leader", payload={"summoned": ["D11", "D13"], "task": "联合整治"})
    made = cases.report(tx, leader, sent)
    act(tx, made.id, "begin", leader)
    act(tx, made.id, "conclude", leader, conclusion="已整改", solved="yes")
    with pytest.raises(errors.FieldMissing) as refused:
        act(tx, made.id, "score", leader, scores={"D11": 5})
    assert refused.value.detail["departments"] == ["D13"]
    act(tx, made.id, "score", leader, scores={"D11": 5, "D13": 1})
    assert row_of(tx, made.id).status == "closed"


def test_the_case_to_merge_into_may_be_asked_for_by_any_name(tx, acceptor):
    body = copy.deepcopy(dict(definitions.current(tx, "workflow", "standard").body))
    merge = next(one for one in body["actions"] if one["code"] == "merge")
    merge["fields"][0]["name"] = "main_case"
    definitions.publish(tx, "workflow", "standard", body, LONG_AGO, "test")
    first, second = (cases.report(tx, acceptor, a_report(tx)).id for _ in range(2))
    act(tx, second, "merge", acceptor, main_case=str(first))
    assert row_of(tx, second).merged_into == first
    assert row_of(tx, first).seq == 2
