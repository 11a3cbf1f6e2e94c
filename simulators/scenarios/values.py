"""Values that scenarios are made of: numbers by chance, destinations, strict models for all rooms.

Used by the other modules of this package. Times are simulated seconds unless a name says real.
"""

import random
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Strict(BaseModel):
    """Knows all its keys, converts nothing and never changes."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


Probability = Annotated[float, Field(ge=0, le=1)]
ServerAddress = Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$")]
"""HOST:PORT of a server; an IPv6 address is in brackets."""
Unsigned32 = Annotated[int, Field(ge=0, lt=1 << 32)]


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of a `ServerAddress`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


class Distribution(Strict):
    """A random number: one number, ``uniform: [low, high]``, ``exponential: mean``, ``one_of``."""

    fixed: Annotated[float, Field(ge=0)] | None = None
    uniform: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] | None = None
    exponential: Annotated[float, Field(gt=0)] | None = None
    one_of: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _number_alone(cls, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return {"fixed": value}
        if not isinstance(value, dict):
            raise ValueError("give a number or one of uniform, exponential, one_of")  # noqa: TRY004
        return value

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("give a number or exactly one of uniform, exponential, one_of")
        if self.uniform is not None and self.uniform[0] > self.uniform[1]:
            raise ValueError("uniform needs the smaller number first")
        return self

    def sample(self, dice: random.Random) -> float:
        """One value; exponential ones are cut at ten times their mean."""
        if self.uniform is not None:
            return dice.uniform(*self.uniform)
        if self.exponential is not None:
            return min(dice.expovariate(1 / self.exponential), 10 * self.exponential)
        if self.one_of is not None:
            return dice.choice(self.one_of)
        return self.fixed or 0.0


def fixed(value: float) -> Distribution:
    """The distribution that is always `value`."""
    return Distribution(fixed=value)


class Destination(Strict):
    """Numbers that are called or written to: ``#`` stands for a random digit."""

    number: Annotated[str, Field(pattern=r"^[+0-9#]{1,40}$")]
    weight: Annotated[float, Field(gt=0)] = 1


def pick_number(destinations: tuple[Destination, ...], dice: random.Random) -> str:
    """A called number: a destination by its weight, its ``#`` filled with random digits."""
    chosen = dice.choices(destinations, [one.weight for one in destinations])[0]
    return "".join(str(dice.randrange(10)) if c == "#" else c for c in chosen.number)
