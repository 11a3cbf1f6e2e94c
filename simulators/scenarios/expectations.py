"""What a scenario expects of its run: the blocks of `expect`, each about all of it or a part of it.

Read with the scenario (`model`); `simulators.verdicts` counts what happens and judges it.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from simulators.scenarios.values import Strict, Unsigned32

RequestName = Literal["initial", "update", "termination", "event"]
MoneyText = Annotated[str, Field(pattern=r"^-?[0-9]{1,12}(\.[0-9]{1,6})?$")]
_Name = Annotated[str, Field(min_length=1, max_length=100)]
_Milliseconds = Annotated[float, Field(gt=0)]


class Bound(Strict):
    """Where a number has to be; at least one of the three is given."""

    exactly: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        _check_bound(self.exactly, self.at_least, self.at_most)
        return self

    def holds(self, value: float) -> bool:
        """Whether a number is there."""
        return (
            (self.exactly is None or value == self.exactly)
            and (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
        )

    def __str__(self) -> str:
        parts = (("exactly", self.exactly), ("at least", self.at_least), ("at most", self.at_most))
        return ", ".join(f"{word} {value:g}" for word, value in parts if value is not None)


class MoneyBound(Strict):
    """Where an amount of money has to be, in currency units with up to six decimals."""

    exactly: MoneyText | None = None
    at_least: MoneyText | None = None
    at_most: MoneyText | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        _check_bound(*(micro(one) for one in (self.exactly, self.at_least, self.at_most)))
        return self

    def holds(self, amount_micro: int) -> bool:
        """Whether an amount is there."""
        exactly, low, high = micro(self.exactly), micro(self.at_least), micro(self.at_most)
        return (
            (exactly is None or amount_micro == exactly)
            and (low is None or amount_micro >= low)
            and (high is None or amount_micro <= high)
        )

    def __str__(self) -> str:
        parts = (("exactly", self.exactly), ("at least", self.at_least), ("at most", self.at_most))
        return ", ".join(f"{word} {value}" for word, value in parts if value is not None)


def _check_bound(exactly: float | None, low: float | None, high: float | None) -> None:
    if exactly is low is high is None:
        raise ValueError("give exactly, at_least, at_most, or at_least and at_most")
    if exactly is not None and not low is high is None:
        raise ValueError("exactly says it all: leave at_least and at_most out")
    if low is not None and high is not None and low > high:
        raise ValueError("at_least is more than at_most")


def micro(text: str | None) -> int | None:
    """Micro units of an amount written as currency units; None stays None."""
    if text is None:
        return None
    whole, _, decimals = text.lstrip("-").partition(".")
    amount = int(whole) * 1_000_000 + int(decimals.ljust(6, "0"))
    return -amount if text.startswith("-") else amount


def money_text(amount_micro: int) -> str:
    """An amount in currency units, with as many decimals as it needs and at least two."""
    whole, rest = divmod(abs(amount_micro), 1_000_000)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if amount_micro < 0 else ''}{whole}.{decimals}"


class ResultCodeExpected(Strict):
    """How often a result code comes."""

    code: Annotated[int, Field(ge=1, le=99_999)]
    of: Literal["command", "service"] = "command"
    """The Result-Code of the answer, or those of the services in it."""
    count: Bound | None = None
    share: Bound | None = None
    """Of all result codes of the same kind, from 0 to 1."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.count is None) == (self.share is None):
            raise ValueError("give count or share")
        return self


class GrantExpected(Strict):
    """How much is granted."""

    rating_group: Unsigned32 | None = None
    """Without it, of all."""
    unit: Literal["octets", "seconds", "events"] = "octets"
    each: Bound | None = None
    """Units of each grant."""
    total: Bound | None = None
    """Units of all grants together."""
    grants: Bound | None = None
    """How many grants."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.each is self.total is self.grants is None:
            raise ValueError("give each, total or grants")
        return self


class FinalUnitExpected(Strict):
    """How often final units are announced with an action."""

    action: Literal["terminate", "redirect", "restrict"]
    count: Bound


class LatencyExpected(Strict):
    """The highest latencies that are good enough, in milliseconds."""

    p50: _Milliseconds | None = None
    p95: _Milliseconds | None = None
    p99: _Milliseconds | None = None
    p999: _Milliseconds | None = None
    max: _Milliseconds | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("give at least one of p50, p95, p99, p999 and max")
        return self


class RatesExpected(Strict):
    """How fast it goes, per real second of the run or of the block's window."""

    requests_per_second: Bound | None = None
    answers_per_second: Bound | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.requests_per_second is self.answers_per_second is None:
            raise ValueError("give requests_per_second or answers_per_second")
        return self


