"""Hand-overs and the duty log: gathered by the server, signed by the next one's password, never changed."""

import hashlib
import io
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from openpyxl import load_workbook
from PIL import Image
from sqlalchemy import func, insert, select, text, update

from gis import db, handovers
from gis.db import make_engine
from gis.search import ZONE
from gis.tables import audit, case, shift, staff, staff_role, unit_grid
from tests.api.conftest import PASSWORD

EVENING = datetime.now(ZONE).replace(hour=23, minute=30, second=0, microsecond=0) - timedelta(days=3)
DAY, NEXT = EVENING.date(), EVENING.date() + timedelta(days=1)


@pytest.fixture
def cases(client, login):
    """Four open cases, the first late and the second soon late; their ids."""
    headers = login("acceptor1")
    point = func.ST_PointOnSurface(unit_grid.c.geom)
    with db.transaction() as tx:
        places = tx.execute(select(func.ST_X(point), func.ST_Y(point)).order_by(unit_grid.c.code).limit(4)).all()
    ids = []
    for lon, lat in places:
        sent = {"category_kind": "event", "category_code": "0102", "catalogue": "cjt214-2007", "lon": lon, "lat": lat}
        ids.append(client.post("/api/cases", json=sent, headers=headers).json()["id"])
    now = datetime.now(UTC)
    due = {
        0: (now - timedelta(hours=3), now - timedelta(hours=5)),
        1: (now + timedelta(hours=1), now - timedelta(hours=1)),
    }
    clock = {"limit": {"amount": "4", "kind": "urgent_hours"}, "started_at": now.isoformat(), "pauses": []}
    with db.transaction() as tx:
        for i, (at, yellow) in due.items():
            # Past the engine: the clocks of four cases at once. The follower is told by the step below.
            tx.execute(update(case).where(case.c.id == ids[i]).values(due_at=at, yellow_at=yellow, clock=clock))
    for one in ids:
        step = {"action": "accept", "payload": {}}
        assert client.post(f"/api/cases/{one}/actions", json=step, headers=headers).status_code == 200
    return ids


def wait_until(look, expected):
    """The follower takes changes up within a moment."""
    end = datetime.now() + timedelta(seconds=20)
    while look() != expected:
        assert datetime.now() < end, look()


def test_a_hand_over_is_gathered_signed_by_the_next_and_kept(client, login, cases):
    giver, taker = login("acceptor1"), login("acceptor2")

    def figures() -> dict[str, int]:
        told = client.get("/api/handovers/draft", headers=giver).json()
        return {f["code"]: f["n"] for f in told["figures"]} if "figures" in told else told

    wait_until(lambda: [figures().get(code) for code in ("open", "late", "soon")], [4, 1, 1])
    draft = client.get("/api/handovers/draft", headers=giver).json()
    assert draft["roles"] == ["acceptor"]
    assert draft["equipment"][0]["zh"] == "值班电话"
    assert [(item["id"], item["why"]) for item in draft["items"]] == [(cases[0], ["late"])]
    for figure in draft["figures"]:  # every number equals the list it opens
        listed = client.get("/api/cases", params=figure["filter"] | {"limit": 100}, headers=giver).json()["items"]
        assert len(listed) == figure["n"], figure

    body = {
        "id": str(uuid4()),
        "role": "acceptor",
        "notes": {cases[0]: "已电话催过环卫公司"},
        "equipment": [{"name": "值班电话", "sound": False, "note": "2 号机无声"}],
        "remarks": "晚间有雨",
    }
    made = client.post("/api/handovers", json=body, headers=giver)
    assert made.status_code == 201, made.text
    assert made.json()["content"]["items"][0]["note"] == "已电话催过环卫公司"
    assert made.json()["signed_by"] is None
    again = client.post("/api/handovers", json=body, headers=giver).json()
    assert (again["digest"], len(client.get("/api/handovers", headers=giver).json()["items"])) == (
        made.json()["digest"],
        1,
    )
    assert client.post("/api/handovers", json=body, headers=taker).json()["code"] == "id_conflict"
    wrong_post = client.post("/api/handovers", json=body | {"id": str(uuid4()), "role": "dispatcher"}, headers=giver)
    assert wrong_post.json()["code"] == "not_on_post"
    with db.transaction() as tx:
        assert [one.given_by for one in handovers.unsigned(tx)] == [made.json()["given_by"]]

    sign = f"/api/handovers/{body['id']}/sign"
    for headers, password, code in (
        (taker, "not-the-password", "wrong_password"),
        (giver, PASSWORD, "signer_forbidden"),
        (login("dispatcher1"), PASSWORD, "signer_forbidden"),
    ):
        refused = client.post(sign, json={"password": password}, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, code)
    signed = client.post(sign, json={"password": PASSWORD, "remark": "已接清"}, headers=taker).json()
    assert (signed["remark"], signed["signed_by"] != signed["given_by"]) == ("已接清", True)
    late = client.post(sign, json={"password": PASSWORD}, headers=login("shiftleader1"))
    assert (late.status_code, late.json()["code"]) == (409, "already_signed")
    kept = client.get(f"/api/handovers/{body['id']}", headers=taker).json()
    assert (kept["intact"], kept["digest"]) == (True, made.json()["digest"])
    with db.transaction() as tx:
        assert handovers.unsigned(tx) == []
        acts = tx.execute(select(audit.c.act).where(audit.c.act.like("handover.%"))).scalars().all()
    assert sorted(acts) == ["handover.give", "handover.sign"]


