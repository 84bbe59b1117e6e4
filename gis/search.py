"""The one read path of cases: who sees which, which filter keeps which, page by page.

Knows the SQL form of scope and filter; their form as masks over points is in gis.points and must say the same.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    and_,
    any_,
    bindparam,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy import case as when
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import DateTime, Text, Uuid

from gis import errors
from gis.db import Connection
from gis.geometry import pixel_bounds
from gis.people import Caller, Scope
from gis.tables import case, case_code, department, division, staff

LIGHTS = ("green", "yellow", "red", "none")
ZONE = ZoneInfo("Asia/Shanghai")
Order = Literal["newest", "due"]


def within(scope: Scope) -> ColumnElement[bool]:
    """The rows of ``case`` that a scope covers."""
    if scope.everything:
        return true()
    parts: list[ColumnElement[bool]] = []
    if scope.villages:
        parts.append(case.c.village_code.in_(sorted(scope.villages)))
    if scope.duty_grids:
        parts.append(case.c.duty_grid_code.in_(sorted(scope.duty_grids)))
    if scope.departments:
        codes = sorted(scope.departments)
        parts.append(case.c.department_code.in_(codes))
        parts.append(case.c.co_departments.op("&&")(literal(codes, ARRAY(Text))))
    if scope.own is not None:
        parts.append(_own(scope.own))
    return or_(*parts) if parts else false()


def _own(whom: UUID | BindParameter[UUID]) -> ColumnElement[bool]:
    return or_(case.c.reporter_id == whom, case.c.assignee_id == whom)


def visible_cases(caller: Caller) -> Select[Any]:
    """Every case the caller may see. Everything anyone sees of cases composes on this."""
    return select(case).where(within(caller.scope))


def light(now: datetime) -> ColumnElement[str]:
    """The worse of :func:`handling_light` and :func:`stage_light`: what a case's mark shows wherever it is drawn."""
    handling, stage = handling_light(now), stage_light(now)
    return when(
        (or_(handling == "red", stage == "red"), "red"),
        (or_(handling == "yellow", stage == "yellow"), "yellow"),
        (or_(handling == "green", stage == "green"), "green"),
        else_="none",
    )


def handling_light(now: datetime) -> ColumnElement[str]:
    """green, yellow, red by the handling clock at ``now``; none when the case is not open or has no due time.

    A handled case's clock has stopped at ``handled_at``.
    """
    moment = func.coalesce(case.c.handled_at, now)
    return when(
        (or_(case.c.status != "open", case.c.due_at.is_(None)), "none"),
        (case.c.due_at < moment, "red"),
        (case.c.yellow_at <= moment, "yellow"),
        else_="green",
    )


def stage_light(now: datetime) -> ColumnElement[str]:
    """green, yellow, red by the limit of the stage the case is in; none where it is not open or has no such limit."""
    return when(
        (or_(case.c.status != "open", case.c.stage_due_at.is_(None)), "none"),
        (case.c.stage_due_at < now, "red"),
        (case.c.stage_yellow_at <= now, "yellow"),
        else_="green",
    )


def overdue(now: datetime) -> ColumnElement[bool]:
    """Whether handling took, or by ``now`` is taking, longer than its limit; never null.

    What was closed unhandled stopped then: a case closed by force in time is never late.
    """
    late = func.coalesce(case.c.due_at < func.coalesce(case.c.handled_at, case.c.closed_at, now), False)
    return and_(case.c.status != "void", late)


