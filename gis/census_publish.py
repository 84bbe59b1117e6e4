"""Publishing a draft, and taking a publication back: one transaction each, nothing deleted.

What a survey does not speak of stays as it was. A component that was published before gets a new version (the trigger
on ``component`` keeps the old one); taken back, it gets the version before as its newest.
"""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import shapely
from sqlalchemy import insert, select, text, update

from gis import census_drafts, components, errors, geometry, quarantine
from gis.areas import areas
from gis.census_acceptance import BAD_ROWS
from gis.census_diff import KINDS, reach_m
from gis.db import Connection
from gis.import_ground import ground
from gis.people import Caller
from gis.tables import census_difference, census_row, component, import_run, survey

_SAID = (
    *("catalogue", "category_code", "name", "state", "competent_unit", "owner_unit", "maintenance_unit"),
    *("accuracy_class", "surveyed_on", "changed_on"),
)
_WHERE = ("catalogue", "category_code", "accuracy_class", "lon", "lat")
_PLACED = ("unit_grid_code", "village_code", "lon", "lat", "mk", "geom")


def publish(tx: Connection, caller: Caller, draft_id: UUID, revision: int, note: str = "") -> dict[str, Any]:
    """Publish a draft that was accepted; returns {survey, added, moved, changed, removed, file}.

    ``revision`` is the one whose differences were seen; ``file`` the path of the draft's file, to be deleted. Rows that
    were left out go to the quarantine. Raises ``DraftUnready``, ``StaleCensus`` and as ``census_drafts.settled``.
    """
    tx.execute(text("set local statement_timeout = 0"))
    draft = census_drafts.settled(tx, draft_id, revision)
    census_drafts.refuse_unchecked(tx, draft)
    sample = tx.execute(census_drafts.newest_sample(draft_id)).first()
    if draft.state != "open" or draft.counts.get("bad", 1):
        raise errors.DraftUnready(*BAD_ROWS, bad=draft.counts.get("bad"))
    if sample is None or sample.state != "accepted" or sample.revision != draft.revision:
        raise errors.DraftUnready("外业抽样验收还没有通过", "The field acceptance has not been passed yet")
    components.hold_codes(tx)
    _refuse_stale(tx, draft_id)
    _refuse_twice(tx, draft)
    survey_id = uuid4()
    counts = draft.counts["differences"]
    tx.execute(
        insert(survey).values(
            id=survey_id,
            name=draft.source,
            source=draft.file,
            crs=draft.crs,
            catalogue=", ".join(_catalogues(tx, draft_id)),
            counts=counts,
            made_by=caller.name,
            note=note or draft.name,
        )
    )
    _number(tx, draft_id)
    _land(tx, draft_id, survey_id, draft.told)
    _remove(tx, draft_id, survey_id)
    _relocate(tx, survey_id)
    _keep_excluded(tx, draft_id, draft)
    census_drafts.end(tx, caller, draft_id, "published", note, survey_id)
    return {"survey": survey_id, "file": draft.path, **{kind: counts[kind] for kind in KINDS}}


def _refuse_stale(tx: Connection, draft_id: UUID) -> None:
    """Whatever was compared must be what is published now: a change case may have been closed since."""
    c = census_difference.c
    mine = select(c.code).where(c.draft_id == draft_id, c.code != "")
    tx.execute(
        select(component.c.code).where(component.c.code.in_(mine)).order_by(component.c.code).with_for_update()
    ).all()
    changed = (
        select(c.code)
        .join(component, component.c.code == c.code, isouter=True)
        .where(c.draft_id == draft_id, c.code != "", component.c.version.is_distinct_from(c.base_version))
        .order_by(c.code)
        .limit(20)
    )
    codes = list(tx.execute(changed).scalars())
    if codes:
        raise errors.StaleCensus(codes=codes)


def _refuse_twice(tx: Connection, draft: Any) -> None:
    """A row without a code must not have come into the census since its check was asked for: from another draft of the
    same survey (by its identifier), or from anybody else (of its category, as near as both may be off)."""
    asked = select(import_run.c.started_at).where(import_run.c.id == draft.run_id).scalar_subquery()
    known = (*("code", "source_code", "survey_id"), *_WHERE)
    since = (component.c.valid_from >= asked, component.c.state != "removed")
    theirs = tx.execute(select(component.c.version, *(component.c[name] for name in known)).where(*since)).all()
    if not theirs:
        return
    of = (census_difference.c.draft_id == census_row.c.draft_id) & (census_difference.c.row == census_row.c.row)
    mine = tx.execute(
        select(census_row.c.identifier, *(census_row.c[name] for name in _WHERE))
        .join(census_difference, of)
        .where(census_row.c.draft_id == draft.id, census_difference.c.code == "")
    ).all()
    same = set(tx.execute(select(survey.c.id).where(survey.c.name == draft.source)).scalars())
    identifiers = {row.identifier for row in mine} - {""}
    codes = {row.code for row in theirs if row.survey_id in same and row.source_code in identifiers}
    codes |= _beside(mine, [row for row in theirs if row.version == 1])
    if codes:
        raise errors.StaleCensus(codes=sorted(codes)[:20])


