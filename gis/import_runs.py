"""The register of queued imports: noting one, asking how it stands. Knows no files, so that the API need not."""

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert

from gis import errors
from gis.db import Connection
from gis.tables import import_run


def open_run(tx: Connection, run_id: UUID, kind: str, file: str, started_by: str) -> None:
    """Note a queued import; ``file`` is the name its sender gave it."""
    noted = upsert(import_run).values(id=run_id, kind=kind, file=file, state="queued", started_by=started_by)
    # The job may have begun before this transaction ends; then only the names are still wanted.
    tx.execute(noted.on_conflict_do_update(index_elements=["id"], set_={"file": file, "started_by": started_by}))


def get_run(tx: Connection, run_id: UUID) -> dict[str, Any]:
    """How an import stands: ``{id, kind, file, state, counts, errors, started_by, started_at, ended_at}``.

    While it runs ``counts`` is ``{stage, done, total}``; when refused ``{problem}``. Raises ``NotFound``.
    """
    row = tx.execute(select(import_run).where(import_run.c.id == run_id)).mappings().first()
    if row is None:
        raise errors.NotFound(id=str(run_id))
    return dict(row)
