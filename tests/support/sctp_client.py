"""A client on a one-to-one SCTP socket that sees how each message was sent."""

import socket
import struct
from typing import Self

from protocol.sctp import IPPROTO_SCTP, SEND_OCTETS, UNORDERED

_RECVRCVINFO, _RCVINFO, _SNDINFO, _INITMSG = 32, 3, 2, 2
_RECEIVED = struct.Struct("=HHH2xIIIIi")
_SENT = struct.Struct("=HHIIi")
_TIMEOUT_SECONDS = 10.0
_STREAMS = 8


class SctpClient:
    """One association; what is said about the last message received is in its attributes."""

    def __init__(self, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM, IPPROTO_SCTP)
        self.socket.setsockopt(IPPROTO_SCTP, _INITMSG, struct.pack("=HHHH", _STREAMS, 0, 0, 0))
        self.socket.setsockopt(IPPROTO_SCTP, _RECVRCVINFO, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_OCTETS)
        self.socket.settimeout(_TIMEOUT_SECONDS)
        self.socket.connect((address, port))
        self.stream = self.ppid = -1
        self.unordered = False
        self.whole = False
        """Whether the message of SCTP was one message of Diameter."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes, *, stream=0, ppid=46, unordered=False) -> None:
        """Send one message."""
        flags = UNORDERED if unordered else 0
        about = _SENT.pack(stream, flags, socket.htonl(ppid), 0, 0)
        self.socket.sendmsg([data], [(IPPROTO_SCTP, _SNDINFO, about)])

    def receive(self) -> bytes:
        """Return the next message; empty at the end."""
        data, ancillary, flags, _ = self.socket.recvmsg(1 << 20, 256)
        for level, kind, about in ancillary:
            if (level, kind) == (IPPROTO_SCTP, _RCVINFO):
                self.stream, _, marks, ppid, *_ = _RECEIVED.unpack_from(about)
                self.ppid = socket.ntohl(ppid)
                self.unordered = bool(marks & UNORDERED)
        self.whole = bool(flags & socket.MSG_EOR) and len(data) == int.from_bytes(data[1:4], "big")
        return data

    def is_ended(self) -> bool:
        """Wait until the other side ends the association; False if it says something instead."""
        try:
            return not self.receive()
        except ConnectionError:
            return True
