"""Re-Auth, Abort-Session and Session-Termination as values (RFC 6733 section 8, RFC 8506 5.5).

The server writes RAR and ASR and reads their answers; clients may end a session with STR. The
simulator does the reverse. One value serves all three commands, told apart by `command_code`.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from protocol import codec
from protocol.codec import DEFAULT_LIMITS, HEADER_SIZE, Header, Limits
from protocol.credit_control import CREDIT_CONTROL_APPLICATION
from protocol.errors import LocalProtocolError
from protocol.members import (
    INVALID_AVP_VALUE,
    LENIENT,
    Leniency,
    Reading,
    Step,
    Table,
    i32,
    many,
    octets,
    one,
    read_members,
    text,
    u32,
    u64,
)


class SessionCommand(IntEnum):
    """Command codes of the three commands."""

    RE_AUTH = 258
    ABORT_SESSION = 274
    SESSION_TERMINATION = 275


@dataclass(slots=True)
class SessionRequest:
    """RAR, ASR or STR; the last members occur in RAR only (RFC 8506 section 10.2)."""

    command_code: int
    session_id: str
    origin_host: str
    origin_realm: str
    destination_realm: str
    destination_host: str | None = None
    auth_application_id: int = CREDIT_CONTROL_APPLICATION
    user_name: str | None = None
    origin_state_id: int | None = None
    termination_cause: int | None = None
    re_auth_request_type: int | None = None
    sub_session_id: int | None = None
    pool_identifier: int | None = None
    service_identifier: int | None = None
    rating_group: int | None = None
    proxy_infos: bytes = b""


@dataclass(slots=True)
class SessionAnswer:
    """RAA, ASA or STA; `failed_avp` holds the AVPs inside the Failed-AVP."""

    command_code: int
    session_id: str | None
    result_code: int
    origin_host: str
    origin_realm: str
    origin_state_id: int | None = None
    user_name: str | None = None
    error_message: str | None = None
    failed_avp: bytes = b""
    proxy_infos: bytes = b""


def _read_proxy_info(reading: Reading, position: int, _start: int, stop: int) -> None:
    reading.proxy_infos.append(reading.data[position : (stop + 3) & -4])


def _pass_over(_reading: Reading, _position: int, _start: int, _stop: int) -> None:
    """A member that is allowed and of no interest."""


_REQUEST: Table = dict(
    [
        text("Session-Id", "session_id"),
        text("Origin-Host", "origin_host"),
        text("Origin-Realm", "origin_realm"),
        text("Destination-Realm", "destination_realm"),
        text("Destination-Host", "destination_host"),
        u32("Auth-Application-Id", "auth_application_id"),
        text("User-Name", "user_name"),
        u32("Origin-State-Id", "origin_state_id"),
        i32("Termination-Cause", "termination_cause"),
        i32("Re-Auth-Request-Type", "re_auth_request_type"),
        u64("CC-Sub-Session-Id", "sub_session_id"),
        u32("G-S-U-Pool-Identifier", "pool_identifier"),
        u32("Service-Identifier", "service_identifier"),
        u32("Rating-Group", "rating_group"),
        one("Proxy-Info", "proxy_infos", _read_proxy_info),
        many("Route-Record", "route_records", _pass_over),
    ]
)
_ANSWER: Table = dict(
    [
        text("Session-Id", "session_id"),
        u32("Result-Code", "result_code"),
        text("Origin-Host", "origin_host"),
        text("Origin-Realm", "origin_realm"),
        u32("Origin-State-Id", "origin_state_id"),
        text("User-Name", "user_name"),
        text("Error-Message", "error_message"),
        octets("Failed-AVP", "failed_avp"),
        one("Proxy-Info", "proxy_infos", _read_proxy_info),
    ]
)
_REQUIRED_IN_REQUEST = {
    "session_id": "Session-Id",
    "origin_host": "Origin-Host",
    "origin_realm": "Origin-Realm",
    "destination_realm": "Destination-Realm",
    "auth_application_id": "Auth-Application-Id",
}
_REQUIRED_IN_ANSWER = {
    "result_code": "Result-Code",
    "origin_host": "Origin-Host",
    "origin_realm": "Origin-Realm",
}


def _read(reading: Reading, table: Table, required: dict[str, str]) -> dict[str, Any]:
    found = read_members(reading, HEADER_SIZE, len(reading.data), table)
    for attribute, name in required.items():
        if attribute not in found:
            reading.missing(name)
    return found


def read_session_request(
    message: bytes, header: Header, lenient: Leniency = LENIENT, limits: Limits = DEFAULT_LIMITS
) -> SessionRequest:
    """An RAR, ASR or STR; RemoteProtocolError with the first fault, in the order of a CCR."""
    codec.check_avp_count(message, HEADER_SIZE, len(message), limits)
    reading = Reading(message, lenient, limits)
    found = _read(reading, _REQUEST, _REQUIRED_IN_REQUEST)
    for attribute, name in _REQUIRED_IN_COMMAND.get(header.command_code, ()):
        if attribute not in found:
            reading.missing(name)
    application_id = found.get("auth_application_id", header.application_id)
    if application_id != header.application_id:
        failed = codec.find_avp(message, HEADER_SIZE, len(message), 258) or b""
        fault = f"Auth-Application-Id cannot be {application_id}"
        reading.problem(Step.VALUE, INVALID_AVP_VALUE, fault, failed)
    reading.raise_first()
    found["proxy_infos"] = b"".join(reading.proxy_infos)
    return SessionRequest(header.command_code, **found)


_REQUIRED_IN_COMMAND: dict[int, tuple[tuple[str, str], ...]] = {
    SessionCommand.RE_AUTH: (
        ("destination_host", "Destination-Host"),
        ("re_auth_request_type", "Re-Auth-Request-Type"),
    ),
    SessionCommand.ABORT_SESSION: (("destination_host", "Destination-Host"),),
    SessionCommand.SESSION_TERMINATION: (("termination_cause", "Termination-Cause"),),
}


def read_session_answer(message: bytes, limits: Limits = DEFAULT_LIMITS) -> SessionAnswer:
    """An RAA, ASA or STA; unknown AVPs are passed over, because an answer cannot be refused."""
    command_code = codec.read_header(message).command_code
    codec.check_avp_count(message, HEADER_SIZE, len(message), limits)
    reading = Reading(message, LENIENT, limits, unknown_allowed=True)
    found = _read(reading, _ANSWER, _REQUIRED_IN_ANSWER)
    reading.raise_first()
    found["proxy_infos"] = b"".join(reading.proxy_infos)
    found.setdefault("session_id", None)
    return SessionAnswer(command_code, **found)


Writer = tuple[str, Callable[[int, Any], bytes], int]

_REQUEST_ORDER: tuple[Writer, ...] = (
    ("session_id", codec.encode_utf8, 263),
    ("origin_host", codec.encode_utf8, 264),
    ("origin_realm", codec.encode_utf8, 296),
    ("destination_realm", codec.encode_utf8, 283),
    ("destination_host", codec.encode_utf8, 293),
    ("auth_application_id", codec.encode_u32, 258),
    ("re_auth_request_type", codec.encode_i32, 285),
    ("termination_cause", codec.encode_i32, 295),
    ("user_name", codec.encode_utf8, 1),
    ("origin_state_id", codec.encode_u32, 278),
    ("sub_session_id", codec.encode_u64, 419),
    ("pool_identifier", codec.encode_u32, 453),
    ("service_identifier", codec.encode_u32, 439),
    ("rating_group", codec.encode_u32, 432),
)
_ANSWER_ORDER: tuple[Writer, ...] = (
    ("session_id", codec.encode_utf8, 263),
    ("result_code", codec.encode_u32, 268),
    ("origin_host", codec.encode_utf8, 264),
    ("origin_realm", codec.encode_utf8, 296),
    ("user_name", codec.encode_utf8, 1),
    ("origin_state_id", codec.encode_u32, 278),
)


def _write(value: object, order: tuple[Writer, ...]) -> bytes:
    avps = b""
    for attribute, encode, code in order:
        member = getattr(value, attribute)
        if member is not None:
            avps += encode(code, member)
    return avps


def write_session_request(
    request: SessionRequest, hop_by_hop: int, end_to_end: int, retransmitted: bool = False
) -> bytes:
    """An RAR, ASR or STR as octets; LocalProtocolError for a value that does not fit."""
    flags = codec.FLAG_REQUEST | codec.FLAG_PROXIABLE
    if retransmitted:
        flags |= codec.FLAG_RETRANSMIT
    avps = _write(request, _REQUEST_ORDER) + request.proxy_infos
    return _message(request.command_code, flags, hop_by_hop, end_to_end, avps)


def sent_again(request: bytes) -> bytes:
    """A request as it goes out again, by another way, with the T flag (RFC 6733 section 5.5.4)."""
    return request[:4] + bytes([request[4] | codec.FLAG_RETRANSMIT]) + request[5:]


def write_session_answer(
    answer: SessionAnswer,
    hop_by_hop: int,
    end_to_end: int,
    proxiable: bool = True,
    error: bool = False,
) -> bytes:
    """An RAA, ASA or STA as octets; LocalProtocolError for a value that does not fit."""
    avps = _write(answer, _ANSWER_ORDER)
    if answer.error_message is not None:
        avps += codec.encode_utf8(281, answer.error_message, flags=0)
    if answer.failed_avp:
        avps += codec.encode_failed_avp(answer.failed_avp)
    flags = (codec.FLAG_PROXIABLE if proxiable else 0) | (codec.FLAG_ERROR if error else 0)
    return _message(answer.command_code, flags, hop_by_hop, end_to_end, avps + answer.proxy_infos)


def _message(command: int, flags: int, hop_by_hop: int, end_to_end: int, avps: bytes) -> bytes:
    try:
        return codec.encode_message(
            command, CREDIT_CONTROL_APPLICATION, flags, hop_by_hop, end_to_end, avps
        )
    except struct.error as fault:
        raise LocalProtocolError(f"the header cannot be written: {fault}") from fault
