"""What a database holds, counted for whoever looks after it. Changes nothing."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from gis import tables
from gis.db import Connection


@dataclass(frozen=True)
class Inventory:
    """The town (None: no town), rows by table, and definitions in their newest version by kind."""

    town: str | None
    rows: dict[str, int]
    definitions: dict[str, int]


def take(tx: Connection) -> Inventory:
    """Count what is there."""
    town = tx.execute(select(tables.town)).first()
    counted: tuple[Any, ...] = (tables.unit_grid, tables.component, tables.staff, tables.case)
    rows = {table.name: int(tx.scalar(select(func.count()).select_from(table)) or 0) for table in counted}
    kind, code = tables.definition.c.kind, tables.definition.c.code
    kinds = tx.execute(select(kind, func.count(code.distinct())).group_by(kind).order_by(kind)).all()
    name = f"{town.name} {town.code}{' (synthetic)' if town.synthetic else ''}" if town else None
    return Inventory(name, rows, {row[0]: int(row[1]) for row in kinds})
