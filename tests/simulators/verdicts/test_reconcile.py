"""The simulator's own account against the books of a real server, and planted discrepancies."""

import copy
import json
import pickle
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from config import config_path
from ocs.cli.simulate import books
from ocs.ledger.account import Contra
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.desk import find_subscriber
from protocol.credit_control import (
    CreditControlRequest,
    MultipleServices,
    RequestType,
    ServiceUnits,
    UsedServiceUnit,
)
from protocol.credit_control_writer import write_ccr
from simulators.scenarios.model import load_scenario
from simulators.scenarios.services import DataService, RatingGroupUse
from simulators.scenarios.values import fixed
from simulators.traffic.events import Errand, EventSession
from simulators.traffic.quota import ServiceReport, Unit
from simulators.traffic.subscriber import Demand
from simulators.verdicts.own_account import OwnAccount
from simulators.verdicts.reconciling import discrepancies, reconciled
from simulators.verdicts.statements import ChargedSession, Statement
from tests.support.blackbox import World
from tests.support.launcher import run_ocs
from tests.support.responder import answer_to
from tests.support.sources import ROOT

SCENARIO = """\
name: books
speed_up: 60
load: {arrivals: {process: constant, per_second: 8}, sessions: 16}
gateways:
  - {origin_host: pgw1.net.example, origin_realm: net.example}
subscribers:
  - {name: NAME, count: 5, plan: prepaid, balance: "10", uses: [data, sms, voice],
     identities: [{type: msisdn, pattern: "+34PREFIX####"}]}
services:
  - {kind: data, duration_seconds: 60, rating_groups: [
      {rating_group: 100, octets_per_second: {uniform: [100000, 400000]}}]}
  - {kind: sms, refunded_probability: 0.3, destinations: [{number: "+346######"}]}
  - {kind: voice, duration_seconds: {uniform: [10, 50]}, destinations: [{number: "+346######"}]}
faults: {retransmit: 0.2}
"""
OVER = DataService(
    kind="data",
    duration_seconds=fixed(1),
    rating_groups=(RatingGroupUse(rating_group=100, octets_per_second=fixed(1)),),
)
INCLUDED = """
  included:
    name: Some of everything is free
    allowances:
      some-data: {unit: octets, amount: 15 MB, services: [web], priority: 10}
      some-seconds: {unit: seconds, amount: 40 s, services: [call], priority: 10}
      two-messages: {unit: events, amount: 2, services: [sms], priority: 10}
    services:
      web:
        prices:
          - {time_band: first-half, price: 0.02, per: 1 MB, increment: 100 kB}
          - {price: 0.01, per: 1 MB, increment: 100 kB}
      call: {price: 0.07, per: 1 min, increment: 7 s, setup: 0.10}
      sms: {price: 0.07}
"""
SPONSORED = INCLUDED.replace("included:", "sponsored:").replace(
    "sms: {price: 0.07}", "sms: {price: 0.07, sponsor: mall}"
).replace("setup: 0.10}", "setup: 0.10, sponsor: mall}").replace(
    "price: 0.01, per: 1 MB, increment: 100 kB}",
    "price: 0.01, per: 1 MB, increment: 100 kB, sponsor: shop}",
)  # fmt: skip
LIBRARY = {
    "data": ["--sessions", "30", "--duration", "4", "--speed-up", "600"],
    "refunds": ["--duration", "3", "--speed-up", "20"],
    "roaming": ["--sessions", "20", "--duration", "4", "--speed-up", "600"],
    "voice": ["--duration", "3", "--speed-up", "900"],
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server that sells what the library uses, besides with free units and with a sponsor."""
    catalogue = config_path("catalogues/library.yaml").read_text(encoding="utf-8")
    before, examples, after = catalogue.partition("\nexamples:")
    with World(tmp_path_factory.mktemp("books"), diameter={"peers": []}) as running:
        text = before + INCLUDED + SPONSORED + examples + after
        catalogs.publish(running.desk, text, "library.yaml")
        yield running


def ocs(*arguments: str, code: int = 0, **variables: str) -> str:
    done = run_ocs(*arguments, environ=variables)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout or done.stderr


def run(world: World, scenario: Any, *options: str, code: int = 0) -> dict[str, Any]:
    """The verdicts of a run, by name."""
    port = str(world.server.addresses[0][1])
    printed = ocs(
        "simulate", "run", str(scenario), "--port", port, "--json", *options,
        "--database", world.server.url, code=code,
    )  # fmt: skip
    report = json.loads(printed)
    assert report["problems"] == []
    return {one["name"]: one for one in report["verdicts"]}


def provide(
    world: World, directory: Path, prefix: str, expect: str = "", plan: str = "prepaid"
) -> Path:
    """A scenario with subscribers of its own."""
    path = directory / f"books{prefix}.yaml"
    path.write_text(
        SCENARIO.replace("PREFIX", prefix).replace("NAME", f"group {prefix}").replace(
            "plan: prepaid", f"plan: {plan}"
        ) + expect,
        encoding="utf-8",
    )
    ocs("simulate", "provision", str(path), "--database", world.server.url)
    return path


@pytest.mark.rule("X-074")
@pytest.mark.rule("X-075")
@pytest.mark.parametrize("name", LIBRARY)
def test_the_books_are_what_the_simulator_has_used(world, name):
    planned = load_scenario(config_path(f"scenarios/{name}.yaml")).subscribers
    assert all(group.plan for group in planned)
    ocs("simulate", "provision", name, "--database", world.server.url)
    verdict = run(world, name, *LIBRARY[name], "--reconcile")["reconciled with the server's books"]
    assert verdict["ok"]
    sessions, _, rest = verdict["found"].partition(" sessions of ")
    assert int(sessions) > 10
    assert f", {sessions} of them priced again" in rest


FAULTS = """faults:
  retransmit: 0.2
  answers:
    - {kind: lost, probability: 0.1}
    - {kind: duplicated, probability: 0.2}
    - {kind: cut, probability: 0.05}
  connections: [{kind: restart, at_seconds: [1.5]}]
"""


@pytest.mark.rule("X-074")
def test_whatever_happens_to_answers_everything_is_charged_once(world, tmp_path):
    path = provide(world, tmp_path, "1007")
    body = path.read_text(encoding="utf-8").replace("faults: {retransmit: 0.2}\n", FAULTS)
    body = body.replace("realm: net.example}", "realm: net.example, answer_timeout_seconds: 0.5}")
    path.write_text(body.replace("sessions: 16", "sessions: 40"), encoding="utf-8")
    verdict = run(world, path, "--reconcile")["reconciled with the server's books"]
    assert verdict["ok"], verdict["found"]
    assert not verdict["found"].endswith(" 0 sent again")


@pytest.mark.rule("X-075")
def test_what_free_units_have_paid_costs_nothing(world, tmp_path):
    path = provide(world, tmp_path, "1006", plan="included")
    more = path.read_text(encoding="utf-8").replace("sessions: 16", "sessions: 40")
    path.write_text(more, encoding="utf-8")
    verdict = run(world, path, "--reconcile")["reconciled with the server's books"]
    assert verdict["ok"], verdict["found"]
    own = account_of(world, path)
    for one in books.statements(world.desk, world.catalogues, own):
        shown = [bucket.balance for bucket in world.desk.reports.buckets(
            find_subscriber(world.desk, one.identities[0][1]).account_id)]  # fmt: skip
        assert 0 in shown  # something was used up
    assert discrepancies(own, books.statements(world.desk, world.catalogues, own)) == []


@pytest.mark.rule("X-075", "K-216")
def test_what_sponsors_pay_is_no_money_of_the_account(world, tmp_path):
    path = provide(world, tmp_path, "1099", plan="sponsored")
    verdict = run(world, path, "--reconcile")["reconciled with the server's books"]
    assert verdict["ok"], verdict["found"]
    sessions, _, rest = verdict["found"].partition(" sessions of ")
    assert f", {sessions} of them priced again" in rest
    assert any(one.amount_micro for one in world.desk.ledger.sponsored(0, 1 << 62))


MORE_TO_SPONSOR = f"""\
UPDATE movement SET amount = amount + 1 WHERE account_id = :a AND contra = {int(Contra.SPONSOR)}
AND request_id = (SELECT min(request_id) FROM movement
                  WHERE contra = {int(Contra.SPONSOR)} AND account_id = :a)
"""
MORE_REVENUE = MORE_TO_SPONSOR.replace("amount + 1", "amount - 1").replace(
    f"contra = {int(Contra.SPONSOR)}", f"contra = {int(Contra.REVENUE)}", 1
)


@pytest.mark.rule("X-076", "K-216")
def test_a_sponsor_who_paid_too_much_is_found(world, tmp_path):
    """Nothing of the account's own shows it: the line in and the line out are of one amount."""
    own = account_of(world, provide(world, tmp_path, "1098", plan="sponsored"))
    assert found(world, own) == []
    said = books.statements(world.desk, world.catalogues, own)
    name = next(
        one.identities[0][1] for one in said
        if any(session.sponsored for session in one.sessions.values())
    )  # fmt: skip
    engine = create_engine(world.server.url)
    with engine.begin() as connection:
        for statement in (MORE_REVENUE, MORE_TO_SPONSOR):
            account = {"a": find_subscriber(world.desk, name).account_id}
            assert connection.execute(text(statement), account).rowcount == 1
    engine.dispose()
    (wrong,) = found(world, own)
    assert f"msisdn:{name}" in wrong
    assert " to sponsor '" in wrong
    assert "but what was used costs him" in wrong


NOTHING = "import sys; [print('{}') for _ in sys.stdin]"
"""A command of --check-with that knows of no session."""


@pytest.mark.rule("X-098", "X-100")
def test_several_processes_and_joined_runs_are_reconciled_as_one(world, tmp_path):
    expect = "expect: [{held: {exactly: '0'}, nothing_lost: true}]\n"
    path = provide(world, tmp_path, "1010", expect)
    body, given, sessions = path.read_text(encoding="utf-8"), [], 0
    for name, processes in (("here", "2"), ("there", "1")):
        host = f'{{origin_host: "{name}{{n}}.example", origin_realm: net.example, connections: 2}}'
        scenario = tmp_path / f"{name}.yaml"
        gateway = "{origin_host: pgw1.net.example, origin_realm: net.example}"
        assert gateway in body
        scenario.write_text(body.replace(gateway, host), encoding="utf-8")
        said = ocs("simulate", "provision", str(scenario), "--database", world.server.url, code=1)
        assert "the gateways of books are allowed, but its subscribers cannot be added: " in said
        assert "belongs to account" in said
        assert said.rstrip().endswith(", and so on, 4 more")
        kept = ("--report", f"{tmp_path}/{name}.json", "--journal", f"{tmp_path}/{name}.journal")
        found = run(world, scenario, "--processes", processes, "--reconcile", *kept)
        verdict = found["reconciled with the server's books"]
        assert verdict["ok"], verdict["found"]
        assert verdict["books"]
        sessions += int(verdict["found"].split()[0])  # refunds are sessions of their own
        assert found["held of each"]["ok"]
        given += ["--journal", f"{tmp_path}/{name}.journal"]
    reports = [f"{tmp_path}/here.json", f"{tmp_path}/there.json"]
    command = ("simulate", "join", *reports, *given, "--json")
    printed = ocs(*command, "--reconcile", "--database", world.server.url)
    verdicts = json.loads(printed)["verdicts"]
    assert [one["name"] for one in verdicts] == [
        "nothing lost", "held of each", "reconciled with the server's books",
    ]  # fmt: skip
    assert verdicts[2]["ok"], verdicts[2]["found"]
    assert verdicts[2]["found"].startswith(f"{sessions} sessions of ")
    assert sessions >= 32
    asked = f"{shlex.quote(sys.executable)} -c {shlex.quote(NOTHING)}"
    wrong = json.loads(ocs(*command, "--check-with", asked, code=1))["verdicts"]
    assert [one["ok"] for one in wrong] == [True, False, False]
    assert "what was used and answered is not in the books" in wrong[2]["found"]


@pytest.mark.rule("X-079")
def test_balances_and_what_was_spent_are_judged(world, tmp_path):
    expect = """\
expect:
  - {reconciled: true}
  - {subscribers: group 1001, balance: {at_most: "10"}, held: {exactly: "0"},
     spent: {at_least: "0.000001"}}
  - {name: dear, balance: {at_least: "10"}, spent: {exactly: "0"}}
"""
    path = provide(world, tmp_path, "1001", expect)
    verdicts = run(world, path, code=1)
    good = ["reconciled", "group 1001: balance of each", "group 1001: held of each",
            "group 1001: spent"]  # fmt: skip
    assert [verdicts[name]["ok"] for name in good] == [True] * 4
    assert not verdicts["dear: balance of each"]["ok"]
    assert verdicts["dear: spent"]["found"] == verdicts["group 1001: spent"]["found"]
    assert set(verdicts) == {*good, "dear: balance of each", "dear: spent"}


FIRST_CHARGE = (
    "request_id = (SELECT min(request_id) FROM movement WHERE contra = 1 AND account_id = :a)"
)
PLANTED: dict[str, tuple[list[str], str]] = {
    "an entry of another amount": (
        [f"UPDATE movement SET amount = amount - 1 WHERE account_id = :a AND {FIRST_CHARGE}",
         "UPDATE bucket SET available = available - 1 WHERE account_id = :a AND unit = 0"],
        "but what was used costs",
    ),
    "a balance that no entry explains": (
        ["UPDATE bucket SET available = available + 1 WHERE account_id = :a AND unit = 0"],
        "but the entries make",
    ),
    "a hold that nobody gives back": (
        ["UPDATE bucket SET available = 0, held = held + 7 WHERE account_id = :a AND unit = 0"],
        "is held although every session has ended",
    ),
    "requests that are not stored": (
        ["DELETE FROM request WHERE account_id = :a AND kind BETWEEN 1 AND 4"],
        "is not in the books",
    ),
    "a request under another number": (
        ["UPDATE request SET number = number + 50 WHERE account_id = :a AND kind BETWEEN 1 AND 4"],
        "is in the books and was never sent",
    ),
}  # fmt: skip


IN_A_PROCESS = """\
import pickle, sys
from pathlib import Path
from protocol.credit_control import (
    CreditControlRequest,
    MultipleServices,
    RequestType,
    ServiceUnits,
    UsedServiceUnit,
)
from protocol.credit_control_writer import write_ccr
from simulators.scenarios.model import load_scenario
from simulators.scenarios.services import DataService, RatingGroupUse
from simulators.scenarios.values import fixed
from simulators.traffic.events import EventSession
from simulators.traffic.quota import ServiceReport, Unit
from simulators.traffic.subscriber import Demand
from simulators.traffic.simulation import run_scenario
from simulators.verdicts.own_account import OwnAccount
own = OwnAccount()
report = run_scenario(load_scenario(Path(sys.argv[1])), "127.0.0.1", int(sys.argv[2]),
                      observers=(own,))
assert report.ok, report.as_text()
Path(sys.argv[3]).write_bytes(pickle.dumps(own))
"""


def account_of(world: World, path: Path) -> OwnAccount:
    """The simulator's own account of a run; a process runs one scenario."""
    kept = path.with_suffix(".pickle")
    port = str(world.server.addresses[0][1])
    done = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS, str(path), port, str(kept)],
        capture_output=True, text=True, timeout=120, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    own = pickle.loads(kept.read_bytes())
    assert isinstance(own, OwnAccount)
    return own


