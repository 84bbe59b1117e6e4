"""Routes of the census: surveys as drafts (check, repair, sample, compare, publish), publications, local systems."""

import csv
import io
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Form, Query, Response, UploadFile
from fastapi import Path as PathOf
from fastapi.params import File
from pydantic import BaseModel, Field, FiniteFloat

from api import background
from api.access import Tx, allow
from gis import (
    census_acceptance,
    census_drafts,
    census_publish,
    db,
    definitions,
    errors,
    files,
    imports,
    local_systems,
    people,
    rulebook,
)
from gis.census_repairs import WHOLE_FILE, Repair
from gis.census_sampling import FAULTS
from gis.import_checks import no_formula
from gis.local_systems import LocalSystem
from gis.people import Caller
from gis.settings import settings

router = APIRouter(tags=["census"])
Viewer = Annotated[Caller, allow("census.view")]
Clerk = Annotated[Caller, allow("census.manage")]
Limit = Annotated[int, Query(ge=1, le=500)]


class Change(BaseModel):
    """A new name, and whether published components a survey does not have are removed (``surveyed``: those of its
    categories in its villages) or left alone (``none``: it is only a part)."""

    name: str | None = Field(None, min_length=1, max_length=200)
    removal: Literal["surveyed", "none"] | None = None


class Decision(BaseModel):
    """One repair: ``accept`` takes the suggestions of the findings ``code`` (of ``rows``, or all), ``exclude`` leaves
    out every row with such an error ('' for any); else a repair as ``gis.census_repairs.Repair``.

    ``revision`` is the check the decision rests on.
    """

    revision: int
    kind: str = Field(max_length=40)
    code: str = Field("", max_length=60)
    rows: list[int] | None = Field(None, max_length=100_000)
    field: str = Field("", max_length=40)
    items: dict[str, str | None] | None = Field(None, max_length=100_000)


class Drawing(BaseModel):
    """A sample to draw: by which plan, with a seed or one that is made."""

    revision: int
    plan: str = Field(max_length=80)
    seed: str = Field("", max_length=60)


class Result(BaseModel):
    """What was found at a sampled component; ``lon, lat`` as measured there, EPSG:4490."""

    faults: list[Literal["absent", "position", "category", "attribute"]] = []
    lon: float | None = Field(None, ge=-180, le=180)
    lat: float | None = Field(None, ge=-90, le=90)
    note: str = Field("", max_length=1000)
    photo: str | None = Field(None, pattern="^[0-9a-f]{64}$")


class Words(BaseModel):
    """Why."""

    note: str = Field("", max_length=500)


class Publication(Words):
    """Publish what was seen at ``revision``."""

    revision: int


class System(BaseModel):
    """A local coordinate system: control points in both systems, how they are joined, what residual is tolerated."""

    name: dict[Literal["zh", "en"], str] = {"zh": "", "en": ""}
    method: Literal["helmert", "affine"] = "helmert"
    tolerance_m: FiniteFloat = 0.1
    points: list[dict[str, Any]] = Field(max_length=1000)

    def body(self, code: str) -> dict[str, Any]:
        """The body of its definition."""
        told = self.model_dump(include={"name", "method", "tolerance_m", "points"})
        return {"kind": local_systems.KIND, "code": code, **told}


# --- Drafts -----------------------------------------------------------------------------------------------------


@router.get("/api/census/drafts")
def drafts(caller: Viewer, tx: Tx) -> dict[str, Any]:
    """Drafts, the newest first; the mappings a survey can be read with, plans, local systems, what was published."""
    folder = settings().data_dir / "mappings"
    mappings = [(path.stem, imports.mapping_named(path.stem)) for path in sorted(folder.glob("*.yaml"))]
    return {
        "items": census_drafts.every(tx),
        "mappings": [{"code": stem, "name": m.name, "crs": m.crs} for stem, m in mappings if m.kind == "components"],
        "plans": [{"code": p.code, "name": p.name, "source": p.source} for p in census_acceptance.plans(tx)],
        "systems": [{"code": s.code, "name": s.name} for s in local_systems.in_force(tx).values()],
        "surveys": census_publish.surveys(tx),
    }


