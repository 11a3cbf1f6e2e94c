"""Reads the members of a message or group into a value, by a table of what may occur in it.

One loop holds the AVP rules of RFC 6733 sections 4.1, 4.4 and 7.1.5 for every reader of this
package: lengths, text, unknown mandatory AVPs, repeated AVPs. It is the hottest loop of the
server; `credit_control_reader` and `service_information` give it their tables.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from protocol import codec, datatypes, dictionary
from protocol.codec import DEFAULT_LIMITS, Limits, bad_avp_length, failed_avp_copy
from protocol.errors import RemoteProtocolError

AVP_UNSUPPORTED = 5001
INVALID_AVP_VALUE = 5004
MISSING_AVP = 5005
AVP_NOT_ALLOWED = 5008
AVP_OCCURS_TOO_MANY_TIMES = 5009
INVALID_AVP_BITS = 3009

_HEAD = struct.Struct(">II").unpack_from
_U32 = struct.Struct(">I").unpack_from
_I32 = struct.Struct(">i").unpack_from
_U64 = struct.Struct(">Q").unpack_from
_I64 = struct.Struct(">q").unpack_from
NUMBER_FORMATS = {_U32: "I", _I32: "i", _U64: "Q", _I64: "q"}  # by what reads them

# How a member is read and stored: 4 and 8 are fixed sizes, the others have a variable payload.
TEXT = 1  # single, like ONE
ONE = 0
MANY = -1  # appended to a list
MANY_TUPLE = -2  # added to a tuple

Member = tuple[int, str, Any]
Table = dict[int, Member]


@dataclass(frozen=True, slots=True)
class Leniency:
    """Which oddities of real gateways are accepted; every flag set to False refuses one.

    `allowed_unknown` lists (vendor, code) of unknown AVPs that may carry the M flag. `strict`
    additionally refuses what receivers are told to ignore: reserved AVP flags (3009) and AVPs
    that belong into answers only (5008).
    """

    allowed_unknown: frozenset[tuple[int, int]] = frozenset()
    strict: bool = False
    missing_auth_application_id: bool = True
    duplicate_identities: bool = True
    accounting_avps: bool = True
    requested_action_outside_event: bool = True
    unflagged_event_timestamp: bool = True
    raw_3gpp_octets: bool = True
    session_id_anywhere: bool = True
    unknown_in_service_information: bool = True

    @property
    def refuses_oddities(self) -> bool:
        """Whether the order, flags and presence of AVPs need a look of their own."""
        return self.strict or not (
            self.accounting_avps
            and self.requested_action_outside_event
            and self.unflagged_event_timestamp
            and self.session_id_anywhere
        )


LENIENT = Leniency()
STRICT = Leniency(
    strict=True,
    missing_auth_application_id=False,
    duplicate_identities=False,
    accounting_avps=False,
    requested_action_outside_event=False,
    unflagged_event_timestamp=False,
    raw_3gpp_octets=False,
    session_id_anywhere=False,
    unknown_in_service_information=False,
)


class Step(IntEnum):
    """The order in which faults of one message are reported; lengths come before all of them."""

    CONTENT = 1
    UNKNOWN = 2
    GRAMMAR = 3
    VALUE = 4


class Reading:
    """One message while it is read: its octets, the rules, and the faults found so far."""

    __slots__ = (
        "data",
        "leniency",
        "limits",
        "problems",
        "proxy_infos",
        "skipped",
        "unknown_allowed",
    )

    def __init__(
        self,
        data: bytes,
        leniency: Leniency = LENIENT,
        limits: Limits = DEFAULT_LIMITS,
        unknown_allowed: bool = False,
    ) -> None:
        self.data = data
        self.leniency = leniency
        self.limits = limits
        self.unknown_allowed = unknown_allowed
        self.problems: list[tuple[Step, RemoteProtocolError]] = []
        self.proxy_infos: list[bytes] = []
        self.skipped: list[tuple[int, int]] = []  # spans that content_hash leaves out

    def problem(self, step: Step, code: int, message: str, failed_avp: bytes = b"") -> None:
        """Remember a fault; reading goes on, because a fault of an earlier step may follow."""
        self.problems.append((step, RemoteProtocolError(code, message, failed_avp)))

    def missing(self, name: str) -> None:
        """Remember that a required AVP is absent (5005)."""
        failed = codec.failed_avp_for_missing(name)
        self.problem(Step.GRAMMAR, MISSING_AVP, f"{name} is missing", failed)

    def raise_first(self) -> None:
        """Raise the fault of the earliest step, the first in the message among those."""
        if self.problems:
            raise min(self.problems, key=_step_of)[1]


def _step_of(problem: tuple[Step, RemoteProtocolError]) -> Step:
    return problem[0]


def read_members(reading: Reading, start: int, end: int, table: Table) -> dict[str, Any]:
    """The AVPs of data[start:end] that `table` names, by the attribute names it gives them.

    Impossible lengths raise RemoteProtocolError 5014 at once; other faults are remembered in
    `reading`, and what is at fault is left out of the result.
    """
    data = reading.data
    values: dict[str, Any] = {}
    position = start
    try:
        while position < end:
            key, word = _HEAD(data, position)
            stop = position + (word & 0xFFFFFF)
            value_start = position + 8
            if word > 0x7FFFFFFF:
                key |= _U32(data, value_start)[0] << 32
                value_start += 4
            if not value_start <= stop <= end:
                raise bad_avp_length(data, position, end)
            member = table.get(key)
            if member is None:
                if word & 0x40000000:
                    _check_unread(reading, key, position, value_start, stop, 1)
                position = (stop + 3) & -4
                continue
            size, attribute, read = member
            if size > TEXT:
                if stop - value_start != size:
                    raise bad_avp_length(data, position, end)
                value = read(data, value_start)[0]
            elif size == TEXT and (raw := data[value_start:stop]).isascii() and b"\0" not in raw:
                value = raw.decode()  # nearly every text; the others take the longer way
            else:
                value = read(reading, position, value_start, stop)
            position = (stop + 3) & -4
            if value is None:
                continue
            if attribute not in values:
                values[attribute] = value if size >= 0 else [value] if size == MANY else (value,)
            elif size == MANY:
                values[attribute].append(value)
            elif size == MANY_TUPLE:
                values[attribute] += (value,)
            else:
                _repeated(reading, key, value_start, word > 0x7FFFFFFF, stop)
    except struct.error:  # a header that the end of the message cuts short
        raise bad_avp_length(data, position, end) from None
    return values


_IDENTITIES = frozenset({264, 296, 283, 293})  # Origin- and Destination-Host and -Realm
_REPORTING_REASON = dictionary.VENDOR_3GPP << 32 | 872  # TS 32.299 lets it repeat; the first counts


def _repeated(reading: Reading, key: int, value_start: int, has_vendor: bool, stop: int) -> None:
    if key == _REPORTING_REASON or (key in _IDENTITIES and reading.leniency.duplicate_identities):
        return
    reading.problem(
        Step.GRAMMAR,
        AVP_OCCURS_TOO_MANY_TIMES,
        f"{_name(key)} occurs more than once",
        failed_avp_copy(reading.data, value_start - (12 if has_vendor else 8), stop),
    )


def _name(key: int) -> str:
    known = dictionary.lookup(key >> 32, key & 0xFFFFFFFF)
    return known.name if known else f"AVP {key & 0xFFFFFFFF} of vendor {key >> 32}"


def _check_unread(
    reading: Reading, key: int, position: int, value_start: int, stop: int, depth: int
) -> None:
    """The M rule for an AVP that no table names: unknown is 5001, a known group is looked into."""
    vendor, code = key >> 32, key & 0xFFFFFFFF
    known = dictionary.lookup(vendor, code)
    if known is None:
        if reading.unknown_allowed or (vendor, code) in reading.leniency.allowed_unknown:
            return
        failed = failed_avp_copy(reading.data, position, stop)
        message = f"AVP {code} of vendor {vendor} is mandatory and unknown"
        reading.problem(Step.UNKNOWN, AVP_UNSUPPORTED, message, failed)
    elif known.type is dictionary.AvpType.GROUPED:
        if depth >= reading.limits.max_depth:
            raise RemoteProtocolError(codec.UNABLE_TO_COMPLY, "AVPs are nested too deep")
        for inner, inner_vendor, flags, data_start, data_end in codec.iter_avps(
            reading.data, value_start, stop
        ):
            if flags & codec.AVP_MANDATORY:
                inner_start = data_start - (12 if flags & codec.AVP_VENDOR else 8)
                inner_key = inner_vendor << 32 | inner
                _check_unread(reading, inner_key, inner_start, data_start, data_end, depth + 1)


def read_text(reading: Reading, position: int, start: int, stop: int) -> str | None:
    """A UTF8String or DiameterIdentity; other octets than UTF-8 without NUL are 5004."""
    payload = reading.data[start:stop]
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        failed = failed_avp_copy(reading.data, position, stop)
        reading.problem(Step.CONTENT, INVALID_AVP_VALUE, "text is not valid UTF-8", failed)
        return None
    return text


def read_octets(reading: Reading, _position: int, start: int, stop: int) -> bytes:
    """An OctetString, or a group that is read later."""
    return reading.data[start:stop]


def read_address(reading: Reading, position: int, start: int, stop: int) -> str | None:
    """An Address as text; one that does not fit its family is 5004."""
    try:
        return datatypes.unpack_address(reading.data[start:stop])[1]
    except ValueError as error:
        failed = failed_avp_copy(reading.data, position, stop)
        reading.problem(Step.CONTENT, INVALID_AVP_VALUE, str(error), failed)
        return None


def read_many_u32(reading: Reading, position: int, start: int, stop: int) -> int:
    """An Unsigned32 or non-negative Enumerated that may occur several times."""
    if stop - start != 4:
        raise bad_avp_length(reading.data, position, len(reading.data))
    value: int = _U32(reading.data, start)[0]
    return value


def read_time(reading: Reading, position: int, start: int, stop: int) -> int:
    """A Time that may occur several times, as nanoseconds since 1970."""
    if stop - start != 4:
        raise bad_avp_length(reading.data, position, len(reading.data))
    return unpack_time(reading.data, start)[0]


def unpack_time(data: bytes, start: int) -> tuple[int]:
    """Nanoseconds since 1970 of the Time at `start`."""
    return (datatypes.seconds_to_unix_ns(_U32(data, start)[0]),)


def _member(
    name: str, size: int, attribute: str, read: Any, of_vendor: int | None = None
) -> tuple[int, Member]:
    vendor, code = dictionary.avp_code(name, of_vendor)
    return vendor << 32 | code, (size, attribute, read)


def u32(name: str, attribute: str) -> tuple[int, Member]:
    """A single Unsigned32."""
    return _member(name, 4, attribute, _U32)


def i32(name: str, attribute: str) -> tuple[int, Member]:
    """A single Integer32 or Enumerated."""
    return _member(name, 4, attribute, _I32)


def u64(name: str, attribute: str) -> tuple[int, Member]:
    """A single Unsigned64."""
    return _member(name, 8, attribute, _U64)


def i64(name: str, attribute: str) -> tuple[int, Member]:
    """A single Integer64."""
    return _member(name, 8, attribute, _I64)


def time_ns(name: str, attribute: str) -> tuple[int, Member]:
    """A single Time as nanoseconds since 1970."""
    return _member(name, 4, attribute, unpack_time)


def text(name: str, attribute: str, vendor: int | None = None) -> tuple[int, Member]:
    """A single UTF8String or DiameterIdentity; `vendor` chooses between equal names."""
    return _member(name, TEXT, attribute, read_text, vendor)


def octets(name: str, attribute: str) -> tuple[int, Member]:
    """A single OctetString, or a group kept as its payload."""
    return _member(name, ONE, attribute, read_octets)


def address(name: str, attribute: str) -> tuple[int, Member]:
    """A single Address as text."""
    return _member(name, ONE, attribute, read_address)


Reader = Callable[[Reading, int, int, int], Any]


def one(name: str, attribute: str, read: Reader) -> tuple[int, Member]:
    """A single member with a reader of its own; a reader that returns None stores nothing."""
    return _member(name, ONE, attribute, read)


def many(name: str, attribute: str, read: Reader) -> tuple[int, Member]:
    """A member that may be repeated, collected in a list."""
    return _member(name, MANY, attribute, read)


def many_in_tuple(name: str, attribute: str, read: Reader) -> tuple[int, Member]:
    """A member that may be repeated a few times, collected in a tuple."""
    return _member(name, MANY_TUPLE, attribute, read)
