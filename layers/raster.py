"""Pixels moved from where a source has them to where our tile has them. Knows pictures; no system and no network."""

import io
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from gis import errors

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

SIDE: Final = 256
_MOST: Final = 2048


def read(content: bytes) -> Pixels:
    """A tile's picture as (256, 256, 4) red, green, blue, alpha. Raises ``NotAPhoto`` for anything else."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP", "GIF")) as picture:
            if max(picture.size) > _MOST:
                raise errors.NotAPhoto(why="a tile is at most 2048 pixels wide")
            full = picture.convert("RGBA")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise errors.NotAPhoto(why=str(error)[:200]) from error
    if full.size != (SIDE, SIDE):
        full = full.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(full)


def written(pixels: Pixels) -> bytes:
    """A picture as PNG bytes where it has holes, else as JPEG, which photographs need a tenth of the space for."""
    kept = io.BytesIO()
    if (pixels[..., 3] < 255).any():
        Image.fromarray(pixels, "RGBA").save(kept, "PNG", compress_level=4)
    else:
        Image.fromarray(np.ascontiguousarray(pixels[..., :3]), "RGB").save(kept, "JPEG", quality=88)
    return kept.getvalue()


def over(lower: Pixels, upper: Pixels) -> Pixels:
    """One picture laid over another."""
    laid = Image.alpha_composite(Image.fromarray(lower, "RGBA"), Image.fromarray(upper, "RGBA"))
    return np.asarray(laid)


def resampled(px: Floats, py: Floats, fetch: Callable[[int, int], Pixels | None]) -> Pixels:
    """The picture whose pixels lie at the source's world pixels (px, py), each (256, 256), between four neighbours.

    ``fetch`` gives a tile of the source by column and row, None where it has none: there the picture is clear. A
    pixel's colour belongs to its middle, so world pixel 0.5 is the first one's very colour (bilinear in between).
    """
    u, v = px - 0.5, py - 0.5
    west, north = int(np.floor(u.min())), int(np.floor(v.min()))
    east, south = int(np.floor(u.max())) + 1, int(np.floor(v.max())) + 1
    mosaic = np.zeros((south - north + 1, east - west + 1, 4), np.float32)
    for row in range(north // SIDE, south // SIDE + 1):
        for column in range(west // SIDE, east // SIDE + 1):
            tile = fetch(column, row)
            if tile is None:
                continue
            x, y = column * SIDE - west, row * SIDE - north
            x0, y0, x1, y1 = max(0, x), max(0, y), min(mosaic.shape[1], x + SIDE), min(mosaic.shape[0], y + SIDE)
            mosaic[y0:y1, x0:x1] = tile[y0 - y : y1 - y, x0 - x : x1 - x]
    # Colours count by how much they cover: the black under a clear pixel must not darken its neighbours.
    mosaic[..., :3] *= mosaic[..., 3:] / 255.0
    i, j = np.floor(u).astype(int) - west, np.floor(v).astype(int) - north
    a, b = (u - np.floor(u))[..., None], (v - np.floor(v))[..., None]
    mixed = (mosaic[j, i] * (1 - a) + mosaic[j, i + 1] * a) * (1 - b)
    mixed += (mosaic[j + 1, i] * (1 - a) + mosaic[j + 1, i + 1] * a) * b
    mixed[..., :3] /= np.maximum(mixed[..., 3:], 1e-3) / 255.0
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
