"""A subscriber's session: what it asks, what it uses, and how it reacts to answers (RFC 8506, 5).

Pure: instants are simulated seconds given by `schedule`, which carries its requests to a gateway
and the answers back. A session has at most one request on its way, and dice of its own: what other
sessions do, and when answers come, does not change what it asks. `starting` makes sessions.
"""

import random
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, replace

from protocol.credit_control import (
    CreditControlAnswer,
    MultipleServices,
    ReportingReason,
    RequestedAction,
    RequestType,
)
from simulators.scenarios.faults import SessionFault
from simulators.scenarios.services import DataService, Move, Place, Service, VoiceService
from simulators.traffic.failing import OnFailure
from simulators.traffic.quota import NEVER, Quota, QuotaState, ServiceReport
from simulators.traffic.timeline import Timeline

SUCCESS = frozenset({2001, 2002})
TRANSIENT = frozenset({3002, 3004, 5012})
"""Failures that are not the request's fault: what it reported is reported again."""
_LOGOUT, _ADMINISTRATIVE = 1, 4

Identities = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Demand:
    """One request in neutral words; `shapes` writes it."""

    request_type: RequestType
    number: int
    services: tuple[ServiceReport, ...] = ()
    termination_cause: int | None = None
    cause_code: int | None = None
    """SIP reason of a call that ends; 0 is a normal end."""
    action: RequestedAction = RequestedAction.DIRECT_DEBITING
    """Of an event."""
    refund_information: bytes | None = None
    """Names the debit that is given back."""
    place: Place | None = None
    """Where the subscriber is; None is at home."""


class Session(ABC):
    """What `schedule` needs of any session; `tally` is shared by all sessions of a run."""

    def __init__(
        self,
        session_id: str,
        service: Service,
        identities: Identities,
        tally: Counter[str],
        destination: str = "",
        dice: random.Random | None = None,
    ) -> None:
        self.session_id = session_id
        self.service = service
        self.identities = identities
        self.destination = destination
        """Called number or recipient."""
        self.dice = dice or random.Random(0)
        self.clock = 0.0
        """The instant of its last request: for the session, answers take no time."""
        self.successor: Session | None = None
        """What begins because this session has ended well, such as a refund."""
        self.server_host = ""
        """Origin-Host of the answers, once known."""
        self.server = -1
        """Which of the gateway's servers has answered last; -1 before the first answer."""
        self.on_failure = OnFailure()
        """What happens when a request of it fails."""
        self.conduct: SessionFault | None = None
        """How the gateway misbehaves on purpose."""
        self.done = False
        self.asked: Demand | None = None
        self._tally = tally
        self._number = 0

    @abstractmethod
    def next_instant(self) -> float:
        """When `act` is to be called; NEVER while an answer is awaited and at the end."""

    @abstractmethod
    def act(self, now: float) -> Demand | None:
        """The request to send at `now`, if any."""

    @abstractmethod
    def answered(self, now: float, answer: CreditControlAnswer) -> None:
        """The answer to `asked` has come."""

    @abstractmethod
    def unanswered(self, now: float) -> None:
        """The gateway has given up waiting for the answer to `asked`."""

    @property
    def keeps(self) -> bool:
        """Whether the gateway keeps a request that nobody answered and sends it again later."""
        return False

    def reauthorise(self) -> bool:
        """Re-Auth-Request: whether a request follows (RFC 8506 section 5.5)."""
        return False

    def abort(self, now: float) -> bool:  # noqa: ARG002 - an event is over before it can be aborted
        """Abort-Session-Request: whether the session ends because of it."""
        return False

    def finish(self, now: float) -> None:  # noqa: B027 - most sessions have nothing to finish
        """End as soon as possible, in good order."""

    def _send(
        self,
        request_type: RequestType,
        services: list[ServiceReport],
        termination_cause: int | None = None,
        cause_code: int | None = None,
        action: RequestedAction = RequestedAction.DIRECT_DEBITING,
        refund_information: bytes | None = None,
        place: Place | None = None,
    ) -> Demand:
        if self.conduct is not None:
            services = [_misreported(report, self.conduct) for report in services]
        self.asked = Demand(
            request_type,
            self._number,
            tuple(services),
            termination_cause,
            cause_code,
            action,
            refund_information,
            place,
        )
        self._number += 1
        for service in services:
            if service.used:
                self._tally[f"used {service.unit.value}"] += service.used
            if service.used_after is not None:
                self._tally["tariff changes"] += 1
        return self.asked


