"""Two quotas around a tariff switch, one for each side of it (RFC 8506 5.1.2; C-063).

For clients of RFC 8506 whose profile says so. Both are held at their own price, so that the holds
always suffice. Usage of both comes back in one report. Called by granting.
"""

from __future__ import annotations

import msgspec

from ocs.amounts import SECONDS
from ocs.charging.model.decision import Decision, Part
from ocs.charging.model.messages import ServiceReply, TariffSide, Units
from ocs.charging.model.size import Size
from ocs.charging.quotas.contexts import find_context
from ocs.charging.quotas.sizing import QuotaPayer, hold_money, hold_units
from ocs.ledger import entries


def is_possible(decision: Decision, part: Part) -> bool:
    """Tell whether this quota can have a second one behind a switch.

    Seconds are split by the clock (C-062), one service has one quota at command level, and prices
    that count over sessions, and limits, also of buckets, end a quota at the switch (K-203).
    """
    if part.service.unit is SECONDS or part.terms.counted or part.room is not None:
        return False
    if part.units and decision.bounded:
        return False
    return not (part.reply.command_level or part.kept)


def add_second(decision: Decision, part: Part, size: Size, useful: int) -> None:
    """Size and hold the quota behind the switch beside the one before it.

    Leaves ``size`` as it is when fewer than ``useful`` units can be paid there: the first quota
    then ends at the switch.
    """
    index, quota = decision.index, part.quota
    first = size.payer
    if index is None or first is None:
        return
    slot = index.tariff_at(part.terms, quota.zone, size.switch_ns)
    if slot.rule is None:
        return
    second = Size()
    if part.units:
        hold_units(decision, part, size.wanted, second)
    context = find_context(quota, slot.rule.code, quota.zone, slot.start_ns)
    payer = QuotaPayer(part, index, slot.rule.price, context)
    budget = entries.available_micro(decision.state, part.money)
    paid, reserved = (
        payer.most(budget, size.wanted - second.units) if budget >= 0 else (0, 0)
    )
    if second.units + paid < useful:
        entries.release(decision.working_set, decision.state, second.holds)
        return
    if reserved:
        hold_money(decision, part, reserved, second)
    size.after_units = second.units + paid
    size.holds += second.holds
    size.reserved_micro += second.reserved_micro
    size.left_micro = budget - reserved
    expiries = [ns for ns in (size.bucket_expiry_ns, second.bucket_expiry_ns) if ns]
    size.bucket_expiry_ns = min(expiries, default=0)
    quota.holds = size.holds
    if not first.affordable(size.paid, max(0, size.left_micro), 1):
        # The end of the money is where the client cannot go on behind the switch either.
        size.payer, size.paid = payer, paid


def second_reply(reply: ServiceReply, granted: Units) -> ServiceReply:
    """Return what is said of the quota behind the switch, and mark ``reply`` as that before it."""
    reply.tariff_side = TariffSide.BEFORE
    return msgspec.structs.replace(reply, granted=granted, tariff_side=TariffSide.AFTER)
