"""Imports of real files: read, check every row, land the good ones, keep the refused ones. Knows the order of work;
what a mapping, a reader, a check or a kind of record is, its own module knows.

All or nothing: what calls these gives a transaction and commits it only when they return.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import UUID, uuid5

import numpy as np
from sqlalchemy import Engine, text

from gis import (
    census_check,
    census_repairs,
    errors,
    import_cases,
    import_components,
    import_grids,
    import_mapping,
    import_runs,
    local_systems,
    quarantine,
)
from gis.db import Connection, transaction
from gis.import_checks import Problems, RowError, extent, records, summary, write_errors
from gis.import_ground import today
from gis.import_mapping import Mapping
from gis.import_readers import Source, read
from gis.settings import settings

Progress = Callable[[str, int, int], None]
"""Called with (stage: read | check | land, done, total)."""

MAX_REFUSED = {"components": 0.2, "cases": 0.2, "grids": 0.0}
"""The share of refused rows above which a whole file is refused. A refused grid would be a hole in the town."""
_QUARANTINE_KIND = {"components": "component", "cases": "case", "grids": "grid"}
_SHOWN = 100


@dataclass(frozen=True)
class Outcome:
    """What became of a file. ``refused`` counts rows; ``errors`` has one entry per problem of a refused row."""

    kind: str
    source: str
    file: str
    read: int
    new: int
    updated: int
    unchanged: int
    refused: int
    refused_by_code: dict[str, int]
    errors: list[RowError] = field(repr=False)
    extra: dict[str, int] = field(default_factory=dict)

    def counts(self) -> dict[str, Any]:
        """The figures alone."""
        kept = ("read", "new", "updated", "unchanged", "refused", "refused_by_code")
        return {name: getattr(self, name) for name in kept} | self.extra


def quiet(stage: str, done: int, total: int) -> None:
    """Show nothing."""


def mapping_named(named: str, *, paths: bool = False) -> Mapping:
    """A mapping by name in ``data/mappings``, from YAML text, with ``paths`` from any file. Raises ``MappingBad``."""
    return import_mapping.load(named, settings().data_dir / "mappings", paths=paths)


def import_file(
    tx: Connection,
    kind: str,
    path: Path,
    mapping: Mapping,
    *,
    shown_as: str | None = None,
    max_refused: float | None = None,
    errors_to: Path | None = None,
    progress: Progress = quiet,
) -> Outcome:
    """Import a file of ``kind`` (components, grids, cases) in this transaction.

    Refused rows go to the quarantine and, with ``errors_to``, into an error file, which is also written when the whole
    file is refused. ``max_refused`` is a share of the rows (default :data:`MAX_REFUSED`). Raises ``ImportRefused`` when
    more are refused or the file lies elsewhere, ``MappingBad``, ``FileUnreadable``; the caller then rolls back.
    """
    if mapping.kind != kind:
        raise errors.MappingBad(
            zh=f"映射文件有误：kind：这是 {mapping.kind} 的映射，不是 {kind} 的",
            en=f"The mapping file is not valid: kind: it maps {mapping.kind}, not {kind}",
            key="kind",
        )
    _without_limits(tx)
    progress("read", 0, 1)
    source = read(path, mapping)
    if mapping.crs.startswith(local_systems.PREFIX):
        source, mapping = census_repairs.localised(source, mapping, local_systems.in_force(tx))
    if not len(source):
        raise errors.ImportRefused(zh="文件中没有数据行", en="The file has no rows", file=shown_as or source.file)
    progress("read", 1, 1)
    progress("check", 0, 1)
    threshold = MAX_REFUSED[kind] if max_refused is None else max_refused
    day = today()
    landed: Any
    extra: dict[str, int] = {}
    if kind == "components":
        checked = import_components.check(tx, source, mapping, day)
        _enough(source, checked.problems, threshold, errors_to)
        progress("check", 1, 1)
        survey = _survey_id(path, mapping)
        landed = import_components.land(tx, checked, survey, _watched(progress, len(source)))
        problems = checked.problems
    elif kind == "cases":
        found = import_cases.check(tx, source, mapping, day)
        _enough(source, found.problems, threshold, errors_to)
        progress("check", 1, 1)
        landed = import_cases.land(tx, found, lambda done: progress("land", done, len(source)))
        problems = found.problems
        _enough(source, problems, threshold, errors_to)
    else:
        cells = import_grids.check(tx, source, mapping, day)
        _enough(source, cells.problems, threshold, errors_to)
        progress("check", 1, 1)
        landed = import_grids.land(tx, cells, day)
        problems = cells.problems
        extra = {"retired": landed.retired, "relocated": landed.relocated}
    progress("land", len(source), len(source))
    found_errors = problems.errors()
    _keep_refused(tx, kind, source, mapping, problems, found_errors)
    if errors_to is not None and found_errors:
        write_errors(errors_to, found_errors)
    return Outcome(
        kind=kind,
        source=mapping.source,
        file=shown_as or source.file,
        read=len(source),
        new=landed.new,
        updated=landed.updated,
        unchanged=landed.unchanged,
        refused=int(problems.bad.sum()),
        refused_by_code=problems.counts(),
        errors=found_errors,
        extra=extra,
    )


def _without_limits(tx: Connection) -> None:
    """An import takes longer than a request may."""
    tx.execute(text("set local statement_timeout = 0"))
    tx.execute(text("set local idle_in_transaction_session_timeout = 0"))


def data_extent(path: Path, mapping: Mapping) -> tuple[tuple[float, float, float, float], int]:
    """((west, south, east, north) in EPSG:4490, rows with coordinates) of a file: the town to draw around it."""
    bounds, lon, _ = extent(read(path, mapping), mapping)
    return bounds, len(lon)


def _enough(source: Source, problems: Problems, threshold: float, errors_to: Path | None) -> None:
    """Raises ``ImportRefused`` when more rows are refused than may be; writes the error file first."""
    refused, total = int(problems.bad.sum()), len(source)
    if refused <= threshold * total:
        return
    found = problems.errors()
    if errors_to is not None:
        write_errors(errors_to, found)
    counts = problems.counts()
    raise errors.ImportRefused(
        zh=f"导入被整体拒绝：{total} 行中有 {refused} 行有误，超过上限 {threshold:.0%}（{summary(counts)}）",
        en=f"The import was refused as a whole: {refused} of {total} rows are bad, more than {threshold:.0%}"
        f" ({summary(counts)})",
        reason=max(counts, key=lambda code: counts[code]),
        file=source.file,
        read=total,
        refused=refused,
        refused_by_code=counts,
        errors=[asdict(item) for item in found[:_SHOWN]],
    )


def _keep_refused(
    tx: Connection, kind: str, source: Source, mapping: Mapping, problems: Problems, found: list[RowError]
) -> None:
    """Put refused rows, as received, into the quarantine; the same row refused again is not kept twice."""
    at = np.flatnonzero(problems.bad)
    if not at.size:
        return
    first: dict[int, RowError] = {}
    for item in found:
        first.setdefault(item.row, item)
    rows = []
    for position, received in zip(at.tolist(), records(source, at), strict=True):
        error = first[int(source.rows[position])]
        payload = {"file": source.file, "row": error.row, "mapping": mapping.source, "values": received}
        reason = f"{error.zh} / {error.en}"
        kept = json.dumps(payload, ensure_ascii=False)
        rows.append(quarantine.Refused(mapping.source, _QUARANTINE_KIND[kind], error.code, reason, kept))
    quarantine.keep(tx, rows)


def _survey_id(path: Path, mapping: Mapping) -> UUID:
    """The same file of the same source is the same survey."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return uuid5(uuid5(import_cases.NAMESPACE, mapping.source), digest)


