"""Cases of another system from a file: checked row by row, opened through the one write path. Knows no file format."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid5

import numpy as np

from gis import cases, errors
from gis.case_report import Receipt, Report
from gis.db import Connection
from gis.import_checks import (
    Places,
    Problems,
    Texts,
    apply_rule,
    column,
    dates,
    in_order,
    local_to_utc,
    places,
    require_columns,
    texts,
    used_columns,
)
from gis.import_ground import ground, locate
from gis.import_mapping import Mapping, template_columns
from gis.import_readers import Source
from gis.people import Caller, Grant
from gis.tables import case

NAMESPACE = UUID("6f1f7f4e-52a5-5d1c-9d6b-0f6c1c1a7b11")
"""Of UUIDv5(source system, its id): a case imported twice is the same case."""

IMPORTER = Caller(
    None,
    "import",
    "数据导入",
    ("", ""),
    (Grant("platform", "town"), Grant("system", "town")),
    frozenset({"case.view", "case.report", "case.act"}),
)
CLOSED_AT_SOURCE = "close_at_source"
"""Action of the standard workflow for a case that another system had closed before we heard of it."""


@dataclass(frozen=True)
class Checked:
    """A file of cases after its checks: one entry per row."""

    source: Source
    mapping: Mapping
    problems: Problems
    identifiers: Texts
    catalogues: Texts
    categories: Texts
    fields: dict[str, Texts]
    descriptions: Texts
    reported: list[datetime | None]
    occurred: list[datetime | None]
    closed: list[datetime | None]
    places: Places


@dataclass(frozen=True)
class Landed:
    """How many cases were opened, closed later than they were opened here, and found as they were."""

    new: int
    updated: int
    unchanged: int


def case_id(source: str, identifier: str) -> UUID:
    """The identity of a source's case: UUIDv5 of (source system, its id)."""
    return uuid5(uuid5(NAMESPACE, source), identifier)


def check(tx: Connection, source: Source, mapping: Mapping, today: date) -> Checked:
    """Check every row against the mapping, the town and the catalogues; writes nothing.

    Raises ``ImportRefused`` when the whole file lies elsewhere, ``MappingBad`` when columns are missing.
    """
    named = template_columns(mapping.description)
    require_columns(source, mapping, named)
    town = ground(tx)
    assert mapping.identifier is not None
    assert mapping.category is not None
    identifiers = column(source, mapping.identifier.columns, mapping.na)
    problems = Problems(source, identifiers)
    problems.add(identifiers == "", errors.FieldMissing, "", "案件编号", "identifier")
    _, first, at = np.unique(identifiers.astype(str), return_index=True, return_inverse=True)
    twin = (first[at] != np.arange(len(identifiers))) & (identifiers != "")
    rows = source.rows[first[at]].astype(str)
    zh, en = np.char.add("与文件第 ", np.char.add(rows, " 行相同")), np.char.add("same as row ", rows)
    problems.add(twin, errors.IdConflict, identifiers, zh, en)
    spots = places(source, mapping, town.bounds, problems)
    rule = mapping.category
    raw = apply_rule(source, rule.code, mapping.na, problems, errors.CategoryUnknown)
    raw = np.where(raw == None, "", raw)  # noqa: E711 — element-wise
    problems.add((raw == "") & ~problems.bad, errors.FieldMissing, "", "类别", "category")
    names = column(source, rule.name.columns, mapping.na) if rule.name else None
    catalogues, categories, _ = town.of_category(rule.kind, rule.catalogue, raw, names, problems)
    fields = {
        "channel": texts(source, mapping, "channel", problems, "superior"),
        "status": texts(source, mapping, "status", problems, "open"),
        "address": texts(source, mapping, "address", problems),
        "severity": texts(source, mapping, "severity", problems, "1"),
        "component_code": texts(source, mapping, "component_code", problems),
    }
    reported, occurred, closed = _times(source, mapping, fields["status"], problems, today)
    locate(tx, spots.lon, spots.lat, problems)
    return Checked(
        source=source,
        mapping=mapping,
        problems=problems,
        identifiers=identifiers,
        catalogues=catalogues,
        categories=categories,
        fields=fields,
        descriptions=_descriptions(source, mapping, named),
        reported=reported,
        occurred=occurred,
        closed=closed,
        places=spots,
    )


