"""Servers that ask their clients: rows put into the store, gateways that read and answer them."""

from typing import Any

from ocs.charging.model.server_requests import (
    Command,
    RequestState,
    ServerRequest,
    Trigger,
    for_account,
    for_session,
)
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.store.interface import PeerEntry
from protocol.base import RELAY_APPLICATION, CapabilitiesExchangeRequest
from protocol.codec import Header
from protocol.session_commands import (
    SessionAnswer,
    SessionRequest,
    read_session_request,
    write_session_answer,
)
from tests.support.service import P1, Harness, Wire, ccr, mscc

P2, P3 = "dra1.net.example", "dra2.net.example"
SESSION = "pgw1.net.example;1;s1"
PEERS = (
    PeerEntry(P1),
    PeerEntry("pgw2.net.example"),
    PeerEntry(P2, relay=True),
    PeerEntry(P3, relay=True),
)
RELAY = {"auth_application_ids": (RELAY_APPLICATION,)}


def running(options=None, **kwargs: Any) -> Harness:
    """A server whose supervisor ticks."""
    harness = Harness(options={"peers": PEERS, **(options or {})}, **kwargs)
    harness.server.supervisor.start()
    harness.pass_time(1)
    return harness


def open_session(wire: Wire, session=SESSION, *, long=False, **changes: Any) -> None:
    """Open a session with a quota, or a ``long`` one without, that is supervised for hours."""
    quotas = () if long else (mscc(),)
    assert wire.ccr(ccr(1, 0, *quotas, session=session, **changes)).result_code == 2001


def insert(harness: Harness, *rows: ServerRequest) -> None:
    harness.store.transact([], lambda changes: changes.server_requests.extend(rows))


def ask(
    harness: Harness, session=SESSION, sub=None, command=Command.RE_AUTH, **changes: Any
) -> ServerRequest:
    """Put a row of an operator about one session into the store."""
    key = make_session_key(session, sub)
    found = next(one for one in harness.store.sessions_of(1001) if one.key == key)
    row = for_session(
        harness.ids.next_id, key, found, command, Trigger.OPERATOR, harness.clock.now_ns()
    )
    for name, value in changes.items():
        setattr(row, name, value)
    insert(harness, row)
    return row


def ask_all(harness: Harness, trigger: Trigger, account_id=1001) -> ServerRequest:
    """Put a row about all sessions of an account, or with 0 of all accounts, into the store."""
    row = for_account(harness.ids.next_id, account_id, trigger, harness.clock.now_ns())
    insert(harness, row)
    return row


def rows(harness: Harness) -> list[ServerRequest]:
    """The rows of single sessions, oldest first."""
    found = harness.store._server_requests.values()
    return sorted(
        (row for row in found if row.session_key), key=lambda row: row.server_request_id
    )


def states(harness: Harness) -> list[RequestState]:
    return [RequestState(row.state) for row in rows(harness)]


def asked(wire: Wire) -> list[tuple[Header, SessionRequest]]:
    """The RARs and ASRs that came since the last look; watchdogs are passed over."""
    return [
        (header, read_session_request(message, header))
        for header, message in wire.received()
        if header.is_request and header.application_id
    ]


def come_back(
    harness: Harness, host: str = P1, *, listen: bool = True
) -> tuple[Wire, list[tuple[Header, SessionRequest]]]:
    """Connect a gateway; return its wire, and what it is asked at once if that is listened to."""
    wire = Wire(harness)
    said = CapabilitiesExchangeRequest(
        host,
        "net.example",
        host_ip_addresses=("192.0.2.20",),
        vendor_id=0,
        product_name="gateway",
        auth_application_ids=(4,),
    )
    wire.send(said.write(1, 1))
    if listen:
        return wire, asked(wire)
    wire.buffer.feed(wire.transport.value())
    wire.transport.clear()
    assert wire.buffer.next_message() is not None
    return wire, []


def asked_once(wire: Wire) -> tuple[Header, SessionRequest]:
    (one,) = asked(wire)
    return one


def reply(wire: Wire, to: tuple[Header, SessionRequest], code=2002) -> None:
    """Answer an RAR or ASR."""
    header, request = to
    wire.send(
        write_session_answer(
            SessionAnswer(header.command_code, request.session_id, code, P1, "net.example"),
            header.hop_by_hop,
            header.end_to_end,
            header.is_proxiable,
            error=3000 <= code < 4000,
        )
    )


def named(number: int) -> str:
    return f"pgw1.net.example;1;{number}"


def change_session(harness, change, session=SESSION, account_id=1001):
    """Change a stored session as the engine would."""
    found = next(one for one in harness.store.sessions_of(account_id) if one.session_id == session)

    def decide(working_set: WorkingSet) -> None:
        change(working_set.sessions[found.key])
        working_set.mark_session(found.key)

    harness.store.transact([RequestKey(account_id, found.key, 2, 99)], decide)


def end_soon(harness, session=SESSION):
    """Let the client of a session have its last units."""

    def change(found) -> None:
        found.quotas[0].final = True

    change_session(harness, change, session)


def change_account(harness, **changes: object):
    """Change the stored account as an operator's command would."""

    def decide(working_set: WorkingSet) -> None:
        account = working_set.accounts[1001].account
        for name, value in changes.items():
            setattr(account, name, value)
        working_set.mark_account(account)

    harness.store.transact([RequestKey(1001, bytes(16), 2, 99)], decide)


def second_server(first):
    """Another server on the same store."""
    return running({"node": 2}, beside=first)
