"""Taxes of a catalogue file, and where services, plans and fees name them.

Called by loading.document, loading.plans and loading.recurring.
"""

from dataclasses import replace

from ocs.amounts import parse_decimal
from ocs.catalog.loading.values import check_code
from ocs.catalog.model import Price, PriceRule, Tier
from ocs.catalog.taxes import Tax
from ocs.marked import Mapping, unknown_word

MAX_TAXES = 20
MAX_RATE_DECIMALS = 6
NONE = "none"
"""In a plan: nothing that it sells is taxed."""


class Taxes:
    """The taxes of a file, and what is taxed by them."""

    def __init__(self, root: Mapping) -> None:
        self._by_code = _read_taxes(root)
        self._used: set[str] = set()
        self._plan = ""
        self._services: dict[str, str] = {}

    def enter_service(self, code: str, group: Mapping) -> None:
        """Read what a service says of all plans that sell it."""
        self._services[code] = self._named(group)

    def enter_plan(self, group: Mapping) -> None:
        """Read what a plan says of all that it sells."""
        self._plan = self._named(group, or_none=True)

    def of_service(self, code: str) -> Tax | None:
        """Return the tax on a service in the plan that is being read: the plan's, else its own."""
        return self._by_code.get(self._plan or self._services.get(code, ""))

    def of_fee(self, group: Mapping) -> Tax | None:
        """Return the tax on a recurring fee: that of the plan, else its own."""
        own = self._named(group)
        return self._by_code.get(self._plan or own)

    def check_unused(self, root: Mapping) -> None:
        """Note taxes that nothing names."""
        for code, key in root.mapping("taxes").keys.items():
            if code not in self._used:
                key.problem(f"tax '{code}' is named by no service, plan or fee")

    def _named(self, group: Mapping, *, or_none: bool = False) -> str:
        named = group.scalar("tax")
        if named is None:
            return ""
        if or_none and named.text == NONE:
            return NONE
        if named.text not in self._by_code:
            named.problem(unknown_word(named.text, "no tax of this catalogue", self._by_code))
            return ""
        self._used.add(named.text)
        return named.text


def with_tax(rules: tuple[PriceRule, ...], tax: Tax | None) -> tuple[PriceRule, ...]:
    """Return prices with the tax in them: rates exactly, flat amounts rounded half up (K-282)."""
    if tax is None or tax.included:
        return rules
    return tuple(replace(rule, price=_price_with(rule.price, tax)) for rule in rules)


def _price_with(price: Price, tax: Tax) -> Price:
    rate_micro, per = tax.on_rate(price.rate_micro, price.per)
    tiers = []
    for tier in price.tiers:
        tier_rate, tier_per = tax.on_rate(tier.rate_micro, tier.per)
        tiers.append(Tier(tier.up_to, tier_rate, tier_per, tax.on_top(tier.flat_micro)))
    maximum = price.maximum_micro
    return replace(
        price, rate_micro=rate_micro, per=per, setup_micro=tax.on_top(price.setup_micro),
        tiers=tuple(tiers), maximum_micro=None if maximum is None else tax.on_top(maximum),
    )


def _read_taxes(root: Mapping) -> dict[str, Tax]:
    taxes: dict[str, Tax] = {}
    for key, node in root.mapping("taxes").members():
        code = check_code(key, "tax")
        if not isinstance(node, Mapping):
            node.problem(f"tax '{code}' needs a group of keys")
        elif len(taxes) >= MAX_TAXES:
            key.problem(f"there are more than {MAX_TAXES} taxes")
            break
        elif code == NONE:
            key.problem(f"'{NONE}' cannot be the code of a tax; plans say it for no tax")
        else:
            numerator, denominator = node.parsed("rate", _rate, (1, 100), required=True)
            included = node.boolean("included", default=True)
            taxes[code] = Tax(code, numerator, denominator, included)
            node.finish()
    return taxes


def _rate(text: str) -> tuple[int, int]:
    number = text.strip()
    digits, scale = parse_decimal(number.removesuffix("%").strip())
    if not number.endswith("%"):
        raise ValueError(f"'{text}' is no rate such as 21 % or 7.5 %")
    if scale > 10**MAX_RATE_DECIMALS:
        raise ValueError(f"'{text}' has more than {MAX_RATE_DECIMALS} decimals")
    if not 0 < digits <= 100 * scale:
        raise ValueError(f"'{text}' is not more than 0 % and at most 100 %")
    return digits, 100 * scale
