"""What was patrolled: worked out bit by bit it equals a recompute; unknown is not unvisited; the past is forgotten."""

from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, insert, select, text

from gis import definitions, geometry, gpx, patrol, people, track_days, track_ground, track_looks, track_rules
from gis.areas import Areas, Grid, areas
from gis.errors import DefinitionBad, GpxBad, NotFound, ReasonUnknown
from gis.people import Caller, Grant, Scope
from gis.settings import settings as service_settings
from gis.tables import patrol_day, patrol_grid, patrol_ground, position, shift, track_look
from gis.track_intake import ZONE, Fix, record
from tests.gis import test_track_cleaning as walks

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)  # eight in the evening
DAY = date(2026, 11, 20)
EVERYTHING = Scope(everything=True)


def staff_of(tx: Connection, *names: str) -> list[UUID]:
    return [people.by_username(tx, name).id for name in names]


def middle(tx: Connection, code: str) -> tuple[float, float]:
    row = tx.execute(
        text("select st_x(p), st_y(p) from (select st_pointonsurface(geom) as p from unit_grid where code = :c) x"),
        {"c": code},
    ).one()
    return row[0], row[1]


def stroll(tx: Connection, codes: list[str], begin: datetime = NOW - timedelta(hours=5), first: int = 1) -> list[Fix]:
    """From the middle of one grid to the next at 1.2 m/s, a fix every ten seconds."""
    fixes, at, seq = [], begin, first
    places = [middle(tx, code) for code in codes]
    for (x1, y1), (x2, y2) in zip(places, places[1:] + places[-1:], strict=True):
        steps = max(1, int(geometry.distance_m(x1, y1, x2, y2) / 12))
        for i in range(steps):
            fixes.append(Fix(seq, at, x1 + (x2 - x1) * i / steps, y1 + (y2 - y1) * i / steps, 5.0))
            at, seq = at + timedelta(seconds=10), seq + 1
    return fixes


def beats(tx: Connection) -> dict[str, list[str]]:
    """Unit grids by duty grid."""
    found: dict[str, list[str]] = {}
    for code, beat in tx.execute(
        text("select unit_grid_code, duty_grid_code from duty_grid_member order by duty_grid_code, unit_grid_code")
    ):
        found.setdefault(beat, []).append(code)
    return found


def work_out(tx: Connection, now: datetime = NOW) -> int:
    todo = patrol.stale(tx)
    for inspector_id, day in todo:
        patrol.work_out(tx, inspector_id, day, now)
    return len(todo)


def state_of(tx: Connection) -> tuple[list[Any], list[Any]]:
    """Everything worked out, but when."""
    days = [c for c in patrol_day.c if c.name != "worked_out_at"]
    return (
        tx.execute(select(*days).order_by(patrol_day.c.inspector_id, patrol_day.c.day)).all(),
        tx.execute(select(patrol_grid).order_by(*patrol_grid.primary_key)).all(),
    )


# --- Cells ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ground() -> track_ground.Ground:
    """Two squares of 100 m side by side, a house in the western one."""
    x, y = 469_000.0, 4_440_000.0

    def box(left: float, bottom: float, width: float, height: float) -> Any:
        ring = [(left, bottom), (left + width, bottom), (left + width, bottom + height), (left, bottom + height)]
        lon, lat = geometry.to_4490(*np.array(ring).T, geometry.METRIC)
        return shapely.Polygon(np.column_stack([lon, lat]))

    grids = [
        Grid(f"11011300{n}", "V", "A", f"B{n}", date(2020, 1, 1), None, box(x + 100 * n, y, 100, 100)) for n in (0, 1)
    ]
    return track_ground.Ground(Areas(grids, DAY), np.array([box(x + 20, y + 20, 30, 30)]))


def test_cells_belong_to_the_grid_of_their_middle_and_houses_are_not_walked(ground):
    assert ground.totals.tolist() == [91, 100]
    assert (ground.bits(0), ground.bits(1)) == (100, 100)


