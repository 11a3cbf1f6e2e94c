"""What the server asks of its clients, over real sockets, because an operator wants it.

The commands run in a process of their own, beside the server, on the same SQLite database.
"""

import pytest

from ocs.provisioning import session_requests
from tests.support.blackbox import World, catalogue_text
from tests.support.blackbox_asking import (
    answer,
    asked_so_far,
    command,
    next_asked,
    row_of,
    terminate,
    until_state,
)
from tests.support.blackbox_client import Dialogue, mscc

CLAIM_SECONDS = 25
"""Longer than a server may take over one request."""
P9 = "pgw9.net.example"


def reauth(world, gy, **options: int):
    """What `ocs session reauth` does."""
    session_requests.reauth(world.desk, gy.session_id, None, **options)


def abort(world, gy):
    """What `ocs session abort` does."""
    session_requests.abort(world.desk, gy.session_id)


# ------------------------------------------------------------------------------- triggers


@pytest.mark.rule("B-022", "B-027", "B-151", "T227")
def test_T227_an_operator_asks_for_a_report(world, gy, a1):
    gy.initial(mscc(100, {}))
    command(world.server.url, "session", "reauth", gy.session_id)
    asked = next_asked(gy.peer, gy.session_id)
    assert asked.header.command_code == 258
    assert not asked.header.is_retransmitted
    assert asked.request.destination_host == "pgw1.net.example"
    assert asked.request.destination_realm == "net.example"
    assert [avp.code for avp in asked.avps] == [263, 264, 296, 283, 293, 258, 285, 278]
    assert {avp.flags for avp in asked.avps} == {0x40}
    answer(gy.peer, asked, 2002)
    report = gy.update(mscc(100, {}, {"total": 2_500_000}, reason=7))
    assert report.granted.total_octets == 10_000_000
    world.advance(CLAIM_SECONDS)
    shown = until_state(world, gy.session_id, "done")
    assert (shown["attempts"], shown["result_code"], shown["note"]) == (
        1, 2002, "the client has reported",
    )  # fmt: skip
    world.check_money(a1, "9.85", "0.50")


@pytest.mark.rule("C-048", "D17", "R-2002", "T206")
def test_T206_a_top_up_lifts_a_redirection(world, p1):
    poor = world.account("A9")
    gy = Dialogue(p1, poor)
    final = gy.initial(mscc(100, {})).service
    assert (final.granted.total_octets, final.final_unit.action) == (4_000_000, 1)
    restricted = gy.update(mscc(100, used={"total": 4_000_000}))
    assert restricted.code == 2001
    assert restricted.granted is None
    command(
        world.server.url, "account", "topup", f"msisdn:{poor.msisdn}", "5.00", "--reason", "paid"
    )
    asked = next_asked(p1, gy.session_id)
    assert asked.header.command_code == 258
    answer(p1, asked, 2002)
    lifted = gy.update(mscc(100, {}, reason=7)).service
    assert lifted.granted.total_octets == 10_000_000
    assert lifted.final_unit is None
    world.check_money(poor, "5.03", "0.50")


def test_a_top_up_of_who_had_enough_asks_nobody(world, gy, a1):
    gy.initial(mscc(100, {}))
    world.top_up(a1, "5.00")
    world.eventually(lambda: not world.store.due_server_requests(world.now_ns(), 1))
    assert asked_so_far(gy.peer, gy.session_id) == 0


@pytest.mark.rule("D22")
def test_blocking_a_subscriber_aborts_the_session(world, gy, a1):
    gy.initial(mscc(100, {}))
    command(world.server.url, "subscriber", "block", f"msisdn:{a1.msisdn}", "--reason", "fraud")
    asked = next_asked(gy.peer, gy.session_id)
    assert asked.header.command_code == 274
    answer(gy.peer, asked, 2001)
    until_state(world, gy.session_id, "answered")
    world.check_money(a1, "10.00", "0.50")
    last = gy.terminate(mscc(100, used={"total": 1_000_000}), termination_cause=4)
    assert last.code == 2001
    world.check_money(a1, "9.95", "0")
    assert world.session_state(gy.session_id) == "closed"
    world.advance(CLAIM_SECONDS)
    assert until_state(world, gy.session_id, "done")["note"] == "the session is over"


def test_another_plan_asks_for_a_report(world, gy, a1):
    gy.initial(mscc(100, {}))
    command(
        world.server.url, "subscriber", "plan", f"msisdn:{a1.msisdn}", "redirect",
        "--reason", "asked for it",
    )  # fmt: skip
    asked = next_asked(gy.peer, gy.session_id)
    assert asked.header.command_code == 258
    answer(gy.peer, asked, 2002)
    assert gy.update(mscc(100, {}, {"total": 1_000_000}, reason=7)).code == 2001
    world.check_money(a1, "9.95", "0.50")


