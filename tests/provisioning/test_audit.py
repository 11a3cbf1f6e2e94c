"""The audit finds every kind of thing that does not add up, and nothing in what does."""

import pytest
from sqlalchemy import Executable, delete, insert, update

from ocs.charging.model.messages import Outcome, RequestKind, ServiceRequest, Units, UsedUnits
from ocs.charging.model.server_requests import Command, RequestState, ServerRequest, Trigger
from ocs.provisioning.customers import accounts
from ocs.provisioning.desk import find_subscriber
from ocs.store.records import decode_record, decode_session, encode_record, encode_session
from ocs.store.schema import account, bucket, movement, request, session
from tests.support.desks import MB, NUMBER, wants


@pytest.fixture
def busy(office):
    """One account with an open session, a closed one, an event, a top-up and an adjustment."""
    account_id = office.open_account()
    office.data_session(account_id, "pgw1;1;1", (1_400_000, 400_000))
    office.message(account_id, 2)
    office.ask(account_id, RequestKind.INITIAL, 0, wants(100), wants(101), session="pgw1;1;2")
    office.clock.advance(5)
    office.ask(
        account_id, RequestKind.UPDATE, 1, wants(100, 3 * MB), wants(101, MB), session="pgw1;1;2"
    )
    found = find_subscriber(office.desk, f"+{NUMBER}")
    accounts.top_up(office.desk, found, "3")
    accounts.adjust(office.desk, found, "-1")
    return office


def write(office, *statements: Executable):
    with office.desk.reader.engine.begin() as connection:
        for statement in statements:
            connection.execute(statement)


def one(office, statement):
    with office.desk.reader.engine.connect() as connection:
        return connection.execute(statement).mappings().first()


def messages(office):
    return [violation.message for violation in office.audited().violations]


@pytest.mark.rule("I-001", "I-002", "I-004", "I-006")
def test_clean_after_real_traffic(busy):
    result = busy.must_be_clean()
    assert (result.accounts, result.sessions_open, result.sessions_closed) == (1, 1, 1)
    totals = result.totals["EUR"]
    assert totals.sides["top-up"] == 13_000_000
    assert totals.sides["adjustment"] == -1_000_000
    # 2 blocks of data, 2 messages, 3 blocks of 0.05 and one of 1.00.
    assert totals.sides["revenue"] == -(100_000 + 140_000 + 150_000 + 1_000_000)
    assert sum(totals.sides.values()) == totals.buckets


@pytest.mark.rule("I-007")
def test_nothing_is_held_when_all_sessions_are_closed(busy):
    account_id = busy.desk.reports.subscribers(0, 1)[0].account.account_id
    end = ServiceRequest(100, (), used=(UsedUnits(Units(octets=MB)),))
    busy.ask(account_id, RequestKind.TERMINATION, 2, end, session="pgw1;1;2")
    assert busy.desk.reports.buckets(account_id)[0].held == 0
    busy.must_be_clean()


@pytest.mark.parametrize(
    "values,message",
    [
        ({"available": bucket.c.available + 1}, "its movements sum to"),
        (
            {"available": bucket.c.available - 7, "held": bucket.c.held + 7},
            "its open sessions hold",
        ),
    ],
)
def test_a_bucket_that_was_tampered_with(busy, values, message):
    write(busy, update(bucket).values(values))
    assert any(message in text for text in messages(busy))


def test_a_lost_movement(busy):
    line = one(busy, movement.select().where(movement.c.service == "message"))
    write(busy, delete(movement).where(movement.c.request_id == line["request_id"]))
    assert any("its movements sum to" in text for text in messages(busy))


def test_a_changed_movement_breaks_balance_and_price(busy):
    line = one(busy, movement.select().where(movement.c.service == "message"))
    write(
        busy,
        update(movement).where(movement.c.request_id == line["request_id"]).values(amount=-1),
    )
    found = messages(busy)
    assert any("charged 1, its price is 140000" in text for text in found)
    assert any("its movements sum to" in text for text in found)


def test_a_movement_without_its_request(busy):
    line = one(busy, movement.select().where(movement.c.service == "message"))
    write(busy, delete(request).where(request.c.request_id == line["request_id"]))
    assert [f"entry {line['request_id']}.0 has no request"] == messages(busy)


def test_a_closed_session_that_holds(busy):
    row = one(busy, session.select().where(session.c.state != 1))
    stored = decode_session(row["body"], row["account_id"], row["session_key"])
    stored.quotas[0].holds = [type(h)(h.bucket_id, 5) for h in open_holds(busy)][:1]
    write(
        busy,
        update(session)
        .where(session.c.session_key == row["session_key"])
        .values(body=encode_session(stored)),
    )
    assert any("is closed and still holds" in text for text in messages(busy))


def open_holds(office):
    row = one(office, session.select().where(session.c.state == 1))
    stored = decode_session(row["body"], row["account_id"], row["session_key"])
    return [hold for quota in stored.quotas for hold in quota.holds]


