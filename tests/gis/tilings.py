"""Synthetic tilings for the tests of places: a rectangle at 仁和 cut into cells without gap or overlap."""

import numpy as np
import shapely

BOUNDS = (116.60, 40.075, 116.70, 40.145)


def voronoi(n: int, seed: int = 1, bounds: tuple[float, float, float, float] = BOUNDS) -> np.ndarray:
    """About n cells in EPSG:4490; neighbours share their vertices exactly."""
    rng = np.random.default_rng(seed)
    west, south, east, north = bounds
    sites = shapely.MultiPoint(np.column_stack([rng.uniform(west, east, n), rng.uniform(south, north, n)]))
    box = shapely.box(*bounds)
    cells = shapely.intersection(shapely.get_parts(shapely.voronoi_polygons(sites, extend_to=box)), box)
    return cells[shapely.get_type_id(cells) == 3]


def border_points(polygons: np.ndarray, n: int, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Every vertex, and n points on edges as rounding leaves them, and each of those moved by one last bit."""
    rng = np.random.default_rng(seed)
    rings = shapely.get_rings(polygons)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    edge = np.flatnonzero(ring[1:] == ring[:-1])
    at, share = rng.choice(edge, n), rng.choice([0.5, 0.25, 0.1, -1.0], n)
    share = np.where(share < 0, rng.random(n), share)
    on = xy[at] + (xy[at + 1] - xy[at]) * share[:, None]
    toward = rng.choice([-np.inf, np.inf], on.shape)
    lon, lat = np.concatenate([xy, on, np.nextafter(on, toward)]).T
    return np.ascontiguousarray(lon), np.ascontiguousarray(lat)
