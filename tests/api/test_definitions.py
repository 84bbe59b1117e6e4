"""Definitions over HTTP: seen, drafted, checked, published with a date, taken back; nobody overwrites anybody."""

import copy
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from openpyxl import Workbook, load_workbook
from sqlalchemy import text

from gis import definitions
from gis.routing import DutyList
from gis.rulebook import rulebook

DUTY = "/api/definitions/duty_list/renhe"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@pytest.fixture
def shift_leader(login):
    return login("shiftleader1")


@pytest.fixture
def admin(login):
    return login("admin")


def in_force(client, headers, path: str = DUTY) -> dict[str, Any]:
    answer = client.get(f"{path}/versions/in_force", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def moved_rules(body: dict[str, Any], department: str = "D09") -> dict[str, Any]:
    """The list with every rule on 市容环境 events given to another department."""
    changed = copy.deepcopy(body)
    for rule in changed["rules"]:
        if rule["category"].startswith("event:01"):
            rule["department"] = department
    return changed


def event_at(client, headers, n: int = 0) -> dict[str, Any]:
    at = client.get("/api/components?limit=50", headers=headers).json()["items"][n]
    return {
        "catalogue": "cjt214-2007",
        "category_kind": "event",
        "category_code": "0102",
        "lon": at["lon"],
        "lat": at["lat"],
        "description": "垃圾堆在路边",
    }


def audited(database, act: str) -> list[dict[str, Any]]:
    with database.engine.begin() as tx:
        rows = tx.execute(text("select detail from audit where act = :act order by id"), {"act": act})
        return [row.detail for row in rows]


# --- Seeing -----------------------------------------------------------------------------------------------------


def test_the_overview_names_every_definition_with_its_version_in_force(client, shift_leader):
    told = client.get("/api/definitions", headers=shift_leader).json()
    found = {(one["kind"], one["code"]): one for one in told["items"]}
    duty = found["duty_list", "renhe"]
    assert duty["in_force"]["version"] == duty["newest"]["version"] == 1
    assert duty["in_force"]["state"] == "in_force"
    assert (duty["announced"], duty["draft"]) == (None, None)
    assert duty["name"]["zh"].startswith("仁和镇权责清单")
    writable = {kind for (kind, _), one in found.items() if one["may_write"]}
    assert writable == {"duty_list", "filing_standard"}
    assert {"workflow", "calendar", "catalogue", "role"} <= {kind for kind, _ in found}


def test_only_those_with_the_right_see_and_only_those_with_the_right_write(client, login, admin):
    body = in_force(client, admin)["body"]
    for name in ("inspector001", "handler_D17_1", "manager_D17", "security"):
        assert client.get("/api/definitions", headers=login(name)).status_code == 403
    for name in ("acceptor1", "dispatcher1", "leader", "evaluator1", "auditor"):
        headers = login(name)
        assert client.get(f"{DUTY}/versions", headers=headers).status_code == 200
        for answer in (
            client.put(f"{DUTY}/draft", json={"body": body}, headers=headers),
            client.post(f"{DUTY}/versions", json={"body": body, "base": 1}, headers=headers),
            client.post(f"{DUTY}/rollback", json={"version": 1, "base": 1}, headers=headers),
            client.put("/api/categories/event:0102/status", json={"off": True, "reason": "x"}, headers=headers),
            client.delete(f"{DUTY}/draft?revision=1", headers=headers),
        ):
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), name


def test_who_keeps_the_duty_list_does_not_configure_the_system_and_nobody_widens_their_own_rights(
    client, shift_leader, admin
):
    flow = "/api/definitions/workflow/standard"
    change = {"body": in_force(client, admin, flow)["body"], "base": 1}
    assert client.post(f"{flow}/versions", json=change, headers=shift_leader).status_code == 403
    roles = "/api/definitions/role/standard"
    change = {"body": in_force(client, admin, roles)["body"], "base": 1}
    change["body"]["roles"]["sys_admin"]["permissions"].append("account.manage")
    for headers in (shift_leader, admin):
        assert client.post(f"{roles}/versions", json=change, headers=headers).status_code == 403
        assert client.put(f"{roles}/draft", json=change, headers=headers).status_code == 403


