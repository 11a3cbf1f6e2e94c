"""The catalogue of the sample, small as it is or grown to what a large operator has."""

import random
import re

from config import sample_catalogue_path
from ocs.catalog.loading.number_plans import attach

PLANS, PREFIXES = 500, 50_000
_FILE = "prefixes.csv"
_ZONES = ("european-union", "north-america", "satellite")


def text(*, large: bool) -> str:
    """Return the sample catalogue; ``large``: with 500 plans and 50,000 prefixes.

    The plans are copies of the first one, and no added prefix is one that the load calls, so that
    both charge the same.
    """
    sample = sample_catalogue_path().read_text(encoding="utf-8")
    if not large:
        return sample
    start = sample.index("\n  basic:\n", sample.index("\nplans:\n")) + 1
    following = re.compile(r"^  [a-z]|^[a-z]", re.MULTILINE).search(sample, start + 3)
    assert following is not None
    plan = sample[start : following.start()]
    known = len(re.findall(r"^  [a-z-]+:", sample[sample.index("\nplans:\n") :], re.MULTILINE))
    copies = "".join(
        plan.replace("  basic:", f"  basic-{number}:", 1) for number in range(PLANS - known)
    )
    grown = sample[: following.start()] + copies + sample[following.start() :]
    return attach(f"{grown}\nnumber_plans:\n  - {{file: {_FILE}}}\n", {_FILE: _prefixes()})


def _prefixes() -> str:
    chance = random.Random(1)
    found: dict[str, str] = {}
    while len(found) < PREFIXES:
        digits = chance.randint(5, 9)
        found.setdefault(
            f"{chance.choice('257')}{chance.randrange(10**digits):0{digits}d}",
            chance.choice(_ZONES),
        )
    return "".join(f"{prefix},{zone}\n" for prefix, zone in found.items())
