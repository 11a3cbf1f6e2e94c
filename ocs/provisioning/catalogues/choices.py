"""The prices of a plan's service at one place and time: which holds, and why the others do not.

Called by prices and why, which show it beside the arithmetic.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ocs.catalog import choosing
from ocs.catalog.choosing import Situation
from ocs.catalog.conditions import CLOCK
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import PriceRule, ServiceTerms


def of_question(
    index: CatalogIndex, terms: ServiceTerms, chosen: PriceRule, zone: str,
    labels: Mapping[str, str], at_ns: int,
) -> dict[str, Any]:  # fmt: skip
    """Return what is said of each price where everything that is fulfilled is in ``labels``."""
    band = _band(index, terms, labels.get(CLOCK, ""), at_ns)
    said = {name: label for name, label in labels.items() if name != CLOCK}
    return _view(index, terms, chosen, Situation(zone, said, band))


def of_charge(
    index: CatalogIndex, terms: ServiceTerms, chosen: PriceRule, key: str, instants: Sequence[int]
) -> dict[str, Any]:
    """Return what is said of each price about a charge in the price context of ``key``.

    Of the instants the first counts at which ``chosen`` held.
    """
    at_ns = next(
        (one for one in instants if one and index.tariff_at(terms, key, one).rule is chosen),
        instants[-1],
    )
    clock = next(
        (part.partition("=")[2] for part in key.split() if part.startswith(f"{CLOCK}=")), ""
    )
    situation = choosing.situation_of(key, _band(index, terms, clock, at_ns))
    return _view(index, terms, chosen, situation)


def none() -> dict[str, Any]:
    """Return what is said where no price was looked for."""
    return {"rules": [], "rules_in_all": 0}


def _band(index: CatalogIndex, terms: ServiceTerms, clock: str, at_ns: int) -> str:
    if terms.subscriber_clock and clock:
        return index.calendar.on_clock(clock).at(at_ns)[0]
    return index.calendar.band_at(at_ns)[0]


def _view(
    index: CatalogIndex, terms: ServiceTerms, chosen: PriceRule, situation: Situation
) -> dict[str, Any]:
    found = choosing.reasons(terms.rules, chosen, index.places.dimensions, situation)
    return {
        "rules": [
            {"rule": one.rule, "chosen": one.chosen, "reason": one.words} for one in found
        ],
        "rules_in_all": len(terms.rules),
    }
