"""Sessions as they are played: what is asked next and when, one request after the other's answer.

`RecordedSession` repeats what a capture holds; `usage` makes sessions of usage records. Pure; run
by `player`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from protocol.credit_control import RequestType
from simulators.replay.exchanges import Exchange
from simulators.replay.findings import Findings
from simulators.replay.rewriting import subscriber_of

ServiceKey = tuple[int | None, int | None]
"""Rating group and service identifier."""


class Step(NamedTuple):
    """One request of a session as it was recorded, before the rules.

    `recorded` is the answer it had then; `expected` the result codes that usage records name.
    `silent` says that it was captured without an answer.
    """

    at_ns: int
    message: bytes
    where: str
    recorded: bytes | None = None
    expected: Mapping[ServiceKey, int] = {}
    silent: bool = False


class Conversation(Protocol):
    """A session or an event; times are those of the recording, in Unix nanoseconds."""

    session_id: str
    origin_host: str
    subscriber: str

    def next_ns(self) -> int | None:
        """When it asks next; None when it is over. Not called while an answer is awaited."""

    def ask(self) -> Step:
        """The request that is due."""

    def answered(self, message: bytes | None) -> None:
        """Its answer has come; None: there was none."""


@dataclass(slots=True)
class RecordedSession:
    """What a capture holds of a session, request by request, whatever the answers are."""

    session_id: str
    origin_host: str
    subscriber: str
    exchanges: list[Exchange]
    position: int = 0

    def next_ns(self) -> int | None:
        """When the next request was sent."""
        over = self.position >= len(self.exchanges)
        return None if over else self.exchanges[self.position].at_ns

    def ask(self) -> Step:
        """The next recorded request."""
        one = self.exchanges[self.position]
        self.position += 1
        where = f"packet {one.number}"
        return Step(one.at_ns, one.request, where, one.answer, silent=one.answer is None)

    def answered(self, message: bytes | None) -> None:
        """Nothing follows from an answer: what was recorded goes on."""


def recorded_sessions(
    exchanges: Iterable[Exchange], findings: Findings, *, partial: bool
) -> list[RecordedSession]:
    """The sessions of a capture in the order of their first requests.

    Those that began before it are left out unless `partial` ones are wanted: a server knows nothing
    of them.
    """
    by_id: dict[bytes, list[Exchange]] = defaultdict(list)
    for exchange in exchanges:
        by_id[exchange.session_id].append(exchange)
    opening = {RequestType.INITIAL, RequestType.EVENT}
    sessions = []
    for session_id, of_session in by_id.items():
        first = of_session[0]
        if first.request_type not in opening and not partial:
            findings.notes["sessions that began before the capture, left out"] += 1
            continue
        sessions.append(
            RecordedSession(
                session_id.decode(errors="replace"),
                first.origin_host,
                subscriber_of(first.request),
                of_session,
            )
        )
    return sessions
