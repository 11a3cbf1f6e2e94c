"""Simulated runs and replays for tests: what is played, to whom, and the report of it."""

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from protocol.credit_control import CreditControlAnswer, MultipleServices, ServiceUnits
from tests.support.captures import Made, Talk, pcap, session
from tests.support.launcher import run_ocs
from tests.support.responder import Answerer, Responder, answer_to, grant_all


def scenario(speed_up: int = 200, concurrency: int = 6, sessions: int = 12) -> str:
    """Data and messages over two connections that let two requests wait each."""
    return f"""\
name: e2e
seed: 5
speed_up: {speed_up}
load: {{concurrency: {concurrency}, sessions: {sessions}, duration_seconds: 20}}
gateways:
  - {{origin_host: "pgw{{n}}.net.example", origin_realm: net.example, connections: 2, window: 2}}
subscribers:
  - {{count: 9, identities: [{{type: msisdn, pattern: "+155500#"}}]}}
services:
  - kind: data
    weight: 2
    duration_seconds: {{uniform: [60, 200]}}
    rating_groups: [{{rating_group: 100, octets_per_second: 50000}}]
  - {{kind: sms, destinations: [{{number: "+4930#######"}}]}}
"""


def simulate(*arguments: object, expect: int = 0) -> "CompletedProcess[str]":
    """Run `ocs simulate` with these arguments, which is to end with this exit code."""
    done = run_ocs("simulate", *map(str, arguments))
    assert done.returncode == expect, done.stdout + done.stderr
    return done


def run(
    directory: Path,
    text: str,
    answerer: Answerer = grant_all,
    expect: int = 0,
    *options: str,
    tls: Any = None,
) -> tuple[dict[str, Any], Responder]:
    """The report of a scenario's run, and the responder that answered it."""
    path = directory / "scenario.yaml"
    path.write_text(text)
    with Responder(answerer, tls) as responder:
        done = simulate(path, "--json", "--port", responder.port, *options, expect=expect)
    return json.loads(done.stdout), responder


def run_with_servers(
    directory: Path, text: str, *answerers: Answerer
) -> tuple[dict[str, Any], list[Responder]]:
    """The same with the servers that the scenario then names."""
    path, responders = directory / "scenario.yaml", [Responder(one) for one in answerers]
    for one in responders:
        one.__enter__()
    try:
        ports = ", ".join(f'"127.0.0.1:{one.port}"' for one in responders)
        path.write_text(f"{text}servers: [{ports}]\n")
        done = run_ocs("simulate", "run", path, "--json")
    finally:
        for one in responders:
            one.__exit__(None, None, None)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return json.loads(done.stdout), responders


# ----------------------------------------------------------------------------------- replays


def recorded(_: Responder, __: Any, request: Any) -> CreditControlAnswer:
    """What `cca` of the captures answers."""
    part = MultipleServices(
        rating_group=100, result_code=2001, granted=ServiceUnits(total_octets=1_000_000),
        validity_time=3600,
    )  # fmt: skip
    answer = answer_to(request, [part])
    answer.proxy_infos = request.proxy_infos
    return answer


def talk_of(sessions: int) -> Talk:
    """A connection with so many sessions, one after the other."""
    talk = Talk().open()
    for ordinal in range(1, sessions + 1):
        talk.exchange_all(session(ordinal, msisdn=f"49151{ordinal}"))
    return talk


def capture(
    directory: Path, packets: Talk | list[Made], name: str = "gy.pcap", link_type: int = 101
) -> Path:
    """A file of a connection, or of packets of this link."""
    path = directory / name
    made = packets if isinstance(packets, list) else packets.packets
    path.write_bytes(pcap(made, link_type))
    return path


def replay(
    path: Path, *options: object, answerer: Answerer = recorded, expect: int = 0
) -> tuple[dict[str, Any], Responder]:
    """The report of a replay, and the responder that answered it."""
    with Responder(answerer) as responder:
        done = simulate("replay", path, "--json", "--port", responder.port, *options, expect=expect)
    return json.loads(done.stdout), responder
