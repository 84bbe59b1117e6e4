"""A census clerk brings a survey into the census on the desk, from the file to the component's second version."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from gis import db, import_runs, imports
from tests.layers.service import PASSWORD, Town, axe_faults, started


@pytest.fixture(scope="module")
def town(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The service over a database of this test's own: it changes the census."""
    with started(cluster, tmp_path_factory.mktemp("census")) as running:
        yield running


@pytest.fixture
def page(browser: Browser, town: Town) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1366, "height": 768})
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
    assert due
    for run_id, _ in due:
        landed = imports.run(engine, run_id)
        with db.transaction(engine) as tx:
            assert landed, import_runs.get_run(tx, run_id)
    engine.dispose()


def survey(town: Town, path: Path) -> list[dict[str, Any]]:
    """A survey in the exchange form: what is published, with one moved, one twice, one of an unknown unit, one new."""
    items = town.ask("census", "GET", "/api/components?category=0104&limit=20")["items"]
    rows = [
        {"ObjID": c["code"], "ObjState": "完好", "DeptCode1": c["competent_unit"], "at": [c["lon"], c["lat"]]}
        for c in items
        if c["state"] == "intact"
    ]
    rows[1]["at"][0] += 6e-5
    rows[2]["DeptCode1"] = "市容环境科"
    rows[3]["ObjState"] = "破损"
    rows.append(rows[0] | {"at": [rows[0]["at"][0] + 2e-4, rows[0]["at"][1]]})
    rows.append(
        rows[4] | {"ObjID": rows[4]["ObjID"][:10] + "990001", "at": [rows[4]["at"][0] + 3e-4, rows[4]["at"][1]]}
    )
    features = [
        {
            "type": "Feature",
            "properties": {name: value for name, value in row.items() if name != "at"},
            "geometry": {"type": "Point", "coordinates": row["at"]},
        }
        for row in rows
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False), "utf-8")
    return rows


def test_a_survey_is_brought_into_the_census(town: Town, page: Page, tmp_path: Path) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    rows = survey(town, tmp_path / "survey.geojson")
    page.goto(f"{town.url}/desk/census")
    page.get_by_test_id("new-survey").click()
    page.get_by_test_id("survey-file").set_input_files(tmp_path / "survey.geojson")
    page.get_by_test_id("survey-name").fill("秋季普查")
    page.get_by_text("只是局部补测：不动").click()
    page.get_by_test_id("begin").click()
    expect(page.get_by_test_id("checking")).to_be_visible()
    work(town)
    groups = page.get_by_test_id("groups")
    expect(groups.locator("[data-code=department_unknown]")).to_contain_text("错误")
    # A finding is shown where it is.
    page.get_by_test_id("findings").locator("tbody tr").first.click()
    page.wait_for_function(
        "([lon, lat]) => { const map = window.wanggeCensusMap, at = map?.getCenter();"
        " return at && map.getZoom() > 17 && Math.hypot(at.lng - lon, at.lat - lat) < 1e-6 }",
        arg=rows[2]["at"],
    )
    assert axe_faults(page) == []
    for code in ("department_unknown", "component_duplicate"):
        groups.locator(f"[data-code={code}]").get_by_test_id("accept").click()
        expect(page.get_by_test_id("checking")).to_be_visible()
        work(town)
        expect(page.get_by_test_id("checking")).to_have_count(0)
        expect(groups.locator(f"[data-code={code}]")).to_have_count(0)
    expect(page.locator("[data-step=checks]")).to_have_attribute("data-done", "true")
    expect(page.get_by_test_id("repairs").locator("tr")).to_have_count(2)

    page.locator("[data-step=sample]").click()
    page.get_by_test_id("draw").click()
    sample = page.get_by_test_id("sample")
    expect(sample).to_have_attribute("data-state", "open")
    page.get_by_test_id("good").click()
    expect(sample).to_contain_text("已查 1/")
    page.get_by_test_id("rest").click()
    page.get_by_role("dialog").get_by_role("button", name="合格").click()
    expect(sample).to_have_attribute("data-state", "accepted")

    page.locator("[data-step=differences]").click()
    listed = page.get_by_test_id("differences").locator("tbody tr")
    expect(listed).to_have_count(3)
    for kind in ("added", "changed", "moved"):
        expect(page.get_by_test_id("differences").locator(f"tr[data-kind={kind}]")).to_have_count(1)
    page.locator("[data-kind=moved][role=radio]").click()
    expect(listed).to_have_count(1)
    listed.first.get_by_role("button").click()
    # What is on the map is what the tiles hold: the line from the old to the new place.
    page.wait_for_function(
        "() => window.wanggeCensusMap?.getLayer('differences-line')"
        " && window.wanggeCensusMap.queryRenderedFeatures({layers: ['differences-line']}).length > 0"
    )
    assert axe_faults(page) == []

    page.locator("[data-step=publish]").click()
    page.get_by_test_id("publish").click()
    expect(page.get_by_test_id("published-done")).to_be_visible()
    page.goto(f"{town.url}/desk/census/components/{rows[1]['ObjID']}")
    versions = page.get_by_test_id("versions").locator("tr")
    expect(versions).to_have_count(2)
    expect(versions.first).to_contain_text("移位")
    expect(page.get_by_test_id("facts")).to_contain_text("雨水箅子")
    assert axe_faults(page) == []

    # Taken back, the place before is a third version.
    page.goto(f"{town.url}/desk/census")
    published = page.get_by_test_id("published").locator("tr", has_text="秋季普查")
    published.get_by_role("button", name="撤回").click()
    asked = page.get_by_role("dialog")
    asked.get_by_role("textbox").fill("发错了")
    asked.get_by_role("button", name="撤回").click()
    expect(published.get_by_text("已撤回")).to_be_visible()
    page.goto(f"{town.url}/desk/census/components/{rows[1]['ObjID']}")
    expect(versions).to_have_count(3)
    assert not faults, faults


