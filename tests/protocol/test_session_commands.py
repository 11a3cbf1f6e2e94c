"""RAR, ASR, STR and their answers survive the wire; missing members are reported."""

from typing import Any

import pytest

from protocol.codec import encode_failed_avp, encode_message, encode_utf8, read_header
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.session_commands import (
    SessionAnswer,
    SessionCommand,
    SessionRequest,
    read_session_answer,
    read_session_request,
    write_session_answer,
    write_session_request,
)

PROXY = bytes.fromhex("0000011c4000000c000000ab")


def request(command: SessionCommand, **members: Any) -> SessionRequest:
    identity = ("pgw1;1;1", "ocs1.ocs.example", "ocs.example", "net.example", "pgw1.net.example")
    return SessionRequest(command, *identity, **members)


@pytest.mark.rule("B-027")
@pytest.mark.parametrize(
    "written",
    [
        request(SessionCommand.RE_AUTH, re_auth_request_type=0),
        request(
            SessionCommand.RE_AUTH,
            re_auth_request_type=0,
            sub_session_id=1,
            pool_identifier=2,
            service_identifier=3,
            rating_group=4,
        ),
        request(SessionCommand.ABORT_SESSION, user_name="u", origin_state_id=9),
        request(SessionCommand.SESSION_TERMINATION, termination_cause=1, proxy_infos=PROXY),
    ],
)
def test_requests_survive(written):
    message = write_session_request(written, 5, 6, retransmitted=True)
    header = read_header(message)
    assert (header.command_code, header.application_id) == (written.command_code, 4)
    assert (header.flags, header.hop_by_hop, header.end_to_end) == (0xD0, 5, 6)
    assert read_session_request(message, header) == written


@pytest.mark.parametrize("command", SessionCommand)
def test_answers_survive(command):
    failed = bytes.fromhex("0000010740000008")
    answer = SessionAnswer(
        command, "pgw1;1;1", 5005, "h", "r", 3, "user", "no such session", failed, PROXY
    )
    message = write_session_answer(answer, 1, 2)
    assert read_session_answer(message) == answer
    assert encode_failed_avp(failed) in message
    assert read_header(message).flags == 0x40


@pytest.mark.parametrize(
    "command, code",
    [
        (SessionCommand.RE_AUTH, 285),
        (SessionCommand.ABORT_SESSION, 293),
        (SessionCommand.SESSION_TERMINATION, 295),
    ],
)
def test_each_command_needs_its_own_members(command, code):
    written = SessionRequest(command, "s", "h", "r", "dr")
    if command is SessionCommand.RE_AUTH:
        written.destination_host = "dh"
    message = write_session_request(written, 1, 1)
    with pytest.raises(RemoteProtocolError) as caught:
        read_session_request(message, read_header(message))
    assert caught.value.result_code == 5005
    assert int.from_bytes(caught.value.failed_avp[:4], "big") == code


def test_another_application_is_5004():
    written = request(SessionCommand.SESSION_TERMINATION, termination_cause=1)
    written.auth_application_id = 5
    message = write_session_request(written, 1, 1)
    with pytest.raises(RemoteProtocolError) as caught:
        read_session_request(message, read_header(message))
    assert caught.value.result_code == 5004


def test_an_answer_needs_a_result():
    message = encode_message(258, 4, 0, 1, 1, encode_utf8(264, "h") + encode_utf8(296, "r"))
    with pytest.raises(RemoteProtocolError) as caught:
        read_session_answer(message)
    assert caught.value.failed_avp.hex() == "0000010c4000000c00000000"


def test_identifiers_must_fit_the_header():
    with pytest.raises(LocalProtocolError):
        write_session_request(request(SessionCommand.ABORT_SESSION), 2**32, 1)
