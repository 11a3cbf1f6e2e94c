"""Two peer connections joined by a fake wire, and a bare wire to say anything to one of them."""

from typing import Any

from protocol import base, codec
from protocol.codec import Header
from protocol.peer import (
    EndToEndIds,
    Event,
    PeerConnection,
    PeerPolicy,
    PeerSettings,
    PeerState,
    accept_all,
)

SERVER = PeerSettings(
    "ocs1.ocs.example",
    "ocs.example",
    host_ip_addresses=("192.0.2.10",),
    origin_state_id=7,
    firmware_revision=1,
    watchdog_seconds=6.0,
    cer_timeout=5.0,
)
CLIENT = PeerSettings(
    "pgw1.net.example",
    "net.example",
    host_ip_addresses=("192.0.2.20",),
    product_name="gateway",
    watchdog_seconds=30.0,
)
CREDIT_CONTROL = base.CommandCode.CREDIT_CONTROL
DWR = base.DeviceWatchdogRequest("pgw1.net.example", "net.example").write(5, 6)
DPR = base.DisconnectPeerRequest(
    "pgw1.net.example", "net.example", base.DisconnectCause.REBOOTING
).write(7, 8)


def no_jitter() -> float:
    return 0.0


def connection(settings=SERVER, policy: PeerPolicy = accept_all, role="responder", now=0.0):
    """A connection with steady timers and End-to-End ids from 1."""
    return PeerConnection(
        settings, policy, role, now=now, jitter=no_jitter, end_to_end_ids=EndToEndIds(0, 1)
    )


def events_of(peer: PeerConnection) -> list[Event]:
    events: list[Event] = []
    while (event := peer.next_event()) is not None:
        events.append(event)
    return events


def split(data: bytes) -> list[bytes]:
    """The messages of a stream that ends with a whole one."""
    buffer = codec.MessageBuffer()
    buffer.feed(data)
    messages = []
    while (message := buffer.next_message()) is not None:
        messages.append(message)
    assert buffer.pending_octets == 0
    return messages


def avps_of(message: bytes, start: int = codec.HEADER_SIZE) -> list[tuple[int, bytes]]:
    """(code, payload) of each AVP in order."""
    return [
        (code, message[data_start:data_end])
        for code, _, _, data_start, data_end in codec.iter_avps(message, start, len(message))
    ]


def avp(message: bytes, code: int) -> bytes | None:
    return next((payload for found, payload in avps_of(message) if found == code), None)


def result_code(message: bytes) -> int:
    payload = avp(message, 268)
    assert payload is not None
    return int.from_bytes(payload, "big")


def header_of(message: bytes) -> Header:
    return codec.read_header(message)


def request(
    avps: bytes = b"",
    *,
    command: int = CREDIT_CONTROL,
    application: int = 4,
    flags: int = codec.FLAG_REQUEST | codec.FLAG_PROXIABLE,
    hop_by_hop: int = 0x01020304,
    end_to_end: int = 0x0A0B0C0D,
) -> bytes:
    """A request of the application; by default a CCR with nothing but a Session-Id."""
    avps = avps or codec.encode_utf8(263, "pgw1.net.example;1;1")
    return codec.encode_message(command, application, flags, hop_by_hop, end_to_end, avps)


def answer_to(message: bytes, result_code: int = 2001) -> bytes:
    """What a server that has done its work would answer."""
    return base.error_answer(SERVER.origin, header_of(message), result_code)


def capabilities_request(settings=CLIENT, **changes: Any) -> bytes:
    """A complete CER; `changes` are fields of `CapabilitiesExchangeRequest`."""
    values = {
        "origin_host": settings.origin_host,
        "origin_realm": settings.origin_realm,
        "host_ip_addresses": settings.host_ip_addresses,
        "vendor_id": 0,
        "product_name": "gateway",
        "auth_application_ids": (4,),
    }
    return base.CapabilitiesExchangeRequest(**(values | changes)).write(0x11, 0x22)


def raw_cer(*avps: bytes, **replaced: bytes) -> bytes:
    """A CER of raw AVPs, each of which can be replaced or left out by name."""
    parts = {
        "host": codec.encode_utf8(264, "pgw1.net.example"),
        "realm": codec.encode_utf8(296, "net.example"),
        "address": codec.encode_address(257, "192.0.2.20"),
        "vendor": codec.encode_u32(266, 0),
        "product": codec.encode_utf8(269, "gateway", flags=0),
        "application": codec.encode_u32(258, 4),
    } | replaced
    body = b"".join(parts.values()) + b"".join(avps)
    return codec.encode_message(257, 0, codec.FLAG_REQUEST, 1, 2, body)


class Wire:
    """A server connection with a hand-driven clock, and what the other end says and hears."""

    def __init__(self, settings=SERVER, policy: PeerPolicy = accept_all) -> None:
        self.now = 0.0
        self.peer = connection(settings, policy)
        self.events: list[Any] = []

    def say(self, *messages: bytes) -> list[bytes]:
        """Send in one segment; the messages that come back."""
        self.peer.tick(self.now)
        self.peer.receive_data(b"".join(messages))
        self.events += events_of(self.peer)
        return self.heard()

    @property
    def kinds(self) -> list[type]:
        """The types of the events so far."""
        return [type(event) for event in self.events]

    def heard(self) -> list[bytes]:
        return split(self.peer.data_to_send())

    def wait(self, seconds: float) -> list[bytes]:
        """Let time pass, running every timeout at its moment; what was sent meanwhile."""
        end = self.now + seconds
        sent = b""
        while (due := self.peer.next_timeout()) is not None and due <= end:
            self.now = max(self.now, due)
            self.peer.tick(self.now)
            self.events += events_of(self.peer)
            sent += self.peer.data_to_send()
        self.now = end
        self.peer.tick(end)
        return split(sent + self.peer.data_to_send())

    def open(self, **changes: Any) -> "Wire":
        (answer,) = self.say(capabilities_request(**changes))
        assert result_code(answer) == 2001
        assert self.peer.state is PeerState.OPEN
        return self


class ConnectionPair:
    """A client that dialled a server, joined by a wire on which `exchange` carries everything."""

    def __init__(self, server=SERVER, client=CLIENT, policy: PeerPolicy = accept_all) -> None:
        self.now = 0.0
        self.client = connection(client, role="initiator")
        self.server = connection(server, policy)
        self.client_events: list[Any] = []
        self.server_events: list[Any] = []

    def exchange(self) -> None:
        """Carry octets both ways until both sides are silent."""
        while True:
            to_server, to_client = self.client.data_to_send(), self.server.data_to_send()
            self.server.receive_data(to_server)
            self.client.receive_data(to_client)
            self.server_events += events_of(self.server)
            self.client_events += events_of(self.client)
            if not to_server and not to_client:
                return

    def wait(self, seconds: float) -> None:
        """Let time pass on both sides, delivering as it goes."""
        end = self.now + seconds
        while True:
            due = [t for t in (self.client.next_timeout(), self.server.next_timeout()) if t]
            self.now = min([end, *(max(t, self.now) for t in due)])
            for side in (self.client, self.server):
                side.tick(self.now)
            self.exchange()
            if self.now >= end:
                return
