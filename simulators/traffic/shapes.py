"""Credit-control requests as different gateways write them, AVP by AVP in their order on the wire.

`generic` follows the grammar of TS 32.299 section 6.4.2; the others follow what those gateways
are known to send. Called by `schedule` for each request and by `templates` for prepared ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
from zlib import crc32

from protocol import codec
from protocol.codec import FLAG_PROXIABLE, FLAG_REQUEST
from protocol.credit_control import (
    CREDIT_CONTROL_APPLICATION,
    CREDIT_CONTROL_COMMAND,
    RequestType,
)
from simulators.scenarios.model import Shape
from simulators.scenarios.services import (
    DataService,
    MmsService,
    Place,
    Service,
    VoiceService,
)
from simulators.traffic.avps import group, i32, raw, text, time, u32, u64
from simulators.traffic.quota import ServiceReport, Unit
from simulators.traffic.service_avps import (
    home_of,
    ims_information,
    kamailio_information,
    magma_information,
    mms_information,
    open5gs_information,
    ps_information,
    sms_information,
)
from simulators.traffic.subscriber import Demand, Identities

_IDENTITY_TYPES = {"msisdn": 0, "imsi": 1, "sip": 2, "nai": 3}
_REASONS_IN_USU = frozenset({0, 3, 5, 8})
_EMPTY_OPEN5GS = 1_000_000
_EMPTY_MAGMA = 10_000_000
_EMPTY_KAMAILIO = 30


@dataclass(frozen=True, slots=True)
class Envelope:
    """What all requests of a connection share."""

    origin_host: str
    origin_realm: str
    destination_realm: str
    destination_host: str = ""
    """Origin-Host of the answers, once known."""
    origin_state_id: int = 0


def charging_id_of(session_id: str) -> int:
    """A Charging-Id that is the same in all requests of a session."""
    return 10 << 24 | crc32(session_id.encode()) & 0xFFFFFF


@dataclass(frozen=True, slots=True)
class Request:
    """Everything one message is written from."""

    envelope: Envelope
    session_id: str
    service: Service
    identities: Identities
    destination: str
    demand: Demand
    unix_ns: int
    charging_id: int
    """A number of the bearer, the same in all its requests; also makes the user's address."""

    @property
    def msisdn(self) -> str:
        """The calling number, or whatever identity there is."""
        named = dict(self.identities)
        return named.get("msisdn") or self.identities[0][1]

    @property
    def place(self) -> Place:
        """Where the subscriber is."""
        return self.demand.place or home_of(self.identities)


def write_request(shape: Shape, request: Request, end_to_end: int) -> bytes:
    """The whole CCR; the hop-by-hop id is left 0 for the connection to fill in."""
    return codec.encode_message(
        CREDIT_CONTROL_COMMAND,
        CREDIT_CONTROL_APPLICATION,
        FLAG_REQUEST | FLAG_PROXIABLE,
        0,
        end_to_end,
        _SHAPES[shape](request),
    )


def _is(request: Request, *types: RequestType) -> bool:
    return request.demand.request_type in types


def _route(envelope: Envelope) -> bytes:
    if not envelope.destination_host:
        return b""
    return text("Destination-Host", envelope.destination_host)


def _origin(envelope: Envelope) -> bytes:
    return text("Origin-Host", envelope.origin_host) + text("Origin-Realm", envelope.origin_realm)


def _subscription_ids(identities: Identities, *, with_plus: bool = False) -> bytes:
    """E.164 numbers are digits alone (RFC 8506 section 8.47), which Kamailio does not keep to."""
    return b"".join(
        group(
            "Subscription-Id",
            i32("Subscription-Id-Type", _IDENTITY_TYPES[kind]),
            text(
                "Subscription-Id-Data",
                value.removeprefix("+") if kind == "msisdn" and not with_plus else value,
            ),
        )
        for kind, value in identities
    )


def _number(request: Request) -> bytes:
    demand = request.demand
    return i32("CC-Request-Type", demand.request_type) + u32("CC-Request-Number", demand.number)


def _cause(request: Request) -> bytes:
    cause = request.demand.termination_cause
    return b"" if cause is None else i32("Termination-Cause", cause)


def _keys(report: ServiceReport) -> tuple[bytes, bytes]:
    identifier, rating_group = report.service_identifier, report.rating_group
    return (
        b"" if identifier is None else u32("Service-Identifier", identifier),
        b"" if rating_group is None else u32("Rating-Group", rating_group),
    )


def units(unit: Unit, amount: int) -> bytes:
    """The one AVP that says an amount of a unit."""
    if unit is Unit.SECONDS:
        return u32("CC-Time", min(amount, 0xFFFFFFFF))
    if unit is Unit.EVENTS:
        return u64("CC-Service-Specific-Units", amount)
    return u64("CC-Total-Octets", amount)


