"""When sessions begin: arrival processes, as rates over time and as a stream of instants.

Rates are sessions per real second at real seconds since the run began; a daily curve follows the
simulated day. `schedule` draws the instants.
"""

import math
import random
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from simulators.scenarios.values import Strict

Rate = Annotated[float, Field(gt=0, le=1_000_000)]
Seconds = Annotated[float, Field(gt=0, le=10_000_000)]
DAY_SECONDS = 86_400

_DAY = (
    *(0.35, 0.22, 0.15, 0.12, 0.12, 0.18, 0.35, 0.65, 0.90, 1.05, 1.15, 1.25),
    *(1.30, 1.25, 1.20, 1.20, 1.25, 1.40, 1.60, 1.75, 1.80, 1.60, 1.15, 0.70),
)
"""A subscriber's day by its hours: mobile data is quiet before dawn and busiest in the evening."""


class _Steady(Strict):
    per_second: Rate

    def rate(self, real: float, simulated: float) -> float:  # noqa: ARG002 - the same at all times
        """Sessions per real second."""
        return self.per_second

    @property
    def highest(self) -> float:
        """No rate is above it."""
        return self.per_second


class Constant(_Steady):
    """Evenly spaced."""

    process: Literal["constant"]


class Poisson(_Steady):
    """Independent of each other, so that gaps and bunches occur."""

    process: Literal["poisson"]


class Daily(Strict):
    """A Poisson process whose rate follows the hours of the simulated day."""

    process: Literal["daily"]
    per_second: Rate
    """The mean of the day."""
    curve: Annotated[
        tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=2, max_length=1440)
    ] = _DAY
    """Weights of equal parts of the day, from midnight on; between their middles it is linear."""
    start_hour: Annotated[float, Field(ge=0, lt=24)] = 0.0
    """Time of day when the run begins."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not any(self.curve):
            raise ValueError("a curve of zeros lets nothing happen")
        return self

    def rate(self, real: float, simulated: float) -> float:  # noqa: ARG002 - the simulated day
        """Sessions per real second."""
        parts = len(self.curve)
        at = (simulated / DAY_SECONDS + self.start_hour / 24) * parts - 0.5
        before = math.floor(at)
        weight = at - before
        here, there = self.curve[before % parts], self.curve[(before + 1) % parts]
        return self._mean_is(here + (there - here) * weight)

    @property
    def highest(self) -> float:
        """No rate is above it."""
        return self._mean_is(max(self.curve))

    def _mean_is(self, weight: float) -> float:
        return self.per_second * weight * len(self.curve) / sum(self.curve)


class Burst(Strict):
    """A Poisson process that every so often is much faster for a while."""

    process: Literal["burst"]
    per_second: Rate
    burst_per_second: Rate
    every_seconds: Seconds
    """From the beginning of a burst to that of the next; the first begins after so long."""
    burst_seconds: Seconds

    @model_validator(mode="after")
    def _pause(self) -> Self:
        if self.burst_seconds >= self.every_seconds:
            raise ValueError("burst_seconds must be less than every_seconds")
        return self

    def rate(self, real: float, simulated: float) -> float:  # noqa: ARG002 - of real seconds
        """Sessions per real second."""
        into = real % self.every_seconds
        bursting = real >= self.every_seconds and into < self.burst_seconds
        return self.burst_per_second if bursting else self.per_second

    @property
    def highest(self) -> float:
        """No rate is above it."""
        return max(self.per_second, self.burst_per_second)


class Knee(Strict):
    """Where a server is said to be full: the first step that is too slow or loses too much."""

    latency_ms: Annotated[float, Field(gt=0)] = 100.0
    """The percentile of a step must not be above it."""
    percentile: Annotated[float, Field(gt=0, lt=100)] = 99.0
    answered: Annotated[float, Field(gt=0, le=1)] = 0.99
    """Part of the requests of a step that must be answered with something else than "busy"."""
    stop: bool = True
    """End the run there."""


class Ramp(Strict):
    """Steps from one rate to another, each a Poisson process, to find out where it gets slow."""

    process: Literal["ramp"]
    from_per_second: Rate
    to_per_second: Rate
    steps: Annotated[int, Field(ge=2, le=1000)] = 10
    step_seconds: Seconds = 10.0
    knee: Knee = Knee()

    @model_validator(mode="after")
    def _upwards(self) -> Self:
        if self.from_per_second >= self.to_per_second:
            raise ValueError("to_per_second must be more than from_per_second")
        return self

    def step_at(self, real: float) -> int:
        """Number of the step, counted from 0; the last one goes on."""
        return min(int(max(real, 0.0) / self.step_seconds), self.steps - 1)

    def rate_of(self, step: int) -> float:
        """Sessions per real second in a step."""
        widths = self.steps - 1
        return self.from_per_second + (self.to_per_second - self.from_per_second) * step / widths

    def rate(self, real: float, simulated: float) -> float:  # noqa: ARG002 - of real seconds
        """Sessions per real second."""
        return self.rate_of(self.step_at(real))

    @property
    def highest(self) -> float:
        """No rate is above it."""
        return self.to_per_second

    @property
    def seconds(self) -> float:
        """How long all steps take."""
        return self.steps * self.step_seconds


Arrivals = Constant | Poisson | Daily | Burst | Ramp


def instants(arrivals: Arrivals, speed_up: float, dice: random.Random) -> Iterator[float]:
    """Real seconds since the beginning at which sessions begin, without end."""
    if isinstance(arrivals, Constant):
        number = 0
        while True:
            yield number / arrivals.per_second
            number += 1
    real, highest = 0.0, arrivals.highest
    yield real
    while True:
        # Thinning: candidates come at the highest rate, and each stays with the chance of its time.
        real += dice.expovariate(highest)
        if dice.random() * highest <= arrivals.rate(real, real * speed_up):
            yield real
