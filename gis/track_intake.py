"""Taking in fixes: a batch is checked, kept as it came, and only then acknowledged. Knows no cleaning, draws no lines.

Fixes are keyed by (inspector, device, sequence, time); what cannot be a fix goes to quarantine with its reason. A new
batch is written by one binary COPY; one that is known in part, by an insert that leaves out what is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from psycopg.errors import UniqueViolation
from sqlalchemy import ARRAY, BigInteger, DateTime, Double, Uuid, bindparam, func, insert, select, true
from sqlalchemy import case as when
from sqlalchemy.dialects.postgresql import insert as upsert

from gis.areas import areas
from gis.db import Connection, raw
from gis.errors import FixTime, Malformed, NotCovered, NullIsland, WrongCrs
from gis.geometry import PROBLEM, Floats, to_4490
from gis.tables import patrol_day, position, position_live, quarantine

ZONE = ZoneInfo("Asia/Shanghai")

#: A clock may run ahead of ours by this much; and a fix older than this cannot come from a phone in use.
AHEAD, OLDEST = timedelta(seconds=60), timedelta(days=400)
#: Days this young get a partition of their own when the first fix arrives; older stragglers share the default one.
OWN_PARTITION = timedelta(days=14)

_MICRO: Final = 1_000_000
_EPOCH_2000: Final = 946_684_800 * _MICRO


class AlreadyKnown(Exception):
    """Some fix of a batch thought new is in the table: the transaction is lost, the batch is not."""


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

    def part(self, chosen: NDArray[Any]) -> "Batch":
        """Some of the fixes."""
        return Batch(self.seq[chosen], self.at[chosen], self.x[chosen], self.y[chosen], self.accuracy[chosen])


def micros(at: datetime) -> int:
    """Microseconds since 1970 UTC."""
    return round(at.timestamp() * _MICRO)


def moment(at: int) -> datetime:
    """The time of so many microseconds since 1970 UTC."""
    return datetime.fromtimestamp(at / _MICRO, UTC)


def record(
    tx: Connection, inspector_id: UUID, device: str, crs: str, fixes: Sequence[Fix], now: datetime | None = None
) -> Ack:
    """Takes in fixes, known ones or not. Sending a batch again changes nothing. Raises as ``Batch.of`` and ``take``."""
    return take(tx, inspector_id, device, crs, Batch.of(fixes), now, fresh=False)


def take(
    tx: Connection,
    inspector_id: UUID,
    device: str,
    crs: str,
    batch: Batch,
    now: datetime | None = None,
    *,
    fresh: bool,
) -> Ack:
    """Takes in a batch in the system ``crs``, stores it in EPSG:4490.

    ``fresh``: the batch is thought new; ``AlreadyKnown`` is raised when it is not, and must end the transaction: send
    the batch here again in another one, not fresh. Raises ``UnknownCrs``, ``Malformed`` without a device; whatever else
    is wrong with a fix puts that fix into quarantine with its reason.
    """
    if not device or "\0" in device:
        raise Malformed(field="device")
    lon, lat = to_4490(batch.x, batch.y, crs)
    fault = _faults(batch, lon, lat, now or datetime.now(UTC))
    good = fault == 0
    fixes, lon, lat = (batch, lon, lat) if good.all() else (batch.part(good), lon[good], lat[good])
    accepted = 0
    if lon.size:
        days = _days(fixes.at)
        _ensure_days(tx, days, now or datetime.now(UTC))
        keep = _copy if fresh else _insert
        accepted = keep(tx, inspector_id, device, crs, fixes, lon, lat)
        newest = int(fixes.at.argmax())
        _move(tx, inspector_id, fixes, newest, float(lon[newest]), float(lat[newest]))
        if accepted:
            _mark(tx, inspector_id, days)
    bad = int((~good).sum())
    if bad:
        _keep_aside(tx, f"position/{inspector_id}/{device}", crs, batch.part(~good), fault[~good])
    return Ack(int(batch.seq.max()), accepted, int(lon.size) - accepted, bad)


_CODES: Final = ("", NullIsland.code, WrongCrs.code, FixTime.code, Malformed.code)


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


def _copy(tx: Connection, inspector_id: UUID, device: str, crs: str, batch: Batch, lon: Floats, lat: Floats) -> int:
    told = ~np.isnan(batch.accuracy)
    rows = _HEAD
    for chosen in (told, ~told):
        if chosen.any():
            rows += _rows(inspector_id, device, crs, batch.part(chosen), lon[chosen], lat[chosen])
    try:
        with raw(tx).cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.write(rows + b"\xff\xff")
    except UniqueViolation as error:
        raise AlreadyKnown from error
    return int(batch.seq.size)


def _rows(inspector_id: UUID, device: str, crs: str, batch: Batch, lon: Floats, lat: Floats) -> bytes:
    """Rows of PostgreSQL's binary COPY: all are of one length, so that they are one array of records.

    Either every fix of the batch tells its accuracy or none does: no value is a length of -1.
    """
    told = not np.isnan(batch.accuracy[0])
    words = {"inspector_id": inspector_id.bytes, "device": device.encode(), "crs": crs.encode()}
    numbers = {"seq": batch.seq, "at": batch.at - _EPOCH_2000, "lon": lon, "lat": lat, "accuracy_m": batch.accuracy}
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
        ["inspector_id", "device", "crs", "seq", "at", "lon", "lat", "accuracy_m"],
        select(
            bindparam("inspector_id", type_=Uuid),
            bindparam("device", type_=position.c.device.type),
            bindparam("crs", type_=position.c.crs.type),
            *(_batch.c[name] for name in ("seq", "at", "lon", "lat", "accuracy_m")),
        ),
    )
    .on_conflict_do_nothing()
    .execution_options(preserve_rowcount=True)
)


def _insert(tx: Connection, inspector_id: UUID, device: str, crs: str, batch: Batch, lon: Floats, lat: Floats) -> int:
    given = {
        "inspector_id": inspector_id,
        "device": device,
        "crs": crs,
        "seqs": batch.seq.tolist(),
        "times": [moment(at) for at in batch.at.tolist()],
        "lons": lon.tolist(),
        "lats": lat.tolist(),
        "accuracies": [None if np.isnan(one) else one for one in batch.accuracy.tolist()],
    }
    return int(tx.execute(_INSERT, given).rowcount)


def _ensure_days(tx: Connection, days: Sequence[date], now: datetime) -> None:
    oldest = (now - OWN_PARTITION).astimezone(ZONE).date()
    for day in days:
        if day >= oldest:
            tx.execute(select(func.ensure_position_partition(day)))


_PLACE: Final = ("unit_grid_code", "duty_grid_code", "village_code")
_newer = upsert(position_live)
_MOVE = _newer.on_conflict_do_update(
    index_elements=["inspector_id"],
    set_={name: _newer.excluded[name] for name in ("at", "lon", "lat", "accuracy_m", *_PLACE)},
    where=position_live.c["at"] < _newer.excluded["at"],
)


def _move(tx: Connection, inspector_id: UUID, batch: Batch, newest: int, lon: float, lat: float) -> None:
    """Moves the live position, unless a newer fix already did."""
    codes: tuple[str | None, ...] = (None, None, None)
    try:
        place = areas(tx).at(lon, lat)
        codes = (place.unit_grid_code, place.duty_grid_code, place.village_code)
    except (NotCovered, *PROBLEM.values()):  # on the way to work, or just over the boundary
        pass
    accuracy = float(batch.accuracy[newest])
    row = {
        "inspector_id": inspector_id,
        "at": moment(int(batch.at[newest])),
        "lon": lon,
        "lat": lat,
        "accuracy_m": None if np.isnan(accuracy) else accuracy,
        **dict(zip(_PLACE, codes, strict=True)),
    }
    tx.execute(_MOVE, row)


_fresh = upsert(patrol_day).values(stale=true())
#: What is worked out of a day is out of date. What came after the day was coarsened can only be counted.
_MARK = _fresh.on_conflict_do_update(
    index_elements=["inspector_id", "day"],
    set_={
        "stale": patrol_day.c.coarse_at.is_(None),
        "late": patrol_day.c.late + when((patrol_day.c.coarse_at.is_(None), 0), else_=1),
    },
    where=~patrol_day.c.stale,
)


def _mark(tx: Connection, inspector_id: UUID, days: Sequence[date]) -> None:
    for day in days:  # in order of days: two batches of one person cannot wait for each other
        tx.execute(_MARK, {"inspector_id": inspector_id, "day": day})


def _keep_aside(tx: Connection, source: str, crs: str, bad: Batch, faults: NDArray[np.int8]) -> None:
    """Puts fixes into quarantine, each once however often the device sends it."""
    codes = [_CODES[fault] for fault in faults.tolist()]
    known = {
        (seq, code)
        for seq, code in tx.execute(
            select(quarantine.c.payload["seq"].as_integer(), quarantine.c.code).where(
                quarantine.c.kind == "position",
                quarantine.c.source == source,
                quarantine.c.payload["seq"].as_integer().in_(bad.seq.tolist()),
            )
        )
    }
    columns = (bad.seq.tolist(), bad.at.tolist(), bad.x.tolist(), bad.y.tolist(), bad.accuracy.tolist(), codes)
    rows = [
        {
            "source": source,
            "kind": "position",
            "code": code,
            "reason": code,
            "payload": {
                "seq": seq,
                "at": moment(at).isoformat(),
                "x": _json(x),
                "y": _json(y),
                "accuracy_m": None if np.isnan(accuracy) else _json(accuracy),
                "crs": crs,
            },
        }
        for seq, at, x, y, accuracy, code in zip(*columns, strict=True)
        if (seq, code) not in known
    ]
    if rows:
        tx.execute(insert(quarantine), rows)


def _json(value: float) -> float | str:
    """JSON has no NaN and no infinity: those are kept as words."""
    return value if np.isfinite(value) else str(value)
