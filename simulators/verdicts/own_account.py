"""The simulator's own account of a run: what every session was granted and has used.

An observer reads it off the messages themselves, each request once however often it was sent.
`reconciling` compares it with the books of the server.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from protocol.codec import read_header
from protocol.credit_control import (
    CreditControlAnswer,
    CreditControlRequest,
    MultipleServices,
    RequestedAction,
    RequestType,
    ServiceUnits,
)
from protocol.credit_control_reader import read_ccr
from protocol.errors import ProtocolError
from protocol.members import LENIENT
from simulators.traffic.observer import Observer
from simulators.traffic.subscriber import SUCCESS, Demand, Identities, Session

_AFTER = 1
"""Tariff-Change-Usage of what was used after the change (RFC 8506 section 8.27)."""
_UNKNOWN_SESSION = 5002
_CHARGED_CODES = frozenset({None, 2001, 2002, 4012})
"""Answers about a service that has been charged what was reported; 4012 grants nothing more."""

Amounts = dict[str, int]
"""By unit: octets, seconds, events."""


@dataclass(slots=True)
class OwnService:
    """One service of a request: what was reported, and what the answer gave."""

    rating_group: int | None
    identifiers: tuple[int, ...]
    used: Amounts
    used_after: Amounts
    """What of it came after a change of the tariff."""
    granted: Amounts = field(default_factory=dict)
    change_ns: int | None = None
    """When the tariff of what was granted changes."""
    result_code: int | None = None


@dataclass(slots=True)
class OwnRequest:
    """One request; `result_code` is None while nobody has answered."""

    kind: int
    number: int
    action: int | None
    services: list[OwnService]
    result_code: int | None = None
    sent: int = 1

    @property
    def debits(self) -> bool:
        """Whether it is of a kind that can cost something."""
        return self.kind != RequestType.EVENT or self.action in (
            None, RequestedAction.DIRECT_DEBITING,
        )  # fmt: skip

    def is_charged(self, service: OwnService) -> bool:
        """Whether what it reports of a service is certainly charged; else perhaps."""
        return self.result_code in SUCCESS and service.result_code in _CHARGED_CODES


@dataclass(slots=True)
class OwnSession:
    """One session, or one event."""

    session_id: str
    identities: Identities
    context: str
    requests: dict[tuple[int, int], OwnRequest] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether the server has confirmed its end, or that there is no such session."""
        *_, last = self.requests.values()
        if last.result_code is None:
            return False
        if last.result_code in SUCCESS:
            return last.kind in (RequestType.TERMINATION, RequestType.EVENT)
        # Another refusal, such as one of a broken update, may leave the session as it was.
        nothing_began = last.kind in (RequestType.INITIAL, RequestType.EVENT)
        return nothing_began or last.result_code == _UNKNOWN_SESSION

    @property
    def began(self) -> bool:
        """Whether the server has said yes to anything."""
        return any(one.result_code in SUCCESS for one in self.requests.values())


@dataclass(frozen=True, slots=True)
class OverUse:
    """More was used of a grant than it was."""

    session_id: str
    rating_group: int | None
    unit: str
    granted: int
    used: int

    def __str__(self) -> str:
        group = "" if self.rating_group is None else f" of rating group {self.rating_group}"
        return f"{self.session_id}: {self.used} of {self.granted} granted {self.unit}{group}"


