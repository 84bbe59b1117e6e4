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


def test_a_preview_is_upright_small_and_made_once(tmp_path):
    lying = Image.new("RGB", (2000, 1000), "red")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the picture stands
    out = io.BytesIO()
    lying.save(out, "JPEG", exif=exif)
    content = out.getvalue()
    files.keep(tmp_path / "files", name(content), content)
    for size, longest in files.PREVIEWS.items():
        made = files.preview(tmp_path / "files", tmp_path / "cache", name(content), size)
        with Image.open(io.BytesIO(made)) as seen:
            assert seen.format == "JPEG"
            assert seen.size == (longest // 2, longest)
    [small] = (path for path in left(tmp_path / "cache" / "small"))
    small.write_bytes(b"kept")
    assert files.preview(tmp_path / "files", tmp_path / "cache", name(content), "small") == b"kept"


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_preview_of_a_clear_picture_is_not_enlarged(tmp_path, kind):
    out = io.BytesIO()
    Image.new("RGBA", (40, 30), (0, 0, 255, 0)).save(out, kind)
    files.keep(tmp_path, name(out.getvalue()), out.getvalue())
    made = files.preview(tmp_path, tmp_path / "cache", name(out.getvalue()), "large")
    assert Image.open(io.BytesIO(made)).size == (40, 30)


def test_a_preview_needs_no_room_to_be_seen(tmp_path):
    content = picture()
    files.keep(tmp_path / "files", name(content), content)
    (tmp_path / "cache").write_text("in the way")
    assert Image.open(io.BytesIO(files.preview(tmp_path / "files", tmp_path / "cache", name(content), "small")))
    with pytest.raises(errors.NotFound):
        files.preview(tmp_path / "files", tmp_path / "cache", "0" * 64, "small")
    with pytest.raises(errors.Malformed):
        files.preview(tmp_path / "files", tmp_path / "cache", name(content), "huge")
