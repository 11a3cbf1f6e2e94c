"""Damages Diameter messages the way a bad peer would: with knowledge of their structure.

A message is a tree of AVPs. One mutation changes a value, a header, a length or the place of an
AVP; what comes out is written with lengths that fit it, unless lying about them is the mutation.
All choices come from the random numbers that are handed in.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

from protocol import dictionary

MAX_OCTETS = 1 << 18
"""Of a stream: what a mutation makes longer than this is given up."""
_HEADER = 20
_NUMBERS = (0, 1, 2, 3, 4, 5, 100, 255, 1 << 15, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
_LONG_NUMBERS = (*_NUMBERS, 10_000_000, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_TEXTS = (
    b"",
    b"\0",
    b"\xff\xfe",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"-1",
    b"ocs.example",
    b"ocs1.ocs.example",
    b"other.example",
    b"tel:+1 (555) 000-1;phone-context=x",
    b"\xe2\x80\xae" * 40,
    b"9" * 300,
)
_LIES = (-12, -9, -8, -4, -1, 1, 3, 4, 8, 100, 4096)
_COMMANDS = (257, 258, 271, 272, 274, 275, 280, 282, 0, (1 << 24) - 1)
_APPLICATIONS = (0, 3, 4, 16777238, 0xFFFFFFFF)


@dataclass
class Node:
    """One AVP: its payload is octets, or for a group its members."""

    code: int
    flags: int
    vendor: int
    payload: bytes = b""
    members: list["Node"] | None = None
    lie: int = 0
    """What its length says too much or too little."""

    def encode(self) -> bytes:
        """Return it with its padding."""
        inside = self.payload if self.members is None else encode_all(self.members)
        has_vendor = bool(self.flags & 0x80)
        length = max(0, (12 if has_vendor else 8) + len(inside) + self.lie) & 0xFFFFFF
        head = struct.pack(">II", self.code & 0xFFFFFFFF, (self.flags & 0xFF) << 24 | length)
        if has_vendor:
            head += struct.pack(">I", self.vendor)
        return head + inside + bytes(-len(inside) % 4)

    def copy(self) -> "Node":
        """Return it with members of its own."""
        members = None if self.members is None else [one.copy() for one in self.members]
        return replace(self, members=members)


@dataclass
class Tree:
    """A message: the fields of its header, and its AVPs."""

    head: list[int]
    """Version, flags, command, application, Hop-by-Hop and End-to-End id."""
    members: list[Node] = field(default_factory=list)
    lie: int = 0

    def encode(self) -> bytes:
        """Return the message."""
        version, flags, command, application, hop, end = self.head
        body = encode_all(self.members)
        length = max(0, _HEADER + len(body) + self.lie) & 0xFFFFFF
        first = (version & 0xFF) << 24 | length
        second = (flags & 0xFF) << 24 | command & 0xFFFFFF
        return struct.pack(">IIIII", first, second, application, hop, end) + body


def encode_all(nodes: list[Node]) -> bytes:
    """Return AVPs one after the other."""
    return b"".join(node.encode() for node in nodes)


def parse(message: bytes) -> Tree:
    """Return the tree of a message, as far as it can be followed; at least 20 octets."""
    first, second, application, hop, end = struct.unpack_from(">IIIII", message)
    head = [first >> 24, second >> 24, second & 0xFFFFFF, application, hop, end]
    return Tree(head, _nodes(message[_HEADER:], 0))


def _nodes(data: bytes, depth: int) -> list[Node]:
    found, position = [], 0
    while position + 8 <= len(data):
        code, word = struct.unpack_from(">II", data, position)
        size = 12 if word >> 31 else 8
        stop = position + (word & 0xFFFFFF)
        if not position + size <= stop <= len(data):
            break
        vendor = struct.unpack_from(">I", data, position + 8)[0] if size == 12 else 0
        node = Node(code, word >> 24, vendor, data[position + size : stop])
        known = dictionary.lookup(vendor, code)
        if known and known.type is dictionary.AvpType.GROUPED and node.payload and depth < 20:
            members = _nodes(node.payload, depth + 1)
            if encode_all(members) == node.payload:
                node.members = members
        found.append(node)
        position = (stop + 3) & -4
    return found


def split(stream: bytes) -> list[bytes]:
    """Cut a stream into messages by their lengths; what cannot be cut is the last piece."""
    pieces, position = [], 0
    while position < len(stream):
        length = int.from_bytes(stream[position + 1 : position + 4], "big")
        if length < _HEADER or position + length > len(stream):
            length = len(stream) - position
        pieces.append(stream[position : position + length])
        position += length
    return pieces


# ---------------------------------------------------------------------------- one AVP changed


def every_place(members: list[Node]) -> list[tuple[list[Node], int]]:
    """Return every AVP of a tree as the list it is in and its index there."""
    found = []
    for index, node in enumerate(members):
        found.append((members, index))
        if node.members:
            found += every_place(node.members)
    return found


def _set_octets(random: Random, node: Node) -> None:
    octets = bytearray(node.payload or bytes(4))
    for _ in range(random.randint(1, 3)):
        place = random.randrange(len(octets))
        octets[place] = random.choice((0, 0xFF, octets[place] ^ 1 << random.randrange(8)))
    node.payload, node.members = bytes(octets), None


def _set_number(random: Random, node: Node) -> None:
    size = random.choice((4, 8)) if len(node.payload) not in {4, 8} else len(node.payload)
    value = random.choice(_NUMBERS if size == 4 else _LONG_NUMBERS)
    node.payload, node.members = value.to_bytes(size, "big"), None


def _set_text(random: Random, node: Node) -> None:
    node.payload, node.members = random.choice(_TEXTS), None


def _cut(random: Random, node: Node) -> None:
    inside = node.payload if node.members is None else encode_all(node.members)
    node.payload, node.members = inside[: random.randint(0, len(inside))], None


def _grow(random: Random, node: Node) -> None:
    inside = node.payload if node.members is None else encode_all(node.members)
    node.payload, node.members = inside + random.randbytes(random.choice((1, 4, 8, 900))), None


def _lie(random: Random, node: Node) -> None:
    node.lie = random.choice(_LIES)


def _set_flags(random: Random, node: Node) -> None:
    node.flags = random.choice((0, 0x20, 0x40, 0x60, 0x80, 0xC0, 0xFF, node.flags ^ 0x40))


def _set_vendor(random: Random, node: Node) -> None:
    node.vendor = random.choice((0, 10, 10415, 0xFFFFFFFF))
    node.flags |= 0x80


def _set_code(random: Random, node: Node) -> None:
    node.code = random.choice((0, 65000, 0xFFFFFFFF, *_codes()))


def _codes() -> tuple[int, ...]:
    return (55, 258, 260, 263, 264, 284, 415, 416, 431, 432, 436, 437, 443, 446, 456, 873, 874)


def _nest(random: Random, node: Node) -> None:
    inside = node.encode()
    for _ in range(random.choice((1, 2, 15, 16, 17, 60, 400))):
        inside = Node(node.code, node.flags, node.vendor, inside).encode()
    node.payload, node.members = inside, None


_OF_ONE: tuple[Callable[[Random, Node], None], ...] = (
    _set_octets, _set_octets, _set_number, _set_number, _set_text, _cut, _grow, _lie, _set_flags,
    _set_vendor, _set_code, _nest,
)  # fmt: skip


# --------------------------------------------------------------------------- many AVPs changed


def _change_avps(random: Random, tree: Tree, donor: Tree) -> None:
    places = every_place(tree.members)
    given = every_place(donor.members)
    members, index = random.choice(places) if places else (tree.members, 0)
    kind = random.randrange(8)
    if kind == 0 and members:
        del members[index]
    elif kind == 1 and members:
        copies = random.choice((1, 1, 1, 1, 1, 2, 2, 3, 3, 30, 30, 200, 1500, 5000))
        members[index:index] = [members[index].copy() for _ in range(copies)]
    elif kind == 2 and len(members) > 1:
        random.shuffle(members)
    elif kind == 3 and members:
        target = random.choice(places)[0]
        target.append(members[index].copy())
    elif kind in {4, 5} and given:
        source, which = random.choice(given)
        members.insert(index, source[which].copy())
    elif kind == 6 and given and members:
        source, which = random.choice(given)
        members[index] = source[which].copy()
    else:
        flags = random.choice((0, 0x40, 0x80, 0xC0))
        members.insert(index, Node(65000, flags, 10415, random.randbytes(random.randint(0, 40))))


def _change_header(random: Random, tree: Tree) -> None:
    which = random.randrange(7)
    if which == 6:
        tree.lie = random.choice((*_LIES, -20, 1 << 22))
    elif which == 0:
        tree.head[0] = random.choice((0, 2, 255))
    elif which == 1:
        tree.head[1] = random.choice((0, 0x40, 0x80, 0xC0, 0xD0, 0xE0, 0xFF, random.randrange(256)))
    elif which == 2:
        tree.head[2] = random.choice(_COMMANDS)
    elif which == 3:
        tree.head[3] = random.choice(_APPLICATIONS)
    else:
        tree.head[which] = random.choice(_NUMBERS)


def mutate_message(random: Random, message: bytes, donor: bytes) -> bytes:
    """Return a message with one thing changed; AVPs may be taken from ``donor``."""
    if len(message) < _HEADER or random.random() < 0.03:
        return message[: random.randint(0, len(message))] + random.randbytes(random.randint(0, 24))
    tree = parse(message)
    places = every_place(tree.members)
    choice = random.random()
    if choice < 0.08:
        _change_header(random, tree)
    elif choice < 0.45 or not places:
        _change_avps(random, tree, parse(donor.ljust(_HEADER, b"\0")))
    else:
        members, index = random.choice(places)
        random.choice(_OF_ONE)(random, members[index])
    return tree.encode()


def mutate_stream(random: Random, stream: bytes, donors: list[bytes]) -> bytes:
    """Return a stream with a few things changed; ``donors`` are messages to take from."""
    pieces = split(stream)
    for _ in range(random.choice((1, 1, 2, 3, 6))):
        kind = random.random()
        index = random.randrange(len(pieces)) if pieces else 0
        if kind < 0.05 or not pieces:
            pieces.insert(index, random.choice(donors))
        elif kind < 0.08:
            pieces.insert(index, repeated(pieces[index]))
        elif kind < 0.11 and len(pieces) > 1:
            del pieces[index]
        elif kind < 0.14:
            random.shuffle(pieces)
        elif kind < 0.15:
            pieces[index] = pieces[index][: random.randint(0, len(pieces[index]))]
        else:
            pieces[index] = mutate_message(random, pieces[index], random.choice(donors))
    return b"".join(pieces)[:MAX_OCTETS]


def repeated(message: bytes) -> bytes:
    """Return a message as it is sent again: with the T flag."""
    if len(message) < _HEADER:
        return message
    return message[:4] + bytes([message[4] | 0x10]) + message[5:]
