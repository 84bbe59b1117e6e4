"""The event log: nothing is handed on twice, nothing is lost on the way, what fails waits and is shown."""

import threading
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, insert, select, text, update

from gis import db, events
from gis.events import Cursor
from gis.tables import case_digest, case_event, delivery


def an_event(case_id: UUID, seq: int, previous: bytes = events.GENESIS, **changes: object) -> dict:
    event = {
        "case_id": case_id,
        "seq": seq,
        "action": "report",
        "from_state": None,
        "to_state": "reported",
        "actor_id": None,
        "actor": "甲",
        "role": "inspector",
        "happened_at": datetime(2026, 11, 20, 8, 0, tzinfo=UTC),
        "lon": 116.65,
        "lat": 40.11,
        "payload": {"n": seq},
        "prev_hash": previous,
    } | changes
    return event | {"hash": events.chain(event, previous)}


def wait_for(tx, case_id: UUID, seq: int) -> None:
    tx.execute(insert(delivery).values(consumer="statistics", case_id=case_id, seq=seq))


def test_the_chain_shows_where_history_was_changed(database):
    case_id = uuid4()
    with db.transaction() as tx:
        previous = events.GENESIS
        for seq in range(1, 6):
            event = an_event(case_id, seq, previous)
            tx.execute(insert(case_event).values(event))
            previous = event["hash"]
        assert events.broken(tx, case_id) is None
    owner = db.make_engine(database.owner_url)
    with owner.begin() as tx:  # somebody with the keys to the cellar
        tx.execute(text("alter table case_event disable trigger user"))
        tx.execute(update(case_event).where(case_event.c.seq == 3).values(actor="乙"))
    owner.dispose()
    with db.transaction() as tx:
        assert events.broken(tx, case_id) == 3


def test_the_feed_never_passes_an_open_transaction(database):
    first, second = uuid4(), uuid4()
    with db.transaction() as tx:
        start = events.horizon(tx)
    with database.engine.connect() as slow:
        open_one = slow.begin()
        slow.execute(insert(case_event).values(an_event(first, 1)))
        with db.transaction() as tx:
            tx.execute(insert(case_event).values(an_event(second, 1)))
        with db.transaction() as tx:
            rows, cursor = events.since(tx, start)
        assert rows == []  # the later one is committed, but an earlier one may still come
        open_one.commit()
    with db.transaction() as tx:
        rows, cursor = events.since(tx, cursor)
        assert [row.case_id for row in rows] == [first, second]
        assert events.since(tx, Cursor.parse(str(cursor)))[0] == []


