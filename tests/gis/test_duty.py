"""Gaps and warnings of a duty calendar, against oracles that look at every half hour and every pair."""

from collections import Counter
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gis import definitions, duty, errors, rulebook
from gis.balance import spread
from gis.duty import Period, Plan, Post, Turn
from gis.running_report import Span, span
from gis.settings import settings
from gis.worktime import Calendar

assert rulebook  # registers the kinds
ZONE = ZoneInfo("Asia/Shanghai")
HALF = timedelta(minutes=30)
MONDAY = date(2026, 9, 28)  # the week runs into the holiday of the first of October
CALENDAR = Calendar(date(2026, 1, 1), date(2026, 12, 31), holidays=frozenset({date(2026, 10, 1), date(2026, 10, 2)}))
REST = timedelta(hours=11)
GRIDS = ("G1", "G2")
ROLES = ("acceptor", "inspector")


def at(day: int, half: int) -> datetime:
    return datetime.combine(MONDAY, time(), ZONE) + timedelta(days=day) + half * HALF


turns = st.builds(
    lambda who, role, day, begin, long, grids: Turn(
        UUID(int=who), role, at(day, begin), at(day, begin + long), frozenset(grids)
    ),
    st.integers(1, 4),
    st.sampled_from(ROLES),
    st.integers(-1, 7),
    st.integers(0, 47),
    st.integers(1, 48),
    st.sets(st.sampled_from(GRIDS)),
)
posts = st.builds(
    lambda role, count, begin, long, days, per, once: Post(
        role, {"zh": role, "en": role}, count, time(begin // 2, begin % 2 * 30), long * HALF, days, per, once
    ),
    st.sampled_from(ROLES),
    st.integers(1, 3),
    st.integers(0, 47),
    st.integers(1, 48),
    st.sampled_from(["every", "working", "free"]),
    st.booleans(),
    st.booleans(),
)


def slow_gaps(some_posts: list[Post], periods: list[Period], standing: list[Turn]) -> Counter:
    """How many are missing in each half hour of each post, day and grid."""
    missing: Counter = Counter()
    for offset in range(7):
        day = MONDAY + timedelta(days=offset)
        working = day.weekday() < 5 and day not in CALENDAR.holidays
        asked = [("", post) for post in some_posts]
        asked += [(p.name, post) for p in periods if p.first <= day <= p.last for post in p.posts]
        for number, (period, post) in enumerate(asked):
            if post.days != "every" and (post.days == "working") != working:
                continue
            begin = datetime.combine(day, post.begins, ZONE)
            slots = [begin + i * HALF for i in range(post.lasts // HALF)]
            for grid in GRIDS if post.per_grid else (None,):
                fits = [t for t in standing if t.role == post.role and (grid is None or grid in t.grids)]
                there = [{t.staff_id for t in fits if t.starts_at <= s < t.ends_at} for s in slots]
                if post.once:
                    there = [set().union(*there)] * len(slots)
                for slot, present in zip(slots, there, strict=True):
                    if len(present) < post.count:
                        missing[number, period, offset, grid, slot] += post.count - len(present)
    return missing


@given(st.lists(posts, max_size=3), st.lists(posts, max_size=2), st.lists(turns, max_size=12))
def test_gaps_equal_a_look_at_every_half_hour(usual, special, standing):
    plan = Plan(REST, (), tuple(usual), ())
    periods = [Period("国庆", MONDAY + timedelta(days=2), MONDAY + timedelta(days=4), tuple(special))]
    wanted = list(duty.demands(plan, CALENDAR, MONDAY, MONDAY + timedelta(days=6), GRIDS, periods))
    found: Counter = Counter()
    for demand in wanted:
        spans = duty.gaps([demand], standing)
        assert all(a.ends_at < b.starts_at or a.missing != b.missing for a, b in pairwise(spans))
        for gap in spans:
            assert demand.starts_at <= gap.starts_at < gap.ends_at <= demand.ends_at
            for i in range((gap.ends_at - gap.starts_at) // HALF):
                found[demand.period, demand.duty_grid, gap.starts_at + i * HALF, demand.post.role] += gap.missing
    asked = [("", post) for post in usual] + [("国庆", post) for post in special]
    slow: Counter = Counter()
    for (number, period, _, grid, slot), n in slow_gaps(usual, periods, standing).items():
        post = asked[number][1] if period == "" else special[number - len(usual)]
        slow[period, grid, slot, post.role] += n
    assert found == slow


@given(st.lists(turns, max_size=10))
def test_warnings_equal_a_look_at_every_pair(standing):
    standing = list({(t.staff_id, t.starts_at): t for t in standing}.values())  # the table's key
    found = duty.warnings(standing, REST)
    pairs = [(a, b) for i, a in enumerate(standing) for b in standing[i + 1 :] if a.staff_id == b.staff_id]
    overlapping = {frozenset((a, b)) for a, b in pairs if a.starts_at < b.ends_at and b.starts_at < a.ends_at}
    assert {frozenset((w.first, w.second)) for w in found if w.kind == "overlap"} == overlapping
    short = {}
    for turn in standing:
        ended = [o.ends_at for o in standing if o.staff_id == turn.staff_id and o.ends_at <= turn.starts_at]
        if ended and turn.starts_at - max(ended) < REST:
            short[turn] = turn.starts_at - max(ended)
    assert {w.second: w.rest for w in found if w.kind == "rest"} == short


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"role": "cook"}, "unknown role"),
        ({"count": 0}, "1 to 100"),
        ({"hours": 25}, "24 hours"),
        ({"days": "sundays"}, "days is"),
        ({"spell": "half"}, "spell is"),
        ({"per": "village"}, "per is"),
        ({"from": "25:00"}, "hour must be"),
    ],
)
def test_a_wrong_post_is_named(change, where):
    body = yaml.safe_load((settings().data_dir / "duty_plans" / "renhe.yaml").read_text("utf-8"))
    body["valid_from"] = str(body["valid_from"])
    assert definitions.check("duty_plan", body).rest == REST
    body["posts"][1] |= change
    with pytest.raises(errors.DefinitionBad, match=r"posts\.1") as refused:
        definitions.check("duty_plan", body)
    assert where in refused.value.detail["why"]