def _watched(progress: Progress, total: int) -> Callable[[Iterable[Any]], Iterator[Any]]:
    def rows(these: Iterable[Any]) -> Iterator[Any]:
        for done, row in enumerate(these, start=1):
            if done % 5000 == 0:
                progress("land", done, total)
            yield row

    return rows


# --- Imports as jobs --------------------------------------------------------------------------------------------

_DEFAULT_MAPPING = {"components": "census-cjt214", "census": "census-cjt214", "grids": "grids"}
BEAT_SECONDS = 20.0


def run(engine: Engine, run_id: UUID, *, max_refused: float | None = None) -> bool:
    """Do a noted import in a transaction of its own; whether this call landed it.

    A run that has ended, or that another worker is at, is left alone. A refusal is an end like another: it is noted,
    not raised. A database that is away or busy is no end: that is raised and the run is taken up again later. Anything
    else is noted as refused by an internal error, and raised. The upload is deleted when the run has ended.
    """
    with transaction(engine) as tx:
        mine = import_runs.claim(tx, run_id)
    if mine is None:
        return False

    def watch(stage: str, done: int, total: int) -> None:
        with transaction(engine) as tx:
            import_runs.beat(tx, mine, {"stage": stage, "done": done, "total": total})

    path = Path(mine.path)
    try:
        chosen = mapping_named(mine.mapping or _DEFAULT_MAPPING.get(mine.kind, ""))
        with transaction(engine) as tx:
            with _alive(engine, mine):
                if mine.draft_id is not None:
                    _without_limits(tx)
                    counts, found = census_check.check(tx, mine.draft_id, chosen, watch), []
                else:
                    outcome = import_file(
                        tx, mine.kind, path, chosen, shown_as=mine.file, max_refused=max_refused, progress=watch
                    )
                    counts, found = outcome.counts(), [asdict(item) for item in outcome.errors[:_SHOWN]]
            # In the same transaction: a run is never landed and not ended, nor landed by two.
            if not import_runs.end(tx, mine, "done", counts, found):
                raise _Overtaken
    except _Overtaken:
        return False
    except (errors.Unavailable, errors.StaleCase):
        raise
    except Exception as error:
        problem = error if isinstance(error, errors.Problem) else errors.Internal()
        body = problem.body()
        found = body["detail"].pop("errors", [])
        with transaction(engine) as tx:
            ended = import_runs.end(tx, mine, "refused", {"problem": body}, found)
        if ended and mine.draft_id is None:
            path.unlink(missing_ok=True)
        if isinstance(error, errors.Problem):
            return False
        raise
    if mine.draft_id is None:
        path.unlink(missing_ok=True)
    return True


class _Overtaken(Exception):
    """Another attempt has taken the run over while this one was held up."""


@contextmanager
def _alive(engine: Engine, mine: import_runs.Claim) -> Iterator[None]:
    """Show signs of life while the block runs: reading a large file takes longer than a run may be silent."""
    over = Event()

    def beat() -> None:
        while not over.wait(BEAT_SECONDS):
            try:
                with transaction(engine) as tx:
                    import_runs.beat(tx, mine)
            except errors.Problem:
                continue  # the next one may get through

    thread = Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
