"""A run over time: what was sent, answered and how fast in each second, in bounded memory.

`Measurements` keeps a `TimeSeries`; those who carry traffic fill it, by way of `watcher` or
themselves. When a run has more seconds than there may be points, each two become one. Latencies
are kept in bins of three per cent, so that series of several processes can be added.
"""

from collections import Counter
from dataclasses import dataclass, field

POINTS_MAX = 600
"""Points of a series; a longer run has wider ones."""
FAULTS_MAX = 300
"""Faults that are marked; the others are counted."""
_FINE_BITS = 6


def bin_of(latency_us: int) -> int:
    """The lower bound of the bin that a latency falls into."""
    shift = latency_us.bit_length() - _FINE_BITS
    return latency_us if shift <= 0 else latency_us >> shift << shift


def percentile(bins: dict[int, int], wanted: float) -> float:
    """A percentile of counts by bins, in milliseconds; 0 of nothing."""
    rank = sum(bins.values()) * wanted / 100
    seen = 0
    for low in sorted(bins):
        seen += bins[low]
        if seen >= rank:
            width = 1 << max(low.bit_length() - _FINE_BITS, 0)
            return (low + width / 2) / 1000
    return 0.0


@dataclass(slots=True)
class Point:
    """What happened in one stretch of time."""

    sent: int = 0
    answered: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    bins: dict[int, int] = field(default_factory=dict)
    """Answers by latency: lower bound in microseconds, count."""

    def record(self, latency_us: int, code: int) -> None:
        """Count an answer."""
        self.answered += 1
        self.codes[code] += 1
        low = bin_of(latency_us)
        self.bins[low] = self.bins.get(low, 0) + 1

    def add(self, other: "Point") -> None:
        """Add what another one counted."""
        self.sent += other.sent
        self.answered += other.answered
        self.codes.update(other.codes)
        for low, count in other.bins.items():
            self.bins[low] = self.bins.get(low, 0) + count


@dataclass(frozen=True, slots=True)
class FaultMark:
    """Faults of one kind that came at about the same time; `detail` is of the first."""

    seconds: float
    kind: str
    detail: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Series:
    """A time series as reports keep it: columns of equally wide points.

    `bins` has, for each point, "microseconds:answers" separated by spaces.
    """

    seconds_per_point: float
    sent: list[int]
    answered: list[int]
    codes: dict[str, list[int]]
    p50_ms: list[float]
    p99_ms: list[float]
    max_ms: list[float]
    bins: list[str]
    faults: list[FaultMark]
    faults_by_kind: dict[str, int]


class TimeSeries:
    """Counts by seconds since the traffic began."""

    def __init__(self) -> None:
        self.width_seconds = 1.0
        self.points: list[Point] = []
        self.faults_by_kind: Counter[str] = Counter()
        self._faults: dict[tuple[int, str], FaultMark] = {}

    def at(self, seconds: float) -> Point:
        """The point of an instant."""
        index = int(max(seconds, 0.0) / self.width_seconds)
        while index >= POINTS_MAX:
            self._halve()
            index = int(seconds / self.width_seconds)
        while len(self.points) <= index:
            self.points.append(Point())
        return self.points[index]

    def fault(self, seconds: float, kind: str, detail: str, count: int = 1) -> None:
        """Mark something that went wrong."""
        self.faults_by_kind[kind] += count
        key = (int(seconds), kind)
        mark = self._faults.get(key)
        if mark is not None:
            self._faults[key] = FaultMark(mark.seconds, kind, mark.detail, mark.count + count)
        elif len(self._faults) < FAULTS_MAX:
            self._faults[key] = FaultMark(round(seconds, 3), kind, detail, count)

    def _halve(self) -> None:
        pairs = zip(self.points[::2], [*self.points[1::2], Point()], strict=False)
        self.points = []
        for first, second in pairs:
            first.add(second)
            self.points.append(first)
        self.width_seconds *= 2

    def add(self, other: Series, later_seconds: float) -> None:
        """Add a series that began so much later than this one."""
        for index, point in enumerate(_points(other)):
            self.at(later_seconds + index * other.seconds_per_point).add(point)
        for mark in other.faults:
            self.fault(later_seconds + mark.seconds, mark.kind, mark.detail, mark.count)
        marked = Counter[str]()
        for mark in other.faults:
            marked[mark.kind] += mark.count
        self.faults_by_kind.update(Counter(other.faults_by_kind) - marked)

    def result(self) -> Series:
        """The columns."""
        points = self.points
        codes = sorted({code for point in points for code in point.codes})
        return Series(
            self.width_seconds,
            [point.sent for point in points],
            [point.answered for point in points],
            {str(code): [point.codes[code] for point in points] for code in codes},
            [round(percentile(point.bins, 50), 3) for point in points],
            [round(percentile(point.bins, 99), 3) for point in points],
            [round(percentile(point.bins, 100), 3) for point in points],
            [" ".join(f"{low}:{n}" for low, n in sorted(point.bins.items())) for point in points],
            sorted(self._faults.values(), key=lambda mark: mark.seconds),
            dict(sorted(self.faults_by_kind.items())),
        )


def _points(series: Series) -> list[Point]:
    points = []
    for index, text in enumerate(series.bins):
        pairs = (pair.split(":") for pair in text.split())
        codes = {int(code): counts[index] for code, counts in series.codes.items()}
        points.append(
            Point(
                series.sent[index],
                series.answered[index],
                Counter({code: count for code, count in codes.items() if count}),
                {int(low): int(count) for low, count in pairs},
            )
        )
    return points
