"""Money in another currency: topped up, exchanged at an exact rate, and it all adds up."""

import csv
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from ocs import yamldoc
from ocs.amounts import format_amount
from ocs.catalog.exchange import Rate, rate_of
from ocs.charging.accounts.exchange import problem_of
from ocs.errors import ConflictError, RefusedError, UsageError
from ocs.ledger.account import Contra, Movement
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.customers import accounts, voucher_codes, vouchers
from ocs.provisioning.desk import find_subscriber
from ocs.provisioning.proof import audit, why
from tests.support.desks import CATALOGUE, NUMBER
from tests.support.offers import at_once, desks, offers

RATES = 'currencies: {USD: "0.9217", JPY: "0.00617284", KWD: "3"}\n'


def exchanging(text: str = "") -> str:
    """Return the black-box catalogue, or another one like it, whose plan takes other currencies."""
    text = text or yamldoc.read_text(CATALOGUE)
    text = text.replace("services:\n", f"{RATES}services:\n", 1)
    return text.replace("  basic:\n", "  basic:\n    exchange: at-top-up\n", 1)


@pytest.fixture
def shop(office):
    catalogs.publish(office.desk, exchanging(), "exchange.yaml")
    office.open_account(balance=0)
    return office


def top_up(office, amount, currency, reference="", bucket="main"):
    found = find_subscriber(office.desk, f"+{NUMBER}")
    return accounts.top_up(
        office.desk, found, amount, reference=reference,
        catalogue=office.catalogues.current(), currency=currency, bucket=bucket,
    )  # fmt: skip


def shown(office):
    found = find_subscriber(office.desk, f"+{NUMBER}")
    document = accounts.show(office.desk, found.account_id)
    return document["balance_micro"], {
        bucket["name"]: (bucket["unit"], bucket["balance"]) for bucket in document["buckets"]
    }


@pytest.mark.rule("K-323", "K-324")
def test_a_top_up_in_another_currency_is_exchanged_through_a_purse(shop):
    posted = top_up(shop, "10.01", "USD")
    assert (posted.amount, posted.unit.label, posted.bucket) == (10_010_000, "USD", "USD")
    assert posted.currency == "EUR"
    # 10.01 * 0.9217 is 9.226217 exactly.
    assert posted.exchanged_micro == posted.balance_micro == 9_226_217
    balance, buckets = shown(shop)
    assert balance == 9_226_217
    assert buckets["USD"] == ("USD", 0)
    request_id = int(posted.entry.partition(".")[0])
    lines = shop.desk.ledger.lines_of(posted.account_id, request_id)
    assert [(one.contra, one.rule, one.amount, one.units_after) for one in lines] == [
        (Contra.TOP_UP, "", 10_010_000, 0),
        (Contra.EXCHANGE, "USD 0.9217", -10_010_000, 0),
        (Contra.EXCHANGE, "USD 0.9217", 9_226_217, 10_010_000),
    ]
    assert len({one.bucket_id for one in lines}) == 2
    shop.must_be_clean()


@pytest.mark.rule("K-324")
def test_what_is_finer_than_a_micro_unit_is_rounded_down(shop):
    # 100 * 0.00617284 is 0.617284; 1.000001 * 0.00617284 is 0.00617284617284.
    assert top_up(shop, "100", "JPY").exchanged_micro == 617_284
    assert top_up(shop, "1.000001", "JPY").exchanged_micro == 6_172
    assert top_up(shop, "7", "KWD").exchanged_micro == 21_000_000
    with pytest.raises(UsageError, match="less than the smallest amount kept"):
        top_up(shop, "0.000001", "JPY")
    shop.must_be_clean()


