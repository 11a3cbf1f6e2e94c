"""Sessions about messages and money: one-time events, reserved units, refunds and questions.

Obeys RFC 8506 section 6 (IEC: one CCR-E) and TS 32.299 section 5.2.2 (ECUR: units are reserved with
a CCR-I and debited with a CCR-T; a refund names its debit). Pure, as `subscriber`, which see.
"""

import random
from collections import Counter
from dataclasses import dataclass

from protocol.credit_control import (
    CreditControlAnswer,
    ReportingReason,
    RequestedAction,
    RequestType,
)
from simulators.scenarios.services import Service
from simulators.traffic.quota import NEVER, ServiceReport
from simulators.traffic.subscriber import SUCCESS, Demand, Identities, Session

_LOGOUT = 1
_ENOUGH_CREDIT = 0
_SUCCESS_WORDS = {
    RequestedAction.DIRECT_DEBITING: "events charged",
    RequestedAction.REFUND_ACCOUNT: "refunded",
    RequestedAction.PRICE_ENQUIRY: "price told",
}


@dataclass(frozen=True, slots=True)
class Errand:
    """What a session about a message or money is for."""

    report: ServiceReport
    starts_at: float = 0.0
    action: RequestedAction = RequestedAction.DIRECT_DEBITING
    refund_information: bytes | None = None
    """Names the debit that is given back."""
    refund_after: float | None = None
    """A debit is given back after so many simulated seconds; None is never."""
    delivery_seconds: float = 0.0
    """What is reserved is delivered after so many seconds, if it is `delivered`."""
    delivered: bool = True


class _MessageSession(Session):
    """What sessions about one ServiceReport have in common."""

    def __init__(
        self,
        session_id: str,
        service: Service,
        identities: Identities,
        tally: Counter[str],
        destination: str,
        errand: Errand,
        dice: random.Random | None = None,
    ) -> None:
        super().__init__(session_id, service, identities, tally, destination, dice)
        self._errand = errand
        self._report = errand.report
        self._action = errand.action

    def _code_of(self, answer: CreditControlAnswer) -> int | None:
        part = answer.services[0] if answer.services else None
        code = answer.result_code
        if code in SUCCESS and part is not None and part.result_code is not None:
            code = part.result_code
        if code not in SUCCESS:
            self._tally[f"refused {code}"] += 1
        return code

    def _failed(self, request_type: RequestType, code: int | None = None) -> None:
        """Count what is delivered although nobody has charged it, if it is."""
        if self.on_failure.goes_on(request_type, code):
            self._tally["went on uncharged"] += 1
            self._tally[f"uncharged {self._report.unit.value}"] += self._report.wanted or 0

    def _debited(self, now: float, answer: CreditControlAnswer) -> None:
        """Let a refund follow where one is wanted and the answer says how to name the debit."""
        after = self._errand.refund_after
        if after is None:
            return
        part = answer.services[0] if answer.services else None
        token = answer.refund_information or (part.refund_information if part else None)
        if token is None:
            self._tally["no refund information"] += 1
            return
        refund = Errand(
            self._report,
            now + after,
            action=RequestedAction.REFUND_ACCOUNT,
            refund_information=token,
        )
        session_id = f"{self.session_id};refund"
        self.successor = EventSession(
            session_id,
            self.service,
            self.identities,
            self._tally,
            self.destination,
            refund,
            self.dice,
        )


