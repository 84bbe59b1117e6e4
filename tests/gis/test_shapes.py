"""Shapes to draw a town from: heat cells hold every case of the filter once, in the cell it lies in."""

import random
from collections import Counter
from datetime import UTC, datetime

import h3
import pytest
import shapely
from sqlalchemy import insert

from gis import geometry, people, shapes
from gis.search import CaseFilter
from gis.tables import case
from tests.gis.case_rows import row


@pytest.mark.parametrize("resolution", [7, 9, 11])
def test_heat_cells_hold_each_case_of_the_filter_once(tx, resolution):
    chance, expected = random.Random(resolution), Counter()
    for n in range(60):
        lon, lat = chance.uniform(116.64, 116.66), chance.uniform(40.10, 40.12)
        status = "open" if n % 3 else "closed"
        cell = geometry.h3_12(lon, lat)
        tx.execute(insert(case).values(row(n, lon=lon, lat=lat, h3=cell, status=status)))
        # Cells of different resolutions overlap only roughly: the ancestor of the stored one is what is meant.
        expected[h3.cell_to_parent(h3.int_to_str(cell), resolution)] += status == "open"
    leader = people.by_username(tx, "leader")
    cells = shapes.case_cells(tx, leader, CaseFilter(status=("open",)), datetime.now(UTC), resolution)
    assert {one["properties"]["code"]: one["properties"]["value"] for one in cells} == +expected
    for one in cells:
        lat, lon = h3.cell_to_latlng(one["properties"]["code"])
        assert shapely.geometry.shape(one["geometry"]).contains(shapely.Point(lon, lat))
    assert shapes.case_cells(tx, leader, CaseFilter(status=("void",)), datetime.now(UTC), resolution) == []
