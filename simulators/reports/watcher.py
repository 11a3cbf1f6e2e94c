"""The observer that fills time series, errors and balances of a run's `Measurements`.

`simulation` has one in every run; prepared load, which decodes nothing, fills its series itself.
"""

from protocol.codec import FLAG_RETRANSMIT
from protocol.credit_control import CreditControlAnswer
from simulators.reports.errors import code_in_words
from simulators.reports.report import TYPE_NAMES, Measurements
from simulators.traffic.observer import Observer
from simulators.traffic.subscriber import SUCCESS, Demand, Session
from simulators.traffic.timeline import Timeline

_NS = 1_000_000_000
_FLAGS = 4


class Watcher(Observer):
    """Times are counted from when the traffic began."""

    def __init__(self, measured: Measurements, timeline: Timeline) -> None:
        self._measured = measured
        self._timeline = timeline
        self._asked: dict[str, bytes] = {}

    def _seconds(self, at_ns: int) -> float:
        return (at_ns - self._timeline.began_unix_ns) / _NS

    def request_sent(
        self,
        at_ns: int,
        gateway: str,  # noqa: ARG002
        session: Session,
        demand: Demand,  # noqa: ARG002
        message: bytes,
    ) -> None:
        """Count it, unless it is sent again; keep it until its answer."""
        if not message[_FLAGS] & FLAG_RETRANSMIT:
            self._measured.series.at(self._seconds(at_ns)).sent += 1
        self._asked[session.session_id] = message

    def answer_received(
        self,
        at_ns: int,
        gateway: str,  # noqa: ARG002
        session: Session,
        demand: Demand,
        answer: CreditControlAnswer,
        message: bytes,
        latency_us: int,
    ) -> None:
        """Count it; keep an example of what is not success."""
        seconds, code = self._seconds(at_ns), answer.result_code or 0
        self._measured.series.at(seconds).record(latency_us, code)
        request = self._asked.pop(session.session_id, b"")
        kind = TYPE_NAMES.get(demand.request_type, "request")
        if code not in SUCCESS:
            self._measured.errors.note(f"{kind}: {code_in_words(code)}", request, message)
        for part in answer.services:
            if part.result_code is not None and part.result_code not in SUCCESS:
                words = code_in_words(part.result_code)
                self._measured.errors.note(f"{kind}: a service {words}", request, message)
        if answer.remaining_balance is not None and session.identities:
            subscriber = session.identities[0][1]
            self._measured.balances.note(seconds, subscriber, answer.remaining_balance)

    def unanswered(
        self,
        at_ns: int,  # noqa: ARG002
        gateway: str,  # noqa: ARG002
        session: Session,
        demand: Demand,
        message: bytes,
    ) -> None:
        """Count it with the request that was given up."""
        self._asked.pop(session.session_id, None)
        kind = TYPE_NAMES.get(demand.request_type, "request")
        self._measured.errors.note(f"{kind}: no answer", message, b"")

    def fault(self, at_ns: int, kind: str, detail: str) -> None:
        """Mark it."""
        self._measured.series.fault(self._seconds(at_ns), kind, detail)
