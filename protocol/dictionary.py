"""AVP names, types and flags by (vendor, code), from RFC 6733, RFC 8506 and TS 32.299.

The bulk comes from the `diameter` package; where that differs from the specifications the
corrections below win. The codec asks it for the size of an AVP that is missing, the readers
whether an AVP is known (the M rule), and the printer for names.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, cast

from diameter.message.avp import dictionary as _package

VENDOR_IETF = 0
VENDOR_3GPP = 10415


class AvpType(Enum):
    """Data formats of RFC 6733 section 4.2 and 4.3; derived string formats are told apart."""

    OCTET_STRING = "OctetString"
    UTF8_STRING = "UTF8String"
    IDENTITY = "DiameterIdentity"
    INTEGER32 = "Integer32"
    INTEGER64 = "Integer64"
    UNSIGNED32 = "Unsigned32"
    UNSIGNED64 = "Unsigned64"
    FLOAT32 = "Float32"
    FLOAT64 = "Float64"
    TIME = "Time"
    ADDRESS = "Address"
    GROUPED = "Grouped"


FIXED_SIZE: dict[AvpType, int] = {
    AvpType.INTEGER32: 4,
    AvpType.UNSIGNED32: 4,
    AvpType.FLOAT32: 4,
    AvpType.TIME: 4,
    AvpType.INTEGER64: 8,
    AvpType.UNSIGNED64: 8,
    AvpType.FLOAT64: 8,
}


class AvpKey(NamedTuple):
    """What identifies an AVP: vendor 0 is the IETF."""

    vendor: int
    code: int


@dataclass(frozen=True, slots=True)
class AvpDefinition:
    """One AVP of the dictionary; `mandatory` is the M flag to set when sending."""

    key: AvpKey
    name: str
    type: AvpType
    mandatory: bool

    @property
    def minimum_octets(self) -> int:
        """Payload size of the smallest value: 4 or 8 for numbers, 0 for strings and groups."""
        return FIXED_SIZE.get(self.type, 0)


_U32, _TEXT, _OCTETS = AvpType.UNSIGNED32, AvpType.UTF8_STRING, AvpType.OCTET_STRING

_CORRECTIONS: tuple[tuple[int, int, str, AvpType, bool], ...] = (
    (0, 50, "Acct-Multi-Session-Id", _TEXT, True),
    (0, 263, "Session-Id", _TEXT, True),
    (0, 264, "Origin-Host", AvpType.IDENTITY, True),
    (0, 280, "Proxy-Host", AvpType.IDENTITY, True),
    (0, 282, "Route-Record", AvpType.IDENTITY, True),
    (0, 283, "Destination-Realm", AvpType.IDENTITY, True),
    (0, 293, "Destination-Host", AvpType.IDENTITY, True),
    (0, 294, "Error-Reporting-Host", AvpType.IDENTITY, False),
    (0, 296, "Origin-Realm", AvpType.IDENTITY, True),
    (0, 267, "Firmware-Revision", _U32, False),
    (0, 268, "Result-Code", _U32, True),
    (0, 269, "Product-Name", _TEXT, False),
    (0, 281, "Error-Message", _TEXT, False),
    (0, 291, "Authorization-Lifetime", _U32, True),
    (0, 299, "Inband-Security-Id", _U32, True),
    (0, 659, "Subscription-Id-Extension", AvpType.GROUPED, False),
    (0, 660, "Subscription-Id-E164", _TEXT, False),
    (0, 661, "Subscription-Id-IMSI", _TEXT, False),
    (0, 662, "Subscription-Id-SIP-URI", _TEXT, False),
    (0, 663, "Subscription-Id-NAI", _TEXT, False),
    (0, 664, "Subscription-Id-Private", _TEXT, False),
    (VENDOR_3GPP, 2, "3GPP-Charging-Id", _OCTETS, True),
    (VENDOR_3GPP, 11, "3GPP-Session-Stop-Indicator", _OCTETS, False),
    (VENDOR_3GPP, 824, "SIP-Method", _TEXT, True),
    (VENDOR_3GPP, 830, "User-Session-Id", _TEXT, True),
    (VENDOR_3GPP, 872, "Reporting-Reason", AvpType.INTEGER32, True),
    (VENDOR_3GPP, 885, "Number-Of-Participants", _U32, True),
    (VENDOR_3GPP, 1263, "Access-Network-Information", _OCTETS, True),
    (VENDOR_3GPP, 2019, "Number-Of-Messages-Sent", _U32, True),
    (VENDOR_3GPP, 2708, "From-Address", _TEXT, True),
    (VENDOR_3GPP, 4407, "Unused-Quota-Timer", _U32, True),
)

# RFC 8506 section 8 lets the sender clear M on these; old clients do not know some of them.
_IETF_OPTIONAL = frozenset(
    {411, 440, 441, 442, 458, 459, 460, 509, 621, 623, *range(653, 659), *range(665, 670)}
)
# TS 32.299 sets M on every AVP it defines (codes 8xx, 12xx, 20xx, 23xx, 34xx, 39xx), the bearer
# AVPs of TS 29.212 and the address AVPs of TS 29.061 named here excepted.
_TGPP_OPTIONAL = frozenset({6, 7, 628, 650, 1034, 1040, 1041, 1046, 1047, 1048, 2812, 2822})
_TGPP_CHARGING_RANGES = (
    range(823, 900),
    range(1201, 1291),
    range(2000, 2068),
    range(2101, 2119),
    range(2301, 2325),
    range(3400, 3465),
    range(3900, 3930),
)


def _type_of(entry: Any) -> AvpType:
    name = entry["type"].__name__.removeprefix("Avp")
    return AvpType.UTF8_STRING if name == "Utf8String" else AvpType(name)


def _is_mandatory(key: AvpKey, package_flag: bool) -> bool:
    if key.vendor == VENDOR_IETF:
        return package_flag and key.code not in _IETF_OPTIONAL
    if key.vendor == VENDOR_3GPP:
        if key.code in _TGPP_OPTIONAL:
            return False
        return package_flag or any(key.code in codes for codes in _TGPP_CHARGING_RANGES)
    return package_flag


def _package_entries() -> Iterator[AvpDefinition]:
    tables: dict[int, dict[int, Any]] = dict(cast(Any, _package.AVP_VENDOR_DICTIONARY))
    tables[VENDOR_IETF] = cast(Any, _package.AVP_DICTIONARY)
    for vendor, table in tables.items():
        for code, entry in table.items():
            key = AvpKey(vendor, code)
            mandatory = _is_mandatory(key, bool(entry.get("mandatory")))
            yield AvpDefinition(key, entry["name"], _type_of(entry), mandatory)


def _build() -> dict[AvpKey, AvpDefinition]:
    built = {definition.key: definition for definition in _package_entries()}
    for vendor, code, name, avp_type, mandatory in _CORRECTIONS:
        key = AvpKey(vendor, code)
        built[key] = AvpDefinition(key, name, avp_type, mandatory)
    return built


def _index_names(definitions: dict[AvpKey, AvpDefinition]) -> dict[str, AvpDefinition]:
    """Names of the IETF win over those of 3GPP, those over any other vendor's."""
    rank = {VENDOR_IETF: 0, VENDOR_3GPP: 1}
    index: dict[str, AvpDefinition] = {}
    for definition in sorted(definitions.values(), key=lambda d: rank.get(d.key.vendor, 2)):
        index.setdefault(definition.name, definition)
    return index


