"""The point store against a plain reading of the same rules, row by row."""

import gc
import random
import weakref
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, update

from gis import geometry, points_cells, points_order, points_table, search
from gis.people import Caller, Grant, Scope
from gis.points import FACETS, CaseStore
from gis.points_bits import Ranked, pack
from gis.points_cells import EXTENT, parent, resolution
from gis.points_rows import CODED, NO_LIMIT, fetch, micros
from gis.points_table import Near, Segment, Sparse, pixel_sums
from gis.search import CaseFilter
from gis.tables import case
from tests.gis.case_rows import row as case_row

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
VILLAGES, GRIDS, DUTY = ("V1", "V2", "V3"), tuple(f"11011300300100{i}" for i in range(6)), ("R1", "R2")
DEPARTMENTS, STAFF = ("D01", "D02", "D03", "D04"), tuple(UUID(int=i) for i in range(1, 5))
ROLES = ("dispatcher", "handler", "acceptor")
EVERYTHING = Scope(everything=True)


@dataclass(frozen=True)
class Row:
    """The columns of ``case`` the store reads."""

    id: UUID
    lon: float
    lat: float
    seq: int = 1
    kind: str = "case"
    channel: str = "patrol"
    category_kind: str = "event"
    category_code: str = "0101"
    severity: int = 1
    village_code: str = "V1"
    unit_grid_code: str = GRIDS[0]
    duty_grid_code: str = "R1"
    department_code: str | None = None
    co_departments: tuple[str, ...] = ()
    state: str = "reported"
    stage: str = "report"
    status: str = "open"
    reporter_id: UUID | None = None
    assignee_id: UUID | None = None
    reported_at: datetime = NOW
    due_at: datetime | None = None
    yellow_at: datetime | None = None
    handled_at: datetime | None = None
    closed_at: datetime | None = None
    stage_due_at: datetime | None = None
    stage_yellow_at: datetime | None = None
    next_due_at: datetime | None = None
    supervised_at: datetime | None = None
    urge_count: int = 0
    awaits: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    mk: int = field(init=False)
    h3: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mk", geometry.morton(self.lon, self.lat))
        object.__setattr__(self, "h3", geometry.h3_12(self.lon, self.lat))


WORSE = ("none", "green", "yellow", "red")


def light_of(row: Row, now: datetime) -> str:
    """What the mark of a case shows: the worse of its two clocks."""
    return max(handling_light_of(row, now), stage_light_of(row, now), key=WORSE.index)


def handling_light_of(row: Row, now: datetime) -> str:
    if row.status != "open" or row.due_at is None:
        return "none"
    moment = row.handled_at or now
    if row.due_at < moment:
        return "red"
    return "yellow" if row.yellow_at is not None and row.yellow_at <= moment else "green"


def stage_light_of(row: Row, now: datetime) -> str:
    return handling_light_of(replace(row, due_at=row.stage_due_at, yellow_at=row.stage_yellow_at, handled_at=None), now)


def late_of(row: Row, now: datetime) -> bool:
    return row.due_at is not None and row.due_at < (row.handled_at or row.closed_at or now) and row.status != "void"


def in_scope(row: Row, scope: Scope) -> bool:
    return (
        scope.everything
        or row.village_code in scope.villages
        or row.duty_grid_code in scope.duty_grids
        or row.department_code in scope.departments
        or any(d in scope.departments for d in row.co_departments)
        or (scope.own is not None and scope.own in (row.reporter_id, row.assignee_id))
    )


