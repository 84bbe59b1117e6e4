"""The duty list's editor in a real browser: a rule is changed, its effect seen beforehand, published, and it holds."""

import io
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openpyxl import Workbook
from playwright.sync_api import Page, expect, sync_playwright

from tests.layers.service import AXE, CHROMIUM, PASSWORD, Town, axe_faults, started

DUTY = "/api/definitions/duty_list/renhe"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
#: Where the map draws the middle of an area: a pixel of the page to press.
MIDDLE = """([lon, lat]) => {
  const map = window.wanggeAreaMap, box = map.getCanvas().getBoundingClientRect(), at = map.project([lon, lat])
  return [box.left + at.x, box.top + at.y]
}"""
DRAWN = """() => window.wanggeAreaMap?.loaded()
  && window.wanggeAreaMap.queryRenderedFeatures({layers: ['area-village-fill']}).length > 0"""
SAVED = """after => {
  const { saved, revision } = document.querySelector('[data-testid=draft-state]').dataset
  return saved === 'true' && Number(revision) > after
}"""


@pytest.fixture(scope="module")
def town(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The service over a database of this module's own, with cases of two classes."""
    with started(cluster, tmp_path_factory.mktemp("home")) as running:
        for n, at in enumerate(places(running)):
            event(running, at, "0102" if n % 2 else "0504")
        yield running


def places(town: Town) -> list[dict[str, Any]]:
    found = town.ask("leader", "GET", "/api/components?limit=500")["items"]
    return [found[n] for n in range(0, len(found), len(found) // 10)][:10]


def event(town: Town, at: dict[str, Any], category: str) -> dict[str, Any]:
    sent = {"catalogue": "cjt214-2007", "category_kind": "event", "category_code": category}
    return town.ask("leader", "POST", "/api/cases", sent | {"lon": at["lon"], "lat": at["lat"]})


@pytest.fixture
def page(chromium: str, town: Town) -> Iterator[Page]:
    """A browser signed in as a shift leader; whatever its console complains of fails the test."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM)
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.set_default_timeout(30_000)
        expect.set_options(timeout=30_000)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{town.url}/login?next=/desk/duties")
        page.fill("#username", "shiftleader1")
        page.fill("#password", PASSWORD)
        page.click("button[type=submit]")
        expect(page.get_by_test_id("me")).to_be_visible()
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        yield page
        browser.close()
        assert [fault for fault in faults if "409" not in fault] == []


def choose(page: Page, test_id: str, words: str) -> None:
    """An option of a select of Element Plus, by what is typed into it."""
    page.get_by_test_id(test_id).locator("input").fill(words)
    page.get_by_role("option", name=words).first.click()


def saved(page: Page, after: int) -> int:
    """Waits until all is saved in a revision later than ``after``; returns that revision."""
    page.wait_for_function(SAVED, arg=after)
    return int(page.get_by_test_id("draft-state").get_attribute("data-revision") or 0)


def test_a_rule_is_changed_seen_published_and_holds(page: Page, town: Town) -> None:
    rules = page.get_by_test_id("rules").locator("tbody tr")
    expect(rules.first).to_be_visible()
    whole = town.ask("shiftleader1", "GET", f"{DUTY}/versions/in_force")["body"]["rules"]
    wide = next(rule for rule in whole if rule["category"] == "event:01" and rule.get("area", "*") == "*")
    owner = next(one for one in town.ask("leader", "GET", "/api/departments")["items"] if one["code"] == "D08")

    # A new rule, its class from the tree, its area by a click on the map.
    page.get_by_test_id("find-rule").fill(wide["id"])
    page.locator(f"[data-rule='{wide['id']}']").click()
    page.get_by_test_id("add-rule").click()
    page.wait_for_function(DRAWN)
    target = places(town)[1]
    village = town.ask("leader", "GET", f"/api/locate?lon={target['lon']}&lat={target['lat']}")["village"]
    x, y = page.evaluate(MIDDLE, [target["lon"], target["lat"]])
    page.mouse.click(x, y)
    expect(page.get_by_test_id("area")).to_contain_text(village["name"])
    events = town.ask("leader", "GET", "/api/catalogue")["groups"]
    litter = next(c for g in events if g["kind"] == "event" for c in g["categories"] if c["code"] == "0102")
    page.get_by_test_id("category").locator("input").fill(litter["name"])
    page.get_by_role("treeitem", name=re.compile(f"^0102 {litter['name']}")).first.click()
    choose(page, "row-department", owner["name"])
    page.wait_for_function("name => document.querySelector('tr.active')?.innerText.includes(name)", arg=owner["name"])
    revision = saved(page, 0)
    draft = town.ask("shiftleader1", "GET", f"{DUTY}/draft")
    made = next(rule for rule in draft["body"]["rules"] if rule["id"] not in {one["id"] for one in whole})
    assert (made["category"], made["area"], made["department"]) == ("event:0102", f"village:{village['code']}", "D08")
    assert len(draft["body"]["rules"]) == len(whole) + 1

    # Somebody else saves meanwhile: nothing of either is lost.
    others = [rule | {"note": "别人加的"} if rule["id"] == wide["id"] else rule for rule in draft["body"]["rules"]]
    sent = {"body": draft["body"] | {"rules": others}, "revision": draft["revision"]}
    town.ask("shiftleader2", "PUT", f"{DUTY}/draft", sent)
    page.locator("aside").get_by_label("备注").fill("本村专项")
    page.locator("aside").get_by_label("备注").press("Enter")
    revision = saved(page, revision + 1)
    expect(page.get_by_test_id("clash")).to_have_count(0)
    both = {rule["id"]: rule.get("note") for rule in town.ask("leader", "GET", f"{DUTY}/draft")["body"]["rules"]}
    assert (both[wide["id"]], both[made["id"]]) == ("别人加的", "本村专项")

    # A step back and forth again.
    page.get_by_test_id("remove-rule").click()
    expect(page.locator(f"[data-rule='{made['id']}']")).to_have_count(0)
    revision = saved(page, revision)  # taken back before it was saved, there would be nothing to save
    page.get_by_test_id("undo").click()
    expect(page.locator(f"[data-rule='{made['id']}']")).to_be_visible()
    saved(page, revision)

    # Who would move: exactly the village's cases of the class.
    page.get_by_role("tab", name="推演").click()
    told = town.ask("shiftleader1", "GET", "/api/cases?category=event:0102&limit=100")["items"]
    moving = {one["number"] for one in told if one["village"]["code"] == village["code"]}
    assert moving
    expect(page.get_by_test_id("moved")).to_have_text(str(len(moving)))
    listed = page.get_by_test_id("moved-cases").locator("tbody tr td:first-child")
    expect(listed).to_have_count(len(moving))
    assert set(listed.all_inner_texts()) == moving
    page.get_by_test_id("pair").first.click()
    expect(page.get_by_test_id("pair").first).to_have_class(re.compile("on"))
    expect(listed.first).to_be_visible()
    page.get_by_role("tab", name="体检").click()
    expect(page.get_by_test_id("audit").locator("h2").first).to_contain_text("空白 0")

    # Published, it holds for the next case, and only there.
    page.get_by_test_id("open-publish").click()
    expect(page.get_by_test_id("publish-summary")).to_contain_text("新增 1 条")
    expect(page.get_by_test_id("publish-summary")).to_contain_text(f"{len(moving)} 件会换部门")
    page.get_by_test_id("publish-note").fill("本村垃圾由民生办统一处理")
    page.get_by_test_id("publish").click()
    expect(page.get_by_test_id("draft-state")).to_contain_text("现行第 2 版")
    expect(page.get_by_test_id("draft-state")).to_contain_text("没有草稿")
    assert event(town, target, "0102")["department"] == {"code": "D08", "name": owner["name"]}
    assert event(town, target, "0504")["department"]["code"] != "D08"
    newest = town.ask("leader", "GET", f"{DUTY}/versions")["items"][0]
    assert (newest["version"], newest["note"]) == (2, "本村垃圾由民生办统一处理")

    # Everybody who may look can see what it changed; the page is fit for a screen reader.
    page.goto(f"{town.url}/desk/definitions/duty_list/renhe")
    changes = page.get_by_test_id("changes").locator("tbody tr")
    expect(changes).to_have_count(2)
    expect(page.get_by_test_id("versions")).to_contain_text("本村垃圾由民生办统一处理")
    page.goto(f"{town.url}/desk/duties?rule={made['id']}")
    page.wait_for_function(DRAWN)
    expect(page.get_by_test_id("area")).to_contain_text(village["name"])
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    serious = [
        (one["id"], [n["target"] for n in one["nodes"]][:4])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_a_citys_workbook_comes_in_is_looked_at_and_published(page: Page, town: Town) -> None:
    book = Workbook()
    sheet = book.active
    sheet.title = "部件"
    for row in (
        ["大类代码", "小类代码", "小类名称", "立案条件", "结案条件", "处置时限"],
        ["01", "0101", "上水井盖", "井盖丢失", "补装到位", "2紧急工作时"],
        ["", "", "", "井盖松动", "加固", "尽快"],
        ["", "0102", "下水井盖", "井盖丢失", "补装到位", "2紧急工作时"],
    ):
        sheet.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    page.goto(f"{town.url}/desk/standards?category=component:0101")
    conditions = page.get_by_test_id("conditions").locator("tbody tr")
    expect(conditions.first).to_be_visible()
    file = {"name": "标准.xlsx", "mimeType": XLSX, "buffer": buffer.getvalue()}
    page.get_by_test_id("import-file").set_input_files(files=[file])
    expect(page.get_by_test_id("import-summary")).to_contain_text("1 行读入，2 行没有读入")
    refused = page.get_by_test_id("refused").locator("tbody tr")
    expect(refused).to_have_count(2)
    expect(refused.first).to_contain_text("尽快")
    expect(refused.last).to_contain_text("污水井盖")
    page.keyboard.press("Escape")
    expect(conditions).to_have_count(1)
    expect(conditions.first).to_contain_text("井盖丢失")
    page.get_by_test_id("open-publish").click()
    page.get_by_test_id("publish").click()
    expect(page.get_by_test_id("standard-state")).to_contain_text("现行第 2 版")
    expect(conditions).to_have_count(1)

    # A class that is switched off says so, here and to whoever reports.
    page.locator("[data-category='component:0103']").click()
    page.get_by_test_id("switch").click()
    page.get_by_role("dialog").get_by_role("textbox").fill("由专项组统一处理")
    page.get_by_role("dialog").get_by_role("button", name="停用").click()
    expect(page.get_by_test_id("off")).to_contain_text("由专项组统一处理")
    groups = town.ask("leader", "GET", "/api/catalogue")["groups"]
    off = {one["code"]: one["off"] for group in groups if group["kind"] == "component" for one in group["categories"]}
    assert {code: why for code, why in off.items() if why} == {"0103": "由专项组统一处理"}


GRID_MIDDLE = MIDDLE.replace("wanggeAreaMap", "wanggeGridMap")
GRIDS_SAVED = """after => {
  const { busy, revision } = document.querySelector('[data-testid=plan-state]').dataset
  return busy === 'false' && Number(revision) > after
}"""


def test_a_grid_is_split_taken_back_regrouped_and_published(page: Page, town: Town) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.goto(f"{town.url}/desk/grids")
    plan = town.ask("shiftleader1", "GET", "/api/grid-plan")
    shapes = town.ask("shiftleader1", "GET", f"/api/grid-plan/shapes?day={plan['day']}")["features"]
    first = page.get_by_test_id("grid-list").locator("tbody tr").first
    expect(first).to_be_visible()
    key = first.get_attribute("data-grid")
    ring = next(one["geometry"]["coordinates"][0] for one in shapes if one["id"] == key)
    west, south = (min(corner[i] for corner in ring) for i in (0, 1))
    east, north = (max(corner[i] for corner in ring) for i in (0, 1))

    def saved(after: int) -> int:
        page.wait_for_function(GRIDS_SAVED, arg=after)
        return int(page.get_by_test_id("plan-state").get_attribute("data-revision") or 0)

    # Chosen in the list, cut by a line on the map.
    first.get_by_role("checkbox").check()
    page.wait_for_function("() => window.wanggeGridMap?.loaded()")
    box = [[west, south], [east, north]]
    page.evaluate("box => window.wanggeGridMap.fitBounds(box, { padding: 160, duration: 0 })", box)
    page.wait_for_function("() => window.wanggeGridMap.loaded()")
    page.get_by_test_id("tool-split").click()
    middle = (south + north) / 2
    for lon, click in ((west - (east - west) / 2, page.mouse.click), (east + (east - west) / 2, page.mouse.dblclick)):
        click(*page.evaluate(GRID_MIDDLE, [lon, middle]))
    revision = saved(0)
    drafted = town.ask("shiftleader2", "GET", "/api/grid-plan")
    fresh = [grid for grid in drafted["grids"] if grid["fresh"]]
    assert drafted["ended"] == [key]
    assert len(fresh) >= 2
    expect(page.get_by_test_id("chosen")).to_contain_text(fresh[0]["code"][-6:])

    # Taken back and done again; the server keeps both.
    page.get_by_test_id("undo").click()
    revision = saved(revision)
    expect(page.locator(f"[data-grid='{key}']")).to_be_visible()
    page.get_by_test_id("redo").click()
    revision = saved(revision)
    expect(page.locator(f"[data-grid='{key}']")).to_have_count(0)

    # Somebody else saves: the next step is not written over it, and is done again upon it.
    duty = next(one for one in drafted["duty_grids"] if one["key"] == fresh[0]["duty"])
    rename = {"step": "rename", "duty": duty["key"], "name": "东片责任网格"}
    body = {"day": drafted["day"], "steps": [*drafted["draft"]["steps"], rename], "revision": revision}
    revision = town.ask("shiftleader2", "PUT", "/api/grid-plan/draft", body)["draft"]["revision"]
    for grid in fresh:
        page.locator(f"[data-grid='{grid['key']}']").get_by_role("checkbox").set_checked(True)
    page.get_by_test_id("tool-group").click()
    page.get_by_test_id("group-name").fill("新区责任网格")
    page.get_by_test_id("group-name").press("Enter")
    expect(page.get_by_test_id("overtaken")).to_contain_text("先保存了草稿")
    page.get_by_test_id("overtaken").get_by_role("button").click()
    revision = saved(revision)
    names = {one["name"] for one in town.ask("leader", "GET", "/api/grid-plan")["duty_grids"]}
    assert {"东片责任网格", "新区责任网格"} <= names

    # What it asks of inspectors, before and after; a fairer grouping, looked at.
    page.get_by_role("tab", name="均衡").click()
    expect(page.get_by_test_id("balance").locator("tbody tr").first).to_be_visible()
    page.get_by_test_id("suggest").click()
    expect(page.get_by_test_id("idea")).to_be_visible()
    expect(page.get_by_test_id("suggest")).to_be_enabled()
    assert axe_faults(page) == []

    page.get_by_test_id("open-publish").click()
    expect(page.get_by_test_id("publish-dialog")).to_contain_text(fresh[0]["code"])
    page.get_by_test_id("publish").click()
    expect(page.get_by_text("已发布并生效")).to_be_visible()
    page.get_by_role("tab", name="已发布方案").click()
    expect(page.get_by_test_id("published-plan")).to_have_count(1)
    spot = {"lon": (west + east) / 2, "lat": middle + (north - south) / 8}
    told = town.ask("leader", "GET", f"/api/locate?lon={spot['lon']}&lat={spot['lat']}")
    assert told["unit_grid_code"] in {grid["code"] for grid in fresh}
    assert town.ask("leader", "GET", f"/api/grids/{key}")["valid_to"] == plan["day"]


def test_a_map_token_is_made_shown_once_and_revoked(page: Page, town: Town) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.get_by_test_id("me").click()
    page.get_by_test_id("token-name").fill("规划科 QGIS")
    page.get_by_test_id("token-make").click()
    shown = page.get_by_test_id("token-fresh")
    expect(shown).to_be_focused()
    code = shown.locator(".copy")
    expect(code).to_have_text(re.compile(r"^[\w-]{43}$"))
    headers = {"Authorization": f"Bearer {code.inner_text()}"}

    def read() -> int:
        return httpx.get(f"{town.url}/ogc/collections", headers=headers, timeout=30, trust_env=False).status_code

    assert read() == 200
    assert axe_faults(page) == []
    page.reload()
    row = page.get_by_test_id("tokens").locator("tbody tr")
    expect(row).to_contain_text("规划科 QGIS")
    expect(shown).to_have_count(0)
    row.get_by_role("button").click()
    page.get_by_role("dialog").get_by_role("button", name="吊销", exact=True).click()
    expect(row).to_contain_text("已吊销")
    assert read() == 401
