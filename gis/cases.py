"""The one write path of cases: ``report`` opens one, ``act`` moves it; each in one transaction with its event.

Knows how a step becomes rows; which steps exist is known by the workflow, who owns what by the duty list.
"""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from gis import (
    areas,
    case_changes,
    case_clock,
    case_rows,
    case_tasks,
    census_changes,
    definitions,
    errors,
    events,
    geometry,
    intake_form,
    workflow,
)
from gis.case_clock import AHEAD, TIMEOUT, Moments
from gis.case_report import Receipt, Report
from gis.case_rows import Photo, append, attach, make_event, purposes
from gis.catalogue import Category, resolve
from gis.catalogue_mappings import translate
from gis.db import Connection
from gis.intake_form import Told
from gis.people import SYSTEM, Caller
from gis.routing import RoutingFacts, Units
from gis.rulebook import CHANNELS, Rulebook, calendar_of, flow_of, in_force, rulebook
from gis.search import ZONE, visible_cases
from gis.tables import case, case_event, component, department
from gis.workflow import Action, Step

# The action by which a case notes what another report of the same thing brought.
FOLLOW = "follow"
# What an event of reporting keeps of the facts, beside how they came.
_TOLD = (
    *("channel", "catalogue", "category_kind", "category_code", "condition_code", "component_code"),
    *("severity", "description", "address"),
)
# No letters that look alike: a query code is read out over the telephone.
_CODE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"


