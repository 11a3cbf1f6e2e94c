"""Asks clients to report or to end a session: RAR and ASR out, RAA and ASA in (RFC 8506 5.5, RFC
6733 8.3 and 8.5). What is asked stands in the database, see ``server_request_rows``.

``supervisor`` says once a second that it is time to look, ``charging`` when a transaction of this
server asked for something, ``diameter`` who is connected and what was answered. Reactor's thread;
the rows are looked at and written on the store's. Everything that waits is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from ocs.charging.model.server_requests import Action, Command, Step, Trigger
from ocs.errors import StoreConflictError, StoreUnavailableError
from ocs.service.asking.rows import Found, Job, ServerRequestRows
from ocs.service.batches.worker import DelayedCall, Loop, Worker
from ocs.service.peers.routes import OpenConnection, Route, Routes
from ocs.service.watching.masking import mask_session_id
from protocol.answers import Origin, ResultCode
from protocol.codec import Header
from protocol.errors import LocalProtocolError, ProtocolError
from protocol.peer_events import Capabilities
from protocol.session_commands import (
    SessionRequest,
    read_session_answer,
    sent_again,
    write_session_request,
)

WAYS_MAX = 2
"""A request goes out once, and once again by another way."""
CLAIM_MARGIN_SECONDS = 5.0
BUSY_SECONDS = 0.02
"""Pause between pieces of work while there is more to do."""
RESULTS_MAX = 20
"""Results written in one piece of work: charging waits behind it."""
EVENTS = (
    "sent",
    "sent-again",
    "agreed",
    "unknown-session",
    "refused",
    "undelivered",
    "unanswered",
    "given-up",
    "put-off",
)
"""What is counted of each command; see docs/operations.md."""

COMMAND_LABELS = ("re-auth", "abort")

_AUTHORIZE_ONLY = 0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AskLimits:
    """How patiently clients are asked, and how many at a time."""

    answer_seconds: float = 10.0
    max_in_flight: int = 1000
    max_in_flight_per_peer: int = 100
    sessions_per_second: int = 100
    """Asked because of a new catalogue, which concerns nearly all."""

    @property
    def claim_seconds(self) -> float:
        """How long a server may take over one request before another server takes it."""
        return WAYS_MAX * self.answer_seconds + CLAIM_MARGIN_SECONDS


class AskObserver(Protocol):
    """Counts by (command, event); see metrics.Metrics."""

    asked: dict[tuple[str, str], int]


class _Asked:
    """One request on its way: where it went, and what its answer waits for."""

    __slots__ = ("code", "job", "message", "places", "sendings", "timer", "tried")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.message = b""
        self.places: dict[tuple[OpenConnection, int], Route] = {}
        self.tried: set[str] = set()
        self.sendings = 0
        self.timer: DelayedCall | None = None
        self.code: int | None = None
        """The best result so far: None while it was never sent, 0 when nobody answered."""

    @property
    def command(self) -> str:
        return command_label(self.job.request.command)


class ServerRequests:
    """The requests of one server to its clients."""

    def __init__(
        self,
        loop: Loop,
        worker: Worker,
        rows: ServerRequestRows,
        routes: Routes,
        origin: Origin,
        end_to_end_ids: Callable[[], int],
        observer: AskObserver,
        limits: AskLimits = AskLimits(),
    ) -> None:
        self._loop = loop
        self._worker = worker
        self._rows = rows
        self._routes = routes
        self._origin = origin
        self._end_to_end_ids = end_to_end_ids
        self._count = observer.asked
        self._limits = limits
        self._open: dict[int, _Asked] = {}
        """By the id of the row, until its result is written."""
        self._places: dict[tuple[OpenConnection, int], _Asked] = {}
        self._results: list[tuple[Job, int | None]] = []
        self._writing = self._looking = self._look_again = self._stopped = False
        self._full = False
        """Some rows wait for others to be answered."""
        self._call: DelayedCall | None = None

    @property
    def in_flight(self) -> int:
        """Requests that wait for an answer or for their result to be written."""
        return len(self._open)

    # ---------------------------------------------------------------------- what is due

    def poll(self) -> None:
        """Look for what is due as soon as possible."""
        if self._looking:
            self._look_again = True
        elif self._call is None and not self._stopped:
            self._call = self._loop.callLater(0, self._look)

    def stop(self) -> None:
        """Take nothing more; what is on its way is finished or given back."""
        self._stopped = True
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _look(self) -> None:
        self._call = None
        self._looking, self._look_again = True, False
        reach, room = self._routes.reach(), self._limits.max_in_flight - len(self._open)
        in_flight = frozenset(self._open)
        self._worker.submit(lambda: self._rows.look(reach, room, in_flight), self._looked)

    def _looked(self, found: Found | None, error: BaseException | None) -> None:
        self._looking = False
        if found is None:
            _note_fault("what is to be asked of clients could not be read", error)
            return
        self._full = found.full
        for command in found.given_up:
            self._count[command_label(command), "given-up"] += 1
        for command in found.put_off:
            self._count[command_label(command), "put-off"] += 1
        for job in found.jobs:
            self._begin(job)
        if self._stopped:
            return
        if found.more:
            self._call = self._loop.callLater(BUSY_SECONDS, self._look)
        elif self._look_again:
            self.poll()

    # ---------------------------------------------------------------------------- sending

    def _begin(self, job: Job) -> None:
        request, target = job.request, job.target
        is_re_auth = request.command == Command.RE_AUTH
        said = SessionRequest(
            request.command,
            request.session_id,
            self._origin.host,
            self._origin.realm,
            target.origin_realm,
            target.origin_host,
            origin_state_id=self._origin.state_id or None,
            re_auth_request_type=_AUTHORIZE_ONLY if is_re_auth else None,
            # An abort is about the whole session: its command has no place for a part of it.
            sub_session_id=request.sub_session_id if is_re_auth else None,
            service_identifier=request.service_identifier,
            rating_group=request.rating_group,
            pool_identifier=request.pool,
        )
        asked = _Asked(job)
        self._open[request.server_request_id] = asked
        try:
            asked.message = write_session_request(said, 0, self._end_to_end_ids())
        except LocalProtocolError as error:
            _log.error("a request to a client cannot be written", error=str(error), exc_info=error)
            asked.code = ResultCode.UNABLE_TO_COMPLY
        if not asked.message or not self._send(asked):
            self._conclude(asked)

    def _send(self, asked: _Asked, *, retransmitted: bool = False) -> bool:
        """Send by the best way not tried yet; False when there is none or it was sent enough."""
        target = asked.job.target
        while asked.sendings < WAYS_MAX:
            by_any_agent = asked.job.by_any_agent or asked.sendings > 0
            route = self._routes.choose(target, asked.tried, by_any_agent=by_any_agent)
            if route is None:
                return False
            asked.tried.add(route.host)
            message = sent_again(asked.message) if retransmitted else asked.message
            try:
                place = route.conn, route.conn.send_request(message)
            except LocalProtocolError:
                continue  # it stopped taking requests meanwhile
            route.in_flight += 1
            asked.sendings += 1
            asked.code = asked.code or 0
            asked.places[place] = route
            self._places[place] = asked
            self._set_timer(asked)
            self._note_sending(asked, route)
            return True
        return False

    def _set_timer(self, asked: _Asked) -> None:
        if asked.timer is not None and asked.timer.active():
            asked.timer.cancel()
        asked.timer = self._loop.callLater(
            self._limits.answer_seconds, self._timed_out, asked
        )

    def _timed_out(self, asked: _Asked) -> None:
        if not self._send(asked, retransmitted=True):
            self._conclude(asked)

    def _forget(self, asked: _Asked, place: tuple[OpenConnection, int]) -> None:
        route = asked.places.pop(place)
        route.in_flight -= 1
        del self._places[place]

    # --------------------------------------------------------------------- from the peers

    def peer_up(self, conn: OpenConnection, said: Capabilities, *, is_agent: bool) -> None:
        """A connection opened."""
        self._routes.opened(conn, said, is_agent=is_agent)
        if conn.can_send_requests:
            self.peer_recovered(conn)

    def peer_updated(self, conn: OpenConnection, *, is_agent: bool) -> None:
        """An operator has changed what is known about a connected peer."""
        self._routes.is_agent(conn, is_agent)

    def peer_recovered(self, conn: OpenConnection) -> None:
        """Requests may be sent to this peer: what waits for it goes out now."""
        host = self._routes.host_of(conn)
        if not host or self._stopped:
            return

        def woken(more: bool | None, error: BaseException | None) -> None:
            if error is not None:
                _note_fault("what waits for a peer could not be read", error)
            elif more:
                self._worker.submit(lambda: self._rows.wake(host), woken)
            self.poll()

        self._worker.submit(lambda: self._rows.wake(host), woken)

    def peer_suspect(self, conn: OpenConnection) -> None:
        """The watchdog trusts this peer no longer: go by other ways, and still listen to it."""
        for place, asked in [*self._places.items()]:
            if place[0] is conn:
                self._send(asked, retransmitted=True)

    def peer_down(self, conn: OpenConnection) -> None:
        """The connection is gone: go by other ways."""
        self._routes.closed(conn)
        for place, asked in [*self._places.items()]:
            if place[0] is not conn:
                continue
            self._forget(asked, place)
            if not self._send(asked, retransmitted=True) and not asked.places:
                self._conclude(asked)

    def answer(self, conn: OpenConnection, header: Header, message: bytes) -> None:
        """An RAA or ASA came."""
        place = conn, header.hop_by_hop
        asked = self._places.get(place)
        if asked is None:
            return
        try:
            code = read_session_answer(message).result_code
        except ProtocolError as error:
            _log.warning(
                "an answer of a client cannot be read",
                origin_host=asked.job.target.origin_host,
                error=str(error),
            )
            code = ResultCode.UNABLE_TO_COMPLY
        asked.code = code
        self._forget(asked, place)
        # Who says that it cannot deliver has not delivered: that is no retransmission.
        if code // 1000 == 3 and (self._send(asked) or asked.places):
            self._count[asked.command, "undelivered"] += 1
            return
        self._conclude(asked)

    # ---------------------------------------------------------------------------- results

    def _conclude(self, asked: _Asked) -> None:
        if asked.timer is not None and asked.timer.active():
            asked.timer.cancel()
        for place in [*asked.places]:
            place[0].forget_request(place[1])
            self._forget(asked, place)
        self._count[asked.command, event_of(asked.code)] += 1
        self._results.append((asked.job, asked.code))
        self._write_results()

    def _write_results(self) -> None:
        if self._writing or not self._results:
            return
        self._writing = True
        results, self._results = self._results[:RESULTS_MAX], self._results[RESULTS_MAX:]

        def written(steps: Sequence[Step] | None, error: BaseException | None) -> None:
            self._writing = False
            if steps is None:
                # The claim runs out, and then they are asked again.
                _note_fault("the answers of clients could not be written down", error)
            for job, _ in results:
                self._open.pop(job.request.server_request_id, None)
            for (job, _), step in zip(results, steps or (), strict=False):
                if step.action is Action.GIVE_UP:
                    self._count[command_label(job.request.command), "given-up"] += 1
            self._write_results()
            if self._full:
                self.poll()

        self._worker.submit(lambda: self._rows.conclude(results), written)

    def _note_sending(self, asked: _Asked, route: Route) -> None:
        request = asked.job.request
        self._count[asked.command, "sent" if asked.sendings == 1 else "sent-again"] += 1
        # A new catalogue asks everybody; one line for each would drown the rest.
        log = _log.debug if request.trigger == Trigger.CATALOGUE else _log.info
        log(
            "client asked",
            command=asked.command,
            because=Trigger(request.trigger).label,
            session_id=mask_session_id(request.session_id),
            origin_host=asked.job.target.origin_host,
            by=route.host,
            sending=asked.sendings,
        )


def command_label(command: int) -> str:
    """Return the word for a command in logs and metrics."""
    return COMMAND_LABELS[command != Command.RE_AUTH]


def event_of(code: int | None) -> str:
    """Return under which of EVENTS a result is counted."""
    if code is None:
        return "put-off"
    if code == ResultCode.UNKNOWN_SESSION_ID:
        return "unknown-session"
    family = code // 1000
    return {0: "unanswered", 2: "agreed", 3: "undelivered", 4: "undelivered"}.get(
        family, "refused"
    )


def _note_fault(what: str, error: BaseException | None) -> None:
    if isinstance(error, StoreUnavailableError | StoreConflictError):
        _log.warning(what, error=str(error))
    else:
        _log.error(what, exc_info=error)
