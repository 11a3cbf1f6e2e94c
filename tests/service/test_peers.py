"""Who may connect, seen from the wire and in the log."""

from dataclasses import replace
from typing import Any

import pytest

from ocs.ledger.account import OperatorAction
from ocs.service.peers.directory import PeerDirectory, PeerRules
from ocs.store.interface import PeerEntry
from protocol.base import CapabilitiesExchangeRequest, DisconnectPeerRequest
from protocol.codec import FLAG_ERROR
from protocol.peer_settings import Caller
from protocol.tls import PeerCertificate
from tests.support.certificates import Authority
from tests.support.service import NOON_NS, P1, Harness, ccr, mscc

CER: dict[str, Any] = {
    "host_ip_addresses": ("192.0.2.20",),
    "vendor_id": 0,
    "product_name": "gateway",
}


BEHIND = PeerEntry("a.example", source_networks=("192.0.2.0/24", "2001:db8::/48"))


class Probed:
    """An open connection that counts how often it was probed."""

    probes = 0

    def probe(self):
        self.probes += 1


def action(harness):
    return OperatorAction(harness.ids.next_id(), NOON_NS, "test", "peer allow", "x", "test")


@pytest.mark.rule("B-044", "T032")
def test_an_unknown_peer_is_refused_and_the_log_says_how_to_allow_it(capsys):
    wire = Harness().wire()
    header, _ = wire.ask(
        CapabilitiesExchangeRequest(
            "X.Evil.example", "evil.example", auth_application_ids=(4,), **CER
        ).write(1, 1)
    )
    assert header.flags == FLAG_ERROR
    assert wire.transport.disconnecting
    assert "ocs peer allow x.evil.example" in capsys.readouterr().out


@pytest.mark.rule("B-044")
def test_an_unknown_peer_that_tries_again_and_again_is_said_once_a_minute(capsys):
    harness = Harness()
    for _ in range(5):
        harness.wire().open("x.evil.example")
    harness.wire().open("y.evil.example")
    out = capsys.readouterr().out
    assert out.count("[warning  ] unknown peer refused") == 2
    harness.clock.advance(60)
    harness.wire().open("x.evil.example")
    said = [line for line in capsys.readouterr().out.splitlines() if "[warning" in line]
    assert len(said) == 1
    assert "left_out=4" in said[0]


def test_the_endless_name_of_a_stranger_does_not_fill_the_log(capsys):
    Harness().wire().open("x" * 5000)
    assert "x" * 300 not in capsys.readouterr().out


@pytest.mark.rule("B-044")
def test_an_unknown_peer_may_be_left_without_an_answer():
    wire = Harness(options={"peer_rules": PeerRules(refuse_silently=True)}).wire()
    wire.send(
        CapabilitiesExchangeRequest(
            "x.evil.example", "evil.example", auth_application_ids=(4,), **CER
        ).write(1, 1)
    )
    assert wire.received() == []
    assert wire.transport.disconnecting


@pytest.mark.rule("B-044")
def test_unknown_peers_may_be_accepted_with_a_warning_that_names_the_command(capsys):
    harness = Harness(options={"peer_rules": PeerRules(accept_unknown=True)})
    wire = harness.open("new.example")
    assert wire.ccr(ccr(1, 0, mscc(), origin_host="new.example")).result_code == 2001
    assert "ocs peer allow new.example" in capsys.readouterr().out


@pytest.mark.rule("T044")
def test_a_peer_is_known_in_any_spelling():
    Harness().open("PGW1.Net.Example.")


