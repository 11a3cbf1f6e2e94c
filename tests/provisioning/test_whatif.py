"""What recorded usage would have cost under another catalogue, in sums and by subscriber."""

from dataclasses import replace
from typing import Any

import pytest

from ocs.charging.model.messages import RequestKind, ServiceRequest, Units, UsedUnits
from ocs.charging.model.working_set import RequestKey
from ocs.clock import first_id_at
from ocs.errors import RefusedError, UsageError
from ocs.ledger.account import Bucket
from ocs.provisioning.catalogues import catalogs, whatif
from ocs.provisioning.catalogues.whatif import Question, compare, parse_plans, view
from ocs.store.recorded_usage import RecordedUsage, Span
from tests.support.desks import CATALOGUE, NOON_NS, Office, wants

TEXT = CATALOGUE.read_text(encoding="utf-8")
DEARER = TEXT.replace("data: {price: 0.05, per: 1 MB", "data: {price: 0.08, per: 1 MB", 1)
HOUR_NS = 3_600 * 10**9


def draft(text: str):
    return replace(catalogs.load(text, "draft.yaml"), source=text)


def ask(office: Office, text: str = TEXT, since_ns: int = NOON_NS, **more: Any):
    office.clock.advance(60)
    question = Question(draft(text), "draft.yaml", since_ns, **more)
    return view(compare(office.desk, question))


def test_the_drafts_differ_from_what_is_in_force():
    assert DEARER != TEXT


@pytest.mark.rule("K-340")
def test_the_same_catalogue_makes_no_difference(office):
    first, second = office.open_account("4915100000001"), office.open_account("4915100000002")
    office.data_session(first, used=(1_400_000, 2_100_000, 400_000))
    office.data_session(second, session="pgw1;1;2")
    office.message(second, 3)
    shown = ask(office)
    assert (shown["charged"], shown["draft_charge"], shown["difference"]) == (
        "0.81", "0.81", "0.00",
    )
    assert shown["difference_percent"] == "0.00"
    assert [(one["service"], one["used"], one["draft_charge"]) for one in shown["services"]] == [
        ("data", 11_200_000, "0.60"), ("message", 3, "0.21"),
    ]
    assert shown["subscribers"]["pay_the_same"] == shown["subscribers"]["count"] == 2
    assert (shown["highest"], shown["lowest"], shown["unrated"]) == ([], [], [])


@pytest.mark.rule("K-340", "K-342")
def test_a_dearer_draft_says_who_pays_how_much_more(office):
    small, large = office.open_account("4915100000001"), office.open_account("4915100000002")
    office.data_session(small, used=(900_000,))
    office.data_session(large, session="pgw1;1;2")
    office.message(small, 1)
    shown = ask(office, DEARER, worst=1)
    assert (shown["charged"], shown["draft_charge"], shown["difference"]) == (
        "0.52", "0.79", "0.27",
    )
    assert shown["difference_percent"] == "51.92"
    assert shown["plans"] == [
        {
            "plan": "basic", "draft_plan": "basic", "charged": "0.52", "charged_micro": 520_000,
            "draft_charge": "0.79", "draft_charge_micro": 790_000, "difference": "0.27",
            "difference_micro": 270_000, "difference_percent": "51.92",
        }
    ]  # fmt: skip
    (worst,) = shown["highest"]
    assert (worst["subscriber"], worst["difference"]) == ("msisdn:4915100000002", "0.24")
    assert worst["account_id"] == str(large)
    spread = shown["subscribers"]
    assert (spread["count"], spread["pay_more"], spread["pay_less"]) == (2, 2, 0)
    by_percent = {one["percent"]: one["difference"] for one in spread["percentiles"]}
    assert (by_percent[1], by_percent[50], by_percent[75]) == ("0.03", "0.03", "0.24")
    assert sum(one["difference_micro"] for one in shown["services"]) == shown["difference_micro"]


@pytest.mark.rule("K-341")
def test_a_session_that_began_before_goes_on_counting_where_it_was(office):
    account_id = office.open_account()
    office.ask(account_id, RequestKind.INITIAL, 0, wants(100))
    office.clock.advance(10)
    office.ask(account_id, RequestKind.UPDATE, 1, wants(100, 1_400_000))
    office.clock.advance(10)
    since_ns = office.clock.now_ns()
    last = ServiceRequest(100, (), used=(UsedUnits(Units(octets=700_000)),))
    office.clock.advance(10)
    office.ask(account_id, RequestKind.TERMINATION, 2, last)
    shown = ask(office, DEARER, since_ns)
    # 2.1 MB are three megabytes; the first two were begun before.
    assert (shown["records"], shown["charged"], shown["draft_charge"]) == (1, "0.05", "0.08")
    assert shown["begun_within"] == 0


@pytest.mark.rule("K-341")
def test_what_is_paid_from_free_units_stays_so(office):
    account_id = office.open_account()
    _give_octets(office, account_id, 2_500_000)
    office.data_session(account_id, used=(2_000_000, 2_000_000))
    shown = ask(office, DEARER)
    # 4 MB were used and 2.5 MB of them were free: 1.5 MB are two megabytes.
    assert (shown["charged"], shown["draft_charge"]) == ("0.10", "0.16")
    assert ask(office)["difference_micro"] == 0