def _breakdown(used: int, total: bool) -> bytes:
    """Used octets with their direction: a fifth is sent, the rest received."""
    up = used // 5
    parts = u64("CC-Total-Octets", used) if total else b""
    return u64("CC-Input-Octets", up) + u64("CC-Output-Octets", used - up) + parts


def _reason(report: ServiceReport, *, in_usu: bool) -> bytes:
    if report.reason is None or report.used is None:
        return b""
    fits = (report.reason in _REASONS_IN_USU) == in_usu
    return i32("Reporting-Reason", report.reason) if fits else b""


def _generic(request: Request) -> bytes:
    demand, envelope = request.demand, request.envelope
    state = envelope.origin_state_id
    event = _is(request, RequestType.EVENT)
    return b"".join(
        (
            text("Session-Id", request.session_id),
            _origin(envelope),
            text("Destination-Realm", envelope.destination_realm),
            u32("Auth-Application-Id", CREDIT_CONTROL_APPLICATION),
            text("Service-Context-Id", request.service.service_context),
            _number(request),
            b"" if _is(request, RequestType.INITIAL, RequestType.EVENT) else _route(envelope),
            u32("Origin-State-Id", state) if state else b"",
            time("Event-Timestamp", request.unix_ns),
            _subscription_ids(request.identities),
            _cause(request),
            i32("Requested-Action", demand.action) if event else b"",
            i32("Multiple-Services-Indicator", 1) if _is(request, RequestType.INITIAL) else b"",
            *(_generic_services(report, demand.refund_information) for report in demand.services),
            _generic_information(request),
        )
    )


def _generic_services(report: ServiceReport, refund_information: bytes | None = None) -> bytes:
    members = []
    if report.wanted is not None:
        wanted = units(report.unit, report.wanted) if report.wanted else b""
        members.append(group("Requested-Service-Unit", wanted))
    members += _used_units(report)
    members += [*_keys(report), _reason(report, in_usu=False)]
    if refund_information is not None:
        members.append(raw("Refund-Information", refund_information))
    return group("Multiple-Services-Credit-Control", *members)


def _used_units(report: ServiceReport) -> list[bytes]:
    """A Used-Service-Unit, or two of them when the tariff changed (RFC 8506 section 8.27)."""
    if report.used is None:
        return []
    reason = _reason(report, in_usu=True)
    if report.used_after is None:
        return [group("Used-Service-Unit", reason, _amount(report, report.used))]
    parts = ((0, report.used - report.used_after), (1, report.used_after))
    return [
        group(
            "Used-Service-Unit", reason, i32("Tariff-Change-Usage", when), _amount(report, used)
        )
        for when, used in parts
    ]


def _amount(report: ServiceReport, used: int) -> bytes:
    if report.unit is Unit.OCTETS:
        return _breakdown(used, total=True)
    return units(report.unit, used)


def _generic_information(request: Request) -> bytes:
    inside = _inside(request)
    return group("Service-Information", inside) if inside else b""


def _inside(request: Request) -> bytes:
    service = request.service
    demand, here, there = request.demand, request.msisdn, request.destination
    if isinstance(service, DataService):
        return ps_information(request.charging_id, service.apn, request.place)
    if isinstance(service, VoiceService):
        called = service.role == "terminating"
        parties = (there, here) if called else (here, there)
        return ims_information(request.session_id, *parties, demand.cause_code, int(called))
    if isinstance(service, MmsService):
        return mms_information(here, there, service.message_octets, request.unix_ns)
    return sms_information(here, there, demand.services[0].wanted or 1) if there else b""


def _open5gs(request: Request) -> bytes:
    """The SMF's Gy: IMSI first, no rating group, Requested-Action in every request."""
    first = _is(request, RequestType.INITIAL)
    identities = tuple(sorted(request.identities, key=lambda one: one[0] != "imsi"))
    envelope = request.envelope
    return b"".join(
        (
            text("Session-Id", request.session_id),
            _origin(envelope),
            text("Destination-Realm", envelope.destination_realm),
            u32("Auth-Application-Id", CREDIT_CONTROL_APPLICATION),
            text("Service-Context-Id", request.service.service_context),
            _number(request),
            b"" if first else _route(envelope),
            time("Event-Timestamp", request.unix_ns),
            _subscription_ids(identities),
            _cause(request),
            i32("Requested-Action", 0),
            i32("AoC-Request-Type", 1),
            i32("Multiple-Services-Indicator", 0) if first else b"",
            *(_open5gs_services(report) for report in request.demand.services),
            group(
                "Service-Information",
                open5gs_information(
                    request.charging_id, _apn(request), request.place, first=first
                ),
            ),
        )
    )


