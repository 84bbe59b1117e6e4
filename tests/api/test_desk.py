"""The desk's routes: what waits for whom, kept filters, the list as a file, one step for many cases."""

import asyncio
import csv
import io
import random
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

import mapbox_vector_tile
import openpyxl
import pytest
from sqlalchemy import insert, select, text, update
from starlette.requests import Request

from api import desk, live
from gis import events, geometry, people, saved_filters, search
from gis.search import CaseFilter
from gis.tables import audit, case, case_task, staff

# Whose turn a state is in the town's flows, said again by hand.
TURN = {
    "acceptor1": {"reported", "supplementing", "reviewing", "received", "answered", "calling"},
    "shiftleader1": {
        *("accepted", "checked", "extension_agreed", "suspension_asked"),
        *("reviewing", "answered", "concluding", "scoring"),
    },
    "dispatcher1": {"filed", "declined", "extension_asked", "appealed", "received", "concluding"},
    "manager_D04": {"handling", "suspended", "special", "dispatched", "signed", "summoned"},
    "leader": {"scoring"},
}


# How a case is brought to each state: who takes which step.
WAY = {
    "reported": [],
    "accepted": [("acceptor1", "accept")],
    "filed": [("acceptor1", "accept"), ("shiftleader1", "file")],
    "handling": [("acceptor1", "accept"), ("shiftleader1", "file"), ("dispatcher1", "dispatch")],
}
WORDS = ["=1+1", "+SUM(A1)", "@x", "-x", "普通描述", "带,逗号\n与换行", "\tTab"]
N = 12


@pytest.fixture
def cases(client, login, database):
    """Three cases in each of four states, two in the hands of D04 and one of D05; their ids by state.

    Of those in handling one is late, one will be soon, one has time.
    """
    headers = {name: login(name) for name in ("leader", "acceptor1", "shiftleader1", "dispatcher1")}
    components = client.get("/api/components?limit=500", headers=headers["leader"]).json()["items"]
    found = {state: [] for state in WAY}
    for i in range(N):
        component, state = components[i * 7], list(WAY)[i % 4]
        body = {
            "catalogue": component["catalogue"],
            "category_kind": "component",
            "category_code": component["category_code"],
            "component_code": component["code"],
            "lon": component["lon"],
            "lat": component["lat"],
            "description": WORDS[i % len(WORDS)],
        }
        made = client.post("/api/cases", json=body, headers=headers["leader"]).json()
        department = "D05" if len(found[state]) == 2 else "D04"
        for who, action in WAY[state]:
            step = {"action": action, "payload": {"department": department} if action == "dispatch" else {}}
            answer = client.post(f"/api/cases/{made['id']}/actions", json=step, headers=headers[who])
            assert answer.status_code == 200, answer.text
        found[state].append(UUID(made["id"]))
    now = datetime.now(UTC)
    with database.engine.begin() as tx:
        for i, case_id in enumerate(found["reported"]):  # the stage's limit has passed, will soon, has time
            due = now + timedelta(minutes=[-1, 1, 500][i])
            times = {"stage_due_at": due, "stage_yellow_at": due - timedelta(minutes=3), "seq": case.c.seq + 1}
            tx.execute(update(case).where(case.c.id == case_id).values(times))
        for i, case_id in enumerate(found["handling"]):
            due = now + timedelta(hours=[-1, 1, 500][i])
            times = {"due_at": due, "yellow_at": due - timedelta(hours=2), "seq": case.c.seq + 1}
            tx.execute(update(case).where(case.c.id == case_id).values(times))
        ids = list(tx.execute(select(case.c.id)).scalars())
    with live.db.transaction() as tx:
        live.store().refresh(tx, ids)
    return found


def light(row, now):
    """The worse of the stage's and the handling clock's."""
    clocks = ((row.stage_due_at, row.stage_yellow_at, now), (row.due_at, row.yellow_at, row.handled_at or now))
    lit = [
        "none" if due is None else "red" if due < at else "yellow" if soon <= at else "green"
        for due, soon, at in clocks
    ]
    return max(lit, key=("none", "green", "yellow", "red").index)


