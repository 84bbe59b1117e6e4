"""An administrator draws a step into the standard flow, sees a fault, mends it, tries, publishes, moves old cases."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.layers.service import CHROMIUM, PASSWORD, Town, started


@pytest.fixture
def town(cluster: Any, tmp_path: Any) -> Iterator[Town]:
    """The service over a database of this test's own."""
    with started(cluster, tmp_path) as running:
        yield running


def filed(town: Town, nth: int) -> str:
    component = town.ask("leader", "GET", "/api/components?limit=50")["items"][nth]
    made = town.report(component, f"第{nth}处破损")
    for who, action in (("acceptor1", "accept"), ("shiftleader1", "file")):
        town.ask(who, "POST", f"/api/cases/{made['id']}/actions", {"action": action, "payload": {}})
    return made["id"]


def stands(town: Town, case_id: str) -> tuple[str, int]:
    told = town.ask("leader", "GET", f"/api/cases/{case_id}")
    return told["state"], told["workflow"]["version"]


@pytest.fixture
def page(chromium: str, town: Town) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM)
        context = browser.new_context(viewport={"width": 1600, "height": 950})
        answer = context.request.post(f"{town.url}/api/login", data={"username": "admin", "password": PASSWORD})
        assert answer.ok
        page = context.new_page()
        page.set_default_timeout(30_000)
        expect.set_options(timeout=30_000)
        yield page
        browser.close()


def test_a_step_is_drawn_mended_tried_published_and_old_cases_are_moved(town: Town, page: Page) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    old = filed(town, 0)
    page.goto(f"{town.url}/desk/flows")
    row = page.locator("[data-flow=standard] [data-version='1']")
    expect(row.get_by_test_id("running")).to_have_text("1")
    row.get_by_role("link", name="标准流程").click()

    # A step between filing and dispatch: put into the arrow, then named.
    page.locator("[data-part=action][data-action=file]").click()
    page.get_by_test_id("insert-state").click()
    page.get_by_test_id("state-name-zh").fill("待复核")
    page.get_by_test_id("state-name-en").fill("To be reviewed")
    page.get_by_test_id("state-code").fill("review")
    page.get_by_test_id("state-code").press("Enter")
    expect(page.locator("[data-state=review]")).to_contain_text("待复核")

    # Nobody may leave it yet: said at once, on the drawing and in the list; the list leads to the place.
    problems = page.get_by_test_id("fault-list")
    missing = problems.locator("[data-rule=no_role] button")
    expect(missing).to_contain_text("转下一环节")
    expect(page.locator("[data-state=review]")).to_have_class(re.compile(r"\berror\b"))
    expect(page.get_by_test_id("publish")).to_be_disabled()
    missing.click()
    page.get_by_test_id("action-roles").click()
    page.get_by_role("option", name="领导").click()
    page.keyboard.press("Escape")
    expect(problems.locator("[data-rule=no_role]")).to_have_count(0)
    expect(page.get_by_test_id("saved")).to_have_attribute("data-state", "saved")

    # What was drawn survives a reload; a step can be taken back and done again.
    page.reload()
    expect(page.locator("[data-state=review]")).to_contain_text("待复核")
    page.get_by_test_id("add-state").click()
    expect(problems.locator("[data-rule=unreachable]")).to_have_count(1)
    page.get_by_test_id("undo").click()
    expect(problems.locator("[data-rule=unreachable]")).to_have_count(0)

    # Compared and tried on the past: the one filed case would have gone another way.
    page.get_by_test_id("compare").click()
    expect(page.locator("[data-change='added:state:review']")).to_be_visible()
    expect(page.locator("[data-change='changed:action:file']")).to_be_visible()
    page.get_by_test_id("simulate").click()
    figures = page.get_by_test_id("figures")
    expect(figures).to_have_attribute("data-cases", "1")
    expect(figures).to_have_attribute("data-same", "0")
    expect(page.get_by_test_id("simulation")).to_contain_text("草稿的去向不同")
    expect(page.get_by_test_id("simulation")).not_to_contain_text("{")

    page.get_by_test_id("publish").click()
    page.get_by_test_id("note").fill("立案后复核")
    page.get_by_test_id("confirm-publish").click()
    plan = page.get_by_test_id("plan")
    expect(plan).to_have_attribute("data-movable", "1")
    new = filed(town, 1)
    assert stands(town, new) == ("review", 2)
    assert stands(town, old) == ("filed", 1)

    page.get_by_test_id("reason").fill("统一复核")
    page.get_by_test_id("start-move").click()
    outcome = page.get_by_test_id("outcome")
    expect(outcome).to_have_attribute("data-state", "done")
    expect(outcome).to_have_attribute("data-moved", "1")
    assert stands(town, old) == ("filed", 2)
    assert town.ask("leader", "GET", f"/api/cases/{old}")["events"][0]["payload"]["reason"] == "统一复核"
    assert faults == []
