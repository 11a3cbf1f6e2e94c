"""Catalogues are published whole; prices are answered with their steps; peers are checked."""

from typing import Any

import pytest

from ocs import yamldoc
from ocs.catalog.matching import CatalogIndex
from ocs.errors import DocumentError, NotFoundError, RefusedError, UsageError
from ocs.provisioning import instants, peers
from ocs.provisioning.catalogues import catalogs, prices
from ocs.provisioning.catalogues.prices import Question
from ocs.store.interface import PeerEntry
from tests.support.desks import CATALOGUE, NOON_NS

TEXT = yamldoc.read_text(CATALOGUE)


def quote(office, service, quantity, plan="basic", **more: Any):
    return prices.quote(
        office.catalogues.current(), Question(service, plan, quantity, at_ns=NOON_NS, **more)
    )


def test_publishing_the_same_again_changes_nothing(office):
    again = catalogs.publish(office.desk, TEXT, "black-box.yaml")
    assert (again.published, again.version) == (False, 1)
    changed = catalogs.publish(office.desk, TEXT + "\n# new\n", "black-box.yaml")
    assert (changed.published, changed.version) == (True, 2)
    assert office.catalogues.current().catalog.version == 2


@pytest.mark.rule("K-021")
def test_number_plans_are_published_with_their_catalogue(office, tmp_path):
    path, plan = tmp_path / "catalogue.yaml", tmp_path / "prefixes.csv"
    path.write_text(TEXT + "\nnumber_plans:\n  - {file: prefixes.csv}\n", encoding="utf-8")
    plan.write_text("99871,far-away\n", encoding="utf-8")
    text = catalogs.read(path)
    catalogs.publish(office.desk, text, str(path))
    plan.write_text("99872,far-away\n", encoding="utf-8")
    assert not catalogs.publish(office.desk, text, str(path)).published
    index = catalogs.Catalogues(office.desk.store).current()
    assert (index.zone_of("998711"), index.zone_of("998721")) == ("far-away", "")
    assert catalogs.publish(office.desk, catalogs.read(path), str(path)).version == 3
    index = catalogs.Catalogues(office.desk.store).current()
    assert (index.zone_of("998711"), index.zone_of("998721")) == ("", "far-away")
    plan.write_text("99872,far-away\n99872,elsewhere\n", encoding="utf-8")
    with pytest.raises(DocumentError, match=r"prefixes\.csv:2:1: the prefix 99872 is given twice"):
        catalogs.publish(office.desk, catalogs.read(path), str(path))
    assert office.desk.store.generations().catalogue == 3


@pytest.mark.rule("K-363")
def test_publishing_says_what_checking_warns_of(office):
    doubtful = TEXT + "\ntaxes:\n"
    line = doubtful.count("\n")
    for published in (True, False):
        publication = catalogs.publish(office.desk, doubtful, "c.yaml")
        assert publication.published is published
        view = catalogs.publication_view(office.desk.store, publication, NOON_NS)
        (warning,) = [one for one in view["warnings"] if one["line"] == line]
        assert warning["message"].startswith("'taxes' has no value, so it counts as not given")


def test_a_wrong_catalogue_is_refused_whole(office):
    with pytest.raises(DocumentError) as caught:
        catalogs.publish(office.desk, TEXT.replace("unit: octets", "unit: apples"), "bad.yaml")
    assert len(caught.value.problems) > 3
    assert all(one.line for one in caught.value.problems)
    assert office.desk.store.generations().catalogue == 1


def test_accounts_must_keep_their_plan_and_currency(office):
    office.open_account()
    with pytest.raises(RefusedError, match="1 accounts have plan 'basic'"):
        catalogs.publish(office.desk, TEXT.replace("  basic:\n", "  other:\n"), "x.yaml")
    with pytest.raises(RefusedError, match="kept in EUR, not USD"):
        catalogs.publish(office.desk, TEXT.replace("currency: EUR", "currency: USD"), "x.yaml")


