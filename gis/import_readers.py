"""Files into one table of texts and shapes, as received. Knows file formats and encodings; knows no meaning.

GDAL is only ever handed content whose first bytes are what the suffix says: several of its drivers follow paths and
addresses written inside a file. pandas and GDAL are loaded where they are used: who draws tiles reads no file.
"""

import glob
import io
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import shapely

from gis import errors
from gis.import_mapping import Mapping

if TYPE_CHECKING:
    import pandas as pd

_MAGIC = {
    ".shp": (b"\x00\x00\x27\x0a",),
    ".gpkg": (b"SQLite format 3\x00",),
    ".geojson": (b"{",),
    ".json": (b"{",),
}
_SHAPE_PARTS = {".shp", ".shx", ".dbf", ".prj", ".cpg"}
_UNPACKED_LIMIT = 2 * 1024**3
_WORKBOOK_LIMIT = 512 * 1024**2
SUFFIXES = (".csv", ".txt", ".xlsx", ".zip", *_MAGIC)


@dataclass(frozen=True)
class Source:
    """A file as received: ``frame`` holds stripped texts ('' where nothing is), ``geometry`` the file's own shapes."""

    file: str
    frame: "pd.DataFrame"
    geometry: npt.NDArray[Any] | None
    crs: str | None
    """The coordinate system the file itself declares."""
    rows: npt.NDArray[np.int64]
    """What a reader of the file calls each record: from 2 under a header line, from 1 in a GIS file."""

    def __len__(self) -> int:
        return len(self.frame)


