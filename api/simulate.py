"""`wangge simulate`: a town's worth of people at work, through the public API. Knows when who acts, not what they do.

``python -m api.simulate`` is the demo's life, at a pace one can watch.
"""

import heapq
import itertools
import math
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from types import FrameType

from rich.console import Console
from rich.live import Live

from api import up
from api.servers import Trouble
from api.simulate_client import Later, Refused, Service, SignedOut
from api.simulate_people import Citizen, Dispatcher, Inspector, Person, Worker, World
from gis.town_load import DEMO_PASSWORD

DESK = {"acceptor": 3, "shiftleader": 2, "dispatcher": 2}
Task = Callable[[], float | None]


@dataclass(frozen=True)
class Plan:
    """How much life. ``rate``: reports a second; ``speed``: how much faster than people lists are worked off;
    ``duration`` in seconds, 0 until stopped; ``most_open``: no more reports while so many cases are open."""

    url: str
    speed: float = 60.0
    inspectors: int = 40
    citizens: int = 30
    rate: float = 0.33
    duration: float = 0.0
    seed: int = 1
    password: str = DEMO_PASSWORD
    fix_every: float = 5.0
    most_open: int = 3000
    threads: int = 12


class Agenda:
    """Tasks by the time they are due, done by a few threads. A task says after how many seconds it is due again."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._due: list[tuple[float, int, Task]] = []
        self._ticket = itertools.count()
        self._changed = threading.Condition()
        self._ended = False

    def add(self, task: Task, after: float = 0.0) -> None:
        """Does ``task`` after so many seconds."""
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + after, next(self._ticket), task))
            self._changed.notify()

    def late(self) -> int:
        """How many tasks should have been done by now."""
        with self._changed:
            return sum(due < time.monotonic() for due, _, _ in self._due)

    def end(self) -> None:
        """Lets the threads end after their task."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def work(self) -> None:
        """One thread's work until the end."""
        while (task := self._next()) is not None:
            try:
                again = task()
            except Later as later:
                again = later.seconds
            except (Refused, SignedOut) as refused:
                # Rights and rows change under people's hands; who is refused looks again later.
                again = 15.0
                self._console.log(f"refused: {refused}", markup=False)
            except Exception as error:
                # An answer nobody expected must not cost the town a pair of hands.
                again = 60.0
                self._console.log(f"unexpected: {error!r}", markup=False)
            if again is not None:
                self.add(task, again)

    def _next(self) -> Task | None:
        with self._changed:
            while not self._ended:
                wait = self._due[0][0] - time.monotonic() if self._due else 1.0
                if wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(min(wait, 1.0))
            return None


class Town:
    """The simulated people of one plan and how they come to work."""

    def __init__(self, plan: Plan, service: Service, world: World, agenda: Agenda) -> None:
        self.plan, self.service, self.world, self.agenda = plan, service, world, agenda
        self.chance = Random(plan.seed)
        self.inspectors: list[Inspector] = []
        self.citizens = [Citizen(world, n) for n in range(plan.citizens)]
        self._managers: set[str] = set()
        self._overseer = Person(world, "dispatcher1")
        self._open = 0
        self._every = min(5.0, max(0.2, 240.0 / plan.speed))

    def open(self) -> None:
        """Puts the first tasks on the agenda: desk, inspectors, reports, departments as they get work."""
        for stem, count in DESK.items():
            kind = Dispatcher if stem == "dispatcher" else Worker
            for n in range(1, count + 1):
                self.agenda.add(kind(self.world, f"{stem}{n}", self._every).work, self.chance.uniform(0, 2))
        beats = self._beats()
        self.service.forget()  # finding one's way is not the load
        for n, username in enumerate(beats):
            inspector = Inspector(self.world, username, self._every * 4, self.plan.fix_every)
            self.agenda.add(self._arrival(inspector), n * 1.0)  # sign-ins are limited by the minute
        self.agenda.add(self._report, 1.0)
        self.agenda.add(self._staff_departments, 1.0)
        self.agenda.add(self._count)

    def _beats(self) -> list[str]:
        """Usernames of inspectors, evenly over the town: they are numbered along it."""
        low, high = 0, 1000
        while low < high:  # the highest number that can sign in
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._exists(f"inspector{middle:03d}") else (low, middle - 1)
        count = min(self.plan.inspectors, low)
        return [f"inspector{1 + math.floor(k * low / count):03d}" for k in range(count)]

    def _exists(self, username: str) -> bool:
        while True:
            try:
                Person(self.world, username).sign_in()
                return True
            except SignedOut:
                return False
            except Later as later:
                time.sleep(later.seconds)

    def _arrival(self, inspector: Inspector) -> Task:
        def arrive() -> None:
            inspector.begin()
            self.inspectors.append(inspector)
            self.agenda.add(inspector.patrol)
            self.agenda.add(inspector.work, 1.0)

        return arrive

    def _report(self) -> float:
        """Sends the next reporter on their way; seconds until the one after."""
        people: Sequence[Inspector | Citizen] = self.inspectors
        if self.citizens and self.chance.random() < 0.25:
            people = self.citizens
        if people and self._open < self.plan.most_open and self.agenda.late() < 200:
            self.agenda.add(_once(self.chance.choice(people).report))
        return self.chance.expovariate(self.plan.rate)

    def _staff_departments(self) -> float:
        """Calls in the manager of every department that has work."""
        for code in sorted(self.world.seen_departments & set(self.world.departments) - self._managers):
            self._managers.add(code)
            self.agenda.add(Worker(self.world, f"manager_{code}", self._every * 4).work)
        return 2.0

    def _count(self) -> float:
        """How much is open, and where: what was left from before needs its department too."""
        counted = self._overseer.call(
            "count", "GET", "/api/cases/count", query={"status": "open", "facets": "department"}
        )
        self._open = counted["total"]
        self.world.seen_departments.update(code for code, n in counted["facets"]["department"].items() if n)
        return 10.0


