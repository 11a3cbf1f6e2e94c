"""What tshark makes of a capture: the fields of each Diameter message, and its complaints."""

import os
import subprocess
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

TIMEOUT_SECONDS = 120.0
FAILED_AVP = "diameter.Failed-AVP"
WARNING = 0x600000
"""Severity from which on an expert information is a complaint; below are notes and chat."""


class Complaint(NamedTuple):
    """Something tshark does not like."""

    text: str
    inside_failed_avp: bool
    """It is about an AVP that an answer quotes, not one that it says."""


class Frame(NamedTuple):
    """One Diameter message as tshark shows it."""

    fields: dict[str, list[str]]
    """What is shown for a field, by its name, for each time it occurs."""
    complaints: list[Complaint]


def dissect(tshark: Path, capture: Path, port: int) -> dict[int, Frame]:
    """Return the frames that tshark sees Diameter in, by frame number."""
    # The preferences of whoever runs the tests must not decide what is seen.
    environment = {**os.environ, "HOME": str(capture.parent), "XDG_CONFIG_HOME": ""}
    environment["WIRESHARK_CONFIG_DIR"] = str(capture.parent)
    decode = ["-d", f"tcp.port=={port},diameter"]
    for layer in ("ip", "tcp"):
        decode += ["-o", f"{layer}.check_checksum:TRUE"]
    done = subprocess.run(
        [str(tshark), "-n", "-r", str(capture), *decode, "-Y", "diameter", "-T", "pdml"],
        env=environment,
        capture_output=True,
        check=True,
        timeout=TIMEOUT_SECONDS,
    )
    frames: dict[int, Frame] = {}
    for packet in ET.fromstring(done.stdout).iter("packet"):
        frame = Frame({}, [])
        for part in packet:
            _collect(part, frame, inside_failed_avp=False)
        frames[int(frame.fields["num"][0])] = frame
    return frames


def _collect(node: ET.Element, frame: Frame, *, inside_failed_avp: bool) -> None:
    name = node.get("name", "")
    frame.fields.setdefault(name, []).append(node.get("show", ""))
    text = node.get("showname", name)
    if name == "_ws.malformed":
        frame.complaints.append(Complaint(text, inside_failed_avp))
    if name == "_ws.expert":
        severities = [
            int(field.get("show", "0"), 0)
            for field in node
            if field.get("name") == "_ws.expert.severity"
        ]
        if max(severities, default=WARNING) >= WARNING:
            frame.complaints.append(Complaint(text, inside_failed_avp))
    for child in node:
        _collect(child, frame, inside_failed_avp=inside_failed_avp or name == FAILED_AVP)
