"""Who has to be on duty and who is: posts become demands, turns meet them, and what is left is a gap. Pure.

Knows turns, posts and the working calendar; knows no database. Moments are aware; a span includes its start and
excludes its end.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import Any, Literal
from uuid import UUID

from gis import errors
from gis.workflow import ROLES
from gis.worktime import Calendar

Days = Literal["every", "working", "free"]
_DAY = timedelta(days=1)
_LONGEST = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Turn:
    """One shift of one person on a post. ``grids`` are the duty grids that have somebody while it lasts."""

    staff_id: UUID
    role: str
    starts_at: datetime
    ends_at: datetime
    grids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Post:
    """So many people of a role from a time of day on, on some days; ``once``: at some time in the span is enough."""

    role: str
    name: Mapping[str, str]
    count: int
    begins: time
    lasts: timedelta
    days: Days = "every"
    per_grid: bool = False
    once: bool = False

    @classmethod
    def from_body(cls, raw: Mapping[str, Any]) -> "Post":
        """``role, count, from, hours`` and, where they differ, ``name, days, per, spell``. Raises ``ValueError``."""
        lasts = timedelta(hours=float(raw["hours"]))
        found = cls(
            role=raw["role"],
            name=raw.get("name") or {"zh": raw["role"], "en": raw["role"]},
            count=int(raw["count"]),
            begins=time.fromisoformat(raw["from"]),
            lasts=lasts,
            days=raw.get("days", "every"),
            per_grid=raw.get("per", "") == "duty_grid",
            once=raw.get("spell", "whole") == "once",
        )
        if found.role not in ROLES:
            raise ValueError(f"unknown role: {found.role}")
        if not 1 <= found.count <= 100 or not timedelta() < lasts <= _LONGEST:
            raise ValueError("a post wants 1 to 100 people for up to 24 hours")
        if found.days not in ("every", "working", "free") or raw.get("spell", "whole") not in ("whole", "once"):
            raise ValueError("days is every, working or free; spell is whole or once")
        if raw.get("per", "") not in ("", "duty_grid"):
            raise ValueError("per is duty_grid or nothing")
        return found


@dataclass(frozen=True, slots=True)
class Template:
    """A usual turn: its code, name, time of day and length."""

    code: str
    name: Mapping[str, str]
    begins: time
    lasts: timedelta


@dataclass(frozen=True)
class Plan:
    """A town's duty plan: the rest everybody has a right to, usual turns, posts, what is handed over with a desk."""

    rest: timedelta
    templates: tuple[Template, ...]
    posts: tuple[Post, ...]
    equipment: tuple[Mapping[str, str], ...]

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "Plan":
        """A definition's checked plan. Raises ``DefinitionBad`` naming the post, ``KeyError`` or ``ValueError``."""
        posts = []
        for i, raw in enumerate(body["posts"]):
            try:
                posts.append(Post.from_body(raw))
            except (KeyError, TypeError, ValueError) as error:
                raise errors.DefinitionBad(where=f"posts.{i}", why=str(error)) from error
        templates = tuple(
            Template(t["code"], t["name"], time.fromisoformat(t["from"]), timedelta(hours=float(t["hours"])))
            for t in body["turns"]
        )
        if any(not timedelta() < t.lasts <= _LONGEST for t in templates):
            raise ValueError("a turn lasts up to 24 hours")
        return cls(timedelta(hours=float(body["rest_hours"])), templates, tuple(posts), tuple(body["equipment"]))


@dataclass(frozen=True, slots=True)
class Period:
    """An important time: first and last day, and the posts it asks for beside the usual ones."""

    name: str
    first: date
    last: date
    posts: tuple[Post, ...]


@dataclass(frozen=True, slots=True)
class Demand:
    """A post on one day, in one duty grid where it is per grid; ``period`` names the important time that asks."""

    post: Post
    starts_at: datetime
    ends_at: datetime
    duty_grid: str | None = None
    period: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """A span in which ``missing`` people are wanting."""

    demand: Demand
    starts_at: datetime
    ends_at: datetime
    missing: int


