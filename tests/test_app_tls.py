"""The server as a process: certificate renewed, clear switched off, networks of peers, SCTP."""

import signal
import socket
import ssl
import threading
import urllib.request
from contextlib import closing
from typing import Any

import pytest
from cryptography import x509

from ocs import app
from ocs.errors import UsageError
from ocs.settings.values import DiameterSettings, Listener, Settings, TlsSettings
from protocol.base import CapabilitiesExchangeAnswer
from protocol.credit_control_reader import read_cca
from protocol.credit_control_writer import write_ccr
from tests.support.blackbox_client import OCS_HOST
from tests.support.certificates import Authority
from tests.support.connection_pair import capabilities_request
from tests.support.diameter_client import ConnectionEndedError, DiameterClient
from tests.support.launcher import forked_ocs
from tests.support.sctp_client import SctpClient
from tests.support.service import ccr, mscc

FROM_HERE = "127.0.0.1"
FROM_THERE = "127.0.0.2"
"""Both are addresses of the loopback interface."""


class Secured:
    """A server process and the files that its settings name."""

    def __init__(self, directory, *, tls: dict[str, Any] | None = None, **diameter: Any) -> None:
        self.authority = Authority(directory / "authority")
        self.own = self.authority.issue(OCS_HOST)
        self.pgw1 = self.authority.issue("pgw1.net.example")
        secured = self.authority.settings(self.own, **(tls or {}))
        (directory / "server").mkdir()
        self.process = forked_ocs(
            directory / "server",
            diameter={"tls": secured, **diameter},
            metrics={"enabled": True, "port": 0},
        )
        self.process.create_database()

    def client(self) -> DiameterClient:
        plain = socket.create_connection(self.process.tls_addresses[0], timeout=10)
        context = self.authority.client(self.pgw1)
        return DiameterClient(context.wrap_socket(plain, server_hostname=OCS_HOST))

    def shown(self, client) -> int:
        """The serial number of the server's certificate."""
        shown = client.socket.getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(shown).serial_number

    def replace(self):
        """Put a new certificate in the place of the old one; returns its serial number."""
        fresh = self.authority.issue(OCS_HOST, folder="fresh")
        fresh.write(self.own.certificate_file, self.own.key_file)
        return fresh.certificate.serial_number


def charged(client, number):
    """A request that the client makes is answered: the connection is in order."""
    return client.ccr(ccr(4, 0, mscc(), session=f"e{number}", event_timestamp_ns=None))


@pytest.mark.rule("B-002")
def test_sighup_takes_a_new_certificate_for_new_connections(tmp_path):
    secured = Secured(tmp_path, tls={"look_seconds": 3600})
    with secured.process, secured.client() as before:
        assert before.open().result_code == 2001
        old = secured.own.certificate.serial_number
        assert secured.shown(before) == old
        new = secured.replace()
        with secured.client() as between:
            assert secured.shown(between) == old, "nobody has asked for the new one"
        secured.process.hang_up()
        line = secured.process.wait_for("certificate changed; it holds for new connections")
        assert line["names"] == [OCS_HOST]
        with secured.client() as after:
            assert secured.shown(after) == new
        before.disconnect()
        with secured.client() as again:
            assert again.open().result_code == 2001
        assert secured.process.stop() == 0


@pytest.mark.rule("B-002")
def test_a_change_of_the_files_is_noticed_without_a_signal(tmp_path):
    secured = Secured(tmp_path, tls={"look_seconds": 1})
    with secured.process:
        new = secured.replace()
        secured.process.wait_for("certificate changed; it holds for new connections")
        with secured.client() as client:
            assert secured.shown(client) == new


@pytest.mark.rule("B-002")
def test_files_that_cannot_be_used_leave_what_is_in_use(tmp_path):
    secured = Secured(tmp_path, tls={"look_seconds": 1})
    with secured.process:
        secured.own.key_file.write_bytes(secured.pgw1.key_pem())
        secured.process.hang_up()
        line = secured.process.wait_for("certificate not changed; the one before stays in use")
        assert line["level"] == "error"
        assert "is not the key of the first certificate" in line["reason"]
        with secured.client() as client:
            assert client.open().result_code == 2001
        metrics = _metrics(secured.process)
        assert "ocs_tls_reload_failed 1.0" in metrics
        assert "ocs_tls_certificate_days_left 36" in metrics


def _metrics(process) -> str:
    address = next(line["listen"] for line in process.log if line["event"] == "metrics")
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return str(answer.read(), "utf-8")


@pytest.mark.rule("B-002")
def test_everything_in_clear_can_be_switched_off(tmp_path):
    secured = Secured(tmp_path, listen=[])
    with secured.process:
        assert secured.process.addresses == []
        with secured.client() as client:
            assert client.open().result_code == 2001
            assert client.ccr(
                ccr(1, 0, mscc(), event_timestamp_ns=None)
            ).result_code == 2001
            client.disconnect()
        line = next(line for line in secured.process.log if line["event"] == "peer connected")
        assert line["tls"] is True
        assert secured.process.stop() == 0


