"""Guided intake: what a guide must be, and what chosen situations come to."""

import copy

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gis import errors, guides
from gis.settings import ROOT

TWO = {"zh": "某", "en": "Some"}


def option(code, **more):
    return {"code": code, "name": {"zh": f"{code}情形", "en": code}} | more


def situation(code, category="event:0102", **more):
    return option(code, category=category, **more)


def a_guide(**changes):
    body = {
        "code": "g",
        "name": TWO,
        "channels": ["public"],
        "materials": {m: {"name": TWO, "type": "photo"} for m in ("scene", "close", "plate")},
        "questions": [
            {"code": "what", "text": TWO, "options": [option("rubbish", next="which"), situation("other")]},
            {
                "code": "which",
                "text": TWO,
                "many": True,
                "options": [
                    situation("bag", material=["scene", "close"], fill={"severity": 1}),
                    situation("fire", "event:0115", material=["scene"], fill={"severity": 2}, merges=["bag", "dirt"]),
                    situation("dirt", "event:0104", material=["close", "plate"], fill={"description": "脏"}),
                    situation("car", "event:0107", material=["plate"], excludes=["bag"]),
                ],
            },
        ],
    }
    return copy.deepcopy(body | changes)


GUIDE = guides.parse(a_guide())


def test_merged_situations_are_one_report_with_each_material_once():
    found = guides.resolve(GUIDE, ["bag", "dirt", "fire"])
    assert len(found) == 1
    one = found[0]
    assert (one.kind, one.category) == ("event", "0115"), "the one that merges the others leads"
    assert [o.code for o in one.because] == ["fire", "bag", "dirt"]
    assert [m.code for m in one.material] == ["scene", "close", "plate"]
    assert dict(one.fill) == {"severity": 2, "description": "脏"}, "the leading one has the last word"


def test_situations_that_do_not_merge_are_reports_of_their_own():
    assert [one.category for one in guides.resolve(GUIDE, ["dirt", "bag"])] == ["0102", "0104"]
    assert guides.resolve(GUIDE, []) == []


def test_situations_that_exclude_each_other_are_refused_in_words():
    with pytest.raises(errors.SituationsExclude) as refused:
        guides.resolve(GUIDE, ["bag", "car"])
    assert "bag情形" in refused.value.title_zh
    assert "car情形" in refused.value.title_zh
    assert "car" in refused.value.title_en
    with pytest.raises(errors.SituationUnknown):
        guides.resolve(GUIDE, ["rubbish"])


@given(st.sets(st.sampled_from(sorted(GUIDE.situations))), st.randoms())
def test_the_order_of_choosing_changes_nothing_and_nothing_chosen_is_lost(chosen, chance):
    shuffled = sorted(chosen)
    chance.shuffle(shuffled)
    if {"bag", "car"} <= chosen:
        with pytest.raises(errors.SituationsExclude):
            guides.resolve(GUIDE, shuffled)
        return
    found = guides.resolve(GUIDE, shuffled)
    assert found == guides.resolve(GUIDE, sorted(chosen))
    because = [o.code for one in found for o in one.because]
    assert sorted(because) == sorted(chosen)
    for one in found:
        codes = [m.code for m in one.material]
        assert len(codes) == len(set(codes))
        assert set(codes) == {m for o in one.because for m in o.material}


def broken(change):
    body = a_guide()
    change(body)
    return body


WHICH = 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda b: b["questions"][0]["options"][0].update(next="nowhere"), "unknown question"),
        (lambda b: b["questions"].append({"code": "x", "text": TWO, "options": [situation("y")]}), "never asked"),
        (lambda b: b["questions"][1]["options"].append(option("back", next="what")), "circle"),
        (lambda b: b["questions"][0]["options"].append(option("nothing")), "one of them"),
        (lambda b: b["questions"][0]["options"].append(situation("both", next="which")), "one of them"),
        (lambda b: b["questions"][1]["options"].append(situation("bag")), "offered twice"),
        (lambda b: b["questions"][1]["options"][0].update(merges=["nobody"]), "unknown situation"),
        (lambda b: b["questions"][1]["options"][0].update(merges=["car"]), "both merges and excludes"),
        (lambda b: b["questions"][1]["options"][0].update(excludes=["bag"]), "itself"),
        (lambda b: b["questions"][1]["options"][0].update(material=["gold"]), "unknown material"),
        (lambda b: b["questions"][1]["options"][0].update(fill={"colour": 1}), "unknown field to fill"),
        (lambda b: b["questions"][1]["options"][0].update(category="animal:0102"), "category is component or event"),
        (lambda b: b.update(questions=[]), "needs questions"),
    ],
)
def test_a_guide_that_makes_no_sense_is_refused(change, why):
    with pytest.raises(errors.DefinitionBad) as refused:
        guides.parse(broken(change))
    assert why in refused.value.detail["why"]


def test_the_shipped_guide_is_whole():
    body = yaml.safe_load((ROOT / "data" / "guides" / "street.yaml").read_text("utf-8"))
    guide = guides.parse(body)
    for code in guide.situations:
        assert len(guides.resolve(guide, [code])) == 1
    pictures = {o.picture for q in guide.questions.values() for o in q.options}
    drawn = (ROOT / "layers/web/src/shared/pictures.ts").read_text("utf-8")
    assert not {p for p in pictures if f"\n  {p}: " not in drawn}, "every picture the guide names is drawn"
