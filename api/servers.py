"""The private child servers, PostgreSQL with PostGIS and Redis: where they live, how they start, stop and recover.

Knows processes, sockets and accounts; knows nothing of what is stored in them. Both listen on Unix sockets only, so
no server of the system and no other checkout is ever in the way.
"""

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import psutil
import redis

from gis import schema

OWNER = "wangge_owner"
SERVICE = "wangge_app"
DATABASE = "wangge"

_SOCKET_PATH_LIMIT = 107  # bytes in sockaddr_un.sun_path, less the closing zero
_LOG_BYTES = 10 * 2**20
_LOGS = 3  # the one written and those before it
_LIBRARIES = Path("/usr/lib/postgresql")
_EXTENSIONS = Path("/usr/share/postgresql")


class Trouble(Exception):
    """Something on this machine stops the servers; the message is one line that says what to do."""


def postgres_binaries(version: str | None = None) -> Path:
    """The newest installed PostgreSQL ≥ 15 with PostGIS, or major `version` alone. Raises Trouble if it is missing."""
    found = [
        int(path.name)
        for path in _LIBRARIES.glob("[0-9]*")
        if path.name.isdigit()
        and int(path.name) >= 15
        and (path / "bin" / "initdb").exists()
        and (_EXTENSIONS / path.name / "extension" / "postgis.control").exists()
    ]
    if version is not None and int(version) not in found:
        raise Trouble(f"The database was made by PostgreSQL {version}: apt install postgresql-{version}-postgis-3")
    if not found:
        raise Trouble("PostgreSQL 15 or newer with PostGIS is missing: run `make setup`")
    return _LIBRARIES / (version or str(max(found))) / "bin"


def redis_binary() -> Path:
    """The Redis server's program. Raises Trouble if it is missing."""
    found = shutil.which("redis-server", path=f"{os.environ.get('PATH', '')}:/usr/bin:/usr/sbin")
    if not found:
        raise Trouble("redis-server is missing: run `make setup`")
    return Path(found)


def account() -> str | None:
    """The account servers run under: None is our own; root, whom initdb refuses, takes an unprivileged one."""
    if os.geteuid() != 0:
        return None
    for name in ("wangge", "postgres"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise Trouble("As root an account for PostgreSQL is needed: adduser --system --group wangge")


def place(home: Path) -> Path:
    """Where the servers of `home` keep their files: `home`, or a folder under /var/lib that their account can enter.

    As root the project may lie where the unprivileged account may not look (/root), and opening that is not ours to do.
    """
    home = home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    name = account()
    if name is None or subprocess.run(_as_account(["test", "-x", str(home)]), cwd="/").returncode == 0:
        return home
    elsewhere = Path("/var/lib/wangge") / hashlib.sha256(str(home).encode()).hexdigest()[:12]
    elsewhere.mkdir(parents=True, exist_ok=True)
    for folder in (elsewhere.parent, elsewhere):
        folder.chmod(0o755)  # whatever the umask: the account must get through
    (elsewhere / "belongs-to").write_text(f"{home}\n")
    return elsewhere


def _as_account(command: Sequence[str], *, dies_by: str | None = None) -> list[str]:
    """`command` under the servers' account; `dies_by`: the signal it gets when whoever started it is gone."""
    name = account()
    words = ["setpriv"]
    if name is not None:
        words += [f"--reuid={name}", f"--regid={pwd.getpwnam(name).pw_gid}", "--init-groups"]
    if dies_by is not None:
        words += [f"--pdeathsig={dies_by}"]
    return [*words, "--", *command] if len(words) > 1 else list(command)


def _own(path: Path) -> None:
    """Make `path` a folder that only the servers' account (and root) can enter."""
    path.mkdir(parents=True, exist_ok=True)
    name = account()
    if name is not None:
        shutil.chown(path, name, pwd.getpwnam(name).pw_gid)
    path.chmod(0o700)


def _socket_folder(folder: Path, longest_name: str) -> Path:
    """`folder`/run, or a short folder under /tmp where the full path would not fit into a socket's address."""
    near = folder / "run"
    if len(os.fsencode(near / longest_name)) <= _SOCKET_PATH_LIMIT:
        return near
    return Path("/tmp") / f"wangge-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}"


def _uid() -> int:
    name = account()
    return os.geteuid() if name is None else pwd.getpwnam(name).pw_uid


def _living_in(folder: Path, program: str) -> list[psutil.Process]:
    """Processes of `program` whose working folder is `folder`; compared by inode, so a chroot's twin is not ours."""
    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] == program and os.path.samefile(f"/proc/{process.pid}/cwd", folder):
                found.append(process)
        except OSError:
            continue  # gone meanwhile, or another user's
    return found


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def end(processes: Sequence[psutil.Process], first: signal.Signals, patience: float) -> None:
    """Ask with `first`, then kill what is still there after `patience` seconds."""
    for process in processes:
        signal_to(process, first)
    _, alive = psutil.wait_procs(processes, timeout=patience)
    for process in alive:
        signal_to(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=10)


