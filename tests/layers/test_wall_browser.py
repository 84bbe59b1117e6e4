"""The wall in a real browser against a real server: map, list and figures agree, live, by keyboard, by address."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.bench.wall_soak import held, live_one_round, watched
from tests.layers.service import PASSWORD, Town, axe_faults, started

CASES = 24
#: All cases the map's source of this zoom holds. Tiles do not overlap, so their sum is a number of cases.
ON_MAP = """() => {
  const source = window.wanggeMap?.getZoom() < 15 ? 'wall-cases-far' : 'wall-cases-near'
  const cells = window.wanggeMap?.querySourceFeatures(source, {sourceLayer: 'cases'}) ?? []
  return cells.reduce((sum, cell) => sum + cell.properties.n, 0)
}"""
#: Whether all of an extent (west, south, east, north) is on the map, beside whatever lies over the map.
UNHIDDEN = """([west, south, east, north]) => {
  const map = window.wanggeMap
  if (!map || map.isMoving() || map.getCanvas().clientWidth !== map.getContainer().clientWidth) return false
  const frame = map.getContainer().getBoundingClientRect()
  const times = frame.width / map.getContainer().clientWidth
  const [a, b] = [map.project([west, north]), map.project([east, south])]
  const [left, top] = [frame.left + a.x * times, frame.top + a.y * times]
  const [right, bottom] = [frame.left + b.x * times, frame.top + b.y * times]
  const over = [...document.querySelectorAll('[data-over]')].map((one) => one.getBoundingClientRect())
  return left >= frame.left && top >= frame.top && right <= frame.right && bottom <= frame.bottom
    && over.length > 3 && over.every((o) => o.left >= right || o.right <= left || o.top >= bottom || o.bottom <= top)
}"""


@pytest.fixture(scope="module")
def town(cluster: Any, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The service over a database of this module's own, with cases in three states."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANGGE_REDIS_URL", redis_url)
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
        # Out of sight behind an open case; the patrol scene lists people instead.
        expect(self.page.get_by_test_id("total").or_(self.page.get_by_test_id("on-shift"))).to_be_attached()
        if drawn:
            self.page.wait_for_function("() => window.wanggeMap?.loaded()")

    def go(self, query: str) -> None:
        """To another address of the open wall, as the browser's back button goes: without loading the page."""
        self.page.evaluate(
            "q => { history.pushState(null, '', q); dispatchEvent(new PopStateEvent('popstate')) }", query
        )

    def listed(self) -> int:
        """The number above the list, once it is known."""
        total = self.page.get_by_test_id("total")
        expect(total).to_have_attribute("data-total", re.compile(r"^\d+$"))
        return int(total.get_attribute("data-total") or -1)

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
    """How soon is the bench's to say."""
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


def test_a_wall_that_was_refused_comes_back_by_itself(wall: Wall, town: Town) -> None:
    component = town.ask("leader", "GET", "/api/components?limit=1")["items"][0]
    figure = wall.page.locator("[data-figure=open]")
    wall.page.route("**/api/divisions", lambda route: route.fulfill(status=500))
    wall.page.goto(f"{town.url}/wall")
    expect(wall.page.get_by_text("http_500").first).to_be_visible()
    for path in ("**/style.json*", "**/tiles/unit_grids/**"):
        wall.page.route(path, lambda route: route.fulfill(status=500))
    wall.page.unroute("**/api/divisions")
    before = wall.listed()
    wall.wait_for(before)
    expect(wall.page.get_by_text("底图没有读到")).to_be_visible()
    grids = "wanggeMap.querySourceFeatures('wall-unit-grids', {sourceLayer: 'unit_grids'}).length"
    assert wall.page.evaluate(f"() => wanggeMap.getSource('basemap') ? -1 : {grids}") == 0
    for path in ("**/style.json*", "**/tiles/unit_grids/**"):
        wall.page.unroute(path)
    wall.page.wait_for_function(f"() => wanggeMap.getSource('basemap') && {grids} > 0")
    expect(wall.page.get_by_text("底图没有读到")).to_have_count(0)
    assert wall.page.evaluate("() => wanggeMap.getStyle().layers[0].type") == "background"
    wall.wait_for(before)

    # What was read stays in sight, and a tile that failed is asked for anew.
    for path in ("**/tiles/cases/**", "**/api/figures*"):
        wall.page.route(path, lambda route: route.fulfill(status=500))
    town.report(component, "服务出错时上报")
    expect(wall.page.locator("header").get_by_role("alert")).to_contain_text("http_500")
    expect(figure).to_be_visible()
    wall.page.wait_for_function(f"() => ({ON_MAP})() === 0")
    for path in ("**/tiles/cases/**", "**/api/figures*"):
        wall.page.unroute(path)
    town.report(component, "恢复后上报")
    wall.wait_for(before + 2)
    assert all("Failed to load resource" in fault for fault in wall.faults), wall.faults
    expect(wall.page.locator("header").get_by_role("alert")).to_have_count(0)
    expect(figure).to_be_visible()


