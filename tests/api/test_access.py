"""Who may reach what: every route declares it, and nobody gets past it."""

import asyncio
from datetime import timedelta

import httpx
from fastapi.routing import APIRoute
from sqlalchemy import text

from api import access
from api.main import create_app
from gis.people import PERMISSIONS

# Reachable by anybody, each for the reason its route gives. A new one is a decision: add it here.
OPEN = {
    "POST /api/login",
    "POST /api/public/cases",
    "PUT /api/public/media/{sha256}",
    "GET /api/public/cases/{query_code}",
    "GET /api/town",
    "GET /api/locate",
    "GET /api/catalogue",
    "GET /api/forms",
    "GET /api/guides",
    "POST /api/guides/{code}/resolve",
    "GET /healthz",
    "GET /readyz",
    "GET /",
    "GET /wall",
    "GET /wall/remote",
    "GET /desk",
    "GET /desk/{place:path}",
    "GET /desk/intake",
    "GET /report",
    "POST /api/public/cases/{query_code}/supplement",
    "POST /api/public/cases/{query_code}/rate",
    "GET /login",
    "GET /m",
    "GET /style.json",
}


# What is no route of ours: the API's own description, and the built pages' files.
OTHERS = {"/openapi.json", "/docs", "/docs/oauth2-redirect", "/static", "/m", "/tiles"}


def routes():
    """Every route of the application, those of included routers too."""
    found, waiting = [], list(create_app().routes)
    while waiting:
        route = waiting.pop()
        if isinstance(route, APIRoute):
            found.append(route)
        elif hasattr(route, "original_router"):
            waiting.extend(route.original_router.routes)
        else:
            assert route.path in OTHERS, f"{route!r} is not walked: does it declare a permission?"
    assert len(found) > 30
    return found


def declared(route: APIRoute) -> list[str]:
    found, waiting = [], [route.dependant]
    while waiting:
        dependant = waiting.pop()
        waiting.extend(dependant.dependencies)
        permission = getattr(dependant.call, "permission", None)
        if permission:
            found.append(permission)
    return found


def test_every_route_declares_one_permission():
    for route in routes():
        permissions = declared(route)
        assert len(permissions) == 1, f"{route.methods} {route.path} declares {permissions}"
        name = permissions[0]
        assert name in PERMISSIONS or name == "signed in" or name.startswith("anyone: "), name


def test_nobody_unknown_gets_a_transaction():
    """Who asks is known before a connection is taken: else those waiting for the one starve those needing the other."""
    for route in routes():
        calls = [dependant.call for dependant in route.dependant.dependencies]
        if access._transaction in calls:
            asking = next(i for i, call in enumerate(calls) if hasattr(call, "permission"))
            assert asking < calls.index(access._transaction), f"{route.methods} {route.path}"


def test_many_requests_at_once_are_all_answered(database):
    """More than there are threads or connections: none waits for what another holds for ever."""
    access.forget_callers()

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(create_app())
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver", timeout=60) as client:
            answers = await asyncio.gather(*(client.get("/api/catalogue") for _ in range(200)))
        return [answer.status_code for answer in answers]

    assert asyncio.run(ask()) == [200] * 200


def test_the_open_routes_are_these_and_no_others():
    found = {
        f"{method} {route.path}" for route in routes() for method in route.methods if "anyone" in declared(route)[0]
    }
    assert found == OPEN


def test_nobody_gets_past_a_route_without_signing_in(client):
    for route in routes():
        if declared(route)[0].startswith("anyone"):
            continue
        path = route.path.replace("{case_id}", "01890000-0000-7000-8000-000000000000")
        path = path.replace("{run_id}", "01890000-0000-7000-8000-000000000000").replace("{kind}", "components")
        for method in route.methods:
            answer = client.request(method, path, content=b"{}")
            assert answer.status_code == 401, f"{method} {path}: {answer.status_code} {answer.text}"
            assert answer.json()["code"] == "not_authenticated"


def test_a_wrong_password_and_an_unknown_name_look_alike_and_lock_in_the_end(client):
    unknown = client.post("/api/login", json={"username": "nobody", "password": "x"})
    wrong = client.post("/api/login", json={"username": "acceptor1", "password": "x"})
    assert unknown.status_code == wrong.status_code == 401
    assert unknown.json() == wrong.json()
    for _ in range(4):
        client.post("/api/login", json={"username": "acceptor1", "password": "x"})
    locked = client.post("/api/login", json={"username": "acceptor1", "password": "wangge-demo-2026"})
    assert locked.json()["code"] == "login_locked"


def test_logging_out_ends_the_session_at_once(client, login):
    headers = login("acceptor1")
    assert client.get("/api/me", headers=headers).json()["username"] == "acceptor1"
    assert client.post("/api/logout", headers=headers, content=b"").status_code == 204
    assert client.get("/api/me", headers=headers).status_code == 401


def test_a_cookie_does_not_act_for_another_sites_page(client):
    client.post("/api/login", json={"username": "acceptor1", "password": "wangge-demo-2026"})
    assert client.get("/api/me").status_code == 200
    answer = client.post("/api/logout", content=b"", headers={"Origin": "https://evil.example"})
    assert answer.json()["code"] == "cross_site"
    assert client.post("/api/logout", content=b"", headers={"Origin": "http://testserver"}).status_code == 204


def test_a_permission_missing_is_said(client, login):
    answer = client.get("/api/statistics", headers=login("inspector001"))
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert answer.json()["detail"]["permission"] == "statistics.view"


def test_a_wall_that_hangs_open_keeps_its_login_but_not_for_ever(client, login, database):
    headers = login("leader")

    def life() -> timedelta:
        assert client.post("/api/session", headers=headers, content=b"").status_code == 204
        with database.engine.begin() as tx:
            return tx.execute(
                text("select expires_at - now() from token order by created_at desc limit 1")
            ).scalar_one()

    with database.engine.begin() as tx:
        tx.execute(text("update token set expires_at = now() + interval '1 minute'"))
    assert timedelta(hours=11) < life() <= timedelta(hours=12)
    with database.engine.begin() as tx:
        tx.execute(text("update token set created_at = now() - interval '29 days 23 hours'"))
        tx.execute(text("update token set expires_at = now() + interval '1 minute'"))
    assert timedelta(minutes=59) < life() <= timedelta(hours=1)
    assert client.post("/api/session", headers=login("handler_D02_1"), content=b"").json()["code"] == "forbidden"
