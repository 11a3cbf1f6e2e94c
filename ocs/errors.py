"""The one error tree of the server; every class has a stable code, raised anywhere, shown by cli.

    OcsError
    ├── UsageError              the caller asked for something that cannot be asked
    ├── RefusedError            a rule says no: nothing was changed
    │   ├── NotFoundError       the thing named does not exist
    │   ├── ConflictError       the thing exists already, or changed meanwhile
    │   └── DocumentError       a file with mistakes; carries every Problem
    └── FaultError              something outside our control failed
        ├── StoreUnavailableError   the database cannot be reached now; trying again may help
        ├── UnknownCommitError      the connection was lost while committing
        ├── StoreConflictError      a guarded write lost a race; the closure is to be run again
        ├── StoreUnusableError      the database can be reached but must not be used
        └── IntegrityError      stored money does not add up

Outcomes that the business expects (out of credit, unknown subscriber, duplicate) are return
values, never one of these.
"""

from __future__ import annotations

from dataclasses import dataclass


class OcsError(Exception):
    """Root of the tree. ``code`` is stable and may be matched by scripts."""

    code = "ocs.error"


class UsageError(OcsError):
    """The call itself is wrong: unknown option value, contradictory arguments."""

    code = "ocs.usage"


class RefusedError(OcsError):
    """A rule forbids it. Nothing was changed."""

    code = "ocs.refused"


class NotFoundError(RefusedError):
    """The subscriber, account, session, entry, peer or catalogue named does not exist."""

    code = "ocs.not-found"


class ConflictError(RefusedError):
    """It exists already, or somebody else changed it first."""

    code = "ocs.conflict"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a document: where it is and what to do about it.

    ``line`` and ``column`` count from 1; 0 means that the place is not known.
    """

    message: str
    source: str = ""
    line: int = 0
    column: int = 0
    path: str = ""

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}:{self.column}" if self.line else self.source
        where = f" ({self.path})" if self.path else ""
        return f"{place}: {self.message}{where}" if place else f"{self.message}{where}"


class DocumentError(RefusedError):
    """A document was refused whole; ``problems`` lists every mistake found in it."""

    code = "ocs.document"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class FaultError(OcsError):
    """Something outside the rules failed; the request changed nothing."""

    code = "ocs.fault"


class StoreUnavailableError(FaultError):
    """The database cannot be reached or refuses work at the moment."""

    code = "ocs.store.unavailable"


class UnknownCommitError(StoreUnavailableError):
    """The connection was lost during COMMIT: only the stored answers tell whether it happened."""

    code = "ocs.store.unknown-commit"


class StoreConflictError(FaultError):
    """A guarded write did not match: another writer was first. Run the closure again."""

    code = "ocs.store.conflict"


class StoreUnusableError(FaultError):
    """The database answers but must not be used: too new, not durable, wrong schema."""

    code = "ocs.store.unusable"


class IntegrityError(FaultError):
    """An invariant of stored money does not hold."""

    code = "ocs.integrity"
