"""Requests that the server makes of a client (RFC 8506 5.5, RFC 6733 8.3 and 8.5): Re-Auth, Abort.

Whatever changes the ground under open sessions (a top-up, a block, a new plan or catalogue) leaves
a row in its own transaction; the server spreads a row over the sessions it concerns, sends, and
reads the answer. Pure: called by ledger-changing use cases, lifecycle and service's dispatcher.

A row's way: PENDING -> SENT -> ANSWERED (the client has agreed, its report is awaited) -> DONE,
or GIVEN_UP, after which the session's own timer is the backstop. A row without a session key is
first spread over the open sessions of its account, or of all accounts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from enum import IntEnum
from typing import NamedTuple

import msgspec

from ocs.charging.model.profile import GENERIC, NS_PER_SECOND, PROFILES, ClientProfile
from ocs.charging.model.session import OPEN, Session
from ocs.ledger.account import BARRED, BLOCKED, CLOSED, Account

_STOPPED = frozenset({BLOCKED, BARRED, CLOSED})
"""States in which open sessions are ended."""
ANSWER_SECONDS = 10
"""How long an answer is waited for before another route is tried."""
REPORT_SECONDS = 10
"""How long the report is waited for that a client has agreed to send (Tx)."""
RETRY_SECONDS = 15
"""Pause before a request is sent again after every route has failed."""
SENDINGS_MAX = 4
"""After so many sendings without an answer of use the session's timer is waited for."""
CATALOGUE_GRACE_SECONDS = 2
"""A batch that began before a catalogue was published may open a session of the older one."""
EXPIRY_GRACE_SECONDS = 10
"""A client reports by itself when its quota's validity ends with the bucket; asked only if not."""
CATALOGUE_SESSIONS_PER_SECOND = 100
"""How fast a new catalogue asks sessions to report: all at once would be a flood of our making."""


class Command(IntEnum):
    """What is sent: the command code. The numbers are stored."""

    RE_AUTH = 258
    ABORT_SESSION = 274


class Trigger(IntEnum):
    """What happened. The numbers are stored."""

    TOP_UP = 1
    """Any credit: top-up, correction upwards, refund."""
    BLOCK = 2
    PLAN_CHANGE = 3
    CATALOGUE = 4
    BUCKET_EXPIRY = 5
    OPERATOR = 6
    """One session, by hand."""
    LIFE_CYCLE = 7
    """The account's validity is over: what costs something is refused from the next report on."""

    @property
    def label(self) -> str:
        """The word operators see."""
        return self.name.lower().replace("_", "-")


class RequestState(IntEnum):
    """Where a request is on its way. The numbers are stored."""

    PENDING = 1
    SENT = 2
    ANSWERED = 3
    """The client has agreed; the report that it announced is awaited."""
    DONE = 4
    GIVEN_UP = 5


FINISHED = (RequestState.DONE, RequestState.GIVEN_UP)


class ServerRequest(msgspec.Struct):
    """One request to one client, or one still to be spread over sessions. Instants are ns UTC."""

    server_request_id: int
    account_id: int
    """0: all accounts (a new catalogue)."""
    session_key: bytes
    """Empty: still to be spread over the open sessions."""
    command: int
    trigger: int
    created_ns: int
    due_ns: int
    """When somebody has to look at it; while it is claimed, the end of the claim; 0 = finished."""
    rating_group: int | None = None
    service_identifier: int | None = None
    attempts: int = 0
    """How often it was sent."""
    agreed: int = 0
    """How often the client has announced a report."""
    state: int = RequestState.PENDING
    result_code: int = 0
    """The last answer's; 0 = none came."""
    node: int = -1
    """The server that claimed it last; -1 = none."""
    sent_ns: int = 0
    finished_ns: int = 0
    session_id: str = ""
    sub_session_id: int | None = None
    origin_host: str = ""
    """The client, and the connection it was last heard by, when the row was made."""
    peer: str = ""
    note: str = ""
    """What was decided about it, in words for an operator."""
    operator: str = ""
    reached_account: int = 0
    """How far it has been spread: the last session looked at, and how many rows came of it."""
    reached_session: bytes = b""
    spread: int = 0
    version: int = 0
    pool: int | None = None
    """The credit pool whose members are asked to report (RFC 8506 5.5)."""


