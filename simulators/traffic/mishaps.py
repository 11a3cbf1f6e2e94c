"""The dice of faults: what goes wrong with which request of a gateway. Used by `gateway`.

Pure. Whether something goes wrong depends on the seed, the session, the request and how often it
was sent, and on nothing that happens to others.
"""

import random

from simulators.scenarios.faults import AnswerFault, ConnectionFault, Faults, SessionFault
from simulators.traffic.subscriber import Demand, Session


class Mishaps:
    """What is meant to go wrong at one gateway."""

    def __init__(self, faults: Faults, seed: int, origin_host: str) -> None:
        self._seed = seed
        self._answers = tuple(
            (number, one)
            for number, one in enumerate(faults.answers)
            if one.gateways is None or origin_host in one.gateways
        )
        self._requests = tuple(
            (number, one.probability)
            for number, one in enumerate(faults.requests)
            if one.gateways is None or origin_host in one.gateways
        )
        self.connections: tuple[ConnectionFault, ...] = tuple(
            one
            for one in faults.connections
            if one.gateways is None or origin_host in one.gateways
        )

    def of_answer(
        self, session: Session, demand: Demand, attempt: int, seconds: float
    ) -> tuple[AnswerFault, float] | None:
        """What happens to an answer that comes so many real seconds after the traffic began.

        The number is the real seconds that belong to it.
        """
        for number, fault in self._answers:
            ended = fault.to_seconds is not None and seconds >= fault.to_seconds
            if ended or seconds < fault.from_seconds:
                continue
            dice = self._dice(f"answer {number}", session, demand, attempt)
            if dice.random() < fault.probability:
                return fault, fault.seconds.sample(dice)
        return None

    def of_request(self, session: Session, demand: Demand) -> random.Random | None:
        """The dice to break this request with; None if nothing is wrong with it."""
        for number, probability in self._requests:
            dice = self._dice(f"request {number}", session, demand, 0)
            if dice.random() < probability:
                return dice
        return None

    def _dice(self, what: str, session: Session, demand: Demand, attempt: int) -> random.Random:
        host, _, *rest = session.session_id.split(";")  # between them is when the run began
        request = f"{demand.request_type:d} {demand.number} {attempt}"
        return random.Random(f"{self._seed} {what} {host} {rest} {request}")


def conduct_of(faults: Faults, seed: int, origin_host: str, ordinal: int) -> SessionFault | None:
    """How a gateway misbehaves for the session of this number; None if it does not."""
    for number, fault in enumerate(faults.sessions):
        if fault.gateways is None or origin_host in fault.gateways:
            dice = random.Random(f"{seed} conduct {number} {ordinal}")
            if dice.random() < fault.probability:
                return fault
    return None