def kept(row: Row, wanted: CaseFilter, now: datetime) -> bool:
    words = {
        "kind": row.kind,
        "channel": row.channel,
        "state": row.state,
        "stage": row.stage,
        "status": row.status,
        "village": row.village_code,
        "grid": row.unit_grid_code,
        "duty_grid": row.duty_grid_code,
        "department": row.department_code,
        "severity": row.severity,
        "light": light_of(row, now),
        "handling_light": handling_light_of(row, now),
        "stage_light": stage_light_of(row, now),
        "assignee": row.assignee_id,
    }
    marks = {"supervised": row.supervised_at is not None, "urged": row.urge_count > 0}
    if any(getattr(wanted, name) not in (None, value) for name, value in marks.items()):
        return False
    if any(wants and not set(wants) & set(has) for wants, has in ((wanted.awaits, row.awaits), (wanted.tag, row.tags))):
        return False
    if any(getattr(wanted, name) and value not in getattr(wanted, name) for name, value in words.items()):
        return False
    category = f"{row.category_kind}:{row.category_code}"
    if wanted.category and not any(category.startswith(c if ":" in c else c + ":") for c in wanted.category):
        return False
    if wanted.overdue is not None and wanted.overdue != late_of(row, now):
        return False
    if wanted.bbox:
        west, south, east, north = geometry.pixel_bounds(wanted.bbox)
        if not (west <= row.lon < east and south < row.lat <= north):
            return False
    since, until = wanted.since or row.reported_at, wanted.until or row.reported_at + timedelta(1)
    return since <= row.reported_at < until


def make_row(chance: random.Random, number: int) -> Row:
    """A case somewhere in the town; many share a place or a moment."""

    def moment():
        return NOW + timedelta(seconds=chance.randint(-4, 4), microseconds=chance.choice((0, 0, 1, 500_000)))

    def maybe(value, share=0.6):
        return value if chance.random() < share else None

    spot = chance.random() < 0.3
    status = chance.choice(("open", "open", "closed", "void"))
    return Row(
        id=UUID(int=chance.getrandbits(64) << 64 | number),
        lon=116.65 if spot else chance.uniform(116.61, 116.69),
        lat=40.11 if spot else chance.uniform(40.07, 40.13),
        seq=chance.randint(1, 3),
        kind=chance.choice(("case", "hotline")),
        channel=chance.choice(("patrol", "public", "video")),
        category_kind=chance.choice(("event", "component")),
        category_code=chance.choice(("0101", "0102", "0503", "0201")),
        severity=chance.randint(1, 3),
        village_code=chance.choice(VILLAGES),
        unit_grid_code=chance.choice(GRIDS),
        duty_grid_code=chance.choice(DUTY),
        department_code=maybe(chance.choice(DEPARTMENTS)),
        co_departments=tuple(chance.sample(DEPARTMENTS, chance.randint(0, 2))),
        state=chance.choice(("reported", "handling", "closed")),
        stage=chance.choice(("report", "handling", "closing")),
        status=status,
        reporter_id=maybe(chance.choice(STAFF)),
        assignee_id=maybe(chance.choice(STAFF)),
        reported_at=moment(),
        due_at=maybe(moment()),
        yellow_at=maybe(moment()),
        handled_at=maybe(moment(), 0.3),
        closed_at=maybe(moment()) if status == "closed" else None,
        stage_due_at=maybe(moment(), 0.4),
        stage_yellow_at=maybe(moment()),
        next_due_at=maybe(moment()),
        supervised_at=maybe(moment(), 0.2),
        urge_count=chance.choice((0, 0, 1, 3)),
        awaits=tuple(chance.sample(ROLES, chance.randint(0, 2))),
        tags=tuple(chance.sample(("winter", "manhole"), chance.choice((0, 0, 1, 2)))),
    )


def some(values):
    return st.one_of(st.just(()), st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True).map(tuple))


moments = st.one_of(
    st.none(), st.integers(-5, 5).map(lambda s: NOW + timedelta(seconds=s)), st.just(NOW + timedelta(microseconds=1))
)
boxes = st.one_of(
    st.none(),
    st.tuples(st.floats(116.6, 116.65), st.floats(40.06, 40.11), st.floats(116.65, 116.7), st.floats(40.11, 40.14)),
)
filters = st.builds(
    CaseFilter,
    kind=some(("case", "hotline", "whistle")),
    channel=some(("patrol", "public", "sensor")),
    category=some(("event:", "event:01", "component:0101", "component:05", "event:0503")),
    state=some(("reported", "handling", "nowhere")),
    stage=some(("report", "closing")),
    status=some(("open", "closed", "void")),
    light=some(("green", "yellow", "red", "none")),
    village=some(VILLAGES),
    grid=some(GRIDS),
    duty_grid=some(DUTY),
    department=some(DEPARTMENTS),
    severity=some((1, 2, 3, 9, 300)),
    since=moments,
    until=moments,
    bbox=boxes,
    overdue=st.sampled_from((None, None, True, False)),
    stage_light=some(("green", "yellow", "red", "none")),
    handling_light=some(("green", "yellow", "red", "none")),
    supervised=st.sampled_from((None, None, True, False)),
    urged=st.sampled_from((None, None, True, False)),
    awaits=some((*ROLES, "nobody")),
    tag=some(("winter", "summer")),
    assignee=some(STAFF),
)
scopes = st.one_of(
    st.just(EVERYTHING),
    st.builds(
        Scope,
        everything=st.just(False),
        villages=st.frozensets(st.sampled_from(VILLAGES), max_size=1),
        duty_grids=st.frozensets(st.sampled_from(DUTY), max_size=1),
        departments=st.frozensets(st.sampled_from(DEPARTMENTS), max_size=2),
        own=st.sampled_from((None, *STAFF)),
    ),
)


