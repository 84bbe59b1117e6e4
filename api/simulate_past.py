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

from gis import backfill, backfill_progress, db
from gis.backfill import Cast, Opening
from gis.backfill_progress import Past
from gis.settings import settings

CHUNK = 25


def begin_past(days: int = 30, number: int = 2500, seed: int = 1) -> None:
    """Note that this database gets a past, unless one was noted before."""
    with db.transaction() as tx:
        if backfill_progress.begun(tx) is None:
            backfill_progress.begin(tx, Past(seed, days, number, datetime.now(UTC)))


def fill_past(console: Console, days: int = 30, number: int = 2500, seed: int = 1) -> int:
    """Gives a town without cases a past, in this process's database; returns how many cases.

    A past that was begun is completed as it was begun. A town with other cases keeps what it has: 0.
    """
    with db.transaction() as tx:
        strange = backfill.exists(tx) and backfill_progress.begun(tx) is None
    if strange:
        return 0
    begin_past(days, number, seed)
    return complete_past(console)


def complete_past(console: Console) -> int:
    """Makes what is missing of a past that was begun; returns how many reports that took, 0 when nothing is missing."""
    with db.transaction() as tx:
        past = backfill_progress.begun(tx)
        if past is None or past.complete:
            return 0
        openings = backfill.plan(tx, past.seed, past.days, past.number, past.now)
    chunks = {at // CHUNK: openings[at : at + CHUNK] for at in range(0, len(openings), CHUNK)}
    missing = [chunk for chunk in chunks if chunk not in past.chunks]
    spawn = multiprocessing.get_context("spawn")  # threads and connections of this process must not be inherited
    workers = ProcessPoolExecutor(min(4, os.cpu_count() or 1), mp_context=spawn, initializer=_leave_stopping_to_parent)
    made = 0
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("a simulated past", total=sum(len(chunks[chunk]) for chunk in missing))
        try:
            contents = [chunks[chunk] for chunk in missing]
            for done in workers.map(fill, contents, repeat(past.seed), missing, repeat(past.now)):
                progress.advance(bar, done)
                made += done
        finally:
            workers.shutdown(cancel_futures=True)
    with db.transaction() as tx:
        backfill_progress.note_end(tx)
    return made


def _leave_stopping_to_parent() -> None:
    """Ctrl-C reaches the whole process group; a chunk is soon done and the parent sends no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def fill(openings: Sequence[Opening], seed: int, chunk: int, now: datetime) -> int:
    """One chunk and the note of it, in one transaction of a process of its own."""
    chance = Random(f"{seed}/{chunk}")
    with db.transaction() as tx:
        for opening in openings:
            backfill.write(tx, _cast(), opening, chance, now)
        backfill_progress.note_chunk(tx, chunk)
    return len(openings)


@lru_cache
def _cast() -> Cast:
    """Who plays; asked once in each process."""
    with db.transaction() as tx:
        return backfill.gather(tx, settings().home / "files")
