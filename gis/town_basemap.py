"""What the basemap shows of a plan: roads, water, green, parcels, buildings. Knows only planar metres."""

from dataclasses import dataclass

import numpy as np
import shapely

from gis.town_buildings import Buildings, Plots
from gis.town_cut import Shapes
from gis.town_grids import Grids
from gis.town_ground import DRAWN, Ground
from gis.town_ways import Ways

GREEN = {"green": "park", "orchard": "orchard"}

BEYOND = 400.0
"""Metres for which the river is drawn past the town."""


@dataclass(frozen=True)
class Feature:
    """A row of table ``basemap_feature`` in plan metres.

    Kinds by layer: road trunk main secondary lane track · water river canal pond · green park orchard · parcel
    residential commercial school public village industrial construction farmland greenhouse · building the same uses.
    """

    layer: str
    kind: str
    name: str
    shape: object


def draw_basemap(ground: Ground, grids: Grids, ways: Ways, plots: Plots, buildings: Buildings) -> list[Feature]:
    """All features, areas before lines before buildings."""
    drawn: list[Feature] = []
    for number, use in enumerate(grids.parcel_use):
        land = plots.parcel[number]
        if use == "water":
            continue
        if use == "pond":
            drawn += [Feature("water", "pond", "", p) for p in _areas(_shore(land))]
            drawn += [Feature("parcel", "farmland", "", p) for p in _areas(land)]
        elif use in GREEN:
            drawn += [Feature("green", GREEN[use], "", p) for p in _areas(land)]
        else:
            drawn += [Feature("parcel", use, "", p) for p in _areas(land)]
    drawn += [Feature("water", "river", ground.river_name, p) for p in _areas(_river(ground))]
    for name, width, line in ground.canals:
        bed = shapely.intersection(shapely.buffer(line, width / 2, quad_segs=4), ground.outline)
        drawn += [Feature("water", "canal", name, p) for p in _areas(bed)]
    for kind in reversed(DRAWN):
        drawn += [Feature("road", kind, c.name, shapely.simplify(c.line, 0.3)) for c in ways.lines[kind]]
    drawn += [Feature("building", use, "", shape) for use, shape in zip(buildings.use, buildings.shape, strict=True)]
    return drawn


def _river(ground: Ground) -> object:
    """Both halves of the river, a little further than the town: a river does not end at a border."""
    ring = np.vstack([shapely.get_coordinates(ground.bank), shapely.get_coordinates(ground.far_bank)[::-1]])
    return shapely.intersection(shapely.Polygon(ring), shapely.buffer(shapely.envelope(ground.outline), BEYOND))


def _shore(land: object) -> object:
    """A pond on a parcel: set back from the edge, corners rounded."""
    return shapely.simplify(shapely.buffer(shapely.buffer(land, -26), 16, quad_segs=4), 0.5)


def _areas(shape: object) -> Shapes:
    parts = np.atleast_1d(shapely.get_parts(shape))
    return np.asarray(parts[(shapely.get_type_id(parts) == 3) & (shapely.area(parts) > 20)], dtype=object)
