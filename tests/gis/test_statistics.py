"""Statistics as callers see them: always equal to the list behind them, whoever asks and however it is narrowed."""

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, insert

from gis import measures, search, statistics
from gis.errors import BadFilter
from gis.people import Caller, Grant
from gis.search import CaseFilter
from gis.tables import case, department, division
from tests.gis.case_rows import GRIDS, row

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)  # noon in Shanghai
DAY = timedelta(days=1)


def caller(*grants: tuple[str, str], id: int = 1) -> Caller:
    return Caller(UUID(int=id), "u", "u", ("T01", "一"), tuple(Grant("leader", *g) for g in grants), frozenset())


EVERYONE = caller(("town", ""))
CALLERS = {
    "town": EVERYONE,
    "village": caller(("village", "990113003201")),
    "department": caller(("department", "T02")),
    "duty grid": caller(("duty_grid", "TG1")),
    "own": caller(("own", ""), id=7),
    "village and own": caller(("village", "990113003202"), ("own", ""), id=7),
    "nothing": caller(),
}


@pytest.fixture
def town(tx: Connection) -> Connection:
    """Two hundred cases over three days, all rolled up."""
    chance = random.Random(11)
    tx.execute(insert(department).values([{"code": f"T0{n}", "name": f"部门{n}", "kind": "company"} for n in (1, 2)]))
    tx.execute(
        insert(division).values(
            [
                {
                    "code": code,
                    "level": "village",
                    "name": f"{code}村",
                    "short_name": code[-3:],
                    "valid_from": date(2020, 1, 1),
                }
                for code in sorted(set(GRIDS.values()))
            ]
        )
    )
    rows = [_random_row(n, chance) for n in range(1, 201)]
    tx.execute(insert(case), rows)
    measures.apply(tx, [r["id"] for r in rows])
    return tx


def _random_row(n: int, chance: random.Random) -> dict[str, Any]:
    reported = NOW - chance.random() * 3 * DAY
    steps = [reported + timedelta(minutes=chance.randrange(1, 300) * k) for k in range(1, 6)]
    reached = chance.randrange(6)
    names = ("filed_at", "dispatched_at", "handled_at", "checked_at", "closed_at")
    times: dict[str, Any] = {
        name: at if k < reached and at <= NOW else None
        for k, (name, at) in enumerate(zip(names, sorted(steps), strict=True))
    }
    status = "closed" if times["closed_at"] else chance.choice(["open"] * 8 + ["void"])
    return row(
        n,
        reported_at=reported,
        occurred_at=reported,
        status=status,
        voided_at=reported + timedelta(minutes=5) if status == "void" else None,
        due_at=times["dispatched_at"] and times["dispatched_at"] + timedelta(hours=chance.randrange(1, 8)),
        department_code=chance.choice([None, "T01", "T02"]),
        co_departments=["T02"] if chance.random() < 0.2 else [],
        duty_grid_code=chance.choice(["TG1", "TG2"]),
        channel=chance.choice(["patrol", "public"]),
        reporter_id=UUID(int=7) if chance.random() < 0.1 else None,
        rework_count=chance.choice([0, 0, 0, 1, 2]),
        **times,
    )


def listed(tx: Connection, who: Caller, code: str, wanted: CaseFilter, since: date | None, until: date | None) -> int:
    """The length of the list behind a figure, walked page by page; reworks counted by weight."""
    among, cursor, total = measures.measured(code, since=since, until=until), "", 0
    while True:
        rows, after = search.find(tx, who, wanted, cursor=cursor, limit=100, now=NOW, among=among)
        total += sum(r.rework_count if code == "rework" else 1 for r in rows)
        if after is None:
            return total
        cursor = after


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize(
    "query", [{}, {"village": "990113003201"}, {"department": "T02,T01"}, {"channel": "public"}, {"overdue": "true"}]
)
def test_every_figure_equals_its_list(town: Connection, who: str, query: dict[str, str]) -> None:
    wanted, since, until = CaseFilter.parse(query), date(2026, 11, 19), date(2026, 11, 20)
    told = statistics.statistics(town, CALLERS[who], by="village", since=since, until=until, wanted=wanted, now=NOW)
    for code in measures.MEASURES:
        assert told.totals[code] == listed(town, CALLERS[who], code, wanted, since, until)
        for line in told.rows:
            narrow = replace(wanted, village=(line.key,))
            assert line.values[code] == listed(town, CALLERS[who], code, narrow, since, until)
    assert any(told.totals.values()) == (who != "nothing")


