"""Requests to clients as they stand in the database: which are due, for whom, what came of them.

The half of ``server_requests`` that runs on the store's thread, in bounded pieces. Every row is
changed under its version, so of several servers on one database one takes it; a row is taken
until an instant, so that another server goes on with it when this one has gone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from ocs.charging.model import server_requests
from ocs.charging.model.profile import ClientProfile
from ocs.charging.model.server_requests import (
    Action,
    Command,
    RequestState,
    ServerRequest,
    Situation,
    Step,
    Trigger,
)
from ocs.charging.model.session import Session
from ocs.clock import NS_PER_SECOND, Clock, IdSource
from ocs.errors import StoreConflictError, StoreUnavailableError
from ocs.service.peers.routes import FULL, Reach, Target
from ocs.service.timers.endings import SessionEndings
from ocs.service.watching.masking import mask_session_id
from ocs.store.interface import Store

PAGE = 100
"""Rows read, or sessions looked at, in one piece of work."""
WAKE_MAX = 1000
"""Rows that one statement makes due for a peer that is back."""
WRITES_MAX = 20
"""Transactions of one piece of work: charging waits behind it."""
AGENT_GRACE_NS = 2 * NS_PER_SECOND
"""So long a row is left to the server that has the client's own connection ..."""
ABSENT_GRACE_NS = 5 * NS_PER_SECOND
"""... and so long to a server that has a connection to any agent."""
ABSENT_MIN_NS = 15 * NS_PER_SECOND
ABSENT_MAX_NS = 3600 * NS_PER_SECOND
"""How soon a row is looked at again whose client nobody can reach: twice as late every time."""
NOBODY_THERE = "there is no connection to the client, nor to an agent"
CANNOT_BE_HANDLED = "it cannot be handled; the server's log says why"

_log = structlog.get_logger(__name__)


class Job(NamedTuple):
    """A row that this server has taken, to be sent now."""

    request: ServerRequest
    target: Target
    by_any_agent: bool = False
    """It has waited long enough for the client's own connection."""


@dataclass(slots=True)
class Found:
    """What one piece of work came to."""

    jobs: list[Job] = field(default_factory=list)
    given_up: list[int] = field(default_factory=list)
    """Commands of rows that were given up."""
    put_off: list[int] = field(default_factory=list)
    """Commands of rows whose client nobody can reach."""
    planned: list[tuple[ServerRequest, Callable[[], None]]] = field(default_factory=list)
    """Rows as they are to be written, and what is true once they are."""
    planned_jobs: int = 0
    writes: int = 0
    more: bool = False
    """There is more to be done at once."""
    full: bool = False
    """Some wait only because enough is on its way."""


