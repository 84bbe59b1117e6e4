"""Figures as a caller may see them: measures by grid, village, department, day, channel or category; the wall's six.

Knows scopes, filters and names; what a measure counts is declared in gis.measures. Every figure equals the list
behind it: ``search.find(..., among=measures.measured(...))`` or the list with the figure's ``filter``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, FromClause, and_, func, or_, select

from gis import tracks
from gis.db import Connection
from gis.errors import BadFilter
from gis.measures import MEASURES, measure, measured
from gis.people import Caller
from gis.search import ZONE, CaseFilter, count, overdue, within
from gis.tables import case, department, division, measure_case, measure_day

By = Literal["unit_grid", "village", "department", "day", "channel", "category"]
_COLUMN = {"unit_grid": "unit_grid_code", "village": "village_code", "department": "department_code", "day": "day"}
#: What the roll-up has no column for: these ask the cases behind it.
_OF_CASES: dict[str, ColumnElement[str]] = {
    "channel": case.c.channel,
    "category": func.concat(case.c.category_kind, ":", case.c.category_code),
}
#: Filters that the roll-up has columns for; any other, and any scope but town and village, asks the cases.
_ROLLED_UP = {"village": "village_code", "grid": "unit_grid_code", "department": "department_code"}
_LONGEST = timedelta(days=3660)

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Line:
    """One key's figures: a code (or ISO day), its name, and n by measure."""

    key: str
    name: str
    values: dict[str, int]


@dataclass(frozen=True)
class Statistics:
    """Figures by key, in key order, and their sums."""

    by: str
    rows: list[Line]
    totals: dict[str, int]


@dataclass(frozen=True)
class Figure:
    """One key figure now and 24 hours before. A rate of nothing (0/0) is None: neither good nor bad.

    ``filter`` are the query parameters of the list behind it; with ``measure`` it is that measure's list, its days
    being ``day_since`` to ``day_until``.
    """

    code: str
    value: float | int | None
    yesterday: float | int | None
    filter: dict[str, str]


def statistics(
    tx: Connection,
    caller: Caller,
    *,
    measures: Sequence[str] = tuple(MEASURES),
    by: str = "village",
    since: date | None = None,
    until: date | None = None,
    wanted: CaseFilter | None = None,
    now: datetime | None = None,
) -> Statistics:
    """Figures on the days ``since`` to ``until`` (both included; None: unbounded) over the cases the caller may see.

    ``wanted`` narrows the cases further (its own ``since``/``until`` bound the report, not the figure's day). Days in
    a bounded range are all listed, other keys only when something was counted. Raises ``BadFilter``.
    """
    codes = list(dict.fromkeys(measure(code).code for code in measures))
    if by not in (*_COLUMN, *_OF_CASES):
        raise BadFilter(parameter="by", value=by, known=[*_COLUMN, *_OF_CASES])
    if since and until and not timedelta() <= until - since <= _LONGEST:
        raise BadFilter(parameter="until", value=until.isoformat(), why="before since, or more than ten years later")
    wanted = wanted or CaseFilter()
    source, counted = measure_day.c, None if by in _OF_CASES else _rolled_up(caller, wanted)
    origin: FromClause = measure_day
    if counted is None:
        source, origin = measure_case.c, measure_case.join(case, case.c.id == measure_case.c.case_id)
        counted = [within(caller.scope), *wanted.clauses(now or datetime.now(UTC))]
    key = _OF_CASES[by] if by in _OF_CASES else source[_COLUMN[by]]
    statement = select(key, source.measure, func.sum(source.n)).select_from(origin)
    statement = statement.where(source.measure.in_(codes), *counted)
    if since:
        statement = statement.where(source.day >= since)
    if until:
        statement = statement.where(source.day <= until)
    found: dict[Any, dict[str, int]] = {}
    if by == "day" and since and until:
        found = {since + DAY * i: {} for i in range((until - since).days + 1)}
    for one, code, n in tx.execute(statement.group_by(key, source.measure)):
        found.setdefault(one, {})[code] = int(n)
    names = _names(tx, by)
    rows = [
        Line(str(one), names.get(str(one), str(one)), {code: figures.get(code, 0) for code in codes})
        for one, figures in sorted(found.items())
    ]
    return Statistics(by, rows, {code: sum(row.values[code] for row in rows) for code in codes})


