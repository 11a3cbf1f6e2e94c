"""What others may know of a run as it goes on: each request, answer and fault, in order.

`simulation` takes a tuple of observers and tells them; recordings, verdicts, time series and
dashboards are observers, and nothing that carries traffic knows of any of them.
"""

from protocol.credit_control import CreditControlAnswer
from simulators.traffic.subscriber import Demand, Session


class Observer:
    """Told what happens on the wire; a class derived from it overrides what it is interested in.

    `at_ns` is Unix time in nanoseconds and never goes back. `gateway` is the Origin-Host of the
    connection. Messages are whole, header included. What raises here ends the run.
    """

    def request_sent(
        self, at_ns: int, gateway: str, session: Session, demand: Demand, message: bytes
    ) -> None:
        """A request goes out; one that is sent again comes again, with the T flag in it."""

    def answer_received(
        self,
        at_ns: int,
        gateway: str,
        session: Session,
        demand: Demand,
        answer: CreditControlAnswer,
        message: bytes,
        latency_us: int,
    ) -> None:
        """An answer to it has come, and the session has not reacted yet.

        Answers to requests that were sent again on purpose do not come here: they are compared
        with the first one. `latency_us` counts from the first time that the request was sent.
        """

    def unanswered(
        self, at_ns: int, gateway: str, session: Session, demand: Demand, message: bytes
    ) -> None:
        """The gateway has given up waiting for an answer."""

    def server_asked(
        self, at_ns: int, gateway: str, session_id: str, message: bytes, answer: bytes
    ) -> None:
        """The server has sent a request of its own, and this is what it is answered."""

    def fault(self, at_ns: int, kind: str, detail: str) -> None:
        """Something went wrong, on purpose or not: a few words of what, and where."""


class Observers(Observer):
    """Several observers as one."""

    def __init__(self, observers: tuple[Observer, ...]) -> None:
        self._all = observers

    def request_sent(
        self, at_ns: int, gateway: str, session: Session, demand: Demand, message: bytes
    ) -> None:
        """Tell all."""
        for one in self._all:
            one.request_sent(at_ns, gateway, session, demand, message)

    def answer_received(
        self,
        at_ns: int,
        gateway: str,
        session: Session,
        demand: Demand,
        answer: CreditControlAnswer,
        message: bytes,
        latency_us: int,
    ) -> None:
        """Tell all."""
        for one in self._all:
            one.answer_received(at_ns, gateway, session, demand, answer, message, latency_us)

    def unanswered(
        self, at_ns: int, gateway: str, session: Session, demand: Demand, message: bytes
    ) -> None:
        """Tell all."""
        for one in self._all:
            one.unanswered(at_ns, gateway, session, demand, message)

    def server_asked(
        self, at_ns: int, gateway: str, session_id: str, message: bytes, answer: bytes
    ) -> None:
        """Tell all."""
        for one in self._all:
            one.server_asked(at_ns, gateway, session_id, message, answer)

    def fault(self, at_ns: int, kind: str, detail: str) -> None:
        """Tell all."""
        for one in self._all:
            one.fault(at_ns, kind, detail)
