"""The one write path: what is reported is kept once, what acts is chained, what is refused leaves nothing behind."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.exc import DBAPIError

from gis import cases, deadlines, definitions, errors, events, measures, people, search, stuck_timers
from gis.case_report import Report
from gis.case_rows import Photo
from gis.rulebook import rulebook
from gis.search import ZONE, CaseFilter
from gis.tables import case, case_event, component, delivery, stuck_timer, unit_grid

A_PHOTO = Photo(bytes(32), "image/jpeg", 1000)


def somewhere(tx, nth=0):
    """A point well inside the nth unit grid."""
    inner = func.st_pointonsurface(unit_grid.c.geom)
    row = tx.execute(
        select(func.st_x(inner), func.st_y(inner), unit_grid.c.code).order_by(unit_grid.c.code).offset(nth).limit(1)
    ).one()
    return row[0], row[1], row[2]


def a_report(tx, **changes):
    lon, lat, _ = somewhere(tx)
    values = {
        "catalogue": "cjt214-2007",
        "category_kind": "event",
        "category_code": "0102",
        "lon": lon,
        "lat": lat,
        "description": "垃圾暴露",
    }
    return Report(**values | changes)


def someone(tx, username):
    return people.by_username(tx, username)


def run(tx, case_id, *steps):
    """Take (action, caller, payload) steps in turn."""
    for action, caller, payload in steps:
        cases.act(tx, case_id, action, caller, payload)


def row_of(tx, case_id):
    return tx.execute(select(case).where(case.c.id == case_id)).one()


def department_man(tx, department):
    return someone(tx, f"manager_{department}")


def inspector_of(tx, duty_grid):
    found = tx.execute(
        text(
            "select s.username from staff s join staff_role r on r.staff_id = s.id"
            " where r.role = 'inspector' and r.scope = 'duty_grid' and r.scope_code = :g order by 1 limit 1"
        ),
        {"g": duty_grid},
    ).scalar_one()
    return someone(tx, found)


def test_a_report_finds_its_grid_its_department_and_is_chained(tx, acceptor):
    lon, lat, grid = somewhere(tx, 3)
    receipt = cases.report(tx, acceptor, a_report(tx, lon=lon, lat=lat))
    row = row_of(tx, receipt.id)
    assert row.unit_grid_code == grid
    assert row.village_code[:9] == grid[:9]
    assert row.department_code == receipt.department_code
    assert row.routing["rule_id"]
    assert row.state == "reported"
    assert receipt.number.startswith(rulebook(tx).number_prefix)
    assert events.broken(tx, receipt.id) is None
    waiting = tx.execute(select(func.count()).where(delivery.c.case_id == receipt.id)).scalar_one()
    assert waiting == len(events.CONSUMERS)


def test_sending_twice_is_harmless_and_other_content_is_a_conflict(tx, acceptor):
    sent = a_report(tx)
    first = cases.report(tx, acceptor, sent)
    again = cases.report(tx, acceptor, sent)
    assert (again.number, again.hash, again.duplicate) == (first.number, first.hash, True)
    assert tx.execute(select(func.count()).where(case_event.c.case_id == sent.id)).scalar_one() == 1
    with pytest.raises(errors.IdConflict):
        cases.report(tx, acceptor, a_report(tx, id=sent.id, description="另一件事"))


def test_a_resend_is_answered_whatever_the_town_has_changed_since(tx, acceptor):
    cover = tx.execute(select(component).where(component.c.category_code == "0102").limit(1)).one()
    values = {"category_kind": "component", "category_code": "0102", "lon": cover.lon, "lat": cover.lat}
    sent = a_report(tx, component_code=cover.code, **values)
    first = cases.report(tx, acceptor, sent)
    tx.execute(delete(component).where(component.c.code == cover.code))
    again = cases.report(tx, acceptor, sent)
    assert (again.number, again.hash, again.duplicate) == (first.number, first.hash, True)
    with pytest.raises(errors.IdConflict):
        cases.report(tx, acceptor, a_report(tx, id=sent.id, component_code=cover.code, description="另一", **values))
    with pytest.raises(errors.ComponentUnknown):
        cases.report(tx, acceptor, a_report(tx, component_code=cover.code, **values))
    assert cases.report(tx, someone(tx, "admin"), sent).number == first.number


def test_extra_facts_with_a_written_out_escape_are_kept(tx, acceptor):
    extra = {"path": "C:\\u0000", "deep": [{"n": 1.5}, "字"]}
    made = cases.report(tx, acceptor, a_report(tx, extra=extra))
    assert row_of(tx, made.id).extra == extra


def test_only_what_an_action_declares_is_kept_and_the_chain_holds(tx, acceptor):
    case_id = cases.report(tx, acceptor, a_report(tx)).id
    with pytest.raises(errors.Malformed):
        cases.act(tx, case_id, "accept", acceptor, {"colour": "red"})
    with pytest.raises(errors.Malformed):
        cases.act(tx, case_id, "void", acceptor, {"reason": "\x00"})
    cases.act(tx, case_id, "void", acceptor, {"reason": "重复"})
    assert events.broken(tx, case_id) is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"lon": 0.0, "lat": 0.0}, "null_island"),
        ({"lon": 40.11, "lat": 116.65}, "swapped_axes"),
        ({"lon": 471012.7, "lat": 4441798.4}, "wrong_crs"),
        ({"lon": 116.0, "lat": 39.0}, "outside_town"),
        ({"crs": "EPSG:0"}, "unknown_crs"),
        ({"category_code": "9999"}, "category_unknown"),
        ({"catalogue": "", "category_code": "0401"}, "category_ambiguous"),
        ({"category_name": "道路破损"}, "category_mismatch"),
        ({"component_code": "1101130101999999"}, "component_unknown"),
        ({"channel": "rumour"}, "malformed"),
        ({"description": "字" * 2001}, "malformed"),
        ({"description": "\x00"}, "malformed"),
        ({"address": "\ud800"}, "malformed"),
        ({"component_code": "11011301\x0001"}, "malformed"),
        ({"extra": {"a": float("nan")}}, "malformed"),
        ({"extra": {"a": ["\x00"]}}, "malformed"),
        ({"extra": {"\udfff": 1}}, "malformed"),
        ({"extra": {"a": "字" * 3400}}, "malformed"),
        ({"extra": {"a": object()}}, "malformed"),
        ({"occurred_at": datetime.now(UTC) + timedelta(days=1)}, "malformed"),
        ({"occurred_at": datetime(1, 1, 1, tzinfo=ZONE)}, "malformed"),
        ({"kind": "poem"}, "definition_unknown"),
        ({"catalogue": "gbt30428-2013", "category_code": "0102"}, "category_unknown"),
    ],
)
def test_bad_reports_are_refused_with_their_code_and_nothing_is_written(tx, acceptor, changes, code):
    before = tx.execute(select(func.count()).select_from(case)).scalar_one()
    with pytest.raises(errors.Problem) as caught:
        cases.report(tx, acceptor, a_report(tx, **changes))
    assert caught.value.code == code
    assert caught.value.title_zh != caught.value.title_en
    assert tx.execute(select(func.count()).select_from(case)).scalar_one() == before


def test_a_component_case_goes_to_a_unit_of_the_component(tx, acceptor):
    cover = tx.execute(select(component).where(component.c.category_code == "0102").limit(1)).one()
    sent = a_report(
        tx,
        category_kind="component",
        category_code="0102",
        component_code=cover.code,
        lon=cover.lon,
        lat=cover.lat,
    )
    row = row_of(tx, cases.report(tx, acceptor, sent).id)
    assert row.component_code == cover.code
    assert row.department_code in (cover.competent_unit, cover.owner_unit, cover.maintenance_unit)
    with pytest.raises(errors.CategoryMismatch):
        cases.report(
            tx, acceptor, a_report(tx, category_kind="component", category_code="0103", component_code=cover.code)
        )


def test_a_component_of_another_catalogue_takes_cases_of_the_class_the_mapping_names(tx, acceptor):
    lamp = tx.execute(select(component).where(component.c.category_code == "0118").limit(1)).one()

    def on(kind: str, code: str, catalogue: str = "cjt214-2007"):
        about = {"component_code": lamp.code, "lon": lamp.lon, "lat": lamp.lat, "catalogue": catalogue}
        return cases.report(tx, acceptor, a_report(tx, category_kind=kind, category_code=code, **about))

    def surveyed_as(code: str) -> None:
        values = {"catalogue": "gbt30428-2013", "category_code": code}
        tx.execute(update(component).where(component.c.code == lamp.code).values(values))

    native = row_of(tx, on("component", "0118").id)
    surveyed_as("0137")  # 路灯 is 0118 in 2007, 0137 in 2013
    mapped = row_of(tx, on("component", "0137", "gbt30428-2013").id)
    assert (mapped.catalogue, mapped.category_code) == ("cjt214-2007", "0118")
    assert mapped.component_code == lamp.code
    assert (mapped.department_code, mapped.routing["rule_id"]) == (native.department_code, native.routing["rule_id"])
    assert mapped.routing["trace"][0] == ("类别按对照表：gbt30428-2013 的 0137 路灯 即 cjt214-2007 的 0118 路灯")
    assert mapped.routing["trace"][1:] == native.routing["trace"]
    # Who codes it in the town's catalogue already says the same.
    assert row_of(tx, on("component", "0118").id).category_code == "0118"
    with pytest.raises(errors.CategoryMismatch) as other:
        on("component", "0101")
    assert "应为 0118 路灯" in other.value.title_zh

    surveyed_as("0306")  # 户外广告 is 灯箱霓虹灯 or 广告牌匾: the reporter says which
    with pytest.raises(errors.CategoryAmbiguous) as several:
        on("component", "0306", "gbt30428-2013")
    assert [one["code"] for one in several.value.detail["candidates"]] == ["0306", "0307"]
    assert row_of(tx, on("component", "0307").id).category_code == "0307"

    surveyed_as("0114")  # 园林井盖 is new in 2013
    with pytest.raises(errors.CategoryUnknown) as none:
        on("component", "0114", "gbt30428-2013")
    assert "0114 园林井盖" in none.value.title_zh
    with pytest.raises(errors.CategoryMismatch) as nothing:
        on("component", "0118")
    assert "可按事件上报" in nothing.value.title_zh
    assert row_of(tx, on("event", "0102").id).component_code == lamp.code
    with pytest.raises(errors.CategoryUnknown):
        on("event", "0102", "gbt30428-2013")


def test_the_whole_standard_flow_with_rework_decline_and_reassignment(tx, acceptor):
    leader, dispatcher = someone(tx, "shiftleader1"), someone(tx, "dispatcher1")
    case_id = cases.report(tx, acceptor, a_report(tx)).id
    owner = row_of(tx, case_id).department_code
    checker = inspector_of(tx, row_of(tx, case_id).duty_grid_code)
    run(tx, case_id, ("accept", acceptor, {}), ("file", leader, {}), ("dispatch", dispatcher, {}))
    first_due = row_of(tx, case_id).due_at
    assert first_due is not None
    run(tx, case_id, ("decline", department_man(tx, owner), {"reason": "不属我部门"}))
    declined = row_of(tx, case_id)
    assert (declined.state, declined.due_at, declined.return_count) == ("declined", None, 1)
    # The same department again: the clock goes on where it stood.
    run(tx, case_id, ("dispatch", dispatcher, {}))
    resumed = row_of(tx, case_id)
    assert resumed.clock["started_at"] == declined.clock["started_at"]
    other = "D02" if owner != "D02" else "D03"
    run(tx, case_id, ("reassign", dispatcher, {"department": other, "reason": "职责调整"}))
    moved = row_of(tx, case_id)
    assert moved.department_code == other
    assert moved.clock["pauses"] == []
    assert moved.clock["started_at"] > resumed.clock["started_at"]
    with pytest.raises(errors.CaseNotFound):
        cases.act(tx, case_id, "handle", department_man(tx, owner), {"result": "x"})
    run(
        tx,
        case_id,
        ("handle", department_man(tx, other), {"result": "已清理"}),
        ("check_fail", checker, {"reason": "未清净"}),
    )
    reworked = row_of(tx, case_id)
    assert (reworked.state, reworked.rework_count, reworked.handled_at) == ("handling", 1, None)
    run(
        tx,
        case_id,
        ("handle", department_man(tx, other), {"result": "再次清理"}),
        ("check_pass", checker, {}),
    )
    condition = rulebook(tx).filing_standard.condition("event", "0102").code
    with pytest.raises(errors.GuardRefuses):
        cases.act(tx, case_id, "close", leader, {"closing_condition": condition})
    with pytest.raises(errors.ConditionUnknown):
        cases.act(tx, case_id, "close", leader, {"closing_condition": "恢复", "photos": [A_PHOTO.sha256.hex()]})
    cases.act(
        tx,
        case_id,
        "close",
        leader,
        {"closing_condition": condition, "photos": [A_PHOTO.sha256.hex()]},
        photos=[A_PHOTO],
    )
    closed = row_of(tx, case_id)
    assert (closed.status, closed.state) == ("closed", "closed")
    assert closed.filed_at <= closed.dispatched_at <= closed.handled_at <= closed.checked_at <= closed.closed_at
    assert events.broken(tx, case_id) is None
    assert closed.seq == tx.execute(select(func.count()).where(case_event.c.case_id == case_id)).scalar_one()


def test_a_stale_page_is_told_who_acted(tx, acceptor):
    case_id = cases.report(tx, acceptor, a_report(tx)).id
    cases.act(tx, case_id, "accept", acceptor, {}, expected_seq=1)
    with pytest.raises(errors.StaleCase) as caught:
        cases.act(tx, case_id, "void", acceptor, {"reason": "重复"}, expected_seq=1)
    assert caught.value.detail["by"] == acceptor.name
    assert caught.value.detail["action"] == "accept"


def test_a_role_acts_only_inside_its_scope(tx, acceptor):
    case_id = cases.report(tx, acceptor, a_report(tx)).id
    with pytest.raises(errors.RoleForbids):
        cases.act(tx, case_id, "accept", someone(tx, "shiftleader1"), {})
    stranger = department_man(tx, "D02" if row_of(tx, case_id).department_code != "D02" else "D03")
    with pytest.raises(errors.CaseNotFound):
        cases.act(tx, case_id, "accept", stranger, {})
    with pytest.raises(errors.CaseNotFound):
        cases.act(tx, uuid4(), "accept", acceptor, {})


def test_overdue_is_recorded_once_at_the_due_time(tx, acceptor):
    leader, dispatcher = someone(tx, "shiftleader1"), someone(tx, "dispatcher1")
    case_id = cases.report(tx, acceptor, a_report(tx)).id
    run(tx, case_id, ("accept", acceptor, {}), ("file", leader, {}), ("dispatch", dispatcher, {}))
    due = row_of(tx, case_id).due_at
    assert deadlines.mark_overdue(tx, now=due - timedelta(seconds=1)) == 0
    assert deadlines.mark_overdue(tx, now=due + timedelta(seconds=1)) == 1
    assert deadlines.mark_overdue(tx, now=due + timedelta(seconds=2)) == 0
    assert row_of(tx, case_id).overdue_at <= due


def in_handling(tx, acceptor, ago):
    """A case dispatched that long ago; returns its row."""
    then = datetime.now(UTC) - ago
    sent = a_report(tx, occurred_at=then, reported_at=then)
    case_id = cases.report(tx, acceptor, sent).id
    steps = (("accept", acceptor), ("file", someone(tx, "shiftleader1")), ("dispatch", someone(tx, "dispatcher1")))
    for action, caller in steps:
        cases.act(tx, case_id, action, caller, {}, at=then, trusted=True)
    return row_of(tx, case_id)


def story(tx, case_id):
    rows = tx.execute(select(case_event).where(case_event.c.case_id == case_id).order_by(case_event.c.seq)).all()
    return {row.action: row for row in rows}


def other_than(row):
    return next(d for d in ("D02", "D03", "D04") if d != row.department_code and d not in row.co_departments)


def overdue_of(tx, case_id):
    """Day and department of the case's share in the overdue figure."""
    found = tx.execute(measures.contributions(["overdue"]).where(case.c.id == case_id)).all()
    return [(row.department_code, row.n) for row in found]