@dataclass(frozen=True)
class CaseFilter:
    """Which cases: one meaning for list, count, map, heat, stream and export. Empty fields do not restrict.

    ``category`` holds ``kind:prefix`` forms such as ``event:05``; ``since``/``until`` bound ``reported_at`` (until is
    exclusive); ``q`` is a number, a query code or another system's number, else words of description or address;
    ``awaits`` holds roles; ``light`` is the worse of ``handling_light`` and ``stage_light``, the lights of the two
    clocks (red: handling overdue, stage late); ``overdue`` is handling late, ended cases too; ``bbox`` is west, south,
    east, north in EPSG:4490 degrees, edges included, grown to whole world pixels (11 cm) so that map and list agree.
    """

    kind: tuple[str, ...] = ()
    channel: tuple[str, ...] = ()
    category: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    stage: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    light: tuple[str, ...] = ()
    village: tuple[str, ...] = ()
    grid: tuple[str, ...] = ()
    duty_grid: tuple[str, ...] = ()
    department: tuple[str, ...] = ()
    severity: tuple[int, ...] = ()
    component: tuple[str, ...] = ()
    awaits: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    assignee: tuple[UUID, ...] = ()
    parent: tuple[UUID, ...] = ()
    stage_light: tuple[str, ...] = ()
    handling_light: tuple[str, ...] = ()
    supervised: bool | None = None
    urged: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    bbox: tuple[float, float, float, float] | None = None
    overdue: bool | None = None
    q: str = ""

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> "CaseFilter":
        """From query parameters; other parameters are left alone. Raises ``BadFilter`` naming the parameter."""
        values: dict[str, Any] = {}
        for spec in fields(cls):
            text_form = query.get(spec.name, "").strip()
            if not text_form:
                continue
            try:
                values[spec.name] = _PARSERS.get(spec.name, _parse_words)(text_form)
            except ValueError as error:
                raise errors.BadFilter(parameter=spec.name, value=text_form[:200], why=str(error)) from error
        return cls(**values)

    def query(self) -> dict[str, str]:
        """Back to query parameters, in one canonical form: equal filters give equal text."""
        found: dict[str, str] = {}
        for name, value in asdict(self).items():
            if value is None or value == () or value == "":
                continue
            if isinstance(value, tuple):
                ordered = value if name == "bbox" else sorted(set(value))
                found[name] = ",".join(str(v) for v in ordered)
            elif isinstance(value, datetime):
                found[name] = value.astimezone(UTC).isoformat()
            else:
                found[name] = str(value).lower() if isinstance(value, bool) else str(value)
        return found

    def named(self) -> "CaseFilter | None":
        """The part of the filter that is not kept in memory (gis.points); None where there is none."""
        part = CaseFilter(**{name: getattr(self, name) for name in _NOT_IN_MEMORY})
        return None if part == CaseFilter() else part

    def kept(self) -> "CaseFilter":
        """The filter without the part of :meth:`named`."""
        return replace(self, **{name: getattr(CaseFilter(), name) for name in _NOT_IN_MEMORY})

    def people(self) -> Scope:
        """Whose people go with these cases: those of its villages, else of its departments, else everybody."""
        if self.village:
            return Scope(villages=frozenset(self.village))
        return Scope(everything=not self.department, departments=frozenset(self.department))

    def clauses(self, now: datetime) -> list[ColumnElement[bool]]:
        """The filter as conditions on ``case``."""
        found: list[ColumnElement[bool]] = []
        for name, column in _EQUALS.items():
            wanted = getattr(self, name)
            if wanted:
                found.append(case.c[column].in_(sorted(set(wanted))))
        if self.category:
            found.append(or_(*(_category_clause(c) for c in sorted(set(self.category)))))
        if self.awaits:
            found.append(case.c.awaits.op("&&")(literal(sorted(set(self.awaits)), ARRAY(Text))))
        if self.tag:
            found.append(and_(case.c.tags != [], case.c.tags.op("&&")(literal(sorted(set(self.tag)), ARRAY(Text)))))
        if self.supervised is not None:
            found.append(case.c.supervised_at.is_not(None) if self.supervised else case.c.supervised_at.is_(None))
        if self.urged is not None:
            found.append(case.c.urge_count > 0 if self.urged else case.c.urge_count == 0)
        for name, lit in _LIT.items():
            wanted = getattr(self, name)
            if wanted:
                found.append(lit(now).in_(sorted(set(wanted))))
        if self.since:
            found.append(case.c.reported_at >= self.since)
        if self.until:
            found.append(case.c.reported_at < self.until)
        if self.bbox:
            west, south, east, north = pixel_bounds(self.bbox)
            found.append(and_(case.c.lon >= west, case.c.lon < east))
            found.append(and_(case.c.lat > south, case.c.lat <= north))
        if self.overdue is not None:
            found.append(overdue(now) if self.overdue else ~overdue(now))
        if self.q:
            found.append(_text_clause(self.q))
        return found


