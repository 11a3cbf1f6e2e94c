"""Other currencies of a catalogue file, and plans that take them (K-323).

Called by loading.document and loading.plans.
"""

from ocs.amounts import parse_decimal
from ocs.catalog.exchange import Exchange, Rate
from ocs.catalog.model import Plan
from ocs.currencies import NUMERIC_BY_CODE
from ocs.marked import Mapping, Scalar, unknown_word

MAX_CURRENCIES = 50
MAX_RATE = 10**9
MAX_RATE_DECIMALS = 12
EXCHANGES = {"at-top-up": Exchange.AT_TOP_UP, "when-needed": Exchange.WHEN_NEEDED}


def read_currencies(root: Mapping, own: str) -> dict[str, Rate]:
    """Return the rates under ``currencies`` by currency; ``own`` is that of all amounts."""
    rates: dict[str, Rate] = {}
    for key, node in root.mapping("currencies").members():
        if len(rates) >= MAX_CURRENCIES:
            key.problem(f"there are more than {MAX_CURRENCIES} currencies")
            break
        if key.text not in NUMERIC_BY_CODE:
            key.problem(unknown_word(key.text, "no currency of ISO 4217", NUMERIC_BY_CODE))
        elif key.text == own:
            key.problem(f"{own} is the currency of all amounts, and has no rate")
        elif key.text in root.mapping("units").keys:
            key.problem(f"'{key.text}' is a unit of this catalogue too")
        if not isinstance(node, Scalar):
            node.problem(f"currency '{key.text}' needs a rate, such as 1.0842")
            continue
        try:
            rates[key.text] = Rate(key.text, *_rate(node.text))
        except ValueError as error:
            node.problem(str(error))
    return rates


def read_exchange(group: Mapping, rates: dict[str, Rate]) -> Exchange:
    """Return when a plan exchanges money in other currencies."""
    exchange = group.choice("exchange", EXCHANGES, default=Exchange.NEVER)
    if group.has("exchange") and not rates:
        group.entries["exchange"].problem(
            "there is nothing to exchange: give currencies, such as {USD: 0.92}"
        )
    return exchange


def check_exchanged(root: Mapping, plans: dict[str, Plan]) -> None:
    """Note currencies that no plan takes."""
    taken = any(plan.exchange is not Exchange.NEVER for plan in plans.values())
    if root.mapping("currencies").entries and not taken:
        root.keys["currencies"].problem(
            "no plan takes them: say exchange: at-top-up or exchange: when-needed in one"
        )


def _rate(text: str) -> tuple[int, int]:
    digits, scale = parse_decimal(text.strip())
    if scale > 10**MAX_RATE_DECIMALS:
        raise ValueError(f"'{text}' has more than {MAX_RATE_DECIMALS} decimals")
    if not 0 < digits <= MAX_RATE * scale:
        raise ValueError(f"'{text}' is no rate above 0 and up to {MAX_RATE}")
    return digits, scale
