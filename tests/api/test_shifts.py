"""The duty calendar: planned by whole changes, what is wanting is seen, Excel goes out and comes back."""

import io
from datetime import date, datetime, time, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
import yaml
from openpyxl import Workbook, load_workbook
from sqlalchemy import delete, func, select

from gis import db, workbooks
from gis.settings import settings
from gis.tables import audit, duty_grid, shift, staff, staff_role

ZONE = ZoneInfo("Asia/Shanghai")


def quiet_monday() -> date:
    """The first Monday in five weeks or later with two weeks of ordinary days: after every shift the demo has."""
    body = yaml.safe_load((settings().data_dir / "calendars" / "beijing.yaml").read_text("utf-8"))
    special = [date.fromisoformat(row["date"]) for row in body["workdays"]]
    for row in body["holidays"]:
        first, last = date.fromisoformat(row["from"]), date.fromisoformat(row["to"])
        special += [first + timedelta(days=i) for i in range((last - first).days + 1)]
    day = date.today() + timedelta(days=35 - date.today().weekday())
    while any(day <= one < day + timedelta(days=14) for one in special):
        day += timedelta(days=7)
    return day


MONDAY = quiet_monday()
TUESDAY, WEDNESDAY, SUNDAY = (MONDAY + timedelta(days=i) for i in (1, 2, 6))


def at(day: date, hour: int, minute: int = 0) -> str:
    return datetime.combine(day, time(hour, minute), ZONE).isoformat()


def person(username: str) -> str:
    with db.transaction() as tx:
        return str(tx.scalar(select(staff.c.id).where(staff.c.username == username)))


def turn(username: str, day: date, begin: int, end: int, role: str = "acceptor", **more: str) -> dict[str, str]:
    until = day if end > begin else day + timedelta(days=1)
    return {"staff": person(username), "role": role, "starts_at": at(day, begin), "ends_at": at(until, end)} | more


@pytest.fixture
def plan(client, login):
    """Plans as the shift leader; the answer."""
    headers = login("shiftleader1")

    def send(add=(), remove=(), path="plan", **body):
        body = body or {"add": list(add), "remove": list(remove)}
        return client.post(f"/api/shifts/{path}", json=body, headers=headers)

    with db.transaction() as tx:
        tx.execute(delete(shift))
    return send


