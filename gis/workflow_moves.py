"""Moving running cases to another version of their workflow: planned, noted, then done one case at a time.

A move is a row, each of its cases a row with its outcome; whoever works on it may be killed at any moment. How a case
is moved is known by ``gis.cases.migrate``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import and_, func, insert, literal, select, update
from sqlalchemy import case as when

from gis import cases, definitions, errors, people
from gis.db import Connection
from gis.people import Caller
from gis.search import visible_cases
from gis.tables import case, workflow_move, workflow_move_case
from gis.workflow import Workflow

# A case that others hold is tried again so often before it is refused.
TRIES = 10


@dataclass(frozen=True)
class Version:
    """A version of a workflow."""

    workflow: str
    version: int

    def flow(self, tx: Connection) -> Workflow:
        """The workflow itself. Raises ``DefinitionUnknown``."""
        flow: Workflow = definitions.version(tx, "workflow", self.workflow, self.version).parsed
        return flow


def running(tx: Connection) -> dict[tuple[str, int], int]:
    """How many open cases run on each version, by (workflow, version)."""
    counted = select(case.c.workflow, case.c.workflow_version, func.count().label("n")).where(case.c.status == "open")
    rows = tx.execute(counted.group_by(case.c.workflow, case.c.workflow_version))
    return {(row.workflow, row.workflow_version): row.n for row in rows}


def suggest(source: Workflow, target: Workflow) -> dict[str, str]:
    """Where a case would stand: the state of the same code, where that is open in both."""
    return {
        code: code
        for code, state in source.states.items()
        if state.status == "open" and code in target.states and target.states[code].status == "open"
    }


def plan(tx: Connection, source: Version, target: Version, states: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a move would do: ``{states: [{code, name, cases, to, problem}], choices, cases, movable, refused}``.

    ``states`` maps states of the source to states of the target (default: as ``suggest``); what it leaves out stays
    where it is. Nothing is written. Raises ``DefinitionUnknown``, ``Malformed``.
    """
    of, to = _flows(tx, source, target)
    chosen = suggest(of, to) if states is None else _checked(of, to, states)
    counted = select(case.c.state, func.count().label("n")).where(_on(source)).group_by(case.c.state)
    counts = {row.state: row.n for row in tx.execute(counted)}
    lines = [
        {
            "code": code,
            "name": dict(state.name),
            "cases": counts.get(code, 0),
            "to": chosen.get(code),
            "problem": None if code in chosen else errors.StateUnknown(state=code).body(),
        }
        for code, state in of.states.items()
        if state.status == "open"
    ]
    movable = sum(counts.get(code, 0) for code in chosen)
    choices = [{"code": c, "name": dict(s.name)} for c, s in to.states.items() if s.status == "open"]
    total = sum(counts.values())
    return {"states": lines, "choices": choices, "cases": total, "movable": movable, "refused": total - movable}


def start(
    tx: Connection, caller: Caller, source: Version, target: Version, states: Mapping[str, str], reason: str
) -> UUID:
    """Note a move of every case now running on ``source``; the relay does it. Returns its id.

    Raises ``Forbidden``, ``DefinitionUnknown``, ``Malformed`` for a map that names no open state or no reason.
    """
    caller.may("definition.publish")
    of, to = _flows(tx, source, target)
    chosen = _checked(of, to, states)
    if not reason.strip():
        raise errors.Malformed("请填写迁移原因", "Say why the cases are moved", field="reason")
    move = uuid4()
    what = {
        "source": source.workflow,
        "source_version": source.version,
        "target": target.workflow,
        "target_version": target.version,
        "states": chosen,
        "reason": reason.strip(),
    }
    tx.execute(
        insert(workflow_move).values(id=move, state="running", started_by_id=caller.id, started_by=caller.name, **what)
    )
    concerned = select(literal(move), case.c.id).where(_on(source))
    tx.execute(insert(workflow_move_case).from_select(["move_id", "case_id"], concerned))
    people.record(tx, caller.id, caller.name, "workflow.migrate", "ok", {"move": str(move), **what})
    _end_if_done(tx, move)
    return move