def test_what_is_not_there_is_said(client, shift_leader):
    for path in (
        "/api/definitions/duty_list/nowhere/versions",
        "/api/definitions/poem/renhe/versions/in_force",
        f"{DUTY}/versions/99",
        f"{DUTY}/versions/last",
        f"{DUTY}/draft",
        f"{DUTY}/diff?after=draft",
    ):
        answer = client.get(path, headers=shift_leader)
        assert (answer.status_code, answer.json()["code"]) == (404, "definition_unknown"), path
    answer = client.put("/api/definitions/poem/x/draft", json={"body": {}}, headers=shift_leader)
    assert answer.status_code == 403


# --- Checking ---------------------------------------------------------------------------------------------------


def test_a_check_names_every_fault_with_its_place_and_stores_nothing(client, shift_leader, database):
    body = moved_rules(in_force(client, shift_leader)["body"])
    assert client.post(f"{DUTY}/check", json={"body": body}, headers=shift_leader).json()["faults"] == []
    wrong = copy.deepcopy(body)
    wrong["rules"][0]["department"] = ""
    wrong["rules"][1]["area"] = "village:1"
    wrong["rules"][3]["id"] = wrong["rules"][2]["id"]
    faults = client.post(f"{DUTY}/check", json={"body": wrong}, headers=shift_leader).json()["faults"]
    assert len(faults) == 3
    assert [fault["where"].split(" ")[0] for fault in faults] == ["rules[0]", "rules[1]", "rules[3]"]
    unknown = copy.deepcopy(body)
    unknown["rules"][0]["department"] = "D99"
    unknown["rules"][1]["workflow"] = "nowhere"
    unknown["rules"][2]["category"] = "event:9999"
    faults = client.post(f"{DUTY}/check", json={"body": unknown}, headers=shift_leader).json()["faults"]
    assert {fault["why"] for fault in faults} == {"unknown: D99", "unknown: nowhere", "unknown: event:9999"}
    other = client.post(f"{DUTY}/check", json={"body": body | {"code": "other"}}, headers=shift_leader).json()
    assert len(other["faults"]) == 1
    assert in_force(client, shift_leader)["version"] == 1
    assert audited(database, "definition.publish") == []


def test_a_rule_for_a_place_that_is_no_more_is_a_warning(client, shift_leader):
    body = in_force(client, shift_leader)["body"]
    body["rules"][0]["area"] = "grid:110113003999999"
    told = client.post(f"{DUTY}/check", json={"body": body}, headers=shift_leader).json()
    assert told["faults"] == []
    assert f"rules[0] (id {body['rules'][0]['id']}).area" in {one["where"] for one in told["warnings"]}


@pytest.mark.parametrize(
    ("kind", "code", "change", "where"),
    [
        ("workflow", "standard", None, "duty_list"),
        ("catalogue", "cjt214-2007", "0102", "rules["),
        ("filing_standard", "renhe-demo", "0102", "filing_standard.conditions.event.0102"),
        ("case_kind", "case", "workflow", "case_kind case.workflow"),
    ],
)
def test_a_body_that_breaks_another_definition_is_refused_before_it_is_stored(client, admin, kind, code, change, where):
    path = f"/api/definitions/{kind}/{code}"
    body = in_force(client, admin, path)["body"]
    match kind:
        case "catalogue":
            for group in body["groups"]:
                if group["kind"] == "event":
                    group["categories"] = [c for c in group["categories"] if c["code"] != change]
        case "filing_standard":
            del body["conditions"]["event"][change]
        case "case_kind":
            body["workflow"] = "nowhere"
        case "workflow":
            body["states"] = {}
    answer = client.post(f"{path}/versions", json={"body": body, "base": 1}, headers=admin)
    assert (answer.status_code, answer.json()["code"]) == (422, "definition_bad"), answer.text
    faults = answer.json()["detail"]["all"] if "all" in answer.json()["detail"] else [answer.json()["detail"]]
    if kind != "workflow":
        assert any(fault["where"].startswith(where) for fault in faults)
    assert in_force(client, admin, path)["version"] == 1