_EQUALS = {
    "kind": "kind",
    "channel": "channel",
    "state": "state",
    "stage": "stage",
    "status": "status",
    "village": "village_code",
    "grid": "unit_grid_code",
    "duty_grid": "duty_grid_code",
    "department": "department_code",
    "severity": "severity",
    "component": "component_code",
    "assignee": "assignee_id",
    "parent": "parent_id",
}
_LIT = {"light": light, "handling_light": handling_light, "stage_light": stage_light}
# What only the database knows of a case: the point store is told which cases these parts keep.
_NOT_IN_MEMORY = ("q", "component", "parent")


def _category_clause(text_form: str) -> ColumnElement[bool]:
    kind, _, prefix = text_form.partition(":")
    if not prefix:
        return case.c.category_kind == kind
    if len(prefix) == 4:
        return and_(case.c.category_kind == kind, case.c.category_code == prefix)
    return and_(case.c.category_kind == kind, case.c.category_code >= prefix, case.c.category_code < prefix + "~")


def _text_clause(q: str) -> ColumnElement[bool]:
    # As an array, so that the index on the id serves it whatever stands beside it.
    theirs = case.c.id == any_(func.array(select(case_code.c.case_id).where(case_code.c.code == q).scalar_subquery()))
    if len(q) > 4 and q.isascii() and any(c.isdigit() for c in q) and " " not in q:
        return or_(case.c.number.startswith(q.upper(), autoescape=True), case.c.query_code == q.upper(), theirs)
    words = or_(case.c.description.contains(q, autoescape=True), case.c.address.contains(q, autoescape=True))
    if len(q) > 1:
        pairs = literal(sorted({q[i : i + 2] for i in range(len(q) - 1)}), ARRAY(Text))
        words = and_(func.bigrams(case.c.description, case.c.address).op("@>")(pairs), words)
    return or_(words, case.c.query_code == q.upper(), theirs)  # one code in twenty has no digit


def _parse_words(text_form: str) -> tuple[str, ...]:
    words = tuple(w.strip() for w in text_form.split(",") if w.strip())
    if len(words) > 500:
        raise ValueError("more than 500 values")
    if any("\x00" in w for w in words):
        raise ValueError("a value holds a null character")
    return words


def _parse_categories(text_form: str) -> tuple[str, ...]:
    words = _parse_words(text_form)
    for word in words:
        kind, _, prefix = word.partition(":")
        if kind not in ("component", "event") or (prefix and not (prefix.isdigit() and len(prefix) in (2, 4))):
            raise ValueError("a category is component or event, then a colon and 2 or 4 digits")
    return words


def _parse_ids(text_form: str) -> tuple[UUID, ...]:
    return tuple(UUID(word) for word in _parse_words(text_form))


def _parse_lights(text_form: str) -> tuple[str, ...]:
    words = _parse_words(text_form)
    if not set(words) <= set(LIGHTS):
        raise ValueError(f"a light is one of {', '.join(LIGHTS)}")
    return words


def parse_time(text_form: str) -> datetime:
    """An ISO date (its local midnight) or time (local when it names no zone). Raises ``ValueError``."""
    if len(text_form) == 10:
        moment = datetime.combine(date.fromisoformat(text_form), time(), ZONE)
    else:
        moment = datetime.fromisoformat(text_form)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=ZONE)
    if not 1970 <= moment.year <= 2200:  # beyond that some arithmetic on it, or another zone, leaves the calendar
        raise ValueError("a year from 1970 to 2200")
    return moment


def _parse_severities(text_form: str) -> tuple[int, ...]:
    levels = tuple(int(part) for part in _parse_words(text_form))
    if not set(levels) <= {1, 2, 3}:
        raise ValueError("a severity is 1, 2 or 3")
    return levels


def _parse_until(text_form: str) -> datetime:
    return parse_time(text_form) + (timedelta(days=1) if len(text_form) == 10 else timedelta())


