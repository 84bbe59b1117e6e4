"""Buildings of a plan: rows of rectangles on the land of each use. Knows only planar metres."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from gis.town_cut import Floats, Ints, Shapes
from gis.town_grids import Grids
from gis.town_spec import TownSpec
from gis.town_ways import Ways

FINE = 4.0
"""Metres between the places tried for a building along a row."""


@dataclass(frozen=True)
class Plots:
    """Land off the road, one shape per parcel, and the heading of each parcel's rows."""

    parcel: Shapes
    turn: Floats


@dataclass(frozen=True)
class Buildings:
    """Rectangles with the use and number of their parcel and the heading of their long side."""

    shape: Shapes
    use: list[str]
    parcel: Ints
    turn: Floats


def make_plots(grids: Grids, ways: Ways) -> Plots:
    """What is left of parcels beside the ways."""
    return Plots(ways.off_road(grids.parcels), headings(grids.parcels))


def headings(lands: Shapes) -> Floats:
    """Direction of each land's side that runs nearest to west-east, radians in (-45°, 45°]."""
    boxes = shapely.oriented_envelope(lands)
    turns = np.zeros(len(lands))
    for k, box in enumerate(boxes):
        xy = shapely.get_coordinates(box)
        side = xy[1] - xy[0]
        angle = np.arctan2(side[1], side[0])
        turns[k] = angle - np.round(angle / (np.pi / 2)) * (np.pi / 2)
    return turns


def make_buildings(spec: TownSpec, grids: Grids, plots: Plots) -> Buildings:
    """Rows of buildings: by parcel, or by each piece of a parcel that lanes part (``per: piece``)."""
    rng = spec.rng("buildings")
    rules = spec.body["ground"]["buildings"]
    shapes: list[Shapes] = []
    owner: list[int] = []
    counts: list[int] = []
    for number, use in enumerate(grids.parcel_use):
        rule = rules.get(use)
        if rule is None:
            continue
        plot = plots.parcel[number]
        for land in [plot] if rule["per"] == "parcel" else shapely.get_parts(plot):
            found = lattice(land, plots.turn[number], rule, rng)
            shapes.append(found)
            owner.append(number)
            counts.append(len(found))
    parcel = np.repeat(np.array(owner, dtype=np.int64), counts)
    return Buildings(
        np.concatenate(shapes), [grids.parcel_use[p] for p in parcel], parcel, plots.turn[parcel].astype(np.float64)
    )


def lattice(land: object, turn: float, rule: Mapping[str, Any], rng: np.random.Generator) -> Shapes:
    """Rectangles of ``size`` every ``pitch`` metres along the heading, wholly on the land ``inset`` from its edge."""
    free = shapely.buffer(land, -float(rule["inset"]), join_style="mitre")
    none: Shapes = np.empty(0, dtype=object)
    if shapely.is_empty(free):
        return none
    (width, depth), (step, row) = _pair(rule["size"]), _pair(rule["pitch"])
    c, s = np.cos(turn), np.sin(turn)
    local = shapely.get_coordinates(free) @ np.array([[c, -s], [s, c]])
    low, high = local.min(axis=0), local.max(axis=0)
    if min(high - low) < depth:
        return none
    corner = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (np.array([width, depth]) / 2)
    back = np.array([[c, s], [-s, c]])
    shapely.prepare(free)
    x = np.arange(low[0] + width / 2, high[0] - width / 2 + 0.1, FINE)
    best: Floats = np.empty((0, 2))
    # Rows start at the south edge or up to most of a row further north: whichever holds more houses.
    for start in (0.0, 0.3, 0.6):
        y = np.arange(low[1] + depth / 2 + start * row, high[1] - depth / 2 + 0.1, row)
        at = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        fits = shapely.contains(free, shapely.polygons((at[:, None, :] + corner) @ back))
        chosen = _spaced(at[fits], step)
        if len(chosen) > len(best):
            best = chosen
    best = best[rng.random(len(best)) >= float(rule["skip"])]
    size = 1.0 - 0.14 * rng.random((len(best), 1, 2))
    return np.asarray(shapely.polygons((best[:, None, :] + corner * size) @ back), dtype=object)


def _spaced(at: Floats, step: float) -> Floats:
    """From places sorted by row and then by x, those at least ``step`` after the one before them in their row."""
    chosen: list[int] = []
    row, last = np.inf, -np.inf
    for k, (x, y) in enumerate(at.tolist()):
        if y != row or x >= last + step:
            chosen.append(k)
            row, last = y, x
    return at[chosen]


def _pair(value: Any) -> tuple[float, float]:
    return float(value[0]), float(value[1])
