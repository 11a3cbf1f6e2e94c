"""What is wrong or worth knowing about a file that is read: problems and counted notes.

Filled by every reader of this package; a problem makes the run fail in the end, a note does not.
"""

from collections import Counter
from dataclasses import dataclass, field

PROBLEMS_MAX = 100


class UnusableError(Exception):
    """A file or a rule that nothing can be done with; its text says why."""


@dataclass(slots=True)
class Findings:
    """What readers found; what is already usable stays usable."""

    problems: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    """How often something occurred that is no fault, in words."""

    def problem(self, text: str) -> None:
        """Remember something that is wrong; beyond PROBLEMS_MAX it is only counted."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(text)
        else:
            self.notes["further problems"] += 1
