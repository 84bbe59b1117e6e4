"""Photos, kept by their content: the name of a file is its SHA-256. Knows bytes and folders; knows no cases."""

import hashlib
import io
import os
import tempfile
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from gis import errors

_MIMES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
# A small file may unpack into a huge picture; nothing a phone takes comes near this.
_MAX_PIXELS = 100_000_000


def keep(folder: Path, sha256_hex: str, content: bytes) -> str:
    """Store a photo durably; returns its media type. Storing it again is harmless.

    Raises ``NotAPhoto`` when the bytes are no JPEG, PNG or WebP, ``Malformed`` when they are not the ones named.
    """
    if hashlib.sha256(content).hexdigest() != sha256_hex.lower():
        raise errors.Malformed(field="sha256", why="the content has another digest")
    mime = media_type(content)
    path = _path(folder, sha256_hex)
    if path.exists():
        return mime
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as draft:
            draft.write(content)
            draft.flush()
            os.fsync(draft.fileno())
        os.replace(draft.name, path)
    except OSError as error:
        raise errors.Unavailable("存储空间不足，照片未保存", "The photo could not be stored", why=str(error)) from error
    return mime


def read(folder: Path, sha256_hex: str) -> bytes:
    """The bytes of a stored photo. Raises ``NotFound``."""
    try:
        return _path(folder, sha256_hex).read_bytes()
    except FileNotFoundError as error:
        raise errors.NotFound(sha256=sha256_hex) from error


def media_type(content: bytes) -> str:
    """The media type of a picture that decodes. Raises ``NotAPhoto``."""
    try:
        with Image.open(io.BytesIO(content), formats=list(_MIMES)) as picture:
            if picture.width * picture.height > _MAX_PIXELS:
                raise errors.NotAPhoto(why="too many pixels")
            kind = picture.format or ""
            picture.verify()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise errors.NotAPhoto(why=str(error)[:200]) from error
    return _MIMES[kind]


def _path(folder: Path, sha256_hex: str) -> Path:
    digest = sha256_hex.lower()
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise errors.Malformed(field="sha256", why="64 hexadecimal digits")
    return folder / digest[:2] / digest
