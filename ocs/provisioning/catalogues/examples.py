"""The examples inside a catalogue, computed as `ocs price` computes them.

Called by provisioning.catalogues.catalogs before a catalogue is shown as sound or published.
"""

from collections.abc import Iterator

from ocs.amounts import format_amount, format_quantity
from ocs.catalog.conditions import CLOCK
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import Example
from ocs.errors import RefusedError, UsageError
from ocs.provisioning.catalogues.prices import Question, quote


def failures(index: CatalogIndex) -> Iterator[tuple[Example, str]]:
    """Yield every example that does not come to what it says, with what it comes to."""
    for example in index.catalog.examples:
        message = _failure(index, example)
        if message:
            yield example, message


def _failure(index: CatalogIndex, example: Example) -> str:
    expected = f"the example expects {_cost(index, example.costs_micro)}"
    try:
        computed = quote(index, _question(index, example))
    except (RefusedError, UsageError) as error:
        return f"{expected}, but there is no price: {error}"
    by = f"by price '{computed['rule']}'" if computed["rule"] else f"because {computed['steps'][0]}"
    if computed["cost_micro"] != example.costs_micro:
        return f"{expected}, but it costs {_cost(index, computed['cost_micro'])} {by}"
    if example.price not in ("", computed["rule"]):
        return f"the example expects price '{example.price}', but it costs what it should {by}"
    return ""


def _question(index: CatalogIndex, example: Example) -> Question:
    counted_in = index.catalog.services[example.service].counted_in
    when = [f"{one.dimension}={one.labels[0]}" for one in example.when]
    if example.clock:
        when.append(f"{CLOCK}={example.clock}")
    return Question(
        service=example.service,
        plan=example.plan,
        quantity=format_quantity(example.used, counted_in),
        before=format_quantity(example.before, counted_in),
        destination=example.destination,
        at_ns=example.at_ns,
        when=tuple(when),
    )


def _cost(index: CatalogIndex, amount_micro: int) -> str:
    return f"{format_amount(amount_micro)} {index.catalog.currency}"
