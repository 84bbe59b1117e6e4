"""Taking in fixes: a batch is checked, kept as it came, and only then acknowledged. Knows no cleaning, draws no lines.

Fixes are keyed by (inspector, device, sequence, time); what cannot be a fix goes to quarantine with its reason. A new
batch is written by one binary COPY; one that is known in part, or that the database refuses in part, by inserts that
leave out what is known and set aside what is refused. A device whose clock is off has its moments put right by what it
says the time is when it sends.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any, Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from psycopg.errors import DataError, IntegrityError
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Date,
    DateTime,
    Double,
    Integer,
    Text,
    Uuid,
    bindparam,
    cast,
    column,
    func,
    insert,
    select,
    true,
)
from sqlalchemy import case as when
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError

from gis import areas
from gis.areas import Areas
from gis.db import Connection, raw
from gis.errors import ClockOff, FixRefused, FixTime, Malformed, NotCovered, NullIsland, WrongCrs
from gis.geometry import PROBLEM, Floats, to_4490
from gis.tables import patrol_day, position, position_live, quarantine

ZONE = ZoneInfo("Asia/Shanghai")

#: A clock may run ahead of ours by this much; and a fix older than this cannot come from a phone in use.
AHEAD, OLDEST = timedelta(seconds=60), timedelta(days=400)
#: A device's clock is believed when it is off by no more than ``AHEAD``, and put right up to ``OFF_MOST``: further off
#: no secured connection comes about, so that what says so is broken. What it was put right by before stands while the
#: new finding is this near to it: the way of a batch takes its time, and a track must not shake with it.
OFF_MOST, OFF_SAME, OFF_REMEMBERED = timedelta(days=30), timedelta(seconds=30), timedelta(days=2)
#: Off by less than this, a batch has nothing to do with a wrong clock even when it was long on its way.
OFF_NOTHING = timedelta(seconds=20)
#: Days this young get a partition of their own when the first fix arrives; older stragglers share the default one.
OWN_PARTITION = timedelta(days=14)

_MICRO: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_2000: Final = 946_684_800 * _MICRO


#: Who waits for somebody's lock must not make others wait for longer.
HURRY: Final = "300ms"


class NotPlain(Exception):
    """Some fix of a batch thought new is known, or refused by the table: the transaction is lost, the batch is not."""


class Fix(NamedTuple):
    """One position as a device sent it; x, y are longitude, latitude or east, north of the batch's system."""

    seq: int
    at: datetime
    x: float
    y: float
    accuracy_m: float | None = None


class Ack(NamedTuple):
    """What a device may forget: everything up to ``acked_seq`` of this batch is kept, in the track or in quarantine."""

    acked_seq: int
    accepted: int
    duplicates: int
    quarantined: int
    #: Seconds added to the moments of the batch, because the device's clock was behind (below 0: ahead).
    clock_s: int = 0


@dataclass(frozen=True)
class Batch:
    """Fixes by column: ``at`` in microseconds since 1970 UTC, ``accuracy`` in metres or NaN where none was told."""

    seq: NDArray[np.int64]
    at: NDArray[np.int64]
    x: Floats
    y: Floats
    accuracy: Floats

    @classmethod
    def of(cls, fixes: Sequence[Fix]) -> "Batch":
        """Raises ``Malformed`` for no fixes, and for a sequence or time out of range."""
        if not fixes or any(not 0 <= fix.seq < 1 << 63 or fix.at.tzinfo is None for fix in fixes):
            raise Malformed(field="fixes")
        return cls(
            np.array([fix.seq for fix in fixes], np.int64),
            np.array([micros(fix.at) for fix in fixes], np.int64),
            np.array([fix.x for fix in fixes], np.float64),
            np.array([fix.y for fix in fixes], np.float64),
            np.array([np.nan if fix.accuracy_m is None else fix.accuracy_m for fix in fixes], np.float64),
        )

    def part(self, chosen: NDArray[Any] | slice) -> "Batch":
        """Some of the fixes."""
        return Batch(self.seq[chosen], self.at[chosen], self.x[chosen], self.y[chosen], self.accuracy[chosen])


