"""Fees of a plan and renewals of its allowances, period by period (K-264 to K-270). Pure.

    the period begins      enough money       the fee is debited, the allowances are filled anew
                           short of money     nothing is given; tried again at the plan's times, and
                                              at once after a top-up, as long as the period lasts
                           account not active nothing happens; as after a shortage once it is

Every period is run in its order, however late, and by the account's own row only once; its record
is known by plan, item and beginning, so no second one can be written. The catalogue that was in
force when a period began says what it costs and brings, however late it is run; where that is not
known, or did not have it, the one in force now. Called by duties, and by provisioning where
accounts begin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

from ocs.amounts import MONEY, format_amount
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import Allowance, Plan
from ocs.catalog.recurring import Recurring, Share, Unpaid, days_unused, share_of
from ocs.charging.accounts import agenda, notices, purses, rollover
from ocs.charging.model.decision import NS_PER_SECOND, DecisionContext
from ocs.charging.model.messages import (
    ChargingRecord,
    ChargingReply,
    Outcome,
    RatingAttributes,
    RequestKind,
)
from ocs.charging.model.server_requests import Trigger
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import AccountState, NewRecord, RequestKey, WorkingSet
from ocs.ledger import entries
from ocs.ledger.account import (
    ACTIVE,
    NEVER_NS,
    PRE_ACTIVE,
    REMOVED,
    Account,
    AccountFlag,
    Bucket,
    Contra,
)
from ocs.ledger.details import Recurrence

WAIT_NS = 3600 * NS_PER_SECOND
"""How long an account waits whose plan the catalogue in force does not have."""


_END = "recurring end"
"""How the record begins that gives a fee back."""


# ------------------------------------------------------------------------------ verbs


def run(
    working_set: WorkingSet, state: AccountState, at_ns: int, context: DecisionContext
) -> None:
    """Do what was due at ``at_ns``; the handler of agenda.RECURRING (see duties)."""
    account = state.account
    index: CatalogIndex | None = context.catalogues.get(context.current_version)
    plan = index.catalog.plans.get(account.plan) if index is not None else None
    if index is None or plan is None:
        agenda.enter(working_set, account, agenda.RECURRING, context.now_ns + WAIT_NS)
        return
    purses.take_rates(state, index)
    if account.details.recurring_plan != plan.code:
        _Runner(working_set, state, index, plan, context.now_ns).begin()
        return
    now = _Runner(working_set, state, index, plan, context.now_ns)

    def then(instant_ns: int) -> _Runner:
        """Return what recurred by the catalogue of an instant."""
        version = context.version_at(instant_ns)
        old = context.catalogues.get(version) if version else None
        sold = old.catalog.plans.get(account.plan) if old is not None else None
        if old is None or sold is None:
            return now
        return _Runner(working_set, state, old, sold, context.now_ns)

    now.run(at_ns, then)


def begin(
    working_set: WorkingSet, state: AccountState, index: CatalogIndex, now_ns: int
) -> None:
    """Begin with what recurs in the plan of an account: its first periods are run now.

    An account that is not active yet begins when somebody calls this again.
    """
    plan = index.catalog.plans.get(state.account.plan)
    if plan is not None and (plan.recurring or state.account.details.recurring):
        purses.take_rates(state, index)
        _Runner(working_set, state, index, plan, now_ns).begin()


def end(working_set: WorkingSet, state: AccountState, index: CatalogIndex, now_ns: int) -> None:
    """End what recurs for an account, because it leaves its plan.

    Of prorated fees, what was paid for days that did not begin is given back (K-269).
    """
    details = state.account.details
    plan = index.catalog.plans.get(details.recurring_plan)
    if plan is not None:
        _Runner(working_set, state, index, plan, now_ns).give_back()
    forget(working_set, state.account)


def forget(working_set: WorkingSet, account: Account) -> None:
    """Let nothing recur for an account any more."""
    details = account.details
    if details.recurring:
        details.recurring, details.recurring_plan = [], ""
        _flag(working_set, account, unpaid=False)
        agenda.enter(working_set, account, agenda.RECURRING, NEVER_NS)
        working_set.mark_account(account)


def adopt(
    working_set: WorkingSet, state: AccountState, index: CatalogIndex, now_ns: int
) -> None:
    """Let an account know what recurs in its plan by a newer catalogue: from the next period on."""
    account = state.account
    plan = index.catalog.plans.get(account.plan)
    if plan is None or account.status in (PRE_ACTIVE, REMOVED):
        return
    runner = _Runner(working_set, state, index, plan, now_ns)
    known = account.details.recurring_plan if account.details.recurring else plan.code
    if known == plan.code and runner.adopt():
        account.details.recurring_plan = plan.code
        runner.schedule()


def refunded(
    working_set: WorkingSet, account: Account, code: str, start_ns: int, amount_micro: int
) -> None:
    """Remember that of the fee of the period from ``start_ns`` on so much was refunded: who leaves
    the plan later does not get it back once more.
    """
    for one in account.details.recurring:
        if (one.code, one.start_ns) == (code, start_ns):
            one.paid_micro = max(0, one.paid_micro - amount_micro)
            working_set.mark_account(account)


def end_key(account_id: int, plan: str, code: str, start_ns: int) -> RequestKey:
    """Return the key of the record by which a fee was given back in part."""
    name = f"{_END}\x00{plan}\x00{code}"
    return RequestKey(account_id, make_session_key(name, None), RequestKind.TIMER, start_ns)


def try_again(working_set: WorkingSet, account: Account, now_ns: int) -> None:
    """Have fees tried now that were unpaid: the account was topped up or became active."""
    due = False
    for one in account.details.recurring:
        if one.unpaid and now_ns < one.end_ns:
            one.retry_ns, due = now_ns, True
    if due:
        working_set.mark_account(account)
        _schedule(working_set, account)


# ------------------------------------------------------------------------------ one account


class _Runner:
    """What recurs for one account by one plan of one catalogue, at one instant."""

    def __init__(
        self, working_set: WorkingSet, state: AccountState, index: CatalogIndex, plan: Plan,
        now_ns: int,
    ) -> None:
        self._working_set = working_set
        self._state = state
        self._account = state.account
        self._details = state.account.details
        self._version = index.catalog.version
        self.plan = plan
        self._now_ns = now_ns
        self._zone = ZoneInfo(index.catalog.time_zone)

    def begin(self) -> None:
        """Forget what recurred before, and run the first period of every item of the plan."""
        self._details.recurring_plan = self.plan.code
        self._details.recurring = []
        for item in self.plan.recurring:
            one = self._add(item, self._now_ns)
            self.attempt(item, one, self._now_ns)
        self.schedule()

    def adopt(self, before: Sequence[Recurring] = ()) -> bool:
        """Come to what recurs by this catalogue; new items begin with their next period (K-270).

        What recurred ``before`` stays as well. Tell whether anything has changed.
        """
        items = {item.code for item in self.plan.recurring}
        staying = items | {item.code for item in before}
        kept = [one for one in self._details.recurring if one.code in staying]
        known = {one.code for one in kept}
        if len(kept) == len(self._details.recurring) and items <= known:
            return False
        self._details.recurring = kept
        anchor_ns = min((one.anchor_ns for one in kept), default=self._now_ns)
        for item in self.plan.recurring:
            if item.code not in known:
                self._add(item, anchor_ns)
        return True

    def run(self, at_ns: int, then: Callable[[int], _Runner]) -> None:
        """Run every item that is due at ``at_ns``, in the order of the plan, each as it was when
        its period began (K-271): ``then`` gives what recurred at an instant.
        """
        before = then(at_ns)
        self.adopt(before.plan.recurring)
        items = (*before.plan.recurring, *self.plan.recurring)
        for code in dict.fromkeys(item.code for item in items):
            for one in self._details.recurring:
                if one.code != code:
                    continue
                if one.end_ns <= at_ns:
                    runner, item = _having(code, then(one.end_ns), before, self)
                    runner.next_period(item, one)
                    runner.attempt(item, one, one.start_ns)
                elif 0 < one.retry_ns <= at_ns:
                    runner, item = _having(code, then(one.start_ns), before, self)
                    runner.attempt(item, one, at_ns)
        self.schedule()

    def schedule(self) -> None:
        """Enter when the next item is due."""
        barring = {item.code for item in self.plan.recurring if item.unpaid is Unpaid.BAR}
        _flag(
            self._working_set, self._account,
            unpaid=any(one.tries and one.code in barring for one in self._details.recurring),
        )
        self._working_set.mark_account(self._account)
        _schedule(self._working_set, self._account)

    def give_back(self) -> None:
        """Credit what prorated fees have paid for days that do not begin any more."""
        items = {item.code: item for item in self.plan.recurring}
        for one in self._details.recurring:
            item = items.get(one.code)
            if item is None or not item.prorate or not one.paid_micro:
                continue
            unused = min(days_unused(self._now_ns, one.end_ns, self._zone), one.days)
            back_micro = one.paid_micro * unused // one.days
            if not back_micro:
                continue
            posting = self._posting(item, one, self._now_ns)
            posting.units_before, posting.units_after = posting.units_after, (
                posting.units_after - unused
            )
            mark, main = len(self._working_set.movements), entries.main_bucket(self._state)
            entries.credit(self._working_set, main, back_micro, posting)
            if item.tax is not None:
                entries.split_tax(
                    self._working_set, mark, posting, item.tax, one.paid_micro,
                    one.paid_micro - back_micro,
                )
            note = f"{format_amount(back_micro)} back for {unused} days of '{one.code}'"
            self._record(_END, one, posting, note)

    def _add(self, item: Recurring, anchor_ns: int) -> Recurrence:
        period = item.cycle.period_at(self._now_ns, anchor_ns, self._zone)
        one = Recurrence(item.code, anchor_ns, self._now_ns, period.end_ns)
        self._details.recurring.append(one)
        return one

    def next_period(self, item: Recurring, one: Recurrence) -> None:
        """Come to the period after the one that has ended."""
        period = item.cycle.period_at(one.end_ns, one.anchor_ns, self._zone)
        one.start_ns, one.end_ns = one.end_ns, period.end_ns
        one.retry_ns = one.tries = one.paid_micro = one.days = 0
        one.unpaid, one.awaits, one.lapsed = False, (), []

    def attempt(self, item: Recurring, one: Recurrence, at_ns: int) -> None:
        """Run a period for an account that is active and has the money; else leave it open."""
        one.retry_ns = 0
        if self._account.status != ACTIVE:
            self._leave_open(item, one)
            return
        share = share_of(item, one.start_ns, one.anchor_ns, self._zone)
        fee_micro = share.of_money(item.fee_micro)
        own_micro = purses.count_in(self._state, self._now_ns)
        payers = entries.spendable(self._state, MONEY, "", 0, self._now_ns)
        missing_micro = fee_micro - entries.available_micro(self._state, payers)
        if fee_micro and missing_micro > 0:
            self._put_off(item, one, fee_micro, missing_micro)
            return
        posting = self._posting(item, one, at_ns)
        posting.units_before = share.period.days - share.days
        posting.units_after = share.period.days
        mark = len(self._working_set.movements)
        entries.take_money(self._working_set, self._state, payers, fee_micro, posting)
        if item.tax is not None:
            entries.split_tax(self._working_set, mark, posting, item.tax, 0, fee_micro)
        if own_micro is not None:
            purses.bring_in(self._working_set, self._state, posting, own_micro)
        one.unpaid, one.tries, one.paid_micro, one.days = False, 0, fee_micro, share.days
        allowances = {allowance.code: allowance for allowance in self.plan.allowances}
        for code in item.allowances:
            self._fill(allowances[code], one, share, posting)
        one.awaits, one.lapsed = (), []
        self._record("recurring", one, posting, _note_of(item, fee_micro))
        notices.notify(
            self._working_set, self._account, self.plan, notices.RENEWED, self._now_ns,
            subject=item.code, fee_micro=fee_micro, until_ns=one.end_ns,
        )
        notices.moved(
            self._working_set, self._state, self.plan, posting.request_id, self._now_ns
        )
        notices.schedule(self._working_set, self._state, self.plan)
        if item.allowances or self._account.flags & AccountFlag.UNPAID:
            self._working_set.ask_sessions(
                self._account.account_id, Trigger.TOP_UP, self._now_ns
            )

    def _leave_open(self, item: Recurring, one: Recurrence) -> None:
        """Let what a period carries over wait with it for being paid."""
        one.unpaid = True
        one.awaits = tuple(
            allowance.code for allowance in self.plan.allowances
            if allowance.code in item.allowances and allowance.rollover is not None
        )

    def _put_off(
        self, item: Recurring, one: Recurrence, fee_micro: int, missing_micro: int
    ) -> None:
        delays = item.retry_seconds
        if one.tries < len(delays):
            retry_ns = self._now_ns + delays[one.tries] * NS_PER_SECOND
            one.retry_ns = retry_ns if retry_ns < one.end_ns else 0
        first = not one.tries
        self._leave_open(item, one)
        one.tries += 1
        notices.notify(
            self._working_set, self._account, self.plan, notices.RENEWAL_FAILED, self._now_ns,
            subject=item.code, fee_micro=fee_micro, missing_micro=missing_micro, tries=one.tries,
            retry_ns=one.retry_ns,
        )
        if first and item.unpaid is Unpaid.BAR:
            self._working_set.ask_sessions(
                self._account.account_id, Trigger.LIFE_CYCLE, self._now_ns
            )

    def _fill(
        self, allowance: Allowance, one: Recurrence, share: Share, posting: entries.Posting
    ) -> None:
        """Fill a bucket for the period: the one of a period before, or a new one while clients
        still hold of that.
        """
        expires_ns = one.end_ns
        if allowance.expires_after_seconds:
            expires_ns = one.start_ns + allowance.expires_after_seconds * NS_PER_SECOND
        if allowance.rollover is not None:
            rollover.carry(
                self._working_set, self._state, allowance, one, expires_ns, posting
            )
        bucket = self._empty_bucket(allowance, one.start_ns, posting)
        if bucket is None:
            bucket = Bucket(
                self._account.account_id, self._working_set.new_request_id(), allowance.unit,
                allowance.code, measure=allowance.named.measure if allowance.named else "",
            )
            self._working_set.add_bucket(bucket)
        bucket.priority, bucket.services = allowance.priority, allowance.services
        bucket.expires_ns, bucket.asked = expires_ns, False
        posting.contra = Contra.ALLOWANCE
        amount = share.of_units(allowance.amount)
        entries.credit(self._working_set, bucket, amount, posting)
        notices.refilled(self._working_set, self._account, bucket)

    def _empty_bucket(
        self, allowance: Allowance, start_ns: int, posting: entries.Posting
    ) -> Bucket | None:
        """Return a bucket of an earlier period that nobody holds of, what is left of it expired."""
        measure = allowance.named.measure if allowance.named else ""
        for bucket in self._state.buckets:
            if (
                bucket.name == allowance.code
                and (bucket.unit, bucket.measure) == (allowance.unit, measure)
                and not bucket.held
                and 0 < bucket.expires_ns <= start_ns
            ):
                entries.expire(self._working_set, bucket, posting)
                return bucket
        return None

    def _posting(self, item: Recurring, one: Recurrence, at_ns: int) -> entries.Posting:
        return entries.Posting(
            self._working_set.new_request_id(), at_ns, self._now_ns, contra=Contra.FEE,
            rule=item.code, slot_ns=one.start_ns, units_after=one.days,
            catalogue_version=self._version,
        )

    def _record(
        self, what: str, one: Recurrence, posting: entries.Posting, note: str
    ) -> None:
        """Write the record of a period; its key is that of (plan, item, beginning)."""
        account = self._account
        balance_micro, held_micro = entries.money_balance(self._state)
        name = f"{what}\x00{self._details.recurring_plan}\x00{one.code}"
        key = RequestKey(
            account.account_id, make_session_key(name, None), RequestKind.TIMER, one.start_ns
        )
        record = ChargingRecord(
            session_id="", sub_session_id=None, kind=RequestKind.TIMER, number=one.start_ns,
            identity="", service_context=f"{what} {one.code}", origin_host="", peer="",
            end_to_end=0, event_ns=posting.event_ns, action=-1, services=(),
            attributes=RatingAttributes(), reply=ChargingReply(Outcome.SUCCESS), charged=[],
            balance_micro=balance_micro, held_micro=held_micro, catalogue_version=self._version,
            plan=account.plan, note=note,
        )  # fmt: skip
        self._working_set.add_record(
            NewRecord(key, posting.request_id, self._now_ns, 0, record)
        )


def _having(code: str, *runners: _Runner) -> tuple[_Runner, Recurring]:
    """Return the first that knows an item, and the item as it knows it; one of them does."""
    return next(
        (one, item) for one in runners for item in one.plan.recurring if item.code == code
    )


def _note_of(item: Recurring, fee_micro: int) -> str:
    parts = [f"fee {format_amount(fee_micro)}"] if item.fee_micro else []
    parts += [f"'{code}' renewed" for code in item.allowances]
    return f"{item.code}: {', '.join(parts)}"


def _schedule(working_set: WorkingSet, account: Account) -> None:
    due = [
        one.retry_ns or one.end_ns for one in account.details.recurring
    ]
    agenda.enter(working_set, account, agenda.RECURRING, min(due, default=NEVER_NS))


def _flag(working_set: WorkingSet, account: Account, *, unpaid: bool) -> None:
    flags = account.flags & ~AccountFlag.UNPAID
    if unpaid:
        flags |= AccountFlag.UNPAID
    if flags != account.flags:
        account.flags = flags
        working_set.mark_account(account)
