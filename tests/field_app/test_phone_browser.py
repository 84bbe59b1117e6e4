"""The phone app in a real browser against the real service: whatever was saved arrives once, or stays in sight."""

import io
import json
import os
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, Response, Route, expect, sync_playwright

from api import servers
from gis.settings import ROOT

PASSWORD = "wangge-demo-2026"
CHROMIUM = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
AXE = ROOT / "field_app" / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE = 20_000
STATES = "[data-test=item]"
STORED = """async () => {
  const end = (ask) => new Promise((done) => { ask.onsuccess = () => done(ask.result) })
  const db = await end(indexedDB.open('wangge-phone'))
  const all = (store) => end(db.transaction(store).objectStore(store).getAll())
  const found = { items: await all('items'), receipts: await all('receipts'), media: (await all('media')).length }
  db.close()
  return found
}"""
# Every finding of axe, contrast of 7:1 included.
FAULTS = """() => axe.run(document, { rules: { 'color-contrast-enhanced': { enabled: true } } }).then((found) =>
  found.violations.flatMap((fault) => fault.nodes.map((node) => fault.id + ': ' + node.html.slice(0, 160))))"""
SMALL_TARGETS = """() => [...document.querySelectorAll('button, input:not(.visually-hidden), select, textarea')]
  .filter((each) => each.getClientRects().length && each.getBoundingClientRect().height < 47.5)
  .map((each) => each.outerHTML.slice(0, 120))"""
SMALL_TEXT = """() => [...document.querySelectorAll('#app *')]
  .filter((each) => [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
  .filter((each) => parseFloat(getComputedStyle(each).fontSize) < 16)
  .map((each) => each.outerHTML.slice(0, 120))"""


@dataclass(frozen=True)
class Service:
    """The running service and a component of its town, as an inspector would stand before it."""

    url: str
    component: dict[str, Any]
    tokens: dict[str, str] = field(default_factory=dict)

    def ask(self, who: str, method: str, path: str, body: Any = None) -> Any:
        """One request of a person; its JSON."""
        if who not in self.tokens:
            login = {"username": who, "password": PASSWORD}
            answer = httpx.post(f"{self.url}/api/login", json=login, timeout=30, trust_env=False)
            self.tokens[who] = answer.json()["token"]
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        answer = httpx.request(method, self.url + path, json=body, headers=headers, timeout=30, trust_env=False)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def said(self, words: str) -> list[dict[str, Any]]:
        """The cases whose description is ``words``, whole."""
        found = self.ask("leader", "GET", "/api/cases?limit=200")["items"]
        return [self.ask("leader", "GET", f"/api/cases/{c['id']}") for c in found if c["description"] == words]


@pytest.fixture(scope="module")
def service(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    assert (ROOT / "field_app/dist/index.html").is_file(), "build the pages first: make setup"
    home = tmp_path_factory.mktemp("phone")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with cluster.clone() as name, (home / "api.log").open("wb") as log:
        environment = os.environ | {
            "WANGGE_DATABASE_URL": cluster.url(name, servers.SERVICE),
            "WANGGE_DEMO": "1",
            "WANGGE_HOME": str(home),
        }
        command = [sys.executable, "-m", "uvicorn", "api.main:app", "--port", str(port), "--no-access-log"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=ROOT)
        try:
            _await_ready(url, process)
            found = Service(url, {})
            yield Service(url, found.ask("leader", "GET", "/api/components?limit=1")["items"][0])
        finally:
            process.kill()
            process.wait(timeout=20)


def _await_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError("the service does not start")


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM)
        yield running
        running.close()


