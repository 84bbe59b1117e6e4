"""`wangge up`: starts the private servers and the service's processes, watches them, and stops them in order.

Knows processes and their order; knows nothing of what they do.
"""

import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import httpx
import psutil
from rich.console import Console

from api import servers
from api.demo import load_demo_town
from api.servers import Trouble
from api.simulate_past import begin_past, complete_past
from gis import db, rulebook, schema
from gis.settings import DEMO_SECRET, ROOT, Settings, settings

MARK = "WANGGE_RUN"  # in the environment of every process we start, so that a later run finds forgotten ones


class Stop(BaseException):
    """Ctrl-C, SIGTERM or a closed terminal."""


@dataclass
class Child:
    """One of our processes, started again when it dies."""

    name: str
    command: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    again_at: float = field(default=0.0)

    def start(self) -> None:
        """Start it; its output goes to its log."""
        self.started = time.monotonic()
        self.again_at = 0.0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig=TERM", "--", *self.command],
                cwd=ROOT,
                env={name: value for name, value in os.environ.items() if name != "WANGGE_OWNER_DATABASE_URL"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def look(self, console: Console) -> None:
        """Start it again when it has died, later each time it dies quickly."""
        if self.process is None or self.process.poll() is None:
            return
        now = time.monotonic()
        if not self.again_at:
            self.failures = 1 if now - self.started > 60 else self.failures + 1
            wait = min(2 ** (self.failures - 1), 30)
            self.again_at = now + wait
            console.print(f"[yellow]{self.name} ended ({self.last_words()}); again in {wait} s[/]")
        elif now >= self.again_at:
            self.start()

    def last_words(self) -> str:
        """Its exit code and the last line of its log."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        code = None if self.process is None else self.process.returncode
        return f"code {code}: {lines[-1] if lines else 'it said nothing'}"

    def stop(self) -> None:
        """Ask it to end, wait, and kill what is left of its group."""
        if self.process is None or self.process.poll() is not None:
            return
        try:
            head = psutil.Process(self.process.pid)
            family = head.children(recursive=True)
        except psutil.NoSuchProcess:
            return
        servers.end([head], signal.SIGTERM, patience=10)
        servers.end(family, signal.SIGTERM, patience=2)
        self.process.wait()


class Home:
    """The folder of one installation's servers, logs and files, and the lock that makes one `up` of it at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.resolve()
        self.logs = self.folder / "logs"
        self.logs.mkdir(exist_ok=True)
        self.lock_file = self.folder / "up.lock"

    def holder(self) -> int | None:
        """The process that holds the lock, or None."""
        if not self.lock_file.exists():
            return None
        with self.lock_file.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0)
        return None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock; it goes with the process however that ends. Raises Trouble when another holds it."""
        with self.lock_file.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Trouble(f"Already running as process {self.holder()}; `wangge stop` ends it") from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def token(self) -> str:
        """A word that marks this installation's processes; made once."""
        return self._kept("token")

    def secret(self) -> str:
        """This installation's own key, used with its private database when WANGGE_SECRET is not set; made once."""
        return self._kept("secret")

    def _kept(self, name: str) -> str:
        path = self.folder / name
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(32))
        return path.read_text()

    def end_forgotten(self) -> None:
        """End processes a killed run left behind."""
        mark = self.token()
        forgotten = []
        for process in psutil.process_iter():
            try:
                if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                    forgotten.append(process)
            except psutil.Error:
                continue
        servers.end(forgotten, signal.SIGTERM, patience=5)

    def postgres(self) -> servers.Postgres:
        """The private PostgreSQL."""
        return servers.Postgres(servers.place(self.folder) / "postgres", self.logs / "postgres.log")

    def redis(self) -> servers.Redis:
        """The private Redis."""
        return servers.Redis(servers.place(self.folder) / "redis", self.logs / "redis.log")


def port_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


