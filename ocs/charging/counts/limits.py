"""Limits over days, weeks and months: what is left of them, and what was used (K-207 to K-211).

A plan's limits and the customer's own caps are counted in the account's counters, by usage that is
reported and by claims of what is granted still, so that sessions at a time do not pass a limit
together. Usage that has happened is charged and counted in any case. Called by granting, together,
usage, events and refunds, only for accounts that have limits (``Decision.limited``), and by refunds
of operators.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocs.amounts import MONEY
from ocs.catalog.limits import Limit
from ocs.catalog.model import FREE, Plan, Price, Service
from ocs.catalog.periods import Periods
from ocs.charging.accounts import notices
from ocs.charging.counts import counters, prices
from ocs.charging.model.decision import Decision, Part, Room
from ocs.charging.model.limit_counts import counter_at, covers, left, of_service
from ocs.charging.model.session import Claim
from ocs.charging.model.size import Size
from ocs.charging.model.working_set import WorkingSet
from ocs.errors import NotFoundError
from ocs.ledger.account import Account, Counter

_NEVER_NS = 1 << 63


def member_of(decision: Decision) -> int:
    """Return the member whose limits count what is used."""
    return (decision.session or decision.request).subscriber_id


def _limits(
    decision: Decision, service: Service, at_ns: int, claimed: Sequence[Claim] = ()
) -> list[tuple[Limit, Counter | None]]:
    """Return the limits of a service with what counts them in the period of an instant, or in that
    in which something was claimed; None: there is no room to count it.
    """
    account, member, found = decision.state.account, member_of(decision), []
    for limit, code, subscriber_id in of_service(decision.plan, account, service, member):
        since_ns = (claimed and counters.claimed_ns(claimed, code, subscriber_id)) or at_ns
        counter = counters.of_period(decision, code, subscriber_id, limit.period, since_ns)
        found.append((limit, counter))
    return found


def _counted(
    decision: Decision, service: Service, at_ns: int, claimed: Sequence[Claim] = ()
) -> list[tuple[Limit, Counter]]:
    """Return those that are counted."""
    found = _limits(decision, service, at_ns, claimed)
    return [(limit, counter) for limit, counter in found if counter is not None]


def _of_report(decision: Decision, part: Part) -> list[tuple[Limit, Counter]]:
    """Return the limits of a report, counted in the periods in which it was granted."""
    return _counted(decision, part.service, decision.request.event_ns, part.claimed)


def applies(decision: Decision, part: Part) -> bool:
    """Tell whether a part is of what limits count: no emergency, nor a call that is free."""
    said = decision.session or decision.request.attributes
    return not said.emergency and (part.charges or part.terms.mode is FREE)


def applies_to_free(decision: Decision, service: Service) -> bool:
    """Tell whether an event that costs nothing is of what limits count: by its plan's terms."""
    terms = decision.plan.terms.get(service.code) if decision.plan is not None else None
    said = decision.request.attributes
    return terms is not None and terms.mode is FREE and not said.emergency


def look(decision: Decision, part: Part, wanted: int) -> int:
    """Note what the limits leave for the next grant; return how much of ``wanted`` it may be."""
    if not applies(decision, part):
        return wanted
    found = part.room = _room(decision, part)
    if found is None or found.units is None or found.units >= wanted:
        return wanted
    return found.units


def is_full(found: Room) -> bool:
    """Tell whether nothing can be granted because of a limit."""
    return found.micro == 0 or (found.stops and found.units == 0)


def _room(decision: Decision, part: Part) -> Room | None:
    found = Room(ends_ns=_NEVER_NS)
    for limit, counter in _limits(decision, part.service, decision.request.event_ns):
        if counter is None:
            return Room(units=0, stops=True, limit=limit.code)
        found.ends_ns = min(found.ends_ns, counter.ends_ns)
        rest = left(limit, counter)
        if limit.unit is MONEY:
            promised_micro = _promised_micro(decision, limit, counter)
            rest -= promised_micro
            if found.micro is None or rest < found.micro:
                found.micro, found.limit = max(0, rest), limit.code
                found.shared = counter.reserved_micro > 0 or promised_micro > 0
            if counter.subscriber_id:
                own_micro = max(0, rest)
                if found.member_micro is None or own_micro < found.member_micro:
                    found.member_micro = own_micro
        elif limit.changes_price and rest <= 0:
            continue
        elif found.units is None or rest < found.units:
            found.units, found.stops = max(0, rest), not limit.changes_price
            found.limit, found.shared = limit.code, counter.granted > 0
    return found if found.ends_ns != _NEVER_NS else None


def _promised_micro(decision: Decision, limit: Limit, counter: Counter) -> int:
    """Return what all that is granted at counted prices can come to still, in any order (K-204).

    It is asked for anew each time: when one of the sessions ends unused, the others come to less,
    but seldom to as much less as its grant has added.
    """
    total = 0
    for one in decision.state.account.counters_of(counter.subscriber_id):
        if one.granted and counters.is_of_price(one) and covers(limit, counter, one):
            price = _price_of(decision, one)
            # A price that is not kept any more is what was held for it.
            total += (
                prices.promised_micro(price, one) if price is not None
                else sum(entry.amount for entry in one.holds)
            )  # fmt: skip
    return total


