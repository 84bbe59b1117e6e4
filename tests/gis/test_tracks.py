"""Tracks: nothing acknowledged is lost or doubled, nothing newer is overwritten, nothing odd is thrown away."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, func, insert, select, text

from gis import areas, track_intake, tracks
from gis.db import transaction
from gis.errors import Malformed, OutsideTown, UnknownCrs
from gis.geometry import from_4490
from gis.people import Scope
from gis.tables import department, position, position_live, quarantine, staff
from gis.track_intake import Ack, Fix
from tests.conftest import Database

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
ONE, TWO = UUID(int=1), UUID(int=2)
LON, LAT = 116.65, 40.11
EVERYTHING = Scope(everything=True)


class Town:
    """Two grids side by side, and nothing south of 40° N."""

    def at(self, lon: float, lat: float) -> SimpleNamespace:
        if lat < 40:
            raise OutsideTown(lon=lon, lat=lat)
        side = "W" if lon < LON else "E"
        return SimpleNamespace(village_code=f"V{side}", unit_grid_code=f"U{side}", duty_grid_code=f"G{side}")


@pytest.fixture(autouse=True)
def town(tx: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(areas, "areas", lambda tx, version: Town())
    tx.execute(insert(department).values([{"code": c, "name": c, "kind": "company"} for c in ("T01", "T02")]))
    tx.execute(
        insert(staff).values(
            [
                {"id": ONE, "username": "one", "name": "甲", "department_code": "T01"},
                {"id": TWO, "username": "two", "name": "乙", "department_code": "T02"},
            ]
        )
    )


def fix(seq: int, seconds: float = 0.0, lon: float = LON, lat: float = LAT) -> Fix:
    return Fix(seq, NOW + timedelta(seconds=seconds), lon, lat, 8.0)


def record(tx: Connection, *fixes: Fix, who: UUID = ONE, crs: str = "EPSG:4490") -> Ack:
    return track_intake.record(tx, who, "phone", crs, fixes, NOW)


def test_a_batch_sent_twice_is_stored_once(tx: Connection) -> None:
    batch = [fix(n, n) for n in range(1, 6)]
    assert record(tx, *batch) == Ack(5, accepted=5, duplicates=0, quarantined=0)
    assert record(tx, *batch, fix(6, 6)) == Ack(6, accepted=1, duplicates=5, quarantined=0)
    assert record(tx, fix(7, 7), fix(7, 7)) == Ack(7, accepted=1, duplicates=1, quarantined=0)
    assert tx.scalars(select(position.c.seq).order_by(position.c.seq)).all() == [1, 2, 3, 4, 5, 6, 7]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=8, unique=True), min_size=1, max_size=8))
def test_any_order_and_overlap_keeps_every_fix_and_the_newest_place(tx: Connection, batches: list[list[int]]) -> None:
    """Fix n was made n minutes before now, n steps to the west."""
    savepoint = tx.begin_nested()
    seen: set[int] = set()
    for batch in batches:
        ack = record(tx, *(fix(n, -60 * n, lon=LON - n * 1e-4) for n in batch))
        assert (ack.acked_seq, ack.accepted) == (max(batch), len(set(batch) - seen))
        seen |= set(batch)
    assert set(tx.scalars(select(position.c.seq))) == seen
    last = tx.execute(select(position_live)).one()
    assert last.at == NOW - timedelta(minutes=min(seen))
    assert last.lon == pytest.approx(LON - min(seen) * 1e-4)
    savepoint.rollback()


def test_what_cannot_be_a_fix_is_kept_aside_once(tx: Connection) -> None:
    batch = [
        fix(1),
        fix(2, 61),
        fix(3, lon=float("nan")),
        fix(4, lon=0.0, lat=0.0),
        fix(5, lon=LAT, lat=LON),
        fix(6, lat=float("inf")),
        fix(7, seconds=-86400 * 500),
        fix(8, 60),
        fix(9)._replace(accuracy_m=-1.0),
    ]
    assert record(tx, *batch) == Ack(9, accepted=2, duplicates=0, quarantined=7)
    assert record(tx, *batch) == Ack(9, accepted=0, duplicates=2, quarantined=7)
    aside = tx.execute(select(quarantine.c.payload["seq"].as_integer(), quarantine.c.code).order_by(quarantine.c.id))
    assert [tuple(r) for r in aside] == [
        (2, "fix_time"),
        (3, "null_island"),
        (4, "null_island"),
        (5, "wrong_crs"),
        (6, "null_island"),
        (7, "fix_time"),
        (9, "malformed"),
    ]


def test_every_fix_of_a_hopeless_batch_is_acknowledged(tx: Connection) -> None:
    assert record(tx, fix(3, 3600)) == Ack(3, accepted=0, duplicates=0, quarantined=1)
    assert tx.scalar(select(func.count()).select_from(position_live)) == 0


def sent(tx: Connection, behind: timedelta, seqs: range, way: float = 0.0) -> Ack:
    """A batch of a phone whose clock is ``behind``: fix n is of n seconds ago, ``way`` seconds under way."""
    fixes = [fix(n, -n)._replace(at=NOW - timedelta(seconds=n) - behind) for n in seqs]
    now = NOW + timedelta(seconds=way)
    return track_intake.record(tx, ONE, "phone", "EPSG:4490", fixes, now, NOW - behind)


@pytest.mark.parametrize(
    "behind", [timedelta(minutes=5), timedelta(hours=3), -timedelta(hours=8), -timedelta(minutes=2), timedelta(days=29)]
)
def test_a_clock_that_is_off_neither_shifts_nor_loses_a_fix(tx: Connection, behind: timedelta) -> None:
    seconds = int(behind.total_seconds())
    assert sent(tx, behind, range(1, 5)) == Ack(4, accepted=4, duplicates=0, quarantined=0, clock_s=seconds)
    # Sent again over a slower way, and one more; the next batch is put right by the same, not by its own way.
    assert sent(tx, behind, range(1, 6), way=9)[1:3] == (1, 4)
    assert sent(tx, behind, range(6, 8), way=20).clock_s == seconds
    rows = tx.execute(select(position.c.seq, position.c["at"], position.c.clock_s).order_by(position.c.seq)).all()
    assert [row.seq for row in rows] == list(range(1, 8))
    for seq, at, clock_s in rows:
        assert abs(at - (NOW - timedelta(seconds=seq))) <= timedelta(seconds=9)
        assert abs(at - timedelta(seconds=clock_s) - (NOW - timedelta(seconds=seq) - behind)) == timedelta(0)
    assert tx.scalar(select(func.count()).select_from(quarantine)) == 0


def test_a_clock_within_the_noise_is_left_alone(tx: Connection) -> None:
    for behind in (0, 15, 45, -59):
        assert sent(tx, timedelta(seconds=behind), range(1, 3)).clock_s == 0
    assert set(tx.scalars(select(position.c.clock_s))) == {None}


def test_a_clock_further_off_than_any_connection_allows_sets_the_batch_aside(tx: Connection) -> None:
    ack = sent(tx, timedelta(days=31), range(1, 4))
    assert ack == Ack(3, accepted=0, duplicates=0, quarantined=3)
    assert sent(tx, timedelta(days=31), range(1, 4)) == ack
    kept = tx.execute(select(quarantine.c.code, quarantine.c.payload)).all()
    assert [row.code for row in kept] == ["clock_off"] * 3
    assert kept[0].payload["sent_at"] == (NOW - timedelta(days=31)).isoformat()


def test_numbers_as_large_as_a_device_counts_are_set_aside_and_known_again(tx: Connection) -> None:
    largest = fix((1 << 63) - 1, lon=float("nan"))
    assert [record(tx, largest, fix(1)) for _ in range(2)][1] == Ack(largest.seq, 0, 1, 1)
    assert tx.scalar(select(func.count()).select_from(quarantine)) == 1


@pytest.mark.parametrize("crs", ["GCJ-02", "BD-09", "EPSG:4548"])
def test_a_declared_system_is_converted_and_remembered(tx: Connection, crs: str) -> None:
    x, y = from_4490(LON, LAT, crs)
    record(tx, fix(1, lon=x, lat=y), crs=crs)
    kept = tx.execute(select(position)).one()
    assert (kept.lon, kept.lat) == pytest.approx((LON, LAT), abs=1e-7)
    assert kept.crs == crs


def test_an_unusable_batch_is_refused(tx: Connection) -> None:
    with pytest.raises(UnknownCrs):
        record(tx, fix(1), crs="EPSG:1")
    with pytest.raises(Malformed):
        record(tx)
    with pytest.raises(Malformed):
        record(tx, fix(1 << 63))
    with pytest.raises(Malformed):
        record(tx, fix(1)._replace(at=datetime(2026, 11, 20)))


def test_a_day_gets_its_own_partition(tx: Connection) -> None:
    record(tx, fix(1), fix(2, -86400), fix(3, -86400 * 100))
    homes = {seq: home for seq, home in tx.execute(text("select seq, tableoid::regclass::text from position"))}
    assert homes == {1: "position_20261120", 2: "position_20261119", 3: "position_default"}


def test_many_devices_open_a_day_at_once(database: Database) -> None:
    def first(inspector: int) -> Ack:
        with transaction(database.engine) as own:
            return record(own, fix(1), who=UUID(int=inspector))

    with ThreadPoolExecutor(6) as threads:
        assert set(threads.map(first, range(12))) == {Ack(1, accepted=1, duplicates=0, quarantined=0)}
    with transaction(database.engine) as own:
        homes = own.execute(text("select distinct tableoid::regclass::text from position")).scalars().all()
    assert homes == ["position_20261120"]


def test_the_live_position_knows_its_grid_or_that_there_is_none(tx: Connection) -> None:
    record(tx, fix(1, lon=LON + 0.01))
    record(tx, fix(1, lat=39.9), who=TWO)
    grids = {live.name: (live.unit_grid_code, live.village_code) for live in tracks.live(tx, EVERYTHING, NOW)}
    assert grids == {"甲": ("UE", "VE"), "乙": (None, None)}


def test_moving_still_silent_and_gone(tx: Connection) -> None:
    record(tx, *(fix(n, -60 + 10 * n, lon=LON + n * 1e-4) for n in range(6)))  # 8.5 m each ten seconds
    record(tx, *(fix(n, -60 + 10 * n, lon=LON + n % 2 * 1e-4) for n in range(6)), who=TWO)  # to and fro in a yard

    def states(minutes: float) -> list[str]:
        return [live.state for live in tracks.live(tx, EVERYTHING, NOW + timedelta(minutes=minutes))]

    assert states(0) == ["still", "moving"]  # by name: 乙, 甲
    assert states(9) == ["still", "moving"]
    assert states(10.1) == ["silent", "silent"]
    assert states(60 * 12 + 1) == []


@pytest.mark.parametrize(
    ("scope", "seen"),
    [
        (Scope(), []),
        (Scope(villages=frozenset({"VE"})), ["甲"]),
        (Scope(duty_grids=frozenset({"GW"})), ["乙"]),
        (Scope(departments=frozenset({"T02"})), ["乙"]),
        (Scope(own=ONE), ["甲"]),
        (Scope(villages=frozenset({"VE"}), own=TWO), ["乙", "甲"]),
        (EVERYTHING, ["乙", "甲"]),
    ],
)
def test_a_scope_sees_its_own_inspectors(tx: Connection, scope: Scope, seen: list[str]) -> None:
    record(tx, fix(1, lon=LON + 0.01))
    record(tx, fix(1, lon=LON - 0.01), who=TWO)
    assert [live.name for live in tracks.live(tx, scope, NOW)] == seen
    assert tracks.online(tx, scope, NOW, EVERYTHING) == len(seen)
    assert tracks.online(tx, scope, NOW - timedelta(days=1), EVERYTHING) == 0
