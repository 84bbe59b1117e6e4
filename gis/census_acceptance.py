"""Field acceptance of a draft: a sample drawn by a plan, results component by component, the verdict."""

import secrets
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, insert, select, update

from gis import census_drafts, census_sampling, definitions, errors, geometry
from gis.census_sampling import FAULTS, SamplingPlan
from gis.components import ACCURACY_M
from gis.db import Connection
from gis.people import Caller
from gis.tables import census_row, census_sample, census_sample_row

BAD_ROWS = "还有行有错误，请先修复或排除", "Some rows still have errors: repair or exclude them"
_POINT_COLUMNS = ("code", "identifier", "catalogue", "category_code", "name", "accuracy_class", "unit_grid_code")


def plans(tx: Connection) -> list[SamplingPlan]:
    """The plans in force."""
    return [found.parsed for found in definitions.currents(tx, census_sampling.KIND)]


def draw(
    tx: Connection, caller: Caller, draft_id: UUID, plan: str, seed: str = "", revision: int | None = None
) -> UUID:
    """Draw a sample of the rows that would be published; returns its id. The seed is made where none is given.

    From then on the draft does not change until the sample is rejected or discarded. Raises ``DraftUnready`` while rows
    have errors, where the last check broke off, a sample of the very same rows was rejected, or there is nothing to
    sample, ``DefinitionUnknown`` and as ``census_drafts.changeable``.
    """
    row = census_drafts.changeable(tx, draft_id, revision)
    census_drafts.refuse_unchecked(tx, row)
    if row.state != "open" or row.counts.get("bad", 1):
        raise errors.DraftUnready(*BAD_ROWS, bad=row.counts.get("bad"))
    before = tx.execute(census_drafts.newest_sample(draft_id)).first()
    if before is not None and before.state == "rejected" and before.revision == row.revision:
        # Drawn again until one passes, a sample would say nothing.
        raise errors.DraftUnready("抽样已拒收，请先修复草稿再抽样", "A sample was rejected: repair the draft first")
    found = definitions.current(tx, census_sampling.KIND, plan)
    rows = tx.execute(
        select(census_row.c.row).where(census_row.c.draft_id == draft_id, census_row.c.status == "good")
    ).scalars()
    lot = list(rows)
    if not lot:
        raise errors.DraftUnready("没有可抽样的行", "There is no row to sample")
    size, accept = found.parsed.of_lot(len(lot))
    seed = seed or secrets.token_hex(8)
    sample_id = uuid4()
    tx.execute(
        insert(census_sample).values(
            id=sample_id,
            draft_id=draft_id,
            plan=plan,
            plan_version=found.version,
            revision=row.revision,
            lot=len(lot),
            size=size,
            accept=accept,
            seed=seed,
            drawn_by=caller.name,
            drawn_at=func.clock_timestamp(),
        )
    )
    drawn = census_sampling.draw(lot, size, seed)
    tx.execute(
        insert(census_sample_row),
        [{"sample_id": sample_id, "row": one, "place": place} for place, one in enumerate(drawn, start=1)],
    )
    return sample_id


def samples(tx: Connection, draft_id: UUID) -> list[dict[str, Any]]:
    """Every sample of a draft, the newest first, with how many rows are checked and bad."""
    counted = (
        select(
            census_sample,
            func.count(census_sample_row.c.result).label("checked"),
            func.count().filter(census_sample_row.c.result == "bad").label("bad"),
        )
        .join(census_sample_row, census_sample_row.c.sample_id == census_sample.c.id)
        .where(census_sample.c.draft_id == draft_id)
        .group_by(census_sample.c.id)
        .order_by(census_sample.c.drawn_at.desc())
    )
    return [dict(row) for row in tx.execute(counted).mappings()]


def rows_of(tx: Connection, draft_id: UUID, sample_id: UUID) -> list[dict[str, Any]]:
    """The sampled components in the order they were drawn, each with its result."""
    told = [c for c in census_sample_row.c if c.name not in ("sample_id", "lon", "lat", "photo")]
    statement = (
        select(
            *told,
            census_sample_row.c.lon.label("measured_lon"),
            census_sample_row.c.lat.label("measured_lat"),
            func.encode(census_sample_row.c.photo, "hex").label("photo"),
            *(census_row.c[name] for name in _POINT_COLUMNS),
            census_row.c.lon,
            census_row.c.lat,
        )
        .join(census_row, (census_row.c.draft_id == draft_id) & (census_row.c.row == census_sample_row.c.row))
        .where(census_sample_row.c.sample_id == sample_id)
        .order_by(census_sample_row.c.place)
    )
    return [dict(row) for row in tx.execute(statement).mappings()]


