"""Prices that a sponsor pays instead of the account (K-216)."""

import pytest

from ocs import yamldoc
from ocs.amounts import Unit
from ocs.catalog.loading.document import load_catalog
from ocs.errors import DocumentError
from ocs.ledger.account import Bucket, Contra
from tests.support.charging import ACCOUNT, Scenario

TEXT = """
name: Sponsored
currency: EUR
taxes: {vat: {rate: 25 %}}
services:
  web: {contexts: 32251@3gpp.org, rating_groups: [100], unit: octets,
        quota: {slice: 1 MB, maximum: 100 MB}}
  video: {contexts: 32251@3gpp.org, rating_groups: [200], unit: octets, tax: vat,
          quota: {slice: 1 MB, maximum: 100 MB}}
  sms: {contexts: 32274@3gpp.org, default: true, unit: events, quota: {slice: 1}}
plans:
  basic:
    services:
      web:
        prices:
          - {price: 0.10, per: 1 kB, increment: 1 kB}
          - {price: 0.03, per: 1 kB, increment: 1 kB, when: {apn: shop}, sponsor: mall}
      video: {price: 0.01, per: 1 kB, increment: 1 kB, sponsor: streamers}
      sms: {price: 0.05, sponsor: mall}
"""
CATALOG = load_catalog(yamldoc.parse(TEXT, "sponsored.yaml"))


def scenario(balance: str = "10.00", unit: Unit = Unit.OCTETS, free: int = 0) -> Scenario:
    bucket = Bucket(ACCOUNT, 7, Unit.OCTETS, "free", free, priority=1)
    return Scenario(CATALOG, balance, buckets=(bucket,) if free else (), unit=unit)


def lines(played: Scenario) -> list[tuple[str, str, int]]:
    return [
        (Contra(line.contra).name, line.rule, line.amount)
        for line in played.store.movements(ACCOUNT)
        if line.contra in (Contra.REVENUE, Contra.TAX, Contra.SPONSOR, Contra.REFUND)
    ]


@pytest.mark.rule("K-216")
@pytest.mark.parametrize("balance", ["10.00", "0.00"])
def test_the_sponsor_pays_and_the_account_neither_holds_nor_pays(balance):
    played = scenario(balance, free=500_000)
    played.play(f"""
        I 0  200 rsu=1000000             => 200 ok 1000000 thr=200000 | B={balance} R=0
        U 1  200 used=1500 rsu=1000000   => 200 ok 1000000 thr=200000 | B={balance} R=0
        T 2  200 used=1500               => 2001  | B={balance} R=0
    """)
    assert lines(played) == [
        ("SPONSOR", "streamers", 20_000), ("REVENUE", "video", -16_000), ("TAX", "video", -4_000),
        ("SPONSOR", "streamers", 10_000), ("REVENUE", "video", -8_000), ("TAX", "video", -2_000),
    ]  # fmt: skip
    charged = [one for record in played.store.stored_records(ACCOUNT)
               for one in record.record.charged]  # fmt: skip
    assert [(one.charged_micro, one.from_buckets) for one in charged if one.used] == [(0, 0)] * 2
    assert sum(paid.amount_micro for one in charged for paid in one.sponsored) == 30_000
    assert [one.available for one in played.load()[1] if one.name == "free"] == [500_000]


@pytest.mark.rule("K-216")
def test_a_condition_decides_whether_the_sponsor_pays():
    played = scenario()
    played.play("""
        I 0  100 rsu=1000 apn=shop       => 100 ok 1000 thr=200 | B=10.00 R=0
        U 1  100 used=1000 rsu=1000 apn=other => 100 ok 1000 thr=200 | B=10.00 R=0.10
        T 2  100 used=1000               => 2001  | B=9.90 R=0
    """)
    assert [one for one in lines(played) if one[0] == "SPONSOR"] == [("SPONSOR", "mall", 30_000)]


@pytest.mark.rule("K-216")
def test_a_refund_gives_back_to_the_sponsor():
    played = scenario("0.00", unit=Unit.EVENTS)
    played.play("E 0  - rsu=3 action=0 context=32274@3gpp.org => - ok 3 | B=0 R=0")
    reference = played.reply.refund_reference
    played.play(
        f"E 1  - rsu=1 action=1 context=32274@3gpp.org refund={reference} => 2001 | B=0 R=0"
    )
    assert lines(played) == [
        ("SPONSOR", "mall", 150_000), ("REVENUE", "sms", -150_000),
        ("SPONSOR", "mall", -50_000), ("REFUND", "", 50_000),
    ]  # fmt: skip


@pytest.mark.rule("K-216")
@pytest.mark.parametrize(
    "old,new,said",
    [
        ("sponsor: streamers", "sponsor: Big One", "cannot be the code of a sponsor"),
        ("sponsor: streamers", "counted: day, sponsor: one", "does not go with 'counted'"),
        ("price: 0.05, sponsor", "charge: free, sponsor", "sponsor"),
    ],
)
def test_a_mistake_about_a_sponsor_is_told(old, new, said):
    assert old in TEXT
    with pytest.raises(DocumentError, match=r"sponsored.yaml:\d+:\d+.*" + said):
        load_catalog(yamldoc.parse(TEXT.replace(old, new, 1), "sponsored.yaml"))
