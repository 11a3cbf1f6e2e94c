"""A tap between a client and a server on loopback that remembers every octet both sides sent.

Interoperability tests connect through it: what foreign software put on the wire is looked at here,
and what the server answered is written from here into captures.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple, Self

from protocol.codec import Header, MessageBuffer, read_header

CONNECT_SECONDS = 10.0
PATIENCE_SECONDS = 15.0


class Segment(NamedTuple):
    """Octets that arrived together; no octets: this side has finished sending."""

    connection: int
    from_client: bool
    data: bytes


class Seen(NamedTuple):
    """A message that came through."""

    connection: int
    from_client: bool
    header: Header
    message: bytes

    @property
    def kind(self) -> tuple[bool, int, bool]:
        """Who sent it, its command, and whether it is a request."""
        return self.from_client, self.header.command_code, self.header.is_request


class Wiretap:
    """Forwards connections to ``target``; ``with`` ends it with all its connections."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._segments: list[Segment] = []
        self._changed = threading.Condition()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the tap and its connections."""
        for one in (self._listener, *self._sockets):
            # What sleeps in accept or recv wakes up when the socket is shut down, not closed.
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in tuple(self._threads):
            thread.join(CONNECT_SECONDS)
        for one in (self._listener, *self._sockets):
            one.close()

    # ----------------------------------------------------------------------- what came through

    def segments(self) -> list[Segment]:
        """Return everything that came through so far, in order."""
        with self._changed:
            return list(self._segments)

    def messages(self) -> Iterator[Seen]:
        """Yield the messages that came through so far, in order."""
        buffers: dict[tuple[int, bool], MessageBuffer] = {}
        for connection, from_client, data in self.segments():
            buffer = buffers.setdefault((connection, from_client), MessageBuffer())
            buffer.feed(data)
            while (message := buffer.next_message()) is not None:
                yield Seen(connection, from_client, read_header(message), message)

    def seen(self, command: int, *, from_client: bool, request: bool) -> list[Seen]:
        """Return the messages of one kind so far."""
        kind = (from_client, command, request)
        return [one for one in self.messages() if one.kind == kind]

    def wait_for(self, condition: Callable[[], bool], timeout: float = PATIENCE_SECONDS) -> None:
        """Return when ``condition`` holds, which is looked at whenever something comes through."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                kinds = [one.kind for one in self.messages()]
                raise AssertionError(f"it did not come through; what came: {kinds}")

    # ------------------------------------------------------------------------------ forwarding

    def _start(self, function: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(client)
            try:
                server = socket.create_connection(self.target, CONNECT_SECONDS)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self._sockets.append(server)
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._start(self._forward, number, True, client, server)
            self._start(self._forward, number, False, server, client)
            number += 1

    def _forward(
        self, number: int, from_client: bool, source: socket.socket, target: socket.socket
    ) -> None:
        while True:
            try:
                data = source.recv(1 << 16)
            except OSError:
                data = b""
            # Remembered first: who has received an answer finds it here.
            with self._changed:
                self._segments.append(Segment(number, from_client, data))
                self._changed.notify_all()
            try:
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)
            except OSError:
                return
