"""Reports, board and balance: every number equals the list it opens; what is kept stays as it was."""

import io
import random
import time
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from openpyxl import load_workbook
from sqlalchemy import func, select, update

from api import live
from gis import db, measures, running_report
from gis.search import ZONE
from gis.tables import case, duty_grid_member, staff, staff_role, unit_grid

TODAY = datetime.now(ZONE).date()
MONDAY = TODAY - timedelta(days=TODAY.weekday() + 7)
DEPARTMENTS = ("D02", "D03")
CHANNELS = ("patrol", "video", "hotline")


@pytest.fixture
def cases(client, login):
    """Thirty cases of three weeks in all states, rolled up; some late when handled, one handed on while late."""
    headers, chance = login("leader"), random.Random(7)
    point = func.ST_PointOnSurface(unit_grid.c.geom)
    with db.transaction() as tx:
        places = tx.execute(
            select(func.ST_X(point), func.ST_Y(point)).order_by(func.md5(unit_grid.c.code)).limit(30)
        ).all()
    noon = datetime.now(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    for i, (lon, lat) in enumerate(places):
        sent = {
            "category_kind": "event",
            "category_code": ("0102", "0501", "0201")[i % 3],
            "catalogue": "cjt214-2007",
            "lon": lon,
            "lat": lat,
        }
        made = client.post("/api/cases", json=sent, headers=headers)
        assert made.status_code == 201, made.text
        reported = noon - timedelta(hours=17 * i)
        status = ("open", "closed", "closed", "void")[i % 4]
        handled = reported + timedelta(hours=5) if status == "closed" else None
        due = reported + timedelta(hours=chance.choice((2, 50)))
        late = {"late": [{"at": due.isoformat(), "department": "D03", "minutes": 9}]} if i == 8 else {}
        clock = {
            "limit": {"amount": "50", "kind": "urgent_hours"},
            "started_at": reported.isoformat(),
            "pauses": [],
        }
        with db.transaction() as tx:
            tx.execute(
                update(case)
                .where(case.c.id == UUID(made.json()["id"]))
                .values(
                    channel=CHANNELS[i % len(CHANNELS)],
                    reported_at=reported,
                    filed_at=reported if i % 5 else None,
                    status=status,
                    department_code="D02" if late else chance.choice(DEPARTMENTS),
                    handled_at=handled,
                    closed_at=handled,
                    due_at=due,
                    yellow_at=due - timedelta(hours=1),
                    overdue_at=due
                    if due < datetime.now(UTC) and not late and (handled is None or due < handled)
                    else None,
                    clock=clock | late,
                    seq=case.c.seq + 1,  # what was changed past the engine is news to the points
                )
            )
    end = time.monotonic() + 30
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() < end, "the points were not loaded"
        time.sleep(0.02)
    with db.transaction() as tx:
        measures.recompute(tx)
        rows = list(tx.execute(select(case)).all())
        live.store().refresh(tx, [row.id for row in rows])
    return rows


def local(moment: datetime | None) -> date | None:
    return moment and moment.astimezone(ZONE).date()


def listed(client, headers, measure: str, **query: str) -> int:
    found, cursor = 0, ""
    while cursor is not None:
        params = query | {"limit": 7, "cursor": cursor}
        page = client.get(f"/api/statistics/{measure}/cases", params=params, headers=headers).json()
        found, cursor = found + len(page["items"]), page["next"]
    return found


DRILL = {"channel": "channel", "village": "village", "department": "owner", "category": "category"}


def test_every_number_of_a_report_opens_its_cases(client, login, cases):
    headers = login("leader")
    report = client.get(f"/api/reports/preview?period=week&day={MONDAY}", headers=headers).json()
    days = {"day_since": report["since"], "day_until": report["until"]}
    before = {"day_since": report["before_since"], "day_until": report["before_until"]}
    assert days == {"day_since": str(MONDAY), "day_until": str(MONDAY + timedelta(days=6))}
    week = [c for c in cases if c.status != "void" and MONDAY <= local(c.reported_at) < MONDAY + timedelta(days=7)]
    assert report["totals"]["reported"] == len(week) > 0
    assert report["totals"]["overdue"] > 0
    for measure, n in report["totals"].items():
        assert listed(client, headers, measure, **days) == n, measure
        assert listed(client, headers, measure, **before) == report["before"][measure], measure
    checked = 0
    for by, parameter in DRILL.items():
        for line in report["by"][by]:
            for measure in report["totals"]:
                n = line["values"].get(measure, 0)
                assert listed(client, headers, measure, **days, **{parameter: line["key"]}) == n, (by, line, measure)
                checked += n > 0
        for measure, n in report["totals"].items():
            assert sum(line["values"].get(measure, 0) for line in report["by"][by]) == n
    assert checked > 20
    assert sum(d["reported"] for d in report["days"]) == report["totals"]["reported"]
    assert len(report["days"]) == 7
    assert {i["id"] for i in report["notable"]["overdue"]} == {
        str(c.id) for c in cases if c.status != "void" and MONDAY <= (_late(c) or date.min) < MONDAY + timedelta(days=7)
    }


def _late(row) -> date | None:
    told = row.clock.get("late")
    return local(row.overdue_at or (datetime.fromisoformat(told[-1]["at"]) if told else None))


def test_a_report_kept_stays_as_it_was(client, login, cases):
    headers, report_id = login("shiftleader1"), str(uuid4())
    kept = client.post("/api/reports", json={"id": report_id, "period": "month", "day": str(MONDAY)}, headers=headers)
    assert kept.status_code == 201, kept.text
    first = client.get(f"/api/reports/{report_id}", headers=headers).json()
    with db.transaction() as tx:
        tx.execute(update(case).values(status="void"))
        measures.recompute(tx)
    again = client.get(f"/api/reports/{report_id}", headers=headers).json()
    assert again["totals"] == first["totals"]
    assert again["kept"] == first["kept"]
    assert client.get("/api/reports", headers=headers).json()["items"] == [first["kept"]]
    sheet = client.get(f"/api/reports/{report_id}/export", headers=headers)
    book = load_workbook(io.BytesIO(sheet.content))
    assert book.sheetnames == ["概况", "来源", "村居", "部门", "类别前十", "逐日"]
    assert [row[1] for row in book["概况"].iter_rows(min_row=2, values_only=True)] == [
        first["totals"][measure] for measure in running_report.MEASURES
    ]
    future = client.get(f"/api/reports/preview?period=day&day={TODAY + timedelta(days=1)}", headers=headers)
    assert future.json()["code"] == "period_unfinished"


def test_the_boards_numbers_equal_their_lists(client, login, cases):
    headers = login("leader")
    board = client.get("/api/board", headers=headers).json()
    assert board["lists"]["late"]["n"]
    for code, told in board["lists"].items():
        rows = client.get("/api/cases", params=told["filter"] | {"limit": 100}, headers=headers).json()["items"]
        assert len(rows) == told["n"], code
        for facet, divided in told["by"].items():
            assert sum(divided.values()) == told["n"]
            for key, n in divided.items():
                if key:
                    params = told["filter"] | {facet: key, "limit": 100}
                    assert len(client.get("/api/cases", params=params, headers=headers).json()["items"]) == n
    dues = [item["due_at"] for item in board["longest"]]
    assert dues == sorted(dues)
    assert all(item["handling_light"] == "red" for item in board["longest"])
    assert len(dues) == min(12, board["lists"]["late"]["n"])
    rates = [row["rate"] for row in board["ranking"]["rows"] if row["rate"] is not None]
    assert rates == sorted(rates)
    for row in board["ranking"]["rows"]:
        days = {"day_since": board["ranking"]["since"], "day_until": board["ranking"]["until"], "owner": row["code"]}
        assert listed(client, headers, "handled", **days) == row["handled"]
    assert board["centre"]["unsigned"] == []
    assert "centre" not in client.get("/api/board", headers=login("manager_D02")).json()


def test_the_balance_adds_up(client, login, cases):
    headers = login("leader")
    told = client.get("/api/balance", headers=headers).json()
    with db.transaction() as tx:
        grids = dict(tx.execute(select(duty_grid_member)).all())
        area = tx.scalar(select(func.sum(unit_grid.c.area_m2)))
        held = tx.execute(
            select(staff_role.c.scope_code, staff.c.username)
            .join(staff, staff.c.id == staff_role.c.staff_id)
            .where(staff_role.c.role == "inspector", staff_role.c.scope == "duty_grid")
        ).all()
    assert {load["code"] for load in told["items"]} == set(grids.values())
    assert sum(load["area_km2"] for load in told["items"]) == pytest.approx(area / 1e6, abs=0.01)
    recent = [c for c in cases if c.status != "void" and local(c.reported_at) > TODAY - timedelta(days=30)]
    assert sum(load["month"] for load in told["items"]) == len(recent)
    assert all(load["walk_km"] > 0 for load in told["items"])
    beats = {name: [code for code, other in held if other == name] for _, name in held}
    for load in told["items"]:
        hands = sum(1 / len(mine) for mine in beats.values() if load["code"] in mine)
        assert load["month_per_inspector"] == pytest.approx(load["month"] / hands, abs=0.01)
    assert told["spreads"]["area_km2"]["most"] == max(load["area_km2"] for load in told["items"])
    sheet = load_workbook(io.BytesIO(client.get("/api/balance/export", headers=headers).content))
    assert sheet.sheetnames == ["均衡", "差异"]
    assert sheet["均衡"].max_row == len(told["items"]) + 1
