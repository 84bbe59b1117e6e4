"""The live stream: one follower of the event feed a process, many listeners, each with its scope and filter.

Knows how changes are pushed; what is visible comes from gis.search, what changed from gis.events.
"""

import asyncio
import ctypes
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from threading import Event, Lock, Thread
from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api import case_views
from api.access import Filtered, allow, caller_of, token_of
from gis import case_rows, db, errors, events, points_order, points_rows, search, tracks
from gis.events import Cursor
from gis.people import Caller
from gis.points import FACETS, CaseStore
from gis.rulebook import rulebook
from gis.search import CaseFilter, Order

log = structlog.get_logger("live")
router = APIRouter(tags=["live"])

FOLLOW_SECONDS = 0.2
POSITIONS_SECONDS = 3.0
CHECK_SECONDS = 600.0
GIVE_BACK_SECONDS = 10.0
CATCH_UP = 2000
FEW = 5000  # so many cases are all looked at for what the store does not hold of them
CHANGED = 500  # cases the store does not know yet: beyond so many a list asks the database alone
QUEUE = 2000
RECHECK_SECONDS = 30.0


@dataclass(frozen=True)
class Message:
    """One event of the stream; ``cursor`` is where a reconnecting listener goes on."""

    event: str
    data: Any
    cursor: Cursor | None = None

    def sent(self) -> ServerSentEvent:
        """As it goes out."""
        return ServerSentEvent(event=self.event, data=self.data, id=str(self.cursor) if self.cursor else None)


class Listener:
    """One open stream. A listener that cannot keep up is cut off: it reconnects and catches up by its cursor."""

    def __init__(self, caller: Caller, wanted: CaseFilter) -> None:
        self.caller = caller
        self.wanted = wanted
        # Listeners of one scope and one filter are told the same.
        self.group = (caller.scope, tuple(sorted(wanted.query().items())))
        self.queue: asyncio.Queue[Message | None] = asyncio.Queue(QUEUE)
        self._loop = asyncio.get_running_loop()

    def push(self, message: Message | None) -> None:
        """Called from the follower's thread."""
        self._loop.call_soon_threadsafe(self._put, message)

    def _put(self, message: Message | None) -> None:
        try:
            self.queue.put_nowait(message)
        except asyncio.QueueFull:
            while not self.queue.empty():
                self.queue.get_nowait()
            self.queue.put_nowait(None)


class Hub:
    """Follows the feed, keeps the point store current, and tells the listeners."""

    def __init__(self) -> None:
        self.store: CaseStore | None = None
        self.cursor = Cursor()
        self._listeners: list[Listener] = []
        self._lock = Lock()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End the follower and every stream."""
        self._stop.set()
        self._thread.join(timeout=5)
        for listener in list(self._listeners):
            listener.push(None)

    def join(self, listener: Listener) -> None:
        """Add a listener."""
        with self._lock:
            self._listeners.append(listener)

    def leave(self, listener: Listener) -> None:
        """Remove a listener."""
        with self._lock:
            self._listeners.remove(listener)

    def _run(self) -> None:
        next_positions, next_check, next_rest = 0.0, time.monotonic() + CHECK_SECONDS, 0.0
        while not self._stop.is_set():
            try:
                if self.store is None:
                    self._load()
                moved = self._follow()
                if time.monotonic() >= next_check:
                    self._check()
                    next_check = time.monotonic() + CHECK_SECONDS
                if time.monotonic() >= next_positions:
                    self._tell_positions()
                    next_positions = time.monotonic() + POSITIONS_SECONDS
                if time.monotonic() >= next_rest:
                    _give_back()
                    next_rest = time.monotonic() + GIVE_BACK_SECONDS
            except Exception:
                log.exception("the follower stumbled")
                self._stop.wait(1.0)
                continue
            if not moved:
                self._stop.wait(FOLLOW_SECONDS)

    def _load(self) -> None:
        with db.transaction() as tx:
            self.cursor = events.horizon(tx)
            self.store = CaseStore.load(tx, mark=str(events.latest(tx)))

    def _follow(self) -> int:
        with db.transaction() as tx:
            rows, cursor = events.since(tx, self.cursor)
            if not rows:
                return 0
            assert self.store is not None
            self.store.refresh(tx, list({row.case_id for row in rows}), mark=str(cursor))
        with self._lock:
            listeners = list(self._listeners)
        for group in {listener.group for listener in listeners}:
            self._tell([listener for listener in listeners if listener.group == group], rows)
        self.cursor = cursor
        return len(rows)

    def _check(self) -> None:
        assert self.store is not None
        with db.transaction() as tx:
            differing = self.store.repair(tx)
        if differing:
            log.warning("the points differed from the database and were read again", blocks=len(differing))

    def _tell(self, group: list[Listener], rows: Sequence[Any]) -> None:
        """Tell one group. What goes wrong for one cuts that one off: it reconnects, the others never notice."""
        messages: list[Message | None]
        try:
            with db.transaction() as tx:
                messages = list(case_messages(tx, group[0].caller, group[0].wanted, rows))
        except Exception:
            log.exception("a group of listeners is cut off")
            messages = [None]
        for listener in group:
            for message in messages:
                listener.push(message)

    def _tell_positions(self) -> None:
        groups: dict[Any, list[Listener]] = {}
        with self._lock:
            for listener in self._listeners:
                if "position.view" in listener.caller.permissions:
                    groups.setdefault(listener.caller.scope, []).append(listener)
        for scope, listeners in groups.items():
            with db.transaction() as tx:
                items = [asdict(position) for position in tracks.live(tx, scope)]
            for listener in listeners:
                listener.push(Message("positions", {"items": items}))


_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1  # of glibc's mallopt


def _keep_small() -> None:
    """Two heaps for all threads: glibc gives each its own, and what one thread frees no other uses.

    And what is as large as a column of millions lies outside of them: it goes back to the system once it is freed.
    """
    with suppress(OSError, AttributeError):  # another C library
        for option, value in ((_ARENA_MAX, 2), (_MMAP_THRESHOLD, 1 << 20), (_TRIM_THRESHOLD, 8 << 20)):
            ctypes.CDLL(None).mallopt(option, value)


def _give_back() -> None:
    """What was needed and freed goes back to the system, of which glibc would keep some; takes 0.1 ms."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


