"""What a customer is to be told: an outbox row, written with what made it happen.

Decisions append them to the working set; who delivers them reads the table in order of their ids.
"""

from __future__ import annotations

import msgspec


class Notification(msgspec.Struct):
    """One thing to tell about an account, in facts and not in words of a language."""

    account_id: int
    notification_id: int
    """Time-ordered."""
    at_ns: int
    kind: str
    """One of the kinds of charging.accounts.notices."""
    subscriber_id: int = 0
    """The member it is about; 0 is the account as a whole."""
    subject: str = ""
    """The bucket, service or limit it is about."""
    percent: int = 0
    """The threshold that was reached; 0 where there is none."""
    details: dict[str, int | str] = msgspec.field(default_factory=dict)
    """Amounts with their units in the names."""
