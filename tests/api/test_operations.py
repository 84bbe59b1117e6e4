"""Operators see what is stuck and what was refused, and say what becomes of it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import func, insert, select, update

from gis import db, deadlines, errors
from gis.tables import audit, case, delivery, quarantine, unit_grid


def acts(act: str) -> int:
    with db.transaction() as tx:
        return tx.execute(select(func.count()).where(audit.c.act == act)).scalar_one()


def test_dead_deliveries_are_seen_and_replayed_by_the_administrator_alone(client, login):
    with db.transaction() as tx:
        tx.execute(insert(delivery).values(consumer="statistics", case_id=uuid4(), seq=1, dead=True, error="it broke"))
    headers = login("admin")
    seen = client.get("/api/jobs", headers=headers).json()
    assert seen["consumers"]["statistics"] == {"waiting": 0, "dead": 1}
    assert [row["error"] for row in seen["dead"]] == ["it broke"]
    assert seen["imports"] == []
    assert client.post("/api/jobs/replay", headers=login("leader")).status_code == 403
    assert client.post("/api/jobs/replay", headers=headers).json() == {"revived": 1, "timers": 0}
    assert client.get("/api/jobs", headers=headers).json()["consumers"]["statistics"] == {"waiting": 1, "dead": 0}
    assert acts("job.replay") == 1


def test_a_deadline_that_cannot_act_is_seen_with_its_reason_and_tried_again(client, login, spot):
    headers, now = login("admin"), datetime.now(UTC)
    sent = {"id": str(uuid4()), "catalogue": "cjt214-2007", "category_kind": "event", "category_code": "0102"}
    body = sent | {"lon": spot["lon"], "lat": spot["lat"], "description": "垃圾"}
    made = client.post("/api/cases", json=body, headers=login("acceptor1")).json()
    one = update(case).where(case.c.id == UUID(made["id"]))

    def tick(moment):
        with db.transaction() as tx:
            assert deadlines.wake(tx, now=moment) == 0

    def stuck():
        return client.get("/api/jobs", headers=headers).json()["stuck"]

    with db.transaction() as tx:
        tx.execute(one.values(wake_at=now - timedelta(days=1)))  # a state without a timer
    tick(now)
    [seen] = stuck()
    assert (seen["case_id"], seen["number"], seen["kind"]) == (made["id"], made["number"], "timer")
    assert "state_forbids" in seen["error"]
    assert (seen["why"]["zh"], seen["state_name"]["zh"]) == (errors.StateForbids.zh, "待受理")
    assert client.get("/api/jobs/health", headers=headers).json() == {"stuck": 1, "dead": 0, "waiting": 1}
    assert client.get("/api/jobs/health", headers=login("leader")).status_code == 403
    nobody = client.post(f"/api/jobs/replay?case={uuid4()}", headers=headers).json()
    assert nobody == {"revived": 0, "timers": 0}
    tick(now)
    assert stuck()[0]["attempts"] == 1, "not every tick"
    assert client.post(f"/api/jobs/replay?case={made['id']}", headers=headers).json()["timers"] == 1
    tick(datetime.now(UTC))
    assert stuck()[0]["attempts"] == 2
    with db.transaction() as tx:
        tx.execute(one.values(wake_at=None))
    assert stuck() == []


def test_the_same_id_with_other_content_is_refused_but_kept(client, login):
    reporter, headers = login("acceptor1"), login("admin")
    point = func.ST_PointOnSurface(unit_grid.c.geom)
    with db.transaction() as tx:
        lon, lat = tx.execute(select(func.ST_X(point), func.ST_Y(point)).limit(1)).one()
    sent = {
        "id": str(uuid4()),
        "catalogue": "cjt214-2007",
        "category_kind": "event",
        "category_code": "0501",
        "lon": lon,
        "lat": lat,
        "description": "第一次",
    }
    assert client.post("/api/cases", json=sent, headers=reporter).status_code == 201
    for description in ("第二次", "第二次", "第三次"):
        answer = client.post("/api/cases", json=sent | {"description": description}, headers=reporter)
        assert (answer.status_code, answer.json()["code"]) == (409, "id_conflict")
    with db.transaction() as tx:
        assert tx.scalar(select(func.count()).select_from(case)) == 1
        assert tx.scalar(select(func.count()).select_from(quarantine)) == 2, "the same again is kept once"

    first = client.get("/api/quarantine", params={"limit": 1}, headers=headers).json()
    second = client.get("/api/quarantine", params={"limit": 1, "after": first["next"]}, headers=headers).json()
    [row], [other] = first["items"], second["items"]
    assert (row["source"], row["kind"], row["code"], row["state"]) == ("patrol", "case", "id_conflict", "waiting")
    assert (row["payload"]["report"]["description"], other["payload"]["report"]["description"]) == ("第二次", "第三次")
    assert row["payload"]["report"]["id"] == sent["id"]

    url = f"/api/quarantine/{row['id']}"
    assert client.post(url, json={"state": "forgotten"}, headers=headers).status_code == 422
    assert client.post(url, json={"state": "rejected"}, headers=reporter).status_code == 403
    assert client.post(url, json={"state": "rejected"}, headers=headers).json()["state"] == "rejected"
    assert client.post("/api/quarantine/999999", json={"state": "rejected"}, headers=headers).status_code == 404
    waiting = client.get("/api/quarantine", params={"state": "waiting"}, headers=headers).json()
    assert [each["id"] for each in waiting["items"]] == [other["id"]]
    assert acts("quarantine.settle") == 1
