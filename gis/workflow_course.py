"""What is wrong with the course of a drawn workflow: its graph, its handling clock, the people it needs. Pure."""

from collections.abc import Mapping
from typing import Any

from gis import workflow
from gis.workflow_drawing import NOBODY, Drawing, Part, arrows, is_open, name_of, texts
from gis.workflow_parse import reach

# Roles that need nobody appointed: anybody, machines, and whoever a case makes a helper.
_ALWAYS = frozenset({"public", "platform", "assistant"})


def check_graph(drawing: Drawing) -> None:
    """States nothing leads to, dead ends, states that nobody is expected to move on."""
    onwards: dict[str, set[str]] = {code: set() for code in drawing.states}
    backwards: dict[str, set[str]] = {code: set() for code in drawing.states}
    for source, target, _ in arrows(drawing):
        onwards[source].add(target)
        backwards[target].add(source)
    first = str(drawing.start.get("to", ""))
    reached = reach(onwards, [first]) if first in drawing.states else set(drawing.states)
    ending = reach(backwards, [c for c, s in drawing.states.items() if not is_open(s)])
    for code, raw in drawing.states.items():
        here: tuple[Part, str, int | None] = ("state", code, None)
        if code not in reached:
            zh = f"“{name_of({'code': code} | dict(raw))}”到不了：没有操作通向它"
            en = f"{code} is unreachable: no action leads there"
            drawing.say("unreachable", "error", here, "", zh, en)
        if not is_open(raw):
            continue
        if not onwards[code] - {code}:
            zh, en = "死路：案件到这里就出不去了", "Dead end: nothing leaves from here"
            drawing.say("dead_end", "error", here, "", zh, en)
        elif code not in ending:
            zh, en = "死路：从这里走不到任何结束状态", "Dead end: no way from here to an ending"
            drawing.say("dead_end", "error", here, "", zh, en)
        _check_primaries(drawing, here)


def _check_primaries(drawing: Drawing, here: tuple[Part, str, int | None]) -> None:
    leaving = [raw for source, _, raw in arrows(drawing) if source == here[1] and not raw.get("hidden")]
    leaving = [raw for raw in leaving if set(texts(raw.get("roles", []))) - NOBODY]
    mains: dict[str, list[str]] = {}
    for raw in leaving:
        for role in texts(raw.get("roles", [])) if raw.get("primary") else []:
            mains.setdefault(role, []).append(name_of(raw))
    if leaving and not mains and not drawing.states[here[1]].get("owners"):
        zh = "没有主要操作也没有责任角色：案件不会出现在任何人的待办里"
        en = "No primary action and no owner: nobody will find it among their work"
        drawing.say("no_primary", "warning", here, "owners", zh, en)
    for role, names in sorted(mains.items()):
        if len(names) > 1:
            zh = f"角色 {role} 有 {len(names)} 个主要操作：{'、'.join(names)}"
            en = f"The role {role} has {len(names)} primary actions here"
            drawing.say("two_primaries", "warning", here, "", zh, en)


_AFTER = {"start": "running", "resume": "running", "extend": "running", "stop": "stopped"}


