"""Routes of what positions come to: histories, replay, coverage, GPX, and the record of who looked at whom."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Body, Depends, Query, Response
from fastapi.responses import StreamingResponse

from api import case_export, downloads
from api.access import Day, Tx, allow, aware
from api.selection import as_geojson, cell
from gis import (
    db,
    errors,
    features,
    gpx,
    patrol,
    patrol_features,
    people,
    track_intake,
    track_looks,
    track_replay,
    track_rules,
)
from gis.people import Caller
from layers import geopackage

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
        "reasons": _reasons(tx),
        "keeping": asdict(found.keeping),
    }


@router.get("/api/tracks/people")
def persons(caller: Annotated[Caller, allow("track.view")], tx: Tx, day: Day) -> dict[str, Any]:
    """Whom the caller may look at, and whether they sent anything that day."""
    return {"items": [dict(row._mapping) for row in track_looks.people(tx, caller, day)]}


def _asked(
    person: UUID | None = None,
    text: Annotated[str, Query(max_length=100, description="part of either one's name")] = "",
    why: Why = "",
    since: Day | None = None,
    until: Day | None = None,
) -> track_looks.Asked:
    """Which looks, as a query says it."""
    return track_looks.Asked(person, text.strip(), why, since, until)


Asked = Annotated[track_looks.Asked, Depends(_asked)]


@router.get("/api/tracks/looks")
def looks(
    caller: Annotated[Caller, allow("audit.view")],
    tx: Tx,
    asked: Asked,
    before: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> dict[str, Any]:
    """Who looked at whose track, the newest first; ``next`` goes on (``before``). ``reasons`` are those of today."""
    rows = track_looks.looks(tx, asked, before, limit + 1)
    following = rows[limit - 1].id if len(rows) > limit else None
    return {"items": [_look(row) for row in rows[:limit]], "next": following, "reasons": _reasons(tx)}


@router.get("/api/tracks/looks/file", response_class=StreamingResponse)
def looks_file(
    caller: Annotated[Caller, allow("audit.view")],
    tx: Tx,
    asked: Asked,
    form: Annotated[Literal["xlsx", "csv"], Query(alias="format")] = "xlsx",
    language: Literal["zh", "en"] = "zh",
) -> StreamingResponse:
    """The same as a file, at most 100,000 looks (``export_too_large``); in the audit."""
    rows = track_looks.looks(tx, asked, limit=_LOOKS_MOST + 1)
    fits = len(rows) <= _LOOKS_MOST
    told = {name: str(value) for name, value in asdict(asked).items() if value}
    detail = {"filter": told, "format": form, "count": len(rows)}
    people.record(tx, caller.id, caller.name, "export.looks", "ok" if fits else "refused", detail)
    if not fits:
        raise errors.ExportTooLarge(count=len(rows), most=_LOOKS_MOST)
    now, query = datetime.now(UTC), "&".join(f"{name}={value}" for name, value in told.items())
    note = case_export.Note(f"{caller.name}（{caller.username}）", now, query, "", language, ("足迹查看", "Looks"))
    named = {one["code"]: (one["zh"], one["en"]) for one in _reasons(tx)} | {track_looks.OWN: ("本人", "Own")}

    def of(name: str) -> Callable[[Mapping[str, Any], str], case_export.Cell]:
        words = {"why": named, "what": _WHAT, "exact": _HOW}.get(name, {})
        return lambda item, language: cell(words.get(item[name], (item[name],) * 2)[language != "zh"], language)

    columns = [case_export.Column(words, of(name)) for name, words in _LOOK_COLUMNS.items()]
    return downloads.table(columns, [[_look(row) for row in rows]], note, form, f"wangge-looks-{now:%Y%m%d-%H%M}")


_LOOKS_MOST = 100_000
_LOOK_COLUMNS: Final = {
    "at": ("查看时间", "Looked at"),
    "actor": ("查看人", "Who"),
    "name": ("被查看人", "At whom"),
    "day": ("足迹日期", "Day of the track"),
    "what": ("方式", "How"),
    "why": ("事由", "Why"),
    "note": ("备注", "Note"),
    "exact": ("精度", "Exactness"),
}
_WHAT: Final = {
    "history": ("看足迹", "History"),
    "replay": ("回放", "Replay"),
    "gpx": ("导出 GPX", "GPX out"),
    "import": ("导入 GPX", "GPX in"),
}
_HOW: Final = {True: ("精确", "Exact"), False: ("方格", "Cells")}


def _reasons(tx: db.Connection) -> list[dict[str, str]]:
    return [{"code": code, "zh": zh, "en": en} for code, (zh, en) in track_rules.in_force(tx).reasons.items()]


@router.get("/api/tracks/mine/looks")
def looks_at_me(caller: Annotated[Caller, allow("position.send")], tx: Tx) -> dict[str, Any]:
    """Who looked at my track."""
    rows = track_looks.looks(tx, track_looks.Asked(caller.id))
    return {"items": [_look(row) for row in rows], "reasons": _reasons(tx)}


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
    return asdict(_covered(tx, caller, since, until))


def _covered(tx: db.Connection, caller: Caller, since: date, until: date) -> patrol.Covered:
    if not timedelta(0) <= until - since <= _LONGEST:
        raise errors.SpanRefused(since=since.isoformat(), until=until.isoformat(), longest_days=_LONGEST.days)
    return patrol.coverage(tx, caller.scope, since, until)


@router.get("/api/coverage/file", response_class=StreamingResponse)
def coverage_file(
    caller: Annotated[Caller, allow("export.make")],
    tx: Tx,
    since: Day,
    until: Day,
    by: Literal["grid", "duty"] = "grid",
    state: Literal["", "visited", "seen", "unvisited", "unknown"] = "",
    form: Annotated[Literal["xlsx", "csv", "geojson", "gpkg"], Query(alias="format")] = "xlsx",
    language: Literal["zh", "en"] = "zh",
) -> StreamingResponse:
    """The coverage as a file that says who made it, when and of what: the unit grids or duty grids of a state, or all.

    A GeoPackage holds both kinds. It needs ``statistics.view`` as the coverage does, and is in the audit.
    """
    caller.may("statistics.view")
    covered = _covered(tx, caller, since, until)
    now = datetime.now(UTC)
    told = {"since": since.isoformat(), "until": until.isoformat(), "by": by, "state": state}
    people.record(tx, caller.id, caller.name, "export.coverage", "ok", {**told, "format": form})
    stem = f"wangge-coverage-{by}-{since:%Y%m%d}-{until:%Y%m%d}"

    def found(kind: str, *, wkb: bool = False) -> list[features.Feature]:
        return patrol_features.features(tx, covered, kind, until, state, language, wkb=wkb)

    query = "&".join(f"{name}={value}" for name, value in told.items() if value)
    note = case_export.Note(f"{caller.name}（{caller.username}）", now, query, "", language, ("巡查覆盖", "Coverage"))
    about = dict(note.lines(0)[:3])
    if form == "gpkg":
        tables = [_coverage_table(kind, found(kind, wkb=True), language, about) for kind in ("grid", "duty")]
        return downloads.file(downloads.package(tables), geopackage.MEDIA_TYPE, f"{stem}.gpkg")
    rows = found(by)
    if form == "geojson":
        body = {"type": "FeatureCollection", "about": about, "features": [as_geojson(one) for one in rows]}
        return downloads.file(iter([orjson.dumps(body)]), "application/geo+json", f"{stem}.geojson")
    columns = [case_export.Column(words, _cell_of(name)) for name, (_, words) in patrol_features.FIELDS.items()]
    return downloads.table(columns, [[one.properties for one in rows]], note, form, stem)


def _cell_of(name: str) -> Callable[[Mapping[str, Any], str], case_export.Cell]:
    return lambda item, language: cell(item[name], language)


def _coverage_table(
    kind: str, found: Sequence[features.Feature], language: str, about: Mapping[str, str]
) -> geopackage.Table:
    title = {
        "grid": ("单元网格巡查覆盖", "Coverage of unit grids"),
        "duty": ("责任网格巡查覆盖", "Coverage of duty grids"),
    }
    fields = [(name, of, words[language != "zh"]) for name, (of, words) in patrol_features.FIELDS.items()]
    name = title[kind][language != "zh"]
    said = "; ".join(f"{head} {text}" for head, text in about.items())
    return geopackage.Table(f"coverage_{kind}", name, said, "polygon", fields, [("", name, "#8fa3b5")], "", [found])


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
