"""Every fault of a drawn flow is found at once, with its place, and what has none is what the engine takes."""

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gis import errors, workflow
from gis.workflow_faults import faults
from gis.workflow_parse import parse

FILES = sorted((Path(__file__).parents[2] / "data/workflows").glob("*.yaml"))
BODY = yaml.safe_load((Path(__file__).parents[2] / "data/workflows/standard.yaml").read_text(encoding="utf-8"))
STAFF = workflow.ROLES - {"evaluator"}
TWO = {"zh": "名", "en": "Name"}


def drawn(change):
    body = copy.deepcopy(BODY)
    change(body)
    return body


def action(body, code):
    return next(a for a in body["actions"] if a["code"] == code)


def a_field(**changes):
    return {"name": "why", "type": "text", "label": TWO} | changes


def put(where, **values):
    """A change that sets entries of a state, an action or the flow itself."""

    def change(body):
        part, _, code = where.partition(":")
        at = {"flow": lambda: body, "start": lambda: body["start"], "state": lambda: body["states"][code]}
        at.get(part, lambda: action(body, code))().update(values)

    return change


def add_state(code="review", **changes):
    return lambda body: body["states"].update({code: {"name": TWO, "stage": "filing"} | changes})


def drop(code):
    return lambda body: body.update(actions=[a for a in body["actions"] if a["code"] != code])


def add_action(**changes):
    raw = {"code": "extra", "name": TWO, "effect": TWO, "from": ["filed"], "to": "accepted", "roles": ["dispatcher"]}
    return lambda body: body["actions"].append(raw | changes)


def leave_review(body):
    """A review between filing and dispatch, with a way out only for ``roles``."""
    add_state()(body)
    action(body, "file")["to"] = "review"
    add_action(**{"from": ["review"], "to": "filed", "roles": ["evaluator"], "primary": True})(body)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_what_is_shipped_has_no_fault(path):
    body = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert [f for f in faults(body, workflow.ROLES) if f.level == "error" or f.rule == "odd_words"] == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_whose_turn_it_is_may_act(path):
    """The system acts by itself, the public has routes of its own, who assists has a role besides."""
    body = yaml.safe_load(path.read_text(encoding="utf-8"))
    roles = yaml.safe_load((path.parents[1] / "roles" / "standard.yaml").read_text(encoding="utf-8"))["roles"]
    named = {role for one in body["actions"] for role in one["roles"]} - {"system", "public", "assistant"}
    assert {role for role in named if "case.act" not in roles[role]["permissions"]} == set()


