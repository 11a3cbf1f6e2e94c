"""Client profiles as a whole: what a family of clients needs of a decision, which oddities of its
messages are accepted, and the signs by which it is recognised (TS 32.299 leaves all three open).

One table, ``BUILT_IN``. To add a family, add its decision half to
``charging.model.profile.PROFILES`` and its ``Profile`` here. The settings add an operator's own;
service.profiles turns them into choices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from ocs.charging.model.profile import GENERIC, PROFILES, ClientProfile

AUTO = "auto"
"""What a peer entry says when the server shall find the profile by itself."""

ODDITIES: Mapping[str, str] = {
    "missing_auth_application_id": "no Auth-Application-Id at the top of a request",
    "duplicate_identities": "Origin-Host, Origin-Realm, Destination-Host or -Realm twice",
    "accounting_avps": "Accounting-Record-Type and -Number in a credit-control request",
    "requested_action_outside_event": "Requested-Action in a session's request",
    "unflagged_event_timestamp": "Event-Timestamp without the M flag",
    "raw_3gpp_octets": "3GPP values as raw octets where text is meant, and the other way round",
    "session_id_anywhere": "a Session-Id that is not the first AVP",
    "unknown_in_service_information": "unknown AVPs with the M flag inside Service-Information",
}
"""What real gateways do against the letter, by the name under which a profile may refuse it."""


@dataclass(frozen=True, slots=True)
class WireRules:
    """What is accepted in the messages of a client."""

    strict: bool = False
    """Refuse every oddity, and what receivers are told to ignore."""
    refuse: tuple[str, ...] = ()
    """Names of ODDITIES."""
    allow_unknown: tuple[tuple[int, int], ...] = ()
    """(vendor, code) of unknown AVPs that may carry the M flag (D10)."""


@dataclass(frozen=True, slots=True)
class Signs:
    """By what a client is recognised; without any it never is.

    Two kinds, each needing all of what is given in it: what the client says of itself in its CER,
    and the shape of its requests. Names may hold ``*``; they are compared without regard to case.
    """

    product_names: tuple[str, ...] = ()
    """Product-Name of the CER."""
    origin_hosts: tuple[str, ...] = ()
    """Origin-Host, asked for besides the product name where others have the same."""
    contexts: tuple[str, ...] = ()
    """Service-Context-Id, besides the AVPs or alone."""
    order: tuple[str, ...] = ()
    """AVPs at the top of a request, all present, that begin in this order."""
    contains: tuple[str, ...] = ()
    """AVPs at the top of a request that are present."""
    without: tuple[str, ...] = ()
    """AVPs at the top of a request that are absent."""

    @property
    def has_shape(self) -> bool:
        """Whether the requests of this client can be told from others."""
        return bool(self.order or self.contains or self.contexts)

    def fits_capabilities(self, product_name: str, origin_host: str) -> bool:
        """Tell whether a CER is such a client's."""
        return _is_like(product_name, self.product_names) and (
            not self.origin_hosts or _is_like(origin_host, self.origin_hosts)
        )

    def fits_context(self, context: str) -> bool:
        """Tell whether the Service-Context-Id is one that such a client uses."""
        return not self.contexts or _is_like(context, self.contexts)


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything about one family of clients."""

    charging: ClientProfile
    title: str = ""
    signs: Signs = Signs()
    wire: WireRules = field(default_factory=WireRules)

    @property
    def name(self) -> str:
        """What a peer entry calls it."""
        return self.charging.name

    def within(self, answer_within_ns: int) -> Profile:
        """Return it with the server's deadline, unless its clients need a shorter one (D20)."""
        shorter = min(self.charging.answer_within_ns, answer_within_ns)
        return replace(self, charging=replace(self.charging, answer_within_ns=shorter))


BUILT_IN: tuple[Profile, ...] = (
    Profile(GENERIC, "any client of RFC 8506 and TS 32.299"),
    Profile(PROFILES["strict"], "the letter of the standards", wire=WireRules(strict=True)),
    Profile(
        PROFILES["open5gs"],
        "Open5GS SMF, Gy",
        Signs(
            # Every program built on freeDiameter says this name, relays too.
            product_names=("freeDiameter",),
            origin_hosts=("smf*", "*-smf*", "pgw*", "*-pgw*"),
            order=(
                "Session-Id", "Origin-Host", "Origin-Realm", "Destination-Realm",
                "Auth-Application-Id", "Service-Context-Id", "CC-Request-Type",
                "CC-Request-Number", "Event-Timestamp", "Subscription-Id", "Requested-Action",
                "AoC-Request-Type", "Multiple-Services-Credit-Control", "Service-Information",
            ),
        ),
    ),
    Profile(
        PROFILES["magma"],
        "Magma session_proxy, Gy",
        Signs(
            product_names=("magma",),
            order=(
                "Session-Id", "Service-Information", "Event-Timestamp", "Auth-Application-Id",
                "CC-Request-Type", "Service-Context-Id", "CC-Request-Number", "Subscription-Id",
                "Multiple-Services-Indicator", "Origin-Host", "Origin-Realm", "Destination-Realm",
            ),
        ),
    ),
    Profile(
        PROFILES["kamailio"],
        "Kamailio ims_charging, Ro",
        Signs(
            product_names=("CDiameterPeer", "Kamailio*"),
            order=(
                "Session-Id", "Origin-Host", "Origin-Realm", "Accounting-Record-Type",
                "Accounting-Record-Number", "Service-Context-Id", "Service-Information",
                "Vendor-Specific-Application-Id", "CC-Request-Type", "CC-Request-Number",
            ),
            without=("Auth-Application-Id",),
        ),
    ),
    Profile(
        PROFILES["siphon"],
        "siphon-sip, Ro",
        Signs(
            product_names=("SIPhon*",),
            contexts=("*32260@3gpp.org", "*32274@3gpp.org", "*32275@3gpp.org"),
            order=(
                "Session-Id", "Auth-Application-Id", "Origin-Host", "Origin-Realm",
                "Destination-Realm", "CC-Request-Type", "CC-Request-Number", "Subscription-Id",
            ),
        ),
    ),
    Profile(
        PROFILES["pyhss"],
        "the request generator of PyHSS",
        Signs(
            product_names=("PyHSS*",),
            order=("Origin-Host", "Origin-Realm", "Destination-Realm", "Session-Id"),
            contains=("Requested-Action", "Multiple-Services-Credit-Control"),
        ),
    ),
)  # fmt: skip
"""Every profile that comes with the server, in the order in which their signs are looked for."""

PROFILES_BY_NAME: Mapping[str, Profile] = {profile.name: profile for profile in BUILT_IN}


def with_own(own: Iterable[Profile]) -> dict[str, Profile]:
    """Return all profiles by name: an operator's own first, so that their signs go first.

    One with the name of a built-in takes its place.
    """
    mine = {profile.name: profile for profile in own}
    return mine | {name: one for name, one in PROFILES_BY_NAME.items() if name not in mine}


def _is_like(text: str, patterns: tuple[str, ...]) -> bool:
    folded = text.casefold()
    return any(fnmatchcase(folded, pattern.casefold()) for pattern in patterns)