def micros(at: datetime) -> int:
    """Microseconds since 1970 UTC."""
    return round(at.timestamp() * _MICRO)


def moment(at: int) -> datetime:
    """The time of so many microseconds since 1970 UTC."""
    return _EPOCH + timedelta(microseconds=at)


class Sent(NamedTuple):
    """A batch as a device sent it, in the system ``crs``.

    ``sent_at`` is what the clock that dated the fixes said when the batch, which came at ``came``, was sent.
    """

    inspector_id: UUID
    device: str
    crs: str
    batch: Batch
    came: datetime
    sent_at: datetime | None = None

    @property
    def source(self) -> str:
        """The sender's name in the quarantine."""
        return f"position/{self.inspector_id}/{self.device}"

    @property
    def off(self) -> timedelta:
        """How far the device's clock is behind, by what it says itself."""
        return timedelta(0) if self.sent_at is None else self.came - self.sent_at

    @property
    def doubtful(self) -> bool:
        """Whether the moments may have to be put right: only what is stored already can tell."""
        return OFF_NOTHING < abs(self.off) <= OFF_MOST


def record(
    tx: Connection,
    inspector_id: UUID,
    device: str,
    crs: str,
    fixes: Sequence[Fix],
    now: datetime | None = None,
    sent_at: datetime | None = None,
) -> Ack:
    """Takes in fixes. Sending a batch again changes nothing. Raises as ``Batch.of`` and ``judge``."""
    return take(tx, Sent(inspector_id, device, crs, Batch.of(fixes), now or datetime.now(UTC), sent_at))


def take(tx: Connection, sent: Sent) -> Ack:
    """Takes in a batch, known or not, and stores it in EPSG:4490. Raises as ``judge``.

    Whatever else is wrong with a fix puts that fix into quarantine with its reason.
    """
    clock_s, known = _put_right(tx, sent) if sent.doubtful else (0, None)
    found = judge(sent, clock_s)
    if known is not None:
        found = found.without(known)
    accepted, refused = 0, np.zeros(found.lon.size, np.bool_)
    if found.lon.size:
        here = _begin(tx, found.days, sent.came)
        accepted = _insert(tx, found, refused)
        if not refused.all():
            _move(tx, here, [found.part(~refused)], marked=accepted > 0)
    if refused.any():
        found.fault[np.flatnonzero(found.stands)[refused]] = _CODES.index(FixRefused.code)
    return _finish(tx, found, accepted)


def take_new(tx: Connection, found: Sequence["Judged"]) -> list[Ack]:
    """Takes in batches that are thought new and whose clocks are not doubtful, in one go.

    Raises ``NotPlain`` where they are not what they were thought, and soon where something is locked: both must end the
    transaction. ``take`` each then.
    """
    standing = [one for one in found if one.lon.size]
    if standing:
        days = sorted({day for one in standing for day in one.days})
        here = _begin(tx, days, max(one.sent.came for one in standing), lock_timeout=HURRY)
        _copy(tx, standing)
        _move(tx, here, standing, marked=True)
    return [_finish(tx, one, one.lon.size) for one in found]


def _finish(tx: Connection, found: "Judged", accepted: int) -> Ack:
    bad = found.fault != 0
    if bad.any():
        _keep_aside(tx, found)
    count = int(bad.sum())
    duplicates = int(bad.size) - count - accepted
    return Ack(int(found.sent.batch.seq.max()), accepted, duplicates, count, found.clock_s)