def tiles(z: int, rows: list[Row]):
    """Every tile of zoom z over the town; from zoom 15 on those that hold a row, and as many that may not."""
    shift = geometry.WORLD_BITS - z
    (x0, y0), (x1, y1) = geometry.world_pixel(116.6, 40.14), geometry.world_pixel(116.7, 40.06)
    if z < 15:
        return [(z, x, y) for x in range(x0 >> shift, (x1 >> shift) + 1) for y in range(y0 >> shift, (y1 >> shift) + 1)]
    held = {(px >> shift, py >> shift) for px, py in (geometry.world_pixel(r.lon, r.lat) for r in rows)}
    return [(z, x, y) for x, y in held | {(x + 1, y) for x, y in held}]


def cells_of(rows: list[Row], z: int) -> Counter:
    """Cells with their members, counted plainly: tile and sixty-fourth of it, or each point alone."""
    shift = geometry.WORLD_BITS - z - 6
    found: Counter = Counter()
    for row in rows:
        px, py = geometry.world_pixel(row.lon, row.lat)
        found[row.id if z >= 17 else (px >> shift, py >> shift)] += 1
    return found


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    scope=scopes,
    wanted=filters,
    lag=st.integers(-5, 5),
    batches=st.integers(0, 3),
    z=st.sampled_from((8, 11, 14, 16, 17, 20)),
)
def test_same_as_reading_every_row(seed, scope, wanted, lag, batches, z):
    chance, now = random.Random(seed), NOW + timedelta(seconds=lag)
    truth = {row.id: row for row in (make_row(chance, i) for i in range(chance.choice((0, 1, 70, 300))))}
    store = CaseStore.of(list(truth.values()))
    for batch in range(batches):
        changed = [
            replace(make_row(chance, i), id=row.id, seq=row.seq + chance.randint(0, 1))
            for i, row in enumerate(chance.sample(list(truth.values()), min(len(truth), 40)))
        ]
        added = [make_row(chance, 1000 * (batch + 1) + i) for i in range(chance.choice((0, 5, 40)))]
        gone = [] if batch else chance.sample(sorted(truth), min(len(truth), 3))
        store.apply([r for r in changed if r.id not in gone] + added, gone=gone)
        truth |= {r.id: r for r in changed if r.seq > truth[r.id].seq} | {r.id: r for r in added}
        for one in gone:
            del truth[one]

    rows = [row for row in truth.values() if in_scope(row, scope) and kept(row, wanted, now)]
    mask = store.mask(scope, wanted, now)
    assert mask.count == len(rows)
    assert_paged(store, mask, rows, page=chance.choice((1, 3, 20)))
    lights = Counter(light_of(row, now) for row in rows)
    facets = store.facets(mask, FACETS)
    assert facets["light"] == dict(lights)
    assert facets["handling_light"] == dict(Counter(handling_light_of(row, now) for row in rows))
    assert facets["stage_light"] == dict(Counter(stage_light_of(row, now) for row in rows))
    assert facets["overdue"] == dict(Counter(str(late_of(row, now)).lower() for row in rows))
    assert facets["supervised"] == dict(Counter(str(row.supervised_at is not None).lower() for row in rows))
    assert facets["urged"] == dict(Counter(str(row.urge_count > 0).lower() for row in rows))
    by_state = {s: dict(Counter(light_of(r, now) for r in rows if r.state == s)) for s in {r.state for r in rows}}
    assert store.lights(mask, "state", now) == by_state
    assert facets["village"] == dict(Counter(r.village_code for r in rows))
    assert facets["department"] == dict(Counter(r.department_code or "" for r in rows))
    assert facets["category"] == dict(Counter(f"{r.category_kind}:{r.category_code}" for r in rows))
    assert facets["day"] == dict(Counter((r.reported_at + timedelta(hours=8)).date().isoformat() for r in rows))
    assert facets["severity"] == dict(Counter(str(r.severity) for r in rows))

    shown, red, yellow, singles, cells = 0, 0, 0, [], []
    for tile in tiles(z, rows):
        got = store.cluster(mask, *tile)
        shown, red, yellow = shown + got.n.sum(), red + got.red.sum(), yellow + got.yellow.sum()
        assert ((got.row >= 0) == (got.n == 1)).all()
        assert ((got.x >= 0) & (got.x < EXTENT) & (got.y >= 0) & (got.y < EXTENT)).all()
        cells += got.n.tolist()
        described = store.singles(mask, got.row[got.n == 1])
        singles += [UUID(bytes=bytes(i)) for i in described.id]
        for i, code in zip(described.id, described.look, strict=True):
            row = truth[UUID(bytes=bytes(i))]
            clocked = row.status == "open" and (row.due_at is not None or row.stage_due_at is not None)
            category = (row.category_kind, row.category_code)
            look = (row.kind, category, row.stage, row.status, row.severity, clocked)
            assert described.looks.values[code] == look
    assert (shown, red, yellow) == (len(rows), lights["red"], lights["yellow"])
    plain = cells_of(rows, z)
    assert sorted(cells) == sorted(plain.values())
    assert len(singles) == len(set(singles)) == sum(n == 1 for n in plain.values())

    weights: Counter = Counter()
    for tile in tiles(z, rows):
        found = store.heat(mask, *tile)
        weights.update(dict(zip(found.cell.tolist(), found.n.tolist(), strict=True)))
    assert weights == Counter(int(parent(row.h3, resolution(z))) for row in rows)
    whole = dict(zip(*(column.tolist() for column in store.hexagons(mask, resolution(z))), strict=True))
    assert whole == weights, "the tiles' weights add up to whole cells"


