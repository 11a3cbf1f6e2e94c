"""Who there is: groups of subscribers, and how much each of them does.

Activity by Zipf's law is sampled by rejection-inversion (Hoermann and Derflinger, 1996), which
takes the same time for a hundred subscribers as for a hundred million.
"""

import math
import random
import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from simulators.scenarios.values import Strict

IdentityType = Literal["msisdn", "imsi", "sip", "nai"]
SUBSCRIBERS_MAX = 100_000_000

_PLACES = re.compile("#+")
_NEARLY_ONE = 1e-9


class IdentityPattern(Strict):
    """One identity of each subscriber of a group: ``#`` stands for a digit of its number."""

    type: IdentityType
    pattern: Annotated[str, Field(min_length=1, max_length=120)]

    @model_validator(mode="after")
    def _one_run(self) -> Self:
        if len(_PLACES.findall(self.pattern)) != 1:
            raise ValueError("needs one run of # characters for the subscriber's number")
        return self

    @property
    def digits(self) -> int:
        """How many digits the pattern leaves for the number."""
        return self.pattern.count("#")

    def identity(self, number: int) -> str:
        """The identity of subscriber `number`, zero-padded to the width of the pattern."""
        return _PLACES.sub(f"{number:0{self.digits}d}", self.pattern)


class Activity(Strict):
    """How sessions are spread over a group: evenly, or the n-th is chosen like n ** -zipf."""

    zipf: Annotated[float, Field(gt=0, le=10)]


class Subscribers(Strict):
    """Subscribers number `first` to `first + count - 1`, each with all these identities."""

    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    identities: Annotated[tuple[IdentityPattern, ...], Field(min_length=1)]
    first: Annotated[int, Field(ge=0)] = 1
    count: Annotated[int, Field(ge=1, le=SUBSCRIBERS_MAX)]
    share: Annotated[float, Field(gt=0)] | None = None
    """How many of all sessions are theirs, beside the other groups; without it, their number."""
    activity: Activity | None = None
    """Without it all are equally active."""
    uses: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names, or kinds, of the services that they use; without it all of them."""
    plan: Annotated[str, Field(max_length=100)] | None = None
    """What `ocs simulate provision` gives them; the traffic does not depend on it."""
    balance: Annotated[str, Field(pattern=r"^[0-9]{1,12}(\.[0-9]{1,6})?$")] | None = None
    """In currency units, for `ocs simulate provision`."""

    @model_validator(mode="after")
    def _room(self) -> Self:
        for pattern in self.identities:
            if self.first + self.count - 1 >= 10**pattern.digits:
                raise ValueError(
                    f"{pattern.pattern!r} has room for numbers up to {10**pattern.digits - 1}, "
                    f"not for {self.first + self.count - 1}"
                )
        return self

    def identities_of(self, position: int) -> tuple[tuple[IdentityType, str], ...]:
        """Type and text of each identity of the subscriber at 0 <= position < count."""
        return tuple((one.type, one.identity(self.first + position)) for one in self.identities)

    def pick(self, dice: random.Random) -> int:
        """The position of a subscriber, by activity: position 0 is the most active."""
        if self.activity is None:
            return dice.randrange(self.count)
        return zipf(self.activity.zipf, self.count, dice) - 1


def zipf(exponent: float, count: int, dice: random.Random) -> int:
    """A rank from 1 to `count`, each k with a probability like k ** -exponent."""
    if count == 1:
        return 1
    low = _integral(1.5, exponent) - 1.0
    high = _integral(count + 0.5, exponent)
    near = 2.0 - _inverse(_integral(2.5, exponent) - 2.0**-exponent, exponent)
    while True:
        area = high + dice.random() * (low - high)
        point = _inverse(area, exponent)
        rank = min(max(round(point), 1), count)
        if rank - point <= near or area >= _integral(rank + 0.5, exponent) - rank**-exponent:
            return rank


def _integral(point: float, exponent: float) -> float:
    """Of x ** -exponent from 1 to `point`."""
    flat = 1.0 - exponent
    if abs(flat) < _NEARLY_ONE:
        return math.log(point)
    return math.expm1(flat * math.log(point)) / flat


def _inverse(area: float, exponent: float) -> float:
    flat = 1.0 - exponent
    if abs(flat) < _NEARLY_ONE:
        return math.exp(area)
    return math.exp(math.log1p(max(area * flat, -1.0 + 1e-15)) / flat)
