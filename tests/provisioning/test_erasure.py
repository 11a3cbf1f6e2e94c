"""Erasing a person: no name is left anywhere, every sum is as it was."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from ocs.charging.accounts import agenda
from ocs.charging.model.messages import Identity, RatingAttributes, RequestKind, ServiceDetails
from ocs.charging.model.working_set import RequestKey
from ocs.errors import ConflictError, NotFoundError, RefusedError
from ocs.ledger.details import AccountDetails, Cap, Visit
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.customers import accounts, erasure, members, transfers
from ocs.provisioning.desk import find_subscriber
from ocs.store import erasure as store_erasure
from tests.support.desks import NUMBER, open_office, wants
from tests.support.offers import OTHER, allowing

CHILD = "4915155555555"
SECRETS = (NUMBER, "262011234567890", "353490069873319", "secret", "34600111222", "pgw1;1")


def erase(office, name, *, forfeit=True):
    found = find_subscriber(office.desk, name)
    counts: list[int] = []
    return erasure.erase(office.desk, found, forfeit=forfeit, progress=counts.append)


def dump(office):
    """Return everything the database holds, as one text."""
    parts = []
    with office.desk.reader.snapshot() as connection:
        tables = ("account", "bucket", "session", "session_directory", "request", "movement",
                  "identifier", "review", "operator_action", "server_request", "notification",
                  "setting")  # fmt: skip
        for table in tables:
            for row in connection.execute(text(f"SELECT * FROM {table}")):
                octets = (one for one in row if isinstance(one, bytes | memoryview))
                parts += [bytes(one).decode("latin-1") for one in octets]
                parts += [str(one) for one in row if not isinstance(one, bytes | memoryview)]
    return "\n".join(parts)


def movements(office):
    with office.desk.reader.snapshot() as connection:
        statement = text("SELECT * FROM movement ORDER BY account_id, request_id, line")
        return [tuple(row) for row in connection.execute(statement)]


def live(office):
    """Give the subscriber a life with traces everywhere."""
    catalogs.publish(office.desk, allowing(), "transfers.yaml")
    account_id = office.open_account()
    office.open_account(OTHER)
    found = find_subscriber(office.desk, f"+{NUMBER}")
    desk = replace(office.desk, reason=f"secret of {NUMBER}")
    accounts.top_up(desk, found, "5", reference=f"secret-{NUMBER}")
    accounts.adjust(desk, found, "-0.50")
    office.data_session(account_id, "pgw1;1;262011234567890", used=(900_000, 1_400_000))
    office.message(account_id, 2)
    taker = find_subscriber(office.desk, f"+{OTHER}")
    transfers.transfer(office.desk, taker, found, "1", office.catalogues.current())
    transfers.transfer(office.desk, found, taker, "1", office.catalogues.current())
    charges = [one for one in office.desk.ledger.ledger(account_id, 100) if one.movement.service]
    accounts.refund(desk, f"{charges[0].movement.request_id}.{charges[0].movement.line}", "0.01")
    return account_id


@pytest.mark.rule("K-255")
def test_nothing_names_the_person_any_more_and_everything_adds_up(office):
    account_id = live(office)
    before = movements(office)
    assert all(secret in dump(office) for secret in (NUMBER, "secret", "pgw1;1"))
    document = erase(office, f"+{NUMBER}")
    left = dump(office)
    for secret in SECRETS:
        assert secret not in left, left[max(0, left.index(secret) - 200) :][:400]
    assert OTHER in left
    # What there was is as it was; the removal has booked out what was left.
    assert {*before} < {*movements(office)}
    office.must_be_clean()
    assert document["status"] == "removed"
    assert (document["records"], document["sessions"]) == (11, 1)
    with pytest.raises(NotFoundError):
        find_subscriber(office.desk, f"+{NUMBER}")
    actions = office.desk.reports.actions(0, 100, account_id=account_id)
    assert actions[0].action == "subscriber erase"
    assert actions[0].operator == "desk"
    assert {one.target for one in actions} == {f"account:{account_id}"}


@pytest.mark.rule("K-256")
def test_erasing_again_changes_nothing(office):
    account_id = live(office)
    erase(office, f"+{NUMBER}")
    before = dump(office)
    document = erase(office, f"account:{account_id}")
    assert document["records"] == document["sessions"] == document["actions"] == 0
    assert dump(office).count("erased") == before.count("erased")
    office.must_be_clean()


@pytest.mark.rule("K-256")
def test_it_goes_on_where_it_was_cut_short(office, monkeypatch):
    monkeypatch.setattr(store_erasure, "PAGE_ROWS", 2)
    account_id = live(office)

    class CutError(Exception):
        pass

    def cut(count):
        if count >= 4:
            raise CutError

    found = find_subscriber(office.desk, f"+{NUMBER}")
    with pytest.raises(CutError):
        erasure.erase(office.desk, found, forfeit=True, progress=cut)
    assert NUMBER in dump(office)
    erase(office, f"account:{account_id}")
    left = dump(office)
    assert not [secret for secret in SECRETS if secret in left]
    office.must_be_clean()


@pytest.mark.rule("K-256")
def test_it_is_refused_like_a_removal(office):
    account_id = office.open_account()
    office.ask(account_id, RequestKind.INITIAL, 0, wants(100))
    with pytest.raises(RefusedError, match="open sessions"):
        erase(office, f"+{NUMBER}")
    office.ask(account_id, RequestKind.TERMINATION, 1)
    with pytest.raises(RefusedError, match="--forfeit"):
        erase(office, f"+{NUMBER}", forfeit=False)
    assert NUMBER in dump(office)
    assert "subscriber erase" not in dump(office)


@pytest.mark.rule("K-255", "K-260")
def test_who_is_erased_waits_for_nothing_any_more(office):
    account_id = live(office)

    def wait(working_set):
        account = working_set.accounts[account_id].account
        agenda.enter(working_set, account, agenda.EXPIRY_NOTICES, office.clock.now_ns() + 10**9)

    key = RequestKey(account_id, bytes(16), RequestKind.TIMER, 0)
    office.desk.store.transact([key], wait)
    erase(office, f"+{NUMBER}")
    office.clock.advance(10)
    assert office.desk.store.due_accounts(office.clock.now_ns(), 10) == []
    office.must_be_clean()


@pytest.mark.rule("K-255")
def test_one_of_several_is_erased_and_the_others_stay(office):
    account_id = office.open_account()
    owner = find_subscriber(office.desk, f"+{NUMBER}")
    members.join(office.desk, owner, (Identity("msisdn", CHILD),))
    child = find_subscriber(office.desk, f"+{CHILD}")
    accounts.top_up(office.desk, child, "1", reference="child")
    accounts.top_up(office.desk, owner, "1", reference="owner")
    office.data_session(account_id)
    document = erase(office, f"+{CHILD}")
    left = dump(office)
    assert CHILD not in left
    assert NUMBER in left
    assert (document["status"], document["records"], document["sessions"]) == ("active", 1, 0)
    names = {line.request.record.identity for line in office.desk.ledger.ledger(account_id, 100)}
    assert names == {"erased", f"msisdn:{NUMBER}"}
    office.must_be_clean()


@pytest.mark.rule("K-255")
def test_a_reference_stays_used_and_a_charge_refunded(office):
    account_id = live(office)
    refunds = [one for one in office.desk.ledger.ledger(account_id, 100)
               if one.movement.rule and "." in one.movement.rule]  # fmt: skip
    before = refunds[0].movement.rule
    erase(office, f"+{NUMBER}")
    with pytest.raises((RefusedError, ConflictError)):
        accounts.refund(office.desk, before, "1")


@pytest.mark.rule("K-255")
def test_a_record_keeps_what_was_charged(office):
    account_id = office.open_account()
    office.message(account_id)
    line = office.desk.ledger.ledger(account_id, 1)[0]
    record = line.request.record
    record.attributes = RatingAttributes(
        called_party="34600111222", calling_party="1", recipients=("1", "2"), location="214-07/1/2",
        visited_network="21407", rat_type=6, role_of_node=0, apn="secret", call_id="secret",
    )  # fmt: skip
    record.services[0].details = ServiceDetails(infos=((1, "secret"),))
    record.equipment = "imei:353490069873319"
    record.anomaly = "secret"
    clean = store_erasure.erased_record(record)
    assert clean.attributes == RatingAttributes(rat_type=6, role_of_node=0, messages=2)
    assert (clean.identity, clean.session_id, clean.anomaly) == ("erased", "erased", "erased")
    assert (clean.equipment, clean.note) == ("", "")
    assert clean.services[0].details is None
    assert (clean.charged, clean.reply, clean.balance_micro, clean.plan, clean.event_ns) == (
        record.charged, record.reply, record.balance_micro, record.plan, record.event_ns
    )  # fmt: skip
    assert store_erasure.erased_record(clean) == clean


@pytest.mark.rule("K-255")
def test_what_an_account_keeps_of_one_of_its_subscribers_goes():
    details = AccountDetails(
        visits=[Visit(7, "208", 1), Visit(8, "310", 2)],
        caps=[Cap("all", 1, 3), Cap("own", 2, 3, (), 7)],
    )
    left = store_erasure.without(details, 7)
    assert [one.country for one in left.visits] == ["310"]
    assert [one.code for one in left.caps] == ["all"]


@pytest.mark.parametrize(
    "details,kept",
    [
        ("", ""),
        ('{"identities": ["msisdn:1"], "plan": "basic"}', '{"plan": "basic"}'),
        ('{"reference": "x"}', ""),
    ],
)
def test_details_of_actions(details, kept):
    assert store_erasure.erased_details(details) == kept


@pytest.mark.postgres
@pytest.mark.rule("K-255")
def test_on_postgresql(postgres_url):
    with open_office(postgres_url) as office:
        live(office)
        erase(office, f"+{NUMBER}")
        left = dump(office)
        assert not [secret for secret in SECRETS if secret in left]
        office.must_be_clean()
