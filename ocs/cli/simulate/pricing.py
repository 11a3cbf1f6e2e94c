"""What the sessions of a run have to cost: from the simulator's own account and the catalogue.

How much was used, in which order and on which side of a tariff change is the simulator's own word.
The records of this server say when each request happened, where the subscriber was or whom he
called, and how much free units have paid for. Called by `books`.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ocs.amounts import Unit
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import ChargeMode, Service, ServiceTerms, TariffSlot
from ocs.charging.model.circumstances import remembered
from ocs.charging.model.messages import ChargingRecord, EventAction, RatingAttributes, RequestKind
from ocs.errors import NotFoundError
from ocs.provisioning.catalogues.catalogs import Catalogues
from ocs.rating import pricing, timeline
from ocs.store.ledger_reports import StoredRequest

if TYPE_CHECKING:
    from simulators.verdicts.own_account import OwnService, OwnSession

_NS = 1_000_000_000
_TERMINATING = 1
_SUCCESS = frozenset({2001, 2002})


class NotComparableError(Exception):
    """The price depends on more than the session: limits, friends, counts of an account."""


@dataclass(slots=True)
class _Quota:
    """One service of a session as far as it is priced."""

    zone: str = ""
    slot: TariffSlot | None = None
    change_ns: int | None = None
    started_ns: int = 0
    seconds: int = 0
    units: dict[tuple[str, str, int], int] = field(default_factory=dict)
    """Paid units by rule, zone and slot."""


@dataclass(slots=True)
class SessionPrice:
    """What a session has to cost, in micro units of money."""

    own_micro: int = 0
    """What the account pays."""
    sponsored: dict[str, int] = field(default_factory=dict)
    """What sponsors pay, by their names."""


class SessionPrices:
    """Prices sessions with the catalogues that the server has published."""

    def __init__(self, catalogues: Catalogues) -> None:
        self._catalogues = catalogues

    def price(
        self, session: "OwnSession", stored: list[StoredRequest]
    ) -> SessionPrice | None:
        """What a session has to cost; None where that cannot be said from the session alone.

        `stored` are the records of its requests in order of time. Refunds are priced as nothing.
        """
        try:
            return _Pricing(self._catalogues, session).total(stored)
        except (NotComparableError, NotFoundError):
            return None


class _Pricing:
    def __init__(self, catalogues: Catalogues, session: "OwnSession") -> None:
        self._catalogues = catalogues
        self._session = session
        self._said: RatingAttributes | None = None
        self._called = ""
        self._quotas: dict[tuple[str, int | None, tuple[int, ...]], _Quota] = {}
        self._price = SessionPrice()

    def total(self, stored: list[StoredRequest]) -> SessionPrice:
        for one in stored:
            own = self._session.requests.get((one.kind, one.number))
            if own is None:
                continue  # named as never sent
            record = one.record
            index = self._catalogues.version(record.catalogue_version)
            self._hear(record.attributes)
            if one.kind == RequestKind.EVENT and own.action not in (
                None, EventAction.DIRECT_DEBITING,
            ):  # fmt: skip
                continue
            if own.result_code is not None and own.result_code not in _SUCCESS:
                continue
            seen: set[int | None] = set()
            for service in own.services:
                if service.rating_group in seen:
                    raise NotComparableError
                seen.add(service.rating_group)
                self._price.own_micro += self._service_micro(index, record, service)
        return self._price

    def _hear(self, said: RatingAttributes) -> None:
        self._said = remembered(self._said, said)
        self._called = said.called_party or next(iter(said.recipients), "") or self._called
        if len(said.recipients) > 1 or said.emergency:
            raise NotComparableError

    def _service_micro(
        self, index: CatalogIndex, record: ChargingRecord, own: "OwnService"
    ) -> int:
        service = index.match_service(self._session.context, own.rating_group, own.identifiers)
        if service is None:
            return 0
        terms = index.catalog.plans[record.plan].terms.get(service.code)
        if terms is None or terms.mode is not ChargeMode.PRICED:
            return 0
        if self._said is not None and self._said.role_of_node == _TERMINATING:
            if terms.prices_terminating:
                raise NotComparableError
            return 0
        counted = any(rule.price.counted for rule in terms.rules)
        if terms.limited or terms.related or counted or service.together_with:
            raise NotComparableError
        free = sum(
            line.from_buckets for line in record.charged
            if line.service == service.code and line.rating_group == own.rating_group
        )  # fmt: skip
        key = service.code, own.rating_group, own.identifiers
        quota = self._quotas.setdefault(key, _Quota())
        zone = self._zone(index, service, terms)
        if quota.slot is None:
            quota.zone, quota.slot = zone, index.tariff_at(terms, zone, record.event_ns)
        cost = self._used_micro(index, terms, service, record, own, quota, free)
        if any(own.granted.values()) and not (service.unit is Unit.SECONDS and quota.started_ns):
            quota.zone, quota.slot = zone, index.tariff_at(terms, zone, record.event_ns)
        if own.granted:
            quota.change_ns = own.change_ns
        return cost

    def _zone(self, index: CatalogIndex, service: Service, terms: ServiceTerms) -> str:
        zone = ""
        if service.destination_rated and self._called:
            zone = index.zone_of(self._called)
        if not terms.conditional:
            return zone
        return index.context_key(terms, zone, self._said or RatingAttributes())

    def _used_micro(
        self,
        index: CatalogIndex,
        terms: ServiceTerms,
        service: Service,
        record: ChargingRecord,
        own: "OwnService",
        quota: _Quota,
        free: int,
    ) -> int:
        is_event = record.kind == RequestKind.EVENT
        unit = service.unit.label
        units = own.used.get(unit, int(is_event))
        if not units:
            return 0
        if service.unit is Unit.SECONDS and not is_event and not terms.sponsored:
            return _seconds_micro(index, terms, record, quota, units, free)
        after = own.used_after.get(unit, 0) if quota.change_ns is not None else 0
        before = units - after
        free_before = min(free, before)
        cost = self._units_micro(quota, quota.slot, before - free_before)
        if after:
            slot = index.tariff_at(terms, quota.zone, quota.change_ns or 0)
            cost += self._units_micro(quota, slot, after - (free - free_before))
        return cost

    def _units_micro(self, quota: _Quota, slot: TariffSlot | None, units: int) -> int:
        """What more units cost the account in their context, however they were cut into reports.

        What a sponsor pays for them is noted as his.
        """
        if not units:
            return 0
        if slot is None or slot.rule is None:
            raise NotComparableError
        context = slot.rule.code, quota.zone, slot.start_ns
        before = quota.units.get(context, 0)
        quota.units[context] = before + units
        cost, sponsor = pricing.charge_micro(slot.rule.price, before, units), slot.rule.sponsor
        if sponsor:
            sponsored = self._price.sponsored
            sponsored[sponsor] = sponsored.get(sponsor, 0) + cost
        return 0 if sponsor else cost


def _seconds_micro(
    index: CatalogIndex,
    terms: ServiceTerms,
    record: ChargingRecord,
    quota: _Quota,
    units: int,
    free: int,
) -> int:
    """What more seconds cost, each at the price of its own time."""
    if not quota.started_ns:
        quota.started_ns = record.event_ns - units * _NS
    if not quota.seconds:
        quota.started_ns += free * _NS

    def tariff_at(instant_ns: int) -> TariffSlot:
        return index.tariff_at(terms, quota.zone, instant_ns)

    before = quota.seconds
    quota.seconds = before + units - free
    costs = [
        timeline.cost_micro(tariff_at, quota.started_ns, seconds)
        for seconds in (before, quota.seconds)
    ]
    if costs[0] is None or costs[1] is None:
        raise NotComparableError
    return costs[1] - costs[0]
