"""The wire half of the client profiles: which oddities of a message are accepted per peer.

What a profile means for a decision stands in ``charging.profile``; ``diameter`` joins both by
name when a peer connects.
"""

from __future__ import annotations

from ocs.charging.profile import GENERIC, PROFILES, ClientProfile
from ocs.errors import UsageError
from protocol.members import LENIENT, STRICT, Leniency

WIRE: dict[str, Leniency] = dict.fromkeys(PROFILES, LENIENT) | {"strict": STRICT}
"""Leniency by profile name: all that real gateways send is accepted, except by ``strict``."""


def client_profile(name: str) -> ClientProfile:
    """Return the decision values of a profile. Raises UsageError for a name nobody knows."""
    try:
        return PROFILES[name or GENERIC.name]
    except KeyError:
        known = ", ".join(sorted(PROFILES))
        raise UsageError(f"'{name}' is no client profile; known are {known}") from None


def leniency(name: str) -> Leniency:
    """Return what is accepted on the wire from clients of this profile."""
    return WIRE.get(name, LENIENT)
