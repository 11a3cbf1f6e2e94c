"""One account in memory with what recurs in its plan, whose clock is moved by hand."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from ocs import yamldoc
from ocs.amounts import parse_amount
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.versions import Announcement, Schedule
from ocs.charging.accounts import duties, recurring
from ocs.charging.model.decision import DecisionContext, DecisionPolicy
from ocs.charging.model.messages import RequestKind
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import AccountState, RequestKey, WorkingSet
from ocs.clock import IdSource, ManualClock
from ocs.ledger import entries
from ocs.ledger.account import (
    ACTIVE,
    Account,
    Bucket,
    Contra,
    Movement,
)
from ocs.ledger.invariants import check_account
from ocs.store.memory import MemoryStore

MADRID = ZoneInfo("Europe/Madrid")
NS = 10**9
HOUR, DAY = 3600, 86_400
KEY = RequestKey(1, make_session_key("agenda", None), RequestKind.TIMER, 0)
CATALOGUE = """
name: Recurring
currency: EUR
time_zone: Europe/Madrid
services:
  web:
    contexts: 32251@3gpp.org
    default: true
    unit: octets
    quota: {slice: 1 MB}
plans:
  monthly:
    notify: {renewal: true}
    services: {web: {price: 0.10, per: 1 MB, increment: 1 MB}}
    allowances:
      data: {unit: octets, amount: 31 GB, services: web}
      welcome: {unit: octets, amount: 1 MB}
    recurring:
      base: {every: month, day: 1, fee: 9.30, allowances: data, prorate: true,
             retry: [1 h, 6 h, 1 d]}
  strict:
    services: {web: {price: 0.10, per: 1 MB, increment: 1 MB}}
    recurring:
      base: {every: month, fee: 5, retry: 1 d, unpaid: bar}
  passes:
    services: {web: {price: 0.10, per: 1 MB, increment: 1 MB}}
    allowances: {day: {unit: octets, amount: 100 MB}}
    recurring:
      pass: {every: day, at: 06:00, allowances: day}
      line: {every: week, day: mon, fee: 1}
  plain:
    services: {web: {price: 0.10, per: 1 MB, increment: 1 MB}}
"""


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=MADRID).timestamp()) * NS


def shown(instant_ns: int) -> str:
    return datetime.fromtimestamp(instant_ns // NS, MADRID).isoformat(timespec="minutes")[:16]


class Desk:
    """One account in memory, whose clock is moved by hand."""

    def __init__(
        self, plan: str, balance: str, at: str = "2025-03-01T00:00", text: str = CATALOGUE
    ) -> None:
        self.clock = ManualClock(ns(at))
        self.ids = IdSource(self.clock, 1)
        self.store = MemoryStore(self.ids)
        self.catalogues: dict[int, CatalogIndex] = {}
        self.announced: list[Announcement] = []
        self.publish(text)
        self.store.transact([], lambda working_set: self._open(working_set, plan, balance))

    def publish(self, text: str) -> None:
        catalog = load_catalog(yamldoc.parse(text, "recurring.yaml"))
        version = len(self.catalogues) + 1
        self.catalogues[version] = CatalogIndex(replace(catalog, version=version))
        self.announced.append(Announcement(self.clock.now_ns(), version, at_once=True))
        self.schedule = Schedule(self.announced)

    @property
    def index(self) -> CatalogIndex:
        return self.catalogues[len(self.catalogues)]

    def context(self) -> DecisionContext:
        return DecisionContext(
            self.clock.now_ns(), 1, self.catalogues, len(self.catalogues), DecisionPolicy(),
            self.schedule.then,
        )

    def _open(self, working_set: WorkingSet, plan: str, balance: str) -> None:
        state = working_set.add_account(Account(1, "EUR", plan))
        main = Bucket(1, self.ids.next_id(), 0, entries.MAIN_BUCKET)
        working_set.add_bucket(main)
        self._credit(working_set, state, balance)
        recurring.begin(working_set, state, self.index, self.clock.now_ns())

    def _credit(self, working_set: WorkingSet, state: AccountState, amount: str) -> None:
        now_ns = self.clock.now_ns()
        posting = entries.Posting(self.ids.next_id(), now_ns, now_ns, contra=Contra.TOP_UP)
        entries.credit(working_set, entries.main_bucket(state), parse_amount(amount), posting)

    def change(self, act: Callable[[WorkingSet, AccountState], Any]) -> Any:
        return self.store.transact([KEY], lambda ws: act(ws, ws.accounts[1]))

    def top_up(self, amount: str) -> None:
        def act(working_set: WorkingSet, state: AccountState) -> None:
            self._credit(working_set, state, amount)
            recurring.try_again(working_set, state.account, self.clock.now_ns())

        self.change(act)

    def set_status(self, status: int) -> None:
        def act(working_set: WorkingSet, state: AccountState) -> None:
            state.account.status = status
            working_set.mark_account(state.account)
            if status == ACTIVE:
                recurring.try_again(working_set, state.account, self.clock.now_ns())

        self.change(act)

    def work(self) -> int:
        """What the supervisor does when it looks."""
        done = 0
        while self.store.due_accounts(self.clock.now_ns(), 1):
            done += self.store.transact(
                [KEY], lambda ws: duties.advance(ws, 1, self.context()), "due"
            )
        return done

    def sleep_until(self, at: str) -> None:
        """Let time pass without anybody who looks."""
        self.clock.advance((ns(at) - self.clock.now_ns()) // NS)

    def go_to(self, at: str, step_seconds: int = HOUR) -> None:
        """Let time pass, with a look every hour."""
        target = ns(at)
        while (left := (target - self.clock.now_ns()) // NS) > 0:
            self.clock.advance(min(left, step_seconds))
            self.work()

    @property
    def account(self) -> Account:
        state = self.store.account_state(1)
        assert state is not None
        return state.account

    def buckets(self, name: str) -> list[tuple[int, str]]:
        state = self.store.account_state(1)
        assert state is not None
        return [
            (bucket.available, shown(bucket.expires_ns) if bucket.expires_ns else "")
            for bucket in state.buckets if bucket.name == name
        ]  # fmt: skip

    def fees(self) -> list[tuple[str, int]]:
        return [
            (shown(line.event_ns), -line.amount)
            for line in self.store.movements(1) if line.contra == Contra.FEE
        ]  # fmt: skip

    def lines(self) -> list[Movement]:
        return self.store.movements(1)

    def told(self) -> list[tuple[str, Any]]:
        return [
            (one.kind, one.details.get("tries")) for one in self.store._notifications
        ]

    def check(self) -> None:
        state = self.store.account_state(1)
        assert state is not None
        moved: dict[int, int] = {}
        for line in self.lines():
            moved[line.bucket_id] = moved.get(line.bucket_id, 0) + line.amount
        assert check_account(state.account, state.buckets, moved, []) == []