def _beside(mine: Sequence[Any], theirs: Sequence[Any]) -> set[str]:
    """The codes of those of ``theirs`` that may be one of ``mine``."""
    if not mine or not theirs:
        return set()
    points, reach, kinds = [], [], []
    for rows in (mine, theirs):
        lon, lat = (np.array([getattr(row, name) for row in rows], dtype=np.float64) for name in ("lon", "lat"))
        points.append(shapely.points(*geometry.to_4548(lon, lat)))
        reach.append(reach_m(np.array([row.accuracy_class for row in rows], dtype=object)))
        kinds.append(np.array([f"{row.catalogue} {row.category_code}" for row in rows]))
    at, to = shapely.STRtree(points[1]).query(
        points[0], predicate="dwithin", distance=reach[0] + components.ACCURACY_M["C"]
    )
    near = shapely.distance(points[0][at], points[1][to]) <= reach[0][at] + reach[1][to]
    return {theirs[j].code for j in to[near & (kinds[0][at] == kinds[1][to])].tolist()}


def _catalogues(tx: Connection, draft_id: UUID) -> list[str]:
    used = select(census_row.c.catalogue).where(census_row.c.draft_id == draft_id, census_row.c.status == "good")
    return sorted(tx.execute(used.distinct()).scalars())


def _number(tx: Connection, draft_id: UUID) -> None:
    """Assign codes to the rows that have none, in the order of the file."""
    fresh = tx.execute(
        select(census_row.c.row, census_row.c.category_code)
        .where(census_row.c.draft_id == draft_id, census_row.c.status == "good", census_row.c.code == "")
        .order_by(census_row.c.row)
    ).all()
    if not fresh:
        return
    categories = np.array([row.category_code for row in fresh], dtype=object)
    codes = components.assign_codes(tx, ground(tx).district, categories)
    given = {"draft": draft_id, "rows": [row.row for row in fresh], "codes": codes.tolist()}
    for table in ("census_row", "census_difference"):
        tx.execute(
            text(
                f"update {table} t set code = given.code"
                " from unnest(cast(:rows as int[]), cast(:codes as text[])) given (row, code)"
                " where t.draft_id = :draft and t.row = given.row"
            ),
            given,
        )


def _land(tx: Connection, draft_id: UUID, survey_id: UUID, told: list[str]) -> None:
    """Write what was added, moved and changed; a field the survey leaves empty or does not have stays as it is."""
    names = ["code", *_SAID, *_PLACED, "properties"]
    said = {name: f"excluded.{name}" if name.endswith("_on") else f"nullif(excluded.{name}, '')" for name in _SAID}
    kept = [f"{name} = coalesce({given}, component.{name})" for name, given in said.items() if name in told]
    if "state" not in told:  # what was removed and is found again is there
        kept.append("state = case when component.state = 'removed' then excluded.state else component.state end")
    placed = [f"{name} = excluded.{name}" for name in _PLACED]
    changes = ", ".join([*kept, *placed, "properties = component.properties || excluded.properties"])
    read = ", ".join(f"r.{name}" for name in names)
    tx.execute(
        text(
            f"insert into component ({', '.join(names)}, source_code, survey_id)"
            f" select {read}, r.identifier, :survey from census_row r"
            " join census_difference d on d.draft_id = r.draft_id and d.row = r.row"
            " where r.draft_id = :draft order by r.mk"
            f" on conflict (code) do update set {changes}, source_code = excluded.source_code,"
            " survey_id = excluded.survey_id, case_id = null"
        ),
        {"draft": draft_id, "survey": survey_id},
    )


def _remove(tx: Connection, draft_id: UUID, survey_id: UUID) -> None:
    gone = select(census_difference.c.code).where(
        census_difference.c.draft_id == draft_id, census_difference.c.kind == "removed"
    )
    tx.execute(
        update(component).where(component.c.code.in_(gone)).values(state="removed", survey_id=survey_id, case_id=None)
    )


def _keep_excluded(tx: Connection, draft_id: UUID, draft: Any) -> None:
    rows = tx.execute(
        select(census_row.c.row, census_row.c.received)
        .where(census_row.c.draft_id == draft_id, census_row.c.status == "excluded")
        .order_by(census_row.c.row)
    )
    refused = [
        quarantine.Refused(
            draft.source,
            "component",
            "row_excluded",
            f"普查草稿“{draft.name}”中被排除 / excluded from the census draft",
            json.dumps({"file": draft.file, "row": row.row, "values": row.received}, ensure_ascii=False),
        )
        for row in rows
    ]
    quarantine.keep(tx, refused)


