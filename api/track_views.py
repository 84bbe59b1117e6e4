"""Routes of what positions come to: histories, replay, coverage, GPX, and the record of who looked at whom."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Query, Response

from api.access import Day, Tx, allow, aware
from gis import errors, gpx, patrol, people, track_intake, track_looks, track_replay, track_rules
from gis.people import Caller

router = APIRouter(tags=["tracks"])

Why = Annotated[str, Query(max_length=40, description="a reason of the track rule")]
Note = Annotated[str, Query(max_length=200)]
_LONGEST = timedelta(days=366)


@router.get("/api/tracks/rule")
def rule(caller: Annotated[Caller, allow("case.view")], tx: Tx) -> dict[str, Any]:
    """What tracks are for, how long they are kept, and the reasons a look may give."""
    found = track_rules.in_force(tx)
    return {
        "purpose": {"zh": found.purpose[0], "en": found.purpose[1]},
        "reasons": [{"code": code, "zh": zh, "en": en} for code, (zh, en) in found.reasons.items()],
        "keeping": asdict(found.keeping),
    }


@router.get("/api/tracks/people")
def persons(caller: Annotated[Caller, allow("track.view")], tx: Tx, day: Day) -> dict[str, Any]:
    """Whom the caller may look at, and whether they sent anything that day."""
    return {"items": [dict(row._mapping) for row in track_looks.people(tx, caller, day)]}


@router.get("/api/tracks/looks")
def looks(
    caller: Annotated[Caller, allow("audit.view")], tx: Tx, person: UUID | None = None, limit: int = Query(200, le=1000)
) -> dict[str, Any]:
    """Who looked at whose track, the newest first."""
    return {"items": [_look(row) for row in track_looks.looks(tx, person, limit)]}


@router.get("/api/tracks/mine/looks")
def looks_at_me(caller: Annotated[Caller, allow("position.send")], tx: Tx) -> dict[str, Any]:
    """Who looked at my track."""
    return {"items": [_look(row) for row in track_looks.looks(tx, caller.id)]}


def _look(row: Any) -> dict[str, Any]:
    names = ("at", "actor", "inspector_id", "name", "day", "what", "why", "note", "exact")
    return {name: getattr(row, name) for name in names}


@router.get("/api/tracks/mine/{day}")
def mine(caller: Annotated[Caller, allow("position.send")], tx: Tx, day: Day) -> dict[str, Any]:
    """My own day, exactly."""
    assert caller.id is not None  # whoever holds a permission by login has an id
    return track_looks.history(tx, track_looks.look(tx, caller, caller.id, day, "history", ""), day)


@router.get("/api/tracks/{staff_id}/{day}")
def history(
    caller: Annotated[Caller, allow("track.view")], tx: Tx, staff_id: UUID, day: Day, why: Why = "", note: Note = ""
) -> dict[str, Any]:
    """A person's day, as exactly as the caller may see it; the look is recorded."""
    return track_looks.history(tx, track_looks.look(tx, caller, staff_id, day, "history", why, note), day)


@router.get("/api/tracks/{staff_id}/{day}/gpx")
def export(
    caller: Annotated[Caller, allow("track.exact")], tx: Tx, staff_id: UUID, day: Day, why: Why = "", note: Note = ""
) -> Response:
    """A person's exact day as GPX; the look is recorded."""
    seen = track_looks.look(tx, caller, staff_id, day, "gpx", why, note)
    told = track_looks.history(tx, seen, day)
    if not told["exact"]:
        raise errors.TrackCoarse(day=day.isoformat())
    name = f"track-{day.isoformat()}-{str(staff_id)[:8]}.gpx"
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "private, no-store"}
    content = gpx.write(f"{seen.name} {day.isoformat()}", told["begin"], told)
    return Response(content, headers=headers, media_type="application/gpx+xml")


@router.post("/api/tracks/{staff_id}/{day}/gpx")
def take_in(
    body: Annotated[bytes, Body(media_type="application/gpx+xml")],
    caller: Annotated[Caller, allow("track.import")],
    tx: Tx,
    staff_id: UUID,
    day: Day,
    why: Why = "",
    note: Note = "",
) -> dict[str, Any]:
    """Take in a GPX file as a person's day. Its fixes are marked as imported; the same file again changes nothing."""
    track_looks.look(tx, caller, staff_id, day, "import", why, note)
    device, fixes, left_out = gpx.read(body, day)
    ack = track_intake.record(tx, staff_id, device, "EPSG:4326", fixes)
    told = {"device": device, "points": len(fixes), "left_out": left_out, **ack._asdict()}
    people.record(tx, caller.id, caller.name, "track.import", "ok", {"staff": str(staff_id), "day": str(day)} | told)
    return told


@router.get("/api/coverage")
def coverage(
    caller: Annotated[Caller, allow("statistics.view")],
    tx: Tx,
    since: Day,
    until: Day,
) -> dict[str, Any]:
    """What was seen of every unit grid and duty grid, the longest unvisited first."""
    if not timedelta(0) <= until - since <= _LONGEST:
        raise errors.SpanRefused(since=since.isoformat(), until=until.isoformat(), longest_days=_LONGEST.days)
    return asdict(patrol.coverage(tx, caller.scope, since, until))


@router.get("/api/replay")
def replay(
    caller: Annotated[Caller, allow("track.view")],
    tx: Tx,
    since: datetime,
    until: datetime,
    people: Annotated[str, Query(max_length=2000, description="ids, separated by commas")] = "",
    why: Why = "",
    note: Note = "",
) -> dict[str, Any]:
    """Where people were and how the cases stood, for a span of at most a day; every look is recorded."""
    return track_replay.replay(tx, caller, _ids(people), aware(since), aware(until), why, note)


def _ids(told: str) -> Sequence[UUID]:
    try:
        return [UUID(one) for one in told.split(",") if one]
    except ValueError as error:
        raise errors.Malformed(field="people") from error
