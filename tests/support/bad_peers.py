"""Peers that do their worst to a server, each in a process of its own until it is ended.

`python -m tests.support.bad_peers KIND HOST PORT ORIGIN-HOST MSISDN` says "ready" on its output
when it has begun.
"""

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from protocol import codec
from protocol.base import DeviceWatchdogRequest
from protocol.codec import encode_avp
from protocol.credit_control import RequestType
from tests.support.blackbox_client import Dialogue, Peer, mscc, with_more
from tests.support.diameter_client import ConnectionEndedError
from tests.support.sources import ROOT

FLOOD_ADDRESS = "127.0.0.9"
BLOCK_OCTETS = 1 << 16
HUGE_OCTETS = 200_000
CHUNK = 64


def say(word: str) -> None:
    """Tell who started us."""
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


class Caller:
    """Whose requests these are, for Dialogue."""

    def __init__(self, msisdn: str) -> None:
        self.msisdn = msisdn


def discard(peer: Peer) -> None:
    """Read what the server says, and forget it."""
    with contextlib.suppress(OSError):
        while peer.socket.recv(BLOCK_OCTETS):
            pass


def greedy(peer: Peer, msisdn: str) -> Iterator[bytes]:
    """Updates of one session, thousands at a time, with no thought of answers."""
    gy = Dialogue(peer, Caller(msisdn))
    assert gy.initial(mscc(100, {})).code == 2001
    while True:
        yield b"".join(
            gy.message(RequestType.UPDATE, mscc(100, {}, {"total": 1})) for _ in range(CHUNK)
        )


def garbage(peer: Peer, _msisdn: str) -> Iterator[bytes]:
    """Requests of twenty octets, each of which is to be refused."""
    head = codec.encode_message(272, 4, codec.FLAG_REQUEST, 1, 1, b"")
    return itertools.repeat(head * (BLOCK_OCTETS // len(head)))


def chatter(peer: Peer, _msisdn: str) -> Iterator[bytes]:
    """Watchdogs without end."""
    message = DeviceWatchdogRequest(peer.origin_host, peer.origin_realm).write(5, 6)
    return itertools.repeat(message * (BLOCK_OCTETS // len(message)))


def huge(peer: Peer, _msisdn: str) -> Iterator[bytes]:
    """Requests of nobody with thousands of AVPs that nobody knows."""
    gy = Dialogue(peer, Caller("19990001"))
    filler = encode_avp(65000, bytes(48), flags=0)
    while True:
        message = gy.message(RequestType.INITIAL, mscc(100, {}), number=0)
        gy.session_id += "x"
        yield with_more(message, *[filler] * (HUGE_OCTETS // len(filler)))


def deaf(peer: Peer, msisdn: str) -> Iterator[bytes]:
    """Updates without end, and the answers are never read."""
    return greedy(peer, msisdn)


KINDS: dict[str, Callable[[Peer, str], Iterator[bytes]]] = {
    "greedy": greedy,
    "garbage": garbage,
    "chatter": chatter,
    "huge": huge,
    "deaf": deaf,
}


def flood(address: tuple[str, int]) -> None:
    """Connections that say something silly and go."""
    noise = b"\1" + os.urandom(99)
    say("ready")
    while True:
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind((FLOOD_ADDRESS, 0))
            one.connect(address)
            one.send(noise)


def main(kind: str, host: str, port: str, origin_host: str, msisdn: str) -> None:
    """Misbehave for ever, on one connection after another."""
    address = host, int(port)
    if kind == "flood":
        flood(address)
    is_ready = False
    while True:
        with contextlib.suppress(OSError, ConnectionEndedError, AssertionError):
            peer = Peer(address, origin_host, time.time_ns)
            if peer.open().result_code == 2001:
                blocks = KINDS[kind](peer, msisdn)
                first = next(blocks)
                if kind != "deaf":
                    threading.Thread(target=discard, args=(peer,), daemon=True).start()
                if not is_ready:
                    is_ready = True
                    say("ready")
                for block in itertools.chain((first,), blocks):
                    peer.send(block)
        if kind == "deaf" and is_ready:
            say("ended")
        threading.Event().wait(0.2)  # before it comes again


@contextmanager
def bad_peer(
    kind: str, address: tuple[str, int], origin_host: str = "", msisdn: str = ""
) -> Iterator[subprocess.Popen[str]]:
    """A bad peer that has begun, and is ended afterwards."""
    command = [sys.executable, "-m", "tests.support.bad_peers", kind, address[0], str(address[1])]
    process = subprocess.Popen(
        [*command, origin_host, msisdn], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    main(*sys.argv[1:])
