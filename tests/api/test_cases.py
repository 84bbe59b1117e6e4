"""Cases over HTTP: reporting, listing, acting, photos, and every kind of bad input."""

import base64
import hashlib
import io
import json
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from PIL import Image
from sqlalchemy import select

from api import live
from gis import db, events, people
from gis.points import CaseStore
from gis.search import CaseFilter
from gis.tables import case, staff, staff_role

PROBLEM = "application/problem+json"


def a_report(spot, **changes):
    return {
        "catalogue": "cjt214-2007",
        "category_kind": "event",
        "category_code": "0102",
        "lon": spot["lon"],
        "lat": spot["lat"],
        "description": "暴露垃圾",
    } | changes


def a_photo(colour="red"):
    kept = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(kept, "JPEG")
    return kept.getvalue()


def test_a_report_is_answered_after_it_is_kept_and_can_be_sent_again(client, login, spot):
    headers = login("acceptor1")
    sent = a_report(spot, id=str(uuid4()))
    first = client.post("/api/cases", json=sent, headers=headers)
    assert first.status_code == 201, first.text
    assert first.json()["unit_grid_code"] == spot["facts"]["unit_grid_code"]
    again = client.post("/api/cases", json=sent, headers=headers)
    assert (again.status_code, again.json()["number"], again.json()["duplicate"]) == (
        200,
        first.json()["number"],
        True,
    )
    other = client.post("/api/cases", json=sent | {"description": "别的"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "id_conflict")


def test_a_case_goes_through_its_flow_by_the_actions_the_api_offers(client, login, spot):
    acceptor, leader, dispatcher = login("acceptor1"), login("shiftleader1"), login("dispatcher1")
    made = client.post("/api/cases", json=a_report(spot), headers=acceptor).json()
    url = f"/api/cases/{made['id']}"
    for headers, expected in ((acceptor, "accept"), (leader, "file"), (dispatcher, "dispatch")):
        detail = client.get(url, headers=headers).json()
        primary = next(a for a in detail["actions"] if a["primary"])
        assert primary["action"] == expected
        answer = client.post(f"{url}/actions", json={"action": expected, "seq": detail["seq"]}, headers=headers)
        assert answer.status_code == 200, answer.text
    after = answer.json()
    assert after["state"] == "handling"
    assert after["light"] == "green"
    assert "剩" in after["remaining"]["zh"]
    manager = login(f"manager_{made['department']['code']}")
    photo = a_photo()
    digest = hashlib.sha256(photo).hexdigest()
    assert client.put(f"/api/media/{digest}", content=photo, headers=manager).json()["mime"] == "image/jpeg"
    handled = client.post(
        f"{url}/actions",
        json={"action": "handle", "payload": {"result": "已清理", "photos_after": [digest]}},
        headers=manager,
    ).json()
    assert [(a["sha256"], a["purpose"]) for a in handled["attachments"]] == [(digest, "after")]
    assert client.get(handled["attachments"][0]["url"], headers=leader).content == photo
    assert client.get(f"/api/media/{digest}?case={uuid4()}", headers=leader).status_code == 404
    assert [e["action"] for e in handled["events"]] == ["handle", "dispatch", "file", "accept", "report"]


def test_the_photo_a_closing_lacks_can_come_with_the_closing(client, login, spot):
    people = {name: login(name) for name in ("acceptor1", "shiftleader1", "dispatcher1")}
    made = client.post("/api/cases", json=a_report(spot), headers=people["acceptor1"]).json()
    url = f"/api/cases/{made['id']}"
    with db.transaction() as tx:
        row = tx.execute(select(case.c.duty_grid_code).where(case.c.id == UUID(made["id"]))).one()
        held = select(staff.c.username).join(staff_role, staff_role.c.staff_id == staff.c.id)
        inspector = tx.execute(held.where(staff_role.c.scope_code == row.duty_grid_code).limit(1)).scalar_one()
    people["manager"], people["inspector"] = login(f"manager_{made['department']['code']}"), login(inspector)

    def take(who, action, **payload):
        return client.post(f"{url}/actions", json={"action": action, "payload": payload}, headers=people[who])

    way = (("acceptor1", "accept"), ("shiftleader1", "file"), ("dispatcher1", "dispatch"), ("manager", "handle"))
    for who, action in way:
        answer = take(who, action, **({"result": "已清理"} if action == "handle" else {}))
        assert answer.status_code == 200, answer.text
    assert take("inspector", "check_pass").status_code == 200
    detail = client.get(url, headers=people["shiftleader1"]).json()
    closing = next(a for a in detail["actions"] if a["action"] == "close")
    assert closing["blocked"] is None
    chosen = detail["closing_conditions"][0]["code"] if detail["closing_conditions"] else ""
    refused = take("shiftleader1", "close", closing_condition=chosen)
    assert (refused.status_code, refused.json()["code"]) == (422, "guard_refuses")
    photo = a_photo("green")
    digest = hashlib.sha256(photo).hexdigest()
    assert client.put(f"/api/media/{digest}", content=photo, headers=people["shiftleader1"]).status_code == 200
    closed = take("shiftleader1", "close", closing_condition=chosen, photos=[digest])
    assert (closed.status_code, closed.json()["status"]) == (200, "closed"), closed.text


def test_the_public_reports_without_a_login_and_follows_by_code(client, spot):
    photo = a_photo()
    digest = hashlib.sha256(photo).hexdigest()
    assert client.put(f"/api/public/media/{digest}", content=photo).status_code == 200
    made = client.post("/api/public/cases", json=a_report(spot, photos=[digest]))
    assert made.status_code == 201, made.text
    followed = client.get(f"/api/public/cases/{made.json()['query_code'].lower()}").json()
    assert followed["number"] == made.json()["number"]
    assert followed["state_name"]["zh"] == "待受理"
    assert client.get("/api/public/cases/NOSUCHCODE").json()["code"] == "case_not_found"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"lon": 0, "lat": 0}, 422, "null_island"),
        ({"lon": 40.11, "lat": 116.65}, 422, "swapped_axes"),
        ({"lon": 471012.7, "lat": 4441798.4}, 422, "wrong_crs"),
        ({"lon": 100.0, "lat": 30.0}, 422, "outside_town"),
        ({"crs": "EPSG:999999"}, 422, "unknown_crs"),
        ({"category_code": "7777"}, 422, "category_unknown"),
        ({"catalogue": "", "category_kind": "event", "category_code": "0401"}, 422, "category_ambiguous"),
        ({"category_name": "道路破损"}, 422, "category_mismatch"),
        ({"component_code": "1101130101999999"}, 422, "component_unknown"),
        ({"lon": "NaN"}, 422, "malformed"),
        ({"lon": None}, 422, "malformed"),
        ({"id": "not-a-uuid"}, 422, "malformed"),
        ({"severity": 9}, 422, "malformed"),
        ({"photos": ["../../etc/passwd"]}, 422, "malformed"),
        ({"photos": ["0" * 64]}, 404, "not_found"),
    ],
)
def test_bad_input_is_named_in_two_languages_and_leaves_nothing(client, login, spot, changes, status, code):
    headers = login("acceptor1")
    before = client.get("/api/cases", headers=headers).json()["items"]
    answer = client.post("/api/cases", json=a_report(spot, **changes), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == PROBLEM
    assert answer.json()["title"]
    assert answer.json()["title_en"]
    assert client.get("/api/cases", headers=headers).json()["items"] == before


def test_malformed_json_and_huge_bodies_are_refused_early(client, login):
    headers = login("admin")
    answer = client.post("/api/cases", content=b'{"lon": ', headers=login("acceptor1"))
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed")
    announced = {**headers, "Content-Length": str(500 * 2**20), "Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post("/api/imports/components", content=b"", headers=announced)
    assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")


@pytest.mark.parametrize("content", [b"<?php", b"\xff\xd8\xff\xe0 not really", b""])
def test_a_photo_that_is_none_is_refused(client, login, content):
    digest = hashlib.sha256(content).hexdigest()
    answer = client.put(f"/api/media/{digest}", content=content, headers=login("acceptor1"))
    assert (answer.status_code, answer.json()["code"]) == (422, "not_a_photo")
    photo = a_photo()
    answer = client.put(f"/api/media/{'0' * 64}", content=photo, headers=login("acceptor1"))
    assert answer.json()["code"] == "malformed"


@pytest.mark.parametrize(
    "query",
    [
        "light=purple",
        "bbox=1,2,3",
        "bbox=3,2,1,4",
        "category=animal:01",
        "since=yesterday",
        "severity=high",
        "overdue=1",
    ],
)
def test_a_bad_filter_names_its_parameter(client, login, query):
    answer = client.get(f"/api/cases?{query}", headers=login("acceptor1"))
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_filter")
    assert answer.json()["detail"]["parameter"] == query.partition("=")[0]


@pytest.mark.parametrize(
    "told",
    [
        ["due", "2026-11-20T04:00:00", str(UUID(int=1))],  # no zone
        ["due", "2026-11-20T04:00:00+08:00", 5],
        ["reported", None, None],
        {},
    ],
)
def test_a_cursor_nobody_gave_out_is_refused(client, login, told):
    cursor = base64.urlsafe_b64encode(json.dumps(told).encode()).decode()
    answer = client.get("/api/cases", params={"order": "due", "cursor": cursor}, headers=login("acceptor1"))
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_cursor")


def test_nothing_comes_after_the_last_of_all_ids(client, login):
    cursor = base64.urlsafe_b64encode(json.dumps(["due", "", str(UUID(int=2**128 - 1))]).encode()).decode()
    answer = client.get("/api/cases", params={"order": "due", "cursor": cursor}, headers=login("acceptor1"))
    assert (answer.json()["items"], answer.json()["next"]) == ([], None)


def test_acting_twice_from_one_page_tells_who_was_first(client, login, spot):
    headers = login("acceptor1")
    made = client.post("/api/cases", json=a_report(spot), headers=headers).json()
    url = f"/api/cases/{made['id']}/actions"
    assert client.post(url, json={"action": "accept", "seq": 1}, headers=headers).status_code == 200
    second = client.post(url, json={"action": "accept", "seq": 1}, headers=login("acceptor2"))
    assert (second.status_code, second.json()["code"]) == (409, "stale_case")
    assert second.json()["detail"]["by"]
    late = client.post(url, json={"action": "accept"}, headers=headers)
    assert (late.status_code, late.json()["code"]) == (409, "state_forbids")
    strange = client.post(url, json={"action": "close"}, headers=headers)
    assert strange.json()["code"] == "state_forbids"


def test_map_and_list_count_alike(client, login, spot):
    headers = login("acceptor1")
    for i in range(5):
        client.post("/api/cases", json=a_report(spot, category_code=f"010{i + 1}"), headers=headers)
    listed = client.get("/api/cases?category=event:01&limit=100", headers=headers).json()["items"]
    # The store follows the feed, which waits for every transaction of the server that may still commit before it.
    end = time.monotonic() + 60
    total = None
    while total != len(listed) and time.monotonic() < end:
        total = client.get("/api/cases/count?category=event:01&facets=category", headers=headers).json()["total"]
        time.sleep(0.05)
    assert total == len(listed) >= 5


def test_a_list_right_after_a_step_shows_it_though_the_points_lag(client, login, spot, monkeypatch):
    acceptor, leader = login("acceptor1"), login("leader")
    early = [client.post("/api/cases", json=a_report(spot), headers=acceptor).json()["id"] for _ in range(7)]
    with db.transaction() as tx:
        frozen = CaseStore.load(tx, mark=str(events.latest(tx)))
    held_back = SimpleNamespace(store=frozen)
    with monkeypatch.context() as patch:
        patch.setattr(live, "hub", held_back)
        late = client.post("/api/cases", json=a_report(spot), headers=acceptor).json()["id"]
        step = {"action": "accept", "payload": {}}
        assert client.post(f"/api/cases/{early[3]}/actions", json=step, headers=acceptor).status_code == 200
        for order in ("newest", "due"):
            for state, expected in (("accepted", {early[3]}), ("reported", {late, *early} - {early[3]})):
                query, told = {"state": state, "order": order, "limit": 3}, []
                while query.get("cursor", "") is not None:
                    page = client.get("/api/cases", params=query, headers=leader).json()
                    told += [item["id"] for item in page["items"]]
                    query["cursor"] = page["next"]
                assert (len(told), set(told)) == (len(expected), expected), (order, state)
        found = client.get("/api/cases", params={"q": "暴露", "state": "accepted"}, headers=leader).json()["items"]
        assert [item["id"] for item in found] == [early[3]]
        assert frozen.mask(people.Scope(everything=True), CaseFilter(state=("accepted",)), datetime.now(UTC)).count == 0


def test_a_case_that_changes_while_a_page_is_read_is_not_shown_as_what_it_was(client, login, spot, monkeypatch):
    """Between the look at the feed and that at the rows; the page is then the database's own."""
    acceptor, leader = login("acceptor1"), login("leader")
    early = [client.post("/api/cases", json=a_report(spot), headers=acceptor).json()["id"] for _ in range(4)]
    with db.transaction() as tx:
        frozen = CaseStore.load(tx, mark=str(events.latest(tx)))
    with monkeypatch.context() as patch:
        patch.setattr(live, "hub", SimpleNamespace(store=frozen))
        patch.setattr(events, "changed", lambda *_: [])
        query = {"state": "reported", "since": "2026-01-01", "limit": 3}
        whole = client.get("/api/cases", params=query, headers=leader).json()
        assert [item["id"] for item in whole["items"]] == early[:0:-1]
        step = {"action": "accept", "payload": {}}
        assert client.post(f"/api/cases/{early[2]}/actions", json=step, headers=acceptor).status_code == 200
        page = client.get("/api/cases", params=query, headers=leader).json()
        assert [item["id"] for item in page["items"]] == [early[3], early[1], early[0]]
