"""`python -m benchmarks.answerer CONFIG`: says yes to everything, at next to no cost.

What the simulator does against it is the ceiling of the simulator. An answer is the request's
Session-Id, CC-Request-Type and CC-Request-Number between octets that are always the same; a data
session is granted a megabyte each time. Nothing is decoded and nothing remembered. The
configuration, which a real server would read, is ignored.
"""

import json
import select
import signal
import socket
import struct
import sys
from typing import Any

from protocol.base import (
    CapabilitiesExchangeAnswer,
    CommandCode,
    DeviceWatchdogAnswer,
    DisconnectPeerAnswer,
)
from protocol.codec import (
    HEADER_SIZE,
    encode_grouped,
    encode_u32,
    encode_u64,
    encode_utf8,
    read_header,
)

ORIGIN = ("answerer.ocs.example", "ocs.example")
_SUCCESS = 2001
_CCR = CommandCode.CREDIT_CONTROL
_READ_OCTETS = 1 << 18
_REQUEST_TYPE = struct.pack(">IBBH", 416, 0x40, 0, 12)
"""How a CC-Request-Type begins; CC-Request-Number follows it in all requests of the simulator."""
_TYPE_AND_NUMBER = 24
_GRANT = encode_grouped(
    456,
    encode_grouped(431, encode_u64(421, 1_000_000))
    + encode_u32(432, 100)
    + encode_u32(268, _SUCCESS),
)
_HEAD = (
    encode_u32(268, _SUCCESS)
    + encode_utf8(264, ORIGIN[0])
    + encode_utf8(296, ORIGIN[1])
    + encode_u32(258, 4)
)
_GRANTED = {b"\0\0\0\1", b"\0\0\0\2"}


def answer_to(message: bytes) -> bytes:
    """The CCA to a CCR whose first AVP is its Session-Id."""
    session = message[HEADER_SIZE : HEADER_SIZE + (int.from_bytes(message[25:28], "big") + 3 & -4)]
    place = message.find(_REQUEST_TYPE, HEADER_SIZE)
    told = message[place : place + _TYPE_AND_NUMBER]
    grant = _GRANT if told[8:12] in _GRANTED else b""
    length = HEADER_SIZE + len(session) + len(_HEAD) + len(told) + len(grant)
    first = (1 << 24 | length).to_bytes(4, "big")
    return b"".join((first, b"\x40", message[5:HEADER_SIZE], session, _HEAD, told, grant))


class _Peer:
    """One connection."""

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self._rest = b""

    def serve(self) -> bool:
        """Answer what has come; False at the end of the connection."""
        try:
            data = self.socket.recv(_READ_OCTETS)
            if not data:
                return False
            self.socket.sendall(b"".join(self._answers(self._rest + data)))
        except OSError:
            return False
        return True

    def _answers(self, data: bytes) -> list[bytes]:
        answers, position = [], 0
        while len(data) - position >= HEADER_SIZE:
            length = int.from_bytes(data[position + 1 : position + 4], "big")
            if len(data) - position < length:
                break
            message = data[position : position + length]
            position += length
            if int.from_bytes(message[5:8], "big") == _CCR:
                answers.append(answer_to(message))
            else:
                answers.append(_base_answer(message))
        self._rest = data[position:]
        return answers


def _base_answer(message: bytes) -> bytes:
    header = read_header(message)
    if not header.is_request:
        return b""
    if header.command_code == CommandCode.CAPABILITIES_EXCHANGE:
        return CapabilitiesExchangeAnswer(
            *ORIGIN,
            host_ip_addresses=("127.0.0.1",),
            vendor_id=0,
            product_name="answerer",
            auth_application_ids=(4,),
            result_code=_SUCCESS,
        ).write(header)
    if header.command_code == CommandCode.DISCONNECT_PEER:
        return DisconnectPeerAnswer(_SUCCESS, *ORIGIN).write(header)
    return DeviceWatchdogAnswer(_SUCCESS, *ORIGIN).write(header)


def serve(listener: socket.socket) -> None:
    """Answer everybody, forever."""
    peers: dict[Any, _Peer] = {}
    while True:
        readable, _, _ = select.select([listener, *peers], (), ())
        for one in readable:
            if one is listener:
                accepted, _ = listener.accept()
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peers[accepted] = _Peer(accepted)
            elif not peers[one].serve():
                del peers[one]
                one.close()


def main() -> None:
    """Serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = f"127.0.0.1:{listener.getsockname()[1]}"
        print(json.dumps({"event": "serving", "listen": [where]}), flush=True)
        serve(listener)


if __name__ == "__main__":
    main()
