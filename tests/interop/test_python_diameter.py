"""The node of the `diameter` package as a gateway: its own messages, timers and state machine."""

import itertools
import os
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from diameter.message import constants as named
from diameter.message.avp import grouped
from diameter.message.commands import (
    AbortSessionRequest,
    CreditControlRequest,
    ReAuthRequest,
    SessionTerminationRequest,
)
from diameter.node import Node
from diameter.node.application import SimpleThreadingApplication

from ocs.provisioning import session_requests
from protocol.base import CommandCode, DisconnectPeerRequest
from tests.support.blackbox import Subscriber, World
from tests.support.blackbox_asking import row_of, until_state
from tests.support.blackbox_client import EUR, OCS_HOST, OCS_REALM, PS, SMS, Answer
from tests.support.wiretap import Wiretap

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("python-diameter")]
GATEWAY, SECOND, PROBING = (f"pgw{number}.net.example" for number in (1, 2, 3))
REALM = "net.example"
TIMEOUT_SECONDS = 10
TW, JITTER, SLACK = 6, 2, 3
INITIAL, UPDATE, TERMINATION, EVENT = 1, 2, 3, 4
DEBIT, REFUND, CHECK, PRICE = range(4)
TERMINATE, REDIRECT = 0, 1
FORCED_REAUTHORISATION = 7
MB = 1_000_000


