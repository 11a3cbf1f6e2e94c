"""How many units an account can pay for, and the holds that pay for them.

Rules D12, D16, C-040, C-060, M-004, M-005, M-012. Called by granting for every grant that costs
something; nothing here is told to the client.
"""

from __future__ import annotations

from ocs.amounts import SECONDS
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import Price, PriceRule, QuotaPolicy, TariffSlot
from ocs.charging.counts import bucket_caps, counters, prices
from ocs.charging.model.decision import NS_PER_SECOND, Decision, Part
from ocs.charging.model.session import ChargeContext
from ocs.charging.model.size import Payer, Size
from ocs.charging.quotas.contexts import cost_in_context, find_context
from ocs.ledger import entries
from ocs.ledger.account import Bucket, Counter, Hold
from ocs.rating import pricing, timeline

_LAST_NS = 1 << 63


def size_priced(
    decision: Decision, part: Part, policy: QuotaPolicy, wanted: int, cap_micro: int | None = None
) -> Size:
    """Take units from buckets first, then at most ``cap_micro`` of money; hold both (M-004, M-005,
    M-012). Whether it is the last that can be paid, ``judge`` tells.
    """
    index = decision.index
    assert index is not None
    service, quota, money = part.service, part.quota, part.money
    event_ns = decision.request.event_ns
    if part.terms.conditional:
        zone = decision.context_key(service, part.terms, part.asked)
    else:
        zone = (decision.zone_for(service) if service.destination_rated else "") or quota.zone
    slot = index.tariff_at(part.terms, zone, event_ns)
    size = Size()
    if slot.rule is None:
        return size
    if slot.rule.sponsor:
        size.units = size.wanted = size.paid = wanted
    elif part.units:
        hold_units(decision, part, wanted, size)
    open_quota(part, slot.rule.code, zone, slot.start_ns, size.units)
    until_ns = event_ns + policy.validity_seconds * NS_PER_SECOND
    if 0 < slot.end_ns < until_ns and not part.clocked:
        size.switch_ns = slot.end_ns
    if part.terms.counted:
        # What is used behind the switch belongs to another count, so the quota ends there.
        part.one_tariff = True
    if slot.rule.sponsor:
        return size
    budget = entries.available_micro(decision.state, money)
    most = budget if cap_micro is None or budget < cap_micro else cap_micro
    price, payable = slot.rule.price, wanted - size.units
    paid = reserved = before = before_micro = 0
    if price.counted:
        paid, reserved = _promise(decision, part, index, slot, size, cap_micro, payable)
    elif part.clocked or size.switch_ns or part.one_tariff:
        payer = size.payer = _payer(decision, part, index, price, size)
        if budget >= 0:
            paid, reserved = payer.most(most, payable)
    else:
        # As a QuotaPayer would, which is made only where it is not sure that more can be paid.
        context = find_context(quota, slot.rule.code, zone, slot.start_ns)
        if context is not None:
            before, before_micro = context.paid_units, context.charged_micro
        if budget >= 0:
            paid, reserved = pricing.fit_budget(price, before, before_micro, most, payable)
        sure = (paid or before) and budget - reserved >= pricing.increment_cost_max_micro(price)
        if not sure or cap_micro is not None or decision.request.profile.final_validity_seconds:
            size.payer = QuotaPayer(part, index, price, context)
    if size.counter is not None:
        size.reserved_micro += reserved
    elif reserved:
        hold_money(decision, part, reserved, size)
    size.wanted, size.paid, size.left_micro = wanted, paid, budget - reserved
    size.units += paid
    quota.holds = size.holds
    return size


