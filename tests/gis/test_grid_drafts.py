"""Plans of the demo town's grids: published for a day, in force on it; cases keep the grid of their day."""

from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import shapely
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import OperationalError

from gis import areas, errors, grid_drafts, grids, lineage, map_shapes, measures, shapes, statistics, walking
from gis.areas import Areas
from gis.db import Connection, transaction
from gis.grid_figures import Weighed
from gis.grid_plan import pieces
from gis.people import Caller, Grant
from gis.tables import case, component, duty_grid, duty_grid_member, town, unit_grid
from gis.validity import ZONE, today
from tests.gis.case_rows import row
from tests.gis.test_grid_plan import across

DAY = timedelta(days=1)
NOON = datetime.combine(today(), time(12), ZONE)


def editor(name: str = "甲") -> Caller:
    return Caller(UUID(int=1), name, name, ("D01", "中心"), (Grant("leader", "town", ""),), frozenset({"grid.manage"}))


def draft(tx: Connection, *steps: dict[str, Any], day: Any = None, seen: int = 0) -> grid_drafts.Opened:
    body = {"day": (day or today()).isoformat(), "steps": list(steps), "undone": []}
    return grid_drafts.save(tx, body, seen, editor())


def busy(tx: Connection) -> str:
    """A grid with components, in a duty grid."""
    held = (
        select(component.c.unit_grid_code)
        .group_by(component.c.unit_grid_code)
        .order_by(func.count().desc(), component.c.unit_grid_code)
    )
    return str(tx.execute(held.limit(1)).scalar_one())


def split_of(tx: Connection, code: str) -> dict[str, Any]:
    polygon = grid_drafts.start_on(tx, today()).cells[code].polygon
    return {"step": "split", "grid": code, "line": across(polygon)}


def sound(tx: Connection, day: Any) -> None:
    """The grids in force on the day tile the villages, by the rules of an import."""
    rows = tx.execute(
        select(unit_grid.c.code, unit_grid.c.village_code, func.ST_AsBinary(unit_grid.c.geom)).where(
            unit_grid.c.valid_from <= day, func.coalesce(unit_grid.c.valid_to, day + DAY) > day
        )
    ).all()
    polygons = shapely.from_wkb([bytes(one[2]) for one in rows])
    villages = np.array([one[1] for one in rows], dtype=object)
    code = tx.execute(select(town.c.code)).scalar_one()
    lands = grids.village_lands(tx, code, day)
    assert grids.overlaps(polygons) == []
    assert grids.gaps(polygons, villages, lands) == []
    assert not grids.outside(polygons, villages, lands).any()
    assert shapely.coverage_is_valid(polygons)


def test_a_plan_for_today_is_in_force_at_once_and_cases_keep_their_grid(tx: Connection) -> None:
    code = busy(tx)
    polygon = grid_drafts.start_on(tx, today()).cells[code].polygon
    spot = polygon.representative_point()
    tx.execute(insert(case), [row(1, unit_grid_code=code, lon=spot.x, lat=spot.y)])
    before = areas.areas(tx)
    old = before.at(spot.x, spot.y)
    held = tx.execute(select(func.count()).where(component.c.unit_grid_code == code)).scalar_one()
    highest = tx.execute(select(func.max(unit_grid.c.code)).where(unit_grid.c.village_code == code[:12])).scalar_one()
    opened = draft(tx, split_of(tx, code))
    assert [cell.duty for key, cell in opened.plan.cells.items() if key.startswith("n")] == [old.duty_grid_code] * 2
    grid_drafts.publish(tx, opened.revision, today(), "路通了", editor())

    after = areas.areas(tx).at(spot.x, spot.y)
    new = {f"{code[:12]}{int(highest[12:]) + k:03d}" for k in (1, 2)}
    assert after.unit_grid_code in new
    assert (after.duty_grid_code, after.village_code) == (old.duty_grid_code, old.village_code)
    assert tx.execute(select(case.c.unit_grid_code, case.c.duty_grid_code)).one() == (code, "D1")
    moved = tx.execute(select(component.c.unit_grid_code).where(component.c.unit_grid_code.in_(new))).scalars().all()
    assert len(moved) == held
    assert set(grids.retired_codes(tx, today())) == {code}
    assert grid_drafts.waiting(tx) is None
    assert grid_drafts.opened(tx).revision == 0
    sound(tx, today())
    drawn = {feature["properties"]["code"] for feature in shapes.unit_grids(tx)}
    assert new <= drawn
    assert code not in drawn
    told = lineage.relatives(tx, code)
    assert {one["code"] for one in told["became"]} == new
    assert sum(one["share"] for one in told["became"]) == pytest.approx(1.0)


