"""The synthetic demo town as a whole: built from its seed, digested, checked. Knows no database.

The parts are drawn by the modules gis.town_*; loading is gis.town_load.
"""

from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from gis.digest import sm3_hex
from gis.town_basemap import draw_basemap
from gis.town_buildings import make_buildings, make_plots
from gis.town_census import GridIndex, take_census
from gis.town_cut import Shapes, dissolve
from gis.town_frame import Frame
from gis.town_grids import Grids, make_grids
from gis.town_ground import lay_ground
from gis.town_people import Person, hire
from gis.town_place import Land
from gis.town_places import Place, name_places, search_text
from gis.town_spec import TownSpec, read_spec
from gis.town_ways import Ways

TABLES = ("divisions", "unit_grids", "duty_grids", "members", "basemap", "places", "components", "departments")
CRS = "EPSG:4490"


@dataclass(frozen=True)
class Town:
    """A town as tables. Columns are those of the tables of gis.tables; geometry is EPSG:4490.

    divisions (code, level, name, short_name, parent, geometry) · unit_grids (code, village_code, area_class, land_use,
    area_m2, geometry) · duty_grids (code, name, village_code, geometry) · members (unit_grid_code, duty_grid_code) ·
    basemap (layer, kind, name, geometry) · places (kind, name, address, search, geometry) · components (columns of
    table component without catalogue, survey, mk) · departments (code, name, kind, parent) · staff.
    """

    code: str
    name: str
    number_prefix: str
    catalogue: str
    synthetic: bool
    seed: int | None
    valid_from: date
    source: str
    divisions: gpd.GeoDataFrame
    unit_grids: gpd.GeoDataFrame
    duty_grids: gpd.GeoDataFrame
    members: pd.DataFrame
    basemap: gpd.GeoDataFrame
    places: gpd.GeoDataFrame
    components: gpd.GeoDataFrame
    departments: pd.DataFrame
    staff: list[Person]
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", _digest(self))


@lru_cache(maxsize=2)
def demo_town(name: str = "renhe", small: bool = False) -> Town:
    """The demo town of ``data/towns/<name>.yaml``; built once per process."""
    return build(read_spec(name, small=small))


def build(spec: TownSpec) -> Town:
    """Draw a town from its parameters: the same parameters give the same town, to the last digit."""
    frame = Frame.at(*spec.body["centre"])
    ground = lay_ground(spec)
    grids = make_grids(spec, ground)
    ways = Ways(spec, ground)
    plots = make_plots(grids, ways)
    buildings = make_buildings(spec, grids, plots)
    land = Land(
        spec, ground, grids, ways, plots, buildings, shapely.STRtree(grids.cell), shapely.STRtree(buildings.shape)
    )
    cells = frame.to_4490(grids.cell)
    index = GridIndex(grids.code, grids.village, shapely.STRtree(cells))
    components = take_census(spec, land, frame, index)
    stops = components[components["category_code"] == "0203"].geometry.to_numpy()
    stops_plan = shapely.get_coordinates(frame.to_plan(stops))
    basemap = draw_basemap(ground, grids, ways, plots, buildings)
    duty = sorted(set(grids.duty))
    place = spec.body["town"]
    return Town(
        code=spec.code,
        name=place["name"],
        number_prefix=place["number_prefix"],
        catalogue=place["catalogue"],
        synthetic=True,
        seed=spec.seed,
        valid_from=spec.body["valid_from"],
        source=f"gis.town seed {spec.seed}",
        divisions=_divisions(spec, cells, grids),
        unit_grids=gpd.GeoDataFrame(
            {
                "code": grids.code,
                "village_code": grids.village,
                "area_class": grids.area_class,
                "land_use": grids.use,
                "area_m2": np.round(shapely.area(grids.cell), 1),
            },
            geometry=cells,
            crs=CRS,
        ),
        duty_grids=duty_table(cells, grids.duty, {c: spec.division(c)["short_name"] for c in spec.hearts}),
        members=pd.DataFrame({"unit_grid_code": grids.code, "duty_grid_code": grids.duty}),
        basemap=gpd.GeoDataFrame(
            {key: [getattr(f, key) for f in basemap] for key in ("layer", "kind", "name")},
            geometry=frame.to_4490(np.array([f.shape for f in basemap], dtype=object)),
            crs=CRS,
        ),
        places=_places(frame, name_places(spec, grids, ways, buildings, stops_plan)),
        components=components,
        departments=pd.DataFrame(list(spec.departments))[["code", "name", "kind", "parent"]],
        staff=hire(spec, duty, _staffed(spec)),
    )


