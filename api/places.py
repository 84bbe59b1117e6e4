"""Routes of places: the town, where a point lies, grids, villages, components, names; and what cases are classed by."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import FiniteFloat

from api.access import Throttle, Tx, allow, anyone, reader_of, token_of
from gis import areas, category_status, components, errors, gazetteer, geometry, register
from gis.catalogue_mappings import equivalents
from gis.people import Caller
from gis.rulebook import rulebook
from gis.search import CaseFilter

router = APIRouter(tags=["places"])
Viewer = Annotated[Caller, allow("map.view")]
_MAP = [allow("map.view")]
anonymous = Throttle(per_minute=300)
"""Of look-ups without a login, by address."""


@router.get("/api/town", dependencies=[anyone("the login page and the public page name their town")])
def town(tx: Tx) -> dict[str, Any]:
    """The loaded town, its extent and whether it is synthetic."""
    return register.the_town(tx)


def _limited(request: Request) -> None:
    """The public may ask only so often: every answer costs two searches of the database."""
    try:
        reader_of(token_of(request.headers, request.cookies))
    except errors.NotAuthenticated:
        anonymous.take(request.client.host if request.client else "")


@router.get(
    "/api/locate",
    dependencies=[anyone("a public reporter sees which village and components are near"), Depends(_limited)],
)
def locate(tx: Tx, lon: FiniteFloat, lat: FiniteFloat, crs: str = geometry.STORED) -> dict[str, Any]:
    """Village, grids, area class and the nearest components of a point."""
    at = geometry.to_4490(float(lon), float(lat), crs)
    place = areas.areas(tx).at(*at)
    near = components.nearest(tx, *at, radius_m=50, limit=8)
    return {
        "village": {"code": place.village_code, "name": register.division_name(tx, place.village_code)},
        "unit_grid_code": place.unit_grid_code,
        "duty_grid_code": place.duty_grid_code,
        "area_class": place.area_class,
        "components": [
            {
                "code": c.code,
                "name": c.name,
                "catalogue": c.catalogue,
                "category_code": c.category_code,
                "lon": c.lon,
                "lat": c.lat,
                "distance_m": round(c.distance_m or 0.0, 1),
            }
            for c in near
        ],
    }


@router.get("/api/places")
def places(
    caller: Viewer, tx: Tx, q: Annotated[str, Query(max_length=100)], limit: Annotated[int, Query(ge=1, le=50)] = 10
) -> dict[str, Any]:
    """What ``q`` may mean: a place, an address, a village, a grid, a component, a case."""
    return {"items": gazetteer.lookup(tx, caller, q.replace("\x00", ""), limit)}


@router.get("/api/components", dependencies=_MAP)
def find_components(
    tx: Tx,
    category: Annotated[str | None, Query(max_length=4)] = None,
    catalogue: Annotated[str | None, Query(max_length=80)] = None,
    bbox: str | None = None,
    grid: Annotated[str | None, Query(max_length=15)] = None,
    village: Annotated[str | None, Query(max_length=12)] = None,
    q: Annotated[str | None, Query(max_length=100)] = None,
    cursor: Annotated[str | None, Query(max_length=16)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:
    """Components by code; ``next`` is the cursor of the next page.

    With ``catalogue`` the category is one of its, and components of other catalogues that may be of it are found, too.
    """
    kinds = None
    if catalogue and category:
        book = rulebook(tx)
        kinds = equivalents(list(book.catalogue_mappings.values()), catalogue, category, book.catalogues)
    box = CaseFilter.parse({"bbox": bbox}).bbox if bbox else None
    found = components.find(
        tx,
        category=None if kinds else category,
        kinds=kinds,
        bbox=box,
        unit_grid_code=grid,
        village_code=village,
        query=q,
        after=cursor,
        limit=limit + 1,
    )
    return {"items": found[:limit], "next": found[limit - 1].code if len(found) > limit else None}


@router.get("/api/components/{code}", dependencies=_MAP)
def component(code: str, tx: Tx) -> dict[str, Any]:
    """One component, with the names of its catalogue and category.

    ``case_categories`` are the categories of the town's catalogue that a case on it may be of: one as a rule; none or
    several where it was surveyed in another catalogue.
    """
    found, book = components.get(tx, code), rulebook(tx)
    town, meant = book.town_catalogue, book.case_categories(found.catalogue, found.category_code)
    there = book.catalogues.get(found.catalogue)
    return asdict(found) | {
        "catalogue_name": there.name if there else None,
        "category_name": book.category_names(found.catalogue, "component", found.category_code)[0],
        "case_categories": [{"code": one, "name": book.category_names(town, "component", one)[0]} for one in meant],
    }


@router.get("/api/grids/{code}", dependencies=_MAP)
def grid(code: str, tx: Tx) -> dict[str, Any]:
    """One unit grid with its geometry."""
    found = register.grid(tx, code)
    return found | {"geom": json.loads(found["geom"])}


@router.get("/api/divisions", dependencies=_MAP)
def divisions(tx: Tx) -> dict[str, Any]:
    """The villages as GeoJSON, EPSG:4490."""
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": row.code,
                "geometry": json.loads(row.geom),
                "properties": {
                    "code": row.code,
                    "name": row.short_name,
                    "synthetic": row.synthetic,
                    "label": [row.lon, row.lat],
                },
            }
            for row in register.villages(tx)
        ],
    }


@router.get("/api/departments", dependencies=_MAP)
def departments(tx: Tx) -> dict[str, Any]:
    """Every active department."""
    return {"items": register.departments(tx)}


@router.get("/api/catalogue", dependencies=[anyone("a public reporter chooses a category")])
def catalogue(tx: Tx) -> dict[str, Any]:
    """The catalogue the town codes cases in: groups and their categories; why some are off, and what changes when.

    ``off`` of a category is the reason why it takes no new cases, null when it does. ``notices`` are switched
    categories and groups (``event:0506``, ``event:05``), the newest first, announced ones too.
    """
    book = rulebook(tx)
    found = book.catalogues[book.town_catalogue]
    status = book.category_status
    return {
        "code": found.code,
        "name": found.name,
        "groups": [
            {
                "kind": group.kind,
                "code": group.code,
                "name": group.name,
                "categories": [
                    {"code": c.code, "name": c.name, "off": status.reason(c.kind, c.code)} for c in group.categories
                ],
            }
            for group in found.groups
        ],
        "notices": [
            {"category": notice.category, "off": notice.off, "reason": notice.reason, "at": notice.at}
            for notice in category_status.notices(tx, datetime.now(UTC))
        ],
    }


@router.get("/api/workflows/{code}", dependencies=_MAP)
def workflow(code: str, tx: Tx) -> dict[str, Any]:
    """The workflow in force: its states and actions."""
    flow = rulebook(tx).workflow(code)
    states = flow.states.values()
    return {
        "code": flow.code,
        "name": flow.name,
        "version": rulebook(tx).versions[f"workflow/{code}"],
        "states": [{"code": s.code, "name": s.name, "stage": s.stage, "status": s.status} for s in states],
        "actions": [
            {"code": a.code, "name": a.name, "from": sorted(a.sources), "to": a.target, "roles": sorted(a.roles)}
            for a in flow.actions.values()
            if not a.hidden
        ],
    }
