"""What is stuck is seen, and what was given up can be tried again."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, insert, select, text

from gis import backlog, events
from gis.tables import delivery


def given_up(tx: Connection, consumer: str) -> None:
    tx.execute(
        insert(delivery).values(consumer=consumer, case_id=uuid4(), seq=1, attempts=7, dead=True, error="it broke")
    )


def test_dead_deliveries_are_listed_and_wait_again_after_a_replay(tx: Connection) -> None:
    given_up(tx, "statistics")
    given_up(tx, "another")
    assert [(row["consumer"], row["error"]) for row in backlog.dead(tx)] == [
        ("statistics", "it broke"),
        ("another", "it broke"),
    ]
    assert backlog.replay(tx, "statistics") == 1
    assert events.backlog(tx)["statistics"]["dead"] == 0
    assert [row["consumer"] for row in backlog.dead(tx)] == ["another"]
    taken: list[Any] = []
    assert events.take(tx, "statistics", taken.extend) >= 1
    assert backlog.replay(tx) == 1
    assert tx.scalar(select(delivery.c.attempts).where(delivery.c.consumer == "another")) == 0


def test_events_behind_an_open_transaction_are_counted(database: Any) -> None:
    event = text(
        "insert into case_event (case_id, seq, action, to_state, actor, role, happened_at, payload, prev_hash, hash)"
        " values (:case_id, 1, 'report', 'reported', 'x', 'inspector', now(), '{}', '', '')"
    )
    with database.engine.connect() as held, held.begin():
        held.execute(text("select pg_current_xact_id()"))
        with database.engine.begin() as tx:
            tx.execute(event, {"case_id": uuid4()})
        with database.engine.begin() as tx:
            number, since = backlog.held_back(tx)
            assert number == 1
            assert since > timedelta()
    with database.engine.begin() as tx:
        assert backlog.held_back(tx) == (0, timedelta())