def test_who_sees_no_cases_is_told_so_and_led_to_the_desk(browser: Browser, town: Town) -> None:
    context = browser.new_context()
    assert context.request.post(f"{town.url}/api/login", data={"username": "admin", "password": PASSWORD}).ok
    page, streams = context.new_page(), []
    page.on("request", lambda request: "/api/stream" in request.url and streams.append(request.url))
    page.goto(f"{town.url}/wall")
    page.get_by_role("link", name="去工作台").click()
    expect(page).to_have_url(re.compile("/desk"))
    assert streams == []
    context.close()


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
    expect(figure.locator(".value")).to_have_text(re.compile(r"^[\d,]+$"))
    value = int(figure.locator(".value").inner_text().replace(",", ""))
    assert value > 0
    figure.click()
    wall.wait_for(value)
    row = wall.page.locator("[data-row]").first
    expect(row.locator(".n")).to_have_text(re.compile(r"^\d+$"))
    number = int(row.locator(".n").inner_text())
    row.locator("a.n").click()
    expect(wall.page.get_by_test_id("total")).to_have_attribute("data-total", str(number))
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


def test_the_map_has_most_of_every_screen_and_no_panel_hides_the_town(wall: Wall, town: Town) -> None:
    bbox = town.ask("leader", "GET", "/api/town")["bbox"]
    wall.open()
    for width, height in ((3840, 2160), (5760, 1080), (1366, 768), (1920, 1080)):
        wall.page.set_viewport_size({"width": width, "height": height})
        if width < 3840:  # without a graphics card a picture of eight million pixels takes its time
            wall.page.wait_for_function(UNHIDDEN, arg=bbox, timeout=60_000)
        box = wall.page.get_by_role("region", name="地图", exact=True).bounding_box()
        assert box is not None
        assert box["width"] * box["height"] >= 0.6 * width * height, (width, height)
        hidden = wall.page.evaluate("() => document.documentElement.scrollHeight - innerHeight")
        assert hidden <= 0, "a wall does not scroll"
    wall.page.locator("[data-scene=heat]").click()
    expect(wall.page.get_by_test_id("slid")).to_be_visible()
    wall.page.wait_for_function(UNHIDDEN, arg=bbox, timeout=60_000)
    wall.page.locator("[data-tool=coverage]").click()
    expect(wall.page.get_by_test_id("coverage").locator("ol li").first).to_be_visible()
    wall.page.wait_for_function(UNHIDDEN, arg=bbox, timeout=60_000)
    wall.page.get_by_test_id("coverage").get_by_role("button", name="关闭").click()
    expect(wall.page.get_by_test_id("coverage")).to_have_count(0)
    wall.page.wait_for_function(UNHIDDEN, arg=bbox, timeout=60_000)
    wall.page.set_viewport_size({"width": 1366, "height": 768})
    wall.open("?scene=heat")
    expect(wall.page.get_by_test_id("slid")).to_be_visible()
    wall.page.wait_for_function(UNHIDDEN, arg=bbox, timeout=60_000)


@pytest.mark.parametrize(
    "path",
    ["/login", "/wall", "/wall?open=case:{id}", "/wall?scene=heat&heat=cells", "/wall?scene=patrol", "/wall/remote"],
)
def test_axe_finds_nothing(wall: Wall, town: Town, path: str) -> None:
    first = town.ask("leader", "GET", "/api/cases?limit=1")["items"][0]["id"]
    wall.page.set_viewport_size({"width": 1920, "height": 1080})
    if path in ("/login", "/wall/remote"):
        wall.page.goto(town.url + path)
        expect(wall.page.locator("form")).to_be_visible()  # the page is loaded before it is drawn
    else:
        wall.open(path.removeprefix("/wall").format(id=first))
    assert axe_faults(wall.page) == []


