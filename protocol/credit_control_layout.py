"""What the groups of credit-control requests mean to `layout`, AVP for AVP as the readers see them.

For every reader of `credit_control_groups` and `service_information` that messages meet often
there is a shape here; groups without one are read by their reader each time. Called by
`layout_cache` when it meets a layout for the first time.
"""

from collections.abc import Callable, Mapping
from functools import partial
from socket import AF_INET, inet_ntop
from typing import Any

from protocol import bearer_values, datatypes, members
from protocol import credit_control_groups as groups
from protocol import credit_control_reader as requests
from protocol import service_information as information
from protocol.codec import DEFAULT_LIMITS, HEADER_SIZE, Limits
from protocol.credit_control import (
    CreditControlRequest,
    MultipleServices,
    QosInformation,
    ServiceUnits,
    SubscriptionId,
    UsedServiceUnit,
    UserEquipmentInfo,
)
from protocol.layout import Outline, Shape
from protocol.members import Leniency, Reading, Table

_APPLICATION_ID = slice(8, 12)  # in the header of a message
# Few values each, and they decide how a request is checked.
_PINNED = frozenset(
    {"auth_application_id", "request_type", "requested_action", "multiple_services_indicator"}
)


def _group(
    kind: type, table: Table, outline: Outline, _position: int, start: int, stop: int
) -> str:
    found = outline.members(start, stop, table)
    if "tariff_change_usage" in found:
        outline.miss_unless(f"0 <= {found['tariff_change_usage']} <= 2")
    return outline.make(kind, found)


def _trigger(outline: Outline, _position: int, start: int, stop: int) -> str:
    return outline.members(start, stop, groups.TRIGGER).get("types", "()")


def _vendor_application(outline: Outline, _position: int, start: int, stop: int) -> str | None:
    return outline.members(start, stop, groups.VENDOR_APPLICATION).get("application_id")


def _proxy_info(outline: Outline, position: int, _start: int, stop: int) -> None:
    end = (stop + 3) & -4
    outline.copied.append(f"data[{position}:{end}]")
    outline.skipped.append((position, end))


def _hop(outline: Outline, position: int, start: int, stop: int) -> str:
    outline.skipped.append((position, (stop + 3) & -4))
    return outline.text(start, stop)


_REQUEST_SHAPES: Mapping[Any, Shape] = {
    groups.read_services: partial(_group, MultipleServices, groups.SERVICES),
    groups.read_units: partial(_group, ServiceUnits, groups.UNITS),
    groups.read_used: partial(_group, UsedServiceUnit, groups.USED_UNITS),
    groups.read_subscription_id: partial(_group, SubscriptionId, groups.SUBSCRIPTION_ID),
    groups.read_equipment: partial(_group, UserEquipmentInfo, groups.EQUIPMENT),
    groups.read_qos: partial(_group, QosInformation, groups.QOS),
    groups.read_trigger: _trigger,
    groups.read_vendor_application: _vendor_application,
    requests.read_proxy_info: _proxy_info,
    requests.read_hop: _hop,
}


def outline_request(message: bytes, lenient: Leniency, limits: Limits = DEFAULT_LIMITS) -> Outline:
    """The outline of a CCR that `read_ccr` accepted; raises NotLearnableError."""
    outline = Outline(message, _REQUEST_SHAPES, partial(Reading, leniency=lenient, limits=limits))
    outline.pin(_APPLICATION_ID.start, _APPLICATION_ID.stop)
    found = outline.members(HEADER_SIZE, len(message), requests.REQUEST, _PINNED)
    application_id = int.from_bytes(message[_APPLICATION_ID], "big")
    found.setdefault("auth_application_id", str(application_id))
    if outline.copied:
        found["proxy_infos"] = " + ".join(outline.copied)
    hashed = outline.named("hash_content", requests.hash_content)
    found["content_hash"] = f"{hashed}({_kept(outline.skipped)})"
    outline.result = outline.make(CreditControlRequest, found)
    return outline


def _kept(skipped: list[tuple[int, int]]) -> str:
    """The expression of a message without its header and these spans."""
    parts, position = [], HEADER_SIZE
    for start, stop in skipped:
        if start > position:
            parts.append(f"data[{position}:{start}]")
        position = stop
    return " + ".join([*parts, f"data[{position}:]"])


# ------------------------------------------------------------------------ Service-Information


def _number(outline: Outline, position: int, start: int, stop: int) -> str:
    code = {1: "B", 2: "H", 4: "I"}.get(stop - start)
    if code is None:
        return outline.dynamic(bearer_values.read_number_in_octets, position, start, stop)
    return outline.value(start, code)


def _rat_type(outline: Outline, position: int, start: int, stop: int) -> str:
    if stop - start != 1:
        return outline.dynamic(bearer_values.read_rat_type, position, start, stop)
    number = outline.value(start, "B")
    outline.miss_unless(f"not 48 <= {number} <= 50")  # the digits, which the walk reads
    return number


