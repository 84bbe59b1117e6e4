"""Running cases come to another version only by an explicit move: recorded, chained, clocks untouched, none half."""

import copy
import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from gis import cases, db, definitions, errors, events, people, points, search, workflow_moves
from gis.search import CaseFilter
from gis.tables import case, case_event, workflow_move, workflow_move_case
from gis.workflow_moves import Version
from tests.gis.test_cases import a_report, department_man, row_of, run, someone

TWO = {"zh": "复核", "en": "Review"}


def with_review(tx, **changes):
    """Publish the standard flow with a review between filing and dispatch; returns (old, new) version."""
    old = definitions.current(tx, "workflow", "standard")
    body = copy.deepcopy(old.body)
    body["states"]["review"] = {"name": TWO, "stage": "filing", "limit_minutes": 40} | changes
    next(a for a in body["actions"] if a["code"] == "file")["to"] = "review"
    body["actions"].append(
        {
            "code": "pass_review",
            "name": TWO,
            "effect": TWO,
            "from": ["review"],
            "to": "filed",
            "roles": ["leader"],
            "primary": True,
        }
    )
    body["states"]["filed"]["limit_minutes"] = 60
    new = definitions.publish(tx, "workflow", "standard", body, datetime(2020, 1, 1, tzinfo=UTC), by="test")
    return Version("standard", old.version), Version("standard", new)


@pytest.fixture
def admin(tx):
    return someone(tx, "admin")


def filed(tx, acceptor):
    case_id = cases.report(tx, acceptor, a_report(tx)).id
    run(tx, case_id, ("accept", acceptor, {}), ("file", someone(tx, "shiftleader1"), {}))
    return case_id


def do(tx, move):
    while due := workflow_moves.due(tx):
        for of, case_id in due:
            assert of == move
            workflow_moves.take(tx, of, case_id)


def outcomes(tx, move):
    rows = tx.execute(select(workflow_move_case).where(workflow_move_case.c.move_id == move))
    return {row.case_id: (row.outcome, (row.problem or {}).get("code")) for row in rows}


def test_a_moved_case_runs_by_its_new_version_and_one_that_is_not_stays(tx, acceptor, admin):
    moved, left = filed(tx, acceptor), filed(tx, acceptor)
    run(tx, moved, ("dispatch", someone(tx, "dispatcher1"), {}))
    old, new = with_review(tx)
    before = row_of(tx, moved)
    seq = cases.migrate(tx, moved, admin, new.workflow, new.version, "handling", reason="新规定")
    after = row_of(tx, moved)
    assert (after.workflow_version, after.state, after.seq) == (new.version, "handling", seq)
    assert events.broken(tx, moved) is None
    kept = ("clock", "due_at", "yellow_at", "dispatched_at", "department_code", "rework_count", "number", "versions")
    assert {n: getattr(after, n) for n in kept} == {n: getattr(before, n) for n in kept}
    event = tx.execute(select(case_event).where(case_event.c.case_id == moved, case_event.c.seq == seq)).one()
    assert (event.action, event.actor, event.payload["reason"]) == ("migrate", admin.name, "新规定")
    assert event.payload["source"] == {"workflow": "standard", "version": old.version}
    assert row_of(tx, left).workflow_version == old.version
    new_case = cases.report(tx, acceptor, a_report(tx)).id
    run(tx, new_case, ("accept", acceptor, {}), ("file", someone(tx, "shiftleader1"), {}))
    assert row_of(tx, new_case).state == "review"
    run(tx, left, ("dispatch", someone(tx, "dispatcher1"), {}))
    run(tx, moved, ("handle", department_man(tx, after.department_code), {"result": "已处理"}))
    assert (row_of(tx, left).state, row_of(tx, moved).state) == ("handling", "handled")


def test_the_limit_of_the_new_state_counts_from_when_the_case_came_there(tx, acceptor, admin):
    case_id = filed(tx, acceptor)
    entered = (
        tx.execute(
            select(case_event.c.happened_at).where(case_event.c.case_id == case_id).order_by(case_event.c.seq.desc())
        )
        .scalars()
        .first()
    )
    _, new = with_review(tx)
    cases.migrate(tx, case_id, admin, new.workflow, new.version, "filed", reason="x")
    assert row_of(tx, case_id).stage_due_at == entered + timedelta(minutes=60)
    cases.migrate(tx, case_id, admin, new.workflow, new.version, "review", reason="x")
    row = row_of(tx, case_id)
    assert (row.state, row.stage, row.awaits) == ("review", "filing", ["leader"])
    assert row.next_due_at == row.stage_due_at


