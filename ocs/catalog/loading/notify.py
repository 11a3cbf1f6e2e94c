"""The section ``notify`` of a catalogue file: of what customers are told, for all plans or for one.

Called by loading.document for the section of the whole file, and by loading.plans for a plan's own,
whose keys replace single ones of it.
"""

import re
from collections.abc import Callable

from ocs.amounts import parse_amount
from ocs.catalog.conditions import HOME
from ocs.catalog.loading.values import seconds_up_to
from ocs.catalog.notify import NotifyPolicy
from ocs.marked import Mapping

MAX_THRESHOLDS = 10
MAX_EXPIRY_NOTICE_SECONDS = 366 * 86400
_PERCENT = re.compile(r"([0-9]{1,3}) ?%?")
_NOTHING = NotifyPolicy()


def read_notify(
    owner: Mapping, networks: dict[str, tuple[str, ...]], default: NotifyPolicy | None = None
) -> NotifyPolicy | None:
    """Return what ``notify`` of a file or of a plan says; None where nobody is told anything.

    ``default`` is what holds for a key that is left out, ``networks`` those of the file.
    """
    if not owner.has("notify"):
        return default
    group = owner.mapping("notify")
    known = default or _NOTHING
    used = _thresholds(group, "used", _percent, known.used)
    low_balance = _thresholds(group, "low_balance", _level, known.low_balance)
    expiry = _thresholds(group, "expiry", _notice, known.expiry)
    caps = _thresholds(group, "caps", _percent, known.caps)
    roaming = group.boolean("roaming", known.roaming)
    renewal = group.boolean("renewal", known.renewal)
    life_cycle = group.boolean("life_cycle", known.life_cycle)
    group.finish()
    if roaming and group.has("roaming") and HOME not in networks:
        group.keys["roaming"].problem(
            f"who is roaming is known by 'networks' with one named '{HOME}'"
        )
    policy = NotifyPolicy(
        used, low_balance[::-1], expiry[::-1], caps, roaming, renewal, life_cycle
    )
    return None if policy == _NOTHING else policy


_notice = seconds_up_to(MAX_EXPIRY_NOTICE_SECONDS)


def _level(text: str) -> int:
    """Return a balance; ``[2,00]`` is a list of two, and hardly what was meant."""
    if len(text) > 1 and text.isdecimal() and text.startswith("0"):
        raise ValueError(f"'{text}' begins with 0: amounts have a point, such as 2.00")
    return parse_amount(text)


def _thresholds(
    group: Mapping, key: str, parse: Callable[[str], int], default: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the values of a list, rising; each may be given once."""
    if group.get(key) is None:
        return tuple(sorted(default))
    values: list[int] = []
    for scalar in group.scalars(key):
        value = scalar.parsed(parse, None)
        if value is None:
            continue
        if value in values:
            scalar.problem(f"{scalar.describe()} is given twice")
        elif len(values) == MAX_THRESHOLDS:
            scalar.problem(f"there are more than {MAX_THRESHOLDS} of '{key}'")
        values.append(value)
    return tuple(sorted(values))


def _percent(text: str) -> int:
    found = _PERCENT.fullmatch(text.strip())
    if found is None or not 1 <= int(found[1]) <= 100:
        raise ValueError(f"'{text}' is no share of 1 % to 100 %")
    return int(found[1])