PLACES = st.tuples(st.integers(0, 1999), st.integers(0, 999)).map(
    lambda place: (place[0] / 10 + 0.05, place[1] / 10 + 0.05)
)


@settings(max_examples=50, deadline=None)
@given(st.lists(PLACES, min_size=1, max_size=5), st.sampled_from([0, 10, 15, 30]))
def test_seen_is_every_walkable_cell_near_enough_and_bits_keep_them(ground, places, sight):
    """Oracle: every cell of both squares against every place, cell by cell."""
    east, north = (np.array(column) for column in zip(*places, strict=True))
    cells = ground.around(ground.cell(469_000.0 + east, 4_440_000.0 + north), sight)
    stood = {(np.floor(x / 10), np.floor(y / 10)) for x, y in places}
    expected = {
        (i, j)
        for i in range(20)
        for j in range(10)
        if not (2 <= i < 5 and 2 <= j < 5) and any(np.hypot(i - x, j - y) * 10 <= sight for x, y in stood)
    }
    found = set()
    for grid, bits in ground.pack(cells).items():
        x, y = geometry.to_4548(*ground.unpack(grid, bits))
        found |= {(int((a - 469_000) // 10), int((b - 4_440_000) // 10)) for a, b in zip(x, y, strict=True)}
    assert found == expected
    assert sum(patrol.popcount(bits) for bits in ground.pack(cells).values()) == len(found)


def test_the_time_of_a_path_is_all_somewhere(ground):
    lon, lat = geometry.to_4490(np.array([468_950.0, 469_150.0]), np.array([4_440_095.0, 4_440_095.0]), geometry.METRIC)
    track = walks.Track.of([0, 0], [1, 2], [0.0, 50.0], [0, 0], lon, lat, [5.0, 5.0])
    path = walks.track_paths.walked(track, np.zeros(2, np.int8), walks.PATH)
    seen, times = track_ground.seen(ground, track, path, 10)
    assert {code: one.dwell_s for code, one in seen.items()} == pytest.approx({"110113000": 25.0, "110113001": 12.5})
    assert times == pytest.approx({"B0": 25.0, "B1": 12.5, "": 12.5})
    assert seen["110113000"].last_at == pytest.approx(37.5, abs=1)


# --- Bit by bit and all at once ---------------------------------------------------------------------------------


def test_bit_by_bit_in_any_order_equals_a_full_recompute(tx):
    """Batches of several people come late, twice and mixed; the ground is worked out in between."""
    chance = Random(20261120)
    grids = [code for codes in beats(tx).values() for code in codes]
    batches: list[tuple[UUID, list[Fix]]] = []
    for who in staff_of(tx, "inspector001", "inspector002"):
        for days in (0, 1):
            fixes = stroll(tx, chance.sample(grids, 4), NOW - timedelta(hours=5, days=days), 1 + 5000 * (1 - days))
            wild = [fix._replace(x=fix.x + 0.05) if chance.random() < 0.03 else fix for fix in fixes]
            batches += [(who, wild[i : i + 40]) for i in range(0, len(wild), 40)]
    batches += chance.sample(batches, 3)
    chance.shuffle(batches)
    worked = 0
    for who, fixes in batches:
        record(tx, who, "phone", "EPSG:4326", fixes, NOW)
        if chance.random() < 0.3:
            worked += work_out(tx)
    work_out(tx)
    assert worked > 4, "nothing was worked out between the batches"
    assert not patrol.stale(tx)
    bit_by_bit = state_of(tx)
    assert len(bit_by_bit[0]) == 4
    assert patrol.recompute(tx, NOW) == 4
    assert state_of(tx) == bit_by_bit
    assert sum(row.marks.get("spike", 0) + row.marks.get("speed", 0) for row in bit_by_bit[0]) > 0


def test_a_resend_makes_nothing_stale_and_a_late_fix_does(tx):
    (who,) = staff_of(tx, "inspector001")
    grids = [code for codes in beats(tx).values() for code in codes]
    fixes = stroll(tx, [grids[0], grids[-1]])
    record(tx, who, "phone", "EPSG:4326", fixes[:20], NOW)
    assert work_out(tx) == 1
    record(tx, who, "phone", "EPSG:4326", fixes[:20], NOW)
    assert patrol.stale(tx) == []
    before = tx.execute(select(patrol_day.c.distance_m)).scalar_one()
    record(tx, who, "phone", "EPSG:4326", fixes[20:], NOW)
    assert patrol.stale(tx) == [(who, DAY)]
    work_out(tx)
    assert tx.execute(select(patrol_day.c.distance_m)).scalar_one() > before


# --- Coverage ---------------------------------------------------------------------------------------------------


def on_duty(tx: Connection, who: UUID, beat: str, hours: float = 8) -> None:
    tx.execute(delete(shift).where(shift.c.staff_id == who))
    begin = NOW - timedelta(hours=8)
    tx.execute(
        insert(shift).values(
            staff_id=who, starts_at=begin, ends_at=begin + timedelta(hours=hours), duty_grid_code=beat, role="inspector"
        )
    )


def test_unknown_is_not_unvisited(tx):
    """Two people of two beats: one walked all the time and left a grid out, the other's phone slept."""
    (one, two), parts = staff_of(tx, "inspector001", "inspector002"), beats(tx)
    tx.execute(delete(shift))
    known, dark = [beat for beat, codes in parts.items() if len(codes) >= 3][:2]
    walked = stroll(tx, parts[known][:2], NOW - timedelta(hours=1))
    hours = len(walked) * 10 / 3600
    tx.execute(
        insert(shift),
        [
            {
                "staff_id": who,
                "starts_at": NOW - timedelta(hours=1),
                "ends_at": NOW - timedelta(hours=1) + timedelta(hours=length),
                "duty_grid_code": beat,
                "role": "inspector",
            }
            for who, beat, length in ((one, known, hours), (two, dark, 6.0))
        ],
    )
    record(tx, one, "phone", "EPSG:4326", walked, NOW)
    record(tx, two, "phone", "EPSG:4326", stroll(tx, parts[dark][:1] * 2, NOW - timedelta(hours=1)), NOW)
    assert patrol.coverage(tx, EVERYTHING, DAY, DAY, NOW).waiting == 2
    work_out(tx)
    found = patrol.coverage(tx, EVERYTHING, DAY, DAY, NOW)
    grids = {grid.code: grid for grid in found.grids}
    assert found.waiting == 0
    assert [grids[code].state for code in parts[known][:2]] == ["visited", "visited"]
    assert grids[parts[dark][0]].state == "visited"
    far = [c for c in parts[known] + parts[dark] if grids[c].people == 0 and grids[c].seen == 0]
    assert {grids[c].state for c in far if c in parts[known]} == {"unvisited"}
    assert {grids[c].state for c in far if c in parts[dark]} == {"unknown"}
    everybodys = [grid for grid in found.grids if grid.last_at is not None]
    assert everybodys == sorted(everybodys, key=lambda grid: grid.last_at)
    assert found.grids[0].last_at is None, "what was never visited comes first"
    beat = next(one for one in found.duty_grids if one.code == known)
    assert beat.last_at == everybodys[-1].last_at, "somebody was in one of its grids just now"
    assert found.duty_grids[-1] == beat, "longest unvisited first"
    assert (beat.cells, beat.seen) == tuple(
        sum(getattr(grids[c], name) for c in parts[known]) for name in ("cells", "seen")
    )
    assert all(0 <= grid.seen <= grid.cells for grid in found.grids)


def test_a_scope_covers_its_own_ground(tx):
    villages = sorted({str(code) for code in areas(tx).villages})
    for village in villages:
        found = patrol.coverage(tx, Scope(villages=frozenset({village})), DAY, DAY, NOW)
        assert {grid.village_code for grid in found.grids} == {village}
    assert patrol.coverage(tx, Scope(departments=frozenset({"D02"})), DAY, DAY, NOW).grids == []


def test_time_outside_the_own_area_and_time_without_a_track(tx):
    (who,), parts = staff_of(tx, "inspector001"), beats(tx)
    own, other = min(parts), max(parts)
    on_duty(tx, who, own)
    inside, outside = parts[own][0], parts[other][0]
    record(tx, who, "phone", "EPSG:4326", stroll(tx, [inside] * 13), NOW)
    record(tx, who, "phone", "EPSG:4326", stroll(tx, [outside] * 7, NOW - timedelta(hours=2), 500), NOW)
    work_out(tx)
    row = tx.execute(select(patrol_day)).one()
    assert (row.own_grids, row.on_duty_s) == ([own], 8 * 3600)
    assert (row.recorded_s, row.outside_s) == (120 + 60, 60)
    assert row.unknown_s == 8 * 3600 - 180


# --- Looking ----------------------------------------------------------------------------------------------------


def caller(tx: Connection, name: str, *permissions: str) -> Caller:
    known = people.by_username(tx, name)
    return Caller(known.id, name, name, known.department, known.grants, frozenset(permissions))


def test_every_look_is_recorded_and_needs_a_reason(tx):
    (who,) = staff_of(tx, "inspector001")
    leader = caller(tx, "leader", "track.view")
    with pytest.raises(ReasonUnknown):
        track_looks.look(tx, leader, who, DAY, "history", "curiosity")
    stranger = Caller(UUID(int=9), "x", "x", ("", ""), (Grant("leader", "department", "D05"),), frozenset())
    with pytest.raises(NotFound):
        track_looks.look(tx, stranger, who, DAY, "history", "dispute")
    assert not track_looks.look(tx, leader, who, DAY, "history", "dispute", "申诉 12").exact
    assert track_looks.look(tx, caller(tx, "shiftleader1", "track.exact"), who, DAY, "replay", "review").exact
    assert track_looks.look(tx, caller(tx, "inspector001"), who, DAY, "history", "").exact
    rows = tx.execute(select(track_look).order_by(track_look.c.id)).all()
    assert [(row.actor, row.inspector_id, row.day, row.what, row.why, row.note, row.exact) for row in rows] == [
        ("leader", who, DAY, "history", "dispute", "申诉 12", False),
        ("shiftleader1", who, DAY, "replay", "review", "", True),
        ("inspector001", who, DAY, "history", "own", "", True),
    ]
    every = track_looks.Asked(who)
    assert [row.actor for row in track_looks.looks(tx, every)] == ["inspector001", "shiftleader1", "leader"]
    assert [row.actor for row in track_looks.looks(tx, every, before=rows[1].id)] == ["leader"]
    today = rows[0].at.astimezone(ZONE).date()
    for asked, actors in (
        (track_looks.Asked(text="leader"), ["shiftleader1", "leader"]),
        (track_looks.Asked(text="%"), []),
        (track_looks.Asked(why="review"), ["shiftleader1"]),
        (track_looks.Asked(since=today, until=today), ["inspector001", "shiftleader1", "leader"]),
        (track_looks.Asked(since=today + timedelta(days=1)), []),
        (track_looks.Asked(until=today - timedelta(days=1)), []),
    ):
        assert [row.actor for row in track_looks.looks(tx, asked)] == actors


def test_the_coarse_view_names_no_place_nearer_than_its_cell(tx):
    (who,), grids = staff_of(tx, "inspector001"), [c for codes in beats(tx).values() for c in codes]
    fixes = stroll(tx, [grids[0], grids[-1]])
    record(tx, who, "phone", "EPSG:4326", fixes, NOW)
    told = track_looks.history(tx, track_looks.look(tx, caller(tx, "leader"), who, DAY, "history", "review"), DAY, NOW)
    assert not told["exact"]
    assert told.keys().isdisjoint({"segments", "stops", "marks", "gap_places", "holes"})
    east, north = geometry.to_4548(*np.array([cell["place"] for cell in told["cells"]]).T)
    assert np.allclose(np.mod(east, 250), 125, atol=1.5)
    assert np.allclose(np.mod(north, 250), 125, atol=1.5)
    assert 1 < len(told["cells"]) < len(fixes) / 5
    exact = track_looks.history(tx, track_looks.look(tx, caller(tx, "inspector001"), who, DAY, "history", ""), DAY, NOW)
    assert sum(len(segment["places"]) for segment in exact["segments"]) == len(fixes)
    assert exact["distance_m"] == told["distance_m"]


def test_missing_numbers_show_until_they_come_late_or_turn_out_to_be_odd(tx):
    (who,) = staff_of(tx, "inspector001")
    fixes = stroll(tx, [beats(tx)[next(iter(beats(tx)))][0]] * 12)
    yesterday = [fix._replace(seq=1, at=fix.at - timedelta(days=1)) for fix in fixes[:1]]
    sent = [fix._replace(seq=seq) for fix, seq in zip(fixes, [4, 5, 6, 9, 10, 20, 21, 22, 23, 24, 25, 26], strict=True)]
    record(tx, who, "phone", "EPSG:4326", [*yesterday, *sent], NOW)
    assert [(h.first, h.last) for h in track_days.holes(tx, who, DAY)] == [(2, 3), (7, 8), (11, 19)]
    late = [sent[0]._replace(seq=8, at=sent[0].at - timedelta(days=2)), sent[0]._replace(seq=14, x=0.0, y=0.0)]
    record(tx, who, "phone", "EPSG:4326", late, NOW)
    assert [(h.first, h.last) for h in track_days.holes(tx, who, DAY)] == [(2, 3), (7, 7), (11, 13), (15, 19)]


# --- Forgetting -------------------------------------------------------------------------------------------------


def test_a_day_is_made_coarse_then_dropped_and_the_ground_remembers(tx):
    (one, two), parts = staff_of(tx, "inspector001", "inspector002"), beats(tx)
    codes = parts[next(iter(parts))][:3]
    for who in (one, two):
        record(tx, who, "phone", "EPSG:4326", stroll(tx, codes), NOW)
    work_out(tx)
    before = {grid.code: grid for grid in patrol.coverage(tx, EVERYTHING, DAY, DAY, NOW).grids}
    fixes = len(tx.execute(select(position)).all())
    later = NOW + timedelta(days=32)
    assert patrol.coarsen(tx, NOW + timedelta(days=29)) == 0
    assert patrol.coarsen(tx, later) == 2
    assert patrol.coarsen(tx, later) == 0
    rows = tx.execute(select(position)).all()
    assert 2 <= len(rows) < fixes / 3
    assert {row.crs for row in rows} == {"COARSE-250"}
    east, north = geometry.to_4548(np.array([r.lon for r in rows]), np.array([r.lat for r in rows]))
    assert np.allclose(np.mod(east, 250), 125, atol=0.01)
    assert np.allclose(np.mod(north, 250), 125, atol=0.01)
    assert tx.execute(select(patrol_grid)).all() == []
    after = {grid.code: grid for grid in patrol.coverage(tx, EVERYTHING, DAY, DAY, NOW).grids}
    for code, grid in after.items():
        was = before[code]
        assert (grid.seen, grid.last_at, grid.people) == (was.seen, was.last_at, was.people), code
        assert grid.dwell_s == pytest.approx(was.dwell_s)
    # A straggler of that day is counted, and coarse before long.
    record(tx, one, "old phone", "EPSG:4326", stroll(tx, codes[:1] * 4, NOW - timedelta(hours=9)), later)
    assert patrol.stale(tx) == []
    assert tx.execute(select(patrol_day.c.late).where(patrol_day.c.inspector_id == one)).scalar_one() == 1
    assert patrol.coarsen(tx, later) == 1
    assert set(tx.execute(select(position.c.crs)).scalars()) == {"COARSE-250"}
    told = track_looks.history(
        tx, track_looks.look(tx, caller(tx, "inspector001"), one, DAY, "history", ""), DAY, later
    )
    assert (told["exact"], told["coarse"]) == (False, True)
    # After the keeping time nothing of the persons is left, and what was seen of the ground is.
    assert patrol.drop(tx, datetime.now(UTC) + timedelta(days=160)) == 0
    tx.execute(text("update position set at = at - interval '400 days'"))
    patrol.drop(tx, datetime.now(UTC))
    assert tx.execute(select(position)).all() == []
    assert len(tx.execute(select(patrol_ground)).all()) >= 3


def test_the_last_week_is_not_dropped_whatever_is_asked(tx):
    with pytest.raises(Exception, match="last seven days"), tx.begin_nested():
        tx.execute(text("select drop_position_days((now() at time zone 'Asia/Shanghai')::date - 6)"))


# --- Definitions and files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "key", "value", "where"),
    [
        ("keeping", "coarse_after", 400, "keeping"),
        ("keeping", "days", 2.5, "keeping.days"),
        ("cleaning", "speed_ms", 0, "cleaning.speed_ms"),
        ("cleaning", "speed_kmh", 12, "cleaning"),
        ("path", "gap_s", 5, "path.gap_s"),
        ("coverage", "known_share", 1.5, "coverage"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_its_place(part, key, value, where):
    path = service_settings().data_dir / "track_rules" / "standard.yaml"
    body = definitions.read_yaml(path.read_text("utf-8"))
    assert track_rules.TrackRule.from_body(body).keeping.coarse_m == 250
    body[part][key] = value
    with pytest.raises(DefinitionBad) as refused:
        definitions.check("track_rule", body)
    assert refused.value.detail["where"] == where


def test_gpx_goes_out_and_comes_in_as_the_same_fixes(tx):
    one, two = staff_of(tx, "inspector001", "inspector002")
    fixes = stroll(tx, beats(tx)[next(iter(beats(tx)))][:2])
    record(tx, one, "phone", "EPSG:4326", fixes, NOW)
    own = track_looks.look(tx, caller(tx, "inspector001"), one, DAY, "gpx", "")
    told = track_looks.history(tx, own, DAY, NOW)
    file = gpx.write("甲 2026-11-20", told["begin"], told)
    device, read, left_out = gpx.read(file, DAY)
    assert device.startswith("gpx:")
    assert left_out == 0
    assert [(fix.at, round(fix.x, 6), round(fix.y, 6)) for fix in read] == [
        (fix.at, round(fix.x, 6), round(fix.y, 6)) for fix in fixes
    ]
    for expected in ((len(fixes), 0), (0, len(fixes))):
        ack = record(tx, two, device, "EPSG:4326", read, NOW)
        assert (ack.accepted, ack.duplicates) == expected
    seen = track_looks.look(tx, caller(tx, "inspector002"), two, DAY, "history", "")
    again = track_looks.history(tx, seen, DAY, NOW)
    assert (again["imported"], again["distance_m"]) == (len(fixes), pytest.approx(told["distance_m"], abs=1))
    with pytest.raises(GpxBad):
        gpx.read(file, DAY - timedelta(days=1))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"<kml/>",
        b"<gpx></gpx>",
        b'<!DOCTYPE gpx [<!ENTITY a "b">]><gpx/>',
        b"<gpx><trk><trkseg><trkpt lat='40' lon='116'/></trkseg></trk></gpx>",
        "<?xml version='1.0' encoding='utf-16'?><gpx/>".encode("utf-16"),
    ],
)
def test_what_is_no_gpx_of_that_day_is_refused(content):
    with pytest.raises(GpxBad):
        gpx.read(content, DAY)


def test_days_are_local(tx):
    begin, end = track_days.bounds(DAY)
    assert (begin.astimezone(ZONE).hour, (end - begin)) == (0, timedelta(days=1))
