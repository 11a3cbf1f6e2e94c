"""Money and units put in, corrected and given back by a person; an account shown as a whole.

Each posting is one transaction (postings.post), exactly once per reference. Refunds follow M-014:
never more than the line they refund took. Called by the command line.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ocs.amounts import INT64_MAX, Measured, NamedUnit, Unit, format_quantity, measured
from ocs.catalog.matching import CatalogIndex
from ocs.charging.accounts import account_life, exchange, notices, purses, recurring, top_ups
from ocs.charging.debits import refunds
from ocs.charging.model.messages import (
    ChargingRecord,
    ChargingReply,
    Outcome,
    RatingAttributes,
    RequestKind,
)
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import AccountState, NewRecord, RequestKey, WorkingSet
from ocs.currencies import NUMERIC_BY_CODE
from ocs.errors import ConflictError, NotFoundError, RefusedError, UsageError
from ocs.ledger.account import Bucket, Contra, Movement
from ocs.ledger.entries import MAIN_BUCKET, Posting, main_bucket
from ocs.provisioning.customers import refund_counts
from ocs.provisioning.customers.postings import Order, Posted, parse_units, post
from ocs.provisioning.desk import Desk, Found
from ocs.provisioning.instants import parse_instant
from ocs.provisioning.views import (
    account_view,
    bucket_view,
    identity_names,
    ledger_view,
    life_view,
    members_view,
    money,
    unit_of,
)
from ocs.store.ledger_reports import LedgerLine

_REFUND_TRIES = 3


def top_up(
    desk: Desk, found: Found, amount: str, *, bucket: str = MAIN_BUCKET, reference: str = "",
    catalogue: CatalogIndex | None = None, currency: str = "", expires: str = "",
) -> Posted:  # fmt: skip
    """Put money (or units, into a bucket that counts them) into an account.

    Money in the main bucket brings what the account's plan in ``catalogue`` promises for it; in
    another ``currency`` it is exchanged at once, or kept until it is needed and ``expires``, as
    the plan does that (K-323, K-329).
    """
    if currency and bucket != MAIN_BUCKET:
        raise UsageError("money in a currency comes into the main bucket; leave the bucket out")
    if currency and currency not in NUMERIC_BY_CODE:
        raise UsageError(f"'{currency[:40]}' is no currency of ISO 4217, such as EUR")
    if bucket in NUMERIC_BY_CODE:
        raise UsageError(f"'{bucket}' is a currency: give it as that, not as a bucket")
    order = Order("account topup", found, Contra.TOP_UP, amount, bucket, reference)
    order = in_currency(desk, order, currency)
    if expires:
        order = replace(order, expires_ns=_end_of_purse(desk, order, expires))
    return post_top_up(desk, order, catalogue)


def _end_of_purse(desk: Desk, order: Order, expires: str) -> int:
    now_ns = desk.clock.now_ns()
    expires_ns = parse_instant(expires, now_ns)
    if not order.currency:
        raise UsageError("only money in another currency than the account's expires by itself")
    if expires_ns <= now_ns:
        raise UsageError(f"'{expires}' is past; money expires in the future, or never")
    return expires_ns


def in_currency(desk: Desk, order: Order, currency: str) -> Order:
    """Return an order of money in a currency; into a purse if it is not the account's."""
    account = desk.reports.account(order.found.account_id) if currency else None
    if account is None or currency == account.currency:
        return order
    return replace(order, bucket=currency, currency=currency)


def post_top_up(
    desk: Desk, order: Order, catalogue: CatalogIndex | None,
    also: Callable[[WorkingSet], None] | None = None,
) -> Posted:  # fmt: skip
    """Post a top-up with what it brings; ``also`` is done in the same transaction."""

    def check(_set: WorkingSet, state: AccountState, bucket: Bucket, units: int) -> None:
        if units <= 0:
            raise UsageError("a top-up must be more than zero; `ocs account adjust` takes away")
        refuse_credit(state)
        check_room(bucket, units)
        if order.currency:
            _check_exchange(state, catalogue, order, bucket, units)

    def effect(
        working_set: WorkingSet, state: AccountState, bucket: Bucket, units: int, posting: Posting
    ) -> None:
        own_micro = units
        if order.currency:
            own_micro = _exchange(working_set, state, catalogue, bucket, units, posting)
        if order.currency or (bucket.unit == Unit.MONEY and bucket.name == MAIN_BUCKET):
            top_ups.bring(working_set, state, catalogue, own_micro, posting)
        if also is not None:
            also(working_set)

    posted = post(desk, order, check, effect=effect, catalogue=catalogue)
    if not order.currency:
        return posted
    request_id = int(posted.entry.partition(".")[0])
    own_micro = sum(
        one.amount
        for one in desk.ledger.lines_of(posted.account_id, request_id)
        if one.contra == Contra.EXCHANGE and one.unit == Unit.MONEY
    )
    return replace(posted, exchanged_micro=own_micro)


