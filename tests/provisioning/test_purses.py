"""Money kept in other currencies until it is needed: at the desk and in the books."""

from functools import partial

import pytest
from sqlalchemy import create_engine, text

from ocs import yamldoc
from ocs.charging.accounts.purses import PURSES_MAX
from ocs.charging.model.messages import Outcome, RequestKind, ServiceRequest, Units, UsedUnits
from ocs.errors import ConflictError, DocumentError, NotFoundError, RefusedError, UsageError
from ocs.ledger.account import Contra
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.customers import accounts, subscribers, transfers, voucher_codes, vouchers
from ocs.provisioning.desk import find_subscriber
from ocs.provisioning.proof import audit, why
from ocs.provisioning.usage import reviews
from tests.support.desks import CATALOGUE, NUMBER, open_office, wants
from tests.support.offers import OTHER, TERMS, at_once, desks

RATES = 'currencies: {USD: "0.9217", JPY: "0.00617284"}\n'
MESSAGE = 70_000
TAKER = """  taker:
    exchange: at-top-up
    services: {data: {price: 0.10, per: 1 MB, increment: 1 MB}}
"""
FEE = """    recurring:
      base: {every: day, fee: 0.50, retry: [1 h]}
"""


def keeping(rates: str = RATES, more: str = "") -> str:
    """Return the black-box catalogue, whose plan keeps other currencies until they are needed."""
    catalogue = yamldoc.read_text(CATALOGUE).replace("services:\n", f"{rates}services:\n", 1)
    return catalogue.replace("  basic:\n", f"  basic:\n    exchange: when-needed\n{more}", 1)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def shop(request, tmp_path):
    url = f"sqlite:///{tmp_path}/ocs.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    with open_office(url, publish=False) as office:
        catalogs.publish(office.desk, keeping(), "keeping.yaml")
        office.open_account(balance=0)
        yield office


def top_up(
    office, amount, currency="USD", number=NUMBER, reference="", expires="", bucket="main"
):
    found = find_subscriber(office.desk, f"+{number}")
    return accounts.top_up(
        office.desk, found, amount, catalogue=office.catalogues.current(), currency=currency,
        reference=reference, expires=expires, bucket=bucket,
    )  # fmt: skip


def account_of(office, number=NUMBER):
    return find_subscriber(office.desk, f"+{number}").account_id


def shown(office):
    """Return the balance, and what other buckets have, as `ocs account show` does."""
    document = accounts.show(office.desk, account_of(office))
    return document["balance_micro"], [
        (bucket["name"], bucket["unit"], bucket["balance_text"], bucket["expires"])
        for bucket in document["buckets"] if bucket["name"] != "main"
    ]


def lines_of(office, contra):
    lines = office.desk.ledger.ledger(account_of(office), 100)
    return [line.movement for line in reversed(lines) if line.movement.contra == contra]


@pytest.mark.rule("K-335")
def test_an_account_is_worth_what_its_purses_come_to_as_well(shop):
    top_up(shop, "2", "EUR")
    top_up(shop, "10")
    top_up(shop, "100", "JPY")
    catalogue = shop.catalogues.current()
    assert accounts.worth(shop.desk, account_of(shop), catalogue) == {
        "worth": "11.834284", "worth_micro": 2_000_000 + 9_217_000 + 617_284,
    }  # fmt: skip
    assert accounts.worth(shop.desk, account_of(shop), None)["worth"] == "2.00"
    with pytest.raises(NotFoundError):
        accounts.worth(shop.desk, 7, catalogue)


@pytest.mark.rule("K-329", "K-330")
def test_what_is_topped_up_stays_until_a_message_needs_some_of_it(shop):
    posted = top_up(shop, "10")
    assert (posted.bucket, posted.amount, posted.unit.label) == ("USD", 10_000_000, "USD")
    assert (posted.exchanged_micro, posted.balance_micro) == (0, 0)
    assert shown(shop) == (0, [("USD", "USD", "10 USD", "")])
    assert shop.message(account_of(shop)).outcome == Outcome.SUCCESS
    given, taken = lines_of(shop, Contra.EXCHANGE)
    assert (given.amount, taken.amount, taken.units_after) == (-75_947, MESSAGE, 75_947)
    assert shown(shop) == (0, [("USD", "USD", "9.924053 USD", "")])
    entry = f"{taken.request_id}.{taken.line}"
    explained = str(why.explain(shop.desk, shop.catalogues, entry))
    assert "exchange of 0.07 into bucket 'main' at the rate USD 0.9217, rounded down" in explained
    assert "own money was short" in explained
    charge = str(why.explain(shop.desk, shop.catalogues, f"{taken.request_id}.0"))
    assert "'matches': True" in charge
    result = shop.must_be_clean()
    assert result.totals["USD"].sides == {"top-up": 10_000_000, "exchange": -75_947}


