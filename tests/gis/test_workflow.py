"""The workflow engine: what a definition forbids never happens, and a wrong definition is refused with its place."""

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gis import errors, workflow, workflow_parse

FLOWS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parents[2] / "data/workflows").glob("*.yaml"))
}
BODY = FLOWS["standard"]
PARSED = {code: workflow_parse.parse(body) for code, body in FLOWS.items()}
STANDARD = PARSED["standard"]
ACTIONS = {raw["code"]: raw for raw in BODY["actions"]}
DIGEST = "0" * 64
SAMPLES = {
    "text": ["原因", "x"],
    "photo": [[DIGEST]],
    "department": ["D01", "D02"],
    "departments": [["D01"], ["D02", "D03"]],
    "number": [0, 1.5],
    "date": ["2027-01-01", "2027-01-01T08:00:00+08:00"],
    "staff": ["00000000-0000-0000-0000-000000000001"],
    "case": ["00000000-0000-0000-0000-000000000002"],
    "closing_condition": ["1"],
    "tags": [["创城"]],
    "scores": [{"D01": 5}],
}


def facts(state: str, **more: object) -> dict[str, object]:
    known = {
        "state": state,
        "channel": "public",
        "department_code": "D01",
        "status": "open",
        "overdue": False,
        "dispatched": False,
        "before_photos": 1,
        "after_photos": 1,
        "check_photos": 0,
        **dict.fromkeys(workflow.COUNTERS, 0),
        **{f"open_{kind}": 0 for kind in workflow.TASKS},
    }
    return known | more


def value_of(field: dict) -> st.SearchStrategy:
    return st.sampled_from(sorted(field["choices"]) if field["type"] == "choice" else SAMPLES[field["type"]])


@st.composite
def attempts(draw: st.DrawFn) -> tuple[str, list]:
    """A workflow and steps somebody tries on it: often sound ones, sometimes with anything missing or wrong."""
    code = draw(st.sampled_from(sorted(FLOWS)))
    steps = []
    for raw in draw(st.lists(st.sampled_from(FLOWS[code]["actions"]), max_size=40)):
        fields = raw.get("fields", [])
        given = {f["name"]: draw(value_of(f)) for f in fields if draw(st.integers(0, 9)) or f.get("required")}
        slip = draw(st.sampled_from(["", "", "", "blank", "stranger", "unknown"]))
        required = [f["name"] for f in fields if f.get("required")]
        if slip == "blank" and required:
            given[draw(st.sampled_from(required))] = None
        if slip == "stranger":
            given["bribe"] = "1"
        roles = draw(st.sets(st.sampled_from(sorted(workflow.ROLES)), max_size=2)) | (
            set() if draw(st.integers(0, 4)) == 0 else {raw["roles"][0]}
        )
        known = {
            "overdue": draw(st.booleans()),
            "dispatched": draw(st.booleans()),
            "extension_count": draw(st.integers(0, 3)),
            "appeal_count": draw(st.integers(0, 1)),
            "return_count": draw(st.integers(0, 1)),
            "after_photos": draw(st.integers(0, 1)),
            **{f"open_{kind}": draw(st.integers(0, 1)) for kind in ("assist", "summon", "urge", "supervise")},
        }
        steps.append(("fly" if slip == "unknown" else raw["code"], roles, given, known))
    return code, steps


def oracle_allows(body: dict, state: str, action: str, roles: set[str], payload: dict, known: dict) -> bool:
    """The definition read the slow way: straight from the YAML, its guards by Python itself."""
    raw = next((a for a in body["actions"] if a["code"] == action), None)
    if raw is None or state not in raw["from"] or not roles & set(raw["roles"]):
        return False
    fields = raw.get("fields", [])
    if set(payload) - {f["name"] for f in fields}:
        return False
    if any(f.get("required") and not payload.get(f["name"]) for f in fields):
        return False
    names = known | {f["name"]: payload.get(f["name"]) for f in fields}
    return "guard" not in raw or bool(eval(raw["guard"], {"__builtins__": {}}, names))


