"""What must hold whatever octets arrive: one function per target, AssertionError where it does not.

``readers`` takes one message; ``connection`` takes an octet of options and then what a client sends
to a whole server over a store in memory. Both take any octets at all.
"""

import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from structlog.testing import capture_logs

from ocs.charging.engine import DecisionPolicy
from ocs.store.interface import PeerEntry
from protocol import base
from protocol.answers import request_echo
from protocol.codec import (
    DEFAULT_LIMITS,
    HEADER_SIZE,
    Header,
    MessageBuffer,
    iter_avps,
    read_header,
)
from protocol.credit_control import SubscriptionId
from protocol.credit_control_reader import partial_ccr_fields, read_cca, read_ccr
from protocol.describe import describe
from protocol.errors import RemoteProtocolError
from protocol.layout_cache import CcrReader, InformationReader
from protocol.members import LENIENT, STRICT
from protocol.routing import LocalIdentity, route_check
from protocol.service_information import read_service_information
from protocol.session_commands import read_session_answer, read_session_request
from tests.support import asking
from tests.support.blackbox_client import E_FORM_ALLOWED
from tests.support.charging import Scenario
from tests.support.fuzz import mutations, seeds
from tests.support.service import HOST, REALM, Harness, HeldWorker, Wire, add_account, ccr, mscc

SECONDS_MAX = 2.0
"""For one input; a hundred times what the slowest honest one takes."""
MEMORY_BASE, MEMORY_PER_OCTET = 8 << 20, 100
P1, P2, STRANGER, GOOD = "pgw1.net.example", "dra1.net.example", "x.net.example", "pgw2.net.example"
PEERS = (
    PeerEntry(P1),
    PeerEntry("strict.net.example", profile="strict"),
    PeerEntry("smf.net.example", profile="open5gs"),
    PeerEntry(P2, relay=True),
    PeerEntry(GOOD),
)
"""The first four are those that the options choose from."""
Target = Callable[[bytes], None]


class TooSlowError(AssertionError):
    """An input took more of the processor than it may."""


@contextmanager
def bounded(octets: int, *, memory: bool = False) -> Iterator[None]:
    """Assert that what is inside takes little time and, when asked to look, little memory."""
    if memory:
        tracemalloc.start()
    began = time.thread_time()  # of the processor: how busy the machine is does not matter
    try:
        yield
        seconds = time.thread_time() - began
        if memory:
            peak = tracemalloc.get_traced_memory()[1]
            limit = MEMORY_BASE + MEMORY_PER_OCTET * octets
            assert peak <= limit, f"{octets} octets took {peak} octets of memory"
        elif seconds > SECONDS_MAX:
            raise TooSlowError(f"{octets} octets took {seconds:.1f} s")
    finally:
        if memory:
            tracemalloc.stop()


# ------------------------------------------------------------------------------------- readers

_IDENTITY = LocalIdentity(HOST, (REALM,), {4: frozenset({272, 275})})
_COMMANDS: tuple[Any, ...] = (
    base.CapabilitiesExchangeRequest,
    base.CapabilitiesExchangeAnswer,
    base.DeviceWatchdogRequest,
    base.DeviceWatchdogAnswer,
    base.DisconnectPeerRequest,
    base.DisconnectPeerAnswer,
)


class _Trained:
    """Readers that know the layouts of the seeds."""

    def __init__(self) -> None:
        self.requests, self.information = CcrReader(), InformationReader()
        for message in seeds.messages().values():
            for _ in range(4):
                _outcome(self._read, message)

    def _read(self, message: bytes) -> None:
        request = self.requests.read(message, read_header(message))
        if request.service_information is not None:
            self.information.read(request.service_information)


_trained: list[_Trained] = []


def readers(message: bytes) -> None:
    """Every reader gives a value or raises RemoteProtocolError; the quick ones give the same."""
    if not _trained:
        _trained.append(_Trained())
    _cut_into_messages(message)
    if len(message) < HEADER_SIZE:
        return
    header = read_header(message)
    partial_ccr_fields(message)
    request_echo(message)
    route_check(message, header, _IDENTITY)
    assert describe(message)
    for command in _COMMANDS:
        _outcome(command.read, message)
    for read in (read_cca, read_session_answer):
        _outcome(read, message)
    fresh = CcrReader()
    for leniency in (LENIENT, STRICT):
        _outcome(read_session_request, message, header, leniency)
        walked = _outcome(read_ccr, message, header, leniency)
        for reader in (fresh, fresh, fresh, fresh, _trained[0].requests):
            assert _outcome(reader.read, message, header, leniency) == walked
        if isinstance(walked, tuple) or walked.service_information is None:
            continue
        said = _outcome(read_service_information, walked.service_information, leniency)
        quick = _trained[0].information
        assert _outcome(quick.read, walked.service_information, leniency) == said


