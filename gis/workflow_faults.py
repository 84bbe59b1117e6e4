"""Everything that is wrong with a drawn workflow at once, each fault with its place and its words. Pure.

``gis.workflow_parse`` refuses at the first fault, which is right for what is loaded; who draws wants them all. Knows
the rules of the trade a flow can break without being nonsense; what a body may hold at all is known there.
"""

import ast
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from gis import errors, workflow
from gis.workflow_course import check_clock, check_graph, check_people
from gis.workflow_drawing import NOBODY, Drawing, Fault, Part, is_open, mappings, name_of, texts
from gis.workflow_parse import parse
from gis.worktime import Limit

_CODE = re.compile(r"[a-z][a-z0-9_]{0,39}")


def faults(body: Any, staffed: Collection[str] | None = None) -> list[Fault]:
    """Every fault of a workflow body, errors first; an empty list means it may be published as it is.

    ``staffed`` are the roles somebody holds; None leaves out what depends on people. A body without errors is one that
    ``gis.workflow_parse.parse`` takes.
    """
    if not isinstance(body, Mapping):
        return [Fault("form", "error", "flow", "", "", "流程须为一组键值", "A workflow is a mapping")]
    drawing = _read(body)
    _check_flow(drawing, body)
    for code, raw in drawing.states.items():
        _check_state(drawing, code, raw)
    _check_actions(drawing)
    check_graph(drawing)
    check_clock(drawing)
    check_people(drawing, None if staffed is None else frozenset(staffed))
    _ask_engine(drawing, body)
    return sorted(drawing.found, key=lambda f: f.level != "error")


# --- Form ------------------------------------------------------------------------------------------------------


def _read(body: Mapping[str, Any]) -> Drawing:
    states = body.get("states")
    actions = body.get("actions")
    start = body.get("start")
    drawing = Drawing(
        {str(c): s for c, s in states.items() if isinstance(s, Mapping)} if isinstance(states, Mapping) else {},
        [(i, a) for i, a in enumerate(actions) if isinstance(a, Mapping)] if isinstance(actions, list) else [],
        start if isinstance(start, Mapping) else {},
    )
    here: tuple[Part, str, int | None] = ("flow", "", None)
    if not drawing.states:
        drawing.say("no_states", "error", here, "states", "还没有状态", "There are no states yet")
    if not drawing.start:
        drawing.say("no_start", "error", here, "start", "还没有上报操作", "There is no action that reports a case")
    if not isinstance(actions, list) or len(drawing.actions) < len(actions):
        drawing.say("form", "error", here, "actions", "操作须为一列键值", "Actions are a list of mappings")
    return drawing


def _check_flow(drawing: Drawing, body: Mapping[str, Any]) -> None:
    here: tuple[Part, str, int | None] = ("flow", "", None)
    _check_code(drawing, here, body.get("code"))
    _check_label(drawing, here, body, "name")
    minutes = body.get("offline_minutes", 30)
    if not _number(minutes) or not 0 <= minutes <= 7 * 24 * 60:
        zh, en = "离线补传时长须为 0 至 10080 分钟", "Offline minutes are from 0 to 10080, a week"
        drawing.say("offline", "error", here, "offline_minutes", zh, en)
    if drawing.states and all(s.get("status", "open") == "open" for s in drawing.states.values()):
        drawing.say("no_end", "error", here, "states", "没有结束状态", "No state ends a case")


def _check_code(drawing: Drawing, place: tuple[Part, str, int | None], code: Any) -> None:
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        zh = "代码须以小写字母开头，只含小写字母、数字和下划线，最长 40 个字符"
        en = "A code begins with a small letter and has only small letters, digits and underscores, 40 at most"
        drawing.say("bad_code", "error", place, "code", zh, en)