def test_the_to_do_of_each_role_is_what_a_slow_look_finds(client, login, database, cases):
    now = datetime.now(UTC)
    with database.engine.begin() as tx:
        rows = tx.execute(select(case)).all()
        callers = {name: people.by_username(tx, name) for name in TURN}
    for name, turn in TURN.items():
        told = client.get("/api/todo", headers=login(name)).json()
        scope = callers[name].scope
        visible = [r for r in rows if scope.everything or r.department_code in scope.departments]
        expected = Counter(r.state for r in visible if r.state in turn)
        assert {q["state"]: q["count"] for q in told["queues"] if q["count"]} == expected, name
        assert {q["state"] for q in told["queues"]} == turn, name
        for queue in told["queues"]:
            lights = Counter(light(r, now) for r in visible if r.state == queue["state"])
            assert queue["lights"] == lights, (name, queue)
            assert set(queue["role_name"]) == set(queue["name"]) == {"zh", "en"}
            listed = client.get("/api/cases", params=queue["filter"] | {"limit": 50}, headers=login(name)).json()
            assert len(listed["items"]) == queue["count"]
            assert {item["state"] for item in listed["items"]} <= {queue["state"]}
        views = {view["code"]: view["count"] for view in told["views"]}
        late = [r for r in visible if r.due_at is not None and r.due_at < now]
        assert (views["open"], views["late"]) == (len(visible), len(late)), name


LIT = ("light", "handling_light", "stage_light")


@pytest.mark.parametrize("seed", range(4))
def test_what_is_late_is_the_same_in_list_facets_map_board_and_wall(client, login, database, cases, seed):
    """Handling overdue and stage late are two facts; the mark shows the worse. Every page counts them alike."""
    chance, now = random.Random(seed), datetime.now(UTC)
    ids = [one for held in cases.values() for one in held]
    limit = {"amount": "4", "kind": "urgent_hours"}  # what is due has a limit
    clock_of = {"limit": limit, "started_at": (now - timedelta(hours=6)).isoformat(), "pauses": []}
    with database.engine.begin() as tx:
        for case_id in ids:
            clocks = {}
            for clock in ("", "stage_"):
                due = now + timedelta(minutes=chance.choice((-90, -5, 30, 5000)))
                has = chance.random() < 0.7
                clocks |= (
                    {f"{clock}due_at": due, f"{clock}yellow_at": due - timedelta(hours=1)}
                    if has
                    else {f"{clock}due_at": None, f"{clock}yellow_at": None}
                )
            handled = chance.choice((None, now - timedelta(minutes=chance.choice((1, 60)))))
            change = clocks | {"handled_at": handled, "clock": clock_of, "seq": case.c.seq + 1}
            tx.execute(update(case).where(case.c.id == case_id).values(change))
    with live.db.transaction() as tx:
        live.store().refresh(tx, ids)
    headers = login("leader")
    asked = ",".join((*LIT, "overdue"))

    def count(**query):
        return client.get("/api/cases/count", params=query | {"facets": asked}, headers=headers).json()

    def listed(**query):
        return client.get("/api/cases", params=query | {"limit": 100}, headers=headers).json()["items"]

    every, whole = listed(status="open"), count(status="open")
    assert whole["total"] == len(every) == N
    for name in LIT:
        assert whole["facets"][name] == Counter(one[name] for one in every), name
        for value, n in whole["facets"][name].items():
            items = listed(status="open", **{name: value})
            assert {one[name] for one in items} == {value}
            assert len(items) == count(status="open", **{name: value})["total"] == n
            told = drawn(client, headers, {"status": "open", name: value})
            assert (told["n"], told["red"], told["yellow"]) == (
                n,
                *(sum(one["light"] == light for one in items) for light in ("red", "yellow")),
            )
    for one in every:
        lights = {one["handling_light"], one["stage_light"]}
        assert one["light"] == next(light for light in ("red", "yellow", "green", "none") if light in lights)
    late, stage_late, soon = (
        whole["facets"][name].get(value, 0)
        for name, value in (("handling_light", "red"), ("stage_light", "red"), ("light", "yellow"))
    )
    assert whole["facets"]["overdue"].get("true", 0) == late
    expected = {"late": late, "stage_late": stage_late, "soon": soon}
    board = client.get("/api/board", headers=headers).json()["lists"]
    views = {one["code"]: one["count"] for one in client.get("/api/todo", headers=headers).json()["views"]}
    alerts = client.get("/api/wall/alerts", headers=headers).json()
    figures = {one["code"]: one for one in client.get("/api/figures", headers=headers).json()["figures"]}
    for code, n in expected.items():
        assert (board[code]["n"], views[code], alerts[code]["n"]) == (n, n, n), code
        assert len(listed(**board[code]["filter"])) == n
    assert figures["overdue"]["value"] == late


