"""Who works in a town: staff, their roles and scopes, their shifts. Knows no passwords and no database."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import numpy as np

from gis.town_spec import TownSpec

NAMESPACE = UUID("7f3c1c9e-5f0a-5a57-9d3e-110113003000")
ZONE = ZoneInfo("Asia/Shanghai")
SHIFTS = ((time(7), 8), (time(14), 8))
"""Start and hours of the early and the late shift."""
LEADING = (time(8), 10)
"""Of the leader on duty."""
CENTRE = "D01"
DESK = (
    # username, role, how many (0: the bare username), title
    ("admin", "sys_admin", 0, "系统管理员"),
    ("security", "security_admin", 0, "安全管理员"),
    ("auditor", "audit_admin", 0, "审计管理员"),
    ("leader", "leader", 0, ""),
    ("acceptor", "acceptor", 6, ""),
    ("shiftleader", "shift_leader", 2, ""),
    ("dispatcher", "dispatcher", 4, ""),
    ("evaluator", "evaluator", 2, ""),
    ("census", "census_clerk", 0, "普查管理员"),
)
SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕"
GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰建国志文海燕春梅立新红宇婷晨阳雪峰佳慧鹏飞"


@dataclass(frozen=True)
class Person:
    """A staff member (or machine) with grants as (role, scope, scope_code)."""

    id: UUID
    username: str
    name: str
    department: str
    grants: tuple[tuple[str, str, str], ...]
    duty_grids: tuple[str, ...] = ()
    machine: bool = False


def hire(spec: TownSpec, duty_grids: Sequence[str], departments: Iterable[str]) -> list[Person]:
    """Everybody of a town: the desk, two handlers and a manager per department, an inspector per pair of duty grids.

    Each village has a leader, who sees that village.

    ``duty_grids`` are sorted codes; ``departments`` the codes that get handlers.
    """
    rng = spec.rng("people")
    staff: list[Person] = []

    def add(username: str, department: str, grants: list[tuple[str, str, str]], **more: object) -> None:
        name = str(more.pop("name", "")) or _name(rng)
        person_id = uuid5(NAMESPACE, f"{spec.code}/{spec.small}/{username}")
        staff.append(Person(person_id, username, name, department, tuple(grants), **more))  # type: ignore[arg-type]

    for stem, role, count, title in DESK:
        for username in [f"{stem}{k}" for k in range(1, count + 1)] or [stem]:
            add(username, CENTRE, [(role, "town", "")], name=title)
    for code in departments:
        add(f"manager_{code}", code, [("department_manager", "department", code)])
        for k in (1, 2):
            add(f"handler_{code}_{k}", code, [("handler", "department", code)])
    for k, beat in enumerate(_beats(duty_grids), start=1):
        grants = [("inspector", "duty_grid", code) for code in beat] + [("inspector", "own", "")]
        add(f"inspector{k:03d}", CENTRE, grants, duty_grids=tuple(beat))
    for village in dict.fromkeys(map(_village, duty_grids)):
        add(f"leader_{village[-3:]}", CENTRE, [("leader", "village", village)])
    add("platform", CENTRE, [("platform", "town", "")], name="对接平台（模拟）", machine=True)
    return staff


def _beats(duty_grids: Sequence[str]) -> list[list[str]]:
    """Two following duty grids of one division each; the last of an odd number alone."""
    beats: list[list[str]] = []
    for code in duty_grids:
        if beats and len(beats[-1]) == 1 and _village(beats[-1][0]) == _village(code):
            beats[-1].append(code)
        else:
            beats.append([code])
    return beats


def _village(duty_grid: str) -> str:
    return duty_grid.split("D")[0]


def _name(rng: np.random.Generator) -> str:
    given = "".join(GIVEN[k] for k in rng.integers(0, len(GIVEN), int(rng.integers(1, 3))))
    return SURNAMES[int(rng.integers(0, len(SURNAMES)))] + given


@dataclass(frozen=True)
class Turn:
    """One shift of one person."""

    staff_id: UUID
    starts_at: datetime
    ends_at: datetime
    duty_grid: str | None
    role: str


def roster(staff: Sequence[Person], first: date, days: int = 14) -> list[Turn]:
    """Shifts from ``first`` on: early and late in turn by week, one day in seven off, working people only.

    Inspectors are off at weekends, half on each day, so that every duty grid has somebody from Monday to Friday (a
    weekend that is made up is planned by hand); the town's leaders are on duty by day.
    """
    working = ("inspector", "acceptor", "shift_leader", "dispatcher")
    turns: list[Turn] = []
    for number, person in enumerate(p for p in staff if p.grants[0][0] in working):
        role = person.grants[0][0]
        for today in (first + timedelta(days=day) for day in range(days)):
            if _off(role, number, today):
                continue
            start, hours = SHIFTS[(number + today.toordinal() // 7) % 2]
            begins = datetime.combine(today, start, ZONE)
            grid = person.duty_grids[(today - first).days % len(person.duty_grids)] if person.duty_grids else None
            turns.append(Turn(person.id, begins, begins + timedelta(hours=hours), grid, role))
    start, hours = LEADING
    for person in (p for p in staff if p.grants[0][:2] == ("leader", "town")):
        for day in range(days):
            begins = datetime.combine(first + timedelta(days=day), start, ZONE)
            turns.append(Turn(person.id, begins, begins + timedelta(hours=hours), None, "leader"))
    return turns


def _off(role: str, number: int, day: date) -> bool:
    if role == "shift_leader":
        return False
    return day.weekday() == 5 + number % 2 if role == "inspector" else (day.toordinal() + number) % 7 == 0
