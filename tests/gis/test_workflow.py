"""The workflow engine: what a definition forbids never happens, and a wrong definition is refused with its place."""

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gis import errors, workflow

BODY = yaml.safe_load((Path(__file__).parents[2] / "data/workflows/standard.yaml").read_text(encoding="utf-8"))
STANDARD = workflow.parse(BODY)
ACTIONS = {raw["code"]: raw for raw in BODY["actions"]}
FULL = {
    "reason": "原因",
    "result": "已处理",
    "closing_condition": "恢复",
    "department": "D02",
}


def facts(state: str, **more: object) -> dict[str, object]:
    return {"state": state, "channel": "public", "department_code": "D01", "status": "open"} | more


def declared(action: str) -> set[str]:
    return {f["name"] for f in ACTIONS.get(action, {}).get("fields", [])}


def fit(action: str, payload: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in payload.items() if name in declared(action)}


def oracle_allows(state: str, action: str, roles: set[str], payload: dict[str, str]) -> bool:
    """The definition read the slow way: straight from the YAML."""
    raw = ACTIONS.get(action)
    if raw is None or state not in raw["from"] or not roles & set(raw["roles"]):
        return False
    if set(payload) - declared(action):
        return False
    if any(f.get("required") and not payload.get(f["name"], "").strip() for f in raw.get("fields", [])):
        return False
    return not (action == "reassign" and payload.get("department") == "D01")


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*ACTIONS, "fly"]),
            st.sets(st.sampled_from(sorted(workflow.ROLES)), max_size=3),
            st.dictionaries(st.sampled_from(sorted(FULL)), st.sampled_from(["", " ", "D01", "x"]), max_size=4),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_random_action_sequences_do_what_the_definition_says_and_nothing_else(steps):
    state = STANDARD.start.target
    for action, roles, some, all_fields in steps:
        payload = fit(action, FULL | some) if all_fields else some
        allowed = oracle_allows(state, action, roles, payload)
        try:
            taken = workflow.step(STANDARD, facts(state), action, roles, payload)
        except errors.Problem:
            assert not allowed
            continue
        assert allowed
        assert taken.state.code == ACTIONS[action]["to"]
        assert taken.role in roles
        state = taken.state.code
    if STANDARD.states[state].status != "open":
        assert workflow.available(STANDARD, facts(state), workflow.ROLES) == []


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
TYPED = workflow.parse(TYPED)
DIGEST = "0" * 64


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
        workflow.parse(broken(actions__0__fields=[field]))


def test_after_a_departments_return_the_dispatcher_cannot_forward_to_closing():
    declined = workflow.step(STANDARD, facts("handling"), "decline", {"handler"}, {"reason": "不属本部门"}).state.code
    choices = workflow.available(STANDARD, facts(declined), {"dispatcher"})
    assert {a.target for a in choices} == {"handling", "accepted"}


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
    ],
)
def test_a_wrong_definition_is_refused_with_its_place(changes, where, word):
    with pytest.raises(errors.DefinitionBad) as caught:
        workflow.parse(broken(**changes))
    assert caught.value.detail["where"] == where
    assert word in caught.value.detail["why"]


def test_a_dead_end_is_refused():
    body = copy.deepcopy(BODY)
    body["actions"] = [a for a in body["actions"] if a["code"] != "rework"]
    next(a for a in body["actions"] if a["code"] == "close")["from"] = ["handled"]
    with pytest.raises(errors.DefinitionBad) as caught:
        workflow.parse(body)
    assert "dead end" in caught.value.detail["why"]
    assert "checked" in caught.value.detail["why"]


def test_a_guard_cannot_reach_out():
    with pytest.raises(errors.DefinitionBad):
        workflow.parse(broken(actions__0__guard="__import__('os').system('true')"))
