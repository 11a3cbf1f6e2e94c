"""The edge reads requests like those before it faster, and answers them the same."""

from itertools import pairwise

from protocol.credit_control_reader import read_cca
from tests.support.service import Harness, ccr, mscc

INITIAL, UPDATE = 1, 2


def figures(harness: Harness) -> dict[str, float]:
    lines = harness.server.metrics.exposition().decode().splitlines()
    named = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    shown = ("ocs_request_reads_total", "ocs_layouts")
    return {name: float(value) for name, value in named if name.startswith(shown)}


def test_updates_of_a_known_layout_are_charged_like_the_first():
    harness = Harness()
    wire = harness.open()
    wire.ccr(ccr(INITIAL, 0, mscc()))
    balances = []
    for number in range(1, 7):
        answer = wire.ccr(ccr(UPDATE, number, mscc(used=1_000_000)))
        assert (answer.request_number, answer.result_code) == (number, 2001)
        balances.append(harness.money()[0])
    steps = {first - second for first, second in pairwise(balances)}
    assert steps == {50_000}
    assert figures(harness) == {
        'ocs_request_reads_total{layout="known"}': 3.0,
        'ocs_request_reads_total{layout="new"}': 4.0,
        "ocs_layouts": 2.0,
    }


def test_a_fault_in_a_known_layout_is_answered_like_any_other():
    harness = Harness()
    wire = harness.open()
    wire.ccr(ccr(INITIAL, 0, mscc()))
    for number in range(1, 5):
        wire.ccr(ccr(UPDATE, number, mscc(used=1_000_000)))
    message = wire.encode(ccr(UPDATE, 5, mscc(used=1_000_000)))
    _, refused = wire.ask(message.replace(b"32251@3gpp.org", b"32251@3gpp.\xff\xff\xff"))
    answer = read_cca(refused)
    assert (answer.result_code, answer.request_number) == (5004, 5)
    assert b"32251@3gpp.\xff\xff\xff" in answer.failed_avp
