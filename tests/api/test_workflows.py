"""Workflows over HTTP: drawn, checked, tried on the past, published, and the running cases moved."""

import copy

import pytest

from api import relay
from tests.api.test_cases import a_report

TWO = {"zh": "复核", "en": "Review"}


@pytest.fixture
def admin(login):
    return login("admin")


@pytest.fixture
def standard(client, admin):
    return client.get("/api/definitions/workflow/standard/versions/in_force", headers=admin).json()["body"]


def with_review(body):
    body = copy.deepcopy(body)
    body["states"]["review"] = {"name": TWO, "stage": "filing"}
    next(a for a in body["actions"] if a["code"] == "file")["to"] = "review"
    body["actions"].append(
        {"code": "ok", "name": TWO, "effect": TWO, "from": ["review"], "to": "filed", "roles": ["leader"]}
    )
    return body


def filed(client, login, spot, n):
    made = client.post("/api/cases", json=a_report(spot, description=f"第{n}件"), headers=login("acceptor1")).json()
    for who, action in (("acceptor1", "accept"), ("shiftleader1", "file")):
        path = f"/api/cases/{made['id']}/actions"
        answer = client.post(path, json={"action": action}, headers=login(who))
        assert answer.status_code == 200, answer.text
    return made["id"]


def test_all_faults_come_at_once_and_only_to_those_who_may_look(client, admin, login, standard):
    body = with_review(standard)
    body["actions"][-1]["roles"] = []
    body["states"]["lost"] = {"name": TWO, "stage": "filing"}
    answer = client.post("/api/workflow-check", json={"body": body}, headers=admin).json()
    told = {(f["rule"], f["part"], f["code"]) for f in answer["faults"]}
    assert {("no_role", "action", "ok"), ("unreachable", "state", "lost"), ("dead_end", "state", "lost")} <= told
    assert client.post("/api/workflow-check", json={"body": standard}, headers=admin).json()["faults"] is not None
    refused = client.post("/api/workflow-check", json={"body": body}, headers=login("inspector001"))
    assert refused.status_code == 403


def test_text_and_back_is_the_same_flow(client, admin, standard):
    text = client.post("/api/workflow-write", json={"body": standard}, headers=admin).json()["text"]
    assert text.index("kind:") < text.index("states:") < text.index("actions:")
    found = client.post("/api/workflow-read", json={"text": text}, headers=admin).json()
    assert found["body"] == standard
    assert [f for f in found["faults"] if f["level"] == "error"] == []
    for text in ("a: [", "just words", "- 1"):
        answer = client.post("/api/workflow-read", json={"text": text}, headers=admin)
        assert (answer.status_code, answer.json()["code"]) == (422, "definition_bad")


def test_a_draft_with_faults_is_not_tried(client, admin, standard):
    del standard["actions"][0]["to"]
    answer = client.post("/api/workflow-simulate", json={"body": standard}, headers=admin)
    assert (answer.status_code, answer.json()["code"]) == (422, "definition_bad")


def test_the_way_of_a_draft(client, admin, login, standard, spot):
    """Tried, published, a new case runs through the new step, the old ones are moved and say so."""
    old = [filed(client, login, spot, n) for n in range(2)]
    body = with_review(standard)
    leader = login("leader")
    found = client.post("/api/workflow-simulate", json={"body": body}, headers=leader).json()
    assert (found["summary"]["cases"], found["summary"]["same"], found["total"]) == (2, 0, 2)
    assert {line["kind"] for line in found["items"]} == {"leads_elsewhere"}
    blind = client.post("/api/workflow-simulate", json={"body": body}, headers=admin).json()
    assert (blind["summary"]["deviating"], blind["summary"]["unseen"], blind["items"]) == (2, 2, [])

    saved = client.put("/api/definitions/workflow/standard/draft", json={"body": body}, headers=admin).json()
    made = {"revision": saved["revision"], "note": "加复核"}
    published = client.post("/api/definitions/workflow/standard/versions", json=made, headers=admin)
    assert published.status_code == 201, published.text
    assert published.json()["version"] == 2
    new = filed(client, login, spot, 9)
    assert client.get(f"/api/cases/{new}", headers=leader).json()["state"] == "review"
    running = client.get("/api/workflow-running", headers=admin).json()["running"]
    assert {(r["workflow"], r["version"]): r["cases"] for r in running} == {("standard", 1): 2, ("standard", 2): 1}

    way = {"source": {"workflow": "standard", "version": 1}, "target": {"workflow": "standard", "version": 2}}
    planned = client.post("/api/workflow-moves/plan", json=way, headers=admin).json()
    assert (planned["cases"], planned["movable"], planned["refused"]) == (2, 2, 0)
    order = way | {"states": {"filed": "review"}, "reason": "统一复核"}
    assert client.post("/api/workflow-moves", json=order, headers=leader).status_code == 403
    move = client.post("/api/workflow-moves", json=order, headers=admin).json()["id"]
    assert relay.move_cases() == 2
    shown = client.get(f"/api/workflow-moves/{move}", headers=admin).json()
    assert (shown["state"], shown["counts"]) == ("done", {"waiting": 0, "moved": 2, "refused": 0})
    assert client.get("/api/workflow-moves", headers=admin).json()["items"] == [shown]
    for case_id in old:
        told = client.get(f"/api/cases/{case_id}", headers=leader).json()
        assert (told["state"], told["workflow"]["version"]) == ("review", 2)
        assert told["events"][0]["action"] == "migrate"
        assert told["events"][0]["action_name"]["zh"] != "migrate"
        assert [a["action"] for a in told["actions"] if a["action"] == "ok"] == ["ok"]
    cases = client.get(f"/api/workflow-moves/{move}/cases", headers=leader).json()["items"]
    assert {one["id"] for one in cases} == set(old)


def test_a_flow_nobody_published_is_listed_with_who_draws_it(client, admin, standard):
    body = standard | {"code": "own", "name": {"zh": "自建", "en": "Own"}}
    client.put("/api/definitions/workflow/own/draft", json={"body": body}, headers=admin)
    [mine] = client.get("/api/workflow-running", headers=admin).json()["drafts"]
    assert (mine["code"], mine["name"]["zh"], mine["by"]) == ("own", "自建", "系统管理员")


def test_bindings_are_looked_through(client, admin):
    body = client.get("/api/definitions/binding/renhe/versions/in_force", headers=admin).json()["body"]
    found = client.post("/api/workflow-bindings/audit", json={"body": body}, headers=admin).json()
    assert found["faults"] == []
    assert {"winner": 1, "loser": 0, "by": "self_handled"} in found["overlaps"]
    body["bindings"].append({"kind": "case", "workflow": "nowhere"})
    assert client.post("/api/workflow-bindings/audit", json={"body": body}, headers=admin).json()["faults"]
