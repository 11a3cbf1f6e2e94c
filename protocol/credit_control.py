"""Credit-control requests and answers as values (RFC 8506 section 8, TS 32.299 section 7).

`credit_control_reader` and `credit_control_writer` turn them into messages and back;
`session_commands` holds the commands a server starts. Slotted and not frozen: they are built
once per request on the hot path. Quantities are octets, seconds and units as on the wire.
"""

from dataclasses import dataclass, field
from enum import IntEnum

CREDIT_CONTROL_COMMAND = 272
CREDIT_CONTROL_APPLICATION = 4


class RequestType(IntEnum):
    """CC-Request-Type, RFC 8506 section 8.3."""

    INITIAL = 1
    UPDATE = 2
    TERMINATION = 3
    EVENT = 4


class RequestedAction(IntEnum):
    """Requested-Action, RFC 8506 section 8.41."""

    DIRECT_DEBITING = 0
    REFUND_ACCOUNT = 1
    CHECK_BALANCE = 2
    PRICE_ENQUIRY = 3


class ReportingReason(IntEnum):
    """Reporting-Reason, TS 32.299 section 7.2.175."""

    THRESHOLD = 0
    QHT = 1
    FINAL = 2
    QUOTA_EXHAUSTED = 3
    VALIDITY_TIME = 4
    OTHER_QUOTA_TYPE = 5
    RATING_CONDITION_CHANGE = 6
    FORCED_REAUTHORISATION = 7
    POOL_EXHAUSTED = 8
    UNUSED_QUOTA_TIMER = 9


class FinalUnitAction(IntEnum):
    """Final-Unit-Action, RFC 8506 section 8.35."""

    TERMINATE = 0
    REDIRECT = 1
    RESTRICT_ACCESS = 2


@dataclass(slots=True)
class Money:
    """An amount value_digits * 10**exponent in a currency (ISO 4217 number); RFC 8506, 8.8."""

    value_digits: int
    exponent: int = 0
    currency_code: int | None = None


@dataclass(slots=True)
class CostInformation:
    """What a service costs, RFC 8506 section 8.7; `cost_unit` is text for people."""

    cost: Money
    cost_unit: str | None = None


@dataclass(slots=True)
class ServiceUnits:
    """Units requested, granted or used; all None is the empty group: the other side chooses."""

    time: int | None = None
    total_octets: int | None = None
    input_octets: int | None = None
    output_octets: int | None = None
    service_specific: int | None = None
    money: Money | None = None
    tariff_time_change_ns: int | None = None


@dataclass(slots=True)
class UsedServiceUnit(ServiceUnits):
    """One Used-Service-Unit: what was consumed since the last report."""

    tariff_change_usage: int | None = None
    reporting_reason: int | None = None
    event_times_ns: tuple[int, ...] = ()


@dataclass(slots=True)
class FinalUnitIndication:
    """What the client does when the last units are used, RFC 8506 section 8.34."""

    action: int
    redirect_address_type: int | None = None
    redirect_address: str | None = None
    restriction_filter_rules: tuple[str, ...] = ()
    filter_ids: tuple[str, ...] = ()


@dataclass(slots=True)
class TrafficEnd:
    """One side of a Classifier: an address with so many of its bits, ports from and to."""

    address: str | None = None
    bits: int | None = None
    assigned: bool = False
    negated: bool = False
    ports: tuple[tuple[int, int], ...] = ()


@dataclass(slots=True)
class FilterRule:
    """A Filter-Rule of RFC 5777 that lets traffic through or drops it; `direction` 0 IN, 1 OUT."""

    permits: bool
    direction: int = 2
    protocol: int | None = None
    source: TrafficEnd = field(default_factory=TrafficEnd)
    target: TrafficEnd = field(default_factory=TrafficEnd)