def _check_exchange(
    state: AccountState, catalogue: CatalogIndex | None, order: Order, purse: Bucket,
    amount_micro: int,
) -> None:  # fmt: skip
    account, currency = state.account, order.currency
    rate = exchange.rate_for(account, catalogue, currency)
    if rate is None:
        raise RefusedError(exchange.refusal(account, catalogue, currency))
    if order.expires_ns and not purses.keeps(account, catalogue):
        raise UsageError(
            f"plan '{account.plan}' exchanges {currency} at once, so nothing of it can expire"
        )
    own_micro = rate.exchanged(amount_micro)
    if not own_micro:
        raise UsageError(f"so little {currency} is worth less than the smallest amount kept")
    if purses.is_full(state, purse):
        raise RefusedError(
            f"account {account.account_id} has {purses.PURSES_MAX} purses, which is the most; use "
            "the same end for several top-ups"
        )
    check_room(main_bucket(state), own_micro)


def _exchange(
    working_set: WorkingSet, state: AccountState, catalogue: CatalogIndex | None, purse: Bucket,
    amount_micro: int, posting: Posting,
) -> int:
    """Exchange what came into a purse, all or what the account lacks; return what it comes to."""
    rate = exchange.rate_for(state.account, catalogue, purse.name)
    assert rate is not None
    if not purses.keeps(state.account, catalogue):
        return exchange.exchange(working_set, state, purse, rate, amount_micro, posting)
    owed_micro = -main_bucket(state).available
    if owed_micro > 0:
        purses.fetch(working_set, state, posting, owed_micro)
    assert catalogue is not None
    notices.schedule(working_set, state, catalogue.catalog.plans[state.account.plan])
    return rate.exchanged(amount_micro)


def refuse_credit(state: AccountState) -> None:
    """Raise RefusedError where the state of an account takes no top-up."""
    admission = account_life.ADMISSIONS[state.account.status]
    if not admission.gets:
        raise RefusedError(
            f"account {state.account.account_id} cannot be topped up: {admission.words}"
        )


def adjust(
    desk: Desk, found: Found, amount: str, *, bucket: str = MAIN_BUCKET, reference: str = "",
    catalogue: CatalogIndex | None = None,
) -> Posted:  # fmt: skip
    """Correct a bucket by a signed amount; it never takes what is held or beyond the limit.

    The customer is told of a low balance as the plan in ``catalogue`` says.
    """

    def check(_set: WorkingSet, state: AccountState, bucket: Bucket, units: int) -> None:
        if not units:
            raise UsageError("an adjustment of zero changes nothing")
        if exchange.is_purse(bucket) and not bucket.balance:
            raise RefusedError(
                f"bucket '{bucket.name}' is an empty purse: what comes in is exchanged; adjust "
                f"'{MAIN_BUCKET}'"
            )
        check_room(bucket, units)
        lowest = 0
        if bucket.unit == Unit.MONEY and bucket.name == MAIN_BUCKET:
            lowest = -state.account.credit_limit_micro
        if units < 0 and bucket.available + units < lowest:
            unit = measured(bucket.unit, bucket.measure)
            raise RefusedError(
                f"bucket '{bucket.name}' has {format_quantity(bucket.available, unit)} available "
                f"and may not go below {format_quantity(lowest, unit)}; nothing was changed"
            )

    def tell(
        working_set: WorkingSet, state: AccountState, _: Bucket, _units: int, posting: Posting
    ) -> None:
        plan = catalogue.catalog.plans.get(state.account.plan) if catalogue is not None else None
        notices.moved(working_set, state, plan, posting.request_id, posting.now_ns)

    return post(
        desk,
        Order("account adjust", found, Contra.ADJUSTMENT, amount, bucket, reference),
        check,
        effect=tell,
        catalogue=catalogue,
    )


def refund(
    desk: Desk, entry: str, amount: str = "", *, reference: str = "",
    catalogue: CatalogIndex | None = None,
) -> Posted:  # fmt: skip
    """Give back what a ledger line took, all that is left of it or ``amount``.

    What ``catalogue`` counts towards limits and bounds of buckets is taken out of them (K-218).

    Raises NotFoundError, RefusedError when the line is no debit or was refunded already.
    """
    for _ in range(_REFUND_TRIES):
        line = find_entry(desk, entry)
        try:
            return _refund_once(desk, line, amount, reference, catalogue)
        except _RefundedMeanwhileError:
            continue
    raise ConflictError(f"entry {entry} is being refunded by somebody else; look and try again")


