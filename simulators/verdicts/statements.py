"""What a charging server says of one subscriber after a run, in words that any server can say.

Made by whoever can read its books: `asking` from the answers of a command, and the command line
from this server's own ledger. `reconciling` compares them; None is what a server does not tell.
"""

from dataclasses import dataclass, field

from simulators.traffic.subscriber import Identities

Key = tuple[int | None, str]
"""Rating group and unit."""


@dataclass(slots=True)
class ChargedRequest:
    """One request as the books have it."""

    kind: int
    number: int
    used: dict[Key, int]


@dataclass(slots=True, kw_only=True)
class ChargedSession:
    """One session as the books have it."""

    charged_micro: int | None = None
    """What it cost, less what was given back."""
    price_micro: int | None = None
    """What it has to cost, where that can be computed apart from what was charged."""
    sponsored: dict[str, int] | None = None
    """What sponsors paid for it instead of the account, by their names."""
    sponsored_price: dict[str, int] | None = None
    """What they have to pay, where that can be computed apart from what they were charged."""
    used: dict[str, int] | None = None
    """Units of the whole session."""
    requests: list[ChargedRequest] | None = None


@dataclass(slots=True)
class Statement:
    """The books of one subscriber."""

    identities: Identities
    known: bool = True
    balance_micro: int | None = None
    """Held amounts included."""
    expected_balance_micro: int | None = None
    """What it has to be by everything that was ever entered."""
    held_micro: int | None = None
    topped_up_micro: int = 0
    """What came in during the run otherwise than by refunds, less what went out."""
    before_micro: int | None = None
    """The balance before the run."""
    sessions: dict[str, ChargedSession] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    """What the reader of the books found by itself."""

    @property
    def name(self) -> str:
        """What people call the subscriber."""
        kind, text = self.identities[0]
        return f"{kind}:{text}"
