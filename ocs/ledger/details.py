"""What is kept of an account beside its amounts and changes rarely; one blob of its row.

Fields are only appended, each with the default that holds for an account that knows nothing of it.
"""

from __future__ import annotations

import msgspec


class AccountDetails(msgspec.Struct, omit_defaults=True):
    """Life cycle, recurring charges and the customer's own limits."""


NOTHING = AccountDetails()
"""To compare with, never to change."""