def test_a_body_that_would_break_what_is_announced_is_refused(client, admin):
    """A class comes in a week: until then, too, nobody publishes a standard that has no conditions for it."""
    book, filed = "/api/definitions/catalogue/cjt214-2007", "/api/definitions/filing_standard/renhe-demo"
    old = in_force(client, admin, filed)["body"]
    new = copy.deepcopy(old)
    new["conditions"]["event"]["0190"] = [["01", "新问题", "解决", "1工作日", "1工作日", "1工作日", 1]]
    catalogue = in_force(client, admin, book)["body"]
    group = next(g for g in catalogue["groups"] if (g["kind"], g["code"]) == ("event", "01"))
    group["categories"].append({"code": "0190", "name": "新类别", "geometry": "point"})
    soon = (datetime.now(UTC) + timedelta(days=7)).isoformat()
    announced = {"body": catalogue, "base": 1, "valid_from": soon}
    refused = client.post(f"{book}/versions", json=announced, headers=admin)
    assert [fault["where"] for fault in refused.json()["detail"]["all"]] == ["filing_standard.conditions.event.0190"]
    assert client.post(f"{filed}/versions", json={"body": new, "base": 1}, headers=admin).status_code == 201
    made = client.post(f"{book}/versions", json=announced, headers=admin).json()
    assert (made["version"], made["state"]) == (2, "announced")
    refused = client.post(f"{filed}/versions", json={"body": old, "base": 2}, headers=admin)
    assert (refused.status_code, refused.json()["code"]) == (422, "definition_bad")
    # Without the announcement it may go again. A date that is past means now: what was stays what was.
    assert client.post(f"{book}/rollback", json={"version": 1, "base": 2}, headers=admin).status_code == 201
    past = (datetime.now(UTC) - timedelta(days=400)).isoformat()
    back = client.post(f"{filed}/versions", json={"body": old, "base": 2, "valid_from": past}, headers=admin).json()
    assert (back["version"], back["state"]) == (3, "in_force")
    assert datetime.fromisoformat(back["valid_from"]) > datetime.now(UTC) - timedelta(minutes=5)


# --- Publishing -------------------------------------------------------------------------------------------------


def test_publish_announce_and_take_back(client, shift_leader, database):
    body = in_force(client, shift_leader)["body"]
    changed = moved_rules(body)
    soon = datetime.now(UTC) + timedelta(days=3)
    sent = {"body": changed, "base": 1, "valid_from": soon.isoformat(), "note": "下月起由农业办负责"}
    made = client.post(f"{DUTY}/versions", json=sent, headers=shift_leader)
    assert made.status_code == 201, made.text
    assert (made.json()["version"], made.json()["state"], made.json()["stored"]) == (2, "announced", True)
    assert in_force(client, shift_leader)["version"] == 1
    rows = client.get(f"{DUTY}/versions", headers=shift_leader).json()["items"]
    assert [(row["version"], row["state"], row["note"]) for row in rows] == [
        (2, "announced", "下月起由农业办负责"),
        (1, "in_force", ""),
    ]
    assert len({row["digest"] for row in rows}) == 2
    with database.engine.begin() as tx:
        before, after = (rulebook(tx, soon + timedelta(seconds=s)).duty_list for s in (-1, 1))
        events = [rule.department for rule in after.rules if rule.category.startswith("event:01")]
        assert set(events) == {"D09"}
        assert before.rules != after.rules
    changes = client.get(f"{DUTY}/diff?before=1&after=2", headers=shift_leader).json()["changes"]
    assert all(c["path"][0] == "rules" and c["path"][2] == "department" and c["after"] == "D09" for c in changes)
    expected = [r["id"] for r, n in zip(body["rules"], changed["rules"], strict=True) if r != n]
    assert [change["path"][1] for change in changes] == expected
    # Taken back before it began: never in force, and the older body is the newest version.
    back = client.post(f"{DUTY}/rollback", json={"version": 1, "base": 2}, headers=shift_leader)
    assert back.status_code == 201, back.text
    rows = client.get(f"{DUTY}/versions", headers=shift_leader).json()["items"]
    assert [(row["version"], row["state"]) for row in rows] == [(3, "in_force"), (2, "withdrawn"), (1, "past")]
    assert rows[0]["digest"] == rows[2]["digest"]
    assert client.get(f"{DUTY}/diff?before=1&after=3", headers=shift_leader).json()["changes"] == []
    kept = audited(database, "definition.publish")
    assert [(one["version"], one.get("restored")) for one in kept] == [(2, None), (3, 1)]


def test_publishing_what_is_in_force_already_stores_nothing(client, shift_leader):
    body = in_force(client, shift_leader)["body"]
    made = client.post(f"{DUTY}/versions", json={"body": body, "base": 1}, headers=shift_leader).json()
    assert (made["version"], made["stored"]) == (1, False)


