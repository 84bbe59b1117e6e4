"""One case through the desk's pages in a real browser: dispatched, handled, checked, closed by those whose turn it is.

On the way somebody is quicker, an answer is lost, a button is pressed twice, a page is left open and one is reloaded:
every step happens once, and nothing that was typed is lost.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from tests.layers.service import Town, axe_faults, started

PATIENCE = 60_000


class Desk(Town):
    """The running service and the town's people."""

    def detail(self, case_id: str) -> dict[str, Any]:
        """A case as the leader sees it."""
        return self.ask("leader", "GET", f"/api/cases/{case_id}")

    def act(self, who: str, case_id: str, action: str, **payload: Any) -> dict[str, Any]:
        """One step by HTTP."""
        return self.ask(who, "POST", f"/api/cases/{case_id}/actions", {"action": action, "payload": payload})

    def actions(self, case_id: str) -> Counter[str]:
        """How often each step stands in the case's history."""
        return Counter(event["action"] for event in self.detail(case_id)["events"])

    def inspector_of(self, case_id: str) -> str:
        """The login of an inspector of the case's duty grid."""
        detail = self.detail(case_id)
        query = (
            "select username from staff join staff_role on staff_role.staff_id = staff.id"
            " where role = 'inspector' and scope_code = %s order by username limit 1"
        )
        with psycopg.connect(self.environment["WANGGE_DATABASE_URL"].replace("+psycopg", "")) as connection:
            row = connection.execute(query, (detail["duty_grid_code"],)).fetchone()
        assert row is not None
        return str(row[0])


