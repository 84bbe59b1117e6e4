"""Intake: facts of a point are what a report gets; similar cases by place and time; forms, promises, blocks."""

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text, update

from gis import case_report, cases, errors, geometry, intake, intake_form, people, personal, search
from gis.case_report import Report
from gis.intake import Asked
from gis.intake_form import Promise
from gis.rulebook import rulebook
from gis.tables import case, case_code, case_event, case_person, case_task, component, unit_grid

TODAY = datetime.now(search.ZONE).date()
ORDER = {
    "order_no": "BJ-1",
    "caller_name": "欧阳先生",
    "caller_phone": "138 0000 1234",
    "appeal_type": "help",
    "appeal_matter": "help_clean",
    "reply_by": (TODAY + timedelta(days=3)).isoformat(),
}
TIP = ORDER | {"appeal_type": "tell", "appeal_matter": "tell_dumping"}


@pytest.fixture
def spot(tx):
    inner = func.st_pointonsurface(unit_grid.c.geom)
    lon, lat = tx.execute(select(func.st_x(inner), func.st_y(inner)).order_by(unit_grid.c.code).limit(1)).one()
    return lon, lat


def a_report(spot, **changes):
    values = {"catalogue": "cjt214-2007", "category_kind": "event", "category_code": "0102", "description": "垃圾"}
    return Report(**values | {"lon": spot[0], "lat": spot[1]} | changes)


def an_order(spot, form=ORDER, **changes):
    return a_report(spot, channel="hotline", form=form, **changes)


def row_of(tx, case_id):
    return tx.execute(select(case).where(case.c.id == case_id)).one()


# --- Facts ------------------------------------------------------------------------------------------------------


def test_what_intake_foretells_is_what_a_report_gets(tx, acceptor):
    """Over categories, channels, components and places of the whole town."""
    inner = func.st_pointonsurface(unit_grid.c.geom)
    spots = tx.execute(select(func.st_x(inner), func.st_y(inner)).order_by(func.md5(unit_grid.c.code)).limit(12)).all()
    things = tx.execute(select(component).order_by(func.md5(component.c.code)).limit(12)).all()
    catalogue = rulebook(tx).catalogues["cjt214-2007"]
    events = [c for c in catalogue if c.kind == "event"]
    asked = [
        Asked(lon, lat, channel=channel, category_kind="event", category_code=events[5 * n % len(events)].code)
        for n, ((lon, lat), channel) in enumerate(zip(spots, ("patrol", "public", "video", "leader") * 3, strict=True))
    ] + [
        Asked(t.lon, t.lat, category_kind="component", category_code=t.category_code, component_code=t.code)
        for t in things
    ]
    for one in asked:
        told = intake.facts(tx, acceptor, one)
        made = cases.report(
            tx,
            acceptor,
            Report(
                catalogue="cjt214-2007",
                category_kind=one.category_kind,
                category_code=one.category_code,
                component_code=one.component_code,
                channel=one.channel,
                lon=one.lon,
                lat=one.lat,
            ),
        )
        row = row_of(tx, made.id)
        plan = told["plan"]
        assert (plan["department"] or {}).get("code") == row.department_code
        assert [d["code"] for d in plan["co_departments"]] == row.co_departments
        assert {"rule_id": plan["rule_id"], "trace": plan["trace"]} == row.routing
        assert plan["workflow"]["code"] == row.workflow
        assert (told["unit_grid_code"], told["village"]["code"]) == (row.unit_grid_code, row.village_code)
        assert (told["duty_grid"]["code"], told["area_class"]) == (row.duty_grid_code, row.area_class)
        if one.component_code:
            assert told["components"][0]["distance_m"] < 1
            near = next(c for c in told["components"] if c["code"] == one.component_code)
            units = near["maintenance"]
            assert units["name"]


