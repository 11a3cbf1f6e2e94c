"""When one connection is read and written: the valves between `transport` and Twisted's socket.

Neither costs anything per message: the input valve is asked once per turn of the reactor, the
output valve is told by the socket when its buffer is full or has room again.
"""

from collections.abc import Callable
from typing import Any

from protocol.peer import PeerConnection
from protocol.transport_limits import ReadingGate, TransportLimits


class OutputValve:
    """A push producer: told by the socket when its buffer is full, and when there is room."""

    def __init__(self, has_room: Callable[[], None]) -> None:
        self.is_shut = False
        self._has_room = has_room

    def pauseProducing(self) -> None:  # noqa: N802 -- Twisted's name
        """The buffer is full."""
        self.is_shut = True

    def resumeProducing(self) -> None:  # noqa: N802 -- Twisted's name
        """There is room again."""
        self.is_shut = False
        self._has_room()

    def stopProducing(self) -> None:  # noqa: N802 -- Twisted's name
        """The connection is over."""
        self.is_shut = True


class InputValve:
    """Reads a socket in turns with the others, and not at all while its peer has too much in work.

    `settle` is what the owner does in each turn, the time told: it takes what the connection's
    budget allows, and then calls `adjust`.
    """

    def __init__(
        self,
        reactor: Any,
        connection: PeerConnection,
        transport: Any,
        limits: TransportLimits,
        settle: Callable[[], None],
    ) -> None:
        self.is_open = True
        self._reactor = reactor
        self._connection = connection
        self._transport = transport
        self._settle = settle
        self._messages_per_turn = connection.budget = limits.max_messages_per_turn
        self._max_unanswered = limits.max_unanswered_requests
        self._max_octets = limits.max_unanswered_octets
        self._max_fruitless = limits.max_fruitless_messages_per_second
        self._gate = ReadingGate(limits, connection.now)
        self._turn: Any = None
        self._second: Any = None

    def data_arrived(self) -> None:
        """Begin a turn, unless what came before still waits for its own."""
        connection = self._connection
        if connection.budget > 0:
            connection.budget = self._messages_per_turn

    def adjust(self) -> None:
        """Open or shut, by what the connection has in work and in store."""
        connection = self._connection
        if (
            self.is_open
            and connection.budget > 0
            and connection.unanswered <= self._max_unanswered
            and connection.unanswered_octets <= self._max_octets
            and connection.fruitless <= self._max_fruitless
        ):
            return  # as nearly always; the gate would say the same
        may_read = self._gate.is_open(connection)
        is_open = may_read and connection.budget > 0
        if is_open is not self.is_open:
            self.is_open = is_open
            if is_open:
                self._transport.resumeProducing()
            else:
                self._transport.pauseProducing()
        if is_open:
            return
        if may_read:
            if self._turn is None:
                self._turn = self._reactor.callLater(0, self._next_turn)
            return
        # Its silence is our own doing now.
        connection.input_paused = True
        opens_at = self._gate.opens_at
        if opens_at is not None and self._second is None:
            delay = max(0.0, opens_at - connection.now)
            self._second = self._reactor.callLater(delay, self._second_over)

    def close(self) -> None:
        """Forget what was planned."""
        for call in (self._turn, self._second):
            if call is not None and call.active():
                call.cancel()

    def _next_turn(self) -> None:
        self._turn = None
        if self._gate.is_open(self._connection):
            self._connection.budget = self._messages_per_turn
        self._settle()

    def _second_over(self) -> None:
        self._second = None
        self._settle()