def land(tx: Connection, checked: Checked, progress: Callable[[int], None]) -> Landed:
    """Open the good rows' cases and close those closed at the source, each through ``gis.cases``.

    What ``gis.cases`` refuses is added to the problems. Known ids with the same content are unchanged, or updated when
    the source has closed them since; with other content they are refused (``id_conflict``).
    """
    new = updated = unchanged = 0
    good = np.flatnonzero(~checked.problems.bad)
    for done, row in enumerate(good.tolist(), start=1):
        try:
            # Both or neither: a case whose closing is refused would stay open here, for people to work on. Only rows
            # with two steps need a savepoint; one each would slow every other reader down.
            with tx.begin_nested() if _closed(checked, row) else nullcontext():
                receipt = cases.report(tx, IMPORTER, _report(checked, row))
                moved = _close(tx, checked, row, receipt)
        except errors.Problem as problem:
            facts = ", ".join(f"{key}={value}" for key, value in problem.detail.items())
            checked.problems.add_row(row, type(problem), str(checked.identifiers[row]), facts, facts)
            continue
        if not receipt.duplicate:
            new += 1
        elif moved:
            updated += 1
        else:
            unchanged += 1
        if done % 100 == 0:
            progress(done)
    return Landed(new, updated, unchanged)


def _times(
    source: Source, mapping: Mapping, status: Texts, problems: Problems, today: date
) -> tuple[list[datetime | None], list[datetime | None], list[datetime | None]]:
    """(reported, occurred, closed) as aware times, with their order checked in local time."""
    local = {key: dates(source, mapping, key, problems, today) for key in ("reported_at", "occurred_at", "closed_at")}
    reported, occurred, closed = local["reported_at"], local["occurred_at"], local["closed_at"]
    problems.add(np.isnat(reported) & ~problems.bad, errors.FieldMissing, "", "上报时间", "reported_at")
    late = ~in_order(reported, closed)
    problems.add(
        late, errors.DateOrder, closed.astype(str).astype(object), "结案早于上报", "closed before it was reported"
    )
    early = ~in_order(occurred, reported)
    problems.add(
        early, errors.DateOrder, reported.astype(str).astype(object), "上报早于发生", "reported before it happened"
    )
    undated = (status == "closed") & np.isnat(closed) & ~problems.bad
    problems.add(undated, errors.FieldMissing, "", "结案时间", "closed_at")
    aware = {key: local_to_utc(moments, mapping.time_zone) for key, moments in local.items()}
    for key, moments in local.items():
        never = np.array([there is None for there in aware[key]]) & ~np.isnat(moments)
        shown = moments.astype(str).astype(object)
        problems.add(never, errors.DateBad, shown, "夏令时跳过的时刻", "this hour was skipped by summer time")
    return aware["reported_at"], aware["occurred_at"], aware["closed_at"]


def _descriptions(source: Source, mapping: Mapping, named: list[str]) -> Texts:
    if not mapping.description:
        return np.full(len(source), "", dtype=object)
    values: list[Any] = [column(source, (name,), mapping.na).tolist() for name in named]
    rows = zip(*values, strict=True) if values else iter([()] * len(source))
    made = [mapping.description.format_map(dict(zip(named, row, strict=True))).strip(" ：:，,；;-") for row in rows]
    return np.array(made, dtype=object)


def _report(checked: Checked, row: int) -> Report:
    mapping, fields = checked.mapping, checked.fields
    used = used_columns(mapping, template_columns(mapping.description))
    frame = checked.source.frame
    kept = [name for name in frame if name not in used] if mapping.properties is None else mapping.properties
    extra = {name: value for name in kept if (value := frame[name].iat[row]) and value not in mapping.na}
    assert mapping.category is not None
    return Report(
        id=case_id(mapping.source, str(checked.identifiers[row])),
        category_code=str(checked.categories[row]),
        category_kind=mapping.category.kind,
        catalogue=str(checked.catalogues[row]),
        lon=float(checked.places.lon[row]),
        lat=float(checked.places.lat[row]),
        channel=str(fields["channel"][row]),
        component_code=str(fields["component_code"][row]),
        description=str(checked.descriptions[row]),
        address=str(fields["address"][row]),
        severity=int(fields["severity"][row]),
        occurred_at=checked.occurred[row],
        reported_at=checked.reported[row],
        extra={"source": mapping.source, "source_id": str(checked.identifiers[row]), **extra},
    )


def _close(tx: Connection, checked: Checked, row: int, receipt: Receipt) -> bool:
    """Close the case if its source has; whether that was done now."""
    if not _closed(checked, row):
        return False
    if receipt.duplicate:
        state = tx.execute(case.select().with_only_columns(case.c.state).where(case.c.id == receipt.id)).scalar()
        if state != "reported":  # closed here before, or people work on it: the source's word comes too late
            return False
    told = {"source": checked.mapping.source}
    cases.act(tx, receipt.id, CLOSED_AT_SOURCE, IMPORTER, told, at=checked.closed[row], trusted=True)
    return True


def _closed(checked: Checked, row: int) -> bool:
    return bool(checked.fields["status"][row] == "closed" and checked.closed[row] is not None)
