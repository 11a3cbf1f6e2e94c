"""A plan that promises something for top-ups, and several desks at once on one database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from ocs import yamldoc
from ocs.clock import IdSource, ManualClock
from ocs.provisioning.desk import Desk
from ocs.store import dialects
from ocs.store.reading import Reader
from ocs.store.sql import SqlStore
from tests.support.desks import CATALOGUE, Office

OTHER = "4915199999999"
"""The number of a second subscriber."""
OFFERS = """\
    life_cycle:
      starts: first-use
      validity: 30 d
      grace: 10 d
      barred: 20 d
      top_up_validity: [{from: 5.00, validity: 30 d}]
    allowances:
      start: {unit: octets, amount: 1 MB, services: data, expires_after: 7 d}
    top_up_bonus:
      extra: {from: 10.00, share: 10 %, maximum: 1.50, expires_after: 30 d}
      data: {from: 10.00, up_to: 20.00, unit: octets, amount: 5 MB, services: data}
      gift: {amount: 3.00, promotion: january}
"""
PROMOTIONS = """\
promotions:
  january: {from: 2026-01-06, to: 2026-01-08T00:00, times: 2}
"""


def offers() -> str:
    """Return the black-box catalogue with an offer in its plan ``basic``."""
    text = yamldoc.read_text(CATALOGUE)
    head, plan, rest = text.partition("  basic:\n")
    lines = rest.splitlines(keepends=True)
    end = next(
        (number for number, line in enumerate(lines) if line.strip() and line[:3].strip()),
        len(lines),
    )
    head = head.replace("services:\n", PROMOTIONS + "services:\n", 1)
    return head + plan + "".join(lines[:end]) + OFFERS + "".join(lines[end:])


TERMS = "{fee: 0.10, minimum: 1.00, maximum: 5.00, daily: 7.00, daily_count: 3, keeps: 0.50}"


def allowing(terms: str = TERMS) -> str:
    """Return the black-box catalogue with transfers in its plan ``basic``."""
    text = yamldoc.read_text(CATALOGUE)
    return text.replace("  basic:\n", f"  basic:\n    transfers: {terms}\n", 1)


@contextmanager
def desks(url: str, clock: ManualClock, count: int) -> Iterator[list[Office]]:
    """Yield desks of their own stores and ids on one database, as in processes of their own."""
    with ExitStack() as stack:
        made = []
        for node in range(10, 10 + count):
            ids = IdSource(clock, node)
            store = SqlStore(url, ids, allow_unsafe=True)
            stack.callback(store.close)
            engine = dialects.open_engine(url, "plain", 2)
            stack.callback(engine.dispose)
            made.append(Office(Desk(store, Reader(engine), clock, ids, f"desk {node}"), clock, url))
        yield made


def at_once(acts: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run functions in threads of their own; insist that all of them end."""
    with ThreadPoolExecutor(len(acts)) as threads:
        return [done.result(120) for done in [threads.submit(act) for act in acts]]