def _price_of(decision: Decision, counter: Counter) -> Price | None:
    index = decision.index
    assert index is not None
    try:
        return index.rule(*counter.code.split("/")).price
    except NotFoundError:
        return None


def judge(part: Part, size: Size) -> None:
    """Note on a grant whether a limit is why it is the last (K-207)."""
    found = part.room
    assert found is not None
    ends = found.stops and found.units is not None and size.units >= found.units
    if not ends and found.micro is not None and not any(one.available > 0 for one in part.units):
        more_micro = size.reserved_micro if size.counter is None else size.promised_micro
        payer, left_micro = size.payer, found.micro - more_micro
        ends = payer is not None and not payer.affordable(size.paid, left_micro, 1)
        if payer is not None and size.dearest_micro and found.member_micro is not None:
            left_micro = found.member_micro - payer.alone(size.paid)
            ends = ends or payer.dearest(size.paid, 1) > left_micro
    if ends and not size.final:
        size.short_of_others = found.shared or _shares_count(size)
        size.final = not size.short_of_others


def _shares_count(size: Size) -> bool:
    """Tell whether what others report first may leave more of a limit of one member."""
    counter = size.counter
    return size.dearest_micro > 0 and counter is not None and counter.granted > size.paid


def claim(decision: Decision, part: Part, size: Size) -> None:
    """Count a grant as what may be used still, until it is reported."""
    found = part.room
    assert found is not None
    for limit, counter in _counted(decision, part.service, decision.request.event_ns):
        units, micro = size.units, 0
        if limit.unit is MONEY:
            units, micro = 0, size.reserved_micro
            if size.counter is not None:
                # What all that is granted comes to is asked for anew each time; whose cost it will
                # be, where others share the count, nobody knows.
                covered = covers(limit, counter, size.counter)
                micro = 0 if covered else size.dearest_micro
        counters.claim(decision, part.quota, counter, units, micro)
    size.bucket_expiry_ns = min(size.bucket_expiry_ns or _NEVER_NS, found.ends_ns)


def until_change(decision: Decision, part: Part) -> int | None:
    """Return how many units more are used before another price holds; None: there is no end."""
    rest = [
        left(limit, counter)
        for limit, counter in _of_report(decision, part)
        if limit.changes_price and left(limit, counter) > 0
    ]
    return min(rest, default=None)


def count(decision: Decision, part: Part, units: int, charged_micro: int) -> None:
    """Count what was used and what it cost, in the periods in which it was granted."""
    for limit, counter in _of_report(decision, part):
        _add(decision, limit, counter, units, charged_micro)
        _tell(decision, limit, counter)


def _add(
    decision: Decision, limit: Limit, counter: Counter, units: int, charged_micro: int
) -> None:
    if limit.unit is MONEY:
        units = 0
    account = decision.state.account
    counters.count(decision.working_set, account, counter, units, charged_micro)


def _tell(decision: Decision, limit: Limit, counter: Counter) -> None:
    notices.count(
        decision.working_set, decision.state.account, decision.plan, counter,
        counter.charged_micro if limit.unit is MONEY else counter.units, limit.amount,
        decision.context.now_ns, subject=limit.code, unit=limit.unit.label,
    )


def tell(decision: Decision, service: Service, at_ns: int) -> None:
    """Tell the customer of thresholds of limits that an event has passed."""
    for limit, counter in _counted(decision, service, at_ns):
        _tell(decision, limit, counter)


def _rest(decision: Decision, limit: Limit, counter: Counter) -> int:
    rest = left(limit, counter)
    return rest - _promised_micro(decision, limit, counter) if limit.unit is MONEY else rest


def passed(decision: Decision, service: Service, units: int, charged_micro: int) -> str:
    """Return the code of the first limit that an event would pass, of those that stop usage."""
    for limit, counter in _limits(decision, service, decision.request.event_ns):
        wanted = charged_micro if limit.unit is MONEY else units
        if wanted <= 0 or limit.changes_price:
            continue
        if counter is None or _rest(decision, limit, counter) < wanted:
            return limit.code
    return ""


def count_event(
    decision: Decision, service: Service, units: int, charged_micro: int, at_ns: int
) -> None:
    """Count an event, or with negative amounts what is taken back of one at ``at_ns``."""
    for limit, counter in _counted(decision, service, at_ns):
        _add(decision, limit, counter, units, charged_micro)


def take_back(
    decision: Decision, service: Service, subscriber_id: int, units: int, charged_micro: int,
    at_ns: int,
) -> None:  # fmt: skip
    """Count what a refund gives back as not used, in the periods that counted it.

    ``subscriber_id`` is whose limits counted it, whoever asks; 0: where that is not known.
    """
    index = decision.index
    assert index is not None
    give_back(
        decision.working_set, decision.state.account, decision.plan, index.periods, service,
        subscriber_id or member_of(decision), units, charged_micro, at_ns,
    )


def give_back(
    working_set: WorkingSet, account: Account, plan: Plan | None, periods: Periods,
    service: Service, subscriber_id: int, units: int, charged_micro: int, at_ns: int,
) -> None:
    """As ``take_back``, for who has no decision."""
    for limit, code, member in of_service(plan, account, service, subscriber_id):
        counter = counter_at(account, periods, code, member, limit.period, at_ns)
        back = units if limit.unit is not MONEY else 0
        counters.take_back(working_set, account, counter, back, charged_micro)
