"""The Diameter edge over string wires: what is answered to what, and on which connection."""

from typing import Any

import pytest

from ocs.charging.model.messages import Outcome
from ocs.errors import StoreUnavailableError
from ocs.service.wire.results import OUTCOME_LABELS, RESULT_CODES
from ocs.store.interface import PeerEntry
from protocol import codec
from protocol.codec import FLAG_ERROR, FLAG_PROXIABLE, HEADER_SIZE, Header, encode_u32, encode_utf8
from protocol.credit_control import Money, MultipleServices, ServiceUnits, SubscriptionId
from protocol.credit_control_reader import read_cca
from tests.support import gateway_messages
from tests.support.service import HOST, P1, REALM, Harness, HeldWorker, ccr, mscc

INITIAL, UPDATE, TERMINATION, EVENT = 1, 2, 3, 4


def avp_codes(message):
    return [found[0] for found in codec.iter_avps(message, HEADER_SIZE, len(message))]


def without_context(message):
    """The same CCR without its Service-Context-Id."""
    context = codec.find_avp(message, HEADER_SIZE, len(message), 461)
    assert context
    broken = message.replace(context, b"")
    return broken[:1] + len(broken).to_bytes(3, "big") + broken[4:]


def test_every_outcome_has_a_result_code_and_a_label():
    assert set(RESULT_CODES) == set(OUTCOME_LABELS) == set(Outcome)


@pytest.mark.rule("B-020", "B-070", "B-125")
def test_a_session_from_first_to_last_request():
    harness = Harness()
    wire = harness.open()
    header, message = wire.ask(wire.encode(ccr(INITIAL, 0, mscc())))
    assert header.flags == FLAG_PROXIABLE
    assert avp_codes(message)[:7] == [263, 268, 264, 296, 258, 416, 415]
    granted = read_cca(message)
    assert granted.services[0].granted == ServiceUnits(total_octets=10_000_000)
    assert (granted.origin_host, granted.origin_realm) == (HOST, REALM)
    assert granted.origin_state_id == harness.server.origin_state_id > 0
    assert harness.money() == (10_000_000, 500_000)
    updated = wire.ccr(ccr(UPDATE, 1, mscc(used=3_000_000)))
    assert updated.services[0].rating_group == 100
    assert updated.request_number == 1
    assert harness.money() == (9_850_000, 500_000)
    ended = wire.ccr(ccr(TERMINATION, 2, mscc(used=2_500_000, ask=False)))
    assert ended.services[0].granted is None
    assert harness.money() == (9_700_000, 0)


@pytest.mark.rule("B-071")
def test_proxy_info_comes_back_as_it_was_also_with_errors():
    wire = Harness().open()
    infos = b"".join(
        codec.encode_grouped(284, encode_utf8(280, host) + codec.encode_avp(33, state))
        for host, state in (("a.example", b"\0\0"), ("b.example", b"\x01\x02\x03"))
    )
    good = ccr(INITIAL, 0, mscc(), proxy_infos=infos)
    foreign = ccr(INITIAL, 0, mscc(), proxy_infos=infos, destination_realm="other.example")
    unknown = ccr(INITIAL, 0, mscc(), proxy_infos=infos, subscription_ids=[SubscriptionId(0, "1")])
    for request, code in ((good, 2001), (foreign, 3003), (unknown, 5030)):
        answer = wire.ccr(request)
        assert answer.result_code == code
        assert answer.proxy_infos == infos


@pytest.mark.rule("T064", "T065", "T067", "T070")
@pytest.mark.parametrize(
    "changes,code",
    [
        ({"destination_realm": "other.example"}, 3003),
        ({"destination_host": "ocs2.ocs.example"}, 3002),
        ({"destination_host": HOST.upper(), "destination_realm": "other.example"}, 2001),
        ({"route_records": ["dra.example", HOST]}, 3005),
        ({"route_records": ["dra1.example", "dra2.example"]}, 2001),
    ],
)
def test_routing_comes_before_charging(changes, code):
    harness = Harness()
    wire = harness.open()
    header, message = wire.ask(wire.encode(ccr(INITIAL, 0, mscc(), **changes)))
    answer = read_cca(message)
    assert answer.result_code == code
    assert answer.session_id == "pgw1.net.example;1;s1"
    assert bool(header.flags & FLAG_ERROR) == (code != 2001)
    assert harness.money()[1] == (500_000 if code == 2001 else 0)


def test_a_routing_fault_wins_over_a_missing_avp():
    wire = Harness().open()
    request = ccr(INITIAL, 0, mscc(), destination_host="ocs2.ocs.example")
    message = wire.encode(request)
    broken = without_context(message)
    assert read_cca(wire.ask(broken)[1]).result_code == 3002


