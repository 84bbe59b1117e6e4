"""What simulated people do is always something the case offers, and their past obeys the same rules as the present."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, func, select

from gis import backfill, events, pretend
from gis.tables import case, case_event

FIELDS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["reason", "result", "department", "photos", "note"]),
            "type": st.sampled_from(["text", "photo", "department", "choice", "number"]),
            "required": st.booleans(),
            "choices": st.just(["甲", "乙"]),
        }
    ),
    max_size=3,
    unique_by=lambda f: f["name"],
)
ACTIONS = st.lists(
    st.fixed_dictionaries({"action": st.sampled_from([*pretend.HABITS, "new_action"]), "fields": FIELDS}),
    max_size=4,
    unique_by=lambda a: a["action"],
)


@given(actions=ACTIONS, seed=st.integers(0, 2**32))
def test_a_step_is_offered_and_complete(actions: list[dict[str, Any]], seed: int) -> None:
    step = pretend.decide(Random(seed), actions, ["D1", "D2"], ["ab" * 32])
    if step is None:
        assert not any(pretend.usual(a["action"]) for a in actions)
        return
    chosen = next(a for a in actions if a["action"] == step.action)
    assert set(step.payload) <= {f["name"] for f in chosen["fields"]}
    assert {f["name"] for f in chosen["fields"] if f["required"]} <= set(step.payload)


def test_who_may_only_end_a_case_leaves_it_to_others() -> None:
    void = {"action": "void", "fields": []}
    accept = {"action": "accept", "fields": []}
    assert pretend.decide(Random(1), [void], []) is None
    chosen = [pretend.decide(Random(n), [void, accept], []) for n in range(200)]
    assert 0 < sum(step is not None and step.action == "void" for step in chosen) < 40


@given(st.sampled_from(sorted(pretend.PACE)), st.integers(0, 2**32))
def test_people_take_some_time(state: str, seed: int) -> None:
    assert timedelta() < pretend.wait(Random(seed), state) < timedelta(days=60)


def test_common_classes_are_reported_more() -> None:
    chance = Random(1)
    drawn = [pretend.pick(chance, ["暴露垃圾", "其他问题"]) for _ in range(300)]
    assert drawn.count(0) > 3 * drawn.count(1) > 0


def test_a_past_is_lived_by_the_rules(tx: Connection, tmp_path: Path) -> None:
    """Every case simulated, in its time, by somebody entitled, with an unbroken chain; none in the future."""
    now, chance = datetime.now(UTC), Random(5)
    assert not backfill.exists(tx)
    cast, openings = backfill.gather(tx, tmp_path / "files"), backfill.plan(tx, 5, 10, 40, now)
    assert openings == sorted(openings, key=lambda o: o.at)
    assert len(openings) > 30
    written = sum(backfill.write(tx, cast, opening, chance, now) for opening in openings)
    assert backfill.exists(tx)
    assert written == tx.scalar(select(func.count()).select_from(case_event))
    rows = tx.execute(select(case)).all()
    assert len(rows) > 25
    assert all(row.simulated for row in rows)
    assert "closed" in {row.status for row in rows}
    for row in rows:
        assert events.broken(tx, row.id) is None
        times = [row.reported_at, row.accepted_at, row.filed_at, row.dispatched_at, row.handled_at, row.closed_at]
        known = [t for t in times if t is not None]
        assert known == sorted(known)
        assert all(t <= now for t in known)
        assert (row.overdue_at is None) or row.overdue_at <= now
    latest = tx.scalar(select(func.max(case_event.c.happened_at)))
    assert latest is not None
    assert latest <= now


def test_the_same_seed_plans_the_same_past(tx: Connection) -> None:
    now = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
    assert backfill.plan(tx, 5, 10, 30, now) == backfill.plan(tx, 5, 10, 30, now)
    assert backfill.plan(tx, 5, 10, 30, now) != backfill.plan(tx, 6, 10, 30, now)
