"""Taking people on: what they were given they have, and nothing half-made is left."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection

from gis import accounts, errors, people
from gis.people import Grant


def test_a_person_taken_on_signs_in_with_their_roles(tx: Connection) -> None:
    grants = [accounts.parse_grant("dispatcher"), accounts.parse_grant("handler:department:D01")]
    person = accounts.add(tx, "new-one", "新人", "D01", "a long password", grants)
    who = people.credentials(tx, "new-one")
    assert who.fit("a long password")
    opaque = people.let_in(tx, who, timedelta(hours=1))
    assert opaque is not None
    caller = people.by_token(tx, opaque)
    assert (caller.id, caller.name) == (person, "新人")
    assert set(caller.grants) == {Grant("dispatcher", "town"), Grant("handler", "department", "D01")}
    assert not people.credentials(tx, "new-one").fit("a long passwore")


def test_a_user_name_is_used_once(tx: Connection) -> None:
    with pytest.raises(errors.UsernameTaken):
        accounts.add(tx, "admin", "x", "D01", "a long password", [Grant("leader", "town")])


def test_unknown_departments_and_short_passwords_are_refused(tx: Connection) -> None:
    with pytest.raises(errors.DepartmentUnknown):
        accounts.add(tx, "new-one", "x", "D99", "a long password", [Grant("leader", "town")])
    with pytest.raises(errors.PasswordShort):
        accounts.add(tx, "new-one", "x", "D01", "123456789", [Grant("leader", "town")])
    with pytest.raises(errors.NotFound):
        people.by_username(tx, "new-one")


@pytest.mark.parametrize("text", ["king", "inspector:moon:1", "inspector:village", "leader:town:1", ""])
def test_grants_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(errors.RowInvalid):
        accounts.parse_grant(text)