def test_every_delivery_is_taken_once_by_competing_consumers(database):
    cases = [uuid4() for _ in range(200)]
    with db.transaction() as tx:
        for case_id in cases:
            wait_for(tx, case_id, 1)
    taken: list[UUID] = []
    lock = threading.Lock()

    def work(ids):
        with lock:
            taken.extend(ids)

    def drain():
        empty = 0
        while empty < 3:
            with db.transaction() as tx:
                empty = empty + 1 if events.take(tx, "statistics", work, limit=7) == 0 else 0

    threads = [threading.Thread(target=drain) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(cases)
    with db.transaction() as tx:
        assert events.backlog(tx)["statistics"] == {"waiting": 0, "dead": 0}


def test_one_bad_case_waits_alone_dies_in_the_end_and_is_shown(database):
    good, bad = uuid4(), uuid4()
    done: list[UUID] = []

    def work(ids):
        if bad in ids:
            raise RuntimeError("坏数据")
        done.extend(ids)

    with db.transaction() as tx:
        for case_id in (bad, good):
            wait_for(tx, case_id, 1)
    with db.transaction() as tx:
        assert events.take(tx, "statistics", work) == 1
    assert done == [good]
    for _ in events.RETRY_AFTER:
        with db.transaction() as tx:
            tx.execute(update(delivery).values(next_at=func.now()))
        with db.transaction() as tx:
            events.take(tx, "statistics", work)
    with db.transaction() as tx:
        assert events.backlog(tx)["statistics"] == {"waiting": 0, "dead": 1}
        assert "坏数据" in tx.execute(select(delivery.c.error)).scalar_one()


def test_order_is_kept_per_case(database):
    case_id = uuid4()
    with db.transaction() as tx:
        wait_for(tx, case_id, 1)
        wait_for(tx, case_id, 2)
        tx.execute(update(delivery).where(delivery.c.seq == 1).values(next_at=func.now() + text("interval '1 hour'")))
    with db.transaction() as tx:
        assert events.take(tx, "statistics", lambda ids: pytest.fail("taken out of order")) == 0


def test_order_is_kept_per_case_under_two_relays(database):
    case_id, other = uuid4(), uuid4()
    with db.transaction() as tx:
        for seq, each in ((1, case_id), (2, case_id), (1, other)):
            wait_for(tx, each, seq)
    taken: list[UUID] = []

    def while_held(ids):
        with db.transaction() as second:
            events.take(second, "statistics", taken.extend)

    with db.transaction() as tx:
        assert events.take(tx, "statistics", while_held, limit=1) == 1
    assert taken == [other]  # the second of the case waited for the first, which the other relay held
    with db.transaction() as tx:
        assert events.take(tx, "statistics", taken.extend) == 1
    assert taken == [other, case_id]


def test_after_a_failure_the_later_ones_of_the_case_are_not_tried(database):
    bad, good = uuid4(), uuid4()
    with db.transaction() as tx:
        for seq, each in ((1, bad), (2, bad), (1, good)):
            wait_for(tx, each, seq)
    calls: list[list[UUID]] = []

    def work(ids):
        calls.append(list(ids))
        if calls in ([[bad, good]], [[bad, good], [bad]]):  # the batch, then the first of the bad case alone
            raise RuntimeError("坏数据")

    with db.transaction() as tx:
        assert events.take(tx, "statistics", work) == 1
        assert events.take(tx, "statistics", work) == 0
    assert calls == [[bad, good], [bad], [good]]
    with db.transaction() as tx:
        assert tx.execute(select(delivery.c.seq, delivery.c.attempts).order_by(delivery.c.seq)).all() == [
            (1, 1),
            (2, 0),
        ]


def test_the_daily_digest_covers_the_day_and_is_made_once(database):
    case_id = uuid4()
    with db.transaction() as tx:
        tx.execute(insert(case_event).values(an_event(case_id, 1)))
        today = tx.execute(text("select (now() at time zone 'Asia/Shanghai')::date")).scalar_one()
        digest = events.close_day(tx, today)
    with db.transaction() as tx:
        tx.execute(insert(case_event).values(an_event(uuid4(), 1)))
        assert events.close_day(tx, today) == digest


def backdated(tx, case_id: UUID, moment: datetime) -> None:
    tx.execute(insert(case_event).values(an_event(case_id, 1) | {"recorded_at": moment}))


def digests(tx) -> list:
    return tx.execute(select(case_digest.c.day, case_digest.c.events).order_by(case_digest.c.day)).all()


def test_every_ended_day_is_closed_even_after_days_of_standing_still(database):
    now = datetime(2031, 5, 10, 3, 0, tzinfo=UTC)
    with db.transaction() as tx:
        for moment in (
            datetime(2031, 5, 6, 15, 59, 59, tzinfo=UTC),  # the last second of the 6th in Shanghai
            datetime(2031, 5, 6, 16, 0, tzinfo=UTC),
            datetime(2031, 5, 8, 1, 0, tzinfo=UTC),
            now,
        ):
            backdated(tx, uuid4(), moment)
    with db.transaction() as tx:
        assert events.close_days(tx, None, now).passed
        assert digests(tx) == [
            (date(2031, 5, 6), 1),
            (date(2031, 5, 7), 1),
            (date(2031, 5, 8), 1),
            (date(2031, 5, 9), 0),
        ]
    with db.transaction() as tx:
        events.close_days(tx, None, now + timedelta(days=2))
        assert digests(tx)[4:] == [(date(2031, 5, 10), 1), (date(2031, 5, 11), 0)]


def test_a_day_waits_for_whoever_may_still_write_in_it(database):
    now, late = datetime(2031, 5, 10, 3, 0, tzinfo=UTC), datetime(2031, 5, 9, 15, 59, tzinfo=UTC)
    with db.transaction() as tx:
        backdated(tx, uuid4(), late)
    with database.engine.connect() as slow:
        open_one = slow.begin()
        backdated(slow, uuid4(), late)
        with db.transaction() as tx:
            mark = events.close_days(tx, None, now)
        with db.transaction() as tx:
            assert events.close_days(tx, mark, now) == mark
            assert digests(tx) == []
        open_one.commit()
    with db.transaction() as tx:
        assert events.close_days(tx, mark, now).passed
        assert digests(tx) == [(date(2031, 5, 9), 2)]


def test_the_latest_event_is_the_same_for_whoever_asks_later(database):
    with db.transaction(database.engine) as tx:
        assert events.latest(tx) <= events.horizon(tx)
        tx.execute(insert(case_event), [an_event(uuid4(), 1)])
    with db.transaction(database.engine) as tx:
        first, horizon = events.latest(tx), events.horizon(tx)
        rows, seen = events.since(tx, Cursor(), limit=100_000)
        assert first == seen == Cursor(rows[-1].xid, rows[-1].id)
        tx.execute(text("select pg_current_xact_id()"))  # a transaction passes without an event
    with db.transaction(database.engine) as tx:
        assert events.latest(tx) == first
        assert events.horizon(tx) > horizon