@pytest.fixture
def phone(browser: Browser, service: Service) -> Iterator[Callable[..., BrowserContext]]:
    """Makes phones: 390 × 844, Chinese, standing before the component."""
    made: list[BrowserContext] = []

    def make(worker: bool = False, **changes: Any) -> BrowserContext:
        spot = {"longitude": service.component["lon"], "latitude": service.component["lat"], "accuracy": 6}
        # What a page sends through its worker escapes the test's faults; only the offline test needs the worker.
        context = browser.new_context(
            base_url=service.url,
            viewport={"width": 390, "height": 844},
            locale="zh-CN",
            is_mobile=True,
            has_touch=True,
            permissions=["geolocation"],
            geolocation=changes.get("geolocation", spot),
            service_workers="allow" if worker else "block",
        )
        context.set_default_timeout(PATIENCE)
        made.append(context)
        return context

    expect.set_options(timeout=PATIENCE)
    yield make
    for context in made:
        context.close()


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo that no store can compress away."""
    noise = random.Random(7).randbytes(1200 * 900 * 3)
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    kept = io.BytesIO()
    Image.frombytes("RGB", (1200, 900), noise).save(kept, "JPEG", quality=90)
    path.write_bytes(kept.getvalue())
    return path


def sign_in(page: Page, who: str) -> None:
    page.fill("#username", who)
    page.fill("#password", PASSWORD)
    page.tap("button[type=submit]")
    expect(page.locator("[data-test=report]")).to_be_visible()


def write(page: Page, words: str, photo: Path | None = None) -> None:
    """A report on the component before the phone: three taps and, if there is one, a photo."""
    page.tap("[data-test=report]")
    if photo:
        page.set_input_files("[data-test=camera]", photo)
        expect(page.locator("figure img")).to_have_count(1)
    page.tap("[data-test=component] >> nth=0")
    page.fill("textarea", words)
    page.tap("[data-test=save]")


def home(page: Page) -> None:
    page.evaluate("location.hash = '/'")
    expect(page.locator("[data-test=report]")).to_be_visible()


def unsent(page: Page, number: int) -> None:
    expect(page.locator("[data-test=outbox]")).to_contain_text(f"待发 {number}")


def test_a_report_made_offline_outlives_a_reload_and_arrives_once(
    phone: Callable[..., BrowserContext], service: Service, photo: Path
) -> None:
    context = phone(worker=True)
    page = context.new_page()
    page.goto("/m")
    sign_in(page, "inspector001")
    write(page, "在线上报", photo)
    expect(page.locator("[data-test=receipt]")).to_contain_text("服务器已收到")
    unsent(page, 0)
    [online] = service.said("在线上报")
    assert online["component_code"] == service.component["code"]
    assert [a["purpose"] for a in online["attachments"]] == ["before"]
    expect(page.locator("[data-test=receipt]")).to_contain_text(online["number"])

    page.evaluate("navigator.serviceWorker.ready")
    context.set_offline(True)
    home(page)
    write(page, "离线上报", photo)
    unsent(page, 1)
    page.reload()
    unsent(page, 1)
    home(page)
    page.tap("[data-test=outbox]")
    expect(page.locator(STATES)).to_have_attribute("data-state", "queued")
    assert service.said("离线上报") == []

    context.set_offline(False)
    unsent(page, 0)
    [arrived] = service.said("离线上报")
    assert len(arrived["attachments"]) == 1
    stored = page.evaluate(STORED)
    assert [r["number"] for r in stored["receipts"]] == [online["number"], arrived["number"]]
    assert sorted(r["device_seq"] for r in stored["receipts"]) == [1, 2]
    assert (stored["items"], stored["media"]) == ([], 0)


def test_lost_answers_faults_and_portals_make_neither_loss_nor_doubles(
    phone: Callable[..., BrowserContext], service: Service, photo: Path
) -> None:
    def lost(route: Route) -> None:
        route.fetch()
        route.abort()

    weathers: list[Callable[[Route], None]] = [
        lost,
        lambda route: route.fulfill(status=500, body="oops"),
        lambda route: route.fulfill(status=200, content_type="text/html", body="<html>请先登录网络</html>"),
        lambda route: route.fulfill(status=200, json={"id": "another", "number": "RH-0"}),
    ]
    page = phone().new_page()
    page.goto("/m")
    sign_in(page, "inspector002")
    seen: list[int] = []

    def weather(route: Route) -> None:
        seen.append(1)
        (weathers[len(seen) - 1] if len(seen) <= len(weathers) else Route.continue_)(route)

    page.route(re.compile(r"/api/cases$"), weather)
    write(page, "坏天气", photo)
    while len(seen) <= len(weathers):
        # The sender's own waits are up to minutes; coming back on line resets them.
        page.evaluate("window.dispatchEvent(new Event('online'))")
        page.wait_for_timeout(100)
    unsent(page, 0)
    [arrived] = service.said("坏天气")
    expect(page.locator("[data-test=receipt]")).to_contain_text(arrived["number"])


def test_a_lapsed_login_parks_and_the_queue_belongs_to_the_person(
    phone: Callable[..., BrowserContext], service: Service
) -> None:
    page = phone().new_page()
    page.goto("/m")
    with page.expect_response("**/api/login") as answer:
        sign_in(page, "inspector003")
    token = answer.value.json()["token"]
    ended = httpx.post(f"{service.url}/api/logout", headers={"Authorization": f"Bearer {token}"}, trust_env=False)
    assert ended.status_code == 204
    write(page, "登录过期")
    expect(page.locator(STATES)).to_have_attribute("data-state", "login-needed")
    expect(page.get_by_role("alert").first).to_contain_text("登录已过期")

    page.get_by_role("button", name="重新登录").tap()
    sign_in(page, "inspector004")
    unsent(page, 0)
    page.tap("[data-test=outbox]")
    expect(page.get_by_text("别人的未发内容")).to_be_visible()
    assert service.said("登录过期") == []

    page.evaluate("location.hash = '/day'")
    page.tap("[data-test=sign-out]")
    page.locator(".van-dialog__confirm").tap()
    sign_in(page, "inspector003")
    page.tap("[data-test=outbox]")
    expect(page.locator("[data-test=receipt]")).to_have_count(1)
    assert len(service.said("登录过期")) == 1


def test_two_tabs_send_each_report_once(phone: Callable[..., BrowserContext], service: Service) -> None:
    context = phone()
    page = context.new_page()
    page.goto("/m")
    sign_in(page, "inspector001")
    page.tap("[data-test=report]")
    expect(page.locator("[data-test=component]").first).to_be_visible()
    home(page)
    other = context.new_page()
    other.goto("/m")
    expect(other.locator("[data-test=outbox]")).to_be_visible()
    context.set_offline(True)
    for number in (1, 2):
        write(page, "两个页面")
        unsent(page, number)
        home(page)
    unsent(other, 2)
    answered: list[int] = []

    def count(response: Response) -> None:
        if response.request.method == "POST" and response.url.endswith("/api/cases"):
            answered.append(response.status)

    context.on("response", count)
    context.set_offline(False)
    for each in (page, other):
        each.evaluate("window.dispatchEvent(new Event('online'))")
    unsent(page, 0)
    unsent(other, 0)
    assert answered == [201, 201]
    assert len(service.said("两个页面")) == 2


def test_a_full_phone_says_so_and_still_keeps_the_words(
    phone: Callable[..., BrowserContext], service: Service, photo: Path
) -> None:
    context = phone()
    page = context.new_page()
    # The browser remembers for a while how much room there was: the phone is small from the beginning.
    small = {"origin": service.url, "quotaSize": 400_000}
    context.new_cdp_session(page).send("Storage.overrideQuotaForOrigin", small)
    page.goto("/m")
    sign_in(page, "inspector002")
    page.tap("[data-test=report]")
    page.tap("[data-test=component] >> nth=0")
    page.fill("textarea", "手机已满")
    page.set_input_files("[data-test=camera]", photo)
    expect(page.locator("[data-test=full]")).to_contain_text("空间不足")
    page.tap("[data-test=save]")
    expect(page.locator("[data-test=full]")).to_be_visible()
    expect(page.locator("figure img")).to_have_count(1)
    page.tap("[data-test=text-only]")
    expect(page.locator("[data-test=receipt]")).to_have_count(1)
    [arrived] = service.said("手机已满")
    assert arrived["attachments"] == []


def test_a_refusal_shows_its_words_and_code_and_can_be_mended(
    phone: Callable[..., BrowserContext], service: Service
) -> None:
    context = phone(geolocation={"longitude": 121.47, "latitude": 31.23, "accuracy": 5})
    page = context.new_page()
    page.goto("/m")
    sign_in(page, "inspector003")
    page.tap("[data-test=report]")
    expect(page.get_by_role("alert")).to_contain_text("outside_town")
    page.tap("[data-test=category]")
    page.locator(".names button").first.tap()
    page.fill("textarea", "位置不对")
    page.tap("[data-test=save]")
    expect(page.locator(STATES)).to_have_attribute("data-state", "needs-help")
    expect(page.locator(STATES)).to_contain_text("位置不在本镇范围内（代码 outside_town）")
    assert service.said("位置不对") == []
    context.set_geolocation({"longitude": service.component["lon"], "latitude": service.component["lat"]})
    page.get_by_role("button", name="修改").tap()
    page.tap("[data-test=component] >> nth=0")
    page.tap("[data-test=save]")
    expect(page.locator("[data-test=receipt]")).to_have_count(1)
    assert len(service.said("位置不对")) == 1


def test_a_department_handles_its_case_and_learns_who_came_before(
    phone: Callable[..., BrowserContext], service: Service, photo: Path
) -> None:
    component = service.component
    cases = []
    for words in ("待处置一", "待处置二"):
        body = {
            **{"catalogue": component["catalogue"], "category_kind": "component", "description": words},
            **{"category_code": component["category_code"], "component_code": component["code"]},
            **{"lon": component["lon"], "lat": component["lat"]},
        }
        made = service.ask("leader", "POST", "/api/cases", body)
        for who, action in (("acceptor1", "accept"), ("shiftleader1", "file"), ("dispatcher1", "dispatch")):
            service.ask(who, "POST", f"/api/cases/{made['id']}/actions", {"action": action})
        cases.append(made)
    department = cases[0]["department"]["code"]
    page = phone().new_page()
    page.goto("/m")
    sign_in(page, f"manager_{department}")
    page.tap("[data-test=tasks]")
    expect(page.locator("[data-test=task]")).to_have_count(2)

    def handle(case: dict[str, Any], before: Callable[[], Any] = lambda: None) -> None:
        page.evaluate(f"location.hash = '/case/{case['id']}'")
        page.tap("[data-test=do-handle]")
        page.tap("[data-test=act]")
        expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("还差：处置结果")
        before()
        page.get_by_label("处置结果").fill("已修复")
        page.get_by_role("dialog").locator("[data-test=camera]").set_input_files(photo)
        expect(page.get_by_role("dialog").locator("figure img")).to_have_count(1)
        page.tap("[data-test=act]")

    # The answer to the first step is lost: sending it again must be known as ours.
    lost: list[int] = []

    def once(route: Route) -> None:
        if lost:
            route.continue_()
        else:
            lost.append(route.fetch().status)
            route.abort()

    page.route(re.compile("/actions$"), once)
    handle(cases[0])
    expect(page.get_by_role("button", name="等待发送")).to_be_visible()
    page.evaluate("window.dispatchEvent(new Event('online'))")
    expect(page.get_by_text("待核查")).to_be_visible()
    assert lost == [200]
    done = service.ask("leader", "GET", f"/api/cases/{cases[0]['id']}")
    assert [e["action"] for e in done["events"]].count("handle") == 1
    assert "after" in {a["purpose"] for a in done["attachments"]}

    declined = {"action": "decline", "payload": {"reason": "不归我们管"}}
    address = f"/api/cases/{cases[1]['id']}/actions"
    handle(cases[1], lambda: service.ask(f"handler_{department}_1", "POST", address, declined))
    page.tap("[data-test=outbox]")
    expect(page.locator(STATES)).to_have_attribute("data-state", "needs-help")
    expect(page.locator(STATES)).to_contain_text("部门退回")


def test_the_office_sees_where_an_open_phone_is(phone: Callable[..., BrowserContext], service: Service) -> None:
    page = phone().new_page()
    page.goto("/m")
    with page.expect_response("**/api/positions") as sent:
        sign_in(page, "inspector004")
    assert sent.value.ok
    name = service.ask("inspector004", "GET", "/api/me")["name"]
    [seen] = [p for p in service.ask("leader", "GET", "/api/positions/live")["items"] if p["name"] == name]
    assert (seen["lon"], seen["lat"]) == pytest.approx((service.component["lon"], service.component["lat"]), abs=1e-6)
    body = json.loads(sent.value.request.post_data or "")
    assert abs(datetime.fromisoformat(body["sent_at"]) - datetime.fromisoformat(body["fixes"][-1]["at"])).seconds < 60
    # And the one who carries it sees who looked.
    day = (datetime.now(UTC) + timedelta(hours=8)).date()
    service.ask("leader", "GET", f"/api/tracks/{seen['inspector_id']}/{day}?why=safety")
    page.evaluate("location.hash = '/day'")
    page.tap("[data-test=looks]")
    expect(page.locator("[data-test=looks-list]")).to_contain_text("人员安全")


def test_every_page_can_be_read_in_sunlight_and_touched_with_gloves(
    phone: Callable[..., BrowserContext], service: Service
) -> None:
    page = phone().new_page()
    page.goto("/m")
    expect(page.locator("#username")).to_be_visible()  # the page is loaded before it is drawn
    page.evaluate(AXE.read_text())
    assert page.evaluate(FAULTS) == []
    sign_in(page, "inspector004")
    before = page.locator("h1").inner_text()
    for name in ("report", "tasks", "day", "outbox", "check", ""):
        page.evaluate(f"location.hash = '/{name}'")
        expect(page.locator("h1")).not_to_have_text(before)
        before = page.locator("h1").inner_text()
        if name == "report":
            expect(page.locator("[data-test=component]").first).to_be_visible()
        page.wait_for_load_state("networkidle")
        for probe in (FAULTS, SMALL_TARGETS, SMALL_TEXT):
            assert page.evaluate(probe) == [], name
