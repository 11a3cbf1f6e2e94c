"""A desk on a real SQLite database with the black-box catalogue, and traffic charged on it.

The clock stands still until a test moves it. Used by the tests of provisioning and of the command
line.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ocs import yamldoc
from ocs.catalog.matching import CatalogIndex, normalise_context
from ocs.charging import engine, lifecycle
from ocs.charging.model.messages import (
    ChargingReply,
    ChargingRequest,
    EventAction,
    Identity,
    RequestKind,
    ServiceRequest,
    Units,
    UsedUnits,
)
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.clock import IdSource, ManualClock
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.catalogues.catalogs import Catalogues
from ocs.provisioning.customers.subscribers import NewSubscriber, add
from ocs.provisioning.desk import Desk
from ocs.provisioning.proof import audit
from ocs.store import dialects
from ocs.store.reading import Reader
from ocs.store.sql import SqlStore
from tests.support.tables import make_tables

CATALOGUE = Path(__file__).resolve().parents[2] / "config" / "catalogues" / "black-box.yaml"
NOON_NS = 1_767_614_400 * 10**9
"""2026-01-05T12:00:00Z, a Monday."""
MB = 1_000_000
DATA = "32251@3gpp.org"
SMS = "32274@3gpp.org"
NUMBER = "4915112345678"


@dataclass
class Office:
    """A desk with everything a test does around it."""

    desk: Desk
    clock: ManualClock
    url: str
    hashes: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    earlier: Iterator[int] = field(default_factory=lambda: itertools.count(2))
    """Nodes in the ids of accounts that were opened earlier."""

    @property
    def catalogues(self) -> Catalogues:
        return Catalogues(self.desk.store, self.desk.clock)

    def open_account(
        self, number: str = NUMBER, balance: int = 10_000_000, *, days_ago: int = 0, **more: Any
    ) -> int:
        """Add a subscriber of the plan ``basic``, now or earlier; return its account id."""
        new = NewSubscriber((Identity("msisdn", number),), "basic", balance, **more)
        desk = self.desk
        if days_ago:
            clock = ManualClock(self.clock.now_ns() - days_ago * 86_400 * 10**9)
            desk = replace(desk, clock=clock, ids=IdSource(clock, next(self.earlier)))
        return int(add(desk, new, self.catalogues.current())["account_id"])

    def ask(
        self,
        account_id: int,
        kind: RequestKind,
        number: int,
        *services: ServiceRequest,
        session: str = "pgw1;1;1",
        context: str = DATA,
        action: int = -1,
        reference: str = "",
        sub_session: int | None = None,
    ) -> ChargingReply:
        """Have a request decided and stored, as the server does it."""
        now_ns = self.clock.now_ns()
        request = ChargingRequest(
            session_id=session,
            session_key=make_session_key(session, sub_session),
            sub_session_id=sub_session,
            kind=kind,
            number=number,
            received_ns=now_ns,
            deadline_ns=0,
            content_hash=next(self.hashes),
            service_context=normalise_context(context),
            identities=(Identity("msisdn", NUMBER),),
            services=services,
            event_ns=now_ns,
            action=action,
            origin_host="pgw1.example.com",
            account_id=account_id,
            refund_reference=reference,
        )
        index = self.catalogues.current()
        decision_context = engine.DecisionContext(
            now_ns, 1, _Compiled(self.catalogues), index.catalog.version, self.desk.policy
        )
        return self.desk.store.transact(
            engine.keys_of(request),
            lambda working_set: engine.decide(request, working_set, decision_context),
        )

    def data_session(
        self, account_id: int, session: str = "pgw1;1;1", used: tuple[int, ...] = (7_300_000,),
        group: int = 100,
    ) -> None:  # fmt: skip
        """Open a session, report ``used`` octets one after the other, the last with the end."""
        self.ask(account_id, RequestKind.INITIAL, 0, wants(group), session=session)
        for number, octets in enumerate(used[:-1], start=1):
            self.clock.advance(10)
            self.ask(
                account_id, RequestKind.UPDATE, number, wants(group, octets), session=session
            )
        self.clock.advance(10)
        last = ServiceRequest(group, (), used=(UsedUnits(Units(octets=used[-1])),))
        self.ask(account_id, RequestKind.TERMINATION, len(used), last, session=session)

    def message(
        self, account_id: int, count: int = 1, session: str = "smsc;1", number: int = 0
    ) -> ChargingReply:
        """Debit short messages as an event."""
        asked = ServiceRequest(1, (), requested=Units(events=count))
        return self.ask(
            account_id, RequestKind.EVENT, number, asked, session=session, context=SMS,
            action=EventAction.DIRECT_DEBITING,
        )  # fmt: skip

    def expire_sessions(self) -> None:
        """Do what the supervisor does at this instant."""
        for due in self.desk.store.due_sessions(self.clock.now_ns(), 100):
            key = RequestKey(due.account_id, due.session_key, RequestKind.TIMER, 0)
            self.desk.store.transact([key], self._expire(key.session_key))

    def _expire(self, session_key: bytes) -> Callable[[WorkingSet], bool]:
        context = self.desk.decision_context()
        return lambda working_set: lifecycle.expire_session(working_set, session_key, context)

    def audited(self) -> audit.AuditResult:
        """Audit everything."""
        return audit.run(self.desk, self.catalogues)

    def must_be_clean(self) -> audit.AuditResult:
        """Audit and insist that everything adds up."""
        result = self.audited()
        assert not result.violations, result.violations[:5]
        return result


class _Compiled(dict[int, CatalogIndex]):
    """Catalogues by version, compiled when asked for."""

    def __init__(self, catalogues: Catalogues) -> None:
        super().__init__()
        self._catalogues = catalogues

    def get(self, version, default=None):
        return self._catalogues.version(version)

    def __missing__(self, version: int) -> CatalogIndex:
        return self._catalogues.version(version)


def wants(group: int, used: int = 0) -> ServiceRequest:
    """Return a part that asks for new quota and reports ``used`` octets, if any."""
    reports = (UsedUnits(Units(octets=used)),) if used else ()
    return ServiceRequest(group, (), requested=Units(), used=reports)


@contextmanager
def open_office(
    url: str, *, operator: str = "desk", reason: str = "test", publish: bool = True
) -> Iterator[Office]:
    """Yield an office on a new database with the black-box catalogue published."""
    make_tables(url)
    clock = ManualClock(NOON_NS)
    ids = IdSource(clock, 1)
    store = SqlStore(url, ids, allow_unsafe=True)
    engine_of_reports = dialects.open_engine(url, "plain", 2)
    desk = Desk(store, Reader(engine_of_reports), clock, ids, operator, reason)
    try:
        if publish:
            catalogs.publish(desk, yamldoc.read_text(CATALOGUE), "black-box.yaml")
        yield Office(desk, clock, url)
    finally:
        engine_of_reports.dispose()
        store.close()
