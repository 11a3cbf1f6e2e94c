"""An account charged as the document says, with no thought of speed, holds or databases.

What the engine debits is compared with this. It asks the wall clock minute by minute, adds prices
up unit by unit (slow_rating), and of grants knows only what the answers say: a report is charged at
the price that held when its quota was granted, seconds second by second from the first one that is
paid, and free units that were granted pay first. Nothing is shared with the server but the values
of the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from zoneinfo import ZoneInfo

from ocs.amounts import Unit
from ocs.catalog.model import LIMIT, Catalog, ChargeMode, Period, PriceRule
from ocs.ledger.details import Cap
from tests.support import slow_rating
from tests.support.slow_clock import band_at, period_of
from tests.support.slow_counts import Key, SlowCounts

MINUTE = 60
SLOT_MINUTES_MAX = 9 * 24 * 60
"""A rule that has held for so long is taken as one that always did."""


@dataclass
class Heap:
    """Free units; those of one name share what the plan lets them pay in a period."""

    name: str
    unit: Unit
    amount: int
    priority: int
    member: int
    """Whose they are; 0: everybody's."""


@dataclass
class SlowQuota:
    """What one session has used of one service, and what it was granted last."""

    counts: dict[tuple[str, int], int] = field(default_factory=dict)
    """Paid units by rule and the slot that they were granted in."""
    first_second: int | None = None
    """When the first paid second was."""
    paid_seconds: int = 0
    label: str = ""
    """The limit behind which it was granted: whose prices hold."""
    crossed: bool = False
    """Its usage has reached a limit since."""
    granted_s: int = 0
    granted: int = 0
    service: str = ""
    member: int = 0
    free: dict[int, int] = field(default_factory=dict)
    """What it was granted of the heaps, by their priority."""


