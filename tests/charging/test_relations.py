"""Prices by how the other party is related: friends and family, the own network, others."""

from __future__ import annotations

import pytest

from ocs import yamldoc
from ocs.amounts import Unit
from ocs.catalog.loading.document import load_catalog
from ocs.charging.model.working_set import WorkingSet
from ocs.errors import DocumentError
from ocs.ledger.details import Friend
from tests.support.charging import ACCOUNT, Scenario

CATALOGUE = """
name: Relations
currency: EUR
own_numbers: [34600, 34601]
services:
  voice: {contexts: 32260@3gpp.org, rating_groups: [10], unit: seconds, quota: {slice: 60}}
  sms: {contexts: 32274@3gpp.org, rating_groups: [1], unit: events, quota: {slice: 1, maximum: 10}}
plans:
  basic:
    friends: 2
    services:
      voice:
        prices:
          - {when: {relation: friends}, price: 0.01, per: 1, increment: 1}
          - {when: {relation: on-net}, price: 0.02, per: 1, increment: 1}
          - when: {role: terminating, relation: off-net}
            price: 0.03
            per: 1
            increment: 1
            code: in
          - {price: 0.05, per: 1, increment: 1}
      sms:
        prices:
          - {when: {relation: [friends, on-net]}, price: 0.01}
          - {price: 0.10}
"""
VOICE, SMS = "context=32260@3gpp.org", "context=32274@3gpp.org"
FRIEND, OWN, OTHER = "49301234", "34600111", "4477001"


def make(unit: Unit = Unit.SECONDS, *friends: Friend) -> Scenario:
    scenario = Scenario(load_catalog(yamldoc.parse(CATALOGUE, "relations.yaml")), unit=unit)

    def decide(working_set: WorkingSet) -> None:
        account = working_set.accounts[ACCOUNT].account
        account.details.friends = list(friends)
        working_set.mark_account(account)

    scenario.store.transact([scenario._operator_key()], decide)
    return scenario


@pytest.mark.rule("K-214", "K-215")
def test_what_a_call_costs_to_whom() -> None:
    scenario = make(Unit.SECONDS, Friend(0, FRIEND), Friend(7, OTHER))
    scenario.play(f"""
        I 0 @a {VOICE} called={FRIEND} 10 rsu          => 10 ok 60 | R=0.60
        T 1 @a {VOICE} 10 used=10                      => 10 ok    | B=9.90 R=0
        I 0 @b {VOICE} called={OWN} 10 rsu             => 10 ok 60 | R=1.20
        U 1 @b {VOICE} 10 used=10 rsu                  => 10 ok 60 | B=9.70 R=1.20
        T 2 @b {VOICE} 10 used=10                      => 10 ok    | B=9.50 R=0
        I 0 @c {VOICE} called={OTHER} 10 rsu           => 10 ok 60 | R=3.00
        T 1 @c {VOICE} 10 used=2                       => 10 ok    | B=9.40 R=0
        I 0 @d {VOICE} called=sip:x@example 10 rsu     => 10 ok 60 | R=3.00
        T 1 @d {VOICE}                                 => 2001     | B=9.40 R=0
        I 0 @e {VOICE} role=1 calling_party={OTHER} 10 rsu => 10 ok 60 | R=1.80
        T 1 @e {VOICE} role=1 10 used=10               => 10 ok    | B=9.10 R=0
        I 0 @f {VOICE} role=1 calling_party={FRIEND} 10 rsu => 10 ok 60 | R=0
        T 1 @f {VOICE} role=1 10 used=10               => 10 ok    | B=9.10 R=0
    """)


@pytest.mark.rule("K-214")
def test_friends_of_another_member_are_none_of_mine() -> None:
    scenario = make(Unit.SECONDS, Friend(7, OTHER))
    for member, reserved in ((7, 600_000), (8, 3_000_000)):
        request = scenario.request(f"I 0 @m{member} {VOICE} called={OTHER} 10 rsu")
        request.subscriber_id = member
        scenario.send(request)
        assert scenario.money()[1] == reserved
        scenario.play(f"T 1 @m{member} {VOICE} => 2001 | R=0")


@pytest.mark.rule("K-214")
def test_a_ported_number_is_where_it_leads() -> None:
    scenario = make()
    for routing, reserved in (("", 1_200_000), ("4499", 3_000_000), ("346010", 1_200_000)):
        request = scenario.request(f"I 0 @r{routing} {VOICE} called={OWN} 10 rsu")
        request.attributes.routing_number = routing
        scenario.send(request)
        assert scenario.money()[1] == reserved
        scenario.play(f"T 1 @r{routing} {VOICE} => 2001 | R=0")


@pytest.mark.rule("K-214")
def test_each_recipient_of_a_message_has_its_price() -> None:
    scenario = make(Unit.EVENTS, Friend(0, FRIEND))
    scenario.play(f"""
        E 0 @a {SMS} action=0 recipients={FRIEND},{OTHER},{OWN} 1 rsu => 1 ok 3 | B=9.88
        E 0 @b {SMS} action=0 recipients={OTHER} 1 rsu=2              => 1 ok 2 | B=9.68
    """)


@pytest.mark.rule("K-214")
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("own_numbers: [34600, 34601]\n", "", "on-net and off-net need own_numbers"),
        ("[34600, 34601]", "[34600, +34600]", "is given twice"),
        ("[34600, 34601]", "[home]", "is no prefix"),
        ("relation: friends}", "relation: family}", "'family' is no relation"),
        ("friends: 2", "friends: 51", "51"),
    ],
)
def test_relations_that_cannot_be(old: str, new: str, words: str) -> None:
    with pytest.raises(DocumentError) as caught:
        load_catalog(yamldoc.parse(CATALOGUE.replace(old, new, 1), "relations.yaml"))
    assert any(words in one.message for one in caught.value.problems)