def test_the_due_time_is_that_of_a_case_dispatched_now(tx, acceptor, spot):
    now = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)  # a Friday, 17:00 in Beijing
    asked = Asked(*spot, category_kind="component", category_code="0101")
    plan = intake.facts(tx, acceptor, asked, now)["plan"]
    assert plan["limit"] == {"zh": "2 紧急工作时", "en": plan["limit"]["en"]}
    assert plan["due_at"] == now + timedelta(hours=2)
    assert [c["code"] for c in plan["conditions"]] == ["01", "02", "03"]
    later = intake.facts(
        tx, acceptor, Asked(*spot, category_kind="component", category_code="0101", condition_code="02"), now
    )
    days = {"A": 2, "B": 3, "C": 4}[later["area_class"]]
    assert later["plan"]["limit"]["zh"] == f"{days} 工作日"
    assert (
        later["plan"]["due_at"].astimezone(search.ZONE).isoformat()
        == {
            2: "2026-12-01T17:00:00+08:00",
            3: "2026-12-02T17:00:00+08:00",
            4: "2026-12-03T17:00:00+08:00",
        }[days]
    )


def test_categories_are_suggested_with_the_reason(tx, acceptor):
    lamp = tx.execute(select(component).where(component.c.category_code == "0118").limit(1)).one()
    asked = Asked(lamp.lon, lamp.lat, words="这里有人乱倒垃圾")
    found = intake.facts(tx, acceptor, asked)["suggestions"]
    assert (found[0]["kind"], found[0]["code"]) == ("event", "0102")
    assert "垃圾" in found[0]["why"][0]["zh"]
    assert any(one["code"] == "0118" and "路灯" in one["why"][0]["zh"] for one in found)
    by_name = intake.facts(tx, acceptor, Asked(lamp.lon, lamp.lat, words="lubp 露天烧烤"))["suggestions"]
    assert by_name[0]["name"] == "露天烧烤"
    for _ in range(3):
        cases.report(tx, acceptor, a_report((lamp.lon, lamp.lat), category_code="0513"))
    usual = intake.facts(tx, acceptor, Asked(lamp.lon, lamp.lat))["suggestions"]
    assert any(one["code"] == "0513" and "3 件" in one["why"][0]["zh"] for one in usual)


def test_every_category_is_found_by_name_pinyin_and_initials(tx):
    found = {(c["kind"], c["code"]): c["search"] for c in intake.categories(rulebook(tx))}
    assert all(word in found["event", "0102"] for word in ("暴露垃圾", "baolulaji", "bllj", "0102", "臭"))
    assert len(found) == len(rulebook(tx).catalogues["cjt214-2007"])


# --- Similar cases ------------------------------------------------------------------------------------------------


def test_similar_cases_are_within_50_metres_and_24_hours_the_same_thing_first(tx, acceptor):
    bins = select(component).where(component.c.category_code == "0305").order_by(component.c.lat)
    thing = tx.execute(bins.limit(1)).first()  # the southernmost: the town goes on for 51 m to its north
    now = datetime.now(UTC)
    _, north = geometry.metres_per_degree(thing.lat)

    def at(metres, hours=1.0, **changes):
        values = {"category_code": "0103", "reported_at": now - timedelta(hours=hours)} | changes
        return cases.report(tx, acceptor, a_report((thing.lon, thing.lat + metres / float(north)), **values)).id

    bin_full = {"category_kind": "component", "category_code": "0305"}
    near, at_49 = at(5), at(49)
    at_51, at_25_hours, at_23_hours = at(51), at(4, hours=25), at(4, hours=23)
    same_class, same_thing = at(40, **bin_full), at(45, **bin_full, component_code=thing.code)
    group = at(30, category_kind="component", category_code="0304")
    closed = at(3)
    tx.execute(update(case).where(case.c.id == closed).values(status="closed"))
    asked = Asked(thing.lon, thing.lat, component_code=thing.code, **bin_full)
    found = intake.similar(tx, acceptor, asked, now)
    mine = [(row.id, why) for row, _, why in found]
    assert mine == [
        (same_thing, "component"),
        (same_class, "category"),
        (group, "group"),
        (at_23_hours, "near"),
        (near, "near"),
        (at_49, "near"),
    ]
    assert not {at_51, at_25_hours, closed} & {one for one, _ in mine}
    assert [round(metres) for _, metres, _ in found] == [45, 40, 30, 4, 5, 49]
    handler = people.by_username(tx, "handler_D03_1")
    seen = {row.id for row, _, _ in intake.similar(tx, handler, asked, now)}
    visible = set(tx.execute(search.visible_cases(handler).with_only_columns(case.c.id)).scalars())
    assert seen == visible & {one for one, _ in mine}


