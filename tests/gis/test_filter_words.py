"""A filter in words: every field of it has some, names stand in place of codes."""

from dataclasses import fields
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from gis import filter_words
from gis.db import Connection
from gis.rulebook import rulebook
from gis.search import ZONE, CaseFilter
from gis.tables import department, division, duty_grid, staff

MIDNIGHT = datetime(2026, 11, 20, tzinfo=ZONE)


def test_every_field_of_a_filter_has_words() -> None:
    assert {one.name for one in fields(CaseFilter)} == set(filter_words._HEADS) | {"since", "until"}


def test_names_stand_in_place_of_codes(tx: Connection) -> None:
    village, village_name = tx.execute(
        select(division.c.code, division.c.short_name).where(division.c.level == "village").limit(1)
    ).one()
    bureau, bureau_name = tx.execute(select(department.c.code, department.c.name).limit(1)).one()
    duty, duty_name = tx.execute(select(duty_grid.c.code, duty_grid.c.name).limit(1)).one()
    person, person_name = tx.execute(select(staff.c.id, staff.c.name).limit(1)).one()
    catalogue = rulebook(tx).catalogues[rulebook(tx).town_catalogue]
    event = next(one for one in catalogue if one.kind == "event")
    wanted = CaseFilter(
        status=("open", "closed"),
        village=(village, "110113003999"),
        department=(bureau,),
        duty_grid=(duty,),
        assignee=(person,),
        category=(f"event:{event.code}", f"event:{event.group_code}"),
        severity=(3,),
        overdue=True,
        q="井盖",
        since=MIDNIGHT,
        until=MIDNIGHT + timedelta(days=2),
    )
    found = filter_words.words(tx, rulebook(tx), wanted, "zh")
    assert found == {
        "上报时间": "2026-11-20 至 2026-11-21",
        "状态": "在办、已结案",
        "类别": f"{event.name}、{event.group_name}",
        "村居": f"{village_name}、110113003999",
        "部门": bureau_name,
        "责任网格": duty_name,
        "紧急程度": "紧急",
        "经办人": person_name,
        "超期": "是",
        "文字": "“井盖”",
    }
    english = filter_words.words(tx, rulebook(tx), CaseFilter(light=("red",), awaits=("inspector",)), "en")
    assert english == {"Light": "Late", "Waits for": "Inspector"}
    assert filter_words.words(tx, rulebook(tx), CaseFilter(), "en") == {}


@pytest.mark.parametrize(
    ("since", "until", "zh"),
    [
        (MIDNIGHT, None, "2026-11-20 起"),
        (None, MIDNIGHT, "2026-11-19 止"),
        (
            MIDNIGHT + timedelta(hours=9),
            MIDNIGHT + timedelta(hours=10, minutes=5),
            "2026-11-20 09:00 至 2026-11-20 10:05",
        ),
    ],
)
def test_a_span_ends_with_its_last_day(tx: Connection, since: datetime | None, until: datetime | None, zh: str) -> None:
    wanted = CaseFilter(since=since, until=until, parent=(UUID(int=4),))
    found = filter_words.words(tx, rulebook(tx), wanted, "zh")
    assert found == {"上报时间": zh, "上级案件": str(UUID(int=4))}
