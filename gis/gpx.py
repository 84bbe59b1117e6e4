"""GPX 1.1: a person's day as a file, and a file of theirs as fixes. What a fix has to be is checked on intake."""

import hashlib
import re
from datetime import UTC, date, datetime
from typing import Any, Final
from xml.etree import ElementTree

from gis.errors import GpxBad
from gis.track_days import IMPORTED, bounds
from gis.track_intake import Fix

_SPACE: Final = "http://www.topografix.com/GPX/1/1"
_MOST_POINTS: Final = 100_000


def write(name: str, begin: datetime, told: dict[str, Any]) -> bytes:
    """An exact history (``track_looks.history``) as a GPX file: a track segment a segment, a waypoint a stop."""
    start = begin.timestamp()
    root = ElementTree.Element("gpx", {"xmlns": _SPACE, "version": "1.1", "creator": "Wangge"})
    for number, stop in enumerate(told["stops"], 1):
        point = _point(root, "wpt", stop["place"], start + stop["from"])
        ElementTree.SubElement(point, "name").text = f"停留 {number}"
        ElementTree.SubElement(point, "desc").text = f"{round(stop['to'] - stop['from'])} s"
    track = ElementTree.SubElement(root, "trk")
    ElementTree.SubElement(track, "name").text = name
    for segment in told["segments"]:
        part = ElementTree.SubElement(track, "trkseg")
        for at, place in zip(segment["at"], segment["places"], strict=True):
            _point(part, "trkpt", place, start + at)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _point(parent: ElementTree.Element, tag: str, place: list[float], at: float) -> ElementTree.Element:
    point = ElementTree.SubElement(parent, tag, {"lat": f"{place[1]:.6f}", "lon": f"{place[0]:.6f}"})
    moment = datetime.fromtimestamp(round(at, 1), UTC).isoformat(timespec="milliseconds")
    ElementTree.SubElement(point, "time").text = moment.replace("+00:00", "Z")
    return point


def read(content: bytes, day: date) -> tuple[str, list[Fix], int]:
    """(name of the device the file counts as, its points of that local day as fixes in EPSG:4326, points left out).

    The device is the file's digest: the same file again is the same fixes. Points without a time or of another day are
    left out. Raises ``GpxBad`` for what is no GPX, holds an entity, or has no point of that day.
    """
    if re.search(rb"<!(DOCTYPE|ENTITY)", content, re.IGNORECASE) or b"\0" in content:
        raise GpxBad(why="a document type, an entity or another encoding than UTF-8")
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise GpxBad(why=str(error)) from error
    if root.tag.rpartition("}")[2] != "gpx":
        raise GpxBad(why=f"the root is {root.tag[:80]}, not gpx")
    points = [one for one in root.iter() if one.tag.rpartition("}")[2] == "trkpt"]
    if len(points) > _MOST_POINTS:
        raise GpxBad(why=f"more than {_MOST_POINTS} points")
    begin, end = bounds(day)
    fixes = []
    for seq, point in enumerate(points):
        at = _time(point)
        if at is not None and begin <= at < end:
            fixes.append(Fix(seq, at, _number(point.get("lon")), _number(point.get("lat"))))
    if not fixes:
        raise GpxBad(why="no point of that day", points=len(points), day=day.isoformat())
    return f"{IMPORTED}{hashlib.sha256(content).hexdigest()[:16]}", fixes, len(points) - len(fixes)


def _time(point: ElementTree.Element) -> datetime | None:
    told = next((one.text or "" for one in point if one.tag.rpartition("}")[2] == "time"), "")
    try:
        at = datetime.fromisoformat(told.strip())
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)  # GPX says: times are UTC


def _number(told: str | None) -> float:
    """NaN for what is none: such a fix goes to quarantine with its reason."""
    try:
        return float(told or "nan")
    except ValueError:
        return float("nan")
