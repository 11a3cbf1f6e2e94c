"""What Gy adds to grants and reports: kinds of units, thresholds, reasons, calls, switches."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from ocs.amounts import Unit
from ocs.catalog.model import Catalog, Price, QuotaPolicy
from ocs.charging.model.messages import Outcome, ServiceRequest, Units, UsedUnits
from ocs.ledger.account import Bucket
from tests.support.charging import ACCOUNT, Scenario
from tests.support.tariffs import T_SEC, make_banded_catalog, make_catalog

CATALOG = make_catalog()
IMS = "context=32260@3gpp.org"


def play(text: str, catalog: Catalog = CATALOG, **account: object) -> Scenario:
    scenario = Scenario(catalog, **account)  # type: ignore[arg-type]
    scenario.play(text)
    return scenario


def with_quota(service: str, quota: QuotaPolicy) -> Catalog:
    services = {**CATALOG.services, service: replace(CATALOG.services[service], quota=quota)}
    return replace(CATALOG, services=services)


@pytest.mark.rule("T265", "G-001", "G23", "M-015")
def test_time_beside_volume_is_a_limit_only() -> None:
    play("""
        I 0  100 rsu=octets:10000000+seconds:60 => 100 ok octets:10000000+seconds:60 | R=0.50
        wait 55
        U 1  100 used=octets:10000000!QUOTA_EXHAUSTED used=seconds:55!OTHER_QUOTA_TYPE \
rsu=octets:10000000+seconds:60 => 100 ok octets:10000000+seconds:60 | B=9.50 R=0.50
        T 2  100 used=octets:10000000+seconds:55 => 100 ok | B=9.00 R=0
    """)
    play("I 0  500 rsu=octets:1000+seconds:60 => 500 ok octets:1000+seconds:60 | R=0.12")


@pytest.mark.rule("T266", "G-002")
def test_total_octets_are_what_counts() -> None:
    play("""
        I 0  100 rsu  => 100 ok 10000000
        U 1  100 used=octets:1500000+input_octets:500000+output_octets:1000000 => 100 ok | B=9.90
        T 2  100 used=input_octets:400000+output_octets:700000 => 100 ok                 | B=9.85
    """)


@pytest.mark.rule("C-161", "G-003")
def test_kinds_of_octets_granted() -> None:
    play("""
        I 0  100 rsu=octets:900+input_octets:900+output_octets:900 => 100 ok 900
        U 1  100 rsu=input_octets:4000000  => 100 ok 4000000 | R=0.20
        U 2  100 rsu=output_octets:4000000 => 100 ok 4000000 | R=0.20
        U 3  100 rsu=input_octets:1000000+output_octets:1000000 \