def assert_paged(store: CaseStore, mask, rows: list[Row], page: int) -> None:
    """Page by page the store names the rows in the order of the list."""
    never = datetime.max.replace(tzinfo=UTC)
    newest = sorted(rows, key=lambda r: (r.reported_at, r.id), reverse=True)
    due = sorted(rows, key=lambda r: (r.next_due_at or never, r.id))
    for order, ordered in (("newest", newest), ("due", due)):
        edge, told = None, []
        while ids := points_order.ids(mask, points_order.first(mask, order, edge, page)):
            told += ids
            last = next(row for row in rows if row.id == ids[-1])
            at = last.reported_at if order == "newest" else last.next_due_at
            edge = (micros(at) if at else NO_LIMIT, last.id)
        assert told == [row.id for row in ordered]
    assert not len(points_order.first(mask, "due", (NO_LIMIT, UUID(int=2**128 - 1)), page)), "nothing is after the last"


def test_nobody_holds_what_was_merged_into_a_new_base():
    rows = [Row(UUID(int=i + 1), 116.65, 40.1) for i in range(points_table._TAIL_MIN + 2)]
    store = CaseStore.of(rows[:1])
    store.stamp(NOW)
    store.mask(EVERYTHING, CaseFilter(), NOW)
    old = weakref.ref(store.snapshot.parts[0].segment)
    store.apply(rows[1:])
    assert len(store.snapshot.parts) == 1
    gc.collect()
    assert old() is None


