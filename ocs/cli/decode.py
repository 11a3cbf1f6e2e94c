"""`ocs decode`: a Diameter message as text."""

import re
import sys
from pathlib import Path

import click

from ocs.cli.command import Run, ocs_command
from ocs.errors import RefusedError, UsageError

INPUT_OCTETS_MAX = 16 << 20
_NOT_HEX = re.compile(rb"[^0-9a-fA-F]")
_SPACES = re.compile(rb"[\s:,]+|0x|\\x")


@ocs_command(
    "decode",
    example="ocs decode message.bin\n"
    "ocs decode 0100001480000118000000000000000100000001\n"
    "xxd -p message.bin | ocs decode -",
)
@click.argument("message", metavar="MESSAGE")
def decode(run: Run, message: str) -> None:
    """Print Diameter messages AVP by AVP; MESSAGE is a file, hexadecimal digits, or - for input.

    A file may hold the octets themselves or hexadecimal text, and several messages one after
    the other. What is wrong with a message is said where it was found.
    """
    from protocol.codec import HEADER_SIZE
    from protocol.describe import describe
    from protocol.errors import ProtocolError

    data = _octets(message)
    texts = []
    position = 0
    while position < len(data):
        length = int.from_bytes(data[position + 1 : position + 4]) or len(data)
        end = position + max(length, HEADER_SIZE)
        try:
            texts.append(describe(data[position:end]))
        except ProtocolError as error:
            raise RefusedError(f"octet {position} begins no Diameter message: {error}") from None
        position = end
    run.out.show(
        {"messages": [{"text": text, "lines": text.splitlines()} for text in texts]},
        lambda _target, _document: click.echo("\n\n".join(texts)),
    )


def _octets(text: str) -> bytes:
    """Return the octets that a file, standard input or the argument itself holds."""
    if text == "-":
        return _unhex(sys.stdin.buffer.read(INPUT_OCTETS_MAX), "standard input")
    path = Path(text)
    if len(text) < 4096 and path.is_file():
        with path.open("rb") as file:
            return _unhex(file.read(INPUT_OCTETS_MAX), text)
    digits = _SPACES.sub(b"", text.encode())
    if not digits or _NOT_HEX.search(digits):
        raise UsageError(f"'{text[:60]}' is neither a file nor hexadecimal digits")
    return _from_digits(digits, "the message")


def _unhex(data: bytes, source: str) -> bytes:
    """Return the octets of a text of hexadecimal digits; other content is taken as it is."""
    if not data:
        raise UsageError(f"{source} is empty")
    digits = _SPACES.sub(b"", data)
    return data if not digits or _NOT_HEX.search(digits) else _from_digits(digits, source)


def _from_digits(digits: bytes, source: str) -> bytes:
    if len(digits) % 2:
        raise UsageError(f"{source} has an odd number of hexadecimal digits")
    return bytes.fromhex(digits.decode())
