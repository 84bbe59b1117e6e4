"""Photos, kept by their content: the name of a file is its SHA-256. Knows bytes and folders; knows no cases."""

import hashlib
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import BoundedSemaphore

from PIL import Image, ImageOps, UnidentifiedImageError

from gis import errors

_MIMES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
# A small file may unpack into a huge picture; this is more than phones take and less than Pillow warns of.
_MAX_PIXELS = 80_000_000
# The longest side of a preview in pixels, by its size: in a row of small pictures, on a whole page.
PREVIEWS = {"small": 360, "large": 1600}
# A picture may unpack into hundreds of megabytes: so many at once.
_unpacking = BoundedSemaphore(2)
_BROKEN = (
    UnidentifiedImageError,
    OSError,
    SyntaxError,
    ValueError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def keep(folder: Path, sha256_hex: str, content: bytes) -> str:
    """Store a photo durably; returns its media type. Storing it again is harmless.

    Raises ``NotAPhoto`` when the bytes are no JPEG, PNG or WebP that decodes to its end, ``Malformed`` when they are
    not the ones named, ``Unavailable`` when the disk does not take them.
    """
    if hashlib.sha256(content).hexdigest() != sha256_hex.lower():
        raise errors.Malformed(field="sha256", why="the content has another digest")
    mime = media_type(content)
    _decode(content)
    path = _path(folder, sha256_hex)
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, content)
        # Also for a photo found here: whoever wrote it may have died before its name was durable.
        for directory in (path.parent, folder):
            _settle(directory)
    except OSError as error:
        raise errors.Unavailable("存储空间不足，照片未保存", "The photo could not be stored", why=str(error)) from error
    return mime


def _write(path: Path, content: bytes) -> None:
    """Write beside and rename: a name never stands for half a photo, and a failure leaves nothing."""
    draft = tempfile.NamedTemporaryFile(dir=path.parent, delete=False)  # noqa: SIM115 — closed before it is renamed
    try:
        with draft:
            draft.write(content)
            draft.flush()
            os.fsync(draft.fileno())
        os.replace(draft.name, path)
    except BaseException:
        Path(draft.name).unlink(missing_ok=True)
        raise


def _settle(directory: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(folder: Path, sha256_hex: str) -> bytes:
    """The bytes of a stored photo. Raises ``NotFound``."""
    try:
        return _path(folder, sha256_hex).read_bytes()
    except FileNotFoundError as error:
        raise errors.NotFound(sha256=sha256_hex) from error


def preview(folder: Path, cache: Path, sha256_hex: str, size: str) -> bytes:
    """A smaller JPEG of a stored photo, upright, of a size in ``PREVIEWS``; made once and kept in ``cache``.

    A disk that does not take it only costs making it again. Raises ``NotFound``, ``Malformed`` for another size.
    """
    if size not in PREVIEWS:
        raise errors.Malformed(field="size", known=sorted(PREVIEWS))
    path = _path(cache / size, sha256_hex)
    try:
        return path.read_bytes()
    except OSError:
        made = _scaled(read(folder, sha256_hex), PREVIEWS[size])
    write(path, made)
    return made


def _scaled(content: bytes, longest: int) -> bytes:
    with _unpacking, _picture(content) as picture:
        picture.draft("RGB", (longest, longest))  # a JPEG is unpacked into no more than needed
        picture.thumbnail((longest, longest))
        kept = io.BytesIO()
        ImageOps.exif_transpose(picture).convert("RGB").save(kept, "JPEG", quality=82)
    return kept.getvalue()


def write(path: Path, content: bytes) -> None:
    """Put bytes that can be made again under ``path``; a disk that does not take them only costs making them again."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, content)


def size(content: bytes) -> tuple[int, int]:
    """Width and height of a picture in pixels. Raises ``NotAPhoto``."""
    with _picture(content) as picture:
        return picture.size


def media_type(content: bytes) -> str:
    """The media type of a picture by its header and checksums; what is kept was decoded once. Raises ``NotAPhoto``."""
    with _picture(content) as picture:
        kind = picture.format or ""
        picture.verify()
    return _MIMES[kind]


def _decode(content: bytes) -> None:
    """Unpack the whole picture: a JPEG that broke off looks sound until then. Raises ``NotAPhoto``."""
    with _picture(content) as picture:
        picture.draft(None, (1, 1))  # a JPEG is read to its end all the same, but into an eighth of the size
        picture.load()


@contextmanager
def _picture(content: bytes) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(content), formats=list(_MIMES)) as picture:
            if picture.width * picture.height > _MAX_PIXELS:
                raise errors.NotAPhoto(why="too many pixels")
            yield picture
    except _BROKEN as error:
        raise errors.NotAPhoto(why=str(error)[:200]) from error


def _path(folder: Path, sha256_hex: str) -> Path:
    digest = sha256_hex.lower()
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise errors.Malformed(field="sha256", why="64 hexadecimal digits")
    return folder / digest[:2] / digest