def drawn(client, headers, query):
    """How many cases the map's tiles hold for a filter, and how many of them it draws red and yellow."""
    west, south, east, north = client.get("/api/town").json()["bbox"]
    shift = geometry.WORLD_BITS - 9
    (x0, y0), (x1, y1) = geometry.world_pixel(west, north), geometry.world_pixel(east, south)
    found = Counter()
    for x in range(x0 >> shift, (x1 >> shift) + 1):
        for y in range(y0 >> shift, (y1 >> shift) + 1):
            answer = client.get(f"/tiles/cases/9/{x}/{y}.mvt", params=query, headers=headers)
            for layer in mapbox_vector_tile.decode(answer.content).values():
                for told in (feature["properties"] for feature in layer["features"]):
                    found.update(
                        {"n": told["n"], **{one: told.get(one, told.get("light") == one) for one in ("red", "yellow")}}
                    )
    return found


def test_a_case_that_leaves_is_told_only_to_whom_it_was_visible(client, login, database, cases):
    """The live stream names the id of a case that went to others to those who had it, and to nobody else."""
    moved, kept = cases["handling"][:2]
    with database.engine.begin() as tx:
        before = events.latest(tx)
        manager = people.by_username(tx, "manager_D04")
        tx.execute(update(case).where(case.c.id == moved).values(assignee_id=manager.id))
    told = {"action": "reassign", "payload": {"department": "D05", "reason": "不归本部门"}}
    answer = client.post(f"/api/cases/{moved}/actions", json=told, headers=login("dispatcher1"))
    assert answer.status_code == 200, answer.text
    noted = {"action": "urge", "payload": {"note": "请尽快"}}
    assert client.post(f"/api/cases/{kept}/actions", json=noted, headers=login("dispatcher1")).status_code == 200

    def messages(name):
        with database.engine.begin() as tx:
            rows, _ = events.since(tx, before)
            found = live.case_messages(tx, people.by_username(tx, name), CaseFilter(), rows)
        return {(one.event, one.data["id"]) for one in found}

    both = {("case", str(moved)), ("case", str(kept))}
    deadline = time.monotonic() + 30
    while messages("leader") != both:
        assert time.monotonic() < deadline
    assert messages("dispatcher1") == both
    assert messages("manager_D04") == {("gone", str(moved)), ("case", str(kept))}
    assert messages("manager_D05") == {("case", str(moved))}
    assert messages("manager_D02") == set()


def test_a_stream_that_broke_off_catches_up_in_the_feeds_order_before_it_says_where_it_is(
    client, login, database, cases
):
    """Whoever is cut off while catching up goes on after the last message it got: nothing before it may be missing."""
    with database.engine.begin() as tx:
        before = events.latest(tx)
    for one in cases["handling"]:
        answer = client.post(
            f"/api/cases/{one}/actions",
            json={"action": "urge", "payload": {"note": "请尽快"}},
            headers=login("dispatcher1"),
        )
        assert answer.status_code == 200, answer.text
    with database.engine.begin() as tx:
        leader = people.by_username(tx, "leader")
        happened, _ = events.since(tx, before)
        rows = [row for row in happened if row.action == "urge"]  # time acts too
        # A transaction that began earlier may have drawn its event's number later.
        ids = sorted((row.id for row in rows), reverse=True)
        crossed = [SimpleNamespace(**{**row._mapping, "id": id}) for row, id in zip(rows, ids, strict=True)]
        told = [one.cursor for one in live.case_messages(tx, leader, CaseFilter(), crossed)]
    assert len(told) == len(cases["handling"])
    assert told == sorted(told, key=lambda one: (one.xid, one.id))
    assert [one.id for one in told] == ids

    async def first(n):
        headers = [(b"last-event-id", str(before).encode())]
        request = Request({"type": "http", "headers": headers, "query_string": b""})
        sent = live.stream(request, leader, CaseFilter(), live.Hub())
        try:
            return [await anext(sent) for _ in range(n)]
        finally:
            await sent.aclose()

    *missed, hello = asyncio.run(first(len(told) + 1))
    assert [one.event for one in missed] == ["case"] * len(told)
    newest = {row.case_id: str(events.Cursor(row.xid, row.id)) for row in happened}
    assert [one.id for one in missed] == sorted(newest.values(), key=lambda one: [int(n) for n in one.split("-")])
    assert hello.event == "hello"