def find_entry(desk: Desk, entry: str) -> LedgerLine:
    """Return the ledger line named REQUEST_ID.LINE. Raises UsageError, NotFoundError."""
    head, dot, tail = entry.partition(".")
    numbers = head.isdecimal() and tail.isdecimal() and len(head) <= 19 and len(tail) <= 9
    if not (dot and numbers and int(head) <= INT64_MAX):
        raise UsageError(
            f"'{entry}' is no ledger entry; `ocs account ledger` prints them as REQUEST_ID.LINE"
        )
    lines = desk.ledger.entries(int(head), int(tail))
    if not lines:
        raise NotFoundError(f"there is no ledger entry {entry}; it may have been pruned")
    if len(lines) > 1:
        owners = ", ".join(str(line.movement.account_id) for line in lines)
        raise ConflictError(
            f"accounts {owners} each have an entry {entry}, because servers with the same "
            "process.node were used; correct the one that is meant with `ocs account adjust`"
        )
    return lines[0]


def show(desk: Desk, account_id: int) -> dict[str, Any]:
    """Return an account with its names and buckets. Raises NotFoundError."""
    account = desk.reports.account(account_id)
    if account is None:
        raise NotFoundError(f"there is no account {account_id}")
    buckets = desk.reports.buckets(account_id)
    of_money = [bucket for bucket in buckets if bucket.unit == Unit.MONEY]
    names = desk.reports.identifiers([account_id]).get(account_id, ())
    return {
        **account_view(account),
        "identities": identity_names(names),
        **money("balance", sum(bucket.balance for bucket in of_money)),
        **money("available", sum(bucket.available for bucket in of_money)),
        **money("held", sum(bucket.held for bucket in of_money)),
        "buckets": [bucket_view(bucket) for bucket in buckets],
        "members": members_view(names),
        **life_view(account),
    }


def worth(desk: Desk, account_id: int, catalogue: CatalogIndex | None) -> dict[str, Any]:
    """Return what all money of an account comes to in its own currency, as JSON: its balance, and
    what is in purses at the rates of ``catalogue`` (K-335).
    """
    account = desk.reports.account(account_id)
    if account is None:
        raise NotFoundError(f"there is no account {account_id}")
    state = AccountState(account, desk.reports.buckets(account_id))
    purses.take_rates(state, catalogue)
    own_micro = sum(one.balance for one in state.buckets if one.unit == Unit.MONEY)
    return money("worth", own_micro + purses.worth_micro(state, desk.clock.now_ns()))


def ledger(desk: Desk, account_id: int, limit: int, since_ns: int) -> list[dict[str, Any]]:
    """Return an account's newest lines, the oldest of them first."""
    buckets = {bucket.bucket_id: bucket for bucket in desk.reports.buckets(account_id)}
    lines = desk.ledger.ledger(account_id, limit, since_ns=since_ns)
    return [ledger_view(line, buckets) for line in reversed(lines)]


def sponsored(desk: Desk, since: str, until: str) -> list[dict[str, Any]]:
    """Return what sponsors owe for usage in a time, by service (K-216)."""
    now_ns = desk.clock.now_ns()
    since_ns = parse_instant(since, now_ns) if since else 0
    until_ns = parse_instant(until, now_ns) if until else now_ns + 1
    return [
        {
            "sponsor": one.sponsor,
            "service": one.service,
            "currency": one.currency,
            **money("amount", one.amount_micro),
            "lines": one.lines,
        }
        for one in desk.ledger.sponsored(since_ns, until_ns)
    ]


class _RefundedMeanwhileError(Exception):
    """Another refund of the same line was committed between looking and posting."""


