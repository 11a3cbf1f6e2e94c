"""Usage that waits for a person: accept debits it, dismiss lets it go (decisions D05 and D11).

Called by the command line. Accepted usage of a session that is still kept continues its charge
context, so that the session's debits stay the cost of its usage.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from ocs.amounts import Unit, format_amount
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import Period, Price, ServiceTerms
from ocs.catalog.taxes import Tax
from ocs.charging.accounts import purses
from ocs.charging.adoption import same_terms
from ocs.charging.counts import counters, prices
from ocs.charging.debits.parking import PARKED, UNRATED
from ocs.charging.model.limit_counts import of_service
from ocs.charging.model.messages import (
    ChargedLine,
    ChargingRecord,
    ChargingReply,
    Outcome,
    RatingAttributes,
    RequestKind,
)
from ocs.charging.model.session import ChargeContext, Session, make_session_key
from ocs.charging.model.working_set import (
    AccountState,
    NewRecord,
    RequestKey,
    ReviewItem,
    WorkingSet,
)
from ocs.charging.quotas.contexts import cost_in_context, find_context
from ocs.errors import NotFoundError, RefusedError
from ocs.ledger import entries
from ocs.ledger.account import Account, AccountFlag, Counter, Movement
from ocs.provisioning.catalogues.catalogs import Catalogues
from ocs.provisioning.customers.postings import account_of
from ocs.provisioning.desk import Desk
from ocs.provisioning.usage.unrated import priced_today
from ocs.provisioning.views import review_view
from ocs.rating import pricing
from ocs.store.reports import PAGE_ROWS

OPEN, ACCEPTED, DISMISSED = "open", "accepted", "dismissed"
CHARGES_MAX = 100
"""Charges of a session that are looked through for the one that an item follows."""


def listing(desk: Desk, state: str = OPEN) -> Iterator[dict[str, Any]]:
    """Yield what waits, oldest first; an empty ``state`` yields what was decided too."""
    after = 0
    while True:
        page = desk.reports.reviews(after, PAGE_ROWS, state)
        for item in page:
            yield review_view(item)
        if len(page) < PAGE_ROWS:
            return
        after = page[-1].review_id


def accept(desk: Desk, catalogues: Catalogues, review_id: int) -> dict[str, Any]:
    """Debit parked usage in full, as if it had been plausible. Returns the item and the entry.

    Raises NotFoundError, RefusedError when it was decided before or has no price.
    """
    item = _find_open(desk, review_id)
    if item.kind == UNRATED:
        item, index, plan = priced_today(desk, catalogues, item)
    else:
        index, plan = catalogues.version(item.catalogue_version), _plan_of(desk, item)
    last = _is_last(desk, item)
    offer = _Offer(catalogues, item, index, plan, catalogues.current())
    key = _key(desk, item)
    before = next(
        (
            moved
            for moved in desk.ledger.last_charges(
                item.account_id, key.session_key, item.service, item.rule, item.zone,
                CHARGES_MAX,
            )
            if offer.is_sold_in(moved.catalogue_version, _plan_of_charge(desk, moved))
        ),
        None,
    )

    def decide(working_set: WorkingSet) -> dict[str, Any]:
        state = account_of(working_set, item.account_id)
        session = _session_of(working_set, key)
        charge = _Charge(offer, state.account, session, before, desk.clock.now_ns())
        entry = _debit(desk, working_set, state, charge, key)
        amount_micro = charge.amount_micro
        _resolve(
            desk, working_set, state, item, ACCEPTED, last=last, entry=entry,
            amount=format_amount(amount_micro),
        )  # fmt: skip
        shown = msgspec.structs.replace(item, state=ACCEPTED, amount_micro=amount_micro)
        return {**review_view(shown), "entry": entry}

    return desk.store.transact([key], decide, "review accept")


def dismiss(desk: Desk, review_id: int) -> dict[str, Any]:
    """Let parked usage go: nothing is debited. Returns the item.

    Raises NotFoundError, RefusedError when it was decided before.
    """
    item = _find_open(desk, review_id)
    last = _is_last(desk, item)

    def decide(working_set: WorkingSet) -> dict[str, Any]:
        state = working_set.accounts[item.account_id]
        _resolve(desk, working_set, state, item, DISMISSED, last=last)
        return {**review_view(msgspec.structs.replace(item, state=DISMISSED)), "entry": ""}

    return desk.store.transact([_key(desk, item)], decide, "review dismiss")


@dataclass(frozen=True, slots=True)
class _Offer:
    """The catalogue and plan that an item was reported under."""

    catalogues: Catalogues
    item: ReviewItem
    index: CatalogIndex
    plan: str
    in_force: CatalogIndex
    """By which purses are exchanged."""

    def is_sold_in(self, version: int, plan: str) -> bool:
        """Tell whether another version and plan count the item's service on where this one did."""
        if (version, plan) == (self.item.catalogue_version, self.plan):
            return True
        other = self.catalogues.version(version)
        return same_terms(self.index, self.plan, other, plan, self.item.service)


