"""From a file to a replay: reads it, decides who plays, and puts the parts together.

`prepare` and `play` are what `ocs simulate replay` calls.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from simulators.replay.capture_file import is_capture
from simulators.replay.carrier import Replay, Target
from simulators.replay.compare import Comparer
from simulators.replay.conversations import Conversation, RecordedSession, recorded_sessions
from simulators.replay.findings import Findings, UnusableError
from simulators.replay.loading import Selection, load_capture
from simulators.replay.player import Pace, Player
from simulators.replay.records import read_records
from simulators.replay.result import Outcome, Result, Source
from simulators.replay.rewriting import Rewriter, first_match, origin_realm_of
from simulators.replay.rules import Rules
from simulators.replay.usage import UsageSession, usage_sessions
from simulators.traffic.running import Progress, run_on_own_reactor

CLIENTS_MAX = 256

_RECORD_SUFFIXES = frozenset({".csv", ".json", ".jsonl", ".ndjson"})


@dataclass(frozen=True, slots=True)
class Options:
    """How a file is played; `partial` also plays sessions whose beginning is not in it."""

    rules: Rules = field(default_factory=Rules)
    selection: Selection = field(default_factory=Selection)
    pace: Pace = field(default_factory=Pace)
    partial: bool = False
    compare: bool = True


@dataclass(slots=True)
class Prepared:
    """A file that is ready to be played; `clients` are Origin-Hosts with their realms."""

    source: Source
    conversations: Sequence[Conversation]
    clients: dict[str, str]
    findings: Findings
    options: Options
    rewriter: Rewriter


def prepare(path: Path, options: Options) -> Prepared:
    """Read a capture or usage records.

    Raises UnusableError when there is nothing to play, OSError when the file cannot be read, and
    DocumentError for records with mistakes.
    """
    findings = Findings()
    rewriter = Rewriter(options.rules, int(time.time()))
    conversations: Sequence[Conversation]
    with path.open("rb") as file:
        head = file.read(4)
    if path.suffix.lower() in _RECORD_SUFFIXES and not is_capture(head):
        records = read_records(path)
        made = usage_sessions(records, findings)
        source = Source(path.name, records=len(records), sessions=len(made))
        clients = _clients_of_usage(made, rewriter)
        conversations = made
    else:
        loaded = load_capture(path, findings, options.selection)
        sessions = recorded_sessions(loaded.exchanges, findings, partial=options.partial)
        if not sessions:
            raise UnusableError(
                f"no session in {path} begins in it; --partial plays those that began before"
            )
        source = Source(path.name, loaded.packets, loaded.messages, sessions=len(sessions))
        clients = _clients_of_capture(sessions, rewriter)
        conversations = sessions
    if len(clients) > CLIENTS_MAX:
        raise UnusableError(
            f"{len(clients)} clients would connect, and {CLIENTS_MAX} may;"
            " let one carry all with --agent, or rewrite origin_host"
        )
    return Prepared(source, conversations, clients, findings, options, rewriter)


def play(prepared: Prepared, target: Target, progress: Progress | None = None) -> Result:
    """Play it against a server, on a reactor of this process."""
    options, rewriter = prepared.options, prepared.rewriter
    comparer = Comparer(options.rules) if options.compare else None
    outcome = Outcome(comparer, prepared.findings)
    player = Player(prepared.conversations, options.pace, _carrier_of(rewriter))
    report = run_on_own_reactor(
        lambda reactor: Replay(
            reactor, player, rewriter, outcome, target, prepared.clients, progress
        )
    )
    return Result(prepared.source, report, outcome)


def _carrier_of(rewriter: Rewriter) -> Callable[[str], str]:
    """Which connection carries the requests of a recorded host."""

    def client_of(recorded_host: str) -> str:
        return rewriter.rules.agent or rewriter.origin_host(recorded_host)

    return client_of


def _clients_of_capture(sessions: Sequence[RecordedSession], rewriter: Rewriter) -> dict[str, str]:
    hosts: dict[str, str] = {}
    for session in sessions:
        for exchange in session.exchanges:
            if exchange.origin_host not in hosts:
                hosts[exchange.origin_host] = origin_realm_of(exchange.request)
    return _clients(hosts, rewriter)


def _clients_of_usage(sessions: Sequence[UsageSession], rewriter: Rewriter) -> dict[str, str]:
    return _clients({one.origin_host: one.origin_realm for one in sessions}, rewriter)


def _clients(hosts: dict[str, str], rewriter: Rewriter) -> dict[str, str]:
    rules = rewriter.rules
    clients: dict[str, str] = {}
    for host, realm in hosts.items():
        name = rules.agent or rewriter.origin_host(host)
        clients.setdefault(name, first_match(rules.origin_realm, realm))
    return clients
