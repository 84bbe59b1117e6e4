"""What a town says about tracks: what they are for, how long they are kept, how they are cleaned and judged."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from gis import definitions
from gis.db import Connection
from gis.errors import DefinitionBad

Part = TypeVar("Part")


@dataclass(frozen=True)
class Keeping:
    """``days`` a track is kept, exactly for the first ``coarse_after`` of them, then by cells of ``coarse_m``."""

    days: int
    coarse_after: int
    coarse_m: float


@dataclass(frozen=True)
class Cleaning:
    """When a fix is marked; what each means is said by the step of that name in gis.track_cleaning."""

    ahead_s: float
    accuracy_m: float
    speed_ms: float
    spike_fixes: int
    offset_m: float
    frozen_fixes: int


@dataclass(frozen=True)
class Path:
    """``gap_s`` without a fix ends a segment; who is within ``stop_m`` for ``stop_s`` stops, some fixes off it."""

    gap_s: float
    stop_m: float
    stop_s: float
    stop_misses: int


@dataclass(frozen=True)
class Coverage:
    """Who walks sees ``sight_m`` far; below ``known_share`` of its people's time nothing is known of a grid."""

    sight_m: float
    known_share: float


@dataclass(frozen=True)
class TrackRule:
    """A whole rule. ``reasons`` are the codes a look at somebody's track may give, with their (zh, en) names."""

    purpose: tuple[str, str]
    reasons: Mapping[str, tuple[str, str]]
    keeping: Keeping
    cleaning: Cleaning
    path: Path
    coverage: Coverage

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "TrackRule":
        """Raises ``DefinitionBad`` naming the part and what is wrong with it."""
        rule = cls(
            _two(body["purpose"], "purpose"),
            {str(one["code"]): _two(one, "reasons") for one in body["reasons"]},
            _part(Keeping, body, "keeping"),
            _part(Cleaning, body, "cleaning"),
            _part(Path, body, "path"),
            _part(Coverage, body, "coverage"),
        )
        if not rule.reasons or len(rule.reasons) != len(body["reasons"]):
            raise DefinitionBad(where="reasons", why="at least one reason is needed, each code once")
        if not 7 <= rule.keeping.coarse_after <= rule.keeping.days <= 3660:
            raise DefinitionBad(where="keeping", why="7 <= coarse_after <= days <= 3660 is needed")
        if not 50 <= rule.keeping.coarse_m <= 2000:
            raise DefinitionBad(where="keeping.coarse_m", why="50 to 2000 metres")
        if rule.coverage.known_share > 1 or rule.coverage.sight_m > 100:
            raise DefinitionBad(where="coverage", why="known_share is at most 1, sight_m at most 100")
        if not 10 <= rule.path.gap_s <= 3600:
            raise DefinitionBad(where="path.gap_s", why="10 to 3600 seconds")
        return rule


def in_force(tx: Connection) -> TrackRule:
    """The town's rule. Raises ``DefinitionUnknown``."""
    found: TrackRule = definitions.current(tx, "track_rule").parsed
    return found


def _two(names: Mapping[str, Any], where: str) -> tuple[str, str]:
    if not names.get("zh") or not names.get("en"):
        raise DefinitionBad(where=where, why="zh and en are needed")
    return str(names["zh"]), str(names["en"])


def _part(kind: type[Part], body: Mapping[str, Any], name: str) -> Part:
    given = body[name]
    wanted = {field.name: field.type for field in fields(kind)}  # type: ignore[arg-type]
    if given.keys() != wanted.keys():
        raise DefinitionBad(where=name, why=f"exactly these are needed: {', '.join(wanted)}")
    for key, value in given.items():
        whole = wanted[key] is int
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not 0 < value < 1e9:
            raise DefinitionBad(where=f"{name}.{key}", why="a positive number is needed" + (", whole" if whole else ""))
    return kind(**given)
