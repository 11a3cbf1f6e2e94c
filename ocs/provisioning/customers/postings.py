"""One operator's posting on one bucket: the transaction behind top-up, adjustment and refund.

A reference makes it happen once: repeated, it answers what was stored; with other content it is
refused, and the difference is named. The record, the movement and who did it why are one
transaction. Called by provisioning.customers.accounts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from ocs.amounts import Measured, Unit, format_quantity, measured, parse_amount, parse_quantity
from ocs.catalog.matching import CatalogIndex
from ocs.charging.accounts import purses, recurring
from ocs.charging.model.messages import (
    ChargingRecord,
    ChargingReply,
    Outcome,
    RatingAttributes,
    RequestKind,
    ServiceRequest,
    Units,
)
from ocs.charging.model.server_requests import Trigger
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import (
    AccountState,
    NewRecord,
    RequestKey,
    StoredAnswer,
    WorkingSet,
)
from ocs.errors import ConflictError, NotFoundError, RefusedError, UsageError
from ocs.ledger import entries
from ocs.ledger.account import AccountFlag, AccountStatus, Bucket, Contra
from ocs.provisioning.desk import Desk, Found
from ocs.provisioning.instants import format_instant
from ocs.provisioning.overdue import catch_up
from ocs.provisioning.views import money

REFERENCE_MAX = 200


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator wants to be posted."""

    command: str
    """``account topup`` and so on; part of the content that a repeat must match."""
    found: Found
    contra: Contra
    amount: str
    """As it was typed: a decimal for money, a quantity such as ``10 GB`` else."""
    bucket: str = entries.MAIN_BUCKET
    reference: str = ""
    entry: str = ""
    """The ledger line that it is about (refunds)."""
    service: str = ""
    everything: bool = False
    """The amount was left open: all that is left, whatever that came to the first time."""
    currency: str = ""
    """Of an amount of money that is not in the account's currency: it goes into a purse."""
    expires_ns: int = 0
    """When what stays in the purse expires (ns UTC); 0 = never."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What a posting came to."""

    account_id: int
    entry: str
    command: str
    reference: str
    bucket: str
    unit: Measured
    amount: int
    currency: str
    balance_micro: int
    held_micro: int
    at_ns: int
    repeated: bool
    """The reference was known: nothing moved now, this is what was stored."""
    exchanged_micro: int = 0
    """What an amount in another currency came to in the account's."""

    def view(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "account_id": str(self.account_id),
            "entry": self.entry,
            "command": self.command,
            "reference": self.reference,
            "bucket": self.bucket,
            "unit": self.unit.label,
            "amount": self.amount,
            "amount_text": format_quantity(self.amount, self.unit),
            "currency": self.currency,
            **money("balance", self.balance_micro),
            **money("held", self.held_micro),
            **money("exchanged", self.exchanged_micro),
            "at": format_instant(self.at_ns),
            "repeated": self.repeated,
        }


Check = Callable[[WorkingSet, AccountState, Bucket, int], None]
"""Looks at (set, account, bucket, amount) before the posting and raises RefusedError."""


Effect = Callable[[WorkingSet, AccountState, Bucket, int, entries.Posting], None]
"""Does what (set, account, bucket, amount, posting) brings with it, in the same transaction."""


