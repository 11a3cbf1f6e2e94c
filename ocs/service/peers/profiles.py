"""Which profile holds for whose requests: as the operator said, else recognised by its signs.

Asked by ``diameter`` when a peer connects, and once per connection and Origin-Host when the first
request of a client arrives (a relay stands for many). What the profiles say is in ocs.profiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from ocs.charging.model.profile import GENERIC, ClientProfile
from ocs.profiles import AUTO, BUILT_IN, Profile, WireRules, with_own
from protocol import codec
from protocol.dictionary import AvpKey, avp_code
from protocol.members import LENIENT, STRICT, Leniency

NOTHING_SPECIAL = "neither its CER nor its requests are those of a known client"
NO_REQUEST_YET = "no request of it has arrived yet"
RELAY = "a relay; the clients behind it are recognised one by one"
SHOWN_MAX = 80


class Recognised(NamedTuple):
    """What a client looks like."""

    profile: str
    reason: str


@dataclass(frozen=True, slots=True)
class Choice:
    """How the requests of one client are treated, and why."""

    charging: ClientProfile
    leniency: Leniency
    configured: str
    """What the operator says; ``auto`` leaves it to the signs."""
    recognised: Recognised

    @property
    def is_doubtful(self) -> bool:
        """Whether the operator's choice and the signs of a known client differ."""
        return (
            self.configured not in (AUTO, self.recognised.profile)
            and self.recognised.profile != GENERIC.name
        )


class _Shape:
    """The signs of one profile in a request, as AVP keys."""

    __slots__ = ("_contains", "_order", "_without", "name", "signs", "title")

    def __init__(self, profile: Profile) -> None:
        signs = profile.signs
        self.name, self.title, self.signs = profile.name, profile.title or profile.name, signs
        self._order = [avp_code(name) for name in signs.order]
        self._contains = {avp_code(name) for name in (*signs.contains, *signs.order)}
        self._without = {avp_code(name) for name in signs.without}

    def fits(self, places: Mapping[AvpKey, int]) -> bool:
        """Tell whether a request is of this shape; ``places`` has the first place of each AVP."""
        if not self._contains <= places.keys() or self._without & places.keys():
            return False
        order = [places[key] for key in self._order]
        return order == sorted(order)


class ProfileBook:
    """The profiles of one server, ready for use."""

    def __init__(
        self, profiles: Iterable[Profile] = BUILT_IN, answer_within_ns: int | None = None
    ) -> None:
        """``profiles`` in the order in which their signs are looked for; with the server's own
        deadline unless that is None.
        """
        self._profiles = {
            one.name: one if answer_within_ns is None else one.within(answer_within_ns)
            for one in profiles
        }
        self._leniencies: dict[WireRules, Leniency] = {}
        self._shapes = [_Shape(one) for one in self._profiles.values() if one.signs.has_shape]

    @property
    def charging(self) -> dict[str, ClientProfile]:
        """The decision halves by name."""
        return {name: one.charging for name, one in self._profiles.items()}

    def knows(self, name: str) -> bool:
        """Tell whether a peer entry may name this profile."""
        return name == AUTO or name in self._profiles

    def names(self, configured: str) -> bool:
        """Tell whether an operator's word is one profile, and not to look for signs."""
        return configured in self._profiles

    def leniency(self, name: str) -> Leniency:
        """Return what is accepted on the wire from clients of a profile; the same object always,
        because known layouts are told apart by it.
        """
        profile = self._profiles.get(name)
        if profile is None:
            return LENIENT
        rules = profile.wire
        known = self._leniencies.get(rules)
        if known is None:
            known = self._leniencies[rules] = _leniency(rules)
        return known

    def choose(self, configured: str, recognised: Recognised) -> Choice:
        """Return what holds: the operator's word if it is a known profile, else the signs."""
        name = configured if configured in self._profiles else recognised.profile
        return Choice(self._profiles[name].charging, self.leniency(name), configured, recognised)

    def by_capabilities(self, product_name: str, origin_host: str) -> Recognised | None:
        """Recognise a client by its CER."""
        for profile in self._profiles.values():
            if profile.signs.fits_capabilities(product_name, origin_host):
                reason = f"Product-Name '{shown(product_name)}'"
                if profile.signs.origin_hosts:
                    reason += f" and Origin-Host '{shown(origin_host)}'"
                return Recognised(profile.name, reason)
        return None

    def by_request(self, message: bytes, context: str) -> Recognised | None:
        """Recognise a client by one of its requests, which was read without a fault."""
        places: dict[AvpKey, int] = {}
        for code, vendor, _, start, _ in codec.iter_avps(
            message, codec.HEADER_SIZE, len(message)
        ):
            places.setdefault(AvpKey(vendor, code), start)
        for shape in self._shapes:
            if shape.signs.fits_context(context) and shape.fits(places):
                return Recognised(shape.name, f"AVPs and their order as {shape.title} sends them")
        return None


def book_with(own: Iterable[Profile], answer_within_ns: int) -> ProfileBook:
    """Return the built-in profiles and an operator's own under a server's deadline."""
    return ProfileBook(with_own(own).values(), answer_within_ns)


def _leniency(rules: WireRules) -> Leniency:
    base = STRICT if rules.strict else LENIENT
    if not rules.refuse and not rules.allow_unknown:
        return base
    allowed = frozenset(rules.allow_unknown)
    return replace(base, allowed_unknown=allowed, **dict.fromkeys(rules.refuse, False))


def shown(text: str) -> str:
    """Return a text that a stranger has sent, fit for a line of a log or table."""
    return "".join(one if one.isprintable() else "?" for one in text[:SHOWN_MAX])
