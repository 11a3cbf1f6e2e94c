"""Vouchers: batches made, redeemed once, made void; guessing is counted (K-247 to K-250).

A code is shown once, in the file of its batch. Redeeming it is a top-up that writes the voucher in
the same transaction. Called by `ocs voucher`.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ocs.amounts import AMOUNT_MAX_MICRO, format_amount
from ocs.catalog.matching import CatalogIndex
from ocs.charging.accounts import account_life, exchange
from ocs.charging.model.working_set import WorkingSet
from ocs.clock import NS_PER_SECOND
from ocs.errors import NotFoundError, RefusedError, UnknownCommitError, UsageError
from ocs.ledger.account import Account, Contra
from ocs.ledger.voucher import Voucher, VoucherBatch, VoucherState
from ocs.provisioning.customers import accounts, voucher_codes
from ocs.provisioning.customers.postings import Order, Posted, account_of
from ocs.provisioning.desk import Desk, Found
from ocs.provisioning.instants import format_instant
from ocs.provisioning.views import label, money

BATCH_VOUCHERS_MAX = 100_000
ACCOUNT_TRIES_MAX = 5
"""Wrong codes for one account within TRIES_SECONDS."""
SOURCE_TRIES_MAX = 100
"""Wrong codes from one source, whatever the accounts."""
TRIES_SECONDS = 3600
SOURCE_MAX = 100
COMMENT_MAX = 200
PAGE_ROWS = 500
_NOTHING = "this voucher code buys nothing: it is wrong, used, void or expired"


@dataclass(frozen=True, slots=True)
class NewBatch:
    """What vouchers are to be made."""

    count: int
    amount_micro: int
    currency: str
    expires_ns: int = 0
    comment: str = ""


def generate(
    desk: Desk, new: NewBatch, output: Path, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Make a batch and write its codes into the new file ``output``. Returns the batch.

    The file is whole and on disk, readable by its owner alone, before any of its codes is worth
    something; it is removed again when the batch cannot be stored. Raises UsageError, RefusedError.
    """
    _check(desk, new)
    batch = VoucherBatch(
        desk.ids.next_id(), desk.clock.now_ns(), new.currency, new.amount_micro, new.count,
        new.expires_ns, desk.operator, new.comment,
    )  # fmt: skip
    codes = voucher_codes.new_codes(new.count)
    salt = desk.store.voucher_salt(voucher_codes.new_salt())
    hashes = list(voucher_codes.hashes_of(codes, salt, progress))
    _write(output, batch, codes)
    action = desk.action(
        "voucher generate", f"batch {batch.batch_id}", count=new.count,
        amount=format_amount(new.amount_micro), currency=new.currency,
        expires=format_instant(new.expires_ns),
    )  # fmt: skip
    try:
        desk.store.add_vouchers(batch, hashes, action)
    except UnknownCommitError:
        # The codes may be worth something: they must not be lost.
        raise
    except BaseException:
        with suppress(OSError):
            output.unlink()
        raise
    return batch_view(batch, {VoucherState.UNUSED: new.count})


def redeem(
    desk: Desk, found: Found, text: str, catalogue: CatalogIndex | None, *, source: str = ""
) -> Posted:
    """Top an account up with a voucher, once; what it got already is answered again.

    ``source`` is who brings the code, such as a shop or a dialogue system: its wrong codes are
    counted beside those for the account. Raises UsageError for a code that is mistyped,
    RefusedError.
    """
    code = voucher_codes.parse_code(text)
    source = source or desk.operator
    if len(source) > SOURCE_MAX or not source.isprintable():
        raise UsageError(f"a source has at most {SOURCE_MAX} printable characters")
    account = _account(desk, found)
    subjects = {
        f"account:{found.account_id}": ACCOUNT_TRIES_MAX, f"source:{source}": SOURCE_TRIES_MAX,
    }  # fmt: skip
    _count_try(desk, subjects)
    salt = desk.store.voucher_salt(voucher_codes.new_salt())
    known = desk.store.find_voucher(voucher_codes.code_hash(code, salt))
    reason = _refusal(desk, account, known, catalogue)
    if known is None or reason:
        action = desk.action(
            "voucher refused", found.name, found.account_id, source=source, why=reason
        )
        desk.store.record_action(action)
        raise RefusedError(_NOTHING)
    posted = _post(desk, found, *known, catalogue)
    desk.store.give_back_tries([*subjects])
    return posted


def void(desk: Desk, batch: str, serials: tuple[int, ...] = ()) -> dict[str, Any]:
    """Make the unused vouchers of a batch void, all or those of these serial numbers."""
    batch_id = _batch_id(desk, batch)
    for serial in serials:
        if not any(one.serial == serial for one in desk.store.vouchers_of(batch_id, serial - 1, 1)):
            raise NotFoundError(f"batch {batch_id} has no voucher {serial}")
    action = desk.action(
        "voucher void", f"batch {batch_id}", serials=list(serials) if serials else "all"
    )
    changed = desk.store.void_vouchers(batch_id, serials, action)
    return {"batch_id": str(batch_id), "void": changed}


def batches(desk: Desk) -> list[dict[str, Any]]:
    """Return all batches, newest first, with how many vouchers are in each state."""
    return [batch_view(batch, counts) for batch, counts in desk.store.voucher_batches()]