class _Charge:
    """What an accepted item costs, and the charge context that it continues."""

    def __init__(
        self, offer: _Offer, account: Account, session: Session | None,
        last_charge: Movement | None, now_ns: int,
    ) -> None:
        item, index, plan = offer.item, offer.index, offer.plan
        self.item, self.session, self.plan, self.index = item, session, plan, index
        self._offer = offer
        self.in_force = offer.in_force
        self.context: ChargeContext | None = None
        self.counter: Counter | None = None
        self.price: Price | None = None
        self.before = item.units_before
        self.slot_ns = item.slot_ns
        self.amount_micro = 0
        self.tax: Tax | None = None
        self.before_micro = 0
        """What was charged by the same price before, which its tax is rounded after."""
        if item.kind == PARKED:
            self._find_context(last_charge)
        else:
            # All other usage stands alone: no timeline of a session prices it.
            self.slot_ns = 0
        terms = index.catalog.plans[plan].terms.get(item.service) if item.rule else None
        self.is_counted = terms is not None
        """Whether limits count it: not what was free for another reason than its price."""
        if terms is None:
            return
        self.price = price = index.rule(plan, item.service, item.rule).price
        self.tax = terms.tax
        if price.counted:
            self._count(account, price, now_ns)
        else:
            self.amount_micro = self._cost(index, terms, price)

    def _count(self, account: Account, price: Price, now_ns: int) -> None:
        """Continue the count of the period that the usage belongs to (K-203)."""
        item, session = self.item, self.session
        counter = counters.provide(
            account, prices.price_code(self.plan, item.service, item.rule),
            session.subscriber_id if price.by_member and session else 0,
            self._offer.index.periods.around(item.slot_ns or item.event_ns, price.counted), now_ns,
        )
        if counter is None or counter.units + item.units > counters.UNITS_MAX:
            raise RefusedError(f"review {item.review_id} cannot be counted: {counters.NO_ROOM}")
        self.context, self.counter = None, counter
        self.before, self.slot_ns = counter.units, counter.period_ns
        self.amount_micro = pricing.charge_micro(price, counter.units, item.units)
        self.before_micro = pricing.cost_micro(price, counter.units)

    def _find_context(self, last_charge: Movement | None) -> None:
        """Continue the session's count, or where its last charge ended when it is gone."""
        item, session = self.item, self.session
        if session and not self._offer.is_sold_in(session.catalogue_version, session.plan):
            # It came to another price meanwhile, which is counted from nothing.
            session = None
        for quota in session.quotas if session else ():
            if quota.service != item.service:
                continue
            for slot_ns in (item.slot_ns, quota.started_ns):
                context = find_context(quota, item.rule, item.zone, slot_ns)
                if context is not None:
                    self.context, self.slot_ns = context, slot_ns
                    self.before = context.paid_units
                    return
        if last_charge is not None:
            self.slot_ns, self.before = last_charge.slot_ns, last_charge.units_after

    def _cost(self, index: CatalogIndex, terms: ServiceTerms, price: Price) -> int:
        unit, zone = Unit(self.item.unit), self.item.zone

        def cost(units: int) -> int:
            if not self.slot_ns:
                return pricing.cost_micro(price, units)
            found = cost_in_context(index, terms, unit, price, zone, self.slot_ns, units)
            return found or 0

        self.before_micro = cost(self.before)
        return cost(self.before + self.item.units) - self.before_micro


def _debit(
    desk: Desk, working_set: WorkingSet, state: AccountState, charge: _Charge, key: RequestKey
) -> str:
    """Book the charge and its record; return the first ledger entry, empty when it is free."""
    item, session, now_ns = charge.item, charge.session, desk.clock.now_ns()
    request_id = working_set.new_request_id()
    amount_micro = charge.amount_micro
    taken, tax_micro = [], 0
    subscriber_id = session.subscriber_id if session else 0
    buckets = entries.spendable(state, Unit.MONEY, item.service, subscriber_id, now_ns)
    counter, holds = charge.counter, []
    if counter is not None:
        # What is held for sessions that share the count may be what pays.
        holds = counters.take_holds(working_set, state, counter)
        counters.count(working_set, state.account, counter, item.units, amount_micro)
    if amount_micro:
        posting = entries.Posting(
            request_id, item.event_ns, now_ns, service=item.service, rule=item.rule,
            zone=item.zone, slot_ns=charge.slot_ns, units_before=charge.before,
            units_after=charge.before + item.units, catalogue_version=item.catalogue_version,
        )  # fmt: skip
        own_micro = purses.look(state, charge.in_force, now_ns)
        mark = len(working_set.movements)
        taken = entries.take_money(working_set, state, buckets, amount_micro, posting)
        if charge.tax is not None:
            tax_micro = entries.split_tax(
                working_set, mark, posting, charge.tax, charge.before_micro,
                charge.before_micro + amount_micro,
            )
        if own_micro is not None:
            purses.bring_in(working_set, state, posting, own_micro)
    if counter is not None and charge.price is not None:
        prices.hold_for_others(working_set, state, buckets, counter, charge.price, holds)
    _count_for_limits(working_set, state, charge, subscriber_id, now_ns)
    if charge.context is not None:
        charge.context.paid_units += item.units
        charge.context.charged_micro += amount_micro
    if session is not None:
        session.charged_micro += amount_micro
        working_set.mark_session(key.session_key)
    line = ChargedLine(
        item.service, None, item.unit, item.units, 0, amount_micro, 0, 0, taken,
        tax_micro=tax_micro,
    )
    record = _record(desk, state, charge, line, now_ns)
    working_set.add_record(NewRecord(key, request_id, now_ns, 0, record))
    return f"{request_id}.0" if amount_micro else ""


