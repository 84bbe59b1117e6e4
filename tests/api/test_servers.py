"""Private servers: they start after any kind of end, in any folder, beside any other server."""

import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest
import redis
from rich.console import Console

from api import doctor, serve, servers, up
from gis import schema

QUICK = {"fsync": "off", "shared_buffers": "32MB"}


@contextmanager
def folder() -> Iterator[Path]:
    """A short folder the servers' account can reach."""
    made = Path(subprocess.run(["mktemp", "-d", "/tmp/wangge-srv-XXXX"], capture_output=True, text=True).stdout.strip())
    made.chmod(0o755)
    try:
        yield made
    finally:
        servers.Postgres(made / "postgres").stop()
        servers.Redis(made / "redis").stop()
        subprocess.run(["rm", "-rf", str(made)], check=True)


@pytest.fixture
def home() -> Iterator[Path]:
    with folder() as made:
        yield made


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something holds; fails when it does not in time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


def family(server: servers.Postgres | servers.Redis) -> list[psutil.Process]:
    assert server.process is not None
    head = psutil.Process(server.process.pid)
    return [head, *head.children(recursive=True)]


def write(server: servers.Postgres, statement: str) -> None:
    engine = schema.make_engine(server.url(servers.OWNER, "postgres"), pool_size=1)
    with engine.begin() as tx:
        tx.exec_driver_sql(statement)
    engine.dispose()


def read(server: servers.Postgres, statement: str) -> object:
    engine = schema.make_engine(server.url(servers.OWNER, "postgres"), pool_size=1)
    with engine.begin() as tx:
        answer = tx.exec_driver_sql(statement).scalar()
    engine.dispose()
    return answer


def test_postgres_starts_again_after_everything_was_killed(home: Path) -> None:
    server = servers.Postgres(home / "postgres", settings={"shared_buffers": "32MB"})
    server.start()
    write(server, "create table kept (x int); insert into kept values (7)")
    for process in family(server):
        servers.signal_to(process, signal.SIGKILL)
    assert server.process is not None
    server.process.wait()
    pid_file = home / "postgres" / "data" / "postmaster.pid"
    assert pid_file.exists(), "a killed server leaves its lock"
    # The worst case: the number in the lock is by now a living process of the same account.
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")

    again = servers.Postgres(home / "postgres", settings=QUICK)
    again.start()
    assert read(again, "select x from kept") == 7
    again.stop()
    assert not again.running()


def test_an_orphan_is_stopped_by_the_next_start(home: Path) -> None:
    forgotten = servers.Postgres(home / "postgres", settings=QUICK)
    forgotten.start()
    write(forgotten, "create table kept (x int)")
    assert forgotten.process is not None
    before = forgotten.process.pid

    # As after a kill -9 of whoever started it, had the signal that ends it with its parent been lost too.
    next_run = servers.Postgres(home / "postgres", settings=QUICK)
    assert next_run.running()
    next_run.start()
    forgotten.process.wait(timeout=20)
    assert next_run.process is not None
    assert next_run.process.pid != before
    assert read(next_run, "select count(*) from kept") == 0
    next_run.stop()


