"""What a server asks its gateways in black-box tests, and the operator's commands that make it ask.

``next_asked`` waits for an RAR or ASR on a connection and checks what holds for every one of them;
``command`` runs the real command line in a process of its own.
"""

import json
import time
from typing import Any, NamedTuple

from ocs.charging.model.session import make_session_key
from ocs.provisioning import session_requests
from protocol import codec
from protocol.base import DeviceWatchdogRequest
from protocol.codec import Header
from protocol.session_commands import (
    SessionAnswer,
    SessionCommand,
    SessionRequest,
    read_session_request,
    write_session_answer,
    write_session_request,
)
from tests.support.blackbox import World
from tests.support.blackbox_client import OCS_HOST, OCS_REALM, Answer, Avp, Peer, avps_in
from tests.support.launcher import run_ocs

PATIENCE_SECONDS = 10.0
ASKING = (SessionCommand.RE_AUTH, SessionCommand.ABORT_SESSION)


def command(url: str, *arguments: str) -> Any:
    """Run a command of the operator's in another process and return its JSON."""
    done = run_ocs(*arguments, "--json", "--database", url)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Asked(NamedTuple):
    """An RAR or ASR as it came."""

    header: Header
    request: SessionRequest
    message: bytes

    @property
    def avps(self) -> list[Avp]:
        """The AVPs at the top."""
        return avps_in(self.message)


def next_asked(peer: Peer, session_id: str) -> Asked:
    """Wait for the next RAR or ASR about a session; answers that come first are kept."""
    kept = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while True:
            header, message = peer.next_message(deadline)
            if header.is_request and header.command_code in ASKING:
                asked = Asked(header, read_session_request(message, header), message)
                if asked.request.session_id == session_id:
                    return _checked(asked)
                answer(peer, asked, 2001)
            else:
                kept.append((header, message))
    finally:
        peer.keep(kept)


def _checked(asked: Asked) -> Asked:
    """Assert what holds for every request of ours (B-022, B-023, B-027; RFC 6733 8.3, 8.5)."""
    header, request = asked.header, asked.request
    assert header.flags & ~codec.FLAG_RETRANSMIT == codec.FLAG_REQUEST | codec.FLAG_PROXIABLE
    assert header.application_id == 4
    first = asked.avps[0]
    assert (first.code, first.payload) == (263, request.session_id.encode())
    assert (request.origin_host, request.origin_realm) == (OCS_HOST, OCS_REALM)
    assert request.auth_application_id == 4
    is_re_auth = header.command_code == SessionCommand.RE_AUTH
    assert request.re_auth_request_type == (0 if is_re_auth else None)
    return asked


def answer(peer: Peer, asked: Asked, code: int) -> None:
    """Send the RAA or ASA; 3xxx with the E flag."""
    header = asked.header
    value = SessionAnswer(
        header.command_code,
        asked.request.session_id,
        code,
        peer.origin_host,
        peer.origin_realm,
        proxy_infos=asked.request.proxy_infos,
    )
    peer.send(
        write_session_answer(
            value, header.hop_by_hop, header.end_to_end, error=3000 <= code < 4000
        )
    )


def asked_so_far(peer: Peer, session_id: str) -> int:
    """How many RARs and ASRs about a session have come, not taken yet; nothing is waited for."""
    request = DeviceWatchdogRequest(peer.origin_host, peer.origin_realm)
    peer.ask(request.write(*peer.ids()))
    found = peer.kept_requests()
    values = [read_session_request(message, header) for header, message in found]
    return sum(value.session_id == session_id for value in values)


def row_of(world: World, session_id: str, sub_session_id: int | None = None) -> dict[str, Any]:
    """What `ocs session requests` shows of the newest request about a session."""
    key = make_session_key(session_id, sub_session_id)
    rows = session_requests.listing(world.desk, session_key=key, unfinished=False, limit=1)
    return next(iter(rows), {"state": "none"})


def until_state(world: World, session_id: str, *states: str) -> dict[str, Any]:
    """Wait until the request about a session is in one of these states; return it."""
    world.eventually(lambda: row_of(world, session_id)["state"] in states)
    return row_of(world, session_id)


def terminate(peer: Peer, session_id: str, cause: int = 1) -> Answer:
    """End a session with an STR and return the STA, checked."""
    request = SessionRequest(
        SessionCommand.SESSION_TERMINATION,
        session_id,
        peer.origin_host,
        peer.origin_realm,
        OCS_REALM,
        termination_cause=cause,
    )
    return peer.ask_for(write_session_request(request, *peer.ids()))
