"""The loop beside the API: hands events to their consumers and marks what is overdue. `python -m api.relay` runs it.

Any number may run: deliveries are claimed, marking is an ordinary act. Killing one loses nothing.
"""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Event

import structlog

from api import background, logs
from gis import db, deadlines, events, grid_drafts, measures, patrol, validity, workflow_moves
from gis.db import Connection

log = structlog.get_logger("relay")

CONSUMERS: dict[str, Callable[[Connection, list], object]] = {"statistics": measures.apply}
IDLE_SECONDS, RETRY_SECONDS = 0.25, 1.0
DEADLINES_EVERY = 2.0
# A person's day is read whole to be worked out: a few at a time, so that events never wait long for it.
PATROL_EVERY, FORGET_EVERY = 5.0, 3600.0


def pump(consumer: str) -> int:
    """Hand one batch of waiting events to a consumer; returns how many it took."""
    with db.transaction() as tx:
        return events.take(tx, consumer, lambda ids: CONSUMERS[consumer](tx, list(ids)))


def move_cases() -> int:
    """Move a batch of running cases to other versions of their workflows, each by itself; returns how many are done."""
    with db.transaction() as tx:
        due = workflow_moves.due(tx)
    done = 0
    for move, case_id in due:
        with db.transaction() as tx:
            done += workflow_moves.take(tx, move, case_id)
    return done


def patrolled() -> int:
    """Work out a few days of persons that got fixes since, each by itself; returns how many. None stops another."""
    with db.transaction() as tx:
        due = patrol.stale(tx)
    for inspector_id, day in due:
        try:
            with db.transaction() as tx:
                patrol.work_out(tx, inspector_id, day)
        except Exception:
            log.exception("a day of a track was not worked out", inspector=str(inspector_id), day=day.isoformat())
    return len(due)


def coarsen() -> None:
    """Make tracks coarse whose time by the track rule is over."""
    more = 1
    while more:
        with db.transaction() as tx:
            more = patrol.coarsen(tx)


def _of(work: Callable[[Connection], object]) -> Callable[[], None]:
    """``work`` in a transaction of its own."""

    def done() -> None:
        with db.transaction() as tx:
            work(tx)

    return done


class Days:
    """Closes days that ended, with a digest each."""

    def __init__(self) -> None:
        self._mark: events.Midnight | None = None

    def close(self, tx: Connection) -> None:
        """One look; a day may take several."""
        self._mark = events.close_days(tx, self._mark)


@dataclass
class Stage:
    """Something done over and over, every so many seconds; ``every`` = 0: as long as it says how much it did."""

    name: str
    work: Callable[[], int | None]
    every: float = 0.0
    due: float = 0.0

    def run(self) -> int:
        """Do it if it is time. A failure is logged and tried again later; it stops no other stage."""
        if time.monotonic() < self.due:
            return 0
        done: int | None = 0
        wait = self.every
        try:
            done = self.work()
        except Exception:
            log.exception("a relay stage failed", stage=self.name)
            wait = max(wait, RETRY_SECONDS)
        self.due = time.monotonic() + wait
        return 0 if self.every else done or 0


def stages() -> list[Stage]:
    """Everything the relay does, in order."""
    return [
        *(Stage(f"events for {consumer}", partial(pump, consumer)) for consumer in CONSUMERS),
        Stage("moves between workflows", move_cases),
        Stage("overdue cases", _of(deadlines.mark_overdue), DEADLINES_EVERY),
        Stage("timers", _of(deadlines.wake), DEADLINES_EVERY),
        Stage("digests of days", _of(Days().close), DEADLINES_EVERY),
        Stage("grids of a new day", _of(lambda tx: grid_drafts.take(tx, validity.today())), DEADLINES_EVERY),
        Stage("lost imports", background.requeue, DEADLINES_EVERY),
        Stage("days of tracks", patrolled, PATROL_EVERY),
        Stage("coarse tracks", coarsen, FORGET_EVERY),
        Stage("old tracks", _of(patrol.drop), FORGET_EVERY),
        Stage("files nobody has any more", background.sweep, FORGET_EVERY),
    ]


def run(stop: Event) -> None:
    """Loop until ``stop`` is set."""
    every = stages()
    while not stop.is_set():
        if not sum(stage.run() for stage in every):
            stop.wait(IDLE_SECONDS)


def main() -> None:
    """Run until a signal comes."""
    logs.configure()
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    run(stop)


if __name__ == "__main__":
    main()