@dataclass(slots=True)
class QosFinalUnitIndication:
    """What RFC 8506 section 8.68 says instead of a Final-Unit-Indication; at most one redirect."""

    action: int
    filter_rules: tuple[FilterRule, ...] = ()
    filter_ids: tuple[str, ...] = ()
    redirect_ip: str | None = None
    redirect_url: str | None = None
    redirect_sip_uri: str | None = None


@dataclass(slots=True)
class PoolReference:
    """G-S-U-Pool-Reference: one unit of this type takes multiplier * 10**exponent pool units."""

    pool_identifier: int
    unit_type: int
    multiplier_digits: int
    multiplier_exponent: int = 0


@dataclass(slots=True)
class QosInformation:
    """QoS-Information of a bearer: aggregate maximum bit rates of the APN in bits per second."""

    apn_ambr_ul: int | None = None
    apn_ambr_dl: int | None = None


@dataclass(slots=True)
class ServiceSpecificInfo:
    """Service-Specific-Info: what a predefined rule or an application server says of a service."""

    data: str | None = None
    type: int | None = None


@dataclass(slots=True)
class AfCorrelation:
    """AF-Correlation-Information: the IMS session that a service belongs to, and its flows.

    `flows` are pairs of a Media-Component-Number and its Flow-Numbers.
    """

    charging_identifier: bytes
    flows: tuple[tuple[int, tuple[int, ...]], ...] = ()


@dataclass(slots=True)
class Envelope:
    """An Envelope: a time in which a service was used, open where `end_ns` is None."""

    start_ns: int
    end_ns: int | None = None
    total_octets: int | None = None
    input_octets: int | None = None
    output_octets: int | None = None
    service_specific: int | None = None


@dataclass(slots=True)
class RadioAccess:
    """3GPP-RAT-Type of one service."""

    rat_type: int


ServiceExtra = ServiceSpecificInfo | AfCorrelation | Envelope | RadioAccess
"""What few services of a request carry."""


@dataclass(slots=True)
class AnnouncementInformation:
    """Announcement-Information: what is played, and when; None leaves a member out."""

    identifier: int
    time_indicator: int | None = None
    quota_indicator: int | None = None
    language: str | None = None
    play_alternative: int | None = None


@dataclass(slots=True)
class ServiceOptions:
    """What few services of an answer say about metering; None leaves a member out.

    `time_quota_mechanism` is (Time-Quota-Type, Base-Time-Interval in seconds), `furnished` is
    (3GPP-Charging-Id, PS-Free-Format-Data).
    """

    envelope_reporting: int | None = None
    time_quota_mechanism: tuple[int, int] | None = None
    furnished: tuple[int, bytes] | None = None
    announcement: AnnouncementInformation | None = None


@dataclass(slots=True)
class MultipleServices:
    """One Multiple-Services-Credit-Control of a request or an answer.

    `trigger_types` is None without a Trigger, empty for one that disarms all triggers. Times are
    in seconds, thresholds in the units they watch.
    """

    requested: ServiceUnits | None = None
    used: list[UsedServiceUnit] = field(default_factory=list)
    granted: ServiceUnits | None = None
    rating_group: int | None = None
    service_identifiers: tuple[int, ...] = ()
    tariff_change_usage: int | None = None
    reporting_reason: int | None = None
    result_code: int | None = None
    validity_time: int | None = None
    final_unit: FinalUnitIndication | None = None
    volume_quota_threshold: int | None = None
    time_quota_threshold: int | None = None
    unit_quota_threshold: int | None = None
    quota_holding_time: int | None = None
    quota_consumption_time: int | None = None
    pool_references: tuple[PoolReference, ...] = ()
    trigger_types: tuple[int, ...] | None = None
    refund_information: bytes | None = None
    qos: QosInformation | None = None
    extras: tuple[ServiceExtra, ...] = ()
    options: ServiceOptions | None = None
    qos_final_unit: QosFinalUnitIndication | None = None