def test_no_stream_begins_before_the_service_follows(client, login, monkeypatch):
    """Whoever listened from then on would be told of nothing that was read in vain meanwhile."""
    with monkeypatch.context() as starting:
        starting.setattr(live, "hub", live.Hub())
        answer = client.get("/api/stream", headers=login("leader"))
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_a_queue_holds_only_what_waits_for_its_role(client, login, cases):
    """What waits for the census clerk at first is in a state called as the one in which cases wait for the acceptor."""
    told = client.get("/api/todo", headers=login("census")).json()
    counts = {(q["role"], q["state"]): q["count"] for q in told["queues"]}
    assert cases["reported"]
    assert counts["census_clerk", "reported"] == 0


def test_a_queue_keeps_to_the_rows_its_role_holds_for(client, login, database, cases):
    with database.engine.begin() as tx:
        someone = people.by_username(tx, "manager_D04").id
        tx.execute(
            text("insert into staff_role (staff_id, role, scope, scope_code) values (:who, 'acceptor', 'town', '')"),
            {"who": someone},
        )
    told = client.get("/api/todo", headers=login("manager_D04")).json()
    counts = {(q["role"], q["state"]): q["count"] for q in told["queues"]}
    assert counts["acceptor", "reported"] == 3
    assert counts["department_manager", "handling"] == 2, "the third is another department's"


def test_open_tasks_wait_for_a_person_or_a_department(client, login, database, cases):
    past = datetime.now(UTC) - timedelta(hours=1)
    with database.engine.begin() as tx:
        manager = people.by_username(tx, "manager_D04").id
        tasks = [
            ("urge", cases["handling"][0], "D04", None, "open", past),
            ("urge", cases["handling"][1], "D04", None, "done", past),
            ("urge", cases["handling"][2], "D05", None, "open", None),
            ("assist", cases["handling"][0], None, manager, "open", None),
            ("assist", cases["handling"][2], "D04", None, "open", None),  # on a case they may not see
        ]
        for kind, of, department, assignee, state, due in tasks:
            values = {"case_id": of, "id": uuid4(), "kind": kind, "department_code": department}
            values |= {"assignee_id": assignee, "state": state, "due_at": due}
            tx.execute(insert(case_task).values(**values, opened_seq=1, opened_at=past))
    told = client.get("/api/todo", headers=login("manager_D04")).json()["tasks"]
    assert [(one["kind"], one["name"]["zh"], one["count"], one["late"], one["mine"]) for one in told] == [
        ("assist", "协办", 1, 0, 1),
        ("urge", "催办", 1, 1, 0),
    ]
    page = client.get("/api/todo/tasks/urge", headers=login("manager_D04")).json()
    assert [item["id"] for item in page["items"]] == [str(cases["handling"][0])]
    assert client.get("/api/todo", headers=login("dispatcher1")).json()["tasks"] == []


