"""Routes of the desk: whose turn it is, filters kept under a name, the list as a file, one step for many cases."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

import structlog
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from api import case_export, case_views, downloads, live
from api.access import Filtered, Throttle, Tx, allow
from api.cases import Act, take_step
from gis import case_tasks, db, definitions, errors, people, saved_filters, search, todo
from gis.people import Caller
from gis.rulebook import flow_of, rulebook
from gis.search import CaseFilter
from gis.workflow import available

log = structlog.get_logger("desk")
router = APIRouter(tags=["desk"])

# So many cases one file holds, one page of them reads at once, and one bulk act takes.
EXPORT_MOST, EXPORT_PAGE, BULK_MOST = 100_000, 1000, 200
_exports = Throttle(per_minute=12)

Viewer = Annotated[Caller, allow("case.view")]


@router.get("/api/todo")
def to_do(caller: Viewer, tx: Tx) -> dict[str, Any]:
    """What waits for the caller: queues by role and state with lights, open tasks, and what is open and late at all.

    ``filter`` of a queue or view opens exactly the list that was counted.
    """
    now = datetime.now(UTC)
    names = definitions.current(tx, "role").body["roles"]
    points = live.store()
    flows = list(rulebook(tx).workflows.values())
    asked = todo.queues(flows, caller.grants)
    return {
        "at": now,
        "queues": [
            {
                "role": queue.role,
                "role_name": names[queue.role]["name"],
                "state": queue.state.code,
                "name": dict(queue.state.name),
                "stage": queue.state.stage,
                "count": queue.count,
                "lights": queue.lights,
                "filter": queue.wanted.query(),
            }
            for queue in todo.counted(points, caller, asked, now)
        ],
        "tasks": [
            {
                "kind": one.kind,
                "name": case_tasks.NAMES[one.kind],
                "count": one.count,
                "late": one.late,
                "mine": one.mine,
            }
            for one in todo.tasks(tx, caller, now)
        ],
        "views": [
            {
                "code": code,
                "count": points.mask(caller.scope, wanted, now).count,
                "filter": wanted.query(),
            }
            for code, wanted in _VIEWS.items()
        ],
        "states": todo.state_names(flows),
    }


_VIEWS = {
    "open": CaseFilter(status=("open",)),
    "soon": CaseFilter(status=("open",), light=("yellow",)),
    "late": CaseFilter(status=("open",), handling_light=("red",)),
    "stage_late": CaseFilter(status=("open",), stage_light=("red",)),
}


@router.get("/api/todo/tasks/{kind}")
def task_cases(
    kind: str,
    caller: Viewer,
    tx: Tx,
    wanted: Filtered,
    order: Literal["newest", "due"] = "due",
    cursor: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """One page of the cases behind the open tasks of a kind."""
    now = datetime.now(UTC)
    rows, following = todo.task_cases(tx, caller, kind, wanted, order=order, cursor=cursor, limit=limit, now=now)
    book = rulebook(tx)
    return {"items": [case_views.item(tx, book, row, now) for row in rows], "next": following}


@router.get("/api/cases/choices")
def choices(caller: Viewer, tx: Tx) -> dict[str, Any]:
    """What a list can be filtered by beside codes that everybody knows: special actions, and who holds a case."""
    campaigns = sorted(rulebook(tx).campaigns.values(), key=lambda one: (one.ends, one.code), reverse=True)
    return {
        "tags": [{"code": one.code, "name": dict(one.name)} for one in campaigns],
        "assignees": search.assignees(tx, caller),
    }


# --- Filters kept under a name ----------------------------------------------------------------------------------


class SavedFilter(BaseModel):
    """A filter to keep. ``query`` is a case filter as in an address."""

    name: str = Field(min_length=1, max_length=50, pattern=r"\S")
    query: str = Field(max_length=4000)
    columns: list[Annotated[str, Field(max_length=30)]] = Field(default_factory=list, max_length=40)
    shared: bool = False

    def kept(self) -> saved_filters.Kept:
        """As it is kept."""
        return saved_filters.Kept(self.name.strip(), self.query, tuple(self.columns), self.shared)


class Order(BaseModel):
    """The caller's own filters, first to last."""

    ids: list[UUID] = Field(max_length=saved_filters.MOST)


