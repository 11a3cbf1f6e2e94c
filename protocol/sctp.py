"""SCTP sockets of Linux without an extension module: options that Python's socket has no names for.

One-to-one sockets (RFC 6458 section 4) with several addresses; used by `transport_sctp`. Numbers
and layouts are those of Linux's include/uapi/linux/sctp.h.
"""

import socket
import struct
from collections.abc import Sequence
from ipaddress import ip_address

IPPROTO_SCTP = 132
PPID_CLEAR = 46
"""Payload protocol of Diameter in clear (RFC 6733 11.4); 47 is Diameter in DTLS."""
UNORDERED = 1
SEND_OCTETS = 1 << 20
"""Wanted for what is sent: a message is sent whole or not at all."""

_NODELAY = 3
_DEFAULT_SNDINFO = 34
_BINDX_ADD = 100
_IPV4, _IPV6 = struct.Struct("=H2s4s8x"), struct.Struct("=H2s4x16s4x")
_SNDINFO = struct.Struct("=HH4sIi")


def is_available() -> bool:
    """Whether this kernel has SCTP; asking for a socket loads the module where it may."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_SCTP).close()
    except OSError:
        return False
    return True


def listening_socket(addresses: Sequence[str], port: int, backlog: int) -> socket.socket:
    """Return a socket that listens on all these IP addresses and one port. Raises OSError.

    Port 0 takes a free one. IPv4 and IPv6 may stand beside each other.
    """
    # An endpoint of both families is one of IPv6, and is bound to an address of IPv6 first.
    ordered = sorted(addresses, key=lambda address: ":" not in address)
    family = socket.AF_INET6 if ":" in ordered[0] else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM, IPPROTO_SCTP)
    try:
        found.setblocking(False)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            only = all(":" in address for address in ordered)
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(only))
        found.bind((ordered[0], port))
        if ordered[1:]:
            number: int = found.getsockname()[1]
            others = b"".join(pack_address(address, number) for address in ordered[1:])
            found.setsockopt(IPPROTO_SCTP, _BINDX_ADD, others)
        found.listen(backlog)
    except BaseException:
        found.close()
        raise
    return found


def prepare(connected: socket.socket) -> None:
    """Make a new connection ready for Diameter: nothing waits for company, and room for much."""
    connected.setsockopt(IPPROTO_SCTP, _NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_OCTETS)
    send_on_stream_0(connected, unordered=False)


def send_on_stream_0(connected: socket.socket, *, unordered: bool) -> None:
    """Say how everything is sent from now on: as Diameter in clear, in order or not."""
    flags = UNORDERED if unordered else 0
    connected.setsockopt(IPPROTO_SCTP, _DEFAULT_SNDINFO, pack_send_info(flags))


def pack_send_info(flags: int) -> bytes:
    """Return a struct sctp_sndinfo: stream 0, Diameter in clear."""
    return _SNDINFO.pack(0, flags, PPID_CLEAR.to_bytes(4, "big"), 0, 0)


def pack_address(address: str, port: int) -> bytes:
    """Return a struct sockaddr_in or sockaddr_in6."""
    parsed, number = ip_address(address), port.to_bytes(2, "big")
    if parsed.version == 4:
        return _IPV4.pack(socket.AF_INET, number, parsed.packed)
    return _IPV6.pack(socket.AF_INET6, number, parsed.packed)