def test_the_first_of_very_many_are_found_by_a_sample():
    chance = random.Random(6)
    rows = [
        Row(
            UUID(int=chance.getrandbits(128)),
            116.65,
            40.1,
            reported_at=NOW - timedelta(seconds=chance.choice((0, chance.randint(0, 10**5)))),
            next_due_at=chance.choice((None, NOW + timedelta(seconds=chance.randint(0, 10**5)))),
        )
        for _ in range(45_000)
    ]
    # The very first of each list are not among those the sample takes.
    rows[5] = replace(rows[5], reported_at=NOW + timedelta(seconds=1))
    rows[7] = replace(rows[7], next_due_at=NOW - timedelta(seconds=1))
    mask = CaseStore.of(rows).mask(EVERYTHING, CaseFilter(), NOW)
    newest = sorted(rows, key=lambda r: (r.reported_at, r.id), reverse=True)
    never = datetime.max.replace(tzinfo=UTC)
    due = sorted(rows, key=lambda r: (r.next_due_at or never, r.id))
    limited = sum(r.next_due_at is not None for r in rows)
    for begin in (0, 1, 700, 22_000, 30_000, len(newest) - 3):
        at = newest[begin - 1]
        edge = (micros(at.reported_at), at.id) if begin else None
        found = points_order.ids(mask, points_order.first(mask, "newest", edge, 10))
        assert found == [row.id for row in newest[begin : begin + 10]]
    # More have no limit than are all looked at, too.
    assert len(due) - limited > 20_000
    for begin in (0, 1, 700, limited - 3, limited, limited + 1, limited + 700, len(due) - 3):
        at = due[begin - 1]
        edge = (micros(at.next_due_at) if at.next_due_at else NO_LIMIT, at.id) if begin else None
        found = points_order.ids(mask, points_order.first(mask, "due", edge, 10))
        assert found == [row.id for row in due[begin : begin + 10]]


