"""The gateway's side of a black-box test: requests built short, answers checked and taken apart.

``Peer`` is one connection, ``Dialogue`` one credit-control session on it. Every answer that comes
through ``Peer.ask_for`` is checked against the rules that all answers obey (RFC 6733 6.2).
"""

import itertools
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from protocol import codec
from protocol.base import CapabilitiesExchangeRequest
from protocol.codec import Header, read_header
from protocol.credit_control import (
    CreditControlRequest,
    Money,
    MultipleServices,
    RequestType,
    ServiceUnits,
    SubscriptionId,
    UsedServiceUnit,
)
from protocol.credit_control_reader import read_cca
from protocol.credit_control_writer import write_ccr
from protocol.errors import RemoteProtocolError
from tests.support.diameter_client import ConnectionEndedError, DiameterClient

PS, IMS, SMS = "12.32251@3gpp.org", "12.32260@3gpp.org", "12.32274@3gpp.org"
OCS_HOST, OCS_REALM = "ocs1.ocs.example", "ocs.example"
EUR, USD = 978, 840
TGPP = 10415
E_FORM_ALLOWED = (5001, 5004, 5005, 5008, 5009, 5011, 5014, 5015)
"""Permanent failures that may be said in the E-bit form (B-073)."""
_NAMES = {
    "total": "total_octets",
    "up": "input_octets",
    "down": "output_octets",
    "time": "time",
    "events": "service_specific",
    "reason": "reporting_reason",
    "tcu": "tariff_change_usage",
}
_RUN = os.urandom(4).hex()
_sessions = itertools.count(1)


class Avp(NamedTuple):
    """One AVP of a message: ``raw`` with header, without padding."""

    code: int
    vendor: int
    flags: int
    payload: bytes
    raw: bytes


def avps_in(data: bytes, start: int = codec.HEADER_SIZE) -> list[Avp]:
    """Return the AVPs of a message, or with ``start`` 0 those of a group."""
    found, position = [], start
    for code, vendor, flags, begin, end in codec.iter_avps(data, start, len(data)):
        found.append(Avp(code, vendor, flags, data[begin:end], data[position:end]))
        position = (end + 3) & ~3
    return found


def padded(raw: bytes) -> bytes:
    """Return an AVP with its padding."""
    return raw + bytes(-len(raw) % 4)


def rebuilt(message: bytes, avps: list[bytes], flags: int | None = None) -> bytes:
    """Return a message with other AVPs (raw) under the same header, perhaps with other flags."""
    header = read_header(message)
    return codec.encode_message(
        header.command_code,
        header.application_id,
        header.flags if flags is None else flags,
        header.hop_by_hop,
        header.end_to_end,
        b"".join(padded(raw) for raw in avps),
    )


def without(message: bytes, *codes: int) -> bytes:
    """Return a message without the AVPs of these codes."""
    return rebuilt(message, [avp.raw for avp in avps_in(message) if avp.code not in codes])


def with_more(message: bytes, *raw: bytes) -> bytes:
    """Return a message with more AVPs at its end."""
    return rebuilt(message, [*(avp.raw for avp in avps_in(message)), *raw])


def with_other(message: bytes, code: int, *raw: bytes) -> bytes:
    """Return a message in which these stand where the first AVP of ``code`` stood."""
    avps: list[bytes] = []
    replaced = False
    for avp in avps_in(message):
        if avp.code == code and not replaced:
            avps += raw
            replaced = True
        else:
            avps.append(avp.raw)
    assert replaced
    return rebuilt(message, avps)


def with_flags(message: bytes, flags: int) -> bytes:
    """Return a message with other command flags."""
    return message[:4] + bytes([flags]) + message[5:]


# ------------------------------------------------------------------------------- requests


def units(given: dict[str, Any]) -> dict[str, Any]:
    """Return units in short words as members of ServiceUnits."""
    members = {_NAMES[name]: value for name, value in given.items() if name != "money"}
    if "money" in given:
        members["money"] = Money(*given["money"])
    return members


def mscc(
    rating_group: int | None = None,
    ask: dict[str, Any] | None = None,
    used: dict[str, Any] | list[dict[str, Any]] | None = None,
    *,
    reason: int | None = None,
    si: tuple[int, ...] = (),
) -> MultipleServices:
    """Return one MSCC: ``ask`` is the RSU (empty: the server chooses), ``used`` the USU."""
    reports = [] if used is None else [used] if isinstance(used, dict) else used
    return MultipleServices(
        requested=None if ask is None else ServiceUnits(**units(ask)),
        used=[UsedServiceUnit(**units(report)) for report in reports],
        rating_group=rating_group,
        service_identifiers=si,
        reporting_reason=reason,
    )


