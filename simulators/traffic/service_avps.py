"""Insides of Service-Information by service and gateway (TS 32.299 section 7.2), for `shapes`."""

from ipaddress import IPv4Address

from simulators.scenarios.services import Place
from simulators.traffic.avps import address, group, i32, raw, text, time, u32

_HOME = "00101"
_IMEISV = b"3534900698733190"
_RAT_TYPES = {"utran": 1, "geran": 2, "wlan": 3, "eutran": 6, "nbiot": 8, "nr": 51}
"""3GPP-RAT-Type, TS 29.061 section 16.4.7."""
_TIME_ZONE = b"\x40\x00"


def _bearer(charging_id: int) -> bytes:
    return raw("3GPP-Charging-Id", charging_id.to_bytes(4, "big"))


def _plmn(digits: str) -> bytes:
    """MCC and MNC as three octets of semi-octets (TS 24.008 section 10.5.1.13)."""
    third = digits[5] if len(digits) == 6 else "f"
    swapped = digits[1] + digits[0] + third + digits[2] + digits[4] + digits[3]
    return bytes.fromhex(swapped)


def _location(plmn: str) -> bytes:
    """TAI and ECGI (TS 29.274 section 8.21)."""
    code = _plmn(plmn)
    return b"\x82" + code + b"\x00\x01" + code + b"\x00\x00\xaa\xbb"


def _rat(place: Place) -> bytes:
    return bytes([_RAT_TYPES[place.rat]])


def _user_address(charging_id: int) -> str:
    return str(IPv4Address(charging_id))


def _equipment(optional: bool) -> bytes:
    return group(
        "User-Equipment-Info",
        i32("User-Equipment-Info-Type", 0),
        raw("User-Equipment-Info-Value", _IMEISV),
        optional=optional,
    )


def home_of(identities: tuple[tuple[str, str], ...]) -> Place:
    """The network of the IMSI, or one of test networks if there is none."""
    return Place(plmn=dict(identities).get("imsi", _HOME)[:5])


def ps_information(charging_id: int, apn: str, place: Place) -> bytes:
    """PS-Information with everything that TS 32.251 asks of a P-GW."""
    return group(
        "PS-Information",
        _bearer(charging_id),
        u32("PDN-Connection-Charging-ID", charging_id),
        i32("3GPP-PDP-Type", 0),
        address("PDP-Address", _user_address(charging_id)),
        group(
            "QoS-Information",
            i32("QoS-Class-Identifier", 9),
            u32("APN-Aggregate-Max-Bitrate-UL", 50_000_000),
            u32("APN-Aggregate-Max-Bitrate-DL", 150_000_000),
        ),
        address("SGSN-Address", "192.0.2.10"),
        address("GGSN-Address", "192.0.2.20"),
        i32("Serving-Node-Type", 2),
        text("Called-Station-Id", apn),
        text("3GPP-Selection-Mode", "0"),
        text("3GPP-Charging-Characteristics", "0800"),
        text("3GPP-SGSN-MCC-MNC", place.plmn),
        text("3GPP-GGSN-MCC-MNC", "00101"),
        raw("3GPP-NSAPI", b"5"),
        raw("3GPP-MS-TimeZone", _TIME_ZONE),
        raw("3GPP-User-Location-Info", _location(place.plmn)),
        raw("3GPP-RAT-Type", _rat(place)),
        text("Charging-Rule-Base-Name", "prepaid-default"),
        _equipment(optional=True),
    )


def open5gs_information(charging_id: int, apn: str, place: Place, *, first: bool) -> bytes:
    """PS-Information of the Open5GS SMF for an EPS bearer: the NSAPI is one raw octet."""
    return group(
        "PS-Information",
        _bearer(charging_id),
        i32("3GPP-PDP-Type", 0) if first else b"",
        address("PDP-Address", _user_address(charging_id)),
        address("SGSN-Address", "192.0.2.10"),
        address("GGSN-Address", "192.0.2.20"),
        text("Called-Station-Id", apn),
        text("3GPP-Selection-Mode", "0"),
        text("3GPP-SGSN-MCC-MNC", "00101"),
        raw("3GPP-NSAPI", b"\x05"),
        raw("3GPP-MS-TimeZone", _TIME_ZONE),
        raw("3GPP-User-Location-Info", _location(place.plmn)),
        raw("3GPP-RAT-Type", _rat(place)),
        _equipment(optional=False),
    )