# --- Forms and numbers --------------------------------------------------------------------------------------------


def test_a_report_is_judged_by_its_form(tx, acceptor, spot):
    for form in ({}, ORDER | {"appeal_matter": "tell_trade"}, ORDER | {"more": 1}):
        with pytest.raises(errors.FormInvalid):
            cases.report(tx, acceptor, an_order(spot, form))
    assert tx.execute(select(func.count()).select_from(case_code)).scalar() == 0
    with pytest.raises(errors.FormInvalid):
        cases.report(tx, acceptor, a_report(spot, channel="sensor", form={"a": 1}))
    made = cases.report(tx, acceptor, an_order(spot, ORDER | {"call_time": "morning"}))
    kept = row_of(tx, made.id).extra["form"]
    assert kept == {name: ORDER[name] for name in ("order_no", "appeal_type", "appeal_matter", "reply_by")}
    assert cases.report(tx, acceptor, a_report(spot, channel="hotline")).id, "who knows no forms is not judged"


def test_callers_are_sealed_everywhere_and_shown_masked(tx, acceptor, spot):
    made = cases.report(tx, acceptor, an_order(spot))
    everything = json.dumps(
        [
            dict(row._mapping)
            for table in (case, case_event, case_person, case_code)
            for row in tx.execute(select(table))
        ],
        default=lambda v: bytes(v).hex() if isinstance(v, bytes | memoryview) else str(v),
        ensure_ascii=False,
    )
    assert "13800001234" not in everything
    assert "欧阳" not in everything
    row = row_of(tx, made.id)
    shown = {one["name"]: one["value"] for one in intake_form.shown(tx, rulebook(tx), row._mapping)}
    assert (shown["caller_phone"], shown["caller_name"]) == ("138****1234", "欧**")
    assert intake_form.people_of(tx, made.id) == {"caller_phone": "13800001234", "caller_name": "欧阳先生"}
    sent = an_order(spot)
    assert sent.digest() != case_report.sm3(case_report._canonical({"form": dict(ORDER)})), (
        "no digest that guesses could be tried on"
    )


def test_one_number_of_a_channel_is_one_case(tx, acceptor, spot):
    first = cases.report(tx, acceptor, an_order(spot))
    again = cases.report(tx, acceptor, an_order(spot, description="同一工单又来一次", category_code="0103"))
    assert (again.id, again.number, again.duplicate) == (first.id, first.number, True)
    other = cases.report(tx, acceptor, an_order(spot, ORDER | {"order_no": "BJ-2"}))
    assert other.id != first.id
    elsewhere = a_report(
        spot, channel="superior", form={"platform_no": "BJ-1", "level": "city", "report_by": ORDER["reply_by"]}
    )
    assert cases.report(tx, acceptor, elsewhere).id != first.id, "another channel's number is another number"
    assert intake.by_code(tx, acceptor, "BJ-2") == other.id
    assert intake.by_code(tx, acceptor, first.number.lower()) == first.id
    assert intake.by_code(tx, acceptor, first.query_code) == first.id
    village = people.by_username(tx, "handler_D12_1")
    if first.department_code != "D12":
        with pytest.raises(errors.CaseNotFound):
            intake.by_code(tx, village, first.number)


def test_earlier_cases_of_the_same_caller_are_known(tx, acceptor, spot):
    first = cases.report(tx, acceptor, an_order(spot))
    second = cases.report(tx, acceptor, an_order(spot, ORDER | {"order_no": "2", "caller_phone": "+86 13800001234"}))
    cases.report(tx, acceptor, an_order(spot, ORDER | {"order_no": "3", "caller_phone": "13900001234"}))
    assert [r.id for r in tx.execute(intake_form.earlier_of_case(acceptor, second.id))] == [first.id]
    known = {r.id for r in tx.execute(intake_form.earlier_of_phone(acceptor, "138-0000-1234"))}
    assert known == {first.id, second.id}