def test_a_session_that_counts_otherwise(busy):
    row = one(busy, session.select().where(session.c.state == 1))
    stored = decode_session(row["body"], row["account_id"], row["session_key"])
    stored.charged_micro += 1
    stored.quotas[0].contexts[0].charged_micro += 1
    write(
        busy,
        update(session)
        .where(session.c.session_key == row["session_key"])
        .values(body=encode_session(stored)),
    )
    found = messages(busy)
    assert any("its movements sum to" in text for text in found)
    assert any("units of 'data', which cost" in text for text in found)


def test_usage_charged_from_the_wrong_count(busy):
    """The same amount at another place of the count: the sum is right, the increments are not."""
    account_id = busy.desk.reports.subscribers(0, 1)[0].account.account_id
    row = one(
        busy, movement.select().where(movement.c.units_before > 0, movement.c.service == "data")
    )
    if row is None:
        busy.ask(account_id, RequestKind.UPDATE, 2, wants(100, 2 * MB), session="pgw1;1;2")
        row = one(busy, movement.select().where(movement.c.units_before > 0))
    write(
        busy,
        update(movement)
        .where(movement.c.request_id == row["request_id"], movement.c.line == row["line"])
        .values(
            units_before=movement.c.units_before + 20 * MB,
            units_after=movement.c.units_after + 20 * MB,
        ),
    )
    assert any("where no charge before it ended" in text for text in messages(busy))


def test_money_beyond_the_limit_without_over_usage(office):
    account_id = office.open_account(balance=500_000)
    office.ask(account_id, RequestKind.INITIAL, 0, wants(100))
    office.clock.advance(10)
    office.ask(account_id, RequestKind.UPDATE, 1, wants(100, 12 * MB))
    office.must_be_clean()
    write(office, update(account).values(flags=0))
    assert any("without reported over-usage" in text for text in messages(office))


def test_a_catalogue_version_that_is_missing(busy):
    write(busy, update(movement).where(movement.c.service == "message").values(
        catalogue_version=99))  # fmt: skip
    assert any("there is no catalogue version 99" in text for text in messages(busy))


def test_rows_of_nobody(busy):
    write(
        busy,
        insert(bucket).values(
            account_id=17, bucket_id=1, version=1, unit=0, name="main", available=0, held=0,
            priority=1, expires_ns=0, due_ns=0, services="", subscriber_id=0, measure="",
            starts_ns=0,
        ),
    )  # fmt: skip
    assert messages(busy) == ["1 rows of bucket belong to accounts that do not exist"]


def test_requests_to_clients_of_nobody_and_those_that_nobody_will_look_at_again(office):
    def row(account_id: int, state: RequestState, due_ns: int) -> ServerRequest:
        number = office.desk.ids.next_id()
        return ServerRequest(
            number, account_id, b"", Command.RE_AUTH, Trigger.CATALOGUE, 1, due_ns, state=state
        )

    account_id = office.open_account()
    good = [
        row(0, RequestState.PENDING, 5),
        row(account_id, RequestState.SENT, 5),
        row(account_id, RequestState.GIVEN_UP, 0),
    ]
    office.desk.store.transact([], lambda loaded: loaded.server_requests.extend(good))
    office.must_be_clean()
    bad = [
        row(17, RequestState.DONE, 0),
        row(account_id, RequestState.ANSWERED, 0),
        row(account_id, RequestState.DONE, 5),
    ]
    office.desk.store.transact([], lambda loaded: loaded.server_requests.extend(bad))
    assert messages(office) == [
        "1 rows of server_request belong to accounts that do not exist",
        f"request {bad[1].server_request_id} to a client will never be finished",
        f"request {bad[2].server_request_id} to a client will never be finished",
    ]


def test_a_record_of_another_plan_is_priced_by_that_plan(busy):
    """The explanation hangs on the record: a plan that has no such rule is a violation."""
    row = one(busy, request.select().where(request.c.kind == RequestKind.EVENT))
    record = decode_record(row["body"], row["request_id"])
    record.plan = "redirect"
    write(
        busy,
        update(request)
        .where(request.c.request_id == row["request_id"])
        .values(body=encode_record(record)),
    )
    assert any("cannot be priced again" in text for text in messages(busy))


def test_pages_of_many_accounts(office, monkeypatch):
    monkeypatch.setattr("ocs.store.audit_reports.PAGE_ACCOUNTS", 3)
    for number in range(8):
        account_id = office.open_account(f"49151000{number}", 1_000_000 * (number + 1))
        office.data_session(account_id, f"pgw1;1;{number}")
    result = office.must_be_clean()
    assert result.accounts == 8
    assert result.totals["EUR"].sides["revenue"] == -8 * 400_000


@pytest.mark.rule("I-004")
def test_an_event_with_a_sessions_id_is_none_of_its_charges(office):
    account_id = office.open_account()
    office.ask(account_id, RequestKind.INITIAL, 0, wants(100), session="as1;1")
    assert office.message(account_id, session="as1;1").outcome == Outcome.SUCCESS
    office.must_be_clean()