hub: Hub | None = None


@contextmanager
def running(app: FastAPI) -> Iterator[None]:
    """Follow the feed while the application runs."""
    global hub
    _keep_small()
    hub = Hub()
    hub.start()
    try:
        yield
    finally:
        hub.stop()
        hub = None


def store() -> CaseStore:
    """The process's point store. Raises ``Unavailable`` until it is loaded."""
    if hub is None or hub.store is None:
        raise errors.Unavailable("地图点位正在载入", "The points are still being loaded")
    return hub.store


def page(
    tx: db.Connection, caller: Caller, wanted: CaseFilter, order: Order, cursor: str, limit: int, now: datetime
) -> tuple[Sequence[Any], str | None]:
    """What ``search.find`` answers, at the same speed whatever the filter keeps. Raises ``BadCursor``.

    The point store says which cases can be on the page, the feed which of them it may not know yet. Where there are
    none, and the database holds the rows of a page as the store does (``seq``), the store's word is enough; else the
    database decides about each. Walking an ordered index to the end for a few rows took seconds at a million cases.
    """
    plain = partial(search.find, tx, caller, wanted, order=order, cursor=cursor, limit=limit, now=now)
    points = hub.store if hub else None
    if points is None:
        return plain()
    mask = points.mask(caller.scope, wanted.kept(), now)
    mark = mask.snapshot.mark.rstrip("+")
    changed = events.changed(tx, Cursor.parse(mark), CHANGED) if mark else None
    if changed is None:
        return plain()
    if wanted.named() is not None:
        if mask.count > FEW:
            return plain()
        found = points_order.first(mask, order, None, mask.count)
        return plain(among=[*points_order.ids(mask, found), *changed])
    edge = None
    if cursor:
        at, last = search.decode(cursor, order)
        edge = (points_rows.micros(at) if at else points_rows.NO_LIMIT, last)
    asked = limit + 1 + len(changed)
    found = points_order.first(mask, order, edge, asked)
    known = points_order.ids(mask, found)
    if not changed:
        shown, seqs = known[:limit], mask.snapshot.take("seq", found[:limit]).tolist()
        rows = search.listed(tx, caller, shown)
        if [(row.id, row.seq) for row in rows] == list(zip(shown, seqs, strict=True)):
            return rows, search.following(rows[-1], order) if len(known) > limit else None
    rows, following = plain(among=[*known, *changed])
    # No end where the store knew of more: between the two statements so many moved away that it must be asked anew.
    return plain() if following is None and len(known) == asked else (rows, following)


def count(caller: Caller, wanted: CaseFilter, facets: Sequence[str]) -> dict[str, Any]:
    """The number of visible cases that the filter keeps, and how they divide by each facet. Raises ``BadFilter``."""
    points = store()
    mask = points.mask(caller.scope, wanted, datetime.now(UTC), named_ids(wanted))
    try:
        return {"total": mask.count, "facets": points.facets(mask, facets)}
    except KeyError as error:
        raise errors.BadFilter(parameter="facets", value=str(error.args[0]), known=sorted(FACETS)) from error


