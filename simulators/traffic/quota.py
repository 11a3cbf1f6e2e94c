"""One rating group of a simulated session: granted units, their use over time, and what ends them.

Obeys RFC 8506 section 5.6 (final units) and TS 32.299 section 6.5 (thresholds, validity, quota
holding time). Pure: instants are simulated seconds given by the caller, `subscriber`.
"""

import math
from dataclasses import dataclass
from enum import Enum

from protocol.credit_control import FinalUnitAction, MultipleServices, ReportingReason, ServiceUnits
from simulators.traffic.timeline import Timeline

NEVER = math.inf
_SUCCESS = 2001
_NOT_APPLICABLE = 4011
_USE_TOLERANCE_SECONDS = 0.001
_PLACE_TRIGGERS = frozenset({2, 3, 4, 5, *range(30, 38), 60, 61})
"""Trigger-Type of what a change of place or radio is (TS 32.299 section 7.2.235)."""


class Unit(Enum):
    """What is counted."""

    OCTETS = "octets"
    SECONDS = "seconds"
    EVENTS = "events"


class QuotaState(Enum):
    """Where a rating group stands with the server."""

    IDLE = "no quota, and nothing to use it for yet"
    ASKED = "a request for it is on its way"
    ACTIVE = "using granted units"
    FREE = "needs no credit control"
    RESTRICTED = "redirected or restricted, until the validity time ends"
    STOPPED = "refused, or its final units are used up"
    UNCHARGED = "used without credit control, because nobody answers"


@dataclass(frozen=True, slots=True)
class Manners:
    """How a kind of gateway behaves, whatever it is told."""

    grants_add: bool = False
    """A new grant is added to what is left, where the standard replaces it."""
    only_terminate: bool = False
    """Every final-unit action ends the service."""
    stops_at_quota: bool = True
    """Traffic waits when the quota is used up; else it goes on and the report says so."""
    reports_answer: bool = True
    """A call that is answered is reported at once, with no use yet."""


MANNERS = {
    "generic": Manners(),
    "open5gs": Manners(only_terminate=True, stops_at_quota=False, reports_answer=False),
    "magma": Manners(grants_add=True),
    "kamailio": Manners(only_terminate=True, reports_answer=False),
}
"""By the shape a gateway names in its scenario."""


@dataclass(frozen=True, slots=True)
class ServiceReport:
    """What a request says of one service. `wanted` None asks for nothing, 0 for any amount."""

    rating_group: int | None
    service_identifier: int | None
    unit: Unit
    wanted: int | None = None
    used: int | None = None
    reason: ReportingReason | None = None
    used_after: int | None = None
    """How much of `used` came after a tariff change; None when there was none."""


