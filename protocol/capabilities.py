"""Capabilities negotiation: why a well-formed CER or CEA is refused (RFC 6733 section 5.3).

Pure functions that `peer` calls when a connection opens.
"""

from protocol.base import (
    RELAY_APPLICATION,
    CapabilitiesExchangeAnswer,
    CapabilitiesExchangeRequest,
    ResultCode,
)
from protocol.codec import HEADER_SIZE, check_avp_count
from protocol.errors import RemoteProtocolError
from protocol.peer_settings import PeerSettings

_NO_INBAND_SECURITY = 0


def read_request(
    settings: PeerSettings, message: bytes
) -> CapabilitiesExchangeRequest | RemoteProtocolError:
    """The CER in a message, or what a CEA must say against it."""
    try:
        check_avp_count(message, HEADER_SIZE, len(message), settings.limits)
        request = CapabilitiesExchangeRequest.read(message)
    except RemoteProtocolError as fault:
        return fault
    return capabilities_fault(settings, request) or request


def read_answer(
    settings: PeerSettings, message: bytes
) -> CapabilitiesExchangeAnswer | RemoteProtocolError:
    """The CEA in a message if it lets us in, or why the connection is of no use."""
    try:
        check_avp_count(message, HEADER_SIZE, len(message), settings.limits)
        answer = CapabilitiesExchangeAnswer.read(message)
    except RemoteProtocolError as fault:
        return RemoteProtocolError(fault.result_code, f"unreadable CEA: {fault.message}")
    code = answer.result_code
    if code != ResultCode.SUCCESS:
        return RemoteProtocolError(code, f"CEA {code}: {answer.error_message or 'refused'}")
    if not have_common_application(settings, answer.applications):
        return RemoteProtocolError(
            ResultCode.NO_COMMON_APPLICATION, "the CEA names no common application"
        )
    return answer


def have_common_application(settings: PeerSettings, advertised: frozenset[int]) -> bool:
    """Whether one of our applications was advertised; a relay's id stands for all of them."""
    own = {*settings.auth_application_ids}
    own.update(application for _, application in settings.vendor_specific_applications)
    if RELAY_APPLICATION in advertised or RELAY_APPLICATION in own:
        return True
    return not own.isdisjoint(advertised)


def capabilities_fault(
    settings: PeerSettings, request: CapabilitiesExchangeRequest
) -> RemoteProtocolError | None:
    """Why a well-formed CER cannot be accepted: no common security (5017) or application (5010)."""
    offered = request.inband_security_ids
    if offered and _NO_INBAND_SECURITY not in offered:
        return RemoteProtocolError(
            ResultCode.NO_COMMON_SECURITY, "TLS inside the connection is not offered here"
        )
    if not have_common_application(settings, request.applications):
        ours = ", ".join(map(str, settings.auth_application_ids))
        theirs = ", ".join(map(str, sorted(request.applications))) or "none"
        return RemoteProtocolError(
            ResultCode.NO_COMMON_APPLICATION,
            f"no common application: the peer offers {theirs}, this server {ours}",
        )
    return None
