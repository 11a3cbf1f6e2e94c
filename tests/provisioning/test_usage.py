"""Recorded usage: charged once for each key, by the name of the service, or refused whole."""

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ocs.errors import ConflictError, NotFoundError, RefusedError, UsageError
from ocs.provisioning import maintenance, records
from ocs.provisioning.catalogues import catalogs, whatif
from ocs.provisioning.catalogues.catalogs import Catalogues
from ocs.provisioning.customers import accounts, caps, subscribers
from ocs.provisioning.desk import find_subscriber
from ocs.provisioning.proof.why import explain
from ocs.provisioning.usage import recording as usage
from ocs.provisioning.usage.recording import Usage
from ocs.provisioning.views import request_view
from tests.support.desks import NUMBER
from tests.support.metered import METERED, metered_office


@pytest.fixture
def office(tmp_path):
    with metered_office(f"sqlite:///{tmp_path}/ocs.db") as made:
        yield made


def record(office, key, service, quantity, into_debt=False, **more: Any):
    return usage.record(
        office.desk, office.catalogues, f"+{NUMBER}",
        Usage(key, service, quantity, **more), into_debt=into_debt,
    )  # fmt: skip


def charged(done):
    return done.view()["charged"]


def money(office, account_id):
    return accounts.show(office.desk, account_id)["balance_micro"]