def _check_label(drawing: Drawing, place: tuple[Part, str, int | None], raw: Mapping[str, Any], key: str) -> None:
    label = raw.get(key)
    if not isinstance(label, Mapping) or not all(isinstance(label.get(k), str) and label[k].strip() for k in _TWO):
        what = {"name": ("名称", "name"), "effect": ("作用说明", "effect")}.get(key, ("说明", key.replace("_", " ")))
        drawing.say("no_words", "error", place, key, f"{what[0]}须有中文和英文", f"The {what[1]} needs zh and en")
    elif len(label) > len(_TWO):  # a comma that YAML took for the end of the words
        zh, en = "中英文之外还有别的词，逗号前后须用引号括起", "Words beside zh and en: quote what has a comma"
        drawing.say("odd_words", "warning", place, key, zh, en)


_TWO = ("zh", "en")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_known(
    drawing: Drawing,
    place: tuple[Part, str, int | None],
    key: str,
    given: Collection[str],
    known: Collection[str],
    what: tuple[str, str],
) -> None:
    for name in sorted(set(given) - set(known)):
        zh, en = f"没有这种{what[0]}：{name}", f"Unknown {what[1]}: {name}"
        drawing.say(f"unknown_{what[1].replace(' ', '_')}", "error", place, key, zh, en)


# --- States ----------------------------------------------------------------------------------------------------


def _check_state(drawing: Drawing, code: str, raw: Mapping[str, Any]) -> None:
    here: tuple[Part, str, int | None] = ("state", code, None)
    _check_code(drawing, here, code)
    _check_label(drawing, here, raw, "name")
    _check_known(drawing, here, "stage", [str(raw.get("stage", ""))], workflow.STAGES, ("环节", "stage"))
    _check_known(drawing, here, "status", [str(raw.get("status", "open"))], workflow.STATUSES, ("办理状态", "status"))
    _check_known(drawing, here, "owners", texts(raw.get("owners", [])), workflow.ROLES, ("角色", "role"))
    minutes = raw.get("limit_minutes")
    if minutes is not None and not (_number(minutes) and minutes > 0):
        zh, en = "环节时限须为大于 0 的分钟数", "The limit of a stage is a number of minutes above zero"
        drawing.say("bad_limit", "error", here, "limit_minutes", zh, en)
    if raw.get("limit") is not None:
        _check_limit(drawing, here, "limit", raw["limit"])
    if (minutes is not None or raw.get("limit") is not None) and not is_open(raw):
        zh, en = "结束状态不再计时，时限无用", "An ended case has no clock: the limit has no use"
        drawing.say("limit_ended", "warning", here, "limit", zh, en)
    if raw.get("timer") is not None:
        _check_timer(drawing, here, raw["timer"])


def _check_limit(drawing: Drawing, here: tuple[Part, str, int | None], key: str, given: Any) -> None:
    try:
        Limit.parse(given)
    except errors.DefinitionBad:
        zh = f"看不懂的时限：{given}。例：30 分钟、4 工作时、2 工作日"
        drawing.say("bad_limit", "error", here, key, zh, f"Not a time limit: {given}; try 30 分钟, 4 工作时, 2 工作日")


def _check_timer(drawing: Drawing, here: tuple[Part, str, int | None], timer: Any) -> None:
    state = here[1]
    if not isinstance(timer, Mapping) or not timer.get("action"):
        zh, en = "定时器没有指定到时执行的操作", "The timer names no action to take when it runs out"
        drawing.say("timer_without_action", "error", here, "timer", zh, en)
        return
    if bool(timer.get("limit")) == bool(timer.get("field")):
        zh = "定时器须在时长与日期字段中选一个"
        drawing.say("timer_without_limit", "error", here, "timer", zh, "A timer has either a limit or a date field")
    elif timer.get("limit"):
        _check_limit(drawing, here, "timer", timer["limit"])
    fires = [a for _, a in drawing.actions if a.get("code") == timer["action"]]
    if not fires:
        zh = f"定时器要执行的操作不存在：{timer['action']}"
        drawing.say(
            "timer_unknown_action", "error", here, "timer", zh, f"The timer's action is none: {timer['action']}"
        )
    for action in fires:
        if state not in texts(action.get("from", [])):
            zh, en = "定时器的操作不能从这个状态执行", "The timer's action does not leave from this state"
            drawing.say("timer_elsewhere", "error", here, "timer", zh, en)
        if "system" not in texts(action.get("roles", [])):
            zh = f"定时器由系统执行，“{name_of(action)}”须允许系统角色"
            en = f"A timer is the system's: {name_of(action, 'en')} must allow the role system"
            drawing.say("timer_not_system", "error", here, "timer", zh, en)