def _network(outline: Outline, position: int, start: int, stop: int) -> str:
    if stop - start == bearer_values.PLMN_OCTETS:
        return outline.dynamic(bearer_values.read_network, position, start, stop)
    return outline.text(start, stop)


def _nsapi(outline: Outline, position: int, start: int, stop: int) -> str:
    if stop - start != 1 or outline.data[start:stop] not in bearer_values.HEX_DIGITS:
        return outline.dynamic(bearer_values.read_nsapi, position, start, stop)
    outline.named("HEX_DIGITS", bearer_values.HEX_DIGITS)
    digit = outline.value(start, "1s")
    outline.miss_unless(f"{digit} in HEX_DIGITS")
    return f"int({digit}, 16)"


def _imei(outline: Outline, _position: int, start: int, stop: int) -> str | None:
    found = outline.members(start, stop, groups.EQUIPMENT, frozenset({"type"}))
    return found["value"] if found["type"] == "0" else None


def _address(outline: Outline, position: int, start: int, stop: int) -> str:
    family = int.from_bytes(outline.data[start : start + 2], "big")
    if family not in {datatypes.FAMILY_IPV4, datatypes.FAMILY_E164}:
        return outline.dynamic(members.read_address, position, start, stop)
    outline.pin(start, start + 2)
    if family == datatypes.FAMILY_E164:
        return outline.text(start + 2, stop)
    outline.namespace.update(AF_INET=AF_INET, inet_ntop=inet_ntop)
    return f"inet_ntop(AF_INET, {outline.value(start + 2, '4s')})"


def _member_of(
    table: Table, attribute: str, outline: Outline, _position: int, start: int, stop: int
) -> str | None:
    return outline.members(start, stop, table).get(attribute)


_INFORMATION_SHAPES: Mapping[Any, Shape] = {
    groups.read_subscription_id: partial(_group, SubscriptionId, groups.SUBSCRIPTION_ID),
    groups.read_equipment: partial(_group, UserEquipmentInfo, groups.EQUIPMENT),
    groups.read_qos: partial(_group, QosInformation, groups.QOS),
    bearer_values.read_number_in_octets: _number,
    bearer_values.read_charging_id: _number,
    bearer_values.read_rat_type: _rat_type,
    bearer_values.read_network: _network,
    bearer_values.read_nsapi: _nsapi,
    information.read_imei: _imei,
    members.read_address: _address,
    information.read_media_name: partial(_member_of, information.MEDIA, "name"),
}


def outline_information(payload: bytes, lenient: Leniency) -> Outline:
    """The outline of a payload that `read_service_information` accepted; NotLearnableError."""
    parts: dict[str, str] = {}
    recipients: list[tuple[str, str]] = []

    def part(table: Table) -> Shape:
        def shape(outline: Outline, _position: int, start: int, stop: int) -> None:
            parts.update(outline.members(start, stop, table))

        return shape

    def originator(outline: Outline, _position: int, start: int, stop: int) -> None:
        found = outline.members(start, stop, information.ADDRESS)
        if "data" in found:
            parts["originator"] = found["data"]
            parts["originator_type"] = found.get("type", "-1")

    def recipient(outline: Outline, _position: int, start: int, stop: int) -> None:
        found = outline.members(start, stop, information.ADDRESS)
        if "data" in found:
            recipients.append((found["data"], found.get("type", "-1")))

    def recipient_info(outline: Outline, _position: int, start: int, stop: int) -> None:
        outline.members(start, stop, information.RECIPIENT)

    shapes: dict[Any, Shape] = {
        **_INFORMATION_SHAPES,
        information.read_ps: part(information.PS),
        information.read_ims: part(information.IMS),
        information.read_sms: part(information.SMS),
        information.read_event_type: part(information.EVENT_TYPE),
        information.read_originator: originator,
        information.read_party: recipient,
        information.read_recipients: recipient_info,
    }
    unknown_allowed = lenient.unknown_in_service_information
    new_reading: Callable[[bytes], Reading] = partial(
        Reading, leniency=lenient, unknown_allowed=unknown_allowed
    )
    outline = Outline(payload, shapes, new_reading)
    parts.update(outline.members(0, len(payload), information.SERVICE))
    outline.result = outline.make(information.ServiceInformation, _flattened(parts, recipients))
    return outline


def _flattened(parts: dict[str, str], recipients: list[tuple[str, str]]) -> dict[str, str]:
    """As `read_service_information` does: of repeated members the first, addresses in a row."""
    for repeated, single in (
        ("serving_node_types", "serving_node_type"),
        ("access_network_informations", "access_network_information"),
    ):
        if repeated in parts:
            parts[single] = f"{parts.pop(repeated)}[0]"
    if recipients:
        parts["recipients"] = f"({', '.join(data for data, _ in recipients)},)"
        parts["recipient_types"] = f"({', '.join(kind for _, kind in recipients)},)"
    if "emergency" in parts:
        parts["emergency"] = f"{parts['emergency']} != 0"
    return parts
