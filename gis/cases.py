"""The one write path of cases: ``report`` opens one, ``act`` moves it; each in one transaction with its event.

Knows how a step becomes rows; which steps exist is known by the workflow, who owns what by the duty list.
"""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from gis import areas, case_clock, case_rows, errors, events, geometry, intake_form, personal, workflow
from gis.case_clock import AHEAD, TIMEOUT, Moments
from gis.case_rows import Photo, append, attach, make_event
from gis.catalogue import Category, resolve
from gis.db import Connection
from gis.digest import sm3
from gis.intake_form import Promise, Told
from gis.people import SYSTEM, Caller
from gis.routing import RoutingFacts
from gis.rulebook import CHANNELS, Rulebook, flow_of, in_force, rulebook
from gis.search import ZONE
from gis.tables import case, case_event, component, department
from gis.workflow import Step

# How many bytes of JSON the extra facts of a report may be.
EXTRA_MAX = 10_000
_ESCAPED_NULL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
# What an event of reporting keeps of the facts, beside how they came.
_TOLD = (
    *("channel", "catalogue", "category_kind", "category_code", "condition_code", "component_code"),
    *("severity", "description", "address"),
)
# No letters that look alike: a query code is read out over the telephone.
_CODE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"


@dataclass(frozen=True)
class Report:
    """What is reported. ``lon``/``lat`` in ``crs``; times with zone. ``catalogue`` and ``category_kind`` may be empty
    only where the code is unambiguous without them; ``severity`` (1 normal, 2 serious, 3 urgent) None means what the
    filing standard says of the condition. ``form`` holds the values of the form of its kind and channel; None from
    senders that know no forms. ``tags`` are codes of campaigns the case belongs to."""

    category_code: str
    lon: float
    lat: float
    catalogue: str = ""
    category_kind: str = ""
    category_name: str = ""
    crs: str = geometry.STORED
    id: UUID = field(default_factory=uuid4)
    kind: str = "case"
    channel: str = "patrol"
    condition_code: str = ""
    component_code: str = ""
    description: str = ""
    address: str = ""
    severity: int | None = None
    occurred_at: datetime | None = None
    reported_at: datetime | None = None
    photos: tuple[Photo, ...] = ()
    simulated: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    form: Mapping[str, Any] | None = None
    promise: Promise | None = None
    tags: tuple[str, ...] = ()

    def digest(self) -> bytes:
        """Of what the sender sent: the same id with another digest is a conflict."""
        sent = {
            "kind": self.kind,
            "channel": self.channel,
            "category": [self.catalogue, self.category_kind, self.category_code],
            "condition": self.condition_code,
            "component": self.component_code,
            "place": [self.crs, float(self.lon), float(self.lat)],
            "words": [self.description, self.address],
            "severity": self.severity,
            "occurred_at": self.occurred_at.astimezone(UTC).isoformat() if self.occurred_at else None,
            "photos": sorted(p.sha256.hex() for p in self.photos),
            "extra": dict(self.extra),
        }
        if not self.form:
            return sm3(_canonical(sent))
        # A form may hold a telephone number: from a bare digest it could be guessed.
        return personal.keyed("report", _canonical(sent | {"form": dict(self.form), "tags": sorted(self.tags)}))

    def check_storable(self) -> None:
        """Raises ``Malformed`` for what no database row or JSON can hold, or an ``extra`` of more than 10 kB."""
        for name, value in vars(self).items():
            if isinstance(value, str) and not workflow.storable(value):
                raise errors.Malformed(field=name, why="a null character or half a surrogate pair")
        try:
            extra = json.dumps([dict(self.extra), dict(self.form or {})], ensure_ascii=False, allow_nan=False)
            size = len(extra.encode())
        except (TypeError, ValueError, RecursionError) as error:
            raise errors.Malformed(field="extra", why=str(error)[:200]) from error
        if size > EXTRA_MAX or _ESCAPED_NULL.search(extra):
            raise errors.Malformed(field="extra", longest=EXTRA_MAX, why="too long or with a null character")


def _canonical(sent: Mapping[str, Any]) -> bytes:
    return json.dumps(sent, ensure_ascii=False, sort_keys=True, default=str).encode()


@dataclass(frozen=True)
class Receipt:
    """What the sender of a report gets: proof that it is kept, and where it went."""

    id: UUID
    number: str
    query_code: str
    seq: int
    hash: bytes
    department_code: str | None
    department_name: str | None
    unit_grid_code: str
    duplicate: bool