def post(
    desk: Desk, order: Order, check: Check, *, more_keys: tuple[RequestKey, ...] = (),
    effect: Effect | None = None, catalogue: CatalogIndex | None = None,
) -> Posted:  # fmt: skip
    """Post ``order`` in one transaction, once per reference, after what ``catalogue`` has due.

    ``more_keys`` are loaded beside the posting's own for ``check``; ``effect`` follows it. Raises
    UsageError, RefusedError, NotFoundError, ConflictError; then nothing was changed.
    """
    check_reference(order.reference)
    account_id = order.found.account_id
    name = order.reference or f"\x00{desk.ids.next_id()}"
    key = RequestKey(
        account_id, make_session_key(f"operator\x00{name}", None), RequestKind.OPERATOR, 0
    )
    now_ns = desk.clock.now_ns()

    def decide(working_set: WorkingSet) -> Posted:
        state = account_of(working_set, account_id)
        stored = working_set.answers.get(key)
        if stored is None:
            # Before the bucket is chosen: a renewal may put another in its place.
            catch_up(desk, working_set, account_id, catalogue, now_ns)
        bucket = _bucket_of(working_set, state, order)
        amount = parse_units(order.amount, measured(bucket.unit, bucket.measure))
        if stored is not None:
            return _repeated(order, state, bucket, amount, stored)
        check(working_set, state, bucket, amount)
        purses.take_rates(state, catalogue)
        if order.currency:
            purses.put(working_set, state, bucket, order.expires_ns)
        request_id = working_set.new_request_id()
        posting = entries.Posting(
            request_id, now_ns, now_ns, contra=order.contra, service=order.service,
            rule=order.entry,
        )  # fmt: skip
        entries.credit(working_set, bucket, amount, posting)
        if effect is not None:
            effect(working_set, state, bucket, amount, posting)
        if amount > 0:
            recurring.try_again(working_set, state.account, now_ns)
            working_set.ask_sessions(account_id, Trigger.TOP_UP, now_ns, desk.operator)
        clear_over_usage(working_set, state)
        record = _record(order, state, bucket, amount, now_ns, desk)
        working_set.add_record(
            NewRecord(key, request_id, now_ns, content_hash(order, amount), record)
        )
        posted = _posted(order, state, bucket, amount, request_id, record, repeated=False)
        working_set.actions.append(
            desk.action(
                order.command, order.found.name, account_id,
                entry=posted.entry, bucket=posted.bucket,
                amount=format_quantity(amount, posted.unit), reference=order.reference,
                about=order.entry,
            )
        )  # fmt: skip
        return posted

    return desk.store.transact([key, *more_keys], decide, order.command)


def check_reference(reference: str) -> None:
    """Raise UsageError when a text cannot be a reference."""
    if len(reference) > REFERENCE_MAX or not reference.isprintable():
        raise UsageError(f"a reference is at most {REFERENCE_MAX} printable characters")


def account_of(working_set: WorkingSet, account_id: int) -> AccountState:
    """Return an account that may be changed. Raises NotFoundError, RefusedError."""
    state = working_set.accounts.get(account_id)
    if state is None:
        raise NotFoundError(f"there is no account {account_id}")
    if state.account.status == AccountStatus.REMOVED:
        raise RefusedError(f"account {account_id} was removed; nothing can be posted to it")
    return state


def parse_micro(text: str) -> int:
    """Return an amount of money in micro units. Raises UsageError."""
    return parse_units(text, Unit.MONEY)


def parse_units(text: str, unit: Measured) -> int:
    """Return an amount or quantity in the unit's base; a sign is allowed. Raises UsageError."""
    try:
        if unit is Unit.MONEY:
            return parse_amount(text)
        stripped = text.strip()
        if stripped.startswith("-"):
            return -parse_quantity(stripped[1:], unit)
        return parse_quantity(stripped, unit)
    except ValueError as error:
        raise UsageError(str(error)) from None


def content_hash(order: Order, amount: int) -> int:
    """Return 63 bits over everything that a repeat with the same reference must have alike."""
    size = "everything" if order.everything else str(amount)
    text = f"{order.command}\x00{order.bucket}\x00{size}\x00{order.entry}"
    if order.expires_ns:
        text += f"\x00{order.expires_ns}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 1


def _bucket_of(working_set: WorkingSet, state: AccountState, order: Order) -> Bucket:
    if order.currency:
        return purses.purse_for(working_set, state, order.currency, order.expires_ns)
    return _bucket(state, order.bucket)


