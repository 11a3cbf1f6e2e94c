"""All that happened in one process of a run, in a file: what recordings and accounts are made of.

An observer appends every message as it goes out or comes in, so that the file of a process that
was killed has all but its last moment. `retell` reads several of them at once, in the order of
time and in bounded memory, and tells other observers what they would have seen of one process.
Called by `processes` and by `ocs simulate run --journal` and `join --journal`.
"""

import heapq
import json
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from protocol.credit_control import CreditControlAnswer, RequestType
from protocol.credit_control_reader import read_cca
from protocol.errors import ProtocolError
from simulators.scenarios.document import DocumentError
from simulators.scenarios.model import Scenario, parse_scenario
from simulators.traffic.observer import Observer
from simulators.traffic.quota import NEVER
from simulators.traffic.subscriber import Demand, Session

MAGIC = b"charging simulator journal 1\n"
HEAD_OCTETS_MAX = 4 << 20
"""Octets of the scenario in the head of a journal."""
ABOUT_OCTETS_MAX = 64 << 10
"""Octets of what is said about a message."""
MESSAGE_OCTETS_MAX = 16 << 20
"""Octets of a message."""
_SIZE = struct.Struct(">I")
_ENTRY = struct.Struct(">BQII")
"""Kind, Unix time in nanoseconds, octets about the message, octets of the message."""
_REQUEST, _ANSWER, _SERVER_ASKED, _SERVER_ANSWERED = 1, 2, 3, 4


class JournalWriter(Observer):
    """Appends to a file, which is there and whole at every moment.

    `scenario` goes into its head; `part` is what this process carries of it, if not all. Raises
    OSError when the file cannot be written.
    """

    def __init__(self, path: Path, scenario: Scenario, part: Scenario | None = None) -> None:
        services = (part or scenario).services
        self._numbers = {id(one): number for number, one in enumerate(services)}
        self._file: BinaryIO = path.open("wb", buffering=0)
        self._file.write(_head(scenario))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()

    def _append(self, kind: int, at_ns: int, about: dict[str, Any], message: bytes) -> None:
        words = json.dumps(about, separators=(",", ":")).encode()
        self._file.write(_ENTRY.pack(kind, at_ns, len(words), len(message)) + words + message)

    def request_sent(
        self, at_ns: int, gateway: str, session: Session, demand: Demand, message: bytes
    ) -> None:
        """Keep it with what a message does not say of its session."""
        about = _about(gateway, session, demand)
        about["who"] = session.identities
        about["service"] = self._numbers[id(session.service)]
        self._append(_REQUEST, at_ns, about, message)

    def answer_received(
        self,
        at_ns: int,
        gateway: str,
        session: Session,
        demand: Demand,
        answer: CreditControlAnswer,  # noqa: ARG002 - it is in the message
        message: bytes,
        latency_us: int,
    ) -> None:
        """Keep it."""
        about = _about(gateway, session, demand)
        about["latency_us"] = latency_us
        self._append(_ANSWER, at_ns, about, message)

    def server_asked(
        self,
        at_ns: int,
        gateway: str,
        session_id: str,
        message: bytes,
        answer: bytes,
    ) -> None:
        """Keep both."""
        about = {"gateway": gateway, "session": session_id}
        self._append(_SERVER_ASKED, at_ns, about, message)
        self._append(_SERVER_ANSWERED, at_ns, about, answer)


def _head(scenario: Scenario) -> bytes:
    text = scenario.model_dump_json(exclude_unset=True).encode()
    return MAGIC + _SIZE.pack(len(text)) + text


