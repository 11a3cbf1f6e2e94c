"""Remembers the layouts of requests, so that those like the last are read without a walk.

A gateway sends thousands of requests whose AVPs are the same at the same places (RFC 6733 section
4.1). `CcrReader` and `InformationReader` give exactly what `read_ccr` and
`read_service_information` give: whatever is not known for certain is read by these. The Diameter
edge of the server owns one of each.
"""

from collections.abc import Callable
from typing import Any

from protocol.codec import DEFAULT_LIMITS, HEADER_SIZE, Header, Limits
from protocol.credit_control import CreditControlRequest
from protocol.credit_control_layout import outline_information, outline_request
from protocol.credit_control_reader import read_ccr
from protocol.errors import RemoteProtocolError
from protocol.layout import Layout, NotLearnableError, Outline
from protocol.members import LENIENT, Leniency
from protocol.service_information import ServiceInformation, read_service_information

MAX_LAYOUTS = 512
MAX_LAYOUTS_PER_KEY = 8
MAX_OCTETS = 4096  # of what is learned
SIGHTINGS = 3  # of a layout before its function is generated

# What learning may cost: every read earns one credit. Noting a layout takes about as long as four
# walks, generating its function as twenty. So strange messages, however many, make reading at
# most a third slower, and a start with ordinary ones has the credit it needs.
OUTLINE_COST = 16
BUILD_COST = 64
MAX_CREDIT = 4_000

_Key = tuple[int, int, bytes]


class LayoutCache:
    """The layouts of one kind of octets, by length, first AVP header and leniency.

    `hits` counts what was read by a known layout, `misses` what had to be walked, `learned` the
    functions generated so far, `rejected` those of them that did not pass their only test: to give
    for the octets they were learned from what the walk gave.
    """

    def __init__(
        self,
        outline: Callable[[bytes, Leniency], Outline],
        first_avp: int,
        max_layouts: int = MAX_LAYOUTS,
    ) -> None:
        self.hits = 0
        self.misses = 0
        self.learned = 0
        self.rejected = 0
        self._outline = outline
        self._first_avp = slice(first_avp, first_avp + 8)
        self._max_layouts = max_layouts
        self._spent = -MAX_CREDIT
        self._size = 0
        self._by_key: dict[_Key, list[Layout]] = {}
        # Keys hold the identity of a leniency, which must not be taken by another one.
        self._leniencies: dict[int, Leniency] = {}

    def __len__(self) -> int:
        return self._size

    def read(self, data: bytes, lenient: Leniency) -> Any:
        """The value of `data`, or None if it has to be walked."""
        layouts = self._by_key.get((id(lenient), len(data), data[self._first_avp]))
        if layouts is not None:
            for layout in layouts:
                number = int.from_bytes(data[layout.first : layout.last], "big")
                if number & layout.mask == layout.expected:
                    if layout.build is None:
                        break
                    try:
                        value = layout.build(data)
                    except (UnicodeDecodeError, RemoteProtocolError):
                        break
                    if value is None:
                        break
                    layout.hits += 1
                    self.hits += 1
                    return value
        self.misses += 1
        return None

    def walked(self, data: bytes, lenient: Leniency, value: object) -> None:
        """Learn from octets that `read` did not know and the walk accepted, giving `value`."""
        if len(data) > MAX_OCTETS:
            return
        key = (id(lenient), len(data), data[self._first_avp])
        layouts = self._by_key.get(key, ())
        for layout in layouts:
            if layout.fits(data):
                layout.sightings += 1
                if layout.build is None and layout.sightings >= SIGHTINGS and self._pay(BUILD_COST):
                    self._generate(layout, data, value)
                return
        if self._pay(OUTLINE_COST) and self._knows(lenient):
            try:
                layout = Layout(self._outline(data, lenient))
            except NotLearnableError:
                return
            self._add(key, layout)

    def _generate(self, layout: Layout, data: bytes, value: object) -> None:
        layout.compile()
        self.learned += 1
        if layout.build is not None and layout.build(data) != value:
            layout.build = _nothing
            self.rejected += 1

    def _pay(self, cost: int) -> bool:
        """Take credit if there is enough; it does not grow beyond its limit."""
        earned = self.hits + self.misses
        self._spent = max(self._spent, earned - MAX_CREDIT)
        if self._spent + cost > earned:
            return False
        self._spent += cost
        return True

    def _knows(self, lenient: Leniency) -> bool:
        if len(self._leniencies) < MAX_LAYOUTS_PER_KEY:
            self._leniencies.setdefault(id(lenient), lenient)
        return id(lenient) in self._leniencies

    def _add(self, key: _Key, layout: Layout) -> None:
        layouts = self._by_key.get(key, [])
        if len(layouts) >= MAX_LAYOUTS_PER_KEY:
            self._remove(key, min(layouts, key=_use))
        elif self._size >= self._max_layouts:
            self._remove(*min(self._all(), key=lambda entry: entry[1].hits))
            for _, kept in self._all():
                kept.hits >>= 1
        layouts = self._by_key.setdefault(key, [])
        layouts.append(layout)
        layouts.sort(key=_use, reverse=True)
        self._size += 1

    def _remove(self, key: _Key, layout: Layout) -> None:
        layouts = self._by_key[key]
        layouts.remove(layout)
        self._size -= 1
        if not layouts:
            del self._by_key[key]

    def _all(self) -> list[tuple[_Key, Layout]]:
        return [(key, layout) for key, layouts in self._by_key.items() for layout in layouts]


def _use(layout: Layout) -> int:
    return layout.hits


def _nothing(_data: bytes) -> None:
    """In place of a function that cannot be used: the walk reads these."""


class CcrReader:
    """Reads credit-control requests; keep one per process, so that it learns from all peers."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS, max_layouts: int = MAX_LAYOUTS) -> None:
        self._limits = limits
        # Shorter messages cannot have too many AVPs, so the walk does not count them either.
        self._countless_octets = HEADER_SIZE + 8 * limits.max_avps

        def outline(message: bytes, lenient: Leniency) -> Outline:
            return outline_request(message, lenient, limits)

        self.layouts = LayoutCache(outline, HEADER_SIZE, max_layouts)

    def read(
        self, message: bytes, header: Header, lenient: Leniency = LENIENT
    ) -> CreditControlRequest:
        """Like `credit_control_reader.read_ccr`; `header` is that of `message`."""
        if len(message) > self._countless_octets:
            return read_ccr(message, header, lenient, self._limits)
        request: CreditControlRequest | None = self.layouts.read(message, lenient)
        if request is None:
            request = read_ccr(message, header, lenient, self._limits)
            self.layouts.walked(message, lenient, request)
        return request


class InformationReader:
    """Reads the payloads of Service-Information; keep one per process."""

    def __init__(self, max_layouts: int = MAX_LAYOUTS) -> None:
        self.layouts = LayoutCache(outline_information, 0, max_layouts)

    def read(self, payload: bytes, lenient: Leniency = LENIENT) -> ServiceInformation:
        """Like `service_information.read_service_information`."""
        said: ServiceInformation | None = self.layouts.read(payload, lenient)
        if said is None:
            said = read_service_information(payload, lenient)
            self.layouts.walked(payload, lenient, said)
        return said
