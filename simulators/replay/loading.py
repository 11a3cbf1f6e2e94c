"""A capture as exchanges: which reader is needed, what is left out, and what to say if nothing is.

Called by `preparing` with the file that a person named.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from simulators.replay.capture_file import read_packets
from simulators.replay.exchanges import Collector, Exchange, Full
from simulators.replay.findings import Findings, UnusableError
from simulators.replay.fragments import Fragments
from simulators.replay.packets import Chunk, Segment, UnknownLinkError, parts_of
from simulators.replay.tshark import read_segments


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a capture is wanted: a server's port (0 = any), and the first so many requests."""

    port: int = 0
    first: int = 0
    by_tshark: bool = False


@dataclass(slots=True)
class Loaded:
    """The exchanges of a capture and what it held besides."""

    exchanges: list[Exchange]
    packets: int
    messages: int


def load_capture(path: Path, findings: Findings, selection: Selection | None = None) -> Loaded:
    """The credit control in a capture.

    Raises UnusableError when there is none, OSError when the file cannot be read. Whatever is wrong
    but leaves something to use is among the findings.
    """
    selection = selection or Selection()
    counts: Counter[str] = Counter()
    collector = Collector(findings)
    try:
        for part in _parts(path, findings, counts, selection):
            if selection.port and selection.port not in (part.source[1], part.target[1]):
                continue
            collector.add(part)
    except Full:
        findings.problem(
            f"{path} holds more than is remembered: what comes after its first"
            f" {collector.messages} messages is left out; split it with editcap -c"
        )
    exchanges = collector.finish()
    if not exchanges:
        raise UnusableError(_nothing(path, counts, collector, findings))
    for name, count in counts.items():
        if name != "packets":
            findings.notes[name] += count
    if selection.first:
        exchanges = exchanges[: selection.first]
    return Loaded(exchanges, counts["packets"], collector.messages)


def _parts(
    path: Path, findings: Findings, counts: Counter[str], selection: Selection
) -> Iterator[Segment | Chunk]:
    if selection.by_tshark:
        yield from _by_tshark(path, findings, counts, "tshark was asked for")
        return
    packets = read_packets(path, findings)
    first = next(packets, None)
    if first is None:
        return
    try:
        parts_of(first, Counter())
    except UnknownLinkError as error:
        why = f"the packets of {path} are of {error}, which is not read here"
        yield from _by_tshark(path, findings, counts, why)
        return
    fragments = Fragments()
    for packet in chain([first], packets):
        counts["packets"] += 1
        try:
            yield from parts_of(packet, counts, fragments)
        except UnknownLinkError as error:
            counts[f"packets of {error}, which is not read beside others"] += 1
    fragments.finish(counts)


def _by_tshark(path: Path, findings: Findings, counts: Counter[str], why: str) -> Iterator[Segment]:
    for segment in read_segments(path, findings, why):
        counts["packets"] += 1
        yield segment


def _nothing(path: Path, counts: Counter[str], collector: Collector, findings: Findings) -> str:
    """Why there is nothing to replay, with all that may help to find out."""
    seen = [f"{counts['packets']} packets", f"{collector.connections} connections"]
    seen += [f"{count} {name}" for name, count in counts.items() if name != "packets"]
    if collector.encrypted:
        seen.append(f"{collector.encrypted} connections that speak TLS, which nobody can read")
    seen.append(f"{collector.messages} Diameter messages")
    text = f"{path} holds no credit control to replay: {', '.join(seen)}"
    return "; ".join([text, *findings.problems])
