"""Files as answers: how they are named, tables, and GeoPackages, which are made on disk before anything is sent."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from fastapi.responses import StreamingResponse

from api import case_export
from layers import geopackage, sheets


def file(body: Iterator[bytes], kind: str, name: str) -> StreamingResponse:
    """The answer that a browser keeps under ``name``."""
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return StreamingResponse(body, media_type=kind, headers=headers)


def table(
    columns: Sequence[case_export.Column],
    pages: Iterable[Sequence[case_export.Item]],
    note: case_export.Note,
    form: str,
    stem: str,
) -> StreamingResponse:
    """Rows as an Excel or CSV file (``form`` "xlsx", "csv") of this name without its ending."""
    excel = form == "xlsx"
    body = (case_export.as_xlsx if excel else case_export.as_csv)(columns, pages, note)
    return file(body, sheets.MEDIA_TYPE if excel else "text/csv", f"{stem}.{form}")


def package(tables: Sequence[geopackage.Table]) -> Iterator[bytes]:
    """The file, made before anything is sent, in pieces; it is gone when the last has been taken."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="wangge-gpkg-", ignore_cleanup_errors=True))
        path = Path(folder) / "layers.gpkg"
        geopackage.save(path, tables)
        made = stack.enter_context(path.open("rb"))
        return _pieces(made, stack.pop_all())


def _pieces(made: BinaryIO, held: ExitStack) -> Iterator[bytes]:
    with held:
        while piece := made.read(1 << 18):
            yield piece
