"""The register of imports: noted before anything is queued, taken up by one worker at a time, ended once.

Knows no file formats and no queue, so that the API need not; whatever queue there is may be lost at any time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, insert, or_, select, update

from gis import errors
from gis.db import Connection
from gis.tables import import_run

STALE = timedelta(minutes=2)
"""A run that shows no sign of life for this long is taken up again; its worker was killed."""
ATTEMPTS = 5
"""A file that ends its worker this often is given up."""

_SHOWN = [
    import_run.c[name]
    for name in ("id", "kind", "file", "state", "counts", "errors", "started_by", "started_at", "heartbeat", "ended_at")
]
_FREE = or_(
    import_run.c.state == "queued",
    and_(import_run.c.state == "running", import_run.c.heartbeat < func.now() - STALE),
)


@dataclass(frozen=True)
class Claim:
    """A run taken up. ``attempt`` is the right to end it: a later attempt takes that right away."""

    run_id: UUID
    attempt: int
    kind: str
    file: str
    path: str
    mapping: str
    draft_id: UUID | None = None


def open_run(
    tx: Connection,
    run_id: UUID,
    kind: str,
    file: str,
    started_by: str,
    path: str,
    mapping: str = "",
    draft_id: UUID | None = None,
) -> None:
    """Note an import to be done; ``file`` is the name its sender gave it, ``path`` where the upload is kept.

    With ``draft_id`` it is the check of a census draft, which keeps its own file: ``path`` is then empty."""
    tx.execute(
        insert(import_run).values(
            id=run_id,
            kind=kind,
            file=file,
            state="queued",
            started_by=started_by,
            path=path,
            mapping=mapping,
            draft_id=draft_id,
        )
    )


def claim(tx: Connection, run_id: UUID) -> Claim | None:
    """Take a run up; None when somebody else works on it, or it has ended."""
    row = tx.execute(
        update(import_run)
        .where(import_run.c.id == run_id, _FREE, import_run.c.attempts < ATTEMPTS)
        .values(state="running", heartbeat=func.now(), attempts=import_run.c.attempts + 1)
        .returning(*(import_run.c[name] for name in ("id", "attempts", "kind", "file", "path", "mapping", "draft_id")))
    ).first()
    return Claim(*row) if row else None


def beat(tx: Connection, mine: Claim, counts: Mapping[str, Any] | None = None) -> None:
    """Say that the run is alive and, with ``counts``, how far it is."""
    values = {"heartbeat": func.now()} | ({} if counts is None else {"counts": counts})
    tx.execute(update(import_run).where(_held(mine)).values(values))


def end(tx: Connection, mine: Claim, state: str, counts: Mapping[str, Any], found: Sequence[Any]) -> bool:
    """End the run as ``done`` or ``refused``; False when another attempt has taken it over: then nothing is changed."""
    ended = update(import_run).where(_held(mine))
    ended = ended.values(state=state, counts=counts, errors=found, heartbeat=func.now(), ended_at=func.now())
    return tx.execute(ended.returning(import_run.c.id)).first() is not None


def due(tx: Connection) -> list[tuple[UUID, str]]:
    """(id, state) of the runs a worker should take up, oldest first."""
    waiting = select(import_run.c.id, import_run.c.state).where(_FREE, import_run.c.attempts < ATTEMPTS)
    return [(row.id, row.state) for row in tx.execute(waiting.order_by(import_run.c.started_at))]


def give_up(tx: Connection) -> list[str]:
    """End the runs that were tried often enough as refused; the paths of their files, to be deleted."""
    problem = errors.Internal(
        zh=f"导入 {ATTEMPTS} 次均中断，已放弃", en=f"The import broke off {ATTEMPTS} times and was given up"
    ).body()
    broken = (
        update(import_run)
        .where(_FREE, import_run.c.attempts >= ATTEMPTS)
        .values(state="refused", counts={"problem": problem}, ended_at=func.now())
    )
    return [path for path in tx.execute(broken.returning(import_run.c.path)).scalars() if path]


def paths(tx: Connection) -> list[str]:
    """The files of the imports that have not ended."""
    going = import_run.c.state.in_(("queued", "running"))
    return list(tx.execute(select(import_run.c.path).where(going, import_run.c.path != "")).scalars())


def get_run(tx: Connection, run_id: UUID) -> dict[str, Any]:
    """How an import stands: ``{id, kind, file, state, counts, errors, started_by, started_at, heartbeat, ended_at}``.

    While it runs ``counts`` is ``{stage, done, total}``; when refused ``{problem}``. Raises ``NotFound``.
    """
    row = tx.execute(select(*_SHOWN).where(import_run.c.id == run_id)).mappings().first()
    if row is None:
        raise errors.NotFound(id=str(run_id))
    return dict(row)


def recent(tx: Connection, limit: int = 20) -> list[dict[str, Any]]:
    """The last imports, newest first, as :func:`get_run` tells them but without ``errors``."""
    columns = (shown for shown in _SHOWN if shown.name != "errors")
    rows = tx.execute(select(*columns).order_by(import_run.c.started_at.desc()).limit(limit)).mappings()
    return [dict(row) for row in rows]


def _held(mine: Claim) -> Any:
    return and_(import_run.c.id == mine.run_id, import_run.c.state == "running", import_run.c.attempts == mine.attempt)