class Expectation(Strict):
    """One block: a part of the run, all of it unless said otherwise, and what is expected there."""

    name: _Name | None = None
    """What verdicts about it are called."""
    service: _Name | None = None
    """Name or kind of a service."""
    subscribers: _Name | None = None
    """Name of a group of subscribers."""
    request: RequestName | None = None
    """Kind of request."""
    from_seconds: Annotated[float, Field(ge=0)] | None = None
    """Only what was due after so many real seconds of traffic, ..."""
    to_seconds: Annotated[float, Field(gt=0)] | None = None
    """... and before so many."""
    step: Annotated[int, Field(ge=1)] | None = None
    """A step of the ramp, the first being 1."""
    requests: Bound | None = None
    """How many, each once."""
    answered: Bound | None = None
    """Share of the requests that got an answer other than "busy", from 0 to 1."""
    nothing_lost: Literal[True] | None = None
    """Every request was answered and, of a whole run, every repeated answer was the first one."""
    result_codes: Annotated[tuple[ResultCodeExpected, ...], Field(max_length=64)] = ()
    no_other_result_codes: Literal[True] | None = None
    """No answer has a Result-Code that is not under `result_codes`."""
    granted: Annotated[tuple[GrantExpected, ...], Field(max_length=64)] = ()
    final_units: Annotated[tuple[FinalUnitExpected, ...], Field(max_length=3)] = ()
    latency_ms: LatencyExpected | None = None
    rates: RatesExpected | None = None
    balance: MoneyBound | None = None
    """Money of each subscriber who did something, after the run."""
    held: MoneyBound | None = None
    """What of it is reserved after the run."""
    spent: MoneyBound | None = None
    """Money that the sessions of the run cost, together."""
    reconciled: Literal[True] | None = None
    """What the server has charged is what the simulator has used."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        windowed = self.from_seconds is not None or self.to_seconds is not None
        if windowed and self.step is not None:
            raise ValueError("a step has its own time: leave from_seconds and to_seconds out")
        if self.to_seconds is not None and self.to_seconds <= (self.from_seconds or 0):
            raise ValueError("to_seconds has to be more than from_seconds")
        if not self.checks:
            raise ValueError("nothing is expected here")
        if self.no_other_result_codes and not any(one.of == "command" for one in self.result_codes):
            raise ValueError("no_other_result_codes needs result_codes of the command")
        part = self.service or self.request or windowed or self.step
        if part and self.needs_books:
            raise ValueError("balance, held, spent and reconciled are about subscribers as a whole")
        if self.reconciled and self.subscribers:
            raise ValueError("reconciled is about the whole run")
        return self

    @property
    def checks(self) -> set[str]:
        """The keys that expect something."""
        return {one for one in self.model_fields_set - _SCOPE if getattr(self, one)}

    @property
    def needs_books(self) -> bool:
        """Whether the server's books are needed to judge it."""
        return bool(self.checks & _BOOKS)

    @property
    def beyond_prepared(self) -> str:
        """What of it prepared load cannot be judged by, in words; empty if all of it can be."""
        if self.scope:
            return self.scope
        others = sorted(self.checks - _OF_PREPARED)
        if any(one.of == "service" for one in self.result_codes):
            others.append("result_codes of services")
        return ", ".join(others)

    @property
    def scope(self) -> str:
        """The part of the run in words; empty for all of it."""
        parts = [one for one in (self.service, self.subscribers, self.request) if one]
        if self.step is not None:
            parts.append(f"step {self.step}")
        if self.from_seconds is not None:
            parts.append(f"from {self.from_seconds:g} s")
        if self.to_seconds is not None:
            parts.append(f"to {self.to_seconds:g} s")
        return ", ".join(parts)


_SCOPE = {"name", "service", "subscribers", "request", "from_seconds", "to_seconds", "step"}
_BOOKS = {"balance", "held", "spent", "reconciled"}
_OF_PREPARED = {"latency_ms", "rates", "result_codes", "no_other_result_codes"}
"""What prepared load can be judged by, and only as a whole: nothing else is in its report."""