@pytest.fixture(scope="module")
def town(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with started(cluster, tmp_path_factory.mktemp("home"), Desk) as running:
        yield running


@pytest.fixture
def desk(browser: Browser, town: Desk) -> Iterator[Callable[..., Page]]:
    """Opens the page of a case for somebody; ``deaf`` is a page whose live stream never comes."""
    faults: list[str] = []
    contexts = []

    def sit(who: str, case_id: str, deaf: bool = False) -> Page:
        town.ask(who, "GET", "/api/me")
        context = browser.new_context(base_url=town.url, viewport={"width": 1366, "height": 768}, locale="zh-CN")
        context.add_cookies([{"name": "wangge_session", "value": town.tokens[who], "url": town.url}])
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        if deaf:
            page.route("**/api/stream*", lambda route: route.abort())
        page.goto(f"/desk/cases/{case_id}")
        expect(page.get_by_test_id("story").locator("li").first).to_be_visible()
        return page

    expect.set_options(timeout=PATIENCE)
    yield sit
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "after.jpg"
    Image.effect_noise((640, 480), 70).save(path, "JPEG")
    return path


def waiting_for_dispatch(town: Desk) -> str:
    """A case of a component that waits for the dispatcher."""
    component = town.ask("leader", "GET", "/api/components?limit=1")["items"][0]
    made = town.report(component, "井盖破损，边缘缺角")
    town.act("acceptor1", made["id"], "accept")
    town.act("shiftleader1", made["id"], "file")
    return str(made["id"])


def state(page: Page, code: str) -> None:
    expect(page.get_by_test_id("state")).to_have_attribute("data-state", code)


def field(page: Page, name: str) -> Any:
    return page.locator(f"[data-field={name}]").locator("textarea, input").first


def test_a_case_goes_from_dispatch_to_its_end_through_the_pages(
    desk: Callable[..., Page], town: Desk, photo: Path, tmp_path: Path
) -> None:
    case_id = waiting_for_dispatch(town)
    department = town.detail(case_id)["department"]["code"]
    manager = desk(f"manager_{department}", case_id)
    state(manager, "filed")
    expect(manager.locator("[data-do=handle]")).to_have_count(0)

    # --- Somebody is quicker: the page says who did what, and what was typed survives that and a reload -------------
    dispatcher = desk("dispatcher1", case_id, deaf=True)
    dispatcher.locator("[data-do=dispatch]").click()
    field(dispatcher, "note").fill("请今日内更换井盖")
    town.act("dispatcher2", case_id, "return_filing", reason="地址不清")
    town.act("shiftleader1", case_id, "file")
    dispatcher.get_by_test_id("send").click()
    told = dispatcher.get_by_test_id("meanwhile")
    expect(told).to_contain_text("立案")
    expect(told).to_contain_text("待派遣")
    expect(dispatcher.get_by_test_id("send")).to_be_disabled()
    dispatcher.reload()
    dispatcher.locator("[data-do=dispatch]").click()
    expect(field(dispatcher, "note")).to_have_value("请今日内更换井盖")
    assert town.actions(case_id)["dispatch"] == 0

    # --- The answer is lost, and the button is pressed twice: the step happens once ----------------------------------
    lost: list[int] = []

    def lose(route: Route) -> None:
        if not lost:
            lost.append(route.fetch().status)
            route.abort()
        else:
            route.continue_()

    dispatcher.route("**/actions", lose)
    dispatcher.get_by_test_id("send").dblclick()
    expect(dispatcher.get_by_test_id("refusal")).to_contain_text("您填写的内容都还在")
    assert lost == [200]
    dispatcher.get_by_test_id("send").click()
    expect(dispatcher.get_by_test_id("said")).to_contain_text("已派遣")
    state(dispatcher, "handling")
    expect(dispatcher.get_by_test_id("story").locator("[data-action=dispatch]")).to_contain_text("请今日内更换井盖")
    assert town.actions(case_id)["dispatch"] == 1

    # --- The open page of the department sees it by itself; a step without its words is stopped in place -------------
    state(manager, "handling")
    expect(manager.get_by_test_id("clock-line")).to_be_visible()
    manager.locator("[data-do=handle]").click()
    manager.get_by_test_id("send").click()
    expect(manager.locator("[data-field=result]")).to_contain_text("请填写")
    expect(field(manager, "result")).to_be_focused()
    with manager.expect_response("**/api/media/*") as sent:
        manager.get_by_test_id("photo-input").set_input_files(photo)
    assert sent.value.status == 200
    expect(manager.locator("[data-field=photos_after] figure")).to_have_count(1)
    field(manager, "result").fill("已更换井盖")
    field(manager, "result").press("Control+Enter")
    state(manager, "handled")
    expect(manager.locator("[data-photo] img")).to_have_js_property("naturalWidth", 360)
    manager.locator("[data-photo]").click()
    expect(manager.get_by_test_id("viewer").locator("img")).to_have_js_property("complete", True)
    manager.keyboard.press("Escape")
    expect(manager.get_by_test_id("viewer")).to_have_count(0)

    # --- Checked on site, closed by the condition of its category ----------------------------------------------------
    inspector = desk(town.inspector_of(case_id), case_id)
    inspector.locator("[data-do=check_pass]").click()
    inspector.get_by_test_id("send").click()
    state(inspector, "checked")
    leader = desk("shiftleader1", case_id)
    leader.locator("[data-do=close]").click()
    expect(leader.get_by_test_id("action-form")).to_be_visible()
    leader.locator("[data-field=closing_condition] .el-radio").first.click()
    assert axe_faults(leader) == []
    leader.get_by_test_id("send").dblclick()
    state(leader, "closed")
    assert town.actions(case_id)["close"] == 1
    closing = town.detail(case_id)["closing_conditions"][0]["closing"]
    expect(leader.get_by_test_id("story").locator("[data-action=close]")).to_contain_text(closing)
    leader.get_by_test_id("verify").click()
    expect(leader.get_by_test_id("proof")).to_contain_text("记录链完整")
    assert axe_faults(leader) == []
    leader.screenshot(path=str(tmp_path / "closed.png"))

    # --- In English, and on paper ------------------------------------------------------------------------------------
    leader.get_by_role("button", name="English").click()
    expect(leader.get_by_role("heading", name="What happened")).to_be_visible()
    leader.goto(f"/desk/cases/{case_id}/print")
    sheet = leader.get_by_test_id("sheet")
    expect(sheet).to_contain_text(town.detail(case_id)["number"])
    expect(sheet).to_contain_text("已更换井盖")
    expect(sheet.locator(".photos img")).to_have_js_property("complete", True)
    picture = leader.get_by_test_id("sheet-map")
    expect(picture).to_be_visible()
    colours = """i => { const c = document.createElement('canvas'); c.width = c.height = 60
        const x = c.getContext('2d'); x.drawImage(i, 0, 0, 60, 60)
        return new Set(new Uint32Array(x.getImageData(0, 0, 60, 60).data.buffer)).size }"""
    assert picture.evaluate(colours) > 20, "the map is drawn"
    leader.emulate_media(media="print")
    leader.screenshot(path=str(tmp_path / "sheet.png"), full_page=True)
    expect(leader.get_by_role("navigation")).to_have_count(0)
    assert axe_faults(leader) == []


Answers = dict[str, Any]
Turn = tuple[str, str, Answers, str]


def take(page: Page, action: str, answers: Answers, asks: bool) -> None:
    """One step by the page; where it ``asks`` for something, that is answered as its type wants it."""
    # Where the step answers a task of one's own, the task has a button for it.
    owed = action in ("answer_urge", "arrive")
    button = page.locator(f"[data-{'answer' if owed else 'do'}={action}]")
    more = page.locator("button.toggle[aria-expanded=false]")
    expect(button.or_(more).first).to_be_visible()
    if not owed and not button.is_visible():
        more.click()
    button.click()
    form = page.get_by_test_id("action-form")
    for name, answer in answers.items():
        if isinstance(answer, Path):
            with page.expect_response("**/api/media/*") as sent:
                form.locator(f"[data-field={name}]").get_by_test_id("photo-input").set_input_files(answer)
            assert sent.value.status == 200
        elif isinstance(answer, int):
            form.locator(f"[data-field={name}] .el-radio").nth(answer).click()
        elif isinstance(answer, list):
            for k, stars in enumerate(answer):
                form.locator(f"[data-field={name}] .el-rate").nth(k).locator(".el-rate__item").nth(stars - 1).click()
        else:
            field(page, name).fill(answer)
    if asks:
        page.get_by_test_id("send").click()


def days(photo: Path) -> dict[str, tuple[dict[str, Any], list[Turn]]]:
    """A case of each kind: what is reported, and who then does what until it is archived, with the state that follows.

    ``@`` stands for the department that owns it, ``?`` for an inspector of its duty grid.
    """
    form = {
        "order_no": "BJ20261125000001",
        "caller_name": "赵先生",
        "caller_phone": "13800001111",
        "appeal_type": "help",
        "appeal_matter": "help_clean",
        "reply_by": (date.today() + timedelta(days=5)).isoformat(),
    }
    hotline = {"kind": "hotline", "channel": "hotline", "form": form}
    call = {"summoned": ["D11", "D13"], "task": "路口占道反复，请到场共同处理"}
    return {
        "an event told by the public": (
            {"channel": "public"},
            [
                ("acceptor1", "verify", {"note": "请到现场看看"}, "verifying"),
                ("?", "verify_true", {}, "accepted"),
                ("shiftleader1", "file", {}, "filed"),
                ("dispatcher1", "dispatch", {"note": "请今日清理"}, "handling"),
                ("@", "ask_extension", {"reason": "需要吊车"}, "extension_asked"),
                ("dispatcher1", "agree_extension", {}, "extension_agreed"),
                ("shiftleader1", "approve_extension", {}, "handling"),
                ("dispatcher1", "urge", {"note": "请加快"}, "handling"),
                ("@", "answer_urge", {"answer": "吊车已到"}, "handling"),
                ("@", "handle", {"result": "已清理", "photos_after": photo}, "handled"),
                ("?", "check_pass", {}, "checked"),
                ("shiftleader1", "close", {"closing_condition": 0}, "closed"),
            ],
        ),
        "an order of the hotline": (
            hotline,
            [
                ("dispatcher1", "dispatch", {"note": "请联系来电人"}, "dispatched"),
                ("@", "sign", {}, "signed"),
                ("@", "contact", {"contacted": 0, "note": "已电话联系"}, "handling"),
                ("@", "handle", {"result": "已修复", "solved_said": 0, "photos_after": photo}, "answered"),
                ("shiftleader1", "pass_answer", {}, "calling"),
                (
                    "acceptor1",
                    "call_back",
                    {"contacted_said": 0, "solved": 0, "satisfaction": 0},
                    "closed",
                ),
            ],
        ),
        "a whistle": (
            {"kind": "whistle", "channel": "leader", "payload": call},
            [
                ("manager_D11", "arrive", {"people": "李队等三人"}, "summoned"),
                ("manager_D13", "arrive", {"people": "王所等两人"}, "summoned"),
                ("shiftleader1", "begin", {}, "concluding"),
                ("shiftleader1", "conclude", {"conclusion": "联合整治，专人值守", "solved": 0}, "scoring"),
                ("leader", "score", {"scores": [5, 3]}, "closed"),
            ],
        ),
    }


@pytest.mark.parametrize("kind", list(days(Path())))
def test_a_day_of_every_kind_ends_in_the_archive(
    desk: Callable[..., Page], town: Desk, photo: Path, tmp_path: Path, kind: str
) -> None:
    told, turns = days(photo)[kind]
    component = town.ask("leader", "GET", "/api/components?limit=9")["items"][-1]
    event = {"catalogue": component["catalogue"], "category_kind": "event", "category_code": "0102"}
    place = {name: component[name] for name in ("lon", "lat")}
    made = town.ask("shiftleader1", "POST", "/api/cases", event | place | {"description": kind} | told)
    case_id = made["id"]
    owner = town.detail(case_id)["department"]["code"]
    pages: dict[str, Page] = {}
    for who, action, answers, after in turns:
        login = {"@": f"manager_{owner}", "?": town.inspector_of(case_id)}.get(who, who)
        if login not in pages:
            pages[login] = desk(login, case_id)
        page = pages[login]
        before = town.ask(login, "GET", f"/api/cases/{case_id}")
        state(page, before["state"])  # the page that stood open has seen what the others did
        [offered] = [one for one in before["actions"] if one["action"] == action]
        take(page, action, answers, asks=bool(offered["fields"]))
        state(page, after)
        expect(page.get_by_test_id("story").locator(f"[data-action={action}]").first).to_be_visible()
    done = town.detail(case_id)
    assert done["status"] == "closed"
    assert {task["state"] for task in done["tasks"]} <= {"done"}
    page.screenshot(path=str(tmp_path / "archived.png"), full_page=True)


def test_somebody_elses_step_takes_neither_focus_nor_words(desk: Callable[..., Page], town: Desk) -> None:
    case_id = waiting_for_dispatch(town)
    page = desk("dispatcher1", case_id)
    page.locator("[data-do=return_filing]").click()
    field(page, "reason").fill("门牌号不")
    town.act("dispatcher2", case_id, "dispatch")
    state(page, "handling")  # by itself
    expect(field(page, "reason")).to_be_focused()
    page.keyboard.type("对")
    expect(field(page, "reason")).to_have_value("门牌号不对")
    expect(page.get_by_test_id("meanwhile")).to_contain_text("派遣")
    page.get_by_test_id("look").click()
    expect(page.get_by_test_id("action-form")).to_contain_text("不能再“退回立案”")
    expect(page.get_by_test_id("send")).to_be_disabled()
    page.keyboard.press("Escape")