@pytest.fixture(scope="module")
def ran(world: World, tmp_path_factory: pytest.TempPathFactory) -> OwnAccount:
    path = provide(world, tmp_path_factory.mktemp("own"), "1002")
    more = path.read_text(encoding="utf-8").replace("sessions: 16", "sessions: 40")
    path.write_text(more, encoding="utf-8")
    own = account_of(world, path)
    assert own.retransmissions > 0
    assert len(own.subscribers()) == 5
    return own


def found(world: World, own: OwnAccount) -> list[str]:
    return discrepancies(own, books.statements(world.desk, world.catalogues, own))


def change_own(own: OwnAccount, change: str) -> str:
    """Make the account of one session wrong; returns what has to be found."""
    for session in own.sessions.values():
        for key, request in session.requests.items():
            for service in request.services:
                if request.kind != 4 and request.number and service.used.get("octets"):
                    if change == "more used":
                        service.used["octets"] += 1
                        return f"charged {service.used['octets'] - 1}"
                    if change == "a request forgotten":
                        del session.requests[key]
                        return f"{request.number} is in the books and was never sent"
                    service.used["octets"] -= 1
                    return f"charged {service.used['octets'] + 1}"
    raise AssertionError


@pytest.mark.rule("X-076")
@pytest.mark.parametrize("change", ["more used", "less used", "a request forgotten"])
def test_a_discrepancy_planted_in_the_own_account_is_found(world, ran, change):
    own = copy.deepcopy(ran)
    assert found(world, own) == []
    words = change_own(own, change)
    wrong = found(world, own)
    assert any(words in one for one in wrong), wrong


