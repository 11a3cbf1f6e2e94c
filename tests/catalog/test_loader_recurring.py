"""What recurs in a plan, as a catalogue says it: every form, and every mistake with its place."""

import pytest

from ocs import yamldoc
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.recurring import Cycle, Every, Recurring, Unpaid
from ocs.errors import DocumentError
from ocs.provisioning.catalogues.catalog_diff import differences

TEXT = """
name: Recurring
currency: EUR
time_zone: Europe/Madrid
services:
  web:
    contexts: 32251@3gpp.org
    default: true
    unit: octets
    quota: {slice: 1 MB}
plans:
  basic:
    services: {web: {price: 0.10, per: 1 MB, increment: 1 MB}}
    allowances:
      data: {unit: octets, amount: 1 GB}
      gift: {unit: octets, amount: 1 GB}
    recurring:
      base: {BODY}
"""
FEE = "fee: 5"


def item(body: str) -> Recurring:
    text = TEXT.replace("BODY", body)
    (found,) = load_catalog(yamldoc.parse(text, "recurring.yaml")).plans["basic"].recurring
    return found


def mistakes(body: str) -> list[str]:
    with pytest.raises(DocumentError) as raised:
        item(body)
    return [str(problem) for problem in raised.value.problems]


@pytest.mark.rule("K-261", "K-262")
@pytest.mark.parametrize(
    ("words", "cycle"),
    [
        ("every: month", Cycle(Every.MONTH)),
        ("every: months", Cycle(Every.MONTH)),
        ("every: 30 days", Cycle(Every.DAY, 30)),
        ("every: 2 weeks", Cycle(Every.WEEK, 2)),
        ("every: year", Cycle(Every.YEAR)),
        ("every: month, day: 31", Cycle(Every.MONTH, on=31)),
        ("every: 3 months, day: 1, at: 06:30", Cycle(Every.MONTH, 3, 1, 390)),
        ("every: week, day: sun", Cycle(Every.WEEK, on=6)),
        ("every: year, day: 02-29", Cycle(Every.YEAR, on=229)),
        ("every: day, at: 00:00", Cycle(Every.DAY, on=0)),
    ],
)
def test_periods(words: str, cycle: Cycle) -> None:
    assert item(f"{words}, {FEE}") == Recurring("base", cycle, 5_000_000)


@pytest.mark.rule("K-264", "K-265", "K-266")
def test_everything_an_item_may_say() -> None:
    assert item(
        "every: month, day: 1, fee: 9.99, allowances: [data, gift], prorate: true, "
        "retry: [1 h, 1 d], unpaid: bar"
    ) == Recurring(
        "base", Cycle(Every.MONTH, on=1), 9_990_000, ("data", "gift"), True, (3600, 86_400),
        Unpaid.BAR,
    )  # fmt: skip
    assert item("every: week, allowances: data").fee_micro == 0


@pytest.mark.rule("K-264")
def test_an_allowance_that_is_renewed_does_not_come_with_the_plan_besides() -> None:
    text = TEXT.replace("BODY", "every: month, allowances: data")
    plan = load_catalog(yamldoc.parse(text, "recurring.yaml")).plans["basic"]
    assert [one.code for one in plan.given_once] == ["gift"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("every: month", "recurring item 'base' does nothing: give fee or allowances"),
        ("fee: 5", "every"),
        ("every: fortnight, fee: 5", "'fortnight' is no period such as day, week, month"),
        ("every: 0 days, fee: 5", "'0 days' is no period"),
        ("every: 11 years, fee: 5", "'11 years' is too long; the most is 10 years"),
        ("every: month, day: 32, fee: 5", "'32' is no day of the month, 1 to 31"),
        ("every: week, day: 1, fee: 5", "'1' is no day of the week (mon, tue"),
        ("every: year, day: 02-30, fee: 5", "'02-30' is no day of the year such as 04-01"),
        ("every: day, day: 1, fee: 5", "every day has no other 'day'; 'at' is its time"),
        ("every: month, at: 06:00, fee: 5", "'at' needs a day of the calendar"),
        ("every: day, at: 24:00, fee: 5", "'24:00' is no time of day such as 06:30"),
        ("every: 2 weeks, day: mon, fee: 5", "the calendar has periods of a day, a week, 1, 2, 3"),
        ("every: 5 months, day: 1, fee: 5", "the calendar has periods of a day, a week, 1, 2, 3"),
        ("every: month, fee: 0", "'0' is not more than zero"),
        ("every: month, fee: 0.0000001", "finer than 0.000001"),
        ("every: month, allowances: date", "'date' is no allowance of plan 'basic'"),
        ("every: month, allowances: [data, data]", "'data' is renewed by 'base' already"),
        ("every: month, allowances: data, retry: 1 h", "'retry' is about a fee, and there is none"),
        ("every: month, allowances: data, unpaid: bar", "'unpaid' is about a fee"),
        ("every: month, fee: 5, unpaid: block", "'block' is no unpaid"),
        ("every: month, fee: 5, retry: [27 d, 1 d]", "a period may be over before this"),
        ("every: month, fee: 5, retry: soon", "'soon' is not a quantity of seconds"),
        ("every: month, fee: 5, prorated: true", "prorated"),
    ],
)
def test_a_mistake_is_told_with_its_place(body: str, said: str) -> None:
    (mistake,) = mistakes(body)
    line = 1 + TEXT[: TEXT.index("BODY")].count("\n")
    assert mistake.startswith(f"recurring.yaml:{line}:")
    assert said in mistake


@pytest.mark.rule("K-103")
def test_what_recurs_is_compared_by_what_it_means() -> None:
    def catalog(body: str):
        return load_catalog(yamldoc.parse(TEXT.replace("BODY", body), "recurring.yaml"))

    old = catalog("every: month, day: 1, fee: 5, retry: 1 h")
    assert differences(old, catalog("every: months, day: 1, fee: 5.00, retry: 60 min")) == []
    found = differences(old, catalog("every: week, fee: 6, retry: [1 h, 1 d], unpaid: bar"))
    assert {(".".join(one.path), one.before, one.after) for one in found} == {
        ("plans.basic.recurring.base.every", "month on day 1 at 00:00", "week from the first day"),
        ("plans.basic.recurring.base.fee", "5.00", "6.00"),
        ("plans.basic.recurring.base.retry", "3600 s", "3600 s, 86400 s"),
        ("plans.basic.recurring.base.unpaid", "continue", "bar"),
    }