def test_what_cannot_be_moved_is_refused_and_nothing_changes(tx, acceptor, admin):
    case_id = filed(tx, acceptor)
    _, new = with_review(tx)
    before = row_of(tx, case_id)

    def refusal(caller, code, version, state, **more):
        with pytest.raises(errors.Problem) as caught, tx.begin_nested():
            cases.migrate(tx, case_id, caller, code, version, state, reason="x", **more)
        return caught.value.code

    assert refusal(acceptor, new.workflow, new.version, "filed") == "forbidden"
    assert refusal(admin, new.workflow, new.version, "nowhere") == "state_unknown"
    assert refusal(admin, new.workflow, new.version, "closed") == "state_unknown"
    assert refusal(admin, new.workflow, 99, "filed") == "definition_unknown"
    assert refusal(admin, new.workflow, new.version, "filed", expected_seq=1) == "stale_case"
    assert row_of(tx, case_id) == before
    tx.execute(update(case).where(case.c.id == case_id).values(status="closed"))
    assert refusal(admin, new.workflow, new.version, "filed") == "case_ended"


def test_a_plan_says_what_a_move_would_do_and_a_move_does_it(tx, acceptor, admin):
    ids = [filed(tx, acceptor) for _ in range(3)]
    other = cases.report(tx, acceptor, a_report(tx)).id
    old, new = with_review(tx)
    states = {"filed": "review"}
    planned = workflow_moves.plan(tx, old, new, states)
    running = workflow_moves.running(tx)[old.workflow, old.version]
    assert (planned["cases"], planned["movable"]) == (running, 3)
    assert planned["refused"] == running - 3
    told = {line["code"]: line for line in planned["states"]}
    assert (told["filed"]["cases"], told["filed"]["to"], told["filed"]["problem"]) == (3, "review", None)
    assert told["reported"]["problem"]["code"] == "state_unknown"
    suggested = {line["code"]: line["to"] for line in workflow_moves.plan(tx, old, new)["states"]}
    assert suggested == {code: code for code in suggested}

    move = workflow_moves.start(tx, admin, old, new, states, "加一道复核")
    do(tx, move)
    found = outcomes(tx, move)
    assert {found[i] for i in ids} == {("moved", None)}
    assert found[other] == ("refused", "state_unknown")
    assert {row_of(tx, i).state for i in ids} == {"review"}
    assert all(events.broken(tx, i) is None for i in ids)
    shown = workflow_moves.look(tx, move)
    assert (shown["state"], shown["counts"]) == ("done", {"waiting": 0, "moved": 3, "refused": running - 3})


def test_a_case_that_ended_or_went_on_meanwhile_is_taken_as_it_is_then(tx, acceptor, admin):
    ended, gone_on, elsewhere = (filed(tx, acceptor) for _ in range(3))
    old, new = with_review(tx)
    move = workflow_moves.start(tx, admin, old, new, {"filed": "filed", "handling": "handling"}, "x")
    run(tx, gone_on, ("dispatch", someone(tx, "dispatcher1"), {}))
    run(tx, ended, ("return_filing", someone(tx, "dispatcher1"), {"reason": "不属实"}))
    run(tx, ended, ("void", someone(tx, "shiftleader1"), {"reason": "不属实"}))
    cases.migrate(tx, elsewhere, admin, new.workflow, new.version, "review", reason="x")
    tx.execute(update(workflow_move_case).values(tries=workflow_moves.TRIES - 1))
    do(tx, move)
    found = outcomes(tx, move)
    assert found[gone_on] == ("moved", None)
    assert row_of(tx, gone_on).state == "handling"
    assert found[ended] == ("refused", "case_ended")
    assert found[elsewhere] == ("refused", "stale_case")
    assert row_of(tx, elsewhere).state == "review"


def test_a_halted_move_moves_nothing_until_it_goes_on(tx, acceptor, admin):
    case_id = filed(tx, acceptor)
    old, new = with_review(tx)
    move = workflow_moves.start(tx, admin, old, new, {"filed": "review"}, "x")
    workflow_moves.stop(tx, admin, move, True)
    assert workflow_moves.due(tx) == []
    assert workflow_moves.take(tx, move, case_id) is False
    assert row_of(tx, case_id).workflow_version == old.version
    workflow_moves.stop(tx, admin, move, False)
    do(tx, move)
    assert row_of(tx, case_id).workflow_version == new.version
    with pytest.raises(errors.NotFound):
        workflow_moves.stop(tx, admin, move, True)


def test_a_move_halted_with_its_last_case_ends_when_it_goes_on(tx, acceptor, admin):
    filed(tx, acceptor)
    old, new = with_review(tx)
    move = workflow_moves.start(tx, admin, old, new, {"filed": "review"}, "x")
    workflow_moves.stop(tx, admin, move, True)
    tx.execute(update(workflow_move_case).values(outcome="refused"))
    workflow_moves.stop(tx, admin, move, False)
    assert workflow_moves.look(tx, move)["state"] == "done"