def new_session_id(origin_host: str = "pgw1.net.example") -> str:
    """Return a Session-Id that no test has used."""
    return f"{origin_host};{next(_sessions)};{_RUN}"


# -------------------------------------------------------------------------------- answers


class Answer:
    """An answer with the request it belongs to."""

    def __init__(self, request: bytes, message: bytes) -> None:
        self.request = request
        self.message = message
        self.header = read_header(message)
        self.avps = avps_in(message)

    def all(self, code: int, vendor: int = 0) -> list[Avp]:
        """Return the AVPs of a code at the top."""
        return [avp for avp in self.avps if (avp.code, avp.vendor) == (code, vendor)]

    def one(self, code: int, vendor: int = 0) -> Avp:
        """Return the only AVP of a code."""
        (only,) = self.all(code, vendor)
        return only

    @property
    def code(self) -> int:
        """The Result-Code."""
        return int.from_bytes(self.one(268).payload, "big")

    @property
    def failed(self) -> list[Avp]:
        """What the only Failed-AVP holds; nothing when there is none."""
        groups = self.all(279)
        assert len(groups) <= 1
        return avps_in(groups[0].payload, 0) if groups else []

    @property
    def cca(self) -> Any:
        """The answer as a value; Any, because a member that is absent fails a test by itself."""
        return read_cca(self.message)

    @property
    def service(self) -> Any:
        """The only MSCC."""
        (only,) = self.cca.services
        return only

    @property
    def granted(self) -> Any:
        """What the only MSCC grants."""
        return self.service.granted

    def without_hop(self) -> bytes:
        """The octets without the Hop-by-Hop id, to compare answers to repetitions."""
        return self.message[:12] + self.message[16:]

    def check(self) -> "Answer":
        """Assert what holds for every answer (B-020, B-070 to B-073)."""
        asked, header = read_header(self.request), self.header
        assert not header.flags & 0x9F & ~codec.FLAG_ERROR, "R, T or reserved flags are set"
        assert header.is_proxiable == asked.is_proxiable
        assert header.command_code == asked.command_code
        assert header.application_id == asked.application_id
        assert (header.hop_by_hop, header.end_to_end) == (asked.hop_by_hop, asked.end_to_end)
        code = self.code
        if code not in E_FORM_ALLOWED:
            assert header.is_error == (3000 <= code < 4000)
        assert self.one(264).payload == OCS_HOST.encode()
        assert self.one(296).payload == OCS_REALM.encode()
        assert not self.all(293) and not self.all(283) and not self.all(282)
        if asked.application_id:
            self._check_session(header)
        return self

    def _check_session(self, header: Header) -> None:
        try:
            # The first of several counts.
            asked = {(avp.code, avp.vendor): avp for avp in reversed(avps_in(self.request))}
            proxies = [avp.raw for avp in avps_in(self.request) if avp.code == 284]
        except RemoteProtocolError:
            return
        if (263, 0) in asked:
            first, given = self.avps[0], asked[263, 0]
            assert (first.code, first.payload) == (263, given.payload), "first and unchanged"
        else:
            assert not self.all(263)
        assert [avp.raw for avp in self.all(284)] == proxies
        if header.command_code == 272 and not header.is_error and self.code < 5000:
            assert self.one(258).payload == bytes([0, 0, 0, 4])
            for code in (416, 415):
                assert self.one(code).payload == asked[code, 0].payload


# ------------------------------------------------------------------------------ connection


