"""Diameter over TLS on sockets of the loopback interface, against Python's own TLS as client."""

import socket
import ssl
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from protocol.codec import MessageBuffer, read_header
from protocol.peer import ErrorKind, PeerDecision, PeerSettings
from protocol.tls import load
from protocol.transport import DiameterFactory, connect, listen
from protocol.transport_limits import TransportLimits
from protocol.transport_tls import secured
from tests.support.certificates import Authority
from tests.support.connection_pair import CLIENT, SERVER, capabilities_request, request
from tests.support.diameter_client import ConnectionEndedError, DiameterClient
from tests.support.peer_recorder import Recorder
from tests.support.reactor_thread import reactor_thread

SETTINGS = replace(SERVER, host_ip_addresses=())
BIG = 3_000_000


def by_certificate(cer, caller):
    """Believe who shows a certificate of its name."""
    known = caller.certificate is not None and caller.certificate.is_for(cer.origin_host)
    return PeerDecision(accept=known, reason="another certificate")


class Server:
    """A listener for TLS and one in clear, of one factory."""

    def __init__(self, thread, authority, **options: Any) -> None:
        self.thread = thread
        self.handler = Recorder()
        self.credentials = load(authority.files(authority.issue("ocs1.ocs.example")))
        settings = options.pop("settings", SETTINGS)
        self.factory = DiameterFactory(
            thread.reactor, settings, self.handler, by_certificate, **options
        )
        self.number = self._listen(self.secured())
        self.clear = self._listen(self.factory)

    def _listen(self, factory):
        port = self.thread.call(listen, self.thread.reactor, factory, "127.0.0.1", 0)
        return port.getHost().port

    def secured(self):
        return secured(self.thread.reactor, self.factory, lambda: self.credentials.context)

    def socket(self, port=0):
        return socket.create_connection(("127.0.0.1", port or self.number), timeout=10)

    def dial(self, context, **kwargs: Any):
        """A client that is secured, and not yet anything else."""
        tls = context.wrap_socket(self.socket(), server_hostname="ocs1.ocs.example")
        return DiameterClient(tls, **kwargs)

    def fault(self):
        """How the last connection ended that told the handler so."""
        assert self.handler.told.get(timeout=10) == "down"
        return self.handler.down[-1].reason

    def count(self, kind):
        return self.thread.call(self.factory.counters).errors[kind]


def send_for_ever(client):
    while True:
        client.send(request() * 1000)


def rest_of(client):
    """What else comes before the end; a reset is an end too."""
    data = b""
    try:
        while piece := client.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


@pytest.fixture
def thread():
    with reactor_thread() as running:
        yield running


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def pgw1(authority):
    return authority.issue("pgw1.net.example")


@pytest.fixture
def server(thread, authority):
    return Server(thread, authority)


@pytest.mark.rule("B-002", "T014")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_capabilities_exchange_and_a_request_over_tls(server, authority, pgw1, version):
    context = authority.client(pgw1)
    context.minimum_version = context.maximum_version = version
    with server.dial(context) as client:
        assert client.socket.version() == version.name.replace("_", ".")
        answer = client.open()
        assert answer.result_code == 2001
        assert answer.host_ip_addresses == ("127.0.0.1",)
        assert client.ask(request())[0].command_code == 272
    (conn,) = server.handler.up
    assert conn.remote_address == "127.0.0.1"


@pytest.mark.rule("B-002", "T016")
def test_the_policy_sees_the_certificate(server, authority):
    with server.dial(authority.client(authority.issue("pgw2.net.example"))) as client:
        assert client.open().result_code == 3010
        assert client.is_closed_by_server()


@pytest.mark.rule("B-002")
def test_no_certificate_can_be_proved_in_clear(server):
    with DiameterClient(server.socket(server.clear)) as client:
        assert client.open().result_code == 3010