@pytest.mark.rule("K-323")
def test_each_currency_balances_by_itself(shop):
    top_up(shop, "10", "USD")
    top_up(shop, "2", "")
    result = audit.run(shop.desk, shop.catalogues)
    assert result.clean
    assert result.totals["USD"].sides == {"top-up": 10_000_000, "exchange": -10_000_000}
    assert result.totals["USD"].buckets == 0
    assert result.totals["EUR"].sides == {"top-up": 2_000_000, "exchange": 9_217_000}
    document = audit.view(result)
    texts = {one["unit"]: one["sides"][0]["amount_text"] for one in document["totals"]}
    assert texts == {"EUR": "9.217", "USD": "-10.00"}


@pytest.mark.rule("K-323")
def test_a_currency_of_the_account_is_an_ordinary_top_up(shop):
    posted = top_up(shop, "5", "EUR")
    assert (posted.bucket, posted.amount, posted.exchanged_micro) == ("main", 5_000_000, 0)
    assert shown(shop) == (5_000_000, {"main": ("money", 5_000_000)})


@pytest.mark.rule("K-323", "M-009")
def test_a_reference_makes_it_happen_once(shop):
    first = top_up(shop, "10", "USD", "shop-1")
    again = top_up(shop, "10", "USD", "shop-1")
    assert again.repeated
    assert (again.entry, again.exchanged_micro) == (first.entry, first.exchanged_micro)
    for amount, currency in (("11", "USD"), ("10", "KWD"), ("10", "EUR"), ("10", "")):
        with pytest.raises(ConflictError, match="used before with other content"):
            top_up(shop, amount, currency, "shop-1")
    assert shown(shop)[0] == 9_217_000
    shop.must_be_clean()


@pytest.mark.rule("K-325")
@pytest.mark.parametrize(
    "currency,bucket,error,words",
    [
        ("GBP", "main", RefusedError, "is kept in EUR, and its plan 'basic' takes no GBP"),
        ("XYZ", "main", UsageError, "'XYZ' is no currency of ISO 4217"),
        ("USD", "surf", UsageError, "comes into the main bucket"),
        ("", "USD", UsageError, "'USD' is a currency"),
    ],
)
def test_what_cannot_be_exchanged_is_refused_and_changes_nothing(
    shop, currency, bucket, error, words
):
    with pytest.raises(error, match=words):
        top_up(shop, "10", currency, bucket=bucket)
    assert shown(shop) == (0, {"main": ("money", 0)})


@pytest.mark.rule("K-325")
def test_a_plan_that_exchanges_nothing_refuses(office):
    office.open_account(balance=0)
    with pytest.raises(RefusedError, match="takes no USD"):
        top_up(office, "10", "USD")
    assert shown(office) == (0, {"main": ("money", 0)})


@pytest.mark.rule("K-325")
def test_a_purse_is_not_adjusted(shop):
    top_up(shop, "10", "USD")
    found = find_subscriber(shop.desk, f"+{NUMBER}")
    with pytest.raises(RefusedError, match="'USD' is an empty purse"):
        accounts.adjust(shop.desk, found, "1", bucket="USD")
    shop.must_be_clean()


@pytest.mark.rule("K-323", "K-220")
def test_bonuses_are_for_what_it_came_to(office):
    catalogs.publish(office.desk, exchanging(offers()), "offers.yaml")
    office.open_account(balance=0)
    top_up(office, "10.84", "USD")
    assert "extra" not in shown(office)[1]
    # 10.85 USD are 10.000445 EUR, of which a tenth is 1.0000445.
    top_up(office, "10.85", "USD")
    assert shown(office)[1]["extra"] == ("money", 1_000_044)
    office.must_be_clean()


@pytest.mark.rule("K-327", "K-249")
def test_a_voucher_in_another_currency_is_exchanged_once(shop, tmp_path, monkeypatch):
    monkeypatch.setitem(voucher_codes._COST, "n", 2)
    found = find_subscriber(shop.desk, f"+{NUMBER}")
    codes = {}
    for currency in ("USD", "GBP"):
        file = tmp_path / f"{currency}.csv"
        new = vouchers.NewBatch(1, 5_000_000, currency)
        vouchers.generate(shop.desk, new, file, lambda _done, _all: None)
        with file.open(encoding="ascii") as lines:
            codes[currency] = next(csv.DictReader(lines))["code"]
    catalogue = shop.catalogues.current()
    posted = vouchers.redeem(shop.desk, found, codes["USD"], catalogue)
    assert (posted.bucket, posted.exchanged_micro) == ("USD", 4_608_500)
    assert vouchers.redeem(shop.desk, found, codes["USD"], catalogue).repeated
    with pytest.raises(RefusedError, match="buys nothing"):
        vouchers.redeem(shop.desk, found, codes["GBP"], catalogue)
    assert shown(shop)[0] == 4_608_500
    shop.must_be_clean()


