"""Checking a draft: its file with its repairs, row by row, and against the published census. Writes what it finds.

Everything written here is derived from the file, the mapping, the repairs and the town, and written anew each time.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import delete, func, select, update

from gis import (
    census_diff,
    census_published,
    census_writing,
    errors,
    geometry,
    import_components,
    local_systems,
)
from gis.census_diff import Compared, Side, Texts
from gis.census_findings import Finding, by_code, of_rows, untold, warning
from gis.census_published import FIELDS, Published
from gis.census_repairs import Prepared, Repair, prepare
from gis.census_suggest import suggestion
from gis.db import Connection
from gis.import_checks import column, declared_crs
from gis.import_components import UNITS, Checked, property_texts
from gis.import_ground import Ground, ground, today
from gis.import_mapping import Mapping
from gis.import_readers import Source, read
from gis.tables import (
    census_difference,
    census_draft,
    census_finding,
    census_repair,
    census_row,
)

Progress = Callable[[str, int, int], None]
DATES = ("surveyed_on", "changed_on")
"""Of the survey more than of the component: a difference in them alone is no change."""
MATCH_M = 10.0
"""So near a published component of its kind a row without a code may be the same."""


def repairs_of(tx: Connection, draft_id: UUID) -> list[Repair]:
    """The repairs of a draft in their order."""
    rows = tx.execute(
        select(census_repair).where(census_repair.c.draft_id == draft_id).order_by(census_repair.c.number)
    )
    return [Repair(row.kind, row.items, row.field) for row in rows]


def check(tx: Connection, draft_id: UUID, mapping: Mapping, progress: Progress) -> dict[str, Any]:
    """Read and check a draft anew; returns its counts.

    What refuses the whole file is noted on the draft, whose rows are then none. Raises ``MappingBad``,
    ``FileUnreadable``.
    """
    draft = tx.execute(select(census_draft).where(census_draft.c.id == draft_id).with_for_update()).one()
    for table in (census_row, census_finding, census_difference):
        tx.execute(delete(table).where(table.c.draft_id == draft_id))
    progress("read", 0, 1)
    source = replace(read(Path(draft.path), mapping), file=draft.file)
    if not len(source):
        raise errors.ImportRefused(zh="文件中没有数据行", en="The file has no rows", file=draft.file)
    progress("check", 0, 4)
    systems = local_systems.in_force(tx)
    town = ground(tx)
    told: list[str] = []
    try:
        prepared = prepare(source, mapping, repairs_of(tx, draft_id), systems)
        checked = import_components.check(tx, prepared.source, prepared.mapping, today(), renumber=prepared.renumber)
        progress("check", 1, 4)
        told = [name for name in FIELDS if name in ("catalogue", "category_code") or name in checked.mapping.fields]
        found, codes, census = _match(tx, checked, prepared, town)
    except errors.ImportRefused as problem:
        return _note(tx, draft, mapping, "refused", {"read": len(source)}, told, problem=problem.body())
    _keep_silent(checked, codes, census)
    progress("check", 2, 4)
    findings = [*found, *of_rows(tx, checked, town, local=prepared.crs.startswith(local_systems.PREFIX))]
    compared, new_rows = _compared(checked, codes, census, [name for name in told if name not in DATES])
    progress("check", 3, 4)
    census_writing.rows(tx, draft_id, source, prepared, checked, codes, findings)
    census_writing.findings(tx, draft_id, findings)
    gone = np.zeros(0, dtype=np.intp)
    if draft.removal == "surveyed":
        gone = _removed(checked, compared, census, new_rows, _mentioned(tx, source, mapping))
    census_writing.differences(tx, draft_id, checked, codes, new_rows, compared, census, gone)
    good = int((~checked.problems.bad).sum())
    kinds, numbers = np.unique(compared.kinds.astype(str), return_counts=True)
    counts = {
        "read": len(source),
        "good": good,
        "bad": int(checked.problems.bad.sum()),
        "excluded": len(prepared.excluded),
        "findings": by_code(findings),
        "differences": dict.fromkeys((*census_diff.KINDS, "unchanged"), 0)
        | {str(k): int(n) for k, n in zip(kinds, numbers, strict=True)}
        | {"removed": len(gone)},
    }
    progress("check", 4, 4)
    return _note(tx, draft, mapping, "open", counts, told, crs=prepared.crs)


def _note(
    tx: Connection,
    draft: Any,
    mapping: Mapping,
    state: str,
    counts: dict[str, Any],
    told: Sequence[str],
    *,
    crs: str = "",
    problem: dict[str, Any] | None = None,
) -> dict[str, Any]:
    tx.execute(
        update(census_draft)
        .where(census_draft.c.id == draft.id)
        .values(
            state=state,
            counts=counts,
            told=list(told),
            problem=problem,
            source=mapping.source,
            crs=crs or mapping.crs,
            revision=census_draft.c.revision + 1,
            checked_at=func.clock_timestamp(),
        )
    )
    return counts


# --- Matching ---------------------------------------------------------------------------------------------------


def _match(
    tx: Connection, checked: Checked, prepared: Prepared, town: Ground
) -> tuple[list[Finding], Texts, Published]:
    """(findings, code of every row or '', the published side). Raises ``ImportRefused`` for another system."""
    good = ~checked.problems.bad
    kinds = census_published.classes(checked.catalogues, checked.categories)
    pairs = sorted({tuple(one.split(" ")) for one in kinds[good].tolist()})
    codes = checked.codes.copy()
    if not checked.mapping.coded:
        known = census_published.register_of(tx, checked.mapping.source, checked.identifiers[good].tolist())
        codes = np.array([known.get(one, "") for one in checked.identifiers.tolist()], dtype=object)
        codes[~good | prepared.renumber] = ""
    for row, code in prepared.matches.items():
        codes[row] = code
    census = census_published.published(tx, pairs, [code for code in codes.tolist() if code])
    _refuse_misnamed(checked, prepared, codes, census)
    _refuse_other_system(tx, checked, kinds, census)
    findings = _shifted(checked, codes, census)
    return [*findings, *_near_census(checked, prepared, codes, kinds, census)], codes, census


def _refuse_misnamed(checked: Checked, prepared: Prepared, codes: Texts, census: Published) -> None:
    """Name rows said to be a published component that there is not, of another category, or what an earlier row is."""
    problems, there = checked.problems, census_diff.places_of(codes, census.side.codes)
    matched = np.zeros(len(codes), dtype=bool)
    matched[list(prepared.matches)] = True
    note = "没有这个已发布的部件", "no such component is published"
    problems.add(matched & (there < 0), errors.ComponentCodeBad, codes, *note)
    # In another catalogue its class may well have another code.
    known = np.flatnonzero((there >= 0) & ~problems.bad)
    was = {name: census.side.fields[name][there[known]] for name in ("catalogue", "category_code")}
    other = np.zeros(len(codes), dtype=bool)
    other[known] = (was["catalogue"] == checked.catalogues[known]) & (was["category_code"] != checked.categories[known])
    note = "已登记为另一类别", "it is registered under another category"
    problems.add(other, errors.CategoryMismatch, codes, *note)
    at = np.flatnonzero((codes != "") & ~problems.bad)
    _, first, of = np.unique(codes[at].astype(str), return_index=True, return_inverse=True)
    original = np.arange(len(codes))
    original[at] = at[first[of]]
    rows = checked.source.rows[original].astype(str)
    zh, en = np.char.add(np.char.add("与文件第 ", rows), " 行是同一部件"), np.char.add("the same one as row ", rows)
    problems.add(original != np.arange(len(codes)), errors.ComponentDuplicate, codes, zh, en)


def _refuse_other_system(tx: Connection, checked: Checked, kinds: Texts, census: Published) -> None:
    crs = declared_crs(checked.source, checked.mapping)
    ways = census_published.other_systems(tx, checked.places.x, checked.places.y, crs, kinds, census)
    if not ways:
        return
    system, swapped, share = ways[0]
    how = ("（坐标轴对调）", " with its axes exchanged") if swapped else ("", "")
    raise errors.ImportRefused(
        zh=f"导入被整体拒绝：声明坐标系 {crs}，但按 {system}{how[0]} 有 {share:.0%} 的记录与已发布普查重合",
        en=f"The import was refused as a whole: declared {crs}, but read as {system}{how[1]} {share:.0%} of the rows"
        " lie on the published census",
        reason="swapped_axes" if swapped else "wrong_crs",
        file=checked.source.file,
        declared=crs,
        fits=[system],
    )


def _shifted(checked: Checked, codes: Texts, census: Published) -> list[Finding]:
    moved = census_published.shift(codes, checked.places.lon, checked.places.lat, census)
    if moved is None:
        return []
    east, north = moved
    zh = f"向东 {east:.1f} 米、向北 {north:.1f} 米，请核对坐标系与转换参数"
    en = f"{east:.1f} m east, {north:.1f} m north; look at the coordinate system and its parameters"
    return [warning(errors.CommonShift, 0, "", f"{east:.2f}, {north:.2f}", zh, en)]


def _near_census(checked: Checked, prepared: Prepared, codes: Texts, kinds: Texts, census: Published) -> list[Finding]:
    """Rows whose code the census does not know, beside one of their kind that the survey does not name.

    Without codes of its own a row within both accuracies is the same component, a removed one found again if nothing
    else stands there; farther off, or with another code, it is only said to be near.
    """
    named = census_diff.places_of(codes, census.side.codes)
    taken = np.zeros(len(census.side.codes), dtype=bool)
    taken[named[named >= 0]] = True
    mine = np.flatnonzero(~checked.problems.bad & (named < 0) & ~prepared.renumber)
    reach = census_diff.reach_m(checked.fields["accuracy_class"])
    published_reach = census_diff.reach_m(census.side.accuracy)
    findings = []
    for row, at, metres in _nearest(checked, mine, np.flatnonzero(~taken & ~census.side.gone), kinds, census):
        code = str(census.side.codes[at])
        if not checked.mapping.coded and metres <= reach[row] + published_reach[at]:
            codes[row] = code
            continue
        zh, en = f"{metres:.1f} 米外的 {code}", f"{code}, {metres:.1f} m away"
        same = suggestion("match", code, "", f"就是 {code}", f"It is {code}")
        number = int(checked.source.rows[row])
        findings.append(
            warning(errors.ComponentKnown, number, str(checked.identifiers[row]), f"{metres:.1f}", zh, en, same)
        )
    if not checked.mapping.coded:
        left = mine[codes[mine] == ""]
        for row, at, metres in _nearest(checked, left, np.flatnonzero(~taken & census.side.gone), kinds, census):
            if metres <= reach[row] + published_reach[at]:
                codes[row] = str(census.side.codes[at])
    return findings


def _nearest(
    checked: Checked, mine: census_diff.Ints, theirs: census_diff.Ints, kinds: Texts, census: Published
) -> list[tuple[int, int, float]]:
    """(row, place in the census, metres) of those of one kind that are each other's nearest within ``MATCH_M``."""
    if not mine.size or not theirs.size:
        return []
    east, north = geometry.to_4548(checked.places.lon[mine], checked.places.lat[mine])
    pairs = census_diff.match_near(
        east, north, kinds[mine], census.east[theirs], census.north[theirs], census.classes[theirs], MATCH_M
    )
    return [(int(mine[i]), int(theirs[j]), metres) for i, j, metres in pairs]


