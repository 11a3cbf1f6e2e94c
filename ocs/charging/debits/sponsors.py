"""Charges that a sponsor pays instead of the account: zero-rated for whom uses it (K-216).

A price with a sponsor holds nothing and takes nothing of the account's, neither money nor free
units. What it comes to is in the account's ledger, once as money of the sponsor and once as
revenue, so that both sides are exact and can be billed. Called by usage, events and refunds.
"""

from __future__ import annotations

from ocs.amounts import round_half_up
from ocs.catalog.model import PriceRule, Service, ServiceTerms
from ocs.charging.model.decision import Decision
from ocs.charging.model.messages import Sponsored
from ocs.ledger import entries
from ocs.rating import pricing


def pay(
    decision: Decision, terms: ServiceTerms, sponsor: str, units: int, amount_micro: int,
    after_micro: int, paid: list[Sponsored],
) -> None:
    """Have a sponsor pay a charge, after which ``after_micro`` is charged in all by its price.

    The posting says what for; what is paid is added to ``paid``.
    """
    working_set, posting = decision.working_set, decision.posting
    mark = len(working_set.movements) + 1
    if amount_micro:
        entries.sponsor(working_set, decision.state, amount_micro, posting, sponsor)
        if terms.tax is not None:
            entries.split_tax(
                working_set, mark, posting, terms.tax, after_micro - amount_micro, after_micro
            )
    paid.append(Sponsored(sponsor, units, amount_micro))


def pay_event(
    decision: Decision, service: Service, rule: PriceRule, units: int
) -> list[Sponsored]:
    """Have the sponsor of a price pay a whole event, which the posting is about."""
    plan = decision.plan
    assert plan is not None
    cost = pricing.cost_micro(rule.price, units)
    paid: list[Sponsored] = []
    pay(decision, plan.terms[service.code], rule.sponsor, units, cost, cost, paid)
    return paid


def give_back(
    decision: Decision, paid: list[Sponsored], units: int
) -> list[Sponsored]:
    """Give sponsors back what they paid for so many units, the last ones first; return it."""
    given = []
    for one in reversed(paid):
        back = min(units, one.units)
        units -= back
        if back:
            amount = round_half_up(one.amount_micro * back, one.units)
            entries.sponsor(
                decision.working_set, decision.state, -amount, decision.posting, one.sponsor
            )
            given.append(Sponsored(one.sponsor, -back, -amount))
    return given
