"""A survey's way into the census: draft, checks, repairs, acceptance, publication, versions, taking back."""

import csv
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import shapely
from sqlalchemy import func, select, update

from gis import (
    cases,
    census_acceptance,
    census_check,
    census_drafts,
    census_publish,
    component_history,
    definitions,
    errors,
    geometry,
    imports,
    points_components,
)
from gis.areas import areas
from gis.case_report import Report
from gis.case_rows import Photo
from gis.census_diff import KINDS
from gis.census_repairs import Repair
from gis.db import Connection, transaction
from gis.import_mapping import Mapping, parse
from gis.people import Caller, Grant
from gis.tables import case, case_event, census_row, component, component_version, import_run, quarantine, survey
from gis.validity import ZONE

CLERK = Caller(None, "clerk", "普查员", ("D01", ""), (Grant("census_clerk", "town"),), frozenset({"census.manage"}))
CODED = """
kind: components
source: second-survey
crs: {crs}
geometry: {{x: x, y: y}}
identifier: {{column: code, kind: component_code}}
category: {{catalogue: cjt214-2007, name_column: art}}
fields:
  state: {{column: state, values: {{完好: intact, 破损: damaged}}}}
  accuracy_class: {{column: class}}
  competent_unit: {{column: unit}}
  unit_grid_code: {{column: grid}}
  changed_on: {{column: changed}}
properties: [material]
"""


def mapped(crs: str = "EPSG:4490", more: str = CODED) -> Mapping:
    return parse(more.format(crs=crs))


def census(tx: Connection, category: str = "0104", number: int = 40) -> list[dict[str, Any]]:
    """A survey that says what is published: rows of intact components of one category, far enough apart."""
    rows, kept = (
        tx.execute(
            select(component)
            .where(component.c.category_code == category, component.c.state == "intact")
            .order_by(component.c.code)
        ).all(),
        [],
    )
    for row in rows:
        if all(geometry.distance_m(row.lon, row.lat, other["x"], other["y"]) > 12 for other in kept):
            kept.append(
                {
                    "code": row.code, "x": row.lon, "y": row.lat, "art": "", "state": "完好",
                    "class": row.accuracy_class, "unit": row.competent_unit, "grid": row.unit_grid_code,
                    "changed": "", "material": "",
                }
            )  # fmt: skip
        if len(kept) == number:
            break
    assert len(kept) == number
    return kept


def surveyed(tx: Connection) -> list[dict[str, Any]]:
    """Where every published component lies and in which grid."""
    rows = tx.execute(select(component.c.lon, component.c.lat, component.c.unit_grid_code).order_by(component.c.code))
    return [{"x": row.lon, "y": row.lat, "grid": row.unit_grid_code} for row in rows]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