def _keep_silent(checked: Checked, codes: Texts, census: Published) -> None:
    """Where a survey says nothing of state or accuracy, a known component keeps its own; one found again is there."""
    at = census_diff.places_of(codes, census.side.codes)
    known = at >= 0
    for name in ("state", "accuracy_class"):
        silent = known & untold(checked, name)
        if name == "state":
            silent[known] &= ~census.side.gone[at[known]]
        checked.fields[name][silent] = census.side.fields[name][at[silent]]


# --- Comparison -------------------------------------------------------------------------------------------------


def _compared(checked: Checked, codes: Texts, census: Published, told: Sequence[str]) -> tuple[Compared, Any]:
    """(comparison of the good rows, their positions)."""
    good = np.flatnonzero(~checked.problems.bad)
    fields = {name: checked.fields[name][good] for name in ("name", "state", "accuracy_class", *UNITS)}
    fields["accuracy_class"] = np.where(untold(checked, "accuracy_class")[good], "", fields["accuracy_class"])
    fields |= {"catalogue": checked.catalogues[good], "category_code": checked.categories[good]}
    side = Side(
        codes=codes[good],
        lon=checked.places.lon[good],
        lat=checked.places.lat[good],
        accuracy=fields["accuracy_class"],
        fields=fields,
        properties=[json.loads(one) for one in property_texts(checked, good)],
        shapes=checked.places.shapes[good],
        gone=np.zeros(len(good), dtype=bool),
    )
    return census_diff.compare(side, census.side, told), good


def _mentioned(tx: Connection, source: Source, mapping: Mapping) -> list[str]:
    """The codes the file speaks of, also in rows that are wrong or left out: what it names is not gone."""
    assert mapping.identifier is not None
    identifiers = column(source, mapping.identifier.columns, mapping.na).tolist()
    return (
        identifiers if mapping.coded else list(census_published.register_of(tx, mapping.source, identifiers).values())
    )


def _removed(checked: Checked, compared: Compared, census: Published, good: Any, mentioned: Sequence[str]) -> Any:
    """The published components the survey should have met: of a category it has in a village where it has that."""
    surveyed = {
        f"{kind} {village}"
        for kind, village in zip(
            census_published.classes(checked.catalogues[good], checked.categories[good]).tolist(),
            checked.located.village[good].tolist(),
            strict=True,
        )
    }
    missing = compared.missing
    missing = missing[~np.isin(census.side.codes[missing].astype(str), mentioned)]
    if not missing.size:
        return missing
    where = np.char.add(np.char.add(census.classes[missing].astype(str), " "), census.villages[missing].astype(str))
    return missing[np.isin(where, sorted(surveyed))]
