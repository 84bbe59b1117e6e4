"""The definitions in force, parsed and together: what the case engine decides by.

Knows which kinds of definitions exist and how each is checked; what they decide is known by their own modules.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import DateTime, bindparam, func, literal_column, or_, select
from sqlalchemy.dialects.postgresql import distinct_on

from gis import campaigns, definitions, errors, forms, guides, intake_rules, map_layers, people, workflow
from gis.campaigns import Campaign
from gis.catalogue import Catalogue, FilingStandard
from gis.db import Connection
from gis.forms import Form
from gis.guides import Guide
from gis.intake_rules import IntakeRules
from gis.routing import DutyList
from gis.tables import definition, department, town
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


def parse_case_kind(body: Mapping[str, Any]) -> CaseKind:
    """A checked case kind. Raises ``KeyError`` or ``ValueError`` for a missing or wrong entry."""
    longest = int(body.get("report", {}).get("description_max", 2000))
    if longest < 1:
        raise ValueError("report.description_max must be positive")
    return CaseKind(body["code"], body["name"], body["workflow"], str(body.get("number_prefix", "")), longest)


definitions.register("catalogue", Catalogue.from_body)
definitions.register("filing_standard", FilingStandard.from_body)
definitions.register("calendar", Calendar.from_body)
definitions.register("duty_list", DutyList.from_body)
definitions.register("workflow", workflow.parse)
definitions.register("case_kind", parse_case_kind)
definitions.register("role", people.parse_roles)
definitions.register("layer", map_layers.parse_layer)
definitions.register("form", forms.parse)
definitions.register("guide", guides.parse)
definitions.register("campaign", campaigns.parse)
definitions.register("intake_rule", intake_rules.parse)


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
    """Everything in force at one moment. ``versions`` is what a new case pins."""

    town_code: str
    number_prefix: str
    town_catalogue: str
    catalogues: Mapping[str, Catalogue]
    case_kinds: Mapping[str, CaseKind]
    filing_standard: FilingStandard
    calendar: Calendar
    duty_list: DutyList
    workflows: Mapping[str, Workflow]
    forms: Mapping[str, Form]
    guides: Mapping[str, Guide]
    campaigns: Mapping[str, Campaign]
    intake_rules: IntakeRules
    versions: Mapping[str, int]

    def workflow(self, code: str) -> Workflow:
        """Raises ``DefinitionUnknown``."""
        found = self.workflows.get(code)
        if found is None:
            raise errors.DefinitionUnknown(kind="workflow", code=code)
        return found


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
    town.c.code,
    town.c.number_prefix,
    town.c.catalogue,
    town.c.areas_version,
    literal_column("town.xmin::text::bigint").label("areas_xmin"),
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
    return found, (home.areas_version, home.areas_xmin)


def _build(tx: Connection, home: Any, newest: Mapping[tuple[str, str], int]) -> Rulebook:
    def every(kind: str) -> dict[str, Any]:
        return {
            code: definitions.version(tx, kind, code, number).parsed
            for (k, code), number in sorted(newest.items())
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
        workflows=every("workflow"),
        forms=every("form"),
        guides=every("guide"),
        campaigns=every("campaign"),
        intake_rules=only("intake_rule"),
        versions={f"{kind}/{code}": number for (kind, code), number in sorted(newest.items())},
    )


def flow_of(tx: Connection, book: Rulebook, row: Mapping[str, Any]) -> Workflow:
    """The workflow version a case began with."""
    if book.versions.get(f"workflow/{row['workflow']}") == row["workflow_version"]:
        return book.workflows[row["workflow"]]
    flow: Workflow = definitions.version(tx, "workflow", row["workflow"], row["workflow_version"]).parsed
    return flow


def pinned(tx: Connection, book: Rulebook, row: Mapping[str, Any], kind: str) -> Any:
    """The parsed definition of ``kind`` that a case began with; the one in force where the case pins none."""
    for key, number in row["versions"].items():
        of, _, code = key.partition("/")
        if of == kind and book.versions.get(key) != number:
            return definitions.version(tx, kind, code, number).parsed
    return getattr(book, kind)


def check_names(tx: Connection) -> None:
    """Refuse definitions in force that name a category, department, channel, kind or workflow that does not exist.

    Raises ``DefinitionBad`` with the rule and the field. Departments come with the town, so this follows its loading.
    """
    book = rulebook(tx)
    catalogue = book.catalogues[book.town_catalogue]
    forms.check_names(book.forms.values(), book.case_kinds, CHANNELS)
    guides.check_names(book.guides.values(), catalogue, book.filing_standard, CHANNELS)
    intake_rules.check_names(book.intake_rules, catalogue)
    book.duty_list.check_names(
        categories=[(c.kind, c.code) for c in catalogue],
        departments=tx.execute(select(department.c.code)).scalars().all(),
        channels=CHANNELS,
        workflows=book.workflows,
    )
