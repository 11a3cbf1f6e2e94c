"""Who acts: groups by their share, subscribers by Zipf's law, services by what a group uses."""

import random
from collections import Counter

import pytest

from simulators.scenarios.document import DocumentError
from simulators.scenarios.model import parse_scenario
from simulators.scenarios.populations import Activity, IdentityPattern, Subscribers, zipf
from simulators.traffic.schedule import Schedule

SCENARIO = """\
name: people
seed: 5
load: {arrivals: {process: constant, per_second: 1000}, duration_seconds: 100}
gateways:
  - {origin_host: pgw1.net.example, origin_realm: net.example, window: 60000}
subscribers:
  - name: people
    count: 90
    share: 3
    uses: [sms, balance_check]
    identities: [{type: msisdn, pattern: "1##"}]
  - name: meters
    count: 900
    share: 1
    uses: [readings]
    identities: [{type: msisdn, pattern: "2###"}]
services:
  - {kind: sms, name: notes, weight: 3, destinations: [{number: "+4930#######"}]}
  - {kind: balance_check}
  - {kind: mms, name: readings, destinations: [{number: "+4930#######"}]}
"""


def people(scenario=SCENARIO):
    schedule = Schedule(parse_scenario(scenario, "s.yaml"), 1, Counter())
    schedule.lanes[0].open = True
    return [(due.session.identities[0][1], due.session.service.kind)
            for due in schedule.take_due(4.0)]  # fmt: skip


@pytest.mark.rule("X-008")
def test_groups_are_as_active_as_their_share_and_use_what_they_name():
    found = people()
    assert len(found) == 4001
    kinds = Counter((identity[0], kind) for identity, kind in found)
    assert set(kinds) == {("1", "sms"), ("1", "balance_check"), ("2", "mms")}
    assert kinds["2", "mms"] == pytest.approx(1000, rel=0.1)
    assert kinds["1", "sms"] == pytest.approx(3 * kinds["1", "balance_check"], rel=0.15)


@pytest.mark.rule("X-008")
def test_without_shares_every_subscriber_counts_alike():
    found = people(SCENARIO.replace("    share: 3\n", "").replace("    share: 1\n", ""))
    assert sum(kind == "mms" for _, kind in found) == pytest.approx(4001 * 900 / 990, rel=0.03)


@pytest.mark.rule("X-008")
@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.1, 2.0])
def test_activity_by_zipfs_law(exponent):
    dice = random.Random(3)
    counts = Counter(zipf(exponent, 50, dice) for _ in range(40_000))
    weights = [rank**-exponent for rank in range(1, 51)]
    assert set(counts) <= set(range(1, 51))
    for rank in (1, 2, 3, 10, 50):
        expected = 40_000 * weights[rank - 1] / sum(weights)
        assert counts[rank] == pytest.approx(expected, rel=0.05, abs=4 * expected**0.5)


@pytest.mark.parametrize("count", [1, 2, 100_000_000])
def test_zipf_stays_in_its_range(count):
    dice = random.Random(4)
    ranks = [zipf(1.2, count, dice) for _ in range(2000)]
    assert min(ranks) == 1
    assert max(ranks) <= count


def test_the_first_of_a_group_is_the_most_active():
    pattern = IdentityPattern(type="imsi", pattern="#####")
    group = Subscribers(identities=(pattern,), count=1000, activity=Activity(zipf=1.5))
    even = Subscribers(identities=(pattern,), count=1000)
    dice = random.Random(5)
    assert Counter(group.pick(dice) for _ in range(1000)).most_common(1)[0][0] == 0
    assert max(Counter(even.pick(dice) for _ in range(1000)).values()) < 12


@pytest.mark.rule("X-002")
@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("uses: [readings]", "uses: [reading]", "meters uses reading, which is no service here"),
        ("    share: 1\n", "", "give a share to every group of subscribers, or to none"),
        ("share: 3", "share: 0", "should be greater than 0"),
        ("uses: [readings]", "uses: []", "must not be empty"),
        ("count: 90\n", "count: 90\n    activity: {zipf: 0}\n", "should be greater than 0"),
        ("window: 60000", "window: 1, services: [sms, mms]", "no gateway carries balance_check"),
        ("window: 60000", "window: 1, shape: kamailio",
         "no gateway carries balance_check, mms, sms"),
        ("window: 60000", "window: 1, shape: magma, services: [sms]",
         "shape magma carries data only, not sms"),
    ],
)  # fmt: skip
def test_a_mix_that_cannot_be_is_refused(old, new, problem):
    assert old in SCENARIO
    with pytest.raises(DocumentError) as caught:
        parse_scenario(SCENARIO.replace(old, new), "s.yaml")
    assert [problem in str(one) for one in caught.value.problems] == [True]
