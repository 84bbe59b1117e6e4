"""A person's day of fixes, read, cleaned and told: path, stops, gaps, marks, numbers that are missing.

Works from the raw fixes every time, so that what comes late is in it. Who may see it is decided by gis.track_looks.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select

from gis import track_cleaning, track_paths
from gis.areas import Areas, areas
from gis.db import Connection
from gis.tables import position, quarantine, shift, staff_role
from gis.track_cleaning import Track
from gis.track_intake import ZONE, quarantined_seq
from gis.track_paths import Walked
from gis.track_rules import TrackRule

#: What a coarsened day's rows say instead of a coordinate system, followed by the cell's size in metres.
COARSE = "COARSE-"
#: A device of this beginning is a file somebody handed in.
IMPORTED = "gpx:"
_LONGEST_SHIFT = timedelta(hours=24)
#: How far back a number missing at the beginning of a day is looked for.
_BEFORE = timedelta(days=7)


@dataclass(frozen=True)
class Hole:
    """Numbers ``first`` to ``last`` of a device that never came."""

    device: str
    first: int
    last: int


@dataclass(frozen=True)
class Duty:
    """When somebody stood on duty that day, as (from, until) in seconds since 1970, and in which duty grids."""

    spans: tuple[tuple[float, float], ...]
    grids: frozenset[str]

    @property
    def seconds(self) -> float:
        """How long in all."""
        return sum(b - a for a, b in self.spans)


@dataclass(frozen=True)
class Day:
    """One person's cleaned day. ``coarse``: the exact fixes are gone, what is left are cells.

    ``clocks``: fixes whose moments were put right, by (device, seconds added).
    """

    track: Track
    devices: tuple[str, ...]
    reason: NDArray[np.int8]
    path: Walked
    coarse: bool
    clocks: Mapping[tuple[str, int], int]

    @cached_property
    def marks(self) -> dict[str, int]:
        """Fixes by reason of their mark."""
        counts = np.bincount(self.reason, minlength=len(track_cleaning.REASONS)).tolist()
        return {name: n for name, n in zip(track_cleaning.REASONS, counts, strict=True) if name and n}

    @cached_property
    def recorded_s(self) -> float:
        """Seconds between fixes without a gap."""
        a, b = self.path.steps
        return float((self.track.at[b] - self.track.at[a]).sum())

    def recorded_within(self, spans: Sequence[tuple[float, float]]) -> float:
        """Of them, those in these spans."""
        a, b = self.path.steps
        return track_paths.within(self.track.at[a], self.track.at[b], spans)


def bounds(day: date) -> tuple[datetime, datetime]:
    """Begin and end of a local day."""
    return datetime.combine(day, time(), ZONE), datetime.combine(day + timedelta(days=1), time(), ZONE)


def read(tx: Connection, inspector_id: UUID, rule: TrackRule, since: datetime, until: datetime) -> Day:
    """The fixes of one person from ``since`` until before ``until``, cleaned as one track."""
    rows = tx.execute(
        select(
            position.c.device,
            position.c.seq,
            func.extract("epoch", position.c["at"]).label("at"),
            func.extract("epoch", position.c.received_at).label("received"),
            position.c.lon,
            position.c.lat,
            position.c.accuracy_m,
            position.c.crs,
            position.c.clock_s,
        ).where(position.c.inspector_id == inspector_id, position.c["at"] >= since, position.c["at"] < until)
    ).all()
    devices = tuple(sorted({row.device for row in rows}))
    number = {device: i for i, device in enumerate(devices)}
    columns: Any = list(zip(*rows, strict=True)) if rows else [[]] * 9
    device, seq, at, received, lon, lat, accuracy, systems, clocks = columns
    numbers = [number[one] for one in device]
    track = Track.of(numbers, seq, at, received, lon, lat, np.array(accuracy, np.float64))
    coarse = any(crs.startswith(COARSE) for crs in systems)
    # Cells are no fixes: what was judged before they were made coarse stands.
    reason = np.zeros(len(track), np.int8) if coarse else track_cleaning.mark(track, rule.cleaning)
    righted = Counter((one, by) for one, by in zip(device, clocks, strict=True) if by)
    return Day(track, devices, reason, track_paths.walked(track, reason, rule.path), coarse, righted)


def duty(tx: Connection, inspector_id: UUID, day: date, now: datetime) -> Duty:
    """The shifts of a person's day up to ``now``; without one, the duty grids the person's role is for."""
    begin, end = bounds(day)
    rows = tx.execute(
        select(shift.c.starts_at, shift.c.ends_at, shift.c.duty_grid_code).where(
            shift.c.staff_id == inspector_id,
            shift.c.starts_at < end,
            shift.c.ends_at > begin,
            shift.c.starts_at >= begin - _LONGEST_SHIFT,
        )
    ).all()
    spans = [(max(row.starts_at, begin).timestamp(), min(row.ends_at, end, now).timestamp()) for row in rows]
    grids = {row.duty_grid_code for row in rows if row.duty_grid_code} or set(
        tx.execute(
            select(staff_role.c.scope_code).where(
                staff_role.c.staff_id == inspector_id, staff_role.c.scope == "duty_grid"
            )
        ).scalars()
    )
    return Duty(_joined([span for span in spans if span[0] < span[1]]), frozenset(grids))


def _joined(spans: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Spans that touch or overlap as one."""
    found: list[tuple[float, float]] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return tuple(found)