def test_files_that_cannot_be_used_stop_the_start_with_the_setting_that_names_them(tmp_path):
    secured = Secured(tmp_path)
    secured.own.certificate_file.unlink()
    with pytest.raises(AssertionError) as caught, secured.process:
        pass
    said = str(caught.value)
    assert "diameter.tls.certificate: " in said
    assert "certificate.pem cannot be read: No such file or directory" in said


def test_without_tls_sighup_ends_the_server_as_it_ends_any_program(tmp_path):
    process = forked_ocs(tmp_path)
    process.create_database()
    with process:
        process.hang_up()
        assert process._wait() == -signal.SIGHUP


def test_a_test_clock_is_refused_where_others_can_connect_over_tls(tmp_path):
    tls = TlsSettings((Listener("0.0.0.0", 5868),), "a", "b", "c")
    public = Settings(DiameterSettings(tls=tls))
    with pytest.raises(UsageError, match=r"0\.0\.0\.0 can be reached"):
        app.make_clock(public, tmp_path / "clock")


# --------------------------------------------------------------------------------- networks


def calling(process, source, origin_host="pgw1.net.example"):
    """A client whose connection comes from another address of this machine."""
    connection = socket.create_connection(process.addresses[0], 10, source_address=(source, 0))
    return DiameterClient(connection, origin_host)


def peer_from(*networks: str, origin_host="pgw1.net.example"):
    return {"origin_host": origin_host, "source_networks": list(networks)}


def until_answered(process, origin_host):
    """Call from here until the server listens, which it has heard of within a few seconds."""
    pause = threading.Event()
    for _ in range(200):
        with calling(process, FROM_HERE, origin_host) as client:
            try:
                return client.open().result_code
            except (ConnectionEndedError, ConnectionError):
                pause.wait(0.05)
    raise AssertionError("nobody was listened to")


@pytest.mark.rule("B-044")
@pytest.mark.parametrize("network", ["127.0.0.2/32", "::ffff:127.0.0.2/128"])
def test_a_peer_must_come_from_its_network(tmp_path, network):
    anywhere = {"origin_host": "pgw2.net.example"}
    process = forked_ocs(tmp_path, diameter={"peers": [peer_from(network), anywhere]})
    process.create_database()
    with process:
        with calling(process, FROM_THERE) as client:
            assert client.open().result_code == 2001
            # From elsewhere the peer that is there is not even probed (D15).
            with calling(process, FROM_HERE) as stranger:
                assert stranger.open().result_code == 3010
                assert stranger.is_closed_by_server()
            assert charged(client, 1).result_code != 3010
            assert client.watchdogs == 0
        with calling(process, FROM_HERE, "pgw2.net.example") as client:
            assert client.open().result_code == 2001
    (line,) = [line for line in process.log if "network it must not come from" in line["event"]]
    assert (line["address"], line["origin_host"]) == (FROM_HERE, "pgw1.net.example")


@pytest.mark.rule("B-044")
def test_where_no_peer_may_come_from_nobody_is_listened_to(tmp_path):
    process = forked_ocs(tmp_path, diameter={"peers": [peer_from("127.0.0.2/32")]})
    process.create_database()
    with process:
        with closing(socket.create_connection(process.addresses[0], timeout=10)) as stranger:
            assert stranger.recv(1) == b""
        line = process.wait_for("connection refused: no peer may come from there")
        assert (line["level"], line["address"]) == ("warning", FROM_HERE)
        with calling(process, FROM_THERE) as client:
            assert client.open().result_code == 2001
            # A peer that is allowed from anywhere opens the door for everybody's first word.
            process.allow_peer("pgw2.net.example")
            assert until_answered(process, "pgw2.net.example") == 2001


@pytest.mark.rule("B-044", "B-002")
def test_where_nobody_may_come_from_there_is_no_handshake_either(tmp_path):
    secured = Secured(tmp_path, peers=[peer_from("127.0.0.2/32")])
    with secured.process:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            secured.client()
        address = secured.process.tls_addresses[0]
        plain = socket.create_connection(address, 10, source_address=(FROM_THERE, 0))
        context = secured.authority.client(secured.pgw1)
        with DiameterClient(context.wrap_socket(plain, server_hostname=OCS_HOST)) as client:
            assert client.open().result_code == 2001


# -------------------------------------------------------------------------------------- SCTP


@pytest.mark.rule("B-004", "B-041")
def test_a_session_on_sctp(needs_sctp, tmp_path):
    process = forked_ocs(
        tmp_path, diameter={"sctp": {"listen": ["127.0.0.1,127.0.0.2:0"]}, "listen": []}
    )
    process.create_database()
    with process:
        (endpoint,) = next(line for line in process.log if line["event"] == "serving")["sctp"]
        with SctpClient("127.0.0.2", int(endpoint.rpartition(":")[2])) as client:
            client.send(capabilities_request())
            answer = CapabilitiesExchangeAnswer.read(client.receive())
            assert answer.result_code == 2001
            assert answer.host_ip_addresses == ("127.0.0.1", "127.0.0.2")
            asked = ccr(1, 0, mscc(), event_timestamp_ns=None)
            client.send(write_ccr(asked, 5, 6))
            (service,) = read_cca(client.receive()).services
            assert service.granted is not None
            assert service.granted.total_octets == 10_000_000
        assert process.stop() == 0
