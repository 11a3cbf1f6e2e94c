"""HDR histograms as texts: how reports keep them, and how those of several runs become one.

Called by `simulators.load.joining` and `simulators.verdicts`.
"""

from collections.abc import Iterable

from hdrh.histogram import HdrHistogram

from simulators.reports.report import Latency, empty_histogram, summarise_histogram

NO_LATENCY = Latency(0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""Of nothing."""


def encoded(histogram: HdrHistogram) -> str:
    """As `LatencyBins.encoded`."""
    text: bytes = histogram.encode()
    return text.decode("ascii")


def decoded(text: str) -> HdrHistogram:
    """The histogram of a text; what its library raises when that is none."""
    return HdrHistogram.decode(text.encode("ascii"))


def added(histograms: Iterable[HdrHistogram]) -> HdrHistogram:
    """All of them as one; nothing is lost."""
    together = empty_histogram()
    for one in histograms:
        together.add(one)
    return together


def added_texts(texts: Iterable[str]) -> str:
    """The same of texts, of which empty ones are of nothing; empty of nothing."""
    told = [text for text in texts if text]
    return encoded(added(map(decoded, told))) if told else ""


def summary(histogram: HdrHistogram) -> Latency:
    """Its percentiles; zeros of nothing."""
    return summarise_histogram(histogram) if histogram.get_total_count() else NO_LATENCY
