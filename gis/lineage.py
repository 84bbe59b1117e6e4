"""Which grids came of which, and figures of old grids told in new ones. Pure but for the one read.

A grid that was split, merged or moved gave shares of its land to others. Figures fold along these shares: a merged
grid's are sums, exactly; a split grid's are divided by land, which is an estimate and says so.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import shapely
from sqlalchemy import insert, select

from gis.db import Connection
from gis.tables import grid_plan, unit_grid_lineage

LEAST: float = 1e-4
"""A smaller share of a grid's land is the rounding of its border, no descent."""


@dataclass(frozen=True, slots=True)
class Descent:
    """``share`` of the land of grid ``old`` became part of grid ``new``."""

    old: str
    new: str
    share: float


def descents(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Descent]:
    """What became of ended grids, from their polygons; the shares of one grid sum to 1 where its land was kept."""
    if not old or not new:
        return []
    olds, news = list(old), list(new)
    before, after = (np.array(list(some.values()), dtype=object) for some in (old, new))
    i, j = shapely.STRtree(after).query(before, predicate="intersects")
    shared = shapely.area(shapely.intersection(before[i], after[j])) / shapely.area(before[i])
    kept = shared > LEAST
    i, j, shared = i[kept], j[kept], shared[kept]
    total = np.bincount(i, weights=shared, minlength=len(olds))
    # Rounded borders and slivers left out are given back, so that figures keep their sums; lost land is not.
    shared = np.where(total[i] > 0.99, shared / total[i], shared)
    found = [Descent(olds[a], news[b], float(s)) for a, b, s in zip(i, j, shared, strict=True)]
    return sorted(found, key=lambda d: (d.old, d.new))


@dataclass(frozen=True)
class Folded:
    """A grid's figures with those of its ancestors; ``exact`` where no ancestor had to be divided.

    ``own`` are the figures under its own code, ``of`` the shares of ancestors' figures that it has.
    """

    values: dict[str, float]
    own: dict[str, float]
    of: dict[str, float] = field(default_factory=dict)
    exact: bool = True


def shares(codes: Iterable[str], family: Sequence[Descent]) -> dict[str, dict[str, float]]:
    """For each code the share of its land by the youngest descendants; itself where it has none.

    Raises ``ValueError`` on a circle, which no lineage has: codes never return.
    """
    children: dict[str, list[Descent]] = defaultdict(list)
    for one in family:
        children[one.old].append(one)
    known: dict[str, dict[str, float]] = {}

    def of(code: str, above: tuple[str, ...]) -> dict[str, float]:
        if code in above:
            raise ValueError(f"{code} descends from itself")
        if code not in known:
            found: dict[str, float] = defaultdict(float)
            for child in children.get(code, ()):
                for last, share in of(child.new, (*above, code)).items():
                    found[last] += child.share * share
            # Land that nobody got keeps its figures under the old code: they are not lost.
            left = 1.0 - sum(child.share for child in children.get(code, ()))
            if left > 1e-6:
                found[code] += left
            known[code] = dict(found)
        return known[code]

    return {code: of(code, ()) for code in codes}


def fold(figures: Mapping[str, Mapping[str, float]], family: Sequence[Descent]) -> dict[str, Folded]:
    """Figures by grid code as if the youngest grids had been there all along; sums stay what they were."""
    by_code = shares(figures, family)
    parts: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for old, into in by_code.items():
        for new, share in into.items():
            parts[new].append((old, share))
    found = {}
    for new in sorted(parts):
        values: dict[str, float] = defaultdict(float)
        for old, share in parts[new]:
            for measure, value in figures[old].items():
                values[measure] += value * share
        of = {old: share for old, share in parts[new] if old != new}
        exact = all(abs(share - 1.0) < 1e-6 for _, share in parts[new])
        found[new] = Folded(dict(values), dict(figures.get(new, {})), of, exact)
    return found


def family(tx: Connection, until: date | None = None) -> list[Descent]:
    """Every descent on record, or those that were in force on the day ``until``."""
    c = unit_grid_lineage.c
    statement = select(c.old_code, c.new_code, c.share).order_by(c.old_code, c.new_code)
    if until is not None:
        statement = statement.where(c.valid_from <= until)
    return [Descent(*row) for row in tx.execute(statement)]


def relatives(tx: Connection, code: str) -> dict[str, list[dict[str, Any]]]:
    """What a grid came of and what became of it, one generation each: code, share of the older one's land, day."""
    c = unit_grid_lineage.c
    rows = tx.execute(
        select(c.old_code, c.new_code, c.share, c.valid_from).where((c.old_code == code) | (c.new_code == code))
    )
    told: dict[str, list[dict[str, Any]]] = {"came_of": [], "became": []}
    for row in rows:
        side, other = ("became", row.new_code) if row.old_code == code else ("came_of", row.old_code)
        told[side].append({"code": other, "share": row.share, "from": row.valid_from})
    return {side: sorted(some, key=lambda one: one["code"]) for side, some in told.items()}


def described(tx: Connection, code: str) -> list[dict[str, Any]]:
    """When published plans gave a grid another class or use: the day, ``before`` and ``after``, in order."""
    c = grid_plan.c
    rows = tx.execute(
        select(c.valid_from, c.changes["described"][code])
        .where(c.changes["described"].has_key(code), c.withdrawn_at.is_(None))
        .order_by(c.valid_from, c.published_at)
    )
    return [{"from": day, **told} for day, told in rows]


def record(tx: Connection, found: Sequence[Descent], day: date) -> None:
    """Put descents on record from ``day`` on."""
    if found:
        rows = [{"old_code": d.old, "new_code": d.new, "share": d.share, "valid_from": day} for d in found]
        tx.execute(insert(unit_grid_lineage), rows)
