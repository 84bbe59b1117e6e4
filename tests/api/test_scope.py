"""Nobody sees a case outside their scope: every route that shows cases, as every kind of role and scope.

What is visible is said twice: by the service, and here by a few lines of plain Python over the rows as they are.
"""

import hashlib
import io
import random
import re
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import mapbox_vector_tile
import pytest
import yaml
from PIL import Image
from sqlalchemy import insert, literal, select, text, update

from api import live, selection
from api.access import Throttle
from gis import cases, definitions, events, files, geometry, measures, people, personal
from gis.case_report import Receipt, Report
from gis.case_rows import Photo
from gis.search import CaseFilter
from gis.settings import settings
from gis.tables import (
    case,
    case_code,
    case_person,
    component,
    intake_exception,
    staff,
    staff_role,
    workflow_move,
    workflow_move_case,
)
from layers import folium_map
from tests.api.test_access import OPEN, routes

CASES = 44
DEPARTMENTS = ("D02", "D03", "D04", "D05")
ADMINS = {"sys_admin", "security_admin", "audit_admin"}
ZONE = ZoneInfo("Asia/Shanghai")
PHONE = "13800001234"
MOVE = UUID(int=7)
COMPONENT = "1101130104000001"
NOBODYS = "01890000-0000-7000-8000-000000000000"

# Routes that need a login and show no case, each a decision. Every other one is walked below.
CASELESS = {
    *("POST /api/session", "POST /api/logout", "GET /api/me", "PUT /api/media/{sha256}", "GET /api/layers"),
    *("GET /api/selection/layers", "GET /ogc", "GET /ogc/conformance", "GET /ogc/api", "GET /ogc/collections"),
    *(f"GET /ogc/collections/{{collection}}{part}" for part in ("", "/queryables", "/schema")),
    *("GET /api/components", "GET /api/components/{code}", "GET /api/grids/{code}", "GET /api/divisions"),
    *("GET /api/departments", "GET /api/workflows/{code}", "POST /api/positions", "GET /api/positions/live"),
    *("POST /api/imports/{kind}", "GET /api/imports/{run_id}"),
    # What the background has to do, for administrators.
    *("GET /api/jobs", "GET /api/jobs/health", "POST /api/jobs/replay"),
    *("GET /api/quarantine", "POST /api/quarantine/{row_id}"),  # refused rows, which never became cases
    *("GET /api/saved-filters", "POST /api/saved-filters", "PUT /api/saved-filters/order"),
    *("PUT /api/saved-filters/{filter_id}", "DELETE /api/saved-filters/{filter_id}"),
    "POST /api/cases",  # answers the sender's own report
    # What a city may change, and what of it is drafted: no case is told.
    *("GET /api/definitions", "POST /api/definitions/{kind}/{code}/check", "GET /api/definitions/{kind}/{code}/diff"),
    *(f"{method} /api/definitions/{{kind}}/{{code}}/draft" for method in ("GET", "PUT", "DELETE")),
    *(f"{method} /api/definitions/{{kind}}/{{code}}/versions" for method in ("GET", "POST")),
    *("GET /api/definitions/{kind}/{code}/versions/{which}", "POST /api/definitions/{kind}/{code}/rollback"),
    *("PUT /api/categories/{category}/status", "GET /api/areas", "GET /api/areas/{area}"),
    *("GET /api/duty-list/audit", "GET /api/duty-list/export", "POST /api/duty-list/import"),
    *("GET /api/filing-standard", "GET /api/filing-standard/export", "POST /api/filing-standard/import"),
    *("GET /api/shifts", "GET /api/shifts/mine", "GET /api/shifts/crew", "GET /api/shifts/now"),
    *("POST /api/shifts/plan", "POST /api/shifts/copy", "POST /api/shifts/swap", "POST /api/shifts/import"),
    *("GET /api/shifts/export", "GET /api/periods", "PUT /api/periods/{period_id}", "DELETE /api/periods/{period_id}"),
    *("GET /api/devices", "POST /api/devices", "POST /api/devices/{device_id}/steps"),
    # The centre's papers, refused to who sees a part of the town (tests/api/test_centre.py).
    *("GET /api/handovers", "GET /api/handovers/{handover_id}", "POST /api/handovers"),
    *("POST /api/handovers/{handover_id}/sign", "GET /api/duty-log", "POST /api/duty-log", "GET /api/duty-log/export"),
    *("GET /api/duty-log/{entry_id}/photo", "GET /api/reports", "POST /api/reports", "GET /api/reports/{report_id}"),
    "GET /api/reports/{report_id}/export",
    # Workflows as they are drawn, and moves as counts; the cases of both are walked.
    *("GET /api/workflow-grammar", "GET /api/workflow-running", "POST /api/workflow-check", "POST /api/workflow-read"),
    *("POST /api/workflow-write", "POST /api/workflow-bindings/audit", "POST /api/workflow-moves/plan"),
    *("GET /api/workflow-moves", "POST /api/workflow-moves", "GET /api/workflow-moves/{move_id}"),
    "POST /api/workflow-moves/{move_id}/halt",
    # The ground, measuring, what people drew or set up for themselves, pictures of places; identify is walked.
    *("GET /api/basemaps", "GET /api/basemaps/{code}/{z}/{x}/{y}", "POST /api/measure"),
    *("GET /api/preferences/{name}", "PUT /api/preferences/{name}"),
    *("GET /api/map-tokens", "POST /api/map-tokens", "DELETE /api/map-tokens/{token_id}"),
    *("GET /api/sketches", "GET /api/sketches/{sketch_id}/versions", "POST /api/sketches/{sketch_id}/versions"),
    *(f"{method} /api/sketches/{{sketch_id}}" for method in ("GET", "PUT", "DELETE")),
    *("GET /api/sketches/{sketch_id}/file", "POST /api/sketches/{sketch_id}/restore"),
    *("GET /api/panoramas", "GET /api/panoramas/{panorama_id}/picture", "POST /api/panoramas/{panorama_id}/restore"),
    *(f"{method} /api/panoramas/{{panorama_id}}" for method in ("PUT", "PATCH", "DELETE")),
    # Which wall shows which address; the cases it shows are asked for by its own login.
    *("POST /api/walls/{wall}/code", "POST /api/walls/pair", "GET /api/walls/{wall}", "PUT /api/walls/{wall}/show"),
    *("PUT /api/walls/{wall}/shown", "DELETE /api/walls/{wall}/drivers", "DELETE /api/walls/{wall}/drivers/me"),
    *("GET /api/walls/{wall}/stream", "GET /api/wall/patrol"),
    # The census: surveys and what they change; the cases of a component's page are walked.
    *("GET /api/census/drafts", "POST /api/census/drafts", "GET /api/census/systems", "POST /api/census/systems/fit"),
    *("PUT /api/census/systems/{code}", "POST /api/census/surveys/{survey_id}/revert"),
    *(f"{method} /api/census/drafts/{{draft_id}}" for method in ("GET", "PATCH")),
    *(f"POST /api/census/drafts/{{draft_id}}/{what}" for what in ("check", "repairs", "withdraw", "sample", "publish")),
    *("DELETE /api/census/drafts/{draft_id}/repairs/{number}", "GET /api/census/drafts/{draft_id}/sample"),
    *("PUT /api/census/drafts/{draft_id}/sample/{row}", "POST /api/census/drafts/{draft_id}/sample/discard"),
    *("GET /api/census/drafts/{draft_id}/sample.csv", "POST /api/census/drafts/{draft_id}/sample/rest"),
    *(f"GET /api/census/drafts/{{draft_id}}/{what}" for what in ("findings", "findings.csv", "differences")),
    *("GET /api/census/drafts/{draft_id}/differences.{form}",),
    *("GET /api/census/drafts/{draft_id}/tiles/{z}/{x}/{y}.mvt", "GET /api/component-statistics"),
    *("GET /api/catalogue-mapping", "POST /api/components/{code}/photos", "GET /api/components/{code}/photos/{sha256}"),
    # Plans of grids; how many cases lie in them is walked.
    *("GET /api/grid-plan", "GET /api/grid-plan/shapes", "GET /api/grid-plans", "PUT /api/grid-plan/draft"),
    *("DELETE /api/grid-plan/draft", "POST /api/grid-plan/publish", "POST /api/grid-plan/{plan_id}/withdraw"),
    # Where people went, each look recorded (tests/api/test_track_views.py); the ground they saw.
    *("GET /api/tracks/rule", "GET /api/tracks/people", "GET /api/tracks/looks", "GET /api/tracks/mine/looks"),
    *("GET /api/tracks/mine/{day}", "GET /api/tracks/{staff_id}/{day}", "GET /api/tracks/{staff_id}/{day}/gpx"),
    *("POST /api/tracks/{staff_id}/{day}/gpx", "GET /api/coverage", "GET /api/coverage/file"),
    *("GET /api/tracks/looks/file",),
    *("GET /api/intake/categories", "POST /api/intake/exceptions", "POST /api/intake/exceptions/{entry}/lift"),
}


