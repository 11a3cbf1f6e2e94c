"""One connection of the prepared load: its sessions, its window, what waits to be written.

It looks at the Result-Code of answers and leaves the rest alone. Driven by `prepared`.
"""

import random
import socket
import struct
import time
from contextlib import suppress

from protocol.answers import Origin, error_answer
from protocol.base import (
    CapabilitiesExchangeAnswer,
    CapabilitiesExchangeRequest,
    CommandCode,
    DeviceWatchdogAnswer,
    DisconnectCause,
    DisconnectPeerRequest,
)
from protocol.codec import HEADER_SIZE, MessageBuffer, iter_avps, read_header
from protocol.errors import ProtocolError
from simulators.load.templates import (
    TemplateSet,
    layout_of,
    make_templates,
    ntp_seconds,
    session_id_of,
)
from simulators.reports.errors import code_in_words
from simulators.reports.report import Measurements
from simulators.scenarios.model import Gateway, Scenario
from simulators.traffic.shapes import Envelope

_RESULT_CODE = 268
_SUCCESS = 2001
_REQUEST_BIT = 0x80000000
_READ_OCTETS = 1 << 18
_HANDSHAKE_SECONDS = 10.0
_VERSION = 1
_MESSAGE_OCTETS = 1 << 20
"""Of the largest message that an answer may be."""
_GOODBYE_SECONDS = 2.0
NOT_MEASURED = 0
"""Request type of requests that were not sent while it is measured."""


