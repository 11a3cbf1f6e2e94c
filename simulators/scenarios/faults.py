"""What goes wrong on purpose: the values under `faults` of a scenario. Used by `model`.

Chances are from 0 to 1 and come from dice of their own, made of the seed, the session and the
request: whatever goes wrong, other sessions do what they would have done. Times are real seconds.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from simulators.scenarios.values import Distribution, Probability, Strict, fixed

Seconds = Annotated[float, Field(ge=0, le=10_000_000)]
Hosts = Annotated[tuple[str, ...], Field(min_length=1)]


class _Fault(Strict):
    gateways: Hosts | None = None
    """Origin-Hosts of the gateways that it happens to, or that do it; else all."""


class AnswerFault(_Fault):
    """What happens to answers between the socket and the gateway."""

    kind: Literal["lost", "late", "duplicated", "reordered", "cut"]
    """`cut` loses the connection instead of passing the answer on."""
    probability: Probability
    seconds: Distribution = fixed(0.5)
    """How late; for `cut`, how long until the gateway calls again."""
    from_seconds: Seconds = 0
    to_seconds: Seconds | None = None


class ConnectionFault(_Fault):
    """What happens to a whole gateway at given instants after the traffic began."""

    kind: Literal["cut", "restart"]
    """`restart` forgets all sessions and comes back with another Origin-State-Id."""
    at_seconds: Annotated[tuple[Seconds, ...], Field(min_length=1)]
    down_seconds: Annotated[float, Field(ge=0, le=86_400)] = 0.5
    """How long until the gateway calls again."""
    server: Literal["all", "primary", "secondary"] = "all"
    """Which connection is cut, where there are two servers."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind == "restart" and self.server != "all":
            raise ValueError("a restart is of the gateway: server is for cut")
        return self


class RequestFault(_Fault):
    """What is wrong with requests that a gateway sends."""

    kind: Literal["broken"]
    """The frame is valid; an AVP is missing, too long, too short, or has no value that it may."""
    probability: Probability


class SessionFault(_Fault):
    """How a gateway misbehaves for a whole session."""

    kind: Literal["overuse", "zero", "no_end"]
    """It reports more than was granted, reports nothing, or never terminates the session."""
    probability: Probability
    factor: Annotated[float, Field(gt=1, le=1000)] = 2.0
    """Of `overuse`: how many times what was used is reported."""


class Faults(Strict):
    """What goes wrong on purpose."""

    retransmit: Probability = 0.0
    """Chance that an answered request is sent once more with the T flag."""
    abandon: Probability = 0.0
    """Chance that a session goes silent before its end."""
    answers: tuple[AnswerFault, ...] = ()
    """Of several that would happen to an answer, the first one does."""
    connections: tuple[ConnectionFault, ...] = ()
    requests: tuple[RequestFault, ...] = ()
    sessions: tuple[SessionFault, ...] = ()
    """Of several that would happen to a session, the first one does."""

    @property
    def named(self) -> set[str]:
        """The gateways that faults are about."""
        lists = (self.answers, self.connections, self.requests, self.sessions)
        return {host for faults in lists for one in faults for host in one.gateways or ()}
