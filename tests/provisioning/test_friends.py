"""Friends and family of a subscriber, on a database."""

import pytest

from ocs import yamldoc
from ocs.errors import ConflictError, NotFoundError, RefusedError, UsageError
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.customers import friends
from ocs.provisioning.desk import Found, find_subscriber
from tests.support.desks import CATALOGUE, NUMBER, Office

ANNA, BEN, CLEO = "4915187650001", "4915187650002", "4915187650003"


def prepared(office: Office) -> Found:
    office.open_account()
    text = yamldoc.read_text(CATALOGUE).replace("  basic:\n", "  basic:\n    friends: 2\n", 1)
    catalogs.publish(office.desk, text, "friends.yaml")
    return find_subscriber(office.desk, f"+{NUMBER}")


def change(
    office: Office, found: Found, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()
) -> list[str]:
    shown = friends.change(office.desk, found, add, remove, office.catalogues.current())
    return [one["number"] for one in shown]


@pytest.mark.rule("K-215")
def test_numbers_are_named_and_forgotten(office: Office) -> None:
    found = prepared(office)
    assert friends.listing(office.desk, found) == []
    assert change(office, found, (f"+{ANNA}", BEN)) == [ANNA, BEN]
    assert change(office, found, (CLEO,), (ANNA,)) == [BEN, CLEO]
    assert friends.listing(office.desk, found) == [{"number": BEN}, {"number": CLEO}]
    actions = office.desk.reports.actions(0, 9, account_id=found.account_id)
    assert [one.action for one in actions].count("subscriber friends") == 2


@pytest.mark.rule("K-215")
@pytest.mark.parametrize(
    ("add", "remove", "error"),
    [
        ((BEN, CLEO), (), RefusedError), ((ANNA,), (), ConflictError),
        ((), (CLEO,), NotFoundError), (("me",), (), UsageError), (("1" * 16,), (), UsageError),
    ],
)
def test_friends_that_cannot_be(
    office: Office, add: tuple[str, ...], remove: tuple[str, ...], error: type[Exception]
) -> None:
    found = prepared(office)
    change(office, found, (ANNA,))
    with pytest.raises(error):
        change(office, found, add, remove)
    assert friends.listing(office.desk, found) == [{"number": ANNA}]
