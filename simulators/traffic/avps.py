"""AVPs by their dictionary name, for `shapes`: readable where speed does not matter."""

from functools import cache

from protocol import codec, dictionary

_VENDOR_3GPP = 10415
# Two AVPs have this name; 3GPP's own is the one inside Event-Type (TS 32.299 section 7.2.178).
_NAMES_3GPP = {"SIP-Method": (_VENDOR_3GPP, 824, codec.AVP_MANDATORY)}


@cache
def _known(name: str) -> tuple[int, int, int]:
    if name in _NAMES_3GPP:
        return _NAMES_3GPP[name]
    definition = dictionary.definition(name)
    flags = codec.AVP_MANDATORY if definition.mandatory else 0
    return definition.key.vendor, definition.key.code, flags


def raw(name: str, payload: bytes, *, optional: bool = False) -> bytes:
    """An AVP around these octets; `optional` leaves the M flag out."""
    vendor, code, flags = _known(name)
    return codec.encode_avp(code, payload, vendor, 0 if optional else flags)


def group(name: str, *members: bytes, optional: bool = False) -> bytes:
    """A Grouped AVP."""
    return raw(name, b"".join(members), optional=optional)


def u32(name: str, value: int) -> bytes:
    """An Unsigned32 AVP."""
    vendor, code, flags = _known(name)
    return codec.encode_u32(code, value, vendor, flags)


def i32(name: str, value: int) -> bytes:
    """An Integer32 or Enumerated AVP."""
    vendor, code, flags = _known(name)
    return codec.encode_i32(code, value, vendor, flags)


def u64(name: str, value: int) -> bytes:
    """An Unsigned64 AVP."""
    vendor, code, flags = _known(name)
    return codec.encode_u64(code, value, vendor, flags)


def text(name: str, value: str) -> bytes:
    """A UTF8String or DiameterIdentity AVP."""
    vendor, code, flags = _known(name)
    return codec.encode_utf8(code, value, vendor, flags)


def address(name: str, value: str) -> bytes:
    """An Address AVP."""
    vendor, code, flags = _known(name)
    return codec.encode_address(code, value, vendor, flags)


def time(name: str, unix_ns: int, *, optional: bool = False) -> bytes:
    """A Time AVP."""
    vendor, code, flags = _known(name)
    return codec.encode_time(code, unix_ns, vendor, 0 if optional else flags)