def demands(
    plan: Plan,
    calendar: Calendar,
    first: date,
    last: date,
    grids: Sequence[str] = (),
    periods: Iterable[Period] = (),
) -> Iterator[Demand]:
    """What the days ``first`` to ``last`` (both included) ask for, in order of day."""
    important = tuple(periods)
    for day in (first + _DAY * i for i in range((last - first).days + 1)):
        working = calendar.is_workday(day)
        asked = [("", post) for post in plan.posts]
        asked += [(p.name, post) for p in important if p.first <= day <= p.last for post in p.posts]
        for period, post in asked:
            if post.days == "every" or (post.days == "working") is working:
                starts = datetime.combine(day, post.begins, calendar.tz)
                for grid in grids if post.per_grid else (None,):
                    yield Demand(post, starts, starts + post.lasts, grid, period)


def gaps(wanted: Iterable[Demand], turns: Iterable[Turn]) -> list[Gap]:
    """The longest spans of each demand in which the same number of people is wanting."""
    by_role: dict[str, list[Turn]] = defaultdict(list)
    for turn in turns:
        by_role[turn.role].append(turn)
    by_role = {role: sorted(some, key=lambda t: t.starts_at) for role, some in by_role.items()}
    starts = {role: [t.starts_at for t in some] for role, some in by_role.items()}
    found: list[Gap] = []
    for demand in wanted:
        role = demand.post.role
        # A turn that could still be there began before the span ends; nobody stands for longer than a day.
        some = by_role.get(role, [])
        low = bisect_right(starts.get(role, []), demand.starts_at - _LONGEST - _DAY)
        high = bisect_right(starts.get(role, []), demand.ends_at)
        there = [
            t
            for t in some[low:high]
            if t.starts_at < demand.ends_at
            and t.ends_at > demand.starts_at
            and (demand.duty_grid is None or demand.duty_grid in t.grids)
        ]
        found += _once(demand, there) if demand.post.once else _whole(demand, there)
    return found


def _once(demand: Demand, there: Sequence[Turn]) -> list[Gap]:
    missing = demand.post.count - len({t.staff_id for t in there})
    return [Gap(demand, demand.starts_at, demand.ends_at, missing)] if missing > 0 else []


def _whole(demand: Demand, there: Sequence[Turn]) -> list[Gap]:
    edges = {demand.starts_at, demand.ends_at}
    for turn in there:
        edges |= {max(turn.starts_at, demand.starts_at), min(turn.ends_at, demand.ends_at)}
    found: list[Gap] = []
    ordered = sorted(edges)
    for begin, end in pairwise(ordered):
        present = len({t.staff_id for t in there if t.starts_at <= begin and t.ends_at >= end})
        missing = demand.post.count - present
        if missing <= 0:
            continue
        if found and found[-1].ends_at == begin and found[-1].missing == missing:
            begin = found.pop().starts_at
        found.append(Gap(demand, begin, end, missing))
    return found


@dataclass(frozen=True, slots=True)
class Warned:
    """Two turns of one person: ``overlap``, or ``rest`` with less time between them than there must be."""

    kind: Literal["overlap", "rest"]
    first: Turn
    second: Turn
    rest: timedelta = field(default=timedelta())


def warnings(turns: Iterable[Turn], rest: timedelta) -> list[Warned]:
    """Every pair of one person's turns that overlap, and every turn begun too soon after the last that ended."""
    by_person: dict[UUID, list[Turn]] = defaultdict(list)
    for turn in turns:
        by_person[turn.staff_id].append(turn)
    found: list[Warned] = []
    for some in by_person.values():
        some.sort(key=lambda t: (t.starts_at, t.ends_at))
        by_end = sorted(some, key=lambda t: t.ends_at)
        ends = [t.ends_at for t in by_end]
        for i, turn in enumerate(some):
            for other in some[i + 1 :]:
                if other.starts_at >= turn.ends_at:
                    break
                found.append(Warned("overlap", turn, other))
            ended = bisect_right(ends, turn.starts_at) - 1
            if ended >= 0 and turn.starts_at - ends[ended] < rest:
                found.append(Warned("rest", by_end[ended], turn, turn.starts_at - ends[ended]))
    return found
