"""The Diameter wire format: header, AVP walk, message cutting and AVP encoding (RFC 6733, 3 and 4).

Everything that touches octets is built on it: the readers and writers of `base` and
`credit_control`, the peer connection, the printer and the simulator.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from protocol import datatypes, dictionary
from protocol.errors import LocalProtocolError, RemoteProtocolError

HEADER_SIZE = 20
VERSION = 1
MAX_LENGTH = 0xFFFFFC  # the largest multiple of 4 that a 24-bit length can say

FLAG_REQUEST = 0x80
FLAG_PROXIABLE = 0x40
FLAG_ERROR = 0x20
FLAG_RETRANSMIT = 0x10

AVP_VENDOR = 0x80
AVP_MANDATORY = 0x40
AVP_PROTECTED = 0x20

INVALID_AVP_LENGTH = 5014
INVALID_MESSAGE_LENGTH = 5015
UNSUPPORTED_VERSION = 5011
UNABLE_TO_COMPLY = 5012

_FAILED_AVP = 279
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")

_HEADER = struct.Struct(">IIIII")
_U32 = struct.Struct(">I")
_AVP_IETF = struct.Struct(">II")
_AVP_VENDOR = struct.Struct(">III")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one message may cost us: octets, AVPs at all levels together, and nesting."""

    max_message: int = 1 << 20
    max_avps: int = 4096
    max_depth: int = 16


DEFAULT_LIMITS = Limits()


class Header:
    """The 20 octets before the AVPs (RFC 6733 section 3); `length` counts them too."""

    __slots__ = (
        "application_id",
        "command_code",
        "end_to_end",
        "flags",
        "hop_by_hop",
        "length",
        "version",
    )

    def __init__(
        self,
        version: int,
        length: int,
        flags: int,
        command_code: int,
        application_id: int,
        hop_by_hop: int,
        end_to_end: int,
    ) -> None:
        self.version = version
        self.length = length
        self.flags = flags
        self.command_code = command_code
        self.application_id = application_id
        self.hop_by_hop = hop_by_hop
        self.end_to_end = end_to_end

    @property
    def is_request(self) -> bool:
        """The R flag."""
        return bool(self.flags & FLAG_REQUEST)

    @property
    def is_proxiable(self) -> bool:
        """The P flag."""
        return bool(self.flags & FLAG_PROXIABLE)

    @property
    def is_error(self) -> bool:
        """The E flag."""
        return bool(self.flags & FLAG_ERROR)

    @property
    def is_retransmitted(self) -> bool:
        """The T flag: perhaps a repetition."""
        return bool(self.flags & FLAG_RETRANSMIT)

    def __repr__(self) -> str:
        return (
            f"Header(command={self.command_code}, flags={self.flags:#04x}, "
            f"application={self.application_id}, hop_by_hop={self.hop_by_hop:#010x}, "
            f"end_to_end={self.end_to_end:#010x}, length={self.length})"
        )


def read_header(data: bytes) -> Header:
    """The header of a message; raises RemoteProtocolError (fatal) if there are not 20 octets."""
    if len(data) < HEADER_SIZE:
        raise RemoteProtocolError(
            INVALID_MESSAGE_LENGTH, "message shorter than a header", b"", True
        )
    first, second, application_id, hop_by_hop, end_to_end = _HEADER.unpack_from(data)
    return Header(
        first >> 24,
        first & 0xFFFFFF,
        second >> 24,
        second & 0xFFFFFF,
        application_id,
        hop_by_hop,
        end_to_end,
    )