@pytest.mark.parametrize("wanted", [CaseFilter(), CaseFilter(light=("red", "yellow", "green"), severity=(1, 2))])
def test_many_points_in_a_tile_have_centroids_within_half_a_grain(monkeypatch, wanted):
    monkeypatch.setattr(points_cells, "_GRAINS_FROM", 3_000)
    chance = np.random.default_rng(3)
    n = 9_000
    lon, lat = chance.normal(116.65, 0.01, n), chance.normal(40.10, 0.008, n)
    rows = [
        Row(UUID(int=(i + 1) << 32), float(a), float(b), due_at=NOW + timedelta(seconds=i % 3 - 1), severity=1 + i % 3)
        for i, (a, b) in enumerate(zip(lon, lat, strict=True))
    ]
    store = CaseStore.of(rows)
    mask = store.mask(EVERYTHING, wanted, NOW)
    if wanted.severity:
        kept = np.array([row.severity in wanted.severity for row in rows])
        rows, lon, lat = [row for row in rows if row.severity in wanted.severity], lon[kept], lat[kept]
    z, (px, py) = 10, geometry.world_pixel(lon, lat)
    shift = geometry.WORLD_BITS - z
    (tile,) = {(z, int(x), int(y)) for x, y in zip(px >> shift, py >> shift, strict=True)}
    got = store.cluster(mask, *tile)
    key = (px >> shift - 6) * 2**30 + (py >> shift - 6)
    _, where, counts = np.unique(key, return_inverse=True, return_counts=True)
    assert sorted(got.n.tolist()) == sorted(counts.tolist())
    assert got.red.sum() == sum(light_of(r, NOW) == "red" for r in rows)
    unit = 2 ** (shift - 12)
    true_x = np.bincount(where, px) / counts / unit - tile[1] * EXTENT
    true_y = np.bincount(where, py) / counts / unit - tile[2] * EXTENT
    # Cells in the same order on both sides: by row of cells, then along it.
    mine, theirs = np.lexsort((got.x >> 6, got.y >> 6)), np.lexsort((true_x // 64, true_y // 64))
    assert np.abs(got.x[mine] - true_x[theirs]).max() <= 17
    assert np.abs(got.y[mine] - true_y[theirs]).max() <= 17
    alone = got.row[got.n == 1]
    assert sorted(geometry.deinterleave(mask.snapshot.take("mk", alone))[0] >> shift - 6) == sorted(
        (px >> shift - 6)[counts[where] == 1]
    )


def test_applying_twice_changes_nothing_and_old_rows_do_not_come_back():
    chance = random.Random(1)
    rows = [make_row(chance, i) for i in range(50)]
    store = CaseStore.of(rows, mark="a")
    before = store.snapshot
    assert store.apply(rows, mark="b") == 0
    assert store.snapshot.version == before.version
    assert store.snapshot.mark == "b"
    newer = replace(rows[0], seq=rows[0].seq + 1, status="closed")
    assert store.apply([newer]) == 1
    assert store.apply([rows[0]]) == 0
    assert store.mask(EVERYTHING, CaseFilter(status=("closed",)), NOW).count == sum(
        r.status == "closed" for r in [newer, *rows[1:]]
    )


def test_a_reader_keeps_what_it_has_while_the_store_moves_on():
    chance = random.Random(2)
    store = CaseStore.of([make_row(chance, i) for i in range(100)])
    mask = store.mask(EVERYTHING, CaseFilter(), NOW)
    for batch in range(40):
        store.apply([make_row(chance, 1000 + batch * 100 + i) for i in range(100)])
    assert mask.count == 100
    assert store.mask(EVERYTHING, CaseFilter(), NOW).count == 4100
    assert len(store.snapshot.parts[0].segment.columns["mk"]) > 100, "the tail was merged on the way"


def test_the_stamp_changes_when_a_case_or_a_light_does_and_only_then():
    store = CaseStore.of([Row(UUID(int=7), 116.65, 40.1, due_at=NOW, yellow_at=NOW - timedelta(seconds=60))], mark="5")
    stamps = [store.stamp(NOW + timedelta(seconds=s)) for s in (-70, -61, -60, -59, 0, 1, 500)]
    assert [a == b for a, b in pairwise(stamps)] == [True, False, True, True, False, True]
    store.apply([Row(UUID(int=8), 116.65, 40.1)], mark="6")
    assert store.stamp(NOW + timedelta(seconds=500)) != stamps[-1]


def tile_of(row, z):
    return row.mk >> 2 * (geometry.WORLD_BITS - z)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(-9, 9))
def test_a_tile_has_a_new_version_when_and_only_when_something_in_it_changed(seed, batches, lag):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(points_table, "_TAIL_MIN", 20)  # so that the base is made anew on the way
        check_versions(random.Random(seed), batches, NOW + timedelta(seconds=lag))


def check_versions(chance, batches, now):
    held = {row.id: row for row in (make_row(chance, i) for i in range(60))}
    store = CaseStore.of(list(held.values()))
    places = sorted({(z, tile_of(row, z)) for row in held.values() for z in (9, 13, 16)})
    named = {place: (place[0], *(int(axis) for axis in geometry.deinterleave(place[1]))) for place in places}
    for size in batches:
        before = {place: store.stamp(now, tile).split(".")[0] for place, tile in named.items()}
        changes = [make_row(chance, 100) for _ in range(size)]
        known = chance.sample(sorted(held), size // 2)
        for at, case_id in enumerate(known):
            changes[at] = replace(changes[at], id=case_id, seq=held[case_id].seq + 1)
        touched = [row for change in changes for row in (change, held.get(change.id)) if row is not None]
        store.apply(changes)
        held |= {row.id: row for row in changes}
        for z, code in places:
            same = store.stamp(now, named[z, code]).split(".")[0] == before[z, code]
            assert same == all(tile_of(row, z) != code for row in touched)
    # Another process, which began with what this one took in piece by piece, says the same of the cases.
    other = CaseStore.of(list(held.values()), mark="elsewhere")
    for tile in named.values():
        assert store.stamp(now, tile).split(".")[0] == other.stamp(now, tile).split(".")[0]


def test_a_light_gives_its_own_tiles_a_new_version_and_no_others():
    here, there = (116.65, 40.1), (116.68, 40.12)
    due = [Row(UUID(int=7), *here, due_at=NOW, yellow_at=NOW - timedelta(seconds=60)), Row(UUID(int=8), *there)]
    store = CaseStore.of(due)
    for z in (0, 8, 13, 16, 19):
        for place, changes in ((here, True), (there, z < 13)):
            tile = (z, *(int(axis) >> geometry.WORLD_BITS - z for axis in geometry.world_pixel(*place)))
            stamps = [store.stamp(NOW + timedelta(seconds=s), tile) for s in (-61, -60, 0, 1, 500)]
            assert [a == b for a, b in pairwise(stamps)] == [not changes, True, not changes, True], (z, place)


def test_a_case_that_moves_or_goes_changes_the_tile_it_leaves():
    here, there = (116.65, 40.1), (116.68, 40.12)
    tiles = [(16, *(int(axis) >> geometry.WORLD_BITS - 16 for axis in geometry.world_pixel(*p))) for p in (here, there)]
    store = CaseStore.of([Row(UUID(int=7), *here)])
    empty, full = store.stamp(NOW, tiles[1]), store.stamp(NOW, tiles[0])
    store.apply([Row(UUID(int=7), *there, seq=2)])
    assert store.stamp(NOW, tiles[0]) == empty
    assert store.stamp(NOW, tiles[1]) not in (empty, full)
    store.apply([], gone=[UUID(int=7)])
    assert [store.stamp(NOW, tile) for tile in tiles] == [empty, empty]


def test_text_filters_need_their_ids():
    rows = [make_row(random.Random(4), i) for i in range(30)]
    store = CaseStore.of(rows)
    with pytest.raises(ValueError, match="ids"):
        store.mask(EVERYTHING, CaseFilter(q="井盖"), NOW)
    ids = [rows[3].id, rows[4].id, UUID(int=999)]
    assert store.mask(EVERYTHING, CaseFilter(q="井盖"), NOW, ids).count == 2


@given(st.lists(st.booleans(), max_size=400), st.data())
def test_ranked_counts_and_selects(keep, data):
    n = len(keep)
    ranked = Ranked(pack(np.array(keep, np.bool_)))
    low = data.draw(st.integers(0, n))
    high = data.draw(st.integers(low, n))
    members = [i for i, kept_ in enumerate(keep) if kept_]
    assert ranked.count == len(members)
    assert ranked.rows(low, high).tolist() == [i for i in members if low <= i < high]
    assert ranked.among(np.array([0, low, high, n])).tolist() == [
        sum(keep[:low]),
        sum(keep[low:high]),
        sum(keep[high:]),
    ]
    assert ranked.within(low, high) == sum(keep[low:high])
    assert ranked.select(np.arange(len(members))).tolist() == members


# --- Against the database ---------------------------------------------------------------------------------------


def stored(row: Row) -> dict:
    """A Row as a row of ``case``."""
    told = {name: getattr(row, name) for name in Row.__dataclass_fields__}
    return case_row(row.id.int & 0xFFFF, **told | {"co_departments": list(row.co_departments)})


@pytest.fixture
def town_of_cases(tx):
    chance = random.Random(11)
    rows = [make_row(chance, i) for i in range(400)]
    tx.execute(insert(case), [stored(row) for row in rows])
    return rows


def same_columns(one: CaseStore, other: CaseStore) -> bool:
    """Whether two stores hold the same cases with the same values, however they number them."""
    ours, theirs = ({w: s.dictionaries[w].values for w in CODED} for s in (one, other))
    a, b = (s.snapshot.parts[0].segment for s in (one, other))
    order_a, order_b = (np.lexsort((s["id"][:, 1], s["id"][:, 0])) for s in (a, b))
    for name in a.columns:
        left, right = a[name][order_a].tolist(), b[name][order_b].tolist()
        if name in CODED:
            left, right = [ours[name][code] for code in left], [theirs[name][code] for code in right]
        if left != right:
            return False
    return True


def test_loading_by_copy_gives_the_columns_of_the_rows(tx, town_of_cases):
    assert same_columns(CaseStore.load(tx), CaseStore.of(fetch(tx, [row.id for row in town_of_cases])))
    assert same_columns(CaseStore.load(tx), CaseStore.of(town_of_cases))


def test_loading_nothing(tx):
    assert CaseStore.load(tx).mask(EVERYTHING, CaseFilter(), NOW).count == 0


def test_refreshing_reads_what_changed_and_forgets_what_is_gone(tx, town_of_cases):
    store = CaseStore.load(tx)
    changed, gone = town_of_cases[5], town_of_cases[6]
    tx.execute(update(case).where(case.c.id == changed.id).values(status="void", seq=9))
    tx.execute(delete(case).where(case.c.id == gone.id))
    assert store.refresh(tx, [changed.id, gone.id]) == 1
    assert same_rows(store, CaseStore.load(tx))


def same_rows(one: CaseStore, other: CaseStore) -> bool:
    masks = [(s, s.mask(EVERYTHING, CaseFilter(), NOW)) for s in (one, other)]
    return masks[0][1].count == masks[1][1].count and one.facets(masks[0][1], FACETS) == other.facets(
        masks[1][1], FACETS
    )


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scope=scopes, wanted=filters, lag=st.integers(-5, 5))
def test_the_mask_counts_what_the_list_holds(tx, town_of_cases, scope, wanted, lag):
    now = NOW + timedelta(seconds=lag)
    store = CaseStore.of(town_of_cases)
    grants = tuple(
        [Grant("leader", "town")] * scope.everything
        + [Grant("handler", "village", code) for code in scope.villages]
        + [Grant("handler", "duty_grid", code) for code in scope.duty_grids]
        + [Grant("handler", "department", code) for code in scope.departments]
        + [Grant("inspector", "own")] * (scope.own is not None)
    )
    caller = Caller(scope.own or UUID(int=99), "", "", ("", ""), grants, frozenset())
    assert caller.scope == scope
    assert store.mask(scope, wanted, now).count == search.count(tx, caller, wanted, now)


def test_the_check_finds_the_blocks_that_differ(tx, town_of_cases):
    store = CaseStore.load(tx)
    assert store.verify(tx) == []
    odd = town_of_cases[7]
    tx.execute(update(case).where(case.c.id == odd.id).values(seq=50))
    block = odd.mk >> 2 * (geometry.WORLD_BITS - 13)
    assert store.verify(tx) == [block]
    gone = next(row for row in town_of_cases if row.mk >> 2 * (geometry.WORLD_BITS - 13) != block)
    tx.execute(delete(case).where(case.c.id == gone.id))
    assert block in store.repair(tx)
    assert store.verify(tx) == []
    assert same_rows(store, CaseStore.load(tx))


moments = st.one_of(st.just(0), st.just(2**32 - 1), st.integers(1, 2**32 - 2))


@given(st.lists(moments, max_size=200), st.integers(-1, 2**32), st.integers(-1, 2**32), st.randoms())
def test_a_sparse_column_is_the_column(values, a, b, chance):
    column = np.array(values, np.uint32)
    kept, (low, high) = Sparse(column), sorted((a, b))
    assert kept.full().tolist() == values
    rows = np.array(chance.sample(range(len(values)), len(values) // 2), np.int64)
    assert kept.at(rows).tolist() == [values[row] for row in rows]
    assert Ranked(kept.within(low, high)).rows(0, len(values)).tolist() == [
        row for row, value in enumerate(values) if low <= value <= high
    ]
    segment = Segment({"mk": np.arange(len(values)), "due": column})
    rows, told = segment.told("due")
    assert dict(zip(rows.tolist(), told.tolist(), strict=True)) == {
        row: value for row, value in enumerate(values) if 0 < value < 2**32 - 1
    }


@given(
    st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=100), st.integers(0, 20), st.integers(0, 2**60), st.data()
)
def test_numbers_near_each_other_are_kept_in_half_the_room(offsets, shift, least, data):
    values = [least + (offset << shift) for offset in offsets]
    column = np.array(values, np.int64)
    kept = Near.of(column)
    assert isinstance(kept, Near)
    assert kept.full().tolist() == values
    rows = data.draw(st.lists(st.integers(0, len(values) - 1)))
    assert kept.at(np.array(rows, np.int64)).tolist() == [values[row] for row in rows]
    far = np.array([*values, least, least + 2**62 + 1], np.int64)
    assert Near.of(far) is far


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=300), st.data())
def test_pixels_are_summed_run_by_run(codes, data):
    first = np.array(sorted({0, *data.draw(st.lists(st.integers(0, len(codes) - 1)))}))
    for kind in (np.uint32, np.int64):
        sx, sy = pixel_sums(np.array(codes, kind), first)
        places = [geometry.deinterleave(code) for code in codes]
        edges = [*first.tolist(), len(codes)]
        runs = [places[a:b] for a, b in pairwise(edges)]
        assert sx.tolist() == [sum(int(x) for x, _ in run) for run in runs]
        assert sy.tolist() == [sum(int(y) for _, y in run) for run in runs]
