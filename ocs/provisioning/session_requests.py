"""What clients of open sessions are asked: by hand, what waits, and who is asked after a change.

A request is a row that the running server sends (RFC 8506 5.5, RFC 6733 8.5); it may come from
another process than the server. Called by the command line.
"""

from collections.abc import Iterator
from typing import Any

from ocs.charging.model.messages import RequestKind
from ocs.charging.model.profile import GENERIC, ClientProfile
from ocs.charging.model.server_requests import (
    Command,
    RequestState,
    ServerRequest,
    Situation,
    Trigger,
    concerned,
    for_session,
)
from ocs.charging.model.session import Session, SessionState, make_session_key
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.errors import NotFoundError, RefusedError
from ocs.provisioning.desk import Desk
from ocs.provisioning.instants import format_instant
from ocs.provisioning.sessions import find
from ocs.provisioning.views import server_request_view
from ocs.store.reports import PAGE_ROWS

ASKED_MAX = 100
"""Sessions that are looked at to say who will be asked."""
FAMILY_MAX = 1000
"""Sub-sessions that are ended together."""


def listing(
    desk: Desk, *, account_id: int = 0, session_key: bytes = b"", unfinished: bool = True,
    limit: int = 0,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Yield what clients are asked, newest first, page by page; ``limit`` 0 means all."""
    before, left = 0, limit or -1
    while left:
        size = PAGE_ROWS if left < 0 else min(left, PAGE_ROWS)
        page = desk.reports.server_requests(
            before, size, account_id=account_id, session_key=session_key, unfinished=unfinished
        )
        for row in page:
            yield server_request_view(row)
        if len(page) < size:
            return
        before = page[-1].server_request_id
        left = left - len(page) if left > 0 else left


def find_request(desk: Desk, account_id: int, request_id: int) -> ServerRequest:
    """Return one request as it stands now. Raises NotFoundError."""
    row = desk.reports.server_request(account_id, request_id)
    if row is None:
        raise NotFoundError(f"request {request_id} to a client was pruned")
    return row


def reauth(
    desk: Desk, session_id: str, sub_session_id: int | None, *,
    rating_group: int | None = None, service_identifier: int | None = None,
    pool: int | None = None,
) -> ServerRequest:  # fmt: skip
    """Have the client of an open session asked to report, about one quota, one pool or all.

    One that waits already is returned instead of a second. Raises NotFoundError, and RefusedError
    when the session is over or the client is known not to act on it.
    """
    session = find(desk, session_id, sub_session_id)
    key = make_session_key(session_id, sub_session_id)
    _refuse_closed(session)
    if not _profile(desk, session).reacts_to_reauth:
        raise RefusedError(
            f"clients of profile '{session.profile}' answer a re-authorisation and do nothing; "
            f"the session reports {_reports_by(session)} by itself"
        )
    waiting = _waiting(desk, session.account_id, key, Command.RE_AUTH)
    about = (rating_group, service_identifier, pool)
    for row in waiting:
        if (row.rating_group, row.service_identifier, row.pool) == about:
            return row

    def decide(working_set: WorkingSet) -> ServerRequest:
        loaded = _open_one(working_set, key, session_id)
        row = for_session(
            working_set.new_request_id, key, loaded, Command.RE_AUTH, Trigger.OPERATOR,
            desk.clock.now_ns(), desk.operator,
        )  # fmt: skip
        row.rating_group, row.service_identifier, row.pool = about
        working_set.server_requests.append(row)
        working_set.actions.append(
            desk.action(
                "session reauth", session_id, session.account_id, request_id=row.server_request_id,
                rating_group=rating_group, service_identifier=service_identifier, pool=pool,
            )
        )  # fmt: skip
        return row

    names = [RequestKey(session.account_id, key, RequestKind.OPERATOR, 0)]
    return desk.store.transact(names, decide, "session reauth")


def abort(desk: Desk, session_id: str) -> tuple[dict[str, Any], ServerRequest | None]:
    """End an open session with its sub-sessions: nothing more is granted, the client is asked.

    Returns what was done, and the request to the client; None when it is known not to act on any.
    Its next report is refused then, which ends the session as well. Raises NotFoundError, and
    RefusedError when nothing of it is open.
    """
    family = desk.store.sessions_named(make_session_key(session_id, None), FAMILY_MAX)
    if not family:
        raise NotFoundError(
            f"there is no session {session_id}; closed sessions are kept for their tombstone time"
        )
    names = [
        RequestKey(one.account_id, one.session_key, RequestKind.OPERATOR, 0) for one in family
    ]
    waiting = [
        row
        for one in family
        for row in _waiting(desk, one.account_id, one.session_key, Command.ABORT_SESSION)
        if row.session_id == session_id
    ]

    def decide(working_set: WorkingSet) -> tuple[Session, int, ServerRequest | None]:
        found = [
            (key, session)
            for key, session in working_set.sessions.items()
            if session.session_id == session_id and session.state == SessionState.OPEN
        ]
        if not found:
            raise RefusedError(f"session {session_id} is closed already; nothing was changed")
        for key, session in found:
            if not session.aborted:
                session.aborted = True
                working_set.mark_session(key)
        # The Session-Id alone names them all to the client: one request is enough.
        key, session = min(found, key=lambda one: one[1].sub_session_id is not None)
        row = next(iter(waiting), None)
        command = _ending_command(_profile(desk, session))
        if row is None and command is not None:
            row = for_session(
                working_set.new_request_id, key, session, command, Trigger.OPERATOR,
                desk.clock.now_ns(), desk.operator,
            )  # fmt: skip
            working_set.server_requests.append(row)
        working_set.actions.append(
            desk.action(
                "session abort", session_id, session.account_id, sessions=len(found),
                request_id=row.server_request_id if row else 0,
            )
        )  # fmt: skip
        return session, len(found), row

    session, count, row = desk.store.transact(names, decide, "session abort")
    return {
        "session_id": session_id,
        "account_id": str(session.account_id),
        "sessions": count,
        "origin_host": session.origin_host,
        "note": _abort_note(session, row),
    }, row


def asked(desk: Desk, account_id: int, trigger: Trigger) -> list[dict[str, Any]]:
    """Return the sessions of an account that a change concerns, and whether they are asked.

    ``reports_by``: when the client reports by itself at the latest.
    """
    found = desk.store.open_sessions_of(account_id, (0, b""), ASKED_MAX)
    account = desk.reports.account(account_id)
    now = Situation(desk.clock.now_ns(), 0, account, desk.profiles)
    anybody = now._replace(profiles={})
    return [
        {
            "session_id": session.session_id,
            "sub_session_id": session.sub_session_id,
            "origin_host": session.origin_host,
            "asked": concerned(session, trigger, now) is not None,
            "reports_by": format_instant(_next_report_ns(session)),
        }
        for _, session in found.sessions
        if concerned(session, trigger, anybody) is not None
    ]


def _ending_command(profile: ClientProfile) -> Command | None:
    if profile.reacts_to_abort:
        return Command.ABORT_SESSION
    return Command.RE_AUTH if profile.reacts_to_reauth else None


def _abort_note(session: Session, row: ServerRequest | None) -> str:
    if row is None:
        return (
            f"clients of profile '{session.profile}' cannot be asked; the report that comes "
            f"{_reports_by(session)} is refused and ends the session"
        )
    if row.command == Command.RE_AUTH:
        return "the client is asked to report, and the report is refused"
    return "the client is asked to end the session"


def _profile(desk: Desk, session: Session) -> ClientProfile:
    return desk.profiles.get(session.profile, GENERIC)


def _next_report_ns(session: Session) -> int:
    """Return when a validity of the session ends first; 0 when it has none."""
    ends = [quota.expires_ns for quota in session.quotas if quota.expires_ns]
    return min(ends, default=0)


def _reports_by(session: Session) -> str:
    instant_ns = _next_report_ns(session)
    return f"by {format_instant(instant_ns)}" if instant_ns else "when it has something to report"


def _refuse_closed(session: Session) -> None:
    if session.state != SessionState.OPEN:
        raise RefusedError(f"session {session.session_id} is closed already; nothing was changed")


def _open_one(working_set: WorkingSet, key: bytes, session_id: str) -> Session:
    session = working_set.sessions.get(key)
    if session is None:
        raise NotFoundError(f"there is no session {session_id} any more")
    _refuse_closed(session)
    return session


def _waiting(desk: Desk, account_id: int, key: bytes, command: Command) -> list[ServerRequest]:
    """Return what an operator has asked of a session and was not sent yet."""
    rows = desk.reports.server_requests(
        0, PAGE_ROWS, account_id=account_id, session_key=key, unfinished=True
    )
    return [
        row
        for row in rows
        if row.state == RequestState.PENDING
        and row.command == command
        and row.trigger == Trigger.OPERATOR
    ]