@pytest.mark.rule("G01", "G07", "G08")
@pytest.mark.parametrize(
    "service,quantity,before,cost",
    [
        ("data", "7.3 MB", "", "0.40"),
        ("data", "400 kB", "1.4 MB", "0.00"),
        ("call-by-second", "61", "", "0.122"),
        ("call-by-minute", "61 s", "", "0.24"),
        ("call-with-setup", "1", "", "0.031667"),
        ("message", "4", "", "0.28"),
        ("free-data", "1 GB", "", "0.00"),
    ],
)
def test_prices(office, service, quantity, before, cost):
    shown = quote(office, service, quantity, before=before)
    assert shown["cost"] == cost
    assert shown["steps"]


@pytest.mark.parametrize(
    "service,quantity,more,error",
    [
        ("nothing", "1", {}, NotFoundError),
        ("data", "1", {"plan": "gold"}, NotFoundError),
        ("business-data", "1", {}, RefusedError),
        ("data", "1 min", {}, UsageError),
        ("data", "1", {"destination": "+49"}, UsageError),
    ],
)
def test_no_price(office, service, quantity, more, error):
    with pytest.raises(error):
        quote(office, service, quantity, **more)


def test_peers_are_stored_in_one_spelling(office):
    peers.allow(office.desk, PeerEntry("PGW1.Example.com.", "magma", False, ("192.0.2.9/24",)))
    [entry] = office.desk.store.peers()
    assert (entry.origin_host, entry.source_networks) == ("pgw1.example.com", ("192.0.2.0/24",))
    assert peers.remove(office.desk, "pgw1.EXAMPLE.com") == "pgw1.example.com"
    with pytest.raises(NotFoundError):
        peers.remove(office.desk, "pgw1.example.com")
    done = [one.action for one in office.desk.reports.actions(0, 10)]
    assert done[:2] == ["peer remove", "peer allow"]


@pytest.mark.parametrize(
    "peer",
    [
        PeerEntry(""),
        PeerEntry("a b"),
        PeerEntry("-x.example"),
        PeerEntry("x.example", profile="best"),
        PeerEntry("x.example", source_networks=("300.1.1.1",)),
        PeerEntry("x.example", comment="a\nb"),
    ],
)
def test_peers_that_cannot_be(office, peer):
    with pytest.raises(UsageError):
        peers.allow(office.desk, peer)
    assert office.desk.store.peers() == []


@pytest.mark.parametrize(
    "text,expected",
    [
        ("now", NOON_NS),
        ("2h", NOON_NS - 7200 * 10**9),
        ("90 s", NOON_NS - 90 * 10**9),
        ("2026-01-05", NOON_NS - 12 * 3600 * 10**9),
        ("2026-01-05T13:00:00+01:00", NOON_NS),
        ("2026-01-05T12:00:00Z", NOON_NS),
    ],
)
def test_instants(text, expected):
    assert instants.parse_instant(text, NOON_NS) == expected


@pytest.mark.rule("K-364")
@pytest.mark.parametrize("text", ["1970-01-01", "1970-01-01T00:00:00Z", "99999999d"])
def test_the_first_instant_is_not_taken_for_none(text):
    assert instants.parse_instant(text, NOON_NS) == 1


