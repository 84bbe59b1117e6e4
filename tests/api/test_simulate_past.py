"""A demo's past that was broken off is completed by the next start, and none is made where none was begun."""

from pathlib import Path
from typing import Any

from rich.console import Console
from sqlalchemy import func, select

from api import simulate_past
from gis import backfill, backfill_progress, db
from gis.tables import case


def cases() -> dict[Any, int]:
    with db.transaction() as tx:
        return dict(tx.execute(select(case.c.id, case.c.seq)).all())


def test_a_past_broken_off_is_completed_once(database: Any, monkeypatch: Any) -> None:
    quiet = Console(quiet=True)
    assert simulate_past.complete_past(quiet) == 0
    assert cases() == {}, "none was begun"

    simulate_past.begin_past(days=3, number=60, seed=4)
    simulate_past.begin_past(days=9, number=99, seed=9)
    with db.transaction() as tx:
        past = backfill_progress.begun(tx)
        assert past is not None
        openings = backfill.plan(tx, past.seed, past.days, past.number, past.now)
    size = simulate_past.CHUNK
    assert size < len(openings) <= 60
    simulate_past.fill(openings[size : 2 * size], past.seed, 1, past.now)  # and here the supervisor was killed
    before = cases()
    assert before

    assert simulate_past.complete_past(quiet) == len(openings) - len(openings[size : 2 * size])
    after = cases()
    assert {name: after[name] for name in before} == before
    assert len(before) < len(after) <= len(openings)
    assert simulate_past.fill_past(quiet, number=60) == 0
    assert cases() == after


def test_a_town_with_cases_of_its_own_keeps_what_it_has(database: Any, tmp_path: Path) -> None:
    with db.transaction() as tx:
        cast = backfill.gather(tx, tmp_path / "files")
        past = backfill_progress.Past(1, 2, 5, tx.scalar(select(func.now())))
        for opening in backfill.plan(tx, past.seed, past.days, past.number, past.now):
            backfill.write(tx, cast, opening, simulate_past.Random(1), past.now)
    before = cases()
    assert before
    assert simulate_past.fill_past(Console(quiet=True), number=5) == 0
    assert cases() == before
