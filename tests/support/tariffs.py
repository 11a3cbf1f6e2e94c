"""The tariffs of the golden examples as a catalogue built in code, and small variations of it."""

from __future__ import annotations

from dataclasses import replace

from ocs.amounts import Unit
from ocs.catalog.model import (
    BandSpan,
    Catalog,
    ChargeMode,
    FinalUnitAction,
    FinalUnitPolicy,
    Plan,
    Pool,
    Price,
    PriceRule,
    QuotaPolicy,
    Service,
    ServiceTerms,
    TimeBand,
)
from ocs.catalog.notify import NotifyPolicy

PS, IMS, SMS = "32251@3gpp.org", "32260@3gpp.org", "32274@3gpp.org"
T_DATA = Price(50_000, per=1_000_000, increment=1_000_000)
T_DATA_DEARER = Price(80_000, per=1_000_000, increment=1_000_000)
T_SEC = Price(120_000, per=60)
T_6060 = Price(120_000, per=60, increment=60, minimum=60)
T_306 = Price(120_000, per=60, increment=6, minimum=30)
T_SETUP = Price(100_000, per=60, setup_micro=30_000)
T_FINE = Price(100_000, per=1_048_576)

DATA_QUOTA = QuotaPolicy(10_000_000, 10_000_000, validity_seconds=30, short_validity_seconds=10)
TIME_QUOTA = QuotaPolicy(600, 600, validity_seconds=600)
EVENT_QUOTA = QuotaPolicy(1, 100, validity_seconds=600)
REDIRECT = FinalUnitPolicy(
    FinalUnitAction.REDIRECT, redirect_address_type=2, redirect_address="http://topup.example/"
)
RESTRICT = FinalUnitPolicy(FinalUnitAction.RESTRICT_ACCESS, filter_ids=("portal",))


def make_catalog() -> Catalog:
    """Return the catalogue of the golden examples."""
    services = {}
    terms: dict[str, ServiceTerms] = {}

    def add(
        code: str, context: str, unit: Unit, quota: QuotaPolicy, price: Price | None, *,
        group: int | None = None, identifier: int | None = None, default: bool = False,
        mode: ChargeMode = ChargeMode.PRICED, in_plan: bool = True, pool: str = "",
    ) -> None:
        services[code] = Service(
            code, (context,), unit, quota,
            frozenset() if group is None else frozenset({group}),
            frozenset() if identifier is None else frozenset({identifier}), default, pool=pool,
        )
        if in_plan:
            rules = (PriceRule(code, price),) if price else ()
            terms[code] = ServiceTerms(code, mode, rules)

    add("data", PS, Unit.OCTETS, DATA_QUOTA, T_DATA, group=100, default=True)
    add("video", PS, Unit.OCTETS, DATA_QUOTA,
        Price(200_000, per=1_000_000, increment=1_000_000), group=200)
    add("pool-a", PS, Unit.OCTETS, QuotaPolicy(2_000_000, 2_000_000),
        Price(1_000_000, per=1_000_000, increment=1_000_000), group=101, pool="shared")
    add("pool-b", PS, Unit.OCTETS, QuotaPolicy(4_000_000, 4_000_000),
        Price(500_000, per=1_000_000, increment=1_000_000), group=102, pool="shared")
    add("portal", PS, Unit.OCTETS, DATA_QUOTA, None, group=300, mode=ChargeMode.UNCONTROLLED)
    add("music", PS, Unit.OCTETS, DATA_QUOTA, None, group=310, mode=ChargeMode.FREE)
    add("closed", PS, Unit.OCTETS, DATA_QUOTA, T_DATA, group=400, in_plan=False)
    add("legacy", PS, Unit.OCTETS, DATA_QUOTA, T_DATA, identifier=5)
    add("fine", PS, Unit.OCTETS, DATA_QUOTA, T_FINE, group=600)
    add("lease", PS, Unit.SECONDS, TIME_QUOTA, T_SEC, group=500)
    add("call", IMS, Unit.SECONDS, TIME_QUOTA, T_SEC, group=10)
    add("call-6060", IMS, Unit.SECONDS, TIME_QUOTA, T_6060, group=11)
    add("call-setup", IMS, Unit.SECONDS, TIME_QUOTA, T_SETUP, group=12)
    add("call-306", IMS, Unit.SECONDS, TIME_QUOTA, T_306, group=13)
    add("sms", SMS, Unit.EVENTS, EVENT_QUOTA, Price(70_000), group=1, identifier=7)
    plans = {
        "basic": Plan("basic", "Basic", terms),
        "redirect": Plan("redirect", "Redirect", terms, final_unit=REDIRECT),
        "restrict": Plan("restrict", "Restrict", terms, final_unit=RESTRICT),
        "zero": Plan("zero", "Zero grant", terms, final_unit=FinalUnitPolicy(zero_grant=True)),
    }
    # One unit of the pool is a tenth of a micro unit of money.
    pools = {"shared": Pool("shared", 1, 1, 10)}
    return Catalog("golden", "EUR", "UTC", services, plans, pools=pools)


def make_dearer_catalog() -> Catalog:
    """Return the catalogue of the golden examples with a higher price of data."""
    golden = make_catalog()
    plans = {
        code: replace(
            plan,
            terms={
                **plan.terms,
                "data": replace(plan.terms["data"], rules=(PriceRule("data", T_DATA_DEARER),)),
            },
        )
        for code, plan in golden.plans.items()
    }
    return replace(golden, name="dearer", plans=plans)


def make_telling_catalog() -> Catalog:
    """Return the catalogue of the golden examples, with customers told of low balances and of
    what expires within an hour.
    """
    golden = make_catalog()
    policy = NotifyPolicy(low_balance=(9_900_000,), expiry=(3600,))
    plans = {code: replace(plan, notify=policy) for code, plan in golden.plans.items()}
    return replace(golden, name="telling", plans=plans)


def make_banded_catalog(
    price: Price = T_DATA, next_price: Price = T_DATA_DEARER, *, unit: Unit = Unit.OCTETS,
    switch_minute: int = 12 * 60 + 10, validity_seconds: int = 900,
) -> Catalog:
    """Return a catalogue whose one service changes its price at a minute of the day (UTC)."""
    amount = 10_000_000 if unit is Unit.OCTETS else 3600
    service = Service(
        "data", (PS,), unit,
        QuotaPolicy(amount, amount, validity_seconds=validity_seconds), frozenset({100}),
    )
    week = frozenset(range(7))
    late = TimeBand("late", (BandSpan(week, switch_minute, 24 * 60),))
    rules = (PriceRule("early", price), PriceRule("late", next_price, band="late"))
    terms = {"data": ServiceTerms("data", ChargeMode.PRICED, rules)}
    return Catalog(
        "banded", "EUR", "UTC", {"data": service}, {"basic": Plan("basic", "Basic", terms)},
        bands=(late,),
    )
