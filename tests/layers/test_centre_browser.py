"""The command centre in a real browser: a shift planned, the log written, a post handed over and signed, the board."""

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import create_engine, text

from gis.search import ZONE
from tests.layers.service import PASSWORD, Town, axe_faults, started

# Three weeks on: after every shift the demo has.
MONDAY = date.today() + timedelta(days=21 - date.today().weekday())


@pytest.fixture(scope="module")
def town(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The service with eight cases, two of them late."""
    with started(cluster, tmp_path_factory.mktemp("home")) as town:
        components = town.ask("leader", "GET", "/api/components?limit=500")["items"]
        ids = [town.report(one, "路面破损")["id"] for one in components[:: len(components) // 8][:8]]
        url = town.environment["WANGGE_DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://", 1)
        engine = create_engine(url)
        with engine.begin() as tx:
            tx.execute(
                text(
                    "update \"case\" set due_at = now() - interval '2 hours', yellow_at = now() - interval '3 hours',"
                    " clock = jsonb_build_object('limit', jsonb_build_object('amount', '4', 'kind', 'urgent_hours'),"
                    " 'started_at', now() - interval '6 hours', 'pauses', '[]'::jsonb) where id = any(:ids)"
                ),
                {"ids": ids[:2]},
            )
        engine.dispose()
        for one in ids:  # the steps tell the points
            town.ask("acceptor1", "POST", f"/api/cases/{one}/actions", {"action": "accept", "payload": {}})
        yield town


class Seat:
    """One person at the desk; ``faults`` are what the console complained of."""

    def __init__(self, browser: Browser, town: Town, who: str) -> None:
        self.context = browser.new_context(viewport={"width": 1440, "height": 900}, timezone_id="America/New_York")
        self.page: Page = self.context.new_page()
        self.town, self.faults = town, []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda said: said.type == "error" and self.faults.append(said.text))
        answer = self.context.request.post(f"{town.url}/api/login", data={"username": who, "password": PASSWORD})
        assert answer.ok

    def open(self, path: str) -> None:
        self.page.goto(f"{self.town.url}/desk{path}")

    def choose(self, label: str, option: str) -> None:
        """An option of Element Plus' select."""
        self.page.locator(".el-form-item", has_text=label).locator(".el-select").first.click()
        self.page.locator(".el-select-dropdown__item:visible", has_text=option).first.click()


@pytest.fixture
def sit(browser: Browser, town: Town) -> Iterator[Any]:
    seats: list[Seat] = []

    def seat(who: str) -> Seat:
        seats.append(Seat(browser, town, who))
        return seats[-1]

    yield seat
    for one in seats:
        one.context.close()
    assert [fault for one in seats for fault in one.faults] == []


def turns(town: Town) -> list[tuple[str, str]]:
    """Who stands in the planned week, and from when by the town's clock."""
    found = town.ask("leader", "GET", f"/api/shifts?since={MONDAY}&until={MONDAY + timedelta(days=6)}")["shifts"]
    begins = [datetime.fromisoformat(one["starts_at"]).astimezone(ZONE) for one in found]
    return [(one["username"], f"{at:%m-%d %H:%M}") for one, at in zip(found, begins, strict=True)]


def test_a_shift_is_planned_moved_and_taken_back(town: Town, sit: Any) -> None:
    seat = sit("shiftleader1")
    page = seat.page
    seat.open("/shifts")
    later = page.get_by_role("button", name="下一段")
    for week in range(3):
        expect(page.locator("b.number").first).to_contain_text(str(MONDAY - timedelta(days=21 - 7 * week)))
        later.click()
    expect(page.locator("b.number").first).to_contain_text(str(MONDAY))
    expect(page.get_by_test_id("gap-list")).to_contain_text("受理席 缺 1 人 07–22")
    staff = {one["username"]: one["id"] for one in town.ask("shiftleader1", "GET", "/api/shifts/crew")["staff"]}

    def cell(username: str, day: date) -> Any:
        return page.locator(f"tr[data-row='acceptor/{staff[username]}'] td[data-day='{day}']")

    cell("acceptor1", MONDAY).hover()
    cell("acceptor1", MONDAY).locator("button.add").click()
    page.get_by_test_id("shift-save").click()
    expect(cell("acceptor1", MONDAY).locator(".turn")).to_have_text("07–15")
    expect(page.get_by_test_id("gap-list")).to_contain_text("受理席 缺 1 人 15–22")
    assert turns(town) == [("acceptor1", f"{MONDAY:%m-%d} 07:00")]

    # Dragged to another person and day: the same turn, elsewhere.
    tuesday = MONDAY + timedelta(days=1)
    cell("acceptor1", MONDAY).locator(".turn").drag_to(cell("acceptor3", tuesday))
    expect(cell("acceptor3", tuesday).locator(".turn")).to_have_text("07–15")
    assert turns(town) == [("acceptor3", f"{tuesday:%m-%d} 07:00")]
    page.get_by_role("button", name="撤销").last.click()
    expect(cell("acceptor1", MONDAY).locator(".turn")).to_have_text("07–15")
    expect(cell("acceptor3", tuesday).locator(".turn")).to_have_count(0)

    # A refusal names the rule and keeps what was typed.
    cell("acceptor1", tuesday).hover()
    cell("acceptor1", tuesday).locator("button.add").click()
    page.get_by_label("时长（小时）").fill("24")
    page.locator(".el-form-item", has_text="备注").locator("input").fill("顶班")
    town.ask(
        "shiftleader1",
        "POST",
        "/api/shifts/plan",
        {
            "add": [
                {
                    "staff": staff["acceptor1"],
                    "role": "acceptor",
                    "starts_at": f"{tuesday}T20:00:00+08:00",
                    "ends_at": f"{tuesday}T22:00:00+08:00",
                }
            ]
        },
    )
    page.get_by_test_id("shift-save").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("shift_overlap")
    expect(page.locator(".el-form-item", has_text="备注").locator("input")).to_have_value("顶班")
    page.get_by_role("button", name="取消", exact=True).click()
    # The refusal is the page's one complaint: the browser tells of every answer that is none of 200.
    seat.faults[:] = [fault for fault in seat.faults if "409" not in fault]
    seat.open("/shifts")
    expect(page.locator("tr[data-row^='acceptor/']").first).to_be_visible()
    assert axe_faults(page) == []


def test_the_log_is_written_and_corrected(town: Town, sit: Any) -> None:
    seat = sit("acceptor1")
    page = seat.page
    seat.open("/shifts/log")
    number = town.ask("acceptor1", "GET", "/api/cases?limit=1")["items"][0]["number"]
    page.get_by_role("radiogroup", name="类别").get_by_text("来访接待").click()
    page.get_by_test_id("log-text").fill("村民来访，反映路灯不亮")
    page.get_by_label("关联案件").fill(number.lower())
    page.reload()  # what was typed outlives the page
    expect(page.get_by_test_id("log-text")).to_have_value("村民来访，反映路灯不亮")
    page.get_by_test_id("log-write").click()
    entries = page.get_by_test_id("entries")
    expect(entries).to_contain_text("村民来访，反映路灯不亮")
    expect(entries.get_by_role("link", name=number)).to_be_visible()
    entries.get_by_role("button", name="更正").click()
    page.get_by_test_id("log-text").fill("是路灯常亮，不是不亮")
    page.get_by_test_id("log-write").click()
    expect(entries.locator("li")).to_have_count(2)
    expect(entries.locator("li.corrected")).to_contain_text("路灯不亮")
    assert axe_faults(page) == []


def test_a_post_is_handed_over_signed_and_seen_on_the_board(town: Town, sit: Any) -> None:
    giver, taker, leader = sit("acceptor1"), sit("acceptor2"), sit("leader")
    giver.open("/shifts/handover")
    expect(giver.page.locator("[data-figure='late'] b")).to_have_text("2")
    giver.page.get_by_label(re.compile("交代$")).first.fill("已催过养护公司")
    giver.page.get_by_test_id("remarks").fill("夜里有雨，注意积水点")
    assert axe_faults(giver.page) == []
    giver.page.get_by_test_id("give").click()
    expect(giver.page.get_by_text("已交班")).to_be_visible()
    expect(giver.page.get_by_test_id("remarks")).to_have_value("")

    leader.open("/board")
    board = leader.page.get_by_test_id("board")
    expect(board.get_by_test_id("unsigned")).to_contain_text("受理员岗位无人签字接班")
    expect(board.locator("[data-list='late'] b")).to_have_text("2")
    assert axe_faults(leader.page) == []

    taker.open("/shifts/handover")
    taker.page.get_by_test_id("sign").click()
    taker.page.get_by_test_id("sign-password").fill("not-my-password")
    taker.page.get_by_test_id("sign-confirm").click()
    expect(taker.page.get_by_role("dialog").get_by_role("alert")).to_contain_text("wrong_password")
    taker.page.get_by_test_id("sign-password").fill(PASSWORD)
    taker.page.get_by_test_id("sign-confirm").click()
    expect(taker.page.get_by_role("dialog")).to_have_count(0)
    taker.faults[:] = [fault for fault in taker.faults if "403" not in fault]
    names = {who: town.ask(who, "GET", "/api/me")["name"] for who in ("acceptor1", "acceptor2")}
    taker.page.get_by_role("link", name=re.compile("受理员")).first.click()
    sheet = taker.page.get_by_test_id("sheet")
    for text_ in (*names.values(), "已催过养护公司", "夜里有雨，注意积水点", "记录链完整"):
        expect(sheet).to_contain_text(text_)
    assert axe_faults(taker.page) == []

    leader.page.reload()
    expect(board).to_be_visible()
    expect(board.get_by_test_id("unsigned")).to_have_count(0)
    board.locator("[data-list='late']").click()
    leader.page.wait_for_url(re.compile(r"/desk/cases\?.*light=red"))


def test_a_reports_numbers_open_their_cases(town: Town, sit: Any) -> None:
    seat = sit("leader")
    page = seat.page
    today = datetime.now(ZONE).date()
    seat.open(f"/reports?period=week&day={today}")
    total = page.locator("[data-total='reported']")
    page.wait_for_function(  # the relay rolls up a moment later
        "async (path) => (await (await fetch(path)).json()).totals.reported === 8",
        arg=f"/api/reports/preview?period=week&day={today}",
    )
    page.reload()
    expect(total.locator("b")).to_have_text("8")
    total.click()
    expect(page.get_by_test_id("behind").locator("li")).to_have_count(8)
    page.keyboard.press("Escape")
    page.get_by_test_id("keep").click()
    page.wait_for_url("**/reports?kept=*")
    expect(page.get_by_test_id("report")).to_contain_text("归档于")
    expect(total.locator("b")).to_have_text("8")
    assert axe_faults(page) == []
    seat.open("/reports/balance")
    expect(page.locator("tbody tr").first).to_be_visible()
    assert axe_faults(page) == []
