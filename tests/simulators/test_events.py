"""Messages and questions: debited at once or reserved, refunded, asked about; on the wire too."""

import random
from collections import Counter
from typing import Any

import pytest

from protocol.codec import read_header
from protocol.credit_control import (
    CreditControlAnswer,
    MultipleServices,
    ReportingReason,
    RequestedAction,
    RequestType,
)
from protocol.credit_control_reader import read_ccr
from protocol.members import STRICT
from simulators.scenarios.services import BalanceCheck, MmsService, PriceEnquiry, SmsService
from simulators.scenarios.values import Destination, fixed
from simulators.traffic.quota import MANNERS, NEVER, Unit
from simulators.traffic.shapes import Envelope, Request, write_request
from simulators.traffic.starting import start_session

INITIAL, TERMINATION, EVENT = RequestType.INITIAL, RequestType.TERMINATION, RequestType.EVENT
TO = (Destination(number="+4930"),)
ENVELOPE = Envelope("smsc1.net.example", "net.example", "ocs.example")
NOW_NS = 1_700_000_000 * 10**9


def begin(service: Any, now: float = 0.0) -> tuple[Any, Counter[str]]:
    tally: Counter[str] = Counter()
    session = start_session(
        service, "s;1", (("msisdn", "+15550001"),), MANNERS["generic"], now, random.Random(1), tally
    )
    return session, tally


def sms(**keys: Any) -> SmsService:
    return SmsService(kind="sms", destinations=TO, **keys)


def answer(session: Any, code: int = 2001, now: float = 0.0, **more: Any) -> None:
    session.answered(now, CreditControlAnswer("s;1", code, "ocs", "example", **more))


def written(session: Any, demand: Any) -> Any:
    """The demand as a server reads it."""
    message = write_request(
        "generic",
        Request(ENVELOPE, session.session_id, session.service, session.identities,
                session.destination, demand, NOW_NS, 7),
        1,
    )  # fmt: skip
    return read_ccr(message, read_header(message), STRICT)


@pytest.mark.rule("X-005")
def test_a_message_is_debited_at_once():
    session, tally = begin(sms(messages=fixed(3), rating_group=1))
    demand = session.act(0.0)
    assert (demand.request_type, demand.action) == (EVENT, RequestedAction.DIRECT_DEBITING)
    request = written(session, demand)
    assert request.requested_action == RequestedAction.DIRECT_DEBITING
    assert request.services[0].requested.service_specific == 3
    answer(session)
    assert session.done
    assert session.successor is None
    assert (tally["events charged"], tally["used events"]) == (1, 3)


@pytest.mark.rule("X-005")
@pytest.mark.parametrize("delivered", [True, False])
def test_a_reserved_message_is_debited_when_it_is_delivered(delivered):
    service = sms(
        manner="ecur", messages=fixed(2), delivery_seconds=fixed(9),
        delivered_probability=1.0 if delivered else 0.0,
    )  # fmt: skip
    session, tally = begin(service, now=5.0)
    assert session.next_instant() == 5.0
    first = session.act(5.0)
    assert (first.request_type, first.services[0].wanted) == (INITIAL, 2)
    assert first.services[0].used is None
    answer(session, now=5.0)
    assert session.next_instant() == 14.0
    last = session.act(14.0)
    assert (last.request_type, last.number, last.termination_cause) == (TERMINATION, 1, 1)
    assert (last.services[0].used, last.services[0].wanted) == (2 if delivered else 0, None)
    assert last.services[0].reason is ReportingReason.FINAL
    request = written(session, last)
    assert request.services[0].used[0].service_specific == (2 if delivered else 0)
    answer(session, now=14.0)
    assert session.done
    assert tally["events charged" if delivered else "not delivered"] == 1


@pytest.mark.parametrize("command", [True, False])
def test_a_reservation_that_is_refused_is_the_end(command):
    session, tally = begin(sms(manner="ecur"))
    session.act(0.0)
    if command:
        answer(session, 4012)
    else:
        answer(session, services=[MultipleServices(result_code=4012)])
    assert session.done
    assert tally["refused 4012"] == 1
    assert session.next_instant() == NEVER