def test_the_roll_up_and_the_cases_say_the_same(town: Connection) -> None:
    """A filter that changes nothing, but that the roll-up cannot express, must not change a figure."""
    for by in ("unit_grid", "village", "department", "day"):
        quick = statistics.statistics(town, EVERYONE, by=by, now=NOW)
        slow = statistics.statistics(town, EVERYONE, by=by, wanted=CaseFilter(channel=("patrol", "public")), now=NOW)
        assert quick == slow
        assert quick.totals["reported"] > 150


def test_names_and_empty_days(town: Connection) -> None:
    by_village = statistics.statistics(town, EVERYONE, by="village", measures=["filed"])
    assert {line.name for line in by_village.rows} == {"201", "202"}
    by_department = statistics.statistics(town, EVERYONE, by="department", measures=["filed"])
    assert [line.name for line in by_department.rows] == ["", "部门1", "部门2"]
    by_day = statistics.statistics(
        town, EVERYONE, by="day", measures=["closed"], since=date(2026, 10, 1), until=date(2026, 10, 3)
    )
    assert [(line.key, line.values) for line in by_day.rows] == [(f"2026-10-0{d}", {"closed": 0}) for d in (1, 2, 3)]


def test_bad_questions_are_refused(tx: Connection) -> None:
    for question in (
        {"measures": ["joy"]},
        {"by": "mood"},
        {"since": date(2026, 2, 1), "until": date(2026, 1, 1)},
        {"since": date(1, 1, 1), "until": date(2026, 1, 1)},
    ):
        with pytest.raises(BadFilter):
            statistics.statistics(tx, EVERYONE, **question)  # type: ignore[arg-type]


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("query", [{}, {"village": "990113003201"}, {"department": "T02"}])
def test_the_key_figures_equal_their_lists(town: Connection, who: str, query: dict[str, str]) -> None:
    wanted = CaseFilter.parse(query)
    told = {figure.code: figure for figure in statistics.figures(town, CALLERS[who], NOW, wanted)}
    assert all(figure.filter.items() >= query.items() for figure in told.values() if figure.filter)
    for code in ("open", "reported_today", "overdue"):
        assert told[code].value == search.count(town, CALLERS[who], CaseFilter.parse(told[code].filter), NOW)
    today = date(2026, 11, 20)
    assert told["closed_today"].value == listed(town, CALLERS[who], "closed", wanted, today, today)
    handled, on_time = (listed(town, CALLERS[who], c, wanted, today, today) for c in ("handled", "on_time"))
    assert told["on_time_rate"].value == (on_time / handled if handled else None)


def test_yesterdays_figures_are_those_of_the_same_hour(tx: Connection) -> None:
    def at(hours_ago: float) -> datetime:
        return NOW - timedelta(hours=hours_ago)

    tx.execute(
        insert(case),
        [
            row(1, reported_at=at(30), status="closed", closed_at=at(20), due_at=at(26), handled_at=at(21)),
            row(2, reported_at=at(25), status="open", closed_at=None, due_at=at(1), handled_at=None),
            row(3, reported_at=at(23), status="open", closed_at=None, due_at=None, handled_at=None),
            row(4, reported_at=at(26), status="closed", closed_at=at(24.5), due_at=at(20), handled_at=at(25)),
        ],
    )
    measures.apply(tx, [UUID(int=n) for n in (1, 2, 3, 4)])
    told = {f.code: (f.value, f.yesterday) for f in statistics.figures(tx, EVERYONE, NOW)}
    assert told["open"] == (2, 2)  # 2 and 3 now; 1 and 2 a day ago
    assert told["overdue"] == (1, 1)  # 2 is late now; 1 was late a day ago
    assert told["reported_today"] == (0, 3)  # 1, 2 and 4; 3 came after yesterday's noon
    assert told["closed_today"] == (0, 1)
    assert told["on_time_rate"] == (None, 1.0)  # nothing handled today is no rate, not a zero


def test_a_share_of_nothing_is_nothing() -> None:
    assert statistics.rate(0, 0) is None
    assert statistics.rate(0, 4) == 0.0