def report(tx: Connection, caller: Caller, sent: Report) -> Receipt:
    """Open a case: find its place, its class, its department; write it with its first event.

    The same id with the same content answers the first receipt again, whatever the town has changed since. Raises
    ``IdConflict`` for other content, the place problems of ``gis.geometry``, the category problems of
    ``gis.catalogue``, those of ``gis.intake_form.read``, ``CategoryOff``, ``ComponentUnknown``, ``RoleForbids`` and
    ``Malformed``. A second report of a number the channel has given to a case answers that case's receipt, whatever
    else it says.
    """
    sent.check_storable()
    try:
        return _report(tx, caller, sent)
    except errors.IdConflict:
        raise
    except errors.Problem:
        # Only a refusal looks whether it was kept before: by then grids, roles and definitions may be others.
        first = _again(tx, sent.id, sent.digest())
        if first is None:
            raise
        return first


def _report(tx: Connection, caller: Caller, sent: Report) -> Receipt:
    book, areas_version = in_force(tx)
    now = datetime.now(UTC)
    reported_at = sent.reported_at or now
    occurred_at = sent.occurred_at or reported_at
    kind = _check_form(book, sent, occurred_at, reported_at, now)
    catalogue, category = resolve(
        sorted(book.catalogues.values(), key=lambda c: c.code != book.town_catalogue),
        sent.category_kind or None,
        sent.category_code,
        sent.catalogue or None,
        sent.category_name or None,
    )
    if catalogue != book.town_catalogue:
        raise errors.CategoryUnknown(
            "本镇未启用该分类目录",
            "The town does not code cases in this catalogue",
            catalogue=catalogue,
            in_use=book.town_catalogue,
        )
    if closed := book.category_status.reason(category.kind, category.code):
        raise errors.CategoryOff(
            f"“{category.name}”已停用，不再受理新案件：{closed}",
            f"{category.name} takes no new cases: {closed}",
            category=f"{category.kind}:{category.code}",
            reason=closed,
        )
    condition = book.filing_standard.condition(category.kind, category.code, sent.condition_code)
    severity = sent.severity or condition.severity
    lon, lat = geometry.to_4490(float(sent.lon), float(sent.lat), sent.crs)
    place = areas.areas(tx, areas_version).at(lon, lat)
    routing = book.duty_list.route(
        RoutingFacts(
            category_kind=category.kind,
            category_code=category.code,
            village_code=place.village_code,
            unit_grid_code=place.unit_grid_code,
            duty_grid_code=place.duty_grid_code,
            area_class=place.area_class,
            channel=sent.channel,
            severity=severity,
            component_units=_component_units(tx, sent, catalogue, category),
        )
    )
    told = intake_form.read(
        tx,
        book,
        kind=kind.code,
        channel=sent.channel,
        given=sent.form,
        promise=sent.promise,
        tags=sent.tags,
        category=category,
        severity=severity,
        place=place,
        at=reported_at,
    )
    if told.external:
        known = intake_form.first_of(tx, sent.channel, told.external)
        if known is not None:
            first = _again(tx, known, None)
            assert first is not None  # a case is never deleted
            return first
    flow = book.workflow(routing.workflow or kind.workflow)
    prefix = kind.number_prefix or book.number_prefix
    facts = {
        "number_head": f"{prefix}{reported_at.astimezone(ZONE):%Y%m%d}-",
        "kind": kind.code,
        "channel": sent.channel,
        "catalogue": catalogue,
        "category_kind": category.kind,
        "category_code": category.code,
        "condition_code": sent.condition_code,
        "severity": severity,
        "component_code": sent.component_code or None,
        "description": sent.description,
        "address": sent.address,
        "lon": lon,
        "lat": lat,
        "village_code": place.village_code,
        "unit_grid_code": place.unit_grid_code,
        "duty_grid_code": place.duty_grid_code,
        "area_class": place.area_class,
        "department_code": routing.department_code,
        "co_departments": list(routing.co_departments),
        "routing": {"rule_id": routing.rule_id, "trace": list(routing.trace)},
        "workflow": flow.code,
        "workflow_version": book.versions[f"workflow/{flow.code}"],
        "versions": dict(book.versions),
        "reporter_id": caller.id,
        "occurred_at": occurred_at,
        "reported_at": reported_at,
        "simulated": sent.simulated,
        "extra": dict(sent.extra) | ({"form": dict(told.values)} if told.values else {}),
    }
    # Reporting comes before any row a scope could cover: here a role counts wherever it holds.
    step = workflow.begin(flow, facts, {g.role for g in caller.grants}, {})
    return _open(tx, sent, facts, step, caller, told)


