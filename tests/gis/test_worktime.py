"""Clocks against a slow oracle that looks at every minute, and the laws that tie due, elapsed and remaining."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import accumulate, pairwise
from time import perf_counter
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gis import errors
from gis.settings import settings as configured
from gis.worktime import (
    Calendar,
    ClockKind,
    Counts,
    Limit,
    Pause,
    describe,
    due,
    elapsed,
    in_words,
    remaining,
    spans,
    total,
    yellow_at,
)

BEIJING = ZoneInfo("Asia/Shanghai")
FIRST = date(2025, 9, 22)
MINUTE = timedelta(minutes=1)
MICROSECOND = timedelta(microseconds=1)
OFFICE = Calendar(date(2025, 1, 1), date(2027, 12, 31))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BEIJING)


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    """About two weeks with random office hours (to the minute), holidays and make-up days."""
    days = draw(st.integers(2, 16))
    last = FIRST + timedelta(days=days - 1)
    edges = sorted(draw(st.lists(st.integers(0, 1439), min_size=2, max_size=6, unique=True)))
    clocks = [time(m // 60, m % 60) for m in edges[: len(edges) // 2 * 2]]
    known = st.sets(st.integers(0, days - 1).map(lambda n: FIRST + timedelta(days=n)), max_size=5)
    holidays = draw(known)
    workdays = draw(known) - holidays
    return Calendar(
        FIRST,
        last,
        periods=tuple(zip(clocks[::2], clocks[1::2], strict=True)),
        holidays=frozenset(holidays),
        workdays=frozenset(workdays),
    )


@dataclass(frozen=True)
class Clock:
    """A started clock on whole minutes, which the oracle can count."""

    calendar: Calendar
    kind: ClockKind
    limit: Limit
    start: datetime
    pauses: tuple[Pause, ...]


def _moments(calendar: Calendar) -> st.SearchStrategy[datetime]:
    """Minutes of the known range; often exactly a begin or end of office hours."""
    zero = datetime.combine(calendar.known_from, time(), BEIJING)
    days = (calendar.known_to - calendar.known_from).days + 1
    edges = [c.hour * 60 + c.minute for period in calendar.periods for c in period]
    inside = st.integers(0, days * 1440).map(lambda n: zero + n * MINUTE)
    edge = st.builds(lambda d, m: zero + (d * 1440 + m) * MINUTE, st.integers(0, days - 1), st.sampled_from(edges))
    return inside | edge


@st.composite
def clocks(draw: st.DrawFn) -> Clock:
    """A clock with up to four pauses: overlapping, empty, out of office hours, before the start, perhaps one open."""
    calendar = draw(calendars())
    kind = draw(st.sampled_from(ClockKind))
    most = {ClockKind.minutes: 5000, ClockKind.natural_days: 12, ClockKind.work_days: 6}.get(kind, 60)
    moments = _moments(calendar)
    pairs = draw(st.lists(st.tuples(moments, moments).map(sorted), max_size=4))
    pauses: list[Pause] = [(a, b) for a, b in pairs]
    if draw(st.integers(0, 4)) == 0:
        pauses.append((draw(moments), None))
    return Clock(calendar, kind, Limit(Decimal(draw(st.integers(1, most))), kind), draw(moments), tuple(pauses))


def counted_minutes(clock: Clock) -> list[bool]:
    """The oracle: for every minute from the start to the end of the range, whether it counts."""
    calendar = clock.calendar
    midnight = datetime.combine(calendar.known_to + timedelta(days=1), time(), BEIJING)
    marks = []
    for n in range((midnight - clock.start) // MINUTE):
        minute = clock.start + n * MINUTE
        counts = True
        if clock.kind in (ClockKind.work_hours, ClockKind.work_days):
            day, hour = minute.date(), minute.time()
            working = day in calendar.workdays or (day.weekday() < 5 and day not in calendar.holidays)
            counts = working and any(begin <= hour < end for begin, end in calendar.periods)
        paused = any(begin <= minute and (end is None or minute < end) for begin, end in clock.pauses)
        marks.append(counts and not paused)
    return marks


def limit_minutes(clock: Clock) -> int:
    day = sum(b.hour * 60 + b.minute - a.hour * 60 - a.minute for a, b in clock.calendar.periods)
    unit = {"urgent_hours": 60, "work_hours": 60, "work_days": day, "natural_days": 1440, "minutes": 1}[clock.kind]
    return int(clock.limit.amount) * unit


@settings(max_examples=120, deadline=None)
@given(clocks(), st.integers(0, 20000))
def test_due_elapsed_and_remaining_equal_the_minute_count(clock: Clock, later: int) -> None:
    marks = counted_minutes(clock)
    used = [0, *accumulate(marks)]
    wanted = limit_minutes(clock)
    expected = next((clock.start + n * MINUTE for n, count in enumerate(used) if count >= wanted), None)
    if expected is not None:
        assert due(clock.start, clock.limit, clock.calendar, clock.pauses) == expected
    elif any(end is None for _, end in clock.pauses):
        assert due(clock.start, clock.limit, clock.calendar, clock.pauses) is None
    elif clock.kind.follows_calendar:
        with pytest.raises(errors.BeyondCalendar):
            due(clock.start, clock.limit, clock.calendar, clock.pauses)
    n = min(later, len(marks))
    now = clock.start + n * MINUTE
    assert elapsed(clock.start, now, clock.kind, clock.calendar, clock.pauses) == used[n] * MINUTE
    assert remaining(clock.start, now, clock.limit, clock.calendar, clock.pauses) == (wanted - used[n]) * MINUTE


@settings(max_examples=120, deadline=None)
@given(clocks(), st.integers(0, 20000))
def test_the_drawn_line_tells_every_minute_as_it_counted(clock: Clock, later: int) -> None:
    marks = counted_minutes(clock)
    n = min(later, len(marks))
    end = clock.start + n * MINUTE
    drawn = list(spans(clock.start, end, clock.kind, clock.calendar, clock.pauses))
    edges = [clock.start, *(span.end for span in drawn)]
    assert [span.begin for span in drawn] == edges[:-1], "no gaps"
    assert edges[-1] == end
    assert all(a.how != b.how for a, b in pairwise(drawn))
    assert all(span.end > span.begin for span in drawn)
    hows = [span.how for span in drawn for _ in range((span.end - span.begin) // MINUTE)]
    assert [how is Counts.counting for how in hows] == marks[:n]
    paused = [
        any(a <= m and (b is None or m < b) for a, b in clock.pauses)
        for m in (clock.start + i * MINUTE for i in range(n))
    ]
    assert [how is Counts.paused for how in hows] == paused


@settings(max_examples=150, deadline=None)
@given(
    st.datetimes(datetime(2025, 1, 1), datetime(2026, 6, 30)),
    st.decimals("0.01", "20", places=2),
    st.sampled_from(ClockKind),
    st.lists(st.tuples(st.integers(-(10**6), 10**7), st.integers(0, 10**6)), max_size=4),
    st.integers(0, 10**7),
    st.integers(0, 10**6),
)
def test_laws_of_the_clock_hold_to_the_microsecond(
    naive: datetime, amount: Decimal, kind: ClockKind, holds: list[tuple[int, int]], later: int, more: int
) -> None:
    start = naive.replace(tzinfo=BEIJING)
    limit = Limit(amount, kind)
    pauses = [(start + timedelta(seconds=a), start + timedelta(seconds=a + b)) for a, b in holds]
    end = due(start, limit, OFFICE, pauses)
    assert end is not None
    assert end > start
    assert elapsed(start, end, kind, OFFICE, pauses) == total(limit, OFFICE)
    assert elapsed(start, end - MICROSECOND, kind, OFFICE, pauses) == total(limit, OFFICE) - MICROSECOND
    assert remaining(start, end, limit, OFFICE, pauses) == timedelta()
    yellow = yellow_at(start, limit, OFFICE, pauses)
    assert yellow is not None
    assert start < yellow < end
    first, second = start + timedelta(seconds=later), start + timedelta(seconds=later + more)
    before, after = (remaining(start, now, limit, OFFICE, pauses) for now in (first, second))
    assert timedelta() <= before - after <= second - first
    assert (before <= timedelta()) == (first >= end)


@settings(max_examples=150, deadline=None)
@given(
    st.datetimes(datetime(2025, 1, 1), datetime(2026, 6, 30)),
    st.integers(1, 15),
    st.sampled_from(ClockKind),
    st.floats(0, 0.999),
    st.integers(0, 30 * 86400),
)
def test_a_pause_shifts_the_due_time_by_what_it_held_back(
    naive: datetime, amount: int, kind: ClockKind, when: float, seconds: int
) -> None:
    start = naive.replace(tzinfo=BEIJING)
    limit = Limit(Decimal(amount), kind)
    plain = due(start, limit, OFFICE)
    assert plain is not None
    held = start + (plain - start) * when
    resumed = held + timedelta(seconds=seconds)
    shifted = due(start, limit, OFFICE, [(held, resumed)])
    assert shifted is not None
    assert elapsed(plain, shifted, kind, OFFICE) == elapsed(held, resumed, kind, OFFICE)
    # What was left when the clock was held is what it still runs after it resumes.
    left = remaining(start, held, limit, OFFICE)
    assert elapsed(resumed, shifted, kind, OFFICE) == left
    assert due(start, limit, OFFICE, [(held, None)]) is None
    # A pause after the due time, cut in two, or given twice changes nothing.
    assert due(start, limit, OFFICE, [(plain, plain + timedelta(days=3))]) == plain
    middle = held + (resumed - held) / 2
    assert due(start, limit, OFFICE, [(middle, resumed), (held, middle), (held, resumed)]) == shifted


@pytest.mark.parametrize(
    ("start", "limit", "expected"),
    [
        # A limit that ends with the office hours ends there, not at the next begin.
        ("2025-09-22T08:00", "4工作时", "2025-09-22T12:00"),
        ("2025-09-22T08:00", "1工作日", "2025-09-22T18:00"),
        # Started at noon, in the evening, on a weekend: the clock begins with the next office hours.
        ("2025-09-22T12:00", "1工作时", "2025-09-22T15:00"),
        ("2025-09-22T12:30", "1工作时", "2025-09-22T15:00"),
        ("2025-09-22T18:00", "1工作时", "2025-09-23T09:00"),
        ("2025-09-20T10:00", "1工作时", "2025-09-22T09:00"),
        # 28 September 2025 is a Sunday at work; 1 to 8 October are holidays; 11 October is a Saturday at work.
        ("2025-09-26T17:00", "2工作时", "2025-09-28T09:00"),
        ("2025-09-30T17:00", "2工作时", "2025-10-09T09:00"),
        ("2025-10-10T14:00", "1工作日", "2025-10-11T12:00"),
        # Clocks of danger run through night and holiday.
        ("2025-09-30T23:00", "2紧急工作时", "2025-10-01T01:00"),
        ("2025-09-30T23:00", "2自然日", "2025-10-02T23:00"),
        ("2025-09-30T17:50", "15分钟", "2025-09-30T18:05"),
    ],
)
def test_known_days_of_beijing(start: str, limit: str, expected: str) -> None:
    assert due(at(start), Limit.parse(limit), beijing()) == at(expected)


def beijing() -> Calendar:
    text = (configured().data_dir / "calendars" / "beijing.yaml").read_text(encoding="utf-8")
    return Calendar.from_body(yaml.safe_load(text))


def test_the_beijing_calendar_knows_the_official_make_up_days() -> None:
    calendar = beijing()
    assert calendar.is_workday(date(2024, 10, 12))  # a Saturday
    assert not calendar.is_workday(date(2026, 2, 23))  # a Monday of the Spring Festival
    assert (calendar.known_from, calendar.known_to) == (date(2024, 1, 1), date(2027, 12, 31))
    assert calendar.day_length == timedelta(hours=8)


def test_other_zones_of_the_moments_do_not_matter() -> None:
    limit = Limit.parse("3工作时")
    start = at("2025-09-22T16:00")
    assert due(start.astimezone(UTC), limit, OFFICE) == due(start, limit, OFFICE) == at("2025-09-23T09:00")


def test_working_clocks_refuse_to_guess_past_the_calendar() -> None:
    calendar = beijing()
    start = at("2027-12-31T17:00")
    assert due(start, Limit.parse("1工作时"), calendar) == at("2027-12-31T18:00")
    with pytest.raises(errors.BeyondCalendar) as refused:
        due(start, Limit.parse("2工作时"), calendar)
    assert refused.value.detail["known_to"] == "2027-12-31"
    with pytest.raises(errors.BeyondCalendar):
        due(at("2023-12-31T09:00"), Limit.parse("1工作时"), calendar)
    with pytest.raises(errors.BeyondCalendar):
        elapsed(start, at("2028-01-01T00:01"), ClockKind.work_days, calendar)
    assert due(start, Limit.parse("30自然日"), calendar) == at("2028-01-30T17:00")


def test_a_pause_that_ends_before_it_begins_is_refused() -> None:
    start = at("2025-09-22T09:00")
    with pytest.raises(ValueError, match="pause"):
        due(start, Limit.parse("1工作时"), OFFICE, [(start + MINUTE, start)])


def test_nothing_has_elapsed_before_the_start() -> None:
    start = at("2025-09-22T09:00")
    assert elapsed(start, start - timedelta(days=1), ClockKind.work_hours, OFFICE) == timedelta()


@pytest.mark.parametrize(
    ("text", "amount", "kind"),
    [
        ("2紧急工作时", "2", ClockKind.urgent_hours),
        ("4小时", "4", ClockKind.work_hours),
        ("15天", "15", ClockKind.work_days),
        ("2紧急工作日", "2", ClockKind.natural_days),
        ("3工作日\n", "3", ClockKind.work_days),
        ("1紧急工作时制止", "1", ClockKind.urgent_hours),
        (" ２ 工作时 ", "2", ClockKind.work_hours),
        ("0.5工作日", "0.5", ClockKind.work_days),
        ("半天", "0.5", ClockKind.work_days),
        ("十五个工作日", "15", ClockKind.work_days),
        ("二十天", "20", ClockKind.work_days),
        ("两小时内", "2", ClockKind.work_hours),
        ("15分钟", "15", ClockKind.minutes),
        ("5自然日", "5", ClockKind.natural_days),
        ("2 work_days", "2", ClockKind.work_days),
    ],
)
def test_limits_as_standards_write_them(text: str, amount: str, kind: ClockKind) -> None:
    assert Limit.parse(text) == Limit(Decimal(amount), kind)


@pytest.mark.parametrize(
    "text", ["", "尽快", "工作时", "0工作时", "-2工作时", "2", "2周", "2工作时4小时", "1-2天", None]
)
def test_other_limits_are_refused(text: str) -> None:
    with pytest.raises(errors.DefinitionBad):
        Limit.parse(text)


@given(st.decimals("0.1", "999", places=1), st.sampled_from(ClockKind))
def test_a_written_limit_reads_back(amount: Decimal, kind: ClockKind) -> None:
    assert Limit.parse(str(Limit(amount, kind))) == Limit(amount, kind)


@pytest.mark.parametrize(
    ("left", "kind", "zh", "en"),
    [
        (timedelta(hours=2), "work_hours", "剩 2 工作时", "2 working hours left"),
        (-timedelta(hours=11), "work_days", "超 1 工作日 3 工作时", "overdue by 1 working day 3 working hours"),
        (timedelta(hours=8), "work_days", "剩 1 工作日", "1 working day left"),
        (timedelta(minutes=95), "work_days", "剩 1 工作时 35 分钟", "1 working hour 35 working minutes left"),
        (timedelta(hours=26, minutes=59), "urgent_hours", "剩 26 小时 59 分钟", "26 hours 59 minutes left"),
        (timedelta(days=2, hours=5, minutes=59), "natural_days", "剩 2 天 5 小时", "2 days 5 hours left"),
        (timedelta(minutes=75), "minutes", "剩 75 分钟", "75 minutes left"),
        (timedelta(seconds=59), "minutes", "剩 0 分钟", "0 minutes left"),
        (-timedelta(seconds=1), "work_hours", "超 1 分钟", "overdue by 1 working minute"),
        (-timedelta(hours=7, minutes=59, seconds=30), "work_days", "超 1 工作日", "overdue by 1 working day"),
        (timedelta(), "work_hours", "剩 0 分钟", "0 working minutes left"),
    ],
)
def test_words_for_what_is_left(left: timedelta, kind: str, zh: str, en: str) -> None:
    assert describe(left, ClockKind(kind)) == {"zh": zh, "en": en}


GOOD = {
    "known_from": "2025-01-01",
    "known_to": "2025-12-31",
    "zone": "Asia/Shanghai",
    "periods": [["08:00", "12:00"], ["14:00", "18:00"]],
    "holidays": [{"name": "元旦", "from": "2025-01-01", "to": "2025-01-01"}],
    "workdays": [{"name": "调休", "date": "2025-01-26"}],
}


@pytest.mark.parametrize(
    "change",
    [
        {"known_to": "2024-12-31"},
        {"known_to": "2025-13-01"},
        {"known_from": None},
        {"zone": "Asia/Shunyi"},
        {"periods": []},
        {"periods": [["12:00", "08:00"]]},
        {"periods": [["08:00", "13:00"], ["12:00", "18:00"]]},
        {"periods": [["08:00"]]},
        {"holidays": [{"from": "2025-02-04", "to": "2025-01-28"}]},
        {"holidays": [{"from": "2025-12-31", "to": "2026-01-01"}]},
        {"holidays": [{"from": "2025-01-26", "to": "2025-01-26"}]},
        {"workdays": ["2025-01-26"]},
    ],
)
def test_bad_calendars_are_refused(change: dict[str, object]) -> None:
    Calendar.from_body(GOOD)
    with pytest.raises(errors.DefinitionBad):
        Calendar.from_body(GOOD | change)
    with pytest.raises(errors.DefinitionBad):
        Calendar.from_body({key: value for key, value in GOOD.items() if key not in change})


def test_a_due_time_costs_microseconds() -> None:
    calendar, limit, start = beijing(), Limit.parse("20工作日"), at("2025-09-19T11:30")
    pauses = [(start + timedelta(days=n), start + timedelta(days=n, hours=5)) for n in range(3)]
    rounds = []
    for _ in range(20):
        begun = perf_counter()
        for _ in range(50):
            due(start, limit, calendar, pauses)
        rounds.append((perf_counter() - begun) / 50)
    assert min(rounds) < 100e-6  # some 15 µs alone on the machine; a loop over minutes would take milliseconds


@pytest.mark.parametrize(
    ("limit", "zh", "en"),
    [
        ("2紧急工作时", "2 紧急工作时", "2 hours"),
        ("1工作时", "1 工作时", "1 working hour"),
        ("半工作日", "0.5 工作日", "0.5 working days"),
        ("10工作日", "10 工作日", "10 working days"),
        ("15自然日", "15 自然日", "15 days"),
        ("30分钟", "30 分钟", "30 minutes"),
    ],
)
def test_a_limit_in_words(limit: str, zh: str, en: str) -> None:
    assert in_words(Limit.parse(limit)) == {"zh": zh, "en": en}