def test_a_plan_for_a_later_day_waits_and_is_taken_on_it(tx: Connection) -> None:
    code, later = busy(tx), today() + 7 * DAY
    start = grid_drafts.start_on(tx, today())
    spot = start.cells[code].polygon.representative_point()
    duty = start.cells[code].duty
    mates = [key for key in start.members(duty) if key != code]
    near = next(
        (key, start.cells[other].duty)
        for key in mates
        for other in start.cells
        if start.cells[other].village == start.cells[key].village
        and start.cells[other].duty != duty
        and start.cells[key].polygon.intersection(start.cells[other].polygon).length > 0
    )
    steps = (
        split_of(tx, code),
        {"step": "assign", "grids": [near[0]], "duty": near[1]},
        {"step": "rename", "duty": near[1], "name": "新名"},
    )
    opened = draft(tx, *steps, day=later)
    shape = tx.execute(select(duty_grid.c.geom).where(duty_grid.c.code == near[1])).scalar_one()
    drawn_before = map_shapes.version(tx)
    grid_drafts.publish(tx, opened.revision, later, "", editor())

    # Until then nothing is different: places, map, memberships, components.
    assert areas.areas(tx).at(spot.x, spot.y).unit_grid_code == code
    assert areas.areas(tx).valid_to == later
    assert code in {feature["properties"]["code"] for feature in shapes.unit_grids(tx)}
    member = select(duty_grid_member.c.duty_grid_code).where(duty_grid_member.c.unit_grid_code == near[0])
    assert tx.execute(member).scalar_one() == duty
    assert tx.execute(select(duty_grid.c.geom).where(duty_grid.c.code == near[1])).scalar_one().desc == shape.desc
    assert Areas.load(tx, later).at(spot.x, spot.y).unit_grid_code > code
    assert Areas.load(tx, later).at(spot.x, spot.y).duty_grid_code == duty
    sound(tx, today())
    # It holds the field: neither another plan nor a survey comes between.
    again = draft(tx, {"step": "rename", "duty": near[1], "name": "又名"}, day=later)
    assert again.start.cells[near[0]].duty == near[1]
    assert again.start.duties[near[1]].name == "新名"
    with pytest.raises(errors.GridsScheduled), tx.begin_nested():
        grid_drafts.publish(tx, again.revision, later, "", editor())
    with pytest.raises(errors.GridsScheduled):
        grids.land(tx, grid_set(tx, code[:12]), today())

    assert grid_drafts.take(tx, later - DAY) == 0
    assert grid_drafts.take(tx, later) == 1
    assert grid_drafts.take(tx, later) == 0
    sound(tx, later)
    assert tx.execute(member).scalar_one() == near[1]
    assert tx.execute(select(duty_grid.c.name).where(duty_grid.c.code == near[1])).scalar_one() == "新名"
    assert tx.execute(select(duty_grid.c.geom).where(duty_grid.c.code == near[1])).scalar_one().desc != shape.desc
    assert tx.execute(select(func.count()).where(component.c.unit_grid_code == code)).scalar_one() == 0
    assert map_shapes.version(tx) != drawn_before
    # The duty grids' shapes are their members'.
    for duty_code in (duty, near[1]):
        whole = tx.execute(
            select(func.ST_AsBinary(func.ST_Union(unit_grid.c.geom)))
            .join(duty_grid_member, duty_grid_member.c.unit_grid_code == unit_grid.c.code)
            .where(duty_grid_member.c.duty_grid_code == duty_code)
        ).scalar_one()
        drawn = tx.execute(select(func.ST_AsBinary(duty_grid.c.geom)).where(duty_grid.c.code == duty_code)).scalar_one()
        assert shapely.from_wkb(bytes(whole)).symmetric_difference(shapely.from_wkb(bytes(drawn))).area < 1e-12


