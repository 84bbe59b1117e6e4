"""What a cleaned track comes to: segments, gaps, stops, distance. Pure; a gap is a gap, never a straight walk."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import hypot

import numpy as np
from numpy.typing import NDArray

from gis.geometry import Floats
from gis.track_cleaning import REASONS, Indices, Track
from gis.track_rules import Path


@dataclass(frozen=True)
class Gap:
    """Nothing is known between two fixes. ``why`` is silent, or the reason most fixes of the gap were marked for."""

    before: int
    after: int
    why: str


@dataclass(frozen=True)
class Stop:
    """Somebody stayed from fix ``first`` to ``last``, around this place (metres of EPSG:4548)."""

    first: int
    last: int
    east: float
    north: float


@dataclass(frozen=True)
class Walked:
    """A track's path. Segments are runs of believed fixes; indices are places in the track."""

    segments: tuple[Indices, ...]
    gaps: tuple[Gap, ...]
    stops: tuple[Stop, ...]
    distance_m: float

    @property
    def steps(self) -> tuple[Indices, Indices]:
        """The two ends of every step between fixes of one segment."""
        none = np.empty(0, np.intp)
        return (
            np.concatenate([none, *(segment[:-1] for segment in self.segments)]),
            np.concatenate([none, *(segment[1:] for segment in self.segments)]),
        )


def walked(track: Track, reason: NDArray[np.int8], rule: Path) -> Walked:
    """The path of the fixes without a mark."""
    kept = np.flatnonzero(reason == 0)
    ends = np.flatnonzero(np.diff(track.at[kept]) > rule.gap_s) + 1
    segments = tuple(np.split(kept, ends)) if kept.size else ()
    gaps = tuple(Gap(int(a[-1]), int(b[0]), _why(reason[a[-1] + 1 : b[0]])) for a, b in pairwise(segments))
    stops = tuple(stop for segment in segments for stop in _stops(track, segment, rule))
    return Walked(segments, gaps, stops, sum(_moved(track, segment, stops) for segment in segments))


def _why(marks: NDArray[np.int8]) -> str:
    return REASONS[int(np.bincount(marks).argmax())] if marks.size else "silent"


def _stops(track: Track, segment: Indices, rule: Path) -> list[Stop]:
    """Stays within ``stop_m`` of a running centre, some fixes off it allowed; neighbours at one place are one stay."""
    at, east, north = (column[segment].tolist() for column in (track.at, track.east, track.north))
    found: list[tuple[int, int, float, float]] = []
    i = 0
    while i < len(at):
        last, x, y = _stay(east, north, i, rule)
        if at[last] - at[i] < rule.stop_s:
            i += 1
            continue
        if (
            found
            and at[i] - at[found[-1][1]] <= rule.stop_s
            and hypot(x - found[-1][2], y - found[-1][3]) <= rule.stop_m
        ):
            found[-1] = (found[-1][0], last, *found[-1][2:])
        else:
            found.append((i, last, x, y))
        i = last + 1
    return [Stop(int(segment[first]), int(segment[last]), x, y) for first, last, x, y in found]


def _stay(east: Sequence[float], north: Sequence[float], i: int, rule: Path) -> tuple[int, float, float]:
    """The last fix of the stay that begins with fix ``i``, and its centre."""
    x, y, inside, last, misses = east[i], north[i], 1, i, 0
    for j in range(i + 1, len(east)):
        if hypot(east[j] - x, north[j] - y) <= rule.stop_m:
            inside += 1
            x, y = x + (east[j] - x) / inside, y + (north[j] - y) / inside
            last, misses = j, 0
        else:
            misses += 1
            if misses > rule.stop_misses:
                break
    return last, x, y


def _moved(track: Track, segment: Indices, stops: Sequence[Stop]) -> float:
    """Metres along a segment; a receiver at rest wanders, so what lies within a stop is no way."""
    metres = track.metres(segment[:-1], segment[1:])
    still = np.zeros(metres.size, np.bool_)
    for stop in stops:
        still |= (segment[:-1] >= stop.first) & (segment[1:] <= stop.last)
    return float(metres[~still].sum())


def within(begin: Floats, end: Floats, spans: Sequence[tuple[float, float]]) -> float:
    """Seconds of the steps from ``begin`` to ``end`` that lie in spans which do not overlap."""
    return sum(float(np.maximum(0.0, np.minimum(end, b) - np.maximum(begin, a)).sum()) for a, b in spans)
