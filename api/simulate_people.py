"""Who the simulator plays: inspectors on patrol, citizens, and everybody who works off a list. Only public routes.

Each person is a few steps that do something and say after how many seconds they want to go on. What they choose and
write is gis.pretend's; where they may be is asked of the service.
"""

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import hypot, inf
from random import Random
from threading import BoundedSemaphore, Lock
from typing import Any
from uuid import UUID

from api.simulate_client import Later, Refused, Service, SignedOut
from gis import pretend
from gis.geometry import metres_per_degree

PATROL_MS = 3.5  # metres a second, by bicycle
GPS_M = 4.0  # how far a fix lies from the truth
FORGOTTEN_FOR = 2 * 86400.0  # seconds, however fast the others are: something stays late on the wall
MOST_AT_ONCE = 500  # fixes in one batch


@dataclass
class World:
    """What all simulated people share: the service, the town as it told us, and which case somebody is already at."""

    service: Service
    password: str
    speed: float
    seed: int
    bbox: tuple[float, float, float, float]
    catalogue: str
    events: Sequence[Mapping[str, str]]
    thing_names: Mapping[str, str]
    spots: Mapping[str, Sequence[tuple[float, float]]]
    departments: list[str] = field(default_factory=list)
    seen_departments: set[str] = field(default_factory=set)
    covered: set[str] = field(default_factory=set)
    # Checking a password is slow on purpose: two at a time, or a crowd at the door would hold up everybody's work.
    door: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(2))
    _ready: dict[tuple[str, int], float] = field(default_factory=dict)
    _busy: set[str] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def take(self, case: Mapping[str, Any]) -> bool:
        """Whether the case has waited its time and nobody is at it; then it is the caller's until ``leave``."""
        key, now = (case["id"], case["seq"]), time.monotonic()
        with self._lock:
            if key not in self._ready:
                if len(self._ready) > 100_000:
                    self._ready.clear()
                chance = Random(f"{self.seed}/{case['number']}/{case['seq']}")
                wait = pretend.wait(chance, case["state"]).total_seconds() / self.speed
                if case["state"] == "handling" and pretend.forgotten(case["number"]):
                    wait = FORGOTTEN_FOR
                self._ready[key] = now + wait
            if self._ready[key] > now or case["id"] in self._busy:
                return False
            self._busy.add(case["id"])
            return True

    def leave(self, case: Mapping[str, Any]) -> None:
        """Lets others at the case again."""
        with self._lock:
            self._busy.discard(case["id"])
            self._ready.pop((case["id"], case["seq"]), None)


class Person:
    """Somebody with a login."""

    def __init__(self, world: World, username: str) -> None:
        self.world = world
        self.username = username
        self.chance = Random(f"{world.seed}/{username}")
        self.me: dict[str, Any] = {}
        self._token = ""

    def call(self, kind: str, method: str, path: str, **given: Any) -> Any:
        """A request as this person, signing in first where needed. Raises as ``Service.call`` does."""
        for _ in range(2):
            if not self._token:
                self.sign_in()
            try:
                return self.world.service.call(kind, method, path, token=self._token, **given)
            except SignedOut:
                self._token = ""
        raise SignedOut(self.username)

    def sign_in(self) -> None:
        """Signs in. Raises ``SignedOut`` when there is no such login, ``Later`` while others are at the door."""
        if not self.world.door.acquire(blocking=False):
            raise Later(self.chance.uniform(0.2, 0.8))
        try:
            body = {"username": self.username, "password": self.world.password}
            answer = self.world.service.call("login", "POST", "/api/login", body=body)
        finally:
            self.world.door.release()
        self._token, self.me = answer["token"], answer["me"]

    def photo(self, share: float) -> list[str]:
        """The digest of a small photo just uploaded, in a ``share`` of the times it is called."""
        if self.chance.random() >= share:
            return []
        content = pretend.picture(self.chance)
        digest = hashlib.sha256(content).hexdigest()
        self.call("photo", "PUT", f"/api/media/{digest}", content=content)
        return [digest]


