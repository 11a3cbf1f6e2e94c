"""Whether the books of a server agree with the simulator's own account of a run, or of several.

The books are in this server's database, or a command of `--check-with` reads them. Called by
`run` (by way of `verdicts`) and by `join`.
"""

from collections.abc import Sequence
from dataclasses import replace
from os import environ
from typing import TYPE_CHECKING

from ocs.cli.command import Run
from ocs.errors import OcsError, RefusedError, UsageError
from ocs.settings import DATABASE_URL_VARIABLE

if TYPE_CHECKING:
    from simulators.reports.verdict import Verdict
    from simulators.scenarios.model import Scenario
    from simulators.traffic.subscriber import Identities
    from simulators.verdicts.own_account import OwnAccount
    from simulators.verdicts.statements import Statement


class Books:
    """What a server has written down of the subscribers of these scenarios.

    `compared` is whether they are to agree even where no scenario expects it. Raises UsageError
    when nobody says where the books are, and RefusedError when they cannot be read.
    """

    def __init__(
        self, run: Run, scenarios: "Sequence[Scenario]", command: str | None, *, compared: bool
    ) -> None:
        self._run = run
        self._scenarios = scenarios
        self._command = command
        self._compared = compared
        self._before: dict[Identities, int] = {}
        for one in scenarios:
            if one.mode == "prepared":
                raise UsageError(
                    f"{one.name} is prepared load, of which no account is kept: only a scenario of"
                    " mode: subscribers can be compared with books"
                )
        named = (run.database_option, run.config, environ.get(DATABASE_URL_VARIABLE))
        if command is None and not any(named):
            raise UsageError(
                "the server's books are needed: give --database URL, or --check-with COMMAND"
            )
        if command is None:
            run.catalogues.current()  # that they cannot be read is found out now, not after a run

    def look_before(self) -> None:
        """Ask for the balances before a run, with which those after it have to agree."""
        if self._command is None:
            return
        from simulators.verdicts.asking import SUBSCRIBERS_MAX, CheckError, ask

        count = sum(one.subscriber_count for one in self._scenarios)
        if count > SUBSCRIBERS_MAX:
            raise UsageError(f"{count} subscribers are more than {SUBSCRIBERS_MAX}")
        everybody = [
            one.identities_of(position)
            for one in self._scenarios
            for position in range(one.subscriber_count)
        ]
        try:
            answers = ask(self._command, "before", [(one, []) for one in everybody])
        except CheckError as error:
            raise RefusedError(str(error)) from None
        self._before = {
            one.identities: one.balance_micro for one in answers if one.balance_micro is not None
        }

    def verdicts(self, own: "OwnAccount") -> "list[Verdict]":
        """What they say of everybody who did something."""
        from simulators.reports.verdict import Verdict
        from simulators.verdicts.asking import CheckError
        from simulators.verdicts.reconciling import judge_books, reconciled

        blocks = [block for one in self._scenarios for block in one.expect]
        groups = tuple(group for one in self._scenarios for group in one.subscribers)
        try:
            found = self._statements(own)
        except (CheckError, OcsError) as error:
            words = ("the server's books", False, "that they can be read", str(error))
            return [Verdict(*words, books=True)]
        verdicts = list(judge_books(list(dict.fromkeys(blocks)), groups, own, found))
        if self._compared and not any(block.reconciled for block in blocks):
            verdicts += reconciled(own, found)
        return [replace(one, books=True) for one in verdicts]

    def _statements(self, own: "OwnAccount") -> "list[Statement]":
        if self._command is None:
            from ocs.cli.simulate.books import statements

            return statements(self._run.desk, self._run.catalogues, own)
        from simulators.verdicts.asking import ask

        found = ask(
            self._command,
            "after",
            [
                (identities, [session.session_id for session in sessions])
                for identities, sessions in own.subscribers().items()
            ],
        )
        for one in found:
            one.before_micro = self._before.get(one.identities)
        return found