@pytest.mark.rule("B-073", "T106")
def test_a_request_that_cannot_be_read_is_refused_with_what_was_readable():
    harness = Harness()
    wire = harness.open()
    message = wire.encode(ccr(INITIAL, 3, mscc()))
    broken = without_context(message)
    answer = read_cca(wire.ask(broken)[1])
    assert answer.result_code == 5005
    assert answer.failed_avp == bytes.fromhex("000001cd40000008")
    assert (answer.request_type, answer.request_number) == (INITIAL, 3)
    assert answer.session_id == "pgw1.net.example;1;s1"
    assert harness.store.stored_records(1001) == []


@pytest.mark.rule("T073", "T089")
@pytest.mark.parametrize("command", [258, 265, 274])
def test_commands_that_are_not_ours_to_answer_are_unsupported(command):
    wire = Harness().open()
    avps = encode_utf8(263, "s") + encode_utf8(264, P1) + encode_utf8(296, "net.example")
    header, message = wire.ask(codec.encode_message(command, 4, 0xC0, 7, 8, avps))
    assert read_cca(message).result_code == 3001
    assert header.flags & FLAG_ERROR
    assert (header.command_code, header.hop_by_hop, header.end_to_end) == (command, 7, 8)


@pytest.mark.rule("R-3007")
def test_an_unknown_application_is_refused():
    wire = Harness().open()
    avps = encode_utf8(263, "s") + encode_utf8(264, P1) + encode_utf8(296, "net.example")
    _, message = wire.ask(codec.encode_message(272, 16777238, 0xC0, 7, 8, avps))
    assert read_cca(message).result_code == 3007


@pytest.mark.rule("D03")
@pytest.mark.parametrize("kind", [INITIAL, EVENT])
def test_a_request_that_names_nobody_is_5031(kind):
    wire = Harness().open()
    request = ccr(kind, 0, mscc(), subscription_ids=[], requested_action=0)
    answer = wire.ccr(request)
    assert answer.result_code == 5031
    assert answer.failed_avp == codec.failed_avp_for_missing("Subscription-Id")


@pytest.mark.rule("C-002")
def test_an_unsupported_kind_of_identity_is_5004_unless_another_helps():
    wire = Harness().open()
    odd = SubscriptionId(9, "x")
    answer = wire.ccr(ccr(INITIAL, 0, mscc(), subscription_ids=[odd]))
    assert answer.result_code == 5004
    assert answer.failed_avp[:4] == (443).to_bytes(4, "big")
    usable = SubscriptionId(0, "+1 555-0001")
    answer = wire.ccr(ccr(INITIAL, 0, mscc(), subscription_ids=[odd, usable]))
    assert answer.result_code == 2001


@pytest.mark.rule("C-003")
def test_unknown_contexts_and_parameters_are_5031_and_shown():
    wire = Harness().open()
    answer = wire.ccr(ccr(INITIAL, 0, mscc(), service_context_id="9.99999@3gpp.org"))
    assert answer.result_code == 5031
    assert answer.failed_avp == encode_utf8(461, "9.99999@3gpp.org")
    message = wire.encode(ccr(INITIAL, 0, mscc()))
    info = codec.encode_grouped(440, encode_u32(441, 77) + codec.encode_avp(442, b"x"))
    message += info
    message = message[:1] + len(message).to_bytes(3, "big") + message[4:]
    answer = read_cca(wire.ask(message)[1])
    assert answer.result_code == 5031
    assert answer.failed_avp == info


@pytest.mark.rule("M-018")
@pytest.mark.parametrize(
    "money", [Money(1, -7, 978), Money(1, 18, 978), Money(-5, 0, 978), Money(1, 0, 12345)]
)
def test_money_that_cannot_be_kept_is_refused_in_its_service(money):
    harness = Harness()
    answer = harness.open().ccr(
        ccr(INITIAL, 0, mscc(requested=ServiceUnits(money=money)), mscc(200))
    )
    assert answer.result_code == 2001
    assert [service.result_code for service in answer.services] == [5004, 2001]


def test_more_octets_than_can_be_move_no_money():
    harness = Harness()
    wire = harness.open()
    wire.ccr(ccr(INITIAL, 0, mscc()))
    answer = wire.ccr(ccr(UPDATE, 1, mscc(used=2**64 - 1)))
    assert answer.services[0].result_code == 5004
    assert harness.money()[0] == 10_000_000


