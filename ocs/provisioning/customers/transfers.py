"""Money given by one customer to another: one transaction over two accounts (K-251 to K-253).

The giver's plan says whether, how much, how often and for which fee. Both accounts are loaded and
locked together, in the order of their ids, so transfers in both directions at once cannot wait for
each other. Called by `ocs account transfer`.
"""

from dataclasses import dataclass
from typing import Any

from ocs.amounts import format_amount
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import Period
from ocs.catalog.offers import Transfers
from ocs.catalog.periods import Periods
from ocs.charging.accounts import account_life, notices, purses, recurring
from ocs.charging.counts import counters
from ocs.charging.model.messages import ChargingRecord, RequestKind, ServiceRequest, Units
from ocs.charging.model.server_requests import Trigger
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import (
    AccountState,
    NewRecord,
    RequestKey,
    StoredAnswer,
    WorkingSet,
)
from ocs.errors import ConflictError, RefusedError, UsageError
from ocs.ledger import entries
from ocs.ledger.account import Contra
from ocs.ledger.entries import TRANSFER_FEE, main_bucket
from ocs.provisioning.customers.accounts import check_room
from ocs.provisioning.customers.postings import (
    Order,
    account_of,
    check_reference,
    clear_over_usage,
    content_hash,
    parse_micro,
)
from ocs.provisioning.customers.subscribers import operator_record
from ocs.provisioning.desk import Desk, Found
from ocs.provisioning.instants import format_instant
from ocs.provisioning.overdue import catch_up
from ocs.provisioning.views import money

COUNTER = "transfers"
"""Code of the counter of a day's transfers."""


@dataclass(frozen=True, slots=True)
class Transferred:
    """What a transfer came to."""

    giver_id: int
    taker_id: int
    reference: str
    entry: str
    """The giver's line."""
    amount_micro: int
    fee_micro: int
    currency: str
    balance_micro: int
    """The giver's, afterwards."""
    at_ns: int
    repeated: bool

    def view(self) -> dict[str, Any]:
        """Return it as JSON; nothing is told of what the taker has."""
        return {
            "account_id": str(self.giver_id),
            "to_account_id": str(self.taker_id),
            "reference": self.reference,
            "entry": self.entry,
            **money("amount", self.amount_micro),
            **money("fee", self.fee_micro),
            "currency": self.currency,
            **money("balance", self.balance_micro),
            "at": format_instant(self.at_ns),
            "repeated": self.repeated,
        }


def transfer(
    desk: Desk, giver: Found, taker: Found, amount: str, catalogue: CatalogIndex, *,
    reference: str = "",
) -> Transferred:  # fmt: skip
    """Give ``amount`` of the giver's main money to the taker, once per reference.

    Raises UsageError, RefusedError, ConflictError; then nothing was changed.
    """
    check_reference(reference)
    if giver.account_id == taker.account_id:
        raise UsageError("both names mean the same account")
    task = _Transfer(desk, giver, taker, parse_micro(amount), catalogue, reference)
    return desk.store.transact([task.giver_key, task.taker_key], task.decide, task.command)