# --- Actions ---------------------------------------------------------------------------------------------------


def _check_actions(drawing: Drawing) -> None:
    every = [drawing.start, *(a for _, a in drawing.actions)]
    kept = {str(f.get("name")) for a in every for f in mappings(a.get("fields")) if f.get("keep")}
    seen: set[str] = set()
    if drawing.start:
        _check_action(drawing, ("start", str(drawing.start.get("code", "")), None), drawing.start, kept)
    for index, raw in drawing.actions:
        code = str(raw.get("code", ""))
        here: tuple[Part, str, int | None] = ("action", code, index)
        _check_code(drawing, here, raw.get("code"))
        if code in seen:
            zh, en = f"操作代码重复：{code}", f"Two actions are called {code}"
            drawing.say("twice", "error", here, "code", zh, en)
        seen.add(code)
        if code == workflow.MIGRATE or code == drawing.start.get("code"):
            zh, en = f"{code} 已有其他用途", f"{code} already means something else"
            drawing.say("reserved", "error", here, "code", zh, en)
        sources = texts(raw.get("from", []))
        if not sources:
            zh, en = "没有起始状态：这个操作永远用不上", "It leaves from no state, so nobody can ever take it"
            drawing.say("no_source", "error", here, "from", zh, en)
        _check_known(drawing, here, "from", sources, drawing.states, ("状态", "state"))
        _check_action(drawing, here, raw, kept)
        _check_trade(drawing, here, raw, sources)


def _check_action(
    drawing: Drawing, here: tuple[Part, str, int | None], raw: Mapping[str, Any], kept: Collection[str]
) -> None:
    for key in ("name", "effect"):
        _check_label(drawing, here, raw, key)
    for key in ("fields", "opens", "closes"):
        given = raw.get(key, [])
        if not isinstance(given, list) or len(mappings(given)) < len(given):
            drawing.say("form", "error", here, key, "须为一列键值", "This is a list of mappings")
    target = raw.get("to")
    if not isinstance(target, str) or not target:
        drawing.say("no_target", "error", here, "to", "没有去向", "It leads nowhere")
    elif target != "=" or here[0] == "start":
        _check_known(drawing, here, "to", [target], drawing.states, ("状态", "state"))
    roles = texts(raw.get("roles", []))
    if not roles:
        drawing.say("no_role", "error", here, "roles", "没有角色可以执行", "No role may take it")
    _check_known(drawing, here, "roles", roles, workflow.ROLES, ("角色", "role"))
    for key in ("marks", "clears"):
        _check_known(drawing, here, key, texts(raw.get(key, [])), workflow.MARKS, ("时间标记", "mark"))
    _check_known(drawing, here, "counts", texts(raw.get("counts", [])), workflow.COUNTERS, ("计数", "counter"))
    _check_known(
        drawing, here, "clock", [str(raw.get("clock", "none"))], workflow.CLOCK_EFFECTS, ("计时方式", "clock effect")
    )
    names = _check_fields(drawing, here, raw.get("fields", []))
    _check_known(
        drawing, here, "assign", [str(raw.get("assign") or "")], workflow.ASSIGNMENTS, ("指派方式", "assignment")
    )
    _check_tasks(drawing, here, raw)
    _check_guard(drawing, here, raw, names | set(kept))


