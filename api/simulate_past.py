"""The demo's past, made in a few processes of this machine. Knows how the work is shared, not what happened."""

import multiprocessing
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import lru_cache
from itertools import repeat
from random import Random

from rich.console import Console
from rich.progress import Progress

from gis import backfill, db
from gis.backfill import Cast, Opening

CHUNK = 25


def fill_past(console: Console, days: int = 30, number: int = 2500, seed: int = 1) -> int:
    """Gives a town without cases a past, in this process's database; returns how many cases.

    A town with cases keeps what it has: 0.
    """
    now = datetime.now(UTC)
    with db.transaction() as tx:
        if backfill.exists(tx):
            return 0
        openings = backfill.plan(tx, seed, days, number, now)
    chunks = [openings[k : k + CHUNK] for k in range(0, len(openings), CHUNK)]
    spawn = multiprocessing.get_context("spawn")  # threads and connections of this process must not be inherited
    workers = ProcessPoolExecutor(min(4, os.cpu_count() or 1), mp_context=spawn, initializer=_leave_stopping_to_parent)
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("a simulated past", total=len(openings))
        try:
            for done in workers.map(_fill, chunks, repeat(seed), range(len(chunks)), repeat(now)):
                progress.advance(bar, done)
        finally:
            workers.shutdown(cancel_futures=True)
    return len(openings)


def _leave_stopping_to_parent() -> None:
    """Ctrl-C reaches the whole process group; a chunk is soon done and the parent sends no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _fill(openings: Sequence[Opening], seed: int, chunk: int, now: datetime) -> int:
    """One chunk, in one transaction of a process of its own."""
    chance = Random(f"{seed}/{chunk}")
    with db.transaction() as tx:
        for opening in openings:
            backfill.write(tx, _cast(), opening, chance, now)
    return len(openings)


@lru_cache
def _cast() -> Cast:
    """Who plays; asked once in each process."""
    with db.transaction() as tx:
        return backfill.gather(tx)