@router.post("/api/census/drafts", status_code=202)
def begin(
    file: Annotated[UploadFile, File()],
    caller: Clerk,
    mapping: Annotated[str, Form(max_length=100_000)] = "census-cjt214",
    name: Annotated[str, Form(max_length=200)] = "",
    crs: Annotated[str, Form(max_length=60)] = "",
    removal: Annotated[Literal["surveyed", "none"], Form()] = "surveyed",
) -> dict[str, Any]:
    """Take a survey as a draft and queue its check. ``crs`` takes the place of what the mapping says."""
    chosen = imports.mapping_named(mapping)
    if chosen.kind != "components":
        raise errors.MappingBad("这不是部件的映射", "This mapping is not of components", key="kind")
    draft_id = uuid4()
    kept = _keep(file, draft_id)
    try:
        # Committed before it is queued: a worker must find it, and losing the queue must lose nothing.
        with db.transaction() as tx:
            run_id = census_drafts.begin(tx, caller, draft_id, name, file.filename or "", str(kept), mapping)
            census_drafts.change(tx, draft_id, None, removal)
            if crs:
                census_drafts.repair(tx, caller, draft_id, Repair("crs", {WHOLE_FILE: crs}))
            _record(tx, caller, "begin", draft_id, file=file.filename or "")
    except BaseException:
        kept.unlink(missing_ok=True)
        raise
    background.start_import(run_id)
    return {"id": draft_id}


def _keep(file: UploadFile, draft_id: UUID) -> Path:
    folder = settings().home / "surveys"
    folder.mkdir(parents=True, exist_ok=True)
    suffix = "".join(letter for letter in Path(file.filename or "").suffix[:10] if letter == "." or letter.isalnum())
    kept = folder / f"{draft_id}{suffix}"
    try:
        with kept.open("xb") as copy:
            shutil.copyfileobj(file.file, copy, 1 << 20)
            copy.flush()
            os.fsync(copy.fileno())
    except BaseException:
        kept.unlink(missing_ok=True)
        raise
    return kept


def _record(tx: db.Connection, caller: Caller, what: str, draft_id: UUID, **more: Any) -> None:
    people.record(tx, caller.id, caller.name, f"census.{what}", "ok", {"draft": str(draft_id), **more})


