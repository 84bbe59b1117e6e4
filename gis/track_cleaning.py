"""Which fixes of a track can be believed: an ordered list of small pure steps, each marking fixes with its reason.

Nothing is discarded and nothing moved: a mark says why a fix takes no part in path, stops and coverage. A step sees
only what the steps before it left unmarked, so every mark has one reason, the first that applies.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gis import geometry
from gis.geometry import Floats
from gis.track_rules import Cleaning

Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]

#: Two fixes at one moment, this near to each other, are one told twice.
_SAME_M: Final = 0.1


@dataclass(frozen=True)
class Track:
    """Fixes of one person in order of (time, device, sequence).

    ``at`` and ``received`` in seconds since 1970, ``lon, lat`` in EPSG:4490 degrees, ``east, north`` in metres of
    EPSG:4548, ``accuracy`` in metres or NaN, ``device`` a number for each device.
    """

    device: NDArray[np.int64]
    seq: NDArray[np.int64]
    at: Floats
    received: Floats
    lon: Floats
    lat: Floats
    east: Floats
    north: Floats
    accuracy: Floats

    @classmethod
    def of(cls, device: Any, seq: Any, at: Any, received: Any, lon: Any, lat: Any, accuracy: Any) -> "Track":
        """From columns in any order; metres are worked out."""
        columns = [np.asarray(column, np.float64) for column in (at, received, lon, lat, accuracy)]
        device, seq = np.asarray(device, np.int64), np.asarray(seq, np.int64)
        order = np.lexsort((seq, device, columns[0]))
        at, received, lon, lat, accuracy = (column[order] for column in columns)
        east, north = geometry.to_4548(lon, lat)
        return cls(device[order], seq[order], at, received, lon, lat, np.asarray(east), np.asarray(north), accuracy)

    def __len__(self) -> int:
        return int(self.at.size)

    def metres(self, a: Any, b: Any) -> Any:
        """Distances between fixes a and b."""
        return np.hypot(self.east[b] - self.east[a], self.north[b] - self.north[a])

    def speed(self, a: int, b: int) -> float:
        """Metres a second from fix a to fix b; without time between them infinite, or 0 where nothing moved."""
        metres, seconds = float(self.metres(a, b)), float(self.at[b] - self.at[a])
        return metres / seconds if seconds > 0 else float("inf") if metres > _SAME_M else 0.0


Step = Callable[[Track, Indices, Cleaning], Any]


def future(track: Track, kept: Indices, rule: Cleaning) -> Indices:
    """Taken later than it was received: the device's clock runs ahead."""
    return kept[track.at[kept] > track.received[kept] + rule.ahead_s]


def clock_back(track: Track, kept: Indices, rule: Cleaning) -> Indices:
    """Out of the order the device counted: its clock was set back, or forward and back again.

    As few as possible are marked: what is left of each device is its longest run of times that never go back. A counter
    that began anew is another device's.
    """
    marked = [kept[:0]]
    for device in np.unique(track.device[kept]):
        of = kept[track.device[kept] == device]
        of = of[np.lexsort((track.seq[of], track.received[of]))]  # as they came
        run = _runs(track.seq[of].tolist(), track.at[of].tolist())
        of = of[np.lexsort((track.seq[of], run))]
        for part in np.split(of, np.flatnonzero(np.diff(np.sort(run))) + 1):
            marked.append(np.delete(part, _rising(track.at[part].tolist())))
    return np.concatenate(marked)


def _runs(seqs: Sequence[int], ats: Sequence[float]) -> NDArray[np.int64]:
    """Numbers of the counter's runs: a smaller number with a later time than any before means that it began anew."""
    run, highest, latest = 0, -1, -np.inf
    found = []
    for seq, at in zip(seqs, ats, strict=True):
        if seq <= highest and at > latest:
            run, highest, latest = run + 1, -1, -np.inf
        highest, latest = max(highest, seq), max(latest, at)
        found.append(run)
    return np.array(found, np.int64)


def _rising(values: Sequence[float]) -> list[int]:
    """The places of a longest subsequence that never falls (patience sorting, O(n log n))."""
    tops: list[float] = []  # the smallest end of a run of each length
    at: list[int] = []
    before: list[int] = []
    for i, value in enumerate(values):
        length = bisect_right(tops, value)
        before.append(at[length - 1] if length else -1)
        if length == len(tops):
            tops.append(value)
            at.append(i)
        else:
            tops[length], at[length] = value, i
    found, i = [], at[-1] if at else -1
    while i >= 0:
        found.append(i)
        i = before[i]
    return found[::-1]


def duplicate(track: Track, kept: Indices, rule: Cleaning) -> Indices:
    """At the moment and place of the fix before it: told twice, under another number or by another device."""
    before, after = kept[:-1], kept[1:]
    told: Indices = after[(track.at[before] == track.at[after]) & (track.metres(before, after) <= _SAME_M)]
    return told