_BY_KEY = _build()
_BY_NAME = _index_names(_BY_KEY)
_BY_VENDOR_AND_NAME = {(d.key.vendor, d.name): d for d in reversed(_BY_KEY.values())}


def lookup(vendor: int, code: int) -> AvpDefinition | None:
    """The definition of an AVP, or None for an AVP we do not know."""
    return _BY_KEY.get(AvpKey(vendor, code))


def is_known(vendor: int, code: int) -> bool:
    """Whether the M flag on this AVP may be ignored (RFC 6733 section 4.1)."""
    return (vendor, code) in _BY_KEY


def definition(name: str, vendor: int | None = None) -> AvpDefinition:
    """The definition with this exact name; KeyError for a name nobody defined.

    A few names exist twice, such as SIP-Method: without `vendor` that of the IETF is meant.
    """
    return _BY_NAME[name] if vendor is None else _BY_VENDOR_AND_NAME[vendor, name]


def avp_code(name: str, vendor: int | None = None) -> AvpKey:
    """(vendor, code) of an AVP by its name, as `definition` finds it."""
    return definition(name, vendor).key


def command_name(command_code: int) -> str:
    """Name of a command without Request or Answer, such as `Credit-Control`; else its number."""
    return _COMMAND_NAMES.get(command_code, f"Command-{command_code}")


_COMMAND_NAMES = {
    257: "Capabilities-Exchange",
    258: "Re-Auth",
    272: "Credit-Control",
    274: "Abort-Session",
    275: "Session-Termination",
    280: "Device-Watchdog",
    282: "Disconnect-Peer",
}
