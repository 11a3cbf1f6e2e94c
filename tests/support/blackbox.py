"""A real server with accounts and peers for the black-box tests, and its balances read beside it.

The database is read with the project's own use cases while the server writes to it, which is
itself a promise of the server. Times are moved with the server's test clock.
"""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

from ocs.amounts import parse_amount
from ocs.charging.model.messages import Identity
from ocs.charging.model.server_requests import Action, RequestState, Step, apply
from ocs.charging.model.session import SessionState
from ocs.clock import FileClock, IdSource
from ocs.errors import NotFoundError
from ocs.provisioning import sessions
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.catalogues.catalogs import Catalogues
from ocs.provisioning.customers import accounts, subscribers
from ocs.provisioning.desk import Desk, Found
from ocs.provisioning.proof import audit
from ocs.provisioning.usage import reviews
from ocs.store import dialects
from ocs.store.reading import Reader
from ocs.store.sql import SqlStore
from tests.support.blackbox_client import Peer
from tests.support.launcher import forked_ocs
from tests.support.ocs_process import CATALOGUE, OcsProcess
from tests.support.tables import make_tables

DESK_NODE = 202
CLOCK_REREAD_SECONDS = 0.06
"""A server's test clock looks at its file at least every 50 ms."""
PATIENCE_SECONDS = 15.0
POLL_SECONDS = 0.03

OLD_CONTEXT = "open5gs-smfd@open5gs.org"
ZERO_GRANT_PLAN = """
  zero-grant:
    name: Data; an empty account is told so with a grant of nothing
    final_unit: {action: terminate, zero_grant: true}
    services:
      data: {price: 0.05, per: 1 MB, increment: 1 MB}
"""

OPENING: dict[str, dict[str, Any]] = {
    "A1": {"balance": "10.00"},
    "A2": {"balance": "0.23"},
    "A3": {"balance": "0"},
    "A4": {"balance": "10.00", "blocked": True},
    "A5": {"balance": "0.10", "limit": "0.50"},
    "A7": {"balance": "1.00"},
    "A8": {"balance": "0", "plan": "redirect"},
    "A9": {"balance": "0.23", "plan": "redirect"},
}
"""The accounts of the test list; every test opens its own under fresh names."""


def catalogue_text() -> str:
    """Return the catalogue of the list, with what a few tests need besides."""
    text = CATALOGUE.read_text(encoding="utf-8")
    calls = "rating_groups: [10]\n"
    assert calls in text
    # Rating group 100 of calls is what Kamailio sends unless it is told otherwise.
    text = text.replace(calls, "rating_groups: [10, 100]\n")
    data = "contexts: 32251@3gpp.org\n    rating_groups: [100]\n"
    assert data in text
    # Open5GS before 2.6.2 had a context of its own.
    text = text.replace(data, data.replace("32251@3gpp.org", f"[32251@3gpp.org, {OLD_CONTEXT}]"))
    return text + ZERO_GRANT_PLAN


class Subscriber(NamedTuple):
    """One subscriber of a test."""

    account_id: int
    msisdn: str
    imsi: str
    sip: str

    @property
    def found(self) -> Found:
        return Found(self.account_id, self.account_id, f"msisdn:{self.msisdn}")


