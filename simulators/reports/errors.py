"""Answers other than success, counted by kind, with the messages of one example of each.

`watcher` fills it; reports and the dashboard show it. Messages are decoded by `protocol.describe`.
"""

from dataclasses import dataclass

from protocol.answers import ResultCode
from protocol.describe import describe

ERRORS_MAX = 50
"""Kinds of errors that are told apart."""
DECODED_CHARACTERS_MAX = 20_000
"""Characters of a decoded example."""


@dataclass(frozen=True, slots=True)
class ErrorExample:
    """One kind of errors, and the first of them decoded; texts are empty where there is none."""

    what: str
    count: int
    request: str = ""
    answer: str = ""


@dataclass(slots=True)
class _Kind:
    request: bytes
    answer: bytes
    count: int = 0


class Errors:
    """Counts by kind."""

    def __init__(self) -> None:
        self._kinds: dict[str, _Kind] = {}
        self.others = 0
        """Errors of kinds beyond those that are told apart."""

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def note(self, what: str, request: bytes, answer: bytes) -> None:
        """Count one; its messages are kept if it is the first of its kind."""
        kind = self._kinds.get(what)
        if kind is None:
            if len(self._kinds) >= ERRORS_MAX:
                self.others += 1
                return
            kind = self._kinds[what] = _Kind(request, answer)
        kind.count += 1

    def add(self, other: "Errors") -> None:
        """Add what another one counted."""
        for what, kind in other._kinds.items():  # noqa: SLF001 - of the same class
            self.note(what, kind.request, kind.answer)
            if what in self._kinds:
                self._kinds[what].count += kind.count - 1
            else:
                self.others += kind.count - 1
        self.others += other.others

    def counts(self) -> list[tuple[str, int]]:
        """Kinds and how often, the most frequent first."""
        pairs = [(what, kind.count) for what, kind in self._kinds.items()]
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))

    def example(self, what: str) -> ErrorExample:
        """A kind with its first messages decoded."""
        kind = self._kinds[what]
        return ErrorExample(what, kind.count, decoded(kind.request), decoded(kind.answer))

    def result(self) -> list[ErrorExample]:
        """All kinds, the most frequent first."""
        found = [self.example(what) for what, _ in self.counts()]
        return [*found, ErrorExample("others", self.others)] if self.others else found


def decoded(message: bytes) -> str:
    """A message AVP by AVP, or what is wrong with it; empty of nothing."""
    return describe(message)[:DECODED_CHARACTERS_MAX] if message else ""


def code_in_words(code: int) -> str:
    """A result code with its name, where it has one."""
    try:
        name = ResultCode(code).name
    except ValueError:
        return str(code)
    return f"{code} {name.replace('_', ' ').lower()}"
