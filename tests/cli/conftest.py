"""The command called in this process, on a database with something of everything in it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from ocs.charging.model.messages import RequestKind, ServiceRequest, Units, UsedUnits
from ocs.cli.main import main
from ocs.ledger.notification import Notification
from ocs.provisioning import peers
from ocs.provisioning.customers.accounts import ledger
from ocs.store.interface import PeerEntry
from tests.support.desks import MB, open_office, wants


class Ran(NamedTuple):
    """How one command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, read as JSON."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The error it printed, read as JSON."""
        return json.loads(self.err)["error"]


Cli = Callable[..., Ran]


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/ocs.db"


@pytest.fixture
def cli(url, monkeypatch) -> Cli:
    """Call ``ocs`` with arguments; the database is this test's own."""
    monkeypatch.setenv("OCS_DATABASE_URL", url)

    def run(*arguments: str, stdin: bytes | None = None) -> Ran:
        result = CliRunner().invoke(main, [str(one) for one in arguments], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture(scope="session")
def stock(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """Make a database with something of everything; every test gets a copy of the file."""
    file = tmp_path_factory.mktemp("stock") / "ocs.db"
    with open_office(f"sqlite:///{file}") as office:
        account_id = office.open_account()
        office.data_session(account_id, "pgw1;1;1", (1_400_000, 2_000_000))
        office.message(account_id, 2)
        office.ask(account_id, RequestKind.INITIAL, 0, wants(100), session="pgw1;1;2")
        stray = ServiceRequest(100, (), used=(UsedUnits(Units(octets=3 * MB)),))
        for number in (1, 2):
            office.ask(account_id, RequestKind.UPDATE, number, stray, session="pgw1;nobody")
        peers.allow(office.desk, PeerEntry("pgw1.example.com", "open5gs", comment="lab"))
        lines = ledger(office.desk, account_id, 10, 0)
        charges = [line["entry"] for line in lines if line["side"] == "revenue"]
        reviews = office.desk.reports.reviews(0, 10, "open")
        told = Notification(
            account_id, office.desk.ids.next_id(), office.clock.now_ns(), "low-balance",
            details={"level_micro": 5 * MB, "balance_micro": 4 * MB, "currency": "EUR"},
        )  # fmt: skip
        office.desk.store.transact([], lambda loaded: loaded.notifications.append(told))
    return file, {
        "account": f"account:{account_id}",
        "data": charges[1],
        "message": charges[-1],
        "review": str(reviews[0].review_id),
        "review2": str(reviews[1].review_id),
    }


@pytest.fixture
def stocked(stock: tuple[Path, dict[str, str]], tmp_path) -> dict[str, str]:
    """Fill this test's database; returns the names of what is in it."""
    file, names = stock
    shutil.copy(file, tmp_path / "ocs.db")
    return names