def _bucket(state: AccountState, name: str) -> Bucket:
    # Several allowances of one name can exist after renewals: the youngest is meant.
    found = [bucket for bucket in state.buckets if bucket.name == name]
    if not found:
        names = ", ".join(sorted({bucket.name for bucket in state.buckets}))
        raise NotFoundError(
            f"account {state.account.account_id} has no bucket '{name}'; it has {names}"
        )
    return max(found, key=lambda bucket: bucket.bucket_id)


def clear_over_usage(working_set: WorkingSet, state: AccountState) -> None:
    """Take the flag of over-usage away from an account that is within its limit again."""
    account = state.account
    main = entries.main_bucket(state)
    if (
        account.flags & AccountFlag.OVER_USAGE
        and main.available + account.credit_limit_micro >= 0
    ):
        account.flags &= ~AccountFlag.OVER_USAGE
        working_set.mark_account(account)


def _record(
    order: Order, state: AccountState, bucket: Bucket, amount: int, now_ns: int, desk: Desk
) -> ChargingRecord:
    balance_micro, held_micro = entries.money_balance(state)
    unit = measured(bucket.unit, bucket.measure)
    asked = Units(
        seconds=amount if unit is Unit.SECONDS else None,
        octets=amount if unit is Unit.OCTETS else None,
        events=amount if bucket.unit == Unit.EVENTS else None,
        money_micro=amount if unit is Unit.MONEY else None,
        money_currency=state.account.currency if unit is Unit.MONEY else "",
    )
    return ChargingRecord(
        session_id=order.reference,
        sub_session_id=None,
        kind=RequestKind.OPERATOR,
        number=0,
        identity=order.found.name,
        service_context=f"{order.command} {bucket.name}",
        origin_host="",
        peer="",
        end_to_end=0,
        event_ns=now_ns,
        action=-1,
        services=(ServiceRequest(None, (), requested=asked),),
        attributes=RatingAttributes(),
        reply=ChargingReply(Outcome.SUCCESS, refund_reference=order.entry),
        charged=[],
        balance_micro=balance_micro,
        held_micro=held_micro,
        catalogue_version=0,
        plan=state.account.plan,
        note=desk.reason,
        operator=desk.operator,
    )


def _repeated(
    order: Order, state: AccountState, bucket: Bucket, amount: int, stored: StoredAnswer
) -> Posted:
    record = stored.record
    before = _amount(record)
    if stored.content_hash == content_hash(order, amount):
        return _posted(order, state, bucket, before, stored.request_id, record, repeated=True)
    was = {
        "command": record.service_context,
        "amount": format_quantity(before, measured(bucket.unit, bucket.measure)),
        "entry": record.reply.refund_reference,
    }
    wanted = {
        "command": f"{order.command} {bucket.name}",
        "amount": format_quantity(amount, measured(bucket.unit, bucket.measure)),
        "entry": order.entry,
    }
    differences = [
        f"{name} was '{was[name]}', now '{wanted[name]}'"
        for name in was
        if was[name] != wanted[name]
    ]
    raise ConflictError(
        f"reference '{order.reference}' was used before with other content: "
        + "; ".join(differences)
    )


def _amount(record: ChargingRecord) -> int:
    asked = record.services[0].requested if record.services else None
    if asked is None:
        return 0
    values = (asked.money_micro, asked.octets, asked.seconds, asked.events)
    return next((value for value in values if value is not None), 0)


def _posted(
    order: Order, state: AccountState, bucket: Bucket, amount: int, request_id: int,
    record: ChargingRecord, *, repeated: bool,
) -> Posted:  # fmt: skip
    return Posted(
        account_id=state.account.account_id,
        entry=f"{request_id}.0",
        command=order.command,
        reference=order.reference,
        bucket=bucket.name,
        unit=measured(bucket.unit, bucket.measure),
        amount=amount,
        currency=state.account.currency,
        balance_micro=record.balance_micro,
        held_micro=record.held_micro,
        at_ns=record.event_ns,
        repeated=repeated,
    )