def test_one_of_many_steps_is_refused_and_the_others_are_done(client, login, database, cases):
    filed, other = cases["filed"], cases["reported"][0]
    with database.engine.begin() as tx:
        seqs = dict(tx.execute(select(case.c.id, case.c.seq)).all())
        before = tx.execute(select(case).where(case.c.id == other)).one()
    items = [{"id": str(one), "seq": seqs[one]} for one in filed]
    items[1]["seq"] -= 1
    items += [{"id": str(other), "seq": seqs[other]}, {"id": str(uuid4()), "seq": 1}]
    body = {"action": "dispatch", "payload": {"note": "请尽快"}, "items": items}
    answer = client.post("/api/cases/bulk", json=body, headers=login("dispatcher1"))
    told = answer.json()
    assert (answer.status_code, told["done"], told["refused"]) == (200, 2, 3)
    assert [one["id"] for one in told["items"]] == [item["id"] for item in items]
    assert [one.get("problem", {}).get("code") for one in told["items"]] == [
        None,
        "stale_case",
        None,
        "state_forbids",
        "case_not_found",
    ]
    assert told["items"][0]["seq"] == seqs[filed[0]] + 1
    assert told["items"][1]["problem"]["title"]
    assert told["items"][1]["problem"]["title_en"]
    with database.engine.begin() as tx:
        states = dict(tx.execute(select(case.c.id, case.c.state).where(case.c.id.in_(filed))).all())
        assert tx.execute(select(case).where(case.c.id == other)).one() == before
    assert states == {filed[0]: "handling", filed[1]: "filed", filed[2]: "handling"}