=> 100 ok input_octets:1000000+output_octets:1000000 | R=0.10
    """)


@pytest.mark.rule("G-004", "G-121", "T257", "T259")
def test_thresholds() -> None:
    scenario = play("I 0  100 rsu => 100 ok 10000000 thr=2000000")
    (reply,) = scenario.reply.services
    assert reply.volume_threshold_octets == 2_000_000
    assert (reply.time_threshold_seconds, reply.unit_threshold_events) == (0, 0)
    scenario = play("I 0 context=32274@3gpp.org 1 rsu=events:10 => 1 ok 10 thr=2 | R=0.70")
    (reply,) = scenario.reply.services
    assert reply.unit_threshold_events == 2
    assert (reply.volume_threshold_octets, reply.time_threshold_seconds) == (0, 0)
    play("I 0 context=32274@3gpp.org 1 rsu=events:4 => 1 ok 4 thr=0")


@pytest.mark.rule("G-121", "T257")
def test_threshold_fits_its_avp() -> None:
    huge = 1 << 40
    catalog = with_quota("music", QuotaPolicy(huge, huge))
    play(f"I 0  310 rsu => 310 ok {huge} thr={(1 << 32) - 1}", catalog)


@pytest.mark.rule("G-122", "T260")
@pytest.mark.parametrize("seconds", [300, 0])
def test_quota_holding_time(seconds: int) -> None:
    policy = QuotaPolicy(10_000_000, 10_000_000, quota_holding_seconds=seconds)
    play(f"I 0  100 rsu => 100 ok 10000000 qht={seconds}", with_quota("data", policy))


@pytest.mark.rule("G-122", "T260")
def test_quota_holding_time_unset() -> None:
    scenario = play("I 0  100 rsu => 100 ok 10000000")
    assert scenario.reply.services[0].quota_holding_seconds is None


@pytest.mark.rule("G-008", "G-143", "M-007", "T262", "T263")
@pytest.mark.parametrize("reason", ["FINAL", "QUOTA_HOLDING_TIME", "UNUSED_QUOTA_TIMER"])
def test_reports_that_end_a_quota(reason: str) -> None:
    for where in (f"reason={reason} used=700000", f"used=700000!{reason}"):
        play(f"""
            I 0  100 rsu; 200 rsu=1000000 => 100 ok 10000000; 200 ok 1000000 | B=10.00 R=0.70
            U 1  100 {where} rsu          => 100 ok                         | B=9.95 R=0.20
            U 2  100 rsu                  => 100 ok 10000000                | B=9.95 R=0.70
        """)


@pytest.mark.rule("G-142", "T262")
def test_quota_handed_back_unused() -> None:
    play("""
        I 0  100 rsu                        => 100 ok 10000000 | B=10.00 R=0.50
        U 1  100 reason=QUOTA_HOLDING_TIME  => 100 ok          | B=10.00 R=0
    """)


@pytest.mark.rule("D24")
@pytest.mark.parametrize("profile", ["open5gs", "magma"])
def test_clients_that_take_no_units_for_no_limit_get_units_or_a_refusal(profile: str) -> None:
    play(f"""
        I 0 profile={profile} 100 rsu => 100 ok 10000000 | B=10.00 R=0.50
        U 1 profile={profile} 100 reason=FINAL used=700000 rsu => 100 ok 10000000 | B=9.95 R=0.50
        U 2 profile={profile} 100 reason=FINAL used=700000     => 100 ok          | B=9.90 R=0
        U 3 profile={profile} 300 rsu => 300 ok 10000000 | B=9.90 R=0
    """)
    for plan in ("basic", "redirect", "restrict", "zero"):
        play(f"I 0 profile={profile} 100 rsu => 100 4012 | R=0", plan=plan, balance="0")


@pytest.mark.rule("D24", "C-025")
def test_a_quota_asked_twice_is_refused_where_success_without_units_means_no_limit() -> None:
    play("I 0 profile=magma 100 rsu; 100 rsu => 100 ok 10000000; 100 4012 | B=10.00 R=0.50")
    play("I 0 100 rsu; 100 rsu => 100 ok 10000000; 100 ok | B=10.00 R=0.50")


@pytest.mark.rule("C-024", "T272", "C-025", "I-005")
@pytest.mark.parametrize(
    ("first", "second", "granted"),
    [("rsu", "", ("10000000", "")), ("", "rsu", ("", "10000000")),
     ("rsu", "rsu", ("10000000", ""))],
)
def test_one_key_twice_in_a_request(first: str, second: str, granted: tuple[str, str]) -> None:
    play(f"""
        I 0  100 rsu => 100 ok 10000000 | R=0.50
        U 1  100 used=400000 {first}; 100 used=700000 {second} \
