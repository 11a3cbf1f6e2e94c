"""The peer commands CER CEA DWR DWA DPR DPA as values (RFC 6733 section 5), for `peer`.

What a command must hold is said by grammar tables, by which `grammar` reads and writes. The
Result-Codes and error answers of `answers` are offered here too.
"""

from dataclasses import KW_ONLY, dataclass
from enum import IntEnum
from typing import Self

from protocol import codec
from protocol.answers import (
    Origin,
    RequestEcho,
    ResultCode,
    answer_message,
    encode_answer,
    error_answer,
    is_protocol_error,
    request_echo,
)
from protocol.codec import FLAG_REQUEST, HEADER_SIZE, Header
from protocol.errors import RemoteProtocolError
from protocol.grammar import (
    ADDRESS,
    IDENTITY,
    OCTETS,
    TEXT,
    UNSIGNED32,
    Field,
    Grammar,
    Kind,
    enumerated,
    identity_key,
)

__all__ = [
    "BASE_COMMANDS",
    "COMMON_APPLICATION",
    "RELAY_APPLICATION",
    "CapabilitiesExchangeAnswer",
    "CapabilitiesExchangeRequest",
    "CommandCode",
    "DeviceWatchdogAnswer",
    "DeviceWatchdogRequest",
    "DisconnectCause",
    "DisconnectPeerAnswer",
    "DisconnectPeerRequest",
    "Origin",
    "RequestEcho",
    "ResultCode",
    "VendorSpecificApplication",
    "answer_message",
    "error_answer",
    "identity_key",
    "is_protocol_error",
    "request_echo",
]

COMMON_APPLICATION = 0
"""Application-Id of the peer commands."""

RELAY_APPLICATION = 0xFFFFFFFF
"""Advertised by relays: every application is common with them (RFC 6733 section 2.4)."""


class CommandCode(IntEnum):
    """Command codes this package knows; a request and its answer share one."""

    CAPABILITIES_EXCHANGE = 257
    RE_AUTH = 258
    CREDIT_CONTROL = 272
    ABORT_SESSION = 274
    SESSION_TERMINATION = 275
    DEVICE_WATCHDOG = 280
    DISCONNECT_PEER = 282


BASE_COMMANDS = frozenset(
    {
        CommandCode.CAPABILITIES_EXCHANGE,
        CommandCode.DEVICE_WATCHDOG,
        CommandCode.DISCONNECT_PEER,
    }
)
"""What application 0 consists of."""


class DisconnectCause(IntEnum):
    """Why a peer says goodbye (RFC 6733 section 5.4.3); after 1 and 2 do not call it back."""

    REBOOTING = 0
    BUSY = 1
    DO_NOT_WANT_TO_TALK_TO_YOU = 2


@dataclass(frozen=True, slots=True)
class VendorSpecificApplication:
    """Vendor-Specific-Application-Id: an application id of one kind; the vendor is not compared."""

    vendor_id: int | None = None
    auth_application_id: int | None = None
    acct_application_id: int | None = None


_APPLICATION_GROUP = Grammar(
    Field("Vendor-Id", "vendor_id", UNSIGNED32),
    Field("Auth-Application-Id", "auth_application_id", UNSIGNED32),
    Field("Acct-Application-Id", "acct_application_id", UNSIGNED32),
)


def _unpack_application(payload: bytes) -> VendorSpecificApplication:
    group = VendorSpecificApplication(**_APPLICATION_GROUP.read(payload, 0, len(payload)))
    auth, acct = group.auth_application_id, group.acct_application_id
    names = ("Auth-Application-Id", "Acct-Application-Id")
    if auth is None and acct is None:
        raise RemoteProtocolError(
            ResultCode.MISSING_AVP,
            "Vendor-Specific-Application-Id without an application",
            b"".join(codec.failed_avp_for_missing(name) for name in names),
        )
    if auth is not None and acct is not None:
        raise RemoteProtocolError(
            ResultCode.AVP_OCCURS_TOO_MANY_TIMES,
            "Vendor-Specific-Application-Id with both kinds of application",
            _APPLICATION_GROUP.write(VendorSpecificApplication(None, auth, acct)),
        )
    return group


_APPLICATION = Kind(_unpack_application, _APPLICATION_GROUP.write)

_ORIGIN_HOST = Field("Origin-Host", "origin_host", IDENTITY, required=True)
_ORIGIN_REALM = Field("Origin-Realm", "origin_realm", IDENTITY, required=True)
_ORIGIN_STATE = Field("Origin-State-Id", "origin_state_id", UNSIGNED32)
_RESULT_CODE = Field("Result-Code", "result_code", UNSIGNED32, required=True)
_ERROR_MESSAGE = Field("Error-Message", "error_message", TEXT)
_FAILED_AVP = Field("Failed-AVP", "failed_avp", OCTETS)
_CAUSE = Field("Disconnect-Cause", "disconnect_cause", enumerated(DisconnectCause), required=True)
_APPLICATIONS = (
    Field("Supported-Vendor-Id", "supported_vendor_ids", UNSIGNED32, many=True),
    Field("Auth-Application-Id", "auth_application_ids", UNSIGNED32, many=True),
    Field("Inband-Security-Id", "inband_security_ids", UNSIGNED32, many=True),
    Field("Acct-Application-Id", "acct_application_ids", UNSIGNED32, many=True),
    Field(
        "Vendor-Specific-Application-Id", "vendor_specific_applications", _APPLICATION, many=True
    ),
    Field("Firmware-Revision", "firmware_revision", UNSIGNED32),
)