def test_a_late_step_told_as_punctual_is_judged_by_its_arrival(tx, acceptor):
    row = in_handling(tx, acceptor, timedelta(days=40))
    claim = row.dispatched_at + timedelta(minutes=1)
    manager = department_man(tx, row.department_code)
    cases.act(tx, row.id, "handle", manager, {"result": "已清理"}, at=claim)
    after, told = row_of(tx, row.id), story(tx, row.id)["handle"]
    assert claim < row.due_at < after.handled_at
    assert told.happened_at == claim
    assert datetime.fromisoformat(told.payload["judged_at"]) == after.handled_at
    assert after.overdue_at == row.due_at
    assert events.broken(tx, row.id) is None


def test_a_phone_that_was_offline_for_a_while_is_believed(tx, acceptor):
    row = in_handling(tx, acceptor, timedelta(minutes=50))
    claim = datetime.now(UTC) - timedelta(minutes=20)
    cases.act(tx, row.id, "handle", department_man(tx, row.department_code), {"result": "已清理"}, at=claim)
    assert row_of(tx, row.id).handled_at == claim
    assert "judged_at" not in story(tx, row.id)["handle"].payload


def test_after_a_step_judged_by_its_arrival_nothing_is_judged_earlier(tx, acceptor):
    row = in_handling(tx, acceptor, timedelta(days=40))
    cases.act(tx, row.id, "handle", department_man(tx, row.department_code), {"result": "好"}, at=row.dispatched_at)
    checker = inspector_of(tx, row.duty_grid_code)
    cases.act(tx, row.id, "check_pass", checker, {}, at=datetime.now(UTC) - timedelta(minutes=20))
    after = row_of(tx, row.id)
    assert after.checked_at == after.handled_at


