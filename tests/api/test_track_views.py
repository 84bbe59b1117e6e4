"""Positions in, histories, replay, coverage out: acknowledged once, exact only for who may, every look recorded."""

import csv
import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import openpyxl
import pyogrio
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from api import relay
from api import tracks as route
from gis import db, track_days, track_intake, track_replay
from gis.tables import audit, patrol_day, position, position_live, quarantine, track_look
from gis.track_replay import State

PHONE_FORM = "%Y-%m-%dT%H:%M:%S.000Z"


@pytest.fixture
def begin() -> datetime:
    """Half an hour of today that is over, whatever the hour."""
    now = datetime.now(UTC).replace(microsecond=0)
    local = now + timedelta(hours=8)
    return now - min(timedelta(minutes=40), timedelta(hours=local.hour, minutes=local.minute) - timedelta(minutes=1))


def walk(
    spot: dict[str, Any], begin: datetime, n: int = 30, first: int = 1, step: float = 1e-4
) -> list[dict[str, Any]]:
    return [
        {
            "seq": first + i,
            "at": f"{begin + timedelta(seconds=10 * i):{PHONE_FORM}}",
            "lon": spot["lon"] + step * i,
            "lat": spot["lat"],
            "accuracy_m": 6.5,
        }
        for i in range(n)
    ]


def send(client: Any, headers: Any, fixes: list[dict[str, Any]], device: str = "phone-1") -> Any:
    body = {"device": device, "crs": "EPSG:4326", "fixes": fixes}
    return client.post("/api/positions", content=json.dumps(body), headers=headers)


def test_a_batch_is_acknowledged_once_and_a_resend_changes_nothing(client, login, spot, begin, database):
    headers = login("inspector001")
    fixes = walk(spot, begin, 10)
    assert send(client, headers, fixes[:6]).json() == {
        "acked_seq": 6,
        "accepted": 6,
        "duplicates": 0,
        "quarantined": 0,
        "clock_s": 0,
    }
    again = send(client, headers, fixes).json()
    assert (again["acked_seq"], again["accepted"], again["duplicates"]) == (10, 4, 6)
    bad = [fixes[0] | {"seq": 11, "lon": 0, "lat": 0}]
    assert send(client, headers, [*fixes, *bad]).json()["quarantined"] == 1
    with database.engine.begin() as tx:
        assert tx.execute(select(func.count()).select_from(position)).scalar_one() == 10


def owned(database, *statements: str) -> None:
    engine = db.make_engine(database.owner_url, pool_size=1)
    with engine.begin() as tx:
        for statement in statements:
            tx.execute(text(statement))
    engine.dispose()


