"""The sample catalogues: each is published whole, sells what it says, and its books add up."""

import io
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ocs import yamldoc
from ocs.charging.model.messages import Identity
from ocs.clock import IdSource, ManualClock
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.customers import accounts, subscribers
from ocs.provisioning.customers.subscribers import NewSubscriber
from ocs.provisioning.usage import usage_import
from tests.support.desks import NUMBER, open_office

FOLDER = Path(__file__).parents[2] / "config" / "catalogues"
SAMPLES = ("mobile", "iot", "cloud", "electricity")


@contextmanager
def selling(sample, tmp_path, plan):
    """Yield an office and an account of 100.00 of a plan of a sample, opened five days before."""
    file = FOLDER / f"{sample}.yaml"
    with open_office(f"sqlite:///{tmp_path}/ocs.db", publish=False) as office:
        catalogs.publish(office.desk, yamldoc.read_text(file), file.name)
        new = NewSubscriber((Identity("msisdn", NUMBER),), plan, 100_000_000)
        before = ManualClock(office.clock.now_ns() - 5 * 86_400 * 10**9)
        desk = replace(office.desk, ids=IdSource(before, 2))
        shown = subscribers.add(desk, new, office.catalogues.current())
        yield office, int(shown["account_id"])


def charge(office, tmp_path, text):
    file = tmp_path / "usage.csv"
    file.write_text(text.replace("ME", NUMBER))
    refused = io.StringIO()
    result = usage_import.run(office.desk, office.catalogues, file, refused=refused)
    assert result.refused == 0, refused.getvalue()
    office.must_be_clean()
    return result


def paid(office, account_id, sides=("revenue", "tax")):
    """What usage has cost, tax included, or what of it went to these sides."""
    lines = accounts.ledger(office.desk, account_id, 10_000, 0)
    return -sum(
        one["amount"] for one in lines
        if one["side"] in sides and one["unit"] == "money" and one["service"]
    )  # fmt: skip


@pytest.mark.rule("K-101")
@pytest.mark.parametrize("sample", SAMPLES)
def test_every_sample_has_examples_for_what_it_is_about(sample):
    catalog = catalogs.check(yamldoc.read_text(FOLDER / f"{sample}.yaml"), sample)
    assert len(catalog.examples) >= 12
    assert len({one.plan for one in catalog.examples}) >= 4
    assert len({one.service for one in catalog.examples}) >= 4


@pytest.mark.rule("K-310", "K-320")
def test_an_hour_of_a_cloud(tmp_path):
    with selling("cloud", tmp_path, "pay-as-you-go") as (office, account_id):
        rows = "".join(
            f"lb/{number},ME,requests,{number % 7},,eu,\n" for number in range(700)
        )
        charge(
            office, tmp_path,
            "key,subscriber,service,quantity,machine,region,tier\n" + rows
            + "vm/1,ME,compute,3600 s,large,eu,\n"
            + "vm/2,ME,compute,12 s,gpu,us,\n"
            + "disk/1,ME,storage,0.5,,eu,hot\n"
            + "disk/2,ME,storage,0.5,,eu,hot\n"
            + "net/1,ME,transfer,99.9995 GB,,eu,\n"
            + "net/2,ME,transfer,1 GB,,eu,\n",
        )  # fmt: skip
        requests = 420  # 2100 at 0.0000002
        compute = 166_400 + 41_333  # an hour, and a minute at least
        storage, transfer = 32, 90_000 - 0  # 31.5 rounded up; 1 GB beyond 100
        assert paid(office, account_id) == requests + compute + storage + transfer


@pytest.mark.rule("K-310", "K-302")
def test_a_month_of_electricity(tmp_path):
    with selling("electricity", tmp_path, "roof") as (office, account_id):
        charge(
            office, tmp_path,
            "key,subscriber,service,quantity,at,station\n"
            + "".join(f"m/{day},ME,energy,10 kWh,2026-01-{day:02}T11:00Z,s-4\n"
                      for day in range(1, 6))
            + "".join(f"n/{day},ME,energy,0.001 kWh,2026-01-05T11:00Z,\n" for day in range(3)),
        )  # fmt: skip
        assert paid(office, account_id) == 0
        charge(
            office, tmp_path,
            "key,subscriber,service,quantity\nx,ME,energy,70 kWh\ny,ME,energy,0.001 kWh\n",
        )  # fmt: skip
        assert paid(office, account_id) == 636  # 4 Wh at 0.159 a kWh
        left = accounts.show(office.desk, account_id)["buckets"]
        assert [one["available_text"] for one in left if one["name"] == "solar"] == ["0 kWh"]


