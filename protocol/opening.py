"""What becomes of a connection with its CER or CEA, from our side (RFC 6733 sections 5.3 and 5.6).

`peer` hands in the first message of a connection, and every later CER, and does what is said here:
send an answer, open, or close. What the owner of the connection thinks of the peer is its policy's
to say.
"""

from dataclasses import dataclass
from enum import Enum, auto

from protocol import capabilities
from protocol.base import (
    COMMON_APPLICATION,
    CommandCode,
    ResultCode,
    identity_key,
)
from protocol.codec import Header
from protocol.errors import RemoteProtocolError
from protocol.own_messages import OwnMessages
from protocol.peer_events import Capabilities
from protocol.peer_settings import AnswerPolicy, ErrorKind, PeerPolicy, PeerSettings

E_BIT_IN_REQUEST = RemoteProtocolError(ResultCode.INVALID_HDR_BITS, "the E bit in a request")


class Step(Enum):
    """What to do with the connection."""

    OPEN = auto()
    KEEP = auto()
    CLOSE = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, after sending `answer` if there is one.

    `theirs` is what the peer said, where it may be believed; `fault` what to count; `after_down`
    as in the owner's decision.
    """

    step: Step
    theirs: Capabilities | None = None
    answer: bytes = b""
    reason: str = ""
    fault: ErrorKind | None = None
    after_down: bool = False


class Opening:
    """Judges CER and CEA by the settings of the connection and the policies of its owner."""

    __slots__ = ("_answer_policy", "_own", "_policy", "_settings")

    def __init__(
        self,
        settings: PeerSettings,
        own: OwnMessages,
        policy: PeerPolicy,
        answer_policy: AnswerPolicy,
    ) -> None:
        self._settings = settings
        self._own = own
        self._policy = policy
        self._answer_policy = answer_policy

    def first_request(self, header: Header, message: bytes) -> Verdict:
        """Judge the first message of somebody who calls us: it must be a CER (5.6.1)."""
        if not is_exchange(header) or not header.is_request:
            return _closed("the first message is not a CER", fault=ErrorKind.NOT_OPEN)
        if header.is_error:
            refusal = self._own.refusal(header, message, E_BIT_IN_REQUEST)
            return _closed(E_BIT_IN_REQUEST.message, refusal, ErrorKind.HEADER_BITS)
        request = capabilities.read_request(self._settings, message)
        if isinstance(request, RemoteProtocolError):
            return _closed(
                f"CER refused with {request.result_code}: {request.message}",
                self._unfit(header, request),
                ErrorKind.BAD_BASE_MESSAGE,
            )
        decision = self._policy(request)
        if decision.accept:
            welcome = self._own.cea(header, ResultCode.SUCCESS)
            return Verdict(Step.OPEN, request, welcome, after_down=decision.after_down)
        reason = decision.reason or f"{request.origin_host} is not allowed"
        answer = b"" if decision.silent else self._own.cea(header, decision.result_code, reason)
        return _closed(reason, answer, ErrorKind.REFUSED)

    def first_answer(self, message: bytes) -> Verdict:
        """Judge the CEA of whom we called."""
        answer = capabilities.read_answer(self._settings, message)
        if isinstance(answer, RemoteProtocolError):
            return _closed(answer.message, fault=ErrorKind.REFUSED)
        decision = self._answer_policy(answer)
        if decision.accept:
            return Verdict(Step.OPEN, answer, after_down=decision.after_down)
        reason = decision.reason or f"{answer.origin_host} is not who was called"
        return _closed(reason, fault=ErrorKind.REFUSED)

    def later_request(self, header: Header, message: bytes, known: Capabilities) -> Verdict:
        """Judge a CER on an open connection: it is answered again and never closes it."""
        request = capabilities.read_request(self._settings, message)
        if isinstance(request, RemoteProtocolError):
            answer = self._unfit(header, request)
            return Verdict(Step.KEEP, answer=answer, fault=ErrorKind.BAD_BASE_MESSAGE)
        if identity_key(request.origin_host) != identity_key(known.origin_host):
            answer = self._own.cea(header, ResultCode.UNKNOWN_PEER, "Origin-Host changed")
            return Verdict(Step.KEEP, answer=answer, fault=ErrorKind.REFUSED)
        return Verdict(Step.KEEP, request, self._own.cea(header, ResultCode.SUCCESS))

    def _unfit(self, header: Header, fault: RemoteProtocolError) -> bytes:
        return self._own.cea(header, fault.result_code, fault.message, fault.failed_avp)


def wins_election(own_host: str, other_host: str) -> bool:
    """Whether we win where both sides call each other (5.6.4): then the connection that we began
    is closed, else the one that the other side began.

    Octets are compared, capital letters as small ones.
    """
    return own_host.lower().encode() > other_host.lower().encode()


def is_exchange(header: Header) -> bool:
    """Whether a message is a CER or CEA."""
    return (
        header.command_code == CommandCode.CAPABILITIES_EXCHANGE
        and header.application_id == COMMON_APPLICATION
    )


def _closed(reason: str, answer: bytes = b"", fault: ErrorKind | None = None) -> Verdict:
    return Verdict(Step.CLOSE, None, answer, reason, fault)