def _promise(
    decision: Decision, part: Part, index: CatalogIndex, slot: TariffSlot, size: Size,
    cap_micro: int | None, payable: int,
) -> tuple[int, int]:
    """Return (units, money held for them) of a grant that the account counts over sessions.

    What is held covers everything that is granted of the count, whoever reports first (K-204).
    """
    rule = slot.rule
    assert rule is not None
    counter = prices.of_price(decision, part.service.code, rule, slot.start_ns)
    if counter is None:
        return 0, 0
    payer = size.payer = QuotaPayer(part, index, rule.price, counter=counter)
    own_micro = part.room.member_micro if part.room and not rule.price.by_member else None
    if own_micro is not None and cap_micro is not None:
        payable = pricing.dearest_units(rule.price, counter.units, own_micro, payable)
    budget = most = entries.available_micro(decision.state, part.money)
    promised = 0
    if part.room is not None or cap_micro is not None:
        promised = prices.promised_micro(rule.price, counter)
    if cap_micro is not None:
        # What is held may be more than what is promised, where a session ended unused, or less.
        most = min(budget, cap_micro + promised - sum(entry.amount for entry in counter.holds))
    paid, reserved = payer.most(most, payable) if budget >= 0 else (0, 0)
    if paid:
        prices.promise(decision, part, counter, paid, reserved)
        if part.room is not None:
            size.promised_micro = prices.promised_micro(rule.price, counter) - promised
        if own_micro is not None:
            size.dearest_micro = payer.dearest(0, paid)
        size.counter = counter
        note_expiry(part.money, counter.holds, size)
    return paid, reserved


def unhold(decision: Decision, part: Part, size: Size) -> None:
    """Take back a grant that is not told."""
    entries.release(decision.working_set, decision.state, size.holds)
    part.quota.holds = []
    if part.quota.claims:
        counters.give_back(
            decision.working_set, decision.state, part.quota, size.reserved_micro
        )


def hold_money(decision: Decision, part: Part, amount_micro: int, size: Size) -> None:
    """Add a hold of money to a grant."""
    held = entries.hold(decision.working_set, part.money, amount_micro)
    size.holds += held
    size.reserved_micro += amount_micro
    if len(part.money) > 1:
        note_expiry(part.money, held, size)


def judge(decision: Decision, part: Part, size: Size, own: list[Hold]) -> None:
    """Note on a grant whether it is the last, and whether others are why (C-040, D16).

    ``own`` are all holds that this request has made for it.
    """
    payer, paid, left = size.payer, size.paid, size.left_micro
    if payer is None:
        return
    sure = payer.surely_more(paid, left)
    units = part.units
    if units and decision.bounded:
        units = bucket_caps.payable(decision, units)
    if not sure and not _can_go_on(payer, units, paid, left):
        _judge_shortage(part, payer, size, own)
        if units != part.units and bucket_caps.is_shared(decision, part):
            size.short_of_others, size.final = True, False
    if decision.request.profile.final_validity_seconds:
        wanted = size.wanted
        plenty = sure and paid == wanted and left >= 2 * size.reserved_micro
        size.near_end = not plenty and not _pays_again(payer, units, wanted, paid, left)


def _pays_again(
    payer: Payer, unit_buckets: list[Bucket], wanted: int, paid: int, left: int
) -> bool:
    """Tell whether as much as was wanted could be paid once more."""
    missing = wanted - sum(bucket.available for bucket in unit_buckets)
    return missing <= 0 or (left >= 0 and payer.affordable(paid, left, missing) >= missing)


def _can_go_on(payer: Payer, unit_buckets: list[Bucket], paid: int, left: int) -> bool:
    """Tell whether another increment could still be paid (C-040)."""
    if any(bucket.available > 0 for bucket in unit_buckets):
        return True
    return left >= 0 and payer.affordable(paid, left, 1) > 0