class ServerRequestRows:
    """The rows of one database as one server sees them."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: IdSource,
        endings: SessionEndings,
        profiles: Mapping[str, ClientProfile],
        sells_as_before: Callable[[Session, int], bool],
        version_in_force: Callable[[], int],
        *,
        node: int,
        claim_seconds: float,
        sessions_per_second: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._endings = endings
        self._profiles = profiles
        self._sells_as_before = sells_as_before
        self._version_in_force = version_in_force
        self._node = node
        self._claim_ns = int(claim_seconds * NS_PER_SECOND)
        self._sessions_per_second = sessions_per_second
        self._after = (0, 0)
        self._made_more = False
        """The page of due rows before this one has made others due."""
        self._started_ns = clock.now_ns()

    # ------------------------------------------------------------------------ what is due

    def look(self, reach: Reach, room: int, in_flight: Collection[int]) -> Found:
        """Do one piece of what is due; ``room`` requests may be sent, ``in_flight`` are."""
        found = Found()
        now_ns = self._clock.now_ns()
        page = self._store.due_server_requests(now_ns, PAGE, self._after)
        if not page:
            self._begin_anew(found)
            return found
        version = self._version_in_force()
        situation = Situation(now_ns, version, None, self._profiles, self._sells_as_before)
        for request in page:
            if found.writes >= WRITES_MAX:
                found.more = True
                break
            self._after = (request.due_ns, request.server_request_id)
            if request.server_request_id in in_flight:
                continue
            if request.session_key and found.planned_jobs >= room:
                found.full = True
                continue
            self._handle(request, situation, reach, found)
        else:
            if len(page) == PAGE:
                found.more = True
            else:
                self._begin_anew(found)
        written = self._store.update_server_requests([row for row, _ in found.planned])
        for (_, done), was_written in zip(found.planned, written, strict=True):
            if was_written:
                done()
        return found

    def _handle(
        self, request: ServerRequest, situation: Situation, reach: Reach, found: Found
    ) -> None:
        try:
            if request.session_key:
                self._consider(request, situation, reach, found)
            else:
                self._spread(request, situation, found)
        except (StoreUnavailableError, StoreConflictError):
            raise
        except Exception:  # noqa: BLE001 -- logged; the others must not wait for it
            self._abandon(request)
            found.given_up.append(request.command)

    def _begin_anew(self, found: Found) -> None:
        """Everything due was looked at: begin at the front, at once if rows were made meanwhile."""
        self._after = (0, 0)
        found.more = found.more or self._made_more
        self._made_more = False

    def _spread(self, request: ServerRequest, situation: Situation, found: Found) -> None:
        """Make rows for the next sessions that a row without a session concerns."""
        if request.account_id:
            target = self._store.server_request_target(request.account_id, b"")
            situation = situation._replace(account=target[0] if target else None)
        after = (request.reached_account, request.reached_session)
        page = self._store.open_sessions_of(request.account_id, after, PAGE)
        names = [(session.account_id, key) for key, session in page.sessions]
        waiting = self._store.waiting_server_requests(names) if names else set()
        made = server_requests.spread(
            request,
            page,
            waiting,
            situation,
            self._ids.next_id,
            per_second=self._sessions_per_second,
        )
        if not page.last:
            request.due_ns = situation.now_ns
            if request.trigger == Trigger.CATALOGUE:
                # It concerns nearly everybody: go on when these have been asked.
                request.due_ns += len(made) * NS_PER_SECOND // self._sessions_per_second
        found.writes += 1
        if self._store.update_server_request(request, made):
            self._made_more = self._made_more or bool(made) or not page.last

    def _consider(
        self, request: ServerRequest, situation: Situation, reach: Reach, found: Found
    ) -> None:
        """Take a row of one session if this server can send it, or put it off if nobody can."""
        now_ns = situation.now_ns
        waited_ns = now_ns - max(request.due_ns, self._started_ns)
        by_any_agent = waited_ns >= AGENT_GRACE_NS
        by = reach.reserve(_target_of(request), by_any_agent=by_any_agent)
        if by == FULL or (by is None and not by_any_agent):
            found.full = found.full or by == FULL
            return
        known = self._store.server_request_target(request.account_id, request.session_key)
        account, session = known or (None, None)
        step = server_requests.before_sending(
            request, session, situation._replace(account=account)
        )
        if step.action is not Action.SEND or session is None:
            server_requests.apply(request, step, now_ns)
            self._plan(found, request, lambda: self._finished(request, step, found))
            return
        moved = _follow(request, session)
        if moved:
            by = reach.reserve(_target_of(request), by_any_agent=by_any_agent)
        if by:
            self._take(request, session, now_ns, found, by_any_agent=by_any_agent)
        elif moved or waited_ns >= ABSENT_GRACE_NS:
            # Another server may have the connection to which the session has moved.
            self._put_off(request, now_ns, now_ns if moved else 0, found)

    def _take(
        self,
        request: ServerRequest,
        session: Session,
        now_ns: int,
        found: Found,
        *,
        by_any_agent: bool,
    ) -> None:
        server_requests.mark_sent(request, now_ns)
        request.node, request.due_ns = self._node, now_ns + self._claim_ns
        target = Target(session.origin_host, session.origin_realm, session.peer)
        job = Job(request, target, by_any_agent)
        found.planned_jobs += 1
        self._plan(found, request, lambda: found.jobs.append(job))

    def _put_off(
        self, request: ServerRequest, now_ns: int, due_ns: int, found: Found
    ) -> None:
        """Leave a row to whoever can reach the client from ``due_ns`` on; 0 means after a while."""
        if request.state == RequestState.SENT:
            request.state = RequestState.PENDING
        request.due_ns = due_ns or now_ns + _patience_ns(request, now_ns)
        request.note = NOBODY_THERE
        self._plan(
            found, request, lambda: None if due_ns else found.put_off.append(request.command)
        )

    def _finished(self, request: ServerRequest, step: Step, found: Found) -> None:
        self._note(request, step)
        if step.action is Action.GIVE_UP:
            found.given_up.append(request.command)

    @staticmethod
    def _plan(found: Found, request: ServerRequest, done: Callable[[], None]) -> None:
        found.writes += 1
        found.planned.append((request, done))

    # ---------------------------------------------------------------------- what came of it

    def conclude(self, results: Collection[tuple[Job, int | None]]) -> list[Step]:
        """Write down what was answered: a Result-Code, 0 for no answer, None for never sent."""
        steps: list[Step] = []
        rows: list[ServerRequest] = []
        for job, code in results:
            try:
                steps.append(self._conclude(job.request, code))
            except (StoreUnavailableError, StoreConflictError):
                raise
            except Exception:  # noqa: BLE001 -- logged; the others must not wait for it
                steps.append(self._give_up(job.request))
            rows.append(job.request)
        written = self._store.update_server_requests(rows)
        for row, step, was_written in zip(rows, steps, written, strict=True):
            if was_written:
                self._note(row, step)
        return steps

    def _conclude(self, request: ServerRequest, result_code: int | None) -> Step:
        now_ns = self._clock.now_ns()
        if result_code is None:
            # The way was lost between taking and sending: as if it had not been taken.
            request.attempts -= 1
            step = Step(Action.WAIT, RequestState.PENDING, now_ns + ABSENT_MIN_NS, NOBODY_THERE)
        else:
            step = server_requests.after_answer(request, result_code, now_ns)
        if step.action is Action.RELEASE and not self._lose(request):
            step = server_requests.after_denial(request, now_ns)
        server_requests.apply(request, step, now_ns, result_code or 0)
        return step

    def _lose(self, request: ServerRequest) -> bool:
        """Release what a client does not know; False when there was nothing to release."""
        if request.command == Command.ABORT_SESSION:
            return self._endings.lose_all(request.session_id, request.sent_ns)
        return self._endings.lose(request.account_id, request.session_key, request.sent_ns)

    def _abandon(self, request: ServerRequest) -> None:
        self._give_up(request)
        self._store.update_server_request(request)

    def _give_up(self, request: ServerRequest) -> Step:
        """Give up a row that cannot be handled, because of what is stored about its session."""
        _log.exception(
            "a request to a client cannot be handled; it is given up",
            request_id=request.server_request_id,
            account_id=request.account_id,
            session_id=mask_session_id(request.session_id),
        )
        step = Step(Action.GIVE_UP, RequestState.GIVEN_UP, 0, CANNOT_BE_HANDLED)
        server_requests.apply(request, step, self._clock.now_ns())
        return step

    def wake(self, host: str) -> bool:
        """Make due what waits for a peer that is connected again; True while there is more."""
        woken = self._store.wake_server_requests(host, self._clock.now_ns(), WAKE_MAX)
        return woken >= WAKE_MAX

    @staticmethod
    def _note(request: ServerRequest, step: Step) -> None:
        if step.action in (Action.GIVE_UP, Action.RELEASE):
            _log.warning(
                "request to a client came to nothing",
                command=Command(request.command).name.lower(),
                session_id=mask_session_id(request.session_id),
                origin_host=request.origin_host,
                result_code=request.result_code,
                because=step.note,
            )


def _target_of(request: ServerRequest) -> Target:
    return Target(request.origin_host, "", request.peer)


def _follow(request: ServerRequest, session: Session) -> bool:
    """Note in a row where its session is now; True when that is somewhere else than before."""
    now = (session.origin_host, session.peer)
    moved = (request.origin_host, request.peer) != now
    request.origin_host, request.peer = now
    return moved


def _patience_ns(request: ServerRequest, now_ns: int) -> int:
    return min(max(now_ns - request.created_ns, ABSENT_MIN_NS), ABSENT_MAX_NS)
