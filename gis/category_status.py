"""Which categories take no new cases, why, and since when. Cases that run already are not touched."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select

from gis import errors
from gis.db import Connection
from gis.tables import definition

KIND = "category_status"
# How long it is told that a category is taken again.
_TOLD_FOR = timedelta(days=14)


@dataclass(frozen=True)
class CategoryStatus:
    """One version of what is switched off: reasons by category (``event:0506``) or group (``event:05``)."""

    off: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "CategoryStatus":
        """The checked form of a body with ``off``: {category: reason}. Raises ``DefinitionBad`` naming the entry."""
        off = body["off"]
        for category, reason in off.items():
            if not re.fullmatch(r"(component|event):\d{2}(\d{2})?", category, re.ASCII):
                raise errors.DefinitionBad(where=f"off.{category}", why="a category is kind:code, such as event:0506")
            if not isinstance(reason, str) or not reason.strip():
                raise errors.DefinitionBad(where=f"off.{category}", why="a reason is needed")
        return cls(dict(off))

    def reason(self, kind: str, code: str) -> str | None:
        """Why the category takes no new cases; None when it does."""
        return self.off.get(f"{kind}:{code}") or self.off.get(f"{kind}:{code[:2]}")

    def check_names(self, categories: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
        """Faults: entries that are no category or group of these (kind, code)."""
        known = {form for kind, code in categories for form in (f"{kind}:{code}", f"{kind}:{code[:2]}")}
        return [{"where": f"off.{one}", "why": f"unknown: {one}"} for one in self.off if one not in known]


@dataclass(frozen=True, slots=True)
class Notice:
    """A change of what is taken: from ``at`` on ``category`` is ``off`` or not, and why it was switched off."""

    category: str
    off: bool
    reason: str
    at: datetime
    by: str


def notices(tx: Connection, now: datetime) -> list[Notice]:
    """What is off now and since when, what will change, and what is taken again since a short while; newest first."""
    rows = tx.execute(
        select(definition.c.body, definition.c.valid_from, definition.c.published_by)
        .where(
            definition.c.kind == KIND,
            or_(definition.c.valid_to.is_(None), definition.c.valid_to > definition.c.valid_from),
        )
        .order_by(definition.c.valid_from, definition.c.version)
    ).all()
    changes: list[Notice] = []
    before: Mapping[str, str] = {}
    for row in rows:
        after: Mapping[str, str] = row.body["off"]
        for category in sorted(before.keys() | after.keys()):
            old, new = before.get(category), after.get(category)
            if old != new:
                changes.append(Notice(category, new is not None, new or old or "", row.valid_from, row.published_by))
        before = after
    last = {notice.category: notice for notice in changes if notice.at <= now}
    kept = [notice for notice in last.values() if notice.off or notice.at > now - _TOLD_FOR]
    return sorted([*kept, *(n for n in changes if n.at > now)], key=lambda n: n.at, reverse=True)
