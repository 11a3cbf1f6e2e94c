"""The AVP data formats of RFC 6733 sections 4.2 and 4.3: pack and unpack with their checks.

`pack_*` raises LocalProtocolError for a value that does not fit, `unpack_*` raises ValueError for
octets that cannot be such a value; the readers turn that into 5014 or 5004 with a Failed-AVP.
"""

import ipaddress
import socket
import struct

from protocol.errors import LocalProtocolError

_U32 = struct.Struct(">I")
_I32 = struct.Struct(">i")
_U64 = struct.Struct(">Q")
_I64 = struct.Struct(">q")
_F32 = struct.Struct(">f")
_F64 = struct.Struct(">d")

# Seconds from the NTP epoch (1900) to 1970, and from 1970 to the next era (2036-02-07 06:28:16).
_ERA_0_OFFSET = 2_208_988_800
_ERA_1_OFFSET = 2_085_978_496
_NS = 1_000_000_000
_FIRST_SECOND = 0x80000000 - _ERA_0_OFFSET
_LAST_SECOND = 0x7FFFFFFF + _ERA_1_OFFSET

FAMILY_IPV4 = 1
FAMILY_IPV6 = 2
FAMILY_E164 = 8


def _pack(packer: struct.Struct, value: float) -> bytes:
    try:
        return packer.pack(value)
    except (struct.error, OverflowError) as error:
        raise LocalProtocolError(f"{value!r} does not fit {packer.size} octets") from error


def pack_u32(value: int) -> bytes:
    """Unsigned32: 0 <= value < 2**32."""
    return _pack(_U32, value)


def pack_i32(value: int) -> bytes:
    """Integer32 and Enumerated: -2**31 <= value < 2**31."""
    return _pack(_I32, value)


def pack_u64(value: int) -> bytes:
    """Unsigned64: 0 <= value < 2**64."""
    return _pack(_U64, value)


def pack_i64(value: int) -> bytes:
    """Integer64: -2**63 <= value < 2**63."""
    return _pack(_I64, value)


def _unpack(packer: struct.Struct, payload: bytes) -> int:
    if len(payload) != packer.size:
        raise ValueError(f"{len(payload)} octets where {packer.size} belong")
    value: int = packer.unpack(payload)[0]
    return value


def unpack_u32(payload: bytes) -> int:
    """Unsigned32; ValueError unless there are 4 octets."""
    return _unpack(_U32, payload)


def unpack_i32(payload: bytes) -> int:
    """Integer32 or Enumerated; ValueError unless there are 4 octets."""
    return _unpack(_I32, payload)


def unpack_u64(payload: bytes) -> int:
    """Unsigned64; ValueError unless there are 8 octets."""
    return _unpack(_U64, payload)


def unpack_i64(payload: bytes) -> int:
    """Integer64; ValueError unless there are 8 octets."""
    return _unpack(_I64, payload)


def pack_f32(value: float) -> bytes:
    """Float32 (IEEE 754 single precision)."""
    return _pack(_F32, value)


def pack_f64(value: float) -> bytes:
    """Float64 (IEEE 754 double precision)."""
    return _pack(_F64, value)


def unpack_f32(payload: bytes) -> float:
    """Float32; ValueError unless there are 4 octets."""
    return float(_unpack(_F32, payload))


def unpack_f64(payload: bytes) -> float:
    """Float64; ValueError unless there are 8 octets."""
    return float(_unpack(_F64, payload))


def pack_utf8(text: str) -> bytes:
    """UTF8String, DiameterIdentity and DiameterURI; lone surrogates do not fit."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"{text!r} is not Unicode text") from error


def unpack_utf8(payload: bytes) -> str:
    """UTF8String; ValueError for anything that is not UTF-8 or that holds a NUL.

    NUL is valid UTF-8, but no identity or address contains it and data stores refuse it.
    """
    text = payload.decode()
    if "\0" in text:
        raise ValueError("NUL in a text")
    return text


def pack_address(address: str) -> bytes:
    """Address from IPv4 or IPv6 text, or from E.164 digits: the family, then the address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        digits = address.removeprefix("+")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 15):
            raise LocalProtocolError(f"{address!r} is neither IP nor E.164") from None
        return FAMILY_E164.to_bytes(2, "big") + digits.encode()
    family = FAMILY_IPV4 if parsed.version == 4 else FAMILY_IPV6
    return family.to_bytes(2, "big") + parsed.packed


def unpack_address(payload: bytes) -> tuple[int, str]:
    """(family, text) of an Address; other families than 1, 2 and 8 come back as hex digits."""
    if len(payload) < 2:
        raise ValueError("an Address has at least its family")
    family = int.from_bytes(payload[:2], "big")
    body = payload[2:]
    if family == FAMILY_IPV4:
        if len(body) != 4:
            raise ValueError(f"IPv4 address of {len(body)} octets")
        return family, socket.inet_ntop(socket.AF_INET, body)  # a tenth of what `ipaddress` takes
    if family == FAMILY_IPV6:
        if len(body) != 16:
            raise ValueError(f"IPv6 address of {len(body)} octets")
        return family, str(ipaddress.IPv6Address(body))
    if family == FAMILY_E164:
        return family, unpack_utf8(body)
    return family, body.hex()


def seconds_to_unix_ns(seconds: int) -> int:
    """Nanoseconds since 1970 of a Time's 32 bits.

    With the top bit set they count from 1900 (1968 to 2036), without it from the wrap on
    2036-02-07 06:28:16 UTC (RFC 6733 section 4.3.1).
    """
    offset = -_ERA_0_OFFSET if seconds & 0x80000000 else _ERA_1_OFFSET
    return (seconds + offset) * _NS


def time_to_unix_ns(payload: bytes) -> int:
    """Nanoseconds since 1970 of a Time; ValueError unless there are 4 octets."""
    return seconds_to_unix_ns(_unpack(_U32, payload))


def unix_ns_to_time(unix_ns: int) -> bytes:
    """Time from nanoseconds since 1970, 1968-01-20 to 2104-02-26; fractions are cut off."""
    seconds = unix_ns // _NS
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        raise LocalProtocolError(f"{unix_ns} ns is outside the range of a Time")
    if seconds < _ERA_1_OFFSET:
        return _U32.pack(seconds + _ERA_0_OFFSET)
    return _U32.pack(seconds - _ERA_1_OFFSET)