class Draft:
    """A draft in this transaction, checked as a worker would."""

    def __init__(self, tx: Connection, path: Path, rows: list[dict[str, Any]], mapping: Mapping) -> None:
        self.tx, self.id, self.mapping = tx, uuid4(), mapping
        census_drafts.begin(tx, CLERK, self.id, "第二次普查", path.name, str(write(path, rows)), "")
        self.check()

    def check(self) -> None:
        """What the worker does, and that the run has ended."""
        census_check.check(self.tx, self.id, self.mapping, lambda *_: None)
        self.tx.execute(update(import_run).where(import_run.c.draft_id == self.id).values(state="done"))

    def repair(self, made: Repair) -> None:
        census_drafts.changeable(self.tx, self.id)
        census_drafts.repair(self.tx, CLERK, self.id, made)
        self.check()

    def accept(self, code: str) -> None:
        census_drafts.accept(self.tx, CLERK, self.id, code)
        self.check()

    @property
    def now(self) -> dict[str, Any]:
        return census_drafts.get(self.tx, self.id)

    @property
    def counts(self) -> dict[str, Any]:
        counts: dict[str, Any] = self.now["counts"]
        return counts

    def findings(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for one in census_drafts.findings(self.tx, self.id, limit=500):
            found.setdefault(one["code"], []).append(one)
        return found

    def pass_acceptance(self) -> None:
        census_acceptance.draw(self.tx, CLERK, self.id, "aql4", "seed")
        sample = census_acceptance.samples(self.tx, self.id)[0]
        for row in census_acceptance.rows_of(self.tx, self.id, sample["id"]):
            census_acceptance.record(self.tx, CLERK, self.id, row["row"], [])

    def publish(self) -> dict[str, Any]:
        return census_publish.publish(self.tx, CLERK, self.id, self.now["revision"])


def differing(counts: dict[str, Any]) -> dict[str, int]:
    return {kind: n for kind, n in counts["differences"].items() if n}


# --- Checks ---------------------------------------------------------------------------------------------------------


def test_the_same_survey_again_changes_nothing(tx: Connection, tmp_path: Path) -> None:
    rows = census(tx)
    for row in rows:  # within what two surveys of class A may part
        row["x"] += 0.4 / metres_east(row)
    draft = Draft(tx, tmp_path / "s.csv", rows, mapped())
    assert (draft.now["state"], draft.counts["good"], draft.counts["bad"]) == ("open", 40, 0)
    villages = {row["grid"][:12] for row in rows}
    of_villages = (
        select(func.count())
        .select_from(component)
        .where(
            component.c.category_code == "0104", component.c.village_code.in_(villages), component.c.state != "removed"
        )
    )
    there = tx.execute(of_villages).scalar_one()
    assert differing(draft.counts) == {"unchanged": 40, "removed": there - 40}
    census_drafts.change(tx, draft.id, None, "none")
    draft.check()
    assert differing(draft.counts) == {"unchanged": 40}


def metres_east(row: dict[str, Any]) -> float:
    return float(geometry.metres_per_degree(row["y"])[0])


SPOILT = {
    "component_duplicate": lambda rows, n: rows[n].update(code=rows[0]["code"]),
    "component_code_bad": lambda rows, n: rows[n].update(code="999999" + rows[n]["code"][6:]),
    "category_mismatch": lambda rows, n: rows[n].update(art="路灯"),
    "grid_mismatch": lambda rows, n: rows[n].update(grid=rows[n]["grid"][:12] + "999"),
    "department_unknown": lambda rows, n: rows[n].update(unit="市容环境科"),
    "value_unknown": lambda rows, n: rows[n].update(state="好的"),
    "date_bad": lambda rows, n: rows[n].update(changed="1 May"),
    "swapped_axes": lambda rows, n: rows[n].update(x=rows[n]["y"], y=rows[n]["x"]),
    "null_island": lambda rows, n: rows[n].update(x=0, y=0),
}


def test_every_fault_is_named_by_row_with_what_could_be_done(tx: Connection, tmp_path: Path) -> None:
    rows = census(tx)
    for n, spoil in enumerate(SPOILT.values(), start=1):
        spoil(rows, n)
    rows[20]["class"] = ""
    rows[21]["unit"] = ""
    rows[22] |= {"x": rows[23]["x"] + 0.2 / metres_east(rows[23]), "y": rows[23]["y"], "grid": rows[23]["grid"]}
    draft = Draft(tx, tmp_path / "s.csv", rows, mapped())
    found = draft.findings()
    for n, code in enumerate(SPOILT, start=1):
        assert n + 2 in [one["row"] for one in found[code]], code
        assert all(one["severity"] == "error" and one["zh"] and one["en"] for one in found[code])
    assert draft.counts["bad"] == len(SPOILT)
    assert [one["row"] for one in found["accuracy_missing"]] == [22]
    assert [one["row"] for one in found["unit_missing"]] == [23]
    assert [one["row"] for one in found["component_near"]] == [25]
    suggested = {code: found[code][0]["suggestion"] for code in SPOILT}
    assert {code: s and s["kind"] for code, s in suggested.items()} == {
        "component_duplicate": "exclude", "component_code_bad": "new_code", "category_mismatch": "new_code",
        "grid_mismatch": "set", "department_unknown": "map", "value_unknown": None, "date_bad": "set",
        "swapped_axes": "swap", "null_island": "exclude",
    }  # fmt: skip
    assert suggested["category_mismatch"]["value"] == "0118"  # by its name
    with pytest.raises(errors.DraftUnready):
        census_acceptance.draw(tx, CLERK, draft.id, "aql4")

    # Suggestions in bulk, one decision by hand, the rest left out: then nothing is wrong any more.
    for code, told in suggested.items():
        if told:
            draft.accept(code)
    draft.repair(Repair("map", {"好的": "intact"}, "state"))
    assert draft.counts["bad"] == 0
    assert draft.counts["excluded"] == 2
    fixed = {row.row: row for row in tx.execute(select(census_row).where(census_row.c.draft_id == draft.id))}
    assert fixed[5].category_code == "0118"
    assert fixed[5].code == ""
    assert (fixed[6].unit_grid_code, fixed[7].status) == (census(tx)[4]["grid"], "good")
    assert geometry.distance_m(fixed[10].lon, fixed[10].lat, *[census(tx)[8][k] for k in ("x", "y")]) < 0.01
    assert [(r["kind"], r["finding"]) for r in draft.now["repairs"]][-1] == ("map", "")
    census_drafts.take_back(tx, draft.id, draft.now["repairs"][0]["number"])
    draft.check()
    assert draft.counts["bad"] == 1
    assert census_drafts.exclude(tx, CLERK, draft.id) == 1
    draft.check()
    assert (draft.counts["bad"], draft.counts["excluded"]) == (0, 2)


def test_no_row_beyond_the_border_is_offered_a_system_that_is_not_meant(tx: Connection, tmp_path: Path) -> None:
    """Between the town's border and its rectangle every system of the same datum "fits", and helps nothing; just beyond
    the border one of another datum does. Only the grid that a row names tells that it was meant."""
    index = areas(tx)
    west, south, east, north = index.bounds
    rows = census(tx)
    corners = [(x, y) for x in (west + 1e-6, east - 1e-6) for y in (south + 1e-6, north - 1e-6)]
    x, y = next(at for at in corners if not shapely.intersects_xy(index.outline, *at))
    rows[0] |= {"x": x, "y": y, "grid": ""}
    # As GCJ-02 these two lie in the town: one says in which grid, the other says nothing.
    places = [(row, geometry.from_4490(row["x"], row["y"], "GCJ-02")) for row in surveyed(tx)]
    shifted = [(row, at) for row, at in places if not shapely.intersects_xy(index.outline, *at)][:2]
    for n, (row, at) in enumerate(shifted, start=1):
        rows[n] |= {"x": at[0], "y": at[1], "grid": row["grid"] if n == 1 else ""}
    draft = Draft(tx, tmp_path / "s.csv", rows, mapped("EPSG:4326"))
    found = [(one["row"], one["suggestion"]["kind"]) for one in draft.findings()["outside_town"]]
    assert found == [(2, "exclude"), (3, "crs"), (4, "exclude")]


@pytest.mark.parametrize("crs", ["GCJ-02", "EPSG:4548"])
def test_a_wrong_coordinate_system_is_named_without_grids_and_read_anew(
    tx: Connection, tmp_path: Path, crs: str
) -> None:
    rows = census(tx)
    for row in rows:
        row["x"], row["y"] = geometry.from_4490(row["x"], row["y"], crs)
        row["grid"] = ""
    draft = Draft(tx, tmp_path / "s.csv", rows, mapped())
    assert draft.now["state"] == "refused"
    assert draft.now["problem"]["detail"]["fits"][0] == crs
    draft.repair(Repair("crs", {"0": crs}))
    assert (draft.now["state"], draft.now["crs"], draft.counts["bad"]) == ("open", crs, 0)
    assert draft.counts["differences"]["unchanged"] == 40


def test_axes_exchanged_in_the_whole_file_are_exchanged_back(tx: Connection, tmp_path: Path) -> None:
    rows = census(tx)
    for row in rows:
        row["x"], row["y"] = row["y"], row["x"]
    draft = Draft(tx, tmp_path / "s.csv", rows, mapped())
    assert draft.now["problem"]["detail"]["reason"] == "swapped_axes"
    draft.repair(Repair("swap", {"0": None}))
    assert (draft.now["state"], draft.counts["differences"]["unchanged"]) == ("open", 40)


def test_a_shift_of_all_is_said_and_a_survey_without_codes_is_matched_by_place(tx: Connection, tmp_path: Path) -> None:
    rows = census(tx)
    for row in rows:
        row["x"] += 6.0 / metres_east(row)
        row["grid"] = ""
    draft = Draft(tx, tmp_path / "s.csv", rows, mapped())
    (shift,) = draft.findings()["common_shift"]
    east, north = (float(part) for part in shift["value"].split(", "))
    assert (shift["row"], shift["severity"]) == (0, "warning")
    assert abs(east - 6) < 0.1
    assert abs(north) < 0.1

    # The same thing under another survey's numbers: near enough it is the same, farther off somebody has to say so.
    rows = census(tx)
    for n, row in enumerate(rows):
        row["x"] += (0.3 if n else 5.0) / metres_east(row)
        row |= {"code": f"N{n}", "art": "雨水箅子", "grid": ""}
    uncoded = mapped(
        more=CODED.replace("kind: component_code", "kind: source").replace(
            "catalogue: cjt214-2007, name_column: art", "catalogue: cjt214-2007, constant: '0104'"
        )
    )
    draft = Draft(tx, tmp_path / "u.csv", rows, uncoded)
    near = draft.findings()["component_known"]
    assert [one["row"] for one in near] == [2]
    assert draft.counts["differences"]["unchanged"] == 39
    draft.accept("component_known")
    assert (draft.counts["differences"]["unchanged"], draft.counts["differences"]["moved"]) == (39, 1)


UNCODED = CODED.replace("kind: component_code", "kind: source").replace(
    "catalogue: cjt214-2007, name_column: art", "catalogue: cjt214-2007, column: kind"
)


def test_a_row_is_one_published_component_of_its_category_or_is_named(tx: Connection, tmp_path: Path) -> None:
    rows = census(tx)
    codes = [row["code"] for row in rows]
    for n, row in enumerate(rows):
        row |= {"code": f"N{n}", "kind": "0104", "grid": "", "x": row["x"] + 3.0 / metres_east(row)}
    draft = Draft(tx, tmp_path / "u.csv", rows, mapped(more=UNCODED))
    other = tx.execute(select(component.c.code).where(component.c.category_code == "0103").limit(1)).scalar_one()
    draft.repair(Repair("match", {"2": codes[0], "3": codes[0], "4": "nonsense", "5": other, "6": codes[4]}))
    found = {one["row"]: (one["code"], one["value"]) for one in census_drafts.findings(tx, draft.id, severity="error")}
    assert found == {
        3: ("component_duplicate", codes[0]),
        4: ("component_code_bad", "nonsense"),
        5: ("category_mismatch", other),
    }
    with pytest.raises(errors.Malformed):
        census_drafts.repair(tx, CLERK, draft.id, Repair("exclude", {"9" * 5000: None}))
    # A register that has the identifier under another category is not written over.
    of = select(component.c.survey_id).where(component.c.code == other).scalar_subquery()
    tx.execute(update(survey).where(survey.c.id == of).values(name="second-survey"))
    tx.execute(update(component).where(component.c.code == other).values(source_code="N9"))
    draft.check()
    found = {one["row"]: one["code"] for one in census_drafts.findings(tx, draft.id, severity="error")}
    assert found[11] == "category_mismatch"


def test_what_a_survey_adds_is_not_added_twice(database: Any, tmp_path: Path) -> None:
    """Two drafts of one survey, and a report from the field of what a third draft has as well."""
    with transaction(database.engine) as tx:
        rows = census(tx, number=20)
        for n, row in enumerate(rows):
            row |= {"code": f"N{n}", "kind": "0104", "grid": ""}
        rows[0]["y"] += 7.0 / metres_north(rows[0])  # beside a published one, and new
        drafts = []
        for name in ("a", "b"):
            drafts.append(Draft(tx, tmp_path / f"{name}.csv", rows, mapped(more=UNCODED)))
            census_drafts.change(tx, drafts[-1].id, None, "none")
            drafts[-1].check()
            assert drafts[-1].counts["differences"]["added"] == 1
            drafts[-1].pass_acceptance()
        first, second = drafts
        renamed = [row | {"code": f"M{n}"} for n, row in enumerate(rows)]
        third = Draft(tx, tmp_path / "c.csv", renamed, mapped(more=UNCODED.replace("second-survey", "third-survey")))
        third.pass_acceptance()
    with transaction(database.engine) as tx:
        draft_at(tx, first).publish()
    for late in (second, third):
        with transaction(database.engine) as tx, pytest.raises(errors.StaleCensus):
            draft_at(tx, late).publish()
    with transaction(database.engine) as tx:
        census_acceptance.discard(tx, second.id, "重新检查")
        draft_at(tx, second).check()
        assert second.counts["differences"]["added"] == 0


def metres_north(row: dict[str, Any]) -> float:
    return float(geometry.metres_per_degree(row["y"])[1])


def test_a_draft_whose_last_check_broke_off_is_neither_sampled_nor_published(tx: Connection, tmp_path: Path) -> None:
    draft = Draft(tx, tmp_path / "s.csv", census(tx), mapped())
    census_drafts.repair(tx, CLERK, draft.id, Repair("exclude", {"2": None}))
    run = census_drafts.ask_check(tx, CLERK, draft.id)
    tx.execute(update(import_run).where(import_run.c.id == run).values(state="refused"))
    with pytest.raises(errors.DraftUnready):
        draft.pass_acceptance()
    draft.check()
    draft.pass_acceptance()
    tx.execute(update(import_run).where(import_run.c.id == run).values(state="refused"))
    with pytest.raises(errors.DraftUnready):
        draft.publish()
    tx.execute(update(import_run).where(import_run.c.id == run).values(state="done"))
    draft.publish()


def test_a_local_system_brings_a_survey_to_its_place(tx: Connection, tmp_path: Path) -> None:
    rows = census(tx)
    east0, north0, c, s, k = 460_000.0, 4_435_000.0, 0.9999, 0.0141418, 1.00002
    points = []
    for n, (e, h) in enumerate([(470_000.0, 4_440_000.0), (475_000.0, 4_440_500.0), (471_000.0, 4_446_000.0)]):
        points.append({"name": f"K{n}", "east": e, "north": h, **local_of(e, h, east0, north0, c, s, k)})
    body = {"code": "renhe-local", "name": {"zh": "独立坐标系", "en": "Local grid"}, "points": points}
    definitions.publish(tx, "coordinate_system", "renhe-local", body, datetime(2020, 1, 1, tzinfo=UTC))
    for row in rows:
        east, north = geometry.to_4548(row["x"], row["y"])
        row |= local_of(east, north, east0, north0, c, s, k)
    draft = Draft(tx, tmp_path / "s.csv", rows, mapped("local:renhe-local"))
    assert (draft.now["state"], draft.now["crs"], draft.counts["bad"]) == ("open", "local:renhe-local", 0)
    assert draft.counts["differences"]["unchanged"] == 40
    with pytest.raises(errors.UnknownCrs):
        imports.import_file(tx, "components", tmp_path / "s.csv", mapped("local:nowhere"))


def local_of(e: float, h: float, east0: float, north0: float, c: float, s: float, k: float) -> dict[str, float]:
    """The inverse of a turn, a scale and a shift, by hand."""
    norm = (c * c + s * s) * k
    de, dn = e - east0, h - north0
    return {"x": (c * de + s * dn) / norm, "y": (-s * de + c * dn) / norm}


# --- Acceptance, publication ----------------------------------------------------------------------------------------


def test_a_sample_is_drawn_recorded_and_judged(tx: Connection, tmp_path: Path) -> None:
    rows = census(tx)
    draft = Draft(tx, tmp_path / "s.csv", rows, mapped())
    census_acceptance.draw(tx, CLERK, draft.id, "aql4", "2026-11")
    (sample,) = census_acceptance.samples(tx, draft.id)
    assert (sample["lot"], sample["size"], sample["accept"], sample["state"], sample["seed"]) == (
        40,
        13,
        1,
        "open",
        "2026-11",
    )
    with pytest.raises(errors.DraftSampled):
        census_drafts.changeable(tx, draft.id)
    drawn = census_acceptance.rows_of(tx, draft.id, sample["id"])
    off = {"measured": (drawn[0]["lon"] + 0.6 / metres_east({"y": drawn[0]["lat"]}), drawn[0]["lat"])}
    far = census_acceptance.record(tx, CLERK, draft.id, drawn[0]["row"], [], **off)
    assert (far["result"], far["faults"], far["state"]) == ("bad", ["position"], "open")
    assert far["error_m"] == pytest.approx(0.6, abs=0.01)
    assert census_acceptance.record(tx, CLERK, draft.id, drawn[1]["row"], [])["result"] == "good"
    with pytest.raises(errors.Malformed):
        census_acceptance.record(tx, CLERK, draft.id, drawn[1]["row"], ["ugly"])
    with pytest.raises(errors.NotFound):
        census_acceptance.record(tx, CLERK, draft.id, 9999, [])
    assert census_acceptance.record(tx, CLERK, draft.id, drawn[2]["row"], ["absent"])["state"] == "rejected"
    with pytest.raises(errors.SampleState):
        census_acceptance.record(tx, CLERK, draft.id, drawn[3]["row"], [])
    with pytest.raises(errors.DraftUnready):
        draft.publish()
    # Rejected, the survey is repaired and sampled anew.
    with pytest.raises(errors.DraftUnready):
        census_acceptance.draw(tx, CLERK, draft.id, "aql4", "another seed")
    draft.repair(Repair("exclude", {str(drawn[2]["row"]): None}))
    draft.pass_acceptance()
    assert [one["state"] for one in census_acceptance.samples(tx, draft.id)] == ["accepted", "rejected"]
    census_acceptance.discard(tx, draft.id, "补测")
    draft.pass_acceptance()
    assert census_acceptance.samples(tx, draft.id)[0]["state"] == "accepted"
    census_acceptance.discard(tx, draft.id, "再测")
    census_acceptance.draw(tx, CLERK, draft.id, "aql4", "2026-12")
    census_drafts.withdraw(tx, CLERK, draft.id, "不要了")
    with pytest.raises(errors.DraftEnded):
        census_acceptance.record(tx, CLERK, draft.id, drawn[1]["row"], [])


def test_what_is_published_keeps_its_versions_and_can_be_taken_back(database: Any, tmp_path: Path) -> None:
    """In transactions of their own, as the service does it: a version is what one transaction does."""
    with transaction(database.engine) as tx:
        before = {row.code: row for row in tx.execute(select(component))}
        rows = census(tx)
        moved, changed, quiet, later = (rows[n]["code"] for n in (1, 2, 3, 5))
        rows[1]["x"] += 3.0 / metres_east(rows[1])
        unit = "D03" if rows[2]["unit"] != "D03" else "D04"
        rows[2] |= {"state": "破损", "unit": unit, "material": "铸铁"}
        rows[3]["unit"] = ""  # said nothing: stays
        rows[5]["state"] = "破损"
        fresh = rows[4] | {"code": rows[4]["code"][:10] + "900001", "x": rows[4]["x"] + 11.0 / metres_east(rows[4])}
        rows.append(fresh | {"grid": ""})
        rows[39]["state"] = "nonsense"
        draft = Draft(tx, tmp_path / "s.csv", rows, mapped())
        census_drafts.exclude(tx, CLERK, draft.id)
        draft.check()
        told = {kind: draft.counts["differences"][kind] for kind in KINDS}
        assert (told["added"], told["moved"], told["changed"]) == (1, 1, 2)
        (move,) = census_drafts.differences(tx, draft.id, "moved")
        assert (move["code"], round(move["moved_m"], 1)) == (moved, 3.0)
        change = census_drafts.differences(tx, draft.id, "changed")[0]
        assert (change["code"], change["changes"].keys()) == (changed, {"state", "competent_unit"})
        px, py = geometry.world_pixel(move["lon"], move["lat"])
        assert census_drafts.difference_tile(tx, draft.id, 14, px >> 14, py >> 14)
        # A row that is left out is still spoken of: its component is not gone.
        gone = {one["code"] for one in census_drafts.differences(tx, draft.id, "removed", limit=500)}
        assert len(gone) == told["removed"]
        assert rows[39]["code"] not in gone
        mark, revision = points_components.state(tx), draft.now["revision"]
        draft.pass_acceptance()
    with transaction(database.engine) as tx:
        with pytest.raises(errors.StaleCensus):
            census_publish.publish(tx, CLERK, draft.id, revision - 1)
        outcome = census_publish.publish(tx, CLERK, draft.id, revision)
        assert {kind: outcome[kind] for kind in KINDS} == told
    with transaction(database.engine) as tx:
        assert points_components.state(tx) != mark
        now = {row.code: row for row in tx.execute(select(component))}
        touched = {code for code in now if code not in before or now[code].version != before[code].version}
        assert len(touched) == sum(told.values())
        assert (now[changed].state, now[changed].competent_unit, now[changed].properties["material"]) == (
            "damaged",
            unit,
            "铸铁",
        )
        assert now[quiet].version == now[fresh["code"]].version == 1
        history = component_history.versions(tx, CLERK, changed)
        assert [one["version"] for one in history] == [2, 1]
        assert history[0]["changes"]["state"] == ["intact", "damaged"]
        assert (history[1]["valid_to"], history[0]["valid_to"]) == (history[0]["valid_from"], None)
        assert component_history.versions(tx, CLERK, moved)[0]["moved_m"] == pytest.approx(3.0, abs=0.01)
        kept = tx.execute(select(quarantine).where(quarantine.c.code == "row_excluded")).one()
        assert kept.payload["values"]["state"] == "nonsense"
        with pytest.raises(errors.DraftEnded):
            draft_at(tx, draft).publish()
        # Changed since by something else: that stays.
        tx.execute(update(component).where(component.c.code == later).values(case_id=uuid4(), name="改过"))
    with transaction(database.engine) as tx:
        back = census_publish.revert(tx, CLERK, outcome["survey"], "发错了")
        assert (back["restored"], back["removed"], back["kept"]) == (2 + told["removed"], 1, 1)
    with transaction(database.engine) as tx:
        now = {row.code: row for row in tx.execute(select(component))}
        for code in before.keys() - {later}:
            for name in ("name", "state", "lon", "lat", "competent_unit", "unit_grid_code", "properties"):
                assert getattr(now[code], name) == getattr(before[code], name), (code, name)
        assert now[later].name == "改过"
        assert (now[fresh["code"]].state, now[fresh["code"]].version) == ("removed", 2)
        assert [one["version"] for one in component_history.versions(tx, CLERK, changed)] == [3, 2, 1]
        listed = census_publish.surveys(tx)
        assert next(one for one in listed if one["id"] == outcome["survey"])["reverted"] == back["survey"]
        with pytest.raises(errors.NotRevertible):
            census_publish.revert(tx, CLERK, outcome["survey"], "")
        # A draft compared with a component that has changed since is not published over it.
        rows = census(tx)
        late = Draft(tx, tmp_path / "l.csv", [row | {"state": "破损"} for row in rows], mapped())
        late.pass_acceptance()
    with transaction(database.engine) as tx:
        tx.execute(update(component).where(component.c.code == rows[6]["code"]).values(name="又改过"))
        with pytest.raises(errors.StaleCensus) as stale:
            draft_at(tx, late).publish()
        assert stale.value.detail["codes"] == [rows[6]["code"]]


@pytest.mark.parametrize("newest_first", [True, False])
def test_publications_upon_one_another_are_taken_back_in_either_order(
    database: Any, tmp_path: Path, newest_first: bool
) -> None:
    """The older one changed two components, the newer one the first of them again."""
    published = []
    with transaction(database.engine) as tx:
        rows = census(tx, number=30)
        codes = [rows[at]["code"] for at in (3, 4)]
    said_of = mapped(more=CODED.replace("破损: damaged", "破损: damaged, 丢失: lost"))
    for number, said in enumerate(({3: "破损", 4: "破损"}, {3: "丢失"})):
        with transaction(database.engine) as tx:
            changed = [rows[at] | {"state": state} for at, state in said.items()]
            draft = Draft(tx, tmp_path / f"{number}.csv", changed, said_of)
            census_drafts.change(tx, draft.id, None, "none")
            draft.check()
            draft.pass_acceptance()
        with transaction(database.engine) as tx:
            published.append(draft_at(tx, draft).publish()["survey"])

    def taken_back(which: int) -> tuple[Any, ...]:
        with transaction(database.engine) as tx:
            back = census_publish.revert(tx, CLERK, published[which], "发错了")
        with transaction(database.engine) as tx:
            rows = tx.execute(select(component.c.code, component.c.state).where(component.c.code.in_(codes)))
            states = {row.code: row.state for row in rows}
        return back["restored"], back["kept"], *(states[code] for code in codes)

    if newest_first:
        assert taken_back(1) == (1, 0, "damaged", "damaged")
        assert taken_back(0) == (2, 0, "intact", "intact")
    else:
        assert taken_back(0) == (1, 1, "lost", "intact")
        # What was taken back meanwhile counts for nothing: the version before both holds.
        assert taken_back(1) == (1, 0, "intact", "intact")
    with pytest.raises(errors.NotRevertible):
        taken_back(0)


BY_PLACE = """
kind: components
source: third-survey
crs: EPSG:4490
geometry: {x: x, y: y}
identifier: {column: number}
category: {catalogue: cjt214-2007, constant: "0104"}
fields:
  accuracy_class: {column: class}
"""


@pytest.mark.parametrize("by_place", [False, True])
def test_what_a_survey_missed_and_a_later_one_finds_again_is_the_same_component(
    database: Any, tmp_path: Path, by_place: bool
) -> None:
    """By its code, or by its place where the later survey knows no codes; as long as nothing else stands there."""
    with transaction(database.engine) as tx:
        rows = census(tx, number=30)
        lost = rows[7]["code"]
        before = tx.execute(select(component).where(component.c.code == lost)).one()
        first = Draft(tx, tmp_path / "1.csv", rows[:7] + rows[8:], mapped())
        missed = {one["code"] for one in census_drafts.differences(tx, first.id, "removed", limit=500)}
        assert lost in missed
        first.pass_acceptance()
    with transaction(database.engine) as tx:
        draft_at(tx, first).publish()
    with transaction(database.engine) as tx:
        assert tx.execute(select(component.c.state).where(component.c.code == lost)).scalar_one() == "removed"
        # Who says again that it is gone finds nothing new.
        said = mapped(more=CODED.replace("破损: damaged", "移除: removed"))
        again = Draft(tx, tmp_path / "2.csv", [rows[7] | {"state": "移除"}], said)
        census_drafts.change(tx, again.id, None, "none")
        again.check()
        assert differing(again.counts) == {"unchanged": 1}
        third = [row | {"number": f"N{at}"} for at, row in enumerate(rows)]
        found = Draft(tx, tmp_path / "3.csv", third, parse(BY_PLACE) if by_place else mapped())
        census_drafts.change(tx, found.id, None, "none")
        found.check()
        assert differing(found.counts) == {"added": 1, "unchanged": 29}
        (told,) = census_drafts.differences(tx, found.id)
        assert (told["code"], told["changes"]) == (lost, {"state": ["removed", "intact"]})
        found.pass_acceptance()
    with transaction(database.engine) as tx:
        number = tx.execute(select(func.count()).select_from(component)).scalar_one()
        outcome = draft_at(tx, found).publish()
        assert tx.execute(select(func.count()).select_from(component)).scalar_one() == number
    with transaction(database.engine) as tx:
        now = tx.execute(select(component).where(component.c.code == lost)).one()
        assert (now.state, now.version, now.lon, now.lat) == ("intact", 3, before.lon, before.lat)
        states = [one["state"] for one in component_history.versions(tx, CLERK, lost)]
        assert states == ["intact", "removed", "intact"]
        census_publish.revert(tx, CLERK, outcome["survey"], "发错了")
    with transaction(database.engine) as tx:
        assert tx.execute(select(component.c.state, component.c.version).where(component.c.code == lost)).one() == (
            "removed",
            4,
        )


def test_what_a_survey_leaves_empty_stays_as_it_is_published(tx: Connection, tmp_path: Path) -> None:
    rows = census(tx, number=30)
    code = rows[0]["code"]
    tx.execute(update(component).where(component.c.code == code).values(state="damaged", accuracy_class="B"))
    rows[0] |= {"state": "", "class": "", "unit": "D03" if rows[0]["unit"] != "D03" else "D04"}
    draft = Draft(tx, tmp_path / "s.csv", rows, mapped())
    (told,) = census_drafts.differences(tx, draft.id, "changed")
    assert told["changes"].keys() == {"competent_unit"}
    draft.pass_acceptance()
    draft.publish()
    now = tx.execute(select(component).where(component.c.code == code)).one()
    assert (now.state, now.accuracy_class, now.competent_unit) == ("damaged", "B", rows[0]["unit"])


def draft_at(tx: Connection, draft: Draft) -> Draft:
    """The same draft in another transaction."""
    draft.tx = tx
    return draft


def test_a_unit_that_nobody_is_is_named_by_its_field_also_as_a_constant(tx: Connection, tmp_path: Path) -> None:
    rows = census(tx, number=5)
    everywhere = CODED.replace("competent_unit: {{column: unit}}", "competent_unit: {{constant: X99}}")
    found = Draft(tx, tmp_path / "s.csv", rows, mapped(more=everywhere)).findings()["department_unknown"]
    assert len(found) == 5
    assert all("competent_unit" in one["zh"] and "competent_unit" in one["en"] for one in found)


# --- Corrections from the field -------------------------------------------------------------------------------------

REPORTER = Caller(None, "巡查", "巡查", ("D01", ""), (Grant("inspector", "town"),), frozenset({"case.report"}))


def change(tx: Connection, row: Any, **form: Any) -> UUID:
    """A change case about a published component (or, without a code, at its place)."""
    made = cases.report(
        tx,
        REPORTER,
        Report(
            category_code=row.category_code,
            catalogue=row.catalogue,
            category_kind="component",
            component_code="" if form["change"] == "found" else row.code,
            lon=form.pop("lon", row.lon),
            lat=form.pop("lat", row.lat),
            kind="change",
            form=form,
            photos=(Photo(b"\x01" * 32, "image/jpeg", 10),),
        ),
    )
    assert made.number.startswith("BG")
    return made.id


def test_closing_a_change_case_changes_the_component_in_that_step(tx: Connection) -> None:
    first, second, third = tx.execute(
        select(component).where(component.c.state == "intact", component.c.category_code == "0104").limit(3)
    ).all()
    moved = change(tx, first, change="moved", lon=first.lon + 3e-5)
    assert tx.execute(select(component.c.version).where(component.c.code == first.code)).scalar() == 1
    cases.act(tx, moved, "apply", CLERK, {})
    newest, oldest = component_history.versions(tx, CLERK, first.code)
    assert (newest["case_id"], newest["number"][:2], newest["survey_id"]) == (moved, "BG", first.survey_id)
    assert newest["moved_m"] == pytest.approx(2.56, abs=0.02)
    assert (oldest["lon"], oldest["valid_to"]) == (first.lon, newest["valid_from"])
    event = tx.execute(
        select(case_event.c.payload).where(case_event.c.case_id == moved, case_event.c.action == "apply")
    ).scalar_one()
    assert event["applied"] == {"component": first.code, "version": 2}
    assert [one["sha256"] for one in component_history.photos(tx, CLERK, first.code)] == ["01" * 32]

    cases.act(tx, change(tx, second, change="attribute", owner_unit="D03", state="damaged"), "apply", CLERK, {})
    told = component_history.versions(tx, CLERK, second.code)[0]
    assert told["changes"]["state"] == ["intact", "damaged"]
    wrong = change(tx, third, change="attribute", owner_unit="NOWHERE")
    with pytest.raises(errors.DepartmentUnknown):
        cases.act(tx, wrong, "apply", CLERK, {})
    assert tx.execute(select(case.c.state).where(case.c.id == wrong)).scalar() == "reported"
    empty = change(tx, third, change="attribute")
    with pytest.raises(errors.ChangeInvalid):
        cases.act(tx, empty, "apply", CLERK, {})
    cases.act(tx, empty, "refuse", CLERK, {"reason": "没有说明"})
    lost = change(tx, third, change="lost")
    with pytest.raises(errors.RoleForbids):
        cases.act(tx, lost, "apply", replace(CLERK, grants=(Grant("inspector", "town"),)), {})
    cases.act(tx, lost, "apply", CLERK, {})
    now = tx.execute(select(component).where(component.c.code == third.code)).one()
    assert (now.state, now.version, now.case_id) == ("lost", 2, lost)

    new = change(tx, third, change="found", name="新雨水箅子")
    cases.act(tx, new, "apply", CLERK, {})
    code = tx.execute(select(case.c.component_code).where(case.c.id == new)).scalar_one()
    entered = tx.execute(select(component).where(component.c.code == code)).one()
    assert (entered.name, entered.category_code, entered.version, entered.case_id) == ("新雨水箅子", "0104", 1, new)
    assert code not in (first.code, second.code, third.code)


def test_a_change_case_of_an_earlier_day_lands_in_the_grid_of_now_and_leaves_its_survey_as_it_was(
    tx: Connection,
) -> None:
    row = tx.execute(
        select(component).where(component.c.state == "intact", component.c.category_code == "0104").limit(1)
    ).one()
    published = tx.execute(select(survey.c.recorded_at).where(survey.c.id == row.survey_id)).scalar_one()
    mark = points_components.state(tx)
    # Reported in Beijing's small hours, which are yesterday's in Greenwich, in a grid that has ended since.
    reported = datetime(2026, 3, 4, 0, 30, tzinfo=ZONE)
    for kind in ("moved", "found"):
        made = change(tx, row, change=kind, lon=row.lon + 3e-5)
        tx.execute(
            update(case)
            .where(case.c.id == made)
            .values(unit_grid_code="110113003001999", reported_at=reported, updated_at=reported)
        )
        cases.act(tx, made, "apply", CLERK, {})
        code = tx.execute(select(case.c.component_code).where(case.c.id == made)).scalar_one()
        now = tx.execute(select(component).where(component.c.code == code)).one()
        there = areas(tx).at(now.lon, now.lat)
        assert (now.unit_grid_code, now.village_code) == (there.unit_grid_code, there.village_code)
        assert (now.changed_on if kind == "moved" else now.surveyed_on) == reported.date()
        assert code == row.code or kind == "found"
    assert points_components.state(tx) != mark
    assert tx.execute(select(survey.c.recorded_at).where(survey.c.id == row.survey_id)).scalar_one() == published


def test_every_write_keeps_the_version_before_whoever_writes(tx: Connection) -> None:
    """Not only this module's: the table sees to it."""
    code = tx.execute(select(component.c.code).limit(1)).scalar_one()
    tx.execute(update(component).where(component.c.code == code).values(name="另一个名字"))
    kept = tx.execute(select(component_version).where(component_version.c.code == code)).one()
    now = tx.execute(select(component).where(component.c.code == code)).one()
    assert (kept.version, now.version, kept.valid_to) == (1, 2, now.valid_from)
    # The same once more in this transaction is the same version; writing what is there already is none.
    tx.execute(update(component).where(component.c.code == code).values(name="第三个名字"))
    tx.execute(update(component).where(component.c.code == code).values(name="第三个名字"))
    assert tx.execute(select(component.c.version).where(component.c.code == code)).scalar() == 2