@pytest.mark.rule("K-310")
def test_a_car_and_a_house_have_prices_of_their_own(tmp_path):
    with selling("electricity", tmp_path, "electric") as (office, account_id):
        charge(
            office, tmp_path,
            "key,subscriber,service,quantity,at,meter\n"
            "a,ME,energy,40 kWh,2026-01-03T15:00Z,car\n"  # a Saturday
            "b,ME,energy,40 kWh,2026-01-05T11:00Z,car\n"
            "c,ME,energy,1 kWh,2026-01-05T11:00Z,\n"
            "d,ME,parking,3 h,2026-01-05T08:00Z,\n",
        )  # fmt: skip
        assert paid(office, account_id) == 2_852_000 + 5_680_000 + 168_800 + 12_000_000


@pytest.mark.rule("K-310", "K-320")
def test_things_that_send_a_little(tmp_path):
    with selling("iot", tmp_path, "tracker") as (office, account_id):
        charge(
            office, tmp_path,
            "key,subscriber,service,quantity,source,quality\n"
            + "".join(f"p{number},ME,position,1,cell,\n" for number in range(20))
            + "s,ME,position,3001,satellite,\n"
            + "".join(f"m{number},ME,message,1,,once\n" for number in range(10))
            + "".join(f"n{number},ME,message,1,,\n" for number in range(10)),
        )  # fmt: skip
        beyond = 20 + 3001 - 3000
        assert paid(office, account_id) == beyond * 50_000 + 40 + 13


@pytest.mark.rule("K-310")
def test_what_is_bought_on_the_bill(tmp_path):
    with selling("mobile", tmp_path, "monthly") as (office, account_id):
        charge(
            office, tmp_path,
            "key,subscriber,service,quantity,kind,shop\n"
            "a,ME,content,1,game,play.example\nb,ME,content,3,donation,\n",
        )  # fmt: skip
        assert paid(office, account_id) == 990_000 + 3_000_000


@pytest.mark.rule("K-260", "K-302")
def test_a_plan_by_the_month_takes_its_fee_and_brings_its_units(tmp_path):
    with selling("mobile", tmp_path, "monthly") as (office, account_id):
        shown = accounts.show(office.desk, account_id)
        left = {one["name"]: one["available_text"] for one in shown["buckets"]}
        assert left == {
            "main": "85.10", "month-data": "20 GB", "month-minutes": "8 h 20 min",
            "month-messages": "200 events",
        }  # fmt: skip
        assert {one["balance"] for one in shown["buckets"]} >= {20 * 10**9, 30_000, 200}
        office.data_session(account_id, group=100, used=(1_000_000,))
        office.must_be_clean()
        shown = accounts.show(office.desk, account_id)
        assert shown["balance"] == "85.10"


@pytest.mark.rule("K-310", "K-320")
def test_recorded_usage_has_its_tax_beside_it(tmp_path):
    with selling("electricity", tmp_path, "hours") as (office, account_id):
        fee = 100_000_000 - accounts.show(office.desk, account_id)["balance_micro"]
        rows = "".join(f"h/{number},ME,energy,0.007 kWh\n" for number in range(100))
        charge(office, tmp_path, "key,subscriber,service,quantity\n" + rows)
        # 0.7 kWh in the peak of a Monday at 0.2418, and a tenth of it besides.
        assert paid(office, account_id, ["revenue"]) == 169_260
        assert paid(office, account_id, ["tax"]) == 16_926
        balance = accounts.show(office.desk, account_id)["balance_micro"]
        assert balance == 100_000_000 - fee - 169_260 - 16_926
