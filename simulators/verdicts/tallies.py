"""What the blocks of `expect` are judged by: an observer counts for each block its part of a run.

A request belongs to the time when it was due, however late it was sent or answered. `judging`
compares the counts with what was expected.
"""

import re
from collections import Counter
from dataclasses import dataclass, field, replace

from protocol.codec import FLAG_RETRANSMIT
from protocol.credit_control import CreditControlAnswer, MultipleServices, RequestType
from simulators.reports.counted import Counted, Granted
from simulators.reports.histograms import added_texts
from simulators.reports.report import TYPE_NAMES, LatencyBins, Report
from simulators.scenarios.expectations import Expectation
from simulators.scenarios.model import Scenario
from simulators.scenarios.populations import Subscribers
from simulators.scenarios.services import name_of
from simulators.traffic.observer import Observer
from simulators.traffic.subscriber import TRANSIENT, Demand, Identities, Session

ACTIONS = {0: "terminate", 1: "redirect", 2: "restrict"}
"""Final-Unit-Action (RFC 8506 section 8.35)."""
_FLAGS = 4


@dataclass(slots=True)
class Grants:
    """Grants of one rating group in one unit."""

    count: int = 0
    total: int = 0
    lowest: int = 0
    highest: int = 0

    def add(self, amount: int) -> None:
        """Count one."""
        self.lowest = min(self.lowest, amount) if self.count else amount
        self.highest = max(self.highest, amount)
        self.count += 1
        self.total += amount


@dataclass(slots=True)
class Tally:
    """What happened in the part of the run that a block is about."""

    requests: int = 0
    answered: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    service_codes: Counter[int] = field(default_factory=Counter)
    latencies: LatencyBins = field(default_factory=LatencyBins)
    grants: dict[tuple[int | None, str], Grants] = field(default_factory=dict)
    final_units: Counter[str] = field(default_factory=Counter)

    def answer(self, answer: CreditControlAnswer) -> None:
        """Count what an answer says."""
        self.codes[answer.result_code or 0] += 1
        for part in answer.services:
            if part.result_code is not None:
                self.service_codes[part.result_code] += 1
            for unit, amount in granted_units(part):
                self.grants.setdefault((part.rating_group, unit), Grants()).add(amount)
            if part.final_unit is not None:
                self.final_units[ACTIONS.get(part.final_unit.action, "unknown")] += 1


def granted_units(part: MultipleServices) -> list[tuple[str, int]]:
    """What a part of an answer grants, in each unit that it names."""
    granted = part.granted
    if granted is None:
        return []
    octets = granted.total_octets
    if octets is None and not granted.input_octets is granted.output_octets is None:
        octets = (granted.input_octets or 0) + (granted.output_octets or 0)
    units = (("octets", octets), ("seconds", granted.time), ("events", granted.service_specific))
    return [(unit, amount) for unit, amount in units if amount is not None]


class Groups:
    """Which group of subscribers somebody belongs to."""

    def __init__(self, groups: tuple[Subscribers, ...]) -> None:
        self._groups = [(group, [_matcher(one.pattern) for one in group.identities])
                        for group in groups]  # fmt: skip

    def of(self, identities: Identities) -> Subscribers | None:
        """The group, by the first identity and the number in it."""
        for group, patterns in self._groups:
            for one, pattern in zip(group.identities, patterns, strict=True):
                kind, text = identities[0]
                found = pattern.fullmatch(text) if kind == one.type else None
                if found and group.first <= int(found[1]) < group.first + group.count:
                    return group
        return None


def _matcher(pattern: str) -> re.Pattern[str]:
    before, digits, after = re.fullmatch(r"([^#]*)(#+)([^#]*)", pattern).groups()  # type: ignore[union-attr]
    return re.compile(f"{re.escape(before)}([0-9]{{{len(digits)}}}){re.escape(after)}")