def test_a_wrong_password_at_signing_counts_as_a_failed_login(client, login):
    giver, taker = login("dispatcher1"), login("dispatcher2")
    made = client.post("/api/handovers", json={"id": str(uuid4()), "role": "dispatcher"}, headers=giver).json()
    codes = [
        client.post(f"/api/handovers/{made['id']}/sign", json={"password": "x"}, headers=taker).json()["code"]
        for _ in range(6)
    ]
    assert codes == ["wrong_password"] * 5 + ["login_locked"]
    refused = client.post("/api/login", json={"username": "dispatcher2", "password": PASSWORD})
    assert refused.json()["code"] == "login_locked"


def test_the_chain_shows_what_was_changed_behind_its_back(client, login, database):
    giver = login("shiftleader1")
    for remarks in ("一", "二", "三"):
        body = {"id": str(uuid4()), "role": "shift_leader", "remarks": remarks}
        assert client.post("/api/handovers", json=body, headers=giver).status_code == 201
    with db.transaction() as tx:
        assert handovers.broken(tx) == []
    owner = make_engine(database.owner_url, pool_size=1)
    with owner.begin() as tx:
        tx.execute(text("alter table handover disable trigger append_only"))
        tx.execute(text("update handover set content = jsonb_set(content, '{remarks}', '\"改\"') where seq = 2"))
    with db.transaction() as tx:
        assert handovers.broken(tx) == [2]
    page = client.get("/api/handovers?limit=2", headers=giver).json()
    assert [one["content"]["remarks"] for one in page["items"]] == ["三", "改"]
    last = client.get(f"/api/handovers?limit=2&before={page['next']}", headers=giver).json()
    assert ([one["content"]["remarks"] for one in last["items"]], last["next"]) == (["一"], None)
    assert client.get(f"/api/handovers/{page['items'][0]['id']}", headers=giver).json()["intact"] is False
    with owner.begin() as tx:
        tx.execute(text("delete from handover where seq = 2"))
    with db.transaction() as tx:
        assert handovers.broken(tx) == [3]
    owner.dispose()


def test_the_hand_over_names_the_shift_that_ends(client, login):
    now = datetime.now(UTC).replace(microsecond=0)
    with db.transaction() as tx:
        person = tx.scalar(select(staff.c.id).where(staff.c.username == "acceptor6"))
        tx.execute(shift.delete().where(shift.c.staff_id == person))
        span = {"starts_at": now - timedelta(hours=8), "ends_at": now - timedelta(minutes=10)}
        tx.execute(insert(shift).values(staff_id=person, role="acceptor", **span))
    told = client.get("/api/handovers/draft", headers=login("acceptor6")).json()["shift"]
    assert (told["role"], datetime.fromisoformat(told["ends_at"])) == ("acceptor", span["ends_at"])