def _check_form(book: Rulebook, sent: Report, occurred: datetime, reported: datetime, now: datetime) -> Any:
    kind = book.case_kinds.get(sent.kind)
    if kind is None:
        raise errors.DefinitionUnknown(kind="case_kind", code=sent.kind)
    if sent.channel not in CHANNELS:
        raise errors.Malformed(field="channel", value=sent.channel, known=list(CHANNELS))
    if sent.severity not in (None, 1, 2, 3):
        raise errors.Malformed(field="severity", value=sent.severity, known=[1, 2, 3])
    if len(sent.description) > kind.description_max or len(sent.address) > 500:
        raise errors.Malformed(field="description", longest=kind.description_max)
    if occurred > now + AHEAD or reported > now + AHEAD:
        raise errors.Malformed(field="occurred_at", why="it lies in the future")
    return kind


def _component_units(tx: Connection, sent: Report, catalogue: str, category: Category) -> tuple[str, str, str] | None:
    if not sent.component_code:
        return None
    row = tx.execute(
        select(
            component.c.catalogue,
            component.c.category_code,
            component.c.competent_unit,
            component.c.owner_unit,
            component.c.maintenance_unit,
        ).where(component.c.code == sent.component_code)
    ).first()
    if row is None:
        raise errors.ComponentUnknown(component_code=sent.component_code)
    if category.kind == "component" and (row.catalogue, row.category_code) != (catalogue, category.code):
        raise errors.CategoryMismatch(
            component_code=sent.component_code, category_code=category.code, component_category=row.category_code
        )
    return row.competent_unit, row.owner_unit, row.maintenance_unit


def _open(tx: Connection, sent: Report, facts: Mapping[str, Any], step: Step, caller: Caller, told: Told) -> Receipt:
    """Write the case and its first event in one statement; where the id is taken, answer as the first time."""
    lon, lat = facts["lon"], facts["lat"]
    payload = {name: facts[name] for name in _TOLD} | {
        "sent": {"crs": sent.crs, "x": float(sent.lon), "y": float(sent.lat)},
        "rule_id": facts["routing"]["rule_id"],
        "department": facts["department_code"],
        "photos": [p.sha256.hex() for p in sent.photos],
    }
    if told.tags:
        payload["tags"] = list(told.tags)
    if told.promised and told.until:
        payload["promised"] = {"fields": list(told.promised), "until": told.until.isoformat()}
    event = make_event(sent.id, 1, events.GENESIS, step, None, caller, facts["occurred_at"], payload, (lon, lat))
    digest, state = sent.digest(), step.state
    row = {
        **facts,
        "id": sent.id,
        "query_code": "".join(secrets.choice(_CODE_LETTERS) for _ in range(10)),
        "mk": geometry.morton(lon, lat),
        "h3": geometry.h3_12(lon, lat),
        "state": state.code,
        "stage": state.stage,
        "status": state.status,
        "stage_due_at": facts["reported_at"] + state.limit if state.limit else None,
        "content_digest": digest,
        "seq": 1,
        "last_hash": event["hash"],
    }
    opened = case_rows.open_case(tx, row, event)
    if opened is None:
        first = _again(tx, sent.id, digest)
        assert first is not None  # a case is never deleted
        return first
    if sent.photos:
        attach(tx, event, sent.photos, "before")
    intake_form.write(tx, sent.id, facts["channel"], told, caller, facts["reported_at"])
    return Receipt(
        sent.id,
        opened.number,
        row["query_code"],
        1,
        event["hash"],
        row["department_code"],
        opened.department_name,
        row["unit_grid_code"],
        duplicate=False,
    )


def _again(tx: Connection, case_id: UUID, digest: bytes | None) -> Receipt | None:
    """The first receipt of a case, if there is one. Raises ``IdConflict`` when its content was not of ``digest``."""
    row = tx.execute(
        select(case, case_event.c.hash, department.c.name.label("department_name"))
        .join(case_event, (case_event.c.case_id == case.c.id) & (case_event.c.seq == 1))
        .join(department, department.c.code == case.c.department_code, isouter=True)
        .where(case.c.id == case_id)
    ).first()
    if row is None:
        return None
    if digest is not None and row.content_digest != digest:
        raise errors.IdConflict(id=str(case_id), number=row.number)
    return Receipt(
        case_id,
        row.number,
        row.query_code,
        1,
        bytes(row.hash),
        row.department_code,
        row.department_name,
        row.unit_grid_code,
        duplicate=True,
    )