def _saved(tx: db.Connection, caller: Caller) -> dict[str, Any]:
    return {
        "items": [
            {
                "id": str(row.id),
                "name": row.name,
                "query": row.query,
                "columns": row.columns,
                "shared": row.shared,
                "own": row.own,
                "owner": row.owner,
            }
            for row in saved_filters.of(tx, caller)
        ]
    }


@router.get("/api/saved-filters")
def kept_filters(caller: Viewer, tx: Tx) -> dict[str, Any]:
    """The caller's own filters in their order, then those others share."""
    return _saved(tx, caller)


@router.post("/api/saved-filters", status_code=201)
def keep_filter(body: SavedFilter, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """Keep one more; answers its id and the list as it is then."""
    made = saved_filters.keep(tx, caller, body.kept())
    return {"id": str(made)} | _saved(tx, caller)


@router.put("/api/saved-filters/order")
def place_filters(body: Order, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """Put one's own filters in order."""
    saved_filters.place(tx, caller, body.ids)
    return _saved(tx, caller)


@router.put("/api/saved-filters/{filter_id}")
def change_filter(filter_id: UUID, body: SavedFilter, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """Change one's own."""
    saved_filters.change(tx, caller, filter_id, body.kept())
    return _saved(tx, caller)


@router.delete("/api/saved-filters/{filter_id}")
def forget_filter(filter_id: UUID, caller: Viewer, tx: Tx) -> dict[str, Any]:
    """Drop one's own."""
    saved_filters.forget(tx, caller, filter_id)
    return _saved(tx, caller)


# --- The list as a file -----------------------------------------------------------------------------------------


@router.get("/api/cases/export", response_class=StreamingResponse)
def export(
    request: Request,
    caller: Annotated[Caller, allow("export.make")],
    wanted: Filtered,
    form: Annotated[Literal["xlsx", "csv"], Query(alias="format")] = "xlsx",
    columns: Annotated[str, Query(max_length=500)] = "",
    language: Annotated[Literal["zh", "en"], Query()] = "zh",
) -> StreamingResponse:
    """The cases of a filter as a file, newest report first; it says itself who made it, when, and of which filter.

    ``columns``: names of ``case_export.COLUMNS``, joined by commas; empty for all.
    """
    _exports.take(caller.username)
    names = [name for name in columns.split(",") if name] or list(case_export.COLUMNS)
    unknown = sorted(set(names) - case_export.COLUMNS.keys())
    if unknown:
        raise errors.Malformed(field="columns", unknown=unknown, known=list(case_export.COLUMNS))
    count = live.count(caller, wanted, [])["total"]
    now = datetime.now(UTC)
    fits = count <= EXPORT_MOST
    told = {"filter": wanted.query(), "format": form, "count": count}
    with db.transaction() as tx:
        people.record(tx, caller.id, caller.name, "export.cases", "ok" if fits else "refused", told)
    if not fits:
        raise errors.ExportTooLarge(count=count, most=EXPORT_MOST)
    query = urlencode(wanted.query(), safe=",:")
    address = f"{request.base_url}desk/cases?{query or 'status=all'}"
    note = case_export.Note(f"{caller.name}（{caller.username}）", now, query, address, language)
    chosen = [case_export.COLUMNS[name] for name in dict.fromkeys(names)]
    stem = f"wangge-cases-{now.astimezone(search.ZONE):%Y%m%d-%H%M}"
    return downloads.table(chosen, _pages(caller, wanted, now), note, form, stem)


def _pages(caller: Caller, wanted: CaseFilter, now: datetime) -> Iterator[Sequence[dict[str, Any]]]:
    """The filter's cases page by page, each read in a transaction of its own: a slow reader holds no connection.

    By time of report, which never changes: a case that is acted on meanwhile is neither lost nor told twice.
    """
    cursor: str | None = ""
    while cursor is not None:
        with db.transaction() as tx:
            rows, cursor = search.find(tx, caller, wanted, cursor=cursor, limit=EXPORT_PAGE, now=now)
            book = rulebook(tx)
            page = [case_views.item(tx, book, row, now) for row in rows]
        yield page


# --- One step for many cases ------------------------------------------------------------------------------------


class Seen(BaseModel):
    """A case as the sender saw it."""

    id: UUID
    seq: int = Field(ge=1, lt=2**31)


class Bulk(BaseModel):
    """The same step for several cases, each as the sender saw it."""

    action: str = Field(max_length=50)
    payload: dict[str, Any] = Field(default_factory=dict)
    items: list[Seen] = Field(min_length=1, max_length=BULK_MOST)


class Chosen(BaseModel):
    """Cases somebody has chosen."""

    ids: list[UUID] = Field(min_length=1, max_length=BULK_MOST)


@router.post("/api/cases/bulk")
def act_on_many(body: Bulk, caller: Annotated[Caller, allow("case.act")]) -> dict[str, Any]:
    """Take one step with each of the cases, each for itself: what is refused for one is done for the others.

    ``items`` names each one's outcome in the order sent: ``done`` with its new ``seq``, or ``refused`` with the
    problem.
    """
    if len({item.id for item in body.items}) < len(body.items):
        raise errors.Malformed(field="items", why="a case is named twice")
    outcomes = [_act_on(caller, body, item) for item in body.items]
    done = sum(one["outcome"] == "done" for one in outcomes)
    return {"done": done, "refused": len(outcomes) - done, "items": outcomes}


def _act_on(caller: Caller, body: Bulk, item: Seen) -> dict[str, Any]:
    try:
        with db.transaction() as tx:
            payload = _for_one(tx, caller, item.id, body)
            seq = take_step(tx, caller, item.id, Act(action=body.action, seq=item.seq, payload=payload))
        return {"id": str(item.id), "outcome": "done", "seq": seq}
    except errors.Problem as problem:
        refused = problem
    except Exception:
        # One that fails unforeseen must not hide what became of the others.
        log.exception("a step among many failed", case=str(item.id), action=body.action)
        refused = errors.Internal()
    return {"id": str(item.id), "outcome": "refused", "problem": refused.body()}


def _for_one(tx: db.Connection, caller: Caller, case_id: UUID, body: Bulk) -> dict[str, Any]:
    """The payload for one of the cases: tags said of many are put to those each has, never in their place.

    Raises ``CaseNotFound``, and ``NotBulk`` for what the case's workflow wants taken one case at a time.
    """
    rows = search.some(tx, caller, [case_id])
    if not rows:
        raise errors.CaseNotFound(id=str(case_id))
    action = flow_of(tx, rulebook(tx), rows[0]._mapping).actions.get(body.action)
    if action is None:
        return body.payload
    if not action.bulk:
        raise errors.NotBulk(action=body.action, action_name=dict(action.name))
    tags = action.field("tags")
    given = body.payload.get(tags.name) if tags else None
    if tags is None or not isinstance(given, list):
        return body.payload
    return body.payload | {tags.name: [*rows[0].tags, *(tag for tag in given if tag not in rows[0].tags)]}


@router.post("/api/cases/bulk/actions")
def doable(body: Chosen, caller: Annotated[Caller, allow("case.act")], tx: Tx) -> dict[str, Any]:
    """What the caller can do now with the chosen cases: each action once, with the cases it can be taken for."""
    book = rulebook(tx)
    found: dict[str, dict[str, Any]] = {}
    for row in search.some(tx, caller, body.ids):
        of = row._mapping
        for action in available(flow_of(tx, book, of), of, caller.roles_on(of)):
            known = found.setdefault(action.code, case_views.action(action) | {"cases": []})
            known["cases"].append(str(row.id))
    return {"items": sorted(found.values(), key=lambda one: (not one["primary"], -len(one["cases"])))}