def inaccurate(track: Track, kept: Indices, rule: Cleaning) -> Indices:
    """The device itself said it is off by more than the rule allows."""
    return kept[track.accuracy[kept] > rule.accuracy_m]


def offset(track: Track, kept: Indices, rule: Cleaning) -> Indices:
    """GCJ-02 positions within a track of true ones: the track jumps by just the offset of the place, there and back.

    Its direction tells which side is off: towards the offset, what follows is; against it, what came before.
    Only jumps nobody could walk are looked at; a track that is off from end to end shows none.
    """
    if kept.size < 2:
        return kept[:0]
    lon, lat = track.lon[kept], track.lat[kept]
    moved_east, moved_north = geometry.to_4548(*geometry.from_4490(lon, lat, "GCJ-02"))
    true_east, true_north = geometry.to_4548(*geometry.to_4490(lon, lat, "GCJ-02"))
    east, north = track.east[kept], track.north[kept]
    step_east, step_north, seconds = np.diff(east), np.diff(north), np.diff(track.at[kept])
    unwalkable = np.hypot(step_east, step_north) > rule.speed_ms * seconds
    # What could be walked meanwhile is allowed for beside the tolerance.
    near = rule.offset_m + rule.speed_ms / 4 * np.minimum(seconds, 60)
    away = np.hypot(step_east - (moved_east - east)[:-1], step_north - (moved_north - north)[:-1]) <= near
    back = np.hypot(step_east - (true_east - east)[:-1], step_north - (true_north - north)[:-1]) <= near
    turns = np.flatnonzero(unwalkable & (away ^ back))
    if not turns.size:
        return kept[:0]
    off = np.zeros(kept.size, np.bool_)
    state, begin = bool(back[turns[0]]), 0
    for turn in turns.tolist():
        off[begin : turn + 1] = state
        state, begin = bool(away[turn]), turn + 1
    off[begin:] = state
    return kept[off]


def spike(track: Track, kept: Indices, rule: Cleaning) -> Indices:
    """Away and back: a few fixes that nobody reached from the fix before nor left for the fix after, which agree."""
    marked: list[int] = []
    places, i = kept.tolist(), 0
    while i < len(places) - 2:
        if track.speed(places[i], places[i + 1]) > rule.speed_ms:
            returned = _return(track, places, i, rule)
            marked += places[i + 1 : returned]
            i = max(returned, i + 1)
        else:
            i += 1
    return np.array(marked, np.intp)


def _return(track: Track, places: Sequence[int], i: int, rule: Cleaning) -> int:
    """The first place after a jump away from ``i`` that agrees with ``i`` and not with its neighbour; or i + 1."""
    for j in range(i + 2, min(i + 2 + rule.spike_fixes, len(places))):
        if track.speed(places[i], places[j]) <= rule.speed_ms and track.speed(places[j - 1], places[j]) > rule.speed_ms:
            return j
    return i + 1


def speed(track: Track, kept: Indices, rule: Cleaning) -> Indices:
    """Too far from the last believable fix for the time between: until time enough has passed to get there."""
    marked: list[int] = []
    last = -1
    for i in kept.tolist():
        if last >= 0 and track.speed(last, i) > rule.speed_ms:
            marked.append(i)
        else:
            last = i
    return np.array(marked, np.intp)


def frozen(track: Track, kept: Indices, rule: Cleaning) -> Indices:
    """Equal to the last digit for so long that no receiver made it: all but the first of such a run."""
    if not kept.size:
        return kept
    columns = (track.device, track.lon, track.lat, track.accuracy)
    same = np.ones(kept.size - 1, np.bool_)
    for column in columns:
        a, b = column[kept[:-1]], column[kept[1:]]
        same &= (a == b) | ((a != a) & (b != b))
    starts = np.flatnonzero(np.concatenate([[True], ~same]))
    lengths = np.diff(np.append(starts, kept.size))
    inside = np.repeat(lengths >= rule.frozen_fixes, lengths)
    inside[starts] = False
    return kept[inside]


#: The order matters: a step may trust what those before it let pass.
STEPS: Final[tuple[Step, ...]] = (
    *(future, clock_back, duplicate, inaccurate),
    *(offset, spike, speed, frozen),
)
REASONS: Final = ("", *(step.__name__ for step in STEPS))


def mark(track: Track, rule: Cleaning) -> NDArray[np.int8]:
    """For every fix the place in ``REASONS`` of why it is not believed, 0 where it is."""
    reason = np.zeros(len(track), np.int8)
    for number, step in enumerate(STEPS, 1):
        kept = np.flatnonzero(reason == 0)
        if kept.size:
            reason[step(track, kept, rule)] = number
    return reason