def test_a_peer_allowed_while_the_server_runs_connects_at_once_and_a_removed_one_no_more():
    harness = Harness()
    harness.server.supervisor.start()
    harness.pass_time(1)
    assert harness.wire().open("new.example").result_code == 3010
    harness.store.allow_peer(PeerEntry("new.example", profile="magma"), action(harness))
    harness.pass_time(2)
    wire = harness.open("new.example")
    assert wire.ccr(ccr(1, 0, mscc(), origin_host="new.example")).result_code == 2001
    harness.store.remove_peer("new.example", action(harness))
    harness.pass_time(2)
    ((header, goodbye),) = wire.received()
    assert (header.command_code, header.is_request) == (282, True)
    assert DisconnectPeerRequest.read(goodbye).disconnect_cause == 2
    wire.protocol.connectionLost()
    assert harness.wire().open("new.example").result_code == 3010


def test_a_profile_that_an_operator_changes_holds_for_the_next_request():
    harness = Harness(options={"peers": ()}, balance="0.00")
    harness.store.allow_peer(PeerEntry(P1), action(harness))
    harness.server.supervisor.start()
    harness.pass_time(1)
    wire = harness.open()
    assert wire.ccr(ccr(1, 0, mscc(), session="a")).result_code == 2001
    harness.store.allow_peer(PeerEntry(P1, profile="kamailio"), action(harness))
    harness.pass_time(2)
    assert wire.ccr(ccr(1, 0, mscc(), session="b")).result_code == 4012


def test_the_configuration_goes_before_the_store():
    directory = PeerDirectory(PeerRules(), [PeerEntry("a.example", profile="magma")])
    directory.replace_stored([PeerEntry("a.example"), PeerEntry("b.example")])
    assert directory.entry_for("A.example").profile == "magma"
    assert directory.known("b.example") == PeerEntry("b.example")


@pytest.mark.parametrize(
    "networks,address,accepted",
    [
        ((), "203.0.113.9", True),
        (("192.0.2.0/24",), "192.0.2.20", True),
        (("192.0.2.0/24",), "::ffff:192.0.2.20", True),
        (("192.0.2.0/24", "2001:db8::/32"), "2001:db8::5", True),
        (("::ffff:192.0.2.0/120",), "192.0.2.20", True),
        (("::ffff:192.0.2.0/120",), "::ffff:192.0.2.20", True),
        (("::ffff:192.0.2.0/120",), "192.0.3.20", False),
        (("fe80::/10",), "fe80::1%eth0", True),
        (("192.0.2.0/24",), "203.0.113.9", False),
        (("192.0.2.0/24",), "", False),
    ],
)
def test_a_peer_must_come_from_its_networks(networks, address, accepted):
    directory = PeerDirectory(PeerRules(), [PeerEntry("a.example", source_networks=networks)])
    assert directory.decide("a.example", Caller(address)).accept == accepted


@pytest.mark.parametrize(
    "peers,accept_unknown,address,admitted",
    [
        ((), False, "192.0.2.20", False),
        ((PeerEntry("a.example"),), False, "203.0.113.9", True),
        ((BEHIND,), False, "192.0.2.20", True),
        ((BEHIND,), False, "203.0.113.9", False),
        ((BEHIND,), False, "2001:db8:1::9", False),
        ((BEHIND,), False, "", False),
        ((BEHIND,), True, "203.0.113.9", True),
        ((BEHIND, PeerEntry("b.example")), False, "203.0.113.9", True),
        ((BEHIND, PeerEntry("b.example", source_networks=("::1/128",))), False, "::1", True),
    ],
)
def test_who_comes_from_where_no_peer_may_come_from_is_not_listened_to(
    peers, accept_unknown, address, admitted
):
    directory = PeerDirectory(PeerRules(accept_unknown=accept_unknown), peers)
    assert directory.admits(address) is admitted
    directory = PeerDirectory(PeerRules(accept_unknown=accept_unknown))
    directory.replace_stored(peers)
    assert directory.admits(address) is admitted


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def caller(authority, *names: str, address="192.0.2.20"):
    """What a connection shows on which a certificate with these names was proved."""
    return Caller(address, PeerCertificate(authority.issue(*names).certificate))


