"""Diameter messages out of a stream that may have holes or be something else altogether.

Where octets are missing it looks for the next message by its header (RFC 6733 section 3) and its
AVPs. Used by `exchanges` for each direction of a connection.
"""

from collections.abc import Iterator
from typing import NamedTuple

from protocol.codec import DEFAULT_LIMITS, HEADER_SIZE, iter_avps
from protocol.errors import RemoteProtocolError
from simulators.replay.streams import Piece

SEARCH_OCTETS_MAX = 256 << 10
_COMMANDS = frozenset({257, 258, 265, 271, 272, 274, 275, 280, 282})
_RESERVED_FLAGS = 0x0F
_TLS_HANDSHAKE = b"\x16\x03"


class Cut(NamedTuple):
    """A whole message, when its last octet was seen, and in which packet."""

    message: bytes
    at_ns: int
    number: int


class MessageCutter:
    """Cuts one stream; `hopeless` when it has shown to be no Diameter."""

    def __init__(self, *, from_start: bool) -> None:
        self.hopeless = False
        self.encrypted = False
        """Whether it began as TLS does."""
        self.found = 0
        self.skipped_octets = 0
        """Octets of messages that are not whole, or between messages."""
        self._buffer = bytearray()
        self._searching = not from_start
        self._searched = 0

    def feed(self, piece: Piece) -> list[Cut]:
        """The messages that end in this piece."""
        if self.hopeless:
            return []
        if piece.gap:
            self.skipped_octets += len(self._buffer)
            self._buffer.clear()
            self._searching = True
        self._buffer += piece.data
        return [Cut(message, piece.at_ns, piece.number) for message in self._messages()]

    def _messages(self) -> Iterator[bytes]:
        while len(self._buffer) >= HEADER_SIZE:
            if self._searching and not self._search():
                return
            length = int.from_bytes(self._buffer[1:4], "big")
            if not self._may_begin(0):
                if not self.found:
                    self._give_up()
                    return
                self._searching = True
                continue
            if len(self._buffer) < length:
                return
            message = bytes(self._buffer[:length])
            if self._searching and not _is_whole(message):
                self._drop(1)
                continue
            self._searching = False
            del self._buffer[:length]
            self.found += 1
            self._searched = 0
            yield message

    def _may_begin(self, position: int) -> bool:
        head = self._buffer[position : position + 4]
        length = int.from_bytes(head[1:4], "big")
        return (
            head[0] == 1
            and HEADER_SIZE <= length <= DEFAULT_LIMITS.max_message
            and not length & 3
            and not self._buffer[position + 4] & _RESERVED_FLAGS
        )

    def _search(self) -> bool:
        """Bring what may be a header to the front; false if there is none yet."""
        position = 0
        while True:
            position = self._buffer.find(1, position)
            if position < 0 or position + HEADER_SIZE > len(self._buffer):
                keep = len(self._buffer) if position < 0 else position
                self._drop(keep)
                return False
            command = int.from_bytes(self._buffer[position + 5 : position + 8], "big")
            if command in _COMMANDS and self._may_begin(position):
                self._drop(position)
                return not self.hopeless
            position += 1

    def _drop(self, octets: int) -> None:
        del self._buffer[:octets]
        self.skipped_octets += octets
        self._searched += octets
        if self._searched > SEARCH_OCTETS_MAX and not self.found:
            self._give_up()

    def _give_up(self) -> None:
        self.hopeless = True
        self.encrypted = not self.skipped_octets and self._buffer.startswith(_TLS_HANDSHAKE)
        self._buffer.clear()


def _is_whole(message: bytes) -> bool:
    try:
        for _ in iter_avps(message, HEADER_SIZE, len(message)):
            pass
    except RemoteProtocolError:
        return False
    return True
