"""What is known of a point and a category before a case is reported, and which open cases may be the same problem.

Knows reads only. A report finds its place, department and workflow by the same functions (``gis.cases``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from geoalchemy2 import Geography
from sqlalchemy import cast, func, or_, select

from gis import campaigns, components, errors, geometry, intake_rules, worktime
from gis.areas import PlaceFacts, areas
from gis.catalogue import AREA_CLASSES, Category, Condition
from gis.components import Component
from gis.db import Connection
from gis.people import Caller
from gis.routing import Routing, RoutingFacts
from gis.rulebook import Rulebook, in_force
from gis.search import ZONE, named, visible_cases
from gis.tables import SRID, case, case_code, department, division, duty_grid, place
from gis.workflow import Workflow

# Metres of a degree of latitude, at least: the box around a circle holds the whole circle.
_DEGREE_M = 110_000.0


@dataclass(frozen=True)
class Asked:
    """What somebody at intake has so far. ``lon``/``lat`` in ``crs``; everything else may be empty."""

    lon: float
    lat: float
    crs: str = geometry.STORED
    kind: str = "case"
    channel: str = "patrol"
    category_kind: str = ""
    category_code: str = ""
    condition_code: str = ""
    component_code: str = ""
    severity: int | None = None
    self_handled: bool = False
    words: str = ""


@dataclass(frozen=True)
class Plan:
    """What would become of a report: its department with the reasons, its workflow and its handling limit."""

    category: Category
    condition: Condition
    routing: Routing
    workflow: Workflow
    due_at: datetime | None


def where(tx: Connection, asked: Asked) -> tuple[Rulebook, float, float, PlaceFacts]:
    """(what is in force, longitude, latitude, facts) of the point. Raises what ``Areas.at`` and ``to_4490`` raise."""
    book, version = in_force(tx)
    lon, lat = geometry.to_4490(asked.lon, asked.lat, asked.crs)
    return book, lon, lat, areas(tx, version).at(lon, lat)


def plan(tx: Connection, book: Rulebook, asked: Asked, at: PlaceFacts, now: datetime) -> Plan:
    """What a report of this category there would become, were it dispatched at ``now``.

    Raises ``CategoryUnknown``, ``ConditionUnknown``, ``ComponentUnknown``, ``DefinitionUnknown``; a due time beyond
    the known calendar is None.
    """
    category = book.catalogues[book.town_catalogue].category(asked.category_kind, asked.category_code)
    condition = book.filing_standard.condition(category.kind, category.code, asked.condition_code)
    units = None
    if asked.component_code:
        known = components.get(tx, asked.component_code)
        units = (known.competent_unit, known.owner_unit, known.maintenance_unit)
    routing = book.duty_list.route(
        RoutingFacts(
            category_kind=category.kind,
            category_code=category.code,
            village_code=at.village_code,
            unit_grid_code=at.unit_grid_code,
            duty_grid_code=at.duty_grid_code,
            area_class=at.area_class,
            channel=asked.channel,
            severity=asked.severity or condition.severity,
            component_units=units,
        )
    )
    kind = book.case_kinds.get(asked.kind)
    if kind is None:
        raise errors.DefinitionUnknown(kind="case_kind", code=asked.kind)
    try:
        due_at = worktime.due(now, condition.limits[at.area_class], book.calendar)
    except errors.BeyondCalendar:
        due_at = None
    flow = book.flow_for(kind, category, at, asked.channel, asked.self_handled, routing.workflow)
    return Plan(category, condition, routing, flow, due_at)


def facts(tx: Connection, caller: Caller, asked: Asked, now: datetime | None = None) -> dict[str, Any]:
    """What intake fills in by itself for a point and, once it is known, a category. Raises as ``where``, ``plan``."""
    moment = now or datetime.now(UTC)
    book, lon, lat, at = where(tx, asked)
    rules = book.intake_rules
    near = components.nearest(tx, lon, lat, radius_m=rules.components_m, limit=8)
    names = _names(tx, near)
    classes = [book.case_categories(one.catalogue, one.category_code) for one in near]
    found: dict[str, Any] = {
        "lon": lon,
        "lat": lat,
        "village": {"code": at.village_code, "name": _division(tx, at.village_code)},
        "unit_grid_code": at.unit_grid_code,
        "duty_grid": {"code": at.duty_grid_code, "name": _duty_grid(tx, at.duty_grid_code)},
        "area_class": at.area_class,
        "places": _places(tx, lon, lat, rules.places_m),
        "components": [_component(one, meant, names) for one, meant in zip(near, classes, strict=True)],
        "suggestions": [
            {
                "kind": one.category.kind,
                "code": one.category.code,
                "name": one.category.name,
                "group_name": one.category.group_name,
                "why": one.why,
            }
            for one in intake_rules.suggest(
                rules,
                book.catalogues[book.town_catalogue],
                book.filing_standard,
                asked.words,
                [
                    (code, one.name, one.distance_m or 0.0)
                    for one, meant in zip(near, classes, strict=True)
                    for code in meant
                ],
                _often(tx, caller, book, at.unit_grid_code, moment),
            )
        ],
        "plan": None,
        "campaigns": [],
    }
    if asked.category_code:
        made = plan(tx, book, asked, at, moment)
        day = moment.astimezone(ZONE).date()
        fitting = campaigns.fitting(book.campaigns.values(), made.category.kind, made.category.code, at, day)
        found["plan"] = _told(tx, book, made, at)
        found["campaigns"] = [{"code": one.code, "name": dict(one.name)} for one in fitting]
    return found


def similar(tx: Connection, caller: Caller, asked: Asked, now: datetime | None = None) -> list[tuple[Any, float, str]]:
    """Open cases near in place and time that the caller may see: (row with names, metres, why), the likeliest first.

    Why is ``component`` (the same one), ``category`` (the same one), ``group`` (the same large class) or ``near``. Rule
    ``intake_rule`` says how near. Raises as ``where``.
    """
    book, lon, lat, _ = where(tx, asked)
    rules = book.intake_rules
    moment = now or datetime.now(UTC)
    east, north = (rules.similar_m / float(per) * 1.01 for per in geometry.metres_per_degree(lat))
    rows = tx.execute(
        named(
            visible_cases(caller).where(
                case.c.status == "open",
                case.c.reported_at >= moment - rules.similar_within,
                case.c.reported_at <= moment,
                case.c.lon.between(lon - east, lon + east),
                case.c.lat.between(lat - north, lat + north),
            )
        )
    ).all()
    found = []
    for row in rows:
        metres = geometry.distance_m(lon, lat, row.lon, row.lat)
        if metres <= rules.similar_m:
            found.append((row, metres, _why(asked, row)))
    rank = {why: index for index, why in enumerate(("component", "category", "group", "near"))}
    found.sort(key=lambda one: (rank[one[2]], one[1], one[0].id))
    return found[: rules.similar_most]


def _why(asked: Asked, row: Any) -> str:
    if asked.component_code and row.component_code == asked.component_code:
        return "component"
    if asked.category_code and row.category_kind == asked.category_kind:
        if row.category_code == asked.category_code:
            return "category"
        if row.category_code[:2] == asked.category_code[:2]:
            return "group"
    return "near"


def categories(book: Rulebook) -> list[dict[str, Any]]:
    """Every category of the town's catalogue with what it is found by: name, pinyin, initials, what people say.

    ``off`` is why a category takes no new cases, None where it does.
    """
    rules = book.intake_rules
    return [
        {
            "kind": one.kind,
            "code": one.code,
            "name": one.name,
            "group_name": one.group_name,
            "off": book.category_status.reason(one.kind, one.code),
            "search": " ".join(
                [intake_rules.search_text(one.name), one.code, *rules.words.get((one.kind, one.code), ())]
            ),
        }
        for one in book.catalogues[book.town_catalogue]
    ]


def _told(tx: Connection, book: Rulebook, made: Plan, at: PlaceFacts) -> dict[str, Any]:
    flow, routing = made.workflow, made.routing
    codes = [code for code in (routing.department_code, *routing.co_departments) if code]
    names = _departments(tx, codes)
    conditions = book.filing_standard.conditions(made.category.kind, made.category.code)
    return {
        "category": {"kind": made.category.kind, "code": made.category.code, "name": made.category.name},
        "conditions": [
            {
                "code": row.code,
                "text": row.text,
                "closing": row.closing,
                "severity": row.severity,
                "limit": worktime.in_words(row.limits[at.area_class]),
                "limits": {area: worktime.in_words(row.limits[area]) for area in AREA_CLASSES},
            }
            for row in conditions
        ],
        "condition_code": made.condition.code,
        "department": _named(routing.department_code, names),
        "co_departments": [_named(code, names) for code in routing.co_departments],
        "rule_id": routing.rule_id,
        "trace": list(routing.trace),
        "workflow": {"code": flow.code, "name": dict(flow.name), "asks": [f.name for f in flow.start.fields]},
        "due_at": made.due_at,
        "limit": worktime.in_words(made.condition.limits[at.area_class]),
    }


def _often(tx: Connection, caller: Caller, book: Rulebook, grid: str, now: datetime) -> list[tuple[str, str, int]]:
    rules = book.intake_rules
    there = (
        visible_cases(caller)
        .where(case.c.unit_grid_code == grid, case.c.reported_at >= now - rules.often_within)
        .with_only_columns(case.c.category_kind, case.c.category_code)
        .order_by(case.c.reported_at.desc())
        .limit(500)
        .subquery()
    )
    number = func.count()
    rows = tx.execute(
        select(there.c.category_kind, there.c.category_code, number.label("number"))
        .group_by(there.c.category_kind, there.c.category_code)
        .having(number > 1)
        .order_by(number.desc(), there.c.category_kind, there.c.category_code)
        .limit(rules.often_most)
    ).all()
    return [(row.category_kind, row.category_code, row.number) for row in rows]


def _places(tx: Connection, lon: float, lat: float, radius_m: float) -> list[dict[str, Any]]:
    """The nearest addresses and names: {kind, name, address, distance_m}."""
    point = func.ST_SetSRID(func.ST_MakePoint(lon, lat), SRID)
    box = func.ST_Expand(point, radius_m / (_DEGREE_M * 0.7))
    near = (
        select(place.c.kind, place.c.name, place.c.address, place.c.geom)
        .where(place.c.geom.op("&&")(box))
        .order_by(place.c.geom.op("<->")(point))
        .limit(12)
        .subquery()
    )
    metres = func.ST_Distance(cast(near.c.geom, Geography(srid=SRID)), cast(point, Geography(srid=SRID)))
    rows = tx.execute(
        select(near.c.kind, near.c.name, near.c.address, metres.label("distance_m"))
        .where(metres <= radius_m)
        .order_by(metres, near.c.name)
        .limit(5)
    ).all()
    return [{"kind": r.kind, "name": r.name, "address": r.address, "distance_m": round(r.distance_m, 1)} for r in rows]


def _component(one: Component, classes: tuple[str, ...], names: Mapping[str, str]) -> dict[str, Any]:
    """``case_categories`` are its classes in the town's catalogue: several where it was surveyed in another."""
    return {
        "code": one.code,
        "name": one.name,
        "case_categories": list(classes),
        "category_code": one.category_code,
        "catalogue": one.catalogue,
        "state": one.state,
        "lon": one.lon,
        "lat": one.lat,
        "distance_m": round(one.distance_m or 0.0, 1),
        "competent": _named(one.competent_unit, names),
        "owner": _named(one.owner_unit, names),
        "maintenance": _named(one.maintenance_unit, names),
    }


