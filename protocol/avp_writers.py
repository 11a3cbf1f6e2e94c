"""Writers of single AVPs by their names: code, vendor and M flag come from the dictionary once.

For the writers of answers, which call them for every message: what does not change is packed when
the module is loaded.
"""

import struct
from collections.abc import Callable
from functools import partial

from protocol import codec
from protocol.codec import encode_avp
from protocol.dictionary import definition

Number = Callable[[int], bytes]
Payload = Callable[[bytes], bytes]


def number(name: str, format_character: str) -> Number:
    """A writer for one fixed-size AVP; its header is packed once, here."""
    known = definition(name)
    size = struct.calcsize(f">{format_character}")
    head = encode_avp(known.key.code, bytes(size), known.key.vendor, flags_of(name))[:-size]
    return partial(struct.Struct(f">{len(head)}s{format_character}").pack, head)


def octets(name: str) -> Payload:
    """A writer for one AVP of any length: a string, or a group of AVPs that are written already."""
    key, flags = definition(name).key, flags_of(name)

    def write(payload: bytes) -> bytes:
        return encode_avp(key.code, payload, key.vendor, flags)

    return write


def text(name: str) -> Callable[[str], bytes]:
    """A writer for one UTF8String."""
    write = octets(name)
    return lambda value: write(value.encode())


def flags_of(name: str) -> int:
    """The flags to send an AVP with, without V."""
    return codec.AVP_MANDATORY if definition(name).mandatory else 0