def test_of_two_who_publish_at_once_one_wins_and_the_other_is_told_by_whom(client, login):
    names = ("shiftleader1", "shiftleader2")
    people = {name: login(name) for name in names}
    who = {name: client.get("/api/me", headers=headers).json()["name"] for name, headers in people.items()}
    body = in_force(client, people["shiftleader1"])["body"]

    def publish(name: str) -> Any:
        department = {"shiftleader1": "D08", "shiftleader2": "D09"}[name]
        sent = {"body": moved_rules(body, department), "base": 1}
        return client.post(f"{DUTY}/versions", json=sent, headers=people[name])

    with ThreadPoolExecutor(2) as pool:
        answers = dict(zip(names, pool.map(publish, names), strict=True))
    assert sorted(answer.status_code for answer in answers.values()) == [201, 409]
    winner = next(name for name, answer in answers.items() if answer.status_code == 201)
    refused = next(answer.json() for answer in answers.values() if answer.status_code == 409)
    assert refused["code"] == "stale_definition"
    assert (refused["detail"]["version"], refused["detail"]["by"]) == (2, who[winner])
    assert in_force(client, people[winner])["version"] == 2


# --- Drafts -----------------------------------------------------------------------------------------------------


def test_a_draft_survives_is_checked_and_becomes_the_version(client, shift_leader, login):
    body = in_force(client, shift_leader)["body"]
    kept = client.put(f"{DUTY}/draft", json={"body": moved_rules(body)}, headers=shift_leader).json()
    assert (kept["revision"], kept["base_version"], kept["faults"]) == (1, 1, [])
    broken = copy.deepcopy(body)
    broken["rules"][0]["department"] = "D99"
    kept = client.put(f"{DUTY}/draft", json={"body": broken, "revision": 1}, headers=shift_leader).json()
    assert (kept["revision"], [fault["why"] for fault in kept["faults"]]) == (2, ["unknown: D99"])
    other = client.get(f"{DUTY}/draft", headers=login("shiftleader2")).json()
    assert other["body"] == broken
    overview = client.get("/api/definitions", headers=shift_leader).json()["items"]
    told = next(one["draft"] for one in overview if one["kind"] == "duty_list")
    assert (told["revision"], told["by"]) == (2, client.get("/api/me", headers=shift_leader).json()["name"])
    # A broken draft may be kept, but not published; it is still there afterwards.
    answer = client.post(f"{DUTY}/versions", json={"revision": 2}, headers=shift_leader)
    assert (answer.status_code, answer.json()["code"]) == (422, "definition_bad")
    body = moved_rules(body)
    client.put(f"{DUTY}/draft", json={"body": body, "revision": 2}, headers=shift_leader)
    assert client.post(f"{DUTY}/versions", json={"revision": 3}, headers=shift_leader).json()["version"] == 2
    assert client.get(f"{DUTY}/draft", headers=shift_leader).status_code == 404
    assert in_force(client, shift_leader)["body"] == body


def test_two_editors_never_overwrite_each_other_unawares(client, login, shift_leader):
    people = {name: login(name) for name in ("shiftleader1", "shiftleader2")}
    body = in_force(client, shift_leader)["body"]

    def save(name: str, revision: int) -> Any:
        department = {"shiftleader1": "D08", "shiftleader2": "D09"}[name]
        sent = {"body": moved_rules(body, department), "revision": revision}
        return client.put(f"{DUTY}/draft", json=sent, headers=people[name])

    for revision in (0, 1):  # the first saving of all, and a later one
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda name, r=revision: save(name, r), people))
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        refused = next(answer.json() for answer in answers if answer.status_code == 409)
        assert (refused["code"], refused["detail"]["revision"]) == ("stale_draft", revision + 1)
        winner = next(answer.json() for answer in answers if answer.status_code == 200)
        assert refused["detail"]["by"] == winner["by"]
        assert client.get(f"{DUTY}/draft", headers=shift_leader).json()["revision"] == revision + 1
    for stale in (1, 3):
        answer = client.delete(f"{DUTY}/draft?revision={stale}", headers=shift_leader)
        assert (answer.status_code, answer.json()["code"]) == (409, "stale_draft")
        answer = client.post(f"{DUTY}/versions", json={"revision": stale}, headers=shift_leader)
        assert (answer.status_code, answer.json()["code"]) == (409, "stale_draft")
    assert client.delete(f"{DUTY}/draft?revision=2", headers=shift_leader).status_code == 204
    answer = save("shiftleader1", 2)
    assert (answer.status_code, answer.json()["detail"]["revision"]) == (409, 0)


