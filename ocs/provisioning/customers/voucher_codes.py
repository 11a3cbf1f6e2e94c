"""The codes of vouchers: made, checked for typing mistakes, and turned into what is stored.

A code is 18 random digits and two check digits (ISO 7064 MOD 97-10), which find every single
wrong digit and every two that were swapped. Stored is its scrypt hash alone: 10^18 codes, at some
milliseconds each, cannot be searched for those of a stolen database. Used by
provisioning.customers.vouchers.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count

from ocs.errors import UsageError

CODE_DIGITS = 20
_RANDOM_DIGITS = CODE_DIGITS - 2
_COST = {"n": 1 << 11, "r": 8, "p": 1, "dklen": 32}
"""scrypt: 2 MiB and a few milliseconds a code."""
_AT_ONCE = 256
_SEPARATORS = re.compile(r"[\s.-]")


def new_code() -> str:
    """Return a random code with its check digits."""
    digits = f"{secrets.randbelow(10**_RANDOM_DIGITS):0{_RANDOM_DIGITS}}"
    return digits + check_digits(digits)


def new_codes(count: int) -> list[str]:
    """Return codes of which no two are alike."""
    codes: dict[str, None] = {}
    while len(codes) < count:
        codes[new_code()] = None
    return list(codes)


def check_digits(digits: str) -> str:
    """Return the two digits that make ``digits`` a multiple of 97, plus one."""
    return f"{98 - int(digits) * 100 % 97:02}"


def parse_code(text: str) -> str:
    """Return the digits of a code as it was typed, with or without spaces, dots and dashes.

    Raises UsageError when it cannot be one: it is mistyped, and no guess.
    """
    digits = _SEPARATORS.sub("", text)
    if not digits.isascii() or not digits.isdecimal() or len(digits) != CODE_DIGITS:
        raise UsageError(f"a voucher code has {CODE_DIGITS} digits")
    if check_digits(digits[:-2]) != digits[-2:]:
        raise UsageError("the voucher code is mistyped: its check digits do not fit")
    return digits


def spaced(code: str) -> str:
    """Return a code in groups of four, as it is printed."""
    return " ".join(code[start : start + 4] for start in range(0, len(code), 4))


def code_hash(code: str, salt: str) -> bytes:
    """Return what is stored of a code in the database that has this salt (32 octets)."""
    return hashlib.scrypt(code.encode(), salt=bytes.fromhex(salt), **_COST)


def new_salt() -> str:
    """Return a salt for a database that has none yet."""
    return secrets.token_hex(32)


def hashes_of(
    codes: Sequence[str], salt: str, progress: Callable[[int, int], None]
) -> Iterator[bytes]:
    """Yield the hashes of many codes in their order, on all processors."""
    with ThreadPoolExecutor(max_workers=cpu_count() or 1) as workers:
        for start in range(0, len(codes), _AT_ONCE):
            page = codes[start : start + _AT_ONCE]
            yield from workers.map(lambda code: code_hash(code, salt), page)
            progress(start + len(page), len(codes))