def _open5gs_services(report: ServiceReport) -> bytes:
    wanted, used = b"", b""
    if report.wanted is not None:
        amount = u64("CC-Total-Octets", report.wanted or _EMPTY_OPEN5GS)
        wanted = group("Requested-Service-Unit", amount)
    if report.used is not None:
        spent = u32("CC-Time", 1) + _breakdown(report.used, total=False)
        used = group("Used-Service-Unit", _reason(report, in_usu=True), spent)
    qos = group(
        "QoS-Information",
        i32("QoS-Class-Identifier", 9),
        group(
            "Allocation-Retention-Priority",
            u32("Priority-Level", 8),
            i32("Pre-emption-Capability", 1),
            i32("Pre-emption-Vulnerability", 1),
        ),
        u32("APN-Aggregate-Max-Bitrate-UL", 1_000_000_000),
        u32("APN-Aggregate-Max-Bitrate-DL", 1_000_000_000),
    )
    return group(
        "Multiple-Services-Credit-Control", wanted, used, _reason(report, in_usu=False), qos
    )


def _apn(request: Request) -> str:
    return request.service.apn if isinstance(request.service, DataService) else "internet"


def _magma(request: Request) -> bytes:
    """The session proxy's Gy: services first and in reverse order, identities late."""
    envelope = request.envelope
    state = envelope.origin_state_id
    return b"".join(
        (
            text("Session-Id", request.session_id),
            *(_magma_services(report) for report in reversed(request.demand.services)),
            _route(envelope),
            group(
                "Service-Information",
                magma_information(request.charging_id, _apn(request), request.place),
            ),
            time("Event-Timestamp", request.unix_ns),
            u32("Auth-Application-Id", CREDIT_CONTROL_APPLICATION),
            i32("CC-Request-Type", request.demand.request_type),
            text("Service-Context-Id", request.service.service_context),
            u32("CC-Request-Number", request.demand.number),
            _subscription_ids(request.identities),
            i32("Multiple-Services-Indicator", 1),
            _origin(envelope),
            u32("Origin-State-Id", state) if state else b"",
            text("Destination-Realm", envelope.destination_realm),
        )
    )


def _magma_services(report: ServiceReport) -> bytes:
    identifier, rating_group = _keys(report)
    members = [rating_group]
    if report.wanted is not None:
        amount = report.wanted or _EMPTY_MAGMA
        kinds = ("CC-Input-Octets", "CC-Output-Octets", "CC-Total-Octets")
        members.append(group("Requested-Service-Unit", *(u64(kind, amount) for kind in kinds)))
    members += [identifier, _reason(report, in_usu=False)]
    if report.used is not None:
        used = _breakdown(report.used, total=True)
        members.append(group("Used-Service-Unit", used, _reason(report, in_usu=True)))
    return group("Multiple-Services-Credit-Control", *members)


def _kamailio(request: Request) -> bytes:
    """ims_charging's Ro: accounting AVPs inside, application only in the vendor's group."""
    envelope, demand = request.envelope, request.demand
    kind, value = request.identities[0]
    return b"".join(
        (
            text("Session-Id", request.session_id),
            _origin(envelope),
            text("Destination-Realm", envelope.destination_realm),
            _route(envelope),
            i32("Accounting-Record-Type", demand.request_type + 1),
            u32("Accounting-Record-Number", demand.number),
            text("User-Name", value),
            text("Service-Context-Id", _extended(request.service.service_context)),
            group(
                "Service-Information",
                _subscription_ids(((kind, value),), with_plus=True),
                kamailio_information(
                    request.session_id,
                    request.msisdn,
                    request.destination,
                    first=_is(request, RequestType.INITIAL),
                ),
            ),
            group(
                "Vendor-Specific-Application-Id",
                u32("Vendor-Id", 10415),
                u32("Auth-Application-Id", CREDIT_CONTROL_APPLICATION),
            ),
            _number(request),
            time("Event-Timestamp", request.unix_ns, optional=True),
            _mac_address(),
            _subscription_ids(((kind, value),), with_plus=True),
            i32("Multiple-Services-Indicator", 1),
            *map(_kamailio_services, demand.services),
            _cause(request),
        )
    )


def _extended(context: str) -> str:
    return context if context.count(".") > 1 else f"ext.01.001.8.{context}"


def _mac_address() -> bytes:
    return codec.encode_grouped(
        458, codec.encode_i32(459, 1) + codec.encode_utf8(460, "00-00-00-00-00-00")
    )


def _kamailio_services(report: ServiceReport) -> bytes:
    identifier, rating_group = _keys(report)
    wanted, used = b"", b""
    if report.wanted is not None:
        wanted = group("Requested-Service-Unit", u32("CC-Time", report.wanted or _EMPTY_KAMAILIO))
    if report.used is not None:
        used = group("Used-Service-Unit", u32("CC-Time", report.used))
    return group("Multiple-Services-Credit-Control", wanted, identifier, rating_group, used)


_SHAPES: dict[Shape, Callable[[Request], bytes]] = {
    "generic": _generic,
    "open5gs": _open5gs,
    "magma": _magma,
    "kamailio": _kamailio,
}
