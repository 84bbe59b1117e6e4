"""Where a plan lies on the earth: plan metres to EPSG:4490 through EPSG:4548. Knows no town."""

from dataclasses import dataclass

import numpy as np
import shapely

from gis.geometry import to_4490, to_4548
from gis.town_cut import Floats, Shapes

DIGITS = 9
"""Decimals of a degree that are kept, 0.1 mm: equal plan nodes stay equal, and the digest has something to hold."""


@dataclass(frozen=True)
class Frame:
    """The plan's origin in EPSG:4548 metres."""

    east: float
    north: float

    @classmethod
    def at(cls, lon: float, lat: float) -> "Frame":
        """The plan whose origin is this EPSG:4490 point, rounded to whole metres."""
        east, north = to_4548(lon, lat)
        return cls(float(round(east)), float(round(north)))

    def to_4490(self, shapes: Shapes) -> Shapes:
        """Plan shapes in EPSG:4490 degrees, every coordinate rounded to DIGITS decimals."""

        def project(xy: Floats) -> Floats:
            lon, lat = to_4490(xy[:, 0] + self.east, xy[:, 1] + self.north, "EPSG:4548")
            return np.asarray(np.round(np.column_stack([lon, lat]), DIGITS), dtype=np.float64)

        return np.asarray(shapely.transform(shapes, project), dtype=object)

    def to_plan(self, shapes: Shapes) -> Shapes:
        """EPSG:4490 shapes in plan metres."""

        def project(lonlat: Floats) -> Floats:
            east, north = to_4548(lonlat[:, 0], lonlat[:, 1])
            return np.column_stack([east - self.east, north - self.north])

        return np.asarray(shapely.transform(shapes, project), dtype=object)