class Held:
    """Stands before the writing of batches thought new: the first turn waits until so many batches wait behind it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, behind: int) -> None:
        self.turns: list[int] = []
        write = track_intake.take_new

        def hold(tx: Any, found: Any) -> Any:
            self.turns.append(len(found))
            end = time.monotonic() + 30
            while len(self.turns) == 1 and len(route._turns._waiting) < behind and time.monotonic() < end:
                time.sleep(0.001)
            return write(tx, found)

        monkeypatch.setattr(track_intake, "take_new", hold)


def test_batches_that_wait_are_written_in_one_turn(client, login, spot, begin, database, monkeypatch):
    """Two of one person are among them: each gets the receipt it would get alone."""
    people = [login(f"inspector00{n}") for n in range(1, 5)]
    batches = [(headers, walk(spot, begin, 10), "phone-1") for headers in people]
    batches.append((people[1], walk(spot, begin, 8, first=100), "phone-2"))
    held = Held(monkeypatch, behind=len(batches) - 1)
    with ThreadPoolExecutor(len(batches)) as threads:
        told = list(threads.map(lambda batch: send(client, *batch).json(), batches))
    assert held.turns == [1, len(batches) - 1]
    assert [(one["acked_seq"], one["accepted"], one["duplicates"]) for one in told] == [(10, 10, 0)] * 4 + [(107, 8, 0)]
    with database.engine.begin() as tx:
        assert tx.scalar(select(func.count()).select_from(position)) == 48
        assert set(tx.scalars(select(position_live.c["at"]))) == {begin + timedelta(seconds=90)}
        assert tx.scalar(select(func.count()).select_from(patrol_day).where(patrol_day.c.stale)) == 4


def test_a_batch_that_is_known_costs_those_it_waits_with_nothing(client, login, spot, begin, database, monkeypatch):
    people = [login(f"inspector00{n}") for n in range(1, 5)]
    assert send(client, people[0], walk(spot, begin, 6)).json()["accepted"] == 6
    batches = [(people[3], walk(spot, begin, 10)), *((headers, walk(spot, begin, 10)) for headers in people[:3])]
    held = Held(monkeypatch, behind=len(batches) - 1)
    with ThreadPoolExecutor(len(batches)) as threads:
        told = sorted(
            (one["accepted"], one["duplicates"])
            for one in threads.map(lambda batch: send(client, *batch).json(), batches)
        )
    assert held.turns == [1, 3]
    assert told == [(4, 6), (10, 0), (10, 0), (10, 0)]
    with database.engine.begin() as tx:
        assert tx.scalar(select(func.count()).select_from(position)) == 40


def test_what_the_table_refuses_is_set_aside_and_the_rest_kept(client, login, spot, begin, database):
    """As after a change of it: what the checks let pass and the table does not costs nothing else of the batch."""
    owned(database, "alter table position add constraint narrow check (seq not in (3, 8))")
    for known in (0, 8):
        told = send(client, login("inspector001"), walk(spot, begin, 10)).json()
        assert (told["acked_seq"], told["accepted"], told["duplicates"]) == (10, 8 - known, known)
        assert told["quarantined"] == 2
    with database.engine.begin() as tx:
        assert set(tx.scalars(select(position.c.seq))) == {1, 2, 4, 5, 6, 7, 9, 10}
        aside = tx.execute(select(quarantine.c.code, quarantine.c.payload["seq"].as_integer())).all()
    assert [tuple(row) for row in aside] == [("fix_refused", 3), ("fix_refused", 8)]


def test_a_fix_of_a_day_no_calendar_has_is_set_aside_in_words(client, login, spot, begin, database):
    """In Beijing the year 1 begins while Greenwich still writes the year 0."""
    fixes = walk(spot, begin, 3)
    fixes[1] |= {"at": "0001-01-01T00:00:00.000+08:00"}
    told = send(client, login("inspector001"), fixes).json()
    assert (told["accepted"], told["quarantined"]) == (2, 1)
    with database.engine.begin() as tx:
        assert tx.scalars(select(quarantine.c.payload["at"].as_string())).one().startswith("0000-12-31T16:00:00")


@pytest.mark.parametrize(("state", "says"), [("53100", "磁盘已满"), ("57P01", "暂不可用"), ("40P01", "繁忙")])
def test_a_database_in_need_is_said_and_nothing_is_acknowledged(client, login, spot, begin, database, state, says):
    owned(
        database,
        "create function full_up() returns trigger language plpgsql as"
        f" $$ begin raise exception 'no room' using errcode = '{state}'; end $$",
        "create trigger full_up before insert on position for each row execute function full_up()",
    )
    answer = send(client, login("inspector001"), walk(spot, begin, 10))
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert says in answer.json()["title"]
    owned(database, "drop trigger full_up on position")
    assert send(client, login("inspector001"), walk(spot, begin, 10)).json()["accepted"] == 10


def test_a_phone_three_hours_behind_has_its_day_where_it_was(client, login, spot, begin, database):
    """The moments are put right, the day's history says so, and the phone is told by how much."""
    now, behind = datetime.now(UTC), timedelta(hours=3)
    fixes = walk(spot, now - timedelta(seconds=60) - behind, 6)
    headers = login("inspector001")
    body = {
        "device": "phone-1",
        "crs": "EPSG:4326",
        "sent_at": f"{now - behind:%Y-%m-%dT%H:%M:%S}.000Z",
        "fixes": fixes,
    }
    told = client.post("/api/positions", json=body, headers=headers).json()
    assert (told["accepted"], told["quarantined"]) == (6, 0)
    assert told["clock_s"] == pytest.approx(3 * 3600, abs=5)
    with database.engine.begin() as tx:
        ats = tx.scalars(select(position.c["at"]).order_by(position.c.seq)).all()
    assert abs(ats[0] - (now - timedelta(seconds=60))) < timedelta(seconds=6)
    day = ats[-1].astimezone(track_days.ZONE).date()
    clocks = client.get(f"/api/tracks/mine/{day}", headers=headers).json()["clocks"]
    assert {(one["device"], one["clock_s"]) for one in clocks} == {("phone-1", told["clock_s"])}


