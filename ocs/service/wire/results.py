"""Which Result-Code says which outcome, per command and per service (RFC 8506 9, TS 32.299 6.4).

Used by ``mapping`` and, for the metrics' labels, by ``telemetry``.
"""

from __future__ import annotations

from ocs.charging.model.messages import Outcome
from protocol.answers import ResultCode

RESULT_CODES: dict[int, ResultCode] = {
    Outcome.SUCCESS: ResultCode.SUCCESS,
    Outcome.END_USER_SERVICE_DENIED: ResultCode.END_USER_SERVICE_DENIED,
    Outcome.NOT_APPLICABLE: ResultCode.CREDIT_CONTROL_NOT_APPLICABLE,
    Outcome.CREDIT_LIMIT_REACHED: ResultCode.CREDIT_LIMIT_REACHED,
    Outcome.UNKNOWN_SESSION: ResultCode.UNKNOWN_SESSION_ID,
    Outcome.NOT_ENTITLED: ResultCode.AUTHORIZATION_REJECTED,
    Outcome.INVALID_VALUE: ResultCode.INVALID_AVP_VALUE,
    Outcome.USER_UNKNOWN: ResultCode.USER_UNKNOWN,
    Outcome.RATING_FAILED: ResultCode.RATING_FAILED,
    Outcome.UNABLE_TO_COMPLY: ResultCode.UNABLE_TO_COMPLY,
    Outcome.TOO_BUSY: ResultCode.TOO_BUSY,
    Outcome.RESOURCES_EXCEEDED: ResultCode.RESOURCES_EXCEEDED,
}
"""Result-Code by outcome; tests hold it complete."""

OUTCOME_LABELS: dict[int, str] = {
    outcome: outcome.name.lower().replace("_", "-") for outcome in Outcome
}
"""The outcome as a label of metrics and log lines."""