def at(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.rule("K-310", "K-302")
def test_usage_is_charged_by_the_name_of_its_service(office):
    account_id = office.open_account()
    first = record(office, "m1", "energy", "2 kWh")
    second = record(office, "m2", "energy", "3.5 kWh")
    third = record(office, "m3", "steam", "1 kWh")
    assert (charged(first), first.view()["from_buckets"]) == ("0.00", 2_000)
    assert first.view()["from_buckets_text"] == "2 kWh"
    assert (charged(second), second.view()["from_buckets"]) == ("0.625", 1_000)
    assert (charged(third), third.view()["from_buckets"]) == ("1.00", 0)
    assert money(office, account_id) == 8_375_000
    buckets = accounts.show(office.desk, account_id)["buckets"]
    (solar,) = [one for one in buckets if one["name"] == "solar"]
    assert (solar["unit"], solar["available_text"]) == ("kWh", "0 kWh")
    office.must_be_clean()


@pytest.mark.rule("K-310")
def test_the_ledger_explains_recorded_usage_in_its_unit(office):
    account_id = office.open_account()
    record(office, "m1", "energy", "3.25 kWh")
    free, paid = [
        line for line in accounts.ledger(office.desk, account_id, 10, 0)
        if line["side"] == "revenue"
    ]  # fmt: skip
    assert (free["unit"], free["amount_text"]) == ("kWh", "-3 kWh")
    assert (paid["service"], paid["rule"], paid["amount_text"]) == ("energy", "energy", "-0.0625")
    steps = explain(office.desk, Catalogues(office.desk.store), paid["entry"])
    assert steps["matches"]
    assert steps["steps"][0].startswith("usage with key m1, received 20")
    assert not any("request number" in step for step in steps["steps"])
    assert any("0.25 EUR per 1 kWh" in step for step in steps["steps"])
    assert any("after: 0.25 kWh used" in step for step in steps["steps"])
    moved = explain(office.desk, Catalogues(office.desk.store), free["entry"])
    assert any("3 kWh were paid from the free units" in step for step in moved["steps"])
    shown = request_view(accounts.find_entry(office.desk, paid["entry"]).request)
    assert (shown["charged"][0]["unit"], shown["service_context"]) == ("kWh", "usage")
    assert shown["operator"] == "desk"


@pytest.mark.rule("K-310")
@pytest.mark.parametrize(
    "service,quantity,cost",
    [
        ("transfer", "2.5 MB", "0.06"),
        ("machine", "90 s", "0.90"),
        ("ticket", "2", "8.00"),
        ("lamp", "7", "0.00"),
        ("web", "150 kB", "0.004"),
        ("steam", "0", "0.00"),
    ],
)
def test_usage_of_every_unit_can_be_recorded(office, service, quantity, cost):
    office.open_account()
    assert charged(record(office, "one", service, quantity)) == cost
    office.must_be_clean()


@pytest.mark.rule("K-311")
def test_the_same_key_is_charged_once(office):
    account_id = office.open_account(days_ago=2)
    first = record(office, "m1", "ticket", "2", at_ns=at("2026-01-05T10:00"))
    office.clock.advance(3600)
    again = record(office, "m1", "ticket", "2", at_ns=at("2026-01-05T10:00"))
    assert again.repeated
    assert again.view() == {**first.view(), "repeated": True}
    assert money(office, account_id) == 2_000_000
    actions = office.desk.reports.actions(0, 10, account_id=account_id)
    assert [one.action for one in actions].count("usage record") == 1


@pytest.mark.rule("K-311")
@pytest.mark.parametrize(
    "other,difference",
    [
        (Usage("m1", "energy", "4 kWh"), "quantity was '5 kWh', now '4 kWh'"),
        (Usage("m1", "steam", "5 kWh"), "service was 'energy', now 'steam'"),
        (Usage("m1", "energy", "5 kWh", attributes=(("meter", "car"),)),
         "attributes was '', now 'meter=car'"),
        (Usage("m1", "energy", "5 kWh", at_ns=at("2026-01-05T09:00")),
         "time was '2026-01-05T12:00:00.000000Z', now '2026-01-05T09:00:00.000000Z'"),
    ],
)  # fmt: skip
def test_a_key_with_other_content_is_refused_and_the_difference_named(office, other, difference):
    account_id = office.open_account()
    record(office, "m1", "energy", "5 kWh")
    before = money(office, account_id)
    with pytest.raises(ConflictError) as refusal:
        usage.record(office.desk, office.catalogues, f"+{NUMBER}", other)
    assert str(refusal.value) == f"key 'm1' was used before with other content: {difference}"
    assert money(office, account_id) == before


@pytest.mark.rule("K-311")
def test_keys_are_those_of_one_account(office):
    office.open_account()
    office.open_account("4915112345679")
    record(office, "m1", "ticket", "1")
    said = Usage("m1", "ticket", "2")
    other = usage.record(office.desk, office.catalogues, "+4915112345679", said)
    assert not other.repeated
    assert charged(other) == "8.00"


@pytest.mark.rule("K-312")
def test_usage_that_cannot_be_paid_leaves_nothing_and_may_come_again(office):
    account_id = office.open_account(balance=1_000_000)
    with pytest.raises(RefusedError, match="cannot cover the whole event"):
        record(office, "m1", "ticket", "1")
    found = find_subscriber(office.desk, f"+{NUMBER}")
    assert [line["side"] for line in accounts.ledger(office.desk, account_id, 10, 0)] == [
        "top-up", "allowance",
    ]  # fmt: skip
    accounts.top_up(office.desk, found, "5")
    done = record(office, "m1", "ticket", "1")
    assert not done.repeated
    assert money(office, account_id) == 2_000_000
    office.must_be_clean()


@pytest.mark.rule("K-365")
def test_usage_that_a_limit_refuses_is_not_said_to_lack_money(office):
    account_id = office.open_account()
    found = find_subscriber(office.desk, f"+{NUMBER}")
    before = money(office, account_id)
    caps.set_cap(office.desk, found, "mine", "3", "day", (), office.catalogues.current())
    with pytest.raises(RefusedError, match="limit 'mine' leaves less than the whole event"):
        record(office, "m1", "ticket", "1")
    assert money(office, account_id) == before
    assert charged(record(office, "m1", "ticket", "1", into_debt=True)) == "4.00"


@pytest.mark.rule("K-313")
def test_usage_that_happened_may_lead_into_debt(office):
    account_id = office.open_account(balance=1_000_000)
    done = record(office, "m1", "ticket", "1", into_debt=True)
    assert charged(done) == "4.00"
    assert money(office, account_id) == -3_000_000
    assert accounts.show(office.desk, account_id)["flags"] == ["over-usage"]
    office.must_be_clean()


@pytest.mark.rule("K-314")
def test_attributes_choose_the_price_and_stay_in_the_record(office):
    office.open_account()
    record(office, "m0", "energy", "3 kWh")
    car = record(
        office, "m1", "energy", "2 kWh", attributes=(("site", "roof-7"), ("meter", "car"))
    )
    assert charged(car) == "0.20"
    assert car.view()["attributes"] == {"meter": "car", "site": "roof-7"}
    main = record(office, "m2", "energy", "2 kWh", attributes=(("meter", "main"),))
    assert charged(main) == "0.50"
    office.must_be_clean()


@pytest.mark.rule("K-315")
def test_usage_costs_what_it_did_when_it_was_used(office):
    office.open_account(days_ago=2)
    record(office, "m0", "energy", "3 kWh")
    night = record(office, "m1", "energy", "1 kWh", at_ns=at("2026-01-04T23:00"))
    day = record(office, "m2", "energy", "1 kWh", at_ns=at("2026-01-04T12:00"))
    assert (charged(night), charged(day)) == ("0.12", "0.25")
    near = record(office, "m3", "letter", "1", destination="+34911")
    far = record(office, "m4", "letter", "1", destination="4930")
    assert (charged(near), charged(far)) == ("1.00", "2.00")


@pytest.mark.rule("K-314", "K-315")
@pytest.mark.parametrize(
    "said,message",
    [
        (Usage("", "energy", "1"), "a key is 1 to 200 printable characters"),
        (Usage("x" * 201, "energy", "1"), "a key is 1 to 200 printable characters"),
        (Usage("m1", "energi", "1"),
         "'energi' is no service of the catalogue; did you mean 'energy'?"),
        (Usage("m1", "energy", "1 Wh"), "'1 Wh': 'Wh' is no measure of kWh (known: kWh)"),
        (Usage("m1", "energy", "1", at_ns=at("2026-01-05T13:00")),
         "2026-01-05T13:00:00.000000Z is in the future"),
        (Usage("m1", "energy", "1", attributes=(("metre", "car"),)),
         "the catalogue declares no attribute 'metre'; it has meter, site"),
        (Usage("m1", "energy", "1", attributes=(("meter", "dog"),)),
         "'dog' is no value of 'meter'; it has main, car"),
        (Usage("m1", "energy", "1", attributes=(("site", "a b"),)),
         "site is 'a b', but a value is a word without spaces and commas, at most 64 long"),
        (Usage("m1", "energy", "1", attributes=(("site", "a"), ("site", "b"))),
         "an attribute is given twice"),
        (Usage("m1", "energy", "1", destination="34911"),
         "service 'energy' is not rated by destination"),
        (Usage("m1", "letter", "1", destination="home"),
         "'home' is no number in international format"),
    ],
)  # fmt: skip
def test_usage_that_makes_no_sense_is_refused(office, said, message):
    office.open_account()
    with pytest.raises((UsageError, NotFoundError)) as refusal:
        usage.record(office.desk, office.catalogues, f"+{NUMBER}", said)
    assert str(refusal.value) == message


@pytest.mark.rule("K-312")
def test_usage_of_a_blocked_account_is_refused(office):
    office.open_account()
    subscribers.set_blocked(office.desk, find_subscriber(office.desk, f"+{NUMBER}"), blocked=True)
    with pytest.raises(RefusedError, match="blocked"):
        record(office, "m1", "energy", "1 kWh")


DEARER = METERED.replace("{price: 0.25}", "{price: 0.30}").replace(
    "steam: {price: 1.00}", "steam: {price: 1.50}"
)


@pytest.mark.rule("K-316")
def test_late_usage_costs_what_the_catalogue_of_its_time_said(office):
    office.open_account(days_ago=2)
    record(office, "m0", "energy", "3 kWh")
    then = office.clock.now_ns()
    office.clock.advance(3_600)
    catalogs.publish(office.desk, DEARER, "dearer.yaml")
    office.clock.advance(3_600)
    now = record(office, "m1", "energy", "1 kWh")
    late = record(office, "m2", "energy", "1 kWh", at_ns=then + 60 * 10**9)
    first = record(office, "m3", "energy", "1 kWh", at_ns=at("2026-01-04T12:00"))
    assert [charged(one) for one in (now, late, first)] == ["0.30", "0.25", "0.30"]
    assert [one.view()["catalogue_version"] for one in (now, late, first)] == [2, 1, 2]
    office.must_be_clean()


@pytest.mark.rule("K-316")
def test_what_was_not_sold_then_costs_what_it_does_now(office):
    office.open_account()
    then = office.clock.now_ns()
    office.clock.advance(3_600)
    more = DEARER.replace("  ticket: {unit", "  new: {unit: kWh}\n  ticket: {unit")
    more = more.replace("      ticket: {price", "      new: {price: 2}\n      ticket: {price")
    catalogs.publish(office.desk, more.replace("decimals: 3", "decimals: 4"), "more.yaml")
    new = record(office, "m1", "new", "1", at_ns=then)
    finer = record(office, "m2", "steam", "0.0001 kWh", at_ns=then)
    assert (charged(new), charged(finer)) == ("2.00", "0.00015")
    office.must_be_clean()


def entry_of(office, account_id, unit):
    lines = accounts.ledger(office.desk, account_id, 10, 0)
    return next(
        one["entry"] for one in lines if one["side"] == "revenue" and one["unit"] == unit
    )


@pytest.mark.rule("K-310")
def test_recorded_usage_is_given_back_in_money_and_in_its_unit(office):
    account_id = office.open_account()
    record(office, "m1", "energy", "5 kWh")
    money_entry = entry_of(office, account_id, "money")
    part = accounts.refund(office.desk, money_entry, "0.20")
    assert (part.amount, money(office, account_id)) == (200_000, 9_700_000)
    units_entry = entry_of(office, account_id, "kWh")
    with pytest.raises(RefusedError, match="took 3 kWh, of which 3 kWh can still be refunded"):
        accounts.refund(office.desk, units_entry, "4 kWh")
    back = accounts.refund(office.desk, units_entry, "1.25 kWh")
    assert back.view()["amount_text"] == "1.25 kWh"
    assert accounts.refund(office.desk, units_entry).view()["amount_text"] == "1.75 kWh"
    office.must_be_clean()


@pytest.mark.rule("K-300")
def test_free_units_are_topped_up_in_their_unit(office):
    account_id = office.open_account()
    found = find_subscriber(office.desk, f"+{NUMBER}")
    topped = accounts.top_up(office.desk, found, "10.5 kWh", bucket="solar", reference="r1")
    assert (topped.amount, topped.view()["unit"]) == (10_500, "kWh")
    again = accounts.top_up(office.desk, found, "10500", bucket="solar", reference="r2")
    assert again.amount == 10_500_000
    with pytest.raises(UsageError, match="'MB' is no measure of kWh"):
        accounts.top_up(office.desk, found, "10 MB", bucket="solar")
    assert money(office, account_id) == 10_000_000
    office.must_be_clean()


@pytest.mark.rule("K-310", "K-340")
def test_recorded_usage_is_charged_again_by_a_draft(office):
    office.open_account()
    started_ns = office.clock.now_ns()
    record(office, "m1", "energy", "5 kWh", attributes=(("meter", "main"),))
    record(office, "m2", "steam", "2 kWh")
    record(office, "m3", "ticket", "1")
    office.clock.advance(60)
    answers = []
    for text in (METERED, DEARER):
        draft = replace(catalogs.load(text, "draft.yaml"), source=text)
        question = whatif.Question(draft, "draft.yaml", started_ns)
        answers.append(whatif.view(whatif.compare(office.desk, question)))
    same, dearer = answers
    assert (same["charged"], same["difference"], same["unrated"]) == ("6.50", "0.00", [])
    assert dearer["difference"] == "1.10"


@pytest.mark.rule("K-300", "K-314")
def test_exported_records_say_the_unit_and_the_attributes(office):
    office.open_account()
    record(office, "m1", "energy", "1.5 kWh", attributes=(("site", "roof"), ("meter", "car")))
    office.clock.advance(60)
    table, lines = io.StringIO(), io.StringIO()
    records.export(office.desk, records.Selection(), "csv", table, lambda _done: None)
    records.export(office.desk, records.Selection(), "jsonl", lines, lambda _done: None)
    row = list(csv.DictReader(table.getvalue().splitlines()))[-1]
    assert (row["unit"], row["used"], row["used_text"]) == ("kWh", "1500", "1.5 kWh")
    document = json.loads(lines.getvalue().splitlines()[-1])
    assert document["said"] == {"named": {"meter": "car", "site": "roof"}}
    assert document["asked"][0]["service"] == "energy"


FEES = METERED.replace("plans:\n  basic:\n", """plans:
  basic:
    recurring:
      month: {every: month, day: 1, fee: FEE}
""")


@pytest.mark.rule("K-316")
def test_what_is_due_before_late_usage_is_done_by_the_catalogue_in_force(tmp_path):
    with metered_office(f"sqlite:///{tmp_path}/ocs.db", FEES.replace("FEE", "1.00")) as office:
        account_id = office.open_account()
        then = office.clock.now_ns()
        office.clock.advance(3_600)
        catalogs.publish(office.desk, FEES.replace("FEE", "2.00"), "dearer.yaml")
        before = money(office, account_id)
        office.clock.advance(27 * 86_400)  # 1 February
        late = record(office, "m1", "ticket", "1", at_ns=then)
        assert late.view()["catalogue_version"] == 1
        assert before - money(office, account_id) == 4_000_000 + 2_000_000
        office.must_be_clean()


@pytest.mark.rule("K-334")
def test_usage_from_before_the_account_was_opened_is_refused(office):
    office.clock.advance(86_400)
    account_id = office.open_account()
    opened = office.clock.now_ns()
    office.clock.advance(3_600)
    with pytest.raises(RefusedError) as refusal:
        record(office, "m1", "ticket", "1", at_ns=at("2020-03-01T12:00"))
    assert str(refusal.value) == (
        "it was used at 2020-03-01T12:00:00.000000Z, before the account was opened at "
        "2026-01-06T12:00:00.000000Z: if the customer owes it all the same, take the amount with "
        "`ocs account adjust`"
    )
    skew = usage.AHEAD_SECONDS * 10**9
    with pytest.raises(RefusedError, match="before the account was opened"):
        record(office, "m1", "ticket", "1", into_debt=True, at_ns=opened - skew - 1)
    assert money(office, account_id) == 10_000_000
    assert charged(record(office, "m1", "ticket", "1", at_ns=opened - skew)) == "4.00"
    office.must_be_clean()


@pytest.mark.rule("K-322")
def test_usage_of_a_time_whose_records_are_pruned_is_refused(office):
    account_id = office.open_account()
    then = office.clock.now_ns()
    record(office, "m1", "ticket", "1", at_ns=then)
    office.clock.advance(3 * 86_400)
    day = maintenance.NS_PER_DAY
    maintenance.prune(office.desk, 2 * day, 2 * day)
    with pytest.raises(UsageError, match="nobody knows whether it was charged"):
        record(office, "m1", "ticket", "1", at_ns=then)
    assert money(office, account_id) == 6_000_000
    assert charged(record(office, "m1", "ticket", "1", at_ns=then + 2 * day)) == "4.00"
    office.must_be_clean()


@pytest.mark.rule("K-322")
@pytest.mark.parametrize("cut_short", [False, True])
def test_what_was_pruned_once_stays_known_as_pruned(office, cut_short):
    office.open_account()
    then = office.clock.now_ns()
    record(office, "m1", "ticket", "1", at_ns=then)
    office.clock.advance(3 * 86_400)
    day = maintenance.NS_PER_DAY
    if cut_short:

        def cut(_accounts):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            maintenance.prune(office.desk, 2 * day, 2 * day, progress=cut)
    else:
        maintenance.prune(office.desk, 2 * day, 2 * day)
        maintenance.prune(office.desk, 9 * day, 9 * day)
    with pytest.raises(UsageError, match="nobody knows whether it was charged"):
        record(office, "m1", "ticket", "1", at_ns=then)
    office.must_be_clean()