class Worker(Person):
    """Somebody who works off a list: whatever of their states is due, by the actions the service offers them."""

    def __init__(self, world: World, username: str, every: float) -> None:
        super().__init__(world, username)
        self.every = every

    def work(self) -> float:
        """One pass over the list; seconds until the next."""
        if not self.me:
            self.sign_in()
        roles = sorted({role["role"] for role in self.me["roles"]})
        query = {"awaits": ",".join(roles), "status": "open", "order": "due", "limit": 100}
        listed = self.call("list", "GET", "/api/cases", query=query)["items"]
        done = 0
        for case in listed:
            if self.world.take(case):
                try:
                    done += self._act(case)
                finally:
                    self.world.leave(case)
            if done >= 10:
                return 0.0
        return self.every * self.chance.uniform(0.7, 1.3)

    def _act(self, listed: Mapping[str, Any]) -> int:
        path = f"/api/cases/{listed['id']}"
        case = self.call("case", "GET", path)
        offered = [a for a in case["actions"] if not (a["action"] == "verify" and case["channel"] == "patrol")]
        asked = any(f["type"] == "photo" for a in offered for f in a["fields"])
        proof = any(a["action"] in ("handle", "check_pass") for a in offered)  # no case closes without one
        photos = self.photo(1.0 if proof else 0.25) if asked else []
        conditions = [c["code"] for c in case["closing_conditions"]]
        summoned = [task["department"]["code"] for task in case["tasks"] if task["kind"] == "summon"]
        step = pretend.decide(self.chance, offered, summoned or self.world.departments, photos, conditions)
        if step is None:
            return 0
        body = {"action": step.action, "seq": case["seq"], "payload": step.payload}
        try:
            after = self.call(f"act {step.action}", "POST", f"{path}/actions", body=body)
        except Refused:
            return 0  # somebody was faster, or a rule forbids it: the next pass sees the case as it is then
        if after.get("department"):
            self.world.seen_departments.add(after["department"]["code"])
        return 1


class Dispatcher(Worker):
    """A dispatcher, who now and then also sends a case in handling to another department."""

    def work(self) -> float:
        """One pass over the list; now and then a reassignment."""
        rest = super().work()
        if self.chance.random() < 0.02:
            query = {"state": "handling", "status": "open", "limit": 20}
            handling = self.call("list", "GET", "/api/cases", query=query)["items"]
            if handling and self.world.departments:
                case = self.chance.choice(handling)
                others = [d for d in self.world.departments if d != (case["department"] or {}).get("code")]
                payload = {"department": self.chance.choice(others), "reason": "（模拟）经核实属该部门职责"}
                body = {"action": "reassign", "seq": case["seq"], "payload": payload}
                try:
                    self.call("act reassign", "POST", f"/api/cases/{case['id']}/actions", body=body)
                    self.world.seen_departments.add(payload["department"])
                except Refused:
                    pass  # it moved on meanwhile
        return rest


