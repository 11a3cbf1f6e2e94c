"""What tshark makes of a capture: the fields of each Diameter message, and its complaints."""

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

TIMEOUT_SECONDS = 120.0
FAILED_AVP = "diameter.Failed-AVP"
SHOWN_AVP = re.compile(r"AVP: ([\w-]+)\(")
"""How an AVP is shown, also one that has no field of its own while it is empty."""
WARNING = 0x600000
"""Severity from which on an expert information is a complaint; below are notes and chat."""


class Complaint(NamedTuple):
    """Something tshark does not like."""

    text: str
    inside: frozenset[str]
    """The AVPs that it is about or that are around it, as `diameter.Failed-AVP`."""

    @property
    def inside_failed_avp(self) -> bool:
        """Whether it is about an AVP that an answer quotes, not one that it says."""
        return FAILED_AVP in self.inside


class Frame(NamedTuple):
    """One Diameter message as tshark shows it."""

    fields: dict[str, list[str]]
    """What is shown for a field, by its name, for each time it occurs."""
    complaints: list[Complaint]


def dissect(
    tshark: Path, capture: Path, port: int, display_filter: str = "diameter"
) -> dict[int, Frame]:
    """Return the frames that the filter selects and tshark sees Diameter in, by frame number."""
    shown = _run(tshark, capture, port, "-Y", display_filter, "-T", "pdml")
    frames: dict[int, Frame] = {}
    for packet in ET.fromstring(shown).iter("packet"):
        frame = Frame({}, [])
        for part in packet:
            _collect(part, frame, frozenset())
        frames[int(frame.fields["num"][0])] = frame
    return frames


def frame_numbers(tshark: Path, capture: Path, port: int, display_filter: str) -> list[int]:
    """Return the numbers of the frames that a filter selects."""
    fields = ("-T", "fields", "-e", "frame.number")
    return [int(one) for one in _run(tshark, capture, port, "-Y", display_filter, *fields).split()]


def _run(tshark: Path, capture: Path, port: int, *options: str) -> bytes:
    # The preferences of whoever runs the tests must not decide what is seen.
    environment = {**os.environ, "HOME": str(capture.parent), "XDG_CONFIG_HOME": ""}
    environment["WIRESHARK_CONFIG_DIR"] = str(capture.parent)
    decode = ["-d", f"tcp.port=={port},diameter"]
    for layer in ("ip", "tcp"):
        decode += ["-o", f"{layer}.check_checksum:TRUE"]
    done = subprocess.run(
        [str(tshark), "-n", "-r", str(capture), *decode, *options],
        env=environment,
        capture_output=True,
        check=True,
        timeout=TIMEOUT_SECONDS,
    )
    return done.stdout


def _collect(node: ET.Element, frame: Frame, inside: frozenset[str]) -> None:
    name, text = node.get("name", ""), node.get("showname", "")
    frame.fields.setdefault(name, []).append(node.get("show", ""))
    if name == "_ws.malformed" or (name == "_ws.expert" and _severity(node) >= WARNING):
        frame.complaints.append(Complaint(text or name, inside))
    avp = SHOWN_AVP.match(text)
    names = {name, f"diameter.{avp[1]}"} if avp else {name}
    for child in node:
        _collect(child, frame, inside | names)


def _severity(node: ET.Element) -> int:
    severities = [
        int(field.get("show", "0"), 0)
        for field in node
        if field.get("name") == "_ws.expert.severity"
    ]
    return max(severities, default=WARNING)