def test_a_move_needs_a_reason_an_administrator_and_states_that_are_there(tx, acceptor, admin):
    old, new = with_review(tx)
    with pytest.raises(errors.Forbidden):
        workflow_moves.start(tx, acceptor, old, new, {}, "x")
    for states, reason, target in (
        ({}, " ", new),
        ({"nowhere": "filed"}, "x", new),
        ({"filed": "nowhere"}, "x", new),
        ({"filed": "closed"}, "x", new),
        ({}, "x", old),
    ):
        with pytest.raises(errors.Malformed):
            workflow_moves.start(tx, admin, old, target, states, reason)
    assert tx.execute(select(workflow_move)).all() == []


def test_only_those_who_may_see_a_case_see_what_became_of_it(tx, acceptor, admin):
    ids = [filed(tx, acceptor) for _ in range(2)]
    old, new = with_review(tx)
    move = workflow_moves.start(tx, admin, old, new, {"filed": "review"}, "x")
    do(tx, move)
    total = sum(workflow_moves.look(tx, move)["counts"].values())
    mine = workflow_moves.outcomes(tx, acceptor, move, "moved")
    assert {one["id"] for one in mine["items"]} == set(ids)
    blind = workflow_moves.outcomes(tx, admin, move)
    assert (blind["items"], blind["unseen"]) == ([], total)


def test_map_and_list_agree_after_a_move(database):
    """The point store follows the event of a move as any other."""
    with db.transaction() as tx:
        acceptor, admin = someone(tx, "acceptor1"), someone(tx, "admin")
        ids = [filed(tx, acceptor) for _ in range(4)]
        store, seen = points.CaseStore.load(tx), events.horizon(tx)
    with db.transaction() as tx:
        old, new = with_review(tx)
        move = workflow_moves.start(tx, admin, old, new, {"filed": "review"}, "x")
    for case_id in ids:
        with db.transaction() as tx:
            assert workflow_moves.take(tx, move, case_id)
    with db.transaction() as tx:
        told, _ = events.since(tx, seen)
        store.refresh(tx, [event.case_id for event in told])
        leader, now = someone(tx, "leader"), datetime.now(UTC)
        for state in ("filed", "review"):
            wanted = CaseFilter(state=(state,))
            assert store.mask(leader.scope, wanted, now).count == search.count(tx, leader, wanted, now)
        assert search.count(tx, leader, CaseFilter(state=("review",)), now) == 4


def test_a_move_and_a_person_at_once_leave_one_whole_story(database):
    """Both lock the case: whoever comes second sees what the first did."""
    with db.transaction() as tx:
        acceptor = someone(tx, "acceptor1")
        ids = [filed(tx, acceptor) for _ in range(6)]
        old, new = with_review(tx)
        move = workflow_moves.start(tx, someone(tx, "admin"), old, new, {"filed": "filed", "handling": "handling"}, "x")
        dispatcher = someone(tx, "dispatcher1")
    refused: list[str] = []

    def moving() -> None:
        for _ in range(8):
            with db.transaction() as tx:
                due = workflow_moves.due(tx)
            for of, case_id in due:
                with db.transaction() as tx:
                    workflow_moves.take(tx, of, case_id)

    def working() -> None:
        for case_id in ids:
            try:
                with db.transaction() as tx:
                    cases.act(tx, case_id, "dispatch", dispatcher, {})
            except errors.Problem as problem:
                refused.append(problem.code)

    threads = [threading.Thread(target=work) for work in (moving, working, moving)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert refused == []
    with db.transaction() as tx:
        for case_id in ids:
            row = row_of(tx, case_id)
            assert (row.state, row.workflow_version) == ("handling", new.version)
            story = (
                tx.execute(
                    select(case_event.c.action).where(case_event.c.case_id == case_id).order_by(case_event.c.seq)
                )
                .scalars()
                .all()
            )
            assert sorted(story[3:]) == ["dispatch", "migrate"]
            assert events.broken(tx, case_id) is None
        assert workflow_moves.look(tx, move)["state"] == "done"
        assert people.by_username(tx, "admin").id is not None


def test_a_move_ends_though_its_last_two_cases_are_taken_at_once(database):
    with db.transaction() as tx:
        acceptor = someone(tx, "acceptor1")
        first, second = (filed(tx, acceptor) for _ in range(2))
        old, new = with_review(tx)
        move = workflow_moves.start(tx, someone(tx, "admin"), old, new, {"filed": "filed"}, "x")

    def other() -> None:
        with db.transaction() as tx:
            workflow_moves.take(tx, move, second)

    thread = threading.Thread(target=other)
    with db.transaction() as tx:
        workflow_moves.take(tx, move, first)
        thread.start()
        thread.join(1)
    thread.join(60)
    with db.transaction() as tx:
        assert workflow_moves.look(tx, move)["state"] == "done"