class OwnAccount(Observer):
    """Keeps the account; it grows with the number of requests."""

    def __init__(self) -> None:
        self.sessions: dict[str, OwnSession] = {}
        self.over_use: list[OverUse] = []
        self.retransmissions = 0
        self.unreadable = 0
        """Requests that were broken on purpose: their use is nobody's."""
        self._outstanding: dict[tuple[str, int | None, tuple[int, ...]], Amounts] = {}

    def subscribers(self) -> dict[Identities, list[OwnSession]]:
        """The sessions of each subscriber."""
        found: dict[Identities, list[OwnSession]] = {}
        for session in self.sessions.values():
            found.setdefault(session.identities, []).append(session)
        return found

    def request_sent(
        self,
        at_ns: int,  # noqa: ARG002
        gateway: str,  # noqa: ARG002
        session: Session,
        demand: Demand,
        message: bytes,
    ) -> None:
        """Note what it reports; one that is sent again is counted and nothing else."""
        own = self.sessions.get(session.session_id)
        key = int(demand.request_type), demand.number
        if own is not None and key in own.requests:
            own.requests[key].sent += 1
            self.retransmissions += 1
            return
        if own is None:
            context = session.service.service_context
            own = OwnSession(session.session_id, session.identities, context)
            self.sessions[session.session_id] = own
        try:
            request = read_ccr(message, read_header(message), LENIENT)
        except ProtocolError:
            self.unreadable += 1
            own.requests[key] = OwnRequest(*key, None, [])
            return
        own.requests[key] = made = _request(request)
        self._notice_over_use(own, made)

    def _notice_over_use(self, session: OwnSession, request: OwnRequest) -> None:
        if request.kind == RequestType.EVENT:
            return
        for service in request.services:
            if not any(service.used.values()):
                continue
            key = session.session_id, service.rating_group, service.identifiers
            granted = self._outstanding.get(key, {})
            for unit, used in service.used.items():
                # Kinds of units that were never granted cost nothing, such as time beside volume.
                if (unit in granted or not granted) and used > granted.get(unit, 0):
                    most = granted.get(unit, 0)
                    self.over_use.append(
                        OverUse(session.session_id, service.rating_group, unit, most, used)
                    )
            # What is left of a quota is still its client's until another one comes.
            self._outstanding[key] = {
                unit: max(most - service.used.get(unit, 0), 0) for unit, most in granted.items()
            }

    def answer_received(
        self,
        at_ns: int,  # noqa: ARG002
        gateway: str,  # noqa: ARG002
        session: Session,
        demand: Demand,
        answer: CreditControlAnswer,
        message: bytes,  # noqa: ARG002
        latency_us: int,  # noqa: ARG002
    ) -> None:
        """Note what it says."""
        own = self.sessions.get(session.session_id)
        request = own and own.requests.get((int(demand.request_type), demand.number))
        if not own or not request:
            return
        request.result_code = answer.result_code or 0
        for part in answer.services:
            service = _service_of(request, part)
            if service is None:
                continue
            service.result_code = part.result_code
            if part.granted is not None:
                service.granted = amounts(part.granted)
                service.change_ns = part.granted.tariff_time_change_ns
                key = own.session_id, service.rating_group, service.identifiers
                self._outstanding[key] = service.granted
        if request.kind == RequestType.TERMINATION:
            for service in request.services:
                key = own.session_id, service.rating_group, service.identifiers
                self._outstanding.pop(key, None)


def amounts(units: ServiceUnits) -> Amounts:
    """What of each unit there is; octets are input and output together."""
    octets = units.total_octets
    if octets is None and not units.input_octets is units.output_octets is None:
        octets = (units.input_octets or 0) + (units.output_octets or 0)
    named = (("octets", octets), ("seconds", units.time), ("events", units.service_specific))
    return {unit: amount for unit, amount in named if amount is not None}


def _request(request: CreditControlRequest) -> OwnRequest:
    is_event = request.request_type == RequestType.EVENT
    return OwnRequest(
        int(request.request_type),
        request.request_number,
        request.requested_action if is_event else None,
        list(_services(request, is_event=is_event)),
    )


def _services(request: CreditControlRequest, *, is_event: bool) -> Iterator[OwnService]:
    for part in request.services:
        used: Amounts = {}
        after: Amounts = {}
        if is_event and part.requested is not None:
            used = amounts(part.requested)
        for report in part.used:
            for unit, amount in amounts(report).items():
                used[unit] = used.get(unit, 0) + amount
                if report.tariff_change_usage == _AFTER:
                    after[unit] = after.get(unit, 0) + amount
        yield OwnService(part.rating_group, tuple(part.service_identifiers), used, after)


def _service_of(request: OwnRequest, part: MultipleServices) -> OwnService | None:
    for service in request.services:
        if (service.rating_group, service.identifiers) == (
            part.rating_group,
            tuple(part.service_identifiers),
        ):
            return service
    return request.services[0] if len(request.services) == 1 else None