def listing(desk: Desk, batch: str, limit: int) -> list[dict[str, Any]]:
    """Return the vouchers of a batch by serial number; ``limit`` 0 means all."""
    batch_id = _batch_id(desk, batch)
    found: list[Voucher] = []
    while not limit or len(found) < limit:
        size = min(PAGE_ROWS, limit - len(found)) if limit else PAGE_ROWS
        page = desk.store.vouchers_of(batch_id, found[-1].serial if found else 0, size)
        found += page
        if len(page) < size:
            break
    return [voucher_view(one) for one in found]


def batch_view(batch: VoucherBatch, counts: dict[int, int]) -> dict[str, Any]:
    """Return a batch as JSON."""
    return {
        "batch_id": str(batch.batch_id),
        "created": format_instant(batch.created_ns),
        "operator": batch.operator,
        **money("amount", batch.amount_micro),
        "currency": batch.currency,
        "expires": format_instant(batch.expires_ns),
        "comment": batch.comment,
        "count": batch.count,
        **{
            label(state, VoucherState): counts.get(state, 0) for state in VoucherState
        },
    }  # fmt: skip


def voucher_view(voucher: Voucher) -> dict[str, Any]:
    """Return a voucher as JSON; its code is known to nobody."""
    return {
        "batch_id": str(voucher.batch_id),
        "serial": voucher.serial,
        "state": label(voucher.state, VoucherState),
        "account_id": str(voucher.account_id) if voucher.account_id else "",
        "at": format_instant(voucher.used_ns),
    }


def _check(desk: Desk, new: NewBatch) -> None:
    if not 1 <= new.count <= BATCH_VOUCHERS_MAX:
        raise UsageError(f"a batch has 1 to {BATCH_VOUCHERS_MAX} vouchers")
    if not 0 < new.amount_micro <= AMOUNT_MAX_MICRO:
        raise UsageError("a voucher is worth more than zero")
    if new.expires_ns and new.expires_ns <= desk.clock.now_ns():
        raise UsageError("vouchers expire in the future, or never")
    if len(new.comment) > COMMENT_MAX or not new.comment.isprintable():
        raise UsageError(f"a comment has at most {COMMENT_MAX} printable characters")


def _write(output: Path, batch: VoucherBatch, codes: list[str]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        with os.fdopen(os.open(output, flags, 0o600), "w", encoding="ascii") as file:
            file.write("batch,serial,code\n")
            for serial, code in enumerate(codes, 1):
                file.write(f"{batch.batch_id},{serial},{voucher_codes.spaced(code)}\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise RefusedError(f"{output} exists already; codes are written into a new file") from None
    except OSError as error:
        raise RefusedError(f"{output} cannot be written: {error.strerror}") from None


def _count_try(desk: Desk, subjects: dict[str, int]) -> None:
    tries = desk.store.take_tries(
        subjects, desk.clock.now_ns(), TRIES_SECONDS * NS_PER_SECOND
    )
    if tries is None:
        return
    raise RefusedError(
        f"{tries.maximum} wrong voucher codes came for {tries.subject}; nothing is looked up "
        f"before {format_instant(tries.until_ns)}"
    )


def _account(desk: Desk, found: Found) -> Account:
    """Return the account, where a top-up would be taken: before a code is looked at."""
    account = desk.reports.account(found.account_id)
    if account is None:
        raise NotFoundError(f"there is no account {found.account_id}")
    admission = account_life.ADMISSIONS[account.status]
    if not admission.gets:
        raise RefusedError(f"{found.name} takes no vouchers: {admission.words}")
    return account


def _refusal(
    desk: Desk, account: Account, known: tuple[Voucher, VoucherBatch] | None,
    catalogue: CatalogIndex | None,
) -> str:  # fmt: skip
    """Return why a code buys nothing, for operators alone; empty when it does."""
    if known is None:
        return "no such code"
    voucher, batch = known
    if voucher.state == VoucherState.REDEEMED:
        return "" if voucher.account_id == account.account_id else f"{voucher.name} is used"
    if voucher.state == VoucherState.VOID:
        return f"{voucher.name} is void"
    if batch.expires_ns and batch.expires_ns <= desk.clock.now_ns():
        return f"{voucher.name} has expired"
    taken = exchange.rate_for(account, catalogue, batch.currency) is not None
    if batch.currency != account.currency and not taken:
        kept = account.currency
        return f"{voucher.name} is worth {batch.currency}, the account is kept in {kept}"
    return ""


def _post(
    desk: Desk, found: Found, voucher: Voucher, batch: VoucherBatch,
    catalogue: CatalogIndex | None,
) -> Posted:  # fmt: skip
    redeemed = msgspec.structs.replace(
        voucher, state=VoucherState.REDEEMED, account_id=found.account_id,
        used_ns=desk.clock.now_ns(),
    )  # fmt: skip

    def write(working_set: WorkingSet) -> None:
        account_of(working_set, found.account_id)
        working_set.vouchers.append(redeemed)

    order = Order(
        "voucher redeem", found, Contra.TOP_UP, format_amount(batch.amount_micro),
        reference=f"voucher {voucher.name}",
    )  # fmt: skip
    order = accounts.in_currency(desk, order, batch.currency)
    return accounts.post_top_up(desk, order, catalogue, write)


def _batch_id(desk: Desk, text: str) -> int:
    for batch, _ in desk.store.voucher_batches():
        if str(batch.batch_id) == text:
            return batch.batch_id
    raise NotFoundError(f"there is no batch {text[:40]}; `ocs voucher list` shows them")
