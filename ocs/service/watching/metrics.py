"""What the server counts, as plain integers that Prometheus reads when it asks.

``batcher`` reports once per batch, ``diameter`` and ``supervisor`` as things happen, all on the
reactor's thread. Labels come from fixed sets only, so the number of series is bounded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client.core import (
    CollectorRegistry,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from ocs.charging.accounts.notices import KINDS
from ocs.charging.model.messages import ChargingReply, ChargingRequest, RequestKind
from ocs.service.asking.dispatcher import COMMAND_LABELS, EVENTS
from ocs.service.wire.results import OUTCOME_LABELS

_KIND_LABELS: dict[int, str] = {
    RequestKind.INITIAL: "initial",
    RequestKind.UPDATE: "update",
    RequestKind.TERMINATION: "termination",
    RequestKind.EVENT: "event",
}
LATENCY_BOUNDS_NS = tuple(
    int(seconds * 1e9)
    for seconds in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
)
STORE_BOUNDS_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
REFUSALS = ("queue-full", "too-old", "late", "stopping")
ERRORS = ("unreadable", "routing", "command", "busy", "silent")


class Histogram:
    """Counts per bucket and a sum; ``bounds`` are upper bounds, inclusive."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self, scale: float = 1.0) -> list[tuple[str, float]]:
        """Return cumulative (upper bound, count) pairs as Prometheus wants them."""
        running = 0
        found = []
        for bound, count in zip(self.bounds, self.counts, strict=False):
            running += count
            found.append((f"{bound / scale:g}", float(running)))
        return [*found, ("+Inf", float(running + self.counts[-1]))]


class Metrics(Collector):
    """Every figure of one server."""

    def __init__(self) -> None:
        self.decided: dict[tuple[int, int], int] = {}
        self.refusals = dict.fromkeys(REFUSALS, 0)
        self.errors = dict.fromkeys(ERRORS, 0)
        self.retransmissions = 0
        self.sessions_expired = 0
        self.sessions_lost = 0
        self.buckets_expired = 0
        self.duties_done = 0
        self.asked = {(one, event): 0 for one in COMMAND_LABELS for event in EVENTS}
        self.latency = {kind: Histogram(LATENCY_BOUNDS_NS) for kind in _KIND_LABELS}
        self.store_seconds = Histogram(STORE_BOUNDS_SECONDS)
        self.batch_size = Histogram(BATCH_BOUNDS)
        self.peer_events: Callable[[], Iterable[tuple[str, int]]] = tuple
        self.request_reads: Callable[[], Iterable[tuple[str, int]]] = tuple
        self.parked: Callable[[], Iterable[tuple[str, int]]] = tuple
        self.notified: Callable[[], Iterable[tuple[str, int]]] = tuple
        self.notified_by_timers = dict.fromkeys(KINDS, 0)
        self.clients: Callable[[], Iterable[tuple[str, int]]] = tuple
        self.lines_left_out: Callable[[], int] = int
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Add a figure that is read when it is asked for."""
        self.gauges[name] = (help_text, read)

    def batch_done(
        self,
        requests: Sequence[ChargingRequest],
        replies: Sequence[ChargingReply],
        seconds: float,
        now_ns: int,
    ) -> None:
        """Count a decided batch; see batcher.BatchObserver."""
        decided = self.decided
        latency = self.latency
        for request, reply in zip(requests, replies, strict=True):
            key = (request.kind, reply.outcome)
            decided[key] = decided.get(key, 0) + 1
            arrived_ns = request.deadline_ns - request.profile.answer_within_ns
            latency[request.kind].observe(now_ns - arrived_ns)
            if request.retransmitted:
                self.retransmissions += 1
        self.store_seconds.observe(seconds)
        self.batch_size.observe(len(requests))

    def refused(self, reason: str, count: int) -> None:
        """Count requests answered undecided; see batcher.BatchObserver."""
        self.refusals[reason] += count

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families; called by the registry."""
        yield from self._counters()
        yield from self._gauges()
        yield from self._histograms()

    def _counters(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "ocs_requests", "Decided requests by kind and outcome.", labels=["kind", "outcome"]
        )
        for (kind, outcome), count in sorted(self.decided.items()):
            requests.add_metric(
                [_KIND_LABELS[kind], OUTCOME_LABELS[outcome]], float(count)
            )
        yield requests
        yield _counter("ocs_refused", "Requests answered undecided.", "reason", self.refusals)
        yield _counter("ocs_diameter_errors", "Requests not charged.", "error", self.errors)
        yield _counter(
            "ocs_peer_faults", "Faults on peer connections.", "fault", dict(self.peer_events())
        )
        yield _counter(
            "ocs_request_reads",
            "Readings of credit-control requests: those of a known layout are faster.",
            "layout",
            dict(self.request_reads()),
        )
        yield _counter(
            "ocs_parked_usage", "Reports of usage left to a person.", "kind", dict(self.parked())
        )
        told = self.notified_by_timers | {
            kind: count + self.notified_by_timers[kind] for kind, count in self.notified()
        }
        yield _counter("ocs_notifications", "Notifications for customers.", "kind", told)
        for name, text, value in (
            ("ocs_retransmissions", "Requests with the T flag.", self.retransmissions),
            ("ocs_sessions_expired", "Sessions ended by Tcc.", self.sessions_expired),
            ("ocs_sessions_lost", "Sessions of restarted clients.", self.sessions_lost),
            ("ocs_buckets_expired", "Buckets emptied by expiry.", self.buckets_expired),
            ("ocs_duties_done", "Renewals and other things accounts waited for.",
             self.duties_done),
            ("ocs_log_lines_left_out", "Lines beyond the log's limit.", self.lines_left_out()),
        ):
            yield CounterMetricFamily(name, text, value=float(value))
        asked = CounterMetricFamily(
            "ocs_server_requests",
            "Requests to clients by command and what became of them.",
            labels=["command", "event"],
        )
        for labels, count in self.asked.items():
            asked.add_metric([*labels], float(count))
        yield asked

    def _gauges(self) -> Iterator[Metric]:
        clients = GaugeMetricFamily(
            "ocs_clients", "Clients on open connections by their profile.", labels=["profile"]
        )
        for profile, count in sorted(self.clients()):
            clients.add_metric([profile], float(count))
        yield clients
        for name, (text, read) in self.gauges.items():
            yield GaugeMetricFamily(name, text, value=float(read()))

    def _histograms(self) -> Iterator[Metric]:
        latency = HistogramMetricFamily(
            "ocs_request_seconds", "From receipt to answer.", labels=["kind"]
        )
        for request_kind, histogram in self.latency.items():
            latency.add_metric(
                [_KIND_LABELS[request_kind]], histogram.buckets(1e9), histogram.total / 1e9
            )
        yield latency
        yield HistogramMetricFamily(
            "ocs_store_seconds",
            "Deciding one batch, commit included.",
            buckets=self.store_seconds.buckets(),
            sum_value=self.store_seconds.total,
        )
        yield HistogramMetricFamily(
            "ocs_batch_requests",
            "Requests decided in one transaction.",
            buckets=self.batch_size.buckets(),
            sum_value=self.batch_size.total,
        )


def _counter(name: str, text: str, label: str, values: dict[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in values.items():
        family.add_metric([value], float(count))
    return family