def test_the_log_is_written_searched_corrected_by_what_follows_and_exported(client, login, cases):
    acceptor, leader = login("acceptor1"), login("leader")
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 30)).save(buffer, "PNG")
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    assert client.put(f"/api/media/{digest}", content=buffer.getvalue(), headers=acceptor).status_code == 200

    def write(**more):
        body = {"id": str(uuid4()), "kind": "phone", "text": "居民来电反映积水"} | more
        return body, client.post("/api/duty-log", json=body, headers=acceptor)

    first, made = write(case_id=cases[0], photo=digest, happened_at=EVENING.isoformat())
    assert made.status_code == 201, made.text
    assert client.post("/api/duty-log", json=first, headers=acceptor).json() == made.json()
    changed = client.post("/api/duty-log", json=first | {"text": "另一句"}, headers=acceptor)
    assert (changed.status_code, changed.json()["code"]) == (409, "id_conflict")
    assert (
        write(
            follows=first["id"], text="更正：是自来水漏水", happened_at=(EVENING + timedelta(minutes=40)).isoformat()
        )[1].status_code
        == 201
    )
    for more, code in (
        ({"case_id": str(uuid4())}, "case_not_found"),
        ({"follows": str(uuid4())}, "entry_unknown"),
        ({"photo": "0" * 64}, "not_found"),
        ({"text": "  "}, "field_missing"),
        ({"text": "长" * 2001}, "malformed"),
        ({"happened_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}, "date_bad"),
    ):
        assert write(**more)[1].json()["code"] == code

    def found(query: str) -> list[str]:
        return [e["text"] for e in client.get(f"/api/duty-log?{query}", headers=leader).json()["items"]]

    assert found(f"day={DAY}") == ["居民来电反映积水"]
    assert found(f"day={DAY}&until={NEXT}") == ["更正：是自来水漏水", "居民来电反映积水"]
    assert found("q=漏水") == ["更正：是自来水漏水"]
    assert found("q=来电 积水&kind=phone") == ["居民来电反映积水"]
    assert found("kind=visit") == found("q=%25") == []
    page = client.get("/api/duty-log?limit=1", headers=leader).json()
    assert found(f"limit=1&cursor={page['next'].replace('+', '%2B')}") == ["居民来电反映积水"]
    entry = client.get(f"/api/duty-log?day={DAY}", headers=leader).json()["items"][0]
    assert entry["case"]["id"] == cases[0]
    assert client.get(entry["photo"], headers=leader).content == buffer.getvalue()
    sheet = client.get(f"/api/duty-log/export?day={DAY}&until={NEXT}", headers=leader).content
    rows = list(load_workbook(io.BytesIO(sheet)).active.iter_rows(values_only=True))
    assert [(row[0], row[1], row[2], row[6]) for row in rows[1:]] == [
        (f"{DAY} 23:30", "电话", "居民来电反映积水", None),
        (f"{NEXT} 00:10", "电话", "更正：是自来水漏水", "更正/续记"),
    ]


def test_the_papers_are_for_the_centre_alone(client, login):
    with db.transaction() as tx:
        person = tx.scalar(select(staff.c.id).where(staff.c.username == "acceptor5"))
        tx.execute(
            update(staff_role).where(staff_role.c.staff_id == person).values(scope="village", scope_code="110113003004")
        )
    village, inspector = login("acceptor5"), login("inspector001")
    for path in ("/api/handovers", "/api/handovers/draft", "/api/duty-log", "/api/reports"):
        for headers, detail in ((inspector, {"permission": "shift.work"}), (village, {"scope": "town"})):
            answer = client.get(path, headers=headers)
            assert (answer.status_code, answer.json()["detail"]) == (403, detail), path
    for path, body in (
        ("/api/handovers", {"id": str(uuid4()), "role": "acceptor"}),
        ("/api/duty-log", {"id": str(uuid4()), "kind": "other", "text": "x"}),
        ("/api/reports", {"id": str(uuid4()), "period": "day", "day": str(DAY)}),
    ):
        assert client.post(path, json=body, headers=village).json()["detail"] == {"scope": "town"}


def test_the_ends_of_the_calendar_are_no_failure_anywhere(client, login):
    """Days without one before or after, in whatever asks for a day: an answer or a refusal in words."""
    headers = login("leader")
    asked = 0
    for path, ways in client.get("/openapi.json").json()["paths"].items():
        for told in ways.get("get", {}).get("parameters", []):
            days = [one for one in told["schema"].get("anyOf", [told["schema"]]) if one.get("format") == "date"]
            if not days or "{" in path:
                continue
            others = {one["name"]: "2026-01-01" for one in ways["get"]["parameters"] if one["required"]}
            others |= {"period": "day"} if "period" in others else {}
            for day in ("0001-01-01", "9999-12-31"):
                answer = client.get(path, params=others | {told["name"]: day}, headers=headers)
                assert answer.status_code < 500, (path, told["name"], day, answer.text)
                asked += 1
    assert asked >= 20