@pytest.mark.rule("B-141")
def test_a_retransmission_is_answered_with_the_same_octets():
    harness = Harness()
    wire = harness.open()
    first = wire.encode(ccr(INITIAL, 0, mscc()))
    _, answer = wire.ask(first)
    again = bytearray(first)
    again[4] |= codec.FLAG_RETRANSMIT
    assert wire.ask(bytes(again))[1] == answer
    assert harness.money() == (10_000_000, 500_000)
    assert harness.server.metrics.retransmissions == 1


def test_both_copies_in_one_segment_get_the_one_answer():
    harness = Harness()
    wire = harness.open()
    message = wire.encode(ccr(INITIAL, 0, mscc()))
    wire.send(message + message)
    (_, one), (_, two) = wire.received()
    assert one == two
    assert harness.money() == (10_000_000, 500_000)


def test_answers_return_on_the_connection_of_their_request():
    options = {"peers": (PeerEntry(P1), PeerEntry("pgw2.net.example"))}
    worker = HeldWorker()
    harness = Harness(worker=worker, options=options)
    one, two = harness.open(), harness.open("pgw2.net.example")
    same_ids = one.encode(ccr(INITIAL, 0, mscc(), session="a"))
    other = two.encode(ccr(INITIAL, 0, mscc(), session="b"))
    one.send(same_ids)
    two.send(other)
    harness.loop.advance(0)
    while worker.held:
        worker.run()
    (answer_one,) = one.received()
    (answer_two,) = two.received()
    assert read_cca(answer_one[1]).session_id == "a"
    assert read_cca(answer_two[1]).session_id == "b"
    assert answer_one[0].hop_by_hop == answer_two[0].hop_by_hop


def drop_peer_jobs(worker):
    """Run what the connection itself asked of the store (client states)."""
    while worker.held:
        worker.run()


def test_an_answer_whose_connection_is_gone_is_dropped_and_stays_stored():
    worker = HeldWorker()
    harness = Harness(worker=worker)
    wire = harness.open()
    message = wire.encode(ccr(INITIAL, 0, mscc()))
    wire.send(message)
    harness.loop.advance(0)
    wire.protocol.connectionLost()
    drop_peer_jobs(worker)
    again = harness.open()
    again.send(message)
    harness.loop.advance(0)
    drop_peer_jobs(worker)
    assert read_cca(again.received()[0][1]).result_code == 2001
    assert harness.money() == (10_000_000, 500_000)


@pytest.mark.rule("D20")
@pytest.mark.parametrize("profile,answers", [("generic", 1), ("open5gs", 0)])
def test_a_late_answer_is_too_busy_or_silence_and_the_decision_is_kept(profile, answers):
    worker = HeldWorker()
    harness = Harness(worker=worker, options={"peers": (PeerEntry(P1, profile=profile),)})
    wire = harness.open()
    message = wire.encode(ccr(INITIAL, 0, mscc()))
    wire.send(message)
    harness.loop.advance(0)
    harness.clock.advance(5)
    drop_peer_jobs(worker)
    received = wire.received()
    assert len(received) == answers
    assert wire.protocol.connection.unanswered == 0
    for header, answer in received:
        assert header.flags & FLAG_ERROR
        assert read_cca(answer).result_code == 3004
    assert harness.money() == (10_000_000, 500_000)
    wire.send(message)
    harness.loop.advance(0)
    drop_peer_jobs(worker)
    assert read_cca(wire.received()[0][1]).result_code == 2001
    assert harness.money() == (10_000_000, 500_000)


@pytest.mark.rule("D25")
def test_without_the_database_the_answer_is_3004_with_session_and_proxies(monkeypatch):
    harness = Harness()
    wire = harness.open()

    def gone():
        raise StoreUnavailableError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(harness.store, "generations", gone)
        header, message = wire.ask(wire.encode(ccr(INITIAL, 0, mscc())))
    assert header.flags & FLAG_ERROR
    answer = read_cca(message)
    assert (answer.result_code, answer.session_id) == (3004, "pgw1.net.example;1;s1")
    assert wire.ccr(ccr(INITIAL, 0, mscc())).result_code == 2001


@pytest.mark.rule("R-5012")
def test_a_fault_of_ours_in_the_edge_is_5012_and_the_next_request_is_served(monkeypatch):
    harness = Harness()
    wire = harness.open()
    with monkeypatch.context() as patch:
        patch.setattr("ocs.service.diameter.to_charging_request", lambda *_: 1 / 0)
        answer = wire.ccr(ccr(INITIAL, 0, mscc()))
    assert answer.result_code == 5012
    assert wire.ccr(ccr(INITIAL, 0, mscc())).result_code == 2001