class OpenSessions(NamedTuple):
    """A page of the open sessions of an account, or of all, by (account, session key)."""

    sessions: list[tuple[bytes, Session]]
    reached: tuple[int, bytes]
    """How far was looked: where the next page begins."""
    last: bool
    """Nothing follows."""


class Situation(NamedTuple):
    """What is known when a session is looked at."""

    now_ns: int
    catalogue_version: int = 0
    """The version in force; 0 = not looked up."""
    account: Account | None = None
    """None: not looked up, nothing is ruled out because of it."""
    profiles: Mapping[str, ClientProfile] = PROFILES
    sells_as_before: Callable[[Session, int], bool] | None = None
    """Tells whether a session's services cost in a version what they cost it now."""


class Action(IntEnum):
    """What the server does about a row."""

    SEND = 1
    WAIT = 2
    """Nothing before ``due_ns``."""
    FINISH = 3
    RELEASE = 4
    """The client does not know the session: release it as lost, then finish."""
    GIVE_UP = 5


class Step(NamedTuple):
    """The decision about a row: what to do, and what the row says afterwards."""

    action: Action
    state: RequestState
    due_ns: int = 0
    note: str = ""


def for_account(
    new_id: Callable[[], int], account_id: int, trigger: Trigger, now_ns: int, operator: str = ""
) -> ServerRequest:
    """Return the row that asks all open sessions of an account; ``account_id`` 0: of all."""
    command = Command.ABORT_SESSION if trigger is Trigger.BLOCK else Command.RE_AUTH
    grace = {
        Trigger.CATALOGUE: CATALOGUE_GRACE_SECONDS,
        Trigger.BUCKET_EXPIRY: EXPIRY_GRACE_SECONDS,
    }.get(trigger, 0)
    return ServerRequest(
        new_id(), account_id, b"", command, trigger, now_ns, now_ns + grace * NS_PER_SECOND,
        operator=operator,
    )


def for_session(
    new_id: Callable[[], int], session_key: bytes, session: Session, command: Command,
    trigger: Trigger, now_ns: int, operator: str = "",
) -> ServerRequest:
    """Return the row that asks one session."""
    return ServerRequest(
        new_id(), session.account_id, session_key, command, trigger, now_ns, now_ns,
        session_id=session.session_id, sub_session_id=session.sub_session_id,
        origin_host=session.origin_host, peer=session.peer, operator=operator,
    )


def concerned(session: Session, trigger: Trigger | int, situation: Situation) -> Command | None:
    """Return what the client of a session is to be asked because of ``trigger``; None: nothing.

    None also for a session that is over and for a client that would not act on it.
    """
    if session.state != OPEN:
        return None
    profile = situation.profiles.get(session.profile, GENERIC)
    if trigger == Trigger.BLOCK:
        if situation.account is not None and situation.account.status not in _STOPPED:
            return None
        if profile.reacts_to_abort:
            return Command.ABORT_SESSION
        # The report it sends instead is refused, which ends the session as well.
        return Command.RE_AUTH if profile.reacts_to_reauth else None
    if session.aborted and trigger != Trigger.OPERATOR:
        return None
    if profile.reacts_to_reauth and _CONCERNS[Trigger(trigger)](session, situation):
        return Command.RE_AUTH
    return None


def _ends_soon(session: Session, situation: Situation) -> bool:
    """Tell whether credit would change what the client does next (D17, C-048)."""
    if situation.account is not None and situation.account.status in _STOPPED:
        return False
    return any(quota.final or quota.restricted or quota.refused for quota in session.quotas)


def _other_plan(session: Session, situation: Situation) -> bool:
    account = situation.account
    return bool(session.quotas) and (account is None or account.plan != session.plan)


