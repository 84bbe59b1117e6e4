"""The loop beside the API: hands events to their consumers and marks what is overdue. `python -m api.relay` runs it.

Any number may run: deliveries are claimed, marking is an ordinary act. Killing one loses nothing.
"""

import signal
import time
from collections.abc import Callable
from datetime import datetime
from threading import Event

import structlog

from api import background, logs
from gis import db, deadlines, events, grid_drafts, measures, patrol, validity, workflow_moves
from gis.db import Connection

log = structlog.get_logger("relay")

CONSUMERS: dict[str, Callable[[Connection, list], object]] = {"statistics": measures.apply}
IDLE_SECONDS = 0.25
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


def forget() -> None:
    """Make tracks coarse, and drop them, whose time by the track rule is over; drop files nobody has any more."""
    with db.transaction() as tx:
        more = patrol.coarsen(tx)
    while more:
        with db.transaction() as tx:
            more = patrol.coarsen(tx)
    with db.transaction() as tx:
        patrol.drop(tx)
    background.sweep()


def tick(mark: events.Midnight | None = None, now: datetime | None = None) -> events.Midnight:
    """What time alone brings: overdue cases, timers, digests of days that ended, grids of a new day, lost imports.

    Returns the mark to hand to the next tick.
    """
    with db.transaction() as tx:
        deadlines.mark_overdue(tx, now=now)
    with db.transaction() as tx:
        deadlines.wake(tx, now=now)
    with db.transaction() as tx:
        mark = events.close_days(tx, mark, now)
    with db.transaction() as tx:
        grid_drafts.take(tx, validity.today())
    background.requeue()
    return mark


def run(stop: Event) -> None:
    """Loop until ``stop`` is set. A failing round is logged and tried again; it never ends the loop."""
    next_tick, next_patrol, next_forgetting, mark = 0.0, 0.0, 0.0, None
    while not stop.is_set():
        worked = 0
        try:
            worked = sum(pump(consumer) for consumer in CONSUMERS) + move_cases()
            if time.monotonic() >= next_tick:
                mark = tick(mark)
                next_tick = time.monotonic() + DEADLINES_EVERY
            if time.monotonic() >= next_patrol:
                patrolled()
                next_patrol = time.monotonic() + PATROL_EVERY
            if time.monotonic() >= next_forgetting:
                next_forgetting = time.monotonic() + FORGET_EVERY
                forget()
        except Exception:
            log.exception("relay round failed")
            stop.wait(1.0)
        if not worked:
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