def _payer(
    decision: Decision, part: Part, index: CatalogIndex, price: Price, size: Size
) -> QuotaPayer:
    """Return the price of what comes after the free units of ``size``."""
    quota = part.quota
    if part.clocked:
        start_ns = quota.started_ns or decision.request.event_ns
        context = find_context(quota, quota.rule, quota.zone, quota.started_ns)
        if context is None:
            # Paid seconds begin where the free ones end (M-011, M-012).
            start_ns += size.units * NS_PER_SECOND
        return QuotaPayer(part, index, price, context, None, start_ns)
    next_rule: PriceRule | None = None
    if size.switch_ns and decision.request.profile.tariff_change and not part.one_tariff:
        next_rule = index.tariff_at(part.terms, quota.zone, size.switch_ns).rule
        if price.steps is not None or (next_rule and next_rule.price.steps is not None):
            # Split over two counts of tiers, usage may cost more than on either side alone: the
            # quota ends at the switch.
            part.one_tariff, next_rule = True, None
    context = find_context(quota, quota.rule, quota.zone, quota.slot_ns)
    return QuotaPayer(part, index, price, context, next_rule)


class QuotaPayer:
    """Price of more units of one quota: the dearer side where the tariff switches (C-060)."""

    __slots__ = (
        "_before", "_before_micro", "_held_micro", "_index", "_next", "_others", "_part",
        "_price", "_seconds", "_start_ns",
    )

    def __init__(
        self, part: Part, index: CatalogIndex, price: Price,
        context: ChargeContext | None = None, next_rule: PriceRule | None = None,
        start_ns: int = 0, counter: Counter | None = None,
    ) -> None:
        self._part, self._index, self._price = part, index, price
        self._seconds, self._start_ns = part.clocked, start_ns
        """Where seconds are measured from."""
        self._others = self._held_micro = 0
        """What is granted of the same count to other quotas, and held for them."""
        if counter is not None:
            self._before = counter.units
            self._before_micro = pricing.cost_micro(price, counter.units)
            self._others = counter.granted
            self._held_micro = sum(entry.amount for entry in counter.holds)
        elif context is None:
            self._before = self._before_micro = 0
        else:
            self._before, self._before_micro = context.paid_units, context.charged_micro
        self._next = next_rule

    def _tariff_at(self, instant_ns: int) -> TariffSlot:
        return self._index.tariff_at(self._part.terms, self._part.quota.zone, instant_ns)

    def affordable(self, already: int, budget_micro: int, wanted: int) -> int:
        """Return the units after ``already`` new ones that the budget pays, at most ``wanted``."""
        already += self._others
        if already and self._price.volume:
            # What the first units hold may be more than they cost in the end.
            total = budget_micro + self._peak(already)
            return max(0, self._beyond(0, total, already + wanted) - already)
        return self._beyond(already, budget_micro, wanted)

    def _beyond(self, already: int, budget_micro: int, wanted: int) -> int:
        before = self._before + already
        if self._seconds:
            return timeline.affordable_seconds(
                self._tariff_at, self._start_ns, before, budget_micro, wanted
            )
        units = pricing.affordable_units(self._price, before, budget_micro, wanted)
        if self._next is not None:
            units = pricing.affordable_units(self._next.price, already, budget_micro, units)
        return units

    def most(self, budget_micro: int, wanted: int) -> tuple[int, int]:
        """Return (units, what they can cost at most in micro units) within the budget (M-004)."""
        if not self._seconds and self._next is None:
            units, hold = pricing.fit_budget(
                self._price, self._before, self._before_micro,
                budget_micro + self._held_micro, wanted + self._others,
            )
            return max(0, units - self._others), max(0, hold - self._held_micro)
        units = self.affordable(0, budget_micro, wanted)
        return units, self.charge(units)

    def surely_more(self, paid: int, left_micro: int) -> bool:
        """Tell cheaply that one more increment is affordable; False means: look closer."""
        return (
            self._next is None
            and (paid > 0 or self._before > 0)
            and not self._seconds
            and left_micro >= pricing.increment_cost_max_micro(self._price)
        )

    def dearest(self, already: int, units: int) -> int:
        """Return what units after ``already`` new ones cost at most, in micro units, however many
        others of the same count use first (K-219).
        """
        return pricing.dearest_charge_micro(self._price, self._before + already, units)

    def alone(self, units: int) -> int:
        """Return what units cost, in micro units, when no others of the same count come first."""
        return pricing.charge_micro(self._price, self._before, units)

    def charge(self, units: int) -> int:
        """Return what so many more units can cost at most, in micro units (M-004)."""
        if self._others or self._held_micro:
            return max(0, self._peak(self._others + units) - self._held_micro)
        if self._price.volume:
            # Volume prices of seconds have no time bands, and no quota runs over their switch.
            return self._peak(units)
        if self._seconds:
            after = cost_in_context(
                self._index, self._part.terms, SECONDS, self._price, self._part.quota.zone,
                self._start_ns, self._before + units,
            )
            return (after or 0) - self._before_micro
        charge = pricing.cost_micro(self._price, self._before + units) - self._before_micro
        if self._next is not None:
            charge = max(charge, pricing.charge_micro(self._next.price, 0, units))
        return charge

    def _peak(self, units: int) -> int:
        return pricing.peak_charge_micro(self._price, self._before, self._before_micro, units)