def _older_catalogue(session: Session, situation: Situation) -> bool:
    newest, same = situation.catalogue_version, situation.sells_as_before
    if not session.quotas or (newest and session.catalogue_version == newest):
        return False
    return same is None or not newest or not same(session, newest)


def _overdue(session: Session, situation: Situation) -> bool:
    """Tell whether the client still has a quota whose validity is over."""
    return any(
        quota.holds and 0 < quota.expires_ns <= situation.now_ns for quota in session.quotas
    )


_CONCERNS: dict[Trigger, Callable[[Session, Situation], bool]] = {
    Trigger.TOP_UP: _ends_soon,
    Trigger.PLAN_CHANGE: _other_plan,
    Trigger.CATALOGUE: _older_catalogue,
    Trigger.BUCKET_EXPIRY: _overdue,
    Trigger.OPERATOR: lambda _session, _situation: True,
    Trigger.LIFE_CYCLE: lambda session, _situation: bool(session.quotas),
}


def spread(
    request: ServerRequest, page: OpenSessions, waiting: Collection[tuple[bytes, int]],
    situation: Situation, new_id: Callable[[], int], *,
    per_second: int = CATALOGUE_SESSIONS_PER_SECOND,
) -> list[ServerRequest]:
    """Return the rows for the next sessions that a row concerns; note in it how far it came.

    ``page`` begins after ``reached_account``, ``reached_session``; ``waiting`` are the (session
    key, command) that are to be sent anyway; ``per_second`` holds for a new catalogue, which
    concerns nearly all. The rows and ``request`` are to be stored together.
    """
    now_ns, trigger = situation.now_ns, Trigger(request.trigger)
    made: list[ServerRequest] = []
    request.reached_account, request.reached_session = page.reached
    for key, session in page.sessions:
        command = concerned(session, trigger, situation)
        if command is None or (key, command) in waiting:
            continue
        row = for_session(new_id, key, session, command, trigger, now_ns, request.operator)
        if trigger is Trigger.CATALOGUE:
            row.due_ns += len(made) * NS_PER_SECOND // per_second
        request.spread += 1
        made.append(row)
    if page.last:
        note = f"{request.spread} sessions concerned"
        apply(request, Step(Action.FINISH, RequestState.DONE, 0, note), now_ns)
    return made


def before_sending(
    request: ServerRequest, session: Session | None, situation: Situation
) -> Step:
    """Return what to do about a due row of one session, loaded just now with its account."""
    now_ns = situation.now_ns
    if session is None or session.state != OPEN:
        return Step(Action.FINISH, RequestState.DONE, 0, "the session is over")
    is_abort = request.command == Command.ABORT_SESSION
    if request.sent_ns and not is_abort and session.last_request_ns > request.sent_ns:
        return Step(Action.FINISH, RequestState.DONE, 0, "the client has reported")
    if request.state == RequestState.ANSWERED and (is_abort or request.agreed > 1):
        return Step(Action.GIVE_UP, RequestState.GIVEN_UP, 0, _NOTHING_CAME)
    if not _still_needed(request, session, situation):
        return Step(Action.FINISH, RequestState.DONE, 0, "not needed any more")
    if request.attempts >= SENDINGS_MAX:
        return Step(Action.GIVE_UP, RequestState.GIVEN_UP, 0, _NO_ANSWER)
    return Step(Action.SEND, RequestState.SENT, now_ns + ANSWER_SECONDS * NS_PER_SECOND)


def _still_needed(request: ServerRequest, session: Session, situation: Situation) -> bool:
    """Tell whether there is still a reason to send, be it another one that came later.

    A second row is not made while one waits to be sent: that one has to serve for both.
    """
    triggers = {Trigger(request.trigger)}
    if request.command == Command.RE_AUTH and request.trigger != Trigger.BLOCK:
        triggers |= {Trigger.PLAN_CHANGE, Trigger.CATALOGUE}
    return request.trigger == Trigger.OPERATOR or any(
        concerned(session, trigger, situation) is not None for trigger in triggers
    )


