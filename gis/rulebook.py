"""The definitions in force, parsed and together: what the case engine decides by.

Knows which kinds of definitions exist and how each is checked; what they decide is known by their own modules.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import DateTime, bindparam, func, literal, or_, select
from sqlalchemy.dialects.postgresql import distinct_on

from gis import (
    areas,
    basemaps,
    campaigns,
    catalogue_mappings,
    category_status,
    census_sampling,
    definitions,
    duty,
    errors,
    forms,
    guides,
    intake_rules,
    local_systems,
    map_layers,
    people,
    workflow_parse,
)
from gis.bindings import Bindings
from gis.campaigns import Campaign
from gis.catalogue import Catalogue, Category, FilingStandard
from gis.catalogue_mappings import CatalogueMapping, counterparts
from gis.category_status import CategoryStatus
from gis.db import Connection
from gis.definitions import Body
from gis.forms import Form
from gis.guides import Guide
from gis.intake_rules import IntakeRules
from gis.routing import DutyList, Place
from gis.tables import definition, department, town
from gis.track_rules import TrackRule
from gis.workflow import Workflow
from gis.worktime import Calendar

CHANNELS = ("patrol", "public", "hotline", "video", "superior", "sensor", "leader")


@dataclass(frozen=True)
class CaseKind:
    """A kind of case: which workflow it runs by default and what its report must hold."""

    code: str
    name: Mapping[str, str]
    workflow: str
    number_prefix: str
    description_max: int
    applies: str = ""
    """What closing a case of this kind does beside: ``component_change`` (gis.census_changes), or nothing."""


def parse_case_kind(body: Mapping[str, Any]) -> CaseKind:
    """A checked case kind. Raises ``KeyError`` or ``ValueError`` for a missing or wrong entry."""
    longest = int(body.get("report", {}).get("description_max", 2000))
    if longest < 1:
        raise ValueError("report.description_max must be positive")
    applies = body.get("applies", "")
    if applies not in ("", "component_change"):
        raise ValueError(f"applies must be component_change, not {applies}")
    return CaseKind(body["code"], body["name"], body["workflow"], str(body.get("number_prefix", "")), longest, applies)


definitions.register("catalogue", Catalogue.from_body)
definitions.register("filing_standard", FilingStandard.from_body)
definitions.register("calendar", Calendar.from_body)
definitions.register("duty_list", DutyList.from_body)
definitions.register("workflow", workflow_parse.parse)
definitions.register("binding", Bindings.from_body)
definitions.register("case_kind", parse_case_kind)
definitions.register("role", people.parse_roles)
definitions.register("layer", map_layers.parse_layer)
definitions.register(basemaps.KIND, basemaps.parse)
definitions.register("duty_plan", duty.Plan.from_body)
definitions.register("track_rule", TrackRule.from_body)
definitions.register(category_status.KIND, CategoryStatus.from_body)
definitions.register("form", forms.parse)
definitions.register("guide", guides.parse)
definitions.register("campaign", campaigns.parse)
definitions.register("intake_rule", intake_rules.parse)
definitions.register(catalogue_mappings.KIND, CatalogueMapping.from_body)
definitions.register(local_systems.KIND, local_systems.LocalSystem.from_body)
definitions.register(census_sampling.KIND, census_sampling.SamplingPlan.from_body)

# Whoever publishes one waits for the others to be done: two that fit what is in force may not fit each other.
_PUBLISHING = 7266727
_ACROSS = (
    *("catalogue", "case_kind", "filing_standard", "duty_list", "workflow", category_status.KIND),
    *("form", "guide", "intake_rule", "binding", catalogue_mappings.KIND),
)


def load_files(tx: Connection, data_dir: Path) -> dict[str, int]:
    """Publish every definition file of ``data_dir`` whose content is new; here, where all kinds are registered.

    Returns {"kind/code": version}. Raises ``DefinitionBad``.
    """
    loaded = definitions.load_files(tx, data_dir)
    if tx.execute(select(town.c.code)).first() is not None:
        check_names(tx)
    return loaded


@dataclass(frozen=True)
class Rulebook:
    """Everything in force at one moment. ``versions`` is what a new case pins.

    ``earlier`` keeps versions that running cases began with, so that a list of them asks for each once.
    """

    town_code: str
    number_prefix: str
    town_catalogue: str
    catalogues: Mapping[str, Catalogue]
    case_kinds: Mapping[str, CaseKind]
    filing_standard: FilingStandard
    calendar: Calendar
    duty_list: DutyList
    category_status: CategoryStatus
    workflows: Mapping[str, Workflow]
    forms: Mapping[str, Form]
    guides: Mapping[str, Guide]
    campaigns: Mapping[str, Campaign]
    intake_rules: IntakeRules
    bindings: Bindings
    catalogue_mappings: Mapping[str, CatalogueMapping]
    versions: Mapping[str, int]
    earlier: dict[tuple[str, str, int], Any] = field(default_factory=dict, compare=False, repr=False)

    def workflow(self, code: str) -> Workflow:
        """Raises ``DefinitionUnknown``."""
        found = self.workflows.get(code)
        if found is None:
            raise errors.DefinitionUnknown(kind="workflow", code=code)
        return found

    def category_names(self, catalogue: str, kind: str, code: str) -> tuple[str, str, str]:
        """A category's name, and its group's code and name. A catalogue out of force no longer names its codes: then
        the code itself is still the fact."""
        found = self.catalogues[catalogue].find(kind, code) if catalogue in self.catalogues else None
        return (found.name, found.group_code, found.group_name) if found else (code, code[:2], "")

    def case_categories(self, catalogue: str, code: str) -> tuple[str, ...]:
        """The codes of the town's catalogue that a case on a component of ``code`` may be of: none or several where it
        was surveyed in another catalogue."""
        return counterparts(self.catalogue_mappings.values(), catalogue, code, self.town_catalogue) or ()

    def flow_for(
        self, kind: CaseKind, category: Category, place: Place, channel: str, self_handled: bool, ruled: str
    ) -> Workflow:
        """What a case runs by: its binding, else what its duty rule says (``ruled``), else its kind's.

        Raises ``DefinitionUnknown``.
        """
        bound = self.bindings.workflow(kind.code, category.kind, category.code, place, channel, self_handled)
        return self.workflow(bound or ruled or kind.workflow)


_AT = func.coalesce(bindparam("at", type_=DateTime(timezone=True)), func.now())
_NEWEST = (
    select(definition.c.kind, definition.c.code, definition.c.version, definition.c.digest)
    .ext(distinct_on(definition.c.kind, definition.c.code))
    .where(definition.c.valid_from <= _AT, or_(definition.c.valid_to.is_(None), definition.c.valid_to > _AT))
    .order_by(definition.c.kind, definition.c.code, definition.c.version.desc())
    .subquery()
)
_ONE = func.concat_ws("/", _NEWEST.c.kind, _NEWEST.c.code, _NEWEST.c.version, _NEWEST.c.digest)
# The town, its areas' version and a mark of what is in force, in one round trip: every report and act begins with it.
_IN_FORCE = select(
    *areas.VERSION,
    town.c.code,
    town.c.number_prefix,
    town.c.catalogue,
    select(func.md5(func.string_agg(_ONE, ","))).scalar_subquery().label("mark"),
)
_books: dict[tuple[str, ...], Rulebook] = {}
_lock = Lock()


def rulebook(tx: Connection, at: datetime | None = None) -> Rulebook:
    """The definitions in force at ``at`` (default now), from one small query and a cache keyed by its answer.

    Raises ``Unavailable`` when no town is loaded, ``DefinitionUnknown`` when a needed definition is missing.
    """
    return in_force(tx, at)[0]


def in_force(tx: Connection, at: datetime | None = None) -> tuple[Rulebook, tuple[int, int]]:
    """The rulebook and the version of the areas, as ``gis.areas.areas`` takes it. Raises as ``rulebook``."""
    home = tx.execute(_IN_FORCE, {"at": at}).first()
    if home is None:
        raise errors.Unavailable(zh="尚未载入镇街数据", en="No town is loaded yet")
    key = (home.code, home.number_prefix, home.catalogue, home.mark or "")
    found = _books.get(key)
    if found is None:
        newest = {(row.kind, row.code): row.version for row in tx.execute(select(_NEWEST), {"at": at})}
        found = _build(tx, home, newest)
        with _lock:
            _books.clear()  # one town, one moment: an older book is only needed by who holds it
            _books[key] = found
    return found, areas.version_of(home)


def _build(
    tx: Connection,
    home: Any,
    newest: Mapping[tuple[str, str], int],
    drafts: Mapping[tuple[str, str], Any] | None = None,
) -> Rulebook:
    """The rulebook of these versions; ``drafts`` are parsed bodies that stand in for what is stored."""
    trials = drafts or {}

    def every(kind: str) -> dict[str, Any]:
        return {
            code: trials[k, code] if (k, code) in trials else definitions.version(tx, k, code, newest[k, code]).parsed
            for k, code in sorted({*newest, *trials})
            if k == kind
        }

    def only(kind: str) -> Any:
        found = every(kind)
        if len(found) != 1:
            raise errors.DefinitionUnknown(kind=kind, candidates=sorted(found), why="exactly one must be in force")
        return next(iter(found.values()))

    return Rulebook(
        town_code=home.code,
        number_prefix=home.number_prefix,
        town_catalogue=home.catalogue,
        catalogues=every("catalogue"),
        case_kinds=every("case_kind"),
        filing_standard=only("filing_standard"),
        calendar=only("calendar"),
        duty_list=only("duty_list"),
        category_status=next(iter(every(category_status.KIND).values()), CategoryStatus()),
        workflows=every("workflow"),
        forms=every("form"),
        guides=every("guide"),
        campaigns=every("campaign"),
        intake_rules=only("intake_rule"),
        bindings=only("binding"),
        catalogue_mappings=every(catalogue_mappings.KIND),
        versions={f"{kind}/{code}": number for (kind, code), number in sorted(newest.items())},
    )


def flow_of(tx: Connection, book: Rulebook, row: Mapping[str, Any]) -> Workflow:
    """The workflow version a case began with."""
    if book.versions.get(f"workflow/{row['workflow']}") == row["workflow_version"]:
        return book.workflows[row["workflow"]]
    flow: Workflow = _earlier(tx, book, "workflow", row["workflow"], row["workflow_version"])
    return flow


def pinned(tx: Connection, book: Rulebook, row: Mapping[str, Any], kind: str) -> Any:
    """The parsed definition of ``kind`` that a case began with; the one in force where the case pins none."""
    for key, number in row["versions"].items():
        of, _, code = key.partition("/")
        if of == kind and book.versions.get(key) != number:
            return _earlier(tx, book, kind, code, number)
    return getattr(book, kind)


def calendar_of(tx: Connection, book: Rulebook, row: Mapping[str, Any]) -> Calendar:
    """The working calendar a case began with, continued by the one in force where it ends."""
    calendar: Calendar = pinned(tx, book, row, "calendar")
    return calendar.continued(book.calendar)


def _earlier(tx: Connection, book: Rulebook, kind: str, code: str, number: int) -> Any:
    key = (kind, code, number)
    if key not in book.earlier:
        book.earlier[key] = definitions.version(tx, kind, code, number).parsed
    return book.earlier[key]


def check_names(tx: Connection) -> None:
    """Refuse definitions in force that name a category, department, channel or workflow that does not exist.

    Raises ``DefinitionBad`` with the rule and the field. Departments come with the town, so this follows its loading.
    """
    wrong = list(_unknown_names(tx, rulebook(tx)))
    if wrong:
        raise errors.DefinitionBad(**wrong[0], all=wrong)


def _unknown_names(tx: Connection, book: Rulebook) -> Iterator[dict[str, str]]:
    """Faults ({"where", "why"}) of definitions that name what the others or the town do not have."""
    categories = [(c.kind, c.code) for c in book.catalogues[book.town_catalogue]]
    departments = tx.execute(select(department.c.code)).scalars().all()
    yield from book.duty_list.unknown_names(categories, departments, CHANNELS, book.workflows)
    for kind in book.case_kinds.values():
        if kind.workflow not in book.workflows:
            yield {"where": f"case_kind {kind.code}.workflow", "why": f"unknown: {kind.workflow}"}
    yield from book.category_status.check_names(categories)
    try:
        forms.check_names(book.forms.values(), book.case_kinds, CHANNELS)
        guides.check_names(book.guides.values(), book.catalogues[book.town_catalogue], book.filing_standard, CHANNELS)
        intake_rules.check_names(book.intake_rules, book.catalogues[book.town_catalogue])
        book.bindings.check_names(book.case_kinds, book.workflows, CHANNELS)
    except errors.DefinitionBad as problem:
        yield from told_faults(problem)
    for mapping in book.catalogue_mappings.values():
        yield from mapping.faults(book.catalogues)
    standard = book.filing_standard
    if standard.catalogue != book.town_catalogue:
        yield {"where": "filing_standard.catalogue", "why": f"the town's is {book.town_catalogue}"}
        return
    # Conditions of classes the catalogue does not have (yet, or any more) do no harm: so either can change first.
    for kind_code in sorted(set(categories).difference(standard.categories())):
        yield {"where": f"filing_standard.conditions.{'.'.join(kind_code)}", "why": "a category without conditions"}


def faults(
    tx: Connection, kind: str, code: str, body: Body, valid_from: datetime | None = None
) -> list[dict[str, str]]:
    """What is wrong with a body that is to be in force from ``valid_from`` (default now) on: {"where", "why"} each.

    It is parsed, and put among the other definitions as they are then and at every announced change after. What is
    wrong without it, too, is not its fault. Nothing is stored.
    """
    if body.get("kind", kind) != kind or body.get("code", code) != code:
        return [{"where": "code", "why": f"the body says {body.get('kind')}/{body.get('code')}, not {kind}/{code}"}]
    try:
        parsed = definitions.check(kind, body)
    except errors.DefinitionBad as problem:
        return told_faults(problem)
    home = tx.execute(_IN_FORCE, {"at": valid_from}).first()
    if kind not in _ACROSS or home is None:
        return []
    start = func.coalesce(literal(valid_from, DateTime(timezone=True)), func.now())
    later = select(definition.c.valid_from).where(definition.c.valid_from > start).distinct()
    found: dict[tuple[str, str], dict[str, str]] = {}
    for at in (valid_from, *tx.execute(later.order_by(definition.c.valid_from)).scalars()):
        newest = {(row.kind, row.code): row.version for row in tx.execute(select(_NEWEST), {"at": at})}
        before = _misfits(tx, home, newest, {})
        found |= {
            key: one for key, one in _misfits(tx, home, newest, {(kind, code): parsed}).items() if key not in before
        }
    return list(found.values())


def _misfits(
    tx: Connection, home: Any, newest: Mapping[tuple[str, str], int], drafts: Mapping[tuple[str, str], Any]
) -> dict[tuple[str, str], dict[str, str]]:
    """What does not fit together in these versions, by place and reason."""
    try:
        wrong = list(_unknown_names(tx, _build(tx, home, newest, drafts)))
    except errors.DefinitionUnknown as problem:
        wrong = [{"where": str(problem.detail["kind"]), "why": str(problem.detail.get("why", problem))}]
    except KeyError as error:
        wrong = [{"where": "town.catalogue", "why": f"not in force: {error}"}]
    return {(one["where"], one["why"]): one for one in wrong}


def told_faults(problem: errors.Problem) -> list[dict[str, str]]:
    """The faults a ``DefinitionBad`` tells of, as ``faults`` gives them."""
    every: list[dict[str, str]] | None = problem.detail.get("all")
    return every or [{"where": str(problem.detail.get("where", "")), "why": str(problem.detail.get("why", problem))}]


def publish(
    tx: Connection,
    kind: str,
    code: str,
    body: Body,
    by: str,
    *,
    base: int | None = None,
    valid_from: datetime | None = None,
    note: str = "",
) -> int:
    """Publish a body that fits the others; returns its version. ``valid_from`` None: from now on.

    Raises ``DefinitionBad`` with every fault in ``all``, ``StaleDefinition`` when ``base`` is no longer the newest.
    """
    tx.execute(select(func.pg_advisory_xact_lock(_PUBLISHING)))
    wrong = faults(tx, kind, code, body, valid_from)
    if wrong:
        raise errors.DefinitionBad(**wrong[0], all=wrong)
    begins = valid_from or tx.execute(select(func.now())).scalar_one()
    return definitions.publish(tx, kind, code, body, begins, by, base=base, note=note)