class Quota:
    """The quota of one service in one session; `rate` is in units per second while `running`."""

    __slots__ = (
        "_anchor", "_before", "_granted", "_idle_limit", "_idle_since", "_manners", "_tariff_at",
        "_threshold", "_triggers", "_used", "_valid_until", "final", "rate", "rating_group",
        "requested", "running", "service_identifier", "starts_at", "state", "switches_at", "unit",
    )  # fmt: skip

    def __init__(
        self,
        unit: Unit,
        rate: float,
        manners: Manners,
        rating_group: int | None = None,
        service_identifier: int | None = None,
        requested: int | None = None,
        starts_at: float = 0.0,
    ) -> None:
        self.unit = unit
        self.rate = rate
        self.rating_group = rating_group
        self.service_identifier = service_identifier
        self.requested = requested
        self.starts_at = starts_at
        self.state = QuotaState.IDLE
        self.running = True
        self.switches_at = NEVER
        """When `running` changes next; the session turns it."""
        self.final: FinalUnitAction | None = None
        self._manners = manners
        self._anchor = starts_at
        self._granted = 0.0
        self._used = 0.0
        self._threshold = 0
        self._valid_until = NEVER
        self._idle_limit = 0
        self._idle_since = NEVER
        self._tariff_at = NEVER
        self._before: float | None = None
        self._triggers: tuple[int, ...] | None = None

    @property
    def alive(self) -> bool:
        """Whether the session still has a reason to go on because of this service."""
        return self.state is not QuotaState.STOPPED

    @property
    def used(self) -> int:
        """Whole units used and not reported yet."""
        return int(self._used)

    @property
    def granted(self) -> int:
        """Units that may be used, reported ones not counted."""
        return int(self._granted)

    def advance(self, now: float) -> None:
        """Use units up to `now`: never more than granted, unless the gateway does not stop."""
        if self._anchor <= self._tariff_at <= now:
            self._use_until(self._tariff_at)
            self._before, self._tariff_at = self._used, NEVER
        self._use_until(now)

    def _use_until(self, now: float) -> None:
        elapsed = now - self._anchor
        self._anchor = max(now, self._anchor)
        if not self.running or elapsed <= 0:
            return
        if self.state is QuotaState.UNCHARGED:
            self._used += self.rate * elapsed
        elif self.state in (QuotaState.ACTIVE, QuotaState.ASKED) and self._granted > 0:
            self._used += self.rate * elapsed
            if self._granted - self._used < self.rate * _USE_TOLERANCE_SECONDS:
                stop = self._manners.stops_at_quota or self._used <= self._granted
                self._used = self._granted if stop else self._used

    def turn(self, now: float, running: bool) -> None:
        """Traffic begins or pauses."""
        self.advance(now)
        self.running = running
        self._idle_since = NEVER if running else now

    def next_instant(self) -> float:
        """When `report` will have something to say, if nothing else happens before."""
        if self.state is QuotaState.IDLE:
            return max(self.starts_at, self._anchor) if self.running else NEVER
        if self.state is QuotaState.RESTRICTED:
            return self._valid_until
        if self.state is not QuotaState.ACTIVE:
            return NEVER
        instants = [self._valid_until]
        if self.running and self.rate > 0:
            threshold = 0 if self.final is not None else self._threshold
            left = max(self._granted - self._used - threshold, 0.0)
            instants.append(self._anchor + left / self.rate)
        elif not self.running and self._idle_limit:
            instants.append(self._idle_since + self._idle_limit)
        return min(instants)

    def report(self, now: float) -> ServiceReport | None:
        """What to tell the server at `now`, or None; the caller has advanced to `now`."""
        if self.state is QuotaState.IDLE:
            ready = self.running and now >= self.starts_at
            return self._ask(None, None) if ready else None
        if self.state is QuotaState.RESTRICTED:
            return self._ask(None, None) if now >= self._valid_until else None
        if self.state is not QuotaState.ACTIVE:
            return None
        reason = self._trigger(now)
        if reason is None:
            return None
        if reason is ReportingReason.QHT:
            return self.close(reason, QuotaState.IDLE)
        if reason is ReportingReason.QUOTA_EXHAUSTED and self.final is not None:
            return self._finish(now)
        used, used_after = self._take()
        return self._ask(used, reason, used_after)

    def force(self, reason: ReportingReason | None) -> ServiceReport | None:
        """Report and ask again now: on re-authorisation, or when a call is answered."""
        if self.state is QuotaState.FREE:
            return None
        if self.state is not QuotaState.ACTIVE:
            return self._ask(None, None)
        used, used_after = self._take()
        return self._ask(used, reason, used_after)

    def moved(self) -> ServiceReport | None:
        """Report and ask again because the place is another, unless the server armed no trigger."""
        watched = self._triggers is None or not _PLACE_TRIGGERS.isdisjoint(self._triggers)
        if not watched or self.state is not QuotaState.ACTIVE:
            return None
        return self.force(ReportingReason.RATING_CONDITION_CHANGE)

    def close(self, reason: ReportingReason, after: QuotaState) -> ServiceReport:
        """Report what was used and want no more."""
        used, used_after = self._take()
        self._granted = 0.0
        self.state = after
        return ServiceReport(
            self.rating_group, self.service_identifier, self.unit, None, used, reason, used_after
        )

    def give_back(self, report: ServiceReport) -> None:
        """A report did not reach the server: it is made again with the next request."""
        self._used += report.used or 0
        self._granted += report.used or 0

    def go_on_uncharged(self, now: float) -> None:
        """Be used without credit control from now on; what was stopped or restricted is over."""
        self.advance(now)
        if self.state is QuotaState.RESTRICTED:
            self.state = QuotaState.STOPPED
        elif self.state not in (QuotaState.STOPPED, QuotaState.FREE):
            self.state = QuotaState.UNCHARGED

    def _trigger(self, now: float) -> ReportingReason | None:
        left = self._granted - self._used
        tolerance = self.rate * _USE_TOLERANCE_SECONDS
        if left <= tolerance and self.running:
            return ReportingReason.QUOTA_EXHAUSTED
        if self._threshold and self.final is None and left <= self._threshold + tolerance:
            return ReportingReason.THRESHOLD
        if now >= self._valid_until:
            return ReportingReason.VALIDITY_TIME
        if self._idle_limit and now >= self._idle_since + self._idle_limit:
            return ReportingReason.QHT
        return None

    def _take(self) -> tuple[int, int | None]:
        """Whole units used since the last report, and those after a tariff change if one was."""
        used = int(self._used)
        before, self._before = self._before, None
        self._used -= used
        self._granted = max(self._granted - used, 0.0)
        return used, None if before is None else used - min(int(before), used)

    def _ask(
        self, used: int | None, reason: ReportingReason | None, used_after: int | None = None
    ) -> ServiceReport:
        self.state = QuotaState.ASKED
        return ServiceReport(
            self.rating_group,
            self.service_identifier,
            self.unit,
            self.requested or 0,
            used,
            reason,
            used_after,
        )

    def _finish(self, now: float) -> ServiceReport:
        if self.final is FinalUnitAction.TERMINATE or self._manners.only_terminate:
            return self.close(ReportingReason.FINAL, QuotaState.STOPPED)
        report = self.close(ReportingReason.QUOTA_EXHAUSTED, QuotaState.RESTRICTED)
        self._valid_until = now  # the answer says how long it stays restricted
        return report

    def answered(
        self,
        now: float,
        report: ServiceReport,
        part: MultipleServices | None,
        timeline: Timeline | None = None,
    ) -> str:
        """React to the answer's part about this service; returns a word for the tally.

        Without a `timeline` a tariff change is not watched for.
        """
        self.advance(now)
        code = _SUCCESS if part is None or part.result_code is None else part.result_code
        if code == _NOT_APPLICABLE:
            self.state = QuotaState.FREE
            return "uncontrolled"
        if code != _SUCCESS:
            self.state = QuotaState.STOPPED
            return f"refused {code}"
        if report.wanted is None:
            if self.state is QuotaState.RESTRICTED:
                valid = part.validity_time if part else None
                self._valid_until = now + valid if valid else NEVER
                return "restricted"
            return "reported"
        if part is None:
            return self._nothing_granted(now, None)
        changes_ns = part.granted.tariff_time_change_ns if part.granted else None
        self._tariff_at, self._before = NEVER, None
        if timeline is not None and changes_ns is not None:
            self._tariff_at = timeline.simulated(changes_ns)
        if part.trigger_types is not None:
            self._triggers = part.trigger_types
        return self._granted_by(now, part)

    def _granted_by(self, now: float, part: MultipleServices) -> str:
        amount = _amount(part.granted, self.unit)
        final = part.final_unit
        if not amount:
            return self._nothing_granted(now, part)
        left = self._granted if self._manners.grants_add else 0.0
        self._granted = left + amount
        self.final = FinalUnitAction(final.action) if final else None
        self._valid_until = now + part.validity_time if part.validity_time else NEVER
        threshold = (
            part.volume_quota_threshold
            if self.unit is Unit.OCTETS
            else part.time_quota_threshold
            if self.unit is Unit.SECONDS
            else part.unit_quota_threshold
        )
        self._threshold = threshold if threshold and threshold < amount else 0
        self._idle_limit = part.quota_holding_time or 0
        self.state = QuotaState.ACTIVE
        return "final grant" if final else "grant"

    def _nothing_granted(self, now: float, part: MultipleServices | None) -> str:
        """No units: an action to execute at once, or an answer that gateways cannot use."""
        self._granted = 0.0
        final = part.final_unit if part else None
        if part is None or final is None:
            self.state = QuotaState.STOPPED
            return "granted nothing"
        if final.action == FinalUnitAction.TERMINATE or self._manners.only_terminate:
            self.state = QuotaState.STOPPED
            return "terminated"
        self.state = QuotaState.RESTRICTED
        self._valid_until = now + part.validity_time if part.validity_time else NEVER
        return "restricted"


def _amount(granted: ServiceUnits | None, unit: Unit) -> int | None:
    if granted is None:
        return None
    if unit is Unit.SECONDS:
        return granted.time
    if unit is Unit.EVENTS:
        return granted.service_specific
    if granted.total_octets is not None:
        return granted.total_octets
    parts = (granted.input_octets, granted.output_octets)
    return None if parts == (None, None) else sum(part or 0 for part in parts)