def test_heat_and_slider_show_the_number_of_the_list(wall: Wall, town: Town) -> None:
    wall.open("?scene=heat&heat=cells&status=open,closed")
    number = town.total("status=open,closed")
    for told in ("cells", "slid", "total"):
        expect(wall.page.get_by_test_id(told)).to_have_attribute("data-total", str(number))
    drawn = "() => wanggeMap.querySourceFeatures('wall-cells').length > 0"
    wall.page.wait_for_function(drawn)
    assert wall.page.evaluate("() => wanggeMap.getLayoutProperty('heat', 'visibility')") == "none"
    wall.page.locator("[data-heat=kernel]").click()
    wall.page.wait_for_function("() => wanggeMap.getLayoutProperty('heat', 'visibility') === 'visible'")
    weight = wall.page.evaluate("() => JSON.stringify(wanggeMap.getPaintProperty('heat', 'heatmap-weight'))")
    assert "min" not in weight, "every case weighs the same, however many share a cell"


def test_one_goes_down_from_town_to_village_to_grid_to_case(wall: Wall, town: Town) -> None:
    wall.open("?status=all")
    far = wall.page.evaluate("() => wanggeMap.getZoom()")
    row = wall.page.locator("[data-row]").first
    village = str(row.get_attribute("data-row"))
    with wall.page.expect_request(lambda asked: f"/api/wall/alerts?village={village}" in asked.url):
        row.locator("button").click()
    expect(wall.page.get_by_test_id("total")).to_have_attribute("data-total", str(town.total(f"village={village}")))
    assert f"village={village}" in wall.page.url
    figure = wall.page.locator("[data-figure=open] .value")
    expect(figure).to_have_text(str(town.total(f"status=open&village={village}")))
    row = wall.page.locator("[data-row^='110113003']").first
    grid = str(row.get_attribute("data-row"))
    assert len(grid) == 15
    row.locator("button").click()
    expect(wall.page.locator("[data-step=grid]")).to_contain_text(grid[-6:])
    expect(wall.page.get_by_test_id("total")).to_have_attribute("data-total", str(town.total(f"grid={grid}")))
    wall.page.locator("[data-case]").first.click()
    expect(wall.page.get_by_test_id("case")).to_be_visible()
    wall.page.locator("[data-step=town]").click()
    expect(wall.page.get_by_test_id("total")).to_have_attribute("data-total", str(town.total("")))
    wall.open(f"?scene=village:{village}", drawn=False)
    wall.page.wait_for_function("far => window.wanggeMap?.getZoom() > far + 0.3", arg=far)
    of = wall.page.get_by_test_id("of")
    expect(of).to_have_value(village)
    wall.go("?scene=village:gone")
    expect(of.locator("option:checked")).to_have_text("选择村居")
    wall.go("?scene=department")
    expect(wall.page).to_have_url(re.compile(r"scene=department:D\d\d"))
    expect(of).to_have_value(re.compile(r"D\d\d"))
    assert wall.faults == []


def test_scenes_come_in_turn_until_somebody_touches_the_wall(wall: Wall) -> None:
    wall.open("?rotate=5&stops=overview,patrol")
    expect(wall.page.locator("[data-scene=patrol]")).to_have_attribute("aria-current", "true")
    expect(wall.page.get_by_test_id("on-shift")).to_be_visible()
    wall.page.keyboard.press("Shift")
    expect(wall.page.get_by_test_id("rotate")).to_contain_text("触摸暂停")
    assert "rotate=5" in wall.page.url


def test_a_search_for_the_town_shows_it_whole(wall: Wall) -> None:
    wall.open()
    wall.page.evaluate("() => wanggeMap.jumpTo({ zoom: 17 })")
    box = wall.page.get_by_role("combobox", name="查地名")
    box.fill("renhezhen")
    expect(wall.page.get_by_role("listbox", name="查地名").get_by_role("option").first).to_contain_text("本镇")
    box.press("Enter")
    wall.page.wait_for_function("() => wanggeMap.getZoom() < 16")
    assert wall.faults == []


