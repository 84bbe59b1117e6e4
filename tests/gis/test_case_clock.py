"""The clock of a case through its whole life against an oracle that lives every minute of it."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from gis import case_clock, errors
from gis.worktime import Calendar, ClockKind, Limit

BEIJING = ZoneInfo("Asia/Shanghai")
FIRST = date(2025, 9, 22)
BEGIN = datetime.combine(FIRST, time(), BEIJING)
DAYS = 24
MINUTE = timedelta(minutes=1)
KINDS = (ClockKind.urgent_hours, ClockKind.work_hours, ClockKind.work_days, ClockKind.minutes)


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    edges = sorted(draw(st.lists(st.integers(360, 1200), min_size=4, max_size=4, unique=True)))
    clocks = [time(m // 60, m % 60) for m in edges]
    day = st.integers(0, DAYS - 1).map(lambda n: FIRST + timedelta(days=n))
    holidays = draw(st.frozensets(day, max_size=6))
    return Calendar(
        FIRST,
        FIRST + timedelta(days=DAYS - 1),
        periods=((clocks[0], clocks[1]), (clocks[2], clocks[3])),
        holidays=holidays,
        workdays=draw(st.frozensets(day, max_size=3)) - holidays,
    )


@dataclass
class Oracle:
    """What the rules say, minute by minute: how much counted time is used, whether it runs, how much there is."""

    calendar: Calendar
    limit: Limit
    department: str = ""
    used: int = 0
    running: bool = False
    times: int = 1

    def counts(self, minute: int) -> bool:
        if not self.limit.kind.follows_calendar:
            return True
        at = BEGIN + minute * MINUTE
        return self.calendar.is_workday(at.date()) and any(a <= at.time() < b for a, b in self.calendar.periods)

    def live(self, begin: int, end: int) -> None:
        self.used += sum(self.running and self.counts(minute) for minute in range(begin, end))

    def turn(self, effect: str, target: str) -> None:
        if effect == "start" and self.department != target:
            self.department, self.used, self.times, self.running = target, 0, 1, True
        elif effect in ("start", "resume"):
            self.running = True
        elif effect == "stop":
            self.running = False
        elif effect == "extend":
            self.times += 1

    def whole(self) -> int:
        day = sum((b.hour - a.hour) * 60 + b.minute - a.minute for a, b in self.calendar.periods)
        unit = {ClockKind.work_days: day, ClockKind.minutes: 1}.get(self.limit.kind, 60)
        return int(self.limit.amount) * unit * self.times

    def due(self, now: int) -> int | None:
        """The minute at which the limit will be, or was, used up; None past the calendar or while it stands."""
        if not self.running:
            return None
        left = self.whole() - self.used
        for minute in range(now, DAYS * 1440):
            left -= self.counts(minute)
            if left == 0:
                return minute + 1
        return None


@st.composite
def lives(draw: st.DrawFn) -> tuple[Oracle, Oracle, list[tuple[int, str, str]]]:
    """A clock, the same under the calendar as it was changed later, and the steps of a case: (wait, effect, target)."""
    calendar, later = draw(calendars()), draw(calendars())
    kind = draw(st.sampled_from(KINDS))
    amount = draw(st.integers(1, {ClockKind.work_days: 4, ClockKind.minutes: 3000}.get(kind, 30)))
    limit = Limit(Decimal(amount), kind)
    steps = draw(
        st.lists(
            st.tuples(
                st.integers(0, 2000),
                st.sampled_from(["start", "stop", "resume", "extend", "start", "stop", "resume"]),
                st.sampled_from(["D01", "D02"]),
            ),
            max_size=7,
        )
    )
    return Oracle(calendar, limit), Oracle(later, limit), [(draw(st.integers(0, 3000)), "start", "D01"), *steps]


def book(oracle: Oracle) -> Any:
    standard = SimpleNamespace(limit=lambda *_: oracle.limit)
    return SimpleNamespace(versions={}, calendar=oracle.calendar, filing_standard=standard)


@settings(max_examples=150, deadline=None)
@given(lives())
def test_a_clock_tells_what_living_every_minute_of_it_would(life: tuple[Oracle, Oracle, Any]) -> None:
    oracle, _, steps = life
    rules: Any = book(oracle)
    row: dict[str, Any] = {
        "clock": {},
        "versions": {},
        "overdue_at": None,
        "due_at": None,
        "handled_at": None,
        "status": "open",
        "department_code": "D01",
        "category_kind": "event",
        "category_code": "0101",
        "condition_code": "",
        "area_class": "A",
    }
    minute = 0
    for wait, effect, target in steps:
        oracle.live(minute, minute + wait)
        minute += wait
        if minute >= DAYS * 1440:
            return
        at = BEGIN + minute * MINUTE
        try:
            changed = case_clock.turn(None, rules, row, effect, target, at, stopped=False)  # type: ignore[arg-type]
        except errors.BeyondCalendar:
            oracle.turn(effect, target)
            assert oracle.due(minute) is None
            return
        oracle.turn(effect, target)
        row |= changed
        if oracle.running and oracle.used < oracle.whole():
            expected = oracle.due(minute)
            assert expected is not None
            assert row["due_at"] == BEGIN + expected * MINUTE
            assert minute < expected
        elif oracle.running:
            assert row["due_at"] <= at
        else:  # a clock that stands has no due time, unless the limit was used up before
            assert row["due_at"] is None or oracle.used >= oracle.whole()


@settings(max_examples=60, deadline=None)
@given(lives())
def test_a_case_keeps_the_calendar_it_began_with(life: tuple[Oracle, Oracle, Any]) -> None:
    """A calendar changed afterwards is another version: who reads the clock reads the one that is pinned."""
    oracle, later, [(wait, _, target), *_] = life
    at = BEGIN + wait * MINUTE
    row: dict[str, Any] = dict.fromkeys(("overdue_at", "due_at", "handled_at", "category_kind", "category_code"))
    row |= {"clock": {}, "versions": {}, "condition_code": "", "area_class": "A", "department_code": "D01"}
    dues = []
    for one in (oracle, later):
        try:
            dues.append(
                case_clock.turn(None, book(one), row, "start", target, at, stopped=False)["due_at"]  # type: ignore[arg-type]
            )
        except errors.BeyondCalendar:
            dues.append(None)
        one.turn("start", target)
    expected = [one.due(wait) for one in (oracle, later)]
    assert dues == [None if minute is None else BEGIN + minute * MINUTE for minute in expected]