class SlowAccount:
    """Money and free units; what is used costs what the catalogue says."""

    def __init__(
        self, catalog: Catalog, plan: str, heaps: list[Heap], caps: tuple[Cap, ...] = ()
    ) -> None:
        self.catalog = catalog
        self.plan = catalog.plans[plan]
        self.heaps = sorted(heaps, key=lambda heap: heap.priority)
        self.spent_micro = 0
        self.tax_micro = 0
        """How much of what was spent is tax, by whomever."""
        self.sponsored: dict[str, int] = {}
        """What sponsors have spent."""
        self._zone = ZoneInfo(catalog.time_zone)
        self.limits = SlowCounts(catalog, self.plan, self._zone, caps)
        self._counts: dict[tuple[str, str, int, object], int] = {}
        self._open: list[SlowQuota] = []
        self._bands: dict[int, str] = {}
        """The band of each minute that was looked at."""
        self._capped = {
            one.code: one.at_most for one in self.plan.allowances if one.at_most is not None
        }
        self._paid: dict[Key, int] = {}
        """What heaps of a name have paid in a period."""

    # ------------------------------------------------------------------------------- grants

    def grant(
        self, quota: SlowQuota, service: str, units: int, at_s: int, member: int
    ) -> None:
        """Note an answer: what it grants is promised until the next report."""
        self.end(quota)
        label = self._label(service, member, at_s)
        if label != quota.label:
            # Seconds begin anew at another price.
            quota.label, quota.first_second, quota.paid_seconds = label, None, 0
        quota.service, quota.member = service, member
        quota.granted, quota.granted_s, quota.crossed = units, at_s, False
        self._open.append(quota)
        if not self._is_free(service) and not self.rule_at(service, at_s, label).sponsor:
            for heap in self._heaps(service, member):
                part = min(self._room(heap, at_s), units - sum(quota.free.values()))
                if part > 0:
                    quota.free[heap.priority] = part
        self.limits.promise(service, member, at_s, units)

    def end(self, quota: SlowQuota) -> None:
        """Let go what a quota was granted and has not used."""
        if any(one is quota for one in self._open):
            self._open = [one for one in self._open if one is not quota]
            self.limits.promise(quota.service, quota.member, quota.granted_s, -quota.granted)
        quota.granted = 0
        quota.free = {}

    def _is_free(self, service: str) -> bool:
        return self.plan.terms[service].mode is ChargeMode.FREE

    def _label(self, service: str, member: int, at_s: int) -> str:
        """Return the limit that is reached, as far as prices ask for it."""
        reached = self.limits.reached(service, member, at_s)
        asked = any(
            rule.names(LIMIT, reached) for rule in self.plan.terms[service].rules
        )
        return reached if asked else ""

    # -------------------------------------------------------------------------------- usage

    def report(
        self, quota: SlowQuota, sides: list[tuple[int, int]], reported_s: int, member: int,
        service: str,
    ) -> None:
        """Charge one report: ``sides`` are units and when their price held, in their order."""
        free, limited_s = quota.free, quota.granted_s if quota.granted else reported_s
        self.end(quota)
        spent, total = self.spent_micro, sum(units for units, _ in sides)
        for units, at_s in sides:
            run = 0
            for _ in range(units):
                if quota.crossed:
                    self._charge(quota, service, run, at_s, reported_s, total, free, member)
                    total, run, quota.crossed = total - run, 0, False
                    label = self._label(service, member, limited_s)
                    if label != quota.label:
                        quota.label, quota.first_second, quota.paid_seconds = label, None, 0
                run += 1
                quota.crossed = self.limits.use(service, member, limited_s)
            self._charge(quota, service, run, at_s, reported_s, total, free, member)
            total -= run
        self.limits.spend(service, member, limited_s, self.spent_micro - spent)

    def _charge(
        self, quota: SlowQuota, service: str, units: int, at_s: int, reported_s: int,
        until_end: int, promised: dict[int, int], member: int,
    ) -> None:  # fmt: skip
        """Charge units of one price; with them ``until_end`` units of the report are left."""
        if not units or self._is_free(service):
            return
        sold, terms = self.catalog.services[service], self.plan.terms[service]
        rule = self.rule_at(service, at_s, quota.label)
        free = 0
        if not rule.sponsor:
            free = self._take_free(quota, service, units, reported_s, promised, member)
        paid = units - free
        apart = any(one.price.counted or one.sponsor for one in terms.rules)
        if sold.unit is Unit.SECONDS and not apart:
            if quota.first_second is None:
                # The call has run in one piece up to this report; the free seconds came first.
                quota.first_second = reported_s - until_end
            if not quota.paid_seconds:
                quota.first_second += free
            if paid:
                label = quota.label
                before = self._clocked(service, label, quota.first_second, quota.paid_seconds)
                quota.paid_seconds += paid
                after = self._clocked(service, label, quota.first_second, quota.paid_seconds)
                self._spend(rule, service, before, after)
        elif paid:
            self._pay(quota, rule, service, paid, at_s, member)

    def event(self, service: str, units: int, at_s: int, member: int) -> None:
        """Charge an event: a session of its own, at the price that holds when it begins."""
        quota = SlowQuota(label=self._label(service, member, at_s))
        spent = self.spent_micro
        self._charge(quota, service, units, at_s, at_s, units, {}, member)
        for _ in range(units):
            self.limits.use(service, member, at_s)
        self.limits.spend(service, member, at_s, self.spent_micro - spent)

    # --------------------------------------------------------------------------- free units

    def _heaps(self, service: str, member: int) -> list[Heap]:
        unit = self.catalog.services[service].unit
        return [one for one in self.heaps if one.unit is unit and one.member in (0, member)]

    def _take_free(
        self, quota: SlowQuota, service: str, units: int, reported_s: int,
        promised: dict[int, int], member: int,
    ) -> int:  # fmt: skip
        """Take what the quota was granted of heaps, then what nobody was."""
        taken = 0
        capped = any(one.name in self._capped and one.priority in promised for one in self.heaps)
        at_s = quota.granted_s if capped else reported_s
        for heap in self._heaps(service, member):
            part = min(promised.get(heap.priority, 0), units - taken)
            taken += self._take(heap, part, at_s)
            if heap.priority in promised:
                promised[heap.priority] -= part
        for heap in self._heaps(service, member):
            room = self._room(heap, at_s) - promised.get(heap.priority, 0)
            taken += self._take(heap, max(0, min(room, units - taken)), at_s)
        return taken

    def _take(self, heap: Heap, units: int, at_s: int) -> int:
        heap.amount -= units
        key = self._capped_key(heap, at_s)
        if key is not None:
            self._paid[key] = self._paid.get(key, 0) + units
        return units

    def _room(self, heap: Heap, at_s: int) -> int:
        """Return what of a heap nobody was granted and the plan lets it pay."""
        room = heap.amount - sum(one.free.get(heap.priority, 0) for one in self._open)
        key, cap = self._capped_key(heap, at_s), self._capped.get(heap.name)
        if cap is not None and key is not None:
            same = {one.priority for one in self.heaps if one.name == heap.name}
            promised = sum(
                units
                for one in self._open
                if self._capped_key(heap, one.granted_s) == key
                for priority, units in one.free.items()
                if priority in same
            )
            room = min(room, cap.amount - self._paid.get(key, 0) - promised)
        return max(0, room)

    def _capped_key(self, heap: Heap, at_s: int) -> Key | None:
        cap = self._capped.get(heap.name)
        if cap is None:
            return None
        return heap.name, 0, period_of(self._zone, Period(cap.period), at_s)

    # -------------------------------------------------------------------------------- money

    def _pay(
        self, quota: SlowQuota, rule: PriceRule, service: str, units: int, at_s: int, member: int
    ) -> None:
        price = rule.price
        if price.counted:
            of = member if price.by_member else 0
            key = (service, rule.code, of, period_of(self._zone, price.counted, at_s))
            before = self._counts.get(key, 0)
            self._counts[key] = before + units
        else:
            slot = (rule.code, self.slot_of(service, at_s, quota.label))
            before = quota.counts.get(slot, 0)
            quota.counts[slot] = before + units
        cost = slow_rating.cost
        self._spend(rule, service, cost(price, before), cost(price, before + units))

    def _spend(
        self, rule: PriceRule, service: str, before_micro: int, after_micro: int
    ) -> None:
        """Pay what a total rises by, and the tax of the total less that of the total before."""
        amount = after_micro - before_micro
        if rule.sponsor:
            self.sponsored[rule.sponsor] = self.sponsored.get(rule.sponsor, 0) + amount
        else:
            self.spent_micro += amount
        tax = self.plan.terms[service].tax
        if tax is not None:
            rate = Fraction(tax.numerator, tax.denominator)
            parts = [Fraction(one) * rate / (1 + rate) for one in (before_micro, after_micro)]
            before, after = (one + Fraction(1, 2) for one in parts)
            self.tax_micro += after.numerator // after.denominator
            self.tax_micro -= before.numerator // before.denominator

    def _clocked(self, service: str, label: str, first_second: int, seconds: int) -> int:
        """Each increment costs the price of its first second; the first second's has setup and
        minimum (M-011).
        """
        if not seconds:
            return 0
        first = self.rule_at(service, first_second, label).price
        if not any(rule.band for rule in self.plan.terms[service].rules):
            return slow_rating.cost(first, seconds)
        total, billed_until = Fraction(0), 0
        for second in range(max(seconds, first.minimum)):
            if second < billed_until:
                continue
            price = self.rule_at(service, first_second + second, label).price
            billed = price.increment
            if second >= seconds:
                billed = min(billed, first.minimum - second)
            total += Fraction(billed * price.rate_micro, price.per)
            billed_until = second + billed
        exact = total + Fraction(1, 2)
        return first.setup_micro + exact.numerator // exact.denominator

    # ------------------------------------------------------------------------------ the clock

    def rule_at(self, service: str, second: int, label: str = "") -> PriceRule:
        """Return the price of a service at an instant (s since 1970), behind a limit or not."""
        rules = self._rules(service, label)
        return rules.get(self._band_at(second), rules[""])

    def _rules(self, service: str, label: str) -> dict[str, PriceRule]:
        """Return the prices behind a limit, or before any, by their time bands."""
        return {
            one.band: one for one in self.plan.terms[service].rules
            if (one.names(LIMIT, label) if label else not one.when)
        }  # fmt: skip

    def _band_at(self, second: int) -> str:
        minute = second - second % MINUTE
        if minute not in self._bands:
            self._bands[minute] = band_at(self.catalog.bands, self._zone, minute)
        return self._bands[minute]

    def slot_of(self, service: str, second: int, label: str = "") -> int:
        """Return the minute in which the price began to hold, looking back minute by minute."""
        minute, rules = second - second % MINUTE, self._rules(service, label)
        if len(rules) == 1:
            return 0
        rule = rules.get(self._band_at(minute), rules[""])
        for back in range(SLOT_MINUTES_MAX):
            if rules.get(self._band_at(minute - back * MINUTE), rules[""]) is not rule:
                return minute - (back - 1) * MINUTE
        return 0
