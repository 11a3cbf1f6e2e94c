"""Diameter on SCTP: connections that come to several addresses (RFC 6733 2.1.1).

Linux alone, and only where the kernel has it; in clear, and only for peers that call us. Each
message of Diameter is one message of SCTP, because what is sent unordered must stand for itself.
"""

import socket
from collections.abc import Sequence
from functools import partial
from ipaddress import ip_address
from typing import Any, cast

from twisted.internet import main
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.tcp import Server

from protocol import sctp


class SctpTransport(Server):
    """Twisted's transport of an accepted socket, with what SCTP does otherwise.

    `addresses` are those of our end, or none where it listens on every address of the machine.
    """

    def __init__(self, addresses: tuple[str, ...], sock: socket.socket, *rest: Any) -> None:
        super().__init__(sock, *rest)
        self.local_addresses = addresses
        self._has_answered = False
        self._in_order = True
        sctp.prepare(sock)

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802 -- Twisted's name
        """Nothing: it is always so."""

    def setTcpKeepAlive(self, enabled: bool) -> None:  # noqa: N802 -- Twisted's name
        """Nothing: SCTP has heartbeats of its own."""

    def doRead(self) -> Any:  # noqa: N802 -- Twisted's name
        """Read the messages that are there, each of which the kernel hands out alone."""
        if self._in_order and self._has_answered:
            # Who speaks after our CEA has received it, so order matters no more.
            self._in_order = False
            sctp.send_on_stream_0(self.socket, unordered=True)
        data = bytearray()
        while len(data) < self.bufferSize:
            try:
                piece = self.socket.recv(self.bufferSize)
            except BlockingIOError:
                break
            except OSError:
                return main.CONNECTION_LOST
            if not piece:
                if not data:
                    return main.CONNECTION_DONE
                break
            data += piece
        if data:
            cast(Any, self.protocol).dataReceived(bytes(data))
        return None

    def writeSomeData(self, data: Any) -> Any:  # noqa: N802 -- Twisted's name
        """Send whole messages as long as there is room; returns the octets that were sent."""
        sent = 0
        while sent < len(data):
            length = int.from_bytes(data[sent + 1 : sent + 4], "big")
            try:
                self.socket.send(data[sent : sent + length])
            except BlockingIOError:
                break
            except OSError:
                return main.CONNECTION_LOST
            sent += length
            self._has_answered = True
        return sent


def listen_sctp(
    reactor: Any, factory: Any, addresses: Sequence[str], port: int, backlog: int = 128
) -> IListeningPort:
    """Listen on all these IP addresses; port 0 takes a free one. Raises CannotListenError."""
    try:
        listener = sctp.listening_socket(addresses, port, backlog)
    except OSError as error:
        raise cast(Any, CannotListenError)(",".join(addresses), port, error) from error
    with listener:
        opened: Any = reactor.adoptStreamPort(listener.fileno(), listener.family, factory)
    everywhere = any(ip_address(one).is_unspecified for one in addresses)
    opened.transport = partial(SctpTransport, () if everywhere else tuple(addresses))
    return cast(IListeningPort, opened)
