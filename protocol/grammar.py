"""Command grammars as tables that read and write values (RFC 6733 section 3.2), for `base`.

The checks come in one order: lengths and contents, unknown AVPs with the M flag, AVPs that occur
too often, AVPs that are missing. Only the first fault is reported. Commands on the hot path have
hand-written readers instead.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from protocol import codec, datatypes, dictionary
from protocol.errors import RemoteProtocolError

AVP_UNSUPPORTED = 5001
INVALID_AVP_VALUE = 5004
MISSING_AVP = 5005
AVP_OCCURS_TOO_MANY_TIMES = 5009


@dataclass(frozen=True, slots=True)
class Kind:
    """A data format: `unpack` raises ValueError for bad content, `size` is the only length."""

    unpack: Callable[[bytes], Any]
    pack: Callable[[Any], bytes]
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """One AVP of a command: its dictionary name and the attribute of the value that holds it."""

    name: str
    attribute: str
    kind: Kind
    required: bool = False
    many: bool = False


def _unpack_identity(payload: bytes) -> str:
    text = datatypes.unpack_utf8(payload)
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("not a host or realm name")
    return text


def enumerated(values: type[IntEnum]) -> Kind:
    """The format of an Enumerated AVP that allows only the members of `values`."""
    return Kind(lambda payload: values(datatypes.unpack_i32(payload)), datatypes.pack_i32, 4)


IDENTITY = Kind(_unpack_identity, datatypes.pack_utf8)
TEXT = Kind(datatypes.unpack_utf8, datatypes.pack_utf8)
UNSIGNED32 = Kind(datatypes.unpack_u32, datatypes.pack_u32, 4)
ADDRESS = Kind(lambda payload: datatypes.unpack_address(payload)[1], datatypes.pack_address)
OCTETS = Kind(bytes, bytes)


def identity_key(name: str) -> str:
    """What makes two DiameterIdentities the same peer: case and one trailing dot do not count."""
    return name.removesuffix(".").lower()


class Grammar:
    """The AVPs of one command or group in the order in which they are written."""

    __slots__ = ("_by_code", "_fields")

    def __init__(self, *fields: Field) -> None:
        definitions = [dictionary.definition(field.name) for field in fields]
        self._fields = tuple(zip(definitions, fields, strict=True))
        self._by_code = {definition.key.code: field for definition, field in self._fields}

    def read(self, data: bytes, start: int, end: int) -> dict[str, Any]:
        """Attribute values of data[start:end]: a tuple where AVPs may repeat, None where absent.

        Raises RemoteProtocolError with the Failed-AVP of the first fault. Known AVPs that the
        grammar does not name are skipped, as are unknown ones without the M flag.
        """
        found: dict[str, list[Any]] = {field.attribute: [] for _, field in self._fields}
        unknown: RemoteProtocolError | None = None
        repeated: RemoteProtocolError | None = None
        for code, vendor, flags, data_start, data_end in list(codec.iter_avps(data, start, end)):
            avp_start = data_start - (12 if flags & codec.AVP_VENDOR else 8)
            field = None if vendor else self._by_code.get(code)
            if field is None:
                mandatory = flags & codec.AVP_MANDATORY
                if mandatory and unknown is None and not dictionary.is_known(vendor, code):
                    unknown = RemoteProtocolError(
                        AVP_UNSUPPORTED,
                        f"unknown mandatory AVP {code} of vendor {vendor}",
                        codec.failed_avp_copy(data, avp_start, data_end),
                    )
                continue
            values = found[field.attribute]
            values.append(_unpack(field, data, avp_start, data_start, data_end))
            if len(values) > 1 and not field.many and repeated is None:
                repeated = RemoteProtocolError(
                    AVP_OCCURS_TOO_MANY_TIMES,
                    f"more than one {field.name}",
                    codec.failed_avp_copy(data, avp_start, data_end),
                )
        for fault in (unknown, repeated):
            if fault is not None:
                raise fault
        return self._checked(found)

    def _checked(self, found: dict[str, list[Any]]) -> dict[str, Any]:
        read: dict[str, Any] = {}
        for _, field in self._fields:
            values = found[field.attribute]
            if field.required and not values:
                raise RemoteProtocolError(
                    MISSING_AVP,
                    f"{field.name} is missing",
                    codec.failed_avp_for_missing(field.name),
                )
            read[field.attribute] = tuple(values) if field.many else (values or [None])[0]
        return read

    def write(self, value: object) -> bytes:
        """The AVPs of a value in the grammar's order; None and empty tuples write nothing."""
        parts: list[bytes] = []
        for definition, field in self._fields:
            held = getattr(value, field.attribute)
            items: Iterable[Any] = held if field.many else (() if held is None else (held,))
            flags = codec.AVP_MANDATORY if definition.mandatory else 0
            code, vendor = definition.key.code, definition.key.vendor
            parts += [codec.encode_avp(code, field.kind.pack(i), vendor, flags) for i in items]
        return b"".join(parts)


def _unpack(field: Field, data: bytes, avp_start: int, data_start: int, data_end: int) -> Any:
    size = field.kind.size
    if size is not None and data_end - data_start != size:
        raise codec.bad_avp_length(data, avp_start, data_end)
    try:
        return field.kind.unpack(data[data_start:data_end])
    except ValueError as error:
        raise RemoteProtocolError(
            INVALID_AVP_VALUE,
            f"{field.name}: {error}",
            codec.failed_avp_copy(data, avp_start, data_end),
        ) from error
