"""What the demo shows while traffic flows: a live table on a terminal, plain lines elsewhere."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

from simulators.reports.report import Measurements, summarise

_PLAIN_EVERY_SECONDS = 2.0
_LIVE_EVERY_SECONDS = 0.5
_BAR = 12

Balances = Callable[[], list[dict[str, Any]]]
"""Reads the subscribers as they stand in the database."""


class DemoView:
    """Given the simulation's measurements, shows them together with the subscribers' balances."""

    def __init__(self, target: Console, balances: Balances) -> None:
        self._target = target
        self._balances = balances
        self._first = {row["account_id"]: row for row in balances()}
        self._shown = -10.0
        self._last = (0.0, 0)
        self._live = Live(console=target, auto_refresh=False) if target.is_terminal else None

    def running(self) -> AbstractContextManager[Any]:
        """What surrounds the simulation."""
        return self._live if self._live is not None else nullcontext()

    def show(self, measured: Measurements, seconds: float) -> None:
        """Called by the simulation a few times a second."""
        every = _LIVE_EVERY_SECONDS if self._live is not None else _PLAIN_EVERY_SECONDS
        if seconds - self._shown < every:
            return
        self._shown = seconds
        rows = self._balances()
        before, count = self._last
        rate = (measured.answered - count) / max(seconds - before, 0.001)
        self._last = (seconds, measured.answered)
        if self._live is not None:
            both = Group(_traffic(measured, seconds, rate), self._money(rows))
            self._live.update(both, refresh=True)
            return
        money = sum(row["balance_micro"] for row in rows) / 1_000_000
        latency = summarise(measured.all_latencies())
        self._target.print(
            f"{seconds:5.1f} s  {rate:5.0f} requests/s  p50 {latency.p50:.1f} ms"
            f"  p99 {latency.p99:.1f} ms  grants {granted(measured)}  refusals {refused(measured)}"
            f"  all balances {money:.2f}",
            soft_wrap=True,
        )

    def _money(self, rows: list[dict[str, Any]]) -> RenderableType:
        table = Table(title="balances", title_justify="left")
        for name in ("subscriber", "plan"):
            table.add_column(name)
        for name in ("at the start", "now", "held"):
            table.add_column(name, justify="right")
        table.add_column("")
        for row in rows:
            first = self._first.get(row["account_id"], row)
            full = max(first["balance_micro"], 1)
            left = min(max(row["balance_micro"], 0) * _BAR // full, _BAR)
            table.add_row(
                _msisdn(row),
                row["plan"],
                first["balance"],
                row["balance"],
                row["held"],
                "█" * left + "·" * (_BAR - left),
            )
        return table


def _traffic(measured: Measurements, seconds: float, rate: float) -> RenderableType:
    latency = summarise(measured.all_latencies())
    table = Table(title=f"traffic after {seconds:.0f} s", title_justify="left")
    columns = ("requests/s", "answers", "p50 ms", "p95 ms", "p99 ms", "grants", "refused")
    for name in columns:
        table.add_column(name, justify="right")
    table.add_row(
        f"{rate:.0f}",
        str(measured.answered),
        f"{latency.p50:.1f}",
        f"{latency.p95:.1f}",
        f"{latency.p99:.1f}",
        str(granted(measured)),
        str(refused(measured)),
    )
    return table


def granted(measured: Measurements) -> int:
    """Grants of quota and charged events so far."""
    tally = measured.tally
    return tally["grant"] + tally["final grant"] + tally["events charged"]


def refused(measured: Measurements) -> int:
    """Refusals so far, of a service or of a whole request."""
    return sum(count for word, count in measured.tally.items() if word.startswith("refused"))


def _msisdn(row: dict[str, Any]) -> str:
    names = [str(name) for name in row["identities"] if name.startswith("msisdn:")]
    return str(names[0].removeprefix("msisdn:") if names else row["account_id"])