@pytest.mark.rule("B-002", "T017")
def test_who_speaks_in_clear_on_the_port_of_tls_gets_no_cea(server):
    with closing(server.socket()) as client:
        client.sendall(capabilities_request())
        heard = rest_of(client)
    # An alert of TLS may be there: 21 is its first octet, and a message of Diameter begins with 1.
    assert heard[:1] in {b"", b"\x15"}
    assert server.fault() == "TLS failed: it does not speak TLS"
    assert server.count(ErrorKind.TLS) == 1


def refused(server, context):
    """What the client sees of a handshake that the server breaks off."""
    # In TLS 1.3 the client is done before the server has looked at its certificate.
    broken = pytest.raises((ssl.SSLError, ConnectionError, ConnectionEndedError))
    with broken, server.dial(context) as client:
        client.open()
    assert server.handler.up == []
    assert server.count(ErrorKind.TLS) == 1
    return server.fault()


@pytest.mark.rule("B-002")
def test_a_client_without_certificate_is_refused(server, authority):
    assert refused(server, authority.client(None)) == "TLS failed: it showed no certificate"


@pytest.mark.rule("B-002")
@pytest.mark.parametrize(
    "options,words",
    [
        ({"days": (-10, -1)}, "has expired"),
        ({"days": (1, 10)}, "is not valid yet"),
        ({"usage": (ExtendedKeyUsageOID.SERVER_AUTH,)}, "was made for another purpose"),
    ],
    ids=["expired", "early", "purpose"],
)
def test_a_certificate_that_is_not_good_is_refused_and_the_log_says_why(
    server, authority, options, words
):
    bad = authority.issue("pgw1.net.example", folder="bad", **options)
    reason = refused(server, authority.client(bad))
    assert reason.startswith(f"TLS failed: its certificate CN=pgw1.net.example {words}")


@pytest.mark.rule("B-002")
def test_a_certificate_of_an_authority_that_nobody_trusts_is_refused(server, authority, tmp_path):
    stranger = Authority(tmp_path / "stranger", "Strange authority")
    context = stranger.client(stranger.issue("pgw1.net.example"))
    context.load_verify_locations(authority.trusted_file)
    assert "comes from an authority that is not among the trusted ones" in refused(server, context)


@pytest.mark.rule("B-002")
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_old_versions_of_tls_are_refused(server, authority, pgw1):
    context = authority.client(pgw1)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    assert refused(server, context) == "TLS failed: it speaks only older versions of TLS"


def test_one_trusted_certificate_need_not_come_with_its_authority(thread, tmp_path):
    hidden = Authority(tmp_path, "Hidden authority")
    pinned = hidden.issue("pgw1.net.example")
    context = hidden.client(pinned)
    hidden.trusted_file.write_bytes(pinned.pem)
    server = Server(thread, hidden)
    with server.dial(context) as client:
        assert client.open().result_code == 2001


@pytest.mark.rule("T005")
def test_a_handshake_that_never_ends_is_ended(thread, authority):
    server = Server(thread, authority, settings=replace(SETTINGS, cer_timeout=0.2))
    with closing(server.socket()) as client:
        client.sendall(b"\x16\x03\x01\x02\x00\x01")  # the head of a ClientHello
        assert rest_of(client) == b""
    assert server.fault() == "no CER within 0.2 s"


def test_connections_beyond_the_limit_are_closed_before_the_handshake(thread, authority, pgw1):
    server = Server(thread, authority, limits=TransportLimits(max_connections=1))
    with server.dial(authority.client(pgw1)) as client:
        assert client.open().result_code == 2001
        with closing(server.socket()) as second:
            assert rest_of(second) == b""
        assert server.count(ErrorKind.TOO_MANY_CONNECTIONS) == 1


