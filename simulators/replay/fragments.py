"""IP packets put together from their fragments (RFC 791 section 3.2, RFC 8200 section 4.5).

Fragments may come twice, out of order, or be missing; those that contradict each other are left
out together (RFC 5722). Pure, and bounded: the packets that were begun first are given up when too
many are not whole. Used by `packets`.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field

WAITING_PACKETS_MAX = 1000
WAITING_OCTETS_MAX = 8 << 20
PACKET_SECONDS_MAX = 60
"""After so long the same identification is that of another packet (RFC 8200 section 4.5)."""
_PAYLOAD_MAX = 65_535
_UNIT = 8
_INCOMPLETE = "IP fragments of packets that are not whole"
_CONTRADICTING = "IP fragments that contradict each other"
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a packet's payload; `protocol` is what comes at the beginning of the whole."""

    at_ns: int
    offset: int
    is_last: bool
    protocol: int
    data: bytes


@dataclass(slots=True)
class _Begun:
    """What there is of one packet."""

    at_ns: int
    pieces: dict[int, Fragment] = field(default_factory=dict)
    octets: int = 0
    length: int = -1
    """Of the whole payload; -1 before the last fragment has come."""

    def add(self, fragment: Fragment) -> bool:
        """Take it; False if it cannot belong to the rest."""
        end = fragment.offset + len(fragment.data)
        if fragment.is_last:
            if self.length not in {-1, end} or any(_end(one) > end for one in self.pieces.values()):
                return False
            self.length = end
        elif 0 <= self.length < end:
            return False
        known = self.pieces.get(fragment.offset)
        if known is None or len(known.data) < len(fragment.data):
            self.octets += len(fragment.data) - (0 if known is None else len(known.data))
            self.pieces[fragment.offset] = fragment
            return known is None or fragment.data.startswith(known.data)
        return known.data.startswith(fragment.data)

    def whole(self) -> bytes | None:
        """All of it, if it is complete; raises ValueError when pieces contradict each other."""
        if self.length < 0 or self.octets < self.length:
            return None
        payload = bytearray()
        for offset in sorted(self.pieces):
            data = self.pieces[offset].data
            if offset > len(payload):
                return None
            known = payload[offset : offset + len(data)]
            if known != data[: len(known)]:
                raise ValueError
            payload += data[len(known) :]
        return bytes(payload)


def _end(fragment: Fragment) -> int:
    return fragment.offset + len(fragment.data)


class Fragments:
    """The packets of a capture that have begun and are not whole yet."""

    def __init__(self) -> None:
        self._begun: dict[Hashable, _Begun] = {}
        self._octets = 0

    def add(
        self, key: Hashable, fragment: Fragment, counts: Counter[str]
    ) -> tuple[int, bytes] | None:
        """The protocol and the payload of a packet that is whole with this fragment.

        `key` says whose packet it is: addresses, identification, in IPv4 the protocol, too.
        """
        begun = self._begun.get(key)
        if begun is not None and fragment.at_ns - begun.at_ns > PACKET_SECONDS_MAX * _NS:
            self._drop(key, counts, _INCOMPLETE)
            begun = None
        if not fragment.data or (len(fragment.data) % _UNIT and not fragment.is_last) or (
            _end(fragment) > _PAYLOAD_MAX
        ):  # fmt: skip
            counts["packets that are cut short or malformed"] += 1
            return None
        if begun is None:
            begun = self._begun[key] = _Begun(fragment.at_ns)
        before = begun.octets
        fits = begun.add(fragment)
        self._octets += begun.octets - before
        try:
            whole = begun.whole() if fits else None
        except ValueError:
            fits, whole = False, None
        if not fits:
            self._drop(key, counts, _CONTRADICTING)
        elif whole is not None:
            protocol = begun.pieces[0].protocol
            self._drop(key, Counter(), "")
            return protocol, whole
        while len(self._begun) > WAITING_PACKETS_MAX or self._octets > WAITING_OCTETS_MAX:
            self._drop(next(iter(self._begun)), counts, _INCOMPLETE)
        return None

    def finish(self, counts: Counter[str]) -> None:
        """No more fragments will come."""
        for key in list(self._begun):
            self._drop(key, counts, _INCOMPLETE)

    def _drop(self, key: Hashable, counts: Counter[str], why: str) -> None:
        begun = self._begun.pop(key)
        self._octets -= begun.octets
        counts[why] += len(begun.pieces)
