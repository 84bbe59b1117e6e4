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


def a_person(tx: Connection) -> None:
    accounts.add(tx, "new-one", "新人", "D01", "a long password", [Grant("dispatcher", "town")])


def signed_in(tx: Connection, password: str) -> str:
    who = people.credentials(tx, "new-one")
    assert who.fit(password)
    return people.let_in(tx, who, timedelta(hours=1))


def ended(tx: Connection, opaque: str) -> bool:
    try:
        people.by_token(tx, opaque)
    except errors.NotAuthenticated:
        return True
    return False


def test_machine_tokens_act_as_the_account_until_they_end(tx: Connection) -> None:
    a_person(tx)
    first, second = (accounts.give_token(tx, "new-one", label, timedelta(days=1)) for label in ("one", "two"))
    over = accounts.give_token(tx, "new-one", "over", timedelta(hours=-1))
    assert people.by_token(tx, first).username == "new-one"
    assert ended(tx, over)
    session = signed_in(tx, "a long password")
    assert accounts.revoke_tokens(tx, "new-one", "one") == 1
    assert (ended(tx, first), ended(tx, second), ended(tx, session)) == (True, False, False)
    assert accounts.revoke_tokens(tx, "new-one") == 2
    assert (ended(tx, second), ended(tx, session)) == (True, False)
    with pytest.raises(errors.NotFound):
        accounts.give_token(tx, "nobody", "x", timedelta(days=1))


def test_a_new_password_ends_sessions_and_the_lock(tx: Connection) -> None:
    a_person(tx)
    session, machine = signed_in(tx, "a long password"), accounts.give_token(tx, "new-one", "m", timedelta(days=1))
    for _ in range(people.LOCK_AFTER):
        people.turn_away(tx, people.credentials(tx, "new-one"))
    with pytest.raises(errors.LoginLocked):
        people.credentials(tx, "new-one")
    with pytest.raises(errors.PasswordShort):
        accounts.set_password(tx, "new-one", "short")
    accounts.set_password(tx, "new-one", "another password")
    assert not people.credentials(tx, "new-one").fit("a long password")
    assert people.credentials(tx, "new-one").fit("another password")
    assert (ended(tx, session), ended(tx, machine)) == (True, False)


def test_an_account_switched_off_is_nobodys(tx: Connection) -> None:
    a_person(tx)
    session, machine = signed_in(tx, "a long password"), accounts.give_token(tx, "new-one", "m", timedelta(days=1))
    accounts.switch_off(tx, "new-one")
    assert not people.credentials(tx, "new-one").fit("a long password")
    assert (ended(tx, session), ended(tx, machine)) == (True, True)
    with pytest.raises(errors.NotFound):
        accounts.set_password(tx, "new-one", "another password")
