"""Routes of imports: send a file with its mapping, watch the run."""

import os
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Form, UploadFile
from fastapi.params import File

from api import background
from api.access import Tx, allow
from gis import db, import_runs, people
from gis.people import Caller
from gis.settings import settings

router = APIRouter(tags=["imports"])
Importer = Annotated[Caller, allow("import.run")]


@router.post("/api/imports/{kind}", status_code=202)
def start(
    kind: Literal["components", "grids", "cases"],
    file: Annotated[UploadFile, File()],
    caller: Importer,
    mapping: Annotated[str, Form(max_length=100_000)] = "",
) -> dict[str, Any]:
    """Take a file and queue its import. ``mapping`` is the name of a mapping in data/ or a mapping's YAML text."""
    folder = settings().home / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    suffix = "".join(letter for letter in Path(file.filename or "").suffix[:10] if letter == "." or letter.isalnum())
    run_id = uuid4()
    kept = folder / f"{run_id}{suffix}"
    try:
        with kept.open("xb") as copy:
            shutil.copyfileobj(file.file, copy, 1 << 20)
            copy.flush()
            os.fsync(copy.fileno())
        # Committed before it is queued: a worker must find it, and losing the queue must lose nothing.
        with db.transaction() as tx:
            import_runs.open_run(tx, run_id, kind, file.filename or "", caller.name, str(kept), mapping)
            what = {"run": str(run_id), "kind": kind, "file": file.filename or ""}
            people.record(tx, caller.id, caller.name, "import.start", "ok", what)
    except BaseException:
        kept.unlink(missing_ok=True)
        raise
    background.start_import(run_id)
    return {"id": run_id}


@router.get("/api/imports/{run_id}")
def watch(run_id: UUID, caller: Importer, tx: Tx) -> dict[str, Any]:
    """How an import is doing: its state, its counts, the first rows it refused."""
    return import_runs.get_run(tx, run_id)
