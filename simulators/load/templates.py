"""Prepared credit-control requests: written once by `shapes`, then only numbers are exchanged.

The places of everything that differs from message to message are found by looking for marks in a
message that was written with them. A message then costs one `struct` call. Used by `prepared`.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from protocol import datatypes
from protocol.credit_control import ReportingReason, RequestType
from simulators.scenarios.model import Prepared, Scenario
from simulators.scenarios.populations import IdentityPattern
from simulators.scenarios.services import DataService, MessageService, Service, VoiceService
from simulators.traffic.quota import ServiceReport, Unit
from simulators.traffic.shapes import Envelope, Request, write_request
from simulators.traffic.subscriber import Demand, Identities

_HOP_BY_HOP = 0x5AA55AA5
_END_TO_END = 0xA55AA55A
_NUMBER = 0x3CC33CC3
_CHARGING_ID = 0x0AC3_96A7
_UNIX_NS = 1_234_567_890 * 10**9
# One character of text never stands alone in these marks, so that they are found where they belong.
_SESSION_MARK, _IDENTITY_MARKS = "\x01", "\x02\x03\x04\x05"


@dataclass(frozen=True, slots=True)
class Layout:
    """What all messages of a run have in common: the texts in which only digits differ."""

    session_id_octets: int
    identities: tuple[IdentityPattern, ...]

    def numbers(self, scenario: Scenario, position: int) -> tuple[bytes, ...]:
        """What stands for ``#`` in each identity of the subscriber at this position."""
        for group in scenario.subscribers:
            if position < group.count:
                number = group.first + position
                break
            position -= group.count
        return tuple(b"%0*d" % (one.digits, number) for one in self.identities)

    def marked_identities(self) -> Identities:
        """The identities with marks in place of the digits."""
        marks = self.identity_marks()
        return tuple(
            (one.type, one.pattern.replace("#" * one.digits, mark))
            for one, mark in zip(self.identities, marks, strict=True)
        )

    def identity_marks(self) -> list[str]:
        """A mark for the digits of each identity."""
        return [
            mark * one.digits for mark, one in zip(_IDENTITY_MARKS, self.identities, strict=False)
        ]


class Template:
    """One prepared message. `fill` is given hop-by-hop id, end-to-end id, CC-Request-Number, NTP
    seconds, charging id, session id and identities (octets of the layout's widths).
    """

    __slots__ = ("_constants", "_pack", "_pick", "kind", "octets")

    def __init__(self, kind: RequestType, message: bytes, layout: Layout) -> None:
        self.kind = int(kind)
        self.octets = len(message)
        marks = _marks(layout)
        pattern = re.compile(b"|".join(re.escape(mark) for mark, _, _ in marks), re.DOTALL)
        by_mark = {mark: (index, code) for index, (mark, code, _) in enumerate(marks)}
        form, picks, constants, position = ">", [], [], 0
        for found in pattern.finditer(message):
            constants.append(message[position : found.start()])
            picks.append(len(marks) + len(constants) - 1)
            index, code = by_mark[found.group()]
            picks.append(index)
            form += f"{len(constants[-1])}s{code}"
            position = found.end()
        constants.append(message[position:])
        picks.append(len(marks) + len(constants) - 1)
        form += f"{len(constants[-1])}s"
        missing = {i for i, (_, _, needed) in enumerate(marks) if needed} - set(picks)
        if missing:
            raise ValueError(f"the message has no place for {[marks[i] for i in sorted(missing)]}")
        self._pack = struct.Struct(form).pack
        self._pick: Callable[[Any], tuple[Any, ...]] = itemgetter(*picks)
        self._constants = tuple(constants)

    def message(self, values: tuple[Any, ...]) -> bytes:
        """The message with these values."""
        return self._pack(*self._pick(values + self._constants))


def _marks(layout: Layout) -> list[tuple[bytes, str, bool]]:
    """Mark, its struct code, and whether every message has it; in the order of `message`."""
    u32 = datatypes.pack_u32
    marks: list[tuple[bytes, str, bool]] = [
        (u32(_HOP_BY_HOP), "I", True),
        (u32(_END_TO_END), "I", True),
        (u32(_NUMBER), "I", True),
        (datatypes.unix_ns_to_time(_UNIX_NS), "I", True),
        (u32(_CHARGING_ID), "I", False),
        (_session_mark(layout).encode(), f"{layout.session_id_octets}s", True),
    ]
    digits = layout.identity_marks()
    return marks + [(text.encode(), f"{len(text)}s", False) for text in digits]


