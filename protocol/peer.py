"""One peer connection without input or output: CER, DWR and DPR (RFC 6733 section 5).

`transport` feeds it octets and the time, writes what it queues and hands its events to the owner;
tests join two of them directly. It answers the peer commands itself and never raises on what a peer
sends. Times are seconds of a monotonic clock.
"""

from collections import deque
from collections.abc import Callable
from typing import Literal

from protocol import capabilities
from protocol.base import (
    BASE_COMMANDS,
    COMMON_APPLICATION,
    CapabilitiesExchangeRequest,
    CommandCode,
    DeviceWatchdogRequest,
    DisconnectCause,
    DisconnectPeerRequest,
    ResultCode,
    identity_key,
)
from protocol.codec import (
    FLAG_ERROR,
    FLAG_REQUEST,
    HEADER_SIZE,
    UNSUPPORTED_VERSION,
    Header,
    MessageBuffer,
    check_avp_count,
    read_header,
)
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.own_messages import OwnMessages
from protocol.peer_events import (
    CLOSED,
    CLOSING,
    OPEN,
    WAIT_CEA,
    WAIT_CER,
    AnswerReceived,
    Capabilities,
    DisconnectRequested,
    Event,
    PeerClosed,
    PeerRecovered,
    PeerState,
    PeerSuspect,
    PeerUp,
    RequestReceived,
)
from protocol.peer_settings import (
    EndToEndIds,
    ErrorKind,
    PeerCounters,
    PeerDecision,
    PeerPolicy,
    PeerSettings,
    accept_all,
)
from protocol.pending import PendingRequests
from protocol.routing import LocalIdentity, route_check
from protocol.watchdog import WatchdogAction, WatchdogEvent, WatchdogTimer

__all__ = [
    "AnswerReceived",
    "Capabilities",
    "DisconnectRequested",
    "EndToEndIds",
    "ErrorKind",
    "Event",
    "PeerClosed",
    "PeerConnection",
    "PeerCounters",
    "PeerDecision",
    "PeerPolicy",
    "PeerRecovered",
    "PeerSettings",
    "PeerState",
    "PeerSuspect",
    "PeerUp",
    "RequestReceived",
    "Role",
    "accept_all",
]

Role = Literal["responder", "initiator"]


_E_BIT_IN_REQUEST = RemoteProtocolError(ResultCode.INVALID_HDR_BITS, "the E bit in a request")
_BEING_CLOSED = RemoteProtocolError(ResultCode.TOO_BUSY, "this connection is being closed")