def _outcome(read: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a reader gives, or what it refuses with; another exception is a fault."""
    try:
        return read(*arguments)
    except RemoteProtocolError as error:
        fault = error
    for *_, end in iter_avps(fault.failed_avp, 0, len(fault.failed_avp)):
        assert end <= len(fault.failed_avp)
    assert 3000 <= fault.result_code < 6000
    return fault.result_code, fault.message, fault.failed_avp


def _cut_into_messages(stream: bytes) -> None:
    buffer = MessageBuffer()
    buffer.feed(stream)
    with suppress(RemoteProtocolError):
        while (message := buffer.next_message()) is not None:
            assert read_header(message).length == len(message)
    assert buffer.pending_octets <= len(stream)


# ---------------------------------------------------------------------------------- connection

BY_MESSAGE, IN_SHREDS, IN_PIECES = 1, 2, 3
WITHOUT_CER, HELD, TIME_PASSES, ASKED = 0x10, 0x20, 0x40, 0x80


def connection(data: bytes) -> None:
    """Each request is answered once or the connection closes; the money adds up, others go on."""
    options, stream = (data[0], data[1:]) if data else (0, b"")
    worker = HeldWorker() if options & HELD else None
    with capture_logs() as logs:
        harness = Harness(worker, {"peers": PEERS})
        add_account(harness.store, harness.ids, 1002, identities=(("msisdn", "15550002"),))
        good = harness.open(GOOD)
        client = Client(harness, options)
        stream = client.asked(stream)
        client.play(stream)
        client.check(stream)
        _is_served(harness, good)
    errors = [line for line in logs if line["log_level"] in {"error", "critical"}]
    assert not errors, errors
    assert harness.server.metrics.errors["command"] == 0, "answered, but as a fault of ours"
    Books(harness).check("afterwards")


class Client:
    """The client whose octets are fuzzed."""

    def __init__(self, harness: Harness, options: int) -> None:
        self.harness = harness
        self.options = options
        host = PEERS[options >> 2 & 3].origin_host
        self.wire = Wire(harness)
        if not options & WITHOUT_CER:
            said = self.wire.open(host, **self._applications(host))
            assert said.result_code == 2001
        self.received: list[tuple[Header, bytes]] = []

    @staticmethod
    def _applications(host: str) -> dict[str, Any]:
        return {"auth_application_ids": (base.RELAY_APPLICATION,)} if host == P2 else {}

    def asked(self, stream: bytes) -> bytes:
        """Have the server ask the client, and let the answers in the stream be answers to that."""
        if not self.options & ASKED or self.options & (WITHOUT_CER | HELD):
            return stream
        session = "pgw1.net.example;1;asked"
        if self.wire.ccr(ccr(1, 0, mscc(), session=session)).result_code != 2001:
            return stream
        asking.ask(self.harness, session)
        self.harness.server.supervisor.start()
        self.harness.pass_time(1)
        requests = [message for header, message in self.wire.received() if header.application_id]
        if not requests:  # this client would not act on it
            return stream
        return b"".join(
            piece[:12] + requests[0][12:20] + piece[20:]
            if len(piece) >= HEADER_SIZE and not piece[4] & 0x80
            else piece
            for piece in mutations.split(stream)
        )

    def play(self, stream: bytes) -> None:
        """Send the stream in the pieces that the options ask for."""
        for number, piece in enumerate(self._pieces(stream)):
            if self.is_open:
                self.wire.send(piece)
                self.received += self.wire.received()
            # Not so much that the server asks the good client for a sign of life.
            if self.options & TIME_PASSES and not self.options & HELD and number < 5:
                self.harness.pass_time(4)
        while _goes_on(self.harness):
            self.received += self.wire.received()

    def _pieces(self, stream: bytes) -> list[bytes]:
        if self.options & 3 == BY_MESSAGE:
            return mutations.split(stream)
        if self.options & 3 == IN_SHREDS:
            size = max(7, len(stream) // 200)
        else:
            size = 1000 if self.options & 3 == IN_PIECES else max(1, len(stream))
        return [stream[start : start + size] for start in range(0, len(stream), size)]

    @property
    def is_open(self) -> bool:
        """Whether the server still reads this connection."""
        return not self.wire.protocol.connection.wants_close

    def check(self, stream: bytes) -> None:
        """Assert that requests and answers fit, and that it only closed where it may."""
        whole, tail = _whole_messages(stream)
        waiting = Counter(_key(message) for message in whole if message[4] & 0x80)
        # What ends the stream may be answered 5011 or 5015 before the connection is reset.
        last = Counter([_key(tail[:HEADER_SIZE])]) if self._is_lost(tail) else Counter()
        for header, message in self.received:
            if header.flags & 0x80:
                continue  # the server's own: watchdogs
            key = _key(message)
            expected = waiting if waiting[key] else last
            assert expected[key] > 0, f"{header} answers nothing that was asked"
            expected[key] -= 1
            _check_answer(header, message)
        if self._may_close(whole, tail):
            return
        assert self.is_open, "closed without need"
        assert not +waiting, f"not answered: {dict(+waiting)}"
        assert self.wire.protocol.connection.unanswered == 0
        if not tail:
            watchdog = base.DeviceWatchdogRequest(P1, "net.example").write(77, 78)
            header, answer = self.wire.ask(watchdog)
            assert (header.hop_by_hop, header.command_code) == (77, 280)
            assert _result_codes(answer) == [2001]

    @staticmethod
    def _is_lost(tail: bytes) -> bool:
        return len(tail) >= HEADER_SIZE and not _can_go_on(tail)

    def _may_close(self, whole: list[bytes], tail: bytes) -> bool:
        leaves = any(read_header(message).command_code == 282 for message in whole)
        unread = len(tail) >= 4 and not _can_go_on(tail)
        return leaves or unread or bool(self.options & (WITHOUT_CER | TIME_PASSES))


def _whole_messages(stream: bytes) -> tuple[list[bytes], bytes]:
    """Return the messages up to the first that cannot be, and what is left."""
    found = []
    while len(stream) >= HEADER_SIZE and _can_go_on(stream):
        length = int.from_bytes(stream[1:4], "big")
        if length > len(stream):
            break
        found.append(stream[:length])
        stream = stream[length:]
    return found, stream


def _can_go_on(stream: bytes) -> bool:
    length = int.from_bytes(stream[1:4], "big")
    possible = HEADER_SIZE <= length <= DEFAULT_LIMITS.max_message and length % 4 == 0
    return stream[0] == 1 and possible


def _key(message: bytes) -> tuple[int, int, int, int, int]:
    """Return what an answer has in common with its request: command, ids, P flag."""
    header = read_header(message)
    return (
        header.command_code,
        header.application_id,
        header.hop_by_hop,
        header.end_to_end,
        header.flags & 0x40,
    )


def _result_codes(answer: bytes) -> list[int]:
    return [
        int.from_bytes(answer[start:end], "big")
        for code, vendor, _, start, end in iter_avps(answer, HEADER_SIZE, len(answer))
        if (code, vendor) == (268, 0)
    ]


def _check_answer(header: Header, answer: bytes) -> None:
    (code,) = _result_codes(answer)
    assert not header.flags & 0x9F & ~0x20, "R, T or reserved flags are set"
    if code not in E_FORM_ALLOWED:
        assert header.is_error == (3000 <= code < 4000)
    said: dict[int, bytes] = {}
    ours, position = b"", HEADER_SIZE
    for key, vendor, _, start, end in iter_avps(answer, HEADER_SIZE, len(answer)):
        following = (end + 3) & ~3
        if not vendor:
            said[key] = answer[start:end]
        if (key, vendor) != (284, 0):  # Proxy-Info comes back as it was, whatever it was
            ours += answer[position:following]
        position = following
    assert (said[264], said[296]) == (HOST.encode(), REALM.encode())
    assert not said.keys() & {283, 293, 282}
    again = mutations.parse(answer[:HEADER_SIZE] + ours).encode()
    assert again[HEADER_SIZE:] == ours, "an AVP of it can be misunderstood"


def _goes_on(harness: Harness) -> bool:
    """Let a worker that holds its work do one piece; whether there was one."""
    worker = harness.worker
    if isinstance(worker, HeldWorker) and worker.held:
        worker.run()
        return True
    return False


def _is_served(harness: Harness, wire: Wire) -> None:
    """Assert that a good client is served as ever."""
    for kind, number, service in ((1, 0, mscc()), (3, 1, mscc(used=1, ask=False))):
        request = ccr(
            kind, number, service, session="pgw2.net.example;good", origin_host=GOOD,
            subscription_ids=[_SECOND],
        )  # fmt: skip
        wire.send(wire.encode(request))
        received = wire.received()
        while _goes_on(harness):
            received += wire.received()
        (answer,) = [message for header, message in received if not header.is_request]
        assert _result_codes(answer)[:1] == [2001]


_SECOND = SubscriptionId(0, "15550002")


class Books(Scenario):
    """The rules of money over a server's store (see ``Scenario.check``)."""

    def __init__(self, harness: Harness) -> None:
        self.store, self.ids = harness.store, harness.ids
        self.catalogues = {1: harness.server.catalogues[1]}
        self.sessions = {key: "" for key, row in self.store._sessions.items()}
        self.policy = DecisionPolicy()


TARGETS: dict[str, Target] = {"readers": readers, "connection": connection}