def test_two_dispatchers_at_once_dispatch_each_case_once(client, login, database, cases):
    with database.engine.begin() as tx:
        seqs = dict(tx.execute(select(case.c.id, case.c.seq).where(case.c.id.in_(cases["filed"]))).all())
    body = {"action": "dispatch", "items": [{"id": str(one), "seq": seq} for one, seq in seqs.items()]}
    headers, answers = login("dispatcher1"), []
    start = threading.Barrier(2)

    def press() -> None:
        start.wait()
        answers.append(client.post("/api/cases/bulk", json=body, headers=headers).json())

    threads = [threading.Thread(target=press) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(answer["done"] for answer in answers) == len(seqs)
    codes = {one["problem"]["code"] for answer in answers for one in answer["items"] if one["outcome"] == "refused"}
    assert codes <= {"stale_case", "state_forbids"}
    with database.engine.begin() as tx:
        after = dict(tx.execute(select(case.c.id, case.c.seq).where(case.c.id.in_(cases["filed"]))).all())
    assert after == {one: seq + 1 for one, seq in seqs.items()}


def test_what_is_to_be_taken_one_by_one_is_refused_for_many(client, login, database, cases):
    one = cases["reported"][0]
    with database.engine.begin() as tx:
        seq = tx.execute(select(case.c.seq).where(case.c.id == one)).scalar_one()
    body = {"action": "void", "payload": {"reason": "误报"}, "items": [{"id": str(one), "seq": seq}]}
    told = client.post("/api/cases/bulk", json=body, headers=login("acceptor1")).json()
    assert (told["done"], told["items"][0]["problem"]["code"]) == (0, "not_bulk")
    assert client.get(f"/api/cases/{one}", headers=login("acceptor1")).json()["seq"] == seq


def test_tags_of_many_are_put_to_those_each_has(client, login, database, cases):
    first, second = cases["filed"][:2]
    with database.engine.begin() as tx:
        tx.execute(update(case).where(case.c.id == first).values(tags=["winter-2026"]))
        seqs = dict(tx.execute(select(case.c.id, case.c.seq)).all())
    items = [{"id": str(one), "seq": seqs[one]} for one in (first, second)]
    body = {"action": "tag", "payload": {"tags": ["复查"]}, "items": items}
    assert client.post("/api/cases/bulk", json=body, headers=login("dispatcher1")).json()["done"] == 2
    with database.engine.begin() as tx:
        tags = dict(tx.execute(select(case.c.id, case.c.tags).where(case.c.id.in_([first, second]))).all())
    assert tags == {first: ["winter-2026", "复查"], second: ["复查"]}


@pytest.mark.parametrize("items", [[], [{"id": "x", "seq": 1}], [{"id": str(UUID(int=1)), "seq": 1}] * 2])
def test_a_bulk_step_on_nothing_or_on_one_case_twice_is_malformed(client, login, items):
    answer = client.post("/api/cases/bulk", json={"action": "accept", "items": items}, headers=login("acceptor1"))
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed")


def test_what_can_be_done_with_chosen_cases(client, login, cases):
    ids = [str(one) for one in [*cases["filed"], *cases["reported"]]]
    told = client.post("/api/cases/bulk/actions", json={"ids": ids}, headers=login("dispatcher1")).json()["items"]
    assert told[0]["action"] == "dispatch"
    assert sorted(told[0]["cases"]) == sorted(map(str, cases["filed"]))
    assert {field["name"] for field in told[0]["fields"]} >= {"department", "note"}
    assert client.post("/api/cases/bulk/actions", json={"ids": ids}, headers=login("leader")).status_code == 200


def test_a_csv_export_holds_the_rows_of_the_filter_and_runs_nothing(client, login, database, cases):
    query = "state=filed,reported&status=open"
    answer = client.get(f"/api/cases/export?format=csv&{query}", headers=login("shiftleader1"))
    assert answer.status_code == 200, answer.text
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    heads = rows[0]
    end = rows.index([])
    cells = [dict(zip(heads, row, strict=True)) for row in rows[1:end]]
    with database.engine.begin() as tx:
        wanted = tx.execute(select(case).where(case.c.state.in_(["filed", "reported"]))).all()
    assert sorted(cell["案号"] for cell in cells) == sorted(row.number for row in wanted)
    described = {row.number: row.description for row in wanted}
    for cell in cells:
        raw = described[cell["案号"]]
        assert cell["描述"] == (raw if raw[:1] not in "=+@-\t" else f"'{raw}")
    assert any(cell["描述"].startswith("'") for cell in cells)
    assert {cell["环节"] for cell in cells} == {"待派遣", "待受理"}
    notes = dict(rows[end + 1 :])
    assert notes["件数"] == str(len(wanted))
    assert "shiftleader1" in notes["导出人"]
    assert notes["筛选条件"] == "state=filed,reported&status=open"
    with database.engine.begin() as tx:
        line = tx.execute(select(audit).where(audit.c.act == "export.cases")).one()
    assert (line.result, line.detail["count"], line.detail["filter"]["status"]) == ("ok", len(wanted), "open")


def test_an_excel_export_opens_with_text_as_text(client, login, cases):
    path = "/api/cases/export?format=xlsx&language=en&columns=number,description,lon,rework&status=open"
    answer = client.get(path, headers=login("shiftleader1"))
    book = openpyxl.load_workbook(io.BytesIO(answer.content))
    assert book.sheetnames == ["Cases", "About"]
    rows = list(book["Cases"].iter_rows())
    assert [cell.value for cell in rows[0]] == ["Number", "Description", "Longitude", "Reworks"]
    assert len(rows) == 1 + N
    assert {cell.data_type for row in rows[1:] for cell in row[:2]} <= {"s", "inlineStr"}, "no formula"
    assert any(row[1].value == "=1+1" for row in rows)
    assert all(isinstance(row[2].value, float) and row[3].value == 0 for row in rows[1:])
    about = {row[0].value: row[1].value for row in book["About"].iter_rows()}
    assert about["Cases"] == str(N)
    assert "/desk/cases?status=open" in about["Open the list"]


def test_an_export_reads_on_over_its_pages_and_says_what_the_list_shows(client, login, database, monkeypatch, cases):
    """The light of a row is the worse of its clocks, each in a column of its own; tags, assignee, limits go along."""
    headers = login("shiftleader1")
    with database.engine.begin() as tx:
        holder = tx.execute(select(staff).where(staff.c.username == "inspector001")).one()
        marks = {"tags": ["winter-2026"], "assignee_id": holder.id, "urge_count": 2, "seq": case.c.seq + 1}
        tx.execute(update(case).where(case.c.id == cases["reported"][0]).values(marks))
    with live.db.transaction() as tx:  # no event tells the points of it
        live.store().refresh(tx, cases["reported"][:1])
    told = client.get("/api/cases/choices", headers=headers).json()
    named = {one["code"]: one["name"]["zh"] for one in told["tags"]}
    assert named["winter-2026"] == "冬季环境整治专项（演示）"
    assert [(one["id"], one["name"]) for one in told["assignees"]] == [(str(holder.id), holder.name)]
    monkeypatch.setattr(desk, "EXPORT_PAGE", 5)
    answer = client.get("/api/cases/export?format=csv", headers=headers)
    table = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    rows = {row[0]: dict(zip(table[0], row, strict=True)) for row in table[1 : table.index([])]}
    listed = client.get("/api/cases?limit=100", headers=headers).json()["items"]
    assert len(rows) == table.index([]) - 1 == len(listed) == N
    words = {"red": "超时", "yellow": "将超时", "green": "按时", "none": "未计时"}
    lights = {one["number"]: one["light"] for one in listed}
    assert {number: row["时限灯"] for number, row in rows.items()} == {n: words[light] for n, light in lights.items()}
    assert set(lights.values()) >= {"red", "yellow", "green"}
    query = f"tag=winter-2026&assignee={holder.id}&urged=true&stage_light=red"
    [item] = client.get(f"/api/cases?{query}", headers=headers).json()["items"]
    one = rows[item["number"]]
    assert (one["专项"], one["经办人"], one["催办次数"]) == ("冬季环境整治专项（演示）", holder.name, "2")
    assert (one["环节灯"], one["处置灯"]) == ("环节超时", "未计时")
    unfiled = [rows[i["number"]]["剩余"] for i in listed if i["state"] == "filed"]
    assert all(told.startswith("剩 ") for told in unfiled), "of the stage, where handling has not begun"
    assert unfiled
    due = datetime.fromisoformat(item["stage_due_at"]).astimezone(search.ZONE)
    assert one["环节时限"] == f"{due:%Y-%m-%d %H:%M:%S}"
    kept = {"name": "专项", "query": query, "columns": ["tags"]}
    saved = client.post("/api/saved-filters", json=kept, headers=headers).json()
    assert dict(parse_qsl(saved["items"][-1]["query"])) == dict(parse_qsl(query))
    client.delete(f"/api/saved-filters/{saved['id']}", headers=headers)


def test_too_large_an_export_is_refused_and_noted(client, login, database, monkeypatch, cases):
    monkeypatch.setattr(desk, "EXPORT_MOST", N - 1)
    answer = client.get("/api/cases/export?format=csv", headers=login("shiftleader1"))
    assert (answer.status_code, answer.json()["code"]) == (422, "export_too_large")
    assert answer.json()["detail"] == {"count": N, "most": N - 1}
    with database.engine.begin() as tx:
        assert tx.execute(select(audit.c.result).where(audit.c.act == "export.cases")).scalar_one() == "refused"
    assert client.get("/api/cases/export?columns=nonsense", headers=login("shiftleader1")).status_code == 422
    assert client.get("/api/cases/export", headers=login("dispatcher1")).status_code == 403


def test_kept_filters_belong_to_their_owner(client, login, monkeypatch):
    mine, theirs = login("dispatcher1"), login("acceptor1")

    def names(headers):
        return [(one["name"], one["own"]) for one in client.get("/api/saved-filters", headers=headers).json()["items"]]

    def keep(headers, name, query="status=open", **more):
        return client.post("/api/saved-filters", json={"name": name, "query": query} | more, headers=headers)

    first = keep(mine, "乙", "light=yellow,red,red&status=open&nonsense=1", columns=["number", "state"]).json()
    assert first["items"][0]["query"] == "status=open&light=red,yellow"
    second = keep(mine, "甲", shared=True).json()
    assert names(mine) == [("乙", True), ("甲", True)]
    assert names(theirs) == [("甲", False)]
    body = {"name": "改名", "query": "state=filed", "shared": False}
    for which in (first["id"], second["id"], str(uuid4())):
        assert client.put(f"/api/saved-filters/{which}", json=body, headers=theirs).status_code == 404
        assert client.delete(f"/api/saved-filters/{which}", headers=theirs).status_code == 404
    client.put("/api/saved-filters/order", json={"ids": [second["id"], first["id"]]}, headers=mine)
    client.put("/api/saved-filters/order", json={"ids": [first["id"]]}, headers=theirs)
    assert names(mine) == [("甲", True), ("乙", True)]
    changed = client.put(f"/api/saved-filters/{second['id']}", json=body, headers=mine).json()["items"][0]
    assert (changed["name"], changed["query"], changed["shared"]) == ("改名", "state=filed", False)
    assert names(theirs) == []
    client.delete(f"/api/saved-filters/{second['id']}", headers=mine)
    assert names(mine) == [("乙", True)]
    assert keep(mine, " ").status_code == 422
    assert keep(mine, "坏", "light=purple").json()["code"] == "bad_filter"
    monkeypatch.setattr(saved_filters, "MOST", 1)
    assert keep(mine, "多").json()["code"] == "too_many_kept"