@pytest.mark.parametrize("action", ["handle", "decline", "reassign"])
def test_a_lateness_the_relay_did_not_see_is_recorded_with_the_step(tx, acceptor, action):
    row = in_handling(tx, acceptor, timedelta(days=40))
    manager, dispatcher = department_man(tx, row.department_code), someone(tx, "dispatcher1")
    steps = {
        "handle": (manager, {"result": "已清理"}),
        "decline": (manager, {"reason": "不属我部门"}),
        "reassign": (dispatcher, {"reason": "职责调整", "department": other_than(row)}),
    }
    cases.act(tx, row.id, action, *steps[action], expected_seq=row.seq)
    told = story(tx, row.id)
    assert told["timeout"].seq + 1 == told[action].seq
    assert told["timeout"].happened_at == row.due_at
    assert told["timeout"].payload["late_department"] == row.department_code
    assert overdue_of(tx, row.id) == [(row.department_code, 1)]
    assert events.broken(tx, row.id) is None


def test_each_department_has_its_own_lateness(tx, acceptor):
    row = in_handling(tx, acceptor, timedelta(days=40))
    other = other_than(row)
    assert deadlines.mark_overdue(tx) >= 1
    reassigned = {"department": other, "reason": "职责调整"}
    cases.act(tx, row.id, "reassign", someone(tx, "dispatcher1"), reassigned)
    fresh = row_of(tx, row.id)
    assert fresh.overdue_at is None
    assert overdue_of(tx, row.id) == [(row.department_code, 1)]
    assert deadlines.mark_overdue(tx, now=fresh.due_at + timedelta(seconds=1)) >= 1
    late = row_of(tx, row.id)
    assert late.overdue_at is not None
    assert [entry["department"] for entry in late.clock["late"]] == [row.department_code, other]
    assert overdue_of(tx, row.id) == [(other, 1)]