@contextmanager
def _stoppable() -> Iterator[None]:
    """Turn the first stop signal into Stop; later ones are ignored while we are stopping."""

    def stop(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise Stop

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def database(console: Console) -> Iterator[Settings]:
    """Settings with a database that answers, for one command: the named one, a running `up`'s, or a private one
    started for as long as the command runs."""
    with ExitStack() as stack:
        if not settings().database_url:
            home = Home(settings().home)
            server = home.postgres()
            if home.holder() is None:
                stack.enter_context(home.locked())
                console.print("PostgreSQL …", style="dim")
                stack.callback(server.stop)
                server.start()
                _prepare(server)
            _use(home, {"WANGGE_DATABASE_URL": server.url(), "WANGGE_OWNER_DATABASE_URL": server.url(servers.OWNER)})
        yield settings()


def _use(home: Home, environment: dict[str, str]) -> None:
    """Point this process, and those it starts, at the private servers."""
    # In the demo too: a command run beside it without WANGGE_DEMO must use the same key.
    if settings().secret == DEMO_SECRET and not settings().database_url:
        environment["WANGGE_SECRET"] = home.secret()
    environment["WANGGE_HOME"] = str(home.folder)  # absolute: processes we start work in another folder
    os.environ.update(environment)
    settings.cache_clear()


def _prepare(server: servers.Postgres) -> None:
    schema.prepare(server.url(servers.OWNER, "postgres"), servers.DATABASE, servers.SERVICE)
    migrate(server.url(servers.OWNER), server.url())


def migrate(owner_url: str, url: str) -> None:
    """Bring the schema up to date and give the service's role its rights."""
    schema.migrate(owner_url)
    role = schema.role_of(url)
    if role and role != schema.role_of(owner_url):
        schema.grant_service_role(owner_url, role)
    schema.exercise(url)


def up(console: Console) -> None:
    """Run everything until stopped. Raises Trouble when the machine lacks something."""
    try:
        with _stoppable():
            _run(Home(settings().home), console)
    except Stop:
        console.print("stopped")


def _run(home: Home, console: Console) -> None:
    with home.locked(), ExitStack() as stack:
        home.end_forgotten()
        if not port_free(settings().host, settings().port):
            raise Trouble(f"Port {settings().port} of {settings().host} is taken; free it or set WANGGE_PORT")
        os.environ[MARK] = home.token()
        private = _start_servers(home, stack, console)
        _have_town(console)
        # The pages first: what works behind them takes as long again to start.
        children = [_start_child(home, stack, "api", n) for n in range(1, settings().web_workers + 1)]
        _await_ready(children[0], console)
        behind = ("worker", "relay", *(["simulator"] if settings().demo else []))
        children += [_start_child(home, stack, name) for name in behind]
        _say_where(console)
        while True:
            time.sleep(0.5)
            for child in children:
                child.look(console)
            for server in private:
                if not server.alive():
                    console.print(f"[yellow]{server.failure('ended')}; starting it again[/]")
                    server.start()
            for log in (each.log for each in (*private, *children)):
                servers.keep_short(log)


def _start_servers(home: Home, stack: ExitStack, console: Console) -> list[servers.Postgres | servers.Redis]:
    """PostgreSQL and Redis, unless others are named; and the schema in the former."""
    private: list[servers.Postgres | servers.Redis] = []
    environment = {}
    if settings().database_url:
        migrate(settings().owner_database_url or settings().database_url, settings().database_url)
    else:
        postgres = home.postgres()
        stack.callback(postgres.stop)
        console.print("PostgreSQL …", style="dim")
        postgres.start()
        _prepare(postgres)
        private.append(postgres)
        environment["WANGGE_DATABASE_URL"] = postgres.url()
        environment["WANGGE_OWNER_DATABASE_URL"] = postgres.url(servers.OWNER)
    if not settings().redis_url:
        redis = home.redis()
        stack.callback(redis.stop)
        redis.start()
        private.append(redis)
        environment["WANGGE_REDIS_URL"] = redis.url()
    _use(home, environment)
    return private


def _have_town(console: Console) -> None:
    """The town that is there, or else the demo's; definition files that changed are published."""
    here = settings()
    with db.transaction() as tx:
        there = schema.readiness(tx)["town"]
        if there:
            rulebook.load_files(tx, here.data_dir)
    if there:
        if here.demo:
            complete_past(console)  # one that was broken off; a town that never had one gets none
        return
    if not here.demo:
        raise Trouble("There is no town yet: `wangge town init`, `wangge town load`, or `wangge up --demo`")
    begin_past(number=1500)  # before the town: whatever stops us from here on, the next start completes it
    load_demo_town(here, console)
    complete_past(console)


def _start_child(home: Home, stack: ExitStack, name: str, number: int = 1) -> Child:
    """One of the service's processes, with a log of its own; the log of the run before is kept beside it."""
    modules = {"api": "api.serve", "worker": "api.jobs", "relay": "api.relay", "simulator": "api.simulate"}
    title = name if number == 1 else f"{name}-{number}"
    log = home.logs / f"{title}.log"
    if log.exists():
        log.replace(log.with_suffix(".previous.log"))
    child = Child(title, [sys.executable, "-m", modules[name]], log)
    stack.callback(child.stop)
    child.start()
    return child


def address() -> str:
    """Where a browser on this machine reaches the service."""
    host = settings().host
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{settings().port}"


def _await_ready(api: Child, console: Console, patience: float = 180.0) -> None:
    end = time.monotonic() + patience
    with console.status("waiting for the API"):
        while True:
            try:
                if httpx.get(f"{address()}/readyz", timeout=5, trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                pass  # it does not listen yet
            time.sleep(0.2)
            api.look(console)
            if api.failures > 3 or time.monotonic() > end:
                raise Trouble(f"The API does not start: {api.last_words()} (log: {api.log})")


def _say_where(console: Console) -> None:
    console.print(f"[bold green]Wangge is up[/]  wall {address()}/wall   phone {address()}/m   API {address()}/docs")
    if settings().demo:
        console.print(
            "synthetic demo town; logins admin, leader, acceptor1, dispatcher1, inspector001 …"
            " password wangge-demo-2026"
        )
    console.print("Ctrl-C stops everything.")


def stop(console: Console) -> None:
    """Stop what runs here, or what a killed run left running."""
    home = Home(settings().home)
    holder = home.holder()
    if holder:
        process = psutil.Process(holder)
        servers.signal_to(process, signal.SIGTERM)
        psutil.wait_procs([process], timeout=60)
    home.end_forgotten()
    home.redis().stop()
    home.postgres().stop()
    console.print("stopped")
