"""Reads of Service-Information what rating and records need (TS 32.251, 32.260, 32.274).

The payload stays raw in a CCR and is read here when a rule asks for it. PS-, IMS- and
SMS-Information are looked into; their members are flattened into one value.
"""

from dataclasses import dataclass
from typing import Any

from protocol.bearer_values import (
    read_charging_id,
    read_network,
    read_nsapi,
    read_number_in_octets,
    read_rat_type,
)
from protocol.credit_control import QosInformation, SubscriptionId
from protocol.credit_control_groups import read_equipment, read_qos, read_subscription_id
from protocol.dictionary import VENDOR_3GPP
from protocol.members import (
    LENIENT,
    Leniency,
    Reading,
    Table,
    address,
    i32,
    many,
    many_in_tuple,
    octets,
    one,
    read_address,
    read_members,
    read_octets,
    read_text,
    text,
    time_ns,
    u32,
)


@dataclass(slots=True)
class ServiceInformation:
    """What is known of the service, absent members None or empty.

    `rat_type` is the octet of TS 29.061 (6 is E-UTRAN), `user_location` and `ms_time_zone` are
    the raw octets, `charging_id` is a number whichever way it was sent, `nsapi` is 0 to 15,
    `cause_code` is 0 or less for success. `recipients` are the addresses of a short message and
    `recipient_types` their Address-Types, -1 where none was given.
    """

    subscription_ids: tuple[SubscriptionId, ...] = ()
    # PS-Information
    charging_id: int | None = None
    pdp_type: int | None = None
    pdp_addresses: tuple[str, ...] = ()
    sgsn_addresses: tuple[str, ...] = ()
    ggsn_addresses: tuple[str, ...] = ()
    apn: str | None = None
    selection_mode: str | None = None
    charging_characteristics: str | None = None
    imsi: str | None = None
    imsi_mcc_mnc: str | None = None
    sgsn_mcc_mnc: str | None = None
    ggsn_mcc_mnc: str | None = None
    nsapi: int | None = None
    ms_time_zone: bytes | None = None
    user_location: bytes | None = None
    rat_type: int | None = None
    imei: bytes | None = None
    charging_rule_base_name: str | None = None
    serving_node_type: int | None = None
    qos: QosInformation | None = None
    # IMS-Information
    sip_method: str | None = None
    event: str | None = None
    role_of_node: int | None = None
    node_functionality: int | None = None
    user_session_id: str | None = None
    calling_parties: tuple[str, ...] = ()
    called_party: str | None = None
    called_asserted_identities: tuple[str, ...] = ()
    requested_party: str | None = None
    routing_number: str | None = None
    alternate_charged_party: str | None = None
    ims_charging_identifier: str | None = None
    visited_network: str | None = None
    access_network_information: bytes | None = None
    media_names: tuple[str, ...] = ()
    cause_code: int | None = None
    emergency: bool = False
    # SMS-Information
    sms_node: int | None = None
    sm_message_type: int | None = None
    smsc_address: str | None = None
    originator: str | None = None
    originator_type: int | None = None
    recipients: tuple[str, ...] = ()
    recipient_types: tuple[int, ...] = ()
    number_of_messages: int | None = None
    data_coding_scheme: int | None = None
    sm_discharge_time_ns: int | None = None


def read_imei(reading: Reading, position: int, start: int, stop: int) -> bytes | None:
    """The IMEI(SV) of a User-Equipment-Info."""
    equipment = read_equipment(reading, position, start, stop)
    return equipment.value if equipment is not None and equipment.type == 0 else None


PS: Table = dict(
    [
        text("3GPP-IMSI", "imsi"),
        one("3GPP-Charging-Id", "charging_id", read_charging_id),
        i32("3GPP-PDP-Type", "pdp_type"),
        many_in_tuple("PDP-Address", "pdp_addresses", read_address),
        many_in_tuple("SGSN-Address", "sgsn_addresses", read_address),
        many_in_tuple("GGSN-Address", "ggsn_addresses", read_address),
        text("Called-Station-Id", "apn"),
        text("3GPP-Selection-Mode", "selection_mode"),
        text("3GPP-Charging-Characteristics", "charging_characteristics"),
        text("3GPP-IMSI-MCC-MNC", "imsi_mcc_mnc"),
        one("3GPP-SGSN-MCC-MNC", "sgsn_mcc_mnc", read_network),
        text("3GPP-GGSN-MCC-MNC", "ggsn_mcc_mnc"),
        one("3GPP-NSAPI", "nsapi", read_nsapi),
        octets("3GPP-MS-TimeZone", "ms_time_zone"),
        octets("3GPP-User-Location-Info", "user_location"),
        one("3GPP-RAT-Type", "rat_type", read_rat_type),
        one("User-Equipment-Info", "imei", read_imei),
        text("Charging-Rule-Base-Name", "charging_rule_base_name"),
        many("Serving-Node-Type", "serving_node_types", read_number_in_octets),
        one("QoS-Information", "qos", read_qos),
    ]
)

EVENT_TYPE: Table = dict([text("SIP-Method", "sip_method", VENDOR_3GPP), text("Event", "event")])
MEDIA: Table = dict([text("SDP-Media-Name", "name")])


def read_event_type(reading: Reading, _position: int, start: int, stop: int) -> dict[str, Any]:
    """SIP-Method and Event of an Event-Type."""
    return read_members(reading, start, stop, EVENT_TYPE)


