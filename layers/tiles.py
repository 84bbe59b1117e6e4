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
    alone = cells.row >= 0
    many = ~alone
    told = store.singles(mask, cells.row[alone])
    red, yellow = cells.red[alone], cells.yellow[alone]
    light = np.where(red > 0, 2, np.where(yellow > 0, 1, np.where(told.timed, 0, 3)))
    return layer(
        "cases",
        [
            Block(
                cells.x[many],
                cells.y[many],
                [
                    Property("n", cells.n[many]),
                    Property("red", cells.red[many]),
                    Property("yellow", cells.yellow[many]),
                ],
            ),
            Block(
                cells.x[alone],
                cells.y[alone],
                [
                    Property("n", cells.n[alone]),
                    Property("id", np.arange(len(told.id)), told.id),
                    Property("category", *told.category),
                    Property("light", light, _LIGHTS),
                    Property("severity", told.severity),
                    Property("stage", *told.stage),
                    Property("status", *told.status),
                    Property("kind", *told.kind),
                ],
            ),
        ],
    )


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
                    Property("n", cells.n[alone]),
                    Property("code", np.arange(len(codes)), codes),
                    Property("category", *category),
                ],
            ),
        ],
    )