def test_after_a_rejected_sample_the_bad_rows_are_left_out(town: Town, page: Page, tmp_path: Path) -> None:
    items = town.ask("census", "GET", "/api/components?category=0103&limit=20")["items"]
    features = [
        {
            "type": "Feature",
            "properties": {"ObjID": c["code"], "ObjState": "破损", "DeptCode1": c["competent_unit"]},
            "geometry": {"type": "Point", "coordinates": [c["lon"], c["lat"]]},
        }
        for c in items
    ]
    file = tmp_path / "rejected.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False), "utf-8")
    page.goto(f"{town.url}/desk/census")
    page.get_by_test_id("new-survey").click()
    page.get_by_test_id("survey-file").set_input_files(file)
    page.get_by_text("只是局部补测：不动").click()
    page.get_by_test_id("begin").click()
    expect(page.get_by_test_id("checking")).to_be_visible()
    work(town)
    page.locator("[data-step=sample]").click()
    page.get_by_test_id("draw").click()
    sample = page.get_by_test_id("sample")
    expect(sample).to_have_attribute("data-state", "open")
    bad = 0
    while sample.get_attribute("data-state") == "open":
        page.get_by_test_id("record").get_by_text("现场没有").click()
        page.get_by_test_id("bad").click()
        bad += 1
        expect(sample).to_contain_text(f"不合格 {bad}")
    expect(sample).to_have_attribute("data-state", "rejected")
    expect(page.get_by_test_id("draw")).to_be_disabled()
    assert axe_faults(page) == []
    page.get_by_test_id("exclude-bad").click()
    expect(page.get_by_test_id("checking")).to_be_visible()
    work(town)
    page.get_by_test_id("draw").click()
    expect(sample).to_have_attribute("data-state", "open")
    expect(sample).to_contain_text(f"批量 {len(items) - bad}")


def test_who_decides_a_change_sees_what_is_to_be_changed(town: Town, page: Page) -> None:
    of = town.ask("census", "GET", "/api/components?category=0103&limit=1")["items"][0]
    report = {
        "catalogue": of["catalogue"],
        "category_kind": "component",
        "category_code": of["category_code"],
        "component_code": of["code"],
        "kind": "change",
        "lon": of["lon"],
        "lat": of["lat"],
        "form": {"change": "attribute", "state": "abandoned", "owner_unit": "D03"},
    }
    made = town.ask("census", "POST", "/api/cases", report)
    page.goto(f"{town.url}/desk/cases/{made['id']}")
    told = page.get_by_test_id("told")
    expect(told).to_have_count(3)
    expect(told.nth(0)).to_have_text("属性不对")
    expect(told.nth(1)).to_have_text("废弃")
    expect(told.nth(2)).to_contain_text("D03")


def test_a_local_system_is_fitted(town: Town, page: Page) -> None:
    page.goto(f"{town.url}/desk/census/systems")
    lines = "K1 0 0 470000 4440000\nK2 1000 0 471000 4440000\nK3 0 1000 470000 4441000\nK4 1000 1000 471003 4441000"
    points = page.get_by_test_id("points")
    points.fill("K1 0 0")
    expect(page.get_by_test_id("fit")).to_be_disabled()
    points.fill(lines)
    page.get_by_test_id("fit").click()
    report = page.get_by_test_id("fit-report")
    expect(report).to_have_attribute("data-within", "false")
    expect(report.locator("tbody tr")).to_have_count(4)
    points.fill(lines.replace("471003", "471000"))
    page.get_by_test_id("fit").click()
    expect(report).to_have_attribute("data-within", "true")
    assert axe_faults(page) == []