@given(attempts())
def test_random_action_sequences_do_what_the_definition_says_and_nothing_else(attempt):
    code, steps = attempt
    body, flow = FLOWS[code], PARSED[code]
    state = flow.start.target
    for action, roles, payload, known in steps:
        known = facts(state, **known)
        allowed = oracle_allows(body, state, action, roles, payload, known)
        try:
            taken = workflow.step(flow, known, action, roles, payload)
        except errors.Problem:
            assert not allowed, (action, state)
            continue
        assert allowed, (action, state)
        raw = next(a for a in body["actions"] if a["code"] == action)
        assert taken.state.code == (state if raw["to"] == "=" else raw["to"])
        assert taken.role in roles
        state = taken.state.code
        assert state in body["states"]


@pytest.mark.parametrize("code", sorted(FLOWS))
def test_what_is_void_stays_void(code):
    for state in PARSED[code].states.values():
        if state.status == "void":
            assert workflow.available(PARSED[code], facts(state.code), workflow.ROLES) == []


@given(st.sampled_from(sorted(STANDARD.states)), st.sets(st.sampled_from(sorted(workflow.ROLES))))
def test_available_lists_exactly_the_visible_arrows_of_the_state(state, roles):
    expected = {
        code
        for code, raw in ACTIONS.items()
        if state in raw["from"] and roles & set(raw["roles"]) and not raw.get("hidden")
    }
    assert {a.code for a in workflow.available(STANDARD, facts(state), roles)} == expected


def test_each_refusal_has_its_own_code():
    def refusal(state, action, roles, payload, **more):
        with pytest.raises(errors.Problem) as caught:
            workflow.step(STANDARD, facts(state, **more), action, roles, payload)
        return caught.value.code

    assert refusal("reported", "fly", {"acceptor"}, {}) == "action_unknown"
    assert refusal("reported", "close", {"shift_leader"}, {}) == "state_forbids"
    assert refusal("reported", "accept", {"handler"}, {}) == "role_forbids"
    assert refusal("reported", "void", {"acceptor"}, {"reason": "  "}) == "field_missing"
    assert refusal("reported", "verify", {"acceptor"}, {}, channel="patrol") == "guard_refuses"
    same = {"department": "D01", "reason": "原因"}
    assert refusal("handling", "reassign", {"dispatcher"}, same) == "guard_refuses"
    assert refusal("handling", "reassign", {"dispatcher"}, same | {"bribe": "1"}) == "malformed"


TYPED = copy.deepcopy(BODY)
TYPED["actions"][0]["fields"] = [
    {"name": kind, "type": kind, "label": {"zh": kind, "en": kind}}
    | ({"choices": ["a", "b"]} if kind == "choice" else {})
    for kind in sorted(workflow.FIELD_TYPES)
]
TYPED = workflow_parse.parse(TYPED)


@pytest.mark.parametrize(
    "payload",
    [
        *({"text": value} for value in (1, ["x"], "字" * 2001, "a\x00b", "\ud800", {"a": 1})),
        *({"number": value} for value in (float("nan"), float("inf"), "7", True, 10**400)),
        *({"photo": value} for value in (DIGEST, ["x"], [DIGEST.upper().replace("0", "A")], [None], [DIGEST] * 21)),
        *({"department": value} for value in (["D01"], "D" * 51, "\x00")),
        *({"choice": value} for value in (1, ["a"], {"a": "b"})),
        {"undeclared": "x"},
        {"undeclared": None},
    ],
    ids=repr,
)
def test_a_payload_that_is_not_what_the_action_declares_is_refused(payload):
    with pytest.raises(errors.Malformed):
        workflow.step(TYPED, facts("reported"), "accept", {"acceptor"}, payload)


def test_what_the_action_declares_is_taken():
    payload = {"text": "好", "number": 1.5, "photo": [DIGEST], "department": "D01", "choice": "a"}
    taken = workflow.step(TYPED, facts("reported"), "accept", {"acceptor"}, payload | {"number": None})
    assert taken.payload == {name: value for name, value in payload.items() if name != "number"}


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**300), 10**300))
def test_a_number_has_one_form(number):
    step = workflow.step(TYPED, facts("reported"), "accept", {"acceptor"}, {"number": number})
    kept = step.payload["number"]
    assert kept == number
    assert isinstance(kept, int) == (number == int(number))


