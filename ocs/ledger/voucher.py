"""Voucher: money that was sold on a card, known by the hash of its code (K-247 to K-250)."""

from __future__ import annotations

from enum import IntEnum

import msgspec


class VoucherState(IntEnum):
    """What became of a voucher. The numbers are stored."""

    UNUSED = 0
    REDEEMED = 1
    VOID = 2


class VoucherBatch(msgspec.Struct):
    """Vouchers that were made together, all of one value."""

    batch_id: int
    created_ns: int
    currency: str
    amount_micro: int
    count: int
    expires_ns: int = 0
    """From then on none is redeemed; 0 = never."""
    operator: str = ""
    comment: str = ""


class Voucher(msgspec.Struct):
    """One voucher."""

    code_hash: bytes
    batch_id: int
    serial: int
    """From 1 on, printed beside the code: what people may name it by."""
    state: int = VoucherState.UNUSED
    account_id: int = 0
    """Whose it became."""
    used_ns: int = 0
    """When it was redeemed or made void."""

    @property
    def name(self) -> str:
        """What it is known by without its code: BATCH-SERIAL."""
        return f"{self.batch_id}-{self.serial}"
