"""Intake over HTTP: facts and similar cases within one's rights, forms, guides, masked callers, the register, codes."""

import hashlib
import json
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from gis import accounts, cases, db, definitions, people
from gis.search import ZONE
from gis.settings import Settings, settings
from tests.api.test_cases import a_photo, a_report

TODAY = datetime.now(ZONE).date()
ORDER = {
    "order_no": "BJ-20261120-1",
    "caller_name": "欧阳先生",
    "caller_phone": "138 0000 1234",
    "appeal_type": "help",
    "appeal_matter": "help_clean",
    "reply_by": (TODAY + timedelta(days=3)).isoformat(),
}


def an_order(spot, **changes):
    return a_report(spot, channel="hotline", form=ORDER | changes)


def test_facts_and_the_receipt_agree(client, login, spot):
    headers = login("acceptor1")
    asked = {"lon": spot["lon"], "lat": spot["lat"], "category_kind": "event", "category_code": "0102"}
    told = client.get("/api/intake/facts", params=asked, headers=headers).json()
    made = client.post("/api/cases", json=a_report(spot), headers=headers).json()
    assert told["plan"]["department"]["code"] == made["department"]["code"]
    assert told["unit_grid_code"] == made["unit_grid_code"]
    near = client.get("/api/intake/similar", params=asked, headers=headers).json()
    assert [(item["id"], item["why"], item["distance_m"]) for item in near["items"]] == [(made["id"], "category", 0.0)]
    assert (near["radius_m"], near["hours"]) == (50.0, 24.0)
    stranger = client.get("/api/intake/similar", params=asked, headers=login("handler_D03_1"))
    assert (stranger.status_code, stranger.json()["code"]) == (403, "forbidden")


def test_a_component_of_another_catalogue_is_offered_and_taken_under_its_class_here(client, login):
    headers = login("acceptor1")
    one = client.get("/api/components?category=0118&limit=1", headers=headers).json()["items"][0]

    def surveyed_as(catalogue, category):
        statement = text("update component set catalogue = :catalogue, category_code = :category where code = :code")
        with db.transaction() as tx:
            tx.execute(statement, {"catalogue": catalogue, "category": category, "code": one["code"]})

    surveyed_as("gbt30428-2013", "0137")
    try:
        told = client.get("/api/intake/facts", params={"lon": one["lon"], "lat": one["lat"]}, headers=headers).json()
        near = next(found for found in told["components"] if found["code"] == one["code"])
        assert (near["category_code"], near["case_categories"]) == ("0137", ["0118"])
        assert ("component", "0118") in {(found["kind"], found["code"]) for found in told["suggestions"]}
        # As a phone sends it: by the component's own catalogue.
        about = {"catalogue": "gbt30428-2013", "category_kind": "component", "category_code": "0137"}
        sent = a_report(one, component_code=one["code"], **about)
        made = client.post("/api/cases", json=sent, headers=headers)
        assert made.status_code == 201, made.text
        case = client.get(f"/api/cases/{made.json()['id']}", headers=headers).json()
        assert (case["category"]["catalogue"], case["category"]["code"]) == ("cjt214-2007", "0118")
        assert "0137 路灯" in case["routing"]["trace"][0]
        assert "0118 路灯" in case["routing"]["trace"][0]
    finally:
        surveyed_as(one["catalogue"], one["category_code"])


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"lon": 0, "lat": 0}, 422, "null_island"),
        ({"crs": "EPSG:999999"}, 422, "unknown_crs"),
        ({"category_kind": "event", "category_code": "7777"}, 422, "category_unknown"),
        ({"category_kind": "event", "category_code": "0102", "condition_code": "99"}, 422, "condition_unknown"),
        ({"category_kind": "event", "category_code": "0102", "component": "1"}, 422, "component_unknown"),
        ({"category_kind": "event", "category_code": "0102", "kind": "none"}, 404, "definition_unknown"),
        ({"words": "\x00"}, 422, "malformed"),
        ({"lon": "NaN"}, 422, "malformed"),
    ],
)
def test_bad_questions_are_named(client, login, spot, changes, status, code):
    asked = {"lon": spot["lon"], "lat": spot["lat"]} | changes
    answer = client.get("/api/intake/facts", params=asked, headers=login("acceptor1"))
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_a_form_is_asked_for_and_judged(client, database, login, spot):
    schema = client.get("/api/forms", params={"kind": "case", "channel": "hotline"}).json()["form"]
    assert [f["name"] for f in schema["fields"]][:3] == ["order_no", "caller_name", "caller_phone"]
    assert client.get("/api/forms", params={"kind": "whistle", "channel": "leader"}).json() == {"form": None}
    headers = login("acceptor1")
    bare = client.post("/api/cases", json=a_report(spot, channel="hotline"), headers=headers)
    assert (bare.status_code, bare.json()["code"]) == (422, "form_invalid"), "a person who leaves it out left it empty"
    wrong = {one["field"]: one["code"] for one in bare.json()["detail"]["fields"]}
    assert wrong.keys() == {"order_no", "caller_phone", "appeal_type", "appeal_matter", "reply_by"}
    with database.engine.begin() as tx:
        machine = {"Authorization": f"Bearer {accounts.give_token(tx, 'platform', 'test', timedelta(hours=1))}"}
    unasked = client.post("/api/cases", json=a_report(spot, channel="hotline"), headers=machine)
    assert unasked.status_code == 201, "a platform knows no forms"
    made = client.post("/api/cases", json=an_order(spot), headers=headers)
    assert made.status_code == 201, made.text
    again = client.post("/api/cases", json=an_order(spot) | {"description": "第二次"}, headers=headers)
    assert (again.status_code, again.json()["id"], again.json()["duplicate"]) == (200, made.json()["id"], True)
    found = client.get(f"/api/codes/{ORDER['order_no']}", headers=headers).json()
    assert found["number"] == made.json()["number"]
    assert client.get("/api/codes/NOSUCH", headers=headers).json()["code"] == "case_not_found"