def test_a_lateness_is_withdrawn_when_the_phone_had_only_been_offline(tx, acceptor):
    row = in_handling(tx, acceptor, timedelta(days=40))
    due = datetime.now(UTC) - timedelta(minutes=5)
    tx.execute(update(case).where(case.c.id == row.id).values(due_at=due))
    assert deadlines.mark_overdue(tx) >= 1
    manager = department_man(tx, row.department_code)
    cases.act(tx, row.id, "handle", manager, {"result": "已清理"}, at=due - timedelta(minutes=5))
    after = row_of(tx, row.id)
    assert (after.handled_at, after.overdue_at) == (due - timedelta(minutes=5), None)
    assert overdue_of(tx, row.id) == []


def test_a_case_that_refuses_holds_up_no_other(tx, acceptor, monkeypatch):
    stuck, fine = (in_handling(tx, acceptor, timedelta(days=n)) for n in (41, 40))
    act = cases.act

    def refusing(tx, case_id, *rest, **more):
        if case_id == stuck.id:
            raise errors.BeyondCalendar()
        return act(tx, case_id, *rest, **more)

    monkeypatch.setattr(cases, "act", refusing)
    assert deadlines.mark_overdue(tx, limit=1) == 1
    assert row_of(tx, fine.id).overdue_at is not None
    assert row_of(tx, stuck.id).overdue_at is None


