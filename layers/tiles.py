"""Tiles of the point layers: clusters, heat and components as vector tile bytes. Knows what is told, not how to ask."""

from typing import Final
from weakref import WeakKeyDictionary

import numpy as np

from gis.points import CaseStore, Mask
from gis.points_cells import CELL_BITS
from gis.points_components import ComponentStore
from gis.points_table import Dictionary
from layers.mvt import Block, Property, Rows, Table, layer

CONTENT_TYPE: Final = "application/vnd.mapbox-vector-tile"
_LIGHTS: Final = ("green", "yellow", "red")  # of those with a clock


def cases(store: CaseStore, mask: Mask, z: int, x: int, y: int, bits: int = CELL_BITS) -> bytes:
    """Layer ``cases``: ``n``, ``red``, ``yellow`` of cells, 2^``bits`` along the tile's edge.

    Lone points have ``n`` = 1 and ``id, category, light, severity, stage, status, kind``.
    """
    cells = store.cluster(mask, z, x, y, bits)
    single = cells.row >= 0
    alone = np.flatnonzero(single)
    blocks = []
    if len(alone):
        told = store.singles(mask, cells.row[alone])
        shown = told.look.astype(np.int64) * len(_LIGHTS) + 2 * cells.red[alone] + cells.yellow[alone]
        rows = Rows(_told(told.looks, len(told.looks)), shown)
        blocks.append(Block(cells.x[alone], cells.y[alone], [rows, Property("id", np.arange(len(alone)), told.id)]))
    if len(alone) < len(single):
        many = np.flatnonzero(~single) if len(alone) else slice(None)
        named = (("n", cells.n), ("red", cells.red), ("yellow", cells.yellow))
        counts = [Property(name, values[many]) for name, values in named]
        blocks.append(Block(cells.x[many], cells.y[many], counts))
    return layer("cases", blocks)


_tables: Final[WeakKeyDictionary[Dictionary, Table]] = WeakKeyDictionary()
_NO_LOOKS: Final = Table(("n", "category", "light", "severity", "stage", "status", "kind"), ())


def _told(looks: Dictionary, count: int) -> Table:
    """What lone cases show: a row for every look under every light, at least of the first ``count`` looks."""
    table = _tables.get(looks, _NO_LOOKS)
    known = len(table.rows) // len(_LIGHTS)
    if known < count:
        fresh = [
            (
                1,
                ":".join(look.category),
                light if look.clocked else "none",
                look.severity,
                look.stage,
                look.status,
                look.kind,
            )
            for look in looks.values[known:count]
            for light in _LIGHTS
        ]
        table = _tables[looks] = table.followed_by(fresh)
    return table


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
