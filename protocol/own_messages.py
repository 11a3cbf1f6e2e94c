"""The peer commands as we send them, and the refusal of what we cannot answer (RFC 6733 section 5).

`peer` asks for the octets; who we are comes from its settings.
"""

from protocol import codec
from protocol.answers import MAX_ERROR_MESSAGE
from protocol.base import (
    CapabilitiesExchangeAnswer,
    CapabilitiesExchangeRequest,
    DeviceWatchdogAnswer,
    DeviceWatchdogRequest,
    DisconnectCause,
    DisconnectPeerAnswer,
    DisconnectPeerRequest,
    ResultCode,
    VendorSpecificApplication,
    error_answer,
    request_echo,
)
from protocol.codec import Header
from protocol.errors import RemoteProtocolError
from protocol.peer_settings import PeerSettings

_ROOM = 4096  # more than all AVPs of our own in an error answer take


class OwnMessages:
    """Writes our requests, their hop-by-hop id to be set when sent, and answers by header."""

    __slots__ = ("_origin", "_settings", "_state_id")

    def __init__(self, settings: PeerSettings) -> None:
        self._settings = settings
        self._origin = settings.origin
        self._state_id = settings.origin_state_id or None

    def cer(self, end_to_end: int) -> bytes:
        """The request that opens a connection we made."""
        settings = self._settings
        return CapabilitiesExchangeRequest(
            settings.origin_host,
            settings.origin_realm,
            host_ip_addresses=settings.host_ip_addresses,
            vendor_id=settings.vendor_id,
            product_name=settings.product_name,
            origin_state_id=self._state_id,
            supported_vendor_ids=settings.supported_vendor_ids,
            auth_application_ids=settings.auth_application_ids,
            vendor_specific_applications=self._vendor_applications(),
            firmware_revision=settings.firmware_revision,
        ).write(0, end_to_end)

    def cea(
        self, header: Header, result_code: int, error_message: str = "", failed_avp: bytes = b""
    ) -> bytes:
        """The CEA: all our applications, not the common ones; complete also when it refuses."""
        settings = self._settings
        return CapabilitiesExchangeAnswer(
            settings.origin_host,
            settings.origin_realm,
            result_code=result_code,
            error_message=error_message[:MAX_ERROR_MESSAGE] or None,
            failed_avp=failed_avp or None,
            host_ip_addresses=settings.host_ip_addresses,
            vendor_id=settings.vendor_id,
            product_name=settings.product_name,
            origin_state_id=self._state_id,
            supported_vendor_ids=settings.supported_vendor_ids,
            auth_application_ids=settings.auth_application_ids,
            vendor_specific_applications=self._vendor_applications(),
            firmware_revision=settings.firmware_revision,
        ).write(header)

    def dwr(self, end_to_end: int) -> bytes:
        """The watchdog request."""
        origin = self._origin
        request = DeviceWatchdogRequest(origin.host, origin.realm, self._state_id)
        return request.write(0, end_to_end)

    def dwa(self, header: Header) -> bytes:
        """The watchdog answer, always success."""
        origin, state_id = self._origin, self._state_id
        code = ResultCode.SUCCESS
        answer = DeviceWatchdogAnswer(code, origin.host, origin.realm, origin_state_id=state_id)
        return answer.write(header)

    def dpr(self, cause: DisconnectCause, end_to_end: int) -> bytes:
        """The request that ends a connection."""
        origin = self._origin
        return DisconnectPeerRequest(origin.host, origin.realm, cause).write(0, end_to_end)

    def dpa(self, header: Header) -> bytes:
        """The agreement that the peer may go."""
        origin = self._origin
        return DisconnectPeerAnswer(ResultCode.SUCCESS, origin.host, origin.realm).write(header)

    def refusal(self, header: Header, message: bytes, fault: RemoteProtocolError) -> bytes:
        """The error answer to any request, with its Session-Id and Proxy-Info if readable."""
        echo = request_echo(message)
        if 2 * len(message) > codec.MAX_LENGTH - _ROOM:
            # Session-Id, Proxy-Info and a copy of one of them might together not fit one message.
            fault = RemoteProtocolError(fault.result_code, fault.message)
        return error_answer(
            self._origin,
            header,
            fault.result_code,
            session_id=echo.session_id,
            failed_avp=fault.failed_avp,
            proxy_infos=echo.proxy_infos,
            error_message=fault.message,
        )

    def _vendor_applications(self) -> tuple[VendorSpecificApplication, ...]:
        return tuple(
            VendorSpecificApplication(vendor, application)
            for vendor, application in self._settings.vendor_specific_applications
        )
