"""The desk on PostgreSQL: reports, audit, import, pruning, backup, beside a writer."""

import io
import shutil

import pytest

from ocs.errors import RefusedError
from ocs.provisioning import maintenance, records
from ocs.provisioning.catalogues import catalogs, whatif
from ocs.provisioning.catalogues.catalog_versions import roll_back
from ocs.provisioning.customers import accounts, subscriber_import, subscribers
from ocs.provisioning.desk import find_subscriber
from ocs.provisioning.proof import audit
from ocs.provisioning.records import Selection
from tests.support.desks import CATALOGUE, NOON_NS, NUMBER, open_office

pytestmark = pytest.mark.postgres


@pytest.fixture
def office(postgres_url):
    with open_office(postgres_url) as made:
        yield made


def test_traffic_reports_and_audit(office):
    account_id = office.open_account()
    office.data_session(account_id, used=(1_400_000, 400_000))
    office.message(account_id, 2)
    found = find_subscriber(office.desk, f"+{NUMBER}")
    accounts.top_up(office.desk, found, "1", reference="shop-1")
    assert accounts.top_up(office.desk, found, "1", reference="shop-1").repeated
    assert len(accounts.ledger(office.desk, account_id, 100, 0)) == 4
    assert len(list(subscribers.listing(office.desk))) == 1
    assert office.must_be_clean().totals["EUR"].buckets == 10_760_000


def test_the_audit_sees_one_instant(office, monkeypatch):
    """Money moves between two pages of the audit; it must not matter."""
    monkeypatch.setattr("ocs.store.audit_reports.PAGE_ACCOUNTS", 1)
    ids = [office.open_account(f"49151{number}") for number in range(3)]
    result = audit.run(
        office.desk,
        office.catalogues,
        lambda count: office.data_session(ids[2], f"pgw1;{count}"),
    )
    assert result.clean
    assert result.totals["EUR"].buckets == 30_000_000
    assert office.must_be_clean().totals["EUR"].buckets == 30_000_000 - 3 * 400_000


def test_import_is_all_or_nothing(office, tmp_path):
    file = tmp_path / "new.csv"
    file.write_text("plan,msisdn,balance\n" + "".join(f"basic,4915{n},1\n" for n in range(700)))
    done = subscriber_import.run(office.desk, office.catalogues.current(), file)
    assert done.subscribers == 700
    assert office.must_be_clean().accounts == 700


def test_pruning_and_export(office):
    account_id = office.open_account()
    for number in range(4):
        office.data_session(account_id, f"pgw1;{number}")
    office.clock.advance(86_400)
    done = records.export(office.desk, Selection(), "csv", io.StringIO())
    assert done.records == 9
    before = office.must_be_clean().totals["EUR"].sides
    pruned = maintenance.prune(office.desk, 0, 0).pruned
    assert (pruned.requests, pruned.sessions) == (9, 4)
    assert office.must_be_clean().totals["EUR"].sides == before


def test_backup_and_restore(office, postgres_url, tmp_path):
    account_id = office.open_account()
    office.data_session(account_id)
    shown = accounts.show(office.desk, account_id)
    copy = tmp_path / "copy.dump"
    if shutil.which("pg_dump") is None:
        with pytest.raises(RefusedError, match="apt install postgresql-client"):
            maintenance.backup(office.desk, postgres_url, copy)
        return
    maintenance.backup(office.desk, postgres_url, copy)
    office.open_account("491777")
    with pytest.raises(RefusedError, match="not empty"):
        maintenance.restore(postgres_url, copy, replace=False)
    maintenance.restore(postgres_url, copy, replace=True)
    assert accounts.show(office.desk, account_id) == shown
    assert office.must_be_clean().accounts == 1


@pytest.mark.rule("K-340", "K-341", "K-342")
def test_usage_is_charged_again_by_several_processes(office, monkeypatch):
    monkeypatch.setattr(whatif, "RANGE_RECORDS", 3)
    for number in range(3):
        account_id = office.open_account(f"49151{number}")
        office.data_session(account_id, f"pgw1;{number}", used=(1_400_000, 2_100_000))
    office.clock.advance(60)
    draft = office.catalogues.current().catalog
    # From the midst of the second session on.
    since_ns = NOON_NS + 30 * 10**9
    for jobs in (1, 2):
        question = whatif.Question(draft, "current", since_ns, jobs=jobs, url=office.url)
        shown = whatif.view(whatif.compare(office.desk, question))
        assert (shown["records"], shown["left_out"], shown["begun_within"]) == (6, 1, 0)
        assert shown["charged_micro"] > 0
        assert (shown["difference"], shown["unrated"]) == ("0.00", [])


@pytest.mark.rule("K-350", "K-352")
def test_a_catalogue_is_announced_and_gone_back_from(office):
    text = CATALOGUE.read_text(encoding="utf-8") + "\n# another\n"
    catalogs.publish(office.desk, text, "later.yaml", NOON_NS + 60 * 10**9)
    assert office.catalogues.current().catalog.version == 1
    office.clock.advance(60)
    assert office.catalogues.current().catalog.version == 2
    assert roll_back(office.desk, None).version == 3
    assert office.catalogues.current().catalog.version == 3