def report(tx: Connection, caller: Caller, sent: Report) -> Receipt:
    """Open a case: find its place, its class, its department; write it with its first event.

    The same id with the same content answers the first receipt again, whatever the town has changed since. Raises
    ``IdConflict`` for other content, the place problems of ``gis.geometry``, the category problems of
    ``gis.catalogue`` and ``gis.catalogue_mappings``, those of ``gis.intake_form.read``, ``CategoryOff``,
    ``ComponentUnknown``, ``RoleForbids`` and ``Malformed``. A second report of a number the channel has given to a
    case answers that case's receipt, whatever else it says.
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
    catalogue, category, said = _in_town(book, catalogue, category)
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
            component_units=_component_units(tx, book, sent, category),
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
        external=sent.external_code,
        at=reported_at,
    )
    if told.external:
        known = intake_form.first_of(tx, sent.channel, told.external)
        if known is not None:
            return _known_elsewhere(tx, caller, sent.channel, told.external, known)
    flow = book.flow_for(kind, category, place, sent.channel, sent.self_handled, routing.workflow)
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
        "routing": {"rule_id": routing.rule_id, "trace": [*said, *routing.trace]},
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
    step = workflow.begin(flow, facts, {g.role for g in caller.grants}, sent.payload)
    _check_parent(tx, caller, sent.parent_id)
    return _open(tx, book, sent, facts, step, caller, told)


def _check_parent(tx: Connection, caller: Caller, parent_id: UUID | None) -> None:
    if parent_id is not None:
        row = tx.execute(select(case).where(case.c.id == parent_id)).first()
        if row is None or not caller.roles_on(dict(row._mapping)):
            raise errors.CaseNotFound(id=str(parent_id))


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


def _in_town(book: Rulebook, catalogue: str, category: Category) -> tuple[str, Category, list[str]]:
    """(catalogue, category, a line of the trace if it was another) that the town codes the case in.

    A class of components of another catalogue is the one the mapping of the two names. Raises ``CategoryUnknown``
    where there is none, ``CategoryAmbiguous`` with the candidates where there are several.
    """
    town = book.town_catalogue
    if catalogue == town:
        return catalogue, category, []
    if category.kind != "component":
        raise errors.CategoryUnknown(
            f"本镇案件按 {town} 分类，{catalogue} 的事件类别不能受理",
            f"The town codes cases in {town}; events of {catalogue} are not taken",
            catalogue=catalogue,
            in_use=town,
        )
    code = translate(book.catalogue_mappings.values(), catalogue, category.code, town, book.catalogues)
    meant = book.catalogues[town].category("component", code)
    return (
        town,
        meant,
        [f"类别按对照表：{catalogue} 的 {category.code} {category.name} 即 {town} 的 {meant.code} {meant.name}"],
    )


def _component_units(tx: Connection, book: Rulebook, sent: Report, category: Category) -> Units | None:
    """The units of the component named, None without one. Raises ``ComponentUnknown``; ``CategoryMismatch`` when the
    case is of another class of components than it, in whatever catalogue the component was surveyed."""
    if not sent.component_code:
        return None
    row = tx.execute(
        select(
            component.c.catalogue,
            component.c.category_code,
            component.c.name,
            component.c.competent_unit,
            component.c.owner_unit,
            component.c.maintenance_unit,
        ).where(component.c.code == sent.component_code)
    ).first()
    if row is None:
        raise errors.ComponentUnknown(component_code=sent.component_code)
    town, meant = book.town_catalogue, book.case_categories(row.catalogue, row.category_code)
    if category.kind == "component" and category.code not in meant:
        names = {one: book.catalogues[town].category("component", one).name for one in meant}
        told = "、".join(f"{one} {name}" for one, name in names.items())
        about = f"{row.catalogue} {row.category_code}"
        raise errors.CategoryMismatch(
            f"部件 {sent.component_code}（{row.name}，{about}）不属于 {category.code} {category.name}"
            + (f"，应为 {told}" if told else f"；它在 {town} 中没有对应类别，可按事件上报"),
            f"Component {sent.component_code} ({about}) is not of {category.code} {category.name}"
            + (f" but {told}" if told else f"; it has no counterpart in {town}: report an event"),
            component_code=sent.component_code,
            category_code=category.code,
            component_category=row.category_code,
            component_catalogue=row.catalogue,
            candidates=[
                {"catalogue": town, "kind": "component", "code": one, "name": name} for one, name in names.items()
            ],
        )
    return row.competent_unit, row.owner_unit, row.maintenance_unit


def _open(
    tx: Connection, book: Rulebook, sent: Report, facts: Mapping[str, Any], step: Step, caller: Caller, told: Told
) -> Receipt:
    """Write the case and its first event in one statement; where the id is taken, answer as the first time."""
    lon, lat = facts["lon"], facts["lat"]
    more = _more(tx, book, sent, facts, step)
    payload = {name: facts[name] for name in _TOLD} | {
        "sent": {"crs": sent.crs, "x": float(sent.lon), "y": float(sent.lat)},
        "rule_id": facts["routing"]["rule_id"],
        "department": facts["department_code"],
        "photos": [p.sha256.hex() for p in sent.photos],
        **step.payload,
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
        "awaits": list(state.owners),
        **case_clock.stage_times(state.limit, facts["reported_at"], book.calendar),
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
    if sent.photos_after:
        attach(tx, event, sent.photos_after, "after")
    if more:
        tx.execute(update(case).where(case.c.id == sent.id).values(more))
    if step.action.opens:
        case_tasks.open_tasks(tx, step, {**row, "assignee_id": None, "updated_at": row["reported_at"]}, book.calendar)
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


def _more(tx: Connection, book: Rulebook, sent: Report, facts: Mapping[str, Any], step: Step) -> dict[str, Any]:
    """What few reports bring beside the columns of all: a parent, marks, facts, a timer, helping departments.

    Asked before anything is written: whatever it refuses leaves nothing behind. Raises
    ``DepartmentUnknown`` and what ``check_values`` does.
    """
    at = facts["reported_at"]
    case_changes.check_values(tx, book, facts, step, at)
    found: dict[str, Any] = dict.fromkeys(step.action.marks, at)
    found |= {"parent_id": sent.parent_id} if sent.parent_id else {}
    found |= {"facts": step.kept} if step.kept else {}
    if step.state.timer:
        found["wake_at"] = case_changes.wake_at(step, {"facts": step.kept}, at, book.calendar)
    if step.action.opens:
        helpers = case_tasks.holders(step, facts)
        case_changes.check_departments(tx, helpers)
        others = (code for code in helpers if code != facts["department_code"])
        found["co_departments"] = list(dict.fromkeys([*facts["co_departments"], *others]))
    return found


def _known_elsewhere(tx: Connection, caller: Caller, channel: str, external: str, known: UUID) -> Receipt:
    """The first receipt of a number its channel has used before: only for those who may see that case.

    Raises ``ExternalTaken``.
    """
    if tx.execute(visible_cases(caller).where(case.c.id == known).with_only_columns(case.c.id)).first() is None:
        raise errors.ExternalTaken(channel=channel, code=external)
    first = _again(tx, known, None)
    assert first is not None  # a case is never deleted
    return first


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
    rows = _lock(tx, case_id, _ids(payload))
    row = rows[case_id]
    roles = caller.roles_on(row)
    if not roles:
        raise errors.CaseNotFound(id=str(case_id))
    if expected_seq is not None and expected_seq != row["seq"]:
        raise _stale(tx, row, expected_seq)
    book = rulebook(tx)
    flow = flow_of(tx, book, row)
    moments = case_clock.moments(tx, row, at, None if trusted else flow.allowance)

    def taken(row: Mapping[str, Any]) -> Step:
        known = row
        arrow = flow.actions.get(action)
        if arrow is not None and arrow.guard:
            given = case_changes.photos_given(arrow, payload)
            known = case_changes.facts(tx, row, arrow.guard_names, moments.judged, given)
        return workflow.step(flow, known, action, roles, payload)

    step = taken(row)
    if action != TIMEOUT and case_clock.ran_out(row, moments.judged) and _can_time_out(flow, row):
        # The deadline loop looks only now and then; a lateness must not depend on when.
        passed = workflow.step(flow, row, TIMEOUT, {"system"}, {})
        row = _write(tx, book, row, passed, SYSTEM, case_clock.moments(tx, row, row["due_at"], None))
        step = taken(row)
    done = _write(tx, book, row, step, caller, moments, photos, place)
    if done["merged_into"] is not None and row["merged_into"] is None:
        _tell_merged(tx, book, caller, row, rows[done["merged_into"]])
    return int(done["seq"])


def migrate(
    tx: Connection,
    case_id: UUID,
    caller: Caller,
    code: str,
    version: int,
    state: str,
    *,
    reason: str,
    expected_seq: int | None = None,
) -> int:
    """Move a running case to a version of a workflow, where it stands in ``state``; returns the new sequence number.

    An event like any other, by an administrator who need not see the case. The handling clock, tasks and marks stay;
    the stage's limit and timer are the new state's, counted from when the case came into its state. Raises
    ``Forbidden``, ``CaseNotFound``, ``StaleCase``, ``CaseEnded``, ``DefinitionUnknown`` and ``StateUnknown``.
    """
    caller.may("definition.publish")
    row = _lock(tx, case_id, set())[case_id]
    if expected_seq is not None and expected_seq != row["seq"]:
        raise _stale(tx, row, expected_seq)
    if row["status"] != "open":
        raise errors.CaseEnded(state=row["state"], status=row["status"])
    flow: workflow.Workflow = definitions.version(tx, "workflow", code, version).parsed
    to = flow.states.get(state)
    if to is None or to.status != "open":
        raise errors.StateUnknown(state=state, workflow=code, version=version)
    words = {"zh": "迁移", "en": "Migrated"}
    action = Action(workflow.MIGRATE, words, words, frozenset({row["state"]}), state, frozenset({"system"}))
    told = {
        "reason": reason,
        "source": {"workflow": row["workflow"], "version": row["workflow_version"]},
        "target": {"workflow": code, "version": version},
    }
    now = datetime.now(UTC)
    step = Step(action, "system", to, told)
    event = make_event(case_id, row["seq"] + 1, row["last_hash"], step, row["state"], caller, now, told, None)
    changes = case_changes.moved(tx, rulebook(tx), row, step)
    changes |= {"workflow": code, "workflow_version": version}
    changes |= {"seq": event["seq"], "last_hash": event["hash"], "updated_at": now}
    tx.execute(update(case).where(case.c.id == case_id).values(changes))
    append(tx, event, {})
    return int(event["seq"])


def _ids(payload: Mapping[str, Any]) -> set[UUID]:
    """The ids a payload names. Which of them is a case to merge into is known only when the case, locked, tells its
    workflow; what is locked for nothing harms nobody."""
    found = set()
    for value in payload.values():
        with suppress(ValueError):  # the workflow says what is wrong with it
            found |= {UUID(value)} if isinstance(value, str) else set()
    return found


def _tell_merged(
    tx: Connection, book: Rulebook, caller: Caller, row: Mapping[str, Any], main: Mapping[str, Any]
) -> None:
    """Note on the case that goes on what was merged into it; the same person's doing, by the system's hand."""
    flow = flow_of(tx, book, main)
    told = {"note": f"并入案件 {row['number']}：{row['description']}"[: workflow.TEXT_MAX], "source": row["channel"]}
    if FOLLOW not in flow.actions or main["state"] not in flow.actions[FOLLOW].sources:
        raise errors.MergeRefused(into=main["number"], state=main["state"])
    step = workflow.step(flow, main, FOLLOW, {"system"}, told)
    _write(tx, book, main, step, caller, case_clock.moments(tx, main, None, None))


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
    changes = case_changes.changes(tx, book, row, step, caller, moments.judged)
    chosen = changes.pop("assigned", None)
    kept = case_rows.kept(row, step, moments, photos)
    applied = _apply(tx, book, row, changes, caller)
    if applied:
        kept["applied"] = applied
        changes["component_code"] = applied["component"]
    if chosen is not None:
        kept["assigned"] = {"id": str(chosen.id), "name": chosen.name, "reasons": [dict(r) for r in chosen.reasons]}
    left = case_rows.left_scope(row, {**row, **changes})
    if left is not None:
        kept[workflow.LEFT] = left
    event = make_event(
        row["id"], row["seq"] + 1, row["last_hash"], step, row["state"], caller, moments.told, kept, place
    )
    changes |= {"seq": event["seq"], "last_hash": event["hash"], "updated_at": datetime.now(UTC)}
    after = {**row, **changes}
    # Only the tasks themselves know whether the caller has one: what that refuses must leave nothing behind.
    with tx.begin_nested() if step.action.closes or step.action.field("scores") else nullcontext():
        tx.execute(update(case).where(case.c.id == row["id"]).values(changes))
        append(tx, event, purposes(step, photos))
        _do_tasks(tx, book, row, {**after, "updated_at": moments.judged}, step, caller, place)
    if applied:
        census_changes.keep_photos(tx, row["id"], applied["component"], caller.name)
    return after


def _apply(
    tx: Connection, book: Rulebook, row: Mapping[str, Any], changes: Mapping[str, Any], caller: Caller
) -> dict[str, Any] | None:
    """What the closing of a case of this kind does beside; None for nothing."""
    kind = book.case_kinds.get(row["kind"])
    closes = row["status"] == "open" and changes.get("status") == "closed"
    if kind is None or not closes or kind.applies != census_changes.APPLIES:
        return None
    return census_changes.apply(tx, book, row, caller.name)


def _do_tasks(
    tx: Connection,
    book: Rulebook,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    step: Step,
    caller: Caller,
    place: tuple[float, float] | None,
) -> None:
    action = step.action
    if action.closes:
        result = {**step.payload, "by": caller.name}
        if place is not None:
            result["distance_m"] = round(geometry.distance_m(after["lon"], after["lat"], *place))
        case_tasks.close_tasks(tx, action, after, caller, result)
        if any(ended.kind == "commitment" and ended.state == "done" for ended in action.closes):
            intake_form.keep_promises(tx, caller, after["id"], action.name["zh"])
    if after["department_code"] != before["department_code"]:
        case_tasks.hand_on(tx, before, after)
    if action.opens:
        case_tasks.open_tasks(tx, step, after, calendar_of(tx, book, before))
    scores = action.field("scores")
    if scores is not None:
        case_tasks.score(tx, after["id"], step.payload.get(scores.name) or {})
    if before["status"] == "open" and after["status"] != "open":
        case_tasks.cancel_all(tx, after)


def _lock(tx: Connection, case_id: UUID, others: set[UUID]) -> dict[UUID, dict[str, Any]]:
    """The rows of a case and of the one it may be merged into, locked, always in the same order."""
    try:
        rows = tx.execute(
            select(case).where(case.c.id.in_({case_id, *others})).order_by(case.c.id).with_for_update()
        ).all()
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) == "55P03":
            raise errors.StaleCase(
                zh="案件正被他人处理，请稍后再试", en="Somebody else is acting on the case"
            ) from error
        raise
    found = {row.id: dict(row._mapping) for row in rows}
    if case_id not in found:
        raise errors.CaseNotFound(id=str(case_id))
    return found


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