def _staffed(spec: TownSpec) -> list[str]:
    """Departments with handlers: all but the divisions that are not part of this town."""
    return [d["code"] for d in spec.departments if d["kind"] != "village" or d["village"] in spec.hearts]


def _divisions(spec: TownSpec, cells: Shapes, grids: Grids) -> gpd.GeoDataFrame:
    """The district (without a border), the town and its divisions."""
    codes = sorted(spec.hearts)
    number = np.array([codes.index(v) for v in grids.village], dtype=np.int64)
    shapes = dissolve(cells, number, len(codes))
    rows: list[tuple[dict[str, str], Any]] = [
        (spec.division(f"{spec.code[:6]}000000"), None),
        (spec.division(f"{spec.code}000"), shapely.coverage_union_all(cells)),
        *((spec.division(code), shape) for code, shape in zip(codes, shapes, strict=True)),
    ]
    return gpd.GeoDataFrame(
        {
            "code": [r["code12"] for r, _ in rows],
            "level": [r["level"] for r, _ in rows],
            "name": [r["name"] for r, _ in rows],
            "short_name": [r["short_name"] for r, _ in rows],
            "parent": [r["parent"] for r, _ in rows],
        },
        geometry=[shape for _, shape in rows],
        crs=CRS,
    )


def duty_table(cells: Shapes, duty: list[str], names: dict[str, str]) -> gpd.GeoDataFrame:
    """Duty grids as the union of their unit grids, named after their division."""
    codes = sorted(set(duty))
    at = {code: k for k, code in enumerate(codes)}
    shapes = dissolve(cells, np.array([at[d] for d in duty], dtype=np.int64), len(codes))
    return gpd.GeoDataFrame(
        {
            "code": codes,
            "name": [f"{names[c[:12]]}第{int(c[13:])}责任网格" for c in codes],
            "village_code": [c[:12] for c in codes],
        },
        geometry=shapes,
        crs=CRS,
    )


def _places(frame: Frame, places: list[Place]) -> gpd.GeoDataFrame:
    points = shapely.points([p.x for p in places], [p.y for p in places]) if places else []
    return gpd.GeoDataFrame(
        {
            "kind": [p.kind for p in places],
            "name": [p.name for p in places],
            "address": [p.address for p in places],
            "search": [search_text(p.name, p.address) for p in places],
        },
        geometry=frame.to_4490(np.asarray(points, dtype=object)),
        crs=CRS,
    )


def _digest(town: Town) -> str:
    """SM3 over every table: geometry as WKB, the rest as text."""
    parts: list[bytes] = [f"{town.code} {town.name} {town.seed} {town.valid_from}".encode()]
    for name in TABLES:
        table = getattr(town, name)
        plain = table.drop(columns="geometry", errors="ignore")
        parts.append(f"\n{name} {' '.join(plain.columns)}\n".encode())
        columns = [map(str, plain[column].tolist()) for column in plain.columns]
        parts.append("\n".join(map("\t".join, zip(*columns, strict=True))).encode())
        if "geometry" in table.columns:
            parts.append(b"".join(b or b"-" for b in shapely.to_wkb(table["geometry"].to_numpy(), byte_order=1)))
    parts += [f"\n{p.id} {p.username} {p.name} {p.department} {p.grants}".encode() for p in town.staff]
    return sm3_hex(*parts)
