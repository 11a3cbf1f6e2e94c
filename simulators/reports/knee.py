"""Where a server is full: what was measured in each step of a ramp, and which step was too much.

An observer of the run (`simulators.traffic.observer`), made by `simulation` for a scenario whose
load is a ramp. A latency counts from the instant when the request was due, so that one that had to
wait for room in the window is as slow as its subscriber finds it.
"""

from dataclasses import dataclass, field

from hdrh.histogram import HdrHistogram

from protocol.codec import FLAG_RETRANSMIT
from protocol.credit_control import CreditControlAnswer
from simulators.reports.report import LatencyBins, Ramp, RampStep
from simulators.scenarios import arrivals
from simulators.traffic.observer import Observer
from simulators.traffic.subscriber import TRANSIENT, Demand, Session
from simulators.traffic.timeline import Timeline

_NS = 1_000_000_000
_FLAGS = 4
_GRACE_SECONDS = 1.0


@dataclass(slots=True)
class _Step:
    requests: int = 0
    answered: int = 0
    latencies: LatencyBins = field(default_factory=LatencyBins)
    _summed: int = 0
    _histogram: HdrHistogram | None = None
    _encoded: str = ""

    def percentile(self, wanted: float) -> float:
        """In milliseconds; 0 before the first answer."""
        histogram = self._current()
        if histogram is None:
            return 0.0
        return float(histogram.get_value_at_percentile(wanted)) / 1000

    def encoded(self) -> str:
        """Its latencies as reports have them; empty of none."""
        histogram = self._current()
        if histogram is not None and not self._encoded:
            text: bytes = histogram.encode()
            self._encoded = text.decode("ascii")
        return self._encoded

    def _current(self) -> HdrHistogram | None:
        """The histogram, made anew only when answers have come: it is asked for all the time, and
        takes some milliseconds of the process that carries the traffic.
        """
        if self._summed != self.latencies.count:
            self._summed = self.latencies.count
            self._histogram = self.latencies.histogram()
            self._encoded = ""
        return self._histogram


class RampMeter(Observer):
    """Counts by steps; a request belongs to the step in which it was due."""

    def __init__(self, ramp: arrivals.Ramp, timeline: Timeline) -> None:
        self._ramp = ramp
        self._timeline = timeline
        self._steps = [_Step() for _ in range(ramp.steps)]
        self._grace_seconds = max(_GRACE_SECONDS, 2 * ramp.knee.latency_ms / 1000)

    def _due_ns(self, session: Session) -> int:
        return self._timeline.unix_ns(session.clock)

    def _step_of(self, due_ns: int) -> _Step:
        return self._steps[self._ramp.step_at((due_ns - self._timeline.began_unix_ns) / _NS)]

    def request_sent(
        self,
        at_ns: int,  # noqa: ARG002 - what counts is when it was due
        gateway: str,  # noqa: ARG002
        session: Session,
        demand: Demand,  # noqa: ARG002
        message: bytes,
    ) -> None:
        """Count it, unless it is sent again."""
        if not message[_FLAGS] & FLAG_RETRANSMIT:
            self._step_of(self._due_ns(session)).requests += 1

    def answer_received(
        self,
        at_ns: int,
        gateway: str,  # noqa: ARG002
        session: Session,
        demand: Demand,  # noqa: ARG002
        answer: CreditControlAnswer,
        message: bytes,  # noqa: ARG002
        latency_us: int,  # noqa: ARG002
    ) -> None:
        """Count it and its latency, unless the server was too busy."""
        if answer.result_code not in TRANSIENT:
            due_ns = self._due_ns(session)
            step = self._step_of(due_ns)
            step.answered += 1
            step.latencies.record(max(at_ns - due_ns, 0) // 1000)

    def is_full(self, real: float) -> bool:
        """Whether a step that is over at so many real seconds was too much."""
        over = self._over(real - self._grace_seconds)
        return any(self._too_much(step) for step in self._steps[:over])

    def result(self, real: float) -> Ramp:
        """The steps that were over at so many real seconds, up to the first that was too much."""
        shown: list[RampStep] = []
        knee: float | None = None
        for number in range(self._over(real)):
            step, rate = self._steps[number], self._ramp.rate_of(number)
            full = self._too_much(step)
            shown.append(self._shown(step, rate, full))
            if full:
                knee = self._ramp.rate_of(number - 1) if number else 0.0
                break
        return Ramp(shown, knee)

    def _over(self, real: float) -> int:
        # The last step ends with the run, a moment before or after its time.
        return min(int((real + 1e-3) / self._ramp.step_seconds), self._ramp.steps)

    def _too_much(self, step: _Step) -> bool:
        if not step.requests:
            return False
        knee = self._ramp.knee
        lost = step.answered < knee.answered * step.requests
        return lost or step.percentile(knee.percentile) > knee.latency_ms

    def _shown(self, step: _Step, rate: float, full: bool) -> RampStep:
        return RampStep(
            sessions_per_second=round(rate, 3),
            requests=step.requests,
            answers=step.answered,
            answers_per_second=round(step.answered / self._ramp.step_seconds, 1),
            p50_ms=step.percentile(50),
            p99_ms=step.percentile(99),
            full=full,
            histogram=step.encoded(),
        )
