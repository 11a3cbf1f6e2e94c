"""What tshark makes of a capture: the fields of each Diameter message, and its complaints."""

import os
import subprocess
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

TIMEOUT_SECONDS = 120.0
FAILED_AVP, PROXY_INFO = "diameter.Failed-AVP", "diameter.Proxy-Info"
TRIGGER = "AVP: Trigger(1264)"
"""How an AVP is shown that has no field of its own while it is empty."""
WARNING = 0x600000
"""Severity from which on an expert information is a complaint; below are notes and chat."""


class Complaint(NamedTuple):
    """Something tshark does not like."""

    text: str
    inside_failed_avp: bool
    """It is about an AVP that an answer quotes, not one that it says."""
    inside_proxy_info: bool = False
    """It is about octets that an answer has to repeat as they came."""
    inside_trigger: bool = False
    """It is about a Trigger, which may be empty (TS 32.299 7.2.235)."""


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
    name = node.get("name", "")
    frame.fields.setdefault(name, []).append(node.get("show", ""))
    if name == "_ws.malformed" or (name == "_ws.expert" and _severity(node) >= WARNING):
        text = node.get("showname", name)
        frame.complaints.append(
            Complaint(text, FAILED_AVP in inside, PROXY_INFO in inside, TRIGGER in inside)
        )
    names = {name, TRIGGER} if node.get("showname", "").startswith(TRIGGER) else {name}
    for child in node:
        _collect(child, frame, inside | names)


def _severity(node: ET.Element) -> int:
    severities = [
        int(field.get("show", "0"), 0)
        for field in node
        if field.get("name") == "_ws.expert.severity"
    ]
    return max(severities, default=WARNING)
