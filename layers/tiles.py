"""Tiles of the point layers: clusters, heat and components as vector tile bytes. Knows what is told, not how to ask."""

from typing import Final

import numpy as np

from gis.points import CaseStore, Mask
from gis.points_cells import CELL_BITS
from gis.points_components import ComponentStore
from layers.mvt import Block, Property, layer

CONTENT_TYPE: Final = "application/vnd.mapbox-vector-tile"
_LIGHTS: Final = ("green", "yellow", "red", "none")


def cases(store: CaseStore, mask: Mask, z: int, x: int, y: int, bits: int = CELL_BITS) -> bytes:
    """Layer ``cases``: ``n``, ``red``, ``yellow`` of cells, 2^``bits`` along the tile's edge.

    Lone points have ``n`` = 1 and ``id, category, light, severity, stage, status, kind``.
    """
    cells = store.cluster(mask, z, x, y, bits)
    many, alone = np.flatnonzero(cells.row < 0), np.flatnonzero(cells.row >= 0)
    told = store.singles(mask, cells.row[alone])
    light = np.where(cells.red[alone] > 0, 2, np.where(cells.yellow[alone] > 0, 1, np.where(told.timed, 0, 3)))
    counts = [
        Property(name, values[many]) for name, values in (("n", cells.n), ("red", cells.red), ("yellow", cells.yellow))
    ]
    properties = [
        Property("n", 1),
        Property("id", np.arange(len(told.id)), told.id),
        Property("category", *told.category),
        Property("light", light, _LIGHTS),
        Property("severity", told.severity),
        Property("stage", *told.stage),
        Property("status", *told.status),
        Property("kind", *told.kind),
    ]
    blocks = [Block(cells.x[many], cells.y[many], counts), Block(cells.x[alone], cells.y[alone], properties)]
    return layer("cases", blocks)


def heat(store: CaseStore, mask: Mask, z: int, x: int, y: int) -> bytes:
    """Layer ``heat``: points with weight ``n``, one an h3 cell, at the cell's centre."""
    cells = store.heat(mask, z, x, y)
    return layer("heat", [Block(cells.x, cells.y, [Property("n", cells.n)])])


def components(store: ComponentStore, mask: Mask, z: int, x: int, y: int) -> bytes:
    """Layer ``components``: ``n``; lone ones also ``code`` and ``category``."""
    cells = store.cluster(mask, z, x, y)
    alone = cells.row >= 0
    codes, category = store.singles(mask, cells.row[alone])
    return layer(
        "components",
        [
            Block(cells.x[~alone], cells.y[~alone], [Property("n", cells.n[~alone])]),
            Block(
                cells.x[alone],
                cells.y[alone],
                [
                    Property("n", 1),
                    Property("code", np.arange(len(codes)), codes),
                    Property("category", *category),
                ],
            ),
        ],
    )
