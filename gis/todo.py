"""Whose turn it is: the queues of a caller by role and state, and the tasks that wait for them or their department.

Counts come from the points in memory or from small indexes, never from a scan of the cases.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy import case as when

from gis.case_tasks import departments_of
from gis.db import Connection
from gis.people import ADMIN_ROLES, Caller, Grant
from gis.points import CaseStore
from gis.search import CaseFilter, Order, find, visible_cases
from gis.tables import case_task
from gis.workflow import Label, State, Workflow

# The order in which a case passes through their hands.
_ORDER = ("acceptor", "shift_leader", "dispatcher", "handler", "department_manager", "inspector", "leader")


@dataclass(frozen=True)
class Queue:
    """What waits for one role in one state. ``wanted`` opens exactly this list; ``lights`` counts it by light."""

    role: str
    state: State
    wanted: CaseFilter
    lights: Mapping[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many cases wait."""
        return sum(self.lights.values())


@dataclass(frozen=True)
class TaskCount:
    """Open tasks of one kind: how many, how many past their due time, how many for the caller in person."""

    kind: str
    count: int
    late: int
    mine: int


def queues(flows: Iterable[Workflow], grants: Iterable[Grant]) -> list[Queue]:
    """The queues of somebody with ``grants``: for each role the states in which it is expected to act, in their order.

    A state that several workflows have counts once and is named as by the first of them in which the role acts there.
    """
    by_role: dict[str, list[Grant]] = {}
    for grant in grants:
        if grant.role not in ADMIN_ROLES:
            by_role.setdefault(grant.role, []).append(grant)
    flows = sorted(flows, key=_standard_first)
    found = []
    for role in sorted(by_role, key=lambda r: (_ORDER.index(r) if r in _ORDER else len(_ORDER), r)):
        states: dict[str, State] = {}
        for flow in flows:
            for state in flow.states.values():
                if role in state.owners:
                    states.setdefault(state.code, state)
        for rows in _rows(by_role[role]):
            found += [
                Queue(role, state, replace(rows, status=(state.status,), state=(state.code,), awaits=(role,)))
                for state in states.values()
            ]
    return found


def state_names(flows: Iterable[Workflow]) -> dict[str, Label]:
    """Every state of these workflows with its name, that of the standard flow first."""
    found: dict[str, Label] = {}
    for flow in sorted(flows, key=_standard_first):
        for state in flow.states.values():
            found.setdefault(state.code, state.name)
    return found


def _standard_first(flow: Workflow) -> tuple[bool, str]:
    return flow.code != "standard", flow.code


def _rows(grants: Sequence[Grant]) -> list[CaseFilter]:
    """The rows a role holds for as filters, one for each kind of scope; the widest alone where it covers all."""
    if any(grant.scope == "town" for grant in grants):
        return [CaseFilter()]
    codes = {
        scope: tuple(sorted({grant.scope_code for grant in grants if grant.scope == scope}))
        for scope in ("village", "duty_grid", "department")
    }
    parts = (
        CaseFilter(village=codes["village"]),
        CaseFilter(duty_grid=codes["duty_grid"]),
        CaseFilter(department=codes["department"]),
    )
    return [part for part in parts if part != CaseFilter()]


def counted(points: CaseStore, caller: Caller, asked: Iterable[Queue], now: datetime) -> list[Queue]:
    """The same queues with what waits in them at ``now``, of the cases the caller may see."""
    tables: dict[CaseFilter, dict[str, dict[str, int]]] = {}
    found = []
    for queue in asked:
        rows = replace(queue.wanted, state=())
        if rows not in tables:
            tables[rows] = points.lights(points.mask(caller.scope, rows, now), "state", now)
        found.append(replace(queue, lights=tables[rows].get(queue.state.code, {})))
    return found


def _held(caller: Caller) -> ColumnElement[bool]:
    """Open tasks for the caller in person, or for a department they act for: as ``gis.case_tasks.is_mine``."""
    mine: list[ColumnElement[bool]] = [case_task.c.department_code.in_(sorted(departments_of(caller)))]
    if caller.id is not None:
        mine.append(case_task.c.assignee_id == caller.id)
    return (case_task.c.state == "open") & or_(*mine)


def tasks(tx: Connection, caller: Caller, now: datetime) -> list[TaskCount]:
    """The open tasks of cases the caller may see that wait for them or their department, by kind."""
    visible = visible_cases(caller).subquery()
    rows = tx.execute(
        select(
            case_task.c.kind,
            func.count(),
            func.count(when((case_task.c.due_at < now, 1))),
            func.count(when((case_task.c.assignee_id == caller.id, 1))),
        )
        .join(visible, visible.c.id == case_task.c.case_id)
        .where(_held(caller))
        .group_by(case_task.c.kind)
        .order_by(case_task.c.kind)
    )
    return [TaskCount(*row) for row in rows]


def _cases_of(caller: Caller, kind: str) -> Select[Any]:
    return select(case_task.c.case_id).where(_held(caller), case_task.c.kind == kind)


def task_cases(
    tx: Connection,
    caller: Caller,
    kind: str,
    wanted: CaseFilter,
    *,
    order: Order,
    cursor: str,
    limit: int,
    now: datetime,
) -> tuple[Sequence[Any], str | None]:
    """One page of the cases behind ``tasks`` of a kind, as ``gis.search.find``. Raises ``BadCursor``."""
    among = _cases_of(caller, kind)
    return find(tx, caller, wanted, order=order, cursor=cursor, limit=limit, now=now, among=among)
