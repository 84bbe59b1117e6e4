"""Search as people type: pinyin, initials, slips, codes; compared with slow obvious readings of the same rules."""

import time
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from gis import gazetteer, people, place_index
from gis.gazetteer import full_numbers, lookup, neighbours
from gis.place_index import Entry, PlaceIndex
from gis.tables import component, division, place

NAMES = [
    "仁和小学",
    "仁和中学",
    "石各庄村委会",
    "石各庄小卖部",
    "河南村口",
    "裕民路临河路口站",
    "重庆饭店",
    "望泉寺花园A座",
]
INDEX = PlaceIndex([Entry("poi", n, f"裕民路{i}号", 116.6, 40.1) for i, n in enumerate(NAMES, 10)])
letters = st.text("abc石各庄", max_size=9)


def found(typed: str) -> list[str]:
    return [entry.name for entry in INDEX.find(typed, 5)]


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("仁和小学", "仁和小学"),
        ("小学", "仁和小学"),
        ("renhexiaoxue", "仁和小学"),
        ("rhxx", "仁和小学"),
        ("RHZX", "仁和中学"),
        ("shigezhuang", "石各庄小卖部"),
        ("sigezuang", "石各庄小卖部"),  # sounds many do not tell apart
        ("henan", "河南村口"),
        ("chongqing", "重庆饭店"),  # not zhongqing: read by the word
        ("人和小学", "仁和小学"),  # the right sound, the wrong character
        ("仁禾中学", "仁和中学"),
        ("望泉寺化园", "望泉寺花园A座"),
        ("wangquansihauyuan", "望泉寺花园A座"),  # two letters swapped
        ("shigezhaung", "石各庄小卖部"),  # swapped within a sound
        ("石各庄 村委", "石各庄村委会"),
        ("裕民路14号", "河南村口"),
        ("yml", "裕民路临河路口站"),
    ],
)
def test_what_is_typed_finds_what_is_meant(typed, first):
    assert found(typed)[0] == first


def test_nothing_is_found_for_what_means_nothing():
    assert found("xyzq") == found("鑫龘") == found("") == []


def part_distance(word: str, text: str) -> int:
    """The least edit distance of ``word`` to any part of ``text``, by trying every part."""

    def distance(a: str, b: str) -> int:
        rows = [[i + j if not i * j else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
        for i, x in enumerate(a, 1):
            for j, y in enumerate(b, 1):
                rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (x != y))
        return rows[-1][-1]

    return min(distance(word, text[i:j]) for i in range(len(text) + 1) for j in range(i, len(text) + 1))


@given(letters, letters, st.integers(0, 3))
def test_slips_are_the_edit_distance_to_the_nearest_part(word, text, most):
    assert place_index.slips(word, text, most) == min(part_distance(word, text), most + 1)


@given(st.sampled_from(NAMES), st.integers(0, 20), st.sampled_from("abxq"))
def test_one_wrong_letter_in_the_pinyin_still_finds_the_name(name, at, letter):
    sound = "".join(place_index.syllables(name))
    at %= len(sound)
    assert name in found(sound[:at] + letter + sound[at + 1 :])


@given(st.text("0123456789", min_size=5, max_size=5), st.integers(0, 4), st.sampled_from("0123456789"))
def test_every_code_one_slip_away_is_a_neighbour(code, at, digit):
    assert code[:at] + digit + code[at + 1 :] in neighbours(code, 5)
    assert code in neighbours(code[:at] + code[at + 1 :], 5)
    assert code in neighbours(code[:at] + digit + code[at:], 5)
    swapped = code[:at] + code[at : at + 2][::-1] + code[at + 2 :]
    assert code in neighbours(swapped, 5)


def test_a_shortened_number_stands_for_the_newest_whole_ones():
    days = ["20261126", "20261125", "20251126"]
    assert full_numbers("", "", "12", ["RH", "RX"], days[:1]) == ["RH20261126-000012", "RX20261126-000012"]
    assert full_numbers("RX", "1126", "12", ["RH", "RX"], days) == ["RX20261126-000012", "RX20251126-000012"]
    assert full_numbers("RH", "20200101", "7", ["RH"], days) == ["RH20200101-000007"]


def test_codes_and_names_are_found_in_the_town_and_fast(tx):
    caller = people.by_username(tx, "leader")
    code = tx.execute(select(component.c.code).limit(1)).scalar_one()
    wrong = code[:8] + str((int(code[8]) + 1) % 10) + code[9:]
    assert lookup(tx, caller, code)[0]["code"] == code
    assert lookup(tx, caller, f" {code[:6]} {code[6:]} ")[0]["code"] == code
    assert code in [one["code"] for one in lookup(tx, caller, wrong, 50)]
    assert code in [one["code"] for one in lookup(tx, caller, code[:7] + code[8:], 50)]
    name = tx.execute(select(place.c.name).where(place.c.kind == "poi").order_by(place.c.id).limit(1)).scalar_one()
    assert lookup(tx, caller, name)[0]["name"] == name
    spent = []
    for typed in ("rh", "仁和", "shizi", "裕民路", "huayaun", "健身广厂", "110113", "123", name):
        began = time.perf_counter()
        lookup(tx, caller, typed)
        spent.append(time.perf_counter() - began)
    assert sorted(spent)[len(spent) // 2] < 0.05


@pytest.mark.parametrize("typed", ["仁和镇", "仁和", "renhezhen", "rhz"])
def test_the_town_itself_is_found_with_its_extent(tx, typed):
    found = lookup(tx, people.by_username(tx, "leader"), typed)[0]
    whole = func.st_envelope(division.c.geom)
    sides = (getattr(func, f"st_{side}")(whole) for side in ("xmin", "ymin", "xmax", "ymax"))
    extent = tx.execute(select(*sides).where(division.c.level == "township")).one()
    assert (found["kind"], found["name"], found["code"], found["bbox"]) == ("town", "仁和镇", "110113003000", extent)


def test_a_number_with_a_null_or_nonsense_is_no_error(tx):
    nobody = people.by_username(tx, "leader")
    for typed in ("RH-", "----", "9" * 60, "%_%", "'; drop table place", str(uuid4())):
        assert isinstance(lookup(tx, nobody, typed), list)
    assert gazetteer.lookup(tx, nobody, "   ") == []
