"""Forms: what a definition must be, what values fit, and that the page and the server judge alike."""

import copy
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gis import errors, forms
from gis.settings import ROOT

TWO = {"zh": "某", "en": "Some"}
HASH = "ab" * 32


def choice(value, parent=None):
    return {"value": value, "label": TWO} | ({"parent": parent} if parent else {})


def a_form(**changes):
    body = {
        "code": "f",
        "name": TWO,
        "kinds": ["case"],
        "channels": ["hotline"],
        "lists": {
            "kind": [choice("road"), choice("water")],
            "matter": [choice("hole", "road"), choice("sign", "road"), choice("leak", "water")],
        },
        "fields": [
            {"name": "matter", "type": "code", "list": "matter", "within": "kind", "label": TWO},
            {"name": "kind", "type": "code", "list": "kind", "label": TWO, "required": True},
            {"name": "phone", "type": "phone", "label": TWO, "personal": True},
            {"name": "call", "type": "boolean", "label": TWO},
            {"name": "when", "type": "date", "label": TWO},
            {"name": "depth", "type": "number", "label": TWO, "min": 0, "max": 5},
            {"name": "proof", "type": "photo", "label": TWO, "deferrable": True},
            {"name": "words", "type": "text", "label": TWO, "length": 10},
        ],
        "rules": [
            {"when": {"call": True}, "show": ["when"], "require": ["phone", "when"]},
            {"when": {"kind": "road"}, "fill": {"depth": 1}, "require": ["proof"]},
            {"when": {"depth": [4, 5]}, "restrict": {"matter": ["hole"]}},
        ],
    }
    return copy.deepcopy(body | changes)


def faults(values, promised=(), form=None):
    checked = forms.check(form or forms.parse(a_form()), values, promised)
    return {f.field: f.code for f in checked.faults}


def test_a_form_shows_requires_fills_and_restricts():
    form = forms.parse(a_form())
    assert faults({}) == {"kind": "required"}
    assert faults({"kind": "water"}) == {}
    assert faults({"kind": "road"}) == {"proof": "required"}
    full = forms.check(form, {"kind": "road", "proof": [HASH], "matter": "sign", "words": "  坑\n"})
    assert (full.values["depth"], full.values["words"], full.faults) == (1, "坑", ())
    assert faults({"kind": "road", "proof": [HASH], "depth": 4, "matter": "sign"}) == {"matter": "choice"}
    assert faults({"kind": "water", "matter": "hole"}) == {"matter": "choice"}, "the parent decides the choices"
    assert faults({"kind": "water", "call": True}) == {"phone": "required", "when": "required"}


def test_a_hidden_fields_value_is_dropped():
    checked = forms.check(forms.parse(a_form()), {"kind": "water", "when": "no date", "call": False})
    assert (dict(checked.values), checked.faults) == ({"kind": "water", "call": False}, ())


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"strange": 1}, {"strange": "unknown"}),
        ({"depth": True}, {"depth": "type"}),
        ({"depth": 5.5}, {"depth": "range"}),
        ({"depth": float("nan")}, {"depth": "type"}),
        ({"depth": 10**400}, {"depth": "range"}),
        ({"call": "yes"}, {"call": "type"}),
        ({"words": "十" * 11}, {"words": "length"}),
        ({"words": "a\x00"}, {"words": "type"}),
        ({"phone": "abc"}, {"phone": "phone"}),
        ({"phone": "1234"}, {"phone": "phone"}),
        ({"proof": ["../x"]}, {"proof": "photo"}),
        ({"proof": [HASH] * 10}, {"proof": "photo"}),
        ({"call": True, "phone": "13800001234", "when": "2026-02-30"}, {"when": "date"}),
        ({"kind": "sky"}, {"kind": "choice"}),
    ],
)
def test_every_fault_names_its_field(values, fault):
    assert faults({"kind": "water"} | values) == fault


def test_what_may_come_later_may_be_promised_and_nothing_else():
    form = forms.parse(a_form())
    assert forms.check(form, {"kind": "road"}, ["proof", "kind"]).promised == ("proof",)
    assert faults({}, promised=["kind"]) == {"kind": "required"}
    with pytest.raises(errors.FormInvalid) as refused:
        forms.accept(form, {"kind": "road", "words": "十" * 11})
    assert {one["field"]: one["code"] for one in refused.value.detail["fields"]} == {
        "proof": "required",
        "words": "length",
    }