def test_a_snapshot_of_a_camera_becomes_a_photo_of_the_case(client, login, spot):
    headers = login("acceptor1")
    photo = a_photo()
    digest = hashlib.sha256(photo).hexdigest()
    form = {"camera": "SXT-001", "watch": "live", "snapshot": [digest]}
    unsent = client.post("/api/cases", json=a_report(spot, channel="video", form=form), headers=headers)
    assert (unsent.status_code, unsent.json()["code"]) == (404, "not_found"), "the picture comes first"
    client.put(f"/api/media/{digest}", content=photo, headers=headers)
    made = client.post("/api/cases", json=a_report(spot, channel="video", form=form), headers=headers).json()
    case = client.get(f"/api/cases/{made['id']}", headers=headers).json()
    assert [a["sha256"] for a in case["attachments"]] == [digest]


def test_callers_are_masked_and_unmasking_is_recorded_with_its_reason(client, database, login, spot):
    headers = login("acceptor1")
    first = client.post("/api/cases", json=an_order(spot), headers=headers).json()
    second = client.post("/api/cases", json=an_order(spot, order_no="2"), headers=headers).json()
    for path in (f"/api/cases/{first['id']}", f"/api/cases/{first['id']}/form", "/api/cases?channel=hotline"):
        answer = client.get(path, headers=headers).text
        assert "13800001234" not in answer.replace(" ", "")
        assert "欧阳" not in answer
    told = client.get(f"/api/cases/{first['id']}/form", headers=headers).json()
    values = {one["name"]: one["value"] for one in told["fields"]}
    assert (values["caller_phone"], values["caller_name"]) == ("138****1234", "欧**")
    assert next(one for one in told["fields"] if one["name"] == "appeal_type")["words"]["zh"] == "求助"
    assert [one["id"] for one in told["earlier"]] == [second["id"]]

    url = f"/api/cases/{first['id']}/unmask"
    assert client.post(url, json={"reason": ""}, headers=headers).status_code == 422
    refused = client.post(url, json={"reason": "好奇"}, headers=login("leader"))
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    clear = client.post(url, json={"reason": "回访核实"}, headers=headers).json()
    assert clear == {"fields": {"caller_phone": "13800001234", "caller_name": "欧阳先生"}}
    with database.engine.connect() as connection:
        lines = connection.execute(text("select actor, detail from audit where act = 'personal.unmask'")).all()
        kept = connection.execute(text("select detail::text from audit")).scalars().all()
    assert [(line.detail["number"], line.detail["reason"]) for line in lines] == [(first["number"], "回访核实")]
    assert not any("13800001234" in line for line in kept), "the audit does not repeat what it guards"

    known = client.post("/api/intake/caller", json={"phone": "+86 138-0000-1234"}, headers=headers).json()
    assert {one["id"] for one in known["earlier"]} == {first["id"], second["id"]}
    assert known["exceptions"] == []