def _session_mark(layout: Layout) -> str:
    return _SESSION_MARK * layout.session_id_octets


@dataclass(frozen=True, slots=True)
class TemplateSet:
    """The messages of one kind of session; an event has its only message in `first`."""

    first: Template
    update: Template | None = None
    last: Template | None = None


def layout_of(scenario: Scenario, origin_hosts: list[str]) -> Layout:
    """The widths of a scenario; ValueError where messages cannot be prepared for it."""
    patterns = {group.identities for group in scenario.subscribers}
    identities = patterns.pop()
    if patterns:
        raise ValueError("prepared messages need the same identity patterns for all subscribers")
    if len(identities) > len(_IDENTITY_MARKS) or any(one.digits < 4 for one in identities):
        raise ValueError("prepared messages need up to 4 identities with 4 or more # each")
    session_id = session_id_of(max(origin_hosts, key=len), 0, 0, 0)
    return Layout(len(session_id), identities)


def session_id_of(origin_host: str, unix_seconds: int, serial: int, width: int) -> str:
    """A session id of a fixed width: the host is followed by zeros as far as is needed."""
    tail = f";{unix_seconds:010d};{serial:010d}"
    return origin_host + "0" * (width - len(origin_host) - len(tail)) * bool(width) + tail


def make_templates(
    scenario: Scenario, service: Service, envelope: Envelope, layout: Layout
) -> list[TemplateSet]:
    """The prepared messages of a service, one set for each of its destinations."""
    destinations = [""]
    if not isinstance(service, DataService):
        destinations = [one.number.replace("#", "7") for one in service.destinations]
    return [_template_set(scenario, service, envelope, layout, to) for to in destinations]


def _template_set(
    scenario: Scenario, service: Service, envelope: Envelope, layout: Layout, destination: str
) -> TemplateSet:
    identities = layout.marked_identities()

    def prepared(kind: RequestType) -> Template:
        demand = _demand(kind, service, scenario.prepared)
        session_id = _session_mark(layout)
        message = write_request(
            "generic",
            Request(
                envelope,
                session_id,
                service,
                identities,
                destination,
                demand,
                _UNIX_NS,
                _CHARGING_ID,
            ),
            _END_TO_END,
        )
        marked = message[:12] + datatypes.pack_u32(_HOP_BY_HOP) + message[16:]
        return Template(kind, marked, layout)

    if isinstance(service, MessageService):
        return TemplateSet(prepared(RequestType.EVENT))
    return TemplateSet(
        prepared(RequestType.INITIAL),
        prepared(RequestType.UPDATE),
        prepared(RequestType.TERMINATION),
    )


def _demand(kind: RequestType, service: Service, prepared: Prepared) -> Demand:
    reports = []
    for rating_group, identifier, unit, wanted in _uses(service):
        used = prepared.used_octets if unit is Unit.OCTETS else prepared.used_seconds
        reason = ReportingReason.THRESHOLD
        if kind is RequestType.TERMINATION:
            reason = ReportingReason.FINAL
        opening = kind in {RequestType.INITIAL, RequestType.EVENT}
        ending = kind is RequestType.TERMINATION
        reports.append(
            ServiceReport(
                rating_group,
                identifier,
                unit,
                None if ending else wanted,
                None if opening else used,
                None if opening else reason,
            )
        )
    ended = kind is RequestType.TERMINATION
    cause_code = 0 if ended and isinstance(service, VoiceService) else None
    return Demand(kind, _NUMBER, tuple(reports), 1 if ended else None, cause_code)


def _uses(service: Service) -> list[tuple[int | None, int | None, Unit, int]]:
    if isinstance(service, DataService):
        return [
            (use.rating_group, use.service_identifier, Unit.OCTETS, use.requested_octets or 0)
            for use in service.rating_groups
        ]
    if isinstance(service, VoiceService):
        wanted = service.requested_seconds or 0
        return [(service.rating_group, service.service_identifier, Unit.SECONDS, wanted)]
    number = service.messages.fixed if isinstance(service, MessageService) else None
    messages = max(round(number or 1), 1)
    return [(service.rating_group, service.service_identifier, Unit.EVENTS, messages)]


def ntp_seconds(unix_seconds: float) -> int:
    """The Time value of an instant, for `Template.message`."""
    return int.from_bytes(datatypes.unix_ns_to_time(int(unix_seconds * 10**9)), "big")
