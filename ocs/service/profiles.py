"""The wire half of the client profiles: which oddities of a message are accepted per peer.

What a profile means for a decision stands in ``charging.profile``; ``diameter`` joins both by
name when a peer connects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ocs.charging.profile import GENERIC, PROFILES, ClientProfile
from protocol.members import LENIENT, STRICT, Leniency

WIRE: dict[str, Leniency] = dict.fromkeys(PROFILES, LENIENT) | {"strict": STRICT}
"""Leniency by profile name: all that real gateways send is accepted, except by ``strict``."""


def profiles_within(answer_within_ns: int) -> Mapping[str, ClientProfile]:
    """Return all profiles; those that name no deadline of their own get the server's (D20)."""
    unsaid = GENERIC.answer_within_ns
    return {
        name: replace(profile, answer_within_ns=answer_within_ns)
        if profile.answer_within_ns == unsaid
        else profile
        for name, profile in PROFILES.items()
    }


def leniency(name: str) -> Leniency:
    """Return what is accepted on the wire from clients of this profile."""
    return WIRE.get(name, LENIENT)
