"""What an editor of the duty list is told: names that fit nothing, gaps and overlaps, which cases would move.

Knows the town and its cases; the rules' meaning is known by gis.routing.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from gis import areas, errors, routing_audit
from gis.db import Connection
from gis.people import Caller
from gis.routing import DutyList, Place, RoutingFacts, area_keys
from gis.routing_replay import Answer, answers
from gis.rulebook import Rulebook
from gis.search import visible_cases
from gis.tables import case, component, unit_grid

#: Of so many cases a replay tells at most, the newest first.
MOST_CASES = 300_000


def places(tx: Connection) -> list[Place]:
    """What every unit grid in force says of a case in it."""
    known = areas.areas(tx)
    return [known.facts(position) for position in range(len(known.codes))]


def warnings(tx: Connection, body: Mapping[str, Any]) -> list[dict[str, str]]:
    """Rules of a valid list that can never hold, since their area is not in the town: {"where", "why"}.

    No fault: a grid that is split or merged leaves its rules behind.
    """
    known = {key for place in places(tx) for key in area_keys(place)}
    return [
        {"where": f"rules[{rule.position}] (id {rule.id}).area", "why": f"no such area in the town: {rule.area}"}
        for rule in DutyList.from_body(body).rules
        if rule.area not in known
    ]


def audit(tx: Connection, book: Rulebook, duty_list: DutyList) -> tuple[routing_audit.Audit, dict[str, Any]]:
    """Gaps, overlaps and idle rules against the town's classes and grids; and where the grids named as examples lie.

    The second is {unit grid: {"lon", "lat", "village"}}.
    """
    categories = [(c.kind, c.code) for c in book.catalogues[book.town_catalogue]]
    found = routing_audit.audit(duty_list, categories, places(tx))
    named = {gap.example for gap in found.gaps} | {overlap.example for overlap in found.overlaps}
    middle = func.st_pointonsurface(unit_grid.c.geom)
    rows = tx.execute(
        select(
            unit_grid.c.code,
            unit_grid.c.village_code,
            func.st_x(middle).label("lon"),
            func.st_y(middle).label("lat"),
        ).where(unit_grid.c.code.in_(sorted(named)))
    )
    return found, {row.code: {"village": row.village_code, "lon": row.lon, "lat": row.lat} for row in rows}


@dataclass(frozen=True, slots=True)
class Past:
    """A case that was reported, as a replay shows it. ``department_code`` is who has it now."""

    id: UUID
    number: str
    reported_at: datetime
    category: tuple[str, str]
    village_code: str
    department_code: str | None
    state: str
    status: str
    description: str
    before: Answer
    after: Answer


@dataclass(frozen=True)
class Replay:
    """What a draft would change. ``moved`` is in order of report, the newest first; ``complete`` is whether every
    case of the span was looked at. ``rule_changed`` and ``helpers_changed`` count cases that stay with their
    department, by another rule, with other co-departments or another workflow."""

    cases: int
    complete: bool
    moved: Sequence[Past]
    pairs: Mapping[tuple[str, str], int]
    unowned_before: int
    unowned_after: int
    rule_changed: int
    helpers_changed: int


def replay(tx: Connection, caller: Caller, before: DutyList, after: DutyList, since: datetime) -> Replay:
    """Both lists asked about every case the caller may see that was reported since.

    The facts are the cases' own, as recorded; the units of a component are those it has today.
    """
    past = visible_cases(caller).where(case.c.reported_at >= since).subquery()
    rows = tx.execute(
        select(
            past.c.id,
            past.c.number,
            past.c.reported_at,
            *(past.c[name] for name in ("category_kind", "category_code", "village_code", "unit_grid_code")),
            *(past.c[name] for name in ("duty_grid_code", "area_class", "channel", "severity")),
            *(past.c[name] for name in ("department_code", "state", "status", "description")),
            component.c.code.label("component"),
            *(component.c[name] for name in ("competent_unit", "owner_unit", "maintenance_unit")),
        )
        .join(component, component.c.code == past.c.component_code, isouter=True)
        .order_by(past.c.reported_at.desc(), past.c.id.desc())
        .limit(MOST_CASES + 1)
    ).all()
    complete, rows = len(rows) <= MOST_CASES, rows[:MOST_CASES]
    facts = [
        RoutingFacts(
            row.category_kind,
            row.category_code,
            row.village_code,
            row.unit_grid_code,
            row.duty_grid_code or "",
            row.area_class,
            row.channel,
            row.severity,
            (row.competent_unit, row.owner_unit, row.maintenance_unit) if row.component else None,
        )
        for row in rows
    ]
    olds, news = answers(before, facts), answers(after, facts)
    moved, pairs, counted = [], Counter[tuple[str, str]](), Counter[str]()
    for row, old, new in zip(rows, olds, news, strict=True):
        counted["unowned_before"] += not old.department
        counted["unowned_after"] += not new.department
        if old.department == new.department:
            others = (old.co_departments, old.workflow) != (new.co_departments, new.workflow)
            counted["helpers_changed"] += others
            counted["rule_changed"] += old.rule_id != new.rule_id
            continue
        pairs[old.department, new.department] += 1
        moved.append(
            Past(
                row.id,
                row.number,
                row.reported_at,
                (row.category_kind, row.category_code),
                row.village_code,
                row.department_code,
                row.state,
                row.status,
                row.description,
                old,
                new,
            )
        )
    return Replay(
        cases=len(rows),
        complete=complete,
        moved=moved,
        pairs=dict(sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))),
        unowned_before=counted["unowned_before"],
        unowned_after=counted["unowned_after"],
        rule_changed=counted["rule_changed"],
        helpers_changed=counted["helpers_changed"],
    )


def after_cursor(moved: Sequence[Past], cursor: str) -> Sequence[Past]:
    """What comes after the case a cursor names, in the order of ``moved``. Raises ``BadCursor``."""
    if not cursor:
        return moved
    try:
        at, _, last = cursor.partition("~")
        edge = (datetime.fromisoformat(at), UUID(last))
        return [one for one in moved if (one.reported_at, one.id) < edge]
    except (ValueError, TypeError) as error:
        raise errors.BadCursor(cursor=cursor[:100]) from error


def cursor_of(last: Past) -> str:
    """The cursor of the page that follows this case."""
    # Z instead of +00:00: a plus in an address is a space.
    return f"{last.reported_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}~{last.id}"