def _parse_bbox(text_form: str) -> tuple[float, ...]:
    numbers = tuple(float(part) for part in text_form.split(","))
    if len(numbers) != 4 or any(abs(n) > 360 or n != n for n in numbers):
        raise ValueError("bbox is west,south,east,north in degrees")
    if numbers[0] > numbers[2] or numbers[1] > numbers[3]:
        raise ValueError("bbox is west,south,east,north: its corners are reversed")
    return numbers


def _parse_bool(text_form: str) -> bool:
    if text_form.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return text_form.lower() == "true"


def _parse_q(text_form: str) -> str:
    if len(text_form) > 100 or "\x00" in text_form:
        raise ValueError("at most 100 characters, none of them null")
    return text_form


_PARSERS: dict[str, Any] = {
    "category": _parse_categories,
    "light": _parse_lights,
    "stage_light": _parse_lights,
    "handling_light": _parse_lights,
    "assignee": _parse_ids,
    "parent": _parse_ids,
    "supervised": _parse_bool,
    "urged": _parse_bool,
    "severity": _parse_severities,
    "since": parse_time,
    "until": _parse_until,
    "bbox": _parse_bbox,
    "overdue": _parse_bool,
    "q": _parse_q,
}


# What a list tells nobody of, and what would take as long to read as the rest together.
_NOT_LISTED = {
    *("mk", "h3", "condition_code", "co_departments", "routing", "facts", "extra", "content_digest", "last_hash"),
    *("occurred_at", "accepted_at", "filed_at", "dispatched_at", "checked_at", "voided_at", "overdue_at", "wake_at"),
    *("return_count", "extension_count", "appeal_count", "simulated", "query_code", "parent_id", "updated_at"),
}


def named(cases: Select[Any]) -> Select[Any]:
    """The same rows with ``village_name``, ``department_name``, ``reporter_name`` and ``assignee_name`` beside them."""
    page, assignee = cases.subquery(), staff.alias()
    return (
        select(
            page,
            division.c.short_name.label("village_name"),
            department.c.name.label("department_name"),
            staff.c.name.label("reporter_name"),
            assignee.c.name.label("assignee_name"),
        )
        .join(division, division.c.code == page.c.village_code, isouter=True)
        .join(department, department.c.code == page.c.department_code, isouter=True)
        .join(staff, staff.c.id == page.c.reporter_id, isouter=True)
        .join(assignee, assignee.c.id == page.c.assignee_id, isouter=True)
    )


_LISTED = [c for c in case.c if c.name not in _NOT_LISTED]


@lru_cache(maxsize=256)
def _listed(shared: Scope) -> Select[Any]:
    """The cases ``ids`` of a scope or of ``own``, as lists show them.

    Made once for all who share a scope but for their own cases: to build it takes longer than to run it.
    """
    ids, own = bindparam("ids", type_=ARRAY(Uuid)), bindparam("own", type_=Uuid())
    return named(select(*_LISTED).where(or_(within(shared), _own(own)), case.c.id == func.any(ids)))


def find(
    tx: Connection,
    caller: Caller,
    wanted: CaseFilter,
    *,
    order: Order = "newest",
    cursor: str = "",
    limit: int = 20,
    now: datetime | None = None,
    among: Select[Any] | Sequence[UUID] | None = None,
) -> tuple[Sequence[Any], str | None]:
    """One page of visible cases and the cursor of the next, or None at the end.

    ``order``: newest report first, or least time left first (``next_due_at``; cases without a running limit last).
    ``among`` restricts to a Select of case ids, or to these. Rows are as of :func:`named`, but with the columns a list
    tells. Raises ``BadCursor``.
    """
    moment = now or datetime.now(UTC)
    statement = visible_cases(caller).where(*wanted.clauses(moment))
    if isinstance(among, Select):
        statement = statement.where(case.c.id.in_(among))
    elif among is not None:
        statement = statement.where(case.c.id == func.any(literal(list(among), ARRAY(Uuid))))
    due = _due(case.c.next_due_at)
    key: ColumnElement[Any] = tuple_(due if order == "due" else case.c.reported_at, case.c.id)
    sorting: tuple[ColumnElement[Any], ...] = (due, case.c.id)
    if order == "newest":
        sorting = (case.c.reported_at.desc(), case.c.id.desc())
    if cursor:
        at, last = decode(cursor, order)
        since = literal(at, DateTime(timezone=True)) if at else literal_column("'infinity'::timestamptz")
        edge = tuple_(since, literal(last, Uuid))
        statement = statement.where(key > edge if order == "due" else key < edge)
    # Ids first, whole rows of the few after: a statement over every column takes longer to build than to run.
    ids = tx.execute(statement.with_only_columns(case.c.id).order_by(*sorting).limit(limit + 1)).scalars().all()
    rows = listed(tx, caller, ids[:limit])
    return rows, following(rows[-1], order) if len(ids) > limit else None


