"""The register of components: the code rule, landing, and finding by distance."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod
from sqlalchemy import delete, select, text

from gis import components, errors, points_components
from gis.db import Connection
from gis.geometry import morton
from gis.tables import SRID, component, town
from gis.tables import survey as survey_table

LON, LAT = 116.65, 40.11


def row(code: str, lon: float, lat: float, survey: UUID, **changes: Any) -> Sequence[Any]:
    point = shapely.to_wkb(shapely.set_srid(shapely.Point(lon, lat), SRID), hex=True, include_srid=True)
    values = {
        "code": code,
        "catalogue": "cjt214-2007",
        "category_code": code[6:10],
        "name": "雨水箅子",
        "state": "intact",
        "unit_grid_code": "110113003003001",
        "village_code": "110113003003",
        "competent_unit": "",
        "owner_unit": "",
        "maintenance_unit": "",
        "accuracy_class": "A",
        "survey_id": survey,
        "surveyed_on": None,
        "changed_on": None,
        "source_code": f"S-{code[-4:]}",
        "lon": lon,
        "lat": lat,
        "mk": int(morton(lon, lat)),
        "properties": json.dumps({}),
        "geom": point,
    }
    return [(values | changes)[name] for name in components.COLUMNS]


@pytest.fixture
def register(tx: Connection) -> Connection:
    """A transaction whose register is empty."""
    tx.execute(delete(component))
    return tx


def survey(tx: Connection, name: str = "trial") -> UUID:
    known = uuid4()
    components.record_survey(tx, known, name, "trial.csv", "EPSG:4490", "cjt214-2007")
    return known


# --- The code rule ----------------------------------------------------------------------------------------------


def slow_fault(code: str, district: str, category: str) -> str | None:
    """The rule, read aloud."""
    if len(code) != 16 or any(letter not in "0123456789" for letter in code) or int(code[10:]) == 0:
        return "digits"
    if code[:6] != district:
        return "district"
    return "category" if category and code[6:10] != category else None


CODES = st.one_of(
    st.from_regex(r"1101130[1-6][0-9]{8}", fullmatch=True),
    st.from_regex(r"110113(0101|0104)00000[0-2]", fullmatch=True),
    st.text(alphabet="0123456789A", max_size=18),
    st.sampled_from(["110113010400000²", "1101130104００００01"]),
)


@given(st.lists(st.tuples(CODES, st.sampled_from(["0101", "0104", ""])), min_size=1, max_size=20))
def test_the_code_rule_equals_the_rule_read_aloud(pairs: list[tuple[str, str]]) -> None:
    codes, categories = (np.array(part, dtype=object) for part in zip(*pairs, strict=True))
    found = components.code_problems(codes, "110113", categories)
    for at, (code, category) in enumerate(pairs):
        named = [fault for fault, where in found.items() if where[at]]
        expected = slow_fault(code, "110113", category)
        assert named == ([expected] if expected else [])


# --- Landing ----------------------------------------------------------------------------------------------------


def test_landing_inserts_updates_and_leaves_alone(register: Connection) -> None:
    first = survey(register)
    rows = [row(f"110113010400000{n}", LON + n / 1e4, LAT, first) for n in (1, 2, 3)]
    assert components.register(register, rows) == components.Landed(3, 0, 0)
    again = survey(register)
    rows = [row(f"110113010400000{n}", LON + n / 1e4, LAT, again) for n in (1, 2, 3, 4)]
    rows[1] = row("1101130104000002", LON, LAT, again, state="damaged")
    assert components.register(register, rows) == components.Landed(1, 1, 2)
    assert components.get(register, "1101130104000002").state == "damaged"
    kept = register.execute(select(component.c.survey_id).where(component.c.code == "1101130104000001")).scalar()
    assert kept == first


def test_the_map_sees_every_change_of_the_register(database: Any) -> None:
    def seen() -> str:
        with database.engine.begin() as tx:
            return points_components.state(tx)

    def land(of: UUID, **changes: Any) -> None:
        with database.engine.begin() as tx:
            components.register(tx, [row("1101130104000001", LON, LAT, of, **changes)])

    states = [seen()]
    assert seen() == states[0]
    with database.engine.begin() as tx:
        known = survey(tx)
    for changes in ({}, {"state": "lost"}, {"state": "removed"}, {"state": "lost"}):
        land(known, **changes)
        states.append(seen())
    with database.engine.begin() as tx:  # as when grids are split or merged
        tx.execute(town.update().values(areas_version=town.c.areas_version + 1))
    states.append(seen())
    assert len(set(states)) == len(states)
    land(known, state="lost")
    assert seen() == states[-1]
    # One that began first and ends last is seen too.
    with database.engine.begin() as early:
        components.register(early, [row("1101130104000001", LON, LAT, known, state="intact")])
        with database.engine.begin() as late:
            components.register(late, [row("1101130104000002", LON, LAT, survey(late))])
        states.append(seen())
    states.append(seen())
    assert len(set(states)) == len(states)


def test_codes_go_on_after_the_highest_of_their_category(register: Connection) -> None:
    components.register(register, [row("1101130104000041", LON, LAT, survey(register))])
    categories = np.array(["0104", "0101", "0104"], dtype=object)
    assert components.assign_codes(register, "110113", categories).tolist() == [
        "1101130104000042",
        "1101130101000001",
        "1101130104000043",
    ]
    components.register(register, [row("1101130104999999", LON, LAT, survey(register))])
    with pytest.raises(errors.ComponentCodeBad):
        components.assign_codes(register, "110113", categories)


def test_the_same_survey_is_recorded_once(register: Connection) -> None:
    known = survey(register)
    components.record_survey(register, known, "trial", "trial.csv", "EPSG:4490", "cjt214-2007")
    found = register.execute(select(survey_table.c.id).where(survey_table.c.id == known)).all()
    assert len(found) == 1


def test_what_a_source_brought_is_known_by_its_identifiers(register: Connection) -> None:
    components.register(register, [row("1101130104000001", LON, LAT, survey(register, "a"))])
    components.register(register, [row("1101130104000002", LON, LAT, survey(register, "b"))])
    assert components.of_source(register, "a") == {"S-0001": "1101130104000001"}
    assert components.known(register, ["1101130104000001", "1101130104000009"]) == {"1101130104000001": "a"}


# --- Finding ----------------------------------------------------------------------------------------------------


def test_nearest_equals_every_distance_measured_on_the_ellipsoid(register: Connection) -> None:
    rng = np.random.default_rng(11)
    known = survey(register)
    spots = np.column_stack([rng.uniform(LON - 0.002, LON + 0.002, 300), rng.uniform(LAT - 0.002, LAT + 0.002, 300)])
    rows = [row(f"1101130104{n:06d}", *spot, known) for n, spot in enumerate(spots.tolist(), start=1)]
    components.register(register, rows)
    _, _, metres = Geod(ellps="GRS80").inv(np.full(300, LON), np.full(300, LAT), spots[:, 0], spots[:, 1])
    expected = [(f"1101130104{n + 1:06d}", metres[n]) for n in np.argsort(metres) if metres[n] <= 120]
    found = components.nearest(register, LON, LAT, radius_m=120, limit=1000)
    assert [c.code for c in found] == [code for code, _ in expected]
    assert [c.distance_m for c in found] == pytest.approx([d for _, d in expected], abs=1e-3)
    assert len(components.nearest(register, LON, LAT, radius_m=120, limit=3)) == 3


def test_nearest_measures_to_the_shape_and_leaves_removed_ones_out(register: Connection) -> None:
    known = survey(register)
    line = shapely.set_srid(shapely.LineString([(LON - 0.001, LAT), (LON + 0.001, LAT)]), SRID)
    wide = shapely.to_wkb(line, hex=True, include_srid=True)
    components.register(
        register,
        [
            row("1101130210000001", LON + 0.001, LAT, known, geom=wide),
            row("1101130104000001", LON, LAT, known, state="removed"),
        ],
    )
    found = components.nearest(register, LON, LAT, radius_m=5)
    assert [c.code for c in found] == ["1101130210000001"]
    assert found[0].distance_m == pytest.approx(0.0, abs=1e-3)
    assert components.nearest(register, LON, LAT, radius_m=5, category="01") == []


def test_nearest_goes_through_the_index(register: Connection) -> None:
    known = survey(register)
    rng = np.random.default_rng(5)
    spots = zip(rng.uniform(116.6, 116.7, 3000).tolist(), rng.uniform(40.0, 40.2, 3000).tolist(), strict=True)
    components.register(register, [row(f"1101130104{n:06d}", *s, known) for n, s in enumerate(spots, start=1)])
    register.execute(text("set local enable_seqscan = off"))
    statement = components.near_statement(LON, LAT, 50.0)
    plan = "\n".join(
        register.execute(
            text("explain " + str(statement.compile(register.engine, compile_kwargs={"literal_binds": True})))
        ).scalars()
    )
    assert "ix_component_geom" in plan


def test_finding_by_prefix_box_grid_and_page(register: Connection) -> None:
    known = survey(register)
    rows = [row(f"110113010400000{n}", LON + n / 1e3, LAT, known, name=f"雨水箅子{n}") for n in (1, 2, 3)]
    components.register(register, [*rows, row("1101130101000001", LON, LAT, known, unit_grid_code="x", name="井_盖")])
    assert [c.code[-2:] for c in components.find(register, category="0104")] == ["01", "02", "03"]
    assert len(components.find(register, category="01")) == 4
    assert len(components.find(register, bbox=(LON - 1e-4, LAT - 1e-4, LON + 1.5e-3, LAT + 1e-4))) == 2
    assert [c.name for c in components.find(register, unit_grid_code="x")] == ["井_盖"]
    assert [c.name for c in components.find(register, query="井_")] == ["井_盖"]
    assert components.find(register, query="井x") == []
    page = components.find(register, category="0104", limit=2)
    assert [c.code[-1] for c in components.find(register, category="0104", after=page[-1].code)] == ["3"]


def test_an_unknown_code_is_refused(register: Connection) -> None:
    with pytest.raises(errors.ComponentUnknown):
        components.get(register, "1101130104000001")