def _give_octets(office: Office, account_id: int, amount: int) -> None:
    def give(working_set):
        working_set.add_bucket(
            Bucket(account_id, office.desk.ids.next_id(), 1, "free", available=amount)
        )

    office.desk.store.transact([RequestKey(account_id, b"\0" * 16, 10, 1)], give)


@pytest.mark.rule("K-342")
def test_usage_of_what_the_draft_does_not_sell_is_said(office):
    account_id = office.open_account()
    office.data_session(account_id)
    with pytest.raises(RefusedError, match="has no plan 'gone'"):
        ask(office, plans={"basic": "gone"})
    renamed = TEXT.replace("  basic:\n", "  simple:\n", 1)
    shown = ask(office, renamed)
    assert (shown["charged"], shown["draft_charge"]) == ("0.40", "0.00")
    assert shown["unrated"] == [{"reason": "the draft has no plan 'basic'", "records": 1}]
    shown = ask(office, renamed, plans=parse_plans(["basic=simple"]))
    assert (shown["draft_charge"], shown["unrated"]) == ("0.40", [])
    assert shown["plans"][0]["draft_plan"] == "simple"


@pytest.mark.rule("K-342")
def test_what_is_no_usage_is_left_out(office):
    account_id = office.open_account()
    office.data_session(account_id)
    shown = ask(office, DEARER, since_ns=NOON_NS - HOUR_NS)
    # The account was opened and given its balance by an operator.
    assert shown["left_out"] >= 1
    assert shown["records"] == shown["left_out"] + 2


@pytest.mark.rule("K-342")
def test_several_processes_find_what_one_finds(office, monkeypatch):
    monkeypatch.setattr(whatif, "RANGE_RECORDS", 4)
    for number in range(6):
        account_id = office.open_account(f"491510000000{number}")
        office.data_session(account_id, session=f"pgw1;1;{number}", used=(1_000_000 * number + 1,))
    alone = ask(office, DEARER)
    seen = []
    office.clock.advance(60)
    question = Question(
        draft(DEARER), "draft.yaml", NOON_NS, until_ns=0, jobs=2, url=office.url
    )
    shown = view(compare(office.desk, question, lambda done, total: seen.append((done, total))))
    assert {**shown, "until": ""} == {**alone, "until": ""}
    assert shown["difference_micro"] > 0
    assert seen[0] == (0, shown["records"])
    assert seen[-1] == (shown["records"], shown["records"])


def test_members_of_an_account_are_told_apart(office):
    account_id = office.open_account("4915100000001")
    span = Span(first_id_at(NOON_NS) - 1, first_id_at(NOON_NS + HOUR_NS))
    office.data_session(account_id)
    usage = RecordedUsage(office.desk.reader)
    (found,) = usage.ranges(span, 100)
    assert (found.first, found.last) == (account_id, account_id)
    assert list(usage.members(found)[account_id]) == ["msisdn:4915100000001"]


@pytest.mark.rule("K-342")
def test_another_currency_is_refused(office):
    office.open_account()
    with pytest.raises(RefusedError, match="accounts are kept in EUR and"):
        ask(office, TEXT.replace("currency: EUR", "currency: USD"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["basic"], "'basic' should be OLD=NEW"),
        (["=large"], "should be OLD=NEW"),
        (["a=b", "a=c"], "plan 'a' is replaced twice: by 'b' and by 'c'"),
    ],
)
def test_wrong_plans(words, said):
    with pytest.raises(UsageError, match=said):
        parse_plans(words)


def test_nothing_recorded(office):
    office.open_account()
    shown = ask(office, DEARER, since_ns=NOON_NS + HOUR_NS)
    assert (shown["records"], shown["charged"], shown["difference_percent"]) == (0, "0.00", None)
    assert shown["subscribers"]["percentiles"] == []


COUNTED = TEXT.replace(
    "data: {price: 0.05, per: 1 MB, increment: 1 MB}",
    "data: {stepped: [{up_to: 2 MB, price: 0.05}, {price: 0.01}], per: 1 MB, increment: 1 MB, "
    "counted: month}", 1,
)  # fmt: skip


@pytest.mark.rule("K-343")
def test_periods_that_began_before_are_counted_from_their_beginning(office):
    account_id = office.open_account()
    office.data_session(account_id, used=(1_500_000,))
    since_ns = office.clock.now_ns() + 10**9
    office.clock.advance(3_600)
    office.data_session(account_id, session="pgw1;1;2", used=(1_500_000,))
    shown = ask(office, COUNTED, since_ns)
    # 1.5 MB were used this month before, and 3 MB are three megabytes: the last one costs 0.01.
    assert (shown["records"], shown["charged"], shown["draft_charge"]) == (2, "0.10", "0.01")
    assert ask(office, COUNTED)["draft_charge"] == "0.11"


@pytest.mark.rule("K-340", "K-343")
def test_counted_prices_are_charged_again_as_they_were(office):
    catalogs.publish(office.desk, COUNTED, "counted.yaml")
    first, second = office.open_account("4915100000001"), office.open_account("4915100000002")
    for number, account_id in enumerate((first, second, first)):
        office.data_session(
            account_id, session=f"pgw1;1;{number}", used=(700_000, 1_100_000 * number + 1)
        )
    shown = ask(office, COUNTED)
    assert shown["charged_micro"] > 0
    assert (shown["difference"], shown["subscribers"]["pay_the_same"]) == ("0.00", 2)
