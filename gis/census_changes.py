"""Corrections from the field: what a change case does to its component in the step that closes it.

The case flow decides who may close; this only carries out what was decided, in the same transaction. The component gets
a new version that names the case.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import numpy as np
from sqlalchemy import func, insert, select, update

from gis import component_history, components, errors, geometry
from gis.areas import areas
from gis.db import Connection
from gis.rulebook import Rulebook
from gis.tables import SRID, attachment, component, department, survey
from gis.validity import ZONE

APPLIES: Final = "component_change"
_SAID: Final = ("name", "state", "competent_unit", "owner_unit", "maintenance_unit")
_SURVEY: Final = UUID("3c0b5f0e-5d0c-5c57-8f0e-6c1e4d3a9b21")
"""What components that change cases brought were surveyed by."""


def apply(tx: Connection, book: Rulebook, row: Mapping[str, Any], by: str) -> dict[str, Any]:
    """Carry out the change that a case reports; returns {component, version}.

    What is changed is said by the case's form (data/forms/change.yaml), where by its place. Raises ``ChangeInvalid``,
    ``ComponentUnknown``, ``DepartmentUnknown``.
    """
    told: Mapping[str, Any] = row["extra"].get("form") or {}
    said = {name: told[name] for name in _SAID if told.get(name)}
    _check_units(tx, said)
    kind = told.get("change")
    if kind == "found":
        code = _found(tx, book, row, said)
    else:
        code = str(row["component_code"] or "")
        if not code:
            raise errors.ChangeInvalid("没有指明部件", "No component is named", change=kind)
        _change(tx, code, kind, row, said)
    version = tx.execute(select(component.c.version).where(component.c.code == code)).scalar_one()
    _tell_map(tx, code)
    return {"component": code, "version": int(version)}


def keep_photos(tx: Connection, case_id: UUID, code: str, by: str) -> None:
    """Give the component the photos of its change case."""
    rows = tx.execute(
        select(attachment.c.sha256, attachment.c.mime, attachment.c.bytes)
        .where(attachment.c.case_id == case_id)
        .distinct()
    ).all()
    component_history.add_photos(tx, code, [(row.sha256, row.mime, row.bytes) for row in rows], by, case_id)


def _check_units(tx: Connection, said: Mapping[str, Any]) -> None:
    for name in ("competent_unit", "owner_unit", "maintenance_unit"):
        if name in said:
            known = select(department.c.code).where(department.c.code == said[name], department.c.active)
            if tx.execute(known).first() is None:
                raise errors.DepartmentUnknown(field=name, department=said[name])


def _change(tx: Connection, code: str, kind: object, row: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    today = _day(row)
    values: dict[str, Any] = {"case_id": row["id"], "changed_on": today}
    match kind:
        case "lost" | "removed":
            values["state"] = kind
        case "attribute":
            if not said:
                raise errors.ChangeInvalid("没有填写要改的属性", "No attribute to change is given", change=kind)
            values |= said
        case "moved":
            lon, lat = row["lon"], row["lat"]
            moved = func.ST_Translate(component.c.geom, lon - component.c.lon, lat - component.c.lat)
            values |= {"geom": moved, "lon": lon, "lat": lat, "mk": geometry.morton(lon, lat)}
            values |= _grid(tx, row)
        case _:
            raise errors.ChangeInvalid("没有填写变更类型", "What is to be changed is not said", change=kind)
    if not tx.execute(update(component).where(component.c.code == code).values(values)).rowcount:
        raise errors.ComponentUnknown(code=code)


def _found(tx: Connection, book: Rulebook, row: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    """Enter a component the census did not have; returns its new code."""
    if row["category_kind"] != "component":
        raise errors.ChangeInvalid(
            "类别不是部件", "The category is not one of components", category=row["category_code"]
        )
    category = book.catalogues[row["catalogue"]].category("component", row["category_code"])
    wanted = np.array([category.code], dtype=object)
    (code,) = components.assign_codes(tx, book.town_code[:6], wanted).tolist()
    components.record_survey(tx, _SURVEY, "changes", "change cases", geometry.STORED, row["catalogue"])
    values = {
        "code": code,
        "catalogue": row["catalogue"],
        "category_code": category.code,
        "name": category.name,
        "state": "intact",
        **_grid(tx, row),
        "accuracy_class": "C",  # a telephone's fix, until somebody surveys it
        "survey_id": _SURVEY,
        "surveyed_on": _day(row),
        "source_code": row["number"],
        "lon": row["lon"],
        "lat": row["lat"],
        "mk": geometry.morton(row["lon"], row["lat"]),
        "geom": func.ST_SetSRID(func.ST_MakePoint(row["lon"], row["lat"]), SRID),
        "case_id": row["id"],
        **said,
    }
    tx.execute(insert(component).values(values))
    return str(code)


def _day(row: Mapping[str, Any]) -> date:
    """The day the case was reported on, as the town counts days."""
    reported: datetime = row["reported_at"]
    return reported.astimezone(ZONE).date()


def _grid(tx: Connection, row: Mapping[str, Any]) -> dict[str, str]:
    """The grid in force at the case's place: the case keeps that of its day, which may have ended since."""
    index = areas(tx)
    at = int(index.locate(np.array([row["lon"]]), np.array([row["lat"]]))[0])
    if at < 0:
        return {name: row[name] for name in ("unit_grid_code", "village_code")}
    return {"unit_grid_code": str(index.codes[at]), "village_code": str(index.villages[at])}


def _tell_map(tx: Connection, code: str) -> None:
    """Touch the component's survey, which stays as it is: by that the map sees that the register changed."""
    of = select(component.c.survey_id).where(component.c.code == code).scalar_subquery()
    tx.execute(update(survey).where(survey.c.id == of).values(recorded_at=survey.c.recorded_at))