@pytest.fixture
def week(client, login):
    """The week of ``MONDAY``, or another, as the leader sees it."""
    headers = login("leader")

    def look(since: date = MONDAY, days: int = 6) -> dict:
        answer = client.get(f"/api/shifts?since={since}&until={since + timedelta(days=days)}", headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return look


def test_a_plan_is_taken_whole_or_not_at_all(plan, week):
    done = plan([turn("acceptor1", MONDAY, 7, 15), turn("acceptor2", MONDAY, 14, 22)])
    assert (done.status_code, done.json()) == (200, {"warnings": []})
    assert [(s["username"], s["role"]) for s in week()["shifts"]] == [
        ("acceptor1", "acceptor"),
        ("acceptor2", "acceptor"),
    ]

    for wrong, code in (
        (turn("acceptor1", MONDAY, 14, 18), "shift_overlap"),
        (turn("acceptor1", MONDAY, 16, 20, role="dispatcher"), "not_on_post"),
        (turn("acceptor3", MONDAY, 7, 15) | {"staff": str(uuid4())}, "staff_unknown"),
        (turn("acceptor3", MONDAY, 7, 15, duty_grid="nowhere"), "grid_unknown"),
        (turn("acceptor3", MONDAY, 7, 15) | {"ends_at": at(MONDAY, 6)}, "shift_span"),
        (turn("acceptor3", MONDAY, 7, 15) | {"ends_at": at(TUESDAY, 8)}, "shift_span"),
    ):
        refused = plan([turn("acceptor4", MONDAY, 7, 15), wrong])
        assert refused.json()["code"] == code
        assert len(week()["shifts"]) == 2, code

    # A move is one change: away and there.
    moved = plan([turn("acceptor1", MONDAY, 8, 16)], [turn("acceptor1", MONDAY, 7, 15)])
    assert moved.status_code == 200
    # Somebody who still sees the old plan moves nothing and doubles nobody.
    stale = plan([turn("acceptor1", MONDAY, 16, 20)], [turn("acceptor1", MONDAY, 7, 15)])
    assert (stale.status_code, stale.json()["code"]) == (409, "shift_unknown")
    assert len(week()["shifts"]) == 2


def test_a_rest_too_short_is_told_but_allowed(plan, week):
    done = plan([turn("acceptor1", MONDAY, 14, 22), turn("acceptor1", TUESDAY, 7, 15)])
    (warned,) = done.json()["warnings"]
    assert (warned["kind"], warned["rest_minutes"], warned["staff"]) == ("rest", 9 * 60, person("acceptor1"))
    assert week()["warnings"] == [warned]


def test_gaps_name_the_post_the_time_and_the_grid(plan, week):
    plan([turn("acceptor1", MONDAY, 7, 15), turn("inspector001", MONDAY, 8, 9, role="inspector")])
    gaps = week(days=0)["gaps"]
    acceptance = [(g["starts_at"], g["ends_at"], g["missing"]) for g in gaps if g["role"] == "acceptor"]
    assert acceptance == [(at(MONDAY, 15), at(MONDAY, 22), 1)]
    # The first inspector looks after two grids of their own; every other grid has nobody on that working day.
    with db.transaction() as tx:
        grids = set(tx.execute(select(duty_grid.c.code)).scalars())
    unwatched = {g["duty_grid"]["code"] for g in gaps if g["role"] == "inspector"}
    assert len(grids - unwatched) == 2
    assert not any(g["role"] == "leader" for g in gaps)  # asked for only on free days
    sunday = week(SUNDAY, 0)
    assert sunday["days"][0]["kind"] == "weekend"
    assert [g["name"]["zh"] for g in sunday["gaps"] if g["role"] == "leader"] == ["带班领导"]


def test_days_say_what_they_are(week):
    days = {d["day"]: (d["kind"], d["name"]) for d in week(date(2026, 9, 28), 13)["days"]}
    assert days["2026-09-30"] == ("workday", "")
    assert days["2026-10-01"] == ("holiday", "国庆节")
    assert days["2026-10-10"] == ("makeup", "国庆节调休上班")
    assert days["2026-10-11"] == ("weekend", "")
    assert week(date(2028, 1, 3), 0)["days"][0]["known"] is False


def test_an_important_time_asks_for_its_own_posts(client, login, plan, week):
    headers, period = login("leader"), str(uuid4())
    post = {
        "role": "dispatcher",
        "name": {"zh": "夜间派遣", "en": "Night dispatch"},
        "count": 1,
        "from": "22:00",
        "hours": 9,
    }
    body = {"name": "全国两会", "starts_on": str(TUESDAY), "ends_on": str(WEDNESDAY), "posts": [post]}
    assert client.put(f"/api/periods/{period}", json=body, headers=headers).status_code == 200
    night = [(g["starts_at"], g["ends_at"]) for g in week()["gaps"] if g["period"] == "全国两会"]
    assert night == [(at(day, 22), at(day + timedelta(days=1), 7)) for day in (TUESDAY, WEDNESDAY)]
    plan([turn("dispatcher1", TUESDAY, 22, 7, role="dispatcher")])
    assert [g["starts_at"] for g in week()["gaps"] if g["period"]] == [at(WEDNESDAY, 22)]

    for change, code in (
        ({"ends_on": str(MONDAY)}, "date_order"),
        ({"posts": [post | {"role": "cook"}]}, "row_invalid"),
    ):
        refused = client.put(f"/api/periods/{period}", json=body | change, headers=headers)
        assert refused.json()["code"] == code
    assert client.delete(f"/api/periods/{period}", headers=headers).status_code == 204
    assert client.delete(f"/api/periods/{period}", headers=headers).status_code == 404
    assert client.get("/api/periods", headers=headers).json() == {"items": []}


def test_a_week_is_copied_and_what_does_not_fit_is_named(plan, week):
    following = MONDAY + timedelta(days=7)
    plan(
        [
            turn("acceptor1", MONDAY, 7, 15),
            turn("acceptor2", SUNDAY, 22, 7),
            turn("dispatcher1", MONDAY, 7, 15, role="dispatcher"),
            turn("acceptor1", following, 14, 22),
        ]
    )
    done = plan(path="copy", week=str(MONDAY + timedelta(days=3)), target=str(following), roles=["acceptor"]).json()
    assert done["added"] == 1
    assert [(s["username"], s["problem"]["code"]) for s in done["skipped"]] == [("acceptor1", "shift_overlap")]
    # The night that began on the Sunday before touches the week too.
    assert [(s["username"], s["starts_at"]) for s in week(following)["shifts"]] == [
        ("acceptor2", at(SUNDAY, 22)),
        ("acceptor1", at(following, 14)),
        ("acceptor2", at(following + timedelta(days=6), 22)),
    ]


def test_two_people_swap(plan, week):
    plan([turn("acceptor1", MONDAY, 7, 15), turn("acceptor2", MONDAY, 14, 22)])
    one, other = turn("acceptor1", MONDAY, 7, 15), turn("acceptor2", MONDAY, 14, 22)
    assert plan(path="swap", one=one, other=other).status_code == 200
    assert [(s["username"], s["starts_at"]) for s in week()["shifts"]] == [
        ("acceptor2", at(MONDAY, 7)),
        ("acceptor1", at(MONDAY, 14)),
    ]
    assert plan(path="swap", one=one, other=other).json()["code"] == "shift_unknown"


def test_the_workbook_goes_out_and_comes_back(client, login, plan, week, monkeypatch):
    headers = login("shiftleader1")
    plan([turn("acceptor1", MONDAY, 22, 7, note="=1+1"), turn("dispatcher1", MONDAY, 7, 15, role="dispatcher")])
    answer = client.get(f"/api/shifts/export?since={MONDAY}&until={MONDAY}", headers=headers)
    rows = list(load_workbook(io.BytesIO(answer.content)).active.iter_rows(values_only=True))
    assert rows[0] == ("用户名", "姓名", "岗位", "日期", "起", "止", "责任网格", "备注")
    assert [row[0] for row in rows[1:]] == ["dispatcher1", "acceptor1"]
    assert rows[2][2:8] == ("受理员", str(MONDAY), "22:00", "07:00", None, "=1+1")

    def take(content: bytes) -> dict:
        return client.post("/api/shifts/import", content=content, headers=headers).json()

    assert take(answer.content) == {"added": 0, "unchanged": 2, "refused": []}
    plan(remove=[turn("acceptor1", MONDAY, 22, 7)])
    assert take(answer.content) == {"added": 1, "unchanged": 1, "refused": []}
    assert week()["shifts"][1]["note"] == "=1+1"

    book = Workbook()
    for row in (
        ("用户名", "岗位", "日期", "起", "止"),
        ("acceptor3", "受理员", TUESDAY, time(7), time(15)),
        ("nobody", "受理员", str(TUESDAY), "07:00", "15:00"),
        (None, None, None, None, None),
        ("acceptor4", "派遣员", str(TUESDAY), "07:00", "15:00"),
        ("acceptor4", "受理员", "2027-02-30", "07:00", "15:00"),
        ("acceptor3", "受理员", f"{TUESDAY:%Y/%m/%d}", "9:00", "10:00"),
        ("acceptor4", "受理员", "9999-12-31", "22:00", "07:00"),
    ):
        book.active.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    done = take(buffer.getvalue())
    assert done["added"] == 1
    assert [(r["row"], r["problem"]["code"]) for r in done["refused"]] == [
        (3, "staff_unknown"),
        (5, "not_on_post"),
        (6, "date_bad"),
        (7, "shift_overlap"),
        (8, "date_bad"),
    ]
    assert take(b"no workbook")["code"] == "file_unreadable"
    at = buffer.getvalue().index(b"xl/worksheets/sheet1.xml") + 40
    damaged = buffer.getvalue()[:at] + b"\xff" * 20 + buffer.getvalue()[at + 20 :]
    assert take(damaged)["code"] == "file_unreadable"
    monkeypatch.setattr(workbooks, "_UNPACKED_LIMIT", 1000)
    assert take(buffer.getvalue())["code"] == "sheet_bad"


def test_who_may_do_what(client, login, plan):
    plan([turn("inspector001", MONDAY, 7, 15, role="inspector"), turn("acceptor1", MONDAY, 7, 15)])
    span = f"since={MONDAY}&until={MONDAY}"
    inspector, acceptor = login("inspector001"), login("acceptor1")
    assert client.get(f"/api/shifts?{span}", headers=inspector).status_code == 403
    mine = client.get(f"/api/shifts/mine?{span}", headers=inspector).json()["shifts"]
    assert [s["username"] for s in mine] == ["inspector001"]
    assert client.get(f"/api/shifts?{span}", headers=acceptor).status_code == 200
    for path in ("plan", "copy", "swap", "import"):
        assert client.post(f"/api/shifts/{path}", json={}, headers=acceptor).status_code == 403, path
    with db.transaction() as tx:
        assert tx.scalar(select(func.count()).where(audit.c.act == "shift.plan")) == 1


def test_who_is_on_duty_now(client, login, plan):
    now = datetime.now(ZONE)
    here = {"staff": person("acceptor1"), "role": "acceptor"}
    spans = [(-2, 2), (-12, -10), (3, 5)]
    plan(
        [
            here
            | {"starts_at": (now + timedelta(hours=a)).isoformat(), "ends_at": (now + timedelta(hours=b)).isoformat()}
            for a, b in spans
        ]
    )
    found = client.get("/api/shifts/now", headers=login("leader")).json()["items"]
    assert [(s["username"], s["online"]) for s in found] == [("acceptor1", False)]


def test_the_wall_of_a_village_has_its_inspectors_and_its_posts(client, login, plan):
    now = datetime.now(ZONE)
    span = {"starts_at": (now - timedelta(hours=2)).isoformat(), "ends_at": (now + timedelta(hours=2)).isoformat()}
    with db.transaction() as tx:
        beats = tx.execute(
            select(staff_role.c.staff_id, func.min(staff_role.c.scope_code))
            .where(staff_role.c.role == "inspector", staff_role.c.scope == "duty_grid")
            .group_by(staff_role.c.staff_id)
        ).all()
    turns = [{"staff": str(one), "role": "inspector", "duty_grid": code} | span for one, code in beats]
    assert plan(turns).status_code == 200

    def patrol(who: str, query: str = "") -> tuple[list[str], list[str] | None]:
        told = client.get(f"/api/wall/patrol?{query}", headers=login(who)).json()
        gaps = told["gaps"] and [gap["duty_grid"]["code"] if gap["duty_grid"] else "" for gap in told["gaps"]]
        return [one["duty_grid"]["code"] for one in told["on_shift"]], gaps

    everybody, posts = patrol("leader")
    villages = {code.split("D")[0] for code in everybody}
    assert len(everybody) == len(beats) > len(villages) > 1
    for village in villages:
        there = [code for code in everybody if code.startswith(village)]
        assert patrol("leader", f"village={village}") == (there, [code for code in posts if code.startswith(village)])
        assert patrol(f"leader_{village[-3:]}") == (there, None)
        silent = client.get(f"/api/wall/alerts?village={village}", headers=login("leader")).json()["silent"]
        assert (silent["n"], silent["of"]) == (len(there), len(there))
    assert patrol("leader", "department=D02") == ([], None)
