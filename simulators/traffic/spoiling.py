"""Requests with broken AVPs in a valid frame, for gateways that are meant to send some.

Every defect is one that a server has to refuse (RFC 6733 section 7.1.5). Used by `gateway`.
"""

import random

from protocol import codec, dictionary

_HEADER = codec.HEADER_SIZE
_LENGTH_AT, _LENGTH_OCTETS = 5, 3
_ILLEGAL_TYPE = 99


def spoiled(message: bytes, dice: random.Random) -> tuple[bytes, str]:
    """The request with one defect, and what it is in words."""
    number = dictionary.avp_code("CC-Request-Number").code
    kind = dictionary.avp_code("CC-Request-Type").code
    defects = (
        (number, b"", "CC-Request-Number is missing"),
        (kind, b"", "CC-Request-Type is missing"),
        (number, codec.encode_avp(number, b"\0\0\0"), "CC-Request-Number of three octets"),
        (kind, codec.encode_i32(kind, _ILLEGAL_TYPE), "CC-Request-Type of a value that is none"),
        (number, None, "an AVP that is longer than the message"),
    )
    code, instead, words = dice.choice(defects)
    avps = b"".join(
        _with_length(avp, len(message)) if instead is None and one == code
        else instead if instead is not None and one == code
        else avp
        for one, avp in _members(message)
    )  # fmt: skip
    return _framed(message, avps), words


def _members(message: bytes) -> list[tuple[int, bytes]]:
    """The AVPs of a message, padding included, with their codes; those of vendors have -1."""
    members = []
    start = _HEADER
    for code, vendor, _, _, end in codec.iter_avps(message, _HEADER, len(message)):
        padded = end + -end % 4
        members.append((-1 if vendor else code, message[start:padded]))
        start = padded
    return members


def _with_length(avp: bytes, length: int) -> bytes:
    end = _LENGTH_AT + _LENGTH_OCTETS
    return avp[:_LENGTH_AT] + length.to_bytes(_LENGTH_OCTETS, "big") + avp[end:]


def _framed(message: bytes, avps: bytes) -> bytes:
    length = (_HEADER + len(avps)).to_bytes(3, "big")
    return message[:1] + length + message[4:_HEADER] + avps