class QuotaSession(Session):
    """A session that holds quota for one service or several, from CCR-I to CCR-T."""

    def __init__(
        self,
        session_id: str,
        service: Service,
        identities: Identities,
        tally: Counter[str],
        *,
        quotas: list[Quota],
        starts_at: float,
        ends_at: float,
        answers_at: float | None = None,
        abandons_at: float = NEVER,
        destination: str = "",
        dice: random.Random | None = None,
        reports_answer: bool = True,
        unanswered_cause: int = 486,
        place: Place | None = None,
        moves: tuple[tuple[float, Move], ...] = (),
        timeline: Timeline | None = None,
    ) -> None:
        super().__init__(session_id, service, identities, tally, destination, dice)
        self.quotas = quotas
        self._starts_at = starts_at
        self._ends_at = ends_at
        self._answers_at = answers_at
        self._abandons_at = abandons_at
        self._reports_answer = reports_answer
        self._unanswered_cause = unanswered_cause
        self._place = place
        self._moves = list(moves)
        self._timeline = timeline
        self._opened = False
        self._forced = False
        self._uncharged = False
        """Whether it goes on without credit control, because a request has failed."""
        self._cause = _LOGOUT
        if answers_at is not None:
            for quota in quotas:
                quota.running = True  # asked for at once, although nothing is used while it rings
                quota.rate = 0.0

    def next_instant(self) -> float:
        """The earliest of its end, the answer of a call, a move, and what any quota waits for."""
        if self.done or self.asked:
            return NEVER
        if not self._opened:
            return self._starts_at
        if self._forced:
            return 0.0
        instants = [self._ends_at, self._abandons_at]
        if self._answers_at is not None:
            instants.append(self._answers_at)
        if self._moves:
            instants.append(self._moves[0][0])
        for quota in self.quotas:
            instants += (quota.next_instant(), quota.switches_at)
        return min(instants)

    def act(self, now: float) -> Demand | None:
        """CCR-I, CCR-U with what has something to say, or CCR-T with the rest."""
        if self.done or self.asked:
            return None
        if self._uncharged:
            self._use_uncharged(now)
            return None
        if self._opened and now >= self._abandons_at:
            self._tally["abandoned"] += 1
            self.done = True
            return None
        for quota in self.quotas:
            quota.advance(now)
            self._turn(quota, now)
        if not self._opened:
            self._opened = True
            reports = [report for quota in self.quotas if (report := quota.report(now))]
            return self._send(RequestType.INITIAL, reports, place=self._place)
        if now >= self._ends_at or not any(quota.alive for quota in self.quotas):
            return self._terminate()
        reports = self._update(now)
        if reports and not any(quota.alive for quota in self.quotas):
            return self._terminate(reports)
        if not reports:
            return None
        return self._send(RequestType.UPDATE, reports, place=self._place)

    def _use_uncharged(self, now: float) -> None:
        """Use the services, ask nobody, and at the end count what nobody has charged."""
        for quota in self.quotas:
            quota.advance(now)
            self._turn(quota, now)
        if self._answers_at is not None and now >= self._answers_at:
            self._take_call()
        alive = any(quota.alive for quota in self.quotas)
        if not alive or now >= min(self._ends_at, self._abandons_at):
            for quota in self.quotas:
                self._tally[f"uncharged {quota.unit.value}"] += quota.used
            self.done = True

    def _take_call(self) -> None:
        self._answers_at = None
        for quota in self.quotas:
            quota.rate = 1.0

    def _update(self, now: float) -> list[ServiceReport]:
        if self._forced:
            self._forced = False
            forced = (quota.force(ReportingReason.FORCED_REAUTHORISATION) for quota in self.quotas)
            return [report for report in forced if report]
        if self._moves and now >= self._moves[0][0]:
            _, self._place = self._moves.pop(0)
            self._tally["moves"] += 1
            moved = (quota.moved() for quota in self.quotas)
            return [report for report in moved if report]
        if self._answers_at is not None and now >= self._answers_at:
            self._take_call()
            if self._reports_answer:
                picked_up = (quota.force(None) for quota in self.quotas)
                return [report for report in picked_up if report]
        return [report for quota in self.quotas if (report := quota.report(now))]

    def _turn(self, quota: Quota, now: float) -> None:
        if now < quota.switches_at or not isinstance(self.service, DataService):
            return
        use = self.service.rating_groups[self.quotas.index(quota)]
        quota.turn(now, not quota.running)
        lasts = use.active_seconds if quota.running else use.idle_seconds
        quota.switches_at = now + max(lasts.sample(self.dice), 0.1) if lasts else NEVER

    def _terminate(self, reported: list[ServiceReport] | None = None) -> Demand | None:
        if self.conduct is not None and self.conduct.kind == "no_end":
            self._tally["never ended"] += 1
            self.done = True
            return None
        reports = list(reported or ())
        reports += [
            quota.close(ReportingReason.FINAL, QuotaState.STOPPED)
            for quota in self.quotas
            if quota.state in (QuotaState.ACTIVE, QuotaState.ASKED) or quota.used
        ]
        answered = self._answers_at is None
        if not answered:  # a call that nobody took is reported without use
            reports = []
        cause_code = None
        if isinstance(self.service, VoiceService):
            cause_code = 0 if answered else self._unanswered_cause
        return self._send(
            RequestType.TERMINATION, reports, self._cause, cause_code, place=self._place
        )

    def answered(self, now: float, answer: CreditControlAnswer) -> None:
        """Obey it: each quota gets its part; a failed command ends the session (8506, 5.1.2)."""
        demand, self.asked = self.asked, None
        if demand is None:
            return
        if demand.request_type is RequestType.TERMINATION:
            self.done = True
            self._tally["ended" if answer.result_code in SUCCESS else "end refused"] += 1
        elif answer.result_code in TRANSIENT:
            self._failed(now, demand, refused=True)
        elif answer.result_code not in SUCCESS:
            self._tally[f"refused {answer.result_code}"] += 1
            if self.on_failure.goes_on(demand.request_type, answer.result_code):
                self._go_on_uncharged(now, demand, refused=True)
            else:
                self.done = True
        else:
            for report in demand.services:
                quota = self._quota_of(report)
                part = _part_of(answer.services, report, len(demand.services))
                self._tally[quota.answered(now, report, part, self._timeline)] += 1

    def unanswered(self, now: float) -> None:
        """Go on without charging, or end the session: what the lost request reported goes into
        the CCR-T.
        """
        demand, self.asked = self.asked, None
        if demand is not None:
            self._tally["unanswered"] += 1
            self._failed(now, demand, refused=False)

    def _failed(self, now: float, demand: Demand, *, refused: bool) -> None:
        """The request has failed: end the session, with all its use, or go on uncharged."""
        kind = demand.request_type
        if kind is not RequestType.TERMINATION and self.on_failure.goes_on(kind):
            self._go_on_uncharged(now, demand, refused=refused)
        elif kind is RequestType.UPDATE:
            self._take_back(now, demand)
            self._ends_at = now
        else:
            self.done = True

    def _go_on_uncharged(self, now: float, demand: Demand, *, refused: bool) -> None:
        """The service is granted without credit control (RFC 8506 section 8.14).

        What was reported in vain is uncharged, too, if the server has said so; else nobody knows.
        """
        self._tally["went on uncharged"] += 1
        self._uncharged = True
        self._moves.clear()
        if refused:
            self._take_back(now, demand)
        for quota in self.quotas:
            quota.go_on_uncharged(now)

    def _take_back(self, now: float, demand: Demand) -> None:
        """What a request reported that the server did not process is not reported yet."""
        for report in demand.services:
            quota = self._quota_of(report)
            quota.advance(now)
            quota.give_back(report)
            if report.used:
                self._tally[f"used {report.unit.value}"] -= report.used

    def reauthorise(self) -> bool:
        """Report and ask again for every service with the next `act`."""
        self._forced = self._opened and not self.done and not self._uncharged
        return self._forced

    def abort(self, now: float) -> bool:
        """End with the next `act`, the cause being the administrator's."""
        if self.done or not self._opened:
            return False
        self._cause = _ADMINISTRATIVE
        self._ends_at = now
        return True

    def finish(self, now: float) -> None:
        """Report all use with the next `act`, as of now or of when it was to end, which may have
        been before; a session that has not begun never does.
        """
        self._ends_at = min(self._ends_at, now)
        if not self._opened:
            self.done = True

    def _quota_of(self, report: ServiceReport) -> Quota:
        key = (report.rating_group, report.service_identifier)
        for quota in self.quotas:
            if (quota.rating_group, quota.service_identifier) == key:
                return quota
        raise KeyError(key)


def _misreported(report: ServiceReport, conduct: SessionFault) -> ServiceReport:
    """What a gateway says that misbehaves instead of what was used."""
    if not report.used or conduct.kind == "no_end":
        return report
    factor = 0.0 if conduct.kind == "zero" else conduct.factor
    after = None if report.used_after is None else int(report.used_after * factor)
    return replace(report, used=int(report.used * factor), used_after=after)


def _part_of(
    parts: list[MultipleServices], report: ServiceReport, asked: int
) -> MultipleServices | None:
    """The answer's part about a service; one that was asked alone may come back without keys."""
    for part in parts:
        identifiers = (report.service_identifier,) if report.service_identifier is not None else ()
        if part.rating_group == report.rating_group and part.service_identifiers == identifiers:
            return part
    return parts[0] if len(parts) == 1 and asked == 1 else None