def test_a_draft_made_from_an_older_version_is_not_published_over_a_newer_one(client, shift_leader):
    body = in_force(client, shift_leader)["body"]
    client.put(f"{DUTY}/draft", json={"body": moved_rules(body, "D08")}, headers=shift_leader)
    newer = moved_rules(body, "D09")
    assert client.post(f"{DUTY}/versions", json={"body": newer, "base": 1}, headers=shift_leader).status_code == 201
    answer = client.post(f"{DUTY}/versions", json={"revision": 1}, headers=shift_leader)
    assert (answer.status_code, answer.json()["code"]) == (409, "stale_definition")
    assert client.get(f"{DUTY}/draft", headers=shift_leader).json()["revision"] == 1  # nothing was lost
    # The editor looked at both and says so.
    sent = {"body": moved_rules(body, "D08"), "revision": 1, "base_version": 2}
    assert client.put(f"{DUTY}/draft", json=sent, headers=shift_leader).json()["base_version"] == 2
    assert client.post(f"{DUTY}/versions", json={"revision": 2}, headers=shift_leader).json()["version"] == 3


def test_a_body_without_its_base_is_refused(client, shift_leader):
    body = in_force(client, shift_leader)["body"]
    answer = client.post(f"{DUTY}/versions", json={"body": body}, headers=shift_leader)
    assert (answer.status_code, answer.json()["detail"]["field"]) == (422, "base")


# --- Categories that take no cases ------------------------------------------------------------------------------