def record(
    tx: Connection,
    caller: Caller,
    draft_id: UUID,
    row: int,
    faults: Sequence[str],
    measured: tuple[float, float] | None = None,
    note: str = "",
    photo: str | None = None,
) -> dict[str, Any]:
    """Record what was found at one sampled component: {result, faults, error_m, state of the sample}.

    ``measured`` is its place in EPSG:4490; farther off than its accuracy class allows it is a fault by itself. Without
    faults the component is good. Raises ``SampleState``, ``NotFound``, ``Malformed`` and as ``census_drafts.settled``.
    """
    unknown = sorted(set(faults) - set(FAULTS))
    if unknown:
        raise errors.Malformed(field="faults", value=unknown, known=list(FAULTS))
    census_drafts.settled(tx, draft_id)
    sample = _open(tx, draft_id)
    surveyed = tx.execute(
        select(census_row.c.lon, census_row.c.lat, census_row.c.accuracy_class)
        .join(census_sample_row, census_sample_row.c.row == census_row.c.row)
        .where(
            census_row.c.draft_id == draft_id,
            census_sample_row.c.sample_id == sample.id,
            census_sample_row.c.row == row,
        )
    ).first()
    if surveyed is None:
        raise errors.NotFound(row=row)
    found, error_m = set(faults), None
    if measured is not None:
        error_m = geometry.distance_m(surveyed.lon, surveyed.lat, *measured)
        if error_m > ACCURACY_M[surveyed.accuracy_class]:
            found.add("position")
    result = "bad" if found else "good"
    ordered = [one for one in FAULTS if one in found]
    tx.execute(
        update(census_sample_row)
        .where(census_sample_row.c.sample_id == sample.id, census_sample_row.c.row == row)
        .values(
            result=result,
            faults=ordered,
            lon=measured[0] if measured else None,
            lat=measured[1] if measured else None,
            error_m=error_m,
            note=note,
            photo=bytes.fromhex(photo) if photo else None,
            by=caller.name,
            at=func.clock_timestamp(),
        )
    )
    results = tx.execute(select(census_sample_row.c.result).where(census_sample_row.c.sample_id == sample.id)).scalars()
    state = census_sampling.verdict(sample.size, sample.accept, list(results))
    if state != "open":
        _end(tx, sample.id, state)
    return {"result": result, "faults": ordered, "error_m": error_m, "state": state}


def record_rest(tx: Connection, caller: Caller, draft_id: UUID) -> dict[str, Any]:
    """Record that every component of the sample that has no result yet is good: {recorded, state of the sample}.

    For who brings a whole list from the field: the bad ones are recorded first. Raises ``SampleState`` and as
    ``census_drafts.settled``.
    """
    census_drafts.settled(tx, draft_id)
    sample = _open(tx, draft_id)
    recorded = tx.execute(
        update(census_sample_row)
        .where(census_sample_row.c.sample_id == sample.id, census_sample_row.c.result.is_(None))
        .values(result="good", faults=[], by=caller.name, at=func.clock_timestamp())
    ).rowcount
    _end(tx, sample.id, "accepted")
    return {"recorded": recorded, "state": "accepted"}


def discard(tx: Connection, draft_id: UUID, reason: str) -> None:
    """Give a sample up, so that the draft can be changed; it stays on record. Raises ``SampleState``."""
    census_drafts.settled(tx, draft_id)
    sample = _newest(tx, draft_id)
    if sample is None or sample.state not in ("open", "accepted"):
        raise errors.SampleState(state=sample.state if sample else None)
    _end(tx, sample.id, "discarded", reason)


def _newest(tx: Connection, draft_id: UUID) -> Any:
    return tx.execute(census_drafts.newest_sample(draft_id).with_for_update()).first()


def _open(tx: Connection, draft_id: UUID) -> Any:
    sample = _newest(tx, draft_id)
    if sample is None or sample.state != "open":
        raise errors.SampleState(state=sample.state if sample else None)
    return sample


def _end(tx: Connection, sample_id: UUID, state: str, reason: str = "") -> None:
    tx.execute(
        update(census_sample)
        .where(census_sample.c.id == sample_id)
        .values(state=state, ended_at=func.clock_timestamp(), reason=reason)
    )