@dataclass
class Person:
    """Somebody of the small town: what they hold, as (role, scope, code), and their token."""

    name: str
    id: UUID
    grants: tuple[tuple[str, str, str], ...]
    permissions: set[str]
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def sees(self, row: Any) -> bool:
        """The oracle."""
        for role, scope, code in self.grants:
            if role in ADMINS:
                continue
            if scope == "town":
                return True
            if scope == "village" and row.village_code == code:
                return True
            if scope == "duty_grid" and row.duty_grid_code == code:
                return True
            if scope == "department" and (row.department_code == code or code in row.co_departments):
                return True
            if scope == "own" and self.id in (row.reporter_id, row.assignee_id):
                return True
        return False


@dataclass
class World:
    """The people, every case as it is in the table, the photos by case, and the case that changed the component."""

    people: list[Person]
    rows: list[Any]
    photos: dict[UUID, str]
    brought: UUID


def hired(villages: Sequence[str], beats: Sequence[str]) -> dict[str, list[tuple[str, str, str]]]:
    """Accounts beside the town's own: the scopes nobody there has, and mixtures of scopes."""
    return {
        "village_evaluator": [("evaluator", "village", villages[0])],
        "village_leader": [("leader", "village", villages[1])],
        "two_villages": [("leader", "village", villages[0]), ("leader", "village", villages[2])],
        "duty_grid_only": [("inspector", "duty_grid", beats[0])],
        "own_only": [("inspector", "own", "")],
        "two_departments": [("department_manager", "department", c) for c in DEPARTMENTS[:2]],
        "village_and_department": [("leader", "village", villages[2]), ("handler", "department", DEPARTMENTS[3])],
        "grid_and_department": [("evaluator", "duty_grid", beats[1]), ("evaluator", "department", DEPARTMENTS[2])],
        "nowhere": [("evaluator", "village", "110113003999")],
        "admin_of_the_town": [("sys_admin", "town", ""), ("evaluator", "village", villages[1])],
        "all_admins": [(role, "town", "") for role in sorted(ADMINS)],
        "no_role": [],
    }


OF_THE_TOWN = (
    *("leader", "acceptor1", "shiftleader1", "dispatcher1", "evaluator1", "platform", "admin", "security", "auditor"),
    *("manager_D02", "handler_D03_1", "manager_D05", "inspector001", "inspector002"),
)


@pytest.fixture
def world(database, tmp_path, monkeypatch) -> World:
    """Cases in every village, with departments, co-departments, reporters and assignees as the dice fall."""
    monkeypatch.setenv("WANGGE_HOME", str(tmp_path))
    chance = random.Random(20261120)
    with database.engine.begin() as tx:
        grids = tx.execute(
            text(
                "select g.code, g.village_code, m.duty_grid_code, st_x(st_pointonsurface(g.geom)) as lon,"
                " st_y(st_pointonsurface(g.geom)) as lat from unit_grid g"
                " join duty_grid_member m on m.unit_grid_code = g.code order by md5(g.code)"
            )
        ).all()
        villages = sorted({g.village_code for g in grids})
        assert len(villages) == 3
        staffed = hire(tx, hired(villages, sorted({g.duty_grid_code for g in grids})))
        photos = report_everywhere(tx, grids, staffed, chance, tmp_path)
        announce_another_duty_list(tx)
        move_every_case(tx)
        measures.recompute(tx)
        rows = list(tx.execute(text('select * from "case"')).all())
        brought = tx.execute(select(component.c.case_id).where(component.c.code == COMPONENT)).scalar_one()
    assert len(rows) == CASES
    return World(staffed, rows, photos, brought)