def _count_for_limits(
    working_set: WorkingSet, state: AccountState, charge: _Charge, subscriber_id: int, now_ns: int
) -> None:
    """Count accepted usage for the limits of its time, as if it had been plausible (K-209)."""
    item, index = charge.item, charge.index
    service, plan = index.catalog.services.get(item.service), index.catalog.plans.get(charge.plan)
    if service is None or not charge.is_counted:
        return
    account = state.account
    for limit, code, member in of_service(plan, account, service, subscriber_id):
        bounds_ns = index.periods.around(item.event_ns, Period(limit.period))
        counter = counters.provide(account, code, member, bounds_ns, now_ns)
        if counter is not None:
            units = 0 if limit.unit is Unit.MONEY else item.units
            counters.count(working_set, account, counter, units, charge.amount_micro)


def _record(
    desk: Desk, state: AccountState, charge: _Charge, line: ChargedLine, now_ns: int
) -> ChargingRecord:
    item, session = charge.item, charge.session
    balance_micro, held_micro = entries.money_balance(state)
    return ChargingRecord(
        session_id=item.session_id,
        sub_session_id=session.sub_session_id if session else None, kind=RequestKind.OPERATOR,
        number=item.review_id, identity=session.identity if session else "",
        service_context="review accept", origin_host="", peer="", end_to_end=0,
        event_ns=now_ns, action=-1, services=(), attributes=RatingAttributes(),
        reply=ChargingReply(Outcome.SUCCESS), charged=[line], balance_micro=balance_micro,
        held_micro=held_micro, catalogue_version=item.catalogue_version,
        plan=charge.plan, note=desk.reason,
        operator=desk.operator,
    )  # fmt: skip


def _resolve(
    desk: Desk, working_set: WorkingSet, state: AccountState, item: ReviewItem, new_state: str,
    *, last: bool, **details: Any,
) -> None:  # fmt: skip
    working_set.resolved_reviews.append(msgspec.structs.replace(item, state=new_state))
    if last and state.account.flags & AccountFlag.PARKED_USAGE:
        state.account.flags &= ~AccountFlag.PARKED_USAGE
        working_set.mark_account(state.account)
    command = "review accept" if new_state == ACCEPTED else "review dismiss"
    working_set.actions.append(
        desk.action(
            command, str(item.review_id), item.account_id, service=item.service,
            units=item.units, **details,
        )
    )  # fmt: skip


def _find_open(desk: Desk, review_id: int) -> ReviewItem:
    item = desk.reports.review(review_id)
    if item is None:
        raise NotFoundError(f"there is no review {review_id}; see `ocs review list`")
    if item.state != OPEN:
        raise RefusedError(f"review {review_id} was {item.state} before; nothing was changed")
    return item


def _is_last(desk: Desk, item: ReviewItem) -> bool:
    """Tell whether nothing else of this account waits."""
    return not any(
        other["review_id"] != str(item.review_id)
        and other["account_id"] == str(item.account_id)
        for other in listing(desk)
    )


def _plan_of(desk: Desk, item: ReviewItem) -> str:
    """Return the plan that the usage was reported under."""
    stored = desk.ledger.request(item.request_id)
    if stored is not None:
        return stored.record.plan
    account = desk.reports.account(item.account_id)
    return account.plan if account else ""


def _plan_of_charge(desk: Desk, moved: Movement) -> str:
    stored = desk.ledger.request(moved.request_id)
    return stored.record.plan if stored is not None else ""


def _session_of(working_set: WorkingSet, key: RequestKey) -> Session | None:
    session = working_set.sessions.get(key.session_key)
    return session if session and session.account_id == key.account_id else None


def _key(desk: Desk, item: ReviewItem) -> RequestKey:
    """Return the key of the decision: it belongs to the session and happens once."""
    stored = desk.ledger.request(item.request_id)
    key = stored.session_key if stored else make_session_key(item.session_id, None)
    return RequestKey(item.account_id, key, RequestKind.OPERATOR, item.review_id)