def hold_units(decision: Decision, part: Part, wanted: int, size: Size) -> None:
    """Take free units that are there, up to ``wanted`` in all (M-012)."""
    for bucket in part.units:
        units = min(bucket.available, wanted - size.units)
        if decision.bounded and units > 0:
            units = min(units, bucket_caps.room(decision, bucket, decision.request.event_ns))
        if units <= 0:
            continue
        held = entries.hold(decision.working_set, [bucket], units)
        size.holds += held
        size.units += units
        note_expiry([bucket], held, size)
        if decision.bounded and (ends_ns := bucket_caps.claim(decision, part, bucket, units)):
            size.bucket_expiry_ns = min(size.bucket_expiry_ns or _LAST_NS, ends_ns)


def note_expiry(buckets: list[Bucket], held: list[Hold], size: Size) -> None:
    """Remember when the first of the buckets that the grant draws on expires (M-012)."""
    used = {entry.bucket_id for entry in held}
    for bucket in buckets:
        if bucket.bucket_id in used and bucket.expires_ns:
            size.bucket_expiry_ns = min(size.bucket_expiry_ns or _LAST_NS, bucket.expires_ns)


def _judge_shortage(part: Part, payer: Payer, size: Size, holds: list[Hold]) -> None:
    """Tell the end of the account from a shortage that other sessions' holds make (C-040, D16)."""
    own: dict[int, int] = {}
    counter = size.counter
    if counter is not None and counter.granted == size.paid:
        # Nobody else has a grant of this count.
        holds = [*holds, *counter.holds]
    for entry in holds:
        own[entry.bucket_id] = own.get(entry.bucket_id, 0) + entry.amount
    others_units = sum(bucket.held - own.get(bucket.bucket_id, 0) for bucket in part.units)
    others_micro = sum(bucket.held - own.get(bucket.bucket_id, 0) for bucket in part.money)
    left = size.left_micro
    if others_units > 0:
        size.short_of_others = True
    elif others_micro > 0 and left + others_micro >= 0:
        size.short_of_others = bool(payer.affordable(size.paid, left + others_micro, 1))
    size.final = not size.short_of_others


def open_quota(part: Part, rule: str, zone: str, slot_ns: int, units: int) -> None:
    """Note what the quota's next usage is priced by."""
    quota = part.quota
    quota.free = not rule
    # Time quotas keep one context per measurement: their switches are inside the timeline.
    if part.clocked and quota.rule:
        if zone == quota.zone:
            rule, slot_ns = quota.rule, quota.slot_ns
        else:
            quota.started_ns = 0
    quota.rule, quota.zone, quota.slot_ns = rule, zone, slot_ns
    quota.tariff_change_ns = 0
    quota.granted = units
    quota.restricted = quota.refused = False
