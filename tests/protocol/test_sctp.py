"""SCTP: how its options are written, and Diameter on its sockets where the kernel has it."""

import socket
import struct
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.error import CannotListenError

from protocol import codec, sctp
from protocol.codec import encode_avp, read_header
from protocol.peer import ErrorKind
from protocol.transport import DiameterFactory
from protocol.transport_sctp import listen_sctp
from tests.support.connection_pair import (
    DPR,
    DWR,
    SERVER,
    avps_of,
    capabilities_request,
    request,
    result_code,
)
from tests.support.peer_recorder import Recorder
from tests.support.reactor_thread import reactor_thread
from tests.support.sctp_client import SctpClient

ANYWHERE = replace(SERVER, host_ip_addresses=())


# --------------------------------------------------------------------- without the kernel


@pytest.mark.rule("B-004")
def test_what_is_sent_goes_on_stream_0_as_diameter_in_clear():
    stream, flags, ppid, context, association = struct.unpack(
        "=HH4sIi", sctp.pack_send_info(sctp.UNORDERED)
    )
    assert (stream, context, association) == (0, 0, 0)
    assert flags == 1
    assert ppid == b"\0\0\0\x2e", "46, in the order of the network"
    assert struct.unpack("=HH4sIi", sctp.pack_send_info(0))[1] == 0


@pytest.mark.rule("B-004")
def test_addresses_are_written_as_the_kernel_wants_them():
    assert sctp.pack_address("192.0.2.10", 3868) == (
        struct.pack("=H", socket.AF_INET) + bytes.fromhex("0f1c c000020a") + bytes(8)
    )
    assert sctp.pack_address("2001:db8::10", 3868) == (
        struct.pack("=H", socket.AF_INET6)
        + bytes.fromhex("0f1c 00000000 20010db8000000000000000000000010 00000000")
    )


@pytest.mark.rule("B-004")
def test_a_kernel_without_it_is_an_address_that_cannot_be_listened_on(monkeypatch):
    def refuse(*_: object):
        raise OSError(93, "Protocol not supported")

    monkeypatch.setattr(socket, "socket", refuse)
    assert not sctp.is_available()
    with pytest.raises(CannotListenError, match="Protocol not supported"):
        listen_sctp(None, None, ["192.0.2.1"], 3868)


# ------------------------------------------------------------------------ with the kernel


class Server:
    """A listening server, and sockets to it."""

    def __init__(self, thread, *addresses: str, **settings: Any) -> None:
        self.thread = thread
        self.addresses = addresses or ("127.0.0.1",)
        self.handler = Recorder()
        self.factory = DiameterFactory(
            thread.reactor, replace(ANYWHERE, **settings), self.handler
        )
        port = thread.call(listen_sctp, thread.reactor, self.factory, self.addresses, 0)
        self.number = port.getHost().port

    def dial(self, address="") -> SctpClient:
        return SctpClient(address or self.addresses[0], self.number)

    def opened(self) -> SctpClient:
        client = self.dial()
        client.send(capabilities_request())
        assert result_code(client.receive()) == 2001
        return client

    def count(self, kind):
        return self.thread.call(self.factory.counters).errors[kind]


@pytest.fixture
def thread(needs_sctp):
    with reactor_thread() as running:
        yield running


def send_for_ever(client):
    while True:
        client.send(DWR)


def addresses_in(message):
    return [payload for code, payload in avps_of(message) if code == 257]


@pytest.mark.rule("B-004")
def test_a_capabilities_exchange_and_a_request(thread):
    with Server(thread).dial() as client:
        client.send(capabilities_request())
        assert result_code(client.receive()) == 2001
        assert (client.stream, client.ppid, client.unordered) == (0, 46, False)
        client.send(request())
        assert read_header(client.receive()).command_code == 272
        assert (client.stream, client.ppid, client.unordered) == (0, 46, True)
        assert client.whole


@pytest.mark.rule("B-004")
@pytest.mark.parametrize("ppid", [0, 46, 4711])
@pytest.mark.parametrize("stream", [0, 3])
def test_every_stream_and_payload_protocol_is_heard(thread, stream, ppid):
    with Server(thread).opened() as client:
        client.send(request(), stream=stream, ppid=ppid)
        assert read_header(client.receive()).command_code == 272
        client.send(request(), stream=stream, ppid=ppid, unordered=True)
        assert read_header(client.receive()).command_code == 272


