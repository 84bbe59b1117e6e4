"""A draft of the duty list on past cases: in bulk as one by one, only of cases one may see, moved cases named."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from gis import cases, definitions, duty_lists, errors, people
from gis.case_report import Report
from gis.people import SYSTEM
from gis.routing import DutyList
from gis.routing_replay import Answer, answers
from gis.rulebook import rulebook
from tests.gis.test_routing import cases as any_case
from tests.gis.test_routing import rules as any_rules


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(any_rules, st.lists(any_case, max_size=40))
def test_the_bulk_answers_are_those_of_one_by_one(rules, facts):
    listed = DutyList.from_body({"rules": rules})
    slow = []
    for one in facts:
        routing = listed.route(one)
        slow.append(Answer(routing.department_code or "", routing.co_departments, routing.workflow, routing.rule_id))
    assert answers(listed, facts) == slow


def reported(tx, count: int, age: timedelta = timedelta(hours=1)) -> list[Any]:
    """So many cases over the town's grids, each of an event or of a component; the facts of each as reported."""
    chance = np.random.default_rng(5)
    components = tx.execute(
        text("select code, catalogue, category_code, lon, lat from component order by md5(code) limit :n"),
        {"n": count},
    ).all()
    desk = people.by_username(tx, "acceptor1")
    made = []
    for n, at in enumerate(components):
        event = n % 3 == 0
        sent = Report(
            catalogue=at.catalogue,
            category_kind="event" if event else "component",
            category_code=str(chance.choice(["0102", "0104", "0506", "0504"])) if event else at.category_code,
            component_code="" if event else at.code,
            channel=str(chance.choice(["patrol", "hotline"])),
            lon=at.lon,
            lat=at.lat,
            reported_at=datetime.now(UTC) - age,
            description=f"第{n}件",
        )
        made.append(cases.report(tx, desk, sent))
    return made


@pytest.fixture
def draft(tx) -> DutyList:
    """The list in force, with one class given to another department and one class given to nobody."""
    body = dict(definitions.current(tx, "duty_list").body)
    rules = [dict(rule) for rule in body["rules"] if not rule["category"].startswith("event:05")]
    rules = [rule for rule in rules if rule["category"] not in ("event", "*")]
    for rule in rules:
        if rule["category"].startswith("event:01"):
            rule["department"] = "D09"
    return DutyList.from_body(body | {"rules": rules})


def test_a_replay_names_every_case_that_would_move_and_no_other(tx, draft):
    made = reported(tx, 60)
    reported(tx, 5, timedelta(days=40))
    book = rulebook(tx)
    since = datetime.now(UTC) - timedelta(days=30)
    found = duty_lists.replay(tx, SYSTEM, book.duty_list, draft, since)
    assert found.cases == len(made)
    assert found.complete
    # The slow way: what the case was given at report is what the list in force says; the draft is asked one by one.
    by_id = {one.id: one for one in made}
    moved = {one.id: one for one in found.moved}
    given = {row.id: row for row in tx.execute(text('select * from "case"')).all()}
    for case_id, receipt in by_id.items():
        row = given[case_id]
        units = tx.execute(
            text("select competent_unit, owner_unit, maintenance_unit from component where code = :code"),
            {"code": row.component_code},
        ).first()
        facts = duty_lists.RoutingFacts(
            row.category_kind,
            row.category_code,
            row.village_code,
            row.unit_grid_code,
            row.duty_grid_code,
            row.area_class,
            row.channel,
            row.severity,
            tuple(units) if units else None,
        )
        after = draft.route(facts).department_code
        if after == receipt.department_code:
            assert case_id not in moved
        else:
            one = moved[case_id]
            assert (one.before.department or None, one.after.department or None) == (receipt.department_code, after)
            assert one.before.rule_id == row.routing["rule_id"]
            assert one.number == receipt.number
    assert found.unowned_before == 0
    assert found.unowned_after == sum(one.after.department == "" for one in found.moved) > 0
    assert sum(found.pairs.values()) == len(found.moved) > found.unowned_after
    assert list(found.pairs.values()) == sorted(found.pairs.values(), reverse=True)


def test_the_list_in_force_moves_nothing(tx):
    reported(tx, 20)
    listed = rulebook(tx).duty_list
    found = duty_lists.replay(tx, SYSTEM, listed, listed, datetime.now(UTC) - timedelta(days=1))
    assert (found.cases, list(found.moved), found.rule_changed, found.helpers_changed) == (20, [], 0, 0)


def test_pages_follow_each_other_without_gap_or_repetition(tx, draft):
    reported(tx, 40)
    since = datetime.now(UTC) - timedelta(days=1)
    moved = duty_lists.replay(tx, SYSTEM, rulebook(tx).duty_list, draft, since).moved
    rest, seen = moved, []
    while rest:
        seen += rest[:3]
        rest = duty_lists.after_cursor(moved, duty_lists.cursor_of(rest[:3][-1]))
    assert [one.id for one in seen] == [one.id for one in moved]
    for wrong in ("x", "2026-01-01~nobody", "~"):
        with pytest.raises(errors.BadCursor):
            duty_lists.after_cursor(moved, wrong)


def test_others_changes_are_counted_and_not_named(tx):
    reported(tx, 30)
    body = dict(definitions.current(tx, "duty_list").body)
    rules = [dict(rule) | {"id": f"N{n}"} for n, rule in enumerate(body["rules"])]
    renamed = DutyList.from_body(body | {"rules": rules})
    since = datetime.now(UTC) - timedelta(days=1)
    found = duty_lists.replay(tx, SYSTEM, rulebook(tx).duty_list, renamed, since)
    assert (len(found.moved), found.rule_changed, found.helpers_changed) == (0, 30, 0)
    for rule in rules:
        rule["co_departments"] = []
    found = duty_lists.replay(tx, SYSTEM, rulebook(tx).duty_list, DutyList.from_body(body | {"rules": rules}), since)
    assert not found.moved
    with_helpers = tx.execute(text("select count(*) from \"case\" where co_departments <> '{}'")).scalar_one()
    assert found.helpers_changed == with_helpers > 0
