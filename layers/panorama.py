"""A synthetic panorama: what a camera on the town's ground might see all around. Drawn from shapes, no photograph.

The picture is equirectangular: columns are directions, rows are heights above the horizon. Each column is a ray on the
ground; where it meets walls of buildings they are drawn from far to near, the ground is the synthetic imagery seen
aslant, and all fades into haze with distance.
"""

import io
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image

from gis.geometry import metres_per_degree
from gis.ground import Ground
from layers import imagery

Floats = NDArray[np.float64]

WIDTH: Final = 2048
REACH_M: Final = 420.0
"""How far is seen; everything beyond is haze."""
_EYE_M: Final = 2.4
_GROUND_PX: Final = 1400
_HITS: Final = 5
_HAZE: Final = np.array([196.0, 206.0, 214.0])
_ZENITH: Final = np.array([98.0, 146.0, 196.0])
_STOREYS: Final = {"residential": 6, "commercial": 8, "school": 4, "public": 4, "industrial": 3, "village": 1}
_WALL: Final = np.array(
    [[206, 188, 164], [188, 182, 174], [198, 160, 136], [214, 208, 198], [176, 184, 190], [168, 142, 124]], np.float64
)


def picture(ground: Ground, lon: float, lat: float, width: int = WIDTH) -> bytes:
    """The JPEG of what is seen at (lon, lat), EPSG:4490; its middle looks north. ``ground`` reaches :data:`REACH_M`."""
    east, north = (float(m) for m in metres_per_degree(lat))

    def local(points: Floats) -> Floats:
        return np.column_stack([(points[:, 0] - lon) * east, (points[:, 1] - lat) * north])

    height = width // 2
    bearing = np.radians((np.arange(width) + 0.5) * (360.0 / width) - 180.0)
    slope = np.tan(np.radians(90.0 - (np.arange(height) + 0.5) * (180.0 / height)))
    seen = _sky(slope, width)
    _lay_ground(seen, _floor(ground, local), bearing, slope)
    _raise_walls(seen, ground, local, bearing, slope)
    kept = io.BytesIO()
    Image.fromarray(np.clip(seen, 0, 255).astype(np.uint8), "RGB").save(kept, "JPEG", quality=86)
    return kept.getvalue()


def _sky(slope: Floats, width: int) -> Floats:
    up = np.clip(np.degrees(np.arctan(slope)) / 60.0, 0.0, 1.0)[:, None, None] ** 0.7
    return np.broadcast_to(_HAZE * (1 - up) + _ZENITH * up, (len(slope), width, 3)).copy()


def _floor(ground: Ground, local: "imagery.Project") -> Floats:
    """The imagery around the camera, looked straight down on, north up."""
    metres = 2 * REACH_M / _GROUND_PX
    kept = [i for i, layer in enumerate(ground.layer) if layer != "building"]
    low = Ground(
        [ground.layer[i] for i in kept],
        [ground.kind[i] for i in kept],
        [ground.number[i] for i in kept],
        ground.shape[kept],
    )

    def project(points: Floats) -> Floats:
        flat = local(points)
        return np.column_stack([(flat[:, 0] + REACH_M) / metres, (REACH_M - flat[:, 1]) / metres])

    return imagery.picture(low, project, metres, (0, 0), _GROUND_PX)[..., :3].astype(np.float64)


def _lay_ground(seen: Floats, floor: Floats, bearing: Floats, slope: Floats) -> None:
    below = slope < 0
    away = np.minimum(_EYE_M / -slope[below], REACH_M * 0.999)[:, None]
    scale = _GROUND_PX / (2 * REACH_M)
    x = np.clip((away * np.sin(bearing) + REACH_M) * scale - 0.5, 0, _GROUND_PX - 1.001)
    y = np.clip((REACH_M - away * np.cos(bearing)) * scale - 0.5, 0, _GROUND_PX - 1.001)
    i, j, a, b = x.astype(int), y.astype(int), (x % 1.0)[..., None], (y % 1.0)[..., None]
    upper = floor[j, i] * (1 - a) + floor[j, i + 1] * a
    lower = floor[j + 1, i] * (1 - a) + floor[j + 1, i + 1] * a
    seen[below] = _faded(upper * (1 - b) + lower * b, away[..., None])


def _faded(colour: Floats, away: Floats) -> Floats:
    haze = np.clip(away / REACH_M, 0.0, 1.0) ** 1.4
    return colour * (1 - haze) + _HAZE * haze


def _raise_walls(seen: Floats, ground: Ground, local: "imagery.Project", bearing: Floats, slope: Floats) -> None:
    start, end, high, number = _walls(ground, local)
    if not len(start):
        return
    # Ray (sin b, cos b)·t meets start + u·(end - start): solved for all rays and walls at once, in slices of rays.
    along = end - start
    length = np.hypot(along[:, 0], along[:, 1])
    for first in range(0, len(bearing), 128):
        part = slice(first, first + 128)
        ray_x, ray_y = np.sin(bearing[part])[:, None], np.cos(bearing[part])[:, None]
        cross = ray_x * along[:, 1] - ray_y * along[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            away = (start[:, 0] * along[:, 1] - start[:, 1] * along[:, 0]) / cross
            u = (start[:, 0] * ray_y - start[:, 1] * ray_x) / cross
        away = np.where((u >= 0) & (u <= 1) & (away > 1.0) & (away < REACH_M), away, np.inf)
        order = np.argsort(away, axis=1)[:, :_HITS]
        for k in reversed(range(order.shape[1])):
            wall = order[:, k]
            far = np.take_along_axis(away, wall[:, None], 1)[:, 0]
            meets = np.isfinite(far)
            if not meets.any():
                continue
            column, wall, far = np.flatnonzero(meets) + first, wall[meets], far[meets]
            up = far[None, :] * slope[:, None] + _EYE_M
            inside = (up >= 0) & (up <= high[wall][None, :])
            place = u[np.flatnonzero(meets), wall] * length[wall]
            rows, which = np.nonzero(inside)
            colour = _facade(number[wall[which]], along[wall[which]], place[which], up[rows, which])
            seen[rows, column[which]] = _faded(colour, far[which][:, None])


def _walls(ground: Ground, local: "imagery.Project") -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
    start, end, high, number = [], [], [], []
    for layer, kind, n, shape in zip(ground.layer, ground.kind, ground.number, ground.shape, strict=True):
        if layer != "building":
            continue
        storeys = _STOREYS.get(kind, 1) + (n % 3 if kind in ("residential", "commercial") else 0)
        for polygon in shapely.get_parts(shape):
            ring = local(shapely.get_coordinates(polygon.exterior))
            start.append(ring[:-1])
            end.append(ring[1:])
            high += [3.0 * storeys + 0.8] * (len(ring) - 1)
            number += [n] * (len(ring) - 1)
    if not start:
        return np.empty((0, 2)), np.empty((0, 2)), np.empty(0), np.empty(0, np.int64)
    return np.vstack(start), np.vstack(end), np.array(high), np.array(number, np.int64)


def _facade(number: NDArray[np.int64], along: Floats, place: Floats, up: Floats) -> Floats:
    """The colour of a wall ``place`` metres from its corner, ``up`` metres high: windows, and light from the south."""
    lit = 0.78 + 0.22 * np.abs(along[:, 0]) / np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)
    colour = _WALL[number % len(_WALL)] * lit[:, None]
    window = (place % 3.4 > 1.0) & (place % 3.4 < 2.6) & (up % 3.0 > 0.9) & (up % 3.0 < 2.3)
    return np.where(window[:, None], np.array([84.0, 100.0, 116.0]) * lit[:, None], colour)