def act(
    tx: Connection,
    case_id: UUID,
    action: str,
    caller: Caller,
    payload: Mapping[str, Any],
    *,
    expected_seq: int | None = None,
    photos: Sequence[Photo] = (),
    at: datetime | None = None,
    trusted: bool = False,
    place: tuple[float, float] | None = None,
) -> int:
    """Take one step with a case; returns the new sequence number. The only write after ``report``.

    ``at`` is when it is said to have happened (default now), believed as far back as the workflow allows, by
    ``trusted`` callers of this process without limit; ``place`` where, in EPSG:4490. A handling limit that passed
    before this step is recorded first. Raises ``CaseNotFound``, ``StaleCase``
    when ``expected_seq`` is not the case's, the refusals of ``gis.workflow.step``, ``DepartmentUnknown``,
    ``NoDutyDepartment`` and ``BeyondCalendar``.
    """
    row = _lock(tx, case_id)
    roles = caller.roles_on(row)
    if not roles:
        raise errors.CaseNotFound(id=str(case_id))
    if expected_seq is not None and expected_seq != row["seq"]:
        raise _stale(tx, row, expected_seq)
    book = rulebook(tx)
    flow = flow_of(tx, book, row)
    step = workflow.step(flow, row, action, roles, payload)
    moments = case_clock.moments(tx, row, at, None if trusted else flow.allowance)
    if action != TIMEOUT and case_clock.ran_out(row, moments.judged) and _can_time_out(flow, row):
        # The deadline loop looks only now and then; a lateness must not depend on when.
        passed = workflow.step(flow, row, TIMEOUT, {"system"}, {})
        row = _write(tx, book, row, passed, SYSTEM, case_clock.moments(tx, row, row["due_at"], None))
        step = workflow.step(flow, row, action, roles, payload)
    return int(_write(tx, book, row, step, caller, moments, photos, place)["seq"])


def _can_time_out(flow: workflow.Workflow, row: Mapping[str, Any]) -> bool:
    return TIMEOUT in flow.actions and row["state"] in flow.actions[TIMEOUT].sources


def _write(
    tx: Connection,
    book: Rulebook,
    row: Mapping[str, Any],
    step: Step,
    caller: Caller,
    moments: Moments,
    photos: Sequence[Photo] = (),
    place: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Write a step's event and what it changes; returns the case's row as it is then."""
    changes = _changes(tx, book, row, step, moments.judged)
    kept = case_rows.kept(row, step, moments, photos)
    event = make_event(
        row["id"], row["seq"] + 1, row["last_hash"], step, row["state"], caller, moments.told, kept, place
    )
    changes |= {"seq": event["seq"], "last_hash": event["hash"], "updated_at": datetime.now(UTC)}
    tx.execute(update(case).where(case.c.id == row["id"]).values(changes))
    append(tx, event, photos, "after" if step.action.code == "handle" else "check")
    return {**row, **changes}


def _lock(tx: Connection, case_id: UUID) -> dict[str, Any]:
    try:
        row = tx.execute(select(case).where(case.c.id == case_id).with_for_update()).first()
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) == "55P03":
            raise errors.StaleCase(
                zh="案件正被他人处理，请稍后再试", en="Somebody else is acting on the case"
            ) from error
        raise
    if row is None:
        raise errors.CaseNotFound(id=str(case_id))
    return dict(row._mapping)


def _stale(tx: Connection, row: Mapping[str, Any], expected: int) -> errors.Problem:
    last = tx.execute(
        select(case_event.c.actor, case_event.c.action, case_event.c.recorded_at).where(
            case_event.c.case_id == row["id"], case_event.c.seq == row["seq"]
        )
    ).one()
    return errors.StaleCase(
        expected_seq=expected,
        seq=row["seq"],
        state=row["state"],
        by=last.actor,
        action=last.action,
        at=last.recorded_at.isoformat(),
    )


def _changes(tx: Connection, book: Rulebook, row: Mapping[str, Any], step: Step, at: datetime) -> dict[str, Any]:
    action = step.action
    changes: dict[str, Any] = {
        "state": step.state.code,
        "stage": step.state.stage,
        "status": step.state.status,
        "stage_due_at": at + step.state.limit if step.state.limit else None,
    }
    changes |= dict.fromkeys(action.clears)
    changes |= dict.fromkeys(action.marks, at)
    if "overdue_at" in action.marks:
        changes["clock"] = case_clock.late(row, at)
    target = row["department_code"]
    if any(f.type == "department" for f in action.fields):
        target = _department(tx, str(step.payload.get("department") or row["department_code"] or ""))
        changes["department_code"] = target
    if action.clock != "none":
        changes |= case_clock.turn(tx, book, row, action.clock, target, at, stopped="handled_at" in action.marks)
    return changes | {name: row[name] + 1 for name in action.counts}


def _department(tx: Connection, code: str) -> str:
    if not code:
        raise errors.NoDutyDepartment()
    if tx.execute(select(department.c.active).where(department.c.code == code)).scalar() is not True:
        raise errors.DepartmentUnknown(department=code)
    return code
