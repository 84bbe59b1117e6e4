"""Routes of maps: the stand-alone map of any filter."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.access import Filtered, Tx, allow
from gis import people
from gis.people import Caller
from layers import folium_map

router = APIRouter(tags=["maps"])


@router.get("/api/maps/folium")
def stand_alone(
    caller: Annotated[Caller, allow("export.make")],
    tx: Tx,
    wanted: Filtered,
    shade: Annotated[str, Query(max_length=30)] = "reported",
    language: Annotated[str, Query(pattern="^(zh|en)$")] = "zh",
) -> Response:
    """A map of these cases as one HTML file that opens without a network."""
    now = datetime.now(UTC)
    html = folium_map.case_map(tx, caller, wanted, now, shade, language)
    people.record(tx, caller.id, caller.name, "export.map", "ok", {"filter": wanted.query()})
    name = f"wangge-{now:%Y%m%d-%H%M}.html"
    return Response(html, media_type="text/html", headers={"content-disposition": f'attachment; filename="{name}"'})
