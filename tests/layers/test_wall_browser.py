"""The wall in a real browser against a real server: map, list and figures agree, live, by keyboard, by address."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.layers.service import PASSWORD, Town, axe_faults, started

CASES = 24
#: All cases the map's source holds at the whole town's zoom. Tiles do not overlap, so their sum is a number of cases.
ON_MAP = """() => {
  const cells = window.wanggeMap?.querySourceFeatures('wall-cases-far', {sourceLayer: 'cases'}) ?? []
  return cells.reduce((sum, cell) => sum + cell.properties.n, 0)
}"""


@pytest.fixture(scope="module")
def town(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The service over a database of this module's own, with cases in three states."""
    with started(cluster, tmp_path_factory.mktemp("home")) as running:
        _fill(running)
        yield running


def _fill(town: Town) -> None:
    components = town.ask("leader", "GET", "/api/components?limit=500")["items"]
    for i, component in enumerate(components[:: len(components) // CASES][:CASES]):
        made = town.report(component, f"路面第{i}处破损")
        if i % 3:
            town.ask("acceptor1", "POST", f"/api/cases/{made['id']}/actions", {"action": "accept", "payload": {}})
        if i % 3 == 2:
            void = {"action": "void", "payload": {"reason": "重复上报"}}
            town.ask("shiftleader1", "POST", f"/api/cases/{made['id']}/actions", void)


@pytest.fixture(scope="module")
def cookies(town: Town, browser: Browser) -> Any:
    """What a browser keeps of a login through the page."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{town.url}/wall?stage=acceptance")
    page.wait_for_url("**/login?next=*")
    page.fill("#username", "leader")
    page.fill("#password", "wrong-password")
    page.click("button[type=submit]")
    expect(page.get_by_role("alert")).to_contain_text("bad_login")
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url("**/wall?stage=acceptance*")
    state = context.storage_state()
    context.close()
    return state


@dataclass
class Wall:
    """One wall on one screen; ``faults`` are what its console complained of."""

    page: Page
    town: Town
    faults: list[str]

    def open(self, query: str = "", *, drawn: bool = True) -> None:
        """Goes to the wall with this query and waits for the list and, where it matters, for the whole map."""
        self.page.goto(f"{self.town.url}/wall{query}")
        expect(self.page.get_by_test_id("live")).to_contain_text(re.compile("实时|Live"))
        expect(self.page.get_by_test_id("total")).to_be_attached()  # out of sight behind an open case
        if drawn:
            self.page.wait_for_function("() => window.wanggeMap?.loaded()")

    def go(self, query: str) -> None:
        """To another address of the open wall, as the browser's back button goes: without loading the page."""
        self.page.evaluate(
            "q => { history.pushState(null, '', q); dispatchEvent(new PopStateEvent('popstate')) }", query
        )

    def listed(self) -> int:
        """The number above the list."""
        return int(self.page.get_by_test_id("total").get_attribute("data-total") or -1)

    def wait_for(self, number: int) -> None:
        """Until list and map both show this many cases."""
        expect(self.page.get_by_test_id("total")).to_have_attribute("data-total", str(number))
        self.page.wait_for_function(f"n => ({ON_MAP})() === n", arg=number)


@pytest.fixture
def wall(browser: Browser, cookies: Any, town: Town) -> Iterator[Wall]:
    context = browser.new_context(storage_state=cookies, viewport={"width": 1366, "height": 768})
    yield _wall(context, town)
    context.close()


def _wall(context: BrowserContext, town: Town) -> Wall:
    page, faults = context.new_page(), []
    page.set_default_timeout(20_000)
    expect.set_options(timeout=20_000)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    return Wall(page, town, faults)


def test_map_and_list_show_the_same_number_under_any_filter(wall: Wall, town: Town) -> None:
    village = town.ask("leader", "GET", "/api/cases?limit=1")["items"][0]["village"]["code"]
    seen = set()
    wall.open("?status=open")
    for query in ("", "status=open", "stage=filing", f"village={village}", "status=void", "q=第7处", "category=event"):
        expected = town.total(query)
        wall.go(f"?{query or 'status=all'}")
        wall.wait_for(expected)
        seen.add(expected)
    assert len(seen) > 3, "the filters are to tell something apart"
    assert wall.faults == []


def test_a_control_changes_map_list_and_address_together(wall: Wall, town: Town) -> None:
    wall.open()
    wall.wait_for(town.total("status=open"))
    wall.page.locator("[data-menu=status] .opener").click()
    wall.page.get_by_role("dialog").get_by_text("已作废").click()
    wall.page.keyboard.press("Escape")
    wall.wait_for(town.total("status=open,void"))
    assert "status=open,void" in wall.page.url
    wall.page.get_by_test_id("clear").click()
    wall.wait_for(town.total(""))
    wall.page.go_back()
    wall.wait_for(town.total("status=open,void"))


def test_a_report_appears_by_itself(wall: Wall, town: Town) -> None:
    wall.open()
    before = wall.listed()
    component = town.ask("leader", "GET", "/api/components?limit=1")["items"][0]
    made = town.report(component, "刚刚上报")
    first = wall.page.locator("[data-case]").first
    expect(first).to_have_attribute("data-case", made["id"])
    expect(first).to_contain_text("刚刚上报")
    wall.wait_for(before + 1)


def test_a_restart_of_the_service_shows_and_what_was_missed_comes(wall: Wall, town: Town) -> None:
    wall.open()
    before = wall.listed()
    wall.page.context.set_offline(True)  # so that the wall surely misses the report
    town.kill()
    expect(wall.page.get_by_test_id("live")).to_contain_text("重连中")
    town.start()
    component = town.ask("leader", "GET", "/api/components?limit=1")["items"][0]
    made = town.report(component, "断线时上报")
    wall.page.context.set_offline(False)
    expect(wall.page.get_by_test_id("live")).to_contain_text("实时")
    expect(wall.page.locator("[data-case]").first).to_have_attribute("data-case", made["id"])
    wall.wait_for(before + 1)


def test_the_list_is_flown_through_by_keyboard(wall: Wall, town: Town) -> None:
    wall.open()
    second = town.ask("leader", "GET", "/api/cases?status=open&limit=2")["items"][1]
    rows = wall.page.get_by_role("listbox", name="最新案件")
    rows.focus()
    wall.page.keyboard.press("ArrowDown")
    wall.page.keyboard.press("ArrowDown")
    wall.page.keyboard.press("Enter")
    detail = wall.page.get_by_test_id("case")
    expect(detail).to_contain_text(second["number"])
    expect(detail).to_contain_text("上报")
    assert f"open=case:{second['id']}" in wall.page.url
    wall.page.keyboard.press("Escape")
    expect(detail).to_have_count(0)
    expect(rows).to_be_focused()


def test_an_address_restores_the_scene(wall: Wall, town: Town) -> None:
    one = town.ask("leader", "GET", "/api/cases?stage=filing&limit=1")["items"][0]
    where = f"{one['lat']:.5f}/{one['lon']:.5f}"
    wall.open(f"?stage=filing&open=case:{one['id']}&measure=filed&layers=cases,heat#map=15/{where}")
    expect(wall.page.get_by_test_id("case")).to_contain_text(one["number"])
    expect(wall.page.get_by_test_id("measure")).to_have_value("filed")
    expect(wall.page.locator("[data-layer=heat]")).to_have_count(0)  # the tree is folded on a small screen
    place = wall.page.evaluate("() => [wanggeMap.getZoom(), wanggeMap.getCenter().lng, wanggeMap.getCenter().lat]")
    assert place == pytest.approx([15, one["lon"], one["lat"]], abs=1e-4)
    assert wall.page.evaluate("() => wanggeMap.getLayoutProperty('heat', 'visibility')") == "visible"
    assert wall.page.evaluate("() => wanggeMap.getLayoutProperty('villages', 'visibility')") == "none"
    wall.page.get_by_test_id("close").click()
    assert wall.listed() == town.total("stage=filing")


def test_every_figure_and_number_opens_its_cases(wall: Wall, town: Town) -> None:
    wall.open("?status=void")
    figure = wall.page.locator("[data-figure=reported_today]")
    value = int(figure.locator(".value").inner_text().replace(",", ""))
    assert value > 0
    figure.click()
    wall.wait_for(value)
    row = wall.page.locator("[data-row]").first
    number = int(row.locator(".n").inner_text())
    row.click()
    expect(wall.page.get_by_test_id("total")).to_have_attribute("data-total", str(number))
    expect(wall.page.locator("[data-case]")).to_have_count(number)
    wall.page.wait_for_function(
        "n => window.wanggeMap.querySourceFeatures('wall-drill').length >= n",  # a point on a tile's edge counts twice
        arg=number,
    )


def test_the_language_switches_and_is_kept(wall: Wall) -> None:
    wall.open()
    expect(wall.page.get_by_role("heading", name="最新案件")).to_be_visible()
    wall.page.get_by_role("button", name="English").click()
    expect(wall.page.get_by_role("heading", name="Newest cases")).to_be_visible()
    wall.page.reload()
    expect(wall.page.get_by_role("heading", name="Newest cases")).to_be_visible()
    assert wall.page.locator("html").get_attribute("lang") == "en"


def test_a_place_is_found_by_its_code(wall: Wall, town: Town) -> None:
    component = town.ask("leader", "GET", "/api/components?limit=1")["items"][0]
    wall.open()
    wall.page.get_by_role("combobox", name="查地名").fill(component["code"])
    wall.page.get_by_role("listbox", name="查地名").get_by_role("option").first.click()
    expect(wall.page.get_by_role("region", name="部件")).to_contain_text(component["code"])
    wall.page.wait_for_function(
        "([lon, lat]) => wanggeMap.getBounds().contains([lon, lat]) && wanggeMap.getZoom() > 16",
        arg=[component["lon"], component["lat"]],
    )


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (1920, 1080), (3840, 2160)])
def test_the_map_has_most_of_every_screen(wall: Wall, tmp_path: Path, width: int, height: int) -> None:
    wall.page.set_viewport_size({"width": width, "height": height})
    wall.open(drawn=False)  # without a graphics card eight million pixels take their time
    wall.page.screenshot(path=str(tmp_path / f"wall-{width}.png"), timeout=60_000)
    box = wall.page.get_by_role("region", name="地图").bounding_box()
    assert box is not None
    assert box["width"] * box["height"] >= 0.6 * width * height
    hidden = wall.page.evaluate("() => document.documentElement.scrollHeight - innerHeight")
    assert hidden <= 0, "a wall does not scroll"


@pytest.mark.parametrize("path", ["/login", "/wall", "/wall?open=case:{id}"])
def test_axe_finds_nothing(wall: Wall, town: Town, path: str) -> None:
    first = town.ask("leader", "GET", "/api/cases?limit=1")["items"][0]["id"]
    wall.page.set_viewport_size({"width": 1920, "height": 1080})
    if path == "/login":
        wall.page.goto(town.url + path)
        expect(wall.page.locator("form")).to_be_visible()  # the page is loaded before it is drawn
    else:
        wall.open(path.removeprefix("/wall").format(id=first))
    assert axe_faults(wall.page) == []
