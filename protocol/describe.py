"""Prints any Diameter message as text for people (`ocs decode`), AVP by AVP with names.

It shows what is there, also in a message that is wrong: the fault stands where it was found.
"""

from datetime import UTC, datetime

from protocol import datatypes
from protocol.codec import (
    AVP_MANDATORY,
    AVP_PROTECTED,
    AVP_VENDOR,
    DEFAULT_LIMITS,
    HEADER_SIZE,
    Header,
    Limits,
    iter_avps,
    read_header,
)
from protocol.dictionary import AvpType, command_name, lookup
from protocol.errors import RemoteProtocolError

_MAX_HEX_OCTETS = 64
_NS = 1_000_000_000


def describe(message: bytes, limits: Limits = DEFAULT_LIMITS) -> str:
    """The message as indented lines; RemoteProtocolError (fatal) if there is no whole header."""
    header = read_header(message)
    lines = [_describe_header(header)]
    if header.length != len(message):
        lines.append(f"  ! length field says {header.length}, there are {len(message)} octets")
    printer = _Printer(message, limits)
    printer.walk(HEADER_SIZE, len(message), 1)
    return "\n".join(lines + printer.lines)


def _describe_header(header: Header) -> str:
    kind = "Request" if header.is_request else "Answer"
    flags = "".join(
        letter if header.flags & bit else "-"
        for letter, bit in (("R", 0x80), ("P", 0x40), ("E", 0x20), ("T", 0x10))
    )
    return (
        f"{command_name(header.command_code)}-{kind} ({header.command_code}) flags={flags} "
        f"application={header.application_id} hop-by-hop={header.hop_by_hop:#010x} "
        f"end-to-end={header.end_to_end:#010x} length={header.length} version={header.version}"
    )


class _Printer:
    """Collects the lines of one message within its limits."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        self.data = data
        self.limits = limits
        self.remaining = limits.max_avps
        self.lines: list[str] = []

    def walk(self, start: int, end: int, depth: int) -> None:
        indent = "  " * depth
        try:
            for code, vendor, flags, data_start, data_end in iter_avps(self.data, start, end):
                self.remaining -= 1
                if self.remaining < 0:
                    self.lines.append(f"{indent}! more than {self.limits.max_avps} AVPs")
                    return
                self._avp(code, vendor, flags, data_start, data_end, depth)
        except RemoteProtocolError as fault:
            self.lines.append(f"{indent}! {fault.message}")

    def _avp(self, code: int, vendor: int, flags: int, start: int, end: int, depth: int) -> None:
        known = lookup(vendor, code)
        name = known.name if known else "Unknown"
        number = f"{vendor}/{code}" if vendor else str(code)
        letters = "".join(
            letter if flags & bit else "-"
            for letter, bit in (("V", AVP_VENDOR), ("M", AVP_MANDATORY), ("P", AVP_PROTECTED))
        )
        head = f"{'  ' * depth}{name} ({number}) {letters}"
        if known and known.type is AvpType.GROUPED:
            if depth >= self.limits.max_depth:
                self.lines.append(f"{head} ! nested deeper than {self.limits.max_depth}")
                return
            self.lines.append(head)
            self.walk(start, end, depth + 1)
            return
        value = _value(known.type if known else AvpType.OCTET_STRING, self.data[start:end])
        self.lines.append(f"{head} = {value}")


def _value(avp_type: AvpType, payload: bytes) -> str:
    try:
        return _typed_value(avp_type, payload)
    except ValueError as fault:
        return f"{_octets(payload)} ! not {avp_type.value}: {fault}"


def _typed_value(avp_type: AvpType, payload: bytes) -> str:
    match avp_type:
        case AvpType.UTF8_STRING | AvpType.IDENTITY:
            return repr(datatypes.unpack_utf8(payload))
        case AvpType.UNSIGNED32:
            return str(datatypes.unpack_u32(payload))
        case AvpType.INTEGER32:
            return str(datatypes.unpack_i32(payload))
        case AvpType.UNSIGNED64:
            return str(datatypes.unpack_u64(payload))
        case AvpType.INTEGER64:
            return str(datatypes.unpack_i64(payload))
        case AvpType.FLOAT32:
            return str(datatypes.unpack_f32(payload))
        case AvpType.FLOAT64:
            return str(datatypes.unpack_f64(payload))
        case AvpType.ADDRESS:
            return datatypes.unpack_address(payload)[1]
        case AvpType.TIME:
            return _utc(datatypes.time_to_unix_ns(payload) // _NS)
        case _:
            return _octets(payload)


def _utc(unix_seconds: int) -> str:
    moment = datetime.fromtimestamp(unix_seconds, UTC)
    return moment.isoformat().replace("+00:00", "Z")


def _octets(payload: bytes) -> str:
    """Hexadecimal, and the text it also is where every octet is printable."""
    shown = payload[:_MAX_HEX_OCTETS]
    text = f"0x{shown.hex()}"
    if len(payload) > _MAX_HEX_OCTETS:
        return f"{text}... ({len(payload)} octets)"
    if payload and all(0x20 <= octet < 0x7F for octet in payload):
        return f"{text} {payload.decode()!r}"
    return text
