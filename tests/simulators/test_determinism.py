"""The same scenario, seed, start and answers give the same requests, octet for octet."""

import json
import subprocess
import sys
from collections import defaultdict
from typing import Any

import pytest

from protocol.codec import FLAG_RETRANSMIT, Header
from protocol.credit_control import CreditControlRequest, MultipleServices, ServiceUnits
from protocol.credit_control_reader import partial_ccr_fields
from tests.support.responder import Responder, answer_to

SCENARIO = """\
name: again
seed: 5
speed_up: 2000
load:
  arrivals: {process: poisson, per_second: 20}
  sessions: 40
gateways:
  - {origin_host: pgw1.net.example, origin_realm: net.example, services: [data], WINDOW}
  - {origin_host: feg1.net.example, origin_realm: net.example, shape: magma, WINDOW}
  - {origin_host: scscf1.net.example, origin_realm: net.example, shape: kamailio, WINDOW}
  - {origin_host: smsc1.net.example, origin_realm: net.example, services: [sms, mms], WINDOW}
subscribers:
  - count: 90
    activity: {zipf: 1.1}
    identities:
      - {type: msisdn, pattern: "+1555000##"}
      - {type: imsi, pattern: "2140100000000##"}
services:
  - kind: data
    weight: 4
    duration_seconds: {exponential: 400}
    moves: [{after_seconds: {uniform: [10, 300]}, plmn: "20801"}]
    rating_groups:
      - {rating_group: 100, octets_per_second: {uniform: [5000, 50000]}}
      - rating_group: 200
        octets_per_second: {uniform: [5000, 50000]}
        active_seconds: {exponential: 30}
        idle_seconds: {exponential: 60}
  - {kind: voice, duration_seconds: {exponential: 90}, destinations: [{number: "+4930#######"}]}
  - kind: sms
    weight: 2
    refunded_probability: 0.5
    destinations: [{number: "+4930#######"}]
  - {kind: mms, manner: ecur, delivered_probability: 0.5, destinations: [{number: "+4917####"}]}
"""


class RecordedAnswers(Responder):
    """Answers each request by what it says alone, and keeps the requests as they came."""

    def __init__(self, delayed: bool) -> None:
        super().__init__(self._recorded)
        self.messages: dict[str, list[bytes]] = defaultdict(list)
        self._delayed = delayed
        self._held: set[tuple[str, int, int]] = set()

    def _answer(self, header: Header, message: bytes) -> bytes | None:
        session_id = partial_ccr_fields(message)[0]
        assert session_id is not None
        if not header.flags & FLAG_RETRANSMIT:
            self.messages[session_id.decode()].append(message[:12] + bytes(8) + message[20:])
        return super()._answer(header, message)

    def _recorded(self, _: Any, __: Header, request: CreditControlRequest) -> Any:
        key = (request.session_id, request.request_type, request.request_number)
        if self._delayed and request.request_number == 1 and key not in self._held:
            self._held.add(key)  # it comes again with the T flag, and is then answered
            return None
        parts = []
        for one in request.services:
            granted = None
            if one.requested is not None:
                granted = one.requested
                if request.request_type != 4:
                    # The smaller the number, the larger the grant: no two sessions are alike.
                    size = 200_000 + 1000 * (request.request_number % 7)
                    granted = ServiceUnits(total_octets=size, time=40)
            parts.append(
                MultipleServices(
                    rating_group=one.rating_group,
                    service_identifiers=one.service_identifiers,
                    result_code=2001,
                    granted=granted,
                    volume_quota_threshold=20_000,
                    quota_holding_time=45,
                    validity_time=600,
                )
            )
        answer = answer_to(request, parts)
        answer.refund_information = request.session_id.encode()
        return answer


def requests_of(tmp_path: Any, *, delayed: bool, window: int, seed: int = 5) -> dict[str, Any]:
    path = tmp_path / "again.yaml"
    timeout = "answer_timeout_seconds: 0.3" if delayed else "answer_timeout_seconds: 30"
    path.write_text(SCENARIO.replace("WINDOW", f"window: {window}, {timeout}"))
    with RecordedAnswers(delayed) as responder:
        done = subprocess.run(
            [sys.executable, "-m", "ocs.cli.main", "simulate", path, "--json",
             "--seed", str(seed), "--start", "2026-03-02T11:29:30Z",
             "--port", str(responder.port)],
            capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert (report["retransmissions"] > 0) is delayed
    return dict(responder.messages)


@pytest.mark.rule("X-004")
def test_requests_are_the_same_however_late_the_answers_are(tmp_path):
    prompt = requests_of(tmp_path, delayed=False, window=64)
    late = requests_of(tmp_path, delayed=True, window=3)
    assert len(prompt) > 40  # refunds have sessions of their own
    assert {name: len(messages) for name, messages in prompt.items()} == {
        name: len(messages) for name, messages in late.items()
    }
    assert prompt == late
    assert sum(map(len, prompt.values())) > 200


@pytest.mark.rule("X-004")
def test_other_dice_make_other_requests(tmp_path):
    prompt = requests_of(tmp_path, delayed=False, window=64)
    other = requests_of(tmp_path, delayed=False, window=64, seed=6)
    assert prompt != other
