"""Tasks of a case: what somebody has to do for it beside its state. Opened and ended only within an act.

Knows rows and holders; which action opens or ends what is known by the workflow.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, and_, func, insert, literal, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB

from gis import errors, worktime
from gis.db import Connection
from gis.people import Caller
from gis.tables import case_task, department, staff
from gis.workflow import TASKS, Action, Step
from gis.worktime import Calendar

NAMES: Mapping[str, Mapping[str, str]] = {
    "pre_filing_check": {"zh": "核实", "en": "Pre-filing check"},
    "result_check": {"zh": "核查", "en": "Result check"},
    "assist": {"zh": "协办", "en": "Assist"},
    "summon": {"zh": "报到", "en": "Report on site"},
    "urge": {"zh": "催办", "en": "Urged"},
    "supervise": {"zh": "督办", "en": "Supervised"},
    "commitment": {"zh": "承诺补件", "en": "Promised material"},
}
# Tasks that somebody owes an answer to, whatever becomes of the case meanwhile.
_ENDED_WITH_CASE = tuple(sorted(TASKS - {"commitment"}))


def open_counts(tx: Connection, case_id: UUID) -> dict[str, int]:
    """How many tasks of each kind are open, as ``open_<kind>``: facts for guards."""
    found = dict.fromkeys((f"open_{kind}" for kind in TASKS), 0)
    rows = tx.execute(
        select(case_task.c.kind, func.count())
        .where(case_task.c.case_id == case_id, case_task.c.state == "open")
        .group_by(case_task.c.kind)
    )
    return found | {f"open_{kind}": n for kind, n in rows}


def holders(step: Step, row: Mapping[str, Any]) -> list[str]:
    """The departments a step opens tasks for, in order; ``row`` is the case as it is after the step."""
    found: list[str] = []
    for opened in step.action.opens:
        if opened.holder == "department":
            found += [row["department_code"]] if row["department_code"] else []
        elif opened.holder != "assignee":
            found += step.payload.get(opened.holder) or []
    return list(dict.fromkeys(found))


def open_tasks(tx: Connection, step: Step, row: Mapping[str, Any], calendar: Calendar) -> None:
    """Write the tasks of a step; ``row`` is the case as it is after the step, ``seq`` that of its event.

    The same kind for the same department twice is one task: the first is still owed. Raises ``BeyondCalendar``.
    """
    at = row["updated_at"]
    for opened in step.action.opens:
        note = str(step.payload.get(opened.note) or "") if opened.note else ""
        due = worktime.due(at, opened.limit, calendar) if opened.limit else None
        codes: Iterable[str | None] = (
            [None]
            if opened.holder == "assignee"
            else [row["department_code"]]
            if opened.holder == "department"
            else step.payload.get(opened.holder) or []
        )
        for code in dict.fromkeys(codes):
            assignee = row["assignee_id"] if opened.holder == "assignee" else None
            if code is not None and opened.kind in ("assist", "summon") and _owed(tx, row["id"], opened.kind, code):
                continue
            tx.execute(
                insert(case_task).values(
                    case_id=row["id"],
                    id=uuid4(),
                    kind=opened.kind,
                    department_code=code,
                    assignee_id=assignee,
                    note=note,
                    due_at=due,
                    opened_seq=row["seq"],
                    opened_at=at,
                )
            )


def _owed(tx: Connection, case_id: UUID, kind: str, code: str) -> bool:
    owed = select(case_task.c.id).where(*_open(case_id, kind), case_task.c.department_code == code)
    return tx.execute(owed.limit(1)).first() is not None


def close_tasks(
    tx: Connection, action: Action, row: Mapping[str, Any], caller: Caller, result: Mapping[str, Any]
) -> None:
    """End the tasks an action ends, with what was told as their result. Raises ``NoTask`` where the caller has none."""
    for ended in action.closes:
        wanted = _open(row["id"], ended.kind)
        if ended.mine:
            wanted.append(_held_by(caller))
        done = tx.execute(
            update(case_task)
            .where(*wanted)
            .values(
                state=ended.state,
                closed_seq=row["seq"],
                closed_at=row["updated_at"],
                result=case_task.c.result.op("||")(literal(dict(result), JSONB)),
            )
            .returning(case_task.c.id)
        ).all()
        if ended.mine and not done:
            raise errors.NoTask(action=action.code, kind=ended.kind)


def hand_on(tx: Connection, before: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    """End what a new owner makes pointless: what the department before still had to answer, and its own helping."""
    theirs = and_(case_task.c.kind.in_(("urge", "supervise")), case_task.c.department_code == before["department_code"])
    own = and_(case_task.c.kind == "assist", case_task.c.department_code == row["department_code"])
    _cancel(tx, row, or_(theirs, own))


def cancel_all(tx: Connection, row: Mapping[str, Any]) -> None:
    """End what is open when a case ends: nobody owes it anything any more, but what was promised."""
    _cancel(tx, row, case_task.c.kind.in_(_ENDED_WITH_CASE))


def _cancel(tx: Connection, row: Mapping[str, Any], which: ColumnElement[bool]) -> None:
    tx.execute(
        update(case_task)
        .where(case_task.c.case_id == row["id"], case_task.c.state == "open", which)
        .values(state="cancelled", closed_seq=row["seq"], closed_at=row["updated_at"])
    )


def score(tx: Connection, case_id: UUID, scores: Mapping[str, int]) -> None:
    """Write the scores of summoned departments to their tasks.

    Raises ``DepartmentUnknown`` for one not summoned, ``FieldMissing`` where one is left out: all of them are scored.
    """
    for code, points in scores.items():
        changed = tx.execute(
            update(case_task)
            .where(case_task.c.case_id == case_id, case_task.c.kind == "summon", case_task.c.department_code == code)
            .values(result=case_task.c.result.op("||")(literal({"score": points}, JSONB)))
            .returning(case_task.c.id)
        ).all()
        if not changed:
            raise errors.DepartmentUnknown("该部门不在吹哨名单中", "The department was not summoned", department=code)
    whom = select(case_task.c.department_code).where(case_task.c.case_id == case_id, case_task.c.kind == "summon")
    left_out = sorted(set(tx.execute(whom).scalars()) - scores.keys())
    if left_out:
        raise errors.FieldMissing("还有部门没有评分", "A department is not scored yet", departments=left_out)


def of_case(tx: Connection, case_id: UUID) -> list[dict[str, Any]]:
    """Every task of a case with names, the open ones first, then the newest."""
    rows = tx.execute(
        select(case_task, department.c.name.label("department_name"), staff.c.name.label("assignee_name"))
        .join(department, department.c.code == case_task.c.department_code, isouter=True)
        .join(staff, staff.c.id == case_task.c.assignee_id, isouter=True)
        .where(case_task.c.case_id == case_id)
        .order_by(case_task.c.state != "open", case_task.c.opened_seq.desc(), case_task.c.department_code)
    )
    return [dict(row._mapping) for row in rows]


def is_mine(task: Mapping[str, Any], caller: Caller) -> bool:
    """Whether the caller holds the task: their own, or their department's."""
    return (caller.id is not None and task["assignee_id"] == caller.id) or task["department_code"] in departments_of(
        caller
    )


def ends(action: Action, task: Mapping[str, Any], caller: Caller) -> bool:
    """Whether the action, taken by the caller, would end this task."""
    return task["state"] == "open" and any(
        ended.kind == task["kind"] and (not ended.mine or _of_town(caller) or is_mine(task, caller))
        for ended in action.closes
    )


def departments_of(caller: Caller) -> Collection[str]:
    """The departments the caller acts for."""
    return {g.scope_code for g in caller.grants if g.scope == "department"}


def _open(case_id: UUID, kind: str) -> list[ColumnElement[bool]]:
    return [case_task.c.case_id == case_id, case_task.c.kind == kind, case_task.c.state == "open"]


def _held_by(caller: Caller) -> ColumnElement[bool]:
    """The caller's tasks; somebody of the whole town answers for whoever holds it."""
    if _of_town(caller):
        return case_task.c.id.is_not(None)
    return or_(case_task.c.assignee_id == caller.id, case_task.c.department_code.in_(sorted(departments_of(caller))))


def _of_town(caller: Caller) -> bool:
    return any(g.scope == "town" for g in caller.grants)