class MessageBuffer:
    """Cuts whole messages out of a byte stream, in time linear in what was fed.

    A version or length that cannot be right raises RemoteProtocolError with `fatal` set, before
    anything of that length is stored; from then on every call raises it again, because the place
    where the next message starts is unknown.
    """

    __slots__ = ("_buffer", "_position", "max_message")

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._buffer = bytearray()
        self._position = 0
        self.max_message = min(limits.max_message, MAX_LENGTH)
        """Octets; may be changed between messages."""

    @property
    def pending_octets(self) -> int:
        """Octets fed and not yet returned, for a reader that throttles its input."""
        return len(self._buffer) - self._position

    def peek(self, octets: int) -> bytes:
        """A copy of the first unread octets, fewer if fewer came: the ids of a broken header."""
        return bytes(self._buffer[self._position : self._position + octets])

    def feed(self, data: bytes) -> None:
        """Append what arrived; `next_message` is to be called until it returns None."""
        self._buffer += data

    def next_message(self) -> bytes | None:
        """The next whole message, or None until more octets were fed."""
        buffer = self._buffer
        position = self._position
        available = len(buffer) - position
        if available >= 4:
            word = _U32.unpack_from(buffer, position)[0]
            length = word & 0xFFFFFF
            if word >> 24 != VERSION:
                raise RemoteProtocolError(
                    UNSUPPORTED_VERSION, f"version {word >> 24} is not supported", b"", True
                )
            if length < HEADER_SIZE or length & 3 or length > self.max_message:
                raise RemoteProtocolError(
                    INVALID_MESSAGE_LENGTH, f"message length {length} cannot be", b"", True
                )
            if available >= length:
                self._position = position + length
                return bytes(buffer[position : position + length])
        if position:
            # Only a part of one message is left, so this costs each octet one move at most.
            del buffer[:position]
            self._position = 0
        return None