class EventSession(_MessageSession):
    """One CCR-E, and it is over: a debit, a refund or a question (RFC 8506 sections 6.1 to 6.4)."""

    def next_instant(self) -> float:
        """At once, and only once."""
        return NEVER if self.asked or self.done else self._errand.starts_at

    def act(self, now: float) -> Demand | None:  # noqa: ARG002 - there is nothing to wait for
        """The CCR-E."""
        if self.asked or self.done:
            return None
        return self._send(
            RequestType.EVENT,
            [self._report],
            action=self._action,
            refund_information=self._errand.refund_information,
        )

    def answered(self, now: float, answer: CreditControlAnswer) -> None:
        """Count what came of it; a debit may be refunded later."""
        self.asked, self.done = None, True
        code = self._code_of(answer)
        if code not in SUCCESS:
            if self._action is RequestedAction.DIRECT_DEBITING:
                self._failed(RequestType.EVENT, code)
            return
        if self._action is RequestedAction.CHECK_BALANCE:
            enough = answer.check_balance_result == _ENOUGH_CREDIT
            self._tally["enough credit" if enough else "not enough credit"] += 1
            return
        self._tally[_SUCCESS_WORDS[self._action]] += 1
        if self._action is RequestedAction.DIRECT_DEBITING:
            self._tally[f"used {self._report.unit.value}"] += self._report.wanted or 0
            self._debited(now, answer)

    @property
    def keeps(self) -> bool:
        """Debits, unless they may go on uncharged, and refunds are kept (RFC 8506 section 6.5)."""
        if self._action is RequestedAction.DIRECT_DEBITING:
            return not self.on_failure.goes_on(RequestType.EVENT)
        return self._action is RequestedAction.REFUND_ACCOUNT

    def unanswered(self, now: float) -> None:  # noqa: ARG002
        """Count it; nobody knows whether it was charged."""
        self._tally["unanswered"] += 1
        if self._action is RequestedAction.DIRECT_DEBITING:
            self._failed(RequestType.EVENT)
        self.asked, self.done = None, True

    def finish(self, now: float) -> None:  # noqa: ARG002 - no instant is too late for it
        """What was not sent yet never is, such as a refund that is due later."""
        self.done = self.asked is None


class ReservedEventSession(_MessageSession):
    """Units reserved with a CCR-I, and debited, or not, with the CCR-T (ECUR)."""

    _ends_at: float | None = None
    """When it is delivered, or would be; None before it is reserved."""
    _gone = False
    """Whether it has been delivered."""

    def next_instant(self) -> float:
        """When it is sent, and when it is delivered."""
        if self.asked or self.done:
            return NEVER
        return self._errand.starts_at if self._ends_at is None else self._ends_at

    def act(self, now: float) -> Demand | None:
        """The CCR-I, then the CCR-T."""
        if self.asked or self.done:
            return None
        report = self._report
        if self._ends_at is None:
            self._ends_at = now + self._errand.delivery_seconds
            return self._send(RequestType.INITIAL, [report])
        self._gone = self._errand.delivered
        used = (report.wanted or 0) if self._gone else 0
        last = ServiceReport(
            report.rating_group,
            report.service_identifier,
            report.unit,
            None,
            used,
            ReportingReason.FINAL,
        )
        return self._send(RequestType.TERMINATION, [last], _LOGOUT)

    def answered(self, now: float, answer: CreditControlAnswer) -> None:
        """Go on after the reservation; after the debit it is over."""
        demand, self.asked = self.asked, None
        code = self._code_of(answer)
        if demand is None or demand.request_type is RequestType.INITIAL:
            self.done = code not in SUCCESS
            self._tally["reserved"] += not self.done
            if self.done and self._errand.delivered:
                self._failed(RequestType.INITIAL, code)
            return
        self.done = True
        if code in SUCCESS:
            self._tally["events charged" if self._gone else "not delivered"] += 1
            if self._gone:
                self._debited(now, answer)

    def unanswered(self, now: float) -> None:  # noqa: ARG002
        """Count it; the reservation ends on its own."""
        demand, self.asked = self.asked, None
        self._tally["unanswered"] += 1
        reserves = demand is not None and demand.request_type is RequestType.INITIAL
        if reserves and self._errand.delivered:
            self._failed(RequestType.INITIAL)
        self.done = True

    def finish(self, now: float) -> None:
        """Deliver what is reserved at once; what was not sent yet never is."""
        if self._ends_at is None:
            self.done = True
        else:
            self._ends_at = min(self._ends_at, now)
