"""The migrations make what the models say, can be taken back, and keep history unchangeable."""

from datetime import date, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from gis import schema
from gis.db import make_engine

EVENT = """
    insert into case_event (case_id, seq, action, to_state, actor, role, happened_at, payload, prev_hash, hash)
    values (:case_id, 1, 'report', 'reported', 'somebody', 'inspector', now(), '{}', '', '')
"""


def test_migrations_equal_the_models_and_can_be_taken_back(empty_database: str) -> None:
    assert schema.current_revision(empty_database) is None
    schema.migrate(empty_database)
    assert schema.differences(empty_database) == []
    assert schema.current_revision(empty_database) == schema.head_revision()

    schema.downgrade(empty_database, "base")
    assert schema.current_revision(empty_database) is None
    assert schema.differences(empty_database) != []

    schema.migrate(empty_database)
    assert schema.differences(empty_database) == []


def test_migrating_twice_changes_nothing(empty_database: str) -> None:
    schema.migrate(empty_database)
    schema.migrate(empty_database)
    assert schema.differences(empty_database) == []


@pytest.mark.parametrize(
    "statement",
    [
        *("update case_event set actor = 'another'", "delete from case_event", "truncate case_event"),
        *("delete from audit", "delete from case_digest", "update case_digest set events = 0"),
        *("update handover set content = '{}'", "delete from handover", "truncate handover"),
        *("update duty_log set text = ''", "delete from duty_log", "update running_report set body = '{}'"),
        *("update component_version set name = ''", "delete from component_version"),
    ],
)
@pytest.mark.parametrize("as_owner", [True, False])
def test_history_cannot_be_changed(database: Any, statement: str, as_owner: bool) -> None:
    engine = make_engine(database.owner_url if as_owner else database.url, pool_size=1)
    with engine.begin() as tx:
        tx.execute(text(EVENT), {"case_id": uuid4()})
    with pytest.raises(DBAPIError, match="append-only" if as_owner else "permission denied"), engine.begin() as tx:
        tx.execute(text(statement))
    with engine.begin() as tx:
        assert tx.execute(text("select actor from case_event")).scalars().all() == ["somebody"]
    engine.dispose()


def test_a_published_definition_only_ends(tx: Connection) -> None:
    tx.execute(
        text(
            "insert into definition (kind, code, version, body, digest, valid_from)"
            " values ('test', 'x', 1, '{\"a\": 1}', 'd', now())"
        )
    )
    tx.execute(text("update definition set valid_to = now() where kind = 'test'"))
    for statement in (
        "update definition set body = '{}' where kind = 'test'",
        "update definition set version = 2 where kind = 'test'",
        "update definition set digest = 'e', valid_to = null where kind = 'test'",
        "delete from definition where kind = 'test'",
    ):
        with pytest.raises(DBAPIError, match=r"publish a new version|append-only"), tx.begin_nested():
            tx.execute(text(statement))
    assert tx.execute(text("select body, version from definition where kind = 'test'")).one() == ({"a": 1}, 1)


def test_positions_move_into_the_partition_of_their_day(tx: Connection) -> None:
    shanghai = timezone(timedelta(hours=8))
    first = datetime(2031, 3, 5, 0, 0, tzinfo=shanghai)
    fixes = [first, first + timedelta(hours=23, minutes=59), first - timedelta(minutes=1), first + timedelta(days=1)]
    for seq, at in enumerate(fixes):
        tx.execute(
            text(
                "insert into position (inspector_id, device, seq, at, lon, lat)"
                " values (:inspector, 'd', :seq, :at, 116.6, 40.1)"
            ),
            {"inspector": uuid4(), "seq": seq, "at": at},
        )
    for _ in range(2):
        tx.execute(text("select ensure_position_partition(:day)"), {"day": date(2031, 3, 5)})
    where = tx.execute(text("select seq, tableoid::regclass::text from position where at > '2031-01-01' order by seq"))
    assert [tuple(row) for row in where] == [
        (0, "position_20310305"),
        (1, "position_20310305"),
        (2, "position_default"),
        (3, "position_default"),
    ]


def test_the_service_role_may_write_cases_but_not_the_schema(tx: Connection) -> None:
    assert tx.scalar(text("select nextval('case_number')")) > 0
    for statement in ("create table mine (x int)", "drop table town", "update alembic_version set version_num = ''"):
        with pytest.raises(DBAPIError, match=r"permission denied|must be owner"), tx.begin_nested():
            tx.execute(text(statement))


def test_exercise_names_both_versions(database: Any) -> None:
    assert "PostGIS 3" in schema.exercise(database.url)