def test_a_blocked_caller_is_heard_only_about_danger(tx, acceptor, spot):
    entry = intake_form.block(tx, acceptor, "13800001234", "多次谎报", TODAY)
    with pytest.raises(errors.CallerBlocked) as refused:
        cases.report(tx, acceptor, an_order(spot))
    assert refused.value.detail == {"reason": "多次谎报", "until": TODAY.isoformat()}
    cases.report(tx, acceptor, an_order(spot, ORDER | {"caller_phone": "13900001234"}))
    cases.report(tx, acceptor, an_order(spot, ORDER | {"order_no": "danger"}, severity=3))
    intake_form.lift(tx, acceptor, entry, "查明属实")
    cases.report(tx, acceptor, an_order(spot, ORDER | {"order_no": "lifted"}))
    with pytest.raises(errors.NotFound):
        intake_form.lift(tx, acceptor, entry, "again")
    intake_form.block(tx, acceptor, "13800001234", "已过期", TODAY - timedelta(days=1))
    cases.report(tx, acceptor, an_order(spot, ORDER | {"order_no": "past"}))


def test_a_promise_opens_a_task_and_a_broken_one_ends_promising(tx, acceptor, spot):
    until = TODAY + timedelta(days=5)
    with pytest.raises(errors.FormInvalid):
        cases.report(tx, acceptor, an_order(spot, TIP))
    made = cases.report(tx, acceptor, an_order(spot, TIP, promise=Promise(("evidence",), until)))
    task = tx.execute(select(case_task).where(case_task.c.case_id == made.id)).one()
    assert (task.kind, task.note, task.state) == ("commitment", "evidence", "open")
    assert task.due_at.astimezone(search.ZONE).date() == until + timedelta(days=1)
    told = tx.execute(select(case_event.c.payload).where(case_event.c.case_id == made.id)).scalar_one()
    assert told["promised"] == {"fields": ["evidence"], "until": until.isoformat()}
    for late in (TODAY - timedelta(days=1), TODAY + timedelta(days=61)):
        with pytest.raises(errors.Malformed):
            cases.report(tx, acceptor, an_order(spot, TIP | {"order_no": "x"}, promise=Promise(("evidence",), late)))
    tx.execute(text("update intake_exception set until = :day"), {"day": TODAY - timedelta(days=1)})
    again = an_order(spot, TIP | {"order_no": "y"}, promise=Promise(("evidence",), until))
    with pytest.raises(errors.CommitmentBroken):
        cases.report(tx, acceptor, again)
    full = TIP | {"order_no": "z", "evidence": ["ab" * 32]}
    cases.report(tx, acceptor, an_order(spot, full, promise=Promise(("evidence",), until)))


def test_a_kept_promise_is_lifted_with_its_task(tx, acceptor, spot):
    """Whatever has become of the case: handing in ends the task and lifts the promise, in one step or not at all."""
    until = TODAY + timedelta(days=5)
    made, other = (
        cases.report(tx, acceptor, an_order(spot, TIP | {"order_no": number}, promise=Promise(("evidence",), until)))
        for number in ("kept", "owed")
    )
    plain = cases.report(tx, acceptor, an_order(spot, ORDER | {"order_no": "plain"}))
    with pytest.raises(errors.GuardRefuses):
        cases.act(tx, plain.id, "hand_in", acceptor, {"note": "照片三张"})
    tx.execute(text("update intake_exception set until = :day"), {"day": TODAY - timedelta(days=1)})
    with pytest.raises(errors.FieldMissing):
        cases.act(tx, made.id, "hand_in", acceptor, {})
    assert len(intake_form.exceptions(tx, acceptor)) == 2
    cases.act(tx, made.id, "hand_in", acceptor, {"note": "照片三张"})
    [left] = intake_form.exceptions(tx, acceptor)
    assert left["number"] == other.number
    task = tx.execute(select(case_task).where(case_task.c.case_id == made.id)).one()
    assert (task.state, task.result["note"]) == ("done", "照片三张")
    lifted = tx.execute(text("select lifted_by, lift_reason from intake_exception where lifted_at is not null")).one()
    assert tuple(lifted) == (acceptor.name, "补交承诺材料")
    with pytest.raises(errors.GuardRefuses):
        cases.act(tx, made.id, "hand_in", acceptor, {"note": "again"})
    ended = {"state": "closed", "status": "closed", "closed_at": datetime.now(UTC)}
    tx.execute(update(case).where(case.c.id == other.id).values(ended))
    cases.act(tx, other.id, "hand_in", acceptor, {"note": "结案后补交"})
    cases.report(tx, acceptor, an_order(spot, TIP | {"order_no": "n"}, promise=Promise(("evidence",), until)))


