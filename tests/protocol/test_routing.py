"""Whether a request is for us, and what is answered when it is not."""

import pytest

from protocol import codec
from protocol.base import error_answer, request_echo
from protocol.routing import LocalIdentity, route_check
from tests.support.connection_pair import SERVER, avps_of, header_of, request

US = LocalIdentity(
    "ocs1.ocs.example", ("ocs.example", "second.example"), {4: frozenset({272, 275})}
)

SESSION = codec.encode_utf8(263, "pgw1.net.example;1;1")


def host(name):
    return codec.encode_utf8(293, name)


def realm(name):
    return codec.encode_utf8(283, name)


def record(name):
    return codec.encode_utf8(282, name)


def code_of(avps, command=272, application=4):
    message = request(SESSION + avps, command=command, application=application)
    fault = route_check(message, header_of(message), US)
    if fault is None:
        return None
    session_id = request_echo(message).session_id
    answer = error_answer(
        SERVER.origin, header_of(message), fault.result_code, session_id=session_id
    )
    assert header_of(answer).is_error
    assert avps_of(answer)[0] == (263, session_id)
    return fault.result_code


FOR_US = [
    pytest.param(realm("ocs.example"), id="our-realm"),
    pytest.param(realm("Second.Example."), id="another-realm-of-ours-in-other-letters"),
    pytest.param(host("OCS1.ocs.example") + realm("ocs.example"), id="our-host"),
    pytest.param(
        host("ocs1.ocs.example") + realm("far.example"),
        id="our-host-and-a-foreign-realm",
        marks=pytest.mark.rule("T067"),
    ),
    pytest.param(
        realm("ocs.example") + record("dra1.net.example") + record("pgw9.net.example"),
        id="two-other-route-records",
        marks=pytest.mark.rule("T071"),
    ),
    pytest.param(b"", id="no-destination-is-local", marks=pytest.mark.rule("T068")),
]

NOT_FOR_US = [
    pytest.param(realm("other.example"), 3003, id="realm", marks=pytest.mark.rule("T064")),
    pytest.param(
        host("ocs2.ocs.example") + realm("ocs.example"),
        3002,
        id="host",
        marks=pytest.mark.rule("T065"),
    ),
    pytest.param(host("ocs2.ocs.example"), 3002, id="host-alone", marks=pytest.mark.rule("T065")),
    pytest.param(
        realm("ocs.example") + record("dra1") + record("OCS1.OCS.example"),
        3005,
        id="loop",
        marks=pytest.mark.rule("T070"),
    ),
    pytest.param(record("ocs1.ocs.example") + host("ocs2"), 3005, id="the-loop-comes-first"),
]


@pytest.mark.parametrize("avps", FOR_US)
def test_it_is_for_us(avps):
    assert code_of(avps) is None


@pytest.mark.parametrize("avps,code", NOT_FOR_US)
def test_it_is_not_for_us(avps, code):
    assert code_of(avps) == code


@pytest.mark.rule("T073")
def test_an_unknown_command_of_our_application():
    assert code_of(realm("ocs.example"), command=265) == 3001


def test_a_foreign_application():
    assert code_of(realm("ocs.example"), application=16777238) == 3007


def test_the_destination_is_looked_at_before_the_application():
    assert code_of(realm("other.example"), application=99, command=1) == 3003


def test_what_was_found_before_a_broken_avp_decides():
    assert code_of(realm("other.example") + b"\0\0\1\x1a\x40\0\0\x03") == 3003
    assert code_of(b"\0\0\1\x1a\x40\0\0\x03" + realm("other.example")) is None


def test_a_vendor_s_avp_of_the_same_code_is_no_destination():
    assert code_of(codec.encode_avp(293, b"ocs2", vendor=10415)) is None


def test_octets_that_are_no_text_are_another_host():
    assert code_of(codec.encode_avp(293, b"\xff\xfe")) == 3002
