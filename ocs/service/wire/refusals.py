"""Says in the log which requests are refused for a reason that somebody can mend.

Used by ``diameter``: a message that cannot be read, a subscriber or rating group that nobody knows.
A gateway with a wrong setting repeats its mistake with every request, so each mistake of a peer is
a warning once a minute, with the number of those left out since; at level debug all are said. A
session that a client ends because it could not use an answer is said in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from ocs.charging.model.messages import ChargingReply, Outcome
from ocs.clock import Clock
from ocs.service.watching.masking import mask, mask_session_id
from ocs.service.watching.quiet import Repeated
from ocs.service.wire.results import RESULT_CODES
from protocol.credit_control import SubscriptionId

_MENDABLE = frozenset({Outcome.USER_UNKNOWN, Outcome.RATING_FAILED, Outcome.INVALID_VALUE})
"""Outcomes that no subscriber causes by using a service."""

_log = structlog.get_logger(__name__)


class RefusalLog:
    """What was said about which peer, and when."""

    def __init__(self, clock: Clock) -> None:
        self._repeated = Repeated(clock)
        """Pairs of peer and Result-Code."""

    def unread(self, origin_host: str, session_id: str, result_code: int, reason: str) -> None:
        """Say that a request was refused before it could be decided."""
        self._say(f"request refused: {reason}", origin_host, session_id, result_code, ())

    def bad_answer(self, origin_host: str, session_id: str) -> None:
        """Say that a client ended a session with BAD_ANSWER (RFC 6733 8.15): ours was no use."""
        text = "a client ended a session because it could not use our answer"
        self._say(text, origin_host, session_id, 0, ())

    def decided(
        self,
        origin_host: str,
        session_id: str,
        reply: ChargingReply,
        subscriber: Iterable[SubscriptionId],
    ) -> None:
        """Say that a decision refused a request, or a service of it; pass over other replies."""
        if reply.outcome in _MENDABLE:
            code = RESULT_CODES[reply.outcome]
            text = f"request refused: {reply.reason}"
            self._say(text, origin_host, session_id, code, subscriber)
            return
        for service in reply.services:
            if service.outcome in _MENDABLE:
                code = RESULT_CODES[service.outcome]
                text = f"request refused: {service.reason}"
                self._say(text, origin_host, session_id, code, subscriber)
                return

    def _say(
        self,
        text: str,
        origin_host: str,
        session_id: str,
        result_code: int,
        subscriber: Iterable[SubscriptionId],
    ) -> None:
        due, left_out = self._repeated.left_out((origin_host, int(result_code)))
        say = _log.warning if due else _log.debug
        say(
            text,
            origin_host=origin_host,
            result_code=int(result_code),
            session_id=mask_session_id(session_id),
            subscriber=[mask(one.data) for one in subscriber],
            left_out=left_out,
        )