def signal_to(process: psutil.Process, number: signal.Signals) -> None:
    """Send a signal to a process that may already be gone."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def keep_short(log: Path) -> None:
    """Move a log that has grown past 10 MB to `log.1`, that to `log.2`; older ones go.

    What writes it must append, and goes on undisturbed; lines written in the moment between copy and cut are lost.
    """
    if not log.exists() or log.stat().st_size <= _LOG_BYTES:
        return
    kept = [log.with_name(f"{log.name}.{number}") for number in range(1, _LOGS)]
    for newer, older in reversed(list(pairwise(kept))):
        if newer.exists():
            newer.replace(older)
    shutil.copyfile(log, kept[0])
    os.truncate(log, 0)


class _Server:
    """A child server in a folder of its own."""

    program: str
    stop_signal: signal.Signals
    socket_name: str

    def __init__(self, folder: Path, log: Path | None = None) -> None:
        self.folder = folder
        self.log = log or folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self._said_from = 0

    @property
    def sockets(self) -> Path:
        """The folder of its socket; short enough for a socket's address."""
        return _socket_folder(self.folder, self.socket_name)

    @property
    def work(self) -> Path:
        """The folder the server works in, by which a forgotten one is found again."""
        return self.folder / "data"

    def command(self) -> list[str]:
        """The command line that serves."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it takes requests now."""
        raise NotImplementedError

    def create(self) -> None:
        """Make the files of a first start."""
        _own(self.work)

    def start(self, patience: float = 300.0) -> None:
        """Start and wait until it answers; whatever an earlier run left is stopped first. Raises Trouble."""
        _own(self.folder)
        self.stop()
        self.create()
        sockets = self.sockets
        if sockets.is_symlink() or (sockets.exists() and sockets.stat().st_uid not in (_uid(), os.geteuid())):
            raise Trouble(f"{sockets} belongs to somebody else; remove it or choose a shorter WANGGE_HOME")
        _own(sockets)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        keep_short(self.log)
        with self.log.open("ab") as log:
            self._said_from = log.tell()
            self.process = subprocess.Popen(
                _as_account(self.command(), dies_by=self.stop_signal.name.removeprefix("SIG")),
                cwd=self.work,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C at the terminal reaches us alone: we stop the children in order
            )
        end = time.monotonic() + patience
        while not self.answers():
            if self.process.poll() is not None:
                raise self.failure("stopped at once")
            if time.monotonic() > end:
                raise self.failure(f"did not answer within {patience:.0f} s")
            time.sleep(0.05)

    def running(self) -> bool:
        """Whether a server of this folder runs, whoever started it."""
        return self.work.exists() and bool(_living_in(self.work, self.program))

    def alive(self) -> bool:
        """Whether the child is there."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Stop the server of this folder, ours or one a killed run left behind; quick and without losing anything."""
        if not self.work.exists():
            return
        end(self._heads(), self.stop_signal, patience=30)
        end(_living_in(self.work, self.program), signal.SIGKILL, patience=5)  # what outlived its head
        if self.process is not None:
            self.process.wait()

    def _heads(self) -> list[psutil.Process]:
        """The processes that stop the others when asked to."""
        return _living_in(self.work, self.program)

    def failure(self, what: str) -> Trouble:
        """A Trouble with the last line it wrote to the log."""
        said = self.log.read_bytes()
        lines = said[self._said_from if self._said_from <= len(said) else 0 :].decode(errors="replace").split("\n")
        lines = [line for line in lines if line.strip()]
        return Trouble(f"{self.program} {what}: {lines[-1] if lines else 'it said nothing'} (log: {self.log})")