=> 100 ok {granted[0]}; 100 ok {granted[1]} | B=9.90 R=0.50
        T 2          => 2001 | B=9.90 R=0
    """)


@pytest.mark.rule("T244", "T245", "C-060", "C-061", "M-010")
def test_switch_to_a_dearer_price() -> None:
    play(
        """
        I 0  100 rsu => 100 ok 10000000 ttc vt=900 | B=1.00 R=0.80
        U 1  100 before=3900000 after=4100000 straddling=150000 => 100 ok | B=0.35 R=0
        """,
        catalog=make_banded_catalog(), balance="1.00",
    )
    play(
        """
        I 0  100 rsu                     => 100 ok 10000000 ttc | B=1.00 R=0.80
        U 1  100 used=9500000            => 100 ok              | B=0.50 R=0
        """,
        catalog=make_banded_catalog(), balance="1.00",
    )


@pytest.mark.rule("C-060", "C-040", "M-004")
def test_grant_over_a_switch_is_sized_at_the_dearer_price() -> None:
    play(
        """
        I 0  100 rsu         => 100 ok 2000000 ttc fui=terminate | B=0.20 R=0.16
        T 1  100 after=2000000 => 100 ok                          | B=0.04 R=0
        """,
        catalog=make_banded_catalog(), balance="0.20",
    )


@pytest.mark.rule("C-064", "C-181", "T247")
@pytest.mark.parametrize("profile", ["siphon", "kamailio"])
def test_client_without_tariff_switches_reports_at_the_switch(profile: str) -> None:
    scenario = play(
        f"""
        I 0 profile={profile} 100 rsu                => 100 ok 10000000 vt=600 | B=1.00 R=0.50
        wait 600
        U 1 profile={profile} 100 used=4000000 rsu => 100 ok 10000000 fui=terminate | B=0.80 R=0.80
        T 2 profile={profile} 100 used=1             => 100 ok                 | B=0.72 R=0
        """,
        catalog=make_banded_catalog(), balance="1.00",
    )
    assert scenario.reply.services[0].tariff_change_ns == 0


@pytest.mark.rule("M-010", "M-012")
def test_free_units_over_a_switch_are_spent_once() -> None:
    bonus = Bucket(0, 0, Unit.OCTETS, "bonus", available=1_000_000)
    play(
        """
        I 0  100 rsu=1000000              => 100 ok 1000000 ttc | B=1.00 R=0
        T 1  100 before=900000 after=600000 => 100 ok           | B=0.92 R=0
        """,
        catalog=make_banded_catalog(), balance="1.00", buckets=[bonus],
    )


@pytest.mark.rule("M-011", "M-012", "M-004")
def test_seconds_after_free_ones_are_held_at_the_price_they_will_have() -> None:
    # Free until 12:09:50 + 30 s; the paid half minute is behind the switch at 12:10.
    free = Bucket(0, 0, Unit.SECONDS, "minutes", available=30)
    play(
        """
        wait 590
        I 0  100 rsu=60  => 100 ok 60 | B=1.00 R=0.12
        wait 60
        T 1  100 used=60 => 100 ok    | B=0.88 R=0
        """,
        catalog=make_banded_catalog(T_SEC, Price(240_000, per=60), unit=Unit.SECONDS),
        balance="1.00", buckets=[free], unit=Unit.SECONDS,
    )


@pytest.mark.rule("M-011")
def test_increments_cost_the_price_at_their_first_second() -> None:
    minute = Price(120_000, per=60, increment=60)
    dearer = Price(240_000, per=60, increment=60)
    play(
        """
        wait 570
        I 0  100 rsu=120  => 100 ok 120 | B=1.00 R=0.36
        wait 61
        T 1  100 used=61  => 100 ok     | B=0.64 R=0
        """,
        catalog=make_banded_catalog(minute, dearer, unit=Unit.SECONDS), balance="1.00",
        unit=Unit.SECONDS,
    )


@pytest.mark.rule("G-183", "M-009", "T280")
def test_call() -> None:
    play(
        f"""
        I 0 {IMS} role=0 10 rsu         => 10 ok 600 | B=10.00 R=1.20
        wait 12
        U 1 {IMS} role=0 10 used=0 rsu  => 10 ok 600 | B=10.00 R=1.20
        wait 61
        T 2 {IMS} role=0 10 used=61     => 10 ok     | B=9.878 R=0
        """,
        unit=Unit.SECONDS,
    )


@pytest.mark.rule("G-183", "M-009", "T281")
@pytest.mark.parametrize("used", ["", "12 used=0"])
def test_unanswered_call_pays_no_setup_fee(used: str) -> None:
    play(
        f"""
        I 0 {IMS} 12 rsu=60 => 12 ok 60 | B=10.00 R=0.13
        wait 20
        T 1 {IMS} {used}    => 2001     | B=10.00 R=0
        """,
        unit=Unit.SECONDS,
    )


@pytest.mark.rule("G-009", "G-184", "T284")
@pytest.mark.parametrize("circumstance", ["emergency=1", "role=1"])
def test_free_calls_stay_free_when_the_client_says_why_only_once(circumstance: str) -> None:
    play(
        f"""
        I 0 {IMS} {circumstance} 10 rsu => 10 ok 600 | B=0 R=0
        wait 60
        U 1 {IMS} 10 used=60 rsu        => 10 ok 600 | B=0 R=0
        wait 30
        T 2 {IMS} 10 used=30            => 10 ok     | B=0 R=0
        """,
        balance="0", unit=Unit.SECONDS,
    )


@pytest.mark.rule("G-009")
def test_destination_said_at_the_start_prices_the_whole_call() -> None:
    service = replace(CATALOG.services["call"], destination_rated=True)
    terms = CATALOG.plans["basic"].terms["call"]
    home = replace(terms.rules[0], code="home")
    abroad = replace(terms.rules[0], code="abroad", zone="abroad", price=Price(60_000))
    plan = replace(
        CATALOG.plans["basic"],
        terms={**CATALOG.plans["basic"].terms, "call": replace(terms, rules=(home, abroad))},
    )
    catalog = replace(
        CATALOG, services={**CATALOG.services, "call": service},
        plans={**CATALOG.plans, "basic": plan}, zones={"abroad": ("44",)},
    )
    play(
        f"""
        I 0 {IMS} called=442079460000   => 2001        | B=10.00 R=0
        U 1 {IMS} 10 rsu=10             => 10 ok 10    | B=10.00 R=0.60
        wait 10
        U 2 {IMS} 10 used=10 rsu=10     => 10 ok 10    | B=9.40 R=0.60
        T 3 {IMS} 10 used=5             => 10 ok       | B=9.10 R=0
        """,
        catalog, unit=Unit.SECONDS,
    )


@pytest.mark.rule("D24", "M-005")
def test_grants_of_clients_that_add_them_up() -> None:
    scenario = play("""
        I 0 profile=magma 100 rsu=4000000              => 100 ok 4000000 | B=10.00 R=0.20
        U 1 profile=magma 100 used=1000000 rsu=2000000 => 100 ok 2000000 | B=9.95 R=0.25
        U 2 profile=magma 100 used=5000000 rsu=2000000 => 100 ok 2000000 | B=9.70 R=0.10
        T 3 profile=magma 100 used=2000000             => 100 ok         | B=9.60 R=0
    """)
    used = sum(
        line.used for record in scenario.store.stored_records(ACCOUNT)
        for line in record.record.charged
    )
    assert used == 8_000_000




@pytest.mark.rule("R-5006")
def test_a_session_keeps_a_bounded_number_of_quotas(monkeypatch) -> None:
    monkeypatch.setattr("ocs.charging.serving.QUOTAS_MAX", 2)
    scenario = play("I 0 => 2001")

    def report(number: int, identifier: int, *, used: int = 0) -> tuple[int, bool]:
        asked = ServiceRequest(
            100, (identifier,), Units(), (UsedUnits(Units(octets=used)),) if used else ()
        )
        request = msgspec.structs.replace(scenario.request(f"U {number}"), services=(asked,))
        (service,) = scenario.send(request).services
        scenario.check()
        return service.outcome, service.granted is not None

    assert report(1, 901) == report(2, 902) == (Outcome.SUCCESS, True)
    assert report(3, 903) == (Outcome.RESOURCES_EXCEEDED, False)
    assert report(4, 904, used=1_000_000) == report(5, 905, used=400_000)
    assert scenario.money()[0] == 9_900_000, "what was used is debited all the same"
    scenario.play("T 6 => 2001 | B=9.90 R=0")
    (session,) = scenario.store.sessions_of(ACCOUNT)
    assert len(session.quotas) == 3
