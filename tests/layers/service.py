"""A running service for the browser tests, and how to speak to it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
from playwright.sync_api import Page

from api import servers
from gis.settings import ROOT

PASSWORD = "wangge-demo-2026"
CHROMIUM = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
AXE = ROOT / "layers" / "web" / "node_modules" / "axe-core" / "axe.min.js"
_STILL = """() => Promise.allSettled(document.getAnimations()
  .filter(one => one.playState === "running" && one.effect.getComputedTiming().endTime !== Infinity)
  .map(one => one.finished))"""


@dataclass
class Town:
    """The running service and how to speak to it."""

    port: int
    environment: dict[str, str]
    log: Path
    tokens: dict[str, str] = field(default_factory=dict)
    processes: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the API and the relay, which rolls up statistics; wait until they are ready."""
        api = ["uvicorn", "api.main:app", "--port", str(self.port), "--no-access-log"]
        with self.log.open("ab") as log:
            self.processes = [
                subprocess.Popen(
                    [sys.executable, "-m", *command], env=self.environment, stdout=log, stderr=log, cwd=ROOT
                )
                for command in (api, ["api.relay"])
            ]
        end = time.monotonic() + 240
        while time.monotonic() < end and self.processes[0].poll() is None:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        raise RuntimeError(f"the API does not start: {self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        """End the service as a power cut would."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait(timeout=20)

    def ask(self, who: str, method: str, path: str, body: Any = None) -> Any:
        """One request of a signed-in person; its JSON."""
        if who not in self.tokens:
            login = {"username": who, "password": PASSWORD}
            answer = httpx.post(f"{self.url}/api/login", json=login, timeout=30, trust_env=False)
            assert answer.status_code == 200, answer.text
            self.tokens[who] = answer.json()["token"]
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        answer = httpx.request(method, self.url + path, json=body, headers=headers, timeout=30, trust_env=False)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def report(self, component: dict[str, Any], description: str) -> dict[str, Any]:
        """A report on a component."""
        body = {
            "catalogue": component["catalogue"],
            "category_kind": "component",
            "category_code": component["category_code"],
            "component_code": component["code"],
            "lon": component["lon"],
            "lat": component["lat"],
            "description": description,
        }
        return self.ask("leader", "POST", "/api/cases", body)

    def total(self, query: str) -> int:
        """How many cases a filter holds, by the list itself, page by page."""
        found, cursor = 0, ""
        while cursor is not None:
            page = self.ask("leader", "GET", f"/api/cases?{query}&limit=100" + (f"&cursor={cursor}" if cursor else ""))
            found, cursor = found + len(page["items"]), page["next"]
        return found


Service = TypeVar("Service", bound=Town)


@contextmanager
def started(cluster: Any, home: Path, kind: type[Service] = Town) -> Iterator[Service]:  # type: ignore[assignment]
    """The service over a database of its own, ended with the block."""
    assert (ROOT / "layers/web/dist/wall.html").is_file(), "build the pages first: make setup"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with cluster.clone() as name:
        environment = os.environ | {
            "WANGGE_DATABASE_URL": cluster.url(name, servers.SERVICE),
            "WANGGE_DEMO": "1",
            "WANGGE_HOME": str(home),
        }
        running = kind(port, environment, home / "api.log")
        try:
            running.start()
            yield running
        finally:
            running.kill()


def axe_faults(page: Page) -> list[tuple[str, list[str]]]:
    """What axe-core finds wrong with the page as it stands."""
    # What fades in is judged when it is there: half-way its colours are nobody's choice.
    page.evaluate(_STILL)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run()).violations")
    return [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in found]
