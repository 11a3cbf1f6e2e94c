"""One thing that was expected of a run, and what was found: a line of its report (`report`).

Made by `simulators.verdicts` and by whoever compares a run with the books of the server.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """`name` says what it is about; the others are words for people, numbers included."""

    name: str
    ok: bool
    expected: str
    found: str
    books: bool = False
    """It is about the server's books: of several runs only their accounts together can tell."""

    def line(self) -> str:
        """For people."""
        found = f"found {self.found}"
        if self.ok:
            return f"  ok      {self.name}: {self.expected}; {found}"
        return f"  FAILED  {self.name}: expected {self.expected}; {found}"
