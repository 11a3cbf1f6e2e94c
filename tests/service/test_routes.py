"""Which connections are ways to a client, and which is the best (RFC 6733 5.3, 6.1)."""

import pytest

from ocs.service.peers.routes import FULL, Reach, Routes, Target
from protocol.base import CapabilitiesExchangeRequest


class Connection:
    """An open connection that may be used, or may not."""

    def __init__(self, can_send_requests=True) -> None:
        self.can_send_requests = can_send_requests

    def send_request(self, message: bytes) -> int:
        raise AssertionError("nobody asked for that")

    def forget_request(self, hop_by_hop: int) -> None:
        raise AssertionError("nobody asked for that")


def capabilities(host, application, realm="net.example"):
    return CapabilitiesExchangeRequest(
        host,
        realm,
        host_ip_addresses=("192.0.2.1",),
        vendor_id=0,
        product_name="",
        auth_application_ids=(application,),
    )


def way(routes, target, tried=(), *, by_any_agent=True):
    """The peer by which a request would go, None for none."""
    route = routes.choose(target, tried, by_any_agent=by_any_agent)
    return route and route.host


@pytest.mark.rule("B-048")
def test_only_who_speaks_credit_control_or_relays_is_a_way():
    routes = Routes(5)
    for host, application in (("a", 1), ("b", 4), ("c", 0xFFFFFFFF)):
        routes.opened(Connection(), capabilities(host, application), is_agent=host == "c")
    assert routes.reach() == Reach({"b": 5, "c": 5}, ("c",))
    assert way(routes, Target("a", "r", "a"), by_any_agent=False) is None
    assert way(routes, Target("B", "r", "x"), by_any_agent=False) == "b"
    assert way(routes, Target("a", "r", "a")) == "c"


@pytest.mark.rule("B-152")
def test_agents_of_the_clients_realm_go_before_others():
    routes = Routes(5)
    for host, realm in (("a", "elsewhere"), ("b", "net.example")):
        routes.opened(Connection(), capabilities(host, 0xFFFFFFFF, realm), is_agent=True)
    target = Target("x", "Net.example.", "y")
    assert way(routes, target) == "b"
    assert way(routes, target, {"b"}) == "a"
    assert way(routes, target, {"a", "b"}) is None


def test_a_way_that_may_not_be_used_now_is_none():
    routes = Routes(5)
    connection = Connection(can_send_requests=False)
    routes.opened(connection, capabilities("a", 4), is_agent=False)
    assert routes.reach() == Reach()
    assert way(routes, Target("a", "r", "a")) is None
    routes.closed(connection)
    assert routes.host_of(connection) == ""


def test_what_is_planned_is_counted_down_way_by_way():
    reach = Reach({"pgw1": 1, "dra1": 1}, ("dra1",))
    target = Target("PGW1.", "net.example", "pgw1")
    assert reach.reserve(target, by_any_agent=False) == "pgw1"
    assert reach.reserve(target, by_any_agent=False) == FULL
    assert reach.reserve(target, by_any_agent=True) == "dra1"
    assert reach.reserve(target, by_any_agent=True) == FULL
    assert reach.reserve(Target("other", "net.example", "other"), by_any_agent=False) is None
