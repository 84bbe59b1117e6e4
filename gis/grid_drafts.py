"""Draft plans of a town's grids, and how they come into force: published for a day, taken on it, or withdrawn before.

Each draft is shared by its editors (gis.drafts); one published plan at a time waits for its day. What another plan
changed under a draft shows in it at once: its steps are done anew on the grids in force, and those that no longer fit
are named. Cases are never touched: each keeps the grid of its day.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import shapely
from geoalchemy2.shape import from_shape
from sqlalchemy import Integer, cast, delete, func, insert, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from gis import drafts, errors, grids, lineage
from gis.db import Connection
from gis.grid_outcome import Outcome, faults, outcome
from gis.grid_plan import Cell, Drafted, Duty, Plan, base, drafted
from gis.people import Caller
from gis.tables import (
    SRID,
    duty_grid,
    duty_grid_member,
    grid_plan,
    town,
    unit_grid,
    unit_grid_lineage,
)
from gis.validity import in_force, today

KIND = "grid_plan"
Steps = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Opened:
    """A draft as its editors see it; without one ``revision`` is 0 and the plan is the grids in force.

    ``key`` tells the town's drafts apart, '' is the first of them. ``base`` counts changes of the grids in force.
    """

    key: str
    name: str
    revision: int
    base: int
    by: str
    updated_at: Any
    day: date
    steps: Steps
    undone: Steps
    start: Plan
    found: Drafted

    @property
    def plan(self) -> Plan:
        """The grids with all steps."""
        return self.found.plan


def opened(tx: Connection, key: str = "", body: Mapping[str, Any] | None = None, day: date | None = None) -> Opened:
    """A draft, or ``body`` in its place; without either what is in force on ``day``, today by default."""
    code, version = _town(tx)
    row: Mapping[str, Any] = drafts.get(tx, KIND, _code(code, key)) or {}
    body = body if body is not None else row.get("body")
    steps = body["steps"] if body else []
    on = max(date.fromisoformat(body["day"]) if body else day or today(), today())
    start = start_on(tx, on)
    return Opened(
        key=key,
        name=body.get("name", "") if body else "",
        revision=row.get("revision", 0),
        base=version,
        by=row.get("by", ""),
        updated_at=row.get("updated_at"),
        day=on,
        steps=steps,
        undone=body["undone"] if body else [],
        start=start,
        found=drafted(start, steps),
    )


def every(tx: Connection) -> list[dict[str, Any]]:
    """The drafts there are: key, name, who saved each and when."""
    code, _ = _town(tx)
    return [
        {"key": of.removeprefix(code).removeprefix("/"), "name": name or "", "by": by, "updated_at": at}
        for of, name, by, at in drafts.named(tx, KIND)
    ]


def _code(town_code: str, key: str) -> str:
    return f"{town_code}/{key}" if key else town_code


def save(tx: Connection, body: Mapping[str, Any], seen: int, caller: Caller, key: str = "") -> Opened:
    """Keep a draft: ``day`` (ISO), ``steps``, ``undone``. ``seen`` is the revision the editor saw, 0 for none.

    Older steps that no longer fit are kept and named; a last one that does not fit is refused with its problem. Raises
    ``StaleDraft``.
    """
    code, version = _town(tx)
    found = opened(tx, key, body)
    if found.found.broken and found.found.broken[-1][0] == len(found.steps) - 1:
        kept = drafts.get(tx, KIND, _code(code, key))
        if not kept or list(kept["body"]["steps"]) != list(found.steps):
            raise found.found.broken[-1][1]
    drafts.save(tx, KIND, _code(code, key), dict(body), seen, caller, version)
    return opened(tx, key)


def discard(tx: Connection, seen: int, key: str = "") -> None:
    """Throw a draft away. Raises ``StaleDraft``."""
    drafts.drop(tx, KIND, _code(_town(tx)[0], key), seen)


def _town(tx: Connection) -> tuple[str, int]:
    row = tx.execute(select(town.c.code, town.c.areas_version)).first()
    if row is None:
        raise errors.Unavailable("尚未载入镇街数据", "No town is loaded yet")
    return row.code, int(row.areas_version)


_kept: dict[tuple[Any, ...], Plan] = {}


def start_on(tx: Connection, day: date) -> Plan:
    """The grids in force on a day, with the duty grids they will be in then."""
    mark = tx.execute(select(town.c.code, town.c.areas_version, literal_column("xmin::text"))).first()
    key = (str(tx.engine.url), day, *(mark or ()))
    found = _kept.get(key)
    if found is None:
        found = _read(tx, day)
        if len(_kept) > 3:
            _kept.clear()
        _kept[key] = found
    return found


_NONE: Mapping[str, Mapping[str, Any]] = {"members": {}, "renamed": {}, "noded": {}, "described": {}}


def _read(tx: Connection, day: date) -> Plan:
    rows = tx.execute(
        select(
            unit_grid.c.code,
            unit_grid.c.village_code,
            unit_grid.c.area_class,
            unit_grid.c.land_use,
            func.coalesce(duty_grid_member.c.duty_grid_code, ""),
            func.ST_AsBinary(unit_grid.c.geom),
        )
        .join(duty_grid_member, duty_grid_member.c.unit_grid_code == unit_grid.c.code, isouter=True)
        .where(in_force(unit_grid, day))
        .order_by(unit_grid.c.code)
    ).all()
    polygons = shapely.from_wkb([bytes(row[-1]) for row in rows])
    coming = waiting(tx)
    changes = coming.changes if coming is not None and coming.valid_from <= day else _NONE
    known = tx.execute(
        select(duty_grid.c.code, duty_grid.c.name, duty_grid.c.village_code)
        .where(in_force(duty_grid, day))
        .order_by(duty_grid.c.code)
    )
    duties = {code: Duty(changes["renamed"].get(code, name), village) for code, name, village in known}
    described = _described(changes)
    cells = {}
    for row, polygon in zip(rows, polygons, strict=True):
        duty = changes["members"].get(row[0], row[4])
        shape = shapely.from_wkb(changes["noded"][row[0]]) if row[0] in changes["noded"] else polygon
        told = described.get(row[0], {"area_class": row[2], "land_use": row[3]})
        cells[row[0]] = Cell(row[1], told["area_class"], told["land_use"], duty if duty in duties else "", shape)
    return base(cells, duties)


def _described(changes: Mapping[str, Any]) -> Mapping[str, Mapping[str, str]]:
    """Class and use that a published plan gives to grids that stay; the first plans ever published name none."""
    return {code: told["after"] for code, told in changes.get("described", {}).items()}


def waiting(tx: Connection) -> Any:
    """The published plan that waits for its day, or None."""
    c = grid_plan.c
    return tx.execute(select(grid_plan).where(c.taken_at.is_(None), c.withdrawn_at.is_(None))).first()


def history(tx: Connection, limit: int = 50) -> Sequence[Any]:
    """Published plans, the newest first."""
    return tx.execute(select(grid_plan).order_by(grid_plan.c.published_at.desc()).limit(limit)).all()


def result(tx: Connection, draft: Opened) -> Outcome:
    """What publishing the draft would write."""
    villages = {cell.village for cell in draft.plan.cells.values() if cell.fresh}
    sequence = func.max(cast(func.right(unit_grid.c.code, 3), Integer))
    rows = tx.execute(
        select(unit_grid.c.village_code, sequence)
        .where(func.left(unit_grid.c.code, 12).in_(sorted(villages)))
        .group_by(unit_grid.c.village_code)
    )
    return outcome(draft.start, draft.plan, {row[0]: row[1] for row in rows}, grids.duty_sequences(tx))


def problems(tx: Connection, draft: Opened) -> list[Any]:
    """The faults and hints of the draft (:class:`gis.grid_outcome.Fault`)."""
    code, _ = _town(tx)
    return faults(draft.start, draft.plan, grids.village_lands(tx, code, draft.day))


def publish(
    tx: Connection, seen: int, day: date, note: str, caller: Caller, key: str = "", grids_seen: int | None = None
) -> UUID:
    """Publish a draft for a day, today or later, in one go; the draft is gone then.

    ``grids_seen`` is the ``base`` that was told with the draft: the grids under it as they were seen. Raises
    ``DateRefused``, ``GridsScheduled`` while another plan waits, ``StaleDraft``, ``PlanFaulty`` with what is wrong,
    ``GridCodesUsedUp``.
    """
    grids.hold(tx)
    code, version = _town(tx)
    if day < today():
        raise errors.DateRefused(valid_from=day.isoformat(), earliest=today().isoformat())
    if (other := waiting(tx)) is not None:
        raise errors.GridsScheduled(valid_from=other.valid_from.isoformat(), by=other.published_by)
    if grids_seen is not None and grids_seen != version:
        raise errors.StaleDraft(
            "网格刚被另一方案改变，请看过再发布", "Another plan changed the grids just now: look again, then publish"
        )
    body = drafts.need(tx, KIND, _code(code, key))["body"]
    discard(tx, seen, key)
    draft = opened(tx, key, {**body, "day": day.isoformat()})
    wrong = [fault for fault in problems(tx, draft) if not fault.hint]
    if draft.found.broken or wrong:
        raise errors.PlanFaulty(faults=[fault.code for fault in wrong], broken=[n for n, _ in draft.found.broken])
    out = result(tx, draft)
    if not (out.opened or out.members or out.renamed or out.ended_duties or out.described):
        raise errors.PlanFaulty("方案里没有改动", "The plan changes nothing")
    _write(tx, draft, out)
    plan = uuid4()
    changes = {
        "opened": sorted(out.codes[key] for key in out.opened),
        "ended": list(out.ended),
        "members": dict(out.members),
        "noded": {out.codes[key]: shapely.to_wkb(draft.plan.cells[key].polygon, hex=True) for key in out.noded},
        "renamed": dict(out.renamed),
        "described": {
            code: {"before": _told(draft.start.cells[code]), "after": told} for code, told in out.described.items()
        },
        "ended_duties": list(out.ended_duties),
        "opened_duties": sorted(set(out.duty_codes.values()) - set(draft.start.duties)),
    }
    tx.execute(
        insert(grid_plan).values(
            id=plan, valid_from=day, steps=list(draft.steps), changes=changes, published_by=caller.name, note=note
        )
    )
    _raise_version(tx)
    take(tx, today())
    return plan


def _told(cell: Cell) -> dict[str, str]:
    return {"area_class": cell.area_class, "land_use": cell.land_use}


def _write(tx: Connection, draft: Opened, out: Outcome) -> None:
    """The new rows, valid from the draft's day, and the end of the old ones on it."""
    day, plan = draft.day, draft.plan
    ended = update(unit_grid).where(unit_grid.c.code.in_(out.ended), unit_grid.c.valid_to.is_(None))
    if tx.execute(ended.values(valid_to=day)).rowcount != len(out.ended):
        raise errors.StaleDraft("网格已被他人改动，请刷新", "Somebody changed the grids meanwhile; reload", revision=0)
    if out.opened:
        areas = grids.area_m2(np.array([plan.cells[key].polygon for key in out.opened], dtype=object))
        tx.execute(
            insert(unit_grid),
            [
                {
                    "code": out.codes[key],
                    "village_code": cell.village,
                    "area_class": cell.area_class,
                    "land_use": cell.land_use,
                    "area_m2": float(m2),
                    "valid_from": day,
                    "geom": from_shape(cell.polygon, srid=SRID),
                }
                for key, m2 in zip(out.opened, areas, strict=True)
                for cell in (plan.cells[key],)
            ],
        )
    for key, code in out.duty_codes.items():
        if plan.duties[key].fresh:
            land = shapely.union_all([plan.cells[member].polygon for member in plan.members(key)])
            land = land if land.geom_type == "MultiPolygon" else shapely.multipolygons([land])
            row = {"code": code, "name": plan.duties[key].name, "village_code": plan.duties[key].village}
            tx.execute(insert(duty_grid).values(row | {"valid_from": day, "geom": from_shape(land, srid=SRID)}))
    tx.execute(update(duty_grid).where(duty_grid.c.code.in_(out.ended_duties)).values(valid_to=day))
    # A new grid's code is nobody else's: it may be in its duty grid before its day. The others move on the day.
    fresh = {code: out.members[code] for key in out.opened if (code := out.codes[key]) in out.members}
    _put_members(tx, fresh)
    lineage.record(tx, out.descents, day)