def test_the_quick_reader_and_the_thorough_one_read_the_same(spot, begin):
    fixes = walk(spot, begin, 5)
    fixes[2]["accuracy_m"] = None
    del fixes[3]["accuracy_m"]
    body = json.dumps({"device": "p", "crs": "GCJ-02", "fixes": fixes}).encode()
    quick, thorough = route._quickly(body), route._thoroughly(body)
    assert quick[:2] == thorough[:2]
    for name in ("seq", "at", "x", "y", "accuracy"):
        assert getattr(quick[2], name).tolist() == pytest.approx(getattr(thorough[2], name).tolist(), nan_ok=True)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=30),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["seq", "at", "lon", "x"]), inner),
        max_leaves=6,
    ),
    st.sampled_from(["seq", "at", "lon", "lat", "accuracy_m", "device", "crs", "fixes"]),
)
def test_whatever_is_sent_instead_is_read_the_same_or_left_to_the_thorough_reader(value, field):
    """What the quick one takes, the other takes with the same outcome; nothing falls over."""
    fix = {"seq": 1, "at": "2026-11-20T04:00:00.000Z", "lon": 116.6, "lat": 40.1, "accuracy_m": 5.0}
    body: dict[str, Any] = {"device": "p", "crs": "EPSG:4326", "fixes": [fix]}
    (fix if field in fix else body)[field] = value
    content = json.dumps(body).encode()
    try:
        quick = route._quickly(content)
    except route._NotPlain:
        return
    thorough = route._thoroughly(content)
    assert quick[:2] == thorough[:2]
    assert quick[2].at.tolist() == thorough[2].at.tolist()
    assert quick[2].x.tolist() == thorough[2].x.tolist()


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({"fixes": []}, "body.fixes"),
        ({"device": ""}, "body.device"),
        ({"fixes": [{"seq": -1, "at": "2026-11-20T04:00:00.000Z", "lon": 116.6, "lat": 40.1}]}, "body.fixes.0.seq"),
        ({"fixes": [{"seq": 1, "at": "2026-11-20T04:00:00", "lon": 116.6, "lat": 40.1}]}, "body.fixes.0.at"),
        ({"fixes": [{"seq": 1, "at": "2026-13-20T04:00:00.000Z", "lon": 116.6, "lat": 40.1}]}, "body.fixes.0.at"),
    ],
)
def test_an_unreadable_batch_is_named_field_by_field(client, login, change, at):
    body = {"device": "p", "crs": "EPSG:4326", "fixes": [1]} | change
    answer = client.post("/api/positions", json=body, headers=login("inspector001"))
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed")
    assert at in [fault["at"] for fault in answer.json()["detail"]["fields"]]
    strange = client.post(
        "/api/positions", json=body | {"device": "a\0b"} | {"fixes": []}, headers=login("inspector001")
    )
    assert strange.status_code == 422