def magma_information(charging_id: int, apn: str, place: Place) -> bytes:
    """PS-Information of Magma's session proxy: 3GPP's own AVPs without the M flag."""
    return group(
        "PS-Information",
        raw("3GPP-PDP-Type", bytes(4), optional=True),
        raw("3GPP-RAT-Type", _rat(place), optional=True),
        raw("3GPP-Selection-Mode", b"0", optional=True),
        raw("3GPP-NSAPI", b"5", optional=True),
        address("CG-Address", "192.0.2.30"),
        address("PDP-Address", _user_address(charging_id)),
        address("SGSN-Address", "192.0.2.10"),
        address("GGSN-Address", "192.0.2.10"),
        raw("3GPP-SGSN-MCC-MNC", place.plmn.encode(), optional=True),
        raw("3GPP-GGSN-MCC-MNC", b"00101", optional=True),
        text("Called-Station-Id", apn),
        raw("3GPP-User-Location-Info", _location(place.plmn), optional=True),
        raw("3GPP-Charging-Id", charging_id.to_bytes(4, "big"), optional=True),
    )


def _uri(number: str) -> str:
    return number if ":" in number else f"tel:{number}"


def ims_information(
    call_id: str, caller: str, called: str, cause_code: int | None, role: int = 0
) -> bytes:
    """IMS-Information of a call (TS 32.260); role 0 is that of who calls, 1 of who is called."""
    return group(
        "IMS-Information",
        group("Event-Type", text("SIP-Method", "INVITE" if cause_code is None else "BYE")),
        i32("Role-Of-Node", role),
        i32("Node-Functionality", 0),
        text("User-Session-Id", call_id),
        text("Calling-Party-Address", _uri(caller)),
        text("Called-Party-Address", _uri(called)),
        b"" if cause_code is None else i32("Cause-Code", cause_code),
    )


def kamailio_information(call_id: str, caller: str, called: str, *, first: bool) -> bytes:
    """IMS-Information of Kamailio; in updates and at the end its SIP method says "dummy"."""
    return group(
        "IMS-Information",
        group("Event-Type", text("SIP-Method", "INVITE" if first else "dummy")),
        i32("Role-Of-Node", 0),
        i32("Node-Functionality", 0),
        text("User-Session-Id", call_id),
        text("Calling-Party-Address", _uri(caller)),
        text("Called-Party-Address", _uri(called)),
    )


def sms_information(sender: str, recipient: str, messages: int) -> bytes:
    """SMS-Information of a submitted message (TS 32.274)."""
    return group(
        "SMS-Information",
        i32("SMS-Node", 0),
        i32("SM-Message-Type", 0),
        group(
            "Originator-Received-Address",
            i32("Address-Type", 1),
            text("Address-Data", sender.lstrip("+")),
        ),
        group(
            "Recipient-Info",
            group(
                "Recipient-Address",
                i32("Address-Type", 1),
                text("Address-Data", recipient.lstrip("+")),
            ),
        ),
        u32("Number-Of-Messages-Sent", messages),
    )


def mms_information(sender: str, recipient: str, octets: int, unix_ns: int) -> bytes:
    """MMS-Information of a submitted message (TS 32.270)."""
    return group(
        "MMS-Information",
        group(
            "Originator-Address",
            i32("Address-Type", 1),
            text("Address-Data", sender.lstrip("+")),
        ),
        group(
            "Recipient-Address",
            i32("Address-Type", 1),
            text("Address-Data", recipient.lstrip("+")),
        ),
        time("Submission-Time", unix_ns),
        u32("Message-Size", octets),
    )
