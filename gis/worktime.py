"""Clocks: a limit, a kind of clock, a working calendar and pauses give due time, elapsed and remaining time.

Pure; does not know cases, stages or where calendars are stored. All moments are aware datetimes; results are in the
calendar's zone. Whatever is measured is *counted* time: all time for natural clocks, only the calendar's office hours
for working clocks, never the time inside a pause. A due time is the earliest moment at which the limit is used up, so
a limit that ends with the morning ends at 12:00, not at 14:00.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gis import errors

Pause = tuple[datetime, datetime | None]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_NEVER = 2**63  # the end of an open pause: after every moment
_DEFAULT_PERIODS = ((time(8), time(12)), (time(14), time(18)))


class ClockKind(StrEnum):
    """How a limit counts."""

    urgent_hours = "urgent_hours"  # 紧急工作时: hours that run day and night
    work_hours = "work_hours"  # 工作时: hours within the calendar's office hours
    work_days = "work_days"  # 工作日: the office hours of so many working days
    natural_days = "natural_days"  # 自然日: 24 hours each
    minutes = "minutes"  # 分钟: natural minutes, for the limits of stages

    @property
    def follows_calendar(self) -> bool:
        """Whether only office hours count."""
        return self in (ClockKind.work_hours, ClockKind.work_days)


class Counts(StrEnum):
    """How a span of time is taken by a clock."""

    counting = "counting"
    resting = "resting"  # out of office hours
    paused = "paused"


class Span(NamedTuple):
    """A span of time and how a clock takes it."""

    begin: datetime
    end: datetime
    how: Counts


# Longest first, since 紧急工作时 ends in 工作时. A bare hour or day is a working one, as filing standards write it.
_WORDS: tuple[tuple[str, ClockKind], ...] = (
    ("紧急工作时", ClockKind.urgent_hours),
    ("紧急工作日", ClockKind.natural_days),
    ("自然日", ClockKind.natural_days),
    ("日历日", ClockKind.natural_days),
    ("工作小时", ClockKind.work_hours),
    ("工作时", ClockKind.work_hours),
    ("工作日", ClockKind.work_days),
    ("分钟", ClockKind.minutes),
    ("小时", ClockKind.work_hours),
    ("天", ClockKind.work_days),
    ("日", ClockKind.work_days),
    ("时", ClockKind.work_hours),
    *((kind.value, kind) for kind in ClockKind),
)
_UNITS = {
    ClockKind.urgent_hours: timedelta(hours=1),
    ClockKind.work_hours: timedelta(hours=1),
    ClockKind.natural_days: timedelta(days=1),
    ClockKind.minutes: timedelta(minutes=1),
}
_WORKING_WORDS = (("工作日", "working day"), ("工作时", "working hour"), ("分钟", "working minute"))
_NATURAL_WORDS = (("天", "day"), ("小时", "hour"), ("分钟", "minute"))
_LIMIT_WORDS = {
    ClockKind.urgent_hours: ("紧急工作时", "hour"),
    ClockKind.work_hours: ("工作时", "working hour"),
    ClockKind.work_days: ("工作日", "working day"),
    ClockKind.natural_days: ("自然日", "day"),
    ClockKind.minutes: ("分钟", "minute"),
}
_LIMIT = re.compile(
    r"(?P<amount>\d+(?:\.\d+)?|半|[一二两三四五六七八九]?十[一二三四五六七八九]?|[一二两三四五六七八九])"
    rf"个?(?P<unit>{'|'.join(re.escape(word) for word, _ in _WORDS)})(?P<rest>[^\d]*)"
)
_DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九")} | {"两": 2}


@dataclass(frozen=True, slots=True)
class Limit:
    """So much counted time. ``amount`` is in units of ``kind`` and above zero."""

    amount: Decimal | float
    kind: ClockKind

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """A limit as filing standards write it: ``2紧急工作时``, ``4小时``, ``1紧急工作时制止``, ``2 work_days``.

        Spaces, line ends and full-width forms do not matter; words after the unit are taken as a remark. A bare 小时
        is a 工作时, a bare 天 a 工作日, a 紧急工作日 a natural day. Raises ``DefinitionBad`` for anything else.
        """
        plain = "".join(unicodedata.normalize("NFKC", text).split()) if isinstance(text, str) else ""
        found = _LIMIT.fullmatch(plain)
        if found is None:
            raise errors.DefinitionBad(why=f"not a time limit: {text!r}", limit=str(text))
        amount = _number(found["amount"])
        if amount <= 0:
            raise errors.DefinitionBad(why=f"a time limit must be above zero: {text!r}", limit=text)
        return cls(amount, dict(_WORDS)[found["unit"]])

    def __str__(self) -> str:
        return f"{self.amount} {self.kind.value}"


def _number(words: str) -> Decimal:
    if words == "半":
        return Decimal("0.5")
    if "十" in words:
        tens, ones = words.split("十")
        return Decimal(10 * _DIGITS.get(tens, 1) + _DIGITS.get(ones, 0))
    return Decimal(_DIGITS[words]) if words in _DIGITS else Decimal(words)


@dataclass(frozen=True)
class Calendar:
    """Office hours of every day from ``known_from`` to ``known_to``, both included.

    Monday to Friday are working days, except ``holidays``; so are ``workdays``, the make-up days. ``periods`` are the
    office hours of a working day as local times, ascending and not overlapping. Raises ``DefinitionBad``.
    """

    known_from: date
    known_to: date
    zone: str = "Asia/Shanghai"
    periods: tuple[tuple[time, time], ...] = _DEFAULT_PERIODS
    holidays: frozenset[date] = frozenset()
    workdays: frozenset[date] = frozenset()
    # Computed once. Moments are whole microseconds since 1970: every period's begin and end, ascending, and the
    # working time of the range before that period.
    tz: ZoneInfo = field(init=False, repr=False, compare=False)
    day_length: timedelta = field(init=False, repr=False, compare=False)
    _span: tuple[int, int] = field(init=False, repr=False, compare=False)
    _begins: list[int] = field(init=False, repr=False, compare=False)
    _ends: list[int] = field(init=False, repr=False, compare=False)
    _before: list[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check()
        tz = ZoneInfo(self.zone)
        begins: list[int] = []
        ends: list[int] = []
        before: list[int] = []
        total = 0
        for day in filter(self.is_workday, _days(self.known_from, self.known_to)):
            for opens, closes in self.periods:
                begins.append(_micro(datetime.combine(day, opens, tz)))
                ends.append(_micro(datetime.combine(day, closes, tz)))
                before.append(total)
                total += ends[-1] - begins[-1]
        computed = {
            "tz": tz,
            "day_length": sum((_since_midnight(b) - _since_midnight(a) for a, b in self.periods), timedelta()),
            "_span": (
                _micro(datetime.combine(self.known_from, time(), tz)),
                _micro(datetime.combine(self.known_to + _DAY, time(), tz)),
            ),
            "_begins": begins,
            "_ends": ends,
            "_before": before,
        }
        for name, value in computed.items():
            object.__setattr__(self, name, value)

    def _check(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise errors.DefinitionBad(where="zone", why=f"unknown time zone: {self.zone}") from error
        if self.known_from > self.known_to:
            raise errors.DefinitionBad(where="known_from", why="the known range ends before it begins")
        in_order = all(a < b for a, b in self.periods) and all(
            before[1] <= after[0] for before, after in pairwise(self.periods)
        )
        if not self.periods or not in_order:
            raise errors.DefinitionBad(where="periods", why="office hours must be given, ascending and apart")
        both = self.holidays & self.workdays
        if both:
            raise errors.DefinitionBad(where="workdays", why=f"both holiday and working day: {min(both)}")
        beyond = [day for day in self.holidays | self.workdays if not self.known_from <= day <= self.known_to]
        if beyond:
            raise errors.DefinitionBad(where="known_to", why=f"a listed day is outside the known range: {min(beyond)}")

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "Calendar":
        """The checked calendar of a definition body: ISO dates and times as text.

        ``known_from, known_to, zone, periods: [[begin, end]], holidays: [{from, to}], workdays: [{date}]``. Raises
        ``DefinitionBad``.
        """
        try:
            return cls(
                known_from=date.fromisoformat(body["known_from"]),
                known_to=date.fromisoformat(body["known_to"]),
                zone=body["zone"],
                periods=tuple((time.fromisoformat(begin), time.fromisoformat(end)) for begin, end in body["periods"]),
                holidays=frozenset(
                    day
                    for row in body["holidays"]
                    for day in _days(date.fromisoformat(row["from"]), date.fromisoformat(row["to"]))
                ),
                workdays=frozenset(date.fromisoformat(row["date"]) for row in body["workdays"]),
            )
        except KeyError as error:
            raise errors.DefinitionBad(where="calendar", why=f"missing entry: {error.args[0]}") from error
        except (TypeError, ValueError) as error:
            raise errors.DefinitionBad(where="calendar", why=str(error)) from error

    def continued(self, later: "Calendar") -> "Calendar":
        """This calendar as far as it reaches, and ``later``'s days after that: next year's notice comes out while
        cases run. The office hours stay these."""
        if later.known_to <= self.known_to or later.known_from > self.known_to + _DAY:
            return self
        return _continued(self, later)

    def is_workday(self, day: date) -> bool:
        """Whether office hours are kept on ``day``. A guess outside the known range; the clocks never ask there."""
        return day in self.workdays or (day.weekday() < 5 and day not in self.holidays)

    def _periods(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """The working periods between two moments, cut at them. Raises ``BeyondCalendar``."""
        for at in (begin, end):
            if not self._span[0] <= at <= self._span[1]:
                raise self._beyond(at)
        for index in range(bisect_right(self._ends, begin), bisect_left(self._begins, end)):
            yield max(self._begins[index], begin), min(self._ends[index], end)

    def _worked(self, at: int) -> int:
        """Working microseconds from the begin of the known range to ``at``. Raises ``BeyondCalendar``."""
        if not self._span[0] <= at <= self._span[1]:
            raise self._beyond(at)
        index = bisect_right(self._begins, at) - 1
        return 0 if index < 0 else self._before[index] + min(at, self._ends[index]) - self._begins[index]

    def _reached(self, worked: int) -> int:
        """The earliest moment with so much working time (above zero) before it; ``_NEVER`` past the known range."""
        index = bisect_left(self._before, worked) - 1
        if index < 0:
            return _NEVER
        at = self._begins[index] + worked - self._before[index]
        return at if at <= self._ends[index] else _NEVER

    def _beyond(self, at: int) -> errors.Problem:
        return errors.BeyondCalendar(
            at=_moment(at, self.tz).isoformat(), known_from=str(self.known_from), known_to=str(self.known_to)
        )


@lru_cache(maxsize=16)
def _continued(calendar: Calendar, later: Calendar) -> Calendar:
    holidays, workdays = ({day for day in days if day > calendar.known_to} for days in (later.holidays, later.workdays))
    return replace(
        calendar,
        known_to=later.known_to,
        holidays=calendar.holidays | holidays,
        workdays=calendar.workdays | workdays,
    )


def total(limit: Limit, calendar: Calendar) -> timedelta:
    """The counted time of a limit, to the microsecond. A working day counts the calendar's office hours of a day."""
    unit = calendar.day_length if limit.kind is ClockKind.work_days else _UNITS[limit.kind]
    return timedelta(microseconds=round(Decimal(limit.amount) * (unit // _MICROSECOND)))


def due(start: datetime, limit: Limit, calendar: Calendar, pauses: Iterable[Pause] = ()) -> datetime | None:
    """When the limit is used up: the earliest moment with ``elapsed == total``. None while an open pause prevents it.

    ``pauses`` are (from, to or None while still open), in any order; they may overlap. Raises ``BeyondCalendar`` when
    a working clock would leave the known calendar, ``ValueError`` for a pause that ends before it begins.
    """
    return _used_up(start, total(limit, calendar), limit.kind, calendar, pauses)


def yellow_at(
    start: datetime, limit: Limit, calendar: Calendar, pauses: Iterable[Pause] = (), share: float = 0.8
) -> datetime | None:
    """When ``share`` of the limit is used up; otherwise as ``due``."""
    return _used_up(start, total(limit, calendar) * share, limit.kind, calendar, pauses)


def elapsed(
    start: datetime, now: datetime, kind: ClockKind, calendar: Calendar, pauses: Iterable[Pause] = ()
) -> timedelta:
    """Counted time from ``start`` to ``now``; zero before the start. Raises as ``due``."""
    begin, end = _micro(start), _micro(now)
    if end <= begin:
        return timedelta()
    count = calendar._worked if kind.follows_calendar else int
    counted = count(end) - count(begin)
    for held, resumed in _merged(pauses, begin):
        if held >= end:
            break
        counted -= count(min(resumed, end)) - count(held)
    return timedelta(microseconds=counted)


def spans(
    start: datetime, end: datetime, kind: ClockKind, calendar: Calendar, pauses: Iterable[Pause] = ()
) -> Iterator[Span]:
    """How the time from ``start`` to ``end`` counted: in order, without gaps, neighbours of different kind.

    What is ``counting`` adds up to ``elapsed``. A pause is ``paused`` by night too; ``resting`` is the rest of what
    does not count. Raises as ``due``.
    """
    last: Span | None = None
    for span in _pieces(_micro(start), _micro(end), kind, calendar, pauses):
        if last is not None and last.how == span.how:
            last = last._replace(end=span.end)
            continue
        if last is not None:
            yield last
        last = span
    if last is not None:
        yield last


def _pieces(at: int, stop: int, kind: ClockKind, calendar: Calendar, pauses: Iterable[Pause]) -> Iterator[Span]:
    """The spans as they come, neighbours of one kind not yet joined."""
    for held, resumed in [*_merged(pauses, at), (_NEVER, _NEVER)]:
        until = min(held, stop)
        for opens, closes in _counted(at, until, kind, calendar):
            if opens > at:
                yield _span(at, opens, Counts.resting, calendar)
            yield _span(opens, closes, Counts.counting, calendar)
            at = closes
        if until > at:
            yield _span(at, until, Counts.resting, calendar)
        at = min(resumed, stop)
        if at > until:
            yield _span(until, at, Counts.paused, calendar)


def _counted(at: int, until: int, kind: ClockKind, calendar: Calendar) -> Iterator[tuple[int, int]]:
    if until <= at:
        return iter(())
    return calendar._periods(at, until) if kind.follows_calendar else iter([(at, until)])


def _span(begin: int, end: int, how: Counts, calendar: Calendar) -> Span:
    return Span(_moment(begin, calendar.tz), _moment(end, calendar.tz), how)


def remaining(
    start: datetime, now: datetime, limit: Limit, calendar: Calendar, pauses: Iterable[Pause] = ()
) -> timedelta:
    """Counted time left at ``now``; below zero by the counted time overdue. Raises as ``due``."""
    return total(limit, calendar) - elapsed(start, now, limit.kind, calendar, pauses)


def describe(left: timedelta, kind: ClockKind, day_length: timedelta = timedelta(hours=8)) -> dict[str, str]:
    """Words for a remaining time: {"zh": "剩 2 工作时", "en": "2 working hours left"}; 超 / overdue below zero.

    At most two units, rounded so that it never promises more or hides lateness. ``day_length`` is the calendar's.
    """
    late = left < timedelta()
    day = day_length if kind is ClockKind.work_days else _DAY
    in_days = kind in (ClockKind.work_days, ClockKind.natural_days)
    grain = timedelta(hours=1) if in_days and abs(left) >= day else timedelta(minutes=1)
    rounded = -(left // grain) * grain if late else left // grain * grain
    days, rest = divmod(rounded, day) if in_days else (0, rounded)
    hours, rest = divmod(rest, timedelta(hours=1)) if kind is not ClockKind.minutes else (0, rest)
    counts = (days, hours, rest // timedelta(minutes=1))
    words = _WORKING_WORDS if kind.follows_calendar else _NATURAL_WORDS
    parts = [(n, zh, en) for n, (zh, en) in zip(counts, words, strict=True) if n] or [(0, *words[2])]
    zh = " ".join(f"{n} {unit}" for n, unit, _ in parts)
    en = " ".join(f"{n} {unit}{'' if n == 1 else 's'}" for n, _, unit in parts)
    return {"zh": f"{'超' if late else '剩'} {zh}", "en": f"overdue by {en}" if late else f"{en} left"}


def in_words(limit: Limit) -> dict[str, str]:
    """A limit in words: {"zh": "2 工作时", "en": "2 working hours"}."""
    amount = f"{Decimal(limit.amount).normalize():f}"
    zh, en = _LIMIT_WORDS[limit.kind]
    return {"zh": f"{amount} {zh}", "en": f"{amount} {en}{'' if amount == '1' else 's'}"}


def _used_up(
    start: datetime, counted: timedelta, kind: ClockKind, calendar: Calendar, pauses: Iterable[Pause]
) -> datetime | None:
    begin = _micro(start)
    count, reach = (calendar._worked, calendar._reached) if kind.follows_calendar else (int, int)
    target = count(begin) + max(counted // _MICROSECOND, 1)
    at = reach(target)
    for held, resumed in _merged(pauses, begin):
        if at <= held:
            break
        before = count(held)
        if resumed == _NEVER:
            return None
        target += count(resumed) - before
        at = reach(target)
    if at == _NEVER:
        raise calendar._beyond(calendar._span[1])
    return _moment(at, calendar.tz)


def _merged(pauses: Iterable[Pause], begin: int) -> list[tuple[int, int]]:
    """The pauses after ``begin`` in order, overlapping ones joined; an open end is ``_NEVER``."""
    joined: list[tuple[int, int]] = []
    for held, resumed in sorted((_micro(a), _NEVER if b is None else _micro(b)) for a, b in pauses):
        if resumed < held:
            raise ValueError("a pause ends before it begins")
        if resumed <= begin:
            continue
        if joined and held <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], resumed))
        else:
            joined.append((max(held, begin), resumed))
    return joined


def _micro(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def _moment(micro: int, tz: ZoneInfo) -> datetime:
    return (_EPOCH + micro * _MICROSECOND).astimezone(tz)


def _since_midnight(clock: time) -> timedelta:
    return datetime.combine(date.min, clock) - datetime.min


def _days(first: date, last: date) -> Iterator[date]:
    """Every day from ``first`` to ``last``. Raises ``ValueError`` when they are swapped."""
    if last < first:
        raise ValueError(f"a span of days ends before it begins: {first} to {last}")
    return (first + offset * _DAY for offset in range((last - first).days + 1))
