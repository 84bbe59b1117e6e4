"""Who acts on cases in the tests of the town's rules."""

import pytest

from gis.people import Caller, by_username


@pytest.fixture
def acceptor(tx) -> Caller:
    return by_username(tx, "acceptor1")


@pytest.fixture
def leader(tx) -> Caller:
    """The shift leader."""
    return by_username(tx, "shiftleader1")


@pytest.fixture
def dispatcher(tx) -> Caller:
    return by_username(tx, "dispatcher1")