def hire(tx: Any, accounts: dict[str, list[tuple[str, str, str]]]) -> list[Person]:
    for name, grants in accounts.items():
        person = uuid4()
        tx.execute(insert(staff).values(id=person, username=name, name=name, department_code="D01"))
        for role, scope, code in grants:
            tx.execute(insert(staff_role).values(staff_id=person, role=role, scope=scope, scope_code=code))
    allowed = yaml.safe_load((settings().data_dir / "roles" / "standard.yaml").read_text("utf-8"))["roles"]
    found = []
    for name in (*OF_THE_TOWN, *accounts):
        person = tx.execute(text("select id from staff where username = :name"), {"name": name}).scalar_one()
        held = tx.execute(
            text("select role, scope, scope_code from staff_role where staff_id = :id"), {"id": person}
        ).all()
        permissions = {p for role, _, _ in held for p in allowed[role]["permissions"]}
        token = people.issue_token(tx, person, "session")
        found.append(Person(name, person, tuple(tuple(grant) for grant in held), permissions, token))
    return found


def report_everywhere(tx: Any, grids: Any, staffed: Sequence[Person], chance: random.Random, home: Any) -> Any:
    desk = people.by_username(tx, "acceptor1")
    ids = {person.name: person.id for person in staffed}
    involved = [None, ids["inspector001"], ids["inspector002"], ids["own_only"], ids["leader"]]
    now, photos = datetime.now(UTC), {}
    for n in range(CASES):
        at, reported = grids[n], now - timedelta(hours=5 * n, minutes=30)
        picture = a_photo(n) if n % 4 == 0 else None
        sent = Report(
            catalogue="cjt214-2007",
            category_kind="event",
            category_code="0102",
            lon=at.lon,
            lat=at.lat,
            description=f"第{n}件{'甲' if n % 3 else '乙'}",
            reported_at=reported,
            photos=(kept(home, picture),) if picture else (),
        )
        made = cases.report(tx, desk, sent)
        if picture:
            photos[made.id] = hashlib.sha256(picture).hexdigest()
        told_by_one_caller(tx, made)
        status = chance.choice(("open", "open", "open", "closed", "void"))
        due, handled = reported + timedelta(hours=chance.choice((2, 400))), min(reported + timedelta(hours=3), now)
        tx.execute(
            case.update()
            .where(case.c.id == made.id)
            .values(
                status=status,
                department_code=chance.choice((None, *DEPARTMENTS)),
                co_departments=chance.sample(DEPARTMENTS, chance.choice((0, 0, 1, 2))),
                reporter_id=chance.choice(involved),
                assignee_id=chance.choice((None, None, *involved)),
                due_at=due,
                yellow_at=due - timedelta(hours=1),
                handled_at=handled if status == "closed" else None,
                closed_at=handled if status == "closed" else None,
                voided_at=handled if status == "void" else None,
                component_code=COMPONENT,
                clock={
                    "limit": {"amount": "400", "kind": "urgent_hours"},
                    "started_at": reported.isoformat(),
                    "pauses": [],
                },
            )
        )
    # The component's newest version was brought by one of its cases.
    tx.execute(update(component).where(component.c.code == COMPONENT).values(case_id=made.id))
    return photos


def move_every_case(tx: Any) -> None:
    """A move of cases between versions that everybody's cases are in."""
    what = {"source": "standard", "source_version": 1, "target": "standard", "target_version": 2, "states": {}}
    tx.execute(insert(workflow_move).values(id=MOVE, state="stopped", reason="x", started_by="x", **what))
    tx.execute(insert(workflow_move_case).from_select(["move_id", "case_id"], select(literal(MOVE), case.c.id)))


def announce_another_duty_list(tx: Any) -> None:
    """Version 2, by which every case will be another department's: what a replay tells of."""
    body = dict(definitions.current(tx, "duty_list").body)
    rules = [rule | {"department": "D26"} for rule in body["rules"]]
    next_year = datetime.now(UTC) + timedelta(days=365)
    assert definitions.publish(tx, "duty_list", body["code"], body | {"rules": rules}, next_year) == 2


def told_by_one_caller(tx: Any, made: Receipt) -> None:
    """All cases have the same caller, a number of another platform, and something promised."""
    who, name = personal.pseudonym(PHONE), "caller_phone"
    sealed = personal.seal(PHONE, f"{made.id} {name}")
    tx.execute(insert(case_person).values(case_id=made.id, field=name, sealed=sealed, subject=who))
    tx.execute(insert(case_code).values(case_id=made.id, channel="superior", code=f"SJ-{made.number}"))
    promised = {"kind": "commitment", "reason": "evidence", "until": "2026-01-01", "by": "x", "subject": who}
    tx.execute(insert(intake_exception).values(id=uuid4(), case_id=made.id, **promised))