def grid_set(tx: Connection, village: str) -> grids.GridSet:
    codes, polygons = grids.in_force(tx, [village], today(), inside=True)
    blank = np.full(len(codes), "", dtype=object)
    classes = np.full(len(codes), "B", dtype=object)
    return grids.GridSet(codes, np.full(len(codes), village, dtype=object), classes, blank, blank, polygons)


def test_a_withdrawn_plan_leaves_nothing_but_used_codes_and_its_draft(tx: Connection) -> None:
    code, later = busy(tx), today() + DAY
    before = [tuple(one) for one in tx.execute(select(duty_grid_member).order_by("unit_grid_code"))]
    whole = grid_drafts.start_on(tx, today())
    opened = draft(tx, split_of(tx, code), {"step": "group", "grids": ["n1.1"], "name": "新片"}, day=later)
    plan = grid_drafts.publish(tx, opened.revision, later, "", editor())
    first = set(grid_drafts.waiting(tx).changes["opened"])
    grid_drafts.withdraw(tx, plan, editor("乙"))
    assert [tuple(one) for one in tx.execute(select(duty_grid_member).order_by("unit_grid_code"))] == before
    assert grid_drafts.start_on(tx, later) == whole
    assert grid_drafts.take(tx, later) == 0
    assert lineage.family(tx) == []
    back = grid_drafts.opened(tx)
    assert (back.by, len(back.steps), back.found.broken) == ("乙", 2, [])
    with pytest.raises(errors.NotFound):
        grid_drafts.withdraw(tx, plan, editor())
    # What was announced once is never another grid's code.
    second = grid_drafts.publish(tx, back.revision, today(), "", editor())
    assert second != plan
    codes = {one.new for one in lineage.family(tx)}
    assert len(codes) == 2
    assert min(codes) > max(first)
    duties = tx.execute(select(duty_grid.c.code).where(duty_grid.c.name == "新片")).scalars().all()
    assert len(duties) == 2


