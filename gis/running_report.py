"""The running report of a day, a week or a month: measures against the period before, and the cases worth naming.

Knows how a period's figures are put together and kept; what each measure counts is declared in gis.measures, and every
number here is a sum of it, so each opens its cases. A report kept never changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Select, insert, select

from gis import definitions, errors, people, search, statistics
from gis.db import Connection
from gis.digest import sm3_hex
from gis.measures import measured
from gis.people import Caller
from gis.rulebook import rulebook
from gis.search import ZONE
from gis.shifts import midnight
from gis.tables import case, running_report

Kind = Literal["day", "week", "month"]
MEASURES = ("reported", "filed", "handled", "closed", "on_time", "overdue")
BY: tuple[statistics.By, ...] = ("channel", "village", "department", "category")
TOP = 10
MOST_NAMED = 30
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Span:
    """The days of a report and of what it is compared with, first and last included."""

    since: date
    until: date
    before_since: date
    before_until: date


def span(kind: Kind, day: date, today: date) -> Span:
    """The period of ``day``. One that runs still ends today and is compared with as many days of the one before.

    Raises ``PeriodUnfinished`` for one that has not begun.
    """
    if kind == "day":
        since, following, before = day, day + _DAY, day - _DAY
    elif kind == "week":
        since = day - timedelta(days=day.weekday())
        following, before = since + 7 * _DAY, since - 7 * _DAY
    else:
        since = day.replace(day=1)
        following = (since + 31 * _DAY).replace(day=1)
        before = (since - _DAY).replace(day=1)
    if since > today:
        raise errors.PeriodUnfinished(since=since.isoformat(), today=today.isoformat())
    if following - _DAY <= today:
        return Span(since, following - _DAY, before, since - _DAY)
    return Span(since, today, before, min(since - _DAY, before + (today - since)))


def make(tx: Connection, caller: Caller, kind: Kind, day: date, now: datetime) -> dict[str, Any]:
    """A period's figures over the cases the caller may see, as JSON.

    ``totals`` and ``before`` by measure; ``by`` channel, village, department and category, each line with ``key, name,
    values, before`` (of categories the ten with most reports); ``days`` with reports and closings of each day;
    ``notable`` ids of cases by reason.
    """
    asked = span(kind, day, now.astimezone(ZONE).date())
    found: dict[str, Any] = {
        "period": kind,
        "since": asked.since.isoformat(),
        "until": asked.until.isoformat(),
        "before_since": asked.before_since.isoformat(),
        "before_until": asked.before_until.isoformat(),
        "made_at": now.isoformat(),
        "by": {},
    }
    for by in BY:
        at, before = (
            statistics.statistics(tx, caller, measures=MEASURES, by=by, since=since, until=until)
            for since, until in ((asked.since, asked.until), (asked.before_since, asked.before_until))
        )
        found["totals"], found["before"] = at.totals, before.totals
        found["by"][by] = _lines(tx, by, at.rows, before.rows)
    days = statistics.statistics(
        tx, caller, measures=("reported", "closed"), by="day", since=asked.since, until=asked.until
    )
    found["days"] = [{"day": row.key, **row.values} for row in days.rows]
    supervised = select(case.c.id).where(
        case.c.supervised_at >= midnight(asked.since), case.c.supervised_at < midnight(asked.until + _DAY)
    )
    overdue = measured("overdue", since=asked.since, until=asked.until)
    found["notable"] = {"supervised": _named(tx, caller, supervised, now), "overdue": _named(tx, caller, overdue, now)}
    return found


def _lines(
    tx: Connection, by: str, at: Sequence[statistics.Line], before: Sequence[statistics.Line]
) -> list[dict[str, Any]]:
    now, earlier = ({row.key: row for row in rows} for rows in (at, before))
    lines: list[dict[str, Any]] = [
        {
            "key": key,
            "name": (now.get(key) or earlier[key]).name,
            "values": now[key].values if key in now else {},
            "before": earlier[key].values if key in earlier else {},
        }
        for key in now | earlier
    ]
    lines.sort(key=lambda line: (-line["values"].get("reported", 0), -line["before"].get("reported", 0), line["key"]))
    if by != "category":
        return lines
    book = rulebook(tx)
    catalogue = book.catalogues[book.town_catalogue]
    for line in lines[:TOP]:
        kind, _, code = line["key"].partition(":")
        category = catalogue.find(kind, code)
        line["name"] = category.name if category else code
    return lines[:TOP]


def _named(tx: Connection, caller: Caller, among: Select[Any], now: datetime) -> list[str]:
    rows, _ = search.find(tx, caller, search.CaseFilter(), order="due", limit=MOST_NAMED, now=now, among=among)
    return [str(row.id) for row in rows]


def keep(tx: Connection, caller: Caller, report_id: UUID, body: dict[str, Any]) -> str:
    """Keep a report for ever; returns its digest."""
    text = definitions.canonical(body)
    digest = sm3_hex(text.encode())
    tx.execute(
        insert(running_report).values(
            id=report_id,
            period=body["period"],
            since=date.fromisoformat(body["since"]),
            until=date.fromisoformat(body["until"]),
            body=body,
            digest=digest,
            made_by=caller.name,
        )
    )
    people.record(tx, caller.id, caller.name, "report.keep", "ok", {"id": str(report_id), "digest": digest})
    return digest


def kept(tx: Connection, limit: int = 100) -> Sequence[Any]:
    """The reports kept, newest first, without their figures."""
    columns = [c for c in running_report.c if c.name != "body"]
    order = (running_report.c.since.desc(), running_report.c.made_at.desc())
    return tx.execute(select(*columns).order_by(*order).limit(limit)).all()


def one(tx: Connection, report_id: UUID) -> Any:
    """A report kept. Raises ``NotFound``."""
    row = tx.execute(select(running_report).where(running_report.c.id == report_id)).first()
    if row is None:
        raise errors.NotFound(id=str(report_id))
    return row