class Peer(DiameterClient):
    """One connection of a gateway or agent."""

    def __init__(
        self,
        address: tuple[str, int] | socket.socket,
        origin_host: str,
        now_ns: Callable[[], int],
        **kwargs: Any,
    ) -> None:
        super().__init__(address, origin_host, **kwargs)
        self.now_ns = now_ns

    def close(self) -> None:
        """Close and return when the server has noticed."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
            while self.socket.recv(1 << 16):
                pass
        except OSError:
            pass
        self.socket.close()

    def message(self, request: CreditControlRequest, *, retransmitted: bool = False) -> bytes:
        """Return a request under fresh ids."""
        return write_ccr(request, *self.ids(), retransmitted)

    def ask_for(self, message: bytes | CreditControlRequest) -> Answer:
        """Send a request and return its answer, checked."""
        sent = message if isinstance(message, bytes) else self.message(message)
        return Answer(sent, self.ask(sent)[1]).check()

    def stamped(self, message: bytes) -> bytes:
        """Return a message under fresh ids."""
        hop, end = self.ids()
        return message[:12] + hop.to_bytes(4, "big") + end.to_bytes(4, "big") + message[20:]

    def again(self, message: bytes, *, end_to_end: int | None = None) -> bytes:
        """Return a retransmission: T flag, a new Hop-by-Hop id, perhaps another End-to-End."""
        hop, _ = self.ids()
        end = message[16:20] if end_to_end is None else end_to_end.to_bytes(4, "big")
        flags = message[4] | codec.FLAG_RETRANSMIT
        head = message[:4] + bytes([flags]) + message[5:12]
        return head + hop.to_bytes(4, "big") + end + message[20:]

    def capabilities(self, **changes: Any) -> bytes:
        """Return a CER; ``changes`` are members of CapabilitiesExchangeRequest."""
        said = {
            "host_ip_addresses": (self.socket.getsockname()[0],),
            "vendor_id": 0,
            "product_name": "test client",
            "auth_application_ids": (4,),
        }
        request = CapabilitiesExchangeRequest(
            self.origin_host, self.origin_realm, **{**said, **changes}
        )
        return request.write(*self.ids())

    def refused(self, capabilities: bytes) -> Answer:
        """Send a CER that is refused; return the CEA after the server has closed."""
        answer = self.ask_for(capabilities)
        assert self.is_ended()
        return answer

    def last_words(self) -> Answer | None:
        """Return what the server says before it ends the connection, unchecked; mostly nothing."""
        try:
            _, message = self.receive()
        except ConnectionEndedError:
            return None
        assert self.is_ended()
        return Answer(b"", message)

    def reset(self) -> None:
        """Close with RST, as a crashing machine does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def collect(self, sent: list[bytes]) -> list[Answer]:
        """Return the checked answers to requests that were sent, in the order of the requests."""
        by_hop = {read_header(message).hop_by_hop: message for message in sent}
        found: dict[int, Answer] = {}
        while len(found) < len(by_hop):
            header, message = self.receive()
            found[header.hop_by_hop] = Answer(by_hop[header.hop_by_hop], message).check()
        return [found[hop] for hop in by_hop]

    def is_ended(self) -> bool:
        """Whether the server closes or resets without saying anything more."""
        try:
            self.receive()
        except ConnectionEndedError:
            return True
        return False


class Dialogue:
    """One credit-control session: numbers its requests by itself."""

    def __init__(
        self, peer: Peer, subscriber: Any, context: str = PS, *, session_id: str = ""
    ) -> None:
        self.peer = peer
        self.subscriber = subscriber
        self.context = context
        self.session_id = session_id or new_session_id(peer.origin_host)
        self.number = -1

    def request(
        self, kind: int, *services: MultipleServices, **changes: Any
    ) -> CreditControlRequest:
        """Return the next request; ``changes`` are members of CreditControlRequest."""
        self.number = changes.pop("number", self.number + 1)
        request = CreditControlRequest(
            self.session_id,
            self.peer.origin_host,
            self.peer.origin_realm,
            self.context,
            kind,
            self.number,
            destination_realm=OCS_REALM,
            auth_application_id=4,
            event_timestamp_ns=self.peer.now_ns() // 10**9 * 10**9,
            subscription_ids=[SubscriptionId(0, self.subscriber.msisdn)],
            multiple_services_indicator=1 if kind == RequestType.INITIAL else None,
            termination_cause=1 if kind == RequestType.TERMINATION else None,
            services=list(services),
        )
        return replace(request, **changes)

    def message(self, kind: int, *services: MultipleServices, **changes: Any) -> bytes:
        """Return the next request as octets under fresh ids."""
        return self.peer.message(self.request(kind, *services, **changes))

    def initial(self, *services: MultipleServices, **changes: Any) -> Answer:
        return self.peer.ask_for(self.request(RequestType.INITIAL, *services, **changes))

    def update(self, *services: MultipleServices, **changes: Any) -> Answer:
        return self.peer.ask_for(self.request(RequestType.UPDATE, *services, **changes))

    def terminate(self, *services: MultipleServices, **changes: Any) -> Answer:
        return self.peer.ask_for(self.request(RequestType.TERMINATION, *services, **changes))

    def event(self, action: int | None, *services: MultipleServices, **changes: Any) -> Answer:
        request = self.request(RequestType.EVENT, *services, requested_action=action, **changes)
        return self.peer.ask_for(request)