def _about(gateway: str, session: Session, demand: Demand) -> dict[str, Any]:
    return {
        "gateway": gateway,
        "session": session.session_id,
        "type": int(demand.request_type),
        "number": demand.number,
    }


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of a journal."""

    kind: int
    at_ns: int
    about: bytes
    message: bytes


class Journal:
    """A journal to be read; ValueError when the file is none.

    `cut_off` says, once `entries` are read, whether the file ends in the middle of one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cut_off = False
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ValueError(f"{path} is no journal of a run")
            size = _SIZE.unpack(file.read(_SIZE.size).rjust(_SIZE.size, b"\0"))[0]
            if size > HEAD_OCTETS_MAX:
                raise ValueError(f"{path}: its scenario has more than {HEAD_OCTETS_MAX} octets")
            text = file.read(size)
            self._begin = file.tell()
        try:
            # Every JSON document is YAML too, and so one reader knows both.
            self.scenario = parse_scenario(text.decode(), str(path))
        except (DocumentError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: its scenario cannot be read: {error}") from None

    def entries(self) -> Iterator[Entry]:
        """Its messages in the order in which they came; ValueError for what cannot be."""
        with self.path.open("rb") as file:
            file.seek(self._begin)
            while head := file.read(_ENTRY.size):
                if len(head) < _ENTRY.size:
                    self.cut_off = True
                    return
                kind, at_ns, about_size, size = _ENTRY.unpack(head)
                known = _REQUEST <= kind <= _SERVER_ANSWERED
                if not known or about_size > ABOUT_OCTETS_MAX or size > MESSAGE_OCTETS_MAX:
                    raise ValueError(f"{self.path} is damaged at octet {file.tell() - len(head)}")
                both = file.read(about_size + size)
                if len(both) < about_size + size:
                    self.cut_off = True
                    return
                yield Entry(kind, at_ns, both[:about_size], both[about_size:])


def merged(journals: Sequence[Journal]) -> Iterator[Entry]:
    """The messages of all of them in the order of time; one of each is in memory."""
    return heapq.merge(*(one.entries() for one in journals), key=lambda entry: entry.at_ns)


def write_merged(path: Path, journals: Sequence[Journal], scenario: Scenario) -> None:
    """One journal of several."""
    with path.open("wb") as file:
        file.write(_head(scenario))
        for one in merged(journals):
            file.write(_ENTRY.pack(one.kind, one.at_ns, len(one.about), len(one.message)))
            file.write(one.about + one.message)


class Remembered(Session):
    """A session as a journal knows it: over, whatever it once did."""

    def next_instant(self) -> float:
        """Never."""
        return NEVER

    def act(self, now: float) -> Demand | None:  # noqa: ARG002
        """Nothing is left to do."""
        return None

    def answered(self, now: float, answer: CreditControlAnswer) -> None:
        """It has been."""

    def unanswered(self, now: float) -> None:
        """It has been."""


def retell(journals: Sequence[Journal], observers: Iterable[Observer]) -> None:
    """Tell observers what happened; faults, and when nobody answered, are not in journals.

    Sessions are `Remembered`, without a clock. Raises ValueError when two journals know the same
    gateway, or one is damaged.
    """
    told = tuple(observers)
    whose: dict[str, int] = {}
    asked: dict[int, bytes] = {}
    streams = [_numbered(number, journal) for number, journal in enumerate(journals)]
    for number, entry in heapq.merge(*streams, key=lambda pair: pair[1].at_ns):
        journal = journals[number]
        try:
            about = json.loads(entry.about)
            gateway = str(about["gateway"])
            if whose.setdefault(gateway, number) != number:
                raise ValueError(
                    f"{gateway} is in {journals[whose[gateway]].path} and in {journal.path}:"
                    " give each run Origin-Hosts of its own"
                )
            if entry.kind == _SERVER_ASKED:
                asked[number] = entry.message
                continue
            for one in told:
                if entry.kind == _SERVER_ANSWERED:
                    question = asked[number]
                    one.server_asked(
                        entry.at_ns, gateway, str(about["session"]), question, entry.message
                    )
                else:
                    _tell(one, journal.scenario, entry, about)
        except (KeyError, IndexError, TypeError, ProtocolError) as error:
            raise ValueError(f"{journal.path} is damaged: {error!r}") from None


def _numbered(number: int, journal: Journal) -> Iterator[tuple[int, Entry]]:
    for entry in journal.entries():
        yield number, entry


def _tell(observer: Observer, scenario: Scenario, entry: Entry, about: dict[str, Any]) -> None:
    gateway, demand = about["gateway"], Demand(RequestType(about["type"]), about["number"])
    who = tuple((kind, text) for kind, text in about.get("who", ()))
    service = scenario.services[about.get("service", 0)]
    session = Remembered(about["session"], service, who, Counter())
    if entry.kind == _REQUEST:
        observer.request_sent(entry.at_ns, gateway, session, demand, entry.message)
        return
    answer = read_cca(entry.message)
    observer.answer_received(
        entry.at_ns, gateway, session, demand, answer, entry.message, about["latency_us"]
    )
