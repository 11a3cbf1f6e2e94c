"""Requests that are broken on purpose: what is wrong with them, and that a real server says so."""

import json
import random
import subprocess

import pytest

from config import config_path
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.proof import audit
from protocol.codec import read_header
from protocol.credit_control import CreditControlRequest, RequestType
from protocol.credit_control_reader import read_ccr
from protocol.credit_control_writer import write_ccr
from protocol.errors import RemoteProtocolError
from protocol.members import LENIENT
from simulators.traffic.spoiling import spoiled
from tests.support.blackbox import World
from tests.support.launcher import run_ocs

SCENARIO = """\
name: broken
seed: 3
speed_up: 60
load: {arrivals: {process: constant, per_second: 10}, sessions: 20}
gateways:
  - {origin_host: pgw1.net.example, origin_realm: net.example}
  - {origin_host: smsc1.net.example, origin_realm: net.example, services: [sms]}
subscribers:
  - {count: 5, plan: prepaid, balance: "100", identities: [{type: msisdn, pattern: "+3461777####"}]}
services:
  - {kind: data, duration_seconds: 30, rating_groups: [
      {rating_group: 100, octets_per_second: 500000}]}
  - {kind: sms, destinations: [{number: "+3462#######"}]}
faults:
  requests: [{kind: broken, probability: 0.4, gateways: [pgw1.net.example]}]
"""
REFUSALS = {"5004", "5005", "5014", "3009"}


@pytest.mark.rule("X-038")
def test_every_defect_is_one_that_must_be_refused():
    request = CreditControlRequest(
        session_id="pgw1;1;1",
        origin_host="pgw1.net.example",
        origin_realm="net.example",
        destination_realm="ocs.example",
        auth_application_id=4,
        service_context_id="32251@3gpp.org",
        request_type=RequestType.INITIAL,
        request_number=0,
    )
    message = write_ccr(request, 7, 9)
    assert read_ccr(message, read_header(message), LENIENT).session_id == "pgw1;1;1"
    seen = {}
    for number in range(60):
        broken, words = spoiled(message, random.Random(number))
        header = read_header(broken)
        assert header.length == len(broken)
        assert len(broken) % 4 == 0
        with pytest.raises(RemoteProtocolError) as caught:
            read_ccr(broken, header, LENIENT)
        seen[words] = caught.value.result_code
    assert len(seen) == 5
    assert set(seen.values()) == {5005, 5014, 5004}


@pytest.mark.rule("X-038")
def test_a_server_refuses_broken_requests_and_serves_the_others(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    home = tmp_path / "server"
    home.mkdir()
    with World(home, diameter={"peers": []}) as world:
        catalogue = config_path("catalogues/library.yaml").read_text(encoding="utf-8")
        catalogs.publish(world.desk, catalogue, "library.yaml")

        def ocs(*arguments: str) -> subprocess.CompletedProcess[str]:
            return run_ocs("simulate", *arguments, "--json")

        assert ocs("provision", str(path), "--database", world.server.url).returncode == 0
        done = ocs("run", str(path), "--port", str(world.server.addresses[0][1]))
        assert done.returncode == 0, done.stdout + done.stderr
        assert audit.run(world.desk, world.catalogues).clean
        world.check()
    report = json.loads(done.stdout)
    broken = report["series"]["faults_by_kind"]["request broken"]
    refused = {code: n for code, n in report["result_codes"].items() if code in REFUSALS}
    assert sum(refused.values()) == broken > 2
    assert report["answers"] == report["requests"]
    assert set(report["result_codes"]) == {"2001", *refused}
