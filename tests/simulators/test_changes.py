"""What changes in the middle of a session: the place of the subscriber, and the tariff."""

import random
from collections import Counter
from typing import Any

import pytest

from protocol.codec import read_header
from protocol.credit_control import (
    CreditControlAnswer,
    MultipleServices,
    ReportingReason,
    RequestType,
    ServiceUnits,
)
from protocol.credit_control_reader import read_ccr
from protocol.members import LENIENT
from protocol.service_information import read_service_information
from simulators.scenarios.model import Shape
from simulators.scenarios.services import DataService, Move, Place, RatingGroupUse, VoiceService
from simulators.scenarios.values import Destination, fixed
from simulators.traffic.quota import MANNERS
from simulators.traffic.shapes import Envelope, Request, write_request
from simulators.traffic.starting import start_session
from simulators.traffic.timeline import Timeline

ENVELOPE = Envelope("pgw1.net.example", "net.example", "ocs.example")
IDENTITIES = (("msisdn", "+15550001"), ("imsi", "214010000000001"))
BEGAN_NS = 1_700_000_000 * 10**9
SPEED_UP = 10.0


class Run:
    """A session that is granted a megabyte for each service whenever it asks."""

    def __init__(self, service: Any, shape: Shape = "generic", **grant: Any) -> None:
        self.shape = shape
        self.grant = grant
        self.tally: Counter[str] = Counter()
        self.session = start_session(
            service, "s;1", IDENTITIES, MANNERS[shape], 0.0, random.Random(1), self.tally, 0.0,
            Timeline(SPEED_UP, BEGAN_NS),
        )  # fmt: skip
        self.now = 0.0

    def next(self) -> Any:
        """The next request, as a server reads it, and its answer."""
        demand = None
        while demand is None:
            self.now = max(self.now, self.session.next_instant())
            demand = self.session.act(self.now)
        parts = [
            MultipleServices(
                rating_group=one.rating_group,
                result_code=2001,
                granted=ServiceUnits(total_octets=1_000_000, **self.grant.get("units", {})),
                **{name: value for name, value in self.grant.items() if name != "units"},
            )
            for one in demand.services
        ]
        message = write_request(
            self.shape,
            Request(ENVELOPE, "s;1", self.session.service, IDENTITIES, "", demand, BEGAN_NS, 7),
            1,
        )
        answer = CreditControlAnswer("s;1", 2001, "ocs", "example", services=parts)
        self.session.answered(self.now, answer)
        return read_ccr(message, read_header(message), LENIENT)


def data(*moves: Move, rate: float = 100.0, groups: int = 1, **keys: Any) -> DataService:
    uses = tuple(
        RatingGroupUse(rating_group=100 * (i + 1), octets_per_second=fixed(rate))
        for i in range(groups)
    )
    return DataService(
        kind="data", duration_seconds=fixed(500), rating_groups=uses, moves=moves, **keys
    )


def where(request: Any) -> tuple[Any, Any]:
    seen = read_service_information(request.service_information)
    return seen.sgsn_mcc_mnc, seen.rat_type


@pytest.mark.rule("X-007")
@pytest.mark.parametrize("shape", ["generic", "magma"])
def test_a_change_of_place_is_reported_and_seen_from_then_on(shape):
    run = Run(data(Move(after_seconds=fixed(60), plmn="20801", rat="utran"), groups=2), shape)
    first = run.next()
    assert where(first) == ("21401", 6)
    update = run.next()
    assert run.now == 60
    assert update.request_type == RequestType.UPDATE
    assert where(update) == ("20801", 1)
    assert {one.rating_group for one in update.services} == {100, 200}
    for one in update.services:
        reasons = {one.reporting_reason, *(used.reporting_reason for used in one.used)}
        assert ReportingReason.RATING_CONDITION_CHANGE in reasons
        assert sum(used.total_octets for used in one.used) == 6000
        assert one.requested is not None
    last = run.next()
    assert last.request_type == RequestType.TERMINATION
    assert where(last) == ("20801", 1)
    assert run.tally["moves"] == 1


