"""Routes of imports: send a file with its mapping, watch the run."""

import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Form, UploadFile
from fastapi.params import File

from api import background
from api.access import Tx, allow
from gis import import_runs
from gis.people import Caller
from gis.settings import settings

router = APIRouter(tags=["imports"])
Importer = Annotated[Caller, allow("import.run")]


@router.post("/api/imports/{kind}", status_code=202)
def start(
    kind: Literal["components", "grids", "cases"],
    file: Annotated[UploadFile, File()],
    caller: Importer,
    tx: Tx,
    mapping: Annotated[str, Form(max_length=100_000)] = "",
) -> dict[str, Any]:
    """Take a file and queue its import. ``mapping`` is the name of a mapping in data/ or a mapping's YAML text."""
    folder = settings().home / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    suffix = "".join(Path(file.filename or "").suffixes[-1:])[:10]
    with tempfile.NamedTemporaryFile(dir=folder, suffix=suffix, delete=False) as kept:
        while chunk := file.file.read(1 << 20):
            kept.write(chunk)
    run_id = uuid4()
    import_runs.open_run(tx, run_id, kind, file.filename or "", caller.name)
    background.enqueue("run_import", str(run_id), kind, kept.name, mapping)
    return {"id": run_id}


@router.get("/api/imports/{run_id}")
def watch(run_id: UUID, tx: Tx, caller: Importer) -> dict[str, Any]:
    """How an import is doing: its state, its counts, the first rows it refused."""
    return import_runs.get_run(tx, run_id)
