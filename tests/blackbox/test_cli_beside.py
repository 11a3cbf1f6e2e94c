"""The operator's commands on the database of a server that is charging: safe, and seen at once."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from ocs.cli.main import main
from tests.support.blackbox import World
from tests.support.blackbox_client import Dialogue, mscc


def ocs(world: World, *arguments: str) -> Any:
    """Run a command in this process and return its JSON."""
    given = [*arguments, "--json", "--database", world.server.url]
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.rule("C-045")
def test_a_top_up_in_the_middle_of_a_session(world, p1):
    poor = world.account("A2")
    gy = Dialogue(p1, poor)
    assert gy.initial(mscc(100, {})).granted.total_octets == 4_000_000
    assert gy.update(mscc(100, {}, {"total": 4_000_000})).service.result_code == 4012
    name = f"msisdn:{poor.msisdn}"
    ocs(world, "account", "topup", name, "5.00", "--reason", "paid at the counter")
    assert ocs(world, "account", "show", name)["balance"] == "5.03"
    assert gy.update(mscc(100, {})).granted.total_octets == 10_000_000
    shown = ocs(world, "account", "show", name)
    assert (shown["balance_micro"], shown["held_micro"]) == (5_030_000, 500_000)
    world.check_money(poor, "5.03", "0.50")


@pytest.mark.rule("S-06")
def test_blocking_in_the_middle_of_a_session(world, gy, a1):
    gy.initial(mscc(100, {}))
    ocs(world, "subscriber", "block", f"msisdn:{a1.msisdn}", "--reason", "lost the telephone")
    assert gy.update(mscc(100, {}, {"total": 1_000_000})).code == 4010
    assert world.session_state(gy.session_id) == "failed"
    world.check_money(a1, "9.95", "0")
    assert Dialogue(gy.peer, a1).initial(mscc(100, {})).code == 4010
    ocs(world, "subscriber", "unblock", f"msisdn:{a1.msisdn}", "--reason", "found it again")
    assert Dialogue(gy.peer, a1).initial(mscc(100, {})).code == 2001


def test_a_new_subscriber_is_known_at_once(world, p1):
    """Somebody unknown a moment ago must not stay unknown in the server's memory."""
    stranger = world.account()._replace(msisdn="19995551234")
    assert Dialogue(p1, stranger).initial(mscc(100, {})).code == 5030
    ocs(world, "subscriber", "add", "msisdn:19995551234", "--plan", "basic", "--balance", "1.00")
    assert Dialogue(p1, stranger).initial(mscc(100, {})).code == 2001


def test_releasing_a_session_that_hangs(world, gy, a1):
    gy.initial(mscc(100, {}))
    ocs(world, "session", "release", gy.session_id, "--reason", "the gateway is gone")
    world.check_money(a1, "10.00", "0")


def test_the_audit_beside_a_server(world, gy, a1):
    gy.initial(mscc(100, {}))
    assert ocs(world, "audit")["clean"]
