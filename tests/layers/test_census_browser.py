"""A census clerk brings a survey into the census on the desk; a component tells its versions; a change is reported."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from gis import db, import_runs, imports
from tests.layers.service import PASSWORD, Town, axe_faults, started


@pytest.fixture(scope="module")
def town(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The service over a database of these tests' own."""
    with started(cluster, tmp_path_factory.mktemp("census")) as running:
        yield running


@pytest.fixture
def page(browser: Browser, town: Town) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    assert context.request.post(f"{town.url}/api/login", data={"username": "census", "password": PASSWORD}).ok
    page = context.new_page()
    page.set_default_timeout(30_000)
    expect.set_options(timeout=30_000)
    yield page
    context.close()


def work(town: Town) -> None:
    """What the worker does: every check that is due."""
    engine = db.make_engine(town.environment["WANGGE_DATABASE_URL"], pool_size=2)
    with db.transaction(engine) as tx:
        due = import_runs.due(tx)
    for run_id, _ in due:
        assert imports.run(engine, run_id)
    engine.dispose()


def survey(town: Town, path: Path) -> list[dict[str, Any]]:
    """A survey in the exchange form: what is published, with one moved, one twice, one of an unknown unit, one new."""
    items = town.ask("census", "GET", "/api/components?category=0104&limit=60")["items"]
    rows = [
        {"ObjID": c["code"], "ObjState": "完好", "DeptCode1": c["competent_unit"], "lon": c["lon"], "lat": c["lat"]}
        for c in items
        if c["state"] == "intact"
    ]
    rows[1]["lon"] += 6e-5
    rows[2]["DeptCode1"] = "市容环境科"
    rows[3]["ObjState"] = "破损"
    rows.append(rows[0] | {"lon": rows[0]["lon"] + 2e-4})
    rows.append(rows[4] | {"ObjID": rows[4]["ObjID"][:10] + "990001", "lon": rows[4]["lon"] + 3e-4})
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows


MAPPING = """
kind: components
source: exchange
crs: EPSG:4490
geometry: {x: lon, y: lat}
identifier: {column: ObjID, kind: component_code}
category: {catalogue: cjt214-2007}
fields:
  state: {column: ObjState, values: {完好: intact, 破损: damaged}}
  competent_unit: {column: DeptCode1}
"""


def test_a_survey_is_brought_into_the_census(town: Town, page: Page, tmp_path: Path) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    rows = survey(town, tmp_path / "survey.csv")
    # The page sends the name of a mapping; here its text takes that place.
    page.route(
        "**/api/census/drafts",
        lambda route: (
            route.continue_(post_data=route.request.post_data_buffer.replace(b"census-cjt214", MAPPING.encode()))
            if route.request.method == "POST"
            else route.continue_()
        ),
    )
    page.goto(f"{town.url}/desk/census")
    page.get_by_test_id("new-survey").click()
    page.get_by_test_id("survey-file").set_input_files(tmp_path / "survey.csv")
    page.get_by_test_id("survey-name").fill("秋季普查")
    page.get_by_text("只是局部补测：不动").click()
    page.get_by_test_id("begin").click()
    expect(page.get_by_test_id("checking")).to_be_visible()
    work(town)
    groups = page.get_by_test_id("groups")
    expect(groups.locator("[data-code=department_unknown]")).to_contain_text("错误")
    assert axe_faults(page) == []
    page.screenshot(path=str(tmp_path / "checks.png"))
    for code in ("department_unknown", "component_duplicate"):
        groups.locator(f"[data-code={code}]").get_by_test_id("accept").click()
        expect(page.get_by_test_id("checking")).to_be_visible()
        work(town)
        expect(groups.locator(f"[data-code={code}]")).to_have_count(0)
    expect(page.locator("[data-step=checks]")).to_have_attribute("data-done", "true")
    expect(page.get_by_test_id("repairs").locator("tr")).to_have_count(2)

    page.locator("[data-step=differences]").click()
    listed = page.get_by_test_id("differences").locator("tbody tr")
    expect(listed).to_have_count(3)
    assert sorted(kind for row in listed.all() if (kind := row.get_attribute("data-kind"))) == [
        "added",
        "changed",
        "moved",
    ]
    page.locator("[data-kind=moved][role=radio]").click()
    expect(listed).to_have_count(1)
    listed.first.get_by_role("button").click()
    # What is on the map is what the tiles hold: the line from the old to the new place.
    page.wait_for_function(
        "() => window.wanggeCensusMap?.queryRenderedFeatures({layers: ['differences-line']}).length > 0"
    )
    assert axe_faults(page) == []
    page.screenshot(path=str(tmp_path / "differences.png"))

    page.locator("[data-step=sample]").click()
    page.get_by_test_id("draw").click()
    sample = page.get_by_test_id("sample")
    expect(sample).to_have_attribute("data-state", "open")
    page.screenshot(path=str(tmp_path / "sample.png"))
    size = page.get_by_test_id("sample-rows").locator("tbody tr").count()
    for checked in range(1, size + 1):
        page.get_by_test_id("good").click()
        expect(sample).to_contain_text(f"已查 {checked}/{size}")
    expect(sample).to_have_attribute("data-state", "accepted")
    page.locator("[data-step=publish]").click()
    page.get_by_test_id("publish").click()
    expect(page.get_by_test_id("published-done")).to_be_visible()
    page.screenshot(path=str(tmp_path / "published.png"))

    page.goto(f"{town.url}/desk/census/components/{rows[1]['ObjID']}")
    versions = page.get_by_test_id("versions").locator("tr")
    expect(versions).to_have_count(2)
    expect(versions.first).to_contain_text("移位")
    page.get_by_test_id("report-change").click()
    page.get_by_text("部件已拆除").click()
    page.get_by_test_id("change-words").fill("道路改造已拆")
    page.get_by_test_id("send-change").click()
    number = page.get_by_test_id("component-cases").get_by_role("link")
    expect(number).to_have_text(re.compile("^BG"))
    assert axe_faults(page) == []
    page.screenshot(path=str(tmp_path / "component.png"))
    (case,) = town.ask("census", "GET", f"/api/cases?component={rows[1]['ObjID']}")["items"]
    town.ask("census", "POST", f"/api/cases/{case['id']}/actions", {"action": "apply", "payload": {}})
    page.reload()
    expect(versions).to_have_count(3)
    expect(versions.first.get_by_role("link")).to_have_text(number.inner_text())

    page.goto(f"{town.url}/desk/census/components?catalogue=gbt30428-2013&category=0104")
    expect(page.get_by_test_id("components").locator("tbody tr")).to_have_count(50)
    expect(page.get_by_test_id("apart")).to_contain_text("可能是")
    assert axe_faults(page) == []
    page.screenshot(path=str(tmp_path / "components.png"))
    page.goto(f"{town.url}/desk/census/systems")
    points = [(0, 0), (4000, 300), (3800, 4100), (150, 3900), (2000, 2100)]
    page.get_by_test_id("points").fill(
        "\n".join(f"K{n} {x + (3 if n == 4 else 0)} {y} {470000 + x} {4440000 + y}" for n, (x, y) in enumerate(points))
    )
    page.get_by_test_id("fit").click()
    expect(page.get_by_test_id("outliers")).to_contain_text("K4")
    page.get_by_label("参与 K4").click()
    expect(page.get_by_test_id("fit-report")).to_have_attribute("data-within", "true")
    assert axe_faults(page) == []
    page.screenshot(path=str(tmp_path / "systems.png"))
    assert not faults, faults