def figures(
    tx: Connection, caller: Caller, now: datetime | None = None, wanted: CaseFilter | None = None
) -> list[Figure]:
    """The wall's six figures, each with its value 24 hours earlier in the day, so that a morning is not a fall.

    ``wanted`` narrows them to villages or departments; inspectors then are those in these villages, of these
    departments.

    Yesterday's ``open`` and ``overdue`` are judged by today's due times: a limit changed since then counts as now.
    """
    moment = now or datetime.now(UTC)
    before, today = moment - DAY, moment.astimezone(ZONE).date()
    this_day = {"since": today.isoformat(), "until": today.isoformat()}
    figure_day = {"day_since": today.isoformat(), "day_until": today.isoformat()}

    narrow = wanted or CaseFilter()
    narrowed, among = narrow.clauses(moment), narrow.people()

    def behind(query: dict[str, str]) -> int:
        return count(tx, caller, CaseFilter.parse(query), moment)

    def then(*clauses: ColumnElement[bool]) -> int:
        return tx.scalar(select(func.count()).where(within(caller.scope), *narrowed, *clauses)) or 0

    def on_day(code: str, at: datetime) -> int:
        day, declared = at.astimezone(ZONE).date(), MEASURES[code]
        return then(case.c.id.in_(measured(code, since=day, until=day)), declared.at <= at)

    of = narrow.query()
    open_now, late_now = {**of, "status": "open"}, {**of, "status": "open", "overdue": "true"}
    reported = {**of, **this_day, "status": "open,closed"}
    figure_day |= of
    was_open = and_(
        case.c.reported_at <= before,
        or_(case.c.closed_at.is_(None), case.c.closed_at > before),
        or_(case.c.voided_at.is_(None), case.c.voided_at > before),
    )
    start_of_yesterday = datetime.combine(before.astimezone(ZONE).date(), datetime.min.time(), ZONE)
    return [
        Figure("open", behind(open_now), then(was_open), open_now),
        Figure(
            "reported_today",
            behind(reported),
            then(case.c.reported_at.between(start_of_yesterday, before), case.c.status != "void"),
            reported,
        ),
        Figure("closed_today", on_day("closed", moment), on_day("closed", before), {"measure": "closed", **figure_day}),
        Figure("overdue", behind(late_now), then(was_open, overdue(before), case.c.due_at < before), late_now),
        Figure(
            "on_time_rate",
            rate(on_day("on_time", moment), on_day("handled", moment)),
            rate(on_day("on_time", before), on_day("handled", before)),
            {"measure": "handled", **figure_day},
        ),
        Figure(
            "inspectors_online",
            tracks.online(tx, caller.scope, moment, among),
            tracks.online(tx, caller.scope, before, among),
            {},
        ),
    ]


def rate(part: int, whole: int) -> float | None:
    """A share between 0 and 1; of nothing there is none."""
    return part / whole if whole else None


def _rolled_up(caller: Caller, wanted: CaseFilter) -> list[ColumnElement[bool]] | None:
    """Scope and filter as conditions on ``measure_day``; None when it has not the columns to say them."""
    scope = caller.scope
    if not scope.everything and (scope.duty_grids or scope.departments or scope.own is not None):
        return None
    given = {spec.name: getattr(wanted, spec.name) for spec in fields(wanted)}
    narrowed = {name: value for name, value in given.items() if value not in ((), "", None)}
    if not narrowed.keys() <= _ROLLED_UP.keys():
        return None
    clauses: list[ColumnElement[bool]] = [
        measure_day.c[_ROLLED_UP[name]].in_(sorted(set(value))) for name, value in narrowed.items()
    ]
    if not scope.everything:
        clauses.append(measure_day.c.village_code.in_(sorted(scope.villages)))
    return clauses


def _names(tx: Connection, by: str) -> dict[str, str]:
    if by == "village":
        rows = tx.execute(select(division.c.code, division.c.short_name).where(division.c.level == "village"))
    elif by == "department":
        rows = tx.execute(select(department.c.code, department.c.name))
    else:
        return {}
    return {code: name for code, name in rows}