def stop(tx: Connection, caller: Caller, move: UUID, stopped: bool) -> None:
    """Halt a move, or let it go on; what is moved stays moved. Raises ``NotFound`` for one that has ended."""
    caller.may("definition.publish")
    halted = update(workflow_move).where(workflow_move.c.id == move, workflow_move.c.state != "done")
    done = tx.execute(halted.values(state="stopped" if stopped else "running").returning(workflow_move.c.id)).first()
    if done is None:
        raise errors.NotFound(move=str(move))
    _end_if_done(tx, move)  # the last case may have been on its way when it was halted
    act = "workflow.migrate_stop" if stopped else "workflow.migrate_resume"
    people.record(tx, caller.id, caller.name, act, "ok", {"move": str(move)})


def due(tx: Connection, limit: int = 50) -> list[tuple[UUID, UUID]]:
    """(move, case) still to be done, of the oldest running move first and those tried least."""
    waiting = (
        select(workflow_move_case.c.move_id, workflow_move_case.c.case_id)
        .join(workflow_move, workflow_move.c.id == workflow_move_case.c.move_id)
        .where(workflow_move.c.state == "running", workflow_move_case.c.outcome == "waiting")
        .order_by(workflow_move.c.started_at, workflow_move_case.c.tries, workflow_move_case.c.case_id)
        .limit(limit)
    )
    return [(row.move_id, row.case_id) for row in tx.execute(waiting)]


def take(tx: Connection, move: UUID, case_id: UUID) -> bool:
    """Move one case, or note why it is refused; to be called in a transaction of its own.

    False when somebody else does it, or it has to be tried again. Outcome and case are written together.
    """
    mine = and_(workflow_move_case.c.move_id == move, workflow_move_case.c.case_id == case_id)
    row = tx.execute(
        select(workflow_move_case)
        .where(mine, workflow_move_case.c.outcome == "waiting")
        .with_for_update(skip_locked=True)
    ).first()
    order = tx.execute(select(workflow_move).where(workflow_move.c.id == move)).one()
    if row is None or order.state != "running":
        return False
    try:
        with tx.begin_nested():
            done = _move(tx, order, case_id)
    except Exception as error:
        # Whatever goes wrong with one case holds up no other. What may pass by itself is tried again.
        problem = error if isinstance(error, errors.Problem) else errors.Internal(why=type(error).__name__)
        again = isinstance(problem, errors.StaleCase | errors.Internal) and row.tries + 1 < TRIES
        done = {"tries": row.tries + 1} | ({} if again else {"outcome": "refused", "problem": problem.body()})
    tx.execute(update(workflow_move_case).where(mine).values(done | {"at": func.now()}))
    _end_if_done(tx, move)
    return "outcome" in done


def _move(tx: Connection, order: Any, case_id: UUID) -> dict[str, Any]:
    now = tx.execute(
        select(case.c.seq, case.c.state, case.c.status, case.c.workflow, case.c.workflow_version).where(
            case.c.id == case_id
        )
    ).one()
    if now.status != "open":
        raise errors.CaseEnded(state=now.state)
    if (now.workflow, now.workflow_version) != (order.source, order.source_version):
        raise errors.StaleCase(
            zh="案件已不在原流程版本上",
            en="The case no longer runs on that version",
            workflow=now.workflow,
            version=now.workflow_version,
        )
    to = order.states.get(now.state)
    if to is None:
        raise errors.StateUnknown(state=now.state)
    caller = people.by_id(tx, order.started_by_id)
    seq = cases.migrate(
        tx, case_id, caller, order.target, order.target_version, to, reason=order.reason, expected_seq=now.seq
    )
    return {"outcome": "moved", "from_state": now.state, "to_state": to, "seq": seq}