@pytest.mark.rule("K-323")
def test_several_top_ups_at_once_share_a_purse(shop):
    found = find_subscriber(shop.desk, f"+{NUMBER}")
    catalogue = shop.catalogues.current()
    with desks(shop.url, shop.clock, 4) as others:
        at_once([
            partial(
                accounts.top_up, one.desk, found, "10", catalogue=catalogue, currency="USD",
                reference=reference,
            )
            for reference, one in zip(["r-0", "r-1"] * 2, others, strict=True)
        ])  # fmt: skip
    balance, buckets = shown(shop)
    assert balance == 2 * 9_217_000
    assert sorted(buckets) == ["USD", "main"]
    shop.must_be_clean()


@pytest.mark.rule("K-326")
def test_the_audit_finds_an_exchange_at_another_rate(shop):
    posted = top_up(shop, "10", "USD")
    engine = create_engine(shop.url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE movement SET rule = 'USD 0.9' WHERE contra = 12"))
    engine.dispose()
    words = [one.message for one in audit.run(shop.desk, shop.catalogues).violations]
    request_id = posted.entry.partition(".")[0]
    assert words == [
        f"request {request_id}: an exchange brought 9217000, its rate USD 0.9 makes 9000000"
    ]


@pytest.mark.rule("K-326")
@pytest.mark.parametrize(
    "moved,words",
    [
        ([(-10, "USD 2", 0), (20, "USD 2", 10)], ""),
        ([(-10, "USD 2", 0)], "an exchange has 1 lines, not one out of a purse and one for it"),
        ([(-10, "USD 2", 0), (20, "USD 3", 10)], "an exchange has 2 lines, not one out of"),
        ([(-10, "USD x", 0), (20, "USD x", 10)], "an exchange was made at 'USD x'"),
        ([(-10, "USD 2", 0), (20, "USD 2", 11)], "an exchange brought 20, its rate USD 2 makes 20"),
    ],
)
def test_what_the_audit_says_of_an_exchange(moved, words):
    lines = [
        Movement(1, 2, number, 3, 0, Contra.EXCHANGE, amount, 0, rule=rule, units_after=units)
        for number, (amount, rule, units) in enumerate(moved)
    ]
    assert problem_of(lines).startswith(words)
    assert bool(problem_of(lines)) == bool(words)


@pytest.mark.rule("K-326")
def test_why_says_the_rate(shop):
    posted = top_up(shop, "10", "USD")
    request_id = posted.entry.partition(".")[0]
    explained = str(why.explain(shop.desk, shop.catalogues, f"{request_id}.2"))
    assert "exchange of 9.217 into bucket 'main' at the rate USD 0.9217, rounded down" in explained
    explained = str(why.explain(shop.desk, shop.catalogues, f"{request_id}.1"))
    assert "exchange of 10 USD out of bucket 'USD'" in explained


@pytest.mark.rule("K-324")
@given(
    digits=st.integers(1, 10**15), decimals=st.integers(0, 12), amount=st.integers(1, 10**17)
)
def test_an_exchange_never_gives_more_than_its_rate(digits, decimals, amount):
    rate = Rate("USD", digits, 10**decimals)
    own = rate.exchanged(amount)
    assert own * rate.denominator <= amount * digits < (own + 1) * rate.denominator
    again = rate_of(f"USD {rate.text()}")
    assert again.exchanged(amount) == own
    assert format_amount(own)