@pytest.mark.parametrize(
    ("change", "rule", "part", "code", "level"),
    [
        (put("flow:", code="Two words"), "bad_code", "flow", "", "error"),
        (put("flow:", name={"zh": "流程"}), "no_words", "flow", "", "error"),
        (put("flow:", name={"zh": "核实", "en": "Checked", "to be decided": None}), "odd_words", "flow", "", "warning"),
        (put("flow:", offline_minutes=-1), "offline", "flow", "", "error"),
        (put("flow:", states={}), "no_states", "flow", "", "error"),
        (put("flow:", start=None), "no_start", "flow", "", "error"),
        (put("flow:", actions="none"), "form", "flow", "", "error"),
        (lambda b: [s.pop("status", None) for s in b["states"].values()], "no_end", "flow", "", "error"),
        (add_state("Review"), "bad_code", "state", "Review", "error"),
        (put("state:filed", name={"zh": "", "en": "x"}), "no_words", "state", "filed", "error"),
        (put("state:filed", stage="lunch"), "unknown_stage", "state", "filed", "error"),
        (put("state:filed", status="lost"), "unknown_status", "state", "filed", "error"),
        (put("state:filed", owners=["king"]), "unknown_role", "state", "filed", "error"),
        (put("state:filed", limit_minutes=0), "bad_limit", "state", "filed", "error"),
        (put("state:closed", limit_minutes=5), "limit_ended", "state", "closed", "warning"),
        (put("state:filed", timer={"limit": "5 工作日"}), "timer_without_action", "state", "filed", "error"),
        (put("state:filed", timer={"action": "decline"}), "timer_without_limit", "state", "filed", "error"),
        (put("state:filed", timer={"limit": "x", "action": "decline"}), "bad_limit", "state", "filed", "error"),
        (
            put("state:filed", timer={"limit": "5 工作日", "action": "evaporate"}),
            "timer_unknown_action",
            "state",
            "filed",
            "error",
        ),
        (
            put("state:filed", timer={"limit": "5 工作日", "action": "close_at_source"}),
            "timer_elsewhere",
            "state",
            "filed",
            "error",
        ),
        (
            put("state:filed", timer={"limit": "5 工作日", "action": "return_filing"}),
            "timer_not_system",
            "state",
            "filed",
            "error",
        ),
        (add_state(), "unreachable", "state", "review", "error"),
        (drop("file"), "unreachable", "state", "filed", "error"),
        (add_action(code="accept"), "twice", "action", "accept", "error"),
        (add_action(code="migrate"), "reserved", "action", "migrate", "error"),
        (add_action(code=None), "bad_code", "action", "None", "error"),
        (add_action(**{"from": []}), "no_source", "action", "extra", "error"),
        (add_action(**{"from": ["nowhere"]}), "unknown_state", "action", "extra", "error"),
        (add_action(to="nowhere"), "unknown_state", "action", "extra", "error"),
        (add_action(to=""), "no_target", "action", "extra", "error"),
        (add_action(roles=[]), "no_role", "action", "extra", "error"),
        (add_action(roles=["king"]), "unknown_role", "action", "extra", "error"),
        (add_action(effect={}), "no_words", "action", "extra", "error"),
        (add_action(marks=["seen_at"]), "unknown_mark", "action", "extra", "error"),
        (add_action(counts=["laughs"]), "unknown_counter", "action", "extra", "error"),
        (add_action(clock="wind"), "unknown_clock_effect", "action", "extra", "error"),
        (add_action(fields=[a_field(name="Not A Name")]), "bad_field", "action", "extra", "error"),
        (add_action(fields=[a_field(), a_field()]), "field_twice", "action", "extra", "error"),
        (add_action(fields=[a_field(name="judged_at")]), "field_reserved", "action", "extra", "error"),
        (add_action(fields=[a_field(type="poem")]), "unknown_field_type", "action", "extra", "error"),
        (add_action(fields=[a_field(label={"zh": "只有中文"})]), "no_words", "action", "extra", "error"),
        (add_action(fields=[a_field(type="choice")]), "no_choices", "action", "extra", "error"),
        (add_action(guard="severity >"), "guard_form", "action", "extra", "error"),
        (add_action(guard="weather == 'rain'"), "guard_name", "action", "extra", "error"),
        (add_action(guard="severity > 1"), "guard_words", "action", "extra", "warning"),
        (put("action:return", fields=[]), "return_without_reason", "action", "return", "error"),
        (put("action:void", fields=[a_field()]), "void_without_reason", "action", "void", "error"),
        (put("action:close", fields=[]), "close_without_condition", "action", "close", "warning"),
        (put("action:close", marks=[]), "close_without_mark", "action", "close", "warning"),
        (put("action:void", marks=[]), "void_without_mark", "action", "void", "warning"),
        (put("action:handle", hidden=True), "hidden_from_people", "action", "handle", "warning"),
        (put("action:accept", primary=False), "no_primary", "state", "reported", "warning"),
        (put("action:verify", primary=True), "two_primaries", "state", "reported", "warning"),
        (put("action:dispatch", clock="none"), "limit_without_clock", "state", "handling", "error"),
        (put("action:dispatch", clock="none"), "clock_not_started", "action", "handle", "error"),
        (put("action:handle", clock="none"), "clock_goes_on", "action", "handle", "warning"),
        (drop("timeout"), "no_timeout", "state", "handling", "warning"),
        (put("action:close", roles=["evaluator"]), "nobody_takes", "action", "close", "warning"),
        (put("action:close", roles=["evaluator"]), "role_nobody", "flow", "", "warning"),
        (leave_review, "nobody_leaves", "state", "review", "error"),
        (put("action:accept", fields="none"), "form", "action", "accept", "error"),
        (put("action:accept", opens=["x"]), "form", "action", "accept", "error"),
        (put("action:accept", opens=[{"kind": "x", "for": "assignee"}]), "unknown_task", "action", "accept", "error"),
        (
            put("action:accept", opens=[{"kind": "assist", "for": "friends"}]),
            "task_for_nobody",
            "action",
            "accept",
            "error",
        ),
        (put("action:accept", closes=[{"kind": "sing"}]), "unknown_task", "action", "accept", "error"),
        (put("action:accept", assign="king"), "unknown_assignment", "action", "accept", "error"),
        (put("action:accept", colour="red"), "engine", "action", "accept", "error"),
        (put("state:filed", colour="red"), "engine", "state", "filed", "error"),
        (put("start:", colour="red"), "engine", "start", "", "error"),
    ],
)
def test_each_fault_is_told_with_its_place(change, rule, part, code, level):
    found = faults(drawn(change), STAFF)
    assert (rule, part, code, level) in {(f.rule, f.part, f.code, f.level) for f in found}
    assert all(f.zh and f.en for f in found)


