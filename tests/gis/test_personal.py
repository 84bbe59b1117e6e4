"""Callers' data: sealed, bound, masked, comparable without being readable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gis import errors, personal
from gis.settings import settings


@given(st.text(max_size=60), st.text(max_size=40))
def test_what_is_sealed_opens_only_where_it_belongs(value, bound_to):
    sealed = personal.seal(value, bound_to)
    assert personal.unseal(sealed, bound_to) == value
    assert len(value) < 4 or value.encode() not in sealed
    assert personal.seal(value, bound_to) != sealed, "equal values do not look equal"
    with pytest.raises(errors.SealBroken):
        personal.unseal(sealed, bound_to + "x")
    with pytest.raises(errors.SealBroken):
        personal.unseal(sealed[:-1] + bytes([sealed[-1] ^ 1]), bound_to)
    with pytest.raises(errors.SealBroken):
        personal.unseal(b"", bound_to)


def test_another_secret_opens_nothing_and_gives_other_pseudonyms(monkeypatch):
    sealed, who = personal.seal("张三", "a"), personal.pseudonym("13800001234")
    monkeypatch.setenv("WANGGE_SECRET", "another secret altogether")
    settings.cache_clear()
    try:
        assert personal.pseudonym("13800001234") != who
        with pytest.raises(errors.SealBroken):
            personal.unseal(sealed, "a")
    finally:
        monkeypatch.undo()
        settings.cache_clear()


@pytest.mark.parametrize("written", ["138 0000 1234", "+86-13800001234", "0086 13800001234", "１３８００００１２３４"])
def test_one_number_is_one_subject_however_it_is_written(written):
    assert personal.plain_phone(written) == "13800001234"
    assert personal.pseudonym(written) == personal.pseudonym("13800001234")
    assert personal.pseudonym(written) != personal.pseudonym("13800001235")


@pytest.mark.parametrize(
    ("phone", "masked"), [("13800001234", "138****1234"), ("010-69440000", "010****0000"), ("12345", "****45")]
)
def test_a_masked_number_keeps_its_middle_to_itself(phone, masked):
    assert personal.mask_phone(phone) == masked


def test_a_masked_name_tells_no_length():
    assert personal.mask_name("欧阳娜娜") == personal.mask_name("欧某") == "欧**"