def _check_fields(drawing: Drawing, here: tuple[Part, str, int | None], given: Any) -> set[str]:
    names: set[str] = set()
    for raw in mappings(given):
        name = raw.get("name")
        if not isinstance(name, str) or not _CODE.fullmatch(name):
            drawing.say("bad_field", "error", here, "fields", f"字段名不合规：{name}", f"Not a field name: {name}")
            continue
        if name in names:
            drawing.say("field_twice", "error", here, "fields", f"字段重复：{name}", f"The field {name} is there twice")
        if name in workflow.RESERVED | workflow.FACTS:
            zh, en = f"字段名 {name} 由系统使用", f"The engine writes {name} itself"
            drawing.say("field_reserved", "error", here, "fields", zh, en)
        names.add(name)
        kind = str(raw.get("type", ""))
        _check_known(drawing, here, "fields", [kind], workflow.FIELD_TYPES, ("字段类型", "field type"))
        label = raw.get("label")
        if not isinstance(label, Mapping) or not all(label.get(k) for k in _TWO):
            zh, en = f"字段 {name} 须有中英文名称", f"The field {name} needs a label in zh and en"
            drawing.say("no_words", "error", here, "fields", zh, en)
        if kind == "choice" and not raw.get("choices"):
            drawing.say("no_choices", "error", here, "fields", f"{name} 没有选项", f"{name} has no choices")
    return names


def _check_tasks(drawing: Drawing, here: tuple[Part, str, int | None], raw: Mapping[str, Any]) -> None:
    lists = {str(f.get("name")) for f in mappings(raw.get("fields")) if f.get("type") == "departments"}
    for opened in mappings(raw.get("opens")):
        _check_known(drawing, here, "opens", [str(opened.get("kind"))], workflow.TASKS, ("任务", "task"))
        holder = str(opened.get("for"))
        if holder not in {*workflow.TASK_HOLDERS, *lists}:
            zh, en = f"任务没有给谁：{holder}", f"A task for nobody: {holder} is no holder and no field of departments"
            drawing.say("task_for_nobody", "error", here, "opens", zh, en)
        if opened.get("limit"):
            _check_limit(drawing, here, "opens", opened["limit"])
    for ended in mappings(raw.get("closes")):
        _check_known(drawing, here, "closes", [str(ended.get("kind"))], workflow.TASKS, ("任务", "task"))


def _check_guard(
    drawing: Drawing, here: tuple[Part, str, int | None], raw: Mapping[str, Any], names: Collection[str]
) -> None:
    guard = raw.get("guard") or ""
    if not guard:
        return
    try:
        tree = ast.parse(str(guard), mode="eval")
    except (SyntaxError, ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, SyntaxError) else str(error)
        drawing.say("guard_form", "error", here, "guard", f"条件写法有误：{why}", f"The guard does not parse: {why}")
        return
    for name in sorted({n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} - workflow.FACTS - set(names)):
        zh, en = f"条件中的 {name} 不是案件事实，也不是本操作的字段", f"The guard names {name}, no fact and no field"
        drawing.say("guard_name", "error", here, "guard", zh, en)
    if not raw.get("guard_words"):
        zh = "条件没有说明文字：被拒绝的人看不懂原因"
        drawing.say("guard_words", "warning", here, "guard_words", zh, "The guard has no words for who is refused")
    else:
        _check_label(drawing, here, raw, "guard_words")


# Fields that say why: words, a choice of reasons, or the case that goes on in this one's place.
_TELLING = frozenset({"text", "choice", "case"})


