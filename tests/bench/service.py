"""The service as its own process over a bench database, and a client lean enough not to be what is measured."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import httpx
import orjson

PASSWORD = "wangge-demo-2026"


@dataclass(frozen=True)
class Load:
    """What a run of requests came to: seconds in all, each answer's milliseconds, and the statuses counted."""

    seconds: float
    milliseconds: list[float]
    statuses: dict[int, int]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.milliseconds) / self.seconds

    def percentile(self, share: float) -> float:
        """The milliseconds that ``share`` of the answers stayed below."""
        ordered = sorted(self.milliseconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@contextmanager
def running(database_url: str, workers: int = 2) -> Iterator[str]:
    """The API over that database; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="wangge-bench-api-") as home:
        environment = os.environ | {"WANGGE_DATABASE_URL": database_url, "WANGGE_DEMO": "1", "WANGGE_HOME": home}
        environment |= {"WANGGE_HOST": "127.0.0.1", "WANGGE_PORT": str(port)}
        address, said = f"http://127.0.0.1:{port}", Path(home) / "api.log"
        with said.open("ab") as log, ExitStack() as stack:
            processes = []
            for _ in range(workers):
                command = [sys.executable, "-m", "api.serve"]
                processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
                stack.callback(processes[-1].wait, timeout=20)
                stack.callback(processes[-1].terminate)
            _await(address, processes, said)
            yield address


def _await(address: str, processes: "Sequence[subprocess.Popen[bytes]]", log: Path) -> None:
    """Until each of the processes listens, and the one that happens to be asked is ready."""
    end = time.monotonic() + 120
    while time.monotonic() < end and all(process.poll() is None for process in processes):
        started = log.read_text().count("Application startup complete") == len(processes)
        time.sleep(0.2)
        if started and httpx.get(f"{address}/readyz", timeout=5, trust_env=False).status_code == 200:
            return
    raise RuntimeError(f"the API does not start: {log.read_text()[-2000:]}")


def token(address: str, username: str) -> str:
    """A signed-in person's token."""
    body = {"username": username, "password": PASSWORD}
    answer = httpx.post(f"{address}/api/login", json=body, timeout=30, trust_env=False)
    answer.raise_for_status()
    return str(answer.json()["token"])


def request(method: str, path: str, token: str, body: object = None) -> bytes:
    """One HTTP/1.1 request, ready to be sent."""
    content = b"" if body is None else orjson.dumps(body)
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
    if content:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + b"\r\n" + content


def send(address: str, requests: Sequence[bytes], connections: int = 16) -> Load:
    """Send every request once over that many kept-alive connections, from a process of its own."""
    host, port = address.removeprefix("http://").split(":")
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_send, (host, int(port), list(requests), connections))


def _send(host: str, port: int, requests: list[bytes], connections: int) -> Load:
    waiting = iter(requests)
    milliseconds: list[float] = []
    statuses: dict[int, int] = {}

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        for each in waiting:
            begin = time.perf_counter()
            writer.write(each)
            head = await reader.readuntil(b"\r\n\r\n")
            lowered = head.lower()
            at = lowered.find(b"content-length:")
            if at >= 0:
                await reader.readexactly(int(lowered[at + 15 : lowered.index(b"\r\n", at)]))
            milliseconds.append((time.perf_counter() - begin) * 1000)
            status = int(head[9:12])
            statuses[status] = statuses.get(status, 0) + 1
        writer.close()

    async def all_of_them() -> None:
        await asyncio.gather(*(one() for _ in range(connections)))

    begin = time.perf_counter()
    asyncio.run(all_of_them())
    return Load(time.perf_counter() - begin, milliseconds, statuses)
