"""One peer connection without input or output: CER, DWR and DPR (RFC 6733 section 5).

`transport` feeds it octets and the time, writes what it queues and hands its events to the owner;
tests join two of them directly. It answers the peer commands itself and never raises on what a peer
sends. Times are seconds of a monotonic clock.
"""

from collections import deque
from collections.abc import Callable
from typing import Literal

from protocol.base import (
    BASE_COMMANDS,
    COMMON_APPLICATION,
    CommandCode,
    DeviceWatchdogRequest,
    DisconnectCause,
    DisconnectPeerRequest,
    ResultCode,
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
from protocol.opening import E_BIT_IN_REQUEST, Opening, Step, Verdict
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
    AnswerPolicy,
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

UNBOUNDED = 1 << 62
"""A budget that nobody uses up."""

_BEING_CLOSED = RemoteProtocolError(ResultCode.TOO_BUSY, "this connection is being closed")


class PeerConnection:
    """The state of one connection to one peer.

    Feed it with `tick(now)` and `receive_data`, then take `next_event` until it returns None; write
    `data_to_send`; call `tick` again at `next_timeout`. When `wants_close` is set, close the
    transport after writing what is left; when `abort` is set too, reset it. `policy` decides on the
    CER of who calls us, `answer_policy` on the CEA of whom we call. `jitter` draws the watchdog's
    jitter, uniform in +-2 seconds; `end_to_end_ids` serve all connections of a process.
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
        answer_policy: AnswerPolicy = accept_all,
    ) -> None:
        self.settings = settings
        self.role = role
        self.counters = PeerCounters()
        self.capabilities: Capabilities | None = None
        self.unanswered = 0
        """Requests given to the owner and not answered yet."""
        self.unanswered_octets = 0
        """About what those requests measure: exact while all of them are alike."""
        self.budget = UNBOUNDED
        """Messages that `next_event` may still take out of the buffer; whoever sets it sees by a
        budget of 0 that there may be more."""
        self.fruitless = 0
        """Messages that brought nothing to decide: refused ones, watchdogs, strange answers. Their
        reader sets it back."""
        self.pending_output_octets = 0
        self.input_paused = False
        """Set by an owner that has stopped reading: the peer's silence is then our own doing."""
        self.wants_close = False
        self.abort = False
        self._own = OwnMessages(settings)
        self._opening = Opening(settings, self._own, policy, answer_policy)
        self._identity = LocalIdentity(
            settings.origin_host,
            (settings.origin_realm, *settings.realms),
            {COMMON_APPLICATION: frozenset(map(int, BASE_COMMANDS))},
        )
        self.now = now
        """Seconds; as last told."""
        self._jitter = jitter
        self._end_to_end_ids = end_to_end_ids
        self._pending = PendingRequests(end_to_end_ids(), settings.max_pending_requests)
        self._buffer = MessageBuffer(settings.opening_limits)
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
            if self.state is CLOSED or self.budget <= 0:
                return None
            try:
                message = self._buffer.next_message()
            except RemoteProtocolError as fault:
                self._stream_lost(fault)
                continue
            if message is None:
                return None
            self.budget -= 1
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
            self.unanswered_octets -= self.unanswered_octets // self.unanswered
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
        self.now = now
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
            self._run(self._timer.probe(self.now))

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
            self._obey(self._opening.first_request(header, message))
            return None
        if self.state is WAIT_CEA:
            self._receive_cea(header, message)
            return None
        if not header.flags & FLAG_REQUEST:
            return self._receive_answer(header, message)
        self._heard()
        if header.flags & FLAG_ERROR:
            self._refuse(header, message, E_BIT_IN_REQUEST, ErrorKind.HEADER_BITS)
            return None
        if header.application_id == COMMON_APPLICATION:
            return self._receive_base(header, message)
        if self.state is CLOSING:
            self._refuse(header, message, _BEING_CLOSED, ErrorKind.CLOSING)
            return None
        self.unanswered += 1
        self.unanswered_octets += header.length
        return RequestReceived(header, message)

    def _receive_answer(self, header: Header, message: bytes) -> Event | None:
        if not self._pending.take(header.hop_by_hop, message):
            self._heard()
            self.fruitless += 1
            self.counters.error(ErrorKind.UNKNOWN_ANSWER)
            return None
        if header.application_id != COMMON_APPLICATION:
            self._heard()
            return AnswerReceived(header, message)
        if header.command_code == CommandCode.DISCONNECT_PEER:
            self._close("disconnected by us")
        elif self.state is OPEN:
            self._run(self._timer.on(WatchdogEvent.RECEIVE_DWA, self.now))
        return None

    def _receive_cea(self, header: Header, message: bytes) -> None:
        awaited = not header.is_request and self._pending.take(header.hop_by_hop, message)
        if awaited:
            self._obey(self._opening.first_answer(message))
        else:
            self.counters.error(ErrorKind.NOT_OPEN)
            self._close("the first message is not the CEA")

    def _obey(self, verdict: Verdict) -> None:
        if verdict.fault is not None:
            self.counters.error(verdict.fault)
        if verdict.answer:
            self._queue(verdict.answer)
        if verdict.step is Step.CLOSE:
            self._close(verdict.reason)
        elif verdict.step is Step.KEEP:
            self.capabilities = verdict.theirs or self.capabilities
        elif verdict.theirs is not None:
            self._open(verdict.theirs, after_down=verdict.after_down)

    def _receive_base(self, header: Header, message: bytes) -> Event | None:
        code = header.command_code
        self.fruitless += 1
        try:
            check_avp_count(message, HEADER_SIZE, len(message), self.settings.limits)
            if code == CommandCode.DEVICE_WATCHDOG:
                DeviceWatchdogRequest.read(message)
                self._queue(self._own.dwa(header))
            elif code == CommandCode.DISCONNECT_PEER:
                return self._receive_dpr(header, DisconnectPeerRequest.read(message))
            elif code == CommandCode.CAPABILITIES_EXCHANGE and self.capabilities is not None:
                self._obey(self._opening.later_request(header, message, self.capabilities))
            else:
                fault = route_check(message, header, self._identity)
                if fault is not None:
                    self._refuse(header, message, fault, ErrorKind.UNSUPPORTED)
        except RemoteProtocolError as fault:
            self._refuse(header, message, fault, ErrorKind.BAD_BASE_MESSAGE)
        return None

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
        self.fruitless += 1
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
        self._buffer.max_message = settings.limits.max_message
        self._timer = WatchdogTimer(settings.watchdog_seconds, self._jitter, after_down=after_down)
        self._events.append(PeerUp(theirs))
        self._run(self._timer.on(WatchdogEvent.CONNECTION_UP, self.now))

    def _start_closing(self) -> None:
        self.state = CLOSING
        self._deadline = self.now + self.settings.drain_timeout
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
        self._deadline = self.now + self.settings.dpa_timeout

    def _close(self, reason: str, *, abort: bool = False, by_watchdog: bool = False) -> None:
        if self.state is CLOSED:
            return
        in_doubt = self.capabilities is not None and not self._timer.is_okay
        self.state = CLOSED
        self.wants_close = True
        self.abort = abort
        self.unanswered = self.unanswered_octets = 0
        self._timer.on(WatchdogEvent.CONNECTION_DOWN, self.now)
        unanswered = self._pending.application_requests()
        self._events.append(PeerClosed(reason, unanswered, by_watchdog or in_doubt))
        self._pending.clear()
        self._buffer = MessageBuffer(self.settings.limits)

    def _heard(self) -> None:
        actions = self._timer.heard(self.now)
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