#: Grids of earlier days by the present ones: another version of these makes those be read again.
_past: "WeakKeyDictionary[Areas, list[Areas]]" = WeakKeyDictionary()


def areas_on(tx: Connection, day: date) -> Areas:
    """The grids in force on a day, from the process's memory where that day's were asked for before."""
    now = areas(tx)
    readings: list[Areas] = [now, *_past.get(now, [])]
    for known in readings:
        if known.valid_from <= day and (known.valid_to is None or day < known.valid_to):
            return known
    found = Areas.load(tx, day)
    _past.setdefault(now, []).append(found)
    return found


def holes(tx: Connection, inspector_id: UUID, day: date) -> list[Hole]:
    """Numbers that a device counted before or on this day and that never came, not even on another day or too odd.

    What a device counted after its last fix of the day shows on the day it sends again.
    """
    begin, end = bounds(day)
    rows = tx.execute(
        select(position.c.device, position.c.seq).where(
            position.c.inspector_id == inspector_id,
            position.c["at"] >= begin,
            position.c["at"] < end,
            ~position.c.device.startswith(IMPORTED, autoescape=True),
            ~position.c.crs.startswith(COARSE, autoescape=True),
        )
    ).all()
    came: dict[str, list[int]] = {}
    for device, seq in rows:
        came.setdefault(device, []).append(seq)
    found = []
    for device, seqs in sorted(came.items()):
        before = tx.execute(
            select(func.max(position.c.seq)).where(
                position.c.inspector_id == inspector_id,
                position.c.device == device,
                position.c["at"] >= begin - _BEFORE,
                position.c["at"] < begin,
                position.c.seq < min(seqs),
            )
        ).scalar()
        missing = _missing(np.unique([*seqs, *([] if before is None else [before])]))
        found += [Hole(device, a, b) for hole in missing for a, b in _still(tx, inspector_id, device, hole, begin, end)]
    return found


def _missing(seqs: NDArray[np.int64]) -> list[tuple[int, int]]:
    """The runs of numbers absent between these, which ascend."""
    after = np.flatnonzero(np.diff(seqs) > 1)
    return [(int(seqs[i]) + 1, int(seqs[i + 1]) - 1) for i in after]


def _still(
    tx: Connection, inspector_id: UUID, device: str, hole: tuple[int, int], begin: datetime, end: datetime
) -> list[tuple[int, int]]:
    """What of a hole is neither a fix of a day near by nor in quarantine."""
    first, last = hole
    elsewhere = select(position.c.seq).where(
        position.c.inspector_id == inspector_id,
        position.c.device == device,
        position.c.seq.between(first, last),
        position.c["at"] >= begin - _BEFORE,
        position.c["at"] < end + _BEFORE,
    )
    seq = quarantined_seq()
    aside = select(seq).where(
        quarantine.c.kind == "position",
        quarantine.c.source == f"position/{inspector_id}/{device}",
        seq.between(first, last),
    )
    known = {*tx.execute(elsewhere).scalars(), *tx.execute(aside).scalars()}
    return _missing(np.unique([first - 1, *known, last + 1]))
