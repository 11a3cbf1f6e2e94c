"""Our own requests on one connection, by hop-by-hop id (RFC 6733 section 3), for `peer`."""

import struct

from protocol.codec import FLAG_REQUEST
from protocol.errors import LocalProtocolError

_U32 = struct.Struct(">I")
_COMMAND_AND_APPLICATION = slice(5, 12)


class PendingRequests:
    """Gives each request a hop-by-hop id that no other pending request of the connection has.

    Holds `limit` requests of the application's at most; peer commands are not counted against it.
    """

    __slots__ = ("_limit", "_next", "_requests")

    def __init__(self, first_id: int, limit: int) -> None:
        self._next = first_id
        self._limit = limit
        self._requests: dict[int, bytes] = {}

    def check_room(self) -> None:
        """Raise LocalProtocolError when no further request may be sent."""
        if len(self._requests) >= self._limit:
            raise LocalProtocolError(f"{len(self._requests)} requests already wait for this peer")

    def add(self, message: bytes) -> tuple[int, bytes]:
        """(id, message with that id) of a request about to be sent."""
        if not message[4] & FLAG_REQUEST:
            raise LocalProtocolError("a request must carry the R flag")
        hop_by_hop = self._next
        while hop_by_hop in self._requests:
            hop_by_hop = (hop_by_hop + 1) & 0xFFFFFFFF
        self._next = (hop_by_hop + 1) & 0xFFFFFFFF
        message = message[:12] + _U32.pack(hop_by_hop) + message[16:]
        self._requests[hop_by_hop] = message
        return hop_by_hop, message

    def take(self, hop_by_hop: int, answer: bytes) -> bool:
        """Whether this answers a pending request, which then is pending no longer."""
        request = self._requests.get(hop_by_hop)
        if request is None or request[_COMMAND_AND_APPLICATION] != answer[_COMMAND_AND_APPLICATION]:
            return False
        del self._requests[hop_by_hop]
        return True

    def forget(self, hop_by_hop: int) -> None:
        """Give a request up; its answer, should it come, belongs to nobody."""
        self._requests.pop(hop_by_hop, None)

    def clear(self) -> None:
        """Give all up."""
        self._requests.clear()

    def application_requests(self) -> tuple[bytes, ...]:
        """The pending requests that are not peer commands, oldest first."""
        return tuple(m for m in self._requests.values() if m[8:12] != b"\0\0\0\0")
