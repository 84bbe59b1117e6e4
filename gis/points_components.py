"""The census in memory for maps: components by category, village, grid and state. Read anew when the table changed."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, Text, cast, func, literal_column, select

from gis.db import Connection
from gis.points import Mask, in_box
from gis.points_bits import Ranked, Rows, Words, nothing
from gis.points_cells import Clusters, Selected, clusters
from gis.points_table import Array, Columns, Dictionary, Recent, Segment, Snapshot, Table, joined
from gis.search import CaseFilter
from gis.tables import component, survey, town

_CODED: Final = ("category", "village", "grid", "state")
_READ: Final = ("code", "mk", "category_code", "village_code", "unit_grid_code", "state")


class ComponentStore:
    """Every component that has not been removed. A store does not change; a newer one takes its place."""

    def __init__(self, columns: Columns, dictionaries: dict[str, Dictionary], mark: str) -> None:
        self.dictionaries = dictionaries
        self.mark = mark
        self.snapshot: Snapshot = Table(columns, mark).snapshot
        self._masks: Recent[Mask] = Recent(8)

    @classmethod
    def of(cls, rows: Sequence[Any], mark: str = "") -> "ComponentStore":
        """From rows with the columns of ``component`` as attributes."""
        dictionaries = {name: Dictionary() for name in _CODED}
        return cls(_encode(rows, dictionaries), dictionaries, mark)

    @classmethod
    def load(cls, tx: Connection) -> "ComponentStore":
        """All components as they are."""
        dictionaries = {name: Dictionary() for name in _CODED}
        mark = state(tx)
        rows = tx.execute(select(*(component.c[name] for name in _READ)).where(component.c.state != "removed"))
        pieces = [_encode(part, dictionaries) for part in rows.partitions(50_000)]
        return cls(joined(pieces) if pieces else _encode([], dictionaries), dictionaries, mark)

    def mask(self, wanted: CaseFilter) -> Mask:
        """The components the fields ``category, village, grid, state, bbox`` of a filter keep; others do not apply."""
        return self._masks.get(wanted, partial(self._make_mask, wanted))

    def _make_mask(self, wanted: CaseFilter) -> Mask:
        (part,) = self.snapshot.parts
        segment, words = part.segment, part.alive
        for clause in self._clauses(segment, wanted):
            words = words & clause
        none = Ranked(nothing(segment.n))
        return Mask(self.snapshot, 0, (Selected(segment, 0, Ranked(words), none, none),))

    def _clauses(self, segment: Segment, wanted: CaseFilter) -> list[Words]:
        known = self.dictionaries
        found = []
        if wanted.category:
            prefixes = tuple(c.partition(":")[2] for c in wanted.category if c.startswith("component"))
            found.append(segment.among("category", known["category"].matching(lambda code: code.startswith(prefixes))))
        for name in ("village", "grid", "state"):
            if values := getattr(wanted, name):
                found.append(segment.among(name, known[name].codes(values)))
        if wanted.bbox:
            found.append(in_box(segment, wanted.bbox))
        return found

    def cluster(self, mask: Mask, z: int, x: int, y: int) -> Clusters:
        """The cells of a tile, see :func:`gis.points_cells.clusters`; no component is red or yellow."""
        return clusters(mask.parts, z, x, y)

    def singles(self, mask: Mask, rows: Rows) -> tuple[tuple[str, ...], tuple[Array, tuple[str, ...]]]:
        """Of lone components: their codes, and their categories as numbers into a list of ``component:code``."""
        codes = tuple(f"{number:016d}" for number in mask.snapshot.take("id", rows)[:, 1].tolist())
        category = tuple(f"component:{code}" for code in self.dictionaries["category"].texts)
        return codes, (mask.snapshot.take("category", rows), category)


def state(tx: Connection) -> str:
    """What the table is now. Reads no component: who writes them touches their survey (:func:`gis.components.register`)
    or raises the town's areas, and those few rows tell every transaction apart, whichever commits first."""
    told: list[int] = []
    for touched in (survey, town):
        marks = func.sum(cast(cast(literal_column("xmin"), Text), BigInteger))
        told += tx.execute(select(func.count(), func.coalesce(marks, 0)).select_from(touched)).one()
    return "-".join(str(n) for n in told)


def _encode(rows: Sequence[Any], dictionaries: dict[str, Dictionary]) -> Columns:
    ids: NDArray[np.uint64] = np.zeros((len(rows), 2), np.uint64)
    ids[:, 1] = [int(r.code) for r in rows]
    coded = {"category": "category_code", "village": "village_code", "grid": "unit_grid_code", "state": "state"}
    return {
        "mk": np.array([r.mk for r in rows], np.int64),
        "id": ids,
        **{name: dictionaries[name].encode([getattr(r, read) for r in rows]) for name, read in coded.items()},
    }