@pytest.mark.rule("B-002", "T016")
@pytest.mark.parametrize(
    "entry,names,accepted",
    [
        (PeerEntry("a.example"), ("a.example",), True),
        (PeerEntry("a.example"), ("b.example", "A.example"), True),
        (PeerEntry("a.example"), ("b.example",), False),
        (PeerEntry("a.example"), (), False),
        (PeerEntry("a.example", tls_names=("pool.example",)), ("pool.example",), True),
        (PeerEntry("a.example", tls_names=("x.example", "y.example")), ("y.example",), True),
        (PeerEntry("a.example", tls_names=("pool.example",)), ("a.example",), False),
    ],
)
def test_a_certificate_must_have_the_name_of_the_peer(authority, entry, names, accepted, capsys):
    decision = PeerDirectory(PeerRules(), [entry]).decide("a.example", caller(authority, *names))
    assert decision.accept is accepted
    said = capsys.readouterr().out
    assert ("certificate has another name" in said) is not accepted
    assert accepted or decision.result_code == 3010


@pytest.mark.rule("B-002")
def test_a_peer_that_nobody_knows_must_have_its_own_name_too(authority):
    directory = PeerDirectory(PeerRules(accept_unknown=True))
    assert directory.decide("a.example", caller(authority, "a.example")).accept
    assert not directory.decide("a.example", caller(authority, "b.example")).accept


@pytest.mark.rule("B-002", "B-003")
def test_a_peer_that_must_use_tls_is_refused_in_clear():
    entry = PeerEntry(P1, require_tls=True)
    wire = Harness(options={"peers": (entry,)}).wire()
    answer = wire.open()
    assert answer.result_code == 5017
    assert "must connect with TLS" in answer.error_message
    assert wire.transport.disconnecting


def test_the_network_is_looked_at_before_the_connection_that_is_there_is_touched(authority):
    directory = PeerDirectory(PeerRules(), [replace(BEHIND, require_tls=True)])
    first = Probed()
    directory.opened("a.example", first)
    for stranger in (
        caller(authority, "a.example", address="203.0.113.9"),
        caller(authority, "b.example"),
        Caller("192.0.2.20"),
    ):
        assert not directory.decide("a.example", stranger).accept
    assert first.probes == 0
    assert directory.decide("a.example", caller(authority, "a.example")).result_code == 5012
    assert first.probes == 1


def test_a_connected_peer_that_may_not_come_like_this_any_more_is_sent_away():
    harness = Harness(options={"peers": ()})
    harness.store.allow_peer(PeerEntry(P1), action(harness))
    harness.server.supervisor.start()
    harness.pass_time(1)
    wire = harness.open()
    harness.store.allow_peer(PeerEntry(P1, require_tls=True), action(harness))
    harness.pass_time(2)
    ((header, goodbye),) = wire.received()
    assert (header.command_code, header.is_request) == (282, True)
    assert DisconnectPeerRequest.read(goodbye).disconnect_cause == 2


@pytest.mark.rule("B-047", "B-127", "D15")
def test_a_second_connection_is_refused_and_the_first_probed():
    harness = Harness()
    first = harness.open()
    second = harness.wire()
    assert second.open().result_code == 5012
    assert second.transport.disconnecting
    ((header, _),) = first.received()
    assert header.command_code == 280
    assert header.is_request
    assert first.ccr(ccr(1, 0, mscc())).result_code == 2001


@pytest.mark.rule("D15", "T046")
def test_after_the_first_connection_is_gone_the_peer_may_come_again():
    harness = Harness()
    harness.open().protocol.connectionLost()
    harness.open()


def test_an_unknown_profile_name_is_said_and_treated_as_generic(capsys):
    harness = Harness(options={"peers": (PeerEntry(P1, profile="nonsense"),)})
    assert harness.open().ccr(ccr(1, 0, mscc())).result_code == 2001
    assert "nonsense" in capsys.readouterr().out