class _Transfer:
    """One transfer; decided as often as the store asks."""

    command = "account transfer"

    def __init__(
        self, desk: Desk, giver: Found, taker: Found, amount_micro: int, catalogue: CatalogIndex,
        reference: str,
    ) -> None:  # fmt: skip
        self._desk, self._giver, self._taker = desk, giver, taker
        self._amount_micro, self._catalogue, self._reference = amount_micro, catalogue, reference
        name = reference or f"\x00{desk.ids.next_id()}"
        self.giver_key = RequestKey(
            giver.account_id, make_session_key(f"operator\x00{name}", None),
            RequestKind.OPERATOR, 0,
        )  # fmt: skip
        # A reference is the giver's own: the taker may have one of the same name.
        self.taker_key = RequestKey(
            taker.account_id, make_session_key(f"from\x00{giver.account_id}\x00{name}", None),
            RequestKind.OPERATOR, 0,
        )  # fmt: skip
        order = Order(self.command, giver, Contra.TRANSFER, "", entry=str(taker.account_id))
        self._hash = content_hash(order, amount_micro)
        self._now_ns = desk.clock.now_ns()

    def decide(self, working_set: WorkingSet) -> Transferred:
        """Move the money, or answer what was stored."""
        giver = account_of(working_set, self._giver.account_id)
        stored = working_set.answers.get(self.giver_key)
        if stored is not None:
            return self._repeated(giver, stored)
        taker = account_of(working_set, self._taker.account_id)
        for account_id in (self._giver.account_id, self._taker.account_id):
            catch_up(self._desk, working_set, account_id, self._catalogue, self._now_ns)
        terms = self._check(working_set, giver, taker)
        posted = self._give(working_set, giver, terms.fee_micro)
        self._take(working_set, taker)
        details = {
            "amount": format_amount(self._amount_micro), "fee": format_amount(terms.fee_micro),
            "to": f"account:{self._taker.account_id}", "entry": posted.entry,
            "reference": self._reference,
        }  # fmt: skip
        working_set.actions.append(
            self._desk.action(self.command, self._giver.name, self._giver.account_id, **details)
        )
        return posted

    def _check(
        self, working_set: WorkingSet, giver: AccountState, taker: AccountState
    ) -> Transfers:
        gives = account_life.ADMISSIONS[giver.account.status]
        if not gives.gives:
            raise RefusedError(f"{self._giver.name} can give nothing: {gives.words}")
        gets = account_life.ADMISSIONS[taker.account.status]
        if not gets.gets:
            raise RefusedError(f"{self._taker.name} can be given nothing: {gets.words}")
        if giver.account.currency != taker.account.currency:
            raise RefusedError(
                f"{self._giver.name} is kept in {giver.account.currency}, {self._taker.name} in "
                f"{taker.account.currency}"
            )
        plan = self._catalogue.catalog.plans.get(giver.account.plan)
        terms = plan.transfers if plan is not None else None
        if terms is None:
            raise RefusedError(f"plan '{giver.account.plan}' allows no transfers")
        amount_micro = self._amount_micro
        if amount_micro < terms.minimum_micro:
            raise RefusedError(f"a transfer is {format_amount(terms.minimum_micro)} at least")
        if 0 < terms.maximum_micro < amount_micro:
            raise RefusedError(f"a transfer is {format_amount(terms.maximum_micro)} at most")
        left_micro = main_bucket(giver).available - amount_micro - terms.fee_micro
        if left_micro < terms.keeps_micro:
            raise RefusedError(
                f"{self._giver.name} would have {format_amount(left_micro)} left after "
                f"{format_amount(amount_micro)} and a fee of {format_amount(terms.fee_micro)}; it "
                f"must be {format_amount(terms.keeps_micro)} at least"
            )
        check_room(main_bucket(taker), amount_micro)
        self._count(working_set, giver, terms)
        return terms

    def _count(self, working_set: WorkingSet, giver: AccountState, terms: Transfers) -> None:
        """Count the transfer for its day, where the plan limits what a day may see."""
        if not terms.daily_micro and not terms.daily_count:
            return
        day = Periods(self._catalogue.catalog.time_zone).around(self._now_ns, Period.DAY)
        counter = counters.provide(giver.account, COUNTER, 0, day, self._now_ns)
        if counter is None:
            raise RefusedError(counters.NO_ROOM)
        if terms.daily_count and counter.units >= terms.daily_count:
            raise RefusedError(f"{terms.daily_count} transfers were made today already")
        given_micro = counter.charged_micro + self._amount_micro
        if 0 < terms.daily_micro < given_micro:
            raise RefusedError(
                f"{format_amount(counter.charged_micro)} were given today, and a day may see "
                f"{format_amount(terms.daily_micro)}"
            )
        counter.units += 1
        counter.charged_micro = given_micro
        working_set.mark_account(giver.account)

    def _give(self, working_set: WorkingSet, state: AccountState, fee_micro: int) -> Transferred:
        posting = self._posting(working_set, self._taker.account_id)
        entries.credit(working_set, main_bucket(state), -self._amount_micro, posting)
        if fee_micro:
            posting.contra, posting.rule = Contra.REVENUE, TRANSFER_FEE
            entries.credit(working_set, main_bucket(state), -fee_micro, posting)
        plan = self._catalogue.catalog.plans.get(state.account.plan)
        purses.take_rates(state, self._catalogue)
        notices.moved(working_set, state, plan, posting.request_id, self._now_ns)
        record = self._store(
            working_set, self.giver_key, state, self._giver.name, posting, -self._amount_micro
        )
        record.reply.cost_micro = fee_micro
        return self._result(
            posting.request_id, fee_micro, record.balance_micro, state, self._now_ns
        )

    def _take(self, working_set: WorkingSet, state: AccountState) -> None:
        posting = self._posting(working_set, self._giver.account_id)
        entries.credit(working_set, main_bucket(state), self._amount_micro, posting)
        clear_over_usage(working_set, state)
        recurring.try_again(working_set, state.account, self._now_ns)
        working_set.ask_sessions(
            state.account.account_id, Trigger.TOP_UP, self._now_ns, self._desk.operator
        )
        self._store(
            working_set, self.taker_key, state, self._taker.name, posting, self._amount_micro
        )

    def _posting(self, working_set: WorkingSet, other_id: int) -> entries.Posting:
        return entries.Posting(
            working_set.new_request_id(), self._now_ns, self._now_ns, contra=Contra.TRANSFER,
            rule=f"account:{other_id}", catalogue_version=self._catalogue.catalog.version,
        )  # fmt: skip

    def _store(
        self, working_set: WorkingSet, key: RequestKey, state: AccountState, name: str,
        posting: entries.Posting, amount_micro: int,
    ) -> ChargingRecord:  # fmt: skip
        account = state.account
        record = operator_record(
            self._desk, self.command, account.plan, name, state, self._now_ns
        )
        units = Units(money_micro=amount_micro, money_currency=account.currency)
        record.services = (ServiceRequest(None, (), requested=units),)
        record.session_id = self._reference
        record.catalogue_version = posting.catalogue_version
        working_set.add_record(
            NewRecord(key, posting.request_id, self._now_ns, self._hash, record)
        )
        return record

    def _repeated(self, state: AccountState, stored: StoredAnswer) -> Transferred:
        record = stored.record
        if stored.content_hash != self._hash:
            raise ConflictError(
                f"reference '{self._reference}' was used before with other content: "
                f"{record.service_context} at {format_instant(record.event_ns)}"
            )
        return self._result(
            stored.request_id, record.reply.cost_micro or 0, record.balance_micro, state,
            record.event_ns, repeated=True,
        )  # fmt: skip

    def _result(
        self, request_id: int, fee_micro: int, balance_micro: int, state: AccountState,
        at_ns: int, *, repeated: bool = False,
    ) -> Transferred:  # fmt: skip
        return Transferred(
            self._giver.account_id, self._taker.account_id, self._reference, f"{request_id}.0",
            self._amount_micro, fee_micro, state.account.currency, balance_micro, at_ns, repeated,
        )  # fmt: skip
