"""The desk in a real browser against a real server: what waits for me, keys, many at once, the address."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.layers.service import PASSWORD, Town, axe_faults, started

FILED, REPORTED = 9, 4


@pytest.fixture(scope="module")
def town(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The service with some cases to dispatch and some to accept."""
    with started(cluster, tmp_path_factory.mktemp("home")) as running:
        components = running.ask("leader", "GET", "/api/components?limit=500")["items"]
        for i, component in enumerate(components[:: len(components) // (FILED + REPORTED)][: FILED + REPORTED]):
            made = running.report(component, f"井盖第{i}处松动")
            if i < FILED:
                step(running, "acceptor1", made["id"], "accept")
                step(running, "shiftleader1", made["id"], "file")
        yield running


def step(town: Town, who: str, case_id: str, action: str) -> Any:
    return town.ask(who, "POST", f"/api/cases/{case_id}/actions", {"action": action, "payload": {}})


@dataclass
class Desk:
    """Somebody's desk; ``faults`` are what its console complained of."""

    page: Page
    town: Town
    faults: list[str]

    def open(self, path: str) -> None:
        """To an address; waits until the desk is drawn and live."""
        self.page.goto(self.town.url + path)
        expect(self.page.get_by_test_id("live")).to_have_attribute("data-live", "true")

    def total(self, number: int) -> None:
        """Until the list says it holds this many."""
        expect(self.page.get_by_test_id("total")).to_have_attribute("data-total", str(number))

    @property
    def rows(self) -> Any:
        return self.page.locator("[role=row][data-case]")

    def case(self) -> Any:
        return self.page.get_by_test_id("case")


@pytest.fixture
def desk(browser: Browser, town: Town) -> Iterator[Callable[..., Desk]]:
    """Opens the desk of a person on a screen of its own."""
    contexts = []

    def sit_down(who: str, width: int = 1366, height: int = 768, path: str = "/desk") -> Desk:
        context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
        contexts.append(context)
        page, faults = context.new_page(), []
        page.set_default_timeout(30_000)
        expect.set_options(timeout=30_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        context.request.post(f"{town.url}/api/login", data={"username": who, "password": PASSWORD})
        seat = Desk(page, town, faults)
        if path:
            seat.open(path)
        return seat

    yield sit_down
    for context in contexts:
        context.close()


def filed(town: Town) -> list[dict[str, Any]]:
    return town.ask("dispatcher1", "GET", "/api/cases?state=filed&status=open&order=due&limit=100")["items"]


def test_a_dispatchers_hour(browser: Browser, desk: Callable[..., Desk], town: Town, tmp_path: Path) -> None:
    """Sign in, see what waits, filter, fly by keyboard, dispatch many at once while a colleague is quicker with one."""
    seat = desk("dispatcher1", path="")
    page = seat.page
    page.context.clear_cookies()
    page.goto(f"{town.url}/desk")
    page.wait_for_url("**/login?next=*")
    page.fill("#username", "dispatcher1")
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    seat.faults.clear()  # the console told that a stranger was turned away
    page.wait_for_url("**/desk/cases?*state=filed*")  # the bare address begins with what waits for me
    waiting = filed(town)
    seat.total(FILED)
    expect(page.locator("[data-queue=filed]")).to_have_attribute("data-count", str(FILED))
    expect(page.locator("[data-queue=handling]")).to_have_count(0)  # nobody else's work
    expect(seat.rows).to_have_count(FILED)

    # A filter: chip, list and address change together, and going back restores them.
    village = waiting[0]["village"]["code"]
    there = sum(item["village"]["code"] == village for item in waiting)
    page.locator("[data-menu=village] .opener").click()
    page.get_by_role("dialog").get_by_label(re.compile(waiting[0]["village"]["name"])).check()
    page.keyboard.press("Escape")
    seat.total(there)
    assert f"village={village}" in page.url
    page.locator("[data-chip=village]").click()
    seat.total(FILED)

    # By keyboard: down, open, on to the next, close; the address names the case.
    order = [row.get_attribute("data-case") for row in seat.rows.all()]
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(seat.case()).to_have_attribute("data-case", order[1])
    page.keyboard.press("j")
    expect(seat.case()).to_have_attribute("data-case", order[2])
    page.wait_for_url(f"**open={order[2]}*")
    address = page.url
    assert axe_faults(page) == []
    page.keyboard.press("Escape")
    expect(seat.case()).to_have_count(0)

    # A colleague opens what was sent to them: the same list, the same case.
    colleague = desk("dispatcher2", path=address.removeprefix(town.url))
    expect(colleague.case()).to_have_attribute("data-case", order[2])
    colleague.total(FILED)

    # Four at once, while the colleague is quicker with the third.
    page.keyboard.press("Home")
    for _ in range(4):
        page.keyboard.press("x")
        page.keyboard.press("j")
    bulk = page.get_by_test_id("bulk")
    expect(bulk).to_contain_text("已选 4 件")
    page.screenshot(path=str(tmp_path / "bulk.png"))
    expect(bulk.locator("[data-bulk=dispatch]")).to_be_enabled()
    page.keyboard.press("a")
    send = page.get_by_test_id("bulk-send")
    expect(send).to_be_enabled()
    assert axe_faults(page) == []
    step(town, "dispatcher2", order[2], "dispatch")
    send.click()
    refused = page.get_by_test_id("refused")
    expect(refused).to_contain_text("stale_case")
    expect(refused.get_by_role("listitem")).to_have_count(1)
    page.screenshot(path=str(tmp_path / "refused.png"))
    page.get_by_role("button", name="知道了").click()
    seat.total(FILED - 4)
    expect(page.locator("[data-queue=filed]")).to_have_attribute("data-count", str(FILED - 4))
    states = [town.ask("dispatcher1", "GET", f"/api/cases/{one}")["state"] for one in order]
    assert states == ["handling"] * 4 + ["filed"] * (FILED - 4)
    assert seat.faults == []


def test_a_filter_is_kept_and_shared(desk: Callable[..., Desk], town: Town) -> None:
    seat = desk("shiftleader1", path="/desk/cases?state=reported&status=open")
    seat.total(REPORTED)
    seat.page.get_by_test_id("save-filter").click()
    seat.page.get_by_label("名称").fill("今早新报")
    seat.page.keyboard.press("Enter")
    kept = seat.page.locator("[data-saved]")
    expect(kept).to_contain_text("今早新报")
    seat.page.get_by_role("button", name="管理“今早新报”").click()
    seat.page.get_by_role("menuitem", name="共享给同事").click()
    expect(kept).to_contain_text("⇄")
    other = desk("acceptor1", path="/desk/cases?status=all")
    other.page.locator("[data-saved]").click()
    other.total(REPORTED)
    assert "state=reported" in other.page.url


def test_the_list_is_exported_with_its_filter(desk: Callable[..., Desk], town: Town) -> None:
    seat = desk("shiftleader1", path="/desk/cases?state=reported&status=open")
    seat.total(REPORTED)
    seat.page.get_by_test_id("export").click()
    with seat.page.expect_download() as download:
        seat.page.get_by_role("menuitem", name="CSV").click()
    rows = list(csv.reader(io.StringIO(download.value.path().read_text(encoding="utf-8-sig"))))
    assert len(rows[: rows.index([])]) == 1 + REPORTED
    assert dict(rows[rows.index([]) + 1 :])["筛选条件"] == "state=reported&status=open"


def test_a_report_arrives_by_itself(desk: Callable[..., Desk], town: Town) -> None:
    seat = desk("acceptor1")
    queue = seat.page.locator("[data-queue=reported]")
    expect(queue).to_have_attribute("data-count", str(REPORTED))
    component = town.ask("leader", "GET", "/api/components?limit=1")["items"][0]
    made = town.report(component, "刚刚上报")
    expect(seat.page.locator(f"[data-case='{made['id']}']").first).to_be_visible()
    expect(queue).to_have_attribute("data-count", str(REPORTED + 1))
    void = {"action": "void", "payload": {"reason": "误报"}}
    town.ask("acceptor1", "POST", f"/api/cases/{made['id']}/actions", void)
    expect(queue).to_have_attribute("data-count", str(REPORTED))


def test_nobody_is_shown_what_they_may_not_use(desk: Callable[..., Desk], town: Town) -> None:
    seat = desk("admin", path="")
    seat.page.goto(f"{town.url}/desk/cases")
    expect(seat.page.get_by_role("alert")).to_contain_text("您的角色不能使用这个页面")
    expect(seat.page.locator("nav a[href='/desk/cases']")).to_have_count(0)
    seat.page.goto(f"{town.url}/desk/nowhere/at/all")
    expect(seat.page.get_by_role("alert")).to_contain_text("没有这个页面")


def test_the_desk_stays_usable_when_the_server_does_not_answer(desk: Callable[..., Desk], town: Town) -> None:
    seat = desk("acceptor1", path="/desk/cases?state=reported&status=open")
    seat.total(REPORTED)
    seat.page.route("**/api/cases?*", lambda route: route.fulfill(status=503, json={"code": "unavailable"}))
    seat.page.keyboard.press("r")
    problem = seat.page.get_by_role("alert")
    expect(problem).to_contain_text("unavailable")
    expect(seat.rows).to_have_count(REPORTED)  # what was read last stays
    seat.page.unroute("**/api/cases?*")
    problem.get_by_role("button").click()
    expect(problem).to_have_count(0)


@pytest.mark.parametrize(("width", "height", "language"), [(1366, 768, "zh"), (1920, 1080, "en"), (683, 384, "zh")])
def test_every_screen_shows_the_list_and_axe_finds_nothing(
    desk: Callable[..., Desk], town: Town, tmp_path: Path, width: int, height: int, language: str
) -> None:
    """The last is 1366 at twice the zoom."""
    seat = desk("leader", width, height, path=f"/desk/cases?status=open&map=1&lang={language}")
    expect(seat.rows.first).to_be_visible()
    seat.page.screenshot(path=str(tmp_path / f"desk-{width}.png"))
    assert seat.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off sideways"
    row = seat.rows.first.bounding_box()
    assert row is not None
    assert row["height"] == pytest.approx(36, abs=1)
    assert axe_faults(seat.page) == []
    assert seat.faults == []


def test_a_special_action_and_an_assignee_are_chosen_by_name(desk: Callable[..., Desk], town: Town) -> None:
    component = town.ask("leader", "GET", "/api/components?limit=1")["items"][0]
    told = {"category_kind": "component", "category_code": component["category_code"], "channel": "public"}
    told |= {name: component[name] for name in ("catalogue", "lon", "lat")}
    made = town.ask("leader", "POST", "/api/cases", told | {"description": "请先核实"})
    verify = {"action": "verify", "payload": {"note": "请到现场"}}
    holder = town.ask("acceptor1", "POST", f"/api/cases/{made['id']}/actions", verify)["assignee"]
    seat = desk("shiftleader1", path="/desk/cases?status=open")
    seat.page.get_by_role("button", name="更多筛选").click()
    seat.page.locator("[data-menu=tag] .opener").click()
    seat.page.get_by_role("checkbox", name="井盖安全专项（演示）").check()
    expect(seat.page.locator("[data-chip=tag]")).to_contain_text("井盖安全专项（演示）")
    seat.total(town.total("status=open&tag=manhole"))
    seat.page.keyboard.press("Escape")
    seat.page.get_by_test_id("clear").click()
    seat.page.locator("[data-menu=assignee] .opener").click()
    seat.page.get_by_role("checkbox", name=holder["name"]).check()
    expect(seat.page.locator("[data-chip=assignee]")).to_contain_text(holder["name"])
    seat.total(town.total(f"assignee={holder['id']}"))
    expect(seat.page.locator(f"[data-case='{made['id']}']").first).to_be_visible()
    assert seat.faults == []
