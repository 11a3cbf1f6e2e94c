"""Which differences between two answers matter."""

from typing import Any

import pytest

from protocol.codec import encode_avp, encode_utf8
from protocol.credit_control import (
    CostInformation,
    FinalUnitIndication,
    Money,
    MultipleServices,
    ServiceUnits,
)
from simulators.replay.compare import Comparer
from simulators.replay.rules import Rules, Tolerances
from tests.support.captures import cca, ccr

REQUEST = ccr()
PROXY_INFO = encode_avp(284, encode_utf8(280, "dra.example") + encode_avp(33, b"\1\2\3"))


def part(**values: Any):
    made = MultipleServices(
        rating_group=100, result_code=2001, granted=ServiceUnits(total_octets=1_000_000)
    )
    for name, value in values.items():
        setattr(made, name, value)
    return made


def answer(*parts: MultipleServices, **values: Any):
    return cca(REQUEST, services=list(parts), **values)


def differences(old, new, rules=None, request=REQUEST):
    found = Comparer(rules or Rules()).compare(request, old, new)
    return [(one.aspect, one.place, one.recorded, one.answered, one.sort) for one in found]


@pytest.mark.rule("X-059")
def test_names_ids_and_instants_do_not_matter():
    old = cca(REQUEST)
    new = cca(
        ccr(number=9),
        origin_host="ocs.new.example",
        origin_realm="new.example",
        session_id="another",
        origin_state_id=7,
        request_number=9,
        error_message="none",
    )
    assert differences(old, new) == []


RG = "rating group 100"
TABLE = {
    "command": (
        answer(part()),
        answer(result_code=4012),
        [
            ("result_code", "", "2001", "4012", "2001 -> 4012"),
            ("services", RG, "there", "missing", "missing"),
        ],
    ),
    "service": (
        answer(part()),
        answer(part(result_code=4012, granted=None)),
        [
            ("result_code", RG, "2001", "4012", "2001 -> 4012"),
            ("granted", RG, "1000000 octets", "nothing", "refused"),
        ],
    ),
    "less": (
        answer(part()),
        answer(part(granted=ServiceUnits(total_octets=999_999))),
        [("granted", RG, "1000000 octets", "999999 octets", "less octets")],
    ),
    "another unit": (
        answer(part(granted=ServiceUnits(time=60))),
        answer(part(granted=ServiceUnits(total_octets=60))),
        [
            ("granted", RG, "60 seconds", "none", "seconds left out"),
            ("granted", RG, "none", "60 octets", "octets added"),
        ],
    ),
    "validity": (
        answer(part(validity_time=3600)),
        answer(part(validity_time=1800)),
        [("validity_time", RG, "3600 s", "1800 s", "less s")],
    ),
    "final units": (
        answer(part()),
        answer(part(final_unit=FinalUnitIndication(1, 2, "http://topup.example"))),
        [
            (
                *("final_unit", RG, "none", "redirect to http://topup.example"),
                "none -> redirect to http://topup.example",
            )
        ],
    ),
    "another action": (
        answer(part(final_unit=FinalUnitIndication(0))),
        answer(part(final_unit=FinalUnitIndication(2, filter_ids=("walled",)))),
        [
            (
                *("final_unit", RG, "terminate", "restrict by walled"),
                "terminate -> restrict by walled",
            )
        ],
    ),
    "threshold": (
        answer(part(volume_quota_threshold=1000)),
        answer(part()),
        [
            (
                *("thresholds", RG, "1000 volume quota threshold", "none"),
                "volume quota threshold left out",
            )
        ],
    ),
    "holding": (
        answer(part(quota_holding_time=600)),
        answer(part(quota_holding_time=601)),
        [
            (
                *("holding_times", RG, "600 quota holding time", "601 quota holding time"),
                "more quota holding time",
            )
        ],
    ),
    "cost": (
        answer(cost_information=CostInformation(Money(150, -2, 978))),
        answer(cost_information=CostInformation(Money(20, -1, 978))),
        [("money", "cost", "150e-2 of currency 978", "20e-1 of currency 978", "more")],
    ),
    "another service": (
        answer(part(), part(rating_group=7)),
        answer(part(rating_group=7), part(rating_group=8)),
        [
            ("services", RG, "there", "missing", "missing"),
            ("services", "rating group 8", "not there", "there", "added"),
        ],
    ),
}


@pytest.mark.rule("X-059")
@pytest.mark.parametrize("name", TABLE)
def test_what_matters(name):
    old, new, expected = TABLE[name]
    assert differences(old, new) == expected
    assert differences(old, old) == []
    assert differences(new, new) == []


@pytest.mark.rule("X-059")
@pytest.mark.parametrize(
    "rules, same",
    [
        ({"granted_percent": 10.0}, 900_000),
        ({"granted_percent": 10.0}, 1_100_000),
        ({"granted_percent": 9.9}, None),
    ],
)
def test_grants_within_the_tolerance_are_the_same(rules, same):
    tolerant = Rules(tolerances=Tolerances(**rules))
    new = answer(part(granted=ServiceUnits(total_octets=same or 900_000)))
    assert bool(differences(answer(part()), new, tolerant)) is (same is None)


@pytest.mark.rule("X-059")
def test_other_tolerances():
    tolerant = Rules(
        tolerances=Tolerances(
            validity_seconds=60, thresholds_percent=50.0, holding_seconds=5, money_percent=1.0
        )
    )
    old = answer(
        part(validity_time=3600, time_quota_threshold=20, quota_holding_time=600),
        remaining_balance=Money(1000, 0, 978),
    )
    new = answer(
        part(validity_time=3660, time_quota_threshold=30, quota_holding_time=595),
        remaining_balance=Money(9900, -1, 978),
    )
    assert len(differences(old, new)) == 4
    assert differences(old, new, tolerant) == []


@pytest.mark.rule("X-059")
def test_what_is_ignored_is_no_difference():
    rules = Rules(ignore=("granted", "result_code"))
    new = answer(part(result_code=4012, granted=None, validity_time=9))
    assert [one[0] for one in differences(answer(part()), new, rules)] == ["validity_time"]


@pytest.mark.rule("X-059")
def test_keys_may_be_left_out_of_the_only_service():
    old = answer(part(service_identifiers=(3,)))
    assert differences(old, answer(part(rating_group=None))) == []


@pytest.mark.rule("X-059", "X-057")
def test_proxy_infos_must_be_repeated_as_sent():
    request = ccr(proxy_infos=PROXY_INFO)
    good, bad = cca(request, proxy_infos=PROXY_INFO), cca(request)
    assert differences(bad, good, request=request) == []
    [found] = differences(good, bad, request=request)
    assert found[0] == "proxy_info"


@pytest.mark.rule("X-059")
def test_an_answer_that_cannot_be_read_is_a_difference():
    [found] = differences(cca(REQUEST), cca(REQUEST)[:40])
    assert found[0] == "result_code"
    assert "unreadable" in found[3]