def _put_members(tx: Connection, members: Mapping[str, str]) -> None:
    if members:
        rows = [{"unit_grid_code": unit, "duty_grid_code": duty} for unit, duty in members.items()]
        put = upsert(duty_grid_member).values(rows)
        into = {"duty_grid_code": put.excluded.duty_grid_code}
        tx.execute(put.on_conflict_do_update(index_elements=["unit_grid_code"], set_=into))


def _raise_version(tx: Connection) -> None:
    tx.execute(update(town).values(areas_version=town.c.areas_version + 1))


def take(tx: Connection, day: date) -> int:
    """Bring the plan whose day has come into force in what is stored of it: memberships, duty grids' shapes and names,
    classes, nodes in neighbours' borders, the components' grids; whoever keeps areas reads them anew. Returns how many
    (0 or 1).
    """
    c = grid_plan.c
    due = tx.execute(
        select(grid_plan)
        .where(c.taken_at.is_(None), c.withdrawn_at.is_(None), c.valid_from <= day)
        .with_for_update(skip_locked=True)
    ).all()
    for plan in due:
        changes = plan.changes
        tx.execute(delete(duty_grid_member).where(duty_grid_member.c.unit_grid_code.in_(changes["ended"])))
        _put_members(tx, changes["members"])
        for code, name in changes["renamed"].items():
            tx.execute(update(duty_grid).where(duty_grid.c.code == code).values(name=name))
        for code, told in _described(changes).items():
            tx.execute(update(unit_grid).where(unit_grid.c.code == code).values(told))
        for code, shape in changes["noded"].items():
            land = from_shape(shapely.from_wkb(shape), srid=SRID)
            tx.execute(update(unit_grid).where(unit_grid.c.code == code).values(geom=land))
        villages = {code[:12] for code in (*changes["opened"], *changes["ended"], *changes["members"])}
        grids.redraw_duty_grids(tx, sorted(villages), day)
        if changes["ended"]:
            grids.relocate_components(tx, day, changes["ended"])
        tx.execute(update(grid_plan).where(c.id == plan.id).values(taken_at=func.now()))
        _raise_version(tx)
    return len(due)