def test_another_ones_number_gives_nothing_away(tx, acceptor, spot):
    """Who may not see the case of a number learns that it is taken, and nothing of the case."""
    first = cases.report(tx, acceptor, an_order(spot))
    beat = row_of(tx, first.id).duty_grid_code
    everyone = (people.by_username(tx, f"inspector{n:03}") for n in range(1, 9))
    inspector = next(one for one in everyone if beat not in one.scope.duty_grids)
    with pytest.raises(errors.ExternalTaken) as refused:
        cases.report(tx, inspector, an_order(spot))
    body = str(refused.value.body())
    assert not any(told in body for told in (first.query_code, first.number, str(first.id)))
    mine = an_order(spot, ORDER | {"order_no": "mine"}, id=uuid4())
    assert not cases.report(tx, inspector, mine).duplicate
    again = cases.report(tx, inspector, an_order(spot, ORDER | {"order_no": "mine"}))
    assert (again.id, again.duplicate) == (mine.id, True)


def test_a_sensors_alarm_has_its_form(tx, acceptor, spot):
    form = {"alarm_no": "A-1", "device_no": "YW-7", "device_type": "water"}
    with pytest.raises(errors.FormInvalid):
        cases.report(tx, acceptor, a_report(spot, channel="sensor", form=form))
    sent = a_report(spot, channel="sensor", form=form | {"reading": "32 cm"})
    made = cases.report(tx, acceptor, sent)
    assert row_of(tx, made.id).extra["form"] == form | {"reading": "32 cm"}
    assert cases.report(tx, acceptor, a_report(spot, channel="sensor", form=form | {"reading": "40 cm"})).duplicate


def test_campaigns_are_proposed_and_only_fitting_tags_are_kept(tx, acceptor, spot):
    november = datetime(2026, 11, 20, tzinfo=UTC)
    asked = Asked(*spot, category_kind="event", category_code="0102")
    assert [c["code"] for c in intake.facts(tx, acceptor, asked, november)["campaigns"]] == ["winter-2026"]
    summer = datetime(2026, 7, 1, tzinfo=UTC)
    assert intake.facts(tx, acceptor, asked, summer)["campaigns"] == []
    sent = a_report(spot, tags=("winter-2026",), reported_at=november, id=uuid4())
    made = cases.report(tx, acceptor, sent)
    assert row_of(tx, made.id).tags == ["winter-2026"]
    for wrong in (a_report(spot, tags=("nosuch",)), a_report(spot, tags=("winter-2026",), category_code="0501")):
        with pytest.raises(errors.TagUnknown):
            cases.report(tx, acceptor, wrong)
    with pytest.raises(errors.TagUnknown):
        cases.report(tx, acceptor, a_report(spot, tags=("winter-2026",), reported_at=summer))


def test_the_same_report_sent_twice_is_one_case_whatever_its_form_holds(tx, acceptor, spot):
    video = {"camera": "C-1", "watch": "live", "snapshot": ["ab" * 32]}
    sent = a_report(spot, channel="video", form=video, id=uuid4())
    first = cases.report(tx, acceptor, sent)
    assert cases.report(tx, acceptor, sent).duplicate
    with pytest.raises(errors.IdConflict):
        cases.report(tx, acceptor, a_report(spot, channel="video", form=video | {"camera": "C-2"}, id=first.id))
    assert personal.keyed("report", b"x") != personal.keyed("other", b"x")
