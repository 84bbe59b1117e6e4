"""The device register: who has what, when it was last heard of; lost, it acts for nobody."""

from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy import func, select

from gis import db
from gis.tables import audit, staff
from tests.api.conftest import PASSWORD


def sign_in(client, username: str, device: str) -> dict[str, str]:
    answer = client.post("/api/login", json={"username": username, "password": PASSWORD, "device": device})
    client.cookies.clear()
    return {"Authorization": f"Bearer {answer.json()['token']}"}


def test_a_lost_phone_acts_for_nobody(client, login):
    manager = login("shiftleader1")
    phone, key = str(uuid4()), "0193-phone-of-the-first"
    body = {"id": phone, "kind": "phone", "label": "SB-001", "key": key}
    assert client.post("/api/devices", json=body, headers=manager).status_code == 201
    for again in (body | {"id": str(uuid4()), "key": ""}, body | {"id": str(uuid4()), "label": "SB-002"}):
        refused = client.post("/api/devices", json=again, headers=manager).json()
        assert (refused["code"], refused["detail"]["known"]) == ("device_known", phone)

    def step(name: str, **more):
        return client.post(f"/api/devices/{phone}/steps", json={"step": name} | more, headers=manager)

    with db.transaction() as tx:
        holder = str(tx.scalar(select(staff.c.id).where(staff.c.username == "inspector001")))
    assert step("take_back").json()["code"] == "device_state"
    assert step("hand_out", holder=str(uuid4())).json()["code"] == "staff_unknown"
    assert step("hand_out", holder=holder).json() == {"tokens_ended": 0}
    assert step("hand_out", holder=holder).json()["code"] == "device_state"

    def known() -> dict:
        return client.get("/api/devices", headers=manager).json()["items"][0]

    assert (known()["holder"]["username"], known()["seen_at"]) == ("inspector001", None)
    on_phone, at_desk, nameless = (
        sign_in(client, "inspector001", key),
        sign_in(client, "inspector001", "another-device"),
        sign_in(client, "inspector001", ""),
    )
    borrowed = sign_in(client, "inspector002", key)
    assert known()["seen_at"]
    assert step("lose", note="巡查途中遗失").json() == {"tokens_ended": 3}
    statuses = [client.get("/api/me", headers=h).status_code for h in (on_phone, borrowed, nameless, at_desk)]
    assert statuses == [401, 401, 401, 200]
    assert (known()["state"], known()["holder"]["username"], known()["note"]) == (
        "lost",
        "inspector001",
        "巡查途中遗失",
    )
    assert step("find").json() == {"tokens_ended": 0}
    assert step("retire").json() == {"tokens_ended": 0}
    assert step("find").json()["code"] == "device_state"
    with db.transaction() as tx:
        acts = tx.execute(select(audit.c.act, func.count()).where(audit.c.act.like("device.%")).group_by(audit.c.act))
        assert dict(acts.all()) == {f"device.{n}": 1 for n in ("register", "hand_out", "lose", "find", "retire")}


def test_last_seen_is_the_last_position_too(client, login):
    manager, inspector = login("admin"), login("inspector001")
    with db.transaction() as tx:
        holder = str(tx.scalar(select(staff.c.id).where(staff.c.username == "inspector001")))
    body = {"id": str(uuid4()), "kind": "recorder", "label": "JL-7", "key": "recorder-7"}
    client.post("/api/devices", json=body, headers=manager)
    client.post(f"/api/devices/{body['id']}/steps", json={"step": "hand_out", "holder": holder}, headers=manager)
    town = client.get("/api/town").json()
    fix = {"seq": 1, "at": datetime.now(UTC).isoformat(), "lon": town["center"][0], "lat": town["center"][1]}
    sent = client.post(
        "/api/positions", json={"device": "recorder-7", "crs": "EPSG:4490", "fixes": [fix]}, headers=inspector
    )
    assert sent.status_code < 300, sent.text
    (known,) = client.get("/api/devices", headers=manager).json()["items"]
    assert known["seen_at"]


def test_the_register_is_for_those_who_keep_it(client, login):
    acceptor = login("acceptor1")
    assert client.get("/api/devices", headers=acceptor).json()["detail"] == {"permission": "device.manage"}
    body = {"id": str(uuid4()), "kind": "phone", "label": "x"}
    assert client.post("/api/devices", json=body, headers=acceptor).status_code == 403
    missing = client.post(f"/api/devices/{uuid4()}/steps", json={"step": "lose"}, headers=login("security"))
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
