"""What the server said is left of some subscribers' money, over time (Remaining-Balance).

Filled by `watcher` from answers that carry it; reports draw it.
"""

from dataclasses import dataclass

from protocol.credit_control import Money

SUBSCRIBERS_MAX = 8
"""Subscribers whose balances are kept: those whom the server told about first."""
POINTS_MAX = 500
"""Points of each; when there are more, every second one goes."""


@dataclass(frozen=True, slots=True)
class BalanceLine:
    """One subscriber's balances: seconds since the traffic began, and amounts at them."""

    subscriber: str
    currency: int | None
    """ISO 4217 number, if it was told."""
    seconds: list[float]
    amounts: list[float]


class Balances:
    """Collects them in bounded memory."""

    def __init__(self) -> None:
        self._lines: dict[str, BalanceLine] = {}

    def note(self, seconds: float, subscriber: str, money: Money) -> None:
        """The server has told a balance."""
        line = self._lines.get(subscriber)
        if line is None:
            if len(self._lines) >= SUBSCRIBERS_MAX:
                return
            line = self._lines[subscriber] = BalanceLine(subscriber, money.currency_code, [], [])
        if len(line.seconds) >= POINTS_MAX:
            del line.seconds[1::2], line.amounts[1::2]
        line.seconds.append(round(seconds, 3))
        line.amounts.append(money.value_digits * 10.0 ** (money.exponent or 0))

    def result(self) -> list[BalanceLine]:
        """The lines of those whose balance was told more than once."""
        return [line for line in self._lines.values() if len(line.seconds) > 1]