@pytest.mark.rule("X-007")
@pytest.mark.parametrize(("triggers", "reported"), [((), False), ((30,), True), ((5, 99), True),
                                                    ((40,), False)])  # fmt: skip
def test_a_change_is_reported_where_the_server_armed_its_trigger(triggers, reported):
    run = Run(data(Move(after_seconds=fixed(60), plmn="20801")), trigger_types=triggers)
    run.next()
    second = run.next()
    assert (second.request_type == RequestType.UPDATE) is reported
    assert where(second) == ("20801", 6)


def test_several_moves_happen_in_their_order_from_a_first_place():
    moves = (
        Move(after_seconds=fixed(200), plmn="310260", rat="nbiot"),
        Move(after_seconds=fixed(100), plmn="26201"),
    )
    run = Run(data(*moves, place=Place(plmn="20801", rat="geran")))
    assert [where(run.next()) for _ in range(4)] == [
        ("20801", 2), ("26201", 6), ("310260", 8), ("310260", 8),
    ]  # fmt: skip


@pytest.mark.rule("X-006")
def test_use_is_split_at_the_tariff_change():
    # 20 real seconds after the beginning are 200 simulated ones.
    change = {"tariff_time_change_ns": BEGAN_NS + 20 * 10**9}
    run = Run(data(rate=2500.0), units=change)
    run.next()
    run.grant = {}
    update = run.next()
    assert run.now == 400
    [before, after] = update.services[0].used
    assert (before.tariff_change_usage, before.total_octets) == (0, 500_000)
    assert (after.tariff_change_usage, after.total_octets) == (1, 500_000)
    assert run.tally["tariff changes"] == 1
    last = run.next()
    [used] = last.services[0].used
    assert used.tariff_change_usage is None
    assert used.total_octets == 250_000


@pytest.mark.rule("X-006")
def test_a_report_before_the_tariff_change_is_not_split():
    change = {"tariff_time_change_ns": BEGAN_NS + 45 * 10**9}
    run = Run(data(rate=2500.0), units=change)
    run.next()
    update = run.next()
    assert run.now == 400
    [used] = update.services[0].used
    assert used.tariff_change_usage is None
    # The second grant says it again, and the session ends behind it.
    last = run.next()
    assert [one.total_octets for one in last.services[0].used] == [125_000, 125_000]


@pytest.mark.parametrize("role", ["originating", "terminating"])
def test_calls_say_who_called_and_why_nobody_answered(role):
    service = VoiceService(
        kind="voice", duration_seconds=fixed(0), ring_seconds=fixed(9), answered_probability=0.0,
        unanswered_causes=(487,), role=role, destinations=(Destination(number="+4930"),),
    )  # fmt: skip
    session = start_session(
        service, "s;1", IDENTITIES, MANNERS["generic"], 0.0, random.Random(1), Counter()
    )
    demand = session.act(0.0)
    assert demand is not None
    message = write_request(
        "generic", Request(ENVELOPE, "s;1", service, IDENTITIES, "+4930", demand, BEGAN_NS, 7), 1
    )
    request = read_ccr(message, read_header(message), LENIENT)
    seen = read_service_information(request.service_information or b"")
    mine, other = "tel:+15550001", "tel:+4930"
    calling, called = (mine, other) if role == "originating" else (other, mine)
    assert (seen.calling_parties, seen.called_party) == ((calling,), called)
    assert seen.role_of_node == (0 if role == "originating" else 1)
    answer = CreditControlAnswer("s;1", 2001, "ocs", "example", services=[
        MultipleServices(result_code=2001, granted=ServiceUnits(time=60))])  # fmt: skip
    session.answered(0.0, answer)
    last = session.act(session.next_instant())
    assert last is not None
    assert (session.clock, last.cause_code, last.services) == (0.0, 487, ())