def test_a_wall_is_driven_from_another_device(wall: Wall, town: Town, browser: Browser, cookies: Any) -> None:
    wall.open()
    wall.page.get_by_test_id("drive").click()
    code = wall.page.get_by_test_id("code")
    expect(code).to_have_text(re.compile(r"\d{3} \d{3}"))
    context = browser.new_context(storage_state=cookies, viewport={"width": 390, "height": 844})
    remote = context.new_page()
    remote.goto(f"{town.url}/wall/remote")
    remote.fill("#code", code.inner_text())
    remote.keyboard.press("Enter")
    expect(wall.page.get_by_test_id("drive")).to_contain_text("遥控中")
    remote.locator("[data-scene=heat]").click()
    expect(wall.page.locator("[data-scene=heat]")).to_have_attribute("aria-current", "true")
    remote.locator("[data-menu=status] .opener").click()
    remote.get_by_role("dialog").get_by_text("已作废").click()
    expect(wall.page.get_by_test_id("total")).to_have_attribute("data-total", str(town.total("status=void")))
    before = wall.page.evaluate("() => wanggeMap.getZoom()")
    remote.keyboard.press("Escape")
    remote.get_by_role("button", name="放大").click()
    wall.page.wait_for_function("z => wanggeMap.getZoom() > z + 0.5", arg=before)
    assert axe_faults(remote) == []
    wall.page.get_by_test_id("drive").click()
    wall.page.get_by_test_id("release").click()
    expect(remote.locator("#code")).to_be_visible()
    context.close()
    assert wall.faults == []


#: Done when the map has not moved for a while: it may still be flying when a tool is taken up.
_AT_REST = """() => new Promise((done) => {
  let pause = 0
  const wait = () => { clearTimeout(pause); pause = setTimeout(() => { wanggeMap.off('move', wait); done() }, 400) }
  wanggeMap.on('move', wait)
  wait()
})"""

#: A place of the map's box on the ground: on a small screen the map is drawn smaller than it counts its pixels.
_GROUND = """(place) => {
  const map = wanggeMap.getContainer()
  const times = map.clientWidth / map.getBoundingClientRect().width
  return wanggeMap.unproject(place.map((one) => one * times)).toArray()
}"""


def _drag(page: Page, *places: tuple[float, float]) -> list[list[float]]:
    """Clicks at fractions of the map's box, moving there as a hand does; where that is on the ground."""
    page.evaluate(_AT_REST)
    box = page.get_by_role("region", name="地图", exact=True).bounding_box()
    assert box is not None
    found = []
    for across, down in places:
        x, y = across * box["width"], down * box["height"]
        page.mouse.move(box["x"] + x - 4, box["y"] + y - 4)
        page.mouse.move(box["x"] + x, box["y"] + y)
        page.mouse.click(box["x"] + x, box["y"] + y)
        found.append(page.evaluate(_GROUND, [x, y]))
        page.wait_for_timeout(350)  # two clicks in quick succession are a double click, which ends a line
    return found


