"""What connections may cost, by plain counting."""

from types import SimpleNamespace
from typing import Any

import pytest

from protocol.peer import ErrorKind, PeerCounters
from protocol.transport_limits import (
    ADDRESSES_MAX,
    Admission,
    ReadingGate,
    TransportLimits,
    network_of,
)

A, B = "192.0.2.1", "192.0.2.2"


class Door:
    """An Admission with a clock; connections are numbers."""

    def __init__(self, **limits: int) -> None:
        self.admission: Admission[int] = Admission(TransportLimits(**limits))
        self.now = 0.0
        self.last = 0

    def knock(self, address: str = A) -> Any:
        """Why not, or the number of the connection that was made."""
        refusal = self.admission.refusal(address, self.now)
        if refusal is not None:
            return refusal
        self.last += 1
        self.victim = self.admission.entered(self.last, address, self.now)
        return self.last


@pytest.mark.rule("B-009")
def test_connections_of_one_address_have_a_limit_and_others_come_in():
    door = Door(max_connections_per_address=2)
    first = door.knock()
    door.knock()
    assert door.knock() is ErrorKind.TOO_MANY_OF_ADDRESS
    assert isinstance(door.knock(B), int)
    door.admission.left(first, A)
    assert isinstance(door.knock(), int)


@pytest.mark.rule("B-009")
def test_new_connections_of_one_address_have_a_rate():
    door = Door(max_new_connections_per_address=3)
    for _ in range(3):
        door.admission.left(door.knock(), A)
    assert door.knock() is ErrorKind.CONNECTION_RATE
    assert isinstance(door.knock(B), int)
    door.now = 1.0
    assert isinstance(door.knock(), int)


@pytest.mark.rule("B-009")
def test_new_connections_of_all_have_a_rate():
    door = Door(max_new_connections_per_second=3)
    for number in range(3):
        assert isinstance(door.knock(f"198.51.100.{number}"), int)
    assert door.knock() is ErrorKind.CONNECTION_RATE
    door.now = 1.5
    assert isinstance(door.knock(), int)


@pytest.mark.rule("B-009")
def test_the_oldest_unidentified_connection_makes_room():
    door = Door(max_unidentified_connections=2)
    first, second = door.knock(), door.knock()
    door.admission.identified(first)
    third = door.knock()
    assert door.victim is None
    door.knock()
    assert door.victim == second
    door.knock()
    assert door.victim == third
    assert door.admission.unidentified == 2


@pytest.mark.rule("B-009")
def test_a_full_house_is_closed_to_strangers_only_when_all_inside_are_known():
    door = Door(max_connections=2)
    known, silent = door.knock(), door.knock()
    door.admission.identified(known)
    assert door.knock() == 3
    assert door.victim == silent
    door.admission.left(silent, A)
    door.admission.identified(3)
    assert door.knock() is ErrorKind.TOO_MANY_CONNECTIONS


@pytest.mark.rule("B-009")
def test_addresses_that_left_are_forgotten():
    door = Door(max_new_connections_per_second=1_000_000)
    door.knock()
    for number in range(2 * ADDRESSES_MAX):
        address = f"10.0.{number >> 8}.{number & 255}"
        door.admission.left(door.knock(address), address)
    assert len(door.admission._visitors) <= ADDRESSES_MAX + 2
    assert A in door.admission._visitors, "it is still here"


@pytest.mark.parametrize(
    "address,network",
    [
        ("192.0.2.1", "192.0.2.1"),
        ("", ""),
        ("2001:db8:0:1::5", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff::", "2001:db8:0:1::/64"),
        ("::1", "::/64"),
    ],
)
def test_an_ipv6_subscriber_is_one_address(address, network):
    assert network_of(address) == network


def connection(**figures: Any) -> Any:
    base = {"now": 0.0, "unanswered": 0, "unanswered_octets": 0, "fruitless": 0}
    return SimpleNamespace(**{**base, **figures}, counters=PeerCounters())


@pytest.mark.rule("B-009")
@pytest.mark.parametrize("figure", ["unanswered", "unanswered_octets"])
def test_the_gate_shuts_above_what_may_be_in_work_and_opens_at_half_of_it(figure):
    gate = ReadingGate(TransportLimits(max_unanswered_requests=10, max_unanswered_octets=10), 0.0)
    peer = connection()
    seen = []
    for figures in (10, 11, 6, 5, 10, 11):
        setattr(peer, figure, figures)
        seen.append(gate.is_open(peer))
    assert seen == [True, False, False, True, True, False]
    assert peer.counters.errors[ErrorKind.TOO_MANY_UNANSWERED] == 2
    assert gate.opens_at is None


@pytest.mark.rule("B-009")
def test_who_sends_nothing_to_decide_is_read_again_when_the_second_is_over():
    gate = ReadingGate(TransportLimits(max_fruitless_messages_per_second=5), 0.0)
    peer = connection(now=0.25, fruitless=6)
    assert not gate.is_open(peer)
    assert gate.opens_at == 1.0
    peer.now = 0.99
    assert not gate.is_open(peer)
    peer.now = 1.0
    assert gate.is_open(peer)
    peer.fruitless = 6
    assert not gate.is_open(peer)
    assert peer.counters.errors[ErrorKind.FRUITLESS] == 2


def test_a_few_fruitless_messages_over_a_long_time_are_nothing():
    gate = ReadingGate(TransportLimits(max_fruitless_messages_per_second=5), 0.0)
    peer = connection(now=3600.0, fruitless=6)
    assert gate.is_open(peer)
    assert peer.fruitless == 0
