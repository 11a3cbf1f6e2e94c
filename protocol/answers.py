"""Result-Codes and the answers that report a fault (RFC 6733 sections 6.2 and 7).

`base` writes the peer commands' answers with it, the server its error answers.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from protocol import codec
from protocol.codec import FLAG_ERROR, FLAG_PROXIABLE, HEADER_SIZE, Header
from protocol.errors import RemoteProtocolError

_SESSION_ID, _RESULT, _ERROR_TEXT, _PROXY_INFO = 263, 268, 281, 284


MAX_ERROR_MESSAGE = 256
"""Characters of an Error-Message, which may quote what the peer sent, but not at any length."""


class ResultCode(IntEnum):
    """Result-Codes of RFC 6733 section 7.1 and RFC 8506 section 9 that are sent or understood."""

    MULTI_ROUND_AUTH = 1001
    SUCCESS = 2001
    LIMITED_SUCCESS = 2002
    COMMAND_UNSUPPORTED = 3001
    UNABLE_TO_DELIVER = 3002
    REALM_NOT_SERVED = 3003
    TOO_BUSY = 3004
    LOOP_DETECTED = 3005
    REDIRECT_INDICATION = 3006
    APPLICATION_UNSUPPORTED = 3007
    INVALID_HDR_BITS = 3008
    INVALID_AVP_BITS = 3009
    UNKNOWN_PEER = 3010
    AUTHENTICATION_REJECTED = 4001
    OUT_OF_SPACE = 4002
    ELECTION_LOST = 4003
    END_USER_SERVICE_DENIED = 4010
    CREDIT_CONTROL_NOT_APPLICABLE = 4011
    CREDIT_LIMIT_REACHED = 4012
    AVP_UNSUPPORTED = 5001
    UNKNOWN_SESSION_ID = 5002
    AUTHORIZATION_REJECTED = 5003
    INVALID_AVP_VALUE = 5004
    MISSING_AVP = 5005
    RESOURCES_EXCEEDED = 5006
    CONTRADICTING_AVPS = 5007
    AVP_NOT_ALLOWED = 5008
    AVP_OCCURS_TOO_MANY_TIMES = 5009
    NO_COMMON_APPLICATION = 5010
    UNSUPPORTED_VERSION = 5011
    UNABLE_TO_COMPLY = 5012
    INVALID_BIT_IN_HEADER = 5013
    INVALID_AVP_LENGTH = 5014
    INVALID_MESSAGE_LENGTH = 5015
    INVALID_AVP_BIT_COMBO = 5016
    NO_COMMON_SECURITY = 5017
    USER_UNKNOWN = 5030
    RATING_FAILED = 5031


def is_protocol_error(code: int) -> bool:
    """Whether an answer with this Result-Code must carry the E bit (RFC 6733 section 7.1.3)."""
    return 3000 <= code < 4000


@dataclass(frozen=True, slots=True)
class Origin:
    """Who we are in every message we send; a `state_id` of 0 or None is not sent."""

    host: str
    realm: str
    state_id: int | None = None
    avps: bytes = field(init=False, repr=False, compare=False)
    """Origin-Host and Origin-Realm, encoded once."""
    state_avp: bytes = field(init=False, repr=False, compare=False)
    """Origin-State-Id, encoded once."""

    def __post_init__(self) -> None:
        avps = codec.encode_utf8(264, self.host) + codec.encode_utf8(296, self.realm)
        object.__setattr__(self, "avps", avps)
        state = codec.encode_u32(278, self.state_id) if self.state_id else b""
        object.__setattr__(self, "state_avp", state)


class RequestEcho(NamedTuple):
    """What an answer repeats: the octets of Session-Id, and Proxy-Info verbatim with padding."""

    session_id: bytes | None
    proxy_infos: bytes


def request_echo(message: bytes) -> RequestEcho:
    """The AVPs to repeat, as far as a request can be walked; never raises, for error answers."""
    session_id: bytes | None = None
    proxy_infos: list[bytes] = []
    try:
        for code, vendor, flags, start, end in codec.iter_avps(message, HEADER_SIZE, len(message)):
            if code == _SESSION_ID and not vendor and session_id is None:
                session_id = message[start:end]
            elif code == _PROXY_INFO and not vendor:
                head = 12 if flags & codec.AVP_VENDOR else 8  # V with vendor 0 is the IETF's too
                proxy_infos.append(codec.failed_avp_copy(message, start - head, end))
    except RemoteProtocolError:
        pass  # what came before the broken AVP is repeated; its fault is reported elsewhere
    return RequestEcho(session_id, b"".join(proxy_infos))


def error_answer(
    origin: Origin,
    header: Header,
    result_code: int,
    *,
    session_id: bytes | None = None,
    failed_avp: bytes = b"",
    proxy_infos: bytes = b"",
    error_message: str = "",
    extra: bytes = b"",
) -> bytes:
    """A failed answer: the E-bit form for 3xxx, else the command's own (RFC 6733 section 7.1).

    `failed_avp` is the inside of the Failed-AVP, `extra` holds the encoded AVPs that the command's
    own grammar asks for.
    """
    if is_protocol_error(result_code):
        return answer_message(
            origin,
            header,
            result_code,
            session_id=session_id,
            failed_avp=failed_avp,
            proxy_infos=proxy_infos,
            error_message=error_message,
            extra=extra,
        )
    return encode_answer(
        header,
        _session_avp(session_id)
        + codec.encode_u32(_RESULT, result_code)
        + origin.avps
        + extra
        + origin.state_avp
        + _explanation(error_message, failed_avp)
        + proxy_infos,
        False,
    )


def answer_message(
    origin: Origin,
    header: Header,
    result_code: int,
    *,
    session_id: bytes | None = None,
    failed_avp: bytes = b"",
    proxy_infos: bytes = b"",
    error_message: str = "",
    extra: bytes = b"",
) -> bytes:
    """The generic answer with the E bit, which needs no command grammar (RFC 6733 section 7.2)."""
    return encode_answer(
        header,
        _session_avp(session_id)
        + origin.avps
        + codec.encode_u32(_RESULT, result_code)
        + origin.state_avp
        + _explanation(error_message, failed_avp)
        + proxy_infos
        + extra,
        True,
    )


def encode_answer(header: Header, avps: bytes, error_bit: bool) -> bytes:
    """The message that answers the request with this header: ids and P copied, R and T clear."""
    flags = header.flags & FLAG_PROXIABLE | (FLAG_ERROR if error_bit else 0)
    return codec.encode_message(
        header.command_code,
        header.application_id,
        flags,
        header.hop_by_hop,
        header.end_to_end,
        avps,
    )


def _session_avp(session_id: bytes | None) -> bytes:
    return b"" if session_id is None else codec.encode_avp(_SESSION_ID, session_id)


def _explanation(error_message: str, failed_avp: bytes) -> bytes:
    text = b""
    if error_message:
        text = codec.encode_utf8(_ERROR_TEXT, error_message[:MAX_ERROR_MESSAGE], flags=0)
    return text + (codec.encode_failed_avp(failed_avp) if failed_avp else b"")
