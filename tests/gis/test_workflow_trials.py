"""A draft on past cases: the same flow changes nothing, and each kind of change is found where it first matters."""

import copy
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import uuid4

import pytest
from sqlalchemy import select

from gis import cases, definitions, errors, search, workflow, workflow_trials
from gis.people import Caller, Grant
from gis.search import CaseFilter
from gis.tables import case, case_event
from gis.workflow_parse import parse
from tests.gis.test_cases import a_report, department_man, row_of, run, someone

TWO = {"zh": "名", "en": "Name"}
DEPARTMENTS = ("D02", "D03", "D04")
CONDITION = "1"


def holder(role, department=""):
    """Somebody with one role over the whole town, of a department."""
    grants = (Grant(role, "town"),)
    return Caller(uuid4(), role, role, (department, department), grants, frozenset({"case.act", "case.view"}))


def value_for(field, chance, row):
    match field.type:
        case "text":
            return chance.choice(("原因", "说明", "按规定办理"))
        case "choice":
            return chance.choice(field.choices)
        case "number":
            return chance.choice((0, 1, 2.5))
        case "department":
            return chance.choice(DEPARTMENTS)
        case "departments":
            return chance.sample(DEPARTMENTS, 2)
        case "date":
            return (datetime.now(UTC) + timedelta(days=chance.randrange(1, 9))).date().isoformat()
        case "closing_condition":
            return row["condition_code"] or CONDITION
        case "tags":
            return ["创城"]
        case "scores":
            return {row["department_code"]: chance.randrange(1, 6)}
    return None


def live(tx, case_id, chance, steps):
    """A random life of a case: whatever the workflow allows, by whoever may, refusals and all."""
    for _ in range(steps):
        row = row_of(tx, case_id)._mapping
        flow = definitions.version(tx, "workflow", row["workflow"], row["workflow_version"]).parsed
        actions = [a for a in flow.actions.values() if row["state"] in a.sources]
        if not actions:
            return
        action = chance.choice(actions)
        payload = {}
        for field in action.fields:
            value = value_for(field, chance, row)
            if value is not None and (field.required or chance.random() < 0.6):
                payload[field.name] = value
        caller = holder(
            chance.choice(sorted(action.roles)), chance.choice([row["department_code"] or "", *DEPARTMENTS])
        )
        try:
            with tx.begin_nested():
                cases.act(tx, case_id, action.code, caller, payload)
        except errors.Problem:
            continue


@pytest.mark.parametrize("kind", ["case", "hotline", "whistle"])
def test_a_past_replayed_in_the_workflow_that_made_it_never_deviates(tx, kind):
    chance = Random(f"lives/{kind}")
    leader = someone(tx, "leader")
    for n in range(24):
        channel = chance.choice(("patrol", "public", "hotline"))
        start = definitions.current(tx, "workflow", "standard" if kind == "case" else kind).parsed.start
        told = {f.name: value_for(f, chance, {"condition_code": ""}) for f in start.fields if f.required}
        severity = chance.randrange(1, 4)
        sent = a_report(tx, kind=kind, channel=channel, severity=severity, description=f"第{n}件", payload=told)
        live(tx, cases.report(tx, leader, sent).id, chance, 24)
    code = row_of(tx, sent.id).workflow
    flow = definitions.current(tx, "workflow", code).parsed
    found = workflow_trials.trial(tx, leader, flow, 1)
    taken = tx.execute(select(case_event.c.action).distinct()).scalars().all()
    assert len(taken) > 6, "the lives are to be rich"
    assert [o.deviation for o in found.outcomes if o.deviation] == []
    assert found.summary()["cases"] == found.summary()["same"] == 24
    assert found.summary()["unseen"] == 0


@pytest.fixture
def past(tx, acceptor):
    """Six cases: two only reported, two filed, two handled; known times between the steps."""
    ids = []
    for n in range(6):
        case_id = cases.report(tx, acceptor, a_report(tx, description=f"第{n}件")).id
        if n >= 2:
            run(tx, case_id, ("accept", acceptor, {}), ("file", someone(tx, "shiftleader1"), {}))
        if n >= 4:
            run(tx, case_id, ("dispatch", someone(tx, "dispatcher1"), {}))
            department = row_of(tx, case_id).department_code
            run(tx, case_id, ("handle", department_man(tx, department), {"result": "已处理"}))
        ids.append(case_id)
    return ids


def draft(tx, change):
    body = copy.deepcopy(definitions.current(tx, "workflow", "standard").body)
    change(body)
    return parse(body)


def arrow(body, code):
    return next(a for a in body["actions"] if a["code"] == code)


def add_review(body):
    body["states"]["review"] = {"name": TWO, "stage": "filing"}
    arrow(body, "file")["to"] = "review"
    body["actions"].append(
        {"code": "ok", "name": TWO, "effect": TWO, "from": ["review"], "to": "filed", "roles": ["leader"]}
    )


def need_photo(body):
    for field in arrow(body, "handle")["fields"]:
        field["required"] = True


def rename(body):
    arrow(body, "dispatch")["code"] = "send"


def only_leader(body):
    arrow(body, "accept")["roles"] = ["leader"]


def never(body):
    arrow(body, "dispatch").update(guard="severity > 2", guard_words=TWO)