def test_a_field_may_not_be_called_what_the_engine_writes():
    field = {"name": "judged_at", "type": "text", "label": {"zh": "时", "en": "At"}}
    with pytest.raises(errors.DefinitionBad):
        workflow_parse.parse(broken(actions__0__fields=[field]))


def test_after_a_departments_return_the_dispatcher_cannot_forward_to_closing():
    declined = workflow.step(STANDARD, facts("handling"), "decline", {"handler"}, {"reason": "不属本部门"}).state.code
    leading = [a for a in workflow.available(STANDARD, facts(declined), {"dispatcher"}) if a.target != workflow.STAY]
    assert {a.target for a in leading} == {"handling", "accepted"}
    straight = {"reason": "已消失", "photos": [DIGEST]}
    taken = workflow.step(STANDARD, facts("filed"), "forward_closing", {"dispatcher"}, straight)
    assert taken.state.code == "checked"
    with pytest.raises(errors.GuardRefuses):
        workflow.step(STANDARD, facts("filed", dispatched=True), "forward_closing", {"dispatcher"}, straight)
    returned = facts("filed", return_count=1)
    assert workflow.step(STANDARD, returned, "forward_closing", {"dispatcher"}, straight).state.code == "checked"


@pytest.mark.parametrize(
    ("dispatched", "way", "to"), [(True, "rework", "handling"), (False, "return_dispatch", "filed")]
)
def test_what_no_department_has_had_is_not_sent_to_rework(dispatched, way, to):
    known, why = facts("checked", dispatched=dispatched), {"reason": "问题仍在"}
    assert workflow.step(STANDARD, known, way, {"shift_leader"}, why).state.code == to
    (other,) = {"rework", "return_dispatch"} - {way}
    with pytest.raises(errors.GuardRefuses):
        workflow.step(STANDARD, known, other, {"shift_leader"}, why)
    assert workflow.blocked(STANDARD.actions[other], known) == STANDARD.actions[other].guard_words


@pytest.mark.parametrize("missing", ["contacted_said", "solved", "satisfaction"])
def test_a_call_back_tells_all_three_answers_or_that_nobody_was_reached(missing):
    told = {"contacted_said": "yes", "solved": "no", "satisfaction": "1"}
    closed = workflow.step(PARSED["hotline"], facts("calling"), "call_back", {"acceptor"}, told)
    assert (closed.state.code, closed.kept) == ("closed", told)
    with pytest.raises(errors.FieldMissing):
        workflow.step(PARSED["hotline"], facts("calling"), "call_back", {"acceptor"}, {**told, missing: None})
    tried = {"unreached": "no_answer", "note": "上午、下午各拨打一次"}
    step = workflow.step(PARSED["hotline"], facts("calling"), "unreachable", {"acceptor"}, tried)
    assert (step.state.code, step.kept) == ("closed", {"unreached": "no_answer"})


def test_an_extension_needs_two_approvals_comes_twice_and_never_after_the_limit():
    asked = workflow.step(STANDARD, facts("handling"), "ask_extension", {"handler"}, {"reason": "备料"})
    agreed = workflow.step(STANDARD, facts(asked.state.code), "agree_extension", {"dispatcher"}, {})
    for_who = [a.roles for a in workflow.available(STANDARD, facts(agreed.state.code), {"dispatcher"}) if a.primary]
    assert for_who == []
    approved = workflow.step(STANDARD, facts(agreed.state.code), "approve_extension", {"shift_leader"}, {})
    assert (approved.state.code, approved.action.clock, approved.action.counts) == (
        "handling",
        "extend",
        ("extension_count",),
    )
    for known in ({"extension_count": 2}, {"overdue": True}):
        with pytest.raises(errors.GuardRefuses):
            workflow.step(STANDARD, facts("handling", **known), "ask_extension", {"handler"}, {"reason": "备料"})
        action = STANDARD.actions["ask_extension"]
        assert workflow.blocked(action, facts("handling", **known)) == action.guard_words
    assert workflow.blocked(STANDARD.actions["ask_extension"], facts("handling")) is None