def _once(act: Callable[[], None]) -> Task:
    def task() -> None:
        # A report is not tried again here: people walk on. What was refused or lost is counted by the service's way.
        with suppress(Later, Refused, SignedOut):
            act()

    return task


def look_around(service: Service, plan: Plan) -> World:
    """What the simulated people know of the town. Raises ``Later`` while the service is not ready."""
    service.call("ready", "GET", "/readyz")
    town = service.call("town", "GET", "/api/town")
    catalogue = service.call("catalogue", "GET", "/api/catalogue")
    by_kind: dict[str, list[dict[str, str]]] = {"event": [], "component": []}
    for group in catalogue["groups"]:
        by_kind[group["kind"]] += group["categories"]
    desk = Person(World(service, plan.password, 1, 0, (0, 0, 0, 0), "", (), {}, {}), "dispatcher1")
    departments = desk.call("departments", "GET", "/api/departments")["items"]
    chance = Random(plan.seed)
    west, south, east, north = town["bbox"]
    spots: dict[str, list[tuple[float, float]]] = {}
    for _ in range(min(900, max(150, 25 * plan.inspectors))):
        lon, lat = chance.uniform(west, east), chance.uniform(south, north)
        with suppress(Refused):
            place = service.call("locate", "GET", "/api/locate", query={"lon": lon, "lat": lat})
            spots.setdefault(place["duty_grid_code"], []).append((lon, lat))
    return World(
        service=service,
        password=plan.password,
        speed=plan.speed,
        seed=plan.seed,
        bbox=(west, south, east, north),
        catalogue=catalogue["code"],
        events=by_kind["event"],
        thing_names={c["code"]: c["name"] for c in by_kind["component"]},
        spots=spots,
        departments=[d["code"] for d in departments if d["kind"] not in ("command_centre",)],
    )


def run(plan: Plan, console: Console) -> None:
    """Simulates until the plan's duration is over or a stop signal comes; prints throughput and latencies.

    Raises ``Trouble`` where the demo's people have no logins.
    """
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    service = Service(plan.url, plan.threads)
    agenda = Agenda(console)
    threads = [threading.Thread(target=agenda.work, name=f"people-{n}", daemon=True) for n in range(plan.threads)]
    try:
        world = _when_ready(service, plan, stopped)
        if world is None:
            return
        Town(plan, service, world, agenda).open()
        for thread in threads:
            thread.start()
        _watch(plan, service, agenda, stopped, console)
    finally:
        agenda.end()
        for thread in threads:
            if thread.is_alive():
                thread.join(timeout=5)
        for each, handler in before.items():
            signal.signal(each, handler)
        console.print(service.table())
        service.close()


def _when_ready(service: Service, plan: Plan, stopped: threading.Event) -> World | None:
    while not stopped.is_set():
        try:
            return look_around(service, plan)
        except Later as later:
            stopped.wait(later.seconds)
        except (SignedOut, Refused) as refused:
            raise Trouble(
                f"Nobody to simulate at {plan.url}: the demo's logins do not work there ({refused})"
            ) from refused
    return None


def _watch(plan: Plan, service: Service, agenda: Agenda, stopped: threading.Event, console: Console) -> None:
    end = time.monotonic() + plan.duration if plan.duration else math.inf

    def line() -> str:
        reports = service.done("report") + service.done("report public")
        return f"reports {reports:,}  positions {service.done('positions'):,}  refused {service.refused():,}"

    if not console.is_terminal:  # a log gets a line now and then
        while time.monotonic() < end and not stopped.wait(min(60.0, max(0.0, end - time.monotonic()))):
            console.log(line(), f"late {agenda.late()}", markup=False)
        return
    with Live(console=console, refresh_per_second=2, transient=True) as live:
        while time.monotonic() < end and not stopped.wait(0.5):
            live.update(service.table())


def main() -> None:
    """The demo's life, as `wangge up --demo` starts it."""
    console = Console()
    try:
        run(Plan(url=up.address()), console)
    except Trouble as trouble:
        console.log(trouble, markup=False)
        signal.pause()  # not a demo town: there is nothing to do, and nothing to be started again for


if __name__ == "__main__":
    main()