class World:
    """One server process, its database and its clock; ``make`` makes the process."""

    def __init__(
        self,
        directory: Path,
        url: str = "",
        make: Callable[..., OcsProcess] = forked_ocs,
        **sections: dict[str, Any],
    ) -> None:
        charging = {"answer_within_ms": 10_000, **sections.pop("charging", {})}
        self.server = make(directory, url, test_clock=True, charging=charging, **sections)
        make_tables(self.server.url)
        assert self.server.clock_file is not None
        self.server.clock_file.write_text("0", encoding="ascii")
        self.offset = 0
        self.clock = FileClock(self.server.clock_file)
        ids = IdSource(self.clock, DESK_NODE)
        self.store = SqlStore(self.server.url, ids, connections=2)
        self._engine = dialects.open_engine(self.server.url, "plain", 2)
        self.desk = Desk(self.store, Reader(self._engine), self.clock, ids, "tester", "black box")
        catalogs.publish(self.desk, catalogue_text(), "black-box.yaml")
        self.catalogues = Catalogues(self.store)
        self._numbers = itertools.count(1)
        self.expected_errors = 0
        """Error lines of the server's log that tests provoked on purpose."""

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.kill()
        self._engine.dispose()
        self.store.close()

    # ------------------------------------------------------------------------------- clock

    def now_ns(self) -> int:
        """Return the server's time."""
        return self.clock.now_ns()

    def advance(self, seconds: int) -> None:
        """Move the server's clock and return when it must have noticed."""
        self.offset += seconds
        self.server.set_clock(self.offset)
        threading.Event().wait(CLOCK_REREAD_SECONDS)

    def eventually(self, condition: Callable[[], bool]) -> None:
        """Wait until something comes true that the server does by itself."""
        pause = threading.Event()
        for _ in range(int(PATIENCE_SECONDS / POLL_SECONDS)):
            if condition():
                return
            pause.wait(POLL_SECONDS)
        raise AssertionError("it did not come true in time")

    @contextmanager
    def writes_held(self) -> Iterator[None]:
        """Keep everybody else from writing to the database, as a slow disk would."""
        engine = dialects.open_engine(self.server.url, "plain", 1)
        try:
            with engine.connect() as connection:
                if engine.dialect.name == "sqlite":
                    # It finds nothing to delete, and has the lock of a writer.
                    connection.exec_driver_sql("DELETE FROM account WHERE account_id = 0")
                else:
                    connection.exec_driver_sql("LOCK TABLE account, session, request")
                yield
                connection.rollback()
        finally:
            engine.dispose()

    # --------------------------------------------------------------------------- accounts

    def account(self, name: str = "A1", **changes: Any) -> Subscriber:
        """Open an account like one of the list, or with what ``changes`` says."""
        opening = {**OPENING[name], **changes}
        number = next(self._numbers)
        msisdn, imsi = f"1555{number:07d}", f"00102{number:010d}"
        uri = f"sip:user{number}@net.example"
        new = subscribers.NewSubscriber(
            (Identity("msisdn", msisdn), Identity("imsi", imsi), Identity("sip", uri)),
            opening.get("plan", "basic"),
            parse_amount(opening["balance"]),
            parse_amount(opening.get("limit", "0")),
        )
        shown = subscribers.add(self.desk, new, self.catalogues.current())
        subscriber = Subscriber(int(shown["account_id"]), msisdn, imsi, uri)
        if opening.get("blocked"):
            subscribers.set_blocked(self.desk, subscriber.found, blocked=True)
        return subscriber

    def top_up(self, subscriber: Subscriber, amount: str, reference: str = "") -> None:
        """What ``ocs account topup`` does."""
        accounts.top_up(self.desk, subscriber.found, amount, reference=reference)

    def money(self, subscriber: Subscriber) -> tuple[int, int]:
        """Return balance B and reservations R in micro units."""
        shown = accounts.show(self.desk, subscriber.account_id)
        return shown["balance_micro"], shown["held_micro"]

    def check_money(self, subscriber: Subscriber, balance: str, held: str) -> None:
        """Assert B and R."""
        assert self.money(subscriber) == (parse_amount(balance), parse_amount(held))

    def ledger(self, subscriber: Subscriber) -> list[dict[str, Any]]:
        """Return the account's ledger lines without its opening."""
        lines = accounts.ledger(self.desk, subscriber.account_id, 1000, 0)
        return [line for line in lines if line["side"] != "top-up"]

    def records(self, subscriber: Subscriber) -> list[Any]:
        """Return the charging records of the account, oldest first."""
        found = self.desk.ledger.requests_after(0, 1 << 62, account_id=subscriber.account_id)
        return list(found)

    def parked(self, subscriber: Subscriber) -> list[dict[str, Any]]:
        """Return what waits for a person to look at."""
        account_id = str(subscriber.account_id)
        return [one for one in reviews.listing(self.desk) if one["account_id"] == account_id]

    def orphans(self, subscriber: Subscriber) -> list[dict[str, Any]]:
        """Return what was parked for this account because its session was not open."""
        return [one for one in self.parked(subscriber) if one["kind"] == "orphan-usage"]

    def session_state(self, session_id: str, sub_session_id: int | None = None) -> str:
        """Return the state of a session, empty when there is none."""
        try:
            session = sessions.find(self.desk, session_id, sub_session_id)
        except NotFoundError:
            return ""
        return SessionState(session.state).name.lower()

    def check(self) -> None:
        """Assert the invariants over everything, and that the server logged no error.

        What is still to be asked of clients is dropped: a later test would be asked it.
        """
        for row in self.store.due_server_requests(1 << 62, 1000):
            apply(row, Step(Action.GIVE_UP, RequestState.GIVEN_UP), self.now_ns())
            self.store.update_server_request(row)
        result = audit.run(self.desk, self.catalogues)
        assert result.clean, [one.message for one in result.violations]
        errors = [line for line in self.server.log if line.get("level") in {"error", "critical"}]
        assert len(errors) == self.expected_errors, errors
        assert self.server.process is not None and self.server.process.poll() is None

    # ------------------------------------------------------------------------------- peers

    def connect(self, origin_host: str = "", **kwargs: Any) -> Peer:
        """Connect a socket; nothing is sent."""
        index = kwargs.pop("index", 0)
        host = origin_host or "pgw1.net.example"
        return Peer(self.server.addresses[index], host, self.now_ns, **kwargs)

    def peer(self, origin_host: str = "", **said: Any) -> Peer:
        """Connect as a known peer and exchange capabilities."""
        peer = self.connect(origin_host)
        assert peer.open(**said).result_code == 2001
        return peer