def test_the_maps_tools_measure_select_draw_and_look_around(wall: Wall, town: Town) -> None:
    page = wall.page
    component = town.ask("leader", "GET", "/api/components?limit=1")["items"][0]
    wall.open(f"?open=component:{component['code']}")
    page.locator("[data-tool=measure]").click()
    expect(page.locator("[data-measure=area]")).to_be_visible()
    points = _drag(page, (0.4, 0.4), (0.55, 0.4), (0.55, 0.6))
    page.keyboard.press("Enter")
    told = town.ask("leader", "POST", "/api/measure", {"points": points})
    assert 300 < told["length_m"] < 1000, "written in metres"
    # A pixel's place is rounded here and there: within half a metre.
    expect(page.locator("[data-length]")).to_have_text(
        re.compile(rf"{int(told['length_m'])}\.\d\d m|{round(told['length_m'])}\.\d\d m")
    )
    page.keyboard.press("Escape")
    expect(page.locator("[data-tool=measure]")).to_have_attribute("aria-pressed", "false")

    page.locator("[data-tool=select]").click()
    expect(page.get_by_test_id("select-layer")).to_have_value("cases")
    west, south, east, north = (corner for p in _drag(page, (0.3, 0.7), (0.6, 0.3)) for corner in p)
    box = f"{west:.9f},{south:.9f},{east:.9f},{north:.9f}"
    expect(page.get_by_test_id("selected")).to_have_attribute("data-total", str(town.total(f"status=open&bbox={box}")))
    with page.expect_download() as download:
        page.locator("[data-format=xlsx]").click()
    assert download.value.path().read_bytes()[:2] == b"PK"
    page.get_by_test_id("select-layer").select_option("components")
    page.locator("[data-how=buffer]").click()
    page.locator("[data-around=chosen]").click()
    around = {"type": "buffer", "metres": 50, "layer": "components", "feature": component["code"]}
    near = town.ask("leader", "POST", "/api/selection/statistics", {"layer": "components", "geometry": around})
    assert near["total"] > 0
    expect(page.get_by_test_id("selected")).to_have_attribute("data-total", str(near["total"]))

    page.locator("[data-tool=sketch]").click()
    page.get_by_test_id("new-sketch").click()
    page.get_by_test_id("label").fill("集结点")
    page.locator("[data-shape=point]").click()
    _drag(page, (0.45, 0.5))
    page.locator("[data-shape=polygon]").click()
    _drag(page, (0.4, 0.3), (0.5, 0.3), (0.5, 0.4))
    page.keyboard.press("Enter")
    expect(page.locator("[data-feature]")).to_have_count(2)
    page.get_by_test_id("sketch-name").fill("防汛部署")
    # Put away unsaved, and there again.
    page.keyboard.press("Escape")
    expect(page.locator("[data-tool=sketch]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("[data-feature]")).to_have_count(2)
    expect(page.get_by_test_id("sketch-name")).to_have_value("防汛部署")
    page.get_by_test_id("save-sketch").click()
    expect(page.get_by_role("status").filter(has_text="已保存第 1 版")).to_be_visible()
    assert axe_faults(page) == []
    page.reload()
    expect(page.locator("[data-feature=point]")).to_contain_text("集结点")
    page.get_by_role("button", name="返回列表").click()
    page.get_by_role("button", name="删除 防汛部署").click()
    page.get_by_test_id("restore").click()
    expect(page.locator("[data-sketch]")).to_contain_text("防汛部署")

    page.locator("[data-tool=panorama]").click()
    page.locator("[data-panorama]").first.click()
    expect(page.get_by_test_id("panorama")).to_have_attribute("data-drawn", "true", timeout=40_000)
    expect(page.get_by_test_id("panorama")).to_contain_text("非实拍")
    looking = page.get_by_test_id("panorama").get_by_role("status")
    before = looking.inner_text()
    page.keyboard.press("ArrowRight")
    expect(looking).not_to_have_text(before)
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("panorama")).to_have_count(0)
    assert wall.faults == []


def test_basemap_and_layers_are_as_the_person_left_them_and_print_as_they_are(wall: Wall, town: Town) -> None:
    page = wall.page
    page.set_viewport_size({"width": 1280, "height": 900})
    wall.open()
    with page.expect_response(re.compile(r"/api/basemaps/imagery/\d+/\d+/\d+")) as picture:
        page.locator("[data-base=imagery]").check()
    assert picture.value.ok
    expect(page.get_by_test_id("attribution")).to_contain_text("非实拍")
    # The basemap's own word may still be on its way: the one that names the heat counts.
    with page.expect_response(lambda got: got.request.method == "PUT" and "heat" in (got.request.post_data or "")):
        page.locator("[data-layer=heat]").check()
    wall.open()
    expect(page.get_by_test_id("attribution")).to_contain_text("非实拍")
    expect(page.locator("[data-layer=heat]")).to_be_checked()
    page.wait_for_function("() => wanggeMap.getLayer('tool-ground') && wanggeMap.loaded()")

    component = town.ask("leader", "GET", "/api/components?limit=1")["items"][0]
    page.evaluate("at => wanggeMap.jumpTo({center: at, zoom: 18})", [component["lon"], component["lat"]])
    page.locator("[data-tool=identify]").click()
    expect(page.get_by_text("看该处各图层的全部要素")).to_be_visible()
    _drag(page, (0.5, 0.5))
    expect(page.locator("[data-group=components]")).to_contain_text(component["name"])
    expect(page.locator("[data-group=unit_grids]")).to_contain_text(component["unit_grid_code"])

    page.locator("[data-tool=print]").click()
    with page.expect_download(timeout=60_000) as download:
        page.get_by_test_id("print-pdf").click()
    assert download.value.path().read_bytes()[:8] == b"%PDF-1.4"
    assert page.request.put(f"{town.url}/api/preferences/wall.layers", data={"value": None}).ok
    assert wall.faults == []


def test_what_a_wall_holds_does_not_grow_with_what_happens(browser: Browser, town: Town) -> None:
    """The short form of tests/bench/wall_soak.py."""
    components = town.ask("leader", "GET", "/api/components?limit=80")["items"]
    with watched(browser, town, "") as (page, session):
        samples = []
        for i in range(3):
            for component in components[i * 20 : i * 20 + 20]:
                live_one_round(town, component, i)
            page.wait_for_timeout(2_500)
            samples.append(held(page, session))
    before, after = samples[1:]
    assert after.nodes <= before.nodes * 1.1, samples
    assert after.listeners <= before.listeners * 1.1, samples
    assert after.timers <= before.timers + 3, samples
    assert after.heap_mb <= before.heap_mb + 3, samples


def _walk(town: Town) -> tuple[str, str]:
    """Yesterday from ten to ten past, a gap, from twenty to half past, one jump; and somebody who is there now."""
    today = (datetime.now(UTC) + timedelta(hours=8)).date()
    begin = datetime(today.year, today.month, today.day, 2, tzinfo=UTC) - timedelta(days=1)
    lon, lat = town.ask("leader", "GET", "/api/town")["center"]
    fixes = [
        {"seq": i + 1, "at": (begin + timedelta(seconds=10 * i)).isoformat(), "lon": lon + 1e-4 * i, "lat": lat}
        for i in (*range(61), *range(120, 181))
    ]
    fixes[30]["lat"] += 0.05
    now = {"seq": 1000, "at": datetime.now(UTC).isoformat(), "lon": lon, "lat": lat}
    town.ask("inspector001", "POST", "/api/positions", {"device": "p", "crs": "EPSG:4326", "fixes": [*fixes, now]})
    return town.ask("inspector001", "GET", "/api/me")["id"], f"{today - timedelta(days=1)}"


def test_a_track_is_looked_at_and_replayed_with_its_gap(browser: Browser, town: Town) -> None:
    who, day = _walk(town)
    context = browser.new_context(viewport={"width": 1920, "height": 1080})
    signed_in = context.request.post(f"{town.url}/api/login", data={"username": "shiftleader1", "password": PASSWORD})
    assert signed_in.ok
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"{town.url}/wall?status=all&open=inspector:{who}")
    page.get_by_test_id("open-track").click()
    page.get_by_test_id("track-day").fill(day)
    page.get_by_test_id("why").select_option("dispute")
    expect(page.get_by_test_id("gaps")).to_contain_text("10:10–10:20")
    expect(page.get_by_test_id("gaps")).to_contain_text("无定位")
    expect(page.get_by_test_id("marks")).to_contain_text("飞点")
    assert axe_faults(page) == []
    looks = town.ask("auditor", "GET", f"/api/tracks/looks?person={who}")["items"]
    assert [(look["why"], look["day"], look["exact"]) for look in looks] == [("dispute", day, True)]

    page.goto(f"{town.url}/wall?scene=replay&replay={day}~10:00~10:40~")
    page.get_by_test_id("why").select_option("review")
    page.get_by_test_id("choose-sent").click()
    page.get_by_test_id("replay-start").click()
    expect(page.get_by_test_id("replay-bar").locator("svg[data-spans]")).to_have_attribute("data-spans", "2")
    page.get_by_test_id("play").click()
    for second, clock, said in ((300, "10:05:00", "有记录"), (900, "10:15:00", "10:10 起无记录")):
        page.get_by_test_id("scrub").fill(str(second))
        expect(page.get_by_test_id("replay-time")).to_have_text(clock)
        expect(page.get_by_test_id("replay-people")).to_contain_text(said)
    page.get_by_test_id("play").click()
    expect(page.get_by_test_id("replay-time")).not_to_have_text("10:15:00")
    assert axe_faults(page) == []
    assert f"replay={day}" in page.url

    page.goto(f"{town.url}/wall?tool=coverage")
    expect(page.get_by_test_id("coverage").locator("ol li").first).to_be_visible()
    assert page.evaluate("() => window.wanggeMap.getLayoutProperty('coverage-grids', 'visibility')") == "visible"
    assert axe_faults(page) == []
    assert faults == []
    context.close()