@router.get("/api/census/drafts/{draft_id}")
def draft(draft_id: UUID, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """A draft: counts, repairs, samples, how its check stands."""
    return census_drafts.get(tx, draft_id) | {"samples": census_acceptance.samples(tx, draft_id)}


@router.patch("/api/census/drafts/{draft_id}")
def change(draft_id: UUID, body: Change, caller: Clerk) -> dict[str, Any]:
    """Rename a draft; say what absence means, which has it checked anew."""
    run_id = None
    with db.transaction() as tx:
        census_drafts.changeable(tx, draft_id)
        census_drafts.change(tx, draft_id, body.name, body.removal)
        if body.removal is not None:
            run_id = census_drafts.ask_check(tx, caller, draft_id)
        _record(tx, caller, "change", draft_id, **body.model_dump(exclude_none=True))
    return _started(run_id)


def _started(run_id: UUID | None) -> dict[str, Any]:
    """Queue a noted check, after its transaction."""
    if run_id is not None:
        background.start_import(run_id)
    return {"run": run_id}


@router.post("/api/census/drafts/{draft_id}/check", status_code=202)
def check(draft_id: UUID, caller: Clerk) -> dict[str, Any]:
    """Check again: the published census, the grids or the departments may have changed."""
    with db.transaction() as tx:
        census_drafts.changeable(tx, draft_id)
        run_id = census_drafts.ask_check(tx, caller, draft_id)
    return _started(run_id)


@router.post("/api/census/drafts/{draft_id}/repairs", status_code=202)
def repair(draft_id: UUID, body: Decision, caller: Clerk) -> dict[str, Any]:
    """Decide about findings; the draft is then checked again."""
    with db.transaction() as tx:
        census_drafts.changeable(tx, draft_id, body.revision)
        if body.kind == "accept":
            census_drafts.accept(tx, caller, draft_id, body.code, body.rows)
        elif body.kind == "exclude" and body.items is None:
            census_drafts.exclude(tx, caller, draft_id, body.code)
        else:
            census_drafts.repair(tx, caller, draft_id, Repair(body.kind, body.items or {}, body.field), body.code)
        run_id = census_drafts.ask_check(tx, caller, draft_id)
        _record(tx, caller, "repair", draft_id, kind=body.kind, code=body.code, field=body.field)
    return _started(run_id)


@router.delete("/api/census/drafts/{draft_id}/repairs/{number}", status_code=202)
def take_back(draft_id: UUID, number: int, caller: Clerk) -> dict[str, Any]:
    """Take a repair back; the draft is then checked again."""
    with db.transaction() as tx:
        census_drafts.changeable(tx, draft_id)
        census_drafts.take_back(tx, draft_id, number)
        run_id = census_drafts.ask_check(tx, caller, draft_id)
        _record(tx, caller, "take_back", draft_id, number=number)
    return _started(run_id)


@router.post("/api/census/drafts/{draft_id}/withdraw")
def withdraw(draft_id: UUID, body: Words, caller: Clerk) -> dict[str, Any]:
    """End a draft unpublished. What was decided stays on record; its file is deleted."""
    with db.transaction() as tx:
        path = census_drafts.withdraw(tx, caller, draft_id, body.note)
        _record(tx, caller, "withdraw", draft_id)
    Path(path).unlink(missing_ok=True)
    return {"id": draft_id, "state": "withdrawn"}


@router.get("/api/census/drafts/{draft_id}/findings")
def findings(
    draft_id: UUID,
    caller: Viewer,
    tx: Tx,
    code: Annotated[str, Query(max_length=60)] = "",
    severity: Literal["", "error", "warning"] = "",
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Findings in the order of the file; ``next`` is the cursor of the next page."""
    found = census_drafts.findings(tx, draft_id, code, severity, after, limit + 1)
    return {"items": found[:limit], "next": found[limit - 1]["number"] if len(found) > limit else None}


@router.get("/api/census/drafts/{draft_id}/findings.csv")
def findings_file(draft_id: UUID, caller: Viewer, tx: Tx) -> Response:
    """Every finding, for the surveyors."""
    rows = (
        [
            *(one["row"] or "", one["identifier"], one["severity"], one["code"], one["zh"], one["en"], one["value"]),
            *((one["suggestion"] or {}).get(language, "") for language in ("zh", "en")),
        ]
        for one in _pages(lambda after: census_drafts.findings(tx, draft_id, after=after, limit=5000))
    )
    head = ["row", "identifier", "severity", "code", "zh", "en", "value", "suggestion_zh", "suggestion_en"]
    return _csv("findings", head, rows)


def _pages(read: Any) -> Iterator[dict[str, Any]]:
    after = 0
    while page := read(after):
        yield from page
        after = page[-1]["number"]


def _csv(name: str, head: Sequence[str], rows: Iterator[list[Any]]) -> Response:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows([no_formula(str(value)) if isinstance(value, str) else value for value in row] for row in rows)
    headers = {"content-disposition": f'attachment; filename="{name}.csv"', "cache-control": "no-store"}
    return Response("\ufeff" + text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/api/census/drafts/{draft_id}/differences")
def differences(
    draft_id: UUID,
    caller: Viewer,
    tx: Tx,
    kind: Literal["", "added", "moved", "changed", "removed"] = "",
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """What publishing would change; ``next`` is the cursor of the next page."""
    found = census_drafts.differences(tx, draft_id, kind, after, limit + 1)
    return {"items": found[:limit], "next": found[limit - 1]["number"] if len(found) > limit else None}


@router.get("/api/census/drafts/{draft_id}/differences.{form}")
def differences_file(draft_id: UUID, form: Literal["csv", "geojson"], caller: Viewer, tx: Tx) -> Response:
    """Every difference as a table or as shapes (lines lead from the old place to the new)."""
    if form == "geojson":
        body = {"type": "FeatureCollection", "features": census_drafts.difference_features(tx, draft_id)}
        headers = {"content-disposition": 'attachment; filename="differences.geojson"', "cache-control": "no-store"}
        return Response(json.dumps(body, ensure_ascii=False), media_type="application/geo+json", headers=headers)
    head = ["kind", "row", "code", "catalogue", "category_code", "name", "village_code", "moved_m", "lon", "lat"]
    rows = (
        [*(one[name] for name in head), json.dumps(one["changes"], ensure_ascii=False)]
        for one in _pages(lambda after: census_drafts.differences(tx, draft_id, after=after, limit=5000))
    )
    return _csv("differences", [*head, "changes"], rows)


@router.get("/api/census/drafts/{draft_id}/tiles/{z}/{x}/{y}.mvt")
def tile(draft_id: UUID, z: int, x: int, y: int, caller: Viewer, tx: Tx) -> Response:
    """The differences in a vector tile, layer ``differences``."""
    if not (0 <= z <= 22 and 0 <= x < 1 << z and 0 <= y < 1 << z):
        raise errors.NotFound(tile=f"{z}/{x}/{y}")
    content = census_drafts.difference_tile(tx, draft_id, z, x, y)
    return Response(content, media_type="application/vnd.mapbox-vector-tile", headers={"cache-control": "no-store"})


# --- Field acceptance -------------------------------------------------------------------------------------------


@router.post("/api/census/drafts/{draft_id}/sample", status_code=201)
def draw(draft_id: UUID, body: Drawing, caller: Clerk, tx: Tx) -> dict[str, Any]:
    """Draw a sample; from then on the draft does not change until it is rejected or discarded."""
    sample = census_acceptance.draw(tx, caller, draft_id, body.plan, body.seed, body.revision)
    _record(tx, caller, "sample", draft_id, sample=str(sample))
    return {"id": sample}


@router.get("/api/census/drafts/{draft_id}/sample")
def sample(draft_id: UUID, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """Every sample of the draft, and the components of the last one in the order they were drawn."""
    found = census_acceptance.samples(tx, draft_id)
    rows = census_acceptance.rows_of(tx, draft_id, found[0]["id"]) if found else []
    return {"samples": found, "rows": rows, "faults": list(FAULTS)}


@router.get("/api/census/drafts/{draft_id}/sample.csv")
def sample_sheet(draft_id: UUID, caller: Viewer, tx: Tx) -> Response:
    """The last sample as a list to take to the field, with room for what is found there."""
    found = census_acceptance.samples(tx, draft_id)
    head = ["place", "row", "code", "identifier", "name", "unit_grid_code", "accuracy_class", "lon", "lat", "result"]
    rows = census_acceptance.rows_of(tx, draft_id, found[0]["id"]) if found else []
    lines = ([one[name] for name in head] + [" ".join(one["faults"]), one["note"]] for one in rows)
    return _csv("sample", [*head, "faults", "note"], lines)


@router.post("/api/census/drafts/{draft_id}/sample/rest")
def record_rest(draft_id: UUID, caller: Clerk, tx: Tx) -> dict[str, Any]:
    """Record that everything in the sample without a result yet is good; the answer says what the sample comes to."""
    outcome = census_acceptance.record_rest(tx, caller, draft_id)
    _record(tx, caller, "sample_rest", draft_id, recorded=outcome["recorded"])
    return outcome


@router.put("/api/census/drafts/{draft_id}/sample/{row}")
def record(draft_id: UUID, row: int, body: Result, caller: Clerk, tx: Tx) -> dict[str, Any]:
    """Record what was found at one sampled component; the answer says what the sample comes to."""
    measured = (float(body.lon), float(body.lat)) if body.lon is not None and body.lat is not None else None
    if body.photo:
        files.media_type(files.read(settings().home / "files", body.photo))
    outcome = census_acceptance.record(tx, caller, draft_id, row, body.faults, measured, body.note, body.photo)
    # Until the sample is judged a result may be given anew: what it was before is in the audit log.
    _record(tx, caller, "result", draft_id, row=row, **outcome)
    return outcome


@router.post("/api/census/drafts/{draft_id}/sample/discard")
def discard(draft_id: UUID, body: Words, caller: Clerk, tx: Tx) -> dict[str, Any]:
    """Give the last sample up, so that the draft can be changed; it stays on record."""
    census_acceptance.discard(tx, draft_id, body.note)
    _record(tx, caller, "discard", draft_id, note=body.note)
    return {"samples": census_acceptance.samples(tx, draft_id)}


# --- Publication ------------------------------------------------------------------------------------------------


@router.post("/api/census/drafts/{draft_id}/publish")
def publish(draft_id: UUID, body: Publication, caller: Clerk) -> dict[str, Any]:
    """Publish the draft, all of it or nothing."""
    with db.transaction() as tx:
        outcome = census_publish.publish(tx, caller, draft_id, body.revision, body.note)
        path = outcome.pop("file")
        told = {name: str(value) if name == "survey" else value for name, value in outcome.items()}
        _record(tx, caller, "publish", draft_id, **told)
    Path(path).unlink(missing_ok=True)
    return outcome


@router.post("/api/census/surveys/{survey_id}/revert")
def revert(survey_id: UUID, body: Words, caller: Clerk, tx: Tx) -> dict[str, Any]:
    """Publish again what this survey replaced; what was changed since stays."""
    outcome = census_publish.revert(tx, caller, survey_id, body.note)
    told = {name: str(value) if name == "survey" else value for name, value in outcome.items()}
    people.record(tx, caller.id, caller.name, "census.revert", "ok", {"reverts": str(survey_id), **told})
    return outcome


# --- Local systems ----------------------------------------------------------------------------------------------


@router.get("/api/census/systems")
def systems(caller: Viewer, tx: Tx) -> dict[str, Any]:
    """Local coordinate systems with their residual reports."""
    found = definitions.currents(tx, local_systems.KIND)
    return {
        "items": [{"code": d.code, "version": d.version, "body": d.body, "report": d.parsed.report()} for d in found]
    }


@router.post("/api/census/systems/fit")
def fit(body: System, caller: Clerk) -> dict[str, Any]:
    """The residual report of control points, before anything is stored."""
    system: LocalSystem = definitions.check(local_systems.KIND, body.body("trial"))
    return system.report()


@router.put("/api/census/systems/{code}")
def save_system(
    code: Annotated[str, PathOf(pattern="^[a-z0-9][a-z0-9-]{0,39}$")], body: System, caller: Clerk, tx: Tx
) -> dict[str, Any]:
    """Store a local system as a new version; surveys name it ``local:CODE``."""
    version = rulebook.publish(tx, local_systems.KIND, code, body.body(code), caller.name)
    people.record(tx, caller.id, caller.name, "census.system", "ok", {"code": code, "version": version})
    return {"code": code, "version": version}