def _end_if_done(tx: Connection, move: UUID) -> None:
    # One after the other: of two that take the last two cases at once, each would see the other's still waiting.
    tx.execute(select(workflow_move.c.id).where(workflow_move.c.id == move).with_for_update())
    left = select(workflow_move_case.c.case_id).where(
        workflow_move_case.c.move_id == move, workflow_move_case.c.outcome == "waiting"
    )
    ended = update(workflow_move).where(workflow_move.c.id == move, ~left.exists(), workflow_move.c.state == "running")
    tx.execute(ended.values(state="done", ended_at=func.now()))


def recent(tx: Connection, limit: int = 20) -> list[dict[str, Any]]:
    """The last moves, newest first, each as :func:`look` tells it."""
    ids = select(workflow_move.c.id).order_by(workflow_move.c.started_at.desc()).limit(limit)
    return [look(tx, move) for move in tx.execute(ids).scalars()]


def look(tx: Connection, move: UUID) -> dict[str, Any]:
    """A move: what, by whom, how far: ``{id, source, …, state, counts: {waiting, moved, refused}}``.

    Raises ``NotFound``.
    """
    row = tx.execute(select(workflow_move).where(workflow_move.c.id == move)).mappings().first()
    if row is None:
        raise errors.NotFound(move=str(move))
    outcome = workflow_move_case.c.outcome
    counted = select(outcome, func.count().label("n")).where(workflow_move_case.c.move_id == move).group_by(outcome)
    counts = {"waiting": 0, "moved": 0, "refused": 0} | {r.outcome: r.n for r in tx.execute(counted)}
    return {name: value for name, value in row.items() if name != "started_by_id"} | {"counts": counts}


def outcomes(
    tx: Connection, caller: Caller, move: UUID, outcome: str = "", offset: int = 0, limit: int = 50
) -> dict[str, Any]:
    """The cases of a move that the caller may see: ``{items: [{id, number, outcome, …}], total, unseen}``.

    Refused ones come first, then waiting ones. Raises ``NotFound``.
    """
    look(tx, move)
    every = and_(workflow_move_case.c.move_id == move, *([workflow_move_case.c.outcome == outcome] if outcome else []))
    seen = visible_cases(caller).subquery()
    rank = when({"refused": 0, "waiting": 1}, value=workflow_move_case.c.outcome, else_=2)
    page = (
        select(
            *(workflow_move_case.c[n] for n in ("outcome", "from_state", "to_state", "problem", "seq", "tries", "at")),
            seen.c.id,
            seen.c.number,
            seen.c.description,
        )
        .join(seen, seen.c.id == workflow_move_case.c.case_id)
        .where(every)
    )
    total = tx.execute(select(func.count()).select_from(page.subquery())).scalar_one()
    everybody = tx.execute(select(func.count()).select_from(workflow_move_case).where(every)).scalar_one()
    rows: Sequence[Any] = tx.execute(page.order_by(rank, seen.c.number).offset(offset).limit(limit)).mappings().all()
    return {"items": [dict(row) for row in rows], "total": total, "unseen": everybody - total}


def _flows(tx: Connection, source: Version, target: Version) -> tuple[Workflow, Workflow]:
    if source == target:
        raise errors.Malformed("来源与目标是同一版本", "Source and target are the same version", field="target")
    return source.flow(tx), target.flow(tx)


def _checked(source: Workflow, target: Workflow, states: Mapping[str, str]) -> dict[str, str]:
    for code, to in states.items():
        if code not in source.states or source.states[code].status != "open":
            raise errors.Malformed(field="states", state=code, why="no open state of the source")
        if to not in target.states or target.states[to].status != "open":
            raise errors.Malformed(field="states", state=to, why="no open state of the target")
    return dict(states)


def _on(version: Version) -> Any:
    return and_(
        case.c.workflow == version.workflow, case.c.workflow_version == version.version, case.c.status == "open"
    )