def _capabilities(*, answer: bool) -> Grammar:
    # A CEA that refuses may lack what a CEA that accepts must have, so an answer asks for less.
    return Grammar(
        *((_RESULT_CODE,) if answer else ()),
        _ORIGIN_HOST,
        _ORIGIN_REALM,
        Field("Host-IP-Address", "host_ip_addresses", ADDRESS, required=not answer, many=True),
        Field("Vendor-Id", "vendor_id", UNSIGNED32, required=not answer),
        Field("Product-Name", "product_name", TEXT, required=not answer),
        _ORIGIN_STATE,
        *((_ERROR_MESSAGE, _FAILED_AVP) if answer else ()),
        *_APPLICATIONS,
    )


class _Command:
    """What the peer commands share: each is read and written by the grammar of its class."""

    __slots__ = ()
    _CODE: CommandCode
    _GRAMMAR: Grammar

    @classmethod
    def read(cls, message: bytes) -> Self:
        """The value of a message; raises RemoteProtocolError with the first fault's Failed-AVP."""
        return cls(**cls._GRAMMAR.read(message, HEADER_SIZE, len(message)))


class _Request(_Command):
    __slots__ = ()

    def write(self, hop_by_hop: int, end_to_end: int) -> bytes:
        """The whole message: R set, P not, application 0."""
        avps = self._GRAMMAR.write(self)
        return codec.encode_message(
            self._CODE, COMMON_APPLICATION, FLAG_REQUEST, hop_by_hop, end_to_end, avps
        )


class _Answer(_Command):
    __slots__ = ()
    result_code: int

    def write(self, header: Header) -> bytes:
        """The answer to the request with this header; 3xxx such as 3010 sets E."""
        return encode_answer(header, self._GRAMMAR.write(self), is_protocol_error(self.result_code))


@dataclass(frozen=True, slots=True)
class _Capabilities:
    """Who a peer is and what it speaks; an absent optional AVP is None or an empty tuple."""

    origin_host: str
    origin_realm: str
    _: KW_ONLY
    host_ip_addresses: tuple[str, ...] = ()
    vendor_id: int | None = None
    product_name: str | None = None
    origin_state_id: int | None = None
    supported_vendor_ids: tuple[int, ...] = ()
    auth_application_ids: tuple[int, ...] = ()
    acct_application_ids: tuple[int, ...] = ()
    vendor_specific_applications: tuple[VendorSpecificApplication, ...] = ()
    inband_security_ids: tuple[int, ...] = ()
    firmware_revision: int | None = None

    @property
    def applications(self) -> frozenset[int]:
        """Every application id advertised in any of the three ways (RFC 6733 section 5.3)."""
        return frozenset(
            [
                *self.auth_application_ids,
                *self.acct_application_ids,
                *(
                    application
                    for group in self.vendor_specific_applications
                    for application in (group.auth_application_id, group.acct_application_id)
                    if application is not None
                ),
            ]
        )

    def supports(self, application_id: int) -> bool:
        """Whether messages of this application may be sent to the peer: advertised, or a relay."""
        applications = self.applications
        return application_id in applications or RELAY_APPLICATION in applications


@dataclass(frozen=True, slots=True)
class CapabilitiesExchangeRequest(_Capabilities, _Request):
    """CER (RFC 6733 section 5.3.1)."""

    _CODE = CommandCode.CAPABILITIES_EXCHANGE
    _GRAMMAR = _capabilities(answer=False)


@dataclass(frozen=True, slots=True)
class CapabilitiesExchangeAnswer(_Capabilities, _Answer):
    """CEA (RFC 6733 section 5.3.2)."""

    _CODE = CommandCode.CAPABILITIES_EXCHANGE
    _GRAMMAR = _capabilities(answer=True)

    _: KW_ONLY
    result_code: int
    error_message: str | None = None
    failed_avp: bytes | None = None


@dataclass(frozen=True, slots=True)
class DeviceWatchdogRequest(_Request):
    """DWR (RFC 6733 section 5.5.1)."""

    _CODE = CommandCode.DEVICE_WATCHDOG
    _GRAMMAR = Grammar(_ORIGIN_HOST, _ORIGIN_REALM, _ORIGIN_STATE)

    origin_host: str
    origin_realm: str
    origin_state_id: int | None = None


@dataclass(frozen=True, slots=True)
class DeviceWatchdogAnswer(_Answer):
    """DWA (RFC 6733 section 5.5.2)."""

    _CODE = CommandCode.DEVICE_WATCHDOG
    _GRAMMAR = Grammar(
        _RESULT_CODE, _ORIGIN_HOST, _ORIGIN_REALM, _ERROR_MESSAGE, _FAILED_AVP, _ORIGIN_STATE
    )

    result_code: int
    origin_host: str
    origin_realm: str
    error_message: str | None = None
    failed_avp: bytes | None = None
    origin_state_id: int | None = None


@dataclass(frozen=True, slots=True)
class DisconnectPeerRequest(_Request):
    """DPR (RFC 6733 section 5.4.1)."""

    _CODE = CommandCode.DISCONNECT_PEER
    _GRAMMAR = Grammar(_ORIGIN_HOST, _ORIGIN_REALM, _CAUSE)

    origin_host: str
    origin_realm: str
    disconnect_cause: DisconnectCause


@dataclass(frozen=True, slots=True)
class DisconnectPeerAnswer(_Answer):
    """DPA (RFC 6733 section 5.4.2)."""

    _CODE = CommandCode.DISCONNECT_PEER
    _GRAMMAR = Grammar(_RESULT_CODE, _ORIGIN_HOST, _ORIGIN_REALM, _ERROR_MESSAGE, _FAILED_AVP)

    result_code: int
    origin_host: str
    origin_realm: str
    error_message: str | None = None
    failed_avp: bytes | None = None