def listed(tx: Connection, caller: Caller, ids: Sequence[UUID]) -> list[Any]:
    """Those of the named cases that the caller may see, in this order, with the columns a list tells."""
    scope = caller.scope
    statement = _listed(replace(scope, own=None))
    whole = {row.id: row for row in tx.execute(statement, {"ids": list(ids), "own": scope.own}).all()}
    return [whole[one] for one in ids if one in whole]


def following(last: Any, order: Order) -> str:
    """The cursor of the page after the one that ends with this row."""
    return _encode(last.reported_at if order == "newest" else last.next_due_at, last.id, order)


def _due(moment: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.coalesce(moment, literal_column("'infinity'"))  # the index's very expression


def count(tx: Connection, caller: Caller, wanted: CaseFilter, now: datetime | None = None) -> int:
    """How many cases the list holds; a slow and certain count, for checks and exports."""
    cases = visible_cases(caller).where(*wanted.clauses(now or datetime.now(UTC))).subquery()
    return int(tx.execute(select(func.count()).select_from(cases)).scalar_one())


def some(tx: Connection, caller: Caller, ids: Sequence[UUID]) -> Sequence[Any]:
    """Those of the named cases that the caller may see, with names beside them."""
    return tx.execute(named(visible_cases(caller).where(case.c.id.in_(ids)))).all()


def assignees(tx: Connection, caller: Caller) -> list[dict[str, Any]]:
    """Who holds, or held last, a case the caller may see: {id, name, department}, by department and name."""
    held = visible_cases(caller).where(case.c.assignee_id == staff.c.id).with_only_columns(literal(1)).correlate(staff)
    rows = tx.execute(
        select(staff.c.id, staff.c.name, department.c.name.label("department"))
        .join(department, department.c.code == staff.c.department_code, isouter=True)
        .where(held.exists())
        .order_by(department.c.code, staff.c.name, staff.c.id)
    )
    return [{"id": str(row.id), "name": row.name, "department": row.department} for row in rows]


def matching(tx: Connection, caller: Caller, wanted: CaseFilter, ids: Sequence[UUID], now: datetime) -> set[UUID]:
    """Those of the named cases that the caller may see and the filter keeps."""
    chosen = visible_cases(caller).where(case.c.id.in_(ids), *wanted.clauses(now)).with_only_columns(case.c.id)
    return set(tx.execute(chosen).scalars())


def _encode(at: datetime | None, last: UUID, order: Order) -> str:
    edge = [order, at.isoformat() if at else "", str(last)]
    return base64.urlsafe_b64encode(json.dumps(edge).encode()).decode().rstrip("=")


def decode(cursor: str, order: Order) -> tuple[datetime | None, UUID]:
    """The moment (None: no running limit) and id after which the page of a cursor begins. Raises ``BadCursor``."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        made_for, at, last = json.loads(base64.urlsafe_b64decode(padded))
        if made_for != order:
            raise ValueError("the cursor belongs to another order")
        moment = datetime.fromisoformat(at) if at or order == "newest" else None
        if moment is not None and moment.tzinfo is None:
            raise ValueError("a moment without a zone")
        return moment, UUID(last)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise errors.BadCursor(cursor=cursor[:100]) from error