class Questions:
    """What the server asks the node: every RAR and ASR, answered with what a test wants."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        """The Result-Code by Session-Id."""
        self.came: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def answer(self, application: SimpleThreadingApplication, message: Any) -> Any:
        """Called by the node on a thread of its own."""
        self.came.put(message)
        reply = application.generate_answer(message, self.codes[message.session_id])
        reply.session_id = message.session_id
        return reply

    def next(self, session: "Session") -> Any:
        """Return the next one, which is about this session."""
        message = self.came.get(timeout=TIMEOUT_SECONDS)
        assert message.session_id == session.id
        return message


class Gateway(NamedTuple):
    """A node of the package that is connected with the server."""

    node: Node
    application: SimpleThreadingApplication
    tap: Wiretap
    questions: Questions

    def ask(self, request: Any) -> Any:
        """Send a request and return the answer as the package reads it."""
        return self.application.send_request(request, TIMEOUT_SECONDS)


@contextmanager
def gateway_of(world: World, name: str, **timers: int) -> Iterator[Gateway]:
    """Start a node and leave when the test does; its goodbye is on the tap afterwards."""
    node = Node(name, REALM, vendor_ids=[named.VENDOR_TGPP])
    node.wakeup_interval = 1
    for timer, seconds in timers.items():
        setattr(node, timer, seconds)
    questions = Questions()
    application = SimpleThreadingApplication(
        named.APP_DIAMETER_CREDIT_CONTROL_APPLICATION,
        is_auth_application=True,
        request_handler=questions.answer,
    )
    with Wiretap(world.server.addresses[0]) as tap:
        host, port = tap.address
        peer = node.add_peer(
            f"aaa://{OCS_HOST}:{port};transport=tcp", OCS_REALM, [host], is_persistent=True
        )
        # It takes requests for its own realm only where that is said to belong to the peer too.
        node.add_application(application, [peer], [REALM])
        node.start()
        try:
            application.wait_for_ready(TIMEOUT_SECONDS)
            yield Gateway(node, application, tap, questions)
        finally:
            node.stop(TIMEOUT_SECONDS)
            for pipe in (node.interrupt_read, node.interrupt_write):
                os.close(pipe)


@pytest.fixture(scope="module")
def gateway(interop_world: World) -> Iterator[Gateway]:
    """A node that sends no watchdogs of its own as long as these tests last."""
    with gateway_of(interop_world, GATEWAY, idle_timeout=600) as gateway:
        yield gateway


class Session:
    """One credit-control session in the words of the package; numbers its requests by itself."""

    def __init__(self, gateway: Gateway, subscriber: Subscriber, context: str = PS) -> None:
        self.gateway, self.subscriber, self.context = gateway, subscriber, context
        self.id = gateway.node.session_generator.next_id()
        self.numbers = itertools.count()

    def request(self, kind: int) -> CreditControlRequest:
        """Return the next request without its units."""
        request = CreditControlRequest()
        request.session_id = self.id
        request.origin_host = self.gateway.node.origin_host.encode()
        request.origin_realm = REALM.encode()
        request.destination_realm = OCS_REALM.encode()
        request.auth_application_id = 4
        request.service_context_id = self.context
        request.cc_request_type = kind
        request.cc_request_number = next(self.numbers)
        request.event_timestamp = datetime.now(UTC)
        request.add_subscription_id(
            named.E_SUBSCRIPTION_ID_TYPE_END_USER_E164, self.subscriber.msisdn
        )
        if kind == TERMINATION:
            request.termination_cause = named.E_TERMINATION_CAUSE_DIAMETER_LOGOUT
        return request

    def ask(self, kind: int, **service: Any) -> Any:
        """Send the next request with one MSCC; ``service`` are its members."""
        request = self.request(kind)
        if service:
            request.multiple_services_indicator = 1
            request.add_multiple_services_credit_control(**service)
        return self.checked(request)

    def event(self, action: int, **service: Any) -> Any:
        """Send an event with one MSCC."""
        request = self.request(EVENT)
        request.requested_action = action
        request.add_multiple_services_credit_control(**service)
        return self.checked(request)

    def checked(self, request: CreditControlRequest) -> Any:
        """Send a request and check what every answer says about it."""
        answer = self.gateway.ask(request)
        assert answer.session_id == self.id
        assert answer.origin_host == OCS_HOST.encode()
        assert answer.origin_realm == OCS_REALM.encode()
        assert not answer.header.is_error and answer.header.is_proxyable
        assert answer.auth_application_id == 4
        assert answer.cc_request_type == request.cc_request_type
        assert answer.cc_request_number == request.cc_request_number
        return answer


def asked(**units: Any) -> grouped.RequestedServiceUnit:
    return grouped.RequestedServiceUnit(**units)


def used(**units: Any) -> grouped.UsedServiceUnit:
    return grouped.UsedServiceUnit(**units)


@pytest.mark.rule("T025", "B-041")
def test_the_package_connects(world, gateway):
    (cer,) = gateway.tap.seen(257, from_client=True, request=True)
    (cea,) = gateway.tap.seen(257, from_client=False, request=False)
    assert Answer(cer.message, cea.message).check().code == 2001
    (connection,) = gateway.node.connections.values()
    assert connection.host_identity == OCS_HOST
    assert connection.auth_application_ids == [4]


@pytest.mark.rule("G-007", "G-103", "T128")
def test_a_session_of_several_services(world, gateway):
    a1 = world.account()
    session = Session(gateway, a1)
    opened = session.ask(INITIAL)
    assert opened.result_code == 2001 and opened.multiple_services_credit_control == []

    request = session.request(UPDATE)
    for rating_group, units in ((100, asked()), (200, asked(cc_total_octets=2 * MB))):
        request.add_multiple_services_credit_control(
            requested_service_unit=units, rating_group=rating_group
        )
    first, second = session.checked(request).multiple_services_credit_control
    assert (first.rating_group, second.rating_group) == (100, 200)
    assert (first.result_code, second.result_code) == (2001, 2001)
    assert first.granted_service_unit.cc_total_octets == 10 * MB
    assert second.granted_service_unit.cc_total_octets == 2 * MB
    assert first.validity_time == 30
    world.check_money(a1, "10.00", "0.90")

    update = session.ask(
        UPDATE,
        requested_service_unit=asked(),
        used_service_unit=[used(cc_total_octets=10 * MB + 1, reporting_reason=3)],
        rating_group=100,
    )
    (service,) = update.multiple_services_credit_control
    assert service.granted_service_unit.cc_total_octets == 10 * MB
    world.check_money(a1, "9.45", "0.90")

    request = session.request(TERMINATION)
    for rating_group, total in ((100, 4 * MB - 1), (200, MB)):
        request.add_multiple_services_credit_control(
            used_service_unit=[used(cc_total_octets=total)], rating_group=rating_group
        )
    assert session.checked(request).result_code == 2001
    # 14 000 000 octets of rating group 100 in all, however they were reported.
    world.check_money(a1, "9.10", "0")
    assert world.session_state(session.id) == "closed"


@pytest.mark.rule("T191", "T193")
def test_the_last_units(world, gateway):
    a2 = world.account("A2")
    session = Session(gateway, a2)
    answer = session.ask(INITIAL, requested_service_unit=asked(), rating_group=100)
    (service,) = answer.multiple_services_credit_control
    assert service.granted_service_unit.cc_total_octets == 4 * MB
    assert service.final_unit_indication.final_unit_action == TERMINATE
    ended = session.ask(
        TERMINATION, used_service_unit=[used(cc_total_octets=4 * MB)], rating_group=100
    )
    assert ended.result_code == 2001
    world.check_money(a2, "0.03", "0")


@pytest.mark.rule("T194")
def test_the_way_to_the_portal(world, gateway):
    session = Session(gateway, world.account("A9"))
    answer = session.ask(INITIAL, requested_service_unit=asked(), rating_group=100)
    (service,) = answer.multiple_services_credit_control
    final = service.final_unit_indication
    assert final.final_unit_action == REDIRECT
    assert final.redirect_server.redirect_address_type == 2
    assert final.redirect_server.redirect_server_address == "http://topup.example/"


@pytest.mark.rule("T208", "T214", "T218", "T221")
def test_events(world, gateway):
    a1 = world.account()
    one = {"requested_service_unit": asked(cc_service_specific_units=1), "rating_group": 1}

    debited = Session(gateway, a1, SMS).event(DEBIT, **one)
    (service,) = debited.multiple_services_credit_control
    assert service.granted_service_unit.cc_service_specific_units == 1
    world.check_money(a1, "9.93", "0")

    checked = Session(gateway, a1, SMS).event(CHECK, **one)
    assert (checked.result_code, checked.check_balance_result) == (2001, 0)

    priced = Session(gateway, a1, SMS).event(
        PRICE, requested_service_unit=asked(cc_service_specific_units=3), rating_group=1
    )
    cost = priced.cost_information
    assert cost.unit_value.value_digits * 10**cost.unit_value.exponent == pytest.approx(0.21)
    assert cost.currency_code == EUR
    world.check_money(a1, "9.93", "0")

    token = service.refund_information
    assert token
    session = Session(gateway, a1, SMS)
    refund = session.request(EVENT)
    refund.requested_action = REFUND
    refund.add_multiple_services_credit_control(**one)
    (service,) = refund.multiple_services_credit_control
    service.refund_information = token
    assert session.checked(refund).result_code == 2001
    world.check_money(a1, "10.00", "0")


@pytest.mark.rule("T145")
def test_a_subscriber_nobody_knows(world, gateway):
    nobody = world.account()._replace(msisdn="19990000")
    answer = Session(gateway, nobody).ask(INITIAL, requested_service_unit=asked(), rating_group=100)
    assert answer.result_code == 5030
    assert answer.multiple_services_credit_control == []


@pytest.mark.rule("B-154", "T241", "T242")
@pytest.mark.parametrize("opened,code", [(True, 2001), (False, 5002)])
def test_a_session_is_ended_by_its_own_command(world, gateway, opened, code):
    a1 = world.account()
    session = Session(gateway, a1)
    if opened:
        session.ask(INITIAL, requested_service_unit=asked(), rating_group=100)
        world.check_money(a1, "10.00", "0.50")
    request = SessionTerminationRequest()
    request.session_id = session.id
    request.origin_host, request.origin_realm = GATEWAY.encode(), REALM.encode()
    request.destination_realm = OCS_REALM.encode()
    request.auth_application_id = 4
    request.termination_cause = named.E_TERMINATION_CAUSE_DIAMETER_LOGOUT
    assert gateway.ask(request).result_code == code
    world.check_money(a1, "10.00", "0")


@pytest.mark.rule("B-151", "C-092", "T227")
def test_the_package_is_asked_for_a_report(world, gateway):
    a1 = world.account()
    session = Session(gateway, a1)
    session.ask(INITIAL, requested_service_unit=asked(), rating_group=100)
    gateway.questions.codes[session.id] = 2002
    session_requests.reauth(world.desk, session.id, None)
    request = gateway.questions.next(session)
    assert isinstance(request, ReAuthRequest)
    assert (request.destination_host, request.destination_realm) == (
        GATEWAY.encode(),
        REALM.encode(),
    )
    assert (request.origin_host, request.auth_application_id) == (OCS_HOST.encode(), 4)
    assert request.re_auth_request_type == named.E_RE_AUTH_REQUEST_TYPE_AUTHORIZE_ONLY
    until_state(world, session.id, "answered")
    assert row_of(world, session.id)["result_code"] == 2002
    request = session.request(UPDATE)
    request.add_multiple_services_credit_control(
        requested_service_unit=asked(),
        used_service_unit=[used(cc_total_octets=3 * MB, reporting_reason=FORCED_REAUTHORISATION)],
        rating_group=100,
    )
    report = session.checked(request)
    (service,) = report.multiple_services_credit_control
    assert service.granted_service_unit.cc_total_octets == 10 * MB
    world.check_money(a1, "9.85", "0.50")
    session.ask(TERMINATION)


@pytest.mark.rule("B-151", "C-094", "T239")
def test_the_package_is_asked_to_end_a_session(world, gateway):
    a1 = world.account()
    session = Session(gateway, a1)
    session.ask(INITIAL, requested_service_unit=asked(), rating_group=100)
    gateway.questions.codes[session.id] = 2001
    session_requests.abort(world.desk, session.id)
    request = gateway.questions.next(session)
    assert isinstance(request, AbortSessionRequest)
    assert (request.destination_host, request.auth_application_id) == (GATEWAY.encode(), 4)
    until_state(world, session.id, "answered")
    world.check_money(a1, "10.00", "0.50")
    assert world.session_state(session.id) == "open", "its last report is still to come"
    ended = session.ask(
        TERMINATION, used_service_unit=[used(cc_total_octets=3 * MB)], rating_group=100
    )
    assert ended.result_code == 2001
    world.check_money(a1, "9.85", "0")
    assert world.session_state(session.id) == "closed"


@pytest.mark.rule("C-093", "S-12", "T230")
def test_the_package_does_not_know_the_session_any_more(world, gateway):
    a1 = world.account()
    session = Session(gateway, a1)
    session.ask(INITIAL, requested_service_unit=asked(), rating_group=100)
    gateway.questions.codes[session.id] = 5002
    session_requests.reauth(world.desk, session.id, None)
    gateway.questions.next(session)
    world.eventually(lambda: world.session_state(session.id) != "open")
    world.check_money(a1, "10.00", "0")


def watchdogs(tap: Wiretap, *, from_client: bool) -> bool:
    """Whether one side asked and the other said that all is well."""
    asked_for = {
        one.header.hop_by_hop for one in tap.seen(280, from_client=from_client, request=True)
    }
    return any(
        one.header.hop_by_hop in asked_for and Answer(b"", one.message).code == 2001
        for one in tap.seen(280, from_client=not from_client, request=False)
    )


@pytest.mark.slow
@pytest.mark.rule("B-060", "T053")
def test_the_server_probes_the_package(world, gateway):
    gateway.tap.wait_for(lambda: watchdogs(gateway.tap, from_client=False), TW + JITTER + SLACK)
    session = Session(gateway, world.account())
    assert session.ask(INITIAL).result_code == 2001


@pytest.mark.slow
@pytest.mark.rule("T052", "T059", "B-064")
def test_the_package_probes_the_server_and_leaves(world):
    with gateway_of(world, PROBING, idle_timeout=1) as gateway:
        gateway.tap.wait_for(lambda: watchdogs(gateway.tap, from_client=True))
        tap = gateway.tap
    (goodbye,) = tap.seen(CommandCode.DISCONNECT_PEER, from_client=True, request=True)
    (answer,) = tap.seen(CommandCode.DISCONNECT_PEER, from_client=False, request=False)
    assert DisconnectPeerRequest.read(goodbye.message).disconnect_cause == 0
    assert Answer(goodbye.message, answer.message).check().code == 2001
