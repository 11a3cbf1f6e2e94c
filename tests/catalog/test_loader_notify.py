"""The section ``notify``: for all plans, for one of them, and what is refused with its place."""

import pytest

from ocs import yamldoc
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.notify import NotifyPolicy
from ocs.errors import DocumentError
from ocs.provisioning.catalogues.catalog_diff import differences

DAY = 86_400


def document(notify: str = "", own: str = "", networks: str = "networks: {home: [214-07]}") -> str:
    return f"""\
name: Told
currency: EUR
{notify}
{networks}
services:
  web: {{contexts: 32251@3gpp.org, default: true, unit: octets, quota: {{slice: 1 MB}}}}
plans:
  basic:
    {own}
    services:
      web: {{price: 0.05, per: 1 MB, increment: 1 MB}}
  other:
    services:
      web: free
"""


def load(*parts: str):
    return load_catalog(yamldoc.parse(document(*parts), "told.yaml"))


@pytest.mark.rule("K-388")
def test_the_keys_of_a_plan_replace_those_of_the_file():
    catalog = load(
        "notify: {used: [80 %, 50, 100 %], low_balance: [0, 5.00], caps: 80 %, life_cycle: true}",
        "notify: {expiry: [1 d, 7 d], low_balance: 0.50, roaming: true, life_cycle: false}",
    )
    assert catalog.plans["other"].notify == NotifyPolicy(
        used=(50, 80, 100), low_balance=(5_000_000, 0), caps=(80,), life_cycle=True
    )
    assert catalog.plans["basic"].notify == NotifyPolicy(
        used=(50, 80, 100), low_balance=(500_000,), expiry=(7 * DAY, DAY), caps=(80,), roaming=True
    )


@pytest.mark.rule("K-386", "K-388")
@pytest.mark.parametrize(
    "notify,own",
    [
        ("", ""),
        ("", "notify: {used: [], renewal: false}"),
        ("notify: {used: 50 %, renewal: true}", "notify: {used: [], renewal: false}"),
    ],
)
def test_a_plan_that_tells_nothing_has_no_policy(notify, own):
    assert load(notify, own).plans["basic"].notify is None


@pytest.mark.rule("K-388")
@pytest.mark.parametrize(
    "notify,place,said",
    [
        ("notify: {used: 0 %}", "3:16", "no share of 1 % to 100 %"),
        ("notify: {used: [50, 101 %]}", "3:21", "no share of 1 % to 100 %"),
        ("notify: {caps: [50, 50 %]}", "3:21", "'50 %' is given twice"),
        ("notify: {used: half}", "3:16", "no share of 1 % to 100 %"),
        ("notify: {low_balance: 1.0000001}", "3:23", "finer than"),
        ("notify: {low_balance: [2,00]}", "3:26", "amounts have a point, such as 2.00"),
        ("notify: {low_balance: [1, {}]}", "3:27", "list of single values"),
        ("notify: {expiry: 0 s}", "3:18", "too small"),
        ("notify: {expiry: 367 d}", "3:18", "too long"),
        ("notify: {roaming: maybe}", "3:19", "neither true nor false"),
        ("notify: {uesd: 50 %}", "3:10", "did you mean 'used'"),
        ("notify: [used]", "3:9", "a group of keys is needed"),
        (f"notify: {{used: [{', '.join(map(str, range(1, 12)))}]}}", "3:48", "more than 10"),
    ],
)
def test_what_cannot_be_told_is_refused_with_its_place(notify, place, said):
    with pytest.raises(DocumentError) as caught:
        load(notify)
    [problem] = caught.value.problems
    assert str(problem).startswith(f"told.yaml:{place}: ")
    assert said in str(problem)


@pytest.mark.rule("K-388")
@pytest.mark.parametrize("networks", ["", "networks: {eu: [208]}"])
def test_roaming_needs_to_know_home(networks):
    with pytest.raises(DocumentError, match="with one named 'home'"):
        load("", "notify: {roaming: true}", networks)


@pytest.mark.rule("K-388")
def test_a_difference_is_said_in_the_words_of_the_file():
    old = load("notify: {used: [50 %, 80 %], low_balance: [1.00], expiry: 1 d}")
    new = load("notify: {used: [50 %], low_balance: [1.00, 2.50], expiry: 2 d, renewal: true}")
    changes = {
        one.path[3]: (one.added, one.removed) for one in differences(old, new)
        if one.path[1] == "other"
    }
    assert changes == {
        "used": ((), ("80 %",)),
        "low_balance": (("2.50",), ()),
        "expiry": (("172800 s",), ("86400 s",)),
        "renewal": ((), ()),
    }