@pytest.mark.rule("B-004", "B-041")
@pytest.mark.parametrize(
    "addresses,announced",
    [
        (("127.0.0.1", "127.0.0.2"), ["00017f000001", "00017f000002"]),
        (("::1",), ["0002" + 15 * "00" + "01"]),
        (("127.0.0.1", "::1"), ["0002" + 15 * "00" + "01", "00017f000001"]),
    ],
    ids=["two", "ipv6", "both"],
)
def test_all_our_addresses_are_announced_and_each_can_be_called(thread, addresses, announced):
    server = Server(thread, *addresses)
    for address in addresses:
        with server.dial(address) as client:
            client.send(capabilities_request())
            answer = client.receive()
            assert result_code(answer) == 2001
            assert sorted(addresses_in(answer)) == sorted(map(bytes.fromhex, announced))
    callers = [conn.remote_address for conn in server.handler.up]
    assert len(callers) == len(addresses)
    assert set(callers) <= {"127.0.0.1", "127.0.0.2", "::1"}, "no address of the other family"


@pytest.mark.rule("B-005")
def test_many_messages_each_come_alone(thread):
    with Server(thread).opened() as client:
        for _ in range(200):
            client.send(request())
        for _ in range(200):
            assert read_header(client.receive()).command_code == 272
            assert client.whole


@pytest.mark.rule("B-005", "T023")
def test_a_large_message_comes_through(thread):
    filler = encode_avp(65000, bytes(250_000), flags=0)
    body = request()
    header = read_header(body)
    large = codec.encode_message(
        header.command_code, header.application_id, header.flags, 1, 1,
        body[codec.HEADER_SIZE :] + filler,
    )  # fmt: skip
    server = Server(thread)
    with server.opened() as client:
        client.send(large)
        assert read_header(client.receive()).command_code == 272
    ((_, batch),) = server.handler.batches
    assert batch[0][1] == large


@pytest.mark.rule("B-006")
def test_a_wrong_length_resets_the_association_and_no_other(thread):
    server = Server(thread)
    with server.opened() as bad, server.opened() as good:
        bad.send((1 << 24 | 16).to_bytes(4, "big") + bytes(60))
        assert bad.is_ended()
        good.send(DWR)
        assert result_code(good.receive()) == 2001


@pytest.mark.rule("B-009")
def test_a_peer_that_stops_reading_is_reset(thread):
    server = Server(thread, max_pending_output_octets=100_000)
    with server.opened() as client, pytest.raises(OSError, match=r"reset|pipe|shutdown|abort"):
        send_for_ever(client)
    assert server.count(ErrorKind.OUTPUT_BACKLOG) == 1


@pytest.mark.rule("T059")
def test_a_goodbye(thread):
    server = Server(thread)
    with server.opened() as client:
        client.send(request())
        client.send(DPR)
        codes = {read_header(client.receive()).command_code for _ in range(2)}
        assert codes == {272, 282}
    assert [server.handler.told.get(timeout=10) for _ in range(2)] == ["up", "down"]


def test_a_goodbye_of_ours(thread):
    server = Server(thread)
    with server.opened() as client:
        thread.call(lambda: server.factory.disconnect_all() and None)
        assert read_header(client.receive()).command_code == 282
        client.close()
    assert [server.handler.told.get(timeout=10) for _ in range(2)] == ["up", "down"]


@pytest.mark.rule("T005")
def test_a_silent_association_is_ended(thread):
    with Server(thread, cer_timeout=0.2).dial() as client:
        assert client.is_ended()


def test_a_port_in_use_is_said(thread):
    server = Server(thread)
    with pytest.raises(CannotListenError, match=str(server.number)):
        thread.call(listen_sctp, thread.reactor, server.factory, ["127.0.0.1"], server.number)


@pytest.mark.rule("B-041")
def test_who_listens_everywhere_announces_where_the_peer_has_come(thread):
    with Server(thread, "0.0.0.0").dial("127.0.0.1") as client:
        client.send(capabilities_request())
        assert addresses_in(client.receive()) == [bytes.fromhex("00017f000001")]