def test_a_day_is_told_exactly_coarsely_or_not_at_all_and_every_look_is_recorded(client, login, spot, begin, database):
    inspector = login("inspector001")
    who = client.get("/api/me", headers=inspector).json()["id"]
    day = (begin + timedelta(hours=8)).date().isoformat()
    send(client, inspector, walk(spot, begin) + walk(spot, begin + timedelta(minutes=20), first=40, step=0.0))
    relay.patrolled()
    with database.engine.begin() as tx:
        assert tx.execute(select(patrol_day.c.stale, patrol_day.c.fixes)).one() == (False, 60)
    path = f"/api/tracks/{who}/{day}"
    exact = client.get(path, params={"why": "dispute"}, headers=login("shiftleader1")).json()
    assert [len(segment["at"]) for segment in exact["segments"]] == [30, 30]
    assert [gap["why"] for gap in exact["gaps"]] == ["silent"]
    assert exact["holes"] == [{"device": "phone-1", "first": 31, "last": 39}]
    assert [round(stop["to"] - stop["from"]) for stop in exact["stops"]] == [290]
    coarse = client.get(path, params={"why": "assessment"}, headers=login("leader")).json()
    assert not coarse["exact"]
    assert "segments" not in coarse
    assert coarse["distance_m"] == exact["distance_m"]
    refused = client.get(path, headers=login("leader"))
    assert (refused.status_code, refused.json()["code"]) == (422, "reason_unknown")
    assert client.get(path, params={"why": "dispute"}, headers=inspector).status_code == 403
    assert client.get(f"/api/tracks/{UUID(int=5)}/{day}?why=dispute", headers=login("leader")).status_code == 404
    assert client.get(f"/api/tracks/mine/{day}", headers=inspector).json()["exact"]
    at_me = client.get("/api/tracks/mine/looks", headers=inspector).json()["items"]
    assert [(look["why"], look["exact"]) for look in at_me] == [("own", True), ("assessment", False), ("dispute", True)]
    audited = client.get("/api/tracks/looks", params={"person": who}, headers=login("auditor")).json()["items"]
    assert audited == at_me
    (listed,) = [
        p for p in client.get(f"/api/tracks/people?day={day}", headers=login("leader")).json()["items"] if p["sent"]
    ]
    assert (listed["id"], listed["fixes"]) == (who, 60)


def test_gpx_out_and_in(client, login, spot, begin):
    inspector, leader = login("inspector001"), login("shiftleader1")
    who = client.get("/api/me", headers=inspector).json()["id"]
    other = client.get("/api/me", headers=login("inspector002")).json()["id"]
    day = (begin + timedelta(hours=8)).date().isoformat()
    send(client, inspector, walk(spot, begin))
    file = client.get(f"/api/tracks/{who}/{day}/gpx?why=dispute", headers=leader)
    assert file.headers["content-type"] == "application/gpx+xml"
    assert file.content.count(b"<trkpt") == 30
    for accepted in (30, 0):
        told = client.post(f"/api/tracks/{other}/{day}/gpx?why=dispute", content=file.content, headers=leader).json()
        assert (told["points"], told["left_out"], told["accepted"]) == (30, 0, accepted)
    history = client.get(f"/api/tracks/{other}/{day}?why=dispute", headers=leader).json()
    assert history["imported"] == 30
    bad = client.post(f"/api/tracks/{other}/{day}/gpx?why=dispute", content=b"<kml/>", headers=leader)
    assert (bad.status_code, bad.json()["code"]) == (422, "gpx_bad")
    assert (
        client.post(f"/api/tracks/{other}/{day}/gpx?why=dispute", content=b"x", headers=login("leader")).status_code
        == 403
    )


def unpacked(values: list[int]) -> list[int]:
    found, value = [], 0
    for step in values:
        value += step
        found.append(value)
    return found