def _relocate(tx: Connection, survey_id: UUID) -> None:
    """Give what was just written the grid that is valid now: grids may have changed since the check, or since then."""
    mine = component.c.survey_id == survey_id
    rows = tx.execute(select(component.c.code, component.c.lon, component.c.lat).where(mine)).all()
    if not rows:
        return
    index = areas(tx)
    found = index.locate(*(np.array([row[at] for row in rows], dtype=np.float64) for at in (1, 2)))
    where = np.flatnonzero(found >= 0)
    tx.execute(
        text(
            "update component c set unit_grid_code = given.grid, village_code = given.village from unnest("
            "cast(:codes as text[]), cast(:grids as text[]), cast(:villages as text[])) given (code, grid, village)"
            " where c.code = given.code and c.unit_grid_code <> given.grid"
        ),
        {
            "codes": [rows[at].code for at in where.tolist()],
            "grids": index.codes[found[where]].tolist(),
            "villages": index.villages[found[where]].tolist(),
        },
    )


# --- Taking back ------------------------------------------------------------------------------------------------


def surveys(tx: Connection, limit: int = 50) -> list[dict[str, Any]]:
    """What was published, the newest first: surveys with ``reverted`` (the survey that took them back, or None)."""
    other = survey.alias("other")
    back = select(other.c.id).where(other.c.reverts == survey.c.id).limit(1).scalar_subquery()
    statement = select(survey, back.label("reverted")).order_by(survey.c.recorded_at.desc()).limit(limit)
    return [dict(row) for row in tx.execute(statement).mappings()]


_TAKEN_BACK = """
    with void as (select reverts as id from survey where reverts is not null
                  union select id from survey where reverts is not null),
    touched as (select code from component where survey_id = :survey and case_id is null
                union select code from component_version where survey_id = :survey and case_id is null),
    story as (select code, version, survey_id, case_id from component join touched using (code)
              union all select code, version, survey_id, case_id from component_version join touched using (code)),
    -- A change of grids makes a version, too, of the same survey.
    lasting as (select * from story where case_id is not null or survey_id not in (select id from void)),
    last as (select distinct on (code) code, survey_id, case_id from lasting order by code, version desc),
    earlier as (select code, max(version) as version from lasting
                where survey_id <> :survey or case_id is not null group by code)
    select c.code, c.version, last.survey_id = :survey and last.case_id is null as mine, earlier.version as before
    from component c join last using (code) left join earlier using (code)
    order by c.code
"""
"""Every component a survey wrote: whether it is still as that left it, and the version that holds without it."""


def revert(tx: Connection, caller: Caller, survey_id: UUID, note: str) -> dict[str, Any]:
    """Publish again what a survey replaced: {survey, restored, removed, kept}.

    Every component that is as the survey left it gets the version before as a new one; what the survey added becomes
    removed. What was published and taken back meanwhile counts for nothing. ``kept`` were changed since and stay as
    they are. Raises ``NotFound``, ``NotRevertible``.
    """
    tx.execute(text("set local statement_timeout = 0"))
    components.hold_codes(tx)
    before = tx.execute(select(survey).where(survey.c.id == survey_id)).first()
    if before is None:
        raise errors.NotFound(id=str(survey_id))
    if not before.made_by or before.reverts is not None:
        raise errors.NotRevertible("只有从草稿发布的普查可以撤回", "Only what was published from a draft is taken back")
    if tx.execute(select(survey.c.id).where(survey.c.reverts == survey_id)).first() is not None:
        raise errors.NotRevertible("这次发布已经撤回", "This publication was taken back already")
    new = uuid4()
    told = tx.execute(text(_TAKEN_BACK), {"survey": survey_id}).all()
    mine = [row for row in told if row.mine]
    tx.execute(
        insert(survey).values(
            id=new,
            name=before.name,
            source=before.source,
            crs=before.crs,
            catalogue=before.catalogue,
            made_by=caller.name,
            note=note,
            reverts=survey_id,
        )
    )
    restored_names = ", ".join(f"{name} = v.{name}" for name in (*_SAID, *_PLACED, "properties", "source_code"))
    earlier = [row for row in mine if row.before is not None]
    # A change case may be closed in between: of what it changed the version is no longer the one read.
    restored = tx.execute(
        text(
            f"update component c set {restored_names}, survey_id = :new, case_id = v.case_id"
            " from unnest(cast(:codes as text[]), cast(:versions as int[]), cast(:befores as int[]))"
            " given (code, version, before) join component_version v on v.code = given.code and v.version = before"
            " where c.code = given.code and c.version = given.version"
        ),
        {
            "new": new,
            "codes": [row.code for row in earlier],
            "versions": [row.version for row in earlier],
            "befores": [row.before for row in earlier],
        },
    ).rowcount
    added = [(row.code, row.version) for row in mine if row.before is None]
    removed = tx.execute(
        text(
            "update component c set state = 'removed', survey_id = :new, case_id = null"
            " from unnest(cast(:codes as text[]), cast(:versions as int[])) given (code, version)"
            " where c.code = given.code and c.version = given.version"
        ),
        {"new": new, "codes": [code for code, _ in added], "versions": [version for _, version in added]},
    ).rowcount
    _relocate(tx, new)
    kept = len(told) - restored - removed
    if not restored and not removed:
        raise errors.NotRevertible(kept=kept)
    counts = {"restored": restored, "removed": removed, "kept": kept}
    tx.execute(update(survey).where(survey.c.id == new).values(counts=counts))
    return {"survey": new, **counts}