def test_a_run_that_ends_delivers_at_once_what_is_reserved():
    session, _ = begin(sms(manner="ecur", delivery_seconds=fixed(1000)))
    session.act(0.0)
    answer(session)
    session.finish(3.0)
    assert session.next_instant() == 3.0
    late, _ = begin(sms(manner="ecur"))
    late.finish(3.0)
    assert late.done


@pytest.mark.rule("X-005")
@pytest.mark.parametrize("manner", ["iec", "ecur"])
@pytest.mark.parametrize("place", ["command", "service"])
def test_a_refund_names_its_debit(manner, place):
    session, tally = begin(
        sms(manner=manner, refunded_probability=1.0, refund_after_seconds=fixed(20))
    )
    session.act(0.0)
    if manner == "ecur":
        answer(session)
        assert session.successor is None
        session.act(2.0)
    token: dict[str, Any] = {"refund_information": b"debit-7"}
    if place == "service":
        token = {"services": [MultipleServices(result_code=2001, refund_information=b"debit-7")]}
    answer(session, now=2.0, **token)
    refund = session.successor
    assert refund is not None
    assert refund.next_instant() == 22.0
    demand = refund.act(22.0)
    assert (demand.request_type, demand.number) == (EVENT, 0)
    request = written(refund, demand)
    assert request.session_id != "s;1"
    assert request.requested_action == RequestedAction.REFUND_ACCOUNT
    assert request.services[0].refund_information == b"debit-7"
    answer(refund)
    assert tally["refunded"] == 1
    assert tally["events charged"] == 1
    assert refund.successor is None


def test_a_debit_without_refund_information_cannot_be_refunded():
    session, tally = begin(sms(refunded_probability=1.0))
    session.act(0.0)
    answer(session)
    assert session.successor is None
    assert tally["no refund information"] == 1


@pytest.mark.rule("X-005")
@pytest.mark.parametrize(("result", "words"), [(0, "enough credit"), (1, "not enough credit")])
def test_a_balance_check_asks_and_debits_nothing(result, words):
    session, tally = begin(BalanceCheck(kind="balance_check", amount=fixed(5), rating_group=1))
    request = written(session, session.act(0.0))
    assert request.requested_action == RequestedAction.CHECK_BALANCE
    assert request.services[0].requested.service_specific == 5
    assert request.service_information is None
    answer(session, check_balance_result=result)
    assert tally[words] == 1
    assert tally["used events"] == 0


@pytest.mark.rule("X-005")
def test_a_price_enquiry_asks_what_something_would_cost():
    service = PriceEnquiry(kind="price_enquiry", unit="seconds", amount=fixed(90), destinations=TO)
    session, tally = begin(service)
    demand = session.act(0.0)
    assert demand.services[0].unit is Unit.SECONDS
    request = written(session, demand)
    assert request.requested_action == RequestedAction.PRICE_ENQUIRY
    assert request.services[0].requested.time == 90
    answer(session)
    assert tally["price told"] == 1
    assert tally["used seconds"] == 0


def test_a_multimedia_message_says_its_size_and_recipient():
    service = MmsService(kind="mms", message_octets=45_000, destinations=TO)
    session, _ = begin(service)
    request = written(session, session.act(0.0))
    assert request.service_context_id == "32270@3gpp.org"
    information = request.service_information
    assert (45_000).to_bytes(4, "big") in information
    assert b"4930" in information


@pytest.mark.parametrize("sent", [True, False])
def test_a_run_that_ends_leaves_out_what_was_not_sent(sent):
    session, tally = begin(sms(), now=5.0)
    if sent:
        session.act(5.0)
    session.finish(5.0)
    assert session.done is not sent
    if sent:
        answer(session)
    assert tally["events charged"] == int(sent)


def test_an_event_without_an_answer_is_over():
    session, tally = begin(sms())
    session.act(0.0)
    session.unanswered(1.0)
    assert session.done
    assert tally["unanswered"] == 1