def test_a_fault_in_a_decision_is_5012_and_changes_nothing(monkeypatch):
    harness = Harness()
    wire = harness.open()
    with monkeypatch.context() as patch:
        patch.setattr("ocs.service.batches.charging.decide", lambda *_: 1 / 0)
        assert wire.ccr(ccr(INITIAL, 0, mscc())).result_code == 5012
    assert harness.store.stored_records(1001) == []
    assert wire.ccr(ccr(INITIAL, 0, mscc())).result_code == 2001


@pytest.mark.rule("C-139")
def test_configured_failure_handling_goes_into_every_answer():
    options = {
        "session_failover": 1,
        "failure_handling": 2,
        "direct_debiting_failure_handling": 0,
    }
    answer = Harness(options=options).open().ccr(ccr(INITIAL, 0, mscc()))
    assert answer.session_failover == 1
    assert answer.failure_handling == 2
    assert answer.direct_debiting_failure_handling == 0


def event(action, *services: MultipleServices, **changes: Any):
    return ccr(
        EVENT, 0, *services, service_context_id="32274@3gpp.org", requested_action=action, **changes
    )


def test_events_are_answered_with_units_price_and_balance():
    harness = Harness()
    wire = harness.open()
    one = mscc(1, requested=ServiceUnits(service_specific=1))
    debit = wire.ccr(event(0, one, session="e1"))
    assert debit.services[0].granted.service_specific == 1
    assert debit.cost_information.cost == Money(7, -2, 978)
    assert harness.money() == (9_930_000, 0)
    price = wire.ccr(event(3, one, session="e2"))
    assert price.cost_information.cost == Money(7, -2, 978)
    assert wire.ccr(event(2, one, session="e3")).check_balance_result == 0
    token = debit.services[0].refund_information or debit.refund_information
    assert token
    assert harness.money() == (9_930_000, 0)
    refund = wire.ccr(event(1, session="e4", refund_information=token))
    assert refund.result_code == 2001
    assert harness.money() == (10_000_000, 0)


def test_command_level_units_are_answered_at_command_level():
    harness = Harness()
    wire = harness.open()
    answer = wire.ccr(ccr(INITIAL, 0, requested=ServiceUnits(total_octets=3_000_000)))
    assert answer.services == []
    assert answer.granted == ServiceUnits(total_octets=3_000_000)
    assert answer.validity_time == 30


def test_a_relay_may_speak_for_a_client_with_its_own_profile():
    options = {
        "peers": (
            PeerEntry("dra1.net.example", relay=True),
            PeerEntry(P1, profile="kamailio"),
        )
    }
    harness = Harness(options=options, balance="0.00")
    wire = harness.open("dra1.net.example", auth_application_ids=(0xFFFFFFFF,))
    assert wire.ccr(ccr(INITIAL, 0, mscc())).result_code == 4012
    other = ccr(INITIAL, 0, mscc(), session="x", origin_host="pgw9.net.example")
    answer = wire.ccr(other)
    assert answer.result_code == 2001
    assert answer.services[0].result_code == 4012


@pytest.mark.rule("G-115")
@pytest.mark.parametrize("name,message", sorted(gateway_messages.all_shapes().items()))
def test_every_shape_of_real_gateways_gets_one_answer(name, message):
    harness = Harness(options={"realms": ("epc.mnc001.mcc001.3gppnetwork.org", "ims.example")})
    wire = harness.open()
    header, answer = wire.ask(message)
    assert isinstance(header, Header)
    assert read_cca(answer).result_code is not None


@pytest.mark.rule("C-140")
def test_low_balance_is_only_said_where_it_is_configured():
    from ocs.charging.model.messages import ChargingReply
    from ocs.service.wire.answers import AnswerDefaults, to_answer

    reply = ChargingReply(Outcome.SUCCESS, low_balance=True)
    request = ccr(INITIAL, 0)
    quiet = AnswerDefaults(HOST, REALM, 1)
    loud = AnswerDefaults(HOST, REALM, 1, low_balance_indication=True)
    assert to_answer(request, reply, quiet, b"").low_balance_indication is None
    assert to_answer(request, reply, loud, b"").low_balance_indication == 1


@pytest.mark.rule("T167")
def test_a_profile_may_have_failure_rules_of_its_own():
    from ocs.charging.model.profile import ClientProfile
    from ocs.service.wire.answers import AnswerDefaults

    said = AnswerDefaults(HOST, REALM, 1, 1, 2, 0)
    assert said.for_client(ClientProfile("usual")) == said
    own = said.for_client(
        ClientProfile("own", cc_session_failover=0, credit_control_failure_handling=0)
    )
    assert (own.session_failover, own.failure_handling) == (0, 0)
    assert own.direct_debiting_failure_handling == 0