def _check_trade(
    drawing: Drawing, here: tuple[Part, str, int | None], raw: Mapping[str, Any], sources: Sequence[str]
) -> None:
    """What the trade asks of returns, endings and records, beyond what the language asks."""
    people = [r for r in texts(raw.get("roles", [])) if r not in NOBODY]
    fields = mappings(raw.get("fields"))
    told = any(f.get("required") and f.get("type") in _TELLING for f in fields)
    target = drawing.states.get(str(raw.get("to")), {})
    marks, counts = texts(raw.get("marks", [])), set(texts(raw.get("counts", [])))
    ends = target.get("status", "open") if target else "open"
    opened = [s for s in sources if is_open(drawing.states.get(s, {}))]
    if people and not told and ends == "open" and (counts & {"return_count", "rework_count"}):
        zh, en = "退回、返工须有必填的原因", "A return or rework needs a required reason"
        drawing.say("return_without_reason", "error", here, "fields", zh, en)
    if people and not told and ends == "void":
        drawing.say("void_without_reason", "error", here, "fields", "作废须有必填的原因", "Voiding needs a reason")
    conditioned = any("closing_condition" in (f.get("name"), f.get("type")) for f in fields)
    if people and opened and ends == "closed" and not conditioned:
        zh, en = "结案没有选择结案条件", "It closes a case without its closing condition"
        drawing.say("close_without_condition", "warning", here, "fields", zh, en)
    if opened and ends == "closed" and "closed_at" not in marks:
        zh, en = "结案没有记录结案时间，统计中将查不到", "It closes without closed_at: no statistics will count it"
        drawing.say("close_without_mark", "warning", here, "marks", zh, en)
    if opened and ends == "void" and "voided_at" not in marks:
        zh, en = "作废没有记录作废时间", "It voids without voided_at"
        drawing.say("void_without_mark", "warning", here, "marks", zh, en)
    if people and raw.get("hidden") and set(people) - {"platform"}:
        zh, en = "隐藏的操作在案件台上看不到，人员无法执行", "It is hidden: no person will find it on the desk"
        drawing.say("hidden_from_people", "warning", here, "hidden", zh, en)


# --- What only the engine knows --------------------------------------------------------------------------------


def _ask_engine(drawing: Drawing, body: Mapping[str, Any]) -> None:
    """Let the engine parse what is left when the parts already known as faulty are put aside, one refusal at a time."""
    wrong = {(f.part, f.code if f.part == "state" else f.index) for f in drawing.found if f.level == "error"}
    if ("flow", None) in wrong or ("start", None) in wrong:
        return
    states = {c: _PLAIN if ("state", c) in wrong else s for c, s in drawing.states.items()}
    actions = [(i, a) for i, a in drawing.actions if ("action", i) not in wrong]
    for _ in range(len(states) + len(actions) + 1):
        try:
            parse(dict(body) | {"states": states, "actions": [a for _, a in actions]})
            return
        except errors.DefinitionBad as problem:
            where, why = str(problem.detail.get("where", "")), str(problem.detail.get("why", problem.title_en))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            where, why = "", f"{type(error).__name__}: {error}"
        if where.startswith("start"):
            drawing.say("engine", "error", ("start", "", None), "", f"定义有误：{why}", why)
            return
        at = re.match(r"(states|actions)(?:\.(\w+)|\[(\d+)\])", where)
        if at is None or (at[1] == "states" and at[2] not in states):
            # The graph, or a place without a name: what was put aside may be why, so it counts only when nothing was.
            if not any(f.level == "error" for f in drawing.found):
                drawing.say("engine", "error", ("flow", "", None), "", f"定义有误：{why}", why)
            return
        if at[1] == "states":
            drawing.say("engine", "error", ("state", at[2], None), "", f"定义有误：{why}", why)
            states[at[2]] = _PLAIN
            continue
        index, raw = actions.pop(int(at[3]))
        drawing.say("engine", "error", ("action", str(raw.get("code", "")), index), "", f"定义有误：{why}", why)


_PLAIN: Mapping[str, Any] = {"name": {"zh": "—", "en": "—"}, "stage": "handling"}