def hexagons(caller: Caller, wanted: CaseFilter, res: int, most: int) -> tuple[Any, Any, int]:
    """The h3 cells of the visible cases that the filter keeps, how many each holds, and their resolution.

    ``res``, or the finest that needs no more than ``most`` cells.
    """
    points = store()
    mask = points.mask(caller.scope, wanted, datetime.now(UTC), named_ids(wanted))
    cells, counts = points.hexagons(mask, res)
    while len(cells) > most and res > 0:
        res -= 1
        cells, counts = points.hexagons(mask, res)
    return cells, counts, res


def named_ids(wanted: CaseFilter) -> list[UUID] | None:
    """The cases that the parts of a filter keep which the point store does not hold; None when it holds them all."""
    if wanted.named() is None:
        return None
    with db.transaction() as tx:
        return points_rows.named_ids(tx, wanted)


def state() -> bool:
    """Whether the point store is loaded."""
    return hub is not None and hub.store is not None


def case_messages(tx: db.Connection, caller: Caller, wanted: CaseFilter, rows: Sequence[Any]) -> list[Message]:
    """What these events mean for a caller with a filter: one message for each visible case, the newest event's.

    ``matches`` says whether the case is in the filter now: one that left it is told too, so that lists can drop it.
    """
    now = datetime.now(UTC)
    newest: dict[UUID, Any] = {row.case_id: row for row in rows}
    visible = search.some(tx, caller, list(newest))
    # A case that left the caller's rows: the id alone says nothing new to whom it was visible, and lists can drop it.
    left = {row.case_id for row in rows if row.left_scope is not None and case_rows.had(caller, row.left_scope)}
    gone = left - {case.id for case in visible}
    matching = search.matching(tx, caller, wanted, list(newest), now)
    book = rulebook(tx) if visible else None
    found = []
    for case in visible:
        event = newest[case.id]
        data = case_views.item(tx, book, case, now) | {
            "action": event.action,
            "actor": event.actor,
            "matches": case.id in matching,
        }
        found.append(Message("case", data, Cursor(event.xid, event.id)))
    for case_id in gone:
        event = newest[case_id]
        found.append(Message("gone", {"id": str(case_id)}, Cursor(event.xid, event.id)))
    # In the feed's order, which is not that of the ids: whoever is cut off goes on after the last message it got.
    return sorted(found, key=lambda message: message.cursor or Cursor())


def _joined() -> Hub:
    """The hub, once it follows: before it says where it is, nobody could go on from there. Raises ``Unavailable``."""
    store()
    assert hub is not None
    return hub


@router.get("/api/stream", response_class=EventSourceResponse)
async def stream(
    request: Request,
    caller: Annotated[Caller, allow("case.view")],
    wanted: Filtered,
    joined: Annotated[Hub, Depends(_joined)],
) -> AsyncIterator[ServerSentEvent]:
    """Changes as they happen: ``case``, ``positions``, ``hello``, and ``reset`` when too much was missed."""
    listener = Listener(caller, wanted)
    joined.join(listener)
    token, place = token_of(request.headers, request.cookies), joined.cursor
    try:
        # The browser names it by itself when it reconnects; a page that opens the stream anew says it in the address.
        missed = request.headers.get("last-event-id") or request.query_params.get("last_event_id", "")
        for message in await asyncio.to_thread(_missed, listener, missed) if missed else ():
            yield message.sent()
        # Not before: a stream that breaks off while it catches up must go on from where it was.
        yield ServerSentEvent(event="hello", data={"at": datetime.now(UTC)}, id=str(place), retry=2000)
        checked = time.monotonic()
        while True:
            try:
                message = await asyncio.wait_for(listener.queue.get(), timeout=RECHECK_SECONDS)
                if message is None:
                    return
                yield message.sent()
            except TimeoutError:
                pass
            if time.monotonic() - checked > RECHECK_SECONDS:
                if await asyncio.to_thread(caller_of, token) != caller:
                    return  # a login revoked, or whose roles changed, ends its stream
                checked = time.monotonic()
    except errors.NotAuthenticated:
        return
    finally:
        joined.leave(listener)


def _missed(listener: Listener, last_event_id: str) -> list[Message]:
    try:
        cursor = Cursor.parse(last_event_id)
    except ValueError:
        return [Message("reset", {})]
    with db.transaction() as tx:
        rows, _ = events.since(tx, cursor, CATCH_UP)
        if len(rows) == CATCH_UP:
            return [Message("reset", {})]
        return case_messages(tx, listener.caller, listener.wanted, rows)
