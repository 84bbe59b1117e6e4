"""Whether a wall can hang for a week: a real wall in Chromium, rotating, under events that come far faster than life.

``python -m tests.bench.wall_soak --minutes 25`` prints a line each time the rotation comes round to the overview, after
two garbage collections: like is held against like. It fails when what the page holds grows. A town of 300 cases a day
has some 20,000 events a week; here thousands come in minutes.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from tests.conftest import started_cluster
from tests.layers.service import CHROMIUM, PASSWORD, Town, started

# Timers that are waiting: one that is set and never cleared nor run stays in the count.
TIMERS = """(() => {
  const waiting = new Set(); window.soakTimers = () => waiting.size
  const [set, clear, every, never] = [setTimeout, clearTimeout, setInterval, clearInterval]
  window.setTimeout = (run, ms, ...rest) => {
    const id = set((...given) => { waiting.delete(id); typeof run === 'function' && run(...given) }, ms, ...rest)
    waiting.add(id); return id
  }
  window.clearTimeout = (id) => { waiting.delete(id); clear(id) }
  window.setInterval = (...given) => { const id = every(...given); waiting.add(id); return id }
  window.clearInterval = (id) => { waiting.delete(id); never(id) }
})()"""


#: The scene that is measured, and one that is not: between them lies a whole round.
AT, AWAY = (
    f"() => document.querySelector('[data-scene=overview]')?.ariaCurrent {sign} 'true'" for sign in ("===", "!==")
)
USUAL = {"heap_mb": 12, "nodes": 800, "listeners": 150, "timers": 30}


@dataclass(frozen=True)
class Held:
    """What a page holds after garbage collection."""

    heap_mb: float
    nodes: int
    listeners: int
    timers: int

    def __str__(self) -> str:
        return f"{self.heap_mb:7.2f} MB {self.nodes:6d} nodes {self.listeners:5d} listeners {self.timers:3d} timers"


def come_round(page: Page) -> None:
    """Until the rotation is at the overview anew and its map is drawn."""
    for state in (AWAY, AT):
        page.wait_for_function(state, timeout=600_000)
    page.wait_for_timeout(2_000)


def held(page: Page, session: CDPSession) -> Held:
    """Measured through the browser's own debugger."""
    for _ in range(2):
        session.send("HeapProfiler.collectGarbage")
    heap = session.send("Runtime.getHeapUsage")["usedSize"] / 2**20
    counted = session.send("Memory.getDOMCounters")
    return Held(heap, counted["nodes"], counted["jsEventListeners"], page.evaluate("() => window.soakTimers()"))


@contextmanager
def watched(browser: Browser, town: Town, query: str, patience_ms: float = 60_000) -> Iterator[tuple[Page, CDPSession]]:
    """A wall of the leader's whose timers are counted."""
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    context.request.post(f"{town.url}/api/login", data={"username": "leader", "password": PASSWORD})
    page = context.new_page()
    page.add_init_script(TIMERS)
    page.goto(f"{town.url}/wall{query}")
    page.wait_for_function("() => window.wanggeMap?.loaded()", timeout=patience_ms)
    try:
        yield page, context.new_cdp_session(page)
    finally:
        context.close()


class BusyTown(Town):
    """The service as it is spoken to without a new connection each time."""

    @cached_property
    def client(self) -> httpx.Client:
        """Kept open."""
        # The browser takes the machine: an answer may be long in coming, and the soak goes on when it has.
        return httpx.Client(base_url=self.url, timeout=600, trust_env=False)

    def ask(self, who: str, method: str, path: str, body: Any = None) -> Any:
        """One request of a signed-in person; its JSON."""
        if who not in self.tokens:
            super().ask(who, "GET", "/api/me")
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        return self.client.request(method, path, json=body, headers=headers).raise_for_status().json()


class Life(threading.Thread):
    """Cases reported and accepted, or voided, one after another, until told to stop."""

    def __init__(self, town: Town, components: Sequence[dict[str, Any]], pause_s: float) -> None:
        super().__init__(daemon=True)
        self.town, self.components, self.pause_s = town, components, pause_s
        self.events = 0
        self.ended = threading.Event()

    def run(self) -> None:
        """One round after another."""
        while not self.ended.wait(self.pause_s):
            live_one_round(self.town, self.components[self.events % len(self.components)], self.events)
            self.events += 2


def live_one_round(town: Town, component: dict[str, Any], number: int) -> None:
    """A report and what becomes of it: two events."""
    made = town.report(component, f"第{number}件")
    if number % 4:
        town.ask("acceptor1", "POST", f"/api/cases/{made['id']}/actions", {"action": "accept", "payload": {}})
    else:
        void = {"action": "void", "payload": {"reason": "重复上报"}}
        town.ask("shiftleader1", "POST", f"/api/cases/{made['id']}/actions", void)


def growth(samples: Sequence[Held]) -> dict[str, float]:
    """By how much the last third's least is above the middle third's, as a share: what a leak cannot hide from.

    Of small numbers a share says nothing: each is taken of a number usual for a wall at least.
    """
    third = len(samples) // 3
    middle, last = samples[third : 2 * third], samples[-third:]
    return {
        name: (min(getattr(s, name) for s in last) - least) / max(usual, least)
        for name, usual in USUAL.items()
        for least in [min(getattr(s, name) for s in middle)]
    }


def main() -> int:
    """Soak, print, judge."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--minutes", type=float, default=25)
    asked.add_argument("--pause", type=float, default=0.02, help="seconds between two rounds of events")
    given = asked.parse_args()
    samples: list[Held] = []
    with (
        tempfile.TemporaryDirectory(prefix="wangge-soak-") as home,
        started_cluster() as cluster,
        started(cluster, Path(home), BusyTown) as town,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        components = town.ask("leader", "GET", "/api/components?limit=500")["items"]
        lives = [Life(town, components[k:] + components[:k], given.pause) for k in (0, 100, 200)]
        with watched(browser, town, "?rotate=5", 600_000) as (page, session):
            for life in lives:
                life.start()
            end = time.monotonic() + given.minutes * 60
            while time.monotonic() < end:
                come_round(page)
                samples.append(held(page, session))
                minutes = given.minutes - (end - time.monotonic()) / 60
                events = sum(life.events for life in lives)
                sys.stdout.write(f"{minutes:5.1f} min {events:6d} events {samples[-1]}\n")
                sys.stdout.flush()
            for life in lives:
                life.ended.set()
            for life in lives:
                life.join()
        browser.close()
    grown = growth(samples)
    told = ", ".join(f"{name} {share:+.1%}" for name, share in grown.items())
    sys.stdout.write(f"growth from the middle third to the last: {told}\n")
    return 1 if max(grown.values()) > 0.10 else 0


if __name__ == "__main__":
    sys.exit(main())
