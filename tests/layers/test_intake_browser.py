"""Intake in a real browser: the desk registers from every channel, the public reports and follows on a phone."""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from gis import geometry
from tests.layers.service import PASSWORD, Town, axe_faults, started

CALLER = "13800001234"
RESOURCE_FAULT = re.compile("Failed to load resource")


@pytest.fixture(scope="module")
def town(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with started(cluster, tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "scene.jpg"
    Image.effect_noise((900, 700), 60).convert("RGB").save(path, "JPEG")
    return path


def opened(browser: Browser, town: Town, who: str = "", **context: Any) -> tuple[Page, list[str]]:
    """A page on a screen of its own, signed in where a name is given; what it complains of is gathered."""
    page = browser.new_context(base_url=town.url, **context).new_page()
    page.set_default_timeout(60_000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console",
        lambda message: (
            faults.append(message.text) if message.type == "error" and not RESOURCE_FAULT.search(message.text) else None
        ),
    )
    if who:
        answer = page.request.post("/api/login", data={"username": who, "password": PASSWORD})
        assert answer.ok, answer.text()
    return page, faults


def find_place(page: Page, code: str) -> None:
    page.get_by_test_id("place-search").fill(code)
    expect(page.get_by_role("option", name=re.compile(code[-6:]) if code.isdigit() else code).first).to_be_attached()
    page.get_by_test_id("place-search").press("Enter")


def test_the_desk_registers_an_order_of_the_hotline(browser: Browser, town: Town, picture: Path) -> None:
    component = town.ask("leader", "GET", "/api/components?category=0305&limit=1")["items"][0]
    page, faults = opened(browser, town, "acceptor1", viewport={"width": 1366, "height": 768})
    page.goto("/desk/intake?channel=hotline")
    page.get_by_test_id("words").fill("垃圾桶满了，周边都是垃圾")
    page.get_by_test_id("place-search").fill(component["code"])
    expect(page.get_by_role("listbox", name="查地名").get_by_role("option").first).to_be_visible()
    page.get_by_test_id("place-search").press("Enter")
    # Everything that follows from the component is filled in.
    expect(page.get_by_test_id("category")).to_contain_text("垃圾箱")
    expect(page.get_by_test_id("facts")).to_contain_text(component["unit_grid_code"])
    expect(page.get_by_test_id("address")).not_to_have_value("")
    expect(page.locator("[data-suggestion='event:0102']")).to_contain_text("垃圾")
    expected = town.ask(
        "acceptor1",
        "GET",
        f"/api/intake/facts?lon={component['lon']}&lat={component['lat']}&kind=hotline&channel=hotline"
        f"&category_kind=component&category_code=0305&component={component['code']}",
    )["plan"]
    plan = page.get_by_test_id("plan")
    expect(plan.locator("[data-department]")).to_have_attribute("data-department", expected["department"]["code"])
    expect(plan).to_contain_text(expected["workflow"]["name"]["zh"])
    expect(plan).to_contain_text(expected["limit"]["zh"])
    # The form: what is missing is said, one field brings another.
    page.get_by_test_id("submit").click()
    expect(page.get_by_role("alert").filter(has_text="还缺")).to_contain_text("来电号码")
    page.locator("[data-field=order_no] input").fill("BJ-1")
    page.locator("[data-field=caller_phone] input").fill(CALLER)
    expect(page.locator("[data-field=evidence]")).to_have_count(0)
    page.locator("[data-field=appeal_type] select").select_option("tell")
    expect(page.locator("[data-field=evidence]")).to_be_visible()
    expect(page.locator("[data-field=appeal_matter] option")).to_have_count(4)
    page.locator("[data-field=appeal_type] select").select_option("help")
    expect(page.locator("[data-field=evidence]")).to_have_count(0)
    page.locator("[data-field=appeal_matter] select").select_option("help_clean")
    page.locator("[data-field=reply_by] input").fill("2030-01-01")
    expect(page.get_by_test_id("caller")).to_contain_text("没有反映过")
    page.locator("#photos").set_input_files(picture)
    expect(page.locator(".photos figure")).to_have_count(1)
    # A reload loses nothing; another's name for the tab would not see the caller.
    page.reload()
    expect(page.get_by_test_id("words")).to_have_value("垃圾桶满了，周边都是垃圾")
    expect(page.locator("[data-field=caller_phone] input")).to_have_value(CALLER)
    assert CALLER not in page.evaluate("() => JSON.stringify({...localStorage})")
    expect(page.locator("[data-department]")).to_be_visible()
    assert axe_faults(page) == []
    # Pressed twice, sent once.
    page.get_by_test_id("submit").dblclick()
    number = page.get_by_test_id("number")
    expect(number).to_contain_text(re.compile(r"\d{8}-\d{6}"))
    made = town.ask("acceptor1", "GET", "/api/cases?channel=hotline")["items"]
    assert [one["number"] for one in made] == [number.inner_text().strip()]
    assert (made[0]["kind"], made[0]["component_code"]) == ("hotline", component["code"])
    told = town.ask("acceptor1", "GET", f"/api/cases/{made[0]['id']}/form")["fields"]
    assert "138****1234" in [one["value"] for one in told]
    # The same order again is the same case, and nothing is left of the draft.
    page.get_by_test_id("again").click()
    expect(page.get_by_test_id("words")).to_have_value("")
    assert page.evaluate("() => Object.keys(localStorage).filter(k => k.startsWith('wangge.intake')).length") == 0
    page.get_by_test_id("words").fill("同一件事")
    page.get_by_test_id("place-search").fill(component["code"])
    expect(page.get_by_role("listbox", name="查地名").get_by_role("option").first).to_be_visible()
    page.get_by_test_id("place-search").press("Enter")
    expect(page.locator(f"[data-similar='{made[0]['id']}']")).to_contain_text("同一部件")
    page.locator(f"[data-similar='{made[0]['id']}']").get_by_role("button", name="补充到此案").click()
    expect(page.get_by_test_id("receipt")).to_contain_text(made[0]["number"])
    story = town.ask("acceptor1", "GET", f"/api/cases/{made[0]['id']}")["events"]
    assert story[0]["payload"]["note"] == "同一件事"
    assert faults == []
    page.context.close()


def test_the_desk_is_guided_places_by_coordinates_and_takes_a_pasted_snapshot(browser: Browser, town: Town) -> None:
    component = town.ask("leader", "GET", "/api/components?category=0118&limit=1")["items"][0]
    lon, lat = geometry.from_4490(component["lon"], component["lat"], "GCJ-02")
    page, faults = opened(browser, town, "acceptor1", viewport={"width": 1920, "height": 1080})
    page.goto("/desk/intake?embed=1")
    page.get_by_text("视频", exact=True).click()
    expect(page.get_by_role("navigation")).to_have_count(0)
    page.get_by_test_id("crs").select_option("GCJ-02")
    page.get_by_test_id("coordinates").fill(f"{lat:.6f}, {lon:.6f}")  # the other way round, as many write it
    page.get_by_test_id("coordinates").press("Enter")
    expect(page.locator(f"[data-component='{component['code']}']")).to_contain_text(re.compile(r"\b[01] m"))
    # Two situations that exclude each other are refused in words; two that merge are one report.
    page.get_by_test_id("by-guide").click()
    page.locator("[data-option=q_road]").click()
    page.locator("[data-option=pothole]").click()
    page.locator("[data-option=collapse]").click()
    page.get_by_test_id("guide-take").click()
    expect(page.get_by_role("alert").filter(has_text="不能同时选择")).to_be_visible()
    page.locator("[data-option=pothole]").click()
    page.locator("[data-option=cover_gone]").click()
    page.get_by_test_id("guide-take").click()
    expect(page.get_by_test_id("category")).to_contain_text("路面塌陷")
    expect(page.get_by_test_id("words")).to_have_value("路面塌陷")
    page.locator("[data-field=camera] input").fill("SXT-0001")
    page.locator("[data-field=watch] select").select_option("live")
    expect(page.locator("[data-field=camera_place] input")).not_to_have_value("")
    page.evaluate(
        """async () => {
          const canvas = Object.assign(document.createElement('canvas'), {width: 320, height: 180})
          canvas.getContext('2d').fillRect(0, 0, 200, 90)
          const blob = await new Promise(done => canvas.toBlob(done, 'image/png'))
          const data = new DataTransfer()
          data.items.add(new File([blob], 'snapshot.png', {type: 'image/png'}))
          document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, cancelable: true}))
        }"""
    )
    expect(page.locator("[data-field=snapshot] figure")).to_have_count(1)
    expect(page.locator("[data-department]")).to_be_visible()
    page.get_by_test_id("words").press("Control+Enter")
    expect(page.get_by_test_id("query-code")).to_contain_text(re.compile("[0-9A-Z]{10}"))
    made = town.ask("acceptor1", "GET", "/api/cases?channel=video")["items"][0]
    assert (made["category"]["name"], made["severity"]) == ("路面塌陷", 3)
    assert geometry.distance_m(made["lon"], made["lat"], component["lon"], component["lat"]) < 0.5
    assert len(town.ask("acceptor1", "GET", f"/api/cases/{made['id']}")["attachments"]) == 1
    assert faults == []
    page.context.close()


def test_the_public_reports_and_follows_on_a_phone(browser: Browser, town: Town, picture: Path) -> None:
    west, south, east, north = town.ask("leader", "GET", "/api/town")["bbox"]
    lamp = town.ask("leader", "GET", "/api/components?category=0118&limit=1")["items"][0]
    here = {"longitude": lamp["lon"], "latitude": lamp["lat"], "accuracy": 12}
    page, faults = opened(
        browser,
        town,
        viewport={"width": 390, "height": 844},
        has_touch=True,
        geolocation=here,
        permissions=["geolocation"],
    )
    loaded: list[str] = []
    page.on("response", lambda answer: loaded.append(answer.url))
    page.goto("/report")
    page.get_by_test_id("begin").click()
    expect(page.locator("[data-option=q_light]")).to_be_visible()
    assert not [url for url in loaded if "maplibre" in url or "/desk-" in url], "the map comes when it is wanted"
    assert axe_faults(page) == []
    page.locator("[data-option=q_light]").click()
    page.locator("[data-option=lamp]").click()
    page.get_by_test_id("here").click()
    expect(page.get_by_test_id("located")).to_contain_text("就是这个路灯")
    assert axe_faults(page) == []
    page.get_by_test_id("next").click()
    page.get_by_test_id("photo").set_input_files(picture)
    expect(page.locator("figure")).to_have_count(1)
    page.get_by_test_id("say").fill("晚上很黑")
    page.locator("[data-field=wants_answer]").check()
    page.locator("[data-field=contact_phone]").fill("12")
    page.get_by_test_id("send").click()
    expect(page.get_by_role("alert")).to_contain_text("电话号码不对")
    page.locator("[data-field=contact_phone]").fill(CALLER)
    assert axe_faults(page) == []
    small = page.evaluate(
        """() => [...document.querySelectorAll('button, input:not(.visually-hidden), textarea, label.check, label.add')]
          .filter(e => e.offsetParent && e.type !== 'checkbox')
          .filter(e => e.getBoundingClientRect().height < 47.5 || parseFloat(getComputedStyle(e).fontSize) < 16)
          .map(e => e.outerHTML.slice(0, 120))"""
    )
    assert small == []
    # Without a network nothing is lost, not even when the page is closed.
    page.context.set_offline(True)
    page.get_by_test_id("send").click()
    expect(page.get_by_test_id("problem")).to_contain_text("没有网络")
    page.context.set_offline(False)
    page.reload()
    expect(page.get_by_test_id("say")).to_have_value("晚上很黑")
    expect(page.locator("figure")).to_have_count(1)
    page.get_by_test_id("send").click()
    code = page.get_by_test_id("code").inner_text()
    made = town.ask("acceptor1", "GET", f"/api/codes/{code}")
    assert (made["channel"], made["component_code"]) == ("public", lamp["code"])
    assert made["description"] == "路灯不亮、损坏。晚上很黑"
    assert west < made["lon"] < east
    assert south < made["lat"] < north
    # Followed by the code; asked for more, and supplying it.
    step = {"action": "ask_supplement", "payload": {"reason": "请写明灯杆编号"}}
    town.ask("acceptor1", "POST", f"/api/cases/{made['id']}/actions", step)
    page.goto("/report")
    page.get_by_test_id("to-follow").click()
    page.get_by_test_id("code-input").fill(code.lower())
    page.get_by_test_id("look").click()
    asked = page.get_by_test_id("supplement")
    expect(asked).to_contain_text("请写明灯杆编号")
    assert axe_faults(page) == []
    asked.get_by_role("textbox").fill("灯杆 17 号")
    asked.get_by_role("button", name="提交补充").click()
    expect(page.get_by_test_id("followed")).to_contain_text("已收到您的补充")
    expect(page.get_by_test_id("supplement")).to_have_count(0)
    assert page.url.endswith(f"?code={code}")
    assert faults == []
    page.context.close()


def test_the_public_picks_the_place_on_the_map_and_rates_the_end(browser: Browser, town: Town) -> None:
    page, faults = opened(browser, town, viewport={"width": 390, "height": 844}, has_touch=True)
    page.goto("/report")
    page.get_by_test_id("begin").click()
    page.locator("[data-option=q_garbage]").click()
    page.locator("[data-option=exposed]").click()
    page.locator("[data-option=dirty_road]").click()
    page.get_by_test_id("next").click()
    page.get_by_test_id("here").click()
    expect(page.get_by_role("alert")).to_contain_text("定位")
    page.get_by_test_id("on-map").click()
    canvas = page.locator("canvas")
    expect(canvas).to_be_visible()
    # The small town's own middle is surely in it; a tap names it, wherever the map was looking.
    expect(page.get_by_test_id("map-take")).to_be_disabled()
    box = canvas.bounding_box()
    assert box is not None
    expect(async_tap(page, box)).to_be_enabled()
    page.get_by_test_id("map-take").click()
    expect(page.get_by_test_id("located")).to_be_visible()
    page.get_by_test_id("next").click()
    page.get_by_test_id("send").click()
    code = page.get_by_test_id("code").inner_text()
    made = town.ask("acceptor1", "GET", f"/api/codes/{code}")
    assert made["category"]["name"] == "暴露垃圾"
    for who, action in (("acceptor1", "accept"), ("shiftleader1", "file"), ("dispatcher1", "dispatch")):
        town.ask(who, "POST", f"/api/cases/{made['id']}/actions", {"action": action, "payload": {}})
    close = {"action": "force_close", "payload": {"reason": "现场确认"}}
    town.ask("leader", "POST", f"/api/cases/{made['id']}/actions", close)
    page.goto(f"/report?code={code}")
    rating = page.get_by_test_id("rate")
    rating.locator("[data-score='5']").click()
    rating.get_by_role("button", name="提交评价").click()
    expect(page.get_by_test_id("followed")).to_contain_text("非常满意")
    assert axe_faults(page) == []
    assert faults == []
    page.context.close()


def async_tap(page: Page, box: Any) -> Any:
    """Tap the middle of the map until it listens: it is drawn a moment before it does."""
    take = page.get_by_test_id("map-take")
    for _ in range(40):
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        if take.is_enabled():
            break
        page.wait_for_timeout(250)
    return take


def test_the_register_shows_promises_and_blocks_numbers(browser: Browser, town: Town, tmp_path: Path) -> None:
    """A number goes in, none comes out; a promise leads to its case."""
    component = town.ask("leader", "GET", "/api/components?limit=1")["items"][0]
    until = (date.today() + timedelta(days=9)).isoformat()
    tip = {"order_no": "BJ-REGISTER-7", "caller_phone": CALLER, "reply_by": until}
    tip |= {"appeal_type": "tell", "appeal_matter": "tell_dumping", "confidential": True}
    told = {"kind": "hotline", "channel": "hotline", "category_kind": "event", "category_code": "0102", "form": tip}
    told |= {name: component[name] for name in ("catalogue", "lon", "lat")}
    told |= {"commitment": {"fields": ["evidence"], "until": until}, "description": "夜间偷倒渣土"}
    made = town.ask("acceptor1", "POST", "/api/cases", told)

    page, faults = opened(browser, town, "shiftleader1", viewport={"width": 1366, "height": 768})
    page.goto("/desk/register")
    promise = page.locator("[data-entry=commitment]", has_text=made["number"])
    expect(promise).to_contain_text("举报线索照片")
    expect(promise.get_by_role("link", name=made["number"])).to_be_visible()
    page.get_by_test_id("block").click()
    page.get_by_test_id("block-phone").fill("13911112222")
    page.get_by_test_id("block-reason").fill("一周内谎报五次")
    page.get_by_test_id("block-save").click()
    blocked = page.locator("[data-entry=blocked]")
    expect(blocked).to_contain_text("一周内谎报五次")
    assert "13911112222" not in page.locator("main").inner_text()
    expect(page.get_by_test_id("block-save")).to_be_hidden()
    page.screenshot(path=str(tmp_path / "register.png"))
    assert axe_faults(page) == []
    assert faults == []