def test_a_new_catalogue_asks_every_session(tmp_path):
    """Not on the shared server, where it would concern the sessions of other tests."""
    text = catalogue_text().replace("data: {price: 0.05", "data: {price: 0.06")
    source = tmp_path / "dearer.yaml"
    source.write_text(text, encoding="utf-8")
    home = tmp_path / "server"
    home.mkdir()
    with World(home) as world, world.peer() as p1:
        sessions = [Dialogue(p1, world.account("A1")) for _ in range(3)]
        for gy in sessions:
            gy.initial(mscc(100, {}))
        command(world.server.url, "catalog", "publish", str(source), "--reason", "dearer")
        world.advance(5)
        for gy in sessions:
            asked = next_asked(p1, gy.session_id)
            assert asked.header.command_code == 258
            answer(p1, asked, 2002)
            gy.update(mscc(100, {}, {"total": 1_000_000}, reason=7))
            world.check_money(gy.subscriber, "9.95", "0.60")
        world.check()


# -------------------------------------------------------------------------------- answers


@pytest.mark.rule("T229")
def test_T229_a_client_that_is_reporting_already(world, gy):
    gy.initial(mscc(100, {}))
    reauth(world, gy)
    answer(gy.peer, next_asked(gy.peer, gy.session_id), 2001)
    until_state(world, gy.session_id, "done")
    world.advance(CLAIM_SECONDS)
    assert asked_so_far(gy.peer, gy.session_id) == 0
    assert row_of(world, gy.session_id)["attempts"] == 1


@pytest.mark.rule("S-12", "T230")
def test_T230_a_client_that_does_not_know_the_session(world, gy, a1):
    gy.initial(mscc(100, {}))
    reauth(world, gy)
    answer(gy.peer, next_asked(gy.peer, gy.session_id), 5002)
    world.eventually(lambda: world.session_state(gy.session_id) == "lost")
    world.check_money(a1, "10.00", "0")
    until_state(world, gy.session_id, "done")
    assert asked_so_far(gy.peer, gy.session_id) == 0
    assert world.records(a1)[-1].record.note == "the client does not know the session any more"


@pytest.mark.rule("T232")
def test_T232_a_report_that_cannot_be_asked_for(world, gy, a1):
    gy.initial(mscc(100, {}))
    reauth(world, gy)
    answer(gy.peer, next_asked(gy.peer, gy.session_id), 3002)
    world.eventually(lambda: row_of(world, gy.session_id)["result_code"] == 3002)
    assert row_of(world, gy.session_id)["state"] == "pending"
    assert world.session_state(gy.session_id) == "open"
    world.check_money(a1, "10.00", "0.50")
    world.advance(61)
    world.eventually(lambda: world.session_state(gy.session_id) == "lost")
    world.check_money(a1, "10.00", "0")
    until_state(world, gy.session_id, "done")


@pytest.mark.rule("T232")
def test_T232_what_could_not_be_delivered_is_tried_again(world, gy):
    gy.initial(mscc(100, {}))
    reauth(world, gy)
    first = next_asked(gy.peer, gy.session_id)
    answer(gy.peer, first, 3004)
    world.eventually(lambda: row_of(world, gy.session_id)["state"] == "pending")
    world.advance(16)
    second = next_asked(gy.peer, gy.session_id)
    assert second.header.end_to_end != first.header.end_to_end
    answer(gy.peer, second, 2001)
    until_state(world, gy.session_id, "done")


@pytest.mark.rule("B-151", "T233")
def test_T233_one_rating_group(world, gy):
    gy.initial(mscc(100, {}), mscc(200, {}))
    reauth(world, gy, rating_group=100, service_identifier=5)
    asked = next_asked(gy.peer, gy.session_id)
    assert (asked.request.rating_group, asked.request.service_identifier) == (100, 5)
    answer(gy.peer, asked, 2002)
    gy.update(mscc(100, {}, {"total": 1_000_000}, reason=7))


@pytest.mark.rule("C-070", "T233")
def test_T233_one_pool(world, gy):
    gy.initial(mscc(101, {}), mscc(102, {}))
    reauth(world, gy, pool=1)
    asked = next_asked(gy.peer, gy.session_id)
    assert (asked.request.pool_identifier, asked.request.rating_group) == (1, None)
    answer(gy.peer, asked, 2002)
    gy.update(mscc(101, {}, {"total": 1_000_000}, reason=7), mscc(102, {}, {"total": 5}, reason=7))


@pytest.mark.rule("C-008", "T233")
@pytest.mark.parametrize("number", [1, 2**64 - 1])
def test_T233_one_sub_session(world, gy, a1, number):
    gy.initial(mscc(100, {}), sub_session_id=number)
    session_requests.reauth(world.desk, gy.session_id, number)
    asked = next_asked(gy.peer, gy.session_id)
    assert asked.request.sub_session_id == number
    answer(gy.peer, asked, 5002)
    world.eventually(lambda: world.session_state(gy.session_id, number) == "lost")


# ----------------------------------------------------------------------------------- ways