class PeerConnection:
    """The state of one connection to one peer.

    Feed it with `tick(now)` and `receive_data`, then take `next_event` until it returns None; write
    `data_to_send`; call `tick` again at `next_timeout`. When `wants_close` is set, close the
    transport after writing what is left; when `abort` is set too, reset it. `jitter` draws the
    watchdog's jitter, uniform in +-2 seconds; `end_to_end_ids` serve all connections of a process.
    """

    def __init__(
        self,
        settings: PeerSettings,
        policy: PeerPolicy = accept_all,
        role: Role = "responder",
        *,
        now: float,
        jitter: Callable[[], float],
        end_to_end_ids: Callable[[], int],
    ) -> None:
        self.settings = settings
        self.role = role
        self.counters = PeerCounters()
        self.capabilities: Capabilities | None = None
        self.unanswered = 0
        """Requests given to the owner and not answered yet."""
        self.pending_output_octets = 0
        self.input_paused = False
        """Set by an owner that has stopped reading: the peer's silence is then our own doing."""
        self.wants_close = False
        self.abort = False
        self._policy = policy
        self._own = OwnMessages(settings)
        self._identity = LocalIdentity(
            settings.origin_host,
            (settings.origin_realm, *settings.realms),
            {COMMON_APPLICATION: frozenset(map(int, BASE_COMMANDS))},
        )
        self._now = now
        self._jitter = jitter
        self._end_to_end_ids = end_to_end_ids
        self._pending = PendingRequests(end_to_end_ids(), settings.max_pending_requests)
        self._buffer = MessageBuffer(settings.limits)
        self._events: deque[Event] = deque()
        self._output: list[bytes] = []
        self._timer = WatchdogTimer(settings.watchdog_seconds, jitter)
        self._deadline = now + settings.cer_timeout
        self._dpr_to_send: DisconnectCause | None = None
        self._dpr_to_answer: Header | None = None
        self._peer_is_leaving = False
        self.state = WAIT_CER
        if role == "initiator":
            self.state = WAIT_CEA
            self._send_own(self._own.cer(end_to_end_ids()))

    @property
    def can_send_requests(self) -> bool:
        """Whether the connection is open and its watchdog trusts it."""
        return self.state is OPEN and self._timer.is_okay

    def receive_data(self, data: bytes) -> None:
        """Buffer what arrived; nothing happens before `next_event`."""
        if self.state is not CLOSED:
            self.counters.octets_in += len(data)
            self._buffer.feed(data)

    def next_event(self) -> Event | None:
        """The next event, or None until more is fed. Never raises on what a peer sent."""
        while not self._events:
            if self.state is CLOSED:
                return None
            try:
                message = self._buffer.next_message()
            except RemoteProtocolError as fault:
                self._stream_lost(fault)
                continue
            if message is None:
                return None
            event = self._receive(message)
            if event is not None and not self.wants_close:
                if not self._events:
                    return event
                self._events.append(event)
        return self._events.popleft()

    def send_answer(self, message: bytes) -> None:
        """Queue the answer to a request received here; dropped once the connection is gone.

        The peer sends such a request again, and gets the stored answer.
        """
        if message[4] & FLAG_REQUEST:
            raise LocalProtocolError("an answer must not carry the R flag")
        if self.state is CLOSED:
            self.counters.error(ErrorKind.LATE_ANSWER)
        elif self.unanswered == 0:
            raise LocalProtocolError("no request of this peer waits for an answer")
        else:
            self._queue(message)
            self.release_request()

    def release_request(self) -> None:
        """Take one request as done, because its owner decided not to answer it."""
        if self.unanswered:
            self.unanswered -= 1
        if self.state is CLOSING:
            self._advance_closing()

    def send_request(self, message: bytes) -> int:
        """Queue a request of ours under a new hop-by-hop id, which is returned.

        Raises LocalProtocolError unless `can_send_requests`. The End-to-End id stays as it is.
        """
        if not self.can_send_requests:
            raise LocalProtocolError("the peer is not open for requests")
        self._pending.check_room()
        return self._send_own(message)

    def forget_request(self, hop_by_hop: int) -> None:
        """Give a request of ours up, so that an answer that comes later is discarded."""
        self._pending.forget(hop_by_hop)

    def data_to_send(self) -> bytes:
        """All queued output, which is then no longer queued."""
        data = b"".join(self._output)
        self._output.clear()
        self.counters.octets_out += len(data)
        self.pending_output_octets = 0
        return data

    def next_timeout(self) -> float | None:
        """When `tick` is to be called at the latest, or None."""
        if self.state is OPEN:
            return self._timer.deadline
        return None if self.state is CLOSED else self._deadline

    def tick(self, now: float) -> None:
        """Tell the time; runs the timeout that is due, if any."""
        self._now = now
        deadline = self.next_timeout()
        if deadline is None or now < deadline:
            return
        if self.state is OPEN:
            self._run(self._timer.expired(now, excused=self.input_paused))
        elif self.state is CLOSING:
            if self._dpr_to_answer is not None or self._dpr_to_send is not None:
                self._advance_closing(force=True)
            else:
                self._close("the peer did not finish disconnecting in time")
        else:
            awaited = "CER" if self.state is WAIT_CER else "CEA"
            self.counters.error(ErrorKind.OPEN_TIMEOUT)
            self._close(f"no {awaited} within {self.settings.cer_timeout} s")

    def probe(self) -> None:
        """Send a watchdog request now, because another connection claims to be this peer."""
        if self.state is OPEN:
            self._run(self._timer.probe(self._now))

    def start_disconnect(self, cause: DisconnectCause = DisconnectCause.REBOOTING) -> None:
        """Leave in good order: answer what is in flight, DPR, wait for the DPA, close."""
        if self.state is OPEN:
            self._dpr_to_send = cause
            self._start_closing()
        elif self.state in {WAIT_CER, WAIT_CEA}:
            self._close("stopped before the connection was open")

    def connection_lost(self, reason: str = "the transport connection was lost") -> None:
        """The transport is gone; `next_event` yields PeerClosed if it has not yet."""
        self._close(reason)
        self._output.clear()
        self.pending_output_octets = 0

    # What arrives.

    def _receive(self, message: bytes) -> Event | None:
        header = read_header(message)
        self.counters.messages_in += 1
        if self.state is WAIT_CER:
            self._receive_first(header, message)
            return None
        if self.state is WAIT_CEA:
            self._receive_cea(header, message)
            return None
        if not header.flags & FLAG_REQUEST:
            return self._receive_answer(header, message)
        self._heard()
        if header.flags & FLAG_ERROR:
            self._refuse(header, message, _E_BIT_IN_REQUEST, ErrorKind.HEADER_BITS)
            return None
        if header.application_id == COMMON_APPLICATION:
            return self._receive_base(header, message)
        if self.state is CLOSING:
            self._refuse(header, message, _BEING_CLOSED, ErrorKind.CLOSING)
            return None
        self.unanswered += 1
        return RequestReceived(header, message)

    def _receive_answer(self, header: Header, message: bytes) -> Event | None:
        if not self._pending.take(header.hop_by_hop, message):
            self._heard()
            self.counters.error(ErrorKind.UNKNOWN_ANSWER)
            return None
        if header.application_id != COMMON_APPLICATION:
            self._heard()
            return AnswerReceived(header, message)
        if header.command_code == CommandCode.DISCONNECT_PEER:
            self._close("disconnected by us")
        elif self.state is OPEN:
            self._run(self._timer.on(WatchdogEvent.RECEIVE_DWA, self._now))
        return None

    def _receive_first(self, header: Header, message: bytes) -> None:
        if not _is_capabilities(header) or not header.is_request:
            self.counters.error(ErrorKind.NOT_OPEN)
            self._close("the first message is not a CER")
            return
        if header.is_error:
            self._refuse(header, message, _E_BIT_IN_REQUEST, ErrorKind.HEADER_BITS)
            self._close(_E_BIT_IN_REQUEST.message)
            return
        request = self._read_cer(header, message)
        if isinstance(request, RemoteProtocolError):
            self._close(f"CER refused with {request.result_code}: {request.message}")
            return
        decision = self._policy(request)
        if decision.accept:
            self._queue(self._own.cea(header, ResultCode.SUCCESS))
            self._open(request, after_down=decision.after_down)
            return
        self.counters.error(ErrorKind.REFUSED)
        reason = decision.reason or f"{request.origin_host} is not allowed"
        if not decision.silent:
            self._queue(self._own.cea(header, decision.result_code, reason))
        self._close(reason)

    def _read_cer(
        self, header: Header, message: bytes
    ) -> CapabilitiesExchangeRequest | RemoteProtocolError:
        """The CER if it can be accepted; otherwise why not, which a CEA has then said."""
        request = capabilities.read_request(self.settings, message)
        if isinstance(request, RemoteProtocolError):
            code, text, failed_avp = request.result_code, request.message, request.failed_avp
            self.counters.error(ErrorKind.BAD_BASE_MESSAGE)
            self._queue(self._own.cea(header, code, text, failed_avp))
        return request

    def _receive_cea(self, header: Header, message: bytes) -> None:
        if header.is_request or not self._pending.take(header.hop_by_hop, message):
            self.counters.error(ErrorKind.NOT_OPEN)
            self._close("the first message is not the CEA")
            return
        answer = capabilities.read_answer(self.settings, message)
        if isinstance(answer, RemoteProtocolError):
            self.counters.error(ErrorKind.REFUSED)
            self._close(answer.message)
        else:
            self._open(answer)

    def _receive_base(self, header: Header, message: bytes) -> Event | None:
        code = header.command_code
        try:
            check_avp_count(message, HEADER_SIZE, len(message), self.settings.limits)
            if code == CommandCode.DEVICE_WATCHDOG:
                DeviceWatchdogRequest.read(message)
                self._queue(self._own.dwa(header))
            elif code == CommandCode.DISCONNECT_PEER:
                return self._receive_dpr(header, DisconnectPeerRequest.read(message))
            elif code == CommandCode.CAPABILITIES_EXCHANGE:
                self._receive_second_cer(header, message)
            else:
                fault = route_check(message, header, self._identity)
                if fault is not None:
                    self._refuse(header, message, fault, ErrorKind.UNSUPPORTED)
        except RemoteProtocolError as fault:
            self._refuse(header, message, fault, ErrorKind.BAD_BASE_MESSAGE)
        return None

    def _receive_second_cer(self, header: Header, message: bytes) -> None:
        """A CER on an open connection is answered again and never closes it."""
        request = self._read_cer(header, message)
        known = self.capabilities
        if isinstance(request, RemoteProtocolError) or known is None:
            return
        if identity_key(request.origin_host) != identity_key(known.origin_host):
            self.counters.error(ErrorKind.REFUSED)
            self._queue(self._own.cea(header, ResultCode.UNKNOWN_PEER, "Origin-Host changed"))
            return
        self.capabilities = request
        self._queue(self._own.cea(header, ResultCode.SUCCESS))

    def _receive_dpr(self, header: Header, request: DisconnectPeerRequest) -> Event | None:
        if self._peer_is_leaving:
            self._queue(self._own.dpa(header))
            return None
        self._peer_is_leaving = True
        self._dpr_to_answer = header
        self._dpr_to_send = None
        if self.state is OPEN:
            self._start_closing()
        else:
            self._advance_closing()
        return DisconnectRequested(request.disconnect_cause)

    def _refuse(
        self, header: Header, message: bytes, fault: RemoteProtocolError, kind: ErrorKind
    ) -> None:
        self.counters.error(kind)
        self._queue(self._own.refusal(header, message, fault))

    def _stream_lost(self, fault: RemoteProtocolError) -> None:
        """Say why if the peer is known and asked something, then reset the connection."""
        version = fault.result_code == UNSUPPORTED_VERSION
        self.counters.error(ErrorKind.INVALID_VERSION if version else ErrorKind.INVALID_LENGTH)
        head = self._buffer.peek(HEADER_SIZE)
        if self.state in {OPEN, CLOSING} and len(head) == HEADER_SIZE:
            header = read_header(head)
            if header.is_request:
                self._queue(self._own.refusal(header, head, fault))
        self._close(fault.message, abort=True)

    # What happens to the connection.

    def _open(self, theirs: Capabilities, *, after_down: bool = False) -> None:
        if self.state is CLOSED:
            return
        self.state = OPEN
        self.capabilities = theirs
        settings = self.settings
        self._timer = WatchdogTimer(settings.watchdog_seconds, self._jitter, after_down=after_down)
        self._events.append(PeerUp(theirs))
        self._run(self._timer.on(WatchdogEvent.CONNECTION_UP, self._now))

    def _start_closing(self) -> None:
        self.state = CLOSING
        self._deadline = self._now + self.settings.drain_timeout
        self._advance_closing()

    def _advance_closing(self, *, force: bool = False) -> None:
        """Send the DPA or DPR that waits until every request in flight is answered."""
        if self.unanswered and not force:
            return
        if self._dpr_to_answer is not None:
            header, self._dpr_to_answer = self._dpr_to_answer, None
            self._queue(self._own.dpa(header))
        elif self._dpr_to_send is not None:
            cause, self._dpr_to_send = self._dpr_to_send, None
            self._send_own(self._own.dpr(cause, self._end_to_end_ids()))
        else:
            return
        self._deadline = self._now + self.settings.dpa_timeout

    def _close(self, reason: str, *, abort: bool = False, by_watchdog: bool = False) -> None:
        if self.state is CLOSED:
            return
        self.state = CLOSED
        self.wants_close = True
        self.abort = abort
        self.unanswered = 0
        self._timer.on(WatchdogEvent.CONNECTION_DOWN, self._now)
        unanswered = self._pending.application_requests()
        self._events.append(PeerClosed(reason, unanswered, by_watchdog))
        self._pending.clear()
        self._buffer = MessageBuffer(self.settings.limits)

    def _heard(self) -> None:
        actions = self._timer.heard(self._now)
        if actions and self.state is OPEN:
            self._run(actions)

    def _run(self, actions: tuple[WatchdogAction, ...]) -> None:
        for action in actions:
            if action is WatchdogAction.SEND_WATCHDOG:
                self._send_own(self._own.dwr(self._end_to_end_ids()))
            elif action is WatchdogAction.FAILOVER:
                self._events.append(PeerSuspect(self._pending.application_requests()))
            elif action is WatchdogAction.FAILBACK:
                self._events.append(PeerRecovered())
            elif action is WatchdogAction.CLOSE_CONNECTION:
                self.counters.error(ErrorKind.WATCHDOG)
                self._close("the peer did not answer the watchdog", by_watchdog=True)

    # What is sent.

    def _send_own(self, message: bytes) -> int:
        hop_by_hop, message = self._pending.add(message)
        self._queue(message)
        return hop_by_hop

    def _queue(self, message: bytes) -> None:
        self._output.append(message)
        self.counters.messages_out += 1
        self.pending_output_octets += len(message)
        if self.pending_output_octets > self.settings.max_pending_output_octets:
            self._output.clear()
            self.pending_output_octets = 0
            self.counters.error(ErrorKind.OUTPUT_BACKLOG)
            self._close("the peer does not read what it is sent", abort=True)


def _is_capabilities(header: Header) -> bool:
    return (
        header.command_code == CommandCode.CAPABILITIES_EXCHANGE
        and header.application_id == COMMON_APPLICATION
    )