@pytest.mark.parametrize("fault", ["error", "database"])
def test_whatever_fails_is_written_down_and_tried_again_later_and_later(tx, acceptor, monkeypatch, fault):
    stuck, fine = (in_handling(tx, acceptor, timedelta(days=n)) for n in (41, 40))
    act, tried = cases.act, []

    def failing(tx, case_id, *rest, **more):
        tried.append(case_id)
        if case_id == stuck.id and fault == "database":
            tx.execute(text("select 1 / 0"))
        if case_id == stuck.id:
            raise RuntimeError("no such thing")
        return act(tx, case_id, *rest, **more)

    monkeypatch.setattr(cases, "act", failing)
    start = datetime.now(UTC)
    assert deadlines.mark_overdue(tx, now=start) == 1
    assert row_of(tx, fine.id).overdue_at is not None
    [told] = stuck_timers.listed(tx)
    assert (told["case_id"], told["number"], told["kind"]) == (stuck.id, stuck.number, "overdue")
    assert ("no such thing" if fault == "error" else "division by zero") in told["error"]
    moments = [start]
    for _ in range(3):
        next_at = stuck_timers.listed(tx)[0]["next_at"]
        deadlines.mark_overdue(tx, now=next_at - timedelta(milliseconds=1))
        deadlines.mark_overdue(tx, now=next_at)
        moments.append(next_at)
    waits = [later - sooner for sooner, later in pairwise(moments)]
    assert waits == sorted(set(waits))
    assert tried.count(stuck.id) == 4, "once at the start and once each time its time has come"
    told = stuck_timers.listed(tx)[0]
    assert (told["attempts"], told["since"]) == (4, start)

    monkeypatch.setattr(cases, "act", act)
    assert deadlines.mark_overdue(tx, now=told["next_at"]) == 1
    assert (stuck_timers.listed(tx), stuck_timers.count(tx)) == ([], 0)
    deadlines.mark_overdue(tx, now=told["next_at"])
    assert tx.scalar(select(func.count()).select_from(stuck_timer)) == 0