def broken(change):
    body = a_form()
    change(body)
    return body


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda b: b["rules"][0]["show"].append("nobody"), "unknown field: nobody"),
        (lambda b: b["rules"].append({"when": {"nobody": 1}, "show": ["words"]}), "unknown field: nobody"),
        (lambda b: b["rules"].append({"when": {"proof": "*"}, "require": ["kind"]}), "circle"),
        (lambda b: b["rules"].append({"when": {"words": "x"}, "require": ["words"]}), "circle"),
        (lambda b: b["rules"].append({"when": {"kind": "sky"}, "require": ["words"]}), "no value of kind"),
        (lambda b: b["rules"].append({"when": {"kind": "road"}, "fill": {"depth": 99}}), "no value of depth"),
        (lambda b: b["rules"].append({"when": {"kind": "road"}}), "what then"),
        (lambda b: b["fields"].append(dict(b["fields"][0])), "defined twice"),
        (lambda b: b["fields"][0].update(type="colour"), "unknown field type"),
        (lambda b: b["fields"][0].update(list="nolist"), "unknown list"),
        (lambda b: b["fields"][0].update(within="nobody"), "unknown field: nobody"),
        (lambda b: b["fields"][7].update(colour="red"), "unknown key: colour"),
        (lambda b: b["fields"][5].update(min=9), "above max"),
        (lambda b: b["fields"][3].update(personal=True), "personal"),
        (lambda b: b["fields"][7].update(label={"zh": "只有中文"}), "zh and en"),
        (lambda b: b.update(fields="none"), "not a list"),
    ],
)
def test_a_definition_that_makes_no_sense_is_refused_with_its_place(change, why):
    with pytest.raises(errors.DefinitionBad) as refused:
        forms.parse(broken(change))
    assert why in refused.value.detail["why"]
    assert refused.value.detail["where"]


def test_two_forms_for_the_same_reports_are_refused():
    one = forms.parse(a_form())
    forms.check_names([one], ["case"], ["hotline"])
    with pytest.raises(errors.DefinitionBad):
        forms.check_names([one, replace(one, code="g")], ["case"], ["hotline"])
    with pytest.raises(errors.DefinitionBad):
        forms.check_names([one], ["case"], ["patrol"])


# --- The page judges alike ----------------------------------------------------------------------------------------

SHIPPED = [yaml.safe_load(path.read_text("utf-8")) for path in sorted((ROOT / "data" / "forms").glob("*.yaml"))]
BODIES = [a_form(), *SHIPPED]
ODD = st.sampled_from(
    [
        *("", " ", "*", "road", "hole", "leak", "138 0000 1234", "８６13800001234", "12345", "二〇二六"),
        *("2026-02-28", "2026-02-30", "0000-01-01", "🌊" * 10, "字" * 11, "\u00a0x\u3000", "a\x00b"),
        *(True, False, None, 0, 1, 4, 5, 5.5, -0.0, 1e300, [], [HASH], [HASH, HASH], ["x"], [HASH] * 10),
    ]
)


def values_of(body):
    lists = body.get("lists", {})
    chosen = {}
    for field in body["fields"]:
        offered = [c["value"] for c in field.get("choices") or lists.get(field.get("list"), [])]
        likely = [st.sampled_from(offered)] if offered else []
        likely += [st.booleans()] if field["type"] == "boolean" else []
        likely += [st.text(max_size=12)] if field["type"] in ("text", "phone") else []
        chosen[field["name"]] = st.one_of(*likely, ODD)
    return st.fixed_dictionaries({}, optional=chosen | {"strange": ODD})


TRIALS = st.integers(0, len(BODIES) - 1).flatmap(
    lambda n: st.tuples(st.just(n), values_of(BODIES[n]), st.lists(st.sampled_from(["proof", "evidence"]), max_size=2))
)
JUDGE = """
const ts = require('typescript'), fs = require('fs'), vm = require('vm')
const source = fs.readFileSync('src/shared/forms.ts', 'utf8')
const built = ts.transpileModule(source, {compilerOptions: {module: 'commonjs', target: 'es2022'}}).outputText
const module_ = {exports: {}}
vm.runInThisContext(`(function (exports, module) {${built}\n})`)(module_.exports, module_)
const {bodies, trials} = JSON.parse(fs.readFileSync(0, 'utf8'))
console.log(JSON.stringify(trials.map(([n, values, promised]) => {
  const {values: held, faults, promised: later, fields} = module_.exports.check(bodies[n], values, promised)
  return {held, faults, later, required: fields.filter(f => f.required).map(f => f.field.name).sort()}
})))
"""


def test_the_page_and_the_server_judge_alike():
    # Where the system has none, the set-up puts Node.js beside this Python.
    node = shutil.which("node") or str(Path(sys.executable).parent / "node")
    web = ROOT / "layers" / "web"
    assert (web / "node_modules" / "typescript").is_dir(), "build the pages first: make setup"
    trials = []

    @settings(max_examples=600, deadline=None, database=None, derandomize=True)
    @given(TRIALS)
    def gather(trial):
        trials.append(trial)

    gather()
    sent = json.dumps({"bodies": BODIES, "trials": trials}, default=str)
    ran = subprocess.run([node, "-e", JUDGE], input=sent, capture_output=True, text=True, cwd=web, check=True)
    answers = json.loads(ran.stdout)
    parsed = [forms.parse(body) for body in BODIES]
    fine = 0
    for (n, values, promised), page in zip(json.loads(sent)["trials"], answers, strict=True):
        server = forms.check(parsed[n], values, promised)
        where = (BODIES[n]["code"], values, promised)
        assert page["faults"] == {f.field: f.code for f in server.faults}, where
        assert page["held"] == dict(server.values), where
        assert page["later"] == list(server.promised), where
        fine += not server.faults
    assert fine > len(trials) / 20, "some of what was tried is valid"
