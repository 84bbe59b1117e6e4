"""Census drafts: surveys on their way into the census. What is kept is the file, its mapping and the repairs."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Select, cast, delete, func, insert, literal_column, select, update
from sqlalchemy.dialects.postgresql import JSONB

from gis import errors, import_runs
from gis.census_repairs import Repair
from gis.census_sampling import Verdict
from gis.db import Connection
from gis.map_shapes import drawn, encoded
from gis.people import Caller
from gis.tables import (
    census_difference,
    census_draft,
    census_finding,
    census_repair,
    census_row,
    census_sample,
    import_run,
)

_RUNNING = ("queued", "running")
_SHOWN = [c for c in census_draft.c if c.name not in ("path", "mapping", "made_by_id")]

_ITEMS: ColumnElement[int] = literal_column("(select count(*) from jsonb_object_keys(census_repair.items))")


def begin(tx: Connection, caller: Caller, draft_id: UUID, name: str, file: str, path: str, mapping: str) -> UUID:
    """Note a new draft and its first check; returns the run to be queued."""
    tx.execute(
        insert(census_draft).values(
            id=draft_id,
            name=name or file,
            file=file,
            path=path,
            mapping=mapping,
            made_by_id=caller.id,
            made_by=caller.name,
        )
    )
    return ask_check(tx, caller, draft_id)


def ask_check(tx: Connection, caller: Caller, draft_id: UUID) -> UUID:
    """Note that a draft is to be checked; returns the run to be queued. Raises ``DraftUnknown``."""
    run_id = uuid4()
    asked = update(census_draft).where(census_draft.c.id == draft_id).values(run_id=run_id)
    row = tx.execute(asked.returning(census_draft.c.file, census_draft.c.mapping)).first()
    if row is None:
        raise errors.DraftUnknown(id=str(draft_id))
    import_runs.open_run(tx, run_id, "census", row.file, caller.name, "", row.mapping, draft_id)
    return run_id


def changeable(tx: Connection, draft_id: UUID, revision: int | None = None) -> Any:
    """The draft, locked, if it may be changed now by somebody who saw ``revision``.

    Raises ``DraftUnknown``, ``DraftEnded``, ``DraftBusy``, ``DraftSampled``, ``StaleCensus``.
    """
    row = settled(tx, draft_id, revision)
    sampled = tx.execute(newest_sample(draft_id)).first()
    if sampled is not None and sampled.state in ("open", "accepted"):
        raise errors.DraftSampled(id=str(draft_id), sample=str(sampled.id), state=sampled.state)
    return row


def settled(tx: Connection, draft_id: UUID, revision: int | None = None) -> Any:
    """The draft, locked: not ended, not being checked. Raises ``DraftUnknown``, ``DraftEnded``, ``DraftBusy`` or, when
    ``revision`` is no longer its own, ``StaleCensus``."""
    # A check holds the draft as long as it takes: whoever asks meanwhile is told so, not kept waiting.
    _refuse_busy(tx, draft_id)
    row = tx.execute(select(census_draft).where(census_draft.c.id == draft_id).with_for_update()).first()
    if row is None:
        raise errors.DraftUnknown(id=str(draft_id))
    if row.state in ("published", "withdrawn"):
        raise errors.DraftEnded(id=str(draft_id), state=row.state)
    _refuse_busy(tx, draft_id)
    if revision is not None and revision != row.revision:
        raise errors.StaleCensus(revision=row.revision, seen=revision)
    return row


def refuse_unchecked(tx: Connection, draft: Any) -> None:
    """What was found is of the last check that was asked for, with every repair. Raises ``DraftUnready`` where that one
    broke off: what an earlier one found still stands in the tables."""
    if tx.scalar(select(import_run.c.state).where(import_run.c.id == draft.run_id)) != "done":
        raise errors.DraftUnready("最近一次检查没有完成，请重新检查", "The last check broke off: check again")


def _refuse_busy(tx: Connection, draft_id: UUID) -> None:
    run = select(import_run.c.state).join(census_draft, census_draft.c.run_id == import_run.c.id)
    busy = tx.execute(run.where(census_draft.c.id == draft_id, import_run.c.state.in_(_RUNNING))).scalar()
    if busy is not None:
        raise errors.DraftBusy(id=str(draft_id), run=busy)


def newest_sample(draft_id: UUID) -> Select[Any]:
    """The last sample drawn from a draft."""
    drawn_last = select(census_sample).where(census_sample.c.draft_id == draft_id)
    return drawn_last.order_by(census_sample.c.drawn_at.desc()).limit(1)


# --- Showing ----------------------------------------------------------------------------------------------------


def every(tx: Connection, limit: int = 100) -> list[dict[str, Any]]:
    """Drafts, the newest first."""
    return _told(tx, select(*_SHOWN).order_by(census_draft.c.made_at.desc()).limit(limit))


def get(tx: Connection, draft_id: UUID) -> dict[str, Any]:
    """A draft with ``run`` (how its last check stands) and ``repairs``. Raises ``DraftUnknown``."""
    found = _told(tx, select(*_SHOWN).where(census_draft.c.id == draft_id))
    if not found:
        raise errors.DraftUnknown(id=str(draft_id))
    repairs = tx.execute(
        select(
            *(census_repair.c[name] for name in ("number", "kind", "field", "finding", "by", "made_at")),
            _ITEMS.label("rows"),
        )
        .where(census_repair.c.draft_id == draft_id)
        .order_by(census_repair.c.number)
    )
    return found[0] | {"repairs": [dict(row) for row in repairs.mappings()]}


def _told(tx: Connection, statement: Select[Any]) -> list[dict[str, Any]]:
    """Drafts with how their last check stands; one that is being checked or broke off says so in ``state``."""
    rows = [dict(row) for row in tx.execute(statement).mappings()]
    runs = {
        run.id: run
        for run in tx.execute(
            select(import_run.c.id, import_run.c.state, import_run.c.counts).where(
                import_run.c.id == func.any([row["run_id"] for row in rows if row["run_id"]])
            )
        )
    }
    sampled: dict[UUID, Verdict] = {
        row.draft_id: row.state
        for row in tx.execute(
            select(census_sample.c.draft_id, census_sample.c.state)
            .where(census_sample.c.draft_id == func.any([row["id"] for row in rows]))
            .order_by(census_sample.c.drawn_at)
        )
    }
    for row in rows:
        run = runs.get(row.pop("run_id"))
        row["checking"] = dict(run.counts) | {"state": run.state} if run and run.state in _RUNNING else None
        if run and run.state == "refused":
            row["problem"] = run.counts.get("problem")
            row["state"] = "refused" if row["state"] == "open" else row["state"]
        row["sample"] = sampled.get(row["id"])
    return rows


def findings(
    tx: Connection, draft_id: UUID, code: str = "", severity: str = "", after: int = 0, limit: int = 100
) -> list[dict[str, Any]]:
    """Findings by number, each with where its row lies: ``{number, row, identifier, code, severity, field, zh, en,
    value, suggestion, lon, lat, received}``."""
    statement = (
        select(
            *(c for c in census_finding.c if c.name != "draft_id"),
            census_row.c.lon,
            census_row.c.lat,
            census_row.c.received,
        )
        .join(
            census_row,
            (census_row.c.draft_id == census_finding.c.draft_id) & (census_row.c.row == census_finding.c.row),
            isouter=True,
        )
        .where(census_finding.c.draft_id == draft_id, census_finding.c.number > after)
        .order_by(census_finding.c.number)
        .limit(limit)
    )
    if code:
        statement = statement.where(census_finding.c.code == code)
    if severity:
        statement = statement.where(census_finding.c.severity == severity)
    return [dict(row) for row in tx.execute(statement).mappings()]


def differences(
    tx: Connection, draft_id: UUID, kind: str = "", after: int = 0, limit: int = 100
) -> list[dict[str, Any]]:
    """Differences by number, with where they are: ``lon, lat`` of the place now, of what is removed the last one."""
    where = func.st_endpoint(census_difference.c.geom)
    spot = func.coalesce(where, census_difference.c.geom)
    statement = (
        select(
            *(c for c in census_difference.c if c.name not in ("draft_id", "geom")),
            func.st_x(spot).label("lon"),
            func.st_y(spot).label("lat"),
        )
        .where(census_difference.c.draft_id == draft_id, census_difference.c.number > after)
        .order_by(census_difference.c.number)
        .limit(limit)
    )
    if kind:
        statement = statement.where(census_difference.c.kind == kind)
    return [dict(row) for row in tx.execute(statement).mappings()]


def difference_features(tx: Connection, draft_id: UUID) -> list[dict[str, Any]]:
    """Every difference as a GeoJSON feature: points, and lines from the old to the new place; EPSG:4490."""
    c = census_difference.c
    told = ("kind", "row", "code", "catalogue", "category_code", "name", "village_code", "moved_m", "changes")
    rows = tx.execute(
        select(c.number, *(c[name] for name in told), cast(func.st_asgeojson(c.geom, 8), JSONB).label("shape"))
        .where(c.draft_id == draft_id)
        .order_by(c.number)
    )
    return [
        {
            "type": "Feature",
            "id": row.number,
            "geometry": row.shape,
            "properties": {name: row._mapping[name] for name in told},
        }
        for row in rows
    ]


def difference_tile(tx: Connection, draft_id: UUID, z: int, x: int, y: int) -> bytes:
    """The differences in a vector tile, layer ``differences``: points, and lines from old to new place; no bytes where
    there is nothing."""
    c = census_difference.c
    told = {"number": c.number, "kind": c.kind, "code": c.code, "name": c.name, "moved_m": c.moved_m}
    features = drawn(census_difference, (z, x, y), **told).where(c.draft_id == draft_id)
    return bytes(tx.execute(select(encoded(features, "differences"))).scalar_one())


# --- Repairing --------------------------------------------------------------------------------------------------


def repair(tx: Connection, caller: Caller, draft_id: UUID, made: Repair, finding: str = "") -> int:
    """Add a repair; returns its number. The draft is ``changeable``. Raises ``Malformed``."""
    made.check()
    of_draft = census_repair.c.draft_id == draft_id
    number = tx.execute(select(func.coalesce(func.max(census_repair.c.number), 0) + 1).where(of_draft)).scalar_one()
    tx.execute(
        insert(census_repair).values(
            draft_id=draft_id,
            number=number,
            kind=made.kind,
            field=made.field,
            items=dict(made.items),
            finding=finding,
            by=caller.name,
        )
    )
    return int(number)


def accept(
    tx: Connection, caller: Caller, draft_id: UUID, code: str, rows: Sequence[int] | None = None
) -> dict[str, int]:
    """Take every suggestion of the findings of a code, or of some rows: {repairs, rows}. Raises ``Malformed`` where
    there is none."""
    statement = select(census_finding.c.row, census_finding.c.value, census_finding.c.suggestion).where(
        census_finding.c.draft_id == draft_id,
        census_finding.c.code == code,
        census_finding.c.suggestion.is_not(None),
    )
    if rows is not None:
        statement = statement.where(census_finding.c.row == func.any(list(rows)))
    taken: dict[tuple[str, str], dict[str, Any]] = {}
    found = tx.execute(statement.order_by(census_finding.c.number)).all()
    for one in found:
        told: Mapping[str, Any] = one.suggestion
        items = taken.setdefault((told["kind"], told["field"]), {})
        key = one.value if told["kind"] == "map" else "0" if told["kind"] == "catalogue" else str(one.row)
        items.setdefault(key, told["value"])
    if not taken:
        raise errors.Malformed(field="code", why="no finding of this code has a suggestion", code=code)
    for (kind, field), items in taken.items():
        repair(tx, caller, draft_id, Repair(kind, items, field), code)
    return {"repairs": len(taken), "rows": len(found)}


def exclude(tx: Connection, caller: Caller, draft_id: UUID, code: str = "") -> int:
    """Leave out every row that has an error (of a code); returns how many."""
    bad = select(census_finding.c.row).where(
        census_finding.c.draft_id == draft_id, census_finding.c.severity == "error", census_finding.c.row > 0
    )
    if code:
        bad = bad.where(census_finding.c.code == code)
    rows = sorted(tx.execute(bad.distinct()).scalars())
    if not rows:
        raise errors.Malformed(field="code", why="no row has such an error", code=code)
    repair(tx, caller, draft_id, Repair("exclude", {str(row): None for row in rows}), code)
    return len(rows)


def take_back(tx: Connection, draft_id: UUID, number: int) -> None:
    """Take a repair back. Raises ``NotFound``."""
    gone = delete(census_repair).where(census_repair.c.draft_id == draft_id, census_repair.c.number == number)
    if not tx.execute(gone).rowcount:
        raise errors.NotFound(id=number)


def change(tx: Connection, draft_id: UUID, name: str | None, removal: str | None) -> None:
    """Rename a draft, or say what absence from the survey means (surveyed | none)."""
    values = {"name": name, "removal": removal}
    given = {key: value for key, value in values.items() if value is not None}
    if given:
        tx.execute(update(census_draft).where(census_draft.c.id == draft_id).values(given))


def withdraw(tx: Connection, caller: Caller, draft_id: UUID, note: str) -> str:
    """End a draft unpublished; returns the path of its file, to be deleted. Raises as ``settled``."""
    row = settled(tx, draft_id)
    end(tx, caller, draft_id, "withdrawn", note)
    return str(row.path)


def paths(tx: Connection) -> list[str]:
    """The files of the drafts that have not ended."""
    ended = census_draft.c.state.in_(("published", "withdrawn"))
    return list(tx.execute(select(census_draft.c.path).where(~ended)).scalars())


def end(tx: Connection, caller: Caller, draft_id: UUID, state: str, note: str, survey: UUID | None = None) -> None:
    """Note how a draft ended."""
    tx.execute(
        update(census_draft)
        .where(census_draft.c.id == draft_id)
        .values(state=state, ended_by=caller.name, ended_at=func.now(), note=note, survey_id=survey)
    )
