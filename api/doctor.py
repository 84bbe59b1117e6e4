"""`wangge doctor`: what this machine and installation have and lack, on one page. Starts nothing."""

import getpass
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import httpx
from rich.console import Console
from rich.markup import escape

from api import servers
from api.servers import Trouble
from api.up import Home, address, port_free
from gis import backlog, db, events, inventory, schema, stuck_timers
from gis.errors import Problem
from gis.settings import ROOT, settings

LONG_LAG = timedelta(seconds=30)
Answer = TypeVar("Answer")


class Missing(Exception):
    """Something is not there; the message says what to do. Not every lack stops the service."""

    def __init__(self, advice: str, *, needed: bool = True) -> None:
        self.needed = needed
        super().__init__(advice)


def _python() -> str:
    return f"{platform.python_version()} in {sys.prefix}"


def _node() -> str:
    found = shutil.which("node", path=f"{ROOT}/.venv/bin:/usr/local/bin:/usr/bin:/bin")
    if not found:
        raise Missing("only for building the front-end: `make setup` brings it", needed=False)
    return subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def _postgres() -> str:
    binaries = servers.postgres_binaries()
    said = subprocess.run([str(binaries / "postgres"), "--version"], capture_output=True, text=True, check=True).stdout
    return f"{said.split()[2]} with PostGIS in {binaries}"


def _redis() -> str:
    return str(servers.redis_binary())


def _chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        raise Missing("only for the browser tests: apt install chromium (Ubuntu has it as a snap alone)", needed=False)
    return found


def _fonts() -> str:
    if not shutil.which("fc-list"):
        raise Missing("only for the browser tests: apt install fonts-noto-cjk", needed=False)
    found = subprocess.run(["fc-list", ":lang=zh-cn", "family"], capture_output=True, text=True, check=True).stdout
    if not found.strip():
        raise Missing("Chinese text would show as boxes on this machine: apt install fonts-noto-cjk", needed=False)
    return f"{len(set(found.splitlines()))} families, such as {found.splitlines()[0].split(',')[0]}"


def _front_end() -> str:
    pages = sorted((ROOT / "layers" / "web" / "dist").glob("*.html"))
    if not pages:
        raise Missing("the pages are not built: `make front`")
    return ", ".join(page.name for page in pages)


def _home() -> str:
    home = settings().home
    home.mkdir(parents=True, exist_ok=True)
    place, name = servers.place(home), servers.account()
    where = str(home) if place == home.resolve() else f"{home}, the servers' files in {place}"
    # The service itself keeps our account: the checkout may lie where the other cannot look.
    return f"{where}; servers run as {name or 'you'}, the service as {getpass.getuser()}"


def _disk() -> str:
    folder = next(each for each in (settings().home, *settings().home.parents) if each.exists())
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < 5:
        raise Missing(f"{free_gb:.1f} GB free; the town and its logs want 5 GB")
    return f"{free_gb:.0f} GB free"


def _port() -> str:
    here = settings()
    try:
        answer = httpx.get(f"{address()}/healthz", timeout=2, trust_env=False)
    except httpx.TransportError:
        if port_free(here.host, here.port):
            return f"{here.port} is free"
        raise Missing(f"{here.port} is taken by another program: free it or set WANGGE_PORT") from None
    return f"{here.port} answers {answer.status_code}"


def _owner_url() -> str:
    here = settings()
    url = here.owner_database_url or here.database_url
    if url:
        return url
    server = Home(here.home).postgres()
    if not server.running():
        raise Missing("the private server is not running; `wangge up` starts it", needed=False)
    return server.url(servers.OWNER)


def _database() -> str:
    url = _owner_url()
    if not schema.answers(url):
        raise Missing("the database does not answer: check WANGGE_DATABASE_URL")
    at, head = schema.current_revision(url), schema.head_revision()
    if at != head:
        raise Missing(f"schema {at or 'none'}, the code wants {head}: `wangge migrate`")
    return f"{schema.exercise(url)}, schema {at}; {without_password(url)}"


def without_password(url: str) -> str:
    """A database's address as it may be shown."""
    hidden = re.sub(r"(//[^:/@]*):[^/]*@", r"\1:***@", url)
    return re.sub(r"([?&]password=)[^&]*", r"\1***", hidden)


def _asked(question: Callable[[db.Connection], Answer]) -> Answer:
    url = _owner_url()
    if schema.current_revision(url) is None:
        raise Missing("no schema yet: `wangge migrate`")
    engine = db.make_engine(url, pool_size=1)
    try:
        with db.transaction(engine) as tx:
            return question(tx)
    finally:
        engine.dispose()


def _feed() -> str:
    behind, lag = _asked(backlog.held_back)
    if lag > LONG_LAG:
        seconds = f"{lag.total_seconds():.0f} s"
        raise Missing(f"a writing transaction has held back {behind} events for {seconds}: an import?", needed=False)
    return f"{behind} events held back, for {lag.total_seconds():.1f} s"


def _deliveries() -> str:
    found = _asked(events.backlog)
    words = ", ".join(f"{name}: {each['waiting']} waiting, {each['dead']} dead" for name, each in found.items())
    if any(each["dead"] for each in found.values()):
        raise Missing(f"{words}; GET /api/jobs says why, POST /api/jobs/replay tries again", needed=False)
    return words


def _deadlines() -> str:
    stuck = _asked(stuck_timers.count)
    if stuck:
        raise Missing(f"{stuck} cases whose limit or timer could not act; GET /api/jobs says why", needed=False)
    return "none stuck"


def _town() -> str:
    found = _asked(inventory.take)
    if found.town is None:
        raise Missing("no town: `wangge up --demo`, `wangge town load` or `wangge town init`")
    return f"{found.town}: " + ", ".join(f"{name} {count:,}" for name, count in found.rows.items())


def _definitions() -> str:
    found = _asked(inventory.take).definitions
    if not found:
        raise Missing("none published: they come with the town")
    return ", ".join(f"{kind} {count}" for kind, count in found.items())


_CHECKS: dict[str, Callable[[], str]] = {
    "Python": _python,
    "Node.js": _node,
    "PostgreSQL": _postgres,
    "Redis": _redis,
    "Chromium": _chromium,
    "Chinese fonts": _fonts,
    "Front-end": _front_end,
    "Home": _home,
    "Disk": _disk,
    "Port": _port,
    "Database": _database,
    "Town": _town,
    "Definitions": _definitions,
    "Feed": _feed,
    "Deliveries": _deliveries,
    "Deadlines": _deadlines,
}


def examine(console: Console) -> bool:
    """Print the page; True when nothing that is needed is missing."""
    well = True
    for name, check in _CHECKS.items():
        try:
            colour, state, words = "green", "ok", check()
        except Missing as lack:
            colour, state, words = ("red", "missing", str(lack)) if lack.needed else ("yellow", "without", str(lack))
        except (Trouble, Problem, OSError, subprocess.SubprocessError) as trouble:
            colour, state, words = "red", "missing", str(trouble)
        console.print(f"[{colour}]{state:8}[/] {name:14} {escape(words)}")
        well = well and state != "missing"
    return well