def test_cases_whose_workflow_records_no_lateness_are_not_even_tried(tx, acceptor, monkeypatch):
    without, fine = (in_handling(tx, acceptor, timedelta(days=n)) for n in (41, 40))
    body = definitions.current(tx, "workflow", "standard").body
    body = body | {"code": "plain", "actions": [a for a in body["actions"] if a["code"] != "timeout"]}
    version = definitions.publish(tx, "workflow", "plain", body, datetime(2020, 1, 1, tzinfo=UTC))
    tx.execute(update(case).where(case.c.id == without.id).values(workflow="plain", workflow_version=version))
    tried, act = [], cases.act
    monkeypatch.setattr(cases, "act", lambda tx, case_id, *a, **k: tried.append(case_id) or act(tx, case_id, *a, **k))
    assert deadlines.mark_overdue(tx, limit=1) == 1
    assert tried == [fine.id]
    assert row_of(tx, without.id).overdue_at is None


@pytest.mark.parametrize("statement", [update(case_event).values(actor="x"), delete(case_event)])
def test_the_database_refuses_to_change_history(tx, acceptor, statement):
    cases.report(tx, acceptor, a_report(tx))
    with pytest.raises(DBAPIError), tx.begin_nested():
        tx.execute(statement)


def test_list_pages_hold_every_visible_case_once(tx, acceptor):
    made = {cases.report(tx, acceptor, a_report(tx)).id for _ in range(7)}
    for order in ("newest", "due"):
        seen, cursor = [], ""
        while True:
            rows, following = search.find(tx, acceptor, CaseFilter(), order=order, cursor=cursor, limit=3)
            seen += [row.id for row in rows]
            if following is None:
                break
            cursor = following
        assert len(seen) == len(set(seen))
        assert made <= set(seen)
        assert len(seen) == search.count(tx, acceptor, CaseFilter())
    with pytest.raises(errors.BadCursor):
        search.find(tx, acceptor, CaseFilter(), cursor="zzz")