def iter_avps(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Walk the AVPs of data[start:end]: yields (code, vendor, flags, data_start, data_end).

    Raises RemoteProtocolError 5014 at the first AVP whose length is impossible. The padding of
    the last AVP of a group may be missing, which some senders leave out.
    """
    position = start
    while position < end:
        if end - position < 8:
            raise bad_avp_length(data, position, end)
        code, word = _AVP_IETF.unpack_from(data, position)
        length = word & 0xFFFFFF
        stop = position + length
        if word & 0x80000000:
            if length < 12 or stop > end:
                raise bad_avp_length(data, position, end)
            vendor = _U32.unpack_from(data, position + 8)[0]
            yield code, vendor, word >> 24, position + 12, stop
        else:
            if length < 8 or stop > end:
                raise bad_avp_length(data, position, end)
            yield code, 0, word >> 24, position + 8, stop
        position = (stop + 3) & -4


def bad_avp_length(data: bytes, position: int, end: int) -> RemoteProtocolError:
    """The 5014 error for the AVP whose header starts at `position` in data[:end].

    Its Failed-AVP repeats the header (cut short: completed with zeros) with a payload of the
    smallest size of its type (RFC 6733 section 7.1.5).
    """
    head = bytes(data[position : min(end, position + 12)])
    has_vendor = len(head) > 4 and bool(head[4] & AVP_VENDOR)
    head = head.ljust(12, b"\0")
    code, word, vendor = _AVP_VENDOR.unpack(head)
    failed = _zero_avp(code, word >> 24, vendor if has_vendor else 0)
    return RemoteProtocolError(
        INVALID_AVP_LENGTH, f"impossible length of AVP {code} at octet {position}", failed
    )


def _zero_avp(code: int, flags: int, vendor: int) -> bytes:
    known = dictionary.lookup(vendor, code)
    size = known.minimum_octets if known else 0
    if flags & AVP_VENDOR:
        return _AVP_VENDOR.pack(code, flags << 24 | 12 + size, vendor) + bytes(size)
    return _AVP_IETF.pack(code, flags << 24 | 8 + size) + bytes(size)


def failed_avp_for_missing(name: str) -> bytes:
    """The example of a missing AVP for a Failed-AVP: right header, zero-filled smallest payload."""
    known = dictionary.definition(name)
    flags = AVP_MANDATORY if known.mandatory else 0
    if known.key.vendor:
        flags |= AVP_VENDOR
    return _zero_avp(known.key.code, flags, known.key.vendor)


def failed_avp_copy(data: bytes, avp_start: int, avp_end: int) -> bytes:
    """A copy of the offending AVP, padded; `avp_end` is where its unpadded octets end."""
    return bytes(data[avp_start:avp_end]) + _PADDING[(avp_end - avp_start) & 3]


def encode_failed_avp(contents: bytes) -> bytes:
    """Failed-AVP around the AVPs that `RemoteProtocolError.failed_avp` holds."""
    return encode_avp(_FAILED_AVP, contents)


def encode_avp(code: int, payload: bytes, vendor: int = 0, flags: int = AVP_MANDATORY) -> bytes:
    """One padded AVP; the V flag follows from `vendor`."""
    if vendor:
        length = 12 + len(payload)
        header = _AVP_VENDOR.pack(code, (flags | AVP_VENDOR) << 24 | length, vendor)
    else:
        length = 8 + len(payload)
        header = _AVP_IETF.pack(code, flags << 24 | length)
    if length > 0xFFFFFF:
        raise LocalProtocolError(f"AVP {code} of {length} octets does not fit its length field")
    return header + payload + _PADDING[length & 3]


def encode_u32(code: int, value: int, vendor: int = 0, flags: int = AVP_MANDATORY) -> bytes:
    """An Unsigned32 AVP, 0 <= value < 2**32."""
    return encode_avp(code, datatypes.pack_u32(value), vendor, flags)


def encode_i32(code: int, value: int, vendor: int = 0, flags: int = AVP_MANDATORY) -> bytes:
    """An Integer32 or Enumerated AVP."""
    return encode_avp(code, datatypes.pack_i32(value), vendor, flags)


def encode_u64(code: int, value: int, vendor: int = 0, flags: int = AVP_MANDATORY) -> bytes:
    """An Unsigned64 AVP, 0 <= value < 2**64."""
    return encode_avp(code, datatypes.pack_u64(value), vendor, flags)


def encode_i64(code: int, value: int, vendor: int = 0, flags: int = AVP_MANDATORY) -> bytes:
    """An Integer64 AVP."""
    return encode_avp(code, datatypes.pack_i64(value), vendor, flags)


def encode_utf8(code: int, text: str, vendor: int = 0, flags: int = AVP_MANDATORY) -> bytes:
    """A UTF8String, DiameterIdentity or DiameterURI AVP."""
    return encode_avp(code, datatypes.pack_utf8(text), vendor, flags)


def encode_grouped(code: int, members: bytes, vendor: int = 0, flags: int = AVP_MANDATORY) -> bytes:
    """A Grouped AVP around AVPs that are encoded already."""
    return encode_avp(code, members, vendor, flags)


def encode_address(code: int, address: str, vendor: int = 0, flags: int = AVP_MANDATORY) -> bytes:
    """An Address AVP from IPv4 or IPv6 text, or from the digits of an E.164 number."""
    return encode_avp(code, datatypes.pack_address(address), vendor, flags)


def encode_time(code: int, unix_ns: int, vendor: int = 0, flags: int = AVP_MANDATORY) -> bytes:
    """A Time AVP from nanoseconds since 1970; fractions of a second are cut off."""
    return encode_avp(code, datatypes.unix_ns_to_time(unix_ns), vendor, flags)


def encode_message(
    command_code: int,
    application_id: int,
    flags: int,
    hop_by_hop: int,
    end_to_end: int,
    avps: bytes,
) -> bytes:
    """A whole message: header and AVPs; raises LocalProtocolError if it passes 2**24 octets."""
    length = HEADER_SIZE + len(avps)
    if length > MAX_LENGTH:
        raise LocalProtocolError(f"a message of {length} octets does not fit its length field")
    return (
        _HEADER.pack(
            VERSION << 24 | length,
            flags << 24 | command_code,
            application_id,
            hop_by_hop,
            end_to_end,
        )
        + avps
    )


def find_avp(data: bytes, start: int, end: int, code: int, vendor: int = 0) -> bytes | None:
    """A padded copy of the first AVP with this key in data[start:end], or None."""
    for found, found_vendor, flags, data_start, data_end in iter_avps(data, start, end):
        if found == code and found_vendor == vendor:
            header = 12 if flags & AVP_VENDOR else 8
            return failed_avp_copy(data, data_start - header, data_end)
    return None


def check_avp_count(data: bytes, start: int, end: int, limits: Limits) -> None:
    """Raise RemoteProtocolError 5012 if the AVPs of all levels exceed the limits.

    A header takes 8 octets, so a short message cannot exceed the count and is not walked.
    """
    if end - start <= 8 * limits.max_avps:
        return
    remaining = limits.max_avps
    spans = [(start, end, 1)]
    while spans:
        span_start, span_end, depth = spans.pop()
        for code, vendor, _, data_start, data_end in iter_avps(data, span_start, span_end):
            remaining -= 1
            if remaining < 0:
                raise RemoteProtocolError(UNABLE_TO_COMPLY, "too many AVPs in one message")
            known = dictionary.lookup(vendor, code)
            if known and known.type is dictionary.AvpType.GROUPED and depth < limits.max_depth:
                spans.append((data_start, data_end, depth + 1))
