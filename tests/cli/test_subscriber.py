"""`ocs subscriber add --account`: several subscribers of one account."""


def test_a_subscriber_joins_an_account_and_leaves_it(cli, stocked):
    joined = cli("subscriber", "add", "+4915112345679", "--account", stocked["account"], "--json")
    assert joined.code == 0, joined.err
    assert len(joined.json["members"]) == 2
    assert "Member" in cli("subscriber", "show", "+4915112345679").out
    left = cli("subscriber", "remove", "+4915112345679", "--json")
    assert (left.code, left.json["status"], len(left.json["members"])) == (0, "active", 1)


def test_an_account_of_its_own_needs_a_plan_and_a_shared_one_has_it(cli, stocked):
    assert cli("subscriber", "add", "+4915112345679").code == 2
    account = ("--account", stocked["account"])
    for more in (("--plan", "basic"), ("--balance", "1"), ("--credit-limit", "0")):
        assert cli("subscriber", "add", "+4915112345679", *account, *more).code == 2
    assert cli("subscriber", "add", "+4915112345679", "--account", "+491").code == 1