@dataclass(frozen=True)
class Judged:
    """What becomes of a batch before the database is asked.

    ``fault``: for every fix of the batch its place in ``_CODES``, 0 where it can stand; ``stands``: which of them are
    to be written. Those are ``fixes``, their moments put right, at ``lon``, ``lat`` in EPSG:4490.
    """

    sent: Sent
    clock_s: int
    fault: NDArray[np.int8]
    stands: NDArray[np.bool_]
    fixes: Batch
    lon: Floats
    lat: Floats

    @cached_property
    def days(self) -> list[date]:
        """The local days of the fixes to be written."""
        return _days(self.fixes.at)

    def part(self, chosen: NDArray[np.bool_] | slice) -> "Judged":
        """Some of the fixes to be written."""
        return replace(self, fixes=self.fixes.part(chosen), lon=self.lon[chosen], lat=self.lat[chosen])

    def without(self, known: NDArray[np.bool_]) -> "Judged":
        """Without the fixes of the batch that are stored already."""
        return replace(self.part(~known[self.stands]), stands=self.stands & ~known)


def judge(sent: Sent, clock_s: int = 0) -> Judged:
    """What can stand of a batch whose clock is put right by so many seconds.

    Raises ``UnknownCrs``, ``Malformed`` without a device.
    """
    if not sent.device or "\0" in sent.device:
        raise Malformed(field="device")
    batch = sent.batch
    righted = batch if not clock_s else replace(batch, at=batch.at + clock_s * _MICRO)
    lon, lat = to_4490(batch.x, batch.y, sent.crs)
    fault = _faults(righted, lon, lat, sent.came)
    if abs(sent.off) > OFF_MOST:
        fault[fault == 0] = _CODES.index(ClockOff.code)
    stands = fault == 0
    if stands.all():
        return Judged(sent, clock_s, fault, stands, righted, lon, lat)
    return Judged(sent, clock_s, fault, stands, righted.part(stands), lon[stands], lat[stands])


def put_right_by(off: timedelta, before: int) -> int:
    """Seconds to add to moments of a clock found ``off``, when ``before`` were added to those of the batch before."""
    if before and abs(off - timedelta(seconds=before)) <= OFF_SAME:
        return before
    return round(off.total_seconds()) if abs(off) > AHEAD else 0


def _put_right(tx: Connection, sent: Sent) -> tuple[int, NDArray[np.bool_]]:
    """What the sender's clock is put right by, in seconds, and which fixes are known already.

    A batch sent again was another time on its way, so that its moments may be put right by another second: its fixes
    are known by the device's own moments. One batch of a device at a time, or two of the same would not see each other.
    """
    tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(sent.source, 0))))
    at, seq, batch = position.c["at"], position.c.seq, sent.batch
    whose = (position.c.inspector_id == sent.inspector_id, position.c.device == sent.device)
    told = np.clip(batch.at, micros(sent.came - OLDEST), micros(sent.came + OFF_MOST))
    reach = abs(sent.off) + 2 * AHEAD
    rows = tx.execute(
        select(seq, at, position.c.clock_s).where(
            *whose,
            seq.in_(batch.seq.tolist()),
            at.between(moment(int(told.min())) - reach, moment(int(told.max())) + reach),
        )
    )
    stood = {(row.seq, micros(row.at) - (row.clock_s or 0) * _MICRO) for row in rows}
    known = np.array([one in stood for one in zip(batch.seq.tolist(), batch.at.tolist(), strict=True)], np.bool_)
    before = tx.scalar(
        select(position.c.clock_s)
        .where(*whose, seq <= int(batch.seq.max()), at.between(sent.came - OFF_REMEMBERED, sent.came + AHEAD))
        .order_by(seq.desc())
        .limit(1)
    )
    return put_right_by(sent.off, before or 0), known


_CODES: Final = (
    *("", NullIsland.code, WrongCrs.code, FixTime.code, Malformed.code),
    *(ClockOff.code, FixRefused.code),
)