def test_backends_left_by_a_killed_postmaster_do_not_block(home: Path) -> None:
    server = servers.Postgres(home / "postgres", settings=QUICK)
    server.start()
    head, *rest = family(server)
    assert rest
    for process in rest:
        servers.signal_to(process, signal.SIGSTOP)  # so that they cannot notice
    servers.signal_to(head, signal.SIGKILL)
    assert server.process is not None
    server.process.wait()
    server.start()
    assert read(server, "select 1") == 1
    assert not [process for process in rest if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    server.stop()


def test_both_listen_on_no_port_and_beside_each_other(home: Path) -> None:
    with folder() as other:
        started: list[servers.Postgres | servers.Redis] = []
        for place in (home, other):
            started += [servers.Postgres(place / "postgres", settings=QUICK), servers.Redis(place / "redis")]
        for server in started:
            server.start()
            assert server.process is not None
            sockets = psutil.Process(server.process.pid).net_connections("inet")
            assert [each for each in sockets if each.status == psutil.CONN_LISTEN] == []
        assert len({server.url() for server in started}) == 4
        for server in started:
            assert server.answers()
            server.stop()
            assert not server.answers()


def test_redis_starts_again_after_kill_and_keeps_nothing(home: Path) -> None:
    server = servers.Redis(home / "redis")
    server.start()
    with redis.Redis.from_url(server.url()) as client:
        client.set("a", "b")
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    server.start()
    with redis.Redis.from_url(server.url()) as client:
        assert client.get("a") is None
    server.stop()


def test_a_deep_folder_gets_a_short_socket_address(home: Path) -> None:
    deep = home.joinpath(*["a-rather-long-name-of-a-folder"] * 4)
    deep.mkdir(parents=True)
    for each in (deep, *deep.parents[:3]):
        each.chmod(0o755)
    server = servers.Redis(deep / "redis")
    server.start()
    assert server.sockets.parent == Path("/tmp")
    assert len(os.fsencode(server.sockets / server.socket_name)) <= 107
    assert server.answers()
    server.stop()
    server.sockets.rmdir()


def test_a_half_made_database_is_made_anew(home: Path) -> None:
    server = servers.Postgres(home / "postgres", settings=QUICK)
    half = home / "postgres" / "data.unfinished" / "base"
    half.mkdir(parents=True)
    server.start()
    assert server.answers()
    assert not half.exists()
    server.stop()


def test_the_log_is_kept_over_starts_and_kept_short(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = servers.Redis(home / "redis")
    for _ in range(2):
        server.start()
        server.stop()
    assert server.log.read_text().count("Redis is starting") == 2

    monkeypatch.setattr(servers, "_LOG_BYTES", 10)
    with server.log.open("ab") as writer:
        for words in (b"first and long\n", b"second and long\n", b"third and long\n"):
            os.truncate(server.log, 0)
            writer.write(words)
            writer.flush()
            servers.keep_short(server.log)
            servers.keep_short(server.log)
        writer.write(b"short\n")
        writer.flush()
        servers.keep_short(server.log)
    found = {path.name: path.read_text() for path in server.log.parent.glob("log*")}
    assert found == {"log": "short\n", "log.1": "third and long\n", "log.2": "second and long\n"}


def test_a_server_that_said_nothing_is_not_given_the_words_of_the_last_run(home: Path) -> None:
    server = servers.Redis(home / "redis")
    server.start()
    server.stop()
    said = server.log.read_text()
    server.start()
    server._said_from = len(server.log.read_bytes())
    assert "it said nothing" in str(server.failure("ended"))
    server.stop()
    assert len(server.log.read_text()) > len(said)


def test_waiting_for_the_service_never_spins(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([503, 404, None, 200])
    slept: list[float] = []

    def get(url: str, **_: object) -> httpx.Response:
        status = next(answers)
        if status is None:
            raise httpx.ConnectError("nobody there")
        return httpx.Response(status)

    class Living:
        failures = 0

        def look(self, console: object) -> None:
            return

    monkeypatch.setattr(up.httpx, "get", get)
    monkeypatch.setattr(up.time, "sleep", slept.append)
    up._await_ready(Living(), Console(quiet=True))
    assert len(slept) == 3


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:s3cr:et@db.example/wangge", "postgresql://me:***@db.example/wangge"),
        ("postgresql://me@/wangge?host=/run&password=s3cret&x=1", "postgresql://me@/wangge?host=/run&password=***&x=1"),
        ("postgresql://me@db.example:5432/wangge", "postgresql://me@db.example:5432/wangge"),
    ],
)
def test_the_doctor_shows_no_password(url: str, shown: str) -> None:
    assert doctor.without_password(url) == shown


def test_a_server_that_cannot_start_says_why_in_one_line(home: Path) -> None:
    server = servers.Postgres(home / "postgres", settings={"shared_buffers": "nonsense"})
    with pytest.raises(servers.Trouble, match=r"shared_buffers.*log: "):
        server.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives the servers another account")
def test_as_root_servers_run_unprivileged_where_their_account_can_go(home: Path) -> None:
    server = servers.Postgres(servers.place(home) / "postgres", settings=QUICK)
    server.start()
    users = set()
    for process in family(server):
        with suppress(psutil.NoSuchProcess):  # a worker of the database may end while it is looked at
            users.add(process.username())
    assert users == {servers.account()}
    assert pwd.getpwnam(users.pop()).pw_uid != 0
    server.stop()

    closed = home / "closed"
    closed.mkdir(mode=0o700)
    elsewhere = servers.place(closed / ".wangge")
    assert elsewhere.is_relative_to("/var/lib/wangge")
    assert (elsewhere / "belongs-to").read_text().strip() == str(closed / ".wangge")
    subprocess.run(["rm", "-r", str(elsewhere)], check=True)


def test_children_end_with_a_killed_supervisor(home: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from api import servers\n"
        "server = servers.Redis(Path(sys.argv[1])); server.start(); print(server.process.pid, flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(home / "redis")], stdout=subprocess.PIPE, text=True, cwd=up.ROOT
    ) as supervisor:
        assert supervisor.stdout is not None
        child = psutil.Process(int(supervisor.stdout.readline()))
        supervisor.kill()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_only_one_up_at_a_time_and_a_lock_left_behind_is_free(home: Path) -> None:
    first, second = up.Home(home / "h"), up.Home(home / "h")
    assert second.holder() is None
    with first.locked():
        assert second.holder() == os.getpid()
        with pytest.raises(servers.Trouble, match=f"process {os.getpid()}"), second.locked():
            pass
    assert second.holder() is None
    with second.locked():
        assert first.holder() == os.getpid()


def test_forgotten_processes_are_found_by_their_mark(home: Path) -> None:
    ours, others = up.Home(home / "ours"), up.Home(home / "others")
    marked = [subprocess.Popen(["sleep", "600"], env={**os.environ, up.MARK: each.token()}) for each in (ours, others)]
    ours.end_forgotten()
    marked[0].wait(timeout=10)
    assert marked[1].poll() is None
    others.end_forgotten()
    marked[1].wait(timeout=10)


def test_processes_of_the_service_share_a_port_with_no_other() -> None:
    first = serve.listener("127.0.0.1", 0)
    port = first.getsockname()[1]
    with first, serve.listener("127.0.0.1", port) as second:
        assert second.getsockname() == first.getsockname()
        second.listen()
        assert not up.port_free("127.0.0.1", port)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))


