"""A charging server without sockets: a still clock, a store in memory, peers on string wires."""

from collections import deque
from dataclasses import replace
from typing import Any

from twisted.internet.task import Clock as TwistedClock
from twisted.internet.testing import StringTransport

from ocs.amounts import Unit, parse_amount
from ocs.charging.model.messages import Identity, RequestKind
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.clock import NS_PER_SECOND, IdSource, ManualClock
from ocs.ledger import entries
from ocs.ledger.account import Account, AccountStatus, Bucket, Contra, Identifier, OperatorAction
from ocs.service.server import ChargingServer, ServerOptions
from ocs.store.interface import PeerEntry
from ocs.store.memory import MemoryStore
from protocol.base import CapabilitiesExchangeAnswer, CapabilitiesExchangeRequest
from protocol.codec import Header, MessageBuffer, read_header
from protocol.credit_control import (
    CreditControlRequest,
    MultipleServices,
    ServiceUnits,
    SubscriptionId,
    UsedServiceUnit,
)
from protocol.credit_control_reader import read_cca
from protocol.credit_control_writer import write_ccr
from protocol.peer_settings import PeerSettings
from protocol.transport import DiameterFactory
from tests.support.tariffs import make_catalog, make_dearer_catalog, make_telling_catalog

NOON_NS = 1_767_614_400 * NS_PER_SECOND
"""2026-01-05T12:00:00Z."""
HOST, REALM = "ocs1.ocs.example", "ocs.example"
P1 = "pgw1.net.example"
MSISDN, IMSI = "15550001", "001010000000001"


CATALOGUES = {"dearer": make_dearer_catalog, "telling": make_telling_catalog}
"""Catalogues beside that of the golden examples, by what is published as their source."""


class StillLoop(TwistedClock):
    """A reactor whose time is moved by the test; calls from threads are made at once."""

    def callFromThread(self, function, *args: object):  # noqa: N802 -- Twisted's name
        function(*args)


class InlineWorker:
    """Does what it is given at once, on the caller's thread."""

    def submit(self, function, done):
        try:
            result = function()
        except Exception as error:  # noqa: BLE001 -- handed on, as the thread does
            done(None, error)
        else:
            done(result, None)


class HeldWorker(InlineWorker):
    """Keeps what it is given until the test lets it go on, like a busy database."""

    def __init__(self) -> None:
        self.held: deque[tuple[Any, Any]] = deque()

    def submit(self, function, done):
        self.held.append((function, done))

    def run(self):
        """Do the oldest piece of work."""
        super().submit(*self.held.popleft())


def add_account(
    store,
    ids,
    account_id,
    *,
    balance="10.00",
    plan="basic",
    status=AccountStatus.ACTIVE,
    limit="0",
    identities=(("msisdn", MSISDN), ("imsi", IMSI)),
    buckets=(),
):
    """Open an account with money in its main bucket and identities that lead to it."""

    def decide(working_set: WorkingSet) -> None:
        account = Account(account_id, "EUR", plan, status, parse_amount(limit))
        working_set.add_account(account)
        posting = entries.Posting(ids.next_id(), NOON_NS, NOON_NS, Contra.TOP_UP)
        main = Bucket(account_id, ids.next_id(), Unit.MONEY, entries.MAIN_BUCKET)
        working_set.add_bucket(main)
        entries.credit(working_set, main, parse_amount(balance), posting)
        for bucket in buckets:
            amount, bucket.available = bucket.available, 0
            working_set.add_bucket(bucket)
            entries.credit(working_set, bucket, amount, posting)
        working_set.new_identifiers += [
            Identifier(kind, value, account_id) for kind, value in identities
        ]

    key = make_session_key(f"operator {ids.next_id()}", None)
    store.transact([RequestKey(account_id, key, RequestKind.OPERATOR, 0)], decide)


def publish(store, ids, source="golden"):
    """Publish the catalogue of the golden examples, or one of CATALOGUES."""
    action = OperatorAction(ids.next_id(), NOON_NS, "test", "catalog publish", source, "test")
    return store.publish_catalogue(source, "golden", action)