class LoadState:
    """What all connections of a load share."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.unix_seconds = int(time.time())
        self.dice = random.Random(scenario.seed)
        self.pick = self.dice.random
        self.serial = 0
        self.ending = False
        self.ntp = ntp_seconds(time.time())
        """The time in requests, renewed once a second."""
        self.measured = Measurements()
        self.latencies: list[tuple[int, int]] = []
        """Nanoseconds and request type of answers since they were last put into bins; the type is
        `NOT_MEASURED` of answers to requests of the warm-up, and of the end of the last sessions.
        """
        self.codes: list[int] = []
        """Result codes of the same answers."""
        hosts = [host for one in scenario.gateways for host in one.origin_hosts()]
        self.layout = layout_of(scenario, hosts)


class PeerRefusedError(Exception):
    """The server did not accept the connection, or closed it; says which and why."""

    def __init__(self, words: str, result_code: int | None = None) -> None:
        super().__init__(words)
        self.result_code = result_code
        """Of the CEA, if there was one."""


class PreparedSession:
    """A session between two of its messages; `updates` counts those still to come, -1 = ended."""

    __slots__ = ("charging_id", "number", "octets", "templates", "updates")

    def __init__(
        self, octets: tuple[bytes, ...], charging_id: int, templates: TemplateSet, updates: int
    ) -> None:
        self.octets = octets
        self.charging_id = charging_id
        self.templates = templates
        self.updates = updates
        self.number = 0


class PreparedConnection:
    """One connection; `in_flight` holds (due instant, request type, session) by hop-by-hop id.

    What is measured are the requests that are sent while it is, each with its answer, however late.
    """

    def __init__(self, load: LoadState, gateway: Gateway, origin_host: str) -> None:
        self._load = load
        self._gateway = gateway
        self.origin_host = origin_host
        scenario = load.scenario
        # No Origin-State-Id: a load ends its own sessions, so the next one is not its restart.
        self._origin = Origin(origin_host, gateway.origin_realm)
        envelope = Envelope(origin_host, gateway.origin_realm, scenario.destination_realm)
        services = [one for one in scenario.services if one.kind in gateway.carries]
        self._weights = [one.weight for one in services]
        self._templates = [
            make_templates(scenario, service, envelope, load.layout) for service in services
        ]
        self.free = list(range(gateway.window))
        self.in_flight: list[tuple[int, int, PreparedSession] | None] = [None] * gateway.window
        self.ready: list[PreparedSession] = []
        self.rest = b""
        self.unsent = bytearray()
        self.closed = True
        self.socket: socket.socket
        self._end_to_end = random.getrandbits(32)
        # Length, flags and command, hop-by-hop id, code of the AVP after Session-Id, its value.
        padded = (load.layout.session_id_octets + 3) & -4
        self._look = struct.Struct(f">II4xI4x{8 + padded}xI4xI")

    def open(self, host: str, port: int) -> None:
        """Connect and exchange capabilities; PeerRefusedError or OSError if that fails."""
        opened = socket.create_connection((host, port), _HANDSHAKE_SECONDS)
        try:
            self._exchange_capabilities(opened)
        except BaseException:
            opened.close()
            raise
        opened.setblocking(False)
        self.socket = opened
        self.closed = False

    def _exchange_capabilities(self, opened: socket.socket) -> None:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = CapabilitiesExchangeRequest(
            self.origin_host,
            self._gateway.origin_realm,
            host_ip_addresses=(opened.getsockname()[0],),
            vendor_id=0,
            product_name="Gyro load",
            auth_application_ids=(4,),
        )
        opened.sendall(request.write(1, 1))
        try:
            message = _receive(opened)
            if message is None:
                raise PeerRefusedError(f"{self.origin_host}: closed before a CEA came")
            answer = CapabilitiesExchangeAnswer.read(message)
        except ProtocolError as fault:
            raise PeerRefusedError(f"{self.origin_host}: no CEA came, but: {fault}") from None
        except TimeoutError:
            silence = f"no CEA in {_HANDSHAKE_SECONDS:.0f} s"
            raise PeerRefusedError(f"{self.origin_host}: {silence}") from None
        if answer.result_code != _SUCCESS:
            reason = answer.error_message or "no reason given"
            words = f"{self.origin_host}: CEA {answer.result_code}: {reason}"
            raise PeerRefusedError(words, answer.result_code)

    def fill(self, due_ns: list[int] | None, now_ns: int) -> None:
        """Send as the window allows: one request for each due instant, or (None) all it holds."""
        messages: list[bytes] = []
        free, ready, in_flight = self.free, self.ready, self.in_flight
        ending = self._load.ending
        seconds, pick = self._load.ntp, self._load.pick
        while free and (due_ns is None or due_ns):
            if not ready:
                break
            slot = free.pop()
            # Any session may be next; the last one takes its place in the list.
            place = int(pick() * len(ready))
            session = ready[place]
            ready[place] = ready[-1]
            ready.pop()
            self._end_to_end = self._end_to_end + 1 & 0xFFFFFFFF
            templates = session.templates
            if session.number == 0:
                template = templates.first
            elif session.updates > 0 and templates.update is not None:
                template = templates.update
                session.updates -= 1
            else:
                template = templates.last or templates.first
                session.updates = -1
            values = (slot, self._end_to_end, session.number, seconds, session.charging_id)
            messages.append(template.message(values + session.octets))
            session.number += 1
            sent = now_ns if due_ns is None else due_ns.pop()
            in_flight[slot] = (sent, NOT_MEASURED if ending else template.kind, session)
        if messages:
            if not ending:
                self._load.measured.sent += len(messages)
            self.write(b"".join(messages))

    def measure(self) -> None:
        """The warm-up is over: what was sent until now is not measured, nor are its answers."""
        for slot, found in enumerate(self.in_flight):
            if found is not None:
                self.in_flight[slot] = (found[0], NOT_MEASURED, found[2])

    @property
    def unanswered(self) -> int:
        """Requests that are measured and have no answer."""
        return sum(one is not None and one[1] != NOT_MEASURED for one in self.in_flight)

    def write(self, data: bytes) -> None:
        """Write now what the socket takes, the rest when it takes more."""
        if self.unsent:
            self.unsent += data
            return
        try:
            written = self.socket.send(data)
        except BlockingIOError:
            written = 0
        except OSError as error:
            self.closed = True
            self._load.measured.problems.append(f"{self.origin_host}: {error}")
            return
        if written < len(data):
            self.unsent += data[written:]

    def flush(self) -> None:
        """The socket takes more."""
        data, self.unsent = bytes(self.unsent), bytearray()
        self.write(data)

    def read(self) -> None:
        """Take every answer that has come."""
        try:
            data = self.socket.recv(_READ_OCTETS)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.closed = True
            self._load.measured.problems.append(f"{self.origin_host}: the server has hung up")
            return
        if self.rest:
            data = self.rest + data
        self.rest = data[self._scan(data) :]

    def _scan(self, data: bytes) -> int:
        """Look at the whole messages in `data`; returns where the first incomplete one begins."""
        look, size = self._look.unpack_from, self._look.size
        now_ns = time.perf_counter_ns()
        position, end = 0, len(data)
        latencies, codes = self._load.latencies, self._load.codes
        in_flight, free = self.in_flight, self.free
        while end - position >= size:
            word, head, slot, code, result = look(data, position)
            length = word & 0xFFFFFF
            if position + length > end:
                return end if self._is_garbage(data, position) else position
            if code != _RESULT_CODE or length < size or head & _REQUEST_BIT:
                if self._is_garbage(data, position):
                    return end
                self._look_closer(data[position : position + length])
            else:
                found = in_flight[slot]
                if found is not None:
                    in_flight[slot] = None
                    free.append(slot)
                    latencies.append((now_ns - found[0], found[1]))
                    codes.append(result)
                    if result != _SUCCESS and found[1] != NOT_MEASURED:
                        self._note(result, data[position : position + length])
                    self._next(found[2], result)
            position += length
        while end - position >= HEADER_SIZE:
            length = int.from_bytes(data[position + 1 : position + 4], "big")
            if self._is_garbage(data, position):
                return end
            if position + length > end:
                break
            self._look_closer(data[position : position + length])
            position += length
        return position

    def _is_garbage(self, data: bytes, position: int) -> bool:
        """Whether what begins there cannot be a message; then the connection is given up."""
        version, length = data[position], int.from_bytes(data[position + 1 : position + 4], "big")
        if version == _VERSION and HEADER_SIZE <= length <= _MESSAGE_OCTETS:
            return False
        words = f"version {version}, {length} octets"
        problem = f"{self.origin_host}: what the server sends is not Diameter ({words})"
        self._load.measured.problems.append(problem)
        self.closed = True
        return True

    def _next(self, session: PreparedSession, result: int) -> None:
        """Put the session back among those that may go on, or a new one in its place."""
        if session.updates < 0 or session.templates.update is None or result != _SUCCESS:
            if self._load.ending:
                return
            session = self.new_session()
        self.ready.append(session)

    def _look_closer(self, message: bytes) -> None:
        """Anything but a CCA in its usual order: errors, watchdogs, goodbyes."""
        header = read_header(message)
        if header.is_request:
            self._answer(message)
            return
        if header.command_code != CommandCode.CREDIT_CONTROL:
            return
        result = 0
        try:
            for code, vendor, _, start, _ in iter_avps(message, HEADER_SIZE, len(message)):
                if code == _RESULT_CODE and not vendor:
                    result = int.from_bytes(message[start : start + 4], "big")
        except ProtocolError as fault:
            self._load.measured.problems.append(f"an answer cannot be read: {fault}")
        known = header.hop_by_hop < len(self.in_flight)
        found = self.in_flight[header.hop_by_hop] if known else None
        if found is not None:
            self.in_flight[header.hop_by_hop] = None
            self.free.append(header.hop_by_hop)
            self._load.latencies.append((time.perf_counter_ns() - found[0], found[1]))
            self._load.codes.append(result)
            if result != _SUCCESS and found[1] != NOT_MEASURED:
                self._note(result, message)
            self._next(found[2], result)

    def _note(self, result: int, answer: bytes) -> None:
        self._load.measured.errors.note(code_in_words(result), b"", answer)

    def _answer(self, message: bytes) -> None:
        header = read_header(message)
        if header.command_code == CommandCode.DEVICE_WATCHDOG:
            answer = DeviceWatchdogAnswer(
                _SUCCESS, self.origin_host, self._gateway.origin_realm
            ).write(header)
        else:
            answer = error_answer(self._origin, header, 5002)
            if header.command_code == CommandCode.DISCONNECT_PEER:
                self.closed = True
        self.write(answer)

    def first_sessions(self, count: int) -> list[PreparedSession]:
        """Sessions to begin with: of different lengths, so that they do not all end together."""
        sessions = [self.new_session() for _ in range(count)]
        for session in sessions:
            session.updates = self._load.dice.randint(0, session.updates)
        return sessions

    def new_session(self) -> PreparedSession:
        """A session of a random service and subscriber."""
        load = self._load
        choice = load.dice.choices(range(len(self._templates)), self._weights)[0]
        templates = load.dice.choice(self._templates[choice])
        load.serial += 1
        width = load.layout.session_id_octets
        session_id = session_id_of(self.origin_host, load.unix_seconds, load.serial, width)
        position = load.dice.randrange(load.scenario.subscriber_count)
        octets = (session_id.encode(), *load.layout.numbers(load.scenario, position))
        charging_id = 10 << 24 | load.serial & 0xFFFFFF
        updates = load.scenario.prepared.updates_per_session
        return PreparedSession(octets, charging_id, templates, updates)

    def hang_up(self) -> None:
        """Disconnect in good order, as far as the server goes along."""
        if not hasattr(self, "socket"):
            return
        if not self.closed:
            goodbye = DisconnectPeerRequest(
                self.origin_host,
                self._gateway.origin_realm,
                DisconnectCause.DO_NOT_WANT_TO_TALK_TO_YOU,
            )
            self.socket.settimeout(_GOODBYE_SECONDS)
            with suppress(OSError, ProtocolError):  # the server may be gone, which is all we want
                self.socket.sendall(goodbye.write(2, 2))
                while (message := _receive(self.socket)) is not None:
                    if read_header(message).command_code == CommandCode.DISCONNECT_PEER:
                        break
        self.socket.close()
        self.closed = True


def _receive(connected: socket.socket) -> bytes | None:
    """The next message of a blocking socket that nothing else is waiting on; None at its end."""
    buffer = MessageBuffer()
    while (message := buffer.next_message()) is None:
        data = connected.recv(_READ_OCTETS)
        if not data:
            return None
        buffer.feed(data)
    return message