class Postgres(_Server):
    """A private PostgreSQL with PostGIS; reached by its owner role and by the service's role."""

    program = "postgres"
    stop_signal = signal.SIGINT  # PostgreSQL's fast shutdown
    socket_name = ".s.PGSQL.5432.lock"

    def __init__(self, folder: Path, log: Path | None = None, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, log)
        memory_mb = psutil.virtual_memory().total // 2**20
        self.settings = {
            "listen_addresses": "",
            "max_connections": "200",
            "shared_buffers": f"{min(512, memory_mb // 4)}MB",
            "effective_cache_size": f"{memory_mb // 2}MB",
            "work_mem": "16MB",
            "maintenance_work_mem": f"{min(256, memory_mb // 8)}MB",
            "random_page_cost": "1.1",
            "max_wal_size": "2GB",
            "checkpoint_timeout": "15min",
            "jit": "off",
            "fsync": "on",
            "synchronous_commit": "on",
            "timezone": "UTC",
            **(settings or {}),
        }

    def url(self, role: str = SERVICE, database: str = DATABASE) -> str:
        """The address of `database` as `role`."""
        return f"postgresql://{role}@/{database}?host={self.sockets}"

    def create(self) -> None:
        """initdb, in a folder that only takes its name when it is complete."""
        if (self.work / "PG_VERSION").exists():
            return
        half = self.folder / "data.unfinished"
        shutil.rmtree(half, ignore_errors=True)
        _own(half)
        made = subprocess.run(
            _as_account(
                [
                    str(postgres_binaries() / "initdb"),
                    f"--pgdata={half}",
                    f"--username={OWNER}",
                    "--auth=peer",
                    "--encoding=UTF8",
                    "--no-locale",
                    *(["--no-sync"] if self.settings["fsync"] == "off" else []),
                ],
                dies_by="KILL",
            ),
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        if made.returncode != 0:
            raise Trouble(f"initdb failed: {(made.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
        half.rename(self.work)

    def command(self) -> list[str]:
        """The server's command line; writes who may log in, and clears what a killed server left."""
        # Only the account that started us, and the server's own, may log in, as either role: no password to keep.
        (self.work / "pg_hba.conf").write_text("local all all peer map=wangge\n")
        users = {pwd.getpwuid(os.geteuid()).pw_name, pwd.getpwuid(_uid()).pw_name}
        (self.work / "pg_ident.conf").write_text(
            "".join(f'wangge "{user}" {role}\n' for user in sorted(users) for role in (OWNER, SERVICE))
        )
        # No server of this folder lives any more (start stops them), so the lock can only be a killed one's; its
        # number may meanwhile be another process's, which PostgreSQL would take for a running server.
        (self.work / "postmaster.pid").unlink(missing_ok=True)
        for left in self.sockets.glob(".s.PGSQL.*"):
            left.unlink()
        binaries = postgres_binaries((self.work / "PG_VERSION").read_text().strip())
        words = [str(binaries / "postgres"), "-D", str(self.work)]
        for name, value in {**self.settings, "unix_socket_directories": str(self.sockets)}.items():
            words += ["-c", f"{name}={value}"]
        return words

    def _heads(self) -> list[psutil.Process]:
        # Only the postmaster keeps its command line; its children say what they do instead.
        return [each for each in _living_in(self.work, self.program) if str(self.work) in _words(each)]

    def answers(self) -> bool:
        """Whether the owner can log in."""
        return schema.answers(self.url(OWNER, "postgres"))


class Redis(_Server):
    """A private Redis: the job queue's hands. It keeps nothing on disk, since losing it loses nothing."""

    program = "redis-server"
    stop_signal = signal.SIGTERM
    socket_name = "redis.sock"

    def url(self) -> str:
        """The address of the server."""
        return f"unix://{self.sockets / self.socket_name}"

    def command(self) -> list[str]:
        """The server's command line."""
        options = {
            "--port": "0",
            "--unixsocket": str(self.sockets / self.socket_name),
            "--unixsocketperm": "700",
            "--dir": str(self.work),
            "--save": "",
            "--appendonly": "no",
        }
        return [str(redis_binary()), *(word for pair in options.items() for word in pair)]

    def answers(self) -> bool:
        """Whether it answers PING."""
        client = redis.Redis.from_url(self.url())
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()