@pytest.mark.parametrize(
    ("kind", "day", "expected"),
    [
        ("day", date(2026, 3, 1), (date(2026, 3, 1), date(2026, 3, 1), date(2026, 2, 28), date(2026, 2, 28))),
        ("week", date(2026, 11, 18), (date(2026, 11, 16), date(2026, 11, 22), date(2026, 11, 9), date(2026, 11, 15))),
        ("month", date(2026, 2, 9), (date(2026, 2, 1), date(2026, 2, 28), date(2026, 1, 1), date(2026, 1, 31))),
        ("month", date(2026, 1, 31), (date(2026, 1, 1), date(2026, 1, 31), date(2025, 12, 1), date(2025, 12, 31))),
        # Periods that run still are compared with as many days of the one before.
        ("week", date(2026, 11, 29), (date(2026, 11, 23), date(2026, 11, 25), date(2026, 11, 16), date(2026, 11, 18))),
        ("month", date(2026, 11, 1), (date(2026, 11, 1), date(2026, 11, 25), date(2026, 10, 1), date(2026, 10, 25))),
    ],
)
def test_a_reports_days(kind, day, expected):
    assert span(kind, day, date(2026, 11, 25)) == Span(*expected)


def test_a_long_month_is_compared_with_a_short_one_only_as_far_as_it_goes():
    assert span("month", date(2026, 3, 1), date(2026, 3, 30)).before_until == date(2026, 2, 28)
    with pytest.raises(errors.PeriodUnfinished):
        span("week", date(2026, 11, 30), date(2026, 11, 25))


@given(st.lists(st.integers(0, 10**6), max_size=30))
def test_the_spread_equals_its_definition(values):
    found = spread(values)
    if not sum(values):
        assert (found.gini, found.max_over_mean) == (None, None)
        return
    n, mean = len(values), sum(values) / len(values)
    assert found.gini == pytest.approx(sum(abs(a - b) for a in values for b in values) / (2 * n * n * mean), abs=1e-9)
    assert found.max_over_mean == pytest.approx(max(values) / mean)
