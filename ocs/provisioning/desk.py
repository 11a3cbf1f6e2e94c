"""The desk every use case works at: the store, the reports, time, ids, and who asks and why.

Made by the command line, later by the HTTP interface; used by every module of provisioning.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ocs.amounts import INT64_MAX
from ocs.charging.model.decision import DecisionContext, DecisionPolicy
from ocs.charging.model.messages import Identity
from ocs.charging.model.profile import PROFILES, ClientProfile
from ocs.clock import Clock, IdSource
from ocs.errors import NotFoundError, UsageError
from ocs.ledger.account import Identifier, OperatorAction
from ocs.provisioning.identities import candidates
from ocs.store.interface import Store
from ocs.store.ledger_reports import LedgerReports
from ocs.store.reading import Reader
from ocs.store.reports import Reports


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything a use case may touch."""

    store: Store
    reader: Reader
    clock: Clock
    ids: IdSource
    operator: str
    """Who asks; recorded with everything that is changed."""
    reason: str = ""
    """Why; recorded beside it."""
    policy: DecisionPolicy = field(default_factory=DecisionPolicy)
    """How long tombstones of sessions stay, as the server has it."""
    profiles: Mapping[str, ClientProfile] = field(default_factory=lambda: PROFILES)
    """What is known of each family of clients, as the server has it."""

    @property
    def reports(self) -> Reports:
        """Lists and look-ups."""
        return Reports(self.reader)

    @property
    def ledger(self) -> LedgerReports:
        """Ledger lines and records."""
        return LedgerReports(self.reader)

    def decision_context(self) -> DecisionContext:
        """Return what the verbs of charging.lifecycle want to know."""
        now_ns = self.clock.now_ns()
        version = self.store.catalogue_schedule().at(now_ns)
        return DecisionContext(now_ns, 0, {}, version, self.policy)

    def action(
        self, action: str, target: str, account_id: int = 0, **details: Any
    ) -> OperatorAction:
        """Return the entry that says who does ``action`` to ``target``, now, and why."""
        return OperatorAction(
            action_id=self.ids.next_id(),
            at_ns=self.clock.now_ns(),
            operator=self.operator,
            action=action,
            target=target,
            reason=self.reason,
            details=json.dumps(details, sort_keys=True) if details else "",
            account_id=account_id,
        )


@dataclass(frozen=True, slots=True)
class Found:
    """The account that a person's words named."""

    account_id: int
    subscriber_id: int
    name: str
    """What it was found by, ``kind:value``."""


def find_subscriber(desk: Desk, text: str) -> Found:
    """Return the account that ``text`` names: an identity, or ``account:ID``.

    Raises NotFoundError when nobody has this identity, UsageError when it cannot be one or when
    it means one subscriber as an MSISDN and another as an IMSI.
    """
    head, colon, tail = text.strip().partition(":")
    if colon and head.lower() == "account":
        return _by_account_id(desk, tail)
    wanted = candidates(text)
    return matching(text, wanted, desk.store.find(wanted))


def matching(
    text: str, wanted: Sequence[Identity], found: Mapping[Identity, Identifier]
) -> Found:
    """Return the account of the first of the ``wanted`` names that is among the ``found`` ones.

    ``text`` is what the names were made of. Raises NotFoundError, UsageError as find_subscriber.
    """
    if not wanted:
        raise UsageError(f"'{text}' names no subscriber")
    owners = {found[identity].account_id for identity in wanted if identity in found}
    if len(owners) > 1:
        raise UsageError(
            f"'{text}' is one subscriber's MSISDN and another one's IMSI; "
            f"write msisdn:{text} or imsi:{text}"
        )
    for identity in wanted:
        entry = found.get(identity)
        if entry is not None:
            return Found(entry.account_id, entry.subscriber_id, name_of(identity))
    raise NotFoundError(
        f"there is no subscriber {name_of(wanted[0])}; `ocs subscriber list` shows those there are"
    )


def name_of(identity: Identity) -> str:
    """Return an identity as ``kind:value``."""
    return f"{identity.kind}:{identity.value}"


def _by_account_id(desk: Desk, text: str) -> Found:
    if not text.isdecimal() or len(text) > 19 or int(text) > INT64_MAX:
        raise UsageError(f"'account:{text}' is no account; its id is a number")
    account_id = int(text)
    if desk.reports.account(account_id) is None:
        raise NotFoundError(f"there is no account {account_id}")
    return Found(account_id, 0, f"account:{account_id}")