def test_the_register_blocks_and_lets_go(client, login, spot):
    keeper, acceptor = login("shiftleader1"), login("acceptor1")
    entry = {"phone": "13800001234", "reason": "多次谎报", "until": TODAY.isoformat()}
    assert client.post("/api/intake/exceptions", json=entry, headers=acceptor).json()["code"] == "forbidden"
    made = client.post("/api/intake/exceptions", json=entry, headers=keeper)
    assert made.status_code == 201, made.text
    refused = client.post("/api/cases", json=an_order(spot), headers=acceptor)
    assert (refused.status_code, refused.json()["code"]) == (403, "caller_blocked")
    assert refused.json()["detail"] == {"reason": "多次谎报", "until": TODAY.isoformat()}
    assert client.post("/api/cases", json=an_order(spot) | {"severity": 3}, headers=acceptor).status_code == 201
    listed = client.get("/api/intake/exceptions", headers=keeper)
    assert [one["id"] for one in listed.json()["items"]] == [made.json()["id"]]
    assert "1380000" not in listed.text
    for phone, entries in (("138 0000 1234", [made.json()["id"]]), ("13900001234", [])):
        found = client.post("/api/intake/exceptions/find", json={"phone": phone}, headers=keeper).json()["items"]
        assert [one["id"] for one in found] == entries
    lifted = client.post(
        f"/api/intake/exceptions/{made.json()['id']}/lift", json={"reason": "查明属实"}, headers=keeper
    )
    assert lifted.status_code == 204
    assert client.get("/api/intake/exceptions", headers=keeper).json()["items"] == []
    past = client.get("/api/intake/exceptions?lifted=true", headers=keeper).json()["items"]
    assert [(one["id"], one["lift_reason"], one["in_time"]) for one in past] == [(made.json()["id"], "查明属实", True)]
    assert client.post("/api/cases", json=an_order(spot, order_no="2"), headers=acceptor).status_code == 201


def test_a_promise_is_taken_with_the_report(client, login, spot):
    headers = login("acceptor1")
    tip = an_order(spot, appeal_type="tell", appeal_matter="tell_dumping")
    assert client.post("/api/cases", json=tip, headers=headers).json()["code"] == "form_invalid"
    until = (TODAY + timedelta(days=7)).isoformat()
    made = client.post(
        "/api/cases", json=tip | {"commitment": {"fields": ["evidence"], "until": until}}, headers=headers
    )
    assert made.status_code == 201, made.text
    entries = client.get("/api/intake/exceptions", headers=login("shiftleader1")).json()["items"]
    assert [(one["kind"], one["until"], one["number"]) for one in entries] == [
        ("commitment", until, made.json()["number"])
    ]
    assert entries[0]["fields"] == [{"zh": "举报线索照片", "en": "Photos as evidence"}]
    assert entries[0]["case_id"] == made.json()["id"]


def test_a_guide_answers_in_reports_and_in_words(client):
    guide = client.get("/api/guides", params={"channel": "public"}).json()["items"][0]
    assert guide["code"] == "street"
    url = "/api/guides/street/resolve"
    answer = client.post(url, json={"chosen": ["dirty_road", "exposed", "full_bin"]}).json()
    assert [(r["category"]["name"], [b["code"] for b in r["because"]]) for r in answer["reports"]] == [
        ("暴露垃圾", ["exposed", "dirty_road"]),
        ("垃圾箱", ["full_bin"]),
    ]
    assert [m["code"] for m in answer["reports"][0]["material"]] == ["scene", "close"]
    refused = client.post(url, json={"chosen": ["pothole", "collapse"]})
    assert (refused.status_code, refused.json()["code"]) == (422, "situations_exclude")
    assert "路面塌陷" in refused.json()["title"]
    assert client.post(url, json={"chosen": ["nothing"]}).json()["code"] == "situation_unknown"
    assert client.post("/api/guides/none/resolve", json={"chosen": []}).json()["code"] == "definition_unknown"