@pytest.mark.rule("K-364")
@pytest.mark.parametrize(
    "text", ["9999-12-31", "2201-01-01", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"]
)
def test_instants_that_nothing_can_keep_are_refused(text):
    with pytest.raises(UsageError, match="is not between 1970 and 2200"):
        instants.parse_instant(text, NOON_NS)


def test_an_instant_survives_being_shown():
    shown = instants.format_instant(NOON_NS + 123_456_000)
    assert shown == "2026-01-05T12:00:00.123456Z"
    assert instants.parse_instant(shown, 0) == NOON_NS + 123_456_000
    assert instants.format_instant(0) == ""
    with pytest.raises(UsageError):
        instants.parse_instant("yesterday", NOON_NS)


CONDITIONS = """
name: Away
currency: EUR
time_zone: UTC
time_bands:
  day: {from: 08:00, to: 20:00}
networks:
  home: [214-07]
  eu: [208]
services:
  web:
    contexts: 32251@3gpp.org
    default: true
    unit: octets
    quota: {slice: 10 MB}
  call:
    contexts: 32260@3gpp.org
    default: true
    unit: seconds
    quota: {slice: 1 min}
plans:
  basic:
    services:
      web:
        clock: subscriber
        prices:
          - {when: {visited: eu}, price: 2, per: 1 MB, increment: 1 MB}
          - {time_band: day, price: 3, per: 1 MB, increment: 1 MB}
          - {price: 1, per: 1 MB, increment: 1 MB}
      call:
        prices:
          - {when: {role: terminating, roaming: true}, price: 0.06, per: 1 min, increment: 1 s}
          - {price: 0.12, per: 1 min, increment: 1 s}
"""


@pytest.mark.rule("G-009")
@pytest.mark.parametrize(
    "service,quantity,when,conditions,cost",
    [
        ("web", "1 MB", (), "", "3.00"),
        ("web", "1 MB", ("visited=eu",), "visited=eu", "2.00"),
        ("web", "1 MB", ("rat=nr",), "", "3.00"),
        ("web", "1 MB", ("clock=+10:00",), "clock=+10:00", "1.00"),
        ("call", "60", (), "", "0.12"),
        (
            "call", "60", ("role=terminating", "roaming=yes"), "role=terminating roaming=yes",
            "0.06",
        ),
        ("call", "60", ("role=terminating", "roaming=no"), "role=terminating", "0.00"),
    ],
)  # fmt: skip
def test_prices_under_conditions(service, quantity, when, conditions, cost):
    index = CatalogIndex(catalogs.check(CONDITIONS, "away.yaml"))
    shown = prices.quote(index, Question(service, "basic", quantity, at_ns=NOON_NS, when=when))
    assert (shown["conditions"], shown["cost"]) == (conditions, cost)


ON_NET = CONDITIONS.replace("networks:", "own_numbers: [34600]\nnetworks:", 1).replace(
    "unit: seconds", "unit: seconds\n    destination_rated: true"
).replace("home: [214-07]", "home: [214-07]\n  sea: [901]").replace(
    "{visited: eu}", "{visited: [eu, sea]}"
).replace(
    "          - {price: 0.12, per",
    "          - {when: {relation: on-net}, price: 0.01, per: 1 min, increment: 1 s}\n"
    "          - {destination: spain, price: 0.12, per: 1 min, increment: 1 s}\n"
    "          - {price: 0.12, per",
).replace("plans:", "destinations:\n  spain: [34]\nplans:", 1)  # fmt: skip


@pytest.mark.parametrize(
    "number,when,cost",
    [
        ("+34600123456", (), "0.01"),
        ("34700123456", (), "0.12"),
        ("34600123456", ("relation=off-net",), "0.12"),
        ("34600123456", ("role=terminating",), "0.00"),
    ],
)
def test_whether_a_called_number_is_on_net_need_not_be_said(number, when, cost):
    index = CatalogIndex(catalogs.check(ON_NET, "away.yaml"))
    question = Question("call", "basic", "60", destination=number, at_ns=NOON_NS, when=when)
    assert prices.quote(index, question)["cost"] == cost


@pytest.mark.parametrize(
    "word,hint",
    [
        ("visited=ue", "known: eu, home"),
        ("rat=5g", "'5g' is no value of the condition 'rat'"),
        ("role=caller", "known: forwarding, originating, terminating"),
        ("roaming=maybe", "known: no, yes"),
    ],
)
def test_values_that_a_condition_never_has_are_refused(word, hint):
    index = CatalogIndex(catalogs.check(CONDITIONS, "away.yaml"))
    with pytest.raises(UsageError, match=hint):
        prices.quote(index, Question("web", "basic", "1 MB", at_ns=NOON_NS, when=(word,)))


def test_true_is_a_word_for_yes():
    index = CatalogIndex(catalogs.check(CONDITIONS, "away.yaml"))
    when = ("role=terminating", "roaming=true")
    shown = prices.quote(index, Question("call", "basic", "60", at_ns=NOON_NS, when=when))
    assert shown["cost"] == "0.06"
    assert (shown["units_text"], shown["units_before_text"]) == ("60 seconds", "0 seconds")


@pytest.mark.parametrize("word", ["visited", "vistied=eu", "visited=", "clock=2", "clock=+2:00"])
def test_words_that_are_no_conditions_are_refused(word):
    index = CatalogIndex(catalogs.check(CONDITIONS, "away.yaml"))
    with pytest.raises(UsageError, match="is no c"):
        prices.quote(index, Question("web", "basic", "1 MB", at_ns=NOON_NS, when=(word,)))
