"""Names on a plan: compounds, schools, parks, bus stops, doors. Knows how they are searched; knows no database."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import shapely
from pypinyin import lazy_pinyin

from gis.town_buildings import Buildings
from gis.town_cut import Floats
from gis.town_grids import Grids
from gis.town_spec import TownSpec
from gis.town_ways import Ways

NAMED_WAYS = ("trunk", "main", "secondary")


@dataclass(frozen=True)
class Place:
    """A named point in plan metres. ``kind`` is poi or address."""

    kind: str
    name: str
    address: str
    x: float
    y: float


class _Doors:
    """The nearest named way to a point and the house number there."""

    def __init__(self, ways: Ways) -> None:
        self._cuts = [c for kind in NAMED_WAYS for c in ways.lines[kind] if c.name]
        self._tree = shapely.STRtree([c.line for c in self._cuts])

    def ways_near(self, points: Floats, reach: float) -> list[list[str]]:
        """Names of the ways within ``reach`` metres of each point, nearest first."""
        shapes = shapely.points(points)
        hit, way = self._tree.query(shapes, predicate="dwithin", distance=reach)
        found: list[dict[str, float]] = [{} for _ in points]
        for k, w in zip(hit.tolist(), way.tolist(), strict=True):
            far = float(shapes[k].distance(self._cuts[w].line))
            found[k][self._cuts[w].name] = min(far, found[k].get(self._cuts[w].name, np.inf))
        return [sorted(near, key=lambda name, near=near: (near[name], name)) for near in found]  # type: ignore[misc]

    def at(self, points: Floats) -> list[tuple[str, float]]:
        """(way and house number, distance in metres) of each point; odd numbers are to the left of the way."""
        shapes = shapely.points(points)
        pair, distance = self._tree.query_nearest(shapes, return_distance=True, all_matches=False)
        found = [("", np.inf)] * len(points)
        for k, way, far in zip(pair[0].tolist(), pair[1].tolist(), distance.tolist(), strict=True):
            line = self._cuts[way].line
            at = line.project(shapes[k])
            a, b = line.interpolate(max(0.0, at - 1)), line.interpolate(at + 1)
            left = (b.x - a.x) * (points[k, 1] - a.y) - (b.y - a.y) * (points[k, 0] - a.x) > 0
            found[k] = (f"{self._cuts[way].name}{2 * int(at // 24) + (1 if left else 2)}号", float(far))
        return found


def name_places(spec: TownSpec, grids: Grids, ways: Ways, buildings: Buildings, stops: Floats) -> list[Place]:
    """All POIs and addresses of a town. ``stops`` are the bus stops, (n, 2) plan metres."""
    doors = _Doors(ways)
    stock = spec.body["places"]
    made = [
        *_pois(spec, stock, grids, doors),
        *_stops(stops, doors),
        *_village_doors(spec, grids, buildings, int(stock["every_house"])),
        *_road_doors(buildings, doors),
    ]
    seen: set[tuple[str, str]] = set()
    kept = []
    for place in made:
        if (place.kind, place.name) not in seen:
            seen.add((place.kind, place.name))
            kept.append(place)
    return kept


def _pois(spec: TownSpec, stock: dict[str, Any], grids: Grids, doors: _Doors) -> Iterator[Place]:
    """One or more POIs per built-up parcel by its use, and the office of each division."""
    rng = spec.rng("places")
    points = shapely.get_coordinates(shapely.point_on_surface(grids.parcels))
    where = doors.at(points)
    short = {code: spec.division(code)["short_name"] for code in spec.hearts}
    serial: dict[str, count[int]] = {}
    for code, heart in sorted(spec.hearts.items()):
        mine = [
            k
            for k, v in enumerate(grids.parcel_village)
            if v == code and grids.parcel_use[k] in ("village", "residential")
        ]
        if mine:
            far = [float(np.hypot(*(points[k] - np.mean(points[mine], axis=0)))) for k in mine]
            k = mine[int(np.argmin(far))]
            yield Place("poi", spec.division(code)["name"], where[k][0], points[k, 0] + 6.0, points[k, 1] + heart[2])
    for k, use in enumerate(grids.parcel_use):
        names = stock["poi"].get(use)
        if not names:
            continue
        for n in range(int(names["per_parcel"])):
            stem = str(rng.choice(names["stems"]))
            kind = str(rng.choice(names["kinds"]))
            village = short[grids.parcel_village[k]].removesuffix("社区").removesuffix("村")
            name = kind.format(village=village, stem=stem)
            number = next(serial.setdefault(name, count(1)))
            name = name if number == 1 else f"{name}（{number}）"
            dx, dy = (0.0, 0.0) if n == 0 else rng.uniform(-35, 35, 2)
            yield Place("poi", name, where[k][0], float(points[k, 0] + dx), float(points[k, 1] + dy))


def _stops(stops: Floats, doors: _Doors) -> Iterator[Place]:
    """Bus stops, named after their way and the next one that crosses it or the number of the door."""
    for (x, y), (door, _), names in zip(stops.tolist(), doors.at(stops), doors.ways_near(stops, 300.0), strict=True):
        own = names[0] if names else ""
        name = f"{own}{names[1]}口站" if len(names) > 1 else f"{door}站"
        yield Place("poi", name, door, x, y)


def _village_doors(spec: TownSpec, grids: Grids, buildings: Buildings, every: int) -> Iterator[Place]:
    """Every so-many-th house of a village, numbered through the village."""
    middle = shapely.get_coordinates(shapely.centroid(buildings.shape))
    number: dict[str, int] = {}
    for k, use in enumerate(buildings.use):
        if use != "village":
            continue
        village = grids.parcel_village[buildings.parcel[k]]
        number[village] = number.get(village, 0) + 1
        if number[village] % every == 0:
            name = f"{spec.division(village)['short_name']}{number[village]}号"
            yield Place("address", name, name, middle[k, 0], middle[k, 1])


def _road_doors(buildings: Buildings, doors: _Doors) -> Iterator[Place]:
    """Larger buildings have the number of the named way they stand at."""
    large = [k for k, use in enumerate(buildings.use) if use not in ("village", "greenhouse")]
    middle = shapely.get_coordinates(shapely.centroid(buildings.shape[large]))
    for (x, y), (door, far) in zip(middle.tolist(), doors.at(middle), strict=True):
        if far < 160:
            yield Place("address", door, door, x, y)


def search_text(name: str, address: str) -> str:
    """What a place is found by: name, address, pinyin and initials, lower case."""
    syllables = lazy_pinyin(name)
    # What is not Chinese comes back as it was and is kept whole: 府前街29号 is fqj29h.
    initials = [s if s in name else s[:1] for s in syllables]
    return " ".join([name, address, "".join(syllables), "".join(initials)]).lower()