def _faults(batch: Batch, lon: Floats, lat: Floats, now: datetime) -> NDArray[np.int8]:
    """For every fix the place in ``_CODES`` of what is wrong with it, 0 when it can stand; the first fault counts."""
    x, y = batch.x, batch.y
    nowhere = ~np.isfinite(x) | ~np.isfinite(y) | ((x == 0) & (y == 0))
    misread = ~np.isfinite(lon) | ~np.isfinite(lat)
    untimely = (batch.at < micros(now - OLDEST)) | (batch.at > micros(now + AHEAD))
    vague = ~np.isnan(batch.accuracy) & ~((batch.accuracy >= 0) & (batch.accuracy < 1e6))
    return np.select([nowhere, misread, untimely, vague], [1, 2, 3, 4], 0).astype(np.int8)


def _days(at: NDArray[np.int64]) -> list[date]:
    """The local days of some moments, in order: a day is looked up once, not once a fix."""
    first, last = moment(int(at.min())).astimezone(ZONE).date(), moment(int(at.max())).astimezone(ZONE).date()
    if first == last:
        return [first]
    return sorted({moment(value).astimezone(ZONE).date() for value in at.tolist()})


# --- Writing ----------------------------------------------------------------------------------------------------

_COLUMNS: Final = ("inspector_id", "device", "crs", "seq", "at", "lon", "lat", "accuracy_m")
_COPY: Final = f"COPY position ({', '.join(_COLUMNS)}) FROM STDIN (FORMAT BINARY)"
_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)


def _copy(tx: Connection, found: Sequence[Judged]) -> None:
    told = [~np.isnan(one.fixes.accuracy) for one in found]
    parts = [one.part(some) for one, has in zip(found, told, strict=True) for some in (has, ~has) if some.any()]
    try:
        with raw(tx).cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.write(b"".join((_HEAD, *map(_rows, parts), b"\xff\xff")))
    except (IntegrityError, DataError) as error:
        raise NotPlain from error


def _rows(found: Judged) -> bytes:
    """Rows of PostgreSQL's binary COPY: all are of one length, so that they are one array of records.

    Either every fix tells its accuracy or none does: no value is a length of -1.
    """
    sent, batch = found.sent, found.fixes
    told = not np.isnan(batch.accuracy[0])
    words = {
        "inspector_id": sent.inspector_id.bytes,
        "device": sent.device.encode(),
        "crs": sent.crs.encode(),
    }
    numbers = {
        "seq": batch.seq,
        "at": batch.at - _EPOCH_2000,
        "lon": found.lon,
        "lat": found.lat,
        "accuracy_m": batch.accuracy,
    }
    shape: list[tuple[str, str]] = [("fields", ">i2")]
    for name in _COLUMNS:
        kind = f"S{len(words[name])}" if name in words else ">i8" if name in ("seq", "at") else ">f8"
        shape += [(f"{name}_bytes", ">i4"), (name, kind)]
    table = np.zeros(batch.seq.size, np.dtype(shape if told else shape[:-1]))
    table["fields"] = len(_COLUMNS)
    for name, word in words.items():
        table[f"{name}_bytes"], table[name] = len(word), word
    for name, values in numbers.items():
        if name == "accuracy_m" and not told:
            table["accuracy_m_bytes"] = -1
        else:
            table[f"{name}_bytes"], table[name] = 8, values
    return table.tobytes()


_batch = (
    func.unnest(
        bindparam("seqs", type_=ARRAY(BigInteger)),
        bindparam("times", type_=ARRAY(DateTime(timezone=True))),
        bindparam("lons", type_=ARRAY(Double)),
        bindparam("lats", type_=ARRAY(Double)),
        bindparam("accuracies", type_=ARRAY(Double)),
    )
    .table_valued("seq", "at", "lon", "lat", "accuracy_m", name="batch")
    .render_derived()
)

_INSERT = (
    upsert(position)
    .from_select(
        ["inspector_id", "device", "crs", "clock_s", "seq", "at", "lon", "lat", "accuracy_m"],
        select(
            bindparam("inspector_id", type_=Uuid),
            bindparam("device", type_=position.c.device.type),
            bindparam("crs", type_=position.c.crs.type),
            bindparam("clock_s", type_=Integer),
            *(_batch.c[name] for name in ("seq", "at", "lon", "lat", "accuracy_m")),
        ),
    )
    .on_conflict_do_nothing()
    .execution_options(preserve_rowcount=True)
)


