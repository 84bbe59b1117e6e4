"""The roll-up: incremental equals recomputed equals a plain-Python oracle, whatever happened in whatever order."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select, update

from gis import measures
from gis.db import transaction
from gis.errors import BadFilter
from gis.tables import case, measure_case, measure_day
from tests.conftest import Database
from tests.gis.case_rows import MOMENTS, row

SHANGHAI = ZoneInfo("Asia/Shanghai")


def counted(rows: dict[UUID, dict[str, Any]]) -> Counter[tuple[str, date, str, str]]:
    """The slow obvious roll-up."""
    figures: Counter[tuple[str, date, str, str]] = Counter()

    def add(row: dict[str, Any], measure: str, at: datetime | None, n: int = 1, whose: str | None = None) -> None:
        if at is not None and n:
            day = at.astimezone(SHANGHAI).date()
            figures[measure, day, row["unit_grid_code"], whose or row["department_code"] or ""] += n

    for r in rows.values():
        if r["status"] == "void":
            continue
        for measure in ("reported", "filed", "dispatched", "handled"):
            add(r, measure, r.get(f"{measure}_at"))
        due = r.get("due_at")
        in_time = r.get("handled_at") and due and r["handled_at"] <= due
        if in_time:
            add(r, "on_time", r["handled_at"])
        if r["status"] == "closed":
            add(r, "closed", r.get("closed_at"))
            if in_time:
                add(r, "closed_on_time", r.get("closed_at"))
        add(r, "rework", r.get("dispatched_at"), r["rework_count"])
        late = (r.get("clock", {}).get("late") or [{}])[-1]
        since = datetime.fromisoformat(late["at"]) if late else None
        add(r, "overdue", r.get("overdue_at") or since, whose=late.get("department"))
    return figures


def rolled_up(tx: Connection) -> Counter[tuple[str, date, str, str]]:
    return Counter(
        {(r.measure, r.day, r.unit_grid_code, r.department_code): r.n for r in tx.execute(select(measure_day))}
    )


def memory(tx: Connection) -> list[Any]:
    return [tuple(r) for r in tx.execute(select(measure_case).order_by("case_id", "measure"))]


def write(tx: Connection, rows: dict[UUID, dict[str, Any]], changed: dict[str, Any]) -> None:
    if changed["id"] in rows:
        tx.execute(update(case).where(case.c.id == changed["id"]).values(changed))
        rows[changed["id"]] |= changed
    else:
        rows[changed["id"]] = row(changed["id"].int, **changed)
        tx.execute(insert(case).values(rows[changed["id"]]))


moment = st.none() | st.sampled_from(MOMENTS)
late = st.fixed_dictionaries(
    {"at": st.sampled_from(MOMENTS).map(datetime.isoformat), "department": st.sampled_from(["D01", "D04"])}
)
change = st.fixed_dictionaries(
    {"id": st.integers(1, 6).map(lambda n: UUID(int=n))},
    optional={
        "status": st.sampled_from(["open", "closed", "void"]),
        "department_code": st.none() | st.sampled_from(["D01", "D02", "D03"]),
        "reported_at": st.sampled_from(MOMENTS),
        "filed_at": moment,
        "dispatched_at": moment,
        "handled_at": moment,
        "closed_at": moment,
        "due_at": moment,
        "overdue_at": moment,
        "clock": st.lists(late, max_size=2).map(lambda found: {"late": found}) | st.just({}),
        "rework_count": st.integers(0, 3),
    },
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(change, min_size=1, max_size=6), min_size=1, max_size=6), repeat=st.booleans())
def test_incremental_equals_recomputed_equals_counted(
    tx: Connection, batches: list[list[dict[str, Any]]], repeat: bool
) -> None:
    savepoint = tx.begin_nested()
    rows: dict[UUID, dict[str, Any]] = {}
    for batch in batches:
        for changed in batch:
            write(tx, rows, changed)
        ids = [changed["id"] for changed in batch]
        measures.apply(tx, ids)
        if repeat:
            assert measures.apply(tx, ids) == 0
    incremental, remembered = rolled_up(tx), memory(tx)
    assert incremental == counted(rows)
    assert measures.recompute(tx) == len(remembered)
    assert rolled_up(tx) == incremental
    assert memory(tx) == remembered
    savepoint.rollback()


def test_a_missed_batch_is_made_up_by_the_next(tx: Connection) -> None:
    rows: dict[UUID, dict[str, Any]] = {}
    for n in range(1, 5):
        write(tx, rows, {"id": UUID(int=n), "filed_at": MOMENTS[1], "department_code": "D01"})
    measures.apply(tx, [UUID(int=1), UUID(int=2)])
    write(tx, rows, {"id": UUID(int=1), "department_code": "D02"})
    measures.apply(tx, [UUID(int=n) for n in (4, 3, 2, 1)])
    assert rolled_up(tx) == counted(rows)


def test_a_figure_moves_with_the_department_and_leaves_with_the_void(tx: Connection) -> None:
    rows: dict[UUID, dict[str, Any]] = {}
    one, grid = UUID(int=1), row(1)["unit_grid_code"]
    write(tx, rows, {"id": one, "department_code": "D01", "dispatched_at": MOMENTS[2]})
    measures.apply(tx, [one])
    day = date(2026, 11, 2)
    assert rolled_up(tx)["dispatched", day, grid, "D01"] == 1
    write(tx, rows, {"id": one, "department_code": "D02"})
    measures.apply(tx, [one])
    assert rolled_up(tx)["dispatched", day, grid, "D02"] == 1
    assert ("dispatched", day, grid, "D01") not in rolled_up(tx)
    write(tx, rows, {"id": one, "status": "void"})
    measures.apply(tx, [one])
    assert not rolled_up(tx)
    assert not memory(tx)


def test_midnight_is_shanghais(tx: Connection) -> None:
    rows: dict[UUID, dict[str, Any]] = {}
    write(tx, rows, {"id": UUID(int=1), "reported_at": datetime(2026, 11, 1, 15, 59, 59, tzinfo=UTC)})
    write(tx, rows, {"id": UUID(int=2), "reported_at": datetime(2026, 11, 1, 16, 0, 0, tzinfo=UTC)})
    measures.apply(tx, list(rows))
    assert {key[1] for key in rolled_up(tx)} == {date(2026, 11, 1), date(2026, 11, 2)}


def test_the_list_behind_a_number_has_that_many_cases(tx: Connection) -> None:
    rows: dict[UUID, dict[str, Any]] = {}
    for n, at in enumerate(MOMENTS, 1):
        write(tx, rows, {"id": UUID(int=n), "filed_at": at, "reported_at": at})
    measures.apply(tx, list(rows))
    behind = set(tx.scalars(measures.measured("filed", since=date(2026, 11, 2), until=date(2026, 11, 2))))
    assert behind == {i for i, r in rows.items() if r["filed_at"].astimezone(SHANGHAI).date() == date(2026, 11, 2)}
    assert 0 < len(behind) < len(rows)


def test_an_unknown_measure_is_refused() -> None:
    with pytest.raises(BadFilter):
        measures.measured("happiness")


def test_roll_ups_at_the_same_time_count_once(database: Database) -> None:
    with transaction(database.engine) as tx:
        tx.execute(insert(case), [row(n, filed_at=MOMENTS[n % 6], department_code=f"D0{n % 3}") for n in range(1, 61)])
    chance = Random(3)
    batches = [[UUID(int=n) for n in chance.sample(range(1, 61), 20)] for _ in range(24)]

    def roll_up(batch: list[UUID]) -> int:
        with transaction(database.engine) as tx:
            return measures.apply(tx, batch)

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(roll_up, batches)) == 2 * len(set().union(*batches))
    with transaction(database.engine) as tx:
        incremental = rolled_up(tx)
        measures.recompute(tx)
        assert rolled_up(tx) == incremental
