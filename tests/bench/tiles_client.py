"""Asks for tiles as fast as a server gives them, the same for us and for the peer.

By wrk where it is installed; else by the Python client of ``service``, which shares the server's cores, so that the
rates of quick answers are then those of the client.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from tests.bench import service

_LUA = """
local asked, at = {}, 0
init = function(arguments)
  for line in io.lines("FILE") do
    local path, tag = line:match("^(%S+)\\t?(.*)$")
    local headers = { HEADERS }
    if tag ~= "" then headers["If-None-Match"] = tag end
    asked[#asked + 1] = wrk.format("GET", path, headers)
  end
end
request = function()
  at = at % #asked + 1
  return asked[at]
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n{"seconds":%f,"done":%d,"bad":%d,"bytes":%d,"p50":%f,"p95":%f,"p99":%f}\\n',
    summary.duration / 1e6, summary.requests, e.status + e.connect + e.read + e.timeout, summary.bytes,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
end
"""


@dataclass(frozen=True)
class Rate:
    """Answers a second, and the milliseconds that so many in a hundred of them stayed below."""

    rate: float
    p50: float
    p95: float
    p99: float


def ask(
    address: str,
    paths: Sequence[str],
    headers: Mapping[str, str],
    *,
    seconds: float = 6,
    connections: int = 16,
    tags: Sequence[str] = (),
) -> Rate:
    """Ask for ``paths`` in turn for some seconds, with an If-None-Match each where ``tags`` are given.

    Raises ``RuntimeError`` when an answer is an error.
    """
    marks = list(tags) or [""] * len(paths)
    if shutil.which("wrk"):
        return _wrk(address, paths, headers, seconds, connections, marks)
    common = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    asked = [
        f"GET {path} HTTP/1.1\r\nHost: bench\r\n{common}If-None-Match: {tag}\r\n\r\n".encode()
        for path, tag in zip(paths, marks, strict=True)
    ]
    trial = service.send(address, list(islice(cycle(asked), 50)), connections)
    load = service.send(address, list(islice(cycle(asked), int(trial.rate * seconds) + 1)), connections)
    if set(load.statuses) - {200, 204, 304}:
        raise RuntimeError(f"errors among the answers: {load.statuses}")
    return Rate(load.rate, *(load.percentile(share) for share in (0.5, 0.95, 0.99)))


def _wrk(
    address: str,
    paths: Sequence[str],
    headers: Mapping[str, str],
    seconds: float,
    connections: int,
    tags: Sequence[str],
) -> Rate:
    with tempfile.TemporaryDirectory() as folder:
        listed, script = Path(folder) / "paths", Path(folder) / "script.lua"
        listed.write_text("".join(f"{path}\t{tag}\n" for path, tag in zip(paths, tags, strict=True)))
        told = ", ".join(f'["{name}"] = "{value}"' for name, value in headers.items())
        script.write_text(_LUA.replace("FILE", str(listed)).replace("HEADERS", told))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "60s", "-s", str(script)]
        run = subprocess.run([*command, address], check=False, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"wrk gave up: {(run.stdout + run.stderr)[-500:]}")
    found = json.loads(run.stdout.strip().splitlines()[-1])
    if found["bad"] or not found["done"]:
        raise RuntimeError(f"errors among the answers of {address}: {found}")
    return Rate(found["done"] / found["seconds"], found["p50"], found["p95"], found["p99"])