_NOTHING_CAME = "the client agreed, but no report came; its session ends by its timer"
_NO_ANSWER = "no useful answer; the session ends by its timer"


def after_answer(request: ServerRequest, result_code: int, now_ns: int) -> Step:
    """Return what follows from the answer to a row that was sent; ``result_code`` 0: none came.

        answer          Re-Auth                               Abort-Session
        2001            a report is on its way: done          the final report follows: wait
        2002            a report follows: wait                as 2001
        other 2xxx      done                                  as 2001
        5002            the session is gone: release,         the session is gone: release,
                        unless it was heard from meanwhile    unless it was heard from meanwhile
        3002 3004, none sent again later, then given up       the same
        4xxx            sent again later, then given up       the same
        anything else   given up                              given up: the next report is refused

    RFC 8506 5.5 (2001, 2002), RFC 6733 8.1 and 8.5 (5002, refusals), 7.1.3 (3xxx).
    """
    is_abort = request.command == Command.ABORT_SESSION
    family = result_code // 1000
    if family == 2:
        if not is_abort and result_code != LIMITED_SUCCESS:
            return Step(Action.FINISH, RequestState.DONE, 0, "the client is reporting already")
        due_ns = now_ns + REPORT_SECONDS * NS_PER_SECOND
        return Step(Action.WAIT, RequestState.ANSWERED, due_ns, "the client's report is awaited")
    if result_code == UNKNOWN_SESSION_ID:
        return Step(Action.RELEASE, RequestState.DONE, 0, "the client does not know the session")
    if family in (0, 4) or result_code in _TRY_AGAIN:
        if request.attempts >= SENDINGS_MAX:
            return Step(Action.GIVE_UP, RequestState.GIVEN_UP, 0, _NO_ANSWER)
        due_ns = now_ns + RETRY_SECONDS * NS_PER_SECOND
        said = f"answered {result_code}" if result_code else "no answer"
        return Step(Action.WAIT, RequestState.PENDING, due_ns, f"{said}; sent again later")
    note = f"the client refused with {result_code}"
    if is_abort:
        note += "; its next report is refused"
    return Step(Action.GIVE_UP, RequestState.GIVEN_UP, 0, note)


def after_denial(request: ServerRequest, now_ns: int) -> Step:
    """Return what follows when a client denied (5002) a session that was not released for it.

    It is over already, or was heard from since the sending: then the client had the session all
    the same, and an agent led the request astray or the client answered before it had restarted.
    """
    if request.command == Command.RE_AUTH:
        note = "the session is over, or has reported since"
        return Step(Action.FINISH, RequestState.DONE, 0, note)
    if request.attempts >= SENDINGS_MAX:
        return Step(Action.GIVE_UP, RequestState.GIVEN_UP, 0, _NO_ANSWER)
    due_ns = now_ns + RETRY_SECONDS * NS_PER_SECOND
    note = "the client denies a session that was heard from since; sent again later"
    return Step(Action.WAIT, RequestState.PENDING, due_ns, note)


LIMITED_SUCCESS = 2002
UNKNOWN_SESSION_ID = 5002
_TRY_AGAIN = (3002, 3003, 3004)
"""Unable to deliver, realm not served, too busy: another route or another time may do."""


def mark_sent(request: ServerRequest, now_ns: int) -> None:
    """Note in a row that it is being sent; before it is claimed, so that both are one write."""
    request.state = RequestState.SENT
    request.attempts += 1
    request.sent_ns = now_ns


def apply(request: ServerRequest, step: Step, now_ns: int, result_code: int = 0) -> None:
    """Write a decision into its row; ``result_code`` of the answer it came from, if one did."""
    request.state = step.state
    request.due_ns = step.due_ns
    request.note = step.note
    if result_code:
        request.result_code = result_code
    if step.state is RequestState.ANSWERED:
        request.agreed += 1
    if step.state in FINISHED:
        request.finished_ns = now_ns
