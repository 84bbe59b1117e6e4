"""How somebody has set up their pages: a small value under a name, on whatever device they sit. Knows no meaning."""

import json
from typing import Any, Final

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from gis import errors
from gis.db import Connection
from gis.people import Caller
from gis.tables import preference

MOST_BYTES: Final = 10_000
MOST: Final = 50


def of(tx: Connection, caller: Caller, name: str) -> Any:
    """What the caller keeps under ``name``; None where nothing."""
    mine = (preference.c.staff_id == caller.id, preference.c.name == name)
    return tx.execute(select(preference.c.value).where(*mine)).scalar()


def keep(tx: Connection, caller: Caller, name: str, value: Any) -> None:
    """Keep ``value`` (JSON) under ``name``; None forgets it. Raises ``Malformed`` when it is large, ``TooManyKept``."""
    mine = (preference.c.staff_id == caller.id, preference.c.name == name)
    if value is None:
        tx.execute(delete(preference).where(*mine))
        return
    if len(json.dumps(value, ensure_ascii=False).encode()) > MOST_BYTES:
        raise errors.Malformed(field="value", most_bytes=MOST_BYTES)
    held = tx.execute(
        select(func.count()).where(preference.c.staff_id == caller.id, preference.c.name != name)
    ).scalar_one()
    if held >= MOST:
        raise errors.TooManyKept(most=MOST)
    put = insert(preference).values(staff_id=caller.id, name=name, value=value)
    tx.execute(
        put.on_conflict_do_update(
            index_elements=["staff_id", "name"], set_={"value": put.excluded.value, "changed_at": func.now()}
        )
    )
