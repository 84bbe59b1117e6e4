"""The stand-alone map: opened in a browser without network, it shows its cases, and it runs nobody's script."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page, sync_playwright

from layers import folium_map
from layers.folium_map import Sheet, render

EVIL = '</script><img src=x onerror="window.evil=1">{{ 7*7 }}'


def square(west: float, south: float, side: float, **properties: Any) -> dict[str, Any]:
    ring = [[west, south], [west + side, south], [west + side, south + side], [west, south + side], [west, south]]
    middle = (south + side / 2, west + side / 2)
    shape = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "properties": properties, "geometry": shape, "label": middle}


def mark(n: int, light: str) -> list[Any]:
    lat, lon = 40.10 + n * 0.004, 116.64 + n * 0.004
    return [lat, lon, light, f"RH-{n}", "路灯", "处置中", "河南村", EVIL, "11-20 10:00", EVIL]


SHEET = Sheet(
    title=f"仁和镇{EVIL}",
    bbox=(116.635, 40.095, 116.665, 40.12),
    ground=[
        square(116.64, 40.11, 0.01, layer="water", kind="river"),
        {
            "type": "Feature",
            "properties": {"layer": "road", "kind": "main"},
            "geometry": {"type": "LineString", "coordinates": [[116.63, 40.1], [116.67, 40.12]]},
        },
    ],
    villages=[
        square(116.63, 40.09, 0.02, code="1", name=f"河南村{EVIL}", value=7),
        square(116.65, 40.09, 0.02, code="2", name="石各庄", value=0),
    ],
    grids=[square(116.63, 40.09, 0.01, code="110113003001001", name="110113003001001", value=3)],
    measure="reported",
    marks=[mark(n, light) for n, light in enumerate(["green", "yellow", "red", "none", "red"])]
    + [mark(2, "green") for _ in range(40)],
    total=900,
    filter={"类别": "街面秩序", "文字": EVIL},
    made_at=datetime(2026, 11, 20, 4, 0, tzinfo=UTC),
    synthetic=True,
    cells=[square(116.64, 40.10, 0.002, code="8a1", value=3), square(116.642, 40.10, 0.002, code="8a2", value=40)],
)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[tuple[Page, list[str], list[str]]]:
    """The map in a browser whose every request is refused but for the file itself; requests and errors as lists."""
    file = tmp_path / "map.html"
    file.write_text(render(SHEET), "utf-8")
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page, asked, wrong = context.new_page(), [], []
    page.set_default_timeout(10_000)
    page.route("**/*", lambda route: route.continue_() if route.request.url == file.as_uri() else route.abort())
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.goto(file.as_uri())
    page.wait_for_selector(".case.red")
    yield page, [url for url in asked if url != file.as_uri()], wrong
    context.close()


def test_it_opens_without_network(opened: tuple[Page, list[str], list[str]]) -> None:
    page, asked, wrong = opened
    assert asked == []
    assert wrong == []
    assert page.locator(".leaflet-marker-icon.case").count() == 4  # the fifth is one of the cluster
    assert page.locator(".leaflet-marker-icon.cluster").inner_text() == "41"
    assert "red" in (page.locator(".leaflet-marker-icon.cluster").get_attribute("class") or "")
    assert page.locator(".village").count() == 2


def test_it_says_what_it_shows(opened: tuple[Page, list[str], list[str]]) -> None:
    page, _, _ = opened
    legend = page.locator("#legend").inner_text()
    assert "上报数" in legend
    assert "合成演示数据" in legend
    assert "仅显示最新 45 件，共 900 件" in legend
    assert "类别：街面秩序" in legend
    assert "2026-11-20 12:00" in legend
    layers = page.locator(".leaflet-control-layers-overlays label").all_inner_texts()
    assert [name.strip() for name in layers] == ["单元网格", "村居", "热力（六边形）", "案件"]
    assert "每个六边形案件数" in legend


def test_heat_is_drawn_when_it_is_switched_on(opened: tuple[Page, list[str], list[str]]) -> None:
    page, asked, wrong = opened
    dark = folium_map.HEATS[2]
    assert page.locator(f'#legend i[style*="{dark}"]').count() == 1

    # Pixels of its own colour, laid over the ground and a village: reddish, with little blue.
    drawn = """() => [...document.querySelectorAll('.leaflet-overlay-pane canvas')].reduce((sum, canvas) => {
      const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      for (let i = 0; i < data.length; i += 4) sum += data[i] > 200 && data[i + 2] < 170 && data[i + 3] > 0;
      return sum;
    }, 0)"""
    assert page.evaluate(drawn) == 0
    page.locator(".leaflet-control-layers-overlays label", has_text="热力").click()
    page.wait_for_function(f"({drawn})() > 500")
    assert (asked, wrong) == ([], [])


def test_a_click_opens_the_case_and_texts_stay_texts(opened: tuple[Page, list[str], list[str]]) -> None:
    page, asked, wrong = opened
    page.locator(".leaflet-marker-icon.case.yellow").click()
    popup = page.locator(".leaflet-popup-content")
    popup.wait_for()
    assert "RH-1" in popup.inner_text()
    assert EVIL in popup.inner_text()
    page.mouse.move(400, 500)
    assert page.evaluate("window.evil") is None
    assert (asked, wrong) == ([], [])
    assert EVIL in page.locator("#legend h1").inner_text()
    assert EVIL in page.locator(".village").first.inner_text()
    assert EVIL in page.title()


def test_english_and_an_empty_town(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content(
        render(
            Sheet(
                title="Empty",
                bbox=SHEET.bbox,
                ground=[],
                villages=[],
                grids=[],
                measure="closed",
                marks=[],
                total=0,
                filter={},
                made_at=SHEET.made_at,
                synthetic=False,
                language="en",
            )
        )
    )
    legend = page.locator("#legend").inner_text()
    assert "Empty · Closed" in legend
    assert "0 cases" in legend
    assert "all cases" in legend
    assert "ynthetic" not in legend
    page.close()


@given(st.lists(st.integers(0, 100_000), max_size=300))
def test_shades_are_few_ordered_and_cover_everything(values: list[int]) -> None:
    edges = folium_map.breaks(values)
    assert edges[0] == 0
    assert edges == sorted(set(edges))
    assert len(edges) < len(folium_map.SHADES)
    if max(values, default=0) > 0:
        assert edges[-1] < max(values)
