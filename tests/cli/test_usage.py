"""`ocs usage`: what people see, and how it ends."""

import pytest

from tests.support.metered import METERED

NUMBER = "+4915112345678"


@pytest.fixture
def shop(cli, tmp_path):
    """Sell metered services to one subscriber."""
    (tmp_path / "metered.yaml").write_text(METERED)
    assert cli("db", "upgrade").code == 0
    assert cli("catalog", "publish", tmp_path / "metered.yaml").code == 0
    assert cli("subscriber", "add", NUMBER, "--plan", "basic", "--balance", "10").code == 0
    return cli


@pytest.mark.rule("K-310", "K-311")
def test_recorded_usage_is_shown_with_its_charge(shop):
    arguments = ("usage", "record", NUMBER, "energy", "3.5 kWh", "--key", "m1",
                 "--attribute", "meter=car", "--at", "2m")  # fmt: skip
    first = shop(*arguments, "--json").json
    assert (first["quantity_text"], first["charged"]) == ("3.5 kWh", "0.05")
    assert first["attributes"] == {"meter": "car"}
    shown = shop("usage", "record", NUMBER, "steam", "1", "--key", "m2")
    assert shown.code == 0
    assert "1 kWh" in shown.out
    assert "Free units" not in shown.out
    again = shop("usage", "record", NUMBER, "steam", "1", "--key", "m2")
    assert "m2, charged before" in again.out
    other = shop("usage", "record", NUMBER, "steam", "2", "--key", "m2", "--json")
    assert (other.code, other.error["code"]) == (1, "ocs.conflict")
    assert shop("why", first["entry"]).code == 0
    priced = shop("price", "steam", "1.5 kWh", "--plan", first["plan"]).out
    assert "1.5 kWh" in priced
    assert "Before" not in priced


@pytest.mark.rule("K-313")
def test_a_refusal_is_said_and_may_be_overruled(shop):
    arguments = ("usage", "record", NUMBER, "ticket", "3", "--key", "m1")
    refused = shop(*arguments)
    assert (refused.code, refused.err) == (1, "ocs: the account cannot cover the whole event\n")
    assert shop(*arguments, "--into-debt", "--json").json["balance"] == "-2.00"


def test_an_attribute_is_a_name_with_a_value(shop):
    ran = shop("usage", "record", NUMBER, "steam", "1", "--key", "m1", "--attribute", "meter")
    assert ran.code == 2
    assert "'meter' is not NAME=VALUE" in ran.err


@pytest.mark.rule("K-317", "K-318")
def test_an_import_with_refused_rows_ends_with_one(shop, tmp_path):
    file, refused = tmp_path / "march.csv", tmp_path / "refused.csv"
    file.write_text(
        f"key,subscriber,service,quantity\na,{NUMBER},steam,2\nb,{NUMBER},steem,2\n"
    )
    ran = shop("usage", "import", file, "--refused", refused)
    assert ran.code == 1
    assert "'steem' is no service of the catalogue" in ran.out
    assert refused.read_text().splitlines()[1].startswith(f"b,{NUMBER},steem,2,3,")
    assert shop("usage", "import", file, "--refused", refused).code == 1
    file.write_text(refused.read_text().replace("steem", "steam"))
    again = shop("usage", "import", file, "--json")
    assert (again.code, again.json["charged"]) == (0, 1)
