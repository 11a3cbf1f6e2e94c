"""Accounts learn what newly recurs in their plan when another catalogue comes into force (K-270).

Called by the supervisor on the store's thread, a page of accounts at a time. How far it has come is
a fact of the database, written with each page, so that a restart goes on and several servers share
the walk; to look at an account twice changes nothing. What does not recur any more, and what costs
something else, accounts see by themselves when they are due.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ocs.catalog.matching import CatalogIndex
from ocs.charging.accounts import recurring
from ocs.charging.model.decision import DecisionContext
from ocs.charging.model.messages import RequestKind
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.store.interface import Store

STEP = 100
"""Accounts looked at in one transaction."""
SETTING = "recurring"
"""Where the store keeps the version that all accounts know; while they are told of a newer one, it
is ``known newer last-account``."""


class Adopting:
    """The walk over accounts after a new catalogue; ``version_of`` loads what is not in memory."""

    def __init__(
        self, store: Store, make_context: Callable[[], DecisionContext],
        version_of: Callable[[int], CatalogIndex],
    ) -> None:
        self._store = store
        self._make_context = make_context
        self._version_of = version_of
        self._known = 0
        """The version that all accounts knew when this was looked at last."""

    def step(self) -> bool:
        """Tell one page of accounts; return whether there are more."""
        version = self._make_context().current_version
        if version == self._known:
            return False
        known, last = self._progress(version)
        if known == version:
            self._known = version
            return False
        plans = self._plans_with_more(known, version)
        page = self._store.accounts_of_plans(plans, last, STEP) if plans else []
        done = len(page) < STEP
        progress = str(version) if done else f"{known} {version} {page[-1]}"
        keys = [
            RequestKey(account_id, make_session_key("agenda", None), RequestKind.TIMER, 0)
            for account_id in page
        ]
        self._store.transact(
            keys, lambda loaded: self._adopt(loaded, page, version, progress), "what newly recurs"
        )
        return not done

    def _progress(self, version: int) -> tuple[int, int]:
        """Return which version all accounts know, and up to which they know this one."""
        known, _, rest = self._store.setting(SETTING).partition(" ")
        newer, _, last = rest.partition(" ")
        if newer == str(version):
            return int(known), int(last)
        return int(known or 0), 0

    def _plans_with_more(self, known: int, version: int) -> list[str]:
        old = self._version_of(known).catalog.plans if known else {}
        found = []
        for code, plan in self._version_of(version).catalog.plans.items():
            before = {item.code for item in old[code].recurring} if code in old else set()
            if not {item.code for item in plan.recurring} <= before:
                found.append(code)
        return found

    def _adopt(
        self, working_set: WorkingSet, page: Sequence[int], version: int, progress: str
    ) -> None:
        context = self._make_context()
        index = self._version_of(version)
        for account_id in page:
            state = working_set.accounts.get(account_id)
            if state is not None:
                recurring.adopt(working_set, state, index, context.now_ns)
        working_set.settings[SETTING] = progress
