"""What differs between clients, as neutral values that enter a decision (gateways, D20, D24).

The front end puts the values on each request. The other halves of a profile, by what signs a
client is recognised and which oddities of its messages are accepted, stand in ocs/profiles.py. An
operator may set each value by the name it has here.
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
    answer_within_ns: int = 10 * NS_PER_SECOND
    """The longest that a client can wait; the server's own deadline is mostly shorter (D20)."""
    silent_when_late: bool = False
    """A late answer is worse than none (D20)."""
    tariff_change: bool = True
    """Understands Tariff-Time-Change; else validity ends at the switch (C-064)."""
    final_validity_seconds: int = 0
    """Longest validity near the end of the balance, that is of a grant after which the account
    cannot pay for another slice: how soon a top-up is felt where a re-authorisation is not.
    0 = as the catalogue says, always."""
    announces_final_units: bool = True
    """A last grant says that it is the last; else the next request is granted or refused."""
    only_terminate: bool = False
    """Any final-unit action is executed as TERMINATE."""
    bound_usage: bool = True
    """Usage that cannot be true is debited up to the bound only, the rest parked (D05)."""
    usage_tolerance_seconds: int = 300
    usage_tolerance_octets: int = 100_000_000
    refund_without_reference_micro: int = 0
    """Largest refund the client may ask for without naming the debit (M-014); 0 = none."""
    pools: bool = False
    """Understands credit pools (RFC 8506 5.1.2); else each service has a quota of its own."""
    dual_tariff_quota: bool = False
    """Takes two quotas around a tariff switch, one for each side (C-063)."""
    qos_final_unit: bool = False
    """Understands QoS-Final-Unit-Indication, which it is then sent beside the plain one (C-049)."""
    advice_of_charge: bool = True
    """Is told costs and tariffs where it asks for advice of charge (G-011)."""
    cc_session_failover: int | None = None
    """What its clients are told (RFC 8506 8.4); None: as the server's settings say."""
    credit_control_failure_handling: int | None = None
    """The same (RFC 8506 8.14)."""
    direct_debiting_failure_handling: int | None = None
    """The same (RFC 8506 8.15)."""
    reacts_to_reauth: bool = True
    """Answers a Re-Auth-Request with a report; else it is spared the question."""
    reacts_to_abort: bool = True
    """Ends a session when it is asked to."""


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
            answer_within_ns=6 * NS_PER_SECOND,
            final_validity_seconds=60,
            announces_final_units=False,
            only_terminate=True,
            advice_of_charge=False,  # it asks in every request and uses nothing of it
            reacts_to_reauth=False,
            reacts_to_abort=False,
        ),
        ClientProfile(
            "magma",
            grant_adds=True,
            grant_or_refuse=True,
            answer_within_ns=2_500_000_000,
            tariff_change=False,
        ),
        ClientProfile("kamailio", refuse_at_command_level=True, tariff_change=False),
        ClientProfile("siphon", tariff_change=False),
        ClientProfile("pyhss", tariff_change=False),
    )
}
"""The decision halves by the name a peer entry gives."""
