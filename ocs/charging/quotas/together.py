"""Time and volume granted and charged together: two services that count the same requests (G-001).

Each has its own quota, price, free units and charge contexts; the client sees one quota with two
limits. What both cost is the sum, and both are held (M-015). Called by serving.
"""

from __future__ import annotations

import msgspec

from ocs.amounts import OCTETS, SECONDS, Unit
from ocs.catalog.model import PRICED, UNCONTROLLED, QuotaPolicy
from ocs.charging.counts import limits
from ocs.charging.model.decision import Decision, Part
from ocs.charging.model.messages import ServiceReply, ServiceRequest, Units, UsedUnits
from ocs.charging.model.session import QuotaState
from ocs.charging.model.size import Size
from ocs.charging.quotas import pools
from ocs.charging.quotas.contexts import units_of
from ocs.charging.quotas.granting import refuse, write_grant
from ocs.charging.quotas.sizing import judge, open_quota, size_priced, unhold
from ocs.ledger import entries


def in_unit(asked: ServiceRequest, unit: Unit) -> ServiceRequest:
    """Return what a part of a request says in one unit only."""
    return msgspec.structs.replace(
        asked,
        requested=None if asked.requested is None else _only(asked.requested, unit),
        used=tuple(
            UsedUnits(_only(used.units, unit), used.side, used.side_given, used.reason)
            for used in asked.used
        ),
    )


def _only(units: Units, unit: Unit) -> Units:
    if unit is OCTETS:
        return Units(None, units.octets, units.input_octets, units.output_octets)
    return Units(seconds=units.seconds) if unit is SECONDS else Units(events=units.events)


def join(decision: Decision, part: Part, quota: QuotaState) -> None:
    """Put the service that a part is granted together with beside it; ``quota`` is its own."""
    index, plan = decision.index, decision.plan
    assert index is not None
    assert plan is not None
    service = index.catalog.services[part.service.together_with]
    asked = in_unit(part.asked, service.unit)
    reply = ServiceReply(asked.rating_group, asked.service_identifiers)
    part.beside = Part(
        decision, asked, reply, service, plan.terms[service.code], quota, ends=part.ends
    )
    part.one_tariff = part.beside.one_tariff = True


def merged(units: Units | None, more: Units | None) -> Units | None:
    """Return units of two kinds in one."""
    if units is None or more is None:
        return units or more
    named = msgspec.structs.asdict(more)
    return msgspec.structs.replace(units, **{kind: named[kind] for kind in named if named[kind]})


class _Wish:
    """What one of the two services is asked for."""

    __slots__ = ("part", "policy", "requested", "room_micro", "size", "useful", "wanted")

    def __init__(self, part: Part) -> None:
        self.part = part
        self.policy: QuotaPolicy = part.terms.quota or part.service.quota
        self.requested = _only(part.asked.requested or Units(), part.service.unit)
        wanted = units_of(self.requested, part.service.unit) or self.policy.slice
        wanted = min(wanted, self.policy.maximum)
        self.useful = part.kept + max(1, min(wanted, self.policy.minimum_useful))
        self.wanted = wanted + part.kept
        self.size = Size()
        self.room_micro: int | None = None

    def look(self, decision: Decision) -> None:
        """Want no more than the account's limits leave."""
        self.wanted = limits.look(decision, self.part, self.wanted)
        if self.part.room is not None:
            self.room_micro = self.part.room.micro

    def look_again(self, decision: Decision) -> None:
        """Look after the other was granted, which is no other session's grant."""
        before = self.part.room
        if before is not None:
            self.look(decision)
            if self.part.room is not None:
                self.part.room.shared = before.shared

    @property
    def is_enough(self) -> bool:
        """Whether the grant is worth telling."""
        return self.size.units >= self.useful

    def hold(self, decision: Decision, cap_micro: int | None = None) -> None:
        """Size and hold the grant."""
        room = self.room_micro
        if room is not None:
            cap_micro = room if cap_micro is None else min(room, cap_micro)
        if self.part.mode is PRICED:
            self.size = size_priced(decision, self.part, self.policy, self.wanted, cap_micro)
        else:
            self.size = Size(self.wanted)
            open_quota(self.part, "", "", 0, self.wanted)

    def release(self, decision: Decision) -> None:
        """Give back what was held."""
        unhold(decision, self.part, self.size)

    def full_cost_micro(self) -> int:
        """Return what everything wanted would cost beside its free units."""
        size = self.size
        free = size.units - size.paid
        return size.payer.charge(self.wanted - free) if size.payer is not None else 0


