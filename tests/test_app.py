"""The server as a process: started, asked over real sockets, stopped, killed, started again."""

import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from ocs import app
from ocs.clock import FileClock, SystemClock
from ocs.errors import UsageError
from ocs.service import application
from ocs.service.watching.status import STATUS_CONNECTIONS_MAX
from ocs.settings import parse_settings
from ocs.settings.values import DiameterSettings, Listener, OverloadSettings, Settings
from protocol.credit_control import MultipleServices
from protocol.credit_control_reader import read_cca
from protocol.credit_control_writer import write_ccr
from tests.support.diameter_client import ConnectionEndedError
from tests.support.launcher import forked_ocs
from tests.support.ocs_process import OcsProcess
from tests.support.service import ccr, mscc
from tests.support.sources import ROOT

DEADLINE_SECONDS = 20.0


@pytest.fixture
def server(tmp_path):
    process = forked_ocs(tmp_path)
    process.create_database()
    with process:
        yield process


def asked(kind, number, *services: MultipleServices, **changes: Any):
    """A CCR without Event-Timestamp: the process has the machine's own clock."""
    return ccr(kind, number, *services, event_timestamp_ns=None, **changes)


def money(process, account_id=1001):
    """Balance and reserved money as the database has them."""
    from ocs.amounts import Unit
    from ocs.charging.model.working_set import RequestKey

    store = process.open_store()
    try:
        state = store.transact(
            [RequestKey(account_id, b"\0" * 16, 10, 0)],
            lambda working_set: working_set.accounts[account_id],
        )
    finally:
        store.close()
    buckets = [bucket for bucket in state.buckets if bucket.unit == Unit.MONEY]
    return sum(b.balance for b in buckets), sum(b.held for b in buckets)