def _insert(tx: Connection, found: Judged, refused: NDArray[np.bool_]) -> int:
    """Writes what is not known and returns how many that were; marks in ``refused`` what the table does not take."""
    batch = found.fixes
    given = {
        "inspector_id": found.sent.inspector_id,
        "device": found.sent.device,
        "crs": found.sent.crs,
        "clock_s": found.clock_s or None,
        "seqs": batch.seq.tolist(),
        "times": [moment(at) for at in batch.at.tolist()],
        "lons": found.lon.tolist(),
        "lats": found.lat.tolist(),
        "accuracies": [None if np.isnan(one) else one for one in batch.accuracy.tolist()],
    }
    try:
        with tx.begin_nested():
            return int(tx.execute(_INSERT, given).rowcount)
    except DBAPIError as error:
        if not isinstance(error.orig, (IntegrityError, DataError)):
            raise
    if batch.seq.size == 1:
        refused[0] = True
        return 0
    # Halves, until what is refused stands alone: most of a batch is never at fault.
    half = batch.seq.size // 2
    parts = (slice(None, half), slice(half, None))
    return sum(_insert(tx, found.part(one), refused[one]) for one in parts)


_young = func.unnest(bindparam("young", type_=ARRAY(Date))).column_valued("day")
_LOCK_TIMEOUT = func.current_setting("lock_timeout")
#: One round trip, as every batch needs them all.
_BEGIN = select(
    *areas.VERSION,
    select(func.count(func.ensure_position_partition(_young))).scalar_subquery(),
    func.set_config("lock_timeout", func.coalesce(bindparam("lock_timeout", type_=Text), _LOCK_TIMEOUT), true()),
)


def _begin(tx: Connection, days: Sequence[date], now: datetime, lock_timeout: str | None = None) -> Areas:
    """The areas in force, after the young ones of these days got a partition of their own."""
    oldest = (now - OWN_PARTITION).astimezone(ZONE).date()
    young = [day for day in days if day >= oldest]
    asked = tx.execute(_BEGIN, {"young": young, "lock_timeout": lock_timeout}).first()
    return areas.areas(tx, areas.version_of(asked))


_PLACE: Final = ("unit_grid_code", "duty_grid_code", "village_code")
_NEWEST: Final = ("at", "lon", "lat", "accuracy_m", *_PLACE)
_STANDS: Final = ("inspector_id", *_NEWEST)
_stands = (
    func.unnest(*(bindparam(f"{name}s", type_=ARRAY(position_live.c[name].type)) for name in _STANDS))
    .table_valued(*(column(name, position_live.c[name].type) for name in _STANDS), name="stands")
    .render_derived()
)
# In one order, of people and of days: two transactions cannot wait for each other.
_newer = upsert(position_live).from_select(
    _STANDS, select(*(_stands.c[name] for name in _STANDS)).order_by(_stands.c.inspector_id)
)
_moved = _newer.on_conflict_do_update(
    index_elements=["inspector_id"],
    set_={name: _newer.excluded[name] for name in _NEWEST},
    where=position_live.c["at"] < _newer.excluded["at"],
)
_walked = (
    func.unnest(bindparam("walkers", type_=ARRAY(Uuid)), bindparam("days", type_=ARRAY(Date)))
    .table_valued(column("inspector_id", Uuid), column("day", Date), name="walked")
    .render_derived()
)
_fresh = upsert(patrol_day).from_select(
    ["inspector_id", "day", "stale"],
    select(_walked.c.inspector_id, _walked.c.day, true()).order_by(_walked.c.inspector_id, _walked.c.day),
)
#: Two in one statement, as every batch needs both. What is worked out of a day is out of date. What came after the day
#: was coarsened can only be counted.
_MOVE = _fresh.on_conflict_do_update(
    index_elements=["inspector_id", "day"],
    set_={
        "stale": patrol_day.c.coarse_at.is_(None),
        "late": patrol_day.c.late + when((patrol_day.c.coarse_at.is_(None), 0), else_=1),
    },
    where=~patrol_day.c.stale,
).add_cte(_moved.cte("moved"))


