"""Routes of the map's tools: measuring, what is at a place, how somebody has set up their pages."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field, FiniteFloat

from api import case_views
from api.access import Filtered, Tx, allow, signed_in
from gis import identify, measuring, preferences
from gis.people import Caller
from gis.rulebook import rulebook

router = APIRouter(tags=["map"])
Name = Annotated[str, Path(pattern=r"^[a-z][a-z0-9.]{0,49}$")]


class Shape(BaseModel):
    """A line to measure, or with ``closed`` the area it encloses: EPSG:4490 degrees."""

    points: list[tuple[FiniteFloat, FiniteFloat]] = Field(max_length=measuring.MOST)
    closed: bool = False


@router.post("/api/measure", dependencies=[allow("map.view")])
def measure(body: Shape) -> measuring.Measured:
    """Length and area along the ellipsoid and on the plane of EPSG:4548."""
    return measuring.measure(body.points, closed=body.closed)


@router.get("/api/identify")
def at_place(
    caller: Annotated[Caller, allow("map.view")],
    tx: Tx,
    wanted: Filtered,
    lon: Annotated[float, Query(ge=-180, le=180)],
    lat: Annotated[float, Query(ge=-85, le=85)],
    radius: Annotated[float, Query(gt=0, le=identify.MOST_M)] = 20.0,
) -> dict[str, Any]:
    """Everything at a place, of all layers; points within ``radius`` metres, cases by the filter in the query."""
    now = datetime.now(UTC)
    found = identify.at(tx, caller, lon, lat, radius, wanted, now)
    book = rulebook(tx)
    found["cases"] = [case_views.item(tx, book, row, now) for row in found["cases"]]
    found["components"] = [
        {"code": c.code, "name": c.name, "lon": c.lon, "lat": c.lat, "distance_m": round(c.distance_m or 0.0, 1)}
        for c in found["components"]
    ]
    return found


class Preference(BaseModel):
    """What to keep: any JSON; null forgets it."""

    value: Any = None


@router.get("/api/preferences/{name}")
def preference(name: Name, caller: Annotated[Caller, signed_in()], tx: Tx) -> dict[str, Any]:
    """What the caller keeps under a name; null where nothing."""
    return {"value": preferences.of(tx, caller, name)}


@router.put("/api/preferences/{name}", status_code=204)
def keep_preference(name: Name, body: Preference, caller: Annotated[Caller, signed_in()], tx: Tx) -> None:
    """Keep a small value under a name, for this person on every device."""
    preferences.keep(tx, caller, name, body.value)