def a_photo(n: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (n * 5, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def kept(home: Any, picture: bytes) -> Photo:
    digest = hashlib.sha256(picture)
    return Photo(digest.digest(), files.keep(home / "files", digest.hexdigest(), picture), len(picture))


@pytest.fixture
def service(world, client, monkeypatch, tmp_path):
    """The service over that world, its points loaded; the built front-end is not what is looked at."""
    monkeypatch.setattr(folium_map, "ASSETS", tmp_path)
    for name in (*folium_map._SCRIPTS, *folium_map._STYLES):
        (tmp_path / name).write_text("")
    end = time.monotonic() + 30
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() < end, "the points were not loaded"
        time.sleep(0.02)
    return client


# --- What every person should see -------------------------------------------------------------------------------


def local_day(moment: datetime) -> str:
    return moment.astimezone(ZONE).date().isoformat()


def late(row: Any) -> bool:
    return row.status != "void" and row.due_at < (row.handled_at or datetime.now(UTC))


QUERIES: dict[str, Callable[[Any], bool]] = {
    "": lambda row: True,
    "status=open": lambda row: row.status == "open",
    "q=乙": lambda row: "乙" in row.description,
    "overdue=true": late,
    f"department={DEPARTMENTS[0]},{DEPARTMENTS[2]}": lambda row: (
        row.department_code in (DEPARTMENTS[0], DEPARTMENTS[2])
    ),
    "village=110113003004": lambda row: row.village_code == "110113003004",
}


class Walk:
    """One person's walk through the routes. ``visible`` is what the oracle lets them see."""

    def __init__(self, service: Any, world: World, person: Person, tiles: dict[int, set[str]]) -> None:
        self.service, self.world, self.person, self.tiles = service, world, person, tiles
        self.visible = [row for row in world.rows if person.sees(row)]
        self.hidden = [row for row in world.rows if not person.sees(row)]
        chance = random.Random(person.name)
        self.some = [(row, True) for row in chance.sample(self.visible, min(5, len(self.visible)))]
        self.some += [(row, False) for row in chance.sample(self.hidden, min(5, len(self.hidden)))]

    def get(self, path: str) -> Any:
        answer = self.service.get(path, headers=self.person.headers)
        assert answer.status_code == 200, (self.person.name, path, answer.text)
        return answer

    def pages(self, path: str, limit: int) -> list[str]:
        found, cursor = [], ""
        while cursor is not None:
            page = self.get(f"{path}&limit={limit}&cursor={cursor}").json()
            found += [item["id"] for item in page["items"]]
            cursor = page["next"]
        return found

    def expect(self, found: Sequence[str], keep: Callable[[Any], bool], what: str) -> None:
        expected = sorted(str(row.id) for row in self.visible if keep(row))
        assert sorted(found) == expected, (self.person.name, what)

    def lists(self) -> None:
        for query, keep in QUERIES.items():
            for order in ("newest", "due"):
                self.expect(self.pages(f"/api/cases?{query}&order={order}", 17), keep, f"list {query} {order}")

    def counts(self) -> None:
        for query, keep in QUERIES.items():
            chosen = [row for row in self.visible if keep(row)]
            told = self.get(f"/api/cases/count?{query}&facets=village,status,department").json()
            assert told["total"] == len(chosen), (self.person.name, query)
            for facet, column in (("village", "village_code"), ("status", "status")):
                assert told["facets"][facet] == Counter(getattr(row, column) for row in chosen), (
                    self.person.name,
                    facet,
                )
            by_department = {code: n for code, n in told["facets"]["department"].items() if code in DEPARTMENTS}
            assert by_department == Counter(row.department_code for row in chosen if row.department_code)

    def choices(self) -> None:
        told = [one["id"] for one in self.get("/api/cases/choices").json()["assignees"]]
        assert sorted(told) == sorted({str(row.assignee_id) for row in self.visible if row.assignee_id}), (
            self.person.name
        )

    def details(self) -> None:
        for row, visible in self.some:
            answer = self.service.get(f"/api/cases/{row.id}", headers=self.person.headers)
            assert answer.status_code == (200 if visible else 404), (self.person.name, row.id)
            if visible:
                assert answer.json()["number"] == row.number
            else:
                unknown = self.service.get(f"/api/cases/{NOBODYS}", headers=self.person.headers).json()
                assert answer.json()["code"] == unknown["code"] == "case_not_found"
                assert row.number not in answer.text

    def courses(self) -> None:
        for row, visible in self.some:
            answer = self.service.get(f"/api/cases/{row.id}/course", headers=self.person.headers)
            assert answer.status_code == (200 if visible else 404), (self.person.name, row.id)
            assert visible or answer.json()["code"] == "case_not_found"

    def candidates(self) -> None:
        for row, visible in self.some:
            answer = self.service.get(f"/api/cases/{row.id}/candidates", headers=self.person.headers)
            assert answer.status_code == (200 if visible else 404), (self.person.name, row.id)

    def proofs(self) -> None:
        for row, visible in self.some:
            answer = self.service.get(f"/api/cases/{row.id}/verify", headers=self.person.headers)
            assert answer.status_code == (200 if visible else 404), (self.person.name, row.id)
            if visible:
                assert (answer.json()["head"], answer.json()["intact"]) == (bytes(row.last_hash).hex(), True)
            else:
                assert answer.json()["code"] == "case_not_found"

    def actions(self) -> None:
        for row, visible in self.some:
            step = {"action": "no_such_step", "payload": {}, "seq": row.seq}
            answer = self.service.post(f"/api/cases/{row.id}/actions", json=step, headers=self.person.headers)
            assert 400 <= answer.status_code < 500
            assert (answer.json()["code"] != "case_not_found") is visible, (self.person.name, answer.text)

    def to_do(self) -> None:
        told = self.get("/api/todo").json()
        for queue in [*told["queues"], *told["views"]]:
            query = "&".join(f"{name}={value}" for name, value in queue["filter"].items())
            found = self.pages(f"/api/cases?{query}", 50)
            assert queue["count"] == len(found), (self.person.name, queue)
            self.expect(found, lambda row, ids=set(found): str(row.id) in ids, "queue")
        for queue in told["queues"]:
            assert queue["role"] in {role for role, _, _ in self.person.grants} - ADMINS
            assert sum(queue["lights"].values()) == queue["count"]
        assert told["views"][0]["count"] == sum(row.status == "open" for row in self.visible)

    def task_lists(self) -> None:
        for kind in ("urge", "assist"):
            self.expect(self.pages(f"/api/todo/tasks/{kind}?", 50), lambda row: False, "tasks")

    def exports(self) -> None:
        for query, keep in QUERIES.items():
            text = self.get(f"/api/cases/export?format=csv&{query}").text
            found = set(re.findall(r"^RH\d{8}-\d{6}", text, re.MULTILINE))
            assert found == {row.number for row in self.visible if keep(row)}, (self.person.name, query)
            assert all(row.description not in text for row in self.hidden)

    def bulk(self) -> None:
        items = [{"id": str(row.id), "seq": row.seq} for row, _ in self.some]
        if not items:
            return
        body = {"action": "no_such_step", "items": items}
        answer = self.service.post("/api/cases/bulk", json=body, headers=self.person.headers).json()
        assert answer["done"] == 0
        codes = [item["problem"]["code"] != "case_not_found" for item in answer["items"]]
        assert codes == [visible for _, visible in self.some], self.person.name

    def doable(self) -> None:
        ids = [str(row.id) for row, _ in self.some]
        if not ids:
            return
        answer = self.service.post("/api/cases/bulk/actions", json={"ids": ids}, headers=self.person.headers).json()
        named = {case for action in answer["items"] for case in action["cases"]}
        assert named <= {str(row.id) for row, visible in self.some if visible}, self.person.name

    def media(self) -> None:
        seen = {row.id for row in self.visible}
        for case_id, digest in self.world.photos.items():
            for path in (f"/api/media/{digest}", f"/api/media/{digest}/preview"):
                answer = self.service.get(f"{path}?case={case_id}", headers=self.person.headers)
                assert answer.status_code == (200 if case_id in seen else 404), (self.person.name, path, case_id)
            # Another case that one may see does not open the photo of one that one may not.
            for row in self.visible[:1]:
                for path in (f"/api/media/{digest}", f"/api/media/{digest}/preview"):
                    other = self.service.get(f"{path}?case={row.id}", headers=self.person.headers)
                    assert other.status_code == (200 if row.id == case_id else 404)

    def statistics(self) -> None:
        keys = {
            "village": lambda row: row.village_code,
            "unit_grid": lambda row: row.unit_grid_code,
            "department": lambda row: row.department_code or "",
            "day": lambda row: local_day(row.reported_at),
        }
        for by, key in keys.items():
            for query in ("", "village=110113003004", f"department={DEPARTMENTS[0]},{DEPARTMENTS[2]}"):
                chosen = [row for row in self.visible if row.status != "void" and QUERIES[query](row)]
                told = self.get(f"/api/statistics?measures=reported,closed&by={by}&{query}").json()
                found = {row["key"]: row["values"]["reported"] for row in told["rows"] if row["values"]["reported"]}
                assert found == Counter(map(key, chosen)), (self.person.name, by, query)
                assert told["totals"] == {"reported": len(chosen), "closed": sum(r.status == "closed" for r in chosen)}

    def drill_downs(self) -> None:
        measured = {"reported": lambda row: row.status != "void", "closed": lambda row: row.status == "closed"}
        for measure, counted in measured.items():
            for query, keep in QUERIES.items():
                found = self.pages(f"/api/statistics/{measure}/cases?{query}", 17)
                self.expect(found, lambda row, a=counted, b=keep: a(row) and b(row), f"{measure} {query}")

    def replays(self) -> None:
        """The list in force asked about all cases anew: which it looks at, and which now lie elsewhere than it says."""
        path = "/api/duty-list/replay?which=2&days=60"
        if "definition.view" not in self.person.permissions:
            answer = self.service.get(path, headers=self.person.headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), self.person.name
            return
        told = self.get(path).json()
        assert (told["cases"], told["moved"]) == (len(self.visible), len(self.visible)), self.person.name
        self.expect(self.pages(path, 17), lambda row: True, "replay")

    def figures(self) -> None:
        told = {figure["code"]: figure["value"] for figure in self.get("/api/figures").json()["figures"]}
        today = local_day(datetime.now(UTC))
        assert told["open"] == sum(row.status == "open" for row in self.visible), self.person.name
        assert told["overdue"] == sum(row.status == "open" and late(row) for row in self.visible), self.person.name
        assert told["reported_today"] == sum(
            row.status != "void" and local_day(row.reported_at) == today for row in self.visible
        )
        assert told["closed_today"] == sum(
            row.status == "closed" and local_day(row.closed_at) == today for row in self.visible
        )

    def heat(self) -> None:
        for query, keep in QUERIES.items():
            for res in (6, 11):
                told = self.get(f"/api/heat?res={res}&{query}").json()
                assert told["total"] == sum(cell["n"] for cell in told["items"]) == sum(map(keep, self.visible))

    def alerts(self) -> None:
        for query in ("", "village=110113003004", f"department={DEPARTMENTS[0]},{DEPARTMENTS[2]}"):
            told = self.get(f"/api/wall/alerts?{query}").json()
            overdue = [row for row in self.visible if row.status == "open" and late(row) and QUERIES[query](row)]
            assert told["late"]["n"] == len(overdue), (self.person.name, query)
            assert {item["id"] for item in told["late"]["worst"]} <= {str(row.id) for row in overdue}
            assert len(told["late"]["worst"]) == min(3, len(overdue))
            behind = self.get(f"/api/cases/count?{urlencode(told['late']['filter'])}").json()
            assert behind["total"] == len(overdue), "the number opens its cases"
            assert (told["silent"] is None) == ("position.view" not in self.person.permissions)

    def whole_town(self) -> bool:
        """Whether the centre's papers are open to this person; else they are refused."""
        everything = any(scope == "town" and role not in ADMINS for role, scope, _ in self.person.grants)
        answer = self.service.get("/api/handovers/draft", headers=self.person.headers)
        assert answer.status_code == (200 if everything else 403), self.person.name
        return everything

    def draft(self) -> None:
        if self.whole_town():
            told = {f["code"]: f["n"] for f in self.get("/api/handovers/draft").json()["figures"]}
            assert told["open"] == sum(row.status == "open" for row in self.visible), self.person.name

    def board(self) -> None:
        told = self.get("/api/board").json()
        opened = [row for row in self.visible if row.status == "open"]
        overdue = [row for row in opened if late(row)]
        stage_late = [row for row in opened if row.stage_due_at and row.stage_due_at < datetime.now(UTC)]
        for code, rows in (("open", opened), ("late", overdue), ("stage_late", stage_late)):
            assert told["lists"][code]["n"] == len(rows), (self.person.name, code)
            assert told["lists"][code]["by"]["village"] == Counter(row.village_code for row in rows)
        assert {item["id"] for item in told["longest"]} <= {str(row.id) for row in overdue}
        assert len(told["longest"]) == min(12, len(overdue))

    def report(self) -> None:
        today = local_day(datetime.now(UTC))
        told = self.get(f"/api/reports/preview?period=month&day={today}").json()
        counted = [row for row in self.visible if row.status != "void" and told["since"] <= local_day(row.reported_at)]
        assert told["totals"]["reported"] == len(counted), self.person.name
        assert {line["key"] for line in told["by"]["village"] if line["values"].get("reported")} == {
            row.village_code for row in counted
        }

    def balance(self) -> None:
        opened = [row for row in self.visible if row.status == "open"]
        told = {load["code"]: load["open"] for load in self.get("/api/balance").json()["items"] if load["open"]}
        assert told == Counter(row.duty_grid_code for row in opened), self.person.name
        assert self.get("/api/balance/export").content[:2] == b"PK"

    def plan_balance(self, path: str = "/api/grid-plan/balance") -> None:
        opened = sum(row.status == "open" for row in self.visible)
        told = self.get(path).json()
        for side in ("before", "after"):
            assert sum(line["open"] for line in told[side]) == opened, (self.person.name, path, side)

    def plan_suggestion(self) -> None:
        self.plan_balance("/api/grid-plan/suggestion?village=none")

    def tile_features(self, layer: str, z: int, query: str) -> Iterator[dict[str, Any]]:
        for tile in sorted(self.tiles[z]):
            body = self.get(f"/tiles/{layer}/{tile}.mvt?{query}").content
            yield from (f["properties"] for la in mapbox_vector_tile.decode(body).values() for f in la["features"])

    def map_tiles(self) -> None:
        for query, keep in QUERIES.items():
            expected = sum(map(keep, self.visible))
            for layer in ("cases", "heat"):
                total = sum(told["n"] for told in self.tile_features(layer, 11, query))
                assert total == expected, (self.person.name, layer, query)
        self.expect(
            [told["id"] for told in self.tile_features("cases", 17, "")], lambda row: True, "tiles of one point"
        )

    def intake(self) -> None:
        for row, _ in self.some:
            spot = f"lon={row.lon}&lat={row.lat}&category_kind=event&category_code=0102"
            told = self.get(f"/api/intake/facts?{spot}").json()
            assert not any("上报过" in why["zh"] for one in told["suggestions"] for why in one["why"]), (
                "one in each grid"
            )
            found = self.get(f"/api/intake/similar?{spot}").json()["items"]
            day = datetime.now(UTC) - timedelta(hours=24)
            self.expect(
                [item["id"] for item in found],
                lambda other, row=row, day=day: (
                    other.status == "open"
                    and other.reported_at >= day
                    and geometry.distance_m(row.lon, row.lat, other.lon, other.lat) <= 50
                ),
                "similar cases",
            )

    def codes(self) -> None:
        for row, visible in self.some:
            for code in (row.number, row.query_code, f"SJ-{row.number}"):
                answer = self.service.get(f"/api/codes/{code}", headers=self.person.headers)
                assert answer.status_code == (200 if visible else 404), (self.person.name, code)
                assert not visible or answer.json()["id"] == str(row.id)
                listed = [one["id"] for one in self.get(f"/api/cases?q={code}").json()["items"]]
                assert listed == [str(row.id)] * visible, (self.person.name, code)

    def told(self) -> None:
        for row, visible in self.some:
            answer = self.service.get(f"/api/cases/{row.id}/form", headers=self.person.headers)
            assert answer.status_code == (200 if visible else 404), (self.person.name, row.id)
            if visible:
                others = sorted((r for r in self.visible if r.id != row.id), key=lambda r: r.reported_at, reverse=True)
                assert [one["id"] for one in answer.json()["earlier"]] == [str(r.id) for r in others[:20]]

    def unmasking(self) -> None:
        for row, visible in self.some:
            url, body = f"/api/cases/{row.id}/unmask", {"reason": "回访核实"}
            answer = self.service.post(url, json=body, headers=self.person.headers)
            assert answer.status_code == (200 if visible else 404), (self.person.name, row.id)
            assert visible or PHONE not in answer.text

    def trials(self) -> None:
        """A draft in which nobody but leaders reports: every case of the acceptor's leaves it at once."""
        body = self.get("/api/definitions/workflow/standard/versions/in_force").json()["body"]
        body["start"]["roles"] = ["leader"]
        asked = {"body": body, "limit": 200}
        answer = self.service.post("/api/workflow-simulate", json=asked, headers=self.person.headers).json()
        self.expect([one["id"] for one in answer["items"]], lambda row: True, "trial")
        assert answer["total"] == len(self.visible)
        assert answer["summary"]["unseen"] == len(self.hidden)
        assert all(row.number not in str(answer) for row in self.hidden)

    def moves(self) -> None:
        answer = self.get(f"/api/workflow-moves/{MOVE}/cases?limit=200").json()
        self.expect([one["id"] for one in answer["items"]], lambda row: True, "move")
        assert (answer["total"], answer["unseen"]) == (len(self.visible), len(self.hidden))

    def turned_back(self) -> None:
        """A replay of the last day: the cases that were open at some time of it."""
        now = datetime.now(UTC)
        since = (now - timedelta(hours=20)).replace(microsecond=0)
        until = now + timedelta(minutes=1)
        told = self.get(f"/api/replay?since={since:%Y-%m-%dT%H:%M:%SZ}&until={until:%Y-%m-%dT%H:%M:%SZ}").json()
        ended = {row.id: row.closed_at or row.voided_at for row in self.world.rows}
        self.expect(
            [one["id"] for one in told["cases"]],
            lambda row: ended[row.id] is None or ended[row.id] >= since,
            "turned back",
        )

    def callers(self) -> None:
        answer = self.service.post("/api/intake/caller", json={"phone": PHONE}, headers=self.person.headers).json()
        newest = sorted(self.visible, key=lambda r: r.reported_at, reverse=True)[:20]
        assert [one["id"] for one in answer["earlier"]] == [str(r.id) for r in newest]

    def exceptions(self) -> None:
        found = self.service.post("/api/intake/exceptions/find", json={"phone": PHONE}, headers=self.person.headers)
        for answer in (self.get("/api/intake/exceptions"), found):
            seen = {(one["number"], one["case_id"]) for one in answer.json()["items"]}
            assert seen - {(None, None)} == {(row.number, str(row.id)) for row in self.visible}

    def component(self) -> None:
        """All cases are of one component: its page tells photos of those seen, of another only that there was one."""
        answer = self.get(f"/api/components/{COMPONENT}/history").json()
        told = {(one["case"], one["sha256"]) for one in answer["photos"]}
        assert told == {(str(r.id), self.world.photos[r.id]) for r in self.visible if r.id in self.world.photos}
        newest = answer["versions"][0]
        seen = [(str(row.id), row.number) for row in self.visible if row.id == self.world.brought]
        assert newest["corrected"]
        assert (newest["case_id"], newest["number"]) == (seen[0] if seen else (None, None))

    def places(self) -> None:
        found = self.get("/api/places?q=RH2026&limit=50").json()["items"]
        self.expect([item["code"] for item in found if item["kind"] == "case"], lambda row: True, "places")
        for row, visible in self.some:
            items = self.get(f"/api/places?q={row.number}").json()["items"]
            assert [i["name"] for i in items if i["kind"] == "case"] == ([row.number] if visible else [])

    def identified(self) -> None:
        for row, visible in self.some:
            found = self.get(f"/api/identify?lon={row.lon}&lat={row.lat}&radius=500").json()["cases"]
            far = {r.id: geometry.distance_m(row.lon, row.lat, r.lon, r.lat) for r in self.visible}
            near = sorted((r for r in self.visible if far[r.id] <= 500), key=lambda r: (far[r.id], r.number))[:20]
            assert [one["id"] for one in found] == [str(r.id) for r in near]
            assert visible == (str(row.id) in {one["id"] for one in found})

    def folium(self) -> None:
        for query in ("", "status=open"):
            page = self.get(f"/api/maps/folium?{query}").text
            expected = {row.number for row in self.visible if QUERIES[query](row)}
            assert set(re.findall(r"RH\d{8}-\d{6}", page)) == expected, (self.person.name, query)
            assert all(row.description not in page for row in self.hidden)

    def selections(self) -> None:
        """The whole town drawn as a box: the cases of the list, paged, counted and taken out."""
        town = {"type": "bbox", "bbox": [-180, -90, 180, 90]}
        for query, keep in QUERIES.items():
            asked = {"layer": "cases", "geometry": town, "filter": dict([query.split("=")] if query else [])}

            def told(path: str, asked: Any = asked, **more: Any) -> Any:
                answer = self.service.post(f"/api/selection{path}", json=asked | more, headers=self.person.headers)
                assert answer.status_code == 200, (self.person.name, answer.text)
                return answer.json()

            if "case.view" not in self.person.permissions:
                answer = self.service.post("/api/selection", json=asked, headers=self.person.headers)
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), self.person.name
                return
            found, cursor = [], ""
            while cursor is not None:
                page = told("", limit=17, cursor=cursor)
                found, cursor = found + [one["id"] for one in page["items"]], page["next"]
            self.expect(found, keep, f"selection {query}")
            counted = told("/statistics")
            assert counted["total"] == len(found), (self.person.name, query)
            villages = {one["value"]: one["count"] for one in counted["groups"]["village"]}
            assert villages == Counter(row.village_code for row in self.visible if keep(row))
        for row, visible in self.some:
            around = {"type": "buffer", "metres": 1, "layer": "cases", "feature": str(row.id)}
            body = {"layer": "divisions", "geometry": around}
            answer = self.service.post("/api/selection", json=body, headers=self.person.headers)
            assert answer.status_code == (200 if visible else 404), (self.person.name, row.id)

    def features(self) -> None:
        """The cases as OGC API – Features gives them."""
        for query, keep in QUERIES.items():
            found, path = [], f"/ogc/collections/cases/items?limit=17&{query}".rstrip("&")
            matched = self.get(path).json().get("numberMatched")
            while path:
                page = self.get(path).json()
                found += [one["id"] for one in page["features"]]
                path = next((one["href"] for one in page["links"] if one["rel"] == "next"), "")
            self.expect(found, keep, f"features {query}")
            assert matched in (len(found), None), (self.person.name, query)
            assert matched is not None or query.startswith("q="), query
        for row, visible in self.some:
            url = f"/ogc/collections/cases/items/{row.id}"
            answer = self.service.get(url, headers=self.person.headers)
            assert answer.status_code == (200 if visible else 404), (self.person.name, row.id)

    def taken_out(self) -> None:
        selection._downloads = Throttle(per_minute=300)
        if "case.view" not in self.person.permissions:
            return
        for query in ("", "status=open"):
            asked = {"layer": "cases", "filter": dict([query.split("=")] if query else [])}
            answer = self.service.post("/api/selection/download", json=asked, headers=self.person.headers)
            self.expect([one["id"] for one in answer.json()["features"]], QUERIES[query], "download")
            file = self.service.get(f"/api/maps/geopackage?layers=cases&{query}", headers=self.person.headers)
            self.expect(geopackage_ids(file.content), QUERIES[query], "geopackage")

    def stream(self) -> None:
        for query in ("", "status=open"):
            with live.db.transaction() as tx:
                caller = people.by_token(tx, self.person.token)
                happened, _ = events.since(tx, events.Cursor(), 10_000)
                wanted = CaseFilter.parse(dict([query.split("=")] if query else []))
                messages = live.case_messages(tx, caller, wanted, happened)
            told = [m.data for m in messages if m.event == "case"]
            self.expect([data["id"] for data in told], lambda row: True, "stream")
            self.expect([d["id"] for d in told if d["matches"]], QUERIES[query], "stream")
            # Of a case one may not see, nothing but that it is none of one's own.
            seen = {str(row.id) for row in self.visible}
            assert all(m.data.keys() == {"id"} and m.data["id"] not in seen for m in messages if m.event != "case")


def geopackage_ids(content: bytes) -> list[str]:
    """The features of a GeoPackage's cases."""
    with tempfile.NamedTemporaryFile(suffix=".gpkg") as file:
        file.write(content)
        file.flush()
        with closing(sqlite3.connect(file.name)) as book:
            return [row[0] for row in book.execute("select feature_id from cases")]


#: Every route that shows cases: the permission it needs, and how it is walked.
WALKED: dict[str, tuple[str, Callable[[Walk], None]]] = {
    "POST /api/workflow-simulate": ("definition.view", Walk.trials),
    "GET /api/workflow-moves/{move_id}/cases": ("definition.view", Walk.moves),
    "GET /api/cases": ("case.view", Walk.lists),
    "GET /api/cases/count": ("case.view", Walk.counts),
    "GET /api/cases/choices": ("case.view", Walk.choices),
    "GET /api/cases/export": ("export.make", Walk.exports),
    "POST /api/cases/bulk": ("case.act", Walk.bulk),
    "POST /api/cases/bulk/actions": ("case.act", Walk.doable),
    "GET /api/todo": ("case.view", Walk.to_do),
    "GET /api/todo/tasks/{kind}": ("case.view", Walk.task_lists),
    "GET /api/cases/{case_id}": ("case.view", Walk.details),
    "GET /api/cases/{case_id}/course": ("case.view", Walk.courses),
    "GET /api/cases/{case_id}/candidates": ("position.view", Walk.candidates),
    "GET /api/cases/{case_id}/verify": ("case.view", Walk.proofs),
    "POST /api/cases/{case_id}/actions": ("case.act", Walk.actions),
    "GET /api/media/{sha256}": ("case.view", Walk.media),
    "GET /api/media/{sha256}/preview": ("case.view", Walk.media),
    "GET /api/statistics": ("statistics.view", Walk.statistics),
    "GET /api/statistics/{measure}/cases": ("statistics.view", Walk.drill_downs),
    "GET /api/figures": ("case.view", Walk.figures),
    "GET /api/heat": ("map.view", Walk.heat),
    "GET /api/wall/alerts": ("case.view", Walk.alerts),
    "GET /api/places": ("map.view", Walk.places),
    "GET /api/identify": ("map.view", Walk.identified),
    "GET /api/board": ("statistics.view", Walk.board),
    "GET /api/reports/preview": ("statistics.view", Walk.report),
    "GET /api/balance": ("statistics.view", Walk.balance),
    "GET /api/balance/export": ("statistics.view", Walk.balance),
    "GET /api/grid-plan/balance": ("statistics.view", Walk.plan_balance),
    "GET /api/grid-plan/suggestion": ("statistics.view", Walk.plan_suggestion),
    "GET /api/handovers/draft": ("shift.work", Walk.draft),
    "GET /api/intake/facts": ("case.report", Walk.intake),
    "GET /api/intake/similar": ("case.report", Walk.intake),
    "GET /api/codes/{code}": ("case.view", Walk.codes),
    "GET /api/cases/{case_id}/form": ("case.view", Walk.told),
    "POST /api/cases/{case_id}/unmask": ("personal.unmask", Walk.unmasking),
    "POST /api/intake/caller": ("personal.unmask", Walk.callers),
    "POST /api/intake/exceptions/find": ("exception.manage", Walk.exceptions),
    "GET /api/intake/exceptions": ("exception.manage", Walk.exceptions),
    "GET /api/components/{code}/history": ("map.view", Walk.component),
    "GET /api/maps/folium": ("export.make", Walk.folium),
    "GET /ogc/collections/{collection}/items": ("case.view", Walk.features),
    "GET /ogc/collections/{collection}/items/{feature}": ("case.view", Walk.features),
    "POST /api/selection": ("map.view", Walk.selections),
    "POST /api/selection/statistics": ("map.view", Walk.selections),
    "POST /api/selection/download": ("export.make", Walk.taken_out),
    "GET /api/maps/geopackage": ("export.make", Walk.taken_out),
    "GET /api/stream": ("case.view", Walk.stream),
    "GET /api/duty-list/replay": ("case.view", Walk.replays),
    "GET /api/replay": ("track.view", Walk.turned_back),
}


def test_every_route_is_walked_or_shows_no_case():
    found = {f"{method} {route.path}" for route in routes() for method in route.methods - {"HEAD"}}
    assert found - OPEN == CASELESS | WALKED.keys()


def test_nobody_sees_a_case_outside_their_scope(service, world):
    tiles: dict[int, set[str]] = {}
    for z in (11, 17):
        shift = geometry.WORLD_BITS - z
        pixels = [geometry.world_pixel(row.lon, row.lat) for row in world.rows]
        tiles[z] = {f"{z}/{px >> shift}/{py >> shift}" for px, py in pixels}
    seen = Counter()
    for person in world.people:
        walk = Walk(service, world, person, tiles)
        seen[len(walk.visible)] += 1
        for route, (permission, look) in WALKED.items():
            if permission in person.permissions:
                look(walk)
                continue
            method, path = route.split(" ")
            path = (
                path.replace("{case_id}", str(world.rows[0].id))
                .replace("{measure}", "reported")
                .replace("{move_id}", str(MOVE))
                .replace("{collection}", "cases")
            )
            path = path.replace("{sha256}", next(iter(world.photos.values())))
            answer = service.request(
                method, path, params={"q": "RH", "case": NOBODYS}, json={"action": "accept"}, headers=person.headers
            )
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (person.name, route)
        if "map.view" in person.permissions:
            walk.map_tiles()
        else:
            for layer in ("cases", "heat"):
                answer = service.get(f"/tiles/{layer}/{min(tiles[11])}.mvt", headers=person.headers)
                assert answer.status_code == 403, (person.name, layer)
    # The dice have made something to tell apart: people with nothing, with everything, and many in between.
    assert seen[0]
    assert seen[CASES]
    assert sum(n for count, n in seen.items() if 0 < count < CASES) >= 10


def test_the_public_sees_no_case_but_by_its_code(service, world):
    row = world.rows[0]
    for route in WALKED:
        method, path = route.split(" ")
        path = (
            path.replace("{case_id}", str(row.id))
            .replace("{measure}", "reported")
            .replace("{move_id}", str(MOVE))
            .replace("{sha256}", "0" * 64)
        )
        answer = service.request(method, path, params={"q": "RH", "case": str(row.id)}, json={"action": "accept"})
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated"), route
    for layer in ("cases", "heat"):
        assert service.get(f"/tiles/{layer}/0/0/0.mvt").status_code == 401
    followed = service.get(f"/api/public/cases/{row.query_code}").json()
    assert followed.keys() == {
        *("number", "category", "state_name", "stage", "status", "reported_at", "closed_at", "timeline"),
        *("asks", "may_supplement", "may_rate", "rated"),
    }
    assert followed["number"] == row.number
    for guess in (row.number, str(row.id), row.query_code[:-1], "%", "_" * 8):
        assert service.get(f"/api/public/cases/{guess}").status_code in (404, 422), guess
