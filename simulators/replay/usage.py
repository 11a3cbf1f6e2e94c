"""Usage records as sessions: they ask, use exactly what was recorded, report and end.

A service asks again when its quota is used up or its validity is over, and stops where it is
refused (RFC 8506 sections 5 and 6). Pure; run by `player`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from protocol.credit_control import (
    CreditControlAnswer,
    CreditControlRequest,
    MultipleServices,
    ReportingReason,
    RequestType,
    ServiceUnits,
    SubscriptionId,
    UsedServiceUnit,
)
from protocol.credit_control_reader import read_cca
from protocol.credit_control_writer import write_ccr
from protocol.errors import ProtocolError
from simulators.replay.conversations import ServiceKey, Step
from simulators.replay.findings import Findings
from simulators.replay.records import UsageRecord
from simulators.replay.usage_avps import information

REPORTS_MAX = 10_000
"""Updates of one session, after which its services report no more until the end."""

_NS = 1_000_000_000
_CONTEXTS = {
    "data": "32251@3gpp.org",
    "voice": "32260@3gpp.org",
    "sms": "32274@3gpp.org",
    "mms": "32270@3gpp.org",
    "event": "32274@3gpp.org",
}
_IDENTITY_TYPES = {"msisdn": 0, "imsi": 1, "sip": 2, "nai": 3}
_SUCCESS = frozenset({2001, 2002})
_LOGOUT = 1


@dataclass(slots=True)
class _Service:
    """What one record says of a session: a service, and how much of it is used when."""

    record: UsageRecord
    reported: int = 0
    granted: int = 0
    asked: bool = False
    stopped: bool = False
    final: bool = False
    valid_until_ns: int | None = None

    @property
    def key(self) -> ServiceKey:
        return self.record.rating_group, self.record.service_identifier

    @property
    def ends_ns(self) -> int:
        return self.record.start + self.record.duration_seconds * _NS

    def used_by(self, now_ns: int) -> int:
        """How much was used until an instant, evenly over the time of the record."""
        record = self.record
        if now_ns >= self.ends_ns:
            return record.amount
        if now_ns <= record.start:
            return 0
        return record.amount * (now_ns - record.start) // (self.ends_ns - record.start)

    def next_ns(self) -> int | None:
        """When it has to ask; None when nothing more follows before the end of the session."""
        if self.stopped:
            return None
        if not self.asked:
            return self.record.start
        left = self.record.amount - self.reported
        if left > self.granted:
            share = (self.reported + self.granted) * (self.ends_ns - self.record.start)
            exhausted = self.record.start + -(-share // self.record.amount)
            return min(exhausted, self.valid_until_ns or exhausted)
        if self.valid_until_ns is not None and self.valid_until_ns < self.ends_ns:
            return self.valid_until_ns
        return None

    def ask(self, now_ns: int) -> MultipleServices:
        """Ask, and report what was used of what was granted before."""
        record = self.record
        part = MultipleServices(
            rating_group=record.rating_group,
            service_identifiers=(
                () if record.service_identifier is None else (record.service_identifier,)
            ),
            requested=ServiceUnits(),
        )
        if self.asked:
            used = min(self.used_by(now_ns) - self.reported, self.granted)
            exhausted = used >= self.granted
            reason = ReportingReason.QUOTA_EXHAUSTED if exhausted else ReportingReason.VALIDITY_TIME
            self._report(part, used, reason)
            if self.final:
                part.requested = None
                self.stopped = True
        self.asked = True
        return part

    def close(self) -> MultipleServices | None:
        """The report of what is left at the end."""
        if not self.asked or self.stopped:
            return None
        part = self.ask(self.ends_ns)
        part.requested = None
        part.used[0].reporting_reason = ReportingReason.FINAL
        self.stopped = True
        return part

    def _report(self, part: MultipleServices, used: int, reason: int) -> None:
        units = UsedServiceUnit(reporting_reason=reason)
        if self.record.kind == "voice":
            units.time = used
        else:
            units.input_octets = used // 5
            units.output_octets = used - used // 5
            units.total_octets = used
        part.used = [units]
        self.reported += used

    def answered(self, now_ns: int, answer: CreditControlAnswer | None, *, alone: bool) -> None:
        """Take the grant, or stop."""
        part = _part(answer, self.key, alone=alone) if answer is not None else None
        granted = part.granted if part is not None else None
        if answer is None or part is None or granted is None or part.result_code not in _OK_PART:
            self.stopped = True
            return
        amount = granted.time if self.record.kind == "voice" else granted.total_octets
        self.granted = amount or 0
        self.final = part.final_unit is not None or part.qos_final_unit is not None
        self.stopped = not self.granted
        valid = part.validity_time
        self.valid_until_ns = now_ns + valid * _NS if valid else None


_OK_PART = frozenset({None, *_SUCCESS})


def _part(answer: CreditControlAnswer, key: ServiceKey, *, alone: bool) -> MultipleServices | None:
    if answer.result_code not in _SUCCESS:
        return None
    for part in answer.services:
        if (part.rating_group, (part.service_identifiers or (None,))[0]) == key:
            return part
    return answer.services[0] if alone and len(answer.services) == 1 else None


@dataclass(slots=True)
class UsageSession:
    """A session, or with an event kind a single event, that uses what its records say."""

    session_id: str
    origin_host: str
    origin_realm: str
    subscriber: str
    services: list[_Service]
    findings: Findings
    _number: int = 0
    _asking: list[_Service] = field(default_factory=list)
    _asked_ns: int = 0
    _over: bool = False

    @property
    def _record(self) -> UsageRecord:
        return self.services[0].record

    @property
    def _is_event(self) -> bool:
        return self._record.kind not in {"data", "voice"}

    def next_ns(self) -> int | None:
        """The first of what any service waits for, and the end."""
        if self._over:
            return None
        if self._number == 0:
            return self._record.start
        ends_ns = max(one.ends_ns for one in self.services)
        if self._number > REPORTS_MAX:
            return ends_ns
        instants = [at for one in self.services if (at := one.next_ns()) is not None]
        if not instants and all(one.stopped for one in self.services):
            return self._asked_ns  # everything is refused or used up: it ends at once
        return max(min([*instants, ends_ns]), self._asked_ns)

    def ask(self) -> Step:
        """CCR-I, CCR-U with what has something to say, CCR-T, or CCR-E."""
        now_ns = self.next_ns()
        assert now_ns is not None
        self._asked_ns = now_ns
        if self._is_event:
            return self._event(now_ns)
        due = [one for one in self.services if (at := one.next_ns()) is not None and at <= now_ns]
        first = self._number == 0
        if not first and (not due or self._number > REPORTS_MAX):
            return self._end(now_ns)
        expected = {
            one.key: one.record.result_code
            for one in due
            if not one.asked and one.record.result_code is not None
        }
        parts = [one.ask(now_ns) for one in due]
        self._asking = due
        kind = RequestType.INITIAL if first else RequestType.UPDATE
        return self._step(now_ns, kind, parts, expected)

    def answered(self, message: bytes | None) -> None:
        """Let each service that asked take its part."""
        answer = None
        if message is not None:
            try:
                answer = read_cca(message)
            except ProtocolError:
                answer = None
        if self._over:
            return
        if answer is None or answer.result_code not in _SUCCESS:
            # The server does not know the session, or not any more (RFC 8506 section 5.1.2).
            self._over = self._number == 1
        for service in self._asking:
            service.answered(self._asked_ns, answer, alone=len(self._asking) == 1)
            if service.stopped and service.reported < service.record.amount:
                self.findings.notes["records of which not all was granted"] += 1
        self._asking = []

    def _event(self, now_ns: int) -> Step:
        service = self.services[0]
        self._over = True
        part = service.ask(now_ns)
        part.requested = ServiceUnits(service_specific=service.record.amount)
        code = service.record.result_code
        expected = {} if code is None else {service.key: code}
        return self._step(now_ns, RequestType.EVENT, [part], expected)

    def _end(self, now_ns: int) -> Step:
        self._over = True
        parts = [part for one in self.services if (part := one.close()) is not None]
        return self._step(now_ns, RequestType.TERMINATION, parts, {})

    def _step(
        self,
        now_ns: int,
        kind: RequestType,
        parts: list[MultipleServices],
        expected: dict[ServiceKey, int],
    ) -> Step:
        record = self._record
        request = CreditControlRequest(
            session_id=self.session_id,
            origin_host=self.origin_host,
            origin_realm=self.origin_realm,
            destination_realm=self.origin_realm,
            auth_application_id=4,
            service_context_id=record.context or _CONTEXTS[record.kind],
            request_type=kind,
            request_number=self._number,
            event_timestamp_ns=now_ns,
            subscription_ids=[
                SubscriptionId(_IDENTITY_TYPES[name], value) for name, value in record.identities
            ],
            requested_action=0 if kind is RequestType.EVENT else None,
            multiple_services_indicator=1 if kind is RequestType.INITIAL else None,
            termination_cause=_LOGOUT if kind is RequestType.TERMINATION else None,
            services=parts,
            service_information=information(record, self.session_id, kind),
        )
        self._number += 1
        return Step(
            now_ns, write_ccr(request, 0, 0), f"record of {self.session_id}", None, expected
        )


def usage_sessions(records: Sequence[UsageRecord], findings: Findings) -> list[UsageSession]:
    """Sessions and events of records, by the time they begin; each service of a session once.

    Records about the same service of the same session follow each other as one with their sum.
    """
    sessions: dict[str, UsageSession] = {}
    for position, record in enumerate(records):
        together = record.session is not None and record.kind in {"data", "voice"}
        name = f"{record.session}" if together else f"record {position + 1}"
        session = sessions.get(name)
        if session is None:
            kind, value = record.identities[0]
            sessions[name] = UsageSession(
                name,
                record.gateway,
                record.realm,
                f"{kind}:{value}",
                [_Service(record)],
                findings,
            )
            continue
        for service in session.services:
            if service.key == (record.rating_group, record.service_identifier):
                service.record = _joined(service.record, record)
                break
        else:
            session.services.append(_Service(record))
    return list(sessions.values())


def _joined(first: UsageRecord, second: UsageRecord) -> UsageRecord:
    ends_ns = max(one.start + one.duration_seconds * _NS for one in (first, second))
    amount = first.amount + second.amount
    name = "seconds" if first.kind == "voice" else "octets"
    return first.model_copy(
        update={
            "duration_seconds": -(-(ends_ns - first.start) // _NS),
            "input_octets": None,
            "output_octets": None,
            name: amount,
        }
    )