def test_a_plan_is_not_withdrawn_once_its_day_has_come(tx: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where no relay has taken it yet: its grids are in force, and cases lie in them."""
    later = today() + DAY
    opened = draft(tx, split_of(tx, busy(tx)), day=later)
    plan = grid_drafts.publish(tx, opened.revision, later, "", editor())
    monkeypatch.setattr(grid_drafts, "today", lambda: later)
    with pytest.raises(errors.NotFound):
        grid_drafts.withdraw(tx, plan, editor())
    assert grid_drafts.take(tx, later) == 1


def test_an_import_of_grids_waits_for_who_publishes_a_plan(database: Any) -> None:
    """It would else land beside a plan that rests on the grids as they were."""
    with transaction(database.engine) as mine:
        opened = draft(mine, split_of(mine, busy(mine)), day=today() + DAY)
        village = next(iter(opened.plan.cells.values())).village
        grid_drafts.publish(mine, opened.revision, today() + DAY, "", editor())
        with transaction(database.engine) as theirs:
            theirs.execute(text("set local lock_timeout = '100ms'"))
            with pytest.raises(OperationalError):
                grids.land(theirs, grid_set(theirs, village), today())
    with pytest.raises(errors.GridsScheduled), transaction(database.engine) as theirs:
        grids.land(theirs, grid_set(theirs, village), today())


def test_a_plan_is_refused_with_what_is_wrong(tx: Connection) -> None:
    start = grid_drafts.start_on(tx, today())
    code = busy(tx)
    with pytest.raises(errors.BorderRefused):
        draft(tx, {"step": "split", "grid": code, "line": [[1.0, 1.0], [1.0, 2.0]]})
    assert grid_drafts.opened(tx).revision == 0
    opened = draft(tx)
    with pytest.raises(errors.PlanFaulty), tx.begin_nested():
        grid_drafts.publish(tx, opened.revision, today(), "", editor())
    with pytest.raises(errors.DateRefused):
        grid_drafts.publish(tx, opened.revision, today() - DAY, "", editor())
    bridge = next(
        key
        for duty in start.duties
        for key in start.members(duty)
        if len(pieces(start, [member for member in start.members(duty) if member != key])) > 1
    )
    torn = draft(tx, {"step": "group", "grids": [bridge], "name": "独"}, seen=opened.revision)
    assert [fault.code for fault in grid_drafts.problems(tx, torn)] == ["duty_apart"]
    with pytest.raises(errors.PlanFaulty) as refused, tx.begin_nested():
        grid_drafts.publish(tx, torn.revision, today(), "", editor())
    assert refused.value.detail == {"faults": ["duty_apart"], "broken": []}
    with pytest.raises(errors.StaleDraft) as stale:
        draft(tx, seen=opened.revision)
    assert stale.value.detail["by"] == "甲"


def test_figures_stay_comparable_over_a_split_and_a_merge(tx: Connection) -> None:
    """Cases before and after: told in today's grids the counts are whole, and every rate is of the same land."""
    code = busy(tx)
    rows = [row(n, unit_grid_code=code, village_code=code[:12], reported_at=NOON) for n in range(1, 9)]
    tx.execute(insert(case), rows)
    measures.apply(tx, [one["id"] for one in rows])
    opened = draft(tx, split_of(tx, code))
    grid_drafts.publish(tx, opened.revision, today(), "", editor())
    halves = sorted(one["code"] for one in lineage.relatives(tx, code)["became"])
    later = [row(n, unit_grid_code=halves[0], village_code=code[:12], reported_at=NOON) for n in (11, 12)]
    tx.execute(insert(case), later)
    measures.apply(tx, [one["id"] for one in later])
    counted = statistics.statistics(tx, editor(), measures=("reported",), by="unit_grid")
    own = {line.key: {"n": float(line.values["reported"])} for line in counted.rows}
    assert own == {code: {"n": 8.0}, halves[0]: {"n": 2.0}}
    shares = {one["code"]: one["share"] for one in lineage.relatives(tx, code)["became"]}
    split = lineage.fold(own, lineage.family(tx, today()))
    assert {key: one.values["n"] for key, one in split.items()} == pytest.approx(
        {halves[0]: 2 + 8 * shares[halves[0]], halves[1]: 8 * shares[halves[1]]}
    )
    assert not split[halves[0]].exact
    merged = draft(tx, {"step": "merge", "grids": halves})
    grid_drafts.publish(tx, merged.revision, today(), "", editor())
    (whole,) = lineage.relatives(tx, halves[0])["became"]
    told = lineage.fold(own, lineage.family(tx, today()))
    assert set(told) == {whole["code"]}
    assert told[whole["code"]].values["n"] == pytest.approx(10.0)


def test_a_plans_figures_are_those_of_its_grids(tx: Connection) -> None:
    """Split grids are counted by place: the halves add up to the whole, and every street is in exactly one grid."""
    code = busy(tx)
    tx.execute(
        insert(case),
        [row(n, unit_grid_code=code, lon=x, lat=y, reported_at=NOON) for n, (x, y) in enumerate(_spots(tx, code), 1)],
    )
    measures.apply(tx, [UUID(int=n) for n in range(1, 6)])
    opened = draft(tx, split_of(tx, code))
    weighed = Weighed(tx, editor(), opened)
    fresh = [key for key in opened.plan.cells if key not in opened.start.cells]
    assert sum(weighed.after[key] for key in fresh) == pytest.approx(weighed.before[code], rel=1e-5)
    assert weighed.before[code][2:4].tolist() == [5, 5]
    before = weighed.lines(opened.start, weighed.before)
    after = weighed.lines(opened.plan, weighed.after)
    assert [line.walk_km for line in before] == pytest.approx([line.walk_km for line in after], abs=0.02)
    streets = walking.streets(tx)
    inside = sum(line.walk_km for line in before)
    assert 0.9 * streets.metres.sum() / 1000 <= inside <= streets.metres.sum() / 1000 + 0.1


def _spots(tx: Connection, code: str) -> list[tuple[float, float]]:
    polygon = grid_drafts.start_on(tx, today()).cells[code].polygon
    rng = np.random.default_rng(3)
    found: list[tuple[float, float]] = []
    west, south, east, north = polygon.bounds
    while len(found) < 5:
        x, y = rng.uniform(west, east), rng.uniform(south, north)
        if polygon.contains(shapely.Point(x, y)):
            found.append((float(x), float(y)))
    return found


def test_a_street_is_half_of_the_grid_on_each_side() -> None:
    west, east = shapely.box(116.60, 40.10, 116.61, 40.11), shapely.box(116.61, 40.10, 116.62, 40.11)
    between = shapely.LineString([(116.61, 40.101), (116.61, 40.109)])
    within = shapely.LineString([(116.602, 40.105), (116.605, 40.105)])
    metres = 0.008 * 111_035  # a degree of the meridian at 40.1° N (GRS 80) is about 111,035 m
    across_m = 0.003 * 85_270  # and of the parallel there about 85,270 m
    ways = walking.walks(walking.strides(np.array([between, within])), np.array([west, east]))
    assert ways == pytest.approx([metres / 2 + across_m, metres / 2], rel=1e-3)


def test_a_suggested_regrouping_is_taken_into_the_draft_and_evens_the_load(tx: Connection) -> None:
    start = grid_drafts.start_on(tx, today())
    weighed = Weighed(tx, editor(), grid_drafts.opened(tx))
    found = weighed.suggestion([])
    assert found.skipped == []
    assert found.members
    assert all(after <= before for before, after in found.unevenness.values())
    assert sum(after for _, after in found.unevenness.values()) < sum(before for before, _ in found.unevenness.values())
    opened = draft(tx, {"step": "regroup", "members": dict(found.members)})
    assert grid_drafts.problems(tx, opened) == []
    grid_drafts.publish(tx, opened.revision, today(), "", editor())
    now = grid_drafts.start_on(tx, today())
    assert {key: now.cells[key].duty for key in found.members} == dict(found.members)
    assert set(now.duties) == set(start.duties)


def test_a_grid_that_stays_gets_another_class_on_the_day_and_cases_keep_theirs(tx: Connection) -> None:
    code = busy(tx)
    before = tx.execute(select(unit_grid.c.area_class, unit_grid.c.land_use).where(unit_grid.c.code == code)).one()
    other = "C" if before.area_class != "C" else "A"
    tx.execute(insert(case).values(row(1, unit_grid_code=code, area_class=before.area_class)))
    told = {"step": "describe", "grid": code, "area_class": other, "land_use": "学校"}
    found = draft(tx, told, day=today() + DAY)
    out = grid_drafts.result(tx, found)
    assert (list(out.opened), list(out.ended)) == ([], [])
    assert dict(out.described) == {code: {"area_class": other, "land_use": "学校"}}
    grid_drafts.publish(tx, found.revision, today() + DAY, "", editor())
    now = select(unit_grid.c.area_class).where(unit_grid.c.code == code)
    assert tx.execute(now).scalar_one() == before.area_class, "not before its day"
    # Whoever drafts for that day sees it already.
    assert grid_drafts.start_on(tx, today() + DAY).cells[code].area_class == other
    assert grid_drafts.take(tx, today() + DAY) == 1
    assert tx.execute(now).scalar_one() == other
    assert Areas.load(tx, today() + DAY).at(*_spots(tx, code)[0]).area_class == other
    assert tx.execute(select(case.c.area_class)).scalar_one() == before.area_class
    (history,) = lineage.described(tx, code)
    assert history == {
        "from": today() + DAY,
        "before": {"area_class": before.area_class, "land_use": before.land_use},
        "after": {"area_class": other, "land_use": "学校"},
    }


def test_two_drafts_stand_beside_each_other_until_one_changes_the_others_grids(tx: Connection) -> None:
    code = busy(tx)
    split = split_of(tx, code)
    first = draft(tx, split)
    body = {"day": today().isoformat(), "steps": [split], "undone": [], "name": "东区"}
    second = grid_drafts.save(tx, body, 0, editor("乙"), "b2")
    assert [(one["key"], one["name"], one["by"]) for one in grid_drafts.every(tx)] == [
        ("", "", "甲"),
        ("b2", "东区", "乙"),
    ]
    grid_drafts.publish(tx, first.revision, today(), "", editor(), "", first.base)
    # The other was looked at upon the old grids; its split has lost its grid and is named, not published.
    with pytest.raises(errors.StaleDraft):
        grid_drafts.publish(tx, second.revision, today(), "", editor("乙"), "b2", second.base)
    again = grid_drafts.opened(tx, "b2")
    assert [number for number, _ in again.found.broken] == [0]
    with pytest.raises(errors.PlanFaulty), tx.begin_nested():
        grid_drafts.publish(tx, again.revision, today(), "", editor("乙"), "b2", again.base)
    assert [one["key"] for one in grid_drafts.every(tx)] == ["b2"]
    grid_drafts.discard(tx, again.revision, "b2")
    assert grid_drafts.every(tx) == []