def test_a_category_switched_off_takes_no_new_cases_and_running_ones_go_on(client, shift_leader, login, database):
    desk = login("acceptor1")
    sent = event_at(client, desk)
    running = client.post("/api/cases", json=sent, headers=desk).json()
    off = {"off": True, "reason": "由专项组统一处理"}
    made = client.put("/api/categories/event:0102/status", json=off, headers=shift_leader)
    assert made.status_code == 200, made.text
    for path, headers in (("/api/cases", desk), ("/api/public/cases", {})):
        refused = client.post(path, json=sent, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (422, "category_off")
        assert refused.json()["detail"]["reason"] == "由专项组统一处理"
        assert "由专项组统一处理" in refused.json()["title"]
    assert client.post("/api/cases", json=sent | {"category_code": "0104"}, headers=desk).status_code == 201
    act = {"action": "accept", "payload": {}, "seq": running["seq"]}
    assert client.post(f"/api/cases/{running['id']}/actions", json=act, headers=desk).status_code == 200
    told = client.get("/api/catalogue").json()
    by_code = {f"{group['kind']}:{one['code']}": one["off"] for group in told["groups"] for one in group["categories"]}
    assert {code for code, reason in by_code.items() if reason} == {"event:0102"}
    assert [(n["category"], n["off"], n["reason"]) for n in told["notices"]] == [
        ("event:0102", True, "由专项组统一处理")
    ]
    # The same report again is still answered with its first receipt.
    again = client.post("/api/cases", json=sent | {"id": running["id"]}, headers=desk)
    assert (again.status_code, again.json()["duplicate"]) == (200, True)
    on = client.put("/api/categories/event:0102/status", json={"off": False}, headers=shift_leader)
    assert on.status_code == 200
    assert client.post("/api/cases", json=sent, headers=desk).status_code == 201
    notices = client.get("/api/catalogue").json()["notices"]
    assert [(n["category"], n["off"]) for n in notices] == [("event:0102", False)]
    kept = [(one["category"], one["off"]) for one in audited(database, "definition.publish")]
    assert kept == [("event:0102", True), ("event:0102", False)]


def test_switching_needs_a_reason_and_a_category_that_exists(client, shift_leader):
    for category, reason in (("event:0102", " "), ("event:9999", "x"), ("0102", "x"), ("event", "x")):
        sent = {"off": True, "reason": reason}
        answer = client.put(f"/api/categories/{category}/status", json=sent, headers=shift_leader)
        assert (answer.status_code, answer.json()["code"]) == (422, "definition_bad"), category
    group = client.put("/api/categories/event:01/status", json={"off": True, "reason": "暂停"}, headers=shift_leader)
    assert group.status_code == 200
    sent = {"off": True, "reason": "x", "base": 0}
    stale = client.put("/api/categories/event:02/status", json=sent, headers=shift_leader)
    assert (stale.status_code, stale.json()["code"]) == (409, "stale_definition")
    answer = client.post("/api/cases", json=event_at(client, shift_leader), headers=shift_leader)
    assert answer.json()["code"] == "category_off"


# --- The duty list's editor -------------------------------------------------------------------------------------


def upload(client, path: str, content: bytes, headers: dict[str, str], revision: int = 0) -> Any:
    return client.post(
        path, files={"file": ("表.xlsx", content, XLSX)}, data={"revision": str(revision)}, headers=headers
    )


def test_the_list_goes_out_is_edited_in_excel_and_comes_back_as_a_draft(client, shift_leader, login):
    content = client.get("/api/duty-list/export", headers=shift_leader).content
    book = load_workbook(io.BytesIO(content))
    sheet = book.active
    header = [cell.value for cell in sheet[1]]
    row = next(r for r in range(2, sheet.max_row + 1) if sheet.cell(r, 1).value == "C0106")
    sheet.cell(row, header.index("主责部门") + 1).value = "环卫服务公司"
    sheet.append(["X1", "事件0102", "", "月球", "", "", "D02"])
    buffer = io.BytesIO()
    book.save(buffer)
    assert upload(client, "/api/duty-list/import", buffer.getvalue(), login("dispatcher1")).status_code == 403
    told = upload(client, "/api/duty-list/import", buffer.getvalue(), shift_leader)
    assert told.status_code == 200, told.text
    assert told.json()["faults"] == []
    assert "月球" in {one["value"] for one in told.json()["refused"]}
    assert told.json()["landed"] + len(told.json()["refused"]) == sheet.max_row - 1
    changes = client.get(f"{DUTY}/diff", headers=shift_leader).json()["changes"]
    edited = [change for change in changes if change["kind"] == "changed"]
    assert [(c["path"], c["before"], c["after"]) for c in edited] == [(["rules", "C0106", "department"], "D20", "D24")]
    stale = upload(client, "/api/duty-list/import", buffer.getvalue(), shift_leader)
    assert stale.json()["code"] == "stale_draft"
    assert upload(client, "/api/duty-list/import", buffer.getvalue(), shift_leader, 1).json()["draft"]["revision"] == 2
    bad = upload(client, "/api/duty-list/import", b"PK nothing", shift_leader, 2)
    assert (bad.status_code, bad.json()["code"]) == (422, "sheet_bad")


def test_replay_and_audit_of_a_draft(client, shift_leader, login):
    desk = login("acceptor1")
    made = [client.post("/api/cases", json=event_at(client, desk, n), headers=desk).json() for n in range(4)]
    body = in_force(client, shift_leader)["body"]
    client.put(f"{DUTY}/draft", json={"body": moved_rules(body)}, headers=shift_leader)
    told = client.get("/api/duty-list/replay?days=7", headers=shift_leader).json()
    assert (told["cases"], told["moved"], told["complete"]) == (4, 4, True)
    assert {item["id"] for item in told["items"]} == {one["id"] for one in made}
    for item in told["items"]:
        receipt = next(one for one in made if one["id"] == item["id"])
        assert item["number"] == receipt["number"]
        assert item["before"]["department"] == receipt["department"]
        assert item["after"]["department"]["code"] == "D09"
        assert item["before"]["rule_id"] == item["after"]["rule_id"]
    assert sum(pair["cases"] for pair in told["pairs"]) == 4
    pair = told["pairs"][0]
    one = client.get(f"/api/duty-list/replay?from={pair['from']['code']}&to=D09&limit=1", headers=shift_leader).json()
    assert len(one["items"]) == 1
    assert (one["next"] is None) == (pair["cases"] == 1)
    assert client.get("/api/duty-list/replay?which=in_force", headers=shift_leader).json()["moved"] == 0
    # Who sees no case is told of none.
    assert client.get("/api/duty-list/replay", headers=login("admin")).status_code == 403
    assert client.get("/api/duty-list/replay", headers=login("inspector001")).status_code == 403

    whole = client.get("/api/duty-list/audit?which=in_force", headers=shift_leader).json()
    assert whole["counts"]["gaps"] == 0
    holes = [rule for rule in body["rules"] if not rule["category"].startswith("event:05")]
    holes = [rule for rule in holes if rule["category"] not in ("event", "*")]
    assert "event:05" in {rule["category"] for rule in body["rules"]}
    sent = {"body": body | {"rules": holes}, "revision": 1}
    assert client.put(f"{DUTY}/draft", json=sent, headers=shift_leader).json()["faults"] == []
    gaps = client.get("/api/duty-list/audit", headers=shift_leader).json()["gaps"]
    catalogue = client.get("/api/catalogue").json()["groups"]
    lost = next(g for g in catalogue if (g["kind"], g["code"]) == ("event", "05"))["categories"]
    assert {gap["category"] for gap in gaps} == {f"event:{one['code']}" for one in lost}
    assert all(gap["grids"] == whole["grids"] for gap in gaps)
    at = gaps[0]["example"]
    assert client.get(f"/api/locate?lon={at['lon']}&lat={at['lat']}").json()["unit_grid_code"] == at["grid"]
    DutyList.from_body(sent["body"])


def test_areas_are_named_and_placed(client, shift_leader):
    told = client.get("/api/areas", headers=shift_leader).json()
    village, duty = told["villages"][0], told["duty_grids"][0]
    assert duty["village"] in {one["code"] for one in told["villages"]}
    for area, name in ((f"village:{village['code']}", village["name"]), (f"duty:{duty['code']}", duty["name"])):
        found = client.get(f"/api/areas/{area}", headers=shift_leader).json()
        west, south, east, north = found["bbox"]
        assert found["name"] == name
        assert west < east
        assert south < north
    for area in ("village:1", "class:A", "moon", "grid:x"):
        assert client.get(f"/api/areas/{area}", headers=shift_leader).json()["code"] == "not_found"


# --- Filing standards -------------------------------------------------------------------------------------------


def test_a_citys_workbook_becomes_a_draft_and_the_standard_in_force(client, shift_leader, login):
    path = "/api/definitions/filing_standard/renhe-demo"
    book = Workbook()
    sheet = book.active
    sheet.title = "部件"
    for row in (
        ["大类代码", "小类代码", "小类名称", "立案条件", "结案条件", "处置时限"],
        ["01", "0101", "上水井盖", "丢失", "补装", "2紧急工作时"],
        ["", "", "", "松动", "加固", "很快"],
    ):
        sheet.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    told = upload(client, "/api/filing-standard/import", buffer.getvalue(), shift_leader).json()
    assert [(one["row"], one["category"], one["condition"]) for one in told["landed"]] == [
        (2, "component:0101", told["landed"][0]["condition"])
    ]
    assert [(one["row"], one["code"], one["value"]) for one in told["refused"]] == [(3, "limit_bad", "很快")]
    assert told["faults"] == []
    assert "component:0102" in told["kept"]
    changes = client.get(f"{path}/diff", headers=shift_leader).json()["changes"]
    assert {tuple(change["path"][:3]) for change in changes} == {("conditions", "component", "0101")}
    draft = client.get("/api/filing-standard?which=draft", headers=shift_leader).json()
    wells = next(c for g in draft["groups"] if g["kind"] == "component" for c in g["categories"] if c["code"] == "0101")
    assert [(one["text"], one["limits"]) for one in wells["conditions"]] == [
        ("丢失", {"A": "2紧急工作时", "B": "2紧急工作时", "C": "2紧急工作时"})
    ]
    made = client.post(f"{path}/versions", json={"revision": 1, "note": "市里的新标准"}, headers=shift_leader)
    assert made.json()["version"] == 2, made.text
    now = client.get("/api/filing-standard", headers=login("leader")).json()
    assert now["version"] == 2
    out = client.get("/api/filing-standard/export", headers=shift_leader)
    assert out.headers["content-type"] == XLSX
    again = upload(client, "/api/filing-standard/import", out.content, shift_leader).json()
    assert (again["refused"], again["kept"]) == ([], [])
    assert client.get(f"{path}/diff", headers=shift_leader).json()["changes"] == []


def test_everything_that_is_drafted_is_of_a_known_kind(client, admin):
    answer = client.put("/api/definitions/poem/x/draft", json={"body": {}}, headers=admin)
    assert (answer.status_code, answer.json()["code"]) == (404, "definition_unknown")
    assert "duty_list" in definitions.kinds()