def read_media_name(reading: Reading, _position: int, start: int, stop: int) -> str | None:
    """The name of an SDP-Media-Component."""
    name: str | None = read_members(reading, start, stop, MEDIA).get("name")
    return name


IMS: Table = dict(
    [
        one("Event-Type", "event_type", read_event_type),
        i32("Role-Of-Node", "role_of_node"),
        i32("Node-Functionality", "node_functionality"),
        text("User-Session-Id", "user_session_id"),
        many_in_tuple("Calling-Party-Address", "calling_parties", read_text),
        text("Called-Party-Address", "called_party"),
        many_in_tuple("Called-Asserted-Identity", "called_asserted_identities", read_text),
        text("Requested-Party-Address", "requested_party"),
        text("Number-Portability-Routing-Information", "routing_number"),
        text("Alternate-Charged-Party-Address", "alternate_charged_party"),
        text("IMS-Charging-Identifier", "ims_charging_identifier"),
        text("IMS-Visited-Network-Identifier", "visited_network"),
        many("Access-Network-Information", "access_network_informations", read_octets),
        many_in_tuple("SDP-Media-Component", "media_names", read_media_name),
        i32("Cause-Code", "cause_code"),
        i32("IMS-Emergency-Indicator", "emergency"),
    ]
)

ADDRESS: Table = dict([text("Address-Data", "data"), i32("Address-Type", "type")])


def read_party(
    reading: Reading, _position: int, start: int, stop: int
) -> tuple[str, int] | None:
    """Address-Data of the sender or a recipient with its Address-Type, -1 where it has none."""
    found = read_members(reading, start, stop, ADDRESS)
    return (found["data"], found.get("type", -1)) if "data" in found else None


def read_originator(
    reading: Reading, position: int, start: int, stop: int
) -> tuple[str, int] | None:
    """Who sent a short message."""
    return read_party(reading, position, start, stop)


RECIPIENT: Table = dict([many("Recipient-Address", "addresses", read_party)])


def read_recipients(
    reading: Reading, _position: int, start: int, stop: int
) -> list[tuple[str, int]]:
    """The addresses of one Recipient-Info."""
    addresses: list[tuple[str, int]] = read_members(reading, start, stop, RECIPIENT).get(
        "addresses", []
    )
    return addresses


SMS: Table = dict(
    [
        i32("SMS-Node", "sms_node"),
        i32("SM-Message-Type", "sm_message_type"),
        address("SMSC-Address", "smsc_address"),
        one("Originator-Received-Address", "originator", read_originator),
        many("Recipient-Info", "recipient_infos", read_recipients),
        u32("Number-Of-Messages-Sent", "number_of_messages"),
        i32("Data-Coding-Scheme", "data_coding_scheme"),
        time_ns("SM-Discharge-Time", "sm_discharge_time_ns"),
    ]
)


def read_ps(reading: Reading, _position: int, start: int, stop: int) -> dict[str, Any]:
    """PS-Information, TS 32.251."""
    return read_members(reading, start, stop, PS)


def read_ims(reading: Reading, _position: int, start: int, stop: int) -> dict[str, Any]:
    """IMS-Information, TS 32.260."""
    return read_members(reading, start, stop, IMS)


def read_sms(reading: Reading, _position: int, start: int, stop: int) -> dict[str, Any]:
    """SMS-Information, TS 32.274."""
    return read_members(reading, start, stop, SMS)


SERVICE: Table = dict(
    [
        many_in_tuple("Subscription-Id", "subscription_ids", read_subscription_id),
        one("PS-Information", "ps", read_ps),
        one("IMS-Information", "ims", read_ims),
        one("SMS-Information", "sms", read_sms),
    ]
)


def read_service_information(payload: bytes, lenient: Leniency = LENIENT) -> ServiceInformation:
    """The payload of a Service-Information group as a value.

    Raises RemoteProtocolError: 5014 for impossible lengths, 5004 for content, 5009 for a repeated
    member; 5001 for unknown mandatory members only under a profile that refuses them, because
    gateways put extensions of their vendors here.
    """
    reading = Reading(payload, lenient, unknown_allowed=lenient.unknown_in_service_information)
    found = read_members(reading, 0, len(payload), SERVICE)
    reading.raise_first()
    values: dict[str, Any] = {"subscription_ids": found.get("subscription_ids", ())}
    for part in ("ps", "ims", "sms"):
        values.update(found.get(part, {}))
    values.update(values.pop("event_type", {}))
    return ServiceInformation(**_flatten(values))


def _flatten(values: dict[str, Any]) -> dict[str, Any]:
    """Repeated members of which one value counts, and groups of addresses."""
    nodes = values.pop("serving_node_types", None)
    if nodes:
        values["serving_node_type"] = nodes[0]
    networks = values.pop("access_network_informations", None)
    if networks:
        values["access_network_information"] = networks[0]
    if "originator" in values:
        values["originator"], values["originator_type"] = values["originator"]
    parties = [party for info in values.pop("recipient_infos", ()) for party in info]
    values["recipients"] = tuple(data for data, _ in parties)
    values["recipient_types"] = tuple(kind for _, kind in parties)
    values["emergency"] = values.pop("emergency", 0) != 0
    return values
