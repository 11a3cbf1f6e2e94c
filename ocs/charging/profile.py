"""What differs between clients, as neutral values that enter a decision (gateways, D20, D24).

A peer names its profile; the front end puts the values on each request. Tolerated oddities of the
wire format are the protocol layer's part of a profile and stand in service/profiles.py.
"""

from __future__ import annotations

from dataclasses import dataclass

NS_PER_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ClientProfile:
    """How one family of clients reads answers and reports usage."""

    name: str
    grant_adds: bool = False
    """A new grant is added to what the client has left, instead of replacing it (Magma)."""
    refuse_at_command_level: bool = False
    """A refusal of the only service is said for the whole command (Kamailio; option of D01)."""
    grant_or_refuse: bool = False
    """2001 without granted units would mean unlimited service (D24)."""
    answer_within_ns: int = 2 * NS_PER_SECOND
    """D20: older requests are not decided any more."""
    silent_when_late: bool = False
    """A late answer is worse than none (D20)."""
    tariff_change: bool = True
    """Understands Tariff-Time-Change; else validity ends at the switch (C-064)."""
    final_validity_seconds: int = 0
    """Validity near the end of the balance where the server cannot re-authorise; 0 = policy's."""
    only_terminate: bool = False
    """Any final-unit action is executed as TERMINATE."""
    bound_usage: bool = True
    """Usage that cannot be true is debited up to the bound only, the rest parked (D05)."""
    usage_tolerance_seconds: int = 300
    usage_tolerance_octets: int = 100_000_000
    refund_without_reference_micro: int = 0
    """Largest refund the client may ask for without naming the debit (M-014); 0 = none."""
    reacts_to_reauth: bool = True
    """Answers a Re-Auth-Request with a report; else it is spared the question."""
    reacts_to_abort: bool = True
    """Ends a session when it is asked to."""

    pools: bool = False
    """Understands credit pools (RFC 8506 5.1.2); else each service has a quota of its own."""
    dual_tariff_quota: bool = False
    """Takes two quotas around a tariff switch, one for each side (C-063)."""
    qos_final_unit: bool = False
    """Understands QoS-Final-Unit-Indication, which it is then sent beside the plain one (C-049)."""

GENERIC = ClientProfile("generic")

PROFILES: dict[str, ClientProfile] = {
    profile.name: profile
    for profile in (
        GENERIC,
        ClientProfile("strict"),
        ClientProfile(
            "open5gs",
            grant_or_refuse=True,
            silent_when_late=True,
            tariff_change=False,
            final_validity_seconds=60,
            only_terminate=True,
            reacts_to_reauth=False,
            reacts_to_abort=False,
        ),
        ClientProfile("magma", grant_adds=True, grant_or_refuse=True, tariff_change=False),
        ClientProfile("kamailio", refuse_at_command_level=True, tariff_change=False),
        ClientProfile("siphon", tariff_change=False),
    )
}
"""Profiles by the name a peer entry gives."""