@pytest.mark.rule("K-329")
def test_a_session_is_granted_what_the_purse_can_pay(shop):
    top_up(shop, "10")
    account_id = account_of(shop)
    reply = shop.ask(account_id, RequestKind.INITIAL, 0, wants(100))
    assert reply.services[0].outcome == Outcome.SUCCESS
    held = accounts.show(shop.desk, account_id)["held_micro"]
    assert held > 0
    assert lines_of(shop, Contra.EXCHANGE)[1].amount == held
    shop.must_be_clean()
    shop.data_session(account_id, "pgw1;1;2")
    shop.must_be_clean()


@pytest.mark.rule("K-330")
def test_the_audit_finds_one_wrong_exchange_of_a_request_that_has_a_price(shop):
    top_up(shop, "0.05")
    top_up(shop, "50", "JPY")
    shop.message(account_of(shop))
    pairs = lines_of(shop, Contra.EXCHANGE)
    assert [one.rule for one in pairs] == ["USD 0.9217"] * 2 + ["JPY 0.00617284"] * 2
    shop.must_be_clean()
    engine = create_engine(shop.url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE movement SET rule = 'JPY 0.5' WHERE rule LIKE 'JPY%'"))
        connection.execute(text("UPDATE movement SET rule = '' WHERE contra = 1"))
    engine.dispose()
    words = [one.message for one in audit.run(shop.desk, shop.catalogues).violations]
    assert len(words) == 1
    assert "an exchange brought" in words[0]
    assert "its rate JPY 0.5 makes" in words[0]


@pytest.mark.rule("K-329")
def test_several_servers_at_once_exchange_once(shop):
    top_up(shop, "10")
    account_id = account_of(shop)
    with desks(shop.url, shop.clock, 4) as others:
        at_once([
            partial(one.message, account_id, session=f"smsc;{number}")
            for number, one in enumerate(others)
        ])  # fmt: skip
    assert shown(shop) == (0, [("USD", "USD", "9.696212 USD", "")])
    shop.must_be_clean()


@pytest.mark.rule("K-331")
def test_each_end_is_a_purse_of_its_own_and_the_first_is_spent_first(shop):
    top_up(shop, "1")
    top_up(shop, "2", expires="2026-01-06T12:00:00Z")
    top_up(shop, "3", expires="2026-01-06T12:00:00Z")
    kept = [
        ("USD", "USD", "1 USD", ""), ("USD", "USD", "5 USD", "2026-01-06T12:00:00.000000Z")
    ]  # fmt: skip
    assert sorted(shown(shop)[1]) == kept
    shop.message(account_of(shop))
    assert ("USD", "USD", "1 USD", "") in shown(shop)[1]
    shop.must_be_clean()


@pytest.mark.rule("K-331", "M-009")
def test_a_reference_with_an_end_makes_it_happen_once(shop):
    more = {"reference": "shop-1", "expires": "2026-01-06T12:00:00Z"}
    first = top_up(shop, "1", **more)
    assert top_up(shop, "1", **more).entry == first.entry
    with pytest.raises(ConflictError, match="used before with other content"):
        top_up(shop, "1", reference="shop-1")
    assert len(shown(shop)[1]) == 1


@pytest.mark.rule("K-331")
@pytest.mark.parametrize(
    "amount,currency,expires,words",
    [
        ("1", "EUR", "2026-02-01", "only money in another currency"),
        ("1", "", "2026-02-01", "only money in another currency"),
        ("1", "USD", "2025-02-01", "is past"),
        ("1", "USD", "soon", "is no time"),
        ("-1", "USD", "", "more than zero"),
    ],
)
def test_what_cannot_be_kept_is_refused(shop, amount, currency, expires, words):
    with pytest.raises(UsageError, match=words):
        top_up(shop, amount, currency, expires=expires)
    assert shown(shop) == (0, [])


@pytest.mark.rule("K-331")
def test_money_that_is_exchanged_at_once_has_no_end(shop):
    catalogs.publish(shop.desk, keeping().replace("when-needed", "at-top-up"), "new.yaml")
    with pytest.raises(UsageError, match="exchanges USD at once, so nothing of it can expire"):
        top_up(shop, "1", expires="2026-02-01")
    assert shown(shop) == (0, [])


@pytest.mark.rule("K-331")
def test_there_are_not_too_many_purses(shop):
    for number in range(PURSES_MAX):
        top_up(shop, "1", expires=f"2026-02-{number + 1:02d}")
    with pytest.raises(RefusedError, match=f"has {PURSES_MAX} purses, which is the most"):
        top_up(shop, "1")
    assert top_up(shop, "1", expires="2026-02-01").amount == 1_000_000
    assert len(shown(shop)[1]) == PURSES_MAX


@pytest.mark.rule("K-331")
def test_a_catalogue_without_a_rate_for_a_purse_is_not_published(shop):
    top_up(shop, "10")
    lines = keeping('currencies: {JPY: "0.00617284"}\n').splitlines()
    place = next(number for number, line in enumerate(lines, 1) if line.startswith("currencies"))
    with pytest.raises(DocumentError) as raised:
        catalogs.publish(shop.desk, "\n".join(lines), "new.yaml")
    assert str(raised.value) == (
        f"new.yaml:{place}:1: money is kept in USD (purses: 1), which has no rate here; give it "
        "one under currencies, such as {USD: 0.92} (currencies)"
    )
    with pytest.raises(DocumentError, match="which has no rate here"):
        catalogs.publish(shop.desk, yamldoc.read_text(CATALOGUE), "plain.yaml")
    assert shop.message(account_of(shop)).outcome == Outcome.SUCCESS


@pytest.mark.rule("K-331")
def test_a_plan_that_exchanges_nothing_lets_it_wait(shop):
    top_up(shop, "10")
    without = keeping().replace("    exchange: when-needed\n", "", 1)
    other = without.replace("plans:\n", "plans:\n" + TAKER, 1)
    catalogs.publish(shop.desk, other, "waits.yaml")
    assert shop.message(account_of(shop)).outcome == Outcome.CREDIT_LIMIT_REACHED
    assert shown(shop) == (0, [("USD", "USD", "10 USD", "")])
    shop.must_be_clean()


@pytest.mark.rule("K-329")
def test_a_rate_of_today_is_for_what_is_exchanged_today(shop):
    top_up(shop, "10")
    shop.message(account_of(shop))
    catalogs.publish(shop.desk, keeping(RATES.replace("0.9217", "0.5")), "falls.yaml")
    shop.message(account_of(shop), session="smsc;2")
    assert [one.rule for one in lines_of(shop, Contra.EXCHANGE)] == [
        "USD 0.9217", "USD 0.9217", "USD 0.5", "USD 0.5"
    ]  # fmt: skip
    shop.must_be_clean()


@pytest.mark.rule("K-329")
def test_what_is_owed_is_paid_when_a_purse_comes(shop):
    account_id = account_of(shop)
    found = find_subscriber(shop.desk, f"+{NUMBER}")
    top_up(shop, "0.10", "EUR")
    shop.data_session(account_id, used=(3_000_000,))
    balance = shown(shop)[0]
    assert balance < 0
    assert accounts.show(shop.desk, account_id)["flags"] == ["over-usage"]
    posted = top_up(shop, "1")
    assert posted.exchanged_micro == -balance
    assert (posted.balance_micro, shown(shop)[0]) == (0, 0)
    assert accounts.show(shop.desk, found.account_id)["flags"] == []
    shop.must_be_clean()


@pytest.mark.rule("K-333")
def test_a_purse_is_corrected_by_hand(shop):
    top_up(shop, "10")
    found = find_subscriber(shop.desk, f"+{NUMBER}")
    posted = accounts.adjust(shop.desk, found, "-4", bucket="USD")
    assert (posted.amount, posted.unit.label) == (-4_000_000, "USD")
    with pytest.raises(RefusedError, match="may not go below 0 USD"):
        accounts.adjust(shop.desk, found, "-7", bucket="USD")
    with pytest.raises(UsageError, match="give it as that"):
        top_up(shop, "1", "", bucket="USD")
    assert shown(shop) == (0, [("USD", "USD", "6 USD", "")])
    shop.must_be_clean()


@pytest.mark.rule("K-333")
def test_a_subscriber_with_a_purse_is_removed_only_if_it_is_forfeited(shop):
    top_up(shop, "10")
    found = find_subscriber(shop.desk, f"+{NUMBER}")
    with pytest.raises(RefusedError, match=r"still has 10\.00 USD; pay it out with"):
        subscribers.remove(shop.desk, found, forfeit=False)
    subscribers.remove(shop.desk, found, forfeit=True)
    document = accounts.show(shop.desk, found.account_id)
    assert {bucket["balance"] for bucket in document["buckets"]} == {0}
    assert shop.must_be_clean().totals["USD"].buckets == 0


@pytest.mark.rule("K-333")
def test_a_transfer_gives_own_money_only(shop):
    catalogs.publish(shop.desk, keeping(more=f"    transfers: {TERMS}\n"), "gives.yaml")
    shop.open_account(OTHER)
    top_up(shop, "10")
    giver, taker = (find_subscriber(shop.desk, f"+{name}") for name in (NUMBER, OTHER))
    give = partial(transfers.transfer, shop.desk, giver, taker, "2", shop.catalogues.current())
    with pytest.raises(RefusedError, match="would have"):
        give()
    top_up(shop, "5", "EUR")
    give()
    assert shown(shop) == (2_900_000, [("USD", "USD", "10 USD", "")])
    shop.must_be_clean()


@pytest.mark.rule("K-333")
def test_a_refund_comes_in_own_money_and_an_exchange_is_none(shop):
    top_up(shop, "10")
    shop.message(account_of(shop))
    request_id = lines_of(shop, Contra.REVENUE)[0].request_id
    with pytest.raises(RefusedError, match="only charges can be refunded"):
        accounts.refund(shop.desk, f"{request_id}.1")
    accounts.refund(shop.desk, f"{request_id}.0", catalogue=shop.catalogues.current())
    assert shown(shop) == (MESSAGE, [("USD", "USD", "9.924053 USD", "")])
    shop.must_be_clean()


@pytest.mark.rule("K-329", "K-264")
def test_a_fee_is_paid_out_of_the_purse_or_not_at_all(shop):
    catalogs.publish(shop.desk, keeping(more=FEE), "fee.yaml")
    number = "4915166666666"
    account_id = shop.open_account(number, 300_000)
    # 0.2 dollars are 0.18434 euros: 0.015660 are missing still, and nothing is exchanged.
    top_up(shop, "0.2", number=number)
    shop.clock.advance(3_600)
    found = find_subscriber(shop.desk, f"+{number}")
    accounts.adjust(shop.desk, found, "0.000001", catalogue=shop.catalogues.current())
    lines = [one.movement for one in shop.desk.ledger.ledger(account_id, 10)]
    assert {one.contra for one in lines} == {Contra.TOP_UP, Contra.ADJUSTMENT}
    top_up(shop, "0.1", number=number)
    shop.clock.advance(1)
    accounts.adjust(shop.desk, found, "0.000001", catalogue=shop.catalogues.current())
    lines = [one.movement for one in shop.desk.ledger.ledger(account_id, 10)]
    fee = next(one for one in lines if one.contra == Contra.FEE)
    pair = [one for one in lines if one.contra == Contra.EXCHANGE]
    assert fee.amount == -500_000
    assert {one.request_id for one in pair} == {fee.request_id}
    assert sorted(one.amount for one in pair) == [-216_990, 199_999]
    shop.must_be_clean()


@pytest.mark.rule("K-329", "D05")
def test_usage_that_a_person_accepts_is_paid_out_of_the_purse(shop):
    top_up(shop, "10")
    account_id = account_of(shop)
    used = ServiceRequest(100, (), used=(UsedUnits(Units(octets=3_000_000)),))
    reply = shop.ask(account_id, RequestKind.UPDATE, 1, used, session="pgw1;nobody")
    assert reply.outcome == Outcome.UNKNOWN_SESSION
    [item] = reviews.listing(shop.desk)
    reviews.accept(shop.desk, shop.catalogues, int(item["review_id"]))
    (charge,), (_, taken) = lines_of(shop, Contra.REVENUE), lines_of(shop, Contra.EXCHANGE)
    assert charge.amount == -taken.amount < 0
    assert charge.request_id == taken.request_id
    assert accounts.show(shop.desk, account_id)["flags"] == []
    shop.must_be_clean()


@pytest.mark.rule("K-327", "K-329")
def test_a_voucher_in_another_currency_comes_into_the_purse(shop, tmp_path, monkeypatch):
    monkeypatch.setitem(voucher_codes._COST, "n", 2)
    file = tmp_path / "codes.csv"
    vouchers.generate(shop.desk, vouchers.NewBatch(1, 5_000_000, "USD"), file, lambda _d, _a: None)
    code = file.read_text(encoding="ascii").splitlines()[-1].rpartition(",")[2]
    found = find_subscriber(shop.desk, f"+{NUMBER}")
    posted = vouchers.redeem(shop.desk, found, code, shop.catalogues.current())
    assert (posted.bucket, posted.exchanged_micro) == ("USD", 0)
    assert shown(shop) == (0, [("USD", "USD", "5 USD", "")])
    shop.must_be_clean()
