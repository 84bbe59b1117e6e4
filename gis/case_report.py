"""What is reported as a case, and what its sender gets for it. Knows when two reports say the same; writes nothing."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from gis import errors, geometry, personal, workflow
from gis.case_rows import Photo
from gis.digest import sm3
from gis.intake_form import Promise

# How many bytes of JSON the extra facts of a report may be.
EXTRA_MAX = 10_000
_ESCAPED_NULL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True)
class Report:
    """What is reported. ``lon``/``lat`` in ``crs``; times with zone. ``catalogue`` and ``category_kind`` may be empty
    only where the code is unambiguous without them; ``severity`` (1 normal, 2 serious, 3 urgent) None means what the
    filing standard says of the condition. ``form`` holds the values of the form of its kind and channel; None from
    senders that know no forms. ``tags`` are codes of campaigns the case belongs to. ``payload`` answers what the
    workflow asks of a report, ``photos_after`` are those of a result that comes with it (``self_handled``).
    ``external_code`` is what the channel calls the case."""

    category_code: str
    lon: float
    lat: float
    catalogue: str = ""
    category_kind: str = ""
    category_name: str = ""
    crs: str = geometry.STORED
    id: UUID = field(default_factory=uuid4)
    kind: str = "case"
    channel: str = "patrol"
    condition_code: str = ""
    component_code: str = ""
    description: str = ""
    address: str = ""
    severity: int | None = None
    occurred_at: datetime | None = None
    reported_at: datetime | None = None
    photos: tuple[Photo, ...] = ()
    simulated: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    form: Mapping[str, Any] | None = None
    promise: Promise | None = None
    self_handled: bool = False
    payload: Mapping[str, Any] = field(default_factory=dict)
    photos_after: tuple[Photo, ...] = ()
    external_code: str = ""
    tags: tuple[str, ...] = ()
    parent_id: UUID | None = None

    def digest(self) -> bytes:
        """Of what the sender sent: the same id with another digest is a conflict."""
        sent = {
            "kind": self.kind,
            "channel": self.channel,
            "category": [self.catalogue, self.category_kind, self.category_code],
            "condition": self.condition_code,
            "component": self.component_code,
            "place": [self.crs, float(self.lon), float(self.lat)],
            "words": [self.description, self.address],
            "severity": self.severity,
            "occurred_at": self.occurred_at.astimezone(UTC).isoformat() if self.occurred_at else None,
            "photos": sorted(p.sha256.hex() for p in self.photos),
            "extra": dict(self.extra),
            "self_handled": self.self_handled,
            "payload": dict(self.payload),
            "photos_after": sorted(p.sha256.hex() for p in self.photos_after),
            "external_code": self.external_code,
            "tags": sorted(self.tags),
            "parent_id": str(self.parent_id) if self.parent_id else None,
        }
        if not self.form:
            return sm3(_canonical(sent))
        # A form may hold a telephone number: from a bare digest it could be guessed.
        return personal.keyed("report", _canonical(sent | {"form": dict(self.form)}))

    def check_storable(self) -> None:
        """Raises ``Malformed`` for what no row or JSON can hold, a time before 1900, ``extra`` of more than 10 kB."""
        for name in ("occurred_at", "reported_at"):
            moment = getattr(self, name)
            if moment is not None and moment.year < 1900:  # in another zone it may leave the calendar
                raise errors.Malformed(field=name, why="before 1900")
        for name, value in vars(self).items():
            if isinstance(value, str) and not workflow.storable(value):
                raise errors.Malformed(field=name, why="a null character or half a surrogate pair")
        try:
            extra = json.dumps([dict(self.extra), dict(self.form or {})], ensure_ascii=False, allow_nan=False)
            size = len(extra.encode())
        except (TypeError, ValueError, RecursionError) as error:
            raise errors.Malformed(field="extra", why=str(error)[:200]) from error
        if size > EXTRA_MAX or _ESCAPED_NULL.search(extra):
            raise errors.Malformed(field="extra", longest=EXTRA_MAX, why="too long or with a null character")


def _canonical(sent: Mapping[str, Any]) -> bytes:
    return json.dumps(sent, ensure_ascii=False, sort_keys=True, default=str).encode()


@dataclass(frozen=True)
class Receipt:
    """What the sender of a report gets: proof that it is kept, and where it went."""

    id: UUID
    number: str
    query_code: str
    seq: int
    hash: bytes
    department_code: str | None
    department_name: str | None
    unit_grid_code: str
    duplicate: bool