class Inspector(Worker):
    """An inspector: patrols from lamp to lamp in their duty grids, sends fixes, reports what they find, checks."""

    def __init__(self, world: World, username: str, every: float, fix_every: float) -> None:
        super().__init__(world, username, every)
        self.fix_every = fix_every
        self.at: tuple[float, float] | None = None
        self._lamps: list[tuple[float, float]] = []
        self._goal: tuple[float, float] | None = None
        self._rest_until = 0.0
        self._moved = time.monotonic()
        self._device = f"sim-{username}-{time.time_ns() // 1_000_000:x}"  # a phone of its own for each run, from 1 on
        self._seq = 0
        self._unsent: list[dict[str, Any]] = []

    def begin(self) -> None:
        """Signs in and finds the way: street lamps of the duty grids, as far as the service tells."""
        self.sign_in()
        grids = [r["scope_code"] for r in self.me["roles"] if r["scope"] == "duty_grid"]
        spots = [spot for grid in grids for spot in self.world.spots.get(grid, ())]
        if not spots:
            return
        self.world.covered.update(grids)
        west, east = min(x for x, _ in spots), max(x for x, _ in spots)
        south, north = min(y for _, y in spots), max(y for _, y in spots)
        lamp = next((code for code, name in self.world.thing_names.items() if name == "路灯"), "")
        box = f"{west - 2e-4},{south - 2e-4},{east + 2e-4},{north + 2e-4}"
        query = {"bbox": box, "category": lamp, "limit": 500}
        found = self.call("components", "GET", "/api/components", query=query)["items"]
        self._lamps = [(c["lon"], c["lat"]) for c in found] or spots
        self.at = self.chance.choice(self._lamps)
        self._moved = time.monotonic()

    def patrol(self) -> float | None:
        """Moves on and sends where one is; seconds until the next fix. None: nowhere to patrol."""
        if self.at is None:
            return None
        self._move()
        self._seq += 1
        east, north = metres_per_degree(self.at[1])
        lon = self.at[0] + self.chance.gauss(0, GPS_M / 2) / east
        lat = self.at[1] + self.chance.gauss(0, GPS_M / 2) / north
        moment = datetime.now(UTC).isoformat()
        accuracy = round(abs(self.chance.gauss(GPS_M, 2)) + 2, 1)
        self._unsent.append({"seq": self._seq, "at": moment, "lon": lon, "lat": lat, "accuracy_m": accuracy})
        batch = self._unsent[:MOST_AT_ONCE]
        body = {"device": self._device, "fixes": batch}
        acked = self.call("positions", "POST", "/api/positions", body=body)["acked_seq"]
        self._unsent = [fix for fix in self._unsent if fix["seq"] > acked]
        return 0.0 if self._unsent else self.fix_every

    def _move(self) -> None:
        now = time.monotonic()
        reach, self._moved = (now - self._moved) * PATROL_MS, now
        if now < self._rest_until or self.at is None:
            return
        if self.chance.random() < 0.01:
            self._rest_until = now + self.chance.uniform(20, 90)
        for _ in range(50):
            goal = self._goal or self._next()
            left = _metres(self.at, goal)
            if left > reach:
                share = reach / left
                self.at = (self.at[0] + (goal[0] - self.at[0]) * share, self.at[1] + (goal[1] - self.at[1]) * share)
                self._goal = goal
                return
            self.at, self._goal, reach = goal, None, reach - left

    def _next(self) -> tuple[float, float]:
        """The next lamp: one of the nearest, so that one keeps to the street; now and then any other."""
        assert self.at is not None
        if self.chance.random() < 0.02:
            return self.chance.choice(self._lamps)
        here = self.at
        near = sorted(self._lamps, key=lambda lamp: _metres(here, lamp) or inf)[:5]
        return self.chance.choice(near)

    def report(self) -> None:
        """Reports something at or near where one is. Raises as ``Service.call`` does."""
        if self.at is not None:
            found = finding(self.world, self.chance, *self.at)
            photos = self.photo(0.4)
            body = found | {"channel": "patrol", "severity": pretend.severity(self.chance), "photos": photos}
            told = self.call("report", "POST", "/api/cases", body=body)
            if told["department"]:
                self.world.seen_departments.add(told["department"]["code"])


class Citizen:
    """Somebody of the public: no login, no photo, somewhere in a covered duty grid."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.chance = Random(f"{world.seed}/citizen/{number}")

    def report(self) -> None:
        """Reports something. Raises as ``Service.call`` does."""
        grids = sorted(self.world.covered)
        if grids:
            spot = self.chance.choice(self.world.spots[self.chance.choice(grids)])
            body = finding(self.world, self.chance, *spot)
            self.world.service.call("report public", "POST", "/api/public/cases", body=body)


def finding(world: World, chance: Random, lon: float, lat: float) -> dict[str, Any]:
    """A report of a component nearby or of an event here, without channel."""
    report = {"id": str(new_id()), "catalogue": world.catalogue, "lon": lon, "lat": lat, "simulated": True}
    if chance.random() < 0.5:
        near = world.service.call("locate", "GET", "/api/locate", query={"lon": lon, "lat": lat})["components"]
        near = [c for c in near if c["category_code"] in world.thing_names]
        if near:
            thing = near[pretend.pick(chance, [world.thing_names[c["category_code"]] for c in near])]
            return report | {
                "category_kind": "component",
                "category_code": thing["category_code"],
                "component_code": thing["code"],
                "description": pretend.description(chance, thing["name"], "component"),
            }
    event = world.events[pretend.pick(chance, [e["name"] for e in world.events])]
    return report | {
        "category_kind": "event",
        "category_code": event["code"],
        "description": pretend.description(chance, event["name"], "event"),
    }


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562): the time in milliseconds, then chance. Never drawn from the seed: two runs are two towns."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    return UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62)


def _metres(a: tuple[float, float], b: tuple[float, float]) -> float:
    east, north = metres_per_degree(a[1])
    return float(hypot((b[0] - a[0]) * east, (b[1] - a[1]) * north))
