"""Hides most of a subscriber's identity in what is logged at info and above.

Enough is left to recognise a number one already knows: the first and the last digits.
"""

from __future__ import annotations

import re

_HEAD = 5
_TAIL = 2
_NUMBER = re.compile(r"[0-9]{11,}|(?<=\+)[0-9]{5,}")


class _Masking:
    """Whether identities are hidden: one switch per process, set before anything is logged."""

    enabled = True


_masking = _Masking()


def set_masking(enabled: bool) -> None:
    """Show identities in full from now on, or hide them; ``app`` calls it once."""
    _masking.enabled = enabled


def mask(identity: str) -> str:
    """Return ``identity`` with its middle hidden: ``15550001234`` becomes ``15550****34``.

    Of a URI or user@realm the user part is hidden and the realm stays.
    """
    if not _masking.enabled:
        return identity
    user, at, realm = identity.partition("@")
    scheme, colon, name = user.rpartition(":")
    return f"{scheme}{colon}{_mask_name(name)}{at}{realm}"


def _mask_name(name: str) -> str:
    if len(name) <= _TAIL:
        return "*" * len(name)
    head = min(_HEAD, len(name) // 2)
    tail = min(_TAIL, len(name) - head - 1)
    return f"{name[:head]}{'*' * (len(name) - head - tail)}{name[len(name) - tail :]}"


def mask_session_id(session_id: str) -> str:
    """Hide the numbers that some clients put into a Session-Id: an IMSI, a number with its +.

    The two 32-bit numbers that belong there have ten digits at most (RFC 6733 8.8).
    """
    if not _masking.enabled:
        return session_id
    return _NUMBER.sub(lambda found: _mask_name(found[0]), session_id)
