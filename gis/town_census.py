"""The component census of a plan: codes, names, units, dates of what town_place puts there. Knows the coding rule."""

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from gis.town_cut import Floats, Ints, Shapes
from gis.town_frame import Frame
from gis.town_place import Land, place
from gis.town_spec import TownSpec

ACCURACY = {"point": "A", "line": "B", "polygon": "C"}
"""Survey accuracy class by how a category is drawn; what moves or is drawn roughly is one class lower."""


@dataclass(frozen=True)
class GridIndex:
    """Unit grids in EPSG:4490, by code, for asking which one holds a point."""

    codes: list[str]
    villages: list[str]
    tree: shapely.STRtree

    def locate(self, lon: Floats, lat: Floats) -> Ints:
        """Index of the grid that covers each point, the lowest code where several do; -1 where none does."""
        hit, grid = self.tree.query(shapely.points(lon, lat), predicate="intersects")
        found = np.full(len(lon), len(self.codes), dtype=np.int64)
        np.minimum.at(found, hit, grid)
        return np.where(found == len(self.codes), -1, found)


def take_census(spec: TownSpec, land: Land, frame: Frame, index: GridIndex) -> gpd.GeoDataFrame:
    """All components as the rows of table ``component`` without Morton key and survey, geometry in EPSG:4490."""
    rules = spec.body["components"]
    tables = []
    for code, name, drawn in spec.categories:
        shapes, _ = place(land, code, rules[code])
        tables.append(_category(spec, code, name, drawn, frame.to_4490(shapes), index))
    return gpd.GeoDataFrame(pd.concat(tables, ignore_index=True), geometry="geometry", crs="EPSG:4490")


def _category(spec: TownSpec, code: str, name: str, drawn: str, shapes: Shapes, index: GridIndex) -> pd.DataFrame:
    """The rows of one category, numbered along the unit grids."""
    lon, lat = representative(shapes)
    grid = index.locate(lon, lat)
    keep = grid >= 0
    order = np.lexsort((lat[keep], lon[keep], grid[keep]))
    shapes, lon, lat, grid = shapes[keep][order], lon[keep][order], lat[keep][order], grid[keep][order]
    count = len(shapes)
    rng = spec.rng(f"census {code}")
    village = [index.villages[g] for g in grid]
    competent, owner, maintenance = (
        _units(spec, code, role, village) for role in ("competent", "owner", "maintenance")
    )
    surveyed = np.datetime64(spec.body["surveyed_from"]) + rng.integers(0, 150, count).astype("timedelta64[D]")
    changed = surveyed + rng.integers(5, 100, count).astype("timedelta64[D]")
    roll = rng.random(count)
    state = np.where(
        roll < 0.012, "damaged", np.where(roll < 0.014, "lost", np.where(roll < 0.016, "abandoned", "intact"))
    )
    return pd.DataFrame(
        {
            "code": [f"{spec.code[:6]}{code}{k:06d}" for k in range(1, count + 1)],
            "category_code": code,
            "name": name,
            "state": state,
            "unit_grid_code": [index.codes[g] for g in grid],
            "village_code": village,
            "competent_unit": competent,
            "owner_unit": owner,
            "maintenance_unit": maintenance,
            "accuracy_class": ACCURACY[drawn],
            "surveyed_on": surveyed.astype(str),
            "changed_on": np.where(state == "intact", None, changed.astype(str)),
            "lon": lon,
            "lat": lat,
            "geometry": shapes,
        }
    )


def representative(shapes: Shapes) -> tuple[Floats, Floats]:
    """Longitude and latitude of a point on each shape: itself, the middle of a line, a point within an area."""
    kind = shapely.get_type_id(shapes)
    points = shapes.copy()
    points[kind == 1] = shapely.line_interpolate_point(shapes[kind == 1], 0.5, normalized=True)
    points[kind == 3] = shapely.point_on_surface(shapes[kind == 3])
    return np.round(shapely.get_x(points), 9), np.round(shapely.get_y(points), 9)


def _units(spec: TownSpec, code: str, role: str, villages: list[str]) -> list[str]:
    """Department codes by the longest matching prefix; ``@village`` is the department of the component's division."""
    fitting = [row for row in spec.units if code.startswith(row["category"])]
    unit = max(fitting, key=lambda row: len(row["category"]))[role]
    return [f"V{v[-3:]}" for v in villages] if unit == "@village" else [unit] * len(villages)