def test_the_public_may_leave_a_number_that_only_the_desk_can_read(client, login, spot):
    wants = a_report(spot, form={"wants_answer": True})
    assert client.post("/api/public/cases", json=wants).json()["code"] == "form_invalid"
    made = client.post(
        "/api/public/cases", json=a_report(spot, form={"wants_answer": True, "contact_phone": "13800001234"})
    )
    assert made.status_code == 201, made.text
    told = client.get(f"/api/cases/{made.json()['id']}/form", headers=login("acceptor1")).json()
    assert {f["name"]: f["value"] for f in told["fields"]} == {"wants_answer": True, "contact_phone": "138****1234"}


def test_what_is_set_aside_holds_no_number_of_a_caller(client, login, spot):
    form = {"wants_answer": True, "contact_phone": "13800001234", "another": "13900005678"}
    sent = a_report(spot, id=str(uuid4()), form={"wants_answer": True, "contact_phone": "13800001234"})
    assert client.post("/api/public/cases", json=sent).status_code == 201
    again = client.post("/api/public/cases", json=sent | {"description": "另一件事", "form": form})
    assert again.json()["code"] == "id_conflict"
    rows = client.get("/api/quarantine?limit=200", headers=login("admin")).json()["items"]
    [kept] = [row["payload"]["report"] for row in rows if row["payload"]["report"]["id"] == sent["id"]]
    assert kept["form"] == {"wants_answer": True, "contact_phone": "138****1234", "another": "**"}


def test_only_who_speaks_with_reporters_reads_their_code(client, login, spot):
    made = client.post("/api/public/cases", json=a_report(spot)).json()

    def told(username):
        return client.get(f"/api/cases/{made['id']}", headers=login(username)).json()["query_code"]

    assert told("acceptor1") == made["query_code"]
    assert told(f"manager_{made['department']['code']}") is None