@pytest.mark.rule("B-048", "B-152", "T235")
def test_T235_a_client_behind_an_agent(world, p2, a1):
    gy = Dialogue(p2, a1)
    gy.initial(mscc(100, {}), origin_host=P9)
    reauth(world, gy)
    asked = next_asked(p2, gy.session_id)
    assert asked.request.destination_host == P9
    assert asked.request.destination_realm == "net.example"
    answer(p2, asked, 2002)
    gy.update(mscc(100, {}, {"total": 1_000_000}, reason=7), origin_host=P9)
    world.advance(CLAIM_SECONDS)
    until_state(world, gy.session_id, "done")


@pytest.mark.rule("B-010", "B-155", "T236")
def test_T236_a_client_that_is_away(world, a1):
    with world.peer() as p1:
        gy = Dialogue(p1, a1)
        gy.initial(mscc(100, {}))
    reauth(world, gy)
    world.advance(3)
    world.eventually(lambda: "no connection" in row_of(world, gy.session_id)["note"])
    assert row_of(world, gy.session_id)["state"] == "pending"
    assert world.session_state(gy.session_id) == "open"
    world.check_money(a1, "10.00", "0.50")
    with world.peer() as p1:
        answer(p1, next_asked(p1, gy.session_id), 2001)
        assert until_state(world, gy.session_id, "done")["attempts"] == 1
        gy.peer = p1
        gy.terminate()


@pytest.mark.rule("B-061", "B-126", "T232")
def test_a_connection_lost_before_the_answer_is_gone_round(world, p2, a1):
    """By the agent, with the T flag and the End-to-End id of the first sending."""
    with world.peer() as p1:
        gy = Dialogue(p1, a1)
        gy.initial(mscc(100, {}))
        reauth(world, gy)
        first = next_asked(p1, gy.session_id)
    second = next_asked(p2, gy.session_id)
    assert second.header.is_retransmitted
    assert second.header.end_to_end == first.header.end_to_end
    assert second.request == first.request
    answer(p2, second, 2001)
    until_state(world, gy.session_id, "done")


# ---------------------------------------------------------------------------------- aborts


@pytest.mark.rule("S-12", "T238")
def test_T238_an_abort_of_what_the_client_does_not_know(world, gy, a1):
    gy.initial(mscc(100, {}))
    command(world.server.url, "session", "abort", gy.session_id, "--reason", "fraud")
    asked = next_asked(gy.peer, gy.session_id)
    assert asked.header.command_code == 274
    answer(gy.peer, asked, 5002)
    world.eventually(lambda: world.session_state(gy.session_id) == "lost")
    world.check_money(a1, "10.00", "0")


@pytest.mark.rule("T239")
def test_T239_an_abort_that_is_refused(world, gy, a1):
    gy.initial(mscc(100, {}))
    abort(world, gy)
    answer(gy.peer, next_asked(gy.peer, gy.session_id), 5012)
    until_state(world, gy.session_id, "given-up")
    assert world.session_state(gy.session_id) == "open"
    world.check_money(a1, "10.00", "0.50")
    assert gy.update(mscc(100, {}, {"total": 1_000_000})).code == 4010
    world.check_money(a1, "9.95", "0")


# ------------------------------------------------------------------------------------- STR


@pytest.mark.rule("B-154", "S-13", "T241")
def test_T241_a_session_ended_by_str(world, gy, a1):
    gy.initial(mscc(100, {}), mscc(200, {}))
    assert [terminate(gy.peer, gy.session_id).code for _ in range(2)] == [2001, 2001]
    assert world.session_state(gy.session_id) == "closed"
    world.check_money(a1, "10.00", "0")
    assert len(world.ledger(a1)) == 0
    last = world.records(a1)[-1].record
    assert (last.note, last.termination_cause) == ("terminated by the client (STR)", 1)


@pytest.mark.rule("T241", "C-008")
def test_T241_an_str_ends_the_sub_sessions(world, gy, a1):
    for sub in (None, 1, 2):
        gy.initial(mscc(100, {}), number=0, sub_session_id=sub)
    world.check_money(a1, "10.00", "1.50")
    assert terminate(gy.peer, gy.session_id).code == 2001
    world.check_money(a1, "10.00", "0")
    states = {world.session_state(gy.session_id, sub) for sub in (None, 1, 2)}
    assert states == {"closed"}


@pytest.mark.rule("B-154", "T242")
def test_T242_an_str_of_nobodys_session(world, p1):
    assert terminate(p1, "pgw1.net.example;nobody;1").code == 5002


def test_what_is_asked_is_logged(world, gy):
    gy.initial(mscc(100, {}))
    reauth(world, gy)
    answer(gy.peer, next_asked(gy.peer, gy.session_id), 2001)
    until_state(world, gy.session_id, "done")
    lines = [line for line in world.server.log if line.get("event") == "client asked"]
    assert lines[-1]["session_id"] == gy.session_id
    assert (lines[-1]["command"], lines[-1]["because"]) == ("re-auth", "operator")