def _named(code: str | None, names: Mapping[str, str]) -> dict[str, str] | None:
    return {"code": code, "name": names.get(code, code)} if code else None


def _names(tx: Connection, near: Sequence[Component]) -> dict[str, str]:
    units = [unit for one in near for unit in (one.competent_unit, one.owner_unit, one.maintenance_unit)]
    return _departments(tx, [unit for unit in units if unit])


def _departments(tx: Connection, codes: Sequence[str]) -> dict[str, str]:
    wanted = sorted(set(codes))
    if not wanted:
        return {}
    rows = tx.execute(select(department.c.code, department.c.name).where(department.c.code.in_(wanted))).all()
    return {row.code: row.name for row in rows}


def _division(tx: Connection, code: str) -> str:
    return tx.execute(select(division.c.short_name).where(division.c.code == code)).scalar() or code


def _duty_grid(tx: Connection, code: str) -> str:
    return tx.execute(select(duty_grid.c.name).where(duty_grid.c.code == code)).scalar() or code


def by_code(tx: Connection, caller: Caller, code: str) -> UUID:
    """The visible case that a number, a query code or another system's number stands for. Raises ``CaseNotFound``.

    Where a number of another system stands for several, the newest.
    """
    wanted = code.strip()
    ours = or_(case.c.number == wanted.upper(), case.c.query_code == wanted.upper())
    theirs = case.c.id.in_(select(case_code.c.case_id).where(case_code.c.code == wanted))
    for meant in (ours, theirs):
        newest = visible_cases(caller).where(meant).with_only_columns(case.c.id).order_by(case.c.reported_at.desc())
        found: UUID | None = tx.execute(newest.limit(1)).scalar()
        if found is not None:
            return found
    raise errors.CaseNotFound(code=wanted[:60])