def grant(decision: Decision, part: Part, other: Part) -> list[tuple[Part, Size]]:
    """Grant both or refuse both; return what was held for each."""
    wishes = [_Wish(one) for one in (part, other) if one.mode is not UNCONTROLLED]
    if decision.limited:
        for wish in wishes:
            wish.look(decision)
    _hold_in_turn(decision, wishes)
    if any(wish.size.units < wish.wanted for wish in wishes):
        _share_money(decision, wishes)
    own = [hold for wish in wishes for hold in wish.size.holds]
    for wish in wishes:
        if wish.part.mode is PRICED:
            wish.size.left_micro = entries.available_micro(decision.state, wish.part.money)
            judge(decision, wish.part, wish.size, own)
        if wish.part.room is not None:
            limits.judge(wish.part, wish.size)
    short = next((wish for wish in wishes if not wish.is_enough), None)
    if short is not None:
        for wish in wishes:
            wish.release(decision)
            wish.part.quota.granted = 0
        refuse(decision, part, wishes[0].policy, short.size)
        return []
    _agree(wishes)
    for wish in wishes:
        write_grant(decision, wish.part, wish.policy, wish.size, wish.requested)
        if wish.part.service.pool and wish.part.room is None and decision.request.profile.pools:
            pools.share(decision, wish.part, wish.size)
    if len(wishes) > 1:
        _merge(part, other)
    return [(wish.part, wish.size) for wish in wishes]


def _hold_in_turn(decision: Decision, wishes: list[_Wish], first_micro: int | None = None) -> None:
    """Hold for both; what the first may spend of a limit is nothing that the second may (K-207)."""
    for wish in wishes:
        if wish is not wishes[0]:
            wish.look_again(decision)
        wish.hold(decision, first_micro if wish is wishes[0] else None)
        if wish.part.room is not None:
            limits.claim(decision, wish.part, wish.size)


def _share_money(decision: Decision, wishes: list[_Wish]) -> None:
    """Cut both in the proportion of what they would cost in full, so that neither gets all."""
    costs = [wish.full_cost_micro() for wish in wishes]
    if len(costs) < 2 or not all(costs):
        return
    for wish in wishes:
        wish.release(decision)
    first = wishes[0]
    budget = max(0, entries.available_micro(decision.state, first.part.money))
    rooms = [wish.part.room for wish in wishes if wish.part.room is not None]
    if len({room.limit for room in rooms}) == 1 < len(rooms) and first.room_micro is not None:
        budget = min(budget, first.room_micro)
    _hold_in_turn(decision, wishes, budget * costs[0] // sum(costs))


def _agree(wishes: list[_Wish]) -> None:
    """The end of one is the end of both."""
    sizes = [wish.size for wish in wishes]
    final = any(size.final for size in sizes)
    short = any(size.short_of_others for size in sizes) and not final
    near_end = any(size.near_end for size in sizes)
    for size in sizes:
        size.final, size.short_of_others, size.near_end = final, short, near_end


def _merge(part: Part, other: Part) -> None:
    """Say both grants in one reply."""
    reply, second = part.reply, other.reply
    reply.granted = merged(reply.granted, second.granted)
    reply.volume_threshold_octets += second.volume_threshold_octets
    reply.time_threshold_seconds += second.time_threshold_seconds
    reply.unit_threshold_events += second.unit_threshold_events
    reply.pools += second.pools
    reply.validity_seconds = min(reply.validity_seconds, second.validity_seconds)
    part.quota.expires_ns = other.quota.expires_ns = min(
        part.quota.expires_ns, other.quota.expires_ns
    )