def test_a_replay_has_people_and_cases_as_they_were(client, login, spot, begin, database):
    inspector, leader = login("inspector001"), login("shiftleader1")
    who = client.get("/api/me", headers=inspector).json()["id"]
    fixes = walk(spot, begin)
    send(client, inspector, fixes[:12] + fixes[20:])
    report = {"catalogue": "cjt214-2007", "category_kind": "event", "category_code": "0102", "description": "路面破损"}
    made = client.post("/api/cases", json=report | {"lon": spot["lon"], "lat": spot["lat"]}, headers=inspector).json()
    span = {"since": begin.isoformat(), "until": (datetime.now(UTC) + timedelta(seconds=5)).isoformat()}
    asked = span | {"people": who, "why": "review"}
    told = client.get("/api/replay", params=asked, headers=leader).json()
    (person,) = told["people"]
    assert unpacked(person["at"]) == [10 * i for i in (*range(12), *range(20, 30))]
    assert unpacked(person["lon"]) == [round(f["lon"] * 1e6) for f in fixes[:12] + fixes[20:]]
    assert person["breaks"] == [11, 21]
    (case,) = told["cases"]
    assert case["id"] == made["id"]
    (second, mark, state) = case["marks"][0]
    assert mark == "new"
    assert told["states"][state]["status"] == "open"
    assert 0 <= second <= round((datetime.now(UTC) - begin).total_seconds())
    before = client.get(
        "/api/replay", params=asked | {"until": (begin + timedelta(seconds=60)).isoformat()}, headers=leader
    )
    assert before.json()["cases"] == []
    assert unpacked(before.json()["people"][0]["at"]) == [0, 10, 20, 30, 40, 50]
    coarse = client.get("/api/replay", params=asked, headers=login("leader")).json()["people"][0]
    assert (coarse["exact"], len(set(unpacked(coarse["lon"]))) <= 3) == (False, True)
    refused = client.get("/api/replay", params=span | {"people": who}, headers=leader)
    assert refused.json()["code"] == "reason_unknown"
    long = span | {"since": (begin - timedelta(days=2)).isoformat()}
    assert client.get("/api/replay", params=long, headers=leader).json()["code"] == "span_refused"
    with database.engine.begin() as tx:
        looks = tx.execute(select(track_look.c.what, track_look.c.exact).order_by(track_look.c.id)).all()
    assert looks == [("replay", True), ("replay", True), ("replay", False)]


def test_coverage_over_http(client, login, spot, begin):
    send(client, login("inspector001"), walk(spot, begin))
    relay.patrolled()
    day = (begin + timedelta(hours=8)).date().isoformat()
    told = client.get("/api/coverage", params={"since": day, "until": day}, headers=login("leader")).json()
    grid = next(one for one in told["grids"] if one["code"] == spot["facts"]["unit_grid_code"])
    assert (grid["state"], grid["people"], told["waiting"]) == ("visited", 1, 0)
    assert 0 < grid["seen"] <= grid["cells"]
    wrong = client.get("/api/coverage", params={"since": day, "until": "2020-01-01"}, headers=login("leader"))
    assert wrong.json()["code"] == "span_refused"


@pytest.mark.parametrize("by", ["grid", "duty"])
def test_coverage_as_files(client, login, spot, begin, database, tmp_path, by):
    """Every form holds the rows of the page, says of which days and state it is, and is in the audit."""
    send(client, login("inspector001"), walk(spot, begin))
    relay.patrolled()
    day = (begin + timedelta(hours=8)).date().isoformat()
    asked = {"since": day, "until": day, "by": by, "language": "en"}
    page = client.get("/api/coverage", params=asked, headers=login("leader")).json()
    rows = page["grids" if by == "grid" else "duty_grids"]
    codes = [one["code"] for one in rows]

    def file(form: str, **more: str) -> Any:
        answer = client.get("/api/coverage/file", params=asked | {"format": form} | more, headers=login("leader"))
        assert answer.status_code == 200, answer.text
        assert f'filename="wangge-coverage-{by}-' in answer.headers["content-disposition"]
        return answer

    told = file("geojson").json()
    assert [one["id"] for one in told["features"]] == codes
    assert f"since={day}" in told["about"]["Filter"]
    home = spot["facts"]["unit_grid_code" if by == "grid" else "duty_grid_code"]
    here = next(one for one in told["features"] if one["id"] == home)
    assert here["properties"]["state"] == "Visited"
    assert here["properties"]["person_days"] == 1
    assert shapely.from_geojson(json.dumps(here["geometry"])).covers(shapely.Point(spot["lon"], spot["lat"]))

    table = list(csv.reader(file("csv").text.lstrip("\ufeff").splitlines()))
    assert [row[0] for row in table[1 : len(codes) + 1]] == codes
    assert f"since={day}&until={day}&by={by}" in [cell for row in table for cell in row]
    sheet = openpyxl.load_workbook(io.BytesIO(file("xlsx", state="visited").content)).worksheets[0]
    assert [row[0] for row in sheet.iter_rows(min_row=2, values_only=True)] == [
        one["code"] for one in rows if one["state"] == "visited"
    ]
    path = tmp_path / "coverage.gpkg"
    path.write_bytes(file("gpkg").content)
    assert {name for name, _ in pyogrio.list_layers(path)} >= {"coverage_grid", "coverage_duty"}
    assert pyogrio.read_info(path, layer=f"coverage_{by}")["features"] == len(codes)
    with database.engine.begin() as tx:
        audited = tx.scalars(select(audit.c.detail).where(audit.c.act == "export.coverage").order_by(audit.c.id)).all()
    assert [one["format"] for one in audited] == ["geojson", "csv", "xlsx", "gpkg"]
    assert audited[2] | {"format": ""} == {"since": day, "until": day, "by": by, "state": "visited", "format": ""}
    refused = client.get("/api/coverage/file", params=asked, headers=login("acceptor1"))
    assert refused.status_code == 403