class Tallies(Observer):
    """A tally for each block of a scenario's `expect`."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._blocks = [(one, Tally()) for one in scenario.expect]
        self._speed_up = scenario.speed_up
        self._groups = Groups(scenario.subscribers)
        self._by_group = any(one.subscribers for one in scenario.expect)
        ramp = scenario.load.ramp
        self._step_seconds = ramp.step_seconds if ramp is not None else 0.0
        self._waiting: dict[tuple[str, RequestType, int], list[Tally]] = {}

    @property
    def all(self) -> list[Tally]:
        """The tallies in the order of the blocks."""
        return [tally for _, tally in self._blocks]

    def counted(self) -> list[Counted]:
        """What the report of the run keeps of them."""
        return counted(self._scenario, self.all)

    def request_sent(
        self,
        at_ns: int,  # noqa: ARG002 - what counts is when it was due
        gateway: str,  # noqa: ARG002
        session: Session,
        demand: Demand,
        message: bytes,
    ) -> None:
        """Count it for the blocks that it belongs to, unless it is sent again."""
        key = session.session_id, demand.request_type, demand.number
        if key in self._waiting or message[_FLAGS] & FLAG_RETRANSMIT:
            return
        self._waiting[key] = self._asked(session, demand)

    def _asked(self, session: Session, demand: Demand) -> list[Tally]:
        """Count a request for the blocks that it belongs to, and return their tallies."""
        due = session.clock / self._speed_up
        group = self._groups.of(session.identities) if self._by_group else None
        concerned = [
            tally for block, tally in self._blocks
            if self._is_in(block, session, demand, due, group)
        ]  # fmt: skip
        for tally in concerned:
            tally.requests += 1
        return concerned

    def _is_in(
        self,
        block: Expectation,
        session: Session,
        demand: Demand,
        due: float,
        group: Subscribers | None,
    ) -> bool:
        if block.service not in (None, name_of(session.service), session.service.kind):
            return False
        if block.request not in (None, TYPE_NAMES[demand.request_type]):
            return False
        if block.subscribers is not None and (group is None or group.name != block.subscribers):
            return False
        begins, ends = window_of(block, self._step_seconds)
        return begins <= due and (ends is None or due < ends)

    def answer_received(
        self,
        at_ns: int,  # noqa: ARG002
        gateway: str,  # noqa: ARG002
        session: Session,
        demand: Demand,
        answer: CreditControlAnswer,
        message: bytes,  # noqa: ARG002
        latency_us: int,
    ) -> None:
        """Count it; one that says that the server is busy leaves the request unanswered."""
        key = session.session_id, demand.request_type, demand.number
        busy = answer.result_code in TRANSIENT
        for tally in self._waiting.get(key, ()) if busy else self._waiting.pop(key, ()):
            tally.answer(answer)
            if not busy:
                tally.answered += 1
                tally.latencies.record(latency_us)

    def unanswered(
        self,
        at_ns: int,  # noqa: ARG002
        gateway: str,  # noqa: ARG002
        session: Session,
        demand: Demand,
        message: bytes,  # noqa: ARG002
    ) -> None:
        """Nothing will come, even of one that failed before there was a connection to send it."""
        key = session.session_id, demand.request_type, demand.number
        if self._waiting.pop(key, None) is None:
            self._asked(session, demand)


def window_of(block: Expectation, step_seconds: float) -> tuple[float, float | None]:
    """Real seconds of traffic in which a block's requests are due; None: no end."""
    if block.step is not None:
        return (block.step - 1) * step_seconds, block.step * step_seconds
    return block.from_seconds or 0.0, block.to_seconds


def counted(scenario: Scenario, tallies: list[Tally]) -> list[Counted]:
    """What reports keep of the tallies of a scenario's blocks."""
    ramp = scenario.load.ramp
    step_seconds = ramp.step_seconds if ramp is not None else 0.0
    return [
        _counted(block, tally, step_seconds)
        for block, tally in zip(scenario.expect, tallies, strict=True)
    ]


def _counted(block: Expectation, tally: Tally, step_seconds: float) -> Counted:
    begins, ends = window_of(block, step_seconds)
    return Counted(
        block=block.model_dump(mode="json", exclude_unset=True),
        begins_seconds=begins,
        ends_seconds=ends,
        requests=tally.requests,
        answered=tally.answered,
        codes=_named(tally.codes),
        service_codes=_named(tally.service_codes),
        histogram=tally.latencies.encoded() if tally.latencies.count else "",
        granted=[
            Granted(group, unit, one.count, one.total, one.lowest, one.highest)
            for (group, unit), one in tally.grants.items()
        ],
        final_units=dict(sorted(tally.final_units.items())),
    )


def _named(codes: Counter[int]) -> dict[str, int]:
    return {str(code): count for code, count in sorted(codes.items())}


def counted_of_prepared(scenario: Scenario, report: Report) -> list[Counted]:
    """The same of prepared load, of which there is nothing but the report."""
    tally = Tally(requests=report.requests, answered=report.answers)
    whole = added_texts(
        report.histograms[name] for name in TYPE_NAMES.values() if name in report.histograms
    )
    return [
        replace(_counted(block, tally, 0.0), codes=dict(report.result_codes), histogram=whole)
        for block in scenario.expect
    ]
