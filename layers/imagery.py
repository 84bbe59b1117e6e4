"""Synthetic imagery: the town's ground as it might look from above. Drawn from shapes, no photograph, and says so.

Every texture follows from a place's own coordinates and a feature's number: neighbouring tiles fit, and the same town
looks the same on every machine.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from gis.ground import Ground

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]
Project = Callable[[NDArray[np.float64]], NDArray[np.float64]]

SIDE: Final = 256
_FINER: Final = 2
"""Drawn so many times larger, then scaled down: smooth edges."""

_LAND: Final[Mapping[str, tuple[Colour, ...]]] = {
    "farmland": ((122, 116, 78), (104, 118, 66), (139, 129, 92), (96, 108, 62)),
    "orchard": ((74, 92, 54), (82, 98, 58)),
    "greenhouse": ((128, 126, 112),),
    "construction": ((150, 134, 110),),
    "industrial": ((134, 132, 128),),
    "commercial": ((138, 136, 132),),
    "residential": ((112, 117, 98),),
    "village": ((120, 112, 92),),
    "park": ((66, 92, 52), (72, 98, 58)),
}
_ROOF: Final[Mapping[str, tuple[Colour, ...]]] = {
    "residential": ((158, 112, 92), (146, 138, 132), (170, 160, 148)),
    "village": ((132, 92, 76), (118, 108, 102), (146, 120, 104), (98, 104, 116)),
    "industrial": ((108, 132, 158), (160, 164, 168), (126, 132, 138)),
    "commercial": ((172, 168, 162), (128, 134, 142)),
    "greenhouse": ((206, 212, 214), (196, 206, 208)),
    "school": ((172, 118, 92), (176, 168, 158)),
    "public": ((168, 160, 150), (150, 128, 112)),
    "construction": ((168, 154, 132),),
}
_BASE: Final[Colour] = (110, 112, 84)
_WATER: Final[Colour] = (52, 74, 78)
_ASPHALT: Final[Colour] = (92, 92, 94)
_ROAD_M: Final = {"trunk": 30.0, "main": 22.0, "secondary": 13.0, "lane": 6.0, "track": 3.0}
_STOREY_M: Final = {"residential": 18.0, "commercial": 20.0, "school": 12.0, "public": 12.0, "industrial": 9.0}
_ORDER: Final = ("parcel", "green", "water", "road", "building")


def picture(
    ground: Ground, project: Project, metres_per_pixel: float, corner: tuple[int, int], side: int = SIDE
) -> Pixels:
    """A square of ``side`` pixels as (side, side, 4). ``project`` turns EPSG:4490 degrees (n, 2) into its pixels.

    ``corner`` is the world pixel of its north-west corner: where the textures hang.
    """
    size = side * _FINER
    image = Image.new("RGB", (size, size), _BASE)
    draw = ImageDraw.Draw(image)
    rank = {name: at for at, name in enumerate(_ORDER)}
    order = sorted(range(len(ground.layer)), key=lambda i: (rank[ground.layer[i]], _ROAD_M.get(ground.kind[i], 0.0), i))
    scale = _FINER / metres_per_pixel
    for i in order:
        layer, kind, number = ground.layer[i], ground.kind[i], ground.number[i]
        for points in _rings(ground.shape[i]):
            ring = [tuple(p) for p in project(points) * _FINER]
            if layer == "road":
                _road(draw, ring, kind, scale)
            elif layer == "building":
                _building(draw, ring, kind, number, scale)
            else:
                draw.polygon(ring, fill=_WATER if layer == "water" else _tinted(_LAND.get(kind, (_BASE,)), number))
    image = image.resize((side, side), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(0.4))
    textured = _textured(np.asarray(image), corner, metres_per_pixel)
    return np.dstack([textured, np.full((side, side), 255, np.uint8)])


def _rings(shape: Any) -> list[NDArray[np.float64]]:
    parts = shapely.get_parts(shape)
    return [shapely.get_coordinates(p.exterior if p.geom_type == "Polygon" else p) for p in parts if not p.is_empty]


def _tinted(choice: tuple[Colour, ...], number: int) -> Colour:
    """One of the colours, a little lighter or darker: by the feature's number, so that it stays."""
    colour = choice[number % len(choice)]
    shift = (number * 2654435761 >> 8) % 23 - 11
    return (colour[0] + shift, colour[1] + shift, colour[2] + shift)


def _road(draw: ImageDraw.ImageDraw, line: list[Any], kind: str, scale: float) -> None:
    width = max(1, round(_ROAD_M.get(kind, 6.0) * scale))
    if kind == "track":
        draw.line(line, fill=(148, 134, 106), width=width, joint="curve")
        return
    draw.line(line, fill=(128, 126, 120), width=round(width * 1.25) + 1, joint="curve")
    draw.line(line, fill=_ASPHALT, width=width, joint="curve")
    if width >= 10 and kind != "lane":
        draw.line(line, fill=(196, 190, 170), width=max(1, width // 24))


def _building(draw: ImageDraw.ImageDraw, ring: list[Any], kind: str, number: int, scale: float) -> None:
    high = _STOREY_M.get(kind, 4.0) * (0.8 + number % 5 / 10)
    # The sun stands in the south-east, so shadows fall to the north-west.
    east, south = -0.45 * high * scale, -0.35 * high * scale
    if abs(east) >= 1:
        for (x0, y0), (x1, y1) in pairwise(ring):
            draw.polygon([(x0, y0), (x1, y1), (x1 + east, y1 + south), (x0 + east, y0 + south)], fill=(58, 60, 54))
        draw.polygon([(x + east, y + south) for x, y in ring], fill=(58, 60, 54))
    roof = _tinted(_ROOF.get(kind, ((150, 142, 132),)), number)
    edge = (max(0, roof[0] - 26), max(0, roof[1] - 26), max(0, roof[2] - 26))
    draw.polygon(ring, fill=roof, outline=edge if scale >= 1 else None)


def _textured(pixels: NDArray[np.uint8], corner: tuple[int, int], metres: float) -> Pixels:
    """Grain on two scales that hangs on world pixels, so that it runs on from tile to tile."""
    side = pixels.shape[0]
    x = (np.arange(side, dtype=np.int64) + corner[0])[None, :]
    y = (np.arange(side, dtype=np.int64) + corner[1])[:, None]
    fine = _hash(x, y) * 13.0
    coarse = _hash(x >> 3, y >> 3) * 7.0
    rows = np.sin((x + y) * (0.9 if metres < 2 else 0.4)) * 2.0
    return np.clip(pixels + (fine + coarse + rows)[..., None], 0, 255).astype(np.uint8)


def _hash(x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.float64]:
    """Noise from -0.5 to 0.5 at whole places."""
    mixed = (x * 374761393 + y * 668265263) & 0x7FFFFFFF
    mixed = ((mixed ^ (mixed >> 13)) * 1274126177) & 0x7FFFFFFF
    return ((mixed ^ (mixed >> 16)) & 0xFFFF) / 65535.0 - 0.5
