"""What every store promises about vouchers and the count of tries."""

from functools import partial

import msgspec
import pytest

from ocs.charging.model.messages import RequestKind
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.errors import ConflictError
from ocs.ledger.account import OperatorAction
from ocs.ledger.voucher import Voucher, VoucherBatch, VoucherState
from ocs.store.interface import Store, Tries

BATCH = VoucherBatch(77, 1_000, "EUR", 5_000_000, 3, 9_000, "ann", "shops")
HASHES = [bytes([number]) * 32 for number in range(3)]
HOUR = 3600 * 10**9
KEY = RequestKey(0, bytes(16), RequestKind.OPERATOR, 0)


def action(number: int, at_ns: int = 2_000) -> OperatorAction:
    return OperatorAction(number, at_ns, "ann", "voucher", "batch 77", "")


@pytest.fixture
def shop(store: Store) -> Store:
    store.add_vouchers(BATCH, HASHES, action(1))
    return store


def states(store: Store) -> list[tuple[int, int, int, int]]:
    return [(one.serial, one.state, one.account_id, one.used_ns)
            for one in store.vouchers_of(77, 0, 10)]  # fmt: skip


@pytest.mark.rule("K-247")
def test_a_batch_is_found_by_its_hashes(shop: Store) -> None:
    assert shop.find_voucher(HASHES[1]) == (Voucher(HASHES[1], 77, 2), BATCH)
    assert shop.find_voucher(b"x" * 32) is None
    assert shop.voucher_batches() == [(BATCH, {VoucherState.UNUSED: 3})]
    assert [one.serial for one in shop.vouchers_of(77, 1, 1)] == [2]
    assert shop.vouchers_of(78, 0, 10) == []


@pytest.mark.rule("K-248")
def test_a_voucher_is_written_once_and_with_its_transaction(shop: Store) -> None:
    voucher = Voucher(HASHES[0], 77, 1, VoucherState.REDEEMED, 1001, 3_000)

    def redeem(working_set) -> None:
        working_set.vouchers.append(voucher)

    def fail(working_set) -> None:
        redeem(working_set)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        shop.transact([KEY], fail)
    assert states(shop)[0] == (1, VoucherState.UNUSED, 0, 0)
    shop.transact([KEY], redeem)
    voucher = msgspec.structs.replace(voucher, account_id=1002)
    with pytest.raises(ConflictError):
        shop.transact([KEY], redeem)
    assert states(shop)[0] == (1, VoucherState.REDEEMED, 1001, 3_000)


@pytest.mark.rule("K-249")
def test_only_unused_ones_are_made_void(shop: Store) -> None:
    taken = Voucher(HASHES[0], 77, 1, VoucherState.REDEEMED, 1001, 3_000)
    shop.transact([KEY], lambda working_set: working_set.vouchers.append(taken))
    assert shop.void_vouchers(77, [1, 2], action(2)) == 1
    assert shop.void_vouchers(77, [2], action(3)) == 0
    assert states(shop) == [
        (1, VoucherState.REDEEMED, 1001, 3_000), (2, VoucherState.VOID, 0, 2_000),
        (3, VoucherState.UNUSED, 0, 0),
    ]  # fmt: skip
    assert shop.void_vouchers(77, [], action(4)) == 1
    assert shop.voucher_batches()[0][1] == {VoucherState.REDEEMED: 1, VoucherState.VOID: 2}
    void = Voucher(HASHES[1], 77, 2, VoucherState.REDEEMED, 1001, 3_000)
    with pytest.raises(ConflictError):
        shop.transact([KEY], lambda working_set: working_set.vouchers.append(void))


@pytest.mark.rule("K-247")
def test_the_salt_is_made_once(store: Store) -> None:
    assert [store.voucher_salt(fresh) for fresh in ("aa", "bb")] == ["aa", "aa"]


@pytest.mark.rule("K-250")
def test_tries_are_counted_for_all_subjects_or_none(store: Store) -> None:
    maxima = {"account:1": 2, "source:x": 3}
    assert store.take_tries(maxima, 100, HOUR) is None
    assert store.take_tries(maxima, 200, HOUR) is None
    assert store.take_tries(maxima, 300, HOUR) == Tries("account:1", 2, 100 + HOUR)
    other = {"account:2": 2, "source:x": 3}
    assert store.take_tries(other, 400, HOUR) is None
    assert store.take_tries(other, 500, HOUR) == Tries("source:x", 3, 100 + HOUR)
    store.give_back_tries(["source:x", "account:2", "nobody"])
    assert store.take_tries(other, 600, HOUR) is None
    assert store.take_tries(maxima, 100 + HOUR, HOUR) is None


def redeemed(voucher: Voucher, working_set: WorkingSet) -> None:
    working_set.vouchers.append(voucher)


@pytest.mark.rule("K-257")
def test_old_vouchers_go_in_steps_and_stay_counted(store: Store) -> None:
    hashes = [bytes([number]) * 32 for number in range(5)]
    store.add_vouchers(BATCH, hashes, action(1))
    other = msgspec.structs.replace(BATCH, batch_id=78, count=1, expires_ns=9_000)
    store.add_vouchers(other, [b"o" * 32], action(2))
    for serial in (1, 2, 4):
        used = Voucher(hashes[serial - 1], 77, serial, VoucherState.REDEEMED, 1001, serial * 1_000)
        store.transact([KEY], partial(redeemed, used))
    assert store.void_vouchers(77, [3], action(3, 3_000)) == 1
    before = store.voucher_batches()
    assert store.prune_vouchers(77, 0, 4_000, 2) == (2, 2)
    assert store.prune_vouchers(77, 2, 4_000, 2) == (1, 3)
    assert store.prune_vouchers(77, 3, 4_000, 2) == (0, 3)
    assert [row[0] for row in states(store)] == [4, 5]
    assert store.find_voucher(hashes[0]) is None
    assert store.prune_vouchers(77, 0, 4_001, 2) == (1, 4)
    assert store.prune_vouchers(78, 0, 9_000, 2) == (0, 0)
    assert store.prune_vouchers(78, 0, 9_001, 2) == (1, 1)
    assert store.prune_vouchers(79, 0, 9_001, 2) == (0, 0)
    assert store.voucher_batches() == before
