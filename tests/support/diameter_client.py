"""A small blocking Diameter client on a plain socket, for tests that see the server from outside.

It answers the server's DWR and DPR by itself while it waits for something else, and can send any
octets.
"""

import math
import socket
import time
from collections import deque
from collections.abc import Iterable
from typing import Any, Self

from protocol.base import (
    CapabilitiesExchangeAnswer,
    CapabilitiesExchangeRequest,
    CommandCode,
    DeviceWatchdogAnswer,
    DisconnectCause,
    DisconnectPeerAnswer,
    DisconnectPeerRequest,
)
from protocol.codec import Header, MessageBuffer, read_header
from protocol.credit_control import CreditControlAnswer, CreditControlRequest
from protocol.credit_control_reader import read_cca
from protocol.credit_control_writer import write_ccr
from tests.support import recording

TIMEOUT_SECONDS = 10.0


class ConnectionEndedError(Exception):
    """The server closed or reset the connection."""


class DiameterClient:
    """One connection to a server; ``with`` closes it."""

    def __init__(
        self,
        address: tuple[str, int] | socket.socket,
        origin_host: str = "pgw1.net.example",
        origin_realm: str = "net.example",
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        """Connect to an address, or take over a connection that somebody else made."""
        self.origin_host, self.origin_realm = origin_host, origin_realm
        if isinstance(address, socket.socket):
            self.socket = address
            self.socket.settimeout(timeout)
        else:
            self.socket = socket.create_connection(address, timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answers_watchdogs = True
        self.watchdogs = 0
        """Watchdog requests received so far."""
        self._buffer = MessageBuffer()
        self._waiting: deque[tuple[Header, bytes]] = deque()
        self._next_id = 1
        self._tape = recording.tape()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    # ------------------------------------------------------------------------- any octets

    def send(self, data: bytes) -> None:
        """Send octets as they are."""
        if self._tape:
            self._tape.sent(data)
        self.socket.sendall(data)

    def receive(self, deadline: float = math.inf) -> tuple[Header, bytes]:
        """Return the next message that is no watchdog or goodbye.

        Raises TimeoutError, at the latest with the first watchdog after ``deadline`` (monotonic),
        or ConnectionEndedError when the connection is over.
        """
        while True:
            while (message := self._buffer.next_message()) is None:
                try:
                    data = self.socket.recv(1 << 16)
                except ConnectionError as error:
                    raise ConnectionEndedError(str(error)) from error
                if not data:
                    raise ConnectionEndedError("closed by the server")
                self._buffer.feed(data)
            if self._tape:
                self._tape.received(message)
            header = read_header(message)
            if not self._answered(header):
                return header, message
            if time.monotonic() > deadline:
                raise TimeoutError("nothing but watchdogs came")

    def is_closed_by_server(self) -> bool:
        """Wait until the server closes the connection; False if it says something instead."""
        try:
            self.receive()
        except ConnectionEndedError:
            return True
        return False

    def _answered(self, header: Header) -> bool:
        if not header.is_request:
            return False
        if header.command_code == CommandCode.DEVICE_WATCHDOG:
            self.watchdogs += 1
            if self.answers_watchdogs:
                answer = DeviceWatchdogAnswer(2001, self.origin_host, self.origin_realm)
                self.send(answer.write(header))
            return True
        if header.command_code == CommandCode.DISCONNECT_PEER:
            self.send(DisconnectPeerAnswer(2001, self.origin_host, self.origin_realm).write(header))
            return True
        return False

    # --------------------------------------------------------------------------- commands

    def ids(self) -> tuple[int, int]:
        """Return a fresh Hop-by-Hop and End-to-End id."""
        self._next_id += 1
        return self._next_id, 0x100000 + self._next_id

    @property
    def unexpected(self) -> bool:
        """Whether something came that nobody has asked for yet."""
        return bool(self._waiting)

    def ask(self, message: bytes) -> tuple[Header, bytes]:
        """Send one request and return the answer that carries its Hop-by-Hop id."""
        self.send(message)
        hop_by_hop = read_header(message).hop_by_hop
        for index, (header, waiting) in enumerate(self._waiting):
            if header.hop_by_hop == hop_by_hop and not header.is_request:
                del self._waiting[index]
                return header, waiting
        while True:
            header, answer = self.receive()
            if header.hop_by_hop == hop_by_hop and not header.is_request:
                return header, answer
            self._waiting.append((header, answer))

    def next_message(self, deadline: float = math.inf) -> tuple[Header, bytes]:
        """Return the oldest message that nobody waited for, or the next that comes."""
        return self._waiting.popleft() if self._waiting else self.receive(deadline)

    def keep(self, messages: Iterable[tuple[Header, bytes]]) -> None:
        """Put messages back for whoever waits for them."""
        self._waiting.extendleft(reversed([*messages]))

    def kept_requests(self) -> list[tuple[Header, bytes]]:
        """Return the requests of the server that nobody has taken."""
        return [one for one in self._waiting if one[0].is_request]

    def open(self, **changes: Any) -> CapabilitiesExchangeAnswer:
        """Exchange capabilities; ``changes`` are members of the CER."""
        said = {
            "host_ip_addresses": (self.socket.getsockname()[0],),
            "vendor_id": 0,
            "product_name": "test client",
            "auth_application_ids": (4,),
        }
        request = CapabilitiesExchangeRequest(
            self.origin_host, self.origin_realm, **{**said, **changes}
        )
        return CapabilitiesExchangeAnswer.read(self.ask(request.write(*self.ids()))[1])

    def ccr(
        self, request: CreditControlRequest, *, retransmitted: bool = False
    ) -> CreditControlAnswer:
        """Send a CCR and return its CCA."""
        return read_cca(self.ask(write_ccr(request, *self.ids(), retransmitted))[1])

    def disconnect(self) -> None:
        """Say goodbye and close after the DPA."""
        request = DisconnectPeerRequest(
            self.origin_host, self.origin_realm, DisconnectCause.REBOOTING
        )
        self.ask(request.write(*self.ids()))
        self.close()
