"""What a gateway does when a request fails: the failure handling of a session (RFC 8506 5.7, 6.5).

It is what the gateway is configured to do until an answer says otherwise; the last answer counts.
Pure; every session has one, `gateway` asks it where a request may go, the session whether it goes
on without credit control.
"""

from dataclasses import dataclass
from enum import IntEnum

from protocol.credit_control import CreditControlAnswer, RequestType
from simulators.scenarios.model import Gateway

_FAILOVER_SUPPORTED = 1
_SERVICE_DENIED, _USER_UNKNOWN = 4010, 5030


class FailureHandling(IntEnum):
    """Credit-Control-Failure-Handling (section 8.14)."""

    TERMINATE = 0
    CONTINUE = 1
    RETRY_AND_TERMINATE = 2


class DebitFailureHandling(IntEnum):
    """Direct-Debiting-Failure-Handling (section 8.15)."""

    TERMINATE_OR_BUFFER = 0
    CONTINUE = 1


@dataclass(slots=True)
class OnFailure:
    """What is done when a request of a session fails."""

    handling: FailureHandling = FailureHandling.RETRY_AND_TERMINATE
    debits: DebitFailureHandling = DebitFailureHandling.TERMINATE_OR_BUFFER
    fails_over: bool = False
    """Whether the server has allowed that another one goes on with the session (section 8.4)."""

    def obey(self, answer: CreditControlAnswer) -> None:
        """Take over what an answer says; values that nobody knows are no instruction."""
        if answer.session_failover is not None:
            self.fails_over = answer.session_failover == _FAILOVER_SUPPORTED
        if answer.failure_handling in tuple(FailureHandling):
            self.handling = FailureHandling(answer.failure_handling)
        if answer.direct_debiting_failure_handling in tuple(DebitFailureHandling):
            self.debits = DebitFailureHandling(answer.direct_debiting_failure_handling)

    def retries(self, request_type: RequestType) -> bool:
        """Whether a request that has failed at one server may be sent to the other one."""
        return request_type is RequestType.EVENT or self.handling != FailureHandling.TERMINATE

    def goes_on(self, request_type: RequestType, result_code: int | None = None) -> bool:
        """Whether the service goes on without credit control; None is no answer at all.

        Some refusals are meant for the subscriber and always end it (section 7).
        """
        denied = result_code == _SERVICE_DENIED or (
            result_code == _USER_UNKNOWN and request_type is not RequestType.UPDATE
        )
        if request_type is RequestType.EVENT:
            return not denied and self.debits is DebitFailureHandling.CONTINUE
        return not denied and self.handling is FailureHandling.CONTINUE


def configured(gateway: Gateway) -> OnFailure:
    """What a gateway does until its server says otherwise."""
    return OnFailure(
        FailureHandling[gateway.failure_handling.upper()],
        DebitFailureHandling[gateway.debit_failure_handling.upper()],
    )