def withdraw(tx: Connection, plan_id: UUID, caller: Caller) -> str:
    """Take a published plan back before its day. Its codes stay used; its steps are a draft again.

    Returns the key of that draft. Raises ``NotFound`` for a plan that does not wait.
    """
    grids.hold(tx)
    plan = waiting(tx)
    # Once its day has come it is in force, even if the relay has not taken it yet: cases lie in its grids.
    if plan is None or plan.id != plan_id or plan.valid_from <= today():
        raise errors.NotFound("没有待生效的方案", "No such plan waits for its day", plan=str(plan_id))
    changes = plan.changes
    tx.execute(update(unit_grid).where(unit_grid.c.code.in_(changes["ended"])).values(valid_to=None))
    tx.execute(update(duty_grid).where(duty_grid.c.code.in_(changes["ended_duties"])).values(valid_to=None))
    for table, codes in ((unit_grid, changes["opened"]), (duty_grid, changes["opened_duties"])):
        tx.execute(update(table).where(table.c.code.in_(codes)).values(valid_to=table.c.valid_from))
    tx.execute(delete(duty_grid_member).where(duty_grid_member.c.unit_grid_code.in_(changes["opened"])))
    tx.execute(delete(unit_grid_lineage).where(unit_grid_lineage.c.new_code.in_(changes["opened"])))
    tx.execute(update(grid_plan).where(grid_plan.c.id == plan_id).values(withdrawn_at=func.now()))
    _raise_version(tx)
    code, version = _town(tx)
    key = plan_id.hex if drafts.get(tx, KIND, code) else ""
    body = {"day": plan.valid_from.isoformat(), "steps": list(plan.steps), "undone": [], "name": plan.note[:60]}
    drafts.save(tx, KIND, _code(code, key), body, 0, caller, version)
    return key