def test_the_record_of_looks_is_searched_paged_and_taken_as_a_file(client, login, spot, begin, database):
    send(client, login("inspector001"), walk(spot, begin))
    who = client.get("/api/me", headers=login("inspector001")).json()
    day = (begin + timedelta(hours=8)).date().isoformat()
    for why, note in (("dispute", "申诉 12"), ("safety", "=1+1"), ("dispute", "")):
        path = f"/api/tracks/{who['id']}/{day}"
        assert client.get(path, params={"why": why, "note": note}, headers=login("shiftleader1")).status_code == 200
    auditor = login("auditor")

    def looks(**asked: Any) -> Any:
        return client.get("/api/tracks/looks", params=asked, headers=auditor).json()

    assert [one["why"] for one in looks(text=who["name"])["items"]] == ["dispute", "safety", "dispute"]
    assert [one["note"] for one in looks(why="dispute")["items"]] == ["", "申诉 12"]
    first = looks(limit=2)
    assert [one["why"] for one in first["items"]] == ["dispute", "safety"]
    rest = looks(limit=2, before=first["next"])
    assert ([one["note"] for one in rest["items"]], rest["next"]) == (["申诉 12"], None)
    assert {one["code"] for one in first["reasons"]} >= {"dispute", "safety"}
    asked = {"why": "safety", "format": "csv"}
    table = list(csv.reader(client.get("/api/tracks/looks/file", params=asked, headers=auditor).text.splitlines()))
    assert table[1][2:8] == [who["name"], day, "看足迹", "人员安全", "'=1+1", "精确"]
    with database.engine.begin() as tx:
        detail = tx.execute(select(audit.c.detail).where(audit.c.act == "export.looks")).scalar_one()
    assert detail == {"filter": {"why": "safety"}, "format": "csv", "count": 1}
    assert client.get("/api/tracks/looks/file", headers=login("shiftleader1")).status_code == 403


# --- Marks at a moment ------------------------------------------------------------------------------------------

OPEN: State = {"code": "a", "zh": "a", "en": "a", "stage": "handling", "status": "open"}
STATES: list[State] = [OPEN | {"stage": "report"}, OPEN, OPEN | {"status": "closed"}]
ZERO = datetime(2026, 11, 20, tzinfo=UTC)


@given(
    st.lists(st.tuples(st.integers(-50, 150), st.integers(0, 2)), min_size=1, max_size=5),
    *[st.none() | st.integers(-50, 150)] * 3,
    st.sampled_from(["case", "whistle"]),
)
def test_marks_over_time_are_the_mark_at_every_second(steps, yellow, due, handled, kind):
    """Oracle: the mark asked anew for every second of the span."""

    class Row:
        pass

    row, moment = Row(), lambda s: None if s is None else ZERO + timedelta(seconds=s)
    row.kind, row.yellow_at, row.due_at, row.handled_at = kind, moment(yellow), moment(due), moment(handled)
    events = [(moment(at), state) for at, state in steps]
    told = track_replay.marks(row, events, STATES, ZERO, ZERO + timedelta(seconds=100))
    for second in range(100):
        at, state = ZERO + timedelta(seconds=second), None
        for happened, one in events:
            if happened > at:
                break
            state = one
        expected = None if state is None else (track_replay.mark(row, STATES[state], at), state)
        if due is not None and second == due:
            continue  # late begins after the due moment, told with the next second
        found = [(mark, state) for begin, mark, state in told if begin <= second]
        assert (found[-1] if found else None) == expected, second