def _refund_once(
    desk: Desk, line: LedgerLine, amount: str, reference: str, catalogue: CatalogIndex | None
) -> Posted:
    moved = line.movement
    entry = f"{moved.request_id}.{moved.line}"
    account_id = moved.account_id
    siblings = desk.ledger.lines_of(account_id, moved.request_id)
    _refuse_no_charge(moved, siblings)
    given = desk.ledger.refunds_of(account_id, entry)
    left = -moved.amount - sum(one.amount for one in given)
    buckets = {bucket.bucket_id: bucket for bucket in desk.reports.buckets(account_id)}
    unit = unit_of(moved, buckets)
    # The n-th refund of a line has a key of its own, so two at once cannot both be the n-th.
    slot = RequestKey(
        account_id, make_session_key(f"refund of\x00{entry}", None), RequestKind.OPERATOR,
        len(given),
    )  # fmt: skip
    marker, ended = _event_marker(line), _end_of_fee(line)
    member = refund_counts.subscriber_of(desk, line)

    def check(working_set: WorkingSet, state: AccountState, bucket: Bucket, units: int) -> None:
        if slot in working_set.answers:
            raise _RefundedMeanwhileError
        if units <= 0:
            raise UsageError("a refund must be more than zero")
        _refuse_given_back(working_set, entry, marker, ended)
        if units > left:
            raise RefusedError(
                f"entry {entry} took {format_quantity(-moved.amount, unit)}, of which "
                f"{format_quantity(left, unit)} can still be refunded"
            )
        check_room(bucket, units)
        for key in (slot, marker):
            if key is not None and key not in working_set.answers:
                working_set.add_record(_guard(desk, working_set, state, key, entry))

    if left <= 0 and not reference:
        raise RefusedError(f"entry {entry} was refunded completely before")
    refunded = buckets.get(moved.bucket_id)
    if refunded is None:
        raise NotFoundError(f"the bucket of entry {entry} does not exist any more")
    found = Found(account_id, 0, line.request.record.identity or f"account:{account_id}")
    order = Order(
        "account refund", found, Contra.REFUND, amount or _amount_text(max(left, 0), unit),
        refunded.name, reference, entry, moved.service, everything=not amount,
    )  # fmt: skip
    parse_units(order.amount, unit)
    keys = tuple(key for key in (slot, marker, ended) if key is not None)

    def effect(
        working_set: WorkingSet, state: AccountState, bucket: Bucket, units: int, _: Posting
    ) -> None:
        if catalogue is not None and moved.service:
            refund_counts.take_back(
                working_set, state, catalogue, line, siblings, bucket, units, member
            )
        if ended is not None:
            recurring.refunded(working_set, state.account, moved.rule, moved.slot_ns, units)

    return post(desk, order, check, more_keys=keys, effect=effect, catalogue=catalogue)


def _refuse_no_charge(moved: Movement, siblings: Sequence[Movement]) -> None:
    """Raise RefusedError where a line, one of ``siblings``, took nothing of the account's."""
    entry = f"{moved.request_id}.{moved.line}"
    if moved.contra not in (Contra.REVENUE, Contra.FEE, Contra.TAX) or moved.amount >= 0:
        raise RefusedError(f"entry {entry} is no charge; only charges can be refunded")
    for other in siblings:
        if other.contra == Contra.SPONSOR and (other.service, other.units_after, other.zone) == (
            moved.service, moved.units_after, moved.zone
        ):
            raise RefusedError(
                f"entry {entry} was paid by sponsor '{other.rule}' and not by the account"
            )


def _refuse_given_back(
    working_set: WorkingSet, entry: str, marker: RequestKey | None, ended: RequestKey | None
) -> None:
    """Raise RefusedError where a line was given back in another way than by operators."""
    taken = working_set.answers.get(marker) if marker is not None else None
    if taken is not None and not taken.record.operator:
        raise RefusedError(f"entry {entry} was refunded by its gateway before")
    if ended is not None and ended in working_set.answers:
        raise RefusedError(
            f"of entry {entry} what was not used was given back when the plan was left; "
            "correct the rest with `ocs account adjust`"
        )


def _end_of_fee(line: LedgerLine) -> RequestKey | None:
    """Return the key by which a recurring fee is given back in part, where a line is of one."""
    moved = line.movement
    if line.request.kind != RequestKind.TIMER or not moved.rule or not moved.slot_ns:
        return None
    plan = line.request.record.plan
    return recurring.end_key(moved.account_id, plan, moved.rule, moved.slot_ns)


def _event_marker(line: LedgerLine) -> RequestKey | None:
    """Return the key by which the gateway's own refund of this debit is known, if it can be."""
    debit = line.request
    if debit.kind not in (RequestKind.EVENT, RequestKind.TERMINATION):
        return None
    token = refunds.make_reference(debit.session_key, debit.kind, debit.number)
    return refunds.keys_of(line.movement.account_id, token)[1]


def _guard(
    desk: Desk, working_set: WorkingSet, state: AccountState, key: RequestKey, entry: str
) -> NewRecord:
    now_ns = desk.clock.now_ns()
    record = ChargingRecord(
        session_id="", sub_session_id=None, kind=key.kind, number=key.number, identity="",
        service_context="account refund", origin_host="", peer="", end_to_end=0, event_ns=now_ns,
        action=-1, services=(), attributes=RatingAttributes(),
        reply=ChargingReply(Outcome.SUCCESS), charged=[], balance_micro=0, held_micro=0,
        catalogue_version=0, plan=state.account.plan, note=f"refund of {entry}",
        operator=desk.operator,
    )  # fmt: skip
    return NewRecord(key, working_set.new_request_id(), now_ns, 0, record)


def _amount_text(units: int, unit: Measured) -> str:
    exact = unit is Unit.MONEY or isinstance(unit, NamedUnit)
    return format_quantity(units, unit) if exact else str(units)


def check_room(bucket: Bucket, units: int) -> None:
    """Raise RefusedError when a bucket would come near to what can be stored."""
    if abs(bucket.available + bucket.held + units) > INT64_MAX // 2:
        raise RefusedError(f"bucket '{bucket.name}' cannot hold that much")
