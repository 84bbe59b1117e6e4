"""The grids' editor over HTTP: one draft for all its editors, refusals with their reasons, publishing, and who may."""

from datetime import timedelta

import shapely

from gis.validity import today
from tests.gis.test_grid_plan import across


def middle(ring):
    """A line over a GeoJSON polygon."""
    return across(shapely.Polygon(ring))


def test_a_plan_is_drafted_by_two_seen_weighed_and_published(client, login):
    mine, other = login("shiftleader1"), login("shiftleader2")
    plan = client.get("/api/grid-plan", headers=mine).json()
    day = plan["day"]
    assert (plan["draft"]["revision"], plan["may_write"], plan["faults"], plan["waiting"]) == (0, True, [], None)
    shapes = client.get("/api/grid-plan/shapes", params={"day": day}, headers=mine).json()["features"]
    assert {one["id"] for one in shapes} == {grid["key"] for grid in plan["grids"]}
    grid = max(plan["grids"], key=lambda one: one["m2"])
    ring = next(one for one in shapes if one["id"] == grid["key"])["geometry"]["coordinates"][0]
    split = {"step": "split", "grid": grid["key"], "line": middle(ring)}
    sent = {"day": day, "steps": [split], "revision": 0}
    saved = client.put("/api/grid-plan/draft", json=sent, headers=mine).json()
    fresh = [one for one in saved["grids"] if one["fresh"]]
    assert [one["of"] for one in fresh] == [[grid["key"]]] * 2
    assert saved["ended"] == [grid["key"]]
    assert abs(sum(one["m2"] for one in fresh) - grid["m2"]) <= 2
    assert {one["id"] for one in saved["shapes"]} >= {one["key"] for one in fresh}

    # Who did not see it is told by whom, and nothing of theirs is written.
    stale = client.put("/api/grid-plan/draft", json=sent, headers=other)
    assert (stale.status_code, stale.json()["code"]) == (409, "stale_draft")
    assert stale.json()["detail"]["by"] == saved["draft"]["by"]
    # A step that does not fit is refused with its reason; taken back and done again, all is kept by the server.
    wrong = {**sent, "steps": [split, {"step": "merge", "grids": ["n1.1", "nowhere"]}], "revision": 1}
    refused = client.put("/api/grid-plan/draft", json=wrong, headers=other)
    assert (refused.status_code, refused.json()["code"]) == (422, "grid_unknown")
    back = client.put(
        "/api/grid-plan/draft", json={"day": day, "steps": [], "undone": [split], "revision": 1}, headers=other
    ).json()
    assert (back["ended"], back["draft"]["undone"][0]["grid"]) == ([], grid["key"])
    again = client.put("/api/grid-plan/draft", json={**sent, "revision": 2}, headers=mine).json()
    assert [one["code"] for one in again["grids"]] == [one["code"] for one in saved["grids"]]

    # A suggestion is a step like any other.
    told = client.get("/api/grid-plan/suggestion", params={"village": grid["village"]}, headers=mine).json()
    assert told["skipped"] == []
    assert set(told["unevenness"]) == {grid["village"]}
    steps = [split] + ([{"step": "regroup", "members": told["members"]}] if told["members"] else [])
    client.put("/api/grid-plan/draft", json={**sent, "steps": steps, "revision": 3}, headers=mine).raise_for_status()
    weighed = client.get("/api/grid-plan/balance", headers=mine).json()
    assert weighed["after"] == told["after"]
    assert sum(one["unit_grids"] for one in weighed["after"]) == len(plan["grids"]) + 1
    assert weighed["affected"]["open_cases"] == 0
    assert weighed["affected"]["components"] > 0

    later = (today() + timedelta(days=3)).isoformat()
    made = client.post(
        "/api/grid-plan/publish", json={"revision": 4, "day": later, "note": "新路"}, headers=mine
    ).json()
    assert made["taken"] is False
    (listed,) = client.get("/api/grid-plans", headers=mine).json()["items"]
    assert (listed["id"], listed["state"], listed["opened"], listed["ended"]) == (made["id"], "waiting", 2, 1)
    assert client.post(f"/api/grid-plan/{made['id']}/withdraw", headers=other).json() == {"draft": ""}
    found = client.get("/api/grid-plan", headers=mine).json()
    assert (found["waiting"], len(found["draft"]["steps"])) == (None, len(steps))
    # Another draft beside it, which the first one's publishing changes the ground of.
    aside = {**sent, "key": "aside-2", "name": "备选", "steps": [split], "revision": 0}
    second = client.put("/api/grid-plan/draft", json=aside, headers=other).json()
    assert [(one["key"], one["name"]) for one in second["drafts"]] == [("", "新路"), ("aside-2", "备选")]
    sent = {"revision": found["draft"]["revision"], "day": today().isoformat(), "base": found["draft"]["base"]}
    assert client.post("/api/grid-plan/publish", json=sent, headers=mine).json()["taken"] is True
    behind = {"draft": "aside-2", "revision": 1, "day": sent["day"], "base": second["draft"]["base"]}
    refused = client.post("/api/grid-plan/publish", json=behind, headers=other)
    assert (refused.status_code, refused.json()["code"]) == (409, "stale_draft")
    told = client.get("/api/grid-plan", params={"draft": "aside-2"}, headers=other).json()
    assert [one["problem"]["code"] for one in told["broken"]] == ["grid_unknown"]
    gone = client.delete("/api/grid-plan/draft", params={"draft": "aside-2", "revision": 1}, headers=other)
    assert gone.status_code == 204
    assert client.get("/api/grid-plan", headers=mine).json()["drafts"] == []
    one = client.get(f"/api/grids/{grid['key']}", headers=mine).json()
    assert one["valid_to"] == today().isoformat()
    assert len(one["became"]) == 2
    folded = client.get("/api/statistics?by=unit_grid&fold=true", headers=mine).json()
    assert (folded["folded"], folded["rows"]) == (True, [])


def test_only_managers_of_grids_change_them(client, login):
    for name, may_look in (("dispatcher1", True), ("inspector001", False)):
        headers = login(name)
        assert client.get("/api/grid-plan", headers=headers).status_code == (200 if may_look else 403)
        body = {"day": today().isoformat(), "steps": [], "revision": 0}
        assert client.put("/api/grid-plan/draft", json=body, headers=headers).json()["code"] == "forbidden"
        body = {"revision": 1, "day": today().isoformat()}
        assert client.post("/api/grid-plan/publish", json=body, headers=headers).status_code == 403
    headers = login("shiftleader1")
    for step in (
        {"step": "vanish"},
        {"step": "split", "grid": "x", "line": [[200.0, 40.0], [1, 1]]},
        {"step": "merge"},
    ):
        body = {"day": today().isoformat(), "steps": [step], "revision": 0}
        assert client.put("/api/grid-plan/draft", json=body, headers=headers).json()["code"] == "malformed"
    past = {"day": (today() - timedelta(days=1)).isoformat(), "steps": [], "revision": 0}
    client.put("/api/grid-plan/draft", json=past, headers=headers).raise_for_status()
    refused = client.post("/api/grid-plan/publish", json={"revision": 1, "day": past["day"]}, headers=headers)
    assert refused.json()["code"] == "date_refused"
    assert client.delete("/api/grid-plan/draft?revision=1", headers=headers).status_code == 204
    assert client.delete("/api/grid-plan/draft?revision=1", headers=headers).json()["code"] == "stale_draft"