def broken(**changes):
    body = copy.deepcopy(BODY)
    for path, value in changes.items():
        target = body
        *way, last = path.split("__")
        for key in way:
            target = target[int(key)] if key.isdigit() else target[key]
        if value is None:
            del target[last]
        else:
            target[last] = value
    return body


@pytest.mark.parametrize(
    ("changes", "where", "word"),
    [
        ({"actions__0__to": "nowhere"}, "actions[0]", "unknown state: nowhere"),
        ({"actions__0__roles": ["king"]}, "actions[0]", "unknown role: king"),
        ({"actions__0__roles": []}, "actions[0]", "at least one role"),
        ({"actions__0__guard": "moon > 3"}, "actions[0]", "unknown name in the guard: moon"),
        ({"actions__0__guard": "channel =="}, "actions[0]", "does not parse"),
        ({"actions__0__marks": ["born_at"]}, "actions[0]", "unknown mark"),
        ({"actions__0__clock": "sometimes"}, "actions[0]", "unknown clock effect"),
        ({"actions__1__code": "accept"}, "actions[1]", "defined twice"),
        ({"actions__0__name": {"zh": "受理"}}, "actions[0]", "needs zh and en"),
        ({"states__lost": {"name": {"zh": "失", "en": "Lost"}, "stage": "closing"}}, "states", "unreachable state"),
        ({"states__reported__stage": "lunch"}, "states.reported", "stage must be one of"),
        ({"states__reported__limit_minutes": -1}, "states.reported", "positive"),
        ({"states__handling__limit": "soon"}, "states.handling.limit", "not a time limit"),
        ({"states__handling__owners": ["king"]}, "states.handling.owners", "unknown role: king"),
        ({"states__handling__timer": {"action": "wake"}}, "states.handling.timer", "either a limit or the field"),
        (
            {"states__handling__timer": {"action": "handle", "limit": "1 工作日"}},
            "states.handling.timer",
            "the system cannot take handle",
        ),
        (
            {"states__suspended__timer": {"action": "wake", "field": "one_day"}},
            "states.suspended.timer",
            "not every way into suspended",
        ),
        ({"actions__0__assign": "anybody"}, "actions[0]", "unknown assignment"),
        ({"actions__0__opens": [{"kind": "tea", "for": "department"}]}, "actions[0].opens[0]", "unknown task"),
        ({"actions__0__opens": [{"kind": "urge", "for": "crowd"}]}, "actions[0].opens[0]", "unknown holder"),
        ({"start__to": "="}, "start", "a state to lead to"),
    ],
)
def test_a_wrong_definition_is_refused_with_its_place(changes, where, word):
    with pytest.raises(errors.DefinitionBad) as caught:
        workflow_parse.parse(broken(**changes))
    assert caught.value.detail["where"] == where
    assert word in caught.value.detail["why"]


def test_a_limit_without_a_clock_is_refused():
    body = copy.deepcopy(BODY)
    for action in body["actions"]:
        if action.get("clock") == "start":
            del action["clock"]
    with pytest.raises(errors.DefinitionBad, match="limit without a clock"):
        workflow_parse.parse(body)


def test_a_dead_end_is_refused():
    body = copy.deepcopy(BODY)
    body["actions"] = [a for a in body["actions"] if a["code"] not in ("rework", "return_dispatch", "force_close")]
    next(a for a in body["actions"] if a["code"] == "close")["from"] = ["handled"]
    with pytest.raises(errors.DefinitionBad) as caught:
        workflow_parse.parse(body)
    assert "dead end" in caught.value.detail["why"]
    assert "checked" in caught.value.detail["why"]


def test_a_guard_cannot_reach_out():
    with pytest.raises(errors.DefinitionBad):
        workflow_parse.parse(broken(actions__0__guard="__import__('os').system('true')"))
