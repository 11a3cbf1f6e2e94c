"""Vouchers in dictionaries: the part of memory.MemoryStore that is about them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from copy import copy

from ocs.charging.model.working_set import WorkingSet
from ocs.errors import ConflictError, StoreConflictError
from ocs.ledger.account import OperatorAction
from ocs.ledger.voucher import Voucher, VoucherBatch, VoucherState
from ocs.store.interface import Tries


class MemoryVouchers:
    """Rows by hash and by batch, copied in and out under the store's one lock."""

    _lock: threading.RLock
    _actions: list[OperatorAction]

    def _open_vouchers(self) -> None:
        self._salt = ""
        self._batches: dict[int, VoucherBatch] = {}
        self._vouchers: dict[bytes, Voucher] = {}
        self._pruned: dict[tuple[int, int], int] = {}
        self._tries: dict[str, tuple[int, int]] = {}

    def _check_vouchers(self, working_set: WorkingSet) -> None:
        for voucher in working_set.vouchers:
            stored = self._vouchers.get(voucher.code_hash)
            if stored is None or stored.state != VoucherState.UNUSED:
                raise ConflictError("the voucher was redeemed or made void meanwhile")

    def _write_vouchers(self, working_set: WorkingSet) -> None:
        self._vouchers |= {one.code_hash: copy(one) for one in working_set.vouchers}

    def voucher_salt(self, fresh: str) -> str:
        """See interface.Store.voucher_salt."""
        with self._lock:
            self._salt = self._salt or fresh
            return self._salt

    def add_vouchers(
        self, batch: VoucherBatch, hashes: Sequence[bytes], action: OperatorAction
    ) -> None:
        """See interface.Store.add_vouchers."""
        with self._lock:
            if self._vouchers.keys() & set(hashes) or len(set(hashes)) < len(hashes):
                raise StoreConflictError("a voucher of this code exists already")
            self._batches[batch.batch_id] = copy(batch)
            for serial, one in enumerate(hashes, 1):
                self._vouchers[one] = Voucher(one, batch.batch_id, serial)
            self._actions.append(copy(action))

    def find_voucher(self, code_hash: bytes) -> tuple[Voucher, VoucherBatch] | None:
        """See interface.Store.find_voucher."""
        with self._lock:
            voucher = self._vouchers.get(code_hash)
            if voucher is None:
                return None
            return copy(voucher), copy(self._batches[voucher.batch_id])

    def void_vouchers(
        self, batch_id: int, serials: Sequence[int], action: OperatorAction
    ) -> int:
        """See interface.Store.void_vouchers."""
        with self._lock:
            changed = [
                one
                for one in self._vouchers.values()
                if one.batch_id == batch_id and one.state == VoucherState.UNUSED
                and (not serials or one.serial in serials)
            ]  # fmt: skip
            for one in changed:
                one.state, one.used_ns = VoucherState.VOID, action.at_ns
            if changed:
                self._actions.append(copy(action))
            return len(changed)

    def prune_vouchers(
        self, batch_id: int, after: int, before_ns: int, limit: int
    ) -> tuple[int, int]:
        """See interface.Store.prune_vouchers."""
        with self._lock:
            batch = self._batches.get(batch_id)
            expired = batch is not None and 0 < batch.expires_ns < before_ns
            old = [
                one
                for one in self._vouchers.values()
                if one.batch_id == batch_id and one.serial > after
                and (expired if one.state == VoucherState.UNUSED else one.used_ns < before_ns)
            ]  # fmt: skip
            going = sorted(old, key=lambda one: one.serial)[:limit]
            for one in going:
                del self._vouchers[one.code_hash]
                key = batch_id, one.state
                self._pruned[key] = self._pruned.get(key, 0) + 1
            return len(going), going[-1].serial if going else after

    def take_tries(
        self, maxima: Mapping[str, int], now_ns: int, window_ns: int
    ) -> Tries | None:
        """See interface.Store.take_tries."""
        with self._lock:
            counts: dict[str, tuple[int, int]] = {}
            for subject, maximum in sorted(maxima.items()):
                since_ns, tries = self._tries.get(subject, (now_ns, 0))
                if since_ns + window_ns <= now_ns:
                    since_ns, tries = now_ns, 0
                if tries >= maximum:
                    return Tries(subject, maximum, since_ns + window_ns)
                counts[subject] = since_ns, tries + 1
            self._tries |= counts
            return None

    def give_back_tries(self, subjects: Sequence[str]) -> None:
        """See interface.Store.give_back_tries."""
        with self._lock:
            for subject in subjects:
                since_ns, tries = self._tries.get(subject, (0, 0))
                if tries:
                    self._tries[subject] = since_ns, tries - 1

    def voucher_batches(self) -> list[tuple[VoucherBatch, dict[int, int]]]:
        """See interface.Store.voucher_batches."""
        with self._lock:
            found = []
            for batch_id in sorted(self._batches, reverse=True):
                counts = {
                    state: count for (batch, state), count in self._pruned.items()
                    if batch == batch_id
                }  # fmt: skip
                for one in self._vouchers.values():
                    if one.batch_id == batch_id:
                        counts[one.state] = counts.get(one.state, 0) + 1
                found.append((copy(self._batches[batch_id]), counts))
            return found

    def vouchers_of(self, batch_id: int, after: int, limit: int) -> list[Voucher]:
        """See interface.Store.vouchers_of."""
        with self._lock:
            found = [
                copy(one)
                for one in self._vouchers.values()
                if one.batch_id == batch_id and one.serial > after
            ]
            return sorted(found, key=lambda one: one.serial)[:limit]