def until(condition):
    """Ask again and again, for a bounded time."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        if result := condition():
            return result
    raise AssertionError("it never happened")


@pytest.mark.rule("T001", "T013")
def test_ipv4_and_ipv6_are_served_and_a_session_is_charged(server):
    with server.peer() as client, server.client(1, origin_host="dra1.net.example") as other:
        assert other.open().host_ip_addresses == ("::1",)
        assert client.ccr(asked(1, 0, mscc())).services[0].granted.total_octets == 10_000_000
        update = asked(2, 1, mscc(used=3_000_000), origin_host="dra1.net.example")
        assert other.ccr(update).result_code == 2001
        assert client.ccr(asked(3, 2, mscc(used=1, ask=False))).result_code == 2001
        client.disconnect()
    assert money(server) == (10_000_000 - 150_000 - 50_000, 0)


def test_sigterm_answers_what_is_in_flight_says_goodbye_and_ends_cleanly(server):
    with server.peer() as client:
        count = 50
        for number in range(count):
            request = asked(1, 0, mscc(ask=1_000_000), session=f"s{number}")
            client.send(write_ccr(request, number + 10, number + 10))
        first, _ = client.receive()
        server.process.terminate()
        received = [first.hop_by_hop]
        try:
            while True:
                header, message = client.receive()
                if read_cca(message).result_code == 2001:
                    received.append(header.hop_by_hop)
        except ConnectionEndedError:
            pass
    assert server._wait() == 0
    assert [line["event"] for line in server.log][-2:] == ["stopped", "ended"]
    balance, held = money(server)
    assert balance == 10_000_000
    # Whatever was answered is stored; what was refused while stopping is not.
    assert held == 50_000 * len(received)
    assert len(set(received)) == len(received)


def test_a_second_signal_and_silent_peers_do_not_keep_it(tmp_path):
    process = OcsProcess(tmp_path, diameter={"drain_timeout_seconds": 1, "dpa_timeout_seconds": 1})
    process.create_database()
    with process, process.peer():
        started = time.monotonic()
        assert process.stop() == 0
        assert time.monotonic() - started < 8


def test_after_kill_nine_a_retransmission_gets_the_same_octets_and_moves_no_money(tmp_path):
    process = forked_ocs(tmp_path)
    process.create_database()
    with process:
        first = process.peer()
        initial = write_ccr(asked(1, 0, mscc()), 5, 6)
        update = write_ccr(asked(2, 1, mscc(used=3_000_000)), 7, 8)
        answers = [first.ask(initial)[1], first.ask(update)[1]]
        process.kill()
        first.close()
        before = money(process)
        process.start()
        with process.peer() as client:
            assert [client.ask(initial)[1], client.ask(update)[1]] == answers
        assert money(process) == before == (9_850_000, 500_000)


def test_the_test_clock_makes_tcc_run_out(tmp_path):
    process = forked_ocs(tmp_path, test_clock=True)
    process.create_database()
    with process, process.peer() as client:
        client.ccr(asked(1, 0, mscc()))
        assert money(process) == (10_000_000, 500_000)
        process.set_clock(61)
        until(lambda: money(process) == (10_000_000, 0))
        # Within the tombstone time the client may still report what it used (D11).
        assert client.ccr(asked(3, 1, mscc(used=5, ask=False))).result_code == 5002


@pytest.mark.rule("T032")
def test_an_unknown_peer_is_refused_until_it_is_allowed_while_the_server_runs(server):
    def code():
        with server.client(origin_host="new.example") as client:
            try:
                return client.open().result_code
            except ConnectionEndedError:
                return 0  # so many connections at once are too many

    assert code() == 3010
    words = "unknown peer refused; to allow it: "
    line = server.wait_for(
        f"{words}ocs peer allow new.example --database sqlite:///{server.directory}/ocs.db"
    )
    assert line["level"] == "warning"
    typed = shlex.split(line["event"].removeprefix(words))[1:]
    subprocess.run(
        [sys.executable, "-m", "ocs.cli.main", *typed], cwd=ROOT, check=True, capture_output=True
    )
    until(lambda: code() == 2001)


@pytest.mark.rule("T005", "T007")
def test_who_does_not_begin_with_a_cer_is_disconnected_without_a_word(server):
    with server.client() as client:
        client.send(write_ccr(asked(1, 0, mscc()), 1, 1))
        assert client.is_closed_by_server()
    with server.peer() as client:
        assert client.ccr(asked(1, 0, mscc())).result_code == 2001


def get(address, path):
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def is_live(address):
    try:
        return get(address, "/live")[0] == 200
    except OSError:
        return False


def test_metrics_liveness_and_readiness_are_on_a_port_of_their_own(tmp_path):
    process = forked_ocs(tmp_path, metrics={"enabled": True, "port": 0})
    process.create_database()
    with process, process.peer() as client:
        address = next(line["listen"] for line in process.log if line["event"] == "metrics")
        client.ccr(asked(1, 0, mscc()))
        assert get(address, "/live") == (200, "live\n")
        until(lambda: get(address, "/ready")[0] == 200)
        status, text = get(address, "/metrics")
        assert status == 200
        assert 'ocs_requests_total{kind="initial",outcome="success"} 1.0' in text
        assert "ocs_peers_open 1.0" in text
        assert re.search(r'ocs_request_seconds_count\{kind="initial"\} 1\.0', text)
        assert get(address, "/nothing")[0] == 404
        host, _, port = address.rpartition(":")
        idle = [socket.create_connection((host, int(port))) for _ in range(STATUS_CONNECTIONS_MAX)]
        with socket.create_connection((host, int(port))) as one_more:
            assert one_more.recv(1) == b""
        for connection in idle:
            connection.close()
        until(lambda: is_live(address))


def test_the_log_masks_the_subscriber(tmp_path):
    process = forked_ocs(tmp_path)
    process.create_database()
    with process, process.peer() as client:
        client.ccr(asked(1, 0, mscc()))
        assert process.stop() == 0
    assert "15550001" not in str(process.log)


# ------------------------------------------------------------------------- what cannot start


def fails_to_start(process):
    """Start it and return what it says."""
    with pytest.raises(AssertionError) as caught, process:
        pass
    return str(caught.value)


def test_a_port_in_use_is_named_with_what_to_do(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = forked_ocs(tmp_path, diameter={"listen": [f"127.0.0.1:{port}"]})
        process.create_database()
        said = fails_to_start(process)
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "choose another port in diameter.listen" in said


def test_an_address_of_another_machine_is_named(tmp_path):
    process = forked_ocs(tmp_path, diameter={"listen": ["192.0.2.1:0"]})
    process.create_database()
    assert "this machine has no such address" in fails_to_start(process)


def test_a_database_without_tables_is_refused_with_the_command_that_makes_them(tmp_path):
    (tmp_path / "ocs.db").touch()
    assert "ocs db upgrade" in fails_to_start(OcsProcess(tmp_path))


def test_a_test_clock_is_refused_where_others_can_connect(tmp_path):
    public = Settings(DiameterSettings(listen=(Listener("0.0.0.0", 3868),)))
    with pytest.raises(UsageError, match=r"0\.0\.0\.0 can be reached"):
        app.make_clock(public, tmp_path / "clock")
    assert isinstance(app.make_clock(public, None), SystemClock)
    for host in ("127.0.0.1", "::1", "localhost"):
        local = Settings(DiameterSettings(listen=(Listener(host, 3868),)))
        assert isinstance(app.make_clock(local, tmp_path / "clock"), FileClock)


def test_importing_the_composition_root_installs_no_reactor():
    script = "import sys, ocs.app; sys.exit('twisted.internet.reactor' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert done.returncode == 0


def test_every_setting_reaches_the_part_that_obeys_it():
    text = Path(ROOT / "config" / "ocs.yaml").read_text(encoding="utf-8")
    settings = parse_settings(text, "ocs.yaml")
    options = application.server_options(settings)
    assert options.batch.max_batch == settings.charging.max_batch_requests
    assert options.policy.tcc_default_seconds == settings.charging.tcc_default_seconds
    assert options.answer_within_ns == settings.charging.answer_within_ms * 1_000_000
    peer = application.peer_settings(settings, 7)
    assert peer.origin_state_id == 7
    assert peer.watchdog_seconds == settings.diameter.watchdog_seconds


def test_every_limit_reaches_the_connections():
    known = OverloadSettings()
    limits = {field.name: getattr(known, field.name) + 1 for field in fields(known)}
    text = f"overload: {limits}\ndiameter: {{max_connections: 7, max_unanswered_requests: 8}}"
    settings = parse_settings(text.replace("'", ""), "ocs.yaml")
    assert application.peer_settings(settings, 7).max_opening_octets == limits["max_cer_octets"]
    limits |= {"max_connections": 7, "max_unanswered_requests": 8}
    for field in fields(found := application.transport_limits(settings)):
        assert getattr(found, field.name) == limits[field.name], field.name


@pytest.mark.postgres
def test_a_session_on_postgresql(tmp_path, postgres_url):
    process = forked_ocs(tmp_path, postgres_url)
    process.create_database()
    with process:
        with process.peer() as client:
            assert client.ccr(asked(1, 0, mscc())).result_code == 2001
            assert client.ccr(asked(2, 1, mscc(used=3_000_000))).result_code == 2001
            assert client.ccr(asked(3, 2, mscc(used=0, ask=False))).result_code == 2001
        assert process.stop() == 0
    assert money(process) == (9_850_000, 0)


@pytest.mark.postgres
@pytest.mark.rule("D25")
def test_without_postgresql_the_answer_is_3004_in_time_and_service_comes_back(
    tmp_path, private_postgres
):
    url = private_postgres.url(private_postgres.create_database())
    process = forked_ocs(tmp_path, url)
    process.create_database()
    with process, process.peer() as client:
        assert client.ccr(asked(1, 0, mscc())).result_code == 2001
        private_postgres.stop()
        started = time.monotonic()
        assert client.ccr(asked(2, 1, mscc(used=1_000_000))).result_code == 3004
        assert time.monotonic() - started < 10  # it is decided after 2, and the machine is busy
        private_postgres.start()
        update = asked(2, 1, mscc(used=1_000_000))
        until(lambda: client.ccr(update).result_code == 2001)
        assert client.ccr(update).result_code == 2001
        assert process.stop() == 0
    assert money(process) == (9_950_000, 500_000)
