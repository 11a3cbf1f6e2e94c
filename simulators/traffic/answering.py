"""What simulated gateways answer when the server asks: Re-Auth and Abort-Session (RFC 8506 5.5).

Used by `gateway`, whose sessions react, and by replays, whose sessions do what was recorded.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from protocol.answers import Origin, error_answer
from protocol.codec import Header
from protocol.errors import ProtocolError
from protocol.session_commands import (
    SessionAnswer,
    SessionCommand,
    read_session_request,
    write_session_answer,
)

SUCCESS, LIMITED_SUCCESS, UNKNOWN_SESSION, UNABLE_TO_COMPLY = 2001, 2002, 5002, 5012
_COMMAND_UNSUPPORTED = 3001
_ASKED = frozenset({SessionCommand.RE_AUTH, SessionCommand.ABORT_SESSION})

Decision = Callable[[SessionCommand, str], int]
"""The Result-Code for a command about the session with this id."""


class Answered(NamedTuple):
    """An answer to the server; `session_id` is empty if it asked for what nobody understands."""

    message: bytes
    session_id: str = ""


def answer_server(
    origin: Origin, header: Header, message: bytes, decide: Decision, tally: Counter[str]
) -> Answered:
    """What a request of the server is answered; commands that can be read count in the tally."""
    if header.command_code not in _ASKED:
        return Answered(error_answer(origin, header, _COMMAND_UNSUPPORTED))
    try:
        request = read_session_request(message, header)
    except ProtocolError as fault:
        code = getattr(fault, "result_code", UNABLE_TO_COMPLY)
        return Answered(error_answer(origin, header, code, error_message=str(fault)))
    command = SessionCommand(header.command_code)
    tally[command.name.lower()] += 1
    answer = SessionAnswer(
        header.command_code,
        request.session_id,
        decide(command, request.session_id),
        origin.host,
        origin.realm,
        proxy_infos=request.proxy_infos,
    )
    ids = header.hop_by_hop, header.end_to_end
    return Answered(write_session_answer(answer, *ids, header.is_proxiable), request.session_id)
