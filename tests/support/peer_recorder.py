"""A handler of peer connections that keeps what it is told."""

import queue
from typing import Any

from protocol.codec import Header
from protocol.peer import PeerClosed
from protocol.transport import PeerHandler
from tests.support.connection_pair import answer_to


class Recorder(PeerHandler):
    """Keeps what it is told; answers requests at once unless asked to hold them back."""

    def __init__(self, *, hold: bool = False) -> None:
        self.hold = hold
        self.up: list[Any] = []
        self.down: list[PeerClosed] = []
        self.batches: list[tuple[Any, list[tuple[Header, bytes]]]] = []
        self.answers: list[bytes] = []
        self.changes: list[Any] = []
        self.told: queue.SimpleQueue[str] = queue.SimpleQueue()

    def peer_up(self, conn):
        self.up.append(conn)
        self.told.put("up")

    def requests(self, conn, batch):
        self.batches.append((conn, batch))
        if not self.hold:
            conn.send_answers([answer_to(message) for _, message in batch])

    def answer(self, conn, header, message):
        self.answers.append(message)
        self.told.put("answer")

    def peer_down(self, conn, closed):
        self.down.append(closed)
        self.told.put("down")

    def peer_changed(self, conn, event):
        self.changes.append(event)

    def answer_held(self):
        for conn, batch in self.batches:
            for _, message in batch:
                conn.send_answer(answer_to(message))
        self.batches.clear()
