"""Photos: kept whole under their digest or not at all."""

import errno
import hashlib
import io
import os
import struct
import zlib

import pytest
from PIL import Image

from gis import errors, files


def picture(kind: str = "JPEG") -> bytes:
    out = io.BytesIO()
    Image.effect_noise((200, 150), 60).save(out, kind)
    return out.getvalue()


def name(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def left(folder) -> list:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_is_kept_once_and_read_back(tmp_path, kind):
    content = picture(kind)
    for _ in range(2):
        assert files.keep(tmp_path, name(content), content) == f"image/{kind.lower()}"
    assert files.read(tmp_path, name(content)) == content
    assert len(left(tmp_path)) == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_that_broke_off_is_refused(tmp_path, kind):
    whole = picture(kind)
    for part in (whole[: len(whole) // 2], whole[: len(whole) * 9 // 10]):
        with pytest.raises(errors.NotAPhoto):
            files.keep(tmp_path, name(part), part)
    assert left(tmp_path) == []


@pytest.mark.parametrize("side", [9_200, 10_500, 20_000])
def test_a_picture_that_would_unpack_too_far_is_refused(tmp_path, side):
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    bomb = b"\x89PNG\r\n\x1a\n" + chunk
    with pytest.raises(errors.NotAPhoto):
        files.keep(tmp_path, name(bomb), bomb)


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, monkeypatch):
    content, sound = picture(), os.fsync

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.Unavailable):
        files.keep(tmp_path / "files", name(content), content)
    assert left(tmp_path) == []
    monkeypatch.setattr(os, "fsync", sound)
    files.keep(tmp_path / "files", name(content), content)
    assert files.read(tmp_path / "files", name(content)) == content


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    content = picture()
    (tmp_path / "files").write_text("in the way")
    with pytest.raises(errors.Unavailable):
        files.keep(tmp_path / "files", name(content), content)


def test_the_names_are_made_durable_too(tmp_path, monkeypatch):
    content, settled, sound = picture(), [], os.fsync

    def watched(descriptor):
        settled.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        sound(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    files.keep(tmp_path, name(content), content)
    assert {str(tmp_path / name(content)[:2]), str(tmp_path)} <= set(settled)