def _place(here: Areas, lon: float, lat: float) -> tuple[str | None, ...]:
    try:
        place = here.at(lon, lat)
    except (NotCovered, *PROBLEM.values()):  # on the way to work, or just over the boundary
        return (None, None, None)
    return place.unit_grid_code, place.duty_grid_code, place.village_code


def _move(tx: Connection, here: Areas, found: Sequence[Judged], *, marked: bool) -> None:
    """Moves the live positions, unless newer fixes already did, and marks the days to be worked out anew."""
    newest: dict[UUID, tuple[int, Judged, int]] = {}
    for one in found:
        last = int(one.fixes.at.argmax())
        at, who = int(one.fixes.at[last]), one.sent.inspector_id
        if who not in newest or at > newest[who][0]:
            newest[who] = at, one, last
    rows = []
    for who, (at, one, last) in newest.items():
        lon, lat, accuracy = float(one.lon[last]), float(one.lat[last]), float(one.fixes.accuracy[last])
        told = None if np.isnan(accuracy) else accuracy
        rows.append((who, moment(at), lon, lat, told, *_place(here, lon, lat)))
    walked = sorted({(one.sent.inspector_id, day) for one in found for day in one.days}) if marked else []
    given = {f"{name}s": list(values) for name, values in zip(_STANDS, zip(*rows, strict=True), strict=True)}
    tx.execute(_MOVE, given | {"walkers": [who for who, _ in walked], "days": [day for _, day in walked]})


def _keep_aside(tx: Connection, found: Judged) -> None:
    """Puts what cannot stand into quarantine as it came, each fix once however often the device sends it."""
    faulty = found.fault != 0
    bad, codes = found.sent.batch.part(faulty), [_CODES[fault] for fault in found.fault[faulty].tolist()]
    sent_at = found.sent.sent_at
    number = quarantined_seq()
    known = {
        (seq, code)
        for seq, code in tx.execute(
            select(number, quarantine.c.code).where(
                quarantine.c.kind == "position",
                quarantine.c.source == found.sent.source,
                number.in_(bad.seq.tolist()),
            )
        )
    }
    columns = (bad.seq.tolist(), bad.at.tolist(), bad.x.tolist(), bad.y.tolist(), bad.accuracy.tolist(), codes)
    rows = [
        {
            "source": found.sent.source,
            "kind": "position",
            "code": code,
            "reason": code,
            "payload": {
                "seq": seq,
                "at": _told(at),
                "x": _json(x),
                "y": _json(y),
                "accuracy_m": None if np.isnan(accuracy) else _json(accuracy),
                "crs": found.sent.crs,
                "sent_at": None if sent_at is None else sent_at.isoformat(),
            },
        }
        for seq, at, x, y, accuracy, code in zip(*columns, strict=True)
        if (seq, code) not in known
    ]
    if rows:
        tx.execute(insert(quarantine), rows)


def quarantined_seq() -> ColumnElement[int]:
    """The device's number of a fix in quarantine."""
    return cast(quarantine.c.payload["seq"].as_string(), BigInteger)


def _told(at: int) -> str:
    """A moment in words, also one that no calendar of ours has: east of Greenwich the year 1 begins in the year 0."""
    try:
        return moment(at).isoformat()
    except (ValueError, OverflowError):
        return f"{np.datetime64(at, 'us')}Z"


def _json(value: float) -> float | str:
    """JSON has no NaN and no infinity: those are kept as words."""
    return value if np.isfinite(value) else str(value)