class Wire:
    """A client's end of one connection to a Harness."""

    def __init__(self, harness, address="192.0.2.20") -> None:
        self.harness = harness
        self.protocol = harness.factory.buildProtocol(None)
        self.transport = StringTransport(
            hostAddress=_address("192.0.2.10"), peerAddress=_address(address)
        )
        self.protocol.makeConnection(self.transport)
        self.buffer = MessageBuffer()
        self.count = 0

    def send(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def received(self) -> list[tuple[Header, bytes]]:
        """Everything the server has sent since the last call."""
        self.harness.loop.advance(0)
        self.harness.loop.advance(0)
        self.buffer.feed(self.transport.value())
        self.transport.clear()
        found = []
        while (message := self.buffer.next_message()) is not None:
            found.append((read_header(message), message))
        return found

    def ask(self, message: bytes) -> tuple[Header, bytes]:
        """Send one request and return its answer."""
        self.send(message)
        (answer,) = self.received()
        return answer

    def open(self, host=P1, realm="net.example", **changes: Any):
        """Exchange capabilities and return the CEA."""
        said: dict[str, Any] = {
            "host_ip_addresses": ("192.0.2.20",),
            "vendor_id": 0,
            "product_name": "gateway",
        }
        said |= {"auth_application_ids": (4,)} | changes
        _, message = self.ask(CapabilitiesExchangeRequest(host, realm, **said).write(1, 1))
        return CapabilitiesExchangeAnswer.read(message)

    def ccr(self, request: CreditControlRequest, **flags: Any):
        """Send a CCR and return its CCA as a value."""
        _, message = self.ask(self.encode(request, **flags))
        return read_cca(message)

    def encode(self, request: CreditControlRequest, retransmitted=False) -> bytes:
        self.count += 1
        return write_ccr(request, self.count, 0x1000 + self.count, retransmitted)


class Harness:
    """A whole server over MemoryStore; account 1001 has 10.00 and the first two identities.

    ``beside`` another one it has the same store, and time passes for both together.
    """

    def __init__(
        self, worker=None, options=None, store=None, beside=None, **account: Any
    ) -> None:
        self.clock = beside.clock if beside else ManualClock(NOON_NS)
        self.ids = beside.ids if beside else IdSource(self.clock, 1)
        self.loop = beside.loop if beside else StillLoop()
        store = beside.store if beside else store
        self.store = store or MemoryStore(self.ids)
        self.worker = worker or InlineWorker()
        if store is None:
            publish(self.store, self.ids)
            add_account(self.store, self.ids, 1001, **account)
        base = ServerOptions(HOST, REALM, node=1, peers=(PeerEntry(P1),))
        self.server = ChargingServer(
            replace(base, **(options or {})),
            self.loop,
            self.worker,
            self.store,
            self.clock,
            self.ids,
            lambda source, _name: CATALOGUES.get(source, make_catalog)(),
        )
        settings = PeerSettings(HOST, REALM, origin_state_id=self.server.origin_state_id)
        self.factory = DiameterFactory(
            self.loop, settings, self.server.diameter, self.server.diameter.decide_peer
        )

    def wire(self, **kwargs: Any) -> Wire:
        return Wire(self, **kwargs)

    def open(self, host=P1, **changes: Any) -> Wire:
        wire = Wire(self)
        assert wire.open(host, **changes).result_code == 2001
        return wire

    def pass_time(self, seconds: int) -> None:
        """Let wall clock, monotonic clock and the reactor's timers go on together."""
        for _ in range(seconds):
            self.clock.advance(1)
            self.loop.advance(1)

    def set_clock(self, seconds: int) -> None:
        """Set the wall clock forward, as an operator does, while no time passes."""
        self.clock._now_ns += seconds * NS_PER_SECOND

    def money(self, account_id=1001) -> tuple[int, int]:
        """Balance and reserved money of an account in micro units."""
        state = self.store.account_state(account_id)
        assert state is not None
        buckets = [bucket for bucket in state.buckets if bucket.unit == Unit.MONEY]
        return sum(b.balance for b in buckets), sum(b.held for b in buckets)


def ccr(
    kind, number=0, *services: MultipleServices, session="pgw1.net.example;1;s1", **changes: Any
):
    """A CCR of P1 for the first account; ``services`` are MSCC."""
    request = CreditControlRequest(
        session_id=session,
        origin_host=P1,
        origin_realm="net.example",
        destination_realm=REALM,
        auth_application_id=4,
        service_context_id="12.32251@3gpp.org",
        request_type=kind,
        request_number=number,
        event_timestamp_ns=NOON_NS,
        subscription_ids=[SubscriptionId(0, MSISDN)],
        services=list(services),
    )
    for name, value in changes.items():
        setattr(request, name, value)
    return request


def mscc(group=100, *, used=None, ask=True, **changes: Any) -> MultipleServices:
    """One MSCC: a rating group with an empty RSU, and octets used."""
    service = MultipleServices(rating_group=group)
    if ask:
        service.requested = ServiceUnits(total_octets=ask if ask is not True else None)
    if used is not None:
        service.used = [UsedServiceUnit(total_octets=used)]
    for name, value in changes.items():
        setattr(service, name, value)
    return service


def identity(kind="msisdn", value=MSISDN) -> Identity:
    return Identity(kind, value)


def _address(host):
    from twisted.internet.address import IPv4Address

    return IPv4Address("TCP", host, 3868)