@dataclass(slots=True)
class SubscriptionId:
    """Who is charged; `extended` where it is or shall be a Subscription-Id-Extension."""

    type: int
    data: str
    extended: bool = field(default=False, compare=False)


@dataclass(slots=True)
class UserEquipmentInfo:
    """User-Equipment-Info: 0 IMEISV, 1 MAC, 2 EUI64, 3 MODIFIED_EUI64; `value` as sent.

    4 is IMEI, which only a User-Equipment-Info-Extension can say.
    """

    type: int
    value: bytes


@dataclass(slots=True)
class CreditControlRequest:
    """What charging needs of a CCR; RFC 8506 section 3.1, TS 32.299 section 6.4.2.

    `service_information` is the payload of that group, to be read by `service_information`.
    `proxy_infos` are the Proxy-Info AVPs octet by octet, as the answer must repeat them.
    `content_hash` (63 bits) is over every AVP that an agent leaves alone on a retransmission,
    so that a repeated number with other content can be told from a repetition.
    `vendor_applications` are the Auth-Application-Ids inside
    Vendor-Specific-Application-Id, which some clients send instead of the plain one.
    """

    session_id: str
    origin_host: str
    origin_realm: str
    service_context_id: str
    request_type: int
    request_number: int
    destination_host: str | None = None
    destination_realm: str | None = None
    auth_application_id: int | None = None
    vendor_applications: tuple[int, ...] = ()
    sub_session_id: int | None = None
    acct_multi_session_id: str | None = None
    user_name: str | None = None
    origin_state_id: int | None = None
    event_timestamp_ns: int | None = None
    subscription_ids: list[SubscriptionId] = field(default_factory=list)
    termination_cause: int | None = None
    requested_action: int | None = None
    multiple_services_indicator: int | None = None
    services: list[MultipleServices] = field(default_factory=list)
    service_identifier: int | None = None
    requested: ServiceUnits | None = None
    used: list[UsedServiceUnit] = field(default_factory=list)
    service_parameter_types: list[int] = field(default_factory=list)
    refund_information: bytes | None = None
    aoc_request_type: int | None = None
    correlation_id: bytes | None = None
    user_equipment_info: UserEquipmentInfo | None = None
    service_information: bytes | None = None
    user_equipment_extension: UserEquipmentInfo | None = None
    proxy_infos: bytes = b""
    route_records: list[str] = field(default_factory=list)
    content_hash: int = 0


@dataclass(slots=True)
class CreditControlAnswer:
    """A CCA; RFC 8506 section 3.2, TS 32.299 section 6.4.3.

    `request_type` and `request_number` are None only in an answer to a request that did not have
    them. `failed_avp` holds the AVPs inside the Failed-AVP. `experimental_result` (vendor, code)
    and an absent `result_code` occur only when reading somebody else's answer.
    """

    session_id: str | None
    result_code: int | None
    origin_host: str
    origin_realm: str
    request_type: int | None = None
    request_number: int | None = None
    auth_application_id: int | None = CREDIT_CONTROL_APPLICATION
    session_failover: int | None = None
    failure_handling: int | None = None
    direct_debiting_failure_handling: int | None = None
    services: list[MultipleServices] = field(default_factory=list)
    sub_session_id: int | None = None
    origin_state_id: int | None = None
    granted: ServiceUnits | None = None
    validity_time: int | None = None
    final_unit: FinalUnitIndication | None = None
    cost_information: CostInformation | None = None
    check_balance_result: int | None = None
    low_balance_indication: int | None = None
    remaining_balance: Money | None = None
    refund_information: bytes | None = None
    service_information: bytes | None = None
    redirect_hosts: tuple[str, ...] = ()
    error_message: str | None = None
    failed_avp: bytes = b""
    experimental_result: tuple[int, int] | None = None
    proxy_infos: bytes = b""
    qos_final_unit: QosFinalUnitIndication | None = None