def check_clock(drawing: Drawing) -> None:
    """Follow the handling clock along every path: none, running or stopped in each state."""
    first = str(drawing.start.get("to", ""))
    if first not in drawing.states:
        return
    begin = _AFTER.get(str(drawing.start.get("clock", "none")), "none")
    seen, waiting = {(first, begin)}, [(first, begin)]
    while waiting:
        state, clock = waiting.pop()
        for source, target, raw in arrows(drawing):
            effect = str(raw.get("clock", "none"))
            stays = clock == "none" and effect in ("stop", "extend")
            after = (target, clock if stays else _AFTER.get(effect, clock))
            if source == state and after not in seen:
                seen.add(after)
                waiting.append(after)
    clocks: dict[str, set[str]] = {code: {c for s, c in seen if s == code} for code in drawing.states}
    for index, raw in drawing.actions:
        _check_clock_of(drawing, ("action", str(raw.get("code", "")), index), raw, clocks)
    overdue = {s for s, _, a in arrows(drawing) if "overdue_at" in texts(a.get("marks", []))}
    for code, raw in drawing.states.items():
        here: tuple[Part, str, int | None] = ("state", code, None)
        limited = raw.get("limit") is not None or raw.get("limit_minutes") is not None
        if raw.get("stage") == "handling" and is_open(raw) and not limited and "none" in clocks[code]:
            zh = "处置时限没有起算：到这里之前没有操作启动计时，本环节也没有时限"
            en = "A limit without a clock: nothing starts it before this state, and the stage has no limit of its own"
            drawing.say("limit_without_clock", "error", here, "limit", zh, en)
        if raw.get("stage") == "handling" and "running" in clocks[code] and code not in overdue and is_open(raw):
            zh, en = "处置超时不会被记录：没有从这里出发的超时操作", "Nothing here records that the limit has passed"
            drawing.say("no_timeout", "warning", here, "", zh, en)


def _check_clock_of(
    drawing: Drawing,
    here: tuple[Part, str, int | None],
    raw: Mapping[str, Any],
    clocks: Mapping[str, set[str]],
) -> None:
    effect = str(raw.get("clock", "none"))
    before = set().union(*(clocks.get(s, set()) for s in texts(raw.get("from", []))))
    if not before:
        return
    if effect in ("stop", "extend") and "none" in before:
        words = {"stop": ("暂停", "stops"), "extend": ("延长", "extends")}[effect]
        zh = f"{words[0]}了可能没有启动的计时"
        drawing.say("clock_not_started", "error", here, "clock", zh, f"It {words[1]} a clock that may not have started")
    if effect == "none" and "handled_at" in texts(raw.get("marks", [])) and "running" in before:
        zh, en = "记录了处置完成，却没有停止计时", "It marks handling as done but does not stop the clock"
        drawing.say("clock_goes_on", "warning", here, "clock", zh, en)


def check_people(drawing: Drawing, staffed: frozenset[str] | None) -> None:
    """Roles nobody holds; ``staffed`` as ``gis.workflow_faults.faults`` takes it."""
    known = None if staffed is None else staffed | _ALWAYS
    missing: dict[str, list[str]] = {}
    for index, raw in drawing.actions:
        roles = set(texts(raw.get("roles", []))) & workflow.ROLES
        if known is not None and roles and roles != NOBODY and not roles & known:
            zh = f"没有人担任可以执行它的角色：{'、'.join(sorted(roles - NOBODY))}"
            en = f"Nobody holds a role that may take it: {', '.join(sorted(roles - NOBODY))}"
            drawing.say("nobody_takes", "warning", ("action", str(raw.get("code", "")), index), "roles", zh, en)
        for role in roles - NOBODY - (known if known is not None else roles):
            missing.setdefault(role, []).append(name_of(raw))
    for role, names in sorted(missing.items()):
        names = list(dict.fromkeys(names))
        zh = f"没有人担任角色 {role}（用于：{'、'.join(names)}）"
        en = f"Nobody holds the role {role}, which {len(names)} actions name"
        drawing.say("role_nobody", "warning", ("flow", "", None), "roles", zh, en)
    for code, raw in drawing.states.items():
        leaving = [(t, a) for s, t, a in arrows(drawing) if s == code and t != code]
        if is_open(raw) and leaving and not any(_can_be_taken(raw, a, known) for _, a in leaving):
            zh, en = "没有人能让案件离开这里", "Nobody can make a case leave this state"
            drawing.say("nobody_leaves", "error", ("state", code, None), "", zh, en)


def _can_be_taken(state: Mapping[str, Any], raw: Mapping[str, Any], known: frozenset[str] | None) -> bool:
    roles = set(texts(raw.get("roles", []))) & workflow.ROLES
    timer = state.get("timer")
    if "system" in roles and isinstance(timer, Mapping) and timer.get("action") == raw.get("code"):
        return True
    people = roles - NOBODY
    return bool(people if known is None else people & known)