@pytest.mark.rule("X-076")
def test_discrepancies_planted_in_the_books_are_found(world, tmp_path):
    own = account_of(world, provide(world, tmp_path, "1003"))
    assert found(world, own) == []
    accounts = {
        find_subscriber(world.desk, name).account_id: name
        for ((_, name), *_), sessions in own.subscribers().items()
        if any(one.context == "32251@3gpp.org" for one in sessions)
    }
    engine = create_engine(world.server.url)
    planted = dict(zip(accounts, PLANTED.values(), strict=False))
    assert len(planted) >= 3
    for account_id, (statements, _) in planted.items():
        with engine.begin() as connection:
            for statement in statements:
                assert connection.execute(text(statement), {"a": account_id}).rowcount > 0
    engine.dispose()
    wrong = found(world, own)
    for account_id, (_, words) in planted.items():
        name = accounts[account_id]
        assert any(words in one and name in one for one in wrong), (words, wrong)
    assert {one.split(": ")[0] for one in wrong} == {
        f"msisdn:{accounts[account_id]}" for account_id in planted
    }


@pytest.mark.rule("X-077")
@pytest.mark.rule("X-074")
def test_over_use_is_found_and_named():
    own = OwnAccount()
    errand = Errand(ServiceReport(100, None, Unit.OCTETS))
    session = EventSession("pgw1;1", OVER, (("msisdn", "1"),), Counter(), "", errand)

    def asks(kind: RequestType, number: int, used: int | None, granted: int | None) -> None:
        spent = [] if used is None else [UsedServiceUnit(total_octets=used, time=1)]
        part = MultipleServices(ServiceUnits(), spent, rating_group=100)
        request = CreditControlRequest(
            "pgw1;1", "pgw1", "net", "32251@3gpp.org", kind, number, "ocs", "net", 4,
            services=[part],
        )  # fmt: skip
        demand = Demand(kind, number)
        message = write_ccr(request, 1, 1)
        for _ in range(2):  # the second time as a retransmission
            own.request_sent(0, "pgw1", session, demand, message)
        answer = answer_to(request, [MultipleServices(
            rating_group=100, result_code=2001,
            granted=None if granted is None else ServiceUnits(total_octets=granted),
        )])  # fmt: skip
        own.answer_received(0, "pgw1", session, demand, answer, b"", 1)

    asks(RequestType.INITIAL, 0, None, 1000)
    asks(RequestType.UPDATE, 1, 1000, 500)
    asks(RequestType.UPDATE, 2, 501, None)
    asks(RequestType.TERMINATION, 3, 7, None)
    assert [str(one) for one in own.over_use] == [
        "pgw1;1: 501 of 500 granted octets of rating group 100",
        "pgw1;1: 7 of 0 granted octets of rating group 100",
    ]
    assert own.retransmissions == 4
    books_say = Statement(session.identities, sessions={"pgw1;1": ChargedSession(
        used={"octets": 1508}, charged_micro=2, price_micro=2)})  # fmt: skip
    verdict, over = reconciled(own, [books_say])
    assert verdict.ok, verdict.found
    assert over.ok
    assert over.found.startswith("2: pgw1;1: 501 of 500 granted octets")
    books_say.sessions["pgw1;1"].used = {"octets": 1507}
    verdict, _ = reconciled(own, [books_say])
    assert verdict.found == "1: msisdn:1: pgw1;1: used 1508 octets, charged 1507"


@pytest.mark.rule("X-075")
def test_the_books_are_needed_and_asked_for_before_the_run(tmp_path, world):
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO.replace("PREFIX", "1005"), encoding="utf-8")
    assert "give --database URL" in ocs("simulate", str(path), "--reconcile", code=2)
    prepared = ocs("simulate", "load", "--reconcile", "--database", world.server.url, code=2)
    assert "is prepared load" in prepared
    elsewhere = f"sqlite:///{tmp_path}/not-there.db"
    said = ocs("simulate", str(path), "--reconcile", code=1, OCS_DATABASE_URL=elsewhere)
    assert "not-there.db" in said