def from_elsewhere(body):
    arrow(body, "handle")["from"] = ["special"]
    arrow(body, "timeout")["from"] = ["handling"]


@pytest.mark.parametrize(
    ("change", "kind", "action", "state", "count"),
    [
        (add_review, "leads_elsewhere", "file", "accepted", 4),
        (rename, "action_unknown", "dispatch", "filed", 2),
        (only_leader, "role_forbids", "accept", "reported", 4),
        (need_photo, "field_missing", "handle", "handling", 2),
        (never, "guard_refuses", "dispatch", "filed", 2),
        (from_elsewhere, "state_forbids", "handle", "handling", 2),
    ],
)
def test_each_change_is_found_where_it_first_matters(tx, past, change, kind, action, state, count):
    found = workflow_trials.trial(tx, someone(tx, "leader"), draft(tx, change), 1)
    summary = found.summary()
    assert (summary["cases"], summary["same"], summary["deviating"]) == (6, 6 - count, count)
    assert summary["deviations"] == [{"kind": kind, "action": action, "state": state, "cases": count}]
    page = found.page(tx, someone(tx, "leader"), f"{kind}:{action}", 0, 50)
    assert {line["id"] for line in page["items"]} == {str(i) for i in past[6 - count :]}
    assert page["total"] == count
    assert found.page(tx, someone(tx, "leader"), "other", 0, 50) == {"total": 0, "items": []}


def test_a_list_shows_only_what_the_caller_may_see_and_has_pages(tx, past):
    manager = department_man(tx, row_of(tx, past[2]).department_code)
    found = workflow_trials.trial(tx, manager, draft(tx, add_review), 1)
    visible = {str(i) for i in search.matching(tx, manager, CaseFilter(), past, datetime.now(UTC))}
    shown = found.page(tx, manager, "", 0, 50)
    assert {line["id"] for line in shown["items"]} == visible & {str(i) for i in past[2:]}
    assert shown["items"]
    assert found.summary()["cases"] == 6
    assert found.summary()["unseen"] == 6 - len(visible)
    first, second = (found.page(tx, manager, "", offset, 1)["items"] for offset in (0, 1))
    assert first != second
    admin = workflow_trials.trial(tx, someone(tx, "admin"), draft(tx, add_review), 1)
    assert admin.summary()["deviating"] == 4
    assert admin.page(tx, someone(tx, "admin"), "", 0, 50)["items"] == []


def test_a_stay_is_measured_against_the_drafts_limit(tx, acceptor):
    """Accepted after 20 and 90 minutes: a limit of 30 minutes would have made one of the two late."""
    begun = datetime.now(UTC) - timedelta(hours=5)
    for minutes in (20, 90):
        sent = a_report(tx, reported_at=begun, occurred_at=begun)
        case_id = cases.report(tx, acceptor, sent).id
        cases.act(tx, case_id, "accept", acceptor, {}, at=begun + timedelta(minutes=minutes), trusted=True)

    def limit(text):
        return draft(tx, lambda body: body["states"]["reported"].update({"limit_minutes": None, "limit": text}))

    for text, late in (("30 分钟", 1), ("10 分钟", 2), ("2 紧急工作时", 0)):
        summary = workflow_trials.trial(tx, acceptor, limit(text), 1).summary()
        assert summary["late"] == late
        [stay] = summary["states"]
        assert (stay["state"], stay["stays"], stay["late"]) == ("reported", 2, late)
        assert stay["median_hours"] == pytest.approx(55 / 60, abs=0.01)


def test_only_the_cases_of_the_time_and_the_workflow_count(tx, past):
    leader, flow = someone(tx, "leader"), definitions.current(tx, "workflow", "standard").parsed
    later = datetime.now(UTC) + timedelta(days=3)
    assert workflow_trials.trial(tx, leader, flow, 1, now=later).summary()["cases"] == 0
    assert workflow_trials.trial(tx, leader, flow, 4, now=later).summary()["cases"] == 6
    other = definitions.current(tx, "workflow", "hotline").parsed
    assert workflow_trials.trial(tx, leader, other, 1).summary()["cases"] == 0
    assert workflow_trials.trial(tx, leader, other, 1, like="standard").summary()["deviating"] == 6


def test_a_move_in_the_past_is_taken_as_told(tx, past):
    flow = definitions.current(tx, "workflow", "standard").parsed
    row = tx.execute(select(case).where(case.c.id == past[2])).one()
    story = [
        workflow_trials.Told(e.seq, e.action, e.from_state, e.to_state, e.role, e.happened_at, e.payload)
        for e in tx.execute(select(case_event).where(case_event.c.case_id == past[2]).order_by(case_event.c.seq))
    ]
    facts = {name: row._mapping[name] for name in workflow.FACTS if name in row._mapping}
    moved = workflow_trials.Told(4, "migrate", "filed", "handling", "system", row.reported_at, {})
    handled = workflow_trials.Told(5, "handle", "handling", "handled", "handler", row.reported_at, {"result": "好"})
    assert workflow_trials.replay(flow, facts, [*story, moved, handled]) is None
    gone = workflow_trials.replay(
        flow, facts, [*story, workflow_trials.Told(4, "migrate", "filed", "x", "system", row.reported_at, {})]
    )
    assert (gone.kind, gone.state) == ("state_gone", "x")
