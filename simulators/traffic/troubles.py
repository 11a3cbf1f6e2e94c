"""What is made to go wrong at a simulated gateway: its connections, and answers on their way to it.

The dice are those of `mishaps`. `gateway` has one of these, between the links and itself.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from protocol.codec import Header
from simulators.scenarios.faults import ConnectionFault
from simulators.traffic.link import Link
from simulators.traffic.mishaps import Mishaps
from simulators.traffic.sending import Run, Waiting

_HELD_SECONDS = 0.25
_RANKS = ("primary", "secondary")
_HAPPENED = {
    "lost": "answer lost",
    "late": "answer late",
    "duplicated": "answer duplicated",
    "reordered": "answer reordered",
    "cut": "answer lost with its connection",
}


class Arrived(NamedTuple):
    """An answer that came over a link to a request."""

    link: Link[Waiting]
    waiting: Waiting
    header: Header
    message: bytes


class Troubled(Protocol):
    """The gateway that troubles happen to."""

    links: list[Link[Waiting]]

    def fault(self, kind: str, detail: str) -> None:
        """Tell observers what went wrong."""

    def answered(self, link: Link[Waiting], waiting: Waiting, message: bytes) -> None:
        """The answer to a request that waits for it."""

    def restart(self, down_seconds: float) -> None:
        """Forget every session, come back as another one."""


class Troubles:
    """Lets things go wrong at one gateway, when and as often as the scenario says."""

    def __init__(self, run: Run, owner: Troubled, mishaps: Mishaps) -> None:
        self._run = run
        self._owner = owner
        self._mishaps = mishaps
        self._held: list[Arrived] = []

    def plan(self) -> None:
        """The traffic begins: what is to go wrong at its instant from now on will."""
        for fault in self._mishaps.connections:
            for seconds in fault.at_seconds:
                self._run.reactor.callLater(seconds, self._break, fault)

    def _break(self, fault: ConnectionFault) -> None:
        if self._run.stopping:
            return
        if fault.kind == "restart":
            self._held.clear()
            self._owner.restart(fault.down_seconds)
            return
        for link in self._owner.links:
            if fault.server in ("all", _RANKS[link.number]):
                self._cut(link, fault.down_seconds)

    def _cut(self, link: Link[Waiting], down_seconds: float) -> None:
        if link.cut(down_seconds):
            self._owner.fault("connection cut", link.name)

    def arrived(self, arrived: Arrived) -> None:
        """An answer from the socket: on its way to the gateway something may happen to it."""
        waiting = arrived.waiting
        mishap = None
        if waiting.first_answer is None:
            due, seconds = waiting.due, self._run.elapsed()
            mishap = self._mishaps.of_answer(due.session, due.demand, waiting.attempts, seconds)
        if mishap is None:
            self._pass_on(arrived)
            held, self._held = self._held, []
            for one in held:
                self._pass_on(one)
            return
        fault, after_seconds = mishap
        self._owner.fault(_HAPPENED[fault.kind], waiting.due.session.session_id)
        later: Callable[..., object] = self._run.reactor.callLater
        if fault.kind == "late":
            later(after_seconds, self._pass_on, arrived)
        elif fault.kind == "duplicated":
            self._pass_on(arrived)
            self._run.measured.unasked_answers += 1
        elif fault.kind == "reordered":
            self._held.append(arrived)
            later(_HELD_SECONDS, self._release, arrived)
        elif fault.kind == "cut":
            self._cut(arrived.link, after_seconds)

    def _release(self, arrived: Arrived) -> None:
        """No other answer has overtaken it."""
        if arrived in self._held:
            self._held.remove(arrived)
            self._pass_on(arrived)

    def _pass_on(self, arrived: Arrived) -> None:
        """Give an answer to the gateway, unless nobody waits for it any more."""
        link, waiting, header, message = arrived
        if link.settle(header.hop_by_hop, waiting):
            self._owner.answered(link, waiting, message)