def test_much_passes_in_both_directions(thread, authority, pgw1):
    server = Server(thread, authority, limits=TransportLimits(max_unanswered_requests=4))
    message = request()
    count = BIG // len(message)
    with server.dial(authority.client(pgw1)) as client:
        assert client.open().result_code == 2001
        for _ in range(10):
            client.send(message * (count // 10))
            for _ in range(count // 10):
                assert client.receive()[0].command_code == 272


@pytest.mark.rule("B-009")
def test_a_peer_that_stops_reading_tls_is_reset(thread, authority, pgw1):
    settings = replace(SETTINGS, max_pending_output_octets=100_000)
    server = Server(thread, authority, settings=settings)
    with server.dial(authority.client(pgw1)) as client:
        assert client.open().result_code == 2001
        client.socket.settimeout(10)
        with pytest.raises((ConnectionError, ssl.SSLError)):
            send_for_ever(client)
    assert server.count(ErrorKind.OUTPUT_BACKLOG) == 1


def test_a_goodbye_over_tls(thread, server, authority, pgw1):
    with server.dial(authority.client(pgw1)) as client:
        assert client.open().result_code == 2001
        client.disconnect()
    assert [server.handler.told.get(timeout=10) for _ in range(2)] == ["up", "down"]


def test_a_new_context_holds_for_the_next_connection(server, authority, pgw1, tmp_path):
    with server.dial(authority.client(pgw1)) as first:
        assert first.open().result_code == 2001
        other = Authority(tmp_path / "other", "New authority")
        server.credentials = load(other.files(other.issue("ocs1.ocs.example")))
        with server.dial(other.client(other.issue("pgw1.net.example"))) as second:
            assert second.open().result_code == 2001
        # The connection that is there goes on.
        assert first.ask(request())[0].command_code == 272


def caller(thread, authority, identity, server):
    """Our own client, secured; what it is told, and the protocol it made."""
    handler = Recorder()
    settings = PeerSettings(CLIENT.origin_host, CLIENT.origin_realm)
    factory = DiameterFactory(thread.reactor, settings, handler, role="initiator")
    credentials = load(authority.files(identity))
    outside = secured(
        thread.reactor, factory, lambda: credentials.context, is_client=True
    )
    conn = thread.call(connect, thread.reactor, outside, "127.0.0.1", server.number)
    return handler, conn.wrappedProtocol


def test_our_own_client_talks_tls_to_our_own_server(thread, server, authority, pgw1):
    handler, conn = caller(thread, authority, pgw1, server)
    assert handler.told.get(timeout=10) == "up"
    assert thread.call(lambda: conn.caller.certificate.names) == ("ocs1.ocs.example",)
    thread.call(conn.send_request, request())
    assert handler.told.get(timeout=10) == "answer"
    thread.call(server.factory.disconnect_all)
    assert handler.told.get(timeout=10) == "down"


def test_our_own_client_does_not_talk_to_a_server_it_does_not_trust(thread, server, tmp_path):
    other = Authority(tmp_path / "other", "Other authority")
    handler, _ = caller(thread, other, other.issue("pgw1.net.example"), server)
    assert handler.told.get(timeout=10) == "down"
    assert "not among the trusted ones" in handler.down[0].reason


def test_an_answer_written_together_with_the_end_arrives(thread, authority):
    """A CEA that refuses is written and the connection closed in one turn."""
    server = Server(thread, authority)
    pgw2 = authority.client(authority.issue("pgw2.net.example"))
    for _ in range(20):
        with server.dial(pgw2) as client:
            assert client.open().result_code == 3010
            assert client.is_closed_by_server()


def test_what_is_in_the_way_of_the_first_message_is_not_lost(server, authority, pgw1):
    """The last flight of the handshake, the CER and a request may come in one segment."""
    context = authority.client(pgw1)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="ocs1.ocs.example")
    with closing(server.socket()) as client:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.sendall(outgoing.read())
                incoming.write(client.recv(65536))
        tls.write(capabilities_request() + request())
        client.sendall(outgoing.read())
        buffer = MessageBuffer()
        answers: list[int] = []
        while len(answers) < 2:
            try:
                buffer.feed(tls.read(65536))
            except ssl.SSLWantReadError:
                incoming.write(client.recv(65536))
            while (message := buffer.next_message()) is not None:
                answers.append(read_header(message).command_code)
    assert answers == [257, 272]
