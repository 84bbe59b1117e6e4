"""The raster index against the slow obvious answer: ask every polygon."""

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from gis.raster import AreaIndex
from tests.gis import tilings

# On small multiples of 1/4 every product is exact, so GEOS' exact predicate and plain doubles must agree.
quarters = st.integers(0, 40).map(lambda n: n / 4)


@st.composite
def polygons(draw: st.DrawFn) -> shapely.Polygon | shapely.MultiPolygon:
    kind = draw(st.sampled_from(["box", "triangle", "frame", "pair"]))
    if kind == "triangle":
        corners = draw(st.lists(st.tuples(quarters, quarters), min_size=3, max_size=3, unique=True))
        shape = shapely.Polygon(corners)
        return shape if shape.area else shapely.box(0, 0, 1, 1)
    x, y = draw(quarters), draw(quarters)
    w, h = draw(st.integers(1, 12)) / 2, draw(st.integers(1, 12)) / 2
    if kind == "frame":
        hole = [(x + w / 4, y + h / 4), (x + w / 2, y + h / 4), (x + w / 2, y + h / 2)]
        return shapely.Polygon([(x, y), (x, y + h), (x + w, y + h), (x + w, y)], [hole])
    if kind == "pair":
        return shapely.MultiPolygon([shapely.box(x, y, x + w, y + h), shapely.box(x + w + 1, y, x + w + 2, y + h)])
    return shapely.box(x, y, x + w, y + h, ccw=draw(st.booleans()))


def slow(shapes: np.ndarray, lon: np.ndarray, lat: np.ndarray) -> list[int]:
    answers = []
    for point in shapely.points(lon, lat):
        covering = np.flatnonzero(shapely.covers(shapes, point))
        answers.append(int(covering[0]) if covering.size else -1)
    return answers


def codes(n: int) -> list[str]:
    return [f"{i:06d}" for i in range(n)]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(polygons(), min_size=1, max_size=6),
    st.lists(st.tuples(quarters, quarters), min_size=1, max_size=30),
    st.sampled_from([1, 3, 8, 40, 100, 333]),
)
def test_equals_asking_every_polygon(shapes: list, points: list[tuple[float, float]], size: int) -> None:
    """Overlaps, holes, parts, both ring directions; points on vertices and edges; cells coarse and fine."""
    array = np.array(shapes, object)
    corners = shapely.get_coordinates(array)
    lon, lat = np.concatenate([np.array(points), corners, (corners[1:] + corners[:-1]) / 2]).T
    index = AreaIndex(codes(len(shapes)), array, size)
    expected = slow(array, lon, lat)
    assert index.locate(lon, lat).tolist() == expected
    assert [index.locate_one(x, y) for x, y in zip(lon.tolist(), lat.tolist(), strict=True)] == expected


def test_a_tiling_of_a_town() -> None:
    cells = tilings.voronoi(1500)
    cells = shapely.segmentize(cells, 0.0005)
    index = AreaIndex(codes(len(cells)), cells)
    rng = np.random.default_rng(5)
    west, south, east, north = tilings.BOUNDS
    lon, lat = rng.uniform(west, east, 20_000), rng.uniform(south, north, 20_000)
    found = index.locate(lon, lat)
    assert found.min() >= 0
    assert shapely.covers(cells[found], shapely.points(lon, lat)).all()
    assert [index.locate_one(x, y) for x, y in zip(lon[:3000].tolist(), lat[:3000].tolist(), strict=True)] == found[
        :3000
    ].tolist()
    assert index.nbytes < 25e6


def test_equals_postgis_on_borders_vertices_and_their_neighbours(tx: Connection) -> None:
    cells = shapely.segmentize(tilings.voronoi(250, seed=7), 0.002)
    lon, lat = tilings.border_points(cells, 6000)
    rng = np.random.default_rng(8)
    west, south, east, north = tilings.BOUNDS
    lon = np.concatenate([lon, rng.uniform(west - 0.001, east + 0.001, 4000)])
    lat = np.concatenate([lat, rng.uniform(south - 0.001, north + 0.001, 4000)])
    tx.execute(text("create temporary table tile (id int primary key, geom geometry(Polygon, 4490)) on commit drop"))
    tx.execute(
        text("insert into tile values (:id, ST_GeomFromWKB(:wkb, 4490))"),
        [{"id": i, "wkb": shapely.to_wkb(cell)} for i, cell in enumerate(cells)],
    )
    rows = tx.execute(
        text(
            """select coalesce(min(t.id), -1), count(t.id) from unnest(cast(:lon as float8[]), cast(:lat as float8[]))
               with ordinality p(lon, lat, n)
               left join tile t on ST_Covers(t.geom, ST_SetSRID(ST_MakePoint(p.lon, p.lat), 4490))
               group by p.n order by p.n"""
        ),
        {"lon": lon.tolist(), "lat": lat.tolist()},
    ).all()
    expected, covering = np.array(rows).T
    assert (covering >= 2).sum() > 2000  # the borders are really met
    assert (covering == 0).sum() > 50
    index = AreaIndex(codes(len(cells)), cells, 1024)
    assert np.flatnonzero(index.locate(lon, lat) != expected).tolist() == []
    one_by_one = [index.locate_one(x, y) for x, y in zip(lon.tolist(), lat.tolist(), strict=True)]
    assert np.flatnonzero(np.array(one_by_one) != expected).tolist() == []


def test_a_shared_border_belongs_to_the_lowest_code() -> None:
    index = AreaIndex(["A", "B"], [shapely.box(1, 0, 2, 1), shapely.box(0, 0, 1, 1)])
    lon, lat = np.array([1.0, 1.0, 1.0, 0.5, 1.5, 0.0, 2.0]), np.array([0.5, 0.0, 1.0, 0.5, 0.5, 0.0, 1.0])
    assert index.locate(lon, lat).tolist() == [0, 0, 0, 1, 0, 1, 0]


def test_nowhere() -> None:
    index = AreaIndex(["A"], [shapely.box(116.6, 40.0, 116.7, 40.1)])
    lon = np.array([np.nan, np.inf, -np.inf, 0.0, 116.65, 1e300, 116.65, 116.75, 116.599999])
    lat = np.array([40.05, 40.05, 40.05, 0.0, np.nan, 1e300, 40.11, 40.05, 40.05])
    assert index.locate(lon, lat).tolist() == [-1] * 9
    assert [index.locate_one(x, y) for x, y in zip(lon.tolist(), lat.tolist(), strict=True)] == [-1] * 9
    nothing = AreaIndex([], [])
    assert nothing.locate(lon, lat).tolist() == [-1] * 9
    assert nothing.locate_one(116.65, 40.05) == -1
    assert index.locate(np.array([]), np.array([])).tolist() == []


@pytest.mark.parametrize("wrong", [["B", "A"], ["A", "A"]])
def test_codes_must_ascend(wrong: list[str]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        AreaIndex(wrong, [shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1)])
