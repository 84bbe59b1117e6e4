"""The rules of the trade, lived on real rows: every workflow the town has, with its tasks, clocks and people."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import delete, insert, select, update

from gis import assignment, cases, deadlines, errors, events, measures, people, search
from gis.case_report import Report
from gis.case_rows import Photo
from gis.rulebook import rulebook
from gis.tables import (
    case,
    case_event,
    case_task,
    department,
    duty_grid,
    measure_case,
    position_live,
    shift,
    staff,
    staff_role,
)
from gis.worktime import elapsed
from tests.gis.test_cases import a_report, department_man, inspector_of, row_of, run, someone

AFTER = Photo(b"\x01" * 32, "image/jpeg", 1000)
PROOF = [AFTER.sha256.hex()]


def act(tx, case_id, action, caller, /, photos=(), **payload):
    cases.act(tx, case_id, action, caller, payload, photos=photos)


def handling(tx, acceptor, leader, dispatcher, ago=timedelta(), **changes):
    """A case of the standard flow in handling, dispatched so long ago; its row."""
    then = datetime.now(UTC) - ago
    made = cases.report(tx, acceptor, a_report(tx, reported_at=then, occurred_at=then, **changes))
    for action, who in (("accept", acceptor), ("file", leader), ("dispatch", dispatcher)):
        cases.act(tx, made.id, action, who, {}, at=then, trusted=True)
    return row_of(tx, made.id)


def tasks(tx, case_id, **wanted):
    rows = tx.execute(select(case_task).where(case_task.c.case_id == case_id).order_by(case_task.c.opened_seq)).all()
    return [r for r in rows if all(getattr(r, name) == value for name, value in wanted.items())]


def payload_of(tx, case_id, action):
    return (
        tx.execute(
            select(case_event.c.payload)
            .where(case_event.c.case_id == case_id, case_event.c.action == action)
            .order_by(case_event.c.seq.desc())
        )
        .scalars()
        .first()
    )


def test_a_return_keeps_all_data(tx, acceptor, leader):
    made = cases.report(tx, acceptor, a_report(tx, description="原来的描述", extra={"a": 1}))
    run(tx, made.id, ("accept", acceptor, {}), ("return", leader, {"reason": "位置不清"}))
    row = row_of(tx, made.id)
    assert (row.state, row.return_count, row.accepted_at) == ("reported", 1, None)
    assert (row.description, row.extra) == ("原来的描述", {"a": 1})
    assert payload_of(tx, made.id, "return") == {"reason": "位置不清"}


def test_two_approved_extensions_treble_the_limit_and_a_third_is_refused(tx, acceptor, leader, dispatcher):
    row = handling(tx, acceptor, leader, dispatcher)
    manager = department_man(tx, row.department_code)
    limits = [row.due_at]
    for _ in range(2):
        act(tx, row.id, "ask_extension", manager, reason="备料")
        with pytest.raises(errors.StateForbids):
            act(tx, row.id, "approve_extension", leader)
        act(tx, row.id, "agree_extension", dispatcher)
        with pytest.raises(errors.RoleForbids):
            act(tx, row.id, "approve_extension", dispatcher)
        act(tx, row.id, "approve_extension", leader)
        limits.append(row_of(tx, row.id).due_at)
    calendar = rulebook(tx).calendar
    kind = rulebook(tx).filing_standard.condition(row.category_kind, row.category_code).limits[row.area_class].kind
    started = datetime.fromisoformat(row.clock["started_at"])
    once, twice, thrice = (elapsed(started, due, kind, calendar) for due in limits)
    assert (twice, thrice) == (2 * once, 3 * once)
    with pytest.raises(errors.GuardRefuses):
        act(tx, row.id, "ask_extension", manager, reason="还要")


def test_a_refused_extension_does_not_count_and_a_late_case_gets_none(tx, acceptor, leader, dispatcher):
    row = handling(tx, acceptor, leader, dispatcher)
    manager = department_man(tx, row.department_code)
    act(tx, row.id, "ask_extension", manager, reason="备料")
    act(tx, row.id, "refuse_extension", dispatcher, reason="时间充足")
    assert (row_of(tx, row.id).extension_count, row_of(tx, row.id).due_at) == (0, row.due_at)
    late = handling(tx, acceptor, leader, dispatcher, ago=timedelta(days=60))
    with pytest.raises(errors.GuardRefuses):
        act(tx, late.id, "ask_extension", department_man(tx, late.department_code), reason="备料")


def test_a_suspension_stops_the_clock_and_ends_by_itself(tx, acceptor, leader, dispatcher):
    row = handling(tx, acceptor, leader, dispatcher, ago=timedelta(days=30))
    manager = department_man(tx, row.department_code)
    asked = datetime.now(UTC) - timedelta(days=30)
    today = asked.astimezone(search.ZONE).date()
    until = today + timedelta(days=20)

    def ask(day):
        payload = {"suspend_until": day.isoformat(), "reason": "等供货"}
        cases.act(tx, row.id, "ask_suspension", manager, payload, at=asked, trusted=True)

    for wrong in (today - timedelta(days=1), today + timedelta(days=400)):
        with pytest.raises(errors.DateRefused):
            ask(wrong)
    ask(until)
    cases.act(tx, row.id, "approve_suspension", leader, {}, at=asked, trusted=True)
    held = row_of(tx, row.id)
    assert (held.state, held.due_at, held.next_due_at) == ("suspended", None, None)
    ends = datetime.combine(until + timedelta(days=1), datetime.min.time(), search.ZONE)
    assert held.wake_at == ends
    assert deadlines.wake(tx, now=ends - timedelta(seconds=1)) == 0
    assert deadlines.wake(tx, now=ends) == 1
    going = row_of(tx, row.id)
    assert (going.state, going.wake_at) == ("handling", None)
    pause = going.clock["pauses"][-1]
    assert datetime.fromisoformat(pause[1]) == ends
    assert going.next_due_at == going.due_at > ends
    assert events.broken(tx, row.id) is None


def test_missing_material_lapses_at_its_limit_and_can_come_before(tx, acceptor):
    made = cases.report(tx, acceptor, a_report(tx, channel="public"))
    act(tx, made.id, "ask_supplement", acceptor, reason="请补充位置")
    waits = row_of(tx, made.id)
    assert waits.awaits == ["acceptor", "public"]
    public = people.reporter_of(made.id)
    act(tx, made.id, "supplement", public, note="在东门")
    back = row_of(tx, made.id)
    assert (back.state, back.wake_at) == ("reported", None)
    then = datetime.now(UTC) - timedelta(days=40)
    old = cases.report(tx, acceptor, a_report(tx, channel="public", reported_at=then, occurred_at=then))
    cases.act(tx, old.id, "ask_supplement", acceptor, {"reason": "请补充照片"}, at=then, trusted=True)
    ends = row_of(tx, old.id).wake_at
    assert deadlines.wake(tx, now=ends - timedelta(seconds=1)) == 0
    assert deadlines.wake(tx) == 1
    gone = row_of(tx, old.id)
    assert (gone.state, gone.status, gone.voided_at) == ("withdrawn", "void", ends)
    other = cases.report(tx, acceptor, a_report(tx))
    with pytest.raises(errors.CaseNotFound):
        cases.act(tx, other.id, "follow", public, {"note": "别人的案件"})


def test_a_special_step_does_not_count(tx, acceptor, leader, dispatcher):
    row = handling(tx, acceptor, leader, dispatcher)
    manager = department_man(tx, row.department_code)
    with pytest.raises(errors.FieldMissing):
        act(tx, row.id, "begin_special", manager, step="sleep", reason="检测")
    act(tx, row.id, "begin_special", manager, step="test", reason="送检")
    assert row_of(tx, row.id).due_at is None
    act(tx, row.id, "end_special", manager, result="合格")
    ended = row_of(tx, row.id)
    begun, until = map(datetime.fromisoformat, ended.clock["pauses"][-1])
    assert begun < until
    assert ended.due_at >= row.due_at


def test_the_dispatcher_may_forward_to_closing_only_what_no_department_returned(tx, acceptor, leader, dispatcher):
    row = handling(tx, acceptor, leader, dispatcher)
    act(tx, row.id, "decline", department_man(tx, row.department_code), reason="不属我部门")
    forward = {"reason": "已消失", "photos": PROOF}
    with pytest.raises(errors.StateForbids):
        cases.act(tx, row.id, "forward_closing", dispatcher, forward, photos=[AFTER])
    act(tx, row.id, "return_filing", dispatcher, reason="重新核对")
    act(tx, row.id, "file", leader)
    with pytest.raises(errors.GuardRefuses):
        cases.act(tx, row.id, "forward_closing", dispatcher, forward, photos=[AFTER])


def test_what_the_centre_returned_itself_may_be_forwarded_and_comes_back_to_dispatch(tx, acceptor, leader, dispatcher):
    """Forwarded to closing and not closed: it goes to dispatch, never into handling without a department."""
    made = cases.report(tx, acceptor, a_report(tx))
    act(tx, made.id, "accept", acceptor)
    act(tx, made.id, "return", leader, reason="位置描述不清")
    act(tx, made.id, "accept", acceptor)
    act(tx, made.id, "file", leader)
    forward = {"reason": "已消失", "photos": PROOF}
    cases.act(tx, made.id, "forward_closing", dispatcher, forward, photos=[AFTER])
    assert (row_of(tx, made.id).state, row_of(tx, made.id).return_count) == ("checked", 1)
    with pytest.raises(errors.GuardRefuses):
        act(tx, made.id, "rework", leader, reason="问题仍在")
    act(tx, made.id, "return_dispatch", leader, reason="问题仍在")
    assert (row_of(tx, made.id).state, row_of(tx, made.id).due_at) == ("filed", None)
    act(tx, made.id, "dispatch", dispatcher)
    handled = row_of(tx, made.id)
    assert handled.state == "handling"
    assert handled.department_code is not None
    assert handled.due_at is not None


def test_co_departments_have_their_own_part_and_the_owner_waits_for_them(tx, acceptor, leader, dispatcher):
    made = cases.report(tx, acceptor, a_report(tx))
    owner = row_of(tx, made.id).department_code
    one, other = [code for code in ("D03", "D05", "D08") if code != owner][:2]
    run(tx, made.id, ("accept", acceptor, {}), ("file", leader, {}))
    act(tx, made.id, "dispatch", dispatcher, co_departments=[one, other], note="一起清理")
    assert [t.department_code for t in tasks(tx, made.id, kind="assist", state="open")] == [one, other]
    helper, owner_man = department_man(tx, one), department_man(tx, owner)
    assert search.some(tx, helper, [made.id])
    for action in ("handle", "decline"):
        with pytest.raises(errors.RoleForbids):
            cases.act(tx, made.id, action, helper, {"result": "x"} if action == "handle" else {"reason": "x"})
    with pytest.raises(errors.GuardRefuses):
        act(tx, made.id, "handle", owner_man, result="已清理")
    act(tx, made.id, "assist_done", helper, result="已移走")
    with pytest.raises(errors.GuardRefuses):
        act(tx, made.id, "handle", owner_man, result="已清理")
    with pytest.raises(errors.NoTask):
        act(tx, made.id, "assist_done", helper, result="再来一次")
    act(tx, made.id, "assist_done", department_man(tx, other), result="已冲洗")
    act(tx, made.id, "handle", owner_man, result="已清理")
    assert row_of(tx, made.id).state == "handled"


def test_urging_and_supervision_want_a_receipt(tx, acceptor, leader, dispatcher):
    row = handling(tx, acceptor, leader, dispatcher)
    manager = department_man(tx, row.department_code)
    with pytest.raises(errors.GuardRefuses):
        act(tx, row.id, "answer_urge", manager, answer="在路上")
    act(tx, row.id, "urge", dispatcher, note="请加快")
    act(tx, row.id, "supervise", leader, note="限明日完成")
    urged = row_of(tx, row.id)
    assert (urged.state, urged.urge_count, urged.due_at) == ("handling", 1, row.due_at)
    assert urged.supervised_at is not None
    [owed] = tasks(tx, row.id, kind="urge", state="open")
    assert (owed.department_code, owed.note) == (row.department_code, "请加快")
    assert owed.due_at > owed.opened_at
    act(tx, row.id, "answer_urge", manager, answer="今晚完成")
    [done] = tasks(tx, row.id, kind="urge")
    assert (done.state, done.result["answer"], done.result["by"]) == ("done", "今晚完成", manager.name)
    assert [t.kind for t in tasks(tx, row.id, state="open")] == ["supervise"]


def test_who_gets_a_case_owes_nothing_of_the_one_before(tx, acceptor, leader, dispatcher):
    row = handling(tx, acceptor, leader, dispatcher)
    other = "D02" if row.department_code != "D02" else "D03"
    act(tx, row.id, "urge", dispatcher, note="请加快")
    act(tx, row.id, "add_assist", dispatcher, co_departments=[other], note="协助")
    act(tx, row.id, "reassign", dispatcher, department=other, reason="职责调整")
    assert {t.kind: t.state for t in tasks(tx, row.id)} == {"urge": "cancelled", "assist": "cancelled"}
    act(tx, row.id, "handle", department_man(tx, other), result="已清理")


def closed_late(tx, acceptor, leader, dispatcher):
    row = handling(tx, acceptor, leader, dispatcher, ago=timedelta(days=60))
    manager, checker = department_man(tx, row.department_code), inspector_of(tx, row.duty_grid_code)
    act(tx, row.id, "handle", manager, photos=[AFTER], result="已清理", photos_after=PROOF)
    act(tx, row.id, "check_pass", checker)
    condition = rulebook(tx).filing_standard.condition(row.category_kind, row.category_code).code
    act(tx, row.id, "close", leader, closing_condition=condition)
    return row_of(tx, row.id), manager


def counted(tx, case_id):
    measures.apply(tx, [case_id])
    return set(tx.execute(select(measure_case.c.measure).where(measure_case.c.case_id == case_id)).scalars())


def test_an_accepted_appeal_leaves_the_figures_and_keeps_the_fact(tx, acceptor, leader, dispatcher):
    row, manager = closed_late(tx, acceptor, leader, dispatcher)
    assert row.overdue_at is not None
    assert {"handled", "closed", "overdue"} <= counted(tx, row.id)
    appeal = {"reason": "连日暴雨", "material": PROOF}
    cases.act(tx, row.id, "appeal", manager, appeal, photos=[AFTER])
    assert row_of(tx, row.id).status == "closed"
    act(tx, row.id, "agree_appeal", dispatcher)
    act(tx, row.id, "accept_appeal", someone(tx, "evaluator1"), opinion="属实")
    done = row_of(tx, row.id)
    assert (done.state, done.overdue_at) == ("closed", row.overdue_at)
    assert counted(tx, row.id) == {"reported", "filed"}
    with pytest.raises(errors.GuardRefuses):
        cases.act(tx, row.id, "appeal", manager, appeal, photos=[AFTER])


def test_a_punctual_case_cannot_be_appealed(tx, acceptor, leader, dispatcher):
    row = handling(tx, acceptor, leader, dispatcher)
    manager, checker = department_man(tx, row.department_code), inspector_of(tx, row.duty_grid_code)
    act(tx, row.id, "handle", manager, photos=[AFTER], result="已清理", photos_after=PROOF)
    act(tx, row.id, "check_pass", checker)
    condition = rulebook(tx).filing_standard.condition(row.category_kind, row.category_code).code
    act(tx, row.id, "close", leader, closing_condition=condition)
    with pytest.raises(errors.GuardRefuses):
        cases.act(tx, row.id, "appeal", manager, {"reason": "x", "material": PROOF}, photos=[AFTER])


def test_a_leader_may_force_the_closing_and_open_tasks_end_with_it(tx, acceptor, leader, dispatcher):
    row = handling(tx, acceptor, leader, dispatcher)
    act(tx, row.id, "urge", dispatcher, note="请加快")
    with pytest.raises(errors.RoleForbids):
        act(tx, row.id, "force_close", leader, reason="不再办理")
    act(tx, row.id, "force_close", someone(tx, "leader"), reason="历史遗留，专题研究")
    done = row_of(tx, row.id)
    assert (done.status, done.facts["reason"], done.awaits) == ("closed", "历史遗留，专题研究", [])
    assert [t.state for t in tasks(tx, row.id)] == ["cancelled"]


def test_merging_leaves_one_case_that_knows_of_both(tx, acceptor):
    main = cases.report(tx, acceptor, a_report(tx, description="主案"))
    same = cases.report(tx, acceptor, a_report(tx, description="同一件事", external_code="RX-1", channel="hotline"))
    with pytest.raises(errors.MergeRefused):
        act(tx, same.id, "merge", acceptor, into=str(same.id))
    with pytest.raises(errors.CaseNotFound):
        act(tx, same.id, "merge", acceptor, into=str(uuid4()))
    act(tx, same.id, "merge", acceptor, into=str(main.id))
    gone, kept = row_of(tx, same.id), row_of(tx, main.id)
    assert (gone.state, gone.status, gone.merged_into) == ("merged", "void", main.id)
    assert kept.seq == 2
    assert same.number in payload_of(tx, main.id, "follow")["note"]
    assert events.broken(tx, main.id) is None
    third = cases.report(tx, acceptor, a_report(tx))
    with pytest.raises(errors.MergeRefused):
        act(tx, third.id, "merge", acceptor, into=str(same.id))


def test_a_check_goes_to_the_best_inspector_with_the_reasons(tx, acceptor, leader, dispatcher):
    row = handling(tx, acceptor, leader, dispatcher)
    keeper = inspector_of(tx, row.duty_grid_code)
    now = datetime.now(UTC)
    tx.execute(
        insert(shift).values(
            role="inspector", staff_id=keeper.id, starts_at=now - timedelta(hours=1), ends_at=now + timedelta(hours=1)
        )
    )
    tx.execute(insert(position_live).values(inspector_id=keeper.id, at=now, lon=row.lon, lat=row.lat, accuracy_m=5))
    act(tx, row.id, "handle", department_man(tx, row.department_code), result="已清理")
    chosen = row_of(tx, row.id)
    assert chosen.assignee_id == keeper.id
    told = payload_of(tx, row.id, "handle")["assigned"]
    assert told["name"] == keeper.name
    words = [reason["zh"] for reason in told["reasons"]]
    assert words[:3] == ["责任网格网格员", "当班", "距现场 0 米"]
    [check] = tasks(tx, row.id, kind="result_check")
    assert check.assignee_id == keeper.id
    act(tx, row.id, "check_fail", keeper, reason="未清净")
    assert row_of(tx, row.id).assignee_id is None
    assert tasks(tx, row.id, kind="result_check")[0].state == "done"


def test_nobody_is_sent_who_could_not_see_the_case(tx, acceptor):
    row = row_of(tx, cases.report(tx, acceptor, a_report(tx)).id)._mapping
    now = datetime.now(UTC)
    tx.execute(update(duty_grid).values(village_code=row["village_code"]))
    assert {one.own_grid for one in assignment.candidates(tx, row, now)} == {True, False}
    tx.execute(delete(staff_role).where(staff_role.c.role == "inspector", staff_role.c.scope == "own"))
    left = assignment.candidates(tx, row, now)
    assert left
    assert all("inspector" in people.by_id(tx, one.id).roles_on(row) for one in left)


def test_a_named_inspector_goes_and_one_who_left_cannot_be_named(tx, acceptor):
    made = cases.report(tx, acceptor, a_report(tx, channel="hotline"))
    gone = tx.execute(select(staff.c.id).where(staff.c.username == "inspector002")).scalar_one()
    named = tx.execute(select(staff.c.id).where(staff.c.username == "inspector003")).scalar_one()
    tx.execute(update(staff).where(staff.c.id == gone).values(active=False))
    with pytest.raises(errors.StaffUnknown):
        act(tx, made.id, "verify", acceptor, inspector=str(gone))
    handler = department_man(tx, row_of(tx, made.id).department_code)
    for nobody in (acceptor, handler):
        with pytest.raises(errors.StaffUnknown):
            act(tx, made.id, "verify", acceptor, inspector=str(nobody.id))
    act(tx, made.id, "verify", acceptor, inspector=str(named))
    assert row_of(tx, made.id).assignee_id == named
    cases.act(tx, made.id, "verify_false", people.by_id(tx, named), {"reason": "现场没有"})


def test_a_closed_department_gets_no_case_and_its_case_can_be_moved(tx, acceptor, leader, dispatcher):
    row = handling(tx, acceptor, leader, dispatcher)
    tx.execute(update(department).where(department.c.code == row.department_code).values(active=False))
    other = cases.report(tx, acceptor, a_report(tx))
    run(tx, other.id, ("accept", acceptor, {}), ("file", leader, {}))
    with pytest.raises(errors.DepartmentUnknown):
        act(tx, other.id, "dispatch", dispatcher)
    moved = "D02" if row.department_code != "D02" else "D03"
    act(tx, row.id, "reassign", dispatcher, department=moved, reason="部门撤并")
    assert row_of(tx, row.id).department_code == moved


def test_what_was_mended_on_the_spot_is_only_reviewed(tx, leader):
    inspector = someone(tx, "inspector001")
    sent = {"self_handled": True, "payload": {"result": "已扶正", "photos_after": PROOF}, "photos_after": (AFTER,)}
    with pytest.raises(errors.FieldMissing):
        cases.report(tx, inspector, a_report(tx, self_handled=True, payload={"result": "已扶正"}))
    made = cases.report(tx, inspector, a_report(tx, **sent))
    row = row_of(tx, made.id)
    assert (row.workflow, row.state) == ("fast", "reviewing")
    assert row.accepted_at == row.filed_at == row.reported_at
    assert cases.report(tx, inspector, Report(**{**vars(a_report(tx, **sent)), "id": made.id})).duplicate
    with pytest.raises(errors.FieldMissing):
        act(tx, made.id, "close", leader)
    act(tx, made.id, "close", leader, closing_condition=a_condition(tx, row))
    assert row_of(tx, made.id).status == "closed"


def a_condition(tx, row):
    return rulebook(tx).filing_standard.condition(row.category_kind, row.category_code).code


def test_who_mended_it_may_name_the_closing_condition_and_the_review_still_chooses(tx, leader, dispatcher):
    inspector = someone(tx, "inspector001")

    def mended(**more):
        payload = {"result": "已扶正", "photos_after": PROOF, **more}
        return cases.report(tx, inspector, a_report(tx, self_handled=True, payload=payload, photos_after=(AFTER,)))

    with pytest.raises(errors.ConditionUnknown):
        mended(closing_condition="没有这一条")
    plain = row_of(tx, mended().id)
    condition = a_condition(tx, plain)
    row = row_of(tx, mended(closing_condition=condition).id)
    assert (row.facts["closing_condition"], row.status) == (condition, "open")
    with pytest.raises(errors.FieldMissing):
        act(tx, row.id, "close", leader)
    act(tx, row.id, "convert", leader, reason="没有扶正")
    act(tx, row.id, "dispatch", dispatcher)
    act(tx, row.id, "handle", department_man(tx, row.department_code), result="已扶正")
    checker = inspector_of(tx, row.duty_grid_code)
    with pytest.raises(errors.FieldMissing):
        cases.act(tx, row.id, "check_pass", checker, {"photos": PROOF}, photos=[AFTER])
    cases.act(tx, row.id, "check_pass", checker, {"photos": PROOF, "closing_condition": condition}, photos=[AFTER])
    assert row_of(tx, row.id).status == "closed"


def test_what_was_mended_is_not_closed_without_a_photo_of_it(tx, leader):
    payload = {"result": "已扶正", "photos_after": PROOF}
    made = cases.report(tx, someone(tx, "inspector001"), a_report(tx, self_handled=True, payload=payload))
    with pytest.raises(errors.GuardRefuses):  # named, but never sent
        act(tx, made.id, "close", leader, closing_condition=a_condition(tx, row_of(tx, made.id)))


@pytest.mark.parametrize("code", ["standard", "fast"])
def test_nobody_but_a_leader_by_force_closes_without_a_condition(tx, code):
    flow = rulebook(tx).workflows[code]
    endings = {
        a.code: a.field("closing_condition")
        for a in flow.actions.values()
        if a.target != "=" and flow.states[a.target].status == "closed"
        if a.roles != {"system"} and any(flow.states[s].status == "open" for s in a.sources)
    }
    assert {c for c, field in endings.items() if field is None or not field.required} <= {"force_close"}
    assert len(endings) >= 2


def test_an_order_of_the_hotline_runs_to_the_call_back(tx, acceptor, leader, dispatcher):
    made = cases.report(tx, acceptor, a_report(tx, kind="hotline", channel="hotline", external_code="RX20261125001"))
    row = row_of(tx, made.id)
    assert (row.workflow, row.state) == ("hotline", "received")
    act(tx, made.id, "dispatch", dispatcher)
    manager = department_man(tx, row.department_code)
    act(tx, made.id, "sign", manager)
    assert row_of(tx, made.id).assignee_id == manager.id
    act(tx, made.id, "contact", manager, contacted="yes", note="已电话联系")
    due = row_of(tx, made.id).due_at
    act(tx, made.id, "ask_supplement", manager, reason="请说明楼号")
    assert row_of(tx, made.id).due_at is None
    act(tx, made.id, "supplement", acceptor, note="3 号楼")
    assert row_of(tx, made.id).due_at >= due
    act(tx, made.id, "handle", manager, result="已修复", solved_said="solved")
    act(tx, made.id, "pass_answer", leader)
    act(tx, made.id, "call_back", acceptor, contacted_said="yes", solved="yes", satisfaction="5")
    done = row_of(tx, made.id)
    assert done.status == "closed"
    assert {"contacted": "yes", "solved": "yes", "satisfaction": "5"}.items() <= done.facts.items()
    act(tx, made.id, "rate", people.reporter_of(made.id), satisfaction="4")
    assert row_of(tx, made.id).facts["satisfaction"] == "4"


def test_a_whistle_summons_notes_who_came_and_is_scored(tx, acceptor, leader):
    parent = cases.report(tx, acceptor, a_report(tx))
    call = {"summoned": ["D11", "D13"], "task": "路口占道经营反复", "meet_at": "2026-12-01T09:00:00+08:00"}
    wrong = a_report(tx, kind="whistle", payload=call | {"summoned": ["D99"]})
    with pytest.raises(errors.DepartmentUnknown):
        cases.report(tx, leader, wrong)
    assert tx.execute(select(case.c.id).where(case.c.id == wrong.id)).first() is None
    made = cases.report(tx, leader, a_report(tx, kind="whistle", payload=call, parent_id=parent.id))
    row = row_of(tx, made.id)
    assert (row.state, row.parent_id, row.facts["task"]) == ("summoned", parent.id, "路口占道经营反复")
    assert {"D11", "D13"} <= set(row.co_departments)
    police = department_man(tx, "D11")
    cases.act(tx, made.id, "arrive", police, {"people": "李队等 3 人"}, place=(row.lon, row.lat))
    [came] = tasks(tx, made.id, kind="summon", state="done")
    assert (came.department_code, came.result["distance_m"]) == ("D11", 0)
    act(tx, made.id, "begin", leader)
    act(tx, made.id, "conclude", leader, conclusion="联合整治，专人值守", solved="yes")
    with pytest.raises(errors.DepartmentUnknown):
        act(tx, made.id, "score", leader, scores={"D02": 5})
    act(tx, made.id, "score", leader, scores={"D11": 5, "D13": 1})
    scored = {t.department_code: (t.state, t.result["score"]) for t in tasks(tx, made.id)}
    assert scored == {"D11": ("done", 5), "D13": ("cancelled", 1)}
    assert row_of(tx, made.id).status == "closed"
    assert events.broken(tx, made.id) is None


def test_a_list_by_time_left_follows_the_running_limit(tx, acceptor, leader, dispatcher):
    waiting = cases.report(tx, acceptor, a_report(tx))
    row = handling(tx, acceptor, leader, dispatcher)
    assert row_of(tx, waiting.id).next_due_at == row_of(tx, waiting.id).stage_due_at
    assert row.next_due_at == row.due_at
    everything = someone(tx, "leader")
    seen, cursor = [], ""
    while True:
        page, cursor = search.find(tx, everything, search.CaseFilter(), order="due", cursor=cursor or "", limit=1)
        seen += [r.id for r in page]
        if cursor is None:
            break
    expected = tx.execute(select(case.c.id).order_by(case.c.next_due_at.asc().nulls_last(), case.c.id)).scalars().all()
    assert seen == expected