def test_each_caller_sees_just_their_rows(tx, acceptor):
    case_id = cases.report(tx, acceptor, a_report(tx)).id
    row = row_of(tx, case_id)
    owner = row.department_code
    inspector = inspector_of(tx, row.duty_grid_code)
    stranger = department_man(tx, "D02" if owner != "D02" and "D02" not in row.co_departments else "D03")
    mine = CaseFilter(q=row.number)
    assert search.count(tx, department_man(tx, owner), mine) == 1
    assert search.count(tx, inspector, mine) == 1
    assert search.count(tx, stranger, mine) == 0
    assert search.count(tx, someone(tx, "admin"), mine) == 0


def test_words_are_found_anywhere_in_description_and_address(tx, acceptor):
    told = (("东侧井盖破损，50%_坏", "顺平路12号"), ("墙上张贴小广告", "井盖厂西门"), ("井上有盖", ""), ("", ""))
    ids = [cases.report(tx, acceptor, a_report(tx, description=words, address=address)).id for words, address in told]
    for q in (
        "井盖",
        "井",
        "盖破损，5",
        "50%_",
        "0%",
        "顺平路12号",
        "破损，50%_坏顺",
        "广告 井",
        "\\",
        "小广告",
        "x" * 90,
    ):
        found, _ = search.find(tx, acceptor, CaseFilter(q=q))
        expected = {i for i, (words, address) in zip(ids, told, strict=True) if q in words or q in address}
        assert {row.id for row in found} & set(ids) == expected, q
