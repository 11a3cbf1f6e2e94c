"""Everything that black-box clients exchange with servers, and what tshark makes of all of it.

A pytest plugin. While a black-box test runs, every connection of a ``DiameterClient`` is recorded,
message by message. Each test process writes one capture; when all tests are over, the process that
handed them out shows the captures to tshark. The run fails where it finds a message of a server
malformed or doubtful, except for ``ACCEPTED``.
"""

import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.ci import running_in_ci
from tests.support.pcap import MAX_SEGMENT, Capture
from tests.support.tools import find_program
from tests.support.tshark import Complaint, Frame, dissect, frame_numbers

SERVER_PORT = 3868
"""Of every server in a capture, whichever port it really had."""
_DIRECTORY = pytest.StashKey[Path]()


def _about(*avps: str) -> Callable[[Complaint], bool]:
    names = {f"diameter.{avp}" for avp in avps}
    return lambda complaint: bool(complaint.inside & names)


def _newer_than_tshark(complaint: Complaint) -> bool:
    return any(f"Unknown AVP {code} " in complaint.text for code in range(653, 670))


def _no_triggers(complaint: Complaint) -> bool:
    return "diameter.Trigger" in complaint.inside and "Data is empty" in complaint.text


ACCEPTED: dict[str, Callable[[Complaint], bool]] = {
    "Failed-AVP quotes what a client left out, or got wrong": _about("Failed-AVP"),
    "these are repeated octet by octet, whatever was put into them": _about(
        "Proxy-Info", "Session-Id"
    ),
    "an empty Trigger turns all triggers off (TS 32.299 7.2.235)": _no_triggers,
    "tshark 4.0 does not know the AVPs that RFC 8506 added to RFC 4006": _newer_than_tshark,
}
"""What tshark may complain about and why it is no fault of the server."""


class Recording:
    """What went over the connections of one process."""

    def __init__(self) -> None:
        self.capture = Capture(SERVER_PORT)
        self._lock = threading.Lock()

    def connection(self) -> "Tape":
        """Return what a new connection is recorded on."""
        with self._lock:
            return Tape(self, self.capture.connection())

    def add(self, connection: int, data: bytes, *, from_client: bool) -> None:
        """Add octets that went over a connection."""
        with self._lock:
            for start in range(0, len(data), MAX_SEGMENT):
                piece = data[start : start + MAX_SEGMENT]
                self.capture.add(connection, piece, from_client=from_client)


class Tape(NamedTuple):
    """One connection in a recording."""

    recording: Recording
    number: int

    def sent(self, data: bytes) -> None:
        """The client sends these octets, whatever they are."""
        self.recording.add(self.number, data, from_client=True)

    def received(self, message: bytes) -> None:
        """The client has received this message."""
        self.recording.add(self.number, message, from_client=False)


_current: Recording | None = None


def tape() -> Tape | None:
    """Return what a connection that begins now is recorded on; None when nothing is recorded."""
    return _current.connection() if _current else None


# --------------------------------------------------------------------------------- for the tests


@pytest.fixture(scope="session")
def recording(request: pytest.FixtureRequest) -> Iterator[Recording]:
    """The recording of this process; its capture is written when the tests are over."""
    made = Recording()
    yield made
    directory = request.config.stash[_DIRECTORY]
    worker = getattr(request.config, "workerinput", {}).get("workerid", "main")
    made.capture.write(directory / f"{worker}.pcap")


@pytest.fixture
def recorded(recording: Recording) -> Iterator[None]:
    """Connections that begin during this test are recorded."""
    global _current  # noqa: PLW0603 -- clients are made in many places
    _current = recording
    yield
    _current = None


# --------------------------------------------------------------------------------- after the tests


class Doubt(NamedTuple):
    """A message of a server that tshark complains about."""

    frame: Frame
    complaints: list[Complaint]

    def __str__(self) -> str:
        said = "; ".join(one.text for one in self.complaints)
        return f"{said}\n    {self.frame.fields['tcp.payload'][0].replace(':', '')}"


def doubts(tshark: Path, capture: Path) -> list[Doubt]:
    """Return the messages of the server that tshark objects to for no reason in ``ACCEPTED``."""
    suspicious = "(_ws.malformed || _ws.expert.severity >= 0x00600000)"
    frames = dissect(tshark, capture, SERVER_PORT, f"tcp.srcport == {SERVER_PORT} && {suspicious}")
    found = []
    for frame in frames.values():
        left = [one for one in frame.complaints if not any(why(one) for why in ACCEPTED.values())]
        if left:
            found.append(Doubt(frame, left))
    return found


class _Verdict(NamedTuple):
    """What tshark said of all captures."""

    messages: int
    doubts: list[Doubt]
    skipped: str = ""


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a test process where to put its capture."""
    node.workerinput["captures"] = str(node.config.stash[_DIRECTORY])


def pytest_configure(config: pytest.Config) -> None:
    given = getattr(config, "workerinput", {}).get("captures")
    if given:
        config.stash[_DIRECTORY] = Path(given)
    else:
        directory = tempfile.TemporaryDirectory(prefix="captures-")
        config.add_cleanup(directory.cleanup)
        config.stash[_DIRECTORY] = Path(directory.name)


_VERDICT = pytest.StashKey[_Verdict]()


@pytest.hookimpl(trylast=True)  # the other processes have ended by then
def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    captures = sorted(config.stash[_DIRECTORY].glob("*.pcap"))
    if hasattr(config, "workerinput") or not captures:
        return
    tshark = find_program("tshark")
    if tshark is None:
        verdict = _Verdict(0, [], "tshark is not installed; to check them: apt install tshark")
    else:
        answered = f"diameter && tcp.srcport == {SERVER_PORT}"
        messages = sum(len(frame_numbers(tshark, one, SERVER_PORT, answered)) for one in captures)
        verdict = _Verdict(messages, [doubt for one in captures for doubt in doubts(tshark, one)])
    config.stash[_VERDICT] = verdict
    if verdict.doubts or (verdict.skipped and running_in_ci()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    verdict = config.stash.get(_VERDICT, None)
    if verdict is None:
        return
    if verdict.skipped:
        terminalreporter.write_line(f"black-box messages were not looked at: {verdict.skipped}")
        return
    said = f"{verdict.messages} messages of the server in the black-box tests"
    if verdict.doubts:
        terminalreporter.section("what tshark finds wrong", red=True)
        for doubt in verdict.doubts:
            terminalreporter.write_line(str(doubt))
    terminalreporter.write_line(f"tshark: {said}, {len(verdict.doubts)} of them doubtful")