def test_a_busy_port_is_noticed() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert not up.port_free("127.0.0.1", port)
    assert up.port_free("127.0.0.1", port)


def test_the_whole_service_survives_kill_9_and_stops_cleanly(home: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    unset = {"WANGGE_DATABASE_URL", "WANGGE_OWNER_DATABASE_URL", "WANGGE_REDIS_URL", "WANGGE_DEMO"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"WANGGE_HOME": str(home / "wangge"), "WANGGE_PORT": str(port), "WANGGE_WEB_WORKERS": "2"}
    wangge = str(Path(sys.executable).parent / "wangge")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([wangge, *words], env=environment, capture_output=True, text=True)

    def ready() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def ours() -> list[psutil.Process]:
        found = [each for each in psutil.process_iter(["cmdline"]) if str(home) in " ".join(each.info["cmdline"] or [])]
        return found + _marked(up.Home(home / "wangge").token())

    def serving() -> list[psutil.Process]:
        found = []
        for each in ours():
            with suppress(psutil.Error):  # it may end meanwhile
                found += [each] if "api.serve" in each.cmdline() else []
        return found

    refused = run("up")
    assert refused.returncode == 1
    assert "There is no town yet" in refused.stderr
    loaded = run("town", "load", "--small")
    assert loaded.returncode == 0, loaded.stderr
    assert ours() == []

    with (home / "said").open("w") as said:
        for ended_by in (signal.SIGKILL, signal.SIGINT):
            supervisor = subprocess.Popen([wangge, "up"], env=environment, stdout=said, stderr=said)
            until(ready, 120)
            if ended_by == signal.SIGKILL:
                second = run("up")
                assert second.returncode == 1
                assert f"Already running as process {supervisor.pid}" in second.stderr
                for process in [psutil.Process(supervisor.pid), *ours()]:
                    servers.signal_to(process, signal.SIGKILL)
            else:
                until(lambda: len(serving()) == 2)
                lost = serving()[0]
                lost.kill()
                lost.wait(20)
                assert [ready() for _ in range(20)] == [True] * 20  # by the other one
                until(lambda: len(serving()) == 2)
            supervisor.send_signal(ended_by)
            supervisor.wait(60)
    assert supervisor.returncode == 0
    assert (home / "said").read_text().endswith("stopped\n")
    assert ours() == []


def _marked(token: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(up.MARK) == token:
                found.append(process)
        except psutil.Error:
            continue
    return found
