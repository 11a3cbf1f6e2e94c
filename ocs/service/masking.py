"""Hides most of a subscriber's identity in what is logged at info and above.

Enough is left to recognise a number one already knows: the first and the last digits.
"""

from __future__ import annotations

_HEAD = 5
_TAIL = 2


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
    """Hide the runs of many digits that some clients put into a Session-Id (an IMSI, a number)."""
    if not _masking.enabled:
        return session_id
    parts = session_id.split(";")
    return ";".join(
        part[: len(part) - len(digits)] + _mask_name(digits)
        if len(digits := part[len(part.rstrip("0123456789")) :]) >= 11
        else part
        for part in parts
    )
