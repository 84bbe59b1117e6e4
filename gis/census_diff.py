"""A survey beside the published census: what was added, moved, changed, removed; and which two are one thing. Pure.

Distances are metres on the plane of EPSG:4548 or the ellipsoid. A survey says nothing where it leaves a field empty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import shapely

from gis.components import ACCURACY_M
from gis.geometry import distance_m, to_4548

Texts = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]

KINDS: Final = ("added", "moved", "changed", "removed")


@dataclass(frozen=True)
class Side:
    """One of the two: components by row. ``codes`` are unique where not ''; ``lon, lat`` EPSG:4490 degrees."""

    codes: Texts
    lon: Floats
    lat: Floats
    accuracy: Texts
    fields: Mapping[str, Texts]
    properties: Sequence[Mapping[str, Any]]
    shapes: Texts
    gone: Flags
    """Already marked as removed; of the survey: never."""


@dataclass(frozen=True)
class Compared:
    """One entry per row of the survey, and the rows of the census that have none. ``at``: the row of the census, -1."""

    kinds: Texts
    at: Ints
    metres: Floats
    changes: list[dict[str, tuple[Any, Any]]]
    missing: Ints


def reach_m(accuracy: Texts) -> Floats:
    """How far each may be off by its accuracy class."""
    return np.array([ACCURACY_M.get(one, ACCURACY_M["A"]) for one in accuracy.tolist()], dtype=np.float64)


def places_of(codes: Texts, known: Texts) -> Ints:
    """Where each code stands in ``known``, -1 where it does not or is ''."""
    if not len(known):
        return np.full(len(codes), -1, dtype=np.intp)
    order = np.argsort(known.astype(str), kind="stable")
    ordered = known.astype(str)[order]
    slot = np.minimum(np.searchsorted(ordered, codes.astype(str)), len(known) - 1)
    found: Ints = np.where((ordered[slot] == codes.astype(str)) & (codes != ""), order[slot], -1)
    return found


def compare(new: Side, old: Side, told: Sequence[str]) -> Compared:
    """Compare a survey with the census by code, in the fields ``told``.

    Moved is what lies farther apart than both accuracies together explain, or whose line or area differs by more; it
    may have changed fields as well. What the census had as removed and the survey found again is added, its state a
    change: it is the same component, not a new one.
    """
    at = places_of(new.codes, old.codes)
    here = np.flatnonzero(at >= 0)
    there = at[here]
    metres = np.full(len(new.codes), np.nan)
    metres[here] = distance_m(old.lon[there], old.lat[there], new.lon[here], new.lat[here])
    tolerance = np.full(len(new.codes), np.inf)
    tolerance[here] = reach_m(new.accuracy[here]) + reach_m(old.accuracy[there])
    moved = metres > tolerance
    redrawn = _redrawn(new.shapes[here], old.shapes[there], tolerance[here])
    moved[here[redrawn]] = True
    changes: list[dict[str, tuple[Any, Any]]] = [{} for _ in range(len(new.codes))]
    for name in told:
        said, was = new.fields[name][here], old.fields[name][there]
        for row in np.flatnonzero((said != "") & (said != was)).tolist():
            changes[here[row]][name] = (was[row], said[row])
    for row, before in zip(here.tolist(), there.tolist(), strict=True):
        kept, given = old.properties[before], new.properties[row]
        for key in given.keys() & kept.keys():
            if given[key] != kept[key]:
                changes[row][f"properties.{key}"] = (kept[key], given[key])
    kinds = np.full(len(new.codes), "added", dtype=object)
    differs = np.array([bool(one) for one in changes], dtype=bool)
    again = np.zeros(len(new.codes), dtype=bool)
    again[here] = old.gone[there] & (new.fields["state"][here] != "removed")
    for row in np.flatnonzero(again).tolist():
        changes[row]["state"] = ("removed", new.fields["state"][row])
    found = (at >= 0) & ~again
    kinds[found] = np.where(moved[found], "moved", np.where(differs[found], "changed", "unchanged"))
    named = np.zeros(len(old.codes), dtype=bool)
    named[there] = True
    return Compared(kinds, at, metres, changes, np.flatnonzero(~named & ~old.gone))


def _redrawn(new: Texts, old: Texts, tolerance: Floats) -> Flags:
    """Lines and areas whose outlines part by more than the tolerance; points never."""
    answer = np.zeros(len(new), dtype=bool)
    drawn = np.flatnonzero((shapely.get_dimensions(new) > 0) & (shapely.get_dimensions(old) > 0))
    if drawn.size:
        apart = shapely.hausdorff_distance(metric(new[drawn]), metric(old[drawn]))
        answer[drawn] = apart > tolerance[drawn]
    return answer


def metric(shapes: Texts) -> Texts:
    """Shapes of EPSG:4490 in EPSG:4548, for measuring."""
    moved: Texts = shapely.transform(shapes, lambda pairs: np.column_stack(to_4548(pairs[:, 0], pairs[:, 1])))
    return moved


def near_pairs(x: Floats, y: Floats, classes: Texts, reach: Floats) -> list[tuple[int, int]]:
    """Pairs (i < j) of one class that lie closer together than the smaller ``reach`` of the two, in metres."""
    points = shapely.points(x, y)
    a, b = shapely.STRtree(points).query(points, predicate="dwithin", distance=reach)
    keep = (a < b) & (classes[a] == classes[b])
    a, b = a[keep], b[keep]
    close = np.hypot(x[a] - x[b], y[a] - y[b]) < np.minimum(reach[a], reach[b])
    return sorted(zip(a[close].tolist(), b[close].tolist(), strict=True))


def match_near(
    x: Floats, y: Floats, classes: Texts, to_x: Floats, to_y: Floats, to_classes: Texts, reach: float
) -> list[tuple[int, int, float]]:
    """Pairs (i, j, metres) of one class within ``reach`` that are each other's nearest."""
    found = []
    for one in np.intersect1d(classes.astype(str), to_classes.astype(str)).tolist():
        here, there = np.flatnonzero(classes == one), np.flatnonzero(to_classes == one)
        mine, theirs = shapely.points(x[here], y[here]), shapely.points(to_x[there], to_y[there])
        forth = _nearest(mine, theirs, reach)
        back = _nearest(theirs, mine, reach)
        found += [
            (int(here[i]), int(there[j]), metres) for i, (j, metres) in forth.items() if back.get(j, (-1, 0.0))[0] == i
        ]
    return sorted(found)


def _nearest(of: Texts, among: Texts, reach: float) -> dict[int, tuple[int, float]]:
    """The nearest of ``among`` within reach, the first of equally near ones: {i: (j, metres)}."""
    (at, to), metres = shapely.STRtree(among).query_nearest(of, max_distance=reach, return_distance=True)
    found: dict[int, tuple[int, float]] = {}
    for i, j, apart in zip(at.tolist(), to.tolist(), metres.tolist(), strict=True):
        if i not in found or j < found[i][0]:
            found[i] = (j, apart)
    return found


def common_shift(dx: Floats, dy: Floats, least: int = 20) -> tuple[float, float] | None:
    """(east, north) in metres by which most of the pairs are shifted alike; None where there is no such shift.

    The medians, believed when half of the pairs lie within half their length of them: single moves do not do that.
    """
    if len(dx) < least:
        return None
    east, north = float(np.median(dx)), float(np.median(dy))
    length = float(np.hypot(east, north))
    spread = float(np.median(np.hypot(dx - east, dy - north)))
    return (east, north) if length > 1.0 and spread < length / 2 else None