def read(path: Path, mapping: Mapping) -> Source:
    """Read CSV, Excel, Shapefile (also zipped), GeoPackage or GeoJSON. Raises ``FileUnreadable``."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise unreadable(
            path, f"不支持 {suffix or '无后缀'} 文件", f"{suffix or 'no suffix'}: use {', '.join(SUFFIXES)}"
        )
    if not path.is_file():
        raise unreadable(path, "没有这个文件", "no such file")
    if suffix in (".csv", ".txt"):
        return _csv(path, mapping)
    if suffix == ".xlsx":
        return _excel(path, mapping)
    if suffix == ".zip":
        return _zipped(path, mapping)
    return _vector(path, mapping, path.name)


def unreadable(path: Path, zh: str, en: str) -> errors.Problem:
    """The refusal of a file, in both languages."""
    return errors.FileUnreadable(zh=f"文件无法读取：{zh}", en=f"The file cannot be read: {en}", file=path.name, why=en)


def _csv(path: Path, mapping: Mapping) -> Source:
    import pandas as pd

    text = _decode(path, mapping.encoding)
    try:
        # Without a header row of its own pandas refuses rows that are longer than the first instead of cutting them.
        frame = pd.read_csv(
            io.StringIO(text),
            sep=mapping.delimiter,
            dtype=object,
            header=None,
            keep_default_na=False,
            na_filter=False,
            skip_blank_lines=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise unreadable(path, "不是有效的 CSV", f"not a valid CSV: {error}") from error
    frame.columns = pd.Index(frame.iloc[0].map(_text))
    return _table(path, frame.iloc[1:])


def _decode(path: Path, encoding: str | None) -> str:
    data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        candidates = ["utf-16"]
    elif data[:3] == b"\xef\xbb\xbf":
        candidates = ["utf-8-sig"]
    else:
        # Strict UTF-8 hardly ever accepts Chinese text in GB18030, so this order tells them apart.
        candidates = [encoding] if encoding else ["utf-8", "gb18030"]
    for candidate in candidates:
        try:
            return data.decode(candidate)
        except (UnicodeDecodeError, LookupError):
            continue
    raise unreadable(path, f"编码不是 {'、'.join(candidates)}", f"the encoding is not {' or '.join(candidates)}")


def _excel(path: Path, mapping: Mapping) -> Source:
    import pandas as pd

    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_swollen(path, archive.infolist(), _WORKBOOK_LIMIT)
        if not mapping.sheet:
            _refuse_like_sheets(path)
        frame = pd.read_excel(
            path, sheet_name=mapping.sheet or 0, dtype=object, keep_default_na=False, na_filter=False, engine="openpyxl"
        )
    except errors.Problem:
        raise
    except Exception as error:  # whatever a damaged workbook makes the reader stumble over
        raise unreadable(path, "不是有效的 Excel 工作簿", f"not a valid Excel workbook: {error}") from error
    return _table(path, frame)


def _refuse_like_sheets(path: Path) -> None:
    """Rows must not be passed over unsaid: further sheets with the columns of the first are more of the same."""
    from openpyxl import load_workbook

    book = load_workbook(path, read_only=True, data_only=True)
    try:
        heads = [list(sheet.iter_rows(max_row=2, values_only=True)) for sheet in book.worksheets]
        names = [{_text(value) for value in rows[0]} - {""} if len(rows) > 1 else set() for rows in heads]
        like = [
            sheet.title
            for sheet, columns in zip(book.worksheets, names, strict=True)
            if names[0] and names[0] <= columns
        ]
    finally:
        book.close()
    if len(like) > 1:
        told = "、".join(like), ", ".join(like)
        raise unreadable(
            path,
            f"有多个同样的工作表（{told[0]}），请在映射的 sheet 中写明",
            f"several such sheets ({told[1]}): name one as sheet",
        )


def _zipped(path: Path, mapping: Mapping) -> Source:
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            parts = [item for item in archive.infolist() if Path(item.filename).suffix.lower() in _SHAPE_PARTS]
            layers = [item for item in parts if item.filename.lower().endswith(".shp")]
            if len(layers) != 1:
                raise unreadable(path, "压缩包应有一个 .shp", f"the archive must hold one .shp, it holds {len(layers)}")
            _refuse_swollen(path, parts, _UNPACKED_LIMIT)
            stem = Path(layers[0].filename).with_suffix("")
            for item in parts:
                if Path(item.filename).with_suffix("") == stem:
                    target = Path(folder) / f"layer{Path(item.filename).suffix.lower()}"
                    with archive.open(item) as packed, target.open("wb") as unpacked:
                        shutil.copyfileobj(packed, unpacked, 1 << 20)
            return _vector(Path(folder) / "layer.shp", mapping, path.name)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:  # damaged, encrypted, odd packing
        raise unreadable(path, "不是有效的压缩包", f"not a valid archive: {error}") from error


def _refuse_swollen(path: Path, items: Sequence[zipfile.ZipInfo], limit: int) -> None:
    if sum(item.file_size for item in items) > limit:
        raise unreadable(path, "解压后过大", "the archive is too large when unpacked")


def _only_layer(path: Path) -> str | None:
    """The one layer of a GeoPackage that has shapes (others may hold styles). Raises ``FileUnreadable`` for several."""
    import pyogrio

    layers = [str(name) for name, kind in pyogrio.list_layers(path).tolist() if kind is not None]
    if len(layers) > 1:
        told = "、".join(layers), ", ".join(layers)
        raise unreadable(
            path, f"有多个图层（{told[0]}），请在映射的 layer 中写明", f"several layers ({told[1]}): name one as layer"
        )
    return layers[0] if layers else None


def _vector(path: Path, mapping: Mapping, shown: str) -> Source:
    import pandas as pd
    import pyogrio

    with path.open("rb") as file:
        head = (
            file.read(512).removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
            if path.suffix.lower() != ".shp"
            else file.read(4)
        )
    if not head.startswith(_MAGIC[path.suffix.lower()]):
        raise unreadable(path, "内容与后缀不符", f"the content is not what {path.suffix} says")
    encoding = mapping.encoding or (_dbf_encoding(path) if path.suffix.lower() == ".shp" else None)
    options = {"encoding": encoding} if encoding else {}
    try:
        layer = mapping.layer
        if layer is None and path.suffix.lower() == ".gpkg":
            layer = _only_layer(path)
        meta, _, wkb, columns = pyogrio.raw.read(path, layer=layer, force_2d=True, **options)
        geometry = shapely.from_wkb(wkb, on_invalid="ignore") if wkb is not None else None
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, pyogrio.errors.FieldError) as error:
        raise unreadable(path, "不是有效的空间数据文件", f"not a valid spatial file: {error}") from error
    except (UnicodeDecodeError, LookupError) as error:
        raise unreadable(path, "属性编码有误", f"the attributes' encoding is wrong: {error}") from error
    frame = pd.DataFrame(dict(zip(meta["fields"], columns, strict=True)))
    if not meta["fields"].size and geometry is not None:
        frame = pd.DataFrame(index=range(len(geometry)))
    texts = _texts(frame, path)
    return Source(shown, texts, geometry, meta["crs"], np.arange(1, len(texts) + 1))


def _dbf_encoding(path: Path) -> str | None:
    """The encoding of a shapefile's attributes where nothing states it: GDAL would take Chinese for Latin-1."""
    parts = {part.suffix.lower(): part for part in path.parent.glob(f"{glob.escape(path.stem)}.*")}
    if ".cpg" in parts or ".dbf" not in parts:
        return None
    data = parts[".dbf"].read_bytes()
    if data[29:30] not in (b"\x00", b"\x57"):  # the language driver says it; 0x57 means "ANSI", whatever that was
        return None
    records = data[int.from_bytes(data[8:10], "little") :]
    kept = records.decode("utf-8", errors="ignore").encode()
    written, read = (sum(byte >= 0x80 for byte in text) for text in (records, kept))
    # Not all of it: a field's width may cut a character in two.
    return "utf-8" if read >= 0.95 * written else "gb18030"


def _table(path: Path, frame: "pd.DataFrame") -> Source:
    """A table without its empty rows; the others keep the number they have in the file."""
    texts = _texts(frame, path)
    filled = np.flatnonzero((texts.to_numpy() != "").any(axis=1))
    return Source(path.name, texts.iloc[filled].reset_index(drop=True), None, None, filled + 2)


def _texts(frame: "pd.DataFrame", path: Path) -> "pd.DataFrame":
    """Every value as stripped text, '' for none; whole numbers that a format made floats lose their ``.0``."""
    import pandas as pd

    names = [str(name).strip().removeprefix("\ufeff") for name in frame.columns]
    if len(set(names)) != len(names):
        raise unreadable(path, "列名重复", "two columns have the same name")
    columns = {name: _text_column(frame.iloc[:, at].to_numpy()) for at, name in enumerate(names)}
    return pd.DataFrame(columns, index=range(len(frame)), dtype=object)


def _text_column(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.dtype.kind == "M":
        texts = np.datetime_as_string(values, unit="s").astype(object)
        texts[np.isnat(values)] = ""
        return np.char.replace(texts.astype(str), "T00:00:00", "").astype(object)
    return np.array([_text(value) for value in values.tolist()], dtype=object)


def _text(value: object) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value).strip().replace("\x00", "")
