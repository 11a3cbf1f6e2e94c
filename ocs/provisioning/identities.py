"""How subscribers are named: MSISDN, IMSI, SIP URI, NAI, private; one spelling of each is stored.

Called by every use case that takes a subscriber, and by the import. The kinds are those of
Subscription-Id-Type (RFC 8506 8.47).
"""

import re

from ocs.charging.model.messages import Identity
from ocs.errors import UsageError

KINDS = ("msisdn", "imsi", "sip", "nai", "private")
PRIVATE_LENGTH_MAX = 255

_SEPARATORS = re.compile(r"[\s().\-]+")
_DIGITS = re.compile(r"[0-9]+")
_E164_DIGITS_MAX = 15
_IMSI_DIGITS = range(6, 16)
_NAI = re.compile(r"(?P<user>[^\s@]{1,64})@(?P<realm>[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,252}))")
_SIP = re.compile(
    r"(?P<scheme>sips?):(?P<user>[^\s@]+)@(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-]+)"
    r"(?P<port>:[0-9]{1,5})?(?P<rest>[;?].*)?",
    re.IGNORECASE,
)


def normalise_identity(kind: str, text: str) -> Identity:
    """Return the identity of ``kind`` in the one spelling that is stored and looked up.

    Raises UsageError with a sentence that says what is wrong with ``text``.
    """
    normalise = _NORMALISERS.get(kind)
    if normalise is None:
        raise UsageError(f"'{kind}' is no kind of identity; use one of {', '.join(KINDS)}")
    return Identity(kind, normalise(text.strip()))


def parse_identity(text: str) -> Identity:
    """Return the identity that a person's text means: ``kind:value`` or something recognisable.

    ``+4915112345`` and ``tel:...`` are MSISDNs, ``sip:...`` a SIP URI, ``user@realm`` a NAI; bare
    digits are an MSISDN. Raises UsageError.
    """
    return candidates(text)[0]


def candidates(text: str) -> tuple[Identity, ...]:
    """Return every identity ``text`` may mean, the likeliest first; see parse_identity.

    Bare digits may be an MSISDN or an IMSI. Raises UsageError when it can be none.
    """
    stripped = text.strip()
    head, colon, tail = stripped.partition(":")
    kind = head.lower()
    if colon and kind in {"sip", "sips"}:
        return (normalise_identity("sip", stripped),)
    if colon and kind == "tel":
        return (normalise_identity("msisdn", stripped),)
    if colon and kind in _NORMALISERS:
        return (normalise_identity(kind, tail),)
    if "@" in stripped:
        return (normalise_identity("nai", stripped),)
    if stripped.startswith("+"):
        return (normalise_identity("msisdn", stripped),)
    digits = _SEPARATORS.sub("", stripped)
    if _DIGITS.fullmatch(digits):
        found = [Identity("msisdn", digits)] if len(digits) <= _E164_DIGITS_MAX else []
        if len(digits) in _IMSI_DIGITS:
            found.append(Identity("imsi", digits))
        if found:
            return tuple(found)
    raise UsageError(
        f"'{text}' names no subscriber; write a number such as +4915112345678, a user@realm, a "
        f"sip: URI, or kind:value with one of the kinds {', '.join(KINDS)}"
    )


def _msisdn(text: str) -> str:
    number = text[4:] if text[:4].lower() == "tel:" else text
    number = number.partition(";")[0]
    digits = _SEPARATORS.sub("", number).removeprefix("+")
    if not _DIGITS.fullmatch(digits):
        raise UsageError(f"'{text}' is no MSISDN: only digits may follow the +")
    if len(digits) > _E164_DIGITS_MAX:
        raise UsageError(f"'{text}' is no MSISDN: it has {len(digits)} digits, E.164 allows 15")
    return digits


def _imsi(text: str) -> str:
    digits = _SEPARATORS.sub("", text)
    if not _DIGITS.fullmatch(digits) or len(digits) not in _IMSI_DIGITS:
        raise UsageError(f"'{text}' is no IMSI: it must be 6 to 15 digits")
    return digits


def _sip(text: str) -> str:
    match = _SIP.fullmatch(text)
    if match is None:
        raise UsageError(f"'{text}' is no SIP URI such as sip:alice@example.com")
    host = match["host"].lower()
    return f"{match['scheme'].lower()}:{match['user']}@{host}{match['port'] or ''}"


def _nai(text: str) -> str:
    match = _NAI.fullmatch(text)
    if match is None:
        raise UsageError(f"'{text}' is no network access identifier such as user@realm.example")
    return f"{match['user']}@{match['realm'].lower()}"


def _private(text: str) -> str:
    if not text or len(text) > PRIVATE_LENGTH_MAX or not text.isprintable():
        raise UsageError(
            f"a private identity must be 1 to {PRIVATE_LENGTH_MAX} printable characters"
        )
    return text


_NORMALISERS = {
    "msisdn": _msisdn,
    "imsi": _imsi,
    "sip": _sip,
    "nai": _nai,
    "private": _private,
}
