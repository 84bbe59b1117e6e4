"""The simulator's way to the service: HTTP only, timed, patient with restarts and refusals. Knows no people."""

import random
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import httpx
from rich.table import Table

#: Latencies kept per kind of request; a longer run keeps a fair sample of them.
SAMPLE = 50_000


class Later(Exception):
    """The service cannot answer now; try again after ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"again in {seconds:.1f} s")
        self.seconds = seconds


class SignedOut(Exception):
    """The token is no longer good."""


class Refused(Exception):
    """A problem answer: ``status`` and ``code``."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status, self.code = status, code


@dataclass
class _Kind:
    """What happened to one kind of request."""

    count: int = 0
    seconds: "array[float]" = field(default_factory=lambda: array("f"))
    refusals: Counter[str] = field(default_factory=Counter)


class Service:
    """One running Wangge. Safe to use from many threads."""

    def __init__(self, url: str, threads: int, transport: httpx.BaseTransport | None = None) -> None:
        limits = httpx.Limits(max_connections=threads, max_keepalive_connections=threads)
        self._http = httpx.Client(base_url=url, timeout=20.0, limits=limits, trust_env=False, transport=transport)
        self._kinds: defaultdict[str, _Kind] = defaultdict(_Kind)
        self._lock = Lock()
        self._began = time.monotonic()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def call(
        self,
        kind: str,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        content: bytes | None = None,
    ) -> Any:
        """The JSON answer of a request counted as ``kind``.

        Raises ``Later`` (no connection, 429, 5xx), ``SignedOut`` (401) and ``Refused`` (any other refusal).
        """
        headers = {"authorization": f"Bearer {token}"} if token else {}
        start = time.perf_counter()
        try:
            answer = self._http.request(method, path, params=query, json=body, content=content, headers=headers)
        except httpx.TransportError as error:
            self._note(kind, None, type(error).__name__)
            raise Later(random.uniform(1.0, 3.0)) from error
        seconds = time.perf_counter() - start
        if answer.is_success:
            self._note(kind, seconds, None)
            return answer.json() if answer.content else None
        problem = _problem(answer)
        code = str(problem.get("code", answer.status_code))
        self._note(kind, seconds, code)
        if answer.status_code == 429:
            raise Later(float(problem.get("detail", {}).get("retry_after_s", 5)) + random.uniform(0.0, 2.0))
        if answer.status_code >= 500:
            raise Later(random.uniform(1.0, 3.0))
        if answer.status_code == 401:
            raise SignedOut(code)
        raise Refused(answer.status_code, code)

    def _note(self, kind: str, seconds: float | None, refusal: str | None) -> None:
        with self._lock:
            of = self._kinds[kind]
            of.count += 1
            if refusal:
                of.refusals[refusal] += 1
            if seconds is None:
                return
            if len(of.seconds) < SAMPLE:
                of.seconds.append(seconds)
            elif (place := random.randrange(of.count)) < SAMPLE:
                of.seconds[place] = seconds

    def forget(self) -> None:
        """Starts counting anew."""
        with self._lock:
            self._kinds.clear()
            self._began = time.monotonic()

    def done(self, kind: str) -> int:
        """How many requests of this kind succeeded."""
        of = self._kinds[kind]
        return of.count - of.refusals.total()

    def refused(self) -> int:
        """How many requests of all kinds did not succeed."""
        return sum(of.refusals.total() for of in self._kinds.values())

    def table(self) -> Table:
        """Throughput and latency of every kind of request."""
        elapsed = max(time.monotonic() - self._began, 1e-9)
        table = Table(title=f"{elapsed:.0f} s")
        table.add_column("request")
        for name in ("n", "1/s", "p50 ms", "p95 ms", "p99 ms", "max ms"):
            table.add_column(name, justify="right")
        table.add_column("refused")
        with self._lock:
            for kind, of in sorted(self._kinds.items()):
                ordered = sorted(of.seconds)
                marks = [f"{1000 * quantile(ordered, q):.1f}" for q in (0.5, 0.95, 0.99, 1.0)]
                refusals = ", ".join(f"{code} {n}" for code, n in of.refusals.most_common(4))
                table.add_row(kind, f"{of.count:,}", f"{of.count / elapsed:.1f}", *marks, refusals)
        return table


def quantile(ordered: list[float], share: float) -> float:
    """The smallest value that ``share`` of the ordered values do not exceed; 0 of none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