def act(client, headers, case_id, action, payload):
    answer = client.post(f"/api/cases/{case_id}/actions", json={"action": action, "payload": payload}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_reporter_supplies_what_is_asked_for_and_rates_the_end(client, login, spot):
    made = client.post("/api/public/cases", json=a_report(spot)).json()
    url, acceptor = f"/api/public/cases/{made['query_code']}", login("acceptor1")
    told = client.get(url).json()
    assert (told["may_supplement"], told["may_rate"], told["asks"]) == (False, False, None)
    early = client.post(f"{url}/supplement", json={"note": "还有"})
    assert (early.status_code, early.json()["code"]) == (409, "state_forbids")
    act(client, acceptor, made["id"], "ask_supplement", {"reason": "请补一张门牌照片"})
    told = client.get(url).json()
    assert (told["may_supplement"], told["asks"]) == (True, "请补一张门牌照片")
    photo = a_photo("blue")
    digest = hashlib.sha256(photo).hexdigest()
    client.put(f"/api/public/media/{digest}", content=photo)
    told = client.post(f"{url}/supplement", json={"note": "见照片", "photos": [digest]}).json()
    assert (told["stage"], told["may_supplement"]) == ("acceptance", False)
    case = client.get(f"/api/cases/{made['id']}", headers=acceptor).json()
    assert digest in [a["sha256"] for a in case["attachments"]]
    assert [e["action"] for e in case["events"]] == ["supplement", "ask_supplement", "report"]
    assert not any(e["actor"] in client.get(url).text for e in case["events"] if e["actor"] != "市民")

    leader, dispatcher = login("shiftleader1"), login("dispatcher1")
    act(client, acceptor, made["id"], "accept", {})
    act(client, leader, made["id"], "file", {})
    act(client, dispatcher, made["id"], "dispatch", {})
    manager = login(f"manager_{made['department']['code']}")
    act(client, manager, made["id"], "handle", {"result": "已清理", "photos_after": [digest]})
    act(client, login("leader"), made["id"], "force_close", {"reason": "现场确认"})
    told = client.get(url).json()
    assert (told["status"], told["may_rate"], told["rated"]) == ("closed", True, None)
    assert [one["stage"] for one in told["timeline"]][:2] == ["acceptance", "acceptance"]
    assert client.post(f"{url}/rate", json={"score": 6}).status_code == 422
    assert client.post(f"{url}/rate", json={"score": 4, "note": "快"}).json()["rated"] == "4"
    assert client.post("/api/public/cases/NOSUCHCODE/rate", json={"score": 4}).json()["code"] == "case_not_found"


def test_why_a_flow_was_changed_is_not_told_to_the_reporter(client, login, spot):
    made = client.post("/api/public/cases", json=a_report(spot)).json()
    act(client, login("acceptor1"), made["id"], "ask_supplement", {"reason": "请补一张门牌照片"})
    with db.transaction() as tx:
        body = json.dumps(definitions.current(tx, "workflow", "standard").body)
        body = json.loads(body.replace('"supplementing"', '"awaiting"')) | {"code": "renamed"}
        version = definitions.publish(tx, "workflow", "renamed", body, datetime(2020, 1, 1, tzinfo=ZONE))
        admin = people.by_username(tx, "admin")
        cases.migrate(tx, UUID(made["id"]), admin, "renamed", version, "awaiting", reason="内部整改")
    answer = client.get(f"/api/public/cases/{made['query_code']}")
    assert (answer.json()["may_supplement"], answer.json()["asks"]) == (True, "请补一张门牌照片")
    assert "内部整改" not in answer.text


def test_what_was_handled_on_the_spot_takes_the_fast_path(client, login, spot):
    headers, photo = login("acceptor1"), a_photo("green")
    digest = hashlib.sha256(photo).hexdigest()
    client.put(f"/api/media/{digest}", content=photo, headers=headers)
    asked = {"lon": spot["lon"], "lat": spot["lat"], "category_kind": "event", "category_code": "0102"}
    told = client.get("/api/intake/facts", params=asked | {"self_handled": True}, headers=headers).json()
    assert told["plan"]["workflow"]["code"] == "fast"
    sent = a_report(spot, self_handled=True, payload={"result": "已清扫", "photos_after": [digest]})
    made = client.post("/api/cases", json=sent, headers=headers).json()
    assert client.get(f"/api/cases/{made['id']}", headers=headers).json()["workflow"]["code"] == "fast"
    hotline = client.get("/api/intake/facts", params=asked | {"kind": "hotline", "channel": "hotline"}, headers=headers)
    assert hotline.json()["plan"]["workflow"]["code"] == "hotline"


def test_a_new_report_is_added_to_an_old_case_or_merged_into_it(client, login, spot):
    headers = login("acceptor1")
    first, second = (client.post("/api/cases", json=a_report(spot), headers=headers).json() for _ in range(2))
    act(client, headers, first["id"], "follow", {"note": "又有人反映", "source": "hotline"})
    act(client, headers, second["id"], "merge", {"into": first["id"]})
    near = client.get(
        "/api/intake/similar",
        params={"lon": spot["lon"], "lat": spot["lat"], "category_kind": "event", "category_code": "0102"},
        headers=headers,
    ).json()
    assert [one["id"] for one in near["items"]] == [first["id"]]


def test_only_the_named_platform_may_frame_the_intake_page(client, monkeypatch):
    own = client.get("/desk/intake?embed=1").headers["content-security-policy"]
    assert own.endswith("frame-ancestors 'self'")
    monkeypatch.setenv("WANGGE_EMBED_ORIGIN", "https://qu.example.gov.cn")
    settings.cache_clear()
    framed = client.get("/desk/intake?embed=1").headers["content-security-policy"]
    assert framed.endswith("frame-ancestors 'self' https://qu.example.gov.cn")
    for path in ("/desk/intake", "/desk/cases?embed=1", "/wall?embed=1"):
        assert client.get(path).headers["content-security-policy"] == own
    monkeypatch.setenv("WANGGE_EMBED_ORIGIN", "https://a.example; script-src *")
    with pytest.raises(ValueError, match="embed_origin"):
        Settings()