def test_all_faults_come_at_once_and_errors_first():
    def change(body):
        add_state()(body)
        action(body, "return")["fields"] = []
        action(body, "accept")["roles"] = []
        action(body, "verify")["guard_words"] = None
        body["states"]["filed"]["limit_minutes"] = "soon"

    found = faults(drawn(change), STAFF)
    assert {"unreachable", "return_without_reason", "no_role", "bad_limit", "guard_words"} <= {f.rule for f in found}
    levels = [f.level for f in found]
    assert levels == sorted(levels)  # "error" comes before "warning" by the alphabet too


def test_a_dead_end_is_where_nothing_leads_out_and_where_it_only_goes_round():
    def ring(body):
        add_state("left")(body)
        add_state("right")(body)
        add_action(code="in", to="left")(body)
        add_action(code="over", to="right", **{"from": ["left"]})(body)
        add_action(code="back", to="left", **{"from": ["right"]})(body)

    found = {f.code for f in faults(drawn(ring)) if f.rule == "dead_end"}
    assert found == {"left", "right"}


def test_a_timer_of_the_system_lets_a_case_leave():
    def lapse(body):
        leave_review(body)
        action(body, "extra")["roles"] = ["system"]
        body["states"]["review"]["timer"] = {"limit": "5 工作日", "action": "extra"}

    assert "nobody_leaves" not in {f.rule for f in faults(drawn(lapse), STAFF)}


@pytest.mark.parametrize("body", [None, [], "flow", {}, {"states": [1], "actions": [None], "start": 3}])
def test_what_is_no_flow_at_all_is_a_fault_and_no_crash(body):
    assert any(f.level == "error" for f in faults(body))


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "=", "filed", "x y", "system"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["zh", "code"]), inner, max_size=2),
    max_leaves=4,
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20), _JUNK), min_size=1, max_size=4))
def test_whatever_is_broken_a_body_without_errors_is_one_the_engine_takes(changes):
    body = copy.deepcopy(BODY)
    parts = [*body["actions"], *body["states"].values(), body["start"], body]
    for which, key, junk in changes:
        part = parts[which % len(parts)]
        names = [*sorted(part), "timer", "limit", "owners"]
        part[names[key % len(names)]] = junk
    bad = [f for f in faults(body, STAFF) if f.level == "error"]
    if not bad:
        parse(body)
        return
    assert all(f.zh and f.en for f in bad)


def test_a_body_the_engine_refuses_has_errors():
    for change in (add_state(), put("action:accept", roles=[]), add_action(to="nowhere")):
        body = drawn(change)
        with pytest.raises((errors.DefinitionBad, KeyError, TypeError)):
            parse(body)
        assert any(f.level == "error" for f in faults(body))
